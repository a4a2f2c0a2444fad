//! The ledger as the core's application.

use quorate_pbft::app::{App, Applied, Client};
use quorate_pbft::request::{ClientKey, LEAF_SALT_BYTES, Payload, Request};
use quorate_verifier::encoding::{Canonical, Reader};
use quorate_verifier::header::Header;
use quorate_verifier::inclusion::{Inclusion, StateProof};
use quorate_verifier::primitives::{Digest, Height};
use sha2::{Digest as _, Sha256};

use super::entry::{Account, ClientRecord, Entry, EntryKey, Holding, Instrument, Meta};
use super::execute::{Context, execute};
use super::names::{AccountId, InstrumentId};
use super::operation::{Body, KeyBytes};
use super::outcome::{Effect, Executed, Outcome, Reason, Rejection};
use super::state::{Draft, State};

/// First bytes of a snapshot: what it is, and its version.
const SNAPSHOT_MAGIC: &[u8; 15] = b"quorate-ledger1";
/// Domain of the salts of the outcomes' leaves; no tag of the claim has these bytes.
pub(super) const OUTCOME_SALT_DOMAIN: &[u8; 15] = b"quorate-osalts1";

/// The settlement ledger. [`super::Genesis::ledger`] makes one; [`Ledger::default`] is the
/// empty one of a chain that has none: it knows no client, so nothing ever happens in it.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub(super) state: State,
}

impl Ledger {
    /// What the ledger has once; `None` for the empty one.
    pub fn meta(&self) -> Option<&Meta> {
        match self.state.get(&EntryKey::Ledger) {
            Some(Entry::Ledger(meta)) => Some(meta),
            _ => None,
        }
    }

    /// An account.
    pub fn account(&self, account: AccountId) -> Option<&Account> {
        match self.state.get(&EntryKey::Account(account)) {
            Some(Entry::Account(found)) => Some(found),
            _ => None,
        }
    }

    /// An instrument.
    pub fn instrument(&self, instrument: InstrumentId) -> Option<&Instrument> {
        match self.state.get(&EntryKey::Instrument(instrument)) {
            Some(Entry::Instrument(found)) => Some(found),
            _ => None,
        }
    }

    /// What an account has of an instrument.
    pub fn holding(&self, account: AccountId, instrument: InstrumentId) -> Holding {
        self.state.holding(account, instrument)
    }

    /// Every entry, in the order of their making: the leaves of the state tree.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.state.entries()
    }

    /// Shows one entry of the state that `header` names: of the last block that was applied (the
    /// state *before* its payload), or of one whose state is still the present one. `None` when
    /// the header's state is no longer at hand, or had no such entry.
    pub fn prove(&self, header: &Header, key: &EntryKey) -> Option<StateProof> {
        let (leaf, index, size, path) = self.state.prove(&header.state_root, key)?;
        Some(StateProof {
            header: header.clone(),
            entry: Inclusion {
                leaf,
                index: index as u64,
                size: size as u64,
                path,
            },
        })
    }

    /// Executes one request; answers what it did, and the change that it carries.
    fn execute(
        &mut self,
        header: &Header,
        request: &Request,
        has_change: bool,
    ) -> (Executed, Option<quorate_pbft::app::Change>) {
        let refused = |rejection: Rejection| (Executed::Refused(rejection), None);
        let Some(client) = self.active_client(&request.client) else {
            return refused(Reason::UnknownClient.into());
        };
        let next = client.sequence.checked_add(1);
        if next != Some(request.sequence) {
            let needed = next.unwrap_or(u64::MAX);
            return refused(Rejection::new(Reason::Replayed).figures(needed, request.sequence));
        }
        let raised = ClientRecord {
            sequence: request.sequence,
            ..client.clone()
        };
        self.state.set(Entry::Client(raised));
        let Ok(body) = Body::from_bytes(&request.body) else {
            return refused(Reason::Malformed.into());
        };
        let context = Context {
            now: header.time,
            client: request.client,
            sequence: request.sequence,
            has_change,
        };
        let mut draft = Draft::new(&self.state);
        match execute(&mut draft, &context, &body) {
            Err(rejection) => refused(rejection),
            Ok(effect) => {
                let changes: Vec<_> = draft.into_changes().collect();
                changes.into_iter().for_each(|entry| self.state.set(entry));
                let change = match effect {
                    Effect::HandedOn => body.operation.change(request.client, request.sequence),
                    _ => None,
                };
                (Executed::Done(effect), change)
            }
        }
    }

    fn active_client(&self, key: &ClientKey) -> Option<&ClientRecord> {
        self.state.client(key).filter(|c| c.account.is_some())
    }

    /// Consents are bound to the genesis header, which the first block names as its parent.
    fn note_chain(&mut self, header: &Header) {
        if Some(header.height) != Height::GENESIS.next() {
            return;
        }
        if let Some(meta) = self.meta().cloned() {
            self.state.set(Entry::Ledger(Meta {
                chain: header.parent,
                ..meta
            }));
        }
    }
}

impl App for Ledger {
    fn client(&self, key: &ClientKey) -> Option<Client> {
        let client = self.active_client(key)?;
        Some(Client {
            key: client.key.clone(),
            sequence: client.sequence,
        })
    }

    fn admit(&self, request: &Request) -> Result<(), String> {
        match Body::from_bytes(&request.body) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{}: {error}", Reason::Malformed.word())),
        }
    }

    fn apply(&mut self, header: &Header, payload: &Payload) -> Applied {
        self.state.begin(payload.salt);
        self.note_chain(header);
        let mut applied = Applied::default();
        for (index, request) in payload.requests.iter().enumerate() {
            let (result, change) = self.execute(header, request, applied.change.is_some());
            applied.change = applied.change.or(change);
            let outcome = Outcome {
                client: KeyBytes(request.client.0),
                sequence: request.sequence,
                result,
            };
            let salt = outcome_salt(&payload.salt, index);
            applied.outcomes.push(outcome.leaf(salt));
        }
        self.state.finish();
        applied
    }

    fn root(&self) -> Digest {
        self.state.root()
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut bytes = SNAPSHOT_MAGIC.to_vec();
        self.state.write(&mut bytes);
        bytes
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let mut input = Reader::new(snapshot);
        let magic = input.take("magic", SNAPSHOT_MAGIC.len());
        if magic.map_err(|e| e.to_string())? != SNAPSHOT_MAGIC {
            return Err("not a snapshot of a ledger, or of another version".into());
        }
        let state = State::read(&mut input).map_err(|e| e.to_string())?;
        input.end().map_err(|e| e.to_string())?;
        let restored = Self { state };
        restored.audit().map_err(|e| e.to_string())?;
        *self = restored;
        Ok(())
    }
}

fn outcome_salt(salt: &[u8; 32], index: usize) -> [u8; LEAF_SALT_BYTES] {
    let hash = Sha256::new()
        .chain_update(OUTCOME_SALT_DOMAIN)
        .chain_update(salt)
        .chain_update((index as u64).to_le_bytes())
        .finalize();
    std::array::from_fn(|i| hash[i])
}
