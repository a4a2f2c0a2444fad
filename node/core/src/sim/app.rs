//! A small application: each client adds numbers to its account, and one of them may carry
//! changes of the validator set.

use std::collections::BTreeMap;

use quorate_verifier::encoding::{Canonical, Reader};
use quorate_verifier::genesis::Parameters;
use quorate_verifier::header::Header;
use quorate_verifier::primitives::Digest;
use quorate_verifier::set::SetCommitment;
use quorate_verifier::signature::Signature;
use sha2::{Digest as _, Sha256};

use super::keys::{KeyId, client_key, public};
use crate::app::{App, Applied, Change, Client};
use crate::request::{ClientKey, Payload, Request};

/// Sums by client, with each client's last sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adder {
    accounts: BTreeMap<ClientKey, (usize, u64, u64)>,
    /// A wrong result from this height on, as broken hardware would give.
    pub breaks_at: Option<u64>,
}

impl Adder {
    /// With so many clients.
    pub fn new(clients: usize) -> Self {
        let account = |client| (client_key(client), (client, 0, 0));
        Self {
            accounts: (0..clients).map(account).collect(),
            breaks_at: None,
        }
    }

    /// Last sequence and sum of a client.
    pub fn account(&self, client: usize) -> Option<(u64, u64)> {
        self.accounts
            .get(&client_key(client))
            .map(|(_, sequence, sum)| (*sequence, *sum))
    }
}

impl Adder {
    /// Sum of the client with this key.
    pub fn sum(&self, client: &ClientKey) -> Option<u64> {
        self.accounts.get(client).map(|(_, _, sum)| *sum)
    }
}

/// Body of a request that adds a number.
pub fn add(number: u64) -> Vec<u8> {
    [&b"+"[..], &number.to_le_bytes()].concat()
}

/// Body of a request that carries a change.
pub fn carry(change: &Change) -> Vec<u8> {
    let mut body = vec![b'!'];
    body.push(u8::from(change.validators.is_some()));
    if let Some(set) = &change.validators {
        set.write(&mut body);
    }
    body.push(u8::from(change.parameters.is_some()));
    if let Some(parameters) = &change.parameters {
        parameters.write(&mut body);
    }
    for (signer, signature) in &change.approvals {
        body.extend_from_slice(&signer.to_le_bytes());
        body.extend_from_slice(signature.as_bytes());
    }
    body
}

fn carried(request: &Request) -> Option<Change> {
    let mut input = Reader::new(request.body.strip_prefix(b"!")?);
    let validators = match input.flag("set").ok()? {
        true => Some(SetCommitment::read(&mut input).ok()?),
        false => None,
    };
    let parameters = match input.flag("parameters").ok()? {
        true => Some(Parameters::read(&mut input).ok()?),
        false => None,
    };
    let mut approvals = Vec::new();
    while input.left() > 0 {
        let signer = input.u16("signer").ok()?;
        approvals.push((
            signer,
            input.array("signature").map(Signature::from_bytes).ok()?,
        ));
    }
    let (client, sequence) = (request.client, request.sequence);
    Some(Change {
        client,
        sequence,
        validators,
        parameters,
        approvals,
    })
}

impl App for Adder {
    fn client(&self, key: &ClientKey) -> Option<Client> {
        let (client, sequence, _) = self.accounts.get(key)?;
        Some(Client {
            key: public(KeyId::client(*client)).clone(),
            sequence: *sequence,
        })
    }

    fn admit(&self, request: &Request) -> Result<(), String> {
        let known = matches!(request.body.first(), Some(b'+' | b'!'));
        if known {
            Ok(())
        } else {
            Err("neither an addition nor a change".into())
        }
    }

    fn apply(&mut self, header: &Header, payload: &Payload) -> Applied {
        let mut applied = Applied::default();
        for request in &payload.requests {
            let Some((_, sequence, sum)) = self.accounts.get_mut(&request.client) else {
                applied.outcomes.push(b"no such client".to_vec());
                continue;
            };
            *sequence = request.sequence;
            let number = request
                .body
                .strip_prefix(b"+")
                .and_then(|b| b.try_into().ok());
            match (number.map(u64::from_le_bytes), carried(request)) {
                (Some(number), _) => *sum = sum.wrapping_add(number),
                (None, Some(change)) => applied.change = Some(change),
                (None, None) => {
                    applied.outcomes.push(b"not understood".to_vec());
                    continue;
                }
            }
            if self
                .breaks_at
                .is_some_and(|height| header.height.get() >= height)
            {
                *sum ^= 1;
            }
            applied
                .outcomes
                .push([&b"sum "[..], &sum.to_le_bytes()].concat());
        }
        applied
    }

    fn root(&self) -> Digest {
        let mut hash = Sha256::new();
        for (key, (_, sequence, sum)) in &self.accounts {
            hash.update(key.0);
            hash.update(sequence.to_le_bytes());
            hash.update(sum.to_le_bytes());
        }
        Digest::from_bytes(hash.finalize().into())
    }

    fn snapshot(&self) -> Vec<u8> {
        let entry = |(key, (_, sequence, sum)): (&ClientKey, &(usize, u64, u64))| {
            [&key.0[..], &sequence.to_le_bytes(), &sum.to_le_bytes()].concat()
        };
        self.accounts.iter().flat_map(entry).collect()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let mut input = Reader::new(snapshot);
        let mut accounts = self.accounts.clone();
        while input.left() > 0 {
            let key = ClientKey(input.array("key").map_err(|e| e.to_string())?);
            let sequence = input.u64("sequence").map_err(|e| e.to_string())?;
            let sum = input.u64("sum").map_err(|e| e.to_string())?;
            let account = accounts.get_mut(&key).ok_or("an unknown client")?;
            (account.1, account.2) = (sequence, sum);
        }
        self.accounts = accounts;
        Ok(())
    }
}
