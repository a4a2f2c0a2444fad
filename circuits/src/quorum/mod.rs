//! Quorum: the flagged slots hold more than `num / den` of all power.
//!
//! Statement  `signed * den > num * total` over the integers, with `signed` the sum of the flagged
//!            powers and `packed = num + 2^32 den`
//! Public     packed
//! Witness    num, den, the gated powers; slack = signed * den - num * total - 1
//! Assumes    every power < 2^60 and total < 2^60: their types' chunks show it; flags are bits
//! Argument   The slack is an integer that is not negative, and the difference it is equated with
//!            does not wrap; hence the inequality, strictly. num and den are the halves of `packed`:
//!            both are below 2^32 and `packed` is below 2^64. A rule with `den = 0` holds for nobody
//! No wrap    With at most 2^c slots, `signed * den < 2^(92 + c)` and `num * total < 2^92`, and the slack
//!            is below 2^w, where w is 92 + c rounded up to whole chunks: `num * total + slack + 1` is
//!            below 2^(w + 1), far below N, so the equality holds over the integers
//! Cost       n + 3 for n slots, chunks of 32 bits twice (one row more each if the last is shortened),
//!            chunks of the slack: 16 rows for 3 slots and 81 for 67 with chunks of 16 bits
//! Source     docs/format.md, "Rule" and "Statement"; the native rule is `quorate_verifier::rule`

use ark_bn254::Fr;
use ark_ff::{Field, PrimeField};

use crate::ground::{Bit, Builder, Lin, pow2};
use crate::lookup::Limb;
use crate::membership::POWER_BITS;

/// Whether `signed * den > num * total`: `QuorumRule::holds` for sums and rules of any kind.
#[must_use]
pub fn is_quorum(signed: u128, total: u64, num: u32, den: u32) -> bool {
    // signed < 2^96 for fewer than 2^36 powers
    signed * u128::from(den) > u128::from(num) * u128::from(total)
}

/// The flagged powers are a quorum of `total` by the rule `packed`.
///
/// # Panics
/// If there are more than 2^16 slots, or a power or the total was not shown to be below 2^60.
pub fn enforce_quorum(
    g: &mut Builder,
    packed: impl Into<Lin>,
    slots: &[(Bit, &Limb)],
    total: &Limb,
) {
    assert!(slots.len() <= 1 << 16, "{} slots may wrap", slots.len());
    let powers = slots.iter().map(|(_, power)| *power);
    assert!(
        powers.chain([total]).all(|limb| limb.bits() <= POWER_BITS),
        "powers may wrap"
    );

    let packed = packed.into();
    let [rule, ..] = packed.value().into_bigint().0;
    let num = g.limb("quorum/num", rule & u64::from(u32::MAX), RULE_BITS);
    let den = g.limb("quorum/den", rule >> RULE_BITS, RULE_BITS);
    let joined = num.lin().plus(pow2(RULE_BITS), den.lin());
    g.equal("quorum/rule", joined, packed); // bind: num, den

    let mut signed = Lin::zero();
    for (i, (flag, power)) in slots.iter().enumerate() {
        signed += g.product(format_args!("quorum/gated[{i}]"), *power, *flag);
    }
    let claimed = g.product("quorum/signed", signed, &den);
    let needed = num.value() * total.value();
    let slack = claimed.value() - needed - Fr::ONE;
    let slack = g.limb(
        "quorum/slack",
        slack,
        slack_bits(slots.len(), g.chunk_bits()),
    );
    let rest = claimed - 1 - slack.lin();
    g.row("quorum/bind", total, &num, rest); // bind: slack to signed, den, num, total
}

/// Width of the slack for so many slots: enough for all power, rounded up to whole chunks.
fn slack_bits(slots: usize, chunk_bits: u32) -> u32 {
    let slots_bits = slots.next_power_of_two().ilog2();
    let largest = POWER_BITS + RULE_BITS + slots_bits;
    largest.div_ceil(chunk_bits) * chunk_bits
}

/// Numerator and denominator are below `2^32`.
const RULE_BITS: u32 = 32;

#[cfg(test)]
mod tests;
