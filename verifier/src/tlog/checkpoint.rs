//! Log checkpoints (C2SP `tlog-checkpoint`) and what cosigners add to them (`tlog-cosignature`).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use base64ct::{Base64, Encoding};

use super::note::{is_signed, key_id};
use super::{LogError, NoteAlgorithm, NoteKey, NoteSignature, SignedNote, decimal, from_base64};
use crate::primitives::Digest;
use crate::trust::{Cosigners, LogKey};

/// Origin, size and root of a log: what a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// The log's name.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: Digest,
}

impl TreeHead {
    /// The three lines that are signed.
    pub fn body(&self) -> String {
        let root = Base64::encode_string(self.root.as_bytes());
        format!("{}\n{}\n{root}\n", self.origin, self.size)
    }

    /// What a cosigner signs: that at `time` (seconds since 1970) this was the largest head of the
    /// log that it had seen, and extended all before.
    pub fn cosigned(&self, time: u64) -> Vec<u8> {
        cosigned_message(&self.body(), time)
    }
}

/// A log checkpoint: a tree head, signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    note: SignedNote,
    head: TreeHead,
}

/// A cosigner's signature that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// Whose.
    pub key: LogKey,
    /// When, in seconds since 1970, by the cosigner's clock.
    pub time: u64,
}

impl Checkpoint {
    /// A head with its signature lines.
    pub fn new(head: TreeHead, signatures: Vec<NoteSignature>) -> Self {
        let note = SignedNote {
            text: head.body(),
            signatures,
        };
        Self { note, head }
    }

    /// What it says. To be believed once [`verify`](Self::verify) has passed.
    pub const fn head(&self) -> &TreeHead {
        &self.head
    }

    /// The signature lines.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.note.signatures
    }

    /// Whether the log of this name and key signed it.
    ///
    /// # Errors
    /// [`LogError`]: another log's, not signed, or a bad signature.
    pub fn verify(&self, log: &NoteKey) -> Result<(), LogError> {
        if self.head.origin != log.name {
            return Err(LogError::WrongOrigin {
                expected: log.name.clone(),
                found: self.head.origin.clone(),
            });
        }
        self.note.verify(log)
    }

    /// Who of `cosigners` signed it, each once, with the latest time that it gave. A policy lists
    /// keys without names: the name on a line is believed as far as the key's id fits it.
    ///
    /// # Errors
    /// [`LogError::BadSignature`] when a line of one of them does not hold.
    pub fn cosigned_by(&self, cosigners: &[LogKey]) -> Result<Vec<Cosigned>, LogError> {
        let mut found: Vec<Cosigned> = Vec::new();
        for signature in &self.note.signatures {
            let own = |key: &&LogKey| {
                key_id(&signature.name, NoteAlgorithm::Cosigner, key) == signature.id
            };
            let Some(key) = cosigners.iter().find(own) else {
                continue;
            };
            let bad = || LogError::BadSignature(signature.name.clone());
            let (time, bytes) = signature.bytes.split_first_chunk::<8>().ok_or_else(bad)?;
            let time = u64::from_be_bytes(*time);
            let message = cosigned_message(&self.note.text, time);
            if time > i64::MAX as u64 || !is_signed(key, &message, bytes) {
                return Err(bad());
            }
            match found.iter_mut().find(|cosigned| cosigned.key == *key) {
                Some(cosigned) => cosigned.time = cosigned.time.max(time),
                None => found.push(Cosigned { key: *key, time }),
            }
        }
        Ok(found)
    }

    /// Whether log and policy's cosigners vouch for it. Answers who of them signed.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn accept(&self, log: &NoteKey, cosigners: &Cosigners) -> Result<Vec<Cosigned>, LogError> {
        self.verify(log)?;
        let found = self.cosigned_by(cosigners.keys())?;
        if found.len() < usize::from(cosigners.threshold()) {
            return Err(LogError::TooFewCosigners {
                needed: cosigners.threshold(),
                found: found.len(),
            });
        }
        Ok(found)
    }

    /// The same with one more signature line, which replaces an older one of the same key.
    pub fn with_signature(mut self, signature: NoteSignature) -> Self {
        let own = |s: &NoteSignature| s.name == signature.name && s.id == signature.id;
        self.note.signatures.retain(|s| !own(s));
        self.note.signatures.push(signature);
        self
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

impl FromStr for Checkpoint {
    type Err = LogError;
    fn from_str(text: &str) -> Result<Self, LogError> {
        let note: SignedNote = text.parse()?;
        let wrong = |rule: &str| LogError::form("checkpoint", rule);
        let body = note.text.strip_suffix('\n').unwrap_or(&note.text);
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(wrong("it has three lines: origin, size and root"));
        };
        if origin.is_empty() {
            return Err(wrong("its origin is empty"));
        }
        let size = decimal(size).ok_or_else(|| wrong("its size is not a decimal number"))?;
        let root = from_base64(root)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| wrong("its root is not 32 bytes of base64"))?;
        let head = TreeHead {
            origin: origin.into(),
            size,
            root: Digest::from_bytes(root),
        };
        Ok(Self { note, head })
    }
}

fn cosigned_message(body: &str, time: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{body}").into_bytes()
}
