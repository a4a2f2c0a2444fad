//! The service itself: what is taken in, what is proved, what is covered, what is answered.
//!
//! A height is *proved* when it has an attestation of its own, and *covered* when it or a later
//! height has one: a proof of a header proves every ancestor through the parent links. Covered
//! heights are appended to the finality log in order, each exactly once: the log's size is the
//! only record of how far that is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use quorate_verifier::attestation::{Attestation, AttestationError, KeyRing, verify};
use quorate_verifier::certificate::{CertificateError, SignedHeader};
use quorate_verifier::encoding::Canonical;
use quorate_verifier::genesis::Parameters;
use quorate_verifier::header::Header;
use quorate_verifier::primitives::{ChainId, Digest, Height, TimeMs};
use quorate_verifier::proof::{KeyError, Origin, VerifyingKey};
use quorate_verifier::set::ValidatorSet;
use quorate_verifier::tlog::{
    Checkpoint, FinalityEntry, LogError, NOTE_MAX_BYTES, NoteKey, finality_origin,
};
use quorate_verifier::trust::Policy;

use super::disk;
use super::log::{Log, LogOpenError, LogSigner, LogStoreError, LogView};
use super::retention::Retention;
use super::store::{
    AddError, Counts, EmbeddedStore, Failure, Job, JobId, Lease, LeaseError, LeaseToken, Store,
    StoreError, Submitted,
};
use crate::shell::stream::Contents;

/// Entries that are appended to a log at once.
const BATCH: u64 = 4096;

/// What a service needs to start.
pub struct Setup {
    /// Its directory: store, logs and their memories.
    pub data: PathBuf,
    /// What proofs must satisfy; its anchor is where the chain starts.
    pub policy: Policy,
    /// The light forms of the policy's keys.
    pub keys: Vec<VerifyingKey>,
    /// Signs the finality log.
    pub finality_key: SigningKey,
    /// Signs the access log.
    pub access_key: SigningKey,
    /// Whose signatures of checkpoints are passed on.
    pub cosigners: Vec<NoteKey>,
    /// Checkpoints that cosigners remember, as files: the service does not go on from another past.
    pub cosigned: Vec<PathBuf>,
    /// Opened parameters that the chain has or will have.
    pub parameters: Vec<Parameters>,
    /// What is deleted, and when.
    pub retention: Retention,
}

/// Why a service does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A log.
    #[error(transparent)]
    Log(#[from] LogOpenError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A verifying key of no use.
    #[error("verifying key {0}: {1}")]
    Key(Digest, KeyError),
    /// The policy accepts keys, and none of them is at hand.
    #[error("none of the policy's verifying keys is at hand")]
    NoKey,
    /// The log speaks of heights that the store does not know, or otherwise.
    #[error("the finality log covers height {0}, and the store does not hold that block")]
    Apart(u64),
    /// A file of a cosigner.
    #[error("{path}: {error}")]
    Cosigned {
        /// The file.
        path: String,
        /// What is wrong.
        error: String,
    },
    /// A certificate may be needed for as long as its set is trusted.
    #[error(
        "certificates are kept for the anchor's trusting period at least: {trusting_ms} ms, not \
         {kept_ms}"
    )]
    Retention {
        /// The policy's period.
        trusting_ms: u64,
        /// The configuration's.
        kept_ms: u64,
    },
    /// An origin that is no name.
    #[error(transparent)]
    Name(#[from] LogError),
}

/// Why a block is not taken in. None of this is the reader's business.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The certificate does not make it final.
    #[error("not final: {0}")]
    Certificate(#[from] CertificateError),
    /// It does not follow what is known.
    #[error("height {height} does not follow: {what}")]
    DoesNotFollow {
        /// The block's height.
        height: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// Order, fork or store.
    #[error(transparent)]
    Add(#[from] AddError),
    /// The log could not be written.
    #[error(transparent)]
    Log(#[from] LogStoreError),
}

impl From<StoreError> for IngestError {
    fn from(error: StoreError) -> Self {
        Self::Add(AddError::Store(error))
    }
}

/// Why a proof is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// It does not show what the job asked for.
    #[error("the proof is refused: {0}")]
    Refused(String),
    /// Cryptography, rule or key.
    #[error("the proof is refused: {0}")]
    Attestation(#[from] AttestationError),
    /// The lease.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The log could not be written; the proof is kept, and covers when the log works again.
    #[error(transparent)]
    Log(#[from] LogStoreError),
}

impl From<StoreError> for AcceptError {
    fn from(error: StoreError) -> Self {
        Self::Lease(LeaseError::Store(error))
    }
}

/// Whether a block is final, as far as this service can show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finality {
    /// Shown by the proof of this or a later height.
    Final {
        /// The header.
        header: Header,
        /// The height that was proved: this one, or the first above it.
        proved: Height,
        /// Its place in the finality log.
        index: u64,
    },
    /// Known to be signed; the proof is still to come.
    Pending {
        /// The header.
        header: Header,
    },
    /// Two final headers are known at or below it: the validators broke their rule.
    Conflict {
        /// Height of the fork.
        fork: Height,
    },
    /// Not seen so far.
    Unknown,
    /// Below where this service starts.
    BeforeStart {
        /// The first height.
        first: Height,
    },
}

/// How far the service is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last final height that is known, and its time.
    pub tip: Option<(Height, TimeMs)>,
    /// The last height with a proof of its own.
    pub proved: Option<Height>,
    /// The last covered height, and its time.
    pub covered: Option<(Height, TimeMs)>,
    /// Final heights that are not covered yet.
    pub behind: u64,
    /// Time of the tip less time of the last covered height, in milliseconds.
    pub behind_ms: u64,
}

/// What a worker said last about a job. Operators only: times tell of signers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// The step of the prover.
    pub name: String,
    /// When it began, in milliseconds since 1970.
    pub at: u64,
}

/// An attestation service.
#[derive(Debug)]
pub struct Service {
    store: Arc<dyn Store>,
    policy: Policy,
    ring: KeyRing,
    light_keys: Vec<VerifyingKey>,
    cosigners: Vec<NoteKey>,
    pub(super) finality: Mutex<Log>,
    finality_view: LogView,
    pub(super) access: Mutex<Log>,
    access_view: LogView,
    phases: Mutex<BTreeMap<Digest, Phase>>,
    data: PathBuf,
    retention: Retention,
}

impl Service {
    /// Opens the service's directory, or creates it.
    ///
    /// # Errors
    /// [`OpenError`]: above all a log that is not what its writer or a cosigner remembers.
    pub fn open(setup: Setup) -> Result<Self, OpenError> {
        let Setup { data, policy, .. } = &setup;
        let chain = &policy.anchor.header.chain_id;
        let trusting_ms = policy.anchor.trusting_period_ms;
        if let Some(kept_ms) = setup.retention.certificates_ms
            && kept_ms < trusting_ms
        {
            return Err(OpenError::Retention {
                trusting_ms,
                kept_ms,
            });
        }
        let mut ring = KeyRing::new();
        let mut light_keys = Vec::new();
        for key in &setup.keys {
            let digest = key.digest();
            if policy.keys.iter().any(|accepted| accepted.digest == digest) {
                let prepared = key.clone().prepare();
                ring.insert(prepared.map_err(|error| OpenError::Key(digest, error))?);
                light_keys.push(key.clone());
            }
        }
        if light_keys.is_empty() {
            return Err(OpenError::NoKey);
        }
        disk::make_directories(data).map_err(|error| LogOpenError::Io {
            path: data.display().to_string(),
            error,
        })?;
        let store = EmbeddedStore::open(&data.join("store.redb"))?;
        for parameters in &setup.parameters {
            store.keep_parameters(parameters)?;
        }
        let open = |name: &str, origin: &str, key: &SigningKey| {
            let signer = LogSigner::new(origin, key.clone())?;
            let memory = data.join("memory").join(name);
            Ok::<_, OpenError>(Log::open(&data.join("log").join(name), &memory, signer)?)
        };
        let finality = open("finality", &finality_origin(chain), &setup.finality_key)?;
        let access = open("access", &access_origin(chain), &setup.access_key)?;
        for path in &setup.cosigned {
            if let Some(checkpoint) = read_cosigned(path)? {
                finality.check_memory(&path.display().to_string(), checkpoint.head())?;
            }
        }
        let service = Self {
            store: Arc::new(store),
            ring,
            light_keys,
            cosigners: setup.cosigners,
            finality_view: finality.view(),
            finality: Mutex::new(finality),
            access_view: access.view(),
            access: Mutex::new(access),
            phases: Mutex::default(),
            data: setup.data,
            policy: setup.policy,
            retention: setup.retention,
        };
        service.check_log_and_store()?;
        // What was proved before an interruption is covered now.
        service.cover().map_err(|error| match error {
            IngestError::Add(AddError::Store(error)) => OpenError::Store(error),
            other => OpenError::Cosigned {
                path: "finality log".into(),
                error: other.to_string(),
            },
        })?;
        Ok(service)
    }

    /// The last entry of the log is a block of the store.
    fn check_log_and_store(&self) -> Result<(), OpenError> {
        let Some(covered) = self.covered() else {
            return Ok(());
        };
        let index = covered.get() - self.first_height().get();
        let entry = self.finality_view.entry(index);
        let entry = entry.map_err(|error| LogOpenError::Io {
            path: self.data.display().to_string(),
            error,
        })?;
        let held = self.store.header(covered)?;
        let held = held.map(|header| FinalityEntry::of(&header, self.policy.rule).to_bytes());
        if held.is_some() && held == entry {
            Ok(())
        } else {
            Err(OpenError::Apart(covered.get()))
        }
    }

    /// What proofs must satisfy.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The chain.
    pub const fn chain(&self) -> &ChainId {
        &self.policy.anchor.header.chain_id
    }

    /// The light forms of the accepted keys that are at hand.
    pub fn light_keys(&self) -> &[VerifyingKey] {
        &self.light_keys
    }

    /// Whether an accepted key was made by one party.
    pub fn has_development_key(&self) -> bool {
        let is = |key: &VerifyingKey| key.origin == Origin::Development;
        self.light_keys.iter().any(is)
    }

    /// The keys whose signatures of checkpoints are passed on.
    pub fn cosigners(&self) -> &[NoteKey] {
        &self.cosigners
    }

    /// The public log.
    pub const fn finality_log(&self) -> &LogView {
        &self.finality_view
    }

    /// The log of privileged reads and acts.
    pub const fn access_log(&self) -> &LogView {
        &self.access_view
    }

    /// Keys of the finality log, oldest first.
    pub fn log_keys(&self) -> Vec<super::log::KeyPeriod> {
        lock(&self.finality).keys().to_vec()
    }

    /// The keys that are at hand.
    pub(super) const fn ring(&self) -> &KeyRing {
        &self.ring
    }

    pub(super) const fn retention(&self) -> Retention {
        self.retention
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The service's directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The height of the log's first entry: the one above the anchor's.
    pub fn first_height(&self) -> Height {
        let anchor = self.policy.anchor.header.height;
        anchor.next().unwrap_or(anchor)
    }

    /// The last covered height.
    pub fn covered(&self) -> Option<Height> {
        let size = self.finality_view.size();
        let last = size.checked_sub(1)?;
        Some(Height::new(self.first_height().get() + last))
    }

    /// Takes a final block in. Answers whether it is new.
    ///
    /// # Errors
    /// [`IngestError`]; a fork is remembered and answered as a conflict from then on.
    pub fn ingest(&self, block: &SignedHeader, set: &ValidatorSet) -> Result<bool, IngestError> {
        self.ingest_with(block, set, None)
    }

    /// The same with the block's requests and outcomes, which are kept.
    ///
    /// # Errors
    /// As [`Service::ingest`].
    pub fn ingest_with(
        &self,
        block: &SignedHeader,
        set: &ValidatorSet,
        contents: Option<&Contents>,
    ) -> Result<bool, IngestError> {
        let header = &block.header;
        let height = header.height;
        let wrong = |what| IngestError::DoesNotFollow {
            height: height.get(),
            what,
        };
        if height < self.first_height() {
            return Ok(false);
        }
        let known = self.store.header(height)?;
        if known.as_ref() == Some(header) {
            return Ok(false);
        }
        let below = match self.below(height)? {
            Some(below) => below,
            None => {
                let tip = self
                    .store
                    .tip()?
                    .unwrap_or(self.policy.anchor.header.height);
                return Err(AddError::Gap {
                    tip: tip.get(),
                    found: height.get(),
                }
                .into());
            }
        };
        // Only a set that the chain named can make a block final, or a fork.
        if header.validators != below.next_validators {
            return Err(wrong("its set is not the one that the header below names"));
        }
        block.verify(self.chain(), set, self.policy.rule)?;
        if header.time <= below.time && known.is_none() {
            return Err(wrong("its time is not later than the header's below"));
        }
        let at_start = height == self.first_height();
        if at_start && known.is_none() && header.parent != below.digest() {
            return Err(wrong("its parent is not the anchor"));
        }
        if known.is_none() {
            if let Some(contents) = contents {
                if contents.payload.root() != header.payload_root {
                    return Err(wrong("its requests are not those that its header names"));
                }
                self.store.keep_contents(height, contents)?;
            }
            self.learn_parameters(header, &below)?;
        }
        let job = self.job_for(header, &below, set)?;
        Ok(self.store.add_block(block, set, job, now_ms())?)
    }

    /// The header below a height: the anchor's at the start.
    pub(super) fn below(&self, height: Height) -> Result<Option<Header>, StoreError> {
        if height == self.first_height() {
            return Ok(Some(self.policy.anchor.header.clone()));
        }
        match height.get().checked_sub(1) {
            Some(below) => self.store.header(Height::new(below)),
            None => Ok(None),
        }
    }

    /// Queues the proof of one height.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn request(&self, height: Height) -> Result<Submitted, StoreError> {
        let Some(header) = self.store.header(height)? else {
            return Ok(Submitted::Unknown);
        };
        let below = self.below(height)?;
        let set = self.store.set(&header.validators)?;
        let (Some(set), Some(below)) = (set, below) else {
            return Ok(Submitted::Unknown);
        };
        let Some((key, _)) = self.job_for(&header, &below, &set)? else {
            return Ok(Submitted::Unknown);
        };
        self.store.submit(height, key, now_ms())
    }

    /// Gives a worker its next job.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn claim(&self, worker: &str, lease_ms: u64) -> Result<Option<Lease>, StoreError> {
        self.store.claim(worker, lease_ms, now_ms())
    }

    /// A worker goes on with its job, and says in which phase it is.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn renew(
        &self,
        lease: &LeaseToken,
        lease_ms: u64,
        phase: Option<&str>,
    ) -> Result<(), LeaseError> {
        self.store.renew(lease, lease_ms, now_ms())?;
        if let Some(name) = phase {
            let mut phases = lock(&self.phases);
            let old = phases.get(&lease.job.0).is_some_and(|p| p.name == name);
            if !old {
                let name = name.into();
                phases.insert(lease.job.0, Phase { name, at: now_ms() });
            }
        }
        Ok(())
    }

    /// A worker has no proof.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn fail(&self, lease: &LeaseToken, failure: &Failure) -> Result<(), LeaseError> {
        lock(&self.phases).remove(&lease.job.0);
        self.store.fail(lease, failure, now_ms())
    }

    /// A worker gives its job back untried.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn release(&self, lease: &LeaseToken) -> Result<(), LeaseError> {
        lock(&self.phases).remove(&lease.job.0);
        self.store.release(lease)
    }

    /// The phase of a job that is being proved. Operators only.
    pub fn phase(&self, job: &JobId) -> Option<Phase> {
        lock(&self.phases).get(&job.0).cloned()
    }

    /// Verifies a worker's proof, keeps it, and covers what it covers.
    ///
    /// # Errors
    /// [`AcceptError`]; nothing is kept of a proof that is refused.
    pub fn accept(&self, lease: &LeaseToken, proof: &Attestation) -> Result<(), AcceptError> {
        let job = self.store.job(&lease.job)?;
        let job = job.ok_or(AcceptError::Lease(LeaseError::Lost))?;
        if JobId::new(&proof.header, &proof.key) != job.id {
            let what = "it is of another block or under another key than the job's";
            return Err(AcceptError::Refused(what.into()));
        }
        self.verify_of_chain(proof)?;
        self.store.finish(lease, proof, now_ms())?;
        lock(&self.phases).remove(&lease.job.0);
        self.cover().map_err(|error| match error {
            IngestError::Log(error) => AcceptError::Log(error),
            IngestError::Add(AddError::Store(error)) => error.into(),
            other => AcceptError::Refused(other.to_string()),
        })?;
        Ok(())
    }

    /// Whether a proof shows a block of this chain to be final: against the header below it, where
    /// that is known, else against the anchor.
    ///
    /// # Errors
    /// [`AttestationError`], or the store's failure as a refusal.
    pub fn verify_of_chain(&self, proof: &Attestation) -> Result<(), AcceptError> {
        let below = self.below(proof.header.height)?;
        let mut policy = self.policy.clone();
        if let Some(below) = below {
            policy.anchor.header = below;
        }
        Ok(verify(proof, &policy, &self.ring)?)
    }

    /// Appends every height that a proof covers and the log does not have yet.
    ///
    /// # Errors
    /// [`IngestError::Log`], or the store's. Heights that were appended stay.
    pub fn cover(&self) -> Result<u64, IngestError> {
        let mut log = lock(&self.finality);
        let mut added = 0;
        loop {
            let next = Height::new(self.first_height().get() + log.size());
            let Some(proof) = self.store.proved_from(next)? else {
                return Ok(added);
            };
            let entries = self.entries(next, proof.header.height)?;
            for batch in entries.chunks(usize::try_from(BATCH).unwrap_or(usize::MAX)) {
                log.extend(batch)?;
                added += batch.len() as u64;
            }
        }
    }

    /// Entries from one height to a proved one, whose parent links are followed down.
    fn entries(&self, from: Height, proved: Height) -> Result<Vec<Vec<u8>>, IngestError> {
        let mut entries = Vec::new();
        let mut parent: Option<Digest> = None;
        for height in (from.get()..=proved.get()).rev() {
            let broken = |what| IngestError::DoesNotFollow { height, what };
            let header = self.store.header(Height::new(height))?;
            let header = header.ok_or_else(|| broken("its header is missing"))?;
            if parent.is_some_and(|parent| parent != header.digest()) {
                return Err(broken("it is not the parent of the header above"));
            }
            parent = Some(header.parent);
            entries.push(FinalityEntry::of(&header, self.policy.rule).to_bytes());
        }
        entries.reverse();
        Ok(entries)
    }

    /// Whether the block at a height is final.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn finality(&self, height: Height) -> Result<Finality, StoreError> {
        let first = self.first_height();
        if height < first {
            return Ok(Finality::BeforeStart { first });
        }
        if let Some(fork) = self.store.first_fork()?.filter(|fork| *fork <= height) {
            return Ok(Finality::Conflict { fork });
        }
        let Some(header) = self.store.header(height)? else {
            return Ok(Finality::Unknown);
        };
        if self.covered().is_none_or(|covered| covered < height) {
            return Ok(Finality::Pending { header });
        }
        let proof = self.store.proved_from(height)?;
        let Some(proof) = proof else {
            return Ok(Finality::Pending { header });
        };
        Ok(Finality::Final {
            header,
            proved: proof.header.height,
            index: height.get() - first.get(),
        })
    }

    /// How far the service is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn progress(&self) -> Result<Progress, StoreError> {
        let timed = |height: Option<Height>| {
            let Some(height) = height else {
                return Ok::<_, StoreError>(None);
            };
            let header = self.store.header(height)?;
            Ok(header.map(|header| (height, header.time)))
        };
        let tip = timed(self.store.tip()?)?;
        let covered = timed(self.covered())?;
        let anchor = &self.policy.anchor.header;
        let (done, since) = covered.unwrap_or((anchor.height, anchor.time));
        let (last, time) = tip.unwrap_or((done, since));
        Ok(Progress {
            tip,
            proved: self.store.last_proved()?,
            covered,
            behind: last.get().saturating_sub(done.get()),
            behind_ms: time.get().saturating_sub(since.get()),
        })
    }

    /// How many jobs are in which state. Operators only.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn counts(&self) -> Result<Counts, StoreError> {
        self.store.counts(now_ms())
    }

    /// A job by its id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn job(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        self.store.job(id)
    }

    /// Takes a checkpoint back from a cosigner.
    ///
    /// # Errors
    /// [`LogStoreError`].
    pub fn add_cosigned(&self, checkpoint: &Checkpoint) -> Result<(), LogStoreError> {
        lock(&self.finality).add_cosigned(checkpoint, &self.cosigners)
    }
}

/// The name of a chain's access log.
pub fn access_origin(chain: &ChainId) -> String {
    format!("{chain}/access")
}

/// Milliseconds since 1970, by the machine's clock.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    })
}

fn read_cosigned(path: &Path) -> Result<Option<Checkpoint>, OpenError> {
    let failed = |error: String| OpenError::Cosigned {
        path: path.display().to_string(),
        error,
    };
    let text = disk::read_text(path, NOTE_MAX_BYTES).map_err(|error| failed(error.to_string()))?;
    text.map(|text| text.parse().map_err(|e: LogError| failed(e.to_string())))
        .transpose()
}

/// A lock whose holder panicked holds a value that was not half changed: every change here is one
/// assignment, or made by a [`Log`] that commits at its end.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
