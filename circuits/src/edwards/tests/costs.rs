//! Rows and committed cells, each of which is one instance row more under the stock reduction.

use super::*;

/// Rows and committed cells.
type Cost = (usize, usize);

fn count(built: &Built) -> Cost {
    (built.matrices.rows(), built.matrices.layout.committed)
}

fn minus(a: Cost, b: Cost) -> Cost {
    (a.0 - b.0, a.1 - b.1)
}

/// One more slot, and all that is shared, the chunk table included.
#[test]
fn a_slot_and_the_fixed_part() {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let case = Case::signed(&mut rng, EdwardsPoint::default());
    for (bits, slot, fixed) in [
        (13, (10_162, 7_610), (40_539, 33_499)),
        (16, (8_623, 6_514), (93_087, 87_441)),
    ] {
        let [one, two] = [1, 2].map(|n| count(&build(bits, vec![case; n])));
        // without the 1,024 bits that the caller brings; with s and z
        let marginal = minus(two, (one.0 + 1024, one.1));
        let rest = minus(one, (marginal.0 + 1024, marginal.1));
        assert_eq!((marginal, rest), (slot, fixed), "{bits}");
    }
}

#[test]
fn operations() {
    let point = base(Dalek::from(5_u8));
    let other = base(Dalek::from(2_u8));
    for (bits, expected) in [
        (13, [(82, 60), (115, 90), (8, 8), (89, 63), (157, 123)]),
        (16, [(70, 52), (98, 78), (7, 7), (76, 54), (136, 107)]),
    ] {
        let field = &Field::new(bits);
        let cost =
            |gadget: &dyn Fn(&mut Builder)| count(&Trial::new().chunk_bits(bits).build(gadget));
        let steps = |chords: usize, tangents: usize| {
            cost(&|g| {
                let [mut p, t] = [other, point].map(|point| advise_point(g, field, point));
                let t = addend(g, field, &t);
                let mut distinct = Distinct::default();
                for _ in 0..chords {
                    distinct.apart(g, field, &p.u, &t.u);
                    p = chord::add(g, field, p, &t, Extent::Short);
                }
                for _ in 0..tangents {
                    p = chord::double(g, field, p);
                }
            })
        };
        let encoding = |g: &mut Builder| super::bits(g, "input", &encode(point));
        let table = |window: Option<usize>| {
            cost(&|g| {
                let bits = encoding(g);
                let point = decode::decode(g, field, &bits);
                if let Some(window) = window {
                    let _ = Table::of_point(g, field, "T", &point, window);
                }
            })
        };
        let select = |n: usize| {
            cost(&|g| {
                let _ = g.limb("some", 0_u64, 8);
                let table = g.table("T", field.limb_count() + 2);
                g.entry_constant(table, 1, &vec![1.into(); field.limb_count() + 2]);
                (0..n).for_each(|_| drop(g.select(table, 1)));
            })
        };
        let bare = cost(&|g| {
            let _ = g.limb("some", 0_u64, 8);
            let _ = encoding(g);
        });
        let empty = cost(&|g| drop(g.limb("some", 0_u64, 8)));
        let inputs = minus(bare, empty);
        let decoding = minus(table(None), (empty.0 + inputs.0, empty.1 + inputs.1));
        let entry = minus(table(Some(3)), table(Some(2)));
        let measured = [
            minus(steps(3, 0), steps(2, 0)),
            minus(steps(0, 3), steps(0, 2)),
            minus(select(3), select(2)),
            (entry.0 / 2, entry.1 / 2),
            decoding,
        ];
        assert_eq!(
            measured, expected,
            "{bits}: chord, tangent, selection, entry, decoding"
        );
    }
}
