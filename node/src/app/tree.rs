//! An RFC 6962 tree that is kept whole, so that a changed leaf costs one path.
//!
//! RFC 6962 splits at the largest power of two below the count. Built from the leaves up that is:
//! pair neighbours, and let a last one without a neighbour rise as it is. So node i of level k
//! covers leaves i·2^k to (i+1)·2^k, whatever the size, and appending never moves a leaf.

use std::collections::{BTreeMap, BTreeSet};

use quorate_verifier::merkle;
use quorate_verifier::primitives::Digest;

/// Leaf hashes and everything above them, and as much of the tree before the last step as changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    /// Level 0 has the leaf hashes, the last level the root alone.
    levels: Vec<Vec<Digest>>,
    /// Nodes as they were before the last step, by level and index.
    before: BTreeMap<(usize, usize), Digest>,
    /// Leaves before the last step.
    count_before: usize,
    /// Root before the last step.
    root_before: Option<Digest>,
}

/// Which of two trees a path is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// After the last step.
    Now,
    /// Before it.
    Before,
}

impl Tree {
    /// Tree head; of no leaves, that of RFC 6962.
    pub(super) fn root(&self) -> Digest {
        let top = self.levels.last().and_then(|level| level.first());
        top.copied().unwrap_or_else(|| merkle::root(&[]))
    }

    /// The tree that has this root, if it is at hand.
    pub(super) fn version(&self, root: &Digest) -> Option<Version> {
        if self.root() == *root {
            return Some(Version::Now);
        }
        (self.root_before.as_ref() == Some(root)).then_some(Version::Before)
    }

    /// Leaves.
    pub(super) fn count(&self, version: Version) -> usize {
        match version {
            Version::Now => self.levels.first().map_or(0, Vec::len),
            Version::Before => self.count_before,
        }
    }

    /// One step: sets leaves, those after the last in order without a gap.
    pub(super) fn set(&mut self, leaves: impl IntoIterator<Item = (usize, Digest)>) {
        self.count_before = self.count(Version::Now);
        self.root_before = Some(self.root());
        self.before.clear();
        let mut dirty = BTreeSet::new();
        for (index, hash) in leaves {
            self.put(0, index, hash);
            dirty.insert(index);
        }
        let mut level = 0;
        while self.levels.get(level).is_some_and(|nodes| nodes.len() > 1) {
            let mut parents = BTreeSet::new();
            for parent in dirty.into_iter().map(|index: usize| index / 2) {
                if !parents.insert(parent) {
                    continue;
                }
                let nodes = &self.levels[level];
                let left = nodes[2 * parent];
                let hash = match nodes.get(2 * parent + 1) {
                    Some(right) => merkle::node_hash(&left, right),
                    None => left,
                };
                self.put(level + 1, parent, hash);
            }
            dirty = parents;
            level += 1;
        }
    }

    /// Siblings from the leaf up; `None` past the last leaf.
    pub(super) fn path(&self, index: usize, version: Version) -> Option<Vec<Digest>> {
        let mut width = self.count(version);
        if index >= width {
            return None;
        }
        let (mut path, mut level) = (Vec::new(), 0);
        while width > 1 {
            let sibling = (index >> level) ^ 1;
            if sibling < width {
                let before = self.before.get(&(level, sibling));
                let before = before.filter(|_| version == Version::Before);
                path.push(*before.unwrap_or(&self.levels[level][sibling]));
            } // none beside a node that rises
            width = width.div_ceil(2);
            level += 1;
        }
        Some(path)
    }

    fn put(&mut self, level: usize, index: usize, hash: Digest) {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        let nodes = &mut self.levels[level];
        match nodes.get_mut(index) {
            None => nodes.push(hash),
            Some(node) => {
                let old = std::mem::replace(node, hash);
                self.before.entry((level, index)).or_insert(old);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(number: usize) -> Digest {
        merkle::leaf_hash(&number.to_le_bytes())
    }

    #[test]
    fn agrees_with_the_definition_at_every_size_and_change() {
        let mut tree = Tree::default();
        let (mut leaves, mut last) = (Vec::new(), Vec::new());
        assert_eq!(tree.root(), merkle::root(&[]));
        for size in 1..=70usize {
            // One new leaf and a changed one in the same step.
            leaves.push(leaf(size));
            let changed = size * 7 / 3 % size;
            leaves[changed] = leaf(1000 + size);
            let before = std::mem::replace(&mut last, leaves.clone());
            tree.set([(size - 1, leaves[size - 1]), (changed, leaves[changed])]);
            assert_eq!(tree.root(), merkle::root(&leaves), "{size} leaves");
            for index in 0..=size {
                let path = merkle::inclusion_path(&leaves, index);
                assert_eq!(tree.path(index, Version::Now), path);
                let path = merkle::inclusion_path(&before, index);
                assert_eq!(tree.path(index, Version::Before), path);
            }
        }
        let mut at_once = Tree::default();
        at_once.set(leaves.iter().copied().enumerate());
        assert_eq!(at_once.root(), tree.root());
    }

    #[test]
    fn a_change_deep_inside_reaches_the_root() {
        let leaves: Vec<_> = (0..1000).map(leaf).collect();
        let mut tree = Tree::default();
        tree.set(leaves.iter().copied().enumerate());
        for index in [0, 1, 511, 512, 998, 999] {
            let mut changed = leaves.clone();
            changed[index] = leaf(5000);
            tree.set([(index, changed[index])]);
            assert!(tree.before.len() <= 11, "one path was hashed, not a tree");
            assert_eq!(tree.root(), merkle::root(&changed));
            tree.set([(index, leaves[index])]);
            assert_eq!(tree.root(), merkle::root(&leaves));
        }
    }
}
