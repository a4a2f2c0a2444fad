//! The attestation service.

mod browser;
mod chain;
mod http;
mod log;
mod packs;
mod parameters;
mod pipeline;
mod privacy;
mod retention;
mod settlement;
mod strangers;
mod tls;
mod toy;
