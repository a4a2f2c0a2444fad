//! Money and every instrument are conserved, whatever anybody asks for.

use proptest::prelude::*;
use quorate_node::app::{
    Body, Consent, Genesis, KeyBytes, Kind, Ledger, Operation, OptionTerms, Right, Scenario,
    SignatureBytes, Trade,
};
use quorate_pbft::app::App;
use quorate_pbft::sim::Rng;
use quorate_verifier::encoding::Canonical;

use super::bench::{
    Asked, Bench, EXPIRY_MS, START_MS, account, amount, client, genesis, instrument, public, time,
};
use super::books::Books;

const NAMES: [&str; 6] = ["operator", "bank", "alice", "bob", "carol", "dave"];
const INSTRUMENTS: [&str; 7] = ["EUR", "USD", "ACME", "ACME-C", "ACME-P", "NEW", "NONE"];

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&NAMES[..])
}

fn units() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 0u64..40,
        3 => 0u64..20_000,
        2 => Just(1_000_000u64),
        1 => Just((1u64 << 60) - 1),
        1 => any::<u64>().prop_map(|n| n >> 4),
    ]
}

/// Any operation at all over the names of the bench and some that are not there.
fn operation() -> impl Strategy<Value = Operation> {
    let instruments = prop::sample::select(&INSTRUMENTS[..]);
    (
        0u8..13,
        name(),
        name(),
        instruments.clone(),
        instruments,
        units(),
        units(),
    )
        .prop_map(|(code, one, other, first, second, n, m)| {
            let (account_, to) = (account(one), account(other));
            let (instrument_, currency) = (instrument(first), instrument(second));
            let (amount_, quantity) = (amount(n), amount(n));
            match code {
                0 => Operation::OpenAccount {
                    account: account_,
                    keys: vec![public(other)],
                },
                1 => Operation::AddKey {
                    account: account_,
                    key: public(&format!("{other}-2")),
                },
                2 => Operation::RemoveKey {
                    account: account_,
                    key: public(&format!("{other}-2")),
                },
                3 => Operation::Define {
                    instrument: instrument_,
                    kind: Kind::Option(OptionTerms {
                        right: if n % 2 == 0 { Right::Call } else { Right::Put },
                        underlying: currency,
                        currency: instrument("EUR"),
                        strike: amount_,
                        lot: amount(m),
                        expiry: time(EXPIRY_MS + n % 3),
                    }),
                },
                4 => Operation::Issue {
                    instrument: instrument_,
                    account: to,
                    amount: amount_,
                },
                5 => Operation::Redeem {
                    instrument: instrument_,
                    account: account_,
                    amount: amount_,
                },
                6 => Operation::Transfer {
                    instrument: instrument_,
                    from: account_,
                    to,
                    amount: amount_,
                },
                7 => Operation::Settle(Trade {
                    instrument: instrument_,
                    quantity,
                    seller: account_,
                    buyer: to,
                    currency,
                    cash: amount(m),
                    valid_until: time(START_MS + m % 200),
                }),
                8 => Operation::Write {
                    account: account_,
                    instrument: instrument_,
                    quantity,
                },
                9 => Operation::Close {
                    account: account_,
                    instrument: instrument_,
                    quantity,
                },
                10 => Operation::Exercise {
                    account: account_,
                    instrument: instrument_,
                    quantity,
                },
                11 => Operation::Expire {
                    instrument: instrument_,
                },
                _ => Operation::Change {
                    validators: None,
                    parameters: None,
                    approvals: vec![],
                },
            }
        })
}

#[derive(Clone, Debug)]
enum Step {
    /// Carried by somebody, with the consents of all accounts that it names, or of others.
    Ask(&'static str, Operation, Vec<&'static str>),
    /// A forged consent.
    Forge(&'static str, Operation, u8),
    /// Bytes.
    Noise(&'static str, Vec<u8>),
    /// A sequence that is not the next.
    Replay(&'static str, Operation, u64),
    /// Time passes.
    Wait(u64),
}

fn named(operation: &Operation) -> Vec<&'static str> {
    let text = format!("{operation:?}");
    let mut names: Vec<_> = NAMES[..5]
        .iter()
        .copied()
        .filter(|n| text.contains(*n))
        .collect();
    if matches!(
        operation,
        Operation::Issue { .. } | Operation::Redeem { .. }
    ) {
        names.push("bank");
    }
    names.dedup();
    names
}

fn step() -> impl Strategy<Value = Step> {
    let consents = prop::collection::vec(name(), 0..3);
    prop_oneof![
        12 => (name(), operation(), consents).prop_map(|(n, o, c)| Step::Ask(n, o, c)),
        12 => operation().prop_map(|o| match named(&o).split_first() {
            Some((first, rest)) => Step::Ask(first, o.clone(), rest[..rest.len().min(2)].to_vec()),
            None => Step::Ask("operator", o, vec![]),
        }),
        1 => (name(), operation(), any::<u8>()).prop_map(|(n, o, b)| Step::Forge(n, o, b)),
        1 => (name(), prop::collection::vec(any::<u8>(), 0..60)).prop_map(|(n, b)| Step::Noise(n, b)),
        1 => (name(), operation(), any::<u64>()).prop_map(|(n, o, s)| Step::Replay(n, o, s)),
        1 => prop_oneof![Just(1), Just(EXPIRY_MS - START_MS)].prop_map(Step::Wait),
    ]
}

fn run(steps: &[Step], per_block: usize) -> Bench {
    let mut bench = Bench::new();
    let mut books = Books::of(&bench.ledger);
    for chunk in steps.chunks(per_block) {
        let mut sequences = std::collections::BTreeMap::new();
        let mut next = |bench: &Bench, name: &'static str| {
            let next = sequences
                .entry(name)
                .or_insert_with(|| bench.sequence(name));
            *next += 1;
            *next - 1
        };
        let mut requests = Vec::new();
        for step in chunk {
            match step {
                Step::Ask(carrier, operation, consents) => {
                    let asked = Asked {
                        carrier,
                        operation: operation.clone(),
                        consents,
                    };
                    requests.push(bench.request(&asked, next(&bench, carrier)));
                }
                Step::Forge(carrier, operation, byte) => {
                    let consent = Consent {
                        key: public(named(operation).first().unwrap_or(carrier)),
                        signature: SignatureBytes([*byte; 64]),
                    };
                    let body = Body {
                        operation: operation.clone(),
                        consents: vec![consent],
                    };
                    let sequence = next(&bench, carrier);
                    requests.push(bench.raw(client(carrier), sequence, body.to_bytes()));
                }
                Step::Noise(carrier, bytes) => {
                    let sequence = next(&bench, carrier);
                    requests.push(bench.raw(client(carrier), sequence, bytes.clone()));
                }
                Step::Replay(carrier, operation, sequence) => {
                    let asked = Asked {
                        carrier,
                        operation: operation.clone(),
                        consents: &[],
                    };
                    requests.push(bench.request(&asked, *sequence));
                }
                Step::Wait(ms) => {
                    bench.header.time = bench.header.time.checked_add_ms(*ms).unwrap();
                }
            }
        }
        let (_, payload, applied) = bench.block(requests); // audits
        books
            .book(&payload, &applied.outcomes, &bench.ledger)
            .expect("units are conserved");
    }
    bench
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_anybody_asks_for_makes_or_loses_a_unit(
        steps in prop::collection::vec(step(), 1..120),
        per_block in 1usize..12,
    ) {
        let bench = run(&steps, per_block);
        // The tree that grew with the blocks is the tree of the entries, built at once.
        let mut rebuilt = Ledger::default();
        rebuilt.restore(&bench.ledger.snapshot()).expect("our own bytes");
        prop_assert_eq!(rebuilt.root(), bench.ledger.root());
    }
}

/// The generator's traffic keeps the books, exercises every operation, and is the same again.
#[test]
fn a_scenario_keeps_the_books() {
    let mut books = Books::default();
    for seed in 0..4 {
        let scenario = Scenario::new(seed, 12, time(START_MS + 2_000));
        let requests = scenario.requests(super::bench::CHAIN, time(START_MS), 1_500);
        let again = scenario.requests(super::bench::CHAIN, time(START_MS), 1_500);
        assert_eq!(requests, again);
        let mut bench = Bench::of(scenario.genesis().ledger().unwrap());
        let (done, refused) = (books.done, books.refused);
        books = Books::of(&bench.ledger);
        (books.done, books.refused) = (done, refused);
        for chunk in requests.signed(&super::bench::CHAIN).unwrap().chunks(50) {
            let (_, payload, applied) = bench.block(chunk.to_vec());
            books
                .book(&payload, &applied.outcomes, &bench.ledger)
                .unwrap();
            bench.header.time = bench.header.time.checked_add_ms(49).unwrap();
        }
    }
    let done: usize = books.done.values().sum();
    let refused: usize = books.refused.values().sum();
    assert_eq!(done + refused, 4 * 1_500);
    assert!(done > 2 * refused, "{:?} {:?}", books.done, books.refused);
    let words = [
        "settle", "transfer", "write", "exercise", "close", "issue", "redeem", "define", "expire",
    ];
    for word in words {
        assert!(
            books.done.get(word).is_some_and(|n| *n > 5),
            "{word}: {:?}",
            books.done
        );
    }
    for word in [
        "short",
        "unauthorised",
        "consent-unneeded",
        "late",
        "expired",
        "zero",
    ] {
        assert!(
            books.refused.contains_key(word),
            "{word}: {:?}",
            books.refused
        );
    }
}

/// An audit that could not fail would be worth nothing.
#[test]
fn the_books_see_a_unit_that_appears() {
    let mut bench = Bench::new();
    let mut books = Books::of(&bench.ledger);
    let (_, payload, applied) = bench.block(vec![]);
    let more = Genesis {
        holdings: genesis().holdings[1..].to_vec(),
        ..genesis()
    };
    let poorer = more.ledger().unwrap();
    let error = books
        .book(&payload, &applied.outcomes, &poorer)
        .expect_err("a million less");
    assert!(error.contains("EUR"), "{error}");
    let mut rng = Rng::new(1, 1);
    let scenario = Scenario::new(1, 2, time(EXPIRY_MS));
    let ledger = scenario.genesis().ledger().unwrap();
    let proposal = scenario.propose(&ledger, scenario.traders()[0], time(START_MS), &mut rng);
    assert!(proposal.consents.len() <= 2);
    let _ = KeyBytes([0; 32]);
}
