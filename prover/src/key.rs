//! Proving keys: the library's, with the bases for the knowledge of what is committed.

use ark_bn254::{Bn254, Fr, G1Affine, G1Projective, G2Projective};
use ark_ec::{AffineRepr, CurveGroup, PrimeGroup};
use ark_ff::UniformRand;
use ark_groth16::Groth16;
use ark_serialize::CanonicalSerialize;
use ark_std::rand::Rng;
use quorate_circuits::ground::{Circuit, CommitmentFault, Matrices, Synthesizer};
use quorate_verifier::primitives::{CircuitSize, Digest};
use quorate_verifier::proof::{self, CircuitId, Origin, VerifyingKey};
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::prove::OpenError;
use crate::qap::RowsOnly;
use crate::store::{Section, StoredKey};

/// What makes proofs: the library's proving key and the knowledge bases. Its light verifying key
/// stands apart.
#[derive(Clone, Debug, PartialEq)]
pub struct ProvingKey {
    /// The library's key; `gamma_abc_g1` has the bases of 1, statement, committed cells, challenges.
    pub groth: ark_groth16::ProvingKey<Bn254>,
    /// `sigma` times the bases of the committed cells, the blinder's first. There are none for 1,
    /// the statement and the challenges: that is what keeps a commitment among the committed cells.
    pub knowledge: Vec<G1Affine>,
    /// What a verifier needs.
    pub verifying: VerifyingKey,
}

/// The secrets behind a key. Whoever has them proves anything; they are wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Trapdoor {
    /// Groth16's alpha.
    pub alpha: Fr,
    /// Groth16's beta.
    pub beta: Fr,
    /// Groth16's gamma.
    pub gamma: Fr,
    /// Groth16's delta.
    pub delta: Fr,
    /// Ties the knowledge bases to the committed ones.
    pub sigma: Fr,
}

impl Trapdoor {
    /// Fresh secrets. The point of evaluation is drawn from the same source by the generator.
    pub fn random(rng: &mut impl Rng) -> Self {
        let [alpha, beta, gamma, delta, sigma] = [(); 5].map(|()| Fr::rand(rng));
        Self {
            alpha,
            beta,
            gamma,
            delta,
            sigma,
        }
    }
}

/// Why a key was not made, or is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The circuit's commitment would not bind.
    #[error(transparent)]
    Circuit(#[from] CommitmentFault),
    /// The generator cannot take the circuit: it has more rows than the field has roots of unity,
    /// or a secret was zero.
    #[error("no key can be made for this circuit with these secrets")]
    Generator,
    /// The key is for other rows than those of the circuit.
    #[error("the key is for circuit {expected}, this circuit is {found}")]
    OtherCircuit {
        /// Digest in the key.
        expected: Digest,
        /// Digest of the circuit at hand.
        found: Digest,
    },
    /// A part of the key does not fit the circuit or the rest of the key.
    #[error("the proving key is damaged: {0}")]
    Damaged(&'static str),
    /// The light key is degenerate.
    #[error(transparent)]
    Verifying(#[from] proof::KeyError),
}

impl ProvingKey {
    /// Makes a key for a circuit, by the library's generator. The witness does not matter.
    ///
    /// # Errors
    /// [`KeyError::Circuit`] and [`KeyError::Generator`].
    pub fn generate<C: Circuit>(
        circuit: &C,
        slots: CircuitSize,
        depth: u8,
        origin: Origin,
        trapdoor: &Trapdoor,
        rng: &mut impl Rng,
    ) -> Result<Self, KeyError> {
        let matrices = circuit.record();
        if let Some(fault) = matrices.commitment_fault() {
            return Err(fault.into());
        }
        let secrets = [
            trapdoor.alpha,
            trapdoor.beta,
            trapdoor.gamma,
            trapdoor.delta,
            trapdoor.sigma,
        ];
        if secrets.contains(&Fr::from(0_u64)) {
            return Err(KeyError::Generator);
        }
        let groth = Groth16::<Bn254, RowsOnly>::generate_parameters_with_qap(
            Synthesizer(circuit),
            trapdoor.alpha,
            trapdoor.beta,
            trapdoor.gamma,
            trapdoor.delta,
            G1Projective::generator(),
            G2Projective::generator(),
            rng,
        )
        .map_err(|_| KeyError::Generator)?;
        let committed = &groth.vk.gamma_abc_g1[matrices.layout.committed_columns()];
        let knowledge: Vec<_> = committed
            .par_iter()
            .map(|base| *base * trapdoor.sigma)
            .collect();
        let knowledge = G1Projective::normalize_batch(&knowledge);
        let circuit = CircuitId {
            digest: Digest::from_bytes(matrices.digest()),
            slots,
            depth,
            chunk_bits: u8::try_from(circuit.chunk_bits()).map_err(|_| KeyError::Generator)?,
        };
        let verifying = VerifyingKey {
            circuit,
            origin,
            committed_bases: committed_digest(committed, &knowledge),
            alpha: groth.vk.alpha_g1,
            beta: groth.vk.beta_g2,
            gamma: groth.vk.gamma_g2,
            delta: groth.vk.delta_g2,
            sigma_gamma: (groth.vk.gamma_g2 * trapdoor.sigma).into_affine(),
            bases: light_bases(&groth, &matrices),
        };
        Ok(Self {
            groth,
            knowledge,
            verifying,
        })
    }

    /// Checks what a prover relies on: that the key is for these rows, that its parts have the
    /// sizes of the circuit, that light key and proving key agree, and that delta, gamma and the
    /// blinder's bases are not zero. The points themselves are not checked against the trapdoor:
    /// that is what the self-check of every proof is for.
    ///
    /// # Errors
    /// [`KeyError`] names the first thing that is wrong.
    pub fn check(&self, matrices: &Matrices) -> Result<(), KeyError> {
        check_circuit(&self.verifying, matrices)?;
        let layout = matrices.layout;
        let (vk, light) = (&self.groth.vk, &self.verifying);
        let domain = matrices.rows().next_power_of_two();
        for (holds, what) in [
            (
                vk.gamma_abc_g1.len() == layout.columns(),
                "the number of input bases",
            ),
            (
                self.knowledge.len() == layout.committed,
                "the number of knowledge bases",
            ),
            (
                self.groth.a_query.len() == matrices.columns,
                "the size of the A query",
            ),
            (
                self.groth.b_g1_query.len() == matrices.columns,
                "the size of the B query in G1",
            ),
            (
                self.groth.b_g2_query.len() == matrices.columns,
                "the size of the B query in G2",
            ),
            (
                self.groth.l_query.len() == matrices.columns - layout.columns(),
                "the size of the L query",
            ),
            (
                self.groth.h_query.len() == domain - 1,
                "the size of the H query",
            ),
        ] {
            if !holds {
                return Err(KeyError::Damaged(what));
            }
        }
        let committed = &vk.gamma_abc_g1[layout.committed_columns()];
        for (holds, what) in [
            (
                light.statement_len() == layout.statement,
                "the number of statement bases",
            ),
            (
                light.bases == light_bases(&self.groth, matrices),
                "the bases of the statement",
            ),
            (vk.alpha_g1 == light.alpha, "alpha"),
            (vk.beta_g2 == light.beta, "beta"),
            (vk.gamma_g2 == light.gamma, "gamma"),
            (vk.delta_g2 == light.delta, "delta"),
            (
                !vk.gamma_g2.is_zero() && !vk.delta_g2.is_zero(),
                "gamma or delta is zero",
            ),
            (!self.groth.delta_g1.is_zero(), "delta in G1 is zero"),
            (
                !committed[0].is_zero() && !self.knowledge[0].is_zero(),
                "a base of the blinder is zero",
            ),
            (
                committed_digest(committed, &self.knowledge) == light.committed_bases,
                "the bases of the committed cells",
            ),
        ] {
            if !holds {
                return Err(KeyError::Damaged(what));
            }
        }
        Ok(())
    }
}

/// Whether the key is for these rows, and they are such that a commitment binds.
fn check_circuit(key: &VerifyingKey, matrices: &Matrices) -> Result<(), KeyError> {
    let found = Digest::from_bytes(matrices.digest());
    let expected = key.circuit.digest;
    if found != expected {
        return Err(KeyError::OtherCircuit { expected, found });
    }
    matrices
        .commitment_fault()
        .map_or(Ok(()), |fault| Err(fault.into()))
}

/// As [`ProvingKey::check`], for a key in the store: its blocks are checked when they are read.
pub(crate) fn check_stored(key: &StoredKey, matrices: &Matrices) -> Result<(), OpenError> {
    check_circuit(key.verifying(), matrices)?;
    let layout = matrices.layout;
    let domain = matrices.rows().next_power_of_two();
    let count = |section, expected: usize| key.count(section) == expected as u64;
    let blinded = key.check_committed()?;
    for (holds, what) in [
        (
            key.verifying().statement_len() == layout.statement,
            "the number of statement bases",
        ),
        (
            count(Section::Committed, layout.committed),
            "the number of committed bases",
        ),
        (
            key.columns() == matrices.columns as u64,
            "the number of columns",
        ),
        (
            count(Section::L, matrices.columns - layout.columns()),
            "the size of the L query",
        ),
        (count(Section::H, domain - 1), "the size of the H query"),
        (!key.beta_delta()[1].is_zero(), "delta in G1 is zero"),
        (blinded, "a base of the blinder is zero"),
    ] {
        if !holds {
            return Err(KeyError::Damaged(what).into());
        }
    }
    Ok(())
}

/// The bases that a verifier needs: all but those of the committed cells.
fn light_bases(groth: &ark_groth16::ProvingKey<Bn254>, matrices: &Matrices) -> Vec<G1Affine> {
    let committed = matrices.layout.committed_columns();
    let all = &groth.vk.gamma_abc_g1;
    [&all[..committed.start], &all[committed.end..]].concat()
}

/// SHA-256 over the bases of the committed cells, then those of their knowledge.
fn committed_digest(committed: &[G1Affine], knowledge: &[G1Affine]) -> Digest {
    let mut hash = Sha256::new();
    let mut bytes = [0; 64];
    for point in committed.iter().chain(knowledge) {
        point
            .serialize_uncompressed(&mut bytes[..])
            .expect("a point of G1 has 64 bytes");
        hash.update(bytes);
    }
    Digest::from_bytes(hash.finalize().into())
}
