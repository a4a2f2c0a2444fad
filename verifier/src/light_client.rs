//! A light client: follows a chain from a trust anchor with proofs and headers only.
//!
//! Pure: state, update, options and the caller's clock go in, a new state or an error comes out.
//! A proof of height h proves every ancestor through the parent links.
//!
//! *Step*: a later header whose `validators` is the trusted set, with a proof of the commit rule.
//! Following only the headers that change the set is the normal way; to cheat takes more than two
//! thirds of a trusted set. *Skip* (off unless asked for): a proof that more than a third of the
//! trusted set signed, and one that a quorum of the header's own set did; to cheat takes only
//! more than a third of the trusted set, within the trusting period.

mod bisection;
mod encoding;
mod fork;

use alloc::boxed::Box;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::attestation::{
    Attestation, AttestationError, KeyRing, Verdict, accepted_key, check_proof, contradiction,
    proof_json,
};
use crate::genesis::{AcceptedKey, Parameters, ordered_keys};
use crate::header::Header;
use crate::json;
use crate::primitives::{ChainId, Digest, Height, TimeMs};
use crate::proof::{PreparedKey, Proof};
use crate::rule::QuorumRule;
use crate::set::SetCommitment;
use crate::statement::Statement;
use crate::trust::{Policy, TrustAnchor};

pub use bisection::Bisection;
pub use fork::{Fork, ForkError};

/// A header that a client trusts, and why.
#[allow(clippy::large_enum_variant, reason = "a client holds one")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trusted {
    /// Taken on trust: the anchor's.
    Anchor(Header),
    /// Proved; the proof is kept, so that a fork can be shown to others.
    Proved(Attestation),
}

impl Trusted {
    /// The header, however it came.
    pub const fn header(&self) -> &Header {
        match self {
            Self::Anchor(header) => header,
            Self::Proved(attestation) => &attestation.header,
        }
    }
}

/// What a client knows: the last header that it verified, and how to go on from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientState {
    /// The last verified header; its `next_validators` is the trusted set.
    pub trusted: Trusted,
    /// Verifying keys accepted from here on, in increasing order of digest.
    #[serde(deserialize_with = "ordered_keys")]
    pub keys: Vec<AcceptedKey>,
    /// How long after its time a header's next set is trusted, in milliseconds.
    #[serde(with = "json::decimal")]
    pub trusting_period_ms: u64,
    /// How far a header's time may lie ahead of the client's clock, in milliseconds.
    pub clock_drift_ms: u32,
    /// Whether keys made by one party are accepted.
    pub development_keys: bool,
    /// Digest of the anchor that the client started from.
    pub anchor: Digest,
    /// Evidence of a fork: a client that has it accepts nothing more until it is reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<Box<Fork>>,
}

/// What a client is given to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// The new header with a proof over the set that it names.
    pub attestation: Attestation,
    /// For a skip: a proof that more than a third of the trusted set signed the same message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
    /// The opening of the header's parameters: needed where they differ from the trusted header's,
    /// and the only way by which a verifying key enters or leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
}

impl Update {
    /// A step: one attestation, nothing else.
    pub const fn step(attestation: Attestation) -> Self {
        Self {
            attestation,
            overlap: None,
            parameters: None,
        }
    }
}

/// A second proof over the same header and view, for the trusted set under the rule of one third.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlap {
    /// Digest of the verifying key that it was made for.
    pub key: Digest,
    /// The proof.
    #[serde(with = "proof_json")]
    pub proof: Proof,
}

/// What the caller allows, whatever the update says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether a header of an unknown set may be reached by an overlap of one third.
    pub allow_skip: bool,
    /// Whether keys made by one party are accepted, where the state accepts them too.
    pub development_keys: bool,
}

/// How an accepted update was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// By a quorum of the trusted set.
    Step,
    /// By more than a third of the trusted set and a quorum of an unknown one.
    Skip,
}

/// An update that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The state to keep from now on.
    pub state: ClientState,
    /// How it was reached.
    pub by: Reached,
}

/// Why an update is refused. The state stays as it was, unless [`ClientError::Fork`] says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The client holds evidence of a fork.
    #[error("the client is frozen by a fork at height {}: reset it from a new anchor", .0.get())]
    Frozen(Height),
    /// The trusted set is too old to be trusted.
    #[error("trust in the set of height {} ended: reset the client from a new anchor", .height.get())]
    TrustExpired {
        /// Height of the trusted header.
        height: Height,
        /// Its time.
        time: TimeMs,
        /// The caller's clock.
        now: TimeMs,
    },
    /// Another chain.
    #[error("the header is of chain {found}, the client follows {expected}")]
    WrongChain {
        /// The client's chain.
        expected: ChainId,
        /// The header's chain.
        found: ChainId,
    },
    /// Not a later height.
    #[error("height {} is not above the trusted {}", .found.get(), .trusted.get())]
    HeightNotAbove {
        /// The trusted height.
        trusted: Height,
        /// The header's height.
        found: Height,
    },
    /// The very header that is trusted already.
    #[error("height {} is trusted already", .0.get())]
    AlreadyTrusted(Height),
    /// Not a later time.
    #[error("the header's time is not above the trusted header's")]
    TimeNotAbove,
    /// A time ahead of the clock by more than the drift.
    #[error("the header's time is ahead of the clock by more than the drift")]
    FromTheFuture {
        /// The header's time.
        time: TimeMs,
        /// The caller's clock.
        now: TimeMs,
    },
    /// The next height, on another parent.
    #[error("the header at height {} has parent {found}, the trusted header is {trusted}", .height.get())]
    WrongParent {
        /// The header's height.
        height: Height,
        /// Digest of the trusted header.
        trusted: Digest,
        /// The header's parent.
        found: Digest,
    },
    /// Signed by a set that the client does not know: a header between is needed, or a skip.
    #[error("the header is signed by set {found}, the trusted set is {trusted}")]
    UnknownSet {
        /// The trusted set.
        trusted: SetCommitment,
        /// The header's set.
        found: SetCommitment,
    },
    /// A skip where the caller did not allow one.
    #[error("a skip over a change of the set is not allowed")]
    SkipNotAllowed,
    /// A proof under another rule than the commit rule.
    #[error("the proof is for {0}, the commit rule is demanded")]
    WrongRule(QuorumRule),
    /// The opening is not of the header's parameters.
    #[error("the parameters' digest is {found}, the header names {header}")]
    WrongParameters {
        /// What the header names.
        header: Digest,
        /// Digest of the opening.
        found: Digest,
    },
    /// The header names other parameters than the trusted one, and they are not opened. Without
    /// them a key that the chain has withdrawn would go on being accepted.
    #[error("the parameters changed to {0}: their opening is needed")]
    ParametersNeeded(Digest),
    /// Key or proof.
    #[error(transparent)]
    Attestation(#[from] AttestationError),
    /// Two verified headers that cannot both stand. The frozen state is to be kept.
    #[error("FORK at height {}: two final headers; the client is frozen", fork_height(.0))]
    Fork(Box<ClientState>),
}

/// The height of a frozen state's fork.
fn fork_height(state: &ClientState) -> u64 {
    let fork = state.fork.as_deref();
    fork.map_or(state.header().height, Fork::height).get()
}

impl ClientError {
    /// The class that a caller acts on.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Attestation(error) => error.verdict(),
            Self::Fork(_) | Self::WrongParameters { .. } => Verdict::Invalid,
            Self::UnknownSet { .. } | Self::ParametersNeeded(_) => Verdict::CannotEvaluate,
            _ => Verdict::PolicyFailed,
        }
    }
}

impl ClientState {
    /// Starts from a policy's anchor, whose acceptance is the caller's act of trust. The keys are
    /// those that the policy accepts.
    ///
    /// # Errors
    /// [`ClientError::WrongRule`] for a policy that demands another rule than the commit rule: a
    /// client follows no other.
    pub fn new(policy: &Policy) -> Result<Self, ClientError> {
        if policy.rule != QuorumRule::COMMIT {
            return Err(ClientError::WrongRule(policy.rule));
        }
        let anchor: &TrustAnchor = &policy.anchor;
        Ok(Self {
            trusted: Trusted::Anchor(anchor.header.clone()),
            keys: policy.keys.clone(),
            trusting_period_ms: anchor.trusting_period_ms,
            clock_drift_ms: anchor.clock_drift_ms,
            development_keys: policy.development_keys,
            anchor: anchor.digest(),
            fork: None,
        })
    }

    /// The last verified header.
    pub const fn header(&self) -> &Header {
        self.trusted.header()
    }

    /// When trust in the trusted header's next set ends; `None` if never, for want of a calendar.
    pub fn trusted_until(&self) -> Option<TimeMs> {
        self.header().time.checked_add_ms(self.trusting_period_ms)
    }

    /// Takes one update.
    ///
    /// # Errors
    /// [`ClientError`]; on [`ClientError::Fork`] the state inside replaces the old one.
    pub fn update(
        &self,
        update: &Update,
        ring: &KeyRing,
        options: Options,
        now: TimeMs,
    ) -> Result<Accepted, ClientError> {
        self.check_usable(now)?;
        let header = &update.attestation.header;
        if header.chain_id != self.header().chain_id {
            return Err(ClientError::WrongChain {
                expected: self.header().chain_id.clone(),
                found: header.chain_id.clone(),
            });
        }
        if update.attestation.rule != QuorumRule::COMMIT {
            return Err(ClientError::WrongRule(update.attestation.rule));
        }
        if header.height <= self.header().height {
            return Err(self.judge_not_above(update, ring, options));
        }
        self.check_later(header, now)?;
        let by = self.check_set(update, ring, options)?;
        let keys = self.next_keys(update)?;
        let state = Self {
            trusted: Trusted::Proved(update.attestation.clone()),
            keys,
            ..self.clone()
        };
        Ok(Accepted { state, by })
    }

    /// Whether the client takes anything at all: no fork was found, and trust has not ended.
    ///
    /// # Errors
    /// [`ClientError::Frozen`] and [`ClientError::TrustExpired`].
    pub fn check_usable(&self, now: TimeMs) -> Result<(), ClientError> {
        if let Some(fork) = &self.fork {
            return Err(ClientError::Frozen(fork.height()));
        }
        match self.trusted_until() {
            Some(end) if end <= now => Err(ClientError::TrustExpired {
                height: self.header().height,
                time: self.header().time,
                now,
            }),
            _ => Ok(()),
        }
    }

    /// Time and, for the next height, the parent; the height is above the trusted one.
    fn check_later(&self, header: &Header, now: TimeMs) -> Result<(), ClientError> {
        if header.time <= self.header().time {
            return Err(ClientError::TimeNotAbove);
        }
        let latest = now.checked_add_ms(self.clock_drift_ms.into());
        if latest.is_some_and(|latest| header.time > latest) {
            return Err(ClientError::FromTheFuture {
                time: header.time,
                now,
            });
        }
        if Some(header.height) == self.header().height.next() {
            let trusted = self.header().digest();
            if header.parent != trusted {
                return Err(ClientError::WrongParent {
                    height: header.height,
                    trusted,
                    found: header.parent,
                });
            }
        }
        Ok(())
    }

    /// Step, or skip where one is allowed.
    fn check_set(
        &self,
        update: &Update,
        ring: &KeyRing,
        options: Options,
    ) -> Result<Reached, ClientError> {
        let header = &update.attestation.header;
        let trusted = self.header().next_validators;
        if header.validators == trusted {
            self.check_attestation(&update.attestation, ring, options)?;
            return Ok(Reached::Step);
        }
        // The set of the next height is known for certain: no skip leads there.
        let adjacent = Some(header.height) == self.header().height.next();
        let (Some(overlap), false) = (&update.overlap, adjacent) else {
            return Err(ClientError::UnknownSet {
                trusted,
                found: header.validators,
            });
        };
        if !options.allow_skip {
            return Err(ClientError::SkipNotAllowed);
        }
        let key = self.accepted_key(ring, options, &overlap.key)?;
        let view = update.attestation.view;
        let statement = Statement::over(trusted, header, view, QuorumRule::OVERLAP);
        check_proof(key, &statement, &overlap.proof)?;
        // The new set is of the prover's choosing, so its proof comes last.
        self.check_attestation(&update.attestation, ring, options)?;
        Ok(Reached::Skip)
    }

    /// Key and proof of an attestation over the set that its header names.
    fn check_attestation(
        &self,
        attestation: &Attestation,
        ring: &KeyRing,
        options: Options,
    ) -> Result<(), ClientError> {
        let key = self.accepted_key(ring, options, &attestation.key)?;
        check_proof(key, &attestation.statement(), &attestation.proof)?;
        Ok(())
    }

    fn accepted_key<'k>(
        &self,
        ring: &'k KeyRing,
        options: Options,
        digest: &Digest,
    ) -> Result<&'k PreparedKey, AttestationError> {
        let development = self.development_keys && options.development_keys;
        accepted_key(&self.keys, development, ring, digest)
    }

    /// A header at the trusted height or below: nothing new, or one that cannot stand on one chain
    /// with the trusted one. That is a fork if the same set signed both.
    ///
    /// Evidence counts only if it verifies from a state still within the trusting period, which
    /// [`Self::check_usable`] has seen to, and one header in two views is no fork.
    fn judge_not_above(&self, update: &Update, ring: &KeyRing, options: Options) -> ClientError {
        let (own, header) = (self.header(), &update.attestation.header);
        let lower = header.height < own.height;
        let not_above = ClientError::HeightNotAbove {
            trusted: own.height,
            found: header.height,
        };
        if contradiction(own, header).is_none() {
            return match lower {
                true => not_above,
                false => ClientError::AlreadyTrusted(header.height),
            };
        }
        if header.validators != own.validators {
            return match lower {
                true => not_above,
                false => ClientError::UnknownSet {
                    trusted: own.validators,
                    found: header.validators,
                },
            };
        }
        if let Err(error) = self.check_attestation(&update.attestation, ring, options) {
            return error;
        }
        let fork = Fork::new(self.trusted.clone(), update.attestation.clone())
            .expect("two headers of one chain and set that contradict each other, compared above");
        ClientError::Fork(Box::new(Self {
            fork: Some(Box::new(fork)),
            ..self.clone()
        }))
    }

    /// The keys accepted after an update: those of the header's parameters where these changed,
    /// the same as before where they did not. An anchor may list fewer keys than the chain accepts;
    /// opening unchanged parameters does not bring the others back.
    fn next_keys(&self, update: &Update) -> Result<Vec<AcceptedKey>, ClientError> {
        let header = update.attestation.header.parameters;
        let changed = header != self.header().parameters;
        match &update.parameters {
            Some(opening) if opening.digest() != header => Err(ClientError::WrongParameters {
                header,
                found: opening.digest(),
            }),
            Some(opening) if changed => Ok(opening.keys.clone()),
            None if changed => Err(ClientError::ParametersNeeded(header)),
            _ => Ok(self.keys.clone()),
        }
    }
}
