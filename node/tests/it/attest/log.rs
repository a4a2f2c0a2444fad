//! Logs on disk: written, interrupted, watched, and rewritten by their own operator.

use std::fs;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use quorate_node::attest::log::{
    CosignError, CosignKey, Cosigner, DirReader, Log, LogOpenError, LogReader, LogSigner,
    LogStoreError, Monitor, MonitorError,
};
use quorate_verifier::encoding::Canonical;
use quorate_verifier::primitives::{ChainId, Digest, Height};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::SetCommitment;
use quorate_verifier::tlog::{
    Checkpoint, FinalityEntry, LogError, LogProof, NoteKey, check_consistency, finality_origin,
};
use quorate_verifier::trust::Cosigners;
use tempfile::TempDir;

fn chain() -> ChainId {
    ChainId::from_genesis("log", &Digest::from_bytes([3; 32])).unwrap()
}

fn secret(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn signer(seed: u8) -> LogSigner {
    LogSigner::new(&finality_origin(&chain()), secret(seed)).unwrap()
}

fn entry(height: u64, salt: u8) -> Vec<u8> {
    let entry = FinalityEntry {
        chain_id: chain(),
        height: Height::new(height),
        header: Digest::from_bytes([salt; 32]),
        validators: SetCommitment::from_bytes([1; 32]).unwrap(),
        rule: QuorumRule::COMMIT,
    };
    entry.to_bytes()
}

/// Entries of heights from + 1 to to.
fn entries(from: u64, to: u64, salt: u8) -> Vec<Vec<u8>> {
    (from + 1..=to).map(|height| entry(height, salt)).collect()
}

struct Place {
    _temp: TempDir,
    root: PathBuf,
}

impl Place {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().to_path_buf();
        Self { _temp: temp, root }
    }

    fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    fn memory(&self) -> PathBuf {
        self.root.join("memory/finality")
    }

    fn open(&self) -> Result<Log, LogOpenError> {
        Log::open(&self.log(), &self.memory(), signer(1))
    }

    fn reader(&self) -> DirReader {
        DirReader::new(self.log())
    }

    fn monitor(&self) -> Monitor {
        Monitor::open(&self.root.join("monitor"), signer(1).public().clone()).unwrap()
    }

    fn cosigner(&self) -> Cosigner {
        let key = CosignKey::new("cosigner.example", secret(2)).unwrap();
        Cosigner::open(&self.root.join("cosigner"), signer(1).public().clone(), key).unwrap()
    }
}

fn every_file(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            every_file(&path, into);
        } else {
            into.push(path);
        }
    }
}

#[test]
fn grows_over_tiles_and_restarts_with_every_proof() {
    let place = Place::new();
    let mut seen: Vec<Checkpoint> = Vec::new();
    let mut size = 0;
    for step in [1, 1, 3, 250, 1, 1, 256, 300, 7] {
        let mut log = place.open().unwrap();
        assert_eq!(log.size(), size);
        log.extend(&entries(size, size + step, 7)).unwrap();
        size += step;
        let view = log.view();
        let checkpoint: Checkpoint = (*view.checkpoint()).clone();
        assert_eq!(checkpoint.head().size, size);
        checkpoint.verify(log.key()).unwrap();
        for old in &seen {
            let old = old.head();
            let proof = view.prove_consistency(old.size, size).unwrap().unwrap();
            let new = checkpoint.head();
            check_consistency((old.size, &old.root), (new.size, &new.root), &proof).unwrap();
        }
        for index in (0..size).step_by(29).chain([size - 1]) {
            let proof = view.prove(index).unwrap().unwrap();
            let proof: LogProof = proof.to_string().parse().unwrap();
            let entry = view.entry(index).unwrap().unwrap();
            assert_eq!(entry, self::entry(index + 1, 7));
            proof.verify(&entry, log.key(), &Cosigners::NONE).unwrap();
        }
        assert_eq!(view.entry(size).unwrap(), None);
        assert_eq!(view.prove(size).unwrap(), None);
        seen.push(checkpoint);
    }
    // One partial file for each tile that has one, and no other leftovers.
    let mut files = Vec::new();
    every_file(&place.log(), &mut files);
    let names: Vec<_> = files
        .iter()
        .map(|path| {
            path.strip_prefix(place.log())
                .unwrap()
                .display()
                .to_string()
        })
        .collect();
    assert_eq!(
        names.iter().filter(|n| n.contains(".p/")).count(),
        3,
        "{names:?}"
    );
    // Old partial tiles are still answered, cut from wider ones.
    for old in &seen {
        let size = old.head().size;
        let tree = quorate_node::attest::log::Tree::new(&place.reader(), size).root();
        assert_eq!(tree.unwrap(), old.head().root);
    }
}

#[test]
fn one_writer_at_a_time() {
    let place = Place::new();
    let _log = place.open().unwrap();
    let error = place.open().unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
}

/// Cuts a batch short after each of its writes, and goes on from there.
#[test]
fn an_interrupted_batch_is_whole_or_absent() {
    let place = Place::new();
    let before = entries(0, 254, 7);
    place.open().unwrap().extend(&before).unwrap();
    let old: Vec<_> = files_of(&place.root);
    let old_head = place.reader().checkpoint().unwrap();
    // The same batch in a copy, to learn what it writes.
    place.open().unwrap().extend(&entries(254, 515, 7)).unwrap();
    let new = files_of(&place.root);
    let memory = place.memory();
    let checkpoint = place.log().join("checkpoint");
    let is_head = |path: &PathBuf| *path == memory || *path == checkpoint;
    let mut written: Vec<_> = new
        .iter()
        .filter(|file| !old.contains(file) && !is_head(&file.0))
        .cloned()
        .collect();
    written.sort();
    assert!(written.len() >= 6, "{written:?}");
    for remembered in [false, true] {
        for cut in 0..=written.len() {
            restore(&place.root, &old);
            let whole = remembered && cut == written.len();
            if remembered && !whole {
                continue; // the memory is written after all tiles
            }
            for (path, bytes) in &written[..cut] {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
            if remembered {
                let signed = new.iter().find(|file| file.0 == memory).unwrap();
                fs::write(&memory, &signed.1).unwrap();
            }
            let mut log = place.open().unwrap();
            assert_eq!(log.size(), if whole { 515 } else { 254 });
            // Other entries than those that were cut off: what was never signed binds nobody.
            let size = log.size();
            log.extend(&entries(size, 600, 9)).unwrap();
            let view = log.view();
            for index in [0, 253, 254, 255, 256, 511, 514, 515, 599] {
                let salt = if index < size { 7 } else { 9 };
                let proof = view.prove(index).unwrap().unwrap();
                proof
                    .verify(&entry(index + 1, salt), log.key(), &Cosigners::NONE)
                    .unwrap_or_else(|e| panic!("cut {cut}, entry {index}: {e}"));
            }
            let proof = view.prove_consistency(254, 600).unwrap().unwrap();
            let (old, new) = (old_head.head(), view.checkpoint());
            let new = new.head();
            check_consistency((old.size, &old.root), (new.size, &new.root), &proof).unwrap();
        }
    }
}

fn files_of(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths = Vec::new();
    every_file(root, &mut paths);
    let mut files: Vec<_> = paths
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

fn restore(root: &Path, files: &[(PathBuf, Vec<u8>)]) {
    for entry in fs::read_dir(root).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    for (path, bytes) in files {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn a_log_restored_from_a_backup_is_not_opened() {
    let place = Place::new();
    place.open().unwrap().extend(&entries(0, 10, 7)).unwrap();
    let backup = files_of(&place.log());
    place.open().unwrap().extend(&entries(10, 20, 7)).unwrap();
    let whole = files_of(&place.root);
    fs::remove_dir_all(place.log()).unwrap();
    for (path, bytes) in &backup {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let error = place.open().unwrap_err();
    assert!(
        matches!(&error, LogOpenError::Contradicts { size: 20, .. }),
        "{error}"
    );
    // The other way round: files without the memory of them.
    restore(&place.root, &whole);
    fs::remove_file(place.memory()).unwrap();
    let error = place.open().unwrap_err();
    assert!(matches!(error, LogOpenError::Forgotten { size: 20, .. }));
    // And nothing at all where something was signed.
    restore(&place.root, &whole);
    fs::remove_dir_all(place.log()).unwrap();
    let error = place.open().unwrap_err();
    assert!(matches!(error, LogOpenError::Contradicts { size: 20, .. }));
    restore(&place.root, &whole);
    assert_eq!(place.open().unwrap().size(), 20);
}

#[test]
fn a_damaged_tile_or_entry_is_noticed() {
    let place = Place::new();
    place.open().unwrap().extend(&entries(0, 300, 7)).unwrap();
    let whole = files_of(&place.root);
    for (path, bytes) in &whole {
        let name = path.strip_prefix(place.log());
        let Ok(name) = name else { continue };
        let name = name.display().to_string();
        // The last tile of each level, and the last bundle: what the writer goes on from.
        if !name.contains(".p/") {
            continue;
        }
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut bent = bytes.clone();
            bent[at] ^= 1;
            fs::write(path, bent).unwrap();
            assert!(place.open().is_err(), "{name} byte {at}");
        }
        fs::write(path, bytes).unwrap();
    }
    place.open().unwrap();
    // An entry within: the monitor reads them all.
    let bundle = place.log().join("tile/entries/000");
    let mut bent = fs::read(&bundle).unwrap();
    bent[100] ^= 1;
    fs::write(&bundle, bent).unwrap();
    let error = place.monitor().look(&place.reader()).unwrap_err();
    assert!(
        matches!(
            error,
            MonitorError::NotWhatWasSigned { size: 300 } | MonitorError::BadEntry { .. }
        ),
        "{error}"
    );
}

/// The operator has the key and all files of the service, rewrites them consistently, and starts
/// the service again: it runs. Monitor and cosigner, with memories of their own, do not go along.
#[test]
fn a_rewritten_history_is_caught_by_monitor_and_cosigner() {
    for (height, later) in [(3, 20), (20, 20), (1, 500)] {
        let place = Place::new();
        place.open().unwrap().extend(&entries(0, 20, 7)).unwrap();
        let seen = place.monitor().look(&place.reader()).unwrap();
        assert_eq!(
            (seen.before, seen.size, seen.heights),
            (0, 20, Some((1, 20)))
        );
        let cosigned = place.cosigner().follow(&place.reader(), 1000).unwrap();
        assert_eq!(cosigned.head().size, 20);

        let mut forged = entries(0, later, 7);
        forged[height - 1] = entry(height as u64, 66);
        fs::remove_dir_all(place.log()).unwrap();
        fs::remove_file(place.memory()).unwrap();
        let mut log = place.open().unwrap();
        log.extend(&forged).unwrap();
        drop(log);
        // For whoever sees it for the first time, all is well.
        assert_eq!(place.open().unwrap().size(), later);

        let error = place.monitor().look(&place.reader()).unwrap_err();
        let MonitorError::Rewritten { error, evidence } = error else {
            panic!("{error}");
        };
        let inconsistent = LogError::Inconsistent { earlier: 20, later };
        assert_eq!(error, inconsistent);
        let kept: Checkpoint = fs::read_to_string(evidence).unwrap().parse().unwrap();
        kept.verify(signer(1).public()).unwrap();
        let error = place.cosigner().follow(&place.reader(), 1001).unwrap_err();
        let CosignError::Rewritten { error, evidence } = error else {
            panic!("{error}");
        };
        assert_eq!(error, inconsistent);
        let kept: Checkpoint = fs::read_to_string(evidence).unwrap().parse().unwrap();
        kept.verify(signer(1).public()).unwrap();
        // And the service itself, as soon as it is shown what its cosigner remembers.
        let log = place.open().unwrap();
        let cosigner = place.cosigner();
        let known = cosigner.last().unwrap().head();
        let error = log.check_memory("the cosigner", known).unwrap_err();
        assert!(error.to_string().contains("the cosigner"), "{error}");
        log.check_memory("itself", log.view().checkpoint().head())
            .unwrap();
    }
}

#[test]
fn a_log_that_shrank_is_caught() {
    let place = Place::new();
    place.open().unwrap().extend(&entries(0, 20, 7)).unwrap();
    place.monitor().look(&place.reader()).unwrap();
    place.cosigner().follow(&place.reader(), 1000).unwrap();
    fs::remove_dir_all(place.log()).unwrap();
    fs::remove_file(place.memory()).unwrap();
    place.open().unwrap().extend(&entries(0, 19, 7)).unwrap();
    let shrunk = LogError::Shrunk {
        earlier: 20,
        later: 19,
    };
    match place.monitor().look(&place.reader()) {
        Err(MonitorError::Rewritten { error, .. }) => assert_eq!(error, shrunk),
        other => panic!("{other:?}"),
    }
    match place.cosigner().follow(&place.reader(), 1001) {
        Err(CosignError::Rewritten { error, .. }) => assert_eq!(error, shrunk),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_honest_log_is_followed_step_by_step() {
    let place = Place::new();
    let policy = Cosigners::new(1, vec![*place.cosigner().public().key()]).unwrap();
    let mut size = 0;
    for step in [0, 1, 2, 255, 300] {
        let mut log = place.open().unwrap();
        log.extend(&entries(size, size + step, 7)).unwrap();
        let seen = place.monitor().look(&place.reader()).unwrap();
        assert_eq!((seen.before, seen.size), (size, size + step));
        size += step;
        let cosigned = place
            .cosigner()
            .follow(&place.reader(), 1000 + size)
            .unwrap();
        let keys: [NoteKey; 1] = [place.cosigner().public().clone()];
        log.add_cosigned(&cosigned, &keys).unwrap();
        cosigned.accept(log.key(), &policy).unwrap();
        if size > 0 {
            // Proofs are under the checkpoint that more parties vouch for.
            let proof = log.view().prove(size - 1).unwrap().unwrap();
            let vouched = proof.verify(&entry(size, 7), log.key(), &policy).unwrap();
            assert_eq!(vouched[0].time, 1000 + size);
        }
        drop(log);
        let cosigned_again = place.open().unwrap().view().cosigned().unwrap();
        assert_eq!(*cosigned_again, cosigned);
    }
    // A stranger's signature is not taken, nor a checkpoint that was never signed.
    let mut log = place.open().unwrap();
    let newest = log.view().checkpoint();
    let stranger = CosignKey::new("stranger", secret(9)).unwrap();
    let dir = place.root.join("stranger");
    let mut stranger = Cosigner::open(&dir, log.key().clone(), stranger).unwrap();
    let cosigned = stranger.cosign(&newest, &[], 5).unwrap();
    let keys = [place.cosigner().public().clone()];
    assert!(log.add_cosigned(&cosigned, &keys).is_err());
    assert!(log.add_cosigned(&newest, &keys).is_err());
}

#[test]
fn a_finality_log_has_one_entry_for_each_height() {
    let gap = [entry(1, 7), entry(3, 7)];
    let double = [entry(1, 7), entry(1, 7)];
    let foreign = [vec![1, 2, 3]];
    for (bad, index) in [(gap.as_slice(), 1), (&double, 1), (&foreign, 0)] {
        let place = Place::new();
        place.open().unwrap().extend(bad).unwrap();
        let error = place.monitor().look(&place.reader()).unwrap_err();
        match error {
            MonitorError::BadEntry { index: at, .. } => assert_eq!(at, index),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn keys_change_by_an_act_of_their_own() {
    let place = Place::new();
    let mut log = place.open().unwrap();
    log.extend(&entries(0, 5, 7)).unwrap();
    log.hand_over(signer(4)).unwrap();
    log.extend(&entries(5, 8, 7)).unwrap();
    let periods: Vec<_> = log.keys().iter().map(|key| key.from.clone()).collect();
    assert_eq!(periods, ["0", "5"]);
    drop(log);
    let error = place.open().unwrap_err();
    assert!(matches!(error, LogOpenError::OtherKey { .. }), "{error}");
    let log = Log::open(&place.log(), &place.memory(), signer(4)).unwrap();
    assert_eq!(log.size(), 8);
    log.view().checkpoint().verify(signer(4).public()).unwrap();
}

/// Whoever watches with the old key follows its word for the new one, and nobody else's.
#[test]
fn watchers_follow_a_hand_over_and_no_stranger() {
    let place = Place::new();
    let mut log = place.open().unwrap();
    log.extend(&entries(0, 5, 7)).unwrap();
    place.monitor().look(&place.reader()).unwrap();
    place.cosigner().follow(&place.reader(), 1000).unwrap();
    let before = files_of(&place.root);
    assert!(matches!(
        log.hand_over(signer(1)),
        Err(LogStoreError::UsedKey)
    ));
    log.hand_over(signer(4)).unwrap();
    log.hand_over(signer(5)).unwrap();
    log.extend(&entries(5, 8, 7)).unwrap();
    drop(log);
    let mut monitor = place.monitor();
    let seen = monitor.look(&place.reader()).unwrap();
    assert_eq!((seen.before, seen.size), (5, 8));
    assert_eq!(monitor.key(), signer(5).public());
    let cosigned = place.cosigner().follow(&place.reader(), 1001).unwrap();
    cosigned.verify(signer(5).public()).unwrap();
    // The same command, with the old key, goes on; and so does one that names the new key.
    drop(monitor);
    assert_eq!(place.monitor().look(&place.reader()).unwrap().size, 8);
    let new = Monitor::open(&place.root.join("monitor"), signer(5).public().clone());
    assert_eq!(new.unwrap().look(&place.reader()).unwrap().size, 8);
    let other = Monitor::open(&place.root.join("monitor"), signer(6).public().clone());
    assert!(other.unwrap_err().to_string().contains("another key's log"));
    // What the old key signs afterwards is not the log's any more.
    let now = files_of(&place.root);
    for (path, bytes) in &before {
        if path.ends_with("log/checkpoint") {
            fs::write(path, bytes).unwrap();
        }
    }
    let error = place.monitor().look(&place.reader()).unwrap_err();
    assert!(matches!(error, MonitorError::Unsigned(_)), "{error}");
    restore(&place.root, &now);

    // A list that a thief of nothing but the address wrote: another key, without the old one's word.
    let list = place.log().join("keys.json");
    let good = fs::read_to_string(&list).unwrap();
    let mut keys: serde_json::Value = serde_json::from_str(&good).unwrap();
    let stranger = signer(6);
    let mut lies = Vec::new();
    keys["keys"][2]["vkey"] = stranger.public().to_string().into();
    lies.push(keys.clone());
    keys["keys"][2]["handover"] = serde_json::Value::Null;
    lies.push(keys.clone());
    keys["keys"][2]["handover"] = keys["keys"][1]["handover"].clone();
    lies.push(keys);
    for lie in lies {
        restore(&place.root, &before);
        fs::write(&list, lie.to_string()).unwrap();
        let head = place.reader().checkpoint().unwrap().head().clone();
        // Signed by the stranger, over the same tree.
        let other = Place::new();
        let mut theirs = Log::open(&other.log(), &other.memory(), signer(6)).unwrap();
        theirs.extend(&entries(0, head.size, 7)).unwrap();
        let forged = fs::read(other.log().join("checkpoint")).unwrap();
        fs::write(place.log().join("checkpoint"), forged).unwrap();
        let error = place.monitor().look(&place.reader()).unwrap_err();
        assert!(matches!(error, MonitorError::Unsigned(_)), "{error}");
        let error = place.cosigner().follow(&place.reader(), 1002).unwrap_err();
        assert!(matches!(error, CosignError::Unsigned(_)), "{error}");
    }
}

/// An operator with both keys who hands over and rewrites at once is caught as any other.
#[test]
fn a_hand_over_hides_no_rewriting() {
    let place = Place::new();
    place.open().unwrap().extend(&entries(0, 5, 7)).unwrap();
    place.monitor().look(&place.reader()).unwrap();
    place.cosigner().follow(&place.reader(), 1000).unwrap();
    fs::remove_dir_all(place.log()).unwrap();
    fs::remove_file(place.memory()).unwrap();
    let mut log = place.open().unwrap();
    log.extend(&entries(0, 5, 66)).unwrap();
    log.hand_over(signer(4)).unwrap();
    log.extend(&entries(5, 8, 7)).unwrap();
    drop(log);
    let error = place.monitor().look(&place.reader()).unwrap_err();
    assert!(matches!(error, MonitorError::Rewritten { .. }), "{error}");
    let error = place.cosigner().follow(&place.reader(), 1001).unwrap_err();
    assert!(matches!(error, CosignError::Rewritten { .. }), "{error}");
}

#[test]
fn an_entry_that_is_too_long_changes_nothing() {
    let place = Place::new();
    let mut log = place.open().unwrap();
    log.extend(&[vec![0; 65_535]]).unwrap();
    assert!(log.extend(&[vec![1], vec![0; 65_536]]).is_err());
    assert_eq!(log.size(), 1);
    log.extend(&[vec![1]]).unwrap();
    assert_eq!(log.view().entry(1).unwrap(), Some(vec![1]));
}
