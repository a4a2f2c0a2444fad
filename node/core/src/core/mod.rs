//! The replica as a pure state machine: `step(now, input) -> effects`.
//!
//! No clock, randomness, file, socket or secret key. The shell runs the effects in order: a record
//! is durable before anything is signed after it, so no vote leaves that relies on a record which
//! a crash could take back.

mod normal;
mod pool;
mod requests;
mod restart;
mod round;
mod snapshot;
mod sync;
mod view_change;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_verifier::certificate::CommitCertificate;
use quorate_verifier::primitives::{Digest, Height, View};
use quorate_verifier::set::{SetCommitment, ValidatorSet};
use quorate_verifier::signature::{Signature, VoteKey};

use crate::app::{App, ChangeError};
use crate::ballot::{Ballot, Slot, Step, Unsigned};
use crate::block::FinalBlock;
use crate::chain::{Chain, Refusal, Tip};
use crate::defect::{Build, Defect, Sound};
use crate::evidence::DoubleVote;
use crate::limits::{EVIDENCE_HELD, MARKS_MAX, PENALTY_MS, REQUESTS_PER_RESEND};
use crate::message::{Fetch, Message};
use crate::record::Record;
use crate::request::Request;
use crate::schedule;
use crate::scheme::Scheme;
use crate::snapshot::{Snapshot, SnapshotError};
use crate::time::{Now, Tick, Timing};

pub use pool::PoolError;
pub use restart::Memory;
use restart::Resume;

use normal::Closing;
use pool::Pool;
use requests::Doubts;
use round::{Mode, Round};
use snapshot::Snapshots;
use sync::{Asking, NextBuffer, PeerState};
use watch::Watch;

/// The shell's name for an authenticated link; it says nothing of who may vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer(pub u16);

/// What a replica is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The key whose votes the shell signs; `None` follows the chain without voting.
    pub key: Option<VoteKey>,
    /// Secret from which the salts of proposed payloads come.
    pub salt_key: [u8; 32],
    /// Patience.
    pub timing: Timing,
    /// After so many heights a copy of the state is made for replicas that are far behind; and a
    /// replica that is so many heights behind asks for one. 0 for neither.
    pub snapshot_every: u64,
}

/// What happens to a replica.
#[derive(Clone, Debug)]
pub enum Input {
    /// A decoded message over an authenticated link.
    Message {
        /// The link.
        from: Peer,
        /// What came.
        message: Message,
    },
    /// Requests of clients of this node, and those that peers have passed on: many at once are
    /// cheaper than one after the other, since their signatures are checked together.
    Requests(Vec<(Option<Peer>, Arc<Request>)>),
    /// A signature that was asked for by [`Effect::Sign`].
    Signed(Unsigned, Signature),
    /// A validator set that an operator opened.
    Set(Arc<ValidatorSet>),
    /// Nothing but time.
    Tick,
}

/// Whom a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// Every other replica.
    All,
    /// One link.
    One(Peer),
}

/// What the shell is to do, in order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Append to the vote log; durable before any later [`Effect::Sign`] runs. Nothing else waits
    /// for it: a message that is no vote, and a decision, rely on what a quorum has made durable.
    Persist(Record),
    /// Sign and hand back as [`Input::Signed`].
    Sign(Unsigned),
    /// Send.
    Send {
        /// To whom.
        to: Recipients,
        /// What.
        message: Message,
    },
    /// Step with [`Input::Tick`] at this moment; replaces the last such wish.
    WakeAt(Tick),
    /// A height is final: store its block. The vote log has what a restart needs of it, unless
    /// [`Record::Final`] says otherwise, and must not forget that before the block is stored.
    Decide(Box<Decision>),
    /// The certificate of the height below the last decided one takes no more votes.
    Seal(Height, CommitCertificate),
    /// Send stored final blocks from this height on, within the limits of an answer.
    Serve {
        /// To whom.
        to: Peer,
        /// The first block.
        from: Height,
    },
    /// Keep this state, which the next height has certified, for [`Chain::adopt`] at the next start,
    /// so that not every block is executed again then. An older one may go; the blocks may not.
    Checkpoint(Arc<Snapshot>),
    /// Start from this state from now on, in place of the blocks below it: store it, durable before
    /// any later [`Effect::Sign`] runs, for [`Chain::adopt`] at the next start. The heights below are final,
    /// but this replica neither has their blocks nor decides them. An older one may go.
    Adopt(Arc<Snapshot>),
    /// A request of a local client is not kept.
    Reject(Arc<Request>, PoolError),
    /// A peer broke a rule.
    Blame(Peer, Fault),
    /// A validator signed twice.
    Evidence(Arc<DoubleVote>),
    /// The replica stops and takes no more inputs.
    Halt(Halt),
}

/// A final block and what executing it gave.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The block with the votes at hand; more may come, see [`Effect::Seal`].
    pub block: Arc<FinalBlock>,
    /// One for each request.
    pub outcomes: Vec<Vec<u8>>,
    /// Why a change that the application handed out was not made.
    pub refused_change: Option<ChangeError>,
    /// The chain's end after it.
    pub tip: Tip,
}

/// Which rule a peer broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A signature of the message does not hold.
    #[error("a signature does not hold")]
    Signature,
    /// The signer is no member of the set.
    #[error("the signer is no member of the set")]
    Stranger,
    /// A view change without the certificate that it claims.
    #[error("the view change does not show what it claims")]
    Claim,
    /// A new view that its claims do not justify.
    #[error("the claims do not justify the new view's block")]
    Opening,
    /// A block that may not be prepared.
    #[error(transparent)]
    Block(#[from] Refusal),
    /// Blocks that are not final, or not the next ones.
    #[error("the blocks are not the certified next ones")]
    Blocks,
    /// Something that nobody asked for.
    #[error("nobody asked for this")]
    Unasked,
    /// A snapshot that proves nothing.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A request that may not wait.
    #[error(transparent)]
    Request(#[from] PoolError),
}

/// Why a replica stops.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// A certified header differs from this replica's own execution.
    #[error("execution has diverged: height {} is certified with another {field}", .height.get())]
    Diverged {
        /// The certified height.
        height: Height,
        /// The field that differs.
        field: &'static str,
    },
    /// A message with the own signature that this replica never sent.
    #[error(
        "the key is in use elsewhere, or the disk is old: a vote in {0:?} is not this replica's"
    )]
    OwnKeyElsewhere(Slot),
    /// Two blocks of one height are certified.
    #[error("height {} is certified twice: more than a third of the power is faulty", .0.block.height().get())]
    Fork(Arc<FinalBlock>),
}

/// One replica.
#[derive(Clone, Debug)]
pub struct Core<S, A, B = Sound> {
    scheme: S,
    build: B,
    config: Config,
    chain: Chain<A>,
    round: Round,
    /// The last final block, while its certificate takes late votes.
    closing: Option<Closing>,
    next: NextBuffer,
    pool: Pool,
    doubts: Doubts,
    watch: Watch,
    peers: BTreeMap<Peer, PeerState>,
    asking: Asking,
    snapshots: Snapshots,
    wanted_set: Option<(SetCommitment, Option<Tick>)>,
    resume: Resume,
    /// Records of heights above the chain's end.
    memory: BTreeMap<Height, Vec<Record>>,
    evidence: Vec<Arc<DoubleVote>>,
    halted: bool,
    woken_at: Option<Tick>,
    now: Now,
    effects: Vec<Effect>,
}

impl<S: Scheme, A: App, B: Build> Core<S, A, B> {
    /// Takes one input and answers what is to be done, in order.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Effect> {
        if self.halted {
            return Vec::new();
        }
        self.now = now;
        match input {
            Input::Message { from, message } => self.on_message(from, message),
            Input::Requests(requests) => self.on_requests(requests),
            Input::Signed(Unsigned::Ballot(ballot), signature) => self.on_signed(ballot, signature),
            Input::Signed(Unsigned::Report(body), signature) => {
                self.on_signed_report(body, signature)
            }
            Input::Set(set) => self.open_set(set),
            Input::Tick => {}
        }
        self.advance();
        self.set_alarm();
        std::mem::take(&mut self.effects)
    }

    fn on_message(&mut self, from: Peer, message: Message) {
        if self.ignores(from) {
            return;
        }
        match message {
            Message::Requests(requests) => {
                let from = std::iter::repeat(Some(from));
                self.on_requests(from.zip(requests).collect());
            }
            Message::PrePrepare(proposal) => self.on_pre_prepare(from, proposal),
            Message::Vote(vote) => self.on_vote(from, vote),
            Message::ViewChange(change) => self.on_view_change(from, change),
            Message::Status(height, header) => self.on_status(from, height, header),
            Message::Fetch(Fetch::Blocks(height)) => self.serve(from, height),
            Message::Fetch(Fetch::Block(height, block)) => {
                self.on_fetch_block(from, height, &block)
            }
            Message::Fetch(Fetch::Set(set)) => self.on_fetch_set(from, &set),
            Message::Fetch(Fetch::Snapshot(height)) => self.on_fetch_snapshot(from, height),
            Message::Fetch(Fetch::Chunk(height, chunk)) => self.on_fetch_chunk(from, height, chunk),
            Message::Offer(offer) => self.on_offer(from, offer),
            Message::Chunk(height, chunk, bytes) => self.on_chunk(from, height, chunk, &bytes),
            Message::Blocks(blocks) => self.on_blocks(from, blocks),
            Message::Block(block) => self.on_block(from, block),
            Message::Set(set) => self.on_set(from, &set),
            Message::Probe(nonce) => self.on_probe(from, nonce),
            Message::Report(report) => self.on_report(from, report),
        }
    }

    /// Takes every transition that has become possible; each handler above only notes what came.
    fn advance(&mut self) {
        while !self.halted {
            let moved = self.try_decide()
                || self.try_adopt()
                || self.try_join()
                || self.try_time_out()
                || self.try_propose()
                || self.try_accept()
                || self.try_commit();
            if !moved {
                break;
            }
        }
        if !self.halted {
            self.ask();
            self.resend();
        }
    }

    /// Writes a vote's record and asks for its signature: `docs/consensus.md#slots`.
    fn cast(&mut self, ballot: Ballot, record: Record) {
        let last = self.round.cast.last_key_value().map(|(slot, _)| *slot);
        assert!(
            last.is_none_or(|last| last < ballot.slot) || self.is_broken(),
            "a correct validator's slots only grow"
        );
        self.round.cast.insert(ballot.slot, ballot.choice);
        let sign = Effect::Sign(Unsigned::Ballot(ballot));
        if self.build.lacks(Defect::VoteBeforePersist) {
            self.effects.extend([sign, Effect::Persist(record)]);
        } else {
            self.effects.extend([Effect::Persist(record), sign]);
        }
    }

    /// Whether a defect was put in that lets invariants break.
    fn is_broken(&self) -> bool {
        [Defect::SecondPrepare, Defect::VotesInOldViews]
            .iter()
            .any(|d| self.build.lacks(*d))
    }

    /// The shell has signed a vote: it leaves, and counts here like any other.
    fn on_signed(&mut self, ballot: Ballot, signature: Signature) {
        let Slot { height, view, step } = ballot.slot;
        let cast = self.round.cast.get(&ballot.slot) == Some(&ballot.choice);
        let (true, true, Some(me)) = (height == self.round.height, cast, self.round.me) else {
            return; // the height ended while the signature was made
        };
        let message = match step {
            Step::PrePrepare => self.signed_pre_prepare(view, signature),
            Step::Prepare | Step::Commit => self.signed_vote(ballot, me, signature),
            Step::ViewChange => self.signed_view_change(ballot, me, signature),
        };
        let Some(message) = message else { return };
        self.round.sent.insert(ballot.slot, message.clone());
        self.send(Recipients::All, message);
    }

    /// Sends own messages of the present view again, and the status:
    /// `docs/consensus.md#retransmission`.
    fn resend(&mut self) {
        if self.now.tick < self.round.resend_at || self.build.lacks(Defect::NoResend) {
            return;
        }
        let timing = self.config.timing;
        self.round.resend_ms = (self.round.resend_ms * 2).min(timing.resend_max_ms);
        self.round.resend_at = self.now.tick.plus(self.round.resend_ms);
        self.send(Recipients::All, self.status());
        let view = self.round.view;
        let last_commit = self
            .round
            .sent
            .iter()
            .rev()
            .find(|(s, _)| s.step == Step::Commit);
        let mut again: Vec<_> = last_commit
            .into_iter()
            .filter(|(s, _)| s.view != view)
            .collect();
        again.extend(self.round.sent.iter().filter(|(s, _)| s.view == view));
        let mut again: Vec<_> = again
            .into_iter()
            .map(|(_, message)| message.clone())
            .collect();
        if let Some(nonce) = self.resume.nonce() {
            again.push(Message::Probe(nonce));
        }
        for message in again {
            self.send(Recipients::All, message);
        }
        self.pass_on(self.pool.local(REQUESTS_PER_RESEND));
    }

    fn send(&mut self, to: Recipients, message: Message) {
        self.effects.push(Effect::Send { to, message });
    }

    /// Whether a peer with too many marks is not listened to for now.
    fn ignores(&self, peer: Peer) -> bool {
        let until = self.peers.get(&peer).and_then(|peer| peer.ignored_until);
        until.is_some_and(|until| self.now.tick < until)
    }

    fn blame(&mut self, peer: Peer, fault: Fault) {
        let state = self.peers.entry(peer).or_default();
        state.marks += 1;
        if state.marks >= MARKS_MAX && !self.build.lacks(Defect::NoPenalty) {
            state.marks = 0;
            state.ignored_until = Some(self.now.tick.plus(PENALTY_MS));
        }
        self.effects.push(Effect::Blame(peer, fault));
    }

    /// `docs/consensus.md#evidence`.
    fn accuse(&mut self, proof: DoubleVote) {
        let known = |e: &Arc<DoubleVote>| e.key == proof.key && e.slot == proof.slot;
        if self.build.lacks(Defect::NoEvidence)
            || self.evidence.len() >= EVIDENCE_HELD
            || self.evidence.iter().any(known)
        {
            return;
        }
        let proof = Arc::new(proof);
        self.evidence.push(proof.clone());
        self.effects
            .push(Effect::Persist(Record::Evidence(proof.clone())));
        self.effects.push(Effect::Evidence(proof));
    }

    /// Whether a double vote of a member in this slot is proved already.
    fn is_accused(&self, signer: u16, slot: Slot) -> bool {
        let member = self.round.member(signer);
        member.is_some_and(|m| {
            self.evidence
                .iter()
                .any(|e| e.key == m.key && e.slot == slot)
        })
    }

    fn halt(&mut self, why: Halt) {
        self.halted = true;
        self.effects.push(Effect::Halt(why));
    }

    /// Asks to be woken when the next timer ends, if that has changed.
    fn set_alarm(&mut self) {
        if self.halted {
            return;
        }
        let round = &self.round;
        let timers = [
            self.deadline(),
            Some(round.resend_at),
            self.propose_at(),
            round.judge_at,
            self.ask_at(),
            self.snapshot_at(),
        ];
        // Whatever is due by now had its chance in `advance`.
        let now = self.now.tick;
        let Some(next) = timers.into_iter().flatten().filter(|at| *at > now).min() else {
            return;
        };
        if self.woken_at != Some(next) {
            self.woken_at = Some(next);
            self.effects.push(Effect::WakeAt(next));
        }
    }

    fn verify(&self, signer: u16, ballot: &Ballot, signature: &Signature) -> Result<(), Fault> {
        let member = self.round.member(signer).ok_or(Fault::Stranger)?;
        self.verify_key(&member.key, ballot, signature)
    }

    fn verify_key(
        &self,
        key: &VoteKey,
        ballot: &Ballot,
        signature: &Signature,
    ) -> Result<(), Fault> {
        let bytes = ballot.signed_bytes(&self.signing_context());
        let holds =
            self.build.lacks(Defect::VotesUnchecked) || self.scheme.verify(key, &bytes, signature);
        if holds { Ok(()) } else { Err(Fault::Signature) }
    }

    /// The chain's name in everything that is signed.
    fn signing_context(&self) -> Digest {
        if self.build.lacks(Defect::ChainUnbound) {
            return Digest::ZERO;
        }
        self.chain.genesis_digest()
    }

    fn primary(&self, view: View) -> u16 {
        schedule::primary(&self.round.set, self.round.height, view)
    }

    fn is_primary(&self, view: View) -> bool {
        self.round.me == Some(self.primary(view))
    }
}

/// What operators and tests may see.
impl<S, A, B> Core<S, A, B> {
    /// The final chain.
    pub fn chain(&self) -> &Chain<A> {
        &self.chain
    }

    /// The height in flight.
    pub fn height(&self) -> Height {
        self.round.height
    }

    /// The view in which the replica is, or for which it has asked.
    pub fn view(&self) -> View {
        self.round.view
    }

    /// Whether it has asked for its view and waits for the new primary.
    pub fn is_changing(&self) -> bool {
        self.round.mode == Mode::Changing
    }

    /// Proofs of double votes.
    pub fn evidence(&self) -> &[Arc<DoubleVote>] {
        &self.evidence
    }

    /// Commit votes that the last final height's certificate has by now; none when this replica
    /// has not decided that height since its start.
    pub fn last_votes(&self) -> Option<usize> {
        self.closing.as_ref().map(Closing::votes)
    }

    /// Whether it has stopped.
    pub fn is_halted(&self) -> bool {
        self.halted
    }

    /// Requests that wait.
    pub fn pending(&self) -> usize {
        self.pool.len()
    }

    /// Messages that are kept for the next height, and votes and blocks of this one.
    pub fn held(&self) -> Held {
        let round = &self.round;
        Held {
            next: self.next.len(),
            prepares: round.prepares.len(),
            commits: round.commits.len(),
            changes: round.changes.len(),
            blocks: round.blocks.len(),
            requests: self.pool.len(),
            snapshot: self.snapshots.bytes_taken(),
        }
    }
}

/// What a replica holds because of others; each is bounded in [`crate::limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Messages for the next height.
    pub next: usize,
    /// Views with prepares.
    pub prepares: usize,
    /// Views and blocks with commits.
    pub commits: usize,
    /// View changes.
    pub changes: usize,
    /// Blocks of the height in flight.
    pub blocks: usize,
    /// Waiting requests.
    pub requests: usize,
    /// Bytes of a state that a peer is serving.
    pub snapshot: usize,
}
