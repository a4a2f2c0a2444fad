//! Chain parameters, and the genesis document whose digest ends the chain id.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::encoding::{Canonical, DecodeError, Kind, Reader, write_bytes, write_list};
use crate::file::FileType;
use crate::header::{HEADER_VERSION, Header};
use crate::merkle;
use crate::message::Tag;
use crate::primitives::{ChainId, ChainIdError, CircuitSize, Digest, Height, TimeMs};
use crate::rule::QuorumRule;
use crate::set::SetCommitment;

/// Most verifying keys that parameters, an anchor or a policy list.
pub const KEYS_MAX: usize = 16;
/// Longest name of a chain: with `-` and 16 digits it makes a chain id of 50 bytes.
pub const NAME_MAX_BYTES: usize = 33;

/// A verifying key that proofs may be made under, by digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedKey {
    /// Digest of the light verifying key.
    pub digest: Digest,
    /// Slots of its circuit.
    pub slots: CircuitSize,
}

/// Bounds that every validator keeps when it proposes and checks a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Most bytes in a block's requests.
    pub block_bytes: u32,
    /// Most requests in a block.
    pub block_requests: u32,
    /// Most bytes in one request.
    pub request_bytes: u32,
}

impl Limits {
    /// One MiB and 4,096 requests a block, 64 KiB a request.
    pub const DEFAULT: Self = Self {
        block_bytes: 1 << 20,
        block_requests: 4096,
        request_bytes: 1 << 16,
    };
}

/// What is in force on a chain; a header names its digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// What a commit takes.
    pub rule: QuorumRule,
    /// Slots of the circuit that proves the set's quorums.
    pub slots: CircuitSize,
    /// Verifying keys that proofs may be made under, in increasing order of digest.
    #[serde(deserialize_with = "ordered_keys")]
    pub keys: Vec<AcceptedKey>,
    /// Time between blocks, in milliseconds.
    pub block_interval_ms: u32,
    /// Bounds on blocks.
    pub limits: Limits,
}

impl Parameters {
    /// What a header names.
    pub fn digest(&self) -> Digest {
        Tag::PARAMETERS.digest(&self.to_bytes())
    }
}

/// Everything about a chain but its id, which ends in eight bytes of this document's digest: so
/// an id is never used twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// The name that starts the chain id: 1 to 33 bytes of `a-z 0-9 -`.
    #[serde(deserialize_with = "chain_name")]
    pub name: String,
    /// The genesis header's time.
    pub time: TimeMs,
    /// Parameters in force from the first block.
    pub parameters: Parameters,
    /// The set that signs the first block.
    pub validators: SetCommitment,
    /// Root of the state before the first block.
    pub state_root: Digest,
}

impl Genesis {
    /// SHA-256 of the tag and the canonical bytes.
    pub fn digest(&self) -> Digest {
        Tag::GENESIS.digest(&self.to_bytes())
    }

    /// `<name>-<first eight bytes of the digest>`.
    ///
    /// # Errors
    /// [`ChainIdError`] when the name is not one.
    pub fn chain_id(&self) -> Result<ChainId, ChainIdError> {
        ChainId::from_genesis(&self.name, &self.digest())
    }

    /// The header at height 0: nobody signs it, it is trusted as it is.
    ///
    /// # Errors
    /// [`ChainIdError`] when the name is not one.
    pub fn header(&self) -> Result<Header, ChainIdError> {
        let nothing = merkle::root(&[]);
        Ok(Header {
            version: HEADER_VERSION,
            chain_id: self.chain_id()?,
            height: Height::GENESIS,
            time: self.time,
            parent: Digest::ZERO,
            payload_root: nothing,
            outcomes_root: nothing,
            state_root: self.state_root,
            parameters: self.parameters.digest(),
            validators: self.validators,
            next_validators: self.validators,
        })
    }
}

/// Refuses a list of keys that is too long or not in increasing order of digest.
pub(crate) fn check_keys(keys: &[AcceptedKey]) -> Result<(), String> {
    if keys.len() > KEYS_MAX {
        return Err(alloc::format!(
            "at most {KEYS_MAX} keys are listed, not {}",
            keys.len()
        ));
    }
    if keys.windows(2).all(|pair| pair[0].digest < pair[1].digest) {
        return Ok(());
    }
    Err(String::from(
        "keys are listed once each, in increasing order of digest",
    ))
}

pub(crate) fn read_keys(input: &mut Reader<'_>) -> Result<Vec<AcceptedKey>, DecodeError> {
    let keys = input.list("keys", KEYS_MAX, AcceptedKey::read)?;
    check_keys(&keys).map_err(|rule| DecodeError::rule("keys", rule))?;
    Ok(keys)
}

pub(crate) fn ordered_keys<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<AcceptedKey>, D::Error> {
    let keys = Vec::<AcceptedKey>::deserialize(deserializer)?;
    check_keys(&keys).map_err(serde::de::Error::custom)?;
    Ok(keys)
}

fn check_name(name: &str) -> Result<(), ChainIdError> {
    ChainId::from_genesis(name, &Digest::ZERO).map(|_| ())
}

fn chain_name<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    check_name(&name).map_err(serde::de::Error::custom)?;
    Ok(name)
}

impl Canonical for AcceptedKey {
    fn write(&self, out: &mut Vec<u8>) {
        self.digest.write(out);
        self.slots.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let digest = input.array("key digest").map(Digest::from_bytes)?;
        Ok(Self {
            digest,
            slots: CircuitSize::read(input)?,
        })
    }
}

impl Canonical for Limits {
    fn write(&self, out: &mut Vec<u8>) {
        for bound in [self.block_bytes, self.block_requests, self.request_bytes] {
            out.extend_from_slice(&bound.to_le_bytes());
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            block_bytes: input.u32("block bytes")?,
            block_requests: input.u32("block requests")?,
            request_bytes: input.u32("request bytes")?,
        })
    }
}

impl Canonical for Parameters {
    fn write(&self, out: &mut Vec<u8>) {
        self.rule.write(out);
        self.slots.write(out);
        write_list(out, &self.keys);
        out.extend_from_slice(&self.block_interval_ms.to_le_bytes());
        self.limits.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            rule: QuorumRule::read(input)?,
            slots: CircuitSize::read(input)?,
            keys: read_keys(input)?,
            block_interval_ms: input.u32("block interval")?,
            limits: Limits::read(input)?,
        })
    }
}

impl FileType for Parameters {
    const KIND: Kind = Kind::Parameters;
    const MAX_BYTES: usize = 28 + KEYS_MAX * 34;
}

impl Canonical for Genesis {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(out, self.name.as_bytes());
        self.time.write(out);
        self.parameters.write(out);
        self.validators.write(out);
        self.state_root.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let name = input.text("name", NAME_MAX_BYTES)?;
        check_name(name).map_err(|e| DecodeError::rule("name", e))?;
        Ok(Self {
            name: name.into(),
            time: TimeMs::read(input)?,
            parameters: Parameters::read(input)?,
            validators: SetCommitment::read(input)?,
            state_root: input.array("state root").map(Digest::from_bytes)?,
        })
    }
}

impl FileType for Genesis {
    const KIND: Kind = Kind::Genesis;
    const MAX_BYTES: usize = 2 + NAME_MAX_BYTES + 8 + Parameters::MAX_BYTES + 64;
}
