//! The one owner of the core. It runs on a thread of its own: it takes what has come in, steps the
//! core through all of it, writes every record, makes them durable with one sync, and only then
//! signs. So no vote leaves before its record is on the medium, and a busy node pays for one sync
//! where it would have paid for many. Final blocks are in the log too, and another thread stores
//! them; requests are looked at when everything else is done.

mod evidence;
mod own_key;
mod replay;
mod report;
mod requests;
mod sending;
mod stop;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use quorate_pbft::app::App;
use quorate_pbft::ballot::{Ballot, Choice, Unsigned};
use quorate_pbft::defect::Sound;
use quorate_pbft::log::{RecordLog, Storage};
use quorate_pbft::message::Message;
use quorate_pbft::record::{Record, finals};
use quorate_pbft::request::{ClientKey, Request};
use quorate_pbft::scheme::Ed25519;
use quorate_pbft::time::{Now, Tick};
use quorate_pbft::{Config, Core, Decision, Effect, Halt, Input, Memory, Peer};
use quorate_verifier::genesis::Genesis;
use quorate_verifier::primitives::{Digest, Height, TimeMs};
use quorate_verifier::set::ValidatorSet;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tracing::{debug, error, info, warn};

use super::clients::{Answer, Outcome};
use super::hold::Hold;
use super::metrics::Figures;
use super::signer::{Past, Refused, Signer};
use super::status::{CertificateStatus, Progress};
use super::store::{Entry, Store, request_digest};
use super::transport::Links;
use super::writer::Writer;

pub use stop::Stop;

use replay::replay;
use requests::Waiter;

/// Events that are taken in before the files are synced.
const BATCH: usize = 256;
/// The vote log's files are closed when they have more than this, in bytes.
const SEGMENT_BYTES: usize = 4 << 20;

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

/// Requests that come to the driver: apart from everything else, so that no vote waits behind them.
#[derive(Debug)]
pub enum Asked {
    /// A client of this node asks.
    Client {
        /// What.
        request: Arc<Request>,
        /// Where the outcome goes.
        answer: mpsc::Sender<Answer>,
    },
    /// A peer has passed on what its clients ask.
    Peer {
        /// The link.
        from: Peer,
        /// What.
        requests: Vec<Arc<Request>>,
        /// Its share of what waits, which is free again afterwards.
        budget: OwnedSemaphorePermit,
    },
}

/// Where others put what is for the driver.
#[derive(Clone, Debug)]
pub struct Inlet {
    /// Everything but requests.
    pub events: mpsc::Sender<Event>,
    /// Requests.
    pub asked: mpsc::Sender<Asked>,
}

/// Where the driver takes it from.
#[derive(Debug)]
pub struct Inbox {
    events: mpsc::Receiver<Event>,
    asked: mpsc::Receiver<Asked>,
}

/// The way to a driver, with room for so many events and so many lots of requests.
pub fn inbox(events: usize, asked: usize) -> (Inlet, Inbox) {
    let (events_in, events) = mpsc::channel(events);
    let (asked_in, asked) = mpsc::channel(asked);
    let inlet = Inlet {
        events: events_in,
        asked: asked_in,
    };
    (inlet, Inbox { events, asked })
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
    /// Requests are not looked at before this moment.
    look_at: Instant,
    hold: Hold,
    writer: Writer,
    /// Whether something that the log does not have must be in the store before anything is signed.
    unstored: bool,
    /// Effects that wait for those before them, and signatures for what was written before them.
    pending: VecDeque<Effect>,
    waiters: BTreeMap<(ClientKey, u64), Vec<Waiter>>,
    waiting: usize,
    certificate: Option<CertificateStatus>,
    /// Who has said that the own keys are in use on another machine.
    told_by: BTreeSet<Peer>,
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
        let (log, opened) = RecordLog::open(&mut disk, "votes", SEGMENT_BYTES, false)?;
        if opened.torn_bytes > 0 {
            warn!(
                bytes = opened.torn_bytes,
                "the vote log had a torn end, which was cut off"
            );
        }
        let (mut chain, snapshot) = replay(&genesis, set, app, &store, &finals(&opened.records))?;
        let from = snapshot.as_ref().map_or(0, |s| s.offer.height().get());
        // Kept like those that came over links: a restart, and observers, need them again.
        for set in sets {
            if store.set(&set.commitment())?.is_none() {
                store.keep(&[Entry::Set(set.clone())])?;
            }
            chain.open_set(set);
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
        let writer = Writer::start(store.clone(), last, figures.clone())?;
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
            look_at: started,
            hold,
            writer,
            unstored: false,
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
    pub fn run(mut self, mut inbox: Inbox) -> Stop {
        let ran = self.run_until(&mut inbox);
        let why = match ran.and_then(|()| Ok(self.writer.flush()?)) {
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

    fn run_until(&mut self, inbox: &mut Inbox) -> Result<(), Stop> {
        self.settle()?;
        self.tell();
        loop {
            let (event, first) = self.wait(inbox);
            let begun = Instant::now();
            let mut asked = false;
            let more = std::iter::from_fn(|| inbox.events.try_recv().ok());
            let batch: Vec<_> = event.into_iter().chain(more).take(BATCH).collect();
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
            if first.is_some() || self.look_at <= begun {
                self.look_at_requests(first, inbox)?;
                self.settle()?;
            }
            self.tell();
            self.figures
                .step_seconds
                .observe(begun.elapsed().as_secs_f64());
            if asked {
                return Ok(());
            }
        }
    }

    /// The next event or request, or neither when the core's timer has ended or it is time to look
    /// at requests. The thread parks by itself: a timer of the runtime would wake another thread for
    /// each wait.
    fn wait(&self, inbox: &mut Inbox) -> (Option<Event>, Option<Asked>) {
        let wake = self
            .wake
            .map(|at| self.started + Duration::from_millis(at.get()));
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(event) = inbox.events.poll_recv(&mut context) {
                return (event, None);
            }
            let now = Instant::now();
            // Requests that come soon after others wait for more, and wake nobody.
            let gathers = now < self.look_at;
            if !gathers && let Poll::Ready(asked) = inbox.asked.poll_recv(&mut context) {
                return (None, asked);
            }
            let until = wake
                .into_iter()
                .chain(gathers.then_some(self.look_at))
                .min();
            match until.map(|until| until.saturating_duration_since(now)) {
                Some(Duration::ZERO) => return (None, None),
                Some(time) => thread::park_timeout(time),
                // Every core has a timer for its retransmissions.
                None => thread::park(),
            }
        }
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

    fn step(&mut self, input: Input) -> Result<(), Stop> {
        let effects = self.core.step(now(self.started), input);
        self.absorb(effects)
    }

    /// Writes records at once, though not yet durably, and lets all else wait.
    fn absorb(&mut self, effects: Vec<Effect>) -> Result<(), Stop> {
        for effect in effects {
            match effect {
                Effect::Persist(Record::Final(block)) => {
                    self.writer.keep(Entry::Block(block))?;
                    self.unstored = true;
                }
                Effect::Persist(Record::Set(set)) => {
                    self.writer.keep(Entry::Set(set))?;
                    self.unstored = true;
                }
                Effect::Persist(record) => self.log.append(&mut self.disk, &record, true)?,
                Effect::Seal(height, certificate) => {
                    self.writer.keep(Entry::Seal(height, certificate))?;
                }
                Effect::Checkpoint(snapshot) => self.writer.keep(Entry::Snapshot(snapshot))?,
                Effect::Adopt(snapshot) => {
                    let height = snapshot.offer.height();
                    info!(
                        height = height.get(),
                        "the chain is taken up from a certified state"
                    );
                    self.writer.keep(Entry::Snapshot(snapshot))?;
                    self.unstored = true;
                }
                Effect::Decide(decision) => {
                    self.check_own_vote(&decision.block)?;
                    let outcomes = decision.outcomes.clone().into();
                    self.writer
                        .keep(Entry::Executed(decision.block.clone(), outcomes))?;
                    self.pending.push_back(Effect::Decide(decision));
                }
                other => self.pending.push_back(other),
            }
        }
        Ok(())
    }

    /// Does what waits, until nothing waits any more. What was written becomes durable when
    /// something is to be signed or evidence is kept, for all of it at once.
    fn settle(&mut self) -> Result<(), Stop> {
        self.writer.check()?;
        while !self.pending.is_empty() {
            let relies = |effect: &Effect| matches!(effect, Effect::Sign(_) | Effect::Evidence(_));
            if self.pending.iter().any(relies) {
                self.make_durable()?;
            }
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
        if self.unstored {
            self.writer.flush()?;
            self.unstored = false;
        }
        if self.log.is_unsynced() {
            let begun = Instant::now();
            self.log.sync(&mut self.disk)?;
            self.figures
                .sync_seconds
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
            Effect::Reject(request, error) => self.reject(&request, &error)?,
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

    fn decide(&mut self, decision: Decision) -> Result<(), Stop> {
        let height = decision.block.block.height();
        self.log.forget(&mut self.disk, self.writer.stored())?;
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
}

/// Whether a ballot is about a block, and of use at this height still.
pub(super) fn is_timely(ballot: &Ballot, height: Height) -> bool {
    let about = match ballot.choice {
        Choice::Block(_) | Choice::Claim(_) => ballot.slot.height,
    };
    about >= height
}

/// Wakes the driver's thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
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
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, ms);
    let last = TimeMs::new(TimeMs::LIMIT - 1).expect("below the limit");
    Now {
        tick: Tick::new(ms(started.elapsed())),
        wall: TimeMs::new(wall).unwrap_or(last),
    }
}
