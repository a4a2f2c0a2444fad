//! `quorate bench prove`: what the worst certificate of a size takes on this machine.

use std::ops::ControlFlow;
use std::process::{Command, Stdio};
use std::time::Instant;

use quorate_fixtures::Network;
use quorate_prover::{
    AttestError, OpenError, Phase, Prover, Store, StoredKey, attest, machine, open_prover,
};
use quorate_verifier::certificate::SignedHeader;
use quorate_verifier::primitives::{CircuitSize, Digest, VALIDATORS_MAX, View};
use quorate_verifier::proof::Origin;
use quorate_verifier::rule::QuorumRule;
use serde_json::Value as Json;

use super::{prove as proving, work};
use crate::args::{BenchProveArgs, WorkArgs};
use crate::failure::Failure;
use crate::output::{Report, Verdict};
use crate::progress::{Taken, spoken};
use crate::value::Value;

const RULE: QuorumRule = QuorumRule::COMMIT;

pub(super) fn prove(args: &BenchProveArgs) -> Result<Report, Failure> {
    work::set_threads(&args.work)?;
    let size = args.size();
    let store = work::store(&args.store)?;
    let (prover, key) = prover(&store, size, args)?;
    let (network, block) = worst_certificate(size);
    let chain = network
        .genesis
        .chain_id()
        .expect("the fixture's name is good");
    let mut proofs = Vec::new();
    let mut report = Report::new(Verdict::Done, "");
    for _ in 0..args.runs {
        let progress = proving::progress(size, &args.work);
        let watch = |phase: Phase| {
            progress.enter(phase.name());
            ControlFlow::Continue(())
        };
        let start = Instant::now();
        let attestation = attest(&prover, &block, &chain, &network.set, RULE, watch).map_err(
            |error| match error {
                AttestError::Prove(error) => proving::prove_failure(&error),
                error => Failure::Machine(error.to_string()),
            },
        )?;
        let seconds = start.elapsed().as_secs_f64();
        let phases = progress.finish();
        let proof = attestation.proof.encode();
        let statement = attestation.statement().inputs();
        let start = Instant::now();
        prover
            .verifier()
            .verify(&statement, &proof)
            .map_err(|error| Failure::Invalid(error.to_string()))?;
        proofs.push((seconds, phases, start.elapsed().as_secs_f64()));
    }
    describe_machine(&mut report);
    describe_circuit(&mut report, &prover, &network);
    report.fact("key", key);
    report.fact("proofs", proofs.iter().map(proof_row).collect::<Value>());
    let phases = Phase::ALL.iter().map(|phase| {
        let times = proofs.iter().flat_map(|(_, phases, _)| phases);
        let times = times.filter(|(name, _)| *name == phase.name());
        let best = times
            .map(|(_, seconds)| *seconds)
            .fold(f64::INFINITY, f64::min);
        proving::phase(phase.name(), best)
    });
    report.fact("phases", phases.collect::<Value>());
    report.fact("peak memory", machine::peak_memory());
    let best = proofs
        .iter()
        .map(|(seconds, ..)| *seconds)
        .fold(f64::INFINITY, f64::min);
    report.summary = format!(
        "{} slots in {} rows were proved in {}",
        size.slots(),
        prover.matrices().rows(),
        spoken(best)
    );
    report.not_checked("what else this machine was doing");
    Ok(report)
}

fn proof_row((seconds, _, verified): &(f64, Taken, f64)) -> Value {
    Value::members([
        ("milliseconds", proving::milliseconds(*seconds)),
        (
            "verifyMicroseconds",
            proving::milliseconds(1000.0 * verified),
        ),
    ])
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
