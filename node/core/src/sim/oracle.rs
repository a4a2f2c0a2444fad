//! What must hold in every world, judged from outside and without the core's own functions.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use quorate_verifier::certificate::CommitCertificate;
use quorate_verifier::primitives::Digest;

use super::keys::{Crypto, KeyId, public};
use super::workload::Workload;
use crate::app::App;
use crate::ballot::{Ballot, Choice, Slot};
use crate::block::{Block, FinalBlock};
use crate::chain::Chain;
use crate::core::{Decision, Halt, Held};
use crate::evidence::DoubleVote;
use crate::limits::{
    BLOCKS_HELD, CLOCK_DRIFT_MS, NEXT_VOTES_PER_PEER, UNSEEN_COMMITS, VIEWS_AHEAD, VIEWS_BEHIND,
};
use crate::request::{ClientKey, Request};
use crate::snapshot::Snapshot;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Two correct nodes decided differently at a height.
    Fork {
        /// The height.
        height: u64,
        /// The nodes: the first to decide there, and the one that differs.
        nodes: (usize, usize),
    },
    /// A node decided heights out of order.
    Gap {
        /// The node.
        node: usize,
        /// What it decided.
        height: u64,
    },
    /// A decision's certificate is none.
    Certificate {
        /// The node.
        node: usize,
        /// The height.
        height: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A decided header breaks a rule.
    Header {
        /// The height.
        height: u64,
        /// Which rule.
        why: &'static str,
    },
    /// A decided request was never made, or is not its client's next.
    Request {
        /// The height.
        height: u64,
        /// Which rule.
        why: &'static str,
    },
    /// Two correct nodes have different states after a height.
    State {
        /// The height.
        height: u64,
        /// The node that differs.
        node: usize,
    },
    /// The state breaks a promise of the application.
    Invariant {
        /// The height after which it does.
        height: u64,
        /// Which promise.
        why: String,
    },
    /// A correct node signed twice in one slot.
    SignedTwice {
        /// The node.
        node: usize,
        /// The slot.
        slot: Slot,
    },
    /// A correct node signed in a slot below one in which it had signed.
    SignedBackwards {
        /// The node.
        node: usize,
        /// The slot.
        slot: Slot,
    },
    /// A vote was signed before its record was durable.
    NotDurable {
        /// The node.
        node: usize,
        /// The slot.
        slot: Slot,
    },
    /// Evidence accuses a correct node, or does not hold.
    Evidence {
        /// The node that made it.
        node: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A correct node stopped.
    Halted {
        /// The node.
        node: usize,
        /// Why, in its words.
        why: String,
    },
    /// A correct node blamed a correct node.
    Blamed {
        /// Who blamed.
        node: usize,
        /// Whom.
        peer: usize,
        /// What for.
        why: String,
    },
    /// A node holds more than its limits allow.
    Memory {
        /// The node.
        node: usize,
        /// What it holds.
        held: String,
    },
    /// A message did not survive its encoding.
    Wire,
    /// After the faults had ended, there was no progress in time.
    NoProgress {
        /// Which promise of progress.
        why: String,
    },
    /// A run with a liar in it, and none of its lies reached a correct node.
    NoLies,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Decisions of all correct nodes, compared as they come.
pub(crate) struct Oracle<C, A> {
    crypto: C,
    genesis: Chain<A>,
    /// The first decisions, executed outside of every core.
    pub(crate) reference: A,
    /// The first decision at each height, from 1.
    pub(crate) decided: Vec<(usize, Arc<Decision>)>,
    heights: BTreeMap<usize, u64>,
    signed: BTreeMap<usize, BTreeMap<Slot, Choice>>,
    pub(crate) submitted: BTreeMap<(ClientKey, u64), Arc<Request>>,
    sequences: BTreeMap<ClientKey, u64>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) evidence: Vec<(usize, Arc<DoubleVote>)>,
    /// Votes in each node's closed certificate of each height.
    pub(crate) sealed_votes: BTreeMap<(usize, u64), usize>,
}

impl<C: Crypto, A: App + Clone> Oracle<C, A> {
    pub(crate) fn new(crypto: C, genesis: Chain<A>) -> Self {
        Self {
            reference: genesis.app().clone(),
            crypto,
            genesis,
            decided: Vec::new(),
            heights: BTreeMap::new(),
            signed: BTreeMap::new(),
            submitted: BTreeMap::new(),
            sequences: BTreeMap::new(),
            violations: Vec::new(),
            evidence: Vec::new(),
            sealed_votes: BTreeMap::new(),
        }
    }

    fn violated(&mut self, violation: Violation) {
        if self.violations.len() < 16 && !self.violations.contains(&violation) {
            self.violations.push(violation);
        }
    }

    pub(crate) fn report(&mut self, violation: Violation) {
        self.violated(violation);
    }

    /// A node was restarted from a disk that holds less than it had decided.
    pub(crate) fn restarted(&mut self, node: usize, height: u64) {
        self.heights.insert(node, height);
    }

    /// A correct node has decided; `latest_clock` is the latest of the correct nodes' clocks.
    pub(crate) fn decided(
        &mut self,
        node: usize,
        decision: Decision,
        latest_clock: u64,
        workload: &mut impl Workload<App = A>,
    ) {
        let block = &decision.block;
        let height = block.block.height().get();
        let last = self.heights.insert(node, height).unwrap_or(0);
        if height != last + 1 {
            self.violated(Violation::Gap { node, height });
        }
        self.check_certificate(node, &decision);
        let place = usize::try_from(height - 1).expect("few heights");
        match self.decided.get(place).cloned() {
            None => {
                self.check_first(&decision, latest_clock);
                self.execute(node, &decision, workload);
                self.decided.push((node, Arc::new(decision)));
            }
            Some((first_node, first)) => {
                if first.block.block.digest() != block.block.digest() {
                    self.violated(Violation::Fork {
                        height,
                        nodes: (first_node, node),
                    });
                } else if first.tip.state_root != decision.tip.state_root
                    || first.outcomes != decision.outcomes
                {
                    self.violated(Violation::State { height, node });
                }
            }
        }
    }

    /// A correct node goes on from a snapshot: its header must be the decided one, and its state
    /// too, unless it has gone on already.
    pub(crate) fn adopted(&mut self, node: usize, snapshot: &Snapshot, state: Option<Digest>) {
        let header = &snapshot.offer.header;
        let height = header.height.get();
        self.heights.insert(node, height);
        let place = usize::try_from(height - 1).expect("few heights");
        match self.decided.get(place) {
            Some((_, first)) if first.tip.digest == header.digest() => {
                if state.is_some_and(|state| state != first.tip.state_root) {
                    self.violated(Violation::State { height, node });
                }
            }
            Some((first_node, _)) => {
                let nodes = (*first_node, node);
                self.violated(Violation::Fork { height, nodes });
            }
            None => self.violated(Violation::Gap { node, height }),
        }
    }

    /// Executes a first decision outside of every core, and judges the state.
    fn execute(&mut self, node: usize, decision: &Decision, workload: &mut impl Workload<App = A>) {
        let block = &decision.block.block;
        let height = block.height().get();
        let applied = self.reference.apply(block.header(), block.payload());
        let same = self.reference.root() == decision.tip.state_root;
        if !same || applied.outcomes != decision.outcomes {
            self.violated(Violation::State { height, node });
        }
        if let Err(why) = workload.check(&self.reference, decision) {
            self.violated(Violation::Invariant { height, why });
        }
    }

    fn check_certificate(&mut self, node: usize, decision: &Decision) {
        let FinalBlock { block, certificate } = &*decision.block;
        if let Some(why) = self.fault_of(block, certificate) {
            let height = block.height().get();
            self.violated(Violation::Certificate { node, height, why });
        }
    }

    /// A node closes a height's certificate, with the votes that came late.
    pub(crate) fn sealed(&mut self, node: usize, height: u64, certificate: &CommitCertificate) {
        let place = usize::try_from(height - 1).expect("few heights");
        let Some((_, first)) = self.decided.get(place) else {
            return;
        };
        let block = first.block.block.clone();
        if let Some(why) = self.fault_of(&block, certificate) {
            self.violated(Violation::Certificate { node, height, why });
        }
        let votes = certificate.votes().len();
        self.sealed_votes.insert((node, height), votes);
    }

    /// Distinct members of the set that the parent names hold more than two thirds, by names,
    /// powers and signatures recomputed here.
    fn fault_of(&self, block: &Block, certificate: &CommitCertificate) -> Option<&'static str> {
        if certificate.block() != block.header().digest() {
            return Some("it is for another block");
        }
        let place = usize::try_from(block.height().get() - 1).expect("few heights");
        let set = match place.checked_sub(1) {
            None => self.genesis.tip().set.clone(),
            Some(parent) => self.decided.get(parent)?.1.tip.set.clone(),
        };
        if set.commitment() != block.header().validators {
            return Some("the header names another set");
        }
        let (mut signed, mut total) = (0u64, 0u64);
        for (index, member) in (0u16..).zip(set.validators()) {
            total += member.power.get();
            let votes = certificate.votes().iter();
            let of: Vec<_> = votes.filter(|v| v.index == index).collect();
            match of[..] {
                [] => continue,
                [vote] => {
                    let message = certificate.message();
                    let bytes = message.as_bytes();
                    if !self.crypto.verify(&member.key, bytes, &vote.signature) {
                        return Some("a signature does not hold");
                    }
                    signed += member.power.get();
                }
                _ => return Some("a signer is counted twice"),
            }
        }
        let mut votes = certificate.votes().iter();
        if votes.any(|v| usize::from(v.index) >= set.count()) {
            return Some("a stranger signs");
        }
        (3 * signed <= 2 * total).then_some("the power is not above two thirds")
    }

    /// Rules of a header and its requests, when its height is first decided.
    fn check_first(&mut self, decision: &Decision, latest_clock: u64) {
        let header = decision.block.block.header().clone();
        let height = header.height.get();
        let parent = match self.decided.last() {
            None => self.genesis.tip().clone(),
            Some((_, parent)) => parent.tip.clone(),
        };
        let rules = [
            (
                header.parent == parent.digest,
                "its parent is the last decided header",
            ),
            (
                header.time > parent.header.time,
                "its time is after its parent's",
            ),
            (
                header.time.get() <= latest_clock + CLOCK_DRIFT_MS,
                "its time is not in the future",
            ),
            (
                header.state_root == parent.state_root,
                "its state is that after its parent",
            ),
            (
                header.validators == parent.header.next_validators,
                "its set is the one announced",
            ),
            (
                header.chain_id == parent.header.chain_id,
                "its chain is the parent's",
            ),
        ];
        for (holds, why) in rules {
            if !holds {
                self.violated(Violation::Header { height, why });
            }
        }
        for request in &decision.block.block.payload().requests {
            let last = self.sequences.entry(request.client).or_insert(0);
            let next = *last + 1;
            *last = request.sequence;
            if request.sequence != next {
                self.violated(Violation::Request {
                    height,
                    why: "it is its client's next",
                });
            }
            let made = self.submitted.get(&(request.client, request.sequence));
            if made.is_none_or(|made| made.body != request.body) {
                self.violated(Violation::Request {
                    height,
                    why: "its client made it",
                });
            }
        }
    }

    pub(crate) fn signed(&mut self, node: usize, ballot: &Ballot) {
        let slots = self.signed.entry(node).or_default();
        let last = slots.last_key_value().map(|(slot, _)| *slot);
        let slot = ballot.slot;
        match slots.get(&slot) {
            Some(choice) if *choice == ballot.choice => {}
            Some(_) => self.violated(Violation::SignedTwice { node, slot }),
            None => {
                slots.insert(slot, ballot.choice);
                if last.is_some_and(|last| last > slot) {
                    self.violated(Violation::SignedBackwards { node, slot });
                }
            }
        }
    }

    pub(crate) fn evidence(&mut self, node: usize, proof: Arc<DoubleVote>, correct: &[KeyId]) {
        if correct.iter().any(|id| public(*id) == &proof.key) {
            self.violated(Violation::Evidence {
                node,
                why: "it accuses a correct node",
            });
        }
        if proof
            .check(&self.crypto, &self.genesis.genesis_digest())
            .is_err()
        {
            self.violated(Violation::Evidence {
                node,
                why: "it does not hold",
            });
        }
        self.evidence.push((node, proof));
    }

    pub(crate) fn halted(&mut self, node: usize, why: &Halt) {
        self.violated(Violation::Halted {
            node,
            why: why.to_string(),
        });
    }

    /// `peers` is the number of links, `validators` the size of the largest set.
    pub(crate) fn check_held(&mut self, node: usize, held: Held, peers: usize, validators: usize) {
        let views = usize::try_from(VIEWS_BEHIND + VIEWS_AHEAD + 1).expect("a few views");
        let bounded = held.next <= peers * (NEXT_VOTES_PER_PEER + 2)
            && held.prepares <= views
            && held.commits <= views * (validators * UNSEEN_COMMITS + BLOCKS_HELD)
            && held.changes <= validators
            && held.blocks <= BLOCKS_HELD + 1;
        if !bounded {
            self.violated(Violation::Memory {
                node,
                held: format!("{held:?}"),
            });
        }
    }

    /// A fingerprint of all decisions that does not depend on the signature scheme.
    pub(crate) fn decisions(&self, workload: &impl Workload) -> Digest {
        use sha2::{Digest as _, Sha256};
        let mut hash = Sha256::new();
        for (_, decision) in &self.decided {
            let block = &decision.block.block;
            hash.update(block.height().get().to_le_bytes());
            hash.update(block.header().time.get().to_le_bytes());
            for request in &block.payload().requests {
                hash.update(request.client.0);
                hash.update(request.sequence.to_le_bytes());
                hash.update(workload.fingerprint(&request.body));
            }
        }
        Digest::from_bytes(hash.finalize().into())
    }

    /// A client's last executed request.
    pub(crate) fn last_sequence(&self, client: &ClientKey) -> u64 {
        self.reference.client(client).map_or(0, |c| c.sequence)
    }
}
