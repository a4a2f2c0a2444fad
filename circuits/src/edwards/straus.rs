//! The chain: one run of doublings for all scalars of the batch (Straus).
//!
//! Statement  `P = 2^top S + sum over lanes of sum_j digit_j 2^(window j) T`, S the start, a constant
//! Argument   Each step is the group law (see `chord`), and at no step is a point O
//! Complete   A chord has no witness if the chain's point is plus or minus the entry to be added. The
//!            chain's point is 2^j S plus multiples of the B, A and R of *valid* signatures, whose
//!            logarithms to the base B the signers know but for torsion (each has shown that it knows
//!            s, and k binds R and A). S is hashed to the curve: such a coincidence is a logarithm
//!            of S, and finding one is the discrete logarithm problem. Soundness does not rest on it
//! Cost       per digit a chord, 3 rows to keep it one, n + 3 rows and cells to select the entry; per
//!            bit a tangent

use super::chord::{self, Distinct, Ordinate, Point};
use super::table::Table;
use crate::field25519::{Extent, Field, Int};
use crate::ground::Builder;
use crate::lookup::Selected;

/// A scalar in digits, and the table of its point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lane<'a> {
    pub(super) table: &'a Table,
    pub(super) digits: &'a [Selected],
    pub(super) window: usize,
}

impl Lane<'_> {
    /// Position of the highest digit, in bits.
    fn top(&self) -> usize {
        self.window * self.digits.len().saturating_sub(1)
    }

    fn digit(&self, position: usize) -> Option<&Selected> {
        position
            .is_multiple_of(self.window)
            .then(|| self.digits.get(position / self.window))
            .flatten()
    }
}

/// Doublings of the start.
pub(super) fn top(lanes: &[Lane<'_>]) -> usize {
    lanes.iter().map(Lane::top).max().unwrap_or_default()
}

/// Runs the chain from the constant point `start`, given by u and v in `[0, p)`.
pub(super) fn chain(
    g: &mut Builder,
    field: &Field,
    distinct: &mut Distinct,
    (u, v): (Int, Int),
    lanes: &[Lane<'_>],
) -> Point {
    let mut point = Point {
        u: field.constant(u),
        v: Ordinate::of(field.integer_form(v)),
    };
    for position in (0..=top(lanes)).rev() {
        for (i, lane) in lanes.iter().enumerate() {
            let Some(digit) = lane.digit(position) else {
                continue;
            };
            let addend = lane.table.addend(field, digit);
            point = g.scope(format_args!("chain[{position}]/add[{i}]"), |g| {
                distinct.apart(g, field, &point.u, &addend.u);
                chord::add(g, field, point, &addend, Extent::Short)
            });
        }
        if position > 0 {
            point = g.scope(format_args!("chain[{position}]/double"), |g| {
                chord::double(g, field, point)
            });
        }
    }
    point
}
