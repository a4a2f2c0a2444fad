//! The application: a delivery-versus-payment ledger for option trades. `docs/ledger.md` has the
//! rules in words, every operation, every reason for a refusal, and the bytes.
//!
//! # For a node
//!
//! [`Ledger`] implements the core's [`App`](quorate_pbft::app::App). Make it with
//! [`Genesis::ledger`] from the ledger's genesis file (`Genesis::from_file`; `quorate init` writes
//! it to `private/ledger.json`, and `documents.state` of `node.toml` names it), or
//! [`Ledger::default`] for a chain without one; its root must be the one that the chain's genesis
//! document names. What the core hands back as outcomes of a block are leaves: read them with
//! [`Outcome::from_leaf`], keep them as they are, and show them with [`outcome_inclusion`].
//!
//! # For whoever submits
//!
//! A file of kind `requests` is a [`Requests`]: operations, and as much of clients, sequences,
//! consents and signatures as there is so far. [`Requests::signed`] gives the core's requests or
//! says what is missing. The outcome that belongs to a request has its client and sequence.
//!
//! [`Scenario`] makes plausible traffic from a seed.
//!
//! # For whoever checks
//!
//! Paths are checked in `quorate_verifier::inclusion`, against the digest of a final header;
//! what they show decodes with [`Request`](quorate_pbft::request::Request), [`Body`],
//! [`Outcome`] and [`Entry`].

mod audit;
mod dry_run;
mod entry;
mod execute;
mod genesis;
mod ledger;
mod names;
mod operation;
mod outcome;
mod prove;
mod requests;
mod scenario;
mod state;
mod tree;

pub use audit::AuditError;
pub use entry::{Account, ClientRecord, Entry, EntryKey, Holding, Instrument, Meta};
pub use genesis::{
    GENESIS_LIST_MAX, Genesis, GenesisAccount, GenesisError, GenesisHolding, GenesisInstrument,
    SaltBytes,
};
pub use ledger::Ledger;
pub use names::{AMOUNT_LIMIT, AccountId, Amount, InstrumentId, NAME_MAX_BYTES, NameError};
pub use operation::{
    Approval, Body, CONSENTS_MAX, Consent, DECIMALS_MAX, KEYS_PER_ACCOUNT, KeyBytes, Kind,
    Operation, OptionTerms, Right, SignatureBytes, Trade,
};
pub use outcome::{Assignment, Effect, Executed, Outcome, Reason, Rejection};
pub use prove::{outcome_inclusion, request_inclusion, settlement_proof, submission_proof};
pub use requests::{Draft, REQUESTS_MAX, RequestError, Requests};
pub use scenario::{Proposal, Scenario, TRADERS_MAX};
pub use state::{ENTRIES_MAX, HOLDERS_MAX};
