//! The rows of a circuit, exported: three sparse matrices with shared coefficients.

use std::collections::HashMap;

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, BigInteger, Field, PrimeField};
use ark_relations::gr1cs::{ConstraintSystem, R1CS_PREDICATE_LABEL};
use quorate_verifier::message::Tag;
use sha2::{Digest, Sha256};

use super::stages::Layout;

/// The rows `(A z) * (B z) = C z` of a circuit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrices {
    /// First factor.
    pub a: Matrix,
    /// Second factor.
    pub b: Matrix,
    /// Product.
    pub c: Matrix,
    /// Distinct coefficients; the first two are 1 and -1.
    pub coefficients: Vec<Fr>,
    /// What the first columns are.
    pub layout: Layout,
    /// Number of columns.
    pub columns: usize,
}

/// A sparse matrix: entries row by row, each a column and an index into the shared coefficients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matrix {
    /// Where each row's entries end.
    pub ends: Vec<u32>,
    /// Column and coefficient of each entry, columns rising within a row.
    pub entries: Vec<(u32, u32)>,
}

impl Matrix {
    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Entries of row `i`.
    #[must_use]
    pub fn row(&self, i: usize) -> &[(u32, u32)] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.entries[start as usize..self.ends[i] as usize]
    }
}

impl Matrices {
    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.a.rows()
    }

    /// Row `i` of `matrix` times `z`.
    ///
    /// # Panics
    /// If `z` has fewer values than there are columns.
    #[must_use]
    pub fn dot(&self, matrix: &Matrix, i: usize, z: &[Fr]) -> Fr {
        let mut sum = Fr::ZERO;
        for &(column, coefficient) in matrix.row(i) {
            match coefficient {
                ONE => sum += z[column as usize],
                MINUS_ONE => sum -= z[column as usize],
                k => sum += self.coefficients[k as usize] * z[column as usize],
            }
        }
        sum
    }

    /// SHA-256 of layout and rows: the identity of the circuit.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(Tag::CIRCUIT.as_bytes());
        let sizes = [
            self.layout.statement,
            self.layout.committed,
            self.columns,
            self.rows(),
        ];
        for size in sizes {
            hash.update((size as u64).to_le_bytes());
        }
        let bytes: Vec<Vec<u8>> = self
            .coefficients
            .iter()
            .map(|k| k.into_bigint().to_bytes_le())
            .collect();
        for matrix in [&self.a, &self.b, &self.c] {
            for i in 0..matrix.rows() {
                let row = matrix.row(i);
                hash.update((row.len() as u64).to_le_bytes());
                for &(column, coefficient) in row {
                    hash.update(column.to_le_bytes());
                    hash.update(&bytes[coefficient as usize]);
                }
            }
        }
        hash.finalize().into()
    }

    /// Why the commitment would not bind its cells, if so; a name of the broken rule.
    ///
    /// The rows are the whole QAP, so they must keep the columns of the verifier's side apart:
    /// - each value that the verifier supplies (1, statement, challenges) has a row where nothing
    ///   else stands, so that its column depends on no other;
    /// - the blinder stands in such a row only, so that its base is not zero and no row sees it;
    /// - each other committed cell has a side of a row where it is the only committed cell, so
    ///   that no two openings of a commitment give the same rows.
    #[must_use]
    pub fn commitment_fault(&self) -> Option<CommitmentFault> {
        let committed = self.layout.committed_columns();
        let blinder = self.layout.blinder_column();
        let mut alone = vec![false; self.layout.columns()];
        let mut blinder_rows = 0;
        for i in 0..self.rows() {
            let sides = [&self.a, &self.b, &self.c].map(|m| m.row(i));
            if let [[(column, _)], [], []] = sides
                && !committed.contains(&(*column as usize)) | (*column as usize == blinder)
                && let Some(alone) = alone.get_mut(*column as usize)
            {
                *alone = true;
            }
            for side in sides {
                blinder_rows += side.iter().filter(|(c, _)| *c as usize == blinder).count();
                let mut inside = side
                    .iter()
                    .filter(|(c, _)| committed.contains(&(*c as usize)));
                if let (Some((column, _)), None) = (inside.next(), inside.next()) {
                    alone[*column as usize] |= *column as usize != blinder;
                }
            }
        }
        if blinder_rows != 1 {
            return Some(CommitmentFault::Blinder { rows: blinder_rows });
        }
        let column = alone.iter().position(|alone| !alone)?;
        Some(CommitmentFault::Dependent { column })
    }

    /// Reads the rows out of a finalised constraint system.
    pub(crate) fn read(cs: &ConstraintSystem<Fr>, layout: Layout) -> Self {
        let mut pool = Pool::new();
        let sides = cs.predicate_constraint_systems[R1CS_PREDICATE_LABEL].get_constraints();
        let [a, b, c] = [0, 1, 2].map(|side| {
            let mut matrix = Matrix::default();
            for &lc in &sides[side] {
                for &(coefficient, variable) in cs.get_lc(lc).iter() {
                    let column = variable.get_variable_index(cs.num_instance_variables());
                    if let Some(column) = column.filter(|_| coefficient != Fr::ZERO) {
                        matrix
                            .entries
                            .push((narrow(column), pool.index(coefficient)));
                    }
                }
                matrix.ends.push(narrow(matrix.entries.len()));
            }
            matrix
        });
        let columns = cs.num_variables();
        Self {
            a,
            b,
            c,
            coefficients: pool.coefficients,
            layout,
            columns,
        }
    }
}

/// Why a commitment would not bind its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitmentFault {
    /// The blinder must stand in one row, its own.
    #[error("the blinder stands in {rows} rows, not in one of its own")]
    Blinder {
        /// Where it stands.
        rows: usize,
    },
    /// The column's cell can be traded for another's.
    #[error("column {column} has no row that keeps it apart from the other committed columns")]
    Dependent {
        /// The first such column.
        column: usize,
    },
}

/// Distinct coefficients, numbered in order of first use.
struct Pool {
    coefficients: Vec<Fr>,
    index: HashMap<Fr, u32>,
}

impl Pool {
    fn new() -> Self {
        let coefficients = vec![Fr::ONE, -Fr::ONE];
        let index = HashMap::from([(Fr::ONE, ONE), (-Fr::ONE, MINUS_ONE)]);
        Self {
            coefficients,
            index,
        }
    }

    fn index(&mut self, coefficient: Fr) -> u32 {
        *self.index.entry(coefficient).or_insert_with(|| {
            self.coefficients.push(coefficient);
            narrow(self.coefficients.len() - 1)
        })
    }
}

const ONE: u32 = 0;
const MINUS_ONE: u32 = 1;

/// Rows, columns and entries of any circuit that fits the field's FFT are below 2^32.
fn narrow(n: usize) -> u32 {
    u32::try_from(n).expect("a circuit has fewer than 2^32 entries")
}
