//! The attestation service.

mod browser;
mod chain;
mod http;
mod log;
mod packs;
mod pipeline;
mod privacy;
mod strangers;
mod tls;
