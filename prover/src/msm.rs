//! Sums of multiples of points: Pippenger's buckets, filled by affine additions in batches.
//!
//! Scalars are cut into windows of signed digits. In each window the points are sorted by their
//! digit, and those of one digit are added in pairs, then the sums in pairs, until one is left for
//! each digit. All additions of a round are independent, so that one inversion serves a batch of
//! them: six multiplications each, where a bucket in projective coordinates takes ten.
//!
//! Scalars above half the modulus are negated with their point, so that small numbers of either
//! sign have few digits. Zero digits cost nothing: sums of bits and of looked-up chunks are short
//! by themselves. Time depends on the scalars' digits, as in any such sum; which scalars are wide
//! does not depend on who signed.
//!
//! Source: Pippenger 1976; batches of affine additions as in gnark-crypto.

use ark_bn254::Fr;
use ark_ec::short_weierstrass::{Affine, Projective, SWCurveConfig};
use ark_ec::{AffineRepr, VariableBaseMSM};
use ark_ff::{AdditiveGroup, BigInt, BigInteger, Field, PrimeField};
use rayon::prelude::*;
use zeroize::Zeroizing;

/// Additions that share an inversion.
const BATCH: usize = 512;
/// Below this many points the library's sum is as quick.
const FEW: usize = 512;
/// Bits of a scalar; those at hand are at most half the modulus.
const SCALAR_BITS: usize = 254;

/// `sum scalars[i] * bases[i]`, of a curve whose `a` is zero.
///
/// # Panics
/// When there are not as many scalars as bases.
pub fn msm<P>(bases: &[Affine<P>], scalars: &[Fr]) -> Projective<P>
where
    P: SWCurveConfig<ScalarField = Fr>,
{
    assert_eq!(bases.len(), scalars.len(), "a scalar for every base");
    if bases.len() < FEW {
        let scalars: Vec<_> = scalars.iter().map(|s| s.into_bigint()).collect();
        return Projective::<P>::msm_bigint(bases, &Zeroizing::new(scalars));
    }
    let windows = Windows::quickest(bases.len(), rayon::current_num_threads());
    msm_with(bases, scalars, windows)
}

fn msm_with<P>(bases: &[Affine<P>], scalars: &[Fr], windows: Windows) -> Projective<P>
where
    P: SWCurveConfig<ScalarField = Fr>,
{
    let signed: Vec<Signed> = scalars
        .par_iter()
        .map(|scalar| windows.sign(scalar))
        .collect();
    let signed = Zeroizing::new(signed);
    let sums: Vec<Projective<P>> = (0..windows.count)
        .into_par_iter()
        .with_max_len(1)
        .map(|window| window_sum(bases, &signed, windows, window))
        .collect();
    let top = sums.last().copied().unwrap_or_default();
    sums.iter().rev().skip(1).fold(top, |mut total, sum| {
        for _ in 0..windows.bits {
            total.double_in_place();
        }
        total + sum
    })
}

/// A scalar up to its sign: an integer of at most half the modulus, to which half of every window
/// but the top one's is added. Its digits less these halves are the signed digits.
#[derive(Clone, Copy, Default)]
struct Signed {
    shifted: BigInt<4>,
    negative: bool,
}

impl zeroize::DefaultIsZeroes for Signed {}

/// How scalars are cut.
#[derive(Clone, Copy, Debug)]
struct Windows {
    bits: usize,
    count: usize,
    /// Half of every window but the top one.
    halves: BigInt<4>,
}

impl Windows {
    fn of(bits: usize) -> Self {
        let count = SCALAR_BITS.div_ceil(bits);
        let mut halves = BigInt([0; 4]);
        for window in 1..count {
            let bit = window * bits - 1;
            halves.0[bit / 64] |= 1 << (bit % 64);
        }
        Self {
            bits,
            count,
            halves,
        }
    }

    /// The width that makes a sum of `points` quickest on so many threads.
    fn quickest(points: usize, threads: usize) -> Self {
        let cost = |bits: usize| {
            let rounds = SCALAR_BITS.div_ceil(bits).div_ceil(threads);
            // An addition in a batch counts two, one of the two for each bucket five.
            rounds * (2 * points + 5 * (1 << bits))
        };
        let bits = (4..=16).min_by_key(|bits| cost(*bits));
        Self::of(bits.expect("there are such widths"))
    }

    fn sign(&self, scalar: &Fr) -> Signed {
        let (mut integer, other) = (scalar.into_bigint(), (-*scalar).into_bigint());
        let negative = other < integer;
        if negative {
            integer = other;
        }
        // At most 0.38 * 2^254 + 2^253 + ...: no carry is lost.
        let _ = integer.add_with_carry(&self.halves);
        Signed {
            shifted: integer,
            negative,
        }
    }

    /// The signed digit of a window; at most `2^(bits - 1)` without its sign.
    fn digit(&self, scalar: &Signed, window: usize) -> i32 {
        let (word, offset) = (window * self.bits / 64, window * self.bits % 64);
        let limb = |i: usize| scalar.shifted.0.get(i).copied().unwrap_or_default();
        let high = match offset {
            0 => 0,
            _ => limb(word + 1) << (64 - offset),
        };
        let digit = (limb(word) >> offset | high) & ((1 << self.bits) - 1);
        let digit = i32::try_from(digit).expect("a window has at most 16 bits");
        let half = if window + 1 == self.count {
            0
        } else {
            1 << (self.bits - 1)
        };
        if scalar.negative {
            half - digit
        } else {
            digit - half
        }
    }
}

/// `sum digit * base` of one window.
fn window_sum<P>(
    bases: &[Affine<P>],
    signed: &[Signed],
    windows: Windows,
    window: usize,
) -> Projective<P>
where
    P: SWCurveConfig<ScalarField = Fr>,
{
    let buckets = 1 << (windows.bits - 1);
    // Sorted by digit: where each digit's points start, and which points they are, with their sign.
    let mut starts = vec![0_u32; buckets + 2];
    let place = |digit: i32| digit.unsigned_abs() as usize;
    for scalar in signed {
        starts[place(windows.digit(scalar, window)) + 1] += 1;
    }
    starts[1] = 0; // digit zero
    for digit in 1..starts.len() {
        starts[digit] += starts[digit - 1];
    }
    let mut next = starts.clone();
    let mut order = vec![0_u32; starts[buckets + 1] as usize];
    for (i, scalar) in (0_u32..).zip(signed) {
        let digit = windows.digit(scalar, window);
        if digit != 0 {
            let at = &mut next[place(digit)];
            order[*at as usize] = i << 1 | u32::from(digit < 0);
            *at += 1;
        }
    }
    starts.remove(0);
    drop(next);

    let mut adder = Adder::default();
    let base = |i: usize| {
        let base = &bases[(order[i] >> 1) as usize];
        (Point::of(base), order[i] & 1 == 1)
    };
    let (mut points, mut starts) = adder.halve(base, &starts);
    drop(order);
    while starts.windows(2).any(|pair| pair[1] - pair[0] > 1) {
        (points, starts) = adder.halve(|i| (points[i], false), &starts);
    }
    weigh(&points, &starts)
}

/// `sum digit * point`, with at most one point for each digit from 1 on.
fn weigh<P>(points: &[Point<P::BaseField>], starts: &[u32]) -> Projective<P>
where
    P: SWCurveConfig<ScalarField = Fr>,
{
    type Bucket<P> = <Projective<P> as VariableBaseMSM>::Bucket;
    let zero = <Projective<P> as VariableBaseMSM>::ZERO_BUCKET;
    let (mut running, mut total): (Bucket<P>, Bucket<P>) = (zero, zero);
    for pair in starts.windows(2).rev() {
        if pair[1] > pair[0] {
            let point = points[pair[0] as usize];
            if !point.is_zero() {
                running += Affine::<P>::new_unchecked(point.x, point.y);
            }
        }
        total += &running;
    }
    total.into()
}

/// An affine point; zero is (0, 0), which lies on no curve with `b` other than zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Point<F> {
    x: F,
    y: F,
}

impl<F: Field> Point<F> {
    fn of<P: SWCurveConfig<BaseField = F>>(point: &Affine<P>) -> Self {
        match point.xy() {
            None => Self::default(),
            Some((x, y)) => Self { x, y },
        }
    }

    fn signed(self, negative: bool) -> Self {
        Self {
            x: self.x,
            y: if negative { -self.y } else { self.y },
        }
    }

    fn is_zero(&self) -> bool {
        self.x == F::ZERO && self.y == F::ZERO
    }
}

/// A point, and whether it is to be negated.
type SignedPoint<F> = (Point<F>, bool);

/// Adds pairs of points, many at a time. Points are gathered first and looked at when a batch is
/// full, so that the memory's delays overlap.
#[derive(Default)]
struct Adder<F> {
    /// Two points with their signs, and where the sum goes.
    pending: Vec<([SignedPoint<F>; 2], usize)>,
    /// Numerators and denominators of the slopes, and the products of the denominators before.
    slopes: Vec<(F, F, F)>,
}

impl<F: Field> Adder<F> {
    /// Adds the points of every digit in pairs: of `k` points `ceil(k / 2)` are left.
    fn halve(
        &mut self,
        point: impl Fn(usize) -> SignedPoint<F>,
        starts: &[u32],
    ) -> (Vec<Point<F>>, Vec<u32>) {
        let mut left = Vec::with_capacity(starts.len());
        let mut count = 0;
        for pair in starts.windows(2) {
            left.push(count);
            count += (pair[1] - pair[0]).div_ceil(2);
        }
        left.push(count);
        let mut sums = vec![Point::default(); count as usize];
        let mut at = 0;
        for pair in starts.windows(2) {
            let (mut i, end) = (pair[0] as usize, pair[1] as usize);
            while i + 1 < end {
                self.pending.push(([point(i), point(i + 1)], at));
                if self.pending.len() == BATCH {
                    self.flush(&mut sums);
                }
                (i, at) = (i + 2, at + 1);
            }
            if i < end {
                let (point, negative) = point(i);
                sums[at] = point.signed(negative);
                at += 1;
            }
        }
        self.flush(&mut sums);
        (sums, left)
    }

    /// Adds what is pending.
    fn flush(&mut self, sums: &mut [Point<F>]) {
        let mut product = F::ONE;
        self.slopes.clear();
        for (points, at) in &mut self.pending {
            let [p, q] = points.map(|(point, negative)| point.signed(negative));
            *points = [(p, false), (q, false)];
            let (numerator, denominator) = match slope(&p, &q) {
                Ok(slope) => slope,
                Err(sum) => {
                    sums[*at] = sum;
                    *at = NOWHERE;
                    (F::ONE, F::ONE)
                }
            };
            self.slopes.push((numerator, denominator, product));
            product *= denominator;
        }
        let mut inverse = product.inverse().unwrap_or(F::ONE); // no factor is zero
        for ((points, at), slope) in self.pending.iter().zip(&self.slopes).rev() {
            let (numerator, denominator, before) = slope;
            let slope = *numerator * inverse * before;
            inverse *= denominator;
            if *at != NOWHERE {
                let [(p, _), (q, _)] = points;
                let x = slope.square() - p.x - q.x;
                sums[*at] = Point {
                    x,
                    y: slope * (p.x - x) - p.y,
                };
            }
        }
        self.pending.clear();
    }
}

/// The place of a sum that is known already.
const NOWHERE: usize = usize::MAX;

/// Numerator and denominator of the slope through two points, or their sum where there is none.
fn slope<F: Field>(p: &Point<F>, q: &Point<F>) -> Result<(F, F), Point<F>> {
    if p.is_zero() {
        return Err(*q);
    }
    if q.is_zero() {
        return Err(*p);
    }
    if p.x != q.x {
        return Ok((q.y - p.y, q.x - p.x));
    }
    if p.y == q.y && p.y != F::ZERO {
        // The tangent; `a` is zero on both curves.
        let square = p.x.square();
        return Ok((square.double() + square, p.y.double()));
    }
    Err(Point::default()) // opposite
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_bn254::{g1, g2};
    use ark_ec::{CurveGroup, PrimeGroup};
    use ark_ff::UniformRand;
    use ark_std::rand::{Rng, SeedableRng, rngs::StdRng};

    fn library<P>(bases: &[Affine<P>], scalars: &[Fr]) -> Projective<P>
    where
        P: SWCurveConfig<ScalarField = Fr>,
    {
        let integers: Vec<_> = scalars.iter().map(|s| s.into_bigint()).collect();
        Projective::<P>::msm_bigint(bases, &integers)
    }

    /// Points among which are equal ones, opposite ones and zero.
    fn points<P: SWCurveConfig<ScalarField = Fr>>(
        count: usize,
        rng: &mut StdRng,
    ) -> Vec<Affine<P>> {
        let mut points: Vec<Projective<P>> = vec![Projective::generator(); 3];
        while points.len() < count {
            let (i, j) = (
                rng.gen_range(0..points.len()),
                rng.gen_range(0..points.len()),
            );
            let next = match rng.gen_range(0..10) {
                0 => points[i],
                1 => -points[i],
                2 => Projective::default(),
                _ => points[i] + points[j].double(),
            };
            points.push(next);
        }
        points.truncate(count);
        Projective::normalize_batch(&points)
    }

    fn scalar(rng: &mut StdRng) -> Fr {
        let small = Fr::from(rng.gen_range(0..1_u64 << 16));
        match rng.gen_range(0..8) {
            0 => Fr::ZERO,
            1 => Fr::ONE,
            2 => -Fr::ONE,
            3 => small,
            4 => -small,
            5 => Fr::from(u64::MAX),
            _ => Fr::rand(rng),
        }
    }

    fn agrees<P>(count: usize)
    where
        P: SWCurveConfig<ScalarField = Fr>,
    {
        let mut rng = StdRng::seed_from_u64(count as u64);
        let bases = points::<P>(count, &mut rng);
        let scalars: Vec<Fr> = (0..count).map(|_| scalar(&mut rng)).collect();
        let expected = library(&bases, &scalars);
        assert_eq!(msm(&bases, &scalars), expected);
        for bits in [4, 5, 8, 13, 15, 16] {
            assert_eq!(
                msm_with(&bases, &scalars, Windows::of(bits)),
                expected,
                "{bits}"
            );
        }
    }

    #[test]
    fn sums_are_the_library_s() {
        for count in [0, 1, FEW - 1, FEW, 2 * BATCH + 1, 5000] {
            agrees::<g1::Config>(count);
        }
        agrees::<g2::Config>(1000);
    }

    #[test]
    fn sums_of_like_scalars_are_the_library_s() {
        let mut rng = StdRng::seed_from_u64(7);
        let bases = points::<g1::Config>(3000, &mut rng);
        let half = (-Fr::ONE) * Fr::from(2_u64).inverse().expect("not zero");
        for like in [
            Fr::ZERO,
            Fr::ONE,
            -Fr::ONE,
            half,
            half + Fr::ONE,
            half - Fr::ONE,
        ] {
            let scalars = vec![like; bases.len()];
            assert_eq!(msm(&bases, &scalars), library(&bases, &scalars), "{like}");
        }
        // One point, whose sums are doublings and zeros throughout.
        let same = vec![bases[0]; 3000];
        let scalars: Vec<Fr> = (0..3000).map(|_| scalar(&mut rng)).collect();
        assert_eq!(msm(&same, &scalars), library(&same, &scalars));
    }

    #[test]
    fn digits_are_those_of_the_scalar() {
        let mut rng = StdRng::seed_from_u64(8);
        for bits in 4..=16 {
            let windows = Windows::of(bits);
            for _ in 0..200 {
                let scalar = scalar(&mut rng);
                let signed = windows.sign(&scalar);
                let mut sum = Fr::ZERO;
                for window in (0..windows.count).rev() {
                    let digit = windows.digit(&signed, window);
                    assert!(digit.unsigned_abs() <= 1 << (bits - 1));
                    sum = sum * Fr::from(1_u64 << bits) + Fr::from(digit);
                }
                assert_eq!(sum, scalar);
            }
        }
    }
}
