//! Look-ups: every looked-up value is an entry of its table.
//!
//! Statement  Each looked-up tuple `f` occurs among the entries `t` of all tables
//! Witness    Looked-up cells and multiplicities `m`, all *committed*: fixed before the challenges
//! Check      `sum 1/(c - f) = sum m/(c - t)` at a challenge `c`; tuples are compressed to one
//!            element by powers of a second challenge `r`: `key + r*table + r^2*v_0 + r^3*v_1 + ...`
//! Argument   As rational functions of c both sides have equal poles only if every f is some t: a
//!            pole at f has a residue between 1 and the number of look-ups, far below the modulus,
//!            so residues cannot cancel. Both sides are fixed by what the commitment fixes, so an
//!            inequality survives a random c but for (look-ups + entries) / 2^254, and a collision
//!            of two compressed tuples has probability at most (width + 1) / 2^254 per pair
//! Assumes    The verifier refuses `c` below the chunk table's size: there `m/(c - t)` would be 0/0.
//!            Entries made of cells must be functions of committed cells by rows without a challenge
//! Cost       Chunk: 1 row. Entry of the chunk table: 1 row. See `table` for tuples. 1 row in all
//! Source     Haboeck 2022, eprint 2022/1530

mod range;
mod table;

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, BigInt, BigInteger, Field, PrimeField, batch_inversion};

use crate::ground::{Builder, Lin, Wire, pow2};
use crate::testing::Stray;

pub use range::{Integer, Limb};
pub use table::{Selected, TableId};

/// Everything looked up so far.
#[derive(Debug)]
pub(crate) struct Lookups {
    chunk_bits: u32,
    chunks: Vec<ChunkQuery>,
    /// How often each entry of the chunk table was looked up, out-of-range values apart.
    counts: Vec<u32>,
    multiplicities: Vec<Wire>,
    tables: table::Tables,
}

/// `2^shift * cell` is looked up in the chunk table.
#[derive(Clone, Copy, Debug)]
struct ChunkQuery {
    cell: Wire,
    shift: u32,
}

impl Lookups {
    pub(crate) fn new(chunk_bits: u32) -> Self {
        assert!(
            (1..=20).contains(&chunk_bits),
            "chunks of {chunk_bits} bits are not supported"
        );
        Self {
            chunk_bits,
            chunks: Vec::new(),
            counts: Vec::new(),
            multiplicities: Vec::new(),
            tables: table::Tables::default(),
        }
    }
}

impl Builder {
    /// Width of the chunks that one look-up checks, in bits.
    #[must_use]
    pub fn chunk_bits(&self) -> u32 {
        self.lookups.chunk_bits
    }

    /// Looks `2^shift * cell` up in the chunk table, by the row `.../name`.
    ///
    /// `digit` is the looked-up value if it is known to be in the table; `None` makes this find out.
    fn look_up(
        &mut self,
        name: core::fmt::Arguments<'_>,
        cell: Wire,
        shift: u32,
        digit: Option<u64>,
    ) {
        let bits = self.lookups.chunk_bits;
        if self.lookups.counts.is_empty() {
            self.lookups.counts = vec![0; 1 << bits];
        }
        let index = match digit {
            Some(digit) => usize::try_from(digit << shift).ok(),
            None => small(cell.value() * pow2(shift)),
        };
        let entry = index.and_then(|i| self.lookups.counts.get_mut(i));
        if let Some(names) = &mut self.names {
            let name = names.here(name);
            names.queries.push(name);
        }
        match (entry, &mut self.attack) {
            (Some(count), _) => *count += 1,
            (None, Some(attack)) => attack.strays.push(Stray::Chunk(self.lookups.chunks.len())),
            (None, None) => {} // `lookup/sum` refuses it
        }
        self.lookups.chunks.push(ChunkQuery { cell, shift });
    }

    /// Commits to how often each entry was looked up: the last cells of the commitment.
    pub(crate) fn commit_multiplicities(&mut self) {
        let counts = core::mem::take(&mut self.lookups.counts);
        self.scope("lookup", |g| {
            for (i, count) in counts.iter().enumerate() {
                let value = g.believe("lookup/multiplicity", Fr::from(*count));
                let wire = g.committed_as(format_args!("multiplicity[{i}]"), value);
                g.lookups.multiplicities.push(wire);
            }
            g.commit_tuple_multiplicities();
        });
    }

    /// The second stage: the rows that show the looked-up values to be in their tables.
    pub(crate) fn prove_lookups(&mut self, tuple: Wire, sum: Wire) {
        let mut found = self.chunk_rows(sum);
        let mut offered = self.scope("lookup", |g| g.chunk_table_rows(sum));
        self.scope("lookup", |g| {
            g.tuple_rows(tuple, sum, &mut found, &mut offered)
        });
        if !found.is_empty() || !offered.is_empty() {
            self.row_with("lookup/sum", || {
                let mut difference = Lin::zero();
                for inverse in found {
                    difference += inverse;
                }
                for share in offered {
                    difference -= share;
                }
                (Lin::zero(), Lin::zero(), difference)
            });
        }
    }

    /// `1/(c - f)` for every looked-up chunk, one row each.
    fn chunk_rows(&mut self, sum: Wire) -> Vec<Wire> {
        let queries = core::mem::take(&mut self.lookups.chunks);
        let mut inverses: Vec<Fr> = queries
            .iter()
            .map(|q| match q.shift {
                0 => sum.value() - q.cell.value(),
                shift => sum.value() - q.cell.value() * pow2(shift),
            })
            .collect();
        batch_inversion(&mut inverses);
        let names = self
            .names
            .as_mut()
            .map(|names| core::mem::take(&mut names.queries));
        let mut found = Vec::with_capacity(queries.len());
        for (i, (query, inverse)) in queries.iter().zip(inverses).enumerate() {
            let name = names.as_ref().map_or("", |names| &names[i]);
            let inverse = self.believe("lookup/inverse", inverse);
            let inverse = self.witness(format_args!("{name}/inverse"), inverse);
            self.row_with(name, || {
                let distance = Lin::from(sum).plus(-pow2(query.shift), query.cell);
                (inverse.into(), distance, Fr::ONE.into())
            });
            found.push(inverse);
        }
        if let (Some(kept), Some(queries)) = (&mut self.names, names) {
            kept.queries = queries;
        }
        found
    }

    /// `m/(c - i)` for every entry `i` of the chunk table, one row each.
    fn chunk_table_rows(&mut self, sum: Wire) -> Vec<Wire> {
        let multiplicities = core::mem::take(&mut self.lookups.multiplicities);
        let mut shares: Vec<Fr> = (0_u64..)
            .zip(&multiplicities)
            .map(|(i, m)| {
                if m.value() == Fr::ZERO {
                    Fr::ZERO
                } else {
                    sum.value() - Fr::from(i)
                }
            })
            .collect();
        batch_inversion(&mut shares);
        let mut offered = Vec::with_capacity(shares.len());
        for ((i, m), inverse) in (0_u64..).zip(multiplicities).zip(shares) {
            let share = self.believe("lookup/share", inverse * m.value());
            let share = self.witness(format_args!("share[{i}]"), share);
            self.row_with(format_args!("entry[{i}]"), || {
                (share.into(), Lin::from(sum) - Fr::from(i), m.into())
            });
            offered.push(share);
        }
        offered
    }
}

/// `value` as an integer, if it is below 2^64.
fn small(value: Fr) -> Option<usize> {
    let integer = value.into_bigint();
    let [low, rest @ ..] = integer.0;
    (rest == [0; 3])
        .then(|| usize::try_from(low).ok())
        .flatten()
}

/// Bits `start .. start + count` of an integer, `count < 64`.
fn digit(integer: &BigInt<4>, start: u32, count: u32) -> u64 {
    let (word, offset) = ((start / 64) as usize, start % 64);
    let limb = |i: usize| integer.0.get(i).copied().unwrap_or_default();
    let low = limb(word) >> offset;
    let high = if offset == 0 {
        0
    } else {
        limb(word + 1) << (64 - offset)
    };
    (low | high) & ((1 << count) - 1)
}

/// Whether `integer` has at most `bits` bits.
fn fits(integer: &BigInt<4>, bits: u32) -> bool {
    integer.num_bits() <= bits
}

#[cfg(test)]
mod tests;
