//! `quorate bench prove`: what the worst certificate of a size takes on this machine; and
//! `quorate bench serve`, in its own file.

mod load;
mod serve;

use std::ops::ControlFlow;
use std::process::{Command, Stdio};
use std::time::Instant;

use quorate_fixtures::Network;
use quorate_prover::{
    AttestError, Cost, OpenError, Phase, Prover, Store, StoredKey, attest, machine, open_prover,
};
use quorate_verifier::certificate::SignedHeader;
use quorate_verifier::primitives::{CircuitSize, Digest, VALIDATORS_MAX, View};
use quorate_verifier::proof::Origin;
use quorate_verifier::rule::QuorumRule;
use serde_json::Value as Json;

use super::{prove as proving, work};
use crate::args::{BenchCommand, BenchProveArgs, WorkArgs};
use crate::failure::Failure;
use crate::output::{Report, Verdict};
use crate::progress::spoken;
use crate::value::Value;

const RULE: QuorumRule = QuorumRule::COMMIT;

pub(super) fn run(command: &BenchCommand) -> Result<Report, Failure> {
    match command {
        BenchCommand::Prove(args) => prove(args),
        BenchCommand::Serve(args) => serve::run(args),
    }
}

fn prove(args: &BenchProveArgs) -> Result<Report, Failure> {
    work::set_threads(&args.work)?;
    let size = args.circuit.size();
    let store = work::store(&args.store)?;
    let peak = Cost::of(size).prove_peak_bytes;
    work::check_memory(
        &args.work,
        &format!("a proof of {} slots", size.slots()),
        peak,
    )?;
    let (prover, key) = prover(&store, size, args)?;
    let (network, block) = worst_certificate(size);
    let mut proofs = Vec::new();
    for _ in 0..args.runs {
        proofs.push(one(&prover, &network, &block, args)?);
    }
    let mut report = Report::new(Verdict::Done, "");
    describe_machine(&mut report);
    describe_circuit(&mut report, &prover, &network);
    report.fact("key", key);
    report.fact("proofs", proofs.iter().map(Proof::row).collect::<Value>());
    let best = proofs
        .iter()
        .min_by(|one, other| one.all.clock.total_cmp(&other.all.clock));
    let best = best.expect("at least one proof");
    let phases = Phase::ALL.iter().zip(&best.phases);
    let phases = phases.map(|(phase, time)| time.row(phase.name()));
    report.fact("phases", phases.collect::<Value>());
    report.fact("peak memory", machine::peak_memory());
    report.summary = format!(
        "{} slots in {} rows were proved in {}",
        size.slots(),
        prover.matrices().rows(),
        spoken(best.all.clock)
    );
    report.not_checked("what else this machine was doing");
    Ok(report)
}

/// Seconds by the clock, and those that processors worked.
#[derive(Clone, Copy)]
struct Time {
    clock: f64,
    work: f64,
}

/// A moment, by both.
#[derive(Clone, Copy)]
struct Mark(Instant, f64);

impl Mark {
    fn now() -> Self {
        Self(
            Instant::now(),
            machine::processor_seconds().unwrap_or_default(),
        )
    }

    fn until(self, later: Self) -> Time {
        Time {
            clock: (later.0 - self.0).as_secs_f64(),
            work: later.1 - self.1,
        }
    }
}

impl Time {
    fn row(self, name: &str) -> Value {
        Value::members([
            ("phase", name.into()),
            ("milliseconds", proving::milliseconds(self.clock)),
            ("processorMilliseconds", proving::milliseconds(self.work)),
        ])
    }
}

/// What one proof took.
struct Proof {
    phases: Vec<Time>,
    all: Time,
    verified: f64,
}

impl Proof {
    fn row(&self) -> Value {
        Value::members([
            ("milliseconds", proving::milliseconds(self.all.clock)),
            (
                "processorMilliseconds",
                proving::milliseconds(self.all.work),
            ),
            (
                "verifyMicroseconds",
                proving::milliseconds(1000.0 * self.verified),
            ),
        ])
    }
}

/// Proves the block, and verifies the proof once more.
fn one(
    prover: &Prover,
    network: &Network,
    block: &SignedHeader,
    args: &BenchProveArgs,
) -> Result<Proof, Failure> {
    let chain = network
        .genesis
        .chain_id()
        .expect("the fixture's name is good");
    let progress = proving::progress(network.set.size(), &args.work);
    let mut marks = Vec::new();
    let watch = |phase: Phase| {
        progress.enter(phase.name());
        marks.push(Mark::now());
        ControlFlow::Continue(())
    };
    let start = Mark::now();
    let attestation =
        attest(prover, block, &chain, &network.set, RULE, watch).map_err(|error| match error {
            AttestError::Prove(error) => proving::prove_failure(&error),
            error => Failure::Machine(error.to_string()),
        })?;
    marks.push(Mark::now());
    drop(progress);
    let all = start.until(Mark::now());
    let bytes = attestation.proof.encode();
    let statement = attestation.statement().inputs();
    let start = Mark::now();
    let verdict = prover.verifier().verify(&statement, &bytes);
    let verified = start.until(Mark::now()).clock;
    verdict.map_err(|error| Failure::Invalid(error.to_string()))?;
    Ok(Proof {
        phases: marks
            .windows(2)
            .map(|pair| pair[0].until(pair[1]))
            .collect(),
        all,
        verified,
    })
}

/// A prover for the size, with a key from the store or a new one, and what there is to say of it.
fn prover(
    store: &Store,
    size: CircuitSize,
    args: &BenchProveArgs,
) -> Result<(Prover, Value), Failure> {
    let fits = |key: &StoredKey| {
        let key = key.verifying();
        key.circuit.slots == size && key.origin == Origin::Development
    };
    let entries = store.entries()?.into_iter();
    for key in entries.filter_map(|entry| entry.key.ok()).filter(fits) {
        let bytes = key.bytes();
        let start = Instant::now();
        match open_prover(key) {
            Ok(prover) => {
                let opened = start.elapsed().as_secs_f64();
                return Ok((prover, key_row(bytes, opened, None)));
            }
            Err(OpenError::Store(error)) => return Err(error.into()),
            // Of another version of the circuit.
            Err(OpenError::Key(_)) => {}
        }
    }
    let made = make_key(store, size, &args.work)?;
    let key = store.open(&made.digest)?;
    let bytes = key.bytes();
    let start = Instant::now();
    let prover = proving::open(key, &args.work)?;
    let opened = start.elapsed().as_secs_f64();
    Ok((prover, key_row(bytes, opened, Some(&made))))
}

/// What making a key took.
struct Made {
    digest: Digest,
    milliseconds: u64,
    peak_memory: Option<u64>,
}

fn key_row(bytes: u64, opened: f64, made: Option<&Made>) -> Value {
    Value::members([
        ("bytes", bytes.into()),
        ("openMilliseconds", proving::milliseconds(opened)),
        (
            "madeMilliseconds",
            made.map(|made| made.milliseconds).into(),
        ),
        (
            "madePeakMemory",
            made.and_then(|made| made.peak_memory).into(),
        ),
    ])
}

/// Makes a key in a process of its own, so that its memory is not counted with the proof's.
fn make_key(store: &Store, size: CircuitSize, args: &WorkArgs) -> Result<Made, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::Machine(format!("quorate setup: {error}"));
    let program = std::env::current_exe().map_err(|error| failed(&error))?;
    let mut command = Command::new(program);
    command
        .args([
            "--json",
            "setup",
            "--slots",
            &size.slots().to_string(),
            "--keys",
        ])
        .arg(store.dir())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if let Some(threads) = args.threads {
        command.args(["--threads", &threads.to_string()]);
    }
    let output = command.output().map_err(|error| failed(&error))?;
    let answer: Json = serde_json::from_slice(&output.stdout).map_err(|error| failed(&error))?;
    let result = &answer["result"];
    let text = |value: &Json| value.as_str().map(str::to_string);
    let digest = text(&result["key"]).and_then(|hex| quorate_verifier::json::parse_hex(&hex).ok());
    match (digest, output.status.success()) {
        (Some(digest), true) => Ok(Made {
            digest: Digest::from_bytes(digest),
            milliseconds: result["milliseconds"].as_u64().unwrap_or_default(),
            peak_memory: result["peakMemory"].as_u64(),
        }),
        _ => Err(failed(&text(&answer["summary"]).unwrap_or_default())),
    }
}

/// A block that takes every slot: the largest set of equal validators whose quorum fits, and its
/// fewest signers.
fn worst_certificate(size: CircuitSize) -> (Network, SignedHeader) {
    let slots = usize::from(size.slots());
    let quorum = |count: usize| 2 * count / 3 + 1;
    let count = (1..=VALIDATORS_MAX)
        .rev()
        .find(|count| quorum(*count) <= slots)
        .unwrap_or(1);
    let network = Network::equal(1, count, size.slots());
    let signers: Vec<u16> = (0..size.slots()).take(quorum(count)).collect();
    let header = network.child(&network.genesis_header());
    let block = network.finalize(header, View::FIRST, &signers);
    (network, block)
}

fn describe_machine(report: &mut Report) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    report
        .fact("processor", machine::processor())
        .fact("cores", cores)
        .fact("memory", machine::total_memory())
        .fact("threads", rayon::current_num_threads());
}

fn describe_circuit(report: &mut Report, prover: &Prover, network: &Network) {
    let matrices = prover.matrices();
    report
        .fact("slots", network.set.size().slots())
        .fact("validators", network.set.count())
        .fact("signers", network.set.worst_quorum(RULE))
        .fact("rows", matrices.rows())
        .fact("domain", matrices.rows().next_power_of_two())
        .fact("columns", matrices.columns)
        .fact("committed", matrices.layout.committed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_certificate_takes_every_slot() {
        for slots in [1, 2, 3, 4, 9, 20, 42, 87] {
            let size = CircuitSize::from_slots(slots).expect("a size");
            let (network, block) = worst_certificate(size);
            assert_eq!(block.certificate.votes().len(), usize::from(slots));
            assert_eq!(network.set.worst_quorum(RULE), usize::from(slots));
            let chain = network.genesis.chain_id().expect("a good name");
            assert!(block.verify(&chain, &network.set, RULE).is_ok());
        }
    }
}
