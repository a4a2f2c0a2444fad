//! Whole nodes on loopback, in this process.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use quorate_node::app::{self, Ledger};
use quorate_node::shell::config::NodeConfig;
use quorate_node::shell::driver::Stop;
use quorate_node::shell::node::{Node, Setup, StartError};
use quorate_node::shell::status::Status;
use quorate_node::shell::stream::{CertificateStream, StreamConfig, StreamItem};
use quorate_node::shell::tls::{Identity, NetworkKey};
use quorate_verifier::founding::Founding;
use quorate_verifier::genesis::{Genesis, Limits, Parameters};
use quorate_verifier::primitives::{Digest, Height, Power, TimeMs};
use quorate_verifier::roster::{Address, MachineName, Roster, RosterEntry};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::Salt;
use quorate_verifier::signature::VoteKey;
use quorate_verifier::sizes;
use quorate_verifier::trust::{Cosigners, Policy, TrustAnchor};

/// A network that does not run yet.
pub(crate) struct Network {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) founding: Founding,
    pub(crate) ledger: Option<app::Genesis>,
    pub(crate) extra: String,
    /// Addresses of machines that are not in the founding roster.
    pub(crate) later: Vec<String>,
}

pub(crate) fn consensus_key(node: usize) -> SigningKey {
    SigningKey::from_bytes(&[u8::try_from(10 + node).unwrap(); 32])
}

pub(crate) fn network_key(node: usize) -> SigningKey {
    SigningKey::from_bytes(&[u8::try_from(110 + node).unwrap(); 32])
}

/// A key that every node lists as a client's and observer's.
pub(crate) fn guest_key() -> SigningKey {
    SigningKey::from_bytes(&[210; 32])
}

pub(crate) fn public(key: &SigningKey) -> VoteKey {
    VoteKey::from_bytes(key.verifying_key().as_bytes()).unwrap()
}

/// Ports that nobody listens at. They stay free for all practical purposes: the system hands out
/// others first.
fn ports(count: usize) -> Vec<u16> {
    let listeners: Vec<_> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let port = |l: &TcpListener| l.local_addr().unwrap().port();
    listeners.iter().map(port).collect()
}

fn entry(node: usize, port: u16) -> RosterEntry {
    RosterEntry {
        name: MachineName::new(&format!("node-{node}")).unwrap(),
        consensus_key: public(&consensus_key(node)),
        network_key: public(&network_key(node)),
        address: Address::new(&format!("127.0.0.1:{port}")).unwrap(),
        power: Power::new(1).unwrap(),
    }
}

impl Network {
    pub(crate) fn new(nodes: usize) -> Self {
        Self::with_ledger(nodes, None)
    }

    pub(crate) fn with_ledger(nodes: usize, ledger: Option<app::Genesis>) -> Self {
        let ports = ports(nodes).into_iter().enumerate();
        let entries = ports.map(|(node, port)| entry(node, port));
        let roster = Roster::new(entries.collect()).unwrap();
        let salt = Some(Salt::from_bytes([9; 32]));
        let set = roster.validator_set(salt, sizes::largest().size).unwrap();
        let state = |l: &app::Genesis| l.state_root().unwrap();
        let genesis = Genesis {
            name: "bench".into(),
            time: TimeMs::new(1_700_000_000_000).unwrap(),
            parameters: Parameters {
                rule: QuorumRule::COMMIT,
                slots: set.size(),
                keys: Vec::new(),
                block_interval_ms: 20,
                limits: Limits::DEFAULT,
            },
            validators: set.commitment(),
            state_root: ledger
                .as_ref()
                .map_or_else(|| quorate_verifier::merkle::root(&[]), state),
        };
        let anchor = TrustAnchor {
            header: genesis.header().unwrap(),
            keys: Vec::new(),
            trusting_period_ms: 86_400_000,
            clock_drift_ms: 10_000,
            made_at: genesis.time,
        };
        let policy = Policy {
            anchor: anchor.clone(),
            rule: QuorumRule::COMMIT,
            keys: Vec::new(),
            log_key: None,
            cosigners: Cosigners::NONE,
            development_keys: true,
        };
        let founding = Founding {
            genesis,
            anchor,
            policy,
            set,
            roster,
        };
        Self {
            dir: tempfile::tempdir().unwrap(),
            founding,
            ledger,
            extra: String::new(),
            later: Vec::new(),
        }
    }

    /// One more machine, listed by everybody's configuration; answers the roster with it.
    pub(crate) fn add(&mut self) -> Roster {
        let mut entries = self.founding.roster.entries().to_vec();
        let node = entries.len();
        let entry = entry(node, ports(1)[0]);
        self.later.push(entry.address.to_string());
        self.extra = format!(
            "[[peers]]\nname = \"{}\"\nnetwork_key = \"{}\"\nconsensus_key = \"{}\"\naddress = \"{}\"\n",
            entry.name,
            hex::encode(entry.network_key.as_bytes()),
            hex::encode(entry.consensus_key.as_bytes()),
            entry.address
        );
        entries.push(entry);
        Roster::new(entries).unwrap()
    }

    pub(crate) fn chain(&self) -> Digest {
        self.founding.anchor.header.digest()
    }

    pub(crate) fn address(&self, node: usize) -> String {
        let founding = self.founding.roster.entries();
        match founding.get(node) {
            Some(entry) => entry.address.to_string(),
            None => self.later[node - founding.len()].clone(),
        }
    }

    pub(crate) fn data(&self, node: usize) -> PathBuf {
        self.dir.path().join(format!("data-{node}"))
    }

    pub(crate) fn config(&self, node: usize) -> NodeConfig {
        let guest = hex::encode(guest_key().verifying_key().as_bytes());
        let text = format!(
            "name = \"node-{node}\"\nchain = \"{chain}\"\nlisten = \"{listen}\"\n\
             data = \"data-{node}\"\n[keys]\nconsensus = \"c\"\nnetwork = \"n\"\n\
             [documents]\ngenesis = \"g\"\nanchor = \"a\"\npolicy = \"p\"\nset = \"s\"\nroster = \"r\"\n\
             [timing]\nview_ms = 400\nidle_ms = 60\nresend_ms = 50\nresend_max_ms = 400\n\
             [[clients]]\nname = \"guest\"\nkey = \"{guest}\"\n\
             [[observers]]\nname = \"guest\"\nkey = \"{guest}\"\n{extra}",
            chain = self.founding.anchor.header.chain_id.as_str(),
            listen = self.address(node),
            extra = self.extra,
        );
        NodeConfig::parse(&text, self.dir.path()).unwrap()
    }

    pub(crate) fn setup(&self, node: usize, fresh: bool) -> Setup<Ledger> {
        let ledger = |l: &app::Genesis| l.ledger().unwrap();
        Setup {
            config: self.config(node),
            founding: self.founding.clone(),
            sets: Vec::new(),
            consensus: consensus_key(node),
            network: network_key(node),
            app: self.ledger.as_ref().map_or_else(Ledger::default, ledger),
            fresh,
        }
    }

    pub(crate) async fn try_start(&self, node: usize, fresh: bool) -> Result<Node, StartError> {
        Node::start(self.setup(node, fresh)).await
    }

    pub(crate) async fn start(&self, node: usize, fresh: bool) -> Node {
        self.try_start(node, fresh).await.unwrap()
    }

    pub(crate) async fn start_all(&self, fresh: bool) -> Vec<Node> {
        let mut nodes = Vec::new();
        for node in 0..self.founding.roster.entries().len() {
            nodes.push(self.start(node, fresh).await);
        }
        nodes
    }

    /// Somebody with this key, on this chain.
    pub(crate) fn identity(&self, key: SigningKey) -> Identity {
        Identity::new(key, self.founding.anchor.header.chain_id.clone())
    }

    pub(crate) fn stream_config(&self, node: usize) -> StreamConfig {
        StreamConfig {
            address: self.address(node),
            node: NetworkKey(network_key(node).verifying_key().to_bytes()),
            identity: self.identity(guest_key()),
            chain: self.founding.anchor.header.chain_id.clone(),
            parent: Some(self.chain()),
            contents: true,
        }
    }

    /// Waits until certificates have so many votes, the late ones counted.
    pub(crate) async fn until_votes(&self, node: usize, running: &Node, votes: usize) {
        let begun = Instant::now();
        loop {
            let config = StreamConfig {
                parent: None,
                contents: false,
                ..self.stream_config(node)
            };
            let from = Height::new(height(running));
            let mut stream = CertificateStream::connect(config, from).await.unwrap();
            let item = tokio::time::timeout(PATIENCE, stream.next()).await;
            let found = item.expect("within a minute").unwrap();
            let found = found.signed.certificate.votes().len();
            if found == votes {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{found} votes, not {votes}");
        }
    }

    /// The first blocks of a node, up to a height, every certificate checked.
    pub(crate) async fn blocks(&self, node: usize, to: u64) -> Vec<StreamItem> {
        let config = self.stream_config(node);
        let mut stream = CertificateStream::connect(config, Height::new(1))
            .await
            .unwrap();
        let mut items = Vec::new();
        for height in 1..=to {
            let item = tokio::time::timeout(Duration::from_secs(30), stream.next());
            items.push(item.await.expect("within 30 s").unwrap());
            stream.ack(Height::new(height)).await.unwrap();
        }
        items
    }
}

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the node says something.
pub(crate) async fn until(node: &Node, what: &str, is: impl Fn(&Status) -> bool) -> Status {
    let begun = Instant::now();
    loop {
        let status = node.status();
        if let Some(status) = status.as_ref().filter(|status| is(status)) {
            return status.clone();
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: {status:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn until_height(node: &Node, height: u64) -> Status {
    until(node, &format!("height {height}"), |s| s.height >= height).await
}

pub(crate) fn height(node: &Node) -> u64 {
    node.status().map_or(0, |status| status.height)
}

pub(crate) async fn stop(node: Node) -> Stop {
    node.stop().await;
    node.stopped().await
}

pub(crate) async fn stop_all(nodes: Vec<Node>) {
    for node in nodes {
        let why = stop(node).await;
        assert!(matches!(why, Stop::Asked), "{why}");
    }
}

/// A runtime for one test.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}

/// Lines that were logged, by whichever test: look for names that are your own.
#[derive(Clone, Default)]
pub(crate) struct Logged(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Logged {
    /// From now on everything of this process is kept.
    pub(crate) fn start() -> Self {
        static ONE: std::sync::OnceLock<Logged> = std::sync::OnceLock::new();
        ONE.get_or_init(|| {
            let logged = Self::default();
            let writer = logged.clone();
            tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(move || writer.clone())
                .init();
            logged
        })
        .clone()
    }

    pub(crate) fn has(&self, words: &[&str]) -> bool {
        let bytes = self.0.lock().unwrap();
        let text = String::from_utf8_lossy(&bytes);
        text.lines()
            .any(|line| words.iter().all(|w| line.contains(w)))
    }
}
