//! Canonical scalars: s < L, as RFC 8032 asks.
//!
//! Statement  `s = low + 2^252 * top` with `low < 2^252`, `top` a bit, and `top = 1` only if
//!            `low < L - 2^252`
//! Argument   `top * high = 0` for the part of `low` above m; `top * (L - 2^252 - 1 - rest)`
//!            is an integer above -2^153, and being in a range of 2^128 it is not negative
//! Cost       25 chunks + 3 rows (16-bit chunks)
//! Attack     `s + L`: the same signature with other bytes

use ark_ff::BigInt;

use super::excess;
use super::modl::Split;
use crate::field25519::Int;
use crate::ground::{Builder, Lin};

/// An integer below L, in chunks.
#[derive(Clone, Debug)]
pub struct Scalar {
    /// The integer; below N, so a single element says it all.
    whole: Lin,
    /// Its residue modulo m.
    pub(super) low: Lin,
    /// Its residue modulo 2^b.
    pub(super) lowest: Lin,
    pub(super) value: Int,
}

impl Scalar {
    /// An advised scalar. Bytes of L and more have no witness.
    pub fn advise(g: &mut Builder, bytes: &[u8; 32]) -> Self {
        let integer = Int::from_bytes_le(bytes);
        let split = Split::of(g);
        let top = g.bit("s/top", !integer.shift_down(252).is_zero());
        let part = |g: &mut Builder, start: usize, bits: usize| {
            let value = integer.shift_down(start).low_bits(bits);
            let words = BigInt(value.to_words().unwrap_or_default());
            g.limb("s", words, u32::try_from(bits).unwrap_or_default())
                .lin()
        };
        let lowest = part(g, 0, split.b);
        let middle = part(g, split.b, split.low - split.b);
        let high = part(g, split.low, 252 - split.low);
        let low = (&lowest).plus_power(split.b, &middle);
        let whole = low
            .clone()
            .plus_power(split.low, &high)
            .plus_power(252, top);
        g.row("s/high", top, high, Lin::zero());

        let room = Lin::from((excess() - Int::ONE).to_native()) - &low;
        let chunks = g.chunk_bits();
        let honest = if top.value() {
            room.value()
        } else {
            Lin::zero().value()
        };
        let margin = g.limb("s/margin", honest, 128_u32.div_ceil(chunks) * chunks);
        g.row("s/below order", top, room, &margin);
        let value = Int::from_native(whole.value());
        Self {
            whole,
            low,
            lowest,
            value,
        }
    }

    /// The scalar as one field element.
    pub fn lin(&self) -> &Lin {
        &self.whole
    }

    /// The scalar, for the present witness.
    #[must_use]
    pub fn value(&self) -> Int {
        self.value
    }
}

trait PlusPower {
    /// `self + 2^shift * term`.
    fn plus_power(self, shift: usize, term: impl crate::ground::Term) -> Lin;
}

impl<T: Into<Lin>> PlusPower for T {
    fn plus_power(self, shift: usize, term: impl crate::ground::Term) -> Lin {
        self.into().plus(Int::power_of_two(shift).to_native(), term)
    }
}
