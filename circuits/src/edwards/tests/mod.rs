//! The batch equation: agreement with curve25519-dalek, edge values.

mod attacks;
mod costs;
mod published;

use std::collections::BTreeSet;

use curve25519_dalek::constants::{ED25519_BASEPOINT_TABLE, EIGHT_TORSION};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar as Dalek;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::chord::Ordinate;
use super::*;
use crate::field25519::{Extent, modulus};
use crate::testing::{Built, Trial};

/// A slot below the hash: k is given.
#[derive(Clone, Copy, Debug)]
struct Case {
    r: [u8; 32],
    a: [u8; 32],
    s: [u8; 32],
    k: [u8; 64],
    z: u128,
}

fn random<const N: usize>(rng: &mut ChaCha20Rng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn scalar(rng: &mut ChaCha20Rng) -> Dalek {
    Dalek::from_bytes_mod_order_wide(&random(rng))
}

fn base(x: Dalek) -> EdwardsPoint {
    ED25519_BASEPOINT_TABLE * &x
}

fn encode(point: EdwardsPoint) -> [u8; 32] {
    point.compress().to_bytes()
}

fn decode_bytes(bytes: [u8; 32]) -> EdwardsPoint {
    CompressedEdwardsY(bytes).decompress().expect("a point")
}

impl Case {
    /// A valid signature whose R carries this torsion; k is random, not a hash.
    fn signed(rng: &mut ChaCha20Rng, torsion: EdwardsPoint) -> Self {
        let (a, r) = (scalar(rng), scalar(rng));
        let k = random(rng);
        let s = r + Dalek::from_bytes_mod_order_wide(&k) * a;
        let z = u128::from_le_bytes(random(rng));
        Self {
            r: encode(base(r) + torsion),
            a: encode(base(a)),
            s: s.to_bytes(),
            k,
            z,
        }
    }

    /// For any key, s and k there is an R that satisfies the equation.
    fn for_key(a: EdwardsPoint, s: Dalek, k: [u8; 64], z: u128) -> Self {
        let r = base(s) - Dalek::from_bytes_mod_order_wide(&k) * a;
        Self {
            r: encode(r),
            a: encode(a),
            s: s.to_bytes(),
            k,
            z,
        }
    }

    /// The predicate on canonical encodings.
    fn is_valid(&self) -> bool {
        let [r, a] = [self.r, self.a].map(decode_bytes);
        let s = Dalek::from_canonical_bytes(self.s)
            .into_option()
            .expect("s < L");
        let k = Dalek::from_bytes_mod_order_wide(&self.k);
        (base(s) - r - k * a).mul_by_cofactor() == EdwardsPoint::default()
    }
}

fn bits(g: &mut Builder, kind: &'static str, bytes: &[u8]) -> Vec<Bit> {
    let bits = bytes
        .iter()
        .flat_map(|byte| (0..8).map(move |i| byte >> i & 1 == 1));
    bits.map(|bit| g.bit(kind, bit)).collect()
}

fn batch(field: &Field, cases: Vec<Case>) -> impl Fn(&mut Builder) {
    move |g| {
        let inputs: Vec<_> = cases
            .iter()
            .map(|case| {
                let r = bits(g, "input/R", &case.r);
                let a = bits(g, "input/A", &case.a);
                let k = bits(g, "input/k", &case.k);
                let s = Scalar::advise(g, &case.s);
                let z = g.limb("input/z", case.z, 128);
                (r, a, s, k, z)
            })
            .collect();
        let signatures: Vec<_> = inputs
            .iter()
            .map(|(r, a, s, k, z)| Signature { r, a, s, k, z })
            .collect();
        enforce_batch(g, field, &signatures);
    }
}

fn build(bits: u32, cases: Vec<Case>) -> Built {
    let field = Field::new(bits);
    Trial::new().chunk_bits(bits).build(batch(&field, cases))
}

/// Points whose y is within 30 of p, or at most 30, with x != 0, among all points.
fn extreme_points() -> Vec<EdwardsPoint> {
    let p = modulus().value();
    (2..30)
        .flat_map(|i| [Int::from(i), p - Int::from(i)])
        .filter_map(|y| {
            let bytes: [u8; 32] = bytes(y);
            CompressedEdwardsY(bytes)
                .decompress()
                .filter(|point| encode(*point) == bytes)
        })
        .collect()
}

fn bytes(value: Int) -> [u8; 32] {
    core::array::from_fn(|i| u8::try_from(value.slice(8 * i, 8)).unwrap_or_default())
}

/// Extreme weights and scalars, keys and R of every torsion, y near 0 and p: all in one batch.
#[test]
fn edge_values_hold() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let extreme = extreme_points();
    assert!(extreme.len() > 20);
    let (low, high) = (extreme[0], *extreme.last().expect("there are many"));
    let small = EIGHT_TORSION[1]; // of order 8
    let mut cases = vec![
        Case {
            z: 0,
            ..Case::signed(&mut rng, small)
        },
        Case {
            z: u128::MAX,
            ..Case::signed(&mut rng, EIGHT_TORSION[2])
        },
        Case::for_key(low, -Dalek::ONE, [0xff; 64], 1),
        Case::for_key(high, Dalek::ZERO, random(&mut rng), u128::MAX - 1),
        Case::for_key(small, Dalek::ONE, [0; 64], 0),
        Case::for_key(base(scalar(&mut rng)), Dalek::ZERO, bytes64(1), 7),
    ];
    // R near p: A = (s B - R) / k
    let k: [u8; 64] = random(&mut rng);
    let inverse = Dalek::from_bytes_mod_order_wide(&k).invert();
    let a = inverse * (base(Dalek::from(9_u8)) - high);
    let s = Dalek::from(9_u8).to_bytes();
    cases.push(Case {
        r: encode(high),
        a: encode(a),
        s,
        k,
        z: 3,
    });
    assert!(cases.iter().all(Case::is_valid));
    let built = build(8, cases);
    assert_eq!(built.first_broken(), None);
}

fn bytes64(value: u8) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[0] = value;
    bytes
}

/// Random batches, and every relation in them: exact, and of the widths that the docs give.
#[test]
fn random_batches_hold_at_both_widths() {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    for (bits, n, declared) in [(13, 3, WIDTHS_13), (16, 1, WIDTHS_16)] {
        let cases = (0..n)
            .map(|_| Case::signed(&mut rng, EdwardsPoint::default()))
            .collect();
        let field = Field::new(bits);
        let built = Trial::new().chunk_bits(bits).build(batch(&field, cases));
        assert_eq!(built.first_broken(), None);
        let ledger = field.ledger();
        for r in &ledger {
            assert!(r.is_exact() && r.range.contains(r.value), "{r:?}");
        }
        let widths: BTreeSet<_> = ledger
            .iter()
            .map(|r| {
                let reached = [r.exact(), r.low].map(|span| span.magnitude().bits());
                (r.kind, r.quotient_bits, r.carry_bits, reached)
            })
            .collect();
        assert_eq!(widths, declared.iter().copied().collect(), "{bits}");
    }
}

/// Bits of a relation: quotient, carry, `|E|` and the low identity, over all its instances.
type Widths = (&'static str, usize, usize, [usize; 2]);

/// With chunks of 13 bits: `|E| < N 2^104 = 2^357` modulo p, `N 2^143` modulo L.
const WIDTHS_13: &[Widths] = &[
    ("chord", 65, 65, [320, 169]),
    ("chord", 65, 78, [320, 182]),
    ("decoded/square", 65, 65, [320, 169]),
    ("on curve", 65, 65, [320, 169]),
    ("tangent", 65, 65, [320, 169]),
    ("u of y", 65, 65, [320, 169]),
    ("u", 13, 13, [268, 117]),
    ("u", 65, 65, [320, 169]),
    ("v", 65, 65, [320, 169]),
    ("v", 65, 78, [320, 182]),
    ("w k mod L", 143, 78, [396, 221]),
    ("w s mod L", 143, 78, [396, 221]),
    ("x of u", 65, 65, [320, 169]),
];

/// With chunks of 16 bits: `|E| < N 2^128 = 2^381` modulo p, `N 2^144` modulo L.
const WIDTHS_16: &[Widths] = &[
    ("chord", 80, 80, [335, 208]),
    ("decoded/square", 80, 80, [335, 208]),
    ("on curve", 80, 80, [335, 208]),
    ("tangent", 80, 80, [335, 208]),
    ("u of y", 80, 80, [335, 208]),
    ("u", 16, 16, [271, 144]),
    ("u", 80, 80, [335, 208]),
    ("v", 80, 80, [335, 208]),
    ("w k mod L", 144, 80, [397, 224]),
    ("w s mod L", 144, 80, [397, 224]),
    ("x of u", 80, 80, [335, 208]),
];

/// One bad signature in a batch: whatever is wrong with it, the end of the chain says so.
#[test]
fn bad_signatures_are_refused_by_the_end_of_the_chain() {
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let mut good = || Case::signed(&mut rng, EdwardsPoint::default());
    let (case, other) = (good(), good());
    let mut k = case.k;
    k[63] ^= 0x80;
    for bad in [
        Case { s: other.s, ..case },
        Case { k, ..case },
        Case { r: other.r, ..case },
        Case {
            a: encode(-decode_bytes(case.a)),
            ..case
        },
    ] {
        assert!(!bad.is_valid());
        let built = build(8, vec![bad]);
        let broken: Vec<&str> = built.broken().collect();
        assert!(
            broken.iter().all(|row| row.starts_with("end/")),
            "{broken:?}"
        );
        assert!(broken.contains(&"end/u/native"), "{broken:?}");
    }
    // two bad signatures whose defects cancel under equal weights
    let (a, b) = (decode_bytes(case.r), decode_bytes(other.r));
    let (plus, minus) = (encode(a + base(Dalek::ONE)), encode(b - base(Dalek::ONE)));
    let cases = vec![
        Case {
            r: plus,
            z: 1,
            ..case
        },
        Case {
            r: minus,
            z: 2,
            ..other
        },
    ];
    assert!(build(8, cases).broken().any(|row| row == "end/u/native"));
}

/// R + T with the old s has another k and is refused; signed anew it is accepted, as the cofactored
/// predicate has it.
#[test]
fn torsion_follows_the_cofactored_predicate() {
    use sha2::{Digest, Sha512};
    let hash = |r: &[u8; 32], a: &[u8; 32]| -> [u8; 64] {
        Sha512::new()
            .chain_update(r)
            .chain_update(a)
            .chain_update(b"message")
            .finalize()
            .into()
    };
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    let (a, r) = (scalar(&mut rng), scalar(&mut rng));
    let key = encode(base(a));
    let sign = |r_bytes: &[u8; 32]| r + Dalek::from_bytes_mod_order_wide(&hash(r_bytes, &key)) * a;
    let (plain, torsioned) = (encode(base(r)), encode(base(r) + EIGHT_TORSION[3]));
    let case = |s: Dalek| Case {
        r: torsioned,
        a: key,
        s: s.to_bytes(),
        k: hash(&torsioned, &key),
        z: 5,
    };
    let (old, anew) = (case(sign(&plain)), case(sign(&torsioned)));
    assert!(!old.is_valid() && anew.is_valid());
    assert!(
        build(8, vec![old])
            .broken()
            .any(|row| row == "end/u/native")
    );
    assert_eq!(build(8, vec![anew]).first_broken(), None);
}

/// The rows depend on no value, and no value makes the builder panic.
#[test]
fn the_shape_does_not_depend_on_the_witness() {
    let mut rng = ChaCha20Rng::seed_from_u64(10);
    let valid = Case::signed(&mut rng, EdwardsPoint::default());
    let full = Case {
        r: [0xff; 32],
        a: [0xff; 32],
        s: [0xff; 32],
        k: [0xff; 64],
        z: u128::MAX,
    };
    let empty = Case {
        r: [0; 32],
        a: [0; 32],
        s: [0; 32],
        k: [0; 64],
        z: 0,
    };
    let noise = Case {
        r: random(&mut rng),
        a: random(&mut rng),
        s: random(&mut rng),
        k: random(&mut rng),
        z: u128::from_le_bytes(random(&mut rng)),
    };
    let matrices = |case: Case| build(8, vec![case]).matrices;
    let shape = matrices(valid);
    for case in [full, empty, noise] {
        assert!(matrices(case) == shape, "{case:?}");
    }
}

/// Chords and tangents are the group law.
#[test]
fn steps_agree_with_the_group_law() {
    let mut rng = ChaCha20Rng::seed_from_u64(6);
    let field = Field::new(8);
    for torsion in [EIGHT_TORSION[0], EIGHT_TORSION[5]] {
        let (p, t) = (base(scalar(&mut rng)) + torsion, base(scalar(&mut rng)));
        let built = Trial::new().build(|g| {
            let [a, b] = [p, t].map(|point| advise_point(g, &field, point));
            let mut distinct = Distinct::default();
            let b = addend(g, &field, &b);
            distinct.apart(g, &field, &a.u, &b.u);
            let sum = chord::add(g, &field, a.clone(), &b, Extent::Short);
            expect(g, &field, &sum, p + t);
            let four = chord::double(g, &field, sum);
            expect(g, &field, &four, p + t + p + t);
            let again = chord::add(g, &field, four, &b, Extent::Short);
            expect(g, &field, &again, p + t + p + t + t);
            distinct.finish(g);
        });
        assert_eq!(built.first_broken(), None);
    }
}

fn advise_point(g: &mut Builder, field: &Field, point: EdwardsPoint) -> Point {
    let point = affine(&point).expect("x is not zero");
    let u = field.advise_residue(g, "input/u", point.u, Extent::Entry);
    let v = field.advise_residue(g, "input/v", point.v, Extent::Whole);
    Point {
        v: Ordinate::of(field.form(&v)),
        u,
    }
}

fn addend(g: &mut Builder, field: &Field, point: &Point) -> chord::Addend {
    chord::Addend {
        u: point.u.clone(),
        v: point.v.clone().form(g, field),
    }
}

fn expect(g: &mut Builder, field: &Field, point: &Point, expected: EdwardsPoint) {
    let expected = affine(&expected).expect("x is not zero");
    assert_eq!(field.residue(&point.u), expected.u);
    assert_eq!(point.v.clone().form(g, field).residue(), expected.v);
}

/// Decoding accepts what dalek decodes, encodes again to the same bytes, and has x != 0.
#[test]
fn decoding_agrees_with_dalek() {
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let field = Field::new(8);
    let mut inputs: Vec<[u8; 32]> = (0..12).map(|_| random(&mut rng)).collect();
    inputs.extend(EIGHT_TORSION.iter().map(|point| encode(*point)));
    inputs.extend(extreme_points().into_iter().step_by(5).map(encode));
    let p = modulus().value();
    for y in [
        Int::ZERO,
        Int::ONE,
        Int::from(3),
        p - Int::ONE,
        p,
        p + Int::from(3),
        p + Int::ONE,
    ] {
        for sign in [Int::ZERO, Int::power_of_two(255)] {
            inputs.push(bytes(y + sign));
        }
    }
    inputs.push([0xff; 32]);
    let mut accepted = 0;
    for bytes in inputs {
        let canonical = CompressedEdwardsY(bytes)
            .decompress()
            .filter(|point| encode(*point) == bytes);
        let native = canonical.is_some_and(|point| affine(&point).is_some());
        let built = Trial::new().build(decoding(&field, bytes));
        assert_eq!(
            built.holds(),
            native,
            "{bytes:02x?} {:?}",
            built.first_broken()
        );
        accepted += usize::from(native);
    }
    assert!(accepted > 12);
}

/// Decoding and a small table.
fn decoding(field: &Field, bytes: [u8; 32]) -> impl Fn(&mut Builder) {
    move |g| {
        let bits = bits(g, "input", &bytes);
        let point = g.scope("decode", |g| decode::decode(g, field, &bits));
        let _ = g.scope("table", |g| Table::of_point(g, field, "T", &point, 2));
    }
}
