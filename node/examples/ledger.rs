//! What the ledger costs: applying blocks of plausible traffic, by the number of accounts.
//!
//! `cargo run --release -p quorate-node --example ledger`

use std::sync::Arc;
use std::time::Instant;

use quorate_node::app::{Executed, Ledger, Outcome, Scenario};
use quorate_pbft::app::App;
use quorate_pbft::request::Payload;
use quorate_verifier::genesis::{Genesis, Limits, Parameters};
use quorate_verifier::primitives::{CircuitSize, Height, TimeMs};
use quorate_verifier::rule::QuorumRule;

const BLOCKS: usize = 20;
const REQUESTS_PER_BLOCK: usize = 200;

fn main() {
    let (start, far) = (1_800_000_000_000, 4_102_444_800_000);
    let time = |ms| TimeMs::new(ms).expect("before the year 10000");
    println!("accounts  entries  µs/request  refused  snapshot bytes  snapshot ms  restore ms");
    for traders in [100, 1_000, 10_000] {
        let scenario = Scenario::new(1, traders, time(far));
        let mut ledger = scenario
            .genesis()
            .ledger()
            .expect("a scenario keeps the rules");
        let set = quorate_pbft::sim::keys::set_of(&[1]).commitment();
        let genesis = Genesis {
            name: "cost".into(),
            time: time(start),
            parameters: Parameters {
                rule: QuorumRule::COMMIT,
                slots: CircuitSize::from_slots(3).expect("3 slots"),
                keys: Vec::new(),
                block_interval_ms: 1,
                limits: Limits::DEFAULT,
            },
            validators: set,
            state_root: ledger.root(),
        };
        let mut header = genesis.header().expect("a good name");
        let chain = header.digest();
        let traffic = scenario.requests(chain, time(start), BLOCKS * REQUESTS_PER_BLOCK);
        let requests = traffic.signed(&chain).expect("all are signed");
        let (mut spent, mut refused) = (0, 0);
        for (number, block) in (1..).zip(requests.chunks(REQUESTS_PER_BLOCK)) {
            header.parent = header.digest();
            header.height = Height::new(number);
            header.time = time(start + number * 200);
            let payload = Payload {
                salt: [1; 32],
                requests: block.iter().cloned().map(Arc::new).collect(),
            };
            let clock = Instant::now();
            let applied = ledger.apply(&header, &payload);
            spent += clock.elapsed().as_micros();
            refused += applied
                .outcomes
                .iter()
                .filter(|leaf| is_refused(leaf))
                .count();
        }
        let clock = Instant::now();
        let snapshot = ledger.snapshot();
        let written = clock.elapsed().as_millis();
        let clock = Instant::now();
        Ledger::default().restore(&snapshot).expect("our own bytes");
        let restored = clock.elapsed().as_millis();
        println!(
            "{traders:8}  {:7}  {:10.1}  {refused:7}  {:14}  {written:11}  {restored:10}",
            ledger.entries().count(),
            spent as f64 / requests.len() as f64,
            snapshot.len(),
        );
    }
}

fn is_refused(leaf: &[u8]) -> bool {
    let outcome = Outcome::from_leaf(leaf).expect("the ledger's own");
    matches!(outcome.result, Executed::Refused(_))
}
