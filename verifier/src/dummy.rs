//! The dummy key: fills the unused slots of a circuit with valid signatures.
//!
//! Its secret is published, here. A proof of few signers then does the same work as one of many,
//! and its time does not count them. No validator set takes it: anybody can sign with it.

use ed25519_dalek::{Signer, SigningKey};

use crate::message::Tag;
use crate::signature::Signature;

/// The key's 32 canonical bytes; a test recomputes them from the seed.
pub const DUMMY_KEY: [u8; 32] = [
    0x46, 0x88, 0xd1, 0xb9, 0xe5, 0x63, 0xb6, 0x25, 0xd7, 0xe8, 0x13, 0x0f, 0x2d, 0x01, 0x51, 0xde,
    0x38, 0xa6, 0xae, 0x3e, 0x02, 0x32, 0xe7, 0x06, 0x99, 0xa7, 0xbe, 0x3d, 0xb9, 0xa7, 0xff, 0x53,
];

/// The dummy key's signature of a message. The seed of the key is `SHA-256("quorate-dummy-1")`.
pub fn dummy_signature(message: &[u8]) -> Signature {
    Signature::from_bytes(signing_key().sign(message).to_bytes())
}

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(Tag::DUMMY.digest(&[]).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::CircuitSize;
    use crate::set::{SetError, ValidatorSet};
    use crate::signature::{VoteKey, verify};

    #[test]
    fn the_key_follows_from_its_seed_and_signs() {
        assert_eq!(signing_key().verifying_key().to_bytes(), DUMMY_KEY);
        let key = VoteKey::from_bytes(&DUMMY_KEY).expect("an ordinary key");
        assert_eq!(
            verify(&key, b"message", &dummy_signature(b"message")),
            Ok(())
        );
    }

    #[test]
    fn no_set_takes_it() {
        let size = CircuitSize::from_slots(1).expect("one slot");
        let set = ValidatorSet::from_unchecked(&[(DUMMY_KEY, 1)], None, size);
        assert_eq!(set, Err(SetError::DummyKey(0)));
    }
}
