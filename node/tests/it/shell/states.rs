//! Starts from a stored state, and states for nodes that are far behind.

use std::path::Path;
use std::sync::Arc;

use quorate_node::shell::driver::Stop;
use quorate_node::shell::node::{Node, StartError};
use quorate_node::shell::store::{Entry, Store};
use quorate_pbft::app::App;
use quorate_pbft::request::ClientKey;
use quorate_pbft::snapshot::Snapshot;
use quorate_verifier::primitives::Height;
use redb::TableDefinition;

use super::bench::{Network, height, run, stop, stop_all, until, until_height};
use super::cluster::{alice, guest, ledger, outcome, transfers};

/// Heights between two copies of the state.
const EVERY: u64 = 5;

async fn try_start(network: &Network, node: usize, fresh: bool) -> Result<Node, StartError> {
    let mut setup = network.setup(node, fresh);
    setup.config.timing.snapshot_every = Some(EVERY);
    Node::start(setup).await
}

async fn start(network: &Network, node: usize, fresh: bool) -> Node {
    try_start(network, node, fresh).await.unwrap()
}

async fn start_all(network: &Network, fresh: bool) -> Vec<Node> {
    let mut nodes = Vec::new();
    for node in 0..4 {
        nodes.push(start(network, node, fresh).await);
    }
    nodes
}

fn store(network: &Network, node: usize) -> Store {
    let path = network.data(node).join("blocks.redb");
    Store::open(&path, &network.chain()).unwrap()
}

fn stored(network: &Network, node: usize) -> Snapshot {
    let snapshot = store(network, node).snapshot().unwrap();
    snapshot.expect("a state is stored")
}

/// Takes the blocks up to a height out of a store.
fn forget_blocks(data: &Path, to: u64) {
    let database = redb::Database::open(data.join("blocks.redb")).unwrap();
    let write = database.begin_write().unwrap();
    for table in ["blocks", "outcomes"] {
        let table: TableDefinition<'_, u64, &[u8]> = TableDefinition::new(table);
        let mut table = write.open_table(table).unwrap();
        for height in 1..=to {
            table.remove(height).unwrap().expect("it was there");
        }
    }
    write.commit().unwrap();
}

/// A network that has executed three transfers and thirty heights, and stands still. The first
/// three nodes have no blocks any more below the state that each has stored, and the last one has
/// no data at all. Answers the heights of those three states.
async fn old_blocks_are_gone(network: &Network) -> Vec<u64> {
    let nodes = start_all(network, true).await;
    let mut link = guest(network, 0).await;
    for request in transfers(network, &[10, 20, 30]) {
        link.submit(&request).await.unwrap();
        outcome(&mut link).await;
    }
    for node in &nodes {
        until_height(node, 30).await;
    }
    stop_all(nodes).await;
    std::fs::remove_dir_all(network.data(3)).unwrap();
    let mut states = Vec::new();
    for node in 0..3 {
        let state = stored(network, node).offer.height().get();
        assert!(
            state >= 30 - EVERY && state.is_multiple_of(EVERY),
            "{state}"
        );
        forget_blocks(&network.data(node), state);
        states.push(state);
    }
    states
}

#[test]
fn a_start_takes_up_the_stored_state_and_a_wiped_node_rejoins_by_it() {
    run(async {
        let network = Network::with_ledger(4, Some(ledger()));
        let states = old_blocks_are_gone(&network).await;
        // No start below can execute all blocks: there are none before the states.
        let mut nodes = Vec::new();
        for node in 0..3 {
            nodes.push(start(&network, node, false).await);
        }
        let before = height(&nodes[0]);
        assert!(before > states[0]);
        let wiped = start(&network, 3, false).await;
        until(&wiped, "it votes", |status| status.voting == "yes").await;
        network.until_votes(0, &nodes[0], 4).await;
        let client = ClientKey(alice().verifying_key().to_bytes());
        let mut link = guest(&network, 3).await;
        assert_eq!(link.sequence(client).await.unwrap(), Some(3), "the state");
        nodes.push(wiped);
        let reached = height(&nodes[0]);
        until_height(&nodes[3], reached + EVERY + 1).await;
        stop_all(nodes).await;

        // What it has stored: a state with its certificates, and the blocks above it only.
        let first = *states.iter().min().unwrap();
        let last = store(&network, 3);
        for height in [1, 2, first] {
            assert_eq!(last.block(Height::new(height)).unwrap(), None);
        }
        assert!(last.block(Height::new(reached)).unwrap().is_some());
        drop(last);
        assert!(stored(&network, 3).offer.height().get() > first);
        // And from that it starts again like the others.
        let nodes = start_all(&network, false).await;
        for node in &nodes {
            until_height(node, reached + 10).await;
        }
        network.until_votes(0, &nodes[0], 4).await;
        stop_all(nodes).await;
    });
}

#[test]
fn a_restarted_node_offers_its_stored_state_before_another_height_is_final() {
    run(async {
        let network = Network::with_ledger(4, Some(ledger()));
        let states = old_blocks_are_gone(&network).await;
        // Two of four decide nothing, and nobody has the old blocks.
        let one = start(&network, 0, false).await;
        let wiped = start(&network, 3, false).await;
        let tip = height(&one);
        until_height(&wiped, tip).await;
        assert!(tip > states[0]);
        assert_eq!(height(&one), tip, "no further height was decided");
        // It has stored that state, and offers it in its turn to the next one that lost its disk.
        stop_all(vec![one, wiped]).await;
        std::fs::remove_dir_all(network.data(0)).unwrap();
        let again = start(&network, 3, false).await;
        assert_eq!(height(&again), tip);
        let wiped = start(&network, 0, false).await;
        until_height(&wiped, tip).await;
        stop_all(vec![again, wiped]).await;
    });
}

#[test]
fn a_stored_state_that_is_not_the_certified_one_is_not_used() {
    run(async {
        let network = Network::with_ledger(4, Some(ledger()));
        let mut nodes = start_all(&network, true).await;
        until_height(&nodes[0], 4 * EVERY).await;
        assert!(matches!(stop(nodes.remove(0)).await, Stop::Asked));
        // A ledger in which nothing has happened, with the true one's certificates.
        let mut forged = stored(&network, 0);
        forged.state = ledger().ledger().unwrap().snapshot().into();
        forged.offer.size = forged.state.len() as u64;
        let below = forged.offer.height().get();
        let keep = [Entry::Snapshot(Arc::new(forged))];
        store(&network, 0).keep(&keep).unwrap();
        // All blocks are there to be executed again.
        let back = start(&network, 0, false).await;
        until(&back, "it votes", |status| status.voting == "yes").await;
        assert!(matches!(stop(back).await, Stop::Asked));
        store(&network, 0).keep(&keep).unwrap();
        forget_blocks(&network.data(0), below);
        let refused = try_start(&network, 0, false)
            .await
            .err()
            .expect("nothing to go by");
        let words = refused.to_string();
        assert!(words.contains("not the certified one"), "{words}");
        assert!(words.contains("move the data directory away"), "{words}");
        stop_all(nodes).await;
    });
}
