//! The validator's shell: transport, storage, application, attestation.

pub mod app;
pub mod attest;
pub mod shell;
