//! The simulator: one seed is the whole world.
//!
//! Time, network, disks, clocks, clients and liars of a world all come from its seed, and nothing
//! else has a say: the same seed gives the same trace. Every seed is run for safety (chaos, with
//! agreement and all other promises checked from outside) and then for progress (faults end,
//! liars stay).

mod app;
mod disk;
pub mod keys;
mod liars;
mod machine;
mod network;
mod oracle;
mod rng;
mod setup;
mod trace;
pub mod twins;
mod workload;
mod world;

use quorate_verifier::primitives::Digest;

pub use app::{Adder, add, carry};
pub use disk::{Disk, DiskError};
pub use liars::{Deviation, LiarKind};
pub use machine::Down;
pub use network::{Network, Weather};
pub use oracle::Violation;
pub use rng::Rng;
pub use setup::{Chaos, Setup, TIMING};
pub use trace::Trace;
pub use workload::{Adding, Ask, Workload};
pub use world::{Counts, World};

use crate::defect::{Broken, Build, Defect, Sound};
use crate::scheme::Ed25519;
use keys::{Crypto, Symbolic};

/// Heights that must be decided after the faults have ended.
const HEIGHTS_AFTER: u64 = 3;
/// Time that they may take, in ms: many views of the longest kind.
const WITHIN_MS: u64 = 20_000;

/// Which signatures a world uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signatures {
    /// Who signed what: fast.
    #[default]
    Symbolic,
    /// Ed25519, as in a node.
    Ed25519,
}

/// Which world to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The world.
    pub seed: u64,
    /// Demands this liar; otherwise the seed chooses one, or none.
    pub liar: Option<LiarKind>,
    /// Which signatures.
    pub signatures: Signatures,
    /// Removes a line of defence, to see that it is missed.
    pub defect: Option<Defect>,
}

/// What became of a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The world.
    pub seed: u64,
    /// Names of the liars in it.
    pub liars: Vec<&'static str>,
    /// Validators of the first set.
    pub validators: usize,
    /// Heights that were decided.
    pub heights: u64,
    /// Simulated time, in ms.
    pub simulated_ms: u64,
    /// What happened, in numbers.
    pub counts: Counts,
    /// Proofs of double votes that correct nodes found.
    pub evidence: usize,
    /// Hash of everything that happened: the same in every replay.
    pub trace: Trace,
    /// Fingerprint of the decisions, the same whatever the signatures.
    pub decisions: Digest,
    /// The last decided header, which all that was decided has a say in: the same in every replay.
    pub tip: Digest,
    /// Broken promises; none in a good run.
    pub violations: Vec<Violation>,
}

impl Report {
    /// Whether every promise was kept.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Runs one world of adding clients, for safety and then for progress.
pub fn simulate(options: &Options) -> Report {
    simulate_with(options, Adding::default())
}

/// Runs one world of another application and its clients, for safety and then for progress.
pub fn simulate_with<W: Workload>(options: &Options, workload: W) -> Report {
    let setup = Setup::of_seed(options.seed, options.liar);
    let symbolic = Symbolic::new(options.seed);
    match (options.signatures, options.defect) {
        (Signatures::Symbolic, None) => run(setup, symbolic, Sound, workload),
        (Signatures::Symbolic, defect) => run(setup, symbolic, Broken(defect), workload),
        (Signatures::Ed25519, None) => run(setup, Ed25519, Sound, workload),
        (Signatures::Ed25519, defect) => run(setup, Ed25519, Broken(defect), workload),
    }
}

fn run<C: Crypto, B: Build + Clone, W: Workload>(
    setup: Setup,
    crypto: C,
    build: B,
    workload: W,
) -> Report {
    let liars = setup.liars.iter().map(|(_, kind)| kind.name()).collect();
    let (seed, validators, chaos_ms) = (setup.seed, setup.powers.len(), setup.chaos_ms);
    let mut world = World::of(setup, crypto, build, workload);
    world.run_until(chaos_ms);
    world.heal();
    world.demand_progress(HEIGHTS_AFTER, WITHIN_MS);
    world.demand_lies(WITHIN_MS);
    Report {
        seed,
        liars,
        validators,
        heights: world.decisions().count() as u64,
        simulated_ms: world.now_ms(),
        counts: world.counts(),
        evidence: world.evidence().len(),
        trace: world.trace(),
        decisions: world.decisions_digest(),
        tip: world
            .decisions()
            .last()
            .map_or(Digest::ZERO, |d| d.tip.digest),
        violations: world.violations().to_vec(),
    }
}
