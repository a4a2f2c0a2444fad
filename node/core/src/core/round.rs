//! The height in flight: everything that ends with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_verifier::header::Header;
use quorate_verifier::primitives::{Digest, Height, View};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::{Validator, ValidatorSet};
use quorate_verifier::signature::VoteKey;

use super::Peer;
use crate::ballot::{Choice, Slot};
use crate::block::Block;
use crate::limits::{BLOCKS_HELD, HEADERS_HELD};
use crate::message::{Message, Opening, PrePrepare, Prepared, ViewChange};
use crate::quorum::{OneEach, Tally};
use crate::time::Tick;

/// Whether the replica works in its view or has asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Accepts the primary's proposal and votes.
    Active,
    /// Has sent a view change for its view and waits for the new primary.
    Changing,
}

/// The proposal of the present view.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    /// The link that it came over; `None` for the own one.
    pub(crate) from: Option<Peer>,
    pub(crate) message: Arc<PrePrepare>,
    /// Judged and found to break a rule.
    pub(crate) refused: bool,
}

/// A proposal of this replica that waits for its signature.
#[derive(Clone, Debug)]
pub(crate) struct Proposing {
    pub(crate) view: View,
    pub(crate) block: Arc<Block>,
    pub(crate) opening: Option<Arc<Opening>>,
}

/// The height in flight.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    pub(crate) height: Height,
    pub(crate) set: Arc<ValidatorSet>,
    pub(crate) rule: QuorumRule,
    /// This replica's place in the set, if it is a member.
    pub(crate) me: Option<u16>,
    pub(crate) view: View,
    pub(crate) mode: Mode,
    pub(crate) proposal: Option<Proposal>,
    pub(crate) proposing: Option<Proposing>,
    /// The block that was accepted in the present view.
    pub(crate) accepted: Option<Digest>,
    /// Blocks of this height that were judged, or asked for by digest, the oldest first.
    pub(crate) blocks: Vec<Arc<Block>>,
    /// Blocks that are lacked, and when they were last asked for.
    pub(crate) wanted: Vec<(Digest, Option<Tick>)>,
    /// Headers that this height's primaries signed, for evidence.
    pub(crate) headers: BTreeMap<Digest, Header>,
    pub(crate) prepares: BTreeMap<View, OneEach>,
    pub(crate) commits: BTreeMap<(View, Digest), Tally>,
    /// The highest view change of each validator.
    pub(crate) changes: BTreeMap<u16, Arc<ViewChange>>,
    /// Prepared certificates whose every signature was checked.
    pub(crate) proven: BTreeMap<(View, Digest), Arc<Prepared>>,
    /// The own highest prepared certificate: that of the last commit vote.
    pub(crate) prepared: Option<Arc<Prepared>>,
    /// Own votes whose records are written.
    pub(crate) cast: BTreeMap<Slot, Choice>,
    /// Blocks whose records are written.
    pub(crate) stored: BTreeSet<Digest>,
    /// Own signed messages, to be sent again.
    pub(crate) sent: BTreeMap<Slot, Message>,
    pub(crate) entered: Tick,
    pub(crate) view_entered: Tick,
    /// When the present view's proposal came.
    pub(crate) proposed: Option<Tick>,
    /// When the view ends, in views above 0.
    pub(crate) deadline: Option<Tick>,
    pub(crate) resend_at: Tick,
    pub(crate) resend_ms: u64,
    /// When to judge a proposal again that is early by the clock.
    pub(crate) judge_at: Option<Tick>,
    /// Set by a defect only: an invalid view change was seen.
    pub(crate) spoiled: bool,
    /// Used by a defect only: the last block accepted in a view that was left.
    pub(crate) left: Option<(View, Digest)>,
    /// Set by a defect only: the height came by state transfer and has no timer.
    pub(crate) timeless: bool,
}

impl Round {
    pub(crate) fn new(
        height: Height,
        set: Arc<ValidatorSet>,
        rule: QuorumRule,
        key: Option<&VoteKey>,
        now: Tick,
        resend_ms: u64,
    ) -> Self {
        Self {
            height,
            me: key.and_then(|key| set.index_of(key)),
            set,
            rule,
            view: View::FIRST,
            mode: Mode::Active,
            proposal: None,
            proposing: None,
            accepted: None,
            blocks: Vec::new(),
            wanted: Vec::new(),
            headers: BTreeMap::new(),
            prepares: BTreeMap::new(),
            commits: BTreeMap::new(),
            changes: BTreeMap::new(),
            proven: BTreeMap::new(),
            prepared: None,
            cast: BTreeMap::new(),
            stored: BTreeSet::new(),
            sent: BTreeMap::new(),
            entered: now,
            view_entered: now,
            proposed: None,
            deadline: None,
            resend_at: now.plus(resend_ms),
            resend_ms,
            judge_at: None,
            spoiled: false,
            left: None,
            timeless: false,
        }
    }

    pub(crate) fn member(&self, place: u16) -> Option<&Validator> {
        self.set.get(place)
    }

    pub(crate) fn block(&self, digest: &Digest) -> Option<&Arc<Block>> {
        self.blocks.iter().find(|block| block.digest() == *digest)
    }

    /// Keeps a header that this height's primary signed, so that double commits can be shown.
    pub(crate) fn note_header(&mut self, block: &Block) {
        if self.headers.len() < HEADERS_HELD {
            self.headers.insert(block.digest(), block.header().clone());
        }
    }

    /// Keeps a judged block, and drops an older one when there are too many.
    pub(crate) fn hold(&mut self, block: Arc<Block>) {
        let digest = block.digest();
        self.wanted.retain(|(wanted, _)| *wanted != digest);
        if self.block(&digest).is_none() {
            self.blocks.push(block);
        }
        if self.blocks.len() > BLOCKS_HELD {
            let prepared = self.prepared.as_ref().map(|p| p.block);
            let keep = [Some(digest), prepared, self.accepted];
            let spare = self
                .blocks
                .iter()
                .position(|b| !keep.contains(&Some(b.digest())));
            if let Some(spare) = spare {
                self.blocks.remove(spare);
            }
        }
    }

    /// Leaves the present view for a higher one.
    pub(crate) fn move_to(&mut self, view: View, mode: Mode, now: Tick, resend_ms: u64) {
        self.view = view;
        self.mode = mode;
        self.proposal = None;
        self.accepted = None;
        self.proposed = None;
        self.judge_at = None;
        self.deadline = None;
        self.view_entered = now;
        self.resend_ms = resend_ms;
        self.resend_at = now.plus(resend_ms);
        let lowest = View::new(view.get().saturating_sub(crate::limits::VIEWS_BEHIND));
        self.prepares = self.prepares.split_off(&lowest);
        self.commits = self.commits.split_off(&(lowest, Digest::ZERO));
        self.proven = self.proven.split_off(&(lowest, Digest::ZERO));
        if let Some(prepared) = &self.prepared {
            self.proven
                .insert((prepared.view, prepared.block), prepared.clone());
        }
    }
}
