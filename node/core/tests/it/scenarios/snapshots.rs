//! A replica that is far behind starts from a certified state, whoever lies about it.

use quorate_pbft::app::{App, Applied, Change, Client};
use quorate_pbft::defect::{Broken, Defect};
use quorate_pbft::message::{Fetch, Message};
use quorate_pbft::request::{ClientKey, Payload, Request};
use quorate_pbft::sim::{Adder, Adding, Ask, LiarKind, Setup, Workload};
use quorate_pbft::snapshot::SnapshotError;
use quorate_pbft::{Decision, Fault};
use quorate_verifier::header::Header;
use quorate_verifier::primitives::Digest;

use super::{Sim, Verdict, defended_by, expect, good, world, world_of};

/// Four validators that have decided some sixty heights; the last one has just lost its disk, and
/// nobody has the blocks of the first forty any more.
fn wiped(seed: u64, build: Broken, liar: Option<LiarKind>) -> Sim {
    let mut setup = Setup::calm(4);
    (setup.seed, setup.weak) = (seed, vec![3]);
    setup.liars = liar.into_iter().map(|kind| (0, kind)).collect();
    let mut world = world(setup, build);
    world.run_until(2_000);
    world.wipe(3);
    world.filter = Some(Box::new(|_, _, message| !is_old(message)));
    world
}

/// Whether a message carries blocks that nobody serves in these scenarios.
fn is_old(message: &Message) -> bool {
    let Message::Blocks(blocks) = message else {
        return false;
    };
    blocks.iter().any(|b| b.block.height().get() < 40)
}

/// Lets the last validator hear nobody but the first one for a while.
fn alone_with_the_first(world: &mut Sim, ms: u64) {
    world.network.split(|n| usize::from(n == 1 || n == 2));
    world.run_for(ms);
    world.network.open_all();
}

/// Scenario 27: a wiped node is back from certificates and a state, with few blocks; it votes
/// again, and still has its state after a restart.
#[test]
fn a_wiped_node_rejoins_from_a_snapshot() {
    let mut world = wiped(1, Broken(None), None);
    let before = world.height(1);
    assert!(before > 40, "{before}");
    world.run_for(1_500);
    assert_eq!(world.violations(), []);
    assert!(world.counts().snapshots > 0, "no snapshot was taken over");
    assert!(world.height(3) + 2 >= world.height(1));
    // Its vote is needed from here on.
    world.stop(2);
    let height = world.height(1);
    world.run_for(2_000);
    assert!(world.height(1) > height + 5, "it does not vote");
    // It starts again from the state that it has stored, and serves others from there.
    world.stop(3);
    world.start(3);
    assert!(world.height(3) > before);
    world.start(2);
    world.run_for(1_000);
    assert_eq!(world.violations(), []);
    assert!(world.height(2) + 2 >= world.height(3));
}

/// Scenario 27: a replica that has just started has a state to offer, although no quorum is there
/// to make another height final.
#[test]
fn a_restarted_replica_offers_its_stored_state_at_once() {
    let mut world = wiped(1, Broken(None), None);
    (0..3).for_each(|node| world.stop(node));
    world.start(0);
    let tip = world.height(0);
    world.run_for(1_500);
    assert_eq!(world.violations(), []);
    assert!(world.counts().snapshots > 0, "no snapshot was taken over");
    assert_eq!((world.height(0), world.height(3)), (tip, tip));
}

/// Scenario 27: over changes of the set, whose openings come over the links.
#[test]
fn a_snapshot_is_proved_over_changes_of_the_set() {
    let mut adopted = 0;
    for seed in 0..6 {
        let mut setup = Setup::calm(4);
        (setup.seed, setup.spares, setup.weak) = (seed, 1, vec![3]);
        let mut world = world(setup, Broken(None));
        world.run_until(200);
        world.submit_change();
        world.run_for(1_500);
        let members = world.decisions().last().map_or(0, |d| d.tip.set.count());
        assert_eq!(members, 5, "the set has not changed");
        world.wipe(3);
        world.filter = Some(Box::new(|_, _, message| !is_old(message)));
        world.run_for(2_000);
        assert_eq!(world.violations(), []);
        assert!(world.height(3) + 2 >= world.height(1), "seed {seed}");
        adopted += world.counts().snapshots;
    }
    assert!(adopted >= 6, "{adopted} snapshots");
}

/// Scenario 28: headers that only corrupt keys have signed prove no state.
#[test]
fn an_uncertified_state_is_refused() {
    defended_by(Defect::LinksUnchecked, |build| {
        forger_is_blamed(build, |error| {
            matches!(error, SnapshotError::Certificate(_))
        })
    });
}

/// Scenario 28: a state that is not the certified one is refused, however good its proof.
#[test]
fn a_garbled_state_is_refused() {
    defended_by(Defect::SnapshotUnchecked, |build| {
        forger_is_blamed(build, |error| {
            matches!(error, SnapshotError::Root | SnapshotError::State(_))
        })
    });
}

/// Scenario 28: a state larger than any that is taken is refused before a byte of it comes.
#[test]
fn an_oversized_state_is_refused() {
    defended_by(Defect::SnapshotUnbounded, |build| {
        forger_is_blamed(build, |error| matches!(error, SnapshotError::TooLarge(_)))
    });
}

/// In worlds in which a wiped node first hears a liar alone, it always comes back, and in some of
/// them it blames the liar for this.
fn forger_is_blamed(build: Broken, what: impl Fn(&SnapshotError) -> bool) -> Verdict {
    let mut found = 0;
    for seed in 0..40 {
        let mut world = wiped(seed, build, Some(LiarKind::SnapshotForger));
        alone_with_the_first(&mut world, 1_200);
        world.run_for(2_500);
        good(&world)?;
        let (lagging, height) = (world.height(3), world.height(1));
        expect(lagging + 2 >= height, format!("{lagging} of {height}"))?;
        found += world
            .blames()
            .iter()
            .filter(|blame| blame.1 == 0 && of(blame, &what))
            .count();
    }
    expect(found > 0, "nobody is blamed for it")
}

fn of(blame: &(usize, usize, Fault), what: &impl Fn(&SnapshotError) -> bool) -> bool {
    matches!(&blame.2, Fault::Snapshot(error) if what(error))
}

/// Scenario 28: a peer that offers a state and never serves it is given up.
#[test]
fn a_peer_that_never_serves_is_given_up() {
    defended_by(Defect::SnapshotPatience, |build| {
        let mut world = wiped(1, build, None);
        world.filter = Some(Box::new(|from, _, message| match message {
            Message::Chunk(..) => from != 0,
            message => !is_old(message),
        }));
        alone_with_the_first(&mut world, 500);
        world.run_for(6_000);
        good(&world)?;
        expect(world.height(3) + 2 >= world.height(1), "it still waits")
    });
}

/// An application whose state is large: one byte after another stands behind the sums.
#[derive(Clone)]
struct Large(Adder);

const FILLING: usize = (1 << 20) + 17;

impl App for Large {
    fn client(&self, key: &ClientKey) -> Option<Client> {
        self.0.client(key)
    }
    fn admit(&self, request: &Request) -> Result<(), String> {
        self.0.admit(request)
    }
    fn apply(&mut self, header: &Header, payload: &Payload) -> Applied {
        self.0.apply(header, payload)
    }
    fn root(&self) -> Digest {
        self.0.root()
    }
    fn snapshot(&self) -> Vec<u8> {
        let mut state: Vec<u8> = (0..FILLING).map(|i| i.to_le_bytes()[i % 3]).collect();
        state.extend(self.0.snapshot());
        state
    }
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let (filling, sums) = snapshot.split_at_checked(FILLING).ok_or("too short")?;
        let good = |(i, byte): (usize, &u8)| i.to_le_bytes()[i % 3] == *byte;
        if !filling.iter().enumerate().all(good) {
            return Err("another filling".into());
        }
        self.0.restore(sums)
    }
}

struct LargeAdding(Adding);

impl Workload for LargeAdding {
    type App = Large;
    fn app(&self, clients: usize) -> Large {
        Large(self.0.app(clients))
    }
    fn request(&mut self, ask: Ask<'_, Large>) -> Vec<u8> {
        let Ask {
            client,
            sequence,
            chain,
            app,
            rng,
        } = ask;
        let app = &app.0;
        self.0.request(Ask {
            client,
            sequence,
            chain,
            app,
            rng,
        })
    }
    fn carry(&self, change: &Change) -> Option<Vec<u8>> {
        self.0.carry(change)
    }
    fn check(&mut self, app: &Large, decision: &Decision) -> Result<(), String> {
        self.0.check(&app.0, decision)
    }
}

/// A state of many chunks comes whole over links that lose and repeat, and only its own bytes are
/// held meanwhile.
#[test]
fn a_large_state_comes_in_chunks() {
    let mut setup = Setup::calm(4);
    (setup.weak, setup.wire) = (vec![3], false);
    (setup.weather.loss, setup.weather.repeats) = (60, 400);
    setup.weather.delay_max_ms = 6;
    let mut world = world_of(setup, Broken(None), LargeAdding(Adding::default()));
    world.run_until(2_000);
    world.wipe(3);
    let chunks = std::rc::Rc::new(std::cell::Cell::new(0));
    let asked = chunks.clone();
    world.filter = Some(Box::new(move |_, _, message| {
        if let Message::Fetch(Fetch::Chunk(_, chunk)) = message {
            asked.set(asked.get().max(chunk + 1));
        }
        !is_old(message)
    }));
    world.run_for(6_000);
    assert_eq!(world.violations(), []);
    assert_eq!(chunks.get(), 5, "of 256 KiB each");
    assert!(world.counts().snapshots > 0);
    assert!(world.height(3) + 2 >= world.height(1));
}
