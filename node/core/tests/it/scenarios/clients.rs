//! Requests: signed, in order, once, within limits, and soon, whoever is primary.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use quorate_pbft::Fault;
use quorate_pbft::ballot::{Ballot, Step};
use quorate_pbft::block::Block;
use quorate_pbft::chain::Refusal;
use quorate_pbft::defect::{Broken, Defect};
use quorate_pbft::message::{Message, PrePrepare, Vote};
use quorate_pbft::request::Payload;
use quorate_pbft::scheme::Scheme;
use quorate_pbft::sim::keys::{Crypto, KeyId, Symbolic};
use quorate_pbft::sim::{Deviation, LiarKind, Setup, World, add};
use quorate_verifier::primitives::{Digest, View};
use quorate_verifier::signature::{Signature, VoteKey};

use super::{defended_by, expect, good, primary, view_change, vote, world};

/// Bug 7 (Big MAC): a request that its client did not sign convinces nobody, so nobody waits for it.
#[test]
fn an_unsigned_request_moves_nobody() {
    defended_by(Defect::RequestsUnchecked, |build| {
        let mut setup = Setup::calm(4);
        setup.request_ms = 0;
        let mut world = world(setup, build);
        world.run_until(50);
        let mut request = (*world.request(0, 1, b"+12345678".to_vec())).clone();
        request.signature = world.crypto().sign(KeyId(2), b"something else");
        for to in 0..4 {
            world.inject(
                (to + 1) % 4,
                to,
                Message::Requests(vec![Arc::new(request.clone())]),
            );
        }
        world.run_until(1_000);
        let executed = world
            .decisions()
            .any(|d| !d.block.block.payload().requests.is_empty());
        expect(!executed, "it was executed")?;
        expect(
            world.counts().highest_view == 0,
            "a view was changed for it",
        )
    });
}

/// A request that was executed is not executed again, whoever proposes it.
#[test]
fn a_request_is_executed_once() {
    defended_by(Defect::SequenceUnchecked, |build| {
        let mut setup = Setup::calm(4);
        setup.liars = vec![(1, LiarKind::Deviator(Step::PrePrepare, Deviation::Repeats))];
        let mut world = world(setup, build);
        world.run_until(1_500);
        expect(world.counts().lies > 0, "the liar was not heard")?;
        good(&world)
    });
}

/// Scenario 20: clients that repeat themselves a thousand times cause no traffic between nodes.
#[test]
fn a_storm_of_retransmissions_is_quiet() {
    defended_by(Defect::RequestsEchoed, |build| {
        let mut setup = Setup::calm(4);
        setup.request_ms = 0;
        let mut world = world(setup, build);
        world.run_until(100);
        let before = world.counts().delivered;
        for _ in 0..500 {
            for node in 0..4 {
                // The first one is lacking, so this one waits.
                world.submit(node, 0, 2, add(1));
            }
            world.run_for(1);
        }
        good(&world)?;
        let delivered = world.counts().delivered - before;
        expect(
            delivered < 4_000,
            format!("{delivered} messages in half a second"),
        )
    });
}

/// Scenario 30: a client has so many requests in the pool and no more.
#[test]
fn the_pool_is_bounded() {
    defended_by(Defect::PoolUnbounded, |build| {
        let mut setup = Setup::calm(4);
        setup.request_ms = 0;
        let mut world = world(setup, build);
        world.run_until(10);
        for sequence in 2..600 {
            world.submit(0, 0, sequence, add(sequence));
        }
        let held = world.core(0).map_or(0, |core| core.held().requests);
        expect(held == 255, format!("{held} requests wait"))
    });
}

/// Scenarios 21 and 30: a block with a request above the limit in force is not prepared, and its
/// primary is blamed.
#[test]
fn a_block_keeps_the_limits_in_force() {
    defended_by(Defect::LimitsUnchecked, |build| {
        let calm = world(Setup::calm(4), Broken(None));
        let liar = primary(&calm, 1, 0);
        let mut setup = Setup::calm(4);
        (setup.liars, setup.request_ms) = (vec![(liar, LiarKind::Silent)], 0);
        let mut world = world(setup, build);
        world.run_until(5);
        let large = [add(1), vec![0; 1 << 16]].concat();
        let requests = vec![world.request(0, 1, large)];
        let payload = Payload {
            salt: [1; 32],
            requests,
        };
        let others: Vec<_> = (0..4).filter(|node| *node != liar).collect();
        let chain = world.core(others[0]).unwrap().chain();
        let time = chain.tip().header.time.checked_add_ms(5).unwrap();
        let header = chain.next_header(time, payload.root());
        let block = Block::new(header, payload).unwrap();
        let ballot = Ballot::block(
            Step::PrePrepare,
            block.height(),
            View::FIRST,
            block.digest(),
        );
        let bytes = ballot.signed_bytes(&super::chain(&world));
        let proposal = PrePrepare {
            view: View::FIRST,
            block,
            opening: None,
            signature: world.crypto().sign(KeyId(liar), &bytes),
        };
        for to in &others {
            world.inject(liar, *to, Message::PrePrepare(Arc::new(proposal.clone())));
        }
        let refusal = Fault::Block(Refusal::Limit("bytes in a request"));
        let blamed = world.blames().iter().any(|blame| blame.2 == refusal);
        expect(blamed, format!("{:?}", world.blames()))?;
        world.run_for(1_000);
        let executed = world
            .decisions()
            .any(|d| d.block.block.payload().size() > 1 << 16);
        expect(!executed && world.height(others[0]) > 0, "it was decided")
    });
}

/// Scenario 30: what is kept of one peer for the next height is bounded.
#[test]
fn messages_of_the_next_height_are_bounded() {
    defended_by(Defect::BufferUnbounded, |build| {
        let mut setup = Setup::calm(4);
        setup.liars = vec![(3, LiarKind::Silent)];
        let mut world = world(setup, build);
        world.run_until(5);
        for byte in 0..200 {
            let block = Digest::from_bytes([byte; 32]);
            world.inject(3, 0, vote(&world, 3, Step::Commit, 2, 0, block));
            world.inject(3, 0, view_change(&world, 3, 2, 1 + u64::from(byte), None));
        }
        let held = world.core(0).map_or(0, |core| core.held().next);
        expect(held <= 10, format!("{held} messages are kept"))
    });
}

/// Scenario 31: bad signatures cost their sender its ear after a few dozen of them.
#[test]
fn bad_signatures_cost_a_peer_its_ear() {
    defended_by(Defect::NoPenalty, |build| {
        let mut setup = Setup::calm(4);
        setup.liars = vec![(3, LiarKind::Silent)];
        let mut world = world(setup, build);
        world.run_until(5);
        let Message::Vote(good_vote) = vote(&world, 3, Step::Prepare, 1, 0, Digest::ZERO) else {
            unreachable!()
        };
        for byte in 0..500u16 {
            let [low, high] = byte.to_le_bytes();
            let mut signature = [low; 64];
            signature[0] = high;
            let signature = Signature::from_bytes(signature);
            let lie = Vote {
                signature,
                ..good_vote
            };
            world.inject(3, 0, Message::Vote(lie));
        }
        let checked = world.blames().len();
        expect(
            checked == 64,
            format!("{checked} bad signatures were checked"),
        )
    });
}

/// Notes how many requests are judged at once.
#[derive(Clone)]
struct Counting(Symbolic, Rc<RefCell<Vec<usize>>>);

impl Scheme for Counting {
    fn verify(&self, key: &VoteKey, message: &[u8], signature: &Signature) -> bool {
        self.0.verify(key, message, signature)
    }
    fn verify_all(&self, items: &[(&VoteKey, &[u8], &Signature)]) -> bool {
        self.0.verify_all(items)
    }
    fn verify_each(&self, items: &[(&VoteKey, &[u8], &Signature)]) -> Vec<bool> {
        self.1.borrow_mut().push(items.len());
        self.0.verify_each(items)
    }
}

impl Crypto for Counting {
    fn sign(&self, id: KeyId, message: &[u8]) -> Signature {
        self.0.sign(id, message)
    }
}

/// Scenario 31: one bad signature among many spoils none of the others; and since it makes the
/// check of all of them dear, its sender's requests are checked alone for a while.
#[test]
fn a_bad_signature_makes_the_others_dear_only_once() {
    defended_by(Defect::NoDoubt, |build| {
        let groups = Rc::new(RefCell::new(Vec::new()));
        let crypto = Counting(Symbolic::new(1), groups.clone());
        let mut setup = Setup::calm(4);
        setup.request_ms = 0;
        let mut world = World::new(setup, crypto, build);
        world.run_until(5);
        let request = |world: &World<_, _>, sequence| world.request(0, sequence, b"+1".to_vec());
        let mut lot: Vec<_> = (10..20).map(|sequence| request(&world, sequence)).collect();
        let mut bad = (*lot[4]).clone();
        bad.signature = world.crypto().sign(KeyId(2), b"something else");
        lot[4] = Arc::new(bad);
        world.inject(3, 0, Message::Requests(lot));
        let kept = world.core(0).map_or(0, |core| core.pending());
        expect(kept == 9, format!("{kept} of the nine good ones are kept"))?;
        expect(world.blames().len() == 1, "the sender is not blamed once")?;
        expect(*groups.borrow() == [10], "they were not checked together")?;
        groups.borrow_mut().clear();
        let lot = |from: u64| {
            (from..from + 5)
                .map(|sequence| request(&world, sequence))
                .collect()
        };
        let (of_doubted, of_others) = (lot(30), lot(40));
        world.inject(3, 0, Message::Requests(of_doubted));
        world.inject(2, 0, Message::Requests(of_others));
        expect(
            *groups.borrow() == [1, 1, 1, 1, 1, 5],
            format!("{:?}", groups.borrow()),
        )
    });
}
