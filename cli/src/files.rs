//! Files: bounded reading, whole writing.
//!
//! A file is written beside its place, synced, and renamed into it, and its directory synced; a
//! directory is made whole beside its place and renamed. So an interrupted command leaves nothing
//! half made, and nothing that exists is touched unless it is asked for.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use quorate_verifier::encoding::DecodeError;
use quorate_verifier::file::FileType;
use zeroize::Zeroizing;

use crate::failure::{Failure, Role};

/// An input: a path, or `-` for stdin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Stdin,
    File(PathBuf),
}

impl From<OsString> for Source {
    fn from(text: OsString) -> Self {
        if text == "-" {
            Self::Stdin
        } else {
            Self::File(text.into())
        }
    }
}

impl Source {
    /// For messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdin => "stdin".into(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// All bytes, at most `limit`; wiped when dropped, since they may be a secret.
    pub(crate) fn read(&self, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
        static STDIN_TAKEN: AtomicBool = AtomicBool::new(false);
        let failed = |error| Failure::Read {
            name: self.name(),
            error,
        };
        let bytes = match self {
            Self::Stdin if STDIN_TAKEN.swap(true, Ordering::Relaxed) => {
                return Err(Failure::usage(
                    "stdin can be read once: two arguments are '-'",
                ));
            }
            Self::Stdin => read_bounded(io::stdin().lock(), limit).map_err(failed)?,
            Self::File(path) => {
                read_bounded(File::open(path).map_err(failed)?, limit).map_err(failed)?
            }
        };
        bytes.ok_or_else(|| Failure::TooLong {
            name: self.name(),
            limit,
        })
    }

    /// Reads a document of a known kind, in either form.
    pub(crate) fn document<T: FileType>(&self, role: Role) -> Result<T, Failure> {
        // JSON may take eight times as much as the binary form.
        let bytes = self.read(T::MAX_BYTES * 8)?;
        T::from_file(&bytes).map_err(|error| self.decode_failure(error, role))
    }

    pub(crate) fn decode_failure(&self, error: DecodeError, role: Role) -> Failure {
        Failure::Decode {
            name: self.name(),
            error,
            role,
        }
    }
}

/// `None` when there is more than `limit`. Grows by doubling and wipes what it leaves behind.
fn read_bounded(mut input: impl Read, limit: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096.min(limit + 1)));
    let mut chunk = Zeroizing::new([0; 4096]);
    loop {
        let count = match input.read(chunk.as_mut_slice()) {
            Ok(0) => return Ok(Some(bytes)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if bytes.len() + count > limit {
            return Ok(None);
        }
        if bytes.capacity() < bytes.len() + count {
            let mut larger = Zeroizing::new(Vec::with_capacity(2 * bytes.capacity() + count));
            larger.extend_from_slice(&bytes);
            bytes = larger;
        }
        bytes.extend_from_slice(&chunk[..count]);
    }
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody, as far as the umask allows.
    Public,
    /// The owner alone: 0600.
    Private,
}

/// What happens to a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It stays, and the command fails.
    Keep,
    /// It is replaced, at once and whole.
    Replace,
}

/// Writes a file whole or not at all.
pub(crate) fn write(
    path: &Path,
    bytes: &[u8],
    access: Access,
    existing: Existing,
) -> Result<(), Failure> {
    let failed = |error| Failure::Write {
        path: path.into(),
        error,
    };
    if existing == Existing::Keep && path.symlink_metadata().is_ok() {
        return Err(Failure::Exists(path.into()));
    }
    let dir = directory_of(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".quorate-");
    if access == Access::Public {
        make_public(&mut builder);
    }
    let mut file = builder.tempfile_in(dir).map_err(failed)?;
    let _unfinished = Unfinished::new(file.path());
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    match existing {
        Existing::Replace => file.persist(path).map_err(|e| failed(e.error))?,
        // Refuses again, without a gap between looking and writing.
        Existing::Keep => file
            .persist_noclobber(path)
            .map_err(|e| match e.error.kind() {
                io::ErrorKind::AlreadyExists => Failure::Exists(path.into()),
                _ => failed(e.error),
            })?,
    };
    sync_directory(dir).map_err(failed)
}

#[cfg(unix)]
fn make_public(builder: &mut tempfile::Builder<'_, '_>) {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(fs::Permissions::from_mode(0o666)); // less the umask
}

#[cfg(not(unix))]
fn make_public(_: &mut tempfile::Builder<'_, '_>) {}

/// A directory that is gone when it is dropped, or the user interrupts.
#[derive(Debug)]
pub(crate) struct Scratch {
    dir: tempfile::TempDir,
    _unfinished: Unfinished,
}

impl Scratch {
    /// In the system's directory for such things, for the owner alone.
    pub(crate) fn new(prefix: &str) -> Result<Self, Failure> {
        let dir = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir()
            .map_err(|error| Failure::Write {
                path: std::env::temp_dir(),
                error,
            })?;
        let unfinished = Unfinished::new(dir.path());
        Ok(Self {
            dir,
            _unfinished: unfinished,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// A directory that does not exist until it is whole.
#[derive(Debug)]
pub(crate) struct NewDirectory {
    target: PathBuf,
    building: tempfile::TempDir,
    unfinished: Unfinished,
}

impl NewDirectory {
    /// Refuses a path that exists.
    pub(crate) fn begin(target: &Path) -> Result<Self, Failure> {
        if target.symlink_metadata().is_ok() {
            return Err(Failure::Exists(target.into()));
        }
        let building = tempfile::Builder::new()
            .prefix(".quorate-")
            .tempdir_in(directory_of(target))
            .map_err(|error| Failure::Write {
                path: target.into(),
                error,
            })?;
        let unfinished = Unfinished::new(building.path());
        Ok(Self {
            target: target.into(),
            building,
            unfinished,
        })
    }

    /// Makes a directory inside, for the owner alone when it is private.
    pub(crate) fn directory(&self, name: &str, access: Access) -> Result<(), Failure> {
        let path = self.building.path().join(name);
        fs::create_dir(&path)
            .and_then(|()| set_directory_mode(&path, access))
            .map_err(|error| Failure::Write {
                path: self.target.join(name),
                error,
            })
    }

    /// Writes a file inside.
    pub(crate) fn file(&self, name: &str, bytes: &[u8], access: Access) -> Result<(), Failure> {
        write(
            &self.building.path().join(name),
            bytes,
            access,
            Existing::Keep,
        )
    }

    /// Puts the directory in its place.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let failed = |error| Failure::Write {
            path: self.target.clone(),
            error,
        };
        if self.target.symlink_metadata().is_ok() {
            return Err(Failure::Exists(self.target));
        }
        set_directory_mode(self.building.path(), Access::Public).map_err(failed)?;
        fs::rename(self.building.path(), &self.target).map_err(failed)?;
        // What was built is in its place: there is nothing left to clean up.
        let _moved = self.building.keep();
        drop(self.unfinished);
        sync_directory(directory_of(&self.target)).map_err(failed)
    }
}

#[cfg(unix)]
fn set_directory_mode(path: &Path, access: Access) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = match access {
        Access::Public => 0o755,
        Access::Private => 0o700,
    };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_directory_mode(_: &Path, _: Access) -> io::Result<()> {
    Ok(())
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// So that the new name itself survives a power cut.
#[cfg(unix)]
fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Whether others than the owner may read a file.
#[cfg(unix)]
pub(crate) fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
pub(crate) fn is_open_to_others(_: &Path) -> bool {
    false
}

/// What is being made right now, to be removed when the user interrupts.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Unfinished(PathBuf);

impl Unfinished {
    fn new(path: &Path) -> Self {
        UNFINISHED
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(path.into());
        Self(path.into())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        UNFINISHED
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|path| *path != self.0);
    }
}

/// Removes what was begun and not finished. The lock is kept, so that nothing new begins.
pub(crate) fn remove_unfinished() {
    let unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    for path in unfinished.iter() {
        let _ = if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        };
    }
    std::mem::forget(unfinished);
}
