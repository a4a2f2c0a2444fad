//! Our proving and verifying functions agree with the library's.

use core::ops::ControlFlow;

use ark_bn254::{Bn254, Fr};
use ark_ff::AdditiveGroup;
use ark_groth16::{Groth16, prepare_verifying_key};
use quorate_circuits::ground::{Builder, Circuit, Layout, Matrix};
use quorate_verifier::proof::{Challenges, Proof};

use super::toy::{CEREMONY, PROVER, Toy, in_memory, prove, prove_bent, secrets};
use crate::{KeyError, OpenError, Phase, ProveError, Prover, RowsOnly, Store, StoredKey, quotient};

type Library = Groth16<Bn254, RowsOnly>;

fn library_matrix(prover: &Prover, matrix: &Matrix) -> Vec<Vec<(Fr, usize)>> {
    let pool = &prover.matrices().coefficients;
    let entry = |&(column, k): &(u32, u32)| (pool[k as usize], column as usize);
    (0..matrix.rows())
        .map(|i| matrix.row(i).iter().map(entry).collect())
        .collect()
}

/// For the same assignment, r and s, the two give the same points.
#[test]
fn our_proof_is_the_library_s() {
    let toy = Toy::new(123_456_789, -5);
    let secrets = secrets();
    let (ours, z) = prove_bent(&PROVER, &toy, &toy.statement, secrets, |honest| honest);
    let m = PROVER.matrices();
    let matrices = [&m.a, &m.b, &m.c].map(|matrix| library_matrix(&PROVER, matrix));
    let theirs = Library::create_proof_with_reduction_and_matrices(
        &in_memory(&PROVER).groth,
        secrets[1],
        secrets[2],
        &matrices,
        m.layout.columns(),
        m.rows(),
        &z,
    )
    .expect("the library proves");
    assert_eq!((ours.a, ours.b, ours.c), (theirs.a, theirs.b, theirs.c));
}

/// A key on disk, read in runs, gives the same points as in memory.
#[test]
fn a_proof_does_not_depend_on_where_the_key_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let draft = Store::at(dir.path()).begin().expect("a draft");
    let key = draft.finish(in_memory(&PROVER), |_| ControlFlow::Continue(()));
    let toy = Toy::new(123_456_789, -5);
    let stored = Prover::open(key.expect("a key"), &toy).expect("a good key");
    assert!(stored.key().is_none());
    let bent = |prover| prove_bent(prover, &toy, &toy.statement, secrets(), |honest| honest);
    assert_eq!(bent(&stored), bent(&PROVER));
    let proven = stored.prove(&toy, |_| ControlFlow::Continue(()));
    assert_eq!(proven.expect("a true statement").statement, toy.statement);
    let other = Prover::open(key_again(dir.path(), &stored), &Other(toy));
    assert!(matches!(
        other,
        Err(OpenError::Key(KeyError::OtherCircuit { .. }))
    ));
}

fn key_again(dir: &std::path::Path, prover: &Prover) -> StoredKey {
    let key = Store::at(dir).open(prover.verifier().digest());
    key.expect("a key")
}

/// The toy with a row more.
struct Other(Toy);

impl Circuit for Other {
    fn chunk_bits(&self) -> u32 {
        self.0.chunk_bits()
    }
    fn statement(&self) -> Vec<Fr> {
        self.0.statement()
    }
    fn build(&self, g: &mut Builder) {
        self.0.build(g);
        g.equal("one more", Fr::from(1_u64), Fr::from(1_u64));
    }
}

/// The library's verifier, given the committed cells as plain inputs, accepts; and it accepts with
/// our combined inputs and the commitment in their place.
#[test]
fn the_library_accepts_our_proof() {
    for prover in [&*PROVER, &*CEREMONY] {
        let toy = Toy::new(7, 7);
        let (proof, z) = prove_bent(prover, &toy, &toy.statement, secrets(), |honest| honest);
        let groth = ark_groth16::Proof::<Bn254> {
            a: proof.a,
            b: proof.b,
            c: proof.c,
        };
        let pvk = prepare_verifying_key(&in_memory(prover).groth.vk);
        let inputs = &z[1..prover.matrices().layout.columns()];
        assert_eq!(Library::verify_proof(&pvk, &groth, inputs), Ok(true));
        let digest = prover.verifier().digest();
        let challenges = Challenges::draw(digest, &toy.statement, &proof.commitment);
        let combined = prover.verifier().key().combine(&toy.statement, challenges);
        let combined = combined + proof.commitment;
        let verdict = Library::verify_proof_with_prepared_inputs(&pvk, &groth, &combined);
        assert_eq!(verdict, Ok(true));
        assert_eq!(
            combined,
            Library::prepare_inputs(&pvk, inputs).expect("inputs")
        );
        assert_eq!(
            prover.verifier().verify(&toy.statement, &proof.encode()),
            Ok(())
        );
    }
}

#[test]
fn a_proof_hides_its_witness_afresh_each_time() {
    let toy = Toy::new(99, 1);
    let (first, second) = (prove(&PROVER, &toy), prove(&PROVER, &toy));
    assert_ne!(first.commitment, second.commitment);
    assert_ne!(first.knowledge, second.knowledge);
    assert!(first.a != second.a && first.b != second.b && first.c != second.c);
}

#[test]
fn a_false_witness_gives_no_proof_but_a_row() {
    let mut toy = Toy::new(5, 3);
    toy.statement[1] += Fr::from(1_u64);
    let error = PROVER
        .prove(&toy, |_| ControlFlow::Continue(()))
        .expect_err("false");
    let ProveError::Unsatisfied(broken) = error else {
        panic!("{error}")
    };
    let z = toy.fill().commit(|_, _| Fr::ZERO).respond(Challenges {
        tuple: Fr::from(9_u64),
        sum: -Fr::from(1_u64),
    });
    assert_eq!(
        quotient(PROVER.matrices(), &z.into_assignment()),
        Err(broken)
    );
    // Values that fit no shape of x and digit give a refusal too, never a panic.
    for (x, digit) in [(1 << 50, 3), (u64::MAX, 3), (5, 4), (5, i64::MIN)] {
        let error = PROVER.prove(&Toy::new(x, digit), |_| ControlFlow::Continue(()));
        assert!(
            matches!(error, Err(ProveError::Unsatisfied(_))),
            "{x} {digit}"
        );
    }
}

#[test]
fn every_phase_is_announced_and_can_be_the_last() {
    let toy = Toy::new(5, 3);
    let mut heard = Vec::new();
    let proven = PROVER.prove(&toy, |phase| {
        heard.push(phase);
        ControlFlow::Continue(())
    });
    assert!(proven.is_ok());
    assert_eq!(heard, Phase::ALL);
    for stop in Phase::ALL {
        let watch = |phase| {
            if phase == stop {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        assert_eq!(PROVER.prove(&toy, watch), Err(ProveError::Cancelled(stop)));
    }
}

#[test]
fn the_toy_is_as_large_as_it_says() {
    let m = PROVER.matrices();
    // Bound values 7; limbs 101 * 8; x 2, tables 8, choice 3, filler 100; chunk table 256; tuple
    // powers 2, selection 3, pairs 4 * 4; the sum 1.
    assert_eq!(m.rows(), 7 + 808 + 2 + 8 + 3 + 100 + 256 + 2 + 3 + 16 + 1);
    assert_eq!(
        m.layout,
        Layout {
            statement: 3,
            committed: 1 + 7 + 3 + 800 + 256 + 8
        }
    );
    assert_eq!(Proof::BYTES, 192);
}
