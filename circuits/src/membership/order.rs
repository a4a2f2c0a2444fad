//! Order: the indices of all slots rise strictly, so that no leaf is used twice.
//!
//! Statement  `index[i] < index[i + 1]` for every i, over *all* slots, flagged or not
//! Witness    The gaps' chunks
//! Assumes    Each index is a combination of `depth` bits, so an integer below 2^depth
//! Argument   Ordering only the flagged slots is the trap: compared with their neighbours,
//!            (0 on)(7 off)(0 on) would count leaf 0 twice. Here an unused slot takes a free index
//!            in between; there is one as long as slots <= 2^depth
//! No wrap    A gap `index[i + 1] - index[i] - 1` lies between -2^depth and 2^depth. Shown to be below
//!            2^width it is not negative, for N - 2^depth > 2^width. The width is the depth
//!            rounded up to whole chunks: more room costs nothing and needs no second look-up
//! Cost       For each pair of neighbours: depth / chunk look-ups, rounded up, and 1 row
//! Source     docs/format.md: the votes of a certificate strictly increase

use crate::ground::{Builder, Lin};

/// Whether the indices rise strictly.
#[must_use]
pub fn is_rising(indices: &[u32]) -> bool {
    indices.windows(2).all(|pair| pair[0] < pair[1])
}

/// The indices, each of `depth` bits, rise strictly.
pub fn enforce_rising(g: &mut Builder, indices: &[Lin], depth: usize) {
    let chunks = depth.div_ceil(g.chunk_bits() as usize);
    let width = u32::try_from(chunks).expect("a depth is small") * g.chunk_bits();
    for (i, pair) in indices.windows(2).enumerate() {
        let gap = &pair[1] - &pair[0] - 1;
        let _ = g.range(format_args!("order/gap[{i}]"), gap, width);
    }
}

#[cfg(test)]
mod tests {
    use ark_bn254::Fr;
    use ark_ff::Field;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Built, Forge, Trial};

    const DEPTH: usize = 5;

    fn build(indices: &[u32], trial: Trial) -> Built {
        trial.chunk_bits(6).build(|g| {
            let indices: Vec<Lin> = indices
                .iter()
                .map(|index| {
                    let given = g.witness("index", Fr::from(*index));
                    g.row("given", given, Fr::ONE, Fr::from(*index));
                    let bits: Vec<_> = (0..DEPTH)
                        .map(|i| g.bit("bit", index >> i & 1 == 1))
                        .collect();
                    g.equal("packed", Lin::pack(&bits), given);
                    Lin::pack(&bits)
                })
                .collect();
            enforce_rising(g, &indices, DEPTH);
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn agrees_with_native(
            mut indices in prop::collection::vec(0_u32..32, 0..7),
            sort in any::<bool>(),
        ) {
            if sort {
                indices.sort_unstable();
                indices.dedup();
            }
            prop_assert_eq!(build(&indices, Trial::new()).holds(), is_rising(&indices));
        }
    }

    #[test]
    fn equal_and_falling_neighbours_are_refused_by_their_gap() {
        for (indices, stray) in [
            ([4, 4, 9], "order/gap[0]/chunk[0]/range"),
            ([4, 9, 9], "order/gap[1]/chunk[0]/range"),
            ([4, 31, 0], "order/gap[1]/chunk[0]/range"),
            ([31, 0, 1], "order/gap[0]/chunk[0]/range"),
        ] {
            let built = build(&indices, Trial::new());
            assert_eq!(built.broken().collect::<Vec<_>>(), ["lookup/sum"]);
            assert_eq!(built.strays().collect::<Vec<_>>(), [stray]);
        }
        assert!(build(&[0, 30, 31], Trial::new()).holds());
    }

    /// The gap of a repeated index is -1. Whatever its chunk claims, the sum or the look-up refuses.
    #[test]
    fn a_forged_gap_is_refused() {
        for lie in [0_u64, 1, 63] {
            let built = build(&[4, 4], Trial::new().lie(Forge::value("chunk", 0, lie)));
            assert_eq!(built.broken().collect::<Vec<_>>(), ["order/gap[0]/sum"]);
        }
    }

    #[test]
    fn every_cell_is_pinned() {
        let built = build(&[1, 2, 30], Trial::new());
        assert!(built.unpinned().is_empty(), "{:?}", built.unpinned());
        built.assert_hints_tested(&["bit"]); // this test's; chunks are forged above
    }

    #[test]
    fn cost() {
        let built = build(&[1, 2, 30, 31], Trial::new());
        assert_eq!(built.rows_under("order/"), 3 * 2);
    }
}
