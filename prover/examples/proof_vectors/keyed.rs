//! Keys with known secrets, and the file that is being written.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ark_bn254::{Fr, G1Affine, G1Projective, G2Projective};
use ark_ec::{CurveGroup, PrimeGroup};
use ark_ff::{AdditiveGroup, Field, UniformRand};
use ark_std::rand::{SeedableRng, rngs::StdRng};
use quorate_circuits::ground::{Builder, Circuit};
use quorate_prover::{Prover, ProvingKey, Trapdoor};
use quorate_verifier::encoding::scalar_to_bytes;
use quorate_verifier::file::FileType;
use quorate_verifier::primitives::CircuitSize;
use quorate_verifier::proof::{Challenges, Origin, PreparedKey, Proof};
use serde_json::{Value, json};

/// Any values, each bound by a row, and one looked-up limb. It says nothing of signatures.
struct Toy {
    chunk_bits: u32,
    statement: Vec<Fr>,
}

impl Circuit for Toy {
    fn chunk_bits(&self) -> u32 {
        self.chunk_bits
    }
    fn statement(&self) -> Vec<Fr> {
        self.statement.clone()
    }
    fn build(&self, g: &mut Builder) {
        for (i, value) in self.statement.iter().enumerate() {
            let cell = g.witness("value", *value);
            g.equal("claimed", cell, g.statement(i));
            let _ = g.product("square", cell, cell);
        }
        let _ = g.limb("limb", 5_u64, 8);
    }
}

/// A key with its secrets.
pub(crate) struct Keyed {
    pub(crate) name: &'static str,
    chunk_bits: u32,
    pub(crate) secrets: Trapdoor,
    prover: Prover,
}

impl Keyed {
    pub(crate) fn new(
        name: &'static str,
        seed: u64,
        values: usize,
        chunk_bits: u32,
        gamma: Option<Fr>,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut secrets = Trapdoor::random(&mut rng);
        if let Some(gamma) = gamma {
            secrets.gamma = gamma;
        }
        let toy = Toy {
            chunk_bits,
            statement: vec![Fr::ONE; values],
        };
        let slots = CircuitSize::from_slots(3).expect("three slots");
        let origin = Origin::Development;
        let key = ProvingKey::generate(&toy, slots, 8, origin, &secrets, &mut rng);
        let prover = Prover::new(key.expect("the toy has a key"), &toy).expect("a fresh key");
        Self {
            name,
            chunk_bits,
            secrets,
            prover,
        }
    }

    pub(crate) fn key(&self) -> &PreparedKey {
        self.prover.verifier()
    }

    /// What stands for statement and challenges in the second pairing.
    pub(crate) fn inputs(&self, statement: &[Fr], commitment: &G1Affine) -> G1Projective {
        let challenges = Challenges::draw(self.key().digest(), statement, commitment);
        self.key().key().combine(statement, challenges)
    }

    /// A proof from the secrets, for these logarithms of A, B and D. `shift` moves the commitment
    /// off what its knowledge shows: Groth16's equation holds nevertheless.
    pub(crate) fn simulate(
        &self,
        statement: &[Fr],
        [a, b, d]: [Fr; 3],
        shift: G1Projective,
    ) -> Proof {
        let (g, h) = (G1Projective::generator(), G2Projective::generator());
        let Trapdoor {
            alpha,
            beta,
            gamma,
            delta,
            sigma,
        } = &self.secrets;
        let commitment = (g * d + shift).into_affine();
        let second = self.inputs(statement, &commitment) + commitment;
        let c = (g * (a * b - *alpha * beta) - second * gamma) * delta.inverse().expect("not zero");
        Proof {
            a: (g * a).into_affine(),
            b: (h * b).into_affine(),
            c: c.into_affine(),
            commitment,
            knowledge: (g * (d * sigma)).into_affine(),
        }
    }

    pub(crate) fn prove(&self, statement: &[Fr]) -> Proof {
        let toy = Toy {
            chunk_bits: self.chunk_bits,
            statement: statement.to_vec(),
        };
        let proven = self.prover.prove(&toy, |_| ControlFlow::Continue(()));
        Proof::decode(&proven.expect("anything is true").proof).expect("a proof")
    }
}

/// Keys and cases of one file.
#[derive(Default)]
pub(crate) struct Vectors {
    pub(crate) keys: BTreeMap<String, Value>,
    cases: Vec<Value>,
}

impl Vectors {
    pub(crate) fn add_key(&mut self, key: &Keyed) {
        let file = hex::encode(key.key().key().to_file());
        let value = json!({ "file": file, "digest": key.key().digest() });
        self.keys.insert(key.name.into(), value);
    }

    pub(crate) fn add(
        &mut self,
        name: impl Into<String>,
        key: &str,
        inputs: Vec<String>,
        proof: &[u8],
        reason: Option<&str>,
    ) {
        self.cases.push(json!({
            "name": name.into(),
            "key": key,
            "inputs": inputs,
            "proof": hex::encode(proof),
            "verdict": if reason.is_none() { "valid" } else { "invalid" },
            "reason": reason,
        }));
    }

    pub(crate) fn good(
        &mut self,
        name: impl Into<String>,
        key: &Keyed,
        statement: &[Fr],
        proof: &Proof,
    ) {
        self.add(name, key.name, hexes(statement), &proof.encode(), None);
    }

    pub(crate) fn forged(
        &mut self,
        name: impl Into<String>,
        key: &Keyed,
        statement: &[Fr],
        proof: &Proof,
    ) {
        let inputs = hexes(statement);
        self.add(name, key.name, inputs, &proof.encode(), Some("refused"));
    }

    pub(crate) fn finish(self, origin: &str) -> Value {
        json!({ "origin": origin, "keys": self.keys, "cases": self.cases })
    }
}

pub(crate) fn hexes(statement: &[Fr]) -> Vec<String> {
    let hex = |input| hex::encode(scalar_to_bytes(input));
    statement.iter().map(hex).collect()
}

/// A commitment, two halves of a digest, the rule 2/3.
pub(crate) fn quorum_like(rng: &mut StdRng) -> [Fr; 4] {
    let half = |rng: &mut StdRng| Fr::from(u128::rand(rng));
    let rule = Fr::from(2_u64 + (3 << 32));
    [Fr::rand(rng), half(rng), half(rng), rule]
}

/// A statement with a proof of it.
pub(crate) fn sample(key: &Keyed, seed: u64) -> ([Fr; 4], Proof) {
    let mut rng = StdRng::seed_from_u64(seed);
    let statement = quorum_like(&mut rng);
    let logarithms = [(); 3].map(|()| Fr::rand(&mut rng));
    let proof = key.simulate(&statement, logarithms, G1Projective::ZERO);
    (statement, proof)
}
