//! What a ledger starts from: a file whose state root the chain's genesis document names.

use quorate_pbft::app::App;
use quorate_verifier::encoding::{Canonical, DecodeError, Kind as FileKind, Reader, write_list};
use quorate_verifier::file::FileType;
use quorate_verifier::json;
use quorate_verifier::primitives::{Digest, TimeMs};
use serde::{Deserialize, Serialize};

use super::entry::{Entry, Meta};
use super::execute::{define, issue, open};
use super::ledger::Ledger;
use super::names::{AccountId, Amount, InstrumentId};
use super::operation::{KEYS_PER_ACCOUNT, KeyBytes, Kind, bounded};
use super::outcome::Rejection;
use super::state::{Draft, State};

/// Most accounts, instruments and holdings that a genesis file lists, each.
pub const GENESIS_LIST_MAX: usize = (1 << 16) - 1;

/// 32 random bytes; in JSON lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SaltBytes(#[serde(with = "json::hex_bytes")] pub [u8; 32]);

impl std::fmt::Debug for SaltBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SaltBytes(..)")
    }
}

/// The first state of a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// 32 random bytes from which the leaves are salted. Without them whoever sees one balance
    /// with its path can guess its neighbours' from their hashes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<SaltBytes>,
    /// The account that opens accounts, lists instruments and carries changes; one of the accounts.
    pub operator: AccountId,
    /// Accounts with their keys.
    #[serde(deserialize_with = "bounded::<GENESIS_LIST_MAX, _, _>")]
    pub accounts: Vec<GenesisAccount>,
    /// Instruments; an option after what it is on.
    #[serde(default, deserialize_with = "bounded::<GENESIS_LIST_MAX, _, _>")]
    pub instruments: Vec<GenesisInstrument>,
    /// What the accounts have of money and assets.
    #[serde(default, deserialize_with = "bounded::<GENESIS_LIST_MAX, _, _>")]
    pub holdings: Vec<GenesisHolding>,
}

/// An account of the first state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisAccount {
    /// Its name.
    pub account: AccountId,
    /// Its keys, 1 to 8.
    #[serde(deserialize_with = "bounded::<KEYS_PER_ACCOUNT, _, _>")]
    pub keys: Vec<KeyBytes>,
}

/// An instrument of the first state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisInstrument {
    /// Its name.
    pub instrument: InstrumentId,
    /// What it is.
    pub kind: Kind,
}

/// What an account has at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisHolding {
    /// Whose.
    pub account: AccountId,
    /// Of what.
    pub instrument: InstrumentId,
    /// Units, at least 1.
    pub amount: Amount,
}

/// Why a genesis file makes no ledger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// An entry breaks a rule of the ledger.
    #[error("{list} {index}: {rejection}")]
    Entry {
        /// Which list.
        list: &'static str,
        /// Place in it, counted from 0.
        index: usize,
        /// The rule.
        rejection: Rejection,
    },
    /// The operator is not one of the accounts.
    #[error("the operator, {0}, is not one of the accounts")]
    Operator(AccountId),
}

impl Genesis {
    /// The ledger before its first block.
    ///
    /// # Errors
    /// [`GenesisError`] names the entry and the rule.
    pub fn ledger(&self) -> Result<Ledger, GenesisError> {
        let epoch = TimeMs::new(0).expect("before the year 10000");
        let mut state = State::default();
        state.begin(self.salt.map_or([0; 32], |salt| salt.0));
        state.set(Entry::Ledger(Meta {
            chain: Digest::ZERO,
            operator: self.operator,
        }));
        for (index, given) in self.accounts.iter().enumerate() {
            let add = |draft: &mut Draft<'_>| open(draft, given.account, &given.keys);
            commit(&mut state, "account", index, add)?;
        }
        for (index, given) in self.instruments.iter().enumerate() {
            let add = |draft: &mut Draft<'_>| define(draft, epoch, given.instrument, given.kind);
            commit(&mut state, "instrument", index, add)?;
        }
        for (index, given) in self.holdings.iter().enumerate() {
            let add =
                |draft: &mut Draft<'_>| issue(draft, given.instrument, given.account, given.amount);
            commit(&mut state, "holding", index, add)?;
        }
        state.finish();
        let ledger = Ledger { state };
        match ledger.account(self.operator) {
            Some(_) => Ok(ledger),
            None => Err(GenesisError::Operator(self.operator)),
        }
    }

    /// What the chain's genesis document names.
    ///
    /// # Errors
    /// As [`Genesis::ledger`].
    pub fn state_root(&self) -> Result<Digest, GenesisError> {
        self.ledger().map(|ledger| ledger.root())
    }
}

fn commit<T>(
    state: &mut State,
    list: &'static str,
    index: usize,
    add: impl FnOnce(&mut Draft<'_>) -> Result<T, Rejection>,
) -> Result<(), GenesisError> {
    let mut draft = Draft::new(state);
    add(&mut draft).map_err(|rejection| GenesisError::Entry {
        list,
        index,
        rejection,
    })?;
    let changes: Vec<_> = draft.into_changes().collect();
    changes.into_iter().for_each(|entry| state.set(entry));
    Ok(())
}

impl Canonical for GenesisAccount {
    fn write(&self, out: &mut Vec<u8>) {
        self.account.write(out);
        write_list(out, &self.keys);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            account: AccountId::read(input)?,
            keys: input.list("keys", KEYS_PER_ACCOUNT, KeyBytes::read)?,
        })
    }
}

impl Canonical for GenesisInstrument {
    fn write(&self, out: &mut Vec<u8>) {
        self.instrument.write(out);
        self.kind.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            instrument: InstrumentId::read(input)?,
            kind: Kind::read(input)?,
        })
    }
}

impl Canonical for GenesisHolding {
    fn write(&self, out: &mut Vec<u8>) {
        self.account.write(out);
        self.instrument.write(out);
        self.amount.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            account: AccountId::read(input)?,
            instrument: InstrumentId::read(input)?,
            amount: Amount::read(input)?,
        })
    }
}

impl Canonical for Genesis {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.salt.is_some()));
        if let Some(salt) = &self.salt {
            out.extend_from_slice(&salt.0);
        }
        self.operator.write(out);
        write_list(out, &self.accounts);
        write_list(out, &self.instruments);
        write_list(out, &self.holdings);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let salt = match input.flag("salt")? {
            true => Some(SaltBytes(input.array("salt")?)),
            false => None,
        };
        Ok(Self {
            salt,
            operator: AccountId::read(input)?,
            accounts: input.list("accounts", GENESIS_LIST_MAX, GenesisAccount::read)?,
            instruments: input.list("instruments", GENESIS_LIST_MAX, GenesisInstrument::read)?,
            holdings: input.list("holdings", GENESIS_LIST_MAX, GenesisHolding::read)?,
        })
    }
}

impl FileType for Genesis {
    const KIND: FileKind = FileKind::LedgerGenesis;
    const MAX_BYTES: usize = 16 << 20;
}
