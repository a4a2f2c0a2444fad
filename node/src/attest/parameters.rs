//! Which key proves a height: what the chain's parameters say, as a light client sees it.
//!
//! A header's own parameters say which keys are accepted from it on. So the first header that names
//! others is proved itself, under a key that was accepted before it: no client gets to the new keys
//! otherwise. The service knows opened parameters from the block that changes them, where it keeps
//! requests, or from its configuration; those of the anchor are the anchor's keys.

use quorate_pbft::request::Payload;
use quorate_verifier::encoding::Canonical;
use quorate_verifier::genesis::{AcceptedKey, Parameters};
use quorate_verifier::header::Header;
use quorate_verifier::primitives::{Digest, Height};
use quorate_verifier::set::ValidatorSet;

use super::service::Service;
use super::store::{Class, StoreError};
use crate::app::{Body, Operation};

impl Service {
    /// Finds the opening of parameters that are new with this header: the block below changed them.
    pub(super) fn learn_parameters(
        &self,
        header: &Header,
        below: &Header,
    ) -> Result<(), StoreError> {
        if header.parameters == below.parameters {
            return Ok(());
        }
        if self.store().parameters(&header.parameters)?.is_some() {
            return Ok(());
        }
        let contents = self.store().contents(below.height)?;
        let found = contents.and_then(|contents| opening(&contents.payload, &header.parameters));
        match found {
            Some(parameters) => self.store().keep_parameters(&parameters),
            None => {
                tracing::warn!(
                    height = header.height.get(),
                    parameters = %header.parameters,
                    "the chain's parameters changed, and nobody opened them: light clients stop \
                     here until the configuration names the file"
                );
                Ok(())
            }
        }
    }

    /// The keys that a client accepts for proofs of headers that follow one with these parameters;
    /// `None` when they were not opened.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn accepted_keys(
        &self,
        parameters: &Digest,
    ) -> Result<Option<Vec<AcceptedKey>>, StoreError> {
        if let Some(opened) = self.store().parameters(parameters)? {
            return Ok(Some(opened.keys));
        }
        let anchor = &self.policy().anchor;
        Ok((anchor.header.parameters == *parameters).then(|| anchor.keys.clone()))
    }

    /// How a header is to be proved: under which key, and whether itself or by a later one's proof.
    pub(super) fn job_for(
        &self,
        header: &Header,
        below: &Header,
        set: &ValidatorSet,
    ) -> Result<Option<(Digest, Class)>, StoreError> {
        let accepted = self.accepted_keys(&below.parameters)?;
        let is_accepted = |key: &Digest| match &accepted {
            Some(keys) => keys.iter().any(|one| one.digest == *key),
            None => true, // the policy's word is all that there is
        };
        let mut keys = self.policy().keys.iter().filter(|key| {
            let at_hand = self.ring().get(&key.digest).is_some();
            key.slots == set.size() && at_hand && is_accepted(&key.digest)
        });
        let changes =
            header.next_validators != header.validators || header.parameters != below.parameters;
        let class = if changes { Class::Request } else { Class::Head };
        Ok(keys.next().map(|key| (key.digest, class)))
    }

    /// The opening of the parameters that a header names, for a client that trusts another.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn opened_for(
        &self,
        header: &Header,
        trusted: &Header,
    ) -> Result<Option<Parameters>, StoreError> {
        if header.parameters == trusted.parameters {
            return Ok(None);
        }
        self.store().parameters(&header.parameters)
    }

    /// The header at a height, the anchor's among them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn trusted_header(&self, height: Height) -> Result<Option<Header>, StoreError> {
        let anchor = &self.policy().anchor.header;
        if height == anchor.height {
            return Ok(Some(anchor.clone()));
        }
        self.store().header(height)
    }
}

/// The parameters of this digest, where a request carries them.
fn opening(payload: &Payload, wanted: &Digest) -> Option<Parameters> {
    payload.requests.iter().find_map(|request| {
        match Body::from_bytes(&request.body).ok()?.operation {
            Operation::Change {
                parameters: Some(found),
                ..
            } if found.digest() == *wanted => Some(found),
            _ => None,
        }
    })
}
