//! Scenarios 8 to 10: what may have been decided in a view wins in the next ones.

use std::sync::Arc;

use quorate_pbft::ballot::Step;
use quorate_pbft::defect::{Broken, Defect};
use quorate_pbft::message::{Message, Prepared, ViewChange};
use quorate_pbft::sim::{LiarKind, Setup};
use quorate_verifier::primitives::{Digest, View};

use super::{Sim, Verdict, defended_by, expect, good, primary, view_change, vote, world};

/// Scenario 8: what one node has decided in a view wins in the next ones, though everybody else
/// has only prepared it.
#[test]
fn a_prepared_block_wins_the_view_change() {
    defended_by(Defect::PreparedDropped, one_decides_alone);
}

/// Scenario 8: a new primary that ignores the claims is not followed.
#[test]
fn a_new_view_cannot_ignore_the_claims() {
    defended_by(Defect::OpeningIgnored, one_decides_alone);
}

/// Scenario 8: nor is a commit made before a quorum has prepared.
#[test]
fn a_commit_needs_a_prepared_quorum() {
    defended_by(Defect::CommitUnprepared, |build| {
        // Nobody hears a prepare in view 0, one node hears commits there: there must be none, or it
        // decides what no view change can find.
        for lonely in 0..4 {
            let mut setup = Setup::calm(4);
            setup.seed = lonely as u64;
            let mut world = world(setup, build);
            world.filter = Some(Box::new(move |from, to, message| match message {
                Message::Vote(v) if v.view.get() == 0 => v.step == Step::Commit && to == lonely,
                Message::Status(..) | Message::Blocks(_) => from != lonely,
                _ => true,
            }));
            world.run_until(5_000);
            good(&world)?;
            let others = (0..4)
                .filter(|n| *n != lonely)
                .map(|n| world.height(n))
                .max();
            expect(
                others >= Some(1),
                "one node has decided what the others cannot find",
            )?;
        }
        Ok(())
    });
}

/// At each height all commits of view 0 are lost but those to one node, which decides and falls
/// silent before it can tell. Two more primaries fail before the third may propose.
fn one_decides_alone(build: Broken) -> Verdict {
    for (lonely, failing) in [(0, 0), (1, 1), (2, 2), (3, 2)] {
        let mut setup = Setup::calm(4);
        setup.seed = lonely as u64;
        let mut world = world(setup, build);
        world.filter = Some(Box::new(move |from, to, message| match message {
            Message::Vote(v) if v.step == Step::Commit && v.view.get() <= failing => {
                to == lonely && v.view.get() == 0
            }
            Message::PrePrepare(p) if p.view.get() > 0 => p.view.get() > failing,
            // The lonely one hears, and says nothing once it has decided.
            Message::Status(..) | Message::Blocks(_) | Message::ViewChange(_) => from != lonely,
            _ => true,
        }));
        let decided = |w: &Sim| w.height(lonely) >= 1;
        world.run_while(2_000, |w| !decided(w));
        expect(decided(&world), "nobody decided alone")?;
        world.network.cut(lonely, true, false);
        world.run_for(8_000);
        good(&world)?;
        let others = (0..4)
            .filter(|n| *n != lonely)
            .map(|n| world.height(n))
            .max();
        expect(others >= Some(1), "the others are stuck")?;
    }
    Ok(())
}

/// Scenario 9: an invalid certificate in one view change does not spoil the valid ones.
#[test]
fn an_invalid_view_change_spoils_nothing() {
    defended_by(Defect::InvalidSpoils, |build| {
        let mut setup = Setup::calm(4);
        setup.liars = vec![(3, LiarKind::Silent)];
        let mut world = world(setup, build);
        // Everybody prepares, nobody commits; then the next primary is told an invalid claim.
        world.filter = Some(Box::new(
            |_, _, message| !matches!(message, Message::Vote(v) if v.step == Step::Commit && v.view.get() == 0),
        ));
        let block = Digest::from_bytes([7; 32]);
        for view in 1..4 {
            for to in 0..3 {
                world.run_for(1);
                world.inject(
                    3,
                    to,
                    view_change(&world, 3, 1, view, Some((View::FIRST, block))),
                );
            }
        }
        world.run_until(2_000);
        good(&world)?;
        expect(
            world.counts().highest_view <= 2,
            format!("{} views", world.counts().highest_view),
        )?;
        expect(world.height(0) >= 1, "no progress")
    });
}

/// Scenario 10: a new primary may choose whose view changes it shows, but not what they mean; and
/// it must prove the highest claim.
#[test]
fn the_highest_claim_is_proved() {
    defended_by(Defect::ClaimUnproved, |build| {
        // Everybody prepares a block in view 0, and view 1 is the liar's, who is silent there. It asks
        // for view 2 and claims to have prepared in view 1 a block that nobody has.
        let calm = world(Setup::calm(4), Broken(None));
        let liar = primary(&calm, 1, 1);
        let mut setup = Setup::calm(4);
        setup.liars = vec![(liar, LiarKind::Silent)];
        let mut world = world(setup, build);
        world.filter = Some(Box::new(
            |_, _, message| !matches!(message, Message::Vote(v) if v.step == Step::Commit && v.view.get() == 0),
        ));
        world.run_until(10);
        let (view, block) = (View::new(1), Digest::from_bytes([7; 32]));
        let Message::Vote(own) = vote(&world, liar, Step::Prepare, 1, 1, block) else {
            unreachable!()
        };
        let proof = Some(Arc::new(Prepared {
            view,
            block,
            votes: vec![(own.signer, own.signature)],
        }));
        let Message::ViewChange(change) = view_change(&world, liar, 1, 2, Some((view, block)))
        else {
            unreachable!()
        };
        let lie = Arc::new(ViewChange {
            proof,
            ..ViewChange::clone(&change)
        });
        let others: Vec<_> = (0..4).filter(|n| *n != liar).collect();
        for to in &others {
            world.inject(liar, *to, Message::ViewChange(lie.clone()));
        }
        let decided = |w: &Sim| others.iter().any(|n| w.height(*n) >= 1);
        world.run_while(3_000, |w| !decided(w));
        good(&world)?;
        expect(decided(&world), "no progress")?;
        let views = world.counts().highest_view;
        expect(
            views == 2,
            format!("decided in view {views}: view 2 waited for a block that nobody has"),
        )
    });
}

/// Bug 14 (hidden lock): a block that only one node has prepared does not keep it from following
/// another one, nor the others from going on.
#[test]
fn a_hidden_prepared_certificate_blocks_nobody() {
    for hidden in 0..4 {
        let mut setup = Setup::calm(4);
        setup.seed = hidden as u64;
        let mut world = world(setup, Broken(None));
        // Prepares of view 0 reach one node only, which then cannot be heard for a while.
        world.filter = Some(Box::new(move |from, to, message| match message {
            Message::Vote(v)
                if v.step == Step::Prepare && v.view.get() == 0 && v.height.get() == 1 =>
            {
                to == hidden
            }
            Message::ViewChange(_) => from != hidden,
            Message::Vote(v) if v.step == Step::Commit => from != hidden || v.height.get() > 1,
            _ => true,
        }));
        world.run_until(3_000);
        assert_eq!(world.violations(), []);
        assert!(world.height(hidden) > 5 && world.height((hidden + 1) % 4) > 5);
    }
}

/// Bug 11: a view change among many validators.
#[test]
fn a_view_change_among_many() {
    let mut setup = Setup::calm(22);
    setup.request_ms = 200;
    let mut world = world(setup, Broken(None));
    world.run_until(0);
    let failing: Vec<_> = (0..7).map(|view| primary(&world, 1, view)).collect();
    let failing: Vec<_> = failing.into_iter().take(4).collect();
    for node in &failing {
        world.network.cut(*node, true, true);
    }
    world.run_until(4_000);
    assert_eq!(world.violations(), []);
    let best = (0..22).map(|n| world.height(n)).max().unwrap();
    assert!(best >= 1, "22 validators do not get past {failing:?}");
}
