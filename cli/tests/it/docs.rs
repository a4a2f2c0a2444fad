//! The commands of `docs/cli.md`, run as they stand.

use quorate_fixtures::{Network, frozen};
use quorate_verifier::certificate::SignedHeader;
use quorate_verifier::file::FileType;
use quorate_verifier::primitives::View;
use quorate_verifier::proof::Origin;
use quorate_verifier::set::ValidatorSet;
use quorate_verifier::trust::TrustAnchor;
use serde_json::json;

use crate::support::{Sandbox, verifying_key};

/// The lines of every shell block, continued lines joined, without remarks.
fn commands() -> Vec<String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```sh\n").skip(1);
    let shell: String = blocks
        .map(|block| block.split("```").next().unwrap())
        .collect();
    let joined = shell.replace("\\\n", " ");
    let lines = joined
        .lines()
        .map(|line| line.split('#').next().unwrap().trim());
    lines
        .filter(|line| !line.is_empty())
        .map(String::from)
        .collect()
}

/// What the page leaves to its readers: a roster of four, of whom three are known here.
fn write_roster(sandbox: &Sandbox, others: &Network) {
    let key = |file: &str| sandbox.json(&format!("inspect {file}"))["result"]["publicKey"].clone();
    let entry = |place: usize| {
        let seed = quorate_fixtures::seed_bytes("network key", 3, place as u64);
        let network = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key();
        json!({
            "name": format!("node-{place}"),
            "consensus_key": hex::encode(others.keys[place].verifying_key().as_bytes()),
            "network_key": hex::encode(network.as_bytes()),
            "address": format!("node-{place}.example.org:26600"),
            "power": "1",
        })
    };
    let mut entries: Vec<_> = (0..4).map(entry).collect();
    entries[0]["consensus_key"] = key("consensus.pem.pub");
    entries[0]["network_key"] = key("network.pem.pub");
    let roster = json!({ "type": "quorate/roster/v1", "validators": entries });
    sandbox.write("roster.json", roster.to_string());
}

/// A block on top of the anchor, signed by the three whose keys are known.
fn write_block(sandbox: &Sandbox, mut signers: Network) {
    let anchor = TrustAnchor::from_file(&sandbox.read("chain/public/trust-anchor.json")).unwrap();
    signers.set =
        ValidatorSet::from_file(&sandbox.read("chain/private/validator-set.json")).unwrap();
    let header = signers.child(&anchor.header);
    let signed: SignedHeader = signers.finalize(header, View::FIRST, &[1, 2, 3]);
    sandbox.write("block.signed-header", signed.to_file());
}

/// Proofs of the frozen chain, and a policy for which they are not too old.
fn write_proofs(sandbox: &Sandbox) {
    let mut policy = frozen::policy();
    policy.anchor.trusting_period_ms = 100 * 365 * 24 * 3600 * 1000;
    sandbox.write("policy.json", policy.to_json());
    sandbox.write(
        "key.vk",
        std::fs::read(frozen::dir().join("key.vk")).unwrap(),
    );
    sandbox.write("block.attestation", frozen::attestation(3).to_file());
    std::fs::create_dir(sandbox.path("updates")).unwrap();
    for height in 1..=10 {
        let name = format!("updates/{height}");
        sandbox.write(&name, frozen::attestation(height).to_file());
    }
}

#[test]
fn the_page_runs_as_it_stands() {
    let sandbox = Sandbox::new();
    let others = Network::equal(3, 4, 3);
    sandbox.write("pass.txt", "correct horse\n");
    sandbox.write("key.vk", verifying_key(Origin::Ceremony).to_file());
    let commands = commands();
    assert!(commands.len() >= 9, "{commands:?}");
    for line in commands {
        let line = line
            .strip_prefix("quorate ")
            .unwrap_or_else(|| panic!("{line}"));
        let expected = match line.split(' ').next().unwrap() {
            "genesis" if line.contains("--roster") => {
                write_roster(&sandbox, &others);
                "done"
            }
            "bundle" => {
                let bundle = sandbox.read("docs/private/bundles/node-0.bundle");
                sandbox.write("node-0.bundle", bundle);
                "verified"
            }
            "genesis" => "verified",
            "certificate" => {
                write_block(&sandbox, Network::equal(3, 4, 3));
                "final"
            }
            "verify" => {
                write_proofs(&sandbox);
                "final"
            }
            "light-client" if line.contains(" update ") => "final",
            "simulate" => "verified",
            _ => "done",
        };
        assert_eq!(sandbox.json(line)["verdict"], expected, "{line}");
    }
}

/// Every test that the page of forgeries names is there, under that very name.
#[test]
fn the_tests_against_forgeries_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/forgeries.md")).unwrap();
    let named = page.split('`').skip(1).step_by(2);
    let is_test = |name: &&str| {
        let letters = |b: u8| b == b'_' || b.is_ascii_lowercase();
        name.matches('_').count() >= 3 && name.bytes().all(letters)
    };
    let names: Vec<&str> = named.clone().filter(is_test).collect();
    assert!(names.len() >= 25, "{names:?}");
    let mut sources = String::new();
    for dir in [
        "verifier/src",
        "verifier/tests",
        "prover/src",
        "prover/tests",
        "cli/tests",
    ] {
        read_sources(&root.join(dir), &mut sources);
    }
    for name in names {
        assert!(sources.contains(&format!("fn {name}()")), "{name}");
    }
    for path in named.filter(|name| name.ends_with(".rs") || name.ends_with(".json")) {
        assert!(root.join(path).exists(), "{path}");
    }
}

fn read_sources(dir: &std::path::Path, sources: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_sources(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}
