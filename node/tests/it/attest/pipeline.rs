//! From certificates to the log: order, leases, failures, forks, restarts.

use std::fs;

use quorate_fixtures::frozen;
use quorate_node::attest::service::{AcceptError, Finality, IngestError, OpenError, Service};
use quorate_node::attest::store::{
    AddError, Class, Counts, Failure, JobState, Lease, LeaseError, MAX_ATTEMPTS, REQUESTS_MAX,
    Submitted,
};
use quorate_verifier::attestation::AttestationError;
use quorate_verifier::certificate::CertificateError;
use quorate_verifier::encoding::Canonical;
use quorate_verifier::primitives::{Height, View};
use quorate_verifier::proof::Proof;
use quorate_verifier::tlog::FinalityEntry;

use super::chain::{CHAIN, block, ingest, open, proof, set, setup};

const LEASE_MS: u64 = 60_000;

fn claim(service: &Service) -> Lease {
    service.claim("test", LEASE_MS).unwrap().expect("a job")
}

/// Claims, checks that it is this height's, and answers with the stored proof.
fn prove(service: &Service, height: u64) {
    let lease = claim(service);
    assert_eq!(lease.job.height, height);
    assert_eq!(lease.block, block(height));
    service.accept(&lease.token, &proof(height)).unwrap();
}

/// Every height up to `last` has exactly one entry, of its own header.
fn assert_covered(service: &Service, last: u64) {
    let log = service.finality_log();
    assert_eq!(log.size(), last);
    for height in 1..=last {
        let entry = log.entry(height - 1).unwrap().unwrap();
        let expected = FinalityEntry::of(&block(height).header, service.policy().rule);
        assert_eq!(entry, expected.to_bytes(), "height {height}");
        let found = service.finality(Height::new(height)).unwrap();
        assert!(matches!(found, Finality::Final { index, .. } if index == height - 1));
    }
    let next = service.finality(Height::new(last + 1)).unwrap();
    assert!(matches!(next, Finality::Pending { .. } | Finality::Unknown));
}

#[test]
fn the_newest_is_proved_and_the_rest_is_covered_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    ingest(&service, 1, 10);
    assert_eq!(service.progress().unwrap().behind, 10);
    prove(&service, 10);
    assert_covered(&service, 10);
    // What it covers is not proved too, but for the last header that a set signs: without it no
    // light client gets to the next set.
    prove(&service, 8);
    assert_eq!(
        service
            .claim("test", LEASE_MS)
            .unwrap()
            .map(|l| l.job.height),
        None
    );
    let nothing_waits = Counts {
        proofs: 2,
        ..Counts::default()
    };
    assert_eq!(service.counts().unwrap(), nothing_waits);
    // Over two changes of the set.
    ingest(&service, 11, 30);
    assert_eq!(
        service.finality(Height::new(30)).unwrap(),
        Finality::Pending {
            header: block(30).header
        }
    );
    for height in [30, 16, 25] {
        prove(&service, height);
    }
    assert_covered(&service, 30);
    let progress = service.progress().unwrap();
    assert_eq!((progress.behind, progress.behind_ms), (0, 0));
    let found = service.finality(Height::new(12)).unwrap();
    assert!(matches!(found, Finality::Final { proved, .. } if proved == Height::new(16)));
    assert_eq!(
        service.finality(Height::new(31)).unwrap(),
        Finality::Unknown
    );
    let first = Height::new(1);
    let before = service.finality(Height::GENESIS).unwrap();
    assert_eq!(before, Finality::BeforeStart { first });
}

#[test]
fn a_failed_proof_never_blocks_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    ingest(&service, 1, 10);
    let lease = claim(&service);
    let failure = Failure {
        permanent: true,
        reason: "no slope".into(),
    };
    service.fail(&lease.token, &failure).unwrap();
    assert_eq!(service.counts().unwrap().failed, 1);
    // The next best is the height below, and then whatever comes above.
    prove(&service, 8);
    prove(&service, 9);
    assert_covered(&service, 9);
    ingest(&service, 11, 12);
    prove(&service, 12);
    assert_covered(&service, 12);
}

#[test]
fn what_is_not_this_blocks_proof_is_refused_and_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    ingest(&service, 1, 10);
    let lease = claim(&service);
    let refuses = |bend: &dyn Fn(&mut quorate_verifier::attestation::Attestation)| {
        let mut lie = proof(10);
        bend(&mut lie);
        let error = service.accept(&lease.token, &lie).unwrap_err();
        assert_eq!(service.store().attestation(Height::new(10)).unwrap(), None);
        assert_eq!(service.finality_log().size(), 0);
        error
    };
    let refused =
        |error: AcceptError| matches!(error, AcceptError::Attestation(AttestationError::Proof(_)));
    assert!(refused(refuses(&|lie| lie.proof = proof(9).proof)));
    assert!(refused(refuses(&|lie| lie.view = View::new(7))));
    let other = refuses(&|lie| *lie = proof(9));
    assert!(matches!(other, AcceptError::Refused(_)));
    let other = refuses(&|lie| lie.header.payload_root = proof(9).header.payload_root);
    assert!(matches!(other, AcceptError::Refused(_)));
    let rule = quorate_verifier::rule::QuorumRule::OVERLAP;
    let other = refuses(&|lie| lie.rule = rule);
    assert!(matches!(
        other,
        AcceptError::Attestation(AttestationError::WrongRule { .. })
    ));
    let mut bytes = proof(10).proof.encode();
    bytes[..32].copy_from_slice(&proof(9).proof.encode()[..32]);
    let spliced = Proof::decode(&bytes).unwrap();
    assert!(refused(refuses(&|lie| lie.proof = spliced)));
    // The job is still the worker's, and the honest proof is taken.
    service.accept(&lease.token, &proof(10)).unwrap();
    assert_covered(&service, 10);
}

#[test]
fn a_lease_that_ended_is_fenced_off() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    ingest(&service, 1, 2);
    let store = service.store();
    let now = quorate_node::attest::service::now_ms();
    let old = store.claim("first", 1000, now).unwrap().unwrap();
    assert!(
        store
            .claim("second", 1000, now)
            .unwrap()
            .is_some_and(|l| l.job.height == 1)
    );
    // Renewing moves the end.
    store.renew(&old.token, 1000, now + 900).unwrap();
    assert_eq!(store.counts(now + 1500).unwrap().leased, 1);
    let late = now + 10_000;
    let new = store.claim("third", 1000, late).unwrap();
    assert!(new.is_none(), "a failed attempt waits before the next");
    let new = store
        .claim("third", 1_000_000, late + 5000)
        .unwrap()
        .unwrap();
    assert_eq!(new.job.id, old.job.id);
    assert_eq!(new.job.attempts, 1);
    assert!(new.token.token > old.token.token);
    let lost = |result: Result<(), LeaseError>| matches!(result, Err(LeaseError::Lost));
    assert!(lost(store.renew(&old.token, 1000, late)));
    assert!(lost(store.release(&old.token)));
    let failure = Failure {
        permanent: true,
        reason: "stray".into(),
    };
    assert!(lost(store.fail(&old.token, &failure, late)));
    let error = service.accept(&old.token, &proof(2)).unwrap_err();
    assert!(matches!(error, AcceptError::Lease(LeaseError::Lost)));
    // The new holder is not disturbed, and a finished job is nobody's.
    service.accept(&new.token, &proof(2)).unwrap();
    assert!(lost(store.renew(&new.token, 1000, late)));
    assert_covered(&service, 2);
}

#[test]
fn attempts_count_on_failure_only_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    ingest(&service, 1, 1);
    let store = service.store();
    let mut now = quorate_node::attest::service::now_ms();
    for _ in 0..20 {
        let lease = store.claim("worker", 1000, now).unwrap().unwrap();
        store.release(&lease.token).unwrap();
    }
    let failure = Failure {
        permanent: false,
        reason: "the machine was asleep".into(),
    };
    for attempt in 0..MAX_ATTEMPTS {
        now += 1_000_000;
        let lease = store.claim("worker", 1000, now).unwrap().unwrap();
        assert_eq!(lease.job.attempts, attempt);
        store.fail(&lease.token, &failure, now).unwrap();
    }
    now += 1_000_000;
    assert_eq!(store.claim("worker", 1000, now).unwrap(), None);
    assert_eq!(store.counts(now).unwrap().failed, 1);
    // A request tries again.
    let Submitted::Job(job) = service.request(Height::new(1)).unwrap() else {
        panic!("a job");
    };
    assert_eq!((job.attempts, job.class), (0, Class::Request));
    assert_eq!(store.counts(now).unwrap().failed, 0);
    prove(&service, 1);
}

#[test]
fn requests_take_turns_with_heads_and_are_one_job() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    ingest(&service, 1, 20);
    for height in [20, 8, 16] {
        prove(&service, height);
    }
    let id = |height| match service.request(Height::new(height)).unwrap() {
        Submitted::Job(job) => job.id,
        other => panic!("{other:?}"),
    };
    let first = id(5);
    assert_eq!(first, id(5));
    assert_eq!(service.counts().unwrap().queued, 1);
    let second = id(6);
    assert_ne!(first, second);
    ingest(&service, 21, 22);
    // One request, one head, one request: neither starves the other.
    for height in [22, 5, 6] {
        prove(&service, height);
    }
    let done = service.job(&first).unwrap().unwrap();
    assert_eq!(done.state, JobState::Done);
    assert_eq!(id(5), first, "what is proved is not proved again");
    assert_eq!(service.counts().unwrap().queued, 0);
    assert_eq!(
        service.request(Height::new(23)).unwrap(),
        Submitted::Unknown
    );
    assert_covered(&service, 22);
}

#[test]
fn waiting_requests_are_limited() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    let limit = REQUESTS_MAX as u64;
    ingest(&service, 1, limit + 1);
    for height in 1..=limit {
        let submitted = service.request(Height::new(height)).unwrap();
        assert!(matches!(submitted, Submitted::Job(_)));
    }
    let one_more = Height::new(limit + 1);
    assert_eq!(service.request(one_more).unwrap(), Submitted::Full);
    // The same request again is not one more.
    let again = service.request(Height::new(1)).unwrap();
    assert!(matches!(again, Submitted::Job(_)));
}

#[test]
fn what_does_not_follow_is_not_taken_in() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    ingest(&service, 1, 3);
    let gap = service.ingest(&block(5), set(5)).unwrap_err();
    assert!(matches!(
        gap,
        IngestError::Add(AddError::Gap { tip: 3, found: 5 })
    ));
    assert!(!service.ingest(&block(3), set(3)).unwrap(), "known already");
    // Too few signers.
    let weak = CHAIN
        .at(Height::new(4))
        .finalize(block(4).header, View::new(0), &[1, 2]);
    let error = service.ingest(&weak, set(4)).unwrap_err();
    assert!(matches!(
        error,
        IngestError::Certificate(CertificateError::NotEnoughPower { .. })
    ));
    // A quorum of strangers, whom no header named.
    let mut usurped = block(4).header;
    let strangers = CHAIN.at(Height::new(50));
    usurped.validators = strangers.set.commitment();
    let usurped = strangers.finalize(usurped, View::new(0), &[0, 1]);
    let error = service.ingest(&usurped, &strangers.set).unwrap_err();
    assert!(matches!(
        error,
        IngestError::DoesNotFollow { height: 4, .. }
    ));
    assert_eq!(service.store().tip().unwrap(), Some(Height::new(3)));
    ingest(&service, 4, 4);
}

#[test]
fn a_fork_is_answered_as_a_conflict() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    ingest(&service, 1, 26);
    prove(&service, 26);
    let mut other = block(25).header;
    other.payload_root = frozen::read::<quorate_verifier::attestation::Attestation>(
        &frozen::hostile(frozen::FORKED),
    )
    .header
    .payload_root;
    let other = CHAIN
        .at(Height::new(25))
        .finalize(other, View::new(5), &[0, 1]);
    let error = service.ingest(&other, set(25)).unwrap_err();
    assert!(matches!(error, IngestError::Add(AddError::Fork(25))));
    let fork = Height::new(25);
    for height in [25, 26, 27] {
        let found = service.finality(Height::new(height)).unwrap();
        assert_eq!(found, Finality::Conflict { fork });
    }
    let found = service.finality(Height::new(24)).unwrap();
    assert!(matches!(found, Finality::Final { .. }));
    drop(service);
    assert_eq!(
        open(dir.path()).finality(fork).unwrap(),
        Finality::Conflict { fork }
    );
    // A block on another parent is one too.
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    ingest(&service, 1, 30);
    let mut orphan = block(31).header;
    orphan.parent = block(29).header.digest();
    let orphan = CHAIN
        .at(Height::new(31))
        .finalize(orphan, View::new(5), &[0, 1]);
    let error = service.ingest(&orphan, set(31)).unwrap_err();
    assert!(matches!(error, IngestError::Add(AddError::Fork(31))));
}

#[test]
fn restarts_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut height = 0;
    for step in [1, 3, 2] {
        let service = open(dir.path());
        ingest(&service, height + 1, height + step);
        drop(service);
        height += step;
        let service = open(dir.path());
        let lease = claim(&service);
        assert_eq!(lease.job.height, height);
        drop(service);
        // The lease outlives the service.
        let service = open(dir.path());
        service.accept(&lease.token, &proof(height)).unwrap();
        drop(service);
        assert_covered(&open(dir.path()), height);
    }
    // Proved, and interrupted before the log was written: covered at the next start.
    let service = open(dir.path());
    ingest(&service, height + 1, height + 1);
    let lease = claim(&service);
    let now = quorate_node::attest::service::now_ms();
    service
        .store()
        .finish(&lease.token, &proof(height + 1), now)
        .unwrap();
    assert_eq!(service.finality_log().size(), height);
    drop(service);
    assert_covered(&open(dir.path()), height + 1);
}

#[test]
fn a_log_without_its_store_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    ingest(&service, 1, 4);
    prove(&service, 4);
    drop(service);
    fs::remove_file(dir.path().join("store.redb")).unwrap();
    let error = Service::open(setup(dir.path())).unwrap_err();
    assert!(matches!(error, OpenError::Apart(4)), "{error}");
}
