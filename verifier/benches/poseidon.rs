//! Poseidon: one node, one leaf, and all hashes of a full set commitment.

use std::hint::black_box;

use ark_bn254::Fr;
use criterion::{Criterion, criterion_group, criterion_main};
use quorate_verifier::poseidon::hash;

fn poseidon(c: &mut Criterion) {
    let x = Fr::from(7);
    c.bench_function("poseidon/node", |b| b.iter(|| hash(black_box(&[x, x]))));
    c.bench_function("poseidon/leaf", |b| {
        b.iter(|| hash(black_box(&[x, x, x, x])))
    });
    c.bench_function("poseidon/commitment of 256", |b| {
        b.iter(|| {
            let mut level: Vec<Fr> = (0..256).map(|i| hash(&[x, x, Fr::from(i), x])).collect();
            while level.len() > 1 {
                level = level
                    .chunks(2)
                    .map(|pair| hash(&[pair[0], pair[1]]))
                    .collect();
            }
            hash(&[level[0], x, x])
        });
    });
}

criterion_group!(benches, poseidon);
criterion_main!(benches);
