//! Requests that wait for a block, and who waits for their outcome.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quorate_node::shell::clients::{Answer, Outcome};
use quorate_pbft::request::{ClientKey, Request, are_signed};
use quorate_pbft::scheme::Ed25519;
use quorate_verifier::encoding::Canonical;
use quorate_verifier::primitives::{Digest, Height};
use quorate_verifier::signature::VoteKey;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::app::{self, BODY_BYTES};

#[derive(Default)]
struct Waiting {
    requests: BTreeMap<ClientKey, BTreeMap<u64, Arc<Request>>>,
    /// By client: the last sequence that was committed.
    last: BTreeMap<ClientKey, u64>,
    count: usize,
    waiters: HashMap<(ClientKey, u64), mpsc::Sender<Answer>>,
    /// Requests of validated blocks that are not committed yet.
    blocks: HashMap<[u8; 32], Vec<Arc<Request>>>,
    height: u64,
}

/// The pool of one replica.
pub(super) struct Pool {
    chain: Digest,
    clients: BTreeMap<ClientKey, VoteKey>,
    waiting: Mutex<Waiting>,
    came: Condvar,
}

impl Pool {
    pub(super) fn new(chain: Digest) -> Self {
        Self {
            chain,
            clients: app::clients(),
            waiting: Mutex::default(),
            came: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keys of all clients.
    pub(super) fn clients(&self) -> impl Iterator<Item = &ClientKey> {
        self.clients.keys()
    }

    /// For each of these whether it has everything that makes a request fit for a block, but its
    /// sequence.
    pub(super) fn are_sound(&self, requests: &[&Request]) -> Vec<bool> {
        let known = requests.iter().map(|request| {
            let key = self.clients.get(&request.client)?;
            (request.body.len() == BODY_BYTES).then_some((*request, key))
        });
        let known: Vec<_> = known.collect();
        let fit: Vec<_> = known.iter().flatten().copied().collect();
        let mut signed = are_signed(&Ed25519, &self.chain, &fit).into_iter();
        let judge = |known: &Option<_>| known.is_some() && signed.next() == Some(true);
        known.iter().map(judge).collect()
    }

    /// Whether this very request was checked and waits.
    pub(super) fn vouches(&self, request: &Request) -> bool {
        let waiting = self.lock();
        let kept = waiting.requests.get(&request.client);
        let kept = kept.and_then(|kept| kept.get(&request.sequence));
        kept.is_some_and(|kept| **kept == *request)
    }

    /// Keeps a sound request; answers whether it is new.
    pub(super) fn keep(
        &self,
        request: &Arc<Request>,
        waiter: Option<mpsc::Sender<Answer>>,
    ) -> bool {
        let mut waiting = self.lock();
        let key = (request.client, request.sequence);
        if waiting.last.get(&key.0).is_some_and(|last| *last >= key.1) {
            return false;
        }
        if let Some(waiter) = waiter {
            waiting.waiters.insert(key, waiter);
        }
        let kept = waiting.requests.entry(key.0).or_default();
        if kept.contains_key(&key.1) {
            return false;
        }
        kept.insert(key.1, request.clone());
        waiting.count += 1;
        drop(waiting);
        self.came.notify_all();
        true
    }

    /// Waits until more requests are here than `taken`, or `time` has passed.
    pub(super) fn wait(&self, taken: usize, time: Duration) {
        let until = Instant::now() + time;
        let mut waiting = self.lock();
        while waiting.count <= taken {
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                return;
            };
            let woken = self.came.wait_timeout(waiting, left);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The next batch, each client's requests in order without a gap after `last`.
    pub(super) fn batch(&self, last: &BTreeMap<ClientKey, u64>, limit: usize) -> Vec<Arc<Request>> {
        let waiting = self.lock();
        let mut batch = Vec::new();
        let mut queues: Vec<_> = waiting
            .requests
            .iter()
            .map(|(client, kept)| (last.get(client).copied().unwrap_or(0) + 1, kept))
            .collect();
        while !queues.is_empty() && batch.len() < limit {
            queues.retain_mut(|(next, kept)| {
                let Some(request) = kept.get(next) else {
                    return false;
                };
                if batch.len() < limit {
                    batch.push(request.clone());
                }
                *next += 1;
                true
            });
        }
        batch
    }

    /// Remembers what a block holds until it is committed.
    pub(super) fn validated(&self, block: [u8; 32], requests: Vec<Arc<Request>>) {
        self.lock().blocks.insert(block, requests);
    }

    /// The height of the last committed block.
    pub(super) fn height(&self) -> u64 {
        self.lock().height
    }

    /// A block is durable and committed: its requests go, and whoever waits is told.
    pub(super) fn committed(&self, height: u64, block: &[u8; 32]) {
        let mut waiting = self.lock();
        waiting.height = waiting.height.max(height);
        let requests = waiting.blocks.remove(block).unwrap_or_default();
        for (index, request) in (0u32..).zip(&requests) {
            let key = (request.client, request.sequence);
            waiting.last.insert(key.0, key.1);
            let kept = waiting.requests.get_mut(&key.0);
            if kept.is_some_and(|kept| kept.remove(&key.1).is_some()) {
                waiting.count -= 1;
            }
            let Some(waiter) = waiting.waiters.remove(&key) else {
                continue;
            };
            let digest = Digest::from_bytes(Sha256::digest(request.to_bytes()).into());
            let executed = Outcome::Executed {
                height: Height::new(height),
                index,
                digest,
                outcome: index.to_le_bytes().to_vec(),
            };
            // Its link has room for every request that it sent.
            let _ = waiter.try_send(Answer {
                client: key.0,
                sequence: key.1,
                digest,
                outcome: executed,
            });
        }
    }
}
