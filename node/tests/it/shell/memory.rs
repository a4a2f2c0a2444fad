//! What a node remembers of its votes, and what it does when that is gone, old, torn or damaged.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quorate_node::app::Ledger;
use quorate_node::shell::disk::Directory;
use quorate_node::shell::driver::{Driver, Parts, Stop, inbox};
use quorate_node::shell::metrics::Figures;
use quorate_node::shell::node::StartError;
use quorate_node::shell::parties::Parties;
use quorate_node::shell::signer::FileSigner;
use quorate_node::shell::store::Store;
use quorate_node::shell::tls::{NetworkKey, Role};
use quorate_node::shell::transport::{Links, dial};
use quorate_pbft::Config;
use quorate_pbft::log::Storage;
use quorate_pbft::time::Timing;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::bench::{
    Network, PATIENCE, consensus_key, height, network_key, public, run, stop, stop_all, until,
    until_height,
};

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The newest file of the vote log.
fn last_segment(data: &Path) -> PathBuf {
    let names = fs::read_dir(data.join("votes")).unwrap();
    names.map(|entry| entry.unwrap().path()).max().unwrap()
}

/// The consensus key of a node, as messages show it.
fn public_hex(node: usize) -> String {
    hex::encode(public(&consensus_key(node)).as_bytes())
}

#[test]
fn a_wiped_node_follows_the_chain_and_votes_again_only_when_that_is_safe() {
    run(async {
        let network = Network::new(4);
        let mut nodes = network.start_all(true).await;
        until_height(&nodes[0], 5).await;
        assert!(matches!(stop(nodes.remove(3)).await, Stop::Asked));
        fs::remove_dir_all(network.data(3)).unwrap();
        let back = network.start(3, false).await;
        let status = back.status().expect("told at the start");
        assert!(status.voting.starts_with("not yet"), "{}", status.voting);
        let before = height(&nodes[0]);
        until_height(&back, before).await;
        until(&back, "it votes", |status| status.voting == "yes").await;
        // The others' certificates have its votes again.
        network.until_votes(0, &nodes[0], 4).await;
        nodes.push(back);
        stop_all(nodes).await;
    });
}

#[test]
fn a_restored_old_disk_refuses_to_vote() {
    run(async {
        let network = Network::new(4);
        let mut nodes = network.start_all(true).await;
        until_height(&nodes[0], 5).await;
        assert!(matches!(stop(nodes.remove(3)).await, Stop::Asked));
        let old = network.dir.path().join("old");
        copy(&network.data(3), &old);
        let back = network.start(3, false).await;
        let reached = height(&nodes[0]) + 10;
        until_height(&back, reached).await;
        until(&back, "it votes", |status| status.voting == "yes").await;
        until_height(&back, reached + 5).await;
        assert!(matches!(stop(back).await, Stop::Asked));

        fs::remove_dir_all(network.data(3)).unwrap();
        copy(&old, &network.data(3));
        let back = network.start(3, false).await;
        let why = tokio::time::timeout(PATIENCE, back.stopped())
            .await
            .unwrap();
        assert!(matches!(why, Stop::KeyElsewhere { .. }), "{why}");
        assert!(why.to_string().contains(&public_hex(3)), "{why}");
        assert!(why.is_incident());

        // Without the old disk it comes back as a wiped one does.
        fs::remove_dir_all(network.data(3)).unwrap();
        let back = network.start(3, false).await;
        until(&back, "it votes", |status| status.voting == "yes").await;
        nodes.push(back);
        stop_all(nodes).await;
    });
}

#[test]
fn a_second_machine_with_the_same_key_stops() {
    run(async {
        let mut network = Network::new(4);
        let mut nodes = network.start_all(true).await;
        until_height(&nodes[0], 3).await;
        // A second machine that can reach the first refuses to start.
        let elsewhere = Network::new(1).address(0);
        let mut setup = network.setup(3, true);
        setup.config.data = network.dir.path().join("second");
        setup.config.listen = quorate_verifier::roster::Address::new(&elsewhere).unwrap();
        let refused = quorate_node::shell::node::Node::start(setup).await;
        let refused = refused.err().expect("the first one answers");
        assert!(
            matches!(refused, StartError::RunsElsewhere { .. }),
            "{refused}"
        );

        // The others think that it has moved. The first one does not know, and the second one
        // takes its key for a new one: it sees votes that it never made.
        let first = nodes.remove(3);
        stop_all(nodes).await;
        let mut entries = network.founding.roster.entries().to_vec();
        entries[3].address = quorate_verifier::roster::Address::new(&elsewhere).unwrap();
        network.founding.roster = quorate_verifier::roster::Roster::new(entries).unwrap();
        let mut nodes = Vec::new();
        for node in 0..3 {
            nodes.push(network.start(node, false).await);
        }
        let second = |name: &str, fresh| {
            let mut setup = network.setup(3, fresh);
            setup.config.data = network.dir.path().join(name);
            quorate_node::shell::node::Node::start(setup)
        };
        let node = second("fresh", true).await.unwrap();
        let why = tokio::time::timeout(PATIENCE, node.stopped())
            .await
            .unwrap();
        // Or the first one has reached the others again, and they have told the second one.
        let seen = matches!(why, Stop::KeyElsewhere { .. } | Stop::SecondMachine { .. });
        assert!(seen, "{why}");
        assert!(why.to_string().contains(&public_hex(3)), "{why}");
        assert!(why.is_incident());

        // With the first one out of the way, and without that claim, it rejoins.
        first.stop().await;
        let _ = first.stopped().await; // by then it may have been told as well
        let node = second("rejoins", false).await.unwrap();
        until(&node, "it votes", |status| status.voting == "yes").await;
        nodes.push(node);
        stop_all(nodes).await;
    });
}

/// Another machine with node 3's network key, as far as `node` sees.
async fn impostor(network: &Network, node: usize) -> impl Sized {
    let key = NetworkKey(network_key(node).verifying_key().to_bytes());
    let identity = network.identity(network_key(3));
    dial(&network.address(node), key, &identity, Role::Peer)
        .await
        .unwrap()
}

#[test]
fn a_key_that_two_machines_use_side_by_side_stops_the_one_that_is_told() {
    run(async {
        let network = Network::new(4);
        let mut nodes = network.start_all(true).await;
        until(&nodes[3], "all links are up", |status| {
            status.peers.iter().all(|peer| peer.reached && peer.heard)
        })
        .await;
        // One of four may lie: what it says alone stops nobody.
        let one = impostor(&network, 0).await;
        let from = height(&nodes[3]);
        until_height(&nodes[3], from + 10).await;
        until(&nodes[0], "it has the true one's link again", |status| {
            status.peers[2].heard
        })
        .await;

        let other = impostor(&network, 1).await;
        let told = nodes.remove(3);
        let why = tokio::time::timeout(PATIENCE, told.stopped())
            .await
            .unwrap();
        let Stop::SecondMachine {
            key,
            network_key: seen,
            told_by,
            ..
        } = &why
        else {
            panic!("{why}");
        };
        assert_eq!(*key, public_hex(3));
        assert_eq!(seen.0, network_key(3).verifying_key().to_bytes());
        assert_eq!(told_by, "node-0, node-1");
        assert!(why.is_incident());
        drop((one, other));
        // The others go on, and it votes again once the other machine is gone.
        let back = network.start(3, false).await;
        until(&back, "it votes", |status| status.voting == "yes").await;
        network.until_votes(0, &nodes[0], 4).await;
        nodes.push(back);
        stop_all(nodes).await;
    });
}

#[test]
fn a_torn_end_of_the_vote_log_is_cut_and_damage_before_it_is_refused() {
    run(async {
        let network = Network::new(4);
        let nodes = network.start_all(true).await;
        until_height(&nodes[0], 5).await;
        stop_all(nodes).await;
        let torn = last_segment(&network.data(2));
        let bytes = fs::read(&torn).unwrap();
        fs::write(&torn, &bytes[..bytes.len() - 5]).unwrap();
        // It may have lost a vote that left: it is silent at that height, the others go on.
        let mut nodes = network.start_all(false).await;
        let from = height(&nodes[0]);
        for node in &nodes {
            until_height(node, from + 5).await;
        }
        network.until_votes(0, &nodes[0], 4).await;

        assert!(matches!(stop(nodes.remove(1)).await, Stop::Asked));
        let damaged = last_segment(&network.data(1));
        let mut bytes = fs::read(&damaged).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(damaged, bytes).unwrap();
        let refused = network.try_start(1, false).await.err().expect("damaged");
        assert!(
            matches!(refused, StartError::Stop(Stop::Damaged(_))),
            "{refused}"
        );
        fs::remove_dir_all(network.data(1)).unwrap();
        let back = network.start(1, false).await;
        until(&back, "it votes", |status| status.voting == "yes").await;
        nodes.push(back);
        stop_all(nodes).await;
    });
}

/// A directory whose medium fails when it is told to.
struct Failing {
    inner: Directory,
    fails: Arc<AtomicBool>,
}

impl Failing {
    fn check(&self) -> io::Result<()> {
        match self.fails.load(Ordering::Relaxed) {
            true => Err(io::Error::from(io::ErrorKind::StorageFull)),
            false => Ok(()),
        }
    }
}

impl Storage for Failing {
    type Error = io::Error;
    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.inner.read(name)
    }
    fn create(&mut self, name: &str) -> io::Result<()> {
        self.check().and_then(|()| self.inner.create(name))
    }
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.inner.append(name, bytes)
    }
    fn truncate(&mut self, name: &str, length: usize) -> io::Result<()> {
        self.inner.truncate(name, length)
    }
    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.check().and_then(|()| self.inner.sync(name))
    }
    fn sync_directory(&mut self) -> io::Result<()> {
        self.inner.sync_directory()
    }
    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
}

#[test]
fn a_node_whose_disk_fails_stops_and_says_so() {
    run(async {
        let network = Network::new(1);
        let founding = network.founding.clone();
        let config = network.config(0);
        let own = NetworkKey(network_key(0).verifying_key().to_bytes());
        let parties = Parties::new(&founding.roster, &config, own, &public(&consensus_key(0)));
        let (inlet, inbox) = inbox(16, 16);
        let links = Arc::new(Links::new(Arc::new(parties.unwrap()), inlet));
        let fails = Arc::new(AtomicBool::new(false));
        let path = |name: &str| network.dir.path().join(name);
        let disk = Failing {
            inner: Directory::open(&path("votes")).unwrap(),
            fails: fails.clone(),
        };
        let mark = path("mark");
        let signer = FileSigner::open(consensus_key(0), network.chain(), &mark, true).unwrap();
        let (progress, mut seen) = watch::channel(None);
        let parts = Parts {
            genesis: founding.genesis,
            set: Arc::new(founding.set),
            sets: Vec::new(),
            app: Ledger::default(),
            config: Config {
                key: None,
                salt_key: [0; 32],
                timing: Timing {
                    idle_ms: 30,
                    ..Timing::WIDE
                },
                snapshot_every: 0,
            },
            disk,
            store: Store::open(&path("blocks.redb"), &network.chain()).unwrap(),
            signer: Box::new(signer),
            links,
            figures: Arc::new(Figures::default()),
            evidence: network.dir.path().to_path_buf(),
            progress,
        };
        let driver = Driver::start(parts, Handle::current()).unwrap();
        let running = tokio::task::spawn_blocking(move || driver.run(inbox));
        let told = |p: &Option<quorate_node::shell::status::Progress>| {
            p.as_ref().is_some_and(|p| p.height.get() >= 3)
        };
        tokio::time::timeout(PATIENCE, seen.wait_for(told))
            .await
            .unwrap()
            .unwrap();
        fails.store(true, Ordering::Relaxed);
        let why = tokio::time::timeout(PATIENCE, running)
            .await
            .unwrap()
            .unwrap();
        assert!(
            matches!(&why, Stop::Log(text) if text.contains("space")),
            "{why}"
        );
        assert!(!why.is_incident());
    });
}
