//! What is proved: attestations, updates, evidence of forks.

use quorate_verifier::attestation::{Attestation, AttestationError, Verdict as Class};
use quorate_verifier::header::Header;
use quorate_verifier::light_client::{ClientState, Fork, Options, Trusted, Update};
use quorate_verifier::primitives::Digest;
use quorate_verifier::rule::{Intersection, QuorumRule};

use super::super::certificate::is_commit;
use super::super::demands::{describe_key, remedy, verdict_of};
use super::Demands;
use crate::output::{Report, Verdict};

/// What an attestation is about. The signers are nowhere: nobody can tell them from it.
fn describe(attestation: &Attestation) -> Report {
    let header = &attestation.header;
    let mut report = Report::new(Verdict::Final, "");
    report
        .fact("chain", header.chain_id.as_str())
        .fact("height", header.height.get().to_string())
        .fact("block", header.digest().to_string())
        .fact("view", attestation.view.get().to_string())
        .fact("rule", attestation.rule.to_string());
    report
}

/// The key by which a proof was judged, if it was at hand and accepted.
fn key_facts(report: &mut Report, digest: &Digest, demands: &Demands) {
    let listed = demands.policy.keys.iter().any(|key| key.digest == *digest);
    match demands.keys.ring.get(digest).filter(|_| listed) {
        Some(key) => {
            describe_key(report, key.key());
            if key.key().origin == quorate_verifier::proof::Origin::Development {
                report.warn(format!(
                    "verifying key {digest} is a development key: whoever made it can forge proofs"
                ));
            }
        }
        None => {
            report.fact("verifying key", format!("{digest}, by the file's own word"));
        }
    }
}

/// An attestation, with what the library says of it.
pub(super) fn attestation(
    attestation: &Attestation,
    verdict: &Result<(), AttestationError>,
    demands: &Demands,
) -> (Report, Option<Header>) {
    use AttestationError as E;
    let (policy, header) = (&demands.policy, &attestation.header);
    let mut report = describe(attestation);
    key_facts(&mut report, &attestation.key, demands);
    let steps = [
        ("chain", format!("the header is of {}", header.chain_id)),
        (
            "rule",
            format!("{} is what the policy demands", policy.rule),
        ),
        (
            "trusted set",
            format!(
                "the header is signed by set {}, which the anchor trusts",
                header.validators
            ),
        ),
        (
            "key",
            "accepted by the policy, at hand, of the listed size".into(),
        ),
        (
            "proof",
            "shows that a quorum of the set signed this header in this view".into(),
        ),
        (
            "anchor",
            "height, time and parent do not contradict the anchor's header".into(),
        ),
    ];
    let failed = |error: &AttestationError| match error {
        E::WrongChain { .. } => 0,
        E::WrongRule { .. } => 1,
        E::UntrustedSet { .. } => 2,
        E::KeyNotAccepted(_) | E::KeyMissing(_) | E::WrongSize { .. } | E::DevelopmentKey(_) => 3,
        E::Proof(_) => 4,
        E::Contradiction(_) => 5,
    };
    let error = verdict.as_ref().err();
    report.steps(steps, error.map(|error| (failed(error), error)));
    (report.verdict, report.summary) = match error {
        None => accepted(header, attestation.rule),
        Some(error) => (verdict_of(error.verdict()), error.to_string()),
    };
    if let Some(what) = error.and_then(remedy) {
        report.next(what);
    }
    limits(&mut report, attestation.rule);
    let shown = error.is_none() && is_commit(attestation.rule);
    (report, shown.then(|| header.clone()))
}

pub(super) fn accepted(header: &Header, rule: QuorumRule) -> (Verdict, String) {
    if is_commit(rule) {
        let (digest, height) = (header.digest(), header.height.get());
        let summary = format!(
            "block {digest} at height {height} of {} is final",
            header.chain_id
        );
        (Verdict::Final, summary)
    } else {
        let summary =
            format!("validators with {rule} of the power signed; that alone makes nothing final");
        (Verdict::Verified, summary)
    }
}

fn limits(report: &mut Report, rule: QuorumRule) {
    report
        .not_checked("what the header's roots stand for: payload, outcomes and state")
        .not_checked("that the header is the newest, or that no other was finalised at its height")
        .not_checked("the time: the anchor's set may have left since, and no clock judges a proof");
    if rule.guaranteed_intersection() == Intersection::None {
        report.warn(format!("{rule}: {}", rule.guaranteed_intersection()));
    }
}

/// An update: the step that a light client would take straight from the anchor.
pub(super) fn update(update: &Update, demands: &Demands) -> (Report, Option<Header>) {
    let attestation = &update.attestation;
    let mut report = describe(attestation);
    key_facts(&mut report, &attestation.key, demands);
    let options = Options {
        allow_skip: false,
        development_keys: demands.policy.development_keys,
    };
    let outcome = ClientState::new(&demands.policy)
        .and_then(|state| state.update(update, &demands.keys.ring, options, demands.now));
    let step = "a light client steps to it straight from the anchor".into();
    let error = outcome.as_ref().err();
    report.steps([("step", step)], error.map(|error| (0, error)));
    (report.verdict, report.summary) = match error {
        None => accepted(&attestation.header, attestation.rule),
        Some(error) => (verdict_of(error.verdict()), error.to_string()),
    };
    report
        .not_checked("what the header's roots stand for: payload, outcomes and state")
        .not_checked("a skip: only `quorate light-client update --allow-skip` takes one");
    (report, error.is_none().then(|| attestation.header.clone()))
}

/// Evidence that a set signed two histories. That it holds is bad news, and `verified`.
pub(super) fn fork(fork: &Fork, demands: &Demands) -> Report {
    let outcome = fork.verify(&demands.policy, &demands.keys.ring);
    let mut report = Report::new(Verdict::Verified, "");
    let first = fork.trusted().header();
    report
        .fact("chain", first.chain_id.as_str())
        .fact("height", fork.height().get().to_string())
        .fact("block", first.digest().to_string())
        .fact(
            "conflicting block",
            fork.conflicting().header.digest().to_string(),
        );
    key_facts(&mut report, &fork.conflicting().key, demands);
    let words = match fork.trusted() {
        Trusted::Anchor(_) => "the anchor's own header, and another one proved over its set",
        Trusted::Proved(_) => "two headers, both proved over the set that the anchor trusts",
    };
    report.check("evidence", outcome.as_ref().map(|()| words.to_string()));
    (report.verdict, report.summary) = match &outcome {
        Ok(()) => {
            report.warn(format!(
                "FORK at height {}: more than a third of the set's power signed both blocks",
                fork.height().get()
            ));
            (
                Verdict::Verified,
                format!("evidence of a FORK at height {} holds", fork.height().get()),
            )
        }
        Err(error) => (verdict_of(class(error)), error.to_string()),
    };
    report
        .not_checked("who signed both: proofs name nobody, the certificates do")
        .not_checked("that the set was still to be trusted when it signed");
    report
}

fn class(error: &quorate_verifier::light_client::ForkError) -> Class {
    use quorate_verifier::light_client::ForkError as E;
    match error {
        E::NoFork(_) => Class::Invalid,
        E::OtherAnchor | E::Rule(_) => Class::PolicyFailed,
        E::Attestation(error) => error.verdict(),
    }
}
