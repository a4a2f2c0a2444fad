//! Completeness, cost, and leaves that are not in the set.

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};
use proptest::prelude::*;

use super::example::ExampleSet;
use super::*;
use crate::testing::{Built, Forge, Trial};

/// One slot: key and root are given, everything else is advised.
#[derive(Clone, Debug)]
struct Slot {
    root: Fr,
    key: [Fr; 2],
    opening: Opening,
    flag: bool,
    depth: usize,
}

impl Slot {
    fn of(set: &ExampleSet, i: usize) -> Self {
        let (root, opening) = (set.root(), set.member(i));
        Self {
            root,
            key: set.keys[i],
            opening,
            flag: true,
            depth: set.depth,
        }
    }

    fn build(&self, trial: Trial) -> Built {
        let statement = [self.root, self.key[0], self.key[1], Fr::from(self.flag)];
        trial.statement(&statement).build(|g| {
            let root = g.statement(0);
            let key = [g.statement(1).into(), g.statement(2).into()];
            let flag = g.bit("flag", self.flag);
            g.equal("flagged", flag, g.statement(3));
            let member = enforce_member(g, root, key, flag, &self.opening, self.depth);
            assert_eq!(member.power.bits(), 60);
        })
    }

    fn is_true(&self) -> bool {
        !self.flag || is_member(self.root, self.key, &self.opening, self.depth)
    }
}

fn set() -> ExampleSet {
    ExampleSet::new(1, 3, &[5, 6, 7, (1 << 60) - 1, 1])
}

/// An edit of a true slot.
fn arb_edit() -> impl Strategy<Value = (usize, u64)> {
    (0_usize..8, 1_u64..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn agrees_with_native(
        seed in 0_u64..4,
        depth in 1_usize..4,
        i in 0_usize..2,
        edit in prop::option::of(arb_edit()),
        flag in prop::bool::weighted(0.8),
    ) {
        let set = ExampleSet::new(seed, depth, &[3, 4]);
        let mut slot = Slot { flag, ..Slot::of(&set, i) };
        match edit {
            None => {}
            Some((0, n)) => slot.opening.power += n,
            Some((1, n)) => slot.opening.blinding += Fr::from(n),
            Some((2, n)) => slot.opening.index ^= u32::try_from(n).expect("small"),
            Some((3, n)) => slot.opening.siblings[0] += Fr::from(n),
            Some((4, n)) => slot.opening.siblings[depth - 1] += Fr::from(n),
            Some((5, n)) => slot.key[0] += Fr::from(n),
            Some((6, n)) => slot.key[1] += Fr::from(n),
            Some((_, n)) => slot.root += Fr::from(n),
        }
        // index bits beyond the depth are not read
        slot.opening.index &= (1 << depth) - 1;
        prop_assert_eq!(slot.build(Trial::new()).holds(), slot.is_true());
    }
}

#[test]
fn every_member_is_found() {
    let set = set();
    for i in 0..set.keys.len() {
        assert_eq!(Slot::of(&set, i).build(Trial::new()).first_broken(), None);
    }
}

#[test]
fn an_unflagged_slot_needs_no_set() {
    let slot = Slot {
        root: Fr::from(1_u64),
        key: [Fr::from(2_u64), Fr::from(3_u64)],
        opening: Opening::default(),
        flag: false,
        depth: 3,
    };
    assert_eq!(slot.build(Trial::new()).first_broken(), None);
}

#[test]
fn edits_are_refused_at_the_root() {
    let set = set();
    let honest = Slot::of(&set, 2);
    let mut edits = vec![honest.clone(); 6];
    edits[0].opening.power += 1;
    edits[1].opening.blinding += Fr::ONE;
    edits[2].opening.index ^= 4;
    edits[3].opening.siblings.swap(0, 1);
    edits[4].key.swap(0, 1);
    edits[5] = Slot {
        root: honest.root,
        ..Slot::of(&ExampleSet::new(2, 3, &set.powers), 2)
    };
    for slot in edits {
        assert!(!slot.is_true());
        assert_eq!(
            slot.build(Trial::new()).broken().collect::<Vec<_>>(),
            ["member/root"]
        );
    }
}

#[test]
fn the_empty_leaf_is_nobodys() {
    let set = set();
    let empty = set.member(6);
    for key in [[Fr::ZERO; 2], set.keys[0]] {
        let slot = Slot {
            key,
            opening: empty.clone(),
            ..Slot::of(&set, 0)
        };
        assert_eq!(
            slot.build(Trial::new()).broken().collect::<Vec<_>>(),
            ["member/root"]
        );
    }
}

/// A path that begins one level up, at a node passed off as a leaf, does not fit: its children would
/// have to be a key and the leaf has four inputs.
#[test]
fn a_node_is_no_leaf() {
    let set = set();
    let leaf = set.member(1);
    let slot = Slot {
        key: [leaf.siblings[0], Fr::ZERO],
        opening: Opening {
            index: 0,
            siblings: leaf.siblings[1..].to_vec(),
            ..leaf
        },
        depth: 2,
        ..Slot::of(&set, 0)
    };
    assert_eq!(
        slot.build(Trial::new()).broken().collect::<Vec<_>>(),
        ["member/root"]
    );
}

/// Each hint forged, everything after it recomputed honestly.
#[test]
fn forged_hints_are_refused() {
    let set = set();
    let slot = Slot::of(&set, 2); // index 010
    let forged = |lie| {
        slot.build(Trial::new().lie(lie))
            .broken()
            .map(String::from)
            .collect::<Vec<_>>()
    };
    let other = set.member(4);
    for lie in [Fr::ZERO, Fr::ONE, -Fr::ONE, other.blinding] {
        assert_eq!(
            forged(Forge::value("member/blinding", 0, lie)),
            ["member/root"]
        );
    }
    assert_eq!(forged(Forge::value("member/power", 0, 8)), ["member/root"]);
    // levels 0 and 2: the node is on the left, a lie there is a lie about the node
    assert_eq!(
        forged(Forge::value("member/left", 0, other.siblings[0])),
        ["member/side[0]", "member/root"]
    );
    assert_eq!(
        forged(Forge::value("member/left", 2, 0)),
        ["member/side[2]", "member/root"]
    );
    assert_eq!(
        forged(Forge::value("member/right", 1, -Fr::ONE)),
        ["member/side[1]", "member/root"]
    );
    // and on the other side it is about the sibling, which the root refuses
    assert_eq!(
        forged(Forge::value("member/right", 0, other.siblings[0])),
        ["member/root"]
    );
    assert_eq!(forged(Forge::value("member/left", 1, 1)), ["member/root"]);
    assert_eq!(
        forged(Forge::value("member/right", 2, -Fr::ONE)),
        ["member/root"]
    );
    // the path of another index; and an index that is no bit
    assert_eq!(forged(Forge::value("member/index", 2, 1)), ["member/root"]);
    assert_eq!(
        forged(Forge::value("member/index", 2, 2)),
        ["member/index/boolean", "member/side[2]"]
    );
}

#[test]
fn a_power_that_wraps_is_refused_by_its_range() {
    let set = set();
    let slot = Slot::of(&set, 2);
    for lie in [Fr::from(1_u64 << 60), -Fr::ONE, -Fr::from(7_u64)] {
        let built = slot.build(Trial::new().lie(Forge::value("member/power", 0, lie)));
        assert_eq!(
            built.broken().collect::<Vec<_>>(),
            ["member/root", "lookup/sum"]
        );
        assert!(
            built
                .strays()
                .all(|name| name.starts_with("member/power/chunk[7]"))
        );
    }
    // even where the leaf itself holds it, as a dishonest set's might
    let mut set = set;
    set.powers[2] = 1 << 60;
    let built = Slot::of(&set, 2).build(Trial::new());
    assert_eq!(built.broken().collect::<Vec<_>>(), ["lookup/sum"]);
    assert!(!Slot::of(&set, 2).is_true());
}

/// The true children at each level, hence the true root, under a false index: the same leaf cannot
/// be in two places.
#[test]
fn the_index_is_bound_to_the_path() {
    let set = set();
    let slot = Slot::of(&set, 2);
    let [low, high] = slot.key;
    let opening = &slot.opening;
    let leaf = poseidon::hash(&[low, high, Fr::from(opening.power), opening.blinding]);
    let built = slot.build(
        Trial::new()
            .lie(Forge::value("member/index", 0, 1))
            .lie(Forge::value("member/left", 0, leaf))
            .lie(Forge::value("member/right", 0, opening.siblings[0])),
    );
    assert_eq!(built.broken().collect::<Vec<_>>(), ["member/side[0]"]);
}

#[test]
fn every_cell_is_pinned() {
    let set = set();
    let built = Slot::of(&set, 2).build(Trial::new());
    assert!(built.unpinned().is_empty(), "{:?}", built.unpinned());
    built.assert_hints_tested(&[
        "flag",
        "member/power",
        "member/blinding",
        "member/index",
        "member/left",
        "member/right",
    ]);
    // an unused slot's cells are pinned to each other too, but for the root's
    let unused = Slot {
        flag: false,
        ..Slot::of(&set, 2)
    }
    .build(Trial::new());
    assert!(unused.unpinned().is_empty(), "{:?}", unused.unpinned());
}

#[test]
fn cost() {
    for (depth, chunk_bits, rows) in [(8, 13, 2240), (8, 16, 2239), (3, 8, 1033)] {
        let set = ExampleSet::new(1, depth, &[1, 2]);
        let mut slot = Slot::of(&set, 1);
        slot.depth = depth;
        let built = slot.build(Trial::new().chunk_bits(chunk_bits));
        assert_eq!(built.first_broken(), None);
        assert_eq!(built.rows_under("member/"), rows, "{:?}", built.report(2));
    }
}

#[test]
fn the_shape_does_not_depend_on_the_member() {
    let set = set();
    let shape = Slot::of(&set, 0).build(Trial::new()).matrices.digest();
    for slot in [
        Slot::of(&set, 4),
        Slot {
            flag: false,
            opening: Opening::default(),
            ..Slot::of(&set, 1)
        },
    ] {
        assert!(slot.build(Trial::new()).matrices.digest() == shape);
    }
}
