//! The two stages of a circuit with one commitment, and the circuits that go through them.

use ark_bn254::Fr;
use ark_ff::Field;
use ark_relations::gr1cs::{ConstraintSynthesizer, ConstraintSystemRef, Result as SynthesisResult};

use quorate_verifier::proof::Challenges;

use super::builder::{Builder, Run};
use super::matrices::Matrices;
use super::names::Names;
use crate::testing::Attack;

/// A circuit together with a witness for it. The rows may depend on sizes, never on values.
pub trait Circuit {
    /// Look-ups use a table of `2^chunk_bits` entries.
    fn chunk_bits(&self) -> u32;

    /// What the proof is about.
    fn statement(&self) -> Vec<Fr>;

    /// Runs the gadgets. Takes any witness whatever, and never panics because of one.
    fn build(&self, g: &mut Builder);

    /// Rows and layout of the circuit.
    fn record(&self) -> Matrices {
        let mut g = Builder::new(Run::Recording, self.chunk_bits(), &self.statement());
        self.build(&mut g);
        g.commit(|_, _| Fr::ONE).respond(PLACEHOLDER).matrices()
    }

    /// The first stage of a proof: all values that do not depend on a challenge.
    fn fill(&self) -> Builder {
        let mut g = Builder::new(Run::Proving, self.chunk_bits(), &self.statement());
        self.build(&mut g);
        g
    }
}

/// Lets a key generator that knows only ark-relations read a circuit's rows.
#[derive(Clone, Copy, Debug)]
pub struct Synthesizer<'a, C>(pub &'a C);

impl<C: Circuit> ConstraintSynthesizer<Fr> for Synthesizer<'_, C> {
    fn generate_constraints(self, cs: ConstraintSystemRef<Fr>) -> SynthesisResult<()> {
        let mut g = Builder::over(cs, self.0.chunk_bits(), &self.0.statement());
        self.0.build(&mut g);
        let _ = g.commit(|_, _| Fr::ONE).respond(PLACEHOLDER);
        Ok(())
    }
}

/// How many cells of each kind stand before the witness: 1, statement, commitment, challenges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Values of the statement.
    pub statement: usize,
    /// Committed cells, the blinder (which comes first) included.
    pub committed: usize,
}

impl Layout {
    /// Challenges: one compresses tuples, one is the point of the look-up sum.
    pub const CHALLENGES: usize = 2;

    /// Columns of the committed cells, the blinder's first.
    #[must_use]
    pub fn committed_columns(&self) -> core::ops::Range<usize> {
        1 + self.statement..1 + self.statement + self.committed
    }

    /// Column of the blinder.
    #[must_use]
    pub fn blinder_column(&self) -> usize {
        1 + self.statement
    }

    /// Columns before those of the witness.
    #[must_use]
    pub fn columns(&self) -> usize {
        1 + self.statement + self.committed + Self::CHALLENGES
    }
}

/// For runs of which only the rows are wanted.
const PLACEHOLDER: Challenges = Challenges {
    tuple: Fr::ONE,
    sum: Fr::ONE,
};

impl Builder {
    /// Ends the first stage. `blinder` sees the cells of 1, statement and commitment, then those of
    /// the witness, and returns a fresh secret scalar.
    pub fn commit(mut self, blinder: impl FnOnce(&[Fr], &[Fr]) -> Fr) -> Committed {
        self.commit_multiplicities();
        let layout = self.layout();
        let cs = self.cs();
        let mut cs = cs.borrow_mut().expect("a builder has a constraint system");
        if !cs.is_in_setup_mode() {
            let cells = &mut cs.assignments;
            let value = blinder(&cells.instance_assignment, &cells.witness_assignment);
            cells.instance_assignment[layout.blinder_column()] = value;
        }
        drop(cs);
        Committed { g: self, layout }
    }
}

/// A circuit between its two stages: everything committed is fixed, the challenges are not drawn.
#[derive(Debug)]
pub struct Committed {
    g: Builder,
    layout: Layout,
}

impl Committed {
    /// Values of the committed cells, the blinder's first; empty when only rows are wanted.
    #[must_use]
    pub fn values(&self) -> Vec<Fr> {
        let columns = self.layout.committed_columns();
        let cs = self.g.cs();
        let cs = cs.borrow().expect("a builder has a constraint system");
        cs.instance_assignment()
            .map(|cells| cells[columns].to_vec())
            .unwrap_or_default()
    }

    /// Runs the second stage.
    pub fn respond(self, challenges: Challenges) -> Synthesis {
        let Self { mut g, layout } = self;
        let tuple = g.fixed("challenge/tuple", challenges.tuple);
        let sum = g.fixed("challenge/sum", challenges.sum);
        g.bound("challenge/tuple", tuple);
        g.bound("challenge/sum", sum);
        g.prove_lookups(tuple, sum);
        let (cs, names, attack) = g.into_parts();
        Synthesis {
            cs,
            layout,
            names,
            attack,
        }
    }
}

/// A circuit after both stages.
#[derive(Debug)]
pub struct Synthesis {
    cs: ConstraintSystemRef<Fr>,
    layout: Layout,
    pub(crate) names: Option<Box<Names>>,
    pub(crate) attack: Option<Box<Attack>>,
}

impl Synthesis {
    /// Where the cells stand.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The rows; empty after a proving run.
    #[must_use]
    pub fn matrices(&self) -> Matrices {
        self.cs.finalize();
        let cs = self
            .cs
            .borrow()
            .expect("a synthesis has a constraint system");
        Matrices::read(&cs, self.layout)
    }

    /// The value of every column.
    #[must_use]
    pub fn into_assignment(self) -> Vec<Fr> {
        let mut cs = self
            .cs
            .borrow_mut()
            .expect("a synthesis has a constraint system");
        let mut cells = core::mem::take(&mut cs.assignments.instance_assignment);
        cells.append(&mut cs.assignments.witness_assignment);
        cells
    }
}
