//! Every operation, and every reason for a refusal.

use std::collections::BTreeSet;

use quorate_node::app::{
    AMOUNT_LIMIT, Approval, Assignment, Effect, Executed, GenesisAccount, HOLDERS_MAX, KeyBytes,
    Kind, Operation, OptionTerms, Outcome, Reason, Rejection, Right, SignatureBytes, Trade,
};
use quorate_pbft::app::App;
use quorate_verifier::encoding::Canonical;

use super::bench::{
    Asked, Bench, EXPIRY_MS, account, amount, client, exercise, instrument, key, public, time,
    trade, transfer, write,
};

const AS_ASKED: Executed = Executed::Done(Effect::AsAsked);

fn reason(executed: &Executed) -> Reason {
    match executed {
        Executed::Refused(rejection) => rejection.reason,
        Executed::Done(effect) => panic!("done: {effect:?}"),
    }
}

#[test]
fn a_trade_settles_both_legs_or_none() {
    let mut bench = Bench::new();
    let settled = bench.ask("alice", trade("ACME", 100, "alice", "bob", 5_000), &["bob"]);
    assert_eq!(settled, AS_ASKED);
    assert_eq!(bench.has("alice", "ACME"), (9_900, 0, 0));
    assert_eq!(bench.has("bob", "ACME"), (10_100, 0, 0));
    assert_eq!(bench.has("alice", "EUR"), (1_005_000, 0, 0));
    assert_eq!(bench.has("bob", "EUR"), (995_000, 0, 0));

    // The seller is short: nothing moves.
    let short = bench.ask("bob", trade("ACME", 9_901, "alice", "bob", 1), &["alice"]);
    let Executed::Refused(rejection) = short else {
        panic!("{short:?}")
    };
    let expected = Rejection::new(Reason::Short)
        .account(account("alice"))
        .instrument(instrument("ACME"))
        .figures(9_901, 9_900);
    assert_eq!(rejection, expected);
    // The buyer is short: the delivery that came first is undone.
    let short = bench.ask("bob", trade("ACME", 1, "alice", "bob", 995_001), &["alice"]);
    assert_eq!(reason(&short), Reason::Short);
    assert_eq!(bench.has("alice", "ACME"), (9_900, 0, 0));
    assert_eq!(bench.has("bob", "ACME"), (10_100, 0, 0));
}

#[test]
fn a_broker_carries_what_both_sides_signed() {
    let mut bench = Bench::new();
    let settled = bench.ask(
        "carol",
        trade("ACME", 1, "alice", "bob", 1),
        &["alice", "bob"],
    );
    assert_eq!(settled, AS_ASKED);
    let lacking = bench.ask("carol", trade("ACME", 1, "alice", "bob", 1), &["alice"]);
    assert_eq!(reason(&lacking), Reason::Unauthorised);
}

#[test]
fn a_call_is_written_sold_and_exercised() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.ask("alice", write("alice", "ACME-C", 10), &[]),
        AS_ASKED
    );
    assert_eq!(bench.has("alice", "ACME"), (9_000, 1_000, 0));
    assert_eq!(bench.has("alice", "ACME-C"), (10, 0, 10));
    let sold = bench.ask("bob", trade("ACME-C", 4, "alice", "bob", 800), &["alice"]);
    assert_eq!(sold, AS_ASKED);
    let exercised = bench.ask("bob", exercise("bob", "ACME-C", 3), &[]);
    let assigned = vec![Assignment {
        writer: account("alice"),
        quantity: amount(3),
    }];
    assert_eq!(exercised, Executed::Done(Effect::Assigned(assigned)));
    // 3 contracts of 100 shares at 50: 300 shares for 15,000.
    assert_eq!(bench.has("bob", "ACME"), (10_300, 0, 0));
    assert_eq!(bench.has("bob", "EUR"), (1_000_000 - 800 - 15_000, 0, 0));
    assert_eq!(bench.has("alice", "ACME"), (9_000, 700, 0));
    assert_eq!(bench.has("alice", "EUR"), (1_000_000 + 800 + 15_000, 0, 0));
    assert_eq!(bench.has("bob", "ACME-C"), (1, 0, 0));
    assert_eq!(bench.has("alice", "ACME-C"), (6, 0, 7));
    // What alice still holds she may close, and has her cover back.
    let close = |quantity| Operation::Close {
        account: account("alice"),
        instrument: instrument("ACME-C"),
        quantity: amount(quantity),
    };
    assert_eq!(bench.ask("alice", close(6), &[]), AS_ASKED);
    assert_eq!(bench.has("alice", "ACME"), (9_600, 100, 0));
    assert_eq!(reason(&bench.ask("alice", close(1), &[])), Reason::Short);
}

#[test]
fn a_put_pays_the_strike_for_the_underlying() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.ask("alice", write("alice", "ACME-P", 2), &[]),
        AS_ASKED
    );
    assert_eq!(bench.has("alice", "EUR"), (990_000, 10_000, 0));
    let moved = bench.ask("alice", transfer("ACME-P", "alice", "bob", 2), &[]);
    assert_eq!(moved, AS_ASKED);
    let exercised = bench.ask("bob", exercise("bob", "ACME-P", 1), &[]);
    assert!(matches!(exercised, Executed::Done(Effect::Assigned(_))));
    assert_eq!(bench.has("bob", "EUR"), (1_005_000, 0, 0));
    assert_eq!(bench.has("bob", "ACME"), (9_900, 0, 0));
    assert_eq!(bench.has("alice", "EUR"), (990_000, 5_000, 0));
    assert_eq!(bench.has("alice", "ACME"), (10_100, 0, 0));
}

#[test]
fn writers_are_assigned_in_turn() {
    let mut bench = Bench::new();
    for name in ["alice", "bob", "carol"] {
        bench.ask(name, write(name, "ACME-C", 3), &[]);
    }
    for name in ["alice", "bob"] {
        bench.ask(name, transfer("ACME-C", name, "carol", 3), &[]);
    }
    let mut assigned =
        |quantity| match bench.ask("carol", exercise("carol", "ACME-C", quantity), &[]) {
            Executed::Done(Effect::Assigned(writers)) => writers
                .iter()
                .map(|a| (a.writer.as_str().to_string(), a.quantity.get()))
                .collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
    let pair = |name: &str, quantity| (name.to_string(), quantity);
    assert_eq!(assigned(1), [pair("alice", 1)]);
    assert_eq!(assigned(4), [pair("bob", 3), pair("carol", 1)]);
    assert_eq!(assigned(2), [pair("alice", 2)]);
    assert_eq!(assigned(2), [pair("carol", 2)]);
    assert_eq!(bench.has("carol", "ACME-C"), (0, 0, 0));
}

#[test]
fn a_series_ends_at_its_expiry_for_everybody_at_once() {
    let mut bench = Bench::new();
    bench.ask("alice", write("alice", "ACME-C", 5), &[]);
    bench.ask("bob", write("bob", "ACME-C", 2), &[]);
    bench.ask("alice", transfer("ACME-C", "alice", "carol", 5), &[]);
    let expire = Operation::Expire {
        instrument: instrument("ACME-C"),
    };
    let early = bench.ask("carol", expire.clone(), &[]);
    assert_eq!(reason(&early), Reason::NotExpired);
    bench.header.time = time(EXPIRY_MS);
    for late in [
        exercise("carol", "ACME-C", 1),
        transfer("ACME-C", "carol", "bob", 1),
        write("carol", "ACME-C", 1),
    ] {
        assert_eq!(reason(&bench.ask("carol", late, &[])), Reason::Expired);
    }
    let ended = bench.ask("carol", expire.clone(), &[]);
    assert_eq!(ended, Executed::Done(Effect::Expired(amount(7))));
    for name in ["alice", "bob", "carol"] {
        assert_eq!(bench.has(name, "ACME-C"), (0, 0, 0));
        assert_eq!(bench.has(name, "ACME"), (10_000, 0, 0));
    }
    assert_eq!(reason(&bench.ask("carol", expire, &[])), Reason::Ended);
}

#[test]
fn a_key_that_comes_back_goes_on_from_its_last_sequence() {
    let mut bench = Bench::new();
    let add = |name: &str| Operation::AddKey {
        account: account("alice"),
        key: public(name),
    };
    let remove = |name: &str| Operation::RemoveKey {
        account: account("alice"),
        key: public(name),
    };
    assert_eq!(bench.ask("alice", add("alice-2"), &[]), AS_ASKED);
    assert_eq!(
        bench.ask("alice-2", transfer("EUR", "alice", "bob", 1), &[]),
        AS_ASKED
    );
    assert_eq!(bench.ask("operator", remove("alice-2"), &[]), AS_ASKED);
    assert!(bench.ledger.client(&client("alice-2")).is_none());
    assert_eq!(bench.ask("operator", add("alice-2"), &[]), AS_ASKED);
    let client = bench.ledger.client(&client("alice-2")).unwrap();
    assert_eq!(client.sequence, 1, "the old request cannot be sent again");
    // A stranger adds no key to somebody else's account.
    assert_eq!(
        reason(&bench.ask("bob", add("bob-2"), &[])),
        Reason::Unauthorised
    );
}

#[test]
fn a_change_is_handed_on_once_a_block_and_by_the_operator_alone() {
    let mut bench = Bench::new();
    let change = Operation::Change {
        validators: Some(bench.header.validators),
        parameters: None,
        approvals: vec![Approval {
            validator: 2,
            signature: SignatureBytes([9; 64]),
        }],
    };
    let ask = |carrier, operation: &Operation| Asked {
        carrier,
        operation: operation.clone(),
        consents: &[],
    };
    let requests = [1, 2].map(|n| bench.request(&ask("operator", &change), n));
    let (_, payload, applied) = bench.block(requests.to_vec());
    let handed = applied.change.expect("the first one");
    assert_eq!(handed.client, payload.requests[0].client);
    assert_eq!(handed.sequence, 1);
    assert_eq!(handed.validators, Some(bench.header.validators));
    assert_eq!(handed.approvals.len(), 1);
    let results: Vec<_> = applied
        .outcomes
        .iter()
        .map(|leaf| Outcome::from_leaf(leaf).unwrap().result)
        .collect();
    assert_eq!(results[0], Executed::Done(Effect::HandedOn));
    assert_eq!(reason(&results[1]), Reason::SecondChange);

    let request = bench.request(&ask("alice", &change), 1);
    let (_, _, applied) = bench.block(vec![request]);
    assert_eq!(applied.change, None);
    let empty = Operation::Change {
        validators: None,
        parameters: None,
        approvals: vec![],
    };
    assert_eq!(
        reason(&bench.ask("operator", empty, &[])),
        Reason::EmptyChange
    );
}

fn issue(units: u64) -> Operation {
    Operation::Issue {
        instrument: instrument("USD"),
        account: account("alice"),
        amount: amount(units),
    }
}

fn redeem(units: u64) -> Operation {
    Operation::Redeem {
        instrument: instrument("USD"),
        account: account("alice"),
        amount: amount(units),
    }
}

#[test]
fn money_is_issued_and_taken_back_by_its_issuer() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask("bank", issue(500), &[]), AS_ASKED);
    assert_eq!(bench.has("alice", "USD"), (500, 0, 0));
    assert_eq!(
        reason(&bench.ask("alice", issue(1), &[])),
        Reason::Unauthorised
    );
    // Taking back needs both.
    assert_eq!(
        reason(&bench.ask("bank", redeem(1), &[])),
        Reason::Unauthorised
    );
    assert_eq!(bench.ask("bank", redeem(200), &["alice"]), AS_ASKED);
    assert_eq!(bench.ask("alice", redeem(200), &["bank"]), AS_ASKED);
    let short = bench.ask("bank", redeem(101), &["alice"]);
    assert_eq!(reason(&short), Reason::Short);
    let supply = bench.ledger.instrument(instrument("USD")).unwrap().supply;
    assert_eq!(supply.get(), 100);
}

/// Operations that are refused, with their reason, on a fresh bench.
fn refused() -> Vec<(Reason, &'static str, Operation, &'static [&'static str])> {
    let most = AMOUNT_LIMIT - 1;
    let open = |name: &str, keys: Vec<KeyBytes>| Operation::OpenAccount {
        account: account(name),
        keys,
    };
    let define = |name: &str, kind| Operation::Define {
        instrument: instrument(name),
        kind,
    };
    let option = |underlying: &str, currency: &str, strike, lot, expiry| {
        Kind::Option(OptionTerms {
            right: Right::Call,
            underlying: instrument(underlying),
            currency: instrument(currency),
            strike: amount(strike),
            lot: amount(lot),
            expiry: time(expiry),
        })
    };
    let keys = |count: u8| (0..count).map(|i| public(&format!("k{i}"))).collect();
    let key_of = |name: &str, key| Operation::AddKey {
        account: account(name),
        key,
    };
    let drop_key = |name: &str, key: &str| Operation::RemoveKey {
        account: account(name),
        key: public(key),
    };
    let issuer = account("bank");
    let decimals = 19;
    let late = |valid_until| {
        Operation::Settle(Trade {
            instrument: instrument("ACME"),
            quantity: amount(1),
            seller: account("alice"),
            buyer: account("bob"),
            currency: instrument("EUR"),
            cash: amount(1),
            valid_until: time(valid_until),
        })
    };
    use Reason::*;
    vec![
        (
            Unauthorised,
            "alice",
            transfer("EUR", "bob", "alice", 1),
            &[],
        ),
        (Unauthorised, "alice", open("dave", keys(1)), &[]),
        (
            Unauthorised,
            "alice",
            define(
                "X",
                Kind::Money {
                    issuer,
                    decimals: 0,
                },
            ),
            &[],
        ),
        (
            ConsentUnneeded,
            "alice",
            transfer("EUR", "alice", "bob", 1),
            &["bob"],
        ),
        (
            ConsentUnneeded,
            "alice",
            transfer("EUR", "bob", "alice", 1),
            &["bob", "bob"],
        ),
        (
            ConsentUnneeded,
            "alice",
            transfer("EUR", "bob", "alice", 1),
            &["stranger"],
        ),
        (
            ConsentUnneeded,
            "alice",
            transfer("EUR", "alice", "bob", 1),
            &["alice"],
        ),
        (
            UnknownAccount,
            "alice",
            transfer("EUR", "alice", "dave", 1),
            &[],
        ),
        (
            UnknownAccount,
            "operator",
            key_of("dave", public("k0")),
            &[],
        ),
        (
            UnknownInstrument,
            "alice",
            transfer("XYZ", "alice", "bob", 1),
            &[],
        ),
        (UnknownInstrument, "bank", exercise("bank", "XYZ", 1), &[]),
        (AccountExists, "operator", open("bob", keys(1)), &[]),
        (
            InstrumentExists,
            "operator",
            define(
                "EUR",
                Kind::Money {
                    issuer,
                    decimals: 2,
                },
            ),
            &[],
        ),
        (
            KeyInvalid,
            "operator",
            open("dave", vec![KeyBytes([0; 32])]),
            &[],
        ),
        (
            KeyInvalid,
            "alice",
            key_of("alice", KeyBytes([0xff; 32])),
            &[],
        ),
        (KeyTaken, "operator", open("dave", vec![public("bob")]), &[]),
        (KeyTaken, "alice", key_of("alice", public("alice")), &[]),
        (KeyUnknown, "alice", drop_key("alice", "bob"), &[]),
        (LastKey, "alice", drop_key("alice", "alice"), &[]),
        (LastKey, "operator", open("dave", vec![]), &[]),
        (
            WrongKind,
            "bank",
            Operation::Issue {
                instrument: instrument("ACME-C"),
                account: account("alice"),
                amount: amount(1),
            },
            &[],
        ),
        (WrongKind, "alice", write("alice", "ACME", 1), &[]),
        (WrongKind, "alice", exercise("alice", "EUR", 1), &[]),
        (
            WrongKind,
            "alice",
            Operation::Expire {
                instrument: instrument("EUR"),
            },
            &[],
        ),
        (
            WrongKind,
            "alice",
            trade("EUR", 1, "alice", "bob", 1),
            &["bob"],
        ),
        (
            WrongKind,
            "operator",
            define("X", option("EUR", "EUR", 1, 1, EXPIRY_MS)),
            &[],
        ),
        (
            WrongKind,
            "operator",
            define("X", option("ACME", "ACME", 1, 1, EXPIRY_MS)),
            &[],
        ),
        (Zero, "alice", transfer("EUR", "alice", "bob", 0), &[]),
        (Zero, "alice", trade("ACME", 1, "alice", "bob", 0), &["bob"]),
        (Zero, "alice", trade("ACME", 0, "alice", "bob", 1), &["bob"]),
        (Zero, "alice", write("alice", "ACME-C", 0), &[]),
        (
            Zero,
            "operator",
            define("X", option("ACME", "EUR", 0, 1, EXPIRY_MS)),
            &[],
        ),
        (
            Zero,
            "operator",
            define("X", option("ACME", "EUR", 1, 0, EXPIRY_MS)),
            &[],
        ),
        (
            Overflow,
            "operator",
            define("X", option("ACME", "EUR", most, 2, EXPIRY_MS)),
            &[],
        ),
        (Overflow, "alice", write("alice", "ACME-C", most), &[]),
        (Overflow, "alice", write("alice", "ACME-P", most), &[]),
        (
            Overflow,
            "bank",
            Operation::Issue {
                instrument: instrument("EUR"),
                account: account("alice"),
                amount: amount(most),
            },
            &[],
        ),
        (
            Short,
            "alice",
            transfer("EUR", "alice", "bob", 1_000_001),
            &[],
        ),
        (Short, "alice", write("alice", "ACME-C", 101), &[]),
        (Short, "alice", exercise("alice", "ACME-C", 1), &[]),
        (
            SameAccount,
            "alice",
            transfer("EUR", "alice", "alice", 1),
            &[],
        ),
        (
            SameAccount,
            "alice",
            trade("ACME", 1, "alice", "alice", 1),
            &[],
        ),
        (Late, "alice", late(0), &["bob"]),
        (
            Expired,
            "operator",
            define("X", option("ACME", "EUR", 1, 1, 5)),
            &[],
        ),
        (
            Decimals,
            "operator",
            define("X", Kind::Asset { issuer, decimals }),
            &[],
        ),
    ]
}

#[test]
fn every_refusal_has_its_reason_and_leaves_nothing_but_the_sequence() {
    let mut seen = BTreeSet::new();
    for (expected, carrier, operation, consents) in refused() {
        let mut bench = Bench::new();
        let before: Vec<_> = bench.ledger.entries().cloned().collect();
        let executed = bench.ask(carrier, operation.clone(), consents);
        assert_eq!(reason(&executed), expected, "{operation:?}: {executed:?}");
        let changed = bench
            .ledger
            .entries()
            .zip(&before)
            .filter(|(now, then)| now != then);
        assert_eq!(
            changed.count(),
            2,
            "the chain's digest and the client's sequence"
        );
        assert_eq!(bench.ledger.entries().count(), before.len());
        seen.insert(expected);
    }
    // Those that a single operation on a fresh bench cannot bring about have tests of their own:
    // the two bounds of the state by size, and the others by name.
    let elsewhere = [
        Reason::Malformed,
        Reason::UnknownClient,
        Reason::Replayed,
        Reason::ConsentSignature,
        Reason::TooManyKeys,
        Reason::NotExpired,
        Reason::Ended,
        Reason::SecondChange,
        Reason::EmptyChange,
        Reason::TooManyHolders,
        Reason::StateFull,
    ];
    let missing: Vec<_> = Reason::ALL.iter().filter(|r| !seen.contains(r)).collect();
    assert_eq!(missing, elsewhere.iter().collect::<Vec<_>>());
}

#[test]
fn strangers_replays_and_gaps_change_nothing_at_all() {
    let mut bench = Bench::new();
    bench.ask("alice", transfer("EUR", "alice", "bob", 1), &[]);
    let asked = |carrier| Asked {
        carrier,
        operation: transfer("EUR", "alice", "bob", 1),
        consents: &[],
    };
    let root = bench.ledger.root();
    let requests = vec![
        bench.request(&asked("stranger"), 1),
        bench.request(&asked("alice"), 1),
        bench.request(&asked("alice"), 3),
        bench.request(&asked("alice"), u64::MAX),
        bench.request(&asked("alice"), 0),
    ];
    let (_, _, applied) = bench.block(requests);
    let reasons: Vec<_> = applied
        .outcomes
        .iter()
        .map(|leaf| reason(&Outcome::from_leaf(leaf).unwrap().result))
        .collect();
    assert_eq!(reasons[0], Reason::UnknownClient);
    assert!(reasons[1..].iter().all(|r| *r == Reason::Replayed));
    assert_eq!(bench.ledger.root(), root);
}

#[test]
fn a_body_that_does_not_decode_is_not_admitted_and_costs_its_sequence() {
    let mut bench = Bench::new();
    let good = bench.request(
        &Asked {
            carrier: "alice",
            operation: transfer("EUR", "alice", "bob", 1),
            consents: &[],
        },
        1,
    );
    assert_eq!(bench.ledger.admit(&good), Ok(()));
    let mut body = good.body.clone();
    body.push(0);
    let bad = bench.raw(client("alice"), 1, body);
    let refused = bench.ledger.admit(&bad).expect_err("one byte follows");
    assert!(refused.starts_with("malformed: "), "{refused}");
    let (_, _, applied) = bench.block(vec![bad]);
    let outcome = Outcome::from_leaf(&applied.outcomes[0]).unwrap();
    assert_eq!(reason(&outcome.result), Reason::Malformed);
    assert_eq!(bench.sequence("alice"), 2);
}

#[test]
fn a_consent_holds_for_one_request_of_one_chain_only() {
    let operation = trade("ACME", 1, "alice", "bob", 10);
    let bench = Bench::new();
    let asked = Asked {
        carrier: "alice",
        operation: operation.clone(),
        consents: &["bob"],
    };
    let first = bench.request(&asked, 1);
    let run = |bench: &mut Bench, request| {
        let (_, _, applied) = bench.block(vec![request]);
        Outcome::from_leaf(&applied.outcomes[0]).unwrap().result
    };
    // The same consent under the next sequence.
    let mut again = bench.clone();
    assert_eq!(run(&mut again, first.clone()), AS_ASKED);
    let replayed = bench.raw(client("alice"), 2, first.body.clone());
    assert_eq!(reason(&run(&mut again, replayed)), Reason::ConsentSignature);
    // Carried by somebody else.
    let mut stolen = bench.clone();
    let by_bank = bench.raw(client("bank"), 1, first.body.clone());
    assert_eq!(reason(&run(&mut stolen, by_bank)), Reason::ConsentSignature);
    // On another chain.
    let mut elsewhere = bench.clone();
    elsewhere.header.parent = quorate_verifier::primitives::Digest::from_bytes([1; 32]);
    assert_eq!(
        reason(&run(&mut elsewhere, first.clone())),
        Reason::ConsentSignature
    );
    // For another operation.
    let mut other = bench.clone();
    let mut body = quorate_node::app::Body::from_bytes(&first.body).unwrap();
    body.operation = trade("ACME", 1, "alice", "bob", 9);
    let edited = bench.raw(client("alice"), 1, body.to_bytes());
    assert_eq!(reason(&run(&mut other, edited)), Reason::ConsentSignature);
}

#[test]
fn a_series_has_a_bounded_number_of_holders() {
    let mut genesis = super::bench::genesis();
    for i in 0..HOLDERS_MAX {
        let name = format!("t{i}");
        genesis.accounts.push(GenesisAccount {
            account: account(&name),
            keys: vec![public(&name)],
        });
    }
    let mut bench = Bench::of(genesis.ledger().unwrap());
    let room = HOLDERS_MAX as u64 - 1; // the writer is one
    bench.ask("alice", transfer("ACME", "alice", "bob", 1), &[]);
    let issue = Operation::Issue {
        instrument: instrument("ACME"),
        account: account("alice"),
        amount: amount(1_000_000),
    };
    assert_eq!(bench.ask("bank", issue, &[]), AS_ASKED);
    assert_eq!(
        bench.ask("alice", write("alice", "ACME-C", room + 1), &[]),
        AS_ASKED
    );
    let first = bench.sequence("alice");
    let names: Vec<_> = (0..HOLDERS_MAX).map(|i| format!("t{i}")).collect();
    let requests = (first..).zip(&names).map(|(sequence, name)| {
        let asked = Asked {
            carrier: "alice",
            operation: transfer("ACME-C", "alice", name, 1),
            consents: &[],
        };
        bench.request(&asked, sequence)
    });
    let (_, _, applied) = bench.block(requests.collect());
    let results: Vec<_> = applied
        .outcomes
        .iter()
        .map(|leaf| Outcome::from_leaf(leaf).unwrap().result)
        .collect();
    let (last, others) = results.split_last().unwrap();
    assert!(others.iter().all(|result| *result == AS_ASKED));
    assert_eq!(reason(last), Reason::TooManyHolders);
    // A holder may get more; and the end of the series frees everybody's room at once.
    assert_eq!(
        bench.ask("alice", transfer("ACME-C", "alice", "t0", 1), &[]),
        AS_ASKED
    );
    bench.header.time = time(EXPIRY_MS);
    let expire = Operation::Expire {
        instrument: instrument("ACME-C"),
    };
    let ended = bench.ask("t1", expire, &[]);
    assert_eq!(ended, Executed::Done(Effect::Expired(amount(room + 1))));
    assert_eq!(bench.has("t0", "ACME-C"), (0, 0, 0));
}

#[test]
fn an_account_has_eight_keys_at_most() {
    let mut bench = Bench::new();
    let add = |i: u8| Operation::AddKey {
        account: account("alice"),
        key: public(&format!("k{i}")),
    };
    for i in 0..7 {
        assert_eq!(bench.ask("alice", add(i), &[]), AS_ASKED);
    }
    assert_eq!(
        reason(&bench.ask("alice", add(7), &[])),
        Reason::TooManyKeys
    );
    let _ = key("alice");
}
