//! Round constants and matrices, as the paper states them and in the cheaper equivalent form.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};
use once_cell::race::OnceBox;

use super::grain::Grain;

/// One instance of the permutation: circomlib's, for one width.
///
/// A round adds `width` constants, raises every element (in a full round) or the first one only
/// (in a partial round) to the fifth power, and multiplies by `mds`. Half of the full rounds come
/// before the partial rounds and half after them.
#[derive(Debug)]
#[non_exhaustive]
pub struct Parameters {
    /// Elements of the state: one more than the inputs.
    pub width: usize,
    /// Rounds in which every element goes through the S-box: 8.
    pub full_rounds: usize,
    /// Rounds in which only the first element does; they depend on the width.
    pub partial_rounds: usize,
    /// Round constants, `[round][element]` laid end to end.
    pub constants: Vec<Fr>,
    /// The mixing matrix, `[row][column]` laid end to end: `new[i] = sum of mds[i][j] * old[j]`.
    pub mds: Vec<Fr>,
    /// The same permutation with sparse partial rounds.
    pub sparse: Sparse,
}

/// An equal permutation whose partial rounds cost `2 * width - 1` products, not `width^2`.
///
/// Two facts are used (Poseidon paper, appendix B). An S-box on the first element alone commutes
/// with anything that touches only the others, so (1) constants of the others can wait until the
/// full rounds, and (2) a matrix `M = [[a, v], [w, M^]]` splits into `[[1, 0], [0, M^]]`, which can
/// wait too, times `[[a, v], [M^^-1 w, I]]`, which is sparse. What waited is `tail_mix` at the end.
///
/// The order is: `opening` full rounds with `mds`; `partial` rounds; `tail_mix` applied to all
/// elements but the first; `closing` full rounds with `mds`.
#[derive(Debug)]
#[non_exhaustive]
pub struct Sparse {
    /// Constants of the first half of the full rounds, `[round][element]`.
    pub opening: Vec<Fr>,
    /// The partial rounds, in order.
    pub partial: Vec<SparseRound>,
    /// A square matrix of `width - 1`, `[row][column]`, for all elements but the first.
    pub tail_mix: Vec<Fr>,
    /// Constants of the second half of the full rounds, `[round][element]`.
    pub closing: Vec<Fr>,
}

/// A partial round `u = (x[0] + constant)^5`, `x[0] = row[0] u + sum of row[i] x[i]`,
/// `x[i] += column[i - 1] u` (the old `x[i]` is meant in both).
#[derive(Debug)]
#[non_exhaustive]
pub struct SparseRound {
    /// Added to the first element before the S-box.
    pub constant: Fr,
    /// First row of the sparse matrix: `width` elements.
    pub row: Vec<Fr>,
    /// First column of the sparse matrix below its top: `width - 1` elements.
    pub column: Vec<Fr>,
}

impl Parameters {
    /// The instance for `inputs` inputs, 1 to [`MAX_INPUTS`]; `None` for any other number.
    ///
    /// Drawn from the Grain register on first use and kept: 0.2 ms for one input, 1.3 ms for six.
    pub fn for_inputs(inputs: usize) -> Option<&'static Self> {
        static INSTANCES: [OnceBox<Parameters>; MAX_INPUTS] =
            [const { OnceBox::new() }; MAX_INPUTS];
        let index = inputs.checked_sub(1)?;
        let instance = INSTANCES.get(index)?;
        Some(instance.get_or_init(|| Box::new(Self::generate(inputs + 1, PARTIAL_ROUNDS[index]))))
    }

    /// Draws the constants and derives the sparse form.
    pub(super) fn generate(width: usize, partial_rounds: usize) -> Self {
        let mut grain = Grain::new(width, FULL_ROUNDS, partial_rounds);
        let rounds = FULL_ROUNDS + partial_rounds;
        let constants: Vec<Fr> = (0..rounds * width).map(|_| grain.element()).collect();

        // Cauchy: 1 / (x_i + y_j). The paper draws again should a sum vanish, two of the 2t values
        // be equal or the matrix admit an invariant subspace; a test pins that the first draw
        // of every width here is circomlib's matrix.
        let xy: Vec<Fr> = (0..2 * width).map(|_| grain.reduced_element()).collect();
        let (x, y) = xy.split_at(width);
        let mut mds: Vec<Fr> = x
            .iter()
            .flat_map(|x| y.iter().map(move |y| *x + y))
            .collect();
        ark_ff::batch_inversion(&mut mds);
        assert!(
            mds.iter().all(|entry| *entry != Fr::ZERO),
            "a Cauchy matrix has no zero"
        );

        let sparse = Sparse::derive(width, &constants, &mds);
        Self {
            width,
            full_rounds: FULL_ROUNDS,
            partial_rounds,
            constants,
            mds,
            sparse,
        }
    }
}

impl Sparse {
    fn derive(width: usize, constants: &[Fr], mds: &[Fr]) -> Self {
        let half = FULL_ROUNDS / 2 * width;
        let (opening, rest) = constants.split_at(half);
        let (middle, closing) = rest.split_at(rest.len() - half);
        let (head, tail) = (0, 1..width);

        // (1) what a round would add to the tail goes through its matrix and into the next round
        let mut waiting = vec![Fr::ZERO; width];
        let mut first_constants = Vec::with_capacity(middle.len() / width);
        for round in middle.chunks_exact(width) {
            let sum: Vec<Fr> = round.iter().zip(&waiting).map(|(c, w)| *c + w).collect();
            first_constants.push(sum[head]);
            for (waits, row) in waiting.iter_mut().zip(mds.chunks_exact(width)) {
                *waits = tail.clone().map(|j| row[j] * sum[j]).sum();
            }
        }
        let mut closing = closing.to_vec();
        for (constant, waits) in closing.iter_mut().zip(&waiting) {
            *constant += waits;
        }

        // (2) with M^ the part of M below and right of its first element: before round i, M^^(i-1)
        // waits, so the round's row is v M^^(i-1) and its column M^^-i w
        let inner = Matrix::new(width - 1, |i, j| mds[(i + 1) * width + j + 1]);
        let inverse = inner.inverse();
        let mut row: Vec<Fr> = tail.clone().map(|j| mds[j]).collect();
        let mut column: Vec<Fr> = tail.map(|i| mds[i * width]).collect();
        let mut tail_mix = Matrix::new(width - 1, |i, j| Fr::from(i == j));
        let mut partial = Vec::with_capacity(first_constants.len());
        for constant in first_constants {
            column = inverse.times_column(&column);
            let whole_row = core::iter::once(mds[head])
                .chain(row.iter().copied())
                .collect();
            partial.push(SparseRound {
                constant,
                row: whole_row,
                column: column.clone(),
            });
            row = inner.times_row(&row);
            tail_mix = inner.times(&tail_mix);
        }
        Self {
            opening: opening.to_vec(),
            partial,
            tail_mix: tail_mix.entries,
            closing,
        }
    }
}

/// A square matrix, `[row][column]` laid end to end.
struct Matrix {
    size: usize,
    entries: Vec<Fr>,
}

impl Matrix {
    fn new(size: usize, entry: impl Fn(usize, usize) -> Fr) -> Self {
        let entry = &entry;
        let entries = (0..size)
            .flat_map(|i| (0..size).map(move |j| entry(i, j)))
            .collect();
        Self { size, entries }
    }

    fn at(&self, i: usize, j: usize) -> Fr {
        self.entries[i * self.size + j]
    }

    fn times(&self, other: &Self) -> Self {
        Self::new(self.size, |i, j| {
            (0..self.size).map(|k| self.at(i, k) * other.at(k, j)).sum()
        })
    }

    fn times_column(&self, column: &[Fr]) -> Vec<Fr> {
        (0..self.size)
            .map(|i| (0..self.size).map(|k| self.at(i, k) * column[k]).sum())
            .collect()
    }

    fn times_row(&self, row: &[Fr]) -> Vec<Fr> {
        (0..self.size)
            .map(|j| (0..self.size).map(|k| row[k] * self.at(k, j)).sum())
            .collect()
    }

    /// Gauss-Jordan. Every square part of a Cauchy matrix is invertible.
    fn inverse(&self) -> Self {
        let n = self.size;
        let mut left = self.entries.clone();
        let mut right = Self::new(n, |i, j| Fr::from(i == j)).entries;
        for pivot in 0..n {
            let found = (pivot..n).find(|i| left[i * n + pivot] != Fr::ZERO);
            let found = found.expect("a part of a Cauchy matrix is invertible");
            for j in 0..n {
                left.swap(pivot * n + j, found * n + j);
                right.swap(pivot * n + j, found * n + j);
            }
            let scale = left[pivot * n + pivot]
                .inverse()
                .expect("the pivot is not zero");
            for j in 0..n {
                left[pivot * n + j] *= scale;
                right[pivot * n + j] *= scale;
            }
            for i in (0..n).filter(|i| *i != pivot) {
                let factor = left[i * n + pivot];
                for j in 0..n {
                    let (l, r) = (left[pivot * n + j], right[pivot * n + j]);
                    left[i * n + j] -= factor * l;
                    right[i * n + j] -= factor * r;
                }
            }
        }
        Self {
            size: n,
            entries: right,
        }
    }
}

/// The most inputs that an instance is kept for.
pub const MAX_INPUTS: usize = 6;

/// Rounds with an S-box on every element, in all instances.
pub const FULL_ROUNDS: usize = 8;

/// Partial rounds for 1, 2, ... inputs: circomlib `circuits/poseidon.circom`, which rounds the
/// paper's figures for 128 bits of security up so that they suit the number of S-boxes.
const PARTIAL_ROUNDS: [usize; MAX_INPUTS] = [56, 57, 56, 60, 60, 63];
