//! RFC 6962 Merkle trees over SHA-256: tree head and inclusion path (§2.1, and RFC 9162 §2.1.3).

use alloc::vec::Vec;

use sha2::{Digest as _, Sha256};

use crate::primitives::Digest;

/// `SHA-256(0x00 ‖ leaf)`.
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    Digest::from_bytes(
        Sha256::new()
            .chain_update([0])
            .chain_update(leaf)
            .finalize()
            .into(),
    )
}

/// `SHA-256(0x01 ‖ left ‖ right)`.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let hash = Sha256::new()
        .chain_update([1])
        .chain_update(left.as_bytes())
        .chain_update(right.as_bytes());
    Digest::from_bytes(hash.finalize().into())
}

/// Tree hash over leaf hashes; the empty tree is `SHA-256("")`.
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::from_bytes(Sha256::digest([]).into()),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(left_width(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// Tree hash over leaves given as bytes.
pub fn root_of<L: AsRef<[u8]>>(leaves: impl IntoIterator<Item = L>) -> Digest {
    let hashes: Vec<_> = leaves
        .into_iter()
        .map(|leaf| leaf_hash(leaf.as_ref()))
        .collect();
    root(&hashes)
}

/// Siblings from the leaf up, which with the leaf give the root; `None` past the last leaf.
pub fn inclusion_path(leaves: &[Digest], index: usize) -> Option<Vec<Digest>> {
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let width = left_width(leaves.len());
    let (left, right) = leaves.split_at(width);
    let (mut path, sibling) = if index < width {
        (inclusion_path(left, index)?, root(right))
    } else {
        (inclusion_path(right, index - width)?, root(left))
    };
    path.push(sibling);
    Some(path)
}

/// Whether `path` leads from `leaf` at `index` to `root` in a tree of `size` leaves.
pub fn is_included(leaf: &Digest, index: u64, size: u64, path: &[Digest], root: &Digest) -> bool {
    if index >= size {
        return false;
    }
    // RFC 9162 §2.1.3.2: fn and sn are the node's and the last node's index on each level.
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Largest power of two below `count`, for `count` ≥ 2.
fn left_width(count: usize) -> usize {
    1 << (usize::BITS - 1 - (count - 1).leading_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The eight leaves of the Certificate Transparency reference tests, and the tree head over
    /// the first n of them.
    const LEAVES: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn hashes(count: usize) -> Vec<Digest> {
        LEAVES[..count]
            .iter()
            .map(|h| leaf_hash(&hex::decode(h).expect("hex")))
            .collect()
    }

    #[test]
    fn known_tree_heads() {
        for (count, expected) in ROOTS.iter().enumerate() {
            assert_eq!(
                hex::encode(root(&hashes(count)).as_bytes()),
                *expected,
                "{count} leaves"
            );
        }
    }

    #[test]
    fn paths_lead_to_the_root_and_nowhere_else() {
        for count in 1..=8 {
            let leaves = hashes(count);
            let head = root(&leaves);
            for index in 0..count {
                let path = inclusion_path(&leaves, index).expect("a leaf of the tree");
                let size = count as u64;
                for (other, leaf) in leaves.iter().enumerate() {
                    let included = is_included(leaf, index as u64, size, &path, &head);
                    assert_eq!(included, other == index);
                }
                assert!(!is_included(&leaves[index], size, size, &path, &head));
                let mut longer = path.clone();
                longer.push(head);
                assert!(!is_included(
                    &leaves[index],
                    index as u64,
                    size,
                    &longer,
                    &head
                ));
                if let Some((_, shorter)) = path.split_last() {
                    assert!(!is_included(
                        &leaves[index],
                        index as u64,
                        size,
                        shorter,
                        &head
                    ));
                }
            }
            assert_eq!(inclusion_path(&leaves, count), None);
        }
    }
}
