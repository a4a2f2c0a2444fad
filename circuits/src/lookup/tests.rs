//! Look-ups: completeness, costs, and the attacks.

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};

use crate::ground::{Builder, Lin, pow2};
use crate::testing::{Forge, Trial};

/// A 20-bit advised integer, then a 13-bit range of a given cell, with chunks of 8 bits.
fn ranges(advised: u64, given: u64) -> impl Fn(&mut Builder) {
    move |g| {
        let limb = g.limb("limb", advised, 20);
        let copy = g.witness("copy", Fr::from(advised));
        g.equal("copied", &limb, copy);
        let given = g.witness("given", Fr::from(given));
        let given = g.range("range", given, 13);
        g.row("given", &given, Fr::ONE, &given);
    }
}

#[test]
fn ranges_hold_up_to_their_widths() {
    for (advised, given) in [(0, 0), (5, 1), (0xf_ffff, 0x1fff), (0x8_0000, 0x1000)] {
        let built = Trial::new().build(ranges(advised, given));
        assert_eq!(built.first_broken(), None);
        assert_eq!(built.strays().count(), 0);
    }
}

#[test]
fn ranges_refuse_one_bit_more() {
    for (advised, given, stray) in [
        (0x10_0000, 0, "limb/chunk[2]/shifted"),
        (0, 0x2000, "range/chunk[1]/shifted"),
        (1 << 40, 0, "limb/chunk[2]/range"),
        (0, 1 << 63, "range/chunk[1]/range"),
    ] {
        let built = Trial::new().build(ranges(advised, given));
        assert_eq!(built.first_broken(), Some("lookup/sum"));
        assert_eq!(built.strays().next(), Some(stray));
    }
}

/// The last chunk of 13 bits has 5. As a fraction it passes the shifted look-up alone, as a full
/// chunk the plain one alone.
#[test]
fn both_look_ups_of_a_short_chunk_are_needed() {
    let chunk = 4; // after the three of the 20-bit limb, the second of the range
    let fraction = pow2(3).inverse().expect("8 is not zero");
    for (lie, stray) in [
        (fraction, "range/chunk[1]/range"),
        (Fr::from(0xff_u64), "range/chunk[1]/shifted"),
    ] {
        let built = Trial::new()
            .lie(Forge::value("chunk", chunk, lie))
            .build(ranges(7, 9));
        assert_eq!(built.strays().collect::<Vec<_>>(), [stray]);
        assert_eq!(
            built.broken().collect::<Vec<_>>(),
            ["range/sum", "lookup/sum"]
        );
    }
}

#[test]
fn a_chunk_borrowed_from_its_neighbour_is_refused() {
    // The lower chunk takes 2^8 too much, the upper makes up for it: the sum is right.
    let built = Trial::new()
        .lie(Forge::plus("chunk", 0, 256))
        .build(ranges(0x54321, 1));
    assert_eq!(built.broken().collect::<Vec<_>>(), ["lookup/sum"]);
    assert_eq!(built.strays().collect::<Vec<_>>(), ["limb/chunk[0]/range"]);
}

#[test]
fn forged_multiplicities_inverses_and_shares_are_refused() {
    for (kind, occurrence, row) in [
        ("lookup/multiplicity", 0, "lookup/sum"),
        ("lookup/multiplicity", 255, "lookup/sum"),
        ("lookup/inverse", 0, "limb/chunk[0]/range"),
        ("lookup/inverse", 3, "limb/chunk[2]/shifted"),
        ("lookup/share", 9, "lookup/entry[9]"),
    ] {
        let built = Trial::new()
            .lie(Forge::plus(kind, occurrence, 1))
            .build(ranges(7, 9));
        assert_eq!(built.first_broken(), Some(row), "{kind}");
    }
}

#[test]
fn every_cell_of_a_range_is_pinned() {
    let built = Trial::new().chunk_bits(5).build(ranges(0x54321, 77));
    assert!(built.unpinned().is_empty(), "{:?}", built.unpinned());
    assert_eq!(
        built.free().map(|(name, _)| name).collect::<Vec<_>>(),
        ["blinder"]
    );
}

#[test]
fn a_chunk_costs_one_row() {
    let one = Trial::new().build(|g| drop(g.limb("limb", 1_u64, 64)));
    let two = Trial::new().build(|g| {
        let _ = g.limb("limb", 1_u64, 64);
        let _ = g.limb("limb", 1_u128, 80);
    });
    assert_eq!(one.matrices.rows(), 4 + 8 + 256 + 1);
    assert_eq!(two.matrices.rows() - one.matrices.rows(), 10);
}

/// Two tables with the same keys: one of cells in mirrored pairs, one of constants.
fn tables(key: i64) -> impl Fn(&mut Builder) {
    move |g| {
        let cells = g.table("cells", 3);
        for k in [1, 3, 5] {
            let cell =
                |g: &mut Builder, n: i64| Lin::from(g.committed("input", signed(100 * k + n)));
            let even = vec![cell(g, 0), cell(g, 1)];
            let odd = vec![cell(g, 2)];
            g.entry_pair(cells, [k, -k], even, odd);
        }
        let zero = vec![Fr::ZERO.into(), Fr::ONE.into(), Fr::ZERO.into()];
        g.entry(cells, 0, zero);
        let constants = g.table("constants", 3);
        for k in [-5, -3, -1, 0, 1, 3, 5] {
            g.entry_constant(constants, k, &[signed(k), signed(1000 + k), signed(k * k)]);
        }
        for table in [cells, constants] {
            let got = g.select(table, key);
            for (i, value) in got.values.iter().enumerate() {
                let out = g.witness("out", value.value());
                g.equal(format_args!("out[{i}]"), out, *value);
            }
        }
    }
}

fn signed(n: i64) -> Fr {
    if n < 0 {
        -Fr::from(n.unsigned_abs())
    } else {
        Fr::from(n.unsigned_abs())
    }
}

#[test]
fn selects_every_entry() {
    for key in [-5, -3, -1, 0, 1, 3, 5] {
        let built = Trial::new().build(tables(key));
        assert_eq!(built.first_broken(), None);
        let third = if key == 0 {
            Fr::ZERO
        } else {
            signed(100 * key + 2 * key.signum())
        };
        let value = built.column("cells/value[2]").expect("the table was read");
        assert_eq!(
            built.z[value], third,
            "a mirrored entry has its odd values negated"
        );
        let inputs = built.unpinned();
        assert!(inputs.is_empty(), "{inputs:?}");
    }
}

#[test]
fn a_missing_key_is_refused() {
    let built = Trial::new().build(tables(2));
    assert_eq!(built.first_broken(), Some("lookup/sum"));
    assert_eq!(
        built.strays().collect::<Vec<_>>(),
        ["cells/select", "constants/select"]
    );
}

/// Another table has the very key and values, this table has the key with other values.
#[test]
fn a_tuple_of_another_table_is_refused() {
    let mut trial = Trial::new();
    for (i, value) in [3, 1003, 9].into_iter().enumerate() {
        trial = trial.lie(Forge::value("select/value", i, signed(value)));
    }
    let built = trial.build(tables(3));
    assert_eq!(built.strays().collect::<Vec<_>>(), ["cells/select"]);
    assert_eq!(built.broken().collect::<Vec<_>>(), ["lookup/sum"]);
}

#[test]
fn a_forged_key_selects_what_it_names() {
    // A digit that is an honest one elsewhere gives that entry: what refuses it is the caller's
    // row for the digits. A digit that no entry has is refused here.
    let other = Trial::new()
        .lie(Forge::value("select/key", 0, signed(-5)))
        .build(tables(3));
    assert!(other.holds());
    let none = Trial::new()
        .lie(Forge::value("select/key", 0, signed(7)))
        .build(tables(3));
    assert_eq!(none.first_broken(), Some("lookup/sum"));
}

#[test]
fn forged_tuple_hints_are_refused() {
    for (kind, occurrence, row) in [
        ("lookup/multiplicity", 0, "lookup/sum"),
        ("lookup/inverse", 0, "lookup/cells[0]/select[0]/found"),
        ("lookup/share", 8, "lookup/constants[1]/offered[-3]"),
        ("select/value", 1, "lookup/sum"),
    ] {
        let built = Trial::new()
            .lie(Forge::plus(kind, occurrence, 1))
            .build(tables(3));
        let broken: Vec<_> = built.broken().collect();
        assert!(broken.contains(&row), "{kind}: {broken:?}");
    }
    let built = Trial::new().build(tables(1));
    built.assert_hints_tested(&["input", "select/key", "select/value"]);
}

#[test]
fn costs_of_tables() {
    let report = Trial::new().build(tables(1)).report(3);
    // Three pairs of width 3: (2 + 1) products and 2 entries each; one single entry: 3 + 1.
    let cells: usize = report
        .iter()
        .filter(|(k, _)| k.starts_with("lookup/cells"))
        .map(|(_, n)| n)
        .sum();
    assert_eq!(cells, 3 * 5 + 4 + 4, "{report:?}");
    let constants: usize = report
        .iter()
        .filter(|(k, _)| k.starts_with("lookup/constants"))
        .map(|(_, n)| n)
        .sum();
    assert_eq!(constants, 7 + 4);
    assert_eq!(report["lookup/power"], 3);
}

#[test]
fn entries_that_a_prover_could_choose_late_are_noticed() {
    assert!(Trial::new().build(tables(3)).loose_entries().is_empty());
    let built = Trial::new().build(|g| {
        let fixed = g.committed("fixed", Fr::from(3_u64));
        let square = g.product("square", fixed, fixed);
        let fourth = g.product("fourth", square, square);
        let root = g.hint("root", Fr::from(3_u64));
        g.row("root", root, root, square);
        let table = g.table("table", 2);
        g.entry(table, 1, vec![fourth.into(), square + fixed]);
        g.entry(table, 2, vec![root.into(), fixed.into()]);
        let _ = g.select(table, 1);
    });
    assert!(built.holds());
    // The other root of the square satisfies its row as well.
    assert_eq!(built.loose_entries(), ["root"]);
}
