//! The signature predicate: agreement of its forms, and what each rule refuses.
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

use ed25519_dalek::{Signer, SigningKey};
use quorate_verifier::signature::{
    Signature, SignatureError, VoteKey, verify, verify_batch, verify_strict,
};

const MESSAGE: &[u8; 47] = b"quorate-commit1................................";

fn signer(seed: u8) -> (SigningKey, VoteKey) {
    let secret = SigningKey::from_bytes(&[seed; 32]);
    let key = VoteKey::from_bytes(secret.verifying_key().as_bytes()).unwrap();
    (secret, key)
}

fn sign(secret: &SigningKey, message: &[u8]) -> Signature {
    Signature::from_bytes(secret.sign(message).to_bytes())
}

#[test]
fn an_honest_signature_passes_every_form() {
    let (secret, key) = signer(7);
    let signature = sign(&secret, MESSAGE);
    assert_eq!(verify(&key, MESSAGE, &signature), Ok(()));
    assert_eq!(verify_strict(&key, MESSAGE, &signature), Ok(()));
    assert_eq!(verify_batch(&[(&key, MESSAGE, &signature)]), Ok(()));
}

#[test]
fn another_message_or_key_is_refused() {
    let (secret, key) = signer(7);
    let signature = sign(&secret, MESSAGE);
    assert_eq!(
        verify(&key, b"another", &signature),
        Err(SignatureError::Equation)
    );
    assert_eq!(
        verify(&signer(8).1, MESSAGE, &signature),
        Err(SignatureError::Equation)
    );
}
