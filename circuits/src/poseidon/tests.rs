//! Agreement with the native twin, cost, and what a prover may not do.

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field, PrimeField};
use proptest::prelude::*;
use quorate_verifier::poseidon::{MAX_INPUTS, Parameters};

use super::schedule::{Schedule, inverse};
use super::*;
use crate::testing::{Built, Trial};

/// Hashes `inputs`, cells of their own, and compares with `claimed`.
fn build(inputs: &[Fr], claimed: Fr) -> Built {
    fn of<const N: usize>(g: &mut Builder, inputs: &[Fr]) -> Wire {
        let inputs: Vec<Lin> = (0..).zip(inputs).map(|(i, x)| input(g, i, *x)).collect();
        hash::<N>(g, inputs.try_into().expect("as many as there are"))
    }
    let hashes = [of::<1>, of::<2>, of::<3>, of::<4>, of::<5>, of::<6>];
    let statement = [&[claimed], inputs].concat();
    Trial::new().statement(&statement).build(|g| {
        let digest = hashes[inputs.len() - 1](g, inputs);
        g.equal("claimed", digest, g.statement(0));
    })
}

fn input(g: &mut Builder, i: usize, value: Fr) -> Lin {
    let cell = g.witness(format_args!("input[{i}]"), value);
    g.equal("given", cell, g.statement(1 + i));
    cell.into()
}

fn native(inputs: &[Fr]) -> Fr {
    fn of<const N: usize>(inputs: &[Fr]) -> Fr {
        quorate_verifier::poseidon::hash::<N>(inputs.try_into().expect("as many as there are"))
    }
    [of::<1>, of::<2>, of::<3>, of::<4>, of::<5>, of::<6>][inputs.len() - 1](inputs)
}

fn example(inputs: usize) -> Vec<Fr> {
    (1..=inputs as u64).map(|i| -Fr::from(i * i)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn agrees_with_native(
        seeds in prop::collection::vec(any::<[u8; 32]>(), 1..=MAX_INPUTS),
        off in prop_oneof![Just(0_u64), 1..3_u64],
    ) {
        let inputs: Vec<Fr> = seeds.iter().map(|s| Fr::from_le_bytes_mod_order(s)).collect();
        let built = build(&inputs, native(&inputs) + Fr::from(off));
        prop_assert_eq!(built.first_broken(), (off > 0).then_some("claimed"));
    }
}

#[test]
fn agrees_with_native_on_every_arity_and_on_zeros() {
    for inputs in 1..=MAX_INPUTS {
        for inputs in [example(inputs), vec![Fr::ZERO; inputs]] {
            assert_eq!(build(&inputs, native(&inputs)).first_broken(), None);
        }
    }
}

/// Rows, and entries of the three matrices. All but a few rows have one cell in either factor.
#[test]
fn cost() {
    let expected = [
        (213, [215, 217, 2003]),
        (240, [244, 248, 2238]),
        (261, [267, 273, 2357]),
        (297, [305, 313, 2837]),
        (321, [331, 341, 3057]),
        (354, [366, 378, 3525]),
    ];
    for (inputs, expected) in (1..).zip(expected) {
        let built = build(&example(inputs), Fr::ZERO);
        let p = Parameters::for_inputs(inputs).expect("in range");
        let rows = built.rows_under("poseidon/");
        assert_eq!(rows, 3 * (8 * p.width - 1 + p.partial_rounds));
        let range = built
            .row_names()
            .position(|n| n.starts_with("poseidon/"))
            .expect("present");
        let m = &built.matrices;
        let entries = [&m.a, &m.b, &m.c].map(|matrix| {
            (range..range + rows)
                .map(|i| matrix.row(i).len())
                .sum::<usize>()
        });
        assert_eq!((rows, entries), expected, "{inputs} inputs");
    }
}

#[test]
fn every_cell_is_pinned() {
    for inputs in [1, 2, 4, 6] {
        let inputs = example(inputs);
        let built = build(&inputs, native(&inputs));
        assert!(built.unpinned().is_empty(), "{:?}", built.unpinned());
        assert!(built.hints().is_empty(), "there is nothing to advise");
    }
}

/// A column rebuilt honestly from other inputs is refused where the inputs come in, and with the
/// inputs changed too, where the digest goes out.
#[test]
fn cells_of_another_input_are_refused() {
    let (mine, other) = (example(2), vec![Fr::from(3_u64), Fr::from(4_u64)]);
    let honest = build(&mine, native(&mine));
    let mut lie = build(&mine, native(&mine));
    let theirs = build(&other, native(&other));
    for i in honest.advised_columns() {
        if honest.name(i).starts_with("poseidon/") {
            lie.z[i] = theirs.z[i];
        }
    }
    assert_eq!(lie.first_broken(), Some("poseidon/full[0][1]/square"));

    let mut lie = build(&mine, native(&mine));
    for i in honest.advised_columns() {
        lie.z[i] = theirs.z[i];
    }
    assert_eq!(
        lie.broken().collect::<Vec<_>>(),
        ["given", "given", "claimed"]
    );
}

/// One S-box's output is wrong and everything after it follows honestly: the row that ties that
/// output to the later inputs refuses, and no other.
#[test]
fn a_wrong_sbox_is_refused_by_its_own_row() {
    let inputs = example(2);
    let digest = native(&inputs);
    let p = Parameters::for_inputs(2).expect("in range");
    for (round, element) in [
        (0, 1),
        (2, 0),
        (3, 2),
        (4, 0),
        (30, 0),
        (60, 0),
        (61, 2),
        (64, 0),
        (64, 2),
    ] {
        let mut lie = build(&inputs, digest);
        let cells = trace(p, &inputs, Some((round, element)));
        for i in lie.advised_columns() {
            if let Some(value) = cells.get(lie.name(i)) {
                lie.z[i] = *value;
            }
        }
        lie.z[1] = cells["poseidon/digest"]; // the claim
        let full = |r: usize| format!("poseidon/full[{r}][{element}]/fifth");
        let refusing = match round {
            0..4 => full(round),
            61.. => full(round - 57),
            _ => format!("poseidon/partial[{}]/fifth", round - 4),
        };
        assert_eq!(lie.broken().collect::<Vec<_>>(), [refusing]);
    }
}

/// Names and values of the gadget's cells, computed round by round from the paper's form in terms
/// of the sparse one's constants, with one S-box output too large by one.
fn trace(
    p: &Parameters,
    inputs: &[Fr],
    wrong: Option<(usize, usize)>,
) -> std::collections::BTreeMap<String, Fr> {
    let mut cells = std::collections::BTreeMap::new();
    let mut state = vec![Fr::ZERO];
    state.extend(inputs);
    let width = p.width;
    let sbox =
        |cells: &mut std::collections::BTreeMap<String, Fr>, name: String, round, i, x: Fr| {
            let output = x.pow([5]) + Fr::from(wrong == Some((round, i)));
            cells.insert(format!("{name}/square"), x.square());
            cells.insert(format!("{name}/fourth"), x.pow([4]));
            cells.insert(format!("{name}/fifth"), output);
            cells.insert(name, x);
            output
        };
    let mix = |state: &[Fr]| -> Vec<Fr> {
        let row = |row: &[Fr]| row.iter().zip(state).map(|(k, x)| *k * x).sum();
        p.mds.chunks(width).map(row).collect()
    };
    let full = |cells: &mut _, state: &[Fr], constants: &[Fr], r: usize, round: usize| {
        let outputs: Vec<Fr> = (0..width)
            .map(|i| {
                sbox(
                    cells,
                    format!("poseidon/full[{r}][{i}]"),
                    round,
                    i,
                    state[i] + constants[i],
                )
            })
            .collect();
        mix(&outputs)
    };
    for (r, constants) in p.sparse.opening.chunks(width).enumerate() {
        state = full(&mut cells, &state, constants, r, r);
    }
    for (i, round) in p.sparse.partial.iter().enumerate() {
        let x = state[0] + round.constant;
        let u = sbox(&mut cells, format!("poseidon/partial[{i}]"), 4 + i, 0, x);
        state[0] = u;
        let head = round.row.iter().zip(&state).map(|(k, x)| *k * x).sum();
        for (x, k) in state[1..].iter_mut().zip(&round.column) {
            *x += u * k;
        }
        state[0] = head;
    }
    let tail = state.clone();
    for (x, row) in state[1..]
        .iter_mut()
        .zip(p.sparse.tail_mix.chunks(width - 1))
    {
        *x = row.iter().zip(&tail[1..]).map(|(k, x)| *k * x).sum();
    }
    for (r, constants) in p.sparse.closing.chunks(width).enumerate() {
        state = full(
            &mut cells,
            &state,
            constants,
            4 + r,
            4 + p.partial_rounds + r,
        );
    }
    cells.insert("poseidon/digest".into(), state[0]);
    cells
}

/// The rows fix every cell in turn: inverting the forms, an S-box's input depends on outputs of
/// earlier S-boxes only. With a form that could be solved otherwise, a prover would choose.
#[test]
fn each_input_follows_from_earlier_outputs() {
    for inputs in 1..=MAX_INPUTS {
        let schedule = Schedule::for_inputs(inputs);
        let (size, width) = (schedule.outputs.len(), inputs + 1);
        let forms: Vec<Fr> = schedule
            .outputs
            .iter()
            .flat_map(|form| form.coefficients.clone())
            .collect();
        assert_eq!(forms.len(), size * size, "as many outputs as cells");
        let solved = inverse(&forms, size);
        for (cell, row) in solved.chunks(size).enumerate() {
            // the cell is the input of partial round `cell`, or of the full round after them
            let earlier = width + cell.min(size - width);
            assert!(row[earlier..].iter().all(|k| *k == Fr::ZERO), "cell {cell}");
        }
    }
}

#[test]
fn the_shape_does_not_depend_on_the_inputs() {
    let shape = build(&example(3), Fr::ZERO).matrices.digest();
    for inputs in [[Fr::ZERO; 3], [Fr::ONE; 3]] {
        assert!(build(&inputs, Fr::ZERO).matrices.digest() == shape);
    }
}
