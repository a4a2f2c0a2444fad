//! Arithmetic modulo L, the order of Ed25519's base point: canonical s, and the scalars of the batch
//! as odd signed digits.
//!
//! Statement  s < L. `A` digits of slot i: `sum d_j 2^(5j) = -w_i k_i mod L`. `R` digits:
//!            `sum d_j 2^(4j) = -w_i`, as integers. `B` digits: `sum d_j 2^(8j) = sum w_i s_i mod L`.
//!            Weight `w_i = 2 z_i + 1`: odd, so that it has odd digits; all of z_i's 128 bits count
//! Inputs     k_i in bits, z_i in chunks; s_i advised here
//! Argument   As modulo p (see `field25519::form`): an integer E is zero because it is zero modulo N and
//!            modulo a power of two m, quotient and carry being range-checked. L is a constant and k_i is
//!            in bits, so `k mod L` needs no quotient of its own: `sum k_bit (2^i mod L)`, an integer
//!            below 2^261, is a combination of the bits. `|E| < 2^397`, `m >= 2^143`
//! Digits     any representative modulo L will do, for the equation is multiplied by 8 in the end.
//!            Their ranges are their tables' keys
//! Attack     With m = 2^128 a false `k mod L` passes; with `s + L` a second signature exists
//! Cost       see `costs` in the tests
//! Source     docs/circuit/arithmetic.md; RFC 8032 5.1.7

mod canonical;
mod digits;
mod modl;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use crate::field25519::{Int, Modulus};

pub use canonical::Scalar;
pub use digits::select_digits;
pub use modl::{Weight, enforce_opposite, enforce_opposite_product, enforce_weighted_sum};

/// L = 2^252 + 27742317777372353535851937790883648493.
pub fn order() -> Modulus {
    static ORDER: LazyLock<Modulus> = LazyLock::new(|| Modulus::new(252, -excess()));
    *ORDER
}

/// `L - 2^252`.
fn excess() -> Int {
    Int::from(27_742_317_777_372_353_535_851_937_790_883_648_493_u128)
}

/// The residue modulo L, in `[0, L)`, of at most 512 bits, least significant first, for the present
/// witness.
pub fn residue(bits: &[crate::ground::Bit]) -> Int {
    let value = |bits: &[crate::ground::Bit]| {
        bits.iter()
            .rev()
            .fold(Int::ZERO, |x, b| x + x + Int::from(u64::from(b.value())))
    };
    let (low, high) = bits.split_at(bits.len().min(256));
    let (_, high) = order().div_rem(value(high));
    order().div_rem(high.shift_up(256) + value(low)).1
}

/// The odd one of the two representatives of `x` modulo L in `(-L, L)`.
pub fn odd_representative(x: Int) -> Int {
    let (_, canonical) = order().div_rem(x);
    if canonical.slice(0, 1) == 1 {
        canonical
    } else {
        canonical - order().value()
    }
}
