//! The application of both systems: clients append bodies of 512 bytes, each once and in order.

use std::collections::BTreeMap;

use ed25519_dalek::{Signer as _, SigningKey};
use quorate_pbft::app::{App, Applied, Client};
use quorate_pbft::request::{ClientKey, Payload, Request};
use quorate_verifier::header::Header;
use quorate_verifier::primitives::Digest;
use quorate_verifier::signature::{Signature, VoteKey};
use sha2::{Digest as _, Sha256};

/// Bytes that each request appends.
pub(crate) const BODY_BYTES: usize = 512;
/// Clients that sign requests.
pub(crate) const CLIENTS: usize = 64;

/// The secret key of a client; there is nothing to protect.
pub(crate) fn client_secret(client: usize) -> SigningKey {
    let seed = Sha256::new()
        .chain_update(b"versus client")
        .chain_update(client.to_le_bytes());
    SigningKey::from_bytes(&seed.finalize().into())
}

/// A signed request of a client.
pub(crate) fn request(secret: &SigningKey, chain: &Digest, sequence: u64) -> Request {
    let client = ClientKey(secret.verifying_key().to_bytes());
    let mut body = vec![0; BODY_BYTES];
    body[..8].copy_from_slice(&sequence.to_le_bytes());
    body[8..40].copy_from_slice(&client.0);
    let bytes = Request::signed_bytes(chain, &client, sequence, &body);
    Request {
        client,
        sequence,
        body,
        signature: Signature::from_bytes(secret.sign(&bytes).to_bytes()),
    }
}

/// The public keys of all clients.
pub(crate) fn clients() -> BTreeMap<ClientKey, VoteKey> {
    (0..CLIENTS)
        .map(|client| {
            let key = client_secret(client).verifying_key().to_bytes();
            let checked = VoteKey::from_bytes(&key).expect("a multiple of the base point");
            (ClientKey(key), checked)
        })
        .collect()
}

/// Everything that was appended, in one hash, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Hash of the hash before and the bodies of one block.
    pub(crate) hash: [u8; 32],
    /// Requests so far.
    pub(crate) count: u64,
}

impl Tail {
    pub(crate) const EMPTY: Self = Self {
        hash: [0; 32],
        count: 0,
    };

    /// Bytes of the encoding.
    pub(crate) const BYTES: usize = 40;

    /// After the requests of a block.
    pub(crate) fn append<'a>(self, requests: impl IntoIterator<Item = &'a Request>) -> Self {
        let mut hash = Sha256::new().chain_update(self.hash);
        let mut count = self.count;
        for request in requests {
            hash.update(&request.body);
            count += 1;
        }
        Self {
            hash: hash.finalize().into(),
            count,
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..32].copy_from_slice(&self.hash);
        bytes[32..].copy_from_slice(&self.count.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (hash, count) = bytes.split_first_chunk::<32>()?;
        Some(Self {
            hash: *hash,
            count: u64::from_le_bytes(count.try_into().ok()?),
        })
    }
}

/// The state in memory, as Quorate's core asks for it.
#[derive(Clone, Debug)]
pub(crate) struct Appender {
    accounts: BTreeMap<ClientKey, (VoteKey, u64)>,
    tail: Tail,
}

impl Default for Appender {
    fn default() -> Self {
        let accounts = clients().into_iter().map(|(id, key)| (id, (key, 0)));
        Self {
            accounts: accounts.collect(),
            tail: Tail::EMPTY,
        }
    }
}

impl App for Appender {
    fn client(&self, key: &ClientKey) -> Option<Client> {
        let (key, sequence) = self.accounts.get(key)?.clone();
        Some(Client { key, sequence })
    }

    fn admit(&self, request: &Request) -> Result<(), String> {
        match request.body.len() {
            BODY_BYTES => Ok(()),
            other => Err(format!("a body has {BODY_BYTES} bytes, not {other}")),
        }
    }

    fn apply(&mut self, _header: &Header, payload: &Payload) -> Applied {
        let before = self.tail.count;
        for request in &payload.requests {
            if let Some((_, sequence)) = self.accounts.get_mut(&request.client) {
                *sequence = request.sequence;
            }
        }
        self.tail = self.tail.append(payload.requests.iter().map(AsRef::as_ref));
        let outcomes = (before..self.tail.count).map(|place| place.to_le_bytes().to_vec());
        Applied {
            outcomes: outcomes.collect(),
            change: None,
        }
    }

    fn root(&self) -> Digest {
        let mut hash = Sha256::new().chain_update(self.tail.to_bytes());
        for (_, sequence) in self.accounts.values() {
            hash.update(sequence.to_le_bytes());
        }
        Digest::from_bytes(hash.finalize().into())
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut bytes = self.tail.to_bytes().to_vec();
        for (_, sequence) in self.accounts.values() {
            bytes.extend_from_slice(&sequence.to_le_bytes());
        }
        bytes
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let wrong = || "the snapshot has another length".to_string();
        let (tail, rest) = snapshot.split_at_checked(Tail::BYTES).ok_or_else(wrong)?;
        if rest.len() != 8 * self.accounts.len() {
            return Err(wrong());
        }
        let tail = Tail::from_bytes(tail).ok_or_else(wrong)?;
        for ((_, sequence), bytes) in self.accounts.values_mut().zip(rest.as_chunks::<8>().0) {
            *sequence = u64::from_le_bytes(*bytes);
        }
        self.tail = tail;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_gives_the_same_root() {
        let secret = client_secret(3);
        let mut app = Appender::default();
        let requests = (1..4).map(|s| request(&secret, &Digest::ZERO, s).into());
        let payload = Payload {
            salt: [0; 32],
            requests: requests.collect(),
        };
        for request in &payload.requests {
            app.admit(request).expect("its body has the right length");
        }
        let empty = app.root();
        app.tail = app.tail.append(payload.requests.iter().map(AsRef::as_ref));
        let (key, account) = app.accounts.iter_mut().next().expect("there are clients");
        account.1 = 7;
        let key = *key;
        assert_ne!(app.root(), empty);
        let mut other = Appender::default();
        other.restore(&app.snapshot()).expect("its own bytes");
        assert_eq!(other.root(), app.root());
        assert_eq!(other.client(&key).map(|c| c.sequence), Some(7));
        assert!(other.restore(&app.snapshot()[1..]).is_err());
    }
}
