//! The field of integers modulo p = 2^255 - 19, natively: what the gadgets' hints are computed in.

use ark_ff::fields::{Fp256, MontBackend, MontConfig};
use ark_ff::{BigInt, PrimeField};

use super::int::{Int, Modulus};

/// Montgomery parameters of 2^255 - 19; 2 generates its multiplicative group.
#[derive(MontConfig)]
#[modulus = "57896044618658097711785492504343953926634992332820282019728792003956564819949"]
#[generator = "2"]
pub struct Curve25519Base;

/// An element of the field modulo 2^255 - 19.
pub type Fp = Fp256<MontBackend<Curve25519Base, 4>>;

/// The modulus p = 2^255 - 19.
pub fn modulus() -> Modulus {
    Modulus::new(255, Int::from(19))
}

/// The residue of an integer.
pub fn residue(x: Int) -> Fp {
    let (_, remainder) = modulus().div_rem(x);
    let words = remainder.to_words().unwrap_or_default();
    Fp::from_bigint(BigInt(words)).unwrap_or_default()
}

/// The representative in `[0, p)`.
pub fn canonical(x: Fp) -> Int {
    Int::from_words(&x.into_bigint().0)
}
