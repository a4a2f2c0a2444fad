//! Commit certificates and their check in the clear: what the circuit is measured against.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::encoding::{Canonical, DecodeError, Kind, Reader, write_list};
use crate::file::FileType;
use crate::header::Header;
use crate::json;
use crate::message::CommitMessage;
use crate::primitives::{ChainId, Digest, Power, VALIDATORS_MAX, View};
use crate::rule::QuorumRule;
use crate::set::{SetCommitment, ValidatorSet};
use crate::signature::{BadSignature, BatchError, Signature, verify_batch};

/// One validator's signature of the commit message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitVote {
    /// The signer's place in the set.
    #[serde(rename = "signer")]
    pub index: u16,
    /// Its signature of the block's [`CommitMessage`].
    #[serde(with = "signature_json")]
    pub signature: Signature,
}

/// Signatures of one block in one view, by strictly increasing place of the signer.
///
/// A certificate names its signers: it stays with validators and prover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CertificateJson", into = "CertificateJson")]
pub struct CommitCertificate {
    block: Digest,
    view: View,
    votes: Vec<CommitVote>,
}

/// Why a certificate is none, or not one for this block, chain and set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// One signer twice in a row.
    #[error("validator {0} signed twice")]
    Duplicate(u16),
    /// A signer below the one before it.
    #[error("signers are in increasing order, but {second} follows {first}")]
    WrongOrder {
        /// The signer before.
        first: u16,
        /// The signer after.
        second: u16,
    },
    /// More votes than a set has validators.
    #[error("a certificate has at most 256 votes, this one has {0}")]
    TooMany(usize),
    /// A place that the set does not have.
    #[error("signer {index} is unknown: the set has {count} validators")]
    UnknownSigner {
        /// The place named by the certificate.
        index: u16,
        /// Members of the set.
        count: usize,
    },
    /// Not a quorum, whether the signatures hold or not.
    #[error("not a quorum: the signers hold {signed} of {total}, {rule} is needed")]
    NotEnoughPower {
        /// Power of the named signers.
        signed: u64,
        /// Power of the set.
        total: u64,
        /// The rule.
        rule: QuorumRule,
    },
    /// Signatures that do not hold, every one of them named.
    #[error("bad signature of {}", BadList(.0))]
    BadSignatures(Vec<BadVote>),
    /// The certificate is for another block than the header beside it.
    #[error("the certificate is for block {certificate}, the header's digest is {header}")]
    WrongBlock {
        /// The block that the certificate names.
        certificate: Digest,
        /// The header's digest.
        header: Digest,
    },
    /// The header is another chain's.
    #[error("the header is of chain {found}, {expected} was expected")]
    WrongChain {
        /// The caller's chain.
        expected: ChainId,
        /// The header's chain.
        found: ChainId,
    },
    /// The header names another set as its signers.
    #[error("the header is signed by set {header}, the set at hand is {set}")]
    WrongSet {
        /// The header's `validators`.
        header: SetCommitment,
        /// Commitment of the set at hand.
        set: SetCommitment,
    },
}

/// A signer whose signature does not hold, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadVote {
    /// Its place in the set.
    pub signer: u16,
    /// What the signature predicate says.
    pub error: crate::signature::SignatureError,
}

struct BadList<'a>(&'a [BadVote]);

impl core::fmt::Display for BadList<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (i, BadVote { signer, error }) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}validator {signer} ({error})")?;
        }
        Ok(())
    }
}

impl CommitCertificate {
    /// Orders nothing and drops nothing: the votes must come in increasing order of place.
    ///
    /// # Errors
    /// [`CertificateError::Duplicate`], [`CertificateError::WrongOrder`],
    /// [`CertificateError::TooMany`].
    pub fn new(
        block: Digest,
        view: View,
        votes: Vec<CommitVote>,
    ) -> Result<Self, CertificateError> {
        if votes.len() > VALIDATORS_MAX {
            return Err(CertificateError::TooMany(votes.len()));
        }
        for pair in votes.windows(2) {
            let (first, second) = (pair[0].index, pair[1].index);
            if first == second {
                return Err(CertificateError::Duplicate(first));
            }
            if first > second {
                return Err(CertificateError::WrongOrder { first, second });
            }
        }
        Ok(Self { block, view, votes })
    }

    /// Digest of the header that was signed.
    pub fn block(&self) -> Digest {
        self.block
    }

    /// The view in which it was committed.
    pub fn view(&self) -> View {
        self.view
    }

    /// The votes, by increasing place.
    pub fn votes(&self) -> &[CommitVote] {
        &self.votes
    }

    /// The 47 bytes that every signer signed.
    pub fn message(&self) -> CommitMessage {
        CommitMessage::new(&self.block, self.view)
    }

    /// Whether members of `set` that hold `rule` signed this block in this view. Answers their
    /// power.
    ///
    /// Says nothing of chain or header: see [`SignedHeader::verify`].
    ///
    /// # Errors
    /// [`CertificateError`]: an unknown signer, no quorum, or every bad signature by name.
    pub fn verify(&self, set: &ValidatorSet, rule: QuorumRule) -> Result<Power, CertificateError> {
        let signed = self.named_power(set)?;
        if !rule.holds(signed, set.total()) {
            return Err(CertificateError::NotEnoughPower {
                signed: signed.get(),
                total: set.total().get(),
                rule,
            });
        }
        self.verify_signatures(set)?;
        Ok(signed)
    }

    /// Sum of the power of the named signers, signatures unchecked.
    fn named_power(&self, set: &ValidatorSet) -> Result<Power, CertificateError> {
        // Places increase, so nobody is counted twice and the sum is at most the total.
        self.votes.iter().try_fold(Power::ZERO, |sum, vote| {
            let validator = set.get(vote.index).ok_or(CertificateError::UnknownSigner {
                index: vote.index,
                count: set.count(),
            })?;
            Ok(sum
                .checked_add(validator.power)
                .expect("a part of a total below 2^60"))
        })
    }

    fn verify_signatures(&self, set: &ValidatorSet) -> Result<(), CertificateError> {
        let message = self.message();
        let items: Vec<_> = self
            .votes
            .iter()
            .map(|vote| {
                let validator = set.get(vote.index).expect("named_power found every signer");
                (
                    &validator.key,
                    message.as_bytes().as_slice(),
                    &vote.signature,
                )
            })
            .collect();
        let name = |BadSignature { index, error }: BadSignature| BadVote {
            signer: self.votes[index].index,
            error,
        };
        match verify_batch(&items) {
            // No signers hold no power, and no rule accepts none: see `verify`.
            Ok(()) | Err(BatchError::Empty) => Ok(()),
            Err(BatchError::Bad(bad)) => Err(CertificateError::BadSignatures(
                bad.into_iter().map(name).collect(),
            )),
        }
    }
}

/// A header and the certificate that makes it final.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHeader {
    /// The block.
    pub header: Header,
    /// Its certificate.
    pub certificate: CommitCertificate,
}

impl SignedHeader {
    /// Whether this very header of `chain` is final: signed by a quorum of the set that it names.
    /// Answers the signed power.
    ///
    /// # Errors
    /// [`CertificateError`]; wrong chain, wrong set and wrong block are told apart, in this order,
    /// before any signature is looked at.
    pub fn verify(
        &self,
        chain: &ChainId,
        set: &ValidatorSet,
        rule: QuorumRule,
    ) -> Result<Power, CertificateError> {
        if self.header.chain_id != *chain {
            return Err(CertificateError::WrongChain {
                expected: chain.clone(),
                found: self.header.chain_id.clone(),
            });
        }
        if self.header.validators != set.commitment() {
            return Err(CertificateError::WrongSet {
                header: self.header.validators,
                set: set.commitment(),
            });
        }
        let digest = self.header.digest();
        if self.certificate.block != digest {
            return Err(CertificateError::WrongBlock {
                certificate: self.certificate.block,
                header: digest,
            });
        }
        self.certificate.verify(set, rule)
    }
}

impl Canonical for CommitVote {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(self.signature.as_bytes());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let index = input.u16("signer")?;
        Ok(Self {
            index,
            signature: Signature::from_bytes(input.array("signature")?),
        })
    }
}

impl Canonical for CommitCertificate {
    fn write(&self, out: &mut Vec<u8>) {
        self.block.write(out);
        self.view.write(out);
        write_list(out, &self.votes);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let block = input.array("block").map(Digest::from_bytes)?;
        let view = View::read(input)?;
        let votes = input.list("votes", VALIDATORS_MAX, CommitVote::read)?;
        Self::new(block, view, votes).map_err(|e| DecodeError::rule("votes", e))
    }
}

impl FileType for CommitCertificate {
    const KIND: Kind = Kind::Certificate;
    const MAX_BYTES: usize = 42 + VALIDATORS_MAX * 66;
}

impl Canonical for SignedHeader {
    fn write(&self, out: &mut Vec<u8>) {
        self.header.write(out);
        self.certificate.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            header: Header::read(input)?,
            certificate: CommitCertificate::read(input)?,
        })
    }
}

impl FileType for SignedHeader {
    const KIND: Kind = Kind::SignedHeader;
    const MAX_BYTES: usize = Header::MAX_BYTES + CommitCertificate::MAX_BYTES;
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateJson {
    block: Digest,
    view: View,
    votes: Vec<CommitVote>,
}

impl TryFrom<CertificateJson> for CommitCertificate {
    type Error = CertificateError;
    fn try_from(json: CertificateJson) -> Result<Self, CertificateError> {
        Self::new(json.block, json.view, json.votes)
    }
}

impl From<CommitCertificate> for CertificateJson {
    fn from(certificate: CommitCertificate) -> Self {
        let CommitCertificate { block, view, votes } = certificate;
        Self { block, view, votes }
    }
}

mod signature_json {
    use super::{Signature, json};

    pub(super) fn serialize<S: serde::Serializer>(
        signature: &Signature,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        json::hex_bytes::serialize(signature.as_bytes(), serializer)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Signature, D::Error> {
        json::hex_bytes::deserialize(deserializer).map(Signature::from_bytes)
    }
}
