//! The validator's shell: everything that the pure core has not, and no rule of its own.
//!
//! One thread owns the core ([`driver`]). Links ([`tls`], [`transport`], [`listener`]) hand it
//! messages and take frames from it; votes go through [`signer`], records to [`disk`], blocks to
//! [`store`]. Clients and observers come to the same port ([`clients`], [`stream`]).

pub mod clients;
pub mod config;
pub mod disk;
pub mod driver;
pub mod frame;
pub mod hold;
pub mod listener;
pub mod metrics;
pub mod node;
pub mod outbox;
pub mod parties;
pub mod signer;
pub mod status;
pub mod store;
pub mod stream;
pub mod tls;
pub mod transport;
mod writer;
