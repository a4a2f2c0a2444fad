//! Final blocks with their certificates and outcomes, opened sets, and where each request was
//! executed: redb, one durable transaction for everything that is handed over together.
//!
//! What is announced can be read at once, before it is durable: the vote log has it until then.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
/// Client and the last sequence, big-endian, that blocks which were written together executed of
/// it, to the height of the last of them: a client's sequences have no gaps, so one row stands for
/// all of them, and a request is in that block or in one below, above the client's row before.
const REQUESTS: TableDefinition<'_, &[u8], u64> = TableDefinition::new("last requests");
/// Commitment to opened set.
const SETS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("sets");
/// The last certified state: a start begins from it.
const SNAPSHOT: TableDefinition<'_, (), &[u8]> = TableDefinition::new("snapshot");
/// What the file is of.
const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("about");

const FORMAT: &[u8] = b"3";
/// Entries that are written in one transaction, at most.
pub const ENTRIES_TOGETHER: usize = 128;
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
    /// Nobody writes any more.
    #[error("the block store's thread: {0}")]
    Thread(#[source] std::io::Error),
    /// Another chain's store, or one of another version.
    #[error("the block store is of another {0}")]
    Foreign(&'static str),
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self::Device(Box::new(error.into()))
    }
}

/// One for each request of a block, in the application's encoding.
pub type Outcomes = Arc<[Vec<u8>]>;

/// Something to be kept.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A final block that is not executed yet.
    Block(Arc<FinalBlock>),
    /// A final block, and what executing it gave.
    Executed(Arc<FinalBlock>, Outcomes),
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
    announced: Arc<Mutex<Announced>>,
}

/// What was announced and is not durable yet.
#[derive(Default)]
struct Announced {
    blocks: BTreeMap<Height, (Arc<FinalBlock>, Outcomes)>,
    seals: BTreeMap<Height, CommitCertificate>,
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
            announced: Arc::default(),
        })
    }

    fn announced(&self) -> MutexGuard<'_, Announced> {
        self.announced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets readers see what is about to be kept.
    pub fn announce(&self, entry: &Entry) {
        let mut announced = self.announced();
        match entry {
            Entry::Executed(block, outcomes) => {
                let value = (block.clone(), outcomes.clone());
                announced.blocks.insert(block.block.height(), value);
            }
            Entry::Seal(height, certificate) => {
                announced.seals.insert(*height, certificate.clone());
            }
            // Nobody asks for these before they are durable.
            Entry::Block(_) | Entry::Set(_) | Entry::Snapshot(_) => {}
        }
    }

    /// What was announced is durable now, and is read from the database.
    fn settle(&self, entries: &[Entry]) {
        let mut announced = self.announced();
        for entry in entries {
            match entry {
                Entry::Executed(block, _) => {
                    announced.blocks.remove(&block.block.height());
                }
                Entry::Seal(height, _) => {
                    announced.seals.remove(height);
                }
                Entry::Block(_) | Entry::Set(_) | Entry::Snapshot(_) => {}
            }
        }
    }

    /// Keeps everything in one durable transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keep(&self, entries: &[Entry]) -> Result<(), StoreError> {
        self.write(entries)?;
        self.settle(entries);
        Ok(())
    }

    fn write(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let write = self.database.begin_write()?;
        {
            let mut requests = write.open_table(REQUESTS)?;
            for (client, (sequence, height)) in last_sequences(entries) {
                requests.insert(request_key(&client, sequence).as_slice(), height.get())?;
            }
            let mut blocks = write.open_table(BLOCKS)?;
            for entry in entries {
                match entry {
                    Entry::Block(block) => {
                        let height = block.block.height().get();
                        blocks.insert(height, block.to_bytes().as_slice())?;
                    }
                    Entry::Executed(block, outcomes) => {
                        let height = block.block.height().get();
                        blocks.insert(height, block.to_bytes().as_slice())?;
                        let mut table = write.open_table(OUTCOMES)?;
                        table.insert(height, join(outcomes).as_slice())?;
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
        let (block, seal) = {
            let announced = self.announced();
            let block = announced
                .blocks
                .get(&height)
                .map(|(block, _)| block.clone());
            (block, announced.seals.get(&height).cloned())
        };
        // What is announced no more is in the database: it is looked into afterwards.
        let read = self.database.begin_read()?;
        let mut block = match block {
            Some(block) => (*block).clone(),
            None => match read.open_table(BLOCKS)?.get(height.get())? {
                Some(bytes) => decode_block(height, bytes.value())?,
                None => return Ok(None),
            },
        };
        let seal = match (seal, read.open_table(SEALS)?.get(height.get())?) {
            (Some(seal), _) => Some(seal),
            (None, Some(bytes)) => {
                let sealed = CommitCertificate::from_bytes(bytes.value());
                Some(sealed.map_err(|error| StoreError::Damaged {
                    what: format!("the certificate of height {}", height.get()),
                    error,
                })?)
            }
            (None, None) => None,
        };
        // One of another block says nothing of this one.
        if let Some(seal) = seal.filter(|seal| seal.block() == block.certificate.block()) {
            block.certificate = seal;
        }
        Ok(Some(block))
    }

    /// Outcomes of one block.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn outcomes(&self, height: Height) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        if let Some((_, outcomes)) = self.announced().blocks.get(&height) {
            return Ok(Some(outcomes.to_vec()));
        }
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
        let announced: Vec<_> = self.announced().blocks.keys().copied().collect();
        let indexed = self.indexed(client, sequence)?;
        // In the database it can be in few blocks only, and it is in the last of them most often.
        let below = (indexed.0.get()..indexed.1.get())
            .rev()
            .map(|h| Height::new(h + 1));
        for height in announced.into_iter().chain(below) {
            let Some(block) = self.block(height)? else {
                break; // stored blocks begin above it
            };
            let mut requests = (0u32..).zip(&block.block.payload().requests);
            let found = requests.find(|(_, r)| (r.client, r.sequence) == (*client, sequence));
            let Some((index, request)) = found else {
                continue;
            };
            let at = usize::try_from(index).unwrap_or(usize::MAX);
            let outcomes = self.outcomes(height)?.unwrap_or_default();
            let outcome = outcomes.into_iter().nth(at);
            let outcome = outcome.ok_or_else(|| StoreError::Damaged {
                what: format!("the outcomes of height {}", height.get()),
                error: DecodeError::rule("outcomes", "there is one for each request"),
            })?;
            return Ok(Some(Executed {
                height,
                index,
                digest: request_digest(request),
                outcome,
            }));
        }
        Ok(None)
    }

    /// The client's request with this sequence, if it is in the database, is above the first of
    /// these heights and not above the second.
    fn indexed(&self, client: &ClientKey, sequence: u64) -> Result<(Height, Height), StoreError> {
        let table = self.database.begin_read()?.open_table(REQUESTS)?;
        let key = |sequence| request_key(client, sequence);
        let after = table
            .range(key(sequence).as_slice()..=key(u64::MAX).as_slice())?
            .next();
        let before = table
            .range(key(0).as_slice()..key(sequence).as_slice())?
            .next_back();
        let height = |row: Option<Result<(_, redb::AccessGuard<'_, u64>), redb::StorageError>>| {
            let row = row.transpose()?;
            Ok::<_, StoreError>(row.map(|(_, height)| Height::new(height.value())))
        };
        let first: (Option<Height>, Option<Height>) = (height(before)?, height(after)?);
        Ok(match first {
            (before, Some(after)) => (before.unwrap_or(Height::GENESIS), after),
            (_, None) => (Height::GENESIS, Height::GENESIS),
        })
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

/// Each client of these blocks with its last sequence there, and in which block that is.
fn last_sequences(entries: &[Entry]) -> BTreeMap<ClientKey, (u64, Height)> {
    let mut last = BTreeMap::new();
    for entry in entries {
        let Entry::Executed(block, _) = entry else {
            continue;
        };
        for request in &block.block.payload().requests {
            let found = (request.sequence, block.block.height());
            let known = last.entry(request.client).or_insert(found);
            *known = found.max(*known);
        }
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

    fn executed(block: &Arc<FinalBlock>) -> Entry {
        let count = block.block.payload().requests.len();
        let outcomes = (0..count).map(|n| vec![u8::try_from(n).expect("few")]);
        Entry::Executed(block.clone(), outcomes.collect())
    }

    fn keep(store: &Store, block: &Arc<FinalBlock>) {
        store.keep(&[executed(block)]).expect("a good disk");
    }

    /// Whether the blocks were written one by one, together, or not yet.
    #[test]
    fn every_executed_request_is_found_and_no_other() {
        // The stored blocks begin after the first two of client 1.
        let entries = [
            executed(&block(7, &[(1, 3), (2, 1), (1, 4)])),
            executed(&block(8, &[(2, 2), (1, 5), (2, 3)])),
            executed(&block(9, &[(3, 1)])),
        ];
        let mut lots: Vec<(&[Entry], &[Entry])> = vec![(&entries, &[]), (&[], &entries)];
        lots.extend([
            (&entries[..1], &entries[1..]),
            (&entries[..2], &entries[2..]),
        ]);
        for (written, announced) in lots {
            for size in [1, 2, 3] {
                let dir = tempfile::tempdir().expect("a directory");
                let store = Store::open(&dir.path().join("b"), &CHAIN).expect("a new file");
                for lot in written.chunks(size) {
                    lot.iter().for_each(|entry| store.announce(entry));
                    store.keep(lot).expect("a good disk");
                }
                announced.iter().for_each(|entry| store.announce(entry));
                assert_eq!(store.announced().blocks.len(), announced.len());
                find_all(&store);
            }
        }
    }

    fn find_all(store: &Store) {
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
        assert_eq!(found(2, 2), Some((8, 0, vec![0])));
        assert_eq!(found(2, 3), Some((8, 2, vec![2])));
        assert_eq!(found(3, 1), Some((9, 0, vec![0])));
        let none = [(1, 1), (1, 2), (1, 6), (2, 4), (0, 1), (3, 2), (4, 1)];
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
