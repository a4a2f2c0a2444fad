//! Names of rows and cells by gadget path; kept only when a trace is asked for.

use core::fmt::{Display, Write};

/// What a trace remembers about a circuit.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Path of the scope being built, ending in `/` unless empty.
    path: String,
    /// One name for each row, in order.
    pub(crate) rows: Vec<Box<str>>,
    /// One name for each cell outside the commitment and the statement, in order.
    pub(crate) witness: Vec<Box<str>>,
    /// One name for each cell of 1, statement, commitment and challenges, in order.
    pub(crate) instance: Vec<Box<str>>,
    /// One name for each look-up of a chunk, in order.
    pub(crate) queries: Vec<Box<str>>,
    /// One name for each look-up of a tuple, in order.
    pub(crate) selections: Vec<Box<str>>,
    /// Cells in the entries of tuple tables.
    pub(crate) entries: Vec<ark_relations::gr1cs::Variable>,
    /// Cells that no row needs to pin, with the reason.
    pub(crate) free: Vec<(ark_relations::gr1cs::Variable, &'static str)>,
}

impl Names {
    /// `name` under the present path.
    pub(crate) fn here(&self, name: impl Display) -> Box<str> {
        format!("{}{name}", self.path).into()
    }

    /// The present path, ending in `/` unless empty.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Enters a scope and returns what [`leave`](Self::leave) needs.
    pub(crate) fn enter(&mut self, name: impl Display) -> usize {
        let mark = self.path.len();
        write!(self.path, "{name}/").expect("writing to a string cannot fail");
        mark
    }

    /// Leaves the scope entered at `mark`.
    pub(crate) fn leave(&mut self, mark: usize) {
        self.path.truncate(mark);
    }

    /// Gives rows and cells made by other libraries a name under the present path.
    pub(crate) fn catch_up(&mut self, rows: usize, witness: usize) {
        while self.rows.len() < rows {
            let name = self.here(format_args!("row#{}", self.rows.len()));
            self.rows.push(name);
        }
        while self.witness.len() < witness {
            let name = self.here(format_args!("cell#{}", self.witness.len()));
            self.witness.push(name);
        }
    }
}
