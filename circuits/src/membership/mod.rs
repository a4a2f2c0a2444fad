//! Membership: a key with its power is a leaf of the committed set.
//!
//! Statement  If `flag`: hashing the leaf `Poseidon(key_lo, key_hi, power, blinding)` upwards with
//!            `depth` siblings, on the sides that the bits of `index` say, gives `root`
//! Witness    power; blinding; index bits; both children at each level (the sibling has no cell of
//!            its own)
//! Assumes    The key halves are below 2^128 and bound to the key by the caller; `flag` is a bit
//! Argument   A child's side is fixed by its bit: `bit * (left + right - 2 node) = left - node` says
//!            `left = node` for 0 and `right = node` for 1. Leaves have four inputs and nodes two,
//!            which are different instances, so no node passes for a leaf; the empty leaf is 0, to
//!            which nothing is known to hash. One flag gates the root's equality and nothing else
//!            here, so an unused slot costs the same and looks the same
//! No wrap    power < 2^60 by its chunks; nothing else is an integer here
//! Cost       298 + 242 depth + chunks of 60 bits (and one row more if the last is shortened): at
//!            depth 8 2,239 rows with chunks of 16 bits, 2,240 with 13
//! Source     docs/format.md, "Validator set"; the native tree is `quorate_verifier::set::SetTree`

mod order;
mod set;

use ark_bn254::Fr;
use quorate_verifier::poseidon;
use quorate_verifier::primitives::POWER_LIMIT;
use quorate_verifier::set::ValidatorSet;

use crate::ground::{Bit, Builder, Lin, Wire};
use crate::lookup::Limb;
use crate::poseidon::hash;

pub use order::{enforce_rising, is_rising};
pub use set::{SetOpening, SetVar, open_set};

/// What a prover knows of a validator beside its key.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    /// Voting power.
    pub power: u64,
    /// Hides the leaf.
    pub blinding: Fr,
    /// Position among the leaves, from 0.
    pub index: u32,
    /// Hashes beside the path, from the leaf's neighbour up. Missing ones count as 0, and those
    /// beyond the depth are not read.
    pub siblings: Vec<Fr>,
}

/// A slot whose key was looked for in the set.
#[derive(Clone, Debug)]
#[must_use]
pub struct MemberVar {
    /// Below 2^60; of this key in this set if the slot's flag is set.
    pub power: Limb,
    /// Position among the leaves, a combination of `depth` bits. Bound to the path.
    pub index: Lin,
}

/// Whether the opening leads from this key (its two halves) to `root`.
#[must_use]
pub fn is_member(root: Fr, key: [Fr; 2], opening: &Opening, depth: usize) -> bool {
    let [low, high] = key;
    let leaf = poseidon::hash(&[low, high, Fr::from(opening.power), opening.blinding]);
    let top = (0..depth).fold(leaf, |node, level| {
        let sibling = opening.sibling(level);
        match opening.turns_right(level) {
            false => poseidon::hash(&[node, sibling]),
            true => poseidon::hash(&[sibling, node]),
        }
    });
    opening.power < POWER_LIMIT && opening.index >> depth == 0 && top == root
}

/// If `flag`, the key with these halves is in the tree of this depth under `root`.
///
/// # Panics
/// If `depth` is above 31.
pub fn enforce_member(
    g: &mut Builder,
    root: Wire,
    key: [Lin; 2],
    flag: Bit,
    opening: &Opening,
    depth: usize,
) -> MemberVar {
    assert!(depth < 32, "an index has less than 32 bits");
    let power = g.limb("member/power", opening.power, POWER_BITS);
    let blinding = g.hint("member/blinding", opening.blinding);
    let [low, high] = key;
    let leaf = [low, high, power.lin(), blinding.into()];
    let mut node = g.scope("member/leaf", |g| hash(g, leaf));

    let bits: Vec<Bit> = (0..depth)
        .map(|level| g.bit("member/index", opening.turns_right(level)))
        .collect();
    for (level, bit) in bits.iter().enumerate() {
        let sibling = opening.sibling(level);
        let (left, right) = if bit.value() {
            (sibling, node.value())
        } else {
            (node.value(), sibling)
        };
        let left = g.hint("member/left", left);
        let right = g.hint("member/right", right);
        g.row_with(format_args!("member/side[{level}]"), || {
            let children = left + right - node - node;
            (children, (*bit).into(), left - node) // bind: one child is the node below
        });
        let children = [left.into(), right.into()];
        node = g.scope(format_args!("member/node[{level}]"), |g| hash(g, children));
    }
    g.row("member/root", node - root, flag, Lin::zero());
    MemberVar {
        power,
        index: Lin::pack(&bits),
    }
}

impl Opening {
    /// The opening of leaf `index` of a set, which is empty beyond the last validator; `None` from 256 on.
    #[must_use]
    pub fn of(set: &ValidatorSet, index: u16) -> Option<Self> {
        let tree = set.tree();
        let path = tree.path(index.into())?;
        Some(Self {
            power: set
                .get(index)
                .map(|validator| validator.power.get())
                .unwrap_or_default(),
            blinding: tree.blinding(index.into()).unwrap_or_default(),
            index: index.into(),
            siblings: path.to_vec(),
        })
    }

    fn sibling(&self, level: usize) -> Fr {
        self.siblings.get(level).copied().unwrap_or_default()
    }

    /// Whether the node at this level is its parent's right child.
    fn turns_right(&self, level: usize) -> bool {
        self.index >> level & 1 == 1
    }
}

/// Powers, and their total over a set, have 60 bits.
pub const POWER_BITS: u32 = POWER_LIMIT.ilog2();

#[cfg(test)]
pub(crate) mod example;
#[cfg(test)]
mod tests;
