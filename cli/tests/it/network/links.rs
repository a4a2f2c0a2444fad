//! Questions from other machines, and how a node ends.

use std::fs;

use serde_json::Value;

use super::{Network, config};

#[test]
fn status_and_submit_work_from_another_machine_that_is_listed() {
    let mut network = Network::new();
    let sandbox = &network.sandbox;
    sandbox.expect(0, "keygen --out desk.pem");
    sandbox.expect(0, "keygen --out stranger.pem");
    let key = sandbox.json("inspect desk.pem.pub")["result"]["publicKey"].clone();
    let entry = format!("[[clients]]\nname = \"desk\"\nkey = {key}\n");
    let path = sandbox.path(config(2));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text + &entry).unwrap();
    // All that the other machine has: two public files, its own key, an address.
    fs::create_dir(sandbox.path("desk")).unwrap();
    for (from, to) in [
        ("net/public/trust-anchor.json", "desk/anchor.json"),
        ("net/nodes/node-2/network.pem.pub", "desk/node-2.pub"),
        ("desk.pem", "desk/link.pem"),
    ] {
        fs::copy(sandbox.path(from), sandbox.path(to)).unwrap();
    }
    (0..4).for_each(|node| network.start(node, "--new"));
    (0..4).for_each(|node| network.until_height(node, 1));

    let address = format!("127.0.0.1:{}", network.port + 2);
    let link = format!(
        "--node {address} --node-key desk/node-2.pub --link-key desk/link.pem \
         --anchor desk/anchor.json"
    );
    let sandbox = &network.sandbox;
    let status = sandbox.json(&format!("status {link}"));
    assert_eq!(status["verdict"], "done", "{status}");
    assert_eq!(status["result"]["name"], "node-2");
    network.write_requests("desk/requests.json", 1, 8);
    let answer = sandbox.json(&format!("submit {link} desk/requests.json"));
    assert_eq!(answer["verdict"], "final", "{answer}");
    assert_eq!(answer["result"]["tookEffect"], 8);

    // A key that is not listed, another node's key, and a node that does not list this one.
    for wrong in [
        link.replace("desk/link.pem", "stranger.pem"),
        link.replace("desk/node-2.pub", "net/nodes/node-1/network.pem.pub"),
        link.replace("desk/node-2.pub", "net/nodes/node-1/network.pem.pub")
            .replace(&address, &format!("127.0.0.1:{}", network.port + 1)),
    ] {
        sandbox.expect(5, &format!("status {wrong}"));
        let submit = format!("submit {wrong} --patience 1 desk/requests.json");
        sandbox.expect(5, &submit);
    }
    let missing = link.replace("--anchor desk/anchor.json", "");
    sandbox.expect(4, &format!("status {missing}"));
}

#[test]
fn an_interrupt_and_a_termination_end_a_node_gracefully() {
    let mut network = Network::new();
    (0..4).for_each(|node| network.start(node, "--new"));
    (0..4).for_each(|node| network.until_height(node, 2));
    for (node, signal) in [(1, "-INT"), (2, "-TERM")] {
        assert_eq!(network.signalled(node, signal), 0, "{}", network.log(node));
        let answer: Value = serde_json::from_str(&network.answer(node)).unwrap();
        assert_eq!(answer["verdict"], "done", "{answer}");
        let words = answer["summary"].as_str().unwrap();
        assert!(words.contains("stopped as asked"), "{words}");
        // Nothing is in doubt: it votes as soon as it hears from the others, nothing was cut off,
        // and nobody has seen it vote twice.
        network.start(node, "");
        network.until(node, "it votes again", |s| s["voting"] == "yes");
        assert!(!network.log(node).contains("torn"), "{}", network.log(node));
    }
    let height = network.height(0);
    for node in 0..4 {
        network.until_height(node, height + 2);
        assert_eq!(network.status(node).unwrap()["evidence"], 0);
    }
}
