//! Signed notes (C2SP `signed-note`): a text, and lines of signatures under named keys.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use base64ct::{Base64, Encoding};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::{LogError, NOTE_MAX_BYTES, SIGNATURES_MAX, from_base64};
use crate::trust::LogKey;

/// What a signature by a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum NoteAlgorithm {
    /// Ed25519 over the note's text: the log itself.
    Log = 0x01,
    /// Ed25519 over a time and the text: a cosigner.
    Cosigner = 0x04,
}

/// A name and an Ed25519 key, as vkey text: `<name>+<key id>+<base64 of algorithm and key>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoteKey {
    pub(super) name: String,
    pub(super) algorithm: NoteAlgorithm,
    pub(super) key: LogKey,
}

impl NoteKey {
    /// A key under a name without spaces and `+`.
    ///
    /// # Errors
    /// [`LogError::Form`] for a name that breaks the rule.
    pub fn new(
        name: impl Into<String>,
        algorithm: NoteAlgorithm,
        key: LogKey,
    ) -> Result<Self, LogError> {
        let name = name.into();
        if !is_key_name(&name) {
            let rule = "a key's name is not empty and has neither spaces nor '+'";
            return Err(LogError::form("key", rule));
        }
        Ok(Self {
            name,
            algorithm,
            key,
        })
    }

    /// The name that stands on signature lines.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its signatures mean.
    pub const fn algorithm(&self) -> NoteAlgorithm {
        self.algorithm
    }

    /// The Ed25519 key.
    pub const fn key(&self) -> &LogKey {
        &self.key
    }

    /// The first four bytes of `SHA-256(name ‖ newline ‖ algorithm ‖ key)`.
    pub fn id(&self) -> [u8; 4] {
        key_id(&self.name, self.algorithm, &self.key)
    }
}

impl fmt::Display for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [self.algorithm as u8; 33];
        bytes[1..].copy_from_slice(&self.key.0);
        let id = hex::encode(self.id());
        write!(f, "{}+{id}+{}", self.name, Base64::encode_string(&bytes))
    }
}

impl FromStr for NoteKey {
    type Err = LogError;
    fn from_str(text: &str) -> Result<Self, LogError> {
        let wrong = |rule: &str| LogError::form("verifier key", rule);
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong("it is <name>+<id>+<base64>"));
        };
        let bytes = from_base64(key).ok_or_else(|| wrong("its last part is not base64"))?;
        let (algorithm, key) = match bytes.split_first() {
            Some((0x01, key)) => (NoteAlgorithm::Log, key),
            Some((0x04, key)) => (NoteAlgorithm::Cosigner, key),
            _ => {
                return Err(wrong(
                    "its algorithm is neither 1 (Ed25519) nor 4 (cosigner)",
                ));
            }
        };
        let key = key
            .try_into()
            .map_err(|_| wrong("an Ed25519 key has 32 bytes"))?;
        let key = Self::new(name, algorithm, LogKey(key))?;
        if hex::encode(key.id()) != id {
            return Err(wrong("its id is not that of its name and key"));
        }
        Ok(key)
    }
}

/// One signature line of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key.
    pub name: String,
    /// Four bytes that tell keys of one name apart.
    pub id: [u8; 4],
    /// What the algorithm makes of it.
    pub bytes: Vec<u8>,
}

impl fmt::Display for NoteSignature {
    /// The line without its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.id.as_slice(), &self.bytes].concat();
        write!(
            f,
            "\u{2014} {} {}",
            self.name,
            Base64::encode_string(&bytes)
        )
    }
}

impl FromStr for NoteSignature {
    type Err = LogError;
    fn from_str(line: &str) -> Result<Self, LogError> {
        let wrong = || LogError::form("note", "a signature line is an em dash, a name and base64");
        let rest = line.strip_prefix("\u{2014} ").ok_or_else(wrong)?;
        let (name, base64) = rest.split_once(' ').ok_or_else(wrong)?;
        let bytes = from_base64(base64).ok_or_else(wrong)?;
        let (id, bytes) = bytes.split_first_chunk::<4>().ok_or_else(wrong)?;
        if !is_key_name(name) || bytes.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            name: name.into(),
            id: *id,
            bytes: bytes.to_vec(),
        })
    }
}

/// A text with signature lines. Nothing of it may be believed before a signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    /// The text, its last newline included.
    pub text: String,
    /// The lines below the blank one.
    pub signatures: Vec<NoteSignature>,
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl FromStr for SignedNote {
    type Err = LogError;
    fn from_str(note: &str) -> Result<Self, LogError> {
        let wrong = |rule: &str| LogError::form("note", rule);
        if note.len() > NOTE_MAX_BYTES {
            return Err(wrong("it is longer than 65536 bytes"));
        }
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(wrong("it has a control character"));
        }
        let split = note
            .rfind("\n\n")
            .ok_or_else(|| wrong("no blank line stands before its signatures"))?;
        let (text, lines) = (&note[..=split], &note[split + 2..]);
        let lines = lines
            .strip_suffix('\n')
            .ok_or_else(|| wrong("its last line does not end"))?;
        let signatures: Vec<NoteSignature> = lines
            .split('\n')
            .take(SIGNATURES_MAX + 1)
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(wrong("it has more than 64 signatures"));
        }
        Ok(Self {
            text: text.into(),
            signatures,
        })
    }
}

impl SignedNote {
    /// Whether `key` signed the text. Lines of other keys are passed over; a line of this key that
    /// does not hold spoils the note.
    ///
    /// # Errors
    /// [`LogError::NotSigned`], [`LogError::BadSignature`].
    pub fn verify(&self, key: &NoteKey) -> Result<(), LogError> {
        let own = |s: &&NoteSignature| s.name == key.name && s.id == key.id();
        let mut signed = false;
        for signature in self.signatures.iter().filter(own) {
            if key.algorithm != NoteAlgorithm::Log
                || !is_signed(&key.key, self.text.as_bytes(), &signature.bytes)
            {
                return Err(LogError::BadSignature(key.name.clone()));
            }
            signed = true;
        }
        if signed {
            Ok(())
        } else {
            Err(LogError::NotSigned(key.clone()))
        }
    }
}

pub(super) fn key_id(name: &str, algorithm: NoteAlgorithm, key: &LogKey) -> [u8; 4] {
    let hash = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', algorithm as u8])
        .chain_update(key.0)
        .finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}

fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+' || c < ' ')
}

pub(super) fn is_signed(key: &LogKey, message: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (
        VerifyingKey::from_bytes(&key.0),
        Signature::from_slice(signature),
    ) else {
        return false;
    };
    key.verify_strict(message, &signature).is_ok()
}
