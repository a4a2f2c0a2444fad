//! The one port: accepts links, bounds those that have not shown a key yet, and hands each of the
//! others to what its role is for.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use super::clients;
use super::node::Shared;
use super::parties::Party;
use super::stream;
use super::tls::{NetworkKey, Role};

/// A handshake takes no longer.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// Links of one address that have not shown a key yet; the oldest goes when another comes.
pub const UNKNOWN_PER_SOURCE: usize = 16;
/// The same for all addresses together.
pub const UNKNOWN_IN_ALL: usize = 128;
/// Links of one client or observer.
pub const LINKS_PER_PARTY: usize = 16;
/// Refusals of one address are logged this often at most, with their number.
const LOG_TIME: Duration = Duration::from_secs(10);
/// Addresses whose refusals are counted apart.
const SOURCES_COUNTED: usize = 1024;

/// What came to the port, for the metrics.
#[derive(Debug, Default)]
pub struct PortCounts {
    /// Links that were accepted by the system.
    pub accepted: AtomicU64,
    /// Links that ended without a known key, or were pushed out before.
    pub refused: AtomicU64,
}

/// Links whose handshake is under way, oldest first.
#[derive(Debug, Default)]
struct Unknown {
    links: VecDeque<(IpAddr, AbortHandle)>,
}

impl Unknown {
    /// Takes in one more; answers whether another had to go for it.
    fn admit(&mut self, source: IpAddr, link: AbortHandle) -> bool {
        self.links.retain(|(_, link)| !link.is_finished());
        let of_source = self.links.iter().filter(|(ip, _)| *ip == source).count();
        let pushed = if of_source >= UNKNOWN_PER_SOURCE {
            self.links.iter().position(|(ip, _)| *ip == source)
        } else if self.links.len() >= UNKNOWN_IN_ALL {
            Some(0)
        } else {
            None
        };
        if let Some((_, oldest)) = pushed.and_then(|place| self.links.remove(place)) {
            oldest.abort();
        }
        self.links.push_back((source, link));
        pushed.is_some()
    }
}

/// Counts refusals by address, so that a flood makes one line and not a thousand.
#[derive(Debug, Default)]
struct Refusals {
    sources: BTreeMap<IpAddr, (Option<Instant>, u64)>,
}

impl Refusals {
    fn note(&mut self, source: IpAddr, why: &str) {
        if self.sources.len() >= SOURCES_COUNTED && !self.sources.contains_key(&source) {
            self.sources.clear();
        }
        let (logged, count) = self.sources.entry(source).or_default();
        *count += 1;
        if logged.is_none_or(|at| at.elapsed() >= LOG_TIME) {
            warn!(%source, refused = *count, "a link was refused: {why}");
            *logged = Some(Instant::now());
            *count = 0;
        }
    }
}

/// The port's state.
#[derive(Default)]
pub struct Port {
    unknown: Mutex<Unknown>,
    refusals: Mutex<Refusals>,
    links: Mutex<BTreeMap<NetworkKey, usize>>,
    /// Counters.
    pub counts: PortCounts,
}

impl Port {
    fn refuse(&self, source: IpAddr, why: &str) {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        lock(&self.refusals).note(source, why);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Accepts links for ever.
pub async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    loop {
        let (socket, source) = match listener.accept().await {
            Ok((socket, address)) => (socket, address.ip()),
            Err(error) => {
                // Out of files, most likely: links that end will free some.
                warn!("no link can be accepted: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        shared.port.counts.accepted.fetch_add(1, Ordering::Relaxed);
        let (acceptor, task_shared) = (acceptor.clone(), shared.clone());
        let mut closing = shared.closing.subscribe();
        let shake = tokio::spawn(async move {
            tokio::select! {
                () = handshake(socket, source, acceptor, task_shared) => {}
                _ = closing.wait_for(|closing| *closing) => {}
            }
        });
        if lock(&shared.port.unknown).admit(source, shake.abort_handle()) {
            shared
                .port
                .refuse(source, "too many links that have not shown a key");
        }
    }
}

/// Learns who is there. What follows runs in a task of its own, out of the bounds of the unknown.
async fn handshake(socket: TcpStream, source: IpAddr, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    if let Err(error) = socket.set_nodelay(true) {
        debug!(%source, "{error}");
    }
    let link = match timeout(HANDSHAKE_TIME, acceptor.accept(socket)).await {
        Ok(Ok(link)) => link,
        Ok(Err(error)) => return shared.port.refuse(source, &format!("handshake: {error}")),
        Err(_) => return shared.port.refuse(source, "no handshake in time"),
    };
    let Some((key, role)) = shared.identity.accepted(link.get_ref().1) else {
        return shared.port.refuse(source, "no role was agreed");
    };
    let Some(party) = shared.links.parties().party(&key).cloned() else {
        return shared.port.refuse(source, "the key is unknown"); // the verifier knew it
    };
    if !party.may(role) {
        let why = format!(
            "{} ({key}) may not have a link of role {role:?}",
            party.name
        );
        return shared.port.refuse(source, &why);
    }
    let mut closing = shared.closing.subscribe();
    tokio::spawn(async move {
        tokio::select! {
            () = serve(link, source, key, party, role, shared) => {}
            _ = closing.wait_for(|closing| *closing) => {}
        }
    });
}

type Link = tokio_rustls::server::TlsStream<TcpStream>;

async fn serve(
    link: Link,
    source: IpAddr,
    key: NetworkKey,
    party: Party,
    role: Role,
    shared: Arc<Shared>,
) {
    if let (Role::Peer, Some(peer)) = (role, party.peer) {
        if shared.links.is_banned(peer) {
            debug!(peer = %party.name, "kept out");
            return;
        }
        let links = shared.links.clone();
        let mut closing = shared.closing.subscribe();
        let replaced = Arc::new(Notify::new());
        let by_another = replaced.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = links.receive(peer, link, &by_another) => {}
                _ = closing.wait_for(|closing| *closing) => {}
            }
        });
        return shared.links.replace(peer, task.abort_handle(), replaced);
    }
    let Some(_place) = Place::take(&shared.port, key) else {
        return shared.port.refuse(
            source,
            &format!("{} has {LINKS_PER_PARTY} links already", party.name),
        );
    };
    match role {
        Role::Client => clients::serve(link, &party, &shared).await,
        _ => stream::serve(link, &party, &shared).await,
    }
}

/// One of a party's links.
struct Place<'a> {
    port: &'a Port,
    key: NetworkKey,
}

impl<'a> Place<'a> {
    fn take(port: &'a Port, key: NetworkKey) -> Option<Self> {
        let mut links = lock(&port.links);
        let count = links.entry(key).or_default();
        (*count < LINKS_PER_PARTY).then(|| {
            *count += 1;
            Self { port, key }
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut links = lock(&self.port.links);
        if let Some(count) = links.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                links.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flood_from_one_address_pushes_out_only_its_own() {
        let mut unknown = Unknown::default();
        let idle = || tokio::spawn(std::future::pending::<()>()).abort_handle();
        let (flood, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let honest = tokio::spawn(std::future::pending::<()>());
        assert!(!unknown.admit(other, honest.abort_handle()));
        let pushed = (0..1000).filter(|_| unknown.admit(flood, idle())).count();
        assert_eq!(pushed, 1000 - UNKNOWN_PER_SOURCE);
        assert_eq!(unknown.links.len(), UNKNOWN_PER_SOURCE + 1);
        tokio::task::yield_now().await;
        assert!(!honest.is_finished());
    }

    #[tokio::test]
    async fn all_addresses_together_are_bounded() {
        let mut unknown = Unknown::default();
        for n in 0..1000u32 {
            let idle = tokio::spawn(std::future::pending::<()>()).abort_handle();
            unknown.admit(IpAddr::from(n.to_be_bytes()), idle);
            assert!(unknown.links.len() <= UNKNOWN_IN_ALL);
        }
    }
}
