//! The curve, natively: Ed25519's points in Montgomery coordinates.
//!
//! `-x^2 + y^2 = 1 + d x^2 y^2` and `v^2 = u^3 + A u^2 + u` are the same curve by
//! `y (u + 1) = u - 1` and `x v = c u`, `c^2 = -(A + 2)`, away from the points with x = 0. Chords and
//! tangents are cheaper on the second: a slope and one coordinate per step.

use std::sync::LazyLock;

use ark_ff::{AdditiveGroup, Field as _};
use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::traits::IsIdentity;
use sha2::{Digest, Sha256};

use crate::field25519::{Fp, Int, canonical, residue};

/// A of `v^2 = u^3 + A u^2 + u`.
pub(super) const A: i32 = 486_662;

/// A point of the curve other than those with x = 0, in both forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affine {
    /// Edwards x.
    pub x: Fp,
    /// Montgomery u.
    pub u: Fp,
    /// Montgomery v.
    pub v: Fp,
}

/// The factor c of `x v = c u`: the even square root of `-(A + 2)`.
pub(crate) fn scale() -> Fp {
    static SCALE: LazyLock<Fp> = LazyLock::new(|| even_root(-Fp::from(A + 2)).unwrap_or(Fp::ZERO));
    *SCALE
}

/// The point with this y, x of this parity; `None` if there is none, or if its x is zero.
pub fn lift(y: Fp, odd: bool) -> Option<Affine> {
    let yy = y.square();
    let d = -Fp::from(121_665) / Fp::from(121_666);
    let root = even_root((yy - Fp::ONE) * (d * yy + Fp::ONE).inverse()?)?;
    let x = if odd { -root } else { root };
    let u = (Fp::ONE + y) * (Fp::ONE - y).inverse()?;
    Some(Affine {
        x,
        u,
        v: scale() * u * x.inverse()?,
    })
}

/// `y` and the sign bit of 32 bytes, y not reduced.
pub(super) fn split(bytes: &[u8; 32]) -> (Int, bool) {
    let integer = Int::from_bytes_le(bytes);
    (integer.low_bits(255), bytes[31] >> 7 == 1)
}

/// The affine form of a point with x != 0.
pub fn affine(point: &EdwardsPoint) -> Option<Affine> {
    let (y, odd) = split(&point.compress().to_bytes());
    lift(residue(y), odd)
}

/// The odd multiples `B, 3B, .., 255 B` of the base point.
pub(super) fn base_multiples() -> &'static [Affine] {
    static MULTIPLES: LazyLock<Vec<Affine>> = LazyLock::new(|| {
        let double = ED25519_BASEPOINT_POINT + ED25519_BASEPOINT_POINT;
        core::iter::successors(Some(ED25519_BASEPOINT_POINT), |point| Some(point + double))
            .take(128)
            .filter_map(|point| affine(&point))
            .collect()
    });
    &MULTIPLES
}

/// The point at which the chain starts: of prime order, and nobody knows its logarithm.
///
/// The first of the points `8 P`, `P` decoded from `SHA-256("quorate chain start" || i)`, i one byte,
/// that exists and is not the identity.
pub(crate) fn start() -> EdwardsPoint {
    static START: LazyLock<EdwardsPoint> = LazyLock::new(|| {
        let candidate = |i: u8| {
            let digest = Sha256::new()
                .chain_update(b"quorate chain start")
                .chain_update([i]);
            let point = CompressedEdwardsY(digest.finalize().into()).decompress()?;
            Some(point.mul_by_cofactor()).filter(|point| !point.is_identity())
        };
        (0..=u8::MAX)
            .find_map(candidate)
            .expect("half of all y have a point")
    });
    *START
}

/// `2^doublings` times a point.
pub(super) fn doubled(point: EdwardsPoint, doublings: usize) -> EdwardsPoint {
    (0..doublings).fold(point, |p, _| p + p)
}

fn even_root(square: Fp) -> Option<Fp> {
    let root = square.sqrt()?;
    let odd = canonical(root).slice(0, 1) == 1;
    Some(if odd { -root } else { root })
}
