//! A ledger on a workbench: blocks without a chain.

use std::sync::Arc;

use ed25519_dalek::{Signer, SigningKey};
use quorate_node::app::{
    AccountId, Amount, Body, Consent, Executed, Genesis, GenesisAccount, GenesisHolding,
    GenesisInstrument, InstrumentId, KeyBytes, Kind, Ledger, Operation, OptionTerms, Outcome,
    Right, SaltBytes, SignatureBytes, Trade,
};
use quorate_pbft::app::{App, Applied};
use quorate_pbft::request::{ClientKey, Payload, Request};
use quorate_verifier::header::{HEADER_VERSION, Header};
use quorate_verifier::merkle;
use quorate_verifier::primitives::{ChainId, Digest, Height, TimeMs};
use quorate_verifier::signature::Signature;

/// The genesis header's digest on the bench.
pub(crate) const CHAIN: Digest = Digest::from_bytes([0xc4; 32]);
/// Time of the first block, in ms.
pub(crate) const START_MS: u64 = 1_800_000_000_000;
/// Expiry of both series, in ms.
pub(crate) const EXPIRY_MS: u64 = START_MS + 1_000_000;

pub(crate) fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

pub(crate) fn instrument(name: &str) -> InstrumentId {
    InstrumentId::new(name).unwrap()
}

pub(crate) fn amount(units: u64) -> Amount {
    Amount::new(units).unwrap()
}

pub(crate) fn time(ms: u64) -> TimeMs {
    TimeMs::new(ms).unwrap()
}

/// The key of an account on the bench.
pub(crate) fn key(name: &str) -> SigningKey {
    let mut seed = [7; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    SigningKey::from_bytes(&seed)
}

pub(crate) fn public(name: &str) -> KeyBytes {
    KeyBytes(key(name).verifying_key().to_bytes())
}

pub(crate) fn client(name: &str) -> ClientKey {
    ClientKey(public(name).0)
}

fn option(right: Right) -> Kind {
    Kind::Option(OptionTerms {
        right,
        underlying: instrument("ACME"),
        currency: instrument("EUR"),
        strike: amount(50),
        lot: amount(100),
        expiry: time(EXPIRY_MS),
    })
}

/// An operator, an issuer and three traders with money and shares; a call and a put.
pub(crate) fn genesis() -> Genesis {
    let issuer = account("bank");
    let names = ["operator", "bank", "alice", "bob", "carol"];
    let listed = |name: &str, kind| GenesisInstrument {
        instrument: instrument(name),
        kind,
    };
    let decimals = 2;
    let holdings = ["alice", "bob", "carol"].into_iter().flat_map(|name| {
        [("EUR", 1_000_000), ("ACME", 10_000)].map(|(of, units)| GenesisHolding {
            account: account(name),
            instrument: instrument(of),
            amount: amount(units),
        })
    });
    Genesis {
        salt: Some(SaltBytes([3; 32])),
        operator: account("operator"),
        accounts: names
            .map(|name| GenesisAccount {
                account: account(name),
                keys: vec![public(name)],
            })
            .to_vec(),
        instruments: vec![
            listed("EUR", Kind::Money { issuer, decimals }),
            listed("USD", Kind::Money { issuer, decimals }),
            listed(
                "ACME",
                Kind::Asset {
                    issuer,
                    decimals: 0,
                },
            ),
            listed("ACME-C", option(Right::Call)),
            listed("ACME-P", option(Right::Put)),
        ],
        holdings: holdings.collect(),
    }
}

/// A ledger, and what its next block needs.
#[derive(Clone, Debug)]
pub(crate) struct Bench {
    pub(crate) ledger: Ledger,
    pub(crate) header: Header,
    salt: u8,
}

/// An operation on its way: who carries it, and who consents.
#[derive(Clone, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) carrier: &'a str,
    pub(crate) operation: Operation,
    pub(crate) consents: &'a [&'a str],
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::of(genesis().ledger().unwrap())
    }

    pub(crate) fn of(ledger: Ledger) -> Self {
        let set = quorate_pbft::sim::keys::set_of(&[1]).commitment();
        let nothing = merkle::root(&[]);
        let header = Header {
            version: HEADER_VERSION,
            chain_id: ChainId::from_genesis("bench", &CHAIN).unwrap(),
            height: Height::new(1),
            time: time(START_MS),
            parent: CHAIN,
            payload_root: nothing,
            outcomes_root: nothing,
            state_root: ledger.root(),
            parameters: Digest::ZERO,
            validators: set,
            next_validators: set,
        };
        Self {
            ledger,
            header,
            salt: 1,
        }
    }

    /// The next sequence of a client.
    pub(crate) fn sequence(&self, name: &str) -> u64 {
        self.ledger.client(&client(name)).map_or(0, |c| c.sequence) + 1
    }

    /// A request with its consents; the ledger leaves its own signature to the core.
    pub(crate) fn request(&self, asked: &Asked<'_>, sequence: u64) -> Request {
        let Asked {
            carrier,
            operation,
            consents,
        } = asked;
        let client = client(carrier);
        let consent = |name: &&str| {
            let bytes = Consent::signed_bytes(&CHAIN, &client, sequence, operation);
            Consent {
                key: public(name),
                signature: SignatureBytes(key(name).sign(&bytes).to_bytes()),
            }
        };
        let body = Body {
            operation: operation.clone(),
            consents: consents.iter().map(consent).collect(),
        };
        self.raw(
            client,
            sequence,
            quorate_verifier::encoding::Canonical::to_bytes(&body),
        )
    }

    pub(crate) fn raw(&self, client: ClientKey, sequence: u64, body: Vec<u8>) -> Request {
        let bytes = Request::signed_bytes(&CHAIN, &client, sequence, &body);
        let signature = key("nobody").sign(&bytes).to_bytes();
        Request {
            client,
            sequence,
            body,
            signature: Signature::from_bytes(signature),
        }
    }

    /// Applies a block of these requests, audits the state, and readies the next header.
    pub(crate) fn block(&mut self, requests: Vec<Request>) -> (Header, Payload, Applied) {
        let payload = Payload {
            salt: [self.salt; 32],
            requests: requests.into_iter().map(Arc::new).collect(),
        };
        self.salt = self.salt.wrapping_add(1);
        self.header.payload_root = payload.root();
        let header = self.header.clone();
        assert_eq!(header.state_root, self.ledger.root());
        let applied = self.ledger.apply(&header, &payload);
        assert_eq!(applied.outcomes.len(), payload.requests.len());
        self.ledger.audit().expect("every promise is kept");
        self.header.parent = header.digest();
        self.header.height = header.height.next().unwrap();
        self.header.time = header.time.checked_add_ms(1).unwrap();
        self.header.state_root = self.ledger.root();
        self.header.outcomes_root = merkle::root_of(&applied.outcomes);
        (header, payload, applied)
    }

    /// One operation in a block of its own.
    pub(crate) fn ask(
        &mut self,
        carrier: &str,
        operation: Operation,
        consents: &[&str],
    ) -> Executed {
        let asked = Asked {
            carrier,
            operation,
            consents,
        };
        let request = self.request(&asked, self.sequence(carrier));
        let (_, _, applied) = self.block(vec![request]);
        Outcome::from_leaf(&applied.outcomes[0]).unwrap().result
    }

    /// Free, locked and written units.
    pub(crate) fn has(&self, name: &str, of: &str) -> (u64, u64, u64) {
        let holding = self.ledger.holding(account(name), instrument(of));
        (
            holding.free.get(),
            holding.locked.get(),
            holding.written.get(),
        )
    }
}

pub(crate) fn trade(of: &str, quantity: u64, seller: &str, buyer: &str, cash: u64) -> Operation {
    Operation::Settle(Trade {
        instrument: instrument(of),
        quantity: amount(quantity),
        seller: account(seller),
        buyer: account(buyer),
        currency: instrument("EUR"),
        cash: amount(cash),
        valid_until: time(EXPIRY_MS),
    })
}

pub(crate) fn transfer(of: &str, from: &str, to: &str, units: u64) -> Operation {
    Operation::Transfer {
        instrument: instrument(of),
        from: account(from),
        to: account(to),
        amount: amount(units),
    }
}

pub(crate) fn write(name: &str, of: &str, quantity: u64) -> Operation {
    Operation::Write {
        account: account(name),
        instrument: instrument(of),
        quantity: amount(quantity),
    }
}

pub(crate) fn exercise(name: &str, of: &str, quantity: u64) -> Operation {
    Operation::Exercise {
        account: account(name),
        instrument: instrument(of),
        quantity: amount(quantity),
    }
}
