//! What the nodes of a world execute, and what its clients ask for.

use quorate_verifier::primitives::Digest;

use super::app::{Adder, add, carry};
use super::rng::Rng;
use crate::app::{App, Change};
use crate::core::Decision;

/// An application with clients that keep it busy and a promise that its state keeps.
///
/// A world runs it on every node, and once more by itself: each block that the first correct node
/// decides is executed on a copy of the application that no core can touch, and the copy is
/// judged.
pub trait Workload {
    /// What the nodes execute.
    type App: App + Clone;

    /// The application before the first block, the same on every node. Its clients are
    /// [`super::keys::client_key`] of 0 to `clients` − 1.
    fn app(&self, clients: usize) -> Self::App;

    /// The application of a node whose hardware gives wrong results from a height on.
    fn broken_app(&self, clients: usize, _from_height: u64) -> Self::App {
        self.app(clients)
    }

    /// The body of a client's next request. The world signs the request.
    fn request(&mut self, ask: Ask<'_, Self::App>) -> Vec<u8>;

    /// The body of a request that carries a change of the validator set; `None` if worlds of this
    /// application do not change theirs.
    fn carry(&self, change: &Change) -> Option<Vec<u8>>;

    /// What is compared of a body when two worlds differ in their signature scheme only: all of
    /// it, unless it holds signatures by validators.
    fn fingerprint<'a>(&self, body: &'a [u8]) -> &'a [u8] {
        body
    }

    /// What holds of the state after every block, judged on the world's own copy. `decision` is
    /// the block with its outcomes.
    ///
    /// # Errors
    /// The rule that is broken: [`super::Violation::Invariant`].
    fn check(&mut self, app: &Self::App, decision: &Decision) -> Result<(), String>;
}

/// A client is about to make a request.
#[derive(Debug)]
pub struct Ask<'a, A> {
    /// Which client.
    pub client: usize,
    /// Sequence of the request.
    pub sequence: u64,
    /// The genesis header's digest, to which signatures inside of the body may be bound.
    pub chain: Digest,
    /// The world's own copy of the application, after the last decided height.
    pub app: &'a A,
    /// The client's only source of chance.
    pub rng: &'a mut Rng,
}

/// Clients of the [`Adder`] add small numbers; each account holds the sum of what was added.
#[derive(Clone, Debug, Default)]
pub struct Adding {
    sums: std::collections::BTreeMap<crate::request::ClientKey, u64>,
}

impl Workload for Adding {
    type App = Adder;

    fn app(&self, clients: usize) -> Adder {
        Adder::new(clients)
    }

    fn broken_app(&self, clients: usize, from_height: u64) -> Adder {
        let mut app = Adder::new(clients);
        app.breaks_at = Some(from_height);
        app
    }

    fn request(&mut self, ask: Ask<'_, Adder>) -> Vec<u8> {
        add(ask.rng.below(100))
    }

    fn carry(&self, change: &Change) -> Option<Vec<u8>> {
        Some(carry(change))
    }

    fn fingerprint<'a>(&self, body: &'a [u8]) -> &'a [u8] {
        // A change's approvals are signatures.
        if body.starts_with(b"!") { b"!" } else { body }
    }

    fn check(&mut self, app: &Adder, decision: &Decision) -> Result<(), String> {
        let requests = &decision.block.block.payload().requests;
        for request in requests {
            let number = request
                .body
                .strip_prefix(b"+")
                .and_then(|b| b.try_into().ok());
            let sum = self.sums.entry(request.client).or_default();
            *sum = sum.wrapping_add(number.map_or(0, u64::from_le_bytes));
        }
        let mut clients = requests.iter().map(|request| &request.client);
        if clients.all(|client| app.sum(client) == self.sums.get(client).copied()) {
            Ok(())
        } else {
            Err("an account does not hold the sum of what was added".into())
        }
    }
}
