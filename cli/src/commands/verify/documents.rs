//! What kind of file it is, and the judgement of those without a proof.

use std::fmt::Display;

use quorate_verifier::attestation::{Attestation, AttestationError, contradiction};
use quorate_verifier::bundle::Bundle;
use quorate_verifier::certificate::{CertificateError, CommitCertificate, SignedHeader};
use quorate_verifier::encoding::Kind;
use quorate_verifier::file::FileType;
use quorate_verifier::genesis::{Genesis, Parameters};
use quorate_verifier::header::Header;
use quorate_verifier::light_client::{Fork, Update};
use quorate_verifier::primitives::{Digest, Height};
use quorate_verifier::proof::{Origin, VerifyingKey};
use quorate_verifier::roster::Roster;
use quorate_verifier::set::ValidatorSet;
use quorate_verifier::trust::TrustAnchor;

use super::super::demands::describe_key;
use super::super::{certificate, inspect};
use super::inclusion::{self, Inclusion};
use super::{Demands, proofs};
use crate::failure::{Failure, Role};
use crate::files::Source;
use crate::output::{Report, Verdict};
use crate::spoken::comparison_number;

/// A file that decodes.
pub(super) enum Document {
    Attestation(Box<Attestation>),
    Update(Box<Update>),
    Fork(Box<Fork>),
    Header(Box<Header>),
    SignedHeader(Box<SignedHeader>),
    Certificate(CommitCertificate),
    Genesis(Box<Genesis>),
    Parameters(Box<Parameters>),
    Anchor(Box<TrustAnchor>),
    Set(Box<ValidatorSet>),
    Roster(Box<Roster>),
    Bundle(Box<Bundle>),
    Key(Box<VerifyingKey>),
    Inclusion(Inclusion),
}

/// Reads a file of any kind that can be verified.
pub(super) fn open(source: &Source) -> Result<Document, Failure> {
    let bytes = source.read(inspect::FILE_MAX_BYTES.max(inclusion::FILE_MAX_BYTES))?;
    let kind = inspect::kind_of(source, &bytes)?;
    fn read<T: FileType>(source: &Source, bytes: &[u8]) -> Result<Box<T>, Failure> {
        T::from_file(bytes)
            .map(Box::new)
            .map_err(|error| source.decode_failure(error, Role::Judged))
    }
    Ok(match kind {
        Kind::Attestation => Document::Attestation(read(source, &bytes)?),
        Kind::ClientUpdate => Document::Update(read(source, &bytes)?),
        Kind::Fork => Document::Fork(read(source, &bytes)?),
        Kind::Header => Document::Header(read(source, &bytes)?),
        Kind::SignedHeader => Document::SignedHeader(read(source, &bytes)?),
        Kind::Certificate => Document::Certificate(*read(source, &bytes)?),
        Kind::Genesis => Document::Genesis(read(source, &bytes)?),
        Kind::Parameters => Document::Parameters(read(source, &bytes)?),
        Kind::TrustAnchor => Document::Anchor(read(source, &bytes)?),
        Kind::ValidatorSet => Document::Set(read(source, &bytes)?),
        Kind::Roster => Document::Roster(read(source, &bytes)?),
        Kind::Bundle => Document::Bundle(read(source, &bytes)?),
        Kind::VerifyingKey => Document::Key(read(source, &bytes)?),
        Kind::SubmissionProof => Document::Inclusion(Inclusion::Submission(read(source, &bytes)?)),
        Kind::SettlementProof => Document::Inclusion(Inclusion::Settlement(read(source, &bytes)?)),
        Kind::StateProof => Document::Inclusion(Inclusion::State(read(source, &bytes)?)),
        _ => {
            return Err(Failure::Unknown(format!(
                "{}: a {kind} file: there is nothing in it that a policy could judge",
                source.name()
            )));
        }
    })
}

impl Document {
    /// The kind, for a table.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Attestation(_) => Kind::Attestation,
            Self::Update(_) => Kind::ClientUpdate,
            Self::Fork(_) => Kind::Fork,
            Self::Header(_) => Kind::Header,
            Self::SignedHeader(_) => Kind::SignedHeader,
            Self::Certificate(_) => Kind::Certificate,
            Self::Genesis(_) => Kind::Genesis,
            Self::Parameters(_) => Kind::Parameters,
            Self::Anchor(_) => Kind::TrustAnchor,
            Self::Set(_) => Kind::ValidatorSet,
            Self::Roster(_) => Kind::Roster,
            Self::Bundle(_) => Kind::Bundle,
            Self::Key(_) => Kind::VerifyingKey,
            Self::Inclusion(inclusion) => inclusion.kind(),
        }
        .word()
    }

    /// What is said of it, and the header that it shows to be final. Attestations were judged
    /// together: `verdicts` has what was said of them, in order. Headers, and what is in a block, hold by other files and are judged with
    /// these.
    pub(super) fn judge(
        self,
        demands: &Demands,
        verdicts: &mut impl Iterator<Item = Result<(), AttestationError>>,
    ) -> (Report, Option<Header>) {
        match self {
            Self::Attestation(attestation) => {
                let verdict = verdicts.next().expect("one verdict for each attestation");
                proofs::attestation(&attestation, &verdict, demands)
            }
            Self::Update(update) => proofs::update(&update, demands),
            Self::SignedHeader(signed) => signed_header(&signed, demands),
            Self::Header(header) => (self::header(&header, header.digest(), None), None),
            Self::Fork(fork) => (proofs::fork(&fork, demands), None),
            Self::Certificate(certificate) => (bare_certificate(&certificate, demands), None),
            Self::Genesis(document) => (genesis(&document, demands), None),
            Self::Parameters(document) => (parameters(&document, demands), None),
            Self::Anchor(document) => (anchor(&document, demands), None),
            Self::Set(document) => (set(&document, demands), None),
            Self::Roster(document) => (roster(&document, demands), None),
            Self::Bundle(document) => (bundle(&document, demands), None),
            Self::Key(key) => (verifying_key(*key, demands), None),
            Self::Inclusion(inclusion) => (inclusion.judge(false), None),
        }
    }
}

/// A report of one check: it holds, or it fails with a verdict.
fn one_check<E: Display>(
    name: &'static str,
    outcome: Result<String, E>,
    failed: Verdict,
) -> Report {
    let (verdict, summary) = match &outcome {
        Ok(words) => (Verdict::Verified, words.clone()),
        Err(error) => (failed, error.to_string()),
    };
    let mut report = Report::new(verdict, summary);
    report.check(name, outcome);
    report
}

fn cannot_evaluate(summary: impl Into<String>, next: &str) -> Report {
    let mut report = Report::new(Verdict::CannotEvaluate, summary);
    report.next(next);
    report
}

const SET_NEEDED: &str = "give the validator set with --set";

fn signed_header(signed: &SignedHeader, demands: &Demands) -> (Report, Option<Header>) {
    let Some(set) = &demands.set else {
        let summary = "a certificate names its signers by place: their set is needed";
        return (cannot_evaluate(summary, SET_NEEDED), None);
    };
    let (policy, anchor) = (&demands.policy, &demands.policy.anchor);
    let mut report = certificate::describe(signed, policy.rule);
    let chain = &anchor.header.chain_id;
    certificate::judge(&mut report, signed, set, Some(anchor), chain, policy.rule);
    certificate::limits(&mut report, true, policy.rule);
    if report.verdict != Verdict::Final {
        return (report, None);
    }
    match contradiction(&anchor.header, &signed.header) {
        Some(what) => {
            report.verdict = Verdict::Invalid;
            report.summary = format!("the header is final and contradicts the anchor: {what}");
            report.check("anchor", Err::<String, _>(what));
            (report, None)
        }
        None => (report, Some(signed.header.clone())),
    }
}

fn bare_certificate(certificate: &CommitCertificate, demands: &Demands) -> Report {
    let Some(set) = &demands.set else {
        let summary = "a certificate names its signers by place: their set is needed";
        return cannot_evaluate(summary, SET_NEEDED);
    };
    let policy = &demands.policy;
    if let Err(error) = policy.anchor.check_set(set) {
        return one_check("trusted set", Err(error), Verdict::PolicyFailed);
    }
    let (block, view) = (certificate.block(), certificate.view().get());
    let outcome = certificate.verify(set, policy.rule);
    let verdict = match &outcome {
        Err(CertificateError::NotEnoughPower { .. })
            if certificate
                .verify(set, quorate_verifier::rule::QuorumRule::COMMIT)
                .is_ok() =>
        {
            Verdict::PolicyFailed
        }
        _ => Verdict::Invalid,
    };
    let words = format!(
        "more than {} of the trusted set's power signed block {block} in view {view}",
        policy.rule
    );
    let mut report = one_check("certificate", outcome.map(|_| words), verdict);
    report.not_checked("the header: a certificate alone has only its digest");
    report
}

/// A bare header, with the reason for which it is known to be final, if there is one.
pub(super) fn header(header: &Header, digest: Digest, why: Option<&'static str>) -> Report {
    let mut report = match why {
        Some(why) => {
            let height = header.height.get();
            let summary = format!(
                "block {digest} at height {height} of {} is final: {why}",
                header.chain_id
            );
            let mut report = Report::new(Verdict::Final, summary);
            report.check("ancestry", Ok::<_, String>(why.into()));
            report
        }
        None => cannot_evaluate(
            "a header shows nothing by itself, and no file here shows a descendant to be final",
            "give an attestation of it, or of a later one with all headers between",
        ),
    };
    report
        .fact("chain", header.chain_id.as_str())
        .fact("height", header.height.get().to_string())
        .fact("block", digest.to_string());
    report
}

fn genesis(document: &Genesis, demands: &Demands) -> Report {
    let anchor = &demands.policy.anchor;
    let made = "the anchor's chain id ends in this document's digest".to_string();
    let chain = anchor.check_chain(document);
    let is_its = chain.is_ok();
    let mut report = one_check("chain id", chain.map(|()| made), Verdict::PolicyFailed);
    if is_its && anchor.header.height == Height::GENESIS {
        let header = anchor
            .check_genesis_header(document)
            .map(|()| "the anchor's header is the one that the document makes".into());
        if !report.check("header", header) {
            report.verdict = Verdict::Invalid;
            report.summary = "the document makes the anchor's chain, but another header".into();
        }
    } else if is_its {
        report.skip("header", "the anchor is of a later block than genesis");
    }
    report.fact("digest", document.digest().to_string());
    report
}

fn parameters(document: &Parameters, demands: &Demands) -> Report {
    let (named, digest) = (demands.policy.anchor.header.parameters, document.digest());
    let outcome = if named == digest {
        Ok("these are the parameters that the anchor's header names".to_string())
    } else {
        Err(format!(
            "the anchor's header names parameters {named}, these are {digest}"
        ))
    };
    one_check("parameters", outcome, Verdict::PolicyFailed)
}

fn anchor(document: &TrustAnchor, demands: &Demands) -> Report {
    let (demanded, digest) = (demands.policy.anchor.digest(), document.digest());
    let outcome = if demanded == digest {
        Ok("this is the policy's anchor".to_string())
    } else {
        Err(format!(
            "the policy's anchor has digest {demanded}, this one {digest}"
        ))
    };
    let mut report = one_check("anchor", outcome, Verdict::PolicyFailed);
    report
        .fact("comparison number", comparison_number(&digest))
        .not_checked("who made the anchor: compare the number by telephone");
    report
}

fn set(document: &ValidatorSet, demands: &Demands) -> Report {
    let words = "this is the set that the anchor trusts".to_string();
    let trusted = demands.policy.anchor.check_set(document);
    let mut report = one_check("set", trusted.map(|()| words), Verdict::PolicyFailed);
    report
        .fact("validators", document.count())
        .fact("set commitment", document.commitment().to_string());
    report
}

/// A roster has no salt: it is compared with a set that has, or with the anchor if nothing hides it.
fn roster(document: &Roster, demands: &Demands) -> Report {
    let anchor = &demands.policy.anchor;
    let trusted = |set: &ValidatorSet| anchor.check_set(set).is_ok();
    match &demands.set {
        Some(set) if trusted(set) => {
            let words = "the roster's keys and powers are those of the trusted set".to_string();
            let outcome = document.check_set(set).map(|()| words);
            one_check("roster", outcome, Verdict::Invalid)
        }
        Some(set) => {
            let outcome = anchor.check_set(set).map(|()| String::new());
            one_check("trusted set", outcome, Verdict::PolicyFailed)
        }
        None => {
            let size = quorate_verifier::sizes::largest().size;
            let open = document.validator_set(None, size).ok();
            if open.is_some_and(|set| trusted(&set)) {
                let words = "the anchor trusts this public set".to_string();
                one_check("roster", Ok::<_, String>(words), Verdict::Invalid)
            } else {
                let summary = "the trusted set is not this roster without a salt";
                cannot_evaluate(summary, SET_NEEDED)
            }
        }
    }
}

fn bundle(document: &Bundle, demands: &Demands) -> Report {
    let expected = &demands.policy.anchor.header.chain_id;
    if document.chain_id != *expected {
        let error = format!(
            "the bundle is of chain {}, {expected} was expected",
            document.chain_id
        );
        return one_check("chain", Err(error), Verdict::PolicyFailed);
    }
    let mut report = cannot_evaluate(
        "a bundle is sealed: only its machine can look into it",
        "`quorate bundle open`, which checks all that is in it",
    );
    report.check(
        "chain",
        Ok::<_, String>(format!("the bundle is of {expected}")),
    );
    report
}

fn verifying_key(key: VerifyingKey, demands: &Demands) -> Report {
    let (policy, digest) = (&demands.policy, key.digest());
    let listed = policy.keys.iter().find(|listed| listed.digest == digest);
    let refused = match listed {
        None => Some(format!(
            "verifying key {digest} is not among the accepted ones"
        )),
        Some(listed) if listed.slots != key.circuit.slots => Some(format!(
            "verifying key {digest} has {} slots, the policy lists it with {}",
            key.circuit.slots.slots(),
            listed.slots.slots()
        )),
        Some(_) if key.origin == Origin::Development && !policy.development_keys => {
            Some(AttestationError::DevelopmentKey(digest).to_string())
        }
        Some(_) => None,
    };
    let outcome = match refused {
        None => Ok("the policy accepts proofs under this key".to_string()),
        Some(why) => Err(why),
    };
    let mut report = one_check("key", outcome, Verdict::PolicyFailed);
    describe_key(&mut report, &key);
    if let Err(error) = key.prepare() {
        report.verdict = Verdict::Invalid;
        report.summary = error.to_string();
        report.check("points", Err::<String, _>(error));
    }
    report.not_checked("who made the key, and whether its secrets were destroyed");
    report
}
