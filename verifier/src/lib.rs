//! The claim: what a commit certificate says, and how to check it.
#![no_std]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod hash_to_field;
pub mod poseidon;
pub mod signature;
