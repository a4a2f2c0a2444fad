//! What a verifier must not pull in.

use std::process::Command;

/// Names of the crates that `package` links, build and test dependencies left out.
fn links(package: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal"])
        .args(["--prefix", "none", "--format", "{p}", "--package", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs this test, so it is there");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree: {errors}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines()
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

#[test]
fn verifier_and_consensus_core_stay_small() {
    let refused = [
        (
            "an async runtime",
            &["tokio", "async-std", "smol", "futures"][..],
        ),
        (
            "a web framework",
            &["warp", "hyper", "axum", "reqwest", "h2"],
        ),
        (
            "a gadget library",
            &["ark-r1cs-std", "quorate-circuits", "quorate-prover"],
        ),
        ("a database", &["redb", "rusqlite", "sled"]),
    ];
    for package in ["quorate-verifier", "quorate-pbft"] {
        let linked = links(package);
        assert!(linked.iter().any(|name| name == package), "{linked:?}");
        assert!(
            linked.iter().any(|name| name == "ark-bn254"),
            "the list is complete"
        );
        for (what, names) in refused {
            let found: Vec<_> = linked
                .iter()
                .filter(|l| names.contains(&l.as_str()))
                .collect();
            assert!(found.is_empty(), "{package} links {what}: {found:?}");
        }
    }
}
