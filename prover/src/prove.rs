//! The proving function: two stages of witness, the quotient, and the sums over the key's bases.

use core::ops::ControlFlow;

use ark_bn254::{Fr, G1Affine};
use ark_ec::CurveGroup;
use quorate_circuits::ground::{Circuit, Matrices};
use quorate_verifier::proof::{Challenges, PreparedKey, Proof, ProofError};
use zeroize::{Zeroize, Zeroizing};

use crate::attempt::Attempt;
use crate::bases::Bases;
use crate::key::{self, KeyError, ProvingKey};
use crate::qap::{Unsatisfied, quotient};
use crate::store::{Section, StoreError, StoredKey};

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

    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Witness => "witness",
            Self::Commitment => "commitment",
            Self::LookUps => "look-ups",
            Self::Quotient => "quotient",
            Self::H => "sum H",
            Self::L => "sum L",
            Self::A => "sum A",
            Self::B1 => "sum B1",
            Self::B2 => "sum B2",
            Self::SelfCheck => "check",
        }
    }

    /// What share of a proof's time it takes, in thousandths: measured on the quorum circuit
    /// (docs/performance.md), and much the same for every size and machine.
    #[must_use]
    pub const fn share(self) -> u16 {
        match self {
            Self::Witness => 10,
            Self::Commitment => 33,
            Self::LookUps => 3,
            Self::Quotient => 176,
            Self::H => 368,
            Self::L => 146,
            Self::A => 141,
            Self::B1 => 35,
            Self::B2 => 87,
            Self::SelfCheck => 2,
        }
    }
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
    /// The key could not be read on, or is not what was written.
    #[error("{0}")]
    Key(String),
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

impl From<StoreError> for ProveError {
    fn from(error: StoreError) -> Self {
        Self::Key(error.to_string())
    }
}

/// Why a key in the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It could not be read, or is not what was written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is for other rows, or not one that can be relied on.
    #[error(transparent)]
    Key(#[from] KeyError),
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
///
/// The key is in memory, or in the store: then every proof reads it anew, in runs, and the memory
/// that a proof takes is that of the rows.
#[derive(Debug)]
pub struct Prover {
    bases: Bases,
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
            bases: Bases::Memory(Box::new(key)),
            matrices,
            verifier,
        })
    }

    /// The same for a key in the store, which stays there.
    ///
    /// # Errors
    /// [`OpenError`] names what is wrong with the key.
    pub fn open<C: Circuit>(key: StoredKey, circuit: &C) -> Result<Self, OpenError> {
        let matrices = circuit.record();
        key::check_stored(&key, &matrices)?;
        let verifier = key.verifying().clone().prepare().map_err(KeyError::from)?;
        Ok(Self {
            bases: Bases::stored(key)?,
            matrices,
            verifier,
        })
    }

    /// The rows.
    #[must_use]
    pub fn matrices(&self) -> &Matrices {
        &self.matrices
    }

    /// The proving key, if it is in memory.
    #[must_use]
    pub fn key(&self) -> Option<&ProvingKey> {
        match &self.bases {
            Bases::Memory(key) => Some(key),
            Bases::Stored { .. } => None,
        }
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
        let committed = Zeroizing::new(stage.values());
        self.same_shape(committed.len(), self.matrices.layout.committed)?;
        let commitment = self.commit(&committed)?;
        drop(committed);
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
        let key = self.verifier.key();
        let [beta_g1, delta_g1] = self.bases.beta_delta();
        let span = enter(Phase::Quotient)?;
        let h = Zeroizing::new(quotient(&self.matrices, z)?);
        drop(span);

        let span = enter(Phase::H)?;
        let h_sum = self.bases.sum_g1(Section::H, &h[..h.len() - 1])?;
        drop((span, h));
        let span = enter(Phase::L)?;
        let private = &z[self.matrices.layout.columns()..];
        let l_sum = self.bases.sum_g1(Section::L, private)?;
        drop(span);
        let span = enter(Phase::A)?;
        let a = delta_g1 * r + key.alpha + self.bases.sum_g1(Section::A, z)?;
        drop(span);
        let span = enter(Phase::B1)?;
        let b1 = delta_g1 * s + beta_g1 + self.bases.sum_g1(Section::B1, z)?;
        drop(span);
        let span = enter(Phase::B2)?;
        let b2 = key.delta * s + key.beta + self.bases.sum_b2(z)?;
        drop(span);
        let c = a * s + b1 * r - delta_g1 * (r * s) + l_sum + h_sum;
        Ok(Proof {
            a: a.into_affine(),
            b: b2.into_affine(),
            c: c.into_affine(),
            commitment,
            knowledge,
        })
    }

    /// Commitment and knowledge of the committed cells.
    pub(crate) fn commit(&self, committed: &[Fr]) -> Result<(G1Affine, G1Affine), ProveError> {
        Ok(self.bases.commit(committed)?)
    }

    fn same_shape(&self, found: usize, expected: usize) -> Result<(), ProveError> {
        if found == expected {
            Ok(())
        } else {
            Err(ProveError::Shape { expected, found })
        }
    }
}
