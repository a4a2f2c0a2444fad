//! The proving function: two stages of witness, the quotient, and the sums over the key's bases.

use core::ops::ControlFlow;

use ark_bn254::{Fr, G1Affine, G1Projective, G2Projective};
use ark_ec::{CurveGroup, VariableBaseMSM};
use ark_ff::{BigInt, PrimeField};
use quorate_circuits::ground::{Circuit, Matrices};
use quorate_verifier::proof::{Challenges, PreparedKey, Proof, ProofError};
use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

use crate::attempt::Attempt;
use crate::key::{KeyError, ProvingKey};
use crate::qap::{Unsatisfied, quotient};

/// The steps of a proof, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Values that do not depend on a challenge.
    Witness,
    /// The commitment to the looked-up cells, and its knowledge.
    Commitment,
    /// Values that depend on the challenges.
    LookUps,
    /// The quotient polynomial: products of matrices and FFTs.
    Quotient,
    /// The sum over the powers of the evaluation point.
    H,
    /// The sum over the cells that are private to the prover.
    L,
    /// The sum of the first factors.
    A,
    /// The sum of the second factors in G1.
    B1,
    /// The sum of the second factors in G2.
    B2,
    /// Verification of the encoded proof.
    SelfCheck,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 10] = [
        Self::Witness,
        Self::Commitment,
        Self::LookUps,
        Self::Quotient,
        Self::H,
        Self::L,
        Self::A,
        Self::B1,
        Self::B2,
        Self::SelfCheck,
    ];
}

/// Why there is no proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProveError {
    /// The witness does not satisfy the circuit.
    #[error("the witness is false: {0}")]
    Unsatisfied(#[from] Unsatisfied),
    /// The circuit at hand has not the shape that the prover was made for.
    #[error("the circuit fills {found} cells, the key is for {expected}")]
    Shape {
        /// Cells of the circuit that the prover was made for.
        expected: usize,
        /// Cells of the circuit at hand.
        found: usize,
    },
    /// The caller asked to stop.
    #[error("cancelled before {0:?}")]
    Cancelled(Phase),
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}")]
    Randomness(getrandom::Error),
    /// The verifier refuses the proof: key or machine are faulty. Nothing was handed out.
    #[error("the proof does not verify: {0}")]
    SelfCheck(#[from] ProofError),
}

/// A proof that the verifier accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// What it shows.
    pub statement: Vec<Fr>,
    /// The proof.
    pub proof: [u8; Proof::BYTES],
}

/// A proving key with the rows of its circuit, ready for many proofs.
#[derive(Clone, Debug)]
pub struct Prover {
    key: ProvingKey,
    matrices: Matrices,
    verifier: PreparedKey,
}

impl Prover {
    /// Reads the circuit's rows, once, and checks the key against them; the witness does not matter.
    ///
    /// # Errors
    /// [`KeyError`] names what is wrong with the key.
    pub fn new<C: Circuit>(key: ProvingKey, circuit: &C) -> Result<Self, KeyError> {
        let matrices = circuit.record();
        key.check(&matrices)?;
        let verifier = key.verifying.clone().prepare()?;
        Ok(Self {
            key,
            matrices,
            verifier,
        })
    }

    /// The rows.
    #[must_use]
    pub fn matrices(&self) -> &Matrices {
        &self.matrices
    }

    /// The proving key.
    #[must_use]
    pub fn key(&self) -> &ProvingKey {
        &self.key
    }

    /// The verifying key that every proof is checked with.
    #[must_use]
    pub fn verifier(&self) -> &PreparedKey {
        &self.verifier
    }

    /// Proves the circuit's statement with its witness. `watch` hears of each phase before it
    /// starts and may stop the proof there.
    ///
    /// # Errors
    /// [`ProveError`] says why there is no proof.
    pub fn prove<C: Circuit>(
        &self,
        circuit: &C,
        mut watch: impl FnMut(Phase) -> ControlFlow<()>,
    ) -> Result<Proven, ProveError> {
        let mut enter = |phase: Phase| match watch(phase) {
            ControlFlow::Continue(()) => Ok(tracing::info_span!("prove", ?phase).entered()),
            ControlFlow::Break(()) => Err(ProveError::Cancelled(phase)),
        };
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).map_err(ProveError::Randomness)?;

        let span = enter(Phase::Witness)?;
        let statement = circuit.statement();
        let first = circuit.fill();
        drop(span);

        let span = enter(Phase::Commitment)?;
        let mut attempt = None;
        let stage = first.commit(|fixed, witness| {
            let attempt = attempt.insert(Attempt::new(seed, [fixed, witness]));
            attempt.scalar(b"blinder")
        });
        let attempt = attempt.expect("a proving run asks for its blinder");
        let committed = scalars(&stage.values());
        self.same_shape(committed.len(), self.matrices.layout.committed)?;
        let commitment = self.commit(&committed);
        drop(span);

        let span = enter(Phase::LookUps)?;
        let challenges = Challenges::draw(self.verifier.digest(), &statement, &commitment.0);
        let z = Zeroizing::new(stage.respond(challenges).into_assignment());
        self.same_shape(z.len(), self.matrices.columns)?;
        drop(span);

        let (mut r, mut s) = (attempt.scalar(b"r"), attempt.scalar(b"s"));
        let proof = self.assemble(&z, commitment, [r, s], &mut enter);
        r.zeroize();
        s.zeroize();
        let proof = proof?.encode();
        let _span = enter(Phase::SelfCheck)?;
        self.verifier.verify(&statement, &proof)?;
        Ok(Proven { statement, proof })
    }

    /// The proof for an assignment and given secrets; `z` must hold the blinder and the challenges
    /// of `commitment`. Equal to the library's for the same `r` and `s`.
    pub(crate) fn assemble<S>(
        &self,
        z: &[Fr],
        (commitment, knowledge): (G1Affine, G1Affine),
        [r, s]: [Fr; 2],
        mut enter: impl FnMut(Phase) -> Result<S, ProveError>,
    ) -> Result<Proof, ProveError> {
        let key = &self.key.groth;
        let span = enter(Phase::Quotient)?;
        let h = scalars(&quotient(&self.matrices, z)?);
        let z = Zeroizing::new(scalars(&z[1..]));
        drop(span);

        let span = enter(Phase::H)?;
        let h_sum = G1Projective::msm_bigint(&key.h_query, &h);
        drop((span, h));
        let span = enter(Phase::L)?;
        let private = &z[self.matrices.layout.columns() - 1..];
        let l_sum = G1Projective::msm_bigint(&key.l_query, private);
        drop(span);
        let span = enter(Phase::A)?;
        let a = key.delta_g1 * r
            + key.vk.alpha_g1
            + key.a_query[0]
            + G1Projective::msm_bigint(&key.a_query[1..], &z);
        drop(span);
        let span = enter(Phase::B1)?;
        let b1 = key.delta_g1 * s
            + key.beta_g1
            + key.b_g1_query[0]
            + G1Projective::msm_bigint(&key.b_g1_query[1..], &z);
        drop(span);
        let span = enter(Phase::B2)?;
        let b2 = key.vk.delta_g2 * s
            + key.vk.beta_g2
            + key.b_g2_query[0]
            + G2Projective::msm_bigint(&key.b_g2_query[1..], &z);
        drop(span);
        let c = a * s + b1 * r - key.delta_g1 * (r * s) + l_sum + h_sum;
        Ok(Proof {
            a: a.into_affine(),
            b: b2.into_affine(),
            c: c.into_affine(),
            commitment,
            knowledge,
        })
    }

    /// Commitment and knowledge of the committed cells.
    pub(crate) fn commit(&self, committed: &[BigInt<4>]) -> (G1Affine, G1Affine) {
        let bases = &self.key.groth.vk.gamma_abc_g1[self.matrices.layout.committed_columns()];
        let commitment = G1Projective::msm_bigint(bases, committed);
        let knowledge = G1Projective::msm_bigint(&self.key.knowledge, committed);
        (commitment.into_affine(), knowledge.into_affine())
    }

    fn same_shape(&self, found: usize, expected: usize) -> Result<(), ProveError> {
        if found == expected {
            Ok(())
        } else {
            Err(ProveError::Shape { expected, found })
        }
    }
}

pub(crate) fn scalars(values: &[Fr]) -> Vec<BigInt<4>> {
    values.par_iter().map(|value| value.into_bigint()).collect()
}
