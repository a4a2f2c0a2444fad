//! Peers and strangers that send what no correct one sends: the network goes on, memory stays
//! bounded, and the log says who it was.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use quorate_node::shell::frame::{self, FrameError};
use quorate_node::shell::listener::{UNKNOWN_IN_ALL, UNKNOWN_PER_SOURCE};
use quorate_node::shell::node::Node;
use quorate_node::shell::tls::{NetworkKey, Role};
use quorate_node::shell::transport::dial;
use quorate_pbft::ballot::Step;
use quorate_pbft::block::Block;
use quorate_pbft::evidence::DoubleVote;
use quorate_pbft::limits::MESSAGE_BYTES_MAX;
use quorate_pbft::message::{Message, PrePrepare, Vote};
use quorate_pbft::request::{ClientKey, Payload, Request};
use quorate_pbft::scheme::Ed25519;
use quorate_verifier::encoding::Canonical;
use quorate_verifier::file::FileType;
use quorate_verifier::primitives::{Digest, Height, View};
use quorate_verifier::signature::Signature;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::bench::{
    Logged, Network, consensus_key, guest_key, height, network_key, public, run, stop_all, until,
    until_height,
};

type Link = tokio_rustls::client::TlsStream<TcpStream>;

/// Runs one of the ignored tests below in a process of its own: its memory and its log are then
/// nobody else's.
fn alone(test: &str) {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("shell::floods::own_{test}")])
        .args(["--ignored", "--nocapture", "--test-threads=1"])
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let passed = output.status.success() && words.contains("1 passed");
    assert!(passed, "{words}\n{errors}");
}

#[test]
fn strangers_are_bounded_and_named() {
    alone("strangers_are_bounded_and_named");
}

#[test]
fn oversize_frames_and_garbage_cut_the_link_and_name_the_peer() {
    alone("oversize_frames_and_garbage_cut_the_link_and_name_the_peer");
}

#[test]
fn a_flood_of_good_frames_with_bad_content_slows_nobody_for_long() {
    alone("a_flood_of_good_frames_with_bad_content_slows_nobody_for_long");
}

#[test]
fn a_client_that_sends_garbage_is_named_and_cut() {
    alone("a_client_that_sends_garbage_is_named_and_cut");
}

#[test]
fn a_double_vote_is_kept_as_evidence() {
    alone("a_double_vote_is_kept_as_evidence");
}

/// A link to `node` with the network key of `as_node`, whose own machine is not running.
async fn link(network: &Network, node: usize, as_node: usize) -> Result<Link, String> {
    let key = NetworkKey(network_key(node).verifying_key().to_bytes());
    let identity = network.identity(network_key(as_node));
    dial(&network.address(node), key, &identity, Role::Peer).await
}

/// Three of four nodes; the fourth's keys are the attacker's.
async fn three(network: &Network) -> Vec<Node> {
    let mut nodes = Vec::new();
    for node in 0..3 {
        nodes.push(network.start(node, true).await);
    }
    until_height(&nodes[0], 2).await;
    nodes
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// The network decides `count` more heights.
async fn goes_on(nodes: &[Node], count: u64) {
    let from = height(&nodes[0]);
    for node in nodes {
        until_height(node, from + count).await;
    }
}

/// Waits until the other side has closed the link.
async fn closed(mut link: Link) {
    let ended = async {
        loop {
            match frame::read(&mut link, 1 << 20).await {
                Ok(_) => {}
                Err(FrameError::Closed | FrameError::Io(_)) => return,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(20), ended);
    ended.await.expect("the node cuts the link");
}

#[test]
#[ignore = "run by `alone`, in a process of its own"]
fn own_strangers_are_bounded_and_named() {
    let logged = Logged::start();
    run(async {
        let network = Network::new(4);
        let nodes = three(&network).await;
        let address = network.address(0);
        // Links that say nothing: each new one pushes out the oldest.
        let mut idle = Vec::new();
        for _ in 0..UNKNOWN_IN_ALL * 3 {
            idle.push(TcpStream::connect(&address).await.unwrap());
        }
        goes_on(&nodes, 3).await;
        let mut first = idle.swap_remove(0);
        let end = tokio::time::timeout(Duration::from_secs(20), first.read(&mut [0; 16])).await;
        assert!(matches!(end, Ok(Ok(0) | Err(_))), "pushed out long ago");
        assert!(idle.len() > UNKNOWN_PER_SOURCE);
        // Garbage instead of a handshake, as much as will go.
        for byte in [0x00, 0x16, 0xff] {
            let mut link = TcpStream::connect(&address).await.unwrap();
            let flood = async { while link.write_all(&[byte; 1 << 16]).await.is_ok() {} };
            let flood = tokio::time::timeout(Duration::from_secs(20), flood);
            flood.await.expect("the node cuts the link");
        }
        // A good handshake with a key that nobody knows.
        let key = NetworkKey(network_key(0).verifying_key().to_bytes());
        let stranger = network.identity(ed25519_dalek::SigningKey::from_bytes(&[99; 32]));
        if let Ok(link) = dial(&address, key, &stranger, Role::Peer).await {
            closed(link).await;
        }
        // Known keys in roles that are not theirs.
        for (key, role) in [(guest_key(), Role::Peer), (network_key(1), Role::Client)] {
            let identity = network.identity(key);
            let server = NetworkKey(network_key(0).verifying_key().to_bytes());
            closed(dial(&address, server, &identity, role).await.unwrap()).await;
        }
        goes_on(&nodes, 3).await;
        assert!(logged.has(&["WARN", "a link was refused", "127.0.0.1"]));
        drop(idle);
        stop_all(nodes).await;
    });
}

#[test]
#[ignore = "run by `alone`, in a process of its own"]
fn own_oversize_frames_and_garbage_cut_the_link_and_name_the_peer() {
    let logged = Logged::start();
    run(async {
        let network = Network::new(4);
        let nodes = three(&network).await;
        let before = resident();
        let mut big = link(&network, 0, 3).await.unwrap();
        let length = u32::try_from(MESSAGE_BYTES_MAX + 1).unwrap();
        big.write_all(&length.to_le_bytes()).await.unwrap();
        big.flush().await.unwrap();
        closed(big).await;
        assert!(
            resident() < before + (64 << 20),
            "nothing was allocated for it"
        );
        assert!(logged.has(&[
            "WARN",
            "node-3",
            &format!("a frame of {length} bytes"),
            "kept out"
        ]));
        // It is kept out there for a while, though its handshake is good.
        closed(link(&network, 0, 3).await.unwrap()).await;

        let mut garbage = link(&network, 1, 3).await.unwrap();
        frame::write(&mut garbage, &[0xee; 1000]).await.unwrap();
        closed(garbage).await;
        assert!(logged.has(&["WARN", "node-3", "a frame is no message"]));

        // A frame that is claimed and never comes does not hold memory.
        let mut slow = link(&network, 2, 3).await.unwrap();
        let length = u32::try_from(MESSAGE_BYTES_MAX).unwrap();
        slow.write_all(&length.to_le_bytes()).await.unwrap();
        slow.write_all(&[0; 10]).await.unwrap();
        slow.flush().await.unwrap();
        goes_on(&nodes, 3).await;
        assert!(resident() < before + (64 << 20));
        let faults = until(&nodes[0], "the fault is counted", |status| {
            status
                .peers
                .iter()
                .any(|peer| peer.name == "node-3" && peer.faults > 0)
        });
        faults.await;
        stop_all(nodes).await;
    });
}

fn forged_vote(height: u64, number: u64) -> Message {
    let mut block = [0; 32];
    block[..8].copy_from_slice(&number.to_le_bytes());
    Message::Vote(Vote {
        step: Step::Prepare,
        height: Height::new(height),
        view: View::FIRST,
        block: Digest::from_bytes(block),
        signer: 2,
        signature: Signature::from_bytes([7; 64]),
    })
}

/// A proposal of several MiB that nobody signed.
fn forged_proposal(network: &Network, height: u64) -> Message {
    let request = |sequence| {
        std::sync::Arc::new(Request {
            client: ClientKey([3; 32]),
            sequence,
            body: vec![5; 1 << 20],
            signature: Signature::from_bytes([7; 64]),
        })
    };
    let payload = Payload {
        salt: [1; 32],
        requests: (0..6).map(request).collect(),
    };
    let mut header = network.founding.anchor.header.clone();
    header.height = Height::new(height);
    header.payload_root = payload.root();
    Message::PrePrepare(std::sync::Arc::new(PrePrepare {
        view: View::FIRST,
        block: Block::new(header, payload).unwrap(),
        opening: None,
        signature: Signature::from_bytes([7; 64]),
    }))
}

#[test]
#[ignore = "run by `alone`, in a process of its own"]
fn own_a_flood_of_good_frames_with_bad_content_slows_nobody_for_long() {
    let logged = Logged::start();
    run(async {
        let network = Network::new(4);
        let nodes = three(&network).await;
        let before = resident();
        let sent = std::sync::atomic::AtomicU64::new(0);
        let begun = Instant::now();
        let attack = async {
            let mut number = 0;
            while begun.elapsed() < Duration::from_secs(4) {
                let Ok(mut link) = link(&network, 0, 3).await else {
                    continue;
                };
                while begun.elapsed() < Duration::from_secs(4) {
                    number += 1;
                    let at = height(&nodes[0]) + 1;
                    let message = if number % 1000 == 0 {
                        forged_proposal(&network, at)
                    } else {
                        forged_vote(at, number)
                    };
                    let bytes = message.to_bytes();
                    let written = frame::write(&mut link, &bytes);
                    let written = tokio::time::timeout(Duration::from_secs(5), written).await;
                    if !matches!(written, Ok(Ok(()))) {
                        break;
                    }
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let (_, ()) = tokio::join!(attack, goes_on(&nodes, 10));
        let sent = sent.into_inner();
        println!("{sent} bad frames sent");
        assert!(sent > 1000, "only {sent} frames were sent: no flood");
        goes_on(&nodes, 5).await;
        let grown = resident().saturating_sub(before);
        assert!(grown < 256 << 20, "{} MiB more", grown >> 20);
        assert!(logged.has(&["WARN", "node-3", "the peer broke a rule"]));
        stop_all(nodes).await;
    });
}

#[test]
#[ignore = "run by `alone`, in a process of its own"]
fn own_a_client_that_sends_garbage_is_named_and_cut() {
    let logged = Logged::start();
    run(async {
        let network = Network::new(1);
        let nodes = network.start_all(true).await;
        let key = NetworkKey(network_key(0).verifying_key().to_bytes());
        for frame_bytes in [vec![9; 10], vec![1; 200], Vec::new()] {
            let identity = network.identity(guest_key());
            let mut link = dial(&network.address(0), key, &identity, Role::Client)
                .await
                .unwrap();
            frame::write(&mut link, &frame_bytes).await.unwrap();
            closed(link).await;
        }
        assert!(logged.has(&["WARN", "guest", "what is no question"]));
        goes_on(&nodes, 3).await;
        stop_all(nodes).await;
    });
}

/// A vote that node 3's key has signed.
fn signed_vote(network: &Network, height: u64, block: u8) -> Message {
    use ed25519_dalek::Signer as _;
    let mut vote = Vote {
        step: Step::Prepare,
        height: Height::new(height),
        view: View::FIRST,
        block: Digest::from_bytes([block; 32]),
        signer: 3,
        signature: Signature::from_bytes([0; 64]),
    };
    let bytes = vote.ballot().signed_bytes(&network.chain());
    vote.signature = Signature::from_bytes(consensus_key(3).sign(&bytes).to_bytes());
    Message::Vote(vote)
}

#[test]
#[ignore = "run by `alone`, in a process of its own"]
fn own_a_double_vote_is_kept_as_evidence() {
    let logged = Logged::start();
    run(async {
        let network = Network::new(4);
        let nodes = three(&network).await;
        let mut link = link(&network, 0, 3).await.unwrap();
        let begun = Instant::now();
        let evidence = network.data(0).join("evidence");
        let kept = loop {
            let next = height(&nodes[0]) + 2;
            for block in [1, 2] {
                let bytes = signed_vote(&network, next, block).to_bytes();
                frame::write(&mut link, &bytes).await.unwrap();
            }
            until_height(&nodes[0], next).await;
            let mut files = std::fs::read_dir(&evidence).unwrap();
            if let Some(file) = files.next() {
                break file.unwrap().path();
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "no evidence");
        };
        let bytes = std::fs::read(kept).unwrap();
        let proof = DoubleVote::from_file(&bytes).unwrap();
        assert_eq!(proof.check(&Ed25519, &network.chain()), Ok(()));
        assert_eq!(proof.key, public(&consensus_key(3)));
        assert!(logged.has(&["ERROR", "node-3", "signed twice"]));
        until(&nodes[0], "it is counted", |status| status.evidence > 0).await;
        stop_all(nodes).await;
    });
}
