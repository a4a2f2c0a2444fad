//! The state's file: whole or not at all, for its owner alone, one command at a time.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use quorate_verifier::file::FileType;
use quorate_verifier::header::Header;
use quorate_verifier::light_client::{ClientState, Fork};

use crate::failure::{Failure, Role};
use crate::files::{self, Access, Existing, Source};

pub(super) struct Store {
    path: PathBuf,
}

impl Store {
    pub(super) fn new(path: &Path) -> Result<Self, Failure> {
        if path.as_os_str() == "-" {
            return Err(Failure::usage("--state: a state is a file, not stdin"));
        }
        Ok(Self { path: path.into() })
    }

    pub(super) fn load(&self) -> Result<ClientState, Failure> {
        Source::File(self.path.clone()).document(Role::Given)
    }

    /// Writes a state where none is.
    pub(super) fn create(&self, state: &ClientState) -> Result<(), Failure> {
        self.write(state, Existing::Keep)
    }

    /// Writes a state over the one that was loaded.
    pub(super) fn replace(&self, state: &ClientState) -> Result<(), Failure> {
        self.write(state, Existing::Replace)
    }

    fn write(&self, state: &ClientState, existing: Existing) -> Result<(), Failure> {
        let json = state.to_json() + "\n";
        files::write(&self.path, json.as_bytes(), Access::Private, existing)
    }

    /// Keeps others out from reading a state until it is replaced: without it the slower of two
    /// commands could undo what the faster one found, a fork even. The lock is the directory's, so
    /// that no file is left behind, and ends with the process.
    pub(super) fn lock(&self) -> Result<File, Failure> {
        let dir = files::directory_of(&self.path);
        let failed = |error| Failure::Read {
            name: dir.display().to_string(),
            error,
        };
        let handle = File::open(dir).map_err(failed)?;
        match handle.try_lock() {
            Ok(()) => Ok(handle),
            Err(TryLockError::WouldBlock) => Err(Failure::Busy(self.path.clone())),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Writes evidence of a fork, unless it is there already.
    pub(super) fn keep_evidence(
        &self,
        fork: &Fork,
        path: Option<&Path>,
    ) -> Result<PathBuf, Failure> {
        let path = path.map_or_else(|| self.evidence_path(fork), Into::into);
        let json = fork.to_json() + "\n";
        match files::write(&path, json.as_bytes(), Access::Public, Existing::Keep) {
            Err(Failure::Exists(_)) if is_same(&path, fork) => Ok(path),
            Ok(()) => Ok(path),
            Err(failure) => Err(failure),
        }
    }

    /// `STATE.fork-HEIGHT-BLOCK.json`, the block by eight digits.
    fn evidence_path(&self, fork: &Fork) -> PathBuf {
        let block = fork.conflicting().header.digest().to_string();
        let mut name = self.path.clone().into_os_string();
        name.push(format!(
            ".fork-{}-{}.json",
            fork.height().get(),
            &block[..8]
        ));
        name.into()
    }
}

/// Whether a file has evidence against the same two headers; proofs differ each time.
fn is_same(path: &Path, fork: &Fork) -> bool {
    let there: Result<Fork, _> = Source::File(path.into()).document(Role::Given);
    let headers =
        |fork: &Fork| [fork.trusted().header(), &fork.conflicting().header].map(Header::digest);
    there.is_ok_and(|there| headers(&there) == headers(fork))
}
