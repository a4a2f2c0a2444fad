//! The documents that a chain starts from, and the rules by which they agree with each other.
//!
//! Each rule stands alone and is named by its error, so that a member can be told which of them it
//! has checked for itself. Together they are [`Founding::check`].

use alloc::vec::Vec;

use crate::encoding::{Canonical, DecodeError, Reader};
use crate::file::FileType;
use crate::genesis::{AcceptedKey, Genesis};
use crate::message::Tag;
use crate::primitives::{ChainId, ChainIdError, CircuitSize, Digest};
use crate::roster::Roster;
use crate::set::{SetCommitment, ValidatorSet};
use crate::trust::{Policy, TrustAnchor};

/// Which two documents disagree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoundingError {
    /// The anchor trusts another set.
    #[error("the anchor trusts set {anchor}, the set at hand is {set}")]
    SetNotTrusted {
        /// The anchor's `next_validators`.
        anchor: SetCommitment,
        /// Commitment of the set at hand.
        set: SetCommitment,
    },
    /// The genesis document names another set.
    #[error("the genesis document names set {genesis}, the set at hand is {set}")]
    SetNotNamed {
        /// The genesis document's set.
        genesis: SetCommitment,
        /// Commitment of the set at hand.
        set: SetCommitment,
    },
    /// The parameters name another circuit than the set.
    #[error(
        "the parameters name a circuit of {} slots, the set one of {}",
        parameters.slots(),
        set.slots()
    )]
    Slots {
        /// In the genesis document's parameters.
        parameters: CircuitSize,
        /// In the set.
        set: CircuitSize,
    },
    /// The chain id does not end in this genesis document's digest, or has another name.
    #[error("the anchor is of chain {anchor}, the genesis document makes chain {genesis}")]
    ChainId {
        /// The anchor's chain.
        anchor: ChainId,
        /// The chain that the genesis document makes.
        genesis: ChainId,
    },
    /// The name in the genesis document is none; decoding refuses such a document.
    #[error("genesis document: {0}")]
    Name(#[from] ChainIdError),
    /// The anchor's header is not the genesis header.
    #[error("the anchor's header is {anchor}, the genesis header is {genesis}")]
    Header {
        /// Digest of the anchor's header.
        anchor: Digest,
        /// Digest of the header that the genesis document makes.
        genesis: Digest,
    },
    /// The lists of accepted verifying keys differ.
    #[error(
        "the anchor accepts {anchor} verifying keys, which are not the {genesis} that the genesis \
         document names"
    )]
    Keys {
        /// Number in the anchor.
        anchor: usize,
        /// Number in the genesis document.
        genesis: usize,
    },
    /// A place where the roster and the set disagree.
    #[error("the roster and the set differ at validator {0}")]
    Member(usize),
    /// Lists of different length.
    #[error("the roster has {roster} validators, the set {set}")]
    Count {
        /// In the roster.
        roster: usize,
        /// In the set.
        set: usize,
    },
    /// The policy starts from another anchor, or demands something else than the chain keeps.
    #[error("the policy has another {0} than the chain")]
    Policy(&'static str),
}

impl TrustAnchor {
    /// Whether `set` is the one that this anchor trusts to sign what follows its header.
    ///
    /// # Errors
    /// [`FoundingError::SetNotTrusted`].
    pub fn check_set(&self, set: &ValidatorSet) -> Result<(), FoundingError> {
        let (anchor, set) = (self.header.next_validators, set.commitment());
        if anchor == set {
            Ok(())
        } else {
            Err(FoundingError::SetNotTrusted { anchor, set })
        }
    }

    /// Whether the anchor's chain id ends in the digest of `genesis` and bears its name.
    ///
    /// # Errors
    /// [`FoundingError::ChainId`].
    pub fn check_chain(&self, genesis: &Genesis) -> Result<(), FoundingError> {
        let made = genesis.chain_id()?;
        if self.header.chain_id == made {
            return Ok(());
        }
        Err(FoundingError::ChainId {
            anchor: self.header.chain_id.clone(),
            genesis: made,
        })
    }

    /// Whether the anchor's header is the one at height 0 that `genesis` makes.
    ///
    /// # Errors
    /// [`FoundingError::Header`].
    pub fn check_genesis_header(&self, genesis: &Genesis) -> Result<(), FoundingError> {
        let made = genesis.header()?;
        if self.header == made {
            return Ok(());
        }
        Err(FoundingError::Header {
            anchor: self.header.digest(),
            genesis: made.digest(),
        })
    }

    /// Whether the anchor accepts exactly the verifying keys that the chain starts with.
    ///
    /// # Errors
    /// [`FoundingError::Keys`].
    pub fn check_keys(&self, genesis: &Genesis) -> Result<(), FoundingError> {
        let named: &[AcceptedKey] = &genesis.parameters.keys;
        if self.keys == named {
            return Ok(());
        }
        Err(FoundingError::Keys {
            anchor: self.keys.len(),
            genesis: named.len(),
        })
    }
}

impl Genesis {
    /// Whether this document names `set`, and the circuit that the set is to be proved with.
    ///
    /// # Errors
    /// [`FoundingError::SetNotNamed`], [`FoundingError::Slots`].
    pub fn check_set(&self, set: &ValidatorSet) -> Result<(), FoundingError> {
        if self.validators != set.commitment() {
            return Err(FoundingError::SetNotNamed {
                genesis: self.validators,
                set: set.commitment(),
            });
        }
        if self.parameters.slots != set.size() {
            return Err(FoundingError::Slots {
                parameters: self.parameters.slots,
                set: set.size(),
            });
        }
        Ok(())
    }
}

impl Roster {
    /// Whether keys and powers are those of `set`, in its order.
    ///
    /// # Errors
    /// [`FoundingError::Count`], [`FoundingError::Member`].
    pub fn check_set(&self, set: &ValidatorSet) -> Result<(), FoundingError> {
        let (entries, members) = (self.entries(), set.validators());
        if entries.len() != members.len() {
            return Err(FoundingError::Count {
                roster: entries.len(),
                set: members.len(),
            });
        }
        let differs = entries.iter().zip(members).position(|(entry, member)| {
            entry.consensus_key != member.key || entry.power != member.power
        });
        differs.map_or(Ok(()), |place| Err(FoundingError::Member(place)))
    }
}

/// Everything that one machine needs to start: what its bundle holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founding {
    /// The genesis document. Public.
    pub genesis: Genesis,
    /// What a light client starts from. Public.
    pub anchor: TrustAnchor,
    /// What a verifier demands. Public.
    pub policy: Policy,
    /// The set with its salt. Private.
    pub set: ValidatorSet,
    /// Names and addresses. Private.
    pub roster: Roster,
}

impl Founding {
    /// No encoding is longer.
    pub const MAX_BYTES: usize = Genesis::MAX_BYTES
        + TrustAnchor::MAX_BYTES
        + Policy::MAX_BYTES
        + ValidatorSet::MAX_BYTES
        + Roster::MAX_BYTES;

    /// Whether the five documents agree.
    ///
    /// # Errors
    /// The first [`FoundingError`].
    pub fn check(&self) -> Result<(), FoundingError> {
        self.genesis.check_set(&self.set)?;
        self.anchor.check_set(&self.set)?;
        self.anchor.check_chain(&self.genesis)?;
        self.anchor.check_genesis_header(&self.genesis)?;
        self.anchor.check_keys(&self.genesis)?;
        self.roster.check_set(&self.set)?;
        self.check_policy()
    }

    fn check_policy(&self) -> Result<(), FoundingError> {
        let differs = [
            (self.policy.anchor != self.anchor, "anchor"),
            (self.policy.rule != self.genesis.parameters.rule, "rule"),
            (self.policy.keys != self.anchor.keys, "list of keys"),
        ];
        match differs.into_iter().find(|(differs, _)| *differs) {
            Some((_, what)) => Err(FoundingError::Policy(what)),
            None => Ok(()),
        }
    }

    /// A digest over all five documents, to be compared by the members: the anchor's says nothing
    /// of names, addresses, network keys and policy. It hides what it is of while the set is salted.
    pub fn digest(&self) -> Digest {
        Tag::FOUNDING.digest(&self.to_bytes())
    }
}

impl Canonical for Founding {
    fn write(&self, out: &mut Vec<u8>) {
        self.genesis.write(out);
        self.anchor.write(out);
        self.policy.write(out);
        self.set.write(out);
        self.roster.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            genesis: Genesis::read(input)?,
            anchor: TrustAnchor::read(input)?,
            policy: Policy::read(input)?,
            set: ValidatorSet::read(input)?,
            roster: Roster::read(input)?,
        })
    }
}
