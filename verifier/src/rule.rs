//! Quorum rule: `signed · den > num · total`, strictly, in integers that cannot wrap.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::encoding::{Canonical, DecodeError, Reader};
use crate::primitives::Power;

/// A fraction of the total power, in lowest terms, that the signed power must exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "RuleJson", into = "RuleJson")]
pub struct QuorumRule {
    num: u32,
    den: u32,
}

/// Why two numbers are not a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// `0/den` would mean "anyone signed".
    #[error("a rule of 0/{0} means that anyone signed: the numerator is at least 1")]
    Zero(u32),
    /// Nobody can exceed the whole.
    #[error("a rule of {0}/{1} can never hold: the numerator is below the denominator")]
    NotBelowOne(u32, u32),
    /// Written as, say, 4/6.
    #[error("a rule is written in lowest terms, {0}/{1} is not")]
    NotLowestTerms(u32, u32),
}

impl QuorumRule {
    /// More than two thirds: what a commit takes.
    pub const COMMIT: Self = Self { num: 2, den: 3 };
    /// More than one third: overlap with an older trusted set.
    pub const OVERLAP: Self = Self { num: 1, den: 3 };

    /// `num/den`.
    ///
    /// # Errors
    /// [`RuleError`] unless `0 < num < den` in lowest terms.
    pub const fn new(num: u32, den: u32) -> Result<Self, RuleError> {
        if num == 0 {
            return Err(RuleError::Zero(den));
        }
        if num >= den {
            return Err(RuleError::NotBelowOne(num, den));
        }
        if gcd(num, den) != 1 {
            return Err(RuleError::NotLowestTerms(num, den));
        }
        Ok(Self { num, den })
    }

    /// The numerator.
    pub const fn num(self) -> u32 {
        self.num
    }

    /// The denominator.
    pub const fn den(self) -> u32 {
        self.den
    }

    /// Whether `signed` is more than the fraction of `total`. No wrap: both products stay below
    /// 2^60 · 2^32.
    pub fn holds(self, signed: Power, total: Power) -> bool {
        u128::from(signed.get()) * u128::from(self.den)
            > u128::from(total.get()) * u128::from(self.num)
    }

    /// The least power that holds: `floor(num · total / den) + 1`.
    pub fn least(self, total: Power) -> Power {
        let least = u128::from(total.get()) * u128::from(self.num) / u128::from(self.den) + 1;
        // num < den, so this is at most `total`, or 1 when the total is 0.
        u64::try_from(least)
            .ok()
            .and_then(Power::new)
            .expect("a fraction of a power is a power")
    }

    /// What any two quorums of one set are sure to share: `max(0, 2·num − den) / den` of the total.
    pub fn guaranteed_intersection(self) -> Intersection {
        match (2 * u64::from(self.num)).checked_sub(u64::from(self.den)) {
            Some(num @ 1..) => Intersection::MoreThan {
                num,
                den: u64::from(self.den),
            },
            _ => Intersection::None,
        }
    }
}

/// The power that any two quorums share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intersection {
    /// Two quorums may be disjoint: the rule shows overlap with the set, no intersection.
    None,
    /// More than `num/den` of the total power.
    MoreThan {
        /// The numerator.
        num: u64,
        /// The denominator.
        den: u64,
    },
}

impl fmt::Display for Intersection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("overlap, no intersection"),
            Self::MoreThan { num, den } => {
                write!(
                    f,
                    "any two quorums share more than {num}/{den} of the power"
                )
            }
        }
    }
}

const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl fmt::Display for QuorumRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {}/{}", self.num, self.den)
    }
}

impl Canonical for QuorumRule {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.num.to_le_bytes());
        out.extend_from_slice(&self.den.to_le_bytes());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (num, den) = (input.u32("rule numerator")?, input.u32("rule denominator")?);
        Self::new(num, den).map_err(|e| DecodeError::rule("rule", e))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleJson {
    num: u32,
    den: u32,
}

impl TryFrom<RuleJson> for QuorumRule {
    type Error = RuleError;
    fn try_from(json: RuleJson) -> Result<Self, RuleError> {
        Self::new(json.num, json.den)
    }
}

impl From<QuorumRule> for RuleJson {
    fn from(rule: QuorumRule) -> Self {
        Self {
            num: rule.num,
            den: rule.den,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::primitives::POWER_LIMIT;

    fn power(n: u64) -> Power {
        Power::new(n).expect("below the limit")
    }

    proptest! {
        #[test]
        fn the_boundary_is_strict(third in 1u64..POWER_LIMIT / 3) {
            let total = power(3 * third);
            prop_assert!(!QuorumRule::COMMIT.holds(power(2 * third), total));
            prop_assert!(QuorumRule::COMMIT.holds(power(2 * third + 1), total));
            prop_assert!(!QuorumRule::OVERLAP.holds(power(third), total));
            prop_assert!(QuorumRule::OVERLAP.holds(power(third + 1), total));
        }

        #[test]
        fn least_is_the_boundary(total in 1u64..POWER_LIMIT, num in 1u32.., den in 2u32..) {
            prop_assume!(num < den && gcd(num, den) == 1);
            let rule = QuorumRule { num, den };
            let least = rule.least(power(total));
            prop_assert!(least <= power(total));
            prop_assert!(rule.holds(least, power(total)));
            prop_assert!(!rule.holds(power(least.get() - 1), power(total)));
        }
    }

    #[test]
    fn powers_near_the_limit_do_not_wrap() {
        let total = power(POWER_LIMIT - 1); // divisible by 3
        let exact = power((POWER_LIMIT - 1) / 3 * 2);
        assert!(!QuorumRule::COMMIT.holds(exact, total));
        assert!(QuorumRule::COMMIT.holds(power(exact.get() + 1), total));
        let tight = QuorumRule::new(u32::MAX - 1, u32::MAX).expect("lowest terms");
        assert!(tight.holds(total, total));
        // (2^60 - 1) / (2^32 - 1) lies just above 2^28.
        assert!(tight.holds(power(total.get() - (1 << 28)), total));
        assert!(!tight.holds(power(total.get() - (1 << 28) - 1), total));
    }

    #[test]
    fn only_lowest_terms_between_zero_and_one() {
        assert_eq!(QuorumRule::new(0, 1), Err(RuleError::Zero(1)));
        assert_eq!(QuorumRule::new(1, 1), Err(RuleError::NotBelowOne(1, 1)));
        assert_eq!(QuorumRule::new(1, 0), Err(RuleError::NotBelowOne(1, 0)));
        assert_eq!(QuorumRule::new(4, 6), Err(RuleError::NotLowestTerms(4, 6)));
    }

    #[test]
    fn intersection_in_words() {
        assert_eq!(
            QuorumRule::OVERLAP.guaranteed_intersection(),
            Intersection::None
        );
        let half = QuorumRule::new(1, 2).expect("lowest terms");
        assert_eq!(half.guaranteed_intersection(), Intersection::None);
        let third = Intersection::MoreThan { num: 1, den: 3 };
        assert_eq!(QuorumRule::COMMIT.guaranteed_intersection(), third);
    }
}
