//! The small words of the claim: digests, heights, views, powers, times and chain ids.
//!
//! Each is a type of its own, so that a height is never taken for a view and power never wraps.

use alloc::string::{String, ToString};
use core::fmt;

use serde::{Deserialize, Serialize};

/// Longest chain id, in bytes.
pub const CHAIN_ID_MAX_BYTES: usize = 50;
/// Bytes that a chain id ends in: `-` and the first eight bytes of the genesis digest, in hex.
const CHAIN_ID_SUFFIX_BYTES: usize = 17;
/// Total power of a validator set stays below this; so does every single power.
pub const POWER_LIMIT: u64 = 1 << 60;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// 32 zero bytes: the parent of the genesis header, which has none.
    pub const ZERO: Self = Self([0; 32]);

    /// Takes the bytes as they are.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Position in the chain; genesis is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Height(u64);

impl Height {
    /// The genesis header's height.
    pub const GENESIS: Self = Self(0);

    /// Any `u64` is a height.
    pub const fn new(height: u64) -> Self {
        Self(height)
    }

    /// As a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// `None` after the last representable height.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

/// PBFT view: the attempt at one height, led by one primary; the first is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct View(u64);

impl View {
    /// The first view.
    pub const FIRST: Self = Self(0);

    /// Any `u64` is a view.
    pub const fn new(view: u64) -> Self {
        Self(view)
    }

    /// As a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// `None` after the last representable view.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

/// Voting power, or a sum of it; always below [`POWER_LIMIT`] (2^60).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Power(u64);

impl Power {
    /// No power: the empty sum. No validator has it.
    pub const ZERO: Self = Self(0);

    /// `None` from 2^60 on.
    pub const fn new(power: u64) -> Option<Self> {
        if power < POWER_LIMIT {
            Some(Self(power))
        } else {
            None
        }
    }

    /// As a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// `None` when the sum reaches 2^60.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::new)
    }

    /// `None` when `other` is the larger one.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z, as agreed by the validators; before the year 10000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeMs(u64);

impl TimeMs {
    /// First millisecond of the year 10000, which RFC 3339 cannot write.
    pub const LIMIT: u64 = 253_402_300_800_000;

    /// `None` from the year 10000 on.
    pub const fn new(time_ms: u64) -> Option<Self> {
        if time_ms < Self::LIMIT {
            Some(Self(time_ms))
        } else {
            None
        }
    }

    /// Milliseconds since the epoch.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// `None` when the sum passes the year 9999.
    pub fn checked_add_ms(self, ms: u64) -> Option<Self> {
        self.0.checked_add(ms).and_then(Self::new)
    }
}

/// Name of a chain: `<name>-<16 hex digits>`, at most 50 bytes of `a-z 0-9 -`.
///
/// The digits are the first eight bytes of the genesis document's digest, so an id is never used
/// for two chains.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId(String);

/// Why a text is not a chain id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainIdError {
    /// Shorter than a one-letter name with its digest, or longer than 50 bytes.
    #[error("a chain id has 18 to 50 bytes, this one has {0}")]
    Length(usize),
    /// A byte outside `a-z 0-9 -`.
    #[error("a chain id is made of a-z, 0-9 and '-', this one has the byte 0x{0:02x}")]
    Character(u8),
    /// The name is empty, or starts with `-`.
    #[error("the name in a chain id starts with a letter or digit")]
    Name,
    /// It does not end in `-` and 16 lower-case hex digits.
    #[error("a chain id ends in '-' and 16 hex digits of the genesis digest")]
    Suffix,
}

impl ChainId {
    /// Checks a text.
    ///
    /// # Errors
    /// [`ChainIdError`] names the rule that is broken.
    pub fn new(text: &str) -> Result<Self, ChainIdError> {
        let length = text.len();
        if !(CHAIN_ID_SUFFIX_BYTES + 1..=CHAIN_ID_MAX_BYTES).contains(&length) {
            return Err(ChainIdError::Length(length));
        }
        if let Some(byte) = text.bytes().find(|b| !is_name_byte(*b)) {
            return Err(ChainIdError::Character(byte));
        }
        let (name, suffix) = text.split_at(length - CHAIN_ID_SUFFIX_BYTES);
        let digits = suffix.strip_prefix('-').ok_or(ChainIdError::Suffix)?;
        if !digits
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Err(ChainIdError::Suffix);
        }
        if name.starts_with('-') {
            return Err(ChainIdError::Name);
        }
        Ok(Self(text.to_string()))
    }

    /// Joins a name and the digest of the genesis document that bears it.
    ///
    /// # Errors
    /// [`ChainIdError`] when the name is empty, too long (33 bytes at most) or has other bytes.
    pub fn from_genesis(name: &str, genesis: &Digest) -> Result<Self, ChainIdError> {
        Self::new(&alloc::format!(
            "{name}-{}",
            hex::encode(&genesis.as_bytes()[..8])
        ))
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight bytes of the genesis digest.
    pub fn genesis_prefix(&self) -> [u8; 8] {
        let mut prefix = [0; 8];
        hex::decode_to_slice(&self.0[self.0.len() - 16..], &mut prefix)
            .expect("the suffix was checked to be hex");
        prefix
    }
}

fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How many signers a circuit holds: a property of the validator set, fixed when it is made.
///
/// It never depends on a certificate: a size chosen by need would tell whether the large
/// validators signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct CircuitSize(u16);

/// Depth of every set tree: 2^8 = 256 validators at most.
pub const TREE_DEPTH: usize = 8;
/// Most validators in a set.
pub const VALIDATORS_MAX: usize = 1 << TREE_DEPTH;

/// A number of slots outside 1..=256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a circuit has 1 to 256 slots, not {0}")]
pub struct CircuitSizeError(pub u16);

impl CircuitSize {
    /// A circuit with this many slots for signers.
    ///
    /// # Errors
    /// [`CircuitSizeError`] outside 1..=256.
    pub const fn from_slots(slots: u16) -> Result<Self, CircuitSizeError> {
        if slots >= 1 && slots as usize <= VALIDATORS_MAX {
            Ok(Self(slots))
        } else {
            Err(CircuitSizeError(slots))
        }
    }

    /// Signers that the circuit holds.
    pub const fn slots(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for CircuitSize {
    type Error = CircuitSizeError;
    fn try_from(slots: u16) -> Result<Self, CircuitSizeError> {
        Self::from_slots(slots)
    }
}

impl From<CircuitSize> for u16 {
    fn from(size: CircuitSize) -> Self {
        size.0
    }
}

/// The bytes 0, 1, 2, … 31, for tests.
#[cfg(test)]
pub(crate) fn counting_bytes() -> [u8; 32] {
    let mut next = 0;
    [(); 32].map(|()| {
        next += 1;
        next - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_ids_name_their_rule() {
        let digits = "0123456789abcdef";
        assert!(ChainId::new(&alloc::format!("a-{digits}")).is_ok());
        assert!(ChainId::new(&alloc::format!("{}-{digits}", "x".repeat(33))).is_ok());
        let refused = [
            (
                alloc::format!("{}-{digits}", "x".repeat(34)),
                ChainIdError::Length(51),
            ),
            (alloc::format!("-{digits}"), ChainIdError::Length(17)),
            (alloc::format!("A-{digits}"), ChainIdError::Character(b'A')),
            (alloc::format!("--{digits}"), ChainIdError::Name),
            (alloc::format!("a_{digits}"), ChainIdError::Character(b'_')),
            ("a-0123456789abcdeg".to_string(), ChainIdError::Suffix),
            ("abcdefabcdefabcdef".to_string(), ChainIdError::Suffix),
        ];
        for (text, error) in refused {
            assert_eq!(ChainId::new(&text), Err(error), "{text}");
        }
    }

    #[test]
    fn chain_id_carries_the_genesis_digest() {
        let digest = Digest::from_bytes(counting_bytes());
        let id = ChainId::from_genesis("options", &digest).expect("a good name");
        assert_eq!(id.as_str(), "options-0001020304050607");
        assert_eq!(id.genesis_prefix(), [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn power_never_reaches_its_limit() {
        let most = Power::new(POWER_LIMIT - 1).expect("below the limit");
        assert_eq!(Power::new(POWER_LIMIT), None);
        assert_eq!(most.checked_add(Power(1)), None);
        assert_eq!(Power(1).checked_sub(Power(2)), None);
    }

    #[test]
    fn counters_and_times_end_without_wrapping() {
        assert_eq!(Height::new(u64::MAX).next(), None);
        assert_eq!(View::new(u64::MAX).next(), None);
        assert_eq!(TimeMs::new(TimeMs::LIMIT), None);
        let last = TimeMs::new(TimeMs::LIMIT - 1).expect("in the year 9999");
        assert_eq!(last.checked_add_ms(1), None);
    }
}
