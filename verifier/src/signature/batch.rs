//! Many signatures with one multi-scalar multiplication.
//!
//! Statement  8(sum(z_i s_i) B - sum(z_i R_i) - sum(z_i k_i) A_i) = O, after each signature's own form was checked
//! Weights    z_i in 1..=2^128, from SHA-512 over every input: whoever chooses the inputs chooses them before z
//! Agreement  valid singly => valid here: each 8(s_i B - R_i - k_i A_i) is O, so the sum is
//!            valid here => valid singly, but for a chance of 2^-128: let E_i = 8(s_i B - R_i - k_i A_i), a point of
//!            order L or O, and E_j != O. Given all other weights at most one of the 2^128 values of z_j
//!            makes the sum O (z_j < L, and E_j has order L). The times 8 is taken on both sides, so torsion in any
//!            R or A drops out of both: without it they would cancel with
//!            probability 1/8 and more
//! Source     docs/signatures.md#batch; Bernstein et al., High-speed high-security signatures, section 5

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::iter::once;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::VartimeMultiscalarMul;
use sha2::{Digest, Sha512};

use super::key::VoteKey;
use super::predicate::{Parts, Signature, SignatureError, challenge};

/// Are all `items` valid by [`verify`](super::verify)? One multi-scalar multiplication when they are.
///
/// The answer is that of checking one after the other, but for a chance of 2^-128 for each set of inputs that an
/// attacker tries (module notes). A failed batch is judged again one by one, so the error names every bad
/// signature and blames no other; at worst that costs the batch and every single check.
///
/// No items is an error: "all of these are valid" about nothing is a mistake of the caller.
///
/// Variable time: all inputs are public.
///
/// # Errors
///
/// [`BatchError::Empty`], or [`BatchError::Bad`] with each bad index in rising order and what is wrong with it.
pub fn verify_batch(items: &[(&VoteKey, &[u8], &Signature)]) -> Result<(), BatchError> {
    if items.is_empty() {
        return Err(BatchError::Empty);
    }
    let decoded: Vec<Result<Parts, SignatureError>> = items
        .iter()
        .map(|(_, _, signature)| Parts::decode(signature))
        .collect();
    let well_formed_hold = combined_equation_holds(items, &decoded);

    let bad: Vec<BadSignature> = items
        .iter()
        .zip(&decoded)
        .enumerate()
        .filter_map(|(index, ((key, message, signature), parts))| {
            let verdict = match parts {
                Err(error) => Err(*error),
                Ok(_) if well_formed_hold => Ok(()),
                Ok(parts) => {
                    let k = challenge(&signature.r_bytes(), key.as_bytes(), message);
                    parts.satisfy_equation(&key.point(), &k)
                }
            };
            verdict.err().map(|error| BadSignature { index, error })
        })
        .collect();
    if bad.is_empty() {
        Ok(())
    } else {
        Err(BatchError::Bad(bad))
    }
}

/// Why a batch is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// There is nothing to check.
    #[error("a batch of no signatures says nothing")]
    Empty,
    /// Every bad signature, by rising index; never empty.
    #[error("{}", Listed(.0))]
    Bad(Vec<BadSignature>),
}

/// One bad signature of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSignature {
    /// Its position in the batch, from 0.
    pub index: usize,
    /// What [`verify`](super::verify) says of it.
    pub error: SignatureError,
}

struct Listed<'a>(&'a [BadSignature]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, BadSignature { index, error }) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { "; " };
            write!(f, "{separator}signature {index}: {error}")?;
        }
        Ok(())
    }
}

/// The weighted sum over the items that were decoded; true if there are none.
#[allow(non_snake_case, reason = "the names of RFC 8032")]
fn combined_equation_holds(
    items: &[(&VoteKey, &[u8], &Signature)],
    decoded: &[Result<Parts, SignatureError>],
) -> bool {
    let mut b_scalar = Scalar::ZERO;
    let mut scalars = Vec::with_capacity(2 * items.len());
    let mut points = Vec::with_capacity(2 * items.len());
    // Signatures under one key share its term: z_i k_i A + z_j k_j A = (z_i k_i + z_j k_j) A.
    let mut places: BTreeMap<&[u8; 32], usize> = BTreeMap::new();
    for (((key, message, signature), parts), z) in items.iter().zip(decoded).zip(Weights::of(items))
    {
        let Ok(Parts { R, s }) = parts else { continue };
        let k = challenge(&signature.r_bytes(), key.as_bytes(), message);
        b_scalar -= z * s;
        scalars.push(z); // the sum is negated, so that z stays short where it stands alone
        points.push(*R);
        let place = *places.entry(key.as_bytes()).or_insert_with(|| {
            scalars.push(Scalar::ZERO);
            points.push(key.point());
            scalars.len() - 1
        });
        scalars[place] += z * k;
    }
    let sum = EdwardsPoint::vartime_multiscalar_mul(
        once(&b_scalar).chain(&scalars),
        once(&ED25519_BASEPOINT_POINT).chain(&points),
    );
    sum.is_small_order()
}

/// The weights z_0, z_1, ..., each in 1..=2^128.
struct Weights {
    seed: [u8; 64],
    /// Four weights of 16 bytes.
    block: [u8; 64],
    next: usize,
}

impl Weights {
    /// Binds every byte of every item: fixed-width fields, counts and lengths in front of what varies.
    fn of(items: &[(&VoteKey, &[u8], &Signature)]) -> Self {
        let mut transcript = Sha512::new()
            .chain_update(SEED_TAG)
            .chain_update(as_u64(items.len()));
        for (key, message, signature) in items {
            transcript.update(key.as_bytes());
            transcript.update(signature.as_bytes());
            transcript.update(as_u64(message.len()));
            transcript.update(message);
        }
        Self {
            seed: transcript.finalize().into(),
            block: [0; 64],
            next: 0,
        }
    }
}

impl Iterator for Weights {
    type Item = Scalar;

    fn next(&mut self) -> Option<Scalar> {
        let (block, position) = (self.next / 4, self.next % 4);
        if position == 0 {
            let hash = Sha512::new()
                .chain_update(WEIGHT_TAG)
                .chain_update(self.seed)
                .chain_update(as_u64(block));
            self.block = hash.finalize().into();
        }
        self.next += 1;
        let bytes: [u8; 16] = core::array::from_fn(|i| self.block[16 * position + i]);
        Some(Scalar::from(u128::from_le_bytes(bytes)) + Scalar::ONE)
    }
}

fn as_u64(number: usize) -> [u8; 8] {
    (number as u64).to_le_bytes()
}

const SEED_TAG: &[u8] = b"quorate batch seed 1";
const WEIGHT_TAG: &[u8] = b"quorate batch weights 1";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test states what must hold")]

    use super::super::predicate::verify;
    use super::*;
    use alloc::vec;
    use curve25519_dalek::constants::EIGHT_TORSION;

    const MESSAGE: &[u8] = b"quorate-commit1 and thirty-two more bytes.....";

    /// A signature by `a * B + torsion * T` with the nonce point `r * B + r_torsion * T`.
    fn signed(a: u8, torsion: u8, r: u8, r_torsion: u8) -> (VoteKey, Signature) {
        let (a, r) = (Scalar::from(a), Scalar::from(r));
        let key = (EdwardsPoint::mul_base(&a) + EIGHT_TORSION[usize::from(torsion)])
            .compress()
            .0;
        let nonce = (EdwardsPoint::mul_base(&r) + EIGHT_TORSION[usize::from(r_torsion)])
            .compress()
            .0;
        let s = (r + challenge(&nonce, &key, MESSAGE) * a).to_bytes();
        let bytes = core::array::from_fn(|i| if i < 32 { nonce[i] } else { s[i - 32] });
        (
            VoteKey::insecure_unchecked(&key).unwrap(),
            Signature::from_bytes(bytes),
        )
    }

    fn batch(signed: &[(VoteKey, Signature)]) -> Vec<(&VoteKey, &[u8], &Signature)> {
        signed
            .iter()
            .map(|(key, signature)| (key, MESSAGE, signature))
            .collect()
    }

    fn weights(items: &[(&VoteKey, &[u8], &Signature)]) -> Vec<Scalar> {
        Weights::of(items).take(9).collect()
    }

    /// The multi-scalar multiplication alone: [`verify_batch`] would hide a false alarm behind the single checks.
    fn sum_vanishes(signed: &[(VoteKey, Signature)]) -> bool {
        let decoded: Vec<_> = signed
            .iter()
            .map(|(_, signature)| Parts::decode(signature))
            .collect();
        combined_equation_holds(&batch(signed), &decoded)
    }

    #[test]
    fn torsion_in_keys_and_nonces_drops_out() {
        let all: Vec<_> = (0..8)
            .flat_map(|t| (0..8).map(move |u| signed(11 + t, t, 5 + u, u)))
            .collect();
        for (key, signature) in &all {
            assert_eq!(verify(key, MESSAGE, signature), Ok(()));
        }
        // in every cut, where torsion parts do not happen to cancel
        for end in 1..=all.len() {
            assert!(sum_vanishes(&all[..end]), "the first {end}");
            assert_eq!(verify_batch(&batch(&all[..end])), Ok(()), "the first {end}");
        }
    }

    #[test]
    fn one_bad_equation_anywhere_spoils_the_sum() {
        let all: Vec<_> = (0..8).map(|t| signed(11, t, 5, 1)).collect();
        for index in 0..all.len() {
            let mut spoilt = all.clone();
            let mut bytes = spoilt[index].1.to_bytes();
            bytes[32] ^= 1;
            spoilt[index].1 = Signature::from_bytes(bytes);
            assert!(!sum_vanishes(&spoilt));
            let bad = BadSignature {
                index,
                error: SignatureError::Equation,
            };
            assert_eq!(
                verify_batch(&batch(&spoilt)),
                Err(BatchError::Bad(vec![bad]))
            );
        }
    }

    #[test]
    fn malformed_items_are_left_out_of_the_sum() {
        let mut all: Vec<_> = (0..8).map(|t| signed(11, t, 5, 1)).collect();
        all[2].1 = Signature::from_bytes([0xff; 64]);
        assert!(
            sum_vanishes(&all),
            "the others hold, so they are not judged again"
        );
        let bad = BadSignature {
            index: 2,
            error: SignatureError::RNonCanonical,
        };
        assert_eq!(verify_batch(&batch(&all)), Err(BatchError::Bad(vec![bad])));
    }

    #[test]
    fn weights_are_distinct_nonzero_and_at_most_129_bits_long() {
        let all: Vec<_> = (0..9).map(|_| signed(3, 0, 5, 0)).collect();
        let weights = weights(&batch(&all));
        for (i, z) in weights.iter().enumerate() {
            assert_ne!(*z, Scalar::ZERO);
            assert!(z.as_bytes()[17..].iter().all(|&byte| byte == 0) && z.as_bytes()[16] <= 1);
            assert!(
                z.as_bytes()[8..16] != [0; 8],
                "weights use their upper half"
            );
            assert!(
                !weights[..i].contains(z),
                "equal items have different weights"
            );
        }
    }

    #[test]
    fn every_input_moves_every_weight() {
        let (first, second) = (signed(3, 0, 5, 0), signed(7, 0, 9, 0));
        let flipped = |byte: usize| {
            let mut bytes = second.1.to_bytes();
            bytes[byte] ^= 1;
            Signature::from_bytes(bytes)
        };
        let (other_r, other_s) = (flipped(0), flipped(63));
        let base = [
            (&first.0, b"ab".as_slice(), &first.1),
            (&second.0, b"c".as_slice(), &second.1),
        ];
        let mut variants: Vec<Vec<_>> =
            vec![base.to_vec(), base[..1].to_vec(), vec![base[1], base[0]]];
        for last in [
            (&first.0, b"c".as_slice(), &second.1),
            (&second.0, b"d".as_slice(), &second.1),
            (&second.0, b"".as_slice(), &second.1),
            (&second.0, b"c".as_slice(), &other_r),
            (&second.0, b"c".as_slice(), &other_s),
        ] {
            variants.push(vec![base[0], last]);
        }
        // the same bytes one after the other, but for the lengths
        let (key, signature) = (second.0.as_bytes(), second.1.as_bytes());
        let item = [key.as_slice(), signature.as_slice()].concat();
        let without = b"".as_slice();
        for (one, other) in [(item.as_slice(), without), (without, item.as_slice())] {
            variants.push(vec![
                (&first.0, one, &first.1),
                (&second.0, other, &second.1),
            ]);
        }
        let all: Vec<Vec<Scalar>> = variants.iter().map(|items| weights(items)).collect();
        for (i, one) in all.iter().enumerate() {
            for other in &all[..i] {
                assert!(one.iter().zip(other).all(|(z, other)| z != other));
            }
        }
    }
}
