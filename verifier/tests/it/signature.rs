//! The signature predicate: agreement of its forms on random input, and attacks on each of its rules.
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use proptest::prelude::*;
use quorate_verifier::signature::curve25519_dalek::constants::EIGHT_TORSION;
use quorate_verifier::signature::curve25519_dalek::{EdwardsPoint, Scalar};
use quorate_verifier::signature::{
    BadSignature, BatchError, KeyError, Signature, SignatureError, StrictError, VoteKey, challenge,
    verify, verify_batch, verify_raw, verify_strict,
};

use crate::signature_cases::logs;

const MESSAGE: &[u8; 47] = b"quorate-commit1................................";

fn signer(seed: u8) -> (SigningKey, VoteKey) {
    let secret = SigningKey::from_bytes(&[seed; 32]);
    let key = VoteKey::from_bytes(secret.verifying_key().as_bytes()).unwrap();
    (secret, key)
}

fn sign(secret: &SigningKey, message: &[u8]) -> Signature {
    Signature::from_bytes(secret.sign(message).to_bytes())
}

/// A signature by the owner of `secret` with any nonce point of known logarithm.
fn sign_with_nonce(
    secret: &SigningKey,
    message: &[u8],
    nonce: &Scalar,
    torsion: usize,
) -> Signature {
    let r = (EdwardsPoint::mul_base(nonce) + EIGHT_TORSION[torsion])
        .compress()
        .0;
    let k = challenge(&r, secret.verifying_key().as_bytes(), message);
    join(r, nonce + k * secret.to_scalar())
}

fn join(r: [u8; 32], s: Scalar) -> Signature {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&r);
    bytes[32..].copy_from_slice(s.as_bytes());
    Signature::from_bytes(bytes)
}

fn s_of(signature: &Signature) -> Scalar {
    Scalar::from_canonical_bytes(signature.s_bytes()).unwrap()
}

#[test]
fn an_honest_signature_passes_every_form() {
    let (secret, key) = signer(7);
    let signature = sign(&secret, MESSAGE);
    assert_eq!(verify(&key, MESSAGE, &signature), Ok(()));
    assert_eq!(verify_strict(&key, MESSAGE, &signature), Ok(()));
    assert_eq!(verify_batch(&[(&key, MESSAGE, &signature)]), Ok(()));
    let k = challenge(&signature.r_bytes(), key.as_bytes(), MESSAGE);
    assert_eq!(verify_raw(key.as_bytes(), &signature, &k), Ok(()));
}

#[test]
fn an_empty_batch_is_refused() {
    assert_eq!(verify_batch(&[]), Err(BatchError::Empty));
}

/// Without weights the two errors cancel: whoever holds two keys would pass two bad votes, one of them for a
/// message that the other key never signed.
#[test]
fn errors_that_cancel_are_both_named() {
    let ((secret, key), (other_secret, other_key)) = (signer(1), signer(2));
    let (signature, other) = (sign(&secret, MESSAGE), sign(&other_secret, MESSAGE));
    let shift = Scalar::from(77u8);
    let up = join(signature.r_bytes(), s_of(&signature) + shift);
    let down = join(other.r_bytes(), s_of(&other) - shift);
    let bad = |index| BadSignature {
        index,
        error: SignatureError::Equation,
    };
    assert_eq!(
        verify_batch(&[(&key, MESSAGE, &up), (&other_key, MESSAGE, &down)]),
        Err(BatchError::Bad(vec![bad(0), bad(1)]))
    );
}

#[test]
fn exchanged_signatures_are_both_named() {
    let ((secret, key), (other_secret, other_key)) = (signer(1), signer(2));
    let (signature, other) = (sign(&secret, MESSAGE), sign(&other_secret, MESSAGE));
    let result = verify_batch(&[
        (&key, MESSAGE, &other),
        (&key, MESSAGE, &signature),
        (&other_key, MESSAGE, &signature),
    ]);
    let Err(error @ BatchError::Bad(_)) = result else {
        panic!("{result:?}")
    };
    assert_eq!(
        error.to_string(),
        "signature 0: the signature does not match key and message; \
         signature 2: the signature does not match key and message"
    );
}

/// dalek's key constructor takes encodings that are not canonical: y >= p, and a sign on x = 0. The set check does
/// not, though each is a point that a canonical encoding names too.
#[test]
fn the_set_check_refuses_the_encodings_that_dalek_takes_twice() {
    let (mut y_above_p, mut negative_zero) = (0, 0);
    for low in 0..=255u8 {
        for (fill, sign) in [(0, 0), (0, 0x80), (0xff, 0), (0xff, 0x80)] {
            let mut bytes = [fill; 32];
            bytes[0] = low;
            bytes[31] = (fill & 0x7f) | sign;
            let Ok(dalek) = VerifyingKey::from_bytes(&bytes) else {
                continue;
            };
            if dalek.to_edwards().compress().0 == bytes {
                assert_ne!(VoteKey::from_bytes(&bytes), Err(KeyError::NonCanonical));
                continue;
            }
            assert_eq!(VoteKey::from_bytes(&bytes), Err(KeyError::NonCanonical));
            if fill == 0xff && low >= 237 {
                y_above_p += 1;
            } else {
                negative_zero += 1;
            }
        }
    }
    assert_eq!((y_above_p, negative_zero), (24, 2));
}

#[test]
fn keys_that_anyone_signs_for_are_refused_by_name() {
    assert_eq!(
        VoteKey::from_bytes(&[0; 32]),
        Err(KeyError::SmallOrder),
        "y = 0 has order four"
    );
    for point in logs::small_order().iter().filter(|point| point.canonical) {
        let expected = if point.torsion == 0 {
            KeyError::Identity
        } else {
            KeyError::SmallOrder
        };
        assert_eq!(VoteKey::from_bytes(&point.bytes), Err(expected));
    }
    let sound = signer(1).1.point();
    for torsion in &EIGHT_TORSION[1..] {
        let mixed = (sound + torsion).compress().0;
        assert_eq!(VoteKey::from_bytes(&mixed), Err(KeyError::MixedOrder));
    }
}

#[test]
fn keys_compare_and_print_by_their_bytes() {
    let (mut keys, mut bytes): (Vec<VoteKey>, Vec<[u8; 32]>) = (1..9)
        .map(|seed| signer(seed).1)
        .map(|key| (key.clone(), *key.as_bytes()))
        .unzip();
    keys.sort();
    bytes.sort_unstable();
    assert!(keys.iter().map(VoteKey::as_bytes).eq(&bytes));
    assert_eq!(
        format!("{:?}", keys[0]),
        format!("VoteKey({})", hex::encode(bytes[0]))
    );
}

/// What is done to one honest vote before it enters a batch.
#[derive(Clone, Copy, Debug)]
enum Change {
    Nothing,
    /// Signed by the owner over R + T: still valid.
    Torsion(usize),
    /// R of order four or eight, signed by the owner: still valid.
    SmallNonce(usize),
    FlipBit(usize),
    FlipMessageBit(usize),
    OtherKey,
    AddL,
    IdentityNonce,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => Just(Change::Nothing),
        2 => (1usize..8).prop_map(Change::Torsion),
        1 => prop::sample::select(vec![1usize, 2, 3, 5, 6, 7]).prop_map(Change::SmallNonce),
        2 => (0usize..512).prop_map(Change::FlipBit),
        1 => (0usize..8 * 47).prop_map(Change::FlipMessageBit),
        1 => Just(Change::OtherKey),
        1 => Just(Change::AddL),
        1 => Just(Change::IdentityNonce),
    ]
}

/// The vote of `seed` after `change`, and whether it is still valid (it never is by chance).
fn vote(seed: u8, change: Change) -> (VoteKey, Vec<u8>, Signature, bool) {
    let (secret, key) = signer(seed);
    let mut message = MESSAGE.to_vec();
    let nonce = Scalar::from_bytes_mod_order([seed; 32]);
    let honest = sign(&secret, &message);
    match change {
        Change::Nothing => (key, message, honest, true),
        Change::Torsion(torsion) => {
            let signature = sign_with_nonce(&secret, &message, &nonce, torsion);
            (key, message, signature, true)
        }
        Change::SmallNonce(torsion) => {
            let signature = sign_with_nonce(&secret, &message, &Scalar::ZERO, torsion);
            (key, message, signature, true)
        }
        Change::FlipBit(bit) => {
            let mut bytes = honest.to_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            (key, message, Signature::from_bytes(bytes), false)
        }
        Change::FlipMessageBit(bit) => {
            message[bit / 8] ^= 1 << (bit % 8);
            (key, message, honest, false)
        }
        Change::OtherKey => (signer(seed ^ 0x80).1, message, honest, false),
        Change::AddL => {
            let mut bytes = honest.to_bytes();
            let mut carry = 0u16;
            for (byte, l) in bytes[32..].iter_mut().zip(logs::L) {
                let sum = u16::from(*byte) + u16::from(l) + carry;
                [*byte, _] = sum.to_le_bytes();
                carry = sum >> 8;
            }
            (key, message, Signature::from_bytes(bytes), false)
        }
        Change::IdentityNonce => {
            let signature = sign_with_nonce(&secret, &message, &Scalar::ZERO, 0);
            (key, message, signature, false)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_batch_names_exactly_the_votes_that_fail_singly(changes in prop::collection::vec(change(), 1..24)) {
        let votes: Vec<_> = (1u8..).zip(&changes).map(|(seed, change)| vote(seed, *change)).collect();
        let items: Vec<_> = votes.iter().map(|(key, message, signature, _)| (key, message.as_slice(), signature)).collect();
        let singly: Vec<_> = items.iter().map(|(key, message, signature)| verify(key, message, signature)).collect();
        for ((_, _, _, valid), verdict) in votes.iter().zip(&singly) {
            prop_assert_eq!(*valid, verdict.is_ok());
        }
        let bad: Vec<BadSignature> = singly
            .iter()
            .enumerate()
            .filter_map(|(index, verdict)| verdict.err().map(|error| BadSignature { index, error }))
            .collect();
        let expected = if bad.is_empty() { Ok(()) } else { Err(BatchError::Bad(bad)) };
        prop_assert_eq!(verify_batch(&items), expected);
    }

    /// `verify_strict` is `verify` and "R has prime order", for a key that passed the set check.
    #[test]
    fn strict_is_the_predicate_with_a_nonce_of_prime_order(seed in 1u8..=255, nonce: [u8; 32], torsion in 0usize..8) {
        let (secret, key) = signer(seed);
        let signature = sign_with_nonce(&secret, MESSAGE, &Scalar::from_bytes_mod_order(nonce), torsion);
        prop_assert_eq!(verify(&key, MESSAGE, &signature), Ok(()));
        let expected = if torsion == 0 { Ok(()) } else { Err(StrictError::Torsion) };
        prop_assert_eq!(verify_strict(&key, MESSAGE, &signature), expected);
    }

    /// Hostile bytes get a verdict, the same from each form, and never a panic.
    #[test]
    fn any_bytes_are_judged_alike(a: [u8; 32], sig in prop::array::uniform32(any::<[u8; 2]>()), message: Vec<u8>) {
        let bytes: [u8; 64] = core::array::from_fn(|i| sig[i / 2][i % 2]);
        let signature = Signature::from_bytes(bytes);
        let k = challenge(&signature.r_bytes(), &a, &message);
        prop_assert!(verify_raw(&a, &signature, &k).is_err());
        let key = VoteKey::from_bytes(&a).unwrap_or_else(|_| signer(3).1);
        let single = verify(&key, &message, &signature);
        prop_assert!(single.is_err());
        prop_assert_eq!(verify_strict(&key, &message, &signature), single.map_err(StrictError::Invalid));
        let batch = single.map_err(|error| BatchError::Bad(vec![BadSignature { index: 0, error }]));
        prop_assert_eq!(verify_batch(&[(&key, &message, &signature)]), batch);
    }
}
