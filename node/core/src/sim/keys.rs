//! Keys and validator sets of simulated worlds, made once per process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use ed25519_dalek::{Signer, SigningKey};
use quorate_verifier::primitives::{CircuitSize, Power};
use quorate_verifier::set::{Validator, ValidatorSet};
use quorate_verifier::signature::{Signature, VoteKey};

use crate::request::ClientKey;
use crate::scheme::{Ed25519, Scheme};

/// Validators that a world can have, spare ones included.
pub const VALIDATORS: usize = 24;
/// Clients that a world can have.
pub const CLIENTS: usize = 8;

/// Whose key: a validator's, or after those a client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub usize);

impl KeyId {
    /// A client's key.
    pub const fn client(client: usize) -> Self {
        Self(VALIDATORS + client)
    }
}

struct Pair {
    secret: SigningKey,
    public: VoteKey,
}

fn pairs() -> &'static [Pair] {
    static PAIRS: OnceLock<Vec<Pair>> = OnceLock::new();
    PAIRS.get_or_init(|| {
        let make = |i: u8| {
            let secret = SigningKey::from_bytes(&[i.wrapping_add(1); 32]);
            let public = VoteKey::from_bytes(secret.verifying_key().as_bytes());
            Pair {
                secret,
                public: public.expect("a derived key has prime order"),
            }
        };
        let count = u8::try_from(VALIDATORS + CLIENTS).expect("a few dozen");
        (0..count).map(make).collect()
    })
}

/// The public key.
pub fn public(id: KeyId) -> &'static VoteKey {
    &pairs()[id.0].public
}

/// A client's name.
pub fn client_key(client: usize) -> ClientKey {
    ClientKey(*public(KeyId::client(client)).as_bytes())
}

/// A public set of the first validators with these powers.
pub fn set_of(powers: &[u64]) -> Arc<ValidatorSet> {
    let members: Vec<_> = powers.iter().copied().enumerate().collect();
    set_of_members(&members)
}

/// A public set of these validators, each with its power.
pub fn set_of_members(members: &[(usize, u64)]) -> Arc<ValidatorSet> {
    type Sets = BTreeMap<Vec<(usize, u64)>, Arc<ValidatorSet>>;
    static SETS: OnceLock<Mutex<Sets>> = OnceLock::new();
    let mut sets = SETS
        .get_or_init(Mutex::default)
        .lock()
        .expect("no panic happens while a set is made");
    let make = || {
        let member = |(i, power): &(usize, u64)| Validator {
            key: public(KeyId(*i)).clone(),
            power: Power::new(*power).expect("small powers"),
        };
        let size = CircuitSize::from_slots(16).expect("16 slots");
        let set = ValidatorSet::new(members.iter().map(member).collect(), None, size);
        Arc::new(set.expect("distinct keys with power"))
    };
    sets.entry(members.to_vec()).or_insert_with(make).clone()
}

/// A scheme that can also sign, in a world where every key is at hand.
pub trait Crypto: Scheme + Clone {
    /// Signs with a key; the world hands each actor only its own.
    fn sign(&self, id: KeyId, message: &[u8]) -> Signature;
}

impl Crypto for Ed25519 {
    fn sign(&self, id: KeyId, message: &[u8]) -> Signature {
        Signature::from_bytes(pairs()[id.0].secret.sign(message).to_bytes())
    }
}

/// Signatures that say who signed what, and cannot be made otherwise in this world: a keyed
/// mixing function, fast and without any cryptographic claim. No actor has the world's key.
#[derive(Clone, Debug)]
pub struct Symbolic {
    world: u64,
}

impl Symbolic {
    /// For the world of one seed.
    pub fn new(seed: u64) -> Self {
        Self {
            world: mix(seed ^ 0x5afe_5afe, 0x0123_4567_89ab_cdef),
        }
    }

    fn mark(&self, key: &[u8; 32], message: &[u8]) -> Signature {
        let (mut a, mut b) = (self.world, !self.world);
        for chunk in key.chunks(8).chain(message.chunks(8)) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let word = u64::from_le_bytes(word) ^ (chunk.len() as u64) << 59;
            a = mix(a ^ word, 0x9e37_79b9_7f4a_7c15);
            b = mix(b.rotate_left(17) ^ word, 0xd6e8_feb8_6659_fd93);
        }
        let mut bytes = [0; 64];
        for (i, part) in bytes.chunks_mut(8).enumerate() {
            let word = if i % 2 == 0 { a } else { b };
            part.copy_from_slice(&word.wrapping_add(i as u64).to_le_bytes());
        }
        Signature::from_bytes(bytes)
    }
}

fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0xa076_1d64_78bd_642f) * u128::from(b | 1);
    let low = u64::try_from(product & u128::from(u64::MAX)).expect("masked");
    let high = u64::try_from(product >> 64).expect("shifted");
    low ^ high.rotate_left(23)
}

impl Scheme for Symbolic {
    fn verify(&self, key: &VoteKey, message: &[u8], signature: &Signature) -> bool {
        self.mark(key.as_bytes(), message) == *signature
    }

    fn verify_all(&self, items: &[(&VoteKey, &[u8], &Signature)]) -> bool {
        items
            .iter()
            .all(|(key, message, signature)| self.verify(key, message, signature))
    }

    fn verify_each(&self, items: &[(&VoteKey, &[u8], &Signature)]) -> Vec<bool> {
        let verdicts = items
            .iter()
            .map(|(key, message, signature)| self.verify(key, message, signature));
        verdicts.collect()
    }
}

impl Crypto for Symbolic {
    fn sign(&self, id: KeyId, message: &[u8]) -> Signature {
        self.mark(public(id).as_bytes(), message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbolic_signatures_tell_key_message_and_world() {
        let world = Symbolic::new(1);
        let signature = world.sign(KeyId(0), b"message");
        assert!(world.verify(public(KeyId(0)), b"message", &signature));
        assert!(!world.verify(public(KeyId(1)), b"message", &signature));
        assert!(!world.verify(public(KeyId(0)), b"messagf", &signature));
        assert!(!world.verify(public(KeyId(0)), b"message\0", &signature));
        assert!(!Symbolic::new(2).verify(public(KeyId(0)), b"message", &signature));
    }
}
