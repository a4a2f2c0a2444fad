//! Points that are none, and keys that are none.

use ark_bn254::{Fq, Fq2, Fr, G2Affine};
use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{AdditiveGroup, BigInt, BigInteger, Field, PrimeField, Zero};
use ark_serialize::CanonicalSerialize;
use quorate_verifier::file::FileType;
use serde_json::{Value, json};

use crate::keyed::{Keyed, Vectors, hexes, sample};

/// Offset, length and name of a proof's points.
const PARTS: [(usize, usize, &str); 5] = [
    (0, 32, "A"),
    (32, 64, "B"),
    (96, 32, "C"),
    (128, 32, "D"),
    (160, 32, "P"),
];

pub(crate) fn points(vectors: &mut Vectors, key: &Keyed) {
    let (statement, proof) = sample(key, 13);
    let (inputs, bytes) = (hexes(&statement), proof.encode());
    let mut add = |name: String, at: usize, part: &[u8], reason: &str| {
        let mut bent = bytes;
        bent[at..at + part.len()].copy_from_slice(part);
        vectors.add(name, key.name, inputs.clone(), &bent, Some(reason));
    };
    for (at, length, name) in PARTS {
        let part = bytes[at..at + length].to_vec();
        let edited = |index: usize, mask: u8, value: u8| {
            let mut part = part.clone();
            part[index] = part[index] & !mask | value;
            part
        };
        let last = length - 1;
        let mut zero = vec![0; length];
        zero[last] = 0x40;
        add(format!("{name} at infinity"), at, &zero, "infinity");
        zero[0] = 1;
        add(
            format!("{name} at infinity with junk"),
            at,
            &zero,
            "infinity",
        );
        let flagged = edited(last, 0xc0, 0x40);
        add(
            format!("{name} flagged as infinity"),
            at,
            &flagged,
            "infinity",
        );
        let both = edited(last, 0xc0, 0xc0);
        add(format!("{name} with both flags"), at, &both, "coordinate");
        let sign = edited(last, 0x80, !part[last] & 0x80);
        add(format!("{name} with the other sign"), at, &sign, "refused");
        let mut modulus = part.clone();
        modulus[length - 32..].copy_from_slice(&Fq::MODULUS.to_bytes_le());
        add(format!("{name} at the modulus"), at, &modulus, "coordinate");
    }
    // The point with x = 1 under its alias x + q.
    let mut alias = BigInt::from(1_u64);
    assert!(!alias.add_with_carry(&Fq::MODULUS));
    add(
        "C by an alias".into(),
        96,
        &alias.to_bytes_le(),
        "coordinate",
    );
    let q = Fq::MODULUS.to_bytes_le();
    add("B with c0 at the modulus".into(), 32, &q, "coordinate");
    let off = (1_u64..)
        .map(Fq::from)
        .find(|x| Affine::<ark_bn254::g1::Config>::get_ys_from_x_unchecked(*x).is_none())
        .expect("half of all x");
    let off = off.into_bigint().to_bytes_le();
    for (at, _, name) in PARTS.into_iter().filter(|(_, length, _)| *length == 32) {
        add(format!("{name} off the curve"), at, &off, "off-curve");
    }
    let x = |n: u64| Fq2::new(Fq::from(n), Fq::ZERO);
    let ys = |n: u64| G2Affine::get_ys_from_x_unchecked(x(n));
    let off = (1_u64..).find(|n| ys(*n).is_none()).expect("half of all x");
    let off = [Fq::from(off).into_bigint().to_bytes_le(), vec![0; 32]].concat();
    add("B off the curve".into(), 32, &off, "off-curve");
    let outside = |n: &u64| {
        ys(*n).is_some_and(|(y, _)| {
            !G2Affine::new_unchecked(x(*n), y).is_in_correct_subgroup_assuming_on_curve()
        })
    };
    for n in (1_u64..).filter(outside).take(3) {
        let part = [Fq::from(n).into_bigint().to_bytes_le(), vec![0; 32]].concat();
        add(
            format!("B outside the subgroup, x = {n}"),
            32,
            &part,
            "subgroup",
        );
    }
    // A point of the right order plus one of order 10069, a factor of the cofactor.
    let part = encode(&mixed_order(proof.b));
    add(
        "B plus a point of small order".into(),
        32,
        &part,
        "subgroup",
    );
    for length in [0, 1, 128, 191, 193, 384] {
        let mut bent = bytes.to_vec();
        bent.resize(length, 0);
        let name = format!("a proof of {length} bytes");
        vectors.add(name, key.name, inputs.clone(), &bent, Some("length"));
    }
}

/// `point` plus a point of order 10069. The cofactor of G2 is `2q - r`, and 10069 divides it.
fn mixed_order(point: G2Affine) -> G2Affine {
    let order = {
        // (2q - r) r / 10069, as bits for double and add.
        let mut cofactor: BigInt<4> = Fq::MODULUS;
        assert!(!cofactor.mul2());
        assert!(!cofactor.sub_with_borrow(&Fr::MODULUS));
        let (quotient, remainder) = divide(cofactor, 10_069);
        assert_eq!(remainder, 0, "10069 divides the cofactor");
        quotient
    };
    (1_u64..)
        .find_map(|n| {
            let x = Fq2::new(Fq::from(n), Fq::ONE);
            let (y, _) = G2Affine::get_ys_from_x_unchecked(x)?;
            let any = G2Affine::new_unchecked(x, y);
            let small = any.mul_bigint(order).into_affine().mul_bigint(Fr::MODULUS);
            (!small.is_zero()).then(|| (small + point).into_affine())
        })
        .expect("most points have the factor in their order")
}

/// Long division by a small number.
fn divide(number: BigInt<4>, by: u64) -> (BigInt<4>, u64) {
    let (mut quotient, mut rest) = ([0; 4], 0_u128);
    for i in (0..4).rev() {
        let part = rest << 64 | u128::from(number.0[i]);
        quotient[i] = u64::try_from(part / u128::from(by)).expect("rest is below the divisor");
        rest = part % u128::from(by);
    }
    (
        BigInt(quotient),
        u64::try_from(rest).expect("below the divisor"),
    )
}

fn encode<C: SWCurveConfig>(point: &Affine<C>) -> Vec<u8> {
    let mut out = Vec::new();
    let written = point.serialize_compressed(&mut out);
    written.expect("a vector takes everything");
    out
}

/// Keys that are none, each with a proof that would be good.
pub(crate) fn bad_keys(vectors: &mut Vectors, key: &Keyed) {
    let (statement, proof) = sample(key, 14);
    let light = key.key().key();
    let file = light.to_file();
    let edit = |at: usize, part: &[u8]| {
        let mut bent = file.clone();
        bent[at..at + part.len()].copy_from_slice(part);
        bent
    };
    let degenerate = |edit: fn(&mut quorate_verifier::proof::VerifyingKey)| {
        let mut light = light.clone();
        edit(&mut light);
        light.to_file()
    };
    let mut zero = [0; 64];
    zero[63] = 0x40;
    let body = 9;
    let (slots, alpha) = (body + 32, body + 69);
    let count = alpha + 32 + 4 * 64;
    for (name, file, reason) in [
        ("key of another kind", edit(7, &[12]), "key"),
        ("key of another version", edit(8, &[2]), "key"),
        ("key cut short", file[..file.len() - 1].to_vec(), "key"),
        ("key and one byte", [&file[..], &[0]].concat(), "key"),
        ("key without slots", edit(slots, &[0, 0]), "key"),
        ("key of 257 slots", edit(slots, &[1, 1]), "key"),
        ("key of depth 0", edit(slots + 2, &[0]), "key"),
        ("key of depth 9", edit(slots + 2, &[9]), "key"),
        ("key without a table", edit(slots + 3, &[0]), "key"),
        ("key of 21 chunk bits", edit(slots + 3, &[21]), "key"),
        ("key of unknown origin", edit(slots + 4, &[2]), "key"),
        (
            "key with alpha at infinity",
            edit(alpha, &zero[32..]),
            "key",
        ),
        ("key with gamma at infinity", edit(alpha + 96, &zero), "key"),
        ("key of 17 inputs", edit(count, &[17]), "key"),
        ("key of 3 inputs and a base more", edit(count, &[3]), "key"),
        (
            "key with delta equal to gamma",
            degenerate(|k| k.delta = k.gamma),
            "key-degenerate",
        ),
        (
            "key with delta opposite to gamma",
            degenerate(|k| k.delta = -k.gamma),
            "key-degenerate",
        ),
        (
            "key with sigma of one",
            degenerate(|k| k.sigma_gamma = k.gamma),
            "key-degenerate",
        ),
        (
            "key with delta equal to beta",
            degenerate(|k| k.delta = k.beta),
            "key-degenerate",
        ),
    ] {
        let value = json!({ "file": hex::encode(file), "digest": Value::Null });
        vectors.keys.insert(name.into(), value);
        let (inputs, bytes) = (hexes(&statement), proof.encode());
        vectors.add(name, name, inputs, &bytes, Some(reason));
    }
}
