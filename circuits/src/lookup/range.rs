//! Ranges: a value is an integer below `2^bits`.
//!
//! Statement  `value = sum chunk_i * 2^(k i)` with every chunk below 2^k, the last below 2^r
//! Witness    The chunks, committed
//! Argument   A width that is no multiple of k leaves r < k bits to the last chunk. That chunk is
//!            looked up twice: as it is, hence an integer below 2^k, and times 2^(k - r). The
//!            product is an integer below 2^(2k), so it does not wrap, and being in the table it is
//!            below 2^k: the chunk is below 2^r. Neither check suffices alone: 2^(r-k) mod N, an
//!            enormous number, passes the second, and 2^k - 1 passes the first (GHSA-rjjm-x32p-m3f7)
//! Cost       1 row per chunk, 1 for a shortened last chunk, 1 to bind to a given value

use core::fmt::Display;

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, BigInt, PrimeField};

use super::{digit, fits};
use crate::ground::{Builder, Lin, Wire, pow2, pow2_inverse};

/// A nonnegative integer below 2^256 that a gadget advises.
pub trait Integer: Copy {
    /// Four 64-bit words, least significant first.
    fn words(self) -> BigInt<4>;
}

impl Integer for u64 {
    fn words(self) -> BigInt<4> {
        BigInt([self, 0, 0, 0])
    }
}

impl Integer for u128 {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the two halves of the integer"
    )]
    fn words(self) -> BigInt<4> {
        BigInt([self as u64, (self >> 64) as u64, 0, 0])
    }
}

impl Integer for BigInt<4> {
    fn words(self) -> BigInt<4> {
        self
    }
}

impl Integer for Fr {
    fn words(self) -> BigInt<4> {
        self.into_bigint()
    }
}

/// An integer below `2^bits` made of committed chunks. Its own cell does not exist: use
/// [`lin`](Self::lin) wherever the value is wanted.
#[derive(Clone, Debug)]
#[must_use]
pub struct Limb {
    chunks: Vec<Wire>,
    chunk_bits: u32,
    bits: u32,
    value: Fr,
}

impl Limb {
    /// The value as a combination of the chunks.
    pub fn lin(&self) -> Lin {
        Lin::joined(self.value, &self.chunks, self.chunk_bits)
    }

    /// The value; for an honest prover an integer below `2^bits`.
    #[must_use]
    pub fn value(&self) -> Fr {
        self.value
    }

    /// Declared width.
    #[must_use]
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// The chunks, least significant first; each but the last is below `2^chunk_bits`.
    pub fn chunks(&self) -> &[Wire] {
        &self.chunks
    }
}

impl From<&Limb> for Lin {
    fn from(limb: &Limb) -> Self {
        limb.lin()
    }
}

impl Builder {
    /// An advised integer below `2^bits`. Costs 1 row per chunk and no other.
    ///
    /// # Panics
    /// Unless `1 <= bits <= 253`; beyond that an integer has several forms below `2^bits`.
    pub fn limb(&mut self, kind: &'static str, value: impl Integer, bits: u32) -> Limb {
        let integer = value.words();
        if self.attack.is_none() && fits(&integer, bits) {
            let value = Fr::from_bigint(integer).expect("253 bits are below the modulus");
            return self.scope(kind, |g| g.split_honestly(&integer, value, bits));
        }
        let value = Fr::from_bigint(integer).unwrap_or_else(|| {
            Fr::from_le_bytes_mod_order(&ark_ff::BigInteger::to_bytes_le(&integer))
        });
        let value = self.believe(kind, value);
        self.scope(kind, |g| g.split_anyhow(value, bits))
    }

    /// Shows that `value` is an integer below `2^bits`, by its chunks and the row `name/sum`.
    ///
    /// # Panics
    /// Unless `1 <= bits <= 253`; beyond that an integer has several forms below `2^bits`.
    pub fn range(&mut self, name: impl Display, value: impl Into<Lin>, bits: u32) -> Limb {
        let lin = value.into();
        let integer = lin.value().into_bigint();
        self.scope(name, |g| {
            let limb = if g.attack.is_none() && fits(&integer, bits) {
                g.split_honestly(&integer, lin.value(), bits)
            } else {
                g.split_anyhow(lin.value(), bits)
            };
            g.equal("sum", &limb, lin);
            limb
        })
    }

    /// Chunks of an integer that is known to be below `2^bits`.
    fn split_honestly(&mut self, integer: &BigInt<4>, value: Fr, bits: u32) -> Limb {
        self.split(bits, value, |_, start, width| {
            let digit = digit(integer, start, width);
            (Fr::from(digit), Some(digit))
        })
    }

    /// Chunks that sum to `value` in the field, whatever it is; what is too large ends in the last.
    /// Each chunk is a hint, and the later ones make up for a lie.
    fn split_anyhow(&mut self, value: Fr, bits: u32) -> Limb {
        let mut rest = value;
        let mut chunks_value = Fr::ZERO;
        let mut limb = self.split(bits, value, |g, start, width| {
            let last = start + width == bits;
            let honest = if last {
                rest
            } else {
                Fr::from(digit(&rest.into_bigint(), 0, width))
            };
            let chunk = g.believe("chunk", honest);
            chunks_value += chunk * pow2(start);
            rest = (rest - chunk) * pow2_inverse(width);
            (chunk, None)
        });
        limb.value = chunks_value;
        limb
    }

    fn split(
        &mut self,
        bits: u32,
        value: Fr,
        mut next: impl FnMut(&mut Self, u32, u32) -> (Fr, Option<u64>),
    ) -> Limb {
        assert!(
            (1..=253).contains(&bits),
            "a range of {bits} bits is not an integer range"
        );
        let chunk_bits = self.chunk_bits();
        let mut chunks = Vec::with_capacity(bits.div_ceil(chunk_bits) as usize);
        for (i, start) in (0..bits).step_by(chunk_bits as usize).enumerate() {
            let width = chunk_bits.min(bits - start);
            let (value, digit) = next(self, start, width);
            let cell = self.committed_as(format_args!("chunk[{i}]"), value);
            self.look_up(format_args!("chunk[{i}]/range"), cell, 0, digit);
            if width < chunk_bits {
                self.look_up(
                    format_args!("chunk[{i}]/shifted"),
                    cell,
                    chunk_bits - width,
                    digit,
                );
            }
            chunks.push(cell);
        }
        Limb {
            chunks,
            chunk_bits,
            bits,
            value,
        }
    }
}
