//! The application in the peer's terms: its state lies in the peer's app state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotstuff_rs::app::{
    App, ProduceBlockRequest, ProduceBlockResponse, ValidateBlockRequest, ValidateBlockResponse,
};
use hotstuff_rs::block_tree::accessors::app::AppBlockTreeView;
use hotstuff_rs::types::data_types::{CryptoHash, Data, Datum};
use hotstuff_rs::types::update_sets::AppStateUpdates;
use quorate_pbft::request::{ClientKey, Request};
use quorate_verifier::encoding::{Canonical, Reader};
use sha2::{Digest as _, Sha256};

use super::pool::Pool;
use super::store::Store;
use crate::app::Tail;

/// A leader without anything to do waits so long for a request; below the length of a view.
const IDLE_TIME: Duration = Duration::from_millis(300);
/// Key of the [`Tail`]; clients' sequences have the client's key.
const TAIL: &[u8] = b"tail";

/// Proposes and judges blocks.
pub(super) struct Appending {
    pub(super) pool: Arc<Pool>,
    /// Most requests in a block.
    pub(super) batch: usize,
    /// Least time between the start of two own blocks.
    pub(super) block_time: Duration,
}

type View<'a> = AppBlockTreeView<'a, Store>;

impl Appending {
    fn last(&self, tree: &View<'_>) -> BTreeMap<ClientKey, u64> {
        let last = |client: &ClientKey| {
            let bytes = tree.app_state(&client.0)?.try_into().ok()?;
            Some((*client, u64::from_le_bytes(bytes)))
        };
        self.pool.clients().filter_map(last).collect()
    }

    /// Whether a block that is not committed yet holds requests: then the chain must go on.
    fn presses(tree: &View<'_>, parent: Option<CryptoHash>) -> bool {
        let mut block = parent;
        for _ in 0..3 {
            let Some(hash) = block.filter(|hash| hash.bytes() != [0; 32]) else {
                return false;
            };
            match tree.block_data_len(&hash) {
                Ok(Some(len)) if len.int() > 0 => return true,
                _ => {}
            }
            block = tree.block_justify(&hash).ok().map(|justify| justify.block);
        }
        false
    }

    /// The updates of a block, if every request in it may follow the state before.
    fn judge(
        &self,
        tree: &View<'_>,
        data: &Data,
        data_hash: CryptoHash,
    ) -> Option<(Vec<Arc<Request>>, Option<AppStateUpdates>)> {
        if hash_of(data) != data_hash {
            return None;
        }
        let Some(datum) = data.vec().first() else {
            return Some((Vec::new(), None));
        };
        let requests = decode(datum.bytes())?;
        if data.vec().len() > 1 || requests.len() > self.batch {
            return None;
        }
        let mut last = self.last(tree);
        let mut updates = AppStateUpdates::new();
        for request in &requests {
            let last = last.entry(request.client).or_insert(0);
            if request.sequence != *last + 1 {
                return None;
            }
            *last += 1;
        }
        let unchecked = requests.iter().filter(|r| !self.pool.vouches(r));
        let unchecked: Vec<_> = unchecked.map(|request| &**request).collect();
        if self.pool.are_sound(&unchecked).contains(&false) {
            return None;
        }
        for (client, sequence) in last {
            updates.insert(client.0.to_vec(), sequence.to_le_bytes().to_vec());
        }
        let before = tree.app_state(TAIL);
        let before = before.map_or(Some(Tail::EMPTY), |bytes| Tail::from_bytes(&bytes))?;
        let tail = before.append(requests.iter().map(AsRef::as_ref));
        updates.insert(TAIL.to_vec(), tail.to_bytes().to_vec());
        Some((requests, Some(updates)))
    }
}

impl App<Store> for Appending {
    fn produce_block(&mut self, request: ProduceBlockRequest<'_, Store>) -> ProduceBlockResponse {
        let began = Instant::now();
        let tree = request.block_tree();
        let last = self.last(tree);
        if !Self::presses(tree, request.parent_block()) {
            // Whatever waits now is in no block.
            self.pool.wait(0, IDLE_TIME);
        }
        std::thread::sleep(self.block_time.saturating_sub(began.elapsed()));
        let batch = self.pool.batch(&last, self.batch);
        let mut bytes = Vec::new();
        for request in &batch {
            request.write(&mut bytes);
        }
        let data = match batch.is_empty() {
            true => Data::new(Vec::new()),
            false => Data::new(vec![Datum::new(bytes)]),
        };
        ProduceBlockResponse {
            data_hash: hash_of(&data),
            data,
            app_state_updates: None, // the library takes those of `validate_block`
            validator_set_updates: None,
        }
    }

    fn validate_block(
        &mut self,
        request: ValidateBlockRequest<'_, '_, Store>,
    ) -> ValidateBlockResponse {
        self.validate_block_for_sync(request)
    }

    fn validate_block_for_sync(
        &mut self,
        request: ValidateBlockRequest<'_, '_, Store>,
    ) -> ValidateBlockResponse {
        let block = request.proposed_block();
        match self.judge(request.block_tree(), &block.data, block.data_hash) {
            Some((requests, app_state_updates)) => {
                self.pool.validated(block.hash.bytes(), requests);
                ValidateBlockResponse::Valid {
                    app_state_updates,
                    validator_set_updates: None,
                }
            }
            None => ValidateBlockResponse::Invalid,
        }
    }
}

fn hash_of(data: &Data) -> CryptoHash {
    let mut hash = Sha256::new();
    for datum in data.vec() {
        hash.update(datum.bytes());
    }
    CryptoHash::new(hash.finalize().into())
}

fn decode(bytes: &[u8]) -> Option<Vec<Arc<Request>>> {
    let mut input = Reader::new(bytes);
    let mut requests = Vec::new();
    while input.left() > 0 {
        requests.push(Arc::new(Request::read(&mut input).ok()?));
    }
    Some(requests)
}
