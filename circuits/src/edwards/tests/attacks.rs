//! What a cheating prover may try with points, and the row that refuses it.

use ark_bn254::Fr;
use ark_ff::Field as _;

use super::*;
use crate::field25519::{Fp, residue};
use crate::ground::Lin;
use crate::testing::{Forge, Sweep, assert_found};

/// `e T + f B` is torsion, with windows as in the batch but few digits. T is decoded.
#[derive(Clone, Copy, Debug)]
struct Mini {
    point: [u8; 32],
    e: i64,
    f: i64,
}

impl Mini {
    /// `T = 3 B + torsion`, `f = -3 e`.
    fn example() -> Self {
        let point = base(Dalek::from(3_u8)) + EIGHT_TORSION[1];
        Self {
            point: encode(point),
            e: 3457,
            f: -3 * 3457,
        }
    }

    fn build<'a>(&self, field: &'a Field) -> impl Fn(&mut Builder) + use<'a> {
        let Self { point, e, f } = *self;
        move |g| {
            let bits = bits(g, "input", &point);
            let point = g.scope("decode", |g| decode::decode(g, field, &bits));
            let table = g.scope("table", |g| Table::of_point(g, field, "T", &point, 4));
            let base = Table::of_constants(g, field, "B", curve::base_multiples());
            let digits = scalar::select_digits(g, table.id, Int::from(i128::from(e)), 4, 3);
            let base_digits = scalar::select_digits(g, base.id, Int::from(i128::from(f)), 8, 2);
            for (name, digits, window, scalar) in [("e", &digits, 4, e), ("f", &base_digits, 8, f)]
            {
                let keys = keys(digits).into_iter().rev();
                let sum = keys.fold(Lin::zero(), |sum, key| sum * (1 << window) + key);
                let given = g.witness(name, Int::from(i128::from(scalar)).to_native());
                g.equal(name, sum, given);
            }
            let lanes = [
                Lane {
                    table: &base,
                    digits: &base_digits,
                    window: 8,
                },
                Lane {
                    table: &table,
                    digits: &digits,
                    window: 4,
                },
            ];
            enforce_only_torsion(g, field, &lanes);
        }
    }
}

/// What refuses the lies about each kind of hint; see [`Sweep`].
const REFUSED: &[(&str, &[&str])] = &[
    ("carry", &["./carry/chunk/range", "./exact"]),
    ("chunk", &["./chunk/range", "end/v/exact"]),
    ("decoded/half", &["./decoded/half/chunk/range", "./parity"]),
    (
        "decoded/square",
        &["./decoded/square/chunk/range", "./decoded/square/exact"],
    ),
    ("decoded/u", &["./decoded/u/chunk/range", "./u of y/exact"]),
    (
        "decoded/v",
        &["./decoded/v/chunk/range", "./on curve/exact"],
    ),
    ("decoded/x", &["./decoded/x/chunk/range", "./x of u/exact"]),
    ("distinct/inverse", &["distinct/nonzero"]),
    (
        "input",
        &["decode/on curve/exact", "end/u/native", "input/boolean"],
    ),
    (
        "lookup/inverse",
        &[
            "./found",
            "chain/double/tangent/quotient/chunk/range",
            "decode/y below p/chunk/range",
        ],
    ),
    ("lookup/multiplicity", &["./sum"]),
    ("lookup/share", &["./entry", "./offered"]),
    ("quotient", &["./exact", "./quotient/chunk/range"]),
    (
        "select/key",
        &["B/select", "T/select", "e", "end/u/native", "f"],
    ),
    (
        "select/value",
        &["./select", "chain/add/chord/exact", "end/u/native"],
    ),
    ("slope", &["./slope/chunk/range", "./tangent/exact"]),
    ("u", &["./u/chunk/range", "./u/exact"]),
    ("v", &["./v/chunk/range", "./v/exact"]),
];

/// Every kind of hint, at its first, middle and last occurrence, with all that follows recomputed.
#[test]
fn forged_hints_are_refused_by_their_own_rows() {
    let mini = Mini::example();
    let build = |mini: Mini, trial: Trial| trial.build(mini.build(&Field::new(8)));
    let honest = build(mini, Trial::new());
    assert_eq!(honest.first_broken(), None);
    let other = Mini {
        point: encode(base(Dalek::from(5_u8))),
        e: 1235,
        f: -5 * 1235,
    };
    let other = build(other, Trial::new());
    let found = Sweep::new(&honest, &other).run_on(|trial| build(mini, trial));
    assert_found(&found, REFUSED);
}

#[test]
fn every_cell_is_pinned() {
    let field = Field::new(8);
    let built = Trial::new().build(Mini::example().build(&field));
    let unpinned = built.unpinned();
    assert!(unpinned.is_empty(), "{unpinned:?}");
    let field = Field::new(13);
    let built = Trial::new()
        .chunk_bits(13)
        .build(Mini::example().build(&field));
    let unpinned = built.unpinned();
    assert!(unpinned.is_empty(), "{unpinned:?}");
}

#[test]
fn every_cell_of_a_whole_batch_is_pinned() {
    let mut rng = ChaCha20Rng::seed_from_u64(8);
    let built = build(8, vec![Case::signed(&mut rng, EdwardsPoint::default())]);
    let unpinned = built.unpinned();
    assert!(unpinned.is_empty(), "{unpinned:?}");
}

/// Lies about every limb of the n-th element of a kind.
fn limbs(mut trial: Trial, kind: &'static str, element: usize, value: Int) -> Trial {
    for i in 0..4 {
        let limb = value.slice(64 * i, 64);
        trial = trial.lie(Forge::value(kind, 4 * element + i, limb));
    }
    trial
}

/// P + P by a chord has any slope. Only the product of differences sees it.
#[test]
fn a_chord_through_one_point_twice_is_refused() {
    let field = Field::new(8);
    let point = base(Dalek::from(77_u8));
    let gadget = |apart: bool| {
        let field = &field;
        move |g: &mut Builder| {
            let [a, b] = [point, point].map(|point| advise_point(g, field, point));
            let b = addend(g, field, &b);
            let mut distinct = Distinct::default();
            if apart {
                distinct.apart(g, field, &a.u, &b.u);
            }
            let sum = chord::add(g, field, a, &b, Extent::Short);
            let _ = sum.v.form(g, field);
            distinct.finish(g);
        }
    };
    let lie = |trial| limbs(trial, "slope", 0, Int::from(123_456_789));
    let without = lie(Trial::new()).build(gadget(false));
    assert_eq!(
        without.first_broken(),
        None,
        "any slope fits: this is why the product is there"
    );
    let with = lie(Trial::new()).build(gadget(true));
    assert_eq!(with.broken().collect::<Vec<_>>(), ["distinct/nonzero"]);
    // the same point as another representative
    let other = move |g: &mut Builder| {
        let a = affine(&point).expect("x is not zero");
        let (u, p) = (canonical(a.u), modulus().value());
        for shifted in [u, u + p] {
            let mut distinct = Distinct::default();
            let one = field.advise(g, "a", shifted, Extent::Short);
            let two = field.advise(g, "b", u, Extent::Entry);
            distinct.apart(g, &field, &one, &two);
            distinct.finish(g);
        }
    };
    let built = Trial::new().build(other);
    assert_eq!(built.broken().collect::<Vec<_>>(), ["distinct/nonzero"; 2]);
}

/// T of small order added to a point of the chain: slope and u are those of P + T.
#[test]
fn torsion_added_to_an_intermediate_point_is_refused() {
    let field = Field::new(8);
    let [p, t] = [base(Dalek::from(5_u8)), base(Dalek::from(1001_u16))];
    for torsion in [EIGHT_TORSION[1], EIGHT_TORSION[2], EIGHT_TORSION[4]] {
        let gadget = |g: &mut Builder| {
            let [a, b] = [p, t].map(|point| advise_point(g, &field, point));
            let b = addend(g, &field, &b);
            let sum = chord::add(g, &field, a, &b, Extent::Short);
            let point = chord::double(g, &field, sum);
            let end = affine(&(p + t + p + t).mul_by_cofactor()).expect("x is not zero");
            let mut point = point;
            for _ in 0..3 {
                point = chord::double(g, &field, point);
            }
            enforce_equal(g, &field, point, (canonical(end.u), canonical(end.v)));
        };
        assert_eq!(Trial::new().build(gadget).first_broken(), None);
        let moved = affine(&(p + t + torsion)).expect("x is not zero");
        let trial = limbs(Trial::new(), "u", 0, canonical(moved.u));
        let trial = limbs(trial, "v", 0, canonical(moved.v));
        let built = trial.build(gadget);
        let broken: Vec<&str> = built.broken().collect();
        assert!(
            broken.contains(&"u/exact[0]") && broken.contains(&"v/exact[0]"),
            "{broken:?}"
        );
    }
}

/// A point off the curve whose y and x are consistent: only the curve's equation refuses it.
#[test]
fn a_point_off_the_curve_is_refused() {
    let field = Field::new(8);
    let bytes = encode(base(Dalek::from(9_u8)));
    let honest = affine(&base(Dalek::from(9_u8))).expect("x is not zero");
    let mut x = honest.x + Fp::from(2);
    while canonical(x).slice(0, 1) != canonical(honest.x).slice(0, 1) {
        x += Fp::ONE;
    }
    let v = curve::scale() * honest.u / x;
    let trial = limbs(Trial::new(), "decoded/v", 0, canonical(v));
    let built = limbs(trial, "decoded/x", 0, canonical(x)).build(decoding(&field, bytes));
    let broken: Vec<&str> = built.broken().collect();
    assert_eq!(
        broken,
        ["decode/on curve/exact[0]", "decode/on curve/exact[1]"]
    );
}

/// x + p has the other parity. It fits in 255 bits for x below 19 only: such points exist.
#[test]
fn x_is_taken_below_p_before_its_parity() {
    let field = Field::new(8);
    let p = modulus().value();
    let d = -Fp::from(121_665) / Fp::from(121_666);
    let (x, y) = (1..19_u64)
        .find_map(|x| {
            let xx = Fp::from(x).square();
            let y = ((Fp::ONE + xx) / (Fp::ONE - d * xx)).sqrt()?;
            Some((x, y))
        })
        .expect("about half of all x have a point");
    let point = lift(y, x & 1 == 1).expect("it is on the curve");
    assert_eq!(point.x, Fp::from(x));
    // the encoding with the other sign, decoded to this very point
    let sign = if x & 1 == 1 {
        Int::ZERO
    } else {
        Int::power_of_two(255)
    };
    let bytes = super::bytes(canonical(y) + sign);
    let trial = limbs(Trial::new(), "decoded/v", 0, canonical(point.v));
    let alias = Int::from(x) + p;
    assert_eq!(residue(alias), point.x);
    let built = limbs(trial, "decoded/x", 0, alias).build(decoding(&field, bytes));
    assert_eq!(built.broken().collect::<Vec<_>>(), ["lookup/sum"]);
    let strays: Vec<&str> = built.strays().collect();
    assert!(
        strays
            .iter()
            .all(|name| name.starts_with("decode/x below p/")),
        "{strays:?}"
    );
    assert!(!strays.is_empty());
}

/// The identity, the point of order two, -0, and y + p, each by its own row.
#[test]
fn encodings_outside_the_predicate_are_refused_by_name() {
    let field = Field::new(8);
    let p = modulus().value();
    let sign = Int::power_of_two(255);
    let three = Int::from(3); // a y with a point
    for (bytes, row) in [
        (Int::ONE, "decode/u of y/exact[0]"),
        (Int::ONE + sign, "decode/u of y/exact[0]"),
        (p - Int::ONE, "table/double/tangent/exact[0]"),
        (p - Int::ONE + sign, "decode/parity"),
        (three + p, "lookup/sum"),
        (Int::from(2), "decode/on curve/exact[0]"),
    ] {
        let built = Trial::new().build(decoding(&field, super::bytes(bytes)));
        let broken: Vec<&str> = built.broken().collect();
        assert!(broken.contains(&row), "{bytes:?}: {broken:?}");
    }
    let built = Trial::new().build(decoding(&field, super::bytes(three + p)));
    assert_eq!(built.broken().collect::<Vec<_>>(), ["lookup/sum"]);
    assert!(
        built
            .strays()
            .all(|name| name.starts_with("decode/y below p/"))
    );
    // x of the point of order two is free: with parity and all, its tangent still refuses
    let one = limbs(Trial::new(), "decoded/x", 0, Int::ONE);
    let built = one.build(decoding(&field, super::bytes(p - Int::ONE + sign)));
    let broken: Vec<&str> = built.broken().collect();
    assert!(
        broken.iter().all(|row| row.starts_with("table/")),
        "{broken:?}"
    );
    assert!(broken.contains(&"table/double/tangent/exact[0]"));
}

/// The other slot's entry under the same digit: every row but the sum of the look-ups holds.
#[test]
fn another_slots_entry_is_refused() {
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let mut slot = || Case::signed(&mut rng, EdwardsPoint::default());
    let cases = vec![slot(), slot()];
    let field = Field::new(8);
    let honest = Trial::new().build(batch(&field, cases.clone()));
    let selected = |slot: usize, part: &str| -> Vec<Fr> {
        let name = format!("slot[{slot}]/A/{part}");
        (0..honest.z.len())
            .filter(|i| honest.name(*i) == name)
            .map(|i| honest.z[i])
            .collect()
    };
    let (keys, other_keys) = (selected(0, "key"), selected(1, "key"));
    let (i, j) = (0..51)
        .flat_map(|i| (0..51).map(move |j| (i, j)))
        .find(|(i, j)| keys[*i] == other_keys[*j])
        .expect("two scalars share a digit");
    let mut trial = Trial::new();
    for value in 0..6 {
        let taken = selected(1, &format!("value[{value}]"))[j];
        // slot 0 selects R's 33 digits first
        trial = trial.lie(Forge::value("select/value", 6 * (33 + i) + value, taken));
    }
    let built = trial.build(batch(&field, cases));
    let broken: Vec<&str> = built.broken().collect();
    assert!(broken.contains(&"lookup/sum"));
    assert!(
        broken
            .iter()
            .all(|row| row.starts_with("end/") || *row == "lookup/sum"),
        "{broken:?}"
    );
    assert_eq!(built.strays().collect::<Vec<_>>(), ["slot[0]/A/select"]);
}

/// Another list of digits for the same scalar needs a digit out of its table.
#[test]
fn alias_digits_are_refused() {
    let field = Field::new(8);
    for (occurrence, delta, name) in [
        (0, 32, "T/select"),
        (1, -32, "T/select"),
        (3, 512, "B/select"),
    ] {
        let lie = Forge::plus("select/key", occurrence, Fr::from(delta));
        let built = Trial::new().lie(lie).build(Mini::example().build(&field));
        let broken: Vec<&str> = built.broken().collect();
        assert!(
            !broken.contains(&"e") && !broken.contains(&"f"),
            "the digits sum to the scalar"
        );
        assert!(broken.contains(&"lookup/sum"), "{broken:?}");
        assert!(built.strays().any(|stray| stray == name));
    }
}
