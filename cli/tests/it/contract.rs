//! What every command keeps: exit codes, stdout for results only, one JSON document on every path.

use std::process::Stdio;

use quorate_fixtures::Network;
use quorate_fixtures::vectors::{example, example_block};
use quorate_verifier::certificate::{CommitCertificate, SignedHeader};
use quorate_verifier::file::FileType;

use crate::support::{Run, Sandbox};

/// A command line for each exit code that a file or argument can bring about.
fn cases(sandbox: &Sandbox) -> Vec<(i32, String)> {
    let good = example_block();
    let (block, view) = (good.header.digest(), good.certificate.view());
    let stranger = Network::equal(9, 5, 5);
    let votes = (0..4).map(|i| stranger.vote(i, &block, view)).collect();
    let forged = SignedHeader {
        certificate: CommitCertificate::new(block, view, votes).unwrap(),
        ..good.clone()
    };
    sandbox.write("good", good.to_file());
    sandbox.write("forged", forged.to_file());
    sandbox.write("set", example().set.to_file());
    sandbox.write("future", b"QUORATE\x01\x02");
    sandbox.write("garbage", b"garbage");
    let check =
        |file: &str, chain: &str| format!("certificate check {file} --set set --chain {chain}");
    let chain = good.header.chain_id.as_str();
    let plain = |code, line: &str| (code, line.to_string());
    vec![
        (0, check("good", chain)),
        (1, check("forged", chain)),
        (2, check("good", "other-0000000000000000")),
        plain(3, "inspect future"),
        plain(4, "inspect garbage"),
        plain(4, "inspect missing"),
        plain(4, "--no-such-option"),
        plain(4, "no-such-command"),
        plain(4, "certificate check good --set set"),
        plain(4, "keygen"),
    ]
}

#[test]
fn every_exit_code_is_given_in_words_and_in_json() {
    let sandbox = Sandbox::new();
    for (code, line) in cases(&sandbox) {
        let run = sandbox.expect(code, &line);
        // A verdict is a result and goes to stdout; a failure to get at one goes to stderr.
        assert_eq!(run.stdout.is_empty(), code == 4, "{run:?}");
        assert_eq!(run.stderr.is_empty(), code != 4, "{run:?}");
        let answer = sandbox.json(&line);
        assert_eq!(answer["exitCode"], code, "{line}");
        assert!(!answer["summary"].as_str().unwrap().is_empty());
    }
}

#[test]
fn every_command_answers_in_json() {
    let sandbox = Sandbox::new();
    let answers = [
        ("demo --certificates", "done"),
        ("keygen --out key.pem", "done"),
        ("init --validators 4 --dir net", "done"),
        (
            "genesis --roster net/private/roster.json --name test --out docs",
            "done",
        ),
        (
            "bundle open docs/private/bundles/node-0.bundle --key net/nodes/node-0/network.pem \
             --out mine",
            "verified",
        ),
        (
            "genesis check --set mine/private/validator-set.json --anchor \
             mine/public/trust-anchor.json --key net/nodes/node-0/consensus.pem.pub",
            "verified",
        ),
        ("inspect net/public/genesis.json", "done"),
        ("circuit --slots 1", "done"),
        (
            "verify net/public/genesis.json --policy net/public/policy.json",
            "verified",
        ),
        (
            "light-client init --policy net/public/policy.json --state client",
            "done",
        ),
        ("light-client status --state client", "done"),
        (
            "policy --anchor net/public/trust-anchor.json --out policy.json",
            "done",
        ),
        (
            "light-client reset --policy net/public/policy.json --state client",
            "done",
        ),
        ("completions bash", "done"),
        ("man", "done"),
        ("man --out pages", "done"),
        ("--help", "done"),
        ("--version", "done"),
        ("keygen --help", "done"),
    ];
    for (line, verdict) in answers {
        let answer = sandbox.json(line);
        assert_eq!(answer["verdict"], verdict, "{line}: {answer}");
        let command = answer["command"].as_str().unwrap();
        assert!(line.starts_with(command), "{line}: {command}");
        assert_eq!(command.is_empty(), line.starts_with("--"), "{line}");
    }
    for line in [
        "demo extra",
        "keygen --out key.pem",
        "init --validators 4 --dir net",
        "init --validators 0 --dir other",
        "genesis --roster net/private/roster.json --name test --out docs",
        "genesis --roster missing --name test --out other",
        "bundle open missing --key missing --out other",
        "genesis check --set missing --anchor missing --key missing",
        "certificate check missing --set missing --chain local-0000000000000000",
        "verify",
        "verify missing --policy missing",
        "policy --anchor missing --out other",
        "light-client",
        "light-client init --policy missing --state client",
        "light-client update missing --state client",
        "light-client update missing --state -",
        "light-client status --state missing",
        "light-client reset --policy missing --state client",
        "circuit",
        "circuit --slots 0",
        "circuit --slots 257",
        "inspect missing",
        "node",
        "node --config missing",
        "status --config missing",
        "status --node 127.0.0.1:1",
        "submit --config missing missing",
        "completions cobol",
        "man --out pages",
        "man --force",
        "",
        "genesis",
        "help nothing",
    ] {
        let answer = sandbox.json(line);
        assert_eq!(answer["verdict"], "usage", "{line}: {answer}");
    }
}

#[test]
fn a_circuit_tells_its_cost_and_is_exported_once() {
    let sandbox = Sandbox::new();
    let answer = sandbox.json("circuit --slots 3 --export three.r1cs");
    let cost = &answer["result"];
    let figure = |name: &str| cost[name].as_u64().unwrap();
    assert_eq!(figure("slots"), 3);
    assert_eq!(
        figure("fixed_rows") + 3 * figure("rows_per_slot"),
        figure("rows")
    );
    assert!(figure("rows") <= figure("domain") && figure("domain") <= 1 << 18);
    assert!(figure("committed") > 0 && figure("instance_rows") > 0);
    let gadgets = cost["gadgets"].as_object().unwrap();
    let sum: u64 = gadgets.values().map(|rows| rows.as_u64().unwrap()).sum();
    assert_eq!(sum, figure("rows"));
    let rows = std::fs::read(sandbox.path("three.r1cs")).unwrap();
    assert!(rows.starts_with(b"r1cs"));
    let names = std::fs::read_to_string(sandbox.path("three.sym")).unwrap();
    assert!(names.contains("main.slot[2].sha512"));
    let again = sandbox.json("circuit --slots 3 --export three.r1cs");
    assert_eq!(again["verdict"], "usage");
}

#[test]
fn help_and_version_are_results() {
    let sandbox = Sandbox::new();
    for line in [
        "--help",
        "-h",
        "--version",
        "help",
        "genesis check --help",
        "help keygen",
    ] {
        let run = sandbox.expect(0, line);
        assert!(
            !run.stdout.is_empty() && run.stderr.is_empty(),
            "{line}: {run:?}"
        );
    }
    assert!(sandbox.run("--help").stdout.contains("policy-failed"));
    let version = format!("quorate {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(sandbox.run("--version").stdout, version);
}

#[test]
fn the_demo_of_certificates_works_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    let scratch = sandbox.path("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let output = sandbox
        .command()
        .args(["demo", "--certificates"])
        .env("TMPDIR", &scratch)
        .output();
    let run = Run::from(output.unwrap());
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0);
    let answer = sandbox.json("demo --certificates");
    let rows = answer["result"]["certificates"].as_array().unwrap();
    let verdicts: Vec<_> = rows.iter().map(|row| &row["verdict"]).collect();
    assert_eq!(
        verdicts,
        ["final", "refused", "refused", "refused", "refused"]
    );
    assert!(rows.iter().all(|row| row["expected"] == true), "{answer}");
}

#[test]
fn completions_and_pages_are_texts_alone() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = sandbox.expect(0, &format!("completions {shell}"));
        assert!(run.stdout.contains("keygen") && run.stderr.is_empty());
        assert!(!run.stdout.contains("done:"));
    }
    let page = sandbox.expect(0, "man").stdout;
    assert!(page.contains(".TH quorate 1"), "{page}");
    sandbox.expect(0, "man --out pages");
    for name in ["quorate.1", "quorate-genesis.1", "quorate-genesis-check.1"] {
        let text = sandbox.text(&format!("pages/{name}"));
        assert!(text.contains("json"), "{name}");
    }
    sandbox.write("pages/quorate.1", "mine");
    sandbox.expect(4, "man --out pages");
    assert_eq!(sandbox.text("pages/quorate.1"), "mine");
    sandbox.expect(0, "man --out pages --force");
    assert_eq!(sandbox.text("pages/quorate.1"), page);
}

#[test]
fn stdin_is_read_once() {
    let sandbox = Sandbox::new();
    let run = sandbox.run_with_stdin("inspect -", example_block().to_json().as_bytes());
    assert_eq!(run.code, 0, "{run:?}");
    let line = "certificate check - --set - --chain local-0000000000000000";
    let run = sandbox.run_with_stdin(line, &example().set.to_file());
    assert_eq!(run.code, 4);
    assert!(run.stderr.contains("stdin can be read once"), "{run:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_cannot_be_written_is_unavailable() {
    let sandbox = Sandbox::new();
    for line in [
        "--json demo --certificates",
        "demo --certificates",
        "completions bash",
        "--help",
        "--json --version",
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let status = sandbox
            .command()
            .args(line.split(' '))
            .stdout(full.unwrap())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(5), "{line}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupt_is_answered_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    for line in [
        "inspect -",
        "--json inspect -",
        "keygen --out key.pem --passphrase-file -",
        "genesis --roster - --name a --out docs",
    ] {
        let mut child = sandbox
            .command()
            .args(line.split(' '))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take(); // held open: the program waits for it
        wait_until_it_waits_for_stdin(child.id());
        let pid = child.id().to_string();
        let kill = std::process::Command::new("kill")
            .args(["-INT", &pid])
            .status();
        assert!(kill.unwrap().success());
        let run = Run::from(child.wait_with_output().unwrap());
        drop(stdin);
        assert_eq!(run.code, 130, "{line}: {run:?}");
        if line.starts_with("--json") {
            assert_eq!(run.json()["verdict"], "interrupted");
        } else {
            assert!(
                run.stdout.is_empty() && run.stderr.contains("interrupted"),
                "{run:?}"
            );
        }
    }
    assert!(sandbox.names().is_empty(), "{:?}", sandbox.names());
}

/// The handler is set (bit 1 of `SigCgt` is SIGINT) and the main thread sleeps in a pipe's read.
#[cfg(target_os = "linux")]
fn wait_until_it_waits_for_stdin(pid: u32) {
    let field = |name: &str| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().to_string()
    };
    let waits = || {
        let caught = u64::from_str_radix(&field("SigCgt:"), 16).unwrap();
        caught & 2 != 0 && field("State:").starts_with('S')
    };
    let start = std::time::Instant::now();
    while !waits() {
        assert!(start.elapsed().as_secs() < 60, "it never waited");
        std::thread::yield_now();
    }
}
