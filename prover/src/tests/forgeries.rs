//! Forgeries: each is first shown to be dangerous (a weaker check accepts it), then refused.

use ark_bn254::{Bn254, Fr, G1Affine};
use ark_ec::pairing::Pairing;
use ark_ec::{AffineRepr, CurveGroup, PrimeGroup};
use ark_ff::{AdditiveGroup, Field};
use ark_groth16::{Groth16, prepare_verifying_key};
use ark_std::rand::{SeedableRng, rngs::StdRng};
use quorate_verifier::proof::{
    Challenges, Element, PreparedKey, Proof, ProofDecodeError, ProofError,
};

use super::toy::{CEREMONY, PROVER, Toy, in_memory, prove, prove_bent, secrets};
use crate::{Prover, RowsOnly};

/// The statement's and challenges' part of the second pairing.
fn inputs(key: &PreparedKey, statement: &[Fr], proof: &Proof) -> ark_bn254::G1Projective {
    let challenges = Challenges::draw(key.digest(), statement, &proof.commitment);
    key.key().combine(statement, challenges)
}

/// Groth16's equation alone, by the library.
fn groth_alone(prover: &Prover, statement: &[Fr], proof: &Proof) -> bool {
    let pvk = prepare_verifying_key(&in_memory(prover).groth.vk);
    let groth = ark_groth16::Proof::<Bn254> {
        a: proof.a,
        b: proof.b,
        c: proof.c,
    };
    let prepared = inputs(prover.verifier(), statement, proof) + proof.commitment;
    Groth16::<Bn254, RowsOnly>::verify_proof_with_prepared_inputs(&pvk, &groth, &prepared)
        .expect("the library checks")
}

/// The knowledge equation alone.
fn knowledge_alone(prover: &Prover, proof: &Proof) -> bool {
    let key = prover.verifier().key();
    Bn254::pairing(proof.commitment, key.sigma_gamma) == Bn254::pairing(proof.knowledge, key.gamma)
}

/// Both equations multiplied together without a weight.
fn both_unweighted(prover: &Prover, statement: &[Fr], proof: &Proof) -> bool {
    let key = prover.verifier().key();
    let second = inputs(prover.verifier(), statement, proof) + proof.commitment + proof.knowledge;
    Bn254::multi_pairing(
        [proof.a, second.into_affine(), proof.c, proof.commitment],
        [proof.b, -key.gamma, -key.delta, key.sigma_gamma],
    ) == Bn254::pairing(key.alpha, key.beta)
}

/// The verdict of the real check on points, past the decoder.
fn check(prover: &Prover, statement: &[Fr], proof: Proof) -> Result<(), ProofError> {
    prover
        .verifier()
        .bind(statement, proof)
        .and_then(|bound| bound.check())
}

#[test]
fn the_weaker_checks_accept_honest_proofs() {
    for prover in [&*PROVER, &*CEREMONY] {
        let toy = Toy::new(5, 3);
        let proof = prove(prover, &toy);
        assert!(groth_alone(prover, &toy.statement, &proof));
        assert!(knowledge_alone(prover, &proof));
        assert!(both_unweighted(prover, &toy.statement, &proof));
        assert_eq!(check(prover, &toy.statement, proof), Ok(()));
    }
}

/// `D' = D + (x - x') K` with K the base of a public input makes up for a false statement.
#[test]
fn a_commitment_shifted_by_the_base_of_an_input_is_refused() {
    for prover in [&*PROVER, &*CEREMONY] {
        for i in 0..3 {
            let toy = Toy::new(5, 3);
            let mut claimed = toy.statement;
            claimed[i] += Fr::from(1_000_000_u64);
            let base = prover.verifier().key().bases[1 + i];
            let shift = base * (toy.statement[i] - claimed[i]);
            let (proof, _) = prove_bent(prover, &toy, &claimed, secrets(), |(d, p)| {
                ((shift + d).into_affine(), p)
            });
            assert!(
                groth_alone(prover, &claimed, &proof),
                "Groth16 alone is fooled"
            );
            assert!(!knowledge_alone(prover, &proof));
            assert_eq!(check(prover, &claimed, proof), Err(ProofError::Refused));
        }
    }
}

/// `A = alpha, B = beta, C = D = 0, P = -I` proves anything to the unweighted product.
#[test]
fn a_proof_made_of_the_key_is_refused() {
    for prover in [&*PROVER, &*CEREMONY] {
        let key = prover.verifier().key();
        let statement = [1, 2, 3].map(|n: u64| Fr::from(n));
        let mut proof = Proof {
            a: key.alpha,
            b: key.beta,
            c: G1Affine::zero(),
            commitment: G1Affine::zero(),
            knowledge: G1Affine::zero(),
        };
        proof.knowledge = (-inputs(prover.verifier(), &statement, &proof)).into_affine();
        assert!(
            both_unweighted(prover, &statement, &proof),
            "without a weight it passes"
        );
        assert_eq!(check(prover, &statement, proof), Err(ProofError::Refused));
        let decoded = Proof::decode(&proof.encode());
        assert_eq!(decoded, Err(ProofDecodeError::Infinity(Element::C)));
    }
}

/// The same without any point at infinity: the inputs' difference is put into P.
#[test]
fn an_error_in_one_equation_does_not_cancel_one_in_the_other() {
    for prover in [&*PROVER, &*CEREMONY] {
        let toy = Toy::new(5, 3);
        let honest = prove(prover, &toy);
        let mut claimed = toy.statement;
        claimed[0] += Fr::from(7_u64);
        let key = prover.verifier();
        let difference = inputs(key, &toy.statement, &honest) - inputs(key, &claimed, &honest);
        let knowledge = (difference + honest.knowledge).into_affine();
        let proof = Proof {
            knowledge,
            ..honest
        };
        assert!(
            both_unweighted(prover, &claimed, &proof),
            "without a weight it passes"
        );
        assert!(!groth_alone(prover, &claimed, &proof) && !knowledge_alone(prover, &proof));
        let verdict = prover.verifier().verify(&claimed, &proof.encode());
        assert_eq!(verdict, Err(ProofError::Refused));
    }
}

type Edit = fn(&mut Proof, &Proof);

#[test]
fn elements_swapped_negated_or_zeroed_are_refused() {
    let (toy, other) = (Toy::new(5, 3), Toy::new(6, 3));
    let (proof, donor) = (prove(&PROVER, &toy), prove(&PROVER, &other));
    let twin = prove(&PROVER, &toy);
    let edits: [(Edit, Edit, Edit, Element); 5] = [
        (
            |p, d| p.a = d.a,
            |p, _| p.a = -p.a,
            |p, _| p.a = G1Affine::zero(),
            Element::A,
        ),
        (
            |p, d| p.b = d.b,
            |p, _| p.b = -p.b,
            |p, _| p.b = ark_bn254::G2Affine::zero(),
            Element::B,
        ),
        (
            |p, d| p.c = d.c,
            |p, _| p.c = -p.c,
            |p, _| p.c = G1Affine::zero(),
            Element::C,
        ),
        (
            |p, d| p.commitment = d.commitment,
            |p, _| p.commitment = -p.commitment,
            |p, _| p.commitment = G1Affine::zero(),
            Element::Commitment,
        ),
        (
            |p, d| p.knowledge = d.knowledge,
            |p, _| p.knowledge = -p.knowledge,
            |p, _| p.knowledge = G1Affine::zero(),
            Element::Knowledge,
        ),
    ];
    let refused = |edit: Edit, donor: &Proof, what: Element| {
        let mut bent = proof;
        edit(&mut bent, donor);
        assert_eq!(
            check(&PROVER, &toy.statement, bent),
            Err(ProofError::Refused),
            "{what}"
        );
        bent
    };
    for (swap, negate, zero, element) in edits {
        refused(swap, &donor, element);
        refused(swap, &twin, element);
        refused(negate, &donor, element);
        let bytes = refused(zero, &donor, element).encode();
        assert_eq!(
            Proof::decode(&bytes),
            Err(ProofDecodeError::Infinity(element))
        );
    }
    // A and B negated together are a re-randomisation.
    let negated = Proof {
        a: -proof.a,
        b: -proof.b,
        ..proof
    };
    assert_eq!(check(&PROVER, &toy.statement, negated), Ok(()));
    // Commitment and knowledge moved together are a commitment to other cells.
    let doubled = Proof {
        commitment: (proof.commitment + proof.commitment).into_affine(),
        knowledge: (proof.knowledge + proof.knowledge).into_affine(),
        ..proof
    };
    assert!(knowledge_alone(&PROVER, &doubled));
    assert_eq!(
        check(&PROVER, &toy.statement, doubled),
        Err(ProofError::Refused)
    );
}

#[test]
fn every_public_input_counts() {
    let toy = Toy::new(5, 3);
    let proof = prove(&PROVER, &toy).encode();
    let verify = |statement: &[Fr]| PROVER.verifier().verify(statement, &proof);
    for i in 0..3 {
        for lie in [
            toy.statement[i] + Fr::ONE,
            -toy.statement[i] - Fr::ONE,
            Fr::from(12_u64),
        ] {
            let mut statement = toy.statement;
            statement[i] = lie;
            assert_eq!(verify(&statement), Err(ProofError::Refused));
        }
    }
    let mut longer = toy.statement.to_vec();
    longer.push(Fr::ZERO);
    let count = |found| Err(ProofError::InputCount { expected: 3, found });
    assert_eq!(verify(&longer), count(4));
    assert_eq!(toy.statement[2], Fr::ZERO);
    assert_eq!(
        verify(&toy.statement[..2]),
        count(2),
        "a zero tail left out"
    );
    assert_eq!(verify(&[]), count(0));

    let bytes = toy
        .statement
        .map(|input| quorate_verifier::encoding::scalar_to_bytes(&input));
    assert_eq!(PROVER.verifier().verify_bytes(&bytes, &proof), Ok(()));
    let modulus: [u8; 32] = {
        use ark_ff::{BigInteger, PrimeField};
        Fr::MODULUS.to_bytes_le().try_into().expect("32 bytes")
    };
    let mut aliased = bytes;
    aliased[2] = modulus; // zero, written as the modulus
    let verdict = PROVER.verifier().verify_bytes(&aliased, &proof);
    assert_eq!(verdict, Err(ProofError::InputNotCanonical(2)));
}

#[test]
fn a_proof_under_another_key_is_refused() {
    let toy = Toy::new(5, 3);
    let proof = prove(&PROVER, &toy).encode();
    let verdict = CEREMONY.verifier().verify(&toy.statement, &proof);
    assert_eq!(verdict, Err(ProofError::Refused));
    // The same key with another mark has another digest, hence other challenges.
    let mut marked = PROVER.verifier().key().clone();
    marked.origin = quorate_verifier::proof::Origin::Ceremony;
    let marked = marked.prepare().expect("a good key");
    assert_eq!(
        marked.verify(&toy.statement, &proof),
        Err(ProofError::Refused)
    );
}

#[test]
fn every_byte_counts() {
    let toy = Toy::new(5, 3);
    let proof = prove(&PROVER, &toy).encode();
    for i in 0..proof.len() {
        let mut bent = proof;
        bent[i] ^= 1 << (i % 8);
        assert!(
            PROVER.verifier().verify(&toy.statement, &bent).is_err(),
            "byte {i}"
        );
    }
    for length in [0, 1, 191, 193, 4096] {
        let mut bytes = proof.to_vec();
        bytes.resize(length, 0);
        let verdict = PROVER.verifier().verify(&toy.statement, &bytes);
        assert_eq!(verdict, Err(ProofDecodeError::Length(length).into()));
    }
}

#[test]
fn a_rerandomised_proof_shows_the_same_statement() {
    let toy = Toy::new(5, 3);
    let proof = prove(&PROVER, &toy);
    let groth = ark_groth16::Proof::<Bn254> {
        a: proof.a,
        b: proof.b,
        c: proof.c,
    };
    let mut rng = StdRng::seed_from_u64(3);
    let vk = &in_memory(&PROVER).groth.vk;
    let other = Groth16::<Bn254, RowsOnly>::rerandomize_proof(vk, &groth, &mut rng);
    let other = Proof {
        a: other.a,
        b: other.b,
        c: other.c,
        ..proof
    };
    assert_ne!(other.encode(), proof.encode());
    assert_eq!(
        PROVER.verifier().verify(&toy.statement, &other.encode()),
        Ok(())
    );
}

#[test]
fn challenges_depend_on_key_statement_and_commitment() {
    let toy = Toy::new(5, 3);
    let proof = prove(&PROVER, &toy);
    let draw = |digest, statement: &[Fr], d: &G1Affine| Challenges::draw(digest, statement, d);
    let (digest, other) = (PROVER.verifier().digest(), CEREMONY.verifier().digest());
    let honest = draw(digest, &toy.statement, &proof.commitment);
    assert_ne!(honest.tuple, honest.sum);
    let mut statement = toy.statement;
    statement[2] = Fr::ONE;
    let generator = ark_bn254::G1Projective::generator().into_affine();
    for changed in [
        draw(other, &toy.statement, &proof.commitment),
        draw(digest, &statement, &proof.commitment),
        draw(digest, &toy.statement, &-proof.commitment),
        draw(digest, &toy.statement, &generator),
    ] {
        assert!(changed.tuple != honest.tuple && changed.sum != honest.sum);
    }
}
