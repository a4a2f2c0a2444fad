//! What keeps a node from starting, said before it is started.

use std::fs;
use std::net::TcpListener;

use super::{Network, config};

#[test]
fn check_says_what_keeps_a_node_from_starting() {
    let network = Network::new();
    let sandbox = &network.sandbox;
    let check = format!("node --config {} --check", config(1));
    let answer = sandbox.json(&check);
    assert_eq!(answer["verdict"], "verified", "{answer}");
    assert!(
        !sandbox.path("net/nodes/node-1/data").exists(),
        "nothing is made"
    );

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let key = sandbox.path("net/nodes/node-1/consensus.pem");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let run = sandbox.expect(4, &check);
        assert!(run.stderr.contains("chmod 600"), "{run:?}");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let path = sandbox.path(config(1));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("node-1", "node-2")).unwrap();
    assert!(sandbox.expect(4, &check).stderr.contains("name"));
    fs::write(&path, text.replace("ledger.json", "roster.json")).unwrap();
    sandbox.expect(4, &check);
    fs::write(
        &path,
        text.lines()
            .filter(|l| !l.starts_with("state"))
            .collect::<Vec<_>>()
            .join("\n"),
    )
    .unwrap();
    assert!(sandbox.expect(4, &check).stderr.contains("state"));
    fs::write(&path, &text).unwrap();
    let listen: toml::Table = toml::from_str(&text).unwrap();
    let taken = TcpListener::bind(listen["listen"].as_str().unwrap()).unwrap();
    assert!(sandbox.expect(5, &check).stderr.contains("listen"));
    drop(taken);
    sandbox.expect(5, &format!("status --config {}", config(1)));
}
