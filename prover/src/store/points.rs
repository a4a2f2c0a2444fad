//! Points as they lie in a key's file: uncompressed, of fixed width, quick to read.
//!
//! `x ‖ y`, coordinates little-endian, those of G2 as `c0 ‖ c1`; the top two bits of the last byte
//! are flags: 0x40 for the zero point, whose other bits are 0, and 0x80 when `y` is the larger of
//! `y` and `-y`. Reading checks that coordinates are below the modulus and nothing else: the
//! digest of the block says that the bytes are those that were written.

use ark_bn254::{Fq, Fq2, g1, g2};
use ark_ec::AffineRepr;
use ark_ec::short_weierstrass::Affine;
use ark_ff::{BigInt, PrimeField};
use ark_serialize::CanonicalSerialize;

/// Bytes of a point of G1.
pub(crate) const G1_BYTES: usize = 64;
/// Bytes of a point of G2.
pub(crate) const G2_BYTES: usize = 128;
const FLAGS: u8 = 0xc0;
const INFINITY: u8 = 0x40;

/// A point that lies in a key's file.
pub(crate) trait Point: AffineRepr + CanonicalSerialize {
    /// Bytes of a point.
    const BYTES: usize;

    /// `out` has [`Self::BYTES`].
    fn encode(&self, out: &mut [u8]) {
        self.serialize_uncompressed(out)
            .expect("an uncompressed point has the length of the buffer");
    }

    /// `None` when a coordinate is not below the modulus.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

impl Point for Affine<g1::Config> {
    const BYTES: usize = G1_BYTES;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (x, y) = bytes.split_at(32);
        if y[31] & INFINITY != 0 {
            return Some(Self::identity());
        }
        Some(Self::new_unchecked(coordinate(x)?, coordinate(y)?))
    }
}

impl Point for Affine<g2::Config> {
    const BYTES: usize = G2_BYTES;

    fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes[127] & INFINITY != 0 {
            return Some(Self::identity());
        }
        let [x0, x1, y0, y1] = [0, 32, 64, 96].map(|at| coordinate(&bytes[at..at + 32]));
        Some(Self::new_unchecked(Fq2::new(x0?, x1?), Fq2::new(y0?, y1?)))
    }
}

/// A coordinate below the modulus, which has 254 bits: flags stand above it.
fn coordinate(bytes: &[u8]) -> Option<Fq> {
    let mut limbs = [0; 4];
    for (limb, bytes) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
        *limb = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    }
    limbs[3] &= !(u64::from(FLAGS) << 56);
    Fq::from_bigint(BigInt(limbs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_bn254::{G1Affine, G2Affine};
    use ark_ec::CurveGroup;
    use ark_ff::{AdditiveGroup, Field};

    fn round_trip<P: Point>() {
        let mut point = P::generator();
        for _ in 0..20 {
            point = (point + point + P::generator()).into_affine();
            for point in [point, (-point.into_group()).into_affine(), P::zero()] {
                let mut bytes = vec![0; P::BYTES];
                point.encode(&mut bytes);
                assert_eq!(P::decode(&bytes), Some(point));
            }
        }
    }

    #[test]
    fn points_come_back() {
        round_trip::<G1Affine>();
        round_trip::<G2Affine>();
    }

    #[test]
    fn coordinates_from_the_modulus_on_are_none() {
        let mut bytes = [0; G2_BYTES];
        let mut modulus = [0; 32];
        for (bytes, limb) in modulus.chunks_exact_mut(8).zip(Fq::MODULUS.0) {
            bytes.copy_from_slice(&limb.to_le_bytes());
        }
        assert_eq!(coordinate(&modulus), None);
        let below = modulus;
        assert_eq!(
            coordinate(&[&[below[0] - 1], &below[1..]].concat()),
            Some(-Fq::ONE)
        );
        assert_eq!(coordinate(&[0; 32]), Some(Fq::ZERO));
        for at in [0, 32, 64, 96] {
            bytes[at..at + 32].copy_from_slice(&modulus);
            assert_eq!(G2Affine::decode(&bytes), None);
            bytes[at..at + 32].fill(0);
        }
    }
}
