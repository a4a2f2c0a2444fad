//! Final blocks with their certificates and outcomes, opened sets, and where each request was
//! executed: redb, one durable transaction for everything that a step hands over.

use std::path::Path;
use std::sync::Arc;

use quorate_pbft::block::FinalBlock;
use quorate_pbft::request::{ClientKey, Request};
use quorate_pbft::snapshot::Snapshot;
use quorate_verifier::certificate::CommitCertificate;
use quorate_verifier::encoding::{Canonical, DecodeError};
use quorate_verifier::primitives::{Digest, Height};
use quorate_verifier::set::{SetCommitment, ValidatorSet};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use sha2::{Digest as _, Sha256};

/// Height to final block.
const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
/// Height to the outcomes of its requests: each a `u32` length and so many bytes.
const OUTCOMES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("outcomes");
/// Client and sequence, big-endian, to height and place in the block.
const REQUESTS: TableDefinition<'_, [u8; 40], (u64, u32)> = TableDefinition::new("requests");
/// Commitment to opened set.
const SETS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("sets");
/// The last certified state: a start begins from it.
const SNAPSHOT: TableDefinition<'_, (), &[u8]> = TableDefinition::new("snapshot");
/// What the file is of.
const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("about");

const FORMAT: &[u8] = b"1";
/// Memory that the database keeps for pages, in bytes.
const CACHE_BYTES: usize = 32 << 20;

/// Why the store cannot be used. The node stops.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database or the device below it failed.
    #[error("the block store failed: {0}")]
    Device(#[source] Box<redb::Error>),
    /// A stored value does not decode.
    #[error("the block store is damaged at {what}: {error}")]
    Damaged {
        /// Which value.
        what: String,
        /// Why it does not decode.
        error: DecodeError,
    },
    /// Another chain's store, or one of another version.
    #[error("the block store is of another {0}")]
    Foreign(&'static str),
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self::Device(Box::new(error.into()))
    }
}

/// Something to be kept.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A final block.
    Block(Arc<FinalBlock>),
    /// What executing it gave.
    Outcomes(Arc<FinalBlock>, Vec<Vec<u8>>),
    /// More votes for a final block.
    Seal(Height, CommitCertificate),
    /// An opened set.
    Set(Arc<ValidatorSet>),
    /// A certified state from which the chain can be taken up; it takes the place of an earlier one.
    Snapshot(Arc<Snapshot>),
}

/// Where a request was executed, and what it gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// In which block.
    pub height: Height,
    /// At which place of it.
    pub index: u32,
    /// Of the request, so that it is told from another one with this sequence.
    pub digest: Digest,
    /// In the application's encoding.
    pub outcome: Vec<u8>,
}

/// The database, shared by the one writer and all readers.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
}

/// SHA-256 of a request's canonical bytes.
pub fn request_digest(request: &Request) -> Digest {
    Digest::from_bytes(Sha256::digest(request.to_bytes()).into())
}

impl Store {
    /// Opens the file, or makes it for the chain with this genesis digest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(path: &Path, chain: &Digest) -> Result<Self, StoreError> {
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path)?;
        let write = database.begin_write()?;
        {
            let mut about = write.open_table(ABOUT)?;
            let known = |about: &redb::Table<'_, &str, &[u8]>, key: &str| {
                about
                    .get(key)
                    .map(|value| value.map(|v| v.value().to_vec()))
            };
            match known(&about, "format")? {
                None => {
                    about.insert("format", FORMAT)?;
                    about.insert("chain", chain.as_bytes().as_slice())?;
                }
                Some(format) if format != FORMAT => return Err(StoreError::Foreign("version")),
                Some(_) if known(&about, "chain")?.as_deref() != Some(chain.as_bytes()) => {
                    return Err(StoreError::Foreign("chain"));
                }
                Some(_) => {}
            }
            write.open_table(BLOCKS)?;
            write.open_table(OUTCOMES)?;
            write.open_table(REQUESTS)?;
            write.open_table(SETS)?;
            write.open_table(SNAPSHOT)?;
        }
        write.commit()?;
        Ok(Self {
            database: Arc::new(database),
        })
    }

    /// Keeps everything in one durable transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keep(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        {
            let mut blocks = write.open_table(BLOCKS)?;
            for entry in entries {
                match entry {
                    Entry::Block(block) => {
                        let height = block.block.height().get();
                        blocks.insert(height, block.to_bytes().as_slice())?;
                    }
                    Entry::Outcomes(block, outcomes) => {
                        let height = block.block.height().get();
                        let mut table = write.open_table(OUTCOMES)?;
                        table.insert(height, join(outcomes).as_slice())?;
                        let mut table = write.open_table(REQUESTS)?;
                        let requests = &block.block.payload().requests;
                        for (index, request) in (0u32..).zip(requests) {
                            let key = request_key(&request.client, request.sequence);
                            table.insert(key, (height, index))?;
                        }
                    }
                    Entry::Seal(height, certificate) => {
                        let stored = blocks.get(height.get())?.map(|v| v.value().to_vec());
                        let Some(stored) = stored else { continue };
                        let mut block = decode_block(*height, &stored)?;
                        if block.certificate.block() == certificate.block() {
                            block.certificate = certificate.clone();
                            blocks.insert(height.get(), block.to_bytes().as_slice())?;
                        }
                    }
                    Entry::Set(set) => {
                        let key = set_key(&set.commitment());
                        let mut table = write.open_table(SETS)?;
                        table.insert(key, set.to_bytes().as_slice())?;
                    }
                    Entry::Snapshot(snapshot) => {
                        let mut table = write.open_table(SNAPSHOT)?;
                        table.insert((), snapshot.to_bytes().as_slice())?;
                    }
                }
            }
        }
        write.commit()?;
        Ok(())
    }

    /// The last height that is stored.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn last_height(&self) -> Result<Option<Height>, StoreError> {
        let table = self.database.begin_read()?.open_table(BLOCKS)?;
        let last = table.last()?.map(|(height, _)| Height::new(height.value()));
        Ok(last)
    }

    /// The last certified state.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        let table = self.database.begin_read()?.open_table(SNAPSHOT)?;
        let Some(bytes) = table.get(())? else {
            return Ok(None);
        };
        let decoded = Snapshot::from_bytes(bytes.value());
        decoded.map(Some).map_err(|error| StoreError::Damaged {
            what: "the snapshot".into(),
            error,
        })
    }

    /// One final block.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn block(&self, height: Height) -> Result<Option<FinalBlock>, StoreError> {
        let table = self.database.begin_read()?.open_table(BLOCKS)?;
        let Some(bytes) = table.get(height.get())? else {
            return Ok(None);
        };
        decode_block(height, bytes.value()).map(Some)
    }

    /// Outcomes of one block.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn outcomes(&self, height: Height) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        let table = self.database.begin_read()?.open_table(OUTCOMES)?;
        let Some(bytes) = table.get(height.get())? else {
            return Ok(None);
        };
        split(height, bytes.value()).map(Some)
    }

    /// Where the client's request with this sequence was executed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn executed(
        &self,
        client: &ClientKey,
        sequence: u64,
    ) -> Result<Option<Executed>, StoreError> {
        let table = self.database.begin_read()?.open_table(REQUESTS)?;
        let Some(place) = table.get(request_key(client, sequence))? else {
            return Ok(None);
        };
        let (height, index) = place.value();
        let height = Height::new(height);
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let block = self.block(height)?;
        let request = block.and_then(|b| b.block.payload().requests.get(at).cloned());
        let outcome = self
            .outcomes(height)?
            .and_then(|list| list.into_iter().nth(at));
        let (Some(request), Some(outcome)) = (request, outcome) else {
            return Err(StoreError::Damaged {
                what: format!("request {index} of height {}", height.get()),
                error: DecodeError::rule("request", "the index names a stored one"),
            });
        };
        Ok(Some(Executed {
            height,
            index,
            digest: request_digest(&request),
            outcome,
        }))
    }

    /// An opened set.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set(&self, commitment: &SetCommitment) -> Result<Option<ValidatorSet>, StoreError> {
        let table = self.database.begin_read()?.open_table(SETS)?;
        let Some(bytes) = table.get(set_key(commitment))? else {
            return Ok(None);
        };
        decode_set(bytes.value()).map(Some)
    }

    /// All opened sets.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn sets(&self) -> Result<Vec<ValidatorSet>, StoreError> {
        let table = self.database.begin_read()?.open_table(SETS)?;
        let mut sets = Vec::new();
        for row in table.iter()? {
            sets.push(decode_set(row?.1.value())?);
        }
        Ok(sets)
    }
}

fn decode_block(height: Height, bytes: &[u8]) -> Result<FinalBlock, StoreError> {
    FinalBlock::from_bytes(bytes).map_err(|error| StoreError::Damaged {
        what: format!("the block of height {}", height.get()),
        error,
    })
}

fn decode_set(bytes: &[u8]) -> Result<ValidatorSet, StoreError> {
    ValidatorSet::from_bytes(bytes).map_err(|error| StoreError::Damaged {
        what: "a validator set".into(),
        error,
    })
}

fn request_key(client: &ClientKey, sequence: u64) -> [u8; 40] {
    let mut key = [0; 40];
    key[..32].copy_from_slice(&client.0);
    key[32..].copy_from_slice(&sequence.to_be_bytes());
    key
}

fn set_key(commitment: &SetCommitment) -> [u8; 32] {
    let bytes = commitment.to_bytes();
    bytes.try_into().expect("a commitment has 32 bytes")
}

fn join(outcomes: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for outcome in outcomes {
        let length = u32::try_from(outcome.len()).expect("an outcome is smaller than a block");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(outcome);
    }
    bytes
}

fn split(height: Height, bytes: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut input = quorate_verifier::encoding::Reader::new(bytes);
    let mut outcomes = Vec::new();
    let mut next = || -> Result<Vec<u8>, DecodeError> {
        let length = usize::try_from(input.u32("outcome")?).unwrap_or(usize::MAX);
        input.take("outcome", length).map(<[u8]>::to_vec)
    };
    let mut left = bytes.len();
    while left > 0 {
        let outcome = next().map_err(|error| StoreError::Damaged {
            what: format!("the outcomes of height {}", height.get()),
            error,
        })?;
        left -= 4 + outcome.len();
        outcomes.push(outcome);
    }
    Ok(outcomes)
}
