//! Four real processes, and what is done to them.

mod disk;
mod evidence;
mod links;
mod machines;
mod operating;
mod starting;
mod survival;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use quorate_node::app::{
    AccountId, Amount, Genesis, GenesisAccount, GenesisHolding, GenesisInstrument, InstrumentId,
    KeyBytes, Kind, Operation, Requests,
};
use quorate_node::shell::stream::{CertificateStream, StreamConfig, StreamItem};
use quorate_node::shell::tls::{Identity, NetworkKey};
use quorate_verifier::file::FileType;
use quorate_verifier::primitives::{Digest, Height};
use quorate_verifier::signature::VoteKey;
use quorate_verifier::trust::TrustAnchor;
use serde_json::Value;

use crate::support::Sandbox;

/// Quick, so that tests are.
const TIMING: &str =
    "[timing]\nview_ms = 600\nidle_ms = 200\nresend_ms = 50\nresend_max_ms = 500\n";
/// Nothing takes longer, not even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// Ports of one network: for four nodes, and for what joins them.
const PORTS: u16 = 8;
/// Accounts that send requests.
const SENDERS: usize = 4;

/// Four nodes in processes of their own.
struct Network {
    sandbox: Sandbox,
    /// Room for as many as there are ports.
    nodes: Vec<Option<Child>>,
    /// The first of its ports.
    port: u16,
    chain: Digest,
    anchor: TrustAnchor,
}

fn sender(number: usize) -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[u8::try_from(40 + number).unwrap(); 32])
}

fn name(number: usize) -> AccountId {
    AccountId::new(&format!("sender-{number}")).unwrap()
}

fn euro() -> InstrumentId {
    InstrumentId::new("EUR").unwrap()
}

fn ledger() -> Genesis {
    let account = |number: usize| GenesisAccount {
        account: name(number),
        keys: vec![KeyBytes(sender(number).verifying_key().to_bytes())],
    };
    let holding = |number: usize| GenesisHolding {
        account: name(number),
        instrument: euro(),
        amount: Amount::new(1 << 40).unwrap(),
    };
    Genesis {
        salt: None,
        operator: name(0),
        accounts: (0..SENDERS).map(account).collect(),
        instruments: vec![GenesisInstrument {
            instrument: euro(),
            kind: Kind::Money {
                issuer: name(0),
                decimals: 2,
            },
        }],
        holdings: (0..SENDERS).map(holding).collect(),
    }
}

/// Ports in a row that are free now, and that no other test of this process is given.
fn ports() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let base = first + GIVEN.fetch_add(PORTS, Ordering::Relaxed);
        let bound: Result<Vec<_>, _> = (0..PORTS)
            .map(|i| TcpListener::bind(("127.0.0.1", base + i)))
            .collect();
        if bound.is_ok() {
            return base;
        }
    }
}

impl Network {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("ledger.json", ledger().to_json());
        Self::with(sandbox, "--ledger ledger.json")
    }

    /// In a sandbox, with further options of `init`.
    fn with(sandbox: Sandbox, options: &str) -> Self {
        let port = ports();
        let init = "init --validators 4 --dir net --block-interval-ms 20";
        sandbox.expect(0, &format!("{init} --base-port {port} {options}"));
        for node in 0..4 {
            let path = sandbox.path(config(node));
            let mut file = File::options().append(true).open(path).unwrap();
            file.write_all(TIMING.as_bytes()).unwrap();
        }
        let anchor = sandbox.read("net/public/trust-anchor.json");
        let anchor = TrustAnchor::from_file(&anchor).unwrap();
        Self {
            chain: anchor.header.digest(),
            anchor,
            sandbox,
            port,
            nodes: (0..PORTS).map(|_| None).collect(),
        }
    }

    fn start(&mut self, node: usize, option: &str) {
        self.start_by(node, &[], option);
    }

    /// Starts a node by another program, which is given the command behind its own arguments.
    fn start_by(&mut self, node: usize, program: &[&str], option: &str) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.sandbox.path(format!("node-{node}.log")))
            .unwrap();
        let answer = File::create(self.sandbox.path(format!("node-{node}.json"))).unwrap();
        let mut command = self.sandbox.command();
        if let [program, arguments @ ..] = program {
            let binary = command.get_program().to_owned();
            command = self.sandbox.command_of(program);
            command.args(arguments).arg(binary);
        }
        let child = command
            .args(["--json", "node", "--config", &config(node)])
            .args(option.split_whitespace())
            .stdout(answer)
            .stderr(log)
            .spawn()
            .unwrap();
        self.nodes[node] = Some(child);
    }

    /// `kill -9`.
    fn kill(&mut self, node: usize) {
        let mut child = self.nodes[node].take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks a node to stop as an operator's service manager does; answers its exit code.
    fn terminate(&mut self, node: usize) -> i32 {
        self.signalled(node, "-TERM")
    }

    fn signalled(&mut self, node: usize, signal: &str) -> i32 {
        let id = self.nodes[node].as_ref().unwrap().id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
        self.ends(node)
    }

    /// Waits until a node ends; answers its exit code.
    fn ends(&mut self, node: usize) -> i32 {
        let mut child = self.nodes[node].take().unwrap();
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            if begun.elapsed() > PATIENCE {
                let _ = child.kill();
                let _ = child.wait();
                panic!("node {node} does not end\n{}", self.log(node));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What a node that has ended has printed.
    fn answer(&self, node: usize) -> String {
        self.sandbox.text(&format!("node-{node}.json"))
    }

    /// Waits until somebody has made a file.
    fn until_there(&self, path: &Path) {
        let begun = Instant::now();
        while !path.exists() {
            assert!(begun.elapsed() < PATIENCE, "{} is not made", path.display());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn status(&self, node: usize) -> Option<Value> {
        let run = self
            .sandbox
            .run(&format!("--json status --config {}", config(node)));
        (run.code == 0).then(|| run.json()["result"].clone())
    }

    fn until(&self, node: usize, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let status = self.status(node);
            if let Some(status) = status.as_ref().filter(|status| is(status)) {
                return status.clone();
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{what}: node {node} says {status:?}\n{}",
                self.log(node)
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn until_height(&self, node: usize, height: u64) {
        self.until(node, &format!("height {height}"), |s| {
            height_in(s) >= height
        });
    }

    fn height(&self, node: usize) -> u64 {
        height_in(&self.until(node, "an answer", |_| true))
    }

    fn primary(&self, asked: usize) -> usize {
        let status = self.until(asked, "a primary", |s| s["primary"] != "unknown");
        let primary = status["primary"].as_str().unwrap();
        primary.strip_prefix("node-").unwrap().parse().unwrap()
    }

    fn log(&self, node: usize) -> String {
        let text = self.sandbox.text(&format!("node-{node}.log"));
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Signed requests of all senders, in a file: a transfer each, from `first` on.
    fn write_requests(&self, file: &str, first: u64, count: u64) {
        let mut all = Requests {
            chain: Some(self.chain),
            requests: Vec::new(),
        };
        for number in 0..SENDERS {
            let transfer = |_| Operation::Transfer {
                instrument: euro(),
                from: name(number),
                to: name((number + 1) % SENDERS),
                amount: Amount::new(1).unwrap(),
            };
            let mut own = Requests::of((0..count / SENDERS as u64).map(transfer));
            own.bind(self.chain).unwrap();
            let key = VoteKey::from_bytes(sender(number).verifying_key().as_bytes()).unwrap();
            own.assign(&key, first).unwrap();
            own.sign(&sender(number)).unwrap();
            all.requests.extend(own.requests);
        }
        self.sandbox.write(file, all.to_json());
    }

    /// `quorate submit` on its way.
    fn submit(&self, node: usize, file: &str) -> Child {
        let patience = PATIENCE.as_secs().to_string();
        let config = config(node);
        self.sandbox
            .command()
            .args(["--json", "submit", "--config", &config, file])
            .args(["--patience", &patience])
            .args(["--outcomes", &format!("{file}.outcomes")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Waits until requests wait at a node; whether the submission still runs then.
    fn until_under_way(&self, node: usize, running: &mut Child) -> bool {
        while running.try_wait().unwrap().is_none() {
            let waiting = self.status(node).map(|s| s["waitingRequests"].clone());
            if waiting.is_some_and(|waiting| waiting != 0) {
                return running.try_wait().unwrap().is_none();
            }
        }
        false
    }

    fn submitted(&self, child: Child, count: u64) {
        let output = child.wait_with_output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let logs: String = (0..4).map(|node| self.log(node)).collect();
        assert_eq!(answer["verdict"], "final", "{answer}\n{logs}");
        assert_eq!(answer["result"]["tookEffect"], count, "{answer}");
    }

    /// Every block of a node up to a height, certificates and links checked on the way.
    fn blocks(&self, node: usize, to: u64) -> Vec<StreamItem> {
        let secret = self
            .sandbox
            .path(format!("net/nodes/node-{node}/network.pem"));
        let secret = read_key(&secret);
        let identity = Identity::new(secret, self.anchor.header.chain_id.clone());
        let status = self.until(node, "an answer", |_| true);
        assert!(height_in(&status) > to);
        let listen = fs::read_to_string(self.sandbox.path(config(node))).unwrap();
        let listen: toml::Table = toml::from_str(&listen).unwrap();
        let config = StreamConfig {
            address: listen["listen"].as_str().unwrap().into(),
            node: NetworkKey(identity.key().0),
            identity,
            chain: self.anchor.header.chain_id.clone(),
            parent: Some(self.chain),
            contents: true,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut stream = CertificateStream::connect(config, Height::new(1))
                .await
                .unwrap();
            let mut items = Vec::new();
            for height in 1..=to {
                let item = tokio::time::timeout(PATIENCE, stream.next()).await;
                items.push(item.expect("in time").unwrap());
                stream.ack(Height::new(height)).await.unwrap();
            }
            items
        })
    }

    /// All nodes have the same chain, and in it each sender's requests once each, in order.
    fn audit(&self, per_sender: u64) {
        let heights: Vec<_> = (0..4).map(|node| self.height(node)).collect();
        let common = heights.iter().min().unwrap() - 1;
        let chains: Vec<_> = (0..4).map(|node| self.blocks(node, common)).collect();
        for node in 1..4 {
            for (a, b) in chains[0].iter().zip(&chains[node]) {
                assert_eq!(
                    a.signed.header, b.signed.header,
                    "a fork between 0 and {node}"
                );
                assert_eq!(a.contents, b.contents);
            }
        }
        let mut last = BTreeMap::new();
        let contents = chains[0].iter().filter_map(|item| item.contents.as_ref());
        for request in contents.flat_map(|c| &c.payload.requests) {
            let before = last.insert(request.client, request.sequence).unwrap_or(0);
            assert_eq!(request.sequence, before + 1, "{:?}", request.client);
        }
        assert_eq!(last.len(), SENDERS);
        assert!(last.values().all(|last| *last == per_sender), "{last:?}");
    }

    /// One more request of each sender, written without sequence and signature; the first is
    /// refused by the ledger, and final all the same.
    fn signs_and_submits(&self, last: u64) {
        for number in 0..SENDERS {
            let transfer = Operation::Transfer {
                instrument: euro(),
                from: name(number),
                to: name((number + 1) % SENDERS),
                amount: Amount::new(if number == 0 { 1 << 50 } else { 1 }).unwrap(),
            };
            self.sandbox
                .write("unsigned.json", Requests::of([transfer]).to_json());
            let pem = {
                use ed25519_dalek::pkcs8::EncodePrivateKey;
                sender(number).to_pkcs8_pem(Default::default()).unwrap()
            };
            let key = format!("sender-{number}.pem");
            self.sandbox.write(&key, pem.as_bytes());
            let submit = format!("submit --config {} --key {key} --signed", config(1));
            let draft = self.sandbox.json(&format!(
                "{submit} draft-{number}.json --draft unsigned.json"
            ));
            assert_eq!(draft["verdict"], "done", "{draft}");
            let draft = self.sandbox.read(&format!("draft-{number}.json"));
            let draft = Requests::from_file(&draft).unwrap();
            assert_eq!(draft.requests[0].sequence, Some(last + 1));
            let line = format!("{submit} signed-{number}.json draft-{number}.json");
            let answer = self.sandbox.json(&line);
            let verdict = if number == 0 {
                "policy-failed"
            } else {
                "final"
            };
            assert_eq!(answer["verdict"], verdict, "{answer}");
            // The signed file again: the same outcome, nothing new.
            let line = format!("submit --config {} signed-{number}.json", config(2));
            let again = self.sandbox.json(&line);
            assert_eq!(
                again["result"]["lastHeight"],
                answer["result"]["lastHeight"]
            );
        }
    }

    /// Breaks the last bytes of a node's vote log.
    fn corrupt_tail(&self, node: usize) {
        let votes = self
            .sandbox
            .path(format!("net/nodes/node-{node}/data/votes"));
        let files = fs::read_dir(votes).unwrap();
        let last = files.map(|file| file.unwrap().path()).max().unwrap();
        let mut bytes = fs::read(&last).unwrap();
        let at = bytes.len().saturating_sub(7);
        bytes[at..].iter_mut().for_each(|byte| *byte ^= 0x55);
        fs::write(last, bytes).unwrap();
    }

    fn wipe(&self, node: usize) {
        let data = self.sandbox.path(format!("net/nodes/node-{node}/data"));
        fs::remove_dir_all(data).unwrap();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for child in self.nodes.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn config(node: usize) -> String {
    format!("net/nodes/node-{node}/node.toml")
}

fn height_in(status: &Value) -> u64 {
    status["height"].as_str().unwrap().parse().unwrap()
}

fn read_key(path: &Path) -> ed25519_dalek::SigningKey {
    use ed25519_dalek::pkcs8::DecodePrivateKey;
    let pem: PathBuf = path.into();
    ed25519_dalek::SigningKey::from_pkcs8_pem(&fs::read_to_string(pem).unwrap()).unwrap()
}
