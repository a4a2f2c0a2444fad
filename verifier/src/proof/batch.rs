//! Many proofs under one key, for the price of a Miller loop each.

use alloc::vec::Vec;

use ark_bn254::{Bn254, Fr, G1Affine, G1Projective};
use ark_ec::bn::G2Prepared;
use ark_ec::pairing::Pairing;
use ark_ec::{AdditiveGroup, CurveGroup, VariableBaseMSM};
use ark_ff::Field;

use super::challenge::{batch_seed, batch_weights};
use super::check::ProofError;
use super::encoding::Proof;
use super::key::PreparedKey;

/// Why a batch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("proof {index}: {error}")]
pub struct BatchError {
    /// Position of the first proof that is refused.
    pub index: usize,
    /// Why it is.
    pub error: ProofError,
}

/// Checks that every proof shows its statement under `key`.
///
/// Each equation of each proof has its own weight, hashed over the whole batch: proofs that fail
/// cannot make up for one another. If the batch fails, its proofs are checked singly, and those
/// verdicts stand.
///
/// # Errors
/// [`BatchError`] names the first proof that is refused and why.
pub fn verify_batch(key: &PreparedKey, proofs: &[(&[Fr], &[u8])]) -> Result<(), BatchError> {
    let mut decoded = Vec::with_capacity(proofs.len());
    for (index, (statement, bytes)) in proofs.iter().enumerate() {
        let proof = Proof::decode(bytes).map_err(|error| BatchError {
            index,
            error: error.into(),
        })?;
        decoded.push((*statement, proof));
    }
    for (index, verdict) in verify_each(key, &decoded).into_iter().enumerate() {
        verdict.map_err(|error| BatchError { index, error })?;
    }
    Ok(())
}

/// The verdict on every proof of a batch: one check for all if they hold, each alone if not.
pub fn verify_each(key: &PreparedKey, proofs: &[(&[Fr], Proof)]) -> Vec<Result<(), ProofError>> {
    if proofs.is_empty() || holds(key, proofs) {
        return alloc::vec![Ok(()); proofs.len()];
    }
    let single = |(statement, proof): &(&[Fr], Proof)| {
        key.bind(statement, *proof).and_then(|bound| bound.check())
    };
    proofs.iter().map(single).collect()
}

/// With `w_i` and `rho_i` the weights of the two equations of proof `i`:
/// `prod e(w_i A_i, B_i) e(sum w_i (I_i + D_i) + rho_i P_i, -gamma) e(sum w_i C_i, -delta)
/// e(sum rho_i D_i, sigma gamma) e(-sum w_i alpha, beta) = 1`.
fn holds(key: &PreparedKey, proofs: &[(&[Fr], Proof)]) -> bool {
    let seed = batch_seed(&key.digest, proofs);
    // Coefficients of the key's bases, of alpha, and of the points of all proofs.
    let mut bases = alloc::vec![Fr::ZERO; key.key.bases.len()];
    let mut weights = Vec::with_capacity(proofs.len());
    for (index, (statement, proof)) in proofs.iter().enumerate() {
        let Ok(challenges) = key.challenges(statement, proof) else {
            return false;
        };
        let [groth, knowledge] = batch_weights(&seed, index);
        let one = [Fr::ONE];
        let values = one
            .iter()
            .chain(*statement)
            .chain([&challenges.tuple, &challenges.sum]);
        for (base, value) in bases.iter_mut().zip(values) {
            *base += groth * value;
        }
        weights.push([groth, knowledge]);
    }
    let groth: Vec<Fr> = weights.iter().map(|[w, _]| *w).collect();
    let knowledge: Vec<Fr> = weights.iter().map(|[_, rho]| *rho).collect();
    let points = |of: fn(&Proof) -> G1Affine| -> Vec<G1Affine> {
        proofs.iter().map(|(_, proof)| of(proof)).collect()
    };
    let commitments = points(|p| p.commitment);
    let second = sum(&key.key.bases, &bases)
        + sum(&commitments, &groth)
        + sum(&points(|p| p.knowledge), &knowledge);
    let mut left: Vec<G1Projective> = proofs
        .iter()
        .zip(&groth)
        .map(|((_, proof), w)| proof.a * *w)
        .collect();
    let total: Fr = groth.iter().sum();
    left.extend([
        second,
        sum(&points(|p| p.c), &groth),
        sum(&commitments, &knowledge),
        key.key.alpha * -total,
    ]);
    let left = G1Projective::normalize_batch(&left);
    let mut right: Vec<G2Prepared<ark_bn254::Config>> =
        proofs.iter().map(|(_, proof)| proof.b.into()).collect();
    right.extend([
        key.minus_gamma.clone(),
        key.minus_delta.clone(),
        key.sigma_gamma.clone(),
        key.beta.clone(),
    ]);
    let product = Bn254::multi_pairing(left, right);
    product.0 == <Bn254 as Pairing>::TargetField::ONE
}

fn sum(points: &[G1Affine], scalars: &[Fr]) -> G1Projective {
    G1Projective::msm(points, scalars).expect("as many points as scalars")
}
