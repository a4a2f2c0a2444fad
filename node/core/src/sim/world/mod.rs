//! A whole world from one seed: nodes, network, disks, clocks, clients, liars.

mod clients;
mod faults;
mod traffic;
mod verdict;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use quorate_verifier::genesis::{Genesis, Limits, Parameters};
use quorate_verifier::primitives::{CircuitSize, TimeMs};
use quorate_verifier::set::ValidatorSet;

use super::keys::{Crypto, KeyId, set_of};
use super::liars::{Liar, LiarKind};
use super::machine::Machine;
use super::network::Network;
use super::oracle::Oracle;
use super::rng::Rng;
use super::setup::Setup;
use super::trace::Trace;
use super::workload::{Adding, Workload};
use crate::app::App;
use crate::chain::Chain;
use crate::core::{Fault, Input};
use crate::defect::Build;
use crate::message::Message;
use crate::time::{Now, Tick};

/// True time at the start of every world.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// A node that lost power comes back after up to this long, in ms.
const OFF_MS: u64 = 250;
/// Liars act of their own accord this often, in ms.
const ACT_MS: u64 = 25;
/// A client waits so long before it sends its oldest request again, in ms.
const RETRY_MS: u64 = 150;
/// Requests of one client that are out at once.
const OUTSTANDING: u64 = 4;

#[derive(Clone, Debug)]
enum What {
    Deliver {
        from: usize,
        to: usize,
        message: Message,
        lie: bool,
    },
    Wake {
        node: usize,
    },
    Start {
        node: usize,
    },
    Act {
        node: usize,
    },
    Client {
        client: usize,
    },
    Links,
    Crash,
    Blackout,
    DiskFault,
    ClockJump,
    Wipe,
    Change,
}

struct Event {
    at: u64,
    order: u64,
    what: What,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Event {}
impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

struct Node<C: Crypto, A: App, B> {
    machine: Machine<C, A, B>,
    liar: Option<Box<dyn Liar<C, A>>>,
    weak: bool,
    /// Its clock against true time, in ms.
    clock_ms: i64,
    wake: Option<u64>,
}

/// What happened, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that reached a node.
    pub delivered: u64,
    /// Messages that were lost on the way.
    pub lost: u64,
    /// Lies that reached a correct node.
    pub lies: u64,
    /// Power losses.
    pub crashes: u64,
    /// Faults of disks and clocks.
    pub faults: u64,
    /// Snapshots that nodes have taken over.
    pub snapshots: u64,
    /// Highest view in which a height was decided.
    pub highest_view: u64,
}

/// Whether a message from one node to another passes.
pub(super) type Filter = Box<dyn FnMut(usize, usize, &Message) -> bool>;

/// A simulated world, in which every node executes the application of a workload.
pub struct World<C: Crypto, B, W: Workload = Adding> {
    setup: Setup,
    crypto: C,
    workload: W,
    genesis: Chain<W::App>,
    now: u64,
    order: u64,
    events: BinaryHeap<Reverse<Event>>,
    nodes: Vec<Node<C, W::App, B>>,
    /// The links.
    pub network: Network,
    network_rng: Rng,
    fault_rng: Rng,
    client_rng: Rng,
    liar_rng: Rng,
    corrupt_keys: Vec<KeyId>,
    next_sequence: Vec<u64>,
    healed: bool,
    /// Clients make no new requests.
    quiet: bool,
    oracle: Oracle<C, W::App>,
    blames: Vec<(usize, usize, Fault)>,
    counts: Counts,
    trace: Trace,
    /// Drops a message on its way, for tests that play the network by hand.
    pub filter: Option<Filter>,
}

impl<C: Crypto, B: Build + Clone> World<C, B> {
    /// Makes a world of adding clients and starts every node.
    pub fn new(setup: Setup, crypto: C, build: B) -> Self {
        Self::of(setup, crypto, build, Adding::default())
    }
}

impl<C: Crypto, B: Build + Clone, W: Workload> World<C, B, W> {
    /// Makes the world and starts every node.
    pub fn of(setup: Setup, crypto: C, build: B, workload: W) -> Self {
        let set = set_of(&setup.powers);
        let genesis = genesis_of(&setup, set.clone(), workload.app(setup.clients));
        let mut keys: Vec<_> = (0..setup.powers.len() + setup.spares).map(KeyId).collect();
        let mut liars = setup.liars.clone();
        for (node, kind) in &setup.liars {
            if *kind == LiarKind::Twins {
                liars.push((keys.len(), LiarKind::Twins));
                keys.push(KeyId(*node));
            }
        }
        let corrupt_keys = liars.iter().map(|(node, _)| keys[*node]).collect();
        let node = |(place, key): (usize, &KeyId)| {
            let (timing, every) = (setup.timing, setup.snapshot_every);
            let breaks = setup.broken_apps.iter().find(|(node, _)| *node == place);
            let genesis = match breaks {
                Some((_, height)) => {
                    let app = workload.broken_app(setup.clients, *height);
                    genesis_of(&setup, set.clone(), app)
                }
                None => genesis.clone(),
            };
            let machine = Machine::new(*key, crypto.clone(), build.clone(), genesis, timing, every);
            // The first twin speaks as it is; what the second one says is the lie.
            let kind = liars
                .iter()
                .find(|(node, _)| *node == place)
                .map(|(_, kind)| *kind);
            Node {
                machine,
                liar: kind.map(LiarKind::make),
                weak: setup.weak.contains(&place),
                clock_ms: setup.clocks.get(place).copied().unwrap_or(0),
                wake: None,
            }
        };
        let nodes: Vec<_> = keys.iter().enumerate().map(node).collect();
        let (seed, count) = (setup.seed, nodes.len());
        let mut world = Self {
            network: Network::new(count, setup.weather),
            oracle: Oracle::new(crypto.clone(), genesis.clone()),
            next_sequence: vec![1; setup.clients],
            crypto,
            workload,
            genesis,
            now: 0,
            order: 0,
            events: BinaryHeap::new(),
            nodes,
            network_rng: Rng::new(seed, 1),
            fault_rng: Rng::new(seed, 2),
            client_rng: Rng::new(seed, 3),
            liar_rng: Rng::new(seed, 4),
            corrupt_keys,
            healed: setup.chaos_ms == 0,
            quiet: setup.chaos_ms > 0,
            blames: Vec::new(),
            counts: Counts::default(),
            trace: Trace::new(seed),
            filter: None,
            setup,
        };
        world.plan();
        world
    }

    fn plan(&mut self) {
        for node in 0..self.nodes.len() {
            self.schedule(0, What::Start { node });
            if self.nodes[node].liar.is_some() {
                self.schedule(ACT_MS, What::Act { node });
            }
        }
        for client in 0..self.setup.clients {
            if self.setup.request_ms > 0 {
                self.schedule(1 + client as u64, What::Client { client });
            }
        }
        let chaos = self.setup.chaos;
        let plan = [
            (chaos.links_ms, What::Links),
            (chaos.crash_ms, What::Crash),
            (chaos.blackout_at_ms, What::Blackout),
            (chaos.disk_ms, What::DiskFault),
            (chaos.clock_ms, What::ClockJump),
            (chaos.wipe_at_ms, What::Wipe),
            (chaos.change_at_ms, What::Change),
        ];
        for (ms, what) in plan {
            if ms > 0 {
                self.schedule(ms, what);
            }
        }
    }

    fn schedule(&mut self, in_ms: u64, what: What) {
        self.order += 1;
        let event = Event {
            at: self.now + in_ms,
            order: self.order,
            what,
        };
        self.events.push(Reverse(event));
    }

    fn clock(&self, node: usize) -> Now {
        let wall = (EPOCH_MS + self.now).saturating_add_signed(self.nodes[node].clock_ms);
        let wall = TimeMs::new(wall).expect("within a few hours of the epoch");
        Now {
            tick: Tick::new(self.now),
            wall,
        }
    }

    /// Lets the world go on until this moment, in ms from its start.
    pub fn run_until(&mut self, until: u64) {
        self.run_while(until, |_| true);
    }

    /// Lets the world go on for so many ms.
    pub fn run_for(&mut self, ms: u64) {
        self.run_until(self.now + ms);
    }

    /// Lets the world go on until a moment, or until `goes_on` says no. Answers whether it said so.
    pub fn run_while(&mut self, until: u64, goes_on: impl Fn(&Self) -> bool) -> bool {
        while let Some(Reverse(event)) = self.events.peek() {
            if event.at > until {
                break;
            }
            let Some(Reverse(event)) = self.events.pop() else {
                break;
            };
            self.now = event.at;
            self.happen(event.what);
            if !goes_on(self) {
                return true;
            }
        }
        self.now = until;
        false
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Deliver {
                from,
                to,
                message,
                lie,
            } => self.arrive(from, to, message, lie),
            What::Wake { node } => {
                if self.nodes[node].wake == Some(self.now) {
                    self.nodes[node].wake = None;
                    self.input(node, Input::Tick);
                }
            }
            What::Start { node } => self.start(node),
            What::Act { node } => {
                self.act(node);
                self.schedule(ACT_MS, What::Act { node });
            }
            What::Client { client } => self.client(client),
            _ if self.healed => {}
            What::Links => {
                self.network.disturb(&mut self.network_rng);
                self.schedule(self.setup.chaos.links_ms, What::Links);
            }
            What::Crash => {
                let node = self.fault_rng.place(self.nodes.len());
                if self.fault_rng.chance(500) {
                    self.crash(node);
                } else {
                    let operations = self.fault_rng.between(1, 30);
                    self.nodes[node].machine.disk.crash_in = Some(operations);
                }
                self.schedule(self.setup.chaos.crash_ms, What::Crash);
            }
            What::Blackout => (0..self.nodes.len()).for_each(|node| self.crash(node)),
            What::DiskFault => {
                self.disk_fault();
                self.schedule(self.setup.chaos.disk_ms, What::DiskFault);
            }
            What::ClockJump => {
                if let Some(node) = self.weak_node() {
                    let jump = self.fault_rng.below(7_200_000);
                    self.nodes[node].clock_ms = i64::try_from(jump).expect("two hours") - 3_600_000;
                    self.counts.faults += 1;
                }
                self.schedule(self.setup.chaos.clock_ms, What::ClockJump);
            }
            What::Wipe => {
                if let Some(node) = self.weak_node() {
                    self.wipe(node);
                }
            }
            What::Change => self.submit_change(),
        }
    }

    fn input(&mut self, node: usize, input: Input) {
        let now = self.clock(node);
        let output = self.nodes[node].machine.step(now, input);
        self.handle(node, output);
    }

    /// The genesis header's digest, under which everything is signed.
    pub fn genesis_digest(&self) -> quorate_verifier::primitives::Digest {
        self.genesis.genesis_digest()
    }

    /// What signatures of votes are bound to: the genesis digest, unless that defence is missing.
    pub fn signing_context(&self) -> quorate_verifier::primitives::Digest {
        self.nodes[0].machine.signing_context()
    }

    /// The world's scheme, for tests that play a corrupt node.
    pub fn crypto(&self) -> &C {
        &self.crypto
    }

    /// Ms since the world's start.
    pub fn now_ms(&self) -> u64 {
        self.now
    }

    /// The setup that it was made from.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }
}

/// The chain before its first block, the same for every node.
fn genesis_of<A: App>(setup: &Setup, set: Arc<ValidatorSet>, app: A) -> Chain<A> {
    let parameters = Parameters {
        rule: setup.rule,
        slots: CircuitSize::from_slots(16).expect("16 slots"),
        keys: Vec::new(),
        block_interval_ms: setup.interval_ms,
        limits: Limits::DEFAULT,
    };
    let genesis = Genesis {
        name: format!("world-{:x}", setup.seed),
        time: TimeMs::new(EPOCH_MS).expect("in range"),
        parameters,
        validators: set.commitment(),
        state_root: app.root(),
    };
    Chain::genesis(&genesis, set, app).expect("the parts fit")
}
