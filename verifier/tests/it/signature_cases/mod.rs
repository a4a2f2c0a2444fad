//! Edge cases of Ed25519 with the verdict that each of five checks must give, and the verdict it does give.
//!
//! Expected verdicts never come from running a verifier. For cases of our own making they follow from the
//! discrete logarithms that the maker knows and a verifier does not ([`logs`]); for published cases from what
//! their publisher says. The tests compare them with [`measure`].

pub(crate) mod logs;
pub(crate) mod own;
pub(crate) mod published;
pub(crate) mod table;

use ed25519_dalek::Verifier;
use quorate_verifier::signature::curve25519_dalek::Scalar;
use quorate_verifier::signature::{
    KeyError, PointError, RawError, Signature, SignatureError, VoteKey, challenge, verify_raw,
};

/// A key, 64 bytes that claim to be its signature of a message, and what is to be said of them.
#[allow(non_snake_case, reason = "the names of RFC 8032")]
pub(crate) struct Case {
    /// What kind of edge this is; a row of the table.
    pub(crate) class: String,
    /// Unique within its source.
    pub(crate) name: String,
    /// The key's bytes.
    pub(crate) A: [u8; 32],
    /// R, then s.
    pub(crate) signature: Signature,
    /// What was signed.
    pub(crate) message: Vec<u8>,
    /// What must be said of it.
    pub(crate) expected: Verdicts,
}

impl Case {
    /// SHA-512(R || A || M) mod L, over the bytes as they stand in the case.
    pub(crate) fn k(&self) -> Scalar {
        challenge(&self.signature.r_bytes(), &self.A, &self.message)
    }
}

/// What five checks say of one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdicts {
    /// Ours: may this key be in a set?
    pub(crate) set_check: Result<(), KeyError>,
    /// Ours: the predicate on bare encodings, whatever the key's order.
    pub(crate) predicate: Result<(), RawError>,
    /// `ed25519-dalek`, `verify`.
    pub(crate) dalek_verify: bool,
    /// `ed25519-dalek`, `verify_strict`.
    pub(crate) dalek_verify_strict: bool,
    /// ZIP-215, by `ed25519-consensus`.
    pub(crate) zip215: bool,
}

impl Verdicts {
    /// A valid signature by a sound key: accepted by all.
    pub(crate) const SOUND: Self = Self {
        set_check: Ok(()),
        predicate: Ok(()),
        dalek_verify: true,
        dalek_verify_strict: true,
        zip215: true,
    };

    /// Refused by all, by our predicate with `error`, though the key is sound.
    pub(crate) const fn refused(error: SignatureError) -> Self {
        Self {
            set_check: Ok(()),
            predicate: Err(RawError::Signature(error)),
            dalek_verify: false,
            dalek_verify_strict: false,
            zip215: false,
        }
    }

    /// Does this make a valid vote: a sound key and a valid signature?
    pub(crate) fn vote(&self) -> bool {
        self.set_check.is_ok() && self.predicate.is_ok()
    }
}

/// Asks every verifier.
pub(crate) fn measure(case: &Case) -> Verdicts {
    let dalek_key = ed25519_dalek::VerifyingKey::from_bytes(&case.A);
    let dalek = ed25519_dalek::Signature::from_bytes(case.signature.as_bytes());
    let zip215_key = ed25519_consensus::VerificationKey::try_from(case.A);
    let zip215 = ed25519_consensus::Signature::from(case.signature.to_bytes());
    Verdicts {
        set_check: VoteKey::from_bytes(&case.A).map(drop),
        predicate: verify_raw(&case.A, &case.signature, &case.k()),
        dalek_verify: dalek_key
            .as_ref()
            .is_ok_and(|key| key.verify(&case.message, &dalek).is_ok()),
        dalek_verify_strict: dalek_key
            .is_ok_and(|key| key.verify_strict(&case.message, &dalek).is_ok()),
        zip215: zip215_key.is_ok_and(|key| key.verify(&zip215, &case.message).is_ok()),
    }
}

/// The rule's name as it stands in the table and in the vector file; `accepted` if none is broken.
pub(crate) fn predicate_word(verdict: Result<(), RawError>) -> &'static str {
    match verdict {
        Ok(()) => "accepted",
        Err(RawError::Key(PointError::NonCanonical)) => "ANonCanonical",
        Err(RawError::Key(PointError::NotOnCurve)) => "ANotOnCurve",
        Err(RawError::Signature(SignatureError::RNonCanonical)) => "RNonCanonical",
        Err(RawError::Signature(SignatureError::RNotOnCurve)) => "RNotOnCurve",
        Err(RawError::Signature(SignatureError::RSmall)) => "RSmall",
        Err(RawError::Signature(SignatureError::SNotReduced)) => "SNotReduced",
        Err(RawError::Signature(SignatureError::Equation)) => "Equation",
    }
}

/// The same for the set check.
pub(crate) fn set_check_word(verdict: Result<(), KeyError>) -> &'static str {
    match verdict {
        Ok(()) => "accepted",
        Err(KeyError::NonCanonical) => "NonCanonical",
        Err(KeyError::NotOnCurve) => "NotOnCurve",
        Err(KeyError::Identity) => "Identity",
        Err(KeyError::SmallOrder) => "SmallOrder",
        Err(KeyError::MixedOrder) => "MixedOrder",
    }
}

/// A file of `fixtures/vectors/ed25519`, or another path from the workspace's root.
pub(crate) fn workspace_file(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path)
}
