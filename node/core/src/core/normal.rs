//! The normal case: propose, pre-prepare, prepare, commit, decide.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_verifier::certificate::{CommitCertificate, CommitVote};
use quorate_verifier::header::Header;
use quorate_verifier::primitives::{Digest, Height, TimeMs, View};
use quorate_verifier::set::ValidatorSet;
use quorate_verifier::signature::Signature;

use super::round::{Mode, Proposal, Proposing};
use super::{Core, Decision, Effect, Fault, Halt, Peer, PoolError};
use crate::app::App;
use crate::ballot::{Ballot, Choice, Slot, Step};
use crate::block::{Block, FinalBlock};
use crate::chain::Refusal;
use crate::defect::{Build, Defect};
use crate::evidence::DoubleVote;
use crate::limits::{CLOCK_DRIFT_MS, LATE_MS, UNSEEN_COMMITS, VIEWS_AHEAD, VIEWS_BEHIND};
use crate::message::{Message, Opening, PrePrepare, Prepared, Vote};
use crate::quorum::{Tally, is_quorum};
use crate::record::Record;
use crate::request::{Payload, payload_salt};
use crate::scheme::Scheme;
use crate::time::Tick;

/// The last final block, while its certificate takes late votes: `docs/consensus.md#late-votes`.
#[derive(Clone, Debug)]
pub(super) struct Closing {
    height: Height,
    view: View,
    block: Digest,
    set: Arc<ValidatorSet>,
    tally: Tally,
    headers: BTreeMap<Digest, Header>,
}

impl Closing {
    fn certificate(&self) -> CommitCertificate {
        certificate_of(self.block, self.view, &self.tally)
    }

    pub(super) fn votes(&self) -> usize {
        self.tally.votes().count()
    }
}

fn certificate_of(block: Digest, view: View, tally: &Tally) -> CommitCertificate {
    let votes = tally
        .votes()
        .map(|(index, signature)| CommitVote { index, signature })
        .collect();
    CommitCertificate::new(block, view, votes).expect("a tally has each signer once, in order")
}

impl<S: Scheme, A: App, B: Build> Core<S, A, B> {
    /// When the primary of view 0 is to propose: `docs/consensus.md#propose`.
    pub(super) fn due(&self) -> Tick {
        let interval = u64::from(self.chain.tip().parameters.block_interval_ms);
        let quiet = self
            .round
            .entered
            .plus(self.config.timing.idle_ms.max(interval));
        if self.pool.is_empty() {
            return quiet;
        }
        self.round
            .entered
            .plus(interval)
            .max(self.pool.since())
            .min(quiet)
    }

    /// The timer of an own proposal in view 0.
    pub(super) fn propose_at(&self) -> Option<Tick> {
        let waits = self.round.view == View::FIRST
            && self.round.mode == Mode::Active
            && self.round.proposing.is_none()
            && self.round.proposal.is_none();
        (waits && self.may_vote() && self.is_primary(View::FIRST)).then(|| self.due())
    }

    /// `docs/consensus.md#propose` and, in later views, `#new-view`.
    pub(super) fn try_propose(&mut self) -> bool {
        let view = self.round.view;
        let slot = Slot {
            height: self.round.height,
            view,
            step: Step::PrePrepare,
        };
        let idle = !self.may_vote()
            || !self.is_primary(view)
            || self.round.cast.contains_key(&slot)
            || self.round.proposal.is_some();
        if idle || !self.next_set_is_open() {
            return false;
        }
        let (block, opening) = if view == View::FIRST {
            if self.round.mode != Mode::Active || self.now.tick < self.due() {
                return false;
            }
            (self.new_block(), None)
        } else {
            let Some(opening) = self.opening() else {
                return false;
            };
            let block = match &opening.proof {
                Some(proof) if !self.build.lacks(Defect::OpeningIgnored) => {
                    let Some(block) = self.round.block(&proof.block) else {
                        let block = proof.block;
                        self.want_block(block);
                        return false;
                    };
                    block.clone()
                }
                _ => self.new_block(),
            };
            (block, Some(Arc::new(opening)))
        };
        self.propose(view, block, opening);
        true
    }

    fn propose(&mut self, view: View, block: Arc<Block>, opening: Option<Arc<Opening>>) {
        self.store(&block);
        let ballot = Ballot::block(Step::PrePrepare, self.round.height, view, block.digest());
        self.round.proposing = Some(Proposing {
            view,
            block: block.clone(),
            opening: opening.clone(),
        });
        let is_new = opening.is_none();
        self.cast(
            ballot,
            Record::Vote {
                ballot,
                prepared: None,
                opening,
            },
        );
        // Both votes become durable, and are signed, together. A block that its own maker would
        // have to wait with is judged again when the pre-prepare is signed.
        if is_new && self.may_prepare(&block, Some(self.now.wall)).is_ok() {
            self.accept(block);
        }
    }

    /// `docs/consensus.md#header`.
    fn may_prepare(&self, block: &Block, wall: Option<TimeMs>) -> Result<(), Refusal> {
        let vouched = |request: &_| self.pool.vouches(request);
        self.chain
            .judge(&self.scheme, &self.build, block, wall, vouched)
    }

    fn new_block(&self) -> Arc<Block> {
        let tip = self.chain.tip();
        let limits = &tip.parameters.limits;
        let requests = self.pool.batch(self.chain.app(), self.round.height, limits);
        let salt = payload_salt(&self.config.salt_key, &tip.digest, self.round.view.get());
        let payload = Payload { salt, requests };
        let after_parent = tip.header.time.checked_add_ms(1);
        let time = after_parent.map_or(tip.header.time, |least: TimeMs| least.max(self.now.wall));
        Block::make(payload, |root| self.chain.next_header(time, root))
    }

    /// Makes the block's record, once.
    fn store(&mut self, block: &Arc<Block>) {
        if self.round.stored.insert(block.digest()) {
            self.effects
                .push(Effect::Persist(Record::Block(block.clone())));
        }
    }

    pub(super) fn signed_pre_prepare(
        &mut self,
        view: View,
        signature: Signature,
    ) -> Option<Message> {
        let Proposing { block, opening, .. } =
            self.round.proposing.take().filter(|p| p.view == view)?;
        let message = Arc::new(PrePrepare {
            view,
            block,
            opening,
            signature,
        });
        if view == self.round.view && self.round.proposal.is_none() {
            self.take_proposal(None, message.clone());
        }
        Some(Message::PrePrepare(message))
    }

    /// `docs/consensus.md#pre-prepare`.
    pub(super) fn on_pre_prepare(&mut self, from: Peer, message: Arc<PrePrepare>) {
        match message.block.height().cmp(&self.round.height) {
            Ordering::Less => return self.serve(from, message.block.height()),
            Ordering::Greater => return self.keep_for_next(from, Message::PrePrepare(message)),
            Ordering::Equal => {}
        }
        let (view, digest) = (message.view, message.block.digest());
        if view < self.round.view {
            return; // that view was left
        }
        if view == self.round.view && self.round.mode == Mode::Active {
            if self
                .round
                .accepted
                .is_some_and(|accepted| accepted != digest)
                && self.round.proposal.is_none()
            {
                return; // another block was accepted before a restart
            }
            if let Some(first) = &self.round.proposal {
                if first.message.block.digest() != digest {
                    let first = first.message.clone();
                    self.second_pre_prepare(from, &first, message);
                }
                return; // this view has its proposal
            }
        }
        let primary = self.primary(view);
        if let Err(fault) = self.verify(primary, &message.ballot(), &message.signature) {
            return self.blame(from, fault);
        }
        if self.is_own_elsewhere(primary, &message.ballot()) {
            return;
        }
        if view > View::FIRST
            && let Err(fault) = self.check_opening(&message)
        {
            return self.blame(from, fault);
        }
        self.take_proposal(Some(from), message);
    }

    /// Enters the proposal's view, if need be, and keeps it to be judged.
    fn take_proposal(&mut self, from: Option<Peer>, message: Arc<PrePrepare>) {
        let (view, timing) = (message.view, self.config.timing);
        if view > self.round.view || self.round.mode == Mode::Changing {
            self.round
                .move_to(view, Mode::Active, self.now.tick, timing.resend_ms);
            self.round.deadline = Some(self.now.tick.plus(self.view_length(view)));
        }
        self.round.note_header(&message.block);
        self.round.proposed = Some(self.now.tick);
        self.round.proposal = Some(Proposal {
            from,
            message,
            refused: false,
        });
    }

    fn second_pre_prepare(&mut self, from: Peer, first: &PrePrepare, second: Arc<PrePrepare>) {
        let primary = self.primary(second.view);
        if self.is_accused(primary, second.ballot().slot)
            && !self.build.lacks(Defect::SecondPrepare)
        {
            return;
        }
        if let Err(fault) = self.verify(primary, &second.ballot(), &second.signature) {
            return self.blame(from, fault);
        }
        let ballot = second.ballot();
        self.round.note_header(&second.block);
        self.accuse_member(
            primary,
            ballot.slot,
            &first.ballot(),
            first.signature,
            &ballot,
            second.signature,
        );
        if self.build.lacks(Defect::SecondPrepare) {
            self.round.accepted = None;
            self.round.proposal = Some(Proposal {
                from: Some(from),
                message: second,
                refused: false,
            });
        }
    }

    fn accuse_member(
        &mut self,
        signer: u16,
        slot: Slot,
        first: &Ballot,
        first_signature: Signature,
        second: &Ballot,
        second_signature: Signature,
    ) {
        let Some(member) = self.round.member(signer) else {
            return;
        };
        let headers = match (slot.step, first.choice, second.choice) {
            (Step::Commit, Choice::Block(a), Choice::Block(b)) => {
                let headers = &self.round.headers;
                let (Some(a), Some(b)) = (headers.get(&a), headers.get(&b)) else {
                    return;
                };
                Some(Box::new((a.clone(), b.clone())))
            }
            _ => None,
        };
        let proof = DoubleVote {
            key: member.key.clone(),
            slot,
            first: (first.choice, first_signature),
            second: (second.choice, second_signature),
            headers,
        };
        self.accuse(proof);
    }

    /// Judges the view's proposal: `docs/consensus.md#header`.
    pub(super) fn try_accept(&mut self) -> bool {
        let waits = self.round.judge_at.is_some_and(|at| self.now.tick < at);
        if waits || self.round.accepted.is_some() || !self.next_set_is_open() {
            return false;
        }
        let Some(proposal) = self.round.proposal.as_ref().filter(|p| !p.refused) else {
            return false;
        };
        let carried = proposal
            .message
            .opening
            .as_ref()
            .is_some_and(|o| o.proof.is_some());
        let wall = (!carried).then_some(self.now.wall);
        let (block, from) = (proposal.message.block.clone(), proposal.from);
        match self.may_prepare(&block, wall) {
            Ok(()) => self.accept(block),
            Err(Refusal::Early { ahead_ms }) => {
                let wait = (ahead_ms - CLOCK_DRIFT_MS).max(1);
                self.round.judge_at = Some(self.now.tick.plus(wait));
                return false;
            }
            Err(refusal) => {
                if let Some(proposal) = &mut self.round.proposal {
                    proposal.refused = true;
                }
                if let Some(from) = from {
                    self.on_refused(from, refusal);
                }
            }
        }
        true
    }

    fn on_refused(&mut self, from: Peer, refusal: Refusal) {
        if refusal == Refusal::Field("parent") {
            self.ask_for_other(from, self.chain.tip().header.height);
        }
        self.blame(from, refusal.into());
    }

    fn accept(&mut self, block: Arc<Block>) {
        let (height, view, digest) = (self.round.height, self.round.view, block.digest());
        self.round.accepted = Some(digest);
        self.round.hold(block.clone());
        let ballot = Ballot::block(Step::Prepare, height, view, digest);
        let voted = self.round.cast.contains_key(&ballot.slot);
        if !self.may_vote() || voted && !self.build.lacks(Defect::SecondPrepare) {
            return;
        }
        self.store(&block);
        self.cast(
            ballot,
            Record::Vote {
                ballot,
                prepared: None,
                opening: None,
            },
        );
    }

    pub(super) fn signed_vote(
        &mut self,
        ballot: Ballot,
        me: u16,
        signature: Signature,
    ) -> Option<Message> {
        let Slot { height, view, step } = ballot.slot;
        let Choice::Block(block) = ballot.choice else {
            return None;
        };
        let vote = Vote {
            step,
            height,
            view,
            block,
            signer: me,
            signature,
        };
        self.count(&vote);
        Some(Message::Vote(vote))
    }

    /// `docs/consensus.md#prepare` and `#commit`: one vote of one validator.
    pub(super) fn on_vote(&mut self, from: Peer, vote: Vote) {
        match vote.height.cmp(&self.round.height) {
            Ordering::Less => return self.on_late_vote(from, &vote),
            Ordering::Greater => return self.keep_for_next(from, Message::Vote(vote)),
            Ordering::Equal => {}
        }
        let (view, own) = (vote.view.get(), self.round.view.get());
        let far = view.saturating_add(VIEWS_BEHIND) < own || view > own.saturating_add(VIEWS_AHEAD);
        if far && !self.build.lacks(Defect::WindowUnbounded) {
            return; // too far from the present view
        }
        let news = match vote.step {
            Step::Prepare => self.is_new_prepare(from, &vote),
            _ => self.is_new_commit(&vote),
        };
        if !news && !self.build.lacks(Defect::DuplicateCounted) {
            return;
        }
        if let Err(fault) = self.verify(vote.signer, &vote.ballot(), &vote.signature) {
            return self.blame(from, fault);
        }
        if self.is_own_elsewhere(vote.signer, &vote.ballot()) {
            return;
        }
        self.count(&vote);
    }

    /// Whether the signer has not been counted in this view; another choice is evidence.
    fn is_new_prepare(&mut self, from: Peer, vote: &Vote) -> bool {
        let made = self
            .round
            .prepares
            .get(&vote.view)
            .and_then(|v| v.choice(vote.signer));
        let Some((block, signature)) = made else {
            return true;
        };
        if block != vote.block && !self.is_accused(vote.signer, vote.ballot().slot) {
            if let Err(fault) = self.verify(vote.signer, &vote.ballot(), &vote.signature) {
                self.blame(from, fault);
                return false;
            }
            let first = Ballot::block(Step::Prepare, vote.height, vote.view, block);
            let (slot, second) = (first.slot, vote.ballot());
            self.accuse_member(
                vote.signer,
                slot,
                &first,
                signature,
                &second,
                vote.signature,
            );
        }
        false
    }

    /// Whether the vote is to be counted. A commit names its height through its block only: one
    /// for an unseen block may be an old vote with a new label, so few of them are kept and they
    /// never keep out a vote for a seen block.
    fn is_new_commit(&self, vote: &Vote) -> bool {
        let round = &self.round;
        if round
            .commits
            .get(&(vote.view, vote.block))
            .is_some_and(|t| t.has(vote.signer))
        {
            return false;
        }
        let of_signer = |seen: bool| {
            let votes = round.commits.range((vote.view, Digest::ZERO)..);
            votes
                .take_while(|((view, _), _)| *view == vote.view)
                .filter(|((_, block), tally)| {
                    tally.has(vote.signer) && round.block(block).is_some() == seen
                })
                .count()
        };
        if self.build.lacks(Defect::UnseenCrowds) {
            return of_signer(false) + of_signer(true) == 0;
        }
        if let Some(closing) = &self.closing
            && closing.block == vote.block
        {
            return false; // the last height's, with a new label
        }
        round.block(&vote.block).is_some() || of_signer(false) < UNSEEN_COMMITS
    }

    /// Counts a checked vote of the height in flight.
    fn count(&mut self, vote: &Vote) {
        let Some(member) = self.round.set.get(vote.signer) else {
            return;
        };
        let power = member.power;
        let (signer, block, signature) = (vote.signer, vote.block, vote.signature);
        match vote.step {
            Step::Prepare => {
                let view = self.round.prepares.entry(vote.view).or_default();
                view.add(&self.build, signer, power, block, signature);
            }
            _ => {
                let tally = self.round.commits.entry((vote.view, block)).or_default();
                tally.add(&self.build, signer, power, signature);
                self.look_for_double_commit(vote);
            }
        }
    }

    fn look_for_double_commit(&mut self, vote: &Vote) {
        let headers = &self.round.headers;
        let other = self
            .round
            .commits
            .iter()
            .find_map(|((view, block), tally)| {
                let differs = *view == vote.view && *block != vote.block;
                let at_this_height =
                    headers.contains_key(block) && headers.contains_key(&vote.block);
                let signature = tally.get(vote.signer)?;
                (differs && at_this_height).then_some((*block, *signature))
            });
        if let Some((block, signature)) = other {
            let first = Ballot::block(Step::Commit, vote.height, vote.view, block);
            let (slot, second) = (first.slot, vote.ballot());
            self.accuse_member(
                vote.signer,
                slot,
                &first,
                signature,
                &second,
                vote.signature,
            );
        }
    }

    /// Stops if a checked message of the own key was never sent by this replica.
    pub(super) fn is_own_elsewhere(&mut self, signer: u16, ballot: &Ballot) -> bool {
        if self.round.me != Some(signer) || self.build.lacks(Defect::OwnVoteIgnored) {
            return false;
        }
        if self.round.cast.get(&ballot.slot) == Some(&ballot.choice) || !self.may_vote() {
            return true; // an echo, or a vote from before the log was lost
        }
        if let (Step::Commit, Choice::Block(block)) = (ballot.slot.step, ballot.choice)
            && !self.round.headers.contains_key(&block)
        {
            return true; // perhaps an own old commit with a new label
        }
        self.halt(Halt::OwnKeyElsewhere(ballot.slot));
        true
    }

    /// `docs/consensus.md#prepare`: commits to the accepted block once a quorum has prepared it.
    pub(super) fn try_commit(&mut self) -> bool {
        let (height, mut view) = (self.round.height, self.round.view);
        let mut block = self
            .round
            .accepted
            .filter(|_| self.round.mode == Mode::Active);
        if self.build.lacks(Defect::VotesInOldViews)
            && block.is_none()
            && let Some((old_view, old_block)) = self.round.left
        {
            (view, block) = (old_view, Some(old_block));
        }
        let Some(block) = block else { return false };
        let ballot = Ballot::block(Step::Commit, height, view, block);
        if !self.may_vote() || self.round.cast.contains_key(&ballot.slot) {
            return false;
        }
        let tally = self.round.prepares.get(&view).and_then(|v| v.tally(&block));
        let power = tally.map_or(quorate_verifier::primitives::Power::ZERO, Tally::power);
        let holds = is_quorum(&self.build, self.round.rule, power, self.round.set.total());
        if !holds && !self.build.lacks(Defect::CommitUnprepared) {
            return false;
        }
        let votes = tally.map(|t| t.votes().collect()).unwrap_or_default();
        let prepared = Arc::new(Prepared { view, block, votes });
        self.round.proven.insert((view, block), prepared.clone());
        self.round.prepared = Some(prepared.clone());
        self.cast(
            ballot,
            Record::Vote {
                ballot,
                prepared: Some(prepared),
                opening: None,
            },
        );
        true
    }

    /// `docs/consensus.md#commit`: a quorum of commits in any view makes the height final.
    pub(super) fn try_decide(&mut self) -> bool {
        let round = &self.round;
        let total = round.set.total();
        let decided = round.commits.iter().find_map(|((view, block), tally)| {
            is_quorum(&self.build, round.rule, tally.power(), total).then_some((*view, *block))
        });
        let Some((view, digest)) = decided else {
            return false;
        };
        let Some(block) = self.round.block(&digest).cloned() else {
            self.want_block(digest);
            return false;
        };
        if !self.next_set_is_open() {
            return false;
        }
        let tally = self
            .round
            .commits
            .get(&(view, digest))
            .cloned()
            .unwrap_or_default();
        self.round.note_header(&block);
        self.decide(block, view, tally);
        true
    }

    /// `docs/consensus.md#decide`.
    pub(super) fn decide(&mut self, block: Arc<Block>, view: View, tally: Tally) {
        let certificate = certificate_of(block.digest(), view, &tally);
        let block = Arc::new(FinalBlock { block, certificate });
        let record = if self.round.stored.contains(&block.block.digest()) {
            Record::Certificate(block.block.height(), block.certificate.clone())
        } else {
            Record::Final(block.clone())
        };
        if !self.build.lacks(Defect::DecisionUnlogged) {
            self.effects.push(Effect::Persist(record));
        }
        self.seal_last();
        self.note_turn(view);
        let (outcomes, refused_change) = self.chain.execute(&self.scheme, &self.build, &block);
        self.take_snapshot(&block);
        let clients = block.block.payload().requests.iter().map(|r| r.client);
        self.pool.prune(self.chain.app(), clients);
        for request in self.pool.expel(self.chain.app()) {
            let why = self.chain.app().admit(&request).err().unwrap_or_default();
            let error = PoolError::NotAdmitted(why);
            self.effects.push(Effect::Reject(request, error));
        }
        self.closing = Some(Closing {
            height: self.round.height,
            view,
            block: block.block.digest(),
            set: self.round.set.clone(),
            tally,
            headers: std::mem::take(&mut self.round.headers),
        });
        let tip = self.chain.tip().clone();
        let decision = Decision {
            block,
            outcomes,
            refused_change,
            tip,
        };
        self.effects.push(Effect::Decide(Box::new(decision)));
        self.begin_round();
    }

    /// The last height's certificate takes no more votes.
    pub(super) fn seal_last(&mut self) {
        if let Some(closing) = self.closing.take() {
            self.effects
                .push(Effect::Seal(closing.height, closing.certificate()));
        }
    }

    /// How long the deciding view took, and whether the first primary had its block through.
    fn note_turn(&mut self, view: View) {
        let start = if self.round.view == View::FIRST {
            self.due()
        } else {
            self.round.view_entered
        };
        let start = self
            .round
            .proposed
            .map_or(start, |proposed| proposed.min(start));
        let took = self.now.tick.since(start);
        let first = self.primary(View::FIRST);
        if let Some(member) = self.round.set.get(first) {
            self.watch
                .note(&member.key, view == View::FIRST, took, &self.config.timing);
        }
    }

    /// A vote for a height that this replica has finished: `docs/consensus.md#late-votes`.
    fn on_late_vote(&mut self, from: Peer, vote: &Vote) {
        if let Some(closing) = &self.closing {
            let same_slot = (closing.height, closing.view) == (vote.height, vote.view);
            if same_slot && vote.step == Step::Commit && !self.build.lacks(Defect::LateDropped) {
                return self.add_late_vote(from, vote);
            }
            // The commits that ended the height are on their way to whoever still prepares.
            let ended = self.now.tick.since(self.round.entered);
            let late = closing.height == vote.height && vote.step == Step::Prepare;
            if late && ended < LATE_MS {
                return;
            }
        }
        self.serve(from, vote.height);
    }

    fn add_late_vote(&mut self, from: Peer, vote: &Vote) {
        let Some(closing) = &self.closing else { return };
        let counted = closing.tally.get(vote.signer).copied();
        if closing.block == vote.block && counted.is_some() {
            return;
        }
        let Some(member) = closing.set.get(vote.signer) else {
            return self.blame(from, Fault::Stranger);
        };
        let (key, power) = (member.key.clone(), member.power);
        if let Err(fault) = self.verify_key(&key, &vote.ballot(), &vote.signature) {
            return self.blame(from, fault);
        }
        let Some(closing) = &mut self.closing else {
            return;
        };
        if closing.block == vote.block {
            return closing
                .tally
                .add(&self.build, vote.signer, power, vote.signature);
        }
        let headers = (
            closing.headers.get(&closing.block),
            closing.headers.get(&vote.block),
        );
        if let (Some(signature), (Some(a), Some(b))) = (counted, headers) {
            let proof = DoubleVote {
                key,
                slot: vote.ballot().slot,
                first: (Choice::Block(closing.block), signature),
                second: (Choice::Block(vote.block), vote.signature),
                headers: Some(Box::new((a.clone(), b.clone()))),
            };
            self.accuse(proof);
        }
    }
}
