//! The settlement ledger.

mod bench;
mod decoding;
mod proofs;
mod requests;
mod rules;
mod snapshot;
