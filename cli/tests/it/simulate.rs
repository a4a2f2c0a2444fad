//! `quorate simulate`.

use serde_json::Value;

use crate::support::Sandbox;

fn result(line: &str) -> (i32, Value) {
    let run = Sandbox::new().run(&format!("{line} --json"));
    let answer: Value =
        serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {run:?}"));
    assert_eq!(answer["exitCode"], run.code, "{answer}");
    (run.code, answer)
}

#[test]
fn a_seed_is_replayed() {
    let (code, first) = result("simulate --seed 7");
    assert_eq!((code, &first["verdict"]), (0, &"verified".into()));
    let (_, second) = result("simulate --seed 7");
    assert_eq!(first, second);
    let checks: Vec<_> = first["checks"].as_array().unwrap().iter().collect();
    assert!(
        checks
            .iter()
            .any(|c| c["name"] == "replay" && c["status"] == "pass")
    );
    assert_ne!(
        first["result"]["trace"],
        result("simulate --seed 8").1["result"]["trace"]
    );
}

/// The answer to many seeds does not depend on the threads that run them.
#[test]
fn many_seeds_on_any_number_of_threads() {
    let (code, one) = result("simulate --seed 100 --runs 60 --threads 1");
    let (_, three) = result("simulate --seed 100 --runs 60 --threads 3");
    assert_eq!(code, 0);
    assert_eq!(one, three);
    assert_eq!(one["result"]["runs"], 60);
    assert!(one["result"]["lies"].as_u64() > Some(0));
}

#[test]
fn a_liar_by_name() {
    let (code, answer) = result("simulate --seed 3 --runs 5 --liar equivocator --ed25519");
    assert_eq!(code, 0);
    assert!(
        answer["result"]["doubleVotesProved"].as_u64() > Some(0),
        "{answer}"
    );
    let run = Sandbox::new().run("simulate --liar honest-john");
    assert_eq!(run.code, 4);
    assert!(run.stderr.contains("equivocator"), "{run:?}");
}

#[test]
fn every_split_of_two_views() {
    let (code, answer) = result("simulate --twins 2 --commits 0");
    assert_eq!(code, 0, "{answer}");
    assert!(answer["result"]["cases"].as_u64() > Some(500), "{answer}");
    assert_eq!(Sandbox::new().run("simulate --twins 2 --seed 1").code, 4);
    assert_eq!(Sandbox::new().run("simulate --runs 0").code, 4);
}
