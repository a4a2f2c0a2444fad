//! `quorate doctor`, and the service that `init` founds.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use quorate_verifier::file::FileType;
use quorate_verifier::trust::{LogKey, Policy};
use serde_json::Value;

use crate::keys::shared_key;
use crate::support::Sandbox;

/// How the check of this name went, with what was said.
fn check<'a>(answer: &'a Value, name: &str) -> (&'a str, &'a str) {
    let checks = answer["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name);
    let found = found.unwrap_or_else(|| panic!("{name}: {answer}"));
    let text = |member: &str| found[member].as_str().unwrap();
    (text("status"), text("detail"))
}

#[test]
fn a_machine_and_what_is_configured_on_it_are_examined() {
    let sandbox = Sandbox::new();
    let bare = sandbox.json("doctor");
    assert_eq!(bare["exitCode"], 0, "{bare}");
    assert_eq!(check(&bare, "proving keys").0, "not-checked");
    assert_eq!(check(&bare, "durable writes").0, "pass");

    let store = shared_key().dir().parent().unwrap().display().to_string();
    let port = 56_000 + std::process::id() % 4_000;
    sandbox.expect(
        0,
        &format!("init --validators 4 --dir net --base-port {port} --service --service-port 0 --service-tls --keys {store}"),
    );
    let examine =
        format!("doctor net/nodes/node-2/node.toml net/service/serve.toml --keys {store}");
    let whole = sandbox.json(&examine);
    assert_eq!(whole["exitCode"], 0, "{whole}");
    assert!(check(&whole, "node").1.contains("can start"), "{whole}");
    assert!(check(&whole, "service").1.contains("agree"), "{whole}");
    assert_eq!(check(&whole, "source").0, "not-checked");

    // What is wrong is named, and everything else is still looked at.
    let key = sandbox.path("net/nodes/node-2/consensus.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    sandbox.write("net/service/key.vk", b"no key");
    let sick = sandbox.json(&examine);
    assert_eq!(sick["exitCode"], 5, "{sick}");
    let (status, why) = check(&sick, "node");
    assert_eq!(status, "fail");
    assert!(
        why.contains("consensus.pem") && why.contains("chmod 600"),
        "{why}"
    );
    let (status, why) = check(&sick, "service");
    assert_eq!(status, "fail");
    assert!(why.contains("key.vk"), "{why}");

    sandbox.write("other.toml", "[something]\nelse = 1\n");
    let other = sandbox.expect(4, "doctor other.toml");
    assert!(other.stderr.contains("neither a node's"), "{other:?}");
    let none = sandbox.expect(4, "doctor none.toml");
    assert!(none.stderr.contains("none.toml"), "{none:?}");
}

#[test]
fn a_network_is_founded_with_its_service() {
    let sandbox = Sandbox::new();
    // Without a key on this machine there is nothing to prove with, and nothing is made.
    let none = sandbox.run("init --validators 4 --dir net --service");
    assert_eq!(none.code, 3, "{none:?}");
    assert!(
        none.stdout.contains("quorate setup --size 2^18"),
        "{none:?}"
    );
    assert!(!sandbox.path("net").exists());

    let key = shared_key();
    let store = key.dir().parent().unwrap().display().to_string();
    let made = sandbox.json(&format!(
        "init --validators 4 --dir net --service --keys {store}"
    ));
    assert_eq!(made["exitCode"], 0, "{made}");
    let policy: Policy = Policy::from_json_bytes(&sandbox.read("net/public/policy.json")).unwrap();
    assert_eq!(policy.keys.len(), 1);
    assert_eq!(policy.keys[0].digest, *key.digest());
    assert_eq!(policy.keys, policy.anchor.keys);
    let log = sandbox.json("inspect net/service/finality.pem.pub");
    let LogKey(log_key) = policy.log_key.unwrap();
    assert_eq!(log["result"]["publicKey"], hex::encode(log_key));
    for name in ["observer.pem", "finality.pem", "access.pem"] {
        let file = sandbox.path("net/service").join(name);
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    // The first node alone lists the service.
    let listed = |node: u8| {
        let config = sandbox.text(&format!("net/nodes/node-{node}/node.toml"));
        config.contains("[[observers]]")
    };
    assert_eq!([0, 1, 2, 3].map(listed), [true, false, false, false]);
    // A key of another size is none for this set.
    let many = sandbox.run(&format!(
        "init --validators 9 --dir nine --service --keys {store}"
    ));
    assert_eq!(many.code, 3, "{many:?}");
}

#[test]
fn a_policy_may_demand_a_log_and_its_cosigners() {
    let sandbox = Sandbox::new();
    sandbox.expect(0, "init --validators 4 --dir net");
    for name in ["log", "one", "two"] {
        sandbox.expect(0, &format!("keygen --out {name}.pem"));
    }
    let line = "policy --anchor net/public/trust-anchor.json --out policy.json \
                --log-key log.pem.pub --cosigner two.pem.pub --cosigner one.pem.pub";
    let made = sandbox.json(line);
    assert_eq!(made["result"]["cosigners"], "2 of 2", "{made}");
    let policy: Policy = Policy::from_json_bytes(&sandbox.read("policy.json")).unwrap();
    assert_eq!(
        (policy.cosigners.threshold(), policy.log_key.is_some()),
        (2, true)
    );
    for bad in ["--cosigner-threshold 3", "--cosigner one.pem.pub"] {
        let refused = sandbox.run(&format!("{line} {bad}").replace("policy.json", "other.json"));
        assert_eq!(refused.code, 4, "{bad}: {refused:?}");
    }
    let orphan = "policy --anchor net/public/trust-anchor.json --out p --cosigner one.pem.pub";
    sandbox.expect(4, orphan);
}
