//! Cells and linear combinations that carry their values.
//!
//! In a recording run a [`Lin`] holds its terms and its value; in a proving run the cells it is
//! made of have no place in any matrix, so the same code computes the value and allocates nothing.

use core::ops::{Add, AddAssign, Mul, MulAssign, Neg, Not, Sub, SubAssign};
use std::sync::LazyLock;

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, BigInt, Field, PrimeField, Zero};
use ark_relations::gr1cs::Variable;

/// `2^k` as a field element, for `k <= 253`.
#[must_use]
pub fn pow2(k: u32) -> Fr {
    POW2[k as usize]
}

/// `1 / 2^k` in the field, for `k <= 253`.
#[must_use]
pub(crate) fn pow2_inverse(k: u32) -> Fr {
    POW2_INVERSES[k as usize]
}

static POW2_INVERSES: LazyLock<[Fr; 254]> = LazyLock::new(|| {
    let half = Fr::from(2_u64).inverse().expect("the modulus is odd");
    let mut inverses = [Fr::ONE; 254];
    for k in 1..inverses.len() {
        inverses[k] = inverses[k - 1] * half;
    }
    inverses
});

static POW2: LazyLock<[Fr; 254]> = LazyLock::new(|| {
    let mut powers = [Fr::ONE; 254];
    for k in 1..powers.len() {
        powers[k] = powers[k - 1].double();
    }
    powers
});

/// One cell of the assignment: where it is and what it holds.
///
/// Only a [`Builder`](super::Builder) makes one. In a proving run the place is absent.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Wire {
    pub(super) variable: Variable,
    pub(super) value: Fr,
}

impl Wire {
    /// What the cell holds.
    #[must_use]
    pub fn value(&self) -> Fr {
        self.value
    }
}

/// A cell that some row forces to be 0 or 1, with its value as a `bool`.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Bit {
    pub(super) variable: Variable,
    pub(super) value: bool,
}

impl Bit {
    /// What the prover believes the cell to hold.
    #[must_use]
    pub fn value(&self) -> bool {
        self.value
    }
}

impl Not for Bit {
    type Output = Lin;
    /// `1 - self`.
    fn not(self) -> Lin {
        Lin::from(Fr::ONE) - self
    }
}

/// A linear combination of cells, with its value.
///
/// Built once, consumed by a row. Cloning copies the terms of a recording run, so pass by value or
/// by reference where that will do: `lin + &other` and `lin.plus(k, &other)` do not clone `other`.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Lin {
    value: Fr,
    constant: Fr,
    terms: Vec<(Fr, Variable)>,
}

impl Lin {
    /// The empty combination, with value 0.
    pub fn zero() -> Self {
        Self::default()
    }

    /// What the combination evaluates to.
    #[must_use]
    pub fn value(&self) -> Fr {
        self.value
    }

    /// `self + k * term`.
    pub fn plus(mut self, k: Fr, term: impl Term) -> Self {
        term.add_scaled(&mut self, k);
        self
    }

    /// `sum of 2^i * bits[i]`, for at most 253 bits.
    ///
    /// # Panics
    /// On more than 253 bits: the sum would wrap.
    pub fn pack(bits: &[Bit]) -> Self {
        assert!(
            bits.len() < 254,
            "{} bits do not fit below the modulus",
            bits.len()
        );
        let mut limbs = [0_u64; 4];
        for (i, bit) in bits.iter().enumerate() {
            limbs[i / 64] |= u64::from(bit.value) << (i % 64);
        }
        let value = Fr::from_bigint(BigInt(limbs)).expect("253 bits are below the modulus");
        Self::known(
            value,
            bits.iter().enumerate().map(|(i, b)| (POW2[i], b.variable)),
        )
    }

    /// `sum of 2^(step * i) * cells[i]` where the caller already knows that this is `value`.
    pub(crate) fn joined(value: Fr, cells: &[Wire], step: u32) -> Self {
        let terms = cells
            .iter()
            .zip(0_u32..)
            .map(|(c, i)| (pow2(step * i), c.variable));
        Self::known(value, terms)
    }

    /// A combination whose value is known without evaluating the terms.
    fn known(value: Fr, terms: impl Iterator<Item = (Fr, Variable)>) -> Self {
        let terms = terms.filter(|(_, variable)| !variable.is_zero()).collect();
        Self {
            value,
            constant: Fr::ZERO,
            terms,
        }
    }

    pub(super) fn of_variable(value: Fr, variable: Variable) -> Self {
        Self::known(value, core::iter::once((Fr::ONE, variable)))
    }

    /// The cells of a recording run's combination.
    pub(crate) fn cells(&self) -> impl Iterator<Item = Variable> {
        self.terms.iter().map(|(_, variable)| *variable)
    }

    /// The terms with each cell once, in the order of cells, none with coefficient zero.
    pub(super) fn into_terms(self) -> ark_relations::gr1cs::LinearCombination<Fr> {
        let mut lc = ark_relations::gr1cs::LinearCombination(self.terms);
        if !self.constant.is_zero() {
            lc.0.push((self.constant, Variable::One));
        }
        lc.compactify();
        lc.0.retain(|(k, _)| !k.is_zero());
        lc
    }

    fn push(&mut self, k: Fr, variable: Variable) {
        if !variable.is_zero() {
            self.terms.push((k, variable));
        }
    }
}

/// Whatever can be added to a [`Lin`]: a cell, a bit, a constant, another combination.
pub trait Term: Sized {
    /// `lin += self`.
    fn add_to(self, lin: &mut Lin);
    /// `lin -= self`.
    fn sub_from(self, lin: &mut Lin);
    /// `lin += k * self`.
    fn add_scaled(self, lin: &mut Lin, k: Fr);
}

impl Term for Wire {
    fn add_to(self, lin: &mut Lin) {
        lin.value += self.value;
        lin.push(Fr::ONE, self.variable);
    }
    fn sub_from(self, lin: &mut Lin) {
        lin.value -= self.value;
        lin.push(-Fr::ONE, self.variable);
    }
    fn add_scaled(self, lin: &mut Lin, k: Fr) {
        lin.value += k * self.value;
        lin.push(k, self.variable);
    }
}

impl Term for Bit {
    fn add_to(self, lin: &mut Lin) {
        self.add_scaled(lin, Fr::ONE);
    }
    fn sub_from(self, lin: &mut Lin) {
        self.add_scaled(lin, -Fr::ONE);
    }
    fn add_scaled(self, lin: &mut Lin, k: Fr) {
        if self.value {
            lin.value += k;
        }
        lin.push(k, self.variable);
    }
}

impl Term for Fr {
    fn add_to(self, lin: &mut Lin) {
        lin.value += self;
        lin.constant += self;
    }
    fn sub_from(self, lin: &mut Lin) {
        lin.value -= self;
        lin.constant -= self;
    }
    fn add_scaled(self, lin: &mut Lin, k: Fr) {
        (self * k).add_to(lin);
    }
}

impl Term for u64 {
    fn add_to(self, lin: &mut Lin) {
        Fr::from(self).add_to(lin);
    }
    fn sub_from(self, lin: &mut Lin) {
        Fr::from(self).sub_from(lin);
    }
    fn add_scaled(self, lin: &mut Lin, k: Fr) {
        (k * Fr::from(self)).add_to(lin);
    }
}

impl Term for &Lin {
    fn add_to(self, lin: &mut Lin) {
        lin.value += self.value;
        lin.constant += self.constant;
        lin.terms.extend_from_slice(&self.terms);
    }
    fn sub_from(self, lin: &mut Lin) {
        lin.value -= self.value;
        lin.constant -= self.constant;
        lin.terms.extend(self.terms.iter().map(|(k, v)| (-*k, *v)));
    }
    fn add_scaled(self, lin: &mut Lin, k: Fr) {
        lin.value += k * self.value;
        if !self.constant.is_zero() {
            lin.constant += k * self.constant;
        }
        lin.terms
            .extend(self.terms.iter().map(|(own, v)| (k * own, *v)));
    }
}

impl Term for Lin {
    fn add_to(mut self, lin: &mut Lin) {
        if lin.terms.len() < self.terms.len() {
            core::mem::swap(&mut self.terms, &mut lin.terms);
        }
        (&self).add_to(lin);
    }
    fn sub_from(self, lin: &mut Lin) {
        (&self).sub_from(lin);
    }
    fn add_scaled(self, lin: &mut Lin, k: Fr) {
        (&self).add_scaled(lin, k);
    }
}

impl<T: Term> AddAssign<T> for Lin {
    fn add_assign(&mut self, term: T) {
        term.add_to(self);
    }
}

impl<T: Term> SubAssign<T> for Lin {
    fn sub_assign(&mut self, term: T) {
        term.sub_from(self);
    }
}

impl MulAssign<Fr> for Lin {
    fn mul_assign(&mut self, k: Fr) {
        self.value *= k;
        if !self.constant.is_zero() {
            self.constant *= k;
        }
        for (own, _) in &mut self.terms {
            *own *= k;
        }
    }
}

impl Neg for Lin {
    type Output = Self;
    fn neg(mut self) -> Self {
        self.value = -self.value;
        self.constant = -self.constant;
        for (own, _) in &mut self.terms {
            *own = -*own;
        }
        self
    }
}

impl From<&Lin> for Lin {
    fn from(lin: &Lin) -> Self {
        lin.clone()
    }
}

macro_rules! starts_a_combination {
    ($($cell:ty),*) => {$(
        impl From<$cell> for Lin {
            fn from(cell: $cell) -> Self {
                let mut lin = Self::zero();
                cell.add_to(&mut lin);
                lin
            }
        }
    )*};
}
starts_a_combination!(Wire, Bit, Fr, u64);

macro_rules! arithmetic {
    ($($left:ty),*) => {$(
        impl<T: Term> Add<T> for $left {
            type Output = Lin;
            fn add(self, term: T) -> Lin {
                let mut lin = Lin::from(self);
                term.add_to(&mut lin);
                lin
            }
        }
        impl<T: Term> Sub<T> for $left {
            type Output = Lin;
            fn sub(self, term: T) -> Lin {
                let mut lin = Lin::from(self);
                term.sub_from(&mut lin);
                lin
            }
        }
        impl Mul<Fr> for $left {
            type Output = Lin;
            fn mul(self, k: Fr) -> Lin {
                let mut lin = Lin::from(self);
                lin *= k;
                lin
            }
        }
        impl Mul<u64> for $left {
            type Output = Lin;
            fn mul(self, k: u64) -> Lin {
                self * Fr::from(k)
            }
        }
    )*};
}
arithmetic!(Lin, &Lin, Wire, Bit);

impl Neg for Wire {
    type Output = Lin;
    fn neg(self) -> Lin {
        Lin::zero() - self
    }
}
