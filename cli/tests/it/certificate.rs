//! `quorate certificate check`: every verdict, and what it says was and was not checked.

use quorate_fixtures::Network;
use quorate_fixtures::vectors::{example, example_anchor, example_block};
use quorate_verifier::certificate::{CommitCertificate, CommitVote, SignedHeader};
use quorate_verifier::file::FileType;
use quorate_verifier::primitives::{Digest, View};
use serde_json::Value;

use crate::support::Sandbox;

/// A network, and its set and anchor in files.
struct Case {
    sandbox: Sandbox,
    network: Network,
}

impl Case {
    /// Five validators with powers 40, 30, 20, 9 and 1.
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("set", example().set.to_file());
        sandbox.write("anchor", example_anchor().to_json());
        Self {
            sandbox,
            network: example(),
        }
    }

    fn check(&self, signed: &SignedHeader, options: &str) -> Value {
        let line = format!("certificate check signed --set set {options}");
        self.sandbox.write("signed", signed.to_file());
        let binary = self.sandbox.json(&line);
        self.sandbox.write("signed", signed.to_json());
        assert_eq!(
            binary,
            self.sandbox.json(&line),
            "the form of a file changes nothing"
        );
        binary
    }

    fn signed_by(&self, signers: &[u16]) -> SignedHeader {
        let header = self.network.child(&self.network.genesis_header());
        self.network.finalize(header, View::FIRST, signers)
    }

    fn chain(&self) -> String {
        format!("--chain {}", self.network.genesis_header().chain_id)
    }
}

fn statuses(answer: &Value) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().unwrap().to_string();
    let checks = answer["checks"].as_array().unwrap().iter();
    checks
        .map(|check| (word(&check["name"]), word(&check["status"])))
        .collect()
}

/// The verdict, and the checks that failed.
fn judged(answer: &Value) -> (String, Vec<String>) {
    let verdict = answer["verdict"].as_str().unwrap().to_string();
    let failed = statuses(answer)
        .into_iter()
        .filter(|(_, status)| status == "fail");
    (verdict, failed.map(|(name, _)| name).collect())
}

fn expect(answer: &Value, verdict: &str, failed: &[&str]) {
    let failed: Vec<String> = failed.iter().map(ToString::to_string).collect();
    assert_eq!(judged(answer), (verdict.to_string(), failed), "{answer}");
}

#[test]
fn a_quorum_is_final() {
    let case = Case::new();
    let answer = case.check(&example_block(), "--anchor anchor");
    expect(&answer, "final", &[]);
    assert_eq!(statuses(&answer).len(), 7);
    assert!(
        statuses(&answer).iter().all(|(_, status)| status == "pass"),
        "{answer}"
    );
    let not_checked = answer["notChecked"].to_string();
    for word in ["roots", "anchor", "no other block", "clock"] {
        assert!(not_checked.contains(word), "{word}: {not_checked}");
    }
    let answer = case.check(&example_block(), &case.chain());
    expect(&answer, "final", &[]);
    let trusted = ("trusted set".to_string(), "not-checked".to_string());
    assert!(statuses(&answer).contains(&trusted), "{answer}");
}

#[test]
fn two_thirds_exactly_are_not_enough() {
    // Powers 2, 2 and 2: two of three validators hold exactly two thirds.
    let network = Network::new(5, &[2, 2, 2], 3);
    let case = Case {
        sandbox: Sandbox::new(),
        network,
    };
    case.sandbox.write("set", case.network.set.to_file());
    let answer = case.check(&case.signed_by(&[0, 2]), &case.chain());
    expect(&answer, "invalid", &["power"]);
    assert!(
        answer["summary"].as_str().unwrap().contains("4 of 6"),
        "{answer}"
    );
    expect(
        &case.check(&case.signed_by(&[0, 1, 2]), &case.chain()),
        "final",
        &[],
    );
}

#[test]
fn a_stricter_rule_of_the_callers_is_policy_and_a_weaker_one_is_not_finality() {
    let case = Case::new();
    let by_rule = |signers: &[u16], rule: &str| {
        case.check(
            &case.signed_by(signers),
            &format!("--anchor anchor --rule {rule}"),
        )
    };
    let seventy = [0, 1]; // of 100
    expect(&by_rule(&seventy, "2/3"), "final", &[]);
    expect(&by_rule(&seventy, "69/100"), "final", &[]);
    expect(&by_rule(&seventy, "3/4"), "policy-failed", &["power"]);
    let weaker = by_rule(&seventy, "1/3");
    expect(&weaker, "verified", &[]);
    assert!(weaker["warnings"].to_string().contains("no intersection"));
    let sixty = [0, 2];
    expect(&by_rule(&sixty, "1/2"), "verified", &[]);
    expect(&by_rule(&sixty, "3/4"), "invalid", &["power"]);
    for bad in ["4/6", "0/1", "1/1", "2", "a/b"] {
        let line = format!("certificate check signed --set set --anchor anchor --rule {bad}");
        case.sandbox.expect(4, &line);
    }
}

#[test]
fn what_does_not_hold_is_invalid_and_names_the_step() {
    let case = Case::new();
    let good = case.signed_by(&[0, 1, 3]);
    let stranger = Network::equal(99, 5, 5);
    let block = good.header.digest();
    let vote = |network: &Network, index, view| network.vote(index, &block, View::new(view));
    let honest = |index| vote(&case.network, index, 0);
    let with_votes = |votes: Vec<CommitVote>| SignedHeader {
        certificate: CommitCertificate::new(block, View::FIRST, votes).unwrap(),
        ..good.clone()
    };

    let forged = with_votes(vec![honest(0), vote(&stranger, 1, 0), honest(3)]);
    let replayed = with_votes(vec![honest(0), honest(1), vote(&case.network, 3, 1)]);
    for (signed, signer) in [(forged, "validator 1"), (replayed, "validator 3")] {
        let answer = case.check(&signed, "--anchor anchor");
        expect(&answer, "invalid", &["signatures"]);
        assert!(
            answer["summary"].as_str().unwrap().contains(signer),
            "{answer}"
        );
    }
    let mut changed = good.clone();
    changed.header.state_root = Digest::from_bytes([1; 32]);
    expect(
        &case.check(&changed, "--anchor anchor"),
        "invalid",
        &["block"],
    );

    let mut outsider = honest(0);
    outsider.index = 5;
    let signed = with_votes(vec![honest(0), honest(1), outsider]);
    let answer = case.check(&signed, "--anchor anchor");
    expect(&answer, "invalid", &["signers"]);
    // After the step that failed nothing is said to be checked.
    let after = &statuses(&answer)[4..6];
    assert!(
        after.iter().all(|(_, status)| status == "not-checked"),
        "{answer}"
    );
}

#[test]
fn another_chain_or_set_is_told_apart_from_an_invalid_certificate() {
    let case = Case::new();
    let good = case.signed_by(&[0, 1, 3]);
    let other = "--chain other-0000000000000000";
    expect(&case.check(&good, other), "policy-failed", &["chain"]);
    // Of another chain, and no quorum there either.
    expect(
        &case.check(&case.signed_by(&[4]), other),
        "invalid",
        &["chain"],
    );

    // The set at hand is not the one that the header names: nothing can be said.
    case.sandbox
        .write("set", Network::equal(8, 5, 5).set.to_file());
    expect(
        &case.check(&good, &case.chain()),
        "cannot-evaluate",
        &["set"],
    );

    // A quorum of a set that the anchor does not trust.
    let mut anchor = example_anchor();
    anchor.header.next_validators = Network::equal(8, 5, 5).set.commitment();
    case.sandbox.write("anchor", anchor.to_file());
    case.sandbox.write("set", example().set.to_file());
    expect(
        &case.check(&good, "--anchor anchor"),
        "policy-failed",
        &["trusted set"],
    );
}

#[test]
fn bad_input_is_usage_and_unknown_input_cannot_be_evaluated() {
    let case = Case::new();
    let chain = case.chain();
    let good = example_block().to_file();
    let check = |signed: &str, set: &str| {
        let line = format!("certificate check {signed} --set {set} {chain}");
        judged(&case.sandbox.json(&line)).0
    };
    case.sandbox.write("good", &good);
    assert_eq!(check("good", "set"), "final");
    assert_eq!(check("set", "set"), "usage");
    assert_eq!(check("good", "good"), "usage");
    case.sandbox.write("cut", &good[..good.len() - 1]);
    assert_eq!(check("cut", "set"), "usage");
    case.sandbox
        .write("future", [&good[..8], &[2], &good[9..]].concat());
    assert_eq!(check("future", "set"), "cannot-evaluate");
    case.sandbox
        .write("header-2", [&good[..9], &[2, 0], &good[11..]].concat());
    assert_eq!(check("header-2", "set"), "cannot-evaluate");
    let json = example_block().to_json();
    case.sandbox
        .write("header-2", json.replace("\"version\": 1", "\"version\": 2"));
    assert_eq!(check("header-2", "set"), "cannot-evaluate");
    case.sandbox.write(
        "type-2",
        json.replace("signed-header/v1", "signed-header/v2"),
    );
    assert_eq!(check("type-2", "set"), "cannot-evaluate");

    // One signer twice is no matter of form: it is what a forger would try. In a file that the
    // caller vouches for, a broken rule is bad input.
    let twice = json.replace("\"signer\": 1", "\"signer\": 0");
    assert_ne!(twice, json);
    case.sandbox.write("twice", twice);
    assert_eq!(check("twice", "set"), "invalid");
    let mut set = example().set.to_file();
    set[11..43].fill(0);
    case.sandbox.write("bad-set", set);
    assert_eq!(check("good", "bad-set"), "usage");
    case.sandbox.expect(
        4,
        &format!("certificate check good --set set --anchor anchor {chain}"),
    );
}
