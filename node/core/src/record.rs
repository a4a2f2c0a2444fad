//! What a replica must still know after a crash: `docs/consensus.md#slots`, `#restart`.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_verifier::certificate::CommitCertificate;
use quorate_verifier::encoding::{Canonical, DecodeError, Reader};
use quorate_verifier::primitives::Height;
use quorate_verifier::set::ValidatorSet;

use crate::ballot::{Ballot, Slot};
use crate::block::{Block, FinalBlock};
use crate::evidence::DoubleVote;
use crate::message::{Opening, Prepared};

/// One entry of the vote log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A block that this replica is about to vote for; others may ask for it.
    Block(Arc<Block>),
    /// A vote that is about to be signed, with what it relies on.
    Vote {
        /// The vote.
        ballot: Ballot,
        /// For a commit, the prepared certificate.
        prepared: Option<Arc<Prepared>>,
        /// For a pre-prepare above view 0, the quorum's claims.
        opening: Option<Arc<Opening>>,
    },
    /// A final block that the log does not have.
    Final(Arc<FinalBlock>),
    /// What makes a block of this height final that the log has.
    Certificate(Height, CommitCertificate),
    /// Proof of a double vote: to be kept when the votes of its height are forgotten.
    Evidence(Arc<DoubleVote>),
    /// An opened validator set: the chain cannot be followed past its first height without it.
    Set(Arc<ValidatorSet>),
}

impl Record {
    /// The height that the record speaks of; a set's is 0.
    pub fn height(&self) -> Height {
        match self {
            Self::Block(block) => block.height(),
            Self::Vote { ballot, .. } => ballot.slot.height,
            Self::Final(block) => block.block.height(),
            Self::Certificate(height, _) => *height,
            Self::Evidence(proof) => proof.slot.height,
            Self::Set(_) => Height::GENESIS,
        }
    }

    /// The slot of a vote.
    pub fn slot(&self) -> Option<Slot> {
        match self {
            Self::Vote { ballot, .. } => Some(ballot.slot),
            _ => None,
        }
    }
}

impl Canonical for Record {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Block(block) => {
                out.push(1);
                block.write(out);
            }
            Self::Vote {
                ballot,
                prepared,
                opening,
            } => {
                out.push(2);
                ballot.write(out);
                out.push(u8::from(prepared.is_some()));
                if let Some(prepared) = prepared {
                    prepared.write(out);
                }
                out.push(u8::from(opening.is_some()));
                if let Some(opening) = opening {
                    opening.write(out);
                }
            }
            Self::Final(block) => {
                out.push(3);
                block.write(out);
            }
            Self::Evidence(proof) => {
                out.push(4);
                proof.write(out);
            }
            Self::Set(set) => {
                out.push(5);
                set.write(out);
            }
            Self::Certificate(height, certificate) => {
                out.push(6);
                height.write(out);
                certificate.write(out);
            }
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match input.u8("record kind")? {
            1 => Self::Block(Block::read(input).map(Arc::new)?),
            2 => {
                let ballot = Ballot::read(input)?;
                let prepared = match input.flag("prepared")? {
                    true => Some(Prepared::read(input).map(Arc::new)?),
                    false => None,
                };
                let opening = match input.flag("opening")? {
                    true => Some(Opening::read(input).map(Arc::new)?),
                    false => None,
                };
                Self::Vote {
                    ballot,
                    prepared,
                    opening,
                }
            }
            3 => Self::Final(FinalBlock::read(input).map(Arc::new)?),
            4 => Self::Evidence(DoubleVote::read(input).map(Arc::new)?),
            5 => Self::Set(ValidatorSet::read(input).map(Arc::new)?),
            6 => Self::Certificate(Height::read(input)?, CommitCertificate::read(input)?),
            byte => {
                return Err(DecodeError::rule(
                    "record kind",
                    format!("1 to 6, not {byte}"),
                ));
            }
        })
    }
}

/// Final blocks of which a log has both the block and its certificate, by height: a replica may
/// have decided them and not stored them elsewhere yet (`docs/consensus.md#restart`).
pub fn finals(records: &[Record]) -> BTreeMap<Height, Arc<FinalBlock>> {
    let blocks = records.iter().filter_map(|record| match record {
        Record::Block(block) => Some((block.digest(), block)),
        _ => None,
    });
    let blocks: BTreeMap<_, _> = blocks.collect();
    let found = records.iter().filter_map(|record| match record {
        Record::Certificate(height, certificate) => {
            let block = (*blocks.get(&certificate.block())?).clone();
            let certificate = certificate.clone();
            Some((*height, Arc::new(FinalBlock { block, certificate })))
        }
        _ => None,
    });
    found.collect()
}
