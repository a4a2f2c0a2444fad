//! State transfer by certificate, and messages of the next height.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_verifier::primitives::{Digest, Height};
use quorate_verifier::set::{SetCommitment, ValidatorSet};

use super::{Core, Effect, Fault, Halt, Peer, Recipients};
use crate::app::App;
use crate::block::{Block, FinalBlock};
use crate::chain::{CertifiedError, Refusal};
use crate::defect::{Build, Defect};
use crate::limits::{
    ASK_AGAIN_MS, BLOCKS_HELD, NEXT_LARGE_PER_PEER, NEXT_VOTES_PER_PEER, SERVE_AGAIN_MS, SERVE_MS,
};
use crate::message::{Fetch, Message, SetOpening};
use crate::quorum::Tally;
use crate::record::Record;
use crate::scheme::Scheme;
use crate::time::Tick;

/// What is known of one link.
#[derive(Clone, Debug, Default)]
pub(super) struct PeerState {
    /// The height that it works on, as far as it has said.
    height: Option<Height>,
    /// When it first said so.
    said: Tick,
    /// What it was last served, and when.
    served: Option<(Height, Tick)>,
    /// When another question of it was last answered.
    answered: Option<Tick>,
    /// When it was last sent a chunk of a snapshot.
    pub(super) chunk_sent: Option<Tick>,
    /// When it may be asked for a snapshot again, after one that was none.
    pub(super) snapshot_after: Option<Tick>,
    /// The nonce of its last probe.
    pub(super) probe: Option<u64>,
    pub(super) marks: u32,
    pub(super) ignored_until: Option<Tick>,
}

/// The question that is out.
#[derive(Clone, Debug, Default)]
pub(super) struct Asking {
    last: Option<Peer>,
    at: Option<Tick>,
    /// Whether a snapshot was asked for, and not blocks.
    snapshot: bool,
}

/// Messages of the next height, bounded per peer.
#[derive(Clone, Debug, Default)]
pub(super) struct NextBuffer {
    kept: BTreeMap<Peer, Vec<Message>>,
}

impl NextBuffer {
    fn keep(&mut self, from: Peer, message: Message, bounded: bool) {
        let kept = self.kept.entry(from).or_default();
        let kind = |m: &Message| std::mem::discriminant(m);
        let limit = match message {
            Message::Vote(_) => NEXT_VOTES_PER_PEER,
            _ => NEXT_LARGE_PER_PEER,
        };
        let same = kept.iter().filter(|m| kind(m) == kind(&message)).count();
        if (same < limit || !bounded) && !kept.contains(&message) {
            kept.push(message);
        }
    }

    fn take(&mut self) -> BTreeMap<Peer, Vec<Message>> {
        std::mem::take(&mut self.kept)
    }

    pub(super) fn len(&self) -> usize {
        self.kept.values().map(Vec::len).sum()
    }
}

impl<S: Scheme, A: App, B: Build> Core<S, A, B> {
    pub(super) fn status(&self) -> Message {
        Message::Status(self.round.height, self.chain.tip().digest)
    }

    /// A message of a later height: kept if it is the next one, and a hint that blocks are lacked.
    pub(super) fn keep_for_next(&mut self, from: Peer, message: Message) {
        let height = match &message {
            Message::PrePrepare(proposal) => proposal.block.height(),
            Message::Vote(vote) => vote.height,
            Message::ViewChange(change) => change.height,
            _ => return, // nothing else belongs to a height
        };
        self.note_height(from, height);
        if Some(height) == self.round.height.next() && !self.build.lacks(Defect::NextDropped) {
            let bounded = !self.build.lacks(Defect::BufferUnbounded);
            self.next.keep(from, message, bounded);
        }
    }

    /// Hands over what was kept for the height that begins.
    pub(super) fn replay_next(&mut self) {
        for (from, messages) in self.next.take() {
            for message in messages {
                self.on_message(from, message);
            }
        }
    }

    fn note_height(&mut self, from: Peer, height: Height) {
        let now = self.now.tick;
        let peer = self.peers.entry(from).or_default();
        if peer.height.is_none_or(|known| known < height) {
            peer.height = Some(height);
            peer.said = now;
        }
    }

    pub(super) fn on_status(&mut self, from: Peer, height: Height, header: Digest) {
        // A peer that says less than before has lost its blocks: what it said last counts.
        let peer = self.peers.entry(from).or_default();
        let less = peer.height.is_some_and(|known| known > height);
        if less && !self.build.lacks(Defect::HeightsOnlyGrow) {
            peer.height = Some(height);
        }
        self.note_height(from, height);
        if height < self.round.height {
            self.serve(from, height);
        }
        let Some(below) = height.get().checked_sub(1).map(Height::new) else {
            return;
        };
        let own = self.chain.recent(below);
        if own.is_some_and(|(digest, _)| digest != header) {
            self.ask_for_other(from, below);
        }
    }

    /// A peer has another block at a height that is final here: its certificate will tell whether
    /// this is a fork.
    pub(super) fn ask_for_other(&mut self, from: Peer, height: Height) {
        self.send(Recipients::One(from), Message::Fetch(Fetch::Blocks(height)));
    }

    /// Answers a peer that is behind, not too often.
    pub(super) fn serve(&mut self, to: Peer, from: Height) {
        let known = from < self.round.height && from != Height::GENESIS;
        if !known || self.build.lacks(Defect::NothingServed) {
            return;
        }
        let now = self.now.tick;
        let peer = self.peers.entry(to).or_default();
        let again = peer.served.is_some_and(|(height, at)| {
            let pause = if height == from {
                SERVE_AGAIN_MS
            } else {
                SERVE_MS
            };
            now.since(at) < pause
        });
        if !again {
            peer.served = Some((from, now));
            self.effects.push(Effect::Serve { to, from });
        }
    }

    /// `docs/consensus.md#state-transfer`.
    pub(super) fn on_blocks(&mut self, from: Peer, blocks: Vec<Arc<FinalBlock>>) {
        if self.asking.last == Some(from) {
            self.asking.at = None;
        }
        for block in blocks {
            if self.halted || block.block.height() > self.round.height {
                return;
            }
            if block.block.height() < self.round.height {
                self.look_for_fork(from, &block);
                continue;
            }
            match self.chain.certified(&self.scheme, &self.build, &block) {
                Ok(()) => {}
                Err(CertifiedError::Diverged(field))
                    if !self.build.lacks(Defect::BlocksUnchecked) =>
                {
                    return self.on_divergence(block, field);
                }
                Err(_) => return self.blame(from, Fault::Blocks),
            }
            if !self.next_set_is_open() {
                return;
            }
            let mut tally = Tally::default();
            for vote in block.certificate.votes() {
                if let Some(member) = self.round.set.get(vote.index) {
                    tally.add(&self.build, vote.index, member.power, vote.signature);
                }
            }
            let (content, view) = (block.block.clone(), block.certificate.view());
            self.round.note_header(&content);
            self.decide(content, view, tally);
            self.round.timeless = self.build.lacks(Defect::TimerLost);
        }
    }

    /// A quorum has signed a header that this replica's own execution does not determine.
    fn on_divergence(&mut self, block: Arc<FinalBlock>, field: &'static str) {
        let height = block.block.height();
        self.halt(Halt::Diverged { height, field });
    }

    /// A certificate for another block at a height that is final here.
    fn look_for_fork(&mut self, from: Peer, block: &Arc<FinalBlock>) {
        let height = block.block.height();
        let Some((own, set)) = self.chain.recent(height) else {
            return;
        };
        if own == block.block.digest() || self.build.lacks(Defect::ForkIgnored) {
            return;
        }
        let chain = &self.chain.tip().header.chain_id;
        if block.block.header().chain_id != *chain && !self.build.lacks(Defect::ChainUnbound) {
            return self.blame(from, Fault::Blocks);
        }
        let Some(set) = self.chain.set(&set).cloned() else {
            return;
        };
        if self
            .chain
            .certified_by(&self.scheme, &self.build, block, &set)
            .is_err()
        {
            return self.blame(from, Fault::Blocks);
        }
        self.halt(Halt::Fork(block.clone()));
    }

    pub(super) fn on_fetch_block(&mut self, from: Peer, height: Height, block: &Digest) {
        if height < self.round.height {
            return self.serve(from, height);
        }
        if let Some(block) = self.round.block(block).cloned()
            && self.may_answer(from)
        {
            self.send(Recipients::One(from), Message::Block(block));
        }
    }

    /// A block that a certificate or a quorum of commits names.
    pub(super) fn on_block(&mut self, from: Peer, block: Arc<Block>) {
        if !self
            .round
            .wanted
            .iter()
            .any(|(wanted, _)| *wanted == block.digest())
        {
            return; // the answer of a second peer, or nobody asked
        }
        let vouched = |request: &_| self.pool.vouches(request);
        match self
            .chain
            .judge(&self.scheme, &self.build, &block, None, vouched)
        {
            Ok(()) => self.round.hold(block),
            Err(Refusal::SetUnopened(_)) => {}
            Err(refusal) => self.blame(from, refusal.into()),
        }
    }

    pub(super) fn want_block(&mut self, block: Digest) {
        let wanted = &mut self.round.wanted;
        if wanted.len() < BLOCKS_HELD && !wanted.iter().any(|(known, _)| *known == block) {
            wanted.push((block, None));
        }
    }

    pub(super) fn on_fetch_set(&mut self, from: Peer, set: &SetCommitment) {
        if let Some(set) = self.chain.set(set).cloned()
            && self.may_answer(from)
        {
            self.send(Recipients::One(from), Message::Set(SetOpening::of(set)));
        }
    }

    /// Whether a peer's question may cost something again.
    pub(super) fn may_answer(&mut self, peer: Peer) -> bool {
        let now = self.now.tick;
        let peer = self.peers.entry(peer).or_default();
        let again = peer.answered.is_some_and(|at| now.since(at) < SERVE_MS);
        if !again {
            peer.answered = Some(now);
        }
        !again
    }

    /// An opening is decoded only if it is wanted: checking the keys of a set takes a while.
    pub(super) fn on_set(&mut self, from: Peer, opening: &SetOpening) {
        let next = self.wanted_set.map(|(wanted, _)| wanted);
        let wanted = [next, self.lacked_set()];
        if wanted == [None; 2] {
            return; // a second answer, or nobody asked
        }
        match opening.open() {
            Ok(set) if wanted.contains(&Some(set.commitment())) => {
                if next == Some(set.commitment()) {
                    self.wanted_set = None;
                }
                self.open_set(set);
            }
            _ => self.blame(from, Fault::Unasked),
        }
    }

    /// Keeps an opened set, on disk too: after a restart the chain is followed with it.
    pub(super) fn open_set(&mut self, set: Arc<ValidatorSet>) {
        if self.chain.set(&set.commitment()).is_none() {
            self.effects.push(Effect::Persist(Record::Set(set.clone())));
            self.chain.open_set(set);
            self.walk();
        }
    }

    /// Whether the set that signs the height after this one is open; if not, it is asked for.
    pub(super) fn next_set_is_open(&mut self) -> bool {
        let next = self.chain.tip().next;
        if self.chain.set(&next).is_some() || self.build.lacks(Defect::SetUnopened) {
            return true;
        }
        if self.wanted_set.is_none_or(|(wanted, _)| wanted != next) {
            self.wanted_set = Some((next, None));
        }
        false
    }

    /// Asks for what is lacked, each thing again after a while, blocks of one peer after another.
    pub(super) fn ask(&mut self) {
        let now = self.now.tick;
        let due = |last: Option<Tick>| last.is_none_or(|at| now.since(at) >= ASK_AGAIN_MS);
        let height = self.round.height;
        let mut asked = Vec::new();
        for (block, last) in &mut self.round.wanted {
            if due(*last) {
                *last = Some(now);
                asked.push(Fetch::Block(height, *block));
            }
        }
        if let Some((set, last)) = &mut self.wanted_set
            && due(*last)
        {
            *last = Some(now);
            asked.push(Fetch::Set(*set));
        }
        for fetch in asked {
            self.send(Recipients::All, Message::Fetch(fetch));
        }
        self.go_on_with_snapshot();
        if due(self.asking.at)
            && let Some(peer) = self.next_source()
        {
            // By turns: whoever has no snapshot to offer may still have blocks.
            // And while a state comes, blocks come too: whichever is quicker.
            let snapshot = self.is_far_ahead(peer)
                && !self.asking.snapshot
                && !self.is_taking_snapshot()
                && self.may_be_asked_for_snapshot(peer);
            self.asking = Asking {
                last: Some(peer),
                at: Some(now),
                snapshot,
            };
            let fetch = if snapshot {
                Fetch::Snapshot(height)
            } else {
                Fetch::Blocks(height)
            };
            self.send(Recipients::One(peer), Message::Fetch(fetch));
        }
    }

    /// Whether a peer says that it is so far ahead that its state is worth more than its blocks.
    fn is_far_ahead(&self, peer: Peer) -> bool {
        let every = self.config.snapshot_every;
        let claimed = self.peers.get(&peer).and_then(|peer| peer.height);
        let claimed = claimed.map_or(0, Height::get);
        every > 0 && claimed.saturating_sub(self.round.height.get()) > every
    }

    /// Whose snapshot was none, or never came, is not asked for another one for a while.
    fn may_be_asked_for_snapshot(&self, peer: Peer) -> bool {
        let state = self.peers.get(&peer);
        let until = state.and_then(|state| state.snapshot_after);
        until.is_none_or(|until| self.now.tick >= until)
    }

    pub(super) fn is_asked_for_snapshot(&self, peer: Peer) -> bool {
        self.asking.last == Some(peer) && self.asking.snapshot
    }

    /// The peer after the last one that was asked, among those that are ahead.
    fn next_source(&self) -> Option<Peer> {
        let ahead: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| self.is_ahead(peer))
            .map(|(name, _)| *name)
            .collect();
        let after = ahead
            .iter()
            .find(|name| self.asking.last.is_none_or(|last| **name > last));
        if self.build.lacks(Defect::OnePeerAsked) {
            return ahead.first().copied();
        }
        after.or(ahead.first()).copied()
    }

    /// One height ahead is the ordinary course of things for a moment.
    fn is_ahead(&self, peer: &PeerState) -> bool {
        let Some(height) = peer.height else {
            return false;
        };
        let lead = height.get().saturating_sub(self.round.height.get());
        lead > 1
            || lead == 1 && self.now.tick.since(peer.said.max(self.round.entered)) >= self.grace()
    }

    fn grace(&self) -> u64 {
        self.config.timing.resend_ms / 2
    }

    /// When [`Core::ask`] may have something to do.
    pub(super) fn ask_at(&self) -> Option<Tick> {
        let again = |last: Option<Tick>| last.map(|at| at.plus(ASK_AGAIN_MS));
        let blocks = self
            .round
            .wanted
            .iter()
            .filter_map(|(_, last)| again(*last));
        let set = self.wanted_set.and_then(|(_, last)| again(last));
        let lagging = self
            .peers
            .values()
            .filter(|p| p.height > Some(self.round.height))
            .map(|p| {
                let known = p.said.max(self.round.entered).plus(self.grace());
                again(self.asking.at).map_or(known, |at| at.max(known))
            });
        blocks.chain(set).chain(lagging).min()
    }
}
