//! The builder: allocates cells and records rows. Gadgets run in its first stage, before the
//! commitment is made; [`Builder::commit`] begins the second.

use core::fmt::Display;

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};
use ark_r1cs_std::{
    GR1CSVar,
    boolean::Boolean,
    fields::fp::{AllocatedFp, FpVar},
};
use ark_relations::gr1cs::{ConstraintSystem, ConstraintSystemRef, SynthesisMode, Variable};

use super::lin::{Bit, Lin, Wire};
use super::names::Names;
use crate::lookup::Lookups;
use crate::testing::{Attack, Forge};

/// What a run produces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Values and matrices, to fix a circuit's shape.
    Recording,
    /// Values only, to fill an assignment.
    Proving,
}

/// Allocates cells and records rows; every gadget takes one as `g: &mut Builder`.
///
/// Nothing here fails or panics because of a *value*: a false witness gives an assignment that some
/// row refuses.
#[derive(Debug)]
pub struct Builder {
    cs: ConstraintSystemRef<Fr>,
    recording: bool,
    pub(crate) names: Option<Box<Names>>,
    pub(crate) attack: Option<Box<Attack>>,
    statement: Vec<Wire>,
    committed: usize,
    pub(crate) lookups: Lookups,
}

impl Builder {
    /// A builder for a circuit with this statement, whose look-ups use a table of `2^chunk_bits`
    /// entries.
    ///
    /// # Panics
    /// Unless `1 <= chunk_bits <= 20`.
    #[must_use]
    pub fn new(run: Run, chunk_bits: u32, statement: &[Fr]) -> Self {
        Self::assemble(fresh_system(run), chunk_bits, statement, None, None)
    }

    /// A recording builder with names and hints, telling the given lies.
    pub(crate) fn traced(chunk_bits: u32, statement: &[Fr], lies: Vec<Forge>) -> Self {
        let cs = fresh_system(Run::Recording);
        let attack = Attack::new(lies);
        Self::assemble(
            cs,
            chunk_bits,
            statement,
            Some(Names::default()),
            Some(attack),
        )
    }

    /// A proving builder without names, telling the given lies.
    pub(crate) fn lying(chunk_bits: u32, statement: &[Fr], lies: Vec<Forge>) -> Self {
        let cs = fresh_system(Run::Proving);
        Self::assemble(cs, chunk_bits, statement, None, Some(Attack::new(lies)))
    }

    /// A builder on somebody else's constraint system, such as the key generator's.
    pub(super) fn over(cs: ConstraintSystemRef<Fr>, chunk_bits: u32, statement: &[Fr]) -> Self {
        Self::assemble(cs, chunk_bits, statement, None, None)
    }

    fn assemble(
        cs: ConstraintSystemRef<Fr>,
        chunk_bits: u32,
        statement: &[Fr],
        names: Option<Names>,
        attack: Option<Attack>,
    ) -> Self {
        let mut g = Self {
            recording: cs.should_construct_matrices(),
            cs,
            names: names.map(Box::new),
            attack: attack.map(Box::new),
            statement: Vec::with_capacity(statement.len()),
            committed: 0,
            lookups: Lookups::new(chunk_bits),
        };
        if let Some(names) = &mut g.names {
            names.instance.push("one".into());
        }
        g.bound("one", Fr::ONE);
        for (i, value) in statement.iter().enumerate() {
            let wire = g.fixed(format_args!("statement[{i}]"), *value);
            g.bound(format_args!("statement[{i}]"), wire);
            g.statement.push(wire);
        }
        // The blinder's value comes with the commitment. Its own row keeps it out of all others.
        let blinder = g.committed_as("blinder", Fr::ZERO);
        g.bound("blinder", blinder);
        g.free(blinder, "the blinder hides the other committed cells");
        g
    }

    /// The `i`-th value of the statement.
    ///
    /// # Panics
    /// If the statement has no `i`-th value.
    pub fn statement(&self, i: usize) -> Wire {
        self.statement[i]
    }

    /// Whether rows are being recorded; a gadget may skip work that only rows need.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.recording
    }

    /// Runs `body` with `name` in front of every name it gives.
    pub fn scope<T>(&mut self, name: impl Display, body: impl FnOnce(&mut Self) -> T) -> T {
        let mark = self.names.as_mut().map(|names| names.enter(name));
        let result = body(self);
        if let Some(mark) = mark {
            self.catch_up();
            if let Some(names) = &mut self.names {
                names.leave(mark);
            }
        }
        result
    }

    /// A cell that the rows determine, or an input of a test.
    pub fn witness(&mut self, name: impl Display, value: Fr) -> Wire {
        if self.names.is_some() {
            self.catch_up();
        }
        let variable = self
            .system()
            .new_witness_variable(|| Ok(value))
            .expect(INFALLIBLE);
        if let Some(names) = &mut self.names {
            let name = names.here(name);
            names.witness.push(name);
        }
        self.wire(variable, value)
    }

    /// A cell the prover advises: a guess until a row ties it to the inputs.
    ///
    /// `kind` names the cell and is what an attack forges; every kind needs a forgery test.
    pub fn hint(&mut self, kind: &'static str, value: Fr) -> Wire {
        let value = self.believe(kind, value);
        self.witness(kind, value)
    }

    /// An advised bit, with the row that makes it one: `kind/boolean`. Costs 1 row.
    pub fn bit(&mut self, kind: &'static str, value: bool) -> Bit {
        let bit = self.bit_unchecked(kind, value);
        self.row_with(format_args!("{kind}/boolean"), || {
            (bit.into(), bit.into(), bit.into())
        });
        bit
    }

    /// An advised bit that only a row of the caller's forces to be 0 or 1.
    pub fn bit_unchecked(&mut self, kind: &'static str, value: bool) -> Bit {
        let advised = self.believe(kind, if value { Fr::ONE } else { Fr::ZERO });
        let wire = self.witness(kind, advised);
        let value = if self.attack.is_some() {
            advised == Fr::ONE
        } else {
            value
        };
        Bit {
            variable: wire.variable,
            value,
        }
    }

    /// An advised cell that becomes part of the commitment, so that it is fixed before the
    /// challenges are known.
    pub fn committed(&mut self, kind: &'static str, value: Fr) -> Wire {
        let value = self.believe(kind, value);
        self.committed_as(kind, value)
    }

    /// The cell `a * b`. Costs 1 row, named `name`.
    pub fn product(&mut self, name: impl Display, a: impl Into<Lin>, b: impl Into<Lin>) -> Wire {
        let (a, b) = (a.into(), b.into());
        let c = self.witness(&name, a.value() * b.value());
        self.row(name, a, b, c);
        c
    }

    /// The row `a * b = c`.
    pub fn row(
        &mut self,
        name: impl Display,
        a: impl Into<Lin>,
        b: impl Into<Lin>,
        c: impl Into<Lin>,
    ) {
        self.row_with(name, || (a.into(), b.into(), c.into()));
    }

    /// The row `a * b = c`, whose combinations are made only if rows are being recorded.
    pub fn row_with(&mut self, name: impl Display, abc: impl FnOnce() -> (Lin, Lin, Lin)) {
        if !self.recording {
            return;
        }
        if self.names.is_some() {
            self.catch_up();
        }
        let (a, b, c) = abc();
        self.system()
            .enforce_r1cs_constraint(|| a.into_terms(), || b.into_terms(), || c.into_terms())
            .expect(INFALLIBLE);
        if let Some(names) = &mut self.names {
            let name = names.here(name);
            names.rows.push(name);
        }
    }

    /// The row `0 = a - b`. Equalities live on the third side, which costs a prover nothing.
    pub fn equal(&mut self, name: impl Display, a: impl Into<Lin>, b: impl Into<Lin>) {
        self.row_with(name, || (Lin::zero(), Lin::zero(), a.into() - b.into()));
    }

    /// `count` bits whose sum `2^i * bits[i]` is `value`. Costs `count + 1` rows.
    ///
    /// # Panics
    /// On more than 253 bits: the sum would wrap.
    pub fn bits(&mut self, kind: &'static str, value: impl Into<Lin>, count: usize) -> Vec<Bit> {
        use ark_ff::{BigInteger, PrimeField};
        let value = value.into();
        let integer = value.value().into_bigint();
        let bits: Vec<Bit> = (0..count)
            .map(|i| self.bit(kind, integer.get_bit(i)))
            .collect();
        self.equal(format_args!("{kind}/sum"), Lin::pack(&bits), value);
        bits
    }

    /// Declares that no row needs to pin `wire`, and why; mutation tests skip it.
    pub fn free(&mut self, wire: Wire, reason: &'static str) {
        if let Some(names) = &mut self.names {
            names.free.push((wire.variable, reason));
        }
    }

    /// The constraint system, for gadgets of ark-r1cs-std; their rows and cells are named
    /// `row#n`, `cell#n` under the present scope.
    #[must_use]
    pub fn cs(&self) -> ConstraintSystemRef<Fr> {
        self.cs.clone()
    }

    /// `lin` as a variable of ark-r1cs-std. Costs no row.
    pub fn fp_var(&self, lin: impl Into<Lin>) -> FpVar<Fr> {
        let lin = lin.into();
        let value = lin.value();
        let variable = if self.recording {
            self.cs.new_lc(|| lin.into_terms()).expect(INFALLIBLE)
        } else {
            Variable::Zero
        };
        FpVar::Var(AllocatedFp::new(Some(value), variable, self.cs.clone()))
    }

    /// A variable of ark-r1cs-std as a combination. Costs no row.
    pub fn lin(&self, var: &FpVar<Fr>) -> Lin {
        match var {
            FpVar::Constant(value) => (*value).into(),
            FpVar::Var(cell) => self.foreign(cell.value().unwrap_or_default(), cell.variable),
        }
    }

    /// A boolean of ark-r1cs-std as a combination. Costs no row.
    pub fn lin_of_boolean(&self, boolean: &Boolean<Fr>) -> Lin {
        let value = Fr::from(boolean.value().unwrap_or_default());
        match boolean {
            Boolean::Constant(_) => value.into(),
            Boolean::Var(cell) => self.foreign(value, cell.variable()),
        }
    }

    fn foreign(&self, value: Fr, variable: Variable) -> Lin {
        Lin::of_variable(
            value,
            if self.recording {
                variable
            } else {
                Variable::Zero
            },
        )
    }

    /// The value an honest prover, or the attack under test, gives to a hint of this kind.
    pub(crate) fn believe(&mut self, kind: &'static str, honest: Fr) -> Fr {
        match &mut self.attack {
            None => honest,
            Some(attack) => {
                let path = self.names.as_deref().map(Names::path);
                attack.believe(kind, honest, path)
            }
        }
    }

    pub(crate) fn committed_as(&mut self, name: impl Display, value: Fr) -> Wire {
        self.committed += 1;
        self.fixed(name, value)
    }

    /// The row `lin * 0 = 0`: holds always, but keeps the column of a value that the verifier
    /// supplies independent of every other column, so that no value can be traded for another.
    pub(super) fn bound(&mut self, name: impl Display, lin: impl Into<Lin>) {
        self.row_with(name, || (lin.into(), Lin::zero(), Lin::zero()));
    }

    /// A cell whose value is fixed outside the proof: statement, commitment, challenges.
    pub(super) fn fixed(&mut self, name: impl Display, value: Fr) -> Wire {
        let variable = self
            .system()
            .new_input_variable(|| Ok(value))
            .expect(INFALLIBLE);
        if let Some(names) = &mut self.names {
            let name = names.here(name);
            names.instance.push(name);
        }
        self.wire(variable, value)
    }

    pub(super) fn layout(&self) -> super::Layout {
        super::Layout {
            statement: self.statement.len(),
            committed: self.committed,
        }
    }

    pub(super) fn into_parts(
        mut self,
    ) -> (
        ConstraintSystemRef<Fr>,
        Option<Box<Names>>,
        Option<Box<Attack>>,
    ) {
        if self.names.is_some() {
            self.catch_up();
        }
        (self.cs, self.names, self.attack)
    }

    fn wire(&self, variable: Variable, value: Fr) -> Wire {
        Wire {
            variable: if self.recording {
                variable
            } else {
                Variable::Zero
            },
            value,
        }
    }

    fn system(&self) -> core::cell::RefMut<'_, ConstraintSystem<Fr>> {
        self.cs
            .borrow_mut()
            .expect("a builder has a constraint system")
    }

    fn catch_up(&mut self) {
        let (rows, cells) = (self.cs.num_constraints(), self.cs.num_witness_variables());
        if let Some(names) = &mut self.names {
            names.catch_up(rows, cells);
        }
    }
}

fn fresh_system(run: Run) -> ConstraintSystemRef<Fr> {
    let cs = ConstraintSystem::new_ref();
    cs.set_mode(SynthesisMode::Prove {
        construct_matrices: run == Run::Recording,
        generate_lc_assignments: false,
    });
    cs
}

const INFALLIBLE: &str = "values are given and the R1CS predicate is registered";
