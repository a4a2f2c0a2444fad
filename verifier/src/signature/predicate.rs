//! The predicate on one signature, and the stricter check for single votes.

use core::fmt;

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use sha2::{Digest, Sha512};

use super::encoding::{self, PointError};
use super::key::VoteKey;

/// 64 bytes that claim to be a signature: R, then s. Nothing about them has been checked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Takes the bytes as they are; [`verify`] judges them.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// R followed by s.
    pub const fn to_bytes(self) -> [u8; 64] {
        self.0
    }

    /// R followed by s, borrowed.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// Bytes 0-31: the encoding of R.
    pub fn r_bytes(&self) -> [u8; 32] {
        core::array::from_fn(|i| self.0[i])
    }

    /// Bytes 32-63: s, little-endian.
    pub fn s_bytes(&self) -> [u8; 32] {
        core::array::from_fn(|i| self.0[32 + i])
    }
}

impl From<[u8; 64]> for Signature {
    fn from(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", hex::encode(self.0))
    }
}

/// Is `signature` valid for `message` under `key`, by the predicate of this module?
///
/// Variable time: all inputs are public.
///
/// # Errors
///
/// The first rule broken, in the order of [`SignatureError`]'s variants.
pub fn verify(key: &VoteKey, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
    let parts = Parts::decode(signature)?;
    let k = challenge(&signature.r_bytes(), key.as_bytes(), message);
    parts.satisfy_equation(&key.point(), &k)
}

/// The predicate on bare encodings and a given challenge, without the key's set check: `A` may be of any order.
///
/// This is what vectors with a torsion component in A are judged by, and what a circuit's signature check must
/// agree with. It says nothing about who could have signed; for votes use [`verify`].
///
/// Variable time: all inputs are public.
///
/// # Errors
///
/// The first rule broken: those of A's encoding, then those of [`verify`] in its order.
#[allow(non_snake_case, reason = "the names of RFC 8032")]
pub fn verify_raw(A: &[u8; 32], signature: &Signature, k: &Scalar) -> Result<(), RawError> {
    let A = encoding::decode(A).map_err(RawError::Key)?;
    let parts = Parts::decode(signature)?;
    Ok(parts.satisfy_equation(&A, k)?)
}

/// `k = SHA-512(R || A || M) mod L`, over the bytes as given.
#[allow(non_snake_case, reason = "the names of RFC 8032")]
pub fn challenge(R: &[u8; 32], A: &[u8; 32], message: &[u8]) -> Scalar {
    let digest = Sha512::new()
        .chain_update(R)
        .chain_update(A)
        .chain_update(message)
        .finalize();
    Scalar::from_bytes_mod_order_wide(&digest.into())
}

/// The check for a single vote, before it is counted, stored or passed on: ed25519-dalek's `verify_strict`.
///
/// For a [`VoteKey`] it accepts exactly those signatures that [`verify`] accepts and whose R has prime order, so
/// every vote taken by it belongs in a certificate. The reverse fails only for signatures that the key's owner
/// made with a torsion component in R, and then the error is [`StrictError::Torsion`].
///
/// Variable time: all inputs are public.
///
/// # Errors
///
/// What [`verify`] says of the signature, or [`StrictError::Torsion`] if it says nothing.
pub fn verify_strict(
    key: &VoteKey,
    message: &[u8],
    signature: &Signature,
) -> Result<(), StrictError> {
    // s < L is checked here as well: a feature of ed25519-dalek, which any crate of the build may switch on, drops it.
    let dalek = ed25519_dalek::Signature::from_bytes(signature.as_bytes());
    if reduced_s(signature).is_ok() && key.dalek().verify_strict(message, &dalek).is_ok() {
        return Ok(());
    }
    verify(key, message, signature)?;
    Err(StrictError::Torsion)
}

/// Why a signature is not valid. When several rules are broken, the first of this list is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// R has y >= p, or the sign bit is set though x = 0.
    #[error("R is not in canonical form (y >= p, or a sign on x = 0)")]
    RNonCanonical,
    /// No curve point has R's y.
    #[error("R is not on the curve")]
    RNotOnCurve,
    /// x(R) = 0: R is the identity or the point of order two.
    #[error("R is the identity or the point of order two (x = 0)")]
    RSmall,
    /// s >= L.
    #[error("s is not below the group order")]
    SNotReduced,
    /// 8(sB - R - kA) is not the identity: another message, another key, or a forgery.
    #[error("the signature does not match key and message")]
    Equation,
}

/// Why bare encodings fail [`verify_raw`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RawError {
    /// A is not the canonical encoding of a curve point.
    #[error("A {0}")]
    Key(PointError),
    /// The signature breaks a rule.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// Why a single vote is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrictError {
    /// The signature is not valid at all.
    #[error(transparent)]
    Invalid(#[from] SignatureError),
    /// Valid in a certificate, but R has a torsion component: only the key's owner can make such a signature,
    /// and only on purpose.
    #[error("R has a torsion component: valid in a certificate, but not taken as a vote")]
    Torsion,
}

/// A signature whose halves were decoded and passed every check that needs neither key nor message.
#[allow(non_snake_case, reason = "the names of RFC 8032")]
pub(super) struct Parts {
    /// Any order, x != 0.
    pub(super) R: EdwardsPoint,
    /// Below L.
    pub(super) s: Scalar,
}

impl Parts {
    #[allow(non_snake_case, reason = "the names of RFC 8032")]
    pub(super) fn decode(signature: &Signature) -> Result<Self, SignatureError> {
        let R_bytes = signature.r_bytes();
        let R = encoding::decode(&R_bytes).map_err(|error| match error {
            PointError::NonCanonical => SignatureError::RNonCanonical,
            PointError::NotOnCurve => SignatureError::RNotOnCurve,
        })?;
        if encoding::x_is_zero(&R_bytes) {
            return Err(SignatureError::RSmall);
        }
        Ok(Self {
            R,
            s: reduced_s(signature)?,
        })
    }

    /// `8(sB - R - kA) = O`.
    #[allow(non_snake_case, reason = "the names of RFC 8032")]
    pub(super) fn satisfy_equation(
        &self,
        A: &EdwardsPoint,
        k: &Scalar,
    ) -> Result<(), SignatureError> {
        let sB_minus_kA = EdwardsPoint::vartime_double_scalar_mul_basepoint(k, &-A, &self.s);
        // "Of small order" is "times 8 gives the identity".
        if (sB_minus_kA - self.R).is_small_order() {
            Ok(())
        } else {
            Err(SignatureError::Equation)
        }
    }
}

fn reduced_s(signature: &Signature) -> Result<Scalar, SignatureError> {
    Option::from(Scalar::from_canonical_bytes(signature.s_bytes()))
        .ok_or(SignatureError::SNotReduced)
}
