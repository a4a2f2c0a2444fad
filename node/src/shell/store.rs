//! Final blocks with their certificates and outcomes, opened sets, and where each request was
//! executed: redb, one durable transaction for everything that a step hands over.

use std::collections::BTreeMap;
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
/// Height to the certificate with its late votes, which takes the place of the block's own.
const SEALS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("seals");
/// Height to the outcomes of its requests: each a `u32` length and so many bytes.
const OUTCOMES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("outcomes");
/// Client and the last sequence, big-endian, that a block executed of it, to that block's height:
/// a client's sequences in a block have no gaps, so one row stands for all of them.
const REQUESTS: TableDefinition<'_, [u8; 40], u64> = TableDefinition::new("last requests");
/// Commitment to opened set.
const SETS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("sets");
/// The last certified state: a start begins from it.
const SNAPSHOT: TableDefinition<'_, (), &[u8]> = TableDefinition::new("snapshot");
/// What the file is of.
const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("about");

const FORMAT: &[u8] = b"2";
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
            write.open_table(SEALS)?;
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
                        for (client, sequence) in last_sequences(block) {
                            table.insert(request_key(&client, sequence), height)?;
                        }
                    }
                    Entry::Seal(height, certificate) => {
                        let mut table = write.open_table(SEALS)?;
                        table.insert(height.get(), certificate.to_bytes().as_slice())?;
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
        let read = self.database.begin_read()?;
        let blocks = read.open_table(BLOCKS)?;
        let Some(bytes) = blocks.get(height.get())? else {
            return Ok(None);
        };
        let mut block = decode_block(height, bytes.value())?;
        if let Some(bytes) = read.open_table(SEALS)?.get(height.get())? {
            let sealed = CommitCertificate::from_bytes(bytes.value());
            let sealed = sealed.map_err(|error| StoreError::Damaged {
                what: format!("the certificate of height {}", height.get()),
                error,
            })?;
            // One of another block says nothing of this one.
            if sealed.block() == block.certificate.block() {
                block.certificate = sealed;
            }
        }
        Ok(Some(block))
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
        let (from, to) = (request_key(client, sequence), request_key(client, u64::MAX));
        let Some(height) = table.range(from..=to)?.next().transpose()? else {
            return Ok(None);
        };
        let height = Height::new(height.1.value());
        let damaged = |what: &str| StoreError::Damaged {
            what: format!("the {what} of height {}", height.get()),
            error: DecodeError::rule("request", "the index names a stored one"),
        };
        let block = self.block(height)?.ok_or_else(|| damaged("block"))?;
        let requests = block.block.payload().requests.iter();
        let place = (0u32..)
            .zip(requests)
            .find(|(_, r)| (r.client, r.sequence) == (*client, sequence));
        // Else a later one is the first that is known: stored blocks begin after this one.
        let Some((index, request)) = place else {
            return Ok(None);
        };
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let outcomes = self.outcomes(height)?.unwrap_or_default();
        let outcome = outcomes.into_iter().nth(at);
        let outcome = outcome.ok_or_else(|| damaged("outcomes"))?;
        Ok(Some(Executed {
            height,
            index,
            digest: request_digest(request),
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

/// Each client of a block with its last sequence there.
fn last_sequences(block: &FinalBlock) -> BTreeMap<ClientKey, u64> {
    let mut last = BTreeMap::new();
    for request in &block.block.payload().requests {
        let sequence = last.entry(request.client).or_default();
        *sequence = request.sequence.max(*sequence);
    }
    last
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

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_pbft::block::Block;
    use quorate_pbft::request::Payload;
    use quorate_pbft::sim::keys::set_of;
    use quorate_verifier::certificate::CommitVote;
    use quorate_verifier::header::{HEADER_VERSION, Header};
    use quorate_verifier::primitives::{ChainId, TimeMs, View};
    use quorate_verifier::signature::Signature;

    const CHAIN: Digest = Digest::from_bytes([3; 32]);

    fn certificate(block: Digest, votes: u16) -> CommitCertificate {
        let vote = |index| CommitVote {
            index,
            signature: Signature::from_bytes([7; 64]),
        };
        CommitCertificate::new(block, View::FIRST, (0..votes).map(vote).collect())
            .expect("in order")
    }

    /// A block with these requests: client and sequence.
    fn block(height: u64, requests: &[(u8, u64)]) -> Arc<FinalBlock> {
        let request = |(client, sequence): &(u8, u64)| {
            Arc::new(Request {
                client: ClientKey([*client; 32]),
                sequence: *sequence,
                body: Vec::new(),
                signature: Signature::from_bytes([1; 64]),
            })
        };
        let payload = Payload {
            salt: [0; 32],
            requests: requests.iter().map(request).collect(),
        };
        let set = set_of(&[1, 1, 1, 1]).commitment();
        let header = Header {
            version: HEADER_VERSION,
            chain_id: ChainId::new("store-0123456789abcdef").expect("a chain id"),
            height: Height::new(height),
            time: TimeMs::new(height).expect("a time"),
            parent: Digest::ZERO,
            payload_root: payload.root(),
            outcomes_root: Digest::ZERO,
            state_root: Digest::ZERO,
            parameters: Digest::ZERO,
            validators: set,
            next_validators: set,
        };
        let block = Block::new(header, payload).expect("its own payload");
        let certificate = certificate(block.digest(), 3);
        Arc::new(FinalBlock { block, certificate })
    }

    fn keep(store: &Store, block: &Arc<FinalBlock>) {
        let count = block.block.payload().requests.len();
        let outcomes = (0..count).map(|n| vec![u8::try_from(n).expect("few")]);
        let entries = [
            Entry::Block(block.clone()),
            Entry::Outcomes(block.clone(), outcomes.collect()),
        ];
        store.keep(&entries).expect("a good disk");
    }

    #[test]
    fn every_executed_request_is_found_and_no_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(&dir.path().join("b"), &CHAIN).expect("a new file");
        // The stored blocks begin after the first two of client 1.
        keep(&store, &block(7, &[(1, 3), (2, 1), (1, 4)]));
        keep(&store, &block(8, &[(2, 2), (1, 5), (2, 3)]));
        let found = |client: u8, sequence| {
            let executed = store.executed(&ClientKey([client; 32]), sequence);
            executed
                .expect("a good store")
                .map(|e| (e.height.get(), e.index, e.outcome))
        };
        assert_eq!(found(1, 3), Some((7, 0, vec![0])));
        assert_eq!(found(1, 4), Some((7, 2, vec![2])));
        assert_eq!(found(1, 5), Some((8, 1, vec![1])));
        assert_eq!(found(2, 1), Some((7, 1, vec![1])));
        assert_eq!(found(2, 3), Some((8, 2, vec![2])));
        let none = [(1, 1), (1, 2), (1, 6), (2, 4), (0, 1), (3, 1)];
        for (client, sequence) in none {
            assert_eq!(found(client, sequence), None, "{client} {sequence}");
        }
    }

    #[test]
    fn late_votes_are_read_with_their_block() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(&dir.path().join("b"), &CHAIN).expect("a new file");
        let (first, second) = (block(7, &[(1, 1)]), block(8, &[]));
        keep(&store, &first);
        keep(&store, &second);
        let votes = |height| {
            let block = store.block(Height::new(height)).expect("a good store");
            block.expect("it was kept").certificate.votes().len()
        };
        let sealed = certificate(first.block.digest(), 4);
        let stray = certificate(first.block.digest(), 4);
        let seals = [
            Entry::Seal(Height::new(7), sealed),
            Entry::Seal(Height::new(8), stray),
        ];
        store.keep(&seals).expect("a good disk");
        assert_eq!(votes(7), 4);
        assert_eq!(votes(8), 3, "a certificate of another block is not taken");
        let unchanged = store.block(Height::new(7)).expect("a good store");
        assert_eq!(unchanged.map(|b| b.block), Some(first.block.clone()));
    }
}
