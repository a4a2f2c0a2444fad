//! Books of its own: what there must be of each instrument, kept from requests and outcomes only.

use std::collections::BTreeMap;

use quorate_node::app::{Body, Effect, Entry, Executed, InstrumentId, Ledger, Operation, Outcome};
use quorate_pbft::request::Payload;
use quorate_verifier::encoding::Canonical;

/// Units of each instrument, by an account of issues, writings, exercises and the like.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    units: BTreeMap<InstrumentId, u64>,
    pub(crate) done: BTreeMap<&'static str, usize>,
    pub(crate) refused: BTreeMap<&'static str, usize>,
}

impl Books {
    /// Opens the books on a first state.
    pub(crate) fn of(ledger: &Ledger) -> Self {
        Self {
            units: held(ledger),
            ..Self::default()
        }
    }

    /// Books a block, and compares with what all accounts together have now.
    pub(crate) fn book(
        &mut self,
        payload: &Payload,
        outcomes: &[Vec<u8>],
        ledger: &Ledger,
    ) -> Result<(), String> {
        for (request, leaf) in payload.requests.iter().zip(outcomes) {
            let outcome = Outcome::from_leaf(leaf).map_err(|error| error.to_string())?;
            let operation = Body::from_bytes(&request.body).map(|body| body.operation);
            match (&outcome.result, operation) {
                (Executed::Refused(rejection), _) => {
                    *self.refused.entry(rejection.reason.word()).or_default() += 1;
                }
                (Executed::Done(_), Err(_)) => return Err("nonsense was done".into()),
                (Executed::Done(effect), Ok(operation)) => {
                    *self.done.entry(operation.word()).or_default() += 1;
                    self.apply(&operation, effect)?;
                }
            }
        }
        let held = held(ledger);
        let nonzero = |units: &BTreeMap<InstrumentId, u64>| -> Vec<_> {
            units
                .iter()
                .filter(|(_, n)| **n > 0)
                .map(|(i, n)| (*i, *n))
                .collect()
        };
        if nonzero(&held) == nonzero(&self.units) {
            Ok(())
        } else {
            Err(format!(
                "the books have {:?}, the accounts {held:?}",
                self.units
            ))
        }
    }

    fn apply(&mut self, operation: &Operation, effect: &Effect) -> Result<(), String> {
        let (instrument, more, less) = match (operation, effect) {
            (
                Operation::Issue {
                    instrument, amount, ..
                },
                Effect::AsAsked,
            ) => (instrument, *amount, None),
            (
                Operation::Write {
                    instrument,
                    quantity,
                    ..
                },
                Effect::AsAsked,
            ) => (instrument, *quantity, None),
            (
                Operation::Redeem {
                    instrument, amount, ..
                },
                Effect::AsAsked,
            ) => (instrument, Default::default(), Some(*amount)),
            (
                Operation::Close {
                    instrument,
                    quantity,
                    ..
                },
                Effect::AsAsked,
            ) => (instrument, Default::default(), Some(*quantity)),
            (
                Operation::Exercise {
                    instrument,
                    quantity,
                    ..
                },
                Effect::Assigned(writers),
            ) => {
                let assigned: u64 = writers.iter().map(|a| a.quantity.get()).sum();
                if assigned != quantity.get() {
                    return Err(format!("{assigned} of {quantity} contracts were assigned"));
                }
                (instrument, Default::default(), Some(*quantity))
            }
            (Operation::Expire { instrument }, Effect::Expired(contracts)) => {
                (instrument, Default::default(), Some(*contracts))
            }
            _ => return Ok(()),
        };
        let units = self.units.entry(*instrument).or_default();
        *units += more.get();
        let left = units.checked_sub(less.map_or(0, |l| l.get()));
        *units = left.ok_or(format!("{instrument}: more vanished than there was"))?;
        Ok(())
    }
}

fn held(ledger: &Ledger) -> BTreeMap<InstrumentId, u64> {
    let mut units = BTreeMap::new();
    for entry in ledger.entries() {
        if let Entry::Holding(holding) = entry {
            *units.entry(holding.instrument).or_default() +=
                holding.free.get() + holding.locked.get();
        }
    }
    units
}
