//! The README's way from nothing to a verified block of one's own network, as it stands there.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::keys::shared_key;
use crate::support::Sandbox;

/// The shell block of the README that starts a network, line by line without remarks.
fn block() -> Vec<String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let page = std::fs::read_to_string(page).unwrap();
    let found = page
        .split("```sh\n")
        .filter_map(|block| block.split("```").next())
        .find(|block| block.contains("quorate init"));
    let lines = found.unwrap().replace("\\\n", " ");
    let lines = lines.lines().map(|line| line.split(" #").next().unwrap());
    lines.map(|line| line.trim().to_owned()).collect()
}

/// Seven ports in a row that are free now: four nodes, three listeners.
fn ports() -> u16 {
    let mut base = 40_000 + u16::try_from(std::process::id() % 15_000).unwrap();
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    while !(base..base + 7).all(is_free) {
        base += 7;
    }
    base
}

/// With the tests' key in place of a new one, on other ports, and the program under test.
#[test]
fn the_way_in_the_readme_leads_to_a_verified_block() {
    let lines = block();
    assert!(lines.len() <= 10, "more than ten commands: {lines:#?}");
    assert_eq!(lines[0], "cargo install --locked --path cli");
    assert_eq!(lines[1], "quorate setup --size 2^18");
    let nodes = ports();
    let service = (nodes + 4).to_string();
    let ports = format!("--service --base-port {nodes} --service-port {service}");
    let script = lines[2..]
        .join("\n")
        .replace("--service", &ports)
        .replace("8440", &service);
    assert!(script.contains(&format!("127.0.0.1:{service}")), "{script}");

    let sandbox = Sandbox::new();
    let key = shared_key();
    let program = Path::new(env!("CARGO_BIN_EXE_quorate"));
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", program.parent().unwrap().display());
    let mut shell = Command::new("sh")
        .args(["-euc", &script])
        .current_dir(sandbox.path(""))
        .env("PATH", path)
        .env("QUORATE_KEYS", key.dir().parent().unwrap())
        .stdin(Stdio::null())
        .stdout(File::create(sandbox.path("said")).unwrap())
        .stderr(File::create(sandbox.path("complained")).unwrap())
        .process_group(0)
        .spawn()
        .unwrap();
    let group = Pid::from_child(&shell);
    // The shell ends with its last command, and leaves nodes and service behind.
    let status = shell.wait();
    let keys = key.dir().parent().unwrap().display().to_string();
    let examined = sandbox.json(&format!(
        "doctor net/nodes/node-0/node.toml net/nodes/node-3/node.toml net/service/serve.toml --keys {keys}"
    ));
    kill_process_group(group, Signal::TERM).unwrap();
    let (said, complained) = (sandbox.text("said"), sandbox.text("complained"));
    assert!(status.unwrap().success(), "{said}\n{complained}");
    assert!(said.contains("heights 1 to 1 of local-"), "{said}");
    assert!(said.contains("are final"), "{said}");

    // While all of it ran.
    assert_eq!(examined["exitCode"], 0, "{examined}");
    let shown = examined["checks"].to_string();
    for words in [
        "node-3 is at height",
        "it runs and is ready",
        "is final by the policy",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let policy = "--policy net/public/policy.json";
    let mut bent = sandbox.read("block-1.tar");
    let middle = bent.len() / 2;
    bent[middle] ^= 1;
    sandbox.write("bent.tar", bent);
    assert_ne!(
        sandbox.json(&format!("verify bent.tar {policy}"))["exitCode"],
        0
    );
}
