//! From 192 bytes to a verdict on one thread, with a prepared key: decoding, inputs, pairings.
//! The circuit is a small one; verification does not depend on its size.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use core::hint::black_box;
use core::ops::ControlFlow;

use ark_bn254::Fr;
use ark_ff::Field;
use ark_std::rand::{SeedableRng, rngs::StdRng};
use criterion::{Criterion, criterion_group, criterion_main};
use quorate_circuits::ground::{Builder, Circuit};
use quorate_prover::{Prover, ProvingKey, Trapdoor};
use quorate_verifier::primitives::CircuitSize;
use quorate_verifier::proof::{Origin, PreparedKey, Proof, verify_batch};

/// Four full-size inputs: more than a quorum's statement has.
struct Squares {
    roots: [Fr; 4],
}

impl Circuit for Squares {
    fn chunk_bits(&self) -> u32 {
        4
    }
    fn statement(&self) -> Vec<Fr> {
        self.roots.iter().map(Field::square).collect()
    }
    fn build(&self, g: &mut Builder) {
        for (i, root) in self.roots.into_iter().enumerate() {
            let root = g.witness("root", root);
            g.row("square", root, root, g.statement(i));
        }
        let _ = g.limb("limb", 5_u64, 8);
    }
}

fn squares(seed: u64) -> Squares {
    Squares {
        roots: [1, 2, 3, 4].map(|n| (-Fr::from(seed * 1000 + n)).inverse().expect("not zero")),
    }
}

/// A statement and its proof.
type Shown = (Vec<Fr>, [u8; Proof::BYTES]);

fn proofs(count: u64) -> (PreparedKey, Vec<Shown>) {
    let mut rng = StdRng::seed_from_u64(1);
    let trapdoor = Trapdoor::random(&mut rng);
    let slots = CircuitSize::from_slots(1).expect("one slot");
    let key = ProvingKey::generate(
        &squares(0),
        slots,
        1,
        Origin::Development,
        &trapdoor,
        &mut rng,
    )
    .expect("the circuit has a key");
    let prover = Prover::new(key, &squares(0)).expect("the key is good");
    let proofs = (0..count).map(|seed| {
        let proven = prover.prove(&squares(seed), |_| ControlFlow::Continue(()));
        let proven = proven.expect("squares have roots");
        (proven.statement, proven.proof)
    });
    let proofs = proofs.collect();
    (prover.verifier().clone(), proofs)
}

fn verify(c: &mut Criterion) {
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build_global()
        .expect("first use of the pool");
    let (key, proofs) = proofs(64);
    let (statement, bytes) = &proofs[0];
    let proof = Proof::decode(bytes).expect("an honest proof");
    let bound = key.bind(statement, proof).expect("the statement fits");
    let mut group = c.benchmark_group("verify, one thread");
    group.bench_function("all", |b| {
        b.iter(|| key.verify(black_box(statement), black_box(bytes)))
    });
    group.bench_function("decoding", |b| b.iter(|| Proof::decode(black_box(bytes))));
    group.bench_function("inputs", |b| {
        b.iter(|| key.bind(black_box(statement), proof).is_ok())
    });
    group.bench_function("pairings", |b| b.iter(|| black_box(&bound).check()));
    group.bench_function("preparing the key", |b| {
        b.iter(|| key.key().clone().prepare().is_ok())
    });
    let pairs: Vec<(&[Fr], &[u8])> = proofs.iter().map(|(s, p)| (&s[..], &p[..])).collect();
    for count in [4, 16, 64] {
        group.bench_function(format!("a batch of {count}"), |b| {
            b.iter(|| verify_batch(&key, black_box(&pairs[..count])))
        });
    }
    group.finish();
}

criterion_group!(benches, verify);
criterion_main!(benches);
