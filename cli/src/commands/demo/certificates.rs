//! `quorate demo --certificates`: a block and its certificate without any network, in a directory
//! that is gone afterwards, unless one is named.
//!
//! Four validators are made with real keys, three of them sign a block, and its certificate is
//! checked in the clear; then certificates that must be refused are, each by its own rule.

use std::time::Instant;

use ed25519_dalek::{Signer, SigningKey};
use quorate_verifier::certificate::{
    CertificateError, CommitCertificate, CommitVote, SignedHeader,
};
use quorate_verifier::file::FileType;
use quorate_verifier::founding::Founding;
use quorate_verifier::genesis::Genesis;
use quorate_verifier::header::Header;
use quorate_verifier::message::CommitMessage;
use quorate_verifier::primitives::{ChainId, View};
use quorate_verifier::roster::Roster;
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::signature::Signature;

use super::super::founding::{self, DevelopmentKeys};
use super::super::init::Machine;
use crate::args::{ChainArgs, DemoArgs};
use crate::failure::{Failure, Role};
use crate::files::{Access, NewDirectory, Scratch, Source};
use crate::output::{Report, Verdict};
use crate::value::Value;

const VALIDATORS: u16 = 4;

pub(super) fn run(args: &DemoArgs) -> Result<Report, Failure> {
    let home = Scratch::new("quorate-demo-")?;
    let machines = (0..VALIDATORS)
        .map(|place| Machine::make(place, 26600 + place))
        .collect::<Result<Vec<_>, _>>()?;
    let roster = Roster::new(machines.iter().map(Machine::entry).collect())
        .expect("fresh keys, names and ports are all different");
    let founding = founding::make(
        "demo",
        roster,
        &chain_args(args),
        None,
        DevelopmentKeys::Accepted,
    )?;
    let block = first_block(&founding.genesis)?;
    let signers: Vec<&SigningKey> = machines.iter().map(|machine| &machine.consensus).collect();
    let signed = sign(&block, &signers, &[0, 1, 3]);

    // Through files and back, as between two machines.
    let dir = args.dir.clone().unwrap_or_else(|| home.path().join("net"));
    let net = NewDirectory::begin(&dir)?;
    founding::write(&net, &founding)?;
    net.file("block-1.signed-header", &signed.to_file(), Access::Private)?;
    net.finish()?;
    let signed: SignedHeader =
        Source::File(dir.join("block-1.signed-header")).document(Role::Judged)?;

    let cases = cases(&founding, &signed, &signers);
    let failed = cases.iter().filter(|case| !case.as_expected).count();
    let mut report = Report::new(
        Verdict::Done,
        "a block of four validators, final by three votes",
    );
    if failed > 0 {
        report.verdict = Verdict::Invalid;
        report.summary = format!("{failed} of {} certificates were misjudged", cases.len());
    }
    report
        .fact("chain", founding.anchor.header.chain_id.as_str())
        .fact("block", signed.header.digest().to_string())
        .fact("set commitment", founding.set.commitment().to_string())
        .fact("certificate bytes", signed.to_file().len())
        .fact(
            "certificates",
            cases.iter().map(Case::row).collect::<Value>(),
        );
    report
        .not_checked("proofs: quorate prove makes one of such a block")
        .not_checked("agreement: no node ran, the votes were signed in one process")
        .not_checked("attestations: quorate demo, without --certificates, has a service and a log");
    match &args.dir {
        Some(dir) => report.next(format!(
            "quorate prove {dir}/block-1.signed-header --set {dir}/private/validator-set.json \
             --policy {dir}/public/policy.json --out block-1.attestation",
            dir = dir.display()
        )),
        None => report.next(
            "quorate init --validators 4 --dir net, then quorate inspect net/private/roster.json",
        ),
    };
    Ok(report)
}

fn chain_args(args: &DemoArgs) -> ChainArgs {
    ChainArgs {
        slots: None,
        accept_unprovable: false,
        verifying_keys: args.verifying_keys.clone(),
        public_set: false,
        time: None,
        block_interval_ms: 1000,
        trusting_period_days: 14,
        clock_drift_ms: 10_000,
        ledger: None,
        state_root: None,
    }
}

/// An empty block on top of genesis.
fn first_block(genesis: &Genesis) -> Result<Header, Failure> {
    let parent = genesis
        .header()
        .map_err(|error| Failure::usage(error.to_string()))?;
    let late = || Failure::usage("this machine's clock is at the end of time");
    Ok(Header {
        height: parent.height.next().ok_or_else(late)?,
        time: parent.time.checked_add_ms(1000).ok_or_else(late)?,
        parent: parent.digest(),
        ..parent
    })
}

/// Signs a header by the validators at these places, which increase.
fn sign(header: &Header, keys: &[&SigningKey], places: &[u16]) -> SignedHeader {
    let message = CommitMessage::new(&header.digest(), View::FIRST);
    let vote = |index: &u16| {
        let signature = keys[usize::from(*index)].sign(message.as_bytes());
        CommitVote {
            index: *index,
            signature: Signature::from_bytes(signature.to_bytes()),
        }
    };
    let votes = places.iter().map(vote).collect();
    let certificate = CommitCertificate::new(header.digest(), View::FIRST, votes)
        .expect("places are given in order");
    SignedHeader {
        header: header.clone(),
        certificate,
    }
}

/// A certificate, what is expected of it, and what the check said.
struct Case {
    what: &'static str,
    verdict: &'static str,
    why: String,
    time_us: u64,
    as_expected: bool,
}

impl Case {
    fn row(&self) -> Value {
        Value::members([
            ("certificate", self.what.into()),
            ("verdict", self.verdict.into()),
            ("expected", self.as_expected.into()),
            ("us", self.time_us.into()),
            ("why", self.why.as_str().into()),
        ])
    }
}

/// Digests by their first eight digits, for a table.
fn shorten(text: &str) -> String {
    let is_digest =
        |word: &str| word.len() >= 64 && word.bytes().take(64).all(|b| b.is_ascii_hexdigit());
    let short = |word: &str| match is_digest(word) {
        true => format!("{}…{}", &word[..8], &word[64..]),
        false => word.to_string(),
    };
    text.split(' ').map(short).collect::<Vec<_>>().join(" ")
}

/// Whether a refusal is the one that is expected; `None` is acceptance.
type Expected = fn(Option<&CertificateError>) -> bool;

fn cases(founding: &Founding, good: &SignedHeader, keys: &[&SigningKey]) -> Vec<Case> {
    use CertificateError as E;
    let chain = &founding.anchor.header.chain_id;
    let judge = |what, signed: &SignedHeader, chain: &ChainId, expected: Expected| {
        let start = Instant::now();
        let outcome = signed.verify(chain, &founding.set, QuorumRule::COMMIT);
        let time_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (verdict, why) = match &outcome {
            Ok(power) => ("final", format!("{} of {VALIDATORS} signed", power.get())),
            Err(error) => ("refused", shorten(&error.to_string())),
        };
        Case {
            what,
            verdict,
            why,
            time_us,
            as_expected: expected(outcome.as_ref().err()),
        }
    };
    let mut changed = good.clone();
    changed.header.time = changed
        .header
        .time
        .checked_add_ms(1)
        .unwrap_or(changed.header.time);
    let stranger = SigningKey::from_bytes(&[7; 32]);
    let with_stranger = [keys[0], keys[1], keys[2], &stranger];
    let other = ChainId::new("other-0000000000000000").expect("a good id");
    vec![
        judge("three of four", good, chain, |e| e.is_none()),
        judge(
            "two of four",
            &sign(&good.header, keys, &[0, 1]),
            chain,
            |e| matches!(e, Some(E::NotEnoughPower { .. })),
        ),
        judge(
            "one vote by a stranger's key",
            &sign(&good.header, &with_stranger, &[0, 1, 3]),
            chain,
            |e| matches!(e, Some(E::BadSignatures(bad)) if bad.len() == 1 && bad[0].signer == 3),
        ),
        judge("header changed by 1 ms", &changed, chain, |e| {
            matches!(e, Some(E::WrongBlock { .. }))
        }),
        judge("another chain", good, &other, |e| {
            matches!(e, Some(E::WrongChain { .. }))
        }),
    ]
}
