//! Poseidon over the BN254 scalar field: circomlib's instance, which browsers have too.
//!
//! The state is `[0, inputs...]`, the digest is the first element after the permutation. The arity
//! is part of the instance (each width has constants of its own), so inputs of different number
//! never meet; what the inputs *mean* is separated by whoever hashes.
//!
//! Source: eprint 2019/458; the choices of circomlib (x^5, 8 full rounds, zero first element).
//! `poseidon-lite` (npm) and `light-poseidon` (crates.io) agree: tests below.

mod grain;
mod parameters;

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};

pub use parameters::{FULL_ROUNDS, MAX_INPUTS, Parameters, Sparse, SparseRound};

/// Hashes `N` field elements, 1 to 6; other numbers do not compile.
///
/// ```
/// use ark_bn254::Fr;
/// let node = quorate_verifier::poseidon::hash(&[Fr::from(1), Fr::from(2)]);
/// ```
///
/// ```compile_fail
/// let none = quorate_verifier::poseidon::hash(&[]);
/// ```
pub fn hash<const N: usize>(inputs: &[Fr; N]) -> Fr {
    const {
        assert!(
            1 <= N && N <= MAX_INPUTS,
            "Poseidon takes 1 to 6 inputs here"
        )
    };
    let parameters = Parameters::for_inputs(N).expect("the number of inputs was checked");
    // a state one longer than the inputs cannot be written with N: one arm for each width
    match N {
        1 => digest::<2>(parameters, inputs),
        2 => digest::<3>(parameters, inputs),
        3 => digest::<4>(parameters, inputs),
        4 => digest::<5>(parameters, inputs),
        5 => digest::<6>(parameters, inputs),
        _ => digest::<7>(parameters, inputs),
    }
}

fn digest<const W: usize>(parameters: &Parameters, inputs: &[Fr]) -> Fr {
    let mut state = [Fr::ZERO; W];
    state[1..].copy_from_slice(inputs);
    permute(parameters, &mut state);
    state[0]
}

/// The permutation, with sparse partial rounds.
fn permute<const W: usize>(parameters: &Parameters, state: &mut [Fr; W]) {
    let mds = rows::<W>(&parameters.mds);
    let sparse = &parameters.sparse;
    for constants in rows(&sparse.opening) {
        full_round(mds, constants, state);
    }
    for round in &sparse.partial {
        let u = fifth_power(state[0] + round.constant);
        state[0] = u;
        state[0] = Fr::sum_of_products(&rows::<W>(&round.row)[0], state);
        for (x, factor) in state[1..].iter_mut().zip(&round.column) {
            *x += u * factor;
        }
    }
    let tail = *state;
    for (x, row) in state[1..]
        .iter_mut()
        .zip(sparse.tail_mix.chunks_exact(W - 1))
    {
        *x = row.iter().zip(&tail[1..]).map(|(m, x)| *m * x).sum();
    }
    for constants in rows(&sparse.closing) {
        full_round(mds, constants, state);
    }
}

fn full_round<const W: usize>(mds: &[[Fr; W]], constants: &[Fr; W], state: &mut [Fr; W]) {
    for (x, constant) in state.iter_mut().zip(constants) {
        *x = fifth_power(*x + constant);
    }
    let powers = *state;
    for (x, row) in state.iter_mut().zip(mds) {
        *x = Fr::sum_of_products(row, &powers);
    }
}

fn fifth_power(x: Fr) -> Fr {
    x.square().square() * x
}

/// A flat list as rows of `W`.
fn rows<const W: usize>(flat: &[Fr]) -> &[[Fr; W]] {
    let (rows, rest) = flat.as_chunks();
    debug_assert!(rest.is_empty(), "the list is a whole number of rows");
    rows
}

#[cfg(test)]
mod tests;
