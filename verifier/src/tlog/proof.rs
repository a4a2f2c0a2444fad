//! From an entry to a checkpoint (C2SP `tlog-proof`), and from one checkpoint to a later one.

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use base64ct::{Base64, Encoding};

use super::{
    Checkpoint, Cosigned, LogError, NOTE_MAX_BYTES, NoteKey, PATH_MAX, PROOF_HEADING, TreeHead,
    decimal, from_base64,
};
use crate::merkle;
use crate::primitives::Digest;
use crate::trust::Cosigners;

/// A `.tlog-proof`: the way from an entry to a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    /// The entry's place, from 0.
    pub index: u64,
    /// Siblings from the leaf up.
    pub path: Vec<Digest>,
    /// The checkpoint that it leads to.
    pub checkpoint: Checkpoint,
}

impl LogProof {
    /// Whether `entry` is in the log of this name and key, by a checkpoint that the policy's
    /// cosigners vouch for. Answers who of them signed.
    ///
    /// # Errors
    /// [`LogError`] names the link that does not hold.
    pub fn verify(
        &self,
        entry: &[u8],
        log: &NoteKey,
        cosigners: &Cosigners,
    ) -> Result<Vec<Cosigned>, LogError> {
        let cosigned = self.checkpoint.accept(log, cosigners)?;
        let TreeHead { size, root, .. } = self.checkpoint.head();
        let leaf = merkle::leaf_hash(entry);
        if !merkle::is_included(&leaf, self.index, *size, &self.path, root) {
            return Err(LogError::NotIncluded {
                index: self.index,
                size: *size,
            });
        }
        Ok(cosigned)
    }
}

impl fmt::Display for LogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{PROOF_HEADING}\nindex {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", Base64::encode_string(hash.as_bytes()))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for LogProof {
    type Err = LogError;
    /// Extra data, which nobody signs, is passed over.
    fn from_str(text: &str) -> Result<Self, LogError> {
        let wrong = |rule: &str| LogError::form("log proof", rule);
        if text.len() > NOTE_MAX_BYTES {
            return Err(wrong("it is longer than 65536 bytes"));
        }
        let (proof, checkpoint) = text
            .split_once("\n\n")
            .ok_or_else(|| wrong("no blank line stands before its checkpoint"))?;
        let mut lines = proof.split('\n').peekable();
        if lines.next() != Some(PROOF_HEADING) {
            return Err(wrong("its first line is not that of version 1"));
        }
        if let Some(extra) = lines.next_if(|line| line.starts_with("extra ")) {
            from_base64(&extra[6..]).ok_or_else(|| wrong("its extra data is not base64"))?;
        }
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .and_then(decimal)
            .ok_or_else(|| wrong("it names no index"))?;
        let mut path = Vec::new();
        for line in lines {
            let hash = from_base64(line).and_then(|bytes| bytes.try_into().ok());
            let hash = hash.ok_or_else(|| wrong("a line of its path is not 32 bytes of base64"))?;
            if path.len() == PATH_MAX {
                return Err(wrong("its path is longer than any tree is high"));
            }
            path.push(Digest::from_bytes(hash));
        }
        Ok(Self {
            index,
            path,
            checkpoint: checkpoint.parse()?,
        })
    }
}

/// Whether the tree `later` begins with the very entries of `earlier` (RFC 9162 §2.1.4.2).
///
/// # Errors
/// [`LogError::Shrunk`], [`LogError::Inconsistent`].
pub fn check_consistency(
    earlier: (u64, &Digest),
    later: (u64, &Digest),
    proof: &[Digest],
) -> Result<(), LogError> {
    let (sizes, roots) = ((earlier.0, later.0), (earlier.1, later.1));
    if sizes.0 > sizes.1 {
        return Err(LogError::Shrunk {
            earlier: sizes.0,
            later: sizes.1,
        });
    }
    if is_consistent(sizes, roots, proof) {
        Ok(())
    } else {
        Err(LogError::Inconsistent {
            earlier: sizes.0,
            later: sizes.1,
        })
    }
}

fn is_consistent(sizes: (u64, u64), roots: (&Digest, &Digest), proof: &[Digest]) -> bool {
    let (first, second) = sizes;
    if first == second {
        return proof.is_empty() && roots.0 == roots.1;
    }
    if first == 0 {
        return proof.is_empty() && *roots.0 == merkle::root(&[]);
    }
    let (mut node, mut last) = (first - 1, second - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    // A first tree that is a whole subtree of the second stands for itself.
    let (start, rest) = match proof.split_first() {
        _ if first.is_power_of_two() => (roots.0, proof),
        Some((start, rest)) => (start, rest),
        None => return false,
    };
    let (mut old, mut new) = (*start, *start);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old = merkle::node_hash(sibling, &old);
            new = merkle::node_hash(sibling, &new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new = merkle::node_hash(&new, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old == *roots.0 && new == *roots.1
}
