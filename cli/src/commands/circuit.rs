//! `quorate circuit`: what the quorum circuit costs, read from the names of its rows, and its rows
//! for other people's tools.

use std::path::Path;

use quorate_circuits::circom::{write_r1cs, write_symbols};
use quorate_circuits::circuit::QuorumCircuit;
use quorate_circuits::ground::Circuit;
use quorate_circuits::report::Listing;
use quorate_verifier::primitives::CircuitSize;

use crate::args::CircuitArgs;
use crate::failure::Failure;
use crate::files::{self, Access, Existing};
use crate::output::{Report, Verdict};
use crate::value::Value;

/// Microseconds of proving for each row on two cores: see docs/performance.md.
const MICROSECONDS_PER_ROW: usize = 17;

pub(super) fn run(args: &CircuitArgs) -> Result<Report, Failure> {
    let circuit = QuorumCircuit::of_size(args.slots);
    let listing = Listing::of(&circuit);
    let rows = listing.matrices.rows();
    let rows_per_slot = marginal(circuit.chunk_bits);
    let slots = usize::from(args.slots.slots());
    let gadgets = listing.gadgets(2).into_iter();
    let gadgets = gadgets.map(|(name, rows)| (name, number(rows))).collect();

    let mut report = Report::new(
        Verdict::Done,
        format!("the quorum circuit of {slots} slots has {rows} rows"),
    );
    report
        .fact("slots", args.slots.slots())
        .fact("rows", number(rows))
        .fact("instance_rows", number(listing.instance_rows()))
        .fact("rows_per_slot", number(rows_per_slot))
        .fact("fixed_rows", number(rows - rows_per_slot * slots))
        .fact("committed", number(listing.matrices.layout.committed))
        .fact("domain", number(rows.next_power_of_two()))
        .fact("chunk_bits", number(circuit.chunk_bits as usize))
        .fact(
            "proving_seconds_estimate",
            number((rows * MICROSECONDS_PER_ROW).div_ceil(1_000_000)),
        )
        .fact("digest", hex::encode(listing.matrices.digest()).as_str())
        .fact("gadgets", Value::Members(gadgets));
    if let Some(path) = &args.export {
        let existing = if args.force {
            Existing::Replace
        } else {
            Existing::Keep
        };
        let symbols = path.with_extension("sym");
        export(&listing, path, &symbols, existing)?;
        report
            .fact("exported", path.display().to_string().as_str())
            .fact("symbols", symbols.display().to_string().as_str());
    }
    Ok(report)
}

/// Rows of one slot more, with this table.
fn marginal(chunk_bits: u32) -> usize {
    let rows = |slots| {
        let size = CircuitSize::from_slots(slots).expect("a size");
        let circuit = QuorumCircuit {
            chunk_bits,
            ..QuorumCircuit::of_size(size)
        };
        circuit.record().rows()
    };
    rows(4) - rows(3)
}

fn number(n: usize) -> Value {
    Value::Number(n as u64)
}

/// Both files, each whole or not at all.
fn export(
    listing: &Listing,
    path: &Path,
    symbols: &Path,
    existing: Existing,
) -> Result<(), Failure> {
    let (mut rows, mut names) = (Vec::new(), Vec::new());
    let failed = |error| Failure::Write {
        path: path.into(),
        error,
    };
    write_r1cs(listing, &mut rows).map_err(failed)?;
    write_symbols(listing, &mut names).map_err(failed)?;
    files::write(path, &rows, Access::Public, existing)?;
    files::write(symbols, &names, Access::Public, existing)
}
