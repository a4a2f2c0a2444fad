//! What became of one request: in which block it stands, and what its execution gave.

use quorate_pbft::request::Payload;
use quorate_verifier::header::Header;
use quorate_verifier::inclusion::{InclusionError, SettlementProof};
use quorate_verifier::primitives::Height;

use super::service::{Finality, Service};
use super::store::StoreError;
use crate::app::{outcome_inclusion, request_inclusion};

/// A request with its outcome, both shown by their paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The two paths, checked up to the second header.
    pub proof: SettlementProof,
    /// Whether that header, which names the outcome, is final.
    pub finality: Finality,
}

/// Why a settlement is not shown.
#[derive(Debug, thiserror::Error)]
pub enum SettlementError {
    /// Requests are not kept here, or were not when this block came.
    #[error("the requests of height {0} are not kept here")]
    NotKept(u64),
    /// The block has fewer requests.
    #[error("height {height} has {count} requests, counted from 0")]
    NoRequest {
        /// The block.
        height: u64,
        /// Its requests.
        count: usize,
    },
    /// The header that names the outcomes has not come.
    #[error("the outcomes of height {0} are named by the next block, which is still to come")]
    NotYet(u64),
    /// What the node said of a block's outcomes is not what the next header names.
    #[error("the outcomes that are kept of height {0} are not those that the chain names: {1}")]
    Contradicted(u64, InclusionError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Service {
    /// Shows what became of the request at a place of a block, counted from 0. Names its client and
    /// what was asked.
    ///
    /// # Errors
    /// [`SettlementError`].
    pub fn settlement(&self, height: Height, place: u64) -> Result<Settlement, SettlementError> {
        let kept = self.store().contents(height)?;
        let (Some(contents), Some(header)) = (kept, self.store().header(height)?) else {
            return Err(SettlementError::NotKept(height.get()));
        };
        let paths = usize::try_from(place).ok().and_then(|place| {
            let request = request_inclusion(&contents.payload, place)?;
            Some((request, outcome_inclusion(&contents.outcomes, place)?))
        });
        let (request, outcome) = paths.ok_or_else(|| no_request(height, &contents.payload))?;
        let Some(next) = self.next_header(height)? else {
            return Err(SettlementError::NotYet(height.get()));
        };
        let trusted = next.digest();
        let finality = self.finality(next.height)?;
        let proof = SettlementProof {
            header,
            request,
            next,
            outcome,
        };
        // The node's word for the outcomes is held against the chain's before anybody sees it.
        proof
            .check(&trusted)
            .map_err(|error| SettlementError::Contradicted(height.get(), error))?;
        Ok(Settlement { proof, finality })
    }

    fn next_header(&self, height: Height) -> Result<Option<Header>, StoreError> {
        match height.next() {
            Some(next) => self.store().header(next),
            None => Ok(None),
        }
    }
}

fn no_request(height: Height, payload: &Payload) -> SettlementError {
    SettlementError::NoRequest {
        height: height.get(),
        count: payload.requests.len(),
    }
}
