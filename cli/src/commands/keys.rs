//! `quorate keys`: the keys on this machine.

use std::ops::ControlFlow;

use quorate_circuits::circuit::QuorumCircuit;
use quorate_circuits::ground::Circuit;
use quorate_prover::{Cost, Entry, Store, StoreError, StoredKey};
use quorate_verifier::file::FileType;
use quorate_verifier::primitives::Digest;
use quorate_verifier::proof::Origin;

use super::setup::{self, ONE_PARTY};
use super::work;
use crate::args::{
    KeysCheckArgs, KeysCommand, KeysExportArgs, KeysListArgs, KeysRemoveArgs, WorkArgs,
};
use crate::failure::Failure;
use crate::files::Access;
use crate::output::{Report, Verdict};
use crate::progress::Progress;
use crate::value::{Members, Value};

pub(super) fn run(command: &KeysCommand) -> Result<Report, Failure> {
    match command {
        KeysCommand::List(args) => list(args),
        KeysCommand::Check(args) => check(args),
        KeysCommand::Remove(args) => remove(args),
        KeysCommand::ExportLight(args) => export(args),
    }
}

fn list(args: &KeysListArgs) -> Result<Report, Failure> {
    let store = work::store(&args.store)?;
    let entries = store.entries()?;
    let summary = format!("{} keys in {}", entries.len(), store.dir().display());
    let mut report = Report::new(Verdict::Done, summary);
    report.fact("directory", store.dir().display().to_string());
    report.fact("keys", entries.iter().map(row).collect::<Value>());
    for Entry { key, .. } in &entries {
        if let Err(error) = key {
            report.warn(error.to_string());
        }
    }
    let unfinished = store.unfinished()?.len();
    if unfinished > 0 {
        report.warn(format!(
            "{unfinished} keys were never finished; quorate keys remove --unfinished removes them"
        ));
    }
    if entries.is_empty() {
        report.next("quorate setup --size 2^18");
    }
    Ok(report)
}

/// A line of the list; the same members for good keys and for damaged ones.
fn row(entry: &Entry) -> Value {
    let state = |state: &str| ("state".to_string(), state.into());
    let mut members: Members = match &entry.key {
        Ok(key) => setup::members(key),
        Err(_) => vec![
            ("key".into(), entry.digest.to_string().into()),
            ("slots".into(), Value::Null),
            ("domain".into(), Value::Null),
            ("bytes".into(), Value::Null),
            ("origin".into(), Value::Null),
        ],
    };
    members.push(match &entry.key {
        Ok(_) => state("whole"),
        Err(StoreError::Unsupported { .. }) => state("unknown version"),
        Err(StoreError::Damaged { .. }) => state("damaged"),
        Err(_) => state("unreadable"),
    });
    Value::Members(members)
}

fn check(args: &KeysCheckArgs) -> Result<Report, Failure> {
    work::set_threads(&args.work)?;
    let store = work::store(&args.store)?;
    let digests: Vec<Digest> = if args.key.is_empty() {
        store.entries()?.iter().map(|entry| entry.digest).collect()
    } else {
        let find = |digits: &String| work::find(&store, digits);
        args.key.iter().map(find).collect::<Result<_, _>>()?
    };
    let mut report = Report::new(Verdict::Verified, "");
    report.fact("directory", store.dir().display().to_string());
    let mut rows = Vec::new();
    for digest in &digests {
        let verdict = check_one(&mut report, &store, digest, &args.work)?;
        if worse(verdict) > worse(report.verdict) {
            report.verdict = verdict;
        }
        rows.push(Value::members([
            ("key", digest.to_string().into()),
            ("verdict", verdict.word().into()),
        ]));
    }
    report.fact("keys", Value::List(rows));
    report.summary = match report.verdict {
        Verdict::Verified => format!("{} keys are whole", digests.len()),
        Verdict::Invalid => {
            "a key is not what was written: remove it and make or fetch it anew".into()
        }
        _ => "a key cannot be used by this program".into(),
    };
    report.not_checked("who made a key, and whether its trapdoor was destroyed");
    report.not_checked("the points of the proving key against the trapdoor: every proof is verified before it is handed out");
    Ok(report)
}

/// Which of two verdicts is told.
const fn worse(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Invalid => 2,
        Verdict::CannotEvaluate => 1,
        _ => 0,
    }
}

fn check_one(
    report: &mut Report,
    store: &Store,
    digest: &Digest,
    args: &WorkArgs,
) -> Result<Verdict, Failure> {
    let short = &digest.to_string()[..8];
    let key = match store.open(digest) {
        Ok(key) => key,
        Err(error) => return damage(report, short, error),
    };
    report.check(
        "head",
        Ok::<_, StoreError>(format!("{short}: manifest, verifying key and head agree")),
    );
    if let Err(error) = key.verifying().clone().prepare() {
        report.check("verifying key", Err::<String, _>(error));
        return Ok(Verdict::Invalid);
    }
    report.check(
        "verifying key",
        Ok::<_, StoreError>(format!("{short}: its points are good and not degenerate")),
    );
    let plan = vec![(READING, 1.0)];
    let progress = Progress::new(args.progress, plan, 1.0);
    progress.enter(READING);
    let outcome = key.check(|_| ControlFlow::Continue(()));
    drop(progress);
    if let Err(error) = outcome {
        return damage(report, short, error);
    }
    report.check(
        "blocks",
        Ok::<_, StoreError>(format!(
            "{short}: all {} bytes are those written",
            key.bytes()
        )),
    );
    check_circuit(report, short, &key, args)
}

/// Whether this program's circuit of that size is the one that the key is for.
fn check_circuit(
    report: &mut Report,
    short: &str,
    key: &StoredKey,
    args: &WorkArgs,
) -> Result<Verdict, Failure> {
    let circuit = key.verifying().circuit;
    let peak = Cost::of(circuit.slots).record_peak_bytes;
    work::check_memory(
        args,
        &format!("the circuit of {} slots", circuit.slots.slots()),
        peak,
    )?;
    let found = QuorumCircuit::of_size(circuit.slots).record().digest();
    if found == *circuit.digest.as_bytes() {
        report.check(
            "circuit",
            Ok::<_, StoreError>(format!(
                "{short}: it is this program's, {} slots",
                circuit.slots.slots()
            )),
        );
        return Ok(Verdict::Verified);
    }
    let what = format!(
        "{short}: the key is for circuit {}, this program's has digest {}",
        circuit.digest,
        hex::encode(found)
    );
    report.check("circuit", Err::<String, _>(what));
    Ok(Verdict::CannotEvaluate)
}

const READING: &str = "reading";

/// A key that is damaged is an answer; a disk that fails is none.
fn damage(report: &mut Report, short: &str, error: StoreError) -> Result<Verdict, Failure> {
    let verdict = match &error {
        StoreError::Damaged { .. } => Verdict::Invalid,
        StoreError::Unsupported { .. } => Verdict::CannotEvaluate,
        _ => return Err(error.into()),
    };
    report.check("blocks", Err::<String, _>(format!("{short}: {error}")));
    Ok(verdict)
}

fn remove(args: &KeysRemoveArgs) -> Result<Report, Failure> {
    let store = work::store(&args.store)?;
    let find = |digits: &String| work::find(&store, digits);
    let digests: Vec<Digest> = args.key.iter().map(find).collect::<Result<_, _>>()?;
    for digest in &digests {
        store.remove(digest)?;
    }
    let unfinished = if args.unfinished {
        store.remove_unfinished()?
    } else {
        0
    };
    let summary = format!(
        "removed {} keys and {unfinished} that were never finished",
        digests.len()
    );
    let mut report = Report::new(Verdict::Done, summary);
    report
        .fact(
            "removed",
            digests.iter().map(ToString::to_string).collect::<Value>(),
        )
        .fact("unfinished", unfinished);
    Ok(report)
}

fn export(args: &KeysExportArgs) -> Result<Report, Failure> {
    let existing = work::existing(args.force);
    args.out.check(existing)?;
    let store = work::store(&args.store)?;
    let key = match &args.key {
        Some(digits) => work::open(&store, digits)?,
        None => work::only(&store)?,
    };
    let mut report = Report::new(
        Verdict::Done,
        format!(
            "the verifying key for {} slots",
            key.verifying().circuit.slots.slots()
        ),
    );
    report.fact("key", key.digest().to_string());
    let file = key.verifying().to_file();
    report.fact("bytes", file.len());
    args.out
        .write(file, Access::Public, existing, &mut report)?;
    if key.verifying().origin == Origin::Development {
        report.warn(ONE_PARTY);
    }
    report.next("quorate genesis or init --verifying-key FILE lets a chain accept proofs under it");
    Ok(report)
}
