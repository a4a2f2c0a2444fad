//! The one owner of the core. It runs on a thread of its own: it takes what has come in, steps the
//! core through all of it, writes every record, makes them durable with one sync of each file, and
//! only then signs and sends. So no vote leaves before its record is on the medium, and a busy
//! node pays for one sync where it would have paid for many.

use std::collections::VecDeque;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use quorate_pbft::app::App;
use quorate_pbft::ballot::{Ballot, Choice, Slot, Step, Unsigned};
use quorate_pbft::block::FinalBlock;
use quorate_pbft::chain::{Chain, GenesisError};
use quorate_pbft::defect::Sound;
use quorate_pbft::evidence::{DoubleVote, culprits};
use quorate_pbft::limits::{ANSWER_BYTES, BLOCKS_PER_ANSWER, RECENT_HEADERS};
use quorate_pbft::log::{LogError, RecordLog, Storage};
use quorate_pbft::message::Message;
use quorate_pbft::record::Record;
use quorate_pbft::request::{ClientKey, Request};
use quorate_pbft::schedule;
use quorate_pbft::scheme::{Ed25519, Scheme};
use quorate_pbft::snapshot::Snapshot;
use quorate_pbft::time::{Now, Tick};
use quorate_pbft::{
    Config, Core, Decision, Effect, Halt, Input, Memory, Peer, PoolError, Recipients,
};
use quorate_verifier::certificate::CommitCertificate;
use quorate_verifier::encoding::Canonical;
use quorate_verifier::file::FileType;
use quorate_verifier::genesis::Genesis;
use quorate_verifier::json;
use quorate_verifier::primitives::{Digest, Height, TimeMs};
use quorate_verifier::set::ValidatorSet;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tracing::{debug, error, info, warn};

use super::clients::{Answer, Outcome};
use super::hold::Hold;
use super::metrics::Figures;
use super::outbox::{Frame, Lane};
use super::signer::{Past, Refused, Signer, SignerError};
use super::status::{CertificateStatus, Progress, Status};
use super::store::{Entry, Store, StoreError, request_digest};
use super::tls::NetworkKey;
use super::transport::Links;

/// Events that are taken in before the files are synced.
const BATCH: usize = 256;
/// The vote log's files are closed when they have more than this, in bytes.
const SEGMENT_BYTES: usize = 4 << 20;
/// Requests whose outcome somebody waits for.
const WAITERS_MAX: usize = 1 << 16;

/// What comes to the driver.
#[derive(Debug)]
pub enum Event {
    /// A peer's message, with its share of the inbox, which is free again afterwards.
    Message {
        /// The link.
        from: Peer,
        /// What came.
        message: Message,
        /// Its share.
        budget: OwnedSemaphorePermit,
    },
    /// A client's request.
    Submit {
        /// What it asks.
        request: Arc<Request>,
        /// Where the outcome goes.
        answer: mpsc::Sender<Answer>,
    },
    /// The sequence of a client's last executed request.
    Sequence {
        /// Whose.
        client: ClientKey,
        /// `None` if the application does not know the client.
        answer: oneshot::Sender<Option<u64>>,
    },
    /// A machine says that another one has connected to it with this one's network key.
    Elsewhere {
        /// Who says so.
        told_by: Peer,
    },
    /// The node is to stop.
    Stop,
}

/// Why a node stopped.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// It was asked to.
    #[error("it was asked to stop")]
    Asked,
    /// The vote log failed.
    #[error("vote log: {0}")]
    Log(String),
    /// The vote log lost something that was durable.
    #[error(
        "vote log: {0}; the disk has lost what a vote may rely on. Move the data directory away and \
         start again: the node rejoins without voting until that is safe"
    )]
    Damaged(String),
    /// The block store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The signer failed.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// Another vote than the recorded one was to be signed.
    #[error("the signer refuses a vote in {0:?}: another one was signed there")]
    Conflict(Slot),
    /// The evidence could not be written.
    #[error("evidence: {0}")]
    Evidence(std::io::Error),
    /// The core stopped.
    #[error(transparent)]
    Halted(Halt),
    /// A vote with the own key that this disk knows nothing of.
    #[error(
        "a vote of the consensus key {key} at height {} was seen that this disk never made: the \
         key is in use elsewhere, or the disk is an old copy. If it is an old copy, move the data \
         directory away and start again: the node rejoins without voting until that is safe",
        .slot.height.get()
    )]
    KeyElsewhere {
        /// The own consensus key, in hex.
        key: String,
        /// Where the vote was.
        slot: Slot,
    },
    /// Machines with more than a third of the power, so a correct one among them, have said that
    /// another machine has connected to them with the own network key.
    #[error(
        "another machine has connected to {told_by} with this machine's network key {network_key}: \
         the keys of {name} (consensus key {key}) are in use on two machines. Find the other one \
         before this one is started again"
    )]
    SecondMachine {
        /// This machine.
        name: String,
        /// The own consensus key, in hex.
        key: String,
        /// The own network key.
        network_key: NetworkKey,
        /// Who said so.
        told_by: String,
    },
    /// Documents, application and stored blocks do not fit each other.
    #[error("{0}")]
    Start(String),
}

impl Stop {
    /// Whether it shows somebody faulty or a key abused, and not merely a machine in trouble.
    pub fn is_incident(&self) -> bool {
        let abuse = matches!(
            self,
            Self::KeyElsewhere { .. } | Self::SecondMachine { .. } | Self::Conflict(_)
        );
        abuse || matches!(self, Self::Halted(_))
    }
}

impl From<GenesisError> for Stop {
    fn from(error: GenesisError) -> Self {
        Self::Start(error.to_string())
    }
}

impl<E: std::error::Error + 'static> From<LogError<E>> for Stop {
    fn from(error: LogError<E>) -> Self {
        match error {
            LogError::Device(error) => Self::Log(error.to_string()),
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// Everything that a driver starts from.
pub struct Parts<A, D> {
    /// The chain's document.
    pub genesis: Genesis,
    /// The founding set.
    pub set: Arc<ValidatorSet>,
    /// Sets that the operator has opened.
    pub sets: Vec<Arc<ValidatorSet>>,
    /// The application before the first block.
    pub app: A,
    /// What the core is told. Its key is taken from the signer.
    pub config: Config,
    /// The vote log's directory.
    pub disk: D,
    /// Blocks.
    pub store: Store,
    /// Votes.
    pub signer: Box<dyn Signer>,
    /// Links.
    pub links: Arc<Links>,
    /// Figures.
    pub figures: Arc<Figures>,
    /// Where evidence goes.
    pub evidence: PathBuf,
    /// Told after every batch.
    pub progress: watch::Sender<Option<Progress>>,
}

struct Waiter {
    digest: Digest,
    answer: mpsc::Sender<Answer>,
}

/// The core with everything that its effects need.
pub struct Driver<A, D> {
    core: Core<Ed25519, A, Sound>,
    log: RecordLog,
    disk: D,
    store: Store,
    signer: Box<dyn Signer>,
    chain: Digest,
    links: Arc<Links>,
    figures: Arc<Figures>,
    evidence: PathBuf,
    progress: watch::Sender<Option<Progress>>,
    handle: Handle,
    started: Instant,
    wake: Option<Tick>,
    hold: Hold,
    /// Entries for the store, and effects that wait until everything before them is durable.
    staged: Vec<Entry>,
    pending: VecDeque<Effect>,
    waiters: BTreeMap<(ClientKey, u64), Vec<Waiter>>,
    waiting: usize,
    certificate: Option<CertificateStatus>,
    /// Who has said that the own keys are in use on another machine.
    told_by: BTreeSet<Peer>,
}

/// The chain as the store has it: the last certified state, and the blocks above it executed
/// again. Without such a state, or if what is stored as one is not the certified one, all blocks.
fn replay<A: App>(
    genesis: &Genesis,
    set: Arc<ValidatorSet>,
    app: A,
    store: &Store,
) -> Result<(Chain<A>, Option<Arc<Snapshot>>), Stop> {
    let mut chain = Chain::genesis(genesis, set, app)?;
    let mut from = store.snapshot()?.map(Arc::new);
    if let Some(snapshot) = &from {
        let sets = store.sets()?.into_iter().map(Arc::new);
        sets.for_each(|set| chain.open_set(set));
        if let Err(error) = chain.adopt(&Ed25519, &Sound, snapshot) {
            if store.block(chain.next_height())?.is_none() {
                return Err(Stop::Start(format!(
                    "the stored state is not the certified one ({error}), and the blocks below it \
                     are not here: move the data directory away and start again"
                )));
            }
            warn!("the stored state is not used: {error}; all blocks are executed again");
            from = None;
        }
    }
    remember_below(&mut chain, store)?;
    let last = store.last_height()?.unwrap_or(Height::GENESIS);
    let open = |chain: &mut Chain<A>, commitment| -> Result<(), Stop> {
        if chain.set(&commitment).is_none()
            && let Some(set) = store.set(&commitment)?
        {
            chain.open_set(Arc::new(set));
        }
        Ok(())
    };
    while chain.tip().header.height < last {
        let height = chain.next_height();
        let wrong = |what: &str| Stop::Start(format!("height {}: {what}", height.get()));
        let stored = store.block(height)?;
        let block = stored.ok_or_else(|| wrong("the stored blocks have a gap"))?;
        let (header, tip) = (block.block.header(), chain.tip());
        if header.parent != tip.digest {
            return Err(wrong("the stored block does not follow the one before"));
        }
        if (header.state_root, header.outcomes_root) != (tip.state_root, tip.outcomes_root) {
            return Err(wrong(
                "executing the stored blocks again gives another state than the one that was \
                 agreed: this program, or this machine, computes something else",
            ));
        }
        let next = header.next_validators;
        open(&mut chain, next)?;
        if chain.set(&next).is_none() {
            return Err(wrong("the set that signs the next height was not kept"));
        }
        chain.execute(&Ed25519, &Sound, &block);
    }
    let named = chain.tip().next;
    open(&mut chain, named)?;
    Ok((chain, from))
}

/// Headers below a state that was taken up, as far as their blocks are here: to see forks there.
fn remember_below<A: App>(chain: &mut Chain<A>, store: &Store) -> Result<(), StoreError> {
    let mut child = chain.tip().header.clone();
    for _ in 1..RECENT_HEADERS {
        let below = child.height.get().checked_sub(1).map(Height::new);
        let Some(block) = below.map(|h| store.block(h)).transpose()?.flatten() else {
            break;
        };
        if block.block.digest() != child.parent {
            break;
        }
        child = block.block.header().clone();
        chain.recall(&child);
    }
    Ok(())
}

impl<A: App, D: Storage> Driver<A, D> {
    /// Opens what is on the disk, and starts the core with it. Effects of the start are pending.
    ///
    /// # Errors
    /// [`Stop`] says why the node cannot run.
    pub fn start(parts: Parts<A, D>, handle: Handle) -> Result<Self, Stop> {
        let Parts {
            genesis,
            set,
            sets,
            app,
            config,
            mut disk,
            store,
            signer,
            links,
            figures,
            evidence,
            progress,
        } = parts;
        let begun = Instant::now();
        let (mut chain, snapshot) = replay(&genesis, set, app, &store)?;
        let from = snapshot.as_ref().map_or(0, |s| s.offer.height().get());
        // Kept like those that came over links: a restart, and observers, need them again.
        let mut staged = Vec::new();
        for set in sets {
            if store.set(&set.commitment())?.is_none() {
                staged.push(Entry::Set(set.clone()));
            }
            chain.open_set(set);
        }
        let (log, opened) = RecordLog::open(&mut disk, "votes", SEGMENT_BYTES, false)?;
        if opened.torn_bytes > 0 {
            warn!(
                bytes = opened.torn_bytes,
                "the vote log had a torn end, which was cut off"
            );
        }
        let rejoin = match signer.past() {
            Past::Unknown => Some(nonce()?),
            Past::Fresh | Past::Voted => None,
        };
        if rejoin.is_some() {
            warn!(
                "nothing is known of this key's past votes: the node follows the chain and does \
                 not vote until a quorum of the others has said where they are. On a new chain, \
                 where no key has voted yet, start with --new"
            );
        }
        let memory = Memory {
            records: opened.records,
            mark: signer.mark(),
            snapshot,
            rejoin,
        };
        let last = chain.tip().header.height;
        let certificate = store.block(last)?.map(|block| CertificateStatus {
            view: block.certificate.view().get(),
            votes: block.certificate.votes().len(),
            late: 0,
        });
        info!(
            height = last.get(),
            executed_from = from,
            ms = begun.elapsed().as_millis(),
            records = memory.records.len(),
            "the chain was read from the disk"
        );
        let digest = chain.genesis_digest();
        let hold = Hold::new(&chain.tip().set, links.parties());
        let config = Config {
            key: Some(signer.key().clone()),
            ..config
        };
        let started = Instant::now();
        let (core, effects) = Core::start(config, Ed25519, Sound, chain, memory, now(started));
        let mut driver = Self {
            core,
            log,
            disk,
            store,
            signer,
            chain: digest,
            links,
            figures,
            evidence,
            progress,
            handle,
            started,
            wake: None,
            hold,
            staged,
            pending: VecDeque::new(),
            waiters: BTreeMap::new(),
            waiting: 0,
            certificate,
            told_by: BTreeSet::new(),
        };
        driver.absorb(effects)?;
        driver.tell();
        Ok(driver)
    }

    /// Runs until something stops it.
    pub fn run(mut self, mut events: mpsc::Receiver<Event>) -> Stop {
        let why = match self.run_until(&mut events) {
            Ok(()) => Stop::Asked,
            Err(why) => why,
        };
        if let Stop::Halted(Halt::Fork(other)) = &why {
            self.keep_culprits(other);
        }
        match &why {
            Stop::Asked => info!("stopped"),
            why => error!("stopped: {why}"),
        }
        why
    }

    fn run_until(&mut self, events: &mut mpsc::Receiver<Event>) -> Result<(), Stop> {
        self.settle()?;
        self.tell();
        loop {
            let first = self.wait(events);
            let begun = Instant::now();
            let mut asked = false;
            let more = std::iter::from_fn(|| events.try_recv().ok());
            let batch: Vec<_> = first.into_iter().chain(more).take(BATCH).collect();
            self.figures
                .batch
                .observe(f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX)));
            for event in batch {
                asked |= matches!(event, Event::Stop);
                self.take(event)?;
            }
            if self.wake.is_some_and(|at| at <= now(self.started).tick) {
                self.wake = None;
                self.step(Input::Tick)?;
            }
            self.settle()?;
            self.tell();
            self.figures
                .step_seconds
                .observe(begun.elapsed().as_secs_f64());
            if asked {
                return Ok(());
            }
        }
    }

    /// The next event, or none when the core's timer has ended.
    fn wait(&self, events: &mut mpsc::Receiver<Event>) -> Option<Event> {
        let until = self
            .wake
            .map(|at| self.started + std::time::Duration::from_millis(at.get()));
        self.handle.block_on(async {
            match until {
                Some(until) => tokio::time::timeout_at(until.into(), events.recv())
                    .await
                    .unwrap_or(None),
                // Every core has a timer for its retransmissions.
                None => events.recv().await,
            }
        })
    }

    fn take(&mut self, event: Event) -> Result<(), Stop> {
        match event {
            Event::Message {
                from,
                message,
                budget,
            } => {
                self.look_at(from, &message)?;
                self.step(Input::Message { from, message })?;
                drop(budget);
                Ok(())
            }
            Event::Submit { request, answer } => self.submit(request, answer),
            Event::Sequence { client, answer } => {
                let app = self.core.chain().app();
                // Whoever asked may be gone.
                let _ = answer.send(app.client(&client).map(|client| client.sequence));
                Ok(())
            }
            Event::Elsewhere { told_by } => self.note_second_machine(told_by),
            Event::Stop => Ok(()),
        }
    }

    /// One liar stops nobody: it takes more than a third of the power to say so.
    fn note_second_machine(&mut self, told_by: Peer) -> Result<(), Stop> {
        warn!(
            peer = %self.links.name(told_by),
            "the peer says that another machine has connected with this machine's network key"
        );
        self.told_by.insert(told_by);
        let (set, parties) = (&self.core.chain().tip().set, self.links.parties());
        let power = |peer: &Peer| {
            let machine = parties.machine(*peer)?;
            let member = set.get(set.index_of(&machine.consensus_key)?)?;
            Some(u128::from(member.power.get()))
        };
        let told: u128 = self.told_by.iter().filter_map(power).sum();
        if told * 3 <= u128::from(set.total().get()) {
            return Ok(());
        }
        let names: Vec<_> = self.told_by.iter().map(|p| self.links.name(*p)).collect();
        let own = parties.machine(parties.own()).ok_or_else(|| {
            Stop::Start("this machine is not among the machines that it knows".into())
        })?;
        Err(Stop::SecondMachine {
            name: own.name.to_string(),
            key: self.key_hex(),
            network_key: own.network_key,
            told_by: names.join(", "),
        })
    }

    fn key_hex(&self) -> String {
        hex::encode(self.signer.key().as_bytes())
    }

    fn key_elsewhere(&self, slot: Slot) -> Stop {
        let key = self.key_hex();
        Stop::KeyElsewhere { key, slot }
    }

    /// What the shell itself learns from a message, before the core sees it.
    fn look_at(&mut self, from: Peer, message: &Message) -> Result<(), Stop> {
        match message {
            Message::Status(height, _) => self.hold.note(from, *height),
            Message::Vote(vote) => {
                let set = &self.core.chain().tip().set;
                let Some(member) = set.get(vote.signer) else {
                    return Ok(());
                };
                let machine = self.links.parties().machine(from);
                if machine.is_some_and(|m| m.consensus_key == member.key)
                    && let Some(outbox) = self.links.outbox(from)
                {
                    outbox.remember_vote(message.to_bytes().into());
                }
                let slot = vote.ballot().slot;
                if self.never_signed(slot) && member.key == *self.signer.key() {
                    let bytes = vote.ballot().signed_bytes(&self.chain);
                    if Ed25519.verify(&member.key, &bytes, &vote.signature) {
                        return Err(self.key_elsewhere(slot));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn step(&mut self, input: Input) -> Result<(), Stop> {
        let effects = self.core.step(now(self.started), input);
        self.absorb(effects)
    }

    /// Writes records at once, though not yet durably, and lets all else wait.
    fn absorb(&mut self, effects: Vec<Effect>) -> Result<(), Stop> {
        for effect in effects {
            match effect {
                Effect::Persist(Record::Final(block)) => {
                    self.check_own_vote(&block)?;
                    self.staged.push(Entry::Block(block));
                }
                Effect::Persist(Record::Set(set)) => self.staged.push(Entry::Set(set)),
                Effect::Persist(record) => self.log.append(&mut self.disk, &record, true)?,
                Effect::Seal(height, certificate) => {
                    self.staged.push(Entry::Seal(height, certificate));
                }
                Effect::Checkpoint(snapshot) => self.staged.push(Entry::Snapshot(snapshot)),
                Effect::Adopt(snapshot) => {
                    let height = snapshot.offer.height();
                    info!(
                        height = height.get(),
                        "the chain is taken up from a certified state"
                    );
                    self.staged.push(Entry::Snapshot(snapshot));
                }
                Effect::Decide(decision) => {
                    let outcomes = decision.outcomes.clone();
                    self.staged
                        .push(Entry::Outcomes(decision.block.clone(), outcomes));
                    self.pending.push_back(Effect::Decide(decision));
                }
                other => self.pending.push_back(other),
            }
        }
        Ok(())
    }

    /// A certificate with the own vote in a slot above everything that was ever signed here.
    fn check_own_vote(&self, block: &FinalBlock) -> Result<(), Stop> {
        let set = &self.core.chain().tip().set;
        // The tip has moved on to the next height: its header names the set that signed.
        let set = self
            .core
            .chain()
            .set(&block.block.header().validators)
            .unwrap_or(set);
        let slot = Slot {
            height: block.block.height(),
            view: block.certificate.view(),
            step: Step::Commit,
        };
        let mine = set.index_of(self.signer.key());
        let voted = mine.is_some_and(|me| has_vote(&block.certificate, me));
        if voted && self.never_signed(slot) {
            return Err(self.key_elsewhere(slot));
        }
        Ok(())
    }

    /// Whether this disk is sure that no vote in this slot was signed with it. A node that rejoins
    /// is not: it knows that it has forgotten something.
    fn never_signed(&self, slot: Slot) -> bool {
        match self.signer.mark() {
            Some(mark) => mark < slot,
            None => self.signer.past() == Past::Fresh,
        }
    }

    /// Makes everything durable, then does what waited for it, until nothing waits any more.
    fn settle(&mut self) -> Result<(), Stop> {
        while !self.pending.is_empty() || !self.staged.is_empty() || self.log.is_unsynced() {
            self.make_durable()?;
            let mut unsigned = Vec::new();
            for effect in std::mem::take(&mut self.pending) {
                match effect {
                    Effect::Sign(what) => unsigned.push(what),
                    effect => self.perform(effect)?,
                }
            }
            self.sign(unsigned)?;
        }
        let height = self.core.height();
        for ballot in self.hold.release(height) {
            self.pending
                .push_back(Effect::Sign(Unsigned::Ballot(ballot)));
        }
        if self.pending.is_empty() {
            Ok(())
        } else {
            self.settle()
        }
    }

    fn make_durable(&mut self) -> Result<(), Stop> {
        if self.log.is_unsynced() {
            let begun = Instant::now();
            self.log.sync(&mut self.disk)?;
            self.figures
                .sync_seconds
                .observe(begun.elapsed().as_secs_f64());
            self.figures.syncs.inc();
        }
        if !self.staged.is_empty() {
            let begun = Instant::now();
            self.store.keep(&self.staged)?;
            self.staged.clear();
            self.figures
                .store_seconds
                .observe(begun.elapsed().as_secs_f64());
            self.figures.syncs.inc();
        }
        Ok(())
    }

    fn perform(&mut self, effect: Effect) -> Result<(), Stop> {
        match effect {
            Effect::Send { to, message } => self.send(to, &message),
            Effect::WakeAt(at) => self.wake = Some(at),
            Effect::Decide(decision) => self.decide(*decision)?,
            Effect::Serve { to, from } => self.serve(to, from),
            Effect::Reject(client, sequence, error) => {
                self.answer_all(client, sequence, &Outcome::Refused(error.to_string()));
            }
            Effect::Blame(peer, fault) => {
                self.figures.faults.inc();
                if let Some(outbox) = self.links.outbox(peer) {
                    let before = outbox.faults.fetch_add(1, Ordering::Relaxed);
                    // 1, 2, 4, 8, ...: a peer that goes on and on is named, and does not fill the log.
                    if (before + 1).is_power_of_two() {
                        warn!(
                            peer = %self.links.name(peer),
                            faults = before + 1,
                            "the peer broke a rule: {fault}"
                        );
                    }
                }
            }
            Effect::Evidence(proof) => self.keep_evidence(&proof)?,
            Effect::Halt(Halt::OwnKeyElsewhere(slot)) => return Err(self.key_elsewhere(slot)),
            Effect::Halt(why) => return Err(Stop::Halted(why)),
            Effect::Sign(_)
            | Effect::Persist(_)
            | Effect::Seal(..)
            | Effect::Checkpoint(_)
            | Effect::Adopt(_) => {
                unreachable!("handled before")
            }
        }
        Ok(())
    }

    fn sign(&mut self, unsigned: Vec<Unsigned>) -> Result<(), Stop> {
        let mut ballots = Vec::new();
        for what in unsigned {
            match what {
                Unsigned::Ballot(ballot) => ballots.push(ballot),
                Unsigned::Report(body) => {
                    let signature = self.signer.report(&self.chain, &body);
                    self.step(Input::Signed(what, signature))?;
                }
            }
        }
        let ballots = self.hold.keep(ballots);
        if ballots.is_empty() {
            return Ok(());
        }
        let before = self.signer.mark();
        let answers = self.signer.sign(&self.chain, &ballots)?;
        if self.signer.mark() != before {
            self.figures.syncs.inc();
        }
        for (ballot, answer) in ballots.into_iter().zip(answers) {
            match answer {
                Ok(signature) => {
                    self.step(Input::Signed(Unsigned::Ballot(ballot), signature))?;
                }
                Err(Refused::Forgotten) => {
                    debug!(slot = ?ballot.slot, "an old vote is not signed again");
                }
                Err(Refused::Conflict) => return Err(Stop::Conflict(ballot.slot)),
            }
        }
        Ok(())
    }

    fn send(&self, to: Recipients, message: &Message) {
        let frame: Frame = message.to_bytes().into();
        let lane = Lane::of(message);
        match to {
            Recipients::One(peer) => {
                if let Some(outbox) = self.links.outbox(peer) {
                    outbox.push(lane, frame);
                }
            }
            Recipients::All => {
                let is_status = matches!(message, Message::Status(..));
                for (peer, _) in self.links.parties().others() {
                    let Some(outbox) = self.links.outbox(peer) else {
                        continue;
                    };
                    if is_status {
                        outbox.remember_status(frame.clone());
                    }
                    outbox.push(lane, frame.clone());
                }
            }
        }
    }

    /// Reads stored blocks on another thread: a peer that catches up must not slow the votes.
    fn serve(&self, to: Peer, from: Height) {
        let (store, links) = (self.store.clone(), self.links.clone());
        self.handle.spawn_blocking(move || {
            let mut blocks = Vec::new();
            let (mut bytes, mut height) = (0, from);
            while blocks.len() < BLOCKS_PER_ANSWER {
                let block = match store.block(height) {
                    Ok(Some(block)) => block,
                    Ok(None) => break,
                    Err(error) => {
                        // The driver finds out for itself when it writes.
                        error!("cannot serve blocks: {error}");
                        break;
                    }
                };
                bytes += block.block.payload().size().max(1);
                if bytes > ANSWER_BYTES && !blocks.is_empty() {
                    break;
                }
                blocks.push(Arc::new(block));
                let Some(next) = height.next() else { break };
                height = next;
            }
            if let (false, Some(outbox)) = (blocks.is_empty(), links.outbox(to)) {
                outbox.push(Lane::Bulk, Message::Blocks(blocks).to_bytes().into());
            }
        });
    }

    fn decide(&mut self, decision: Decision) -> Result<(), Stop> {
        let height = decision.block.block.height();
        self.log.forget(&mut self.disk, height)?;
        let certificate = &decision.block.certificate;
        self.certificate = Some(CertificateStatus {
            view: certificate.view().get(),
            votes: certificate.votes().len(),
            late: 0,
        });
        let requests = &decision.block.block.payload().requests;
        debug!(
            height = height.get(),
            view = certificate.view().get(),
            requests = requests.len(),
            "final"
        );
        if let Some(error) = &decision.refused_change {
            warn!(
                height = height.get(),
                "a change of validators or parameters was not made: {error}"
            );
        }
        self.figures.blocks.inc();
        self.figures
            .requests
            .inc_by(u64::try_from(requests.len()).unwrap_or(u64::MAX));
        for (index, (request, outcome)) in (0u32..).zip(requests.iter().zip(decision.outcomes)) {
            let key = (request.client, request.sequence);
            let Some(waiters) = self.waiters.remove(&key) else {
                continue;
            };
            let executed = Outcome::Executed {
                height,
                index,
                digest: request_digest(request),
                outcome,
            };
            self.answer(key, waiters, &executed);
        }
        Ok(())
    }

    fn submit(&mut self, request: Arc<Request>, answer: mpsc::Sender<Answer>) -> Result<(), Stop> {
        let key = (request.client, request.sequence);
        let digest = request_digest(&request);
        let waiter = Waiter { digest, answer };
        if self.waiting >= WAITERS_MAX {
            self.waiting += 1;
            self.answer(key, vec![waiter], &Outcome::Busy);
            return Ok(());
        }
        let effects = self.core.step(now(self.started), Input::Request(request));
        let mut refused = None;
        let others = effects.into_iter().filter(|effect| match effect {
            Effect::Reject(client, sequence, error) if (*client, *sequence) == key => {
                refused = Some(error.clone());
                false
            }
            _ => true,
        });
        let others: Vec<_> = others.collect();
        self.absorb(others)?;
        match refused {
            None => {
                self.waiting += 1;
                self.waiters.entry(key).or_default().push(waiter);
            }
            Some(PoolError::Executed { .. }) => {
                let executed = self.store.executed(&key.0, key.1)?;
                let outcome = match executed {
                    Some(executed) => Outcome::Executed {
                        height: executed.height,
                        index: executed.index,
                        digest: executed.digest,
                        outcome: executed.outcome,
                    },
                    None => Outcome::Refused(
                        "it was executed before this node's stored blocks begin".into(),
                    ),
                };
                self.waiting += 1;
                self.answer(key, vec![waiter], &outcome);
            }
            Some(PoolError::Full) => {
                self.waiting += 1;
                self.answer(key, vec![waiter], &Outcome::Busy);
            }
            Some(error) => {
                self.waiting += 1;
                self.answer(key, vec![waiter], &Outcome::Refused(error.to_string()));
            }
        }
        Ok(())
    }

    fn answer_all(&mut self, client: ClientKey, sequence: u64, outcome: &Outcome) {
        if let Some(waiters) = self.waiters.remove(&(client, sequence)) {
            self.answer((client, sequence), waiters, outcome);
        }
    }

    fn answer(&mut self, key: (ClientKey, u64), waiters: Vec<Waiter>, outcome: &Outcome) {
        self.waiting = self.waiting.saturating_sub(waiters.len());
        for waiter in waiters {
            let another =
                matches!(outcome, Outcome::Executed { digest, .. } if *digest != waiter.digest);
            let outcome = if another {
                Outcome::Refused(
                    "another request of this client with this sequence was executed".into(),
                )
            } else {
                outcome.clone()
            };
            let answer = Answer {
                client: key.0,
                sequence: key.1,
                digest: waiter.digest,
                outcome,
            };
            // Its link has room for every request that it sent; a link that is gone needs none.
            let _ = waiter.answer.try_send(answer);
        }
    }

    /// Writes a proof beside the data, for `quorate inspect` and for lawyers.
    fn keep_evidence(&self, proof: &DoubleVote) -> Result<(), Stop> {
        let Slot { height, view, step } = proof.slot;
        let key = hex::encode(proof.key.as_bytes());
        let set = &self.core.chain().tip().set;
        let machines = self.links.parties().machines();
        let name = machines.iter().find(|m| m.consensus_key == proof.key);
        error!(
            validator = name.map_or("unknown", |m| m.name.as_str()),
            member = set.index_of(&proof.key).is_some(),
            %key,
            height = height.get(),
            view = view.get(),
            ?step,
            "a validator has signed twice; both signatures are kept as evidence"
        );
        let file = format!("{}-{}-{step:?}-{}", height.get(), view.get(), &key[..16]);
        let path = self.evidence.join(file.to_lowercase() + ".double-vote");
        if path.exists() {
            return Ok(());
        }
        let write = || -> std::io::Result<()> {
            let mut file = fs::File::create_new(&path)?;
            file.write_all(&proof.to_file())?;
            file.sync_all()
        };
        write().map_err(Stop::Evidence)
    }

    /// Who has signed both sides of a fork, as far as the own block shows it.
    fn keep_culprits(&self, other: &FinalBlock) {
        let height = other.block.height();
        let set = self.core.chain().recent(height);
        let set = set.and_then(|(_, set)| self.core.chain().set(&set).cloned());
        let (Ok(Some(own)), Some(set)) = (self.store.block(height), set) else {
            return;
        };
        for proof in culprits(&set, &own, other) {
            if let Err(why) = self.keep_evidence(&proof) {
                error!("{why}");
            }
        }
    }

    /// Tells whoever looks on where things stand.
    fn tell(&self) {
        let tip = self.core.chain().tip();
        let (height, view) = (self.core.height(), self.core.view());
        let primary = tip.set.get(schedule::primary(&tip.set, height, view));
        let machines = self.links.parties().machines();
        let mut certificate = self.certificate.clone();
        if let (Some(known), Some(votes)) = (&mut certificate, self.core.last_votes()) {
            known.late = votes.saturating_sub(known.votes);
            known.votes = votes;
        }
        let primary = primary.and_then(|p| machines.iter().find(|m| m.consensus_key == p.key));
        let own = self.links.parties().own();
        let status = Status {
            name: self.links.name(own),
            chain: tip.header.chain_id.as_str().into(),
            height: tip.header.height.get(),
            header: tip.digest.to_string(),
            time: json::format_time(tip.header.time),
            view: view.get(),
            primary: primary.map_or("unknown".into(), |m| m.name.to_string()),
            changing_view: self.core.is_changing(),
            waiting_requests: self.core.pending(),
            voting: self.voting().into(),
            evidence: self.core.evidence().len(),
            certificate,
            peers: Vec::new(),
            uptime_s: self.started.elapsed().as_secs(),
        };
        self.figures.height.set(gauge(tip.header.height.get()));
        self.figures.view.set(gauge(view.get()));
        self.figures.waiting.set(gauge(self.core.pending() as u64));
        self.figures.peers.set(gauge(self.links.connected() as u64));
        let height = tip.header.height;
        self.progress
            .send_replace(Some(Progress { height, status }));
    }

    fn voting(&self) -> &'static str {
        let member = self.core.chain().tip().set.index_of(self.signer.key());
        if member.is_none() {
            "no: this machine's key is not in the validator set"
        } else if self.hold.is_held() {
            "not yet: it waits to hear from a quorum, and to have the blocks they have"
        } else if self.signer.past() == Past::Unknown && self.signer.mark().is_none() {
            "not yet: it rejoins after its memory was lost"
        } else {
            "yes"
        }
    }
}

fn gauge(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn has_vote(certificate: &CommitCertificate, signer: u16) -> bool {
    certificate.votes().iter().any(|vote| vote.index == signer)
}

/// Whether a ballot is about a block, and of use at this height still.
pub(super) fn is_timely(ballot: &Ballot, height: Height) -> bool {
    let about = match ballot.choice {
        Choice::Block(_) | Choice::Claim(_) => ballot.slot.height,
    };
    about >= height
}

fn nonce() -> Result<u64, Stop> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| {
        Stop::Start(format!("no randomness from the operating system: {error}"))
    })?;
    Ok(u64::from_le_bytes(bytes))
}

/// Both clocks; a time of day that no header could have counts as the last one.
fn now(started: Instant) -> Now {
    let ms =
        |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, ms);
    let last = TimeMs::new(TimeMs::LIMIT - 1).expect("below the limit");
    Now {
        tick: Tick::new(ms(started.elapsed())),
        wall: TimeMs::new(wall).unwrap_or(last),
    }
}
