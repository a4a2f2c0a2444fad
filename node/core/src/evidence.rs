//! Proof that a validator is faulty: `docs/consensus.md#evidence`.

use quorate_verifier::certificate::CommitVote;
use quorate_verifier::encoding::{Canonical, DecodeError, Kind, Reader};
use quorate_verifier::file::FileType;
use quorate_verifier::header::Header;
use quorate_verifier::json;
use quorate_verifier::primitives::{Digest, Height, View};
use quorate_verifier::set::ValidatorSet;
use quorate_verifier::signature::{Signature, VoteKey};
use serde::{Deserialize, Serialize};

use crate::ballot::{Ballot, Choice, Slot, Step, read_claim, write_claim};
use crate::block::FinalBlock;
use crate::scheme::Scheme;

/// Two signatures by one validator in one slot. It names a signer: for operators only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "DoubleVoteJson", into = "DoubleVoteJson")]
pub struct DoubleVote {
    /// Whose key.
    pub key: VoteKey,
    /// Where it signed twice.
    pub slot: Slot,
    /// What it signed.
    pub first: (Choice, Signature),
    /// What it signed besides.
    pub second: (Choice, Signature),
    /// For commits, which name their height through it only: the header of each.
    pub headers: Option<Box<(Header, Header)>>,
}

/// Why two signatures prove nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The same choice twice, which is allowed.
    #[error("both signatures are for the same choice")]
    SameChoice,
    /// A commit without the headers that show its height.
    #[error("commits prove a double vote only with both headers")]
    NoHeaders,
    /// Headers of other blocks, chains or heights than the votes.
    #[error("the headers are not those of two blocks at the slot's height")]
    Headers,
    /// A signature does not hold.
    #[error("a signature does not hold")]
    Signature,
}

/// The validators of `set` that committed to both of two final blocks of one height, with proof.
/// If the blocks were committed in different views, nobody has signed twice in one slot, and the
/// answer is empty: the two certificates themselves show that a third is faulty.
pub fn culprits(set: &ValidatorSet, first: &FinalBlock, second: &FinalBlock) -> Vec<DoubleVote> {
    let (one, other) = (&first.certificate, &second.certificate);
    if one.view() != other.view() || first.block.height() != second.block.height() {
        return Vec::new();
    }
    let slot = Slot {
        height: first.block.height(),
        view: one.view(),
        step: Step::Commit,
    };
    let headers = (first.block.header().clone(), second.block.header().clone());
    let both = |vote: &CommitVote| {
        let again = other.votes().iter().find(|v| v.index == vote.index)?;
        Some(DoubleVote {
            key: set.get(vote.index)?.key.clone(),
            slot,
            first: (Choice::Block(one.block()), vote.signature),
            second: (Choice::Block(other.block()), again.signature),
            headers: Some(Box::new(headers.clone())),
        })
    };
    one.votes().iter().filter_map(both).collect()
}

impl DoubleVote {
    /// Whether the key's owner is faulty beyond doubt, on the chain with this genesis digest.
    ///
    /// # Errors
    /// [`EvidenceError`] when it may be honest.
    pub fn check<S: Scheme>(&self, scheme: &S, chain: &Digest) -> Result<(), EvidenceError> {
        if self.first.0 == self.second.0 {
            return Err(EvidenceError::SameChoice);
        }
        if self.slot.step == Step::Commit {
            let (a, b) = &**self.headers.as_ref().ok_or(EvidenceError::NoHeaders)?;
            let fits = |header: &Header, choice| {
                header.height == self.slot.height && choice == Choice::Block(header.digest())
            };
            let fit = fits(a, self.first.0) && fits(b, self.second.0) && a.chain_id == b.chain_id;
            if !fit {
                return Err(EvidenceError::Headers);
            }
        }
        let holds = |(choice, signature): &(Choice, Signature)| {
            let ballot = Ballot {
                slot: self.slot,
                choice: *choice,
            };
            scheme.verify(&self.key, &ballot.signed_bytes(chain), signature)
        };
        if holds(&self.first) && holds(&self.second) {
            Ok(())
        } else {
            Err(EvidenceError::Signature)
        }
    }
}

impl Canonical for DoubleVote {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.key.as_bytes());
        self.slot.write(out);
        for (choice, signature) in [&self.first, &self.second] {
            match choice {
                Choice::Block(block) => block.write(out),
                Choice::Claim(claim) => write_claim(out, claim),
            }
            out.extend_from_slice(signature.as_bytes());
        }
        out.push(u8::from(self.headers.is_some()));
        if let Some(headers) = &self.headers {
            headers.0.write(out);
            headers.1.write(out);
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let key =
            VoteKey::from_bytes(&input.array("key")?).map_err(|e| DecodeError::rule("key", e))?;
        let slot = Slot::read(input)?;
        let mut side = || {
            let choice = match slot.step {
                Step::ViewChange => Choice::Claim(read_claim(input)?),
                _ => Choice::Block(Digest::read(input)?),
            };
            Ok((choice, input.array("signature").map(Signature::from_bytes)?))
        };
        let (first, second) = (side()?, side()?);
        let headers = if input.flag("headers")? {
            Some(Box::new((Header::read(input)?, Header::read(input)?)))
        } else {
            None
        };
        Ok(Self {
            key,
            slot,
            first,
            second,
            headers,
        })
    }
}

impl FileType for DoubleVote {
    const KIND: Kind = Kind::DoubleVote;
    // Key, slot, two sides with a claim each, two headers.
    const MAX_BYTES: usize = 32 + 17 + 2 * (1 + 8 + 32 + 64) + 1 + 2 * Header::MAX_BYTES;
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DoubleVoteJson {
    #[serde(with = "json::hex_bytes")]
    key: [u8; 32],
    height: Height,
    view: View,
    step: StepJson,
    first: SideJson,
    second: SideJson,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    headers: Option<Box<(Header, Header)>>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StepJson {
    ViewChange,
    PrePrepare,
    Prepare,
    Commit,
}

/// A block; or, in a view change, what was claimed to be prepared, if anything.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SideJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    block: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prepared: Option<PreparedJson>,
    #[serde(with = "json::hex_bytes")]
    signature: [u8; 64],
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PreparedJson {
    view: View,
    block: Digest,
}

impl From<DoubleVote> for DoubleVoteJson {
    fn from(vote: DoubleVote) -> Self {
        let Slot { height, view, step } = vote.slot;
        Self {
            key: *vote.key.as_bytes(),
            height,
            view,
            step: match step {
                Step::ViewChange => StepJson::ViewChange,
                Step::PrePrepare => StepJson::PrePrepare,
                Step::Prepare => StepJson::Prepare,
                Step::Commit => StepJson::Commit,
            },
            first: SideJson::from(vote.first),
            second: SideJson::from(vote.second),
            headers: vote.headers,
        }
    }
}

impl TryFrom<DoubleVoteJson> for DoubleVote {
    type Error = String;

    fn try_from(json: DoubleVoteJson) -> Result<Self, String> {
        let step = match json.step {
            StepJson::ViewChange => Step::ViewChange,
            StepJson::PrePrepare => Step::PrePrepare,
            StepJson::Prepare => Step::Prepare,
            StepJson::Commit => Step::Commit,
        };
        let (height, view) = (json.height, json.view);
        Ok(Self {
            key: VoteKey::from_bytes(&json.key).map_err(|e| e.to_string())?,
            slot: Slot { height, view, step },
            first: json.first.of(step)?,
            second: json.second.of(step)?,
            headers: json.headers,
        })
    }
}

impl From<(Choice, Signature)> for SideJson {
    fn from((choice, signature): (Choice, Signature)) -> Self {
        let (block, prepared) = match choice {
            Choice::Block(block) => (Some(block), None),
            Choice::Claim(claim) => (
                None,
                claim.map(|(view, block)| PreparedJson { view, block }),
            ),
        };
        Self {
            block,
            prepared,
            signature: *signature.as_bytes(),
        }
    }
}

impl SideJson {
    fn of(self, step: Step) -> Result<(Choice, Signature), String> {
        let choice = match (step, self.block, self.prepared) {
            (Step::ViewChange, None, claim) => Choice::Claim(claim.map(|c| (c.view, c.block))),
            (Step::ViewChange, Some(_), _) => {
                return Err("a view change names no block of its own".into());
            }
            (_, Some(block), None) => Choice::Block(block),
            _ => return Err("a vote names a block and claims nothing".into()),
        };
        Ok((choice, Signature::from_bytes(self.signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheme::Ed25519;
    use crate::sim::keys::{Crypto, KeyId, public};

    fn double(step: Step) -> DoubleVote {
        let chain = Digest::from_bytes([3; 32]);
        let slot = Slot {
            height: Height::new(1 << 40),
            view: View::new(2),
            step,
        };
        let block = |byte| Choice::Block(Digest::from_bytes([byte; 32]));
        let choices = match step {
            Step::ViewChange => [
                Choice::Claim(None),
                Choice::Claim(Some((View::FIRST, Digest::from_bytes([9; 32])))),
            ],
            _ => [block(1), block(2)],
        };
        let [first, second] = choices.map(|choice| {
            let bytes = Ballot { slot, choice }.signed_bytes(&chain);
            (choice, Ed25519.sign(KeyId(1), &bytes))
        });
        DoubleVote {
            key: public(KeyId(1)).clone(),
            slot,
            first,
            second,
            headers: None,
        }
    }

    #[test]
    fn both_forms_of_the_file_hold_the_same() {
        for step in [Step::ViewChange, Step::PrePrepare, Step::Prepare] {
            let vote = double(step);
            assert_eq!(DoubleVote::from_file(&vote.to_file()).as_ref(), Ok(&vote));
            let json = vote.to_json();
            assert_eq!(DoubleVote::from_file(json.as_bytes()).as_ref(), Ok(&vote));
            assert_eq!(vote.check(&Ed25519, &Digest::from_bytes([3; 32])), Ok(()));
            let other = vote.check(&Ed25519, &Digest::ZERO);
            assert_eq!(other, Err(EvidenceError::Signature));
        }
    }

    #[test]
    fn json_of_another_shape_is_refused() {
        let json = double(Step::Prepare).to_json();
        let wrong = json.replace("\"prepare\"", "\"view-change\"");
        assert!(DoubleVote::from_file(wrong.as_bytes()).is_err());
        let wrong = double(Step::ViewChange).to_json();
        let wrong = wrong.replace("\"view-change\"", "\"prepare\"");
        assert!(DoubleVote::from_file(wrong.as_bytes()).is_err());
    }
}
