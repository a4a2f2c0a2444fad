//! Whole proofs, from the prover to whoever relies on them.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod attestation;
mod chain;
mod decoding;
mod finality;
mod light_client;
mod privacy;
mod proof_vectors;
