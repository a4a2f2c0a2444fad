//! Stars: exclusive ors that share a bit share the row that multiplies by it.
//!
//! Statement  `sum of k_i * xor(c, a_i, b_i) + c * (sum of r_j * d_j)`, for a bit c, its *arms*
//!            `(k_i, a_i, b_i)` and its *rays* `(r_j, d_j)`, all bits
//! Witness    One cell per two arms, `p = xor(a_1, b_1) + m xor(a_2, b_2)`; one product v
//! Rows       p as in `xor`, half a row per arm. With `Z = sum of k_i p_i`, exclusive or with c is
//!            `p + c - 2cp`, so that the statement is `sum k_i c + Z + c F` with `F = sum r_j d_j - 2Z`. One
//!            row `c * (F - min F)/s = v` for all arms and rays, s being a power of two that
//!            divides it: v is an integer that is never negative and no larger than need be
//! Argument   Both kinds of rows are affine in their cell, with slope 1: one solution in the field
//! Assumes    All bits are bits
//! Cost       n/2 + 1 rows for n arms and any number of rays. n exclusive ors by themselves are n
//!            rows, so a star of two or three arms pays by its rays: a lane of Ch whose selector is
//!            c, `h + c (f - h)`, or an exclusive or of two bits one of which is c. A star of four pays
//!            by itself: the fourth arm is Maj(c, a, b) = `(c + a + b - xor(c, a, b))/2`
//! Prover     Cells are integers with few bits set; on the second side stands c alone

use std::sync::LazyLock;

use super::bits::Bool;
use super::native::Sigma;
use super::sum::{Cell, Pieces, advise, integer};
use super::xor::Row;
use crate::ground::{Bit, Builder, Lin};

/// Exclusive ors and products that share a bit.
#[derive(Clone, Debug)]
pub(super) struct Star {
    pub(super) center: Bit,
    pub(super) arms: Vec<(i128, [Bit; 2])>,
    pub(super) rays: Vec<(i128, Bool)>,
}

impl Star {
    /// Carries `k * xor(center, d)`.
    pub(super) fn carry_xor(&mut self, g: &Builder, k: i128, d: Bit, pieces: &mut Pieces) {
        pieces.add_bool(g, k, self.center.into());
        pieces.add_bool(g, k, d.into());
        self.rays.push((-2 * k, d.into()));
    }

    /// Carries `k * Ch(center, f, h)`, which is `k h + center * k (f - h)`.
    pub(super) fn carry_choice(
        &mut self,
        g: &Builder,
        k: i128,
        [f, h]: [Bool; 2],
        pieces: &mut Pieces,
    ) {
        pieces.add_bool(g, k, h);
        self.rays.extend([(k, f), (-k, h)]);
    }

    /// Carries `k * Maj(center, b, c)`, for an even k: half of `center + b + c` less half of their
    /// exclusive or, a further arm. If one of them is known, it is a product or the like.
    pub(super) fn carry_majority(
        &mut self,
        g: &Builder,
        k: i128,
        [b, c]: [Bool; 2],
        pieces: &mut Pieces,
    ) {
        assert!(k % 2 == 0, "half of {k} is no weight");
        let center = Bool::Cell(self.center);
        match (b, c) {
            (Bool::Cell(x), Bool::Cell(y)) => {
                for bit in [center, b, c] {
                    pieces.add_bool(g, k / 2, bit);
                }
                self.arms.push((-k / 2, [x, y]));
            }
            (Bool::Constant(false), other) | (other, Bool::Constant(false)) => {
                self.rays.push((k, other));
            }
            (Bool::Constant(true), other) | (other, Bool::Constant(true)) => {
                pieces.add_bool(g, k, center);
                pieces.add_bool(g, k, other);
                self.rays.push((-k, other));
            }
        }
    }

    /// Records the rows and adds the sum, of which the caller declares the range.
    pub(super) fn emit(mut self, g: &mut Builder, pieces: &mut Pieces) {
        self.arms.sort_by_key(|(k, _)| k.unsigned_abs());
        let mut of_center = 0;
        let mut arms = Vec::with_capacity(self.arms.len().div_ceil(2));
        for pair in self.arms.chunks(2) {
            of_center += pair.iter().map(|(k, _)| k).sum::<i128>();
            let row = Row::of_two_bits(pair);
            let p = row.cell(g);
            p.add_to(g, row.k, pieces);
            arms.push((-2 * row.k, p));
        }
        // F, its least value, and the power of two in all its coefficients.
        let (mut value, mut least, mut factors) = (0, 0, 0);
        let mut count = |k: i128, of: i128, [min, max]: [i128; 2]| {
            value += k * of;
            least += (k * min).min(k * max);
            factors |= k;
        };
        for (k, p) in &arms {
            count(*k, p.value, p.range);
        }
        for (k, d) in &self.rays {
            count(*k, i128::from(d.value()), [0, 1]);
        }
        let step = 1 << factors.trailing_zeros();
        let center = i128::from(self.center.value());
        let product = center * ((value - least) / step);

        let (v, told) = advise(g, "star", product);
        g.row_with("star", || {
            let mut f = Lin::from(integer(-least / step));
            for (k, p) in &arms {
                p.add_scaled(&mut f, integer(k / step));
            }
            for (k, d) in &self.rays {
                f = f.plus(integer(k / step), *d);
            }
            (f, self.center.into(), v.into())
        });
        pieces.add_term(g, step, Cell::Wire(v), told);
        pieces.add_bool(g, of_center + least, self.center.into());
    }
}

/// A bit where lanes of a sigma meet.
#[derive(Clone, Debug)]
pub(super) struct Meeting {
    pub(super) center: usize,
    /// Lanes of three bits that become arms; no lane in two meetings.
    pub(super) lanes: Vec<usize>,
    /// The other lanes that read the bit.
    pub(super) passing: Vec<usize>,
}

/// The meetings of a sigma that can be stars.
pub(super) fn meetings(sigma: Sigma) -> &'static [Meeting] {
    static MEETINGS: LazyLock<[Vec<Meeting>; 4]> = LazyLock::new(|| {
        let meeting = |sigma: Sigma, center: usize, lanes: &[usize]| {
            let center = center % 64;
            let lanes: Vec<usize> = lanes.iter().map(|lane| lane % 64).collect();
            let reads = |i: &usize| sigma.sources(*i).contains(&Some(center));
            let passing = (0..64).filter(|i| reads(i) && !lanes.contains(i)).collect();
            Meeting {
                center,
                lanes,
                passing,
            }
        };
        // Rotations by 28, 34 and 39: no two of these bits differ by 5, 6 or 11.
        let big0 = (0..64_usize).filter(|c| (1..6).contains(&(c % 16)));
        let big0 = big0.map(|c| meeting(Sigma::Big0, c, &[c + 36, c + 30, c + 25]));
        // Lanes i and i + 4 meet in bit i + 18. Lane 63 is open, so that 59 has nobody to meet.
        let big1 = (0..59_usize).filter(|i| i % 8 < 4);
        let big1 = big1.map(|i| meeting(Sigma::Big1, i + 18, &[i, i + 4]));
        // Bits that stand in a lane of two bits as well.
        let small0 = [(7, [0, 6]), (58, [50, 51]), (60, [52, 53]), (62, [54, 55])];
        let small0 = small0.map(|(c, lanes)| meeting(Sigma::Small0, c, &lanes));
        let small1 = (13..19_usize).map(|c| meeting(Sigma::Small1, c, &[c + 3, c - 6]));
        [
            big0.collect(),
            big1.collect(),
            small0.to_vec(),
            small1.collect(),
        ]
    });
    &MEETINGS[sigma as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Sigma; 4] = [Sigma::Big0, Sigma::Big1, Sigma::Small0, Sigma::Small1];

    #[test]
    fn no_lane_is_in_two_meetings_and_all_read_their_center() {
        let mut arms = Vec::new();
        for sigma in ALL {
            let mut seen = 0_u64;
            for meeting in meetings(sigma) {
                for &i in &meeting.lanes {
                    assert_eq!(seen >> i & 1, 0, "{sigma:?} lane {i}");
                    seen |= 1 << i;
                    let sources = sigma.sources(i);
                    assert!(sources.contains(&Some(meeting.center)));
                    assert!(!sources.contains(&None));
                }
                for &i in &meeting.passing {
                    assert!(sigma.sources(i).contains(&Some(meeting.center)));
                    assert!(!meeting.lanes.contains(&i));
                }
            }
            arms.push((meetings(sigma).len(), seen.count_ones()));
        }
        assert_eq!(arms, [(20, 60), (31, 62), (4, 8), (6, 12)]);
    }
}
