//! Evidence of a fork: what it is, and how somebody else judges it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Trusted;
use crate::attestation::{Attestation, AttestationError, KeyRing, contradiction, verify_over};
use crate::encoding::{Canonical, DecodeError, Kind, Reader};
use crate::file::FileType;
use crate::primitives::Height;
use crate::rule::QuorumRule;
use crate::set::SetCommitment;
use crate::trust::Policy;

/// Two headers of one chain, signed by one set, that cannot both stand: two at one height, or two
/// at adjacent heights that are not parent and child, or a later one without a later time. More
/// than a third of the set's power signed both. Having one is no proof of it: [`Fork::verify`] is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ForkJson", into = "ForkJson")]
pub struct Fork {
    trusted: Trusted,
    conflicting: Attestation,
}

/// Why two headers are no evidence of a fork.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForkError {
    /// Different chain or set, or headers that can stand on one chain.
    #[error("no fork: the two headers {0}")]
    NoFork(&'static str),
    /// The first header was taken on trust, and not from the anchor at hand.
    #[error("the first header is another anchor's: it convinces only who holds that one")]
    OtherAnchor,
    /// The policy demands a rule under which two quorums need not share anybody.
    #[error("the policy demands {0}; a fork shows under the commit rule only")]
    Rule(QuorumRule),
    /// One of the two is not proved.
    #[error(transparent)]
    Attestation(#[from] AttestationError),
}

impl Fork {
    /// Two headers that cannot both be final. Their proofs are not looked at.
    ///
    /// # Errors
    /// [`ForkError::NoFork`].
    pub fn new(trusted: Trusted, conflicting: Attestation) -> Result<Self, ForkError> {
        let (first, second) = (trusted.header(), &conflicting.header);
        for (broken, what) in [
            (first.chain_id != second.chain_id, "are of different chains"),
            (
                first.validators != second.validators,
                "are of different sets",
            ),
            (first.digest() == second.digest(), "are the same"),
            (
                contradiction(first, second).is_none(),
                "can stand on one chain",
            ),
        ] {
            if broken {
                return Err(ForkError::NoFork(what));
            }
        }
        Ok(Self {
            trusted,
            conflicting,
        })
    }

    /// The header that the client had verified before.
    pub const fn trusted(&self) -> &Trusted {
        &self.trusted
    }

    /// The other one, with its proof.
    pub const fn conflicting(&self) -> &Attestation {
        &self.conflicting
    }

    /// The height of the other one: where the two histories part, or have parted before.
    pub const fn height(&self) -> Height {
        self.conflicting.header.height
    }

    /// Whether this convinces somebody with this policy: both headers are proved over the set that
    /// the anchor trusts, or the first is the anchor's own header and the second is proved over the
    /// set that signed it. There is no clock here: ask also whether the set was still to be trusted.
    ///
    /// # Errors
    /// [`ForkError`] names what is missing.
    pub fn verify(&self, policy: &Policy, ring: &KeyRing) -> Result<(), ForkError> {
        if policy.rule != QuorumRule::COMMIT {
            return Err(ForkError::Rule(policy.rule));
        }
        let anchor = &policy.anchor.header;
        let set: SetCommitment = match &self.trusted {
            Trusted::Anchor(header) if header == anchor => anchor.validators,
            Trusted::Anchor(_) => return Err(ForkError::OtherAnchor),
            Trusted::Proved(first) => {
                verify_over(anchor.next_validators, first, policy, ring)?;
                anchor.next_validators
            }
        };
        Ok(verify_over(set, &self.conflicting, policy, ring)?)
    }
}

impl Canonical for Fork {
    fn write(&self, out: &mut Vec<u8>) {
        self.trusted.write(out);
        self.conflicting.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let trusted = Trusted::read(input)?;
        Self::new(trusted, Attestation::read(input)?).map_err(|e| DecodeError::rule("fork", e))
    }
}

impl FileType for Fork {
    const KIND: Kind = Kind::Fork;
    const MAX_BYTES: usize = 1 + 2 * Attestation::MAX_BYTES;
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ForkJson {
    trusted: Trusted,
    conflicting: Attestation,
}

impl TryFrom<ForkJson> for Fork {
    type Error = String;
    fn try_from(json: ForkJson) -> Result<Self, String> {
        Self::new(json.trusted, json.conflicting).map_err(|e| e.to_string())
    }
}

impl From<Fork> for ForkJson {
    fn from(fork: Fork) -> Self {
        Self {
            trusted: fork.trusted,
            conflicting: fork.conflicting,
        }
    }
}
