//! Every edge case, judged by every verifier; the vector file and the page's table say what came out.
#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

use std::collections::BTreeSet;
use std::fs;

use ed25519_dalek::Signer;
use quorate_verifier::signature::{
    BadSignature, BatchError, RawError, StrictError, VoteKey, verify, verify_batch, verify_strict,
};
use sha2::{Digest, Sha256};

use crate::signature_cases::{
    Case, Verdicts, logs, measure, own, predicate_word, published, set_check_word, table,
    workspace_file,
};

#[test]
fn every_verifier_says_what_is_expected() {
    for (source, cases) in table::sources() {
        for case in cases {
            assert_eq!(
                measure(&case),
                case.expected,
                "{source}: {}: {}",
                case.class,
                case.name
            );
        }
    }
}

#[test]
fn the_page_holds_the_measured_verdicts() {
    let page = fs::read_to_string(workspace_file(table::PAGE)).unwrap();
    let expected = table::replaced(&page, measure).expect("the page has a place for the table");
    assert!(
        page == expected,
        "{} differs from what was measured; run: {}",
        table::PAGE,
        own::COMMAND
    );
}

#[test]
fn the_vector_file_is_what_the_seeds_give() {
    let file = fs::read_to_string(workspace_file(own::PATH)).unwrap();
    assert!(
        file == own::file(),
        "{} differs from what the seeds give; run: {}",
        own::PATH,
        own::COMMAND
    );
}

/// `verify`, `verify_strict` and the batch, on every case whose key may vote.
#[test]
fn the_forms_of_the_predicate_agree() {
    for (source, cases) in table::sources() {
        for case in cases {
            let Ok(key) = VoteKey::from_bytes(&case.A) else {
                continue;
            };
            let Verdicts {
                predicate,
                dalek_verify_strict,
                ..
            } = case.expected;
            let single = predicate.map_err(|error| match error {
                RawError::Signature(error) => error,
                RawError::Key(error) => panic!("a key that may vote {error}"),
            });
            let name = format!("{source}: {}: {}", case.class, case.name);
            let (message, signature) = (case.message.as_slice(), &case.signature);
            assert_eq!(verify(&key, message, signature), single, "{name}");
            let batch =
                single.map_err(|error| BatchError::Bad(vec![BadSignature { index: 0, error }]));
            assert_eq!(verify_batch(&[(&key, message, signature)]), batch, "{name}");
            let strict = match single {
                Ok(()) if !dalek_verify_strict => Err(StrictError::Torsion),
                other => other.map_err(StrictError::Invalid),
            };
            assert_eq!(verify_strict(&key, message, signature), strict, "{name}");
        }
    }
}

/// What `docs/signatures.md` reads out of the table.
#[test]
fn strict_under_sound_keys_is_within_ours_and_ours_within_zip215() {
    let mut refused_by_strict = BTreeSet::new();
    for (source, cases) in table::sources() {
        for case in cases {
            let said = measure(&case);
            let name = format!("{source}: {}: {}", case.class, case.name);
            assert!(
                !(said.set_check.is_ok() && said.dalek_verify_strict) || said.vote(),
                "{name}"
            );
            assert!(!said.vote() || said.zip215, "{name}");
            if said.vote() && !said.dalek_verify_strict {
                refused_by_strict.insert(case.class);
            }
        }
    }
    let classes: Vec<&str> = refused_by_strict.iter().map(String::as_str).collect();
    assert_eq!(
        classes,
        [
            "R + T, signed anew",
            "R of order four or eight, signed anew"
        ]
    );
}

/// One batch of everything that may vote: it names exactly the bad ones, wherever they stand.
#[test]
fn one_batch_of_all_cases_names_the_bad_ones() {
    let cases: Vec<(VoteKey, Case)> = table::sources()
        .into_iter()
        .flat_map(|(_, cases)| cases)
        .filter_map(|case| VoteKey::from_bytes(&case.A).ok().map(|key| (key, case)))
        .collect();
    let items: Vec<_> = cases
        .iter()
        .map(|(key, case)| (key, case.message.as_slice(), &case.signature))
        .collect();
    let Err(BatchError::Bad(bad)) = verify_batch(&items) else {
        panic!("the cases hold bad signatures")
    };
    let named: BTreeSet<usize> = bad.iter().map(|bad| bad.index).collect();
    for (index, (_, case)) in cases.iter().enumerate() {
        assert_eq!(
            named.contains(&index),
            case.expected.predicate.is_err(),
            "{}: {}",
            case.class,
            case.name
        );
    }

    let valid: Vec<_> = items
        .iter()
        .enumerate()
        .filter(|(index, _)| !named.contains(index))
        .map(|(_, item)| *item)
        .collect();
    let with_torsion = cases
        .iter()
        .filter(|(_, case)| case.expected.vote() && !case.expected.dalek_verify)
        .count();
    assert!(
        with_torsion >= 7,
        "valid signatures with torsion in R take part"
    );
    assert_eq!(verify_batch(&valid), Ok(()));
}

#[test]
fn the_vectors_of_rfc_8032_are_signed_again() {
    for (secret, case) in published::rfc8032() {
        assert_eq!(secret.verifying_key().to_bytes(), case.A, "{}", case.name);
        assert_eq!(
            secret.sign(&case.message).to_bytes(),
            case.signature.to_bytes(),
            "{}",
            case.name
        );
    }
}

#[test]
fn published_sets_are_complete() {
    let counts: Vec<(&str, usize)> = table::sources()
        .iter()
        .map(|(source, cases)| (*source, cases.len()))
        .collect();
    assert_eq!(
        counts[..4],
        [
            ("RFC 8032", 5),
            ("Wycheproof", 139),
            ("ZIP-215", 196),
            ("speccheck", 12)
        ]
    );
    assert_eq!(
        published::wycheproof_wrong_length(),
        (12, true),
        "139 + 12 = 151, all the short and long ones invalid"
    );
    assert!(
        published::zip215().iter().all(|case| case.expected.zip215),
        "ZIP-215 accepts its whole matrix"
    );
}

#[test]
fn speccheck_is_the_file_that_its_authors_published() {
    let file = fs::read(workspace_file("fixtures/vectors/ed25519/speccheck.json")).unwrap();
    let digest = hex::encode(Sha256::digest(file));
    assert_eq!(
        digest,
        "08e47a36d9aead288664930505584f353fff113ab854f2800db1e4f5b3540450"
    );
}

#[test]
fn our_own_cases_are_distinct_commit_messages_and_break_every_rule() {
    let cases = own::cases();
    let names: BTreeSet<_> = cases.iter().map(|case| (&case.class, &case.name)).collect();
    assert_eq!(names.len(), cases.len());
    let tagged = cases
        .iter()
        .filter(|case| case.message.starts_with(b"quorate-commit1"))
        .count();
    assert_eq!(
        tagged + 1,
        cases.len(),
        "one case has another tag on purpose"
    );
    assert!(cases.iter().all(|case| case.message.len() == 47));

    let predicate: BTreeSet<_> = cases
        .iter()
        .map(|case| predicate_word(case.expected.predicate))
        .collect();
    let set_check: BTreeSet<_> = cases
        .iter()
        .map(|case| set_check_word(case.expected.set_check))
        .collect();
    assert_eq!(predicate.len(), 8, "{predicate:?}");
    assert_eq!(set_check.len(), 6, "{set_check:?}");
    // ground apart: each of the four others differs from ours somewhere
    assert!(
        cases
            .iter()
            .any(|case| case.expected.vote() != case.expected.dalek_verify)
    );
    assert!(
        cases
            .iter()
            .any(|case| case.expected.vote() && !case.expected.dalek_verify_strict)
    );
    assert!(
        cases
            .iter()
            .any(|case| !case.expected.vote() && case.expected.dalek_verify_strict)
    );
    assert!(
        cases
            .iter()
            .any(|case| !case.expected.vote() && case.expected.zip215)
    );
}

#[test]
fn small_order_points_have_fourteen_encodings() {
    let encodings: BTreeSet<[u8; 32]> = logs::small_order()
        .iter()
        .map(|point| point.bytes)
        .collect();
    assert_eq!(encodings.len(), 14);
    for point in logs::small_order() {
        let decoded = ed25519_dalek::VerifyingKey::from_bytes(&point.bytes)
            .unwrap()
            .to_edwards();
        let multiple = quorate_verifier::signature::curve25519_dalek::constants::EIGHT_TORSION
            [usize::from(point.torsion)];
        assert_eq!(decoded, multiple);
        assert_eq!(point.canonical, decoded.compress().0 == point.bytes);
    }
}
