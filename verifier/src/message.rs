//! What is signed: a 15-byte tag that no other kind of message shares, then 32 bytes.

use alloc::vec::Vec;

use sha2::{Digest as _, Sha256};

use crate::primitives::{Digest, View};

/// Length of a commit message: with R and A it fills exactly one SHA-512 block
/// (64 + 47 + 17 bytes of padding = 128).
pub const COMMIT_MESSAGE_BYTES: usize = 47;

/// A 15-byte tag before everything that is signed or hashed under a name.
///
/// All have the same length and differ, so no two kinds of message can share bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(&'static [u8; 15]);

impl Tag {
    /// A commit vote.
    pub const COMMIT: Self = Self(b"quorate-commit1");
    /// A pre-prepare.
    pub const PRE_PREPARE: Self = Self(b"quorate-preprp1");
    /// A prepare vote.
    pub const PREPARE: Self = Self(b"quorate-prepar1");
    /// A view change.
    pub const VIEW_CHANGE: Self = Self(b"quorate-viewch1");
    /// A new view.
    pub const NEW_VIEW: Self = Self(b"quorate-newvie1");
    /// A stable checkpoint.
    pub const CHECKPOINT: Self = Self(b"quorate-chkpnt1");
    /// A client's request.
    pub const REQUEST: Self = Self(b"quorate-reques1");
    /// Consent to an operation that another client's request carries.
    pub const CONSENT: Self = Self(b"quorate-consnt1");
    /// A change of validator set or parameters.
    pub const SET_CHANGE: Self = Self(b"quorate-change1");
    /// A handshake between machines.
    pub const HANDSHAKE: Self = Self(b"quorate-handsh1");
    /// The digest of a genesis document.
    pub const GENESIS: Self = Self(b"quorate-genesi1");
    /// The digest of chain parameters.
    pub const PARAMETERS: Self = Self(b"quorate-params1");
    /// The digest of a trust anchor.
    pub const ANCHOR: Self = Self(b"quorate-anchor1");
    /// The blinding of a leaf of a set's tree.
    pub const BLINDING: Self = Self(b"quorate-blindg1");
    /// The weights of a batch of signatures.
    pub const BATCH: Self = Self(b"quorate-batch-1");
    /// The weights of a batch inside the circuit.
    pub const WEIGHTS: Self = Self(b"quorate-weight1");
    /// The key of the unused slots of a circuit.
    pub const DUMMY: Self = Self(b"quorate-dummy-1");
    /// The challenges of the look-up argument.
    pub const CHALLENGE: Self = Self(b"quorate-challg1");
    /// The weight of the knowledge equation.
    pub const KNOWLEDGE: Self = Self(b"quorate-knowlg1");
    /// The weights of a batch of proofs.
    pub const PROOF_BATCH: Self = Self(b"quorate-pbatch1");
    /// The digest of a verifying key.
    pub const VERIFYING_KEY: Self = Self(b"quorate-vkey--1");
    /// The digest of a circuit's matrices.
    pub const CIRCUIT: Self = Self(b"quorate-circut1");
    /// What one machine needs to start, sealed to its network key.
    pub const BUNDLE: Self = Self(b"quorate-bundle1");
    /// The digest of all documents that a chain starts from.
    pub const FOUNDING: Self = Self(b"quorate-foundg1");
    /// The randomness of one proving attempt.
    pub const ATTEMPT: Self = Self(b"quorate-attmpt1");

    /// Every tag.
    pub const ALL: &'static [Self] = &[
        Self::COMMIT,
        Self::PRE_PREPARE,
        Self::PREPARE,
        Self::VIEW_CHANGE,
        Self::NEW_VIEW,
        Self::CHECKPOINT,
        Self::REQUEST,
        Self::CONSENT,
        Self::SET_CHANGE,
        Self::HANDSHAKE,
        Self::GENESIS,
        Self::PARAMETERS,
        Self::ANCHOR,
        Self::BLINDING,
        Self::BATCH,
        Self::WEIGHTS,
        Self::DUMMY,
        Self::CHALLENGE,
        Self::KNOWLEDGE,
        Self::PROOF_BATCH,
        Self::VERIFYING_KEY,
        Self::CIRCUIT,
        Self::BUNDLE,
        Self::FOUNDING,
        Self::ATTEMPT,
    ];

    /// The 15 bytes.
    pub const fn as_bytes(self) -> &'static [u8; 15] {
        self.0
    }

    /// `SHA-256(tag ‖ body)`.
    pub fn digest(self, body: &[u8]) -> Digest {
        let hash = Sha256::new().chain_update(self.0).chain_update(body);
        Digest::from_bytes(hash.finalize().into())
    }

    /// `tag ‖ body`: what is signed under this tag.
    pub fn message(self, body: &[u8]) -> Vec<u8> {
        [self.0.as_slice(), body].concat()
    }
}

/// The 47 bytes that every signer of a block signs: `quorate-commit1` ‖ SHA-256(header digest ‖
/// view as `u64` little-endian). The same for all, without a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommitMessage([u8; COMMIT_MESSAGE_BYTES]);

impl CommitMessage {
    /// For the block with this header digest, committed in this view.
    pub fn new(block: &Digest, view: View) -> Self {
        let hash = Sha256::new()
            .chain_update(block.as_bytes())
            .chain_update(view.get().to_le_bytes());
        let mut bytes = [0; COMMIT_MESSAGE_BYTES];
        bytes[..15].copy_from_slice(Tag::COMMIT.as_bytes());
        bytes[15..].copy_from_slice(&hash.finalize());
        Self(bytes)
    }

    /// All 47 bytes.
    pub const fn as_bytes(&self) -> &[u8; COMMIT_MESSAGE_BYTES] {
        &self.0
    }

    /// The last 32 bytes: the message digest of the statement.
    pub fn digest(&self) -> Digest {
        Digest::from_bytes(self.0[15..].try_into().expect("47 - 15 = 32"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_differ() {
        for (i, a) in Tag::ALL.iter().enumerate() {
            assert!(a.0.starts_with(b"quorate-"));
            assert!(Tag::ALL[i + 1..].iter().all(|b| a != b), "{a:?}");
        }
    }

    #[test]
    fn one_sha512_block() {
        assert_eq!(64 + COMMIT_MESSAGE_BYTES + 1 + 16, 128);
    }

    #[test]
    fn every_bit_of_block_and_view_counts() {
        let block = Digest::from_bytes([7; 32]);
        let message = CommitMessage::new(&block, View::new(1));
        assert_eq!(&message.as_bytes()[..15], b"quorate-commit1");
        for bit in 0..64 {
            assert_ne!(
                CommitMessage::new(&block, View::new(1 ^ (1 << bit))),
                message
            );
        }
        for bit in 0..256 {
            let mut other = *block.as_bytes();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(
                CommitMessage::new(&Digest::from_bytes(other), View::new(1)),
                message
            );
        }
    }
}
