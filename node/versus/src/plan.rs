//! What is measured, and in which order.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::cluster::{Cluster, Setting, count_syncs, cpu_seconds};
use crate::load::{Load, Pace};
use crate::report::{self, Machine, Report, Row};
use crate::{Failure, System};

/// Requests that are still unanswered after this time count as lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// Shares of saturation at which latency is measured, in hundredths.
pub(crate) const SHARES: [u32; 3] = [10, 50, 80];

/// `versus run`.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Two minutes: four replicas only, few settings, two repeats
    #[arg(long)]
    quick: bool,
    /// Numbers of replicas
    #[arg(long, value_delimiter = ',')]
    replicas: Vec<usize>,
    /// Where everything that was measured is written, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Directory on the disk to measure; the system's temporary one without it
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// `versus one`.
#[derive(Args, Debug)]
pub(crate) struct OneArgs {
    /// Which consensus
    #[arg(long)]
    system: System,
    /// How many replicas
    #[arg(long, default_value_t = 4)]
    replicas: usize,
    /// Most requests in a block
    #[arg(long, default_value_t = 1024)]
    batch: u32,
    /// Least time between blocks, in ms
    #[arg(long, default_value_t = 0)]
    block_ms: u32,
    /// Requests a second; as many as are taken without it
    #[arg(long)]
    rate: Option<f64>,
    /// Seconds of measurement
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Kill the primary, or leader, when the measurement begins
    #[arg(long)]
    kill: bool,
    /// Directory on the disk to measure; the system's temporary one without it
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// How long things take.
#[derive(Clone, Copy, Debug)]
struct Times {
    warm: Duration,
    window: Duration,
}

impl Times {
    fn seconds(warm: f64, window: f64) -> Self {
        Self {
            warm: Duration::from_secs_f64(warm),
            window: Duration::from_secs_f64(window),
        }
    }

    fn end(self) -> Duration {
        self.warm + self.window
    }
}

/// One measurement of one system.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Point {
    /// Of what.
    pub(crate) setting: Setting,
    /// Requests a second that were sent; none at saturation.
    pub(crate) rate: Option<f64>,
    /// Requests a second that were committed.
    pub(crate) committed: f64,
    /// Committed requests in a second of processor time of all replicas.
    pub(crate) per_cpu: f64,
    /// Processor time of all replicas, in cores.
    pub(crate) cores: f64,
    /// Processor time of the load generator, in cores.
    pub(crate) generator_cores: f64,
    /// Latency in ms, median.
    pub(crate) p50: f64,
    /// Latency in ms, one in a hundred is longer.
    pub(crate) p99: f64,
    /// Longest latency in ms.
    pub(crate) max: f64,
    /// Blocks a second.
    pub(crate) blocks: f64,
    /// Syncs of files of all replicas, a block; none where they cannot be counted.
    pub(crate) syncs: Option<f64>,
    /// Bytes written to storage by all replicas, a block.
    pub(crate) disk: f64,
    /// Bytes over the loopback interface, a block.
    pub(crate) wire: f64,
    /// Requests that were never answered.
    pub(crate) lost: u64,
    /// Requests that were refused.
    pub(crate) refused: u64,
}

/// What the death of a primary, or leader, cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Killed {
    /// Of what.
    pub(crate) setting: Setting,
    /// Requests a second that were sent.
    pub(crate) rate: f64,
    /// From the kill to the next answer of another replica, in ms; none if there was none.
    pub(crate) first: Option<f64>,
    /// Longest time without an answer of the others from the kill on, in ms.
    pub(crate) gap: f64,
    /// Whether anything was answered in the last third of the time that was watched.
    pub(crate) recovered: bool,
    /// Time that was watched, in s.
    pub(crate) watched: f64,
}

fn per(count: f64, of: f64) -> f64 {
    if of > 0.0 { count / of } else { f64::NAN }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "counts of a few seconds are far below 2^53"
)]
fn float(count: u64) -> f64 {
    count as f64
}

async fn measure(
    setting: &Setting,
    pace: Pace,
    times: Times,
    parent: &Path,
) -> Result<Point, Failure> {
    let mut cluster = Cluster::start(setting, parent).await?;
    let mut asks = cluster.link(0).await?;
    let load = Load::start(&cluster, pace, times.end() + Duration::from_secs(1)).await?;
    tokio::time::sleep_until((load.began() + times.warm).into()).await;
    let syncs = tokio::spawn(count_syncs(cluster.pids(), times.window));
    let (before, height, own) = (
        cluster.usage()?,
        asks.status().await?.height,
        cpu_seconds(std::process::id())?,
    );
    tokio::time::sleep_until((load.began() + times.end()).into()).await;
    let after = cluster.usage()?;
    let blocks = float(asks.status().await?.height.saturating_sub(height));
    let generator = cpu_seconds(std::process::id())? - own;
    let syncs = syncs.await?;
    load.drain(times.end(), PATIENCE).await;
    let seen = load.seen(times.warm, times.end())?;
    let seconds = times.window.as_secs_f64();
    let cpu = after.cpu - before.cpu;
    let ms = |quantile| float(seen.latency.value_at_quantile(quantile)) / 1000.0;
    Ok(Point {
        setting: *setting,
        rate: match pace {
            Pace::All => None,
            Pace::Rate(rate) => Some(rate),
        },
        committed: float(seen.committed) / seconds,
        per_cpu: per(float(seen.committed), cpu),
        cores: cpu / seconds,
        generator_cores: generator / seconds,
        p50: ms(0.5),
        p99: ms(0.99),
        max: ms(1.0),
        blocks: blocks / seconds,
        syncs: syncs.map(|syncs| per(float(syncs), blocks)),
        disk: per(float(after.disk - before.disk), blocks),
        wire: per(float(after.wire - before.wire), blocks),
        lost: seen.lost,
        refused: seen.refused,
    })
}

/// Which replica leads, as another one says.
async fn primary(cluster: &Cluster) -> Result<usize, Failure> {
    let status = cluster.link(0).await?.status().await?;
    let index = status.primary.strip_prefix("node-");
    Ok(index.ok_or("the name of a replica")?.parse()?)
}

async fn kill(
    setting: &Setting,
    rate: f64,
    times: Times,
    parent: &Path,
) -> Result<Killed, Failure> {
    let mut cluster = Cluster::start(setting, parent).await?;
    let load = Load::start(&cluster, Pace::Rate(rate), times.end()).await?;
    tokio::time::sleep_until((load.began() + times.warm).into()).await;
    let victim = primary(&cluster).await?;
    cluster.kill(victim)?;
    let at = load.began().elapsed();
    tokio::time::sleep(times.window).await;
    let end = at + times.window;
    let answers = load.answers(victim);
    let after: Vec<_> = answers.into_iter().filter(|time| *time > at).collect();
    let stops = [at].into_iter().chain(after.iter().copied());
    let starts = after.iter().copied().chain([end]);
    let gap = stops.zip(starts).map(|(a, b)| b.saturating_sub(a)).max();
    let late = end - times.window / 3;
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    Ok(Killed {
        setting: *setting,
        rate,
        first: after.first().map(|first| ms(*first - at)),
        gap: ms(gap.unwrap_or_default()),
        recovered: after.iter().any(|time| *time > late),
        watched: times.window.as_secs_f64(),
    })
}

fn parent(dir: Option<&PathBuf>) -> PathBuf {
    dir.cloned().unwrap_or_else(std::env::temp_dir)
}

/// One measurement, printed.
pub(crate) fn one(runtime: &Runtime, args: &OneArgs) -> Result<(), Failure> {
    let setting = Setting {
        system: args.system,
        replicas: args.replicas,
        batch: args.batch,
        block_ms: args.block_ms,
    };
    let parent = parent(args.dir.as_ref());
    let times = Times::seconds(2.0, args.seconds);
    let text = if args.kill {
        let rate = args.rate.ok_or("--kill needs --rate")?;
        serde_json::to_string_pretty(&runtime.block_on(kill(&setting, rate, times, &parent))?)?
    } else {
        let pace = args.rate.map_or(Pace::All, Pace::Rate);
        serde_json::to_string_pretty(&runtime.block_on(measure(&setting, pace, times, &parent))?)?
    };
    println!("{text}");
    Ok(())
}

/// What a run consists of.
struct Plan {
    replicas: Vec<usize>,
    batches: Vec<u32>,
    block_ms: Vec<u32>,
    sweep: Times,
    saturation: (usize, Times),
    latency: (usize, Times),
    kill: (usize, Times),
}

impl Plan {
    fn of(args: &RunArgs) -> Self {
        let or = |default: &[usize]| match args.replicas.is_empty() {
            true => default.to_vec(),
            false => args.replicas.clone(),
        };
        if args.quick {
            Self {
                replicas: or(&[4]),
                batches: vec![512, 1024],
                block_ms: vec![0],
                sweep: Times::seconds(1.0, 3.0),
                saturation: (2, Times::seconds(1.0, 4.0)),
                latency: (1, Times::seconds(1.0, 4.0)),
                kill: (1, Times::seconds(2.0, 10.0)),
            }
        } else {
            Self {
                replicas: or(&[4, 7]),
                batches: vec![256, 512, 1024, 2048],
                block_ms: vec![0, 10],
                sweep: Times::seconds(1.5, 4.0),
                saturation: (4, Times::seconds(2.0, 6.0)),
                latency: (3, Times::seconds(2.0, 6.0)),
                kill: (2, Times::seconds(2.0, 15.0)),
            }
        }
    }
}

/// A run under way.
struct Bench<'a> {
    runtime: &'a Runtime,
    parent: PathBuf,
    json: Option<&'a PathBuf>,
    report: Report,
}

impl Bench<'_> {
    fn save(&self) -> Result<(), Failure> {
        if let Some(path) = self.json {
            std::fs::write(path, serde_json::to_vec_pretty(&self.report)?)?;
        }
        Ok(())
    }

    /// One measurement; one that fails is told, and is not the end of the run.
    fn point(&mut self, what: &str, setting: &Setting, pace: Pace, times: Times) -> Option<Point> {
        let measured = measure(setting, pace, times, &self.parent);
        match self.runtime.block_on(measured) {
            Ok(point) => {
                report::progress(what, &point);
                Some(point)
            }
            Err(why) => {
                self.fail(what, setting, &why);
                None
            }
        }
    }

    fn fail(&mut self, what: &str, setting: &Setting, why: &Failure) {
        let line = format!("{what}: {setting:?}: {why}");
        eprintln!("FAILED     {line}");
        self.report.failures.push(line);
    }

    /// The settings of both with which most is committed.
    fn sweep(&mut self, plan: &Plan, replicas: usize) -> Option<[Setting; 2]> {
        let mut best: [Option<Point>; 2] = [None, None];
        for batch in &plan.batches {
            for block_ms in &plan.block_ms {
                for (system, best) in System::BOTH.into_iter().zip(&mut best) {
                    let setting = Setting {
                        system,
                        replicas,
                        batch: *batch,
                        block_ms: *block_ms,
                    };
                    let point = self.point("sweep", &setting, Pace::All, plan.sweep);
                    self.report.sweep.extend(point.clone());
                    if point.as_ref().map(|p| p.committed) > best.as_ref().map(|p| p.committed) {
                        *best = point;
                    }
                }
            }
        }
        let [ours, theirs] = best.map(|best| best.map(|point| point.setting));
        Some([ours?, theirs?])
    }

    fn all(&mut self, plan: &Plan, replicas: usize) -> Result<(), Failure> {
        let both = self
            .sweep(plan, replicas)
            .ok_or("nothing could be measured")?;
        let mut saturated = [Vec::new(), Vec::new()];
        for _ in 0..plan.saturation.0 {
            for (setting, points) in both.iter().zip(&mut saturated) {
                let point = self.point("saturation", setting, Pace::All, plan.saturation.1);
                points.extend(point.as_ref().map(|p| p.committed));
                self.report.points.extend(point);
            }
        }
        self.save()?;
        let full = saturated.map(|points| report::median(points.into_iter()));
        for share in SHARES {
            for _ in 0..plan.latency.0 {
                for (setting, full) in both.iter().zip(full) {
                    let pace = Pace::Rate(full * f64::from(share) / 100.0);
                    let point = self.point(&format!("at {share} %"), setting, pace, plan.latency.1);
                    self.report.points.extend(point);
                }
            }
        }
        self.save()?;
        for _ in 0..plan.kill.0 {
            for setting in both {
                // The same load for both: what the slower one bears easily.
                let rate = full[0].min(full[1]) * 0.3;
                let killed = kill(&setting, rate, plan.kill.1, &self.parent);
                match self.runtime.block_on(killed) {
                    Ok(killed) => {
                        eprintln!(
                            "killed     {:<8} longest gap {:.0} ms, goes on: {}",
                            setting.system.name(),
                            killed.gap,
                            killed.recovered
                        );
                        self.report.kills.push(killed);
                    }
                    Err(why) => self.fail("killed", &setting, &why),
                }
            }
        }
        let row = Row::of(replicas, both, full, &self.report);
        self.report.rows.push(row);
        self.save()
    }
}

/// Everything.
pub(crate) fn run(runtime: &Runtime, args: &RunArgs) -> Result<(), Failure> {
    let plan = Plan::of(args);
    let parent = parent(args.dir.as_ref());
    let mut bench = Bench {
        runtime,
        json: args.json.as_ref(),
        report: Report {
            kind: "quorate/versus/v1".into(),
            machine: Machine::here(&parent),
            quick: args.quick,
            rows: Vec::new(),
            sweep: Vec::new(),
            points: Vec::new(),
            kills: Vec::new(),
            failures: Vec::new(),
        },
        parent,
    };
    eprintln!("{}", bench.report.machine);
    for replicas in &plan.replicas {
        bench.all(&plan, *replicas)?;
        println!("{}", bench.report.rows.last().ok_or("a row")?);
    }
    println!("{}", bench.report);
    Ok(())
}
