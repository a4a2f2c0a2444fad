//! Where final blocks come from.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quorate_verifier::certificate::SignedHeader;
use quorate_verifier::file::FileType;
use quorate_verifier::primitives::Height;
use quorate_verifier::set::{SetCommitment, ValidatorSet};

use super::disk;
use super::service::{IngestError, Service};
use super::store::AddError;
use crate::shell::stream::{CertificateStream, Contents, StreamConfig};

/// A final block with the set that signed it. Names signers.
#[derive(Clone, Debug)]
pub struct Item {
    /// Header and certificate.
    pub block: SignedHeader,
    /// The set.
    pub set: Arc<ValidatorSet>,
    /// Requests and outcomes, where they were asked for. Name clients.
    pub contents: Option<Contents>,
}

/// Why a source has nothing more.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file, or the link to a node.
    #[error("{what}: {error}")]
    Read {
        /// Which.
        what: String,
        /// What happened.
        error: String,
    },
    /// What came is not to be taken in.
    #[error(transparent)]
    Ingest(#[from] IngestError),
}

/// Final blocks, in order.
pub trait Source: Send {
    /// The next block, however long it takes.
    fn next(&mut self) -> impl Future<Output = Result<Item, SourceError>> + Send;

    /// Everything up to this height is on our disk.
    fn ack(&mut self, height: Height) -> impl Future<Output = Result<(), SourceError>> + Send;
}

/// Takes in what a source brings, until it fails.
///
/// # Errors
/// [`SourceError`]: above all a fork, after which nothing more is taken in.
pub async fn follow(
    service: &Arc<Service>,
    source: &mut impl Source,
) -> Result<std::convert::Infallible, SourceError> {
    loop {
        let item = source.next().await?;
        let height = item.block.header.height;
        let keeper = Arc::clone(service);
        let taken = tokio::task::spawn_blocking(move || {
            keeper.ingest_with(&item.block, &item.set, item.contents.as_ref())
        });
        let taken = taken.await.map_err(|error| SourceError::Read {
            what: "taking a block in".into(),
            error: error.to_string(),
        })?;
        if let Err(error) = &taken
            && matches!(error, IngestError::Add(AddError::Fork(_)))
        {
            tracing::error!(height = height.get(), "FORK: {error}");
        }
        if taken? {
            tracing::info!(height = height.get(), "a final block");
        }
        source.ack(height).await?;
    }
}

/// A directory of signed headers, each in a file that is named by its height (`7.signed-header`,
/// `000007.bin`), and one of validator sets. Files are looked for until they come.
#[derive(Debug)]
pub struct DirSource {
    blocks: PathBuf,
    sets: PathBuf,
    known: BTreeMap<[u8; 32], Arc<ValidatorSet>>,
    next: Height,
}

/// How often a directory is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

impl DirSource {
    /// Blocks from `next` on.
    pub fn new(blocks: impl Into<PathBuf>, sets: impl Into<PathBuf>, next: Height) -> Self {
        Self {
            blocks: blocks.into(),
            sets: sets.into(),
            known: BTreeMap::new(),
            next,
        }
    }

    fn look(&mut self) -> Result<Option<Item>, SourceError> {
        let Some(path) = named(&self.blocks, self.next).map_err(at(&self.blocks))? else {
            return Ok(None);
        };
        let block: SignedHeader = document(&path)?;
        let Some(set) = self.set(&block.header.validators)? else {
            let what = self.sets.display().to_string();
            let error = format!(
                "no set {} for height {}",
                block.header.validators,
                self.next.get()
            );
            return Err(SourceError::Read { what, error });
        };
        Ok(Some(Item {
            block,
            set,
            contents: None,
        }))
    }

    fn set(&mut self, wanted: &SetCommitment) -> Result<Option<Arc<ValidatorSet>>, SourceError> {
        let key = |commitment: &SetCommitment| {
            use quorate_verifier::encoding::Canonical;
            <[u8; 32]>::try_from(commitment.to_bytes().as_slice()).unwrap_or_default()
        };
        if !self.known.contains_key(&key(wanted)) {
            let entries = std::fs::read_dir(&self.sets).map_err(at(&self.sets))?;
            for entry in entries {
                let path = entry.map_err(at(&self.sets))?.path();
                if path.is_file() {
                    let set: ValidatorSet = document(&path)?;
                    self.known.insert(key(&set.commitment()), Arc::new(set));
                }
            }
        }
        Ok(self.known.get(&key(wanted)).cloned())
    }
}

impl Source for DirSource {
    async fn next(&mut self) -> Result<Item, SourceError> {
        loop {
            if let Some(item) = self.look()? {
                self.next = self.next.next().unwrap_or(self.next);
                return Ok(item);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    async fn ack(&mut self, _: Height) -> Result<(), SourceError> {
        Ok(())
    }
}

/// A node's certificate stream. A link that ended is an error; the caller makes another source.
pub struct NodeSource {
    config: StreamConfig,
    from: Height,
    stream: Option<CertificateStream>,
}

impl NodeSource {
    /// Blocks from a height on, from the node that the configuration names.
    pub const fn new(config: StreamConfig, from: Height) -> Self {
        Self {
            config,
            from,
            stream: None,
        }
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> SourceError {
        SourceError::Read {
            what: format!("node {}", self.config.address),
            error: error.to_string(),
        }
    }
}

impl Source for NodeSource {
    async fn next(&mut self) -> Result<Item, SourceError> {
        if self.stream.is_none() {
            let connected = CertificateStream::connect(self.config.clone(), self.from).await;
            self.stream = Some(connected.map_err(|error| self.failed(&error))?);
        }
        let next = match &mut self.stream {
            Some(stream) => stream.next().await,
            None => return Err(self.failed(&"no link")),
        };
        let item = next.map_err(|error| self.failed(&error))?;
        Ok(Item {
            block: item.signed,
            set: item.set,
            contents: item.contents,
        })
    }

    async fn ack(&mut self, height: Height) -> Result<(), SourceError> {
        let acked = match &mut self.stream {
            Some(stream) => stream.ack(height).await,
            None => Ok(()),
        };
        acked.map_err(|error| self.failed(&error))
    }
}

/// The file whose name before the first dot is this height.
fn named(dir: &std::path::Path, height: Height) -> io::Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let stem = path.file_name().and_then(|name| name.to_str());
        let stem = stem.and_then(|name| name.split('.').next());
        if stem.and_then(|stem| stem.parse().ok()) == Some(height.get()) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn document<T: FileType>(path: &std::path::Path) -> Result<T, SourceError> {
    let failed = |error: String| SourceError::Read {
        what: path.display().to_string(),
        error,
    };
    let bytes = disk::read(path, T::MAX_BYTES * 8).map_err(|error| failed(error.to_string()))?;
    let bytes = bytes.ok_or_else(|| failed("it is gone".into()))?;
    T::from_file(&bytes).map_err(|error| failed(error.to_string()))
}

fn at(path: &std::path::Path) -> impl FnOnce(io::Error) -> SourceError {
    let what = path.display().to_string();
    move |error| SourceError::Read {
        what,
        error: error.to_string(),
    }
}
