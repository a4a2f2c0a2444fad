//! No command opens a socket, but for those that talk to nodes: each other one is run under a filter
//! of the kernel's that kills a process at the first system call by which one is made.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use quorate_fixtures::vectors::example_anchor;
use quorate_fixtures::{Network, frozen};
use quorate_verifier::file::FileType;
use quorate_verifier::primitives::View;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

use crate::support::{Run, Sandbox};

/// The signal of a forbidden system call.
const SIGSYS: i32 = libc::SIGSYS;

/// Everything by which a socket comes to be. `io_uring` makes them without a call of their own.
const SOCKETS: [libc::c_long; 3] = [
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_io_uring_setup,
];

fn filter() -> BpfProgram {
    let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let rules: BTreeMap<i64, Vec<_>> = SOCKETS.map(|call| (call, Vec::new())).into();
    // Without rules of its own a call matches always. Another architecture's calls are killed too.
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::KillProcess,
        arch,
    );
    filter.unwrap().try_into().unwrap()
}

/// Runs a command without sockets: a filter holds for its thread and for all that it starts.
fn without_sockets(mut command: Command) -> Output {
    let run = move || {
        apply_filter(&filter()).expect("a kernel with filters of system calls");
        command.output().unwrap()
    };
    std::thread::spawn(run).join().unwrap()
}

/// Runs a line of the program without sockets and expects a code.
fn expect(sandbox: &Sandbox, code: i32, line: &str) -> Run {
    let mut command = sandbox.command();
    command.args(line.split_whitespace());
    let output = without_sockets(command);
    assert_eq!(
        output.status.signal(),
        None,
        "{line}: a socket was asked for"
    );
    let run = Run::from(output);
    assert_eq!(run.code, code, "{line}: {run:?}");
    run
}

#[test]
fn no_command_for_files_opens_a_socket() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "key.vk",
        std::fs::read(frozen::dir().join("key.vk")).unwrap(),
    );
    sandbox.write(
        "policy",
        std::fs::read(frozen::dir().join("policy.json")).unwrap(),
    );
    let chain = frozen::dir().join("chain").display().to_string();
    let forked = frozen::hostile(frozen::FORKED).display().to_string();
    let first = frozen::path(1).display().to_string();
    let client = "--state state --now 2026-01-01T00:01:20Z";
    for (code, line) in [
        (0, format!("verify {first} --policy policy --key key.vk")),
        (2, format!("verify {forked} --policy policy --key key.vk")),
        (3, format!("verify {first} --policy policy")),
        (0, format!("light-client init --policy policy {client}")),
        (
            0,
            format!("light-client update {chain} --key key.vk {client}"),
        ),
        (0, format!("light-client status {client}")),
        (0, format!("light-client reset --policy policy {client}")),
        (0, "init --validators 4 --dir net".into()),
        (
            0,
            "genesis --roster net/private/roster.json --name test --out docs".into(),
        ),
        (0, "keygen --out key.pem".into()),
        (0, "inspect net/public/policy.json".into()),
        (0, "circuit --slots 1".into()),
        (4, "verify".into()),
    ] {
        expect(&sandbox, code, &line);
    }
}

/// From a key to a verdict: made, used, exported and found again on one machine, without a socket.
#[test]
fn a_proof_is_made_and_verified_without_a_socket() {
    let sandbox = Sandbox::new();
    expect(&sandbox, 0, "setup --slots 1 --keys store");
    let listed = sandbox.json("keys list --keys store");
    let digest = listed["result"]["keys"][0]["key"]
        .as_str()
        .unwrap()
        .to_string();
    expect(&sandbox, 0, "keys check --keys store");
    let export = format!("keys export-light {digest} --keys store --out key.vk");
    expect(&sandbox, 0, &export);
    // One of three holds more than two thirds of the power.
    let network = Network::new(31, &[80, 10, 10], 1);
    let genesis = network.genesis_header();
    let block = network.finalize(network.child(&genesis), View::FIRST, &[0, 2]);
    let mut anchor = example_anchor();
    anchor.header = genesis;
    sandbox.write("set", network.set.to_file());
    sandbox.write("block", block.to_file());
    sandbox.write("anchor", anchor.to_file());
    let policy = "policy --anchor anchor --out policy --verifying-key key.vk --development-keys";
    expect(&sandbox, 0, policy);
    expect(
        &sandbox,
        0,
        "prove block --set set --policy policy --keys store --out proof",
    );
    // The accepted key is found in the store by its digest, or given as a file.
    let by_store = expect(
        &sandbox,
        0,
        "--json verify proof --policy policy --keys store",
    )
    .json();
    let by_file = expect(
        &sandbox,
        0,
        "--json verify proof --policy policy --key key.vk",
    )
    .json();
    assert_eq!(by_store["verdict"], "final");
    assert_eq!(by_store, by_file);
    expect(&sandbox, 3, "verify proof --policy policy");
    let client = "--state client --now 2026-01-01T00:01:00Z";
    expect(
        &sandbox,
        0,
        &format!("light-client init --policy policy {client}"),
    );
    expect(
        &sandbox,
        0,
        &format!("light-client update proof --keys store {client}"),
    );
}

/// What the filter is for: a process that asks for a socket ends by it, and not otherwise.
#[test]
fn a_process_that_opens_a_socket_is_caught() {
    let probe = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([
            "--exact",
            "offline::opens_a_socket",
            "--ignored",
            "--test-threads=1",
        ]);
        command
    };
    assert!(probe().output().unwrap().status.success());
    let caught = without_sockets(probe());
    assert_eq!(caught.status.signal(), Some(SIGSYS), "{caught:?}");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn opens_a_socket() {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
}
