//! Making a pack.

use std::collections::BTreeMap;

use quorate_verifier::attestation::Attestation;
use quorate_verifier::file::FileType;
use quorate_verifier::header::Header;
use quorate_verifier::primitives::ChainId;
use quorate_verifier::proof::VerifyingKey;
use quorate_verifier::tlog::LogProof;
use sha2::{Digest as _, Sha256};

use super::report::{self, Range};
use super::{CSV, Listed, MANIFEST, Manifest, README, REPORT, TYPE, VERIFIER, archive, words};
use crate::attest::http::verify_html;

/// What a pack is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The chain.
    pub chain: ChainId,
    /// The first height.
    pub from: u64,
    /// The last height that is asked for.
    pub to: u64,
    /// Every header from the first height to the one whose proof covers the last.
    pub headers: Vec<Header>,
    /// That proof, and those that lead to its set from the anchor.
    pub proofs: Vec<Attestation>,
    /// Light forms of the keys.
    pub keys: Vec<VerifyingKey>,
    /// The way of each height into the log, from the first to the last.
    pub log: Vec<LogProof>,
}

/// Why there is no pack: something is missing of what it takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no pack can be made of this: {0}")]
pub struct BuildError(pub String);

impl Parts {
    /// The archive: the same bytes for the same parts.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn archive(&self) -> Result<Vec<u8>, BuildError> {
        let wrong = |what: String| Err(BuildError(what));
        let heights = self.headers.iter().map(|header| header.height.get());
        let Some(proved) = heights.clone().next_back().filter(|last| *last >= self.to) else {
            return wrong(format!("no header of height {}", self.to));
        };
        if !heights.eq(self.from..=proved) || self.from > self.to {
            return wrong("the headers do not follow each other".into());
        }
        let count = usize::try_from(self.to - self.from + 1).unwrap_or(usize::MAX);
        if self.log.len() != count {
            return wrong(format!(
                "{} ways into the log for {count} heights",
                self.log.len()
            ));
        }
        let mut files = BTreeMap::new();
        for header in &self.headers {
            files.insert(header_name(header.height.get()), header.to_file());
        }
        for proof in &self.proofs {
            files.insert(proof_name(proof.header.height.get()), proof.to_file());
        }
        if !files.contains_key(&proof_name(proved)) {
            return wrong(format!("no proof of height {proved}"));
        }
        for key in &self.keys {
            files.insert(format!("keys/{}.vk", key.digest()), key.to_file());
        }
        for (height, way) in (self.from..).zip(&self.log) {
            files.insert(log_name(height), way.to_string().into_bytes());
        }
        let range = Range {
            chain: self.chain.as_str(),
            headers: &self.headers[..count],
            proved,
        };
        files.insert(CSV.into(), report::csv(range));
        files.insert(REPORT.into(), report::json(range));
        files.insert(README.into(), words(self.from, self.to, proved).into());
        files.insert(VERIFIER.into(), verify_html().as_bytes().to_vec());
        let listed = |(name, bytes): (&String, &Vec<u8>)| Listed {
            bytes: bytes.len(),
            name: name.clone(),
            sha256: hex::encode(Sha256::digest(bytes)),
        };
        let manifest = Manifest {
            chain: self.chain.to_string(),
            files: files.iter().map(listed).collect(),
            from: self.from.to_string(),
            proved_by: proved.to_string(),
            to: self.to.to_string(),
            r#type: TYPE.into(),
        };
        files.insert(MANIFEST.into(), manifest.text());
        Ok(archive::write(&files))
    }
}

pub(super) fn header_name(height: u64) -> String {
    format!("headers/{height:020}.header")
}

pub(super) fn proof_name(height: u64) -> String {
    format!("proofs/{height:020}.attestation")
}

pub(super) fn log_name(height: u64) -> String {
    format!("log/{height:020}.tlog-proof")
}
