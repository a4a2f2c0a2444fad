//! Export to circom's binary R1CS format, with its symbol file, for other people's tools.
//!
//! Wires are ordered as that format wants: 1, then what the verifier supplies (statement and
//! challenges, as public inputs), then the rest (the committed cells, blinder first, and the
//! witness). The two-stage nature of the proof is not part of the format: a tool sees the
//! challenges as inputs that could be anything.
//!
//! Source: iden3/r1csfile, "Binary format for Rank-1 Constraint Systems", version 1.

use std::io::{self, Write};

use ark_bn254::Fr;
use ark_ff::{BigInteger, PrimeField};

use crate::ground::{Layout, Matrices, Matrix};
use crate::report::Listing;

/// Writes the rows. Answers the number of bytes.
///
/// # Errors
/// Those of the writer.
pub fn write_r1cs(listing: &Listing, out: &mut impl Write) -> io::Result<u64> {
    let matrices = &listing.matrices;
    let order = Order::new(matrices);
    let mut header = Vec::new();
    header.extend_from_slice(&32_u32.to_le_bytes());
    header.extend_from_slice(&Fr::MODULUS.to_bytes_le());
    let public = Layout::CHALLENGES + matrices.layout.statement;
    let wires = matrices.columns;
    // wires, public outputs, public inputs, private inputs
    for count in [wires, 0, public, 0] {
        header.extend_from_slice(&narrow(count).to_le_bytes());
    }
    header.extend_from_slice(&(wires as u64).to_le_bytes()); // labels
    header.extend_from_slice(&narrow(matrices.rows()).to_le_bytes());

    let sides = [&matrices.a, &matrices.b, &matrices.c];
    let entries: u64 = sides.iter().map(|m| m.entries.len() as u64).sum();
    let constraints = matrices.rows() as u64 * 12 + entries * 36;
    let labels = wires as u64 * 8;

    let mut written = 0;
    let mut put = |bytes: &[u8]| -> io::Result<()> {
        written += bytes.len() as u64;
        out.write_all(bytes)
    };
    put(b"r1cs")?;
    put(&1_u32.to_le_bytes())?; // version
    put(&3_u32.to_le_bytes())?; // sections
    put(&section(HEADER, header.len() as u64))?;
    put(&header)?;
    put(&section(CONSTRAINTS, constraints))?;
    for i in 0..matrices.rows() {
        for side in sides {
            put(&combination(matrices, side, i, &order))?;
        }
    }
    put(&section(WIRE_TO_LABEL, labels))?;
    for wire in 0..wires as u64 {
        put(&wire.to_le_bytes())?;
    }
    Ok(written)
}

/// Writes the symbol file: a line `label,wire,component,name` for each wire but 1.
///
/// # Errors
/// Those of the writer.
pub fn write_symbols(listing: &Listing, out: &mut impl Write) -> io::Result<()> {
    let order = Order::new(&listing.matrices);
    for (wire, column) in order.columns.iter().enumerate().skip(1) {
        let name = listing.columns[*column].replace('/', ".").replace(',', ";");
        writeln!(out, "{wire},{wire},0,main.{name}")?;
    }
    Ok(())
}

/// Our columns in the format's order of wires, and back.
struct Order {
    columns: Vec<usize>,
    wires: Vec<u32>,
}

impl Order {
    fn new(matrices: &Matrices) -> Self {
        let layout = matrices.layout;
        let committed = layout.committed_columns();
        let columns: Vec<usize> = (0..committed.start)
            .chain(committed.end..layout.columns())
            .chain(committed)
            .chain(layout.columns()..matrices.columns)
            .collect();
        let mut wires = vec![0; columns.len()];
        for (wire, column) in columns.iter().enumerate() {
            wires[*column] = narrow(wire);
        }
        Self { columns, wires }
    }
}

fn section(kind: u32, bytes: u64) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &bytes.to_le_bytes()].concat()
}

/// One side of a row: its number of entries, then wire and coefficient of each, wires rising.
fn combination(matrices: &Matrices, side: &Matrix, row: usize, order: &Order) -> Vec<u8> {
    let mut entries: Vec<(u32, u32)> = side
        .row(row)
        .iter()
        .map(|(column, k)| (order.wires[*column as usize], *k))
        .collect();
    entries.sort_unstable();
    let mut bytes = narrow(entries.len()).to_le_bytes().to_vec();
    for (wire, coefficient) in entries {
        bytes.extend_from_slice(&wire.to_le_bytes());
        let value = matrices.coefficients[coefficient as usize].into_bigint();
        bytes.extend_from_slice(&value.to_bytes_le());
    }
    bytes
}

const HEADER: u32 = 1;
const CONSTRAINTS: u32 = 2;
const WIRE_TO_LABEL: u32 = 3;

/// Rows and columns of any circuit that fits the field's FFT are below 2^28.
fn narrow(n: usize) -> u32 {
    u32::try_from(n).expect("a circuit has fewer than 2^32 rows, columns and entries")
}

#[cfg(test)]
pub(crate) mod tests {
    use ark_ff::{AdditiveGroup, BigInt};

    use super::*;
    use crate::ground::{Builder, Circuit};
    use crate::testing::Trial;

    /// `statement[0] = x^4`, `statement[1]` is x in a range.
    pub(crate) struct Example;

    impl Circuit for Example {
        fn chunk_bits(&self) -> u32 {
            4
        }

        fn statement(&self) -> Vec<Fr> {
            vec![Fr::from(81), Fr::from(3)]
        }

        fn build(&self, g: &mut Builder) {
            let x = g.statement(1);
            let _ = g.range("small", x, 8);
            g.scope("squares", |g| {
                let square = g.product("first", x, x);
                let fourth = g.product("second", square, square);
                g.equal("result", fourth, g.statement(0));
            });
        }
    }

    /// A reader of the format, written from its specification, for R1CS files only.
    struct Reader<'a>(&'a [u8]);

    impl Reader<'_> {
        fn take(&mut self, count: usize) -> &[u8] {
            let (head, tail) = self.0.split_at(count);
            self.0 = tail;
            head
        }
        fn u32(&mut self) -> usize {
            u32::from_le_bytes(self.take(4).try_into().unwrap()) as usize
        }
        fn u64(&mut self) -> usize {
            usize::try_from(u64::from_le_bytes(self.take(8).try_into().unwrap())).unwrap()
        }
        fn scalar(&mut self) -> Fr {
            let limbs = [(); 4].map(|()| self.u64() as u64);
            Fr::from_bigint(BigInt(limbs)).expect("a coefficient below the modulus")
        }
        /// One side of a row, at the given wires.
        fn dot(&mut self, z: &[Fr]) -> Fr {
            let mut sum = Fr::ZERO;
            for _ in 0..self.u32() {
                let wire = self.u32();
                sum += self.scalar() * z[wire];
            }
            sum
        }
    }

    #[test]
    fn the_file_says_the_same_rows() {
        let listing = Listing::of(&Example);
        let built = Trial::new().build_circuit(&Example);
        assert!(built.holds());
        let order = Order::new(&listing.matrices);
        assert_eq!(broken_in_export(&listing, &built.z), Vec::<usize>::new());
        // Each public input, changed alone, breaks the rows that read it, and only those.
        for public in 1..=4 {
            let mut ours = built.z.clone();
            ours[order.columns[public]] += Fr::from(1);
            let m = &listing.matrices;
            let expected: Vec<usize> = (0..m.rows())
                .filter(|i| {
                    let [a, b, c] = [&m.a, &m.b, &m.c].map(|side| m.dot(side, *i, &ours));
                    a * b != c
                })
                .collect();
            // Wire 3 is the tuple challenge, which an example without tuples does not read.
            assert_eq!(expected.is_empty(), public == 3);
            assert_eq!(broken_in_export(&listing, &ours), expected);
        }
    }

    /// The rows that a reader of the exported file finds broken, at these columns.
    pub(crate) fn broken_in_export(listing: &Listing, z: &[Fr]) -> Vec<usize> {
        let mut file = Vec::new();
        let length = write_r1cs(listing, &mut file).unwrap();
        assert_eq!(length, file.len() as u64);
        let order = Order::new(&listing.matrices);
        let z: Vec<Fr> = order.columns.iter().map(|c| z[*c]).collect();
        let public = listing.matrices.layout.statement + Layout::CHALLENGES;
        broken_rows(&file, &z, public)
    }

    fn broken_rows(file: &[u8], z: &[Fr], public: usize) -> Vec<usize> {
        let mut input = Reader(file);
        assert_eq!(input.take(4), b"r1cs");
        assert_eq!([input.u32(), input.u32()], [1, 3]);
        assert_eq!([input.u32(), input.u64()], [1, 4 + 32 + 16 + 8 + 4]);
        assert_eq!(input.u32(), 32);
        assert_eq!(input.take(32), Fr::MODULUS.to_bytes_le());
        let counts = [(); 4].map(|()| input.u32());
        assert_eq!(counts, [z.len(), 0, public, 0]);
        assert_eq!(input.u64(), z.len());
        let rows = input.u32();
        assert_eq!(input.u32(), 2);
        let bytes = input.u64();
        let before = input.0.len();
        let broken = (0..rows)
            .filter(|_| {
                let [a, b, c] = [(); 3].map(|()| input.dot(z));
                a * b != c
            })
            .collect();
        assert_eq!(before - input.0.len(), bytes);
        assert_eq!([input.u32(), input.u64()], [3, z.len() * 8]);
        for wire in 0..z.len() {
            assert_eq!(input.u64(), wire);
        }
        assert!(input.0.is_empty());
        broken
    }

    #[test]
    fn symbols_name_every_wire_but_one() {
        let listing = Listing::of(&Example);
        let mut file = Vec::new();
        write_symbols(&listing, &mut file).unwrap();
        let text = String::from_utf8(file).unwrap();
        assert_eq!(text.lines().count(), listing.matrices.columns - 1);
        assert!(text.starts_with("1,1,0,main.statement[0]\n2,2,0,main.statement[1]\n"));
        assert!(text.contains("main.squares.first\n"));
    }
}
