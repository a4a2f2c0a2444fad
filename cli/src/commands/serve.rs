//! `quorate serve`: the attestation service, until it is asked to stop.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use quorate_node::attest::http::{self, Context, Listener, ROUTES};
use quorate_node::attest::log::{LogOpenError, LogSigner, LogStoreError};
use quorate_node::attest::retention::Retention;
use quorate_node::attest::service::{OpenError, Service, Setup, access_origin, now_ms};
use quorate_node::attest::source::{DirSource, NodeSource, follow};
use quorate_node::attest::tls::{PEM_MAX_BYTES, ServerConfig, TlsError, server_config};
use quorate_node::attest::tokens::{Role as TokenRole, Tokens};
use quorate_node::shell::stream::StreamConfig;
use quorate_node::shell::tls::{Identity, NetworkKey};
use quorate_verifier::genesis::Parameters;
use quorate_verifier::json::parse_hex;
use quorate_verifier::primitives::{ChainId, Height};
use quorate_verifier::proof::VerifyingKey;
use quorate_verifier::tlog::{LogError, NoteKey, finality_origin};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::doctor::OPEN_FILES;
use super::{link, tls};
use crate::args::{RotateKeyArgs, ServeArgs, WhichLog};
use crate::failure::{Failure, Role};
use crate::files::{self, Access, Existing, Source};
use crate::keys;
use crate::output::{self, Report, Verdict};

/// Threads that serve.
pub(super) const THREADS: usize = 2;
/// Longest configuration.
const CONFIG_MAX_BYTES: usize = 1 << 16;
/// A worker that ended is started again after this time.
const RESTART: Duration = Duration::from_secs(2);
/// A source that failed is asked again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Changes of tokens are looked for each so often.
const RECORD_AGAIN: Duration = Duration::from_secs(1);
/// What is old enough is deleted each so often: it costs a copy of all that is kept.
const DELETE_AGAIN: Duration = Duration::from_secs(24 * 3600);
/// The label of the token that the service gives its own worker.
const OWN_WORKER: &str = "the service's own worker";

/// The file. Paths are relative to its directory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    data: PathBuf,
    policy: PathBuf,
    verifying_keys: Vec<PathBuf>,
    /// Opened parameters that the chain has changed to, or will.
    #[serde(default)]
    parameters: Vec<PathBuf>,
    /// Readiness: how far the covered height may be behind.
    #[serde(default = "minute")]
    ready_behind_s: u64,
    log: LogConfig,
    source: SourceConfig,
    #[serde(default)]
    listen: ListenConfig,
    #[serde(default)]
    retention: RetentionConfig,
    worker: Option<WorkerConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogConfig {
    finality_key: PathBuf,
    access_key: PathBuf,
    /// Verifier-key texts.
    #[serde(default)]
    cosigners: Vec<String>,
    /// Checkpoints that cosigners remember.
    #[serde(default)]
    cosigned: Vec<PathBuf>,
}

/// A directory (`blocks`, `sets`) or a node (`node`, `node_key`, `key`).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceConfig {
    /// A directory of signed headers, named by height.
    blocks: Option<PathBuf>,
    /// A directory of validator sets.
    sets: Option<PathBuf>,
    /// A node's address, HOST:PORT.
    node: Option<String>,
    /// That node's network key, 64 hex digits.
    node_key: Option<String>,
    /// Our own network key, which the node lists among its observers.
    key: Option<PathBuf>,
    /// Whether requests and outcomes are asked for and kept: they name clients and their trades.
    #[serde(default)]
    contents: bool,
}

/// Where blocks come from.
enum Origin {
    Directory { blocks: PathBuf, sets: PathBuf },
    Node(Box<StreamConfig>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ListenConfig {
    public: SocketAddr,
    operator: SocketAddr,
    metrics: SocketAddr,
    /// For the public and the operator listener.
    tls: Option<TlsConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsConfig {
    /// PEM: the service's certificate first, then those that lead to an authority.
    certificate: PathBuf,
    /// PEM.
    key: PathBuf,
}

impl Default for ListenConfig {
    fn default() -> Self {
        let on = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            public: on(8440),
            operator: on(8441),
            metrics: on(8442),
            tls: None,
        }
    }
}

/// Nothing is deleted without a word.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetentionConfig {
    /// Days after a block's time for which its certificate is kept.
    certificates_days: Option<u32>,
    /// The same for its requests and outcomes.
    contents_days: Option<u32>,
}

impl RetentionConfig {
    fn retention(&self) -> Retention {
        let ms = |days: u32| u64::from(days) * 24 * 3600 * 1000;
        Retention {
            certificates_ms: self.certificates_days.map(ms),
            contents_ms: self.contents_days.map(ms),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkerConfig {
    /// Directory of proving keys; the user's own without it.
    keys: Option<PathBuf>,
    #[serde(default = "ten")]
    nice: u8,
}

const fn minute() -> u64 {
    60
}

const fn ten() -> u8 {
    10
}

pub(super) fn run(args: &ServeArgs) -> Result<Report, Failure> {
    let config = read_config(&args.config)?;
    let base = args.config.parent().unwrap_or_else(|| Path::new("."));
    let place = |path: &Path| base.join(path);
    let (setup, mut warnings) = setup(&config, &place)?;
    let tls = config.listen.tls.as_ref();
    let tls = tls
        .map(|tls| tls_config(tls, &place, &mut warnings))
        .transpose()?;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    let service = Arc::new(Service::open(setup)?);
    let context = Context::new(Arc::clone(&service), config.ready_behind_s * 1000);
    log_to_stderr();
    #[cfg(unix)]
    allow_open_files();
    let runtime = runtime()?;
    let origin = origin(&config.source, &place, service.chain())?;
    let context = Arc::new(context);
    let serving = Serving {
        context,
        tls,
        bench: args.bench,
    };
    runtime.block_on(serve(&config, &place, &service, serving, origin))?;
    Ok(Report::new(Verdict::Done, "the service stopped as asked"))
}

/// What is configured, read and checked as at a start.
pub(super) struct Examined {
    pub(super) setup: Setup,
    pub(super) warnings: Vec<String>,
    /// Names and addresses.
    pub(super) listeners: [(&'static str, SocketAddr); 3],
    /// The certificate that the public and the operator listener show.
    pub(super) certificate: Option<PathBuf>,
    /// The node whose certificates are read.
    pub(super) node: Option<String>,
}

/// Reads a configuration and everything that it names, and starts nothing.
pub(super) fn examine(path: &Path) -> Result<Examined, Failure> {
    let config = read_config(path)?;
    let base = path.parent().unwrap_or_else(|| Path::new("."));
    let place = |path: &Path| base.join(path);
    let (setup, mut warnings) = setup(&config, &place)?;
    let tls = config.listen.tls.as_ref();
    if let Some(tls) = tls {
        tls_config(tls, &place, &mut warnings)?;
    }
    let certificate = tls.map(|tls| place(&tls.certificate));
    let chain = &setup.policy.anchor.header.chain_id;
    origin(&config.source, &place, chain)?;
    let listen = &config.listen;
    Ok(Examined {
        setup,
        warnings,
        listeners: [
            ("public", listen.public),
            ("operator", listen.operator),
            ("metrics", listen.metrics),
        ],
        certificate,
        node: config.source.node,
    })
}

/// What the listeners share.
struct Serving {
    context: Arc<Context>,
    tls: Option<Arc<ServerConfig>>,
    bench: bool,
}

async fn serve(
    config: &Config,
    place: &dyn Fn(&Path) -> PathBuf,
    service: &Arc<Service>,
    serving: Serving,
    origin: Origin,
) -> Result<(), Failure> {
    let Serving {
        context,
        tls,
        bench,
    } = serving;
    let (stop, stopped) = watch::channel(false);
    on_stop(move || {
        let _ = stop.send(true);
    });
    let mut serving = Vec::new();
    let mut operator = config.listen.operator;
    for (address, kind, name) in [
        (config.listen.public, Listener::Public, "public"),
        (config.listen.operator, Listener::Operator, "operator"),
        (config.listen.metrics, Listener::Metrics, "metrics"),
    ] {
        let failed = |error| Failure::Machine(format!("{name} listener on {address}: {error}"));
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        if kind == Listener::Operator {
            operator = bound;
        }
        let tls = tls.clone().filter(|_| kind != Listener::Metrics);
        let scheme = if tls.is_some() { "https" } else { "http" };
        eprintln!("{name}: {scheme}://{bound}");
        if !bound.ip().is_loopback() && tls.is_none() {
            eprintln!("warning: the {name} listener is open to other machines, without TLS");
        }
        let mut routes = http::router(&context, ROUTES, kind);
        if bench && kind == Listener::Public {
            routes = http::with_fixed_bodies(routes);
        }
        let served = http::serve_tls(listener, tls, routes, until(stopped.clone()));
        serving.push(tokio::spawn(served));
    }
    let source = tokio::spawn(take_in(Arc::clone(service), origin));
    let deleting = tokio::spawn(delete(Arc::clone(service)));
    let recording = tokio::spawn(record_token_acts(Arc::clone(&context)));
    let worker = config.worker.as_ref();
    let worker = worker
        .map(|worker| {
            let pin = config
                .listen
                .tls
                .as_ref()
                .map(|tls| place(&tls.certificate));
            own_worker(worker, place, service, (operator, pin))
        })
        .transpose()?;
    let worker = worker.map(|command| tokio::spawn(keep_running(command, stopped.clone())));
    until(stopped).await;
    source.abort();
    recording.abort();
    deleting.abort();
    for one in serving {
        let _ = one.await;
    }
    if let Some(worker) = worker {
        let _ = worker.await;
    }
    Ok(())
}

/// Each connection is an open file, and a shell often allows 1,024 only.
#[cfg(unix)]
fn allow_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit
        .maximum
        .map_or(OPEN_FILES, |most| most.min(OPEN_FILES));
    if limit.current.is_some_and(|now| now < wanted) {
        limit.current = Some(wanted);
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
    }
}

/// Deletes what the configuration says, now and each day.
async fn delete(service: Arc<Service>) {
    loop {
        let keeper = Arc::clone(&service);
        match tokio::task::spawn_blocking(move || keeper.retain(now_ms())).await {
            Ok(Ok(Some(gone))) => tracing::info!(
                certificates_below = gone.certificates.get(),
                contents_below = gone.contents.get(),
                "deleted what is old enough"
            ),
            Ok(Err(error)) => tracing::error!(%error, "what is old was not deleted"),
            _ => {}
        }
        tokio::time::sleep(DELETE_AGAIN).await;
    }
}

/// Tokens that nobody uses are in the access log too, and those that were revoked.
async fn record_token_acts(context: Arc<Context>) {
    loop {
        let keeper = Arc::clone(&context);
        let recorded =
            tokio::task::spawn_blocking(move || keeper.service.record_token_acts(&keeper.tokens));
        if let Ok(Err(error)) = recorded.await {
            tracing::error!(%error, "changes of tokens are not in the access log");
        }
        tokio::time::sleep(RECORD_AGAIN).await;
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

fn origin(
    config: &SourceConfig,
    place: &dyn Fn(&Path) -> PathBuf,
    chain: &ChainId,
) -> Result<Origin, Failure> {
    let SourceConfig {
        blocks,
        sets,
        node,
        node_key,
        key,
        contents,
    } = config;
    match (blocks, sets, node, node_key, key) {
        (Some(blocks), Some(sets), None, None, None) if !contents => Ok(Origin::Directory {
            blocks: place(blocks),
            sets: place(sets),
        }),
        (None, None, Some(node), Some(node_key), Some(key)) => {
            let node_key = parse_hex(node_key)
                .map_err(|rule| Failure::usage(format!("source.node_key: {rule}")))?;
            let secret = link::private_key(&place(key), None)?;
            Ok(Origin::Node(Box::new(StreamConfig {
                address: node.clone(),
                node: NetworkKey(node_key),
                identity: Identity::new(secret, chain.clone()),
                chain: chain.clone(),
                parent: None,
                contents: *contents,
            })))
        }
        _ => Err(Failure::usage(
            "[source] is a directory, with blocks and sets, or a node, with node, node_key and key; \
             contents come from a node alone",
        )),
    }
}

/// Takes blocks in for as long as the service runs. After a fork nothing more is taken in.
async fn take_in(service: Arc<Service>, origin: Origin) {
    loop {
        let tip = service.store().tip().ok().flatten();
        let next = tip.and_then(Height::next);
        let next = next.unwrap_or_else(|| service.first_height());
        let ended = match &origin {
            Origin::Directory { blocks, sets } => {
                follow(&service, &mut DirSource::new(blocks, sets, next)).await
            }
            Origin::Node(config) => {
                let below = tip.and_then(|tip| service.store().header(tip).ok().flatten());
                let mut config = (**config).clone();
                let below = below.as_ref().unwrap_or(&service.policy().anchor.header);
                config.parent = Some(below.digest());
                follow(&service, &mut NodeSource::new(config, next)).await
            }
        };
        match ended {
            Ok(never) => match never {},
            Err(error) => tracing::error!(%error, "the source of blocks"),
        }
        if matches!(service.store().first_fork(), Ok(Some(_))) {
            tracing::error!("a fork is known: no block is taken in any more");
            return;
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// `quorate log rotate-key`: the old key's last word is for the new one.
pub(super) fn rotate_key(args: &RotateKeyArgs) -> Result<Report, Failure> {
    let config = read_config(&args.config)?;
    let base = args.config.parent().unwrap_or_else(|| Path::new("."));
    let (setup, warnings) = setup(&config, &|path: &Path| base.join(path))?;
    let (new, warning) = keys::load_secret(&Source::File(args.new_key.clone()), None)?;
    let chain = setup.policy.anchor.header.chain_id.clone();
    let (name, member) = match args.log {
        WhichLog::Finality => (finality_origin(&chain), "finality_key"),
        WhichLog::Access => (access_origin(&chain), "access_key"),
    };
    let both = [&setup.finality_key, &setup.access_key];
    if both.iter().any(|key| key.to_bytes() == new.to_bytes()) {
        return Err(Failure::usage(
            "the new key signs one of the two logs already",
        ));
    }
    let signer = LogSigner::new(&name, new).map_err(|error| Failure::usage(error.to_string()))?;
    let vkey = signer.public().to_string();
    let service = Service::open(setup)?;
    match args.log {
        WhichLog::Finality => service.hand_over_finality(signer),
        WhichLog::Access => service.hand_over_access(signer),
    }
    .map_err(|error| match error {
        LogStoreError::UsedKey => Failure::usage(error.to_string()),
        error => Failure::Machine(error.to_string()),
    })?;
    let mut report = Report::new(Verdict::Done, format!("{name} signs with another key"));
    report.fact("log", name).fact("vkey", vkey).next(format!(
        "set {member} in {} to {}, start the service, and hand the vkey out",
        args.config.display(),
        args.new_key.display()
    ));
    report.warnings.extend(warnings.into_iter().chain(warning));
    Ok(report)
}

/// Certificate and key of the listeners.
fn tls_config(
    config: &TlsConfig,
    place: &dyn Fn(&Path) -> PathBuf,
    warnings: &mut Vec<String>,
) -> Result<Arc<ServerConfig>, Failure> {
    let read = |path: &Path| {
        let source = Source::File(place(path));
        Ok::<_, Failure>((source.read(PEM_MAX_BYTES)?, source.name()))
    };
    let (certificate, name) = read(&config.certificate)?;
    let (key, key_name) = read(&config.key)?;
    if files::is_open_to_others(&place(&config.key)) {
        warnings.push(format!("{key_name} can be read by other users: chmod 600"));
    }
    server_config(&certificate, &key).map_err(|error| {
        let name = match error {
            TlsError::Pem { what: "key", .. } | TlsError::Key(_) => &key_name,
            _ => &name,
        };
        tls::refusal(name, &error)
    })
}

/// How the service's own worker is started: with a token of its own, made anew at each start, and
/// told which certificate it will be shown.
fn own_worker(
    config: &WorkerConfig,
    place: &dyn Fn(&Path) -> PathBuf,
    service: &Service,
    (operator, pin): (SocketAddr, Option<PathBuf>),
) -> Result<impl FnMut() -> Command + Send + 'static, Failure> {
    let tokens = Tokens::at(service.data());
    for (token, _) in tokens.list()? {
        if token.label == OWN_WORKER {
            tokens.revoke(&token.id, now_ms())?;
        }
    }
    let year = 365 * 24 * 3600 * 1000;
    let (_, token) = tokens.create(TokenRole::Operator, OWN_WORKER, now_ms(), year)?;
    let file = service.data().join("worker.token");
    files::write(&file, token.as_bytes(), Access::Private, Existing::Replace)?;
    let program = std::env::current_exe()
        .map_err(|error| Failure::Machine(format!("this program's own path: {error}")))?;
    let (keys, nice) = (config.keys.as_deref().map(place), config.nice.to_string());
    let scheme = if pin.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{operator}");
    Ok(move || {
        let mut command = Command::new(&program);
        command
            .args(["worker", "--url", &url, "--name", "own", "--tied"])
            .args(["--nice", &nice, "--token-file"])
            .arg(&file);
        if let Some(pin) = &pin {
            command.arg("--pin").arg(pin);
        }
        if let Some(keys) = &keys {
            command.arg("--keys").arg(keys);
        }
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdin(std::process::Stdio::piped());
        command.stdout(std::process::Stdio::null());
        command
    })
}

async fn keep_running(mut command: impl FnMut() -> Command, stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        let mut process: tokio::process::Command = command().into();
        match process.kill_on_drop(true).spawn() {
            Ok(mut child) => {
                // Held as long as this process lives: the worker ends when it is gone.
                let _tie = child.stdin.take();
                tokio::select! {
                    ended = child.wait() => tracing::warn!(?ended, "the worker ended"),
                    () = until(stopped.clone()) => {
                        let _ = child.kill().await;
                        return;
                    }
                }
            }
            Err(error) => tracing::error!(%error, "the worker was not started"),
        }
        tokio::select! {
            () = tokio::time::sleep(RESTART) => {}
            () = until(stopped.clone()) => {}
        }
    }
}

fn read_config(path: &Path) -> Result<Config, Failure> {
    let source = Source::File(path.into());
    let bytes = source.read(CONFIG_MAX_BYTES)?;
    let wrong = |what: String| Failure::usage(format!("{}: {what}", path.display()));
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("not UTF-8".into()))?;
    toml::from_str(text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))
}

fn setup(
    config: &Config,
    place: &dyn Fn(&Path) -> PathBuf,
) -> Result<(Setup, Vec<String>), Failure> {
    let file = |path: &Path| Source::File(place(path));
    let mut warnings = Vec::new();
    let mut secret = |path: &Path| {
        let (key, warning) = keys::load_secret(&file(path), None)?;
        warnings.extend(warning);
        Ok::<_, Failure>(key)
    };
    let (finality_key, access_key) = (
        secret(&config.log.finality_key)?,
        secret(&config.log.access_key)?,
    );
    if finality_key.to_bytes() == access_key.to_bytes() {
        return Err(Failure::usage("the two logs have a key each"));
    }
    let verifying: Result<Vec<VerifyingKey>, _> = config
        .verifying_keys
        .iter()
        .map(|path| file(path).document(Role::Given))
        .collect();
    let parameters: Result<Vec<Parameters>, _> = config
        .parameters
        .iter()
        .map(|path| file(path).document(Role::Given))
        .collect();
    let cosigners: Result<Vec<NoteKey>, LogError> = config
        .log
        .cosigners
        .iter()
        .map(|text| text.parse())
        .collect();
    let setup = Setup {
        data: place(&config.data),
        policy: file(&config.policy).document(Role::Given)?,
        keys: verifying?,
        finality_key,
        access_key,
        cosigners: cosigners.map_err(|error| Failure::usage(error.to_string()))?,
        cosigned: config.log.cosigned.iter().map(|path| place(path)).collect(),
        parameters: parameters?,
        retention: config.retention.retention(),
    };
    Ok((setup, warnings))
}

/// A runtime for one command.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .map_err(|error| Failure::Machine(format!("no threads from the system: {error}")))
}

/// Calls `stop` at the user's first interrupt, and at the system's request to end.
pub(super) fn on_stop(stop: impl Fn() + Send + Sync + 'static) {
    let stop = Arc::new(stop);
    let by_interrupt = Arc::clone(&stop);
    output::stop_by(move || by_interrupt());
    #[cfg(unix)]
    tokio::spawn(async move {
        let kind = tokio::signal::unix::SignalKind::terminate();
        if let Ok(mut terminate) = tokio::signal::unix::signal(kind) {
            terminate.recv().await;
            stop();
        }
    });
}

pub(super) fn log_to_stderr() {
    // A second call changes nothing.
    let _ = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_writer(std::io::stderr)
        .try_init();
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Log(
                error @ (LogOpenError::Contradicts { .. }
                | LogOpenError::Forgotten { .. }
                | LogOpenError::Checkpoint { .. }),
            ) => Self::Invalid(error.to_string()),
            OpenError::Apart(_) => Self::Invalid(error.to_string()),
            OpenError::NoKey | OpenError::Key(..) => Self::Unknown(error.to_string()),
            OpenError::Log(LogOpenError::OtherKey { .. })
            | OpenError::Name(_)
            | OpenError::Retention { .. } => Self::Usage(error.to_string()),
            error => Self::Machine(error.to_string()),
        }
    }
}
