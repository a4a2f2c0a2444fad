//! The quorum circuit and its gadgets over the BN254 scalar field.

pub mod circom;
pub mod circuit;
pub mod edwards;
pub mod field25519;
pub mod ground;
pub mod lookup;
pub mod membership;
pub mod poseidon;
pub mod quorum;
pub mod report;
pub mod scalar;
pub mod sha512;
pub mod testing;
pub mod transcript;
