//! Plausible traffic of an options-settlement network, from a seed: for demonstration, benchmarks
//! and simulation.
//!
//! Most of what is proposed can be executed; some of it is short, late, unauthorised or nonsense
//! on purpose, as in life. The keys follow from the seed: never use them for anything of value.

use ed25519_dalek::SigningKey;
use quorate_pbft::sim::Rng;
use quorate_verifier::primitives::{Digest, TimeMs};
use sha2::{Digest as _, Sha256};

use super::genesis::{Genesis, GenesisAccount, GenesisHolding, GenesisInstrument, SaltBytes};
use super::ledger::Ledger;
use super::names::{AMOUNT_LIMIT, AccountId, Amount, InstrumentId};
use super::operation::{KeyBytes, Kind, Operation, OptionTerms, Right, Trade};
use super::requests::{Draft, Requests};

/// Most traders of a scenario.
pub const TRADERS_MAX: usize = 10_000;
/// Series that live for seconds, one name each.
const SHORT_LIVED: usize = 32;
/// How long a trade waits for its settlement: a day.
const VALID_MS: u64 = 86_400_000;
/// Cash that each trader starts with, in cents, and units of each asset.
const START: [(&str, u64); 4] = [
    ("EUR", 5_000_000_000),
    ("USD", 5_000_000_000),
    ("ACME", 1_000_000),
    ("BOLT", 1_000_000),
];

/// Who and what there is in one seed's network.
#[derive(Clone, Debug)]
pub struct Scenario {
    seed: u64,
    traders: Vec<AccountId>,
    /// Those of the first state, then names for short-lived ones.
    series: Vec<InstrumentId>,
    expiry: TimeMs,
}

/// An operation, and the accounts that must sign it or were left out on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// What is asked for.
    pub operation: Operation,
    /// Accounts other than the carrier's whose consent goes with it.
    pub consents: Vec<AccountId>,
}

impl Scenario {
    /// A network of an operator, a treasury and so many traders (at least 2, at most
    /// [`TRADERS_MAX`]), whose first series expire at `expiry`.
    pub fn new(seed: u64, traders: usize, expiry: TimeMs) -> Self {
        let trader = |i| account(&format!("trader-{i:04}"));
        let lasting = ["ACME", "BOLT"].into_iter().flat_map(|underlying| {
            [("C", 80), ("C", 120), ("P", 80), ("P", 120)]
                .map(|(right, strike)| instrument(&format!("{underlying}-{right}-{strike}")))
        });
        let short_lived = (0..SHORT_LIVED).map(|i| instrument(&format!("SHORT-{i}")));
        Self {
            seed,
            traders: (0..traders.clamp(2, TRADERS_MAX)).map(trader).collect(),
            series: lasting.chain(short_lived).collect(),
            expiry,
        }
    }

    /// The account that opens accounts and lists instruments.
    pub fn operator(&self) -> AccountId {
        account("operator")
    }

    /// The account that issues and redeems.
    pub fn treasury(&self) -> AccountId {
        account("treasury")
    }

    /// The accounts that trade.
    pub fn traders(&self) -> &[AccountId] {
        &self.traders
    }

    /// The key of an account. It follows from the seed and the name, so it is no secret.
    pub fn insecure_key(&self, account: AccountId) -> SigningKey {
        let seed = Sha256::new()
            .chain_update(b"quorate scenario key")
            .chain_update(self.seed.to_le_bytes())
            .chain_update(account.as_str())
            .finalize();
        SigningKey::from_bytes(&seed.into())
    }

    /// The first state: each trader with money and assets, eight series, and keys for all.
    pub fn genesis(&self) -> Genesis {
        let issuer = self.treasury();
        let everybody = [self.operator(), issuer].into_iter();
        let everybody = everybody.chain(self.traders.iter().copied());
        let key = |account| KeyBytes(self.insecure_key(account).verifying_key().to_bytes());
        let accounts = everybody.map(|account| GenesisAccount {
            account,
            keys: vec![key(account)],
        });
        let basic = START.into_iter().map(|(name, _)| GenesisInstrument {
            instrument: instrument(name),
            kind: match name {
                "EUR" | "USD" => Kind::Money {
                    issuer,
                    decimals: 2,
                },
                _ => Kind::Asset {
                    issuer,
                    decimals: 0,
                },
            },
        });
        let lasting = self.series[..self.series.len() - SHORT_LIVED].iter();
        let lasting = lasting.enumerate().map(|(i, name)| GenesisInstrument {
            instrument: *name,
            kind: Kind::Option(self.terms(i, self.expiry)),
        });
        let holdings = self.traders.iter().flat_map(|account| {
            START.map(|(name, units)| GenesisHolding {
                account: *account,
                instrument: instrument(name),
                amount: amount(units),
            })
        });
        Genesis {
            salt: Some(SaltBytes(Sha256::digest(self.seed.to_le_bytes()).into())),
            operator: self.operator(),
            accounts: accounts.collect(),
            instruments: basic.chain(lasting).collect(),
            holdings: holdings.collect(),
        }
    }

    /// Terms of the series at a place: call or put, near or far strike, on either asset.
    fn terms(&self, place: usize, expiry: TimeMs) -> OptionTerms {
        OptionTerms {
            right: [Right::Call, Right::Put][place / 2 % 2],
            underlying: instrument(["ACME", "BOLT"][place / 4 % 2]),
            currency: instrument(["EUR", "USD"][place / 4 % 2]),
            strike: amount([8_000, 12_000][place % 2]),
            lot: amount(100),
            expiry,
        }
    }

    /// What a client of `carrier` might ask for next, given the state and the time of the last
    /// block. All chance comes from `rng`.
    pub fn propose(
        &self,
        ledger: &Ledger,
        carrier: AccountId,
        now: TimeMs,
        rng: &mut Rng,
    ) -> Proposal {
        let own = match self.traders.contains(&carrier) {
            true => carrier,
            false => self.traders[rng.place(self.traders.len())],
        };
        let mut other = self.traders[rng.place(self.traders.len())];
        while other == own && !rng.chance(20) {
            other = self.traders[rng.place(self.traders.len())];
        }
        let (operation, mut needed) = match rng.below(100) {
            0..38 => self.trade(ledger, now, (own, other), rng),
            38..50 => self.transfer(ledger, own, other, rng),
            50..64 => self.write(ledger, own, rng),
            64..76 => self.exercise(ledger, own, rng),
            76..82 => self.close(ledger, own, rng),
            82..88 => self.issue_or_redeem(own, rng),
            88..92 => self.define(now, rng),
            92..97 => self.expire(ledger, rng),
            _ => self.keys(own, rng),
        };
        needed.retain(|account| *account != carrier);
        needed.dedup();
        // One in twenty lacks a consent that it needs, or has one that nobody asked for.
        match rng.below(40) {
            0 => drop(needed.pop()),
            1 if needed.is_empty() && other != carrier => needed.push(other),
            _ => {}
        }
        Proposal {
            operation,
            consents: needed,
        }
    }

    /// Usually a series that is listed and has not ended.
    fn series(&self, ledger: &Ledger, rng: &mut Rng) -> InstrumentId {
        let mut chosen = self.series[rng.place(self.series.len())];
        while ledger.instrument(chosen).is_none_or(|i| i.ended) && !rng.chance(10) {
            chosen = self.series[rng.place(self.series.len())];
        }
        chosen
    }

    /// Usually what the account has of it in part, sometimes more than it has, rarely absurd.
    fn some_of(&self, ledger: &Ledger, of: (AccountId, InstrumentId), rng: &mut Rng) -> Amount {
        let has = ledger.holding(of.0, of.1).free.get();
        let some = match rng.below(40) {
            0 => 0,
            1 => AMOUNT_LIMIT - 1,
            2 | 3 => has + 1 + rng.below(10),
            4 => has,
            _ => 1 + rng.below((has / 20).max(1)),
        };
        Amount::new(some).unwrap_or(amount(AMOUNT_LIMIT - 1))
    }

    fn trade(
        &self,
        ledger: &Ledger,
        now: TimeMs,
        (one, other): (AccountId, AccountId),
        rng: &mut Rng,
    ) -> (Operation, Vec<AccountId>) {
        let (seller, buyer) = match rng.chance(500) {
            true => (one, other),
            false => (other, one),
        };
        let instrument_of = |rng: &mut Rng| match rng.below(3) {
            0 => instrument(["ACME", "BOLT"][rng.place(2)]),
            _ => self.series(ledger, rng),
        };
        // A few tries for something that the seller has.
        let mut chosen = instrument_of(rng);
        for _ in 0..4 {
            if !ledger.holding(seller, chosen).free.is_zero() {
                break;
            }
            chosen = instrument_of(rng);
        }
        let late = rng.chance(20);
        let trade = Trade {
            instrument: chosen,
            quantity: self.some_of(ledger, (seller, chosen), rng),
            seller,
            buyer,
            currency: instrument(["EUR", "USD"][rng.place(2)]),
            cash: amount(1 + rng.below(1_000_000)),
            valid_until: if late {
                now
            } else {
                now.checked_add_ms(VALID_MS).unwrap_or(now)
            },
        };
        (Operation::Settle(trade), vec![seller, buyer])
    }

    fn transfer(
        &self,
        ledger: &Ledger,
        from: AccountId,
        to: AccountId,
        rng: &mut Rng,
    ) -> (Operation, Vec<AccountId>) {
        let moved = match rng.below(2) {
            0 => instrument(START[rng.place(4)].0),
            _ => self.series(ledger, rng),
        };
        let operation = Operation::Transfer {
            instrument: moved,
            from,
            to,
            amount: self.some_of(ledger, (from, moved), rng),
        };
        (operation, vec![from])
    }

    fn write(
        &self,
        ledger: &Ledger,
        account: AccountId,
        rng: &mut Rng,
    ) -> (Operation, Vec<AccountId>) {
        let quantity = match rng.below(20) {
            0 => amount(100_000), // more than anybody can cover
            _ => amount(1 + rng.below(50)),
        };
        let operation = Operation::Write {
            account,
            instrument: self.series(ledger, rng),
            quantity,
        };
        (operation, vec![account])
    }

    fn held_series(&self, ledger: &Ledger, account: AccountId, rng: &mut Rng) -> InstrumentId {
        let tries: Vec<_> = (0..6).map(|_| self.series(ledger, rng)).collect();
        let held = |series: &&InstrumentId| !ledger.holding(account, **series).free.is_zero();
        *tries.iter().find(held).unwrap_or(&tries[0])
    }

    fn exercise(
        &self,
        ledger: &Ledger,
        account: AccountId,
        rng: &mut Rng,
    ) -> (Operation, Vec<AccountId>) {
        let series = self.held_series(ledger, account, rng);
        let operation = Operation::Exercise {
            account,
            instrument: series,
            quantity: self.some_of(ledger, (account, series), rng),
        };
        (operation, vec![account])
    }

    fn close(
        &self,
        ledger: &Ledger,
        account: AccountId,
        rng: &mut Rng,
    ) -> (Operation, Vec<AccountId>) {
        let series = self.held_series(ledger, account, rng);
        let operation = Operation::Close {
            account,
            instrument: series,
            quantity: self.some_of(ledger, (account, series), rng),
        };
        (operation, vec![account])
    }

    fn issue_or_redeem(&self, account: AccountId, rng: &mut Rng) -> (Operation, Vec<AccountId>) {
        let (name, _) = START[rng.place(4)];
        let (instrument, amount) = (instrument(name), amount(1 + rng.below(100_000)));
        match rng.chance(500) {
            true => (
                Operation::Issue {
                    instrument,
                    account,
                    amount,
                },
                vec![self.treasury()],
            ),
            false => (
                Operation::Redeem {
                    instrument,
                    account,
                    amount,
                },
                vec![self.treasury(), account],
            ),
        }
    }

    fn define(&self, now: TimeMs, rng: &mut Rng) -> (Operation, Vec<AccountId>) {
        let lives_ms = rng.between(100, 3_000);
        let expiry = now.checked_add_ms(lives_ms).unwrap_or(now);
        let place = self.series.len() - 1 - rng.place(SHORT_LIVED);
        let operation = Operation::Define {
            instrument: self.series[place],
            kind: Kind::Option(self.terms(place, expiry)),
        };
        (operation, vec![self.operator()])
    }

    fn expire(&self, ledger: &Ledger, rng: &mut Rng) -> (Operation, Vec<AccountId>) {
        let instrument = self.series(ledger, rng);
        (Operation::Expire { instrument }, Vec::new())
    }

    /// A second key, which acts for nobody else and asks for nothing, comes and goes.
    fn keys(&self, account: AccountId, rng: &mut Rng) -> (Operation, Vec<AccountId>) {
        let name = AccountId::new(&format!("{account}.2")).unwrap_or(account);
        let key = KeyBytes(self.insecure_key(name).verifying_key().to_bytes());
        let operation = match rng.chance(500) {
            true => Operation::AddKey { account, key },
            false => Operation::RemoveKey { account, key },
        };
        (operation, vec![account])
    }

    /// So many signed requests in the order of their sending, the traders taking turns, each
    /// proposed in the state that those before it made: what a client of one busy network sends.
    /// `chain` is the genesis header's digest.
    ///
    /// # Panics
    /// Above [`super::REQUESTS_MAX`] requests.
    pub fn requests(&self, chain: Digest, start: TimeMs, count: usize) -> Requests {
        assert!(
            count <= super::REQUESTS_MAX,
            "one file holds 65,535 requests"
        );
        let mut bench = super::dry_run::DryRun::new(self, chain, start);
        let mut rng = Rng::new(self.seed, 0x5ce);
        let drafts = (0..count).map(|i| {
            let carrier = self.traders[i % self.traders.len()];
            self.draft(&mut bench, chain, carrier, &mut rng)
        });
        Requests {
            chain: Some(chain),
            requests: drafts.collect(),
        }
    }

    fn draft(
        &self,
        bench: &mut super::dry_run::DryRun,
        chain: Digest,
        carrier: AccountId,
        rng: &mut Rng,
    ) -> Draft {
        let proposal = self.propose(bench.ledger(), carrier, bench.now(), rng);
        let key = self.insecure_key(carrier);
        let mut one = Requests::of([proposal.operation]);
        one.chain = Some(chain);
        one.requests[0].client = Some(KeyBytes(key.verifying_key().to_bytes()));
        one.requests[0].sequence = Some(bench.next_sequence(&one.requests[0]));
        for account in proposal.consents {
            let signed = one.consent(&self.insecure_key(account), |_, _| true);
            signed.expect("two consents at most, before the signature");
        }
        one.sign(&key).expect("client and sequence are there");
        bench.execute(&one);
        one.requests.remove(0)
    }
}

fn account(name: &str) -> AccountId {
    AccountId::new(name).expect("a good name")
}

fn instrument(name: &str) -> InstrumentId {
    InstrumentId::new(name).expect("a good name")
}

fn amount(units: u64) -> Amount {
    Amount::new(units).expect("below 2^60")
}
