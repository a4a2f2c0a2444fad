//! Points whose discrete logarithm is known, and the verdicts that follow from it.
//!
//! Every point of the curve is `log * B + torsion * T` with `log` mod L, `torsion` mod 8 and T of order eight. On
//! these pairs of numbers the predicates are school arithmetic: no curve operation takes part in a prediction.

use quorate_verifier::signature::curve25519_dalek::constants::EIGHT_TORSION;
use quorate_verifier::signature::curve25519_dalek::{EdwardsPoint, Scalar};
use quorate_verifier::signature::{KeyError, PointError, RawError, Signature, SignatureError};

use super::{Case, Verdicts};

/// `log * B + torsion * T`, written as `bytes`.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    pub(crate) log: Scalar,
    /// 0..8
    pub(crate) torsion: u8,
    pub(crate) bytes: [u8; 32],
    /// Are `bytes` what compression gives?
    pub(crate) canonical: bool,
}

impl Known {
    pub(crate) fn new(log: Scalar, torsion: u8) -> Self {
        let point = EdwardsPoint::mul_base(&log) + EIGHT_TORSION[usize::from(torsion)];
        Self {
            log,
            torsion,
            bytes: point.compress().0,
            canonical: true,
        }
    }

    fn is_small(&self) -> bool {
        self.log == Scalar::ZERO
    }

    fn doubles_to_identity(&self) -> bool {
        self.is_small() && self.torsion.is_multiple_of(4)
    }
}

/// All fourteen encodings of the eight points of small order that decoders in the field take: the eight canonical
/// ones in the order of their multiples of T, then the six others.
pub(crate) fn small_order() -> Vec<Known> {
    let canonical = (0..8).map(|torsion| Known::new(Scalar::ZERO, torsion));
    canonical.chain(small_order_aliases()).collect()
}

/// The six encodings of small-order points that are not canonical: -0 with y = 1 and y = -1, and y = p, p + 1.
pub(crate) fn small_order_aliases() -> Vec<Known> {
    let identity = Known::new(Scalar::ZERO, 0);
    let order_two = Known::new(Scalar::ZERO, 4);
    let order_four = |sign: u8| {
        let found = [2, 6].map(|torsion| Known::new(Scalar::ZERO, torsion));
        found[usize::from(found[0].bytes[31] >> 7 != sign)]
    };
    let alias = |of: Known, y_plus_p: bool, sign: u8| {
        let mut bytes = of.bytes;
        bytes[31] &= 0x7f;
        if y_plus_p {
            bytes = plus_p(bytes);
        }
        bytes[31] |= sign << 7;
        Known {
            bytes,
            canonical: false,
            ..of
        }
    };
    vec![
        alias(identity, false, 1),
        alias(order_two, false, 1),
        alias(order_four(0), true, 0),
        alias(order_four(1), true, 1),
        alias(identity, true, 0),
        alias(identity, true, 1),
    ]
}

/// `y + p` for y < 19: the low byte moves from 0..=18 to 237..=255 and all others are ones.
pub(crate) fn plus_p(y: [u8; 32]) -> [u8; 32] {
    assert!(
        y[0] < 19 && y[1..].iter().all(|&byte| byte == 0),
        "y + p has 255 bits for y < 19 only"
    );
    let mut bytes = [0xff; 32];
    bytes[0] = 237 + y[0];
    bytes[31] = 0x7f;
    bytes
}

/// A case of known logarithms, with the verdicts that they imply for any 32 bytes as s.
#[allow(non_snake_case, reason = "the names of RFC 8032")]
pub(crate) fn case(
    class: &str,
    name: impl Into<String>,
    A: Known,
    R: Known,
    s: [u8; 32],
    message: &[u8],
) -> Case {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&R.bytes);
    bytes[32..].copy_from_slice(&s);
    let mut case = Case {
        class: class.into(),
        name: name.into(),
        A: A.bytes,
        signature: Signature::from_bytes(bytes),
        message: message.to_vec(),
        expected: Verdicts::SOUND,
    };
    case.expected = predict(&A, &R, &s, &case.k());
    case
}

/// What each check says of `(R, s)` under A and challenge k.
#[allow(non_snake_case, reason = "the names of RFC 8032")]
fn predict(A: &Known, R: &Known, s: &[u8; 32], k: &Scalar) -> Verdicts {
    let reduced = is_below_l(s);
    let cofactored = Scalar::from_bytes_mod_order(*s) == R.log + k * A.log;
    // sB - kA = R: also the torsion parts, -k * torsion(A) = torsion(R) mod 8, with k as the integer below L
    let cofactorless = cofactored
        && (k.as_bytes()[0]
            .wrapping_mul(A.torsion)
            .wrapping_add(R.torsion))
        .is_multiple_of(8);
    // dalek compares R's bytes with those of the point it computed, which are canonical
    let dalek_verify = reduced && cofactorless && R.canonical;
    let predicate = if !A.canonical {
        Err(RawError::Key(PointError::NonCanonical))
    } else if !R.canonical {
        Err(SignatureError::RNonCanonical.into())
    } else if R.doubles_to_identity() {
        Err(SignatureError::RSmall.into())
    } else if !reduced {
        Err(SignatureError::SNotReduced.into())
    } else if !cofactored {
        Err(SignatureError::Equation.into())
    } else {
        Ok(())
    };
    let set_check = match (A.canonical, A.is_small(), A.torsion) {
        (false, _, _) => Err(KeyError::NonCanonical),
        (true, true, 0) => Err(KeyError::Identity),
        (true, true, _) => Err(KeyError::SmallOrder),
        (true, false, 0) => Ok(()),
        (true, false, _) => Err(KeyError::MixedOrder),
    };
    Verdicts {
        set_check,
        predicate,
        dalek_verify,
        dalek_verify_strict: dalek_verify && !A.is_small() && !R.is_small(),
        zip215: reduced && cofactored,
    }
}

/// s < L, by comparing bytes from the top.
fn is_below_l(s: &[u8; 32]) -> bool {
    s.iter().rev().lt(L.iter().rev())
}

/// The group order 2^252 + 27742317777372353535851937790883648493, little-endian (RFC 8032, section 5.1).
pub(crate) const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];
