//! Relations modulo L.

use std::sync::LazyLock;

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, BigInt, Field as _};

use super::{Scalar, order};
use crate::field25519::{Form, Int, Reduction, Size, Span};
use crate::ground::{Bit, Builder, Lin, Wire, pow2};
use crate::lookup::Limb;

/// Where integers are cut: weights at `2^a`, scalars at `2^b` and at `m = 2^low`, `low <= a + b`, so
/// that modulo m a weight times a scalar is `w_0 (s mod m) + 2^a w_1 (s mod 2^b)`, which does not wrap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    a: usize,
    pub(super) b: usize,
    pub(super) low: usize,
    chunk: usize,
}

impl Split {
    /// Cuts fall between whole chunks (of `(w - 1) / 2`, for a weight); m is the least such power with
    /// `|E| < N m`.
    pub(super) fn of(g: &Builder) -> Self {
        let (a, b, low, chunk) = match g.chunk_bits() {
            8 => (65, 80, 144, 8),
            13 => (66, 78, 143, 13),
            16 => (65, 80, 144, 16),
            17 => (69, 85, 153, 17),
            other => panic!("scalars are not made of chunks of {other} bits"),
        };
        Self { a, b, low, chunk }
    }

    fn whole_chunks(self, bits: usize) -> usize {
        bits.max(1).div_ceil(self.chunk) * self.chunk
    }
}

/// The weight `w = 2 z + 1` of a slot.
#[derive(Clone, Debug)]
pub struct Weight {
    whole: Lin,
    /// `w mod 2^a` and the rest.
    low: Lin,
    high: Lin,
    value: Int,
    split: Split,
}

impl Weight {
    /// From z, an integer below 2^128. Costs no row.
    ///
    /// # Panics
    /// If z is wider.
    pub fn new(g: &Builder, z: &Limb) -> Self {
        assert!(z.bits() <= 128, "a weight has 128 bits");
        let split = Split::of(g);
        let (low, high) = z.chunks().split_at((split.a - 1) / split.chunk);
        let join = |chunks: &[Wire]| {
            chunks
                .iter()
                .rev()
                .fold(Lin::zero(), |sum, c| sum * pow2_wide(split.chunk) + *c)
        };
        let (low, high) = (join(low) * 2 + Fr::ONE, join(high));
        let whole = low.clone().plus(pow2_wide(split.a), &high);
        // what a forger makes longer is cut: some row refuses it anyway
        let value = Int::from_native(whole.value()).low_bits(129);
        Self {
            whole,
            low,
            high,
            value,
            split,
        }
    }

    /// The weight, for the present witness.
    #[must_use]
    pub fn value(&self) -> Int {
        self.value
    }

    fn range() -> Span {
        Span::bits(129)
    }

    fn ranges(&self) -> (Span, Span) {
        (Span::bits(self.split.a), Span::bits(129 - self.split.a))
    }

    fn values(&self) -> (Int, Int) {
        (
            self.value.low_bits(self.split.a),
            self.value.shift_down(self.split.a),
        )
    }
}

/// The factor of a weight: an integer modulo N, modulo m and modulo `2^b`, the latter two not reduced.
struct Factor {
    whole: (Lin, Int, Span),
    low: (Lin, Int, Span),
    lowest: (Lin, Int, Span),
}

impl Factor {
    /// `sum k_bit (2^i mod L)`: congruent to k modulo L, and linear.
    fn of_bits(k: &[Bit], split: Split) -> Self {
        let mut whole = (Lin::zero(), Int::ZERO, Span::of(Int::ZERO));
        let mut low = whole.clone();
        let mut lowest = whole.clone();
        for (bit, power) in k.iter().zip(&*POWERS) {
            for (sum, power) in [
                (&mut whole, *power),
                (&mut low, power.low_bits(split.low)),
                (&mut lowest, power.low_bits(split.b)),
            ] {
                if !power.is_zero() {
                    sum.0 = core::mem::take(&mut sum.0).plus(power.to_native(), *bit);
                    sum.1 += if bit.value() { power } else { Int::ZERO };
                    sum.2.max += power;
                }
            }
        }
        Self { whole, low, lowest }
    }

    fn of_scalar(s: &Scalar, split: Split) -> Self {
        Self {
            whole: (
                s.lin().clone(),
                s.value,
                Span::up_to(order().value() - Int::ONE),
            ),
            low: (
                s.low.clone(),
                s.value.low_bits(split.low),
                Span::bits(split.low),
            ),
            lowest: (
                s.lowest.clone(),
                s.value.low_bits(split.b),
                Span::bits(split.b),
            ),
        }
    }
}

static POWERS: LazyLock<Vec<Int>> = LazyLock::new(|| {
    let double = |power: &Int| Some(order().div_rem(*power + *power).1);
    core::iter::successors(Some(Int::ONE), double)
        .take(512)
        .collect()
});

/// Enforces `sum digits_j 2^(window j) = -w`, as integers.
///
/// # Panics
/// If the digits could wrap.
pub fn enforce_opposite(g: &mut Builder, w: &Weight, digits: &[Wire], window: usize) {
    assert!(
        window * digits.len() < 250,
        "the digits of a weight do not wrap"
    );
    let (sum, ..) = recombine(digits, window, 0);
    g.equal("weight digits", sum, -w.whole.clone());
}

/// Enforces `sum digits_j 2^(window j) = -w k mod L`. Every digit's magnitude is below 2^window.
pub fn enforce_opposite_product(
    g: &mut Builder,
    w: &Weight,
    k: &[Bit],
    digits: &[Wire],
    window: usize,
) -> Reduction {
    let split = w.split;
    let product = Weighted::new(w, Factor::of_bits(k, split));
    let rest = digits_form(digits, window, split);
    vanish(g, "w k mod L", vec![product], rest)
}

/// Enforces `sum digits_j 2^(window j) = sum w_i s_i mod L`.
pub fn enforce_weighted_sum(
    g: &mut Builder,
    terms: &[(&Weight, &Scalar)],
    digits: &[Wire],
    window: usize,
) -> Reduction {
    let split = Split::of(g);
    let products = terms
        .iter()
        .map(|(w, s)| Weighted::new(w, Factor::of_scalar(s, split)));
    let products = products.collect();
    let rest = Form::zero().minus(&digits_form(digits, window, split));
    vanish(g, "w s mod L", products, rest)
}

/// A weight times a factor, as three products of two combinations.
struct Weighted {
    whole: (Lin, Lin),
    /// `w_0 (f mod m)`.
    low: (Lin, Lin),
    /// `w_1 (f mod 2^b)`, to be taken `2^a` times.
    high: (Lin, Lin),
    a: usize,
    size: Size,
}

impl Weighted {
    fn new(w: &Weight, f: Factor) -> Self {
        let times = |x: Span, y: Span| Span::up_to(x.max * y.max); // none is negative
        let ((low_range, high_range), (low, high)) = (w.ranges(), w.values());
        let a = w.split.a;
        let size = Size {
            value: w.value * f.whole.1,
            low: low * f.low.1 + (high * f.lowest.1).shift_up(a),
            range: times(Weight::range(), f.whole.2),
            low_range: times(low_range, f.low.2) + times(high_range, f.lowest.2).shift_up(a),
        };
        Self {
            whole: (w.whole.clone(), f.whole.0),
            low: (w.low.clone(), f.low.0),
            high: (w.high.clone(), f.lowest.0),
            a,
            size,
        }
    }
}

/// Enforces `sum products + rest = 0 mod L`, by rows under `kind`; low parts are modulo m.
/// Costs 3 rows per product and the chunks of quotient and carry.
///
/// # Panics
/// If the declared ranges are too wide for the certificate, or there is no product.
fn vanish(g: &mut Builder, kind: &'static str, products: Vec<Weighted>, rest: Form) -> Reduction {
    let split = Split::of(g);
    let size = products
        .iter()
        .fold(rest.size(), |sum, product| sum + product.size);
    g.scope(kind, |g| {
        let (reduction, native, low) = certificate(g, kind, split, size);
        let (mut native, mut low) = (rest.native + native, rest.low + low);
        let last = products.len() - 1;
        for (i, product) in products.into_iter().enumerate() {
            let Weighted {
                whole,
                low: (w, f),
                high,
                a,
                ..
            } = product;
            let cell = g.product(format_args!("low[{i}]"), w, f);
            low += cell;
            if i < last {
                native += g.product(format_args!("product[{i}]"), whole.0, whole.1);
                let cell = g.product(format_args!("high[{i}]"), high.0, high.1);
                low = low.plus(pow2_wide(a), cell);
            } else {
                let shifted = high.0 * pow2_wide(a);
                let (native, low) = (&native, &low);
                g.row_with("exact/native", || (whole.0, whole.1, -native.clone()));
                g.row_with("exact/low", || (shifted, high.1, -low.clone()));
            }
        }
        reduction
    })
}

/// Quotient and carry of a multiple of L: what must be added to give zero, modulo N and in the low
/// part. The quotient's low part is taken chunk by chunk: `L mod m` times all of it would wrap.
fn certificate(
    g: &mut Builder,
    kind: &'static str,
    split: Split,
    v: Size,
) -> (Reduction, Lin, Lin) {
    let l = order();
    let m_bits = split.low;
    let lift = if v.range.min.is_negative() {
        (-v.range.min).shift_down(252) + Int::ONE // L > 2^252
    } else {
        Int::ZERO
    };
    let (largest, _) = l.div_rem(v.range.max + lift * l.value());
    let quotient_bits = split.whole_chunks(largest.bits());
    let (quotient, _) = l.div_rem(v.value + lift * l.value());
    let quotient = g.limb(
        "quotient",
        limb_words(quotient, quotient_bits),
        bits(quotient_bits),
    );

    let lift_low = (lift * l.value()).low_bits(m_bits);
    let mut low_value = v.low + lift_low;
    let mut low_range = v.low_range + Span::of(lift_low);
    let mut low = Lin::from(lift_low.to_native());
    let most = Int::power_of_two(split.chunk) - Int::ONE;
    for (i, chunk) in quotient.chunks().iter().enumerate() {
        let weight = l.value().shift_up(split.chunk * i).low_bits(m_bits);
        let value = Int::from_native(chunk.value()).low_bits(split.chunk);
        low_value -= value * weight;
        low_range = low_range - Span::up_to(most * weight);
        low = low.plus(-weight.to_native(), *chunk);
    }
    let least = low_range.min.shift_down(m_bits);
    let carry_bits = split.whole_chunks((low_range.max.shift_down(m_bits) - least).bits());
    let carry = low_value.shift_down(m_bits) - least;
    let carry = g.limb("carry", limb_words(carry, carry_bits), bits(carry_bits));

    let carried = (Span::bits(carry_bits) + Span::of(least)).shift_up(m_bits);
    let reduction = Reduction {
        kind,
        divisor: l.value(),
        value: v.value,
        range: v.range,
        lift,
        quotient_bits,
        carry_bits,
        low: low_range - carried,
        modulus: Int::power_of_two(m_bits),
    };
    assert!(
        reduction.is_exact(),
        "ranges too wide to be exact: {reduction:?}"
    );
    let native =
        Lin::from((lift * l.value()).to_native()).plus(-l.value().to_native(), quotient.lin());
    let low = low.plus(-pow2_wide(m_bits), &(carry.lin() + least.to_native()));
    (reduction, native, low)
}

/// `sum digits_j 2^(window j)` with its low part.
fn digits_form(digits: &[Wire], window: usize, split: Split) -> Form {
    let (native, value, range) = recombine(digits, window, 0);
    let kept = split.low.div_ceil(window).min(digits.len());
    let (low, low_value, low_range) = recombine(&digits[..kept], window, split.low);
    Form::new(
        native,
        low,
        Size {
            value,
            low: low_value,
            range,
            low_range,
        },
    )
}

/// `sum digits_j (2^(window j) mod 2^modulus)` (no reduction if `modulus` is 0), its value and range.
fn recombine(digits: &[Wire], window: usize, modulus: usize) -> (Lin, Int, Span) {
    let mut sum = (Lin::zero(), Int::ZERO, Span::of(Int::ZERO));
    for (j, digit) in digits.iter().enumerate() {
        let mut weight = Int::power_of_two(window * j);
        if modulus > 0 {
            weight = weight.low_bits(modulus);
        }
        let most = Int::power_of_two(window) - Int::ONE;
        sum.0 = sum.0.plus(weight.to_native(), *digit);
        sum.1 += signed(digit.value()) * weight;
        sum.2 = sum.2
            + Span {
                min: -most,
                max: most,
            }
            .times(weight);
    }
    sum
}

/// The integer of small magnitude that a digit stands for; what a forger put there otherwise counts
/// as zero.
pub(crate) fn signed(digit: Fr) -> Int {
    let (plus, minus) = (Int::from_native(digit), Int::from_native(-digit));
    match (plus.bits() < 32, minus.bits() < 32) {
        (true, _) => plus,
        (_, true) => -minus,
        _ => Int::ZERO,
    }
}

fn limb_words(value: Int, bits: usize) -> BigInt<4> {
    BigInt(value.low_bits(bits).to_words().unwrap_or_default())
}

fn bits(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn pow2_wide(shift: usize) -> Fr {
    u32::try_from(shift).map_or(Fr::ZERO, pow2)
}
