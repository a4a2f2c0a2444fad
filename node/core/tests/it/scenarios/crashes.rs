//! Scenarios 22 to 26: power, disks and clocks.

use quorate_pbft::Halt;
use quorate_pbft::ballot::Step;
use quorate_pbft::defect::{Broken, Defect};
use quorate_pbft::log::Storage as _;
use quorate_pbft::message::Message;
use quorate_pbft::sim::{DiskError, Down, LiarKind, Rng, Setup};

use super::{Sim, Verdict, defended_by, expect, good, primary, world};

/// Scenario 22, bug 12: power lost at every single write, sync, creation and removal in turn, on
/// every node in turn; nothing is signed that was signed otherwise before.
#[test]
fn a_crash_at_every_disk_operation() {
    defended_by(Defect::RecordsIgnored, |build| {
        let mut reached = 0;
        for node in 0..4 {
            for operation in 1..=40 {
                let mut setup = Setup::calm(4);
                (setup.seed, setup.weather.delay_max_ms) = (operation, 12);
                let mut world = world(setup, build);
                world.run_until(30 + operation);
                world.disk(node).crash_in = Some(operation);
                world.run_for(400);
                reached += world.counts().crashes;
                world.demand_progress(3, 2_000);
                good(&world)?;
            }
        }
        expect(reached == 160, format!("{reached} crashes"))
    });
}

/// Scenario 22: the same while a snapshot is taken over and stored.
#[test]
fn a_crash_at_every_operation_of_a_snapshot() {
    let mut adopted = 0;
    for operation in 1..=40 {
        let mut setup = Setup::calm(4);
        (setup.seed, setup.weak, setup.snapshot_every) = (operation, vec![3], 3);
        let mut world = world(setup, Broken(None));
        world.run_until(900);
        world.wipe(3);
        world.filter = Some(Box::new(|_, _, message| match message {
            Message::Blocks(blocks) => blocks.iter().all(|b| b.block.height().get() > 20),
            _ => true,
        }));
        world.disk(3).crash_in = Some(operation);
        world.run_for(2_500);
        assert_eq!(world.violations(), [], "operation {operation}");
        assert!(
            world.height(3) + 2 >= world.height(0),
            "operation {operation}"
        );
        adopted += world.counts().snapshots;
    }
    assert!(adopted >= 40, "{adopted}");
}

/// Scenario 23: a node whose disk is full stops and says so; the others go on, and so does it
/// once there is room.
#[test]
fn a_full_disk_stops_one_node() {
    defended_by(Defect::DiskErrorIgnored, |build| {
        a_bad_disk(build, DiskError::Full, |world| {
            world.disk(1).capacity = Some(0);
        })
    });
}

/// Scenario 23: nor is a failed sync tried again: the node stops before its vote has left.
#[test]
fn a_failed_sync_stops_one_node() {
    defended_by(Defect::DiskErrorIgnored, |build| {
        a_bad_disk(build, DiskError::Failed, |world| {
            world.disk(1).fails_next_sync = true;
        })
    });
}

fn a_bad_disk(build: Broken, error: DiskError, spoil: impl Fn(&mut Sim)) -> Verdict {
    let mut setup = Setup::calm(4);
    setup.weak = vec![1];
    let mut world = world(setup, build);
    world.run_until(200);
    spoil(&mut world);
    let up = |w: &Sim| w.down(1).is_none();
    let stopped = world.run_while(1_000, up);
    good(&world)?;
    expect(stopped, "it goes on")?;
    // The world's operator cleans up a quarter of a second later.
    let why = world.down(1).cloned();
    let said = matches!(why, Some(Down::Off)) || why == Some(Down::Disk(error));
    expect(said, format!("{why:?}"))?;
    let before = world.height(0);
    world.run_for(200);
    expect(world.height(0) > before + 2, "the others wait for it")?;
    world.run_for(800);
    good(&world)?;
    expect(world.height(1) + 2 >= world.height(0), "it is not back")
}

/// Scenario 23, bug 13: a bit that flips in a record that was durable keeps the node from
/// starting; one in the last record is a torn tail.
#[test]
fn damaged_records_keep_a_node_from_starting() {
    defended_by(Defect::DamageSkipped, |build| {
        let mut refused = 0;
        for seed in 0..60 {
            let mut setup = Setup::calm(4);
            (setup.seed, setup.weak) = (seed, vec![1]);
            setup.snapshot_every = 0; // so that there is nothing but logs to flip a bit in
            let mut world = world(setup, build);
            world.run_until(300);
            world.stop(1);
            world.disk(1).flip_bit(&mut Rng::new(seed, 99));
            world.start(1);
            refused += u32::from(world.down(1) == Some(&Down::Damaged));
            world.run_for(300);
            good(&world)?;
            expect(world.height(0) > 8, "the others are stuck")?;
        }
        expect(
            refused > 40,
            format!("{refused} of 60 damaged logs are refused"),
        )
    });
}

/// Scenario 23: a stored state that was damaged is not used. The node executes its blocks again.
#[test]
fn a_damaged_state_is_not_used() {
    for seed in 0..20 {
        let mut setup = Setup::calm(4);
        (setup.seed, setup.weak) = (seed, vec![1]);
        let mut world = world(setup, Broken(None));
        world.run_until(600);
        world.stop(1);
        let name = world.disk(1).list().unwrap().into_iter();
        let name = name.max_by_key(|n| n.starts_with("snapshot-")).unwrap();
        assert!(name.starts_with("snapshot-"), "no state is stored");
        let mut bytes = world.disk(1).read(&name).unwrap();
        if seed % 2 == 0 {
            bytes.pop();
        } else {
            let mut rng = Rng::new(seed, 99);
            let byte = rng.place(bytes.len() - 32); // its check stands behind it
            bytes[byte] ^= 1 << rng.below(8);
        }
        world.disk(1).truncate(&name, 0).unwrap();
        world.disk(1).append(&name, &bytes).unwrap();
        world.disk(1).sync(&name).unwrap();
        world.start(1);
        assert_eq!(world.down(1), None);
        world.run_for(600);
        assert_eq!(world.violations(), []);
        assert!(world.height(1) + 2 >= world.height(0), "it is not back");
    }
}

/// Scenario 24: all nodes lose power at the same moment, at any moment, and go on together.
#[test]
fn all_lose_power_at_once() {
    defended_by(Defect::RecordsIgnored, |build| {
        for moment in 0..60 {
            let mut setup = Setup::calm(4);
            (setup.seed, setup.weather.delay_max_ms) = (moment, 6);
            let mut world = world(setup, build);
            world.run_until(40 + 2 * moment);
            (0..4).for_each(|node| world.stop(node));
            world.run_for(50);
            (0..4).for_each(|node| world.start(node));
            world.demand_progress(3, 2_000);
            good(&world)?;
        }
        Ok(())
    });
}

/// Scenario 24: what a node has decided and not stored is in its log. But for the last height, of
/// which nothing was signed since, it is known again before anybody is asked.
#[test]
fn a_decision_that_is_not_stored_is_not_forgotten() {
    defended_by(Defect::DecisionUnlogged, |build| {
        for moment in 0..60 {
            let mut setup = Setup::calm(4);
            setup.seed = moment;
            let mut world = world(setup, build);
            world.run_until(60 + 3 * moment);
            let before = world.height(1);
            (0..4).for_each(|node| world.stop(node));
            world.start(1);
            let after = world.height(1);
            expect(
                after + 1 >= before,
                format!("at height {before} before, and at {after} after"),
            )?;
            world.start(0);
            world.start(2);
            world.start(3);
            world.demand_progress(3, 2_000);
            good(&world)?;
        }
        Ok(())
    });
}

/// A node has proposed at a height that cannot be prepared, so that the height stays in flight.
/// Answers the node and the world, in which the node's disk was imaged some heights before.
fn stuck_proposal(build: Broken) -> (usize, Sim, quorate_pbft::sim::Disk) {
    const HEIGHT: u64 = 12;
    let calm = world(Setup::calm(4), Broken(None));
    let node = primary(&calm, HEIGHT, 0);
    let mut setup = Setup::calm(4);
    setup.weak = vec![node];
    let mut world = world(setup, build);
    world.filter = Some(Box::new(move |from, _, message| match message {
        Message::Vote(v) => v.height.get() != HEIGHT || v.step != Step::Prepare || from != node,
        Message::ViewChange(change) => change.height.get() != HEIGHT || from != node,
        _ => true,
    }));
    let at = |w: &Sim, height: u64| w.height(node) < height;
    world.run_while(5_000, |w| at(w, HEIGHT - 6));
    let image = world.image(node);
    world.run_while(5_000, |w| at(w, HEIGHT - 1));
    // All prepares are lost from here on.
    world.filter = Some(Box::new(move |_, _, message| match message {
        Message::Vote(v) => v.height.get() != HEIGHT,
        Message::ViewChange(change) => change.height.get() != HEIGHT,
        _ => true,
    }));
    world.run_for(45);
    (node, world, image)
}

/// Scenario 25, bug 15: a node on an old disk does not vote at heights at which it may have voted.
#[test]
fn an_old_disk_does_not_vote() {
    defended_by(Defect::MarkIgnored, |build| {
        let (node, mut world, image) = stuck_proposal(build);
        world.stop(node);
        world.restore(node, image, false);
        world.start(node);
        world.run_for(300);
        good(&world)?;
        world.filter = None;
        world.run_for(2_000);
        good(&world)?;
        expect(world.height(node) > 20, "it does not follow")
    });
}

/// Scenario 27: nor does one whose disk is gone, before a quorum has said how far it is.
#[test]
fn a_wiped_node_does_not_vote_at_once() {
    defended_by(Defect::NoRejoin, |build| {
        let (node, mut world, _) = stuck_proposal(build);
        world.wipe(node);
        world.run_for(500);
        good(&world)?;
        world.filter = None;
        world.run_for(2_000);
        good(&world)?;
        expect(world.height(node) > 20, "it does not follow")
    });
}

/// Scenario 25, bug 15: two machines with one key that hear each other: one of them stops.
#[test]
fn the_same_key_on_two_machines_stops() {
    defended_by(Defect::OwnVoteIgnored, |build| {
        let mut setup = Setup::calm(4);
        setup.liars = vec![(0, LiarKind::Twins)];
        setup.clocks = vec![0, 0, 0, 0, 37];
        let mut world = world(setup, build);
        world.run_until(3_000);
        good(&world)?;
        let stops = |node| matches!(world.halt(node), Some(Halt::OwnKeyElsewhere(_)));
        expect(stops(0) || stops(4), "both go on")?;
        expect(world.height(1) > 20, "the others are stuck")
    });
}

/// Scenario 26: one clock jumps by an hour, either way, and back: no header is from the future,
/// and nobody waits an hour.
#[test]
fn clock_jumps_of_an_hour() {
    defended_by(Defect::TimeUnchecked, |build| {
        for jump_ms in [3_600_000, -3_600_000] {
            let mut setup = Setup::calm(4);
            setup.weak = vec![1];
            let mut world = world(setup, build);
            world.run_until(300);
            world.set_clock(1, jump_ms);
            world.run_until(2_500);
            world.set_clock(1, 0);
            world.run_until(4_000);
            good(&world)?;
            let times = world.decisions().map(|d| d.block.block.header().time.get());
            let times: Vec<_> = times.collect();
            let spread = times
                .last()
                .zip(times.first())
                .map_or(0, |(last, first)| last - first);
            expect(spread < 10_000, format!("headers {spread} ms apart in 4 s"))?;
            let height = world.height(0);
            expect(height > 60, format!("{height} heights in 4 s"))?;
            expect(world.height(1) + 2 >= height, "it has not caught up")?;
        }
        Ok(())
    });
}
