//! What a client is given: files and directories of attestations and updates.

use std::path::Path;

use quorate_verifier::attestation::Attestation;
use quorate_verifier::encoding::Kind;
use quorate_verifier::file::FileType;
use quorate_verifier::light_client::Update;
use quorate_verifier::primitives::Height;

use super::super::inspect;
use crate::failure::{Failure, Role};
use crate::files::Source;

/// Most files that a directory may have: a limit on what is read at once.
const FILES_MAX: usize = 100_000;

/// An update with the name of its file.
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) update: Update,
    pub(super) from_directory: bool,
}

impl Candidate {
    pub(super) const fn height(&self) -> Height {
        self.update.attestation.header.height
    }
}

/// Updates by rising height.
pub(super) struct Candidates {
    pub(super) list: Vec<Candidate>,
    /// Files in directories that are something else.
    pub(super) ignored: usize,
}

impl Candidates {
    /// Reads all, before anything is tried. A damaged file ends it; in a directory, a good file of
    /// another kind is passed over.
    pub(super) fn read(sources: &[Source]) -> Result<Self, Failure> {
        let (mut list, mut ignored) = (Vec::new(), 0);
        for source in sources {
            match source {
                Source::File(path) if path.is_dir() => {
                    for file in files_of(path)? {
                        match read(&Source::File(file), true) {
                            Ok(Some(candidate)) => list.push(candidate),
                            Ok(None) => ignored += 1,
                            Err(failure) => return Err(failure),
                        }
                    }
                }
                source => match read(source, false)? {
                    Some(candidate) => list.push(candidate),
                    None => {
                        return Err(Failure::usage(format!(
                            "{}: neither an attestation nor an update",
                            source.name()
                        )));
                    }
                },
            }
        }
        // An update has more to it than the attestation alone, so it is tried first.
        list.sort_by_key(|candidate| (candidate.height(), !has_more(&candidate.update)));
        Ok(Self { list, ignored })
    }
}

const fn has_more(update: &Update) -> bool {
    update.overlap.is_some() || update.parameters.is_some()
}

/// Plain files of a directory, by name, without those that start with a dot.
fn files_of(dir: &Path) -> Result<Vec<std::path::PathBuf>, Failure> {
    let failed = |error| Failure::Read {
        name: dir.display().to_string(),
        error,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.is_file() && !hidden {
            files.push(path);
        }
        if files.len() > FILES_MAX {
            return Err(Failure::usage(format!(
                "{}: more than {FILES_MAX} files",
                dir.display()
            )));
        }
    }
    files.sort();
    Ok(files)
}

/// `None` for a file of another kind.
fn read(source: &Source, from_directory: bool) -> Result<Option<Candidate>, Failure> {
    let bytes = match source.read(inspect::FILE_MAX_BYTES) {
        // No update is that long, so it is something else that lies there.
        Err(Failure::TooLong { .. }) if from_directory => return Ok(None),
        other => other?,
    };
    let kind = match inspect::kind_of(source, &bytes) {
        Ok(kind) => kind,
        Err(_) if from_directory && !bytes.starts_with(b"QUORATE") => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let refuse = |error| source.decode_failure(error, Role::Judged);
    let update = match kind {
        Kind::Attestation => Update::step(Attestation::from_file(&bytes).map_err(refuse)?),
        Kind::ClientUpdate => Update::from_file(&bytes).map_err(refuse)?,
        _ => return Ok(None),
    };
    Ok(Some(Candidate {
        name: source.name(),
        update,
        from_directory,
    }))
}
