//! Scenarios 14 to 19: whatever happens to a faulty third and to the links, there is progress, and
//! soon.

use quorate_pbft::defect::Defect;
use quorate_pbft::sim::{LiarKind, Setup};

use super::{Sim, Verdict, defended_by, expect, good, world};

/// Four validators of which the last may fall behind.
fn four() -> Setup {
    let mut setup = Setup::calm(4);
    setup.weak = vec![3];
    setup
}

/// Heights that a node decides in so many ms.
fn heights_in(world: &mut Sim, node: usize, ms: u64) -> u64 {
    let before = world.height(node);
    world.run_for(ms);
    world.height(node) - before
}

/// Whether a node is where another one is, but for the height in flight.
fn caught_up(world: &Sim, node: usize, other: usize) -> Verdict {
    let (own, others) = (world.height(node), world.height(other));
    expect(
        own + 2 >= others,
        format!("node {node} is at {own} of {others}"),
    )
}

/// Scenario 14: the turns of a primary that is gone cost one view each, and a short one.
#[test]
fn a_silent_primary_is_passed_over() {
    defended_by(Defect::NoTimeout, |build| {
        let mut world = world(four(), build);
        world.run_until(100);
        world.stop(3);
        let heights = heights_in(&mut world, 0, 3_000);
        good(&world)?;
        expect(heights > 40, format!("{heights} heights in 3 s"))?;
        let view = world.counts().highest_view;
        expect(view == 1, format!("decided in view {view}"))
    });
}

/// Scenario 14: who has no reason of its own to leave a view goes with a blocking set that has.
#[test]
fn a_blocking_set_is_joined() {
    defended_by(Defect::NoJoin, |build| {
        let off = super::primary(&world(four(), build), 1, 0);
        let mut setup = Setup::calm(4);
        (setup.weak, setup.request_ms) = (vec![off], 0);
        setup.timing.idle_ms = 3_000;
        let mut world = world(setup, build);
        world.run_until(0);
        world.stop(off);
        let others: Vec<_> = (0..4).filter(|node| *node != off).collect();
        // The third one of them knows of no request, and waits for an idle proposal.
        let ignorant = others[2];
        world.filter = Some(Box::new(move |_, to, message| {
            to != ignorant || !matches!(message, quorate_pbft::message::Message::Requests(_))
        }));
        world.submit(others[0], 0, 1, quorate_pbft::sim::add(1));
        world.run_for(1_000);
        good(&world)?;
        expect(
            world.height(others[0]) > 0,
            "two of four wait for the third",
        )
    });
}

/// Votes that come after the decision are added to the certificate until the next one.
#[test]
fn late_votes_are_added_to_the_certificate() {
    defended_by(Defect::LateDropped, |build| {
        let mut world = world(Setup::calm(4), build);
        world.run_until(600);
        good(&world)?;
        let votes = (1..10).map(|height| world.sealed_votes(0, height));
        let all = votes.filter(|votes| *votes == Some(4)).count();
        expect(all >= 8, format!("{all} of 9 certificates have every vote"))
    });
}

/// Scenario 14: a client that one primary censors is served by the next one.
#[test]
fn a_censored_client_is_served() {
    defended_by(Defect::RequestsKept, |build| {
        let mut setup = Setup::calm(4);
        (setup.request_ms, setup.liars) = (0, vec![(0, LiarKind::Censor)]);
        let mut world = world(setup, build);
        world.run_until(200);
        for sequence in 1..=12 {
            world.submit(1, 0, sequence, quorate_pbft::sim::add(1));
            let until = world.now_ms() + 100;
            let waits = |w: &Sim| {
                let account = w.core(2).and_then(|core| core.chain().app().account(0));
                account.is_none_or(|(executed, _)| executed < sequence)
            };
            let executed = world.run_while(until, waits);
            expect(executed, format!("request {sequence} waits for 100 ms"))?;
            world.run_for(sequence * 7);
        }
        expect(world.counts().lies > 0, "nothing was left out")?;
        good(&world)
    });
}

/// Scenario 14, bug 8: a primary that proposes just before its time is up costs that time now and
/// then, not at each of its turns.
#[test]
fn a_slow_primary_costs_little() {
    defended_by(Defect::NoWatch, |build| {
        let mut setup = Setup::calm(4);
        setup.liars = vec![(0, LiarKind::SlowPrimary)];
        (setup.timing.view_ms, setup.timing.view_max_ms) = (1_000, 8_000);
        setup.request_ms = 15;
        let mut world = world(setup, build);
        let heights = heights_in(&mut world, 1, 8_000);
        good(&world)?;
        expect(heights > 60, format!("{heights} heights in 8 s"))
    });
}

/// Scenario 15: one node that only speaks, only hears, does neither, or lacks one direction of one
/// link holds nobody up, and has caught up soon after.
#[test]
fn one_badly_linked_node_holds_nobody_up() {
    defended_by(Defect::NothingServed, |build| {
        for pattern in 0..5 {
            let mut setup = four();
            setup.snapshot_every = 0;
            let mut world = world(setup, build);
            world.run_until(200);
            match pattern {
                0 => world.network.cut(3, true, false),
                1 => world.network.cut(3, false, true),
                2 => world.network.cut(3, true, true),
                3 => world.network.set_open(3, 0, false),
                _ => world.network.set_open(0, 3, false),
            }
            let heights = heights_in(&mut world, 1, 2_000);
            good(&world)?;
            expect(
                heights > 25,
                format!("pattern {pattern}: {heights} heights in 2 s"),
            )?;
            world.network.open_all();
            world.run_for(1_000);
            good(&world)?;
            caught_up(&world, 3, 1)?;
        }
        Ok(())
    });
}

/// Scenario 15: rings, rings of one direction, and links that flap leave nothing behind that
/// keeps the nodes from going on.
#[test]
fn rings_and_flapping_links_leave_no_trace() {
    defended_by(Defect::NoResend, |build| {
        for seed in 0..12 {
            let mut setup = Setup::calm(4);
            (setup.seed, setup.weather.delay_max_ms) = (seed, 1 + seed % 5);
            let mut world = world(setup, build);
            world.run_until(60 + seed);
            for turn in 0..24 {
                match seed % 3 {
                    0 if turn % 2 == 0 => world.network.ring(),
                    1 if turn % 2 == 0 => world.network.one_way_ring(),
                    2 => world.network.cut((turn / 2) % 4, turn % 2 == 0, true),
                    _ => world.network.open_all(),
                }
                world.run_for(7 + seed * 3);
                if seed % 3 == 2 {
                    world.network.open_all();
                }
            }
            world.network.open_all();
            world.demand_progress(4, 2_000);
            good(&world)?;
        }
        Ok(())
    });
}

/// Scenario 16: nodes that were all alone for long have not run ahead: once the links are good
/// they decide within a view or two, and then as quickly as ever.
#[test]
fn long_chaos_leaves_no_long_views() {
    defended_by(Defect::RunsAhead, |build| {
        let mut world = world(Setup::calm(4), build);
        world.run_until(100);
        world.network.split(|n| n);
        world.run_for(10_000);
        world.network.open_all();
        let first = heights_in(&mut world, 0, 800);
        good(&world)?;
        let view = world.counts().highest_view;
        expect(
            first > 0 && view <= 2,
            format!("{first} heights, in views up to {view}"),
        )?;
        let heights = heights_in(&mut world, 0, 1_000);
        expect(heights > 25, format!("{heights} heights in a good second"))
    });
}

/// Scenario 16: views grow until the network is in time; the time that the first view has does
/// not grow with them.
#[test]
fn views_grow_until_the_links_are_in_time() {
    defended_by(Defect::NoBackoff, |build| {
        let mut setup = Setup::calm(4);
        (setup.weather.delay_min_ms, setup.weather.delay_max_ms) = (100, 120);
        let mut world = world(setup, build);
        let slow = heights_in(&mut world, 0, 20_000);
        good(&world)?;
        expect(slow >= 3, format!("{slow} heights in 20 s"))?;
        world.network.weather = quorate_pbft::sim::Weather::CALM;
        world.run_for(4_000);
        let heights = heights_in(&mut world, 0, 1_000);
        expect(heights > 25, format!("{heights} heights in a good second"))
    });
}

/// Scenario 17: with two of seven off and a third one slower than a view, the rest wait for it.
#[test]
fn two_off_and_one_slow_of_seven() {
    defended_by(Defect::NoBackoff, |build| {
        let mut setup = Setup::calm(7);
        setup.weak = vec![5, 6];
        let mut world = world(setup, build);
        world.run_until(50);
        world.stop(5);
        world.stop(6);
        for other in 0..7 {
            world.network.slow(2, other, 130);
            world.network.slow(other, 2, 130);
        }
        let heights = heights_in(&mut world, 0, 20_000);
        good(&world)?;
        expect(heights >= 5, format!("{heights} heights in 20 s"))
    });
}

/// Scenario 18: a node that was off for more heights than anybody remembers headers of has caught
/// up soon, block by block.
#[test]
fn a_laggard_catches_up() {
    defended_by(Defect::NothingServed, |build| {
        let mut setup = four();
        setup.snapshot_every = 0;
        let mut world = world(setup, build);
        world.run_until(50);
        world.stop(3);
        let missed = heights_in(&mut world, 0, 4_000);
        expect(missed > 64, format!("{missed} heights missed"))?;
        world.start(3);
        world.run_for(1_000);
        good(&world)?;
        caught_up(&world, 3, 0)
    });
}

/// Scenario 19, bug 2: who has decided first may propose at once; those who have not decided yet
/// keep the proposal, so no view is lost. Nothing is sent again in time to help.
#[test]
fn a_proposal_may_overtake_the_last_commits() {
    defended_by(Defect::NextDropped, |build| {
        // All three are needed; one of them hears another one late.
        let mut setup = Setup::calm(3);
        (setup.interval_ms, setup.request_ms) = (1, 10);
        (setup.timing.resend_ms, setup.timing.resend_max_ms) = (2_000, 4_000);
        let mut world = world(setup, build);
        for (from, to) in [(0, 1), (1, 2), (2, 0)] {
            world.network.slow(from, to, 6);
        }
        let heights = heights_in(&mut world, 0, 2_000);
        good(&world)?;
        let view = world.counts().highest_view;
        expect(
            view == 0 && heights > 15,
            format!("{heights} heights, in views up to {view}"),
        )
    });
}

/// Every seed's world ends with a demand for progress; two of four do not meet it.
#[test]
fn a_world_without_a_quorum_fails_the_demand_for_progress() {
    let mut world = world(Setup::calm(4), quorate_pbft::defect::Broken(None));
    world.run_until(100);
    world.stop(2);
    world.stop(3);
    world.demand_progress(1, 3_000);
    assert!(!world.violations().is_empty());
}
