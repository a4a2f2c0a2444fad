//! A table for people, and everything as JSON.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::System;
use crate::cluster::Setting;
use crate::plan::{Killed, Point, SHARES};

/// Where it was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    file_system: String,
    /// Load average of the last minute when the run began.
    load: String,
}

impl Machine {
    /// This machine; `dir` lies on the disk that is measured.
    pub(crate) fn here(dir: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find(|line| line.starts_with("model name"));
        let model = model.and_then(|line| line.split(": ").nth(1));
        let load = read("/proc/loadavg");
        Self {
            processor: model.unwrap_or("unknown").into(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().into(),
            file_system: file_system(&read("/proc/mounts"), dir),
            load: load.split(' ').next().unwrap_or_default().into(),
        }
    }
}

/// Type of the file system that a directory lies on.
fn file_system(mounts: &str, dir: &Path) -> String {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.into());
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let above = mounts.filter(|(point, _)| dir.starts_with(point));
    let nearest = above.max_by_key(|(point, _)| point.len());
    nearest.map_or("unknown", |(_, kind)| kind).into()
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            processor,
            cores,
            kernel,
            file_system,
            load,
        } = self;
        write!(
            f,
            "{processor}, {cores} cores, Linux {kernel}, {file_system}, load average {load} at the start"
        )
    }
}

/// Median of repeats, and the least and largest of them.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        // A system that commits nothing has nothing to be counted by.
        let values: Vec<_> = values.iter().copied().filter(|v| v.is_finite()).collect();
        (!values.is_empty()).then(|| Self {
            median: median(values.iter().copied()),
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, min, max } = self;
        let digits = match median.abs() {
            m if m >= 100.0 => 0,
            m if m >= 10.0 => 1,
            _ => 2,
        };
        if min < max {
            write!(f, "{median:.digits$} ({min:.digits$} to {max:.digits$})")
        } else {
            write!(f, "{median:.digits$}")
        }
    }
}

/// What a figure is called, and how it is had from a measurement.
type Figure = (&'static str, fn(&Point) -> f64);

/// One figure of both systems.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    what: String,
    both: [Option<Spread>; 2],
}

/// Everything about clusters of one size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    replicas: usize,
    settings: [Setting; 2],
    lines: Vec<Line>,
}

impl Row {
    /// Sums up what was measured with the best settings of both; `full` is their saturation.
    pub(crate) fn of(
        replicas: usize,
        settings: [Setting; 2],
        full: [f64; 2],
        report: &Report,
    ) -> Self {
        let mut row = Self {
            replicas,
            settings,
            lines: Vec::new(),
        };
        let saturated = |point: &Point| point.rate.is_none();
        let figures: [Figure; 7] = [
            ("committed requests/s at saturation", |p| p.committed),
            ("committed requests per CPU-second at saturation", |p| {
                p.per_cpu
            }),
            ("cores used by the replicas at saturation", |p| p.cores),
            ("blocks/s at saturation", |p| p.blocks),
            ("syncs per block at saturation, all replicas", |p| {
                p.syncs.unwrap_or(f64::NAN)
            }),
            ("KiB to storage per block, all replicas", |p| {
                p.disk / 1024.0
            }),
            ("KiB on the wire per block, clients included", |p| {
                p.wire / 1024.0
            }),
        ];
        for (what, figure) in figures {
            row.add(report, what.into(), saturated, figure);
        }
        let per_request: [Figure; 2] = [
            ("bytes to storage per request, all replicas", |p| {
                p.disk * p.blocks / p.committed
            }),
            ("bytes on the wire per request, clients included", |p| {
                p.wire * p.blocks / p.committed
            }),
        ];
        for (what, figure) in per_request {
            row.add(report, what.into(), saturated, figure);
        }
        for share in SHARES {
            let part = f64::from(share) / 100.0;
            let at = |point: &Point| {
                let full = full[usize::from(point.setting.system == System::Hotstuff)];
                point
                    .rate
                    .is_some_and(|rate| (rate / full - part).abs() < 1e-6)
            };
            let figures: [Figure; 5] = [
                ("latency p50, ms", |p| p.p50),
                ("latency p99, ms", |p| p.p99),
                ("requests per CPU-second", |p| p.per_cpu),
                ("syncs per block, all replicas", |p| {
                    p.syncs.unwrap_or(f64::NAN)
                }),
                ("requests lost or refused", |p| {
                    f64::from(u32::try_from(p.lost + p.refused).unwrap_or(u32::MAX))
                }),
            ];
            for (what, figure) in figures {
                row.add(
                    report,
                    format!("{what}, at {share} % of its saturation"),
                    at,
                    figure,
                );
            }
        }
        row.add_kills(report);
        row
    }

    fn add(
        &mut self,
        report: &Report,
        what: String,
        is: impl Fn(&Point) -> bool,
        figure: fn(&Point) -> f64,
    ) {
        let both = self.settings.each_ref().map(|setting| {
            let points = report.points.iter();
            let values = points
                .filter(|p| p.setting == *setting && is(p))
                .map(figure);
            Spread::of(&values.collect::<Vec<_>>())
        });
        self.lines.push(Line { what, both });
    }

    fn add_kills(&mut self, report: &Report) {
        let of = |setting: &Setting| -> Vec<&Killed> {
            let kills = report.kills.iter();
            kills.filter(|k| k.setting == *setting).collect()
        };
        let both = self.settings.each_ref().map(|setting| {
            let gaps: Vec<_> = of(setting).iter().map(|k| k.gap).collect();
            Spread::of(&gaps)
        });
        self.lines.push(Line {
            what: "longest time without a commit after kill -9 of a leader, ms".into(),
            both,
        });
        let both = self.settings.each_ref().map(|setting| {
            let kills = of(setting);
            let alive = |k: &&Killed| f64::from(u8::from(k.recovered));
            Spread::of(&kills.iter().map(alive).collect::<Vec<_>>())
        });
        self.lines.push(Line {
            what: "goes on after it (1) or not while watched (0)".into(),
            both,
        });
    }
}

/// The whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// What this document is.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Where.
    pub(crate) machine: Machine,
    /// Whether it was the short run.
    pub(crate) quick: bool,
    /// The summary.
    pub(crate) rows: Vec<Row>,
    /// Every measurement of the search for the best settings.
    pub(crate) sweep: Vec<Point>,
    /// Every other measurement.
    pub(crate) points: Vec<Point>,
    /// Every killed primary.
    pub(crate) kills: Vec<Killed>,
    /// Measurements that could not be made, and why.
    pub(crate) failures: Vec<String>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [ours, theirs] = self.settings.map(|s| {
            format!(
                "at most {} requests, {} ms or more apart",
                s.batch, s.block_ms
            )
        });
        writeln!(
            f,
            "{} replicas; medians, in brackets the extremes",
            self.replicas
        )?;
        writeln!(f, "quorate: {ours}; hotstuff_rs: {theirs}\n")?;
        writeln!(
            f,
            "| n = {} | quorate | hotstuff_rs | ratio |",
            self.replicas
        )?;
        writeln!(f, "|---|---|---|---|")?;
        for Line { what, both } in &self.lines {
            let cell = |spread: Option<Spread>| spread.map_or("-".into(), |s| s.to_string());
            let ratio = match both {
                [Some(ours), Some(theirs)] if theirs.median > 0.0 => {
                    format!("{:.2}", ours.median / theirs.median)
                }
                _ => "-".into(),
            };
            let [ours, theirs] = both.map(cell);
            writeln!(f, "| {what} | {ours} | {theirs} | {ratio} |")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        for failure in &self.failures {
            writeln!(f, "failed: {failure}")?;
        }
        Ok(())
    }
}

/// The middle one, the lower of two.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or(f64::NAN)
}

/// One line for whoever waits.
pub(crate) fn progress(what: &str, point: &Point) {
    let Setting {
        system,
        replicas,
        batch,
        block_ms,
    } = point.setting;
    eprintln!(
        "{what:<10} {:<8} n={replicas} batch={batch} block={block_ms}ms {:>7.0} req/s {:>6.0} req/cpu-s \
         p50 {:>6.1} p99 {:>6.1} ms {:>5.1} blocks/s lost {}",
        system.name(),
        point.committed,
        point.per_cpu,
        point.p50,
        point.p99,
        point.blocks,
        point.lost
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_tells_the_file_system() {
        let mounts = "a / ext4 rw 0 0\nb /dev/shm tmpfs rw 0 0\nc /dev devtmpfs rw 0 0";
        assert_eq!(file_system(mounts, Path::new("/nowhere/x")), "ext4");
        assert_eq!(file_system(mounts, Path::new("/dev/shm")), "tmpfs");
    }

    #[test]
    fn the_median_is_one_of_the_values() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([3.0, 1.0].into_iter()), 1.0);
        assert!(median(std::iter::empty()).is_nan());
    }
}
