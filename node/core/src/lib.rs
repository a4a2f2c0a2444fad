//! PBFT as a pure state machine, with its simulator.
//!
//! [`Core::step`] takes the time and an input and answers effects; `docs/consensus.md` is the
//! protocol that it follows.

pub mod app;
pub mod ballot;
pub mod block;
pub mod chain;
mod core;
pub mod defect;
pub mod evidence;
pub mod limits;
pub mod log;
pub mod message;
mod quorum;
pub mod record;
pub mod request;
pub mod schedule;
pub mod scheme;
pub mod sim;
pub mod snapshot;
pub mod time;

pub use crate::core::{
    Config, Core, Decision, Effect, Fault, Halt, Held, Input, Memory, Peer, PoolError, Recipients,
};
