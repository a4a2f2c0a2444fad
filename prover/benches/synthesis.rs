//! How much of a proof's time goes into filling the circuit: synthesis with witness against all of it.
//!
//! `cargo bench -p quorate-prover --bench synthesis` makes a key for 16 slots (2^20 rows), which takes a
//! minute or more and about 3 GB, then proves three times and prints every phase, the ratio and the
//! seconds a row. `QUORATE_BENCH_SLOTS=3` takes another size.
#![allow(clippy::print_stdout, reason = "the figures are what this is for")]

use core::ops::ControlFlow;
use std::time::{Duration, Instant};

use ark_std::rand::{SeedableRng, rngs::StdRng};
use quorate_circuits::circuit::{QuorumCircuit, QuorumWitness};
use quorate_circuits::ground::Circuit;
use quorate_fixtures::Network;
use quorate_prover::{Phase, Prover, development_key, finality_prover};
use quorate_verifier::primitives::{CircuitSize, View};
use quorate_verifier::rule::QuorumRule;

const PROOFS: usize = 3;

fn main() {
    let slots = std::env::var("QUORATE_BENCH_SLOTS");
    let slots = slots.map_or(16, |text| text.parse().expect("a number of slots"));
    let size = CircuitSize::from_slots(slots).expect("slots of a circuit");
    let circuit = full(slots);

    let start = Instant::now();
    let matrices = circuit.record();
    println!(
        "{slots} slots, {} rows: recorded in {:.1?}",
        matrices.rows(),
        start.elapsed()
    );
    let rows = matrices.rows();
    drop(matrices);
    let start = Instant::now();
    let key = development_key(size, &mut StdRng::seed_from_u64(1)).expect("a key");
    println!("key made in {:.1?}", start.elapsed());
    let prover = finality_prover(key).expect("the key is good");

    let mut ratios: Vec<f64> = (0..PROOFS)
        .map(|_| {
            let (phases, all) = prove(&prover, &circuit);
            for (phase, time) in &phases {
                println!("  {:12} {:8.3} s", format!("{phase:?}"), time.as_secs_f64());
            }
            let of = |phase: Phase| phases.iter().filter(move |(p, _)| *p == phase);
            let filling = of(Phase::Witness).chain(of(Phase::LookUps));
            let filling: Duration = filling.map(|(_, time)| *time).sum();
            let ratio = filling.as_secs_f64() / all.as_secs_f64();
            println!(
                "synthesis with witness {:.2} s of {:.2} s: {:.1} %; {:.1} µs a row of all",
                filling.as_secs_f64(),
                all.as_secs_f64(),
                100.0 * ratio,
                1e6 * all.as_secs_f64() / f64::from(u32::try_from(rows).expect("below 2^32")),
            );
            ratio
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let median = ratios[PROOFS / 2];
    println!(
        "{slots} slots: synthesis with witness takes 1/{:.1} of the proving time (at most 1/5)",
        1.0 / median
    );
}

/// A quorum that fills every slot.
fn full(slots: u16) -> QuorumCircuit {
    let validators = ((3 * usize::from(slots) - 2) / 2).max(1);
    let network = Network::equal(1, validators, slots);
    let header = network.child(&network.genesis_header());
    let signers: Vec<u16> = (0..u16::try_from(validators).expect("few")).collect();
    let block = network.finalize(header, View::FIRST, &signers);
    let witness = QuorumWitness::new(&block.certificate, &network.set, QuorumRule::COMMIT);
    QuorumCircuit::new(witness.expect("more than two thirds fill the slots"))
}

/// Proves, and answers the time of every phase and of all.
fn prove(prover: &Prover, circuit: &QuorumCircuit) -> (Vec<(Phase, Duration)>, Duration) {
    let start = Instant::now();
    let mut begun: Vec<(Phase, Instant)> = Vec::new();
    let proven = prover.prove(circuit, |phase| {
        begun.push((phase, Instant::now()));
        ControlFlow::Continue(())
    });
    let end = Instant::now();
    proven.expect("a true witness has a proof");
    let ends = begun.iter().skip(1).map(|(_, at)| *at).chain([end]);
    let phases = begun.iter().zip(ends);
    let phases = phases.map(|((phase, at), end)| (*phase, end - *at));
    (phases.collect(), end - start)
}
