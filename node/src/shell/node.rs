//! A whole node: documents, disk, links and driver put together, and taken apart again.

use std::fs::{File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quorate_pbft::Config;
use quorate_pbft::app::App;
use quorate_verifier::founding::Founding;
use quorate_verifier::primitives::Digest;
use quorate_verifier::set::ValidatorSet;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tracing::info;
use zeroize::Zeroizing;

use super::config::NodeConfig;
use super::disk::{self, Directory};
use super::driver::{Asked, Driver, Event, Inlet, Parts, Stop, inbox};
use super::listener::{self, Port};
use super::metrics::{self, Figures};
use super::parties::{Parties, PartiesError};
use super::signer::{FileSigner, Past, Signer, SignerError};
use super::status::{PeerStatus, Progress, Status};
use super::store::{Store, StoreError};
use super::tls::{Identity, NetworkKey, Role};
use super::transport::{self, Links};

/// Events that wait for the driver, of all peers and clients together.
const EVENTS: usize = 8192;
/// Lots of requests that wait for the driver: clients wait then, and peers are not listened to.
const ASKED: usize = 8192;

/// Links end within this many of these.
const CLOSING_STEPS: u32 = 100;
const CLOSING_STEP: Duration = Duration::from_millis(10);

/// What a node is made of.
pub struct Setup<A> {
    /// `node.toml`.
    pub config: NodeConfig,
    /// The documents, which agree with each other.
    pub founding: Founding,
    /// Sets that the operator has opened since.
    pub sets: Vec<Arc<ValidatorSet>>,
    /// Signs votes.
    pub consensus: ed25519_dalek::SigningKey,
    /// The machine's identity on its links.
    pub network: ed25519_dalek::SigningKey,
    /// The application in its founding state.
    pub app: A,
    /// The operator's word that the consensus key has never voted on this chain.
    pub fresh: bool,
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A document, key or list does not fit the others.
    #[error("{0}")]
    Refused(String),
    /// Configuration and keys do not fit.
    #[error(transparent)]
    Parties(#[from] PartiesError),
    /// A file or directory.
    #[error("{}: {error}", path.display())]
    Device {
        /// Which.
        path: PathBuf,
        /// What the device says.
        error: io::Error,
    },
    /// Another process has the data directory.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The operator says that the key is new, and the disk says otherwise.
    #[error("--new: {} holds the data of a node that has run", .0.display())]
    NotNew(PathBuf),
    /// An address cannot be listened at.
    #[error("cannot listen at {address}: {error}")]
    Listen {
        /// Which.
        address: String,
        /// What the system says.
        error: io::Error,
    },
    /// Somebody else answers with this machine's key.
    #[error("{address} answers with this machine's network key {key}: the node runs there already")]
    RunsElsewhere {
        /// Where.
        address: String,
        /// The own network key.
        key: NetworkKey,
    },
    /// The signer.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The core or its log.
    #[error(transparent)]
    Stop(#[from] Stop),
}

/// What the tasks of a node share.
pub struct Shared {
    /// The own side of links.
    pub(super) identity: Identity,
    /// Links to validators.
    pub(super) links: Arc<Links>,
    /// The port.
    pub(super) port: Port,
    /// Blocks.
    pub(super) store: Store,
    /// The founding set, which is not in the store.
    pub(super) set: Arc<ValidatorSet>,
    /// Where the driver stands.
    pub(super) progress: watch::Sender<Option<Progress>>,
    /// Turns true when the node is taken apart: every link ends then.
    pub(super) closing: watch::Sender<bool>,
    inlet: Inlet,
}

impl Shared {
    /// Hands an event to the driver; an error means that the node stops.
    pub(super) async fn send(&self, event: Event) -> Result<(), ()> {
        self.inlet.events.send(event).await.map_err(|_| ())
    }

    /// Hands a request to the driver; an error means that the node stops.
    pub(super) async fn ask(&self, asked: Asked) -> Result<(), ()> {
        self.inlet.asked.send(asked).await.map_err(|_| ())
    }

    /// The status with what is known of the links.
    pub(super) fn status(&self) -> Option<Status> {
        use std::sync::atomic::Ordering::Relaxed;
        let mut status = self.progress.borrow().as_ref()?.status.clone();
        let others = self.links.parties().others();
        let peer = |(peer, machine): (_, &super::parties::Machine)| {
            let outbox = self.links.outbox(peer)?;
            Some(PeerStatus {
                name: machine.name.to_string(),
                reached: outbox.dialled.load(Relaxed),
                heard: outbox.accepted.load(Relaxed) > 0,
                sent: outbox.sent.load(Relaxed),
                received: outbox.received.load(Relaxed),
                dropped: outbox.dropped.load(Relaxed),
                queued: outbox.waiting(),
                overlooked: outbox.overlooked.load(Relaxed),
                faults: outbox.faults.load(Relaxed),
            })
        };
        status.peers = others.filter_map(peer).collect();
        Some(status)
    }
}

/// A checked setup: everything that can be known before a file is touched or a port opened.
struct Checked {
    parties: Arc<Parties>,
    identity: Identity,
    chain: Digest,
}

fn check<A>(setup: &Setup<A>) -> Result<Checked, StartError> {
    let refused = |why: String| StartError::Refused(why);
    setup
        .founding
        .check()
        .map_err(|error| refused(error.to_string()))?;
    let header = &setup.founding.anchor.header;
    if header.chain_id != setup.config.chain {
        return Err(refused(format!(
            "the documents are of chain {}, the configuration of {}",
            header.chain_id.as_str(),
            setup.config.chain.as_str()
        )));
    }
    let identity = Identity::new(setup.network.clone(), header.chain_id.clone());
    let consensus = quorate_verifier::signature::VoteKey::from_bytes(
        setup.consensus.verifying_key().as_bytes(),
    )
    .map_err(|error| refused(error.to_string()))?;
    let parties = Parties::new(
        &setup.founding.roster,
        &setup.config,
        identity.key(),
        &consensus,
    )?;
    Ok(Checked {
        parties: Arc::new(parties),
        identity,
        chain: header.digest(),
    })
}

/// Checks everything that `run` would need, without changing anything: documents, keys, the data
/// directory and whether its ports are free. Answers what was found, in words.
///
/// # Errors
/// [`StartError`] names the first thing that is wrong.
pub async fn dry_run<A: App>(setup: Setup<A>) -> Result<Vec<(&'static str, String)>, StartError> {
    let Checked { parties, .. } = check(&setup)?;
    let config = &setup.config;
    let mut found = vec![
        (
            "documents",
            format!("they agree, chain {}", config.chain.as_str()),
        ),
        (
            "machines",
            format!("{}, this one among them", parties.machines().len()),
        ),
    ];
    let founding = &setup.founding;
    quorate_pbft::chain::Chain::genesis(
        &founding.genesis,
        Arc::new(founding.set.clone()),
        setup.app,
    )
    .map_err(Stop::from)?;
    found.push(("state", "it is the one that genesis names".into()));
    let data = if config.data.try_exists().unwrap_or(false) {
        let _lock = lock(&config.data)?;
        "there, and no other process has it"
    } else {
        "not there yet; it is made at the first start"
    };
    found.push(("data", format!("{}: {data}", config.data.display())));
    bind(config.listen.as_str()).await?;
    found.push(("port", format!("{} is free", config.listen)));
    if let Some(metrics) = &config.metrics {
        bind(&metrics.listen.to_string()).await?;
        found.push(("metrics", format!("{} is free", metrics.listen)));
    }
    Ok(found)
}

async fn bind(address: &str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| StartError::Listen {
            address: address.into(),
            error,
        })
}

/// Keeps other processes out of a data directory for as long as it lives.
fn lock(data: &std::path::Path) -> Result<File, StartError> {
    let path = data.join("lock");
    let failed = |error| StartError::Device {
        path: path.clone(),
        error,
    };
    let mut options = File::options();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse(data.into())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// A running node.
pub struct Node {
    events: mpsc::Sender<Event>,
    driver: tokio::task::JoinHandle<Stop>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    shared: Arc<Shared>,
    listen: std::net::SocketAddr,
    _lock: File,
}

impl Node {
    /// Starts everything.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub async fn start<A: App + Send + 'static>(setup: Setup<A>) -> Result<Self, StartError> {
        let Checked {
            parties,
            identity,
            chain,
        } = check(&setup)?;
        let Setup {
            config,
            founding,
            sets,
            consensus,
            app,
            fresh,
            ..
        } = setup;
        let device = |path: &std::path::Path| {
            let path = path.to_path_buf();
            move |error| StartError::Device { path, error }
        };
        disk::make_private(&config.data).map_err(device(&config.data))?;
        let held = lock(&config.data)?;
        refuse_second(&config, &parties, &identity).await?;
        let set = Arc::new(founding.set);
        let salt_key = salt_key(&consensus);
        let (store, disk, signer) = open(&config, chain, consensus, fresh)?;
        let evidence = config.data.join("evidence");
        disk::make_private(&evidence).map_err(device(&evidence))?;

        let listener = bind(config.listen.as_str()).await?;
        let listen = listener.local_addr().map_err(|error| StartError::Listen {
            address: config.listen.to_string(),
            error,
        })?;
        let metrics = match &config.metrics {
            Some(metrics) => Some(bind(&metrics.listen.to_string()).await?),
            None => None,
        };
        let (inlet, inbox) = inbox(EVENTS, ASKED);
        let links = Arc::new(Links::new(parties.clone(), inlet.clone()));
        let figures = Arc::new(Figures::default());
        let (progress, _) = watch::channel(None);
        let shared = Arc::new(Shared {
            identity: identity.clone(),
            links: links.clone(),
            port: Port::default(),
            store: store.clone(),
            set: set.clone(),
            progress: progress.clone(),
            closing: watch::channel(false).0,
            inlet: inlet.clone(),
        });
        let parts = Parts {
            genesis: founding.genesis,
            set,
            sets,
            app,
            config: Config {
                key: None,
                salt_key,
                timing: config.timing.timing(),
                snapshot_every: config.timing.snapshot_every(),
            },
            disk,
            store,
            signer: Box::new(signer),
            links: links.clone(),
            figures: figures.clone(),
            evidence,
            progress,
        };
        let handle = Handle::current();
        let driver = tokio::task::spawn_blocking(move || Driver::start(parts, handle))
            .await
            .map_err(|error| StartError::Refused(error.to_string()))??;
        let acceptor = identity
            .server_config(parties.keys())
            .map_err(|error| StartError::Refused(error.to_string()))?;
        let acceptor = TlsAcceptor::from(Arc::new(acceptor));
        let mut tasks = vec![tokio::spawn(listener::accept(
            listener,
            acceptor,
            shared.clone(),
        ))];
        if let Some(listener) = metrics {
            tasks.push(tokio::spawn(metrics::serve(listener, figures)));
        }
        for (peer, machine) in parties.others() {
            let (links, machine, identity) = (links.clone(), machine.clone(), identity.clone());
            tasks.push(tokio::spawn(async move {
                links.dial(peer, machine, identity).await;
            }));
        }
        info!(name = %config.name, address = %listen, key = %identity.key(), "the node runs");
        let driver = tokio::task::spawn_blocking(move || driver.run(inbox));
        Ok(Self {
            events: inlet.events,
            driver,
            tasks,
            shared,
            listen,
            _lock: held,
        })
    }

    /// Where it listens.
    pub fn listen(&self) -> std::net::SocketAddr {
        self.listen
    }

    /// How things are.
    pub fn status(&self) -> Option<Status> {
        self.shared.status()
    }

    /// Asks it to stop when the batch under way is done.
    pub async fn stop(&self) {
        // If nobody listens it has stopped.
        let _ = self.events.send(Event::Stop).await;
    }

    /// Whatever can be sent a stop to.
    pub fn stopper(&self) -> mpsc::Sender<Event> {
        self.events.clone()
    }

    /// Waits until it has stopped, and takes the rest apart.
    pub async fn stopped(self) -> Stop {
        let why = match self.driver.await {
            Ok(why) => why,
            Err(error) => Stop::Start(format!("the driver's thread ended: {error}")),
        };
        // Frames that were queued in the last batch have a moment to leave.
        if matches!(why, Stop::Asked) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.tasks.iter().for_each(|task| task.abort());
        self.shared.closing.send_replace(true);
        // Whoever still reads the store keeps it open: a moment for them to end.
        for _ in 0..CLOSING_STEPS {
            if Arc::strong_count(&self.shared) == 1 {
                break;
            }
            tokio::time::sleep(CLOSING_STEP).await;
        }
        why
    }
}

/// Opens what is below the data directory.
fn open(
    config: &NodeConfig,
    chain: Digest,
    consensus: ed25519_dalek::SigningKey,
    fresh: bool,
) -> Result<(Store, Directory, FileSigner), StartError> {
    let votes = config.data.join("votes");
    let blocks = config.data.join("blocks.redb");
    if fresh && (votes.exists() || blocks.exists()) {
        return Err(StartError::NotNew(config.data.clone()));
    }
    let store = Store::open(&blocks, &chain)?;
    let disk = Directory::open(&votes).map_err(|error| StartError::Device {
        path: votes.clone(),
        error,
    })?;
    let signer = FileSigner::open(consensus, chain, &config.mark_path(), fresh)?;
    if signer.past() == Past::Fresh && signer.mark().is_none() {
        info!("this key has never voted on this chain");
    }
    Ok((store, disk, signer))
}

/// Payload salts come from the consensus key: secret to all others, and the same after a restart.
fn salt_key(consensus: &ed25519_dalek::SigningKey) -> [u8; 32] {
    let secret = Zeroizing::new(consensus.to_bytes());
    let hash = Sha256::new()
        .chain_update(b"quorate-nsalts1")
        .chain_update(secret.as_slice());
    hash.finalize().into()
}

/// Refuses to run beside another machine that has the same identity.
async fn refuse_second(
    config: &NodeConfig,
    parties: &Parties,
    identity: &Identity,
) -> Result<(), StartError> {
    let Some(own) = parties.machine(parties.own()) else {
        return Ok(());
    };
    let address = own.address.as_str();
    let answers = transport::dial(
        address,
        NetworkKey(identity.key().0),
        identity,
        Role::Client,
    )
    .await;
    match answers {
        Ok(_) => Err(StartError::RunsElsewhere {
            address: address.into(),
            key: identity.key(),
        }),
        // Nobody is there, or somebody else: for the bind to find out.
        Err(_) if config.listen.as_str() == address => Ok(()),
        Err(why) => {
            tracing::debug!(address, "nobody answers with this machine's key: {why}");
            Ok(())
        }
    }
}
