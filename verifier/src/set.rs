//! The validator set and its commitment.
//!
//! A set that exists has kept every rule of §2 of `docs/format.md`: 1 to 256 validators, each
//! with a prime-order key in canonical form that nobody else in the set has, each with power,
//! the total below 2^60. The commitment is one BN254 scalar, `Poseidon(root, total, count)`, and
//! proves none of these rules: whoever relies on a commitment has opened the set, or trusts
//! somebody who has.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use ark_bn254::Fr;
use ark_ff::Zero;
use serde::{Deserialize, Serialize};

use crate::dummy::DUMMY_KEY;
use crate::encoding::{
    Canonical, DecodeError, Kind, Reader, scalar_from_bytes, scalar_to_bytes, write_list,
};
use crate::file::FileType;
use crate::hash_to_field::hash_to_field;
use crate::json;
use crate::message::Tag;
use crate::poseidon;
use crate::primitives::{CircuitSize, Power, TREE_DEPTH, VALIDATORS_MAX};
use crate::rule::QuorumRule;
use crate::signature::{KeyError, VoteKey};

/// `Poseidon(root, total power, count)`: one BN254 scalar, kept as its 32 canonical bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetCommitment([u8; 32]);

impl SetCommitment {
    /// From 32 little-endian bytes; `None` from the scalar modulus on.
    pub fn from_bytes(bytes: [u8; 32]) -> Option<Self> {
        scalar_from_bytes(&bytes).map(|_| Self(bytes))
    }

    /// From the scalar.
    pub fn from_scalar(scalar: &Fr) -> Self {
        Self(scalar_to_bytes(scalar))
    }

    /// 32 bytes, little-endian.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As a public input.
    pub fn scalar(&self) -> Fr {
        scalar_from_bytes(&self.0).expect("checked when it was made")
    }
}

impl fmt::Display for SetCommitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for SetCommitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetCommitment({self})")
    }
}

impl Canonical for SetCommitment {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::from_bytes(input.array("set commitment")?)
            .ok_or_else(|| DecodeError::rule("set commitment", NOT_BELOW_MODULUS))
    }
}

impl Serialize for SetCommitment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        json::hex_bytes::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for SetCommitment {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_bytes(json::hex_bytes::deserialize(deserializer)?)
            .ok_or_else(|| serde::de::Error::custom(NOT_BELOW_MODULUS))
    }
}

const NOT_BELOW_MODULUS: &str = "32 little-endian bytes below the BN254 scalar modulus";

/// 32 random bytes, fresh for every set, that hide its members in the commitment. Handed to the
/// members over authenticated links, never printed.
#[derive(Clone, PartialEq, Eq, zeroize::ZeroizeOnDrop)]
pub struct Salt([u8; 32]);

impl Salt {
    /// Takes 32 random bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes: whoever has them can test who is in the set.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(hidden)")
    }
}

/// A member of a set: a checked key and its power, at least 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    /// The consensus key, which signs votes.
    pub key: VoteKey,
    /// Voting power.
    pub power: Power,
}

/// Which rule of a validator set is broken, and by whom (places count from 0).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// No validators.
    #[error("a set has at least one validator")]
    Empty,
    /// More than 256.
    #[error("a set has at most 256 validators, this one has {0}")]
    TooMany(usize),
    /// A key that may not vote.
    #[error("validator {index}: {error}")]
    Key {
        /// Its place in the set.
        index: usize,
        /// What is wrong with the key.
        error: KeyError,
    },
    /// The dummy key, whose secret is published.
    #[error("validator {0} has the dummy key, with which anybody can sign")]
    DummyKey(usize),
    /// No power.
    #[error("validator {0} has no power")]
    ZeroPower(usize),
    /// Power from 2^60 on.
    #[error("validator {index} has power {power}; power is below 2^60")]
    PowerTooLarge {
        /// Its place in the set.
        index: usize,
        /// The power that was given.
        power: u64,
    },
    /// Two validators with one key.
    #[error("validators {first} and {second} have the same key")]
    DuplicateKey {
        /// The first place.
        first: usize,
        /// The second place.
        second: usize,
    },
    /// The sum of the powers reaches 2^60.
    #[error("the total power reaches 2^60 at validator {0}")]
    TotalTooLarge(usize),
}

/// Up to 256 validators in a fixed order, every rule kept, with their commitment.
#[derive(Clone, PartialEq, Eq)]
pub struct ValidatorSet {
    validators: Vec<Validator>,
    salt: Option<Salt>,
    size: CircuitSize,
    total: Power,
    tree: SetTree,
    commitment: SetCommitment,
}

impl ValidatorSet {
    /// Checks every rule and commits.
    ///
    /// Without a salt the set is public: every blinding is zero. The size is the circuit that
    /// proves this set's quorums; see [`ValidatorSet::coverage`].
    ///
    /// # Errors
    /// [`SetError`] names the rule and the validator.
    pub fn new(
        validators: Vec<Validator>,
        salt: Option<Salt>,
        size: CircuitSize,
    ) -> Result<Self, SetError> {
        check_count(validators.len())?;
        let mut seen = BTreeMap::new();
        let mut total = Power::ZERO;
        for (index, validator) in validators.iter().enumerate() {
            if validator.power == Power::ZERO {
                return Err(SetError::ZeroPower(index));
            }
            if *validator.key.as_bytes() == DUMMY_KEY {
                return Err(SetError::DummyKey(index));
            }
            if let Some(first) = seen.insert(*validator.key.as_bytes(), index) {
                return Err(SetError::DuplicateKey {
                    first,
                    second: index,
                });
            }
            total = total
                .checked_add(validator.power)
                .ok_or(SetError::TotalTooLarge(index))?;
        }
        let tree = SetTree::new(&validators, salt.as_ref());
        let count = Fr::from(validators.len() as u64);
        let scalar = poseidon::hash(&[tree.root(), Fr::from(total.get()), count]);
        let commitment = SetCommitment::from_scalar(&scalar);
        Ok(Self {
            validators,
            salt,
            size,
            total,
            tree,
            commitment,
        })
    }

    /// As [`ValidatorSet::new`], from keys and powers that nobody has checked yet.
    ///
    /// # Errors
    /// [`SetError`] names the rule and the validator.
    pub fn from_unchecked(
        entries: &[([u8; 32], u64)],
        salt: Option<Salt>,
        size: CircuitSize,
    ) -> Result<Self, SetError> {
        check_count(entries.len())?;
        let check = |(index, (key, power)): (usize, &([u8; 32], u64))| {
            let key = VoteKey::from_bytes(key).map_err(|error| SetError::Key { index, error })?;
            let power = Power::new(*power).ok_or(SetError::PowerTooLarge {
                index,
                power: *power,
            })?;
            Ok(Validator { key, power })
        };
        let validators = entries
            .iter()
            .enumerate()
            .map(check)
            .collect::<Result<_, _>>()?;
        Self::new(validators, salt, size)
    }

    /// The members, in their order.
    pub fn validators(&self) -> &[Validator] {
        &self.validators
    }

    /// The member at a place.
    pub fn get(&self, index: u16) -> Option<&Validator> {
        self.validators.get(usize::from(index))
    }

    /// The place of a key.
    pub fn index_of(&self, key: &VoteKey) -> Option<u16> {
        let place = self.validators.iter().position(|v| v.key == *key)?;
        u16::try_from(place).ok()
    }

    /// Number of members.
    pub fn count(&self) -> usize {
        self.validators.len()
    }

    /// Sum of all powers, below 2^60.
    pub fn total(&self) -> Power {
        self.total
    }

    /// The circuit that proves this set's quorums.
    pub fn size(&self) -> CircuitSize {
        self.size
    }

    /// The salt, when the set is private.
    pub fn salt(&self) -> Option<&Salt> {
        self.salt.as_ref()
    }

    /// What a header names.
    pub fn commitment(&self) -> SetCommitment {
        self.commitment
    }

    /// The tree under the commitment, for a prover.
    pub fn tree(&self) -> &SetTree {
        &self.tree
    }

    /// The largest number of signers that a quorum may need: drop the largest validators while
    /// the rest still holds `rule`, and count the rest.
    pub fn worst_quorum(&self, rule: QuorumRule) -> usize {
        let mut powers: Vec<_> = self.validators.iter().map(|v| v.power.get()).collect();
        powers.sort_unstable();
        let mut signed = Power::ZERO;
        for (below, power) in powers.iter().enumerate() {
            signed = Power::new(signed.get() + power).expect("a part of a total below 2^60");
            if rule.holds(signed, self.total) {
                return below + 1;
            }
        }
        powers.len() // unreachable: a rule below one holds for the whole
    }

    /// Whether every final block of this set can be proved.
    pub fn coverage(&self, rule: QuorumRule) -> Coverage {
        let signers = self.worst_quorum(rule);
        let slots = self.size.slots();
        Coverage {
            signers,
            slots,
            complete: signers <= usize::from(slots),
        }
    }
}

impl fmt::Debug for ValidatorSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidatorSet")
            .field("count", &self.count())
            .field("size", &self.size)
            .field("commitment", &self.commitment)
            .finish_non_exhaustive()
    }
}

/// The worst quorum of a set beside the slots of its circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Signers in the worst quorum.
    pub signers: usize,
    /// Slots of the set's circuit.
    pub slots: u16,
    /// Whether the slots hold the worst quorum.
    pub complete: bool,
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            signers,
            slots,
            complete,
        } = self;
        if *complete {
            write!(
                f,
                "every final block can be proved: {signers} signers at most, {slots} slots"
            )
        } else {
            write!(
                f,
                "some final blocks CANNOT be proved: a quorum may take {signers} signers, the \
                 circuit has {slots} slots"
            )
        }
    }
}

/// Leaves, blindings and nodes of a set's Poseidon tree of depth 8.
#[derive(Clone, PartialEq, Eq)]
pub struct SetTree {
    blindings: Vec<Fr>,
    /// Level 0 holds the leaves; each level is as long as it has non-empty nodes.
    levels: Vec<Vec<Fr>>,
    /// The node over nothing but empty leaves, by level.
    empty: [Fr; TREE_DEPTH + 1],
}

impl SetTree {
    fn new(validators: &[Validator], salt: Option<&Salt>) -> Self {
        let blindings: Vec<_> = (0..validators.len())
            .map(|index| blinding(salt, index))
            .collect();
        // The empty leaf is 0, which is the Poseidon hash of nothing that anybody knows.
        let mut empty = [Fr::zero(); TREE_DEPTH + 1];
        for level in 0..TREE_DEPTH {
            empty[level + 1] = poseidon::hash(&[empty[level], empty[level]]);
        }
        let leaves = validators
            .iter()
            .zip(&blindings)
            .map(|(v, b)| leaf(v, b))
            .collect();
        let mut levels: Vec<Vec<Fr>> = alloc::vec![leaves];
        for (level, empty) in empty.iter().enumerate().take(TREE_DEPTH) {
            let parents = levels[level]
                .chunks(2)
                .map(|pair| poseidon::hash(&[pair[0], *pair.get(1).unwrap_or(empty)]))
                .collect();
            levels.push(parents);
        }
        Self {
            blindings,
            levels,
            empty,
        }
    }

    /// The root.
    pub fn root(&self) -> Fr {
        self.levels[TREE_DEPTH][0]
    }

    /// The blinding of a member's leaf.
    pub fn blinding(&self, index: usize) -> Option<Fr> {
        self.blindings.get(index).copied()
    }

    /// A leaf; empty ones are 0.
    pub fn leaf(&self, index: usize) -> Option<Fr> {
        (index < VALIDATORS_MAX).then(|| self.node(0, index))
    }

    /// The siblings from leaf `index` to the root; `None` from 256 on.
    pub fn path(&self, index: usize) -> Option<[Fr; TREE_DEPTH]> {
        (index < VALIDATORS_MAX)
            .then(|| core::array::from_fn(|level| self.node(level, (index >> level) ^ 1)))
    }

    fn node(&self, level: usize, index: usize) -> Fr {
        self.levels[level]
            .get(index)
            .copied()
            .unwrap_or(self.empty[level])
    }
}

/// `Poseidon(key bytes 0-15, key bytes 16-31, power, blinding)`, halves little-endian.
fn leaf(validator: &Validator, blinding: &Fr) -> Fr {
    let [low, high] = key_halves(validator.key.as_bytes());
    poseidon::hash(&[low, high, Fr::from(validator.power.get()), *blinding])
}

/// A key as two scalars of 128 bits: bytes 0-15 and 16-31, little-endian.
pub fn key_halves(key: &[u8; 32]) -> [Fr; 2] {
    let (low, high) = key.split_at(16);
    [low, high].map(|half| {
        let half = half.try_into().expect("half of 32 bytes");
        Fr::from(u128::from_le_bytes(half))
    })
}

/// `hash_to_field(tag, salt ‖ index as u64)`; zero without a salt.
fn blinding(salt: Option<&Salt>, index: usize) -> Fr {
    let Some(salt) = salt else { return Fr::zero() };
    let message = [salt.expose().as_slice(), &(index as u64).to_le_bytes()].concat();
    hash_to_field::<1>(Tag::BLINDING.as_bytes(), &message)[0]
}

fn check_count(count: usize) -> Result<(), SetError> {
    match count {
        0 => Err(SetError::Empty),
        1..=VALIDATORS_MAX => Ok(()),
        _ => Err(SetError::TooMany(count)),
    }
}

impl Canonical for Validator {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.key.as_bytes());
        self.power.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let key = VoteKey::from_bytes(&input.array("consensus key")?)
            .map_err(|e| DecodeError::rule("consensus key", e))?;
        Ok(Self {
            key,
            power: Power::read(input)?,
        })
    }
}

impl Canonical for ValidatorSet {
    fn write(&self, out: &mut Vec<u8>) {
        write_list(out, &self.validators);
        out.push(u8::from(self.salt.is_some()));
        if let Some(salt) = &self.salt {
            out.extend_from_slice(salt.expose());
        }
        self.size.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let validators = input.list("validators", VALIDATORS_MAX, Validator::read)?;
        let salt = match input.flag("salt")? {
            true => Some(Salt::from_bytes(input.array("salt")?)),
            false => None,
        };
        let size = CircuitSize::read(input)?;
        Self::new(validators, salt, size).map_err(|e| DecodeError::rule("validators", e))
    }
}

impl FileType for ValidatorSet {
    const KIND: Kind = Kind::ValidatorSet;
    const MAX_BYTES: usize = 2 + VALIDATORS_MAX * 40 + 33 + 2;
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ValidatorJson {
    #[serde(with = "json::hex_bytes")]
    key: [u8; 32],
    #[serde(with = "json::decimal")]
    power: u64,
}

/// The commitment is written for the reader's sake and must agree when it is there.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commitment: Option<SetCommitment>,
    slots: CircuitSize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<SaltJson>,
    validators: Vec<ValidatorJson>,
}

#[derive(Serialize, Deserialize)]
struct SaltJson(#[serde(with = "json::hex_bytes")] [u8; 32]);

impl Serialize for ValidatorSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let member = |v: &Validator| ValidatorJson {
            key: *v.key.as_bytes(),
            power: v.power.get(),
        };
        let json = SetJson {
            commitment: Some(self.commitment),
            slots: self.size,
            salt: self.salt.as_ref().map(|salt| SaltJson(*salt.expose())),
            validators: self.validators.iter().map(member).collect(),
        };
        json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ValidatorSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = SetJson::deserialize(deserializer)?;
        let entries: Vec<_> = json.validators.iter().map(|v| (v.key, v.power)).collect();
        let salt = json.salt.map(|salt| Salt::from_bytes(salt.0));
        let set =
            Self::from_unchecked(&entries, salt, json.slots).map_err(serde::de::Error::custom)?;
        match json.commitment {
            Some(named) if named != set.commitment => Err(serde::de::Error::custom(
                alloc::format!("the set's commitment is {}, not {named}", set.commitment),
            )),
            _ => Ok(set),
        }
    }
}
