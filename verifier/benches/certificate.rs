//! A commit certificate of 67 signatures, checked in the clear, against 67 single verifications.
//!
//! `cargo bench -p quorate-verifier --bench certificate`; one thread.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use quorate_fixtures::Network;
use quorate_verifier::certificate::SignedHeader;
use quorate_verifier::primitives::View;
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::signature;

fn singly(network: &Network, block: &SignedHeader) {
    let message = block.certificate.message();
    for vote in block.certificate.votes() {
        let validator = network.set.get(vote.index).expect("a member");
        signature::verify(&validator.key, message.as_bytes(), &vote.signature).expect("good");
    }
}

fn at_once(network: &Network, block: &SignedHeader) {
    let signed = block.certificate.verify(&network.set, QuorumRule::COMMIT);
    black_box(signed.expect("a quorum"));
}

fn bench(c: &mut Criterion) {
    let network = Network::equal(1, 100, 67);
    let signers: Vec<u16> = (0..67).collect();
    let header = network.child(&network.genesis_header());
    let block = network.finalize(header, View::FIRST, &signers);
    c.bench_function("certificate of 67", |b| {
        b.iter(|| at_once(&network, &block))
    });
    c.bench_function("67 single verifications", |b| {
        b.iter(|| singly(&network, &block))
    });

    // Interleaved, so that both meet the same noise.
    let (mut batch, mut single) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..50 {
        let start = Instant::now();
        at_once(&network, &block);
        batch += start.elapsed();
        let start = Instant::now();
        singly(&network, &block);
        single += start.elapsed();
    }
    println!(
        "certificate of 67: {:.2} ms; 67 single verifications: {:.2} ms; ratio {:.2}",
        batch.as_secs_f64() * 20.0,
        single.as_secs_f64() * 20.0,
        single.as_secs_f64() / batch.as_secs_f64(),
    );
}

criterion_group!(benches, bench);
criterion_main!(benches);
