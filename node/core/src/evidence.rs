//! Proof that a validator is faulty: `docs/consensus.md#evidence`.

use quorate_verifier::certificate::CommitVote;
use quorate_verifier::encoding::{Canonical, DecodeError, Reader};
use quorate_verifier::header::Header;
use quorate_verifier::primitives::Digest;
use quorate_verifier::set::ValidatorSet;
use quorate_verifier::signature::{Signature, VoteKey};

use crate::ballot::{Ballot, Choice, Slot, Step, read_claim, write_claim};
use crate::block::FinalBlock;
use crate::scheme::Scheme;

/// Two signatures by one validator in one slot. It names a signer: for operators only.
#[derive(Clone, Debug, PartialEq, Eq)]
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
