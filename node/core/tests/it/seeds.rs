//! Seeded worlds: every promise is kept in each, and nothing hidden has a say.

use quorate_pbft::Decision;
use quorate_pbft::app::Change;
use quorate_pbft::sim::{
    Adder, Adding, Ask, LiarKind, Options, Signatures, Violation, Workload, simulate, simulate_with,
};

/// Runs worlds; a failure names its seed and how to see it again.
fn all_good(seeds: std::ops::Range<u64>, options: Options) {
    for seed in seeds {
        let report = simulate(&Options { seed, ..options });
        assert!(
            report.is_good(),
            "seed {seed} with {:?} (quorate simulate --seed {seed}): {:?}",
            report.liars,
            report.violations
        );
    }
}

#[test]
fn the_first_thousand_seeds_keep_every_promise() {
    all_good(0..1_000, Options::default());
}

#[test]
fn the_second_thousand_seeds_keep_every_promise() {
    all_good(1_000..2_000, Options::default());
}

#[test]
fn every_liar_is_survived_and_heard() {
    for liar in LiarKind::ALL {
        all_good(
            5_000..5_040,
            Options {
                liar: Some(liar),
                ..Options::default()
            },
        );
    }
}

#[test]
fn a_seed_is_the_whole_world() {
    for seed in 0..100 {
        let options = Options {
            seed,
            ..Options::default()
        };
        assert_eq!(simulate(&options), simulate(&options), "seed {seed}");
    }
}

/// Whatever builds and runs them, worlds are the same. A change of protocol or simulator changes
/// the traces; a change of compiler, processor or build does not.
#[test]
fn traces_are_the_same_everywhere() {
    let traces = [0, 1, 2, 16, u64::MAX].map(|seed| {
        let options = Options {
            seed,
            ..Options::default()
        };
        let report = simulate(&options);
        [report.trace.to_string(), report.tip.to_string()]
    });
    assert_eq!(
        traces,
        [
            [
                "65acf5d0312ded5e9abd69c33e0c942f",
                "4fbd4470499acb71cc453ee9e61bee015c2ce4953a13bcaa92b62d29098e71b0"
            ],
            [
                "28fd638b2a9c97cd02ab529911329f6f",
                "09d7279896ace232bd3aeeae2f448628967d545ccac906ffae426710754d2f1a"
            ],
            [
                "54f9e8d129a7c93db21472276b59acfb",
                "d0eae38ab7638901e476c71d63f5bf18d56d07cdfcee110472013af808e38946"
            ],
            [
                "8c3f6ff5a865eae61205a50e0fe157c9",
                "067e071b23da1d4c326c51b3d93c920a6e6681ced6522ec197562d2270bede32"
            ],
            [
                "78db4d200bbc54734856aae00821a401",
                "22c1e04303f50defb247c18b530b2a5892843e0f5974b1a2d447b9d80ca951b2"
            ],
        ]
    );
}

#[test]
fn ed25519_decides_what_symbols_decide() {
    for seed in 0..100 {
        let symbolic = simulate(&Options {
            seed,
            ..Options::default()
        });
        let signatures = Signatures::Ed25519;
        let real = simulate(&Options {
            seed,
            signatures,
            ..Options::default()
        });
        assert_eq!(symbolic.decisions, real.decisions, "seed {seed}");
        assert_eq!(symbolic.trace, real.trace, "seed {seed}");
        assert_eq!(real.violations, [], "seed {seed}");
    }
}

/// Adding clients, and a promise that does not hold for long.
struct Thrifty(Adding);

impl Workload for Thrifty {
    type App = Adder;

    fn app(&self, clients: usize) -> Adder {
        self.0.app(clients)
    }

    fn request(&mut self, ask: Ask<'_, Adder>) -> Vec<u8> {
        self.0.request(ask)
    }

    fn carry(&self, change: &Change) -> Option<Vec<u8>> {
        self.0.carry(change)
    }

    fn check(&mut self, app: &Adder, decision: &Decision) -> Result<(), String> {
        self.0.check(app, decision)?;
        match app.account(0) {
            Some((_, sum)) if sum > 200 => Err(format!("an account holds {sum}")),
            _ => Ok(()),
        }
    }
}

#[test]
fn a_promise_of_the_application_is_judged_after_every_block() {
    let options = Options {
        seed: 3,
        ..Options::default()
    };
    let report = simulate_with(&options, Thrifty(Adding::default()));
    let broken = |v: &Violation| matches!(v, Violation::Invariant { .. });
    assert!(report.violations.iter().any(broken), "{report:?}");
    assert!(simulate_with(&options, Adding::default()).is_good());
}
