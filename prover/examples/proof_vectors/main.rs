//! The committed vectors of proofs, good and hostile: `fixtures/vectors/proof/`.
//!
//! ```text
//! cargo run --release -p quorate-prover --example proof_vectors             says which files differ
//! cargo run --release -p quorate-prover --example proof_vectors -- write    writes files that are missing
//! ```
//!
//! A file that is there is never written over: old vectors must keep their verdicts.
//!
//! Keys are the generator's, with secrets that follow from a seed: **whoever reads this can forge
//! under them**. `simulated.json` does so: its good proofs are made with the secrets, without any
//! witness, and cannot be told from others; so it is the same at every run. `proved.json` has proofs
//! of the proving function, whose randomness is the operating system's: it is new at every run.

mod equations;
mod keyed;
mod points;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use ark_bn254::{Fr, G1Projective};
use ark_ec::CurveGroup;
use ark_ff::{AdditiveGroup, Field, UniformRand};
use ark_std::rand::{SeedableRng, rngs::StdRng};
use quorate_verifier::proof::Proof;
use serde_json::Value;

use keyed::{Keyed, Vectors, quorum_like, sample};

fn main() -> Result<(), Box<dyn Error>> {
    let write = match env::args().nth(1).as_deref() {
        None => false,
        Some("write") => true,
        Some(other) => return Err(format!("unknown argument {other:?}").into()),
    };
    let dir = dir();
    fs::create_dir_all(&dir)?;
    for (name, make) in [
        ("simulated.json", simulated as fn() -> Value),
        ("proved.json", proved),
    ] {
        let path = dir.join(name);
        if !path.exists() {
            if write {
                fs::write(&path, serde_json::to_string_pretty(&make())? + "\n")?;
            }
            println!("{name}: {}", if write { "written" } else { "missing" });
        } else if name == "simulated.json" {
            let same = serde_json::from_slice::<Value>(&fs::read(&path)?)? == make();
            println!("{name}: {}", if same { "as made now" } else { "DIFFERS" });
        } else {
            println!("{name}: kept");
        }
    }
    Ok(())
}

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/vectors/proof")
}

const NOTE: &str = "cargo run --release -p quorate-prover --example proof_vectors; \
    development keys, whose secrets follow from a seed: worthless";

/// Proofs by the proving function, with randomness of the operating system.
fn proved() -> Value {
    let mut vectors = Vectors::default();
    let mut rng = StdRng::seed_from_u64(50);
    for key in [
        Keyed::new("quorum", 1, 4, 4, None),
        Keyed::new("gamma-one", 2, 4, 13, Some(Fr::ONE)),
    ] {
        vectors.add_key(&key);
        for i in 0..4 {
            let statement = quorum_like(&mut rng);
            let proof = key.prove(&statement);
            vectors.good(
                format!("proved under {} {i}", key.name),
                &key,
                &statement,
                &proof,
            );
            let mut lie = statement;
            lie[i] += Fr::ONE;
            vectors.forged(
                format!("proved under {}, input {i} changed", key.name),
                &key,
                &lie,
                &proof,
            );
        }
    }
    vectors.finish(NOTE)
}

/// Proofs from the secrets, and everything that is to be refused.
fn simulated() -> Value {
    let mut vectors = Vectors::default();
    let quorum = Keyed::new("quorum", 1, 4, 4, None);
    let gamma_one = Keyed::new("gamma-one", 2, 4, 13, Some(Fr::ONE));
    let other = Keyed::new("other", 3, 4, 4, None);
    let empty = Keyed::new("no inputs", 4, 0, 1, None);
    let full = Keyed::new("sixteen inputs", 5, 16, 16, None);
    for key in [&quorum, &gamma_one, &other, &empty, &full] {
        vectors.add_key(key);
    }
    good(&mut vectors, [&quorum, &gamma_one, &empty, &full]);
    for key in [&quorum, &gamma_one] {
        equations::forged_equations(&mut vectors, key);
    }
    equations::elements(&mut vectors, &quorum);
    equations::statements(&mut vectors, &quorum, &other);
    points::points(&mut vectors, &quorum);
    points::bad_keys(&mut vectors, &quorum);
    vectors.finish(NOTE)
}

fn good(vectors: &mut Vectors, [quorum, gamma_one, empty, full]: [&Keyed; 4]) {
    let mut rng = StdRng::seed_from_u64(60);
    let none = G1Projective::ZERO;
    let mut logarithms = || [(); 3].map(|()| Fr::rand(&mut rng));
    for (seed, key) in [quorum, quorum, quorum, quorum, gamma_one, gamma_one]
        .into_iter()
        .enumerate()
    {
        let (statement, proof) = sample(key, 100 + seed as u64);
        vectors.good(format!("simulated {seed}"), key, &statement, &proof);
    }
    for (name, value) in [
        ("all zero", Fr::ZERO),
        ("all one", Fr::ONE),
        ("all one below the modulus", -Fr::ONE),
        ("all 2^128 - 1", Fr::from(u128::MAX)),
    ] {
        let statement = [value; 4];
        let proof = quorum.simulate(&statement, logarithms(), none);
        vectors.good(name, quorum, &statement, &proof);
    }
    let proof = empty.simulate(&[], logarithms(), none);
    vectors.good("no inputs", empty, &[], &proof);
    let statement: Vec<Fr> = (0..16_u64).map(Fr::from).collect();
    let proof = full.simulate(&statement, logarithms(), none);
    vectors.good("sixteen inputs", full, &statement, &proof);
    // Points of small logarithm, and both signs of y.
    let statement = sample(quorum, 7).0;
    for (name, [a, b, d]) in [
        (
            "A and B the generators",
            [Fr::ONE, Fr::ONE, Fr::from(2_u64)],
        ),
        (
            "D the generator",
            [Fr::from(2_u64), Fr::from(3_u64), Fr::ONE],
        ),
        ("D minus the generator", [Fr::ONE, -Fr::ONE, -Fr::ONE]),
        ("A, B and D equal logarithms", [Fr::from(5_u64); 3]),
    ] {
        let proof = quorum.simulate(&statement, [a, b, d], none);
        vectors.good(name, quorum, &statement, &proof);
    }
    let (statement, proof) = sample(quorum, 8);
    let negated = Proof {
        a: -proof.a,
        b: -proof.b,
        ..proof
    };
    vectors.good("A and B negated together", quorum, &statement, &negated);
    let k = Fr::from(1_234_567_u64);
    let scaled = Proof {
        a: (proof.a * k).into_affine(),
        b: (proof.b * k.inverse().expect("not zero")).into_affine(),
        ..proof
    };
    vectors.good(
        "A and B scaled against each other",
        quorum,
        &statement,
        &scaled,
    );
    let delta = quorum.key().key().delta;
    let moved = Proof {
        b: (proof.b + delta * k).into_affine(),
        c: (proof.c + proof.a * k).into_affine(),
        ..proof
    };
    vectors.good("re-randomised", quorum, &statement, &moved);
    let (_, twin) = sample(quorum, 8);
    vectors.good("the same proof again", quorum, &statement, &twin);
}
