//! Snapshots: the same bytes from the same state, and nothing but a sound state from bytes.

use quorate_node::app::Ledger;
use quorate_pbft::app::App;

use super::bench::{Bench, trade, transfer, write};

fn lived() -> Bench {
    let mut bench = Bench::new();
    bench.ask("alice", write("alice", "ACME-C", 10), &[]);
    bench.ask("bob", write("bob", "ACME-P", 10), &[]);
    bench.ask(
        "alice",
        trade("ACME-C", 3, "alice", "carol", 70),
        &["carol"],
    );
    bench
}

#[test]
fn a_restored_ledger_goes_on_as_the_other() {
    let mut bench = lived();
    let bytes = bench.ledger.snapshot();
    let mut restored = Ledger::default();
    restored.restore(&bytes).expect("our own bytes");
    assert_eq!(restored.root(), bench.ledger.root());
    assert_eq!(restored.snapshot(), bytes);
    let mut other = bench.clone();
    other.ledger = restored;
    for bench in [&mut bench, &mut other] {
        bench.ask("carol", super::bench::exercise("carol", "ACME-C", 2), &[]);
        bench.ask("carol", transfer("EUR", "carol", "bob", 5), &[]);
    }
    assert_eq!(other.ledger.root(), bench.ledger.root());
    assert_eq!(other.ledger.snapshot(), bench.ledger.snapshot());
}

#[test]
fn damaged_snapshots_are_refused_or_have_another_root() {
    let bench = lived();
    let bytes = bench.ledger.snapshot();
    let mut kept = Ledger::default();
    kept.restore(&bytes).unwrap();
    let mut refused = 0;
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (at % 8);
        let mut ledger = kept.clone();
        match ledger.restore(&bad) {
            Err(_) => {
                refused += 1;
                assert_eq!(ledger.root(), kept.root(), "as before");
            }
            Ok(()) => assert_ne!(ledger.root(), kept.root(), "byte {at}"),
        }
    }
    assert!(refused > 0);
    for end in [0, 14, 15, 18, 19, 100, bytes.len() - 1] {
        assert!(
            Ledger::default().restore(&bytes[..end]).is_err(),
            "cut at {end}"
        );
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(Ledger::default().restore(&longer).is_err());
}

#[test]
fn a_snapshot_that_makes_money_is_refused() {
    let bench = lived();
    let mut bytes = bench.ledger.snapshot();
    // Carol's euros, as the last eight bytes of nothing else: 1,000,000 - 70.
    let units = (1_000_000u64 - 70).to_le_bytes();
    let places: Vec<_> = (0..bytes.len() - 8)
        .filter(|at| bytes[*at..at + 8] == units)
        .collect();
    assert_eq!(places.len(), 1);
    bytes[places[0]] ^= 1;
    let why = Ledger::default()
        .restore(&bytes)
        .expect_err("one unit more");
    assert!(why.contains("EUR: the supply is"), "{why}");
}

#[test]
fn the_empty_ledger_is_the_root_of_nothing() {
    let nothing = Ledger::default();
    assert_eq!(nothing.root(), quorate_verifier::merkle::root(&[]));
    let mut restored = lived().ledger;
    restored.restore(&nothing.snapshot()).unwrap();
    assert_eq!(restored.root(), nothing.root());
}
