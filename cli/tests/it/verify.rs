//! `quorate verify`: every kind that can be judged, by the policy and by nothing in the file.
//!
//! The attestations are those of the frozen chain: real proofs, and no other check than the
//! product's.

use quorate_fixtures::frozen;
use quorate_fixtures::rolling::Rolling;
use quorate_verifier::attestation::Attestation;
use quorate_verifier::encoding::Kind;
use quorate_verifier::file::{FileType, file_header};
use quorate_verifier::inclusion::{Inclusion, SettlementProof, StateProof, SubmissionProof};
use quorate_verifier::light_client::{Fork, Trusted, Update};
use quorate_verifier::merkle;
use quorate_verifier::primitives::{ChainId, CircuitSize, Digest, View};
use quorate_verifier::proof::{Origin, VerifyingKey};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::trust::Policy;
use serde_json::Value;

use crate::support::{Sandbox, verifying_key};

/// A directory with the frozen chain's policy and key.
struct Case {
    sandbox: Sandbox,
}

const BY_POLICY: &str = "--policy policy --key key.vk --now 2026-01-01T00:01:00Z";

impl Case {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("policy", frozen::policy().to_json());
        sandbox.write(
            "key.vk",
            std::fs::read(frozen::dir().join("key.vk")).unwrap(),
        );
        Self { sandbox }
    }

    /// What is said of a value, in both forms.
    fn judge<T: FileType>(&self, value: &T, options: &str) -> Value {
        let line = format!("verify file {BY_POLICY} {options}");
        self.sandbox.write("file", value.to_file());
        let binary = self.sandbox.json(&line);
        self.sandbox.write("file", value.to_json());
        assert_eq!(binary, self.sandbox.json(&line), "the form changes nothing");
        let piped = format!("--json verify - {BY_POLICY} {options}");
        let piped = self.sandbox.run_with_stdin(&piped, &value.to_file()).json();
        assert_eq!(verdict(&piped), verdict(&binary));
        binary
    }

    fn with_policy(&self, bend: impl FnOnce(&mut Policy)) -> Value {
        let mut policy = frozen::policy();
        bend(&mut policy);
        self.sandbox.write("policy", policy.to_file());
        let answer = self.judge(&frozen::attestation(3), "");
        self.sandbox.write("policy", frozen::policy().to_json());
        answer
    }
}

fn verdict(answer: &Value) -> &str {
    answer["verdict"].as_str().unwrap()
}

/// The verdict, and the only check that failed.
fn expect(answer: &Value, wanted: &str, failed: &str) {
    assert_eq!(verdict(answer), wanted, "{answer}");
    let checks = answer["checks"].as_array().unwrap().iter();
    let names: Vec<_> = checks
        .filter(|check| check["status"] == "fail")
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    let wanted: Vec<_> = Some(failed)
        .filter(|name| !name.is_empty())
        .into_iter()
        .collect();
    assert_eq!(names, wanted, "{answer}");
}

#[test]
fn an_attestation_is_final_and_says_what_was_not_checked() {
    let case = Case::new();
    let answer = case.judge(&frozen::attestation(3), "");
    expect(&answer, "final", "");
    assert_eq!(answer["checks"].as_array().unwrap().len(), 6);
    for word in ["roots", "newest", "time"] {
        assert!(answer["notChecked"].to_string().contains(word), "{answer}");
    }
    let key: VerifyingKey = frozen::read(&frozen::dir().join("key.vk"));
    assert_eq!(answer["result"]["verifyingKey"], key.digest().to_string());
    assert_eq!(answer["result"]["circuit"], key.circuit.digest.to_string());
    let origin = answer["result"]["keyOrigin"].as_str().unwrap();
    assert!(origin.contains("DEVELOPMENT"), "{answer}");
    assert!(answer["warnings"].to_string().contains("can forge proofs"));
    // An anchor that has grown old is named.
    let late = format!(
        "verify file {} --now 2026-03-01T00:00:00Z",
        &BY_POLICY[..28]
    );
    let late = case.sandbox.json(&late);
    assert_eq!(verdict(&late), "final");
    assert!(
        late["warnings"].to_string().contains("trusting period"),
        "{late}"
    );
}

#[test]
fn what_the_policy_does_not_accept_is_refused_with_its_own_word() {
    let case = Case::new();
    let other = ChainId::new("other-0000000000000000").unwrap();
    expect(
        &case.with_policy(|p| p.anchor.header.chain_id = other),
        "policy-failed",
        "chain",
    );
    let rule = QuorumRule::new(3, 4).unwrap();
    expect(
        &case.with_policy(|p| p.rule = rule),
        "policy-failed",
        "rule",
    );
    let set = quorate_fixtures::Network::equal(7, 4, 3).set.commitment();
    let answer = case.with_policy(|p| p.anchor.header.next_validators = set);
    expect(&answer, "policy-failed", "trusted set");
    assert!(answer["next"].to_string().contains("light-client"));
    expect(
        &case.with_policy(|p| p.keys.clear()),
        "policy-failed",
        "key",
    );
    let slots = CircuitSize::from_slots(9).unwrap();
    expect(
        &case.with_policy(|p| p.keys[0].slots = slots),
        "policy-failed",
        "key",
    );
    expect(
        &case.with_policy(|p| p.development_keys = false),
        "policy-failed",
        "key",
    );
    // The chain's next set is not this anchor's to vouch for.
    let answer = case.judge(&frozen::attestation(frozen::CHANGES[0]), "");
    expect(&answer, "policy-failed", "trusted set");
}

#[test]
fn production_refuses_every_development_key() {
    let case = Case::new();
    let answer = case.judge(&frozen::attestation(3), "--production");
    expect(&answer, "policy-failed", "key");
    assert!(answer["summary"].to_string().contains("can forge proofs"));
    case.sandbox
        .write("key", std::fs::read(frozen::dir().join("key.vk")).unwrap());
    case.sandbox
        .expect(2, &format!("verify key {BY_POLICY} --production"));
    case.sandbox.expect(0, &format!("verify key {BY_POLICY}"));
}

#[test]
fn a_key_that_is_not_at_hand_judges_nothing() {
    let case = Case::new();
    case.sandbox.write("file", frozen::attestation(3).to_file());
    let answer = case.sandbox.json("verify file --policy policy");
    expect(&answer, "cannot-evaluate", "key");
    assert!(answer["next"].to_string().contains("--key"));
    // Another key, of another size or of the file's own choosing, is not used.
    case.sandbox
        .write("other.vk", verifying_key(Origin::Ceremony).to_file());
    let answer = case
        .sandbox
        .json("verify file --policy policy --key other.vk");
    expect(&answer, "cannot-evaluate", "key");
    assert!(
        answer["warnings"].to_string().contains("was not used"),
        "{answer}"
    );
    // Nor is one that lies where keys are kept, unless it is the accepted one and whole.
    let name = frozen::policy().keys[0].digest.to_string();
    std::fs::create_dir_all(case.sandbox.path(format!("store/{name}"))).unwrap();
    let other = std::fs::read(case.sandbox.path("other.vk")).unwrap();
    case.sandbox
        .write(&format!("store/{name}/verifying-key"), other);
    let answer = case
        .sandbox
        .json("verify file --policy policy --keys store");
    expect(&answer, "cannot-evaluate", "key");
    assert!(
        !answer["warnings"].as_array().unwrap().is_empty(),
        "{answer}"
    );
    let mut named = frozen::attestation(3);
    named.key = verifying_key(Origin::Ceremony).digest();
    expect(
        &case.judge(&named, "--key other.vk"),
        "policy-failed",
        "key",
    );
}

#[test]
fn a_changed_attestation_is_invalid() {
    let case = Case::new();
    let good = frozen::attestation(3);
    let bends: [fn(&mut Attestation); 5] = [
        |a| a.header.state_root = Digest::ZERO,
        |a| a.header.payload_root = Digest::ZERO,
        |a| a.view = View::new(a.view.get() + 1),
        |a| a.proof.c = -a.proof.c,
        |a| a.proof.commitment = -a.proof.commitment,
    ];
    for bend in bends {
        let mut bent = good.clone();
        bend(&mut bent);
        expect(&case.judge(&bent, ""), "invalid", "proof");
    }
    let mut swapped = good.clone();
    swapped.proof = frozen::attestation(4).proof;
    expect(&case.judge(&swapped, ""), "invalid", "proof");
    // A re-randomised proof is another file and says the same.
    let mut again = good.clone();
    (again.proof.a, again.proof.b) = (-again.proof.a, -again.proof.b);
    assert_ne!(again.to_file(), good.to_file());
    let (one, two) = (case.judge(&again, ""), case.judge(&good, ""));
    assert_eq!(one, two);
}

#[test]
fn many_attestations_are_judged_together_and_each_for_itself() {
    let case = Case::new();
    let heights = 1..frozen::CHANGES[0];
    let names: Vec<String> = heights.clone().map(|height| format!("a{height}")).collect();
    for (name, height) in names.iter().zip(heights) {
        case.sandbox
            .write(name, frozen::attestation(height).to_file());
    }
    let line = format!("verify {} {BY_POLICY}", names.join(" "));
    let answer = case.sandbox.json(&line);
    expect(&answer, "final", "");
    assert_eq!(answer["result"]["files"].as_array().unwrap().len(), 8);
    let mut bent = frozen::attestation(5);
    bent.proof.c = -bent.proof.c;
    case.sandbox.write("a5", bent.to_file());
    case.sandbox.write("a7", "garbage");
    let answer = case.sandbox.json(&line);
    assert_eq!(verdict(&answer), "invalid");
    let rows = answer["result"]["files"].as_array().unwrap();
    let verdicts: Vec<_> = rows.iter().map(verdict).collect();
    let mut wanted = ["final"; 8];
    (wanted[4], wanted[6]) = ("invalid", "usage");
    assert_eq!(verdicts, wanted);
    let summary = answer["summary"].as_str().unwrap();
    assert!(summary.contains("6 of 8"), "{summary}");
}

#[test]
fn two_final_headers_that_contradict_each_other_are_an_incident() {
    let case = Case::new();
    let policy = anchored_before_the_fork();
    case.sandbox.write("policy", policy.to_json());
    let good = frozen::attestation(frozen::FORK);
    let forked: Attestation = frozen::read(&frozen::hostile(frozen::FORKED));
    case.sandbox.write("good", good.to_file());
    case.sandbox.write("forked", forked.to_file());
    case.sandbox.expect(0, &format!("verify good {BY_POLICY}"));
    case.sandbox
        .expect(0, &format!("verify forked {BY_POLICY}"));
    let answer = case
        .sandbox
        .json(&format!("verify forked good {BY_POLICY}"));
    expect(&answer, "invalid", "agreement");
    // The same as evidence: it holds, and is no good news.
    let fork = Fork::new(Trusted::Proved(good), forked).unwrap();
    let answer = case.judge(&fork, "");
    expect(&answer, "verified", "");
    assert!(answer["warnings"].to_string().contains("FORK at height 25"));
    let mut forged = fork.conflicting().clone();
    forged.proof.c = -forged.proof.c;
    let forged = Fork::new(fork.trusted().clone(), forged).unwrap();
    expect(&case.judge(&forged, ""), "invalid", "evidence");
}

/// A policy from the last header before the fork that the same set signed.
fn anchored_before_the_fork() -> Policy {
    let mut policy = frozen::policy();
    policy.anchor.header = frozen::attestation(frozen::FORK - 1).header;
    policy
}

#[test]
fn headers_hold_as_ancestors() {
    let case = Case::new();
    for height in [2, 3, 4] {
        let name = format!("h{height}");
        case.sandbox
            .write(&name, frozen::attestation(height).header.to_file());
    }
    case.sandbox.write("a4", frozen::attestation(4).to_file());
    let judge = |files: &str| {
        let answer = case.sandbox.json(&format!("verify {files} {BY_POLICY}"));
        verdict(&answer).to_string()
    };
    assert_eq!(judge("h4"), "cannot-evaluate");
    assert_eq!(judge("h2 h3 h4 a4"), "final");
    assert_eq!(judge("h3 a4"), "final");
    assert_eq!(judge("h2 a4"), "cannot-evaluate", "a gap");
    let mut lie = frozen::attestation(3).header;
    lie.state_root = Digest::ZERO;
    case.sandbox.write("h3", lie.to_file());
    assert_eq!(judge("h2 h3 a4"), "cannot-evaluate");
    case.sandbox
        .write("h0", frozen::policy().anchor.header.to_file());
    assert_eq!(judge("h0"), "final");
}

#[test]
fn certificates_are_judged_over_the_set_that_the_anchor_trusts() {
    let case = Case::new();
    let key = frozen::policy().keys[0];
    let chain = Rolling::new(50, key, &frozen::CHANGES);
    let headers = chain.headers(10);
    let signed = chain.finalize(&headers[1]);
    expect(&case.judge(&signed, ""), "cannot-evaluate", "");
    case.sandbox.write("set", chain.networks[0].set.to_file());
    case.sandbox.write("other", chain.networks[1].set.to_file());
    expect(&case.judge(&signed, "--set set"), "final", "");
    let other = case.judge(&signed, "--set other");
    assert_eq!(verdict(&other), "cannot-evaluate", "{other}");
    let later = chain.finalize(&headers[9]);
    expect(
        &case.judge(&later, "--set other"),
        "policy-failed",
        "trusted set",
    );
    let minority = chain.networks[0].finalize(headers[1].clone(), View::FIRST, &[1, 2, 3]);
    expect(&case.judge(&minority, "--set set"), "invalid", "power");
    let mut contradicting = headers[1].clone();
    contradicting.parent = Digest::ZERO;
    let contradicting = chain.finalize(&contradicting);
    expect(
        &case.judge(&contradicting, "--set set"),
        "invalid",
        "anchor",
    );
    expect(
        &case.judge(&signed.certificate, "--set set"),
        "verified",
        "",
    );
    expect(
        &case.judge(&minority.certificate, "--set set"),
        "invalid",
        "certificate",
    );
    expect(
        &case.judge(&signed.certificate, "--set other"),
        "policy-failed",
        "trusted set",
    );

    expect(&case.judge(&chain.networks[0].set, ""), "verified", "");
    expect(
        &case.judge(&chain.networks[1].set, ""),
        "policy-failed",
        "set",
    );
}

#[test]
fn a_policy_is_made_from_an_anchor() {
    let case = Case::new();
    let anchor = frozen::policy().anchor;
    case.sandbox.write("anchor", anchor.to_json());
    let make = |options: &str| {
        case.sandbox
            .json(&format!("policy --anchor anchor {options}"))
    };
    let answer = make("--out plain --development-keys");
    assert_eq!(verdict(&answer), "done", "{answer}");
    let plain = Policy::from_file(&case.sandbox.read("plain")).unwrap();
    assert_eq!(plain, frozen::policy());
    assert_eq!(
        verdict(&make("--out plain")),
        "usage",
        "nothing is written over"
    );
    // A verifier may demand more than the chain does, and less trust.
    make("--out strict --rule 3/4");
    let strict = Policy::from_file(&case.sandbox.read("strict")).unwrap();
    assert!(!strict.development_keys && strict.rule == QuorumRule::new(3, 4).unwrap());
    // A file shows who made its key, and is refused at once.
    let refused = make("--out other --verifying-key key.vk");
    assert_eq!(verdict(&refused), "policy-failed", "{refused}");
    case.sandbox
        .write("other.vk", verifying_key(Origin::Ceremony).to_file());
    let answer = make("--out other --verifying-key other.vk");
    assert!(
        answer["warnings"]
            .to_string()
            .contains("not among the anchor's")
    );
}

#[test]
fn what_is_in_a_block_holds_by_the_block() {
    let case = Case::new();
    let key = frozen::policy().keys[0];
    let chain = Rolling::new(50, key, &frozen::CHANGES);
    let leaf = [&[7; 16][..], b"a request"].concat();
    let mut header = chain.headers(1).remove(1);
    header.payload_root = merkle::root(&[merkle::leaf_hash(&leaf)]);
    header.state_root = header.payload_root;
    let inclusion = Inclusion {
        leaf,
        index: 0,
        size: 1,
        path: Vec::new(),
    };
    let request = SubmissionProof {
        header: header.clone(),
        request: inclusion.clone(),
    };
    let state = StateProof {
        header: header.clone(),
        entry: inclusion.clone(),
    };
    // By themselves they are paths to nowhere in particular.
    expect(&case.judge(&request, ""), "cannot-evaluate", "");
    case.sandbox.write("set", chain.networks[0].set.to_file());
    case.sandbox
        .write("block", chain.finalize(&header).to_file());
    case.sandbox.write("request", request.to_file());
    case.sandbox.write("state", state.to_file());
    let judge = |files: &str| {
        let answer = case
            .sandbox
            .json(&format!("verify {files} {BY_POLICY} --set set"));
        verdict(&answer).to_string()
    };
    assert_eq!(judge("request state block"), "verified");
    assert_eq!(judge("request"), "cannot-evaluate");
    let mut child = chain.child(&header);
    child.outcomes_root = header.payload_root;
    let mut settled = SettlementProof {
        header: header.clone(),
        request: inclusion.clone(),
        next: child.clone(),
        outcome: inclusion,
    };
    case.sandbox
        .write("block", chain.finalize(&child).to_file());
    case.sandbox.write("settled", settled.to_file());
    assert_eq!(judge("settled block"), "verified");
    assert_eq!(judge("request state"), "cannot-evaluate");
    // A header on the way makes the parent's contents final as well.
    case.sandbox.write("header", header.to_file());
    assert_eq!(judge("request header block"), "verified");
    settled.outcome.leaf[20] ^= 1;
    case.sandbox.write("settled", settled.to_file());
    assert_eq!(judge("settled block"), "invalid");
    assert_eq!(judge("settled"), "invalid");
}

#[test]
fn founding_documents_are_compared_with_the_policy() {
    let case = Case::new();
    let policy = frozen::policy();
    let genesis = Rolling::new(50, policy.keys[0], &frozen::CHANGES).networks[0]
        .genesis
        .clone();
    expect(&case.judge(&genesis, ""), "verified", "");
    expect(&case.judge(&genesis.parameters, ""), "verified", "");
    expect(&case.judge(&policy.anchor, ""), "verified", "");
    let mut other = genesis.clone();
    other.state_root = Digest::ZERO;
    expect(&case.judge(&other, ""), "policy-failed", "chain id");
    let mut other = genesis.parameters.clone();
    other.block_interval_ms += 1;
    expect(&case.judge(&other, ""), "policy-failed", "parameters");
    let mut other = policy.anchor.clone();
    other.trusting_period_ms += 1;
    expect(&case.judge(&other, ""), "policy-failed", "anchor");
    let key: VerifyingKey = frozen::read(&frozen::dir().join("key.vk"));
    expect(&case.judge(&key, ""), "verified", "");
    // Of no use whoever accepts it: two of its points are the same.
    let degenerate = case.judge(&verifying_key(Origin::Ceremony), "");
    assert_eq!(verdict(&degenerate), "invalid", "{degenerate}");
    // What no policy can judge.
    let roster = quorate_fixtures::vectors::example_roster();
    expect(&case.judge(&roster, ""), "cannot-evaluate", "");
    case.sandbox.write("file", policy.to_file());
    case.sandbox.expect(3, &format!("verify file {BY_POLICY}"));
}

#[test]
fn an_update_is_judged_as_a_step_from_the_anchor() {
    let case = Case::new();
    let step = Update::step(frozen::attestation(3));
    expect(&case.judge(&step, ""), "final", "");
    let skip: Update = frozen::read(&frozen::hostile(frozen::SKIP));
    expect(&case.judge(&skip, ""), "policy-failed", "step");
    case.sandbox.write("file", step.to_file());
    let late = "verify file --policy policy --key key.vk --now 2026-03-01T00:00:00Z";
    expect(&case.sandbox.json(late), "policy-failed", "step");
}

#[test]
fn bad_input_has_its_code() {
    let case = Case::new();
    let good = frozen::attestation(3).to_file();
    let check = |name: &str, bytes: &[u8], code: i32| {
        case.sandbox.write("file", bytes);
        let run = case.sandbox.run(&format!("verify file {BY_POLICY}"));
        assert_eq!(run.code, code, "{name}: {run:?}");
    };
    for length in [0, 8, 9, 50, good.len() - 1] {
        check("cut", &good[..length], 4);
    }
    check("one byte more", &[&good[..], &[0]].concat(), 4);
    check(
        "another version",
        &[&good[..8], &[2], &good[9..]].concat(),
        3,
    );
    check(
        "another kind",
        &[&good[..7], &[200], &good[8..]].concat(),
        3,
    );
    check(
        "long lengths",
        &[file_header(Kind::Attestation), vec![0xff; 5000]].concat(),
        4,
    );
    check(
        "JSON of another version",
        br#"{"type": "quorate/attestation/v2"}"#,
        3,
    );
    check(
        "a proof with the bit of infinity",
        &with_last(&good, 0x40),
        1,
    );
    let key = std::fs::read(frozen::dir().join("key.vk")).unwrap();
    case.sandbox.write("file", &good);
    for (name, bytes, code) in [
        ("cut key", &key[..key.len() - 1], 4),
        ("key of nothing", &key[..9], 4),
        ("an attestation as key", &good[..], 4),
    ] {
        case.sandbox.write("bad.vk", bytes);
        let run = case.sandbox.run("verify file --policy policy --key bad.vk");
        assert_eq!(run.code, code, "{name}: {run:?}");
    }
    for line in [
        "verify --policy policy",
        "verify file",
        "verify missing --policy policy",
        "verify file --policy missing",
        "verify file --policy file",
        "verify - - --policy policy",
        "verify file --policy policy --set file",
    ] {
        case.sandbox.expect(4, line);
    }
}

/// The last byte of a file with a bit set.
fn with_last(file: &[u8], bit: u8) -> Vec<u8> {
    let mut file = file.to_vec();
    *file.last_mut().unwrap() |= bit;
    file
}

/// No byte of a file can be changed unseen: none of them turns it into another that is accepted.
#[test]
fn every_byte_of_an_attestation_counts() {
    let case = Case::new();
    let good = frozen::attestation(3).to_file();
    let names: Vec<String> = (0..good.len()).map(|at| format!("f{at}")).collect();
    for (at, name) in names.iter().enumerate() {
        let mut bent = good.clone();
        bent[at] ^= 1 << (at % 8);
        case.sandbox.write(name, bent);
    }
    let answer = case
        .sandbox
        .json(&format!("verify {} {BY_POLICY}", names.join(" ")));
    let rows = answer["result"]["files"].as_array().unwrap();
    assert_eq!(rows.len(), good.len());
    for row in rows {
        let accepted = ["final", "verified"].contains(&verdict(row));
        assert!(!accepted, "{row}");
    }
}
