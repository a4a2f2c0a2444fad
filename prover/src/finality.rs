//! From a signed header to an attestation: the whole way of a finality proof.

use core::ops::ControlFlow;

use ark_std::rand::rngs::StdRng;
use ark_std::rand::{CryptoRng, Rng, SeedableRng};
use quorate_circuits::circuit::{QuorumCircuit, QuorumWitness, WitnessError};
use quorate_verifier::attestation::Attestation;
use quorate_verifier::certificate::{CertificateError, SignedHeader};
use quorate_verifier::primitives::{ChainId, CircuitSize, TREE_DEPTH};
use quorate_verifier::proof::{Origin, Proof};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::ValidatorSet;
use zeroize::Zeroizing;

use crate::key::{KeyError, ProvingKey, Trapdoor};
use crate::prove::{OpenError, Phase, ProveError, Prover};
use crate::store::StoredKey;

/// Why there is no attestation. Nothing of it names a signer or a figure of power but
/// [`AttestError::Certificate`], which is for whoever sent the certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttestError {
    /// The header is not final: its certificate breaks a rule.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The header is final, but the set's circuit does not hold so many signers.
    #[error("this final block cannot be proved: {0}")]
    TooManySigners(WitnessError),
    /// The key at hand is for circuits of another size than the set's.
    #[error("the set's circuit has {set} slots, the proving key is for {key}")]
    WrongSize {
        /// Slots of the set's circuit.
        set: u16,
        /// Slots of the key's circuit.
        key: u16,
    },
    /// No proof was made.
    #[error(transparent)]
    Prove(#[from] ProveError),
}

/// Makes a key for the quorum circuit of a size, by one party: whoever runs this could keep the
/// trapdoor and forge proofs, and the key is marked so.
///
/// # Errors
/// [`KeyError`].
pub fn development_key(size: CircuitSize, rng: &mut impl Rng) -> Result<ProvingKey, KeyError> {
    let circuit = QuorumCircuit::of_size(size);
    let depth = u8::try_from(TREE_DEPTH).expect("eight");
    let trapdoor = Trapdoor::random(rng);
    ProvingKey::generate(&circuit, size, depth, Origin::Development, &trapdoor, rng)
}

/// A source of randomness for one key, from 32 bytes of the operating system's.
///
/// # Errors
/// When the operating system gives none.
pub fn fresh_randomness() -> Result<impl CryptoRng + Rng, getrandom::Error> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed)?;
    Ok(StdRng::from_seed(*seed))
}

/// A prover for the quorum circuit that the key is for.
///
/// # Errors
/// [`KeyError`] when the key is for other rows, or broken.
pub fn finality_prover(key: ProvingKey) -> Result<Prover, KeyError> {
    let circuit = QuorumCircuit::of_size(key.verifying.circuit.slots);
    Prover::new(key, &circuit)
}

/// The same for a key in the store, which stays there and is read anew for every proof.
///
/// # Errors
/// [`OpenError`] when the key is for other rows, damaged, or not to be relied on.
pub fn open_prover(key: StoredKey) -> Result<Prover, OpenError> {
    let circuit = QuorumCircuit::of_size(key.verifying().circuit.slots);
    Prover::open(key, &circuit)
}

/// Checks a signed header of `chain` in the clear, and that the set's circuit holds the fewest
/// signers who pass the rule: whether there is anything to be proved, before a key is opened.
///
/// # Errors
/// [`AttestError::Certificate`], [`AttestError::TooManySigners`].
pub fn check_provable(
    block: &SignedHeader,
    chain: &ChainId,
    set: &ValidatorSet,
    rule: QuorumRule,
) -> Result<QuorumWitness, AttestError> {
    block.verify(chain, set, rule)?;
    QuorumWitness::new(&block.certificate, set, rule).map_err(|error| match error {
        WitnessError::Certificate(error) => error.into(),
        WitnessError::TooManySigners { .. } => AttestError::TooManySigners(error),
    })
}

/// Checks a signed header of `chain` in the clear, proves it with the fewest signers, and answers
/// the attestation. `watch` hears of each phase before it starts and may stop the proof there.
///
/// # Errors
/// [`AttestError`] says what the certificate, the key or the machine lacks.
pub fn attest(
    prover: &Prover,
    block: &SignedHeader,
    chain: &ChainId,
    set: &ValidatorSet,
    rule: QuorumRule,
    watch: impl FnMut(Phase) -> ControlFlow<()>,
) -> Result<Attestation, AttestError> {
    block.verify(chain, set, rule)?;
    let key = prover.verifier().key().circuit.slots;
    if set.size() != key {
        return Err(AttestError::WrongSize {
            set: set.size().slots(),
            key: key.slots(),
        });
    }
    let witness = check_provable(block, chain, set, rule)?;
    let proven = prover.prove(&QuorumCircuit::new(witness), watch)?;
    Ok(Attestation {
        header: block.header.clone(),
        view: block.certificate.view(),
        rule,
        key: *prover.verifier().digest(),
        proof: Proof::decode(&proven.proof).expect("the prover has verified these bytes"),
    })
}
