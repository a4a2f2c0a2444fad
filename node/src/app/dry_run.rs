//! A ledger without a chain, to see what requests would do.

use std::sync::Arc;

use quorate_pbft::app::App;
use quorate_pbft::request::{ClientKey, Payload, Request};
use quorate_verifier::header::{HEADER_VERSION, Header};
use quorate_verifier::merkle;
use quorate_verifier::primitives::{ChainId, Digest, Height, TimeMs};

use super::ledger::Ledger;
use super::requests::{Draft, Requests};
use super::scenario::Scenario;

/// Executes each request in a block of its own, a millisecond after the one before.
pub(super) struct DryRun {
    ledger: Ledger,
    header: Header,
}

impl DryRun {
    pub(super) fn new(scenario: &Scenario, chain: Digest, start: TimeMs) -> Self {
        let ledger = scenario.genesis().ledger();
        let nothing = merkle::root(&[]);
        let set = quorate_pbft::sim::keys::set_of(&[1]).commitment();
        Self {
            ledger: ledger.expect("a scenario keeps the rules"),
            header: Header {
                version: HEADER_VERSION,
                chain_id: ChainId::from_genesis("dry-run", &chain).expect("a good name"),
                height: Height::new(1),
                time: start,
                parent: chain,
                payload_root: nothing,
                outcomes_root: nothing,
                state_root: nothing,
                parameters: Digest::ZERO,
                validators: set,
                next_validators: set,
            },
        }
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) fn now(&self) -> TimeMs {
        self.header.time
    }

    pub(super) fn next_sequence(&self, draft: &Draft) -> u64 {
        let client = draft.client.map(|key| ClientKey(key.0));
        let client = client.and_then(|key| self.ledger.client(&key));
        client.map_or(1, |client| client.sequence + 1)
    }

    pub(super) fn execute(&mut self, requests: &Requests) {
        let chain = requests.chain.unwrap_or(Digest::ZERO);
        let requests: Vec<Request> = requests.signed(&chain).unwrap_or_default();
        let payload = Payload {
            salt: [0; 32],
            requests: requests.into_iter().map(Arc::new).collect(),
        };
        self.ledger.apply(&self.header, &payload);
        self.header.height = self.header.height.next().expect("a short run");
        let time = self.header.time.checked_add_ms(1);
        self.header.time = time.unwrap_or(self.header.time);
    }
}
