//! Declared sizes: for every integer behind a combination of cells, its value and its range.
//!
//! Ranges follow from the look-ups alone: they hold for every witness that the rows accept, not only
//! for an honest one. They are computed while the circuit is built, in a proving run too.

use core::ops::{Add, Neg, Sub};

use super::int::Int;

/// A closed interval of integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Least value.
    pub min: Int,
    /// Greatest value.
    pub max: Int,
}

impl Span {
    /// The single value `x`.
    pub const fn of(x: Int) -> Self {
        Self { min: x, max: x }
    }

    /// `0 ..= max`.
    pub const fn up_to(max: Int) -> Self {
        Self {
            min: Int::ZERO,
            max,
        }
    }

    /// The values below `2^bits`, zero included.
    pub fn bits(bits: usize) -> Self {
        Self::up_to(Int::power_of_two(bits) - Int::ONE)
    }

    /// The products of two short integers, one from each range.
    pub fn product((a0, a1): (i128, i128), (b0, b1): (i128, i128)) -> Self {
        if a0 >= 0 && b0 >= 0 {
            return Self {
                min: Int::product(a0, b0),
                max: Int::product(a1, b1),
            };
        }
        let corners = [(a0, b0), (a0, b1), (a1, b0), (a1, b1)].map(|(a, b)| Int::product(a, b));
        corners
            .into_iter()
            .skip(1)
            .fold(Self::of(corners[0]), |span, x| span.with(x))
    }

    /// The products with a constant.
    pub fn times(self, k: Int) -> Self {
        let (a, b) = (self.min * k, self.max * k);
        if k.is_negative() {
            Self { min: b, max: a }
        } else {
            Self { min: a, max: b }
        }
    }

    /// The products with a power of two.
    pub fn shift_up(self, shift: usize) -> Self {
        Self {
            min: self.min.shift_up(shift),
            max: self.max.shift_up(shift),
        }
    }

    /// The smallest interval that holds this one and `x`.
    pub fn with(self, x: Int) -> Self {
        Self {
            min: self.min.min(x),
            max: self.max.max(x),
        }
    }

    /// The smallest interval that holds both.
    pub fn hull(self, other: Self) -> Self {
        self.with(other.min).with(other.max)
    }

    /// The greatest magnitude.
    pub fn magnitude(self) -> Int {
        self.min.abs().max(self.max.abs())
    }

    /// Whether `x` is in the interval.
    pub fn contains(self, x: Int) -> bool {
        self.min <= x && x <= self.max
    }
}

impl Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            min: self.min + other.min,
            max: self.max + other.max,
        }
    }
}

impl Neg for Span {
    type Output = Self;
    fn neg(self) -> Self {
        Self {
            min: -self.max,
            max: -self.min,
        }
    }
}

impl Sub for Span {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

/// An integer V and its low part G, where `G = v V mod m` for the modulus m and unit v of the
/// arithmetic (see [`Field`](super::Field)); G itself is an integer, not a residue.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// V, for the present witness.
    pub value: Int,
    /// G, for the present witness.
    pub low: Int,
    /// Range of V.
    pub range: Span,
    /// Range of G.
    pub low_range: Span,
}

impl Size {
    /// The constant zero.
    pub const ZERO: Self = Self {
        value: Int::ZERO,
        low: Int::ZERO,
        range: Span::of(Int::ZERO),
        low_range: Span::of(Int::ZERO),
    };

    /// The product with a constant.
    pub fn times(self, k: Int) -> Self {
        Self {
            value: self.value * k,
            low: self.low * k,
            range: self.range.times(k),
            low_range: self.low_range.times(k),
        }
    }
}

impl Add for Size {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            value: self.value + other.value,
            low: self.low + other.low,
            range: self.range + other.range,
            low_range: self.low_range + other.low_range,
        }
    }
}

impl Sub for Size {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self {
            value: self.value - other.value,
            low: self.low - other.low,
            range: self.range - other.range,
            low_range: self.low_range - other.low_range,
        }
    }
}
