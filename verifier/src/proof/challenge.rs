//! Fiat-Shamir: the challenges of the circuit and the weights of the equations.

use ark_bn254::{Fr, G1Affine};
use ark_ff::PrimeField;
use sha2::{Digest as _, Sha256};

use super::encoding::{G1_BYTES, Proof, encode_point};
use crate::encoding::scalar_to_bytes;
use crate::hash_to_field::FieldHasher;
use crate::message::Tag;
use crate::primitives::Digest;

/// The circuit's two challenges, its last public inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenges {
    /// Compresses a looked-up tuple into one field element.
    pub tuple: Fr,
    /// Where the sum of the look-ups is evaluated.
    pub sum: Fr,
}

impl Challenges {
    /// `hash_to_field(tag ‖ key digest ‖ statement ‖ commitment)`: drawn when everything that is
    /// looked up is fixed. The number of inputs is the key's, so the message has a fixed length.
    pub fn draw(key: &Digest, statement: &[Fr], commitment: &G1Affine) -> Self {
        let mut hasher = FieldHasher::new(Tag::CHALLENGE.as_bytes());
        hasher.update(key.as_bytes());
        for input in statement {
            hasher.update(&scalar_to_bytes(input));
        }
        let mut bytes = [0; G1_BYTES];
        encode_point(commitment, &mut bytes);
        hasher.update(&bytes);
        let [tuple, sum] = hasher.finish();
        Self { tuple, sum }
    }

    /// Whether the sum's point lies among the `2^chunk_bits` entries of the chunk table, where the
    /// look-up argument divides zero by zero. Happens by chance once in 2^237 proofs.
    pub fn hits_table(&self, chunk_bits: u32) -> bool {
        self.sum.into_bigint() < ark_ff::BigInt::from(1_u64 << chunk_bits)
    }
}

/// The 128-bit weight of the knowledge equation of one proof: a hash of everything in both.
pub(super) fn knowledge_weight(key: &Digest, statement: &[Fr], proof: &Proof) -> Fr {
    let mut hash = Sha256::new()
        .chain_update(Tag::KNOWLEDGE.as_bytes())
        .chain_update(key.as_bytes());
    for input in statement {
        hash.update(scalar_to_bytes(input));
    }
    weight(hash.chain_update(proof.encode()))
}

/// What the weights of a batch are drawn from: key, number of proofs, all statements and proofs.
pub(super) fn batch_seed(key: &Digest, proofs: &[(&[Fr], Proof)]) -> Sha256 {
    let mut hash = Sha256::new()
        .chain_update(Tag::PROOF_BATCH.as_bytes())
        .chain_update(key.as_bytes())
        .chain_update((proofs.len() as u64).to_le_bytes());
    for (statement, proof) in proofs {
        for input in *statement {
            hash.update(scalar_to_bytes(input));
        }
        hash.update(proof.encode());
    }
    Sha256::new()
        .chain_update(Tag::PROOF_BATCH.as_bytes())
        .chain_update(hash.finalize())
}

/// The weights of the two equations of proof `i` of a batch.
pub(super) fn batch_weights(seed: &Sha256, i: usize) -> [Fr; 2] {
    let of = |equation: u8| {
        weight(
            seed.clone()
                .chain_update((i as u64).to_le_bytes())
                .chain_update([equation]),
        )
    };
    [of(0), of(1)]
}

/// The first 128 bits of a hash, never zero.
fn weight(hash: Sha256) -> Fr {
    let digest: [u8; 32] = hash.finalize().into();
    let (low, _) = digest
        .split_first_chunk::<16>()
        .expect("a digest has 32 bytes");
    Fr::from(u128::from_le_bytes(*low).max(1))
}
