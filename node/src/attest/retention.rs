//! What is deleted, when the configuration says so, and only then.
//!
//! Certificates name signers, requests name clients. Both can go once they are old and a proof
//! covers their block: headers, attestations and logs stay, so that every answer to the public is
//! what it was. A certificate is kept for the trusting period at least, for until then it may be
//! needed to convict whoever signed two blocks.

use quorate_verifier::primitives::Height;
use serde_json::json;

use super::log::LogStoreError;
use super::service::Service;
use super::store::StoreError;

/// How long things are kept, in milliseconds after their block's time; for ever without a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Certificates, and the sets that signed nothing newer.
    pub certificates_ms: Option<u64>,
    /// Requests and outcomes.
    pub contents_ms: Option<u64>,
}

/// What was deleted: heights below these, where there was anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// Certificates below this height are gone.
    pub certificates: Height,
    /// Requests and outcomes below this height are gone.
    pub contents: Height,
}

/// Why nothing was deleted.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The access log, which has the entry first.
    #[error(transparent)]
    Log(#[from] LogStoreError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Service {
    /// Deletes what the policy says, as of `now` (milliseconds since 1970). The deletion is an entry
    /// of the access log before it is carried out, and what was interrupted is finished first. `None`
    /// when nothing is due.
    ///
    /// # Errors
    /// [`RetentionError`].
    pub fn retain(&self, now: u64) -> Result<Option<Forgotten>, RetentionError> {
        let store = self.store();
        store.finish_forgetting()?;
        let (first_certified, first_contents) = (store.first_certified()?, store.first_contents()?);
        let Retention {
            certificates_ms,
            contents_ms,
        } = self.retention();
        let certificates = self.due(first_certified, certificates_ms, now)?;
        let contents = self.due(first_contents, contents_ms, now)?;
        if certificates.is_none() && contents.is_none() {
            return Ok(None);
        }
        let range = |first: Option<Height>, below: Option<Height>| {
            let (first, below) = (first?, below?);
            Some(json!({
                "from": first.get().to_string(),
                "to": below.get().saturating_sub(1).to_string(),
            }))
        };
        let more = json!({
            "certificates": range(first_certified, certificates),
            "contents": range(first_contents, contents),
        });
        self.record_act("delete", more)?;
        let none = Height::new(0);
        let gone = Forgotten {
            certificates: certificates.unwrap_or(none),
            contents: contents.unwrap_or(none),
        };
        store.forget(gone.certificates, gone.contents)?;
        Ok(Some(gone))
    }

    /// The first height that is to stay, if any below it is kept and old enough.
    fn due(
        &self,
        first: Option<Height>,
        keep_ms: Option<u64>,
        now: u64,
    ) -> Result<Option<Height>, StoreError> {
        let (Some(first), Some(keep), Some(covered)) = (first, keep_ms, self.covered()) else {
            return Ok(None);
        };
        let mut next = first;
        // The last covered block stays: the next one follows it.
        while next < covered {
            let header = self.store().header(next)?;
            let old = header.is_some_and(|header| header.time.get().saturating_add(keep) < now);
            match next.next().filter(|_| old) {
                Some(above) => next = above,
                None => break,
            }
        }
        Ok((next > first).then_some(next))
    }
}
