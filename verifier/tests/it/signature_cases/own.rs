//! Edge cases of our own: real 47-byte commit messages, signed by whoever owns the key, torsion and all.
//!
//! Everything follows from seeds. `fixtures/vectors/ed25519/own.json` holds the result, for every implementation of
//! the predicate, the circuit's included.

use quorate_verifier::signature::curve25519_dalek::Scalar;
use quorate_verifier::signature::{
    KeyError, PointError, RawError, Signature, SignatureError, challenge,
};
use serde::Serialize;
use sha2::{Digest, Sha256, Sha512};

use super::logs::{self, Known, L, case};
use super::{Case, Verdicts, predicate_word, published, set_check_word};

/// Where [`file`] belongs.
pub(crate) const PATH: &str = "fixtures/vectors/ed25519/own.json";
/// What writes it.
pub(crate) const COMMAND: &str =
    "cargo run --release -p quorate-verifier --example ed25519_vectors";

/// Every case, in the order of the file.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    honest(&mut cases);
    coincident_points(&mut cases);
    wrong_equation(&mut cases);
    scalar_forms(&mut cases);
    malformed_r(&mut cases);
    torsion_in_r(&mut cases);
    small_r(&mut cases);
    small_keys(&mut cases);
    mixed_keys(&mut cases);
    malformed_keys(&mut cases);
    cases.extend(
        published::small_order_matrix(&message("small-order matrix"))
            .into_iter()
            .map(|mut case| {
                case.class = format!("s = 0, {}", case.class);
                case
            }),
    );
    cases
}

fn honest(cases: &mut Vec<Case>) {
    for number in 0..4 {
        let label = format!("honest {number}");
        let message = message(&label);
        let secret = ed25519_dalek::SigningKey::from_bytes(&seed(&label));
        let key = Known::new(secret.to_scalar(), 0);
        let bytes = ed25519_dalek::Signer::sign(&secret, &message).to_bytes();
        cases.push(Case {
            class: "honest, signed by ed25519-dalek".into(),
            name: label,
            A: key.bytes,
            signature: Signature::from_bytes(bytes),
            message: message.to_vec(),
            expected: Verdicts::SOUND,
        });
    }
}

/// Valid signatures in which points coincide: where incomplete addition formulas break.
#[allow(non_snake_case, reason = "the names of RFC 8032")]
fn coincident_points(cases: &mut Vec<Case>) {
    let a = scalar("coincident key");
    let r = scalar("coincident nonce");
    let two = Scalar::from(2u8);
    let pairs = [
        ("A = B", Scalar::ONE, r),
        ("A = -B", -Scalar::ONE, r),
        ("A = 2B", two, r),
        ("A = -2B", -two, r),
        ("R = B", a, Scalar::ONE),
        ("R = -B", a, -Scalar::ONE),
        ("R = A", a, a),
        ("R = -A", a, -a),
        ("R = 2A", a, two * a),
        ("A = R = B", Scalar::ONE, Scalar::ONE),
        ("A = B, R = -B", Scalar::ONE, -Scalar::ONE),
        ("A = B / 2", two.invert(), r),
        ("R = B / 2", a, two.invert()),
    ];
    for (name, a, r) in pairs {
        cases.push(signed(
            "coinciding points",
            name,
            Known::new(a, 0),
            Known::new(r, 0),
        ));
    }
}

#[allow(non_snake_case, reason = "the names of RFC 8032")]
fn wrong_equation(cases: &mut Vec<Case>) {
    let class = "well-formed, equation fails";
    let (A, R) = sound_pair(class);
    let message = message(class);
    let s = respond(&A, &R, &message);
    let mut add = |name: &str, A: Known, R: Known, s: Scalar, message: &[u8]| {
        cases.push(case(class, name, A, R, s.to_bytes(), message));
    };
    let mut last_bit = message;
    last_bit[46] ^= 0x80;
    let mut other_tag = message;
    other_tag[..15].copy_from_slice(b"quorate-prepare");
    add("last bit of the message", A, R, s, &last_bit);
    add("another tag", A, R, s, &other_tag);
    add(
        "another key",
        Known::new(scalar("another key"), 0),
        R,
        s,
        &message,
    );
    add("A negated", Known::new(-A.log, 0), R, s, &message);
    add("R negated", A, Known::new(-R.log, 0), s, &message);
    add("s + 1", A, R, s + Scalar::ONE, &message);
    add("s negated", A, R, -s, &message);
    add("s = 0", A, R, Scalar::ZERO, &message);
    add("s = L - 1", A, R, -Scalar::ONE, &message);
    add("R + B", A, Known::new(R.log + Scalar::ONE, 0), s, &message);
    add("sB = R, k dropped", A, R, R.log, &message);
    add("sB = kA, R dropped", A, R, s - R.log, &message);
}

/// A valid signature whose s is written otherwise, or fails for its size alone.
#[allow(non_snake_case, reason = "the names of RFC 8032")]
fn scalar_forms(cases: &mut Vec<Case>) {
    let class = "s >= L, equation holds";
    let (A, R) = sound_pair(class);
    let message = message(class);
    let s = respond(&A, &R, &message).to_bytes();
    for times in [1, 2, 7, 8, 15] {
        let name = format!("s + {times}L");
        if let Some(s) = plus_multiple_of_l(s, times) {
            cases.push(case(class, name, A, R, s, &message));
        }
    }
    // With a key of small order s may be anything, so here only the bound on s refuses.
    let small = Known::new(Scalar::ZERO, 1);
    cases.push(case(
        class,
        "s = L, A and R of order eight",
        small,
        Known::new(Scalar::ZERO, 3),
        L,
        &message,
    ));

    let class = "s >= L, equation fails";
    let with_bit = |bit: usize| {
        let mut s = s;
        s[bit / 8] |= 1 << (bit % 8);
        s
    };
    cases.push(case(class, "s + 2^253", A, R, with_bit(253), &message));
    cases.push(case(class, "s + 2^254", A, R, with_bit(254), &message));
    cases.push(case(class, "s + 2^255", A, R, with_bit(255), &message));
    cases.push(case(class, "s = L", A, R, L, &message));
    cases.push(case(class, "s = 2^256 - 1", A, R, [0xff; 32], &message));
}

/// R that is no canonical point, whatever the rest.
#[allow(non_snake_case, reason = "the names of RFC 8032")]
fn malformed_r(cases: &mut Vec<Case>) {
    let (A, R) = sound_pair("malformed R");
    let message = message("malformed R");
    let s = respond(&A, &R, &message);
    let mut add = |class: &str, name: String, R: [u8; 32], error: SignatureError| {
        let signature = Signature::from_bytes(join(&R, &s.to_bytes()));
        let expected = Verdicts::refused(error);
        cases.push(Case {
            class: class.into(),
            name,
            A: A.bytes,
            signature,
            message: message.to_vec(),
            expected,
        });
    };
    let mut off_curve = [0; 32];
    off_curve[0] = 2; // (y^2 - 1) / (d y^2 + 1) is no square for y = 2
    add(
        "R not on the curve",
        "y = 2".into(),
        off_curve,
        SignatureError::RNotOnCurve,
    );
    off_curve[31] = 0x80;
    add(
        "R not on the curve",
        "y = 2, sign set".into(),
        off_curve,
        SignatureError::RNotOnCurve,
    );
    for low in 0u8..19 {
        for sign in [0u8, 0x80] {
            let mut y = [0; 32];
            y[0] = low;
            let mut R = logs::plus_p(y);
            R[31] |= sign;
            let name = format!("y = p + {low}, sign {}", sign >> 7);
            add(
                "R with y >= p, equation fails",
                name,
                R,
                SignatureError::RNonCanonical,
            );
        }
    }
}

/// R + T, signed by the key's owner (k over the new R), and with the old s.
#[allow(non_snake_case, reason = "the names of RFC 8032")]
fn torsion_in_r(cases: &mut Vec<Case>) {
    let (A, R) = sound_pair("torsion in R");
    for torsion in 1..8 {
        let with_torsion = Known::new(R.log, torsion);
        cases.push(signed(
            "R + T, signed anew",
            format!("{torsion}T"),
            A,
            with_torsion,
        ));
    }
    let class = "R + T, s kept";
    let message = message(class);
    let s = respond(&A, &R, &message).to_bytes();
    for torsion in 1..8 {
        cases.push(case(
            class,
            format!("{torsion}T"),
            A,
            Known::new(R.log, torsion),
            s,
            &message,
        ));
    }
    let class = "R + T, signed anew, s changed";
    let R = Known::new(R.log, 3);
    let s = respond(&A, &R, &message);
    cases.push(case(
        class,
        "s + 1",
        A,
        R,
        (s + Scalar::ONE).to_bytes(),
        &message,
    ));
    if let Some(s) = plus_multiple_of_l(s.to_bytes(), 1) {
        cases.push(case(class, "s + L", A, R, s, &message));
    }
}

/// R of small order, signed by the owner of a sound key: s = ka.
#[allow(non_snake_case, reason = "the names of RFC 8032")]
fn small_r(cases: &mut Vec<Case>) {
    let A = Known::new(scalar("small R"), 0);
    for R in logs::small_order() {
        let class = match (R.canonical, R.torsion % 4) {
            (true, 0) => "R the identity or of order two, signed anew",
            (true, _) => "R of order four or eight, signed anew",
            (false, _) => "R small, not canonical, signed anew",
        };
        cases.push(signed(class, hex::encode(R.bytes), A, R));
    }
    let class = "R small, not canonical, k over the canonical R";
    let message = message(class);
    for alias in logs::small_order_aliases() {
        let canonical = Known::new(alias.log, alias.torsion);
        let s = respond(&A, &canonical, &message).to_bytes();
        cases.push(case(class, hex::encode(alias.bytes), A, alias, s, &message));
    }
}

/// Keys of small order, in every encoding: anyone signs for them with s = r.
#[allow(non_snake_case, reason = "the names of RFC 8032")]
fn small_keys(cases: &mut Vec<Case>) {
    for A in logs::small_order() {
        let class = if A.canonical {
            "A small"
        } else {
            "A small, not canonical"
        };
        let name = hex::encode(A.bytes);
        // both outcomes of the equation without cofactor: k * torsion(A) = 0 mod 8, or not
        for holds in [true, false] {
            let wanted =
                |k: &Scalar| k.as_bytes()[0].wrapping_mul(A.torsion).is_multiple_of(8) == holds;
            let without = if holds { "valid" } else { "invalid" };
            if A.torsion == 0 && !holds {
                continue;
            }
            let name = format!("{name}, {without} without cofactor");
            cases.push(ground(&format!("{class}, R = rB"), &name, A, 0, wanted));
        }
    }
    for (name, r) in [
        ("s = 1, R = B", Scalar::ONE),
        ("s = L - 1, R = -B", -Scalar::ONE),
    ] {
        cases.push(signed(
            "A small, R = rB",
            name,
            Known::new(Scalar::ZERO, 2),
            Known::new(r, 0),
        ));
    }
    for alias in logs::small_order_aliases() {
        let class = "A small, not canonical, k over the canonical A";
        let canonical = Known::new(alias.log, alias.torsion);
        let R = Known::new(scalar(class), 0);
        let message = message(class);
        let s = respond(&canonical, &R, &message).to_bytes();
        cases.push(case(class, hex::encode(alias.bytes), alias, R, s, &message));
    }
}

/// Keys aB + T.
#[allow(non_snake_case, reason = "the names of RFC 8032")]
fn mixed_keys(cases: &mut Vec<Case>) {
    let a = scalar("mixed key");
    for torsion in 1..8 {
        let A = Known::new(a, torsion);
        for r_torsion in [0, 8 - torsion] {
            for holds in [true, false] {
                let class = if holds {
                    "A mixed, also valid without cofactor"
                } else {
                    "A mixed, valid with cofactor only"
                };
                let wanted = |k: &Scalar| {
                    k.as_bytes()[0]
                        .wrapping_mul(torsion)
                        .wrapping_add(r_torsion)
                        .is_multiple_of(8)
                        == holds
                };
                cases.push(ground(
                    class,
                    &format!("A {torsion}T, R {r_torsion}T"),
                    A,
                    r_torsion,
                    wanted,
                ));
            }
        }
    }
    // (8k mod L)A differs from 8(kA) by (8k mod L)T: a verifier that multiplies k by 8 first refuses this.
    let eight_k_keeps_torsion =
        |k: &Scalar| !(k + k + k + k + k + k + k + k).as_bytes()[0].is_multiple_of(8);
    cases.push(ground(
        "A mixed, fails if 8k is reduced first",
        "A 1T",
        Known::new(a, 1),
        0,
        eight_k_keeps_torsion,
    ));
    let class = "A mixed, equation fails";
    let (A, R) = (Known::new(a, 1), Known::new(scalar(class), 0));
    let message = message(class);
    let s = respond(&A, &R, &message) + Scalar::ONE;
    cases.push(case(class, "s + 1", A, R, s.to_bytes(), &message));
}

/// Keys that are no canonical point. Nobody knows the logarithm of those with y >= p beyond the small ones, so the
/// signature is of another key.
#[allow(non_snake_case, reason = "the names of RFC 8032")]
fn malformed_keys(cases: &mut Vec<Case>) {
    let (owner, R) = sound_pair("malformed key");
    let message = message("malformed key");
    let s = respond(&owner, &R, &message);
    let mut add = |class: &str, name: String, A: [u8; 32], key: KeyError, point: PointError| {
        cases.push(Case {
            class: class.into(),
            name,
            A,
            signature: Signature::from_bytes(join(&R.bytes, &s.to_bytes())),
            message: message.to_vec(),
            expected: Verdicts {
                set_check: Err(key),
                predicate: Err(RawError::Key(point)),
                dalek_verify: false,
                dalek_verify_strict: false,
                zip215: false,
            },
        });
    };
    for low in 2u8..19 {
        for sign in [0u8, 0x80] {
            let mut y = [0; 32];
            y[0] = low;
            let mut A = logs::plus_p(y);
            A[31] |= sign;
            let name = format!("y = p + {low}, sign {}", sign >> 7);
            add(
                "A with y >= p, equation fails",
                name,
                A,
                KeyError::NonCanonical,
                PointError::NonCanonical,
            );
        }
    }
    let mut off_curve = [0; 32];
    off_curve[0] = 2;
    add(
        "A not on the curve",
        "y = 2".into(),
        off_curve,
        KeyError::NotOnCurve,
        PointError::NotOnCurve,
    );
    off_curve[31] = 0x80;
    add(
        "A not on the curve",
        "y = 2, sign set".into(),
        off_curve,
        KeyError::NotOnCurve,
        PointError::NotOnCurve,
    );
}

/// A signature by the owner of A with the nonce point R: `s = r + ka`.
#[allow(non_snake_case, reason = "the names of RFC 8032")]
fn signed(class: &str, name: impl Into<String>, A: Known, R: Known) -> Case {
    let message = message(class);
    let s = respond(&A, &R, &message).to_bytes();
    case(class, name, A, R, s, &message)
}

/// The same with the first nonce of a fixed sequence for which k is as wanted.
#[allow(non_snake_case, reason = "the names of RFC 8032")]
fn ground(
    class: &str,
    name: &str,
    A: Known,
    r_torsion: u8,
    wanted: impl Fn(&Scalar) -> bool,
) -> Case {
    let message = message(class);
    (0u32..)
        .map(|attempt| Known::new(scalar(&format!("{class} {name} {attempt}")), r_torsion))
        .find(|R| wanted(&challenge(&R.bytes, &A.bytes, &message)))
        .map(|R| signed(class, name, A, R))
        .expect("half or an eighth of all nonces will do")
}

#[allow(non_snake_case, reason = "the names of RFC 8032")]
fn respond(A: &Known, R: &Known, message: &[u8]) -> Scalar {
    R.log + challenge(&R.bytes, &A.bytes, message) * A.log
}

fn sound_pair(label: &str) -> (Known, Known) {
    (
        Known::new(scalar(&format!("{label} key")), 0),
        Known::new(scalar(&format!("{label} nonce")), 0),
    )
}

/// `s + times * L`, or `None` from 2^256 on.
fn plus_multiple_of_l(mut s: [u8; 32], times: u8) -> Option<[u8; 32]> {
    for _ in 0..times {
        let mut carry = 0u16;
        for (byte, l) in s.iter_mut().zip(L) {
            let sum = u16::from(*byte) + u16::from(l) + carry;
            [*byte, _] = sum.to_le_bytes();
            carry = sum >> 8;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(s)
}

fn join(r: &[u8; 32], s: &[u8; 32]) -> [u8; 64] {
    core::array::from_fn(|i| if i < 32 { r[i] } else { s[i - 32] })
}

/// The 15-byte tag and 32 bytes of digest that a validator signs.
fn message(label: &str) -> [u8; 47] {
    let digest = Sha256::new()
        .chain_update(b"quorate ed25519 vectors, message ")
        .chain_update(label)
        .finalize();
    core::array::from_fn(|i| {
        if i < 15 {
            b"quorate-commit1"[i]
        } else {
            digest[i - 15]
        }
    })
}

fn seed(label: &str) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"quorate ed25519 vectors, seed ")
        .chain_update(label)
        .finalize()
        .into()
}

fn scalar(label: &str) -> Scalar {
    let wide = Sha512::new()
        .chain_update(b"quorate ed25519 vectors, scalar ")
        .chain_update(label)
        .finalize();
    Scalar::from_bytes_mod_order_wide(&wide.into())
}

/// The vector file: JSON with one vector on each line, bytes in lower-case hex.
pub(crate) fn file() -> String {
    let vectors: Vec<String> = cases()
        .iter()
        .map(|case| {
            serde_json::to_string(&Vector::from(case)).expect("strings and booleans are JSON")
        })
        .collect();
    format!(
        "{{\n\"type\": \"quorate/ed25519-vectors/v1\",\n\"origin\": \"made from seeds\",\n\"regenerate\": \"{COMMAND}\",\n\"vectors\": [\n{}\n]\n}}\n",
        vectors.join(",\n"),
    )
}

#[derive(Serialize)]
#[allow(non_snake_case, reason = "the names of RFC 8032")]
struct Vector {
    class: String,
    name: String,
    A: String,
    R: String,
    s: String,
    message: String,
    /// SHA-512(R || A || message) mod L, little-endian.
    k: String,
    expected: Expected,
}

#[derive(Serialize)]
struct Expected {
    set_check: &'static str,
    predicate: &'static str,
    vote: bool,
    dalek_verify: bool,
    dalek_verify_strict: bool,
    zip215: bool,
}

impl From<&Case> for Vector {
    fn from(case: &Case) -> Self {
        Self {
            class: case.class.clone(),
            name: case.name.clone(),
            A: hex::encode(case.A),
            R: hex::encode(case.signature.r_bytes()),
            s: hex::encode(case.signature.s_bytes()),
            message: hex::encode(&case.message),
            k: hex::encode(case.k().as_bytes()),
            expected: Expected {
                set_check: set_check_word(case.expected.set_check),
                predicate: predicate_word(case.expected.predicate),
                vote: case.expected.vote(),
                dalek_verify: case.expected.dalek_verify,
                dalek_verify_strict: case.expected.dalek_verify_strict,
                zip215: case.expected.zip215,
            },
        }
    }
}
