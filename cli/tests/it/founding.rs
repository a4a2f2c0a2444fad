//! `init`, `genesis`, `bundle open` and `genesis check`: from nothing to a member who has checked.

use std::path::Path;

use quorate_verifier::file::FileType;
use quorate_verifier::genesis::Genesis;
use quorate_verifier::primitives::Power;
use quorate_verifier::proof::Origin;
use quorate_verifier::roster::{Address, MachineName, Roster, RosterEntry};
use quorate_verifier::signature::VoteKey;
use quorate_verifier::trust::{Policy, TrustAnchor};
use serde_json::Value;

use crate::support::{Sandbox, verifying_key};

/// A roster of machines with these powers, keys from a seed.
fn roster(powers: &[u64]) -> Roster {
    let key = |label: &str, place: u64| {
        let seed = quorate_fixtures::seed_bytes(label, 7, place);
        let secret = ed25519_dalek::SigningKey::from_bytes(&seed);
        VoteKey::from_bytes(secret.verifying_key().as_bytes()).unwrap()
    };
    let entry = |(place, power): (u64, &u64)| RosterEntry {
        name: MachineName::new(&format!("bank-{place}")).unwrap(),
        consensus_key: key("consensus", place),
        network_key: key("network", place),
        address: Address::new(&format!("bank-{place}.example.org:26600")).unwrap(),
        power: Power::new(*power).unwrap(),
    };
    Roster::new((0..).zip(powers).map(entry).collect()).unwrap()
}

/// The set whose worst quorum is the largest: all but the largest validator.
fn hardest_roster() -> Roster {
    let mut powers = [1; 256];
    powers[0] = 127;
    roster(&powers)
}

/// A network on one host, and the documents made again from its roster.
fn founded() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.expect(0, "init --validators 4 --dir net");
    sandbox.expect(
        0,
        "genesis --roster net/private/roster.json --name options --out docs",
    );
    sandbox
}

fn open(node: usize, key: usize, out: &str) -> String {
    format!(
        "bundle open docs/private/bundles/node-{node}.bundle \
         --key net/nodes/node-{key}/network.pem --out {out}"
    )
}

const CHECK: &str = "genesis check --set docs/private/validator-set.json \
     --anchor docs/public/trust-anchor.json --genesis docs/public/genesis.json \
     --key net/nodes/node-2/consensus.pem.pub";

fn status(answer: &Value, name: &str) -> String {
    let mut checks = answer["checks"].as_array().unwrap().iter();
    let check = checks.find(|check| check["name"] == name);
    let check = check.unwrap_or_else(|| panic!("no check {name}: {answer}"));
    check["status"].as_str().unwrap().into()
}

#[test]
fn init_makes_a_network_that_its_files_describe() {
    let sandbox = Sandbox::new();
    sandbox.expect(
        0,
        "init --validators 4 --dir net --name local --base-port 30000",
    );
    assert_eq!(sandbox.names(), ["net"]);
    let anchor = TrustAnchor::from_file(&sandbox.read("net/public/trust-anchor.json")).unwrap();
    let roster = Roster::from_file(&sandbox.read("net/private/roster.json")).unwrap();
    let chain = anchor.header.chain_id.as_str();
    assert!(chain.starts_with("local-"));
    for (place, entry) in roster.entries().iter().enumerate() {
        let home = format!("net/nodes/node-{place}");
        let config = sandbox.text(&format!("{home}/node.toml"));
        let config: toml::Table = toml::from_str(&config).unwrap();
        assert_eq!(config["name"].as_str(), Some(entry.name.as_str()));
        assert_eq!(config["chain"].as_str(), Some(chain));
        assert_eq!(config["listen"].as_str(), Some(entry.address.as_str()));
        assert_eq!(
            entry.address.as_str(),
            format!("127.0.0.1:{}", 30000 + place)
        );
        // Every path in the configuration leads to a file that can be read.
        for table in ["keys", "documents"] {
            for (name, path) in config[table].as_table().unwrap() {
                let path = Path::new(&home).join(path.as_str().unwrap());
                let what = sandbox.json(&format!("inspect {}", path.display()));
                assert_eq!(what["verdict"], "done", "{name}");
            }
        }
        for (file, key) in [
            ("consensus.pem", &entry.consensus_key),
            ("network.pem.pub", &entry.network_key),
        ] {
            let what = sandbox.json(&format!("inspect {home}/{file}"));
            let expected = hex::encode(key.as_bytes());
            assert_eq!(what["result"]["publicKey"], expected.as_str(), "{file}");
        }
    }
}

#[cfg(unix)]
#[test]
fn private_files_are_for_their_owner_alone() {
    fn walk(dir: &Path, each: &mut impl FnMut(&Path, u32)) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            each(&path, crate::support::mode(&path));
            if path.is_dir() {
                walk(&path, each);
            }
        }
    }
    let sandbox = founded();
    let mut private = 0;
    for dir in ["net", "docs"] {
        walk(&sandbox.path(dir), &mut |path, mode| {
            let inside = path.strip_prefix(sandbox.path(dir)).unwrap();
            let top = inside.components().next().unwrap().as_os_str();
            let is_public_half = path.extension().is_some_and(|e| e == "pub");
            if top != "public" && !is_public_half {
                private += 1;
                assert_eq!(mode & 0o077, 0, "{}", path.display());
            }
        });
    }
    assert!(private > 20, "{private}");
}

#[test]
fn what_exists_is_left_alone_and_what_fails_leaves_nothing() {
    let sandbox = founded();
    let before = sandbox.read("net/private/validator-set.json");
    sandbox.write("many.json", hardest_roster().to_json());
    sandbox.write(
        "empty.json",
        r#"{"type": "quorate/roster/v1", "validators": []}"#,
    );
    sandbox.write("file", "mine");
    let mut powerless = example_roster_json();
    powerless = powerless.replacen("\"power\": \"1\"", "\"power\": \"0\"", 1);
    sandbox.write("powerless.json", powerless);
    for (code, line) in [
        (4, "init --validators 4 --dir net"),
        (4, "init --validators 4 --dir file"),
        (4, "init --validators 4 --dir no/such/place"),
        (4, "init --validators 257 --dir new"),
        (4, "init --validators 4 --dir new --base-port 65533"),
        (4, "init --validators 4 --dir new --name Upper"),
        (2, "init --validators 4 --dir new --slots 2"),
        (
            4,
            "genesis --roster net/private/roster.json --name a --out docs",
        ),
        (2, "genesis --roster many.json --name a --out new"),
        (4, "genesis --roster empty.json --name a --out new"),
        (4, "genesis --roster powerless.json --name a --out new"),
        (4, "genesis --roster file --name a --out new"),
        (
            4,
            "genesis --roster net/public/genesis.json --name a --out new",
        ),
    ] {
        sandbox.expect(code, line);
    }
    let names = [
        "docs",
        "empty.json",
        "file",
        "many.json",
        "net",
        "powerless.json",
    ];
    assert_eq!(sandbox.names(), names);
    assert_eq!(sandbox.read("net/private/validator-set.json"), before);
}

fn example_roster_json() -> String {
    roster(&[1; 4]).to_json()
}

#[test]
fn a_set_that_no_circuit_holds_is_refused_or_taken_on_in_words() {
    let sandbox = Sandbox::new();
    let roster = hardest_roster();
    sandbox.write("roster", roster.to_file());
    let line = "genesis --roster roster --name big --out docs";
    let refused = sandbox.json(line);
    assert_eq!(refused["verdict"], "policy-failed");
    let summary = refused["summary"].as_str().unwrap();
    assert!(summary.contains("255 signers"), "{summary}");
    let taken = sandbox.json(&format!("{line} --accept-unprovable"));
    assert_eq!(taken["verdict"], "done");
    let warnings = taken["warnings"].to_string();
    assert!(warnings.contains("CANNOT be proved"), "{warnings}");

    // Whoever checks takes it on too, or refuses.
    let key = hex::encode(roster.entries()[3].consensus_key.as_bytes());
    let check = format!(
        "genesis check --set docs/private/validator-set.json --anchor \
         docs/public/trust-anchor.json --key {key}"
    );
    let answer = sandbox.json(&check);
    assert_eq!(answer["verdict"], "policy-failed");
    assert_eq!(status(&answer, "coverage"), "fail");
    let answer = sandbox.json(&format!("{check} --accept-unprovable"));
    assert_eq!(answer["verdict"], "verified");
    assert!(
        answer["checks"]
            .to_string()
            .contains("taken on: some final blocks CANNOT")
    );
    assert!(
        answer["warnings"].to_string().contains("CANNOT be proved"),
        "{answer}"
    );
}

#[test]
fn the_smallest_circuit_is_chosen_for_the_worst_quorum() {
    use quorate_verifier::sizes::NAMED_SIZES;
    let sandbox = Sandbox::new();
    let large_one = [10, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
    // Powers, and the signers of the worst quorum: the smallest validators, until they pass.
    let cases: [(&[u64], u64); 4] = [(&[1; 4], 3), (&[1; 5], 4), (&large_one, 11), (&[1; 40], 27)];
    for (place, (powers, expected)) in cases.into_iter().enumerate() {
        sandbox.write("roster", roster(powers).to_file());
        let line = format!("genesis --roster roster --name a --out docs-{place}");
        let answer = sandbox.json(&line);
        let coverage = answer["result"]["coverage"].as_str().unwrap();
        let slots = answer["result"]["slots"].as_u64().unwrap();
        let mut words = coverage
            .split(' ')
            .filter_map(|word| word.parse::<u64>().ok());
        let signers = words.next().unwrap();
        assert_eq!(signers, expected, "{coverage}");
        let fits = NAMED_SIZES
            .iter()
            .map(|named| u64::from(named.size.slots()));
        assert_eq!(
            fits.filter(|slots| *slots >= signers).min(),
            Some(slots),
            "{coverage}"
        );
    }
}

#[test]
fn options_end_up_in_the_documents() {
    let sandbox = Sandbox::new();
    sandbox.write("roster", roster(&[3, 2, 1]).to_file());
    let (low, high) = ("01".repeat(32), "ab".repeat(32));
    let line = format!(
        "genesis --roster roster --name options --out docs --time 2026-01-02T03:04:05Z \
         --block-interval-ms 250 --trusting-period-days 7 --clock-drift-ms 99 --slots 8 \
         --verifying-key {high}:8 --verifying-key {low}:3 --state-root {low}"
    );
    sandbox.expect(0, &line);
    let genesis = Genesis::from_file(&sandbox.read("docs/public/genesis.json")).unwrap();
    let anchor = TrustAnchor::from_file(&sandbox.read("docs/public/trust-anchor.json")).unwrap();
    let policy = Policy::from_file(&sandbox.read("docs/public/policy.json")).unwrap();
    assert_eq!(anchor.header, genesis.header().unwrap());
    assert_eq!(anchor.header.time.get(), 1_767_323_045_000);
    assert_eq!(genesis.parameters.block_interval_ms, 250);
    assert_eq!(genesis.parameters.slots.slots(), 8);
    assert_eq!(genesis.state_root.to_string(), low);
    assert_eq!(anchor.trusting_period_ms, 7 * 86_400_000);
    assert_eq!(anchor.clock_drift_ms, 99);
    let keys: Vec<_> = anchor
        .keys
        .iter()
        .map(|key| key.digest.to_string())
        .collect();
    assert_eq!(keys, [low.as_str(), &high]);
    assert_eq!(policy.keys, anchor.keys);
    assert!(!policy.development_keys);
    let twice = format!("{line} --verifying-key {low}:4").replace("--out docs", "--out more");
    assert!(sandbox.expect(4, &twice).stderr.contains("twice"));
    for bad in [
        "--verifying-key 00:3",
        "--slots 0",
        "--slots 257",
        "--time yesterday",
        "--trusting-period-days 0",
        "--state-root 00",
    ] {
        let line = format!("genesis --roster roster --name a --out more {bad}");
        sandbox.expect(4, &line);
    }
}

#[test]
fn what_the_documents_do_not_promise_is_said() {
    let sandbox = founded();
    let warned = |line: &str| sandbox.json(line)["warnings"].to_string();
    assert!(warned("init --validators 4 --dir b").contains("no verifying key"));
    assert!(warned(CHECK).contains("no verifying key"));
    let key = format!("--verifying-key {}:", "00".repeat(32));
    let slots = quorate_verifier::sizes::NAMED_SIZES[0].size.slots();
    let fits = format!("genesis --roster net/private/roster.json --name a --out c {key}{slots}");
    assert!(!warned(&fits).contains("verifying key"));
    let other = format!("genesis --roster net/private/roster.json --name a --out d {key}256");
    assert!(warned(&other).contains("no accepted verifying key is of the set's circuit"));
    let public = "genesis --roster net/private/roster.json --name a --out e --public-set";
    assert!(warned(public).contains("the set is public"));
}

#[test]
fn a_verifying_key_can_be_given_by_its_file() {
    let sandbox = Sandbox::new();
    sandbox.write("roster", roster(&[1; 4]).to_file());
    let line = |file: &str, out: &str| {
        format!("genesis --roster roster --name a --verifying-key {file} --out {out}")
    };
    let ceremony = verifying_key(Origin::Ceremony);
    sandbox.write("ceremony", ceremony.to_file());
    sandbox.expect(0, &line("ceremony", "docs"));
    let anchor = TrustAnchor::from_file(&sandbox.read("docs/public/trust-anchor.json")).unwrap();
    let listed: Vec<_> = anchor
        .keys
        .iter()
        .map(|k| (k.digest, k.slots.slots()))
        .collect();
    assert_eq!(listed, [(ceremony.digest(), 3)]);

    sandbox.write("alone", verifying_key(Origin::Development).to_file());
    let refused = sandbox.expect(2, &line("alone", "more"));
    assert!(refused.stdout.contains("single party"), "{refused:?}");
    sandbox.expect(0, &line("alone --development-keys", "more"));
    sandbox.expect(0, "init --validators 4 --dir net --verifying-key alone");
    sandbox.expect(4, &line("roster", "none"));
}

#[test]
fn each_machine_opens_its_own_bundle_and_no_other() {
    let sandbox = founded();
    for node in 0..4 {
        let answer = sandbox.json(&open(node, node, &format!("mine-{node}")));
        assert_eq!(answer["verdict"], "verified", "{answer}");
        assert_eq!(answer["result"]["machine"], format!("node-{node}"));
        for file in [
            "public/genesis.json",
            "public/trust-anchor.json",
            "public/policy.json",
            "private/validator-set.json",
            "private/roster.json",
        ] {
            let opened = sandbox.read(&format!("mine-{node}/{file}"));
            assert_eq!(opened, sandbox.read(&format!("docs/{file}")), "{file}");
        }
        let other = sandbox.json(&open(node, (node + 1) % 4, "other"));
        assert_eq!(other["verdict"], "cannot-evaluate");
        // The consensus key of the same machine is another key.
        let consensus = open(node, node, "other").replace("network.pem", "consensus.pem");
        assert_eq!(sandbox.json(&consensus)["verdict"], "cannot-evaluate");
    }
    assert!(!sandbox.path("other").exists());
}

#[test]
fn a_bundle_that_was_touched_does_not_open() {
    let sandbox = founded();
    let path = "docs/private/bundles/node-1.bundle";
    let bundle = sandbox.read(path);
    let roster = Roster::from_file(&sandbox.read("docs/private/roster.json")).unwrap();
    for entry in roster.entries() {
        for hidden in [entry.consensus_key.as_bytes(), entry.network_key.as_bytes()] {
            assert!(
                !bundle.windows(32).any(|window| window == hidden),
                "a key can be seen"
            );
        }
    }
    // File header, length, chain id; then recipient, one-time key, ciphertext, tag.
    let id = 9 + 2 + "options-0123456789abcdef".len();
    let last = bundle.len() - 1;
    let mut codes = Vec::new();
    for at in [
        12,
        id,
        id + 31,
        id + 32,
        id + 63,
        id + 64,
        bundle.len() / 2,
        last,
    ] {
        let mut touched = bundle.clone();
        touched[at] ^= 1;
        sandbox.write(path, &touched);
        codes.push(sandbox.run(&open(1, 1, "mine")).code);
    }
    // Of another recipient: not for us. All else: damaged.
    assert_eq!(codes, [1, 3, 3, 1, 1, 1, 1, 1]);
    for length in [0, 8, 9, 40, id + 70, last] {
        sandbox.write(path, &bundle[..length]);
        let run = sandbox.run(&open(1, 1, "mine"));
        assert!([1, 4].contains(&run.code), "{length} bytes: {run:?}");
    }
    assert!(!sandbox.path("mine").exists());
    sandbox.write(path, &bundle);
    sandbox.expect(0, &open(1, 1, "mine"));
}

#[test]
fn an_encrypted_network_key_opens_its_bundle() {
    let sandbox = founded();
    sandbox.write("pass", "correct horse");
    let import = "keygen --pkcs8 net/nodes/node-1/network.pem --out k.pem --passphrase-file pass";
    sandbox.expect(0, import);
    let line = "bundle open docs/private/bundles/node-1.bundle --key k.pem --out mine";
    assert!(sandbox.expect(4, line).stderr.contains("passphrase"));
    sandbox.expect(0, &format!("{line} --passphrase-file pass"));
}

#[test]
fn a_member_checks_everything_and_all_read_the_same_number() {
    let sandbox = founded();
    let answer = sandbox.json(CHECK);
    assert_eq!(answer["verdict"], "verified", "{answer}");
    for name in [
        "set rules",
        "set commitment",
        "membership",
        "chain id",
        "header",
        "genesis set",
        "verifying keys",
        "coverage",
    ] {
        assert_eq!(status(&answer, name), "pass", "{name}");
    }
    let membership = answer["checks"][2]["detail"].as_str().unwrap();
    assert!(
        membership.contains("validator 2 with power 1 of 4"),
        "{membership}"
    );
    let number = answer["result"]["comparisonNumber"].as_str().unwrap();
    assert_eq!(number.split(' ').count(), 10);
    let anchor = TrustAnchor::from_file(&sandbox.read("docs/public/trust-anchor.json")).unwrap();
    let first = u16::from_be_bytes(anchor.digest().as_bytes()[..2].try_into().unwrap());
    assert!(number.starts_with(&format!("{first:05} ")));
    let seen = sandbox.json("inspect docs/public/trust-anchor.json");
    assert_eq!(seen["result"]["comparisonNumber"], number);
    let opened = [0, 1].map(|node| sandbox.json(&open(node, node, &format!("mine-{node}"))));
    for answer in &opened {
        assert_eq!(answer["result"]["comparisonNumber"], number);
        assert_eq!(
            answer["result"]["bundleNumber"],
            opened[0]["result"]["bundleNumber"]
        );
        assert_ne!(answer["result"]["bundleNumber"], number);
    }
    let without = CHECK.replace("--genesis docs/public/genesis.json", "");
    let answer = sandbox.json(&without);
    assert_eq!(answer["verdict"], "verified");
    assert_eq!(status(&answer, "chain id"), "not-checked");
}

#[test]
fn a_key_can_be_given_in_every_form() {
    let sandbox = founded();
    let public = "net/nodes/node-2/consensus.pem.pub";
    let hex = sandbox.json(&format!("inspect {public}"))["result"]["publicKey"].clone();
    let with = |key: &str| CHECK.replace(public, key);
    sandbox.expect(0, &with(hex.as_str().unwrap()));
    sandbox.expect(0, &with("net/nodes/node-2/consensus.pem"));
    // The network key is no member of the set.
    let answer = sandbox.json(&with("net/nodes/node-2/network.pem.pub"));
    assert_eq!(answer["verdict"], "policy-failed");
    assert_eq!(status(&answer, "membership"), "fail");
    let small = sandbox.expect(4, &with(&"00".repeat(32)));
    assert!(small.stderr.contains("small order"), "{small:?}");
    sandbox.expect(4, &with("missing.pem"));
}

#[test]
fn documents_that_disagree_are_invalid() {
    let sandbox = founded();
    sandbox.expect(
        0,
        "genesis --roster net/private/roster.json --name options --out again",
    );
    // The same validators with another salt are another set, another genesis, another chain.
    for (option, broken) in [
        ("--set", vec!["set commitment", "genesis set"]),
        ("--anchor", vec!["set commitment", "chain id", "header"]),
        ("--genesis", vec!["chain id", "header", "genesis set"]),
    ] {
        let line = CHECK.replace(&format!("{option} docs"), &format!("{option} again"));
        let answer = sandbox.json(&line);
        assert_eq!(answer["verdict"], "invalid", "{option}");
        for name in ["set commitment", "chain id", "header", "genesis set"] {
            let expected = if broken.contains(&name) {
                "fail"
            } else {
                "pass"
            };
            assert_eq!(status(&answer, name), expected, "{option}: {name}");
        }
    }
    // One more accepted key in the anchor than in the genesis document.
    let path = "docs/public/trust-anchor.json";
    let mut anchor = TrustAnchor::from_file(&sandbox.read(path)).unwrap();
    anchor
        .keys
        .push(quorate_fixtures::vectors::example_anchor().keys[0]);
    sandbox.write(path, anchor.to_json());
    let answer = sandbox.json(CHECK);
    assert_eq!(answer["verdict"], "invalid");
    assert_eq!(status(&answer, "verifying keys"), "fail");
}

#[test]
fn a_set_that_breaks_a_rule_is_invalid_in_both_forms() {
    let sandbox = founded();
    let path = "docs/private/validator-set.json";
    let set = sandbox.text(path);
    let key = set.split("\"key\": \"").nth(1).unwrap()[..64].to_string();
    for (bad, word) in [
        ("00".repeat(32), "small order"),
        (format!("01{}", "00".repeat(31)), "identity"),
        ("ff".repeat(32), "canonical"),
    ] {
        sandbox.write(path, set.replace(&key, &bad));
        let answer = sandbox.json(CHECK);
        assert_eq!(answer["verdict"], "invalid", "{answer}");
        assert_eq!(status(&answer, "set rules"), "fail");
        assert!(
            answer["summary"].as_str().unwrap().contains(word),
            "{answer}"
        );
    }
    let mut binary = quorate_fixtures::vectors::example().set.to_file();
    binary[11..43].fill(0);
    sandbox.write("bad", binary);
    let answer = sandbox.json(&CHECK.replace(path, "bad"));
    assert_eq!(answer["verdict"], "invalid");
    assert!(
        answer["summary"].as_str().unwrap().contains("small order"),
        "{answer}"
    );
    sandbox.write(path, "{");
    assert_eq!(sandbox.json(CHECK)["verdict"], "usage");
}
