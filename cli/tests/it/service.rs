//! The attestation service as separate processes: served, watched, killed.
//!
//! The chain is the frozen one: its certificates are made again from their seeds, and a worker
//! process hands in the stored proofs of these very statements, which the service verifies as it
//! does any others.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use quorate_fixtures::frozen;
use quorate_fixtures::rolling::Rolling;
use quorate_node::attest::client::Client;
use quorate_node::attest::log::{DirReader, Log, LogReader, LogSigner, Tree};
use quorate_node::attest::store::Failure;
use quorate_node::attest::worker::{ProofJob, Prove, work};
use quorate_verifier::attestation::Attestation;
use quorate_verifier::encoding::Canonical;
use quorate_verifier::file::FileType;
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::tlog::{Checkpoint, FinalityEntry, NoteKey, check_consistency};
use serde_json::Value;

use crate::support::Sandbox;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);
const URL: &str = "QUORATE_TEST_SERVICE";
const TOKEN: &str = "QUORATE_TEST_TOKEN";
/// Kills in the long test; more by setting it.
const KILLS: &str = "QUORATE_KILLS";

/// A network's directory: policy, keys, blocks, sets, configuration.
pub(crate) struct Place {
    pub(crate) sandbox: Sandbox,
    chain: Rolling,
    pub(crate) vkey: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let sandbox = Sandbox::new();
        let policy = frozen::policy();
        let chain = Rolling::new(50, policy.keys[0], &frozen::CHANGES);
        sandbox.write("policy.json", policy.to_json());
        let key = std::fs::read(frozen::dir().join("key.vk")).unwrap();
        sandbox.write("key.vk", key);
        for dir in ["blocks", "sets", "service"] {
            std::fs::create_dir(sandbox.path(dir)).unwrap();
        }
        for (i, network) in chain.networks.iter().enumerate() {
            sandbox.write(&format!("sets/{i}.set"), network.set.to_file());
        }
        sandbox.expect(0, "keygen --out finality.pem");
        sandbox.expect(0, "keygen --out access.pem");
        sandbox.write(
            "serve.toml",
            "data = \"service\"\npolicy = \"policy.json\"\nverifying_keys = [\"key.vk\"]\n\
             [log]\nfinality_key = \"finality.pem\"\naccess_key = \"access.pem\"\n\
             [source]\nblocks = \"blocks\"\nsets = \"sets\"\n\
             [listen]\npublic = \"127.0.0.1:0\"\noperator = \"127.0.0.1:0\"\n\
             metrics = \"127.0.0.1:0\"\n",
        );
        let make = "token create --data service --role operator --label worker --out worker.token";
        sandbox.expect(0, make);
        let id = policy.anchor.header.chain_id;
        let shown = sandbox.json(&format!("log vkey --key finality.pem.pub --chain {id}"));
        let vkey = shown["result"]["vkey"].as_str().unwrap().to_owned();
        Self {
            sandbox,
            chain,
            vkey,
        }
    }

    /// Puts a block where the service looks for it.
    pub(crate) fn feed(&self, height: u64) {
        let headers = self.chain.headers(height);
        let block = self.chain.finalize(headers.last().unwrap());
        let beside = self.sandbox.path("blocks/.new");
        std::fs::write(&beside, block.to_file()).unwrap();
        let place = self
            .sandbox
            .path(format!("blocks/{height:04}.signed-header"));
        std::fs::rename(beside, place).unwrap();
    }

    pub(crate) fn serve(&self) -> Served {
        serve_in(&self.sandbox)
    }

    fn worker(&self, served: &Served) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args([
                "service::stored_worker",
                "--exact",
                "--ignored",
                "--nocapture",
            ])
            .env(URL, format!("http://{}", served.listeners["operator"]))
            .env(TOKEN, self.sandbox.path("worker.token"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn log(&self) -> DirReader {
        DirReader::new(self.log_dir())
    }

    pub(crate) fn log_dir(&self) -> PathBuf {
        self.sandbox.path("service/log/finality")
    }

    /// Every height once, in order, and as signed.
    pub(crate) fn check_log(&self, last: u64) {
        let log = self.log();
        let checkpoint = log.checkpoint().unwrap();
        let key: NoteKey = self.vkey.parse().unwrap();
        checkpoint.verify(&key).unwrap();
        assert_eq!(checkpoint.head().size, last);
        assert_eq!(
            Tree::new(&log, last).root().unwrap(),
            checkpoint.head().root
        );
        let entries = log.bundle(0, last).unwrap();
        let headers = self.chain.headers(last);
        for (entry, header) in entries.iter().zip(&headers[1..]) {
            let expected = FinalityEntry::of(header, QuorumRule::COMMIT);
            assert_eq!(
                entry,
                &expected.to_bytes(),
                "height {}",
                header.height.get()
            );
        }
    }
}

/// The service of a sandbox with a `serve.toml`, once it listens.
pub(crate) fn serve_in(sandbox: &Sandbox) -> Served {
    let mut command = sandbox.command();
    command.args(["serve", "--config", "serve.toml"]);
    let mut child = command
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut listeners = BTreeMap::new();
    while listeners.len() < 3 {
        let line = lines.next().expect("three listeners").unwrap();
        let shown = line.split_once(": http://");
        if let Some((name, url)) = shown.or(line.split_once(": https://")) {
            listeners.insert(name.to_owned(), url.to_owned());
        }
    }
    // The rest is read, so that the pipe never fills.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    Served { child, listeners }
}

pub(crate) struct Served {
    child: Child,
    pub(crate) listeners: BTreeMap<String, String>,
}

impl Served {
    /// Status and body; `None` when the service is gone.
    pub(crate) fn get(&self, listener: &str, path: &str) -> Option<(u16, Vec<u8>)> {
        self.ask(listener, path, "")
    }

    /// The same with a token.
    pub(crate) fn get_as(&self, listener: &str, path: &str, token: &str) -> Option<(u16, Vec<u8>)> {
        self.ask(
            listener,
            path,
            &format!("Authorization: Bearer {token}\r\n"),
        )
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn ask(&self, listener: &str, path: &str, more: &str) -> Option<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(&self.listeners[listener]).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{more}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let status = std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()?;
        Some((status, answer[end + 4..].to_vec()))
    }

    fn json(&self, path: &str) -> Value {
        let (status, body) = self.get("public", path).unwrap();
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    fn wait_until_covered(&self, height: u64) {
        let start = Instant::now();
        while self.json("/v1/status")["covered"]["height"] != height.to_string().as_str() {
            let waited = start.elapsed();
            assert!(
                waited < PATIENCE,
                "height {height}: {}",
                self.json("/v1/status")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A child that does not outlive its test.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Proofs from the store, after as long as a test has patience for.
struct Stored;

impl Prove for Stored {
    async fn prove(
        &mut self,
        job: &ProofJob,
        phase: tokio::sync::watch::Sender<String>,
    ) -> Result<Attestation, Failure> {
        let height = job.block.header.height.get();
        let _ = phase.send("witness".into());
        tokio::time::sleep(Duration::from_millis(20 + height * 37 % 130)).await;
        Ok(frozen::attestation(height))
    }
}

#[test]
#[ignore = "a process of other tests"]
fn stored_worker() {
    let token = std::fs::read_to_string(std::env::var(TOKEN).unwrap()).unwrap();
    let client = Client::new(&std::env::var(URL).unwrap(), Some(token.trim().into())).unwrap();
    let (_never, stop) = tokio::sync::watch::channel(false);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime
        .block_on(work(&client, "stored", &mut Stored, stop))
        .unwrap();
}

#[test]
fn blocks_become_a_log_that_others_watch_over() {
    let place = Place::new();
    let sandbox = &place.sandbox;
    (1..=12).for_each(|height| place.feed(height));
    let served = place.serve();
    let _worker = Kept(place.worker(&served));
    served.wait_until_covered(12);
    place.check_log(12);
    assert_eq!(served.json("/v1/finality/7")["status"], "final");
    // What is served verifies with the command that trusts nothing of it.
    let proved = served.json("/v1/status");
    assert_eq!(proved["behind"], "0");
    let (_, file) = served
        .get("public", "/v1/attestations/latest/binary")
        .unwrap();
    assert_eq!(
        Attestation::from_file(&file).unwrap(),
        frozen::attestation(12)
    );
    let ready = served.get("metrics", "/readyz").unwrap();
    assert_eq!(ready.0, 200);
    // Monitor and cosigner over HTTP, each with a memory of its own.
    let log = format!("http://{}/log/finality", served.listeners["public"]);
    let monitor = format!(
        "log monitor --log {log} --vkey {} --state monitor",
        place.vkey
    );
    let seen = sandbox.json(&monitor);
    assert_eq!(
        (&seen["exitCode"], &seen["result"]["size"]),
        (&0.into(), &"12".into())
    );
    sandbox.expect(0, "keygen --out cosigner.pem");
    let cosign = format!(
        "log cosign --log {log} --vkey {} --state cosigner --key cosigner.pem --name c.example",
        place.vkey
    );
    let cosigned = sandbox.json(&cosign);
    assert_eq!(cosigned["exitCode"], 0);
    // This service was not told of the cosigner, and takes nothing from strangers.
    let refused = sandbox.json(&format!("{cosign} --hand-in"));
    assert_eq!(refused["exitCode"], 5, "{refused}");
    // The service ends as asked, and a second one does not get in while it runs.
    let busy = sandbox.run("serve --config serve.toml");
    assert_ne!(busy.code, 0);
    assert!(
        busy.stderr.contains("in use") || busy.stderr.contains("already open"),
        "{busy:?}"
    );
    drop(served);

    // The operator removes all but the keys, writes another history, and starts again.
    std::fs::remove_dir_all(sandbox.path("service")).unwrap();
    std::fs::create_dir(sandbox.path("service")).unwrap();
    let make = "token create --data service --role operator --label worker --out w2.token";
    sandbox.expect(0, make);
    std::fs::rename(sandbox.path("w2.token"), sandbox.path("worker.token")).unwrap();
    for height in 9..=12 {
        std::fs::remove_file(sandbox.path(format!("blocks/{height:04}.signed-header"))).unwrap();
    }
    let served = place.serve();
    let _worker = Kept(place.worker(&served));
    served.wait_until_covered(8);
    let log = format!("http://{}/log/finality", served.listeners["public"]);
    for command in [
        format!(
            "log monitor --log {log} --vkey {} --state monitor",
            place.vkey
        ),
        format!(
            "log cosign --log {log} --vkey {} --state cosigner --key cosigner.pem --name c.example",
            place.vkey
        ),
    ] {
        let caught = sandbox.json(&command);
        assert_eq!(caught["verdict"], "invalid", "{caught}");
        let summary = caught["summary"].as_str().unwrap();
        assert!(summary.contains("shrank: 8 entries after 12"), "{summary}");
    }
    for (state, file) in [("monitor", "contradiction"), ("cosigner", "contradiction")] {
        let kept: Checkpoint = sandbox.text(&format!("{state}/{file}")).parse().unwrap();
        kept.verify(&place.vkey.parse().unwrap()).unwrap();
    }
}

/// The operator has the log's key, changes one entry of the past, writes all files of the log anew
/// and starts the service again, which sees nothing wrong. Those who looked before do.
#[test]
fn a_past_that_was_rewritten_in_the_files_is_caught() {
    let place = Place::new();
    let sandbox = &place.sandbox;
    (1..=8).for_each(|height| place.feed(height));
    let served = place.serve();
    let worker = Kept(place.worker(&served));
    served.wait_until_covered(8);
    sandbox.expect(0, "keygen --out cosigner.pem");
    let watch = |served: &Served| {
        let log = format!("http://{}/log/finality", served.listeners["public"]);
        let log = format!("--log {log} --vkey {}", place.vkey);
        [
            format!("log monitor {log} --state monitor"),
            format!("log cosign {log} --state cosigner --key cosigner.pem --name c.example"),
        ]
    };
    for command in watch(&served) {
        sandbox.expect(0, &command);
    }
    drop((served, worker));

    let dir = place.log_dir();
    let mut entries = place.log().bundle(0, 8).unwrap();
    let mut other = place.chain.headers(3)[3].clone();
    other.payload_root = other.parent;
    entries[2] = FinalityEntry::of(&other, QuorumRule::COMMIT).to_bytes();
    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::remove_file(sandbox.path("service/memory/finality")).unwrap();
    let key = ed25519_dalek::pkcs8::DecodePrivateKey::from_pkcs8_pem(&sandbox.text("finality.pem"));
    let name = place.vkey.split('+').next().unwrap();
    let signer = LogSigner::new(name, key.unwrap()).unwrap();
    let mut log = Log::open(&dir, &sandbox.path("service/memory/finality"), signer).unwrap();
    log.extend(&entries).unwrap();
    drop(log);
    // The same size, and longer: it makes no difference.
    for height in [8, 12] {
        let served = place.serve();
        let _worker = Kept(place.worker(&served));
        (9..=height).for_each(|height| place.feed(height));
        served.wait_until_covered(height);
        for command in watch(&served) {
            let caught = sandbox.json(&command);
            assert_eq!(caught["verdict"], "invalid", "{caught}");
            let summary = caught["summary"].as_str().unwrap();
            assert!(summary.contains("Both checkpoints bear"), "{summary}");
        }
        for state in ["monitor", "cosigner"] {
            let kept = sandbox.text(&format!("{state}/contradiction"));
            let kept: Checkpoint = kept.parse().unwrap();
            kept.verify(&place.vkey.parse().unwrap()).unwrap();
            assert_eq!(kept.head().size, height);
        }
    }
    // And the service does not start against what its cosigner remembers.
    let config = sandbox.text("serve.toml");
    let told = config.replace("[log]\n", "[log]\ncosigned = [\"cosigner/checkpoint\"]\n");
    sandbox.write("serve.toml", told);
    let refused = sandbox.expect(1, "serve --config serve.toml");
    assert!(refused.stdout.contains("nothing is signed"), "{refused:?}");
}

#[test]
fn a_log_is_handed_over_to_another_key() {
    let place = Place::new();
    let sandbox = &place.sandbox;
    (1..=4).for_each(|height| place.feed(height));
    let served = place.serve();
    let worker = Kept(place.worker(&served));
    served.wait_until_covered(4);
    sandbox.expect(0, "keygen --out new.pem");
    let rotate = "log rotate-key --config serve.toml --log finality --new-key new.pem";
    let busy = sandbox.run(rotate);
    assert_ne!(busy.code, 0, "not while the service runs");
    let look = |served: &Served, vkey: &str| {
        let log = format!("http://{}/log/finality", served.listeners["public"]);
        sandbox.json(&format!(
            "log monitor --log {log} --vkey {vkey} --state monitor"
        ))
    };
    assert_eq!(look(&served, &place.vkey)["exitCode"], 0);
    drop((served, worker));
    let same = sandbox.expect(4, &rotate.replace("new.pem", "finality.pem"));
    assert!(same.stderr.contains("already"), "{same:?}");
    let done = sandbox.json(rotate);
    assert_eq!(done["exitCode"], 0, "{done}");
    let vkey = done["result"]["vkey"].as_str().unwrap();
    // The old key does not start the service any more; the new one does.
    sandbox.expect(4, "serve --config serve.toml");
    let config = sandbox
        .text("serve.toml")
        .replace("finality.pem", "new.pem");
    sandbox.write("serve.toml", config);
    let served = place.serve();
    let _worker = Kept(place.worker(&served));
    (5..=8).for_each(|height| place.feed(height));
    served.wait_until_covered(8);
    let keys = served.json("/log/finality/keys");
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&keys["keys"][1]["vkey"], &keys["keys"][1]["from"]),
        (&vkey.into(), &"4".into())
    );
    // Who watches with the old key follows, and is told.
    for key in [place.vkey.as_str(), vkey] {
        let seen = look(&served, key);
        assert_eq!(
            (&seen["exitCode"], &seen["result"]["size"]),
            (&0.into(), &"8".into())
        );
        let warned = seen["warnings"].to_string().contains("handed it over");
        assert_eq!(warned, key == place.vkey, "{seen}");
    }
    let log = DirReader::new(sandbox.path("service/log/access"));
    let size = log.checkpoint().unwrap().head().size;
    let entries = log.bundle(0, size).unwrap();
    let said = |entry: &Vec<u8>| String::from_utf8_lossy(entry).contains("rotate-key");
    assert!(entries.iter().any(said));
}

#[test]
fn a_pack_is_judged_by_its_readers_policy() {
    let place = Place::new();
    let sandbox = &place.sandbox;
    (1..=12).for_each(|height| place.feed(height));
    let served = place.serve();
    let _worker = Kept(place.worker(&served));
    served.wait_until_covered(12);
    // The last header of the first set is proved after it: without it no way leads to the next.
    let start = Instant::now();
    while served.get("public", "/v1/attestations/8").unwrap().0 != 200 {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(50));
    }
    let url = format!("http://{}", served.listeners["public"]);
    let export = |out: &str| format!("export --url {url} --from 5 --to 11 --out {out}");
    sandbox.expect(0, &export("pack.tar"));
    sandbox.expect(4, &export("pack.tar"));
    sandbox.expect(0, &export("again.tar"));
    let pack = sandbox.read("pack.tar");
    assert_eq!(pack, sandbox.read("again.tar"), "the same bytes each time");
    let (status, download) = served.get("public", "/v1/packs?from=5&to=11").unwrap();
    assert_eq!((status, &download), (200, &pack), "and whoever makes them");
    // The page that checks packs is the same file in a pack, from the service and from the program.
    sandbox.expect(0, "export --verify-html verify.html");
    sandbox.expect(4, "export --verify-html verify.html");
    sandbox.expect(4, "export --verify-html v.html --url http://127.0.0.1:1");
    sandbox.expect(4, "export --from 5 --to 6");
    let page = sandbox.read("verify.html");
    assert_eq!(served.get("public", "/verify.html").unwrap().1, page);
    assert!(pack.windows(page.len()).any(|window| window == page));
    assert_eq!(
        sandbox
            .run(&format!("export --url {url} --from 5 --to 99 --out x"))
            .code,
        3
    );
    drop(served);

    let id = frozen::policy().anchor.header.chain_id;
    let shown = sandbox.json(&format!("log vkey --key finality.pem.pub --chain {id}"));
    let log_key = shown["result"]["key"].as_str().unwrap();
    let demanding = |change: &dyn Fn(&mut Value)| {
        let mut policy: Value = serde_json::from_str(&sandbox.text("policy.json")).unwrap();
        policy["log_key"] = log_key.into();
        change(&mut policy);
        sandbox.write("demanding.json", policy.to_string());
        sandbox.json("verify pack.tar --policy demanding.json")
    };
    let good = demanding(&|_| ());
    assert_eq!(good["verdict"], "final", "{good}");
    let log = |answer: &Value| {
        let checks = answer["checks"].as_array().unwrap().clone();
        checks
            .into_iter()
            .find(|check| check["name"] == "log")
            .unwrap()["status"]
            .clone()
    };
    assert_eq!(log(&good), "pass");
    let without = sandbox.json("verify pack.tar --policy policy.json");
    assert_eq!(
        (&without["verdict"], log(&without)),
        (&"final".into(), "not-checked".into())
    );
    // Nothing that the policy must supply is taken from the pack.
    let stranger = hex::encode([7; 32]);
    let mut lists: Vec<(&str, Value, i32)> = Vec::new();
    lists.push(("keys", Value::Array(Vec::new()), 2));
    lists.push(("log_key", stranger.as_str().into(), 2));
    lists.push((
        "cosigners",
        serde_json::json!({"threshold": 1, "keys": [stranger]}),
        2,
    ));
    lists.push(("development_keys", false.into(), 2));
    for (member, value, code) in lists {
        let refused = demanding(&|policy| {
            policy[member] = value.clone();
            if member == "keys" {
                policy["anchor"]["keys"] = value.clone();
            }
        });
        assert_eq!(refused["exitCode"], code, "{member}: {refused}");
    }
    demanding(&|_| ());
    // A changed digit is found, and what it is in is named. (The service's tests change each byte.)
    let mut found = std::collections::BTreeSet::new();
    for at in (0..pack.len()).step_by(7001) {
        let mut bent = pack.clone();
        bent[at] ^= 1;
        sandbox.write("bent.tar", &bent);
        let answer = sandbox.json("verify bent.tar --policy demanding.json");
        assert_ne!(answer["exitCode"], 0, "byte {at}: {answer}");
        let checks = answer["checks"].as_array().unwrap();
        found.extend(checks.last().map(|check| check["name"].to_string()));
    }
    assert!(found.contains("\"manifest\""), "{found:?}");
    for cut in [pack.len() - 512, pack.len() - 1, 700] {
        sandbox.write("bent.tar", &pack[..cut]);
        let answer = sandbox.json("verify bent.tar --policy demanding.json");
        assert_eq!(answer["verdict"], "invalid");
    }
}

/// Kills service and worker at random moments, and looks at what is left.
#[test]
fn killed_at_any_moment_nothing_is_lost() {
    let kills: u64 = std::env::var(KILLS).map_or(20, |text| text.parse().unwrap());
    let place = Place::new();
    let mut random = Random(7);
    let mut checkpoints: Vec<Checkpoint> = Vec::new();
    let mut attestations: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut fed = 0;
    let mut served = place.serve();
    let mut worker = Kept(place.worker(&served));
    let mut killed = (0, 0);
    for kill in 0..kills {
        // The chain goes on meanwhile, so that each kill may hit any step.
        let due = (kill + 1) * frozen::TIP / kills;
        let until = Instant::now() + Duration::from_millis(random.below(500));
        while Instant::now() < until || fed < due {
            if fed < due {
                fed += 1;
                place.feed(fed);
            }
            if let Some((200, text)) = served.get("public", "/log/finality/checkpoint") {
                let text = String::from_utf8(text).unwrap();
                checkpoints.push(text.parse().unwrap());
            }
            if let Some((200, file)) = served.get("public", "/v1/attestations/latest/binary") {
                let height = Attestation::from_file(&file).unwrap().header.height.get();
                attestations.insert(height.to_string(), file);
            }
            std::thread::sleep(Duration::from_millis(random.below(20)));
        }
        if random.below(3) > 0 {
            drop(served); // SIGKILL
            served = place.serve();
            killed.0 += 1;
            // The worker's address is gone with the service's port.
            worker = Kept(place.worker(&served));
        } else {
            worker = Kept(place.worker(&served));
            killed.1 += 1;
        }
    }
    while fed < frozen::TIP {
        fed += 1;
        place.feed(fed);
    }
    served.wait_until_covered(frozen::TIP);
    for (height, file) in &attestations {
        let path = format!("/v1/attestations/{height}/binary");
        let (status, now) = served.get("public", &path).unwrap();
        assert_eq!(
            (status, &now),
            (200, file),
            "the attestation of height {height} was lost"
        );
    }
    let queue = place.sandbox.text("worker.token");
    assert!(!queue.is_empty());
    drop(served);
    drop(worker);
    place.check_log(frozen::TIP);
    let log = place.log();
    let last = log.checkpoint().unwrap();
    let key: NoteKey = place.vkey.parse().unwrap();
    for old in &checkpoints {
        old.verify(&key).unwrap();
        let (old, new) = (old.head(), last.head());
        let proof = Tree::new(&log, new.size)
            .consistency(old.size)
            .unwrap()
            .unwrap();
        check_consistency((old.size, &old.root), (new.size, &new.root), &proof).unwrap();
    }
    assert!(
        checkpoints
            .windows(2)
            .all(|pair| pair[0].head().size <= pair[1].head().size)
    );
    let sizes: std::collections::BTreeSet<_> = checkpoints.iter().map(|c| c.head().size).collect();
    println!(
        "killed the service {} times, the worker {}; saw {} checkpoints of {} sizes, {} proofs",
        killed.0,
        killed.1,
        checkpoints.len(),
        sizes.len(),
        attestations.len()
    );
    assert!(
        sizes.len() > 5 && attestations.len() > 3,
        "the test saw too little"
    );
}

#[test]
fn bad_configurations_are_named() {
    let place = Place::new();
    let sandbox = &place.sandbox;
    let good = sandbox.text("serve.toml");
    for (from, to, word) in [
        ("data =", "dat =", "unknown field"),
        ("\"policy.json\"", "\"key.vk\"", "key.vk"),
        ("finality.pem", "absent.pem", "absent.pem"),
        ("access.pem", "finality.pem", "a key each"),
        ("finality.pem", "finality.pem.pub", "public key"),
        ("127.0.0.1:0", "127.0.0.1", "invalid socket address"),
        ("[\"key.vk\"]", "[]", "none of the policy's verifying keys"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        sandbox.write("serve.toml", &bad);
        let run = sandbox.run("serve --config serve.toml");
        assert!([3, 4].contains(&run.code), "{word}: {run:?}");
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains(word), "{word}: {run:?}");
    }
    // A log that was signed by another key is not gone on with.
    sandbox.write("serve.toml", &good);
    drop(place.serve());
    sandbox.write(
        "serve.toml",
        good.replace("access.pem", "x")
            .replace("finality.pem", "access.pem")
            .replace("\"x\"", "\"finality.pem\""),
    );
    let run = sandbox.run("serve --config serve.toml");
    assert_eq!(run.code, 4, "{run:?}");
    assert!(run.stderr.contains("change of key"), "{run:?}");
}

#[test]
fn tokens_are_seen_once() {
    let place = Place::new();
    let sandbox = &place.sandbox;
    let text = sandbox.text("worker.token");
    let (id, secret) = text
        .trim()
        .strip_prefix("qrt_")
        .unwrap()
        .split_once('_')
        .unwrap();
    assert!(!sandbox.text("service/tokens.json").contains(secret));
    let mode = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode(&sandbox.path("worker.token")), 0o600);
    assert_eq!(mode(&sandbox.path("service/tokens.json")), 0o600);
    let again = "token create --data service --role operator --label x --out worker.token";
    sandbox.expect(4, again);
    let listed = sandbox.json("token list --data service");
    let tokens = listed["result"]["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 1, "none is made that could not be told");
    assert_eq!(
        (&tokens[0]["id"], &tokens[0]["role"]),
        (&id.into(), &"operator".into())
    );
    sandbox.expect(0, &format!("token revoke --data service {id}"));
    sandbox.expect(4, &format!("token revoke --data service {id}"));
    sandbox.expect(
        4,
        "token create --data service --role king --label x --out t",
    );
    sandbox.expect(4, "token list --data absent");
}

/// A small generator whose numbers follow from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
