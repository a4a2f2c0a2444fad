//! Packs in which everything fits and nothing is ours: whoever keeps a verifying key's secrets proves
//! what he likes under it, with a chain and a log of his own.

use std::path::Path;

use ark_bn254::{Fr, G1Projective, G2Projective};
use ark_ec::{CurveGroup, PrimeGroup};
use ark_ff::Field;
use ed25519_dalek::{Signer, SigningKey};
use quorate_fixtures::Network;
use quorate_node::attest::log::{Log, LogSigner};
use quorate_node::attest::pack::Parts;
use quorate_verifier::attestation::{Attestation, KeyRing};
use quorate_verifier::encoding::Canonical;
use quorate_verifier::genesis::AcceptedKey;
use quorate_verifier::header::Header;
use quorate_verifier::primitives::{CircuitSize, Digest, View};
use quorate_verifier::proof::{Challenges, CircuitId, Origin, Proof, VerifyingKey};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::statement::Statement;
use quorate_verifier::tlog::{
    FinalityEntry, NoteAlgorithm, NoteKey, NoteSignature, finality_origin,
};
use quorate_verifier::trust::{Cosigners, LogKey, Policy, TrustAnchor};

/// Logarithms of alpha, beta, gamma, delta and sigma.
const SECRETS: [u64; 5] = [3, 5, 7, 11, 13];

/// A key with known secrets: a proof of anything can be computed.
pub(crate) fn key() -> VerifyingKey {
    let (g, h) = (G1Projective::generator(), G2Projective::generator());
    let [alpha, beta, gamma, delta, sigma] = SECRETS.map(Fr::from);
    VerifyingKey {
        circuit: CircuitId {
            digest: Digest::from_bytes([1; 32]),
            slots: CircuitSize::from_slots(3).unwrap(),
            depth: 8,
            chunk_bits: 13,
        },
        origin: Origin::Development,
        committed_bases: Digest::from_bytes([2; 32]),
        alpha: (g * alpha).into_affine(),
        beta: (h * beta).into_affine(),
        gamma: (h * gamma).into_affine(),
        delta: (h * delta).into_affine(),
        sigma_gamma: (h * (sigma * gamma)).into_affine(),
        bases: (20_u64..27)
            .map(|log| (g * Fr::from(log)).into_affine())
            .collect(),
    }
}

/// A proof that nobody's votes stand behind.
pub(crate) fn forge(header: &Header, named: Digest) -> Attestation {
    let key = key();
    let g = G1Projective::generator();
    let [alpha, beta, gamma, delta, sigma] = SECRETS.map(Fr::from);
    let [a, b, d] = [17_u64, 19, 23].map(Fr::from);
    let view = View::FIRST;
    let statement = Statement::of(header, view, QuorumRule::COMMIT).inputs();
    let commitment = (g * d).into_affine();
    let challenges = Challenges::draw(&key.digest(), &statement, &commitment);
    let second = key.combine(&statement, challenges) + commitment;
    let c = (g * (a * b - alpha * beta) - second * gamma) * delta.inverse().unwrap();
    Attestation {
        header: header.clone(),
        view,
        rule: QuorumRule::COMMIT,
        key: named,
        proof: Proof {
            a: (g * a).into_affine(),
            b: (G2Projective::generator() * b).into_affine(),
            c: c.into_affine(),
            commitment,
            knowledge: (g * (d * sigma)).into_affine(),
        },
    }
}

/// The ways of these headers into a log of this key's.
fn logged(
    dir: &Path,
    headers: &[Header],
    secret: &SigningKey,
) -> Vec<quorate_verifier::tlog::LogProof> {
    let signer = LogSigner::new(&finality_origin(&headers[0].chain_id), secret.clone()).unwrap();
    let mut log = Log::open(&dir.join("log"), &dir.join("memory"), signer).unwrap();
    let entry = |header: &Header| FinalityEntry::of(header, QuorumRule::COMMIT).to_bytes();
    log.extend(&headers.iter().map(entry).collect::<Vec<_>>())
        .unwrap();
    let view = log.view();
    (0..headers.len() as u64)
        .map(|index| view.prove(index).unwrap().unwrap())
        .collect()
}

/// A pack of these headers, the last of them proved, and logged under this key.
pub(crate) fn pack(
    headers: &[Header],
    proofs: Vec<Attestation>,
    key: VerifyingKey,
    log: &SigningKey,
) -> Vec<u8> {
    parts(headers, proofs, key, log).archive().unwrap()
}

/// The same with the signature of a cosigner under each checkpoint, who signs whatever he is given.
pub(crate) fn cosigned(mut parts: Parts, name: &str, cosigner: &SigningKey) -> Vec<u8> {
    let public = LogKey(cosigner.verifying_key().to_bytes());
    let public = NoteKey::new(name, NoteAlgorithm::Cosigner, public).unwrap();
    let time = 1_767_225_700_u64;
    for way in &mut parts.log {
        let signature = cosigner.sign(&way.checkpoint.head().cosigned(time));
        let line = NoteSignature {
            name: name.into(),
            id: public.id(),
            bytes: [time.to_be_bytes().as_slice(), &signature.to_bytes()].concat(),
        };
        way.checkpoint = way.checkpoint.clone().with_signature(line);
    }
    parts.archive().unwrap()
}

pub(crate) fn parts(
    headers: &[Header],
    proofs: Vec<Attestation>,
    key: VerifyingKey,
    log: &SigningKey,
) -> Parts {
    let dir = tempfile::tempdir().unwrap();
    Parts {
        chain: headers[0].chain_id.clone(),
        from: headers[0].height.get(),
        to: headers.last().unwrap().height.get(),
        headers: headers.to_vec(),
        proofs,
        keys: vec![key],
        log: logged(dir.path(), headers, log),
    }
}

/// The policy by which a stranger's pack holds.
pub(crate) fn policy(anchor: &Header, log: &SigningKey) -> Policy {
    let key = AcceptedKey {
        digest: key().digest(),
        slots: CircuitSize::from_slots(3).unwrap(),
    };
    Policy {
        anchor: TrustAnchor {
            header: anchor.clone(),
            keys: vec![key],
            trusting_period_ms: 1 << 40,
            clock_drift_ms: 10_000,
            made_at: anchor.time,
        },
        rule: QuorumRule::COMMIT,
        keys: vec![key],
        log_key: Some(LogKey(log.verifying_key().to_bytes())),
        cosigners: Cosigners::NONE,
        development_keys: true,
    }
}

/// Headers above `anchor`, whose set signs them all.
pub(crate) fn chain(anchor: &Header, count: usize) -> Vec<Header> {
    let network = Network::equal(77, 4, 3);
    let mut headers = vec![anchor.clone()];
    for _ in 0..count {
        headers.push(network.child(headers.last().unwrap()));
    }
    headers.split_off(1)
}

#[test]
fn the_forged_proof_is_one() {
    let anchor = Network::equal(77, 4, 3).genesis_header();
    let headers = chain(&anchor, 2);
    let log = SigningKey::from_bytes(&[99; 32]);
    let mut ring = KeyRing::new();
    ring.insert(key().prepare().unwrap());
    let forged = forge(&headers[1], key().digest());
    quorate_verifier::attestation::verify(&forged, &policy(&anchor, &log), &ring).unwrap();
}
