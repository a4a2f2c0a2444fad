//! What the service keeps: final blocks with their certificates, proofs, and the queue of jobs.
//!
//! A trait, so that many prover machines can share a PostgreSQL later; one file by default. Every
//! call is one transaction and blocks: call it where blocking is allowed. Times are the caller's
//! clock in milliseconds, so that leases can be tested without waiting.

mod embedded;
mod job;

use quorate_verifier::attestation::Attestation;
use quorate_verifier::certificate::SignedHeader;
use quorate_verifier::genesis::Parameters;
use quorate_verifier::header::Header;
use quorate_verifier::primitives::{Digest, Height};
use quorate_verifier::set::{SetCommitment, ValidatorSet};

use crate::shell::stream::Contents;

pub use embedded::EmbeddedStore;
pub use job::{
    Class, Failure, Job, JobId, JobState, Lease, LeaseToken, MAX_ATTEMPTS, REQUESTS_MAX,
    attestation_name,
};

/// Why the store did not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database.
    #[error("the store failed: {0}")]
    Database(Box<redb::Error>),
    /// What it holds does not decode.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}

/// Why a job was not renewed, finished or failed.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The lease ended, and the job may be another worker's by now.
    #[error("the lease is lost: the job was given to another worker, or is finished")]
    Lost,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a block was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// Not the height above the last.
    #[error("height {found} does not follow {tip}")]
    Gap {
        /// The last height.
        tip: u64,
        /// The block's.
        found: u64,
    },
    /// Another header at a height that is known, or one that does not follow the header below.
    #[error("height {0} has another final header: a fork")]
    Fork(u64),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a request for a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// There is a job, new or old.
    Job(Job),
    /// Too many requests wait.
    Full,
    /// The height is not known.
    Unknown,
}

/// Numbers about the queue, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Waiting for a worker.
    pub queued: u64,
    /// With a worker.
    pub leased: u64,
    /// Given up.
    pub failed: u64,
    /// Proofs that are kept.
    pub proofs: u64,
}

/// The service's memory.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Keeps a final block, whose certificate the caller has checked, and queues its proof under
    /// the key of this digest (none: the block waits to be covered). Blocks come in order. A
    /// request is proved itself, whatever covers it.
    ///
    /// Answers whether it is new. A contradicting block is kept as the evidence of a fork.
    ///
    /// # Errors
    /// [`AddError`].
    fn add_block(
        &self,
        block: &SignedHeader,
        set: &ValidatorSet,
        job: Option<(Digest, Class)>,
        now: u64,
    ) -> Result<bool, AddError>;

    /// Keeps a block's requests and outcomes, which the caller has compared with its header.
    ///
    /// # Errors
    /// [`StoreError`].
    fn keep_contents(&self, height: Height, contents: &Contents) -> Result<(), StoreError>;

    /// A block's requests and outcomes, where they were kept.
    ///
    /// # Errors
    /// [`StoreError`].
    fn contents(&self, height: Height) -> Result<Option<Contents>, StoreError>;

    /// Where a client's request of this sequence stands, from a block and place on, in order, at
    /// most `limit`. It is more than one if a request came again and was refused.
    ///
    /// # Errors
    /// [`StoreError`].
    fn requests(
        &self,
        client: &[u8; 32],
        sequence: u64,
        from: (Height, u64),
        limit: usize,
    ) -> Result<Vec<(Height, u64)>, StoreError>;

    /// Keeps opened parameters under their digest.
    ///
    /// # Errors
    /// [`StoreError`].
    fn keep_parameters(&self, parameters: &Parameters) -> Result<(), StoreError>;

    /// The opened parameters of this digest.
    ///
    /// # Errors
    /// [`StoreError`].
    fn parameters(&self, digest: &Digest) -> Result<Option<Parameters>, StoreError>;

    /// The lowest height whose certificate is kept.
    ///
    /// # Errors
    /// [`StoreError`].
    fn first_certified(&self) -> Result<Option<Height>, StoreError>;

    /// The lowest height whose requests are kept.
    ///
    /// # Errors
    /// [`StoreError`].
    fn first_contents(&self) -> Result<Option<Height>, StoreError>;

    /// Forgets certificates below one height, with their jobs and the sets that only they need, and
    /// requests and outcomes below another. Headers and attestations stay. What is forgotten is in
    /// no file any more when this returns.
    ///
    /// # Errors
    /// [`StoreError`]; it is gone from the tables, and perhaps not from the file, if the disk failed:
    /// see [`finish_forgetting`](Self::finish_forgetting).
    fn forget(&self, certificates: Height, contents: Height) -> Result<(), StoreError>;

    /// Finishes, at a start or later, what a crash or a full disk kept [`forget`](Self::forget) from.
    ///
    /// # Errors
    /// [`StoreError`].
    fn finish_forgetting(&self) -> Result<(), StoreError>;

    /// The last height.
    ///
    /// # Errors
    /// [`StoreError`].
    fn tip(&self) -> Result<Option<Height>, StoreError>;

    /// The lowest height.
    ///
    /// # Errors
    /// [`StoreError`].
    fn first(&self) -> Result<Option<Height>, StoreError>;

    /// The header at a height.
    ///
    /// # Errors
    /// [`StoreError`].
    fn header(&self, height: Height) -> Result<Option<Header>, StoreError>;

    /// The height of a header.
    ///
    /// # Errors
    /// [`StoreError`].
    fn height_of(&self, header: &Digest) -> Result<Option<Height>, StoreError>;

    /// Whether two final headers are known at a height.
    ///
    /// # Errors
    /// [`StoreError`].
    fn is_forked(&self, height: Height) -> Result<bool, StoreError>;

    /// The lowest height of a known fork.
    ///
    /// # Errors
    /// [`StoreError`].
    fn first_fork(&self) -> Result<Option<Height>, StoreError>;

    /// The set of this commitment, opened: operators only.
    ///
    /// # Errors
    /// [`StoreError`].
    fn set(&self, commitment: &SetCommitment) -> Result<Option<ValidatorSet>, StoreError>;

    /// The attestation of a height that was proved itself.
    ///
    /// # Errors
    /// [`StoreError`].
    fn attestation(&self, height: Height) -> Result<Option<Attestation>, StoreError>;

    /// The lowest proved height that is not below this one, with its attestation.
    ///
    /// # Errors
    /// [`StoreError`].
    fn proved_from(&self, height: Height) -> Result<Option<Attestation>, StoreError>;

    /// Heights from one to another that were proved themselves, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    fn proved_between(&self, from: Height, to: Height) -> Result<Vec<Height>, StoreError>;

    /// The highest proved height.
    ///
    /// # Errors
    /// [`StoreError`].
    fn last_proved(&self) -> Result<Option<Height>, StoreError>;

    /// Asks for the proof of one height; the same request twice is one job.
    ///
    /// # Errors
    /// [`StoreError`].
    fn submit(&self, height: Height, key: Digest, now: u64) -> Result<Submitted, StoreError>;

    /// A job by its id.
    ///
    /// # Errors
    /// [`StoreError`].
    fn job(&self, id: &JobId) -> Result<Option<Job>, StoreError>;

    /// Takes the job that is to be proved next, for `lease_ms`: the newest height, in turn with
    /// requested ones.
    ///
    /// # Errors
    /// [`StoreError`].
    fn claim(&self, worker: &str, lease_ms: u64, now: u64) -> Result<Option<Lease>, StoreError>;

    /// Goes on with a job for `lease_ms` from now.
    ///
    /// # Errors
    /// [`LeaseError`].
    fn renew(&self, lease: &LeaseToken, lease_ms: u64, now: u64) -> Result<(), LeaseError>;

    /// Keeps a proof that the caller has verified, and ends the job.
    ///
    /// # Errors
    /// [`LeaseError`].
    fn finish(&self, lease: &LeaseToken, proof: &Attestation, now: u64) -> Result<(), LeaseError>;

    /// Ends an attempt without a proof.
    ///
    /// # Errors
    /// [`LeaseError`].
    fn fail(&self, lease: &LeaseToken, failure: &Failure, now: u64) -> Result<(), LeaseError>;

    /// Gives a job back untried: no attempt is counted.
    ///
    /// # Errors
    /// [`LeaseError`].
    fn release(&self, lease: &LeaseToken) -> Result<(), LeaseError>;

    /// How many jobs are in which state, leases that ended counted as waiting.
    ///
    /// # Errors
    /// [`StoreError`].
    fn counts(&self, now: u64) -> Result<Counts, StoreError>;

    /// A value that another part of the service keeps here.
    ///
    /// # Errors
    /// [`StoreError`].
    fn value(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps a value.
    ///
    /// # Errors
    /// [`StoreError`].
    fn set_value(&self, name: &str, value: &[u8]) -> Result<(), StoreError>;
}
