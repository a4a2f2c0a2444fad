//! Scalars: agreement with big integers, edge values, costs, attacks.

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field as _};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;
use crate::field25519::Reduction;
use crate::ground::{Bit, Builder};
use crate::lookup::TableId;
use crate::testing::{Forge, Sweep, Trial, assert_found};

/// One slot's scalars: z (128 bits), k (512 bits), s.
#[derive(Clone, Copy, Debug)]
struct Case {
    z: u128,
    k: (Int, Int),
    s: [u8; 32],
}

fn bits(g: &mut Builder, kind: &'static str, value: Int, count: usize) -> Vec<Bit> {
    (0..count)
        .map(|i| g.bit(kind, value.slice(i, 1) == 1))
        .collect()
}

/// A table whose keys are the odd digits of a window.
fn digit_table(g: &mut Builder, window: usize) -> TableId {
    let table = g.table("digits", 1);
    for digit in (1..1 << window).step_by(2) {
        g.entry_constant(table, digit, &[Fr::ONE]);
        g.entry_constant(table, -digit, &[Fr::ONE]);
    }
    table
}

/// All scalars of a batch, with the windows of the real one.
fn scalars(cases: Vec<Case>) -> impl Fn(&mut Builder) -> Vec<Reduction> {
    move |g| {
        let tables = [4, 5, 8].map(|window| digit_table(g, window));
        let mut reductions = Vec::new();
        let mut terms = Vec::new();
        let mut total = Int::ZERO;
        for case in &cases {
            let z = g.limb("z", case.z, 128);
            let (low, high) = case.k;
            let mut k = bits(g, "k", low, 256);
            k.extend(bits(g, "k", high, 256));
            let s = Scalar::advise(g, &case.s);
            let w = Weight::new(g, &z);

            let minus_w = select_digits(g, tables[0], -w.value(), 4, 33);
            let keys: Vec<_> = minus_w.iter().map(|d| d.key).collect();
            enforce_opposite(g, &w, &keys, 4);

            let reduced = residue(&k);
            let product = odd_representative(-(w.value() * reduced));
            let digits = select_digits(g, tables[1], product, 5, 51);
            let keys: Vec<_> = digits.iter().map(|d| d.key).collect();
            reductions.push(enforce_opposite_product(g, &w, &k, &keys, 5));
            total += w.value() * s.value();
            terms.push((w, s));
        }
        let digits = select_digits(g, tables[2], odd_representative(total), 8, 32);
        let keys: Vec<_> = digits.iter().map(|d| d.key).collect();
        let terms: Vec<_> = terms.iter().map(|(w, s)| (w, s)).collect();
        reductions.push(enforce_weighted_sum(g, &terms, &keys, 8));
        reductions
    }
}

fn bytes(value: Int) -> [u8; 32] {
    core::array::from_fn(|i| u8::try_from(value.slice(8 * i, 8)).unwrap_or_default())
}

fn random(rng: &mut ChaCha20Rng) -> Case {
    let mut next = || {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Int::from_bytes_le(&bytes)
    };
    let z = next();
    let z = u128::from(z.slice(0, 64)) | u128::from(z.slice(64, 64)) << 64;
    Case {
        z,
        k: (next(), next()),
        s: bytes(order().div_rem(next()).1),
    }
}

fn edges() -> Vec<Case> {
    let (l, most) = (order().value(), Int::power_of_two(256) - Int::ONE);
    let one = (Int::ONE, Int::ZERO);
    vec![
        Case {
            z: 0,
            k: (Int::ZERO, Int::ZERO),
            s: bytes(Int::ZERO),
        },
        Case {
            z: 0,
            k: one,
            s: bytes(l - Int::ONE),
        },
        Case {
            z: u128::MAX,
            k: (most, most),
            s: bytes(l - Int::ONE),
        },
        Case {
            z: u128::MAX,
            k: (l, Int::ZERO),
            s: bytes(Int::power_of_two(252)),
        },
        Case {
            z: 1,
            k: (l - Int::ONE, Int::ZERO),
            s: bytes(Int::power_of_two(252) - Int::ONE),
        },
        Case {
            z: u128::MAX - 1,
            k: (Int::ZERO, most),
            s: bytes(Int::ONE),
        },
    ]
}

#[test]
fn random_and_extreme_scalars_hold() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    for bits in [8, 13, 17] {
        let mut cases = edges();
        if bits != 8 {
            cases.truncate(3);
        }
        cases.extend((0..2).map(|_| random(&mut rng)));
        let gadget = scalars(cases);
        let built = Trial::new().chunk_bits(bits).build(|g| drop(gadget(g)));
        assert_eq!(built.first_broken(), None);
    }
}

#[test]
fn every_relation_is_exact_at_every_width() {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    for bits in [8, 13, 16, 17] {
        let cases: Vec<Case> = (0..3).map(|_| random(&mut rng)).collect();
        let mut g = Builder::new(crate::ground::Run::Proving, bits, &[]);
        for r in scalars(cases)(&mut g) {
            assert!(r.is_exact(), "{r:?}");
            assert!(
                r.modulus.bits() > 143,
                "a false k mod L needs a modulus below 2^144"
            );
        }
    }
    // 256 slots, all with the greatest scalars
    let mut g = Builder::new(crate::ground::Run::Proving, 16, &[]);
    let most = edges()[2];
    let _ = scalars(vec![most; 256])(&mut g);
}

#[test]
fn costs() {
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let case = random(&mut rng);
    let count = |bits: u32, gadget: &dyn Fn(&mut Builder)| {
        let built = Trial::new().chunk_bits(bits).build(|g| {
            let _ = g.limb("some", 0_u64, 8); // brings the chunk table
            gadget(g);
        });
        let rows = built.matrices.rows();
        (rows, built.matrices.layout.committed)
    };
    for (bits, canonical, slot) in [(13, (34, 30), (58, 47)), (16, (28, 24), (49, 38))] {
        let base = count(bits, &|_| ());
        let one = count(bits, &|g| drop(Scalar::advise(g, &case.s)));
        assert_eq!((one.0 - base.0, one.1 - base.1), canonical);
        let z = count(bits, &|g| drop(g.limb("z", case.z, 128)));
        let z = (z.0 - base.0, z.1 - base.1);
        let two = scalars(vec![case; 2]);
        let three = scalars(vec![case; 3]);
        let (two, three) = (
            count(bits, &|g| drop(two(g))),
            count(bits, &|g| drop(three(g))),
        );
        // without z, the bits of k and the selection of digits (2 rows, 2 cells each)
        let (rows, cells) = (
            three.0 - two.0 - z.0 - 512 - 2 * 84,
            three.1 - two.1 - z.1 - 2 * 84,
        );
        assert_eq!((rows, cells), slot);
    }
}

#[test]
fn every_cell_is_pinned() {
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    let case = random(&mut rng);
    let given = move |g: &mut Builder| {
        drop(scalars(vec![case])(g));
    };
    let built = Trial::new().build(given);
    // Nothing outside binds s or the bits here; all else hangs on them.
    let unpinned = built.unpinned();
    assert!(unpinned.is_empty(), "{unpinned:?}");
}

#[test]
fn s_of_order_and_more_is_refused() {
    let l = order().value();
    let case = |s: Int| {
        scalars(vec![Case {
            z: 5,
            k: (Int::from(9), Int::ZERO),
            s: bytes(s),
        }])
    };
    for (s, row) in [
        (l - Int::ONE, None),
        (l, Some("s/below order")),
        (l + Int::from(77), Some("s/below order")),
        (
            Int::power_of_two(252) + Int::power_of_two(170),
            Some("s/high"),
        ),
        (Int::power_of_two(253) - Int::ONE, Some("s/high")),
    ] {
        let gadget = case(s);
        let built = Trial::new().build(|g| drop(gadget(g)));
        let broken: Vec<&str> = built.broken().collect();
        match row {
            None => assert!(broken.is_empty(), "{broken:?}"),
            // The margin that would repair the row is a negative number: its range refuses.
            Some("s/below order") => {
                assert_eq!(broken, ["lookup/sum"]);
                assert_eq!(
                    built.strays().collect::<Vec<_>>(),
                    ["s/margin/chunk[15]/range"]
                );
            }
            Some(row) => assert!(broken.contains(&row), "{broken:?}"),
        }
    }
    // the alias s + L with a margin in range
    let gadget = case(l + Int::from(77));
    let lie = Forge::value("s/margin", 0, Fr::ZERO);
    let built = Trial::new().lie(lie).build(|g| drop(gadget(g)));
    assert_eq!(built.first_broken(), Some("s/below order"));
}

/// Digits of a number that is off by a multiple of N, with the quotient that then satisfies the row
/// modulo N; the second is off by a multiple of 2^128 as well, and needs a longer second modulus.
#[test]
fn a_false_k_mod_l_is_refused() {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let case = random(&mut rng);
    for shift in [
        Int::ZERO,
        Int::native_modulus(),
        Int::native_modulus().shift_up(128),
    ] {
        let (less, _) = order().div_rem(shift);
        let lie = Forge::plus("quotient", 0, -less.to_native());
        let built = Trial::new().lie(lie).build(shifted_product(case, shift));
        let broken: Vec<&str> = built.broken().collect();
        match shift.is_zero() {
            true => assert!(broken.is_empty(), "{broken:?}"),
            false => assert_eq!(broken, ["w k mod L/exact/low"]),
        }
    }
}

/// The digits of `-w k + shift`.
fn shifted_product(case: Case, shift: Int) -> impl Fn(&mut Builder) {
    move |g| {
        let table = digit_table(g, 5);
        let z = g.limb("z", case.z, 128);
        let (low, high) = case.k;
        let mut k = bits(g, "k", low, 256);
        k.extend(bits(g, "k", high, 256));
        let w = Weight::new(g, &z);
        let product = odd_representative(shift - w.value() * residue(&k));
        let digits = select_digits(g, table, product, 5, 51);
        let keys: Vec<_> = digits.iter().map(|d| d.key).collect();
        let _ = enforce_opposite_product(g, &w, &k, &keys, 5);
    }
}

/// What refuses the lies about each kind of hint; see [`Sweep`]. Nothing outside binds k, s and z here:
/// another one in range is another true statement.
const REFUSED: &[(&str, &[&str])] = &[
    ("carry", &["./carry/chunk/range", "./exact/low"]),
    (
        "chunk",
        &[
            "./chunk/range",
            "w k mod L/exact/low",
            "w s mod L/exact/low",
        ],
    ),
    ("k", &["accepted", "k/boolean"]),
    (
        "lookup/inverse",
        &["./found", "w s mod L/carry/chunk/range", "z/chunk/range"],
    ),
    ("lookup/multiplicity", &["./sum"]),
    ("lookup/share", &["./entry", "./offered"]),
    ("quotient", &["./exact/native", "./quotient/chunk/range"]),
    ("s", &["accepted", "s/chunk/range", "w s mod L/exact/low"]),
    ("s/margin", &["s/below order", "s/margin/chunk/range"]),
    (
        "s/top",
        &["s/high", "s/margin/chunk/range", "s/top/boolean"],
    ),
    (
        "select/key",
        &[
            "digits/select",
            "w k mod L/exact/native",
            "w s mod L/exact/native",
            "weight digits",
        ],
    ),
    ("select/value", &["./select"]),
    ("z", &["accepted", "weight digits", "z/chunk/range"]),
];

#[test]
fn forged_hints_are_refused() {
    let mut rng = ChaCha20Rng::seed_from_u64(6);
    let case = random(&mut rng);
    let gadget = scalars(vec![case]);
    let honest = Trial::new().build(|g| drop(gadget(g)));
    let other = scalars(vec![random(&mut rng)]);
    let other = Trial::new().build(|g| drop(other(g)));
    let found = Sweep::new(&honest, &other).run_on(|trial| trial.build(|g| drop(gadget(g))));
    assert_found(&found, REFUSED);
}

#[test]
fn constants_are_those_of_the_standard() {
    use curve25519_dalek::Scalar as Dalek;
    use curve25519_dalek::constants::ED25519_BASEPOINT_TABLE;
    use curve25519_dalek::traits::IsIdentity;
    let last = Dalek::from_bytes_mod_order(bytes(order().value() - Int::ONE));
    assert_eq!(last, -Dalek::ONE);
    assert!((ED25519_BASEPOINT_TABLE * &(last + Dalek::ONE)).is_identity());
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let mut wide = [0; 64];
    rng.fill_bytes(&mut wide);
    let mut g = Builder::new(crate::ground::Run::Proving, 8, &[]);
    let mut k = bits(&mut g, "k", Int::from_bytes_le(&wide[..32]), 256);
    k.extend(bits(&mut g, "k", Int::from_bytes_le(&wide[32..]), 256));
    assert_eq!(
        bytes(residue(&k)),
        Dalek::from_bytes_mod_order_wide(&wide).to_bytes()
    );
    assert_eq!(Fr::ZERO, Int::ZERO.to_native());
}
