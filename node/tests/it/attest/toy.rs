//! A key whose secret is known, and so proofs of any statement, in no time: what whoever kept the
//! secret of a key could do, put to use for chains that no stored proof speaks of.

use ark_bn254::{Fr, G1Affine, G2Affine};
use ark_ec::{AffineRepr, CurveGroup};
use quorate_verifier::attestation::Attestation;
use quorate_verifier::certificate::SignedHeader;
use quorate_verifier::genesis::AcceptedKey;
use quorate_verifier::primitives::{CircuitSize, Digest};
use quorate_verifier::proof::{Challenges, CircuitId, Origin, Proof, VerifyingKey};
use quorate_verifier::rule::QuorumRule;

const ALPHA: u64 = 2;
const BETA: u64 = 3;
const GAMMA: u64 = 17;
const DELTA: u64 = 19;
const SIGMA: u64 = 5;
const COMMITTED: u64 = 7;

fn g1(k: Fr) -> G1Affine {
    (G1Affine::generator() * k).into_affine()
}

fn g2(k: u64) -> G2Affine {
    (G2Affine::generator() * Fr::from(k)).into_affine()
}

/// A key for so many slots; `name` tells one from another.
pub(crate) fn key(name: u8, slots: u16) -> VerifyingKey {
    VerifyingKey {
        circuit: CircuitId {
            digest: Digest::from_bytes([name; 32]),
            slots: CircuitSize::from_slots(slots).unwrap(),
            depth: 8,
            chunk_bits: 13,
        },
        origin: Origin::Development,
        committed_bases: Digest::from_bytes([2; 32]),
        alpha: g1(Fr::from(ALPHA)),
        beta: g2(BETA),
        gamma: g2(GAMMA),
        delta: g2(DELTA),
        sigma_gamma: g2(SIGMA * GAMMA),
        bases: (0..7).map(|i| g1(base(i))).collect(),
    }
}

fn base(i: u64) -> Fr {
    Fr::from(i * i + 3)
}

/// How genesis documents and policies name it.
pub(crate) fn accepted(key: &VerifyingKey) -> AcceptedKey {
    AcceptedKey {
        digest: key.digest(),
        slots: key.circuit.slots,
    }
}

/// An attestation that every check takes.
pub(crate) fn prove(block: &SignedHeader, key: &VerifyingKey) -> Attestation {
    let nothing = g1(Fr::from(1u64));
    let commitment = g1(Fr::from(COMMITTED));
    let mut made = Attestation {
        view: block.certificate.view(),
        header: block.header.clone(),
        rule: QuorumRule::COMMIT,
        key: key.digest(),
        proof: Proof {
            a: nothing,
            b: g2(1),
            c: nothing,
            commitment,
            knowledge: g1(Fr::from(COMMITTED * SIGMA)),
        },
    };
    let statement = made.statement().inputs();
    let challenges = Challenges::draw(&made.key, &statement, &commitment);
    let scalars = statement.iter().chain([&challenges.tuple, &challenges.sum]);
    let mut inputs = base(0);
    for (i, scalar) in (1..).zip(scalars) {
        inputs += base(i) * scalar;
    }
    // e(A, B) = e(alpha, beta) e(inputs + D, gamma) e(C, delta), with every exponent known.
    let (a, b) = (11, 13);
    made.proof.a = g1(Fr::from(a));
    made.proof.b = g2(b);
    let second = (inputs + Fr::from(COMMITTED)) * Fr::from(GAMMA);
    made.proof.c = g1((Fr::from(a * b) - Fr::from(ALPHA * BETA) - second) / Fr::from(DELTA));
    made
}
