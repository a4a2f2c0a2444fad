//! Request files, from operations to signed requests.

use quorate_node::app::{RequestError, Requests};
use quorate_verifier::file::FileType;
use quorate_verifier::primitives::Digest;
use quorate_verifier::signature::VoteKey;

use super::bench::{Bench, CHAIN, key, public, trade, transfer};

fn drafted() -> Requests {
    let mut file = Requests::of([
        trade("ACME", 1, "alice", "bob", 10),
        transfer("EUR", "alice", "carol", 5),
    ]);
    file.bind(CHAIN).unwrap();
    file.assign(&VoteKey::from_bytes(&public("alice").0).unwrap(), 1)
        .unwrap();
    file
}

fn is_trade(_: usize, draft: &quorate_node::app::Draft) -> bool {
    draft.operation.word() == "settle"
}

#[test]
fn a_file_is_written_by_people_signed_by_both_and_executed() {
    let text = r#"{
        "type": "quorate/requests/v1",
        "requests": [
            {"operation": {"settle": {
                "instrument": "ACME", "quantity": "1", "seller": "alice", "buyer": "bob",
                "currency": "EUR", "cash": "10", "valid_until": "2027-01-15T08:16:40Z"}}},
            {"operation": {"transfer": {"instrument": "EUR", "from": "alice", "to": "carol", "amount": "5"}}}
        ]
    }"#;
    let file = Requests::from_file(text.as_bytes()).expect("as in the documentation");
    assert_eq!(file.requests, drafted_operations());
    let mut file = drafted();
    assert_eq!(file.consent(&key("bob"), is_trade), Ok(1));
    assert_eq!(file.sign(&key("alice")), Ok(2));
    // Through its file, in both forms.
    for bytes in [file.to_file(), file.to_json().into_bytes()] {
        assert_eq!(Requests::from_file(&bytes), Ok(file.clone()));
    }
    let requests = file.signed(&CHAIN).expect("all is there");
    let mut bench = Bench::new();
    bench.block(requests);
    assert_eq!(bench.has("bob", "ACME"), (10_001, 0, 0));
    assert_eq!(bench.has("carol", "EUR"), (1_000_005, 0, 0));
}

fn drafted_operations() -> Vec<quorate_node::app::Draft> {
    Requests::of([
        trade("ACME", 1, "alice", "bob", 10),
        transfer("EUR", "alice", "carol", 5),
    ])
    .requests
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let missing = |index, what| RequestError::Missing { index, what };
    let mut file = Requests::of([transfer("EUR", "alice", "bob", 1)]);
    assert_eq!(file.signed(&CHAIN), Err(RequestError::NoChain));
    assert_eq!(file.sign(&key("alice")), Err(RequestError::NoChain));
    file.bind(CHAIN).unwrap();
    assert!(matches!(
        file.bind(Digest::ZERO),
        Err(RequestError::OtherChain { .. })
    ));
    assert_eq!(file.signed(&CHAIN), Err(missing(0, "client")));
    assert_eq!(
        file.consent(&key("bob"), |_, _| true),
        Err(missing(0, "client"))
    );

    let mut file = drafted();
    assert_eq!(
        file.signed(&CHAIN),
        Err(missing(0, "signature of its client"))
    );
    assert_eq!(file.sign(&key("bob")), Ok(0), "not bob's to sign");
    file.sign(&key("alice")).unwrap();
    assert!(matches!(
        file.signed(&Digest::ZERO),
        Err(RequestError::OtherChain { .. })
    ));
    // A consent after the signature would not be covered by it.
    assert_eq!(
        file.consent(&key("bob"), is_trade),
        Err(RequestError::Signed(0))
    );

    let mut edited = file.clone();
    edited.requests[1].operation = transfer("EUR", "alice", "carol", 50);
    let error = edited
        .signed(&CHAIN)
        .expect_err("edited after it was signed");
    assert_eq!(
        error,
        RequestError::Signature {
            index: 1,
            whose: "client's"
        }
    );

    let mut file = drafted();
    file.consent(&key("bob"), is_trade).unwrap();
    file.requests[0].operation = trade("ACME", 1, "alice", "bob", 9);
    file.sign(&key("alice")).unwrap();
    let error = file
        .signed(&CHAIN)
        .expect_err("bob consented to another price");
    assert_eq!(
        error,
        RequestError::Signature {
            index: 0,
            whose: "consent's"
        }
    );
}

#[test]
fn consents_are_replaced_and_bounded() {
    let mut file = drafted();
    file.consent(&key("bob"), is_trade).unwrap();
    file.consent(&key("bob"), is_trade).unwrap();
    assert_eq!(file.requests[0].consents.len(), 1);
    file.consent(&key("carol"), is_trade).unwrap();
    let before = file.clone();
    assert_eq!(
        file.consent(&key("dave"), is_trade),
        Err(RequestError::TooManyConsents(0))
    );
    assert_eq!(file, before);
}

#[test]
fn a_file_of_too_many_requests_is_refused() {
    let one = r#"{"operation":{"expire":{"instrument":"X"}}}"#;
    let text = |count: usize| {
        let list = vec![one; count].join(",");
        format!(r#"{{"type":"quorate/requests/v1","requests":[{list}]}}"#)
    };
    let most = quorate_node::app::REQUESTS_MAX;
    let file = Requests::from_file(text(most).as_bytes()).expect("as many as there may be");
    assert_eq!(Requests::from_file(&file.to_file()), Ok(file));
    let error = Requests::from_file(text(most + 1).as_bytes()).expect_err("one more");
    assert!(error.to_string().contains("65535"), "{error}");
}
