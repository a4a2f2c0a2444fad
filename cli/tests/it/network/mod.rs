//! Four real processes: killed, cut off from their memory, restarted; and every request that was
//! answered is there exactly once.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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

/// Nothing takes longer, not even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// Accounts that send requests.
const SENDERS: usize = 4;

/// Four nodes in processes of their own.
struct Network {
    sandbox: Sandbox,
    nodes: Vec<Option<Child>>,
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

/// Four ports in a row that are free now.
fn ports() -> u16 {
    let mut base = 20_000 + u16::try_from(std::process::id() % 20_000).unwrap();
    loop {
        let bound: Result<Vec<_>, _> = (0..4)
            .map(|i| TcpListener::bind(("127.0.0.1", base + i)))
            .collect();
        if bound.is_ok() {
            return base;
        }
        base += 4;
    }
}

impl Network {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("ledger.json", ledger().to_json());
        let port = ports();
        let init = format!(
            "init --validators 4 --dir net --base-port {port} --block-interval-ms 20 --ledger ledger.json"
        );
        sandbox.expect(0, &init);
        for node in 0..4 {
            let path = sandbox.path(config(node));
            let mut file = File::options().append(true).open(path).unwrap();
            let timing =
                "[timing]\nview_ms = 600\nidle_ms = 200\nresend_ms = 50\nresend_max_ms = 500\n";
            file.write_all(timing.as_bytes()).unwrap();
        }
        let anchor = sandbox.read("net/public/trust-anchor.json");
        let anchor = TrustAnchor::from_file(&anchor).unwrap();
        Self {
            chain: anchor.header.digest(),
            anchor,
            sandbox,
            nodes: (0..4).map(|_| None).collect(),
        }
    }

    fn start(&mut self, node: usize, option: &str) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.sandbox.path(format!("node-{node}.log")))
            .unwrap();
        let child = self
            .sandbox
            .command()
            .args(["node", "--config", &config(node)])
            .args(option.split_whitespace())
            .stdout(Stdio::null())
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
        let mut child = self.nodes[node].take().unwrap();
        let id = child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(sent.success());
        child.wait().unwrap().code().unwrap()
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

/// Requests in all; each of the parts takes a share of them. Answers how many of the three
/// interruptions came while requests were under way.
fn survives(requests: u64) -> u32 {
    let share = requests / 4;
    let per_sender = share / SENDERS as u64;
    let mut network = Network::new();
    for part in 0..4 {
        let first = part * per_sender + 1;
        network.write_requests(&format!("part-{part}"), first, share);
    }
    for node in 0..4 {
        network.start(node, "--new");
    }
    (0..4).for_each(|node| network.until_height(node, 1));
    network.submitted(network.submit(0, "part-0"), share);

    // Twice the primary, while requests are under way over another node.
    let mut interrupted = 0;
    for part in [1, 2] {
        let primary = network.primary(0);
        let asked = (primary + 1) % 4;
        let mut running = network.submit(asked, &format!("part-{part}"));
        interrupted += u32::from(network.until_under_way(asked, &mut running));
        network.kill(primary);
        network.submitted(running, share);
        network.start(primary, "");
        let height = network.height(asked);
        network.until_height(primary, height);
    }

    // All at once, in the middle of the last part, and one log loses its end.
    let mut running = network.submit(0, "part-3");
    interrupted += u32::from(network.until_under_way(0, &mut running));
    (0..4).for_each(|node| network.kill(node));
    assert!(
        interrupted > 0,
        "every part was done before anything was killed"
    );
    network.corrupt_tail(2);
    (0..4).for_each(|node| network.start(node, ""));
    network.submitted(running, share);

    // One disk is lost. Four validators bear one that is out of order, so not before the log of
    // the other is whole again.
    network.until(2, "it votes again", |s| s["voting"] == "yes");
    network.kill(3);
    network.wipe(3);
    network.start(3, "");
    network.signs_and_submits(4 * per_sender);

    let height = network.height(0);
    (0..4).for_each(|node| network.until_height(node, height + 2));
    network.until(3, "it has rejoined", |s| s["voting"] == "yes");
    network.audit(4 * per_sender + 1);
    for node in 0..4 {
        assert_eq!(network.terminate(node), 0, "{}", network.log(node));
    }
    interrupted
}

#[test]
fn four_processes_lose_nothing_that_they_acknowledged() {
    survives(2_000);
}

#[test]
#[ignore = "takes minutes: the long form, whose last result is in docs/operating"]
fn four_processes_and_ten_thousand_requests() {
    let begun = Instant::now();
    let interrupted = survives(10_000);
    let seconds = begun.elapsed().as_secs();
    println!("10,000 requests in {seconds} s, {interrupted} of 3 parts interrupted");
}

#[test]
fn check_says_what_keeps_a_node_from_starting() {
    let network = Network::new();
    let sandbox = &network.sandbox;
    let check = format!("node --config {} --check", config(1));
    let answer = sandbox.json(&check);
    assert_eq!(answer["verdict"], "verified", "{answer}");
    assert!(
        !sandbox.path("net/nodes/node-1/data").exists(),
        "nothing is made"
    );

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let key = sandbox.path("net/nodes/node-1/consensus.pem");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let run = sandbox.expect(4, &check);
        assert!(run.stderr.contains("chmod 600"), "{run:?}");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let path = sandbox.path(config(1));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("node-1", "node-2")).unwrap();
    assert!(sandbox.expect(4, &check).stderr.contains("name"));
    fs::write(&path, text.replace("ledger.json", "roster.json")).unwrap();
    sandbox.expect(4, &check);
    fs::write(
        &path,
        text.lines()
            .filter(|l| !l.starts_with("state"))
            .collect::<Vec<_>>()
            .join("\n"),
    )
    .unwrap();
    assert!(sandbox.expect(4, &check).stderr.contains("state"));
    fs::write(&path, &text).unwrap();
    let listen: toml::Table = toml::from_str(&text).unwrap();
    let taken = TcpListener::bind(listen["listen"].as_str().unwrap()).unwrap();
    assert!(sandbox.expect(5, &check).stderr.contains("listen"));
    drop(taken);
    sandbox.expect(5, &format!("status --config {}", config(1)));
}
