//! A whole world from one seed: nodes, network, disks, clocks, clients, liars.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use quorate_verifier::genesis::{Genesis, Limits, Parameters};
use quorate_verifier::primitives::{CircuitSize, TimeMs};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::ValidatorSet;

use super::app::{Adder, add, carry};
use super::keys::{Crypto, KeyId, client_key, public, set_of, set_of_members};
use super::liars::{Hand, Liar, LiarKind, Said};
use super::machine::{Down, Machine, Output};
use super::network::Network;
use super::oracle::{Oracle, Violation};
use super::rng::Rng;
use super::setup::Setup;
use super::trace::{Trace, survives_the_wire};
use crate::app::{App, Change};
use crate::chain::Chain;
use crate::core::{Core, Decision, Halt, Input, Peer, Recipients};
use crate::defect::Build;
use crate::message::Message;
use crate::request::Request;
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

struct Node<C: Crypto, B> {
    machine: Machine<C, B>,
    liar: Option<Box<dyn Liar<C>>>,
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
    /// Highest view in which a height was decided.
    pub highest_view: u64,
}

/// Whether a message from one node to another passes.
pub(super) type Filter = Box<dyn FnMut(usize, usize, &Message) -> bool>;

/// A simulated world.
pub struct World<C: Crypto, B> {
    setup: Setup,
    crypto: C,
    genesis: Chain<Adder>,
    now: u64,
    order: u64,
    events: BinaryHeap<Reverse<Event>>,
    nodes: Vec<Node<C, B>>,
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
    oracle: Oracle<C>,
    counts: Counts,
    trace: Trace,
    /// Drops a message on its way, for tests that play the network by hand.
    pub filter: Option<Filter>,
}

impl<C: Crypto, B: Build + Clone> World<C, B> {
    /// Makes the world and starts every node.
    pub fn new(setup: Setup, crypto: C, build: B) -> Self {
        let set = set_of(&setup.powers);
        let genesis = genesis_of(&setup, set.clone(), None);
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
            let timing = setup.timing;
            let breaks = setup.broken_apps.iter().find(|(node, _)| *node == place);
            let genesis = match breaks {
                Some((_, height)) => genesis_of(&setup, set.clone(), Some(*height)),
                None => genesis.clone(),
            };
            let machine = Machine::new(*key, crypto.clone(), build.clone(), genesis, timing);
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

    fn weak_node(&mut self) -> Option<usize> {
        let weak: Vec<_> = (0..self.nodes.len())
            .filter(|n| self.nodes[*n].weak)
            .collect();
        if weak.is_empty() {
            None
        } else {
            Some(weak[self.fault_rng.place(weak.len())])
        }
    }

    fn disk_fault(&mut self) {
        let Some(node) = self.weak_node() else { return };
        self.counts.faults += 1;
        match self.fault_rng.below(3) {
            0 => self.nodes[node].machine.disk.fails_next_sync = true,
            1 => self.nodes[node].machine.disk.capacity = Some(0),
            _ => {
                self.crash(node);
                self.nodes[node].machine.disk.flip_bit(&mut self.fault_rng);
            }
        }
    }

    /// A node loses its whole disk, its signer's mark too, and comes back knowing that.
    pub fn wipe(&mut self, node: usize) {
        self.crash(node);
        let nonce = self.fault_rng.next();
        let machine = &mut self.nodes[node].machine;
        machine.disk.wipe();
        machine.mark = None;
        machine.wiped = Some(nonce);
        self.counts.faults += 1;
    }

    /// A node loses power, and comes back after a while.
    pub fn crash(&mut self, node: usize) {
        self.stop(node);
        let off_ms = 1 + self.fault_rng.below(OFF_MS);
        self.schedule(off_ms, What::Start { node });
    }

    /// A node loses power, and stays off.
    pub fn stop(&mut self, node: usize) {
        self.counts.crashes += 1;
        self.trace.number(0xc0ff ^ node as u64);
        self.nodes[node].machine.crash(&mut self.fault_rng);
        self.nodes[node].wake = None;
    }

    /// A node that is off starts.
    pub fn start(&mut self, node: usize) {
        if self.nodes[node].machine.is_up() {
            return;
        }
        let now = self.clock(node);
        let output = self.nodes[node].machine.start(now);
        let height = self.core(node).map_or(0, |core| core.height().get() - 1);
        self.oracle.restarted(node, height);
        self.handle(node, output);
    }

    fn input(&mut self, node: usize, input: Input) {
        let now = self.clock(node);
        let output = self.nodes[node].machine.step(now, input);
        self.handle(node, output);
    }

    fn handle(&mut self, node: usize, output: Output) {
        let correct = self.nodes[node].liar.is_none();
        if let Some(at) = output.wake {
            self.nodes[node].wake = Some(at.get());
            self.schedule(at.get().saturating_sub(self.now), What::Wake { node });
        }
        for ballot in &output.signed {
            self.trace.number(node as u64);
            self.trace.ballot(ballot);
            if correct {
                self.oracle.signed(node, ballot);
            }
        }
        if correct {
            self.judge(node, &output);
        }
        for decision in output.decided {
            self.decided(node, decision, correct);
        }
        for (to, message) in output.sends {
            self.send(node, to, message);
        }
        if output.went_down {
            self.went_down(node, correct);
        }
    }

    fn judge(&mut self, node: usize, output: &Output) {
        for ballot in &output.not_durable {
            self.oracle.report(Violation::NotDurable {
                node,
                slot: ballot.slot,
            });
        }
        let correct: Vec<_> = self.correct().map(|n| self.nodes[n].machine.key).collect();
        for proof in &output.evidence {
            self.oracle.evidence(node, proof.clone(), &correct);
        }
        for (peer, fault) in &output.blamed {
            let peer = usize::from(peer.0);
            if self.nodes[peer].liar.is_none() {
                let why = fault.to_string();
                self.oracle.report(Violation::Blamed { node, peer, why });
            }
        }
    }

    fn has_liars(&self) -> bool {
        !self.setup.liars.is_empty()
    }

    fn decided(&mut self, node: usize, decision: Decision, correct: bool) {
        self.trace.number(0xdec1 ^ node as u64);
        self.trace.number(decision.block.block.height().get());
        self.trace.number(decision.block.certificate.view().get());
        if !correct {
            return;
        }
        let view = decision.block.certificate.view().get();
        self.counts.highest_view = self.counts.highest_view.max(view);
        let latest = self
            .correct()
            .map(|n| self.clock(n).wall.get())
            .max()
            .unwrap_or(0);
        self.oracle
            .decided(node, decision, latest.max(EPOCH_MS + self.now));
        if let Some(core) = self.nodes[node].machine.core() {
            let (held, peers) = (core.held(), self.nodes.len());
            self.oracle.check_held(node, held, peers, peers);
        }
    }

    fn went_down(&mut self, node: usize, correct: bool) {
        self.nodes[node].wake = None;
        match self.nodes[node].machine.down.clone() {
            Some(Down::Off) => self.crash(node),
            Some(Down::Disk(_)) => {
                // An operator frees some space and starts it again.
                self.nodes[node].machine.crash(&mut self.fault_rng);
                self.nodes[node].machine.disk.capacity = None;
                self.schedule(OFF_MS, What::Start { node });
            }
            Some(Down::Halted(why)) if correct => self.oracle.halted(node, &why),
            _ => {}
        }
    }

    fn send(&mut self, from: usize, to: Recipients, message: Message) {
        if self.setup.wire && !survives_the_wire(&message) {
            self.oracle.report(Violation::Wire);
        }
        match to {
            Recipients::One(peer) => self.say(from, usize::from(peer.0), message),
            Recipients::All => {
                for to in 0..self.nodes.len() {
                    if to != from {
                        self.say(from, to, message.clone());
                    }
                }
            }
        }
    }

    /// One message to one node, through the liar's mouth if the sender is corrupt.
    fn say(&mut self, from: usize, to: usize, message: Message) {
        if self.nodes[from].liar.is_none() {
            return self.transmit(from, Said::truth(to, message));
        }
        let said = self.with_liar(from, |liar, hand| liar.say(hand, to, message));
        said.into_iter().for_each(|said| self.transmit(from, said));
    }

    fn act(&mut self, node: usize) {
        let said = self.with_liar(node, |liar, hand| liar.act(hand));
        said.into_iter().for_each(|said| self.transmit(node, said));
    }

    fn with_liar(
        &mut self,
        node: usize,
        speak: impl FnOnce(&mut Box<dyn Liar<C>>, &mut Hand<'_, C>) -> Vec<Said>,
    ) -> Vec<Said> {
        let now = self.clock(node);
        let nodes = self.nodes.len();
        let Node { machine, liar, .. } = &mut self.nodes[node];
        let (Some(liar), Some(core)) = (liar, machine.core()) else {
            return Vec::new();
        };
        let mut hand = Hand {
            crypto: &self.crypto,
            keys: &self.corrupt_keys,
            own: machine.key,
            nodes,
            chain: core.chain(),
            height: core.height(),
            view: core.view(),
            view_ms: self.setup.timing.view_ms,
            now,
            rng: &mut self.liar_rng,
        };
        speak(liar, &mut hand)
    }

    fn transmit(&mut self, from: usize, said: Said) {
        let Said {
            to,
            message,
            lie,
            delay_ms,
            withheld,
        } = said;
        if from == to {
            return;
        }
        if let Some(filter) = &mut self.filter
            && !filter(from, to, &message)
        {
            self.counts.lost += 1;
            return;
        }
        let arrivals = self.network.arrivals(from, to, &mut self.network_rng);
        if withheld {
            let heard = self.nodes[to].liar.is_none() && self.nodes[to].machine.is_up();
            self.counts.lies += u64::from(heard && arrivals[0].is_some());
            return;
        }
        let [first, second] = arrivals;
        self.counts.lost += u64::from(first.is_none());
        if let Some(ms) = second {
            let what = What::Deliver {
                from,
                to,
                message: message.clone(),
                lie,
            };
            self.schedule(ms + delay_ms, what);
        }
        if let Some(ms) = first {
            self.schedule(
                ms + delay_ms,
                What::Deliver {
                    from,
                    to,
                    message,
                    lie,
                },
            );
        }
    }

    fn arrive(&mut self, from: usize, to: usize, message: Message, lie: bool) {
        if !self.nodes[to].machine.is_up() {
            self.counts.lost += 1;
            return;
        }
        self.counts.delivered += 1;
        self.counts.lies += u64::from(lie && self.nodes[to].liar.is_none());
        self.trace.number(self.now << 16 | (from << 8 | to) as u64);
        self.trace.message(&message);
        let said = match self.nodes[to].liar {
            Some(_) => self.with_liar(to, |liar, hand| liar.hear(hand, from, &message)),
            None => Vec::new(),
        };
        said.into_iter().for_each(|said| self.transmit(to, said));
        let peer = Peer(u16::try_from(from).expect("a few nodes"));
        self.input(
            to,
            Input::Message {
                from: peer,
                message,
            },
        );
    }

    fn client(&mut self, client: usize) {
        let key = client_key(client);
        let done = self.oracle.last_sequence(&key);
        let next = self.next_sequence[client];
        let node = self.client_rng.place(self.nodes.len());
        if next <= done + OUTSTANDING && !self.healed_and_quiet() {
            let body = add(self.client_rng.below(100));
            self.next_sequence[client] += 1;
            self.submit(node, client, next, body);
            let wait = 1 + self.client_rng.below(2 * self.setup.request_ms);
            return self.schedule(wait, What::Client { client });
        }
        for sequence in done + 1..next {
            if let Some(request) = self.oracle.submitted.get(&(key, sequence)).cloned() {
                self.input(node, Input::Request(request));
            }
        }
        self.schedule(RETRY_MS, What::Client { client });
    }

    /// Seeds' worlds take no new requests once they are healed; those made by hand do.
    fn healed_and_quiet(&self) -> bool {
        self.healed && self.quiet
    }

    /// A client signs a request and gives it to a node.
    pub fn submit(&mut self, node: usize, client: usize, sequence: u64, body: Vec<u8>) {
        let request = self.request(client, sequence, body);
        self.oracle
            .submitted
            .insert((request.client, sequence), request.clone());
        self.next_sequence[client] = self.next_sequence[client].max(sequence + 1);
        self.input(node, Input::Request(request));
    }

    /// A signed request, not given to anybody.
    pub fn request(&self, client: usize, sequence: u64, body: Vec<u8>) -> Arc<Request> {
        let (key, chain) = (client_key(client), self.genesis.genesis_digest());
        let bytes = Request::signed_bytes(&chain, &key, sequence, &body);
        let signature = self.crypto.sign(KeyId::client(client), &bytes);
        Arc::new(Request {
            client: key,
            sequence,
            body,
            signature,
        })
    }

    /// The first client submits a change to a set with the spare nodes in it, approved by all
    /// present members; half of the nodes have the new set opened.
    pub fn submit_change(&mut self) {
        let Some((_, last)) = self.oracle.decided.last() else {
            return self.schedule(50, What::Change);
        };
        let present = last.tip.set.clone();
        let powers = self.setup.powers.clone();
        let members: Vec<_> = (0..powers.len() + self.setup.spares)
            .map(|node| (node, powers.get(node).copied().unwrap_or(1)))
            .collect();
        let new = set_of_members(&members);
        for node in 0..self.nodes.len() {
            if self.fault_rng.chance(500) || self.strong().next() == Some(node) {
                self.open_set(node, new.clone());
            }
        }
        let approvers: Vec<_> = (0..powers.len()).map(KeyId).collect();
        let change = self.change(0, Some(&new), None, &present, &approvers);
        let sequence = change.sequence;
        let node = self.fault_rng.place(self.nodes.len());
        self.submit(node, 0, sequence, carry(&change));
    }

    /// A change that the client's next request is to carry.
    pub fn change(
        &self,
        client: usize,
        set: Option<&ValidatorSet>,
        parameters: Option<Parameters>,
        present: &ValidatorSet,
        approvers: &[KeyId],
    ) -> Change {
        let mut change = Change {
            client: client_key(client),
            sequence: self.next_sequence[client],
            validators: set.map(ValidatorSet::commitment),
            parameters,
            approvals: Vec::new(),
        };
        let bytes = change.signed_bytes(&self.genesis.genesis_digest());
        let approve = |id: &KeyId| {
            Some((
                present.index_of(public(*id))?,
                self.crypto.sign(*id, &bytes),
            ))
        };
        change.approvals = approvers.iter().filter_map(approve).collect();
        change.approvals.sort_by_key(|a| a.0);
        change
    }

    /// Faults end: links are good, everybody is up. Liars go on lying.
    pub fn heal(&mut self) {
        self.healed = true;
        self.network.open_all();
        self.network.weather = self.setup.calm;
        for node in 0..self.nodes.len() {
            self.nodes[node].machine.disk.capacity = None;
            self.nodes[node].machine.disk.fails_next_sync = false;
            self.nodes[node].machine.disk.crash_in = None;
            if !self.nodes[node].machine.is_up() && self.nodes[node].machine.down == Some(Down::Off)
            {
                self.start(node);
            }
        }
    }

    /// After [`World::heal`]: every strong correct node decides so many further heights, and
    /// every submitted request, within so many ms; otherwise a violation is noted.
    pub fn demand_progress(&mut self, heights: u64, within_ms: u64) {
        let start = self.strong().map(|n| self.height(n)).max().unwrap_or(0);
        let done = move |world: &Self| {
            world.strong().all(|n| world.height(n) >= start + heights) && world.all_executed()
        };
        let until = self.now + within_ms;
        if done(self) || self.run_while(until, |world| !done(world)) {
            return;
        }
        let demanded = start + heights;
        let heights: Vec<_> = self.strong().map(|n| (n, self.height(n))).collect();
        let why = if self.all_executed() {
            format!("heights {heights:?}, {demanded} were demanded")
        } else {
            format!("requests are not executed; heights {heights:?}, started at {start}")
        };
        self.oracle.report(Violation::NoProgress { why });
    }

    fn all_executed(&self) -> bool {
        self.next_sequence
            .iter()
            .enumerate()
            .all(|(client, next)| self.oracle.last_sequence(&client_key(client)) + 1 >= *next)
    }

    /// Nodes that do as the protocol says.
    pub fn correct(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(|n| self.nodes[*n].liar.is_none())
    }

    /// Correct nodes whose disk and clock are good, and that have a say.
    pub fn strong(&self) -> impl Iterator<Item = usize> + '_ {
        self.correct().filter(|n| !self.nodes[*n].weak)
    }

    /// Heights that a node has decided; 0 while it is off.
    pub fn height(&self, node: usize) -> u64 {
        self.core(node).map_or(0, |core| core.height().get() - 1)
    }

    /// The state machine of a node that is up.
    pub fn core(&self, node: usize) -> Option<&Core<C, Adder, B>> {
        self.nodes[node].machine.core()
    }

    /// Why a node is not running.
    pub fn down(&self, node: usize) -> Option<&Down> {
        self.nodes[node].machine.down.as_ref()
    }

    /// Why a node's core stopped.
    pub fn halt(&self, node: usize) -> Option<&Halt> {
        match self.down(node) {
            Some(Down::Halted(why)) => Some(why),
            _ => None,
        }
    }

    /// A node's disk.
    pub fn disk(&mut self, node: usize) -> &mut super::disk::Disk {
        &mut self.nodes[node].machine.disk
    }

    /// What a node's disk holds, to be restored later.
    pub fn image(&self, node: usize) -> super::disk::Disk {
        self.nodes[node].machine.disk.clone()
    }

    /// A node that is off gets an old disk; its signer remembers, unless that is old too.
    pub fn restore(&mut self, node: usize, image: super::disk::Disk, old_mark: bool) {
        let machine = &mut self.nodes[node].machine;
        machine.disk = image;
        if old_mark {
            machine.mark = None;
        }
    }

    /// Sets a node's clock against true time, in ms.
    pub fn set_clock(&mut self, node: usize, ms: i64) {
        self.nodes[node].clock_ms = ms;
    }

    /// A message arrives at a node as if from another, now.
    pub fn inject(&mut self, from: usize, to: usize, message: Message) {
        self.arrive(from, to, message, true);
    }

    /// An operator hands an opened set to a node, which has it again after every start.
    pub fn open_set(&mut self, node: usize, set: Arc<ValidatorSet>) {
        self.nodes[node].machine.sets.push(set.clone());
        self.input(node, Input::Set(set));
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

    /// The first decisions at each height.
    pub fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.oracle.decided.iter().map(|(_, decision)| &**decision)
    }

    /// A fingerprint of the decisions that does not depend on the signature scheme.
    pub fn decisions_digest(&self) -> quorate_verifier::primitives::Digest {
        self.oracle.decisions()
    }

    /// Broken promises.
    pub fn violations(&self) -> &[Violation] {
        &self.oracle.violations
    }

    /// Evidence that correct nodes have found, with who found it.
    pub fn evidence(&self) -> &[(usize, Arc<crate::evidence::DoubleVote>)] {
        &self.oracle.evidence
    }

    /// What happened, in numbers.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The hash of everything that happened.
    pub fn trace(&self) -> Trace {
        self.trace
    }

    /// Ms since the world's start.
    pub fn now_ms(&self) -> u64 {
        self.now
    }

    /// The setup that it was made from.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Lets the world go on until a liar had its turn; notes a run in which none was heard.
    pub(crate) fn demand_lies(&mut self, within_ms: u64) {
        if !self.has_liars() || self.counts.lies > 0 {
            return;
        }
        self.quiet = false;
        if !self.run_while(self.now + within_ms, |world| world.counts.lies == 0) {
            self.oracle.report(Violation::NoLies);
        }
    }
}

/// The chain before its first block, the same for every node.
fn genesis_of(setup: &Setup, set: Arc<ValidatorSet>, breaks_at: Option<u64>) -> Chain<Adder> {
    let mut app = Adder::new(setup.clients);
    app.breaks_at = breaks_at;
    let parameters = Parameters {
        rule: QuorumRule::COMMIT,
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
