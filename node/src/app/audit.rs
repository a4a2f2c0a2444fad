//! What holds in every state, whatever was asked of the ledger.

use std::collections::BTreeMap;

use quorate_pbft::request::ClientKey;

use super::entry::{Entry, EntryKey, Holding};
use super::ledger::Ledger;
use super::names::{AccountId, InstrumentId};
use super::operation::KeyBytes;

/// A promise of the ledger that a state does not keep.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// Units appeared or vanished.
    #[error("{instrument}: the supply is {supply}, all holdings together are {held}")]
    Supply {
        /// The instrument.
        instrument: InstrumentId,
        /// What the instrument's entry says.
        supply: u128,
        /// The sum of all holdings.
        held: u128,
    },
    /// More or fewer contracts were written than are held.
    #[error("{instrument}: {held} contracts are held, {written} are written")]
    Written {
        /// The series.
        instrument: InstrumentId,
        /// Contracts that are held.
        held: u128,
        /// Contracts that are written.
        written: u128,
    },
    /// Written contracts are not covered exactly.
    #[error("{account}: {locked} of {instrument} are locked, {needed} cover what it has written")]
    Cover {
        /// The writer.
        account: AccountId,
        /// What covers.
        instrument: InstrumentId,
        /// What is locked.
        locked: u128,
        /// What the written contracts need.
        needed: u128,
    },
    /// An entry names another that is not there, or not of the right kind.
    #[error("{0:?} names an entry that is not there, or not of the right kind")]
    Dangling(EntryKey),
    /// Accounts and keys disagree.
    #[error("account {0} and its keys disagree")]
    Keys(AccountId),
}

#[derive(Default)]
struct Sums {
    free: u128,
    locked: u128,
    written: u128,
}

impl Ledger {
    /// Checks the whole state: money and every instrument are conserved, every written contract is
    /// held by somebody and covered to the unit, every key acts for the account that lists it.
    ///
    /// # Errors
    /// The first promise that is broken.
    pub fn audit(&self) -> Result<(), AuditError> {
        let mut sums: BTreeMap<InstrumentId, Sums> = BTreeMap::new();
        let mut locked: BTreeMap<(AccountId, InstrumentId), u128> = BTreeMap::new();
        let mut needed: BTreeMap<(AccountId, InstrumentId), u128> = BTreeMap::new();
        for entry in self.entries() {
            match entry {
                Entry::Ledger(meta) => self.must_have_account(entry, meta.operator)?,
                Entry::Account(account) => {
                    let acts = |key: &KeyBytes| {
                        let client = self.state.client(&ClientKey(key.0));
                        client.is_some_and(|c| c.account == Some(account.account))
                    };
                    if account.keys.is_empty() || !account.keys.iter().all(acts) {
                        return Err(AuditError::Keys(account.account));
                    }
                }
                Entry::Client(client) => {
                    let Some(owner) = client.account else {
                        continue;
                    };
                    let key = KeyBytes(*client.key.as_bytes());
                    let account = self.account(owner);
                    if !account.is_some_and(|a| a.keys.contains(&key)) {
                        return Err(AuditError::Keys(owner));
                    }
                }
                Entry::Instrument(instrument) => {
                    sums.entry(instrument.instrument).or_default();
                }
                Entry::Holding(holding) => {
                    self.must_have_account(entry, holding.account)?;
                    let sum = sums.entry(holding.instrument).or_default();
                    sum.free += u128::from(holding.free.get());
                    sum.locked += u128::from(holding.locked.get());
                    sum.written += u128::from(holding.written.get());
                    let place = (holding.account, holding.instrument);
                    *locked.entry(place).or_default() += u128::from(holding.locked.get());
                    if let Some((instrument, units)) = self.cover_of(holding)? {
                        *needed.entry((holding.account, instrument)).or_default() += units;
                    }
                }
            }
        }
        for (instrument, sum) in &sums {
            self.check_sum(*instrument, sum)?;
        }
        needed.keys().for_each(|place| {
            locked.entry(*place).or_default();
        });
        for ((account, instrument), locked) in locked {
            let needed = needed.get(&(account, instrument)).copied().unwrap_or(0);
            if locked != needed {
                return Err(AuditError::Cover {
                    account,
                    instrument,
                    locked,
                    needed,
                });
            }
        }
        Ok(())
    }

    fn must_have_account(&self, entry: &Entry, account: AccountId) -> Result<(), AuditError> {
        match self.account(account) {
            Some(_) => Ok(()),
            None => Err(AuditError::Dangling(entry.key())),
        }
    }

    fn cover_of(&self, holding: &Holding) -> Result<Option<(InstrumentId, u128)>, AuditError> {
        if holding.written.is_zero() {
            return Ok(None);
        }
        let dangling = AuditError::Dangling(EntryKey::Holding(holding.account, holding.instrument));
        let series = self.instrument(holding.instrument);
        let cover = series
            .and_then(|s| s.terms())
            .and_then(|terms| terms.cover(holding.written));
        let (instrument, units) = cover.ok_or(dangling)?;
        Ok(Some((instrument, u128::from(units.get()))))
    }

    fn check_sum(&self, instrument: InstrumentId, sum: &Sums) -> Result<(), AuditError> {
        let entry = self.instrument(instrument);
        let entry = entry.ok_or(AuditError::Dangling(EntryKey::Instrument(instrument)))?;
        let supply = u128::from(entry.supply.get());
        let held = sum.free + sum.locked;
        if supply != held {
            return Err(AuditError::Supply {
                instrument,
                supply,
                held,
            });
        }
        let written = if entry.terms().is_some() { held } else { 0 };
        if sum.written != written || (entry.terms().is_some() && sum.locked > 0) {
            return Err(AuditError::Written {
                instrument,
                held,
                written: sum.written,
            });
        }
        Ok(())
    }
}
