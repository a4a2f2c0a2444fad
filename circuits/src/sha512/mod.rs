//! SHA-512.
//!
//! Statement  `digest = SHA-512(message)`, for a message of a fixed number of bytes
//! Witness    Bits of the words of schedule and registers, one cell per lane of each function
//! Assumes    The message's bits are bits: a [`Byte`] is made of cells that a row forces to be so
//! Argument   Every cell is a function of the message's bits, row by row; the rows and their
//!            arguments stand in `xor` and `star` (sigmas and what they carry), `register` (Ch and
//!            Maj), `sum` (addition modulo 2^64), `schedule` and `compress`. No cell is free, none is committed
//! Cost       35,058 rows for R, A and a message of 47 bytes of which 15 are constants, prepared
//!            once for all signers; see docs/circuit/sha512.md for the parts
//! Source     FIPS 180-4
//!
//! ```
//! use quorate_circuits::sha512::{Byte, Ending, sha512, sha512_native};
//! use quorate_circuits::testing::Trial;
//!
//! let built = Trial::new().build(|g| {
//!     // 64 bytes that differ from signer to signer, 47 that do not.
//!     let secret: Vec<_> = (0..512).map(|i| g.bit("secret", i % 3 == 0)).collect();
//!     let secret = Byte::all(&secret);
//!     let message = Ending::new(g, 64, &[Byte::constant(b'q'); 47]);
//!     let digest = sha512(g, &secret, &message);
//!
//!     let mut bytes: Vec<u8> = secret.iter().map(Byte::value).collect();
//!     bytes.extend([b'q'; 47]);
//!     assert_eq!(digest.value(), sha512_native(&bytes));
//! });
//! assert!(built.holds());
//! ```

mod bits;
mod compress;
mod native;
mod register;
mod schedule;
mod star;
mod sum;
#[cfg(test)]
mod tests;
mod xor;

pub use bits::{Bool, Byte};
pub use native::sha512_native;

use bits::Word;
use compress::compress;
use native::INITIAL;
use schedule::Input;

use crate::ground::{Bit, Builder};

/// The end of a message, padded: prepared once, hashed behind as many beginnings as there are.
///
/// What depends on these bytes alone is paid for here.
#[derive(Clone, Debug)]
pub struct Ending {
    start: usize,
    words: Vec<Input>,
}

impl Ending {
    /// The bytes of a message from `start` on; none is left out.
    ///
    /// # Panics
    /// If `start` is no multiple of 8: words are not cut.
    #[must_use]
    pub fn new(g: &mut Builder, start: usize, bytes: &[Byte]) -> Self {
        assert!(
            start.is_multiple_of(8),
            "an ending starts with a word, byte {start} is inside one"
        );
        let padding = native::padding(start + bytes.len());
        let padding = padding.into_iter().map(Byte::constant);
        let bytes: Vec<Byte> = bytes.iter().copied().chain(padding).collect();
        let words = bytes.chunks_exact(8).map(Word::from_bytes);
        let words = g.scope("sha512/ending", |g| {
            let prepare = |(i, word)| match (start / 8 + i) % 16 {
                0 => Input::new(word), // no sigma is ever taken of a block's first word
                at => g.scope(format_args!("schedule[{at}]"), |g| Input::prepared(g, word)),
            };
            words.enumerate().map(prepare).collect()
        });
        Self { start, words }
    }
}

/// The 64 bytes of a digest.
#[derive(Clone, Debug)]
#[must_use]
pub struct Sha512Var([Word; 8]);

impl Sha512Var {
    /// The digest, as the prover believes it to be.
    #[must_use]
    pub fn value(&self) -> [u8; 64] {
        let mut digest = [0; 64];
        for (bytes, word) in digest.chunks_exact_mut(8).zip(&self.0) {
            bytes.copy_from_slice(&word.value().to_be_bytes());
        }
        digest
    }

    /// The 512 bits of the digest as a little-endian integer, as Ed25519 reads it: bit `8 i + j` has
    /// weight `2^j` in byte i.
    #[must_use]
    pub fn bits(&self) -> Vec<Bit> {
        let bit = |i: usize| match self.0[i / 64].bit((i % 64) ^ 56) {
            Bool::Cell(bit) => bit,
            Bool::Constant(_) => unreachable!("only the first two rounds know their results"),
        };
        (0..512).map(bit).collect()
    }
}

/// The digest of the message that begins with `beginning` and ends with `ending`.
///
/// # Panics
/// If the ending does not start where the beginning stops.
pub fn sha512(g: &mut Builder, beginning: &[Byte], ending: &Ending) -> Sha512Var {
    assert_eq!(
        beginning.len(),
        ending.start,
        "the ending starts where the beginning stops"
    );
    let words = beginning.chunks_exact(8).map(Word::from_bytes);
    let words: Vec<Input> = words
        .map(Input::new)
        .chain(ending.words.iter().cloned())
        .collect();
    g.scope("sha512", |g| {
        let mut state = INITIAL.map(Word::constant);
        for (n, block) in words.chunks_exact(16).enumerate() {
            let block = core::array::from_fn(|i| block[i].clone());
            state = g.scope(format_args!("block[{n}]"), |g| compress(g, &state, block));
        }
        Sha512Var(state)
    })
}
