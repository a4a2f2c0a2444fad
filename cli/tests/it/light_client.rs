//! `quorate light-client` over the frozen chain: real proofs, real files, the machine's own rules.

use quorate_fixtures::frozen;
use quorate_verifier::attestation::Attestation;
use quorate_verifier::file::FileType;
use quorate_verifier::light_client::{ClientState, Fork};
use quorate_verifier::trust::Policy;
use serde_json::Value;

use crate::support::Sandbox;

/// Half a minute after the frozen chain's tip.
const NOW: &str = "--now 2026-01-01T00:01:20Z";

/// A client that starts from the frozen chain's genesis header.
struct Client {
    sandbox: Sandbox,
}

impl Client {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("policy", frozen::policy().to_json());
        sandbox.write(
            "key.vk",
            std::fs::read(frozen::dir().join("key.vk")).unwrap(),
        );
        let client = Self { sandbox };
        let answer = client.run("init --policy policy");
        assert_eq!(answer["verdict"], "done", "{answer}");
        client
    }

    /// One that has followed the chain to a height.
    fn at(height: u64) -> Self {
        let client = Self::new();
        assert_eq!(client.take((1..=height).map(frozen::path)), "final");
        assert_eq!(client.height(), height);
        client
    }

    /// A command with the state, at the usual time unless another is given.
    fn run(&self, line: &str) -> Value {
        let now = if line.contains("--now") { "" } else { NOW };
        self.sandbox
            .json(&format!("light-client {line} --state state {now}"))
    }

    fn update(&self, arguments: &str) -> Value {
        self.run(&format!("update {arguments} --key key.vk"))
    }

    fn take(&self, paths: impl IntoIterator<Item = std::path::PathBuf>) -> String {
        let paths: Vec<_> = paths
            .into_iter()
            .map(|path| path.display().to_string())
            .collect();
        word(&self.update(&paths.join(" ")), "verdict")
    }

    fn state(&self) -> ClientState {
        ClientState::from_file(&self.sandbox.read("state")).unwrap()
    }

    fn height(&self) -> u64 {
        self.state().header().height.get()
    }

    /// Refuses a file with this verdict and word, and stays as it is.
    fn refuses(&self, file: &std::path::Path, verdict: &str, refusal: &str) {
        let before = self.sandbox.read("state");
        let answer = self.update(&file.display().to_string());
        assert_eq!(word(&answer, "verdict"), verdict, "{answer}");
        assert_eq!(answer["result"]["refused"], refusal, "{answer}");
        assert_eq!(self.sandbox.read("state"), before, "the state is as it was");
    }
}

fn word(answer: &Value, member: &str) -> String {
    answer[member].as_str().unwrap_or_default().to_string()
}

fn chain_dir() -> String {
    frozen::dir().join("chain").display().to_string()
}

#[test]
fn the_frozen_chain_is_followed_from_a_directory() {
    let client = Client::new();
    let answer = client.update(&chain_dir());
    assert_eq!(word(&answer, "verdict"), "final", "{answer}");
    assert_eq!(answer["result"]["steps"], 50);
    assert_eq!(answer["result"]["height"], "50");
    assert!(answer["warnings"].to_string().contains("can forge proofs"));
    assert_eq!(client.height(), frozen::TIP);
    // Again: nothing new, and no harm.
    let before = client.sandbox.read("state");
    let answer = client.update(&chain_dir());
    assert_eq!(word(&answer, "verdict"), "verified", "{answer}");
    assert_eq!(answer["result"]["notNews"], 50);
    assert_eq!(client.sandbox.read("state"), before);
    let answer = client.run("status");
    assert_eq!(word(&answer, "verdict"), "done");
    assert_eq!(answer["result"]["height"], "50");
    #[cfg(unix)]
    assert_eq!(crate::support::mode(&client.sandbox.path("state")), 0o600);
    assert_eq!(client.sandbox.names(), ["key.vk", "policy", "state"]);
}

#[test]
fn the_headers_that_change_the_set_are_enough() {
    let client = Client::new();
    let last = frozen::CHANGES.map(|change| change - 1);
    let heights = last.into_iter().chain([frozen::TIP]);
    assert_eq!(client.take(heights.map(frozen::path)), "final");
    assert_eq!(client.height(), frozen::TIP);
    // Without one of them the way is cut, and the client says what it lacks.
    let client = Client::new();
    let answer = client.update(&format!(
        "{} {}",
        frozen::path(8).display(),
        frozen::path(frozen::TIP).display()
    ));
    assert_eq!(word(&answer, "verdict"), "cannot-evaluate", "{answer}");
    assert_eq!(answer["result"]["refused"], "unknown-set");
    assert_eq!(client.height(), 8, "what held is kept");
}

#[test]
fn bisection_takes_few_of_many() {
    let client = Client::new();
    let answer = client.update(&format!("{} --bisect", chain_dir()));
    assert_eq!(word(&answer, "verdict"), "final", "{answer}");
    assert_eq!(client.height(), frozen::TIP);
    let steps = answer["result"]["steps"].as_u64().unwrap();
    assert!((6..20).contains(&steps), "{steps}");
}

#[test]
fn one_at_a_time_from_stdin() {
    let client = Client::new();
    let line = format!("--json light-client update - --state state --key key.vk {NOW}");
    let run = client
        .sandbox
        .run_with_stdin(&line, &frozen::attestation(1).to_file());
    assert_eq!(run.json()["verdict"], "final");
    assert_eq!(client.height(), 1);
}

#[test]
fn what_does_not_follow_is_refused_with_its_word() {
    let client = Client::at(25);
    client.refuses(
        &frozen::hostile(frozen::WRONG_SET),
        "cannot-evaluate",
        "unknown-set",
    );
    client.refuses(&frozen::path(20), "policy-failed", "height-not-above");
    let client = Client::at(30);
    client.refuses(
        &frozen::hostile(frozen::WRONG_PARENT),
        "policy-failed",
        "wrong-parent",
    );
    client.refuses(
        &frozen::hostile(frozen::TIME_BACK),
        "policy-failed",
        "time-not-above",
    );
    let mut forged = frozen::attestation(31);
    forged.header.next_validators = frozen::policy().anchor.header.validators;
    client.sandbox.write("forged", forged.to_file());
    client.refuses(&client.sandbox.path("forged"), "invalid", "proof");
    let mut other = frozen::attestation(31);
    other.header.chain_id = quorate_fixtures::vectors::example_block().header.chain_id;
    client.sandbox.write("other", other.to_file());
    client.refuses(
        &client.sandbox.path("other"),
        "policy-failed",
        "wrong-chain",
    );
    // Then the honest one is taken all the same.
    assert_eq!(client.take([frozen::path(31)]), "final");
}

#[test]
fn trust_ends_and_is_taken_up_again_by_a_reset() {
    let client = Client::at(3);
    let late = "--now 2026-02-01T00:00:00Z";
    let path = frozen::path(4);
    let before = client.sandbox.read("state");
    let answer = client.update(&format!("{} {late}", path.display()));
    assert_eq!(word(&answer, "verdict"), "policy-failed", "{answer}");
    assert_eq!(answer["result"]["refused"], "trust-expired");
    assert_eq!(client.sandbox.read("state"), before);
    let answer = client.run(&format!("status {late}"));
    assert_eq!(word(&answer, "verdict"), "policy-failed", "{answer}");
    // From an anchor as old as that nothing can start.
    let answer = client.run(&format!("reset --policy policy {late}"));
    assert_eq!(word(&answer, "verdict"), "policy-failed", "{answer}");
    let mut policy = frozen::policy();
    policy.anchor.header = frozen::attestation(40).header;
    policy.anchor.trusting_period_ms *= 2;
    client.sandbox.write("policy", policy.to_json());
    let answer = client.run(&format!("reset --policy policy {late}"));
    assert_eq!(word(&answer, "verdict"), "done", "{answer}");
    assert_eq!(client.height(), 40);
    let answer = client.update(&format!("{} {late}", chain_dir()));
    assert_eq!(word(&answer, "verdict"), "final", "{answer}");
}

#[test]
fn a_header_from_the_future_waits() {
    let client = Client::new();
    let early = "--now 2026-01-01T00:00:00Z";
    let answer = client.update(&format!("{} {early}", chain_dir()));
    assert_eq!(word(&answer, "verdict"), "policy-failed", "{answer}");
    assert_eq!(answer["result"]["refused"], "from-the-future");
    assert_eq!(
        client.height(),
        10,
        "ten seconds of drift, a second a block"
    );
}

#[test]
fn a_fork_freezes_the_client_and_is_kept_as_evidence() {
    let client = Client::at(frozen::FORK);
    let forked = frozen::hostile(frozen::FORKED).display().to_string();
    let answer = client.update(&forked);
    assert_eq!(word(&answer, "verdict"), "invalid", "{answer}");
    assert_eq!(answer["result"]["refused"], "fork");
    let evidence = answer["result"]["evidence"].as_str().unwrap().to_string();
    assert!(evidence.starts_with("state.fork-25-"), "{evidence}");
    // The evidence convinces others who trust the set, by its file alone.
    let fork = Fork::from_file(&client.sandbox.read(&evidence)).unwrap();
    assert_eq!(client.state().fork.as_deref(), Some(&fork));
    let mut policy = frozen::policy();
    policy.anchor.header = frozen::attestation(frozen::FORK - 1).header;
    client.sandbox.write("other-policy", policy.to_json());
    let line = format!("verify {evidence} --policy other-policy --key key.vk {NOW}");
    assert_eq!(word(&client.sandbox.json(&line), "verdict"), "verified");

    // Nothing more is taken, whatever it is.
    let frozen_state = client.sandbox.read("state");
    for file in [frozen::path(26).display().to_string(), forked, chain_dir()] {
        let answer = client.update(&file);
        assert_eq!(word(&answer, "verdict"), "policy-failed", "{answer}");
        assert_eq!(answer["result"]["refused"], "frozen");
    }
    let answer = client.run("status");
    assert_eq!(word(&answer, "verdict"), "invalid", "{answer}");
    assert_eq!(answer["result"]["forkHeight"], "25");
    // A reset takes the height of the fork, said aloud.
    for wrong in ["", "--acknowledge-fork 24"] {
        let answer = client.run(&format!("reset --policy other-policy {wrong}"));
        assert_eq!(word(&answer, "verdict"), "policy-failed", "{answer}");
        assert!(word(&answer, "summary").contains("--acknowledge-fork 25"));
    }
    assert_eq!(client.sandbox.read("state"), frozen_state);
    std::fs::remove_file(client.sandbox.path(&evidence)).unwrap();
    let answer = client.run("reset --policy other-policy --acknowledge-fork 25");
    assert_eq!(word(&answer, "verdict"), "done", "{answer}");
    // The evidence outlives the reset, even where somebody had removed it.
    let again = Fork::from_file(&client.sandbox.read(&evidence)).unwrap();
    assert_eq!(again, fork);
    assert_eq!(client.height(), 24);
    assert_eq!(client.take([frozen::path(25), frozen::path(26)]), "final");
}

#[test]
fn a_fork_within_one_directory_is_found() {
    let client = Client::new();
    std::fs::create_dir(client.sandbox.path("both")).unwrap();
    let dir = client.sandbox.path("both");
    for height in 1..=30 {
        let name = format!("{height:02}.attestation");
        std::fs::copy(frozen::path(height), dir.join(name)).unwrap();
    }
    std::fs::copy(frozen::hostile(frozen::FORKED), dir.join("zz")).unwrap();
    std::fs::write(dir.join("notes.txt"), "not ours").unwrap();
    std::fs::write(dir.join("anchor.json"), frozen::policy().anchor.to_json()).unwrap();
    let answer = client.update("both --evidence found.json");
    assert_eq!(word(&answer, "verdict"), "invalid", "{answer}");
    assert_eq!(answer["result"]["refused"], "fork");
    assert_eq!(answer["result"]["filesOfOtherKinds"], 2);
    assert!(Fork::from_file(&client.sandbox.read("found.json")).is_ok());
    assert!(client.state().fork.is_some());
}

/// The frozen state matters more than the file beside it.
#[test]
fn a_fork_freezes_even_where_its_evidence_cannot_be_written() {
    let client = Client::at(frozen::FORK);
    client.sandbox.write("taken", "something else");
    let forked = frozen::hostile(frozen::FORKED).display().to_string();
    let answer = client.update(&format!("{forked} --evidence taken"));
    assert_eq!(word(&answer, "verdict"), "invalid", "{answer}");
    assert!(
        answer["warnings"].to_string().contains("in the state only"),
        "{answer}"
    );
    assert_eq!(client.sandbox.text("taken"), "something else");
    assert!(client.state().fork.is_some());
}

#[test]
fn a_skip_is_taken_only_where_it_is_allowed() {
    let client = Client::at(3);
    let skip = frozen::hostile(frozen::SKIP);
    client.refuses(&skip, "policy-failed", "skip-not-allowed");
    client.refuses(&frozen::path(12), "cannot-evaluate", "unknown-set");
    let answer = client.update(&format!("{} --allow-skip", skip.display()));
    assert_eq!(word(&answer, "verdict"), "final", "{answer}");
    assert_eq!(answer["result"]["skips"], 1);
    assert!(answer["warnings"].to_string().contains("more than a third"));
    assert_eq!(client.height(), 12);
}

#[test]
fn keys_are_those_of_the_policy() {
    let client = Client::at(3);
    client.refuses_without_key();
    let path = frozen::path(4).display().to_string();
    let answer = client.update(&format!("{path} --production"));
    assert_eq!(answer["result"]["refused"], "development-key", "{answer}");
    // A policy that refuses them is kept in mind by the state.
    let strict = Sandbox::new();
    let mut policy: Policy = frozen::policy();
    policy.development_keys = false;
    strict.write("policy", policy.to_json());
    strict.write(
        "key.vk",
        std::fs::read(frozen::dir().join("key.vk")).unwrap(),
    );
    strict.expect(
        0,
        &format!("light-client init --state state --policy policy {NOW}"),
    );
    let line = format!("light-client update {path} --state state --key key.vk {NOW}");
    let answer = strict.json(&line);
    assert_eq!(answer["result"]["refused"], "development-key", "{answer}");
    assert_eq!(answer["exitCode"], 2);
    policy.rule = quorate_verifier::rule::QuorumRule::new(3, 4).unwrap();
    strict.write("policy", policy.to_json());
    strict.expect(
        2,
        &format!("light-client init --state other --policy policy {NOW}"),
    );
    assert_eq!(strict.names(), ["key.vk", "policy", "state"]);
}

impl Client {
    fn refuses_without_key(&self) {
        let path = frozen::path(4).display().to_string();
        let answer = self.run(&format!("update {path}"));
        assert_eq!(word(&answer, "verdict"), "cannot-evaluate", "{answer}");
        assert_eq!(answer["result"]["refused"], "key-missing");
        assert!(word(&answer, "next").contains("--key"));
    }
}

#[test]
fn a_state_is_never_lost() {
    let client = Client::at(3);
    let before = client.sandbox.read("state");
    assert_eq!(client.run("init --policy policy")["verdict"], "usage");
    client
        .sandbox
        .write("damaged", &frozen::attestation(4).to_file()[..100]);
    assert_eq!(client.update("damaged")["verdict"], "usage");
    assert_eq!(client.update("policy")["verdict"], "usage");
    assert_eq!(client.update("missing")["verdict"], "usage");
    assert_eq!(
        client.run("reset --policy policy --acknowledge-fork 1")["verdict"],
        "usage"
    );
    let mut other = frozen::policy();
    other.anchor = quorate_fixtures::vectors::example_anchor();
    client.sandbox.write("other", other.to_json());
    assert_eq!(
        client.run("reset --policy other")["verdict"],
        "policy-failed"
    );
    assert_eq!(client.sandbox.read("state"), before);
    // One command at a time.
    let lock = std::fs::File::open(client.sandbox.path("")).unwrap();
    lock.try_lock().unwrap();
    let path = frozen::path(4).display().to_string();
    assert_eq!(client.update(&path)["verdict"], "unavailable");
    drop(lock);
    assert_eq!(client.update(&path)["verdict"], "final");
    // A state of a later version is left alone.
    let future = client
        .sandbox
        .text("state")
        .replace("client-state/v1", "client-state/v2");
    client.sandbox.write("state", &future);
    assert_eq!(client.update(&path)["verdict"], "cannot-evaluate");
    assert_eq!(client.run("status")["verdict"], "cannot-evaluate");
    assert_eq!(client.sandbox.text("state"), future);
    for garbage in ["", "{}", "QUORATE", "\u{0}"] {
        client.sandbox.write("state", garbage);
        assert_eq!(client.update(&path)["verdict"], "usage");
        assert_eq!(client.sandbox.text("state"), garbage);
    }
}

/// Attestations of the frozen chain that were changed are refused as files or as proofs.
#[test]
fn no_changed_attestation_takes_the_client_further() {
    let client = Client::at(3);
    let good = frozen::attestation(4);
    let mut swapped = good.clone();
    swapped.proof = frozen::attestation(5).proof;
    let mut weaker: Attestation = good.clone();
    weaker.rule = quorate_verifier::rule::QuorumRule::OVERLAP;
    for (lie, refusal) in [(swapped, "proof"), (weaker, "wrong-rule")] {
        client.sandbox.write("lie", lie.to_file());
        let verdict = if refusal == "proof" {
            "invalid"
        } else {
            "policy-failed"
        };
        client.refuses(&client.sandbox.path("lie"), verdict, refusal);
    }
}
