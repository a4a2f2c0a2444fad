//! Verdicts on forgeries: which rows refuse a lie, by name.
//!
//! The rows of a circuit do not depend on its witness. So they are recorded once, with names, and a
//! lie costs a proving run and one evaluation of all rows.

use super::{Built, Forge, finish};
use crate::ground::{Builder, Circuit, Synthesis};

/// What the rows say to an assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it differs from the honest one.
    pub differs: bool,
    /// The rows that do not hold, in order.
    pub rows: Vec<String>,
    /// Look-ups of values that their table does not have, in order; `lookup/sum` refuses them.
    pub strays: Vec<String>,
}

impl Verdict {
    /// Whether every row holds.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.rows.is_empty()
    }

    /// Rows that do not hold, the stray look-ups in the place of `lookup/sum`, which is the one row
    /// of them all.
    ///
    /// # Panics
    /// If a look-up strayed and no row refuses it: the look-up argument would be broken.
    #[must_use]
    pub fn refusals(&self) -> Vec<&str> {
        let summed = self.rows.iter().any(|row| row == LOOKUP_SUM);
        assert!(
            summed || self.strays.is_empty(),
            "{:?} pass the look-ups",
            self.strays
        );
        let named = !self.strays.is_empty();
        let rows = self.rows.iter().filter(|row| !named || *row != LOOKUP_SUM);
        rows.chain(&self.strays).map(String::as_str).collect()
    }
}

impl Built {
    /// What these rows say to this circuit's witness, told with these lies, all else computed from
    /// them by the real builder in a proving run.
    ///
    /// # Panics
    /// If a lie was never told, or the circuit has another shape.
    #[must_use]
    pub fn judge(&self, circuit: &impl Circuit, lies: Vec<Forge>) -> Verdict {
        let statement = circuit.statement();
        let mut g = Builder::lying(circuit.chunk_bits(), &statement, lies);
        circuit.build(&mut g);
        let mut synthesis: Synthesis = finish(g, &statement);
        let attack = synthesis.attack.take().expect("a lying build keeps count");
        attack.assert_told();
        let z = synthesis.into_assignment();
        assert_eq!(z.len(), self.matrices.columns, "the rows are another's");
        Verdict {
            differs: z != self.z,
            rows: self.broken_at(&z).map(String::from).collect(),
            strays: self.stray_names(&attack.strays).map(String::from).collect(),
        }
    }

    /// What the rows of `other`, a build of the same gadget with lies, say to it.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Verdict {
        Verdict {
            differs: other.z != self.z,
            rows: other.broken().map(String::from).collect(),
            strays: other.strays().map(String::from).collect(),
        }
    }
}

const LOOKUP_SUM: &str = "lookup/sum";
