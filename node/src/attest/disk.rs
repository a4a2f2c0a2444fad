//! Files that are whole or absent, whenever the power goes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// As the umask says.
    Public,
    /// The owner alone: 0600.
    Private,
}

/// Writes a file beside its place, syncs it, and renames it into place; then syncs the directory,
/// so that the name survives too. Missing directories are made.
///
/// # Errors
/// What the system says.
pub fn write(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let dir = directory_of(path);
    make_directories(dir)?;
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let beside = dir.join(format!(".new-{}-{number}", std::process::id()));
    let written = write_new(&beside, bytes, access).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    sync_directory(dir)
}

fn write_new(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    if access == Access::Private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let _ = access;
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a directory and those above it, each synced into its parent.
///
/// # Errors
/// What the system says.
pub fn make_directories(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = directory_of(dir);
    make_directories(parent)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    sync_directory(parent)
}

/// The file's bytes; `None` when there is no such file.
///
/// # Errors
/// What the system says, and `InvalidData` for a file above `limit` bytes.
pub fn read(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    use io::Read;
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        let what = format!("{}: longer than {limit} bytes", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(Some(bytes))
}

/// Text, as [`read`].
///
/// # Errors
/// As [`read`], and `InvalidData` when it is not UTF-8.
pub fn read_text(path: &Path, limit: usize) -> io::Result<Option<String>> {
    let Some(bytes) = read(path, limit)? else {
        return Ok(None);
    };
    let text = String::from_utf8(bytes).map_err(|_| {
        let what = format!("{}: not UTF-8", path.display());
        io::Error::new(io::ErrorKind::InvalidData, what)
    })?;
    Ok(Some(text))
}

/// Takes a directory for this process: held until the file is dropped or the process ends.
///
/// # Errors
/// `WouldBlock` when another process holds it; else what the system says.
pub fn lock(dir: &Path) -> io::Result<File> {
    make_directories(dir)?;
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(dir.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            let what = format!("{} is in use by another process", dir.display());
            Err(io::Error::new(io::ErrorKind::WouldBlock, what))
        }
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Syncs the directory of a file, so that its name survives.
///
/// # Errors
/// What the system says.
pub fn sync_directory_of(path: &Path) -> io::Result<()> {
    sync_directory(directory_of(path))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync_directory(dir: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(dir)?.sync_all()
    } else {
        Ok(())
    }
}
