//! A block's header and its field-disclosing digest.
//!
//! The digest is the RFC 6962 tree hash over the canonical encodings of the eleven fields, in
//! order, so that one field can be shown with a short path. The other fields are not secret.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::encoding::{Canonical, DecodeError, Kind, Reader};
use crate::file::FileType;
use crate::json;
use crate::merkle;
use crate::primitives::{ChainId, Digest, Height, TimeMs};
use crate::set::SetCommitment;

/// Number of fields in a header, and of leaves in its tree.
pub const HEADER_FIELDS: usize = 11;
/// The only header version so far.
pub const HEADER_VERSION: u16 = 1;

/// What a block is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Version of the header's fields: 1.
    #[serde(deserialize_with = "known_version")]
    pub version: u16,
    /// The chain.
    pub chain_id: ChainId,
    /// Position in the chain; 0 is genesis.
    pub height: Height,
    /// When the primary proposed it, by its own clock, above the parent's time.
    pub time: TimeMs,
    /// Digest of the header one height below; zeros at genesis.
    pub parent: Digest,
    /// RFC 6962 root over this block's requests, each as `salt16 ‖ request`.
    pub payload_root: Digest,
    /// RFC 6962 root over the outcomes of the *parent's* requests.
    pub outcomes_root: Digest,
    /// Root of the state *before* this block's payload is applied.
    pub state_root: Digest,
    /// Digest of the [`crate::genesis::Parameters`] in force.
    pub parameters: Digest,
    /// The set that signs this block.
    pub validators: SetCommitment,
    /// The set that signs the next block.
    pub next_validators: SetCommitment,
}

/// A field of a header, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum HeaderField {
    /// Header version.
    Version,
    /// Chain id.
    ChainId,
    /// Height.
    Height,
    /// Time.
    Time,
    /// Parent digest.
    Parent,
    /// Payload root.
    PayloadRoot,
    /// Outcomes root.
    OutcomesRoot,
    /// State root.
    StateRoot,
    /// Parameters digest.
    Parameters,
    /// Commitment to the signing set.
    Validators,
    /// Commitment to the next set.
    NextValidators,
}

impl HeaderField {
    /// Every field, in order.
    pub const ALL: [Self; HEADER_FIELDS] = [
        Self::Version,
        Self::ChainId,
        Self::Height,
        Self::Time,
        Self::Parent,
        Self::PayloadRoot,
        Self::OutcomesRoot,
        Self::StateRoot,
        Self::Parameters,
        Self::Validators,
        Self::NextValidators,
    ];
}

/// One field of a header, with the path that leads to the header's digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProof {
    /// Which field.
    pub field: HeaderField,
    /// Its canonical encoding.
    pub encoding: Vec<u8>,
    /// Siblings from the leaf up.
    pub path: Vec<Digest>,
}

impl FieldProof {
    /// Whether the header with this digest has this field.
    pub fn shows(&self, header: &Digest) -> bool {
        let leaf = merkle::leaf_hash(&self.encoding);
        merkle::is_included(
            &leaf,
            self.field as u64,
            HEADER_FIELDS as u64,
            &self.path,
            header,
        )
    }
}

impl Header {
    /// The canonical encodings of the fields: the leaves of the header's tree.
    pub fn fields(&self) -> [Vec<u8>; HEADER_FIELDS] {
        [
            self.version.to_le_bytes().to_vec(),
            self.chain_id.to_bytes(),
            self.height.to_bytes(),
            self.time.to_bytes(),
            self.parent.to_bytes(),
            self.payload_root.to_bytes(),
            self.outcomes_root.to_bytes(),
            self.state_root.to_bytes(),
            self.parameters.to_bytes(),
            self.validators.to_bytes(),
            self.next_validators.to_bytes(),
        ]
    }

    /// The header's name: RFC 6962 tree hash over [`Header::fields`].
    pub fn digest(&self) -> Digest {
        merkle::root_of(self.fields())
    }

    /// Shows one field without the others.
    pub fn prove_field(&self, field: HeaderField) -> FieldProof {
        let mut fields = self.fields();
        let leaves: Vec<_> = fields.iter().map(|f| merkle::leaf_hash(f)).collect();
        let path = merkle::inclusion_path(&leaves, field as usize);
        FieldProof {
            field,
            encoding: core::mem::take(&mut fields[field as usize]),
            path: path.expect("every field is a leaf"),
        }
    }
}

impl Canonical for Header {
    fn write(&self, out: &mut Vec<u8>) {
        for field in self.fields() {
            out.extend_from_slice(&field);
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = input.u16(json::VERSION_FIELD)?;
        check_version(version).map_err(|rule| DecodeError::rule(json::VERSION_FIELD, rule))?;
        Ok(Self {
            version,
            chain_id: ChainId::read(input)?,
            height: Height::read(input)?,
            time: TimeMs::read(input)?,
            parent: input.array("parent").map(Digest::from_bytes)?,
            payload_root: input.array("payload root").map(Digest::from_bytes)?,
            outcomes_root: input.array("outcomes root").map(Digest::from_bytes)?,
            state_root: input.array("state root").map(Digest::from_bytes)?,
            parameters: input.array("parameters").map(Digest::from_bytes)?,
            validators: SetCommitment::read(input)?,
            next_validators: SetCommitment::read(input)?,
        })
    }
}

impl FileType for Header {
    const KIND: Kind = Kind::Header;
    const MAX_BYTES: usize = 512;
}

fn check_version(version: u16) -> Result<(), alloc::string::String> {
    if version == HEADER_VERSION {
        return Ok(());
    }
    Err(alloc::format!(
        "header version {version} {}",
        json::UNKNOWN_VERSION
    ))
}

fn known_version<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let version = u16::deserialize(deserializer)?;
    check_version(version).map_err(serde::de::Error::custom)?;
    Ok(version)
}
