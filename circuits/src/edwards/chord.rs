//! Chords and tangents on `v^2 = u^3 + A u^2 + u`, and why no chord is exceptional.
//!
//! Statement  `P + T`, and `2 P`, for points P, T of the curve
//! Chord      `l (u1 - u2) = v1 - v2`, `u3 = l^2 - A - u1 - u2`, `v3 = l (u2 - u3) - v2`
//! Tangent    `2 v1 l = 3 u1^2 + 2 A u1 + 1`, then as above with T = P
//! Witness    slope and u3, range-checked; v3 stays a form, for it occurs linearly in the next chord,
//!            and is made an element before a tangent only
//! Argument   If `u1 != u2 mod p` the slope is the only one, and `(u3, v3)` is P + T by the group law,
//!            an affine point. [`Distinct`] shows that natively: `d = u1 - u2` as an integer is a
//!            multiple k p only for the few k that the ranges of both allow; the product of all
//!            `d - k p`, over all chords, has an inverse modulo N, so none is zero even there.
//!            A tangent at v1 = 0 would need `3 u1^2 + 2 A u1 + 1 = 0` too, and the cubic has no double
//!            root: unsatisfiable. So, by induction, every point is on the curve and none is O
//! Complete   A chord with u1 = u2 has no witness. See `straus` for why an honest prover meets none
//! Attack     Without the product, P + P by a chord has any slope: a point off the curve
//! Cost       Chord: 2 relations, 3 products, 3 rows. Tangent: 3 relations, 4 products

use ark_ff::{AdditiveGroup, Field as _};

use super::curve::A;
use crate::field25519::{Element, Extent, Field, Form, Fp, Int};
use crate::ground::{Builder, Lin};

/// A point of the curve as it runs through a chain.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) u: Element,
    pub(super) v: Ordinate,
}

/// The second coordinate, `product + rest`, whose product no row computes before its use is known.
#[derive(Clone, Debug)]
pub(super) struct Ordinate {
    product: Option<Box<[Element; 2]>>,
    rest: Form,
}

/// A point that is added: one of a table.
#[derive(Clone, Debug)]
pub(super) struct Addend {
    pub(super) u: Element,
    pub(super) v: Form,
}

impl Ordinate {
    /// A coordinate without a product.
    pub(super) fn of(rest: Form) -> Self {
        Self {
            product: None,
            rest,
        }
    }

    /// As a term of a relation.
    pub(super) fn form(self, g: &mut Builder, field: &Field) -> Form {
        let Some(factors) = self.product else {
            return self.rest;
        };
        let [a, b] = &*factors;
        g.scope("v", |g| field.product(g, a, b)).plus(&self.rest)
    }

    /// As a factor of a product.
    fn settle(self, g: &mut Builder, field: &Field) -> Element {
        let factors = self.product.as_deref().map(|[a, b]| (a, b));
        field.reduce(g, "v", Extent::Whole, factors, self.rest)
    }

    /// Enforces that the coordinate is this constant.
    pub(super) fn enforce(self, g: &mut Builder, field: &Field, value: Int) {
        let factors = self.product.as_deref().map(|[a, b]| (a, b));
        field.vanish(g, "v", factors, self.rest.minus(&field.integer_form(value)));
    }
}

/// `p + t`, where the caller shows that the two have different u. The result's u has this extent.
pub(super) fn add(g: &mut Builder, field: &Field, p: Point, t: &Addend, extent: Extent) -> Point {
    let v = p.v.form(g, field);
    let run = p.u.minus(&t.u);
    let rise = v.minus(&t.v);
    let honest = rise.residue() * invert(field.residue(&run));
    let slope = field.advise_residue(g, "slope", honest, Extent::Whole);
    field.vanish(g, "chord", Some((&run, &slope)), rise.times(-1));
    let sum = field.form(&p.u).plus(&field.form(&t.u));
    third(g, field, slope, sum, &t.u, &t.v, extent)
}

/// `2 p`, with `u1^2` as it is at hand.
pub(super) fn double_with_square(
    g: &mut Builder,
    field: &Field,
    u: &Element,
    v: &Element,
    square: Form,
    extent: Extent,
) -> Point {
    // 3 u^2 + 2 A u + 1
    let one = field.integer_form(Int::ONE);
    let u_form = field.form(u);
    let numerator = square
        .times(3)
        .plus(&u_form.clone().times(2 * A))
        .plus(&one);
    let twice = v.times(2);
    let honest = numerator.residue() * invert(field.residue(&twice));
    let slope = field.advise_residue(g, "slope", honest, Extent::Whole);
    field.vanish(g, "tangent", Some((&twice, &slope)), numerator.times(-1));
    third(g, field, slope, u_form.times(2), u, &field.form(v), extent)
}

/// `2 p`.
pub(super) fn double(g: &mut Builder, field: &Field, p: Point) -> Point {
    let v = p.v.settle(g, field);
    let square = g.scope("square", |g| field.product(g, &p.u, &p.u));
    double_with_square(g, field, &p.u, &v, square, Extent::Short)
}

/// The third point of a line, mirrored: `u3 = l^2 - A - sum`, `v3 = l (u - u3) - v`.
fn third(
    g: &mut Builder,
    field: &Field,
    slope: Element,
    sum: Form,
    u: &Element,
    v: &Form,
    extent: Extent,
) -> Point {
    let rest = field.integer_form(Int::from(-A)).minus(&sum);
    let u3 = field.reduce(g, "u", extent, Some((&slope, &slope)), rest);
    let product = Some(Box::new([u.minus(&u3), slope]));
    let v = Ordinate {
        product,
        rest: Form::zero().minus(v),
    };
    Point { u: u3, v }
}

/// Shows that pairs of elements differ modulo p, all of them by one inverse.
#[derive(Debug, Default)]
pub(super) struct Distinct {
    running: Option<Lin>,
}

impl Distinct {
    /// `a != b mod p`, for the integers that their ranges allow. One row per multiple of p.
    pub(super) fn apart(&mut self, g: &mut Builder, field: &Field, a: &Element, b: &Element) {
        let difference = a.minus(b);
        let (_, range) = field.integer(&difference);
        let p = crate::field25519::modulus();
        let (most, _) = p.div_rem(range.max);
        let (least, _) = p.div_rem(-range.min);
        let count = |n: Int| n.to_i128().expect("elements are a few multiples of p");
        let difference = field.native(&difference);
        for k in -count(least)..=count(most) {
            let factor = &difference - (p.value() * Int::from(k)).to_native();
            self.running = Some(match self.running.take() {
                None => factor,
                Some(running) => g.product("distinct", running, factor).into(),
            });
        }
    }

    /// The product of all factors is not zero.
    pub(super) fn finish(self, g: &mut Builder) {
        if let Some(product) = self.running {
            let inverse = product.value().inverse().unwrap_or_default();
            let inverse = g.hint("distinct/inverse", inverse);
            g.row("distinct/nonzero", inverse, product, ark_bn254::Fr::ONE);
        }
    }
}

/// The inverse; zero, which no row accepts, where there is none.
pub(super) fn invert(x: Fp) -> Fp {
    x.inverse().unwrap_or(Fp::ZERO)
}
