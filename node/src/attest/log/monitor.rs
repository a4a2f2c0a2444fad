//! A monitor: reads every entry of a log, and remembers enough to notice a change of any.
//!
//! Its memory is the last checkpoint and the roots of the whole subtrees of the tree that it has
//! read itself. A checkpoint is accepted only when these, with the new entries, give its root: so
//! whatever the log says of its past, it is compared with what was read.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use quorate_verifier::encoding::Canonical;
use quorate_verifier::merkle;
use quorate_verifier::primitives::Digest;
use quorate_verifier::tlog::{Checkpoint, FinalityEntry, LogError, NoteKey};
use serde::{Deserialize, Serialize};

use super::handover::KeyMemory;
use super::reader::{LogReader, ReadError};
use super::tree::{TILE_WIDTH, tile_width};
use crate::attest::disk::{self, Access};

/// Why a log does not pass.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// The log could not be read: nothing is known about it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The monitor's own store failed.
    #[error("{path}: {error}")]
    Store {
        /// The file.
        path: String,
        /// What happened.
        error: io::Error,
    },
    /// The checkpoint is not the log's.
    #[error("the checkpoint is not the log's: {0}")]
    Unsigned(LogError),
    /// **The log's operator is caught**: its signed checkpoint contradicts an earlier one.
    #[error("{error}. Both checkpoints bear the log's signature; the evidence is {evidence}")]
    Rewritten {
        /// What does not fit.
        error: LogError,
        /// Where the contradicting checkpoint was kept.
        evidence: String,
    },
    /// The entries that the log serves are not those that it signed.
    #[error("the entries that are served do not give the root of {size} entries that is signed")]
    NotWhatWasSigned {
        /// Entries in the checkpoint.
        size: u64,
    },
    /// An entry that has no place in a finality log.
    #[error("entry {index}: {rule}")]
    BadEntry {
        /// Its place.
        index: u64,
        /// What is wrong with it.
        rule: String,
    },
}

/// What one look at a log showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Entries known before.
    pub before: u64,
    /// Entries now.
    pub size: u64,
    /// Height of the first and of the last entry, for a finality log that has any.
    pub heights: Option<(u64, u64)>,
}

/// A monitor of one log, with its memory.
#[derive(Debug)]
pub struct Monitor {
    dir: PathBuf,
    log: KeyMemory,
    memory: Memory,
    _lock: File,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    /// The last accepted checkpoint, empty before the first.
    checkpoint: String,
    size: u64,
    /// Roots of whole subtrees, largest first: one for each bit of the size.
    roots: Vec<String>,
    /// Height of entry 0 of a finality log.
    first_height: Option<u64>,
}

impl Monitor {
    /// Opens or creates a monitor's store in `dir`.
    ///
    /// # Errors
    /// [`MonitorError::Store`], also when the memory is damaged or another log's.
    pub fn open(dir: &Path, log: NoteKey) -> Result<Self, MonitorError> {
        let lock = disk::lock(dir).map_err(store(dir))?;
        let log = KeyMemory::recall(dir, log).map_err(store(&dir.join("log-keys")))?;
        let path = dir.join("memory.json");
        let bytes = disk::read(&path, 1 << 20).map_err(store(&path))?;
        let memory = match bytes {
            Some(bytes) => recall(&bytes, &log)
                .map_err(|what| store(&path)(io::Error::new(io::ErrorKind::InvalidData, what)))?,
            None => Memory::default(),
        };
        Ok(Self {
            dir: dir.into(),
            log,
            memory,
            _lock: lock,
        })
    }

    /// The key that the log has come to.
    pub fn key(&self) -> &NoteKey {
        self.log.current()
    }

    /// Entries that were read so far.
    pub const fn size(&self) -> u64 {
        self.memory.size
    }

    /// Reads what is new, and accepts it only if it fits what is remembered.
    ///
    /// # Errors
    /// [`MonitorError`]; a contradiction is kept as evidence, and the memory stays as it was.
    pub fn look(&mut self, log: &impl LogReader) -> Result<Seen, MonitorError> {
        let checkpoint = log.checkpoint()?;
        let signer = self.log.signer(&checkpoint, log)?;
        let signer = signer.map_err(MonitorError::Unsigned)?;
        let head = checkpoint.head();
        let (before, size) = (self.memory.size, head.size);
        if size < before {
            return Err(self.caught(
                &checkpoint,
                LogError::Shrunk {
                    earlier: before,
                    later: size,
                },
            )?);
        }
        let mut next = self.memory.clone();
        let mut subtrees = self.subtrees();
        if size > before {
            self.read_new(log, size, &mut next, &mut subtrees)?;
        }
        if root(&subtrees) != head.root {
            // Either the past was changed, or these entries are not what was signed. The log's own
            // tiles tell: if even they do not lead from the remembered root, the past was.
            return Err(
                if before > 0 && !self.extends(log, head.size, &head.root)? {
                    let error = LogError::Inconsistent {
                        earlier: before,
                        later: size,
                    };
                    self.caught(&checkpoint, error)?
                } else {
                    MonitorError::NotWhatWasSigned { size }
                },
            );
        }
        next.checkpoint = checkpoint.to_string();
        next.size = size;
        next.roots = subtrees.iter().map(|(_, root)| root.to_string()).collect();
        let path = self.dir.join("memory.json");
        let text = serde_json::to_vec_pretty(&next).map_err(io::Error::other);
        let keys = self.log.path().to_path_buf();
        self.log.remember(&signer).map_err(store(&keys))?;
        text.and_then(|text| disk::write(&path, &text, Access::Public))
            .map_err(store(&path))?;
        self.memory = next;
        let heights = self.memory.first_height.filter(|_| size > 0);
        Ok(Seen {
            before,
            size,
            heights: heights.map(|first| (first, first + size - 1)),
        })
    }

    fn subtrees(&self) -> Vec<(u64, Digest)> {
        let bits = (0..64).rev().map(|bit| 1 << bit);
        let sizes = bits.filter(|width| self.memory.size & width != 0);
        let digest = |text: &String| {
            Digest::from_bytes(
                quorate_verifier::json::parse_hex(text).expect("checked when it was read"),
            )
        };
        sizes.zip(self.memory.roots.iter().map(digest)).collect()
    }

    /// Reads entries from the remembered size on.
    fn read_new(
        &self,
        log: &impl LogReader,
        size: u64,
        next: &mut Memory,
        subtrees: &mut Vec<(u64, Digest)>,
    ) -> Result<(), MonitorError> {
        let mut index = self.memory.size;
        while index < size {
            let bundle = index / TILE_WIDTH;
            let entries = log
                .bundle(bundle, tile_width(size, 0, bundle))
                .map_err(ReadError::io("entries"))?;
            let known = usize::try_from(index % TILE_WIDTH).expect("below 256");
            for entry in entries.iter().skip(known) {
                if let Some(chain) = self.log.current().name().strip_suffix("/finality") {
                    check_finality(chain, index, entry, &mut next.first_height)
                        .map_err(|rule| MonitorError::BadEntry { index, rule })?;
                }
                add(subtrees, merkle::leaf_hash(entry));
                index += 1;
            }
        }
        Ok(())
    }

    /// Whether the log's own tiles lead from the remembered root to this one.
    fn extends(&self, log: &impl LogReader, size: u64, new: &Digest) -> Result<bool, MonitorError> {
        let proof = super::tree::Tree::new(log, size)
            .consistency(self.memory.size)
            .map_err(ReadError::io("tiles"))?
            .unwrap_or_default();
        let old = root(&self.subtrees());
        let checked = quorate_verifier::tlog::check_consistency(
            (self.memory.size, &old),
            (size, new),
            &proof,
        );
        Ok(checked.is_ok())
    }

    fn caught(
        &self,
        checkpoint: &Checkpoint,
        error: LogError,
    ) -> Result<MonitorError, MonitorError> {
        let path = self.dir.join("contradiction");
        disk::write(&path, checkpoint.to_string().as_bytes(), Access::Public)
            .map_err(store(&path))?;
        Ok(MonitorError::Rewritten {
            error,
            evidence: path.display().to_string(),
        })
    }
}

/// Entry i of a finality log is of height first + i, of this chain.
fn check_finality(
    chain: &str,
    index: u64,
    entry: &[u8],
    first: &mut Option<u64>,
) -> Result<(), String> {
    let entry = FinalityEntry::from_bytes(entry).map_err(|error| error.to_string())?;
    if entry.chain_id.as_str() != chain {
        return Err(format!("it is of chain {}", entry.chain_id));
    }
    let height = entry.height.get();
    let start = *first.get_or_insert(height.saturating_sub(index));
    if start.checked_add(index) != Some(height) {
        return Err(format!(
            "it is of height {height}; a log that starts at {start} has another one here"
        ));
    }
    Ok(())
}

fn add(subtrees: &mut Vec<(u64, Digest)>, leaf: Digest) {
    let mut new = (1, leaf);
    while let Some((width, root)) = subtrees.pop_if(|(width, _)| *width == new.0) {
        new = (2 * width, merkle::node_hash(&root, &new.1));
    }
    subtrees.push(new);
}

fn root(subtrees: &[(u64, Digest)]) -> Digest {
    let mut from_the_right = subtrees.iter().rev().map(|(_, root)| *root);
    match from_the_right.next() {
        None => merkle::root(&[]),
        Some(last) => from_the_right.fold(last, |right, left| merkle::node_hash(&left, &right)),
    }
}

fn recall(bytes: &[u8], log: &KeyMemory) -> Result<Memory, String> {
    let memory: Memory = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let checkpoint: Checkpoint = memory
        .checkpoint
        .parse()
        .map_err(|e: LogError| e.to_string())?;
    log.verify(&checkpoint).map_err(|error| error.to_string())?;
    let count = usize::try_from(memory.size.count_ones()).map_err(|error| error.to_string())?;
    let is_digest = |text: &String| quorate_verifier::json::parse_hex::<32>(text).is_ok();
    if memory.size != checkpoint.head().size
        || memory.roots.len() != count
        || !memory.roots.iter().all(is_digest)
    {
        return Err("the memory does not fit its checkpoint".into());
    }
    Ok(memory)
}

fn store(path: &Path) -> impl FnOnce(io::Error) -> MonitorError {
    let path = path.display().to_string();
    move |error| MonitorError::Store { path, error }
}
