//! Poseidon: the digest of a few field elements, equal to the verifier's.
//!
//! Statement  `digest = Poseidon(inputs)`, circomlib's instance for that many inputs
//! Witness    S-box inputs, their squares and fourth powers, and the last round's fifth powers:
//!            all determined by the rows, no hints
//! Argument   A cell holds the *input* of an S-box, not its output. The output `x^5` is a
//!            combination of the S-box inputs that follow, because everything between two layers of
//!            S-boxes is linear and invertible. So the row `x^4 * x = combination` is the S-box's
//!            third row and its link to the next round at once, both factors are single cells,
//!            and all long combinations stand on the third side, which costs a prover nothing
//! Assumes    Nothing: any field elements are inputs
//! No wrap    Field arithmetic only
//! Cost       `3 (8 w - 1 + partial rounds)` for width w = inputs + 1: 240 rows for two inputs,
//!            261, 297, 321, 354 for three to six. The S-box of the constant first element is free
//! Source     eprint 2019/458 and its appendix B; the native twin is `quorate_verifier::poseidon`

mod schedule;

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};
use quorate_verifier::poseidon::{FULL_ROUNDS, MAX_INPUTS};

use crate::ground::{Builder, Lin, Wire};
use schedule::Schedule;

/// The Poseidon digest of `N` inputs, 1 to 6.
pub fn hash<const N: usize>(g: &mut Builder, inputs: [Lin; N]) -> Wire {
    const {
        assert!(
            1 <= N && N <= MAX_INPUTS,
            "Poseidon takes 1 to 6 inputs here"
        )
    };
    let schedule = Schedule::for_inputs(N);
    g.scope("poseidon", |g| {
        let state = first_round(g, schedule, inputs.into());
        let state = (1..HALF - 1).fold(state, |state, r| full_round(g, schedule, r, state));
        let state = partial_rounds(g, schedule, state);
        let last = FULL_ROUNDS - 1;
        let state = (HALF..last).fold(state, |state, r| full_round(g, schedule, r, state));
        last_round(g, schedule, state)
    })
}

/// An S-box whose output is not yet tied to what follows it.
struct Sbox {
    input: Lin,
    fourth: Wire,
    output: Fr,
}

impl Sbox {
    /// Costs 2 rows.
    fn new(g: &mut Builder, input: Lin) -> Self {
        let square = g.product("square", &input, &input);
        let fourth = g.product("fourth", square, square);
        let output = fourth.value() * input.value();
        Self {
            input,
            fourth,
            output,
        }
    }

    /// The output is `combination`. Costs 1 row.
    fn bind(self, g: &mut Builder, combination: impl FnOnce() -> Lin) {
        g.row_with("fifth", || (self.fourth.into(), self.input, combination()));
    }
}

/// The first round. Its first S-box has a constant input and needs no rows; in return its output
/// is known, which makes the first element of the next round a combination of the others.
fn first_round(g: &mut Builder, schedule: &Schedule, inputs: Vec<Lin>) -> Vec<Lin> {
    let [constants, next] = [0, 1].map(|r| schedule.full_constants(r));
    let known = constants[0].square().square() * constants[0];
    let boxes: Vec<Sbox> = (1..)
        .zip(inputs)
        .map(|(i, x)| g.scope(name(0, i), |g| Sbox::new(g, x + constants[i])))
        .collect();
    let outputs: Vec<Fr> = core::iter::once(known)
        .chain(boxes.iter().map(|b| b.output))
        .collect();
    let mixed = schedule.mix(&outputs, next);
    let cells: Vec<Wire> = (1..)
        .zip(&mixed[1..])
        .map(|(i, x)| g.witness(name(1, i), *x))
        .collect();

    // unmix[0] . (x - next) = known, solved for x[0]
    let [unmix_first, unmix_rest @ ..] = schedule.unmix_row(0) else {
        unreachable!("a width is at least two")
    };
    let scale = unmix_first
        .inverse()
        .expect("the inverse of the mixing matrix has no zero here");
    let mut first = Lin::from(next[0] + known * scale);
    for ((cell, constant), k) in cells.iter().zip(&next[1..]).zip(unmix_rest) {
        first = first.plus(-*k * scale, *cell).plus(*k * scale, *constant);
    }
    let state: Vec<Lin> = core::iter::once(first)
        .chain(cells.iter().map(|cell| (*cell).into()))
        .collect();
    for (i, sbox) in (1..).zip(boxes) {
        g.scope(name(0, i), |g| {
            sbox.bind(g, || schedule.unmix(i, &state, next))
        });
    }
    state
}

/// Full round `r` from its S-box inputs to those of round `r + 1`. Costs 3 rows per element.
fn full_round(g: &mut Builder, schedule: &Schedule, r: usize, state: Vec<Lin>) -> Vec<Lin> {
    let next = schedule.full_constants(r + 1);
    let boxes = sboxes(g, r, state);
    let outputs: Vec<Fr> = boxes.iter().map(|b| b.output).collect();
    let state: Vec<Lin> = (0..)
        .zip(schedule.mix(&outputs, next))
        .map(|(i, x)| g.witness(name(r + 1, i), x).into())
        .collect();
    for (i, sbox) in boxes.into_iter().enumerate() {
        g.scope(name(r, i), |g| {
            sbox.bind(g, || schedule.unmix(i, &state, next))
        });
    }
    state
}

/// The full round before the partial rounds, and those. Every S-box output is a combination of the
/// inputs of later S-boxes, up to those of the full round that follows.
fn partial_rounds(g: &mut Builder, schedule: &Schedule, state: Vec<Lin>) -> Vec<Lin> {
    let sparse = &schedule.parameters.sparse;
    let mut waiting = sboxes(g, HALF - 1, state);
    let outputs: Vec<Fr> = waiting.iter().map(|b| b.output).collect();
    let mut values = schedule.mix(&outputs, &vec![Fr::ZERO; outputs.len()]);

    let mut cells = Vec::with_capacity(sparse.partial.len() + values.len());
    for (i, round) in sparse.partial.iter().enumerate() {
        let cell = g.witness(format_args!("partial[{i}]"), values[0] + round.constant);
        let sbox = g.scope(format_args!("partial[{i}]"), |g| Sbox::new(g, cell.into()));
        values[0] = sbox.output;
        let head = round.row.iter().zip(&values).map(|(k, x)| *k * x).sum();
        for (x, k) in values[1..].iter_mut().zip(&round.column) {
            *x += sbox.output * k;
        }
        values[0] = head;
        cells.push(cell);
        waiting.push(sbox);
    }
    let entry = schedule.after_partial(&values);
    cells.extend((0..).zip(entry).map(|(i, x)| g.witness(name(HALF, i), x)));

    let width = schedule.parameters.width;
    for ((i, sbox), form) in waiting.into_iter().enumerate().zip(&schedule.outputs) {
        let bind = |g: &mut Builder| sbox.bind(g, || form.of(&cells));
        match i.checked_sub(width) {
            None => g.scope(name(HALF - 1, i), bind),
            Some(i) => g.scope(format_args!("partial[{i}]"), bind),
        }
    }
    cells[cells.len() - width..]
        .iter()
        .map(|cell| (*cell).into())
        .collect()
}

/// The last round, of which only the first element is wanted: its cell replaces the first S-box's
/// output.
fn last_round(g: &mut Builder, schedule: &Schedule, state: Vec<Lin>) -> Wire {
    let r = FULL_ROUNDS - 1;
    let row = &schedule.parameters.mds[..state.len()];
    let boxes = sboxes(g, r, state);
    let digest = row.iter().zip(&boxes).map(|(k, b)| *k * b.output).sum();
    let digest = g.witness("digest", digest);
    let mut first = Lin::from(digest);
    let mut boxes = boxes.into_iter().enumerate();
    let head = boxes.next();
    for (i, sbox) in boxes {
        g.scope(name(r, i), |g| {
            let output = g.witness("fifth", sbox.output);
            sbox.bind(g, || output.into());
            if g.is_recording() {
                first = core::mem::take(&mut first).plus(-row[i], output);
            }
        });
    }
    if let Some((i, sbox)) = head {
        let scale = row[0].inverse().expect("a Cauchy matrix has no zero");
        g.scope(name(r, i), |g| sbox.bind(g, || first * scale));
    }
    digest
}

fn sboxes(g: &mut Builder, r: usize, state: Vec<Lin>) -> Vec<Sbox> {
    state
        .into_iter()
        .enumerate()
        .map(|(i, x)| g.scope(name(r, i), |g| Sbox::new(g, x)))
        .collect()
}

/// Name of the S-box of element `i` in full round `r`.
fn name(r: usize, i: usize) -> impl core::fmt::Display {
    struct Name(usize, usize);
    impl core::fmt::Display for Name {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            write!(f, "full[{}][{}]", self.0, self.1)
        }
    }
    Name(r, i)
}

/// Full rounds before, and after, the partial rounds.
const HALF: usize = FULL_ROUNDS / 2;

#[cfg(test)]
mod tests;
