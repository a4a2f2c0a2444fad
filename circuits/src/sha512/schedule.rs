//! The message schedule of one block.
//!
//! Statement  `W_t = s1(W_{t-2}) + W_{t-7} + s0(W_{t-15}) + W_{t-16} mod 2^64` for t in 16..80
//! Witness    The exclusive ors of both sigmas; bits and quotient of each word
//! Bind       The last row of the exclusive ors, its cell replaced by what the sum leaves for it
//! Assumes    The block's bits are bits
//! Cost       183 rows for a word of which nothing is known: 57 + 58 lanes of three bits, which carry
//!            10 of the 13 lanes of two, 2 rows for the rest, 64 bits, 2 bits of the quotient. The
//!            last two words are never decomposed: nothing but a round reads them, which reduces its
//!            sum anyhow; 117 rows each
//! Source     FIPS 180-4, section 6.4.2, step 1

use super::bits::Word;
use super::native::Sigma;
use super::sum::{Kind, Pieces, Sum};
use super::xor::{Top, Xor};
use crate::ground::Builder;

/// A word of a block, with what can be prepared once for many blocks that share it.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) word: Word,
    small_sigma: Option<Pieces>,
}

impl Input {
    pub(super) fn new(word: Word) -> Self {
        Self {
            word,
            small_sigma: None,
        }
    }

    /// Pays for the rows of `s0(word)` here, not in every schedule that reads it.
    pub(super) fn prepared(g: &mut Builder, word: Word) -> Self {
        let small_sigma = Xor::of(&[(Sigma::Small0, &word)]).all(g).pieces;
        Self {
            word,
            small_sigma: Some(small_sigma),
        }
    }
}

/// The 80 words.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    words: Vec<Word>,
    /// The sigmas of words 78 and 79.
    open: Vec<Pieces>,
}

impl Schedule {
    pub(super) fn new(g: &mut Builder, block: [Input; 16]) -> Self {
        let mut schedule = Self {
            words: Vec::with_capacity(DECOMPOSED),
            open: Vec::with_capacity(80 - DECOMPOSED),
        };
        let mut prepared = Vec::with_capacity(16);
        for input in block {
            schedule.words.push(input.word);
            prepared.push(input.small_sigma);
        }
        for t in 16..80 {
            let prepared = prepared.get(t - 15).and_then(Option::as_ref);
            g.scope(format_args!("schedule[{t}]"), |g| {
                schedule.extend(g, t, prepared)
            });
        }
        schedule
    }

    fn extend(&mut self, g: &mut Builder, t: usize, prepared: Option<&Pieces>) {
        let operands = [
            (Sigma::Small1, &self.words[t - 2]),
            (Sigma::Small0, &self.words[t - 15]),
        ];
        if t >= DECOMPOSED {
            let xor = Xor {
                top: Top::Open,
                ..Xor::of(&operands)
            };
            self.open.push(xor.all(g).pieces);
            return;
        }
        let operands = &operands[..if prepared.is_some() { 1 } else { 2 }];
        let held = Xor::of(operands).but_last(g);
        let mut sum = Sum::new()
            .plus(&self.words[t - 7])
            .plus(&self.words[t - 16]);
        if let Some(prepared) = prepared {
            sum = sum.pieces(prepared);
        }
        let word = held.finish(g, sum, WORD);
        self.words.push(word);
    }

    /// Adds word t, modulo 2^64, to a sum.
    pub(super) fn add<'a>(&'a self, t: usize, sum: Sum<'a>) -> Sum<'a> {
        match self.words.get(t) {
            Some(word) => sum.plus(word),
            None => sum
                .plus(&self.words[t - 7])
                .plus(&self.words[t - 16])
                .pieces(&self.open[t - DECOMPOSED]),
        }
    }
}

/// Words below this one have bits.
const DECOMPOSED: usize = 78;

const WORD: Kind = Kind {
    word: "word_w",
    carry: "carry_w",
};
