//! The claim: what a commit certificate says, and how to check it.
#![no_std]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod attestation;
pub mod bundle;
pub mod certificate;
pub mod dummy;
pub mod encoding;
pub mod file;
pub mod founding;
pub mod genesis;
pub mod hash_to_field;
pub mod header;
pub mod inclusion;
pub mod json;
pub mod light_client;
pub mod merkle;
pub mod message;
pub mod poseidon;
pub mod primitives;
pub mod proof;
pub mod roster;
pub mod rule;
pub mod set;
pub mod signature;
pub mod sizes;
pub mod statement;
pub mod tlog;
pub mod trust;
