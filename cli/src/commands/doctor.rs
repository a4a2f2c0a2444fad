//! `quorate doctor`: whether this machine, and what is configured on it, is fit to run.

use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Instant;

use quorate_node::attest::client::Client;
use quorate_node::attest::service::Setup;
use quorate_node::attest::tls::Trust;
use quorate_node::shell::node;
use quorate_prover::{Cost, machine, open_prover};
use quorate_verifier::attestation::{Attestation, KeyRing, verify};
use quorate_verifier::file::FileType;
use quorate_verifier::json;
use quorate_verifier::sizes::{NAMED_SIZES, NamedSize};

use super::link::{self, Target};
use super::serve::Examined;
use super::{founding, serve, tls, work};
use crate::args::DoctorArgs;
use crate::failure::Failure;
use crate::files::Source;
use crate::keys;
use crate::output::{Report, Status, Verdict};
use crate::progress::spoken_bytes;

/// Files that a service with its connections may have open at once.
pub(super) const OPEN_FILES: u64 = 4096;
/// Room on disk under which a node or a service should not be left alone.
const FREE_DISK: u64 = 1 << 30;
/// Writes that are timed, and what the median may take, in milliseconds: a vote waits for one.
const WRITES: usize = 15;
const SLOW_WRITE_MS: f64 = 50.0;
/// How far this machine's clock may be behind a block that is final.
const CLOCK_MS: u64 = 2000;
/// Longest configuration.
const CONFIG_MAX_BYTES: usize = 1 << 16;

pub(super) fn run(args: &DoctorArgs) -> Result<Report, Failure> {
    let mut report = Report::new(Verdict::Verified, "");
    machine(&mut report);
    proving_keys(&mut report, args)?;
    if args.configs.is_empty() {
        disk(&mut report, Path::new("."));
    }
    for config in &args.configs {
        match Kind::of(config)? {
            Kind::Node => examine_node(&mut report, config)?,
            Kind::Service => examine_service(&mut report, config)?,
        }
    }
    let count = |status| report.checks.iter().filter(|c| c.status == status).count();
    let (failed, passed) = (count(Status::Fail), count(Status::Pass));
    if failed > 0 {
        report.verdict = Verdict::Unavailable;
        report.summary = format!("{failed} of {} checks failed", failed + passed);
    } else {
        report.summary = format!("{passed} checks passed");
    }
    report.not_checked("whether the clock is right: nothing here knows a better one");
    report.not_checked("whether other machines can reach this one");
    if args.configs.is_empty() {
        report.next("quorate doctor node.toml serve.toml examines what is configured, too");
    }
    Ok(report)
}

/// What a configuration is for.
enum Kind {
    Node,
    Service,
}

impl Kind {
    /// By its tables: a node has documents, a service has a source of blocks.
    fn of(path: &Path) -> Result<Self, Failure> {
        let name = path.display();
        let bytes = Source::File(path.into()).read(CONFIG_MAX_BYTES)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Failure::usage(format!("{name}: a configuration is text in UTF-8")))?;
        let table: toml::Table = text
            .parse()
            .map_err(|error| Failure::usage(format!("{name}: {error}")))?;
        match (
            table.contains_key("documents"),
            table.contains_key("source"),
        ) {
            (true, false) => Ok(Self::Node),
            (false, true) => Ok(Self::Service),
            _ => Err(Failure::usage(format!(
                "{name}: neither a node's configuration, with [documents], nor a service's, with \
                 [source]"
            ))),
        }
    }
}

fn machine(report: &mut Report) {
    let processors = std::thread::available_parallelism();
    report.check(
        "processors",
        processors.map(|count| match machine::processor() {
            Some(name) => format!("{count}, {name}"),
            None => count.to_string(),
        }),
    );
    report.check("randomness", random());
    report.check("clock", founding::now().map(json::format_time));
    match machine::available_memory() {
        Some(free) => report.check("memory", memory(free)),
        None => {
            report.skip("memory", "the system does not say");
            true
        }
    };
    #[cfg(unix)]
    report.check("open files", open_files());
}

/// Two draws that differ: a generator that is stuck is found before a key is made with it.
fn random() -> Result<String, String> {
    let draw = || keys::random::<32>().map_err(|error| error.to_string());
    match draw()? == draw()? {
        true => Err("the system's generator gives the same bytes twice".into()),
        false => Ok("the system's generator answers".into()),
    }
}

fn memory(free: u64) -> Result<String, String> {
    let fits = |named: &&NamedSize| Cost::of(named.size).prove_peak_bytes <= free;
    let largest = NAMED_SIZES.iter().rev().find(fits);
    let free = spoken_bytes(free);
    match largest {
        Some(named) => Ok(format!(
            "{free} are available, enough for proofs of up to {} signers",
            named.size.slots()
        )),
        None => Err(format!(
            "{free} are available, too few for the smallest proof"
        )),
    }
}

#[cfg(unix)]
fn open_files() -> Result<String, String> {
    // A service takes as many as the system lets it have, whatever the shell starts it with.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    match limit {
        Some(limit) if limit < OPEN_FILES => Err(format!(
            "at most {limit} may be open at once, fewer than {OPEN_FILES}: see ulimit -Hn"
        )),
        Some(limit) => Ok(format!("up to {limit} may be open at once")),
        None => Ok("any number may be open at once".into()),
    }
}

fn proving_keys(report: &mut Report, args: &DoctorArgs) -> Result<(), Failure> {
    let store = work::store(&args.store)?;
    let (mut usable, mut unusable) = (Vec::new(), Vec::new());
    for entry in store.entries()? {
        let opened = match entry.key {
            Ok(key) => {
                let slots = key.verifying().circuit.slots.slots();
                open_prover(key)
                    .map(|_| slots)
                    .map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match opened {
            Ok(slots) => usable.push(format!("{slots} signers")),
            Err(error) => unusable.push(format!("{}: {error}", entry.digest)),
        }
    }
    let dir = store.dir().display();
    if !unusable.is_empty() {
        report.check("proving keys", Err::<String, _>(unusable.join("; ")));
    } else if usable.is_empty() {
        let why = format!("none in {dir}; quorate setup makes one");
        report.skip("proving keys", &why);
    } else {
        let which = usable.join(", ");
        report.check::<String>("proving keys", Ok(format!("for {which}, in {dir}")));
    }
    Ok(())
}

/// Against the newest block: no block is final before its time.
fn clock(name: &str, newest: &str) -> Result<String, String> {
    let newest = json::parse_time(newest)?;
    let now = founding::now().map_err(|error| error.to_string())?;
    let ahead = newest.get().saturating_sub(now.get());
    match ahead > CLOCK_MS {
        true => Err(format!(
            "{name}'s newest block is {ahead} ms ahead of this machine's clock"
        )),
        false => Ok(format!("not behind {name}'s newest block")),
    }
}

/// Room where data will be, and how long a durable write takes there.
pub(super) fn disk(report: &mut Report, data: &Path) {
    let there = nearest(data);
    let place = there.display();
    match machine::free_disk(&there) {
        Some(free) if free < FREE_DISK => report.check(
            "disk",
            Err::<String, _>(format!("{place}: {} are free", spoken_bytes(free))),
        ),
        Some(free) => report.check::<String>(
            "disk",
            Ok(format!("{place}: {} are free", spoken_bytes(free))),
        ),
        None => {
            report.skip("disk", "the system does not say");
            true
        }
    };
    let took = median_write(&there).map_err(|error| format!("{place}: {error}"));
    let judged = took.and_then(|ms| {
        let what = format!("{place}: {ms:.2} ms for 4 KiB");
        match ms > SLOW_WRITE_MS {
            true => Err(format!("{what}: validators wait for each")),
            false => Ok(what),
        }
    });
    report.check("durable writes", judged);
}

/// The path itself, or what there is of it.
fn nearest(path: &Path) -> PathBuf {
    let exists = |path: &&Path| path.is_dir();
    let parent = path.ancestors().find(exists);
    match parent {
        Some(dir) if dir != Path::new("") => dir.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Milliseconds for a write that survives a power cut.
fn median_write(dir: &Path) -> std::io::Result<f64> {
    let mut file: File = tempfile::tempfile_in(dir)?;
    let mut taken = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let begun = Instant::now();
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
        taken.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    taken.sort_by(f64::total_cmp);
    Ok(taken[WRITES / 2])
}

/// A node that runs is asked; one that does not is started in thought.
fn examine_node(report: &mut Report, path: &Path) -> Result<(), Failure> {
    let config = link::config(path)?;
    let name = config.name.to_string();
    let listen = config.listen.to_string();
    disk(report, &config.data);
    if TcpListener::bind(&listen).is_ok() {
        let setup = match link::setup(config, false) {
            Ok(setup) => setup,
            Err(failure) => {
                report.check("node", Err::<String, _>(format!("{name}: {failure}")));
                return Ok(());
            }
        };
        let found = link::runtime(1)?.block_on(node::dry_run(setup));
        report.check(
            "node",
            found
                .map(|_| format!("{name} does not run, and can start"))
                .map_err(|error| format!("{name} cannot start: {error}")),
        );
        return Ok(());
    }
    let target = Target::own(config)?;
    let status = link::runtime(1)?.block_on(async {
        let mut node = target.connect().await?;
        node.status().await
    });
    let status = match status {
        Ok(status) => status,
        Err(error) => {
            let what = format!("{listen} is taken, but {name} does not answer there: {error}");
            report.check("node", Err::<String, _>(what));
            return Ok(());
        }
    };
    let (height, voting) = (status.height, &status.voting);
    report.check::<String>(
        "node",
        Ok(format!("{name} is at height {height}; voting: {voting}")),
    );
    let apart: Vec<&str> = status
        .peers
        .iter()
        .filter(|peer| !(peer.reached && peer.heard))
        .map(|peer| peer.name.as_str())
        .collect();
    report.check(
        "peers",
        match apart.is_empty() {
            true => Ok(format!("{name} has all {}", status.peers.len())),
            false => Err(format!("{name} has no link with {}", apart.join(", "))),
        },
    );
    report.check("time", clock(&name, &status.time));
    report.check(
        "evidence",
        match status.evidence {
            0 => Ok(format!("{name} has seen nobody sign twice")),
            n => Err(format!(
                "{name} has evidence of {n} double signatures, in evidence beside its data"
            )),
        },
    );
    Ok(())
}

/// A service that runs is asked, and its newest proof verified by the policy.
fn examine_service(report: &mut Report, path: &Path) -> Result<(), Failure> {
    let name = path.display();
    let Examined {
        setup,
        warnings,
        listeners,
        certificate,
        node,
    } = match serve::examine(path) {
        Ok(examined) => examined,
        Err(failure) => {
            report.check("service", Err::<String, _>(format!("{name}: {failure}")));
            return Ok(());
        }
    };
    for warning in warnings {
        report.warn(warning);
    }
    disk(report, &setup.data);
    let taken: Vec<&str> = listeners
        .iter()
        .filter(|(_, address)| TcpListener::bind(address).is_err())
        .map(|(name, _)| *name)
        .collect();
    if taken.is_empty() {
        let what = "keys, policy and source agree; it does not run, and its ports are free";
        report.check::<String>("service", Ok(what.into()));
        if let Some(address) = node.filter(|address| TcpStream::connect(address).is_err()) {
            report.skip("source", &format!("nothing listens at {address} yet"));
        }
        return Ok(());
    }
    if let Some(address) = node {
        let reached = TcpStream::connect(&address);
        report.check(
            "source",
            reached
                .map(|_| format!("something listens at {address}"))
                .map_err(|error| format!("{address}: {error}")),
        );
    }
    let trust = certificate.map(|path| tls::pinned(&Source::File(path)));
    let trust = trust.transpose()?;
    let asked = serve::runtime()?.block_on(async {
        let [(_, public), _, (_, metrics)] = listeners;
        let ready = get(metrics, None, "/readyz").await?;
        let newest = get(public, trust.as_ref(), "/v1/attestations/latest/binary").await?;
        Ok::<_, String>((ready, newest))
    });
    let ((ready, words), (found, newest)) = match asked {
        Ok(answers) => answers,
        Err(error) => {
            let taken = taken.join(", ");
            let what =
                format!("the ports {taken} are taken, but the service is not there: {error}");
            report.check("service", Err::<String, _>(what));
            return Ok(());
        }
    };
    let words = String::from_utf8_lossy(&words).trim().to_owned();
    report.check(
        "service",
        match ready {
            200 => Ok("it runs and is ready".into()),
            status => Err(format!("it runs and is not ready: {status} {words}")),
        },
    );
    match found {
        404 => report.skip("newest proof", "there is none yet"),
        200 => {
            report.check("newest proof", judge(&newest, setup));
        }
        status => {
            report.check("newest proof", Err::<String, _>(format!("status {status}")));
        }
    }
    Ok(())
}

async fn get(
    address: SocketAddr,
    trust: Option<&Trust>,
    path: &str,
) -> Result<(u16, Vec<u8>), String> {
    let scheme = if trust.is_some() { "https" } else { "http" };
    let client = Client::trusting(&format!("{scheme}://{address}"), None, trust);
    let client = client.map_err(|error| error.to_string())?;
    let answer = client.get(path).await.map_err(|error| error.to_string())?;
    Ok((answer.0.as_u16(), answer.1.to_vec()))
}

/// As anybody would who has the policy, and nothing else of this machine but the light keys.
fn judge(newest: &[u8], setup: Setup) -> Result<String, String> {
    let attestation = Attestation::from_file(newest).map_err(|error| error.to_string())?;
    let mut ring = KeyRing::new();
    for key in setup.keys {
        ring.insert(key.prepare().map_err(|error| error.to_string())?);
    }
    let height = attestation.header.height.get();
    verify(&attestation, &setup.policy, &ring)
        .map(|_| format!("height {height} is final by the policy"))
        .map_err(|error| format!("height {height}: {error}"))
}
