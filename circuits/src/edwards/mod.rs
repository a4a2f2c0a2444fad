//! Ed25519's batch equation: one chain for the signatures of all slots.
//!
//! Statement  For the encodings R_i, A_i, scalars s_i < L, digests k_i and weights z_i: R_i and A_i are
//!            canonical encodings of points with x != 0, and with `w_i = 2 z_i + 1`
//!            `8 (sum w_i s_i B - sum w_i R_i - sum w_i k_i A_i) = O`
//! Inputs     R_i, A_i, k_i in bits that the caller made boolean; z_i an integer below 2^128
//! Check      `8 P = 8 2^top S` for the end P of a chain that starts at a constant S: both coordinates
//! Weights    If some `E_i = 8 (s_i B - R_i - k_i A_i)` is not O, at most one z_i in 2^128 makes the
//!            sum vanish: E_i has order L, and the w_i are distinct modulo L
//! Torsion    The factor 8 makes the predicate the cofactored one, and lets w k be any representative
//!            modulo L whatever the order of A
//! No case    see `chord`: no input makes a formula exceptional with the rows satisfied
//! Cost       see `costs` in the tests and `docs/circuit/arithmetic.md`
//! Source     docs/circuit/arithmetic.md; RFC 8032 5.1.7

mod chord;
mod curve;
mod decode;
mod straus;
mod table;
#[cfg(test)]
mod tests;

use crate::field25519::{Field, Int, canonical};
use crate::ground::{Bit, Builder, Wire};
use crate::lookup::{Limb, Selected};
use crate::scalar::{self, Scalar, Weight};

use chord::{Distinct, Point};
use straus::Lane;
use table::Table;

pub use curve::{Affine, affine, lift};
#[cfg(test)]
pub(crate) use curve::{scale, start};

/// One slot's signature, as the batch takes it. Bits are least significant first.
#[derive(Clone, Copy, Debug)]
pub struct Signature<'a> {
    /// Encoding of R, 256 bits.
    pub r: &'a [Bit],
    /// Encoding of the key A, 256 bits.
    pub a: &'a [Bit],
    /// The scalar s.
    pub s: &'a Scalar,
    /// SHA-512(R || A || M) as a little-endian integer, 512 bits.
    pub k: &'a [Bit],
    /// Weight, below 2^128.
    pub z: &'a Limb,
}

/// How a scalar is cut into digits.
#[derive(Clone, Copy, Debug)]
struct Windows {
    bits: usize,
    count: usize,
}

/// Of `-w k mod L`, below 2^253.
const A_WINDOWS: Windows = Windows { bits: 5, count: 51 };
/// Of `-w`, below 2^129.
const R_WINDOWS: Windows = Windows { bits: 4, count: 33 };
/// Of `sum w s mod L`; the base point's table has [`curve::base_multiples`], constants, and may be larger.
const B_WINDOWS: Windows = Windows { bits: 8, count: 32 };

/// Enforces the batch equation. Signatures that do not satisfy it have no witness.
///
/// # Panics
/// If an encoding has not 256 bits or a digest not 512.
pub fn enforce_batch(g: &mut Builder, field: &Field, signatures: &[Signature<'_>]) {
    let base = Table::of_constants(g, field, "B", curve::base_multiples());
    let slots: Vec<Slot> = signatures
        .iter()
        .enumerate()
        .map(|(i, signature)| {
            g.scope(format_args!("slot[{i}]"), |g| {
                Slot::new(g, field, signature)
            })
        })
        .collect();

    let terms: Vec<_> = slots
        .iter()
        .zip(signatures)
        .map(|(slot, signature)| (&slot.weight, signature.s))
        .collect();
    let total = terms
        .iter()
        .fold(Int::ZERO, |sum, (w, s)| sum + w.value() * s.value());
    let digits = scalar::select_digits(
        g,
        base.id,
        scalar::odd_representative(total),
        B_WINDOWS.bits,
        B_WINDOWS.count,
    );
    let relation = scalar::enforce_weighted_sum(g, &terms, &keys(&digits), B_WINDOWS.bits);
    field.note(g, relation);

    let lane = |table, digits, windows: Windows| Lane {
        table,
        digits,
        window: windows.bits,
    };
    let mut lanes = vec![lane(&base, &digits[..], B_WINDOWS)];
    for slot in &slots {
        lanes.push(lane(&slot.r_table, &slot.r_digits, R_WINDOWS));
        lanes.push(lane(&slot.a_table, &slot.a_digits, A_WINDOWS));
    }
    enforce_only_torsion(g, field, &lanes);
}

/// Enforces `8 (sum of the lanes) = O`.
fn enforce_only_torsion(g: &mut Builder, field: &Field, lanes: &[Lane<'_>]) {
    let start = coordinates(curve::start());
    let end = coordinates(curve::doubled(curve::start(), straus::top(lanes) + 3));
    let mut distinct = Distinct::default();
    let mut point = straus::chain(g, field, &mut distinct, start, lanes);
    distinct.finish(g);
    for i in 0..3 {
        point = g.scope(format_args!("cofactor[{i}]"), |g| {
            chord::double(g, field, point)
        });
    }
    g.scope("end", |g| enforce_equal(g, field, point, end));
}

fn enforce_equal(g: &mut Builder, field: &Field, point: Point, (u, v): (Int, Int)) {
    let difference = field.form(&point.u).minus(&field.integer_form(u));
    field.vanish(g, "u", None, difference);
    point.v.enforce(g, field, v);
}

/// What a slot brings to the chain.
struct Slot {
    weight: Weight,
    r_table: Table,
    r_digits: Vec<Selected>,
    a_table: Table,
    a_digits: Vec<Selected>,
}

impl Slot {
    fn new(g: &mut Builder, field: &Field, signature: &Signature<'_>) -> Self {
        let Signature { r, a, k, z, .. } = *signature;
        assert_eq!(
            (r.len(), a.len(), k.len()),
            (256, 256, 512),
            "encodings and digests are whole"
        );
        let weight = Weight::new(g, z);
        let table = |g: &mut Builder, name, bits, windows: Windows| {
            g.scope(name, |g| {
                let point = g.scope("decode", |g| decode::decode(g, field, bits));
                g.scope("table", |g| {
                    Table::of_point(g, field, name, &point, windows.bits)
                })
            })
        };
        let r_table = table(g, "R", r, R_WINDOWS);
        let a_table = table(g, "A", a, A_WINDOWS);

        let (w, k_value) = (weight.value(), scalar::residue(k));
        let Windows { bits, count } = R_WINDOWS;
        let r_digits = scalar::select_digits(g, r_table.id, -w, bits, count);
        scalar::enforce_opposite(g, &weight, &keys(&r_digits), bits);
        let Windows { bits, count } = A_WINDOWS;
        let product = scalar::odd_representative(-(w * k_value));
        let a_digits = scalar::select_digits(g, a_table.id, product, bits, count);
        let relation = scalar::enforce_opposite_product(g, &weight, k, &keys(&a_digits), bits);
        field.note(g, relation);
        Self {
            weight,
            r_table,
            r_digits,
            a_table,
            a_digits,
        }
    }
}

fn keys(digits: &[Selected]) -> Vec<Wire> {
    digits.iter().map(|digit| digit.key).collect()
}

fn coordinates(point: curve25519_dalek::EdwardsPoint) -> (Int, Int) {
    let point = affine(&point).expect("a point of prime order has x != 0");
    (canonical(point.u), canonical(point.v))
}
