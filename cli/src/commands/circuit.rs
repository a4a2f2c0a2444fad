//! `quorate circuit`: what the quorum circuit costs, read from the names of its rows, and its rows
//! for other people's tools.

use std::io::{BufWriter, Write};
use std::path::Path;

use quorate_circuits::circom::{write_r1cs, write_symbols};
use quorate_circuits::circuit::QuorumCircuit;
use quorate_circuits::ground::Circuit;
use quorate_circuits::report::Listing;
use quorate_prover::Cost;
use quorate_verifier::primitives::CircuitSize;

use crate::args::CircuitArgs;
use crate::failure::Failure;
use crate::files::{self, Access, Existing};
use crate::output::{Report, Verdict};
use crate::value::Value;

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
        .fact("proving_seconds_estimate", seconds(Cost::of(args.slots)))
        .fact("estimate_is_for", ESTIMATE_IS_FOR)
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

/// What [`Cost`]'s seconds were measured on. Another machine has others.
const ESTIMATE_IS_FOR: &str =
    "two idle cores of an AMD EPYC; `quorate bench prove` measures this machine";

/// Whole seconds, rounded up.
fn seconds(cost: Cost) -> Value {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate of some seconds to some minutes"
    )]
    Value::Number(cost.prove_seconds.ceil() as u64)
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
    files::write_with(path, Access::Public, existing, |file| {
        let mut out = BufWriter::new(file);
        write_r1cs(listing, &mut out)?;
        out.flush()
    })?;
    files::write_with(symbols, Access::Public, existing, |file| {
        let mut out = BufWriter::new(file);
        write_symbols(listing, &mut out)?;
        out.flush()
    })
}
