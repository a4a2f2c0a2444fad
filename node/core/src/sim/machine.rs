//! A simulated node: the core, its disk and its signer, with effects run in order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use quorate_verifier::encoding::Canonical;
use quorate_verifier::primitives::Height;
use quorate_verifier::set::ValidatorSet;
use sha2::{Digest as _, Sha256};

use super::disk::{Disk, DiskError};
use super::keys::{Crypto, KeyId, public};
use super::rng::Rng;
use crate::app::App;
use crate::ballot::{Ballot, Choice, Slot, Unsigned};
use crate::block::FinalBlock;
use crate::chain::Chain;
use crate::core::{Config, Core, Decision, Effect, Fault, Halt, Input, Memory, Peer, Recipients};
use crate::defect::{Build, Defect};
use crate::evidence::{DoubleVote, culprits};
use crate::limits::{ANSWER_BYTES, BLOCKS_PER_ANSWER};
use crate::log::{LogError, RecordLog, Storage};
use crate::message::Message;
use crate::record::{self, Record};
use crate::snapshot::Snapshot;
use crate::time::{Now, Tick, Timing};

/// Segments are this small so that a short run closes and forgets some, in bytes.
const SEGMENT_BYTES: usize = 8 << 10;

/// Decided blocks are stored so many at a time, so that crashes meet some that are not stored.
const STORED_TOGETHER: usize = 3;

/// Files with a stored state; the height follows.
const SNAPSHOT: &str = "snapshot-";

/// Why a simulated node is not running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Down {
    /// Not started yet, or the power went off.
    Off,
    /// The disk failed or is full: it stopped and says so.
    Disk(DiskError),
    /// The log lost something durable: it refuses to start.
    Damaged,
    /// The core has stopped.
    Halted(Halt),
}

/// What came out of a step.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) sends: Vec<(Recipients, Message)>,
    pub(crate) decided: Vec<Decision>,
    pub(crate) signed: Vec<Ballot>,
    pub(crate) not_durable: Vec<Ballot>,
    pub(crate) evidence: Vec<Arc<DoubleVote>>,
    pub(crate) blamed: Vec<(Peer, Fault)>,
    pub(crate) adopted: Vec<Arc<Snapshot>>,
    pub(crate) sealed: Vec<(Height, quorate_verifier::certificate::CommitCertificate)>,
    pub(crate) rejected: usize,
    pub(crate) wake: Option<Tick>,
    pub(crate) went_down: bool,
}

struct Running<C, A, B> {
    core: Core<C, A, B>,
    votes: RecordLog,
    blocks: RecordLog,
    chain: BTreeMap<Height, Arc<FinalBlock>>,
    /// Decided blocks that only the vote log has.
    unstored: Vec<Arc<FinalBlock>>,
    durable: BTreeMap<Slot, Choice>,
    written: Vec<(Slot, Choice)>,
}

/// One simulated node.
pub(crate) struct Machine<C, A, B> {
    pub(crate) key: KeyId,
    pub(crate) disk: Disk,
    pub(crate) down: Option<Down>,
    /// The signer's high-water mark, on a device of its own.
    pub(crate) mark: Option<Slot>,
    /// Sets that an operator has put beside the configuration.
    pub(crate) sets: Vec<Arc<ValidatorSet>>,
    /// Set when the whole disk was lost: the next start has to rejoin.
    pub(crate) wiped: Option<u64>,
    crypto: C,
    build: B,
    genesis: Chain<A>,
    timing: Timing,
    snapshot_every: u64,
    running: Option<Running<C, A, B>>,
}

impl<C: Crypto, A: App + Clone, B: Build + Clone> Machine<C, A, B> {
    pub(crate) fn new(
        key: KeyId,
        crypto: C,
        build: B,
        genesis: Chain<A>,
        timing: Timing,
        snapshot_every: u64,
    ) -> Self {
        Self {
            key,
            disk: Disk::default(),
            down: Some(Down::Off),
            mark: None,
            sets: Vec::new(),
            wiped: None,
            crypto,
            build,
            genesis,
            timing,
            snapshot_every,
            running: None,
        }
    }

    pub(crate) fn core(&self) -> Option<&Core<C, A, B>> {
        self.running.as_ref().map(|r| &r.core)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// Opens the logs and starts the core.
    pub(crate) fn start(&mut self, now: Now) -> Output {
        let mut output = Output::default();
        match self.open(now) {
            Ok(effects) => {
                self.down = None;
                self.run(now, effects, &mut output);
            }
            Err(LogError::Device(error)) => self.go_down(Down::Disk(error), &mut output),
            Err(_) => self.go_down(Down::Damaged, &mut output),
        }
        output
    }

    fn open(&mut self, now: Now) -> Result<Vec<Effect>, LogError<DiskError>> {
        let skip = self.build.lacks(Defect::DamageSkipped);
        let (blocks, stored) = RecordLog::open(&mut self.disk, "blocks", 1 << 20, skip)?;
        let (votes, written) = RecordLog::open(&mut self.disk, "votes", SEGMENT_BYTES, skip)?;
        let mut chain = self.genesis.clone();
        self.sets.iter().for_each(|set| chain.open_set(set.clone()));
        let opened = |record: &Record| match record {
            Record::Set(set) => Some(set.clone()),
            _ => None,
        };
        let opened = stored.records.iter().filter_map(opened);
        opened.for_each(|set| chain.open_set(set));
        let mut snapshot = self.read_snapshot()?.map(Arc::new);
        let proves = |snapshot: &mut Arc<Snapshot>| {
            let adopted = chain.adopt(&self.crypto, &self.build, snapshot);
            // A core without a defence may have kept what never was certified.
            assert!(adopted.is_ok() || self.build.is_broken(), "{adopted:?}");
            adopted.is_ok()
        };
        snapshot = snapshot.take_if(proves);
        let from = chain.next_height();
        let (mut finals, mut evidence) = (BTreeMap::new(), Vec::new());
        for record in stored.records {
            match record {
                Record::Evidence(_) => evidence.push(record),
                Record::Final(block) if block.block.height() < from => {
                    finals.insert(block.block.height(), block);
                }
                Record::Final(block) if block.block.height() == chain.next_height() => {
                    chain.execute(&self.crypto, &self.build, &block);
                    finals.insert(block.block.height(), block);
                }
                _ => {} // the rest of a tail that was decided again after a loss
            }
        }
        let mut unstored = Vec::new();
        for (height, block) in record::finals(&written.records) {
            let next = block.block.header().next_validators;
            // A set is written before, and may be lost all the same: then others have the block.
            if height == chain.next_height() && chain.set(&next).is_some() {
                chain.execute(&self.crypto, &self.build, &block);
                finals.insert(height, block.clone());
                unstored.push(block);
            }
        }
        let below = finals.range(..from).rev();
        below.for_each(|(_, block)| chain.recall(block.block.header()));
        let durable = written.records.iter().filter_map(|record| match record {
            Record::Vote { ballot, .. } => Some((ballot.slot, ballot.choice)),
            _ => None,
        });
        let durable = durable.collect();
        let memory = Memory {
            records: [written.records, evidence].concat(),
            mark: self.mark,
            snapshot,
            rejoin: self.wiped,
        };
        let config = Config {
            key: Some(public(self.key).clone()),
            salt_key: [u8::try_from(self.key.0).expect("a few dozen keys"); 32],
            timing: self.timing,
            snapshot_every: self.snapshot_every,
        };
        let (crypto, build) = (self.crypto.clone(), self.build.clone());
        let (core, effects) = Core::start(config, crypto, build, chain, memory, now);
        let running = Running {
            core,
            votes,
            blocks,
            chain: finals,
            unstored,
            durable,
            written: Vec::new(),
        };
        self.running = Some(running);
        Ok(effects)
    }

    /// A new file with its check, before the old ones go.
    fn write_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), DiskError> {
        let disk = &mut self.disk;
        let name = format!("{SNAPSHOT}{:016x}", snapshot.offer.height().get());
        let old: Vec<_> = snapshots_on(disk)?.filter(|n| *n != name).collect();
        let mut bytes = snapshot.to_bytes();
        bytes.extend_from_slice(&Sha256::digest(&bytes));
        disk.create(&name)?;
        disk.append(&name, &bytes)?;
        disk.sync(&name)?;
        disk.sync_directory()?;
        for name in old {
            disk.remove(&name)?;
        }
        disk.sync_directory()
    }

    /// The newest stored snapshot; one that was torn while it was written was not relied on.
    fn read_snapshot(&mut self) -> Result<Option<Snapshot>, DiskError> {
        let mut names: Vec<_> = snapshots_on(&self.disk)?.collect();
        names.sort_unstable();
        for name in names.into_iter().rev() {
            let bytes = self.disk.read(&name)?;
            let Some((content, check)) = bytes.split_last_chunk::<32>() else {
                continue;
            };
            if Sha256::digest(content)[..] == check[..] {
                return Ok(Snapshot::from_bytes(content).ok());
            }
        }
        Ok(None)
    }

    /// The power goes off.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        self.running = None;
        self.down = Some(Down::Off);
        self.disk.crash(rng);
    }

    fn go_down(&mut self, why: Down, output: &mut Output) {
        self.running = None;
        self.down = Some(why);
        output.went_down = true;
    }

    pub(crate) fn step(&mut self, now: Now, input: Input) -> Output {
        let mut output = Output::default();
        if let Some(running) = &mut self.running {
            let effects = running.core.step(now, input);
            self.run(now, effects, &mut output);
        }
        output
    }

    /// Runs effects in order; signatures come back as inputs once the step's effects are done.
    fn run(&mut self, now: Now, effects: Vec<Effect>, output: &mut Output) {
        let mut waiting = VecDeque::from([effects]);
        while let Some(effects) = waiting.pop_front() {
            for effect in effects {
                if let Err(why) = self.perform(effect, now, &mut waiting, output) {
                    return self.go_down(why, output);
                }
            }
        }
    }

    fn perform(
        &mut self,
        effect: Effect,
        now: Now,
        waiting: &mut VecDeque<Vec<Effect>>,
        output: &mut Output,
    ) -> Result<(), Down> {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        match effect {
            Effect::Persist(record) => {
                if matches!(record, Record::Final(_)) {
                    self.store_blocks()?;
                }
                self.append(&record)?;
            }
            Effect::Sign(unsigned) => {
                if let Unsigned::Ballot(ballot) = unsigned {
                    self.make_durable()?;
                    let Some(running) = &mut self.running else {
                        return Ok(());
                    };
                    if running.durable.get(&ballot.slot) != Some(&ballot.choice) {
                        output.not_durable.push(ballot);
                    }
                    self.mark = self.mark.max(Some(ballot.slot));
                    output.signed.push(ballot);
                }
                let context = self.signing_context();
                let signature = self.crypto.sign(self.key, &unsigned.signed_bytes(&context));
                if let Some(running) = &mut self.running {
                    let effects = running.core.step(now, Input::Signed(unsigned, signature));
                    waiting.push_back(effects);
                }
            }
            Effect::Send { to, message } => output.sends.push((to, message)),
            Effect::Decide(decision) => {
                let block = &decision.block;
                let height = block.block.height();
                if running.chain.insert(height, block.clone()).is_none() {
                    running.unstored.push(block.clone());
                }
                if running.unstored.len() >= STORED_TOGETHER {
                    self.store_blocks()?;
                }
                output.decided.push(*decision);
            }
            Effect::Checkpoint(snapshot) => {
                // A state stands for the blocks below it here, and others may want those.
                self.store_blocks()?;
                self.make_durable()?;
                let written = self.write_snapshot(&snapshot);
                self.check(written.map_err(LogError::Device))?;
            }
            Effect::Adopt(snapshot) => {
                self.make_durable()?;
                let written = self.write_snapshot(&snapshot);
                self.check(written.map_err(LogError::Device))?;
                output.adopted.push(snapshot);
            }
            Effect::WakeAt(at) => output.wake = Some(at),
            Effect::Seal(height, certificate) => output.sealed.push((height, certificate)),
            Effect::Serve { to, from } => {
                let blocks = stored_from(&running.chain, from);
                if !blocks.is_empty() {
                    output
                        .sends
                        .push((Recipients::One(to), Message::Blocks(blocks)));
                }
            }
            Effect::Reject(..) => output.rejected += 1,
            Effect::Blame(peer, fault) => output.blamed.push((peer, fault)),
            Effect::Evidence(proof) => {
                self.make_durable()?;
                output.evidence.push(proof);
            }
            Effect::Halt(why) => {
                if let Halt::Fork(other) = &why {
                    let proofs = self.culprits(other);
                    output.evidence.extend(proofs.into_iter().map(Arc::new));
                }
                return Err(Down::Halted(why));
            }
        }
        Ok(())
    }

    /// Who has signed both sides of a fork, as far as the own stored blocks show it.
    fn culprits(&self, other: &FinalBlock) -> Vec<DoubleVote> {
        let Some(running) = &self.running else {
            return Vec::new();
        };
        let height = other.block.height();
        let own = running.chain.get(&height);
        let set = running
            .core
            .chain()
            .recent(height)
            .and_then(|(_, set)| running.core.chain().set(&set).cloned());
        match (own, set) {
            (Some(own), Some(set)) => culprits(&set, own, other),
            _ => Vec::new(),
        }
    }

    pub(crate) fn signing_context(&self) -> quorate_verifier::primitives::Digest {
        if self.build.lacks(Defect::ChainUnbound) {
            return quorate_verifier::primitives::Digest::ZERO;
        }
        self.genesis.genesis_digest()
    }

    fn make_durable(&mut self) -> Result<(), Down> {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        let blocks = running.blocks.sync(&mut self.disk);
        let votes = running.votes.sync(&mut self.disk);
        let result = blocks.and(votes);
        if result.is_ok() {
            running.durable.extend(running.written.drain(..));
        }
        self.check(result)
    }

    fn append(&mut self, record: &Record) -> Result<(), Down> {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        let sync_directory = !self.build.lacks(Defect::DirectoryUnsynced);
        let log = match record {
            Record::Final(block) => {
                running.chain.insert(block.block.height(), block.clone());
                &mut running.blocks
            }
            // Votes are forgotten with their heights, these are not.
            Record::Set(_) | Record::Evidence(_) => &mut running.blocks,
            _ => &mut running.votes,
        };
        let result = log.append(&mut self.disk, record, sync_directory);
        if let Record::Vote { ballot, .. } = record {
            running.written.push((ballot.slot, ballot.choice));
        }
        self.check(result)
    }

    /// Stores the blocks that only the vote log has, which may then forget their heights.
    fn store_blocks(&mut self) -> Result<(), Down> {
        let unstored = self
            .running
            .as_mut()
            .map(|r| std::mem::take(&mut r.unstored));
        for block in unstored.unwrap_or_default() {
            self.append(&Record::Final(block))?;
        }
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        let result = running.blocks.sync(&mut self.disk);
        self.check(result)?;
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        let last = running.chain.last_key_value().map(|(height, _)| *height);
        let result = match last {
            Some(last) => running.votes.forget(&mut self.disk, last),
            None => Ok(()),
        };
        self.check(result)
    }

    fn check(&self, result: Result<(), LogError<DiskError>>) -> Result<(), Down> {
        match result {
            Ok(()) => Ok(()),
            Err(LogError::Device(DiskError::Crash)) => Err(Down::Off),
            Err(_) if self.build.lacks(Defect::DiskErrorIgnored) => Ok(()),
            Err(LogError::Device(error)) => Err(Down::Disk(error)),
            Err(_) => Err(Down::Damaged),
        }
    }
}

fn snapshots_on(disk: &Disk) -> Result<impl Iterator<Item = String> + use<>, DiskError> {
    let names = disk.list()?.into_iter();
    Ok(names.filter(|name| name.starts_with(SNAPSHOT)))
}

fn stored_from(chain: &BTreeMap<Height, Arc<FinalBlock>>, from: Height) -> Vec<Arc<FinalBlock>> {
    let (mut bytes, mut next) = (0, Some(from));
    let follows = |(height, _): &(&Height, _)| {
        // A snapshot leaves a gap.
        let follows = next == Some(**height);
        next = height.next();
        follows
    };
    let fits = |block: &&Arc<FinalBlock>| {
        let first = bytes == 0;
        bytes += block.block.payload().size().max(1);
        first || bytes <= ANSWER_BYTES
    };
    chain
        .range(from..)
        .take_while(follows)
        .map(|(_, block)| block)
        .take(BLOCKS_PER_ANSWER)
        .take_while(fits)
        .cloned()
        .collect()
}
