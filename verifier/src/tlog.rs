//! Transparency logs as C2SP writes them: signed notes, checkpoints, cosignatures, proofs.
//!
//! A log is an RFC 6962 tree. Its head is published as a *log checkpoint*: origin, size and root,
//! signed by the log (`signed-note`, Ed25519) and by *cosigners*, who each saw that it extends the
//! one before (`tlog-cosignature`, `cosignature/v1`). A `.tlog-proof` leads from an entry to a
//! checkpoint (`tlog-proof`). Here is what a verifier needs of that; keys come from its policy, and
//! a log's name follows from the chain: nothing of it is read from what is checked.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use base64ct::{Base64, Encoding};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::encoding::{Canonical, DecodeError, Reader};
use crate::header::Header;
use crate::merkle;
use crate::primitives::{ChainId, Digest, Height};
use crate::rule::QuorumRule;
use crate::set::SetCommitment;
use crate::trust::{Cosigners, LogKey};

/// Most signature lines in a note.
pub const SIGNATURES_MAX: usize = 64;
/// Longest note, in bytes.
pub const NOTE_MAX_BYTES: usize = 1 << 16;
/// Longest path in a tree of fewer than 2^64 leaves.
pub const PATH_MAX: usize = 64;
/// First line of a `.tlog-proof`.
pub const PROOF_HEADING: &str = "c2sp.org/tlog-proof@v1";

/// Why a note, checkpoint or proof is none, or is not to be relied on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The text is not of the form that C2SP prescribes.
    #[error("not a {what}: {rule}")]
    Form {
        /// What it should have been.
        what: &'static str,
        /// The rule that is broken.
        rule: String,
    },
    /// Another log's checkpoint.
    #[error("the checkpoint is of log {found:?}, {expected:?} was expected")]
    WrongOrigin {
        /// The caller's log.
        expected: String,
        /// The checkpoint's first line.
        found: String,
    },
    /// No signature by the log.
    #[error("the checkpoint bears no signature by the log's key {0}")]
    NotSigned(NoteKey),
    /// A signature that claims a known key and does not hold.
    #[error("the signature of {0} does not hold")]
    BadSignature(String),
    /// Fewer cosigners than the policy demands.
    #[error("{found} of the policy's cosigners signed, {needed} are needed")]
    TooFewCosigners {
        /// What the policy demands.
        needed: u16,
        /// Who signed.
        found: usize,
    },
    /// The entry is not in the tree.
    #[error("the path does not lead from entry {index} to the root of {size} entries")]
    NotIncluded {
        /// Index that the proof names.
        index: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The later tree does not hold the earlier one as it was.
    #[error("the log's {later} entries do not extend the {earlier} entries seen before")]
    Inconsistent {
        /// Size seen before.
        earlier: u64,
        /// Size of the new checkpoint.
        later: u64,
    },
    /// The log shrank.
    #[error("the log shrank: {later} entries after {earlier}")]
    Shrunk {
        /// Size seen before.
        earlier: u64,
        /// Size of the new checkpoint.
        later: u64,
    },
}

impl LogError {
    fn form(what: &'static str, rule: impl Into<String>) -> Self {
        Self::Form {
            what,
            rule: rule.into(),
        }
    }
}

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
    name: String,
    algorithm: NoteAlgorithm,
    key: LogKey,
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

/// The name of a chain's public log of final heights.
pub fn finality_origin(chain: &ChainId) -> String {
    format!("{chain}/finality")
}

/// The key of a chain's finality log, from what a policy holds.
pub fn finality_log(chain: &ChainId, key: LogKey) -> NoteKey {
    NoteKey {
        name: finality_origin(chain),
        algorithm: NoteAlgorithm::Log,
        key,
    }
}

/// An entry of the finality log: that this header was final by this rule. Holds no proof, since
/// proofs of one statement differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FinalityEntry {
    /// The chain.
    pub chain_id: ChainId,
    /// The height: the entry's index is this less the height of the log's first entry.
    pub height: Height,
    /// Digest of the header.
    pub header: Digest,
    /// The set that signs it.
    pub validators: SetCommitment,
    /// The rule that was shown, of this height or of a later one that it is an ancestor of.
    pub rule: QuorumRule,
}

impl FinalityEntry {
    /// For a header that was shown final by `rule`.
    pub fn of(header: &Header, rule: QuorumRule) -> Self {
        Self {
            chain_id: header.chain_id.clone(),
            height: header.height,
            header: header.digest(),
            validators: header.validators,
            rule,
        }
    }
}

impl Canonical for FinalityEntry {
    fn write(&self, out: &mut Vec<u8>) {
        self.chain_id.write(out);
        self.height.write(out);
        self.header.write(out);
        self.validators.write(out);
        self.rule.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            chain_id: ChainId::read(input)?,
            height: Height::read(input)?,
            header: input.array("header").map(Digest::from_bytes)?,
            validators: SetCommitment::read(input)?,
            rule: QuorumRule::read(input)?,
        })
    }
}

fn key_id(name: &str, algorithm: NoteAlgorithm, key: &LogKey) -> [u8; 4] {
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

fn cosigned_message(body: &str, time: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{body}").into_bytes()
}

fn is_signed(key: &LogKey, message: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (
        VerifyingKey::from_bytes(&key.0),
        Signature::from_slice(signature),
    ) else {
        return false;
    };
    key.verify_strict(message, &signature).is_ok()
}

/// Canonical base64 with padding, and nothing else.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let bytes = Base64::decode_vec(text).ok()?;
    (Base64::encode_string(&bytes) == text).then_some(bytes)
}

/// A decimal number without sign and leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    const LOG: &str = "example.com/log";

    fn secret(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn note_key(seed: u8, name: &str, algorithm: NoteAlgorithm) -> NoteKey {
        let key = LogKey(secret(seed).verifying_key().to_bytes());
        NoteKey::new(name, algorithm, key).expect("a good name")
    }

    fn signed(seed: u8, head: &TreeHead) -> NoteSignature {
        let key = note_key(seed, &head.origin, NoteAlgorithm::Log);
        let signature = secret(seed).sign(head.body().as_bytes());
        NoteSignature {
            name: key.name().into(),
            id: key.id(),
            bytes: signature.to_bytes().to_vec(),
        }
    }

    fn cosigned(seed: u8, name: &str, head: &TreeHead, time: u64) -> NoteSignature {
        let signature = secret(seed).sign(&head.cosigned(time));
        NoteSignature {
            name: name.into(),
            id: note_key(seed, name, NoteAlgorithm::Cosigner).id(),
            bytes: [time.to_be_bytes().as_slice(), &signature.to_bytes()].concat(),
        }
    }

    fn leaves(count: u64) -> Vec<Digest> {
        (0..count)
            .map(|i| merkle::leaf_hash(&i.to_le_bytes()))
            .collect()
    }

    fn head(count: u64) -> TreeHead {
        TreeHead {
            origin: LOG.into(),
            size: count,
            root: merkle::root(&leaves(count)),
        }
    }

    /// RFC 6962 §2.1.2, as it is written there.
    fn consistency(first: usize, leaves: &[Digest], whole: bool) -> Vec<Digest> {
        let count = leaves.len();
        if first == count {
            return if whole {
                vec![]
            } else {
                vec![merkle::root(leaves)]
            };
        }
        let width = 1 << (usize::BITS - 1 - (count - 1).leading_zeros());
        let (left, right) = leaves.split_at(width);
        let (mut proof, sibling) = if first <= width {
            (consistency(first, left, whole), merkle::root(right))
        } else {
            (consistency(first - width, right, false), merkle::root(left))
        };
        proof.push(sibling);
        proof
    }

    /// The example of golang.org/x/mod/sumdb/note, whose signed notes C2SP took over.
    #[test]
    fn a_note_signed_elsewhere() {
        let key: NoteKey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
            .parse()
            .expect("a good key");
        let note = "If you think cryptography is the answer to your problem,\n\
            then you don't know what your problem is.\n\n\
            \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let parsed: SignedNote = note.parse().expect("a good note");
        assert_eq!(parsed.verify(&key), Ok(()));
        assert_eq!(parsed.to_string(), note);
        let forged: SignedNote = note.replacen("If", "Is", 1).parse().expect("a note");
        let bad = LogError::BadSignature("PeterNeumann".into());
        assert_eq!(forged.verify(&key), Err(bad));
    }

    #[test]
    fn keys_are_text_and_back() {
        let key = note_key(1, LOG, NoteAlgorithm::Cosigner);
        let text = key.to_string();
        assert_eq!(text.parse(), Ok(key));
        for (from, to) in [("example", "exomple"), ("+", "-"), ("B", "C")] {
            let bad = text.replacen(from, to, 1);
            assert!(bad.parse::<NoteKey>().is_err(), "{bad}");
        }
        let key = LogKey([1; 32]);
        for name in ["", "a b", "a+b", "a\u{a0}b", "a\n"] {
            assert!(NoteKey::new(name, NoteAlgorithm::Log, key).is_err());
        }
    }

    #[test]
    fn a_checkpoint_is_accepted_with_enough_cosigners() {
        let head = head(5);
        let log = note_key(1, LOG, NoteAlgorithm::Log);
        let keys = |seeds: &[u8]| {
            let mut keys: Vec<_> = seeds
                .iter()
                .map(|s| LogKey(secret(*s).verifying_key().to_bytes()))
                .collect();
            keys.sort();
            keys
        };
        let policy = Cosigners::new(2, keys(&[2, 3, 4])).expect("two of three");
        let lines = vec![
            signed(1, &head),
            cosigned(2, "a.example", &head, 100),
            cosigned(9, "stranger", &head, 100),
        ];
        let one = Checkpoint::new(head.clone(), lines);
        let too_few = LogError::TooFewCosigners {
            needed: 2,
            found: 1,
        };
        assert_eq!(one.accept(&log, &policy), Err(too_few.clone()));
        // The same cosigner under two names counts once.
        let twice = one
            .clone()
            .with_signature(cosigned(2, "b.example", &head, 7));
        assert_eq!(twice.accept(&log, &policy), Err(too_few));
        let two = one.with_signature(cosigned(3, "b.example", &head, 200));
        let names = two.accept(&log, &policy).expect("two cosigners");
        assert_eq!(names.iter().map(|c| c.time).collect::<Vec<_>>(), [100, 200]);
        assert_eq!(two.to_string().parse(), Ok(two.clone()));
        // A cosigner's line that does not hold spoils the checkpoint: it is known.
        let mut bad = cosigned(4, "c.example", &head, 1);
        bad.bytes[7] ^= 1;
        let error = two.clone().with_signature(bad).accept(&log, &policy);
        assert_eq!(error, Err(LogError::BadSignature("c.example".into())));
        // A log's own signature is no cosignature, and the other way round.
        let as_log = note_key(2, "a.example", NoteAlgorithm::Log);
        assert!(matches!(
            two.verify(&as_log),
            Err(LogError::WrongOrigin { .. })
        ));
        let other = note_key(5, LOG, NoteAlgorithm::Log);
        assert_eq!(two.verify(&other), Err(LogError::NotSigned(other)));
    }

    #[test]
    fn consistency_for_every_pair_of_sizes() {
        for later in 0..34 {
            let all = leaves(later);
            let new = merkle::root(&all);
            for earlier in 0..=later {
                let at = usize::try_from(earlier).expect("small");
                let old = merkle::root(&all[..at]);
                let proof = if earlier == 0 {
                    vec![]
                } else {
                    consistency(at, &all, true)
                };
                let check =
                    |proof: &[Digest]| check_consistency((earlier, &old), (later, &new), proof);
                assert_eq!(check(&proof), Ok(()), "{earlier} {later}");
                // Any other proof, and any other root, is refused.
                let refused = Err(LogError::Inconsistent { earlier, later });
                let longer = [proof.as_slice(), &[new]].concat();
                assert_eq!(check(&longer), refused, "{earlier} {later}");
                for i in 0..proof.len() {
                    let mut bent = proof.clone();
                    bent[i] = Digest::ZERO;
                    assert_eq!(check(&bent), refused);
                    let mut shorter = proof.clone();
                    shorter.remove(i);
                    assert_eq!(check(&shorter), refused);
                }
                let lie = Digest::from_bytes([7; 32]);
                assert!(check_consistency((earlier, &lie), (later, &new), &proof).is_err());
                if earlier > 0 || later == 0 {
                    assert!(check_consistency((earlier, &old), (later, &lie), &proof).is_err());
                }
                if earlier < later {
                    assert_eq!(
                        check_consistency((later, &new), (earlier, &old), &proof),
                        Err(LogError::Shrunk {
                            earlier: later,
                            later: earlier
                        })
                    );
                }
            }
        }
    }

    #[test]
    fn proofs_lead_from_an_entry_to_a_checkpoint() {
        let log = note_key(1, LOG, NoteAlgorithm::Log);
        let all = leaves(7);
        let checkpoint = Checkpoint::new(head(7), vec![signed(1, &head(7))]);
        let none = Cosigners::NONE;
        for index in 0..7u64 {
            let at = usize::try_from(index).expect("small");
            let proof = LogProof {
                index,
                path: merkle::inclusion_path(&all, at).expect("a leaf"),
                checkpoint: checkpoint.clone(),
            };
            let text = proof.to_string();
            assert_eq!(text.parse(), Ok(proof.clone()));
            let entry = index.to_le_bytes();
            assert_eq!(proof.verify(&entry, &log, &none), Ok(vec![]));
            let missing = LogError::NotIncluded { index, size: 7 };
            assert_eq!(
                proof.verify(&9_u64.to_le_bytes(), &log, &none),
                Err(missing)
            );
            let with_extra = text.replacen("index", "extra AAAA\nindex", 1);
            assert_eq!(with_extra.parse(), Ok(proof));
        }
    }

    #[test]
    fn what_is_not_written_as_prescribed_is_refused() {
        let checkpoint = Checkpoint::new(head(3), vec![signed(1, &head(3))]);
        let text = checkpoint.to_string();
        for (from, to) in [
            ("\n3\n", "\n03\n"),
            ("\n3\n", "\n+3\n"),
            ("\n3\n", "\n3\nmore\n"),
            ("=\n\n", "\n\n"),
            ("=\n\n", "=\n"),
            ("\u{2014}", "-"),
            (LOG, ""),
            (LOG, "a\tb"),
        ] {
            let bad = text.replacen(from, to, 1);
            assert_ne!(bad, text);
            assert!(bad.parse::<Checkpoint>().is_err(), "{bad}");
        }
        assert!(text.trim_end().parse::<Checkpoint>().is_err());
        let many = text.clone() + text.lines().last().expect("a line");
        assert!(many.parse::<Checkpoint>().is_err());
        let line = format!("{}\n", text.lines().last().expect("a line"));
        let many = text.clone() + &line.repeat(SIGNATURES_MAX);
        assert!(many.parse::<Checkpoint>().is_err());
        assert!("x".repeat(NOTE_MAX_BYTES + 1).parse::<LogProof>().is_err());
    }
}
