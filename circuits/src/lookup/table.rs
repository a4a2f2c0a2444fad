//! Tuple tables: select one of a set of rows of values by a key.
//!
//! Statement  `(key, v_0, v_1, ...)` is an entry of this very table
//! Witness    Key and values of each selection, committed; multiplicities, committed
//! Argument   Key and table are components of their own. Packed into one, a prover takes another
//!            table's entry with a key that is off by the packing's step
//! Cost       Selection of w values: w + 1 rows. Entry of w cells: w + 1 rows; a mirrored pair of
//!            entries: w + 2 rows. Entry of constants: 1 row. Powers of the challenge: widest table, once
//!
//! Only the compressed tuple itself stands in a second factor: full-size cells there are what costs
//! a prover most.

use std::collections::BTreeMap;

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};

use crate::ground::{Builder, Lin, Wire};
use crate::testing::Stray;

/// A table of this circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableId(usize);

/// A selected entry: committed cells, bound to the table by the look-up.
#[derive(Clone, Debug)]
#[must_use]
pub struct Selected {
    /// The entry's key.
    pub key: Wire,
    /// The entry's values.
    pub values: Vec<Wire>,
}

#[derive(Debug, Default)]
pub(super) struct Tables {
    tables: Vec<Table>,
    selections: Vec<(usize, Selected)>,
}

#[derive(Debug)]
struct Table {
    name: &'static str,
    width: usize,
    /// Position, in the order in which entries were added, of each key.
    keys: BTreeMap<i64, usize>,
    /// Values of each entry.
    native: Vec<Vec<Fr>>,
    counts: Vec<u32>,
    multiplicities: Vec<Wire>,
    rows: Vec<Entry>,
}

/// What the second stage needs to compress entries.
#[derive(Debug)]
enum Entry {
    Constant(i64, Vec<Fr>),
    Cells(i64, Vec<Lin>),
    /// The entries `(key, even, odd)` and `(mirror, even, -odd)`.
    Pair {
        key: i64,
        mirror: i64,
        even: Vec<Lin>,
        odd: Vec<Lin>,
    },
}

impl Builder {
    /// A new table whose entries have a key and `width` values.
    ///
    /// # Panics
    /// If `width` is zero.
    pub fn table(&mut self, name: &'static str, width: usize) -> TableId {
        assert!(width > 0, "table {name} has no values to select");
        let tables = &mut self.lookups.tables.tables;
        tables.push(Table {
            name,
            width,
            keys: BTreeMap::new(),
            native: Vec::new(),
            counts: Vec::new(),
            multiplicities: Vec::new(),
            rows: Vec::new(),
        });
        TableId(tables.len() - 1)
    }

    /// Adds the entry `(key, values)`. The values must be functions of committed cells by rows
    /// without a challenge, or a prover chooses them after the challenge.
    ///
    /// # Panics
    /// If the key is taken or the number of values is not the table's width.
    pub fn entry(&mut self, table: TableId, key: i64, values: Vec<Lin>) {
        self.note_entry(&values);
        let table = &mut self.lookups.tables.tables[table.0];
        table.add(key, values.iter().map(Lin::value).collect());
        table.rows.push(Entry::Cells(key, values));
    }

    /// Adds `(key, even, odd)` and `(mirror, even, -odd)`; see [`entry`](Self::entry).
    ///
    /// # Panics
    /// If a key is taken or the number of values is not the table's width.
    pub fn entry_pair(
        &mut self,
        table: TableId,
        [key, mirror]: [i64; 2],
        even: Vec<Lin>,
        odd: Vec<Lin>,
    ) {
        self.note_entry(&even);
        self.note_entry(&odd);
        let table = &mut self.lookups.tables.tables[table.0];
        let values = |sign: Fr| -> Vec<Fr> {
            let odd = odd.iter().map(|v| sign * v.value());
            even.iter().map(Lin::value).chain(odd).collect()
        };
        table.add(key, values(Fr::ONE));
        table.add(mirror, values(-Fr::ONE));
        table.rows.push(Entry::Pair {
            key,
            mirror,
            even,
            odd,
        });
    }

    /// Adds an entry of constants.
    ///
    /// # Panics
    /// If the key is taken or the number of values is not the table's width.
    pub fn entry_constant(&mut self, table: TableId, key: i64, values: &[Fr]) {
        let table = &mut self.lookups.tables.tables[table.0];
        table.add(key, values.to_vec());
        table.rows.push(Entry::Constant(key, values.to_vec()));
    }

    /// Selects the entry with this key, whose cell and values become part of the commitment. A key
    /// that the table does not have gives zeros, which `lookup/sum` refuses.
    pub fn select(&mut self, table: TableId, key: i64) -> Selected {
        let TableId(id) = table;
        let key = self.believe("select/key", signed(key));
        let tables = &mut self.lookups.tables;
        let found = tables.tables[id].find(key);
        let values = match found {
            Some(i) => {
                tables.tables[id].counts[i] += 1;
                tables.tables[id].native[i].clone()
            }
            None => vec![Fr::ZERO; tables.tables[id].width],
        };
        let name = tables.tables[id].name;
        self.scope(name, |g| {
            let mut stray = found.is_none();
            let key = g.committed_as("key", key);
            let values = values
                .into_iter()
                .enumerate()
                .map(|(i, honest)| {
                    let value = g.believe("select/value", honest);
                    stray |= value != honest;
                    g.committed_as(format_args!("value[{i}]"), value)
                })
                .collect();
            if let Some(names) = &mut g.names {
                let name = names.here("select");
                names.selections.push(name);
            }
            let number = g.lookups.tables.selections.len();
            if let Some(attack) = g.attack.as_mut().filter(|_| stray) {
                attack.strays.push(Stray::Tuple(number));
            }
            let selected = Selected { key, values };
            g.lookups.tables.selections.push((id, selected.clone()));
            selected
        })
    }

    fn note_entry(&mut self, values: &[Lin]) {
        if let Some(names) = &mut self.names {
            names.entries.extend(values.iter().flat_map(Lin::cells));
        }
    }

    pub(super) fn commit_tuple_multiplicities(&mut self) {
        for id in 0..self.lookups.tables.tables.len() {
            let counts = core::mem::take(&mut self.lookups.tables.tables[id].counts);
            let name = self.lookups.tables.tables[id].name;
            for (i, count) in counts.into_iter().enumerate() {
                let value = self.believe("lookup/multiplicity", Fr::from(count));
                let wire = self.committed_as(format_args!("{name}[{id}]/multiplicity[{i}]"), value);
                self.lookups.tables.tables[id].multiplicities.push(wire);
            }
        }
    }

    /// Compresses selections and entries and adds their shares to the two sides of the sum.
    pub(super) fn tuple_rows(
        &mut self,
        tuple: Wire,
        sum: Wire,
        found: &mut Vec<Wire>,
        offered: &mut Vec<Wire>,
    ) {
        let tables = core::mem::take(&mut self.lookups.tables);
        let width = tables
            .tables
            .iter()
            .map(|t| t.width)
            .max()
            .unwrap_or_default();
        let weights = self.weights(tuple, width);
        for (i, (id, selected)) in tables.selections.iter().enumerate() {
            self.scope(
                format_args!("{}[{id}]/select[{i}]", tables.tables[*id].name),
                |g| {
                    let head = Lin::from(selected.key) + tag(tuple, *id);
                    let values = selected.values.iter().map(|v| Lin::from(*v));
                    let tuple = g.compress(head, values, &weights);
                    found.push(g.inverse(sum, tuple.into()));
                },
            );
        }
        for (id, table) in tables.tables.into_iter().enumerate() {
            let name = table.name;
            self.scope(format_args!("{name}[{id}]"), |g| {
                g.entry_rows(id, table, tuple, sum, &weights, offered);
            });
        }
    }

    fn entry_rows(
        &mut self,
        id: usize,
        table: Table,
        tuple: Wire,
        sum: Wire,
        weights: &[Wire],
        offered: &mut Vec<Wire>,
    ) {
        let mut multiplicities = table.multiplicities.into_iter();
        let mut offer = |g: &mut Self, key: i64, compressed: Lin| {
            let m = multiplicities.next().expect("an entry has a multiplicity");
            offered.push(g.share(key, sum, compressed, m));
        };
        for entry in table.rows {
            match entry {
                Entry::Constant(key, values) => {
                    let mut lin = tag(tuple, id) + signed(key);
                    for (weight, value) in weights.iter().zip(values) {
                        lin = lin.plus(value, *weight);
                    }
                    offer(self, key, lin);
                }
                Entry::Cells(key, values) => {
                    let head = tag(tuple, id) + signed(key);
                    let compressed = self.scope(format_args!("entry[{key}]"), |g| {
                        g.compress(head, values.into_iter(), weights)
                    });
                    offer(self, key, compressed.into());
                }
                Entry::Pair {
                    key,
                    mirror,
                    even,
                    odd,
                } => {
                    let (even, odd) = self.scope(format_args!("entry[{key}]"), |g| {
                        let (first, rest) = weights.split_at(even.len());
                        let even = match even.is_empty() {
                            true => tag(tuple, id),
                            false => g.compress(tag(tuple, id), even.into_iter(), first).into(),
                        };
                        let odd = match odd.is_empty() {
                            true => Lin::zero(),
                            false => g.compress(Lin::zero(), odd.into_iter(), rest).into(),
                        };
                        (even, odd)
                    });
                    offer(self, key, &even + signed(key) + &odd);
                    offer(self, mirror, even + signed(mirror) - odd);
                }
            }
        }
    }

    /// `r^2, r^3, ...`, the weights of the values of a tuple.
    fn weights(&mut self, tuple: Wire, width: usize) -> Vec<Wire> {
        let mut weights = Vec::with_capacity(width);
        let mut last = tuple;
        for i in 0..width {
            last = self.product(format_args!("power[{}]", i + 2), last, tuple);
            weights.push(last);
        }
        weights
    }

    /// `head + sum weights[i] * values[i]` as one cell. Costs 1 row per value: the last product's
    /// cell is replaced by the sum.
    fn compress(
        &mut self,
        head: Lin,
        values: impl ExactSizeIterator<Item = Lin>,
        weights: &[Wire],
    ) -> Wire {
        let last = values.len() - 1;
        let mut sum = head;
        for (i, (value, weight)) in values.zip(weights).enumerate() {
            if i == last {
                let total = sum.value() + value.value() * weight.value();
                let total = self.witness("tuple", total);
                self.row("tuple", value, *weight, total - sum);
                return total;
            }
            sum += self.product(format_args!("product[{i}]"), value, *weight);
        }
        unreachable!("a table has at least one value");
    }

    /// `1/(c - f)`, by the row `found`.
    fn inverse(&mut self, sum: Wire, compressed: Lin) -> Wire {
        let distance = sum - compressed;
        let inverse = distance.value().inverse().unwrap_or_default();
        let inverse = self.believe("lookup/inverse", inverse);
        let inverse = self.witness("inverse", inverse);
        self.row("found", inverse, distance, Fr::ONE);
        inverse
    }

    /// `m/(c - t)`, by the row `offered[key]`.
    fn share(&mut self, key: i64, sum: Wire, compressed: Lin, m: Wire) -> Wire {
        let distance = sum - compressed;
        let share = distance.value().inverse().unwrap_or_default() * m.value();
        let share = self.believe("lookup/share", share);
        let share = self.witness(format_args!("share[{key}]"), share);
        self.row(format_args!("offered[{key}]"), share, distance, m);
        share
    }
}

impl Table {
    fn add(&mut self, key: i64, values: Vec<Fr>) {
        assert_eq!(
            values.len(),
            self.width,
            "entry {key} of table {} has its width",
            self.name
        );
        let fresh = self.keys.insert(key, self.native.len()).is_none();
        assert!(fresh, "table {} has key {key} twice", self.name);
        self.native.push(values);
        self.counts.push(0);
    }

    fn find(&self, key: Fr) -> Option<usize> {
        let magnitude = |f: Fr| super::small(f).and_then(|n| i64::try_from(n).ok());
        let key = magnitude(key).or_else(|| magnitude(-key).map(|n| -n))?;
        self.keys.get(&key).copied()
    }
}

/// `r * id`: tuple tables are numbered from 1, the chunk table is 0.
fn tag(tuple: Wire, id: usize) -> Lin {
    Lin::zero().plus(Fr::from(id as u64 + 1), tuple)
}

fn signed(key: i64) -> Fr {
    let magnitude = Fr::from(key.unsigned_abs());
    if key < 0 { -magnitude } else { magnitude }
}
