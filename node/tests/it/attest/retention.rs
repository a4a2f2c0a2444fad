//! What is deleted is gone, from the file too; and nothing else is.

use std::path::Path;

use quorate_node::attest::retention::Retention;
use quorate_node::attest::service::{Finality, OpenError, Service, Setup};
use quorate_node::attest::store::Submitted;
use quorate_verifier::file::FileType;
use quorate_verifier::primitives::Height;
use serde_json::Value;

use super::chain::{CHAIN, block, ingest, proof, set, setup};

const MONTH_MS: u64 = 30 * 24 * 3600 * 1000;

fn keeping(data: &Path, certificates_ms: Option<u64>) -> Setup {
    Setup {
        retention: Retention {
            certificates_ms,
            contents_ms: None,
        },
        ..setup(data)
    }
}

/// Whether the bytes are in any file of a directory.
fn found(dir: &Path, wanted: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return found(&path, wanted);
        }
        let bytes = std::fs::read(&path).unwrap();
        bytes.windows(wanted.len()).any(|part| part == wanted)
    })
}

fn signature(height: u64) -> [u8; 64] {
    *block(height).certificate.votes()[0].signature.as_bytes()
}

fn work(service: &Service) {
    while let Some(lease) = service.claim("w", 60_000).unwrap() {
        service
            .accept(&lease.token, &proof(lease.job.height))
            .unwrap();
    }
}

/// A month and so many seconds after a block of a height was made.
fn a_month_after(height: u64) -> u64 {
    block(height).header.time.get() + MONTH_MS + 1
}

#[test]
fn old_certificates_go_and_every_answer_stays() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::open(keeping(dir.path(), Some(MONTH_MS))).unwrap();
    ingest(&service, 1, 30);
    work(&service);
    ingest(&service, 31, 32);
    let finality = |service: &Service| -> Vec<Finality> {
        let heights = 1..=32;
        heights
            .map(|h| service.finality(Height::new(h)).unwrap())
            .collect()
    };
    let before = finality(&service);
    assert_eq!(
        service.retain(a_month_after(1) - 1).unwrap(),
        None,
        "not a moment early"
    );
    assert!(
        found(dir.path(), &signature(1)),
        "the search finds what is there"
    );
    let gone = service.retain(a_month_after(20)).unwrap().unwrap();
    assert_eq!(gone.certificates, Height::new(21));
    for height in 1..=20 {
        for vote in block(height).certificate.votes() {
            assert!(
                !found(dir.path(), vote.signature.as_bytes()),
                "a vote of height {height}"
            );
        }
    }
    for height in 21..=32 {
        assert!(found(dir.path(), &signature(height)), "height {height}");
    }
    // Sets that signed nothing newer go too: the first two, with their salts.
    for (i, network) in CHAIN.networks.iter().enumerate().take(4) {
        let file = network.set.to_file();
        let salt = &file[file.len() - 32..];
        assert_eq!(found(dir.path(), salt), (2..4).contains(&i), "set {i}");
    }
    assert_eq!(finality(&service), before);
    assert_eq!(
        service.store().attestation(Height::new(16)).unwrap(),
        Some(proof(16))
    );
    // What cannot be proved any more is not promised.
    assert_eq!(service.request(Height::new(5)).unwrap(), Submitted::Unknown);
    assert!(matches!(
        service.request(Height::new(25)).unwrap(),
        Submitted::Job(_)
    ));
    assert_eq!(service.retain(a_month_after(20)).unwrap(), None, "once");
    let log = service.access_log();
    let entry: Value = serde_json::from_slice(&log.entry(0).unwrap().unwrap()).unwrap();
    assert_eq!((log.size(), &entry["act"]), (1, &"delete".into()));
    let told = serde_json::json!({"from": "1", "to": "20"});
    assert_eq!(
        (&entry["certificates"], &entry["contents"]),
        (&told, &Value::Null)
    );
    drop(service);
    // And it goes on from there.
    let service = Service::open(keeping(dir.path(), Some(MONTH_MS))).unwrap();
    assert_eq!(finality(&service), before);
    ingest(&service, 33, 40);
    work(&service);
    assert_eq!(service.covered(), Some(Height::new(40)));
}

#[test]
fn what_is_not_covered_stays_however_old() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::open(keeping(dir.path(), Some(MONTH_MS))).unwrap();
    ingest(&service, 1, 6);
    assert_eq!(
        service.retain(u64::MAX).unwrap(),
        None,
        "nothing is covered"
    );
    work(&service);
    ingest(&service, 7, 9);
    let gone = service.retain(u64::MAX).unwrap().unwrap();
    assert_eq!(
        gone.certificates,
        Height::new(6),
        "the last covered one stays"
    );
    assert!(found(dir.path(), &signature(6)) && found(dir.path(), &signature(9)));
    // A block that comes again is known still.
    assert!(!service.ingest(&block(3), set(3)).unwrap());
    assert!(!found(dir.path(), &signature(3)));
}

#[test]
fn nothing_is_deleted_without_a_policy_and_none_is_shorter_than_trust() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::open(keeping(dir.path(), None)).unwrap();
    ingest(&service, 1, 6);
    work(&service);
    assert_eq!(service.retain(u64::MAX).unwrap(), None);
    assert!(found(dir.path(), &signature(1)));
    assert_eq!(service.access_log().size(), 0);
    drop(service);
    let short = Service::open(keeping(dir.path(), Some(MONTH_MS - 1)));
    assert!(matches!(short, Err(OpenError::Retention { .. })));
    Service::open(keeping(dir.path(), Some(MONTH_MS))).unwrap();
}

#[test]
fn what_an_interrupted_deletion_left_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::open(keeping(dir.path(), None)).unwrap();
    ingest(&service, 1, 3);
    drop(service);
    let (store, left) = (
        dir.path().join("store.redb"),
        dir.path().join("store.redb.new"),
    );
    std::fs::copy(store, &left).unwrap();
    let service = Service::open(keeping(dir.path(), None)).unwrap();
    assert!(!left.exists());
    assert_eq!(service.store().tip().unwrap(), Some(Height::new(3)));
}

/// The disk fails when the tables have forgotten and the file has not.
#[test]
fn a_deletion_that_failed_is_finished_later() {
    for by_a_restart in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut service = Service::open(keeping(dir.path(), Some(MONTH_MS))).unwrap();
        ingest(&service, 1, 30);
        work(&service);
        let in_the_way = dir.path().join("store.redb.new");
        std::fs::create_dir(&in_the_way).unwrap();
        assert!(service.retain(a_month_after(20)).is_err());
        assert!(found(dir.path(), &signature(30)), "the store is as it was");
        std::fs::remove_dir(&in_the_way).unwrap();
        // What an attempt left is not taken up.
        std::fs::write(&in_the_way, block(1).to_file()).unwrap();
        if by_a_restart {
            drop(service);
            service = Service::open(keeping(dir.path(), Some(MONTH_MS))).unwrap();
        } else {
            assert_eq!(service.retain(a_month_after(20)).unwrap(), None);
        }
        for height in 1..=20 {
            assert!(!found(dir.path(), &signature(height)), "height {height}");
        }
        assert!(found(dir.path(), &signature(30)));
        drop(service);
    }
}
