//! The signature scheme as a parameter: Ed25519 in a node, symbolic in the simulator.

use quorate_verifier::signature::{Signature, VoteKey, verify_batch, verify_strict};

/// Judges signatures. Making them is the shell's business: the core holds no secret.
pub trait Scheme {
    /// Whether a single vote, message or request is signed by `key`.
    fn verify(&self, key: &VoteKey, message: &[u8], signature: &Signature) -> bool;

    /// Whether every signature of a certificate holds. Accepts at least what [`Scheme::verify`]
    /// accepts, so that votes which were counted make a certificate.
    fn verify_all(&self, items: &[(&VoteKey, &[u8], &Signature)]) -> bool;
}

/// Ed25519 by the predicate of `docs/signatures.md`: single messages strictly, certificates as the
/// verifier and the circuit judge them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ed25519;

impl Scheme for Ed25519 {
    fn verify(&self, key: &VoteKey, message: &[u8], signature: &Signature) -> bool {
        verify_strict(key, message, signature).is_ok()
    }

    fn verify_all(&self, items: &[(&VoteKey, &[u8], &Signature)]) -> bool {
        verify_batch(items).is_ok()
    }
}
