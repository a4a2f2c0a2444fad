//! Keys, commitment layer and proving pipeline for quorum proofs.
//!
//! Groth16 of ark-groth16 with one hiding commitment; what a proof is and why it is sound stands in
//! [`quorate_verifier::proof`]. The key generator is the library's. The proving function is ours,
//! over the library's key, so that its phases can be watched, measured and cancelled.

mod attempt;
mod bases;
mod cost;
mod finality;
mod key;
pub mod machine;
mod msm;
mod prove;
mod qap;
mod store;
pub mod testing;

pub use cost::Cost;
pub use finality::{
    AttestError, attest, check_provable, development_key, finality_prover, fresh_randomness,
    open_prover,
};
pub use key::{KeyError, ProvingKey, Trapdoor};
pub use msm::msm as sum_of_multiples;
pub use prove::{OpenError, Phase, ProveError, Proven, Prover};
pub use qap::{RowsOnly, Unsatisfied, quotient};
pub use store::{Draft, Entry, Store, StoreError, StoredKey};

#[cfg(test)]
mod tests;
