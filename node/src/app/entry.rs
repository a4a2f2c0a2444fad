//! What the state is made of: each entry is one leaf of the state tree, `salt16 ‖ entry`.

use quorate_pbft::request::ClientKey;
use quorate_verifier::encoding::{Canonical, DecodeError, Reader, write_list};
use quorate_verifier::primitives::Digest;
use quorate_verifier::signature::VoteKey;
use serde::{Deserialize, Serialize};

use super::names::{AccountId, Amount, InstrumentId};
use super::operation::{KEYS_PER_ACCOUNT, KeyBytes, Kind, unknown};

/// The name of an entry: no two entries of one state have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKey {
    /// The one [`Entry::Ledger`].
    Ledger,
    /// An account.
    Account(AccountId),
    /// A key that acts or acted for an account.
    Client(ClientKey),
    /// An instrument.
    Instrument(InstrumentId),
    /// What an account has of an instrument.
    Holding(AccountId, InstrumentId),
}

/// One entry of the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// What there is once.
    Ledger(Meta),
    /// An account and its keys.
    Account(Account),
    /// A key, with the last sequence that it used: never removed, so that nothing is replayed.
    Client(ClientRecord),
    /// An instrument.
    Instrument(Instrument),
    /// What an account has of an instrument.
    Holding(Holding),
}

/// What a ledger has once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// Digest of the genesis header, which consents are bound to; zeros before the first block.
    pub chain: Digest,
    /// The account that opens accounts, lists instruments and carries changes.
    pub operator: AccountId,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its name.
    pub account: AccountId,
    /// Keys that act for it, in increasing order, 1 to 8.
    pub keys: Vec<KeyBytes>,
}

/// A key that acts for an account, or did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientRecord {
    /// The key.
    #[serde(serialize_with = "key_bytes")]
    pub key: VoteKey,
    /// The account; none when the key was removed.
    pub account: Option<AccountId>,
    /// Sequence of its last executed request.
    #[serde(with = "quorate_verifier::json::decimal")]
    pub sequence: u64,
}

fn key_bytes<S: serde::Serializer>(key: &VoteKey, serializer: S) -> Result<S::Ok, S::Error> {
    KeyBytes(*key.as_bytes()).serialize(serializer)
}

/// An instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instrument {
    /// Its name.
    pub instrument: InstrumentId,
    /// What it is.
    pub kind: Kind,
    /// All units there are: of an option, open contracts.
    pub supply: Amount,
    /// The writer who was assigned last; of an option only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned: Option<AccountId>,
    /// Whether the series has ended; of an option only.
    pub ended: bool,
}

/// What an account has of an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holding {
    /// Whose.
    pub account: AccountId,
    /// Of what.
    pub instrument: InstrumentId,
    /// At its disposal: of an option, contracts that it holds.
    pub free: Amount,
    /// Covering options that it has written; of money and assets.
    pub locked: Amount,
    /// Contracts that it has written; of options.
    pub written: Amount,
}

impl Holding {
    /// Nothing, as every account has of every instrument at first.
    pub const fn nothing(account: AccountId, instrument: InstrumentId) -> Self {
        Self {
            account,
            instrument,
            free: Amount::ZERO,
            locked: Amount::ZERO,
            written: Amount::ZERO,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_nothing(&self) -> bool {
        *self == Self::nothing(self.account, self.instrument)
    }
}

impl Entry {
    /// Its name.
    pub fn key(&self) -> EntryKey {
        match self {
            Self::Ledger(_) => EntryKey::Ledger,
            Self::Account(account) => EntryKey::Account(account.account),
            Self::Client(client) => EntryKey::Client(ClientKey(*client.key.as_bytes())),
            Self::Instrument(instrument) => EntryKey::Instrument(instrument.instrument),
            Self::Holding(holding) => EntryKey::Holding(holding.account, holding.instrument),
        }
    }
}

fn write_name(out: &mut Vec<u8>, name: Option<&AccountId>) {
    out.push(u8::from(name.is_some()));
    if let Some(name) = name {
        name.write(out);
    }
}

fn read_name(
    input: &mut Reader<'_>,
    field: &'static str,
) -> Result<Option<AccountId>, DecodeError> {
    input
        .flag(field)?
        .then(|| AccountId::read(input))
        .transpose()
}

impl Canonical for Meta {
    fn write(&self, out: &mut Vec<u8>) {
        self.chain.write(out);
        self.operator.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            chain: Digest::read(input)?,
            operator: AccountId::read(input)?,
        })
    }
}

impl Canonical for Account {
    fn write(&self, out: &mut Vec<u8>) {
        self.account.write(out);
        write_list(out, &self.keys);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let account = AccountId::read(input)?;
        let keys = input.list("keys", KEYS_PER_ACCOUNT, KeyBytes::read)?;
        if keys.is_empty() || !keys.is_sorted_by(|a, b| a < b) {
            let rule = "an account has 1 to 8 keys in increasing order";
            return Err(DecodeError::rule("keys", rule));
        }
        Ok(Self { account, keys })
    }
}

impl Canonical for ClientRecord {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.key.as_bytes());
        write_name(out, self.account.as_ref());
        out.extend_from_slice(&self.sequence.to_le_bytes());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let key = VoteKey::from_bytes(&input.array("client key")?);
        Ok(Self {
            key: key.map_err(|error| DecodeError::rule("client key", error))?,
            account: read_name(input, "client account")?,
            sequence: input.u64("sequence")?,
        })
    }
}

impl Canonical for Instrument {
    fn write(&self, out: &mut Vec<u8>) {
        self.instrument.write(out);
        self.kind.write(out);
        self.supply.write(out);
        write_name(out, self.assigned.as_ref());
        out.push(u8::from(self.ended));
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            instrument: InstrumentId::read(input)?,
            kind: Kind::read(input)?,
            supply: Amount::read(input)?,
            assigned: read_name(input, "assigned writer")?,
            ended: input.flag("ended")?,
        })
    }
}

impl Canonical for Holding {
    fn write(&self, out: &mut Vec<u8>) {
        self.account.write(out);
        self.instrument.write(out);
        self.free.write(out);
        self.locked.write(out);
        self.written.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            account: AccountId::read(input)?,
            instrument: InstrumentId::read(input)?,
            free: Amount::read(input)?,
            locked: Amount::read(input)?,
            written: Amount::read(input)?,
        })
    }
}

impl Canonical for Entry {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ledger(meta) => {
                out.push(0);
                meta.write(out);
            }
            Self::Account(account) => {
                out.push(1);
                account.write(out);
            }
            Self::Client(client) => {
                out.push(2);
                client.write(out);
            }
            Self::Instrument(instrument) => {
                out.push(3);
                instrument.write(out);
            }
            Self::Holding(holding) => {
                out.push(4);
                holding.write(out);
            }
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match input.u8("entry")? {
            0 => Self::Ledger(Meta::read(input)?),
            1 => Self::Account(Account::read(input)?),
            2 => Self::Client(ClientRecord::read(input)?),
            3 => Self::Instrument(Instrument::read(input)?),
            4 => Self::Holding(Holding::read(input)?),
            code => return Err(unknown("entry", code)),
        })
    }
}
