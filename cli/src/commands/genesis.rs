//! `quorate genesis` and `quorate genesis check`.

use quorate_node::app::Genesis as LedgerGenesis;
use quorate_verifier::encoding::DecodeError;
use quorate_verifier::file::FileType;
use quorate_verifier::founding::Founding;
use quorate_verifier::genesis::Genesis;
use quorate_verifier::primitives::Height;
use quorate_verifier::roster::Roster;
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::ValidatorSet;
use quorate_verifier::signature::VoteKey;
use quorate_verifier::trust::TrustAnchor;

use super::founding::{self, DevelopmentKeys};
use crate::args::{GenesisArgs, GenesisCheckArgs, GenesisCommand, MakeArgs};
use crate::failure::{Failure, Role};
use crate::files::{Access, NewDirectory};
use crate::keys;
use crate::output::{Report, Status, Verdict};
use crate::seal;
use crate::spoken::comparison_number;

pub(super) fn run(args: GenesisArgs) -> Result<Report, Failure> {
    match args.command {
        Some(GenesisCommand::Check(args)) => check(&args),
        None => make(&args.make),
    }
}

fn make(args: &MakeArgs) -> Result<Report, Failure> {
    let (Some(roster), Some(out), Some(name)) = (&args.roster, &args.out, &args.name) else {
        return Err(Failure::usage("--roster, --name and --out are needed"));
    };
    let dir = NewDirectory::begin(out)?;
    let roster: Roster = roster.document(Role::Given)?;
    let development = match args.development_keys {
        true => DevelopmentKeys::Accepted,
        false => DevelopmentKeys::Refused,
    };
    let ledger = founding::given_ledger(&args.chain)?;
    let founding = founding::make(name, roster, &args.chain, ledger.as_ref(), development)?;
    founding::write(&dir, &founding)?;
    if let Some(ledger) = &ledger {
        founding::write_ledger(&dir, ledger)?;
    }
    dir.directory("private/bundles", Access::Private)?;
    for entry in founding.roster.entries() {
        let bundle = seal::seal(&founding, &entry.network_key);
        let name = format!("private/bundles/{}.bundle", entry.name);
        dir.file(&name, &bundle.to_file(), Access::Private)?;
    }
    dir.finish()?;

    let Founding { anchor, set, .. } = &founding;
    let out = out.display();
    let summary = format!("made chain {} in {out}", anchor.header.chain_id);
    let mut report = Report::new(Verdict::Done, summary);
    founding::describe(&mut report, &founding);
    report
        .fact("public files", format!("{out}/public"))
        .fact("private files", format!("{out}/private"))
        .fact(
            "bundles",
            format!("{out}/private/bundles, one for each machine"),
        );
    founding::warn(&mut report, set, &anchor.keys);
    if ledger.is_some() {
        report.fact("ledger", format!("{out}/{}", founding::LEDGER_FILE));
        report.warn(
            "the ledger's first state is not in the bundles: send it to every machine, over a \
             channel that keeps its balances private; `genesis check --ledger` checks it",
        );
    }
    report.next(
        "send each machine its bundle; its owner runs `quorate bundle open`, and all members \
         compare the bundle number by telephone",
    );
    Ok(report)
}

/// The one check that is about the member, not about the documents.
const MEMBERSHIP: &str = "membership";

/// Recomputes what the documents claim, as far as one member can.
fn check(args: &GenesisCheckArgs) -> Result<Report, Failure> {
    let mine = keys::load_public(&args.key)?;
    let anchor: TrustAnchor = args.anchor.document(Role::Judged)?;
    let genesis: Option<Genesis> = args
        .genesis
        .as_ref()
        .map(|source| source.document(Role::Judged))
        .transpose()?;
    let ledger: Option<LedgerGenesis> = args
        .ledger
        .as_ref()
        .map(|source| source.document(Role::Judged))
        .transpose()?;
    let mut report = Report::new(Verdict::Verified, "");
    let set = match args.set.document::<ValidatorSet>(Role::Judged) {
        Ok(set) => set,
        Err(Failure::Decode {
            error: error @ DecodeError::Rule { .. },
            ..
        }) => {
            report.check("set rules", Err::<String, _>(&error));
            report.verdict = Verdict::Invalid;
            report.summary = format!("the set breaks a rule: {error}");
            return Ok(report);
        }
        Err(failure) => return Err(failure),
    };
    describe(&mut report, &anchor, &set);
    check_set(&mut report, &anchor, &set);
    check_membership(&mut report, &set, &mine);
    check_genesis(&mut report, &anchor, &set, genesis.as_ref());
    check_ledger(&mut report, genesis.as_ref(), ledger.as_ref());
    judge(&mut report, &set, args.accept_unprovable);
    founding::warn(&mut report, &set, &anchor.keys);
    report
        .not_checked("who made these documents: compare the number with the other members")
        .not_checked("that the other members hold the same set")
        .not_checked("the accepted verifying keys themselves: the anchor has only their digests");
    match report.verdict {
        Verdict::Verified => {
            report.next("read the comparison number to the other members by telephone")
        }
        _ => report.next("do not start: ask whoever made the documents"),
    };
    Ok(report)
}

fn describe(report: &mut Report, anchor: &TrustAnchor, set: &ValidatorSet) {
    let digest = anchor.digest();
    report
        .fact("chain", anchor.header.chain_id.as_str())
        .fact("height", anchor.header.height.get().to_string())
        .fact("set commitment", set.commitment().to_string())
        .fact("anchor digest", digest.to_string())
        .fact("comparison number", comparison_number(&digest));
}

fn check_set(report: &mut Report, anchor: &TrustAnchor, set: &ValidatorSet) {
    let rules = format!(
        "{} validators, total power {}: every key canonical, of prime order and listed once, \
         every power at least 1",
        set.count(),
        set.total().get(),
    );
    report.check("set rules", Ok::<_, DecodeError>(rules));
    let trusted = anchor
        .check_set(set)
        .map(|()| "the anchor trusts this very set".into());
    report.check("set commitment", trusted);
}

fn check_membership(report: &mut Report, set: &ValidatorSet, mine: &VoteKey) {
    let membership = set
        .index_of(mine)
        .and_then(|index| Some((index, set.get(index)?)));
    let outcome = membership
        .map(|(index, member)| {
            let (power, total) = (member.power.get(), set.total().get());
            format!("your key is validator {index} with power {power} of {total}")
        })
        .ok_or_else(|| format!("your key {} is not in the set", keys::hex(mine)));
    report.check(MEMBERSHIP, outcome);
}

fn check_genesis(
    report: &mut Report,
    anchor: &TrustAnchor,
    set: &ValidatorSet,
    genesis: Option<&Genesis>,
) {
    let Some(genesis) = genesis else {
        report.skip(
            "chain id",
            "needs --genesis: the id ends in that document's digest",
        );
        return;
    };
    let id = anchor.check_chain(genesis);
    report.check(
        "chain id",
        id.map(|()| "ends in the genesis document's digest".into()),
    );
    if anchor.header.height == Height::GENESIS {
        let header = anchor.check_genesis_header(genesis);
        report.check(
            "header",
            header.map(|()| "is the one that the genesis document makes".into()),
        );
        let named = genesis.check_set(set);
        report.check(
            "genesis set",
            named.map(|()| "same set, same circuit".into()),
        );
        let accepted = anchor.check_keys(genesis);
        let words = format!("{} accepted, as in the genesis document", anchor.keys.len());
        report.check("verifying keys", accepted.map(|()| words));
    } else {
        let later = "the anchor is of a later block than genesis";
        for name in ["header", "genesis set", "verifying keys"] {
            report.skip(name, later);
        }
    }
}

fn check_ledger(report: &mut Report, genesis: Option<&Genesis>, ledger: Option<&LedgerGenesis>) {
    let (Some(genesis), Some(ledger)) = (genesis, ledger) else {
        report.skip(
            "state root",
            "needs --ledger, the state before the first block, and --genesis",
        );
        return;
    };
    let outcome = match ledger.state_root() {
        Ok(root) if root == genesis.state_root => Ok(format!(
            "the ledger's first state, {} accounts, is the one that the genesis document names",
            ledger.accounts.len()
        )),
        Ok(root) => Err(format!(
            "the ledger's first state has root {root}, the genesis document names {}",
            genesis.state_root
        )),
        Err(error) => Err(error.to_string()),
    };
    report.check("state root", outcome);
}

/// A failed check is invalid; documents that agree but cannot keep the promise of proofs are
/// refused unless that was accepted.
fn judge(report: &mut Report, set: &ValidatorSet, accept_unprovable: bool) {
    let coverage = set.coverage(QuorumRule::COMMIT);
    let covered = coverage.complete || accept_unprovable;
    let failed: Vec<_> = report
        .checks
        .iter()
        .filter(|c| c.status == Status::Fail)
        .map(|c| c.name)
        .collect();
    let outcome = match (coverage.complete, accept_unprovable) {
        (true, _) => Ok(coverage.to_string()),
        (false, true) => Ok(format!("taken on: {coverage}")),
        (false, false) => Err(coverage),
    };
    report.check("coverage", outcome);
    (report.verdict, report.summary) = if failed == [MEMBERSHIP] {
        let summary = "the documents agree, but your key is not in the set";
        (Verdict::PolicyFailed, summary.into())
    } else if !failed.is_empty() {
        (
            Verdict::Invalid,
            format!("the documents do not hold: {}", failed.join(", ")),
        )
    } else if !covered {
        (
            Verdict::PolicyFailed,
            format!("{coverage}; --accept-unprovable takes it on"),
        )
    } else {
        (
            Verdict::Verified,
            "the documents agree, and your key is in the set".into(),
        )
    };
}
