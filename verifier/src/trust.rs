//! What a verifier starts from and what it demands: trust anchor and policy.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::encoding::{Canonical, DecodeError, Kind, Reader, write_length, write_list};
use crate::file::FileType;
use crate::genesis::{AcceptedKey, KEYS_MAX, ordered_keys, read_keys};
use crate::header::Header;
use crate::json;
use crate::message::Tag;
use crate::primitives::{Digest, TimeMs};
use crate::rule::QuorumRule;

/// Most cosigners that a policy lists.
pub const COSIGNERS_MAX: usize = 32;

/// A header taken on trust, with what a light client needs to go on from it.
///
/// The header's `next_validators` is the set that is trusted. Whoever accepts an anchor either
/// opens that set and checks its rules, or trusts the anchor's maker to have done so.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustAnchor {
    /// The whole trusted header; its digest is computed, never read.
    pub header: Header,
    /// Verifying keys that proofs may be made under, in increasing order of digest.
    #[serde(deserialize_with = "ordered_keys")]
    pub keys: Vec<AcceptedKey>,
    /// How long after a header's time its next set is still trusted, in milliseconds.
    #[serde(with = "json::decimal")]
    pub trusting_period_ms: u64,
    /// How far a header's time may lie ahead of the client's clock, in milliseconds.
    pub clock_drift_ms: u32,
    /// When the anchor was made.
    pub made_at: TimeMs,
}

impl TrustAnchor {
    /// A digest over the whole anchor, to be compared by telephone.
    pub fn digest(&self) -> Digest {
        Tag::ANCHOR.digest(&self.to_bytes())
    }
}

/// An Ed25519 key of a log or cosigner. Not a vote key, and not held to its rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogKey(#[serde(with = "json::hex_bytes")] pub [u8; 32]);

/// `threshold` of these cosigners must have signed a log checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "CosignersJson", into = "CosignersJson")]
pub struct Cosigners {
    threshold: u16,
    keys: Vec<LogKey>,
}

/// Why a cosigner rule is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CosignersError {
    /// More signatures asked for than there are keys.
    #[error("{threshold} cosigners of {listed} can never sign")]
    Threshold {
        /// Signatures asked for.
        threshold: u16,
        /// Keys listed.
        listed: usize,
    },
    /// Too many, repeated or unordered keys.
    #[error("at most 32 cosigner keys are listed, once each, in increasing order")]
    Keys,
}

impl Cosigners {
    /// None asked for.
    pub const NONE: Self = Self {
        threshold: 0,
        keys: Vec::new(),
    };

    /// `threshold` of `keys`.
    ///
    /// # Errors
    /// [`CosignersError`].
    pub fn new(threshold: u16, keys: Vec<LogKey>) -> Result<Self, CosignersError> {
        if keys.len() > COSIGNERS_MAX || !keys.windows(2).all(|pair| pair[0] < pair[1]) {
            return Err(CosignersError::Keys);
        }
        if usize::from(threshold) > keys.len() {
            return Err(CosignersError::Threshold {
                threshold,
                listed: keys.len(),
            });
        }
        Ok(Self { threshold, keys })
    }

    /// How many must have signed.
    pub fn threshold(&self) -> u16 {
        self.threshold
    }

    /// Of whom, in increasing order.
    pub fn keys(&self) -> &[LogKey] {
        &self.keys
    }
}

/// What a verifier demands. Nothing of it is ever taken from the file that is checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Where trust starts.
    pub anchor: TrustAnchor,
    /// The rule that a proof must show.
    pub rule: QuorumRule,
    /// Verifying keys that are accepted, in increasing order of digest.
    #[serde(deserialize_with = "ordered_keys")]
    pub keys: Vec<AcceptedKey>,
    /// Key of the finality log, when inclusion is demanded.
    pub log_key: Option<LogKey>,
    /// Cosigners of the log.
    pub cosigners: Cosigners,
    /// Whether keys made by one party are accepted.
    pub development_keys: bool,
}

impl Canonical for TrustAnchor {
    fn write(&self, out: &mut Vec<u8>) {
        self.header.write(out);
        write_list(out, &self.keys);
        out.extend_from_slice(&self.trusting_period_ms.to_le_bytes());
        out.extend_from_slice(&self.clock_drift_ms.to_le_bytes());
        self.made_at.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            header: Header::read(input)?,
            keys: read_keys(input)?,
            trusting_period_ms: input.u64("trusting period")?,
            clock_drift_ms: input.u32("clock drift")?,
            made_at: TimeMs::read(input)?,
        })
    }
}

impl FileType for TrustAnchor {
    const KIND: Kind = Kind::TrustAnchor;
    const MAX_BYTES: usize = Header::MAX_BYTES + 2 + KEYS_MAX * 34 + 20;
}

impl Canonical for LogKey {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.array("log key").map(Self)
    }
}

impl Canonical for Cosigners {
    fn write(&self, out: &mut Vec<u8>) {
        write_length(out, usize::from(self.threshold));
        write_list(out, &self.keys);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let threshold = input.u16("cosigner threshold")?;
        let keys = input.list("cosigners", COSIGNERS_MAX, LogKey::read)?;
        Self::new(threshold, keys).map_err(|e| DecodeError::rule("cosigners", e))
    }
}

impl Canonical for Policy {
    fn write(&self, out: &mut Vec<u8>) {
        self.anchor.write(out);
        self.rule.write(out);
        write_list(out, &self.keys);
        out.push(u8::from(self.log_key.is_some()));
        if let Some(key) = &self.log_key {
            key.write(out);
        }
        self.cosigners.write(out);
        out.push(u8::from(self.development_keys));
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            anchor: TrustAnchor::read(input)?,
            rule: QuorumRule::read(input)?,
            keys: read_keys(input)?,
            log_key: if input.flag("log key")? {
                Some(LogKey::read(input)?)
            } else {
                None
            },
            cosigners: Cosigners::read(input)?,
            development_keys: input.flag("development keys")?,
        })
    }
}

impl FileType for Policy {
    const KIND: Kind = Kind::Policy;
    const MAX_BYTES: usize =
        TrustAnchor::MAX_BYTES + 8 + 2 + KEYS_MAX * 34 + 33 + 4 + COSIGNERS_MAX * 32 + 1;
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CosignersJson {
    threshold: u16,
    keys: Vec<LogKey>,
}

impl TryFrom<CosignersJson> for Cosigners {
    type Error = String;
    fn try_from(json: CosignersJson) -> Result<Self, String> {
        Self::new(json.threshold, json.keys).map_err(|e| alloc::format!("{e}"))
    }
}

impl From<Cosigners> for CosignersJson {
    fn from(cosigners: Cosigners) -> Self {
        Self {
            threshold: cosigners.threshold,
            keys: cosigners.keys,
        }
    }
}
