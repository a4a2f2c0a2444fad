//! A moment of each system: everything that is sent is committed, once.

use std::process::Command;

use serde_json::Value;

fn one(args: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_versus"))
        .arg("one")
        .args(args)
        .output()
        .expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

#[test]
fn both_systems_commit_what_is_sent() {
    for system in ["quorate", "hotstuff"] {
        let point = one(&["--system", system, "--rate", "50", "--seconds", "2"]);
        assert_eq!(point["lost"], 0, "{point}");
        assert_eq!(point["refused"], 0, "{point}");
        let committed = point["committed"].as_f64().expect("a number");
        assert!((30.0..70.0).contains(&committed), "{point}");
        let p50 = point["p50"].as_f64().expect("a number");
        assert!(p50 > 0.0, "{point}");
    }
}

#[test]
fn quorate_goes_on_without_its_primary() {
    let args = [
        "--system",
        "quorate",
        "--rate",
        "50",
        "--seconds",
        "9",
        "--kill",
    ];
    let killed = one(&args);
    assert_eq!(killed["recovered"], true, "{killed}");
    let gap = killed["gap"].as_f64().expect("a number");
    assert!(gap > 0.0 && gap < 8000.0, "{killed}");
}
