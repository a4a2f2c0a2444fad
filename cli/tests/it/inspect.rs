//! `quorate inspect`: every kind in both forms, and what it keeps to itself.

use quorate_fixtures::vectors::{
    example, example_anchor, example_block, example_policy, example_roster,
};
use quorate_verifier::bundle::Bundle;
use quorate_verifier::encoding::Kind;
use quorate_verifier::file::{FileType, file_header};
use quorate_verifier::light_client::{ClientState, Fork, Trusted, Update};
use quorate_verifier::proof::Origin;
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::statement::Statement;

use crate::support::{Sandbox, attestation, verifying_key};

fn both<T: FileType>(files: &mut Vec<(Kind, Vec<u8>)>, value: &T) {
    files.push((T::KIND, value.to_file()));
    files.push((T::KIND, value.to_json().into_bytes()));
}

fn files() -> Vec<(Kind, Vec<u8>)> {
    let block = example_block();
    let bundle = Bundle {
        chain_id: block.header.chain_id.clone(),
        recipient: block.header.digest(),
        encapsulated: [1; 32],
        sealed: vec![2; 99],
    };
    let view = block.certificate.view();
    let mut files = Vec::new();
    both(&mut files, &block.header);
    both(&mut files, &example().set);
    both(&mut files, &block);
    both(
        &mut files,
        &Statement::of(&block.header, view, QuorumRule::COMMIT),
    );
    both(&mut files, &example_anchor());
    both(&mut files, &example_policy());
    both(&mut files, &example().genesis);
    both(&mut files, &example_roster());
    both(&mut files, &bundle);
    both(&mut files, &example().genesis.parameters);
    both(&mut files, &block.certificate);
    both(&mut files, &attestation());
    both(&mut files, &verifying_key(Origin::Ceremony));
    let proved = Trusted::Proved(attestation());
    let mut conflicting = attestation();
    conflicting.header.state_root = conflicting.header.parent;
    both(&mut files, &Fork::new(proved, conflicting).unwrap());
    both(&mut files, &ClientState::new(&example_policy()).unwrap());
    both(&mut files, &Update::step(attestation()));
    files
}

#[test]
fn every_kind_is_known_without_a_hint() {
    let sandbox = Sandbox::new();
    let private = [
        Kind::ValidatorSet,
        Kind::SignedHeader,
        Kind::Roster,
        Kind::Bundle,
        Kind::Certificate,
    ];
    for (kind, bytes) in files() {
        sandbox.write("file", &bytes);
        let answer = sandbox.json("inspect file");
        assert_eq!(answer["verdict"], "done", "{answer}");
        assert_eq!(answer["result"]["kind"], kind.word());
        let privacy = answer["result"]["privacy"].as_str().unwrap();
        let is_private = privacy.starts_with("PRIVATE");
        assert_eq!(is_private, private.contains(&kind), "{kind}: {privacy}");
        assert!(answer["notChecked"].to_string().contains("trust"));
        let words = sandbox.expect(0, "inspect file").stdout;
        assert!(
            words.contains(kind.word()) && words.contains(privacy),
            "{words}"
        );
        let piped = sandbox.run_with_stdin("--json inspect -", &bytes).json();
        assert_eq!(piped, answer);
    }
}

#[test]
fn digests_are_those_of_the_known_answers() {
    let sandbox = Sandbox::new();
    sandbox.write("header", example_block().header.to_file());
    let digest = example_block().header.digest().to_string();
    assert_eq!(
        sandbox.json("inspect header")["result"]["digest"],
        digest.as_str()
    );
    sandbox.write("genesis", example().genesis.to_file());
    let chain = example().genesis_header().chain_id;
    assert_eq!(
        sandbox.json("inspect genesis")["result"]["chain"],
        chain.as_str()
    );
    sandbox.write("set", example().set.to_file());
    let commitment = example().set.commitment().to_string();
    let content = &sandbox.json("inspect set")["result"]["content"];
    assert_eq!(content["commitment"], commitment.as_str());
}

#[test]
fn a_salt_is_never_shown() {
    let sandbox = Sandbox::new();
    let set = example().set;
    let salt = hex::encode(set.salt().unwrap().expose());
    for bytes in [set.to_file(), set.to_json().into_bytes()] {
        sandbox.write("set", bytes);
        for line in ["inspect set", "--json inspect set"] {
            let run = sandbox.expect(0, line);
            run.assert_hides(&salt);
            assert!(run.stdout.contains("salted"));
        }
    }
}

#[test]
fn kinds_that_cannot_be_read_are_named() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "file",
        [file_header(Kind::ProvingKey), vec![0; 100]].concat(),
    );
    let answer = sandbox.json("inspect file");
    assert_eq!(answer["verdict"], "cannot-evaluate", "{answer}");
    assert!(answer["summary"].as_str().unwrap().contains("proving-key"));
    for (text, verdict) in [
        (r#"{"type": "quorate/treaty/v1"}"#, "cannot-evaluate"),
        (r#"{"type": "quorate/header/v2"}"#, "cannot-evaluate"),
        (r#"{"type": ""}"#, "usage"),
        ("{}", "usage"),
        (r#"{"type": 7}"#, "usage"),
    ] {
        sandbox.write("file", text);
        assert_eq!(sandbox.json("inspect file")["verdict"], verdict, "{text}");
    }
}
