//! Attestations: a header, and the proof that a quorum of the set it names finalised it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Ordering;

use ark_bn254::Fr;
use serde::{Deserialize, Serialize};

use crate::encoding::{Canonical, DecodeError, Kind, Reader};
use crate::file::FileType;
use crate::header::Header;
use crate::json;
use crate::primitives::{ChainId, CircuitSize, Digest, View};
use crate::proof::{Origin, PreparedKey, Proof, ProofError, verify_each};
use crate::rule::QuorumRule;
use crate::set::SetCommitment;
use crate::statement::{STATEMENT_INPUTS, Statement};
use crate::trust::Policy;

/// A finalised header with its proof. Holds no times and names no signer.
///
/// Its bytes are no identity: a proof can be re-randomised by anybody. [`Attestation::statement`]
/// is what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// The block.
    pub header: Header,
    /// The view in which it was committed.
    pub view: View,
    /// The rule that the signers hold.
    pub rule: QuorumRule,
    /// Digest of the verifying key that the proof was made for: a hint, never a reason to trust it.
    pub key: Digest,
    /// The proof.
    #[serde(with = "proof_json")]
    pub proof: Proof,
}

impl Attestation {
    /// "A quorum of the set that the header names finalised it in this view."
    pub fn statement(&self) -> Statement {
        Statement::of(&self.header, self.view, self.rule)
    }
}

/// Prepared verifying keys, by digest. Holding a key is not accepting it: a policy does that.
#[derive(Clone, Debug, Default)]
pub struct KeyRing(BTreeMap<Digest, PreparedKey>);

impl KeyRing {
    /// A ring without keys.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds a key under its own digest.
    pub fn insert(&mut self, key: PreparedKey) {
        self.0.insert(*key.digest(), key);
    }

    /// The key with this digest.
    pub fn get(&self, digest: &Digest) -> Option<&PreparedKey> {
        self.0.get(digest)
    }
}

/// What stands between an attestation and its acceptance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// The header is another chain's.
    #[error("the header is of chain {found}, {expected} was expected")]
    WrongChain {
        /// The policy's chain.
        expected: ChainId,
        /// The header's chain.
        found: ChainId,
    },
    /// The proof shows another rule than the one demanded.
    #[error("the proof is for {found}, {demanded} is demanded")]
    WrongRule {
        /// The policy's rule.
        demanded: QuorumRule,
        /// The attestation's rule.
        found: QuorumRule,
    },
    /// The header is signed by a set that nobody vouched for.
    #[error("the header is signed by set {found}, the trusted set is {trusted}")]
    UntrustedSet {
        /// The set trusted by the caller.
        trusted: SetCommitment,
        /// The header's set.
        found: SetCommitment,
    },
    /// The policy does not list the key.
    #[error("verifying key {0} is not among the accepted ones")]
    KeyNotAccepted(Digest),
    /// The key is accepted, but not at hand.
    #[error("verifying key {0} is accepted but not at hand")]
    KeyMissing(Digest),
    /// The key is listed for a circuit of another size.
    #[error("verifying key {key} has {found} slots, the policy lists it with {listed}")]
    WrongSize {
        /// Digest of the key.
        key: Digest,
        /// Slots listed by the policy.
        listed: u16,
        /// Slots of the key's circuit.
        found: u16,
    },
    /// A key made by one party, which the policy refuses.
    #[error("verifying key {0} is a development key: whoever made it can forge proofs")]
    DevelopmentKey(Digest),
    /// The proof does not hold.
    #[error("the proof does not hold: {0}")]
    Proof(ProofError),
    /// Proved, and yet it cannot stand on one chain with the anchor: a fork.
    #[error("the header is final and contradicts the anchor: {0}")]
    Contradiction(&'static str),
}

/// What an error means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Cryptography says no: an incident.
    Invalid,
    /// Sound as far as was looked at, but the policy does not accept it.
    PolicyFailed,
    /// Something needed for a judgement is not at hand.
    CannotEvaluate,
}

impl AttestationError {
    /// The class that a caller acts on.
    pub fn verdict(&self) -> Verdict {
        match self {
            // An accepted key for statements of another length cannot judge this one.
            Self::KeyMissing(_) | Self::Proof(ProofError::InputCount { .. }) => {
                Verdict::CannotEvaluate
            }
            Self::Proof(_) | Self::Contradiction(_) => Verdict::Invalid,
            _ => Verdict::PolicyFailed,
        }
    }
}

/// The key of `digest`, if `policy` accepts it and `ring` has it.
///
/// # Errors
/// [`AttestationError`] for a key that is not accepted, not at hand, of another size than listed,
/// or made for development where the policy refuses that.
pub(crate) fn accepted_key<'k>(
    accepted: &[crate::genesis::AcceptedKey],
    development_keys: bool,
    ring: &'k KeyRing,
    digest: &Digest,
) -> Result<&'k PreparedKey, AttestationError> {
    let listed = accepted
        .iter()
        .find(|key| key.digest == *digest)
        .ok_or(AttestationError::KeyNotAccepted(*digest))?;
    let key = ring
        .get(digest)
        .ok_or(AttestationError::KeyMissing(*digest))?;
    let slots: CircuitSize = key.key().circuit.slots;
    if slots != listed.slots {
        return Err(AttestationError::WrongSize {
            key: *digest,
            listed: listed.slots.slots(),
            found: slots.slots(),
        });
    }
    if key.key().origin == Origin::Development && !development_keys {
        return Err(AttestationError::DevelopmentKey(*digest));
    }
    Ok(key)
}

/// Whether `attestation` shows, to somebody with this policy, that its header is final: signed by
/// the very set that the anchor trusts. Other sets are reached by a light client only.
///
/// Everything but the proof and what it speaks of comes from the caller. There is no clock here.
/// Not checked: that the header is the newest; that the anchor's set is still to be trusted, whose
/// members may have left long ago; that the block's content is available or makes sense.
///
/// # Errors
/// The first link that does not hold, the proof last; after it, a contradiction to the anchor.
pub fn verify(
    attestation: &Attestation,
    policy: &Policy,
    ring: &KeyRing,
) -> Result<(), AttestationError> {
    let anchor = &policy.anchor.header;
    verify_over(anchor.next_validators, attestation, policy, ring)?;
    match contradiction(anchor, &attestation.header) {
        Some(what) => Err(AttestationError::Contradiction(what)),
        None => Ok(()),
    }
}

/// [`verify`] for many, in their order. Proofs under one key are checked in one batch; if one of
/// them does not hold, each is judged alone.
pub fn verify_all(
    attestations: &[&Attestation],
    policy: &Policy,
    ring: &KeyRing,
) -> Vec<Result<(), AttestationError>> {
    let trusted = policy.anchor.header.next_validators;
    let mut verdicts: Vec<Result<(), AttestationError>> = Vec::with_capacity(attestations.len());
    let mut by_key: BTreeMap<Digest, Claims<'_>> = BTreeMap::new();
    for (place, attestation) in attestations.iter().enumerate() {
        let demanded = demand(trusted, attestation, policy, ring);
        verdicts.push(demanded.map(|(key, statement)| {
            let (_, claims) = by_key.entry(*key.digest()).or_insert((key, Vec::new()));
            claims.push((place, (statement.inputs(), attestation.proof)));
        }));
    }
    for (key, claims) in by_key.into_values() {
        let batch: Vec<_> = claims
            .iter()
            .map(|(_, (inputs, proof))| (&inputs[..], *proof))
            .collect();
        for ((place, _), verdict) in claims.iter().zip(verify_each(key, &batch)) {
            verdicts[*place] = verdict.map_err(AttestationError::Proof);
        }
    }
    let anchor = &policy.anchor.header;
    for (verdict, attestation) in verdicts.iter_mut().zip(attestations) {
        if let (Ok(()), Some(what)) = (&verdict, contradiction(anchor, &attestation.header)) {
            *verdict = Err(AttestationError::Contradiction(what));
        }
    }
    verdicts
}

/// Public inputs and a proof that is said to show them.
type Claim = ([Fr; STATEMENT_INPUTS], Proof);

/// Claims under one key, each with its place in the answer.
type Claims<'k> = (&'k PreparedKey, Vec<(usize, Claim)>);

/// Whether a quorum of `trusted` finalised the header, by what `policy` accepts.
pub(crate) fn verify_over(
    trusted: SetCommitment,
    attestation: &Attestation,
    policy: &Policy,
    ring: &KeyRing,
) -> Result<(), AttestationError> {
    let (key, statement) = demand(trusted, attestation, policy, ring)?;
    check_proof(key, &statement, &attestation.proof)
}

/// What a proof has to show, and under which key, for a policy to accept it; everything but the
/// proof is checked.
fn demand<'k>(
    trusted: SetCommitment,
    attestation: &Attestation,
    policy: &Policy,
    ring: &'k KeyRing,
) -> Result<(&'k PreparedKey, Statement), AttestationError> {
    let expected = &policy.anchor.header.chain_id;
    let header = &attestation.header;
    if header.chain_id != *expected {
        return Err(AttestationError::WrongChain {
            expected: expected.clone(),
            found: header.chain_id.clone(),
        });
    }
    if attestation.rule != policy.rule {
        return Err(AttestationError::WrongRule {
            demanded: policy.rule,
            found: attestation.rule,
        });
    }
    if header.validators != trusted {
        return Err(AttestationError::UntrustedSet {
            trusted,
            found: header.validators,
        });
    }
    let key = accepted_key(
        &policy.keys,
        policy.development_keys,
        ring,
        &attestation.key,
    )?;
    let statement = Statement::over(trusted, header, attestation.view, policy.rule);
    Ok((key, statement))
}

/// Why two final headers of one chain cannot both stand; `None` when they can, as far as these two
/// alone tell.
pub fn contradiction(one: &Header, other: &Header) -> Option<&'static str> {
    let (earlier, later) = match other.height.cmp(&one.height) {
        Ordering::Equal => {
            let same = other.digest() == one.digest();
            return (!same).then_some("another header at the same height");
        }
        Ordering::Less => (other, one),
        Ordering::Greater => (one, other),
    };
    if earlier.height.next() == Some(later.height) && later.parent != earlier.digest() {
        return Some("adjacent heights that are not parent and child");
    }
    (later.time <= earlier.time).then_some("a later height without a later time")
}

/// Whether a proof shows a statement under a key that the caller accepts.
pub(crate) fn check_proof(
    key: &PreparedKey,
    statement: &Statement,
    proof: &Proof,
) -> Result<(), AttestationError> {
    key.bind(&statement.inputs(), *proof)
        .and_then(|bound| bound.check())
        .map_err(AttestationError::Proof)
}

impl Canonical for Proof {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.encode());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::decode(input.take("proof", Self::BYTES)?).map_err(|e| DecodeError::rule("proof", e))
    }
}

impl Canonical for Attestation {
    fn write(&self, out: &mut Vec<u8>) {
        self.header.write(out);
        self.view.write(out);
        self.rule.write(out);
        self.key.write(out);
        self.proof.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            header: Header::read(input)?,
            view: View::read(input)?,
            rule: QuorumRule::read(input)?,
            key: input.array("key digest").map(Digest::from_bytes)?,
            proof: Proof::read(input)?,
        })
    }
}

impl FileType for Attestation {
    const KIND: Kind = Kind::Attestation;
    const MAX_BYTES: usize = Header::MAX_BYTES + 8 + 8 + 32 + Proof::BYTES;
}

pub(crate) mod proof_json {
    use super::{Proof, json};

    pub(crate) fn serialize<S: serde::Serializer>(
        proof: &Proof,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        json::hex_bytes::serialize(&proof.encode(), serializer)
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Proof, D::Error> {
        let bytes: [u8; Proof::BYTES] = json::hex_bytes::deserialize(deserializer)?;
        Proof::decode(&bytes).map_err(serde::de::Error::custom)
    }
}
