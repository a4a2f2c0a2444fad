//! The thread that writes to the block store, so that no vote waits for it: one transaction for
//! all that has come while it gathered. What it has not written yet is in the vote log
//! (`docs/consensus.md#restart`), and readers see it in the store's memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use quorate_verifier::primitives::Height;

use super::metrics::Figures;
use super::store::{ENTRIES_TOGETHER, Entry, Store, StoreError};

/// Entries that wait for the thread; whoever adds more waits too.
const QUEUED: usize = 64;
/// Entries gather for so long, unless they are many or large: a transaction for all of them costs
/// less than one for each, but a great one keeps the disk and the processors from the votes.
const GATHER_TIME: Duration = Duration::from_millis(50);
const GATHER_BYTES: usize = 1 << 20;

/// The thread stands behind the others by so much, in the system's terms: what it does can wait,
/// and takes long.
const NICENESS: i32 = 10;

enum Order {
    Keep(Entry),
    /// Write at once, and say when it is done.
    Flush(SyncSender<()>),
}

/// The driver's end of it.
pub(super) struct Writer {
    store: Store,
    orders: Option<SyncSender<Order>>,
    stored: Arc<AtomicU64>,
    failed: Arc<Mutex<Option<StoreError>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. Everything up to `stored` is in the store.
    pub(super) fn start(
        store: Store,
        stored: Height,
        figures: Arc<Figures>,
    ) -> Result<Self, StoreError> {
        let (orders, queue) = sync_channel(QUEUED);
        let stored = Arc::new(AtomicU64::new(stored.get()));
        let failed = Arc::new(Mutex::new(None));
        let task = Task {
            store: store.clone(),
            queue,
            stored: stored.clone(),
            figures,
        };
        let failure = failed.clone();
        let thread = thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                if let Err(error) = task.run() {
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            })
            .map_err(StoreError::Thread)?;
        Ok(Self {
            store,
            orders: Some(orders),
            stored,
            failed,
            thread: Some(thread),
        })
    }

    /// The last height up to which the store has everything.
    pub(super) fn stored(&self) -> Height {
        Height::new(self.stored.load(Ordering::Acquire))
    }

    /// Has an entry written soon; readers see it from now on.
    ///
    /// # Errors
    /// [`StoreError`] of an earlier write.
    pub(super) fn keep(&self, entry: Entry) -> Result<(), StoreError> {
        self.store.announce(&entry);
        self.order(Order::Keep(entry))
    }

    /// Waits until everything is durable.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        let (done, wait) = sync_channel(1);
        self.order(Order::Flush(done))?;
        // Its other end is dropped unused when the thread fails.
        wait.recv().map_err(|_| self.why())
    }

    /// Whether an earlier write has failed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            true => Err(self.why()),
            false => Ok(()),
        }
    }

    fn order(&self, order: Order) -> Result<(), StoreError> {
        let sent = self.orders.as_ref().map(|orders| orders.send(order));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => Err(self.why()),
        }
    }

    fn why(&self) -> StoreError {
        // The thread drops its queue a moment before it says why.
        while self
            .thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
        {
            thread::sleep(Duration::from_millis(1));
        }
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match failed.take() {
            Some(error) => error,
            None => StoreError::Thread(std::io::Error::other("it has ended")),
        }
    }
}

impl Drop for Writer {
    /// Waits for what is under way; what was never flushed is written too.
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there was printed
        }
    }
}

/// Gives this thread less than the others when not all can run.
fn stand_behind(niceness: i32) {
    // Where the system does not know priorities of threads it runs like any other.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), niceness);
    #[cfg(not(target_os = "linux"))]
    let _ = niceness;
}

struct Task {
    store: Store,
    queue: Receiver<Order>,
    stored: Arc<AtomicU64>,
    figures: Arc<Figures>,
}

impl Task {
    fn run(self) -> Result<(), StoreError> {
        stand_behind(NICENESS);
        while let Ok(first) = self.queue.recv() {
            let (entries, flushed) = self.gather(first);
            if !entries.is_empty() {
                let begun = Instant::now();
                self.store.keep(&entries)?;
                let seconds = begun.elapsed().as_secs_f64();
                self.figures.store_seconds.observe(seconds);
                self.figures.syncs.inc();
            }
            let executed = entries.iter().filter_map(|entry| match entry {
                Entry::Executed(block, _) => Some(block.block.height().get()),
                _ => None,
            });
            if let Some(last) = executed.max() {
                self.stored.fetch_max(last, Ordering::Release);
            }
            if let Some(flushed) = flushed {
                let _ = flushed.send(()); // who asked may be gone
            }
        }
        Ok(())
    }

    /// What is to be written together, and who waits for it.
    fn gather(&self, first: Order) -> (Vec<Entry>, Option<SyncSender<()>>) {
        let until = Instant::now() + GATHER_TIME;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let mut next = Ok(first);
        loop {
            match next {
                Ok(Order::Keep(entry)) => {
                    if let Entry::Block(block) | Entry::Executed(block, _) = &entry {
                        bytes += block.block.payload().size();
                    }
                    entries.push(entry);
                }
                Ok(Order::Flush(done)) => return (entries, Some(done)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return (entries, None);
                }
            }
            if bytes >= GATHER_BYTES || entries.len() >= ENTRIES_TOGETHER {
                return (entries, None);
            }
            let left = until.saturating_duration_since(Instant::now());
            next = self.queue.recv_timeout(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_pbft::block::{Block, FinalBlock};
    use quorate_pbft::request::Payload;
    use quorate_pbft::sim::keys::set_of;
    use quorate_verifier::certificate::CommitCertificate;
    use quorate_verifier::header::{HEADER_VERSION, Header};
    use quorate_verifier::primitives::{ChainId, Digest, TimeMs, View};

    const CHAIN: Digest = Digest::from_bytes([3; 32]);

    fn entry(height: u64) -> Entry {
        let commitment = set_of(&[1]).commitment();
        let payload = Payload {
            salt: [0; 32],
            requests: Vec::new(),
        };
        let block = Block::make(payload, |payload_root| Header {
            version: HEADER_VERSION,
            chain_id: ChainId::new("store-0123456789abcdef").expect("a chain id"),
            height: Height::new(height),
            time: TimeMs::new(height).expect("a small number"),
            parent: CHAIN,
            payload_root,
            outcomes_root: CHAIN,
            state_root: CHAIN,
            parameters: CHAIN,
            validators: commitment,
            next_validators: commitment,
        });
        let certificate = CommitCertificate::new(block.digest(), View::FIRST, Vec::new());
        let certificate = certificate.expect("no votes are in order");
        Entry::Executed(Arc::new(FinalBlock { block, certificate }), Arc::new([]))
    }

    fn has(store: &Store, height: u64) -> bool {
        let found = store.block(Height::new(height)).expect("a good store");
        found.is_some()
    }

    #[test]
    fn what_was_flushed_is_there_after_a_restart_and_the_rest_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("b");
        let store = Store::open(&path, &CHAIN).expect("a new file");
        let writer = Writer::start(store.clone(), Height::GENESIS, Arc::default());
        let writer = writer.expect("a thread");
        for height in 1..=3 {
            writer.keep(entry(height)).expect("a good disk");
            assert!(has(&store, height), "readers see it before it is written");
        }
        writer.flush().expect("a good disk");
        assert_eq!(writer.stored(), Height::new(3));
        writer.keep(entry(4)).expect("a good disk");
        drop(writer); // writes what is left
        drop(store);
        let store = Store::open(&path, &CHAIN).expect("a good file");
        assert!((1..=4).all(|height| has(&store, height)));
    }

    #[test]
    fn a_thread_that_is_gone_is_an_error_and_not_a_wait() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(&dir.path().join("b"), &CHAIN).expect("a new file");
        let writer = Writer::start(store, Height::GENESIS, Arc::default());
        let mut writer = writer.expect("a thread");
        writer.check().expect("it lives");
        writer.orders = None; // the thread ends as when its store has failed
        assert!(writer.flush().is_err());
        assert!(writer.keep(entry(1)).is_err());
        assert!(writer.check().is_err());
    }
}
