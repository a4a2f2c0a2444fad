//! Client requests and the payload of a block: `docs/consensus.md#request`.

use std::fmt;
use std::sync::Arc;

use quorate_verifier::encoding::{Canonical, DecodeError, Reader};
use quorate_verifier::merkle;
use quorate_verifier::message::Tag;
use quorate_verifier::primitives::Digest;
use quorate_verifier::signature::{Signature, VoteKey};
use sha2::{Digest as _, Sha256};

use crate::limits::{PAYLOAD_BYTES_MAX, PAYLOAD_REQUESTS_MAX, REQUEST_BYTES_MAX};
use crate::scheme::Scheme;

/// Bytes of salt before a request in its leaf of the payload tree.
pub const LEAF_SALT_BYTES: usize = 16;
/// Bytes of a request beside its body: client, sequence, length, signature.
pub const REQUEST_OVERHEAD_BYTES: usize = 32 + 8 + 4 + 64;
/// Domain of the salts of a payload; no tag of the claim has these bytes.
const SALT_DOMAIN: &[u8; 15] = b"quorate-psalts1";

/// A client's Ed25519 key, unchecked: the application knows which keys are clients.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey(pub [u8; 32]);

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientKey({})", Digest::from_bytes(self.0))
    }
}

/// What a client asks to be executed, once.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub client: ClientKey,
    /// One above the client's last executed request; the first is 1.
    pub sequence: u64,
    /// For the application.
    pub body: Vec<u8>,
    /// Of [`Request::signed_bytes`].
    pub signature: Signature,
}

impl Request {
    /// What the client signs: tag, chain, key, sequence, digest of the body.
    pub fn signed_bytes(chain: &Digest, client: &ClientKey, sequence: u64, body: &[u8]) -> Vec<u8> {
        let mut bytes = Tag::REQUEST.message(chain.as_bytes());
        bytes.extend_from_slice(&client.0);
        bytes.extend_from_slice(&sequence.to_le_bytes());
        bytes.extend_from_slice(&Sha256::digest(body));
        bytes
    }

    /// Length of the canonical encoding.
    pub fn size(&self) -> usize {
        REQUEST_OVERHEAD_BYTES + self.body.len()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            client,
            sequence,
            body,
            ..
        } = self;
        write!(f, "Request({client:?}, {sequence}, {} bytes)", body.len())
    }
}

/// For each of these requests whether the key has signed it for the chain with this genesis digest.
pub fn are_signed<S: Scheme>(
    scheme: &S,
    chain: &Digest,
    requests: &[(&Request, &VoteKey)],
) -> Vec<bool> {
    let bytes = requests.iter().map(|(request, _)| {
        let Request {
            client,
            sequence,
            body,
            ..
        } = request;
        Request::signed_bytes(chain, client, *sequence, body)
    });
    let bytes: Vec<_> = bytes.collect();
    let items = requests.iter().zip(&bytes);
    let items = items.map(|((request, key), bytes)| (*key, bytes.as_slice(), &request.signature));
    scheme.verify_each(&items.collect::<Vec<_>>())
}

/// The requests of a block, in order, and the salt that hides each from its neighbours.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// 32 bytes that nobody outside can guess.
    pub salt: [u8; 32],
    /// The requests, in the order of execution.
    pub requests: Vec<Arc<Request>>,
}

impl Payload {
    /// RFC 6962 root over the leaves `salt16 ‖ request`.
    pub fn root(&self) -> Digest {
        merkle::root_of((0..self.requests.len()).filter_map(|i| self.leaf(i)))
    }

    /// The leaf of one request, to be shown with its path.
    pub fn leaf(&self, index: usize) -> Option<Vec<u8>> {
        let request = self.requests.get(index)?;
        let mut leaf = Vec::with_capacity(LEAF_SALT_BYTES + request.size());
        leaf.extend_from_slice(&leaf_salt(&self.salt, index));
        request.write(&mut leaf);
        Some(leaf)
    }

    /// Bytes of all requests.
    pub fn size(&self) -> usize {
        self.requests.iter().map(|r| r.size()).sum()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Payload({} requests, {} bytes)",
            self.requests.len(),
            self.size()
        )
    }
}

fn leaf_salt(salt: &[u8; 32], index: usize) -> [u8; LEAF_SALT_BYTES] {
    let hash = Sha256::new()
        .chain_update(SALT_DOMAIN)
        .chain_update(salt)
        .chain_update((index as u64).to_le_bytes())
        .finalize();
    std::array::from_fn(|i| hash[i])
}

/// The salt of a block that is about to be proposed: secret to whoever lacks the replica's key.
pub(crate) fn payload_salt(key: &[u8; 32], parent: &Digest, view: u64) -> [u8; 32] {
    Sha256::new()
        .chain_update(SALT_DOMAIN)
        .chain_update(key)
        .chain_update(parent.as_bytes())
        .chain_update(view.to_le_bytes())
        .finalize()
        .into()
}

/// A `u32` length, at most `limit`, and so many bytes.
pub(crate) fn read_long<'a>(
    input: &mut Reader<'a>,
    field: &'static str,
    limit: usize,
) -> Result<&'a [u8], DecodeError> {
    let length = read_count(input, field, limit)?;
    input.take(field, length)
}

/// A `u32` count, at most `limit`.
pub(crate) fn read_count(
    input: &mut Reader<'_>,
    field: &'static str,
    limit: usize,
) -> Result<usize, DecodeError> {
    let length = usize::try_from(input.u32(field)?).unwrap_or(usize::MAX);
    if length > limit {
        Err(DecodeError::TooLong {
            field,
            length,
            limit,
        })
    } else {
        Ok(length)
    }
}

/// A `u32` count, at most `most`, and so many requests of `limit` bytes together.
pub(crate) fn read_requests(
    input: &mut Reader<'_>,
    most: usize,
    limit: usize,
) -> Result<Vec<Arc<Request>>, DecodeError> {
    let count = read_count(input, "requests", most)?;
    let before = input.left();
    let mut requests = Vec::new();
    for _ in 0..count {
        requests.push(Arc::new(Request::read(input)?));
        let length = before - input.left();
        if length > limit {
            return Err(DecodeError::TooLong {
                field: "requests",
                length,
                limit,
            });
        }
    }
    Ok(requests)
}

/// Appends a `u32` count.
///
/// # Panics
/// From 2^32 on; every list has a smaller limit.
pub(crate) fn write_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("every list has a limit below 2^32");
    out.extend_from_slice(&count.to_le_bytes());
}

impl Canonical for Request {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.client.0);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        write_count(out, self.body.len());
        out.extend_from_slice(&self.body);
        out.extend_from_slice(self.signature.as_bytes());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            client: ClientKey(input.array("client key")?),
            sequence: input.u64("sequence")?,
            body: read_long(input, "request body", REQUEST_BYTES_MAX)?.to_vec(),
            signature: input
                .array("request signature")
                .map(Signature::from_bytes)?,
        })
    }
}

impl Canonical for Payload {
    fn write(&self, out: &mut Vec<u8>) {
        out.reserve(self.salt.len() + 4 + self.size()); // a large one is not copied as it grows
        out.extend_from_slice(&self.salt);
        write_count(out, self.requests.len());
        for request in &self.requests {
            request.write(out);
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let salt = input.array("payload salt")?;
        let requests = read_requests(input, PAYLOAD_REQUESTS_MAX, PAYLOAD_BYTES_MAX)?;
        Ok(Self { salt, requests })
    }
}
