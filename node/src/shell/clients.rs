//! Requests and questions of clients: the protocol, its serving side, and the side that dials.
//!
//! A frame is one kind byte and the body. A client may have [`OUTSTANDING`] requests without an
//! answer; further ones are not read until answers have been taken.

use std::sync::Arc;
use std::time::Duration;

use quorate_pbft::limits::REQUEST_BYTES_MAX;
use quorate_pbft::request::{ClientKey, REQUEST_OVERHEAD_BYTES, Request};
use quorate_verifier::encoding::{Canonical, DecodeError, Reader, write_bytes};
use quorate_verifier::primitives::{Digest, Height};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::driver::{Asked, Event};
use super::frame::{self, FrameError};
use super::node::Shared;
use super::parties::Party;
use super::status::Status;
use super::tls::{Identity, NetworkKey, Role};
use super::transport;

/// Requests of one link that wait for their outcome at once.
pub const OUTSTANDING: usize = 512;
/// Answers that are written at once.
const ANSWERS_TOGETHER: usize = 64;
/// Largest frame that a client may send.
pub const QUESTION_BYTES_MAX: usize = 1 + REQUEST_OVERHEAD_BYTES + REQUEST_BYTES_MAX;
/// Largest frame that a node answers with: an outcome is far smaller than a block.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Longest reason of a refusal that is passed on, in bytes.
const REASON_BYTES_MAX: usize = 1024;
/// A link whose client neither asks nor waits for anything is closed after this long.
const IDLE_TIME: Duration = Duration::from_secs(300);
/// An answer is taken within this time.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in a final block and was executed; the application may still have rejected it.
    Executed {
        /// Of the block.
        height: Height,
        /// Its place in the block.
        index: u32,
        /// Of the executed request.
        digest: Digest,
        /// In the application's encoding.
        outcome: Vec<u8>,
    },
    /// The node does not take it, in words.
    Refused(String),
    /// The node has no room for it now: it may be sent again later.
    Busy,
}

/// A request's end, as it is told to whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Of the request.
    pub client: ClientKey,
    /// Of the request.
    pub sequence: u64,
    /// Of the request.
    pub digest: Digest,
    /// What became of it.
    pub outcome: Outcome,
}

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Execute this, and say what became of it.
    Submit(Arc<Request>),
    /// Which sequence was this client's last?
    Sequence(ClientKey),
    /// How are things?
    Status,
}

/// What a node sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A request's end.
    Answer(Answer),
    /// A client's last executed sequence; `None` for a stranger.
    Sequence(ClientKey, Option<u64>),
    /// A [`Status`] in JSON.
    Status(Vec<u8>),
}

impl Canonical for Question {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Submit(request) => {
                out.push(1);
                request.write(out);
            }
            Self::Sequence(client) => {
                out.push(2);
                out.extend_from_slice(&client.0);
            }
            Self::Status => out.push(3),
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match input.u8("question")? {
            1 => Self::Submit(Request::read(input).map(Arc::new)?),
            2 => Self::Sequence(ClientKey(input.array("client key")?)),
            3 => Self::Status,
            byte => return Err(DecodeError::rule("question", format!("1 to 3, not {byte}"))),
        })
    }
}

impl Canonical for Outcome {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Executed {
                height,
                index,
                digest,
                outcome,
            } => {
                out.push(1);
                height.write(out);
                out.extend_from_slice(&index.to_le_bytes());
                digest.write(out);
                let length = u32::try_from(outcome.len()).expect("an outcome is small");
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(outcome);
            }
            Self::Refused(reason) => {
                out.push(2);
                let mut end = reason.len().min(REASON_BYTES_MAX);
                while !reason.is_char_boundary(end) {
                    end -= 1;
                }
                write_bytes(out, &reason.as_bytes()[..end]);
            }
            Self::Busy => out.push(3),
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match input.u8("outcome")? {
            1 => Self::Executed {
                height: Height::read(input)?,
                index: input.u32("index")?,
                digest: Digest::read(input)?,
                outcome: {
                    let length = usize::try_from(input.u32("outcome")?).unwrap_or(usize::MAX);
                    input.take("outcome", length)?.to_vec()
                },
            },
            2 => Self::Refused(input.text("reason", REASON_BYTES_MAX)?.into()),
            3 => Self::Busy,
            byte => return Err(DecodeError::rule("outcome", format!("1 to 3, not {byte}"))),
        })
    }
}

impl Canonical for Reply {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Answer(answer) => {
                out.push(1);
                out.extend_from_slice(&answer.client.0);
                out.extend_from_slice(&answer.sequence.to_le_bytes());
                answer.digest.write(out);
                answer.outcome.write(out);
            }
            Self::Sequence(client, sequence) => {
                out.push(2);
                out.extend_from_slice(&client.0);
                out.push(u8::from(sequence.is_some()));
                out.extend_from_slice(&sequence.unwrap_or(0).to_le_bytes());
            }
            Self::Status(json) => {
                out.push(3);
                out.extend_from_slice(json);
            }
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match input.u8("reply")? {
            1 => Self::Answer(Answer {
                client: ClientKey(input.array("client key")?),
                sequence: input.u64("sequence")?,
                digest: Digest::read(input)?,
                outcome: Outcome::read(input)?,
            }),
            2 => {
                let client = ClientKey(input.array("client key")?);
                let known = input.flag("known client")?;
                let sequence = input.u64("sequence")?;
                Self::Sequence(client, known.then_some(sequence))
            }
            3 => Self::Status(input.take("status", input.left())?.to_vec()),
            byte => return Err(DecodeError::rule("reply", format!("1 to 3, not {byte}"))),
        })
    }
}

/// Serves one client until its link ends.
pub(super) async fn serve(
    link: impl AsyncRead + AsyncWrite + Send + 'static,
    party: &Party,
    shared: &Arc<Shared>,
) {
    debug!(client = %party.name, "a client has connected");
    let (mut reads, mut writes) = tokio::io::split(link);
    let room = Arc::new(Semaphore::new(OUTSTANDING));
    let (answer, mut answers) = mpsc::channel::<Answer>(OUTSTANDING);
    let (reply, mut replies) = mpsc::channel::<Reply>(4);
    let writer_room = room.clone();
    let writer = async move {
        let mut answered = Vec::new();
        loop {
            let frames: Vec<_> = tokio::select! {
                count = answers.recv_many(&mut answered, ANSWERS_TOGETHER) => {
                    if count == 0 {
                        return;
                    }
                    writer_room.add_permits(count);
                    let replies = answered.drain(..).map(Reply::Answer);
                    replies.map(|reply| reply.to_bytes()).collect()
                }
                Some(reply) = replies.recv() => vec![reply.to_bytes()],
            };
            match timeout(WRITE_TIME, frame::write_all(&mut writes, &frames)).await {
                Ok(Ok(())) => {}
                _ => return,
            }
        }
    };
    let reader = async {
        loop {
            // Only a client that waits for nothing is idle.
            let next = frame::read(&mut reads, QUESTION_BYTES_MAX);
            let frame = if room.available_permits() == OUTSTANDING {
                match timeout(IDLE_TIME, next).await {
                    Ok(frame) => frame,
                    Err(_) => return,
                }
            } else {
                next.await
            };
            let question = match frame {
                Ok(frame) => Question::from_bytes(&frame).map_err(|error| error.to_string()),
                Err(error @ FrameError::TooLong { .. }) => Err(error.to_string()),
                Err(_) => return,
            };
            match question {
                Ok(Question::Submit(request)) => {
                    let Ok(permit) = room.acquire().await else {
                        return;
                    };
                    permit.forget(); // given back when its answer is written
                    let answer = answer.clone();
                    if shared.ask(Asked::Client { request, answer }).await.is_err() {
                        return;
                    }
                }
                Ok(Question::Sequence(client)) => {
                    let (answer, known) = oneshot::channel();
                    if shared
                        .send(Event::Sequence { client, answer })
                        .await
                        .is_err()
                    {
                        return;
                    }
                    let Ok(sequence) = known.await else { return };
                    if reply.send(Reply::Sequence(client, sequence)).await.is_err() {
                        return;
                    }
                }
                Ok(Question::Status) => {
                    let json = serde_json::to_vec(&shared.status()).unwrap_or_default();
                    if reply.send(Reply::Status(json)).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    warn!(client = %party.name, "the client sent what is no question: {error}");
                    return;
                }
            }
        }
    };
    tokio::select! {
        () = reader => {}
        () = writer => {}
    }
    debug!(client = %party.name, "a client has left");
}

/// Why a node could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
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
    /// The node took or sent nothing in time.
    #[error("the node does not answer")]
    Silent,
    /// The node sent what is no reply.
    #[error("the node sent what is no reply: {0}")]
    Reply(String),
}

/// A client's link to one node.
pub struct ClientLink {
    link: tokio_rustls::client::TlsStream<TcpStream>,
}

/// A question other than a request is answered within this time.
const QUESTION_TIME: Duration = Duration::from_secs(10);

impl ClientLink {
    /// Dials the node at `address` that has the network key `node`.
    ///
    /// # Errors
    /// [`ClientError::Connect`].
    pub async fn connect(
        address: &str,
        node: NetworkKey,
        identity: &Identity,
    ) -> Result<Self, ClientError> {
        transport::dial(address, node, identity, Role::Client)
            .await
            .map(|link| Self { link })
            .map_err(|why| ClientError::Connect {
                address: address.into(),
                why,
            })
    }

    /// Sends a request; its [`Answer`] comes in its own time, out of order.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn submit(&mut self, request: &Arc<Request>) -> Result<(), ClientError> {
        self.ask(&Question::Submit(request.clone())).await
    }

    async fn ask(&mut self, question: &Question) -> Result<(), ClientError> {
        let bytes = question.to_bytes();
        match timeout(WRITE_TIME, frame::write(&mut self.link, &bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(FrameError::Io(error).into()),
            Err(_) => Err(ClientError::Silent),
        }
    }

    /// The next reply, within `time`.
    ///
    /// # Errors
    /// [`ClientError`]; after [`ClientError::Silent`] the link is of no more use.
    pub async fn next(&mut self, time: Duration) -> Result<Reply, ClientError> {
        let frame = timeout(time, frame::read(&mut self.link, ANSWER_BYTES_MAX))
            .await
            .map_err(|_| ClientError::Silent)??;
        Reply::from_bytes(&frame).map_err(|error| ClientError::Reply(error.to_string()))
    }

    /// A client's last executed sequence; nothing else may be under way on the link.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sequence(&mut self, client: ClientKey) -> Result<Option<u64>, ClientError> {
        self.ask(&Question::Sequence(client)).await?;
        match self.next(QUESTION_TIME).await? {
            Reply::Sequence(of, sequence) if of == client => Ok(sequence),
            _ => Err(ClientError::Reply("to another question".into())),
        }
    }

    /// The node's status; nothing else may be under way on the link.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&mut self) -> Result<Status, ClientError> {
        self.ask(&Question::Status).await?;
        match self.next(QUESTION_TIME).await? {
            Reply::Status(json) => {
                serde_json::from_slice(&json).map_err(|error| ClientError::Reply(error.to_string()))
            }
            _ => Err(ClientError::Reply("to another question".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_verifier::signature::Signature;

    fn request() -> Request {
        Request {
            client: ClientKey([1; 32]),
            sequence: 7,
            body: b"body".to_vec(),
            signature: Signature::from_bytes([2; 64]),
        }
    }

    fn answer(outcome: Outcome) -> Reply {
        Reply::Answer(Answer {
            client: ClientKey([1; 32]),
            sequence: 7,
            digest: Digest::ZERO,
            outcome,
        })
    }

    #[test]
    fn frames_round_trip_and_cuts_are_refused() {
        let questions = [
            Question::Submit(Arc::new(request())),
            Question::Sequence(ClientKey([3; 32])),
            Question::Status,
        ];
        for question in questions {
            let bytes = question.to_bytes();
            assert_eq!(Question::from_bytes(&bytes), Ok(question));
            for end in 0..bytes.len() {
                assert!(Question::from_bytes(&bytes[..end]).is_err());
            }
        }
        let executed = Outcome::Executed {
            height: Height::new(9),
            index: 3,
            digest: Digest::ZERO,
            outcome: b"done".to_vec(),
        };
        let replies = [
            answer(executed),
            answer(Outcome::Refused("no".into())),
            answer(Outcome::Busy),
            Reply::Sequence(ClientKey([3; 32]), None),
            Reply::Sequence(ClientKey([3; 32]), Some(9)),
        ];
        for reply in replies {
            let bytes = reply.to_bytes();
            assert_eq!(Reply::from_bytes(&bytes), Ok(reply));
            for end in 0..bytes.len() {
                assert!(Reply::from_bytes(&bytes[..end]).is_err());
            }
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_letters() {
        let reply = answer(Outcome::Refused("é".repeat(REASON_BYTES_MAX)));
        let Ok(Reply::Answer(answer)) = Reply::from_bytes(&reply.to_bytes()) else {
            panic!("no answer");
        };
        assert_eq!(
            answer.outcome,
            Outcome::Refused("é".repeat(REASON_BYTES_MAX / 2))
        );
    }
}
