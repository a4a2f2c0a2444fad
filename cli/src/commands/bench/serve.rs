//! `quorate bench serve`: how fast the service answers while it proves.
//!
//! The whole service as it runs for real: `quorate serve` with its own worker and prover, over a
//! chain that grows by a block each half second, so that there is always a proof to be made.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quorate_fixtures::Network;
use quorate_prover::{Store, StoredKey};
use quorate_verifier::file::FileType;
use quorate_verifier::genesis::AcceptedKey;
use quorate_verifier::header::Header;
use quorate_verifier::primitives::{CircuitSize, View};
use quorate_verifier::proof::{Origin, VerifyingKey};
use quorate_verifier::trust::{Cosigners, Policy, TrustAnchor};

use super::super::demo::processes::{Program, Running};
use super::super::{founding, serve as service, work};
use super::load::{Load, Target};
use super::{describe_machine, make_key, worst_certificate};
use crate::args::BenchServeArgs;
use crate::failure::Failure;
use crate::files::{self, Access, Existing, Scratch};
use crate::output::{Report, Verdict};
use crate::progress;
use crate::value::Value;

/// A block comes each so often.
const BLOCK_TIME: Duration = Duration::from_millis(500);
/// Whether a proof is under way is looked at each so often.
const LOOK: Duration = Duration::from_millis(200);
/// A first proof that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(600);
const MONTH_MS: u64 = 30 * 24 * 3600 * 1000;
/// The latency that 99 of 100 answers stay below.
const P99_MAX: Duration = Duration::from_millis(20);

pub(super) fn run(args: &BenchServeArgs) -> Result<Report, Failure> {
    let home = Scratch::new("quorate-bench-")?;
    let store = work::store(&args.store)?;
    let key = verifying_key(&store, args.size())?;
    let chain = Arc::new(Chain::new(&key));
    found(home.path(), &store, &key, &chain, args)?;
    let program = Program::this(home.path())?;
    let mut server = program.start("service", "serve --config serve.toml --bench")?;
    let (public, metrics) = listeners(&mut server)?;
    let stop = Arc::new(AtomicBool::new(false));
    let feeder = {
        let (chain, stop) = (Arc::clone(&chain), Arc::clone(&stop));
        let dir = home.path().join("blocks");
        std::thread::spawn(move || chain.feed(&dir, &stop))
    };
    let runtime = service::runtime()?;
    let measured = runtime.block_on(measure(args, &mut server, public, metrics));
    stop.store(true, Ordering::Relaxed);
    let fed = feeder.join();
    drop(server);
    let measured = measured?;
    if !matches!(fed, Ok(Ok(()))) {
        return Err(Failure::Machine("the blocks were not all written".into()));
    }
    Ok(report(args, &key, &measured))
}

/// What was seen.
struct Measured {
    bytes: usize,
    fixed: Load,
    attested: Load,
    paced: Load,
    /// Looks at the queue, and those of them that saw a proof under way.
    looks: u64,
    proving: u64,
    proofs: u64,
}

async fn measure(
    args: &BenchServeArgs,
    server: &mut Running,
    public: SocketAddr,
    metrics: SocketAddr,
) -> Result<Measured, Failure> {
    let gauges = Target::new(metrics, "/metrics");
    let latest = Target::new(public, "/v1/attestations/latest");
    eprintln!("the first proof is being made");
    let start = Instant::now();
    let body = loop {
        server.check()?;
        if let Ok(body) = latest.once().await {
            break body;
        }
        if start.elapsed() > PATIENCE {
            return Err(Failure::Machine("no proof was made".into()));
        }
        tokio::time::sleep(LOOK).await;
    };
    let proved = gauge(&gauges, "quorate_proved_height").await?;
    let attestation = Target::new(public, &format!("/v1/attestations/{proved}"));
    let fixed = Target::new(public, &format!("/bench/{}", body.len()));
    let failed = |error: std::io::Error| Failure::Machine(format!("an answer: {error}"));
    for target in [&attestation, &fixed] {
        let bytes = target.once().await.map_err(failed)?.len();
        if bytes != body.len() {
            return Err(Failure::Machine("the two bodies differ in length".into()));
        }
    }
    let (looks, proving) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let watching = {
        let (gauges, looks, proving) = (gauges.clone(), Arc::clone(&looks), Arc::clone(&proving));
        tokio::spawn(async move {
            loop {
                if let Ok(leased) = gauge(&gauges, "quorate_jobs_leased").await {
                    looks.fetch_add(1, Ordering::Relaxed);
                    proving.fetch_add(leased.min(1), Ordering::Relaxed);
                }
                tokio::time::sleep(LOOK).await;
            }
        })
    };
    let before = gauge(&gauges, "quorate_proofs_kept").await?;
    let (many, time) = (
        usize::from(args.connections),
        Duration::from_secs(args.seconds.into()),
    );
    // Each once in vain: what is loaded late is not charged to the first.
    for target in [&fixed, &attestation] {
        target
            .closed(many, Duration::from_millis(500))
            .await
            .map_err(failed)?;
    }
    eprintln!("a static body, {} s", args.seconds);
    let first = fixed.closed(many, time).await.map_err(failed)?;
    eprintln!("attestations, {} s", args.seconds);
    let attested = attestation.closed(many, time).await.map_err(failed)?;
    let rate = attested.rate / 2.0;
    eprintln!(
        "attestations at {rate:.0} requests a second, {} s",
        args.seconds
    );
    let paced = attestation.open(many, rate, time).await.map_err(failed)?;
    watching.abort();
    let after = gauge(&gauges, "quorate_proofs_kept").await?;
    Ok(Measured {
        bytes: body.len(),
        fixed: first,
        attested,
        paced,
        looks: looks.load(Ordering::Relaxed),
        proving: proving.load(Ordering::Relaxed),
        proofs: after.saturating_sub(before),
    })
}

/// A number from the metrics.
async fn gauge(metrics: &Target, name: &str) -> Result<u64, Failure> {
    let failed = |what: String| Failure::Machine(format!("/metrics: {what}"));
    let body = metrics
        .once()
        .await
        .map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&body);
    let found = text.lines().find_map(|line| {
        let (found, value) = line.split_once(' ')?;
        (found == name).then(|| value.parse().ok())?
    });
    found.ok_or_else(|| failed(format!("no {name}")))
}

fn report(args: &BenchServeArgs, key: &VerifyingKey, measured: &Measured) -> Report {
    let Measured {
        fixed,
        attested,
        paced,
        ..
    } = measured;
    let ratio = attested.rate / fixed.rate;
    let p99 = paced.permille(990);
    let mut report = Report::new(
        Verdict::Done,
        format!(
            "{:.0} attestations a second, {:.0} hundredths of a static body's {:.0}; at half of \
             that 99 of 100 within {:.1} ms",
            attested.rate,
            100.0 * ratio,
            fixed.rate,
            milliseconds(p99)
        ),
    );
    describe_machine(&mut report);
    report
        .fact("server threads", service::THREADS)
        .fact("client threads", service::THREADS)
        .fact("connections", u64::from(args.connections))
        .fact("slots", key.circuit.slots.slots())
        .fact("prover niceness", u64::from(args.nice))
        .fact("body bytes", measured.bytes);
    report.fact(
        "loads",
        [
            row("a static body", fixed),
            row("attestations", attested),
            row("attestations at half that rate", paced),
        ]
        .into_iter()
        .collect::<Value>(),
    );
    report
        .fact("proofs meanwhile", measured.proofs)
        .fact("looks at the queue", measured.looks)
        .fact("looks that saw a proof under way", measured.proving);
    let half = format!("{:.2} of the static body's rate", ratio);
    let half = if ratio >= 0.5 { Ok(half) } else { Err(half) };
    report.check("attestations at least half as fast", half);
    let tail = format!("{:.1} ms", milliseconds(p99));
    let tail = if p99 < P99_MAX { Ok(tail) } else { Err(tail) };
    report.check("99 of 100 within 20 ms at half that rate", tail);
    let always = format!("in {} of {} looks", measured.proving, measured.looks);
    let always = match 10 * measured.proving >= 9 * measured.looks && measured.looks > 0 {
        true => Ok(always),
        false => Err(always),
    };
    report.check("a proof was under way", always);
    report.not_checked("what else this machine was doing; client and server share it");
    report
}

fn row(name: &str, load: &Load) -> Value {
    let micros = |permille| {
        let time = load.permille(permille).as_micros();
        u64::try_from(time).unwrap_or(u64::MAX).into()
    };
    Value::members([
        ("load", name.into()),
        ("requests", load.count().into()),
        ("perSecond", rounded(load.rate).into()),
        ("p50Microseconds", micros(500)),
        ("p99Microseconds", micros(990)),
        ("p999Microseconds", micros(999)),
        ("maxMicroseconds", micros(1000)),
    ])
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is small"
)]
fn rounded(rate: f64) -> u64 {
    rate.round() as u64
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The key of a size: from the store, or a new one.
fn verifying_key(store: &Store, size: CircuitSize) -> Result<VerifyingKey, Failure> {
    let fits = |key: &StoredKey| {
        let key = key.verifying();
        key.circuit.slots == size && key.origin == Origin::Development
    };
    let mut keys = store
        .entries()?
        .into_iter()
        .filter_map(|entry| entry.key.ok());
    if let Some(key) = keys.find(fits) {
        return Ok(key.verifying().clone());
    }
    let args = crate::args::WorkArgs {
        threads: None,
        max_memory: None,
        progress: progress::Style::Auto,
    };
    let made = make_key(store, size, &args)?;
    Ok(store.open(&made.digest)?.verifying().clone())
}

/// A chain of one set, each block signed by as many as the circuit holds.
struct Chain {
    network: Network,
    signers: Vec<u16>,
}

impl Chain {
    fn new(key: &VerifyingKey) -> Self {
        let (mut network, block) = worst_certificate(key.circuit.slots);
        network.genesis.parameters.keys = vec![AcceptedKey {
            digest: key.digest(),
            slots: key.circuit.slots,
        }];
        let signers = block.certificate.votes().iter().map(|vote| vote.index);
        Self {
            signers: signers.collect(),
            network,
        }
    }

    fn policy(&self) -> Result<Policy, Failure> {
        let keys = self.network.genesis.parameters.keys.clone();
        Ok(Policy {
            anchor: TrustAnchor {
                header: self.network.genesis_header(),
                keys: keys.clone(),
                trusting_period_ms: MONTH_MS,
                clock_drift_ms: 10_000,
                made_at: founding::now()?,
            },
            rule: super::RULE,
            keys,
            log_key: None,
            cosigners: Cosigners::NONE,
            development_keys: true,
        })
    }

    /// Writes blocks until it is told to stop.
    fn feed(&self, dir: &Path, stop: &AtomicBool) -> std::io::Result<()> {
        let mut header: Header = self.network.genesis_header();
        while !stop.load(Ordering::Relaxed) {
            header = self.network.child(&header);
            let block = self
                .network
                .finalize(header.clone(), View::FIRST, &self.signers);
            let (beside, place) = (
                dir.join(".new"),
                dir.join(format!("{}.signed-header", header.height.get())),
            );
            std::fs::write(&beside, block.to_file())?;
            std::fs::rename(beside, place)?;
            std::thread::sleep(BLOCK_TIME);
        }
        Ok(())
    }
}

/// Writes what a service starts from.
fn found(
    dir: &Path,
    store: &Store,
    key: &VerifyingKey,
    chain: &Chain,
    args: &BenchServeArgs,
) -> Result<(), Failure> {
    let put = |name: &str, bytes: &[u8]| {
        files::write(&dir.join(name), bytes, Access::Private, Existing::Keep)
    };
    for name in ["blocks", "sets"] {
        let path = dir.join(name);
        std::fs::create_dir(&path).map_err(|error| Failure::Write { path, error })?;
    }
    put("policy.json", chain.policy()?.to_json().as_bytes())?;
    put("key.vk", &key.to_file())?;
    put("sets/1.set", &chain.network.set.to_file())?;
    let program = Program::this(dir)?;
    for name in ["finality", "access"] {
        program.expect(&format!("keygen --out {name}.pem"))?;
    }
    let keys = store.dir().canonicalize().map_err(|error| Failure::Read {
        name: store.dir().display().to_string(),
        error,
    })?;
    let keys = serde_json::Value::from(keys.to_string_lossy()).to_string();
    let config = format!(
        "data = \"service\"\npolicy = \"policy.json\"\nverifying_keys = [\"key.vk\"]\n\
         [log]\nfinality_key = \"finality.pem\"\naccess_key = \"access.pem\"\n\
         [source]\nblocks = \"blocks\"\nsets = \"sets\"\n\
         [listen]\npublic = \"127.0.0.1:0\"\noperator = \"127.0.0.1:0\"\n\
         metrics = \"127.0.0.1:0\"\n[worker]\nkeys = {keys}\nnice = {}\n",
        args.nice
    );
    put("serve.toml", config.as_bytes())
}

/// The public and the metrics listener.
fn listeners(server: &mut Running) -> Result<(SocketAddr, SocketAddr), Failure> {
    let start = Instant::now();
    loop {
        server.check()?;
        let log = server.log();
        let find = |name: &str| {
            let line = log.lines().find_map(|line| line.strip_prefix(name))?;
            line.strip_prefix(": http://")?.parse().ok()
        };
        if let (Some(public), Some(metrics)) = (find("public"), find("metrics")) {
            return Ok((public, metrics));
        }
        if start.elapsed() > PATIENCE {
            return Err(Failure::Machine("the service does not listen".into()));
        }
        std::thread::sleep(LOOK);
    }
}
