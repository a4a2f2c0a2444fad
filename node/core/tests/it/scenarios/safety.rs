//! Scenarios 1 to 13: nothing that a faulty third does forks the chain, and more is noticed.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use quorate_pbft::Halt;
use quorate_pbft::ballot::Step;
use quorate_pbft::defect::{Broken, Defect};
use quorate_pbft::message::{Message, Prepared, ViewChange};
use quorate_pbft::sim::keys::{Crypto, KeyId, set_of, set_of_members};
use quorate_pbft::sim::{Deviation, Down, LiarKind, Setup, Violation, Weather, carry};
use quorate_verifier::primitives::{Digest, POWER_LIMIT, View};

use super::{Sim, Verdict, defended_by, expect, good, primary, view_change, vote, world};

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

/// Scenario 7: one validator with more than a third can stop the chain but not fork it; powers at
/// the end of their range do not wrap.
#[test]
fn great_powers_do_not_wrap() {
    let most = POWER_LIMIT / 4 - 1;
    for powers in [
        vec![most; 4],
        vec![most, most, most, 1],
        vec![most * 2, most, 1, 1],
    ] {
        let mut setup = Setup::calm(4);
        setup.powers = powers;
        let mut world = world(setup, Broken(None));
        world.run_until(500);
        world.demand_progress(3, 5_000);
        assert_eq!(world.violations(), []);
    }
}

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

/// Scenario 11: a replica whose state differs from the certified one stops, and the others go on.
#[test]
fn a_diverged_replica_stops() {
    defended_by(Defect::StateUnchecked, |build| {
        let mut setup = Setup::calm(4);
        setup.broken_apps = vec![(2, 5)];
        setup.weak = vec![2];
        let mut world = world(setup, build);
        world.run_until(2_000);
        let stopped = matches!(world.halt(2), Some(Halt::Diverged { .. }));
        expect(
            stopped,
            format!("it goes on with another state: {:?}", world.violations()),
        )?;
        expect(world.height(0) > 20, "the others are stuck")
    });
}

/// Scenario 12: the set changes while the primaries around it fail; the new set signs from h + 2.
#[test]
fn the_set_changes_during_a_view_change() {
    defended_by(Defect::ChangeEarly, |build| {
        change_under_failures(build, 0..8)
    });
}

/// Scenario 12: a set that was not opened is not prepared; it is fetched first.
#[test]
fn an_unopened_set_is_fetched_first() {
    defended_by(Defect::SetUnopened, |build| {
        change_under_failures(build, 0..8)
    });
}

fn change_under_failures(build: Broken, seeds: std::ops::Range<u64>) -> Verdict {
    for seed in seeds {
        let mut setup = Setup::calm(4);
        (setup.seed, setup.spares) = (seed, 1);
        let mut world = world(setup, build);
        world.run_until(120);
        world.submit_change();
        // The proposals of view 0 are lost while the change takes effect.
        let from = world.now_ms();
        let lost = Rc::new(Cell::new(0));
        let count = lost.clone();
        world.filter = Some(Box::new(move |_, _, message| match message {
            Message::PrePrepare(p) if p.view.get() == 0 => {
                count.set(count.get() + 1);
                count.get() > 36
            }
            _ => true,
        }));
        world.run_until(from + 3_000);
        good(&world)?;
        let members = world.decisions().last().map_or(0, |d| d.tip.set.count());
        expect(members == 5, format!("the set has {members} members"))?;
        world.demand_progress(5, 5_000);
        good(&world)?;
        // Announced in h + 1, in force from h + 2, never earlier.
        let sets: Vec<_> = world
            .decisions()
            .map(|d| d.block.block.header().clone())
            .collect();
        let announced = sets.iter().position(|h| h.next_validators != h.validators);
        let signs = sets.iter().position(|h| h.validators != sets[0].validators);
        expect(
            announced.map(|a| a + 1) == signs,
            format!("{announced:?} {signs:?}"),
        )?;
    }
    Ok(())
}

/// Scenario 12: a change without a quorum of approvals, or with an old one's, does nothing.
#[test]
fn a_change_takes_a_quorum_of_the_present_set() {
    defended_by(Defect::ChangeUnchecked, |build| {
        let mut setup = Setup::calm(4);
        (setup.spares, setup.request_ms) = (1, 0);
        let mut world = world(setup, build);
        world.run_until(100);
        let present = set_of(&[1, 1, 1, 1]);
        let new = set_of_members(&[(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)]);
        for node in 0..5 {
            world.open_set(node, new.clone());
        }
        let change = world.change(0, Some(&new), None, &present, &[KeyId(0), KeyId(1)]);
        world.submit(0, 0, change.sequence, carry(&change));
        world.run_for(500);
        // Approvals of another request do not carry over.
        let approvers: Vec<_> = (0..4).map(KeyId).collect();
        let approved = world.change(1, Some(&new), None, &present, &approvers);
        let stolen = world.change(0, Some(&new), None, &present, &[]);
        let stolen = quorate_pbft::app::Change {
            approvals: approved.approvals,
            ..stolen
        };
        world.submit(0, 0, stolen.sequence, carry(&stolen));
        world.run_for(500);
        good(&world)?;
        let members = world.decisions().last().map_or(0, |d| d.tip.set.count());
        expect(members == 4, "a change was made without a quorum")
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
                Message::Request(Arc::new(request.clone())),
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
    for seed in 0..20 {
        setup.seed = seed;
        let mut world = world(setup.clone(), Broken(None));
        world.run_until(1_500);
        for node in [2, 3] {
            let fine = match world.down(node) {
                None => true,
                Some(Down::Halted(halt)) => matches!(halt, Halt::Fork(_) | Halt::Diverged { .. }),
                Some(_) => false,
            };
            assert!(fine, "{:?}", world.down(node));
        }
    }
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
