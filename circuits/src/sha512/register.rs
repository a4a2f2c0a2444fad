//! Ch and Maj of two consecutive rounds, one row and one cell per lane for both.
//!
//! Statement  In lane i: `z = Ch(e, f, g) + L Ch(u, e, f)`, `z = Maj(a, b, c) + L Maj(u, a, b)`, L = 2^72,
//!            where u is the new bit that the first of the two rounds made
//! Witness    z of each lane
//! Rows       Ch: `(g + f + L u - 2e)(g - f - L u) = 2z - g - (2L + 1) f - L^2 u`. With y = f + L u the
//!            left side is `g^2 - y^2 - 2eg + 2ey`, and on bits `y^2 = f + L^2 u + 2L fu`. So
//!            z is `g + e(f - g) + L (f + u(e - f))`: affine in z, one solution in the field
//!            Maj: `(z - p)(z - q) = 0`, `p = (1 + L) a + O (a - b)`, `q = c + L u + O (1 - a - b)`, O = 2^144.
//!            If a = b, both majorities are a: p is right, and q is c + L u +- O. If a and b differ,
//!            the third bit decides: q is right, and p is (1 + L) a +- O
//! Argument   Ch: none is needed, z is what it should be. Maj: a prover may take the wrong root, which
//!            is `O s` beside an element of {0, 1} + L {0, 1}, s = 1 or -1. The sum that reads these
//!            cells with weights 2^i is `X + L Y + O S = 0` with |X|, |Y| < 2^69, `S = sum 2^i s_i` and
//!            s_i in {-1, 0, 1}, see `window`. In absolute value it is below 2^208, so that it is
//!            zero over the integers; |X + L Y| < 2^142 < O, hence S = 0; were some s_i not zero, the
//!            least such i would make S an odd multiple of 2^i. So no lane has the wrong root
//!            Then X = -L Y and |X| < L, so that X = Y = 0: the two rounds' sums hold separately
//! Assumes    All bits are bits; the sum that reads the cells is bound
//! Cost       One row a lane for two rounds, one of Ch's in the place of the sum's equality. Lanes in
//!            which the sigmas' stars carry Ch or Maj have no cell here
//! Prover     z is one of four numbers below 2^73. Ch's stands on the third side only
//! Source     FIPS 180-4, section 4.1.3

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};

use super::bits::{Bool, Word, weight};
use super::native::{choice, majority};
use super::sum::Pieces;
use crate::ground::{Builder, Lin, Term, Wire, pow2};

/// L: the weight of the second round in a cell, and in the sum that reads it.
pub(super) fn second() -> Fr {
    pow2(SECOND)
}

/// Two rounds' Ch or Maj, one cell per lane.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    /// With their lanes.
    cells: Vec<(usize, Wire)>,
    next: u64,
}

impl Packed {
    /// The second round's word.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// `lin + k * sum of 2^i z_i`, over the lanes that have a cell.
    pub(super) fn add_scaled(&self, lin: &mut Lin, k: Fr) {
        for (i, cell) in &self.cells {
            cell.add_scaled(lin, k * weight(*i));
        }
    }
}

/// Cells of `Ch(e, f, h)` and `Ch(u, e, f)` in these lanes, but for 63, which is left to
/// [`bind_choice`].
pub(super) fn choices(g: &mut Builder, [e, f, h]: [&Word; 3], u: &Word, lanes: u64) -> Packed {
    let now = choice(e.value(), f.value(), h.value());
    let next = choice(u.value(), e.value(), f.value());
    let lanes = lanes & !(1 << 63);
    pack(["ch_pair", "ch"], g, [now, next], lanes, |i, z| {
        choice_sides([e, f, h, u].map(|word| word.bit(i)), Fr::ONE, z)
    })
}

/// The row of lane 63, with `rest` in the place of `2^63 z`.
pub(super) fn bind_choice(
    g: &mut Builder,
    [e, f, h]: [&Word; 3],
    u: &Word,
    rest: impl FnOnce() -> Lin,
) {
    g.row_with("bind", || {
        choice_sides([e, f, h, u].map(|word| word.bit(63)), weight(63), rest())
    });
}

/// Cells of `Maj(a, b, c)` and `Maj(u, a, b)` in these lanes.
pub(super) fn majorities(g: &mut Builder, [a, b, c]: [&Word; 3], u: &Word, lanes: u64) -> Packed {
    let now = majority(a.value(), b.value(), c.value());
    let next = majority(u.value(), a.value(), b.value());
    pack(["maj_pair", "maj"], g, [now, next], lanes, |i, z| {
        majority_sides([a, b, c, u].map(|word| word.bit(i)), z)
    })
}

/// `Ch(e, f, h)` where the circuit fixes f and h: no row.
pub(super) fn choice_of_known(g: &Builder, e: &Word, [f, h]: [u64; 2]) -> Pieces {
    let mut pieces = Pieces::default();
    for i in 0..64 {
        let k = 1 << i;
        match (f >> i & 1 == 1, h >> i & 1 == 1) {
            (false, false) => {}
            (true, true) => pieces.add_bit(g, k, true.into()),
            (true, false) => pieces.add_bit(g, k, e.bit(i)),
            (false, true) => {
                let k = pieces.flipped(k, true);
                pieces.add_bit(g, k, e.bit(i));
            }
        }
    }
    pieces
}

/// `Maj(a, b, c)` where the circuit fixes b and c: no row.
pub(super) fn majority_of_known(g: &Builder, a: &Word, [b, c]: [u64; 2]) -> Pieces {
    let mut pieces = Pieces::default();
    for i in 0..64 {
        let bit = if (b ^ c) >> i & 1 == 1 {
            a.bit(i)
        } else {
            Bool::Constant(b >> i & 1 == 1)
        };
        pieces.add_bit(g, 1 << i, bit);
    }
    pieces
}

fn pack(
    [kind, name]: [&'static str; 2],
    g: &mut Builder,
    [now, next]: [u64; 2],
    lanes: u64,
    row: impl Fn(usize, Lin) -> (Lin, Lin, Lin),
) -> Packed {
    let values = [false, true].map(|second| [false, true].map(|first| value(first, second)));
    let mut told = next;
    let cells = (0..64).filter(|i| lanes >> i & 1 == 1).map(|i| {
        let bit = |word: u64| usize::from(word >> i & 1 == 1);
        let honest = values[bit(next)][bit(now)];
        let z = g.hint(kind, honest);
        if z.value() != honest {
            let second = values[1].contains(&z.value());
            told = told & !(1 << i) | u64::from(second) << i;
        }
        g.row_with(format_args!("{name}[{i}]"), || row(i, z.into()));
        (i, z)
    });
    let cells = cells.collect();
    Packed { cells, next: told }
}

/// What a cell holds for the bits of the two rounds.
fn value(first: bool, second_bit: bool) -> Fr {
    Fr::from(first) + if second_bit { second() } else { Fr::ZERO }
}

/// The row that is true exactly of `kz = k * z`.
fn choice_sides([e, f, h, u]: [Bool; 4], k: Fr, kz: Lin) -> (Lin, Lin, Lin) {
    let l = second();
    let y = || Lin::from(f).plus(l, u);
    let first = (y() + h).plus(-Fr::from(2_u64), e) * k;
    let third = (kz * 2)
        .plus(-k, h)
        .plus(-k * (l.double() + Fr::ONE), f)
        .plus(-k * l.square(), u);
    (first, Lin::from(h) - y(), third)
}

/// The row that is true of the majorities, and of one number further away than 2^143.
fn majority_sides([a, b, c, u]: [Bool; 4], z: Lin) -> (Lin, Lin, Lin) {
    let (l, o) = (second(), pow2(AWAY));
    let equal = Lin::zero().plus(l + Fr::ONE + o, a).plus(-o, b);
    let differ = (Lin::from(c).plus(l, u) + o).plus(-o, a).plus(-o, b);
    (&z - equal, z - differ, Lin::zero())
}

/// L = 2^72: a multiple of 2^3 windows, so that the two rounds' sums cannot make up for each other.
const SECOND: u32 = 72;

/// O = 2^144: beyond both rounds' windows together.
const AWAY: u32 = 144;

#[cfg(test)]
mod tests {
    use ark_ff::PrimeField;

    use super::super::sum::{WINDOW, integer};
    use super::super::tests::polynomial;
    use super::*;
    use crate::ground::Bit;
    use crate::testing::{Built, Trial};

    /// One lane with the given four bits, as row `row` of cell `z`.
    fn lane(bits: usize, z: Fr, row: impl Fn([Bool; 4], Lin) -> (Lin, Lin, Lin)) -> Built {
        Trial::new().build(|g| {
            let bits: [Bit; 4] = core::array::from_fn(|i| g.bit("in", bits >> i & 1 == 1));
            let z = g.witness("z", z);
            g.row_with("row", || row(bits.map(Bool::from), z.into()));
        })
    }

    fn cell(built: &Built) -> usize {
        built.column("z").expect("the lane has one")
    }

    fn words(bits: usize) -> [u64; 4] {
        core::array::from_fn(|i| u64::from(bits >> i & 1 == 1))
    }

    /// Over all bits, the row is affine in z with a slope that is not zero, and holds.
    #[test]
    fn choice_rows_have_one_root() {
        for bits in 0..16 {
            let [e, f, h, u] = words(bits);
            // On words of which one bit is looked at, `choice` needs its complement cut off.
            let z = value(choice(e, f, h) & 1 == 1, choice(u, e, f) & 1 == 1);
            for k in [Fr::ONE, weight(63)] {
                let built = lane(bits, z, |bits, z| choice_sides(bits, k, z * k));
                let [_, slope, square] = polynomial(&built, "row", cell(&built));
                assert!(built.holds() && slope != Fr::ZERO && square == Fr::ZERO);
            }
        }
    }

    /// Over all bits, one root is right, and the other is +-O away from a pair of bits.
    #[test]
    fn majority_rows_have_a_right_root_and_one_far_away() {
        let pairs = [(false, false), (true, false), (false, true), (true, true)];
        for bits in 0..16 {
            let [a, b, c, u] = words(bits);
            let z = value(majority(a, b, c) == 1, majority(u, a, b) == 1);
            let built = lane(bits, z, majority_sides);
            assert!(built.holds());
            let [_, slope, square] = polynomial(&built, "row", cell(&built));
            assert_eq!(square, Fr::ONE);
            let other = -slope - z;
            let away = pow2(AWAY);
            let far = |(now, next)| [away, -away].contains(&(other - value(now, next)));
            assert!(pairs.into_iter().any(far), "{bits:04b}");
        }
    }

    /// The argument's inequalities, at the ends of their ranges.
    #[test]
    fn windows_are_apart() {
        let largest = integer(WINDOW - 1);
        let below = |a: Fr, b: Fr| a.into_bigint() < b.into_bigint();
        // X = -L Y with Y not zero is impossible.
        assert!(below(largest, second()));
        // O S = -(X + L Y) with S not zero is impossible.
        let two_rounds = largest + second() * largest;
        assert!(below(two_rounds, pow2(AWAY)));
        // The greatest X + L Y + O S, with S = sum of 2^i, is far below the modulus.
        let lanes: Fr = (0..64).map(weight).sum();
        let greatest = two_rounds + pow2(AWAY) * lanes;
        assert!(below(greatest, pow2(208)));
    }

    /// Where signs are free, no choice of wrong lanes makes S zero; all choices in ten lanes.
    #[test]
    fn wrong_lanes_never_cancel() {
        for code in 1..3_i64.pow(10) {
            let digits = (0..10).map(|i| (code / 3_i64.pow(i) + 1) % 3 - 1);
            let sum: i64 = digits.clone().zip(0..).map(|(s, i)| s << i).sum();
            assert!(sum != 0 || digits.clone().all(|s| s == 0));
        }
    }
}
