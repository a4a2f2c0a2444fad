//! Paths of requests and outcomes, for whoever keeps the blocks.

use quorate_pbft::block::Block;
use quorate_pbft::request::Payload;
use quorate_verifier::header::Header;
use quorate_verifier::inclusion::{Inclusion, SettlementProof, SubmissionProof};
use quorate_verifier::merkle;
use quorate_verifier::primitives::Digest;

/// A request of a payload, with its path to the payload root; `None` past the last one.
pub fn request_inclusion(payload: &Payload, index: usize) -> Option<Inclusion> {
    let leaves: Vec<_> = (0..payload.requests.len())
        .filter_map(|i| payload.leaf(i))
        .map(|leaf| merkle::leaf_hash(&leaf))
        .collect();
    inclusion(&leaves, payload.leaf(index)?, index)
}

/// An outcome of a block, with its path to the outcomes root in the next header; `outcomes` are
/// those of the whole block, as [`Applied`](quorate_pbft::app::Applied) has them.
pub fn outcome_inclusion(outcomes: &[Vec<u8>], index: usize) -> Option<Inclusion> {
    let leaves: Vec<_> = outcomes
        .iter()
        .map(|leaf| merkle::leaf_hash(leaf))
        .collect();
    inclusion(&leaves, outcomes.get(index)?.clone(), index)
}

fn inclusion(leaves: &[Digest], leaf: Vec<u8>, index: usize) -> Option<Inclusion> {
    Some(Inclusion {
        leaf,
        index: index as u64,
        size: leaves.len() as u64,
        path: merkle::inclusion_path(leaves, index)?,
    })
}

/// Shows that a request was submitted.
pub fn submission_proof(block: &Block, index: usize) -> Option<SubmissionProof> {
    Some(SubmissionProof {
        header: block.header().clone(),
        request: request_inclusion(block.payload(), index)?,
    })
}

/// Shows what became of it; `next` is the header one height above the block.
pub fn settlement_proof(
    block: &Block,
    outcomes: &[Vec<u8>],
    next: &Header,
    index: usize,
) -> Option<SettlementProof> {
    Some(SettlementProof {
        header: block.header().clone(),
        request: request_inclusion(block.payload(), index)?,
        next: next.clone(),
        outcome: outcome_inclusion(outcomes, index)?,
    })
}
