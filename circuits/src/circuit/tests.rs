//! Attacks on the whole circuit: a false witness, everything else computed honestly by the real
//! builder, and the row that refuses it.

use ark_bn254::Fr;
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::scalar::Scalar as Mod;
use quorate_fixtures::{Network, seed_bytes};
use quorate_verifier::dummy::{DUMMY_KEY, dummy_signature};
use quorate_verifier::primitives::{Digest, View};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::key_halves;
use quorate_verifier::signature::{Signature, challenge};
use quorate_verifier::sizes::NAMED_SIZES;

use super::*;
use crate::membership::{Opening, SetOpening};
use crate::report::Listing;
use crate::testing::{Built, Forge, Trial};

const RULE: QuorumRule = QuorumRule::COMMIT;
const VIEW: View = View::new(1);

fn network() -> Network {
    Network::new(11, &[40, 30, 20, 10], 3)
}

/// Witness of the block at height 1, signed by these.
fn witness(network: &Network, signers: &[u16]) -> QuorumWitness {
    let header = network.child(&network.genesis_header());
    let block = network.finalize(header, VIEW, signers);
    QuorumWitness::new(&block.certificate, &network.set, RULE).expect("a quorum")
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

/// Names of broken rows and stray look-ups.
fn refusals(built: &Built) -> Vec<String> {
    let rows = built.broken().filter(|row| *row != "lookup/sum");
    rows.chain(built.strays()).map(str::to_owned).collect()
}

/// Every refusal is one of these (a name or the beginning of one), and there is at least one.
fn assert_refused(what: &str, built: &Built, by: &[&str]) {
    let refusals = refusals(built);
    assert!(!refusals.is_empty(), "{what} is accepted");
    for name in &refusals {
        assert!(
            by.iter().any(|prefix| name.starts_with(prefix)),
            "{what} is refused by {name}, all: {refusals:?}"
        );
    }
}

/// The end of the batch equation, both coordinates.
const EQUATION: &[&str] = &["batch/end/"];

#[test]
fn few_and_many_signers_hold() {
    let network = network();
    for signers in [&[0, 1][..], &[0, 2, 3], &[0, 1, 2, 3]] {
        let built = build(witness(&network, signers));
        assert_eq!(refusals(&built), [""; 0], "{signers:?}");
        assert_eq!(
            built.loose_entries(),
            [""; 0],
            "chosen after the challenges"
        );
    }
}

#[test]
fn the_fewest_signers_fill_the_sets_size() {
    let all = witness(&network(), &[0, 1, 2, 3]);
    let counted: Vec<_> = all
        .slots
        .iter()
        .map(|s| (s.opening.index, s.flag))
        .collect();
    assert_eq!(counted, [(0, true), (1, true), (2, false)]);
    assert_eq!(all.slots[2].key, DUMMY_KEY);

    let equal = Network::equal(12, 4, 2);
    let header = equal.child(&equal.genesis_header());
    let block = equal.finalize(header, VIEW, &[0, 1, 2]);
    let error = QuorumWitness::new(&block.certificate, &equal.set, RULE).expect_err("two slots");
    assert_eq!(
        error,
        WitnessError::TooManySigners {
            needed: 3,
            slots: 2
        }
    );
}

#[test]
fn a_stranger_is_refused() {
    let mut w = witness(&network(), &[0, 1]);
    let other = Network::new(99, &[40, 30, 20, 10], 3);
    let vote = other.vote(0, &header_digest(), VIEW);
    w.slots[0].key = *other.set.validators()[0].key.as_bytes();
    w.slots[0].signature = vote.signature;
    assert_refused("a stranger", &build(w), &["slot[0]/member/root"]);
}

#[test]
fn a_leaf_of_another_set_is_refused() {
    let mut w = witness(&network(), &[0, 1]);
    let other = Network::new(99, &[40, 30, 20, 10], 3);
    w.slots[0].key = *other.set.validators()[0].key.as_bytes();
    w.slots[0].signature = other.vote(0, &header_digest(), VIEW).signature;
    w.slots[0].opening = Opening::of(&other.set, 0).expect("a member");
    assert_refused("another set's leaf", &build(w), &["slot[0]/member/root"]);
}

#[test]
fn a_signer_does_not_count_twice() {
    let mut w = witness(&network(), &[0, 1]);
    w.slots[1] = w.slots[0].clone();
    assert_refused("twice in a row", &build(w.clone()), &["order/gap[0]"]);
    // With an unused slot of a higher place between: ordering only the flagged would miss it.
    let mut between = witness(&network(), &[0, 1]).slots[2].clone();
    between.opening.index = 7;
    w.slots = vec![w.slots[0].clone(), between, w.slots[0].clone()];
    assert_refused("twice with a dummy between", &build(w), &["order/gap[1]"]);
}

#[test]
fn an_unused_slot_has_no_power() {
    // The dummy's flag is raised: its power would count, its root must then match.
    let honest = witness(&network(), &[0, 1]);
    let lie = Forge::value("slot/flag", 2, Fr::from(1));
    let built = Trial::new().lie(lie).build_circuit(&circuit(honest));
    // The flag is in the transcript too, but the dummy's signature is a good one.
    assert_refused("a raised flag", &built, &["slot[2]/member/root"]);
}

#[test]
fn power_and_total_are_the_sets() {
    let mut w = witness(&network(), &[0, 1]);
    w.slots[0].opening.power += 1;
    assert_refused("edited power", &build(w), &["slot[0]/member/root"]);
    let mut w = witness(&network(), &[0, 1]);
    w.set.total -= 1;
    assert_refused("edited total", &build(w), &["set/commitment"]);
}

#[test]
fn exactly_two_thirds_is_refused() {
    let network = Network::new(13, &[4, 2, 3], 3);
    let header = network.child(&network.genesis_header());
    let block = network.finalize(header, VIEW, &[0, 1]);
    // By the rule of a half it is a quorum; then the statement claims two thirds.
    let half = QuorumRule::new(1, 2).expect("lowest terms");
    let mut w = QuorumWitness::new(&block.certificate, &network.set, half).expect("six of nine");
    assert_eq!(refusals(&build(w.clone())), [""; 0]);
    w.statement.rule = RULE;
    assert_refused(
        "exactly two thirds",
        &build(w),
        &["quorum/slack", "quorum/bind"],
    );
}

#[test]
fn another_message_is_refused() {
    let mut w = witness(&network(), &[0, 1]);
    let mut digest = *w.statement.message_digest.as_bytes();
    digest[31] ^= 1;
    w.statement.message_digest = Digest::from_bytes(digest);
    assert_refused("another message", &build(w), EQUATION);
}

#[test]
fn another_sets_commitment_is_refused() {
    let mut w = witness(&network(), &[0, 1]);
    w.statement.set_commitment = Network::equal(99, 4, 3).set.commitment();
    assert_refused("another commitment", &build(w), &["set/commitment"]);
}

fn header_digest() -> Digest {
    let network = network();
    network.child(&network.genesis_header()).digest()
}

/// The keys' seeds are published, so tests can sign as any owner might.
fn secret_scalar(index: u64) -> Mod {
    let seed = seed_bytes("consensus key", 11, index);
    ed25519_dalek::hazmat::ExpandedSecretKey::from(&seed).scalar
}

#[test]
fn a_scalar_is_below_the_order() {
    let mut w = witness(&network(), &[0, 1]);
    let mut bytes = w.slots[0].signature.to_bytes();
    let mut carry = 0;
    for (byte, add) in bytes[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (u8::try_from(sum & 255).expect("masked"), sum >> 8);
    }
    assert_eq!(carry, 0);
    w.slots[0].signature = Signature::from_bytes(bytes);
    let by = ["slot[0]/s/", "batch/"];
    let built = build(w);
    assert_refused("s + L", &built, &by);
    assert!(
        refusals(&built)
            .iter()
            .any(|name| name.starts_with("slot[0]/s/"))
    );
}

/// L, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

#[test]
fn torsion_in_r_needs_the_owner() {
    let honest = witness(&network(), &[0, 1]);
    for torsion in &EIGHT_TORSION[1..] {
        // Added by somebody else: k changes with the bytes of R, s does not.
        let mut moved = honest.clone();
        let signature = moved.slots[0].signature;
        let r = curve25519_dalek::edwards::CompressedEdwardsY(signature.r_bytes());
        let r = r.decompress().expect("an honest R") + torsion;
        let mut bytes = signature.to_bytes();
        bytes[..32].copy_from_slice(r.compress().as_bytes());
        moved.slots[0].signature = Signature::from_bytes(bytes);
        assert_refused("R + T with the old s", &build(moved), EQUATION);
    }
    // Signed anew by the key's owner: the predicate is cofactored and accepts.
    let mut anew = honest;
    let nonce = Mod::from(123_456_789_u64);
    let r = (ED25519_BASEPOINT_POINT * nonce + EIGHT_TORSION[1]).compress();
    let k = challenge(r.as_bytes(), &anew.slots[0].key, anew.message.as_bytes());
    let s = nonce + k * secret_scalar(0);
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(r.as_bytes());
    bytes[32..].copy_from_slice(s.as_bytes());
    anew.slots[0].signature = Signature::from_bytes(bytes);
    assert_eq!(refusals(&build(anew)), [""; 0]);
}

#[test]
fn one_bad_signature_is_not_hidden_among_good_ones() {
    for slot in 0..3 {
        let mut w = witness(&network(), &[0, 1]);
        let mut bytes = w.slots[slot].signature.to_bytes();
        bytes[32] ^= 1;
        w.slots[slot].signature = Signature::from_bytes(bytes);
        assert_refused("a bad s", &build(w), EQUATION);
    }
    // Two errors that cancel when the weights are equal: s up in one slot, down in another.
    let mut w = witness(&network(), &[0, 1]);
    for (slot, delta) in [(0, Mod::ONE), (1, -Mod::ONE)] {
        let mut bytes = w.slots[slot].signature.to_bytes();
        let s = w.slots[slot].signature.s_bytes();
        let s = Mod::from_canonical_bytes(s).expect("canonical") + delta;
        bytes[32..].copy_from_slice(s.as_bytes());
        w.slots[slot].signature = Signature::from_bytes(bytes);
    }
    assert_refused("errors that cancel", &build(w), EQUATION);
}

/// The verdict of docs/signatures.md on our own edge cases, through the whole circuit: keys that no
/// set takes are tried with a forged commitment.
#[test]
fn edge_cases_are_judged_as_in_the_clear() {
    let text = include_str!("../../../fixtures/vectors/ed25519/own.json");
    let file: vectors::File = serde_json::from_str(text).expect("JSON");
    assert!(file.vectors.len() > 400);
    let matrices = vectors::circuit(&file.vectors[0]).record();
    let threads = 2;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (matrices, all) = (&matrices, &file.vectors);
            scope.spawn(move || {
                for vector in all.iter().skip(thread).step_by(threads) {
                    if !vector.is_tagged() {
                        continue; // the circuit knows commit messages only
                    }
                    let circuit = vectors::circuit(vector);
                    let accepted = vectors::holds(&circuit, matrices);
                    let what = format!("{}: {}", vector.class, vector.name);
                    assert_eq!(accepted, vector.is_expected(), "{what}");
                }
            });
        }
    });
}

mod vectors {
    use serde::Deserialize;

    use super::*;
    use crate::ground::{Challenges, Matrices};

    #[derive(Deserialize)]
    pub(super) struct File {
        pub(super) vectors: Vec<Vector>,
    }

    #[derive(Deserialize)]
    pub(super) struct Vector {
        pub(super) class: String,
        pub(super) name: String,
        #[serde(rename = "A")]
        a: String,
        #[serde(rename = "R")]
        r: String,
        s: String,
        message: String,
        expected: Expected,
    }

    #[derive(Deserialize)]
    struct Expected {
        predicate: String,
    }

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        let mut bytes = [0; N];
        hex::decode_to_slice(hex, &mut bytes).expect("hex");
        bytes
    }

    impl Vector {
        pub(super) fn is_tagged(&self) -> bool {
            bytes::<47>(&self.message).starts_with(Tag::COMMIT.as_bytes())
        }

        /// The predicate's verdict, but for keys with x = 0, which have no affine Montgomery form
        /// and which no set takes.
        pub(super) fn is_expected(&self) -> bool {
            let a = curve25519_dalek::edwards::CompressedEdwardsY(bytes(&self.a));
            let on_axis = a
                .decompress()
                .is_some_and(|a| (a + a).compress() == identity());
            self.expected.predicate == "accepted" && !on_axis
        }
    }

    fn identity() -> curve25519_dalek::edwards::CompressedEdwardsY {
        EIGHT_TORSION[0].compress()
    }

    /// One validator with this key, whose set's rules nobody checked.
    pub(super) fn circuit(vector: &Vector) -> QuorumCircuit {
        let key = bytes(&vector.a);
        let message: [u8; 47] = bytes(&vector.message);
        let signature = [bytes::<32>(&vector.r), bytes(&vector.s)].concat();
        let opening = Opening {
            power: 1,
            ..Opening::default()
        };
        let [low, high] = key_halves(&key);
        let leaf = quorate_verifier::poseidon::hash(&[low, high, Fr::from(1), Fr::from(0)]);
        let root = (0..TREE_DEPTH).fold(leaf, |node, _| {
            quorate_verifier::poseidon::hash(&[node, Fr::from(0)])
        });
        let set = SetOpening {
            root,
            total: 1,
            count: 1,
        };
        let digest = message[15..].try_into().expect("32 bytes");
        let block = Digest::from_bytes(digest);
        let slot = SlotWitness {
            flag: true,
            key,
            signature: Signature::from_bytes(signature.try_into().expect("64 bytes")),
            opening,
        };
        super::circuit(QuorumWitness {
            statement: quorate_verifier::statement::Statement {
                set_commitment: quorate_verifier::set::SetCommitment::from_scalar(
                    &set.commitment(),
                ),
                message_digest: block,
                rule: RULE,
            },
            message: quorate_verifier::message::CommitMessage::new(&block, VIEW),
            set,
            slots: vec![slot],
        })
    }

    /// Whether an honest proving run satisfies every row.
    pub(super) fn holds(circuit: &QuorumCircuit, matrices: &Matrices) -> bool {
        let challenges = Challenges {
            tuple: Fr::from(0x1234_5678_9abc_def1_u64),
            sum: Fr::from(0xfedc_ba98_7654_3211_u64),
        };
        let z = circuit
            .fill()
            .commit(|_, _| Fr::from(5))
            .respond(challenges)
            .into_assignment();
        (0..matrices.rows()).all(|i| {
            let [a, b, c] =
                [&matrices.a, &matrices.b, &matrices.c].map(|side| matrices.dot(side, i, &z));
            a * b == c
        })
    }
}

#[test]
fn rows_do_not_depend_on_values() {
    let few = circuit(witness(&network(), &[0, 1])).record();
    let other = Network::equal(14, 4, 3);
    let many = circuit(witness(&other, &[1, 2, 3])).record();
    assert!(few == many);
    assert_eq!(few.commitment_fault(), None);
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
            ..QuorumCircuit::new(example(slots))
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
fn example(slots: usize) -> QuorumWitness {
    let mut w = witness(&network(), &[0, 1]);
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

/// Every kind of hint that the circuit has is forged in its own gadget's tests.
#[test]
fn gadgets_of_the_whole_circuit() {
    let listing = Listing::of(&circuit(witness(&network(), &[0, 1])));
    let gadgets = listing.gadgets(2);
    for part in [
        "slot/sha512",
        "slot/member",
        "batch/chain",
        "quorum/bind",
        "transcript/slot",
    ] {
        assert!(gadgets.contains_key(part), "{part}: {gadgets:?}");
    }
}
