//! A replica of `hotstuff_rs`: its consensus, with links, storage and clients as Quorate's node
//! has them.

mod app;
mod checker;
mod network;
mod pool;
mod store;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use dalek2::{SigningKey, VerifyingKey};
use hotstuff_rs::replica::{Configuration, Replica, ReplicaSpec};
use hotstuff_rs::types::data_types::{BufferSize, ChainID, EpochLength, Power};
use hotstuff_rs::types::update_sets::AppStateUpdates;
use hotstuff_rs::types::validator_set::{ValidatorSet, ValidatorSetState};
use quorate_node::shell::clients::{Answer, OUTSTANDING, QUESTION_BYTES_MAX, Question, Reply};
use quorate_node::shell::outbox::Outbox;
use quorate_node::shell::status::Status;
use quorate_node::shell::tls::{Identity, NetworkKey, Role};
use quorate_node::shell::{frame, transport};
use quorate_pbft::limits::MESSAGE_BYTES_MAX;
use quorate_pbft::request::Request;
use quorate_verifier::encoding::Canonical;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;

use self::app::Appending;
use self::checker::Asked;
use self::network::{Links, MESSAGE, REQUEST};
use self::pool::Pool;
use self::store::Store;
use crate::Failure;
use crate::founding::{Shape, consensus_key, guest_key, name, network_id, network_key};

/// The library cuts view times to whole seconds: one is the least it can have.
const VIEW_TIME: Duration = Duration::from_secs(1);
/// Deadlines are counted from the start of an epoch, as if each view took its whole time. So an
/// epoch of one view notices a dead leader soonest.
const EPOCH_VIEWS: u32 = 1;
/// Bytes of messages of future views that are kept.
const BUFFER_BYTES: u64 = 64 << 20;
/// A replica without progress for so long asks for blocks. One that was a little late misses a
/// block for good otherwise, and with two of those nothing goes on.
const SYNC_TIME: Duration = Duration::from_millis(500);
/// As Quorate's links have them.
const TOGETHER_BYTES: usize = 64 << 10;
const ANSWERS_TOGETHER: usize = 64;
const REDIAL_TIME: Duration = Duration::from_millis(100);

/// What the tasks of one replica share.
struct Shared {
    index: usize,
    pool: Arc<Pool>,
    asked: Sender<Asked>,
    links: Links,
    keys: BTreeMap<NetworkKey, VerifyingKey>,
    identity: Identity,
}

fn secret(index: usize) -> SigningKey {
    SigningKey::from_bytes(&consensus_key(index).to_bytes())
}

/// Runs a replica; what is answered keeps it alive.
pub(crate) async fn start(
    shape: &Shape,
    index: usize,
    dir: &Path,
) -> Result<impl Sized + use<>, Failure> {
    let count = shape.ports.len();
    let identity = shape.identity(network_key(index))?;
    let pool = Arc::new(Pool::new(shape.chain()?));
    let outboxes: BTreeMap<_, _> = (0..count)
        .filter(|peer| *peer != index)
        .map(|peer| (peer, Arc::new(Outbox::default())))
        .collect();
    let by_key = outboxes.iter().map(|(peer, outbox)| {
        let key = secret(*peer).verifying_key();
        (key.to_bytes(), outbox.clone())
    });
    let links = Links::new(secret(index).verifying_key(), by_key.collect());
    let keys = (0..count).map(|peer| (network_id(peer), secret(peer).verifying_key()));
    let shared = Arc::new(Shared {
        index,
        pool: pool.clone(),
        asked: checker::start(pool.clone(), links.clone()),
        links: links.clone(),
        keys: keys.collect(),
        identity: identity.clone(),
    });

    let guest = NetworkKey(guest_key().verifying_key().to_bytes());
    let known = shared.keys.keys().copied().chain([guest]);
    let acceptor = TlsAcceptor::from(Arc::new(identity.server_config(known)?));
    let listener = TcpListener::bind(shape.address(index)).await?;
    tokio::spawn(accept(listener, acceptor, shared.clone()));
    for (peer, outbox) in outboxes {
        tokio::spawn(dial(
            shape.address(peer),
            network_id(peer),
            identity.clone(),
            outbox,
        ));
    }

    let (told, mut committed) = mpsc::unbounded_channel();
    let answers = pool.clone();
    tokio::spawn(async move {
        while let Some((height, block)) = committed.recv().await {
            answers.committed(height, &block);
        }
    });
    let store = Store::create(&dir.join("tree.redb"), told)?;
    let mut set = ValidatorSet::new();
    for peer in 0..count {
        set.put(&secret(peer).verifying_key(), Power::new(1));
    }
    let state = ValidatorSetState::new(set.clone(), set, None, true);
    Replica::initialize(store.clone(), AppStateUpdates::new(), state);
    let configuration = Configuration::builder()
        .me(secret(index))
        .chain_id(ChainID::new(1))
        .block_sync_request_limit(16)
        .block_sync_server_advertise_time(Duration::ZERO)
        .block_sync_response_timeout(Duration::from_secs(3))
        .block_sync_blacklist_expiry_time(Duration::from_secs(1))
        .block_sync_trigger_min_view_difference(2)
        .block_sync_trigger_timeout(SYNC_TIME)
        .progress_msg_buffer_capacity(BufferSize::new(BUFFER_BYTES))
        .epoch_length(EpochLength::new(EPOCH_VIEWS))
        .max_view_time(VIEW_TIME)
        .log_events(false)
        .build();
    let app = Appending {
        pool,
        batch: usize::try_from(shape.batch)?,
        block_time: Duration::from_millis(shape.block_ms.into()),
    };
    // The first view has a second from here, so every link should be up.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let replica = ReplicaSpec::builder()
        .app(app)
        .network(links)
        .kv_store(store)
        .configuration(configuration)
        .build();
    Ok(replica.start())
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        tokio::spawn(async move {
            if socket.set_nodelay(true).is_err() {
                return;
            }
            let Ok(link) = acceptor.accept(socket).await else {
                return;
            };
            match shared.identity.accepted(link.get_ref().1) {
                Some((key, Role::Peer)) => {
                    if let Some(peer) = shared.keys.get(&key).copied() {
                        receive(link, peer, &shared).await;
                    }
                }
                Some((_, Role::Client)) => serve(link, &shared).await,
                _ => {}
            }
        });
    }
}

/// Keeps a link to a peer up and sends what waits for it.
async fn dial(address: String, key: NetworkKey, identity: Identity, outbox: Arc<Outbox>) {
    loop {
        if let Ok(mut link) = transport::dial(&address, key, &identity, Role::Peer).await {
            let _ = outbox.connect();
            loop {
                let frames = outbox.next_few(TOGETHER_BYTES).await;
                if frame::write_all(&mut link, &frames).await.is_err() {
                    break;
                }
            }
            outbox.disconnect();
        }
        tokio::time::sleep(REDIAL_TIME).await;
    }
}

/// Takes a peer's messages, and the requests that it passes on.
async fn receive(
    mut link: tokio_rustls::server::TlsStream<TcpStream>,
    peer: VerifyingKey,
    shared: &Shared,
) {
    while let Ok(frame) = frame::read(&mut link, MESSAGE_BYTES_MAX).await {
        let taken = match frame.split_first() {
            Some((&MESSAGE, message)) => shared.links.received(peer, message),
            Some((&REQUEST, bytes)) => match Request::from_bytes(bytes) {
                Ok(request) => shared.asked.send((Arc::new(request), None)).is_ok(),
                _ => false,
            },
            _ => false,
        };
        if !taken {
            return;
        }
    }
}

/// Serves a client as Quorate's node does: so many requests at once, and no more are read.
async fn serve(link: impl AsyncRead + AsyncWrite, shared: &Shared) {
    let (mut reads, mut writes) = tokio::io::split(link);
    let room = Arc::new(Semaphore::new(OUTSTANDING));
    let (answer, mut answers) = mpsc::channel::<Answer>(OUTSTANDING);
    let (reply, mut replies) = mpsc::channel::<Reply>(4);
    let written = room.clone();
    let writer = async move {
        let mut answered = Vec::new();
        loop {
            let frames: Vec<_> = tokio::select! {
                count = answers.recv_many(&mut answered, ANSWERS_TOGETHER) => {
                    if count == 0 {
                        return;
                    }
                    written.add_permits(count);
                    let replies = answered.drain(..).map(Reply::Answer);
                    replies.map(|reply| reply.to_bytes()).collect()
                }
                Some(reply) = replies.recv() => vec![reply.to_bytes()],
            };
            if frame::write_all(&mut writes, &frames).await.is_err() {
                return;
            }
        }
    };
    let reader = async {
        while let Ok(frame) = frame::read(&mut reads, QUESTION_BYTES_MAX).await {
            match Question::from_bytes(&frame) {
                Ok(Question::Submit(request)) => {
                    let Ok(permit) = room.acquire().await else {
                        return;
                    };
                    permit.forget(); // given back when its answer is written
                    if shared.asked.send((request, Some(answer.clone()))).is_err() {
                        return;
                    }
                }
                Ok(Question::Status) => {
                    let json = serde_json::to_vec(&status(shared)).unwrap_or_default();
                    if reply.send(Reply::Status(json)).await.is_err() {
                        return;
                    }
                }
                _ => return,
            }
        }
    };
    tokio::select! {
        () = reader => {}
        () = writer => {}
    }
}

/// The answer to Quorate's question for the status; leaders change too fast to name one.
fn status(shared: &Shared) -> Status {
    Status {
        name: name(shared.index),
        chain: String::new(),
        height: shared.pool.height(),
        header: String::new(),
        time: String::new(),
        view: 0,
        primary: name(shared.index),
        changing_view: false,
        waiting_requests: 0,
        voting: "yes".into(),
        evidence: 0,
        certificate: None,
        peers: Vec::new(),
        uptime_s: 0,
    }
}
