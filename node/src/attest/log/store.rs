//! The writer's side: entries in, tiles and a signed checkpoint out.
//!
//! A batch of entries becomes durable in this order: tiles and bundles; the writer's *memory* of
//! what it is about to have signed, kept apart from the log's directory; the checkpoint. Whenever
//! the power goes, the log is at its old size or at its new one. A log that does not hold what its
//! writer remembers having signed is not opened, and so nothing is signed that contradicts it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use quorate_verifier::merkle;
use quorate_verifier::primitives::Digest;
use quorate_verifier::tlog::{
    Checkpoint, LogError, LogProof, NOTE_MAX_BYTES, NoteAlgorithm, NoteKey, TreeHead,
};
use serde::{Deserialize, Serialize};

use super::reader::{DirReader, ENTRY_MAX_BYTES, LogReader, widths};
use super::sign::LogSigner;
use super::tree::{TILE_WIDTH, TileSource, Tree, bundle_path, tile_path, tile_width};
use crate::attest::disk::{self, Access};

const LEVELS: usize = 8;
/// By level, the hashes of its last, partial tile.
type Edges = [Vec<Digest>; LEVELS];
/// Entries of a bundle.
type Entries = Vec<Vec<u8>>;

/// Why a log is not opened.
#[derive(Debug, thiserror::Error)]
pub enum LogOpenError {
    /// The disk.
    #[error("{path}: {error}")]
    Io {
        /// The file or directory.
        path: String,
        /// What happened.
        error: io::Error,
    },
    /// The checkpoint, or the memory of it, is damaged or another log's.
    #[error("{path}: {error}")]
    Checkpoint {
        /// The file.
        path: String,
        /// What is wrong.
        error: LogError,
    },
    /// The log holds less than was signed, or something else.
    #[error(
        "{path}: the log does not hold the {size} entries that {who} remembers; nothing is signed. \
         Restore the log's own files, or start another log under another name"
    )]
    Contradicts {
        /// The log's directory.
        path: String,
        /// Who remembers.
        who: String,
        /// Entries in the remembered checkpoint.
        size: u64,
    },
    /// There is a log but no memory of having signed it.
    #[error(
        "{memory}: nothing is remembered of a log of {size} entries. If you are sure that the log \
         is whole, copy its file 'checkpoint' there"
    )]
    Forgotten {
        /// Where the memory should be.
        memory: String,
        /// Entries that the log claims.
        size: u64,
    },
    /// The log is another key's.
    #[error(
        "the log is signed by {current}, this key is {given}; a change of key is an act of its own"
    )]
    OtherKey {
        /// The log's key.
        current: String,
        /// The key at hand.
        given: String,
    },
}

/// Why entries were not appended. The log is as it was.
#[derive(Debug, thiserror::Error)]
pub enum LogStoreError {
    /// The disk.
    #[error("the log could not be written: {0}")]
    Io(#[from] io::Error),
    /// An entry above 65,535 bytes.
    #[error("an entry has at most 65535 bytes, not {0}")]
    TooLong(usize),
    /// A key that has signed before.
    #[error("this key has signed the log before: make another")]
    UsedKey,
    /// A cosigned checkpoint that is none of ours, or bears no new cosignature.
    #[error(transparent)]
    Cosignature(#[from] LogError),
    /// A cosigned checkpoint that this log never signed.
    #[error("this log did not sign a checkpoint of {size} entries with that root")]
    NotOurs {
        /// Entries in the checkpoint.
        size: u64,
    },
}

/// A key of the log, and from which size on it signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPeriod {
    /// The key as vkey text.
    pub vkey: String,
    /// Number of entries when it began to sign, as a decimal string.
    pub from: String,
    /// The checkpoint of that size, signed by the key before and by this one: the old key's word
    /// for the new. The first key has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handover: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyHistory {
    r#type: String,
    keys: Vec<KeyPeriod>,
    /// Only at the address: whose signatures are passed on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cosigners: Vec<String>,
}

const KEYS_TYPE: &str = "quorate/log-keys/v1";

/// What readers of a log see, whoever writes it meanwhile.
#[derive(Clone, Debug)]
pub struct LogView {
    reader: DirReader,
    published: Arc<RwLock<Published>>,
}

#[derive(Debug)]
struct Published {
    checkpoint: Arc<Checkpoint>,
    /// The newest one that a cosigner signed.
    cosigned: Option<Arc<Checkpoint>>,
}

impl LogView {
    /// The newest checkpoint.
    pub fn checkpoint(&self) -> Arc<Checkpoint> {
        let published = self.published.read();
        published
            .unwrap_or_else(PoisonError::into_inner)
            .checkpoint
            .clone()
    }

    /// The newest checkpoint that a cosigner signed.
    pub fn cosigned(&self) -> Option<Arc<Checkpoint>> {
        let published = self.published.read();
        published
            .unwrap_or_else(PoisonError::into_inner)
            .cosigned
            .clone()
    }

    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.checkpoint().head().size
    }

    /// The files.
    pub const fn files(&self) -> &DirReader {
        &self.reader
    }

    /// One entry; `None` past the last.
    ///
    /// # Errors
    /// What the disk says.
    pub fn entry(&self, index: u64) -> io::Result<Option<Vec<u8>>> {
        let size = self.size();
        if index >= size {
            return Ok(None);
        }
        let bundle = index / TILE_WIDTH;
        let mut entries = self.reader.bundle(bundle, tile_width(size, 0, bundle))?;
        let at = usize::try_from(index % TILE_WIDTH).expect("below 256");
        Ok(Some(entries.swap_remove(at)))
    }

    /// Shows an entry to be in the log: under the newest cosigned checkpoint where that has it,
    /// else under the newest one. `None` past the last entry.
    ///
    /// # Errors
    /// What the disk says.
    pub fn prove(&self, index: u64) -> io::Result<Option<LogProof>> {
        let has = |checkpoint: &Arc<Checkpoint>| index < checkpoint.head().size;
        let checkpoint = match self.cosigned().filter(has) {
            Some(cosigned) => cosigned,
            None => self.checkpoint(),
        };
        let path = Tree::new(&self.reader, checkpoint.head().size).inclusion(index)?;
        Ok(path.map(|path| LogProof {
            index,
            path,
            checkpoint: (*checkpoint).clone(),
        }))
    }

    /// Shows that the first `earlier` entries of the first `later` are unchanged; `None` when the
    /// log is not so long.
    ///
    /// # Errors
    /// What the disk says.
    pub fn prove_consistency(&self, earlier: u64, later: u64) -> io::Result<Option<Vec<Digest>>> {
        if later > self.size() {
            return Ok(None);
        }
        Tree::new(&self.reader, later).consistency(earlier)
    }
}

/// A log that this process writes.
#[derive(Debug)]
pub struct Log {
    view: LogView,
    memory: PathBuf,
    signer: LogSigner,
    keys: Vec<KeyPeriod>,
    size: u64,
    edge: Edges,
    /// The entries of the last, partial bundle.
    bundle: Entries,
    _lock: File,
}

impl Log {
    /// Opens or creates the log in `dir`. `memory` is the file that remembers the last checkpoint:
    /// it belongs somewhere else, so that restoring `dir` alone from a backup does not pass.
    ///
    /// # Errors
    /// [`LogOpenError`]; when it names a contradiction, nothing was written.
    pub fn open(dir: &Path, memory: &Path, signer: LogSigner) -> Result<Self, LogOpenError> {
        let lock = disk::lock(dir).map_err(at(dir))?;
        let keys = match read_keys(dir)? {
            Some(keys) => keys,
            None => vec![KeyPeriod {
                vkey: signer.public().to_string(),
                from: "0".into(),
                handover: None,
            }],
        };
        let current = keys.last().map(|period| period.vkey.clone());
        if current != Some(signer.public().to_string()) {
            return Err(LogOpenError::OtherKey {
                current: current.unwrap_or_default(),
                given: signer.public().to_string(),
            });
        }
        let published_at = dir.join("checkpoint");
        let published = read_checkpoint(&published_at, &keys)?;
        let remembered = read_checkpoint(memory, &keys)?;
        let newest = match (&published, &remembered) {
            (None, None) => None,
            (Some(found), None) => {
                return Err(LogOpenError::Forgotten {
                    memory: memory.display().to_string(),
                    size: found.head().size,
                });
            }
            (None, Some(one)) => Some(one),
            (Some(found), Some(known)) => Some(if known.head().size >= found.head().size {
                known
            } else {
                found
            }),
        };
        let empty = TreeHead {
            origin: signer.public().name().into(),
            size: 0,
            root: merkle::root(&[]),
        };
        let head = newest.map_or(empty, |checkpoint| checkpoint.head().clone());
        let files = DirReader::new(dir);
        let state = load(&files, head.size).ok();
        let state = state.filter(|(edge, _)| edge_root(edge, head.size) == Some(head.root));
        let (edge, bundle) = state.ok_or_else(|| contradicts(dir, "the writer", head.size))?;
        for known in [&published, &remembered].into_iter().flatten() {
            check_holds(&files, &head, known.head())
                .map_err(|_| contradicts(dir, "the writer", known.head().size))?;
        }
        remove_beyond(dir, head.size).map_err(at(dir))?;
        write_keys(dir, &keys).map_err(at(dir))?;
        // A batch that was remembered and not yet published, or a new key, is published now.
        let checkpoint = match newest {
            Some(checkpoint) if checkpoint.verify(signer.public()).is_ok() => checkpoint.clone(),
            _ => signer.sign(head.size, head.root),
        };
        if published.as_ref() != Some(&checkpoint) {
            write_checkpoint(memory, &checkpoint).map_err(at(memory))?;
            write_checkpoint(&published_at, &checkpoint).map_err(at(dir))?;
        }
        let cosigned = read_cosigned(&dir.join("cosigned"), signer.public());
        let cosigned = cosigned.filter(|one| check_holds(&files, &head, one.head()).is_ok());
        Ok(Self {
            view: LogView {
                reader: files,
                published: Arc::new(RwLock::new(Published {
                    checkpoint: Arc::new(checkpoint),
                    cosigned: cosigned.map(Arc::new),
                })),
            },
            memory: memory.into(),
            signer,
            keys,
            size: head.size,
            edge,
            bundle,
            _lock: lock,
        })
    }

    /// What readers see.
    pub fn view(&self) -> LogView {
        self.view.clone()
    }

    /// Number of entries.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The key that signs now.
    pub const fn key(&self) -> &NoteKey {
        self.signer.public()
    }

    /// Every key that ever signed, oldest first.
    pub fn keys(&self) -> &[KeyPeriod] {
        &self.keys
    }

    /// Refuses to go on from a checkpoint that somebody else, a cosigner for one, remembers and
    /// this log does not hold.
    ///
    /// # Errors
    /// [`LogOpenError::Contradicts`] names who remembers.
    pub fn check_memory(&self, who: &str, known: &TreeHead) -> Result<(), LogOpenError> {
        let head = self.view.checkpoint();
        check_holds(&self.view.reader, head.head(), known)
            .map_err(|_| contradicts(self.view.reader.dir(), who, known.size))
    }

    /// Appends entries and publishes a checkpoint over them.
    ///
    /// # Errors
    /// [`LogStoreError`]; the log is then as it was before.
    pub fn extend(&mut self, entries: &[Vec<u8>]) -> Result<(), LogStoreError> {
        if let Some(long) = entries.iter().find(|entry| entry.len() > ENTRY_MAX_BYTES) {
            return Err(LogStoreError::TooLong(long.len()));
        }
        if entries.is_empty() {
            return Ok(());
        }
        let dir = self.view.reader.dir().to_path_buf();
        let (mut edge, mut bundle, mut size) = (self.edge.clone(), self.bundle.clone(), self.size);
        for entry in entries {
            bundle.push(entry.clone());
            push(&dir, &mut edge, size, merkle::leaf_hash(entry))?;
            size += 1;
            if size % TILE_WIDTH == 0 {
                let path = dir.join(bundle_path(size / TILE_WIDTH - 1, TILE_WIDTH));
                disk::write(&path, &joined(&bundle), Access::Public)?;
                bundle.clear();
            }
        }
        for (level, hashes) in (0..).zip(&edge) {
            let width = hashes.len() as u64;
            if width > 0 {
                let index = (size >> (8 * u32::from(level))) / TILE_WIDTH;
                let path = dir.join(tile_path(level, index, width));
                disk::write(&path, &bytes_of(hashes), Access::Public)?;
            }
        }
        if !bundle.is_empty() {
            let path = dir.join(bundle_path(size / TILE_WIDTH, bundle.len() as u64));
            disk::write(&path, &joined(&bundle), Access::Public)?;
        }
        let root = edge_root(&edge, size).expect("every level's last tile is at hand");
        let checkpoint = self.signer.sign(size, root);
        write_checkpoint(&self.memory, &checkpoint)?;
        write_checkpoint(&dir.join("checkpoint"), &checkpoint)?;
        let before = std::mem::replace(&mut self.size, size);
        (self.edge, self.bundle) = (edge, bundle);
        self.publish(|published| published.checkpoint = Arc::new(checkpoint));
        // Only tidiness: a partial file that is left over is never preferred to a wider one.
        let _ = remove_superseded(&dir, before, size);
        Ok(())
    }

    /// Takes a checkpoint of this log back from a cosigner, with its signature.
    ///
    /// # Errors
    /// [`LogStoreError`] for one that this log did not sign, or without a signature by one of
    /// `cosigners` that holds.
    pub fn add_cosigned(
        &mut self,
        checkpoint: &Checkpoint,
        cosigners: &[NoteKey],
    ) -> Result<(), LogStoreError> {
        checkpoint.verify(self.signer.public())?;
        let head = checkpoint.head();
        let mine = self.view.checkpoint();
        check_holds(&self.view.reader, mine.head(), head)
            .map_err(|_| LogStoreError::NotOurs { size: head.size })?;
        let keys: Vec<_> = cosigners.iter().map(|key| *key.key()).collect();
        if checkpoint.cosigned_by(&keys)?.is_empty() {
            return Err(LogError::TooFewCosigners {
                needed: 1,
                found: 0,
            }
            .into());
        }
        // Lines of strangers are not carried along.
        let known = |name: &str, id: [u8; 4]| {
            cosigners
                .iter()
                .chain([self.signer.public()])
                .any(|key| key.name() == name && key.id() == id)
        };
        let lines = checkpoint.signatures().iter();
        let lines: Vec<_> = lines.filter(|s| known(&s.name, s.id)).cloned().collect();
        let merged = match self.view.cosigned() {
            Some(old) if old.head().size > head.size => return Ok(()),
            Some(old) if old.head() == head => lines
                .into_iter()
                .fold((*old).clone(), Checkpoint::with_signature),
            _ => Checkpoint::new(head.clone(), lines),
        };
        write_checkpoint(&self.view.reader.dir().join("cosigned"), &merged)?;
        self.publish(|published| published.cosigned = Some(Arc::new(merged)));
        Ok(())
    }

    /// Whether a key has not signed this log so far.
    ///
    /// # Errors
    /// [`LogStoreError::UsedKey`].
    pub fn check_unused(&self, signer: &LogSigner) -> Result<(), LogStoreError> {
        let vkey = signer.public().to_string();
        match self.keys.iter().any(|period| period.vkey == vkey) {
            true => Err(LogStoreError::UsedKey),
            false => Ok(()),
        }
    }

    /// Hands the log over to another key, which signs from now on. The old key's last word is for
    /// the new one, so that whoever watches with the old one can follow.
    ///
    /// # Errors
    /// [`LogStoreError`]; a key that signed before does not sign again.
    pub fn hand_over(&mut self, signer: LogSigner) -> Result<(), LogStoreError> {
        self.check_unused(&signer)?;
        let dir = self.view.reader.dir().to_path_buf();
        let mut keys = self.keys.clone();
        let root = self.view.checkpoint().head().root;
        let checkpoint = signer.sign(self.size, root);
        let handover = self.signer.sign(self.size, root);
        let by_new = checkpoint.signatures().iter().cloned();
        let handover = by_new.fold(handover, Checkpoint::with_signature);
        keys.push(KeyPeriod {
            vkey: signer.public().to_string(),
            from: self.size.to_string(),
            handover: Some(handover.to_string()),
        });
        write_keys(&dir, &keys)?;
        write_checkpoint(&self.memory, &checkpoint)?;
        write_checkpoint(&dir.join("checkpoint"), &checkpoint)?;
        (self.signer, self.keys) = (signer, keys);
        self.publish(|published| published.checkpoint = Arc::new(checkpoint));
        Ok(())
    }

    fn publish(&self, change: impl FnOnce(&mut Published)) {
        let published = self.view.published.write();
        change(&mut published.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Adds a leaf hash, and writes each tile that it fills.
fn push(dir: &Path, edge: &mut Edges, index: u64, leaf: Digest) -> io::Result<()> {
    let mut hash = leaf;
    for (level, hashes) in (0..).zip(edge) {
        hashes.push(hash);
        if (hashes.len() as u64) < TILE_WIDTH {
            return Ok(());
        }
        let tile = index >> (8 * (u32::from(level) + 1));
        let path = dir.join(tile_path(level, tile, TILE_WIDTH));
        disk::write(&path, &bytes_of(hashes), Access::Public)?;
        hash = merkle::root(hashes);
        hashes.clear();
    }
    Ok(())
}

/// The last, partial tiles and bundle of a log of `size` entries.
fn load(files: &DirReader, size: u64) -> io::Result<(Edges, Entries)> {
    let mut edge = Edges::default();
    for (level, hashes) in (0..).zip(&mut edge) {
        let count = size >> (8 * u32::from(level));
        let width = count % TILE_WIDTH;
        if width > 0 {
            *hashes = files.tile(level, count / TILE_WIDTH, width)?;
        }
    }
    let width = size % TILE_WIDTH;
    let bundle = match width {
        0 => Vec::new(),
        _ => files.bundle(size / TILE_WIDTH, width)?,
    };
    let leaves: Vec<_> = bundle
        .iter()
        .map(|entry| merkle::leaf_hash(entry))
        .collect();
    if leaves != edge[0] {
        let what = "the last entries are not those of the last tile";
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok((edge, bundle))
}

/// The last tiles suffice for the root: whatever is to their left is one hash of a higher level.
struct Edge<'a>(&'a Edges);

impl TileSource for Edge<'_> {
    fn tile(&self, level: u8, _: u64, _: u64) -> io::Result<Vec<Digest>> {
        Ok(self.0[usize::from(level)].clone())
    }
}

fn edge_root(edge: &Edges, size: u64) -> Option<Digest> {
    Tree::new(&Edge(edge), size).root().ok()
}

/// Whether the log with head `mine`, in these files, begins with the entries of `known`.
fn check_holds(files: &DirReader, mine: &TreeHead, known: &TreeHead) -> Result<(), ()> {
    if known.origin != mine.origin || known.size > mine.size {
        return Err(());
    }
    if known.size == mine.size {
        return (known.root == mine.root).then_some(()).ok_or(());
    }
    // Roots of both sizes from the same tiles: then a path between them exists.
    let tree = Tree::new(files, mine.size);
    let proof = tree.consistency(known.size).ok().flatten().ok_or(())?;
    quorate_verifier::tlog::check_consistency(
        (known.size, &known.root),
        (mine.size, &mine.root),
        &proof,
    )
    .map_err(|_| ())
}

fn contradicts(dir: &Path, who: &str, size: u64) -> LogOpenError {
    LogOpenError::Contradicts {
        path: dir.display().to_string(),
        who: who.into(),
        size,
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> LogOpenError {
    let path = path.display().to_string();
    move |error| LogOpenError::Io { path, error }
}

/// A checkpoint that one of the log's keys signed.
fn read_checkpoint(path: &Path, keys: &[KeyPeriod]) -> Result<Option<Checkpoint>, LogOpenError> {
    let Some(text) = disk::read_text(path, NOTE_MAX_BYTES).map_err(at(path))? else {
        return Ok(None);
    };
    let failed = |error| LogOpenError::Checkpoint {
        path: path.display().to_string(),
        error,
    };
    let checkpoint: Checkpoint = text.parse().map_err(failed)?;
    let mut last = None;
    for period in keys.iter().rev() {
        let key: NoteKey = period.vkey.parse().map_err(failed)?;
        match checkpoint.verify(&key) {
            Ok(()) => return Ok(Some(checkpoint)),
            Err(error) => last = last.or(Some(error)),
        }
    }
    Err(failed(last.expect("a log has a key")))
}

/// What is damaged here is asked for again; it is no memory.
fn read_cosigned(path: &Path, key: &NoteKey) -> Option<Checkpoint> {
    let text = disk::read_text(path, NOTE_MAX_BYTES).ok().flatten()?;
    let checkpoint: Checkpoint = text.parse().ok()?;
    checkpoint.verify(key).ok()?;
    Some(checkpoint)
}

fn write_checkpoint(path: &Path, checkpoint: &Checkpoint) -> io::Result<()> {
    disk::write(path, checkpoint.to_string().as_bytes(), Access::Public)
}

fn read_keys(dir: &Path) -> Result<Option<Vec<KeyPeriod>>, LogOpenError> {
    let path = dir.join("keys.json");
    let Some(bytes) = disk::read(&path, KEYS_MAX_BYTES).map_err(at(&path))? else {
        return Ok(None);
    };
    let bad = |what: String| at(&path)(io::Error::new(io::ErrorKind::InvalidData, what));
    parse_keys(&bytes).map(Some).map_err(bad)
}

/// Longest list of keys: some hundred changes.
pub(in crate::attest) const KEYS_MAX_BYTES: usize = 1 << 20;

/// The keys in a list of them, as a log's directory and its address give it.
pub(in crate::attest) fn parse_keys(bytes: &[u8]) -> Result<Vec<KeyPeriod>, String> {
    let history: KeyHistory = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let is_log = |period: &KeyPeriod| {
        period
            .vkey
            .parse::<NoteKey>()
            .is_ok_and(|key| key.algorithm() == NoteAlgorithm::Log)
    };
    if history.r#type != KEYS_TYPE || history.keys.is_empty() || !history.keys.iter().all(is_log) {
        return Err("not a log's list of keys".into());
    }
    Ok(history.keys)
}

fn write_keys(dir: &Path, keys: &[KeyPeriod]) -> io::Result<()> {
    let history = KeyHistory {
        r#type: KEYS_TYPE.into(),
        keys: keys.to_vec(),
        cosigners: Vec::new(),
    };
    let text = serde_json::to_string_pretty(&history).map_err(io::Error::other)?;
    disk::write(&dir.join("keys.json"), text.as_bytes(), Access::Public)
}

fn bytes_of(hashes: &[Digest]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

fn joined(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        let length = u16::try_from(entry.len()).expect("checked when it was appended");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(entry);
    }
    out
}

/// Removes what an interrupted batch left: it was never signed, and another may take its place.
fn remove_beyond(dir: &Path, size: u64) -> io::Result<()> {
    for level in 0..LEVELS {
        let level = u8::try_from(level).expect("eight levels");
        let count = size >> (8 * u32::from(level));
        let path = |index, width| dir.join(tile_path(level, index, width));
        remove_from(count, path)?;
    }
    remove_from(size, |index, width| dir.join(bundle_path(index, width)))
}

fn remove_from(count: u64, path: impl Fn(u64, u64) -> PathBuf) -> io::Result<()> {
    let mut index = count / TILE_WIDTH;
    let mut keep = count % TILE_WIDTH;
    loop {
        let full = path(index, TILE_WIDTH);
        let partials = path(index, 1);
        let partials = partials.parent().expect("a file in a directory");
        let mut found = remove(&full)?;
        for width in widths(partials)? {
            found = true;
            if width > keep {
                remove(&path(index, width))?;
            }
        }
        if !found && index > count / TILE_WIDTH {
            return Ok(());
        }
        (index, keep) = (index + 1, 0);
    }
}

/// Removes partial files that a wider or full one has replaced.
fn remove_superseded(dir: &Path, before: u64, size: u64) -> io::Result<()> {
    for level in 0..LEVELS {
        let level = u8::try_from(level).expect("eight levels");
        let shift = 8 * u32::from(level);
        let path = |index, width| dir.join(tile_path(level, index, width));
        remove_narrower(before >> shift, size >> shift, path)?;
    }
    remove_narrower(before, size, |index, width| {
        dir.join(bundle_path(index, width))
    })
}

fn remove_narrower(before: u64, count: u64, path: impl Fn(u64, u64) -> PathBuf) -> io::Result<()> {
    let index = before / TILE_WIDTH;
    let (width, now) = (before % TILE_WIDTH, count / TILE_WIDTH);
    if width == 0 || before == count {
        return Ok(());
    }
    remove(&path(index, width))?;
    if now > index {
        let partials = path(index, 1);
        let _ = fs::remove_dir(partials.parent().expect("a file in a directory"));
    }
    Ok(())
}

/// Whether there was something.
fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        other => other.map(|()| true),
    }
}
