//! Killed, cut off from their memory, restarted; and every request that was answered is there
//! exactly once.

use std::time::Instant;

use super::{Network, SENDERS};

/// Requests in all; each of the parts takes a share of them. Answers how many of the three
/// interruptions came while requests were under way.
fn survives(requests: u64) -> u32 {
    let share = requests / 4;
    let per_sender = share / SENDERS as u64;
    let mut network = Network::new();
    for part in 0..4 {
        let first = part * per_sender + 1;
        network.write_requests(&format!("part-{part}"), first, share);
    }
    for node in 0..4 {
        network.start(node, "--new");
    }
    (0..4).for_each(|node| network.until_height(node, 1));
    network.submitted(network.submit(0, "part-0"), share);

    // Twice the primary, while requests are under way over another node.
    let mut interrupted = 0;
    for part in [1, 2] {
        let primary = network.primary(0);
        let asked = (primary + 1) % 4;
        let mut running = network.submit(asked, &format!("part-{part}"));
        interrupted += u32::from(network.until_under_way(asked, &mut running));
        network.kill(primary);
        network.submitted(running, share);
        network.start(primary, "");
        let height = network.height(asked);
        network.until_height(primary, height);
    }

    // All at once, in the middle of the last part, and one log loses its end.
    let mut running = network.submit(0, "part-3");
    interrupted += u32::from(network.until_under_way(0, &mut running));
    (0..4).for_each(|node| network.kill(node));
    assert!(
        interrupted > 0,
        "every part was done before anything was killed"
    );
    network.corrupt_tail(2);
    (0..4).for_each(|node| network.start(node, ""));
    network.submitted(running, share);

    // One disk is lost. Four validators bear one that is out of order, so not before the log of
    // the other is whole again.
    network.until(2, "it votes again", |s| s["voting"] == "yes");
    network.kill(3);
    network.wipe(3);
    network.start(3, "");
    network.signs_and_submits(4 * per_sender);

    let height = network.height(0);
    (0..4).for_each(|node| network.until_height(node, height + 2));
    network.until(3, "it has rejoined", |s| s["voting"] == "yes");
    network.audit(4 * per_sender + 1);
    for node in 0..4 {
        assert_eq!(network.terminate(node), 0, "{}", network.log(node));
    }
    interrupted
}

#[test]
fn four_processes_lose_nothing_that_they_acknowledged() {
    survives(2_000);
}

#[test]
#[ignore = "takes minutes: the long form, whose last result is in docs/operating"]
fn four_processes_and_ten_thousand_requests() {
    let begun = Instant::now();
    let interrupted = survives(10_000);
    let seconds = begun.elapsed().as_secs();
    println!("10,000 requests in {seconds} s, {interrupted} of 3 parts interrupted");
}
