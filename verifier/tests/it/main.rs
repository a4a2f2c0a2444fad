//! Integration tests of the verifier: one binary, one module for each area.

mod certificate;
mod decoding;
mod dependencies;
mod founding;
mod frozen;
mod set;
mod signature;
mod signature_cases;
mod signature_vectors;
