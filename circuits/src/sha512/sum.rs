//! Addition modulo 2^64: sums of words as integers, and their last 64 bits.
//!
//! Statement  `sum = out + 2^64 q`, over the integers, with `out` a word
//! Witness    The bits of `out` and of `q`, each made boolean
//! Assumes    Each addend is an integer in the range it declares
//! No wrap    `sum - out - 2^64 q` lies strictly between -2^69 and 2^69 for all values that the
//!            declared ranges allow; this is asserted for every sum. Being zero in the field it is
//!            zero over the integers, and `out`, below 2^64, is the sum's last 64 bits
//! Cost       64 rows for `out`, one for each bit of `q`: as many as the declared ranges require.
//!            The equality costs none where it takes the place of a cell: see `Held`

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field, PrimeField};

use super::bits::{Bool, Word};
use crate::ground::{Bit, Builder, Lin, Term, Wire, pow2};

/// 2^64.
pub(super) const WRAP: i128 = 1 << 64;

/// Range of a word.
const WORD: [i128; 2] = [0, WRAP - 1];

/// Strict bound on the distance of a sum from its `out + 2^64 q`, on either side.
pub(super) const WINDOW: i128 = 1 << 69;

/// A cell of a sum.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell {
    Bit(Bit),
    Wire(Wire),
}

/// Multiples of cells and a constant: an integer in a declared range.
#[derive(Clone, Debug, Default)]
pub(super) struct Pieces {
    /// Kept in recording runs only.
    terms: Vec<(Fr, Cell)>,
    constant: i128,
    value: i128,
    min: i128,
    max: i128,
}

impl Pieces {
    /// Adds `k * bit`.
    pub(super) fn add_bit(&mut self, g: &Builder, k: i128, bit: Bool) {
        self.add_bool(g, k, bit);
        match bit {
            Bool::Constant(one) => self.claim(k, [i128::from(one); 2]),
            Bool::Cell(_) => self.claim(k, [0, 1]),
        }
    }

    /// Adds `k * value`, an integer within `range` for which the caller vouches in another way.
    pub(super) fn add(&mut self, k: i128, value: i128, range: [i128; 2]) {
        self.value += k * value;
        self.claim(k, range);
    }

    /// Adds k if `flip`, and returns the weight that a bit z then has for `k * (z xor flip)`.
    pub(super) fn flipped(&mut self, k: i128, flip: bool) -> i128 {
        if !flip {
            return k;
        }
        self.add_known(k);
        self.claim(k, [1, 1]);
        -k
    }

    /// Declares that pieces added without a range are k times an integer within `range`.
    pub(super) fn claim(&mut self, k: i128, range: [i128; 2]) {
        let [one, other] = range.map(|end| k * end);
        self.min += one.min(other);
        self.max += one.max(other);
    }

    /// Adds `k * bit`, of which the caller declares the range.
    pub(super) fn add_bool(&mut self, g: &Builder, k: i128, bit: Bool) {
        match bit {
            Bool::Constant(one) => self.add_known(k * i128::from(one)),
            Bool::Cell(cell) => self.add_term(g, k, Cell::Bit(cell), i128::from(bit.value())),
        }
    }

    /// Adds `k * cell`, the cell being for the prover the integer `value`. The caller declares the
    /// range.
    pub(super) fn add_term(&mut self, g: &Builder, k: i128, cell: Cell, value: i128) {
        self.value += k * value;
        if g.is_recording() {
            self.terms.push((integer(k), cell));
        }
    }

    /// Adds a constant, of which the caller declares the range.
    pub(super) fn add_known(&mut self, k: i128) {
        self.constant += k;
        self.value += k;
    }

    fn add_scaled(&self, lin: &mut Lin, k: Fr) {
        for (own, cell) in &self.terms {
            cell.add_scaled(lin, k * own);
        }
        *lin += k * integer(self.constant);
    }
}

impl Cell {
    /// `lin + k * self`.
    pub(super) fn add_scaled(self, lin: &mut Lin, k: Fr) {
        match self {
            Self::Bit(bit) => bit.add_scaled(lin, k),
            Self::Wire(wire) => wire.add_scaled(lin, k),
        }
    }
}

/// A sum under construction. What does not depend on the witness is added up modulo 2^64.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum<'a> {
    words: Vec<(i128, &'a Word)>,
    pieces: Vec<&'a Pieces>,
    known: i128,
    rest: Pieces,
}

impl<'a> Sum<'a> {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn constant(mut self, value: u64) -> Self {
        self.known += i128::from(value);
        self
    }

    pub(super) fn plus(mut self, word: &'a Word) -> Self {
        match word.known() {
            Some(value) => self.known += i128::from(value),
            None => {
                self.rest.add(1, i128::from(word.value()), WORD);
                self.words.push((1, word));
            }
        }
        self
    }

    pub(super) fn minus(mut self, word: &'a Word) -> Self {
        match word.known() {
            Some(value) => self.known -= i128::from(value),
            None => {
                self.rest.add(-1, i128::from(word.value()), WORD);
                self.words.push((-1, word));
            }
        }
        self
    }

    pub(super) fn pieces(mut self, pieces: &'a Pieces) -> Self {
        self.rest.add(1, pieces.value, [pieces.min, pieces.max]);
        self.pieces.push(pieces);
        self
    }

    /// Adds the bits in `lanes` of a word that stands in other cells, which the caller adds to the
    /// row.
    pub(super) fn elsewhere(mut self, value: u64, lanes: u64) -> Self {
        let range = [0, i128::from(lanes)];
        self.rest.add(1, i128::from(value & lanes), range);
        self
    }

    fn known(&self) -> i128 {
        self.known.rem_euclid(WRAP)
    }

    /// The sum, with what the circuit knows reduced modulo 2^64.
    pub(super) fn value(&self) -> i128 {
        self.known() + self.rest.value
    }

    /// What the sum can be.
    pub(super) fn range(&self) -> [i128; 2] {
        [self.rest.min, self.rest.max].map(|end| self.known() + end)
    }

    /// The sum's last 64 bits, if the circuit fixes every addend.
    pub(super) fn constant_word(&self) -> Option<Word> {
        let fixed = self.words.is_empty() && self.rest.min == self.rest.max;
        fixed.then(|| Word::constant(low_word(self.value())))
    }

    /// Allocates the sum's last 64 bits and the quotient. Another row has to bind them.
    pub(super) fn reduce(&self, g: &mut Builder, kind: Kind) -> Reduced {
        self.reduce_with(g, kind, false)
    }

    /// The sum's last 64 bits, bound by the row `bind`: the lowest bit of the quotient has no cell,
    /// it is what the others leave of the sum, and the row says that it is a bit.
    pub(super) fn finish(&self, g: &mut Builder, kind: Kind) -> Word {
        if let Some(word) = self.constant_word() {
            return word;
        }
        let out = self.reduce_with(g, kind, true);
        g.row_with("bind", || {
            let bit = -self.missing(&out);
            if out.lowest_has_no_cell {
                (bit.clone(), bit - integer(WRAP), Lin::zero())
            } else {
                (Lin::zero(), Lin::zero(), bit)
            }
        });
        out.word
    }

    fn reduce_with(&self, g: &mut Builder, kind: Kind, drop_lowest: bool) -> Reduced {
        let [min, max] = self.range();
        let total = self.value();
        let low = min.div_euclid(WRAP);
        let span = max.div_euclid(WRAP) - low;
        let count = 128 - span.leading_zeros();
        let most = low + (1 << count) - 1;
        assert!(
            max - WRAP * low < WINDOW && min - WRAP * most - (WRAP - 1) > -WINDOW,
            "a sum between {min} and {max} leaves its window"
        );
        let value = low_word(total);
        let word = Word::new(core::array::from_fn(|i| {
            g.bit(kind.word, value >> i & 1 == 1).into()
        }));
        let quotient = total.div_euclid(WRAP) - low;
        let lowest_has_no_cell = drop_lowest && count > 0;
        let carries = (u32::from(lowest_has_no_cell)..count)
            .map(|i| (i, g.bit(kind.carry, quotient >> i & 1 == 1)))
            .collect();
        Reduced {
            word,
            carries,
            low,
            lowest_has_no_cell,
        }
    }

    /// `out + 2^64 q` less the sum, without what stands elsewhere.
    pub(super) fn missing(&self, out: &Reduced) -> Lin {
        let mut missing = Lin::zero();
        out.add_scaled(&mut missing, Fr::ONE);
        self.add_scaled(&mut missing, -Fr::ONE);
        missing
    }

    /// `lin + k * self`, without what stands elsewhere.
    pub(super) fn add_scaled(&self, lin: &mut Lin, k: Fr) {
        for (sign, word) in &self.words {
            word.add_scaled(lin, if *sign < 0 { -k } else { k });
        }
        for pieces in &self.pieces {
            pieces.add_scaled(lin, k);
        }
        *lin += k * integer(self.known());
    }
}

/// Kinds of hints of a reduction: for the bits of the word, and for those of the quotient.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) word: &'static str,
    pub(super) carry: &'static str,
}

/// A word and the quotient that came off.
#[derive(Clone, Debug)]
pub(super) struct Reduced {
    pub(super) word: Word,
    carries: Vec<(u32, Bit)>,
    low: i128,
    lowest_has_no_cell: bool,
}

impl Reduced {
    /// `lin + k * (word + 2^64 q)`.
    pub(super) fn add_scaled(&self, lin: &mut Lin, k: Fr) {
        self.word.add_scaled(lin, k);
        for (i, bit) in &self.carries {
            bit.add_scaled(lin, k * pow2(64 + i));
        }
        *lin += k * integer(WRAP * self.low);
    }
}

/// An integer as a field element.
pub(super) fn integer(n: i128) -> Fr {
    let mut magnitude = n.unsigned_abs();
    let mut sum = Fr::ZERO;
    if magnitude.count_ones() > 8 {
        sum = Fr::from(magnitude);
    } else {
        // Cells hold numbers of few bits, and adding those up is faster than converting.
        while magnitude != 0 {
            sum += pow2(magnitude.trailing_zeros());
            magnitude &= magnitude - 1;
        }
    }
    if n < 0 { -sum } else { sum }
}

fn low_word(n: i128) -> u64 {
    u64::try_from(n.rem_euclid(WRAP)).expect("a remainder modulo 2^64")
}

/// An advised cell that is to hold an integer, and the integer that it holds, for all that follows:
/// another than `honest` if the hint is a lie, provided that it is small.
pub(super) fn advise(g: &mut Builder, kind: &'static str, honest: i128) -> (Wire, i128) {
    let value = integer(honest);
    let wire = g.hint(kind, value);
    let cell = wire.value();
    if cell == value {
        return (wire, honest);
    }
    let small = |f: Fr| match f.into_bigint().0 {
        [low, 0, 0, 0] => Some(i128::from(low)),
        _ => None,
    };
    let told = small(cell).or_else(|| small(-cell).map(|n| -n));
    let told = told.filter(|n| n.abs() < WRAP);
    (wire, told.unwrap_or(honest))
}

#[cfg(test)]
mod tests {
    use super::super::tests::masked_word;
    use super::*;
    use crate::testing::{Built, Forge, Trial};

    const KIND: Kind = Kind {
        word: "word",
        carry: "carry",
    };

    /// `plus` words and a constant less `minus` words, reduced and bound.
    fn reduce(plus: &[u64], constant: u64, minus: &[u64], lies: &[Forge]) -> Built {
        let trial = lies.iter().fold(Trial::new(), |trial, lie| trial.lie(*lie));
        trial.build(|g| {
            let mut words = |values: &[u64]| -> Vec<Word> {
                values.iter().map(|v| masked_word(g, *v, 0)).collect()
            };
            let (plus, minus) = (words(plus), words(minus));
            let sum = Sum::new().constant(constant);
            let sum = plus.iter().fold(sum, Sum::plus);
            let sum = minus.iter().fold(sum, Sum::minus);
            let expected = sum.value();
            let word = g.scope("sum", |g| sum.finish(g, KIND));
            if lies.is_empty() {
                assert_eq!(i128::from(word.value()), expected.rem_euclid(WRAP));
            }
        })
    }

    #[test]
    fn reduces_at_the_ends_of_its_range() {
        const ALL: u64 = u64::MAX;
        for (plus, constant, minus, rows) in [
            (&[0][..], 0, &[][..], 64 + 1),
            (&[ALL], ALL, &[], 64 + 1),
            (&[0, 0], 0, &[], 64 + 1),
            (&[ALL, ALL], 0, &[], 64 + 1),
            (&[ALL, ALL], ALL, &[], 64 + 2),
            (&[ALL, ALL, ALL, ALL], 0, &[], 64 + 2),
            (&[ALL, ALL, ALL, ALL], 3, &[], 64 + 2),
            (&[ALL, ALL, ALL, ALL], 4, &[], 64 + 3),
            (&[ALL; 8], 0, &[], 64 + 3),
            (&[0, 0], 0, &[ALL], 64 + 2),
            (&[ALL, ALL], ALL, &[0], 64 + 2),
            (&[], 0, &[ALL], 64 + 1),
            (&[], 0, &[0], 64 + 1),
            (&[], 0, &[ALL, ALL], 64 + 2),
            (&[ALL; 16], ALL, &[], 64 + 5),
            (&[], 1, &[ALL; 15], 64 + 4),
        ] {
            let built = reduce(plus, constant, minus, &[]);
            assert_eq!(built.first_broken(), None);
            assert_eq!(
                built.rows_under("sum"),
                rows,
                "{plus:?} {constant} {minus:?}"
            );
            assert!(built.unpinned().is_empty());
        }
    }

    #[test]
    #[should_panic(expected = "leaves its window")]
    fn refuses_to_build_a_sum_beyond_its_window() {
        let _ = reduce(&[0; 33], 0, &[], &[]);
    }

    #[test]
    fn a_false_word_or_quotient_is_refused() {
        let words = &[u64::MAX, 5, 1 << 63, 77];
        for lie in [
            Forge::value("word", 0, 0),
            Forge::value("word", 17, 1),
            Forge::value("word", 63, 0),
            Forge::value("carry", 0, 1),
        ] {
            let built = reduce(words, 3, &[], &[lie]);
            let broken: Vec<_> = built.broken().collect();
            assert!(
                built.holds() || broken == ["sum/bind"],
                "{lie:?} {broken:?}"
            );
        }
        // The word 2^64 - 1 + 5 + 2^63 + 77 + 3 leaves is 2^63 + 84, and the quotient is 1.
        let honest = [("word", 2), ("word", 63)].map(|(kind, i)| Forge::value(kind, i, 0));
        for lie in honest {
            assert_eq!(
                reduce(words, 3, &[], &[lie]).first_broken(),
                Some("sum/bind")
            );
        }
        for two in ["word", "carry"] {
            let built = reduce(words, 3, &[], &[Forge::value(two, 0, 2)]);
            assert_eq!(built.first_broken(), Some(&*format!("sum/{two}/boolean")));
        }
        // 2^64 more in the word, one less in the quotient: a word has no bit for it.
        let lies = [Forge::value("word", 63, 3), Forge::value("carry", 0, 0)];
        assert_eq!(
            reduce(words, 3, &[], &lies).first_broken(),
            Some("sum/word/boolean")
        );
    }
}
