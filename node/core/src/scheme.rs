//! The signature scheme as a parameter: Ed25519 in a node, symbolic in the simulator.

use quorate_verifier::signature::{
    BatchError, Signature, VoteKey, verify, verify_batch, verify_strict,
};

/// Judges signatures. Making them is the shell's business: the core holds no secret.
pub trait Scheme {
    /// Whether a single vote or message is signed by `key`.
    fn verify(&self, key: &VoteKey, message: &[u8], signature: &Signature) -> bool;

    /// Whether every signature of a certificate holds. Accepts at least what [`Scheme::verify`]
    /// accepts, so that votes which were counted make a certificate.
    fn verify_all(&self, items: &[(&VoteKey, &[u8], &Signature)]) -> bool;

    /// For each of these whether it holds: requests, whose verdict must be the same for all
    /// replicas, whatever each has beside them. Judged together, since that is far cheaper.
    fn verify_each(&self, items: &[(&VoteKey, &[u8], &Signature)]) -> Vec<bool>;
}

/// Ed25519 by the predicate of `docs/signatures.md`: single messages strictly, certificates and
/// requests as the verifier and the circuit judge them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ed25519;

impl Scheme for Ed25519 {
    fn verify(&self, key: &VoteKey, message: &[u8], signature: &Signature) -> bool {
        verify_strict(key, message, signature).is_ok()
    }

    fn verify_all(&self, items: &[(&VoteKey, &[u8], &Signature)]) -> bool {
        verify_batch(items).is_ok()
    }

    fn verify_each(&self, items: &[(&VoteKey, &[u8], &Signature)]) -> Vec<bool> {
        if let [(key, message, signature)] = items {
            return vec![verify(key, message, signature).is_ok()];
        }
        let mut holds = vec![true; items.len()];
        if let Err(BatchError::Bad(bad)) = verify_batch(items) {
            bad.iter().for_each(|bad| holds[bad.index] = false);
        }
        holds
    }
}
