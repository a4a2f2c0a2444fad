//! What the decoder refuses. Whole proofs are tested where they are made, in the prover.

use alloc::vec::Vec;

use ark_bn254::{Fq, Fq2, Fr, G1Affine, G2Affine};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{BigInteger, Field, PrimeField};

use super::encoding::{decode_point, encode_point};
use super::*;

fn sample() -> Proof {
    let g1 = |k: u64| (G1Affine::generator() * Fr::from(k)).into_affine();
    Proof {
        a: g1(2),
        b: (G2Affine::generator() * Fr::from(3u64)).into_affine(),
        c: g1(5),
        commitment: g1(7),
        knowledge: -g1(11),
    }
}

/// Offset, length and element of each part of a proof.
const PARTS: [(usize, usize, Element); 5] = [
    (0, 32, Element::A),
    (32, 64, Element::B),
    (96, 32, Element::C),
    (128, 32, Element::Commitment),
    (160, 32, Element::Knowledge),
];

fn with(offset: usize, part: &[u8]) -> Result<Proof, ProofDecodeError> {
    let mut bytes = sample().encode();
    bytes[offset..offset + part.len()].copy_from_slice(part);
    Proof::decode(&bytes)
}

#[test]
fn proofs_round_trip() {
    let proof = sample();
    assert_eq!(Proof::decode(&proof.encode()), Ok(proof));
}

#[test]
fn infinity_is_refused_whatever_its_other_bits() {
    for (offset, length, element) in PARTS {
        for junk in [0, 1, 0x80] {
            let mut part = Vec::from([0; 64]);
            part.truncate(length);
            part[0] = junk;
            part[length - 1] = 0x40;
            assert_eq!(
                with(offset, &part),
                Err(ProofDecodeError::Infinity(element))
            );
        }
        let mut part = sample().encode()[offset..offset + length].to_vec();
        part[length - 1] = part[length - 1] & 0x3f | 0x40;
        assert_eq!(
            with(offset, &part),
            Err(ProofDecodeError::Infinity(element)),
            "a point's x"
        );
        part[length - 1] |= 0x80;
        let both = Err(ProofDecodeError::Coordinate(element));
        assert_eq!(with(offset, &part), both, "both flags");
    }
}

#[test]
fn coordinates_are_below_the_modulus() {
    let modulus = Fq::MODULUS.to_bytes_le();
    for (offset, length, element) in PARTS {
        for half in (0..length).step_by(32) {
            let mut part = sample().encode()[offset..offset + length].to_vec();
            part[half..half + 32].copy_from_slice(&modulus);
            assert_eq!(
                with(offset, &part),
                Err(ProofDecodeError::Coordinate(element))
            );
        }
        // x + q where that fits below the flags: the very point, written otherwise.
        let x = Fq::from(1u64).into_bigint();
        let mut alias = x;
        assert!(!alias.add_with_carry(&Fq::MODULUS));
        if length == 32 {
            let part = alias.to_bytes_le();
            assert_eq!(
                with(offset, &part),
                Err(ProofDecodeError::Coordinate(element))
            );
        }
    }
}

#[test]
fn points_off_the_curve_are_refused() {
    // x^3 + 3 has no root for about half of all x; x = 4 gives 67, which is no square.
    let mut part = [0; 64];
    for (offset, length, element) in PARTS {
        let off = (1..).find(|x| {
            part = [0; 64];
            part[0] = *x;
            with(offset, &part[..length]) == Err(ProofDecodeError::OffCurve(element))
        });
        assert!(off.is_some_and(|x: u8| x < 20), "{element}");
    }
}

#[test]
fn points_outside_the_subgroup_are_refused() {
    // The curve of G2 has points of other orders; the first few x give some.
    let outside = (1u64..).find_map(|x| {
        let (y, _) = G2Affine::get_ys_from_x_unchecked(Fq2::from(x))?;
        let point = G2Affine::new_unchecked(Fq2::from(x), y);
        (!point.is_in_correct_subgroup_assuming_on_curve()).then_some(point)
    });
    let outside = outside.expect("almost every point is outside");
    assert!(outside.is_on_curve());
    let mut part = [0; 64];
    encode_point(&outside, &mut part);
    assert_eq!(with(32, &part), Err(ProofDecodeError::Subgroup(Element::B)));
    // Clearing the cofactor brings it inside.
    let inside = outside.clear_cofactor();
    encode_point(&inside, &mut part);
    assert_eq!(with(32, &part).map(|proof| proof.b), Ok(inside));
}

#[test]
fn points_decode_only_from_their_own_bytes() {
    for k in 1..40u64 {
        let point = (G1Affine::generator() * Fr::from(k)).into_affine();
        for point in [point, -point] {
            let mut bytes = [0; 32];
            encode_point(&point, &mut bytes);
            assert_eq!(decode_point(&bytes, Element::A), Ok(point));
        }
    }
}

#[test]
fn challenges_in_the_table_are_noticed() {
    let challenges = |sum: Fr| Challenges {
        tuple: Fr::ONE,
        sum,
    };
    for bits in [1, 13, 16, 20] {
        let size = 1u64 << bits;
        assert!(challenges(Fr::from(0u64)).hits_table(bits));
        assert!(challenges(Fr::from(size - 1)).hits_table(bits));
        assert!(!challenges(Fr::from(size)).hits_table(bits));
        assert!(!challenges(-Fr::ONE).hits_table(bits));
    }
}

#[test]
fn weights_depend_on_everything() {
    use super::challenge::{batch_seed, batch_weights, knowledge_weight};
    use crate::primitives::Digest;
    let (key, other_key) = (Digest::from_bytes([1; 32]), Digest::from_bytes([2; 32]));
    let statement = [Fr::ONE, Fr::from(2u64)];
    let other_statement = [Fr::ONE, Fr::from(3u64)];
    let proof = sample();
    let mut weights = Vec::from([
        knowledge_weight(&key, &statement, &proof),
        knowledge_weight(&other_key, &statement, &proof),
        knowledge_weight(&key, &other_statement, &proof),
    ]);
    let edits: [fn(&mut Proof); 5] = [
        |p| p.a = -p.a,
        |p| p.b = -p.b,
        |p| p.c = -p.c,
        |p| p.commitment = -p.commitment,
        |p| p.knowledge = -p.knowledge,
    ];
    for edit in edits {
        let mut bent = proof;
        edit(&mut bent);
        weights.push(knowledge_weight(&key, &statement, &bent));
        // A change anywhere changes all weights of a batch.
        let seed = batch_seed(&key, &[(&statement, proof), (&statement, bent)]);
        weights.extend(batch_weights(&seed, 0));
        weights.extend(batch_weights(&seed, 1));
    }
    let seed = batch_seed(&key, &[(&statement, proof)]);
    weights.extend(batch_weights(&seed, 0));
    let count = weights.len();
    assert!(weights.iter().all(|w| w.into_bigint().num_bits() <= 128));
    weights.sort_unstable();
    weights.dedup();
    assert_eq!(weights.len(), count);
}
