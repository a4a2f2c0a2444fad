//! The ground itself: arithmetic, names, shapes, exports.

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};
use ark_r1cs_std::{
    GR1CSVar,
    alloc::AllocVar,
    eq::EqGadget,
    fields::{FieldVar, fp::FpVar},
};
use ark_relations::gr1cs::{ConstraintSynthesizer, ConstraintSystem, SynthesisMode};

use super::*;
use crate::testing::{Forge, Trial};

/// `x^2 + 3x - 7` packed from bits, and a foreign gadget in the middle.
struct Toy {
    x: u64,
}

impl Circuit for Toy {
    fn chunk_bits(&self) -> u32 {
        4
    }

    fn statement(&self) -> Vec<Fr> {
        vec![Fr::from(self.x) * Fr::from(self.x), Fr::from(9_u64)]
    }

    fn build(&self, g: &mut Builder) {
        let bits: Vec<Bit> = (0..10).map(|i| g.bit("x", self.x >> i & 1 == 1)).collect();
        let x = Lin::pack(&bits);
        let square = g.scope("poly", |g| g.product("square", &x, &x));
        g.equal("claimed", square, g.statement(0));
        let limb = g.limb("limb", self.x, 10);
        g.equal("same", &limb, &x);
        g.scope("foreign", |g| {
            let var = g.fp_var(&x + 1_u64);
            let product =
                &var * FpVar::new_witness(g.cs(), || Ok(Fr::from(2_u64))).expect("in range");
            product
                .enforce_equal(&(var.double().expect("a variable")))
                .expect("in range");
            let back = g.lin(&product);
            assert_eq!(back.value(), product.value().unwrap_or_default());
            g.equal("back", back, (&x + 1_u64) * 2);
        });
    }
}

#[test]
fn combinations_carry_their_values() {
    let built = Trial::new().build(|g| {
        let x = g.witness("x", Fr::from(5_u64));
        let bit = g.bit("bit", true);
        let a = x * 3 + bit - 7_u64;
        assert_eq!(a.value(), Fr::from(9_u64));
        let b = -(a.clone() * 2).plus(Fr::from(10_u64), x) + &a - &a;
        assert_eq!(b.value(), -Fr::from(68_u64));
        let none = x - x;
        assert_eq!(none.value(), Fr::ZERO);
        g.row("a", a, Fr::ONE, Fr::from(9_u64));
        g.equal("b", b, -Fr::from(68_u64));
        g.row("not", !bit, x, none);
    });
    assert_eq!(built.first_broken(), None);
    let rows: Vec<_> = built.row_names().skip(2).take(4).collect();
    assert_eq!(rows, ["bit/boolean", "a", "b", "not"]);
    assert!(built.matrices.c.row(5).is_empty(), "x - x leaves no entry");
}

#[test]
fn foreign_gadgets_are_named_and_pinned() {
    let built = Trial::new().build_circuit(&Toy { x: 700 });
    assert_eq!(built.first_broken(), None);
    let foreign: Vec<_> = built
        .row_names()
        .filter(|n| n.starts_with("foreign/row#"))
        .collect();
    assert_eq!(foreign.len(), 2);
    assert!(built.column("foreign/cell#11").is_some());
    assert!(built.unpinned().is_empty(), "{:?}", built.unpinned());
}

#[test]
fn the_statement_is_bound() {
    let built = Trial::new().build_circuit(&Toy { x: 3 });
    assert_eq!(
        built.first_broken_with(1, Fr::from(10_u64)),
        Some("claimed")
    );
    let forged = Trial::new()
        .lie(Forge::value("x", 0, 0))
        .build_circuit(&Toy { x: 3 });
    assert_eq!(forged.broken().collect::<Vec<_>>(), ["claimed", "same"]);
    let two = Trial::new()
        .lie(Forge::value("x", 0, 2))
        .build_circuit(&Toy { x: 3 });
    assert_eq!(two.first_broken(), Some("x/boolean"));
}

#[test]
#[should_panic(expected = "there is no hint x number 10")]
fn a_lie_that_is_never_told_is_noticed() {
    let _ = Trial::new()
        .lie(Forge::value("x", 10, 0))
        .build_circuit(&Toy { x: 3 });
}

#[test]
fn the_shape_does_not_depend_on_the_witness() {
    let shape = Toy { x: 0 }.record();
    for x in [1, 3, 1023, 1 << 30] {
        assert_eq!(Toy { x }.record(), shape);
        assert_eq!(Toy { x }.record().digest(), shape.digest());
    }
    assert_eq!(shape.columns, shape.layout.columns() + 10 + 1 + 2 + 4 + 16);
    assert_eq!(shape.layout.committed_columns(), 3..3 + 1 + 3 + 16);
}

/// What the key generator reads is what a prover exports, and a proving run fills it.
#[test]
fn set_up_and_proving_agree() {
    let toy = Toy { x: 77 };
    let cs = ConstraintSystem::<Fr>::new_ref();
    cs.set_mode(SynthesisMode::Setup);
    Synthesizer(&toy)
        .generate_constraints(cs.clone())
        .expect("a circuit cannot fail");
    cs.finalize();
    let shape = toy.record();
    assert_eq!(
        Matrices::read(&cs.borrow().expect("present"), shape.layout),
        shape
    );

    let stage = toy.fill().commit(|_, _| Fr::from(11_u64));
    assert_eq!(stage.values()[0], Fr::from(11_u64));
    let challenges = Challenges {
        tuple: Fr::from(1_u64 << 40),
        sum: Fr::from(1_u64 << 41),
    };
    let z = stage.respond(challenges).into_assignment();
    assert_eq!(z.len(), shape.columns);
    for i in 0..shape.rows() {
        let [a, b, c] = [&shape.a, &shape.b, &shape.c].map(|m| shape.dot(m, i, &z));
        assert_eq!(a * b, c, "row {i}");
    }
}

#[test]
fn a_commitment_that_would_not_bind_is_noticed() {
    assert_eq!(Toy { x: 5 }.record().commitment_fault(), None);
    let loose = Trial::new().build(|g| {
        let a = g.committed("a", Fr::ONE);
        let b = g.committed("b", Fr::ONE);
        g.equal("sum", a + b, Fr::from(2_u64));
    });
    assert_eq!(
        loose.matrices.commitment_fault(),
        Some(CommitmentFault::Dependent { column: 2 })
    );
    let mut matrices = Toy { x: 5 }.record();
    let blinder = matrices.layout.blinder_column();
    let last = matrices.c.ends.len() - 1;
    matrices
        .c
        .entries
        .push((u32::try_from(blinder).expect("small"), 0));
    matrices.c.ends[last] += 1;
    assert_eq!(
        matrices.commitment_fault(),
        Some(CommitmentFault::Blinder { rows: 2 })
    );
    let mut matrices = Toy { x: 5 }.record();
    matrices.b.entries.insert(0, (0, 0));
    matrices.b.ends.iter_mut().skip(2).for_each(|end| *end += 1);
    assert_eq!(
        matrices.commitment_fault(),
        Some(CommitmentFault::Dependent { column: 2 }),
        "the row of the statement's second value holds something else"
    );
}
