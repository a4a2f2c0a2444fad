//! One key on two machines: whoever is told of it stops, and says which key it was.

use std::fs;

use super::{Network, PORTS, config};

#[test]
fn a_copy_of_a_running_node_stops_it_and_the_key_is_named() {
    let mut network = Network::new();
    (0..4).for_each(|node| network.start(node, "--new"));
    (0..4).for_each(|node| network.until_height(node, 2));
    let key = |file: &str| {
        let file = format!("inspect net/nodes/node-3/{file}.pem.pub");
        let key = network.sandbox.json(&file)["result"]["publicKey"].clone();
        key.as_str().unwrap().to_string()
    };
    let (consensus_key, network_key) = (key("consensus"), key("network"));

    // A copy of keys and configuration, at another port and with a directory of its own.
    let original = network.sandbox.path("net/nodes/node-3");
    let copy = network.sandbox.path("net/nodes/node-4");
    fs::create_dir(&copy).unwrap();
    for file in ["consensus.pem", "network.pem", "node.toml"] {
        fs::copy(original.join(file), copy.join(file)).unwrap();
    }
    let port = |node: u16| format!("127.0.0.1:{}", network.port + node);
    let (old, new) = (port(3), port(PORTS - 1));
    let text = fs::read_to_string(copy.join("node.toml")).unwrap();
    fs::write(copy.join("node.toml"), text.replace(&old, &new)).unwrap();
    let refused = network
        .sandbox
        .expect(1, &format!("node --config {}", config(4)));
    for word in [&network_key, "runs there already", &old] {
        assert!(refused.stdout.contains(word), "{refused:?}");
    }

    // Whoever copied it has also written down that the machine has moved.
    let roster = network.sandbox.text("net/private/roster.json");
    let moved = roster.replace(&old, &new);
    assert_ne!(moved, roster);
    network.sandbox.write("net/private/moved.json", moved);
    let text = text
        .replace(&old, &new)
        .replace("private/roster.json", "private/moved.json");
    fs::write(copy.join("node.toml"), text).unwrap();
    network.start(4, "");
    assert_eq!(network.ends(3), 1, "{}", network.log(3));
    let last = network.log(3);
    for word in [
        &consensus_key,
        &network_key,
        "node-3",
        "in use on two machines",
    ] {
        assert!(last.contains(word), "{word}\n{last}");
    }

    // The others go on. With the copy gone, the node goes on as well.
    let height = network.height(0);
    network.until_height(0, height + 3);
    network.kill(4);
    network.start(3, "");
    network.until(3, "it votes", |s| s["voting"] == "yes");
}
