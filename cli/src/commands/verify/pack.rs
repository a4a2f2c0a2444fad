//! An evidence pack: one archive, judged by a policy of its reader's.
//!
//! Anchor, rule, accepted keys, log key and cosigners are the policy's. A verifying key in the
//! pack is used only if the policy names its digest.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use quorate_verifier::attestation::Attestation;
use quorate_verifier::encoding::DecodeError;
use quorate_verifier::file::FileType;
use quorate_verifier::header::Header;
use quorate_verifier::light_client::{ClientState, Options, Update};
use quorate_verifier::primitives::Digest;
use quorate_verifier::proof::VerifyingKey;
use quorate_verifier::tlog::{FinalityEntry, LogProof, finality_log};
use quorate_verifier::trust::Policy;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::super::demands::{Keys, verdict_of};
use super::super::export::{MANIFEST, TYPE};
use crate::failure::Failure;
use crate::files::Source;
use crate::output::{Report, Verdict};

/// Largest archive.
const PACK_MAX_BYTES: usize = 256 << 20;
/// Most files in one.
const FILES_MAX: usize = 40_000;

/// The one file that is to be judged, if it is a tar archive.
pub(super) fn read(files: &[Source]) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    let [source @ Source::File(path)] = files else {
        return Ok(None);
    };
    let mut head = [0; 512];
    let is_archive = File::open(path)
        .and_then(|mut file| file.read_exact(&mut head))
        .is_ok_and(|()| head[257..263] == *b"ustar\0");
    is_archive.then(|| source.read(PACK_MAX_BYTES)).transpose()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Manifest {
    r#type: String,
    chain: String,
    from: String,
    to: String,
    proved_by: String,
    files: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    name: String,
    bytes: usize,
    sha256: String,
}

/// What failed: which check, the verdict, and in words.
struct Refusal(&'static str, Verdict, String);

fn invalid(check: &'static str) -> impl Fn(String) -> Refusal {
    move |what| Refusal(check, Verdict::Invalid, what)
}

/// Judges a pack.
pub(super) fn judge(bytes: &[u8], policy: &Policy, mut keys: Keys) -> Report {
    let mut report = Report::new(Verdict::Final, "");
    match check(bytes, policy, &mut keys, &mut report) {
        Ok(summary) => report.summary = summary,
        Err(Refusal(check, verdict, what)) => {
            report.check::<String>(check, Err(what.clone()));
            report.verdict = verdict;
            report.summary = what;
        }
    }
    report.not_checked("that the sets on the way are to be trusted today: each was judged as of the next block's time");
    report.not_checked("what the headers' roots stand for: payload, outcomes and state");
    report.not_checked("that these are the newest heights");
    report
}

fn check(
    bytes: &[u8],
    policy: &Policy,
    keys: &mut Keys,
    report: &mut Report,
) -> Result<String, Refusal> {
    let mut files = unpack(bytes).map_err(invalid("archive"))?;
    let manifest = check_manifest(&mut files).map_err(invalid("manifest"))?;
    let (from, to, proved) = range(&manifest).map_err(invalid("manifest"))?;
    report
        .fact("chain", manifest.chain.as_str())
        .fact("from", from.to_string())
        .fact("to", to.to_string());
    report.check::<String>(
        "manifest",
        Ok(format!("{} files are as it lists them", files.len())),
    );
    check_names(&files, from, to).map_err(invalid("manifest"))?;
    let wrong_chain = || {
        let expected = &policy.anchor.header.chain_id;
        format!(
            "the pack is of chain {}, the policy's is {expected}",
            manifest.chain
        )
    };
    if manifest.chain != policy.anchor.header.chain_id.as_str() {
        return Err(Refusal("chain", Verdict::PolicyFailed, wrong_chain()));
    }
    add_keys(&files, policy, keys).map_err(invalid("keys"))?;
    let proof = follow(&files, policy, keys, proved)?;
    report.check::<String>(
        "proofs",
        Ok(format!(
            "a quorum of the set that the anchor leads to signed height {proved}"
        )),
    );
    let headers = check_headers(&files, from, &proof).map_err(invalid("headers"))?;
    report.check::<String>(
        "headers",
        Ok(format!(
            "parent links lead from height {proved} down to height {from}"
        )),
    );
    check_csv(&files, &headers, proved).map_err(invalid("heights.csv"))?;
    report.check::<String>("heights.csv", Ok("it says what the headers say".into()));
    let in_range = headers.iter().filter(|header| header.height.get() <= to);
    match policy.log_key {
        None => report.skip("log", "the policy names no log key"),
        Some(key) => {
            let log = finality_log(&policy.anchor.header.chain_id, key);
            let mut start = None;
            for header in in_range {
                let height = header.height.get();
                check_entry(&files, header, policy, &log, &mut start).map_err(
                    |(verdict, what)| Refusal("log", verdict, format!("height {height}: {what}")),
                )?;
            }
            let what = format!(
                "each height has its entry; {} cosigners are demanded",
                policy.cosigners.threshold()
            );
            report.check::<String>("log", Ok(what));
        }
    }
    Ok(format!(
        "heights {from} to {to} of {} are final",
        manifest.chain
    ))
}

/// The files of a ustar archive: plain files only, in order of their names, nothing after.
fn unpack(bytes: &[u8]) -> Result<BTreeMap<String, &[u8]>, String> {
    let mut files = BTreeMap::new();
    let mut rest = bytes;
    let mut last = String::new();
    loop {
        let (head, tail) = rest.split_at_checked(512).ok_or("the archive is cut off")?;
        if head.iter().all(|byte| *byte == 0) {
            let good = tail.len() == 512 && tail.iter().all(|byte| *byte == 0);
            return good
                .then_some(files)
                .ok_or_else(|| "bytes follow the archive's end".into());
        }
        let text = |from: usize, to: usize| {
            let field = &head[from..to];
            let end = field
                .iter()
                .position(|byte| *byte == 0)
                .unwrap_or(field.len());
            std::str::from_utf8(&field[..end]).map_err(|_| "a header is not text")
        };
        let name = text(0, 100)?.to_owned();
        let sum: u32 = head
            .iter()
            .enumerate()
            .map(|(i, byte)| {
                if (148..156).contains(&i) {
                    32
                } else {
                    u32::from(*byte)
                }
            })
            .sum();
        if text(148, 154)? != format!("{sum:06o}") {
            return Err(format!("{name}: the header's sum does not fit"));
        }
        let size =
            usize::from_str_radix(text(124, 135)?, 8).map_err(|_| format!("{name}: no size"))?;
        let padded = size
            .checked_next_multiple_of(512)
            .ok_or("a size beyond all")?;
        if head[156] != b'0' || name <= last || files.len() >= FILES_MAX {
            return Err(format!("{name:?}: not a plain file, or out of order"));
        }
        let (body, after) = tail
            .split_at_checked(padded)
            .ok_or_else(|| format!("{name}: cut off"))?;
        if body[size..].iter().any(|byte| *byte != 0) {
            return Err(format!("{name}: bytes in its padding"));
        }
        // The header's other fields are the same for every file.
        if head[100..124] != *b"0000644\x000000000\x000000000\0"
            || head[136..148] != *b"00000000000\0"
            || head[265..].iter().any(|byte| *byte != 0)
        {
            return Err(format!(
                "{name}: owner, mode or time are not those of a pack"
            ));
        }
        last.clone_from(&name);
        files.insert(name, &body[..size]);
        rest = after;
    }
}

fn check_manifest(files: &mut BTreeMap<String, &[u8]>) -> Result<Manifest, String> {
    let text = files.remove(MANIFEST).ok_or("there is no manifest")?;
    let manifest: Manifest =
        serde_json::from_slice(text).map_err(|error| format!("{MANIFEST}: {error}"))?;
    if manifest.r#type != TYPE {
        return Err(format!(
            "{MANIFEST}: of type {:?}, not {TYPE:?}",
            manifest.r#type
        ));
    }
    if manifest.files.len() != files.len() {
        return Err(format!(
            "{} files are listed, {} are there",
            manifest.files.len(),
            files.len()
        ));
    }
    for listed in &manifest.files {
        let name = &listed.name;
        let bytes = files
            .get(name)
            .ok_or_else(|| format!("{name} is listed and missing"))?;
        let hash = hex::encode(Sha256::digest(bytes));
        if bytes.len() != listed.bytes || hash != listed.sha256 {
            return Err(format!(
                "{name} was changed: it is not what the manifest lists"
            ));
        }
    }
    Ok(manifest)
}

fn range(manifest: &Manifest) -> Result<(u64, u64, u64), String> {
    let number = |text: &str| quorate_verifier::json::parse_decimal(text);
    let (from, to) = (number(&manifest.from)?, number(&manifest.to)?);
    let proved = number(&manifest.proved_by)?;
    if from > to || to > proved {
        return Err("the manifest's heights are out of order".into());
    }
    Ok((from, to, proved))
}

/// Nothing is there that is not judged, and the range is the one that the log's paths are for.
fn check_names(files: &BTreeMap<String, &[u8]>, from: u64, to: u64) -> Result<(), String> {
    let known = |name: &str| {
        ["headers/", "keys/", "log/", "proofs/"]
            .iter()
            .any(|start| name.starts_with(start))
            || ["README.txt", "heights.csv"].contains(&name)
    };
    if let Some(name) = files.keys().find(|name| !known(name)) {
        return Err(format!("{name} has no place in a pack"));
    }
    let paths = files.keys().filter(|name| name.starts_with("log/")).count() as u64;
    if paths != to - from + 1 {
        return Err(format!(
            "{paths} paths in the log for heights {from} to {to}"
        ));
    }
    Ok(())
}

fn add_keys(
    files: &BTreeMap<String, &[u8]>,
    policy: &Policy,
    keys: &mut Keys,
) -> Result<(), String> {
    for (name, bytes) in files.iter().filter(|(name, _)| name.starts_with("keys/")) {
        let key: VerifyingKey = decoded(name, bytes)?;
        let digest = key.digest();
        if *name != format!("keys/{digest}.vk") {
            return Err(format!("{name}: its digest is {digest}"));
        }
        if policy.keys.iter().any(|accepted| accepted.digest == digest) {
            keys.ring
                .insert(key.prepare().map_err(|error| format!("{name}: {error}"))?);
        }
    }
    Ok(())
}

/// Steps from the policy's anchor through every proof of the pack to the one that covers.
fn follow(
    files: &BTreeMap<String, &[u8]>,
    policy: &Policy,
    keys: &Keys,
    proved: u64,
) -> Result<Attestation, Refusal> {
    let client = |error: quorate_verifier::light_client::ClientError, name: &str| {
        Refusal(
            "proofs",
            verdict_of(error.verdict()),
            format!("{name}: {error}"),
        )
    };
    let mut state = ClientState::new(policy).map_err(|error| client(error, "policy"))?;
    let options = Options {
        allow_skip: false,
        development_keys: policy.development_keys,
    };
    let mut last = None;
    for (name, bytes) in files.iter().filter(|(name, _)| name.starts_with("proofs/")) {
        let attestation: Attestation = decoded(name, bytes).map_err(invalid("proofs"))?;
        let height = attestation.header.height.get();
        if *name != format!("proofs/{height:020}.attestation") {
            return Err(invalid("proofs")(format!(
                "{name}: it is of height {height}"
            )));
        }
        let now = attestation.header.time;
        let update = Update::step(attestation.clone());
        let accepted = state.update(&update, &keys.ring, options, now);
        state = accepted.map_err(|error| client(error, name))?.state;
        last = Some(attestation);
    }
    match last {
        Some(proof) if proof.header.height.get() == proved => Ok(proof),
        _ => Err(invalid("proofs")(format!(
            "there is no proof of height {proved}"
        ))),
    }
}

fn check_headers(
    files: &BTreeMap<String, &[u8]>,
    from: u64,
    proof: &Attestation,
) -> Result<Vec<Header>, String> {
    let proved = proof.header.height.get();
    let mut headers = Vec::new();
    for (name, bytes) in files
        .iter()
        .filter(|(name, _)| name.starts_with("headers/"))
    {
        let header: Header = decoded(name, bytes)?;
        let due = from + headers.len() as u64;
        if header.height.get() != due || *name != format!("headers/{due:020}.header") {
            return Err(format!("{name}: height {due} was due"));
        }
        headers.push(header);
    }
    if headers.len() as u64 != proved - from + 1 {
        return Err(format!("{} headers from {from} to {proved}", headers.len()));
    }
    let mut expected: Digest = proof.header.digest();
    for header in headers.iter().rev() {
        if header.digest() != expected {
            let height = header.height.get();
            return Err(format!(
                "the header of height {height} is not the one that is proved"
            ));
        }
        expected = header.parent;
    }
    Ok(headers)
}

fn check_csv(
    files: &BTreeMap<String, &[u8]>,
    headers: &[Header],
    proved: u64,
) -> Result<(), String> {
    let text = files.get("heights.csv").ok_or("it is missing")?;
    let text = std::str::from_utf8(text).map_err(|_| "it is not text")?;
    let mut lines = text.lines().skip(1);
    for header in headers {
        let expected = format!(
            "{},{},{},{},{proved}",
            header.height.get(),
            quorate_verifier::json::format_time(header.time),
            header.digest(),
            header.parent
        );
        if lines.next() != Some(&expected) {
            return Err(format!("height {} is told otherwise", header.height.get()));
        }
    }
    lines
        .next()
        .map_or(Ok(()), |_| Err("it has more lines".into()))
}

fn check_entry(
    files: &BTreeMap<String, &[u8]>,
    header: &Header,
    policy: &Policy,
    log: &quorate_verifier::tlog::NoteKey,
    start: &mut Option<u64>,
) -> Result<(), (Verdict, String)> {
    let bad = |what: String| (Verdict::Invalid, what);
    let height = header.height.get();
    let name = format!("log/{height:020}.tlog-proof");
    let bytes = files
        .get(&name)
        .ok_or_else(|| bad(format!("{name} is missing")))?;
    let text = std::str::from_utf8(bytes).map_err(|_| bad(format!("{name} is not text")))?;
    let proof: LogProof = text.parse().map_err(|e| bad(format!("{name}: {e}")))?;
    let entry = FinalityEntry::of(header, policy.rule);
    use quorate_verifier::encoding::Canonical;
    use quorate_verifier::tlog::LogError;
    proof
        .verify(&entry.to_bytes(), log, &policy.cosigners)
        .map_err(|error| {
            let verdict = match &error {
                LogError::TooFewCosigners { .. } | LogError::NotSigned(_) => Verdict::PolicyFailed,
                _ => Verdict::Invalid,
            };
            (verdict, format!("{name}: {error}"))
        })?;
    // Entry i is of height first + i, so a height cannot have two.
    let first = height.checked_sub(proof.index);
    let first = first.ok_or_else(|| bad(format!("{name}: entry {}", proof.index)))?;
    if *start.get_or_insert(first) != first {
        return Err(bad(format!(
            "{name}: entry {} is another height's",
            proof.index
        )));
    }
    Ok(())
}

fn decoded<T: FileType>(name: &str, bytes: &[u8]) -> Result<T, String> {
    T::from_file(bytes).map_err(|error: DecodeError| format!("{name}: {error}"))
}
