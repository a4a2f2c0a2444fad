//! `quorate verify`: whether files hold, by what a policy demands.
//!
//! Keys, rule and anchor are the policy's. Of a file nothing is taken but what is to be judged.

mod documents;
mod inclusion;
mod pack;
mod proofs;

use std::collections::BTreeMap;

use quorate_verifier::attestation::{self, AttestationError, contradiction};
use quorate_verifier::header::Header;
use quorate_verifier::primitives::{Digest, TimeMs};
use quorate_verifier::set::ValidatorSet;
use quorate_verifier::trust::Policy;

use super::demands::{self, Keys};
use crate::args::VerifyArgs;
use crate::failure::{Failure, Role};
use crate::output::{Report, Verdict};
use crate::value::Value;
use documents::{Document, open};

/// What files are judged by.
struct Demands {
    policy: Policy,
    keys: Keys,
    set: Option<ValidatorSet>,
    now: TimeMs,
}

pub(super) fn run(args: &VerifyArgs) -> Result<Report, Failure> {
    let mut policy: Policy = args.policy.document(Role::Given)?;
    if args.keys.production {
        policy.development_keys = false;
    }
    let demands = Demands {
        keys: Keys::load(&policy.keys, &args.keys)?,
        set: (args.set.as_ref())
            .map(|source| source.document(Role::Given))
            .transpose()?,
        now: demands::time(args.now)?,
        policy,
    };
    if let Some(bytes) = pack::read(&args.files)? {
        let Demands { policy, keys, .. } = demands;
        let mut report = pack::judge(&bytes, &policy, keys);
        report.next = None;
        return Ok(report);
    }
    let opened: Vec<(String, Result<Document, Failure>)> = args
        .files
        .iter()
        .map(|source| (source.name(), open(source)))
        .collect();
    let mut judged = judge_all(opened, &demands);
    let disagreement = disagreement(&judged);
    let mut report = match (judged.len(), disagreement) {
        (1, _) => judged.remove(0).outcome?,
        (_, disagreement) => summarise(&judged, disagreement),
    };
    age_of_trust(&mut report, &demands);
    report.warnings.extend(demands.keys.warnings);
    Ok(report)
}

/// A file with what is said of it, and the header that it shows to be final.
struct Judged {
    name: String,
    kind: &'static str,
    outcome: Result<Report, Failure>,
    finalised: Option<Header>,
}

impl Judged {
    fn verdict(&self) -> Verdict {
        match &self.outcome {
            Ok(report) => report.verdict,
            Err(failure) => failure.verdict(),
        }
    }
}

/// Judges every file: attestations together, bare headers and what is in a block last, since those
/// hold by what was shown to be final.
fn judge_all(opened: Vec<(String, Result<Document, Failure>)>, demands: &Demands) -> Vec<Judged> {
    let attestations: Vec<_> = opened
        .iter()
        .filter_map(|(_, document)| match document {
            Ok(Document::Attestation(attestation)) => Some(&**attestation),
            _ => None,
        })
        .collect();
    let verdicts = attestation::verify_all(&attestations, &demands.policy, &demands.keys.ring);
    let mut verdicts: std::vec::IntoIter<Result<(), AttestationError>> = verdicts.into_iter();
    let (mut headers, mut inclusions) = (Vec::new(), Vec::new());
    let mut judged: Vec<Judged> = opened
        .into_iter()
        .enumerate()
        .map(|(place, (name, document))| {
            let kind = document.as_ref().map_or("", Document::word);
            let (outcome, finalised) = match document {
                Err(failure) => (Err(failure), None),
                Ok(Document::Header(header)) => {
                    headers.push((place, header));
                    (Ok(Report::new(Verdict::CannotEvaluate, "")), None)
                }
                Ok(Document::Inclusion(inclusion)) => {
                    inclusions.push((place, inclusion));
                    (Ok(Report::new(Verdict::CannotEvaluate, "")), None)
                }
                Ok(document) => {
                    let (report, finalised) = document.judge(demands, &mut verdicts);
                    (Ok(report), finalised)
                }
            };
            Judged {
                name,
                kind,
                outcome,
                finalised,
            }
        })
        .collect();
    let known = judge_headers(&mut judged, headers, demands);
    for (place, inclusion) in inclusions {
        let is_final = known.contains_key(&inclusion.trusted().digest());
        judged[place].outcome = Ok(inclusion.judge(is_final));
    }
    judged
}

/// A bare header holds when it is the anchor's, or an ancestor of a final one without a gap.
/// Answers every block that is known to be final, and why.
fn judge_headers(
    judged: &mut [Judged],
    mut headers: Vec<(usize, Box<Header>)>,
    demands: &Demands,
) -> BTreeMap<Digest, &'static str> {
    let anchor = &demands.policy.anchor.header;
    let mut known: BTreeMap<Digest, &'static str> = BTreeMap::new();
    for final_header in judged.iter().filter_map(|file| file.finalised.as_ref()) {
        known.insert(
            final_header.digest(),
            "a file beside it shows it to be final",
        );
        known.insert(final_header.parent, "the parent of a header that is final");
    }
    known.insert(anchor.parent, "the parent of the anchor's header");
    known.insert(anchor.digest(), "the anchor's own header");
    headers.sort_by_key(|(_, header)| std::cmp::Reverse(header.height));
    for (place, header) in headers {
        let digest = header.digest();
        let why = known.get(&digest).copied();
        if why.is_some() {
            known
                .entry(header.parent)
                .or_insert("an ancestor of a header that is final, by parent links");
            judged[place].finalised = Some((*header).clone());
        }
        judged[place].outcome = Ok(documents::header(&header, digest, why));
    }
    known
}

/// Two headers that were each shown to be final and cannot both stand.
fn disagreement(judged: &[Judged]) -> Option<String> {
    let mut shown: Vec<(&Header, &str)> = judged
        .iter()
        .filter_map(|file| Some((file.finalised.as_ref()?, file.name.as_str())))
        .collect();
    shown.sort_by_key(|(header, _)| header.height);
    shown.windows(2).find_map(|pair| {
        let [(one, first), (other, second)] = [pair[0], pair[1]];
        let what = contradiction(one, other)?;
        Some(format!(
            "{first} and {second} are both final and contradict each other: {what}"
        ))
    })
}

/// One line for each file, and the verdict of the worst.
fn summarise(judged: &[Judged], disagreement: Option<String>) -> Report {
    let worst = judged
        .iter()
        .map(Judged::verdict)
        .max_by_key(|verdict| badness(*verdict))
        .unwrap_or(Verdict::Verified);
    let good = judged
        .iter()
        .filter(|file| file.verdict().exit_code() == 0)
        .count();
    let summary = format!("{good} of {} files hold", judged.len());
    let mut report = Report::new(worst, summary);
    let row = |file: &Judged| {
        let (why, height) = match &file.outcome {
            Ok(report) => (report.summary.clone(), &file.finalised),
            Err(failure) => (failure.to_string(), &None),
        };
        Value::members([
            ("file", file.name.as_str().into()),
            ("kind", file.kind.into()),
            (
                "height",
                height.as_ref().map(|h| h.height.get().to_string()).into(),
            ),
            ("verdict", file.verdict().word().into()),
            ("why", why.into()),
        ])
    };
    report.fact("files", judged.iter().map(row).collect::<Value>());
    let reports = judged.iter().filter_map(|file| file.outcome.as_ref().ok());
    for told in reports.clone() {
        for what in &told.not_checked {
            if !report.not_checked.contains(what) {
                report.not_checked(what.as_str());
            }
        }
        for what in &told.warnings {
            if !report.warnings.contains(what) {
                report.warn(what.as_str());
            }
        }
    }
    report.next = reports
        .filter(|told| told.verdict.exit_code() != 0)
        .find_map(|told| told.next.clone());
    match disagreement {
        Some(what) => {
            report.verdict = Verdict::Invalid;
            report.summary.clone_from(&what);
            report.check("agreement", Err::<String, _>(what));
            report.next("keep both files: a client that trusts their set keeps them as evidence");
        }
        None => {
            let words = "no two of the headers shown to be final contradict each other";
            report.check("agreement", Ok::<_, String>(words.into()));
        }
    }
    report
}

/// Which of several verdicts stands for all: an incident before what could not be read, that
/// before what is missing, that before what is refused.
const fn badness(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Final | Verdict::Done => 0,
        Verdict::Verified => 1,
        Verdict::PolicyFailed => 2,
        Verdict::CannotEvaluate => 3,
        Verdict::Usage => 4,
        Verdict::Unavailable | Verdict::Interrupted => 5,
        Verdict::Invalid => 6,
    }
}

/// Proofs and signatures tell no time, so an old anchor is the reader's to judge.
fn age_of_trust(report: &mut Report, demands: &Demands) {
    let anchor = &demands.policy.anchor;
    let end = anchor.header.time.checked_add_ms(anchor.trusting_period_ms);
    if end.is_some_and(|end| end <= demands.now) {
        report.warn(
            "the anchor's trusting period has ended: members of its set may have left since, and \
             could sign anything without being called to account",
        );
    }
}
