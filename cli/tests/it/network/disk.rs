//! A disk that is really full: the node stops and says so, and goes on when there is room again.

use std::fs;
use std::process::Command;

use super::Network;

/// What the stopped node, the last one, left must be whole: it votes again by what it remembers,
/// every request that was acknowledged is there once, and nobody has seen it contradict itself.
fn goes_on(network: &Network, per_sender: u64) {
    network.until(3, "it votes again", |s| s["voting"] == "yes");
    let log = network.sandbox.text("node-3.log");
    assert_eq!(log.matches("this key has never voted").count(), 1, "{log}");
    assert!(!log.contains("nothing is known of this key"), "{log}");
    let height = network.height(0);
    (0..4).for_each(|node| network.until_height(node, height + 2));
    network.audit(per_sender);
    for node in 0..4 {
        let status = network.status(node).unwrap();
        assert_eq!(status["evidence"], 0, "node {node} has seen a double vote");
    }
}

/// Works on any Linux: no file may grow beyond a limit, so writes fail in the middle.
#[test]
fn a_node_that_cannot_write_any_more_stops_and_loses_no_vote() {
    let mut network = Network::new();
    (0..4).for_each(|node| network.start(node, "--new"));
    (0..4).for_each(|node| network.until_height(node, 1));
    network.write_requests("first", 1, 400);
    network.submitted(network.submit(0, "first"), 400);
    assert_eq!(network.terminate(3), 0);

    // The block store is the largest file. It may grow by a little.
    let store = network.sandbox.path("net/nodes/node-3/data/blocks.redb");
    let blocks_of_512 = fs::metadata(&store).unwrap().len() / 512 + 64;
    let limited = format!("trap '' XFSZ; ulimit -f {blocks_of_512}; exec \"$@\"");
    network.start_by(3, &["sh", "-c", &limited, "sh"], "");
    network.write_requests("second", 101, 4_000);
    let running = network.submit(0, "second");
    assert_eq!(network.ends(3), 5, "{}", network.log(3));
    let last = network.log(3);
    assert!(
        last.contains("stopped: ") && last.contains("large"),
        "{last}"
    );
    network.submitted(running, 4_000); // three of four go on

    network.start(3, "");
    goes_on(&network, 1_100);
}

/// A process whose mounts are its own, and whose children end with it.
const OWN_MOUNTS: [&str; 6] = [
    "--user",
    "--map-root-user",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
];

/// Whether this process may mount something of its own.
fn may_mount() -> bool {
    let tried = Command::new("unshare")
        .args(OWN_MOUNTS)
        .args(["sh", "-c"])
        .arg("mount -t tmpfs -o size=64k tmpfs /mnt")
        .output();
    let may = tried.is_ok_and(|output| output.status.success());
    if !may {
        eprintln!("no file system can be mounted here: left out");
    }
    may
}

/// The same on a file system of its own that has no room left. Beside the data lies something that
/// an operator can remove.
#[test]
fn a_node_on_a_full_file_system_stops_and_goes_on_when_there_is_room() {
    if !may_mount() {
        return;
    }
    let mut network = Network::new();
    let data = network.sandbox.path("net/nodes/node-3/data");
    fs::create_dir(&data).unwrap();
    // The first run ends on the full disk; its exit code is kept, room is made, and the second
    // run is the one that the test sees from then on.
    let script = format!("DATA={}", data.display())
        + r#"
        set -u
        mount -t tmpfs -o size=24m tmpfs "$DATA"
        "$@" --new &
        node=$!
        while [ ! -e "$DATA/../fill" ]; do sleep 0.1; done
        dd if=/dev/zero of="$DATA/ballast" bs=64k 2>"$DATA/../dd"
        wait $node
        echo $? >"$DATA/../code.new"
        mv "$DATA/../code.new" "$DATA/../code"
        rm "$DATA/ballast"
        exec "$@"
    "#;
    (0..3).for_each(|node| network.start(node, "--new"));
    let unshare = [&["unshare"], &OWN_MOUNTS[..], &["sh", "-c", &script, "sh"]].concat();
    network.start_by(3, &unshare, "");
    (0..4).for_each(|node| network.until_height(node, 1));
    network.write_requests("first", 1, 400);
    network.submitted(network.submit(0, "first"), 400);

    network.sandbox.write("net/nodes/node-3/fill", "");
    network.write_requests("second", 101, 4_000);
    network.submitted(network.submit(0, "second"), 4_000);
    let code = network.sandbox.path("net/nodes/node-3/code");
    network.until_there(&code);
    assert_eq!(
        fs::read_to_string(&code).unwrap().trim(),
        "5",
        "{}",
        network.log(3)
    );
    let log = network.sandbox.text("node-3.log");
    assert!(
        log.contains("No space left on device"),
        "{}",
        network.log(3)
    );
    goes_on(&network, 1_100);
}
