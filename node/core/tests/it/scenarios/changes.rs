//! Scenarios 11 and 12: diverging states and changing sets.

use std::cell::Cell;
use std::rc::Rc;

use quorate_pbft::Halt;
use quorate_pbft::defect::{Broken, Defect};
use quorate_pbft::message::Message;
use quorate_pbft::sim::keys::{KeyId, set_of, set_of_members};
use quorate_pbft::sim::{Setup, carry};

use super::{Verdict, defended_by, expect, good, world};

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
