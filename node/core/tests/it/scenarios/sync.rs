//! Scenario 28: whoever is behind comes up with the others, whatever some of them serve.

use std::cell::Cell;
use std::rc::Rc;

use quorate_pbft::Fault;
use quorate_pbft::defect::Defect;
use quorate_pbft::message::{Fetch, Message};
use quorate_pbft::sim::{LiarKind, Setup};
use quorate_verifier::primitives::{Digest, Height};

use super::{defended_by, expect, good, world};

/// Scenario 28, bug 17: a peer that never answers is not asked again before the others were.
#[test]
fn one_peer_that_never_answers_delays_nobody() {
    defended_by(Defect::OnePeerAsked, |build| {
        let mut setup = Setup::calm(4);
        (setup.weak, setup.snapshot_every) = (vec![3], 0);
        let mut world = world(setup, build);
        world.run_until(50);
        world.stop(3);
        world.run_for(2_000);
        world.start(3);
        // It is served when it asks, and not by everybody.
        world.filter = Some(Box::new(|from, to, message| match message {
            Message::Blocks(_) => from != 0,
            Message::Fetch(_) => true,
            _ => from != 3 || to == 3,
        }));
        world.run_for(1_500);
        good(&world)?;
        let (own, others) = (world.height(3), world.height(0));
        expect(own + 2 >= others, format!("it is at {own} of {others}"))
    });
}

/// Scenario 28, bug 17: blocks whose certificates hold no quorum are refused, and who serves them
/// is blamed.
#[test]
fn uncertified_blocks_are_refused() {
    defended_by(Defect::BlocksUnchecked, |build| {
        let mut setup = Setup::calm(4);
        setup.liars = vec![(3, LiarKind::CertificateForger)];
        let mut world = world(setup, build);
        world.run_until(1_500);
        good(&world)?;
        let by = |(_, peer, fault): &(usize, usize, Fault)| *peer == 3 && *fault == Fault::Blocks;
        expect(world.blames().iter().any(by), "the forger is not blamed")
    });
}

/// Scenario 28: gaps, old blocks, blocks in the wrong order, other sets and silence by a peer that
/// says it is far ahead.
#[test]
fn a_bad_peer_keeps_nobody_behind() {
    for seed in 0..30 {
        let mut setup = Setup::calm(4);
        (setup.seed, setup.weak, setup.spares) = (seed, vec![1], 1);
        setup.liars = vec![(0, LiarKind::BadPeer)];
        setup.snapshot_every = [0, 6][usize::from(seed % 2 == 0)];
        let mut world = world(setup, quorate_pbft::defect::Broken(None));
        world.run_until(100);
        world.stop(1);
        world.submit_change();
        world.run_for(1_000);
        world.start(1);
        // Nobody but the liar is there at first.
        world.network.split(|n| usize::from(n > 1));
        world.run_for(400);
        world.network.open_all();
        world.run_for(1_500);
        assert_eq!(world.violations(), [], "seed {seed}");
        assert!(world.counts().lies > 0);
        assert!(world.height(1) + 2 >= world.height(2), "seed {seed}");
    }
}

/// Bug 17: a peer that says less than before is believed: it is not asked for what it no longer
/// claims to have.
#[test]
fn a_peer_may_say_less_than_before() {
    defended_by(Defect::HeightsOnlyGrow, |build| {
        let mut setup = Setup::calm(4);
        setup.liars = vec![(3, LiarKind::Silent)];
        let mut world = world(setup, build);
        world.run_until(20);
        world.network.cut(3, true, false);
        let (far, header) = (Height::new(1_000), Digest::from_bytes([7; 32]));
        world.inject(3, 0, Message::Status(far, header));
        world.run_for(300);
        world.inject(3, 0, Message::Status(Height::new(1), header));
        let asked = Rc::new(Cell::new(0));
        let count = asked.clone();
        world.filter = Some(Box::new(move |from, to, message| {
            let asks = matches!(
                message,
                Message::Fetch(Fetch::Blocks(_) | Fetch::Snapshot(_))
            );
            count.set(count.get() + u32::from(asks && (from, to) == (0, 3)));
            true
        }));
        world.run_for(2_000);
        good(&world)?;
        expect(
            asked.get() == 0,
            format!("it is asked {} times", asked.get()),
        )
    });
}
