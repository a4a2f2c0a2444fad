//! The attestation service: certificates in, proofs and a tamper-evident log out.

pub mod client;
pub mod disk;
pub mod http;
pub mod log;
pub mod pack;
pub mod service;
pub mod source;
pub mod store;
pub mod tls;
pub mod tokens;
pub mod worker;
