//! The committed vectors of proofs keep their verdicts, here and in the second verifier.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use quorate_verifier::encoding::DecodeError;
use quorate_verifier::file::FileType;
use quorate_verifier::json::parse_hex;
use quorate_verifier::primitives::Digest;
use quorate_verifier::proof::{PreparedKey, ProofDecodeError, ProofError, VerifyingKey};
use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// The class that `docs/format.md` names for a refusal.
fn class(error: &ProofError) -> &'static str {
    match error {
        ProofError::InputCount { .. } => "input-count",
        ProofError::InputNotCanonical(_) => "input-range",
        ProofError::Challenge => "challenge",
        ProofError::Refused => "refused",
        ProofError::Decode(ProofDecodeError::Length(_)) => "length",
        ProofError::Decode(ProofDecodeError::Infinity(_)) => "infinity",
        ProofError::Decode(ProofDecodeError::Coordinate(_)) => "coordinate",
        ProofError::Decode(ProofDecodeError::OffCurve(_)) => "off-curve",
        ProofError::Decode(ProofDecodeError::Subgroup(_)) => "subgroup",
        ProofError::Decode(ProofDecodeError::NotCanonical(_)) => "not-canonical",
    }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().expect(member)
}

/// A key that is none has a class as well.
type Key = Result<PreparedKey, &'static str>;

fn read_keys(file: &Value) -> BTreeMap<&str, Key> {
    let read = |value: &Value| -> Key {
        let bytes = hex::decode(text(value, "file")).expect("hex");
        let key: Result<_, DecodeError> = VerifyingKey::from_binary(&bytes);
        let key = key.map_err(|_| "key")?;
        let key = key.prepare().map_err(|_| "key-degenerate")?;
        let digest = parse_hex(text(value, "digest")).expect("a good key has its digest");
        assert_eq!(*key.digest(), Digest::from_bytes(digest));
        Ok(key)
    };
    let keys = file["keys"].as_object().expect("keys");
    keys.iter()
        .map(|(name, key)| (name.as_str(), read(key)))
        .collect()
}

fn judge(key: &Key, case: &Value) -> Result<(), &'static str> {
    let key = key.as_ref().map_err(|class| *class)?;
    let inputs = case["inputs"].as_array().expect("inputs");
    let inputs: Vec<[u8; 32]> = (inputs.iter())
        .map(|input| parse_hex(input.as_str().expect("hex")).expect("32 bytes"))
        .collect();
    let proof = hex::decode(text(case, "proof")).expect("hex");
    key.verify_bytes(&inputs, &proof).map_err(|e| class(&e))
}

#[test]
fn committed_vectors_keep_their_verdicts() {
    let (mut good, mut hostile) = (0, BTreeMap::<&str, usize>::new());
    for name in ["proved.json", "simulated.json"] {
        let path = fixtures().join("vectors/proof").join(name);
        let file: Value = serde_json::from_slice(&std::fs::read(path).expect(name)).expect("JSON");
        let keys = read_keys(&file);
        for case in file["cases"].as_array().expect("cases") {
            let found = judge(&keys[text(case, "key")], case);
            let expected = match text(case, "verdict") {
                "valid" => Ok(()),
                _ => Err(text(case, "reason")),
            };
            assert_eq!(found, expected, "{}", text(case, "name"));
            match found {
                Ok(()) => good += 1,
                Err(class) => *hostile.entry(class).or_default() += 1,
            }
        }
    }
    assert!(good >= 20, "only {good} good cases");
    assert!(hostile.values().sum::<usize>() >= 60, "{hostile:?}");
    // Every class but those that nobody can reach.
    let classes = [
        "coordinate",
        "infinity",
        "input-count",
        "input-range",
        "key",
        "key-degenerate",
        "length",
        "off-curve",
        "refused",
        "subgroup",
    ];
    assert_eq!(hostile.into_keys().collect::<Vec<_>>(), classes);
}

/// Runs where Node and the packages are: `npm ci` in `fixtures/js` brings them, as `.ci/run` does.
/// Elsewhere it says why not, past the harness, which shows nothing of a test that passes.
#[test]
fn the_second_verifier_says_the_same() {
    let dir = fixtures().join("js");
    let missing = if !dir.join("node_modules/@noble/curves").exists() {
        Some("fixtures/js has no packages, `npm ci` there brings them")
    } else if Command::new("node").arg("--version").output().is_err() {
        Some("there is no node on this machine")
    } else {
        None
    };
    if let Some(why) = missing {
        writeln!(std::io::stderr(), "SKIPPED the second verifier: {why}").expect("stderr");
        return;
    }
    let run = Command::new("node")
        .arg("check.mjs")
        .current_dir(&dir)
        .output();
    let run = run.expect("node starts");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
}
