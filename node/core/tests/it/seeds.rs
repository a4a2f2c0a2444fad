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
                "46ac5bab1748da47ac71a7199b710b9a",
                "7caad31965806c835534b0c9d63308dec5c2f1641644393665022cff1736de7b"
            ],
            [
                "d553212728cefe4f96cbf2593d446eae",
                "4b242892049d4d0bccb4219b94c09354c4fcc7f2bb87c2731530fccedd549858"
            ],
            [
                "c89f4573378fe9251e2644edbcb48982",
                "bd02e8c6a2c9d7b0dc43f6af0140f776a32d1a0a18848231c7c55c48ca0dcac1"
            ],
            [
                "2c5e6b9cd02863a5bd5766af4b92ebd0",
                "26973a652df16549f0ad8fbea93561b3f87ac999b99aaa3ac519f63f0f1080e6"
            ],
            [
                "0172ab8ef55c3bc21e84867ebce77bb4",
                "737ef9326d7325e2e9d900b9630a96997d22fc5a0fdba7e741ea29404a083ff2"
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
