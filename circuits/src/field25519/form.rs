//! Relations modulo p, and what makes them hold over the integers.
//!
//! Statement  a relation `V = 0 mod p`, V a sum of products and of elements
//! Witness    quotient q and carry t, *both range-checked*
//! Argument   Two moduli stand for the integers: the native prime N and m = 2^(2 * width). With
//!            `E = V + M p - q p` and the low part G of E (an integer with `G = v E mod m`, v a unit)
//!            the rows say `E = 0 mod N` and `G = m (t + T) mod N`. For every value that the ranges
//!            of limbs, q and t allow, `|G - m (t + T)| < N`, so the second is an identity of
//!            integers and m divides E; and `|E| < N m`, so E = 0. M p exceeds -V and makes q
//!            nonnegative, T does the same for t: signs by offsets, ranges without them
//! No wrap    both inequalities are asserted for each relation as it is built, from the declared
//!            ranges, and kept in the ledger for a test to walk
//! Cost       Product: n + 1 rows. The two equalities replace two product cells of the closing
//!            product, so a relation costs its products and the chunks of q, t and the result.
//!            Without a closing product: 2 rows
//! Attack     With t unchecked any q gives a false result that passes both rows; with a q of 2^254
//!            and more the first row alone does

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field as _};

use super::element::{Element, Extent, u32_of};
use super::fp::{Fp, residue};
use super::int::Int;
use super::size::{Size, Span};
use super::{Field, Reduction};
use crate::ground::{Builder, Lin, Wire};

/// An integer that occurs only linearly in relations: modulo N, by its low part, and its size.
///
/// Being linear it needs no limbs; a sum of products is left like this, unreduced.
#[derive(Clone, Debug)]
pub struct Form {
    /// The integer modulo N.
    pub native: Lin,
    /// Its low part.
    pub low: Lin,
    pub(super) size: Size,
}

/// How a relation is certified.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// T.
    pub(super) least: Int,
    pub(super) reduction: Reduction,
}

impl Form {
    /// Zero.
    pub fn zero() -> Self {
        Self {
            native: Lin::zero(),
            low: Lin::zero(),
            size: Size::ZERO,
        }
    }

    /// An integer of which these are the residue modulo N, the low part and the size.
    pub fn new(native: Lin, low: Lin, size: Size) -> Self {
        Self { native, low, size }
    }

    /// `self + other`.
    pub fn plus(mut self, other: &Self) -> Self {
        self.native += &other.native;
        self.low += &other.low;
        self.size = self.size + other.size;
        self
    }

    /// `self - other`.
    pub fn minus(mut self, other: &Self) -> Self {
        self.native -= &other.native;
        self.low -= &other.low;
        self.size = self.size - other.size;
        self
    }

    /// `k * self`.
    pub fn times(mut self, k: i32) -> Self {
        let factor = Int::from(k);
        self.native *= factor.to_native();
        self.low *= factor.to_native();
        self.size = self.size.times(factor);
        self
    }

    /// The residue modulo p for the present witness.
    pub fn residue(&self) -> Fp {
        residue(self.size.value)
    }

    /// What is declared about the integer.
    pub fn size(&self) -> Size {
        self.size
    }
}

impl Field {
    /// A constant, of either sign.
    pub fn integer_form(&self, value: Int) -> Form {
        let bits = 2 * self.width;
        let low = (value.low_bits(bits) * self.low_unit).low_bits(bits);
        Form {
            native: value.to_native().into(),
            low: low.to_native().into(),
            size: Size {
                value,
                low,
                range: Span::of(value),
                low_range: Span::of(low),
            },
        }
    }

    /// A form in two cells, whose ranges the caller has shown to be those of `like`.
    pub fn form_of_cells(&self, native: Wire, low: Wire, like: &Size) -> Form {
        let (value, low_value) = self.recombine(native.value(), low.value());
        let size = Size {
            value,
            low: low_value,
            ..*like
        };
        Form {
            native: native.into(),
            low: low.into(),
            size,
        }
    }

    /// `a * b`. Costs n + 1 rows.
    pub fn product(&self, g: &mut Builder, a: &Element, b: &Element) -> Form {
        let (mut native, mut low) = (Lin::zero(), Lin::zero());
        for l in 0..self.pencil.rank() {
            let cell = self.product_row(g, l, a, b);
            native = native.plus(self.pencil.native[l], cell);
            low = low.plus(self.pencil.low[l], cell);
        }
        Form {
            native,
            low,
            size: self.product_size(a, b),
        }
    }

    /// `k * a` for a constant k in `[0, 2^256)`. Costs no row.
    pub fn product_with_constant(&self, k: Int, a: &Element) -> Form {
        let k = self.constant(k);
        let (mut native, mut low) = (Lin::zero(), Lin::zero());
        for (l, evaluation) in self.pencil.evaluations.iter().enumerate() {
            let cell = self.weigh(evaluation, a) * self.weigh(evaluation, &k).value();
            native = native.plus(self.pencil.native[l], &cell);
            low = low.plus(self.pencil.low[l], &cell);
        }
        Form {
            native,
            low,
            size: self.product_size(&k, a),
        }
    }

    /// An element equal to `closing + rest` modulo p.
    pub fn reduce(
        &self,
        g: &mut Builder,
        kind: &'static str,
        extent: Extent,
        closing: Option<(&Element, &Element)>,
        rest: Form,
    ) -> Element {
        let mut value = rest.size.value;
        if let Some((a, b)) = closing {
            value += self.product_size(a, b).value;
        }
        let (_, canonical) = self.p.div_rem(value);
        let honest = extent.representative(canonical, self.p.value());
        let result = self.advise(g, kind, honest, extent);
        let rest = rest.minus(&self.form(&result));
        self.vanish(g, kind, closing, rest);
        result
    }

    /// Enforces `closing + rest = 0 mod p`, by rows under `kind`.
    ///
    /// # Panics
    /// If the declared ranges are too wide for the certificate: a fault of the circuit, whatever
    /// the witness.
    pub fn vanish(
        &self,
        g: &mut Builder,
        kind: &'static str,
        closing: Option<(&Element, &Element)>,
        rest: Form,
    ) {
        let mut size = rest.size;
        if let Some((a, b)) = closing {
            size = size + self.product_size(a, b);
        }
        g.scope(kind, |g| {
            let (native, low) = self.certificate(g, kind, size);
            let native = rest.native + native;
            let low = rest.low + low;
            match closing {
                Some((a, b)) => self.close(g, a, b, native, low),
                None => {
                    g.equal("native", native, Lin::zero());
                    g.equal("low", low, Lin::zero());
                }
            }
        });
    }

    /// Quotient and carry for an integer of this size: what must be added to it, modulo N and in
    /// the low part, to give zero.
    fn certificate(&self, g: &mut Builder, kind: &'static str, v: Size) -> (Lin, Lin) {
        let (p, shift) = (self.p.value(), 2 * self.width);
        let plan = self.plan(kind, &v);
        self.declare(g, plan.reduction);
        let Plan { least, reduction } = plan;
        let lift = reduction.lift;
        let (quotient, _) = self.p.div_rem(v.value + lift * p);
        let quotient = advise(g, "quotient", quotient, reduction.quotient_bits);
        let believed = Int::from_native(quotient.value()).low_bits(reduction.quotient_bits);
        let low = v.low + (lift - believed) * self.low_p;
        let carry = advise(
            g,
            "carry",
            low.shift_down(shift) - least,
            reduction.carry_bits,
        );

        let native = Lin::from((lift * p).to_native()).plus(-self.p_native, &quotient);
        let constant = lift * self.low_p - least.shift_up(shift);
        let low = Lin::from(constant.to_native())
            .plus(-self.low_p_native, &quotient)
            .plus(-self.carry_native, carry);
        (native, low)
    }

    /// Offsets and widths of quotient and carry, from the declared ranges alone.
    pub(super) fn plan(&self, kind: &'static str, v: &Size) -> Plan {
        let (p, shift) = (self.p.value(), 2 * self.width);
        // M p >= -V because M >= -V / 2^255 + 1 and 19 M < 2^255
        let lift = if v.range.min.is_negative() {
            (-v.range.min).shift_down(255) + Int::from(2)
        } else {
            Int::ZERO
        };
        let (largest, _) = self.p.div_rem(v.range.max + lift * p);
        let quotient_bits = self.whole_chunks(largest.bits());
        let low = v.low_range + (Span::of(lift) - Span::bits(quotient_bits)).times(self.low_p);
        let least = low.min.shift_down(shift);
        let carry_bits = self.whole_chunks((low.max.shift_down(shift) - least).bits());
        let carried = (Span::bits(carry_bits) + Span::of(least)).shift_up(shift);
        let reduction = Reduction {
            kind,
            divisor: p,
            value: v.value,
            range: v.range,
            lift,
            quotient_bits,
            carry_bits,
            low: low - carried,
            modulus: Int::power_of_two(shift),
        };
        Plan { least, reduction }
    }

    /// The rows of `a * b` with the last two product cells solved from
    /// `native(ab) + native = 0` and `low(ab) + low = 0`.
    fn close(&self, g: &mut Builder, a: &Element, b: &Element, mut native: Lin, mut low: Lin) {
        let pencil = self.pencil;
        let kept = pencil.rank() - 2;
        for l in 0..kept {
            let cell = self.product_row(g, l, a, b);
            native = native.plus(pencil.native[l], cell);
            low = low.plus(pencil.low[l], cell);
        }
        if !g.is_recording() {
            return;
        }
        // c_s P_s + c_t P_t = -native and x_s c_s P_s + x_t c_t P_t = -low
        let (s, t) = (kept, kept + 1);
        for (i, (own, other)) in [(s, t), (t, s)].into_iter().enumerate() {
            let (c, xc) = (pencil.native[own], pencil.low[own]);
            let other_x = pencil.low[other] * invert(pencil.native[other]);
            let scale = invert(xc - other_x * c);
            let (native, low) = (&native, &low);
            g.row_with(format_args!("exact[{i}]"), || {
                let value = (native * (other_x * scale)).plus(-scale, low);
                (
                    self.weigh(&pencil.evaluations[own], a),
                    self.weigh(&pencil.evaluations[own], b),
                    value,
                )
            });
        }
    }

    fn product_row(&self, g: &mut Builder, l: usize, a: &Element, b: &Element) -> Wire {
        let evaluation = &self.pencil.evaluations[l];
        let (a, b) = (self.weigh(evaluation, a), self.weigh(evaluation, b));
        g.product(format_args!("product[{l}]"), a, b)
    }

    /// Value, low part and ranges of `a * b`, folded by `2^(n width) = kappa mod p`.
    pub(super) fn product_size(&self, a: &Element, b: &Element) -> Size {
        let n = self.count;
        let mut size = Size::ZERO;
        for k in (0..n).rev() {
            let (mut column, mut range) = (Int::ZERO, Span::of(Int::ZERO));
            let (mut folded, mut folded_range) = (Int::ZERO, Span::of(Int::ZERO));
            for i in 0..n {
                let j = (n + k - i) % n;
                let value = Int::product(a.values[i], b.values[j]);
                let span = Span::product(a.ranges[i], b.ranges[j]);
                if i + j == k {
                    column += value;
                    range = range + span;
                } else {
                    folded += value;
                    folded_range = folded_range + span;
                }
            }
            column += folded * self.kappa;
            range = range + folded_range.times(self.kappa);
            size.value = size.value.shift_up(self.width) + column;
            size.range = size.range.shift_up(self.width) + range;
            if !self.low[k].is_zero() {
                size.low += column * self.low[k];
                size.low_range = size.low_range + range.times(self.low[k]);
            }
        }
        size
    }

    /// The least multiple of the chunk width that is at least `bits`, and one chunk at least.
    fn whole_chunks(&self, bits: usize) -> usize {
        bits.max(1).div_ceil(self.chunk_bits) * self.chunk_bits
    }

    /// The integer of magnitude below `N m / 2` with this residue modulo N and this low part.
    pub(super) fn recombine(&self, native: Fr, low: Fr) -> (Int, Int) {
        let n = Int::native_modulus();
        let mut low_value = Int::from_native(low);
        if low_value.bits() > 252 {
            low_value -= n;
        }
        let native = Int::from_native(native);
        let bits = 2 * self.width;
        let residue = (low_value.low_bits(bits) * self.low_unit_inverse).low_bits(bits);
        let mut steps = ((residue - native).low_bits(bits) * self.native_inverse).low_bits(bits);
        if steps.bits() == bits {
            steps -= Int::power_of_two(bits);
        }
        (native + n * steps, low_value)
    }
}

fn advise(g: &mut Builder, kind: &'static str, value: Int, bits: usize) -> Lin {
    let words = value.low_bits(bits).to_words().unwrap_or_default();
    g.limb(kind, ark_ff::BigInt(words), u32_of(bits)).lin()
}

fn invert(x: Fr) -> Fr {
    x.inverse().unwrap_or(Fr::ZERO)
}
