//! One block, finalised by any of four quorums: the service keeps and tells the same of it.

use quorate_fixtures::rolling::QUORUMS;
use quorate_node::attest::service::Service;
use quorate_node::attest::store::JobId;
use quorate_verifier::certificate::SignedHeader;
use quorate_verifier::encoding::Canonical;
use quorate_verifier::primitives::Height;
use serde_json::Value;

use super::chain::{CHAIN, block, open, proof, set};

const HEIGHT: Height = Height::new(1);

/// The job's record as it is kept, without the clock's times.
fn record(service: &Service, id: &JobId) -> Value {
    let mut record = serde_json::to_value(service.job(id).unwrap().unwrap()).unwrap();
    let state = record["state"].clone();
    record["created_at"] = Value::Null;
    if state.get("leased").is_some() {
        record["state"]["leased"]["until"] = Value::Null;
    } else if state.get("queued").is_some() {
        record["state"]["queued"]["not_before"] = Value::Null;
    }
    record
}

/// Everything but the certificate that is left of a block, from its coming to its entry in the log.
fn traces(signed: &SignedHeader) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let service = open(dir.path());
    assert!(service.ingest(signed, set(1)).unwrap());
    let id = JobId::new(&signed.header, &proof(1).key);
    let mut traces = vec![record(&service, &id).to_string()];
    let lease = service.claim("worker", 60_000).unwrap().unwrap();
    assert_eq!((lease.job.id, &lease.block), (id, signed));
    traces.push(record(&service, &id).to_string());
    service.accept(&lease.token, &proof(1)).unwrap();
    traces.push(record(&service, &id).to_string());
    traces.push(format!("{:?}", service.finality(HEIGHT).unwrap()));
    traces.push(hex::encode(
        service.finality_log().entry(0).unwrap().unwrap(),
    ));
    let kept = service.store().attestation(HEIGHT).unwrap().unwrap();
    traces.push(hex::encode(kept.to_bytes()));
    traces
}

#[test]
fn job_records_do_not_tell_which_quorum_signed() {
    let honest = block(1);
    let signed = |quorum: &[u16]| {
        let view = honest.certificate.view();
        CHAIN
            .at(HEIGHT)
            .finalize(honest.header.clone(), view, quorum)
    };
    let [first, others @ ..] = QUORUMS.map(signed);
    let expected = traces(&first);
    for other in &others {
        assert_ne!(other.certificate.votes(), first.certificate.votes());
        assert_eq!(traces(other), expected);
    }
    for (record, state) in expected.iter().zip(["queued", "leased", "done"]) {
        assert!(record.contains(state), "{record}");
    }
}
