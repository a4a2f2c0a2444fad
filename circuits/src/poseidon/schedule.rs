//! S-box outputs as combinations of later S-box inputs: a property of the instance, made once.

use std::sync::LazyLock;

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};
use quorate_verifier::poseidon::{MAX_INPUTS, Parameters};

use super::HALF;
use crate::ground::{Lin, Wire};

/// What the gadget needs beside the parameters.
pub(super) struct Schedule {
    pub(super) parameters: &'static Parameters,
    /// Inverse of the mixing matrix, `[row][column]`.
    unmix: Vec<Fr>,
    /// The outputs of the S-boxes of the last full round before the partial rounds, then of the
    /// partial rounds' own, over the inputs of the latter followed by those of the next full round.
    pub(super) outputs: Vec<Form>,
}

/// `constant + sum of coefficients[i] * cells[i]` for cells given later.
#[derive(Clone)]
pub(super) struct Form {
    pub(super) constant: Fr,
    pub(super) coefficients: Vec<Fr>,
}

impl Schedule {
    /// The schedule for `inputs` inputs.
    ///
    /// # Panics
    /// Unless there are 1 to 6 of them.
    pub(super) fn for_inputs(inputs: usize) -> &'static Self {
        static ALL: [LazyLock<Schedule>; MAX_INPUTS] = [
            LazyLock::new(|| Schedule::derive(1)),
            LazyLock::new(|| Schedule::derive(2)),
            LazyLock::new(|| Schedule::derive(3)),
            LazyLock::new(|| Schedule::derive(4)),
            LazyLock::new(|| Schedule::derive(5)),
            LazyLock::new(|| Schedule::derive(6)),
        ];
        &ALL[inputs - 1]
    }

    fn derive(inputs: usize) -> Self {
        let parameters = Parameters::for_inputs(inputs).expect("the number of inputs is in range");
        let width = parameters.width;
        let sparse = &parameters.sparse;
        let rounds = sparse.partial.len();
        let unmix = inverse(&parameters.mds, width);
        let cells = rounds + width;
        let entry = &sparse.closing[..width];

        // Backwards from the full round after the partial ones, whose S-box inputs are cells: each
        // round's output, then the elements beside the first before that round.
        let untail = inverse(&sparse.tail_mix, width - 1);
        let entered: Vec<Form> = (1..width)
            .map(|i| Form::cell(cells, rounds + i).plus_constant(-entry[i]))
            .collect();
        let mut tail: Vec<Form> = untail
            .chunks_exact(width - 1)
            .map(|row| Form::sum(row, &entered))
            .collect();
        let mut outputs = Vec::with_capacity(cells);
        let mut next_constant = entry[0];
        for (i, round) in sparse.partial.iter().enumerate().rev() {
            // head = row[0] u + row[1..] . (tail - column u), solved for u; the divisor is the
            // quotient of two determinants of Cauchy matrices, not zero
            let column = round.row[1..]
                .iter()
                .zip(&round.column)
                .map(|(r, c)| *r * c)
                .sum::<Fr>();
            let scale = (round.row[0] - column)
                .inverse()
                .expect("the matrix is invertible");
            let mut output = Form::cell(cells, i + 1).plus_constant(-next_constant);
            for (k, x) in round.row[1..].iter().zip(&tail) {
                output.add_scaled(-*k, x);
            }
            output.scale(scale);
            for (x, k) in tail.iter_mut().zip(&round.column) {
                x.add_scaled(-*k, &output);
            }
            outputs.push(output);
            next_constant = round.constant;
        }
        let mut mixed = vec![Form::cell(cells, 0).plus_constant(-next_constant)];
        mixed.append(&mut tail);
        let before = unmix.chunks_exact(width).map(|row| Form::sum(row, &mixed));
        let outputs = before.chain(outputs.into_iter().rev()).collect();
        Self {
            parameters,
            unmix,
            outputs,
        }
    }

    /// Constants added before the S-boxes of full round `r` of 8.
    pub(super) fn full_constants(&self, r: usize) -> &[Fr] {
        let (sparse, width) = (&self.parameters.sparse, self.parameters.width);
        let (list, r) = if r < HALF {
            (&sparse.opening, r)
        } else {
            (&sparse.closing, r - HALF)
        };
        &list[r * width..(r + 1) * width]
    }

    /// The mixing matrix times `outputs`, plus `constants`.
    pub(super) fn mix(&self, outputs: &[Fr], constants: &[Fr]) -> Vec<Fr> {
        let rows = self.parameters.mds.chunks_exact(self.parameters.width);
        rows.zip(constants)
            .map(|(row, constant)| dot(row, outputs) + constant)
            .collect()
    }

    /// S-box inputs of the full round after the partial rounds, whose state is `values`.
    pub(super) fn after_partial(&self, values: &[Fr]) -> Vec<Fr> {
        let constants = self.full_constants(HALF);
        let rows = self
            .parameters
            .sparse
            .tail_mix
            .chunks_exact(self.parameters.width - 1);
        let tail = rows
            .zip(&constants[1..])
            .map(|(row, c)| dot(row, &values[1..]) + c);
        core::iter::once(values[0] + constants[0])
            .chain(tail)
            .collect()
    }

    /// Row `i` of the inverse of the mixing matrix.
    pub(super) fn unmix_row(&self, i: usize) -> &[Fr] {
        let width = self.parameters.width;
        &self.unmix[i * width..(i + 1) * width]
    }

    /// Output of S-box `i` of a full round, from the next round's inputs and constants.
    pub(super) fn unmix(&self, i: usize, next: &[Lin], constants: &[Fr]) -> Lin {
        let row = self.unmix_row(i);
        let constant = -dot(row, constants);
        row.iter()
            .zip(next)
            .fold(constant.into(), |sum: Lin, (k, x)| sum.plus(*k, x))
    }
}

impl Form {
    /// Cell `i` of `cells`.
    fn cell(cells: usize, i: usize) -> Self {
        let mut coefficients = vec![Fr::ZERO; cells];
        coefficients[i] = Fr::ONE;
        Self {
            constant: Fr::ZERO,
            coefficients,
        }
    }

    fn plus_constant(mut self, constant: Fr) -> Self {
        self.constant += constant;
        self
    }

    fn scale(&mut self, k: Fr) {
        self.constant *= k;
        for coefficient in &mut self.coefficients {
            *coefficient *= k;
        }
    }

    fn add_scaled(&mut self, k: Fr, other: &Self) {
        self.constant += k * other.constant;
        for (own, theirs) in self.coefficients.iter_mut().zip(&other.coefficients) {
            *own += k * theirs;
        }
    }

    /// `sum of factors[i] * forms[i]`.
    fn sum(factors: &[Fr], forms: &[Self]) -> Self {
        let mut sum = Self {
            constant: Fr::ZERO,
            coefficients: Vec::new(),
        };
        sum.coefficients
            .resize(forms[0].coefficients.len(), Fr::ZERO);
        for (k, form) in factors.iter().zip(forms) {
            sum.add_scaled(*k, form);
        }
        sum
    }

    /// The combination of these cells.
    pub(super) fn of(&self, cells: &[Wire]) -> Lin {
        let terms = self
            .coefficients
            .iter()
            .zip(cells)
            .filter(|(k, _)| **k != Fr::ZERO);
        terms.fold(self.constant.into(), |sum: Lin, (k, cell)| {
            sum.plus(*k, *cell)
        })
    }
}

fn dot(a: &[Fr], b: &[Fr]) -> Fr {
    a.iter().zip(b).map(|(a, b)| *a * b).sum()
}

/// Inverse of a square matrix, by Gauss-Jordan.
///
/// # Panics
/// If there is none; those of the mixing matrices here exist, being Cauchy.
pub(super) fn inverse(matrix: &[Fr], size: usize) -> Vec<Fr> {
    let mut rows: Vec<Vec<Fr>> = matrix.chunks_exact(size).map(<[Fr]>::to_vec).collect();
    for (i, row) in rows.iter_mut().enumerate() {
        row.extend((0..size).map(|j| Fr::from(i == j)));
    }
    for pivot in 0..size {
        let found = (pivot..size).find(|i| rows[*i][pivot] != Fr::ZERO);
        rows.swap(pivot, found.expect("the matrix is invertible"));
        let scale = rows[pivot][pivot].inverse().expect("the pivot is not zero");
        for entry in &mut rows[pivot] {
            *entry *= scale;
        }
        let scaled = rows[pivot].clone();
        for (i, row) in rows.iter_mut().enumerate() {
            let factor = row[pivot];
            if i != pivot && factor != Fr::ZERO {
                for (entry, pivot) in row.iter_mut().zip(&scaled) {
                    *entry -= factor * pivot;
                }
            }
        }
    }
    rows.iter().flat_map(|row| &row[size..]).copied().collect()
}
