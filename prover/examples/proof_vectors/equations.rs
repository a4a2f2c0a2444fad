//! Forged equations, exchanged elements, other statements.

use ark_bn254::{Fr, G1Affine, G1Projective};
use ark_ec::{AffineRepr, CurveGroup, PrimeGroup};
use ark_ff::{AdditiveGroup, BigInt, BigInteger, Field, PrimeField, UniformRand};
use ark_std::rand::{SeedableRng, rngs::StdRng};
use quorate_verifier::encoding::scalar_to_bytes;
use quorate_verifier::file::FileType;
use quorate_verifier::proof::{Origin, Proof};
use serde_json::json;

use crate::keyed::{Keyed, Vectors, hexes, sample};

/// Proofs that satisfy a weaker check than the right one.
pub(crate) fn forged_equations(vectors: &mut Vectors, key: &Keyed) {
    let light = key.key().key();
    let mut rng = StdRng::seed_from_u64(70);
    let (statement, honest) = sample(key, 9);
    for i in 0..4 {
        // Groth16 alone accepts the claim, with D moved by what the claim is wrong.
        let mut claimed = statement;
        claimed[i] += Fr::from(1_000_000_u64);
        let shift = light.bases[1 + i] * (statement[i] - claimed[i]);
        let logarithms = [(); 3].map(|()| Fr::rand(&mut rng));
        let proof = key.simulate(&claimed, logarithms, shift);
        let name = format!("commitment shifted by the base of input {i}, {}", key.name);
        vectors.forged(name, key, &claimed, &proof);
    }
    // The equations multiplied without a weight accept these.
    let mut claimed = statement;
    claimed[0] += Fr::from(7_u64);
    let difference =
        key.inputs(&statement, &honest.commitment) - key.inputs(&claimed, &honest.commitment);
    let proof = Proof {
        knowledge: (difference + honest.knowledge).into_affine(),
        ..honest
    };
    let name = format!("P' = P + inputs(x) - inputs(x'), {}", key.name);
    vectors.forged(name, key, &claimed, &proof);
    let (g, [c, d]) = (
        G1Projective::generator(),
        [Fr::from(3_u64), Fr::from(5_u64)],
    );
    let secrets = &key.secrets;
    let commitment = (g * d).into_affine();
    // e(A, B) = e(alpha, beta); what is left: I + D + P + C delta / gamma = D sigma.
    let rest = g * (c * secrets.delta * secrets.gamma.inverse().expect("not zero"));
    let knowledge =
        commitment * secrets.sigma - key.inputs(&statement, &commitment) - commitment - rest;
    let proof = Proof {
        a: light.alpha,
        b: light.beta,
        c: (g * c).into_affine(),
        commitment,
        knowledge: knowledge.into_affine(),
    };
    let name = format!("A = alpha, B = beta, P makes up for the rest, {}", key.name);
    vectors.forged(name, key, &statement, &proof);
    let zero = G1Affine::zero();
    let knowledge = (-key.inputs(&statement, &zero)).into_affine();
    let proof = Proof {
        c: zero,
        commitment: zero,
        knowledge,
        ..proof
    };
    let name = format!("A = alpha, B = beta, C = D = 0, P = -I, {}", key.name);
    let (inputs, bytes) = (hexes(&statement), proof.encode());
    vectors.add(name, key.name, inputs, &bytes, Some("infinity"));
    // The knowledge equation alone holds, Groth16's does not.
    let doubled = Proof {
        commitment: (honest.commitment + honest.commitment).into_affine(),
        knowledge: (honest.knowledge + honest.knowledge).into_affine(),
        ..honest
    };
    let name = format!("commitment and knowledge doubled, {}", key.name);
    vectors.forged(name, key, &statement, &doubled);
}

type Edit = fn(&mut Proof, &Proof);

pub(crate) fn elements(vectors: &mut Vectors, key: &Keyed) {
    let (statement, proof) = sample(key, 10);
    let (_, donor) = sample(key, 11);
    let edits: [(&str, Edit, Edit); 5] = [
        ("A", |p, d| p.a = d.a, |p, _| p.a = -p.a),
        ("B", |p, d| p.b = d.b, |p, _| p.b = -p.b),
        ("C", |p, d| p.c = d.c, |p, _| p.c = -p.c),
        (
            "D",
            |p, d| p.commitment = d.commitment,
            |p, _| p.commitment = -p.commitment,
        ),
        (
            "P",
            |p, d| p.knowledge = d.knowledge,
            |p, _| p.knowledge = -p.knowledge,
        ),
    ];
    for (name, swap, negate) in edits {
        for (what, edit) in [("of another proof", swap), ("negated", negate)] {
            let mut bent = proof;
            edit(&mut bent, &donor);
            vectors.forged(format!("{name} {what}"), key, &statement, &bent);
        }
    }
    let swapped = Proof {
        a: proof.c,
        c: proof.a,
        ..proof
    };
    vectors.forged("A and C exchanged", key, &statement, &swapped);
    let swapped = Proof {
        commitment: proof.knowledge,
        knowledge: proof.commitment,
        ..proof
    };
    vectors.forged("D and P exchanged", key, &statement, &swapped);
    let swapped = Proof {
        commitment: donor.commitment,
        knowledge: donor.knowledge,
        ..proof
    };
    vectors.forged("D and P of another proof", key, &statement, &swapped);
    vectors.forged("another proof", key, &statement, &donor);
}

pub(crate) fn statements(vectors: &mut Vectors, key: &Keyed, other: &Keyed) {
    let (statement, proof) = sample(key, 12);
    let bytes = proof.encode();
    let good = hexes(&statement);
    for i in 0..4 {
        for (what, value) in [
            ("plus one", statement[i] + Fr::ONE),
            ("negated", -statement[i]),
            ("zero", Fr::ZERO),
        ] {
            let mut lie = statement;
            lie[i] = value;
            vectors.forged(format!("input {i} {what}"), key, &lie, &proof);
        }
        let mut alias = statement[i].into_bigint();
        assert!(!alias.add_with_carry(&Fr::MODULUS), "below 2^256");
        for (what, number) in [
            ("plus the modulus", alias),
            ("the modulus", Fr::MODULUS),
            ("2^256 - 1", BigInt([u64::MAX; 4])),
        ] {
            let mut lie = good.clone();
            lie[i] = hex::encode(number.to_bytes_le());
            let name = format!("input {i} {what}");
            vectors.add(name, key.name, lie, &bytes, Some("input-range"));
        }
    }
    let mut swapped = statement;
    swapped.swap(1, 2);
    vectors.forged("inputs 1 and 2 exchanged", key, &swapped, &proof);
    let big: Vec<_> = (statement.iter().map(scalar_to_bytes))
        .map(|mut input| {
            input.reverse();
            hex::encode(input)
        })
        .collect();
    vectors.add(
        "inputs big-endian",
        key.name,
        big,
        &bytes,
        Some("input-range"),
    );

    let count = Some("input-count");
    let zero = hexes(&[Fr::ZERO]);
    let longer = [&good[..], &zero].concat();
    vectors.add("one input more, zero", key.name, longer, &bytes, count);
    let longer = [&good[..], &good[3..]].concat();
    vectors.add("one input more", key.name, longer, &bytes, count);
    vectors.add(
        "one input fewer",
        key.name,
        good[..3].to_vec(),
        &bytes,
        count,
    );
    vectors.add("no input", key.name, Vec::new(), &bytes, count);
    let mut rng = StdRng::seed_from_u64(80);
    let tail = [statement[0], statement[1], Fr::ZERO, Fr::ZERO];
    let logarithms = [(); 3].map(|()| Fr::rand(&mut rng));
    let proof_of_tail = key.simulate(&tail, logarithms, G1Projective::ZERO).encode();
    for left in [2, 3] {
        let name = format!("a zero tail left out, {left} inputs");
        vectors.add(name, key.name, hexes(&tail[..left]), &proof_of_tail, count);
    }

    let refused = Some("refused");
    vectors.add("another key", other.name, good.clone(), &bytes, refused);
    let mut marked = key.key().key().clone();
    marked.origin = Origin::Ceremony;
    let value = json!({ "file": hex::encode(marked.to_file()), "digest": marked.digest() });
    vectors
        .keys
        .insert("quorum, marked as a ceremony's".into(), value);
    let marked = "quorum, marked as a ceremony's";
    vectors.add("the key with another mark", marked, good, &bytes, refused);
}
