//! A validator that votes twice is found out by a real node, and shown to its operator.

use std::fs;
use std::time::Instant;

use ed25519_dalek::Signer as _;
use quorate_node::shell::frame;
use quorate_node::shell::tls::{Identity, NetworkKey, Role};
use quorate_node::shell::transport::dial;
use quorate_pbft::ballot::Step;
use quorate_pbft::message::{Message, Vote};
use quorate_verifier::encoding::Canonical;
use quorate_verifier::primitives::{Digest, Height, View};
use quorate_verifier::signature::Signature;

use super::{Network, PATIENCE, read_key};

/// A vote of the fourth validator.
fn vote(chain: &Digest, key: &ed25519_dalek::SigningKey, height: u64, block: u8) -> Message {
    let mut vote = Vote {
        step: Step::Prepare,
        height: Height::new(height),
        view: View::FIRST,
        block: Digest::from_bytes([block; 32]),
        signer: 3,
        signature: Signature::from_bytes([0; 64]),
    };
    let bytes = vote.ballot().signed_bytes(chain);
    vote.signature = Signature::from_bytes(key.sign(&bytes).to_bytes());
    Message::Vote(vote)
}

#[test]
fn a_double_vote_is_kept_by_a_node_and_shown_with_both_signatures() {
    let mut network = Network::new();
    (0..3).for_each(|node| network.start(node, "--new"));
    (0..3).for_each(|node| network.until_height(node, 1));
    let secret = |file: &str| {
        let file = format!("net/nodes/node-3/{file}.pem");
        read_key(&network.sandbox.path(file))
    };
    let (consensus, own) = (secret("consensus"), secret("network"));
    let server = read_key(&network.sandbox.path("net/nodes/node-0/network.pem"));
    let server = NetworkKey(server.verifying_key().to_bytes());
    let identity = Identity::new(own, network.anchor.header.chain_id.clone());
    let address = format!("127.0.0.1:{}", network.port);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut link = runtime
        .block_on(dial(&address, server, &identity, Role::Peer))
        .unwrap();

    // It votes for two blocks in one slot, at a height that is about to begin.
    let evidence = network.sandbox.path("net/nodes/node-0/data/evidence");
    let begun = Instant::now();
    let mut sent = Vec::new();
    let file = loop {
        let next = network.height(0) + 2;
        for block in [1, 2] {
            let message = vote(&network.chain, &consensus, next, block);
            let bytes = message.to_bytes();
            runtime.block_on(frame::write(&mut link, &bytes)).unwrap();
            if let Message::Vote(vote) = message {
                sent.push(hex::encode(vote.signature.as_bytes()));
            }
        }
        network.until_height(0, next);
        if let Some(file) = fs::read_dir(&evidence).unwrap().next() {
            break file.unwrap().file_name().into_string().unwrap();
        }
        assert!(begun.elapsed() < PATIENCE, "no evidence");
    };

    let shown = format!("inspect net/nodes/node-0/data/evidence/{file}");
    let shown = network.sandbox.json(&shown);
    assert_eq!(shown["verdict"], "done", "{shown}");
    let result = &shown["result"];
    assert_eq!(result["kind"], "double-vote");
    let key = hex::encode(consensus.verifying_key().to_bytes());
    assert_eq!(result["validator"], key);
    let content = &result["content"];
    let signatures = ["first", "second"].map(|side| content[side]["signature"].clone());
    assert_ne!(signatures[0], signatures[1]);
    for signature in signatures {
        let known = sent.iter().any(|sent| signature == sent.as_str());
        assert!(known, "{signature} is not one that was sent");
    }
    let status = network.until(0, "it is counted", |s| s["evidence"] != 0);
    assert_eq!(status["name"], "node-0");
    assert!(
        network.log(0).contains("signed twice"),
        "{}",
        network.log(0)
    );

    // It is still there after a restart, and the three go on.
    network.kill(0);
    network.start(0, "");
    network.until(0, "it still knows", |s| s["evidence"] != 0);
    let height = network.height(1);
    network.until_height(1, height + 2);
}
