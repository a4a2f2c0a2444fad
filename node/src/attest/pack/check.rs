//! Judging a pack by a policy of its reader's.
//!
//! What is cheap to check comes first and the proofs last; every check has to hold.

use std::collections::BTreeMap;

use quorate_verifier::attestation::{Attestation, KeyRing, Verdict};
use quorate_verifier::encoding::{Canonical, DecodeError};
use quorate_verifier::file::FileType;
use quorate_verifier::header::Header;
use quorate_verifier::json::parse_decimal;
use quorate_verifier::light_client::{ClientError, ClientState, Options, Update};
use quorate_verifier::proof::{Origin, VerifyingKey};
use quorate_verifier::tlog::{FinalityEntry, LogError, LogProof, NoteKey, finality_log};
use quorate_verifier::trust::Policy;
use sha2::{Digest as _, Sha256};

use super::build::{header_name, log_name, proof_name};
use super::report::{self, Range};
use super::{CSV, HEIGHTS_MAX, MANIFEST, Manifest, README, REPORT, TYPE, VERIFIER, archive, words};
use crate::attest::http::verify_html;

type Files<'a> = BTreeMap<String, &'a [u8]>;

/// One thing that was looked at, and did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// A word for it, which does not change.
    pub name: &'static str,
    /// How it went.
    pub outcome: Outcome,
}

/// How a check went that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds: what that means.
    Holds(String),
    /// It was left out: why.
    NotChecked(String),
}

/// What failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The check's word.
    pub check: &'static str,
    /// What that means for the reader.
    pub class: Verdict,
    /// What is wrong, with the file's name where it is one file.
    pub what: String,
}

/// What is said of a pack.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// Chain, first, last and proved height as the manifest claims them, once it was read.
    pub range: Option<(String, u64, u64, u64)>,
    /// Checks that did not fail, in their order.
    pub steps: Vec<Step>,
    /// The first that failed; `None` when everything holds.
    pub refusal: Option<Refusal>,
    /// Whether a key that one party made was relied on.
    pub development_key: bool,
}

fn invalid(check: &'static str) -> impl Fn(String) -> Refusal {
    move |what| Refusal {
        check,
        class: Verdict::Invalid,
        what,
    }
}

/// Judges a pack. `ring` has the keys that the reader brings; a key in the pack is used only if
/// the policy names its digest.
pub fn check(pack: &[u8], policy: &Policy, ring: KeyRing) -> Judgement {
    let mut judgement = Judgement::default();
    if let Err(refusal) = run(pack, policy, ring, &mut judgement) {
        judgement.refusal = Some(refusal);
    }
    judgement
}

fn run(
    pack: &[u8],
    policy: &Policy,
    mut ring: KeyRing,
    judgement: &mut Judgement,
) -> Result<(), Refusal> {
    let mut files = archive::read(pack).map_err(invalid("archive"))?;
    let manifest = check_manifest(&mut files).map_err(invalid("manifest"))?;
    let (from, to, proved) = range(&manifest).map_err(invalid("manifest"))?;
    judgement.range = Some((manifest.chain.clone(), from, to, proved));
    check_names(&files, from, to, proved).map_err(invalid("manifest"))?;
    let mut step = |name, outcome| judgement.steps.push(Step { name, outcome });
    let holds = Outcome::Holds;
    let listed = format!("{} files are as it lists them", files.len());
    step("manifest", holds(listed));
    step("words", check_words(&files, from, to, proved));

    let expected = policy.anchor.header.chain_id.as_str();
    if manifest.chain != expected {
        return Err(Refusal {
            check: "chain",
            class: Verdict::PolicyFailed,
            what: format!(
                "{MANIFEST}: the pack is of chain {}, the policy's is {expected}",
                manifest.chain
            ),
        });
    }
    step("chain", holds("it is the policy's".into()));

    let headers = read_headers(&files, from, proved).map_err(invalid("headers"))?;
    let links = format!("each from {proved} down to {from} is the parent of the one above");
    step("headers", holds(links));

    let count = usize::try_from(to - from + 1).unwrap_or(usize::MAX);
    let in_range = &headers[..count];
    let told = Range {
        chain: &manifest.chain,
        headers: in_range,
        proved,
    };
    for (name, text) in [(CSV, report::csv(told)), (REPORT, report::json(told))] {
        if files.get(name) != Some(&text.as_slice()) {
            return Err(invalid("heights")(format!(
                "{name} does not say what the headers say"
            )));
        }
    }
    step(
        "heights",
        holds(format!("{CSV} and {REPORT} say what the headers say")),
    );

    let log = check_log(&files, in_range, policy)?;
    step("log", log);

    let used = add_keys(&files, policy, &mut ring).map_err(invalid("keys"))?;
    step(
        "keys",
        holds(format!("{used} of the policy's verifying keys are here")),
    );
    let proof = follow(&files, policy, &ring)?;
    if headers.last() != Some(&proof.header) {
        let (name, shown) = (header_name(proved), proof_name(proof.header.height.get()));
        return Err(invalid("proofs")(format!(
            "{name} is not the header that {shown} proves"
        )));
    }
    let words = format!("a quorum of the set that the anchor leads to signed height {proved}");
    step("proofs", holds(words));
    let origin = ring.get(&proof.key).map(|key| key.key().origin);
    judgement.development_key = origin == Some(Origin::Development);
    Ok(())
}

fn check_manifest(files: &mut Files<'_>) -> Result<Manifest, String> {
    let text = files.remove(MANIFEST).ok_or("there is no MANIFEST.json")?;
    let manifest: Manifest =
        serde_json::from_slice(text).map_err(|error| format!("{MANIFEST}: {error}"))?;
    if manifest.r#type != TYPE {
        return Err(format!(
            "{MANIFEST}: of type {:?}, not {TYPE:?}",
            manifest.r#type
        ));
    }
    if manifest.text() != text {
        return Err(format!("{MANIFEST} was changed: it is not in its one form"));
    }
    for listed in &manifest.files {
        let name = &listed.name;
        let bytes = files
            .get(name)
            .ok_or_else(|| format!("{name} is in {MANIFEST} and missing"))?;
        if bytes.len() != listed.bytes || hex::encode(Sha256::digest(bytes)) != listed.sha256 {
            return Err(format!(
                "{name} was changed: it is not what {MANIFEST} lists"
            ));
        }
    }
    if !manifest
        .files
        .iter()
        .map(|listed| &listed.name)
        .eq(files.keys())
    {
        let is_listed = |name: &&String| manifest.files.iter().any(|one| one.name == **name);
        let stray = files.keys().find(|name| !is_listed(name));
        return Err(match stray {
            Some(name) => format!("{name} is there, and {MANIFEST} does not list it"),
            None => format!("{MANIFEST} lists its files out of order"),
        });
    }
    Ok(manifest)
}

fn range(manifest: &Manifest) -> Result<(u64, u64, u64), String> {
    let number = |text: &str| parse_decimal(text).map_err(|rule| format!("{MANIFEST}: {rule}"));
    let (from, to) = (number(&manifest.from)?, number(&manifest.to)?);
    let proved = number(&manifest.proved_by)?;
    if from > to || to > proved || to - from >= HEIGHTS_MAX {
        return Err(format!(
            "{MANIFEST}: its heights are out of order, or too many"
        ));
    }
    Ok((from, to, proved))
}

/// Nothing is there that is not judged, and nothing is missing.
fn check_names(files: &Files<'_>, from: u64, to: u64, proved: u64) -> Result<(), String> {
    let folder = |name: &str| {
        files
            .keys()
            .filter(move |file| file.starts_with(name))
            .count() as u64
    };
    let known = |name: &str| {
        ["headers/", "keys/", "log/", "proofs/"]
            .iter()
            .any(|start| name.starts_with(start))
            || [README, CSV, REPORT, VERIFIER].contains(&name)
    };
    if let Some(name) = files.keys().find(|name| !known(name)) {
        return Err(format!("{name} has no place in a pack"));
    }
    for name in [README, CSV, REPORT, VERIFIER] {
        if !files.contains_key(name) {
            return Err(format!("{name} is missing"));
        }
    }
    // Manifests are the stranger's: the counts come before any loop over heights.
    for (name, last) in [("log/", to), ("headers/", proved)] {
        let (found, needed) = (folder(name), last - from);
        if found.checked_sub(1) != Some(needed) {
            return Err(format!(
                "{MANIFEST}: {found} files in {name} for heights {from} to {last}"
            ));
        }
    }
    let headers = (from..=proved).map(header_name);
    match headers
        .chain((from..=to).map(log_name))
        .find(|name| !files.contains_key(name))
    {
        Some(name) => Err(format!("{name} is missing")),
        None => Ok(()),
    }
}

/// Text and page are no evidence. They are known to be harmless when they are this program's own.
fn check_words(files: &Files<'_>, from: u64, to: u64, proved: u64) -> Outcome {
    let own = |name: &str, text: &str| files.get(name) == Some(&text.as_bytes());
    if !own(VERIFIER, verify_html()) {
        Outcome::NotChecked(format!("{VERIFIER} is not this program's: do not open it"))
    } else if !own(README, &words(from, to, proved)) {
        Outcome::NotChecked(format!(
            "{README} is not this program's: nothing in it was checked"
        ))
    } else {
        Outcome::Holds(format!("{README} and {VERIFIER} are those of this program"))
    }
}

/// Headers that lead down from the last by parent links.
fn read_headers(files: &Files<'_>, from: u64, proved: u64) -> Result<Vec<Header>, String> {
    let mut headers: Vec<Header> = Vec::new();
    for height in from..=proved {
        let name = header_name(height);
        let header: Header = decoded(files, &name)?;
        if header.height.get() != height {
            return Err(format!("{name}: it is of height {}", header.height.get()));
        }
        if let Some(below) = headers.last()
            && header.parent != below.digest()
        {
            let below = header_name(height - 1);
            return Err(format!("{below} is not the parent of {name}"));
        }
        headers.push(header);
    }
    Ok(headers)
}

fn check_log(files: &Files<'_>, headers: &[Header], policy: &Policy) -> Result<Outcome, Refusal> {
    let Some(key) = policy.log_key else {
        return Ok(Outcome::NotChecked("the policy names no log key".into()));
    };
    let log = finality_log(&policy.anchor.header.chain_id, key);
    let (mut start, mut size) = (None, 0);
    for header in headers {
        size = check_entry(files, header, policy, &log, &mut start)?;
    }
    Ok(Outcome::Holds(format!(
        "each height has its entry under a signed checkpoint of {size} entries; {} cosigners are \
         demanded",
        policy.cosigners.threshold()
    )))
}

fn check_entry(
    files: &Files<'_>,
    header: &Header,
    policy: &Policy,
    log: &NoteKey,
    start: &mut Option<u64>,
) -> Result<u64, Refusal> {
    let height = header.height.get();
    let name = log_name(height);
    let bad = |what: String| invalid("log")(format!("{name}: {what}"));
    let bytes = files
        .get(&name)
        .ok_or_else(|| bad("it is missing".into()))?;
    let text = std::str::from_utf8(bytes).map_err(|_| bad("it is not text".into()))?;
    let way: LogProof = text
        .parse()
        .map_err(|error: LogError| bad(error.to_string()))?;
    if way.to_string() != text {
        return Err(bad("it is not in its one form".into()));
    }
    let entry = FinalityEntry::of(header, policy.rule).to_bytes();
    way.verify(&entry, log, &policy.cosigners)
        .map_err(|error| Refusal {
            class: match &error {
                LogError::TooFewCosigners { .. }
                | LogError::NotSigned(_)
                | LogError::WrongOrigin { .. } => Verdict::PolicyFailed,
                _ => Verdict::Invalid,
            },
            ..bad(error.to_string())
        })?;
    // Entry i is of height first + i, so a height cannot have two.
    let first = height.checked_sub(way.index);
    let other = || bad(format!("entry {} is another height's", way.index));
    let first = first.ok_or_else(other)?;
    if *start.get_or_insert(first) != first {
        return Err(other());
    }
    Ok(way.checkpoint.head().size)
}

fn add_keys(files: &Files<'_>, policy: &Policy, ring: &mut KeyRing) -> Result<usize, String> {
    let mut used = 0;
    for name in files.keys().filter(|name| name.starts_with("keys/")) {
        let key: VerifyingKey = decoded(files, name)?;
        let digest = key.digest();
        if *name != format!("keys/{digest}.vk") {
            return Err(format!("{name}: its digest is {digest}"));
        }
        if policy.keys.iter().any(|accepted| accepted.digest == digest) {
            ring.insert(key.prepare().map_err(|error| format!("{name}: {error}"))?);
            used += 1;
        }
    }
    Ok(used)
}

/// Steps from the policy's anchor through every proof of the pack, and answers the last. Each step
/// is judged as of the time of the header that it leads to: evidence does not age.
fn follow(files: &Files<'_>, policy: &Policy, ring: &KeyRing) -> Result<Attestation, Refusal> {
    let refuse = |error: ClientError, name: &str| Refusal {
        check: "proofs",
        class: error.verdict(),
        what: format!("{name}: {error}"),
    };
    let mut state = ClientState::new(policy).map_err(|error| refuse(error, "the policy"))?;
    let options = Options {
        allow_skip: false,
        development_keys: policy.development_keys,
    };
    let mut last = None;
    for name in files.keys().filter(|name| name.starts_with("proofs/")) {
        let proof: Attestation = decoded(files, name).map_err(invalid("proofs"))?;
        let height = proof.header.height.get();
        if *name != proof_name(height) {
            return Err(invalid("proofs")(format!(
                "{name}: it is of height {height}"
            )));
        }
        let now = proof.header.time;
        let update = Update::step(proof.clone());
        let accepted = state.update(&update, ring, options, now);
        state = accepted.map_err(|error| refuse(error, name))?.state;
        last = Some(proof);
    }
    last.ok_or_else(|| invalid("proofs")("there is no proof in it".into()))
}

/// A file in its one, binary form.
fn decoded<T: FileType>(files: &Files<'_>, name: &str) -> Result<T, String> {
    let bytes = files
        .get(name)
        .ok_or_else(|| format!("{name} is missing"))?;
    T::from_binary(bytes).map_err(|error: DecodeError| format!("{name}: {error}"))
}
