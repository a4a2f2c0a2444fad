//! What became of a request: the leaves of the outcomes tree.
//!
//! A leaf is `salt16 ‖ outcome`; the outcomes root of the requests of block h stands in header h+1.

use std::fmt;

use quorate_pbft::request::LEAF_SALT_BYTES;
use quorate_verifier::encoding::{Canonical, DecodeError, Reader};
use serde::{Deserialize, Serialize};

use super::names::{AccountId, Amount, InstrumentId};
use super::operation::{KeyBytes, unknown};

/// What one executed request did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The request's client.
    pub client: KeyBytes,
    /// The request's sequence.
    #[serde(with = "quorate_verifier::json::decimal")]
    pub sequence: u64,
    /// What it did, or why it did nothing.
    pub result: Executed,
}

/// Done, or refused: then nothing but the client's sequence changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Executed {
    /// The operation took effect as a whole.
    Done(Effect),
    /// It had no effect.
    Refused(Rejection),
}

/// What a request that was done brought about, beyond what it says itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Exactly what was asked for.
    AsAsked,
    /// Writers who were assigned an exercise, with their contracts, in the order of assignment.
    Assigned(Vec<Assignment>),
    /// Contracts that ended with their series.
    Expired(Amount),
    /// The change was handed to the validators' rules; whether it was made, header h+1 shows.
    HandedOn,
}

/// Contracts that one writer was assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// The writer.
    pub writer: AccountId,
    /// Contracts.
    pub quantity: Amount,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $word:literal, $sentence:literal;)*) => {
        /// Why a request was refused; the byte and the word never change their meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])* $name = $code),* }

        impl Reason {
            /// Every reason, in the order of its byte.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// From its byte.
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte { $($code => Some(Self::$name),)* _ => None }
            }

            /// The word, for machines.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// The sentence, for people.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence),* }
            }
        }
    };
}

reasons! {
    /// The body does not decode.
    Malformed = 1, "malformed", "the request's body is not a ledger operation";
    /// The client's key acts for no account.
    UnknownClient = 2, "unknown-client", "the client's key acts for no account";
    /// Not the client's next sequence.
    Replayed = 3, "replayed", "the sequence is not the client's next";
    /// A consent that is needed is missing.
    Unauthorised = 4, "unauthorised", "the operation needs the consent of this account";
    /// A consent of somebody who is not asked, or twice.
    ConsentUnneeded = 5, "consent-unneeded", "a consent is by a key whose account is not asked, or was counted";
    /// A consent whose signature does not hold.
    ConsentSignature = 6, "consent-signature", "the signature of this account's consent does not hold";
    /// No such account.
    UnknownAccount = 7, "unknown-account", "there is no such account";
    /// No such instrument.
    UnknownInstrument = 8, "unknown-instrument", "there is no such instrument";
    /// The account's name is taken.
    AccountExists = 9, "account-exists", "an account of this name exists";
    /// The instrument's name is taken.
    InstrumentExists = 10, "instrument-exists", "an instrument of this name exists";
    /// Not a canonical Ed25519 key of prime order.
    KeyInvalid = 11, "key-invalid", "the key is not a canonical Ed25519 key of prime order";
    /// The key acts for an account already.
    KeyTaken = 12, "key-taken", "the key acts for an account already";
    /// The key does not act for this account.
    KeyUnknown = 13, "key-unknown", "the key does not act for this account";
    /// An account keeps at least one key.
    LastKey = 14, "last-key", "an account keeps at least one key";
    /// Eight keys at most.
    TooManyKeys = 15, "too-many-keys", "an account has 8 keys at most";
    /// Money where an asset is needed, and so on.
    WrongKind = 16, "wrong-kind", "the instrument is not of the kind that this operation needs";
    /// An amount that must be above 0 is 0.
    Zero = 17, "zero", "an amount is 0";
    /// A sum or product reaches 2^60.
    Overflow = 18, "overflow", "a sum or product reaches 2^60";
    /// The account has too little.
    Short = 19, "short", "the account has too little of the instrument";
    /// Both sides are one account.
    SameAccount = 20, "same-account", "both sides are the same account";
    /// After the trade's `valid_until`.
    Late = 21, "late", "the trade was valid until an earlier time";
    /// The option's expiry has come.
    Expired = 22, "expired", "the option's expiry has come";
    /// The option's expiry has not come.
    NotExpired = 23, "not-expired", "the option's expiry has not come";
    /// The series has ended.
    Ended = 24, "ended", "the series has ended";
    /// A block makes one change at most.
    SecondChange = 25, "second-change", "the block carries a change already";
    /// A change of nothing.
    EmptyChange = 26, "empty-change", "the change names neither a set nor parameters";
    /// A series has a bounded number of holders and writers.
    TooManyHolders = 27, "too-many-holders", "the series has as many holders and writers as it may";
    /// The state has a bounded number of entries.
    StateFull = 28, "state-full", "the state has as many entries as it may";
    /// Decimals above 18.
    Decimals = 29, "decimals", "an instrument is shown with 18 decimals at most";
}

/// Why a request had no effect: a reason, and what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(deny_unknown_fields)]
pub struct Rejection {
    /// The rule that is broken.
    pub reason: Reason,
    /// The account that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// The instrument that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instrument: Option<InstrumentId>,
    /// For [`Reason::Short`], what was needed; for [`Reason::Replayed`], the client's next.
    #[serde(with = "quorate_verifier::json::decimal")]
    pub needed: u64,
    /// What there was in its place.
    #[serde(with = "quorate_verifier::json::decimal")]
    pub found: u64,
}

impl Rejection {
    /// A reason alone.
    pub const fn new(reason: Reason) -> Self {
        Self {
            reason,
            account: None,
            instrument: None,
            needed: 0,
            found: 0,
        }
    }

    /// About an account.
    pub const fn account(mut self, account: AccountId) -> Self {
        self.account = Some(account);
        self
    }

    /// About an instrument.
    pub const fn instrument(mut self, instrument: InstrumentId) -> Self {
        self.instrument = Some(instrument);
        self
    }

    /// With figures.
    pub const fn figures(mut self, needed: u64, found: u64) -> Self {
        (self.needed, self.found) = (needed, found);
        self
    }
}

impl From<Reason> for Rejection {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.word(), self.reason.sentence())?;
        if let Some(account) = self.account {
            write!(f, "; account {account}")?;
        }
        if let Some(instrument) = self.instrument {
            write!(f, "; instrument {instrument}")?;
        }
        if self.needed > 0 || self.found > 0 {
            write!(f, "; needed {}, found {}", self.needed, self.found)?;
        }
        Ok(())
    }
}

impl Outcome {
    /// The leaf of the outcomes tree.
    pub fn leaf(&self, salt: [u8; LEAF_SALT_BYTES]) -> Vec<u8> {
        let mut leaf = salt.to_vec();
        self.write(&mut leaf);
        leaf
    }

    /// Reads a leaf of the outcomes tree, as [`quorate_pbft::app::Applied`] and the core's
    /// decisions have it.
    ///
    /// # Errors
    /// [`DecodeError`] names what is wrong.
    pub fn from_leaf(leaf: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(leaf);
        input.take("salt", LEAF_SALT_BYTES)?;
        let outcome = Self::read(&mut input)?;
        input.end()?;
        Ok(outcome)
    }
}

/// Most assignments that the codec reads: as many as a series may have writers.
const ASSIGNMENTS_MAX: usize = super::state::HOLDERS_MAX;

impl Canonical for Assignment {
    fn write(&self, out: &mut Vec<u8>) {
        self.writer.write(out);
        self.quantity.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            writer: AccountId::read(input)?,
            quantity: Amount::read(input)?,
        })
    }
}

impl Canonical for Effect {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::AsAsked => out.push(0),
            Self::Assigned(writers) => {
                out.push(1);
                quorate_verifier::encoding::write_list(out, writers);
            }
            Self::Expired(contracts) => {
                out.push(2);
                contracts.write(out);
            }
            Self::HandedOn => out.push(3),
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match input.u8("effect")? {
            0 => Self::AsAsked,
            1 => Self::Assigned(input.list("assignments", ASSIGNMENTS_MAX, Assignment::read)?),
            2 => Self::Expired(Amount::read(input)?),
            3 => Self::HandedOn,
            code => return Err(unknown("effect", code)),
        })
    }
}

impl Canonical for Rejection {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.reason as u8);
        out.push(u8::from(self.account.is_some()));
        if let Some(account) = self.account {
            account.write(out);
        }
        out.push(u8::from(self.instrument.is_some()));
        if let Some(instrument) = self.instrument {
            instrument.write(out);
        }
        out.extend_from_slice(&self.needed.to_le_bytes());
        out.extend_from_slice(&self.found.to_le_bytes());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let code = input.u8("reason")?;
        let reason = Reason::from_byte(code).ok_or_else(|| unknown("reason", code))?;
        let account = match input.flag("account")? {
            true => Some(AccountId::read(input)?),
            false => None,
        };
        let instrument = match input.flag("instrument")? {
            true => Some(InstrumentId::read(input)?),
            false => None,
        };
        Ok(Self {
            reason,
            account,
            instrument,
            needed: input.u64("needed")?,
            found: input.u64("found")?,
        })
    }
}

impl Canonical for Outcome {
    fn write(&self, out: &mut Vec<u8>) {
        self.client.write(out);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        match &self.result {
            Executed::Done(effect) => {
                out.push(0);
                effect.write(out);
            }
            Executed::Refused(rejection) => {
                out.push(1);
                rejection.write(out);
            }
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            client: KeyBytes::read(input)?,
            sequence: input.u64("sequence")?,
            result: if input.flag("result")? {
                Executed::Refused(Rejection::read(input)?)
            } else {
                Executed::Done(Effect::read(input)?)
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_distinct_bytes_and_words() {
        for (i, a) in Reason::ALL.iter().enumerate() {
            assert_eq!(Reason::from_byte(*a as u8), Some(*a));
            let json = serde_json::to_string(a).expect("a unit variant");
            assert_eq!(json, format!("{:?}", a.word()), "one word everywhere");
            for b in &Reason::ALL[i + 1..] {
                assert!(a.word() != b.word() && (*a as u8) < *b as u8);
            }
        }
        assert_eq!(Reason::from_byte(0), None);
    }
}
