//! Scenarios 1 to 3 and 13: what a faulty third does forks nothing, and more than a third is
//! noticed.

use quorate_pbft::Halt;
use quorate_pbft::ballot::Step;
use quorate_pbft::defect::{Broken, Defect};
use quorate_pbft::sim::keys::KeyId;
use quorate_pbft::sim::{Deviation, Down, LiarKind, Setup, Violation, Weather};
use quorate_verifier::primitives::{Digest, View};

use super::{Sim, defended_by, expect, good, view_change, vote, world};

/// Scenario 1: one faulty node of four, every deviation in every step.
#[test]
fn every_deviation_in_every_step() {
    for step in [
        Step::ViewChange,
        Step::PrePrepare,
        Step::Prepare,
        Step::Commit,
    ] {
        for how in Deviation::ALL {
            for node in 0..4 {
                let mut setup = Setup::calm(4);
                setup.liars = vec![(node, LiarKind::Deviator(step, how))];
                setup.seed = node as u64;
                // Enough loss for view changes.
                setup.weather = Weather {
                    delay_max_ms: 8,
                    loss: 150,
                    ..Weather::CALM
                };
                setup.chaos_ms = 600;
                let mut world = world(setup, Broken(None));
                world.run_until(600);
                world.heal();
                world.demand_progress(5, 20_000);
                assert_eq!(world.violations(), [], "{step:?} {how:?} by {node}");
            }
        }
    }
}

/// Scenario 2: a primary's twins tell each half another story; with three equal validators each
/// half and its twin hold exactly two thirds.
#[test]
fn twins_split_in_halves_do_not_fork() {
    defended_by(Defect::TwoThirdsEnough, |build| {
        for twin in 0..3 {
            let mut setup = Setup::calm(3);
            setup.liars = vec![(twin, LiarKind::Twins)];
            setup.seed = twin as u64;
            let mut world = world(setup, build);
            let others: Vec<_> = (0..3).filter(|n| *n != twin).collect();
            // The second twin is the last node.
            world
                .network
                .split(|n| usize::from(n == others[1] || n == 3));
            world.run_until(1_000);
            good(&world)?;
        }
        Ok(())
    });
}

/// Scenario 2: every way to split four validators and a twin in two.
#[test]
fn equivocating_primaries_split_two_by_two() {
    for kind in [LiarKind::Twins, LiarKind::Equivocator] {
        for node in 0..4 {
            for split in 0..16 {
                let mut setup = Setup::calm(4);
                setup.liars = vec![(node, kind)];
                setup.chaos_ms = 400;
                setup.seed = split;
                let mut world = world(setup, Broken(None));
                world.network.split(|n| usize::from((split >> n) & 1 == 1));
                world.run_until(400);
                world.heal();
                world.demand_progress(3, 20_000);
                assert_eq!(world.violations(), [], "{kind:?} {node} {split}");
            }
        }
    }
}

/// Scenario 3: two votes in one slot are evidence that holds.
#[test]
fn double_votes_are_evidence() {
    defended_by(Defect::NoEvidence, |build| {
        for step in [Step::PrePrepare, Step::Prepare, Step::ViewChange] {
            let mut setup = Setup::calm(4);
            setup.liars = vec![(3, LiarKind::Silent)];
            let mut world = world(setup, build);
            world.run_until(10);
            let (height, other) = (1, Digest::from_bytes([9; 32]));
            match step {
                Step::Prepare => {
                    world.inject(3, 0, vote(&world, 3, step, height, 0, other));
                    let third = Digest::from_bytes([8; 32]);
                    world.inject(3, 0, vote(&world, 3, step, height, 0, third));
                }
                Step::ViewChange => {
                    world.inject(3, 0, view_change(&world, 3, height, 1, None));
                    let claim = Some((View::FIRST, other));
                    world.inject(3, 0, view_change(&world, 3, height, 1, claim));
                }
                _ => {
                    let mut setup = Setup::calm(4);
                    setup.liars = vec![(0, LiarKind::Twins)];
                    world = super::world(setup, build);
                    world.run_until(500);
                }
            }
            good(&world)?;
            let found = world
                .evidence()
                .iter()
                .any(|(_, proof)| proof.slot.step == step);
            expect(found, format!("no evidence of a double {step:?}"))?;
        }
        Ok(())
    });
}

/// Scenario 3: two commits for two blocks of one height and view are evidence, with both headers.
#[test]
fn double_commits_are_evidence_with_both_headers() {
    defended_by(Defect::NoEvidence, |build| {
        let mut setup = Setup::calm(4);
        setup.liars = vec![(0, LiarKind::Equivocator)];
        let mut world = world(setup, build);
        world.run_until(2_000);
        good(&world)?;
        let commit = world
            .evidence()
            .iter()
            .find(|(_, proof)| proof.slot.step == Step::Commit);
        expect(
            commit.is_some_and(|(_, proof)| proof.headers.is_some()),
            "no evidence of a double commit",
        )
    });
}

/// Scenario 13: when more than a third is faulty a fork is possible; whoever sees both sides stops
/// and can prove it.
#[test]
fn more_than_a_third_is_noticed() {
    defended_by(Defect::ForkIgnored, |build| {
        let mut setup = Setup::calm(4);
        setup.liars = vec![(0, LiarKind::Twins), (1, LiarKind::Twins)];
        let mut world = world(setup, build);
        // 0 and 1 with 2, and their twins with 3.
        world.network.split(|n| usize::from(n >= 3));
        world.run_until(300);
        let forked = world
            .violations()
            .iter()
            .any(|v| matches!(v, Violation::Fork { .. }));
        expect(forked, "the split did not fork")?;
        world.network.open_all();
        world.run_for(2_000);
        let stopped = [2, 3]
            .iter()
            .any(|n| matches!(world.halt(*n), Some(Halt::Fork(_))));
        expect(stopped, "nobody has noticed")
    });
}

/// Scenario 13: the fork's culprits are named by double votes when both blocks are of one view.
#[test]
fn a_fork_names_its_culprits() {
    let twins = [0, 1].map(|n| *quorate_pbft::sim::keys::public(KeyId(n)).as_bytes());
    let mut named = 0;
    for apart_ms in (40..400).step_by(20) {
        let mut setup = Setup::calm(4);
        setup.liars = vec![(0, LiarKind::Twins), (1, LiarKind::Twins)];
        let mut world = world(setup, Broken(None));
        world.network.split(|n| usize::from(n >= 3));
        world.run_until(apart_ms);
        world.network.open_all();
        world.run_for(1_000);
        let accused: Vec<_> = world
            .evidence()
            .iter()
            .map(|(_, proof)| *proof.key.as_bytes())
            .collect();
        assert!(
            accused.iter().all(|key| twins.contains(key)),
            "a correct validator is accused"
        );
        named += usize::from(twins.iter().all(|twin| accused.contains(twin)));
    }
    // In the other worlds the two certificates that met are of different views: no slot was signed twice.
    assert!(named > 3, "in {named} of 18 worlds both culprits are named");
}

/// The same key used by more than a third (bug 16) stops those who see it; nobody crashes.
#[test]
fn shared_keys_crash_nobody() {
    let mut setup = Setup::calm(4);
    setup.liars = vec![(0, LiarKind::Twins), (1, LiarKind::Twins)];
    setup.weather = Weather {
        delay_max_ms: 10,
        loss: 100,
        ..Weather::CALM
    };
    let mut stopped = 0;
    for seed in 0..20 {
        setup.seed = seed;
        let mut world = world(setup.clone(), Broken(None));
        // The two correct ones are apart for a while, each with its own half of the twins.
        world.network.split(|n| usize::from(n >= 3));
        world.run_until(300);
        world.network.open_all();
        world.run_until(1_500);
        for node in [2, 3] {
            match world.down(node) {
                None => {}
                Some(Down::Halted(Halt::Fork(_) | Halt::Diverged { .. })) => stopped += 1,
                why => panic!("{why:?}"),
            }
        }
    }
    assert!(
        stopped > 0,
        "nobody has seen that two blocks were certified"
    );
}

/// Exactly a third of the power may be faulty and still nothing forks.
#[test]
fn exactly_a_third_cannot_fork() {
    for kind in LiarKind::ALL {
        for seed in 0..10 {
            let mut setup = Setup::of_seed(seed, None);
            setup.powers = vec![1, 1, 1];
            (setup.spares, setup.weak, setup.chaos.change_at_ms) = (0, Vec::new(), 0);
            setup.liars = vec![(usize::try_from(seed % 3).unwrap(), kind)];
            let mut world = world(setup, Broken(None));
            world.run_until(2_000);
            assert_eq!(world.violations(), [], "{kind:?} {seed}");
        }
    }
}

/// Scenario 3: evidence is kept for good: it is still there when its height is long over and the
/// node starts again.
#[test]
fn evidence_survives_a_restart() {
    let mut setup = Setup::calm(4);
    setup.liars = vec![(0, LiarKind::Equivocator)];
    let mut world = world(setup, Broken(None));
    world.run_until(2_000);
    let held = |world: &Sim, node| world.core(node).map_or(0, |core| core.evidence().len());
    let node = (1..4).max_by_key(|node| held(&world, *node)).unwrap();
    let before = held(&world, node);
    assert!(before > 0);
    world.stop(node);
    world.run_for(1_000);
    world.start(node);
    assert_eq!(held(&world, node), before);
}
