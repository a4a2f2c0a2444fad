//! Links between validators. Each dials every other and sends on the link that it dialled; it
//! receives on the links that the others dialled. So there is nothing to agree on when both dial,
//! and a link that works in one direction only is noticed for what it is.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quorate_pbft::Peer;
use quorate_pbft::limits::MESSAGE_BYTES_MAX;
use quorate_pbft::message::Message;
use quorate_pbft::request::Request;
use quorate_verifier::encoding::Canonical;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tracing::{debug, info, warn};

use super::driver::{Asked, Event, Inlet};
use super::frame::{self, FrameError};
use super::outbox::Outbox;
use super::parties::{Machine, Parties};
use super::tls::{Identity, Role, server_name};

/// A connection and its handshake take no longer.
pub const CONNECT_TIME: Duration = Duration::from_secs(5);
/// An idle link carries an empty frame this often, and it is answered.
const PING_TIME: Duration = Duration::from_secs(2);
/// A link without any sign of life for this long is given up.
const SILENCE_TIME: Duration = Duration::from_secs(10);
/// A frame is written, or read, within this time.
const FRAME_TIME: Duration = Duration::from_secs(30);
/// Between two tries to reach a peer, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
/// The one word that is said against the direction of a link, before it is cut: another link with
/// the same key has taken its place. A machine that opens a new link has let go of its old one, so
/// whoever still hears this is not the only one with that key.
const REPLACED: [u8; 1] = [1];
/// That word is written within this time.
const NOTICE_TIME: Duration = Duration::from_secs(1);
/// A peer that sent what no correct one sends is not let in again for this long.
pub const BAN_TIME: Duration = Duration::from_secs(10);

/// Frames that wait are sent together until they have so many bytes.
const TOGETHER_BYTES: usize = 64 << 10;

/// What of one peer may wait for the core at once, in bytes; a small message counts for
/// [`MESSAGE_COST`], so that there are at most 256 of them.
const INBOX_BYTES: usize = 16 << 20;
/// The same for requests that one peer passes on.
const ASKED_BYTES: usize = 8 << 20;
const MESSAGE_COST: usize = INBOX_BYTES / 256;

/// The links of all peers.
pub struct Links {
    parties: Arc<Parties>,
    outboxes: Vec<Arc<Outbox>>,
    inboxes: Vec<Arc<Semaphore>>,
    asked: Vec<Arc<Semaphore>>,
    inlet: Inlet,
    accepted: Mutex<BTreeMap<Peer, (AbortHandle, Arc<Notify>)>>,
    banned: Mutex<BTreeMap<Peer, Instant>>,
}

impl Links {
    /// Nobody is connected yet; what comes in goes to `inlet`.
    pub fn new(parties: Arc<Parties>, inlet: Inlet) -> Self {
        let count = parties.machines().len();
        let budgets = |each| (0..count).map(move |_| Arc::new(Semaphore::new(each)));
        Self {
            parties,
            outboxes: (0..count).map(|_| Arc::default()).collect(),
            inboxes: budgets(INBOX_BYTES).collect(),
            asked: budgets(ASKED_BYTES).collect(),
            inlet,
            accepted: Mutex::default(),
            banned: Mutex::default(),
        }
    }

    /// A peer's queue and counters.
    pub fn outbox(&self, peer: Peer) -> Option<&Arc<Outbox>> {
        self.outboxes.get(usize::from(peer.0))
    }

    /// Who is who.
    pub fn parties(&self) -> &Parties {
        &self.parties
    }

    /// Peers whose own links are up.
    pub fn connected(&self) -> usize {
        let up = |outbox: &&Arc<Outbox>| outbox.accepted.load(Ordering::Relaxed) > 0;
        self.outboxes.iter().filter(up).count()
    }

    /// Whether a peer is kept out for the moment.
    pub fn is_banned(&self, peer: Peer) -> bool {
        let mut banned = self.banned.lock().unwrap_or_else(PoisonError::into_inner);
        let until = banned.get(&peer).copied();
        if until.is_some_and(|until| until <= Instant::now()) {
            banned.remove(&peer);
        }
        banned.contains_key(&peer)
    }

    /// Cuts a peer's link and keeps it out for a while.
    fn ban(&self, peer: Peer) {
        let until = Instant::now() + BAN_TIME;
        let mut banned = self.banned.lock().unwrap_or_else(PoisonError::into_inner);
        banned.insert(peer, until);
    }

    /// The newer of two links of one peer stays: the older one may be dead without knowing. If it
    /// is not, whoever is at its other end is told by `replaced`.
    pub fn replace(&self, peer: Peer, link: AbortHandle, replaced: Arc<Notify>) {
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((older, told)) = accepted.insert(peer, (link, replaced))
            && !older.is_finished()
        {
            told.notify_one();
            warn!(
                peer = %self.name(peer),
                "a second link with this network key has replaced the first"
            );
        }
    }

    /// A peer's name, for the log.
    pub fn name(&self, peer: Peer) -> String {
        let machine = self.parties.machine(peer);
        machine.map_or_else(|| format!("peer {}", peer.0), |m| m.name.to_string())
    }

    /// Receives from a peer until its link ends, or another one has `replaced` it.
    pub async fn receive(
        &self,
        peer: Peer,
        mut link: impl AsyncRead + AsyncWrite + Unpin,
        replaced: &Notify,
    ) {
        let (Some(outbox), Some(inbox)) = (
            self.outbox(peer),
            self.inboxes.get(usize::from(peer.0)).cloned(),
        ) else {
            return;
        };
        let _up = Up::new(outbox);
        outbox.redial.notify_one();
        info!(peer = %self.name(peer), "the peer has connected");
        let why = tokio::select! {
            why = self.receive_frames(peer, &mut link, outbox, &inbox) => why,
            () = replaced.notified() => {
                let notice = frame::write(&mut link, &REPLACED);
                let told = matches!(timeout(NOTICE_TIME, notice).await, Ok(Ok(())));
                let why = if told { "it was replaced, and told so" } else { "it was replaced" };
                (why.into(), Offence(false))
            }
        };
        if let Offence(true) = why.1 {
            outbox.faults.fetch_add(1, Ordering::Relaxed);
            warn!(
                peer = %self.name(peer),
                "{}; the peer is kept out for {} s",
                why.0,
                BAN_TIME.as_secs()
            );
            self.ban(peer);
        } else {
            info!(peer = %self.name(peer), "the peer's link has ended: {}", why.0);
        }
    }

    async fn receive_frames(
        &self,
        peer: Peer,
        mut link: impl AsyncRead + AsyncWrite + Unpin,
        outbox: &Outbox,
        inbox: &Arc<Semaphore>,
    ) -> (String, Offence) {
        loop {
            let frame = match timeout(FRAME_TIME, frame::read(&mut link, MESSAGE_BYTES_MAX)).await {
                Ok(Ok(frame)) => frame,
                Ok(Err(error @ FrameError::TooLong { .. })) => {
                    return (error.to_string(), Offence(true));
                }
                Ok(Err(error)) => return (error.to_string(), Offence(false)),
                Err(_) => return ("no whole frame came in time".into(), Offence(false)),
            };
            if frame.is_empty() {
                match timeout(FRAME_TIME, frame::write(&mut link, &[])).await {
                    Ok(Ok(())) => continue,
                    _ => return ("the link takes no answer".into(), Offence(false)),
                }
            }
            outbox.received.fetch_add(1, Ordering::Relaxed);
            let message = match Message::from_bytes(&frame) {
                Ok(message) => message,
                Err(error) => {
                    return (format!("a frame is no message: {error}"), Offence(true));
                }
            };
            let message = match message {
                Message::Requests(requests) => {
                    self.take_requests(peer, requests, frame.len(), outbox);
                    continue;
                }
                message => message,
            };
            // Whoever sends faster than the core works waits here, and so does its own queue.
            let cost = frame.len().max(MESSAGE_COST);
            drop(frame);
            let cost = u32::try_from(cost).unwrap_or(u32::MAX);
            let Ok(budget) = inbox.clone().acquire_many_owned(cost).await else {
                return ("the node stops".into(), Offence(false));
            };
            let event = Event::Message {
                from: peer,
                message,
                budget,
            };
            if self.inlet.events.send(event).await.is_err() {
                return ("the node stops".into(), Offence(false));
            }
        }
    }

    /// Requests that a peer passes on wait in their own place, and are dropped when it is full: a
    /// vote behind them must not wait. They come again, or in a block.
    fn take_requests(
        &self,
        from: Peer,
        requests: Vec<Arc<Request>>,
        bytes: usize,
        outbox: &Outbox,
    ) {
        let share = self.asked.get(usize::from(from.0)).cloned();
        let cost = u32::try_from(bytes.max(MESSAGE_COST)).unwrap_or(u32::MAX);
        let budget = share.and_then(|share| share.try_acquire_many_owned(cost).ok());
        let taken = budget.is_some_and(|budget| {
            let asked = Asked::Peer {
                from,
                requests,
                budget,
            };
            self.inlet.asked.try_send(asked).is_ok()
        });
        if !taken {
            outbox.overlooked.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Keeps a link to a peer up and sends what waits for it, for ever.
    pub async fn dial(&self, peer: Peer, machine: Machine, identity: Identity) {
        let Some(outbox) = self.outbox(peer).cloned() else {
            return;
        };
        let mut pause = BACKOFF.0;
        let mut failing = false;
        loop {
            match connect(&machine, &identity, Role::Peer).await {
                Ok(link) => {
                    info!(peer = %machine.name, address = %machine.address, "connected");
                    let since = Instant::now();
                    let why = send_frames(&outbox, link).await;
                    outbox.disconnect();
                    failing = false;
                    info!(peer = %machine.name, "the link to the peer has ended: {why}");
                    if matches!(why, End::Replaced) {
                        // If the driver has ended, so does this task.
                        let _ = self
                            .inlet
                            .events
                            .send(Event::Elsewhere { told_by: peer })
                            .await;
                    }
                    if since.elapsed() > BACKOFF.1 {
                        pause = BACKOFF.0;
                    }
                }
                Err(why) => {
                    if !failing {
                        warn!(peer = %machine.name, address = %machine.address, "cannot connect: {why}");
                    } else {
                        debug!(peer = %machine.name, "cannot connect: {why}");
                    }
                    failing = true;
                }
            }
            // A peer that has just dialled is there again.
            let _ = timeout(pause, outbox.redial.notified()).await;
            pause = (pause * 2).min(BACKOFF.1);
        }
    }
}

/// Whether the end of a link was the peer's fault.
struct Offence(bool);

/// Why a link that was dialled has ended.
enum End {
    /// Another link with this machine's key has taken its place.
    Replaced,
    /// In words.
    Other(String),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Replaced => f.write_str("another machine with this network key has connected"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

/// Counts a peer's own link as up while it lives, also when its task is aborted.
struct Up<'a>(&'a Outbox);

impl<'a> Up<'a> {
    fn new(outbox: &'a Outbox) -> Self {
        outbox.accepted.fetch_add(1, Ordering::Relaxed);
        Self(outbox)
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        self.0.accepted.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A TLS link to a machine, its key and role agreed.
///
/// # Errors
/// Why there is none, in words.
pub async fn connect(
    machine: &Machine,
    identity: &Identity,
    role: Role,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
    dial(
        machine.address.as_str(),
        machine.network_key,
        identity,
        role,
    )
    .await
}

/// A TLS link to whoever listens at an address, if it has this key.
///
/// # Errors
/// Why there is none, in words.
pub async fn dial(
    address: &str,
    key: super::tls::NetworkKey,
    identity: &Identity,
    role: Role,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
    let shaken = async {
        let socket = TcpStream::connect(address)
            .await
            .map_err(|error| error.to_string())?;
        socket
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        let config = identity
            .client_config(key, role)
            .map_err(|error| error.to_string())?;
        let link = TlsConnector::from(Arc::new(config))
            .connect(server_name(), socket)
            .await
            .map_err(|error| format!("handshake: {error}"))?;
        if identity.agreed(link.get_ref().1, role) {
            Ok(link)
        } else {
            Err("the other side speaks another protocol".into())
        }
    };
    match timeout(CONNECT_TIME, shaken).await {
        Ok(result) => result,
        Err(_) => Err("no answer in time".into()),
    }
}

/// Sends what waits, and empty frames when nothing does; answers why it ended.
async fn send_frames(outbox: &Outbox, link: impl AsyncRead + AsyncWrite) -> End {
    let (mut reads, mut writes) = tokio::io::split(link);
    let sends = async {
        for greeting in outbox.connect() {
            send_frame(&mut writes, &greeting).await?;
        }
        loop {
            match timeout(PING_TIME, outbox.next_few(TOGETHER_BYTES)).await {
                Ok(frames) => {
                    send_together(&mut writes, &frames).await?;
                    let count = u64::try_from(frames.len()).unwrap_or(u64::MAX);
                    outbox.sent.fetch_add(count, Ordering::Relaxed);
                }
                Err(_) => send_frame(&mut writes, &[]).await?,
            }
        }
    };
    // While frames are sent there are no pings, and no answers are owed.
    let hears = async {
        let mut silent = Instant::now();
        let mut sent = outbox.sent.load(Ordering::Relaxed);
        loop {
            // An answer is four zero bytes, so one that is cut by the timeout does no harm.
            match timeout(PING_TIME, frame::read(&mut reads, REPLACED.len())).await {
                Ok(Ok(frame)) if frame == REPLACED => return End::Replaced,
                Ok(Ok(_)) => silent = Instant::now(),
                Ok(Err(error)) => return End::Other(error.to_string()),
                Err(_) => {}
            }
            let now = outbox.sent.load(Ordering::Relaxed);
            if now != sent {
                (sent, silent) = (now, Instant::now());
            }
            if silent.elapsed() > SILENCE_TIME {
                return End::Other("the peer is silent".into());
            }
        }
    };
    let sends = async {
        let result: Result<std::convert::Infallible, String> = sends.await;
        match result {
            Ok(never) => match never {},
            Err(why) => End::Other(why),
        }
    };
    tokio::select! {
        biased;
        why = hears => why,
        why = sends => why,
    }
}

async fn send_frame(link: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> Result<(), String> {
    send_together(link, &[frame]).await
}

async fn send_together(
    link: &mut (impl AsyncWrite + Unpin),
    frames: &[impl AsRef<[u8]>],
) -> Result<(), String> {
    match timeout(FRAME_TIME, frame::write_all(link, frames)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the peer takes nothing".into()),
    }
}
