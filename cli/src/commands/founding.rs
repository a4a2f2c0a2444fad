//! The documents that a chain starts from: made for `init` and `genesis`, written for them and for
//! `bundle open`, always in the same places.

use std::time::{SystemTime, UNIX_EPOCH};

use quorate_node::app::Genesis as LedgerGenesis;
use quorate_verifier::file::FileType;
use quorate_verifier::founding::Founding;
use quorate_verifier::genesis::{AcceptedKey, Genesis, KEYS_MAX, Limits, Parameters};
use quorate_verifier::merkle;
use quorate_verifier::primitives::{CircuitSize, Digest, TimeMs};
use quorate_verifier::proof::{Origin, VerifyingKey};
use quorate_verifier::roster::Roster;
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::{Salt, ValidatorSet};
use quorate_verifier::sizes;
use quorate_verifier::trust::{Cosigners, Policy, TrustAnchor};

use crate::args::{ChainArgs, KeyArg};
use crate::failure::{Failure, Role};
use crate::files::{Access, NewDirectory, Source};
use crate::keys;
use crate::output::Report;
use crate::spoken::comparison_number;

/// Whether the policy accepts verifying keys that one party made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DevelopmentKeys {
    Accepted,
    Refused,
}

/// Makes the documents, or says why they would promise what cannot be kept.
pub(super) fn make(
    name: &str,
    roster: Roster,
    args: &ChainArgs,
    ledger: Option<&LedgerGenesis>,
    development: DevelopmentKeys,
) -> Result<Founding, Failure> {
    let rule = QuorumRule::COMMIT;
    let now = now()?;
    let keys = accepted_keys(&args.verifying_keys, development)?;
    let set = make_set(&roster, args, rule)?;
    let genesis = Genesis {
        name: name.into(),
        time: args.time.unwrap_or(now),
        parameters: Parameters {
            rule,
            slots: set.size(),
            keys: keys.clone(),
            block_interval_ms: args.block_interval_ms,
            limits: Limits::DEFAULT,
        },
        validators: set.commitment(),
        state_root: state_root(args, ledger)?,
    };
    let header = genesis
        .header()
        .map_err(|error| Failure::usage(format!("--name: {error}")))?;
    let anchor = TrustAnchor {
        header,
        keys: keys.clone(),
        trusting_period_ms: u64::from(args.trusting_period_days) * 86_400_000,
        clock_drift_ms: args.clock_drift_ms,
        made_at: now,
    };
    let policy = Policy {
        anchor: anchor.clone(),
        rule,
        keys,
        log_key: None,
        cosigners: Cosigners::NONE,
        development_keys: development == DevelopmentKeys::Accepted,
    };
    let founding = Founding {
        genesis,
        anchor,
        policy,
        set,
        roster,
    };
    founding.check().expect("documents made together agree");
    Ok(founding)
}

/// The first state that `--ledger` names.
pub(super) fn given_ledger(args: &ChainArgs) -> Result<Option<LedgerGenesis>, Failure> {
    let read = |source: &Source| source.document(Role::Given);
    args.ledger.as_ref().map(read).transpose()
}

fn state_root(args: &ChainArgs, ledger: Option<&LedgerGenesis>) -> Result<Digest, Failure> {
    match (ledger, args.state_root) {
        (Some(ledger), _) => ledger
            .state_root()
            .map_err(|error| Failure::usage(format!("--ledger: {error}"))),
        (None, given) => Ok(given.unwrap_or_else(|| merkle::root(&[]))),
    }
}

/// Where the ledger's first state lies beside the founding documents, which do not contain it.
pub(super) const LEDGER_FILE: &str = "private/ledger.json";

/// Writes the ledger's first state, after [`write()`].
pub(super) fn write_ledger(dir: &NewDirectory, ledger: &LedgerGenesis) -> Result<(), Failure> {
    let json = zeroize::Zeroizing::new(ledger.to_json() + "\n"); // its salt is in it
    dir.file(LEDGER_FILE, json.as_bytes(), Access::Private)
}

/// Slots of the circuit that a set of these validators is proved with.
pub(super) fn circuit_size(roster: &Roster, args: &ChainArgs) -> Result<CircuitSize, Failure> {
    make_set(roster, args, QuorumRule::COMMIT).map(|set| set.size())
}

fn make_set(roster: &Roster, args: &ChainArgs, rule: QuorumRule) -> Result<ValidatorSet, Failure> {
    let salt = match args.public_set {
        true => None,
        false => Some(Salt::from_bytes(keys::random()?)),
    };
    let with_size = |size| {
        roster
            .validator_set(salt.clone(), size)
            .map_err(|error| Failure::usage(format!("the roster makes no set: {error}")))
    };
    // The worst quorum does not depend on the size, so any size will do to find it.
    let draft = with_size(args.slots.unwrap_or(sizes::largest().size))?;
    let named = sizes::smallest_for_set(&draft, rule);
    let set = match (args.slots, named) {
        (None, Some(named)) => with_size(named.size)?,
        _ => draft,
    };
    let coverage = set.coverage(rule);
    if coverage.complete || args.accept_unprovable {
        return Ok(set);
    }
    Err(Failure::Refused(format!(
        "{coverage}. Choose --slots, or fewer or less equal validators, or take it on with \
         --accept-unprovable"
    )))
}

pub(super) fn accepted_keys(
    given: &[KeyArg],
    development: DevelopmentKeys,
) -> Result<Vec<AcceptedKey>, Failure> {
    let accept = |key: &KeyArg| match key {
        KeyArg::Named(key) => Ok(*key),
        KeyArg::File(source) => {
            let key: VerifyingKey = source.document(Role::Given)?;
            if key.origin == Origin::Development && development == DevelopmentKeys::Refused {
                return Err(Failure::Refused(format!(
                    "{}: a single party made this key and may forge proofs; --development-keys \
                     accepts that",
                    source.name()
                )));
            }
            Ok(AcceptedKey {
                digest: key.digest(),
                slots: key.circuit.slots,
            })
        }
    };
    let mut keys = given.iter().map(accept).collect::<Result<Vec<_>, _>>()?;
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair[0].digest == pair[1].digest) {
        return Err(Failure::usage("--verifying-key: one digest is given twice"));
    }
    if keys.len() > KEYS_MAX {
        return Err(Failure::usage(format!(
            "--verifying-key: at most {KEYS_MAX} are listed"
        )));
    }
    Ok(keys)
}

pub(super) fn now() -> Result<TimeMs, Failure> {
    let wrong = || Failure::usage("this machine's clock is not between 1970 and 9999");
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(|_| wrong())?;
    u64::try_from(since.as_millis())
        .ok()
        .and_then(TimeMs::new)
        .ok_or_else(wrong)
}

/// Writes the documents: `public/` for everybody, `private/` for the members.
pub(super) fn write(dir: &NewDirectory, founding: &Founding) -> Result<(), Failure> {
    dir.directory("public", Access::Public)?;
    dir.directory("private", Access::Private)?;
    let Founding {
        genesis,
        anchor,
        policy,
        set,
        roster,
    } = founding;
    let documents = [
        ("public/genesis.json", genesis.to_json(), Access::Public),
        ("public/trust-anchor.json", anchor.to_json(), Access::Public),
        ("public/policy.json", policy.to_json(), Access::Public),
        ("private/validator-set.json", set.to_json(), Access::Private),
        ("private/roster.json", roster.to_json(), Access::Private),
    ];
    for (name, json, access) in documents {
        let json = zeroize::Zeroizing::new(json + "\n"); // the set's salt is in one of them
        dir.file(name, json.as_bytes(), access)?;
    }
    Ok(())
}

/// The facts that every command about founding documents prints.
pub(super) fn describe(report: &mut Report, founding: &Founding) {
    let Founding { anchor, set, .. } = founding;
    let digest = anchor.digest();
    report
        .fact("chain", anchor.header.chain_id.as_str())
        .fact("validators", set.count())
        .fact("total power", set.total().get().to_string())
        .fact("set commitment", set.commitment().to_string())
        .fact("slots", set.size().slots())
        .fact("coverage", set.coverage(QuorumRule::COMMIT).to_string())
        .fact("anchor digest", digest.to_string())
        .fact("comparison number", comparison_number(&digest))
        .fact("bundle digest", founding.digest().to_string())
        .fact("bundle number", comparison_number(&founding.digest()));
}

/// What the documents do not promise, in words.
pub(super) fn warn(report: &mut Report, set: &ValidatorSet, keys: &[AcceptedKey]) {
    let coverage = set.coverage(QuorumRule::COMMIT);
    if !coverage.complete {
        report.warn(coverage.to_string());
    }
    if set.salt().is_none() {
        report.warn("the set is public: without a salt its commitment hides nobody");
    }
    if keys.is_empty() {
        report.warn(
            "no verifying key is accepted: no proof can be checked against this anchor, only \
             certificates in the clear",
        );
    } else if !keys.iter().any(|key| key.slots == set.size()) {
        report.warn(format!(
            "no accepted verifying key is of the set's circuit, {} slots",
            set.size().slots()
        ));
    }
}
