//! Every kind of hint of the whole circuit forged, every cell of it changed.

use std::collections::BTreeSet;

use super::*;
use crate::testing::{ACCEPTED, Sweep, assert_found, without_numbers};

/// Two slots, both used: nothing of an unused slot is free here.
fn two(seed: u64) -> QuorumWitness {
    let network = Network::new(seed, &[40, 30, 20, 10], 2);
    witness(&network, &[0, 1])
}

/// What refuses the lies about each kind of hint; see [`Sweep`].
pub(super) const REFUSED: &[(&str, &[&str])] = &[
    ("A", &["./A/boolean", "./member/root"]),
    (
        "R",
        &[
            "./R/boolean",
            "batch/end/u/native",
            "batch/slot/R/decode/on curve/exact",
        ],
    ),
    ("carry", &["./carry/chunk/range", "./exact"]),
    ("carry_a", &["./bind", "./carry_a/boolean"]),
    ("carry_e", &["./bind", "./carry_e/boolean"]),
    ("carry_w", &["./bind", "./carry_w/boolean"]),
    ("ch_pair", &["./ch"]),
    ("chunk", &["./chunk/range", "batch/end/v/exact"]),
    ("decoded/half", &["./decoded/half/chunk/range", "./parity"]),
    (
        "decoded/square",
        &["./decoded/square/chunk/range", "./decoded/square/exact"],
    ),
    ("decoded/u", &["./decoded/u/chunk/range", "./u of y/exact"]),
    (
        "decoded/v",
        &["./decoded/v/chunk/range", "./on curve/exact"],
    ),
    ("decoded/x", &["./decoded/x/chunk/range", "./x of u/exact"]),
    ("distinct/inverse", &["./distinct/nonzero"]),
    ("first", &["./first/boolean", "./first/sum"]),
    ("flag", &["./flag/boolean", "quorum/slack/chunk/range"]),
    ("last", &["./last/boolean", "./last/sum"]),
    (
        "lookup/inverse",
        &[
            "./found",
            "batch/chain/add/u/quotient/chunk/range",
            "set/total/chunk/range",
        ],
    ),
    ("lookup/multiplicity", &["./sum"]),
    ("lookup/share", &["./entry", "./offered"]),
    ("maj_pair", &["./maj"]),
    ("member/blinding", &["./member/root"]),
    (
        "member/index",
        &[
            "./member/index/boolean",
            "./member/root",
            "order/gap/chunk/range",
        ],
    ),
    ("member/left", &["./member/root", "./member/side"]),
    (
        "member/power",
        &[
            "./member/power/chunk/range",
            "./member/root",
            "quorum/slack/chunk/range",
        ],
    ),
    ("member/right", &["./member/root", "./member/side"]),
    (
        "quorum/den",
        &[
            "quorum/den/chunk/range",
            "quorum/rule",
            "quorum/slack/chunk/range",
        ],
    ),
    (
        "quorum/num",
        &[
            "quorum/num/chunk/range",
            "quorum/rule",
            "quorum/slack/chunk/range",
        ],
    ),
    ("quorum/slack", &["quorum/bind", "quorum/slack/chunk/range"]),
    ("quotient", &["./exact", "./quotient/chunk/range"]),
    (
        "s",
        &[
            "./s/chunk/range",
            "batch/end/u/native",
            "batch/w s mod L/exact/low",
        ],
    ),
    ("s/margin", &["./s/below order", "./s/margin/chunk/range"]),
    (
        "s/top",
        &["./s/high", "./s/margin/chunk/range", "./s/top/boolean"],
    ),
    (
        "select/key",
        &[
            "./B/select",
            "./R/select",
            "./w s mod L/exact/native",
            "./weight digits",
        ],
    ),
    (
        "select/value",
        &[
            "./select",
            "batch/chain/add/chord/exact",
            "batch/end/u/native",
        ],
    ),
    ("set/count", &["set/commitment"]),
    ("set/root", &["set/commitment"]),
    ("set/total", &["set/commitment", "set/total/chunk/range"]),
    (
        "slope",
        &["./chord/exact", "./slope/chunk/range", "./tangent/exact"],
    ),
    ("star", &["./star"]),
    ("u", &["./u/chunk/range", "./u/exact"]),
    ("v", &["./v/chunk/range", "./v/exact"]),
    ("weight/high", &["weight/high/chunk/range", "weight/split"]),
    ("weight/low", &["weight/low/chunk/range", "weight/split"]),
    ("word_a", &["./bind", "./word_a/boolean"]),
    ("word_e", &["./bind", "./word_e/boolean"]),
    ("word_state", &["./bind", "./word_state/boolean"]),
    ("word_w", &["./bind", "./word_w/boolean"]),
    ("xor_bit", &["./xor"]),
    ("xor_pair", &["./xor"]),
];

/// First, middle and last of each kind, with all that follows computed from the lie. A kind that is
/// not in the table fails.
#[test]
fn every_kind_of_hint_is_forged() {
    let (honest, other) = (build(two(11)), build(two(17)));
    let circuit = circuit(two(11));
    let found = Sweep::new(&honest, &other).run(|lies| honest.judge(&circuit, lies));
    assert_found(&found, REFUSED);
}

/// As above, at the first hint of each kind in each part of the circuit.
#[test]
#[ignore = "takes a minute: its last result is in docs/circuit/attacks.md"]
fn every_kind_of_hint_is_forged_in_every_part() {
    let (honest, other) = (build(two(11)), build(two(17)));
    let sweep = Sweep {
        choose: |hints| {
            let mut parts = BTreeSet::new();
            let fresh = |i: &usize| parts.insert(without_numbers(&hints[*i].scope));
            (0..hints.len()).filter(fresh).collect()
        },
        ..Sweep::new(&honest, &other)
    };
    let circuit = circuit(two(11));
    let found = sweep.run(|lies| honest.judge(&circuit, lies));
    for (kind, refused_by) in found {
        println!("{kind}: {refused_by:?}");
        assert!(!refused_by.contains(ACCEPTED), "{kind}");
    }
}

/// Nothing of an unused slot but its opening is the prover's choice, and that counts for nothing.
#[test]
fn an_unused_slot_leaves_its_opening_free() {
    let honest = three();
    let other = build(witness_in_view(&network(), &[0, 1], View::new(2)));
    let sweep = Sweep {
        choose: |hints| {
            // A chunk of the opening's power is as free as the power.
            let of_this =
                |scope: &str| scope.starts_with("slot[2]/") && !scope.ends_with("/power/");
            let here = |i: &usize| of_this(&hints[*i].scope);
            let here: Vec<usize> = (0..hints.len()).filter(here).collect();
            let some = here.len().div_ceil(8).max(1); // the opening has eight levels
            here.into_iter().step_by(some).collect()
        },
        ..Sweep::new(honest, &other)
    };
    let circuit = circuit(example());
    let found = sweep.run(|lies| honest.judge(&circuit, lies));
    let accepted: Vec<&str> = found
        .iter()
        .filter(|(_, refused_by)| refused_by.contains(ACCEPTED))
        .map(|(kind, _)| *kind)
        .collect();
    assert_eq!(accepted, FREE_IF_UNUSED);
}

/// The opening of a slot that does not count: nothing ties its leaf to the set, and its place need
/// only be free.
pub(super) const FREE_IF_UNUSED: [&str; 5] = [
    "member/blinding",
    "member/index",
    "member/left",
    "member/power",
    "member/right",
];

/// Every cell of a whole circuit, by itself: some row that reads it refuses another value. The blinder
/// alone is free, on purpose.
#[test]
fn every_cell_is_pinned() {
    let pinned = |built: &Built| {
        assert_eq!(built.first_broken(), None);
        assert_eq!(built.unpinned(), [""; 0]);
        let free: Vec<&str> = built.free().map(|(name, _)| name).collect();
        assert_eq!(free, ["blinder"]);
    };
    pinned(three());
    // as proved: the two tables
    let small = QuorumCircuit::new(two(11));
    assert_eq!(small.chunk_bits, SMALL_CHUNK_BITS);
    pinned(&Trial::new().build_circuit(&small));
    let large = QuorumCircuit {
        chunk_bits: LARGE_CHUNK_BITS,
        ..QuorumCircuit::new(two(11))
    };
    pinned(&Trial::new().build_circuit(&large));
}
