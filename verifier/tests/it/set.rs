//! Rules of sets at their boundaries, and commitments against another implementation's.

use std::str::FromStr;

use ark_bn254::Fr;
use proptest::prelude::*;
use quorate_fixtures::{Network, seed_bytes};
use quorate_verifier::primitives::{CircuitSize, POWER_LIMIT, Power, View};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::{Salt, SetError, ValidatorSet};
use quorate_verifier::signature::VoteKey;
use serde::Deserialize;

fn key(i: u64) -> [u8; 32] {
    let seed = seed_bytes("set test", 0, i);
    ed25519_dalek::SigningKey::from_bytes(&seed)
        .verifying_key()
        .to_bytes()
}

fn size(slots: u16) -> CircuitSize {
    CircuitSize::from_slots(slots).expect("a good size")
}

fn set_with(powers: &[u64]) -> Result<ValidatorSet, SetError> {
    let entries: Vec<_> = (0..).map(key).zip(powers.iter().copied()).collect();
    ValidatorSet::from_unchecked(&entries, None, size(3))
}

#[test]
fn one_validator_is_a_quorum_of_itself() {
    let network = Network::equal(3, 1, 1);
    let header = network.child(&network.genesis_header());
    let block = network.finalize(header, View::FIRST, &[0]);
    let signed = block.certificate.verify(&network.set, QuorumRule::COMMIT);
    assert_eq!(signed.map(Power::get), Ok(1));
    assert_eq!(network.set.worst_quorum(QuorumRule::COMMIT), 1);
}

#[test]
fn between_1_and_256_validators() {
    assert_eq!(set_with(&[]), Err(SetError::Empty));
    assert_eq!(set_with(&[1; 257]), Err(SetError::TooMany(257)));
    let full = set_with(&[1; 256]).expect("a full tree");
    assert_eq!(full.count(), 256);
    assert_eq!(full.worst_quorum(QuorumRule::COMMIT), 171);
    assert_eq!(full.tree().path(256), None);
    assert!(full.tree().path(255).is_some());
}

#[test]
fn powers_and_totals_stay_below_their_limit() {
    assert_eq!(set_with(&[1, 0]), Err(SetError::ZeroPower(1)));
    let power = POWER_LIMIT;
    assert_eq!(
        set_with(&[1, power]),
        Err(SetError::PowerTooLarge { index: 1, power })
    );
    assert!(set_with(&[power - 1]).is_ok());
    assert!(set_with(&[power - 2, 1]).is_ok());
    assert_eq!(set_with(&[power - 1, 1]), Err(SetError::TotalTooLarge(1)));
    assert_eq!(set_with(&[power / 2; 2]), Err(SetError::TotalTooLarge(1)));
}

#[test]
fn no_key_twice() {
    let entries = [(key(0), 1), (key(1), 1), (key(0), 2)];
    let error = ValidatorSet::from_unchecked(&entries, None, size(3)).expect_err("twice");
    assert_eq!(
        error,
        SetError::DuplicateKey {
            first: 0,
            second: 2
        }
    );
}

/// Every encoding of a point of small order, canonical or not: y among the eight-torsion, plus p
/// where that still fits, with either sign.
fn small_order_encodings() -> Vec<[u8; 32]> {
    let mut all = Vec::new();
    for point in curve25519_dalek::constants::EIGHT_TORSION {
        let bytes = point.compress().to_bytes();
        for sign in [0, 0x80] {
            let mut with_sign = bytes;
            with_sign[31] = (with_sign[31] & 0x7f) | sign;
            all.push(with_sign);
            // y + p fits 255 bits for y < 19 only.
            if bytes[1..31] == [0; 30] && bytes[31] & 0x7f == 0 && bytes[0] < 19 {
                let mut above = [0xff; 32];
                above[0] = 0xed + bytes[0];
                above[31] = 0x7f | sign;
                all.push(above);
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn keys_of_small_order_never_enter_a_set() {
    let encodings = small_order_encodings();
    assert_eq!(encodings.len(), 14);
    for bad in encodings {
        let entries = [(key(0), 1), (bad, 1)];
        let error = ValidatorSet::from_unchecked(&entries, None, size(3)).expect_err("bad key");
        assert!(
            matches!(error, SetError::Key { index: 1, .. }),
            "{bad:?}: {error}"
        );
    }
}

#[test]
fn non_canonical_keys_never_enter_a_set_though_dalek_takes_them() {
    // y from p to 2^255 - 1: nineteen values, each with either sign.
    let mut taken = 0;
    for low in 0xed..=0xff_u8 {
        for top in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, top);
            taken += usize::from(ed25519_dalek::VerifyingKey::from_bytes(&bytes).is_ok());
            assert!(VoteKey::from_bytes(&bytes).is_err(), "{bytes:?}");
        }
    }
    assert_eq!(taken, 24, "encodings that dalek's constructor accepts");
}

#[derive(Deserialize)]
struct Vectors {
    sets: Vec<SetVector>,
}

#[derive(Deserialize)]
struct SetVector {
    salt: Option<String>,
    validators: Vec<ValidatorVector>,
    root: String,
    commitment: String,
}

#[derive(Deserialize)]
struct ValidatorVector {
    key: String,
    power: String,
    blinding: String,
    leaf: String,
}

#[test]
fn commitments_equal_those_of_poseidon_lite() {
    let text = include_str!("../../../fixtures/vectors/poseidon/set_commitment.json");
    let vectors: Vectors = serde_json::from_str(text).expect("JSON");
    let bytes = |hex: &str| -> [u8; 32] {
        let mut bytes = [0; 32];
        hex::decode_to_slice(hex, &mut bytes).expect("hex");
        bytes
    };
    let scalar = |decimal: &str| Fr::from_str(decimal).expect("a scalar");
    assert!(vectors.sets.len() >= 4);
    for vector in vectors.sets {
        let entry = |v: &ValidatorVector| (bytes(&v.key), v.power.parse().expect("a power"));
        let entries: Vec<_> = vector.validators.iter().map(entry).collect();
        let salt = vector.salt.as_deref().map(|s| Salt::from_bytes(bytes(s)));
        let set = ValidatorSet::from_unchecked(&entries, salt, size(3)).expect("a good set");
        for (i, validator) in vector.validators.iter().enumerate() {
            assert_eq!(
                set.tree().blinding(i),
                Some(scalar(&validator.blinding)),
                "blinding {i}"
            );
            assert_eq!(
                set.tree().leaf(i),
                Some(scalar(&validator.leaf)),
                "leaf {i}"
            );
        }
        assert_eq!(set.tree().root(), scalar(&vector.root));
        assert_eq!(set.commitment().scalar(), scalar(&vector.commitment));
    }
}

#[test]
fn salt_size_and_order_matter_as_they_should() {
    let entries = [(key(0), 1), (key(1), 1)];
    let swapped = [entries[1], entries[0]];
    let make = |entries: &[_], salt: Option<u8>, slots| {
        let salt = salt.map(|b| Salt::from_bytes([b; 32]));
        ValidatorSet::from_unchecked(entries, salt, size(slots))
            .expect("a good set")
            .commitment()
    };
    let base = make(&entries, Some(1), 3);
    assert_ne!(base, make(&entries, Some(2), 3), "another salt");
    assert_ne!(base, make(&entries, None, 3), "no salt");
    assert_ne!(base, make(&swapped, Some(1), 3), "another order");
    assert_eq!(
        base,
        make(&entries, Some(1), 4),
        "the size stands beside the commitment"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No quorum needs more signers than `worst_quorum` says, however the large ones sign.
    #[test]
    fn worst_quorum_is_never_exceeded(
        powers in prop::collection::vec(1u64..20, 1..9),
        present in any::<u16>(),
    ) {
        let set = set_with(&powers).expect("a good set");
        let rule = QuorumRule::COMMIT;
        let mut signers: Vec<_> = powers
            .iter()
            .enumerate()
            .filter(|(i, _)| present >> i & 1 == 1)
            .map(|(_, p)| *p)
            .collect();
        signers.sort_unstable_by(|a, b| b.cmp(a));
        let mut sum = 0;
        let needed = signers.iter().position(|p| {
            sum += p;
            rule.holds(Power::new(sum).expect("small"), set.total())
        });
        if let Some(last) = needed {
            prop_assert!(last < set.worst_quorum(rule));
        }
        let coverage = set.coverage(rule);
        prop_assert_eq!(coverage.complete, coverage.signers <= 3);
    }
}
