//! The whole circuit: who may use what of the tests below, and what its shape is.

mod attacks;
mod completeness;
mod forgery;
mod pages;

use std::sync::OnceLock;

use ark_bn254::Fr;
use ark_relations::gr1cs::{ConstraintSynthesizer, ConstraintSystem, SynthesisMode};
use quorate_fixtures::{Network, seed_bytes};
use quorate_verifier::dummy::{DUMMY_KEY, dummy_signature};
use quorate_verifier::primitives::{Digest, View};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::key_halves;
use quorate_verifier::signature::{Signature, challenge};
use quorate_verifier::sizes::NAMED_SIZES;

use super::*;
use crate::circom::tests::broken_in_export;
use crate::ground::{Matrices, Synthesizer};
use crate::membership::{Opening, SetOpening};
use crate::report::Listing;
use crate::testing::{Built, Forge, Trial, Verdict, on_all_cores};

const RULE: QuorumRule = QuorumRule::COMMIT;
const VIEW: View = View::new(1);

/// Powers 40, 30, 20 and 10: the first two are a quorum, and with `slots` of three a dummy is left.
fn network() -> Network {
    Network::new(11, &[40, 30, 20, 10], 3)
}

/// Witness of the block at height 1, signed by these.
fn witness(network: &Network, signers: &[u16]) -> QuorumWitness {
    witness_in_view(network, signers, VIEW)
}

fn witness_in_view(network: &Network, signers: &[u16], view: View) -> QuorumWitness {
    let header = network.child(&network.genesis_header());
    let block = network.finalize(header, view, signers);
    QuorumWitness::new(&block.certificate, &network.set, RULE).expect("a quorum")
}

/// Places 0 and 1 of [`network`], and a dummy.
fn example() -> QuorumWitness {
    witness(&network(), &[0, 1])
}

/// A small table keeps tests fast; the argument does not depend on it.
fn circuit(witness: QuorumWitness) -> QuorumCircuit {
    QuorumCircuit {
        chunk_bits: 8,
        ..QuorumCircuit::new(witness)
    }
}

fn build(witness: QuorumWitness) -> Built {
    Trial::new().build_circuit(&circuit(witness))
}

/// [`example`], built: its rows judge every witness of three slots.
fn three() -> &'static Built {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT.get_or_init(|| build(example()))
}

/// What the circuit of three slots says to a witness.
fn judge(witness: QuorumWitness) -> Verdict {
    three().judge(&circuit(witness), Vec::new())
}

/// What it says to [`example`] with lies.
fn judge_lies(lies: Vec<Forge>) -> Verdict {
    three().judge(&circuit(example()), lies)
}

fn signature(r: [u8; 32], s: [u8; 32]) -> Signature {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&r);
    bytes[32..].copy_from_slice(&s);
    Signature::from_bytes(bytes)
}

fn assert_accepted(what: &str, verdict: &Verdict) {
    assert_eq!(verdict.refusals(), [""; 0], "{what}");
}

/// The rows are the same for every witness, for a placeholder, and for a key generator.
#[test]
fn set_up_and_proving_build_identical_matrices() {
    let few = &three().matrices;
    let other = Network::equal(14, 4, 3);
    let many = circuit(witness(&other, &[1, 2, 3]));
    assert!(*few == many.record());
    let size = CircuitSize::from_slots(3).expect("a size");
    let placeholder = circuit(QuorumWitness::placeholder(size));
    assert!(*few == placeholder.record());
    let cs = ConstraintSystem::<Fr>::new_ref();
    cs.set_mode(SynthesisMode::Setup);
    Synthesizer(&placeholder)
        .generate_constraints(cs.clone())
        .expect("a circuit cannot fail");
    cs.finalize();
    let read = Matrices::read(&cs.borrow().expect("present"), few.layout);
    assert!(*few == read);
    assert_eq!(few.commitment_fault(), None);
}

/// What an outside tool reads in the exported file are these rows: it finds an honest assignment good,
/// and each value of the statement read by some row.
#[test]
fn the_exported_file_says_the_same_rows() {
    let listing = Listing::of(&circuit(example()));
    let z = &three().z;
    assert_eq!(broken_in_export(&listing, z), [0; 0]);
    let mut edited = z.clone();
    let inputs = 1..=listing.matrices.layout.statement;
    edited[inputs]
        .iter_mut()
        .for_each(|input| *input += Fr::from(1));
    let names = broken_in_export(&listing, &edited);
    let names = names.into_iter().map(|i| &*listing.rows[i]);
    let names: Vec<&str> = names.filter(|name| !name.contains("weight/")).collect();
    for row in [
        "set/commitment",
        "message/first/sum",
        "message/last/sum",
        "quorum/rule",
    ] {
        assert!(names.contains(&row), "{row}: {names:?}");
    }
}

/// Time must not tell the number of signers: the same number of cells of every width, but for
/// what is random anyway.
#[test]
fn full_and_almost_empty_slots_look_alike() {
    let one = Network::new(15, &[(1 << 58) + 1, 1 << 56, 1 << 55], 3);
    let three = Network::equal(15, 4, 3);
    let widths = |network: &Network, signers: &[u16]| {
        let built = build(witness(network, signers));
        let mut histogram = [0_i64; 5];
        for value in &built.z {
            use ark_ff::{BigInteger, PrimeField};
            let class = match value.into_bigint().num_bits() {
                0 => 0,
                1 => 1,
                2..=16 => 2,
                17..=128 => 3,
                _ => 4,
            };
            histogram[class] += 1;
        }
        histogram
    };
    let few = widths(&one, &[0]);
    let full = widths(&three, &[0, 1, 2]);
    assert_eq!(few.iter().sum::<i64>(), full.iter().sum::<i64>());
    for (class, (a, b)) in few.iter().zip(full).enumerate() {
        // Bits and chunks are as good as random: allow six standard deviations of a fair coin.
        let spread = 3.0 * f64::from(i32::try_from(a + b).expect("small")).sqrt();
        let difference = f64::from(i32::try_from((a - b).abs()).expect("small"));
        assert!(
            difference <= spread,
            "class {class}: {few:?} against {full:?}"
        );
    }
}

#[test]
fn cost() {
    let found = COSTS.map(|(slots, chunk_bits, ..)| {
        let circuit = QuorumCircuit {
            chunk_bits,
            ..QuorumCircuit::new(dummies(slots))
        };
        let m = circuit.record();
        (slots, chunk_bits, m.rows(), m.layout.committed)
    });
    assert_eq!(found, COSTS);
}

/// Slots, table, rows, committed cells. A change needs a line in docs/decisions/.
const COSTS: [(usize, u32, usize, usize); 4] = [
    (3, 13, 187_419, 56_424),
    (4, 13, 236_012, 64_059),
    (3, 16, 235_329, 107_059),
    (4, 16, 282_379, 113_594),
];

/// Every named size fills its domain, and one slot more would not fit.
#[test]
fn named_sizes_hold_what_they_say() {
    let rows = |slots: u16| {
        let slots = usize::from(slots);
        let chunk_bits = chunk_bits_for(slots);
        let of = |n: usize| {
            let (.., rows, _) = COSTS[n];
            rows
        };
        let (three, four) = if chunk_bits == SMALL_CHUNK_BITS {
            (of(0), of(1))
        } else {
            (of(2), of(3))
        };
        // A few rows of the quorum's slack depend on the slots' logarithm: at most one chunk more.
        three + (four - three) * (slots - 3) + 8
    };
    for named in NAMED_SIZES {
        let domain = 1 << named.domain_log2;
        let slots = named.size.slots();
        assert!(rows(slots) <= domain, "{slots} slots");
        assert!(
            rows(slots + 1) > domain,
            "{slots} slots leave room for one more"
        );
    }
}

/// Any witness of so many slots: dummies only.
fn dummies(slots: usize) -> QuorumWitness {
    let mut w = example();
    let signature = dummy_signature(w.message.as_bytes());
    w.slots = (0..slots)
        .map(|i| SlotWitness {
            flag: false,
            key: DUMMY_KEY,
            signature,
            opening: Opening {
                index: u32::try_from(i).expect("few"),
                ..Opening::default()
            },
        })
        .collect();
    w
}
