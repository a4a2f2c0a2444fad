//! Signed integers of fixed width, for the exact values and bounds behind non-native arithmetic.
//!
//! A reduction is sound because an identity holds *over the integers*, so both its witness and the
//! proof that nothing wraps need exact integers of up to about 400 bits. [`Int`] holds 512 bits in
//! two's complement without allocating; every operation asserts that it does not overflow.

use ark_bn254::Fr;
use ark_ff::{BigInt, PrimeField};
use core::cmp::Ordering;
use core::ops::{Add, AddAssign, Mul, Neg, Sub, SubAssign};

use crate::ground::pow2;

const WORDS: usize = 8;

/// A signed integer of magnitude below 2^511, least significant word first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Int([u64; WORDS]);

impl Int {
    /// Zero.
    pub const ZERO: Self = Self([0; WORDS]);
    /// One.
    pub const ONE: Self = Self([1, 0, 0, 0, 0, 0, 0, 0]);

    /// `2^exponent`, for an exponent below 511.
    pub fn power_of_two(exponent: usize) -> Self {
        assert!(exponent < 64 * WORDS - 1, "2^{exponent} does not fit");
        let mut words = [0; WORDS];
        words[exponent / 64] = 1 << (exponent % 64);
        Self(words)
    }

    /// A non-negative integer from 64-bit words, least significant first; at most seven words.
    pub fn from_words(words: &[u64]) -> Self {
        assert!(
            words.len() < WORDS,
            "an unsigned value keeps the sign word clear"
        );
        let mut out = [0; WORDS];
        out[..words.len()].copy_from_slice(words);
        Self(out)
    }

    /// A non-negative integer from bytes, least significant first; at most 56 bytes.
    pub fn from_bytes_le(bytes: &[u8]) -> Self {
        assert!(
            bytes.len() <= 8 * (WORDS - 1),
            "an unsigned value keeps the sign word clear"
        );
        let mut out = [0; WORDS];
        for (i, byte) in bytes.iter().enumerate() {
            out[i / 8] |= u64::from(*byte) << (8 * (i % 8));
        }
        Self(out)
    }

    /// The representative of a native element in `[0, N)`.
    pub fn from_native(value: Fr) -> Self {
        Self::from_words(&value.into_bigint().0)
    }

    /// The native modulus `N`, the order of the BN254 scalar field.
    pub fn native_modulus() -> Self {
        Self::from_words(&Fr::MODULUS.0)
    }

    /// The residue modulo the native prime.
    pub fn to_native(self) -> Fr {
        let magnitude = self.abs();
        let low = [
            magnitude.0[0],
            magnitude.0[1],
            magnitude.0[2],
            magnitude.0[3],
        ];
        let high = [
            magnitude.0[4],
            magnitude.0[5],
            magnitude.0[6],
            magnitude.0[7],
        ];
        let mut value = reduce_native(low);
        if high != [0; 4] {
            value += reduce_native(high) * pow2(128) * pow2(128);
        }
        if self.is_negative() { -value } else { value }
    }

    /// Whether the value is below zero.
    pub const fn is_negative(&self) -> bool {
        self.0[WORDS - 1] >> 63 == 1
    }

    /// Whether the value is zero.
    pub fn is_zero(&self) -> bool {
        self.0 == [0; WORDS]
    }

    /// The magnitude.
    pub fn abs(self) -> Self {
        if self.is_negative() { -self } else { self }
    }

    /// Number of bits of the magnitude; zero for zero.
    pub fn bits(self) -> usize {
        let magnitude = self.abs();
        for i in (0..WORDS).rev() {
            if magnitude.0[i] != 0 {
                return 64 * i + 64 - magnitude.0[i].leading_zeros() as usize;
            }
        }
        0
    }

    /// The product of two short integers, exactly.
    pub fn product(a: i128, b: i128) -> Self {
        let (x, y) = (a.unsigned_abs(), b.unsigned_abs());
        let (x0, x1) = split(x);
        let (y0, y1) = split(y);
        let low = u128::from(x0) * u128::from(y0);
        let cross_a = u128::from(x0) * u128::from(y1);
        let cross_b = u128::from(x1) * u128::from(y0);
        let high = u128::from(x1) * u128::from(y1);
        let (w0, c0) = split(low);
        let (a0, a1) = split(cross_a);
        let (b0, b1) = split(cross_b);
        let (h0, h1) = split(high);
        let (w1, c1) = split(u128::from(c0) + u128::from(a0) + u128::from(b0));
        let (w2, c2) = split(u128::from(c1) + u128::from(a1) + u128::from(b1) + u128::from(h0));
        let value = Self([w0, w1, w2, c2 + h1, 0, 0, 0, 0]);
        if (a < 0) != (b < 0) { -value } else { value }
    }

    /// `self * 2^shift`.
    pub fn shift_up(self, shift: usize) -> Self {
        assert!(self.bits() + shift < 64 * WORDS, "left shift overflows");
        let (words, bits) = (shift / 64, shift % 64);
        let mut out = [0; WORDS];
        let mut below = 0;
        for (slot, word) in out[words..].iter_mut().zip(self.0) {
            *slot = word << bits | below;
            below = if bits > 0 { word >> (64 - bits) } else { 0 };
        }
        Self(out)
    }

    /// `floor(self / 2^shift)`, towards minus infinity.
    pub fn shift_down(self, shift: usize) -> Self {
        let fill = if self.is_negative() { u64::MAX } else { 0 };
        let (words, bits) = (shift / 64, shift % 64);
        let word = |i: usize| if i < WORDS { self.0[i] } else { fill };
        let mut out = [fill; WORDS];
        for (i, slot) in out.iter_mut().enumerate() {
            *slot = word(i + words) >> bits;
            if bits > 0 {
                *slot |= word(i + words + 1) << (64 - bits);
            }
        }
        Self(out)
    }

    /// Bits `start .. start + len` of the two's complement form, `len <= 64`.
    pub fn slice(&self, start: usize, len: usize) -> u64 {
        assert!(len <= 64, "a slice has at most 64 bits");
        let shifted = self.shift_down(start).0[0];
        if len == 64 {
            shifted
        } else {
            shifted & ((1 << len) - 1)
        }
    }

    /// The residue modulo `2^bits`, in `[0, 2^bits)`.
    pub fn low_bits(self, bits: usize) -> Self {
        let mut out = self.0;
        for (i, word) in out.iter_mut().enumerate() {
            if 64 * i >= bits {
                *word = 0;
            } else if 64 * (i + 1) > bits {
                *word &= (1 << (bits - 64 * i)) - 1;
            }
        }
        assert!(bits < 64 * WORDS, "the sign bit is not data");
        Self(out)
    }

    /// The value as an `i128`, if it fits.
    pub fn to_i128(self) -> Option<i128> {
        let low = u128::from(self.0[0]) | u128::from(self.0[1]) << 64;
        let value = i128::from_ne_bytes(low.to_ne_bytes());
        (Self::from(value) == self).then_some(value)
    }

    /// The four low words of a value in `[0, 2^256)`.
    pub fn to_words(self) -> Option<[u64; 4]> {
        let [a, b, c, d, 0, 0, 0, 0] = self.0 else {
            return None;
        };
        Some([a, b, c, d])
    }
}

/// A modulus near a power of two, `2^bits - defect`.
#[derive(Clone, Copy, Debug)]
pub struct Modulus {
    bits: usize,
    defect: Int,
    value: Int,
}

impl Modulus {
    /// `2^bits - defect`, with a defect (of either sign) of at most half the bits.
    pub fn new(bits: usize, defect: Int) -> Self {
        assert!(defect.bits() <= bits / 2 + 1, "the defect must be short");
        Self {
            bits,
            defect,
            value: Int::power_of_two(bits) - defect,
        }
    }

    /// The modulus as an integer.
    pub const fn value(&self) -> Int {
        self.value
    }

    /// Quotient towards minus infinity and remainder in `[0, modulus)`.
    pub fn div_rem(&self, x: Int) -> (Int, Int) {
        let (mut quotient, mut remainder) = (Int::ZERO, x);
        loop {
            if !remainder.is_negative() && remainder < self.value {
                return (quotient, remainder);
            }
            let mut step = remainder.shift_down(self.bits);
            if step.is_zero() {
                step = Int::ONE; // between 2^bits - defect and 2^bits
            }
            quotient += step;
            remainder = remainder - step.shift_up(self.bits) + step * self.defect;
        }
    }
}

/// The low and the high 64 bits.
fn split(x: u128) -> (u64, u64) {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the low half is what is wanted"
    )]
    (x as u64, (x >> 64) as u64)
}

/// The residue of a 256-bit integer: `2^256 < 6N`, so at most five subtractions.
fn reduce_native(words: [u64; 4]) -> Fr {
    let mut value = BigInt::<4>(words);
    while value >= Fr::MODULUS {
        ark_ff::BigInteger::sub_with_borrow(&mut value, &Fr::MODULUS);
    }
    Fr::from_bigint(value).unwrap_or_default()
}

impl From<i128> for Int {
    fn from(value: i128) -> Self {
        let (low, high) = split(u128::from_ne_bytes(value.to_ne_bytes()));
        let fill = if value < 0 { u64::MAX } else { 0 };
        Self([low, high, fill, fill, fill, fill, fill, fill])
    }
}

impl From<u128> for Int {
    fn from(value: u128) -> Self {
        let (low, high) = split(value);
        Self([low, high, 0, 0, 0, 0, 0, 0])
    }
}

impl From<u64> for Int {
    fn from(value: u64) -> Self {
        Self([value, 0, 0, 0, 0, 0, 0, 0])
    }
}

impl From<i32> for Int {
    fn from(value: i32) -> Self {
        Self::from(i128::from(value))
    }
}

impl Add for Int {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let mut out = [0; WORDS];
        let mut carry = false;
        for (i, slot) in out.iter_mut().enumerate() {
            (*slot, carry) = self.0[i].carrying(other.0[i], carry);
        }
        let sum = Self(out);
        let same_sign = self.is_negative() == other.is_negative();
        assert!(
            !same_sign || sum.is_negative() == self.is_negative(),
            "addition overflows"
        );
        sum
    }
}

/// Addition with carry on words (the method of this kind in core is not stable on our toolchain).
trait Carrying: Sized {
    fn carrying(self, other: Self, carry: bool) -> (Self, bool);
}

impl Carrying for u64 {
    fn carrying(self, other: Self, carry: bool) -> (Self, bool) {
        let (sum, first) = self.overflowing_add(other);
        let (sum, second) = sum.overflowing_add(Self::from(carry));
        (sum, first || second)
    }
}

impl Neg for Int {
    type Output = Self;
    fn neg(self) -> Self {
        let mut out = [0; WORDS];
        let mut carry = true;
        for (i, slot) in out.iter_mut().enumerate() {
            (*slot, carry) = (!self.0[i]).carrying(0, carry);
        }
        Self(out)
    }
}

impl Sub for Int {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Int {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let (a, b) = (self.abs(), other.abs());
        assert!(a.bits() + b.bits() < 64 * WORDS, "multiplication overflows");
        let mut out = [0; WORDS];
        for i in (0..WORDS).filter(|i| a.0[*i] != 0) {
            let mut carry = 0u64;
            for j in 0..WORDS - i {
                let t = u128::from(a.0[i]) * u128::from(b.0[j])
                    + u128::from(out[i + j])
                    + u128::from(carry);
                (out[i + j], carry) = split(t);
            }
        }
        let value = Self(out);
        if self.is_negative() != other.is_negative() {
            -value
        } else {
            value
        }
    }
}

impl AddAssign for Int {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Int {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Ord for Int {
    fn cmp(&self, other: &Self) -> Ordering {
        other
            .is_negative()
            .cmp(&self.is_negative())
            .then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

impl PartialOrd for Int {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl core::fmt::Debug for Int {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let magnitude = self.abs();
        write!(f, "{}0x", if self.is_negative() { "-" } else { "" })?;
        let top = (0..WORDS).rev().find(|i| magnitude.0[*i] != 0).unwrap_or(0);
        write!(f, "{:x}", magnitude.0[top])?;
        magnitude.0[..top]
            .iter()
            .rev()
            .try_for_each(|word| write!(f, "{word:016x}"))
    }
}
