//! The words and amounts of the ledger: names of accounts and instruments, and integer units.

use std::fmt;

use quorate_verifier::encoding::{Canonical, DecodeError, Reader, write_bytes};
use serde::{Deserialize, Serialize};

/// Longest name of an account or instrument.
pub const NAME_MAX_BYTES: usize = 24;
/// Every amount, and the whole supply of an instrument, stays below this: sums of two never wrap.
pub const AMOUNT_LIMIT: u64 = 1 << 60;

/// 1 to 24 bytes of `A-Z a-z 0-9 . - _`, the first a letter or digit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Name {
    /// Zeros after the end, so that the order is that of the text.
    bytes: [u8; NAME_MAX_BYTES],
    length: u8,
}

impl Name {
    fn new(text: &str) -> Result<Self, NameError> {
        let length = text.len();
        if !(1..=NAME_MAX_BYTES).contains(&length) {
            return Err(NameError::Length(length));
        }
        let good = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if let Some(byte) = text.bytes().find(|b| !good(b)) {
            return Err(NameError::Character(byte));
        }
        if !text.as_bytes()[0].is_ascii_alphanumeric() {
            return Err(NameError::Start);
        }
        let mut bytes = [0; NAME_MAX_BYTES];
        bytes[..length].copy_from_slice(text.as_bytes());
        let length = u8::try_from(length).expect("at most 24");
        Ok(Self { bytes, length })
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).expect("checked to be ASCII")
    }
}

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty or too long.
    #[error("a name has 1 to 24 bytes, this one has {0}")]
    Length(usize),
    /// A byte outside the alphabet.
    #[error("a name is made of letters, digits, '.', '-' and '_', this one has the byte 0x{0:02x}")]
    Character(u8),
    /// Starts with a sign.
    #[error("a name starts with a letter or digit")]
    Start,
}

macro_rules! named {
    ($($(#[$doc:meta])* $type:ident, $field:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Name);

        impl $type {
            /// Checks a text: 1 to 24 bytes of `A-Z a-z 0-9 . - _`, the first a letter or digit.
            ///
            /// # Errors
            /// [`NameError`] names the rule that is broken.
            pub fn new(text: &str) -> Result<Self, NameError> {
                Name::new(text).map(Self)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.as_str().into()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.as_str())
            }
        }

        impl Canonical for $type {
            fn write(&self, out: &mut Vec<u8>) {
                write_bytes(out, self.as_str().as_bytes());
            }
            fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let text = input.text($field, NAME_MAX_BYTES)?;
                Self::new(text).map_err(|error| DecodeError::rule($field, error))
            }
        }
    )*};
}

named! {
    /// Name of an account.
    AccountId, "account";
    /// Name of an instrument: money, an asset, or an option series.
    InstrumentId, "instrument";
}

/// So many indivisible units of an instrument, below 2^60; in JSON a decimal string.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Amount(u64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `None` from 2^60 on.
    pub const fn new(units: u64) -> Option<Self> {
        if units < AMOUNT_LIMIT {
            Some(Self(units))
        } else {
            None
        }
    }

    /// As a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// `None` when the sum reaches 2^60.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        Self::new(self.0 + other.0) // both below 2^60
    }

    /// `None` when `other` is larger.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// `None` when the product reaches 2^60.
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        self.0.checked_mul(other.0).and_then(Self::new)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl TryFrom<String> for Amount {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let units = quorate_verifier::json::parse_decimal(&text)?;
        Self::new(units).ok_or_else(|| format!("{ABOVE}, not {units}"))
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.0.to_string()
    }
}

impl Canonical for Amount {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let units = input.u64("amount")?;
        Self::new(units)
            .ok_or_else(|| DecodeError::rule("amount", format_args!("{ABOVE}, not {units}")))
    }
}

const ABOVE: &str = "an amount is below 2^60";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_name_their_rule() {
        assert!(AccountId::new("a").is_ok());
        assert!(InstrumentId::new(&"X".repeat(24)).is_ok());
        assert_eq!(AccountId::new(""), Err(NameError::Length(0)));
        assert_eq!(AccountId::new(&"x".repeat(25)), Err(NameError::Length(25)));
        assert_eq!(AccountId::new("a b"), Err(NameError::Character(b' ')));
        assert_eq!(AccountId::new("a\0"), Err(NameError::Character(0)));
        assert_eq!(AccountId::new("-a"), Err(NameError::Start));
    }

    #[test]
    fn names_sort_as_their_texts() {
        let texts = ["A", "A-", "A.", "A0", "a", "a-b", "aa", "b"];
        let names: Vec<_> = texts
            .iter()
            .map(|t| AccountId::new(t).expect("a name"))
            .collect();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn amounts_never_reach_their_limit() {
        let most = Amount::new(AMOUNT_LIMIT - 1).expect("below the limit");
        let one = Amount::new(1).expect("small");
        assert_eq!(Amount::new(AMOUNT_LIMIT), None);
        assert_eq!(most.checked_add(one), None);
        assert_eq!(most.checked_add(most), None);
        assert_eq!(most.checked_mul(most), None);
        assert_eq!(one.checked_sub(most), None);
        assert_eq!(most.checked_mul(one), Some(most));
    }
}
