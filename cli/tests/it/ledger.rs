//! `quorate ledger`: from operations that people write to requests that both sides signed.

use serde_json::{Value, json};

use crate::support::{Sandbox, mode};

const ANCHOR: &str = "--anchor net/public/trust-anchor.json";

/// The JSON and the shell block of `docs/ledger.md`, as they stand.
fn page() -> (String, Vec<String>) {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ledger.md");
    let page = std::fs::read_to_string(page).unwrap();
    let block = |fence: &str| {
        let after = page.split(fence).nth(1).unwrap();
        after.split("```").next().unwrap().to_string()
    };
    let commands = block("```sh\n");
    let lines = commands
        .lines()
        .filter_map(|line| line.strip_prefix("quorate "));
    (block("```json\n"), lines.map(String::from).collect())
}

/// Everything that the page does.
fn signed() -> Sandbox {
    let sandbox = Sandbox::new();
    let (trades, commands) = page();
    assert_eq!(commands.len(), 5);
    sandbox.write("trades.json", trades);
    for line in &commands {
        sandbox.expect(0, line);
    }
    sandbox
}

#[test]
fn the_page_runs_as_it_stands() {
    let sandbox = signed();
    let answer = sandbox.json("ledger show signed.json");
    assert_eq!(answer["verdict"], "done");
    let requests = answer["result"]["requests"].as_array().unwrap();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[0]["operation"]["settle"]["seller"], "alice");
    assert_eq!(requests[0]["consents"], 1);
    assert_eq!(requests[2]["sequence"], "3");
    assert!(requests.iter().all(|request| request["signed"] == true));
    assert_eq!(answer["checks"][0]["status"], "pass");
    assert_eq!(sandbox.json("inspect signed.json")["result"]["count"], 3);
    #[cfg(unix)]
    for file in [
        "signed.json",
        "net/private/ledger.json",
        "net/clients/bob.pem",
    ] {
        assert_eq!(mode(&sandbox.path(file)), 0o600, "{file}");
    }
}

#[test]
fn an_edited_request_is_found() {
    let sandbox = signed();
    let edited = sandbox.text("signed.json").replace("\"1050\"", "\"1049\"");
    sandbox.write("edited.json", edited);
    let answer = sandbox.json("ledger show edited.json");
    assert_eq!(answer["verdict"], "invalid");
    assert!(
        answer["summary"]
            .as_str()
            .unwrap()
            .contains("signature does not hold")
    );
}

#[test]
fn each_step_says_what_is_in_its_way() {
    let sandbox = signed();
    let refused = |code: i32, line: &str, word: &str| {
        let run = sandbox.expect(code, line);
        assert!(
            run.stderr.contains(word) || run.stdout.contains(word),
            "{line}: {run:?}"
        );
    };
    let alice = "--key net/clients/alice.pem --out out.json";
    refused(2, &format!("ledger sign trades.json {alice}"), "chain");
    refused(
        2,
        &format!("ledger sign signed.json {alice}"),
        "nothing in it",
    );
    refused(
        2,
        "ledger sign prepared.json --key net/clients/bob.pem --out out.json",
        "nothing in it",
    );
    refused(
        2,
        "ledger consent signed.json --key net/clients/bob.pem --request 0 --out out.json",
        "signed",
    );
    refused(
        4,
        "ledger consent prepared.json --key net/clients/bob.pem --request 3 --out out.json",
        "3 requests",
    );
    let client = "--client net/clients/alice.pem.pub";
    refused(
        2,
        &format!("ledger prepare prepared.json {ANCHOR} {client} --out out.json"),
        "client already",
    );
    refused(
        4,
        &format!("ledger prepare trades.json {ANCHOR} {client} --out signed.json"),
        "exists",
    );
    refused(
        4,
        "ledger show net/public/trust-anchor.json",
        "quorate inspect",
    );
    sandbox.expect(0, "init --validators 1 --dir other");
    let other = "--anchor other/public/trust-anchor.json";
    refused(
        2,
        &format!("ledger prepare prepared.json {other} {client} --out out.json"),
        "for the chain",
    );
    let wrong = sandbox
        .text("trades.json")
        .replace("\"10\"", "\"1152921504606846976\"");
    sandbox.write("wrong.json", wrong);
    refused(
        4,
        &format!("ledger prepare wrong.json {ANCHOR} {client} --out out.json"),
        "2^60",
    );
    assert!(!sandbox.names().contains(&"out.json".to_string()));
}

#[test]
fn the_first_state_is_bound_to_the_chain() {
    let sandbox = Sandbox::new();
    sandbox.expect(
        0,
        "ledger scenario --seed 7 --traders 3 --genesis ledger.json",
    );
    sandbox.expect(0, "init --validators 4 --dir net --ledger ledger.json");
    assert!(
        !sandbox.path("net/clients").exists(),
        "its keys are elsewhere"
    );
    let ours: Value = serde_json::from_slice(&sandbox.read("ledger.json")).unwrap();
    let kept: Value = serde_json::from_slice(&sandbox.read("net/private/ledger.json")).unwrap();
    assert_eq!(ours, kept);
    let shown = sandbox.json("ledger show ledger.json");
    let genesis: Value = serde_json::from_slice(&sandbox.read("net/public/genesis.json")).unwrap();
    assert_eq!(shown["result"]["stateRoot"], genesis["state_root"]);
    assert!(
        sandbox
            .text("net/nodes/node-0/node.toml")
            .contains("state = \"../../private/ledger.json\"")
    );

    let check = "genesis check --set net/private/validator-set.json --anchor \
        net/public/trust-anchor.json --genesis net/public/genesis.json --key \
        net/nodes/node-0/consensus.pem.pub --ledger";
    assert_eq!(
        sandbox.json(&format!("{check} ledger.json"))["verdict"],
        "verified"
    );
    let mut richer = ours.clone();
    richer["holdings"][0]["amount"] = json!("5000000001");
    sandbox.write("richer.json", richer.to_string());
    let answer = sandbox.json(&format!("{check} richer.json"));
    assert_eq!(answer["verdict"], "invalid");
    assert!(answer["summary"].as_str().unwrap().contains("state root"));

    // Traffic for it, all signed.
    sandbox.expect(
        0,
        &format!("ledger scenario --seed 7 --traders 3 {ANCHOR} --requests r.json --count 50"),
    );
    let answer = sandbox.json("ledger show r.json");
    assert_eq!(answer["checks"][0]["status"], "pass");
    assert_eq!(answer["result"]["requests"].as_array().unwrap().len(), 50);
}

#[test]
fn a_first_state_that_breaks_a_rule_makes_no_chain() {
    let sandbox = Sandbox::new();
    sandbox.expect(0, "ledger scenario --traders 2 --genesis ledger.json");
    let good: Value = serde_json::from_slice(&sandbox.read("ledger.json")).unwrap();
    let edit = |pointer: &str, value: Value, word: &str| {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        sandbox.write("bad.json", bad.to_string());
        let run = sandbox.expect(4, "init --validators 1 --dir net --ledger bad.json");
        assert!(run.stderr.contains(word), "{run:?}");
    };
    edit("/operator", json!("nobody"), "operator");
    edit("/accounts/1/account", json!("operator"), "account-exists");
    edit("/accounts/1/keys", json!([]), "last-key");
    edit("/accounts/1/keys/0", json!("00".repeat(32)), "key-invalid");
    edit("/holdings/0/instrument", json!("ACME-C-80"), "wrong-kind");
    edit("/holdings/0/amount", json!("0"), "zero");
    edit(
        "/holdings/0/amount",
        json!("1152921504606846975"),
        "overflow",
    );
    assert!(!sandbox.path("net").exists());
}

#[test]
fn inspect_keeps_the_salt_of_a_first_state() {
    let sandbox = Sandbox::new();
    sandbox.expect(0, "init --validators 1 --dir net");
    let ledger: Value = serde_json::from_slice(&sandbox.read("net/private/ledger.json")).unwrap();
    let salt = ledger["salt"].as_str().unwrap().to_string();
    for line in [
        "inspect net/private/ledger.json",
        "ledger show net/private/ledger.json",
    ] {
        sandbox.expect(0, line).assert_hides(&salt);
    }
}

/// As `inspect` has it: what this program does not know is no fault of the file.
#[test]
fn a_document_of_unknown_type_cannot_be_evaluated() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "later.json",
        r#"{"type": "quorate/requests/v2", "requests": []}"#,
    );
    sandbox.write("other.json", r#"{"type": "invoice", "requests": []}"#);
    for file in ["later.json", "other.json"] {
        for command in ["ledger show", "inspect"] {
            let answer = sandbox.json(&format!("{command} {file}"));
            assert_eq!(answer["verdict"], "cannot-evaluate", "{command}: {answer}");
            assert!(answer["summary"].as_str().unwrap().contains("unknown type"));
        }
    }
    sandbox.write("none.json", "{}");
    sandbox.expect(4, "ledger show none.json");
}
