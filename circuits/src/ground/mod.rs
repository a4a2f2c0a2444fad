//! The ground on which gadgets stand: cells, rows, names, and the two stages around the
//! commitment. A thin layer over ark-relations.
//!
//! A gadget takes a [`Builder`], computes values natively, and records rows:
//!
//! ```
//! use ark_bn254::Fr;
//! use quorate_circuits::ground::{Builder, Lin, Wire};
//! use quorate_circuits::testing::{Forge, Trial};
//!
//! /// Enforces that `x` is not zero. Cost 1 row.
//! fn enforce_nonzero(g: &mut Builder, x: Wire) {
//!     use ark_ff::Field;
//!     // A hint is a guess until a row binds it. Zero has no inverse: any guess will do.
//!     let inverse = g.hint("nonzero/inverse", x.value().inverse().unwrap_or_default());
//!     g.row("nonzero/bind", inverse, x, Fr::ONE);
//! }
//!
//! let build = |x: u64| move |g: &mut Builder| {
//!     let x = g.witness("x", Fr::from(x));
//!     g.scope("test", |g| enforce_nonzero(g, x));
//! };
//! assert!(Trial::new().build(build(5)).holds());
//! assert_eq!(Trial::new().build(build(0)).first_broken(), Some("test/nonzero/bind"));
//! let lie = Forge::value("nonzero/inverse", 0, Fr::from(7));
//! assert_eq!(Trial::new().lie(lie).build(build(5)).first_broken(), Some("test/nonzero/bind"));
//! ```
//!
//! | need | call |
//! |---|---|
//! | a value the rows determine, a test's input | [`Builder::witness`], [`Builder::product`] |
//! | a value the prover advises | [`Builder::hint`], [`Builder::bit`], [`Builder::committed`] |
//! | `a * b = c`, `a = b` | [`Builder::row`], [`Builder::row_with`], [`Builder::equal`] |
//! | a range | [`Builder::limb`] (advised), [`Builder::range`] (given) |
//! | an entry of a table | [`Builder::table`], [`Builder::select`] |
//! | ark-r1cs-std | [`Builder::fp_var`], [`Builder::lin`], [`Builder::cs`] |
//!
//! Three habits keep gadgets sound and fast. Values flow from cells: a gadget reads
//! `wire.value()`, never a copy of the input from elsewhere, so that a forged hint is followed
//! honestly by everything after it. The shape depends on sizes only: no `if` on a value around a
//! row or a cell. And in a proving run a [`Lin`] costs what its value costs, so rows whose
//! combinations are long go into [`Builder::row_with`], which does not build them at all.

mod builder;
mod lin;
mod matrices;
mod names;
mod stages;

#[cfg(test)]
mod tests;

pub use quorate_verifier::proof::Challenges;

pub use builder::{Builder, Run};
pub(crate) use lin::pow2_inverse;
pub use lin::{Bit, Lin, Term, Wire, pow2};
pub use matrices::{CommitmentFault, Matrices, Matrix};
pub use stages::{Circuit, Committed, Layout, Synthesis, Synthesizer};
