//! States for replicas that are far behind: `docs/consensus.md#snapshot`.

use std::collections::VecDeque;
use std::sync::Arc;

use quorate_verifier::genesis::Parameters;
use quorate_verifier::header::Header;
use quorate_verifier::primitives::{Digest, Height};
use quorate_verifier::set::SetCommitment;

use super::{Core, Effect, Peer, Recipients};
use crate::app::App;
use crate::block::FinalBlock;
use crate::defect::{Build, Defect};
use crate::limits::{
    ASK_AGAIN_MS, CHUNK_AGAIN_MS, CHUNK_BYTES, CHUNK_MS, CHUNK_SERVE_MS, CHUNK_TRIES, LINKS_MAX,
    SNAPSHOT_BYTES_MAX, SNAPSHOT_PENALTY_MS,
};
use crate::message::{Fetch, Message};
use crate::scheme::Scheme;
use crate::snapshot::{Link, Offer, Path, Snapshot, SnapshotError};
use crate::time::Tick;

/// Copies of the state that are offered: a newer one does not end a transfer that is under way.
const OFFERED: usize = 2;

/// What this replica offers to others, and what it takes from one.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshots {
    /// A copy whose root no final header names yet.
    fresh: Option<Copied>,
    /// The newest last; their links begin at genesis.
    offered: VecDeque<Arc<Snapshot>>,
    taking: Option<Taking>,
}

/// The state after a height.
#[derive(Clone, Debug)]
struct Copied {
    header: Header,
    root: Digest,
    parameters: Parameters,
    next_parameters: Parameters,
    state: Arc<[u8]>,
}

/// A snapshot that one peer is serving. If it turns out wrong, that peer is to blame alone.
#[derive(Clone, Debug)]
struct Taking {
    from: Peer,
    offer: Arc<Offer>,
    path: Path,
    /// A set on the way that was not opened yet.
    lacks: Option<SetCommitment>,
    /// What has come of the state.
    state: Vec<u8>,
    /// The next chunk.
    chunk: u32,
    /// When to ask, or ask again.
    ask_at: Tick,
    asked_at: Tick,
    tries: u32,
}

impl Snapshots {
    /// At a start, with what the disk has: it is offered at once.
    pub(super) fn stored(snapshot: Option<Arc<Snapshot>>) -> Self {
        Self {
            offered: snapshot.into_iter().collect(),
            ..Self::default()
        }
    }

    fn offer(&mut self, snapshot: Arc<Snapshot>) {
        self.offered.push_back(snapshot);
        if self.offered.len() > OFFERED {
            self.offered.pop_front();
        }
    }

    pub(super) fn bytes_taken(&self) -> usize {
        self.taking.as_ref().map_or(0, |taking| taking.state.len())
    }
}

impl<S: Scheme, A: App, B: Build> Core<S, A, B> {
    /// After a height was executed: makes a copy of the state when one is due, and offers and keeps
    /// it once the next height's certificate vouches for its root.
    pub(super) fn take_snapshot(&mut self, block: &FinalBlock) {
        let every = self.config.snapshot_every;
        if every == 0 {
            return;
        }
        if let Some(copied) = self.snapshots.fresh.take()
            && copied.header.height.next() == Some(block.block.height())
        {
            let above = Link {
                header: block.block.header().clone(),
                certificate: block.certificate.clone(),
            };
            if let Some(snapshot) = self.proved(copied, above).map(Arc::new) {
                self.effects.push(Effect::Checkpoint(snapshot.clone()));
                self.snapshots.offer(snapshot);
            }
        }
        let tip = self.chain.tip();
        let due = tip.header.height.get().is_multiple_of(every);
        if due || self.snapshots.offered.is_empty() {
            self.snapshots.fresh = Some(Copied {
                header: tip.header.clone(),
                root: tip.state_root,
                parameters: tip.parameters.clone(),
                next_parameters: tip.next_parameters.clone(),
                state: self.chain.app().snapshot().into(),
            });
        }
    }

    /// A copy with its whole proof; `None` for what nobody would take. (A core that lacks a defence
    /// may have gone on from a header that names another root than its own.)
    fn proved(&self, copied: Copied, above: Link) -> Option<Snapshot> {
        let (top, size) = (copied.header.height, copied.state.len() as u64);
        let below = self.chain.announcements(Height::GENESIS);
        let below = below.take_while(|link| link.header.height <= top);
        let links: Vec<_> = below.cloned().chain([above.clone()]).collect();
        let certified = above.header.state_root == copied.root;
        if size > SNAPSHOT_BYTES_MAX || links.len() > LINKS_MAX || !certified {
            return None;
        }
        let offer = Offer {
            header: copied.header,
            links,
            parameters: copied.parameters,
            next_parameters: copied.next_parameters,
            size,
        };
        let state = copied.state;
        Some(Snapshot { offer, state })
    }

    /// A replica that works on this height asks for the proof of a state.
    pub(super) fn on_fetch_snapshot(&mut self, from: Peer, height: Height) {
        let Some(newest) = self.snapshots.offered.back() else {
            return;
        };
        if height > newest.offer.height() {
            return;
        }
        let mut offer = newest.offer.clone();
        offer.links.retain(|link| link.header.height >= height);
        if self.may_answer(from) {
            self.send(Recipients::One(from), Message::Offer(Arc::new(offer)));
        }
    }

    pub(super) fn on_fetch_chunk(&mut self, from: Peer, height: Height, chunk: u32) {
        let mut offered = self.snapshots.offered.iter();
        let Some(offered) = offered.find(|offered| offered.offer.height() == height) else {
            return;
        };
        let state = offered.state.clone();
        let place = usize::try_from(chunk).unwrap_or(usize::MAX);
        let Some(bytes) = state.chunks(CHUNK_BYTES).nth(place) else {
            return;
        };
        let (message, now) = (Message::Chunk(height, chunk, bytes.into()), self.now.tick);
        let peer = self.peers.entry(from).or_default();
        if peer
            .chunk_sent
            .is_none_or(|at| now.since(at) >= CHUNK_SERVE_MS)
        {
            peer.chunk_sent = Some(now);
            self.send(Recipients::One(from), message);
        }
    }

    /// The answer of the peer that was asked; nothing is held before it is proved.
    pub(super) fn on_offer(&mut self, from: Peer, offer: Arc<Offer>) {
        if self.snapshots.taking.is_some() || !self.is_asked_for_snapshot(from) {
            return; // a late answer, or nobody asked
        }
        let tip = self.chain.tip();
        let below = self.chain.announcements(Height::GENESIS).count();
        if below + offer.links.len() > LINKS_MAX {
            return; // it could not be stored with its whole proof
        }
        match offer.check(&tip.header.chain_id, self.round.height) {
            Ok(()) => {}
            Err(SnapshotError::NotAhead(_)) => return, // it was, when it left
            Err(SnapshotError::TooLarge(_)) if self.build.lacks(Defect::SnapshotUnbounded) => {}
            Err(error) => return self.give_up_snapshot(from, Some(error)),
        }
        self.snapshots.taking = Some(Taking {
            from,
            path: Path::from(tip.set.clone()),
            offer,
            lacks: None,
            state: Vec::new(),
            chunk: 0,
            ask_at: self.now.tick,
            asked_at: self.now.tick,
            tries: 0,
        });
        self.walk();
    }

    /// Goes on with the proof of the snapshot that is being taken, once a set has been opened.
    pub(super) fn walk(&mut self) {
        let Some(taking) = &mut self.snapshots.taking else {
            return;
        };
        let opened = |set: &SetCommitment| self.chain.set(set).cloned();
        match taking
            .path
            .walk(&self.scheme, &self.build, &taking.offer, opened)
        {
            Ok(_) if taking.lacks.is_some() => {
                taking.lacks = None;
                (taking.ask_at, taking.tries) = (self.now.tick, 0);
            }
            Ok(_) => {}
            Err(SnapshotError::SetUnopened(set)) => {
                if taking.lacks != Some(set) {
                    taking.lacks = Some(set);
                    (taking.ask_at, taking.tries) = (self.now.tick, 0);
                }
            }
            Err(error) => {
                let from = taking.from;
                self.give_up_snapshot(from, Some(error));
            }
        }
    }

    /// The set that the snapshot's proof waits for.
    pub(super) fn lacked_set(&self) -> Option<SetCommitment> {
        self.snapshots.taking.as_ref()?.lacks
    }

    pub(super) fn is_taking_snapshot(&self) -> bool {
        self.snapshots.taking.is_some()
    }

    pub(super) fn on_chunk(&mut self, from: Peer, height: Height, chunk: u32, bytes: &[u8]) {
        let Some(taking) = &mut self.snapshots.taking else {
            return;
        };
        let awaited = taking.from == from
            && taking.offer.height() == height
            && taking.chunk == chunk
            && taking.lacks.is_none();
        if !awaited {
            return; // a second copy, or nobody asked
        }
        if bytes.len() != taking.offer.chunk_length(chunk) {
            return self.give_up_snapshot(from, Some(SnapshotError::Unfit("chunk")));
        }
        taking.state.extend_from_slice(bytes);
        taking.chunk += 1;
        (taking.ask_at, taking.tries) = (taking.asked_at.plus(CHUNK_MS), 0);
    }

    /// Asks for what the snapshot still lacks; gives it up when its peer says nothing, or when
    /// blocks were quicker.
    pub(super) fn go_on_with_snapshot(&mut self) {
        let now = self.now.tick;
        let Some(taking) = &mut self.snapshots.taking else {
            return;
        };
        if taking.offer.height() < self.round.height {
            self.snapshots.taking = None;
            return;
        }
        let (wait, fetch) = match &taking.lacks {
            Some(set) => (ASK_AGAIN_MS, Fetch::Set(*set)),
            None => {
                let fetch = Fetch::Chunk(taking.offer.height(), taking.chunk);
                (CHUNK_AGAIN_MS, fetch)
            }
        };
        if now < taking.ask_at {
            return;
        }
        if taking.tries >= CHUNK_TRIES && !self.build.lacks(Defect::SnapshotPatience) {
            let from = taking.from;
            return self.give_up_snapshot(from, None); // another peer, or blocks
        }
        taking.tries += 1;
        (taking.asked_at, taking.ask_at) = (now, now.plus(wait));
        let to = match fetch {
            Fetch::Set(_) => Recipients::All,
            _ => Recipients::One(taking.from),
        };
        self.send(to, Message::Fetch(fetch));
    }

    /// Ends a transfer that came to nothing; what was wrong with it, unless nothing came.
    fn give_up_snapshot(&mut self, from: Peer, why: Option<SnapshotError>) {
        self.snapshots.taking = None;
        let again = self.now.tick.plus(SNAPSHOT_PENALTY_MS);
        self.peers.entry(from).or_default().snapshot_after = Some(again);
        if let Some(error) = why {
            self.blame(from, error.into());
        }
    }

    /// When [`Core::go_on_with_snapshot`] may have something to do.
    pub(super) fn snapshot_at(&self) -> Option<Tick> {
        self.snapshots.taking.as_ref().map(|taking| taking.ask_at)
    }

    /// Takes a state over once it is whole, if it is the certified one.
    pub(super) fn try_adopt(&mut self) -> bool {
        let whole = |t: &mut Taking| t.lacks.is_none() && t.chunk >= t.offer.chunks();
        let Some(taking) = self.snapshots.taking.take_if(whole) else {
            return false;
        };
        if taking.offer.height() >= self.round.height {
            self.adopt(taking);
        }
        true
    }

    fn adopt(&mut self, taking: Taking) {
        let Taking {
            from,
            offer,
            mut path,
            state,
            ..
        } = taking;
        let opened = |set: &SetCommitment| self.chain.set(set).cloned();
        let set = path.walk(&self.scheme, &self.build, &offer, opened);
        let below: Vec<_> = self.chain.announcements(Height::GENESIS).cloned().collect();
        let adopted = set.and_then(|set| self.chain.install(&self.build, &offer, &state, set));
        if let Err(error) = adopted {
            return self.give_up_snapshot(from, Some(error));
        }
        let links = below.into_iter().chain(offer.links.iter().cloned());
        let offer = Offer {
            links: links.collect(),
            ..Offer::clone(&offer)
        };
        let state = state.into();
        let snapshot = Arc::new(Snapshot { offer, state });
        if self.config.snapshot_every > 0 {
            self.snapshots.offer(snapshot.clone());
        }
        self.effects.push(Effect::Adopt(snapshot));
        self.seal_last();
        self.pool.prune_all(self.chain.app());
        self.begin_round();
    }
}
