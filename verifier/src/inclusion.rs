//! One request, one outcome or one entry of the state, shown to be in a final block without its
//! neighbours.
//!
//! A leaf is `salt16 ‖ value`: the salt keeps neighbours from being guessed from their hashes. A
//! block's header names its requests (*submitted*) and the state before them; the outcomes of its
//! requests (*settled*, or refused) are named by the next header. Every check ends at the digest
//! of a header that the caller holds to be final, by an attestation or a light client.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::encoding::{Canonical, DecodeError, Kind, Reader, write_list};
use crate::file::FileType;
use crate::header::Header;
use crate::merkle;
use crate::primitives::Digest;

/// Bytes of salt before the value in a leaf.
pub const LEAF_SALT_BYTES: usize = 16;
/// Longest leaf that is read.
pub const LEAF_MAX_BYTES: usize = (1 << 20) + (1 << 10);
/// Longest path: a tree has at most 2^64 leaves.
pub const PATH_MAX: usize = 64;

/// A leaf with its path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inclusion {
    /// Salt and value.
    #[serde(with = "hex_vec")]
    pub leaf: Vec<u8>,
    /// Its place, counted from 0.
    #[serde(with = "crate::json::decimal")]
    pub index: u64,
    /// Leaves in the tree.
    #[serde(with = "crate::json::decimal")]
    pub size: u64,
    /// Siblings from the leaf up.
    pub path: Vec<Digest>,
}

impl Inclusion {
    /// Whether the leaf is at its place in the tree with this root.
    pub fn holds(&self, root: &Digest) -> bool {
        let leaf = merkle::leaf_hash(&self.leaf);
        merkle::is_included(&leaf, self.index, self.size, &self.path, root)
    }

    /// What follows the salt; empty when the leaf is shorter than a salt.
    pub fn value(&self) -> &[u8] {
        self.leaf.get(LEAF_SALT_BYTES..).unwrap_or_default()
    }
}

/// Why an inclusion proof shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InclusionError {
    /// The proof ends at another header than the one that is held to be final.
    #[error("the proof is about block {found}, not about {trusted}, which is held to be final")]
    OtherBlock {
        /// The header of the proof.
        found: Digest,
        /// The caller's.
        trusted: Digest,
    },
    /// The second header does not follow the first.
    #[error("the header with the outcomes is not the child of the one with the requests")]
    NotChild,
    /// The request is not in the block.
    #[error("the request is not at its place under the header's payload root")]
    Payload,
    /// The outcome is not named by the header.
    #[error("the outcome is not at its place under the header's outcomes root")]
    Outcome,
    /// Request and outcome stand at different places.
    #[error("the request is {request} of {requests}, the outcome {outcome} of {outcomes}")]
    Places {
        /// Place of the request.
        request: u64,
        /// Requests in the block.
        requests: u64,
        /// Place of the outcome.
        outcome: u64,
        /// Outcomes of the block.
        outcomes: u64,
    },
    /// The entry is not in the state.
    #[error("the entry is not at its place under the header's state root")]
    State,
    /// A leaf that is shorter than its salt.
    #[error("a leaf has a salt of 16 bytes and a value, this one has {0} bytes")]
    NoValue(usize),
}

fn is_trusted(header: &Header, trusted: &Digest) -> Result<(), InclusionError> {
    let found = header.digest();
    if found == *trusted {
        return Ok(());
    }
    let trusted = *trusted;
    Err(InclusionError::OtherBlock { found, trusted })
}

fn has_value(inclusion: &Inclusion) -> Result<&[u8], InclusionError> {
    match inclusion.value() {
        [] => Err(InclusionError::NoValue(inclusion.leaf.len())),
        value => Ok(value),
    }
}

/// A request in a block: it was *submitted*. What became of it, this does not say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmissionProof {
    /// The block's header.
    pub header: Header,
    /// The request.
    pub request: Inclusion,
}

impl SubmissionProof {
    /// The request, if `trusted` (the digest of a final header) has it.
    ///
    /// # Errors
    /// [`InclusionError`] names what does not fit.
    pub fn check(&self, trusted: &Digest) -> Result<&[u8], InclusionError> {
        is_trusted(&self.header, trusted)?;
        if !self.request.holds(&self.header.payload_root) {
            return Err(InclusionError::Payload);
        }
        has_value(&self.request)
    }
}

/// A request in block h and its outcome in header h+1: what it did, or why it was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettlementProof {
    /// Header of block h.
    pub header: Header,
    /// The request.
    pub request: Inclusion,
    /// Header of block h+1.
    pub next: Header,
    /// The outcome.
    pub outcome: Inclusion,
}

impl SettlementProof {
    /// Request and outcome, if `trusted` is the digest of the final header h+1. Block h is final
    /// with it, as its parent.
    ///
    /// # Errors
    /// [`InclusionError`] names what does not fit.
    pub fn check(&self, trusted: &Digest) -> Result<(&[u8], &[u8]), InclusionError> {
        is_trusted(&self.next, trusted)?;
        let is_child = self.next.parent == self.header.digest()
            && self.header.height.next() == Some(self.next.height)
            && self.header.chain_id == self.next.chain_id;
        if !is_child {
            return Err(InclusionError::NotChild);
        }
        if !self.request.holds(&self.header.payload_root) {
            return Err(InclusionError::Payload);
        }
        if !self.outcome.holds(&self.next.outcomes_root) {
            return Err(InclusionError::Outcome);
        }
        // Paths of one shape: the outcome is this request's and no other's.
        let (request, outcome) = (&self.request, &self.outcome);
        if (request.index, request.size) != (outcome.index, outcome.size) {
            return Err(InclusionError::Places {
                request: request.index,
                requests: request.size,
                outcome: outcome.index,
                outcomes: outcome.size,
            });
        }
        Ok((has_value(request)?, has_value(outcome)?))
    }
}

/// An entry of the state before block h, such as the balance of one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateProof {
    /// Header of block h.
    pub header: Header,
    /// The entry.
    pub entry: Inclusion,
}

impl StateProof {
    /// The entry, if `trusted` is the digest of the final header.
    ///
    /// # Errors
    /// [`InclusionError`] names what does not fit.
    pub fn check(&self, trusted: &Digest) -> Result<&[u8], InclusionError> {
        is_trusted(&self.header, trusted)?;
        if !self.entry.holds(&self.header.state_root) {
            return Err(InclusionError::State);
        }
        has_value(&self.entry)
    }
}

impl Canonical for Inclusion {
    fn write(&self, out: &mut Vec<u8>) {
        let length = u32::try_from(self.leaf.len()).expect("a leaf is at most a request");
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&self.leaf);
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.size.to_le_bytes());
        write_list(out, &self.path);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = usize::try_from(input.u32("leaf")?).unwrap_or(usize::MAX);
        if length > LEAF_MAX_BYTES {
            return Err(DecodeError::TooLong {
                field: "leaf",
                length,
                limit: LEAF_MAX_BYTES,
            });
        }
        Ok(Self {
            leaf: input.take("leaf", length)?.to_vec(),
            index: input.u64("index")?,
            size: input.u64("size")?,
            path: input.list("path", PATH_MAX, Digest::read)?,
        })
    }
}

macro_rules! files {
    ($($type:ident, $kind:ident, $max:expr, $($field:ident: $part:ty),*;)*) => {$(
        impl Canonical for $type {
            fn write(&self, out: &mut Vec<u8>) {
                $(self.$field.write(out);)*
            }
            fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self { $($field: <$part>::read(input)?),* })
            }
        }
        impl FileType for $type {
            const KIND: Kind = Kind::$kind;
            const MAX_BYTES: usize = $max;
        }
    )*};
}

const INCLUSION_MAX_BYTES: usize = 4 + LEAF_MAX_BYTES + 8 + 8 + 2 + 32 * PATH_MAX;

files! {
    SubmissionProof, SubmissionProof, Header::MAX_BYTES + INCLUSION_MAX_BYTES,
        header: Header, request: Inclusion;
    SettlementProof, SettlementProof, 2 * (Header::MAX_BYTES + INCLUSION_MAX_BYTES),
        header: Header, request: Inclusion, next: Header, outcome: Inclusion;
    StateProof, StateProof, Header::MAX_BYTES + INCLUSION_MAX_BYTES,
        header: Header, entry: Inclusion;
}

/// Serde of bytes of any length as lower-case hex.
mod hex_vec {
    use alloc::string::String;
    use alloc::vec::Vec;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(de::Error::custom("bytes are written in lower-case hex"));
        }
        hex::decode(&text).map_err(de::Error::custom)
    }
}
