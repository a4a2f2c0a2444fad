//! `quorate prove`: real proofs under the key that all tests share (two of them here), and every
//! reason why there is none.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use quorate_fixtures::Network;
use quorate_prover::StoredKey;
use quorate_prover::testing::INSECURE_TEST_SIZE;
use quorate_verifier::attestation::{self, Attestation, KeyRing};
use quorate_verifier::certificate::SignedHeader;
use quorate_verifier::file::FileType;
use quorate_verifier::genesis::AcceptedKey;
use quorate_verifier::primitives::{CircuitSize, Digest, View};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::trust::{Cosigners, Policy, TrustAnchor};

use crate::keys::{copy_shared_key, shared_key};
use crate::support::{Run, Sandbox, interrupt};

const SLOTS: u16 = INSECURE_TEST_SIZE.slots();

/// A network whose circuit is of the shared key's size, with its documents in files.
struct Case {
    sandbox: Sandbox,
    network: Network,
    key: StoredKey,
}

impl Case {
    fn new() -> Self {
        Self::of(Network::new(21, &[40, 30, 20, 10], SLOTS))
    }

    fn of(network: Network) -> Self {
        let case = Self {
            sandbox: Sandbox::new(),
            network,
            key: shared_key(),
        };
        case.sandbox.write("set", case.network.set.to_file());
        case.sandbox.write("policy", case.policy().to_json());
        case.sandbox.write("anchor", case.policy().anchor.to_json());
        case
    }

    fn policy(&self) -> Policy {
        let keys = vec![AcceptedKey {
            digest: *self.key.digest(),
            slots: INSECURE_TEST_SIZE,
        }];
        let header = self.network.genesis_header();
        let anchor = TrustAnchor {
            made_at: header.time,
            header,
            keys: keys.clone(),
            trusting_period_ms: 1_000_000,
            clock_drift_ms: 1000,
        };
        Policy {
            anchor,
            rule: QuorumRule::COMMIT,
            keys,
            log_key: None,
            cosigners: Cosigners::NONE,
            development_keys: true,
        }
    }

    fn block(&self, signers: &[u16]) -> SignedHeader {
        let header = self.network.child(&self.network.genesis_header());
        self.network.finalize(header, View::new(3), signers)
    }

    /// Writes a block and answers the line that proves it from the shared store.
    fn line(&self, block: &SignedHeader, options: &str) -> String {
        self.sandbox.write("block", block.to_file());
        let keys = self.key.dir().parent().unwrap().display().to_string();
        format!("prove block --set set --keys {keys} {options}")
    }

    /// The verdict and the summary of a proof that is not made.
    fn refused(&self, block: &SignedHeader, options: &str) -> (String, String) {
        let line = self.line(block, &format!("{options} --out proof"));
        let answer = self.sandbox.json(&line);
        assert!(!self.sandbox.path("proof").exists(), "{answer}");
        let text = |name: &str| answer[name].as_str().unwrap().to_string();
        (text("verdict"), text("summary"))
    }

    fn expect(&self, block: &SignedHeader, options: &str, verdict: &str, words: &str) {
        let (found, summary) = self.refused(block, options);
        assert!(
            found == verdict && summary.contains(words),
            "{options}: {found}: {summary}"
        );
    }
}

#[test]
fn two_quorums_make_proofs_that_only_differ_at_random() {
    let case = Case::new();
    let (few, many) = (case.block(&[0, 1]), case.block(&[0, 2, 3]));
    let line = case.line(&few, "--policy policy --progress plain --out proof");
    let first = case.sandbox.expect(0, &line);
    // The second from stdin to stdout.
    case.sandbox.write("block", many.to_json());
    let line = line
        .replace("prove block", "prove -")
        .replace("--out proof", "--out -");
    let mut child = case
        .sandbox
        .command()
        .args(line.split_whitespace())
        .stdin(fs::File::open(case.sandbox.path("block")).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut second = Vec::new();
    std::io::copy(&mut child.stdout.take().unwrap(), &mut second).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");

    // Equal in length and in what is logged, times masked; nothing but the header is said.
    let file = case.sandbox.read("proof");
    assert_eq!(file.len(), second.len());
    let mask = |log: &str| -> Vec<String> {
        let line = |line: &str| line.split(", about").next().unwrap().to_string();
        log.lines().map(line).collect()
    };
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(mask(&first.stderr), mask(&log));
    assert!(
        log.contains("sum B2") && log.contains("one party made this key"),
        "{log}"
    );
    let answer = first.stdout.to_lowercase();
    for word in ["signer", "validator", "70", "100"] {
        let spoken = answer.split(|c: char| !c.is_alphanumeric());
        assert!(spoken.clone().all(|w| w != word), "{word}: {answer}");
    }

    // Whoever holds policy and light key accepts both.
    let mut ring = KeyRing::new();
    ring.insert(case.key.verifying().clone().prepare().unwrap());
    let read = |bytes: &[u8]| Attestation::from_file(bytes).unwrap();
    for proof in [read(&file), read(&second)] {
        assert_eq!(attestation::verify(&proof, &case.policy(), &ring), Ok(()));
    }
    assert_ne!(read(&file).proof, read(&second).proof);

    // So does the program, with a word about the key, and not where such keys are refused.
    let verify = "verify proof --policy policy --key key.vk";
    case.sandbox.write("key.vk", case.key.verifying().to_file());
    let verdict = case.sandbox.json(verify);
    assert_eq!(verdict["verdict"], "final", "{verdict}");
    assert!(verdict.to_string().contains("development"), "{verdict}");
    let production = case.sandbox.json(&format!("{verify} --production"));
    assert_ne!(production["exitCode"], 0, "{production}");

    // The file stays unless it is said otherwise, and that is known before the work is done.
    let (again, _) = (
        case.sandbox.run(&line.replace("--out -", "--out proof")),
        (),
    );
    assert_eq!(again.code, 4, "{again:?}");
    assert_eq!(case.sandbox.read("proof"), file);
}

#[test]
fn what_is_not_final_is_not_proved() {
    let case = Case::new();
    let good = case.block(&[0, 1]);
    let half = case.block(&[1, 2]);
    case.expect(&half, "--policy policy", "invalid", "not a quorum");
    case.expect(
        &good,
        "--chain other-0000000000000000",
        "policy-failed",
        "of chain",
    );
    case.expect(
        &good,
        "--anchor anchor --rule 3/4",
        "policy-failed",
        "not a quorum",
    );
    let mut forged = good.clone();
    forged.header.state_root = Digest::ZERO;
    case.expect(
        &forged,
        "--policy policy",
        "invalid",
        "certificate is for block",
    );
    let other = Network::new(22, &[40, 30, 20, 10], SLOTS);
    case.sandbox.write("set", other.set.to_file());
    case.expect(
        &good,
        "--policy policy",
        "cannot-evaluate",
        "the set at hand",
    );
    case.sandbox.expect(4, "prove block --set set --out proof");
    case.sandbox
        .expect(4, "prove none --set set --policy policy --out proof");
}

#[test]
fn a_set_that_the_circuit_does_not_hold_is_said_so() {
    // Four slots for twelve equal validators: a quorum has nine.
    let case = Case::of(Network::equal(23, 12, SLOTS));
    let signers: Vec<u16> = (0..9).collect();
    let words = "the fewest signers that pass the rule are 9";
    case.expect(
        &case.block(&signers),
        "--policy policy",
        "cannot-evaluate",
        words,
    );
}

#[test]
fn the_key_is_of_the_sets_size_and_one_that_is_accepted() {
    let case = Case::new();
    let good = case.block(&[0, 1]);
    // A policy that refuses development keys, lists another key, or none of this size.
    let with = |bend: &dyn Fn(&mut Policy)| {
        let mut policy = case.policy();
        bend(&mut policy);
        case.sandbox.write("policy", policy.to_json());
    };
    with(&|policy| policy.development_keys = false);
    case.expect(&good, "--policy policy", "policy-failed", "development key");
    with(&|policy| policy.keys[0].digest = Digest::from_bytes([7; 32]));
    case.expect(&good, "--policy policy", "cannot-evaluate", "0707070707");
    let key = case.key.digest().to_string();
    let named = format!("--policy policy --key {key}");
    case.expect(
        &good,
        &named,
        "policy-failed",
        "not among those that are accepted",
    );
    with(&|policy| policy.keys[0].slots = CircuitSize::from_slots(SLOTS + 1).unwrap());
    case.expect(
        &good,
        "--policy policy",
        "policy-failed",
        "no key for 4 slots is accepted",
    );
    with(&|_| ());
    let unknown = "--policy policy --key 0123456789";
    case.expect(&good, unknown, "cannot-evaluate", "there is no key");
    let little = "--policy policy --max-memory 64M";
    case.expect(&good, little, "policy-failed", "--max-memory allows");

    // A set of another size.
    let larger = Case::of(Network::new(21, &[40, 30, 20, 10], SLOTS + 1));
    let block = larger.block(&[0, 1]);
    let words = "is for 4 slots, the set's circuit has 5";
    let named = format!("--anchor anchor --key {}", &key[..8]);
    larger.expect(&block, &named, "cannot-evaluate", words);
    larger.expect(
        &block,
        "--anchor anchor",
        "policy-failed",
        "no key for 5 slots",
    );
    // No key of the size, and too large to be made in passing.
    let large = Case::of(Network::new(21, &[40, 30, 20, 10], 42));
    let chain = format!("--chain {}", large.network.genesis_header().chain_id);
    let words = "quorate setup --slots 42";
    large.expect(&large.block(&[0, 1]), &chain, "cannot-evaluate", words);
}

#[test]
fn a_damaged_key_makes_no_proof() {
    let case = Case::new();
    let good = case.block(&[0, 1]);
    let digest = copy_shared_key(&case.sandbox);
    let own = "--policy policy --keys keys";
    let prove = |words: &str| {
        case.sandbox.write("block", good.to_file());
        let line = format!("prove block --set set {own} --out proof");
        let answer = case.sandbox.json(&line);
        assert_eq!(answer["verdict"], "cannot-evaluate", "{answer}");
        assert!(
            answer["summary"].as_str().unwrap().contains(words),
            "{answer}"
        );
        assert!(!case.sandbox.path("proof").exists());
    };
    let path = case.sandbox.path(format!("keys/{digest}/proving-key"));
    let bytes = fs::read(&path).unwrap();
    // In the last section, which is read last.
    let mut bent = bytes.clone();
    let last = bent.len() - 1;
    bent[last] ^= 1;
    fs::write(&path, &bent).unwrap();
    prove("the L query: bytes that are not those written");
    let mut long = bytes.clone();
    long[200..208].fill(0xff);
    fs::write(&path, &long).unwrap();
    prove("sections take");
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    prove("the file has");
    fs::remove_file(&path).unwrap();
    prove("the file is missing");
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_proof_leaves_no_file() {
    let case = Case::new();
    let line = case.line(
        &case.block(&[0, 1]),
        "--policy policy --progress json --out proof",
    );
    let mut child = case
        .sandbox
        .command()
        .arg("--json")
        .args(line.split_whitespace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let before = case.sandbox.names();
    let log = BufReader::new(child.stderr.take().unwrap());
    let begun = log
        .lines()
        .any(|line| line.unwrap().contains("\"phase\":\"quotient\""));
    assert!(begun, "the proof went on to the quotient");
    let run: Run = interrupt(child, || true);
    assert_eq!(run.code, 130, "{run:?}");
    assert_eq!(run.json()["verdict"], "interrupted");
    assert_eq!(case.sandbox.names(), before);
}
