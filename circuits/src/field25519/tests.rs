//! Arithmetic mod p: agreement with an independent field, declared ranges, costs, attacks.

use ark_bn254::Fr;
use ark_ff::AdditiveGroup;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;
use crate::testing::{Built, Forge, Sweep, Trial, assert_found};

/// `a * b - c`, reduced; then `(a - c) * b - (a b - c b)` vanishes.
fn arithmetic(field: &Field, [a, b, c]: [Int; 3]) -> impl Fn(&mut Builder) {
    move |g| {
        let [a, b, c] = [a, b, c].map(|value| given(field, g, value));
        let rest = Form::zero().minus(&field.form(&c));
        let r = field.reduce(g, "reduce", Extent::Whole, Some((&a, &b)), rest);
        let expected = field.residue(&a) * field.residue(&b) - field.residue(&c);
        if g.attack.is_none() {
            assert_eq!(field.residue(&r), expected);
        }
        let cb = g.scope("cb", |g| field.product(g, &c, &b));
        let ab = field.form(&r).plus(&field.form(&c));
        field.vanish(g, "vanish", Some((&a.minus(&c), &b)), cb.minus(&ab));
    }
}

/// An input: chunks that equal given limbs.
fn given(field: &Field, g: &mut Builder, value: Int) -> Element {
    let element = field.advise(g, "input", value, Extent::Whole);
    for (i, limb) in field.limbs(&element).iter().enumerate() {
        let given = g.witness("given", Fr::from(value.slice(i * field.width, field.width)));
        g.equal("given", limb, given);
    }
    element
}

fn edge_values(field: &Field) -> Vec<Int> {
    let p = field.p.value();
    let most = Int::power_of_two(256) - Int::ONE;
    let alternating = Int::from_words(&[u64::MAX, 0, u64::MAX, 0]);
    vec![
        Int::ZERO,
        Int::ONE,
        p - Int::ONE,
        p,
        p + p,
        most,
        alternating,
        most - alternating,
        Int::from_words(&[0, 0, 0, 1 << 62]),
    ]
}

fn random(seed: u64) -> impl FnMut() -> Int {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    move || {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        canonical(residue(Int::from_bytes_le(&bytes)))
    }
}

#[test]
fn products_agree_with_the_field_at_every_width() {
    for (bits, cases) in [(8, 8), (13, 4), (16, 1)] {
        let field = Field::new(bits);
        let mut next = random(7);
        for _ in 0..cases {
            let built = Trial::new()
                .chunk_bits(bits)
                .build(arithmetic(&field, [next(), next(), next()]));
            assert_eq!(built.first_broken(), None);
        }
    }
}

#[test]
fn edge_values_agree() {
    let field = Field::new(8);
    let edges = edge_values(&field);
    for (i, a) in edges.iter().enumerate() {
        for (j, b) in edges.iter().enumerate() {
            let c = edges[(i + 2 * j) % edges.len()];
            let mut g = Builder::new(crate::ground::Run::Proving, 8, &[]);
            arithmetic(&field, [*a, *b, c])(&mut g); // asserts the residue
            if i == j {
                let built = Trial::new().build(arithmetic(&field, [*a, *b, c]));
                assert_eq!(built.first_broken(), None, "{a:?} {b:?} {c:?}");
            }
        }
    }
}

/// Value and low part of a product are what the rows compute, and lie in the declared ranges, which
/// the extreme limbs attain.
#[test]
fn sizes_are_right_and_tight() {
    for bits in [8, 13, 17] {
        let field = Field::new(bits);
        let mut next = random(11);
        let mut values = edge_values(&field);
        values.extend((0..4).map(|_| next()));
        values.push(Int::power_of_two(field.count * field.width) - Int::ONE);
        let mut g = Builder::new(crate::ground::Run::Proving, bits, &[]);
        let g = &mut g;
        let elements: Vec<Element> = values
            .iter()
            .map(|x| field.advise(g, "x", *x, Extent::Whole))
            .collect();
        for a in &elements {
            for b in &elements {
                let signed = a.minus(b);
                for (x, y) in [(a, b), (&signed, b), (&signed, &signed)] {
                    let form = field.product(g, x, y);
                    let size = form.size();
                    assert_eq!(form.native.value(), size.value.to_native());
                    assert_eq!(form.low.value(), size.low.to_native());
                    assert!(size.range.contains(size.value) && size.low_range.contains(size.low));
                    let (low, m) = (size.value.low_bits(128) * field.low_unit, 2 * field.width);
                    assert_eq!(low.low_bits(m), size.low.low_bits(m));
                    assert_eq!(
                        field.recombine(form.native.value(), form.low.value()),
                        (size.value, size.low)
                    );
                    assert_eq!(form.residue(), field.residue(x) * field.residue(y));
                }
            }
        }
        let most = elements.last().expect("the list is not empty");
        let size = field.product_size(most, most);
        assert_eq!((size.value, size.low), (size.range.max, size.low_range.max));
    }
}

/// Both inequalities, recomputed here from the declared widths alone.
#[test]
fn every_declared_width_is_exact() {
    for bits in [8, 13, 17] {
        let field = Field::new(bits);
        let _ = Trial::new()
            .chunk_bits(bits)
            .build(arithmetic(&field, [Int::ONE; 3]));
        let ledger = field.ledger();
        assert_eq!(
            ledger.iter().map(|r| r.kind).collect::<Vec<_>>(),
            ["reduce", "vanish"]
        );
        for r in ledger {
            let p = field.p.value();
            let most = r.range.max + r.lift * p;
            let full = (Int::power_of_two(r.quotient_bits) - Int::ONE) * p;
            let least = r.range.min + r.lift * p - full;
            assert!(
                !(r.range.min + r.lift * p).is_negative(),
                "the offset covers every sign"
            );
            assert!(
                most < full + p,
                "the quotient's range holds every honest one"
            );
            let bound = Int::native_modulus() * r.modulus;
            assert!(
                most.abs() < bound && least.abs() < bound && r.is_exact(),
                "{r:?}"
            );
            assert!(r.range.contains(r.value));
        }
    }
}

#[test]
#[should_panic(expected = "ranges too wide to be exact")]
fn widths_that_would_wrap_are_refused_when_the_circuit_is_built() {
    let field = Field::new(8);
    let mut g = Builder::new(crate::ground::Run::Recording, 8, &[]);
    let a = field
        .advise(&mut g, "a", Int::ONE, Extent::Whole)
        .times(1 << 30);
    field.vanish(&mut g, "vanish", Some((&a, &a)), Form::zero());
}

fn cost(bits: u32, gadget: impl Fn(&Field, &mut Builder)) -> (usize, usize) {
    let field = Field::new(bits);
    let count = |built: &Built| (built.matrices.rows(), built.matrices.layout.committed);
    let base = count(&Trial::new().chunk_bits(bits).build(|g| {
        field.advise(g, "a", Int::ONE, Extent::Whole);
    }));
    let built = count(&Trial::new().chunk_bits(bits).build(|g| gadget(&field, g)));
    (built.0 - base.0, built.1 - base.1)
}

/// Rows, and committed cells (each an instance row more under the stock reduction).
#[test]
fn costs() {
    let square = |field: &Field, g: &mut Builder| {
        let a = field.advise(g, "a", Int::ONE, Extent::Whole);
        field.reduce(g, "square", Extent::Whole, Some((&a, &a)), Form::zero());
    };
    let two = |field: &Field, g: &mut Builder| {
        let a = field.advise(g, "a", Int::ONE, Extent::Whole);
        let aa = field.product(g, &a, &a);
        field.reduce(g, "two", Extent::Whole, Some((&a, &a)), aa);
    };
    assert_eq!(cost(16, square), (26 + 5, 26));
    assert_eq!(cost(16, two), (26 + 10, 26));
    assert_eq!(cost(13, square), (30 + 6, 30));
    assert_eq!(cost(13, two), (30 + 12, 30));
    assert_eq!(cost(17, square), (23 + 6, 23));
}

#[test]
fn every_cell_is_pinned() {
    for bits in [8, 13] {
        let field = Field::new(bits);
        let mut next = random(3);
        let built = Trial::new()
            .chunk_bits(bits)
            .build(arithmetic(&field, [next(), next(), next()]));
        let unpinned = built.unpinned();
        assert!(unpinned.is_empty(), "{unpinned:?}");
    }
}

/// What refuses the lies about each kind of hint; see [`Sweep`].
const REFUSED: &[(&str, &[&str])] = &[
    ("carry", &["./carry/chunk/range", "./exact"]),
    ("chunk", &["./chunk/range", "vanish/exact"]),
    ("input", &["given", "input/chunk/range"]),
    (
        "lookup/inverse",
        &["input/chunk/range", "vanish/carry/chunk/range"],
    ),
    ("lookup/multiplicity", &["./sum"]),
    ("lookup/share", &["./entry"]),
    ("quotient", &["./exact", "./quotient/chunk/range"]),
    ("reduce", &["reduce/chunk/range", "reduce/exact"]),
];

/// Every kind of hint, at its first, middle and last occurrence.
#[test]
fn forged_hints_are_refused() {
    let field = Field::new(8);
    let mut next = random(5);
    let case = [next(), next(), next()];
    let honest = Trial::new().build(arithmetic(&field, case));
    let other = Trial::new().build(arithmetic(&field, [next(), next(), next()]));
    let found =
        Sweep::new(&honest, &other).run_on(|trial| trial.build(arithmetic(&Field::new(8), case)));
    assert_found(&found, REFUSED);
}

/// Lies that make the result of `arithmetic` another one, with the quotient and the carry that the
/// two equalities then ask for in F_N.
fn false_result(field: &Field, case: [Int; 3], result: Int) -> (Fr, Fr) {
    let mut g = Builder::new(crate::ground::Run::Proving, 8, &[]);
    let [a, b, c] = case.map(|x| field.advise(&mut g, "x", x, Extent::Whole));
    let result = field.advise(&mut g, "x", result, Extent::Whole);
    let size = field.product_size(&a, &b) - field.form(&c).size() - field.form(&result).size();
    let plan = field.plan("reduce", &size);
    let quotient = size.value.to_native() / field.p.value().to_native();
    let low = size.low.to_native() - quotient * field.low_p.to_native();
    let carry = low / Int::power_of_two(2 * field.width).to_native() - plan.least.to_native();
    (quotient + plan.reduction.lift.to_native(), carry)
}

fn tell(field: &Field, case: [Int; 3], result: Int) -> Built {
    let (quotient, carry) = false_result(field, case, result);
    let mut trial = Trial::new()
        .lie(Forge::value("quotient", 0, quotient))
        .lie(Forge::value("carry", 0, carry));
    for i in 0..4 {
        trial = trial.lie(Forge::value("reduce", i, result.slice(64 * i, 64)));
    }
    let built = trial.build(arithmetic(field, case));
    let equalities = |row: &str| row.starts_with("reduce/");
    assert!(!built.broken().any(equalities), "the two equalities hold");
    built
}

/// A false result with a quotient in range: r' = V - q' p mod N is an integer below 2^256, so the
/// native equality holds and so does the other in F_N; only the range of the carry says no.
#[test]
fn a_carry_out_of_range_is_refused() {
    let field = Field::new(8);
    let mut next = random(9);
    let case @ [a, b, c] = [next(), next(), next()];
    let p = field.p.value();
    let honest = canonical(residue(a) * residue(b) - residue(c));
    let mut result = honest - p; // one more p goes to the quotient, and the rest round N
    while result.is_negative() {
        result += Int::native_modulus();
    }
    assert_ne!(residue(result), residue(honest));
    let built = tell(&field, case, result);
    let strays: Vec<&str> = built.strays().collect();
    assert_eq!(strays, ["reduce/carry/chunk[8]/range"]);
    assert!(built.broken().any(|row| row == "lookup/sum"));
}

/// A quotient beyond its range makes any result right modulo N.
#[test]
fn a_quotient_out_of_range_is_refused() {
    let field = Field::new(8);
    let mut next = random(13);
    let case @ [a, b, c] = [next(), next(), next()];
    let result = canonical(residue(a) * residue(b) - residue(c)) + Int::ONE;
    let built = tell(&field, case, result);
    let strays: Vec<&str> = built.strays().collect();
    assert_eq!(
        strays,
        [
            "reduce/quotient/chunk[8]/range",
            "reduce/carry/chunk[8]/range"
        ]
    );
    assert!(built.broken().any(|row| row == "lookup/sum"));
}

#[test]
fn integers_divide_and_read_back() {
    let mut next = random(17);
    for modulus in [
        modulus(),
        Modulus::new(
            252,
            -Int::from_words(&[0x5812_631a_5cf5_d3ed, 0x14de_f9de_a2f7_9cd6]),
        ),
    ] {
        for _ in 0..50 {
            let (x, y) = (next(), next());
            for v in [
                x * y,
                -(x * y),
                x,
                -x,
                modulus.value(),
                -modulus.value(),
                modulus.value() - Int::ONE,
                -Int::ONE,
                Int::ZERO,
            ] {
                let (q, r) = modulus.div_rem(v);
                assert!(!r.is_negative() && r < modulus.value());
                assert_eq!(q * modulus.value() + r, v);
                assert_eq!(
                    v.to_native(),
                    if v.is_negative() {
                        -(-v).to_native()
                    } else {
                        v.to_native()
                    }
                );
            }
        }
    }
    let (x, y) = (next(), next());
    assert_eq!((x * y).to_native(), x.to_native() * y.to_native());
    assert_eq!(canonical(residue(x * y)), modulus().div_rem(x * y).1);
    assert_eq!((-x).shift_down(13).shift_up(13) + (-x).low_bits(13), -x);
    assert_eq!(Int::from(-5).shift_down(1), Int::from(-3));
    assert_eq!(Fr::ZERO, Int::native_modulus().to_native());
}
