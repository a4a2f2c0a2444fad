//! The secret scalars of one attempt at a proof.

use ark_bn254::Fr;
use ark_ff::PrimeField;
use quorate_verifier::message::Tag;
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

/// Draws the blinder, r and s of one attempt: `SHA-512(tag ‖ OS randomness ‖ witness digest ‖
/// name)` modulo the order. Weak randomness alone, or a witness proved again, repeats nothing
/// unless both coincide, and then the proof is the same proof.
pub(crate) struct Attempt {
    seed: Zeroizing<[u8; 32]>,
    witness: Zeroizing<[u8; 32]>,
}

impl Attempt {
    /// `cells` are the values of the witness so far, `seed` is fresh from the operating system.
    pub(crate) fn new<'a>(
        seed: Zeroizing<[u8; 32]>,
        cells: impl IntoIterator<Item = &'a [Fr]>,
    ) -> Self {
        let mut hash = Sha256::new();
        for part in cells {
            hash.update((part.len() as u64).to_le_bytes());
            for cell in part {
                for word in cell.0.0 {
                    hash.update(word.to_le_bytes());
                }
            }
        }
        Self {
            seed,
            witness: Zeroizing::new(hash.finalize().into()),
        }
    }

    /// The scalar of this name.
    pub(crate) fn scalar(&self, name: &'static [u8]) -> Fr {
        let hash = Sha512::new()
            .chain_update(Tag::ATTEMPT.as_bytes())
            .chain_update(*self.seed)
            .chain_update(*self.witness)
            .chain_update(name);
        Fr::from_le_bytes_mod_order(&Zeroizing::new(<[u8; 64]>::from(hash.finalize()))[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_follow_seed_witness_and_name() {
        let draw = |seed: u8, cell: u64, name| {
            Attempt::new(Zeroizing::new([seed; 32]), [&[Fr::from(cell)][..], &[]]).scalar(name)
        };
        let first = draw(1, 2, b"r");
        assert_eq!(first, draw(1, 2, b"r"));
        for other in [draw(0, 2, b"r"), draw(1, 3, b"r"), draw(1, 2, b"s")] {
            assert_ne!(first, other);
        }
    }
}
