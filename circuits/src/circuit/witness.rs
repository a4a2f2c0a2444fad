//! What a prover puts into the quorum circuit: chosen signers, and dummies in the other slots.

use ark_bn254::Fr;
use ark_ff::AdditiveGroup;
use quorate_verifier::certificate::{CertificateError, CommitCertificate};
use quorate_verifier::dummy::{DUMMY_KEY, dummy_signature};
use quorate_verifier::message::CommitMessage;
use quorate_verifier::primitives::{CircuitSize, Digest, Power, View};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::{SetCommitment, ValidatorSet};
use quorate_verifier::signature::Signature;
use quorate_verifier::statement::Statement;

use crate::membership::{Opening, SetOpening};

/// One slot: a signature, the key that made it, and whether it counts.
#[derive(Clone, Debug)]
pub struct SlotWitness {
    /// Whether the key's power counts. If not, nothing ties the key to the set.
    pub flag: bool,
    /// Encoding of the key.
    pub key: [u8; 32],
    /// Its signature of the commit message.
    pub signature: Signature,
    /// Place, power, blinding and path of the key's leaf.
    pub opening: Opening,
}

/// Everything that the quorum circuit is filled with.
#[derive(Clone, Debug)]
pub struct QuorumWitness {
    /// The public inputs.
    pub statement: Statement,
    /// The 47 bytes that every slot's key signed.
    pub message: CommitMessage,
    /// What the set's commitment hides.
    pub set: SetOpening,
    /// One for each slot, by rising place.
    pub slots: Vec<SlotWitness>,
}

/// Why a certificate cannot be put into a circuit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// It is not a certificate of a quorum of this set: nothing to be proved.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// It is, but even the fewest signers are more than the set's circuit holds.
    #[error("the fewest signers that pass the rule are {needed}, the set's circuit holds {slots}")]
    TooManySigners {
        /// Signers needed.
        needed: usize,
        /// Slots of the set's circuit.
        slots: usize,
    },
}

impl QuorumWitness {
    /// Checks the certificate in the clear, chooses the fewest signers (largest power first, the
    /// lower place among equals) and fills the set's size with dummies.
    ///
    /// # Errors
    /// [`WitnessError`] names what the certificate lacks. Never panics on a hostile one.
    pub fn new(
        certificate: &CommitCertificate,
        set: &ValidatorSet,
        rule: QuorumRule,
    ) -> Result<Self, WitnessError> {
        certificate.verify(set, rule)?;
        let message = certificate.message();
        let chosen = fewest(certificate, set, rule);
        let slots = usize::from(set.size().slots());
        if chosen.len() > slots {
            return Err(WitnessError::TooManySigners {
                needed: chosen.len(),
                slots,
            });
        }
        let statement = Statement {
            set_commitment: set.commitment(),
            message_digest: message.digest(),
            rule,
        };
        Ok(Self {
            statement,
            message,
            set: SetOpening::of(set),
            slots: fill(certificate, set, &chosen, slots),
        })
    }
}

impl QuorumWitness {
    /// Dummies in every slot and an empty set: the shape of a witness, and no more.
    pub(super) fn placeholder(size: CircuitSize) -> Self {
        let message = CommitMessage::new(&Digest::ZERO, View::FIRST);
        let set = SetOpening {
            root: Fr::ZERO,
            total: 0,
            count: 0,
        };
        let slot = |index| SlotWitness {
            flag: false,
            key: DUMMY_KEY,
            signature: dummy_signature(message.as_bytes()),
            opening: Opening {
                index,
                ..Opening::default()
            },
        };
        Self {
            statement: Statement {
                set_commitment: SetCommitment::from_scalar(&set.commitment()),
                message_digest: message.digest(),
                rule: QuorumRule::COMMIT,
            },
            message,
            set,
            slots: (0..size.slots()).map(u32::from).map(slot).collect(),
        }
    }
}

/// Places in the certificate of the fewest votes that pass the rule.
fn fewest(certificate: &CommitCertificate, set: &ValidatorSet, rule: QuorumRule) -> Vec<usize> {
    let power = |vote: usize| {
        let validator = set.get(certificate.votes()[vote].index);
        validator.map_or(Power::ZERO, |v| v.power)
    };
    let mut votes: Vec<usize> = (0..certificate.votes().len()).collect();
    votes.sort_by_key(|vote| core::cmp::Reverse(power(*vote)));
    let mut signed = Power::ZERO;
    let enough = votes.iter().position(|vote| {
        signed = signed
            .checked_add(power(*vote))
            .expect("a part of the total, which is below 2^60");
        rule.holds(signed, set.total())
    });
    votes.truncate(enough.map_or(votes.len(), |last| last + 1));
    votes
}

/// The chosen votes and as many dummies as slots are left, by rising place.
fn fill(
    certificate: &CommitCertificate,
    set: &ValidatorSet,
    chosen: &[usize],
    slots: usize,
) -> Vec<SlotWitness> {
    let mut filled: Vec<SlotWitness> = chosen
        .iter()
        .map(|vote| {
            let vote = &certificate.votes()[*vote];
            let validator = set.get(vote.index).expect("the certificate was checked");
            SlotWitness {
                flag: true,
                key: *validator.key.as_bytes(),
                signature: vote.signature,
                opening: Opening::of(set, vote.index).expect("a place in the set"),
            }
        })
        .collect();
    let signature = dummy_signature(certificate.message().as_bytes());
    let taken: Vec<u32> = filled.iter().map(|slot| slot.opening.index).collect();
    let free = (0..).filter(|index| !taken.contains(index));
    filled.extend(free.take(slots - chosen.len()).map(|index| SlotWitness {
        flag: false,
        key: DUMMY_KEY,
        signature,
        opening: decoy(set, index),
    }));
    filled.sort_by_key(|slot| slot.opening.index);
    filled
}

/// An opening for a dummy: its place is all that matters. The rest looks like a real one's, so
/// that values are as wide in a slot that counts as in one that does not.
fn decoy(set: &ValidatorSet, index: u32) -> Opening {
    let place = u16::try_from(index).expect("slots are at most 256");
    let mut opening = Opening::of(set, place).expect("slots are at most 256");
    if opening.blinding == Fr::default() {
        opening.blinding = set.tree().root();
    }
    opening
}
