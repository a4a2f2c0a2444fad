//! The attestation service: certificates in, proofs and a tamper-evident log out.

pub mod access;
pub mod client;
pub mod disk;
pub mod http;
pub mod log;
pub mod pack;
mod parameters;
pub mod retention;
pub mod service;
pub mod settlement;
pub mod source;
pub mod store;
pub mod tls;
pub mod tokens;
pub mod worker;
