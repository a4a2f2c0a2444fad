//! The ledger in simulated networks, with every fault and liar of the simulator: after each
//! decision all promises of the state are judged, and the books compared.

use ed25519_dalek::Signer;
use quorate_node::app::{
    AccountId, Approval, Body, Consent, GenesisAccount, KeyBytes, Ledger, Operation, Scenario,
    SignatureBytes,
};
use quorate_pbft::Decision;
use quorate_pbft::app::Change;
use quorate_pbft::sim::keys::client_key;
use quorate_pbft::sim::{Ask, LiarKind, Options, Signatures, Workload, simulate_with};
use quorate_verifier::encoding::Canonical;
use quorate_verifier::primitives::TimeMs;

use super::books::Books;

/// About when simulated worlds start, in ms.
const WORLD_MS: u64 = 1_700_000_000_000;

struct Settling<'a> {
    scenario: Scenario,
    books: Option<Books>,
    now: TimeMs,
    /// What was done and refused in all worlds.
    seen: &'a mut Books,
}

impl<'a> Settling<'a> {
    fn new(seed: u64, seen: &'a mut Books) -> Self {
        let now = TimeMs::new(WORLD_MS).unwrap();
        Self {
            scenario: Scenario::new(seed, 6, now.checked_add_ms(600).unwrap()),
            books: None,
            now,
            seen,
        }
    }

    /// The first client is the operator's, the others are traders'.
    fn account(&self, client: usize) -> AccountId {
        match client {
            0 => self.scenario.operator(),
            _ => self.scenario.traders()[client - 1],
        }
    }
}

impl Workload for Settling<'_> {
    type App = Ledger;

    fn app(&self, clients: usize) -> Ledger {
        let mut genesis = self.scenario.genesis();
        for client in 0..clients {
            let own = self.account(client);
            let is_own = |a: &&mut GenesisAccount| a.account == own;
            let account = genesis.accounts.iter_mut().find(is_own).unwrap();
            account.keys.push(KeyBytes(client_key(client).0));
        }
        genesis.ledger().unwrap()
    }

    fn request(&mut self, ask: Ask<'_, Ledger>) -> Vec<u8> {
        let carrier = self.account(ask.client);
        let proposal = self.scenario.propose(ask.app, carrier, self.now, ask.rng);
        let client = client_key(ask.client);
        let consent = |account: &AccountId| {
            let key = self.scenario.insecure_key(*account);
            let operation = &proposal.operation;
            let bytes = Consent::signed_bytes(&ask.chain, &client, ask.sequence, operation);
            Consent {
                key: KeyBytes(key.verifying_key().to_bytes()),
                signature: SignatureBytes(key.sign(&bytes).to_bytes()),
            }
        };
        let body = Body {
            consents: proposal.consents.iter().map(consent).collect(),
            operation: proposal.operation,
        };
        body.to_bytes()
    }

    fn carry(&self, change: &Change) -> Option<Vec<u8>> {
        let approval = |(validator, signature): &(u16, _)| {
            let signature: &quorate_verifier::signature::Signature = signature;
            Approval {
                validator: *validator,
                signature: SignatureBytes(*signature.as_bytes()),
            }
        };
        let operation = Operation::Change {
            validators: change.validators,
            parameters: change.parameters.clone(),
            approvals: change.approvals.iter().map(approval).collect(),
        };
        let consents = Vec::new();
        Some(
            Body {
                operation,
                consents,
            }
            .to_bytes(),
        )
    }

    fn fingerprint<'b>(&self, body: &'b [u8]) -> &'b [u8] {
        // A change's approvals are signatures.
        if body.first() == Some(&12) {
            &body[..1]
        } else {
            body
        }
    }

    fn check(&mut self, app: &Ledger, decision: &Decision) -> Result<(), String> {
        let block = &decision.block.block;
        self.now = block.header().time;
        app.audit().map_err(|error| error.to_string())?;
        let first = || Books::of(&self.scenario.genesis().ledger().unwrap());
        let books = self.books.get_or_insert_with(first);
        let (done, refused) = (self.seen.done.clone(), self.seen.refused.clone());
        (books.done, books.refused) = (done, refused);
        books.book(block.payload(), &decision.outcomes, app)?;
        (self.seen.done, self.seen.refused) = (books.done.clone(), books.refused.clone());
        Ok(())
    }
}

fn all_good(seeds: std::ops::Range<u64>, options: Options, seen: &mut Books) {
    for seed in seeds {
        let report = simulate_with(&Options { seed, ..options }, Settling::new(seed, seen));
        assert!(
            report.is_good(),
            "seed {seed}, {:?}: {:?}",
            report.liars,
            report.violations
        );
    }
}

#[test]
fn two_hundred_worlds_conserve_every_unit() {
    let mut seen = Books::default();
    all_good(0..200, Options::default(), &mut seen);
    for word in [
        "settle", "transfer", "write", "exercise", "define", "expire", "change",
    ] {
        assert!(seen.done.contains_key(word), "{word}: {:?}", seen.done);
    }
    assert!(seen.refused.contains_key("short"), "{:?}", seen.refused);
    let done: usize = seen.done.values().sum();
    assert!(done > 1_500, "{:?} {:?}", seen.done, seen.refused);
}

#[test]
fn no_liar_makes_or_loses_a_unit() {
    let mut seen = Books::default();
    for liar in LiarKind::ALL {
        let options = Options {
            liar: Some(liar),
            ..Options::default()
        };
        all_good(9_000..9_008, options, &mut seen);
    }
    assert!(seen.done.contains_key("settle"), "{:?}", seen.done);
}

#[test]
fn worlds_with_real_signatures_settle_the_same() {
    for seed in 0..10 {
        let world = |signatures| {
            let mut seen = Books::default();
            let options = Options {
                seed,
                signatures,
                ..Options::default()
            };
            simulate_with(&options, Settling::new(seed, &mut seen))
        };
        let (symbolic, real) = (world(Signatures::Symbolic), world(Signatures::Ed25519));
        assert_eq!(real.violations, [], "seed {seed}");
        assert_eq!(symbolic.decisions, real.decisions, "seed {seed}");
    }
}

/// A ledger whose hardware makes money, to see that the worlds notice.
#[test]
fn a_state_that_gains_a_unit_is_noticed() {
    struct Leaky<'a>(Settling<'a>);
    impl Workload for Leaky<'_> {
        type App = Ledger;
        fn app(&self, clients: usize) -> Ledger {
            self.0.app(clients)
        }
        fn request(&mut self, ask: Ask<'_, Ledger>) -> Vec<u8> {
            self.0.request(ask)
        }
        fn carry(&self, change: &Change) -> Option<Vec<u8>> {
            self.0.carry(change)
        }
        fn check(&mut self, app: &Ledger, decision: &Decision) -> Result<(), String> {
            // The books open one holding short.
            let mut genesis = self.0.scenario.genesis();
            genesis.holdings.pop();
            let books = || Books::of(&genesis.ledger().unwrap());
            self.0.books.get_or_insert_with(books);
            self.0.check(app, decision)
        }
    }
    let mut seen = Books::default();
    let report = simulate_with(&Options::default(), Leaky(Settling::new(0, &mut seen)));
    assert!(!report.is_good());
}
