//! Decoders against hostile bytes: no panic, and what decodes encodes to the same bytes.

use bolero::check;
use quorate_node::app::{Body, Entry, Genesis, Ledger, Outcome, Requests};
use quorate_pbft::app::App;
use quorate_verifier::encoding::Canonical;
use quorate_verifier::file::FileType;
use quorate_verifier::inclusion::{SettlementProof, StateProof, SubmissionProof};

use super::bench::{Asked, Bench, exercise, genesis, trade, write};

fn is_canonical<T: Canonical>(bytes: &[u8]) {
    if let Ok(value) = T::from_bytes(bytes) {
        assert_eq!(value.to_bytes(), bytes);
    }
}

fn is_file<T: FileType + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    is_canonical::<T>(bytes);
    if let Ok(value) = T::from_json_bytes(bytes) {
        let again = T::from_json_bytes(value.to_json().as_bytes()).expect("our own JSON");
        assert_eq!(again, value);
    }
}

/// Random bytes, and good ones with random edits and cuts.
fn fuzz(good: &[Vec<u8>], iterations: usize, judge: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    good.iter().for_each(|bytes| judge(bytes));
    check!()
        .with_type::<(u8, Vec<u8>, Vec<(u16, u8)>)>()
        .with_iterations(iterations)
        .for_each(|(form, tail, edits)| {
            let mut bytes = match good.get(usize::from(form % 16)) {
                Some(good) => good.clone(),
                None => tail.clone(),
            };
            for (at, value) in edits.iter().take(4) {
                if let Some(last) = bytes.len().checked_sub(1) {
                    bytes[usize::from(*at) % (last + 1)] = *value;
                }
            }
            if form & 128 != 0 {
                bytes.truncate(edits.first().map_or(0, |(at, _)| usize::from(*at)));
            }
            judge(&bytes);
        });
}

fn bodies() -> Vec<Vec<u8>> {
    let bench = Bench::new();
    let operations = [
        trade("ACME", 1, "alice", "bob", 10),
        write("alice", "ACME-C", 3),
        exercise("alice", "ACME-C", 3),
        quorate_node::app::Operation::OpenAccount {
            account: super::bench::account("dave"),
            keys: vec![super::bench::public("k1")],
        },
    ];
    let body = |operation| {
        let asked = Asked {
            carrier: "alice",
            operation,
            consents: &["bob"],
        };
        bench.request(&asked, 1).body
    };
    operations.map(body).to_vec()
}

#[test]
fn body_decoder_holds() {
    fuzz(&bodies(), 20_000, is_canonical::<Body>);
}

#[test]
fn outcome_and_entry_decoders_hold() {
    let mut bench = Bench::new();
    bench.ask("alice", write("alice", "ACME-C", 3), &[]);
    let asked = Asked {
        carrier: "alice",
        operation: exercise("alice", "ACME-C", 3),
        consents: &[],
    };
    let request = bench.request(&asked, 2);
    let refused = bench.request(&asked, 3);
    let (_, _, applied) = bench.block(vec![request, refused]);
    let outcomes: Vec<_> = applied.outcomes.iter().map(|l| l[16..].to_vec()).collect();
    fuzz(&outcomes, 20_000, |bytes| {
        is_canonical::<Outcome>(bytes);
        let _ = Outcome::from_leaf(bytes);
    });
    let entries: Vec<_> = bench.ledger.entries().map(Canonical::to_bytes).collect();
    fuzz(&entries, 5_000, is_canonical::<Entry>);
}

#[test]
fn genesis_and_requests_decoders_hold() {
    let genesis = genesis();
    let forms = [genesis.to_bytes(), genesis.to_json().into_bytes()];
    fuzz(&forms, 2_000, is_file::<Genesis>);
    let requests = Requests::of([trade("ACME", 1, "alice", "bob", 10)]);
    let forms = [requests.to_bytes(), requests.to_json().into_bytes()];
    fuzz(&forms, 5_000, is_file::<Requests>);
}

#[test]
fn proof_decoders_hold() {
    let mut bench = Bench::new();
    let asked = Asked {
        carrier: "alice",
        operation: trade("ACME", 1, "alice", "bob", 10),
        consents: &["bob"],
    };
    let request = bench.request(&asked, 1);
    let (header, payload, applied) = bench.block(vec![request]);
    let block = quorate_pbft::block::Block::new(header, payload).unwrap();
    let settled = quorate_node::app::settlement_proof(&block, &applied.outcomes, &bench.header, 0);
    let settled = settled.unwrap();
    let forms = [settled.to_bytes(), settled.to_json().into_bytes()];
    fuzz(&forms, 5_000, |bytes| {
        is_file::<SettlementProof>(bytes);
        is_file::<SubmissionProof>(bytes);
        is_file::<StateProof>(bytes);
    });
}

#[test]
fn snapshot_decoder_holds() {
    let bytes = Bench::new().ledger.snapshot();
    fuzz(&[bytes], 500, |bytes| {
        let mut ledger = Ledger::default();
        if ledger.restore(bytes).is_ok() {
            assert_eq!(ledger.snapshot(), bytes);
        }
    });
}
