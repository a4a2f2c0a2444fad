//! Batches: many proofs under one key, and errors that try to cancel.

use ark_bn254::{Fr, G1Projective};
use ark_ec::{CurveGroup, PrimeGroup};
use quorate_verifier::proof::{BatchError, Proof, ProofDecodeError, ProofError, verify_batch};

use super::toy::{CEREMONY, PROVER, Toy, prove};

/// Five statements with their proofs.
fn batch() -> Vec<([Fr; 3], Proof)> {
    (0..5)
        .map(|i| {
            let toy = Toy::new(100 + i, 5);
            (toy.statement, prove(&PROVER, &toy))
        })
        .collect()
}

fn verify(proofs: &[([Fr; 3], Proof)]) -> Result<(), BatchError> {
    let bytes: Vec<_> = proofs.iter().map(|(_, proof)| proof.encode()).collect();
    let pairs: Vec<(&[Fr], &[u8])> = proofs
        .iter()
        .zip(&bytes)
        .map(|((s, _), b)| (&s[..], &b[..]))
        .collect();
    verify_batch(PROVER.verifier(), &pairs)
}

#[test]
fn a_batch_holds_when_each_proof_does() {
    let proofs = batch();
    assert_eq!(verify(&proofs), Ok(()));
    assert_eq!(verify(&proofs[..1]), Ok(()));
    assert_eq!(verify(&[]), Ok(()));
    assert_eq!(
        verify(&[proofs[0], proofs[0]]),
        Ok(()),
        "the same proof twice"
    );

    let refused = |index| {
        Err(BatchError {
            index,
            error: ProofError::Refused,
        })
    };
    for i in 0..proofs.len() {
        let mut bent = proofs.clone();
        bent[i].0[0] += Fr::from(1_u64);
        assert_eq!(verify(&bent), refused(i));
    }
    let mut swapped = proofs.clone();
    let (first, second) = (swapped[1].1, swapped[3].1);
    (swapped[1].1, swapped[3].1) = (second, first);
    assert_eq!(verify(&swapped), refused(1));
}

/// Errors of two proofs, or of the two equations, that would cancel under equal weights.
#[test]
fn errors_in_a_batch_do_not_cancel() {
    let proofs = batch();
    let error = G1Projective::generator() * Fr::from(123_u64);
    type Slot = fn(&mut Proof) -> &mut ark_bn254::G1Affine;
    let slots: [(Slot, Slot); 3] = [
        (|p| &mut p.c, |p| &mut p.c),
        (|p| &mut p.knowledge, |p| &mut p.knowledge),
        (|p| &mut p.commitment, |p| &mut p.commitment),
    ];
    for (one, other) in slots {
        let mut bent = proofs.clone();
        let first = one(&mut bent[0].1);
        *first = (error + *first).into_affine();
        let second = other(&mut bent[4].1);
        *second = (-error + *second).into_affine();
        assert_eq!(
            verify(&bent),
            Err(BatchError {
                index: 0,
                error: ProofError::Refused
            })
        );
    }
}

#[test]
fn a_batch_names_what_is_wrong() {
    let proofs = batch();
    let bytes = proofs[0].1.encode();
    let statement = &proofs[0].0[..];
    let key = PROVER.verifier();
    assert_eq!(
        verify_batch(key, &[(statement, &bytes), (statement, &bytes[1..])]),
        Err(BatchError {
            index: 1,
            error: ProofDecodeError::Length(191).into()
        })
    );
    assert_eq!(
        verify_batch(key, &[(statement, &bytes), (&statement[1..], &bytes)]),
        Err(BatchError {
            index: 1,
            error: ProofError::InputCount {
                expected: 3,
                found: 2
            }
        })
    );
    let foreign = verify_batch(CEREMONY.verifier(), &[(statement, &bytes)]);
    assert_eq!(
        foreign,
        Err(BatchError {
            index: 0,
            error: ProofError::Refused
        })
    );
}
