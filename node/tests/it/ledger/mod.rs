//! The settlement ledger.

pub(crate) mod bench;
mod books;
mod conservation;
mod decoding;
mod proofs;
mod requests;
mod rules;
mod snapshot;
mod worlds;
