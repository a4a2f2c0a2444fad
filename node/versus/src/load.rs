//! The load generator: the same for both systems.
//!
//! Requests are signed before anything is measured. Under a rate, request *i* of a link is due at
//! its own time, whatever became of those before, and its latency counts from then: a system that
//! stalls is charged for everything that should have been sent meanwhile (no coordinated omission).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use quorate_node::shell::clients::{ANSWER_BYTES_MAX, Outcome, Question, Reply};
use quorate_node::shell::tls::{Identity, Role};
use quorate_node::shell::{frame, transport};
use quorate_pbft::request::ClientKey;
use quorate_verifier::encoding::Canonical;
use quorate_verifier::primitives::Digest;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::Failure;
use crate::app::{CLIENTS, client_secret, request};
use crate::cluster::Cluster;
use crate::founding::{guest_key, network_id};

/// Links to each replica; on each the node takes 512 requests before it has answered one.
const LINKS: usize = 2;
/// Due requests are sent this often.
const TICK: Duration = Duration::from_millis(1);
/// Requests that are written at once when there is no rate.
const CHUNK: usize = 16;
/// Latencies are told apart up to this, in µs, with three digits.
const LATENCY_MAX: u64 = 120_000_000;

/// How much is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As much as is taken.
    All,
    /// So many requests a second over all links, whether they are answered or not.
    Rate(f64),
}

/// Requests of one link, signed and framed.
#[derive(Debug)]
struct Script {
    frames: Vec<u8>,
    frame_bytes: usize,
    /// Place of each client among those of the link.
    clients: BTreeMap<ClientKey, usize>,
    count: usize,
}

/// Signs what a link will send: its clients take turns.
fn script(chain: &Digest, clients: &[usize], count: usize) -> Script {
    let secrets: Vec<_> = clients.iter().map(|c| client_secret(*c)).collect();
    let mut frames = Vec::new();
    for place in 0..count {
        let sequence = place / secrets.len() + 1;
        let request = request(&secrets[place % secrets.len()], chain, sequence as u64);
        let question = Question::Submit(Arc::new(request)).to_bytes();
        let length = u32::try_from(question.len()).expect("a small frame");
        frames.extend_from_slice(&length.to_le_bytes());
        frames.extend_from_slice(&question);
    }
    let key = |secret: &ed25519_dalek::SigningKey| ClientKey(secret.verifying_key().to_bytes());
    Script {
        frame_bytes: frames.len() / count.max(1),
        frames,
        clients: secrets.iter().map(key).zip(0..).collect(),
        count,
    }
}

/// What came back on one link.
#[derive(Debug, Default)]
struct Book {
    /// By place in the script: when it was answered, since the start.
    answered: Vec<Option<Duration>>,
    refused: u64,
    why: Option<String>,
}

/// A generator whose links are up and that sends.
pub(crate) struct Load {
    start: Instant,
    /// Time between two requests of a link.
    spacing: Option<Duration>,
    links: Vec<LinkState>,
}

struct LinkState {
    replica: usize,
    book: Arc<Mutex<Book>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// What was seen in a window of time.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Requests that were answered as executed within the window.
    pub(crate) committed: u64,
    /// Latencies of the requests that were due within the window, in µs.
    pub(crate) latency: Histogram<u64>,
    /// Those of them that were never answered.
    pub(crate) lost: u64,
    /// Requests that a replica refused, since the start.
    pub(crate) refused: u64,
}

impl Load {
    /// Signs enough for `time`, dials all replicas and starts to send.
    pub(crate) async fn start(
        cluster: &Cluster,
        pace: Pace,
        time: Duration,
    ) -> Result<Self, Failure> {
        let replicas = cluster.shape.ports.len();
        let count = replicas * LINKS;
        let rate = match pace {
            Pace::All => 40_000.0,
            Pace::Rate(rate) => rate,
        };
        let each = (rate * time.as_secs_f64() / count as f64).ceil() + 1.0;
        let each = (0..).find(|n| f64::from(*n) >= each).unwrap_or(u32::MAX) as usize;
        let chain = cluster.shape.chain()?;
        let signed: Vec<_> = (0..count)
            .map(|link| {
                let clients: Vec<_> = (link..CLIENTS).step_by(count).collect();
                tokio::task::spawn_blocking(move || script(&chain, &clients, each))
            })
            .collect();
        let identity = cluster.shape.identity(guest_key())?;
        let mut links = Vec::new();
        for (link, script) in signed.into_iter().enumerate() {
            let replica = link % replicas;
            let dialled = dial(&cluster.shape.address(replica), replica, &identity).await?;
            links.push((replica, script.await?, dialled));
        }
        let start = Instant::now() + 10 * TICK;
        let spacing = match pace {
            Pace::All => None,
            Pace::Rate(rate) => Some(Duration::from_secs_f64(count as f64 / rate)),
        };
        let links = links.into_iter().map(|(replica, script, link)| {
            let book = Arc::new(Mutex::new(Book {
                answered: vec![None; script.count],
                ..Book::default()
            }));
            let (reads, writes) = tokio::io::split(link);
            let clients = script.clients.clone();
            let tasks = vec![
                tokio::spawn(send(writes, script, start, spacing)),
                tokio::spawn(hear(reads, clients, start, book.clone())),
            ];
            LinkState {
                replica,
                book,
                tasks,
            }
        });
        Ok(Self {
            start,
            spacing,
            links: links.collect(),
        })
    }

    /// When sending began.
    pub(crate) fn began(&self) -> Instant {
        self.start
    }

    fn due(&self, place: usize) -> Duration {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        self.spacing.unwrap_or_default() * place
    }

    /// Waits until everything that was due before `end` is answered, at most until `patience` is
    /// over. Without a rate there is nothing to wait for.
    pub(crate) async fn drain(&self, end: Duration, patience: Duration) {
        let begun = Instant::now();
        while self.spacing.is_some() && self.waits_for(end) && begun.elapsed() < patience {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn waits_for(&self, end: Duration) -> bool {
        self.links.iter().any(|link| {
            let book = lock(&link.book);
            let due = |(place, _): &(usize, &Option<Duration>)| self.due(*place) < end;
            let mut places = book.answered.iter().enumerate().take_while(due);
            places.any(|(_, answered)| answered.is_none())
        })
    }

    /// What was seen from `from` to `to`, both since the start.
    pub(crate) fn seen(&self, from: Duration, to: Duration) -> Result<Seen, Failure> {
        let mut seen = Seen {
            committed: 0,
            latency: Histogram::new_with_bounds(1, LATENCY_MAX, 3)?,
            lost: 0,
            refused: 0,
        };
        for link in &self.links {
            let book = lock(&link.book);
            if let Some(why) = &book.why {
                return Err(format!("the link to replica {} ended: {why}", link.replica).into());
            }
            seen.refused += book.refused;
            for (place, answered) in book.answered.iter().enumerate() {
                let due = self.due(place);
                let measured = self.spacing.is_some() && (from..to).contains(&due);
                match answered {
                    Some(at) => {
                        seen.committed += u64::from((from..to).contains(at));
                        if measured {
                            let took = at.saturating_sub(due).as_micros();
                            let took = u64::try_from(took)?.clamp(1, LATENCY_MAX);
                            seen.latency.record(took)?;
                        }
                    }
                    None => seen.lost += u64::from(measured),
                }
            }
        }
        Ok(seen)
    }

    /// Times of all answers since the start, sorted, but for those of one replica.
    pub(crate) fn answers(&self, but: usize) -> Vec<Duration> {
        let others = self.links.iter().filter(|link| link.replica != but);
        let mut times: Vec<_> = others
            .flat_map(|link| lock(&link.book).answered.clone())
            .flatten()
            .collect();
        times.sort_unstable();
        times
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let tasks = self.links.iter().flat_map(|link| &link.tasks);
        tasks.for_each(tokio::task::JoinHandle::abort);
    }
}

fn lock(book: &Mutex<Book>) -> std::sync::MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn dial(
    address: &str,
    replica: usize,
    identity: &Identity,
) -> Result<impl AsyncRead + AsyncWrite + Send + use<>, Failure> {
    Ok(transport::dial(address, network_id(replica), identity, Role::Client).await?)
}

async fn send(
    mut link: impl AsyncWrite + Unpin,
    script: Script,
    start: Instant,
    spacing: Option<Duration>,
) {
    tokio::time::sleep_until(start.into()).await;
    let mut sent = 0;
    while sent < script.count {
        let due = match spacing {
            None => sent + CHUNK,
            Some(spacing) => {
                let due = start.elapsed().as_nanos() / spacing.as_nanos().max(1) + 1;
                usize::try_from(due).unwrap_or(usize::MAX)
            }
        };
        let due = due.min(script.count);
        if due > sent {
            let bytes = sent * script.frame_bytes..due * script.frame_bytes;
            let written = link.write_all(&script.frames[bytes]).await;
            if written.is_err() || link.flush().await.is_err() {
                return; // `hear` says why
            }
            sent = due;
        }
        if spacing.is_some() {
            tokio::time::sleep(TICK).await;
        }
    }
}

async fn hear(
    mut link: impl AsyncRead + Unpin,
    clients: BTreeMap<ClientKey, usize>,
    start: Instant,
    book: Arc<Mutex<Book>>,
) {
    loop {
        let frame = match frame::read(&mut link, ANSWER_BYTES_MAX).await {
            Ok(frame) => frame,
            Err(error) => {
                lock(&book).why = Some(error.to_string());
                return;
            }
        };
        let now = start.elapsed();
        let Ok(Reply::Answer(answer)) = Reply::from_bytes(&frame) else {
            lock(&book).why = Some("it sent what is no answer".into());
            return;
        };
        let mut book = lock(&book);
        let Some(place) = clients.get(&answer.client) else {
            continue;
        };
        let turn = usize::try_from(answer.sequence).unwrap_or(usize::MAX);
        let place = turn.saturating_sub(1).saturating_mul(clients.len()) + place;
        match (answer.outcome, book.answered.get_mut(place)) {
            (Outcome::Executed { .. }, Some(answered)) => *answered = Some(now),
            _ => book.refused += 1,
        }
    }
}
