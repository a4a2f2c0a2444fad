//! A cosigner: signs a log's checkpoint once it has seen that it extends the one before.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use quorate_verifier::primitives::Digest;
use quorate_verifier::tlog::{Checkpoint, LogError, NOTE_MAX_BYTES, NoteKey, check_consistency};

use super::handover::KeyMemory;
use super::reader::{LogReader, ReadError};
use super::sign::CosignKey;
use super::tree::Tree;
use crate::attest::disk::{self, Access};

/// Why a checkpoint is not cosigned.
#[derive(Debug, thiserror::Error)]
pub enum CosignError {
    /// The log could not be read: nothing is known about it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The cosigner's own store failed.
    #[error("{path}: {error}")]
    Store {
        /// The file.
        path: String,
        /// What happened.
        error: io::Error,
    },
    /// The checkpoint is not the log's.
    #[error("not cosigned: {0}")]
    Unsigned(LogError),
    /// **The log's operator is caught**: its signed checkpoint contradicts an earlier one.
    #[error("{error}. Both checkpoints bear the log's signature; the evidence is {evidence}")]
    Rewritten {
        /// What does not fit.
        error: LogError,
        /// Where the contradicting checkpoint was kept.
        evidence: String,
    },
}

/// A cosigner of one log, with its memory.
#[derive(Debug)]
pub struct Cosigner {
    dir: PathBuf,
    log: KeyMemory,
    key: CosignKey,
    last: Option<Checkpoint>,
    _lock: File,
}

impl Cosigner {
    /// Opens or creates a cosigner's store in `dir`.
    ///
    /// # Errors
    /// [`CosignError::Store`], also when the memory is damaged or another log's.
    pub fn open(dir: &Path, log: NoteKey, key: CosignKey) -> Result<Self, CosignError> {
        let lock = disk::lock(dir).map_err(store(dir))?;
        let log = KeyMemory::recall(dir, log).map_err(store(&dir.join("log-keys")))?;
        let path = dir.join("checkpoint");
        let text = disk::read_text(&path, NOTE_MAX_BYTES).map_err(store(&path))?;
        let last = text.map(|text| recall(&text, &log)).transpose();
        let last =
            last.map_err(|error| store(&path)(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        Ok(Self {
            dir: dir.into(),
            log,
            key,
            last,
            _lock: lock,
        })
    }

    /// The last checkpoint that was cosigned.
    pub const fn last(&self) -> Option<&Checkpoint> {
        self.last.as_ref()
    }

    /// The key that the log has come to.
    pub fn log_key(&self) -> &NoteKey {
        self.log.current()
    }

    /// The cosigner's public key.
    pub const fn public(&self) -> &NoteKey {
        self.key.public()
    }

    /// Cosigns a checkpoint that `proof` shows to extend the last one, at `time` seconds since
    /// 1970. The new memory is on disk before the signature exists.
    ///
    /// # Errors
    /// [`CosignError`]; a contradiction is kept as evidence.
    pub fn cosign(
        &mut self,
        checkpoint: &Checkpoint,
        proof: &[Digest],
        time: u64,
    ) -> Result<Checkpoint, CosignError> {
        checkpoint
            .verify(self.log.current())
            .map_err(CosignError::Unsigned)?;
        let head = checkpoint.head();
        if let Some(last) = &self.last {
            let last = last.head();
            let consistent =
                check_consistency((last.size, &last.root), (head.size, &head.root), proof);
            if let Err(error) = consistent {
                let path = self.dir.join("contradiction");
                disk::write(&path, checkpoint.to_string().as_bytes(), Access::Public)
                    .map_err(store(&path))?;
                return Err(CosignError::Rewritten {
                    error,
                    evidence: path.display().to_string(),
                });
            }
        }
        // Others' lines are theirs to keep; the memory is what the log signed.
        let own = |s: &&quorate_verifier::tlog::NoteSignature| {
            let key = self.log.current();
            s.name == key.name() && s.id == key.id()
        };
        let lines: Vec<_> = checkpoint
            .signatures()
            .iter()
            .filter(own)
            .cloned()
            .collect();
        let seen = Checkpoint::new(head.clone(), lines);
        let path = self.dir.join("checkpoint");
        disk::write(&path, seen.to_string().as_bytes(), Access::Public).map_err(store(&path))?;
        self.last = Some(seen.clone());
        let cosigned = seen.with_signature(self.key.sign(head, time));
        let path = self.dir.join("cosigned");
        disk::write(&path, cosigned.to_string().as_bytes(), Access::Public)
            .map_err(store(&path))?;
        Ok(cosigned)
    }

    /// Reads the log's newest checkpoint, makes the proof from the log's own tiles, and cosigns.
    ///
    /// # Errors
    /// [`CosignError`]. Tiles that cannot be read are no contradiction; tiles that do not lead
    /// from one signed root to the other are one.
    pub fn follow(&mut self, log: &impl LogReader, time: u64) -> Result<Checkpoint, CosignError> {
        let checkpoint = log.checkpoint()?;
        let signer = self.log.signer(&checkpoint, log)?;
        let signer = signer.map_err(CosignError::Unsigned)?;
        let keys = self.log.path().to_path_buf();
        self.log.remember(&signer).map_err(store(&keys))?;
        let size = checkpoint.head().size;
        let proof = match &self.last {
            Some(last) => Tree::new(log, size)
                .consistency(last.head().size)
                .map_err(ReadError::io("tiles"))?
                .unwrap_or_default(),
            None => Vec::new(),
        };
        self.cosign(&checkpoint, &proof, time)
    }
}

fn recall(text: &str, log: &KeyMemory) -> Result<Checkpoint, LogError> {
    let checkpoint: Checkpoint = text.parse()?;
    log.verify(&checkpoint)?;
    Ok(checkpoint)
}

fn store(path: &Path) -> impl FnOnce(io::Error) -> CosignError {
    let path = path.display().to_string();
    move |error| CosignError::Store { path, error }
}
