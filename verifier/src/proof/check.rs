//! Whether one proof holds.

use alloc::vec::Vec;

use ark_bn254::{Bn254, Fr, G1Affine, G1Projective};
use ark_ec::CurveGroup;
use ark_ec::pairing::Pairing;

use super::challenge::{Challenges, knowledge_weight};
use super::encoding::{Proof, ProofDecodeError};
use super::key::PreparedKey;
use crate::encoding::scalar_from_bytes;

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The bytes are no proof.
    #[error(transparent)]
    Decode(#[from] ProofDecodeError),
    /// A statement of another length than the key's.
    #[error("the key takes {expected} public inputs, {found} were given")]
    InputCount {
        /// The key's.
        expected: usize,
        /// Those given.
        found: usize,
    },
    /// A public input as bytes that is the modulus or more.
    #[error("public input {0} is not below the modulus")]
    InputNotCanonical(usize),
    /// The challenge fell among the entries of the look-up table. Chance brings this once in 2^237
    /// proofs; make another.
    #[error("the challenge is an entry of the look-up table")]
    Challenge,
    /// The pairing equation does not hold: the proof does not show this statement under this key.
    #[error("the proof does not show this statement under this key")]
    Refused,
}

impl PreparedKey {
    /// Checks that `proof` shows `statement` under this key.
    ///
    /// A statement says something only if the caller made it from values that it trusts.
    ///
    /// # Errors
    /// [`ProofError`] names what is wrong.
    pub fn verify(&self, statement: &[Fr], proof: &[u8]) -> Result<(), ProofError> {
        let proof = Proof::decode(proof)?;
        self.bind(statement, proof)?.check()
    }

    /// [`verify`](Self::verify) for public inputs as 32 little-endian bytes each.
    ///
    /// # Errors
    /// As there, and [`ProofError::InputNotCanonical`].
    pub fn verify_bytes(&self, statement: &[[u8; 32]], proof: &[u8]) -> Result<(), ProofError> {
        self.check_count(statement.len())?;
        let inputs = statement.iter().enumerate();
        let inputs = inputs
            .map(|(i, bytes)| scalar_from_bytes(bytes).ok_or(ProofError::InputNotCanonical(i)))
            .collect::<Result<Vec<_>, _>>()?;
        self.verify(&inputs, proof)
    }

    /// Draws the challenges and combines statement and challenges on their bases: everything but
    /// the pairings.
    ///
    /// # Errors
    /// [`ProofError::InputCount`] and [`ProofError::Challenge`].
    pub fn bind(&self, statement: &[Fr], proof: Proof) -> Result<Bound<'_>, ProofError> {
        let challenges = self.challenges(statement, &proof)?;
        let inputs = self.inputs.combine(statement, challenges);
        let weight = knowledge_weight(&self.digest, statement, &proof);
        Ok(Bound {
            key: self,
            proof,
            inputs,
            weight,
        })
    }

    /// The challenges of a proof, once the statement has the key's length.
    pub(super) fn challenges(
        &self,
        statement: &[Fr],
        proof: &Proof,
    ) -> Result<Challenges, ProofError> {
        self.check_count(statement.len())?;
        let challenges = Challenges::draw(&self.digest, statement, &proof.commitment);
        if challenges.hits_table(u32::from(self.key.circuit.chunk_bits)) {
            return Err(ProofError::Challenge);
        }
        Ok(challenges)
    }

    fn check_count(&self, found: usize) -> Result<(), ProofError> {
        let expected = self.key.statement_len();
        if found == expected {
            Ok(())
        } else {
            Err(ProofError::InputCount { expected, found })
        }
    }
}

/// A proof with the statement, challenges and weight that it is to be checked with.
#[derive(Clone, Debug)]
pub struct Bound<'a> {
    key: &'a PreparedKey,
    proof: Proof,
    inputs: G1Projective,
    weight: Fr,
}

impl Bound<'_> {
    /// The pairings: `e(A, B) e(I + D + rho P, -gamma) e(C, -delta) e(rho D, sigma gamma)` must
    /// be `e(alpha, beta)`.
    ///
    /// # Errors
    /// [`ProofError::Refused`].
    pub fn check(&self) -> Result<(), ProofError> {
        let Self {
            key,
            proof,
            inputs,
            weight,
        } = self;
        let second = *inputs + proof.commitment + proof.knowledge * *weight;
        let fourth = proof.commitment * *weight;
        let points = G1Projective::normalize_batch(&[second, fourth]);
        let [second, fourth]: [G1Affine; 2] =
            points.try_into().expect("two points normalise to two");
        let product = Bn254::multi_pairing(
            [proof.a, second, proof.c, fourth],
            [
                proof.b.into(),
                key.minus_gamma.clone(),
                key.minus_delta.clone(),
                key.sigma_gamma.clone(),
            ],
        );
        if product == key.alpha_beta {
            Ok(())
        } else {
            Err(ProofError::Refused)
        }
    }
}
