//! How fast each primary is: `docs/consensus.md#slow-primaries`.

use std::collections::{BTreeSet, VecDeque};

use quorate_verifier::signature::VoteKey;

use crate::time::Timing;

/// Turns from which the usual length is taken.
const TURNS: usize = 16;
/// A turn of so many times the usual length is slow.
const SLOW_FACTOR: u64 = 4;

/// Lengths of recent turns, and who was slow at its last one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    turns: VecDeque<u64>,
    slow: BTreeSet<[u8; 32]>,
}

impl Watch {
    /// Median of the recent turns, in ms; `None` before there are enough to judge by.
    fn usual(&self) -> Option<u64> {
        if self.turns.len() < TURNS / 4 {
            return None;
        }
        let mut turns: Vec<_> = self.turns.iter().copied().collect();
        turns.sort_unstable();
        turns.get(turns.len() / 2).copied()
    }

    fn margin(timing: &Timing) -> u64 {
        timing.view_ms / 10
    }

    /// Notes a finished height: who led view 0, whether it was decided there, and how long the
    /// deciding view took, in ms.
    pub(crate) fn note(&mut self, first: &VoteKey, in_view_0: bool, took: u64, timing: &Timing) {
        let slow = self
            .usual()
            .is_some_and(|u| took > SLOW_FACTOR * u + Self::margin(timing));
        if slow || !in_view_0 {
            self.slow.insert(*first.as_bytes());
        } else {
            self.slow.remove(first.as_bytes());
        }
        if self.turns.len() == TURNS {
            self.turns.pop_front();
        }
        self.turns.push_back(took);
    }

    /// How long this primary has in view 0, in ms.
    pub(crate) fn patience(&self, primary: &VoteKey, timing: &Timing) -> u64 {
        let full = timing.view_length(0);
        match self.usual() {
            Some(usual) if self.slow.contains(primary.as_bytes()) => {
                full.min(2 * usual + Self::margin(timing))
            }
            _ => full,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> VoteKey {
        let mut base = [0x66; 32];
        base[0] = 0x58; // RFC 8032's base point
        VoteKey::from_bytes(&base).expect("the base point has prime order")
    }

    #[test]
    fn a_slow_primary_has_little_time_until_it_is_well_again() {
        let (timing, mut watch) = (Timing::WIDE, Watch::default());
        for _ in 0..TURNS {
            watch.note(&key(), true, 20, &timing);
        }
        assert_eq!(watch.patience(&key(), &timing), timing.view_ms);
        watch.note(&key(), true, 900, &timing);
        assert_eq!(
            watch.patience(&key(), &timing),
            2 * 20 + timing.view_ms / 10
        );
        watch.note(&key(), true, 25, &timing);
        assert_eq!(watch.patience(&key(), &timing), timing.view_ms);
    }
}
