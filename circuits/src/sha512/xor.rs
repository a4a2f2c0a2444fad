//! The sigmas: three-way exclusive or of a word turned and shifted, added up as an integer.
//!
//! Statement  `sum of 2^i * xor(lane i)` over the 64 lanes of each sigma given
//! Witness    One cell per lane of three bits, one per two lanes of two bits
//! Rows       Three bits, x = a + b + c:  `(4z - 2x + 1)(2x - 3) = -3`. The second factor is odd,
//!            hence not zero, and z is `(2x - 1 - 3/(2x - 3))/4`: 0, 1, 0, 1 for x = 0, 1, 2, 3
//!            Two lanes of two bits:  `(a - b - c - m d)(a - b + c + m d) = z - (m+1)(c + m d)`. On
//!            bits `(a - b)^2 = xor(a, b)` and `(c + m d)^2 = c + m^2 d + 2 m c d`, so that
//!            z is `xor(a, b) + m xor(c, d)`
//!            Each is affine in z, with a slope that is not zero: z has one solution in the field,
//!            and is 0 or 1 (or as given) without another row
//! Assumes    The bits are bits
//! Cost       1 row for a lane of three bits, 1/2 for a lane of two, none for fewer.
//!            [`Top::Open`] saves the row of lane 63: a + b + c differs from the exclusive or by 0 or
//!            2, times 2^63 a multiple of 2^64, to which the sum is blind
//! Prover     Cells of three-bit lanes stand on the first side only, of two-bit lanes on the third
//! Source     FIPS 180-4, section 4.1.3

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};

use super::bits::{Bool, Word};
use super::native::Sigma;
use super::sum::{Kind, Pieces, Sum, integer, told};
use crate::ground::{Bit, Builder, Lin};

/// What becomes of lane 63.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Top {
    /// An exclusive or like the others.
    Closed,
    /// A sum of three bits, for whoever wants the result modulo 2^64 only.
    Open,
}

/// A sum of exclusive ors whose last row is held back: its cell does not exist, and what stands in
/// its place is the combination that an equality says it is. The equality costs no row of its own.
#[derive(Clone, Debug)]
#[must_use]
pub(super) struct Held {
    pub(super) pieces: Pieces,
    last: Option<Row>,
}

/// A row that defines the z of `k * z`, a piece of a sum.
#[derive(Clone, Copy, Debug)]
struct Row {
    k: i128,
    lane: Lane,
}

#[derive(Clone, Copy, Debug)]
enum Lane {
    Three([Bit; 3]),
    Two([Bit; 2]),
    /// The first pair and `m` times the second.
    Twice([Bit; 2], i128, [Bit; 2]),
}

/// All rows of the given sigmas.
pub(super) fn xor(g: &mut Builder, operands: &[(Sigma, &Word)], top: Top) -> Pieces {
    let mut pieces = Pieces::default();
    for row in rows(g, operands, top, &mut pieces) {
        row.emit(g, &mut pieces);
    }
    pieces
}

/// All rows of the given sigmas but the last, which is left to [`Held::bind`].
pub(super) fn xor_but_last(g: &mut Builder, operands: &[(Sigma, &Word)], top: Top) -> Held {
    let mut pieces = Pieces::default();
    let mut rows = rows(g, operands, top, &mut pieces);
    let last = rows.pop();
    for row in rows {
        row.emit(g, &mut pieces);
    }
    if let Some(row) = last {
        let [min, max] = row.lane.range();
        pieces.add(row.k, row.lane.value(), [min, max]);
    }
    Held { pieces, last }
}

impl Held {
    /// The last 64 bits of `sum` and these pieces, bound.
    pub(super) fn finish(&self, g: &mut Builder, sum: Sum<'_>, kind: Kind) -> Word {
        let sum = sum.pieces(&self.pieces);
        if self.last.is_none() {
            return sum.finish(g, kind);
        }
        let out = sum.reduce(g, kind);
        self.bind(g, || sum.missing(&out));
        out.word
    }

    /// The row held back, with `rest` in the place of `k * z`; without one, `rest = 0`.
    pub(super) fn bind(&self, g: &mut Builder, rest: impl FnOnce() -> Lin) {
        g.row_with("bind", || match self.last {
            Some(row) => row.lane.sides(integer(row.k), rest()),
            None => (Lin::zero(), Lin::zero(), rest()),
        });
    }
}

/// The rows that the lanes need, three-bit lanes first. Lanes that need none go into `pieces`.
fn rows(g: &Builder, operands: &[(Sigma, &Word)], top: Top, pieces: &mut Pieces) -> Vec<Row> {
    use Bool::{Cell, Constant};
    let mut rows = Vec::with_capacity(64 * operands.len());
    let mut twos = Vec::new();
    for (sigma, word) in operands {
        for i in 0..64 {
            let k = 1 << i;
            let sources = sigma
                .sources(i)
                .map(|j| j.map_or(Bool::ZERO, |j| word.bit(j)));
            if top == Top::Open && i == 63 {
                for bit in sources {
                    pieces.add_bit(g, k, bit);
                }
                continue;
            }
            // Constants in a lane flip its result or not; 1 - z stands for a flipped z.
            let mut signed = |flip: bool| {
                if flip {
                    pieces.add_constant(k);
                    -k
                } else {
                    k
                }
            };
            match sources {
                [Cell(a), Cell(b), Cell(c)] => rows.push(Row {
                    k,
                    lane: Lane::Three([a, b, c]),
                }),
                [Cell(a), Cell(b), Constant(p)]
                | [Cell(a), Constant(p), Cell(b)]
                | [Constant(p), Cell(a), Cell(b)] => twos.push((signed(p), [a, b])),
                [Cell(a), Constant(p), Constant(q)]
                | [Constant(p), Cell(a), Constant(q)]
                | [Constant(p), Constant(q), Cell(a)] => {
                    let k = signed(p ^ q);
                    pieces.add_bit(g, k, a.into());
                }
                [Constant(p), Constant(q), Constant(r)] => {
                    pieces.add_constant(k * i128::from(p ^ q ^ r));
                }
            }
        }
    }
    // Neighbours share a row: the smaller the ratio of their weights, the smaller the numbers.
    twos.sort_by_key(|(k, _)| k.unsigned_abs());
    let odd = twos.len() % 2;
    rows.extend(twos[..odd].iter().map(|(k, pair)| Row {
        k: *k,
        lane: Lane::Two(*pair),
    }));
    rows.extend(twos[odd..].chunks_exact(2).map(|pairs| Row {
        k: pairs[0].0,
        lane: Lane::Twice(pairs[0].1, pairs[1].0 / pairs[0].0, pairs[1].1),
    }));
    rows
}

impl Row {
    /// Allocates the cell, records the row, and adds the piece.
    fn emit(self, g: &mut Builder, pieces: &mut Pieces) {
        let place = self.k.unsigned_abs().trailing_zeros();
        let name = format_args!("xor[{place}]");
        match self.lane {
            Lane::Three(_) | Lane::Two(_) => {
                let z = g.bit_unchecked("xor_bit", self.lane.value() == 1);
                g.row_with(name, || self.lane.sides(Fr::ONE, z.into()));
                pieces.add_bit(g, self.k, z.into());
            }
            Lane::Twice(..) => {
                let honest = self.lane.value();
                let z = g.hint("xor_pair", integer(honest));
                g.row_with(name, || self.lane.sides(Fr::ONE, z.into()));
                let value = told(z.value(), honest);
                pieces.add_wire(g, self.k, z, value, self.lane.range());
            }
        }
    }
}

impl Lane {
    fn value(self) -> i128 {
        match self {
            Self::Three([a, b, c]) => i128::from(a.value() ^ b.value() ^ c.value()),
            Self::Two([a, b]) => i128::from(a.value() ^ b.value()),
            Self::Twice(low, m, high) => Self::Two(low).value() + m * Self::Two(high).value(),
        }
    }

    fn range(self) -> [i128; 2] {
        match self {
            Self::Three(_) | Self::Two(_) => [0, 1],
            Self::Twice(_, m, _) => [m.min(0), 1 + m.max(0)],
        }
    }

    /// The row, times `k`, that is true exactly of `kz = k * value`.
    fn sides(self, k: Fr, kz: Lin) -> (Lin, Lin, Lin) {
        match self {
            Self::Three([a, b, c]) => {
                let x = || Lin::from(a) + b + c;
                let first = kz * 4 + k;
                (
                    first.plus(-k.double(), x()),
                    x() * 2 - 3,
                    (-k * Fr::from(3_u64)).into(),
                )
            }
            Self::Two([a, b]) => ((a - b) * k, a - b, kz),
            Self::Twice([a, b], m, [c, d]) => {
                let high = Lin::from(c).plus(integer(m), d);
                let rest = kz.plus(-k * integer(m + 1), &high);
                ((a - b - &high) * k, a - b + high, rest)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::native::{BIG_SIGMA, SMALL_SIGMA};
    use super::super::sum::WRAP;
    use super::super::tests::{masked_word, polynomial};
    use super::*;
    use crate::testing::Trial;

    /// Over all bits, each row is affine in its cell with a slope that is not zero, and its root is
    /// the exclusive or; also when the row stands for a multiple of the cell.
    #[test]
    fn rows_have_one_root() {
        let three = |b: &[Bit]| Lane::Three([b[0], b[1], b[2]]);
        let two = |b: &[Bit]| Lane::Two([b[0], b[1]]);
        let twice = |m| move |b: &[Bit]| Lane::Twice([b[0], b[1]], m, [b[2], b[3]]);
        let top = 1 << 63;
        one_root(3, three);
        one_root(2, two);
        for m in [1, -1, 2, -2, 1 << 6, top, -top] {
            one_root(4, twice(m));
        }
    }

    fn one_root(cells: usize, lane: impl Fn(&[Bit]) -> Lane) {
        for k in [Fr::ONE, integer(1 << 63), -integer(1 << 58)] {
            for bits in 0_u32..1 << cells {
                let built = Trial::new().build(|g| {
                    let bits: Vec<_> = (0..cells)
                        .map(|i| g.bit("in", bits >> i & 1 == 1))
                        .collect();
                    let lane = lane(&bits);
                    let z = g.witness("z", integer(lane.value()));
                    g.row_with("row", || lane.sides(k, z * k));
                });
                let z = built.column("z").expect("the cell");
                let [_, slope, square] = polynomial(&built, "row", z);
                assert!(built.holds() && slope != Fr::ZERO && square == Fr::ZERO);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// Words of which some bits are known: the pieces add up to the sigma modulo 2^64, or
        /// exactly, and every cell is pinned.
        #[test]
        fn adds_up_to_the_sigma(word: u64, known: u64, which in 0_usize..4, open: bool) {
            let sigma = [BIG_SIGMA, SMALL_SIGMA].concat()[which];
            let built = Trial::new().build(|g| {
                let word = masked_word(g, word, known);
                let top = if open { Top::Open } else { Top::Closed };
                let pieces = xor(g, &[(sigma, &word)], top);
                let expected = i128::from(sigma.of(word.value()));
                let sum = Sum::new().pieces(&pieces);
                assert_eq!(sum.value() - expected, if open { sum.value() / WRAP * WRAP } else { 0 });
                let mut lin = Lin::zero();
                sum.add_scaled(&mut lin, Fr::ONE);
                if g.is_recording() {
                    assert_eq!(lin.value(), integer(sum.value()));
                }
            });
            prop_assert!(built.holds());
        }
    }

    #[test]
    fn costs() {
        let rows = |sigma, top| {
            let built = Trial::new().build(|g| {
                let word = masked_word(g, 1, 0);
                let _ = xor(g, &[(sigma, &word)], top);
            });
            built
                .row_names()
                .filter(|name| name.starts_with("xor"))
                .count()
        };
        for sigma in BIG_SIGMA {
            assert_eq!(rows(sigma, Top::Closed), 64);
            assert_eq!(rows(sigma, Top::Open), 63);
        }
        assert_eq!(
            SMALL_SIGMA.map(|sigma| rows(sigma, Top::Closed)),
            [57 + 4, 58 + 3]
        );
        assert_eq!(
            SMALL_SIGMA.map(|sigma| rows(sigma, Top::Open)),
            [57 + 3, 58 + 3]
        );
    }
}
