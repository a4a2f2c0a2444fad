//! Keys: what the digest covers, and what a prover refuses to use.

use ark_bn254::Fr;
use ark_ec::AffineRepr;
use ark_ff::{AdditiveGroup, Field};
use ark_std::rand::{SeedableRng, rngs::StdRng};
use quorate_circuits::ground::{Builder, Circuit};
use quorate_verifier::encoding::Canonical;
use quorate_verifier::file::FileType;
use quorate_verifier::primitives::{CircuitSize, Digest};
use quorate_verifier::proof::{self, Origin, VerifyingKey};

use super::toy::{CEREMONY, PROVER, Toy, in_memory, key};
use crate::{KeyError, Prover, ProvingKey, Trapdoor};

#[test]
fn the_light_key_is_small_and_round_trips() {
    for prover in [&*PROVER, &*CEREMONY] {
        let light = prover.verifier().key();
        let bytes = light.to_file();
        assert!(bytes.len() <= 700, "{} bytes", bytes.len());
        assert_eq!(VerifyingKey::from_file(&bytes).as_ref(), Ok(light));
        assert_eq!(
            VerifyingKey::from_file(light.to_json().as_bytes()).as_ref(),
            Ok(light)
        );
        assert_eq!(light.statement_len(), 3);
        for length in 0..bytes.len() {
            assert!(
                VerifyingKey::from_file(&bytes[..length]).is_err(),
                "cut at {length}"
            );
        }
        for i in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[i] ^= 1 << (i % 8);
            if let Ok(other) = VerifyingKey::from_file(&bent) {
                assert_ne!(other.digest(), light.digest(), "byte {i}");
            }
        }
    }
}

#[test]
fn the_digest_covers_everything() {
    let light = PROVER.verifier().key().clone();
    let edits: [fn(&mut VerifyingKey); 12] = [
        |k| k.circuit.digest = Digest::ZERO,
        |k| k.circuit.slots = CircuitSize::from_slots(2).expect("two slots"),
        |k| k.circuit.depth = 8,
        |k| k.circuit.chunk_bits = 16,
        |k| k.origin = Origin::Ceremony,
        |k| k.committed_bases = Digest::ZERO,
        |k| k.alpha = -k.alpha,
        |k| k.beta = -k.beta,
        |k| k.gamma = -k.gamma,
        |k| k.delta = -k.delta,
        |k| k.sigma_gamma = -k.sigma_gamma,
        |k| k.bases[5] = -k.bases[5],
    ];
    let mut digests = vec![light.digest()];
    for edit in edits {
        let mut other = light.clone();
        edit(&mut other);
        digests.push(other.digest());
    }
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 13);
}

#[test]
fn degenerate_light_keys_are_refused() {
    let light = PROVER.verifier().key().clone();
    let edits: [fn(&mut VerifyingKey); 6] = [
        |k| k.delta = k.gamma,
        |k| k.delta = -k.gamma,
        |k| k.sigma_gamma = k.gamma,
        |k| k.sigma_gamma = -k.delta,
        |k| k.gamma = k.beta,
        |k| k.circuit.chunk_bits = 21,
    ];
    for edit in edits {
        let mut other = light.clone();
        edit(&mut other);
        assert!(other.prepare().is_err());
    }
    let mut other = light.clone();
    other.delta = other.gamma;
    assert_eq!(
        other.prepare().err(),
        Some(proof::KeyError::Degenerate("gamma", "delta"))
    );
    let zero = light.to_bytes().len() - 32;
    let mut bytes = light.to_bytes();
    bytes[zero..].fill(0);
    bytes[zero + 31] = 0x40;
    let error = VerifyingKey::from_bytes(&bytes)
        .expect_err("a base is zero")
        .to_string();
    assert!(error.contains("infinity"), "{error}");
}

#[test]
fn a_damaged_proving_key_is_refused() {
    let good = key(1, None);
    assert_eq!(
        good,
        *in_memory(&PROVER),
        "the generator draws from its source only"
    );
    let use_it = |edit: fn(&mut ProvingKey)| {
        let mut key = good.clone();
        edit(&mut key);
        Prover::new(key, &Toy::new(1, 1)).expect_err("damaged")
    };
    for (edit, what) in [
        (
            (|k| {
                k.knowledge.pop();
            }) as fn(&mut ProvingKey),
            "the number of knowledge bases",
        ),
        (
            |k| {
                k.groth.h_query.pop();
            },
            "the size of the H query",
        ),
        (
            |k| {
                k.groth.l_query.pop();
            },
            "the size of the L query",
        ),
        (
            |k| {
                k.groth.a_query.pop();
            },
            "the size of the A query",
        ),
        (
            |k| k.groth.vk.gamma_abc_g1[2] = -k.groth.vk.gamma_abc_g1[2],
            "the bases of the statement",
        ),
        (
            |k| k.groth.vk.gamma_abc_g1[9] = -k.groth.vk.gamma_abc_g1[9],
            "the bases of the committed cells",
        ),
        (
            |k| k.knowledge[9] = -k.knowledge[9],
            "the bases of the committed cells",
        ),
        (
            |k| k.knowledge[0] = ark_bn254::G1Affine::zero(),
            "a base of the blinder is zero",
        ),
        (|k| k.groth.vk.delta_g2 = -k.groth.vk.delta_g2, "delta"),
        (
            |k| k.groth.delta_g1 = ark_bn254::G1Affine::zero(),
            "delta in G1 is zero",
        ),
    ] {
        assert_eq!(use_it(edit), KeyError::Damaged(what));
    }
    let other = |k: &mut ProvingKey| k.verifying.circuit.digest = Digest::ZERO;
    assert!(matches!(use_it(other), KeyError::OtherCircuit { .. }));
}

/// A key with a wrong point that no cheap check sees: the proof does not leave the prover.
#[test]
fn a_key_with_a_wrong_point_gives_no_proof() {
    let mut key = key(1, None);
    key.groth.a_query[700] = -key.groth.a_query[700];
    let prover = Prover::new(key, &Toy::new(1, 1)).expect("looks good");
    let error = prover.prove(&Toy::new(5, 3), |_| core::ops::ControlFlow::Continue(()));
    assert_eq!(
        error,
        Err(crate::ProveError::SelfCheck(proof::ProofError::Refused))
    );
}

/// Two committed cells that no row tells apart.
struct Loose;

impl Circuit for Loose {
    fn chunk_bits(&self) -> u32 {
        4
    }
    fn statement(&self) -> Vec<Fr> {
        vec![Fr::from(2_u64)]
    }
    fn build(&self, g: &mut Builder) {
        let (a, b) = (g.committed("a", Fr::ONE), g.committed("b", Fr::ONE));
        g.equal("sum", a + b, g.statement(0));
    }
}

#[test]
fn no_key_is_made_for_a_circuit_whose_commitment_does_not_bind() {
    let mut rng = StdRng::seed_from_u64(5);
    let slots = CircuitSize::from_slots(1).expect("one slot");
    let mut generate = |trapdoor: &Trapdoor, loose: bool| {
        let rng = &mut rng;
        if loose {
            ProvingKey::generate(&Loose, slots, 1, Origin::Development, trapdoor, rng)
        } else {
            ProvingKey::generate(
                &Toy::new(1, 1),
                slots,
                1,
                Origin::Development,
                trapdoor,
                rng,
            )
        }
    };
    let mut trapdoor = Trapdoor::random(&mut StdRng::seed_from_u64(6));
    assert!(matches!(
        generate(&trapdoor, true),
        Err(KeyError::Circuit(_))
    ));
    trapdoor.sigma = Fr::ZERO;
    assert_eq!(generate(&trapdoor, false).err(), Some(KeyError::Generator));
}
