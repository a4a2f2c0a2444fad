//! What commands share that read keys or compute for long: where the keys are, how many threads,
//! how much memory.

use std::path::PathBuf;

use quorate_prover::{Store, StoredKey, machine};
use quorate_verifier::primitives::Digest;

use crate::args::{StoreArgs, WorkArgs};
use crate::failure::Failure;
use crate::files::Existing;
use crate::progress::spoken_bytes;

/// The store that the arguments name, or the user's own.
pub(super) fn store(args: &StoreArgs) -> Result<Store, Failure> {
    if let Some(dir) = &args.keys {
        return Ok(Store::at(dir));
    }
    let absolute = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
    let data = data.ok_or_else(|| {
        Failure::usage("there is no home directory: say with --keys where the keys are")
    })?;
    Ok(Store::at(data.join("quorate/keys")))
}

/// The one key whose digest begins so.
pub(super) fn find(store: &Store, digits: &str) -> Result<Digest, Failure> {
    let is_hex = |c: char| c.is_ascii_digit() || matches!(c, 'a'..='f');
    if !(8..=64).contains(&digits.len()) || !digits.chars().all(is_hex) {
        return Err(Failure::usage(format!(
            "{digits:?} is not the digest of a key: 64 digits of lower-case hex, or the first \
             eight or more"
        )));
    }
    let entries = store.entries()?;
    let mut found = entries
        .iter()
        .map(|entry| entry.digest)
        .filter(|digest| digest.to_string().starts_with(digits));
    match (found.next(), found.next()) {
        (Some(digest), None) => Ok(digest),
        (None, _) => Err(Failure::Unknown(format!(
            "there is no key {digits} in {}; quorate keys list shows what there is",
            store.dir().display()
        ))),
        (Some(_), Some(_)) => Err(Failure::usage(format!("several keys begin with {digits}"))),
    }
}

/// The only key in the store.
pub(super) fn only(store: &Store) -> Result<StoredKey, Failure> {
    let mut entries = store.entries()?.into_iter();
    match (entries.next(), entries.next()) {
        (Some(entry), None) => Ok(entry.key?),
        (None, _) => Err(Failure::Unknown(format!(
            "there is no key in {}; quorate setup makes one",
            store.dir().display()
        ))),
        (Some(_), Some(_)) => Err(Failure::usage(
            "there are several keys: say which; quorate keys list shows them",
        )),
    }
}

/// The key whose digest begins so, opened.
pub(super) fn open(store: &Store, digits: &str) -> Result<StoredKey, Failure> {
    Ok(store.open(&find(store, digits)?)?)
}

/// Sets the number of threads; once, before anything is computed.
pub(super) fn set_threads(args: &WorkArgs) -> Result<(), Failure> {
    let Some(threads) = args.threads else {
        return Ok(());
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into());
    pool.build_global()
        .map_err(|error| Failure::Machine(format!("{threads} threads: {error}")))
}

/// Refuses work that may need more memory than it is allowed, or than there is.
pub(super) fn check_memory(args: &WorkArgs, what: &str, peak: u64) -> Result<(), Failure> {
    let needed = spoken_bytes(peak);
    if let Some(limit) = args.max_memory.filter(|limit| peak > *limit) {
        return Err(Failure::Refused(format!(
            "{what} takes about {needed} of memory, --max-memory allows {}",
            spoken_bytes(limit)
        )));
    }
    match machine::available_memory() {
        Some(free) if peak > free => Err(Failure::Machine(format!(
            "{what} takes about {needed} of memory, {} are available",
            spoken_bytes(free)
        ))),
        _ => Ok(()),
    }
}

/// What `--force` means.
pub(super) const fn existing(force: bool) -> Existing {
    if force {
        Existing::Replace
    } else {
        Existing::Keep
    }
}
