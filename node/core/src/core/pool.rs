//! Requests that wait for a block: `docs/consensus.md#request`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_verifier::genesis::Limits;
use quorate_verifier::primitives::Height;

use crate::app::App;
use crate::limits::{POOL_BYTES, POOL_REQUESTS, REQUESTS_PER_CLIENT};
use crate::request::{ClientKey, Request};
use crate::schedule;
use crate::time::Tick;

/// Checked requests by client and sequence, bounded in all and per client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    waiting: BTreeMap<ClientKey, BTreeMap<u64, Arc<Request>>>,
    /// Those that came from local clients, to be passed on again.
    local: BTreeSet<(ClientKey, u64)>,
    bytes: usize,
    count: usize,
    /// When the pool last stopped being empty.
    since: Tick,
}

/// Why a request is not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The application has no such client.
    #[error("the client is unknown")]
    UnknownClient,
    /// Executed before.
    #[error("sequence {found} was executed before: the client's next is {next}")]
    Executed {
        /// The request's sequence.
        found: u64,
        /// The client's next.
        next: u64,
    },
    /// Too far above the client's next.
    #[error("sequence {found} is too far above the client's next, {next}")]
    TooFarAhead {
        /// The request's sequence.
        found: u64,
        /// The client's next.
        next: u64,
    },
    /// Another request with this sequence waits already.
    #[error("another request of this client has sequence {0}")]
    SequenceTaken(u64),
    /// Larger than the chain's parameters allow.
    #[error("a request has at most {limit} bytes, this one has {found}")]
    TooLarge {
        /// Its size.
        found: usize,
        /// The limit in force.
        limit: u32,
    },
    /// The pool holds what it may.
    #[error("too many requests wait")]
    Full,
    /// Not signed by the client.
    #[error("the request is not signed by its client")]
    Signature,
    /// The application refuses it.
    #[error("the application refuses it: {0}")]
    NotAdmitted(String),
}

/// What became of a request that passed every check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It waits now.
    New,
    /// It waited before.
    Known,
}

impl Pool {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn since(&self) -> Tick {
        self.since
    }

    /// Whether this very request was checked and waits.
    pub(crate) fn vouches(&self, request: &Request) -> bool {
        self.find(request).is_some_and(|kept| **kept == *request)
    }

    pub(crate) fn find(&self, request: &Request) -> Option<&Arc<Request>> {
        self.waiting.get(&request.client)?.get(&request.sequence)
    }

    /// Everything that can be checked without a signature; the last executed sequence is `last`.
    pub(crate) fn room(
        &self,
        request: &Request,
        last: u64,
        limits: &Limits,
        bounded: bool,
    ) -> Result<Kept, PoolError> {
        let (found, next) = (request.sequence, last.saturating_add(1));
        if found < next {
            return Err(PoolError::Executed { found, next });
        }
        if found - next >= REQUESTS_PER_CLIENT && bounded {
            return Err(PoolError::TooFarAhead { found, next });
        }
        let size = request.size();
        if u32::try_from(size).map_or(true, |size| size > limits.request_bytes) {
            return Err(PoolError::TooLarge {
                found: size,
                limit: limits.request_bytes,
            });
        }
        match self.find(request) {
            Some(kept) if **kept == *request => return Ok(Kept::Known),
            Some(_) => return Err(PoolError::SequenceTaken(found)),
            None => {}
        }
        if (self.count >= POOL_REQUESTS || self.bytes + size > POOL_BYTES) && bounded {
            return Err(PoolError::Full);
        }
        Ok(Kept::New)
    }

    /// Keeps a checked request.
    pub(crate) fn keep(&mut self, request: Arc<Request>, local: bool, now: Tick) {
        if self.is_empty() {
            self.since = now;
        }
        if local {
            self.local.insert((request.client, request.sequence));
        }
        self.bytes += request.size();
        self.count += 1;
        self.waiting
            .entry(request.client)
            .or_default()
            .insert(request.sequence, request);
    }

    /// Drops what was executed or can no longer be.
    pub(crate) fn prune<A: App>(&mut self, app: &A, clients: impl Iterator<Item = ClientKey>) {
        let clients: BTreeSet<_> = clients.collect();
        for key in clients {
            let Some(requests) = self.waiting.get_mut(&key) else {
                continue;
            };
            let next = app
                .client(&key)
                .map_or(u64::MAX, |c| c.sequence.saturating_add(1));
            let kept = requests.split_off(&next);
            for request in std::mem::replace(requests, kept).into_values() {
                self.bytes -= request.size();
                self.count -= 1;
                self.local.remove(&(key, request.sequence));
            }
            if requests.is_empty() {
                self.waiting.remove(&key);
            }
        }
    }

    /// The same for every client, when the state has jumped.
    pub(crate) fn prune_all<A: App>(&mut self, app: &A) {
        let clients: Vec<_> = self.waiting.keys().copied().collect();
        self.prune(app, clients.into_iter());
    }

    /// The next batch: one request of each client in turn, each client's in order without a gap,
    /// starting at a key that moves with the height, so that nobody is always last.
    pub(crate) fn batch<A: App>(
        &self,
        app: &A,
        height: Height,
        limits: &Limits,
    ) -> Vec<Arc<Request>> {
        let mut start = ClientKey([0; 32]);
        start.0[..8].copy_from_slice(&schedule::point(height.get()).to_be_bytes());
        let mut queues: Vec<_> = self
            .waiting
            .range(start..)
            .chain(self.waiting.range(..start))
            .filter_map(|(key, requests)| {
                let next = app.client(key)?.sequence.saturating_add(1);
                Some((next, requests))
            })
            .collect();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let fits = |count: usize, bytes: usize| {
            let within = |n: usize, limit: u32| u32::try_from(n).is_ok_and(|n| n <= limit);
            within(count, limits.block_requests) && within(bytes, limits.block_bytes)
        };
        while !queues.is_empty() {
            let mut left = Vec::new();
            for (next, requests) in queues {
                let Some(request) = requests.get(&next) else {
                    continue;
                };
                if app.admit(request).is_err() {
                    continue; // and nothing of this client after it: its order is kept
                }
                if !fits(batch.len() + 1, bytes + request.size()) {
                    continue;
                }
                bytes += request.size();
                batch.push(request.clone());
                left.push((next.saturating_add(1), requests));
            }
            queues = left;
        }
        batch
    }

    /// Drops requests that the application would not admit any more; answers them.
    pub(crate) fn expel<A: App>(&mut self, app: &A) -> Vec<Arc<Request>> {
        let next = |key: &ClientKey| {
            app.client(key)
                .map(|client| client.sequence.saturating_add(1))
        };
        let refused = |(key, requests): (&ClientKey, &BTreeMap<u64, Arc<Request>>)| {
            let first = requests.get(&next(key)?)?;
            app.admit(first).is_err().then(|| first.clone())
        };
        let expelled: Vec<_> = self.waiting.iter().filter_map(refused).collect();
        for request in &expelled {
            if let Some(requests) = self.waiting.get_mut(&request.client) {
                requests.remove(&request.sequence);
                if requests.is_empty() {
                    self.waiting.remove(&request.client);
                }
            }
            self.bytes -= request.size();
            self.count -= 1;
            self.local.remove(&(request.client, request.sequence));
        }
        expelled
    }

    /// Requests of local clients that still wait, the oldest sequences first.
    pub(crate) fn local(&self, count: usize) -> Vec<Arc<Request>> {
        let find = |(client, sequence): &(ClientKey, u64)| {
            self.waiting.get(client)?.get(sequence).cloned()
        };
        self.local.iter().filter_map(find).take(count).collect()
    }
}
