//! Signing votes, with a memory of its own.
//!
//! The mark file remembers the last votes that were signed, apart from the vote log: a vote in a
//! slot below the mark is signed only if it is the very vote that was signed there before. So a
//! log that lost its end, or an old copy of it, cannot make this machine vote twice. The file is
//! durable before a signature is handed out.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ed25519_dalek::Signer as _;
use quorate_pbft::ballot::{Ballot, ReportBody, Slot};
use quorate_verifier::encoding::{Canonical, DecodeError, Reader, write_length};
use quorate_verifier::primitives::Digest;
use quorate_verifier::signature::{Signature, VoteKey};
use sha2::{Digest as _, Sha256};

use super::disk;

/// Why a vote is not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Below the mark, and too old to be remembered.
    #[error("the slot is below the mark and its vote is not remembered")]
    Forgotten,
    /// Another vote was signed in this slot.
    #[error("another vote was signed in this slot")]
    Conflict,
}

/// Why no vote can be signed any more.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The mark file could not be read or written.
    #[error("the signer's mark {}: {error}", path.display())]
    Device {
        /// Which file.
        path: PathBuf,
        /// What the device says.
        error: io::Error,
    },
    /// Neither half of the mark file is whole.
    #[error(
        "the signer's mark {} is damaged: move it away, and the node rejoins without it",
        .0.display()
    )]
    Damaged(PathBuf),
    /// The file belongs to another key or chain.
    #[error("the signer's mark {} is of another {what}", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// `key` or `chain`.
        what: &'static str,
    },
}

/// What a machine knows of its past when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Past {
    /// The operator has said that this key has never voted.
    Fresh = 0,
    /// The mark was lost or never made: it may have voted, so it has to rejoin first.
    Unknown = 1,
    /// It has voted, and remembers where.
    Voted = 2,
}

/// Signs for one validator.
pub trait Signer: Send {
    /// Whose votes.
    fn key(&self) -> &VoteKey;

    /// The highest slot that was signed in.
    fn mark(&self) -> Option<Slot>;

    /// What it knew of the key's past at its start.
    fn past(&self) -> Past;

    /// Signs votes, each alone refused or not; what was signed is remembered before the answer.
    ///
    /// # Errors
    /// [`SignerError`]; nothing was signed then, and nothing will be.
    fn sign(
        &mut self,
        chain: &Digest,
        ballots: &[Ballot],
    ) -> Result<Vec<Result<Signature, Refused>>, SignerError>;

    /// Signs a status report, which is no vote.
    fn report(&self, chain: &Digest, body: &ReportBody) -> Signature;
}

/// Votes that are remembered one by one; those before are known by the mark alone.
const REMEMBERED: usize = 64;
/// Each half of the file, so that a torn write spoils one of them only.
const HALF_BYTES: usize = 4096;
const HEADER: [u8; 9] = *b"QUORATEM\x01";
const CHECK_BYTES: usize = 16;

/// A key in this process and its mark in a file.
pub struct FileSigner {
    secret: ed25519_dalek::SigningKey,
    key: VoteKey,
    path: PathBuf,
    file: File,
    memory: Memory,
    past: Past,
    broken: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Memory {
    chain: Digest,
    key: [u8; 32],
    sequence: u64,
    past: Past,
    /// Oldest first, slots strictly increasing.
    votes: Vec<(Slot, Digest)>,
}

impl FileSigner {
    /// Opens the mark, or makes it. Without `fresh` a new mark says that the past is unknown.
    ///
    /// # Errors
    /// [`SignerError`]; with `fresh` also when there is a mark already.
    pub fn open(
        secret: ed25519_dalek::SigningKey,
        chain: Digest,
        path: &Path,
        fresh: bool,
    ) -> Result<Self, SignerError> {
        let device = |error| SignerError::Device {
            path: path.into(),
            error,
        };
        let key = VoteKey::from_bytes(secret.verifying_key().as_bytes())
            .expect("a clamped multiple of the base point has prime order");
        let exists = path.try_exists().map_err(device)?;
        if exists && fresh {
            return Err(device(io::Error::from(io::ErrorKind::AlreadyExists)));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(!exists);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(device)?;
        let memory = if exists {
            read_memory(&file, path)?
        } else {
            Memory {
                chain,
                key: *key.as_bytes(),
                sequence: 0,
                past: if fresh { Past::Fresh } else { Past::Unknown },
                votes: Vec::new(),
            }
        };
        let foreign = |what| SignerError::Foreign {
            path: path.into(),
            what,
        };
        if memory.key != *key.as_bytes() {
            return Err(foreign("key"));
        }
        if memory.chain != chain {
            return Err(foreign("chain"));
        }
        let mut signer = Self {
            secret,
            key,
            path: path.into(),
            file,
            past: memory.past,
            memory,
            broken: false,
        };
        if !exists {
            signer.write()?;
            let directory = path.parent().unwrap_or(Path::new("."));
            disk::sync(directory).map_err(device)?;
        }
        Ok(signer)
    }

    fn write(&mut self) -> Result<(), SignerError> {
        self.memory.sequence += 1;
        let half = encode(&self.memory);
        let offset = (self.memory.sequence % 2) * HALF_BYTES as u64;
        let written = self
            .file
            .write_all_at(&half, offset)
            .and_then(|()| self.file.sync_data());
        written.map_err(|error| {
            self.broken = true;
            SignerError::Device {
                path: self.path.clone(),
                error,
            }
        })
    }

    /// Whether the vote may be signed, and whether it is new.
    fn judge(&self, slot: Slot, digest: &Digest) -> Result<bool, Refused> {
        match self.memory.votes.iter().find(|(known, _)| *known == slot) {
            Some((_, known)) if known == digest => Ok(false),
            Some(_) => Err(Refused::Conflict),
            None if self.mark() > Some(slot) => Err(Refused::Forgotten),
            None => Ok(true),
        }
    }
}

impl Signer for FileSigner {
    fn key(&self) -> &VoteKey {
        &self.key
    }

    fn mark(&self) -> Option<Slot> {
        self.memory.votes.last().map(|(slot, _)| *slot)
    }

    fn past(&self) -> Past {
        self.past
    }

    fn sign(
        &mut self,
        chain: &Digest,
        ballots: &[Ballot],
    ) -> Result<Vec<Result<Signature, Refused>>, SignerError> {
        if self.broken {
            return Err(SignerError::Device {
                path: self.path.clone(),
                error: io::Error::other("an earlier write failed"),
            });
        }
        let (mut answers, mut news) = (Vec::with_capacity(ballots.len()), false);
        for ballot in ballots {
            let bytes = ballot.signed_bytes(chain);
            let digest = Digest::from_bytes(Sha256::digest(&bytes).into());
            let judged = self.judge(ballot.slot, &digest);
            if judged == Ok(true) {
                news = true;
                self.memory.votes.push((ballot.slot, digest));
                if self.memory.votes.len() > REMEMBERED {
                    self.memory.votes.remove(0);
                }
            }
            answers.push(judged.map(|_| bytes));
        }
        if news {
            self.memory.past = Past::Voted;
            self.write()?;
        }
        let sign = |bytes: Vec<u8>| Signature::from_bytes(self.secret.sign(&bytes).to_bytes());
        Ok(answers.into_iter().map(|answer| answer.map(sign)).collect())
    }

    fn report(&self, chain: &Digest, body: &ReportBody) -> Signature {
        Signature::from_bytes(self.secret.sign(&body.signed_bytes(chain)).to_bytes())
    }
}

fn encode(memory: &Memory) -> Vec<u8> {
    let mut half = HEADER.to_vec();
    half.extend_from_slice(&memory.sequence.to_le_bytes());
    memory.chain.write(&mut half);
    half.extend_from_slice(&memory.key);
    half.push(memory.past as u8);
    write_length(&mut half, memory.votes.len());
    for (slot, digest) in &memory.votes {
        slot.write(&mut half);
        digest.write(&mut half);
    }
    let check = Sha256::digest(&half);
    half.extend_from_slice(&check[..CHECK_BYTES]);
    assert!(half.len() <= HALF_BYTES, "64 votes fit");
    half.resize(HALF_BYTES, 0);
    half
}

fn decode(half: &[u8]) -> Result<Memory, DecodeError> {
    let mut input = Reader::new(half);
    if input.array::<9>("header")? != HEADER {
        return Err(DecodeError::Magic);
    }
    let sequence = input.u64("sequence")?;
    let chain = Digest::read(&mut input)?;
    let key = input.array("key")?;
    let past = match input.u8("past")? {
        0 => Past::Fresh,
        1 => Past::Unknown,
        2 => Past::Voted,
        byte => return Err(DecodeError::rule("past", format!("0 to 2, not {byte}"))),
    };
    let votes = input.list("votes", REMEMBERED, |input| {
        Ok((Slot::read(input)?, Digest::read(input)?))
    })?;
    let body = half.len() - input.left();
    let check: [u8; CHECK_BYTES] = input.array("check")?;
    if Sha256::digest(&half[..body])[..CHECK_BYTES] != check {
        return Err(DecodeError::rule(
            "check",
            "it is the hash of what is before",
        ));
    }
    Ok(Memory {
        chain,
        key,
        sequence,
        past,
        votes,
    })
}

/// The later half that is whole: a write that was torn had not been answered.
fn read_memory(file: &File, path: &Path) -> Result<Memory, SignerError> {
    let mut best: Option<Memory> = None;
    for offset in [0, HALF_BYTES as u64] {
        let mut half = vec![0; HALF_BYTES];
        match file.read_exact_at(&mut half, offset) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
            Err(error) => {
                let path = path.into();
                return Err(SignerError::Device { path, error });
            }
        }
        let Ok(memory) = decode(&half) else { continue };
        if best.as_ref().is_none_or(|b| b.sequence < memory.sequence) {
            best = Some(memory);
        }
    }
    best.ok_or_else(|| SignerError::Damaged(path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;
    use quorate_pbft::ballot::Step;
    use quorate_verifier::primitives::{Height, View};
    use quorate_verifier::signature::verify_strict;

    const CHAIN: Digest = Digest::from_bytes([3; 32]);

    fn ballot(height: u64, view: u64, step: Step, block: u8) -> Ballot {
        let block = Digest::from_bytes([block; 32]);
        Ballot::block(step, Height::new(height), View::new(view), block)
    }

    fn secret() -> SigningKey {
        SigningKey::from_bytes(&[5; 32])
    }

    fn open(path: &Path) -> FileSigner {
        FileSigner::open(secret(), CHAIN, path, false).expect("a good file")
    }

    fn one(signer: &mut FileSigner, ballot: Ballot) -> Result<Signature, Refused> {
        signer.sign(&CHAIN, &[ballot]).expect("a good disk")[0]
    }

    #[test]
    fn a_slot_is_signed_once_across_restarts() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("mark");
        let mut signer = FileSigner::open(secret(), CHAIN, &path, true).expect("a new file");
        assert_eq!(signer.past(), Past::Fresh);
        let prepare = ballot(1, 0, Step::Prepare, 1);
        let signature = one(&mut signer, prepare).expect("nothing was signed before");
        let key = signer.key().clone();
        assert!(verify_strict(&key, &prepare.signed_bytes(&CHAIN), &signature).is_ok());
        drop(signer);

        let mut signer = open(&path);
        assert_eq!(signer.past(), Past::Voted);
        assert_eq!(signer.mark(), Some(prepare.slot));
        assert_eq!(
            one(&mut signer, prepare),
            Ok(signature),
            "the same vote again"
        );
        let other = ballot(1, 0, Step::Prepare, 2);
        assert_eq!(one(&mut signer, other), Err(Refused::Conflict));
        let earlier = ballot(1, 0, Step::PrePrepare, 1);
        assert_eq!(one(&mut signer, earlier), Err(Refused::Forgotten));
        let both = [ballot(1, 0, Step::Commit, 1), ballot(1, 0, Step::Commit, 2)];
        let answers = signer.sign(&CHAIN, &both).expect("a good disk");
        assert!(answers[0].is_ok());
        assert_eq!(answers[1], Err(Refused::Conflict), "within one batch too");
    }

    #[test]
    fn votes_are_forgotten_but_never_the_mark() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("mark");
        let mut signer = FileSigner::open(secret(), CHAIN, &path, true).expect("a new file");
        for height in 1..=200 {
            one(&mut signer, ballot(height, 0, Step::Prepare, 1)).expect("slots grow");
        }
        let mut signer = open(&path);
        let first = ballot(1, 0, Step::Prepare, 1);
        assert_eq!(one(&mut signer, first), Err(Refused::Forgotten));
        assert!(one(&mut signer, ballot(200, 0, Step::Prepare, 1)).is_ok());
    }

    #[test]
    fn a_torn_write_costs_one_vote_at_most_and_damage_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("mark");
        let mut signer = FileSigner::open(secret(), CHAIN, &path, true).expect("a new file");
        for height in 1..=4 {
            one(&mut signer, ballot(height, 0, Step::Prepare, 1)).expect("slots grow");
        }
        drop(signer);
        let good = std::fs::read(&path).expect("the file");
        let newest = usize::from(decode(&good[HALF_BYTES..]).expect("whole").sequence == 5);
        for at in [0, 9, 30, 100, 200] {
            let mut bytes = good.clone();
            bytes[newest * HALF_BYTES + at] ^= 1;
            std::fs::write(&path, &bytes).expect("a good disk");
            assert_eq!(open(&path).mark().map(|s| s.height), Some(Height::new(3)));
            bytes[(1 - newest) * HALF_BYTES + at] ^= 1;
            std::fs::write(&path, &bytes).expect("a good disk");
            let refused = FileSigner::open(secret(), CHAIN, &path, false);
            assert!(matches!(refused, Err(SignerError::Damaged(_))), "byte {at}");
        }
    }

    #[test]
    fn another_keys_or_chains_mark_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("mark");
        assert_eq!(open(&path).past(), Past::Unknown);
        let other = SigningKey::from_bytes(&[6; 32]);
        let refused = FileSigner::open(other, CHAIN, &path, false);
        assert!(matches!(
            refused,
            Err(SignerError::Foreign { what: "key", .. })
        ));
        let refused = FileSigner::open(secret(), Digest::ZERO, &path, false);
        assert!(matches!(
            refused,
            Err(SignerError::Foreign { what: "chain", .. })
        ));
        let refused = FileSigner::open(secret(), CHAIN, &path, true);
        assert!(
            matches!(refused, Err(SignerError::Device { .. })),
            "not fresh any more"
        );
    }
}
