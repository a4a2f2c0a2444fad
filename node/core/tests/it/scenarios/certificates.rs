//! Scenarios 4 to 7: old, foreign, repeated and too few votes decide nothing.

use std::sync::Arc;

use quorate_pbft::ballot::Step;
use quorate_pbft::defect::{Broken, Defect};
use quorate_pbft::message::{Message, Prepared, ViewChange};
use quorate_pbft::sim::{LiarKind, Setup, Violation};
use quorate_verifier::primitives::{Digest, POWER_LIMIT, View};
use quorate_verifier::rule::QuorumRule;

use super::{defended_by, expect, good, primary, view_change, vote, world};

/// Scenario 4: votes of views far away are not kept, and nothing breaks at the ends of the range.
#[test]
fn votes_of_far_views_are_not_kept() {
    defended_by(Defect::WindowUnbounded, |build| {
        let mut setup = Setup::calm(4);
        setup.liars = vec![(3, LiarKind::Silent)];
        let mut world = world(setup, build);
        world.run_until(5);
        for view in (0..2_000).chain([u64::MAX - 1, u64::MAX]) {
            let block = Digest::from_bytes([9; 32]);
            for step in [Step::Prepare, Step::Commit] {
                world.inject(3, 0, vote(&world, 3, step, 1, view, block));
            }
            world.inject(3, 0, view_change(&world, 3, 1, view, None));
        }
        let held = world.core(0).unwrap().held();
        expect(held.prepares < 10 && held.commits < 20, format!("{held:?}"))?;
        world.run_until(500);
        good(&world)?;
        expect(world.height(0) > 5, "no progress")
    });
}

/// Scenario 5: view changes of another chain with the same keys move nobody.
#[test]
fn messages_of_another_chain_are_refused() {
    defended_by(Defect::ChainUnbound, |build| {
        let mut other = Setup::calm(4);
        (other.seed, other.clients) = (1, 3); // another genesis, the same keys
        let other = world(other, build);
        let mut world = world(Setup::calm(4), build);
        for height in 1..40 {
            for from in 1..4 {
                world.inject(from, 0, view_change(&other, from, height, 1, None));
            }
            world.run_for(20);
        }
        expect(world.counts().highest_view == 0, "a view was changed")?;
        let blamed = |v: &Violation| !matches!(v, Violation::Blamed { .. });
        expect(
            !world.violations().iter().any(blamed),
            format!("{:?}", world.violations()),
        )
    });
}

/// Scenario 5: another chain's certified block of the same height neither counts nor stops anybody.
#[test]
fn certified_blocks_of_another_chain_are_refused() {
    defended_by(Defect::ChainUnbound, |build| {
        let mut other = Setup::calm(4);
        (other.seed, other.clients) = (1, 3);
        let mut other = world(other, build);
        other.run_until(300);
        let blocks: Vec<_> = other.decisions().map(|d| d.block.clone()).take(4).collect();
        let mut world = world(Setup::calm(4), build);
        for height in 0..4 {
            world.inject(1, 0, Message::Blocks(blocks[height..].to_vec()));
            world.run_for(60);
        }
        expect(world.down(0).is_none(), format!("{:?}", world.down(0)))?;
        expect(world.height(0) >= 3, "no progress")
    });
}

/// Scenario 5: own and others' commits of earlier heights, with a new label, neither count nor
/// accuse nor stop anybody, and do not crowd out the votes of this height.
#[test]
fn relabelled_commits_do_not_crowd_out() {
    defended_by(Defect::UnseenCrowds, |build| {
        let mut setup = Setup::calm(4);
        setup.weak = vec![3];
        let mut world = world(setup, build);
        world.run_until(400);
        world.stop(3); // now every vote is needed
        let before = (0..3).map(|n| world.height(n)).max().unwrap_or(0);
        let old: Vec<_> = world
            .decisions()
            .take(6)
            .map(|d| d.block.block.digest())
            .collect();
        for _ in 0..60 {
            for (to, signer) in (0..9)
                .map(|i| (i / 3, i % 3))
                .filter(|(to, signer)| to != signer)
            {
                for block in &old {
                    // The signature is the one that this validator made at the old height.
                    let height = world.height(to) + 1;
                    let lie = vote(&world, signer, Step::Commit, height, 0, *block);
                    world.inject(3, to, lie);
                }
            }
            world.run_for(5);
        }
        good(&world)?;
        // Only the turns of the node that is off may end in a view change.
        let turns = world.decisions().filter(|d| {
            let height = d.block.block.height().get();
            height > before + 1 && primary(&world, height, 0) != 3
        });
        let late: Vec<_> = turns
            .map(|d| d.block.certificate.view() > View::FIRST)
            .collect();
        let crowded = late.iter().filter(|late| **late).count();
        expect(
            late.len() > 2 && crowded == 0,
            format!("{crowded} of {} turns failed", late.len()),
        )
    });
}

/// Scenario 6: a prepared certificate with one signer many times is none.
#[test]
fn a_signer_counts_once_in_a_certificate() {
    defended_by(Defect::DuplicateCounted, |build| {
        let mut setup = Setup::calm(4);
        setup.liars = vec![(3, LiarKind::Silent)];
        let mut world = world(setup, build);
        world.network.split(|n| n); // everybody alone
        world.run_until(400);
        let block = Digest::from_bytes([9; 32]);
        let Message::Vote(prepare) = vote(&world, 3, Step::Prepare, 1, 0, block) else {
            unreachable!()
        };
        let votes = vec![(3, prepare.signature); 3];
        let proof = Some(Arc::new(Prepared {
            view: View::FIRST,
            block,
            votes,
        }));
        let claim = Some((View::FIRST, block));
        let Message::ViewChange(change) = view_change(&world, 3, 1, 2, claim) else {
            unreachable!()
        };
        let lie = Message::ViewChange(Arc::new(ViewChange {
            proof,
            ..ViewChange::clone(&change)
        }));
        world.inject(3, 0, lie);
        let held = world.core(0).map(|core| core.held().changes);
        expect(
            held == Some(1),
            format!("{held:?} view changes are held, the own one was expected"),
        )
    });
}

/// Scenario 7: two of three equal validators hold exactly two thirds, which decides nothing; one
/// unit more does.
#[test]
fn exactly_two_thirds_decide_nothing() {
    defended_by(Defect::TwoThirdsEnough, |build| {
        for (powers, off, decides) in [
            (vec![1, 1, 1], 2, false),
            (vec![3, 3, 3], 0, false),
            (vec![3, 4, 3], 2, true),
            (vec![2, 2, 1, 1], 0, false),
            (vec![3, 2, 2], 0, false),
            (vec![5, 2, 1], 2, true),
        ] {
            let mut setup = Setup::calm(powers.len());
            setup.powers = powers.clone();
            let mut world = world(setup, build);
            world.run_until(0);
            world.stop(off);
            world.run_until(1_500);
            let height = world.strong().map(|n| world.height(n)).max().unwrap_or(0);
            expect(
                (height > 0) == decides,
                format!("{powers:?} without {off} reach height {height}"),
            )?;
        }
        Ok(())
    });
}

/// Scenario 7: powers at the end of their range do not wrap, also under a rule whose products with
/// them take 92 bits: whoever is a quorum decides, and who lacks one unit of it does not.
#[test]
fn great_powers_do_not_wrap() {
    let most = POWER_LIMIT / 4 - 1;
    // The greatest prime below 2^32, and the least numerator that makes two thirds of it.
    let fine = QuorumRule::new(2_863_311_528, 4_294_967_291).unwrap();
    for (rule, powers, off, decides) in [
        (QuorumRule::COMMIT, vec![most; 4], 0, true),
        (QuorumRule::COMMIT, vec![most, most, most, 1], 0, true),
        (QuorumRule::COMMIT, vec![most, most, most], 0, false),
        (QuorumRule::COMMIT, vec![most * 2, most, 1, 1], 1, true),
        (fine, vec![most; 4], 0, true),
        (fine, vec![most, most, most, 1], 0, false),
        (fine, vec![most, most, most, 1], 3, true),
        (fine, vec![most * 2, most, 1, 1], 1, false),
    ] {
        let mut setup = Setup::calm(powers.len());
        (setup.powers, setup.rule, setup.weak) = (powers.clone(), rule, vec![off]);
        let mut world = world(setup, Broken(None));
        world.run_until(0);
        world.stop(off);
        world.run_until(3_000);
        assert_eq!(world.violations(), []);
        let height = world.strong().map(|n| world.height(n)).max().unwrap();
        assert_eq!(height > 3, decides, "{powers:?} without {off} by {rule}");
    }
}
