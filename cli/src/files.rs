//! Files: bounded reading, whole writing.
//!
//! A file is written beside its place, synced, and renamed into it, and its directory synced; a
//! directory is made whole beside its place and renamed. So an interrupted command leaves nothing
//! half made, and nothing that exists is touched unless it is asked for.

use std::cell::RefCell;
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
use crate::output::{self, Report};

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

impl Access {
    /// Permission bits, from which the system takes those of the umask.
    #[cfg(unix)]
    const fn mode(self) -> u32 {
        match self {
            Self::Public => 0o666,
            Self::Private => 0o600,
        }
    }

    /// The same for a directory, which is entered where a file is read.
    #[cfg(unix)]
    const fn directory_mode(self) -> u32 {
        self.mode() | self.mode() >> 2 & 0o111
    }
}

/// What happens to a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It stays, and the command fails.
    Keep,
    /// It is replaced, at once and whole.
    Replace,
}

/// An output: a path, or `-` for stdout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    Stdout,
    File(PathBuf),
}

impl From<OsString> for Sink {
    fn from(text: OsString) -> Self {
        if text == "-" {
            Self::Stdout
        } else {
            Self::File(text.into())
        }
    }
}

impl Sink {
    /// Before any work is done: whether the output can be given where it is wanted.
    pub(crate) fn check(&self, existing: Existing) -> Result<(), Failure> {
        match self {
            Self::Stdout if output::is_json() => Err(Failure::usage(
                "stdout takes the answer in JSON or the file, not both: name a file",
            )),
            Self::File(path) if existing == Existing::Keep && path.symlink_metadata().is_ok() => {
                Err(Failure::Exists(path.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Writes a file whole or not at all; on stdout the bytes stand for the answer.
    pub(crate) fn write(
        &self,
        bytes: Vec<u8>,
        access: Access,
        existing: Existing,
        report: &mut Report,
    ) -> Result<(), Failure> {
        match self {
            Self::Stdout => report.bytes(bytes),
            Self::File(path) => {
                write(path, &bytes, access, existing)?;
                report.fact("file", path.display().to_string());
            }
        }
        Ok(())
    }
}

/// Writes a file whole or not at all.
pub(crate) fn write(
    path: &Path,
    bytes: &[u8],
    access: Access,
    existing: Existing,
) -> Result<(), Failure> {
    write_with(path, access, existing, |mut out| out.write_all(bytes))
}

/// Writes a file whole or not at all, from what `fill` writes: for what is too long to be held.
pub(crate) fn write_with(
    path: &Path,
    access: Access,
    existing: Existing,
    fill: impl FnOnce(&File) -> io::Result<()>,
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
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(access.mode()));
    let file = builder.tempfile_in(dir).map_err(failed)?;
    let _unfinished = Unfinished::new(file.path());
    fill(file.as_file()).map_err(failed)?;
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
    /// For the owner alone; holds the new directory while it is built.
    building: tempfile::TempDir,
    /// Every directory inside, to be synced once when all its files are there.
    directories: RefCell<Vec<PathBuf>>,
    _unfinished: Unfinished,
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
        let new = Self {
            target: target.into(),
            building,
            directories: RefCell::default(),
            _unfinished: unfinished,
        };
        new.directory("", Access::Public)?;
        Ok(new)
    }

    fn place(&self, name: &str) -> PathBuf {
        let root = self.building.path().join("new");
        if name.is_empty() {
            root
        } else {
            root.join(name)
        }
    }

    fn failed(&self, name: &str) -> impl Fn(io::Error) -> Failure {
        let path = match name {
            "" => self.target.clone(),
            name => self.target.join(name),
        };
        move |error| Failure::Write {
            path: path.clone(),
            error,
        }
    }

    /// Makes a directory inside.
    pub(crate) fn directory(&self, name: &str, access: Access) -> Result<(), Failure> {
        let path = self.place(name);
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, access.directory_mode());
        builder.create(&path).map_err(self.failed(name))?;
        self.directories.borrow_mut().push(path);
        Ok(())
    }

    /// Writes a file inside.
    pub(crate) fn file(&self, name: &str, bytes: &[u8], access: Access) -> Result<(), Failure> {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, access.mode());
        let write = |mut file: File| file.write_all(bytes).and_then(|()| file.sync_all());
        options
            .open(self.place(name))
            .and_then(write)
            .map_err(self.failed(name))
    }

    /// Puts the directory in its place.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let failed = self.failed("");
        for path in self.directories.borrow().iter() {
            sync_directory(path).map_err(&failed)?;
        }
        if self.target.symlink_metadata().is_ok() {
            return Err(Failure::Exists(self.target.clone()));
        }
        fs::rename(self.place(""), &self.target).map_err(&failed)?;
        sync_directory(directory_of(&self.target)).map_err(&failed)
    }
}

pub(crate) fn directory_of(path: &Path) -> &Path {
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

/// Removed when the user interrupts, while this value lives.
#[derive(Debug)]
pub(crate) struct Unfinished(PathBuf);

impl Unfinished {
    pub(crate) fn new(path: &Path) -> Self {
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
