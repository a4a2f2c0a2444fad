//! Checks the clients' signatures as Quorate's node does: many at a time, by the same function.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use quorate_node::shell::clients::Answer;
use quorate_pbft::limits::SIGNATURES_TOGETHER;
use quorate_pbft::request::Request;
use quorate_verifier::encoding::Canonical;
use tokio::sync::mpsc;

use super::network::Links;
use super::pool::Pool;

/// Requests gather for so long once all that came before were checked.
const GATHER_TIME: Duration = Duration::from_millis(4);

/// A request, and who waits for its outcome if a client of this replica has sent it.
pub(super) type Asked = (Arc<Request>, Option<mpsc::Sender<Answer>>);

/// Starts the thread; it ends with the last sender.
pub(super) fn start(pool: Arc<Pool>, links: Links) -> Sender<Asked> {
    let (asked, queue) = channel();
    std::thread::spawn(move || run(&queue, &pool, &links));
    asked
}

fn run(queue: &Receiver<Asked>, pool: &Pool, links: &Links) {
    let mut look_at = Instant::now();
    while let Ok(first) = queue.recv() {
        std::thread::sleep(look_at.saturating_duration_since(Instant::now()));
        let more = std::iter::from_fn(|| queue.try_recv().ok());
        let asked: Vec<_> = std::iter::once(first)
            .chain(more)
            .take(SIGNATURES_TOGETHER)
            .collect();
        if asked.len() < SIGNATURES_TOGETHER {
            look_at = Instant::now() + GATHER_TIME;
        }
        let requests: Vec<_> = asked.iter().map(|(request, _)| &**request).collect();
        let sound = pool.are_sound(&requests);
        for ((request, waiter), sound) in asked.into_iter().zip(sound) {
            let is_own = waiter.is_some();
            if sound && pool.keep(&request, waiter) && is_own {
                links.pass_on(&request.to_bytes());
            }
        }
    }
}
