//! The access log: what is written into it, and when.
//!
//! Every privileged read is an entry before it is answered, every act before it is carried out.
//! Tokens are made and revoked by a command, which has no key of the log: it leaves word in the
//! file of tokens, and the service writes that down before anything else, each act once.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::log::{LogSigner, LogStoreError};
use super::service::{Service, lock, now_ms};
use super::store::StoreError;
use super::tokens::{TokenAct, TokenError, Tokens};

/// The kind of every entry.
pub const ENTRY_TYPE: &str = "quorate/access-entry/v1";
const MARK: &str = "access/token-acts";

/// Why something was not recorded, and so was not done.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogStoreError),
    /// The file of tokens.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which acts are in the log. Set before they are appended: whether they were, the log's size says.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Mark {
    /// Number of the last act that was in the log before.
    logged: u64,
    /// Number of the last act of this batch.
    batch: u64,
    /// Entries of the log with this batch.
    size: u64,
}

impl Service {
    /// Appends to the access log, after what was done to tokens. Whoever reads what is privileged
    /// waits for this first.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn record(&self, tokens: &Tokens, entry: &Value) -> Result<(), RecordError> {
        self.record_token_acts(tokens)?;
        Ok(lock(&self.access).extend(&[bytes(entry)])?)
    }

    /// Appends what was done to tokens since. Answers how many entries that is.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn record_token_acts(&self, tokens: &Tokens) -> Result<usize, RecordError> {
        let acts = tokens.acts()?;
        if acts.is_empty() {
            return Ok(0);
        }
        let mut log = lock(&self.access);
        let mark = self.store().value(MARK)?;
        let mark: Mark = mark
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let logged = if log.size() >= mark.size {
            mark.batch
        } else {
            mark.logged
        };
        let new: Vec<_> = acts.iter().filter(|act| act.number > logged).collect();
        if let Some(last) = new.last() {
            let mark = Mark {
                logged,
                batch: last.number,
                size: log.size() + new.len() as u64,
            };
            self.store().set_value(MARK, &bytes(&json!(mark)))?;
            let entries: Vec<_> = new.iter().map(|act| bytes(&entry(act))).collect();
            log.extend(&entries)?;
        }
        let last = acts.last().map_or(0, |act| act.number);
        tokens.forget_acts(last)?;
        Ok(new.len())
    }

    /// Hands the finality log over to another key, which is an entry of the access log first.
    ///
    /// # Errors
    /// [`LogStoreError`].
    pub fn hand_over_finality(&self, signer: LogSigner) -> Result<(), LogStoreError> {
        let mut log = lock(&self.finality);
        log.check_unused(&signer)?;
        self.record_key(&signer)?;
        log.hand_over(signer)
    }

    /// Hands this log over to another key, which is its old key's last entry.
    ///
    /// # Errors
    /// [`LogStoreError`].
    pub fn hand_over_access(&self, signer: LogSigner) -> Result<(), LogStoreError> {
        lock(&self.access).check_unused(&signer)?;
        self.record_key(&signer)?;
        lock(&self.access).hand_over(signer)
    }

    fn record_key(&self, signer: &LogSigner) -> Result<(), LogStoreError> {
        let key = signer.public();
        let more = json!({"log": key.name(), "vkey": key.to_string()});
        self.record_act("rotate-key", more)
    }

    /// Appends an act of the operator's own configuration, such as a deletion.
    ///
    /// # Errors
    /// [`LogStoreError`].
    pub(super) fn record_act(&self, act: &str, more: Value) -> Result<(), LogStoreError> {
        let mut entry = json!({
            "type": ENTRY_TYPE,
            "at": super::http::time(now_ms()),
            "act": act,
        });
        if let (Value::Object(entry), Value::Object(more)) = (&mut entry, more) {
            entry.extend(more);
        }
        lock(&self.access).extend(&[bytes(&entry)])
    }
}

fn entry(act: &TokenAct) -> Value {
    json!({
        "type": ENTRY_TYPE,
        "at": super::http::time(act.at),
        "act": format!("token-{}", act.act),
        "token": act.id,
        "role": act.role.word(),
        "label": act.label,
    })
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("an entry has string keys only")
}
