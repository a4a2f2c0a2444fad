//! Clients' requests: to the core, and their outcomes back to whoever waits for them.

use std::sync::Arc;

use quorate_pbft::app::App;
use quorate_pbft::log::Storage;
use quorate_pbft::request::{ClientKey, Request};
use quorate_pbft::{Effect, Input, PoolError};
use quorate_verifier::primitives::Digest;
use tokio::sync::mpsc;

use super::{Driver, Stop, now};
use crate::shell::clients::{Answer, Outcome};
use crate::shell::store::request_digest;

/// Requests whose outcome somebody waits for.
const WAITERS_MAX: usize = 1 << 16;

pub(super) struct Waiter {
    digest: Digest,
    answer: mpsc::Sender<Answer>,
}

impl<A: App, D: Storage> Driver<A, D> {
    pub(super) fn submit(
        &mut self,
        request: Arc<Request>,
        answer: mpsc::Sender<Answer>,
    ) -> Result<(), Stop> {
        let key = (request.client, request.sequence);
        let digest = request_digest(&request);
        let waiter = Waiter { digest, answer };
        if self.waiting >= WAITERS_MAX {
            self.waiting += 1;
            self.answer(key, vec![waiter], &Outcome::Busy);
            return Ok(());
        }
        let effects = self.core.step(now(self.started), Input::Request(request));
        let mut refused = None;
        let others = effects.into_iter().filter(|effect| match effect {
            Effect::Reject(client, sequence, error) if (*client, *sequence) == key => {
                refused = Some(error.clone());
                false
            }
            _ => true,
        });
        let others: Vec<_> = others.collect();
        self.absorb(others)?;
        match refused {
            None => {
                self.waiting += 1;
                self.waiters.entry(key).or_default().push(waiter);
            }
            Some(PoolError::Executed { .. }) => {
                let executed = self.store.executed(&key.0, key.1)?;
                let outcome = match executed {
                    Some(executed) => Outcome::Executed {
                        height: executed.height,
                        index: executed.index,
                        digest: executed.digest,
                        outcome: executed.outcome,
                    },
                    None => Outcome::Refused(
                        "it was executed before this node's stored blocks begin".into(),
                    ),
                };
                self.waiting += 1;
                self.answer(key, vec![waiter], &outcome);
            }
            Some(PoolError::Full) => {
                self.waiting += 1;
                self.answer(key, vec![waiter], &Outcome::Busy);
            }
            Some(error) => {
                self.waiting += 1;
                self.answer(key, vec![waiter], &Outcome::Refused(error.to_string()));
            }
        }
        Ok(())
    }

    pub(super) fn answer_all(&mut self, client: ClientKey, sequence: u64, outcome: &Outcome) {
        if let Some(waiters) = self.waiters.remove(&(client, sequence)) {
            self.answer((client, sequence), waiters, outcome);
        }
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
