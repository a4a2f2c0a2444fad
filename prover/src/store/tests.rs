//! Keys go to disk and come back; what was cut, changed or half made does not.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use quorate_verifier::primitives::Digest;

use super::layout::Head;
use super::{MANIFEST, PROVING_KEY, Store, StoreError, StoredKey, VERIFYING_KEY};
use crate::key::ProvingKey;
use crate::tests::toy;

fn go(_: f64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A store with the toy's key in it.
struct Case {
    dir: tempfile::TempDir,
    store: Store,
    key: ProvingKey,
    digest: Digest,
}

impl Case {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::at(dir.path().join("not yet/keys"));
        let key = toy::key(1, None);
        let stored = store.begin().expect("a draft").finish(&key, go);
        let digest = *stored.expect("a key").digest();
        Self {
            dir,
            store,
            key,
            digest,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.store.dir().join(self.digest.to_string()).join(name)
    }

    fn open(&self) -> Result<StoredKey, StoreError> {
        self.store.open(&self.digest)
    }

    /// What is said of the key when this file of it is replaced.
    fn with(&self, name: &str, bytes: &[u8]) -> StoreError {
        let path = self.path(name);
        let good = fs::read(&path).expect("a file");
        fs::write(&path, bytes).expect("a file");
        let outcome = self.open().and_then(|key| key.check(go));
        let loaded = self.open().and_then(|key| key.load());
        fs::write(&path, good).expect("a file");
        let error = outcome.expect_err("a bad key");
        let again = loaded.expect_err("a bad key is not loaded").to_string();
        assert_eq!(error.to_string(), again);
        error
    }
}

fn is_damaged(error: &StoreError, path: &Path, words: &str) {
    match error {
        StoreError::Damaged { path: found, what } => {
            assert_eq!(found, path, "{error}");
            assert!(what.contains(words), "{error} does not say {words:?}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_key_comes_back_as_it_was() {
    let case = Case::new();
    let stored = case.open().expect("a good key");
    assert_eq!(stored.verifying(), &case.key.verifying);
    stored.check(go).expect("whole");
    assert_eq!(stored.load().expect("whole"), case.key);
    assert_eq!(
        stored.bytes(),
        fs::metadata(case.path(PROVING_KEY)).unwrap().len()
    );
    let listed = case.store.entries().expect("a list");
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].digest, case.digest);
    assert!(listed[0].key.is_ok());
    // Its blocks are what they are said to be in docs/keys.md.
    let twice = case.store.begin().expect("a draft").finish(&case.key, go);
    assert!(matches!(twice, Err(StoreError::Exists(_))), "{twice:?}");
    assert!(case.store.unfinished().expect("a list").is_empty());
}

#[test]
fn every_byte_of_a_key_is_watched() {
    let case = Case::new();
    let good = fs::read(case.path(PROVING_KEY)).expect("a file");
    // Every byte of the head, and a sample of the rest.
    let head = case.open().expect("a good key").file().head().head_bytes();
    for at in (0..head).chain((head..good.len()).step_by(9973)) {
        let mut bent = good.clone();
        bent[at] ^= 1;
        let error = case.with(PROVING_KEY, &bent);
        let known = matches!(
            error,
            StoreError::Damaged { .. } | StoreError::Unsupported { .. }
        );
        assert!(known, "byte {at}: {error}");
    }
    for length in [
        0,
        1,
        8,
        9,
        Head::FIXED_BYTES - 1,
        Head::FIXED_BYTES,
        head,
        good.len() - 1,
    ] {
        let error = case.with(PROVING_KEY, &good[..length]);
        is_damaged(&error, &case.path(PROVING_KEY), "");
    }
    let error = case.with(PROVING_KEY, &[&good[..], &[0]].concat());
    is_damaged(&error, &case.path(PROVING_KEY), "the file has");
    let mut future = good.clone();
    future[8] = 2;
    let error = case.with(PROVING_KEY, &future);
    assert!(matches!(error, StoreError::Unsupported { .. }), "{error}");
}

#[test]
fn lengths_are_held_against_the_file_before_room_is_made() {
    let case = Case::new();
    let good = fs::read(case.path(PROVING_KEY)).expect("a file");
    let counts = Head::FIXED_BYTES - 9 * 8;
    for section in 0..9 {
        for length in [1 << 30, 1 << 40, u64::MAX, u64::MAX / 64, 0] {
            let mut bent = good.clone();
            let at = counts + 8 * section;
            bent[at..at + 8].copy_from_slice(&u64::to_le_bytes(length));
            let error = case.with(PROVING_KEY, &bent);
            is_damaged(&error, &case.path(PROVING_KEY), "sections take");
        }
    }
    // Columns and domain, too, when the sections' sum is right.
    let columns = counts - 2 * 64 - 9;
    let mut bent = good.clone();
    bent[columns..columns + 8].copy_from_slice(&u64::to_le_bytes(1 << 40));
    is_damaged(
        &case.with(PROVING_KEY, &bent),
        &case.path(PROVING_KEY),
        "fits no circuit",
    );
    for domain in [0, 27, 28, 29, 63, 255] {
        let mut bent = good.clone();
        bent[columns + 8] = domain;
        let error = case.with(PROVING_KEY, &bent);
        is_damaged(&error, &case.path(PROVING_KEY), "");
    }
}

#[test]
fn the_parts_of_two_keys_do_not_mix() {
    let case = Case::new();
    let other = toy::key(2, None);
    let draft = case.store.begin().expect("a draft");
    let other = draft.finish(&other, go).expect("a key");
    for name in [PROVING_KEY, VERIFYING_KEY, MANIFEST] {
        let theirs = fs::read(other.dir().join(name)).expect("a file");
        is_damaged(&case.with(name, &theirs), &case.path(name), "");
    }
    assert!(case.open().is_ok());
}

#[test]
fn a_missing_or_huge_small_file_is_damage() {
    let case = Case::new();
    for name in [VERIFYING_KEY, MANIFEST] {
        let error = case.with(name, &vec![b' '; 1 << 20]);
        is_damaged(&error, &case.path(name), "longer than");
        let error = case.with(name, b"");
        is_damaged(&error, &case.path(name), "");
        let path = case.path(name);
        let good = fs::read(&path).expect("a file");
        fs::remove_file(&path).expect("a file");
        is_damaged(&case.open().expect_err("bad"), &path, "missing");
        fs::write(&path, good).expect("a file");
    }
    let manifest = fs::read_to_string(case.path(MANIFEST)).expect("a file");
    let future = manifest.replace("proving-key/v1", "proving-key/v2");
    let error = case.with(MANIFEST, future.as_bytes());
    assert!(matches!(error, StoreError::Unsupported { .. }), "{error}");
}

#[test]
fn what_is_half_made_is_neither_listed_nor_loaded_and_can_be_removed() {
    let case = Case::new();
    let other = toy::key(2, None);
    // Stopped at each step of the writing.
    let mut steps = 0;
    loop {
        let mut left = steps;
        let outcome = case.store.begin().expect("a draft").finish(&other, |_| {
            left -= 1;
            if left < 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        match outcome {
            Err(StoreError::Cancelled) => steps += 1,
            Err(other) => panic!("{other}"),
            Ok(_) => break,
        }
        assert_eq!(case.store.entries().expect("a list").len(), 1);
        assert_eq!(fs::read_dir(case.store.dir()).expect("a list").count(), 1);
    }
    assert!(steps >= 9, "{steps}");
    assert_eq!(case.store.entries().expect("a list").len(), 2);

    // Under way: locked, so it is nobody else's to remove.
    let draft = case.store.begin().expect("a draft");
    assert!(case.store.unfinished().expect("a list").is_empty());
    assert_eq!(case.store.remove_unfinished().expect("none"), 0);
    assert!(draft.path().is_dir());
    drop(draft);
    // Left by a process that was killed: its lock is gone with it.
    let left = case.store.dir().join(".unfinished-left");
    fs::create_dir_all(left.join("key")).expect("a directory");
    fs::copy(case.path(MANIFEST), left.join("key").join(MANIFEST)).expect("a file");
    assert_eq!(case.store.entries().expect("a list").len(), 2);
    let found = case.store.unfinished().expect("a list");
    assert_eq!(found.as_slice(), std::slice::from_ref(&left));
    assert_eq!(case.store.remove_unfinished().expect("one"), 1);
    assert!(!left.exists());
}

#[test]
fn a_key_is_removed_whole_and_whoever_reads_it_reads_on() {
    let case = Case::new();
    let open = case.open().expect("a good key");
    case.store.remove(&case.digest).expect("there");
    assert_eq!(fs::read_dir(case.store.dir()).expect("a list").count(), 0);
    assert_eq!(open.load().expect("still open"), case.key);
    let missing = |outcome| matches!(outcome, Err(StoreError::Missing { .. }));
    assert!(missing(case.open().map(|_| ())));
    assert!(missing(case.store.remove(&case.digest)));
    let nowhere = Store::at(case.dir.path().join("nowhere"));
    assert!(nowhere.entries().expect("empty").is_empty());
}

#[test]
fn room_on_disk_is_asked_for_first() {
    let case = Case::new();
    let error = case.store.check_space(u64::MAX).expect_err("no such disk");
    assert!(
        matches!(
            error,
            StoreError::NoSpace {
                needed: u64::MAX,
                ..
            }
        ),
        "{error}"
    );
    case.store.check_space(1).expect("a byte is free");
}
