//! The attestation service.

mod chain;
mod http;
mod log;
mod pipeline;
mod privacy;
mod tls;
