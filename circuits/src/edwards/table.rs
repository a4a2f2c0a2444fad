//! Window tables: the odd multiples of a point, selected by a signed digit.
//!
//! Statement  Entry m of a table of T is `(u, v)` of m T; entry -m is `(u, -v)`
//! Argument   2 T is a tangent, which exists only if v != 0. `(m + 2) T = m T + 2 T` is a chord
//!            that needs no proof that it is one: m T = +-2 T would give `(m - 2) T = O` or
//!            `(m + 2) T = O` for odd numbers below 34, and the order of T, a divisor of 8 L other
//!            than 1, divides none
//! Look-up    key = digit; values = limbs of u, then v modulo N and its low part, both of one integer.
//!            v is never reduced: it occurs only linearly. The table's number is a component of its own
//! Attack     Digit and number packed into one: another slot's entry, with all else green
//! Cost       An entry: 2 relations, 3 products, and n + 4 rows with 2 multiplicities for its pair

use super::chord::{self, Addend, Ordinate, Point};
use super::curve::Affine;
use super::decode::Decoded;
use crate::field25519::{Element, Extent, Field, Form, Int, Size, canonical, modulus};
use crate::ground::Builder;
use crate::lookup::{Selected, TableId};

/// The odd multiples of one point.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) id: TableId,
    /// Its limbs have the ranges of every entry's.
    like: Element,
    /// Ranges of every entry's v, of both signs.
    size: Size,
}

impl Table {
    /// The table of `T, 3 T, .., (2^window - 1) T` and their negatives.
    pub(super) fn of_point(
        g: &mut Builder,
        field: &Field,
        name: &'static str,
        base: &Decoded,
        window: usize,
    ) -> Self {
        let double = g.scope("double", |g| {
            let square = field.form(&base.square);
            let point =
                chord::double_with_square(g, field, &base.u, &base.v, square, Extent::Whole);
            Addend {
                u: point.u,
                v: point.v.form(g, field),
            }
        });
        let mut table = Self::empty(g, field, name, &base.u);
        let mut multiple = Addend {
            u: base.u.clone(),
            v: field.form(&base.v),
        };
        for m in (1..1_i64 << window).step_by(2) {
            if m > 1 {
                multiple = g.scope(format_args!("multiple[{m}]"), |g| {
                    let last = Point {
                        u: multiple.u,
                        v: Ordinate::of(multiple.v),
                    };
                    let next = chord::add(g, field, last, &double, Extent::Entry);
                    Addend {
                        u: next.u,
                        v: next.v.form(g, field),
                    }
                });
            }
            table.widen(multiple.v.size());
            let odd = vec![multiple.v.native.clone(), multiple.v.low.clone()];
            g.entry_pair(table.id, [m, -m], field.limbs(&multiple.u).to_vec(), odd);
        }
        table
    }

    /// The table of given points `T, 3 T, ..` and their negatives, all constants.
    pub(super) fn of_constants(
        g: &mut Builder,
        field: &Field,
        name: &'static str,
        points: &[Affine],
    ) -> Self {
        let entry = |point: &Affine| {
            let u = Extent::Entry.representative(canonical(point.u), modulus().value());
            (
                field.entry_constant(u),
                field.integer_form(canonical(point.v)),
            )
        };
        let mut table = Self::empty(g, field, name, &field.entry_constant(Int::from(38)));
        for (point, m) in points.iter().zip((1..).step_by(2)) {
            let (u, v) = entry(point);
            table.widen(v.size());
            let limbs: Vec<_> = field
                .limbs(&u)
                .iter()
                .map(crate::ground::Lin::value)
                .collect();
            for (key, v) in [(m, v.clone()), (-m, v.times(-1))] {
                let tail = [v.native.value(), v.low.value()];
                g.entry_constant(table.id, key, &[&limbs[..], &tail[..]].concat());
            }
        }
        table
    }

    fn empty(g: &mut Builder, field: &Field, name: &'static str, like: &Element) -> Self {
        let id = g.table(name, field.limb_count() + 2);
        Self {
            id,
            like: like.clone(),
            size: Size::ZERO,
        }
    }

    fn widen(&mut self, size: Size) {
        for size in [size, size.times(Int::from(-1))] {
            self.size.range = self.size.range.hull(size.range);
            self.size.low_range = self.size.low_range.hull(size.low_range);
        }
    }

    /// A selected entry as a point to add.
    pub(super) fn addend(&self, field: &Field, selected: &Selected) -> Addend {
        let (limbs, tail) = selected.values.split_at(field.limb_count());
        let v: Form = field.form_of_cells(tail[0], tail[1], &self.size);
        Addend {
            u: field.from_cells(limbs, &self.like),
            v,
        }
    }
}
