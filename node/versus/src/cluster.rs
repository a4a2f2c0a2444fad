//! Replicas as processes of their own, and what the system says of them.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use quorate_node::shell::clients::ClientLink;
use quorate_node::shell::status::Status;
use serde::{Deserialize, Serialize};

use crate::founding::{Shape, guest_key, network_id};
use crate::{Failure, System};

/// Replicas are up and have committed something within this time.
const START_TIME: Duration = Duration::from_secs(30);
/// A replica that was asked to stop is killed after this time.
const STOP_TIME: Duration = Duration::from_secs(5);
/// Ticks of a second in `/proc/PID/stat`: fixed in Linux's interface to programs.
const TICKS: f64 = 100.0;

/// A running cluster. Dropping it kills every process.
pub(crate) struct Cluster {
    pub(crate) shape: Shape,
    replicas: Vec<Child>,
    // Removed after the processes are gone.
    _dir: tempfile::TempDir,
}

/// What a cluster has used until a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time of all replicas, in seconds.
    pub(crate) cpu: f64,
    /// Bytes that their writes sent to storage.
    pub(crate) disk: u64,
    /// Bytes over the loopback interface, of whomever.
    pub(crate) wire: u64,
}

/// What the settings of a run are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Setting {
    /// Which consensus.
    pub(crate) system: System,
    /// How many replicas.
    pub(crate) replicas: usize,
    /// Most requests in a block.
    pub(crate) batch: u32,
    /// Least time between blocks, in ms.
    pub(crate) block_ms: u32,
}

/// Ports that nobody listens at.
fn ports(count: usize) -> Result<Vec<u16>, Failure> {
    let listeners: Result<Vec<_>, _> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect();
    let ports = listeners?
        .iter()
        .map(|l| l.local_addr().map(|a| a.port()))
        .collect::<Result<_, _>>();
    Ok(ports?)
}

impl Cluster {
    /// Starts all replicas with empty disks under `parent`, and waits until they answer.
    pub(crate) async fn start(setting: &Setting, parent: &Path) -> Result<Self, Failure> {
        let shape = Shape {
            ports: ports(setting.replicas)?,
            batch: setting.batch,
            block_ms: setting.block_ms,
        };
        let dir = tempfile::tempdir_in(parent)?;
        let listed: Vec<_> = shape.ports.iter().map(ToString::to_string).collect();
        let mut cluster = Self {
            shape,
            replicas: Vec::new(),
            _dir: dir,
        };
        for index in 0..setting.replicas {
            let own = cluster._dir.path().join(format!("{index}"));
            fs::create_dir(&own)?;
            let child = Command::new(std::env::current_exe()?)
                .args(["replica", "--system", setting.system.name()])
                .args(["--index", &index.to_string()])
                .args(["--ports", &listed.join(",")])
                .args(["--batch", &setting.batch.to_string()])
                .args(["--block-ms", &setting.block_ms.to_string()])
                .arg("--dir")
                .arg(own)
                .stdin(Stdio::piped())
                .spawn()?;
            cluster.replicas.push(child);
        }
        let begun = Instant::now();
        for index in 0..setting.replicas {
            loop {
                match cluster.ask(index).await {
                    Ok(status) if status.voting == "yes" => break,
                    other if begun.elapsed() > START_TIME => {
                        return Err(format!("replica {index} does not start: {other:?}").into());
                    }
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        }
        Ok(cluster)
    }

    /// A link of its own to a replica, for questions.
    pub(crate) async fn link(&self, index: usize) -> Result<ClientLink, Failure> {
        let identity = self.shape.identity(guest_key())?;
        let address = self.shape.address(index);
        Ok(ClientLink::connect(&address, network_id(index), &identity).await?)
    }

    async fn ask(&self, index: usize) -> Result<Status, Failure> {
        Ok(self.link(index).await?.status().await?)
    }

    /// Process ids of the replicas that live.
    pub(crate) fn pids(&mut self) -> Vec<u32> {
        let living = self
            .replicas
            .iter_mut()
            .filter_map(|child| matches!(child.try_wait(), Ok(None)).then_some(child.id()));
        living.collect()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, index: usize) -> Result<(), Failure> {
        self.replicas[index].kill()?;
        self.replicas[index].wait()?;
        Ok(())
    }

    /// What was used so far. A replica that is gone makes it fail.
    pub(crate) fn usage(&mut self) -> Result<Usage, Failure> {
        let mut usage = Usage {
            wire: loopback_bytes()?,
            ..Usage::default()
        };
        for (index, child) in self.replicas.iter_mut().enumerate() {
            if let Some(status) = child.try_wait()? {
                return Err(format!("replica {index} has ended: {status}").into());
            }
            usage.cpu += cpu_seconds(child.id())?;
            usage.disk += written_bytes(child.id())?;
        }
        Ok(usage)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in &mut self.replicas {
            drop(child.stdin.take());
        }
        let begun = Instant::now();
        for child in &mut self.replicas {
            while matches!(child.try_wait(), Ok(None)) {
                if begun.elapsed() > STOP_TIME {
                    let _ = child.kill(); // it may just have ended
                    let _ = child.wait();
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// User and system time of a process, its threads included, in seconds.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64, Failure> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Fields are counted behind the name, which may hold anything: `utime` and `stime` are the
    // 12th and 13th from there.
    let (_, fields) = stat.rsplit_once(") ").ok_or("a line of /proc/PID/stat")?;
    let mut fields = fields.split(' ').skip(11);
    let mut ticks = || -> Result<u32, Failure> { Ok(fields.next().ok_or("ticks")?.parse()?) };
    Ok((f64::from(ticks()?) + f64::from(ticks()?)) / TICKS)
}

fn written_bytes(pid: u32) -> Result<u64, Failure> {
    let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let line = io.lines().find_map(|l| l.strip_prefix("write_bytes: "));
    Ok(line.ok_or("write_bytes in /proc/PID/io")?.parse()?)
}

fn loopback_bytes() -> Result<u64, Failure> {
    let text = fs::read_to_string("/proc/net/dev")?;
    let line = text.lines().find_map(|l| l.trim().strip_prefix("lo:"));
    let first = line.and_then(|l| l.split_whitespace().next());
    Ok(first.ok_or("lo in /proc/net/dev")?.parse()?)
}

/// Counts syncs of these processes for a while with `perf`; `None` where that is not allowed.
pub(crate) async fn count_syncs(pids: Vec<u32>, time: Duration) -> Option<u64> {
    let pids: Vec<_> = pids.iter().map(ToString::to_string).collect();
    let output = tokio::task::spawn_blocking(move || {
        Command::new("perf")
            .args(["stat", "-x", ",", "-e"])
            .arg("syscalls:sys_enter_fsync,syscalls:sys_enter_fdatasync")
            .args(["-p", &pids.join(","), "--", "sleep"])
            .arg(format!("{:.3}", time.as_secs_f64()))
            .output()
    });
    let output = output.await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let counts: Vec<u64> = text
        .lines()
        .filter(|line| line.contains("sys_enter_f"))
        .filter_map(|line| line.split(',').next()?.parse().ok())
        .collect();
    (output.status.success() && counts.len() == 2).then(|| counts.iter().sum())
}
