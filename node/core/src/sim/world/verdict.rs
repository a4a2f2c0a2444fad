//! What came of a step, what must hold of it, and what tests may see.

use std::sync::Arc;

use super::{Counts, EPOCH_MS, What, World};
use crate::app::App;
use crate::core::{Core, Decision, Fault, Halt};
use crate::defect::Build;
use crate::evidence::DoubleVote;
use crate::sim::keys::Crypto;
use crate::sim::machine::{Down, Output};
use crate::sim::oracle::Violation;
use crate::sim::trace::Trace;
use crate::sim::workload::Workload;
use crate::snapshot::Snapshot;

/// Blames that are kept for tests.
const BLAMES_HELD: usize = 1_000;

impl<C: Crypto, B: Build + Clone, W: Workload> World<C, B, W> {
    pub(super) fn handle(&mut self, node: usize, output: Output) {
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
        let mut adopted = output.adopted.into_iter().peekable();
        for decision in output.decided {
            let height = decision.block.block.height();
            while let Some(snapshot) = adopted.next_if(|s| s.offer.height() < height) {
                self.adopted(node, &snapshot, correct);
            }
            self.decided(node, decision, correct);
        }
        for snapshot in adopted {
            self.adopted(node, &snapshot, correct);
        }
        for (to, message) in output.sends {
            self.send(node, to, message);
        }
        for (height, certificate) in &output.sealed {
            if correct {
                self.oracle.sealed(node, height.get(), certificate);
            }
        }
        if output.went_down {
            self.went_down(node, correct);
        }
    }

    pub(super) fn judge(&mut self, node: usize, output: &Output) {
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
            if self.blames.len() < BLAMES_HELD {
                self.blames.push((node, peer, fault.clone()));
            }
            if self.nodes[peer].liar.is_none() {
                let why = fault.to_string();
                self.oracle.report(Violation::Blamed { node, peer, why });
            }
        }
    }

    pub(super) fn has_liars(&self) -> bool {
        !self.setup.liars.is_empty()
    }

    fn adopted(&mut self, node: usize, snapshot: &Snapshot, correct: bool) {
        let height = snapshot.offer.height();
        self.trace.number(0xad09 ^ node as u64);
        self.trace.number(height.get());
        self.counts.snapshots += 1;
        if correct {
            let chain = self.core(node).map(Core::chain);
            // Unless it has gone on in the same step.
            let chain = chain.filter(|chain| chain.tip().header.height == height);
            let state = chain.map(|chain| chain.app().root());
            self.oracle.adopted(node, snapshot, state);
        }
    }

    pub(super) fn decided(&mut self, node: usize, decision: Decision, correct: bool) {
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
        let latest = latest.max(EPOCH_MS + self.now);
        self.oracle
            .decided(node, decision, latest, &mut self.workload);
        if let Some(core) = self.nodes[node].machine.core() {
            let (held, peers) = (core.held(), self.nodes.len());
            self.oracle.check_held(node, held, peers, peers);
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
    pub fn core(&self, node: usize) -> Option<&Core<C, W::App, B>> {
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

    /// The first decisions at each height.
    pub fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.oracle.decided.iter().map(|(_, decision)| &**decision)
    }

    /// A fingerprint of the decisions that does not depend on the signature scheme.
    pub fn decisions_digest(&self) -> quorate_verifier::primitives::Digest {
        self.oracle.decisions(&self.workload)
    }

    /// Broken promises.
    pub fn violations(&self) -> &[Violation] {
        &self.oracle.violations
    }

    /// Evidence that correct nodes have found, with who found it.
    pub fn evidence(&self) -> &[(usize, Arc<DoubleVote>)] {
        &self.oracle.evidence
    }

    /// Votes in the certificate of a height as a node closed it.
    pub fn sealed_votes(&self, node: usize, height: u64) -> Option<usize> {
        self.oracle.sealed_votes.get(&(node, height)).copied()
    }

    /// Who of the correct nodes has blamed whom, for what: the first thousand times.
    pub fn blames(&self) -> &[(usize, usize, Fault)] {
        &self.blames
    }

    /// What happened, in numbers.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The hash of everything that happened.
    pub fn trace(&self) -> Trace {
        self.trace
    }
}
