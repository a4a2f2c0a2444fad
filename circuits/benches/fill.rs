//! Filling cells, and recording rows: the whole circuit by slots, SHA-512 by blocks, the batch by slots.
//!
//! `cargo bench -p quorate-circuits` prints the best of three runs of each, on one thread. Values do not
//! matter for the time, so slots hold the dummy's signature.
#![allow(clippy::print_stdout, reason = "the figures are what this is for")]

use std::time::{Duration, Instant};

use quorate_circuits::circuit::QuorumCircuit;
use quorate_circuits::edwards::{Signature, enforce_batch};
use quorate_circuits::field25519::Field;
use quorate_circuits::ground::{Bit, Builder, Circuit, Run};
use quorate_circuits::scalar::Scalar;
use quorate_circuits::sha512::{Byte, Ending, sha512};
use quorate_verifier::dummy::{DUMMY_KEY, dummy_signature};
use quorate_verifier::message::CommitMessage;
use quorate_verifier::primitives::{CircuitSize, Digest, View};

fn main() {
    for slots in [3, 4, 16] {
        let size = CircuitSize::from_slots(slots).expect("slots of a circuit");
        let circuit = QuorumCircuit::of_size(size);
        let fill = best(|| drop(circuit.fill()));
        let record = best(|| drop(circuit.record()));
        println!("whole circuit, {slots} slots: filled in {fill:.1?}, recorded in {record:.1?}");
    }
    for run in [Run::Proving, Run::Recording] {
        let time = best(|| hash(&mut Builder::new(run, 13, &[]), 16));
        println!("SHA-512, {run:?}: {:.2?} a block", time / 16);
        for (bits, slots) in [(13, 1), (13, 9), (16, 1), (16, 9)] {
            let field = Field::new(bits);
            let time = best(|| batch(&mut Builder::new(run, bits, &[]), &field, slots));
            println!("batch, chunks of {bits} bits, {slots} slots, {run:?}: {time:.1?}");
        }
    }
}

fn best(mut run: impl FnMut()) -> Duration {
    let times = (0..3).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed()
    });
    times.min().expect("three runs")
}

fn bits(g: &mut Builder, bytes: &[u8]) -> Vec<Bit> {
    let bit = |i: usize| bytes[i / 8] >> (i % 8) & 1 == 1;
    (0..8 * bytes.len()).map(|i| g.bit("bit", bit(i))).collect()
}

/// R and A of the dummy, in bits.
fn encodings(g: &mut Builder) -> [Vec<Bit>; 2] {
    let message = CommitMessage::new(&Digest::ZERO, View::FIRST);
    let signature = dummy_signature(message.as_bytes());
    [signature.r_bytes(), DUMMY_KEY].map(|bytes| bits(g, &bytes))
}

fn hash(g: &mut Builder, blocks: usize) {
    let tail: Vec<Byte> = (0..47).map(Byte::constant).collect();
    let ending = Ending::new(g, 64, &tail);
    for _ in 0..blocks {
        let [r, a] = encodings(g);
        let _ = sha512(g, &Byte::all(&[r, a].concat()), &ending);
    }
}

fn batch(g: &mut Builder, field: &Field, slots: usize) {
    let inputs: Vec<_> = (0..slots)
        .map(|_| {
            let [r, a] = encodings(g);
            let k = [bits(g, &[0x5a; 32]), bits(g, &[0xa5; 32])].concat();
            let s = Scalar::advise(g, &[7; 32]);
            let z = g.limb("z", u128::MAX / 3, 128);
            (r, a, s, k, z)
        })
        .collect();
    let signatures: Vec<Signature<'_>> = inputs
        .iter()
        .map(|(r, a, s, k, z)| Signature { r, a, s, k, z })
        .collect();
    enforce_batch(g, field, &signatures);
}
