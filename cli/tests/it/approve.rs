//! `quorate approve`: signatures of validators under a change of the set, and what it refuses.

use std::sync::Arc;

use quorate_node::app::{Operation, Requests};
use quorate_pbft::app::{Change, ChangeError};
use quorate_pbft::defect::Sound;
use quorate_pbft::request::{ClientKey, Payload, Request};
use quorate_pbft::scheme::Ed25519;
use quorate_verifier::file::FileType;
use quorate_verifier::primitives::Digest;
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::{SetCommitment, ValidatorSet};
use quorate_verifier::signature::{Signature, VoteKey};
use quorate_verifier::trust::TrustAnchor;

use crate::support::{Sandbox, mode};

/// A network of four, a second one whose set is the next, and `draft.json`: the change from one to
/// the other, with a sender and a sequence.
struct Prepared {
    sandbox: Sandbox,
    chain: Digest,
    set: ValidatorSet,
    client: VoteKey,
}

const SEQUENCE: u64 = 7;

impl Prepared {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.expect(0, "init --validators 4 --dir net");
        sandbox.expect(0, "init --validators 5 --dir other");
        let anchor = TrustAnchor::from_file(&sandbox.read("net/public/trust-anchor.json")).unwrap();
        let set = |dir: &str| {
            let file = sandbox.read(&format!("{dir}/private/validator-set.json"));
            ValidatorSet::from_file(&file).unwrap()
        };
        let key = &sandbox.json("inspect net/clients/operator.pem.pub")["result"]["publicKey"];
        let key = hex::decode(key.as_str().unwrap()).unwrap();
        let prepared = Self {
            chain: anchor.header.digest(),
            set: set("net"),
            client: VoteKey::from_bytes(&key.try_into().unwrap()).unwrap(),
            sandbox,
        };
        let next = {
            let file = prepared.sandbox.read("other/private/validator-set.json");
            ValidatorSet::from_file(&file).unwrap().commitment()
        };
        let mut draft = Requests::of([change(next)]);
        draft.bind(prepared.chain).unwrap();
        draft.assign(&prepared.client, SEQUENCE).unwrap();
        prepared.sandbox.write("draft.json", draft.to_json());
        prepared
    }

    fn approve(&self, node: usize, from: &str, to: &str) -> serde_json::Value {
        let config = format!("net/nodes/node-{node}/node.toml");
        let line = format!("approve --config {config} {from} --out {to}");
        self.sandbox.json(&line)
    }

    /// What the core says of the change in a file.
    fn judged(&self, file: &str) -> Result<(), ChangeError> {
        let requests = Requests::from_file(&self.sandbox.read(file)).unwrap();
        let client = ClientKey(*self.client.as_bytes());
        let operation = &requests.requests[0].operation;
        self.check(&operation.change(client, SEQUENCE).unwrap())
    }

    fn check(&self, change: &Change) -> Result<(), ChangeError> {
        let payload = Payload {
            salt: [0; 32],
            requests: vec![Arc::new(Request {
                client: change.client,
                sequence: change.sequence,
                body: Vec::new(),
                signature: Signature::from_bytes([0; 64]),
            })],
        };
        let rule = QuorumRule::COMMIT;
        change.check(&Ed25519, &Sound, &self.chain, &self.set, rule, &payload)
    }
}

fn change(validators: SetCommitment) -> Operation {
    Operation::Change {
        validators: Some(validators),
        parameters: None,
        approvals: Vec::new(),
    }
}

#[test]
fn approvals_are_the_cores_own_and_bound_to_the_change() {
    let prepared = Prepared::new();
    for (count, node) in [(1, 2), (2, 0), (3, 3)] {
        let (from, to) = match count {
            1 => ("draft.json".into(), "1.json".to_string()),
            _ => (format!("{}.json", count - 1), format!("{count}.json")),
        };
        let answer = prepared.approve(node, &from, &to);
        assert_eq!(answer["verdict"], "done", "{answer}");
        assert_eq!(answer["result"]["approvals"], count);
        let enough = if count < 3 {
            Err(ChangeError::NoQuorum)
        } else {
            Ok(())
        };
        assert_eq!(prepared.judged(&to), enough);
    }
    #[cfg(unix)]
    assert_eq!(mode(&prepared.sandbox.path("3.json")), 0o600);
    // Once more by the same validator: the file is the same, and the first one is kept.
    prepared.approve(3, "3.json", "again.json");
    assert_eq!(
        prepared.sandbox.read("3.json"),
        prepared.sandbox.read("again.json")
    );
    let answer = prepared.approve(3, "draft.json", "3.json");
    assert_ne!(
        answer["verdict"], "done",
        "nothing is overwritten: {answer}"
    );

    // The approvals of three are none of another change, sequence or client.
    let requests = Requests::from_file(&prepared.sandbox.read("3.json")).unwrap();
    let client = ClientKey(*prepared.client.as_bytes());
    let good = requests.requests[0]
        .operation
        .change(client, SEQUENCE)
        .unwrap();
    assert_eq!(prepared.check(&good), Ok(()));
    let present = Some(prepared.set.commitment());
    for forged in [
        Change {
            validators: present,
            ..good.clone()
        },
        Change {
            sequence: SEQUENCE + 1,
            ..good.clone()
        },
        Change {
            client: ClientKey([9; 32]),
            ..good.clone()
        },
    ] {
        assert_eq!(prepared.check(&forged), Err(ChangeError::Signature));
    }
}

#[test]
fn what_cannot_be_approved_is_refused_and_nothing_is_written() {
    let prepared = Prepared::new();
    let sandbox = &prepared.sandbox;
    let own = "--config net/nodes/node-0/node.toml";
    let next = prepared.set.commitment();
    sandbox.write("unsettled.json", Requests::of([change(next)]).to_json());
    sandbox.write("empty.json", Requests::of([]).to_json());
    let mut signed = Requests::of([change(next)]);
    let key = ed25519_dalek::SigningKey::from_bytes(&[5; 32]);
    let public = VoteKey::from_bytes(key.verifying_key().as_bytes()).unwrap();
    signed.bind(prepared.chain).unwrap();
    signed.assign(&public, 1).unwrap();
    signed.sign(&key).unwrap();
    sandbox.write("signed.json", signed.to_json());
    let mut foreign = Requests::of([change(next)]);
    foreign.bind(Digest::from_bytes([1; 32])).unwrap();
    foreign.assign(&public, 1).unwrap();
    sandbox.write("foreign.json", foreign.to_json());
    for (options, word) in [
        (format!("{own} unsettled.json"), "no sender and sequence"),
        (format!("{own} empty.json"), "no request carries a change"),
        (format!("{own} signed.json"), "signed by its client"),
        (format!("{own} foreign.json"), "chain"),
        (
            format!("{own} --set other/private/validator-set.json draft.json"),
            "not in the set",
        ),
        (
            "--config other/nodes/node-0/node.toml draft.json".into(),
            "chain",
        ),
    ] {
        let run = sandbox.expect(4, &format!("approve {options} --out no.json"));
        assert!(run.stderr.contains(word), "{options}: {run:?}");
        assert!(!sandbox.path("no.json").exists(), "{options}");
    }
}
