//! The attestation service: certificates in, proofs and a tamper-evident log out.

pub mod disk;
pub mod log;
