//! One binary for all integration tests of this crate.
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

mod attest;
mod ledger;
mod shell;
