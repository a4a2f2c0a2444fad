//! `quorate certificate check`.

use quorate_verifier::certificate::{CertificateError, SignedHeader};
use quorate_verifier::primitives::{ChainId, Power};
use quorate_verifier::rule::{Intersection, QuorumRule};
use quorate_verifier::set::ValidatorSet;
use quorate_verifier::trust::TrustAnchor;

use crate::args::CertificateCheckArgs;
use crate::failure::{Failure, Role};
use crate::output::{Report, Verdict};

pub(super) fn check(args: &CertificateCheckArgs) -> Result<Report, Failure> {
    let anchor: Option<TrustAnchor> = args
        .anchor
        .as_ref()
        .map(|source| source.document(Role::Given))
        .transpose()?;
    let set: ValidatorSet = args.set.document(Role::Given)?;
    let signed: SignedHeader = args.signed.document(Role::Judged)?;
    let chain = match (&anchor, &args.chain) {
        (Some(anchor), _) => &anchor.header.chain_id,
        (None, Some(chain)) => chain,
        (None, None) => return Err(Failure::usage("--anchor or --chain is needed")),
    };
    let mut report = describe(&signed, args.rule);
    judge(
        &mut report,
        &signed,
        &set,
        anchor.as_ref(),
        chain,
        args.rule,
    );
    limits(&mut report, anchor.is_some(), args.rule);
    Ok(report)
}

pub(super) fn describe(signed: &SignedHeader, rule: QuorumRule) -> Report {
    let SignedHeader {
        header,
        certificate,
    } = signed;
    let mut report = Report::new(Verdict::Final, "");
    report
        .fact("chain", header.chain_id.as_str())
        .fact("height", header.height.get().to_string())
        .fact("block", header.digest().to_string())
        .fact("view", certificate.view().get().to_string())
        .fact("signers", certificate.votes().len())
        .fact("rule", rule.to_string());
    report
}

pub(super) fn judge(
    report: &mut Report,
    signed: &SignedHeader,
    set: &ValidatorSet,
    anchor: Option<&TrustAnchor>,
    chain: &ChainId,
    rule: QuorumRule,
) {
    let outcome = signed.verify(chain, set, rule);
    let own_chain = &signed.header.chain_id;
    list_checks(report, outcome.as_ref(), chain, set);
    let trusted = match anchor.map(|anchor| anchor.check_set(set)) {
        Some(trusted) => report.check(
            "trusted set",
            trusted.map(|()| "the anchor trusts this very set".into()),
        ),
        None => {
            report.skip(
                "trusted set",
                "no anchor was given: the set is trusted on your word",
            );
            true
        }
    };
    (report.verdict, report.summary) = match outcome {
        Ok(_) if !trusted => (
            Verdict::PolicyFailed,
            "a quorum signed this block, but of a set that the anchor does not trust".into(),
        ),
        Ok(_) if is_commit(rule) => (
            Verdict::Final,
            format!(
                "block {} at height {} of {own_chain} is final",
                signed.header.digest(),
                signed.header.height.get()
            ),
        ),
        Ok(_) => (
            Verdict::Verified,
            format!("validators with {rule} of the power signed; that alone makes nothing final"),
        ),
        Err(error) => (verdict_of(&error, signed, set), error.to_string()),
    };
}

/// What it means that a certificate is not one: of another chain, or short of a stricter rule, it
/// may still be sound in itself.
pub(super) fn verdict_of(
    error: &CertificateError,
    signed: &SignedHeader,
    set: &ValidatorSet,
) -> Verdict {
    let own_chain = &signed.header.chain_id;
    match error {
        CertificateError::WrongSet { .. } => Verdict::CannotEvaluate,
        CertificateError::WrongChain { .. } | CertificateError::NotEnoughPower { .. }
            if signed.verify(own_chain, set, QuorumRule::COMMIT).is_ok() =>
        {
            Verdict::PolicyFailed
        }
        _ => Verdict::Invalid,
    }
}

/// Two thirds or more: what makes a block final.
pub(super) fn is_commit(rule: QuorumRule) -> bool {
    let commit = QuorumRule::COMMIT;
    u64::from(rule.num()) * u64::from(commit.den())
        >= u64::from(commit.num()) * u64::from(rule.den())
}

/// The steps of the check in their order, up to the one that failed.
fn list_checks(
    report: &mut Report,
    outcome: Result<&Power, &CertificateError>,
    chain: &ChainId,
    set: &ValidatorSet,
) {
    use CertificateError as E;
    let passes = [
        ("chain", format!("the header is of {chain}")),
        (
            "set",
            format!("the header names set {}, the one at hand", set.commitment()),
        ),
        ("block", "the certificate is for this very header".into()),
        ("signers", "each is in the set and named once".into()),
        (
            "power",
            match outcome {
                Ok(signed) => format!("{} of {} signed", signed.get(), set.total().get()),
                Err(_) => "the signers' power is above what the rule takes".into(),
            },
        ),
        ("signatures", "every one holds".into()),
    ];
    let failed_step = |error: &CertificateError| match error {
        E::WrongChain { .. } => 0,
        E::WrongSet { .. } => 1,
        E::WrongBlock { .. } => 2,
        E::UnknownSigner { .. } | E::Duplicate(_) | E::WrongOrder { .. } | E::TooMany(_) => 3,
        E::NotEnoughPower { .. } => 4,
        E::BadSignatures(_) => 5,
    };
    report.steps(
        passes,
        outcome.err().map(|error| (failed_step(error), error)),
    );
}

pub(super) fn limits(report: &mut Report, anchored: bool, rule: QuorumRule) {
    report.not_checked("what the header's roots stand for: payload, outcomes and state");
    if anchored {
        report.not_checked("how the block follows the anchor: height, time and parents");
    }
    report.not_checked("that no other block was finalised at this height");
    report.not_checked("the time: no clock was read");
    if rule.guaranteed_intersection() == Intersection::None {
        report.warn(format!("{rule}: {}", rule.guaranteed_intersection()));
    }
}
