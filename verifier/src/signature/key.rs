//! Keys that may vote: canonical, on the curve, of prime order.

use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::traits::IsIdentity;
use ed25519_dalek::VerifyingKey;

use super::encoding::{self, PointError};

/// An Ed25519 public key that passed the set check: canonical, on the curve, `[L]A = O` and `A != O`.
///
/// Holding one is the proof that the check was made. The decompressed point is kept, so verifying does not
/// decompress again. Equality, order and hash are those of the 32 bytes.
#[derive(Clone)]
pub struct VoteKey(VerifyingKey);

impl VoteKey {
    /// Makes the set check. Costs one scalar multiplication, so it belongs where a set is made.
    ///
    /// # Errors
    ///
    /// The first rule broken, in the order of [`KeyError`]'s variants.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let point = encoding::decode(bytes)?;
        if point.is_small_order() {
            return Err(if point.is_identity() {
                KeyError::Identity
            } else {
                KeyError::SmallOrder
            });
        }
        if !point.is_torsion_free() {
            return Err(KeyError::MixedOrder);
        }
        VerifyingKey::from_bytes(bytes)
            .map(Self)
            .map_err(|_| KeyError::NotOnCurve)
    }

    /// The canonical encoding.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The point A; it has prime order.
    pub fn point(&self) -> EdwardsPoint {
        self.0.to_edwards()
    }

    /// A key of any order, to show that the batch does not lean on the set check.
    #[cfg(test)]
    pub(super) fn insecure_unchecked(bytes: &[u8; 32]) -> Option<Self> {
        VerifyingKey::from_bytes(bytes).ok().map(Self)
    }

    pub(super) fn dalek(&self) -> &VerifyingKey {
        &self.0
    }
}

/// Why 32 bytes are not a key that may vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// y >= p, or the sign bit is set though x = 0.
    #[error("key is not in canonical form (y >= p, or a sign on x = 0)")]
    NonCanonical,
    /// No curve point has this y.
    #[error("key is not on the curve")]
    NotOnCurve,
    /// The neutral element: anyone could sign for it.
    #[error("key is the identity: anyone could sign for it")]
    Identity,
    /// Order 2, 4 or 8: anyone could sign for it.
    #[error("key has small order: anyone could sign for it")]
    SmallOrder,
    /// A point of prime order plus a torsion point: verifiers disagree about its signatures.
    #[error("key has mixed order (a torsion component): verifiers disagree about its signatures")]
    MixedOrder,
}

impl From<PointError> for KeyError {
    fn from(error: PointError) -> Self {
        match error {
            PointError::NonCanonical => Self::NonCanonical,
            PointError::NotOnCurve => Self::NotOnCurve,
        }
    }
}

impl TryFrom<&[u8; 32]> for VoteKey {
    type Error = KeyError;
    fn try_from(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        Self::from_bytes(bytes)
    }
}

impl PartialEq for VoteKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for VoteKey {}

impl PartialOrd for VoteKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for VoteKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for VoteKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for VoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VoteKey({})", hex::encode(self.as_bytes()))
    }
}
