//! Clients' requests: to the core, and their outcomes back to whoever waits for them.

use std::time::{Duration, Instant};

use quorate_pbft::app::App;
use quorate_pbft::log::Storage;
use quorate_pbft::request::{ClientKey, Request};
use quorate_pbft::{Input, Peer, PoolError};
use quorate_verifier::primitives::Digest;
use tokio::sync::mpsc;

use super::{Asked, Driver, Inbox, Stop};
use crate::shell::clients::{Answer, Outcome};
use crate::shell::store::request_digest;

/// Requests whose outcome somebody waits for.
const WAITERS_MAX: usize = 1 << 16;
/// Requests that are handed to the core at once, unless one peer's lot has more: votes that come
/// meanwhile wait for as many signatures.
const TOGETHER: usize = 64;
/// Once all requests were looked at, the next ones gather for so long: one look for many of them
/// costs far less than many looks, in signatures, messages and wake-ups. The first one after a
/// quiet time does not wait.
const GATHER_TIME: Duration = Duration::from_millis(4);

pub(super) struct Waiter {
    digest: Digest,
    answer: mpsc::Sender<Answer>,
}

impl<A: App, D: Storage> Driver<A, D> {
    /// Hands some of the requests that have come to the core.
    pub(super) fn look_at_requests(
        &mut self,
        first: Option<Asked>,
        inbox: &mut Inbox,
    ) -> Result<(), Stop> {
        let (mut requests, mut budgets) = (Vec::new(), Vec::new());
        let mut next = first;
        while let Some(asked) = next.take().or_else(|| inbox.asked.try_recv().ok()) {
            match asked {
                Asked::Client { request, answer } => {
                    if self.await_outcome(&request, answer) {
                        requests.push((None, request));
                    }
                }
                Asked::Peer {
                    from,
                    requests: theirs,
                    budget,
                } => {
                    let from: Option<Peer> = Some(from);
                    requests.extend(theirs.into_iter().map(|request| (from, request)));
                    budgets.push(budget);
                }
            }
            if requests.len() >= TOGETHER {
                break;
            }
        }
        if requests.is_empty() {
            return Ok(());
        }
        if inbox.asked.is_empty() {
            self.look_at = Instant::now() + GATHER_TIME;
        }
        let result = self.step(Input::Requests(requests));
        drop(budgets);
        result
    }

    /// Remembers who waits for the outcome; a request that comes when too many wait already is
    /// answered at once.
    fn await_outcome(&mut self, request: &Request, answer: mpsc::Sender<Answer>) -> bool {
        let key = (request.client, request.sequence);
        let digest = request_digest(request);
        let waiter = Waiter { digest, answer };
        self.waiting += 1;
        if self.waiting > WAITERS_MAX {
            self.answer(key, vec![waiter], &Outcome::Busy);
            return false;
        }
        self.waiters.entry(key).or_default().push(waiter);
        true
    }

    /// The core does not keep a request: whoever waits for this very one is told.
    pub(super) fn reject(&mut self, request: &Request, error: &PoolError) -> Result<(), Stop> {
        let key = (request.client, request.sequence);
        let digest = request_digest(request);
        let Some(waiters) = self.waiters.get_mut(&key) else {
            return Ok(()); // its block was final in the meantime
        };
        let (refused, others) = std::mem::take(waiters)
            .into_iter()
            .partition(|waiter| waiter.digest == digest);
        *waiters = others;
        if waiters.is_empty() {
            self.waiters.remove(&key);
        }
        let outcome = match error {
            PoolError::Executed { .. } => match self.store.executed(&key.0, key.1)? {
                Some(executed) => Outcome::Executed {
                    height: executed.height,
                    index: executed.index,
                    digest: executed.digest,
                    outcome: executed.outcome,
                },
                None => Outcome::Refused(
                    "it was executed before this node's stored blocks begin".into(),
                ),
            },
            PoolError::Full => Outcome::Busy,
            error => Outcome::Refused(error.to_string()),
        };
        self.answer(key, refused, &outcome);
        Ok(())
    }

    pub(super) fn answer(
        &mut self,
        key: (ClientKey, u64),
        waiters: Vec<Waiter>,
        outcome: &Outcome,
    ) {
        self.waiting = self.waiting.saturating_sub(waiters.len());
        for waiter in waiters {
            let another =
                matches!(outcome, Outcome::Executed { digest, .. } if *digest != waiter.digest);
            let outcome = if another {
                Outcome::Refused(
                    "another request of this client with this sequence was executed".into(),
                )
            } else {
                outcome.clone()
            };
            let answer = Answer {
                client: key.0,
                sequence: key.1,
                digest: waiter.digest,
                outcome,
            };
            // Its link has room for every request that it sent; a link that is gone needs none.
            let _ = waiter.answer.try_send(answer);
        }
    }
}
