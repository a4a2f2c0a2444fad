//! The finality log of a chain: its name, its key, its entries.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{NoteAlgorithm, NoteKey};
use crate::encoding::{Canonical, DecodeError, Reader};
use crate::header::Header;
use crate::primitives::{ChainId, Digest, Height};
use crate::rule::QuorumRule;
use crate::set::SetCommitment;
use crate::trust::LogKey;

/// The name of a chain's public log of final heights.
pub fn finality_origin(chain: &ChainId) -> String {
    format!("{chain}/finality")
}

/// The key of a chain's finality log, from what a policy holds.
pub fn finality_log(chain: &ChainId, key: LogKey) -> NoteKey {
    NoteKey {
        name: finality_origin(chain),
        algorithm: NoteAlgorithm::Log,
        key,
    }
}

/// An entry of the finality log: that this header was final by this rule. Holds no proof, since
/// proofs of one statement differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FinalityEntry {
    /// The chain.
    pub chain_id: ChainId,
    /// The height: the entry's index is this less the height of the log's first entry.
    pub height: Height,
    /// Digest of the header.
    pub header: Digest,
    /// The set that signs it.
    pub validators: SetCommitment,
    /// The rule that was shown, of this height or of a later one that it is an ancestor of.
    pub rule: QuorumRule,
}

impl FinalityEntry {
    /// For a header that was shown final by `rule`.
    pub fn of(header: &Header, rule: QuorumRule) -> Self {
        Self {
            chain_id: header.chain_id.clone(),
            height: header.height,
            header: header.digest(),
            validators: header.validators,
            rule,
        }
    }
}

impl Canonical for FinalityEntry {
    fn write(&self, out: &mut Vec<u8>) {
        self.chain_id.write(out);
        self.height.write(out);
        self.header.write(out);
        self.validators.write(out);
        self.rule.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            chain_id: ChainId::read(input)?,
            height: Height::read(input)?,
            header: input.array("header").map(Digest::from_bytes)?,
            validators: SetCommitment::read(input)?,
            rule: QuorumRule::read(input)?,
        })
    }
}
