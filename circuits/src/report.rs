//! What a circuit costs, gadget by gadget: read from the names of its rows.

use std::collections::BTreeMap;

use crate::ground::{Builder, Challenges, Circuit, Matrices};
use ark_bn254::Fr;
use ark_ff::Field;

/// The rows of a circuit with the names of rows and columns.
#[derive(Debug)]
pub struct Listing {
    /// The rows.
    pub matrices: Matrices,
    /// One name for each row, in order.
    pub rows: Vec<Box<str>>,
    /// One name for each column, in order.
    pub columns: Vec<Box<str>>,
}

impl Listing {
    /// Builds the circuit once, with names.
    pub fn of(circuit: &impl Circuit) -> Self {
        let mut g = Builder::traced(circuit.chunk_bits(), &circuit.statement(), Vec::new());
        circuit.build(&mut g);
        let challenges = Challenges {
            tuple: Fr::ONE,
            sum: Fr::ONE,
        };
        let mut synthesis = g.commit(|_, _| Fr::ONE).respond(challenges);
        let matrices = synthesis.matrices();
        let names = synthesis.names.take().expect("a traced build has names");
        Self {
            matrices,
            rows: names.rows,
            columns: names.instance.into_iter().chain(names.witness).collect(),
        }
    }

    /// Rows by gadget: the first `depth` parts of their path, numbers in brackets left out.
    #[must_use]
    pub fn gadgets(&self, depth: usize) -> BTreeMap<String, usize> {
        let mut gadgets = BTreeMap::new();
        for name in &self.rows {
            *gadgets.entry(gadget(name, depth)).or_default() += 1;
        }
        gadgets
    }

    /// Rows that only keep apart the columns of what the verifier supplies.
    #[must_use]
    pub fn instance_rows(&self) -> usize {
        let layout = self.matrices.layout;
        let supplied = |column: usize| {
            column < layout.columns()
                && (!layout.committed_columns().contains(&column)
                    || column == layout.blinder_column())
        };
        (0..self.matrices.rows())
            .filter(|i| {
                let [a, b, c] = [&self.matrices.a, &self.matrices.b, &self.matrices.c]
                    .map(|matrix| matrix.row(*i));
                matches!((a, b, c), ([(column, _)], [], []) if supplied(*column as usize))
            })
            .count()
    }
}

/// `slot[3]/sha512/block[0]/xor` is the gadget `slot/sha512` at depth 2.
fn gadget(row: &str, depth: usize) -> String {
    let mut path = String::new();
    for part in row.split('/').take(depth) {
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(part.split('[').next().unwrap_or(part));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::circom::tests::Example;

    #[test]
    fn every_row_belongs_to_one_gadget() {
        let listing = Listing::of(&Example);
        assert_eq!(listing.rows.len(), listing.matrices.rows());
        assert_eq!(listing.columns.len(), listing.matrices.columns);
        assert_eq!(listing.matrices, Example.record());
        for depth in 1..4 {
            let sum: usize = listing.gadgets(depth).values().sum();
            assert_eq!(sum, listing.matrices.rows());
        }
        assert_eq!(listing.gadgets(1)["squares"], 3);
        // 1, two values of the statement, the blinder, two challenges
        assert_eq!(listing.instance_rows(), 6);
    }

    #[test]
    fn numbers_are_left_out_of_gadgets() {
        assert_eq!(gadget("slot[3]/sha512/block[0]/xor", 2), "slot/sha512");
        assert_eq!(gadget("one", 2), "one");
    }
}
