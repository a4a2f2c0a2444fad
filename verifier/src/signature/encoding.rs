//! Canonical point encodings: the one encoding of a point that compression produces.
//!
//! The definition is "decompress, compress again, same bytes". Decoders in the field accept more: `y >= p`, and
//! a sign bit on `x = 0`. Both are visible in the bytes, so no inversion is spent on compressing again; the
//! tests hold this file to the definition.

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};

/// Why 32 bytes are not the canonical encoding of a curve point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointError {
    /// y >= p, or the sign bit is set though x = 0.
    #[error("is not in canonical form (y >= p, or a sign on x = 0)")]
    NonCanonical,
    /// No curve point has this y.
    #[error("is not on the curve")]
    NotOnCurve,
}

/// The point that `bytes` is the canonical encoding of, whatever its order.
pub(super) fn decode(bytes: &[u8; 32]) -> Result<EdwardsPoint, PointError> {
    if !y_is_reduced(bytes) || (x_is_zero(bytes) && has_sign(bytes)) {
        return Err(PointError::NonCanonical);
    }
    CompressedEdwardsY(*bytes)
        .decompress()
        .ok_or(PointError::NotOnCurve)
}

/// For an encoding with y < p: is x = 0? On this curve that is y = 1 (the identity) or y = -1 (order two),
/// because -x^2 + y^2 = 1 + d x^2 y^2 turns y^2 = 1 into (1 + d) x^2 = 0, and d is not -1.
pub(super) fn x_is_zero(bytes: &[u8; 32]) -> bool {
    let y = without_sign(bytes);
    y == ONE || y == MINUS_ONE
}

/// y < p = 2^255 - 19, the sign bit left aside.
fn y_is_reduced(bytes: &[u8; 32]) -> bool {
    without_sign(bytes).iter().rev().lt(P.iter().rev())
}

fn has_sign(bytes: &[u8; 32]) -> bool {
    bytes[31] >> 7 == 1
}

fn without_sign(bytes: &[u8; 32]) -> [u8; 32] {
    let mut y = *bytes;
    y[31] &= 0x7f;
    y
}

const ONE: [u8; 32] = little_endian(0x01, 0x00);
const MINUS_ONE: [u8; 32] = little_endian(0xec, 0xff);
const P: [u8; 32] = little_endian(0xed, 0xff);

/// 32 bytes: `low`, thirty times `middle`, and `middle` without its sign bit.
const fn little_endian(low: u8, middle: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = low;
    bytes[31] = middle & 0x7f;
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test states what must hold")]

    use super::*;
    use curve25519_dalek::constants::EIGHT_TORSION;
    use curve25519_dalek::scalar::Scalar;
    use proptest::prelude::*;

    /// The definition that [`decode`] must equal.
    fn by_definition(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
        let point = CompressedEdwardsY(*bytes).decompress()?;
        (point.compress().0 == *bytes).then_some(point)
    }

    /// Every y from p - 20 to 2^255 - 1 and from 0 to 20, with both signs.
    fn border_encodings() -> impl Iterator<Item = [u8; 32]> {
        let low = (0u8..=20).map(|y| little_endian(y, 0));
        let high = (0xed - 20..=0xff).map(|y| little_endian(y, 0xff));
        low.chain(high).flat_map(|y| {
            let mut signed = y;
            signed[31] |= 0x80;
            [y, signed]
        })
    }

    #[test]
    fn equals_the_definition_at_every_border() {
        let (mut kept, mut refused) = (0, 0);
        for bytes in border_encodings() {
            assert_eq!(decode(&bytes).ok(), by_definition(&bytes), "{bytes:02x?}");
            kept += u32::from(decode(&bytes).is_ok());
            refused += u32::from(decode(&bytes) == Err(PointError::NonCanonical));
        }
        assert!(kept > 0);
        assert_eq!(
            refused,
            2 * 19 + 2,
            "nineteen y >= p with two signs each, and -0 for y = 1 and y = -1"
        );
    }

    #[test]
    fn x_is_zero_at_the_identity_and_at_order_two_only() {
        for torsion in EIGHT_TORSION {
            let doubled = torsion + torsion;
            assert_eq!(
                x_is_zero(&torsion.compress().0),
                doubled == EdwardsPoint::default()
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn equals_the_definition_on_random_bytes(bytes: [u8; 32]) {
            prop_assert_eq!(decode(&bytes).ok(), by_definition(&bytes));
        }

        #[test]
        fn every_compressed_point_is_canonical(scalar: [u8; 32], t in 0usize..8) {
            let point = EdwardsPoint::mul_base(&Scalar::from_bytes_mod_order(scalar)) + EIGHT_TORSION[t];
            let bytes = point.compress().0;
            prop_assert_eq!(decode(&bytes).unwrap(), point);
            prop_assert_eq!(x_is_zero(&bytes), (point + point) == EdwardsPoint::default());
        }
    }
}
