//! `quorate setup`: a proving key made by one party, for development.

use std::ops::ControlFlow;

use quorate_prover::{Cost, Store, StoredKey, development_key, fresh_randomness, machine};
use quorate_verifier::primitives::CircuitSize;

use super::prove::milliseconds;
use super::work;
use crate::args::{SetupArgs, WorkArgs};
use crate::failure::Failure;
use crate::files::Unfinished;
use crate::output::{Report, Verdict};
use crate::progress::{Progress, Taken};
use crate::value::{Members, Value};

/// What everybody must know of a key that one party made.
pub(super) const ONE_PARTY: &str = "one party made this key alone: whoever runs this could keep \
    its trapdoor and forge proofs under it; for development only";

pub(super) fn run(args: &SetupArgs) -> Result<Report, Failure> {
    if args.production {
        return Err(Failure::Refused(
            "--production: there is no set-up ceremony yet, so every key is made by one party, \
             who could forge proofs; no key was made"
                .into(),
        ));
    }
    work::set_threads(&args.work)?;
    let store = work::store(&args.store)?;
    let removed = store.remove_unfinished()?;
    let (key, taken) = make(&store, args.circuit.size(), &args.work)?;
    let summary = format!(
        "made a key for {} slots in {}",
        args.circuit.size().slots(),
        key.dir().display()
    );
    let mut report = Report::new(Verdict::Done, summary);
    for (label, value) in facts(&key) {
        report.fact(label, value);
    }
    let seconds: f64 = taken.iter().map(|(_, seconds)| seconds).sum();
    report
        .fact("milliseconds", milliseconds(seconds))
        .fact("peak memory", machine::peak_memory());
    report.warn(ONE_PARTY);
    if removed > 0 {
        report.warn(format!("removed {removed} keys that were never finished"));
    }
    report.next(format!(
        "quorate init --validators 4 --slots {} --dir net --verifying-key {}",
        args.circuit.size().slots(),
        key.dir().join("verifying-key").display()
    ));
    Ok(report)
}

/// Makes a key and answers what each step took, in seconds.
pub(super) fn make(
    store: &Store,
    size: CircuitSize,
    args: &WorkArgs,
) -> Result<(StoredKey, Taken), Failure> {
    let cost = Cost::of(size);
    let what = format!("a key for {} slots", size.slots());
    work::check_memory(args, &what, cost.setup_peak_bytes)?;
    store.check_space(cost.key_bytes)?;
    let draft = store.begin()?;
    let _unfinished = Unfinished::new(draft.path());
    let plan = vec![(COMPUTING, 0.97), (WRITING, 0.03)];
    let progress = Progress::new(args.progress, plan, cost.setup_seconds);
    progress.enter(COMPUTING);
    let mut rng = fresh_randomness().map_err(Failure::Randomness)?;
    let key = development_key(size, &mut rng)
        .map_err(|error| Failure::Machine(format!("{what}: {error}")))?;
    progress.enter(WRITING);
    let stored = draft.finish(&key, |_| ControlFlow::Continue(()))?;
    Ok((stored, progress.finish()))
}

const COMPUTING: &str = "computing points";
const WRITING: &str = "writing";

/// What there is to say about a key in the store.
pub(super) fn facts(key: &StoredKey) -> Vec<(&'static str, Value)> {
    vec![
        ("key", key.digest().to_string().into()),
        ("slots", key.verifying().circuit.slots.slots().into()),
        ("domain", format!("2^{}", key.domain_log2()).into()),
        ("bytes", key.bytes().into()),
        ("origin", origin(key).into()),
    ]
}

/// The same, as members of an object.
pub(super) fn members(key: &StoredKey) -> Members {
    let facts = facts(key).into_iter();
    facts.map(|(label, value)| (label.into(), value)).collect()
}

fn origin(key: &StoredKey) -> &'static str {
    match key.verifying().origin {
        quorate_verifier::proof::Origin::Development => "development",
        quorate_verifier::proof::Origin::Ceremony => "ceremony",
    }
}
