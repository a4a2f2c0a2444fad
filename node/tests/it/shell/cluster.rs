//! A quiet network: blocks, clients, streams, restarts.

use quorate_node::app::{
    AccountId, Amount, Genesis, GenesisAccount, GenesisHolding, GenesisInstrument, InstrumentId,
    KeyBytes, Kind, Operation, Requests,
};
use quorate_node::shell::clients::{ClientLink, Outcome, Reply};
use quorate_node::shell::driver::Stop;
use quorate_node::shell::node::{self, StartError};
use quorate_node::shell::stream::{CertificateStream, StreamConfig, StreamError, WINDOW};
use quorate_node::shell::tls::NetworkKey;
use quorate_pbft::request::ClientKey;
use quorate_verifier::primitives::{Digest, Height};

use ed25519_dalek::Signer as _;
use quorate_node::app::{Approval, SignatureBytes};
use quorate_node::shell::node::Node;
use quorate_verifier::set::Salt;

use super::bench::{
    Network, PATIENCE, consensus_key, guest_key, height, network_key, public, run, stop, stop_all,
    until, until_height,
};

fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

fn amount(units: u64) -> Amount {
    Amount::new(units).unwrap()
}

pub(crate) fn alice() -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[77; 32])
}

/// Alice, who runs everything, has a thousand euros; Bob has none.
pub(crate) fn ledger() -> Genesis {
    let member = |name: &str, key: [u8; 32]| GenesisAccount {
        account: account(name),
        keys: vec![KeyBytes(key)],
    };
    let bob = ed25519_dalek::SigningKey::from_bytes(&[78; 32]);
    let euro = InstrumentId::new("EUR").unwrap();
    Genesis {
        salt: None,
        operator: account("alice"),
        accounts: vec![
            member("alice", alice().verifying_key().to_bytes()),
            member("bob", bob.verifying_key().to_bytes()),
        ],
        instruments: vec![GenesisInstrument {
            instrument: euro,
            kind: Kind::Money {
                issuer: account("alice"),
                decimals: 2,
            },
        }],
        holdings: vec![GenesisHolding {
            account: account("alice"),
            instrument: euro,
            amount: amount(1000),
        }],
    }
}

pub(crate) fn transfers(
    network: &Network,
    amounts: &[u64],
) -> Vec<std::sync::Arc<quorate_pbft::request::Request>> {
    let transfer = |units: &u64| Operation::Transfer {
        instrument: InstrumentId::new("EUR").unwrap(),
        from: account("alice"),
        to: account("bob"),
        amount: amount(*units),
    };
    let mut requests = Requests::of(amounts.iter().map(transfer));
    requests.bind(network.chain()).unwrap();
    requests.assign(&public(&alice()), 1).unwrap();
    requests.sign(&alice()).unwrap();
    let signed = requests.signed(&network.chain()).unwrap();
    signed.into_iter().map(std::sync::Arc::new).collect()
}

pub(crate) async fn guest(network: &Network, node: usize) -> ClientLink {
    let key = NetworkKey(network_key(node).verifying_key().to_bytes());
    let identity = network.identity(guest_key());
    ClientLink::connect(&network.address(node), key, &identity)
        .await
        .unwrap()
}

pub(crate) async fn outcome(link: &mut ClientLink) -> (u64, Outcome) {
    match link.next(PATIENCE).await.unwrap() {
        Reply::Answer(answer) => (answer.sequence, answer.outcome),
        other => panic!("{other:?}"),
    }
}

#[test]
fn four_nodes_finalise_execute_and_answer() {
    run(async {
        let network = Network::with_ledger(4, Some(ledger()));
        let nodes = network.start_all(true).await;
        let mut link = guest(&network, 1).await;
        let client = ClientKey(alice().verifying_key().to_bytes());
        assert_eq!(link.sequence(client).await.unwrap(), Some(0));
        assert_eq!(link.sequence(ClientKey([0; 32])).await.unwrap(), None);

        let requests = transfers(&network, &[10, 20, 5000]);
        for request in &requests {
            link.submit(request).await.unwrap();
        }
        for sequence in 1..=3 {
            let (of, outcome) = outcome(&mut link).await;
            assert_eq!(of, sequence);
            let Outcome::Executed { outcome, .. } = outcome else {
                panic!("{outcome:?}");
            };
            let outcome = quorate_node::app::Outcome::from_leaf(&outcome).unwrap();
            let refused = matches!(outcome.result, quorate_node::app::Executed::Refused(_));
            assert_eq!(refused, sequence == 3, "5000 is more than she has");
        }
        // Once more, over another node: the same outcome, not executed again.
        until(&nodes[2], "it has executed them too", |s| {
            s.height >= height(&nodes[1])
        })
        .await;
        let mut other = guest(&network, 2).await;
        other.submit(&requests[1]).await.unwrap();
        assert!(matches!(
            outcome(&mut other).await,
            (2, Outcome::Executed { .. })
        ));
        assert_eq!(other.sequence(client).await.unwrap(), Some(3));
        // Another request with a sequence that was used is told from the one that was executed.
        let mut forged = transfers(&network, &[10, 21]);
        other.submit(&forged.remove(1)).await.unwrap();
        assert!(matches!(
            outcome(&mut other).await,
            (2, Outcome::Refused(_))
        ));
        let status = other.status().await.unwrap();
        assert_eq!(status.name, "node-2");
        assert_eq!(status.peers.len(), 3);
        assert_eq!(status.voting, "yes");
        stop_all(nodes).await;
    });
}

#[test]
fn the_stream_gives_every_block_once_and_in_order() {
    run(async {
        let network = Network::new(4);
        let nodes = network.start_all(true).await;
        until_height(&nodes[0], 6).await;
        let one = network.blocks(0, 5).await;
        let other = network.blocks(3, 5).await;
        for (a, b) in one.iter().zip(&other) {
            assert_eq!(a.signed.header, b.signed.header);
            assert!(a.contents.is_some());
        }
        // From the middle, without the contents, and with another parent than the true one.
        let config = StreamConfig {
            parent: Some(one[2].signed.header.digest()),
            contents: false,
            ..network.stream_config(2)
        };
        let mut stream = CertificateStream::connect(config.clone(), Height::new(4))
            .await
            .unwrap();
        let item = stream.next().await.unwrap();
        assert_eq!(item.signed.header, one[3].signed.header);
        assert_eq!(item.set.commitment(), network.founding.set.commitment());
        assert!(item.contents.is_none());
        let config = StreamConfig {
            parent: Some(Digest::ZERO),
            ..config
        };
        let mut stream = CertificateStream::connect(config, Height::new(4))
            .await
            .unwrap();
        assert!(matches!(stream.next().await, Err(StreamError::Parent(4))));
        stop_all(nodes).await;
    });
}

#[test]
fn an_observer_that_does_not_acknowledge_gets_a_window_and_no_more() {
    run(async {
        let network = Network::new(1);
        let nodes = network.start_all(true).await;
        until_height(&nodes[0], WINDOW + 20).await;
        let config = network.stream_config(0);
        let mut stream = CertificateStream::connect(config, Height::new(1))
            .await
            .unwrap();
        for _ in 0..WINDOW {
            stream.next().await.unwrap();
        }
        let more = tokio::time::timeout(std::time::Duration::from_secs(1), stream.next());
        assert!(more.await.is_err(), "nothing beyond the window");
        stop_all(nodes).await;

        // The dropped call above spoiled that stream; a new one goes on where the observer was.
        let nodes = network.start_all(false).await;
        until_height(&nodes[0], WINDOW + 21).await;
        let config = StreamConfig {
            parent: None,
            ..network.stream_config(0)
        };
        let mut stream = CertificateStream::connect(config, Height::new(WINDOW + 1))
            .await
            .unwrap();
        assert_eq!(
            stream.next().await.unwrap().signed.header.height.get(),
            WINDOW + 1
        );
        stop_all(nodes).await;
    });
}

#[test]
fn all_nodes_stop_and_start_again_where_they_were() {
    run(async {
        let network = Network::new(4);
        let nodes = network.start_all(true).await;
        until_height(&nodes[3], 5).await;
        stop_all(nodes).await;
        let nodes = network.start_all(false).await;
        let before = height(&nodes[0]);
        assert!(before >= 4, "{before}");
        for node in &nodes {
            until_height(node, before + 5).await;
        }
        let (one, other) = (
            network.blocks(0, before + 3).await,
            network.blocks(1, before + 3).await,
        );
        assert!(
            one.iter()
                .zip(&other)
                .all(|(a, b)| a.signed.header == b.signed.header)
        );
        stop_all(nodes).await;
    });
}

#[test]
fn what_does_not_fit_is_refused_before_anything_runs() {
    run(async {
        let network = Network::new(4);
        let mut setup = network.setup(0, true);
        setup.consensus = super::bench::consensus_key(1);
        let error = node::dry_run(setup).await.expect_err("another's key");
        assert!(error.to_string().contains("consensus key"), "{error}");
        let mut setup = network.setup(0, true);
        setup.app = ledger().ledger().unwrap();
        let error = node::dry_run(setup).await.expect_err("another state");
        assert!(error.to_string().contains("state"), "{error}");
        let mut setup = network.setup(0, true);
        setup.network = guest_key();
        let error = node::dry_run(setup)
            .await
            .expect_err("a key that is not in the roster");
        assert!(error.to_string().contains("roster"), "{error}");

        let running = network.start(0, true).await;
        let error = node::dry_run(network.setup(0, true))
            .await
            .expect_err("it runs");
        assert!(matches!(error, StartError::InUse(_)), "{error}");
        let error = network.try_start(0, false).await.err().expect("it runs");
        assert!(matches!(error, StartError::InUse(_)), "{error}");
        assert!(matches!(stop(running).await, Stop::Asked));
        let error = network
            .try_start(0, true)
            .await
            .err()
            .expect("it is not new");
        assert!(matches!(error, StartError::NotNew(_)), "{error}");
        assert!(node::dry_run(network.setup(0, false)).await.is_ok());
    });
}

#[test]
fn a_fifth_validator_joins() {
    run(async {
        let mut network = Network::with_ledger(4, Some(ledger()));
        let roster = network.add();
        let size = network.founding.set.size();
        let salt = Some(Salt::from_bytes([3; 32]));
        let set = std::sync::Arc::new(roster.validator_set(salt, size).unwrap());
        let mut nodes = Vec::new();
        for node in 0..5 {
            let mut setup = network.setup(node, true);
            setup.sets = vec![set.clone()];
            nodes.push(Node::start(setup).await.unwrap());
        }
        let joins = until_height(&nodes[4], 3).await;
        assert!(joins.voting.starts_with("no"), "{}", joins.voting);

        let change = |approvals| Operation::Change {
            validators: Some(set.commitment()),
            parameters: None,
            approvals,
        };
        let client = ClientKey(alice().verifying_key().to_bytes());
        let mut link = guest(&network, 0).await;
        // Two of four are no quorum: final, and yet not made. Then three.
        for (sequence, approvers) in [(1, 2usize), (2, 3)] {
            let asked = change(Vec::new()).change(client, sequence).unwrap();
            let bytes = asked.signed_bytes(&network.chain());
            let approval = |node: usize| Approval {
                validator: u16::try_from(node).unwrap(),
                signature: SignatureBytes(consensus_key(node).sign(&bytes).to_bytes()),
            };
            let approvals = (0..approvers).map(approval).collect();
            let mut requests = Requests::of([change(approvals)]);
            requests.bind(network.chain()).unwrap();
            requests.assign(&public(&alice()), sequence).unwrap();
            requests.sign(&alice()).unwrap();
            let signed = requests.signed(&network.chain()).unwrap().remove(0);
            link.submit(&std::sync::Arc::new(signed)).await.unwrap();
            assert!(matches!(
                outcome(&mut link).await,
                (_, Outcome::Executed { .. })
            ));
            let from = height(&nodes[4]);
            let later = until_height(&nodes[4], from + 4).await;
            assert_eq!(later.voting == "yes", sequence == 2, "{}", later.voting);
        }
        network.until_votes(0, &nodes[0], 5).await;
        // The chain with its change of signers is followed from genesis by whoever observes it.
        let reached = height(&nodes[0]) - 1;
        let items = network.blocks(0, reached).await;
        assert_eq!(items[0].set.count(), 4);
        assert_eq!(items.last().unwrap().set.count(), 5);
        // And by a member that has lost its disk.
        assert!(matches!(stop(nodes.remove(4)).await, Stop::Asked));
        std::fs::remove_dir_all(network.data(4)).unwrap();
        let back = network.start(4, false).await;
        until(&back, "it votes", |s| s.voting == "yes").await;
        nodes.push(back);
        stop_all(nodes).await;
    });
}

#[test]
fn a_new_network_key_takes_a_restart_of_each_machine() {
    run(async {
        let mut network = Network::new(4);
        let nodes = network.start_all(true).await;
        until_height(&nodes[0], 3).await;
        stop_all(nodes).await;
        let new = ed25519_dalek::SigningKey::from_bytes(&[199; 32]);
        let mut entries = network.founding.roster.entries().to_vec();
        entries[3].network_key = public(&new);
        network.founding.roster = quorate_verifier::roster::Roster::new(entries).unwrap();
        let mut nodes = Vec::new();
        for node in 0..3 {
            nodes.push(network.start(node, false).await);
        }
        let error = network
            .try_start(3, false)
            .await
            .err()
            .expect("the old key");
        assert!(
            error.to_string().contains("neither in the roster"),
            "{error}"
        );
        let mut setup = network.setup(3, false);
        setup.network = new;
        nodes.push(Node::start(setup).await.unwrap());
        until(&nodes[3], "it votes", |s| s.voting == "yes").await;
        network.until_votes(0, &nodes[0], 4).await;
        stop_all(nodes).await;
    });
}

/// Sends bytes and reads what comes back until the other side closes.
async fn exchange(address: std::net::SocketAddr, bytes: &[u8]) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut link = tokio::net::TcpStream::connect(address).await.unwrap();
    link.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = link.read_to_end(&mut answer);
    let read = tokio::time::timeout(std::time::Duration::from_secs(20), read).await;
    read.expect("the listener closes in time").unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn figures_are_told_on_a_listener_that_nobody_can_hold_open() {
    run(async {
        let network = Network::new(1);
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = free.local_addr().unwrap();
        drop(free);
        let mut setup = network.setup(0, true);
        setup.config.metrics = Some(quorate_node::shell::config::MetricsConfig { listen });
        let node = Node::start(setup).await.unwrap();
        until_height(&node, 3).await;
        let get =
            |path: &str| format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
        let figures = exchange(listen, get("/metrics").as_bytes()).await;
        assert!(figures.starts_with("HTTP/1.1 200"), "{figures}");
        for name in [
            "quorate_height ",
            "quorate_syncs_total ",
            "quorate_log_sync_seconds_sum ",
        ] {
            let value = figures.lines().find_map(|line| line.strip_prefix(name));
            let value: f64 = value.expect(name).parse().unwrap();
            assert!(value > 0.0, "{name}");
        }
        assert!(
            exchange(listen, get("/healthz").as_bytes())
                .await
                .ends_with("ok\n")
        );
        assert!(
            exchange(listen, get("/").as_bytes())
                .await
                .starts_with("HTTP/1.1 404")
        );
        // Half a header, and then nothing.
        let begun = std::time::Instant::now();
        exchange(listen, b"GET /metrics HTTP/1.1\r\nhost:").await;
        assert!(begun.elapsed() < std::time::Duration::from_secs(10));
        stop_all(vec![node]).await;
    });
}
