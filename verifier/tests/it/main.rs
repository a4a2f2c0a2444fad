//! Integration tests of the verifier: one binary, one module for each area.

mod signature;
mod signature_cases;
mod signature_vectors;
