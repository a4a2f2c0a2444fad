//! Requests in a file: written by people as operations, then given consents and a signature.

use ed25519_dalek::{Signer as _, SigningKey};
use quorate_pbft::request::{ClientKey, Request};
use quorate_verifier::encoding::{Canonical, DecodeError, Kind, Reader};
use quorate_verifier::file::FileType;
use quorate_verifier::primitives::Digest;
use quorate_verifier::signature::{Signature, VoteKey, verify_strict};
use serde::{Deserialize, Serialize};

use super::operation::{Body, CONSENTS_MAX, Consent, KeyBytes, Operation, SignatureBytes, bounded};

/// Most requests in one file.
pub const REQUESTS_MAX: usize = (1 << 16) - 1;

/// Requests on their way from an idea to a signed request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// Digest of the chain's genesis header, which every signature is bound to; absent until
    /// something is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<Digest>,
    /// The requests, in the order in which they are to be sent.
    #[serde(deserialize_with = "bounded::<REQUESTS_MAX, _, _>")]
    pub requests: Vec<Draft>,
}

/// One request, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// Key of the client who sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<KeyBytes>,
    /// One above the client's last executed request.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "decimal_option"
    )]
    pub sequence: Option<u64>,
    /// What is asked for.
    pub operation: Operation,
    /// Consents of the other sides.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "bounded::<CONSENTS_MAX, _, _>"
    )]
    pub consents: Vec<Consent>,
    /// The client's, over all of the above; made last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<SignatureBytes>,
}

/// Why a request cannot be signed or sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Bound to another chain.
    #[error("the file is for the chain whose genesis header is {file}, not {expected}")]
    OtherChain {
        /// In the file.
        file: Digest,
        /// The caller's.
        expected: Digest,
    },
    /// Not bound to a chain yet.
    #[error("nothing in the file is signed yet, not even its chain is named")]
    NoChain,
    /// Something is missing.
    #[error("request {index} has no {what} yet")]
    Missing {
        /// Place in the file, counted from 0.
        index: usize,
        /// What is missing.
        what: &'static str,
    },
    /// A signature stands already, and what it covers would change.
    #[error("request {0} is signed by its client already: nothing in it may change")]
    Signed(usize),
    /// Another client's.
    #[error("request {0} is another client's")]
    OtherClient(usize),
    /// A signature that does not hold.
    #[error("request {index}: the {whose} signature does not hold")]
    Signature {
        /// Place in the file, counted from 0.
        index: usize,
        /// `client's`, or `consent's`.
        whose: &'static str,
    },
    /// More consents than any operation needs.
    #[error("request {0} has {CONSENTS_MAX} consents, which is as many as any operation needs")]
    TooManyConsents(usize),
    /// Sequences end at 2^64 - 1.
    #[error("request {0} would have a sequence above 2^64 - 1")]
    SequenceOverflow(usize),
    /// The operation breaks a bound of its encoding.
    #[error("request {index}: {error}")]
    Operation {
        /// Place in the file, counted from 0.
        index: usize,
        /// The rule.
        error: DecodeError,
    },
}

impl Draft {
    /// An operation, and nothing else yet.
    pub const fn new(operation: Operation) -> Self {
        Self {
            client: None,
            sequence: None,
            operation,
            consents: Vec::new(),
            signature: None,
        }
    }

    fn body(&self, index: usize) -> Result<Vec<u8>, RequestError> {
        let body = Body {
            operation: self.operation.clone(),
            consents: self.consents.clone(),
        };
        let bytes = body.to_bytes();
        match Body::from_bytes(&bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(RequestError::Operation { index, error }),
        }
    }

    fn sender(&self, index: usize) -> Result<(ClientKey, u64), RequestError> {
        let missing = |what| RequestError::Missing { index, what };
        let client = self.client.ok_or(missing("client"))?;
        let sequence = self.sequence.ok_or(missing("sequence"))?;
        Ok((ClientKey(client.0), sequence))
    }
}

impl Requests {
    /// Operations, unsigned.
    pub fn of(operations: impl IntoIterator<Item = Operation>) -> Self {
        Self {
            chain: None,
            requests: operations.into_iter().map(Draft::new).collect(),
        }
    }

    /// Names the chain (digest of its genesis header) that everything will be signed for.
    ///
    /// # Errors
    /// [`RequestError::OtherChain`] when another one is named already.
    pub fn bind(&mut self, chain: Digest) -> Result<(), RequestError> {
        match self.chain {
            Some(file) if file != chain => Err(RequestError::OtherChain {
                file,
                expected: chain,
            }),
            _ => {
                self.chain = Some(chain);
                Ok(())
            }
        }
    }

    /// Makes this client the sender of every request that has none, with sequences from `first`
    /// on; answers how many. To be done before anybody consents: a consent is bound to both.
    ///
    /// # Errors
    /// [`RequestError::SequenceOverflow`].
    pub fn assign(&mut self, client: &VoteKey, first: u64) -> Result<usize, RequestError> {
        let (mut next, mut count) = (Some(first), 0);
        for (index, draft) in self.requests.iter_mut().enumerate() {
            if draft.client.is_none() && draft.sequence.is_none() {
                let sequence = next.ok_or(RequestError::SequenceOverflow(index))?;
                draft.client = Some(KeyBytes(*client.as_bytes()));
                draft.sequence = Some(sequence);
                next = sequence.checked_add(1);
                count += 1;
            }
        }
        Ok(count)
    }

    /// Adds a consent to the requests that `select` chooses, by place and draft. One by the same key is replaced.
    ///
    /// # Errors
    /// [`RequestError`] names the request and what is in the way; the file is then as before.
    pub fn consent(
        &mut self,
        key: &SigningKey,
        select: impl Fn(usize, &Draft) -> bool,
    ) -> Result<usize, RequestError> {
        let chain = self.chain.ok_or(RequestError::NoChain)?;
        let public = KeyBytes(key.verifying_key().to_bytes());
        let mut requests = self.requests.clone();
        let mut count = 0;
        for (index, draft) in requests.iter_mut().enumerate() {
            if !select(index, draft) {
                continue;
            }
            if draft.signature.is_some() {
                return Err(RequestError::Signed(index));
            }
            let (client, sequence) = draft.sender(index)?;
            draft.body(index)?;
            draft.consents.retain(|consent| consent.key != public);
            if draft.consents.len() >= CONSENTS_MAX {
                return Err(RequestError::TooManyConsents(index));
            }
            let bytes = Consent::signed_bytes(&chain, &client, sequence, &draft.operation);
            let signature = SignatureBytes(key.sign(&bytes).to_bytes());
            draft.consents.push(Consent {
                key: public,
                signature,
            });
            count += 1;
        }
        self.requests = requests;
        Ok(count)
    }

    /// Signs, as the client, every request of this key that is not signed yet.
    ///
    /// # Errors
    /// [`RequestError`] names the request and what is missing; the file is then as before.
    pub fn sign(&mut self, key: &SigningKey) -> Result<usize, RequestError> {
        let chain = self.chain.ok_or(RequestError::NoChain)?;
        let public = KeyBytes(key.verifying_key().to_bytes());
        let mut requests = self.requests.clone();
        let mut count = 0;
        for (index, draft) in requests.iter_mut().enumerate() {
            if draft.client != Some(public) || draft.signature.is_some() {
                continue;
            }
            let (client, sequence) = draft.sender(index)?;
            let bytes = Request::signed_bytes(&chain, &client, sequence, &draft.body(index)?);
            draft.signature = Some(SignatureBytes(key.sign(&bytes).to_bytes()));
            count += 1;
        }
        self.requests = requests;
        Ok(count)
    }

    /// The core's requests, every signature checked for this chain: what is submitted.
    ///
    /// # Errors
    /// [`RequestError`] names the first request that is not ready, and why.
    pub fn signed(&self, chain: &Digest) -> Result<Vec<Request>, RequestError> {
        match self.chain {
            None => return Err(RequestError::NoChain),
            Some(file) if file != *chain => {
                return Err(RequestError::OtherChain {
                    file,
                    expected: *chain,
                });
            }
            Some(_) => {}
        }
        let ready = |(index, draft)| check_signed(chain, index, draft);
        self.requests.iter().enumerate().map(ready).collect()
    }
}

fn check_signed(chain: &Digest, index: usize, draft: &Draft) -> Result<Request, RequestError> {
    let (client, sequence) = draft.sender(index)?;
    let signature = draft.signature.ok_or(RequestError::Missing {
        index,
        what: "signature of its client",
    })?;
    let body = draft.body(index)?;
    let holds = |key: &[u8; 32], bytes: &[u8], signature: &SignatureBytes| {
        let signature = Signature::from_bytes(signature.0);
        VoteKey::from_bytes(key).is_ok_and(|key| verify_strict(&key, bytes, &signature).is_ok())
    };
    let wrong = |whose| RequestError::Signature { index, whose };
    for consent in &draft.consents {
        let bytes = Consent::signed_bytes(chain, &client, sequence, &draft.operation);
        if !holds(&consent.key.0, &bytes, &consent.signature) {
            return Err(wrong("consent's"));
        }
    }
    let bytes = Request::signed_bytes(chain, &client, sequence, &body);
    if !holds(&client.0, &bytes, &signature) {
        return Err(wrong("client's"));
    }
    Ok(Request {
        client,
        sequence,
        body,
        signature: Signature::from_bytes(signature.0),
    })
}

impl Canonical for Draft {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.client.is_some()));
        if let Some(client) = &self.client {
            client.write(out);
        }
        out.push(u8::from(self.sequence.is_some()));
        if let Some(sequence) = &self.sequence {
            out.extend_from_slice(&sequence.to_le_bytes());
        }
        let body = Body {
            operation: self.operation.clone(),
            consents: self.consents.clone(),
        };
        body.write(out);
        out.push(u8::from(self.signature.is_some()));
        if let Some(signature) = &self.signature {
            signature.write(out);
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let client = match input.flag("client")? {
            true => Some(KeyBytes::read(input)?),
            false => None,
        };
        let sequence = match input.flag("sequence")? {
            true => Some(input.u64("sequence")?),
            false => None,
        };
        let Body {
            operation,
            consents,
        } = Body::read(input)?;
        let signature = match input.flag("signature")? {
            true => Some(SignatureBytes::read(input)?),
            false => None,
        };
        Ok(Self {
            client,
            sequence,
            operation,
            consents,
            signature,
        })
    }
}

impl Canonical for Requests {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.chain.is_some()));
        if let Some(chain) = &self.chain {
            chain.write(out);
        }
        quorate_verifier::encoding::write_list(out, &self.requests);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let chain = match input.flag("chain")? {
            true => Some(Digest::read(input)?),
            false => None,
        };
        let requests = input.list("requests", REQUESTS_MAX, Draft::read)?;
        Ok(Self { chain, requests })
    }
}

impl FileType for Requests {
    const KIND: Kind = Kind::Requests;
    const MAX_BYTES: usize = 16 << 20;
}

/// Serde of an optional `u64` as a decimal string.
mod decimal_option {
    use quorate_verifier::json;
    use serde::{Deserializer, Serializer};

    #[allow(clippy::ref_option, reason = "the shape that serde calls")]
    pub(super) fn serialize<S: Serializer>(
        number: &Option<u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match number {
            Some(number) => json::decimal::serialize(number, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<u64>, D::Error> {
        json::decimal::deserialize(deserializer).map(Some)
    }
}
