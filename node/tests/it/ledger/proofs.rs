//! Paths of requests, outcomes and entries, and what becomes of them when they are touched.

use quorate_node::app::{
    Body, Effect, Entry, EntryKey, Executed, Outcome, outcome_inclusion, settlement_proof,
    submission_proof,
};
use quorate_pbft::block::Block;
use quorate_pbft::request::Request;
use quorate_verifier::encoding::Canonical;
use quorate_verifier::inclusion::{InclusionError, SettlementProof};
use quorate_verifier::primitives::{Digest, Height};

use super::bench::{Asked, Bench, account, instrument, trade, transfer};

/// Five requests in one block, the second a trade that settles and the third one that does not.
fn settled() -> (Bench, Block, Vec<Vec<u8>>) {
    let mut bench = Bench::new();
    let asked = |carrier, operation, consents| Asked {
        carrier,
        operation,
        consents,
    };
    let requests = vec![
        bench.request(&asked("bank", transfer("EUR", "bank", "bob", 1), &[]), 1),
        bench.request(
            &asked("alice", trade("ACME", 5, "alice", "bob", 50), &["bob"]),
            1,
        ),
        bench.request(
            &asked("alice", trade("ACME", 99_999, "alice", "bob", 1), &["bob"]),
            2,
        ),
        bench.request(&asked("bob", transfer("EUR", "bob", "carol", 1), &[]), 1),
        bench.request(&asked("carol", transfer("EUR", "carol", "bob", 1), &[]), 1),
    ];
    let (header, payload, applied) = bench.block(requests);
    let block = Block::new(header, payload).expect("the header names the payload");
    (bench, Block::clone(&block), applied.outcomes)
}

fn proof(index: usize) -> (SettlementProof, Digest) {
    let (bench, block, outcomes) = settled();
    let next = &bench.header;
    let proof = settlement_proof(&block, &outcomes, next, index).expect("of the block");
    (proof, next.digest())
}

#[test]
fn a_settlement_is_shown_by_both_paths() {
    for index in 0..5 {
        let (proof, trusted) = proof(index);
        let (request, outcome) = proof.check(&trusted).expect("a good proof");
        let request = Request::from_bytes(request).unwrap();
        let body = Body::from_bytes(&request.body).unwrap();
        let outcome = Outcome::from_bytes(outcome).unwrap();
        assert_eq!(
            (outcome.client.0, outcome.sequence),
            (request.client.0, request.sequence)
        );
        match index {
            1 => {
                assert_eq!(body.operation, trade("ACME", 5, "alice", "bob", 50));
                assert_eq!(outcome.result, Executed::Done(Effect::AsAsked));
            }
            0 | 2 => assert!(matches!(outcome.result, Executed::Refused(_))),
            _ => assert_eq!(outcome.result, Executed::Done(Effect::AsAsked)),
        }
    }
}

#[test]
fn a_refused_trade_is_not_passed_off_as_settled() {
    let (good, trusted) = proof(1);
    let (refused, _) = proof(2);
    let swapped = SettlementProof {
        outcome: good.outcome.clone(),
        ..refused
    };
    assert!(matches!(
        swapped.check(&trusted),
        Err(InclusionError::Places { .. })
    ));
}

#[test]
fn every_part_of_a_settlement_proof_counts() {
    let (good, trusted) = proof(1);
    let refused = |change: &dyn Fn(&mut SettlementProof), expected: fn(&InclusionError) -> bool| {
        let mut bad = good.clone();
        change(&mut bad);
        let error = bad.check(&trusted).expect_err("changed");
        assert!(expected(&error), "{error:?}");
    };
    for at in [0, 15, 16, 40, good.request.leaf.len() - 1] {
        refused(&|p| p.request.leaf[at] ^= 1, |e| {
            *e == InclusionError::Payload
        });
    }
    for at in 0..good.outcome.leaf.len() {
        refused(&|p| p.outcome.leaf[at] ^= 1, |e| {
            *e == InclusionError::Outcome
        });
    }
    refused(&|p| p.request.index += 1, |e| *e == InclusionError::Payload);
    refused(&|p| p.outcome.size += 4, |e| *e == InclusionError::Outcome);
    refused(&|p| p.request.path.truncate(1), |e| {
        *e == InclusionError::Payload
    });
    refused(&|p| p.outcome.path.push(Digest::ZERO), |e| {
        *e == InclusionError::Outcome
    });
    refused(&|p| p.request.path.swap(0, 1), |e| {
        *e == InclusionError::Payload
    });
    refused(&|p| p.header.height = Height::new(7), |e| {
        *e == InclusionError::NotChild
    });
    refused(&|p| p.header.payload_root = Digest::ZERO, |e| {
        *e == InclusionError::NotChild
    });
    refused(&|p| p.next.outcomes_root = Digest::ZERO, |e| {
        matches!(e, InclusionError::OtherBlock { .. })
    });
    // The block alone is held to be final: that shows no outcome.
    let block = good.header.digest();
    assert!(matches!(
        good.check(&block),
        Err(InclusionError::OtherBlock { .. })
    ));
    // Outcomes of another block cannot be joined to it.
    refused(&|p| p.header = p.next.clone(), |e| {
        *e == InclusionError::NotChild
    });
}

#[test]
fn a_submission_says_nothing_of_the_outcome() {
    let (_, block, outcomes) = settled();
    let proof = submission_proof(&block, 2).expect("of the block");
    let trusted = block.digest();
    let request = Request::from_bytes(proof.check(&trusted).expect("a good proof")).unwrap();
    assert_eq!(request.sequence, 2);
    assert!(submission_proof(&block, 5).is_none());
    assert!(outcome_inclusion(&outcomes, 5).is_none());
    let mut bad = proof.clone();
    bad.request.leaf.truncate(16);
    assert_eq!(bad.check(&trusted), Err(InclusionError::Payload));
}

#[test]
fn a_balance_is_shown_under_the_certified_header() {
    let (mut bench, block, _) = settled();
    let key = EntryKey::Holding(account("alice"), instrument("ACME"));
    let units = |header: &quorate_verifier::header::Header, bench: &Bench| {
        let proof = bench.ledger.prove(header, &key)?;
        let Entry::Holding(holding) =
            Entry::from_bytes(proof.check(&header.digest()).ok()?).ok()?
        else {
            panic!("another entry")
        };
        Some(holding.free.get())
    };
    // Block 1 names the state before it, header 2 the state after it.
    assert_eq!(units(block.header(), &bench), Some(10_000));
    assert_eq!(units(&bench.header, &bench), Some(9_995));
    let second = bench.header.clone();
    bench.ask("alice", transfer("ACME", "alice", "bob", 95), &[]);
    assert_eq!(
        units(&second, &bench),
        Some(9_995),
        "as certified, though it is spent"
    );
    assert_eq!(units(block.header(), &bench), None, "no longer at hand");
    assert_eq!(units(&bench.header, &bench), Some(9_900));
    let mut proof = bench.ledger.prove(&second, &key).unwrap();
    let trusted = second.digest();
    for at in 0..proof.entry.leaf.len() {
        proof.entry.leaf[at] ^= 1;
        assert_eq!(proof.check(&trusted), Err(InclusionError::State));
        proof.entry.leaf[at] ^= 1;
    }
    assert!(proof.check(&trusted).is_ok());
    // An entry that the block made is not in the state before it.
    let new = EntryKey::Holding(account("bank"), instrument("ACME"));
    bench.ask("alice", transfer("ACME", "alice", "bank", 1), &[]);
    let third = bench.header.clone();
    assert!(bench.ledger.prove(&third, &new).is_some());
    bench.block(vec![]);
    assert!(bench.ledger.prove(&third, &new).is_some());
    assert!(bench.ledger.prove(&second, &new).is_none());
}

#[test]
fn salts_differ_and_change_with_every_write() {
    let (mut bench, block, outcomes) = settled();
    let mut salts: Vec<_> = outcomes.iter().map(|leaf| leaf[..16].to_vec()).collect();
    salts.extend((0..5).map(|i| block.payload().leaf(i).unwrap()[..16].to_vec()));
    let key = EntryKey::Holding(account("alice"), instrument("ACME"));
    for _ in 0..3 {
        let header = bench.header.clone();
        salts.push(bench.ledger.prove(&header, &key).unwrap().entry.leaf[..16].to_vec());
        bench.ask("alice", transfer("ACME", "alice", "bob", 1), &[]);
    }
    let count = salts.len();
    salts.sort();
    salts.dedup();
    assert_eq!(salts.len(), count);
}
