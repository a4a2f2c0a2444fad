//! A log's change of key, as those see it who watch with the old one.
//!
//! The old key signs the checkpoint at which the new one takes over, and the new one signs it too.
//! Following that gives nobody a power that the old key's holder does not have anyway. Whoever
//! watches remembers the key that it came to, and takes nothing from an older one again.

use std::io;
use std::path::{Path, PathBuf};

use quorate_verifier::tlog::{Checkpoint, LogError, NoteKey};

use super::reader::{LogReader, ReadError};
use super::store::{KEYS_MAX_BYTES, KeyPeriod};
use crate::attest::disk::{self, Access};

/// The key that signs now, reached from a known one; `None` where the list does not lead on.
pub(super) fn follow(known: &NoteKey, periods: &[KeyPeriod]) -> Option<NoteKey> {
    let start = periods
        .iter()
        .position(|period| period.vkey == known.to_string())?;
    let mut key = known.clone();
    for period in &periods[start + 1..] {
        let next: NoteKey = period.vkey.parse().ok()?;
        let handover: Checkpoint = period.handover.as_ref()?.parse().ok()?;
        let is_signed = handover.verify(&key).is_ok() && handover.verify(&next).is_ok();
        if !is_signed
            || next.name() != key.name()
            || handover.head().size.to_string() != period.from
        {
            return None;
        }
        key = next;
    }
    Some(key)
}

/// The keys that a watcher has come to, in a file of its store.
#[derive(Debug)]
pub(super) struct KeyMemory {
    path: PathBuf,
    /// In the order in which they signed; never empty.
    keys: Vec<NoteKey>,
}

impl KeyMemory {
    /// Recalls the keys for a store that was opened with one of them.
    pub(super) fn recall(dir: &Path, given: NoteKey) -> io::Result<Self> {
        let path = dir.join("log-keys");
        let keys = match disk::read_text(&path, KEYS_MAX_BYTES)? {
            None => vec![given],
            Some(text) => {
                let keys: Result<Vec<NoteKey>, _> = text.lines().map(str::parse).collect();
                let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
                let keys = keys.map_err(|error| wrong(error.to_string()))?;
                if !keys.contains(&given) {
                    return Err(wrong("another key's log is remembered here".into()));
                }
                keys
            }
        };
        Ok(Self { path, keys })
    }

    /// The key that signs now, as far as is known.
    pub(super) fn current(&self) -> &NoteKey {
        self.keys.last().expect("never empty")
    }

    /// Whether one of the keys signed what is remembered.
    pub(super) fn verify(&self, checkpoint: &Checkpoint) -> Result<(), LogError> {
        let mut last = checkpoint.verify(self.current());
        for key in &self.keys {
            if last.is_ok() {
                break;
            }
            last = checkpoint.verify(key);
        }
        last
    }

    /// The key that signed a checkpoint: the current one, or one that the log's list leads to.
    ///
    /// # Errors
    /// Why the current key did not sign it, where the list does not lead on.
    pub(super) fn signer(
        &self,
        checkpoint: &Checkpoint,
        log: &impl LogReader,
    ) -> Result<Result<NoteKey, LogError>, ReadError> {
        let Err(error) = checkpoint.verify(self.current()) else {
            return Ok(Ok(self.current().clone()));
        };
        let keys = log.keys().map_err(ReadError::io("keys"))?;
        let followed = follow(self.current(), &keys);
        let followed = followed.filter(|key| checkpoint.verify(key).is_ok());
        Ok(followed.ok_or(error))
    }

    /// Remembers a key that was followed to, on disk before anything that it signed.
    pub(super) fn remember(&mut self, key: &NoteKey) -> io::Result<()> {
        if key == self.current() {
            return Ok(());
        }
        let keys = self.keys.iter().chain([key]);
        let text: String = keys.map(|key| format!("{key}\n")).collect();
        disk::write(&self.path, text.as_bytes(), Access::Public)?;
        self.keys.push(key.clone());
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
