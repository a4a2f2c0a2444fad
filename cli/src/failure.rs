//! Why a command could not answer, and which verdict that is.

use std::io;
use std::path::PathBuf;

use quorate_prover::StoreError;
use quorate_verifier::encoding::DecodeError;

use crate::output::{Report, Verdict};

/// What a file is to the command that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The command's verdict is about this file: one that breaks a rule is invalid.
    Judged,
    /// The command relies on it: one that breaks a rule is bad input.
    Given,
}

/// Everything that ends a command early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The arguments do not make sense together, or a value is not what it should be.
    #[error("{0}")]
    Usage(String),
    /// An input could not be read.
    #[error("{name}: {error}")]
    Read { name: String, error: io::Error },
    /// An input is longer than any good one.
    #[error("{name}: longer than {limit} bytes, which no such file is")]
    TooLong { name: String, limit: usize },
    /// An input is not what it should be.
    #[error("{name}: {error}")]
    Decode {
        name: String,
        error: DecodeError,
        role: Role,
    },
    /// A key file that is none, or cannot be opened.
    #[error("{name}: {rule}")]
    Key { name: String, rule: String },
    /// Of a kind or version that this program does not know.
    #[error("{0}")]
    Unknown(String),
    /// Sound, but not what is demanded.
    #[error("{0}")]
    Refused(String),
    /// What was judged does not hold.
    #[error("{0}")]
    Invalid(String),
    /// Something is there already and stays.
    #[error("{} exists and is left as it is", .0.display())]
    Exists(PathBuf),
    /// An output could not be written.
    #[error("{}: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
    /// The user has stopped it.
    #[error("interrupted")]
    Interrupted,
    /// Another command is at work on it.
    #[error("{}: another command is using it; try again", .0.display())]
    Busy(PathBuf),
    /// A key could not be had from the store, or put there.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The machine has not what the work takes.
    #[error("{0}")]
    Machine(String),
    /// The operating system gave no random bytes.
    #[error("no randomness from the operating system: {0}")]
    Randomness(getrandom::Error),
}

impl Failure {
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Decode { error, .. } if error.is_unsupported() => Verdict::CannotEvaluate,
            Self::Decode {
                error: DecodeError::Rule { .. },
                role: Role::Judged,
                ..
            }
            | Self::Invalid(_) => Verdict::Invalid,
            Self::Unknown(_) => Verdict::CannotEvaluate,
            Self::Refused(_) => Verdict::PolicyFailed,
            Self::Read { error, .. } | Self::Write { error, .. } if !is_callers_fault(error) => {
                Verdict::Unavailable
            }
            Self::Store(error) => store_verdict(error),
            Self::Interrupted => Verdict::Interrupted,
            Self::Randomness(_) | Self::Busy(_) | Self::Machine(_) => Verdict::Unavailable,
            _ => Verdict::Usage,
        }
    }
}

fn store_verdict(error: &StoreError) -> Verdict {
    match error {
        StoreError::Missing { .. }
        | StoreError::Damaged { .. }
        | StoreError::Unsupported { .. } => Verdict::CannotEvaluate,
        StoreError::Read { error, .. } | StoreError::Write { error, .. }
            if is_callers_fault(error) =>
        {
            Verdict::Usage
        }
        StoreError::Read { .. } | StoreError::Write { .. } | StoreError::NoSpace { .. } => {
            Verdict::Unavailable
        }
        StoreError::Exists(_) => Verdict::Usage,
        StoreError::Cancelled => Verdict::Interrupted,
    }
}

/// A path that is wrong is the caller's; a disk that fails is not.
fn is_callers_fault(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::NotFound
            | K::PermissionDenied
            | K::AlreadyExists
            | K::InvalidInput
            | K::InvalidData
            | K::InvalidFilename
            | K::NotADirectory
            | K::IsADirectory
            | K::ReadOnlyFilesystem
            | K::UnexpectedEof
    )
}

impl From<Failure> for Report {
    fn from(failure: Failure) -> Self {
        Self::new(failure.verdict(), failure.to_string())
    }
}
