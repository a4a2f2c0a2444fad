//! Keys on disk: one directory, in it one directory for each key, named by the digest of its
//! verifying key.
//!
//! A key's directory holds three files (docs/keys.md): `verifying-key`, which is all that a
//! verifier needs; `proving-key`; and `manifest.json`, which ties the two together. It is built
//! under another name and renamed when everything in it is on disk, so a half-made key has never
//! a name that is looked up. Nothing here is secret: the trapdoor is gone when a key is written.

mod file;
mod layout;
mod points;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use ark_ec::AffineRepr;
use quorate_verifier::encoding::{DecodeError, FILE_HEADER_BYTES, Kind};
use quorate_verifier::file::FileType;
use quorate_verifier::json;
use quorate_verifier::primitives::Digest;
use quorate_verifier::proof::{CircuitId, Origin, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::key::ProvingKey;
use crate::machine;

pub(crate) use file::KeyFile;
pub(crate) use layout::Section;
pub(crate) use points::Point;

/// Why a key cannot be had from disk, or put there.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or directory could not be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// A file or directory could not be written.
    #[error("{}: {error}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// There is no key of this digest.
    #[error("there is no key {digest} in {}", dir.display())]
    Missing {
        /// Digest of the verifying key.
        digest: Digest,
        /// The store.
        dir: PathBuf,
    },
    /// The key is there already.
    #[error("key {0} is in the store already")]
    Exists(Digest),
    /// Bytes that were not written by this program, or were changed or lost since.
    #[error("{}: the key is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A version that this program does not know.
    #[error("{}: {what}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What is unknown.
        what: String,
    },
    /// Not enough room on disk.
    #[error(
        "{}: {needed} bytes are needed on disk, {free} are free", dir.display()
    )]
    NoSpace {
        /// The store.
        dir: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl StoreError {
    pub(crate) fn read(path: &Path, error: io::Error) -> Self {
        Self::Read {
            path: path.into(),
            error,
        }
    }

    pub(crate) fn write(path: &Path, error: io::Error) -> Self {
        Self::Write {
            path: path.into(),
            error,
        }
    }

    pub(crate) fn damaged(path: &Path, what: impl ToString) -> Self {
        Self::Damaged {
            path: path.into(),
            what: what.to_string(),
        }
    }
}

/// A directory of keys. It need not exist until a key is put into it.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
}

/// What is found under a digest: a key, or why it is none.
#[derive(Debug)]
pub struct Entry {
    /// Digest of the verifying key, by the directory's name.
    pub digest: Digest,
    /// The key, its blocks unread.
    pub key: Result<StoredKey, StoreError>,
}

impl Store {
    /// The store in this directory.
    #[must_use]
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Every key, damaged ones too, by rising digest. What is half made is not among them.
    ///
    /// # Errors
    /// [`StoreError::Read`] for a directory that cannot be listed; one that does not exist is
    /// empty.
    pub fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        let mut digests: Vec<Digest> = self
            .names()?
            .iter()
            .filter_map(|name| json::parse_hex(name).ok().map(Digest::from_bytes))
            .collect();
        digests.sort_unstable();
        let entry = |digest| Entry {
            digest,
            key: self.open(&digest),
        };
        Ok(digests.into_iter().map(entry).collect())
    }

    /// The key of this digest. Head, manifest and verifying key are checked, the blocks when they
    /// are read.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`], [`StoreError::Unsupported`],
    /// [`StoreError::Read`].
    pub fn open(&self, digest: &Digest) -> Result<StoredKey, StoreError> {
        let dir = self.dir.join(digest.to_string());
        if !dir.is_dir() {
            return Err(StoreError::Missing {
                digest: *digest,
                dir: self.dir.clone(),
            });
        }
        StoredKey::open(dir, digest)
    }

    /// Refuses when fewer than `bytes` are free on the disk.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`].
    pub fn check_space(&self, bytes: u64) -> Result<(), StoreError> {
        let existing = self.dir.ancestors().find(|dir| dir.is_dir());
        let existing = existing.filter(|dir| !dir.as_os_str().is_empty());
        match machine::free_disk(existing.unwrap_or(Path::new("."))) {
            Some(free) if free < bytes => Err(StoreError::NoSpace {
                dir: self.dir.clone(),
                needed: bytes,
                free,
            }),
            _ => Ok(()),
        }
    }

    /// Begins a key: makes the store's directory if need be, and in it a directory of another kind
    /// of name, locked by this process.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub fn begin(&self) -> Result<Draft, StoreError> {
        let failed = |error| StoreError::write(&self.dir, error);
        fs::create_dir_all(&self.dir).map_err(failed)?;
        let building = tempfile::Builder::new()
            .prefix(UNFINISHED_PREFIX)
            .tempdir_in(&self.dir)
            .map_err(failed)?;
        let lock = File::open(building.path()).map_err(failed)?;
        lock.lock().map_err(failed)?;
        Ok(Draft {
            store: self.clone(),
            building,
            _lock: lock,
        })
    }

    /// Directories that were begun by processes which are no more.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn unfinished(&self) -> Result<Vec<PathBuf>, StoreError> {
        let names = self.names()?.into_iter();
        let begun = names.filter(|name| name.starts_with(UNFINISHED_PREFIX));
        let paths = begun.map(|name| self.dir.join(name));
        Ok(paths.filter(|path| is_abandoned(path)).collect())
    }

    /// Removes them; answers how many there were.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::Write`].
    pub fn remove_unfinished(&self) -> Result<usize, StoreError> {
        let paths = self.unfinished()?;
        for path in &paths {
            fs::remove_dir_all(path).map_err(|error| StoreError::write(path, error))?;
        }
        Ok(paths.len())
    }

    /// Removes a key, whole or damaged. Who has it open may go on reading it.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Write`].
    pub fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.dir.join(digest.to_string());
        if !path.is_dir() {
            return Err(StoreError::Missing {
                digest: *digest,
                dir: self.dir.clone(),
            });
        }
        // First its name, so that it is never found in part.
        let draft = self.begin()?;
        let failed = |error| StoreError::write(&path, error);
        fs::rename(&path, draft.path().join("removed")).map_err(failed)?;
        draft.building.close().map_err(failed)
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let failed = |error| StoreError::read(&self.dir, error);
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if entry.path().is_dir() {
                names.extend(entry.file_name().into_string());
            }
        }
        Ok(names)
    }
}

/// Directories that are being built begin with this.
const UNFINISHED_PREFIX: &str = ".unfinished-";

/// Whoever builds holds a lock on the directory, and the system takes it from the dead.
fn is_abandoned(path: &Path) -> bool {
    File::open(path).is_ok_and(|dir| dir.try_lock().is_ok())
}

/// A key that is being made. Dropped without [`finish`](Self::finish), it leaves nothing.
#[derive(Debug)]
pub struct Draft {
    store: Store,
    building: tempfile::TempDir,
    _lock: File,
}

impl Draft {
    /// What a handler of interrupts has to remove.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.building.path()
    }

    /// Writes the key and gives it its name. `step` hears of the share that is written.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`], [`StoreError::Exists`], [`StoreError::Write`],
    /// [`StoreError::Cancelled`]; then nothing is left.
    pub fn finish(
        self,
        key: &ProvingKey,
        step: impl FnMut(f64) -> ControlFlow<()>,
    ) -> Result<StoredKey, StoreError> {
        self.store.check_space(file::file_bytes(key))?;
        let dir = self.building.path().join("key");
        fs::create_dir(&dir).map_err(|error| StoreError::write(&dir, error))?;
        let head = file::write(&dir.join(PROVING_KEY), key, step)?;
        let digest = key.verifying.digest();
        put(&dir.join(VERIFYING_KEY), &key.verifying.to_file())?;
        let manifest = Manifest {
            verifying_key: digest,
            circuit: key.verifying.circuit,
            origin: key.verifying.origin,
            domain_log2: head.domain_log2,
            bytes: head.file_bytes(),
            head: head.digest(),
        };
        let manifest = json::to_json(Kind::ProvingKey, &manifest) + "\n";
        put(&dir.join(MANIFEST), manifest.as_bytes())?;
        sync_directory(&dir)?;
        let target = self.store.dir.join(digest.to_string());
        if target.symlink_metadata().is_ok() {
            return Err(StoreError::Exists(digest));
        }
        fs::rename(&dir, &target).map_err(|error| StoreError::write(&target, error))?;
        sync_directory(&self.store.dir)?;
        StoredKey::open(target, &digest)
    }
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let write = |mut file: File| file.write_all(bytes).and_then(|()| file.sync_all());
    File::create_new(path)
        .and_then(write)
        .map_err(|error| StoreError::write(path, error))
}

/// So that names survive a power cut.
fn sync_directory(dir: &Path) -> Result<(), StoreError> {
    if cfg!(unix) {
        let sync = |dir: File| dir.sync_all();
        return File::open(dir)
            .and_then(sync)
            .map_err(|error| StoreError::write(dir, error));
    }
    Ok(())
}

const PROVING_KEY: &str = "proving-key";
const VERIFYING_KEY: &str = "verifying-key";
const MANIFEST: &str = "manifest.json";
/// A manifest has some 500 bytes.
const MANIFEST_MAX_BYTES: u64 = 4096;

/// What ties a proving key to its verifying key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// Digest of the verifying key.
    verifying_key: Digest,
    circuit: CircuitId,
    origin: Origin,
    /// Base-two logarithm of the domain.
    domain_log2: u8,
    /// Length of the proving key's file.
    #[serde(with = "json::decimal")]
    bytes: u64,
    /// SHA-256 of the proving key's head, in which every block has its digest.
    head: Digest,
}

/// A key in the store. Its points stay on disk until they are needed.
#[derive(Debug)]
pub struct StoredKey {
    dir: PathBuf,
    digest: Digest,
    verifying: VerifyingKey,
    file: KeyFile,
}

impl StoredKey {
    fn open(dir: PathBuf, digest: &Digest) -> Result<Self, StoreError> {
        let path = dir.join(VERIFYING_KEY);
        let limit = (FILE_HEADER_BYTES + VerifyingKey::MAX_BYTES) as u64;
        let bytes = read_small(&path, limit)?;
        let verifying =
            VerifyingKey::from_binary(&bytes).map_err(|error| decode_error(&path, error))?;
        if verifying.digest() != *digest {
            let what = format!("its digest is {}", verifying.digest());
            return Err(StoreError::damaged(&path, what));
        }

        let path = dir.join(MANIFEST);
        let text = String::from_utf8(read_small(&path, MANIFEST_MAX_BYTES)?)
            .map_err(|_| StoreError::damaged(&path, "it is not text"))?;
        let manifest: Manifest =
            json::from_json(Kind::ProvingKey, &text).map_err(|error| decode_error(&path, error))?;
        if manifest.verifying_key != *digest {
            let what = format!("it is of key {}", manifest.verifying_key);
            return Err(StoreError::damaged(&path, what));
        }

        let path = dir.join(PROVING_KEY);
        let file = KeyFile::open(&path)?;
        let head = file.head();
        let expected = Manifest {
            verifying_key: head.verifying,
            circuit: verifying.circuit,
            origin: verifying.origin,
            domain_log2: head.domain_log2,
            bytes: head.file_bytes(),
            head: head.digest(),
        };
        if manifest != expected {
            let what = "it is not the file that the manifest describes";
            return Err(StoreError::damaged(&path, what));
        }
        Ok(Self {
            dir,
            digest: *digest,
            verifying,
            file,
        })
    }

    /// Digest of the verifying key.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What a verifier needs.
    #[must_use]
    pub fn verifying(&self) -> &VerifyingKey {
        &self.verifying
    }

    /// Where the key lies.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Base-two logarithm of the domain that the circuit's rows fill.
    #[must_use]
    pub fn domain_log2(&self) -> u8 {
        self.file.head().domain_log2
    }

    /// Columns of the circuit.
    #[must_use]
    pub fn columns(&self) -> u64 {
        self.file.head().columns
    }

    /// Length of the proving key's file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.file.head().file_bytes()
    }

    pub(crate) fn file(&self) -> &KeyFile {
        &self.file
    }

    /// Reads every block and compares its digest; holds the committed bases against the verifying
    /// key. `step` hears of the share that is read.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] names the part that is not what was written.
    pub fn check(&self, mut step: impl FnMut(f64) -> ControlFlow<()>) -> Result<(), StoreError> {
        let head = self.file.head();
        let total = head.file_bytes();
        let mut read = head.head_bytes() as u64;
        for section in Section::ALL {
            self.file.blocks(section, |bytes| {
                read += bytes.len() as u64;
                #[allow(clippy::cast_precision_loss, reason = "a share, for people")]
                match step(read as f64 / total as f64) {
                    ControlFlow::Continue(()) => Ok(()),
                    ControlFlow::Break(()) => Err(StoreError::Cancelled),
                }
            })?;
        }
        self.cells(Section::ACells, Section::A)?;
        self.cells(Section::BCells, Section::B1)?;
        self.check_committed()?;
        Ok(())
    }

    /// The whole key in memory, every block checked.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn load(&self) -> Result<ProvingKey, StoreError> {
        let head = self.file.head();
        let light = &self.verifying;
        let committed: Vec<_> = self.file.points(Section::Committed)?;
        let split = light.statement_len() + 1;
        let gamma_abc_g1 = [&light.bases[..split], &committed, &light.bases[split..]].concat();
        Ok(ProvingKey {
            groth: ark_groth16::ProvingKey {
                vk: ark_groth16::VerifyingKey {
                    alpha_g1: light.alpha,
                    beta_g2: light.beta,
                    gamma_g2: light.gamma,
                    delta_g2: light.delta,
                    gamma_abc_g1,
                },
                beta_g1: head.beta_delta[0],
                delta_g1: head.beta_delta[1],
                a_query: self.dense(Section::ACells, Section::A)?,
                b_g1_query: self.dense(Section::BCells, Section::B1)?,
                b_g2_query: self.dense(Section::BCells, Section::B2)?,
                h_query: self.file.points(Section::H)?,
                l_query: self.file.points(Section::L)?,
            },
            knowledge: self.file.points(Section::Knowledge)?,
            verifying: self.verifying.clone(),
        })
    }

    /// A query with a point for every column.
    fn dense<P: Point>(&self, cells: Section, section: Section) -> Result<Vec<P>, StoreError> {
        let bits = self.cells(cells, section)?;
        let mut kept = self.file.points::<P>(section)?.into_iter();
        let columns = usize::try_from(self.columns()).expect("a bit each is in memory");
        let point = |column: usize| match bits[column / 8] >> (column % 8) & 1 {
            1 => kept.next().expect("as many as bits"),
            _ => P::zero(),
        };
        Ok((0..columns).map(point).collect())
    }

    /// A bit for each column that has a base in `section`.
    pub(crate) fn cells(&self, cells: Section, section: Section) -> Result<Vec<u8>, StoreError> {
        let bits = self.file.bytes(cells)?;
        let ones: u64 = bits.iter().map(|byte| u64::from(byte.count_ones())).sum();
        // Beyond the last column there is nothing.
        let spare = 8 * bits.len() as u64 - self.columns();
        let last = bits.last().copied().unwrap_or_default();
        if ones != self.file.head().counts[section as usize]
            || u64::from(last.leading_zeros()) < spare
        {
            let what = format!("{} are not those listed", section.name());
            return Err(StoreError::damaged(&self.dir.join(PROVING_KEY), what));
        }
        Ok(bits)
    }

    /// `beta` and `delta` in G1.
    pub(crate) fn beta_delta(&self) -> [ark_bn254::G1Affine; 2] {
        self.file.head().beta_delta
    }

    /// How many elements a section has.
    pub(crate) fn count(&self, section: Section) -> u64 {
        self.file.head().counts[section as usize]
    }

    /// Holds the bases of the committed cells and of their knowledge against the verifying key,
    /// and answers whether those of the blinder are not zero.
    pub(crate) fn check_committed(&self) -> Result<bool, StoreError> {
        let mut hash = Sha256::new();
        let mut blinded = true;
        for section in [Section::Committed, Section::Knowledge] {
            let mut first = true;
            self.file.blocks(section, |bytes| {
                if core::mem::take(&mut first) {
                    let point = ark_bn254::G1Affine::decode(&bytes[..points::G1_BYTES]);
                    blinded &= point.is_some_and(|point| !point.is_zero());
                }
                hash.update(bytes);
                Ok(())
            })?;
        }
        if hash.finalize()[..] == self.verifying.committed_bases.as_bytes()[..] {
            return Ok(blinded);
        }
        let what = "the committed bases are not those of the verifying key";
        Err(StoreError::damaged(&self.dir.join(PROVING_KEY), what))
    }
}

/// A small file, whole.
fn read_small(path: &Path, limit: u64) -> Result<Vec<u8>, StoreError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => StoreError::damaged(path, "the file is missing"),
        _ => StoreError::read(path, error),
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        let what = format!("it is longer than {limit} bytes");
        return Err(StoreError::damaged(path, what));
    }
    Ok(bytes)
}

fn decode_error(path: &Path, error: DecodeError) -> StoreError {
    if error.is_unsupported() {
        StoreError::Unsupported {
            path: path.into(),
            what: error.to_string(),
        }
    } else {
        StoreError::damaged(path, error)
    }
}
