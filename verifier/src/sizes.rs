//! The circuit sizes that have a name, and which of them a validator set needs.
//!
//! A size is named by the power of two that its rows fill, and holds as many signers as fit. It is
//! chosen once, for the worst quorum of the set, and never by looking at a certificate: a size
//! chosen by need would tell whether the large validators signed.

use crate::primitives::CircuitSize;
use crate::rule::QuorumRule;
use crate::set::ValidatorSet;

/// A circuit that fills a domain of `2^domain_log2` rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedSize {
    /// Base-two logarithm of the rows.
    pub domain_log2: u8,
    /// Signers that fit.
    pub size: CircuitSize,
}

/// Every named size, smallest first.
///
/// As many slots as the circuit has room for: its cost test pins this table.
pub const NAMED_SIZES: [NamedSize; 6] = [
    named(18, 4),
    named(19, 9),
    named(20, 20),
    named(21, 42),
    named(22, 87),
    named(23, 176),
];

/// The smallest named size that holds this many signers; `None` when no circuit does.
pub fn smallest_for(signers: usize) -> Option<NamedSize> {
    NAMED_SIZES
        .into_iter()
        .find(|named| signers <= usize::from(named.size.slots()))
}

/// The smallest named size that proves every final block of `set`; `None` when no circuit does.
pub fn smallest_for_set(set: &ValidatorSet, rule: QuorumRule) -> Option<NamedSize> {
    smallest_for(set.worst_quorum(rule))
}

/// The largest named size: what a set takes that no size holds.
pub const fn largest() -> NamedSize {
    NAMED_SIZES[NAMED_SIZES.len() - 1]
}

const fn named(domain_log2: u8, slots: u16) -> NamedSize {
    match CircuitSize::from_slots(slots) {
        Ok(size) => NamedSize { domain_log2, size },
        Err(_) => panic!("a named size has 1 to 256 slots"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_grow_with_their_domains() {
        for pair in NAMED_SIZES.windows(2) {
            assert_eq!(pair[0].domain_log2 + 1, pair[1].domain_log2);
            assert!(pair[0].size < pair[1].size);
        }
    }

    #[test]
    fn the_smallest_that_holds_is_taken() {
        let slots = |signers| smallest_for(signers).map(|named| named.size.slots());
        assert_eq!(slots(0), Some(4));
        for named in NAMED_SIZES {
            let most = named.size.slots();
            assert_eq!(slots(usize::from(most)), Some(most));
            assert!(slots(usize::from(most) + 1).is_none_or(|next| next > most));
        }
        assert_eq!(slots(usize::from(largest().size.slots()) + 1), None);
    }

    #[test]
    fn a_hundred_equal_validators_can_be_proved() {
        // Two thirds of 100 equal validators are 67 signers.
        assert!(smallest_for(67).is_some());
    }
}
