//! Elements: integers modulo p in limbs, each limb a combination of cells with a declared range.

use core::array::from_fn;

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, PrimeField};

use super::fp::{Fp, residue};
use super::int::Int;
use super::size::{Size, Span};
use super::{Field, Form};
use crate::ground::{Builder, Lin, Wire};
use crate::lookup::Limb;

/// Most limbs of any arithmetic.
pub(super) const MAX_LIMBS: usize = 5;

/// A representative modulo p: `sum limb_i * 2^(width * i)`, an integer of declared range.
///
/// Limbs of differences are signed; limbs of sums are longer than they were. Nothing is reduced
/// until a product needs it to be.
#[derive(Clone, Debug)]
pub struct Element {
    pub(super) limbs: [Lin; MAX_LIMBS],
    pub(super) values: [i128; MAX_LIMBS],
    pub(super) ranges: [(i128, i128); MAX_LIMBS],
}

/// Which representatives an advised element may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Whole chunks: whatever the limbs hold, `[0, 2^256)` or a little more.
    Whole,
    /// `[0, 2^256)`: distances between such elements meet few multiples of p.
    Short,
    /// `[38, 2^255 + 38)`: the distance from a short element to such a one is a multiple of p only
    /// if it is -p, 0 or p, because 38 = 2^256 - 2p.
    Entry,
    /// `[0, 2^255)`.
    Bits255,
}

impl Extent {
    /// Least representative.
    fn offset(self) -> i128 {
        if self == Self::Entry { 38 } else { 0 }
    }

    /// Number of bits above the offset, where `whole` is what the limbs hold.
    fn bits(self, whole: usize) -> usize {
        match self {
            Self::Whole => whole,
            Self::Short => 256,
            Self::Entry | Self::Bits255 => 255,
        }
    }

    /// The representative that an honest prover takes, from the one in `[0, p)`.
    pub fn representative(self, canonical: Int, p: Int) -> Int {
        if canonical < Int::from(self.offset()) {
            canonical + p
        } else {
            canonical
        }
    }
}

impl Field {
    /// An advised representative. A value outside the extent is cut to it.
    pub fn advise(
        &self,
        g: &mut Builder,
        kind: &'static str,
        value: Int,
        extent: Extent,
    ) -> Element {
        self.advise_limbs(g, kind, value, extent, |_| ())
    }

    /// An advised representative, with its chunks and their widths in bits.
    pub fn advise_chunks(
        &self,
        g: &mut Builder,
        kind: &'static str,
        value: Int,
        extent: Extent,
    ) -> (Element, Vec<(Wire, u32)>) {
        let mut chunks = Vec::new();
        let whole = g.chunk_bits();
        let element = self.advise_limbs(g, kind, value, extent, |limb| {
            let widths = (0..limb.bits())
                .step_by(whole as usize)
                .map(|start| whole.min(limb.bits() - start));
            chunks.extend(limb.chunks().iter().copied().zip(widths));
        });
        (element, chunks)
    }

    fn advise_limbs(
        &self,
        g: &mut Builder,
        kind: &'static str,
        value: Int,
        extent: Extent,
        mut seen: impl FnMut(&Limb),
    ) -> Element {
        let (offset, bits) = (extent.offset(), extent.bits(self.count * self.width));
        let shifted = value - Int::from(offset);
        let mut element = Element::zero();
        for i in 0..self.count {
            let start = i * self.width;
            let width = self.width.min(bits - start);
            let limb = g.limb(kind, shifted.slice(start, width), u32_of(width));
            seen(&limb);
            element.set_limb(i, read(limb.value()), width, limb.lin());
        }
        element.offset(offset)
    }

    /// An advised element, by its residue.
    pub fn advise_residue(
        &self,
        g: &mut Builder,
        kind: &'static str,
        value: Fp,
        extent: Extent,
    ) -> Element {
        let value = extent.representative(super::fp::canonical(value), self.p.value());
        self.advise(g, kind, value, extent)
    }

    /// A constant in `[0, 2^256)`.
    pub fn constant(&self, value: Int) -> Element {
        let mut element = Element::zero();
        for i in 0..self.count {
            let limb = value.slice(i * self.width, self.width);
            element.values[i] = i128::from(limb);
            element.ranges[i] = (element.values[i], element.values[i]);
            element.limbs[i] = Fr::from(limb).into();
        }
        element
    }

    /// A constant entry of a table, in `[38, 2^255 + 38)`, with the ranges of an advised one.
    pub fn entry_constant(&self, value: Int) -> Element {
        let offset = Extent::Entry.offset();
        let shifted = value - Int::from(offset);
        let mut element = Element::zero();
        for i in 0..self.count {
            let start = i * self.width;
            let width = self.width.min(255 - start);
            let limb = shifted.slice(start, width);
            element.set_limb(i, i128::from(limb), width, Fr::from(limb).into());
        }
        element.offset(offset)
    }

    /// Limbs of a given integer in bits, least significant first.
    pub fn from_bits(&self, bits: &[crate::ground::Bit]) -> Element {
        assert!(
            bits.len() <= self.count * self.width,
            "too many bits for an element"
        );
        let mut element = Element::zero();
        for (i, limb) in bits.chunks(self.width).enumerate() {
            let value = limb
                .iter()
                .rev()
                .fold(0, |sum, b| sum << 1 | i128::from(b.value()));
            element.values[i] = value;
            element.ranges[i] = (0, (1 << limb.len()) - 1);
            element.limbs[i] = Lin::pack(limb);
        }
        element
    }

    /// Limbs in given cells, whose ranges the caller has shown; they are those of `like`.
    pub fn from_cells(&self, cells: &[Wire], like: &Element) -> Element {
        let mut element = Element::zero();
        for (i, cell) in cells.iter().enumerate() {
            element.values[i] = read(cell.value());
            element.limbs[i] = (*cell).into();
        }
        element.ranges = like.ranges;
        element
    }

    /// The integer modulo N, as a combination of cells.
    pub fn native(&self, a: &Element) -> Lin {
        self.weigh(&self.radix_native, a)
    }

    /// The limbs of an element as separate combinations.
    pub fn limbs<'a>(&self, a: &'a Element) -> &'a [Lin] {
        &a.limbs[..self.count]
    }

    /// The integer for the present witness, and its declared range.
    pub fn integer(&self, a: &Element) -> (Int, Span) {
        let mut value = Int::ZERO;
        let mut range = Span::of(Int::ZERO);
        for i in (0..self.count).rev() {
            value = value.shift_up(self.width) + Int::from(a.values[i]);
            let (min, max) = a.ranges[i];
            range = range.shift_up(self.width)
                + Span {
                    min: min.into(),
                    max: max.into(),
                };
        }
        (value, range)
    }

    /// The residue modulo p for the present witness.
    pub fn residue(&self, a: &Element) -> Fp {
        residue(self.integer(a).0)
    }

    /// The element as a term of a relation.
    pub fn form(&self, a: &Element) -> Form {
        let (value, range) = self.integer(a);
        let mut low = Int::ZERO;
        let mut low_range = Span::of(Int::ZERO);
        for (i, k) in self.low.iter().enumerate().filter(|(_, k)| !k.is_zero()) {
            low += *k * Int::from(a.values[i]);
            let (min, max) = a.ranges[i];
            low_range = low_range
                + Span {
                    min: min.into(),
                    max: max.into(),
                }
                .times(*k);
        }
        Form {
            native: self.native(a),
            low: self.weigh(&self.low_native, a),
            size: Size {
                value,
                low,
                range,
                low_range,
            },
        }
    }

    pub(super) fn weigh(&self, weights: &[Fr], a: &Element) -> Lin {
        let mut sum = Lin::zero();
        for (weight, limb) in weights.iter().zip(&a.limbs) {
            if *weight != Fr::ZERO {
                sum = sum.plus(*weight, limb);
            }
        }
        sum
    }
}

impl Element {
    fn zero() -> Self {
        Self {
            limbs: from_fn(|_| Lin::zero()),
            values: [0; MAX_LIMBS],
            ranges: [(0, 0); MAX_LIMBS],
        }
    }

    fn set_limb(&mut self, i: usize, value: i128, width: usize, lin: Lin) {
        self.values[i] = value;
        self.ranges[i] = (0, (1 << width) - 1);
        self.limbs[i] = lin;
    }

    /// The offset added to the lowest limb.
    fn offset(mut self, offset: i128) -> Self {
        if offset != 0 {
            self.limbs[0] += Int::from(offset).to_native();
            self.values[0] += offset;
            self.ranges[0] = (self.ranges[0].0 + offset, self.ranges[0].1 + offset);
        }
        self
    }

    /// `self - other`, limb by limb: nothing is reduced.
    pub fn minus(&self, other: &Self) -> Self {
        Self {
            limbs: from_fn(|i| &self.limbs[i] - &other.limbs[i]),
            values: from_fn(|i| self.values[i].wrapping_sub(other.values[i])),
            ranges: from_fn(|i| {
                let ((a0, a1), (b0, b1)) = (self.ranges[i], other.ranges[i]);
                (a0 - b1, a1 - b0)
            }),
        }
    }

    /// `self + other`, limb by limb: nothing is reduced.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            limbs: from_fn(|i| &self.limbs[i] + &other.limbs[i]),
            values: from_fn(|i| self.values[i].wrapping_add(other.values[i])),
            ranges: from_fn(|i| {
                let ((a0, a1), (b0, b1)) = (self.ranges[i], other.ranges[i]);
                (a0 + b0, a1 + b1)
            }),
        }
    }

    /// `k * self`, limb by limb, for a small positive k.
    pub fn times(&self, k: u32) -> Self {
        let factor = i128::from(k);
        Self {
            limbs: from_fn(|i| &self.limbs[i] * u64::from(k)),
            values: self.values.map(|v| v.wrapping_mul(factor)),
            ranges: self.ranges.map(|(min, max)| (min * factor, max * factor)),
        }
    }
}

/// The integer of small magnitude that a native element stands for. A cell that an attack filled
/// with something else gives its low word: some row refuses it anyway.
fn read(value: Fr) -> i128 {
    let small = |f: Fr| match f.into_bigint().0 {
        [low, high, 0, 0] if high < 1 << 32 => Some(i128::from(low) | i128::from(high) << 64),
        _ => None,
    };
    small(value)
        .or_else(|| small(-value).map(|magnitude| -magnitude))
        .unwrap_or_else(|| i128::from(value.into_bigint().0[0]))
}

pub(super) fn u32_of(n: usize) -> u32 {
    u32::try_from(n).expect("widths are small")
}
