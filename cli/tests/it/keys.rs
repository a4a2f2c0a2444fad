//! `quorate setup` and `quorate keys`: the store as its users see it.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use quorate_prover::StoredKey;
use quorate_prover::testing::{INSECURE_TEST_SIZE, insecure_test_key};
use quorate_verifier::file::FileType;
use quorate_verifier::proof::VerifyingKey;

use crate::support::{Run, Sandbox, interrupt};

/// The key that all tests share.
pub(crate) fn shared_key() -> StoredKey {
    insecure_test_key(Path::new(env!("CARGO_TARGET_TMPDIR"))).1
}

/// A store `keys` in the sandbox with a copy of the shared key; answers the key's digest.
pub(crate) fn copy_shared_key(sandbox: &Sandbox) -> String {
    let key = shared_key();
    let digest = key.digest().to_string();
    let dir = sandbox.path("keys").join(&digest);
    fs::create_dir_all(&dir).unwrap();
    for name in ["proving-key", "verifying-key", "manifest.json"] {
        fs::copy(key.dir().join(name), dir.join(name)).unwrap();
    }
    digest
}

#[test]
fn a_key_is_made_listed_checked_exported_and_removed() {
    let sandbox = Sandbox::new();
    let left = sandbox.path("keys/.unfinished-left");
    fs::create_dir_all(&left).unwrap();
    let answer = sandbox.json("setup --slots 1 --keys keys --threads 2");
    assert_eq!(answer["verdict"], "done", "{answer}");
    assert!(!left.exists(), "what was never finished is removed");
    let warnings = answer["warnings"].to_string();
    assert!(warnings.contains("one party made this key"), "{answer}");
    assert!(warnings.contains("never finished"), "{answer}");
    let result = &answer["result"];
    assert_eq!(result["slots"], 1);
    assert_eq!(result["origin"], "development");
    let digest = result["key"].as_str().unwrap();

    let list = sandbox.json("keys list --keys keys");
    let rows = list["result"]["keys"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["key"], digest);
    assert_eq!(rows[0]["state"], "whole");
    let file = sandbox.path(format!("keys/{digest}/proving-key"));
    assert_eq!(rows[0]["bytes"], fs::metadata(file).unwrap().len());

    let check = sandbox.json("keys check --keys keys");
    assert_eq!(check["verdict"], "verified", "{check}");
    assert_eq!(check["checks"].as_array().unwrap().len(), 4);

    let short = &digest[..8];
    sandbox.expect(0, "keys export-light --keys keys --out key.vk");
    let key = VerifyingKey::from_file(&sandbox.read("key.vk")).unwrap();
    assert_eq!(key.digest().to_string(), digest);
    sandbox.expect(
        4,
        &format!("keys export-light {short} --keys keys --out key.vk"),
    );
    sandbox.expect(
        0,
        &format!("keys export-light {short} --keys keys --out key.vk --force"),
    );
    let out = sandbox
        .command()
        .args([
            "keys",
            "export-light",
            short,
            "--keys",
            "keys",
            "--out",
            "-",
        ])
        .output()
        .unwrap();
    assert_eq!(out.stdout, sandbox.read("key.vk"));
    let both = format!("--json keys export-light {short} --keys keys --out -");
    assert_eq!(sandbox.run(&both).json()["verdict"], "usage");
    // A chain can be made that accepts proofs under it.
    let init = sandbox.json("init --validators 1 --slots 1 --dir net --verifying-key key.vk");
    assert_eq!(init["verdict"], "done", "{init}");

    sandbox.expect(0, &format!("keys remove {digest} --keys keys"));
    assert_eq!(fs::read_dir(sandbox.path("keys")).unwrap().count(), 0);
    sandbox.expect(3, &format!("keys remove {digest} --keys keys"));
}

#[test]
fn no_key_is_made_for_production_or_beyond_the_machine() {
    let sandbox = Sandbox::new();
    let run = sandbox.expect(2, "setup --size 2^18 --production --keys keys");
    assert!(
        run.stderr.is_empty() && run.stdout.contains("ceremony"),
        "{run:?}"
    );
    let run = sandbox.expect(2, "setup --size 2^18 --max-memory 100M --keys keys");
    for figure in ["348 MB", "105 MB"] {
        assert!(run.stdout.contains(figure), "{figure}: {run:?}");
    }
    for line in [
        "setup --keys keys",
        "setup --size 2^17 --keys keys",
        "setup --size 18 --keys keys",
        "setup --size 2^18 --slots 4 --keys keys",
        "setup --slots 0 --keys keys",
        "setup --slots 257 --keys keys",
        "setup --size 2^18 --threads 0 --keys keys",
        "setup --size 2^18 --max-memory lots --keys keys",
    ] {
        sandbox.expect(4, line);
    }
    let run = sandbox.expect(4, "setup --size 2^24");
    assert!(run.stderr.contains("2^22 (87 slots)"), "{run:?}");
    assert!(sandbox.names().is_empty(), "{:?}", sandbox.names());
}

#[test]
fn the_directory_of_keys_is_where_it_is_said_to_be() {
    let sandbox = Sandbox::new();
    let list = |variables: &[(&str, &str)]| {
        let mut command = sandbox.command();
        for name in ["HOME", "XDG_DATA_HOME", "QUORATE_KEYS"] {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied());
        let run = Run::from(command.args(["--json", "keys", "list"]).output().unwrap());
        run.json()["result"]["directory"].clone()
    };
    assert_eq!(list(&[("QUORATE_KEYS", "mine")]), "mine");
    let home = ("HOME", "/h");
    assert_eq!(list(&[home]), "/h/.local/share/quorate/keys");
    let data = ("XDG_DATA_HOME", "/data");
    assert_eq!(list(&[home, data]), "/data/quorate/keys");
    assert_eq!(list(&[]), serde_json::Value::Null);
}

#[test]
fn damaged_keys_are_told_from_whole_ones() {
    let sandbox = Sandbox::new();
    let digest = copy_shared_key(&sandbox);
    let path = sandbox.path(format!("keys/{digest}/proving-key"));
    let good = fs::metadata(&path).unwrap().len();
    let verdicts = || {
        let list = sandbox.json("keys list --keys keys");
        let check = sandbox.json("keys check --keys keys");
        let state = list["result"]["keys"][0]["state"].clone();
        (state, check["verdict"].clone(), check["checks"].to_string())
    };
    let (state, verdict, _) = verdicts();
    assert!(state == "whole" && verdict == "verified", "{verdict}");

    // A byte in the middle of a block: seen when it is read.
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (state, verdict, checks) = verdicts();
    assert!(state == "whole" && verdict == "invalid", "{verdict}");
    assert!(
        checks.contains("bytes that are not those written"),
        "{checks}"
    );

    // Cut short: seen at once.
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(good - 1).unwrap();
    let (state, verdict, checks) = verdicts();
    assert!(state == "damaged" && verdict == "invalid", "{verdict}");
    assert!(checks.contains("the file has"), "{checks}");
    sandbox.expect(0, &format!("keys remove {digest} --keys keys"));
    let empty = sandbox.json("keys list --keys keys");
    assert_eq!(empty["next"], "quorate setup --size 2^18");
}

#[test]
fn keys_that_are_not_there_are_said_to_be_missing() {
    let sandbox = Sandbox::new();
    for (code, line) in [
        (3, "keys check 0123456789abcdef --keys keys"),
        (3, "keys export-light 01234567 --keys keys --out out"),
        (4, "keys check 0123456 --keys keys"),
        (4, "keys check 0123456G --keys keys"),
        (3, "keys export-light --keys keys --out out"),
        (4, "keys remove --keys keys"),
        (0, "keys list --keys keys"),
        (0, "keys remove --unfinished --keys keys"),
    ] {
        sandbox.expect(code, line);
    }
    assert!(sandbox.names().is_empty(), "{:?}", sandbox.names());
    assert_eq!(
        INSECURE_TEST_SIZE.slots(),
        shared_key().verifying().circuit.slots.slots()
    );
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_setup_leaves_nothing() {
    let sandbox = Sandbox::new();
    let child = sandbox
        .command()
        .args(["--json", "setup", "--slots", "2", "--keys", "keys"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = || fs::read_dir(sandbox.path("keys")).is_ok_and(|mut dir| dir.next().is_some());
    let run = interrupt(child, begun);
    assert_eq!(run.code, 130, "{run:?}");
    assert_eq!(run.json()["verdict"], "interrupted");
    assert_eq!(fs::read_dir(sandbox.path("keys")).unwrap().count(), 0);
}
