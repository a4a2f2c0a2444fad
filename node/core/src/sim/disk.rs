//! A disk that loses, tears and flips what was not made durable, and sometimes what was.

use std::collections::BTreeMap;

use super::rng::Rng;
use crate::log::Storage;

/// What a simulated disk answers when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// No such file.
    #[error("no such file")]
    NotFound,
    /// No space is left.
    #[error("no space left on device")]
    Full,
    /// Writing to the medium failed.
    #[error("input/output error")]
    Failed,
    /// The power went off in the middle of this operation.
    #[error("power lost")]
    Crash,
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    /// So many of them are durable.
    synced: usize,
    /// The directory entry is durable.
    entered: bool,
}

/// One replica's disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    files: BTreeMap<String, File>,
    /// Removed, but the directory still has them on the medium.
    removed: BTreeMap<String, File>,
    /// Bytes that fit; `None` for all that are wanted.
    pub capacity: Option<usize>,
    /// Whether the next sync fails.
    pub fails_next_sync: bool,
    /// Operations until the power goes off.
    pub crash_in: Option<u64>,
    operations: u64,
}

/// A piece of a file that a torn write may leave as garbage, in bytes.
const SECTOR: usize = 64;

impl Disk {
    /// Writing operations so far: each is a place for a crash.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    fn used(&self) -> usize {
        self.files.values().map(|f| f.bytes.len()).sum()
    }

    /// Counts an operation; the power may go off in it.
    fn operate(&mut self) -> Result<(), DiskError> {
        self.operations += 1;
        if let Some(left) = &mut self.crash_in {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return Err(DiskError::Crash);
            }
        }
        Ok(())
    }

    /// The power goes off: what was not durable is kept, lost or torn.
    pub fn crash(&mut self, rng: &mut Rng) {
        self.crash_in = None;
        self.fails_next_sync = false;
        for (name, file) in std::mem::take(&mut self.removed) {
            if rng.chance(500) {
                self.files.entry(name).or_insert(file);
            }
        }
        self.files.retain(|_, file| file.entered || rng.chance(500));
        for file in self.files.values_mut() {
            file.entered = true;
            let unsynced = file.bytes.len() - file.synced;
            if unsynced > 0 {
                tear(file, unsynced, rng);
            }
            file.synced = file.bytes.len();
        }
    }

    /// Flips one bit somewhere; false if nothing is stored.
    pub fn flip_bit(&mut self, rng: &mut Rng) -> bool {
        let mut files: Vec<_> = self
            .files
            .values_mut()
            .filter(|f| !f.bytes.is_empty())
            .collect();
        if files.is_empty() {
            return false;
        }
        let place = rng.place(files.len());
        let file = &mut files[place];
        let byte = rng.place(file.bytes.len());
        file.bytes[byte] ^= 1 << rng.below(8);
        true
    }

    /// Takes everything off the disk.
    pub fn wipe(&mut self) {
        *self = Self {
            operations: self.operations,
            ..Self::default()
        };
    }
}

fn tear(file: &mut File, unsynced: usize, rng: &mut Rng) {
    match rng.below(4) {
        0 => file.bytes.truncate(file.synced),
        1 => {} // all of it made it
        2 => {
            let kept = rng.place(unsynced + 1);
            file.bytes.truncate(file.synced + kept);
        }
        _ => {
            // One sector did not make it, though later ones did.
            let start = file.synced + rng.place(unsynced);
            let end = (start + SECTOR).min(file.bytes.len());
            let fill = if rng.chance(500) { 0 } else { 0xa5 };
            file.bytes[start..end].fill(fill);
        }
    }
}

impl Storage for Disk {
    type Error = DiskError;

    fn list(&self) -> Result<Vec<String>, DiskError> {
        Ok(self.files.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, DiskError> {
        self.files
            .get(name)
            .map(|f| f.bytes.clone())
            .ok_or(DiskError::NotFound)
    }

    fn create(&mut self, name: &str) -> Result<(), DiskError> {
        self.operate()?;
        self.files.insert(name.into(), File::default());
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        let crash = self.operate();
        let used = self.used();
        let file = self.files.get_mut(name).ok_or(DiskError::NotFound)?;
        let full = self
            .capacity
            .is_some_and(|capacity| used + bytes.len() > capacity);
        if full {
            file.bytes.extend_from_slice(&bytes[..bytes.len() / 2]);
            return Err(DiskError::Full);
        }
        file.bytes.extend_from_slice(bytes);
        crash
    }

    fn truncate(&mut self, name: &str, length: usize) -> Result<(), DiskError> {
        self.operate()?;
        let file = self.files.get_mut(name).ok_or(DiskError::NotFound)?;
        file.bytes.truncate(length);
        file.synced = file.synced.min(length);
        Ok(())
    }

    fn sync(&mut self, name: &str) -> Result<(), DiskError> {
        self.operate()?;
        let file = self.files.get_mut(name).ok_or(DiskError::NotFound)?;
        if std::mem::take(&mut self.fails_next_sync) {
            // As on Linux: the pages are marked clean though they were not written.
            return Err(DiskError::Failed);
        }
        file.synced = file.bytes.len();
        Ok(())
    }

    fn sync_directory(&mut self) -> Result<(), DiskError> {
        self.operate()?;
        self.removed.clear();
        self.files.values_mut().for_each(|file| file.entered = true);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        self.operate()?;
        let file = self.files.remove(name).ok_or(DiskError::NotFound)?;
        if file.entered {
            self.removed.insert(name.into(), file);
        }
        Ok(())
    }
}
