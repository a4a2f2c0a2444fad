//! A test kit for gadgets: build them honestly or with a lie, then ask the exported rows.
//!
//! Rows are evaluated from the exported [`Matrices`], never by the constraint system, which may
//! reuse cached sums.

mod judge;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, BigInteger, Field, PrimeField};
use sha2::{Digest, Sha256};

use crate::ground::{Builder, Challenges, Circuit, Matrices, Run, Synthesis};

pub use judge::Verdict;
pub use sweep::{
    ACCEPTED, Found, LOOKUP_HINTS, Sweep, assert_found, on_all_cores, without_numbers,
};

/// One lie: the n-th hint of a kind is given another value, and all that follows is computed
/// honestly from it.
#[derive(Clone, Copy, Debug)]
pub struct Forge {
    kind: &'static str,
    occurrence: usize,
    lie: Lie,
}

#[derive(Clone, Copy, Debug)]
enum Lie {
    Value(Fr),
    Plus(Fr),
}

impl Forge {
    /// The `occurrence`-th hint of this kind (from 0) is given `value`.
    #[must_use]
    pub fn value(kind: &'static str, occurrence: usize, value: impl Into<Fr>) -> Self {
        Self {
            kind,
            occurrence,
            lie: Lie::Value(value.into()),
        }
    }

    /// The `occurrence`-th hint of this kind (from 0) is given its honest value plus `delta`.
    #[must_use]
    pub fn plus(kind: &'static str, occurrence: usize, delta: impl Into<Fr>) -> Self {
        Self {
            kind,
            occurrence,
            lie: Lie::Plus(delta.into()),
        }
    }
}

/// A hint that was given: where, and what an honest prover says.
#[derive(Clone, Debug)]
pub struct Hint {
    /// The path at which it was asked for, ending in `/` unless empty.
    pub scope: Box<str>,
    /// What was advised.
    pub value: Fr,
}

/// A look-up of something that its table does not have, by its number among those of its sort.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stray {
    /// In the chunk table.
    Chunk(usize),
    /// In a table of tuples.
    Tuple(usize),
}

/// Lies to tell during a build, and what is learnt from it.
#[derive(Debug)]
pub(crate) struct Attack {
    lies: Vec<(Forge, bool)>,
    met: BTreeMap<&'static str, usize>,
    /// All hints, kept in a traced build only.
    hints: BTreeMap<&'static str, Vec<Hint>>,
    pub(crate) strays: Vec<Stray>,
}

impl Attack {
    pub(crate) fn new(lies: Vec<Forge>) -> Self {
        Self {
            lies: lies.into_iter().map(|lie| (lie, false)).collect(),
            met: BTreeMap::new(),
            hints: BTreeMap::new(),
            strays: Vec::new(),
        }
    }

    /// The value that this attack gives to a hint.
    pub(crate) fn believe(&mut self, kind: &'static str, honest: Fr, path: Option<&str>) -> Fr {
        let met = self.met.entry(kind).or_default();
        let occurrence = *met;
        *met += 1;
        let mut value = honest;
        for (forge, told) in &mut self.lies {
            if forge.occurrence == occurrence && forge.kind == kind {
                *told = true;
                value = match forge.lie {
                    Lie::Value(lie) => lie,
                    Lie::Plus(delta) => honest + delta,
                };
            }
        }
        if let Some(path) = path {
            let scope = path.into();
            self.hints
                .entry(kind)
                .or_default()
                .push(Hint { scope, value });
        }
        value
    }

    /// # Panics
    /// If a lie was never told, because there is no such hint.
    fn assert_told(&self) {
        for (forge, told) in &self.lies {
            let Forge {
                kind, occurrence, ..
            } = forge;
            assert!(told, "there is no hint {kind} number {occurrence}");
        }
    }
}

/// How to build a gadget under test.
#[derive(Clone, Debug)]
#[must_use]
pub struct Trial {
    chunk_bits: u32,
    statement: Vec<Fr>,
    lies: Vec<Forge>,
}

impl Default for Trial {
    fn default() -> Self {
        Self::new()
    }
}

impl Trial {
    /// Honest, without statement, with chunks of 8 bits (a small table keeps tests fast).
    pub fn new() -> Self {
        Self {
            chunk_bits: 8,
            statement: Vec::new(),
            lies: Vec::new(),
        }
    }

    /// Uses chunks of this width.
    pub fn chunk_bits(mut self, bits: u32) -> Self {
        self.chunk_bits = bits;
        self
    }

    /// Gives the circuit a statement.
    pub fn statement(mut self, statement: &[Fr]) -> Self {
        self.statement = statement.to_vec();
        self
    }

    /// Tells one more lie.
    pub fn lie(mut self, lie: Forge) -> Self {
        self.lies.push(lie);
        self
    }

    /// Builds a whole circuit.
    pub fn build_circuit(mut self, circuit: &impl Circuit) -> Built {
        self.chunk_bits = circuit.chunk_bits();
        self.statement = circuit.statement();
        self.build(|g| circuit.build(g))
    }

    /// Builds a gadget, through both stages. An honest build is repeated as a proving run, which
    /// must give the same assignment.
    ///
    /// # Panics
    /// If a lie was never told because there is no such hint, or if a proving run differs.
    pub fn build(self, build: impl Fn(&mut Builder)) -> Built {
        let honest = self.lies.is_empty();
        let mut g = Builder::traced(self.chunk_bits, &self.statement, self.lies);
        build(&mut g);
        let mut synthesis = finish(g, &self.statement);
        let matrices = synthesis.matrices();
        let names = synthesis.names.take().expect("a traced build has names");
        let attack = synthesis
            .attack
            .take()
            .expect("a traced build keeps its hints");
        let z = synthesis.into_assignment();
        attack.assert_told();
        if honest {
            let mut g = Builder::new(Run::Proving, self.chunk_bits, &self.statement);
            build(&mut g);
            assert!(
                finish(g, &self.statement).into_assignment() == z,
                "a proving run fills the cells that a recording run fills"
            );
        }
        let columns = names.instance.len();
        let free = names
            .free
            .iter()
            .filter_map(|(v, why)| Some((v.get_variable_index(columns)?, *why)));
        let entries = names
            .entries
            .iter()
            .filter_map(|v| v.get_variable_index(columns));
        let mut built = Built {
            chunk_bits: self.chunk_bits,
            statement: self.statement,
            free: free.collect(),
            entries: entries.collect(),
            names: names.instance.into_iter().chain(names.witness).collect(),
            rows: names.rows,
            chunks: names.queries,
            tuples: names.selections,
            strays: Vec::new(),
            hints: attack.hints,
            matrices,
            z,
            index: OnceLock::new(),
        };
        built.strays = built.stray_names(&attack.strays).map(Box::from).collect();
        built
    }
}

/// Both stages of a build, with challenges that depend on everything committed.
fn finish(g: Builder, statement: &[Fr]) -> Synthesis {
    let stage = g.commit(|_, _| blinder());
    let challenges = challenges(statement, &stage.values());
    stage.respond(challenges)
}

/// A gadget that was built: rows, assignment, names.
#[derive(Debug)]
pub struct Built {
    /// The exported rows.
    pub matrices: Matrices,
    /// The value of every column.
    pub z: Vec<Fr>,
    chunk_bits: u32,
    statement: Vec<Fr>,
    names: Vec<Box<str>>,
    rows: Vec<Box<str>>,
    /// Names of all look-ups, of chunks and of tuples.
    chunks: Vec<Box<str>>,
    tuples: Vec<Box<str>>,
    strays: Vec<Box<str>>,
    hints: BTreeMap<&'static str, Vec<Hint>>,
    free: BTreeMap<usize, &'static str>,
    entries: BTreeSet<usize>,
    index: OnceLock<Index>,
}

/// Rows by column, and the three sides of each row at the assignment.
#[derive(Debug)]
struct Index {
    sides: Vec<[Fr; 3]>,
    /// For each column: row, side, coefficient.
    columns: Vec<Vec<(u32, u8, Fr)>>,
}

impl Built {
    /// A trial with the same chunks and statement, honest so far.
    pub fn trial(&self) -> Trial {
        Trial::new()
            .chunk_bits(self.chunk_bits)
            .statement(&self.statement)
    }

    /// Whether every row holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.first_broken().is_none()
    }

    /// Name of the first row that does not hold.
    #[must_use]
    pub fn first_broken(&self) -> Option<&str> {
        self.broken().next()
    }

    /// Names of all rows that do not hold.
    pub fn broken(&self) -> impl Iterator<Item = &str> {
        self.broken_at(&self.z)
    }

    /// Names of all rows that do not hold for this assignment.
    fn broken_at<'a>(&'a self, z: &'a [Fr]) -> impl Iterator<Item = &'a str> {
        let m = &self.matrices;
        let holds = move |i| {
            let [a, b, c] = [&m.a, &m.b, &m.c].map(|side| m.dot(side, i, z));
            a * b == c
        };
        let rows = self.rows.iter().enumerate();
        rows.filter(move |(i, _)| !holds(*i))
            .map(|(_, name)| &**name)
    }

    fn stray_names<'a>(&'a self, strays: &'a [Stray]) -> impl Iterator<Item = &'a str> {
        strays.iter().map(|stray| match stray {
            Stray::Chunk(i) => &*self.chunks[*i],
            Stray::Tuple(i) => &*self.tuples[*i],
        })
    }

    /// Whether the rows that read column `i` hold with `lie` in its place, [`z`](Self::z) as it
    /// was when this was first asked.
    ///
    /// # Panics
    /// If there is no such column.
    #[must_use]
    pub fn holds_with(&self, i: usize, lie: Fr) -> bool {
        self.first_broken_with(i, lie).is_none()
    }

    /// Name of the first row that reads column `i` and refuses `lie` in its place; see
    /// [`holds_with`](Self::holds_with).
    ///
    /// # Panics
    /// If there is no such column.
    #[must_use]
    pub fn first_broken_with(&self, i: usize, lie: Fr) -> Option<&str> {
        let index = self.index();
        let delta = lie - self.z[i];
        let mut entries = index.columns[i].iter().peekable();
        while let Some(&&(row, ..)) = entries.peek() {
            let mut sides = index.sides[row as usize];
            while let Some((_, side, k)) = entries.next_if(|(r, ..)| *r == row) {
                sides[usize::from(*side)] += delta * k;
            }
            let [a, b, c] = sides;
            if a * b != c {
                return Some(&self.rows[row as usize]);
            }
        }
        None
    }

    /// Look-ups of values that their table does not have: what `lookup/sum`, one row for all
    /// look-ups, refuses when it refuses.
    pub fn strays(&self) -> impl Iterator<Item = &str> {
        self.strays.iter().map(|name| &**name)
    }

    /// Columns a prover fills as it likes: the committed cells and the witness.
    pub fn advised_columns(&self) -> impl Iterator<Item = usize> + use<> {
        let layout = self.matrices.layout;
        layout
            .committed_columns()
            .chain(layout.columns()..self.matrices.columns)
    }

    /// Name of the cell in column `i`.
    ///
    /// # Panics
    /// If there is no such column.
    #[must_use]
    pub fn name(&self, i: usize) -> &str {
        &self.names[i]
    }

    /// Column of the first cell of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| **n == *name)
    }

    /// Names of the cells that can take another value (one more, negated, zero, one, minus one) with
    /// every row that reads them holding, those declared free apart. Empty for a sound gadget whose inputs are pinned.
    #[must_use]
    pub fn unpinned(&self) -> Vec<&str> {
        self.advised_columns()
            .filter(|i| !self.free.contains_key(i))
            .filter(|&i| {
                let z = self.z[i];
                let lies = [z + Fr::ONE, -z, Fr::ZERO, Fr::ONE, -Fr::ONE];
                lies.into_iter()
                    .any(|lie| lie != z && self.holds_with(i, lie))
            })
            .map(|i| self.name(i))
            .collect()
    }

    /// Cells in the entries of tuple tables that do not follow from statement and committed cells
    /// by rows without a challenge. A prover could choose such a cell after the challenges are
    /// known, so a whole circuit has none; a gadget under test may, if its inputs are witnesses.
    ///
    /// A row makes a cell follow if all else in it follows and the cell stands in its product.
    #[must_use]
    pub fn loose_entries(&self) -> Vec<&str> {
        let layout = self.matrices.layout;
        let mut known = vec![false; self.matrices.columns];
        let mut unknown: Vec<[usize; 2]> = (0..self.matrices.rows())
            .map(|i| {
                let [a, b, c] =
                    [&self.matrices.a, &self.matrices.b, &self.matrices.c].map(|m| m.row(i).len());
                [a + b, c]
            })
            .collect();
        let mut fresh: Vec<usize> = (0..layout.committed_columns().end).collect();
        while let Some(column) = fresh.pop() {
            if core::mem::replace(&mut known[column], true) {
                continue;
            }
            for &(row, side, _) in &self.index().columns[column] {
                let left = &mut unknown[row as usize];
                left[usize::from(side / 2)] -= 1;
                if *left == [0, 1] {
                    let row = self.matrices.c.row(row as usize);
                    fresh.extend(row.iter().map(|(c, _)| *c as usize).filter(|c| !known[*c]));
                }
            }
        }
        let loose = self.entries.iter().filter(|column| !known[**column]);
        loose.map(|column| self.name(*column)).collect()
    }

    /// Cells declared free, with the reason.
    pub fn free(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.free.iter().map(|(i, why)| (self.name(*i), *why))
    }

    /// The hints met, by kind, in the order in which they were asked for.
    #[must_use]
    pub fn hints(&self) -> &BTreeMap<&'static str, Vec<Hint>> {
        &self.hints
    }

    /// Rows by gadget: each path, cut after `depth` names and with indices left out, and how many
    /// rows stand under it.
    #[must_use]
    pub fn report(&self, depth: usize) -> BTreeMap<String, usize> {
        let mut report = BTreeMap::new();
        for name in &self.rows {
            *report.entry(gadget(name, depth)).or_default() += 1;
        }
        report
    }

    /// Rows whose name starts with `path`.
    #[must_use]
    pub fn rows_under(&self, path: &str) -> usize {
        self.rows
            .iter()
            .filter(|name| name.starts_with(path))
            .count()
    }

    /// Names of the rows, in order.
    pub fn row_names(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|name| &**name)
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| {
            let m = &self.matrices;
            let matrices = [&m.a, &m.b, &m.c];
            let rows = 0..m.rows();
            let sides = rows
                .clone()
                .map(|i| matrices.map(|side| m.dot(side, i, &self.z)));
            let mut columns = vec![Vec::new(); m.columns];
            for (i, row) in rows.clone().zip(0_u32..) {
                for (side, matrix) in (0_u8..).zip(matrices) {
                    for &(column, k) in matrix.row(i) {
                        columns[column as usize].push((row, side, m.coefficients[k as usize]));
                    }
                }
            }
            Index {
                sides: sides.collect(),
                columns,
            }
        })
    }
}

/// The first `depth` names of a path, indices left out.
fn gadget(path: &str, depth: usize) -> String {
    let names = path
        .split('/')
        .take(depth)
        .map(|name| name.split('[').next().unwrap_or(name));
    names.collect::<Vec<_>>().join("/")
}

/// Challenges that depend on everything committed, as a proof's do.
fn challenges(statement: &[Fr], committed: &[Fr]) -> Challenges {
    let mut hash = Sha256::new();
    for value in statement.iter().chain(committed) {
        hash.update(value.into_bigint().to_bytes_le());
    }
    let seed = hash.finalize();
    let draw = |tag: u8| {
        Fr::from_le_bytes_mod_order(
            &Sha256::new()
                .chain_update([tag])
                .chain_update(seed)
                .finalize(),
        )
    };
    Challenges {
        tuple: draw(0),
        sum: draw(1),
    }
}

fn blinder() -> Fr {
    Fr::from(0x0b11_de50_u64).square()
}
