//! Set: the commitment opened to the tree's root, the total power and the count.
//!
//! Statement  `commitment = Poseidon(root, total, count)`
//! Public     commitment
//! Witness    root, total, count
//! Assumes    Nothing. That total and count are those of the tree, nobody shows here: honest
//!            validators checked it before they signed for the set
//! No wrap    total < 2^60 by its chunks
//! Cost       262 rows and the chunks of 60 bits (one row more if the last is shortened)
//! Source     docs/format.md, "Validator set"

use ark_bn254::Fr;
use quorate_verifier::poseidon;
use quorate_verifier::set::ValidatorSet;

use super::POWER_BITS;
use crate::ground::{Builder, Lin, Wire};
use crate::lookup::Limb;
use crate::poseidon::hash;

/// What a set's commitment hides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetOpening {
    /// Root of the tree of validators.
    pub root: Fr,
    /// Power of all validators.
    pub total: u64,
    /// How many there are.
    pub count: u64,
}

impl SetOpening {
    /// What the commitment of `set` hides.
    #[must_use]
    pub fn of(set: &ValidatorSet) -> Self {
        Self {
            root: set.tree().root(),
            total: set.total().get(),
            count: set.count() as u64,
        }
    }

    /// The commitment: the native twin.
    #[must_use]
    pub fn commitment(&self) -> Fr {
        poseidon::hash(&[self.root, Fr::from(self.total), Fr::from(self.count)])
    }
}

/// An opened commitment.
#[derive(Clone, Debug)]
#[must_use]
pub struct SetVar {
    /// Root of the tree of validators.
    pub root: Wire,
    /// Power of all validators, below 2^60.
    pub total: Limb,
}

/// Opens `commitment`.
pub fn open_set(g: &mut Builder, commitment: impl Into<Lin>, opening: &SetOpening) -> SetVar {
    let root = g.hint("set/root", opening.root);
    let total = g.limb("set/total", opening.total, POWER_BITS);
    let count = g.hint("set/count", Fr::from(opening.count));
    let hidden = [root.into(), total.lin(), count.into()];
    let opened = g.scope("set", |g| hash(g, hidden));
    g.equal("set/commitment", opened, commitment); // bind
    SetVar { root, total }
}

#[cfg(test)]
mod tests {
    use ark_ff::Field;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Built, Forge, Trial};

    fn build(opening: &SetOpening, commitment: Fr, trial: Trial) -> Built {
        trial.statement(&[commitment]).build(|g| {
            let set = open_set(g, g.statement(0), opening);
            assert_eq!(set.root.value(), opening.root);
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn agrees_with_native(root: u64, total in 0..(1_u64 << 60), count in 0..257_u64, off in 0..2_u64) {
            let opening = SetOpening { root: Fr::from(root).square(), total, count };
            let built = build(&opening, opening.commitment() + Fr::from(off), Trial::new());
            prop_assert_eq!(built.first_broken(), (off > 0).then_some("set/commitment"));
        }
    }

    const EXAMPLE: SetOpening = SetOpening {
        root: Fr::ONE,
        total: (1 << 60) - 1,
        count: 9,
    };

    #[test]
    fn a_total_of_sixty_one_bits_is_refused() {
        let opening = SetOpening {
            total: 1 << 60,
            ..EXAMPLE
        };
        let built = build(&opening, opening.commitment(), Trial::new());
        assert_eq!(built.broken().collect::<Vec<_>>(), ["lookup/sum"]);
        assert_eq!(
            built.strays().collect::<Vec<_>>(),
            ["set/total/chunk[7]/shifted"]
        );
    }

    #[test]
    fn forged_hints_are_refused() {
        for (kind, lie) in [("set/total", 1_u64), ("set/count", 8), ("set/count", 0)] {
            let trial = Trial::new().lie(Forge::value(kind, 0, lie));
            let built = build(&EXAMPLE, EXAMPLE.commitment(), trial);
            assert_eq!(built.first_broken(), Some("set/commitment"), "{kind}");
        }
        let built = Trial::new()
            .statement(&[EXAMPLE.commitment()])
            .lie(Forge::value("set/root", 0, 2))
            .build(|g| drop(open_set(g, g.statement(0), &EXAMPLE)));
        assert_eq!(built.first_broken(), Some("set/commitment"));
    }

    #[test]
    fn every_cell_is_pinned() {
        let built = build(&EXAMPLE, EXAMPLE.commitment(), Trial::new());
        assert!(built.unpinned().is_empty(), "{:?}", built.unpinned());
    }

    #[test]
    fn cost() {
        for (chunk_bits, rows) in [(13, 268), (16, 267)] {
            let trial = Trial::new().chunk_bits(chunk_bits);
            let built = build(&EXAMPLE, EXAMPLE.commitment(), trial);
            assert_eq!(built.rows_under("set/"), rows);
        }
    }
}
