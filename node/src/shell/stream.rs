//! The certificate stream: final blocks from a height on, for the attestation service.
//!
//! The observer asks for a height; the node sends the opened set before the first header that it
//! signs, then every header with its certificate, in order. A block is sent when the next one is
//! final, so that its certificate holds the late votes too. The observer acknowledges heights; at
//! most [`WINDOW`] blocks are under way without one. An empty frame means that the node lives.

use std::sync::Arc;
use std::time::Duration;

use quorate_pbft::limits::{MESSAGE_BYTES_MAX, PAYLOAD_REQUESTS_MAX};
use quorate_pbft::request::Payload;
use quorate_verifier::certificate::{CertificateError, SignedHeader};
use quorate_verifier::encoding::{Canonical, DecodeError, Reader};
use quorate_verifier::primitives::{ChainId, Digest, Height};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::{SetCommitment, ValidatorSet};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{info, warn};

use super::frame::{self, FrameError};
use super::node::Shared;
use super::parties::Party;
use super::store::StoreError;
use super::tls::{Identity, NetworkKey, Role};
use super::transport;

/// Blocks that are under way without an acknowledgement.
pub const WINDOW: u64 = 64;
/// Largest frame of the stream: a block's requests and what became of them.
pub const ITEM_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;
/// Largest frame that an observer sends.
const ORDER_BYTES_MAX: usize = 16;
/// The observer says within this time what it wants.
const HELLO_TIME: Duration = Duration::from_secs(10);
/// Without news an empty frame is sent this often.
const HEARTBEAT_TIME: Duration = Duration::from_secs(3);
/// Without any frame for this long the node is given up.
const SILENCE_TIME: Duration = Duration::from_secs(15);
/// A frame is taken within this time.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// What an observer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Blocks from this height on, with or without requests and outcomes.
    From(Height, bool),
    /// Everything up to this height is safe with the observer.
    Ack(Height),
}

impl Canonical for Order {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::From(height, contents) => {
                out.push(1);
                height.write(out);
                out.push(u8::from(*contents));
            }
            Self::Ack(height) => {
                out.push(2);
                height.write(out);
            }
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match input.u8("order")? {
            1 => Self::From(Height::read(input)?, input.flag("contents")?),
            2 => Self::Ack(Height::read(input)?),
            byte => return Err(DecodeError::rule("order", format!("1 or 2, not {byte}"))),
        })
    }
}

/// A block's requests and what executing them gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The requests, with the salt of their leaves.
    pub payload: Payload,
    /// One for each request.
    pub outcomes: Vec<Vec<u8>>,
}

/// The end of a message or record: outcomes run to its last byte.
impl Canonical for Contents {
    fn write(&self, out: &mut Vec<u8>) {
        self.payload.write(out);
        for outcome in &self.outcomes {
            let length = u32::try_from(outcome.len()).expect("an outcome is small");
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(outcome);
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let payload = Payload::read(input)?;
        let mut outcomes = Vec::new();
        while input.left() > 0 && outcomes.len() < PAYLOAD_REQUESTS_MAX {
            let length = usize::try_from(input.u32("outcome")?).unwrap_or(usize::MAX);
            outcomes.push(input.take("outcome", length)?.to_vec());
        }
        Ok(Self { payload, outcomes })
    }
}

/// What a node sends.
#[derive(Clone, Debug)]
enum Frame {
    Set(Arc<ValidatorSet>),
    Block(Box<SignedHeader>, Option<Contents>),
}

impl Canonical for Frame {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Set(set) => {
                out.push(1);
                set.write(out);
            }
            Self::Block(signed, contents) => {
                out.push(2);
                signed.write(out);
                out.push(u8::from(contents.is_some()));
                if let Some(contents) = contents {
                    contents.write(out);
                }
            }
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match input.u8("item")? {
            1 => Self::Set(ValidatorSet::read(input).map(Arc::new)?),
            2 => {
                let signed = Box::new(SignedHeader::read(input)?);
                let is_full = input.flag("contents")?;
                let contents = is_full.then(|| Contents::read(input)).transpose()?;
                Self::Block(signed, contents)
            }
            byte => return Err(DecodeError::rule("item", format!("1 or 2, not {byte}"))),
        })
    }
}

/// Serves one observer until its link ends.
pub(super) async fn serve(
    link: impl AsyncRead + AsyncWrite + Send + 'static,
    party: &Party,
    shared: &Arc<Shared>,
) {
    info!(observer = %party.name, "an observer has connected");
    match serve_from(link, shared).await {
        Ok(()) => info!(observer = %party.name, "the observer has left"),
        Err(why) => warn!(observer = %party.name, "the observer's link has ended: {why}"),
    }
}

async fn serve_from(
    link: impl AsyncRead + AsyncWrite + Send + 'static,
    shared: &Arc<Shared>,
) -> Result<(), String> {
    let (mut reads, mut writes) = tokio::io::split(link);
    let first = timeout(HELLO_TIME, frame::read(&mut reads, ORDER_BYTES_MAX)).await;
    let first = first
        .map_err(|_| "it did not say what it wants".to_string())?
        .map_err(|error| error.to_string())?;
    let Ok(Order::From(from, contents)) = Order::from_bytes(&first) else {
        return Err("its first frame is not a height".into());
    };
    let (acked, mut acks) = tokio::sync::watch::channel(from.get().saturating_sub(1));
    let reader = async move {
        loop {
            match frame::read(&mut reads, ORDER_BYTES_MAX).await {
                Ok(frame) => match Order::from_bytes(&frame) {
                    Ok(Order::Ack(height)) => {
                        acked.send_modify(|acked| *acked = (*acked).max(height.get()));
                    }
                    _ => return Err("a frame is no acknowledgement".to_string()),
                },
                Err(FrameError::Closed) => return Ok(()),
                Err(error) => return Err(error.to_string()),
            }
        }
    };
    let sender = async {
        let mut progress = shared.progress.subscribe();
        let (mut next, mut told): (Height, Option<SetCommitment>) =
            (from.max(Height::new(1)), None);
        loop {
            let sealed = sealed(&progress.borrow_and_update());
            let room = next.get().saturating_sub(*acks.borrow_and_update()) <= WINDOW;
            if next.get() > sealed || !room {
                tokio::select! {
                    changed = progress.changed() => changed.map_err(|_| "the node stops")?,
                    changed = acks.changed() => changed.map_err(|_| "the link was closed")?,
                    () = tokio::time::sleep(HEARTBEAT_TIME) => write(&mut writes, &[]).await?,
                }
                continue;
            }
            let (frames, set) = read_block(shared, next, told, contents).await?;
            told = Some(set);
            for frame in frames {
                write(&mut writes, &frame).await?;
            }
            next = next.next().ok_or("the chain's end")?;
        }
    };
    let sender = async {
        let ended: Result<std::convert::Infallible, String> = sender.await;
        match ended {
            Ok(never) => match never {},
            Err(why) => Err(why),
        }
    };
    tokio::select! {
        ended = reader => ended,
        ended = sender => ended,
    }
}

/// The height whose certificate takes no more votes.
fn sealed(progress: &Option<super::status::Progress>) -> u64 {
    let height = progress
        .as_ref()
        .map_or(0, |progress| progress.height.get());
    height.saturating_sub(1)
}

async fn write(link: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> Result<(), String> {
    match timeout(WRITE_TIME, frame::write(link, frame)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it takes nothing".into()),
    }
}

/// Frames of one height, and the set that signs it.
async fn read_block(
    shared: &Arc<Shared>,
    height: Height,
    told: Option<SetCommitment>,
    contents: bool,
) -> Result<(Vec<Vec<u8>>, SetCommitment), String> {
    let store = shared.store.clone();
    let founding = shared.set.clone();
    let read = move || -> Result<_, StoreError> {
        let Some(block) = store.block(height)? else {
            return Ok(None);
        };
        let header = block.block.header().clone();
        let commitment = header.validators;
        let mut frames = Vec::new();
        if told != Some(commitment) {
            let set = match founding.commitment() == commitment {
                true => Some(founding),
                false => store.set(&commitment)?.map(Arc::new),
            };
            let Some(set) = set else { return Ok(None) };
            frames.push(Frame::Set(set).to_bytes());
        }
        let inside = match contents {
            true => Some(Contents {
                payload: block.block.payload().clone(),
                outcomes: store.outcomes(height)?.unwrap_or_default(),
            }),
            false => None,
        };
        let signed = SignedHeader {
            header,
            certificate: block.certificate,
        };
        frames.push(Frame::Block(Box::new(signed), inside).to_bytes());
        Ok(Some((frames, commitment)))
    };
    let read = tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| error.to_string())?;
    match read {
        Ok(Some(read)) => Ok(read),
        Ok(None) => Err(format!("height {} is not stored here", height.get())),
        Err(error) => Err(error.to_string()),
    }
}

/// Where a stream comes from.
#[derive(Clone)]
pub struct StreamConfig {
    /// The node's address, `host:port`.
    pub address: String,
    /// The node's network key.
    pub node: NetworkKey,
    /// The observer's own key, which the node's configuration lists.
    pub identity: Identity,
    /// The chain.
    pub chain: ChainId,
    /// Digest of the header before the first one, if it is known.
    pub parent: Option<Digest>,
    /// Whether requests and outcomes are wanted too.
    pub contents: bool,
}

/// Why a stream ended. The caller connects again from the height after the last one it has.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// There is no link.
    #[error("{address}: {why}")]
    Connect {
        /// The node's address.
        address: String,
        /// Why, in words.
        why: String,
    },
    /// The link ended.
    #[error("the node's link has ended: {0}")]
    Link(#[from] FrameError),
    /// Not even a sign of life came.
    #[error("the node is silent")]
    Silent,
    /// The node sent what is no item.
    #[error("the node sent what is no item: {0}")]
    Decode(#[from] DecodeError),
    /// Another height than the next one.
    #[error("height {found} came where {expected} was due")]
    Gap {
        /// What was due.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// A header that does not name the one before as its parent.
    #[error("height {0} does not follow the block before it")]
    Parent(u64),
    /// A header signed by another set than the one before it names as the next.
    #[error("height {0} is signed by another set than the block before it names")]
    NextSet(u64),
    /// The set that signs a header was not sent.
    #[error("the set that signs height {0} was not sent")]
    NoSet(u64),
    /// A certificate that does not hold.
    #[error("height {height}: {error}")]
    Certificate {
        /// Of the header.
        height: u64,
        /// The rule that is broken.
        error: CertificateError,
    },
    /// Requests or outcomes that are not those of the header.
    #[error("the contents of height {0} are not those that its header names")]
    Contents(u64),
}

/// A final block, checked: a quorum of the set has signed the header, and it follows the one before.
#[derive(Clone, Debug)]
pub struct StreamItem {
    /// Header and certificate. Names signers: not for outsiders.
    pub signed: SignedHeader,
    /// The set that signed it, with its salt.
    pub set: Arc<ValidatorSet>,
    /// Its requests and their outcomes, if they were asked for.
    pub contents: Option<Contents>,
}

/// An observer's link to one node.
pub struct CertificateStream {
    link: tokio_rustls::client::TlsStream<TcpStream>,
    config: StreamConfig,
    next: Height,
    parent: Option<Digest>,
    next_set: Option<SetCommitment>,
    set: Option<Arc<ValidatorSet>>,
}

impl CertificateStream {
    /// Dials a node and asks for all final blocks from a height on.
    ///
    /// # Errors
    /// [`StreamError::Connect`], [`StreamError::Link`].
    pub async fn connect(config: StreamConfig, from: Height) -> Result<Self, StreamError> {
        let link = transport::dial(
            &config.address,
            config.node,
            &config.identity,
            Role::Observer,
        )
        .await
        .map_err(|why| StreamError::Connect {
            address: config.address.clone(),
            why,
        })?;
        let next = from.max(Height::new(1));
        let mut stream = Self {
            link,
            next,
            parent: config.parent,
            next_set: None,
            set: None,
            config,
        };
        let contents = stream.config.contents;
        stream.order(Order::From(next, contents)).await?;
        Ok(stream)
    }

    async fn order(&mut self, order: Order) -> Result<(), StreamError> {
        let written = timeout(WRITE_TIME, frame::write(&mut self.link, &order.to_bytes())).await;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(FrameError::Io(error).into()),
            Err(_) => Err(StreamError::Silent),
        }
    }

    /// The next final block, however long it takes. Not safe to cancel: a dropped call may lose
    /// the place in the stream, and the stream has to be made anew.
    ///
    /// # Errors
    /// [`StreamError`]: the link, or something that the node sent does not hold.
    pub async fn next(&mut self) -> Result<StreamItem, StreamError> {
        loop {
            let frame = timeout(SILENCE_TIME, frame::read(&mut self.link, ITEM_BYTES_MAX))
                .await
                .map_err(|_| StreamError::Silent)??;
            if frame.is_empty() {
                continue;
            }
            match Frame::from_bytes(&frame)? {
                Frame::Set(set) => self.set = Some(set),
                Frame::Block(signed, contents) => return self.check(*signed, contents),
            }
        }
    }

    fn check(
        &mut self,
        signed: SignedHeader,
        contents: Option<Contents>,
    ) -> Result<StreamItem, StreamError> {
        let header = &signed.header;
        let height = header.height.get();
        if header.height != self.next {
            return Err(StreamError::Gap {
                expected: self.next.get(),
                found: height,
            });
        }
        if self.parent.is_some_and(|parent| parent != header.parent) {
            return Err(StreamError::Parent(height));
        }
        if self.next_set.is_some_and(|set| set != header.validators) {
            return Err(StreamError::NextSet(height));
        }
        let set = self.set.clone().ok_or(StreamError::NoSet(height))?;
        signed
            .verify(&self.config.chain, &set, QuorumRule::COMMIT)
            .map_err(|error| StreamError::Certificate { height, error })?;
        if let Some(contents) = &contents
            && (contents.payload.root() != header.payload_root
                || contents.outcomes.len() != contents.payload.requests.len())
        {
            return Err(StreamError::Contents(height));
        }
        self.parent = Some(header.digest());
        self.next_set = Some(header.next_validators);
        self.next = header.height.next().unwrap_or(header.height);
        Ok(StreamItem {
            signed,
            set,
            contents,
        })
    }

    /// Says that everything up to a height is safe with the observer; without it the node stops
    /// sending after [`WINDOW`] blocks.
    ///
    /// # Errors
    /// [`StreamError::Link`], [`StreamError::Silent`].
    pub async fn ack(&mut self, height: Height) -> Result<(), StreamError> {
        self.order(Order::Ack(height)).await
    }
}
