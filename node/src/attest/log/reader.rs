//! Reading a log that somebody else wrote: from its directory.

use std::io;
use std::path::{Path, PathBuf};

use quorate_verifier::primitives::Digest;
use quorate_verifier::tlog::{Checkpoint, LogError, NOTE_MAX_BYTES};

use super::store::{KEYS_MAX_BYTES, KeyPeriod, parse_keys};
use super::tree::{TILE_WIDTH, TileSource, bundle_path, tile_path};
use crate::attest::disk;

/// Longest entry: its length is a `u16`.
pub(super) const ENTRY_MAX_BYTES: usize = 65_535;
const BUNDLE_MAX_BYTES: usize = 256 * (2 + ENTRY_MAX_BYTES);

/// Why a log cannot be read. Nothing of it is a verdict about the log's honesty.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system or the network.
    #[error("{what}: {error}")]
    Io {
        /// What was read.
        what: String,
        /// What happened.
        error: io::Error,
    },
    /// There is no checkpoint.
    #[error("no log is there: it has no checkpoint")]
    NoLog,
    /// The checkpoint is no checkpoint.
    #[error(transparent)]
    Form(#[from] LogError),
}

impl ReadError {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}

/// A log as its readers see it: checkpoint, tiles, entries.
pub trait LogReader: TileSource {
    /// The newest checkpoint, nothing of it verified.
    ///
    /// # Errors
    /// [`ReadError`].
    fn checkpoint(&self) -> Result<Checkpoint, ReadError>;

    /// Bundle `index` of entries, `width` of them.
    ///
    /// # Errors
    /// What reading says, and `InvalidData` when it holds another number.
    fn bundle(&self, index: u64, width: u64) -> io::Result<Vec<Vec<u8>>>;

    /// Every key that ever signed, oldest first, nothing of it verified.
    ///
    /// # Errors
    /// What reading says, and `InvalidData` for what is no list of keys.
    fn keys(&self) -> io::Result<Vec<KeyPeriod>>;
}

/// A log in a directory, as its writer or a mirror keeps it.
#[derive(Clone, Debug)]
pub struct DirReader {
    dir: PathBuf,
}

impl DirReader {
    /// The log in `dir`, which need not be there yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Bytes of a tile or bundle of at least `width`: the writer keeps the widest one only.
    fn widest(&self, path: impl Fn(u64) -> String, width: u64) -> io::Result<Vec<u8>> {
        // A partial file may give way to a wider one between two looks.
        for _ in 0..3 {
            for candidate in [TILE_WIDTH, width] {
                let file = self.dir.join(path(candidate));
                if let Some(bytes) = disk::read(&file, BUNDLE_MAX_BYTES)? {
                    return Ok(bytes);
                }
            }
            let partials = self.dir.join(path(1));
            for wider in widths(partials.parent().unwrap_or(&self.dir))? {
                let file = self.dir.join(path(wider));
                if wider > width
                    && let Some(bytes) = disk::read(&file, BUNDLE_MAX_BYTES)?
                {
                    return Ok(bytes);
                }
            }
        }
        Err(io::Error::new(io::ErrorKind::NotFound, path(width)))
    }

    /// A tile as it is served: `None` where there is none so wide.
    ///
    /// # Errors
    /// What reading says.
    pub fn tile_bytes(&self, level: u8, index: u64, width: u64) -> io::Result<Option<Vec<u8>>> {
        let bytes = match self.widest(|width| tile_path(level, index, width), width) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let length = usize::try_from(width * 32).unwrap_or(usize::MAX);
        Ok(bytes.get(..length).map(<[u8]>::to_vec))
    }

    /// A bundle as it is served: `None` where there is none so wide.
    ///
    /// # Errors
    /// What reading says.
    pub fn bundle_bytes(&self, index: u64, width: u64) -> io::Result<Option<Vec<u8>>> {
        let bytes = match self.widest(|width| bundle_path(index, width), width) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        Ok(bundle_prefix(&bytes, width).map(|end| bytes[..end].to_vec()))
    }
}

impl TileSource for DirReader {
    fn tile(&self, level: u8, index: u64, width: u64) -> io::Result<Vec<Digest>> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, tile_path(level, index, width));
        let bytes = self.tile_bytes(level, index, width)?.ok_or_else(missing)?;
        Ok(hashes(&bytes))
    }
}

impl LogReader for DirReader {
    fn checkpoint(&self) -> Result<Checkpoint, ReadError> {
        let path = self.dir.join("checkpoint");
        let text = disk::read_text(&path, NOTE_MAX_BYTES)
            .map_err(ReadError::io(path.display().to_string()))?
            .ok_or(ReadError::NoLog)?;
        Ok(text.parse()?)
    }

    fn bundle(&self, index: u64, width: u64) -> io::Result<Vec<Vec<u8>>> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, bundle_path(index, width));
        let bytes = self.bundle_bytes(index, width)?.ok_or_else(missing)?;
        split_bundle(&bytes, width)
    }

    fn keys(&self) -> io::Result<Vec<KeyPeriod>> {
        let path = self.dir.join("keys.json");
        let bytes = disk::read(&path, KEYS_MAX_BYTES)?.unwrap_or_default();
        parse_keys(&bytes).map_err(|what| io::Error::new(io::ErrorKind::InvalidData, what))
    }
}

/// 32 bytes each; what is left over is dropped, and then a tile is too short.
pub(super) fn hashes(bytes: &[u8]) -> Vec<Digest> {
    bytes
        .chunks_exact(32)
        .map(|chunk| Digest::from_bytes(chunk.try_into().expect("chunks of 32 bytes")))
        .collect()
}

/// The entries of a bundle, exactly `width` of them.
///
/// # Errors
/// `InvalidData`.
pub fn split_bundle(bytes: &[u8], width: u64) -> io::Result<Vec<Vec<u8>>> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let Some((entry, tail)) = tail.split_at_checked(length) else {
            break;
        };
        entries.push(entry.to_vec());
        rest = tail;
    }
    if rest.is_empty() && entries.len() as u64 == width {
        return Ok(entries);
    }
    let what = format!("a bundle of {width} entries does not hold just so many");
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// Where the first `width` entries of a bundle end.
fn bundle_prefix(bytes: &[u8], width: u64) -> Option<usize> {
    let mut end = 0;
    for _ in 0..width {
        let length = bytes.get(end..end + 2)?;
        end += 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
    }
    (end <= bytes.len()).then_some(end)
}

/// Widths of the partial files in a directory.
pub(super) fn widths(dir: &Path) -> io::Result<Vec<u64>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        found.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}
