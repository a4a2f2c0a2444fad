//! What a certificate of 67 votes costs, one batch against 67 single checks; and what a signature
//! costs in batches of other sizes, which is how requests are checked.
//!
//! Run `cargo bench -p quorate-verifier --bench signature`. The last lines give the figures.
#![allow(
    missing_docs,
    reason = "criterion's macro writes an undocumented function"
)]
#![allow(clippy::unwrap_used, reason = "a benchmark stops where it stands")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use ed25519_dalek::{Signer, SigningKey};
use quorate_verifier::signature::{Signature, VoteKey, verify, verify_batch, verify_strict};

const VOTES: u8 = 67;
const ROUNDS: u32 = 301;
const MESSAGE: &[u8; 47] = b"quorate-commit1 thirty-two bytes of the digest.";

fn votes() -> Vec<(VoteKey, Signature)> {
    (0..VOTES)
        .map(|seed| {
            let secret = SigningKey::from_bytes(&[seed; 32]);
            let key = VoteKey::from_bytes(secret.verifying_key().as_bytes()).unwrap();
            (key, Signature::from_bytes(secret.sign(MESSAGE).to_bytes()))
        })
        .collect()
}

fn singly(votes: &[(VoteKey, Signature)]) {
    for (key, signature) in votes {
        verify(key, MESSAGE, signature).unwrap();
    }
}

fn strictly(votes: &[(VoteKey, Signature)]) {
    for (key, signature) in votes {
        verify_strict(key, MESSAGE, signature).unwrap();
    }
}

fn in_a_batch(votes: &[(VoteKey, Signature)]) {
    let items: Vec<_> = votes
        .iter()
        .map(|(key, signature)| (key, MESSAGE.as_slice(), signature))
        .collect();
    verify_batch(&items).unwrap();
}

/// One signature in 67 is bad: the batch and then 67 single checks.
fn in_a_batch_with_one_bad(votes: &[(VoteKey, Signature)]) {
    let mut items: Vec<_> = votes
        .iter()
        .map(|(key, signature)| (key, MESSAGE.as_slice(), signature))
        .collect();
    items[33].1 = b"another message";
    verify_batch(&items).unwrap_err();
}

fn benchmark(c: &mut Criterion) {
    let votes = votes();
    let mut group = c.benchmark_group("67 votes");
    group.bench_function("verify, one by one", |b| {
        b.iter(|| singly(black_box(&votes)))
    });
    group.bench_function("verify_strict, one by one", |b| {
        b.iter(|| strictly(black_box(&votes)))
    });
    group.bench_function("verify_batch", |b| b.iter(|| in_a_batch(black_box(&votes))));
    group.bench_function("verify_batch, one bad", |b| {
        b.iter(|| in_a_batch_with_one_bad(black_box(&votes)))
    });
    group.finish();
    let key = *votes[0].0.as_bytes();
    c.bench_function("set check of one key", |b| {
        b.iter(|| VoteKey::from_bytes(black_box(&key)))
    });
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// The fastest of many rounds each: what other work on the machine adds is never negative.
fn print_ratio() {
    let votes = votes();
    let (mut single, mut batch) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        single = single.min(timed(|| singly(black_box(&votes))));
        batch = batch.min(timed(|| in_a_batch(black_box(&votes))));
    }
    let ratio = single.as_secs_f64() / batch.as_secs_f64();
    println!(
        "67 single checks {single:?}, one batch {batch:?}: ratio {ratio:.2} (fastest of {ROUNDS} rounds)"
    );
}

/// Microseconds a signature: every one by its own key, and all by eight keys.
fn print_sizes() {
    let secrets: Vec<_> = (0..=255)
        .map(|seed| SigningKey::from_bytes(&[seed; 32]))
        .collect();
    println!("signatures at once: microseconds each, all by other keys, by 8 keys");
    for size in [1, 4, 8, 16, 32, 64, 128, 256] {
        let costs = [secrets.len(), 8].map(|keys| {
            let messages: Vec<_> = (0..size).map(|i: usize| i.to_le_bytes()).collect();
            let signed: Vec<_> = (0..size)
                .map(|i| {
                    let secret = &secrets[i % keys];
                    let key = VoteKey::from_bytes(secret.verifying_key().as_bytes()).unwrap();
                    (
                        key,
                        Signature::from_bytes(secret.sign(&messages[i]).to_bytes()),
                    )
                })
                .collect();
            let items: Vec<_> = signed
                .iter()
                .zip(&messages)
                .map(|((key, signature), message)| (key, message.as_slice(), signature))
                .collect();
            let check = || verify_batch(black_box(&items)).unwrap();
            let fastest = (0..ROUNDS).map(|_| timed(check)).min().unwrap();
            fastest.as_secs_f64() * 1e6 / items.len() as f64
        });
        println!("{size:4}: {:5.1} {:5.1}", costs[0], costs[1]);
    }
}

criterion_group!(benches, benchmark);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    print_ratio();
    print_sizes();
}
