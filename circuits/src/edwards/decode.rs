//! Decoding: the point that 32 bytes encode, in Montgomery coordinates.
//!
//! Statement  The bytes are the canonical encoding of a point with x != 0: y < p, the last bit is the
//!            parity of x
//! Inputs     The 256 bits; 255 of y, then the sign
//! Witness    u, v, u^2, x, each range-checked
//! bind       `y (u + 1) = u - 1`; `v^2 = u (u^2) + A u^2 + u`; `x v = c u`; `x < p`; `x = 2 h + sign`
//! Argument   y = 1 has no u (0 = -2). u = -1 has no y. So u is determined by y and (u, v) is on
//!            the curve, v up to sign. If v != 0 then x = c u / v is that point's Edwards x, not
//!            zero, and its parity, x being below p, decides v's sign. v = 0 is u = 0, y = -1, the
//!            point of order two, whose x would be free: the first tangent of its table refuses it
//! Canonical  Below 2^255 a number is at least p only if all chunks but the lowest are full
//!            and the lowest is within 19 of it: `20 (sum of what is missing) + 2^k - 20 - lowest >= 0`.
//!            For y the same in bits, the lowest five of them being the lowest chunk
//! Attack     x taken as x + p has the other parity; y + p the same y and other bytes
//! Cost       110 chunks and 27 rows (16-bit chunks)

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field as _};

use super::chord::invert;
use super::curve::{A, lift, scale};
use crate::field25519::{Element, Extent, Field, Fp, Int, canonical};
use crate::ground::{Bit, Builder, Lin};

/// A decoded point: not yet known to have v != 0, which its table shows.
#[derive(Clone, Debug)]
pub(super) struct Decoded {
    pub(super) u: Element,
    pub(super) v: Element,
    /// `u^2`.
    pub(super) square: Element,
}

/// Decodes 256 bits. Bytes that are no such encoding have no witness.
pub(super) fn decode(g: &mut Builder, field: &Field, bits: &[Bit]) -> Decoded {
    let (sign, y_bits) = bits.split_last().expect("an encoding has 256 bits");
    enforce_canonical_bits(g, y_bits);
    let y = field.from_bits(y_bits);
    let y_value = field.residue(&y);
    // Bytes that encode no point get zeros, which no row accepts.
    let (x, v) =
        lift(y_value, sign.value()).map_or((Fp::ZERO, Fp::ZERO), |point| (point.x, point.v));
    let u = (y_value + Fp::ONE) * invert(Fp::ONE - y_value);

    let u = field.advise_residue(g, "decoded/u", u, Extent::Entry);
    let (u_form, y_form) = (field.form(&u), field.form(&y));
    let rest = y_form.minus(&u_form).plus(&field.integer_form(Int::ONE));
    field.vanish(g, "u of y", Some((&y, &u)), rest);

    let square = field.reduce(
        g,
        "decoded/square",
        Extent::Whole,
        Some((&u, &u)),
        field.integer_form(Int::ZERO),
    );
    let v = field.advise_residue(g, "decoded/v", v, Extent::Whole);
    let cubic = g.scope("u^3", |g| field.product(g, &u, &square));
    let right = cubic.plus(&field.form(&square).times(A)).plus(&u_form);
    field.vanish(g, "on curve", Some((&v, &v)), right.times(-1));

    let (x, lowest) = advise_canonical(g, field, canonical(x));
    let scaled = field.product_with_constant(canonical(scale()), &u);
    field.vanish(g, "x of u", Some((&v, &x)), scaled.times(-1));
    let half = (Int::from_native(lowest.value()).slice(0, 63)) >> 1;
    let half = g.limb("decoded/half", half, g.chunk_bits());
    g.equal("parity", half.lin() * 2 + *sign, lowest);
    Decoded { u, v, square }
}

/// y below p: below 2^255 with the upper 250 bits not all set, or the lower five at most 12.
fn enforce_canonical_bits(g: &mut Builder, y: &[Bit]) {
    let (lowest, upper) = y.split_at(5);
    let mut missing = Lin::from(upper.len() as u64);
    for bit in upper {
        missing -= *bit;
    }
    let slack = missing * 20 + Fr::from(12) - Lin::pack(lowest);
    let chunk = g.chunk_bits();
    let _ = g.range("y below p", slack, 13_u32.div_ceil(chunk) * chunk); // slack <= 5012 < 2^13
}

/// x in `[0, p)`, and its lowest chunk.
fn advise_canonical(g: &mut Builder, field: &Field, value: Int) -> (Element, Lin) {
    let (x, chunks) = field.advise_chunks(g, "decoded/x", value, Extent::Bits255);
    let chunk = g.chunk_bits();
    let full = |bits: u32| (1_u64 << bits) - 1;
    let (lowest, upper) = chunks.split_first().expect("an element has chunks");
    let mut missing = Lin::zero();
    for (cell, bits) in upper {
        missing += Lin::from(full(*bits)) - *cell;
    }
    let slack = missing * 20 + Fr::from(full(chunk) - 19) - lowest.0;
    // fewer than 32 chunks are missing at most 2^chunk each
    let bits = (chunk + 10).div_ceil(chunk) * chunk;
    let _ = g.range("x below p", slack, bits);
    (x, lowest.0.into())
}
