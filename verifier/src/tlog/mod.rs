//! Transparency logs as C2SP writes them: signed notes, checkpoints, cosignatures, proofs.
//!
//! A log is an RFC 6962 tree. Its head is published as a *log checkpoint*: origin, size and root,
//! signed by the log (`signed-note`, Ed25519) and by *cosigners*, who each saw that it extends the
//! one before (`tlog-cosignature`, `cosignature/v1`). A `.tlog-proof` leads from an entry to a
//! checkpoint (`tlog-proof`). Here is what a verifier needs of that; keys come from its policy, and
//! a log's name follows from the chain: nothing of it is read from what is checked.

mod checkpoint;
mod entry;
mod note;
mod proof;
#[cfg(test)]
mod tests;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use base64ct::{Base64, Encoding};

pub use checkpoint::{Checkpoint, Cosigned, TreeHead};
pub use entry::{FinalityEntry, finality_log, finality_origin};
pub use note::{NoteAlgorithm, NoteKey, NoteSignature, SignedNote};
pub use proof::{LogProof, check_consistency};

/// Most signature lines in a note.
pub const SIGNATURES_MAX: usize = 64;
/// Longest note, in bytes.
pub const NOTE_MAX_BYTES: usize = 1 << 16;
/// Longest path in a tree of fewer than 2^64 leaves.
pub const PATH_MAX: usize = 64;
/// First line of a `.tlog-proof`.
pub const PROOF_HEADING: &str = "c2sp.org/tlog-proof@v1";

/// Why a note, checkpoint or proof is none, or is not to be relied on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The text is not of the form that C2SP prescribes.
    #[error("not a {what}: {rule}")]
    Form {
        /// What it should have been.
        what: &'static str,
        /// The rule that is broken.
        rule: String,
    },
    /// Another log's checkpoint.
    #[error("the checkpoint is of log {found:?}, {expected:?} was expected")]
    WrongOrigin {
        /// The caller's log.
        expected: String,
        /// The checkpoint's first line.
        found: String,
    },
    /// No signature by the log.
    #[error("the checkpoint bears no signature by the log's key {0}")]
    NotSigned(NoteKey),
    /// A signature that claims a known key and does not hold.
    #[error("the signature of {0} does not hold")]
    BadSignature(String),
    /// Fewer cosigners than the policy demands.
    #[error("{found} of the policy's cosigners signed, {needed} are needed")]
    TooFewCosigners {
        /// What the policy demands.
        needed: u16,
        /// Who signed.
        found: usize,
    },
    /// The entry is not in the tree.
    #[error("the path does not lead from entry {index} to the root of {size} entries")]
    NotIncluded {
        /// Index that the proof names.
        index: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The later tree does not hold the earlier one as it was.
    #[error("the log's {later} entries do not extend the {earlier} entries seen before")]
    Inconsistent {
        /// Size seen before.
        earlier: u64,
        /// Size of the new checkpoint.
        later: u64,
    },
    /// The log shrank.
    #[error("the log shrank: {later} entries after {earlier}")]
    Shrunk {
        /// Size seen before.
        earlier: u64,
        /// Size of the new checkpoint.
        later: u64,
    },
}

impl LogError {
    fn form(what: &'static str, rule: impl Into<String>) -> Self {
        Self::Form {
            what,
            rule: rule.into(),
        }
    }
}

/// Canonical base64 with padding, and nothing else.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let bytes = Base64::decode_vec(text).ok()?;
    (Base64::encode_string(&bytes) == text).then_some(bytes)
}

/// A decimal number without sign and leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
