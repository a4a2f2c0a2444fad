//! Killed in the middle of a real proof: what is left behind, and that it goes on. One real proof
//! under the key that all tests share.

use std::fs;
use std::time::{Duration, Instant};

use quorate_node::attest::log::{DirReader, LogReader};
use quorate_node::attest::store::JobId;
use quorate_verifier::certificate::SignedHeader;
use quorate_verifier::encoding::Canonical;
use quorate_verifier::file::FileType;
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::tlog::{Checkpoint, FinalityEntry, NoteKey};
use serde_json::Value;

use crate::keys::shared_key;
use crate::service::{Served, serve_in};
use crate::support::Sandbox;

/// A proof under a load of other tests takes a while, and so does a lease that nobody renews.
const PATIENCE: Duration = Duration::from_secs(400);
/// What is not needed any more ends within this time: at low priority, beside other tests. On an
/// idle machine it takes some milliseconds.
const PROMPT: Duration = Duration::from_secs(15);

fn wait(what: &str, patience: Duration, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < patience, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// State and parent of a process; `None` when it is gone, or only waits to be buried.
fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (!["Z", "X"].contains(&state)).then_some(parent)
}

fn children(process: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap();
    let ids = all.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    ids.filter(|id| parent(*id) == Some(process)).collect()
}

fn only_child(process: u32) -> u32 {
    let found = children(process);
    assert_eq!(found.len(), 1, "children of {process}: {found:?}");
    found[0]
}

fn kill(process: u32) {
    let status = std::process::Command::new("kill")
        .args(["-9", &process.to_string()])
        .status();
    assert!(status.unwrap().success());
}

struct Place {
    sandbox: Sandbox,
    job: String,
    vkey: NoteKey,
    block: SignedHeader,
}

impl Place {
    /// A network of four, its first block, and a service with a worker of its own.
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let key = shared_key();
        let keys = key.dir().parent().unwrap().display().to_string();
        let done = |line: &str| {
            let answer = sandbox.json(line);
            assert_eq!(answer["exitCode"], 0, "{line}: {answer}");
            answer
        };
        done(&format!(
            "keys export-light {} --keys {keys} --out key.vk",
            key.digest()
        ));
        done("demo --certificates --dir net --verifying-key key.vk");
        for (dir, from, to) in [
            ("blocks", "net/block-1.signed-header", "1.signed-header"),
            ("sets", "net/private/validator-set.json", "set.json"),
        ] {
            fs::create_dir(sandbox.path(dir)).unwrap();
            fs::copy(sandbox.path(from), sandbox.path(dir).join(to)).unwrap();
        }
        done("keygen --out finality.pem");
        done("keygen --out access.pem");
        fs::create_dir(sandbox.path("service")).unwrap();
        done("token create --data service --role operator --label watch --out token");
        sandbox.write(
            "serve.toml",
            format!(
                "data = \"service\"\npolicy = \"net/public/policy.json\"\n\
                 verifying_keys = [\"key.vk\"]\n\
                 [log]\nfinality_key = \"finality.pem\"\naccess_key = \"access.pem\"\n\
                 [source]\nblocks = \"blocks\"\nsets = \"sets\"\n\
                 [listen]\npublic = \"127.0.0.1:0\"\noperator = \"127.0.0.1:0\"\n\
                 metrics = \"127.0.0.1:0\"\n\
                 [worker]\nkeys = {}\n",
                Value::from(keys)
            ),
        );
        let block = sandbox.read("net/block-1.signed-header");
        let block = SignedHeader::from_file(&block).unwrap();
        let chain = block.header.chain_id.as_str();
        let vkey = done(&format!("log vkey --key finality.pem.pub --chain {chain}"));
        Self {
            job: JobId::new(&block.header, key.digest()).to_string(),
            vkey: vkey["result"]["vkey"].as_str().unwrap().parse().unwrap(),
            block,
            sandbox,
        }
    }

    /// Whether the prover is in the middle of its work.
    fn is_proving(&self, served: &Served) -> bool {
        let token = self.sandbox.text("token");
        let path = format!("/v1/operator/jobs/{}", self.job);
        let (status, body) = served.get_as("operator", &path, token.trim()).unwrap();
        let job: Value = serde_json::from_slice(&body).unwrap_or_default();
        let phase = job["phase"].as_str().unwrap_or_default();
        status == 200 && !["", "witness"].contains(&phase)
    }

    fn checkpoint(&self, served: &Served) -> Checkpoint {
        let (status, text) = served.get("public", "/log/finality/checkpoint").unwrap();
        assert_eq!(status, 200);
        let checkpoint: Checkpoint = String::from_utf8(text).unwrap().parse().unwrap();
        checkpoint.verify(&self.vkey).unwrap();
        checkpoint
    }
}

#[test]
fn from_nothing_to_a_verdict_though_all_is_killed_in_mid_proof() {
    let place = Place::new();
    let sandbox = &place.sandbox;
    // First the service and its worker at once, then the service alone.
    for both in [true, false] {
        let served = serve_in(sandbox);
        wait("a proof is under way", PATIENCE, || {
            place.is_proving(&served)
        });
        let worker = only_child(served.id());
        let prover = only_child(worker);
        assert_eq!(place.checkpoint(&served).head().size, 0);
        if both {
            kill(worker);
        }
        drop(served); // SIGKILL
        for (process, what) in [(prover, "the prover ends"), (worker, "the worker ends")] {
            wait(what, PROMPT, || parent(process).is_none());
        }
    }
    let served = serve_in(sandbox);
    wait("block 1 is covered", PATIENCE, || {
        let (_, status) = served.get("public", "/v1/status").unwrap();
        let status: Value = serde_json::from_slice(&status).unwrap();
        status["covered"]["height"] == "1"
    });
    let (_, file) = served.get("public", "/v1/attestations/1/binary").unwrap();
    sandbox.write("block-1.attestation", file);
    // One leaf, of this block, under a checkpoint; nothing more after another start.
    assert_eq!(place.checkpoint(&served).head().size, 1);
    drop(served);
    let served = serve_in(sandbox);
    assert_eq!(place.checkpoint(&served).head().size, 1);
    let log = DirReader::new(sandbox.path("service/log/finality"));
    let entry = FinalityEntry::of(&place.block.header, QuorumRule::COMMIT);
    assert_eq!(log.bundle(0, 1).unwrap(), [entry.to_bytes()]);
    assert_eq!(log.checkpoint().unwrap().head().size, 1);
    drop(served);

    // What the service handed out, judged by somebody who has policy and key.
    let done = |line: &str| sandbox.json(line);
    let verify = "verify block-1.attestation --policy net/public/policy.json --key key.vk";
    let verdict = done(verify);
    assert_eq!(verdict["verdict"], "final", "{verdict}");
    assert!(verdict.to_string().contains("development"), "{verdict}");
    let production = done(&format!("{verify} --production"));
    assert_ne!(production["exitCode"], 0);
    let mut bent = sandbox.read("block-1.attestation");
    let last = bent.len() - 1;
    bent[last] ^= 0x80;
    sandbox.write("block-1.attestation", bent);
    assert_eq!(done(verify)["verdict"], "invalid");
}
