//! `quorate simulate`: worlds of validators, each made from one seed, and every split of four
//! validators and a twin.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use quorate_pbft::sim::twins::{Case, Outcome};
use quorate_pbft::sim::{LiarKind, Options, Report as World, Signatures, simulate};
use sha2::{Digest, Sha256};

use crate::args::SimulateArgs;
use crate::output::{Report, Verdict};
use crate::value::Value;

/// Failures that are shown one by one; all are counted.
const SHOWN: usize = 10;

pub(super) fn run(args: &SimulateArgs) -> Report {
    let threads = args
        .threads
        .or_else(|| thread::available_parallelism().ok());
    let threads = threads.map_or(1, NonZero::get);
    match args.twins {
        Some(views) => twins(views, args.commits.min(views), threads),
        None => seeds(args, threads),
    }
}

/// What many worlds came to, whatever the order in which they were run.
#[derive(Default)]
struct Sum {
    heights: u64,
    views: u64,
    delivered: u64,
    lies: u64,
    crashes: u64,
    faults: u64,
    snapshots: u64,
    evidence: u64,
    simulated_ms: u64,
    /// Traces by seed.
    traces: Vec<(u64, String)>,
    /// Worlds that broke a promise.
    bad: Vec<World>,
}

impl Sum {
    fn add(&mut self, world: World) {
        let counts = world.counts;
        self.heights += world.heights;
        self.views = self.views.max(counts.highest_view);
        self.delivered += counts.delivered;
        self.lies += counts.lies;
        self.crashes += counts.crashes;
        self.faults += counts.faults;
        self.snapshots += counts.snapshots;
        self.evidence += world.evidence as u64;
        self.simulated_ms += world.simulated_ms;
        self.traces.push((world.seed, world.trace.to_string()));
        if !world.is_good() {
            self.bad.push(world);
        }
    }

    fn join(&mut self, other: Self) {
        self.heights += other.heights;
        self.views = self.views.max(other.views);
        self.delivered += other.delivered;
        self.lies += other.lies;
        self.crashes += other.crashes;
        self.faults += other.faults;
        self.snapshots += other.snapshots;
        self.evidence += other.evidence;
        self.simulated_ms += other.simulated_ms;
        self.traces.extend(other.traces);
        self.bad.extend(other.bad);
    }

    /// The trace of one world, or a hash over those of many in the order of their seeds.
    fn trace(&mut self) -> String {
        self.traces.sort_unstable();
        if let [(_, trace)] = &self.traces[..] {
            return trace.clone();
        }
        let mut hash = Sha256::new();
        for (seed, trace) in &self.traces {
            hash.update(seed.to_le_bytes());
            hash.update(trace.as_bytes());
        }
        hex::encode(&hash.finalize()[..16])
    }
}

fn seeds(args: &SimulateArgs, threads: usize) -> Report {
    let options = Options {
        liar: args.liar,
        signatures: if args.ed25519 {
            Signatures::Ed25519
        } else {
            Signatures::Symbolic
        },
        ..Options::default()
    };
    // The seeds may wrap: they are names.
    let world = |place: u64| {
        let seed = args.seed.wrapping_add(place);
        simulate(&Options { seed, ..options })
    };
    let next = AtomicU64::new(0);
    let work = || {
        let mut sum = Sum::default();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= args.runs {
                return sum;
            }
            sum.add(world(place));
        }
    };
    let sums = on_threads(
        threads.min(usize::try_from(args.runs).unwrap_or(threads)),
        work,
    );
    let mut sum = Sum::default();
    sums.into_iter().for_each(|part| sum.join(part));
    sum.bad
        .sort_by_key(|world| world.seed.wrapping_sub(args.seed));
    let (trace, bad) = (sum.trace(), sum.bad.len());

    let worlds = if args.runs == 1 {
        format!("the world of seed {}", args.seed)
    } else {
        format!("{} worlds from seed {} on", args.runs, args.seed)
    };
    let (verdict, summary) = match bad {
        0 => (
            Verdict::Verified,
            format!("{worlds}: every promise is kept"),
        ),
        _ => (Verdict::Invalid, format!("{worlds}: {bad} broke a promise")),
    };
    let mut report = Report::new(verdict, summary);
    report
        .fact("seed", args.seed)
        .fact("runs", args.runs)
        .fact("trace", trace.as_str())
        .fact("heights", sum.heights)
        .fact("highest view", sum.views)
        .fact("messages", sum.delivered)
        .fact("lies", sum.lies)
        .fact("power losses", sum.crashes)
        .fact("faults of disks and clocks", sum.faults)
        .fact("snapshots", sum.snapshots)
        .fact("double votes proved", sum.evidence)
        .fact("simulated seconds", sum.simulated_ms / 1000);
    let of_seed = |bad: &World| bad_world(args, bad);
    if bad > 0 {
        let shown: Value = sum.bad.iter().take(SHOWN).map(of_seed).collect();
        report.fact("broken", shown);
        report.next(replay(args, sum.bad[0].seed));
    }
    promises(&mut report, &sum.bad);
    if args.runs == 1 {
        let again = world(0).trace.to_string();
        let same = if again == trace {
            Ok(format!("a second run has the trace {again} too"))
        } else {
            Err(format!("a second run has the trace {again}"))
        };
        if !report.check("replay", same) {
            report.verdict = Verdict::Invalid;
            report.summary = format!("{worlds}: two runs differ");
        }
    }
    report
}

/// One check for safety and one for progress.
fn promises(report: &mut Report, bad: &[World]) {
    use quorate_pbft::sim::Violation;
    let of_progress = |v: &Violation| matches!(v, Violation::NoProgress { .. });
    let of_lies = |v: &Violation| matches!(v, Violation::NoLies);
    type Kind<'a> = &'a dyn Fn(&Violation) -> bool;
    let safe = |v: &Violation| !of_progress(v) && !of_lies(v);
    let kinds: [(&'static str, &str, Kind<'_>); 3] = [
        (
            "safety",
            "agreement, validity, durability, evidence, bounds",
            &safe,
        ),
        (
            "progress",
            "heights and requests after the faults",
            &of_progress,
        ),
        ("lies", "every liar was heard", &of_lies),
    ];
    for (name, what, kind) in kinds {
        let broken = bad.iter().filter(|world| world.violations.iter().any(kind));
        let outcome = match broken.count() {
            0 => Ok(what.to_owned()),
            count => Err(format!("{count} worlds break it: {what}")),
        };
        report.check(name, outcome);
    }
}

fn bad_world(args: &SimulateArgs, world: &World) -> Value {
    let violations = world.violations.iter().map(|v| Value::from(v.to_string()));
    let liars = world.liars.iter().map(|name| Value::from(*name));
    Value::members([
        ("seed", world.seed.into()),
        ("liars", liars.collect()),
        ("violations", violations.collect()),
        ("replay", replay(args, world.seed).into()),
    ])
}

/// The command that runs one world again.
fn replay(args: &SimulateArgs, seed: u64) -> String {
    let mut command = format!("quorate simulate --seed {seed}");
    if let Some(liar) = args.liar {
        command.push_str(&format!(" --liar {}", liar.name()));
    }
    if args.ed25519 {
        command.push_str(" --ed25519");
    }
    command
}

fn twins(views: u32, commits: u32, threads: usize) -> Report {
    let cases = Mutex::new(Case::all(views, commits));
    let work = || {
        let (mut count, mut stalemates) = (0u64, 0u64);
        let mut decided = vec![0u64; views as usize + 1];
        let mut bad: Vec<(Case, Outcome)> = Vec::new();
        loop {
            let case = cases.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(case) = case else {
                return (count, stalemates, decided, bad);
            };
            let outcome = case.run(None);
            count += 1;
            match outcome
                .decided_in
                .and_then(|view| usize::try_from(view).ok())
            {
                Some(view) => decided[view.min(views as usize)] += 1,
                None => stalemates += 1,
            }
            if !outcome.violations.is_empty() {
                bad.push((case, outcome));
            }
        }
    };
    let (mut count, mut stalemates, mut broken) = (0, 0, Vec::new());
    let mut decided = vec![0; views as usize + 1];
    for part in on_threads(threads, work) {
        count += part.0;
        stalemates += part.1;
        let views = decided.iter_mut().zip(part.2);
        views.for_each(|(sum, more)| *sum += more);
        broken.extend(part.3);
    }
    broken.sort_by(|a, b| a.0.cmp(&b.0));
    let (verdict, summary) = match broken.len() {
        0 => (
            Verdict::Verified,
            format!("{count} cases of twins over {views} views: every promise is kept"),
        ),
        bad => (
            Verdict::Invalid,
            format!("{bad} of {count} cases of twins over {views} views broke a promise"),
        ),
    };
    let mut report = Report::new(verdict, summary);
    report
        .fact("views", u64::from(views))
        .fact("views with every choice of commits", u64::from(commits))
        .fact("cases", count)
        .fact(
            "decided in view",
            decided.into_iter().map(Value::from).collect::<Value>(),
        )
        .fact("stalemates until healed", stalemates);
    if !broken.is_empty() {
        let bytes = |bytes: &[u8]| bytes.iter().map(|b| Value::from(u64::from(*b))).collect();
        let of_case = |(case, outcome): &(Case, Outcome)| {
            let violations = outcome
                .violations
                .iter()
                .map(|v| Value::from(v.to_string()));
            Value::members([
                ("twin", case.twin.into()),
                ("splits", bytes(&case.splits)),
                ("hears", bytes(&case.hears)),
                ("violations", violations.collect()),
            ])
        };
        let shown: Value = broken.iter().take(SHOWN).map(of_case).collect();
        report.fact("broken", shown);
    }
    report
}

/// What each of some threads made of the same work.
fn on_threads<T: Send>(threads: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(&work)).collect();
        let mut parts = vec![work()];
        for other in others {
            match other.join() {
                Ok(part) => parts.push(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        parts
    })
}

/// The liar with this name, for the command line.
pub(crate) fn parse_liar(name: &str) -> Result<LiarKind, String> {
    LiarKind::from_name(name).ok_or_else(|| {
        let names: Vec<_> = LiarKind::ALL.iter().map(|kind| kind.name()).collect();
        format!("there are {}", names.join(", "))
    })
}
