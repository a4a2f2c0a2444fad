//! What a world is made of, by hand or from a seed.

use quorate_verifier::rule::QuorumRule;

use super::liars::LiarKind;
use super::network::Weather;
use super::rng::Rng;
use crate::time::Timing;

/// What goes wrong by itself while the world is in chaos, in ms between two events; 0 is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chaos {
    /// Links change.
    pub links_ms: u64,
    /// A node loses power, at once or at one of its next disk operations.
    pub crash_ms: u64,
    /// All nodes lose power once, about here.
    pub blackout_at_ms: u64,
    /// The disk of a weak node fails, fills up or flips a bit.
    pub disk_ms: u64,
    /// The clock of a weak node jumps by up to an hour.
    pub clock_ms: u64,
    /// A weak node loses its whole disk, about here.
    pub wipe_at_ms: u64,
    /// The validator set changes, about here.
    pub change_at_ms: u64,
}

/// A world before it starts.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Everything random comes from here.
    pub seed: u64,
    /// Power of each validator of the first set.
    pub powers: Vec<u64>,
    /// What a commit takes; at least two thirds.
    pub rule: QuorumRule,
    /// Nodes that follow the chain and may become validators.
    pub spares: usize,
    /// Clients.
    pub clients: usize,
    /// Time between two requests of a client, in ms; 0 for none.
    pub request_ms: u64,
    /// Liars, by node.
    pub liars: Vec<(usize, LiarKind)>,
    /// Correct nodes whose disk or clock may fail: of them safety is demanded, not progress.
    pub weak: Vec<usize>,
    /// Nodes whose application gives wrong results, from a height on.
    pub broken_apps: Vec<(usize, u64)>,
    /// The links in chaos.
    pub weather: Weather,
    /// The links afterwards.
    pub calm: Weather,
    /// What goes wrong by itself.
    pub chaos: Chaos,
    /// How long chaos lasts, in ms.
    pub chaos_ms: u64,
    /// Patience of the nodes.
    pub timing: Timing,
    /// Block interval of the chain, in ms.
    pub interval_ms: u32,
    /// Clock of each node against true time, in ms; absent ones are right.
    pub clocks: Vec<i64>,
    /// Heights between two copies of the state that nodes offer; 0 for none.
    pub snapshot_every: u64,
    /// Whether every message takes the way through its encoding.
    pub wire: bool,
}

/// Patience of simulated nodes: views of a tenth of a second.
pub const TIMING: Timing = Timing {
    view_ms: 100,
    view_max_ms: 3_000,
    idle_ms: 120,
    resend_ms: 40,
    resend_max_ms: 320,
};

impl Setup {
    /// So many equal validators, nothing goes wrong.
    pub fn calm(validators: usize) -> Self {
        Self {
            seed: 1,
            powers: vec![1; validators],
            rule: QuorumRule::COMMIT,
            spares: 0,
            clients: 2,
            request_ms: 50,
            liars: Vec::new(),
            weak: Vec::new(),
            broken_apps: Vec::new(),
            weather: Weather::CALM,
            calm: Weather::CALM,
            chaos: Chaos::default(),
            chaos_ms: 0,
            timing: TIMING,
            interval_ms: 20,
            clocks: Vec::new(),
            snapshot_every: 8,
            wire: true,
        }
    }

    /// The world of a seed, with this liar in it if one is named.
    pub fn of_seed(seed: u64, liar: Option<LiarKind>) -> Self {
        let mut rng = Rng::new(seed, 0x5e7);
        let powers = POWERS[rng.place(POWERS.len())].to_vec();
        let (liars, weak) = cast_roles(&powers, liar, &mut rng);
        let interval_ms = 20 + u32::try_from(rng.below(30)).expect("small");
        let often = |rng: &mut Rng, chance: u64, ms: (u64, u64)| {
            if rng.chance(chance) {
                rng.between(ms.0, ms.1)
            } else {
                0
            }
        };
        let chaos_ms = rng.between(500, 1_000);
        let chaos = Chaos {
            links_ms: often(&mut rng, 700, (40, 300)),
            crash_ms: often(&mut rng, 600, (100, 400)),
            blackout_at_ms: often(&mut rng, 150, (100, chaos_ms)),
            disk_ms: often(&mut rng, 500, (100, 400)),
            clock_ms: often(&mut rng, 300, (100, 400)),
            wipe_at_ms: often(&mut rng, 150, (100, chaos_ms)),
            change_at_ms: often(&mut rng, 300, (50, chaos_ms)),
        };
        let weather = Weather {
            delay_min_ms: 1,
            delay_max_ms: rng.between(2, 25),
            loss: [0, 10, 50, 150, 300][rng.place(5)],
            repeats: [0, 20, 100][rng.place(3)],
            stragglers: [0, 5, 30][rng.place(3)],
        };
        let clocks = powers
            .iter()
            .map(|_| i64::try_from(rng.below(300)).expect("small") - 150)
            .collect();
        let forged = liars
            .iter()
            .any(|(_, kind)| *kind == LiarKind::SnapshotForger);
        let snapshot_every = match [0, 2, 5, 12][rng.place(4)] {
            0 if forged => 2,
            every => every,
        };
        Self {
            seed,
            snapshot_every,
            spares: usize::from(chaos.change_at_ms > 0),
            clients: 1 + rng.place(4),
            request_ms: rng.between(15, 120),
            liars,
            weak,
            broken_apps: Vec::new(),
            weather,
            calm: Weather {
                delay_min_ms: 1,
                delay_max_ms: 5,
                ..Weather::CALM
            },
            chaos,
            chaos_ms,
            timing: TIMING,
            interval_ms,
            clocks,
            wire: seed.is_multiple_of(16),
            powers,
            rule: QuorumRule::COMMIT,
        }
    }
}

/// Sets of a seed's world: equal and unequal, one validator with more than a third, and a faulty
/// third that is one node or many.
const POWERS: [&[u64]; 10] = [
    &[1, 1, 1, 1],
    &[1, 1, 1, 1],
    &[1, 1, 1, 1],
    &[1, 1, 1, 1, 1],
    &[1, 1, 1, 1, 1, 1, 1],
    &[3, 3, 3, 2, 1],
    &[4, 3, 2, 1],
    &[5, 2, 2, 2, 1],
    &[2, 2, 2, 1, 1, 1],
    &[6, 5, 4, 3, 2, 1],
];

/// Chooses corrupt and weak nodes, together with less than a third of the power.
fn cast_roles(
    powers: &[u64],
    liar: Option<LiarKind>,
    rng: &mut Rng,
) -> (Vec<(usize, LiarKind)>, Vec<usize>) {
    let total: u64 = powers.iter().sum();
    let mut order: Vec<usize> = (0..powers.len()).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, rng.place(last + 1));
    }
    let wants_liar = liar.is_some() || rng.chance(700);
    let kind = liar.unwrap_or(LiarKind::ALL[rng.place(LiarKind::ALL.len())]);
    let (mut liars, mut weak, mut spent) = (Vec::new(), Vec::new(), 0);
    for node in order {
        if 3 * (spent + powers[node]) >= total {
            continue;
        }
        spent += powers[node];
        let lies = wants_liar && (liars.is_empty() || rng.chance(500));
        if lies {
            liars.push((node, kind))
        } else {
            weak.push(node)
        }
    }
    (liars, weak)
}
