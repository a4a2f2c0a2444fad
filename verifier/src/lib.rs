//! The claim: what a commit certificate says, and how to check it.
#![no_std]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod signature;
