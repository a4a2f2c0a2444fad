//! Bits, bytes and words of which some are known when the circuit is made.

use ark_bn254::Fr;
use ark_ff::AdditiveGroup;

use crate::ground::{Bit, Lin, Term, pow2};

/// A bit: fixed by the circuit, or a cell that some row forces to be 0 or 1.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub enum Bool {
    /// Known when the circuit is made; costs nothing.
    Constant(bool),
    /// Chosen by the prover.
    Cell(Bit),
}

impl Bool {
    /// 0.
    pub const ZERO: Self = Self::Constant(false);

    /// What the prover believes the bit to be.
    #[must_use]
    pub fn value(self) -> bool {
        match self {
            Self::Constant(value) => value,
            Self::Cell(bit) => bit.value(),
        }
    }
}

impl From<Bit> for Bool {
    fn from(bit: Bit) -> Self {
        Self::Cell(bit)
    }
}

impl From<bool> for Bool {
    fn from(value: bool) -> Self {
        Self::Constant(value)
    }
}

impl From<Bool> for Lin {
    fn from(bit: Bool) -> Self {
        Self::zero() + bit
    }
}

impl Term for Bool {
    fn add_to(self, lin: &mut Lin) {
        match self {
            Self::Constant(value) => u64::from(value).add_to(lin),
            Self::Cell(bit) => bit.add_to(lin),
        }
    }
    fn sub_from(self, lin: &mut Lin) {
        match self {
            Self::Constant(value) => u64::from(value).sub_from(lin),
            Self::Cell(bit) => bit.sub_from(lin),
        }
    }
    fn add_scaled(self, lin: &mut Lin, k: Fr) {
        match self {
            Self::Constant(value) => u64::from(value).add_scaled(lin, k),
            Self::Cell(bit) => bit.add_scaled(lin, k),
        }
    }
}

/// Eight bits, least significant first.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Byte(pub [Bool; 8]);

impl Byte {
    /// A byte known when the circuit is made.
    pub fn constant(byte: u8) -> Self {
        Self(core::array::from_fn(|i| Bool::Constant(byte >> i & 1 == 1)))
    }

    /// Bytes of a string whose bit `8 i + j` has weight `2^j` in byte `i`.
    ///
    /// # Panics
    /// If the number of bits is no multiple of 8.
    #[must_use]
    pub fn all(bits: &[Bit]) -> Vec<Self> {
        assert!(
            bits.len().is_multiple_of(8),
            "{} bits are no bytes",
            bits.len()
        );
        let byte = |bits: &[Bit]| Self(core::array::from_fn(|i| bits[i].into()));
        bits.chunks_exact(8).map(byte).collect()
    }

    /// What the prover believes the byte to be.
    #[must_use]
    pub fn value(&self) -> u8 {
        self.0
            .iter()
            .rev()
            .fold(0, |byte, bit| byte << 1 | u8::from(bit.value()))
    }
}

/// A 64-bit word, least significant bit first.
#[derive(Clone, Debug)]
pub(super) struct Word {
    bits: [Bool; 64],
    value: u64,
    known: bool,
}

impl Word {
    pub(super) fn new(bits: [Bool; 64]) -> Self {
        let value = bits
            .iter()
            .rev()
            .fold(0, |word, bit| word << 1 | u64::from(bit.value()));
        let constant = |bit: &Bool| matches!(bit, Bool::Constant(_));
        Self {
            known: bits.iter().all(constant),
            bits,
            value,
        }
    }

    pub(super) fn constant(value: u64) -> Self {
        Self::new(core::array::from_fn(|i| {
            Bool::Constant(value >> i & 1 == 1)
        }))
    }

    /// A big-endian word.
    ///
    /// # Panics
    /// If there are not eight bytes.
    pub(super) fn from_bytes(bytes: &[Byte]) -> Self {
        assert_eq!(bytes.len(), 8, "a word has eight bytes");
        Self::new(core::array::from_fn(|i| bytes[7 - i / 8].0[i % 8]))
    }

    /// What the prover believes the word to be.
    pub(super) fn value(&self) -> u64 {
        self.value
    }

    pub(super) fn bit(&self, i: usize) -> Bool {
        self.bits[i]
    }

    /// The value, if the circuit fixes every bit.
    pub(super) fn known(&self) -> Option<u64> {
        self.known.then_some(self.value)
    }

    /// `lin + k * self`.
    pub(super) fn add_scaled(&self, lin: &mut Lin, k: Fr) {
        let mut weight = k;
        for bit in self.bits {
            bit.add_scaled(lin, weight);
            weight.double_in_place();
        }
    }
}

/// `2^i` as an index's weight.
pub(super) fn weight(i: usize) -> Fr {
    pow2(u32::try_from(i).expect("lanes are few"))
}
