//! Keys, commitment layer and proving pipeline for quorum proofs.
//!
//! Groth16 of ark-groth16 with one hiding commitment; what a proof is and why it is sound stands in
//! [`quorate_verifier::proof`]. The key generator is the library's. The proving function is ours,
//! over the library's key, so that its phases can be watched, measured and cancelled.

mod attempt;
mod finality;
mod key;
mod prove;
mod qap;

pub use finality::{AttestError, attest, development_key, finality_prover};
pub use key::{KeyError, ProvingKey, Trapdoor};
pub use prove::{Phase, ProveError, Proven, Prover};
pub use qap::{RowsOnly, Unsatisfied, quotient};

#[cfg(test)]
mod tests;
