//! The operator's pages, their commands run as they stand against real processes.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{Network, PORTS, config};
use crate::support::{Run, Sandbox};

/// The commands of a page, and how far its reader is.
struct Page {
    name: &'static str,
    lines: std::vec::IntoIter<String>,
}

impl Page {
    fn open(name: &'static str) -> Self {
        let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating");
        let text = fs::read_to_string(pages.join(name)).unwrap();
        let blocks = text.split("```sh\n").skip(1);
        let shell: String = blocks.map(|b| b.split("```").next().unwrap()).collect();
        let line = |line: &str| line.split('#').next().unwrap().trim().to_string();
        let lines: Vec<_> = shell.lines().map(line).filter(|l| !l.is_empty()).collect();
        let lines = lines.into_iter();
        Self { name, lines }
    }

    /// Runs the next lines; the last one's answer.
    fn run(&mut self, sandbox: &Sandbox, count: usize) -> Run {
        let mut last = None;
        for _ in 0..count {
            let line = self.lines.next().expect("the page goes on");
            let run = run_line(sandbox, &line);
            assert_eq!(run.code, 0, "{}: {line}: {run:?}", self.name);
            last = Some(run);
        }
        last.expect("at least one line")
    }

    fn answer(&mut self, sandbox: &Sandbox) -> Value {
        self.run(sandbox, 1).json()["result"].clone()
    }

    fn ends(mut self) {
        assert_eq!(self.lines.next(), None, "{}", self.name);
    }
}

/// A line of a page; this program's commands answer in JSON.
fn run_line(sandbox: &Sandbox, line: &str) -> Run {
    if let Some(arguments) = line.strip_prefix("quorate ") {
        return sandbox.run(&format!("--json {arguments}"));
    }
    let mut words = line.split_whitespace();
    let mut command = sandbox.command_of(words.next().unwrap());
    Run::from(command.args(words).output().unwrap())
}

fn public_key(sandbox: &Sandbox, node: usize, kind: &str) -> String {
    let line = format!("inspect net/nodes/node-{node}/{kind}.pem.pub");
    let key = sandbox.json(&line)["result"]["publicKey"].clone();
    key.as_str().unwrap().to_string()
}

fn entry(network: &Network, node: usize) -> Value {
    let sandbox = &network.sandbox;
    json!({
        "name": format!("node-{node}"),
        "consensus_key": public_key(sandbox, node, "consensus"),
        "network_key": public_key(sandbox, node, "network"),
        "address": address(network, node),
        "power": "1",
    })
}

fn address(network: &Network, node: usize) -> String {
    let offset = u16::try_from(node).unwrap();
    assert!(offset < PORTS);
    format!("127.0.0.1:{}", network.port + offset)
}

/// What everybody puts into `node.toml` for a set to come and the machine that joins with it. The
/// machine's own is made from another one's.
fn configure(network: &Network, members: &[usize], joining: usize, set: &str) {
    let sandbox = &network.sandbox;
    let peer = entry(network, joining);
    let peer = ["name", "network_key", "consensus_key", "address"]
        .map(|member| format!("{member} = {}\n", peer[member]));
    let peer = format!("\n[[peers]]\n{}", peer.concat());
    for node in members {
        let path = sandbox.path(config(*node));
        let text = fs::read_to_string(&path).unwrap();
        let text = match text.contains("sets = [") {
            true => text.replace("sets = [", &format!("sets = [\"{set}\", ")),
            false => text.replace(
                "[documents]\n",
                &format!("[documents]\nsets = [\"{set}\"]\n"),
            ),
        };
        fs::write(&path, text + &peer).unwrap();
    }
    let text = fs::read_to_string(sandbox.path(config(0))).unwrap();
    let own = format!("node-{joining}");
    let mut own = text.replacen("node-0", &own, 1);
    let listens = format!("listen = \"{}\"", address(network, 0));
    let listen = format!("listen = \"{}\"", address(network, joining));
    assert!(own.contains(&listens));
    own = own.replace(&listens, &listen);
    fs::write(sandbox.path(config(joining)), own).unwrap();
}

/// `docs/operating/upgrade.md`, as far as it is the same for every machine.
fn restart(network: &mut Network, node: usize) {
    assert_eq!(network.terminate(node), 0, "{}", network.log(node));
    let check = format!("node --config {} --check", config(node));
    network.sandbox.expect(0, &check);
    network.start(node, "");
    network.until(node, "it votes", |s| s["voting"] == "yes");
}

fn write_change(sandbox: &Sandbox, file: &str, set: &str) {
    let commitment = &sandbox.json(&format!("inspect {set}"))["result"]["content"]["commitment"];
    let change = json!({
        "type": "quorate/requests/v1",
        "requests": [{"operation": {"change": {"validators": commitment, "approvals": []}}}],
    });
    sandbox.write(file, change.to_string());
}

#[test]
fn the_pages_on_a_fifth_validator_and_on_a_lost_key_are_true() {
    let mut network = Network::with(Sandbox::new(), "");
    (0..4).for_each(|node| network.start(node, "--new"));
    (0..4).for_each(|node| network.until_height(node, 1));

    let mut page = Page::open("add-a-validator.md");
    page.run(&network.sandbox, 3);
    let roster = network.sandbox.read("net/private/roster.json");
    let mut roster: Value = serde_json::from_slice(&roster).unwrap();
    let joining = entry(&network, 4);
    roster["validators"].as_array_mut().unwrap().push(joining);
    network.sandbox.write("roster.json", roster.to_string());
    let present = page.answer(&network.sandbox);
    assert_eq!(
        present["content"]["slots"], 4,
        "the page's next line says so"
    );
    page.run(&network.sandbox, 2);
    let set = "new/private/validator-set.json";
    configure(&network, &[0, 1, 2, 3], 4, &format!("../../../{set}"));
    (0..4).for_each(|node| restart(&mut network, node));
    network.start(4, "--new");
    let joins = network.until(4, "it follows", |s| super::height_in(s) > 0);
    assert!(
        joins["voting"].as_str().unwrap().starts_with("no"),
        "{joins}"
    );

    write_change(&network.sandbox, "change.json", set);
    page.run(&network.sandbox, 1);
    // An approval is for one sender and sequence, by a member of the set in force, before the
    // client signs.
    let approve = |config: &str, file: &str| format!("approve --config {config} {file} --out no");
    for (line, word) in [
        (approve(&config(0), "change.json"), "no sender and sequence"),
        (approve(&config(4), "draft.json"), "not in the set"),
        (approve(&config(0), "roster.json"), "requests"),
    ] {
        let run = network.sandbox.run(&line);
        assert!(run.code > 1 && run.stderr.contains(word), "{line}: {run:?}");
        assert!(!network.sandbox.path("no").exists());
    }
    for approvals in 1..=3 {
        assert_eq!(page.answer(&network.sandbox)["approvals"], approvals);
    }
    // The same validator again adds nothing.
    let again = "approve --config net/nodes/node-1/node.toml approved-3.json --out again.json";
    assert_eq!(network.sandbox.json(again)["result"]["approvals"], 3);
    let done = page.answer(&network.sandbox);
    assert_eq!(done["tookEffect"], 1, "{done}");
    let line = approve(&config(3), "signed.json");
    let late = network.sandbox.expect(4, &line);
    assert!(late.stderr.contains("signed by its client"), "{late:?}");
    assert_eq!(page.answer(&network.sandbox)["name"], "node-4");
    page.ends();
    network.until(4, "it votes", |s| s["voting"] == "yes");
    network.until(0, "five votes", |s| s["certificateVotes"] == 5);

    // The fourth one's consensus key is lost: it comes back as a sixth machine.
    network.kill(3);
    let mut page = Page::open("keys.md");
    page.run(&network.sandbox, 3);
    roster["validators"][3] = entry(&network, 5);
    network.sandbox.write("replaced.json", roster.to_string());
    page.run(&network.sandbox, 1);
    let set = "replaced/private/validator-set.json";
    configure(&network, &[0, 1, 2, 4], 5, &format!("../../../{set}"));
    for node in [0, 1, 2, 4] {
        restart(&mut network, node);
    }
    network.start(5, "--new");
    write_change(&network.sandbox, "change-2.json", set);
    page.run(&network.sandbox, 5);
    assert_eq!(page.answer(&network.sandbox)["tookEffect"], 1);
    assert_eq!(page.answer(&network.sandbox)["name"], "node-5");
    page.ends();
    network.until(5, "it votes", |s| s["voting"] == "yes");
    network.until(0, "five votes", |s| s["certificateVotes"] == 5);
}

#[test]
fn the_pages_on_upgrades_and_on_backups_are_true() {
    let mut network = Network::with(Sandbox::new(), "");
    (0..4).for_each(|node| network.start(node, "--new"));
    (0..4).for_each(|node| network.until_height(node, 1));
    network.until(1, "all links are up", |s| {
        let peers = s["peers"].as_array().unwrap();
        peers
            .iter()
            .all(|p| p["reached"] == true && p["heard"] == true)
    });

    let mut page = Page::open("upgrade.md");
    assert_eq!(page.answer(&network.sandbox)["voting"], "yes");
    assert_eq!(network.terminate(1), 0, "{}", network.log(1));
    page.run(&network.sandbox, 1);
    page.ends();
    network.start(1, "");
    network.until(1, "it votes", |s| s["voting"] == "yes");
    let height = network.height(0);
    network.until_height(1, height);

    let mut page = Page::open("backup.md");
    page.run(&network.sandbox, 1);
    network.kill(2);
    fs::remove_dir_all(network.sandbox.path("net/nodes/node-2")).unwrap();
    page.run(&network.sandbox, 2);
    page.ends();
    assert!(!network.sandbox.path("net/nodes/node-2/data").exists());
    network.start(2, "");
    network.until(2, "it has rejoined", |s| s["voting"] == "yes");
    network.until(0, "four votes", |s| s["certificateVotes"] == 4);
}
