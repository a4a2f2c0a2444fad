//! The statement and the challenges on their bases, with tables made once for each key.

use alloc::vec::Vec;

use ark_bn254::{Fr, G1Affine, G1Projective};
use ark_ec::{AdditiveGroup, CurveGroup};
use ark_ff::{BigInteger, PrimeField};

use super::challenge::Challenges;
use super::key::VerifyingKey;

/// Multiples 1 to 15 of each base, so that all scalars share one chain of doublings (Straus).
#[derive(Clone, Debug)]
pub(super) struct InputTables {
    one: G1Affine,
    multiples: Vec<G1Affine>,
}

/// Bits of a scalar that one table look-up takes.
const WINDOW_BITS: usize = 4;
/// Multiples in the table of one base; that of zero is left out.
const MULTIPLES: usize = (1 << WINDOW_BITS) - 1;

impl InputTables {
    pub(super) fn new(bases: &[G1Affine]) -> Self {
        let mut multiples = Vec::with_capacity((bases.len() - 1) * MULTIPLES);
        for base in &bases[1..] {
            let mut multiple = G1Projective::from(*base);
            for _ in 0..MULTIPLES {
                multiples.push(multiple);
                multiple += base;
            }
        }
        Self {
            one: bases[0],
            multiples: G1Projective::normalize_batch(&multiples),
        }
    }

    /// What [`VerifyingKey::combine`] gives, in variable time: all of it is public.
    pub(super) fn combine(&self, statement: &[Fr], challenges: Challenges) -> G1Projective {
        let scalars = statement.iter().chain([&challenges.tuple, &challenges.sum]);
        let digits: Vec<Vec<u8>> = scalars
            .map(|scalar| scalar.into_bigint().to_bytes_be())
            .collect();
        let mut sum = G1Projective::ZERO;
        for byte in 0..digits.first().map_or(0, Vec::len) {
            for shift in [WINDOW_BITS, 0] {
                for _ in 0..WINDOW_BITS {
                    sum.double_in_place();
                }
                for (digits, table) in digits.iter().zip(self.multiples.chunks(MULTIPLES)) {
                    let digit = usize::from(digits[byte] >> shift) & MULTIPLES;
                    if let Some(i) = digit.checked_sub(1) {
                        sum += table[i];
                    }
                }
            }
        }
        sum + self.one
    }
}

impl VerifyingKey {
    /// `base_1 + sum statement_i base_i + challenges`: what Groth16 calls the prepared inputs.
    ///
    /// # Panics
    /// If the statement has not the key's length.
    pub fn combine(&self, statement: &[Fr], challenges: Challenges) -> G1Projective {
        assert_eq!(
            statement.len(),
            self.statement_len(),
            "the statement has the key's length"
        );
        let scalars = statement
            .iter()
            .copied()
            .chain([challenges.tuple, challenges.sum]);
        let mut sum = G1Projective::from(self.bases[0]);
        for (scalar, base) in scalars.zip(&self.bases[1..]) {
            sum += *base * scalar;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_ec::AffineRepr;

    #[test]
    fn tables_give_the_plain_sum() {
        let bases: Vec<G1Affine> = (1..8_u64)
            .map(|k| (G1Affine::generator() * Fr::from(k * k + 1)).into_affine())
            .collect();
        let tables = InputTables::new(&bases);
        let half = Fr::from(u128::MAX);
        for scalars in [
            [0_u64; 6].map(Fr::from),
            [1, 2, 15, 16, 17, 255].map(Fr::from),
            [
                -Fr::from(1_u64),
                half,
                half + Fr::from(1_u64),
                -half,
                Fr::from(0_u64),
                Fr::from(9_u64),
            ],
        ] {
            let mut plain = G1Projective::from(bases[0]);
            for (base, scalar) in bases[1..].iter().zip(scalars) {
                plain += *base * scalar;
            }
            let challenges = Challenges {
                tuple: scalars[4],
                sum: scalars[5],
            };
            assert_eq!(tables.combine(&scalars[..4], challenges), plain);
        }
    }
}
