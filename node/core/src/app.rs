//! What the core asks of the application that executes final blocks.

use quorate_verifier::encoding::Canonical;
use quorate_verifier::genesis::Parameters;
use quorate_verifier::header::Header;
use quorate_verifier::message::Tag;
use quorate_verifier::primitives::Digest;
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::{SetCommitment, ValidatorSet};
use quorate_verifier::signature::{Signature, VoteKey};

use crate::defect::{Build, Defect};
use crate::limits::{PAYLOAD_BYTES_MAX, PAYLOAD_REQUESTS_MAX, REQUEST_BYTES_MAX};
use crate::quorum::{is_quorum, power_of};
use crate::request::{ClientKey, Payload, Request};
use crate::scheme::Scheme;

/// A client as the application's state has it.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its key, checked when it was admitted.
    pub key: VoteKey,
    /// Sequence of its last executed request; 0 before the first.
    pub sequence: u64,
}

/// A deterministic application: the same blocks give the same state, outcomes and changes on
/// every replica, whatever the machine, the time or the run.
pub trait App {
    /// The client with this key.
    fn client(&self, key: &ClientKey) -> Option<Client>;

    /// Whether a request may be in the next block at all, judged by the present state. What it
    /// does when executed is decided by [`App::apply`], which may refuse it with a reason.
    ///
    /// # Errors
    /// The reason, for the client.
    fn admit(&self, request: &Request) -> Result<(), String>;

    /// Executes a final block: every request in order, each raising its client's sequence.
    fn apply(&mut self, header: &Header, payload: &Payload) -> Applied;

    /// Root of the state, the clients' sequences included.
    fn root(&self) -> Digest;

    /// The whole state, for a replica that cannot replay.
    fn snapshot(&self) -> Vec<u8>;

    /// Takes over a snapshot; the caller compares [`App::root`] with a certified header.
    ///
    /// # Errors
    /// What is wrong with the bytes; the state is then as before.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String>;
}

/// What executing a block gave.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// One for each request, in order: the leaves of the next header's outcomes root.
    pub outcomes: Vec<Vec<u8>>,
    /// A change that one of the requests carried.
    pub change: Option<Change>,
}

/// A change of validator set or parameters: `docs/consensus.md#change`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Client of the one request that may carry it.
    pub client: ClientKey,
    /// Sequence of that request: no request is executed twice, so no change is.
    pub sequence: u64,
    /// The new set, if it changes.
    pub validators: Option<SetCommitment>,
    /// The new parameters, if they change.
    pub parameters: Option<Parameters>,
    /// By members of the set that signs the block, by strictly increasing place.
    pub approvals: Vec<(u16, Signature)>,
}

/// Why a change is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The block does not hold the request that may carry the change.
    #[error("the change is not carried by the request that it names")]
    Carrier,
    /// Approvals twice, by strangers, or out of order.
    #[error("approvals are by members of the set, in strictly increasing order")]
    Approvers,
    /// Approvals hold too little power.
    #[error("the approvals do not hold a quorum of the present power")]
    NoQuorum,
    /// An approval's signature does not hold.
    #[error("an approval's signature does not hold")]
    Signature,
    /// Parameters under which two quorums might share nobody that is correct, or no block fits.
    #[error("the parameters are unsafe: {0}")]
    Parameters(&'static str),
}

impl Change {
    /// What each approving validator signs.
    pub fn signed_bytes(&self, chain: &Digest) -> Vec<u8> {
        let mut bytes = Tag::SET_CHANGE.message(chain.as_bytes());
        bytes.extend_from_slice(&self.client.0);
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.push(u8::from(self.validators.is_some()));
        if let Some(set) = &self.validators {
            set.write(&mut bytes);
        }
        bytes.push(u8::from(self.parameters.is_some()));
        if let Some(parameters) = &self.parameters {
            parameters.write(&mut bytes);
        }
        bytes
    }

    /// Whether `set`, which signs the block with this payload, has approved the change.
    ///
    /// # Errors
    /// [`ChangeError`] names the rule that is broken; such a change is not made.
    pub fn check<S: Scheme, B: Build>(
        &self,
        scheme: &S,
        build: &B,
        chain: &Digest,
        set: &ValidatorSet,
        rule: QuorumRule,
        payload: &Payload,
    ) -> Result<(), ChangeError> {
        let carries =
            |r: &std::sync::Arc<Request>| r.client == self.client && r.sequence == self.sequence;
        if !payload.requests.iter().any(carries) {
            return Err(ChangeError::Carrier);
        }
        if let Some(parameters) = &self.parameters {
            check_parameters(parameters).map_err(ChangeError::Parameters)?;
        }
        if build.lacks(Defect::ChangeUnchecked) {
            return Ok(());
        }
        let signers = self.approvals.iter().map(|a| a.0);
        let signed = power_of(build, set, signers).ok_or(ChangeError::Approvers)?;
        if !is_quorum(build, rule, signed, set.total()) {
            return Err(ChangeError::NoQuorum);
        }
        let bytes = self.signed_bytes(chain);
        let holds = self.approvals.iter().all(|(signer, signature)| {
            set.get(*signer)
                .is_some_and(|v| scheme.verify(&v.key, &bytes, signature))
        });
        if holds {
            Ok(())
        } else {
            Err(ChangeError::Signature)
        }
    }
}

/// Refuses parameters under which the protocol is not safe or not live.
///
/// # Errors
/// The rule that is broken.
pub fn check_parameters(parameters: &Parameters) -> Result<(), &'static str> {
    let rule = parameters.rule;
    if u64::from(rule.num()) * 3 < u64::from(rule.den()) * 2 {
        return Err("a commit takes at least two thirds");
    }
    let limits = parameters.limits;
    let within =
        |bound: u32, most: usize| bound > 0 && usize::try_from(bound).is_ok_and(|b| b <= most);
    if !within(limits.block_bytes, PAYLOAD_BYTES_MAX)
        || !within(limits.block_requests, PAYLOAD_REQUESTS_MAX)
        || !within(limits.request_bytes, REQUEST_BYTES_MAX)
    {
        return Err("limits are above 0 and within the codec's");
    }
    Ok(())
}
