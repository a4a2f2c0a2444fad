//! Canonical bytes: one value has one encoding, and only that one decodes.
//!
//! Integers are little-endian and of fixed width, byte strings and lists have a length before
//! them (`u16`), an option is a byte 0 or 1. A file starts with `QUORATE`, a kind byte and a format version. Nothing is
//! allocated before its length was checked against a named limit and against the bytes at hand.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use ark_bn254::Fr;
use ark_ff::{BigInteger, PrimeField};

use crate::primitives::{ChainId, CircuitSize, Digest, Height, Power, TimeMs, View};

/// First bytes of every binary file.
pub const MAGIC: [u8; 7] = *b"QUORATE";
/// The only format version so far.
pub const FORMAT_VERSION: u8 = 1;
/// Bytes before the body of a file: magic, kind, version.
pub const FILE_HEADER_BYTES: usize = 9;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $word:literal;)*) => {
        /// What a file holds.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Kind { $($(#[$doc])* $name = $code),* }

        impl Kind {
            /// Every kind, in the order of its byte.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// From a file's eighth byte.
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte { $($code => Some(Self::$name),)* _ => None }
            }

            /// The word in `"type": "quorate/<word>/v1"`.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }
    };
}

kinds! {
    /// A block header.
    Header = 1, "header";
    /// A validator set with keys, powers, salt and circuit size: private when it has a salt.
    ValidatorSet = 2, "validator-set";
    /// A header with its commit certificate: names the signers, private to validators and prover.
    SignedHeader = 3, "signed-header";
    /// The public inputs of a proof, named.
    Statement = 4, "statement";
    /// What a light client starts from.
    TrustAnchor = 5, "trust-anchor";
    /// What a verifier demands.
    Policy = 6, "policy";
    /// The genesis document.
    Genesis = 7, "genesis";
    /// The validators by name, key, address and power: private.
    Roster = 8, "roster";
    /// What one machine needs to start, sealed to its network key.
    Bundle = 9, "bundle";
    /// Chain parameters.
    Parameters = 10, "parameters";
    /// A commit certificate without its header.
    Certificate = 11, "certificate";
    /// A proof of finality with the header and view it speaks of.
    Attestation = 12, "attestation";
    /// A verifying key, light form.
    VerifyingKey = 13, "verifying-key";
    /// A proving key.
    ProvingKey = 14, "proving-key";
    /// State of a light client.
    ClientState = 15, "client-state";
    /// Two signatures by one validator at one height and view.
    DoubleVote = 16, "double-vote";
    /// Two attested headers at one height.
    Fork = 17, "fork";
    /// A request, shown to be in a block.
    SubmissionProof = 18, "submission-proof";
    /// A request and its outcome, shown to be in a block and its child.
    SettlementProof = 19, "settlement-proof";
    /// An entry of the state, shown to be named by a header.
    StateProof = 20, "state-proof";
    /// The state that a ledger starts from: private when it has a salt.
    LedgerGenesis = 21, "ledger-genesis";
    /// Requests to a ledger, signed or still to be signed.
    Requests = 22, "requests";
    /// What takes a light client one header further.
    ClientUpdate = 23, "client-update";
}

impl core::fmt::Display for Kind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.word())
    }
}

/// Why bytes or JSON are not the value that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The file does not start with `QUORATE`.
    #[error("not a Quorate file: it does not start with QUORATE")]
    Magic,
    /// The kind byte is unknown to this version.
    #[error("unknown kind of file: byte 8 is 0x{0:02x}")]
    UnknownKind(u8),
    /// A good file of another kind.
    #[error("this is a {found} file, a {expected} file was expected")]
    WrongKind {
        /// What the caller asked for.
        expected: Kind,
        /// What the file says it is.
        found: Kind,
    },
    /// A kind that is known, in a format version that is not.
    #[error("format version {version} of a {kind} file is unknown; this program knows version 1")]
    UnknownVersion {
        /// What the file says it is.
        kind: Kind,
        /// Its version byte.
        version: u8,
    },
    /// The bytes end inside a field.
    #[error("{field}: {needed} bytes are needed, {left} are left")]
    Truncated {
        /// The field that was read.
        field: &'static str,
        /// Bytes that it takes.
        needed: usize,
        /// Bytes that were there.
        left: usize,
    },
    /// Bytes after the end of the value.
    #[error("{0} bytes follow the end of the value")]
    Trailing(usize),
    /// A length field beyond its limit.
    #[error("{field}: length {length} is above the limit of {limit}")]
    TooLong {
        /// The field that was read.
        field: &'static str,
        /// The length that it claims.
        length: usize,
        /// Its limit.
        limit: usize,
    },
    /// The bytes are there, but a rule of the value is broken.
    #[error("{field}: {rule}")]
    Rule {
        /// The field that breaks it.
        field: &'static str,
        /// The rule, in words, with the figures.
        rule: String,
    },
    /// JSON that does not parse, or whose members are not those of the type.
    #[error("JSON: {0}")]
    Json(String),
    /// JSON of another type, or of none.
    #[error("JSON of type {found:?}, \"quorate/{expected}/v1\" was expected")]
    JsonType {
        /// What the caller asked for.
        expected: Kind,
        /// The document's `type`, empty when it has none.
        found: String,
    },
}

impl DecodeError {
    /// A broken rule, in the words of the error that names it.
    pub fn rule(field: &'static str, rule: impl core::fmt::Display) -> Self {
        Self::Rule {
            field,
            rule: rule.to_string(),
        }
    }

    /// Whether a newer program might read this: an unknown kind or version.
    pub fn is_unsupported(&self) -> bool {
        match self {
            Self::UnknownKind(_) | Self::UnknownVersion { .. } => true,
            Self::Rule { field, .. } => *field == crate::json::VERSION_FIELD,
            Self::JsonType { expected, found } => {
                found.starts_with(&alloc::format!("quorate/{expected}/v"))
            }
            _ => false,
        }
    }
}

/// A value with canonical bytes.
pub trait Canonical: Sized {
    /// Appends the only encoding of the value.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads the value and leaves the rest in the reader.
    ///
    /// # Errors
    /// [`DecodeError`] names the field and the rule that is broken.
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// The only encoding of the value.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Decodes all of `bytes`.
    ///
    /// # Errors
    /// As [`Canonical::read`], and [`DecodeError::Trailing`].
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let value = Self::read(&mut input)?;
        input.end()?;
        Ok(value)
    }
}

/// A cursor over hostile bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Takes `count` bytes for `field`.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn take(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(count) {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(head)
            }
            None => Err(DecodeError::Truncated {
                field,
                needed: count,
                left: self.rest.len(),
            }),
        }
    }

    /// Takes `N` bytes for `field`.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let bytes = self.take(field, N)?;
        Ok(bytes
            .try_into()
            .expect("take returns the count that was asked for"))
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        Ok(self.array::<1>(field)?[0])
    }

    /// Two bytes, little-endian.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_le_bytes)
    }

    /// Four bytes, little-endian.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_le_bytes)
    }

    /// Eight bytes, little-endian.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// A byte 0 or 1.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], or [`DecodeError::Rule`] for another byte.
    pub fn flag(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            byte => Err(DecodeError::rule(
                field,
                alloc::format!("a flag is 0 or 1, not {byte}"),
            )),
        }
    }

    /// A `u16` length, at most `limit`.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::TooLong`].
    pub fn length(&mut self, field: &'static str, limit: usize) -> Result<usize, DecodeError> {
        let length = usize::from(self.u16(field)?);
        if length > limit {
            return Err(DecodeError::TooLong {
                field,
                length,
                limit,
            });
        }
        Ok(length)
    }

    /// A byte string with its `u16` length before it, at most `limit` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::TooLong`].
    pub fn bytes(&mut self, field: &'static str, limit: usize) -> Result<&'a [u8], DecodeError> {
        let length = self.length(field, limit)?;
        self.take(field, length)
    }

    /// A UTF-8 text with its `u16` length before it, at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Reader::bytes`], and [`DecodeError::Rule`] when it is not UTF-8.
    pub fn text(&mut self, field: &'static str, limit: usize) -> Result<&'a str, DecodeError> {
        core::str::from_utf8(self.bytes(field, limit)?)
            .map_err(|_| DecodeError::rule(field, "a text is UTF-8"))
    }

    /// A list with its `u16` length before it, at most `limit` items.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`], and whatever an item's reader answers.
    pub fn list<T>(
        &mut self,
        field: &'static str,
        limit: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let length = self.length(field, limit)?;
        // No reservation by a claimed length: the bytes must be there first.
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Bytes that are left.
    pub const fn left(&self) -> usize {
        self.rest.len()
    }

    /// Fails unless every byte was read.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`].
    pub fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing(self.rest.len()))
        }
    }
}

/// Appends a byte string with its `u16` length before it.
///
/// # Panics
/// When the string is longer than a `u16` counts; every caller has a smaller limit.
pub fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends a `u16` length.
///
/// # Panics
/// Above 65,535; every list here has a smaller limit, kept by its constructor.
pub fn write_length(out: &mut Vec<u8>, length: usize) {
    let length = u16::try_from(length).expect("every list has a limit below 2^16");
    out.extend_from_slice(&length.to_le_bytes());
}

/// Appends a list with its `u16` length before it.
pub fn write_list<T: Canonical>(out: &mut Vec<u8>, items: &[T]) {
    write_length(out, items.len());
    for item in items {
        item.write(out);
    }
}

macro_rules! canonical_u64 {
    ($($type:ty, $field:literal, $new:expr, $rule:literal;)*) => {$(
        impl Canonical for $type {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.get().to_le_bytes());
            }
            fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let number = input.u64($field)?;
                let new: fn(u64) -> Option<Self> = $new;
                new(number).ok_or_else(|| {
                    DecodeError::rule($field, alloc::format!(concat!($rule, ", not {}"), number))
                })
            }
        }
    )*};
}

canonical_u64! {
    Height, "height", |n| Some(Self::new(n)), "any height";
    View, "view", |n| Some(Self::new(n)), "any view";
    Power, "power", Power::new, "power is below 2^60";
    TimeMs, "time", TimeMs::new, "a time is before the year 10000";
}

impl Canonical for Digest {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.array("digest").map(Self::from_bytes)
    }
}

impl Canonical for ChainId {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(out, self.as_str().as_bytes());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let text = input.text("chain id", crate::primitives::CHAIN_ID_MAX_BYTES)?;
        Self::new(text).map_err(|e| DecodeError::rule("chain id", e))
    }
}

impl Canonical for CircuitSize {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.slots().to_le_bytes());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::from_slots(input.u16("circuit size")?)
            .map_err(|e| DecodeError::rule("circuit size", e))
    }
}

/// A scalar as 32 bytes, little-endian, below the modulus.
pub fn scalar_to_bytes(scalar: &Fr) -> [u8; 32] {
    scalar
        .into_bigint()
        .to_bytes_le()
        .try_into()
        .expect("a BN254 scalar has 32 bytes")
}

/// The scalar that 32 little-endian bytes encode; `None` from the modulus on.
pub fn scalar_from_bytes(bytes: &[u8; 32]) -> Option<Fr> {
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
        *limb = u64::from_le_bytes(chunk.try_into().expect("chunks of eight"));
    }
    Fr::from_bigint(ark_ff::BigInt(limbs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_canonical() {
        let minus_one = -Fr::from(1u8);
        let bytes = scalar_to_bytes(&minus_one);
        assert_eq!(scalar_from_bytes(&bytes), Some(minus_one));
        let modulus: [u8; 32] = Fr::MODULUS
            .to_bytes_le()
            .try_into()
            .expect("a BN254 scalar has 32 bytes");
        assert_eq!(scalar_from_bytes(&modulus), None);
        assert_eq!(scalar_from_bytes(&[0xff; 32]), None);
    }

    #[test]
    fn a_claimed_length_allocates_nothing() {
        let mut input = Reader::new(&[0xff, 0xff, 1, 2]);
        let error = input
            .clone()
            .bytes("name", 100)
            .expect_err("above the limit");
        assert_eq!(
            error,
            DecodeError::TooLong {
                field: "name",
                length: 65535,
                limit: 100
            }
        );
        let error = input.bytes("name", 65535).expect_err("not there");
        assert_eq!(
            error,
            DecodeError::Truncated {
                field: "name",
                needed: 65535,
                left: 2
            }
        );
    }

    #[test]
    fn kinds_have_distinct_bytes_and_words() {
        for (i, a) in Kind::ALL.iter().enumerate() {
            assert_eq!(Kind::from_byte(*a as u8), Some(*a));
            for b in &Kind::ALL[i + 1..] {
                assert!(*a as u8 != *b as u8 && a.word() != b.word());
            }
        }
        assert_eq!(Kind::from_byte(0), None);
    }
}
