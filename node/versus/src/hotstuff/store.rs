//! The peer's block tree in redb, every write batch one durable transaction.
//!
//! In the peer's favour: values below [`CACHED_BYTES`] are read from memory, and a batch that
//! changes nothing is not written (the library makes many of those).

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use hotstuff_rs::block_tree::pluggables::{KVGet, KVGetError, KVStore, Key, WriteBatch};
use hotstuff_rs::block_tree::variables::BLOCK_AT_HEIGHT;
use hotstuff_rs::types::data_types::{CryptoHash, Data};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::mpsc::UnboundedSender;

use crate::Failure;

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("tree");
/// Longer values are read from the database.
const CACHED_BYTES: usize = 4096;
/// As Quorate's block store.
const CACHE_BYTES: usize = 32 << 20;

/// Height and hash of a block that was committed.
pub(super) type Committed = (u64, [u8; 32]);

type Cache = Arc<RwLock<HashMap<Vec<u8>, Vec<u8>>>>;

/// The store, shared by the library's threads.
#[derive(Clone)]
pub(super) struct Store {
    database: Arc<Database>,
    cache: Cache,
    committed: UnboundedSender<Committed>,
}

impl Store {
    /// A new one; committed blocks are told to `committed` when they are durable.
    pub(super) fn create(
        path: &Path,
        committed: UnboundedSender<Committed>,
    ) -> Result<Self, Failure> {
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path)?;
        let write = database.begin_write()?;
        write.open_table(TABLE)?;
        write.commit()?;
        Ok(Self {
            database: Arc::new(database),
            cache: Cache::default(),
            committed,
        })
    }

    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, redb::Error> {
        let table = self.database.begin_read()?.open_table(TABLE)?;
        Ok(table.get(key)?.map(|value| value.value().to_vec()))
    }

    /// Keeps what the database does not have yet; answers whether anything changed.
    fn keep(&self, batch: &Changes) -> Result<bool, redb::Error> {
        let mut changed = false;
        let mut write = self.database.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        {
            let mut table = write.open_table(TABLE)?;
            for (key, value) in &batch.0 {
                match value {
                    Some(value) => {
                        let same = table.get(key.as_slice())?.map(|v| v.value() == value);
                        if same != Some(true) {
                            table.insert(key.as_slice(), value.as_slice())?;
                            changed = true;
                        }
                    }
                    None => changed |= table.remove(key.as_slice())?.is_some(),
                }
            }
        }
        if changed {
            write.commit()?;
        } else {
            write.abort()?;
        }
        Ok(changed)
    }
}

impl KVGet for Store {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = cache.get(key) {
            return Some(value.clone());
        }
        drop(cache);
        self.read(key).expect("the database is readable")
    }

    /// In the library's own version the data are always empty: it takes them from an iterator that
    /// a search has used up. Without them a replica that missed a block would never catch up.
    fn block_data(&self, block: &CryptoHash) -> Result<Option<Data>, KVGetError> {
        let Some(len) = self.block_data_len(block)? else {
            return Ok(None);
        };
        let data: Option<Vec<_>> = (0..len.int()).map(|i| self.block_datum(block, i)).collect();
        let missing = || KVGetError::ValueExpectedButNotFound {
            key: Key::BlockData { block: *block },
        };
        data.map(|data| Some(Data::new(data))).ok_or_else(missing)
    }
}

impl KVStore for Store {
    type WriteBatch = Changes;
    type Snapshot<'a> = Self;

    fn write(&mut self, batch: Changes) {
        if batch.0.is_empty() {
            return;
        }
        self.keep(&batch).expect("the database is writable");
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        let mut committed = Vec::new();
        for (key, value) in batch.0 {
            match value {
                Some(value) => {
                    committed.extend(committed_block(&key, &value));
                    if value.len() < CACHED_BYTES {
                        cache.insert(key, value);
                    } else {
                        cache.remove(&key);
                    }
                }
                None => {
                    cache.remove(&key);
                }
            }
        }
        committed.sort_unstable();
        for block in committed {
            // Nobody listens when the process ends.
            let _ = self.committed.send(block);
        }
    }

    fn clear(&mut self) {
        unreachable!("the library never clears a tree");
    }

    /// The library reads single values from snapshots, in two places that tolerate newer ones.
    fn snapshot(&self) -> Self {
        self.clone()
    }
}

fn committed_block(key: &[u8], value: &[u8]) -> Option<Committed> {
    let height = key.strip_prefix(BLOCK_AT_HEIGHT.as_slice())?;
    let height = u64::from_le_bytes(height.try_into().ok()?);
    Some((height, value.try_into().ok()?))
}

/// What is to be written: the last word on each key.
pub(super) struct Changes(HashMap<Vec<u8>, Option<Vec<u8>>>);

impl WriteBatch for Changes {
    fn new() -> Self {
        Self(HashMap::new())
    }
    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key.to_vec(), Some(value.to_vec()));
    }
    fn delete(&mut self, key: &[u8]) {
        self.0.insert(key.to_vec(), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_commits_are_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
        let mut store = Store::create(&dir.path().join("t"), told).expect("a database");
        let (small, large) = (vec![1; 10], vec![2; 2 * CACHED_BYTES]);
        let mut batch = Changes::new();
        batch.set(b"small", &small);
        batch.set(b"large", &large);
        let at_height = [BLOCK_AT_HEIGHT.as_slice(), &9u64.to_le_bytes()].concat();
        batch.set(&at_height, &[7; 32]);
        store.write(batch);
        assert_eq!(store.get(b"small"), Some(small.clone()));
        assert_eq!(store.get(b"large"), Some(large));
        assert_eq!(store.read(b"small").expect("readable"), Some(small.clone()));
        assert_eq!(hears.try_recv(), Ok((9, [7; 32])));
        let mut again = Changes::new();
        again.set(b"small", &small);
        assert!(!store.keep(&again).expect("writable"), "nothing is new");
        let mut batch = Changes::new();
        batch.delete(b"small");
        store.write(batch);
        assert_eq!(store.get(b"small"), None);
    }
}
