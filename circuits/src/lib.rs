//! The quorum circuit and its gadgets over the BN254 scalar field.
