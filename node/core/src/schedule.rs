//! Whose turn it is: `docs/consensus.md#primary`.

use quorate_verifier::primitives::{Height, View};
use quorate_verifier::set::ValidatorSet;

/// `(√5 − 1)/2 · 2^64`, rounded to odd: the most evenly spread multiples (Weyl 1916; Knuth, The Art of
/// Computer Programming 3, section 6.4).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The fraction `turn · φ mod 1`, times 2^64.
pub(crate) const fn point(turn: u64) -> u64 {
    turn.wrapping_mul(GOLDEN)
}

/// Place of the validator that leads this view of this height.
///
/// Turns are proportional to power over every stretch of heights. The answer depends on nothing
/// but the set, so there is nothing to bias and nothing else to authenticate.
pub fn primary(set: &ValidatorSet, height: Height, view: View) -> u16 {
    let turn = height.get().wrapping_add(view.get());
    let point = (u128::from(point(turn)) * u128::from(set.total().get())) >> 64;
    let mut end = 0u128;
    for (place, validator) in (0u16..).zip(set.validators()) {
        end += u128::from(validator.power.get());
        if point < end {
            return place;
        }
    }
    unreachable!("the point lies below the total power, which the last validator ends")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::sim::keys::set_of;

    #[test]
    fn golden_is_the_odd_number_nearest_to_the_ratio() {
        // phi = (sqrt 5 - 1) / 2, so (2x + 1)^2 = 5 with x = GOLDEN / 2^64; bracket it in integers.
        let g = u128::from(GOLDEN);
        // x^2 + x - 1 changes sign within one unit of the last place around the ratio.
        let sign = |g: u128| {
            let high = (g * g) >> 64; // x^2 · 2^64, rounded down
            (high + g).cmp(&(1u128 << 64))
        };
        assert_eq!(sign(g - 2), std::cmp::Ordering::Less);
        assert_eq!(sign(g + 2), std::cmp::Ordering::Greater);
        assert_eq!(GOLDEN % 2, 1);
    }

    #[test]
    fn turns_are_proportional_to_power_in_every_stretch() {
        let set = set_of(&[5, 3, 2, 1, 1]);
        for start in 0..200u64 {
            let mut turns = BTreeMap::new();
            for height in start..start + 120 {
                let place = primary(&set, Height::new(height), View::FIRST);
                *turns.entry(place).or_insert(0u64) += 1;
            }
            for (place, validator) in (0u16..).zip(set.validators()) {
                let fair = 120 * validator.power.get() / 12;
                let found = turns.get(&place).copied().unwrap_or(0);
                assert!(
                    found.abs_diff(fair) <= 3,
                    "{place} has {found} turns, {fair} are fair"
                );
            }
        }
    }

    #[test]
    fn faulty_validators_hold_few_turns_in_a_row() {
        // A third of the power, however it is cut, never leads more than three views in a row.
        for powers in [
            vec![2, 2, 2],
            vec![4, 1, 1],
            vec![4, 2],
            [vec![8], vec![1; 4]].concat(),
        ] {
            let set = set_of(&powers);
            let third = set.total().get() / 3;
            for faulty in 0..1u32 << powers.len() {
                let power: u64 = (0..powers.len())
                    .filter(|i| faulty >> i & 1 == 1)
                    .map(|i| powers[i])
                    .sum();
                if power > third {
                    continue;
                }
                let mut run = 0;
                for turn in 0..1000 {
                    let place = primary(&set, Height::new(turn), View::FIRST);
                    run = if faulty >> place & 1 == 1 { run + 1 } else { 0 };
                    assert!(run <= 3, "{powers:?} {faulty:b} {turn}");
                }
            }
        }
    }
}
