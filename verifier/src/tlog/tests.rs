use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use ed25519_dalek::{Signer, SigningKey};

use super::*;
use crate::merkle;
use crate::primitives::Digest;
use crate::trust::{Cosigners, LogKey};

const LOG: &str = "example.com/log";

fn secret(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn note_key(seed: u8, name: &str, algorithm: NoteAlgorithm) -> NoteKey {
    let key = LogKey(secret(seed).verifying_key().to_bytes());
    NoteKey::new(name, algorithm, key).expect("a good name")
}

fn signed(seed: u8, head: &TreeHead) -> NoteSignature {
    let key = note_key(seed, &head.origin, NoteAlgorithm::Log);
    let signature = secret(seed).sign(head.body().as_bytes());
    NoteSignature {
        name: key.name().into(),
        id: key.id(),
        bytes: signature.to_bytes().to_vec(),
    }
}

fn cosigned(seed: u8, name: &str, head: &TreeHead, time: u64) -> NoteSignature {
    let signature = secret(seed).sign(&head.cosigned(time));
    NoteSignature {
        name: name.into(),
        id: note_key(seed, name, NoteAlgorithm::Cosigner).id(),
        bytes: [time.to_be_bytes().as_slice(), &signature.to_bytes()].concat(),
    }
}

fn leaves(count: u64) -> Vec<Digest> {
    (0..count)
        .map(|i| merkle::leaf_hash(&i.to_le_bytes()))
        .collect()
}

fn head(count: u64) -> TreeHead {
    TreeHead {
        origin: LOG.into(),
        size: count,
        root: merkle::root(&leaves(count)),
    }
}

/// RFC 6962 §2.1.2, as it is written there.
fn consistency(first: usize, leaves: &[Digest], whole: bool) -> Vec<Digest> {
    let count = leaves.len();
    if first == count {
        return if whole {
            vec![]
        } else {
            vec![merkle::root(leaves)]
        };
    }
    let width = 1 << (usize::BITS - 1 - (count - 1).leading_zeros());
    let (left, right) = leaves.split_at(width);
    let (mut proof, sibling) = if first <= width {
        (consistency(first, left, whole), merkle::root(right))
    } else {
        (consistency(first - width, right, false), merkle::root(left))
    };
    proof.push(sibling);
    proof
}

/// The example of golang.org/x/mod/sumdb/note, whose signed notes C2SP took over.
#[test]
fn a_note_signed_elsewhere() {
    let key: NoteKey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
        .parse()
        .expect("a good key");
    let note = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let parsed: SignedNote = note.parse().expect("a good note");
    assert_eq!(parsed.verify(&key), Ok(()));
    assert_eq!(parsed.to_string(), note);
    let forged: SignedNote = note.replacen("If", "Is", 1).parse().expect("a note");
    let bad = LogError::BadSignature("PeterNeumann".into());
    assert_eq!(forged.verify(&key), Err(bad));
}

#[test]
fn keys_are_text_and_back() {
    let key = note_key(1, LOG, NoteAlgorithm::Cosigner);
    let text = key.to_string();
    assert_eq!(text.parse(), Ok(key));
    for (from, to) in [("example", "exomple"), ("+", "-"), ("B", "C")] {
        let bad = text.replacen(from, to, 1);
        assert!(bad.parse::<NoteKey>().is_err(), "{bad}");
    }
    let key = LogKey([1; 32]);
    for name in ["", "a b", "a+b", "a\u{a0}b", "a\n"] {
        assert!(NoteKey::new(name, NoteAlgorithm::Log, key).is_err());
    }
}

#[test]
fn a_checkpoint_is_accepted_with_enough_cosigners() {
    let head = head(5);
    let log = note_key(1, LOG, NoteAlgorithm::Log);
    let keys = |seeds: &[u8]| {
        let mut keys: Vec<_> = seeds
            .iter()
            .map(|s| LogKey(secret(*s).verifying_key().to_bytes()))
            .collect();
        keys.sort();
        keys
    };
    let policy = Cosigners::new(2, keys(&[2, 3, 4])).expect("two of three");
    let lines = vec![
        signed(1, &head),
        cosigned(2, "a.example", &head, 100),
        cosigned(9, "stranger", &head, 100),
    ];
    let one = Checkpoint::new(head.clone(), lines);
    let too_few = LogError::TooFewCosigners {
        needed: 2,
        found: 1,
    };
    assert_eq!(one.accept(&log, &policy), Err(too_few.clone()));
    // The same cosigner under two names counts once.
    let twice = one
        .clone()
        .with_signature(cosigned(2, "b.example", &head, 7));
    assert_eq!(twice.accept(&log, &policy), Err(too_few));
    let two = one.with_signature(cosigned(3, "b.example", &head, 200));
    let names = two.accept(&log, &policy).expect("two cosigners");
    assert_eq!(names.iter().map(|c| c.time).collect::<Vec<_>>(), [100, 200]);
    assert_eq!(two.to_string().parse(), Ok(two.clone()));
    // A cosigner's line that does not hold spoils the checkpoint: it is known.
    let mut bad = cosigned(4, "c.example", &head, 1);
    bad.bytes[7] ^= 1;
    let error = two.clone().with_signature(bad).accept(&log, &policy);
    assert_eq!(error, Err(LogError::BadSignature("c.example".into())));
    // A log's own signature is no cosignature, and the other way round.
    let as_log = note_key(2, "a.example", NoteAlgorithm::Log);
    assert!(matches!(
        two.verify(&as_log),
        Err(LogError::WrongOrigin { .. })
    ));
    let other = note_key(5, LOG, NoteAlgorithm::Log);
    assert_eq!(two.verify(&other), Err(LogError::NotSigned(other)));
}

#[test]
fn consistency_for_every_pair_of_sizes() {
    for later in 0..34 {
        let all = leaves(later);
        let new = merkle::root(&all);
        for earlier in 0..=later {
            let at = usize::try_from(earlier).expect("small");
            let old = merkle::root(&all[..at]);
            let proof = if earlier == 0 {
                vec![]
            } else {
                consistency(at, &all, true)
            };
            let check = |proof: &[Digest]| check_consistency((earlier, &old), (later, &new), proof);
            assert_eq!(check(&proof), Ok(()), "{earlier} {later}");
            // Any other proof, and any other root, is refused.
            let refused = Err(LogError::Inconsistent { earlier, later });
            let longer = [proof.as_slice(), &[new]].concat();
            assert_eq!(check(&longer), refused, "{earlier} {later}");
            for i in 0..proof.len() {
                let mut bent = proof.clone();
                bent[i] = Digest::ZERO;
                assert_eq!(check(&bent), refused);
                let mut shorter = proof.clone();
                shorter.remove(i);
                assert_eq!(check(&shorter), refused);
            }
            let lie = Digest::from_bytes([7; 32]);
            assert!(check_consistency((earlier, &lie), (later, &new), &proof).is_err());
            if earlier > 0 || later == 0 {
                assert!(check_consistency((earlier, &old), (later, &lie), &proof).is_err());
            }
            if earlier < later {
                assert_eq!(
                    check_consistency((later, &new), (earlier, &old), &proof),
                    Err(LogError::Shrunk {
                        earlier: later,
                        later: earlier
                    })
                );
            }
        }
    }
}

#[test]
fn proofs_lead_from_an_entry_to_a_checkpoint() {
    let log = note_key(1, LOG, NoteAlgorithm::Log);
    let all = leaves(7);
    let checkpoint = Checkpoint::new(head(7), vec![signed(1, &head(7))]);
    let none = Cosigners::NONE;
    for index in 0..7u64 {
        let at = usize::try_from(index).expect("small");
        let proof = LogProof {
            index,
            path: merkle::inclusion_path(&all, at).expect("a leaf"),
            checkpoint: checkpoint.clone(),
        };
        let text = proof.to_string();
        assert_eq!(text.parse(), Ok(proof.clone()));
        let entry = index.to_le_bytes();
        assert_eq!(proof.verify(&entry, &log, &none), Ok(vec![]));
        let missing = LogError::NotIncluded { index, size: 7 };
        assert_eq!(
            proof.verify(&9_u64.to_le_bytes(), &log, &none),
            Err(missing)
        );
        let with_extra = text.replacen("index", "extra AAAA\nindex", 1);
        assert_eq!(with_extra.parse(), Ok(proof));
    }
}

#[test]
fn what_is_not_written_as_prescribed_is_refused() {
    let checkpoint = Checkpoint::new(head(3), vec![signed(1, &head(3))]);
    let text = checkpoint.to_string();
    for (from, to) in [
        ("\n3\n", "\n03\n"),
        ("\n3\n", "\n+3\n"),
        ("\n3\n", "\n3\nmore\n"),
        ("=\n\n", "\n\n"),
        ("=\n\n", "=\n"),
        ("\u{2014}", "-"),
        (LOG, ""),
        (LOG, "a\tb"),
    ] {
        let bad = text.replacen(from, to, 1);
        assert_ne!(bad, text);
        assert!(bad.parse::<Checkpoint>().is_err(), "{bad}");
    }
    assert!(text.trim_end().parse::<Checkpoint>().is_err());
    let many = text.clone() + text.lines().last().expect("a line");
    assert!(many.parse::<Checkpoint>().is_err());
    let line = format!("{}\n", text.lines().last().expect("a line"));
    let many = text.clone() + &line.repeat(SIGNATURES_MAX);
    assert!(many.parse::<Checkpoint>().is_err());
    assert!("x".repeat(NOTE_MAX_BYTES + 1).parse::<LogProof>().is_err());
}
