//! The sigmas: three-way exclusive or of a word turned and shifted, added up as an integer.
//!
//! Statement  `sum of 2^i * xor(lane i)` over the 64 lanes of each sigma given, and [`Company`]
//! Witness    One cell per lane of three bits, one per two lanes of two bits; or as in `star`
//! Rows       Three bits, x = a + b + c:  `(4z - 2x + 1)(2x - 3) = -3`. The second factor is odd,
//!            hence not zero, and z is `(2x - 1 - 3/(2x - 3))/4`: 0, 1, 0, 1 for x = 0, 1, 2, 3
//!            Two lanes of two bits:  `(a - b - c - m d)(a - b + c + m d) = z - (m+1)(c + m d)`. On
//!            bits `(a - b)^2 = xor(a, b)` and `(c + m d)^2 = c + m^2 d + 2 m c d`, so that
//!            z is `xor(a, b) + m xor(c, d)`
//!            Each is affine in z, with a slope that is not zero: z has one solution in the field,
//!            and is 0 or 1 (or as given) without another row
//! Assumes    The bits are bits
//! Cost       1 row for a lane of three bits, 1/2 for a lane of two, none for fewer, less what stars
//!            save. [`Top::Open`] saves the row of lane 63: a + b + c differs from the exclusive or by
//!            0 or 2, times 2^63 a multiple of 2^64, to which the sum is blind
//! Prover     Cells of three-bit lanes stand on the first side only, of two-bit lanes on the third
//! Source     FIPS 180-4, section 4.1.3

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};

use super::bits::{Bool, Word};
use super::native::Sigma;
use super::star::{Meeting, Star, meetings};
use super::sum::{Cell, Kind, Pieces, Sum, advise, integer};
use crate::ground::{Bit, Builder, Lin};

/// Exclusive ors to add up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Xor<'a> {
    pub(super) operands: &'a [(Sigma, &'a Word)],
    pub(super) top: Top,
    pub(super) company: Company<'a>,
}

/// What becomes of lane 63.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Top {
    /// An exclusive or like the others.
    Closed,
    /// A sum of three bits, for whoever wants the result modulo 2^64 only.
    Open,
}

/// What may come along in lanes in which the word's bit is the center of a star.
#[derive(Clone, Copy, Debug)]
pub(super) enum Company<'a> {
    /// Nothing.
    None,
    /// Ch(word, f, h).
    Choice([&'a Word; 2]),
    /// Maj(word, b, c).
    Majority([&'a Word; 2]),
}

/// The exclusive ors, and in the lanes of `with` their company.
#[derive(Clone, Debug)]
pub(super) struct Xored {
    pub(super) pieces: Pieces,
    pub(super) with: u64,
}

/// A sum of exclusive ors whose last row is held back: its cell does not exist, and what stands in
/// its place is the combination that an equality says it is. The equality costs no row of its own.
#[derive(Clone, Debug)]
#[must_use]
pub(super) struct Held {
    pub(super) pieces: Pieces,
    pub(super) with: u64,
    last: Option<Row>,
}

/// A row that defines the z of `k * z`, a piece of a sum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) k: i128,
    lane: Lane,
}

#[derive(Clone, Copy, Debug)]
enum Lane {
    Three([Bit; 3]),
    Two([Bit; 2]),
    /// The first pair and `m` times the second.
    Twice([Bit; 2], i128, [Bit; 2]),
}

/// The cell of a row: a bit, or a cell that is short of z by `least`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Z {
    cell: Cell,
    least: i128,
    /// z, as the prover believes.
    pub(super) value: i128,
    /// Of z.
    pub(super) range: [i128; 2],
}

impl<'a> Xor<'a> {
    /// Without company, every lane an exclusive or.
    pub(super) fn of(operands: &'a [(Sigma, &'a Word)]) -> Self {
        Self {
            operands,
            top: Top::Closed,
            company: Company::None,
        }
    }

    /// All rows.
    pub(super) fn all(self, g: &mut Builder) -> Xored {
        let mut pieces = Pieces::default();
        let (rows, with) = self.rows_after_stars(g, &mut pieces);
        for row in rows {
            row.emit(g, &mut pieces);
        }
        Xored { pieces, with }
    }

    /// All rows but the last, which is left to [`Held::bind`].
    pub(super) fn but_last(self, g: &mut Builder) -> Held {
        let mut pieces = Pieces::default();
        let (mut rows, with) = self.rows_after_stars(g, &mut pieces);
        let last = rows.pop();
        for row in rows {
            row.emit(g, &mut pieces);
        }
        if let Some(row) = last {
            pieces.add(row.k, row.lane.value(), row.lane.range());
        }
        Held { pieces, with, last }
    }

    /// Records the stars, and returns the rows that the other lanes need, and the company taken.
    fn rows_after_stars(self, g: &mut Builder, pieces: &mut Pieces) -> (Vec<Row>, u64) {
        let mut rows = Vec::with_capacity(64 * self.operands.len());
        let mut twos = Vec::new();
        let mut with = 0;
        for operand in self.operands {
            let mut taken = 0;
            if self.top == Top::Open {
                taken |= 1 << 63;
                for bit in sources(*operand, 63) {
                    pieces.add_bit(g, 1 << 63, bit);
                }
            }
            for meeting in meetings(operand.0) {
                if let Some(star) = self.star(g, *operand, meeting, &mut taken, pieces) {
                    let center = meeting.center;
                    g.scope(format_args!("star[{center}]"), |g| star.emit(g, pieces));
                    with |= u64::from(self.company.is_any()) << center;
                }
            }
            for i in (0..64).filter(|i| taken >> i & 1 == 0) {
                match lane(sources(*operand, i)) {
                    Sources::Three(bits) => rows.push(Row {
                        k: 1 << i,
                        lane: Lane::Three(bits),
                    }),
                    Sources::Two(bits, flip) => twos.push((pieces.flipped(1 << i, flip), bits)),
                    Sources::One(bit, flip) => {
                        let k = pieces.flipped(1 << i, flip);
                        pieces.add_bit(g, k, bit.into());
                    }
                    Sources::None(one) => pieces.add_bit(g, 1 << i, one.into()),
                }
            }
        }
        // Neighbours share a row: the smaller the ratio of their weights, the smaller the numbers.
        twos.sort_by_key(|(k, _)| k.unsigned_abs());
        let (odd, even) = twos.split_at(twos.len() % 2);
        rows.extend(odd.chunks(2).chain(even.chunks(2)).map(Row::of_two_bits));
        (rows, with)
    }

    /// The star of a meeting, if its bits are cells and if it has something to carry that would
    /// otherwise cost: a lane of two bits, or company. Takes its lanes.
    fn star(
        self,
        g: &Builder,
        operand: (Sigma, &Word),
        meeting: &Meeting,
        taken: &mut u64,
        pieces: &mut Pieces,
    ) -> Option<Star> {
        let Bool::Cell(center) = operand.1.bit(meeting.center) else {
            return None;
        };
        let rest = |i: usize| lane(sources_without(operand, i, meeting.center));
        let mut arms = Vec::with_capacity(meeting.lanes.len() + 1);
        for &i in &meeting.lanes {
            match rest(i) {
                Sources::Two(bits, false) if *taken >> i & 1 == 0 => arms.push((1 << i, bits)),
                _ => return None,
            }
        }
        let mut carried = Vec::new();
        for &i in &meeting.passing {
            if let Sources::One(bit, flip) = rest(i)
                && *taken >> i & 1 == 0
            {
                carried.push((i, bit, flip));
            }
        }
        if carried.is_empty() && !self.company.is_any() {
            return None;
        }
        let mut star = Star {
            center,
            arms,
            rays: Vec::new(),
        };
        for &i in &meeting.lanes {
            *taken |= 1 << i;
            pieces.claim(1 << i, [0, 1]);
        }
        for (i, bit, flip) in carried {
            *taken |= 1 << i;
            let k = pieces.flipped(1 << i, flip);
            pieces.claim(k, [0, 1]);
            star.carry_xor(g, k, bit, pieces);
        }
        pieces.claim(self.company.range() << meeting.center, [0, 1]);
        let at = |word: &Word| word.bit(meeting.center);
        match self.company {
            Company::None => {}
            Company::Choice([f, h]) => {
                star.carry_choice(g, 1 << meeting.center, [at(f), at(h)], pieces);
            }
            Company::Majority([b, c]) => {
                star.carry_majority(g, 1 << meeting.center, [at(b), at(c)], pieces);
            }
        }
        Some(star)
    }
}

impl Company<'_> {
    /// None if the circuit knows this word: then there are no stars in its lanes. Of two rounds that
    /// share cells, the first decides for both.
    pub(super) fn if_cells(self, word: &Word) -> Self {
        match word.known() {
            Some(_) => Self::None,
            None => self,
        }
    }

    fn is_any(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// What it says in a lane is below 2, if it says anything.
    fn range(&self) -> i128 {
        i128::from(self.is_any())
    }
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

/// The cells of a lane, and whether the constants in it flip the result.
enum Sources {
    Three([Bit; 3]),
    Two([Bit; 2], bool),
    One(Bit, bool),
    None(bool),
}

fn lane(sources: [Bool; 3]) -> Sources {
    use Bool::{Cell, Constant};
    match sources {
        [Cell(a), Cell(b), Cell(c)] => Sources::Three([a, b, c]),
        [Cell(a), Cell(b), Constant(p)]
        | [Cell(a), Constant(p), Cell(b)]
        | [Constant(p), Cell(a), Cell(b)] => Sources::Two([a, b], p),
        [Cell(a), Constant(p), Constant(q)]
        | [Constant(p), Cell(a), Constant(q)]
        | [Constant(p), Constant(q), Cell(a)] => Sources::One(a, p ^ q),
        [Constant(p), Constant(q), Constant(r)] => Sources::None(p ^ q ^ r),
    }
}

fn sources((sigma, word): (Sigma, &Word), i: usize) -> [Bool; 3] {
    sigma
        .sources(i)
        .map(|j| j.map_or(Bool::ZERO, |j| word.bit(j)))
}

fn sources_without(operand: (Sigma, &Word), i: usize, center: usize) -> [Bool; 3] {
    let places = operand.0.sources(i);
    let mut bits = sources(operand, i);
    for (bit, place) in bits.iter_mut().zip(places) {
        if place == Some(center) {
            *bit = Bool::ZERO;
        }
    }
    bits
}

impl Row {
    /// One or two lanes of two bits, each with its weight.
    pub(super) fn of_two_bits(lanes: &[(i128, [Bit; 2])]) -> Self {
        match lanes {
            [(k, bits)] => Self {
                k: *k,
                lane: Lane::Two(*bits),
            },
            [(k, low), (l, high)] => Self {
                k: *k,
                lane: Lane::Twice(*low, l / k, *high),
            },
            _ => unreachable!("one or two lanes share a row"),
        }
    }

    /// Allocates the cell, records the row, and adds the piece.
    fn emit(self, g: &mut Builder, pieces: &mut Pieces) {
        let z = self.cell(g);
        z.add_to(g, self.k, pieces);
        pieces.claim(self.k, z.range);
    }

    /// Allocates the cell and records the row.
    pub(super) fn cell(self, g: &mut Builder) -> Z {
        let place = self.k.unsigned_abs().trailing_zeros();
        let name = format_args!("xor[{place}]");
        let honest = self.lane.value();
        let range = self.lane.range();
        match self.lane {
            Lane::Three(_) | Lane::Two(_) => {
                let bit = g.bit_unchecked("xor_bit", honest == 1);
                g.row_with(name, || self.lane.sides(Fr::ONE, bit.into()));
                Z {
                    cell: Cell::Bit(bit),
                    least: 0,
                    value: i128::from(bit.value()),
                    range,
                }
            }
            Lane::Twice(..) => {
                let [least, _] = range;
                let (wire, told) = advise(g, "xor_pair", honest - least);
                g.row_with(name, || self.lane.sides(Fr::ONE, wire + integer(least)));
                Z {
                    cell: Cell::Wire(wire),
                    least,
                    value: told + least,
                    range,
                }
            }
        }
    }
}

impl Z {
    /// Adds `k * z`, of which the caller declares the range.
    pub(super) fn add_to(self, g: &Builder, k: i128, pieces: &mut Pieces) {
        pieces.add_term(g, k, self.cell, self.value - self.least);
        pieces.add_known(k * self.least);
    }

    /// `lin + k * z`.
    pub(super) fn add_scaled(self, lin: &mut Lin, k: Fr) {
        self.cell.add_scaled(lin, k);
        *lin += k * integer(self.least);
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

    use super::super::native::{choice, majority};
    use super::super::sum::WRAP;
    use super::super::tests::{masked_word, polynomial};
    use super::*;
    use crate::testing::{Built, Trial};

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

    /// A sum of exclusive ors of a word of which some bits are known, with company.
    fn built(sigma: Sigma, values: [u64; 3], known: u64, top: Top, company: u8) -> (Built, u64) {
        let with = core::cell::Cell::new(0);
        let built = Trial::new().build(|g| {
            let [x, y, z] = values.map(|value| masked_word(g, value, known));
            let (company, value) = match company {
                0 => (Company::None, 0),
                1 => (
                    Company::Choice([&y, &z]),
                    choice(x.value(), y.value(), z.value()),
                ),
                _ => (
                    Company::Majority([&y, &z]),
                    majority(x.value(), y.value(), z.value()),
                ),
            };
            let operands = [(sigma, &x)];
            let xor = Xor {
                operands: &operands,
                top,
                company,
            };
            let xored = g.scope("xor", |g| xor.all(g));
            with.set(xored.with);
            let sum = Sum::new().pieces(&xored.pieces);
            let expected = i128::from(sigma.of(x.value())) + i128::from(value & xored.with);
            match top {
                Top::Closed => assert_eq!(sum.value(), expected),
                Top::Open => assert_eq!((sum.value() - expected).rem_euclid(WRAP), 0),
            }
            let [min, max] = sum.range();
            assert!((min..=max).contains(&sum.value()));
            if g.is_recording() {
                let mut lin = Lin::zero();
                sum.add_scaled(&mut lin, Fr::ONE);
                assert_eq!(lin.value(), integer(sum.value()));
            }
        });
        (built, with.get())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// The pieces add up to the sigma and its company, exactly or modulo 2^64, and stay within
        /// the range that they declare.
        #[test]
        fn adds_up_to_the_sigma(
            values: [u64; 3],
            known in prop_oneof![Just(0), any::<u64>(), any::<[u64; 3]>().prop_map(|[a, b, c]| a & b & c)],
            which in 0..4_usize,
            open: bool,
            company in 0..3_u8,
        ) {
            let top = if open { Top::Open } else { Top::Closed };
            // Majority wants a center whose lane is not the lowest: those of the register a.
            let company = if ALL[which] == Sigma::Big0 { company } else { company.min(1) };
            let (built, _) = built(ALL[which], values, known, top, company);
            prop_assert!(built.holds());
        }
    }

    /// Bits of all zeros and all ones in every role.
    #[test]
    fn adds_up_at_the_ends() {
        let word = |mask: usize, i: usize| if mask >> i & 1 == 1 { u64::MAX } else { 0 };
        for (sigma, company) in [(Sigma::Big0, 2), (Sigma::Big1, 1), (Sigma::Small0, 0)] {
            for mask in 0..8 {
                let values = core::array::from_fn(|i| word(mask, i));
                assert!(built(sigma, values, 0, Top::Closed, company).0.holds());
            }
        }
    }

    /// Each product of a star is a function of its bits: one root, and the row sees every arm.
    #[test]
    fn stars_have_one_root() {
        for (sigma, company) in [(Sigma::Big0, 2), (Sigma::Big1, 1), (Sigma::Small1, 0)] {
            let values = [
                0x0123_4567_89ab_cdef,
                0xf0f0_1234_0bad_cafe,
                0x5555_3333_0f0f_00ff,
            ];
            let (built, _) = built(sigma, values, 0, Top::Closed, company);
            let stars: Vec<usize> = built
                .advised_columns()
                .filter(|i| built.name(*i).ends_with("/star"))
                .collect();
            assert_eq!(stars.len(), meetings(sigma).len());
            for column in stars {
                let [_, slope, square] = polynomial(&built, built.name(column), column);
                assert!(slope == -Fr::ONE && square == Fr::ZERO);
            }
            let unpinned = built.unpinned().into_iter().filter(|name| *name != "input");
            assert_eq!(unpinned.collect::<Vec<_>>(), [""; 0]);
        }
    }

    #[test]
    fn costs() {
        let rows = |sigma, top, company| {
            let (built, with) = built(sigma, [1, 2, 3], 0, top, company);
            (built.rows_under("xor"), with.count_ones())
        };
        use Top::{Closed, Open};
        // Alone; then with 20 lanes of Maj for no row more, with 31 of Ch for none.
        assert_eq!(rows(Sigma::Big0, Closed, 0), (64, 0));
        assert_eq!(rows(Sigma::Big0, Closed, 2), (64, 20));
        assert_eq!(rows(Sigma::Big1, Open, 0), (63, 0));
        assert_eq!(rows(Sigma::Big1, Open, 1), (63, 31));
        // 57 lanes of three bits and 7 of two, four of which are carried; 58 and 6, all carried.
        assert_eq!(rows(Sigma::Small0, Closed, 0), (57 + 2, 0));
        assert_eq!(rows(Sigma::Small1, Closed, 0), (58, 0));
    }

    const ALL: [Sigma; 4] = [Sigma::Big0, Sigma::Big1, Sigma::Small0, Sigma::Small1];
}
