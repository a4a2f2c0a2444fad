//! What a validator signs, and in which slot: `docs/consensus.md#signed-things`, `#slots`.

use quorate_verifier::encoding::{Canonical, DecodeError, Reader};
use quorate_verifier::message::{CommitMessage, Tag};
use quorate_verifier::primitives::{Digest, Height, View};

/// The steps of a view in the order in which a correct validator signs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Step {
    /// Asks for the view.
    ViewChange = 0,
    /// Proposes a block in it, as its primary.
    PrePrepare = 1,
    /// Accepts the block.
    Prepare = 2,
    /// Holds a quorum of prepares for it.
    Commit = 3,
}

/// A place for one signature of one validator; its slots only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The height in flight.
    pub height: Height,
    /// The view of that height.
    pub view: View,
    /// The step of that view.
    pub step: Step,
}

/// The highest prepared certificate that a view change claims to have: view and block.
pub type PreparedClaim = Option<(View, Digest)>;

/// What goes into a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Choice {
    /// A block, for every step but the view change.
    Block(Digest),
    /// What a view change claims.
    Claim(PreparedClaim),
}

/// A vote before it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// Where.
    pub slot: Slot,
    /// What.
    pub choice: Choice,
}

impl Ballot {
    /// A vote for a block.
    pub const fn block(step: Step, height: Height, view: View, block: Digest) -> Self {
        Self {
            slot: Slot { height, view, step },
            choice: Choice::Block(block),
        }
    }

    /// A view change.
    pub const fn claim(height: Height, view: View, claim: PreparedClaim) -> Self {
        let slot = Slot {
            height,
            view,
            step: Step::ViewChange,
        };
        Self {
            slot,
            choice: Choice::Claim(claim),
        }
    }

    /// The bytes that are signed on the chain whose genesis header has this digest.
    pub fn signed_bytes(&self, chain: &Digest) -> Vec<u8> {
        let Slot { height, view, step } = self.slot;
        let tag = match (step, self.choice) {
            (Step::Commit, Choice::Block(block)) => {
                return CommitMessage::new(&block, view).as_bytes().to_vec();
            }
            (Step::PrePrepare, _) if view == View::FIRST => Tag::PRE_PREPARE,
            (Step::PrePrepare, _) => Tag::NEW_VIEW,
            (Step::Prepare | Step::Commit, _) => Tag::PREPARE,
            (Step::ViewChange, _) => Tag::VIEW_CHANGE,
        };
        let mut bytes = Vec::with_capacity(15 + 32 + 16 + 41);
        bytes.extend_from_slice(tag.as_bytes());
        bytes.extend_from_slice(chain.as_bytes());
        height.write(&mut bytes);
        view.write(&mut bytes);
        match self.choice {
            Choice::Block(block) => block.write(&mut bytes),
            Choice::Claim(claim) => write_claim(&mut bytes, &claim),
        }
        bytes
    }
}

/// A status report of `docs/consensus.md#rejoin` before it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBody {
    /// Of the question.
    pub nonce: u64,
    /// Of the reporter's last final header.
    pub height: Height,
    /// Of the reporter's last final header.
    pub header: Digest,
}

impl ReportBody {
    /// The bytes that are signed.
    pub fn signed_bytes(&self, chain: &Digest) -> Vec<u8> {
        let mut bytes = Tag::CHECKPOINT.message(chain.as_bytes());
        bytes.extend_from_slice(&self.nonce.to_le_bytes());
        self.height.write(&mut bytes);
        self.header.write(&mut bytes);
        bytes
    }
}

/// Anything that the shell is asked to sign with the validator's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsigned {
    /// A vote, once its record is durable.
    Ballot(Ballot),
    /// A status report.
    Report(ReportBody),
}

impl Unsigned {
    /// The bytes that are signed.
    pub fn signed_bytes(&self, chain: &Digest) -> Vec<u8> {
        match self {
            Self::Ballot(ballot) => ballot.signed_bytes(chain),
            Self::Report(report) => report.signed_bytes(chain),
        }
    }
}

pub(crate) fn write_claim(out: &mut Vec<u8>, claim: &PreparedClaim) {
    out.push(u8::from(claim.is_some()));
    if let Some((view, block)) = claim {
        view.write(out);
        block.write(out);
    }
}

pub(crate) fn read_claim(input: &mut Reader<'_>) -> Result<PreparedClaim, DecodeError> {
    if !input.flag("claim")? {
        return Ok(None);
    }
    Ok(Some((View::read(input)?, Digest::read(input)?)))
}

impl Canonical for Slot {
    fn write(&self, out: &mut Vec<u8>) {
        self.height.write(out);
        self.view.write(out);
        out.push(self.step as u8);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (height, view) = (Height::read(input)?, View::read(input)?);
        let step = match input.u8("step")? {
            0 => Step::ViewChange,
            1 => Step::PrePrepare,
            2 => Step::Prepare,
            3 => Step::Commit,
            byte => return Err(DecodeError::rule("step", format!("0 to 3, not {byte}"))),
        };
        Ok(Self { height, view, step })
    }
}

impl Canonical for Ballot {
    fn write(&self, out: &mut Vec<u8>) {
        self.slot.write(out);
        match &self.choice {
            Choice::Block(block) => block.write(out),
            Choice::Claim(claim) => write_claim(out, claim),
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let slot = Slot::read(input)?;
        let choice = match slot.step {
            Step::ViewChange => Choice::Claim(read_claim(input)?),
            _ => Choice::Block(Digest::read(input)?),
        };
        Ok(Self { slot, choice })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every signed thing with the same numbers in it.
    fn all(chain: &Digest, view: View) -> Vec<Vec<u8>> {
        let (height, block) = (Height::new(7), Digest::from_bytes([9; 32]));
        let steps = [Step::PrePrepare, Step::Prepare, Step::Commit];
        let mut bytes: Vec<_> = steps
            .iter()
            .map(|s| Ballot::block(*s, height, view, block).signed_bytes(chain))
            .collect();
        for claim in [None, Some((View::FIRST, block))] {
            bytes.push(Ballot::claim(height, view, claim).signed_bytes(chain));
        }
        bytes.push(
            ReportBody {
                nonce: 7,
                height,
                header: block,
            }
            .signed_bytes(chain),
        );
        bytes
    }

    #[test]
    fn no_two_signed_things_share_bytes() {
        let chains = [Digest::from_bytes([1; 32]), Digest::from_bytes([2; 32])];
        let mut seen = std::collections::BTreeSet::new();
        for chain in &chains {
            for view in [0, 1] {
                for bytes in all(chain, View::new(view)) {
                    // A commit and a report name the chain or the view elsewhere: see the page.
                    let commit = bytes.starts_with(b"quorate-commit1");
                    let report = bytes.starts_with(b"quorate-chkpnt1");
                    let fresh = seen.insert(bytes);
                    assert!(fresh || commit && chain == &chains[1] || report && view == 1);
                }
            }
        }
    }

    #[test]
    fn a_commit_is_the_47_bytes_of_the_claim() {
        let block = Digest::from_bytes([9; 32]);
        let ballot = Ballot::block(Step::Commit, Height::new(7), View::new(3), block);
        let bytes = ballot.signed_bytes(&Digest::ZERO);
        assert_eq!(bytes, CommitMessage::new(&block, View::new(3)).as_bytes());
    }

    #[test]
    fn slots_grow_as_a_view_is_lived() {
        let slot = |view, step| Slot {
            height: Height::new(1),
            view: View::new(view),
            step,
        };
        let lived = [
            slot(0, Step::PrePrepare),
            slot(0, Step::Prepare),
            slot(0, Step::Commit),
            slot(1, Step::ViewChange),
            slot(1, Step::PrePrepare),
            slot(1, Step::Prepare),
        ];
        assert!(lived.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
