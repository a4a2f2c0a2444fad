//! Bearer tokens: who may read what is not public. Only their hashes are stored.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use quorate_verifier::json;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::disk::{self, Access};

/// Most tokens in a file.
pub const TOKENS_MAX: usize = 1000;
/// Most acts that wait for a service to write them into its log.
const ACTS_MAX: usize = 1000;
const TYPE: &str = "quorate/tokens/v1";
const FILE_MAX_BYTES: usize = 1 << 20;
/// Uses are written down at most this often.
const USE_INTERVAL_MS: u64 = 10_000;

/// What the bearer of a token may do; each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reads the access log, and asks for proofs.
    Auditor,
    /// The same, for an authority.
    Regulator,
    /// Runs the service: jobs, workers, phases. Learns who signed.
    Operator,
}

impl Role {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auditor => "auditor",
            Self::Regulator => "regulator",
            Self::Operator => "operator",
        }
    }
}

/// A token as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// Eight bytes in hex that name it: part of the token, no secret.
    pub id: String,
    /// SHA-256 of its secret, in hex.
    pub hash: String,
    /// What it allows.
    pub role: Role,
    /// Whom it was given to, in the operator's words.
    pub label: String,
    /// When it was made, in milliseconds since 1970.
    #[serde(with = "json::decimal")]
    pub created_at: u64,
    /// When it ends, in milliseconds since 1970.
    #[serde(with = "json::decimal")]
    pub expires_at: u64,
}

/// Something that was done to a token, until it is an entry of the access log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenAct {
    /// Counts all that was ever done, from 1.
    #[serde(with = "json::decimal")]
    pub number: u64,
    /// `create` or `revoke`.
    pub act: String,
    /// The token.
    pub id: String,
    /// What it allows.
    pub role: Role,
    /// Whom it is for.
    pub label: String,
    /// When, in milliseconds since 1970.
    #[serde(with = "json::decimal")]
    pub at: u64,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenFile {
    r#type: String,
    tokens: Vec<TokenRecord>,
    /// What the service has not written into its log yet.
    #[serde(default)]
    acts: Vec<TokenAct>,
    /// Number of the last act.
    #[serde(default, with = "json::decimal")]
    acted: u64,
}

impl TokenFile {
    fn act(&mut self, act: &str, token: &TokenRecord, at: u64) {
        self.acted += 1;
        self.acts.push(TokenAct {
            number: self.acted,
            act: act.into(),
            id: token.id.clone(),
            role: token.role,
            label: token.label.clone(),
            at,
        });
    }
}

/// The file of tokens in a service's directory. Commands change it, the service reads it again
/// when it changed.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    uses: PathBuf,
    state: Mutex<State>,
}

/// Time, length and place of a file.
type Version = (SystemTime, u64, u64);

#[derive(Debug, Default)]
struct State {
    read_at: Option<Version>,
    tokens: BTreeMap<String, TokenRecord>,
    last_use: BTreeMap<String, u64>,
    uses_written_at: u64,
    /// The file as it was when no act was left in it.
    quiet_at: Option<Version>,
}

/// Why a token was not made or revoked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The disk, or a damaged file.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: String,
        /// What happened.
        error: io::Error,
    },
    /// The operating system gave no random bytes.
    #[error("no randomness from the operating system: {0}")]
    Randomness(getrandom::Error),
    /// No such token.
    #[error("there is no token {0}")]
    Unknown(String),
    /// Too many.
    #[error(
        "there are {TOKENS_MAX} tokens already, or as many changes that no service has written into \
         its log: revoke some, or start the service"
    )]
    Full,
}

impl Tokens {
    /// The tokens of the service in this directory.
    pub fn at(data: &Path) -> Self {
        Self {
            path: data.join("tokens.json"),
            uses: data.join("token-use.json"),
            state: Mutex::default(),
        }
    }

    /// Makes a token and answers it: the only time that it is seen.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn create(
        &self,
        role: Role,
        label: &str,
        now: u64,
        lifetime_ms: u64,
    ) -> Result<(TokenRecord, String), TokenError> {
        let _lock = self.lock()?;
        let mut file = self.read()?;
        if file.tokens.len() >= TOKENS_MAX || file.acts.len() >= ACTS_MAX {
            return Err(TokenError::Full);
        }
        let (mut id, mut secret) = ([0; 8], [0; 32]);
        getrandom::fill(&mut id).map_err(TokenError::Randomness)?;
        getrandom::fill(&mut secret).map_err(TokenError::Randomness)?;
        let (id, secret) = (hex::encode(id), hex::encode(secret));
        let record = TokenRecord {
            hash: hash(&secret),
            role,
            label: label.into(),
            created_at: now,
            expires_at: now.saturating_add(lifetime_ms),
            id: id.clone(),
        };
        file.tokens.push(record.clone());
        file.act("create", &record, now);
        self.write(file)?;
        Ok((record, format!("qrt_{id}_{secret}")))
    }

    /// Every token, with its last use in milliseconds since 1970.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn list(&self) -> Result<Vec<(TokenRecord, Option<u64>)>, TokenError> {
        let uses = self.read_uses()?;
        let used = |token: TokenRecord| {
            let at = uses.get(&token.id).copied();
            (token, at)
        };
        Ok(self.read()?.tokens.into_iter().map(used).collect())
    }

    /// Ends a token at once.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn revoke(&self, id: &str, now: u64) -> Result<TokenRecord, TokenError> {
        let _lock = self.lock()?;
        let mut file = self.read()?;
        let place = file.tokens.iter().position(|token| token.id == id);
        let place = place.ok_or_else(|| TokenError::Unknown(id.into()))?;
        let gone = file.tokens.remove(place);
        file.act("revoke", &gone, now);
        self.write(file)?;
        Ok(gone)
    }

    /// What was done to tokens and is in no log yet.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn acts(&self) -> Result<Vec<TokenAct>, TokenError> {
        let changed = self.changed();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if changed.is_some() && state.quiet_at == changed {
            return Ok(Vec::new());
        }
        let acts = self.read()?.acts;
        state.quiet_at = changed.filter(|_| acts.is_empty());
        Ok(acts)
    }

    /// Forgets acts up to a number: they are in the log.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn forget_acts(&self, number: u64) -> Result<(), TokenError> {
        let _lock = self.lock()?;
        let mut file = self.read()?;
        file.acts.retain(|act| act.number > number);
        self.write(file)
    }

    /// Tells one version of the file from another: each is a file of its own.
    fn changed(&self) -> Option<Version> {
        let meta = fs::metadata(&self.path).ok()?;
        #[cfg(unix)]
        let place = std::os::unix::fs::MetadataExt::ino(&meta);
        #[cfg(not(unix))]
        let place = 0;
        Some((meta.modified().ok()?, meta.len(), place))
    }

    /// The record of a token that is good now. `None` says nothing of why not.
    ///
    /// # Errors
    /// [`TokenError`] when the file cannot be read.
    pub fn check(&self, token: &str, now: u64) -> Result<Option<TokenRecord>, TokenError> {
        let parts = token
            .strip_prefix("qrt_")
            .and_then(|rest| rest.split_once('_'));
        let Some((id, secret)) = parts else {
            return Ok(None);
        };
        let changed = self.changed();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.read_at != changed || changed.is_none() {
            let tokens = self.read()?.tokens.into_iter();
            state.tokens = tokens.map(|token| (token.id.clone(), token)).collect();
            state.read_at = changed;
        }
        // Hashes of secrets with 256 random bits: comparing them tells nothing of the secret.
        let found = state.tokens.get(id);
        let good = found.filter(|t| t.hash == hash(secret) && t.expires_at > now);
        let Some(record) = good.cloned() else {
            return Ok(None);
        };
        state.last_use.insert(record.id.clone(), now);
        if now.saturating_sub(state.uses_written_at) >= USE_INTERVAL_MS {
            state.uses_written_at = now;
            let mut uses = self.read_uses()?;
            uses.extend(state.last_use.clone());
            uses.retain(|id, _| state.tokens.contains_key(id));
            let text = serde_json::to_vec(&uses).map_err(io::Error::other);
            text.and_then(|text| disk::write(&self.uses, &text, Access::Private))
                .map_err(|error| failed(&self.uses, error))?;
        }
        Ok(Some(record))
    }

    /// One process at a time changes the file. It takes a moment, so others wait for it.
    fn lock(&self) -> Result<fs::File, TokenError> {
        let dir = self.path.with_extension("lock");
        let mut attempts = 0;
        loop {
            match disk::lock(&dir) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && attempts < 50 => {
                    attempts += 1;
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                locked => return locked.map_err(|error| failed(&dir, error)),
            }
        }
    }

    fn read(&self) -> Result<TokenFile, TokenError> {
        let bytes = disk::read(&self.path, FILE_MAX_BYTES).map_err(|e| failed(&self.path, e))?;
        let Some(bytes) = bytes else {
            return Ok(TokenFile::default());
        };
        let file: TokenFile =
            serde_json::from_slice(&bytes).map_err(|e| failed(&self.path, e.into()))?;
        if file.r#type != TYPE {
            let what = io::Error::new(io::ErrorKind::InvalidData, "not a file of tokens");
            return Err(failed(&self.path, what));
        }
        Ok(file)
    }

    fn write(&self, file: TokenFile) -> Result<(), TokenError> {
        let file = TokenFile {
            r#type: TYPE.into(),
            ..file
        };
        let text = serde_json::to_vec_pretty(&file).map_err(io::Error::other);
        text.and_then(|text| disk::write(&self.path, &text, Access::Private))
            .map_err(|error| failed(&self.path, error))
    }

    fn read_uses(&self) -> Result<BTreeMap<String, u64>, TokenError> {
        let bytes = disk::read(&self.uses, FILE_MAX_BYTES).map_err(|e| failed(&self.uses, e))?;
        let uses = bytes
            .map(|bytes| serde_json::from_slice(&bytes))
            .transpose();
        Ok(uses
            .map_err(|error| failed(&self.uses, error.into()))?
            .unwrap_or_default())
    }
}

fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

fn failed(path: &Path, error: io::Error) -> TokenError {
    TokenError::Io {
        path: path.display().to_string(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_made_checked_revoked_and_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let tokens = Tokens::at(dir.path());
        let (record, token) = tokens
            .create(Role::Auditor, "the auditor", 1000, 500)
            .expect("made");
        let stored = fs::read_to_string(dir.path().join("tokens.json")).expect("a file");
        let secret = token.rsplit('_').next().expect("a part");
        assert!(!stored.contains(secret), "only the hash is stored");
        assert_eq!(
            tokens.check(&token, 1499).expect("read"),
            Some(record.clone())
        );
        assert_eq!(tokens.check(&token, 1500).expect("read"), None, "ended");
        let forged = token.replace(secret, &"0".repeat(64));
        for bad in ["", "qrt_", &forged, &token[1..], &record.hash] {
            assert_eq!(tokens.check(bad, 1000).expect("read"), None, "{bad}");
        }
        let (second, _) = tokens
            .create(Role::Operator, "me", 1000, 500)
            .expect("made");
        let list = tokens.list().expect("read");
        assert_eq!(list[0].0, record);
        assert_eq!(list[1], (second, None));
        tokens.revoke(&record.id, 1200).expect("there");
        // Another process's view of the same file.
        assert_eq!(
            Tokens::at(dir.path()).check(&token, 1000).expect("read"),
            None
        );
        assert!(matches!(
            tokens.revoke(&record.id, 1200),
            Err(TokenError::Unknown(_))
        ));
        // All of it waits for the log, until that has it.
        let acts = tokens.acts().expect("read");
        let told = |act: &TokenAct| (act.number, act.act.clone(), act.id.clone());
        let done: Vec<_> = acts.iter().map(told).collect();
        assert_eq!(done[0], (1, "create".into(), record.id.clone()));
        assert_eq!(done[2], (3, "revoke".into(), record.id.clone()));
        tokens.forget_acts(2).expect("written");
        assert_eq!(tokens.acts().expect("read").len(), 1);
        tokens.forget_acts(3).expect("written");
        assert!(tokens.acts().expect("read").is_empty());
        tokens
            .create(Role::Auditor, "third", 1300, 1)
            .expect("made");
        assert_eq!(tokens.acts().expect("read")[0].number, 4, "numbers go on");
        assert!(Role::Auditor < Role::Regulator && Role::Regulator < Role::Operator);
    }
}
