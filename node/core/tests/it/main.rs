//! Worlds, scenarios and attacks, in one binary.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod broken;
mod codec;
mod defences;
mod docs;
mod log;
mod scenarios;
mod seeds;
mod twins;
