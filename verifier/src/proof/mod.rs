//! Proofs: 192 bytes that show a statement under a verifying key.
//!
//! Groth16 over BN254 with one hiding commitment (BSB22, eprint 2022/1072). A proof is `A, B, C` of
//! Groth16, the commitment `D = sum w_i K_i` to some cells of the circuit over the bases that
//! Groth16 has for public inputs, and `P = sum w_i (sigma K_i)`, the knowledge of such `w_i`.
//!
//! Two equations must hold, with `I` the statement and the challenges on their own bases:
//!
//! ```text
//! e(A, B) = e(alpha, beta) e(I + D, gamma) e(C, delta)        Groth16, D standing for cells
//! e(D, sigma gamma) = e(P, gamma)                             D lies in the committed bases only
//! ```
//!
//! Without the second a prover shifts `D` along the base of a public input and proves a false
//! statement. They are checked in one product of four pairings, the second raised to a weight
//! `rho` that is a hash of key, statement and all of the proof. Without that weight errors in the
//! two cancel: `A = alpha, B = beta, C = D = 0, P = -I` would prove anything.
//!
//! The challenges, drawn by hashing key, statement and `D`, are the circuit's last public inputs.
//!
//! A proof can be re-randomised by anybody: its bytes are no identity, the statement is.

mod batch;
mod challenge;
mod check;
mod encoding;
mod inputs;
mod key;
#[cfg(test)]
mod tests;

pub use batch::{BatchError, verify_batch, verify_each};
pub use challenge::Challenges;
pub use check::{Bound, ProofError};
pub use encoding::{Element, Proof, ProofDecodeError};
pub use key::{
    CHUNK_BITS_MAX, CircuitId, KeyError, Origin, PreparedKey, STATEMENT_MAX, VerifyingKey,
};
