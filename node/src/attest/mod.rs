//! The attestation service: certificates in, proofs and a tamper-evident log out.

pub mod disk;
pub mod http;
pub mod log;
pub mod service;
pub mod store;
pub mod tokens;
