//! What is true is accepted: few signers and many, edge values, everybody's edge cases.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::scalar::Scalar as Mod;
use quorate_verifier::message::CommitMessage;
use quorate_verifier::poseidon;
use quorate_verifier::set::SetCommitment;
use quorate_verifier::statement::Statement;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::BTreeSet;

use super::*;

#[test]
fn few_and_many_signers_hold() {
    let network = network();
    for signers in [&[0, 1][..], &[0, 2, 3], &[0, 1, 2, 3]] {
        assert_accepted("a quorum", &judge(witness(&network, signers)));
    }
    assert_eq!(
        three().loose_entries(),
        [""; 0],
        "chosen after the challenges"
    );
}

/// Sets of one to nine validators of any power, any quorum of them, one to four slots.
#[test]
fn random_batches_hold() {
    let mut rng = ChaCha20Rng::seed_from_u64(21);
    let mut below = |n: u64| rng.next_u64() % n;
    let (mut witnesses, mut seen) = (Vec::new(), BTreeSet::new());
    while witnesses.len() < 20 {
        let slots = 1 + witnesses.len() % 4;
        let width = below(56);
        let powers: Vec<u64> = (0..=below(9)).map(|_| 1 + below(1 << width)).collect();
        let size = u16::try_from(slots).expect("few");
        let network = Network::new(below(1 << 40), &powers, size);
        let places = 0..u16::try_from(powers.len()).expect("few");
        let signers: Vec<u16> = places.filter(|_| below(8) > 0).collect();
        let header = network.child(&network.genesis_header());
        let block = network.finalize(header, View::new(below(1 << 20)), &signers);
        let Ok(witness) = QuorumWitness::new(&block.certificate, &network.set, RULE) else {
            continue; // no quorum, or one of more signers than slots
        };
        let used = witness.slots.iter().filter(|slot| slot.flag).count();
        seen.insert(if used == slots {
            "all slots"
        } else {
            "few slots"
        });
        for slot in witness.slots.iter().filter(|slot| slot.flag) {
            let odd = |bytes: &[u8; 32]| usize::from(bytes[31] >> 7);
            seen.insert(["A even", "A odd"][odd(&slot.key)]);
            seen.insert(["R even", "R odd"][odd(&slot.signature.r_bytes())]);
        }
        witnesses.push((slots, witness));
    }
    assert_eq!(seen.len(), 6, "{seen:?}");
    let shapes = [1, 2, 4].map(|slots| build(dummies_that_count(slots)));
    on_all_cores(&witnesses, |(slots, witness)| {
        let shape = match slots {
            3 => three(),
            _ => &shapes[slots / 2],
        };
        let verdict = shape.judge(&circuit(witness.clone()), Vec::new());
        assert_accepted("a random quorum", &verdict);
    });
}

/// Any true witness of so many slots.
fn dummies_that_count(slots: u16) -> QuorumWitness {
    witness(&Network::new(5, &[1], slots), &[0])
}

/// The least and the greatest powers and totals.
#[test]
fn extreme_powers_hold() {
    const MOST: u64 = (1 << 60) - 1;
    for powers in [
        vec![1],
        vec![MOST],
        vec![MOST - 2, 1, 1],
        vec![MOST / 3, MOST / 3, MOST / 3],
        vec![MOST / 3 + 1, MOST / 3, MOST / 3 - 1],
    ] {
        let network = Network::new(31, &powers, 3);
        let all: Vec<u16> = (0..3).take(powers.len()).collect();
        assert_accepted("extreme powers", &judge(witness(&network, &all)));
    }
}

/// R + T with torsion T, signed anew by the key's owner: the predicate is cofactored.
#[test]
fn torsion_signed_anew_by_the_owner_is_accepted() {
    for torsion in &EIGHT_TORSION[1..] {
        let mut anew = example();
        let nonce = Mod::from(123_456_789_u64);
        let r = (ED25519_BASEPOINT_POINT * nonce + torsion).compress();
        let k = challenge(r.as_bytes(), &anew.slots[0].key, anew.message.as_bytes());
        let s = nonce + k * secret_scalar(0);
        anew.slots[0].signature = signature(*r.as_bytes(), *s.as_bytes());
        assert_accepted("R + T signed anew", &judge(anew));
    }
}

/// The keys' seeds are published, so tests can sign as any owner might.
fn secret_scalar(index: u64) -> Mod {
    let seed = seed_bytes("consensus key", 11, index);
    ed25519_dalek::hazmat::ExpandedSecretKey::from(&seed).scalar
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

/// The verdict of docs/signatures.md on our own edge cases, through the whole circuit: keys that no
/// set takes are tried with a forged commitment.
#[test]
fn edge_cases_are_judged_as_in_the_clear() {
    let text = include_str!("../../../../fixtures/vectors/ed25519/own.json");
    let file: vectors::File = serde_json::from_str(text).expect("JSON");
    assert!(file.vectors.len() > 400);
    let tagged = file.vectors.iter().filter(|vector| vector.is_tagged());
    let tagged: Vec<_> = tagged.collect(); // the circuit knows commit messages only
    assert_eq!(tagged.len() + 1, file.vectors.len());
    on_all_cores(&tagged, |vector| {
        let verdict = one().judge(&vectors::circuit(vector), Vec::new());
        let what = format!("{}: {}", vector.class, vector.name);
        assert_eq!(verdict.is_accepted(), vector.is_expected(), "{what}");
        let by = ["batch/", "slot[0]/s/"];
        let of_the_signature = |name: &&str| by.iter().any(|prefix| name.starts_with(prefix));
        let refusals = verdict.refusals();
        assert!(
            refusals.iter().all(of_the_signature),
            "{what}: {refusals:?}"
        );
    });
}

/// One validator with one slot.
pub(super) fn one() -> &'static Built {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT.get_or_init(|| build(dummies_that_count(1)))
}

mod vectors {
    use serde::Deserialize;

    use super::*;

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

    pub(super) fn circuit(vector: &Vector) -> QuorumCircuit {
        super::circuit(alone(
            bytes(&vector.a),
            signature(bytes(&vector.r), bytes(&vector.s)),
            &bytes(&vector.message),
        ))
    }
}

/// One validator with this key, whose set's rules nobody checked.
pub(super) fn alone(key: [u8; 32], signature: Signature, message: &[u8; 47]) -> QuorumWitness {
    let opening = Opening {
        power: 1,
        ..Opening::default()
    };
    let [low, high] = key_halves(&key);
    let leaf = poseidon::hash(&[low, high, Fr::from(1), Fr::from(0)]);
    let root = (0..TREE_DEPTH).fold(leaf, |node, _| poseidon::hash(&[node, Fr::from(0)]));
    let set = SetOpening {
        root,
        total: 1,
        count: 1,
    };
    let block = Digest::from_bytes(message[15..].try_into().expect("32 bytes"));
    let slot = SlotWitness {
        flag: true,
        key,
        signature,
        opening,
    };
    QuorumWitness {
        statement: Statement {
            set_commitment: SetCommitment::from_scalar(&set.commitment()),
            message_digest: block,
            rule: RULE,
        },
        message: CommitMessage::new(&block, VIEW),
        set,
        slots: vec![slot],
    }
}
