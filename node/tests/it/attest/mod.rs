//! The attestation service.

mod log;
