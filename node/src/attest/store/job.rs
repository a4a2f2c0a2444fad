//! Jobs: content-addressed, leased, counted.

use std::fmt;
use std::str::FromStr;

use quorate_verifier::certificate::SignedHeader;
use quorate_verifier::header::Header;
use quorate_verifier::json;
use quorate_verifier::primitives::{Digest, Height};
use quorate_verifier::set::ValidatorSet;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A job is given up after so many attempts that failed or ended with their lease.
pub const MAX_ATTEMPTS: u32 = 5;
/// Requests that may wait at a time.
pub const REQUESTS_MAX: usize = 256;

/// The name of a block's attestation: `SHA-256(chain id ‖ height as u64 little-endian ‖ header
/// digest)`. Proofs of one block differ; they have one name.
pub fn attestation_name(header: &Header) -> Digest {
    let hash = Sha256::new()
        .chain_update(header.chain_id.as_str())
        .chain_update(header.height.get().to_le_bytes())
        .chain_update(header.digest().as_bytes())
        .finalize();
    Digest::from_bytes(hash.into())
}

/// Names a job by what is to be proved: `SHA-256(attestation name ‖ verifying-key digest)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobId(pub Digest);

impl JobId {
    /// The job that proves a header under a key.
    pub fn new(header: &Header, key: &Digest) -> Self {
        let hash = Sha256::new()
            .chain_update(attestation_name(header).as_bytes())
            .chain_update(key.as_bytes())
            .finalize();
        Self(Digest::from_bytes(hash.into()))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for JobId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        json::parse_hex(text).map(|bytes| Self(Digest::from_bytes(bytes)))
    }
}

/// Why a job is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Class {
    /// Because the block is final: newest first, dropped when a later one is proved.
    Head = 0,
    /// Because somebody asked for this very height, or light clients will: it is the last that a
    /// set signs.
    Request = 1,
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Waits, not to be tried before this time.
    Queued {
        /// Milliseconds since 1970.
        not_before: u64,
    },
    /// With a worker.
    Leased {
        /// The fencing token: higher with every claim.
        token: u64,
        /// Who has it.
        worker: String,
        /// When the lease ends, in milliseconds since 1970.
        until: u64,
    },
    /// Proved.
    Done,
    /// Not needed any more: a later height is proved.
    Covered,
    /// Given up.
    Failed {
        /// The last failure, in words for the operator.
        reason: String,
    },
}

impl JobState {
    /// Whether nothing more will happen to the job.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Done | Self::Covered | Self::Failed { .. })
    }
}

/// A proof to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// The block's height.
    #[serde(with = "json::decimal")]
    pub height: u64,
    /// Digest of the verifying key.
    pub key: Digest,
    /// Why it is there.
    pub class: Class,
    /// Where it stands.
    pub state: JobState,
    /// Attempts that failed, or ended with their lease.
    pub attempts: u32,
    /// When it was queued, in milliseconds since 1970.
    pub created_at: u64,
    /// Its place among the jobs of its class: the height, or the number of the request.
    pub order: u64,
}

impl Job {
    /// The block's height.
    pub const fn height(&self) -> Height {
        Height::new(self.height)
    }
}

/// What a worker shows to go on with a job: a token that is older than another's is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseToken {
    /// The job.
    pub job: JobId,
    /// Higher with every claim of any job.
    pub token: u64,
}

/// A job with all that proving it takes. **Names signers: operators and workers only.**
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who may go on.
    pub token: LeaseToken,
    /// The job.
    pub job: Job,
    /// The block and its certificate.
    pub block: SignedHeader,
    /// The set that signed it.
    pub set: ValidatorSet,
}

/// Why an attempt gave no proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Whether trying again is of no use.
    pub permanent: bool,
    /// In words, for the operator.
    pub reason: String,
}
