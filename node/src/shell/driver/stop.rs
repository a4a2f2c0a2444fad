//! Why a node stops, in words that its operator can act on.

use quorate_pbft::Halt;
use quorate_pbft::ballot::Slot;
use quorate_pbft::chain::GenesisError;
use quorate_pbft::log::LogError;

use crate::shell::signer::SignerError;
use crate::shell::store::StoreError;
use crate::shell::tls::NetworkKey;

/// Why a node stopped.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// It was asked to.
    #[error("it was asked to stop")]
    Asked,
    /// The vote log failed.
    #[error("vote log: {0}")]
    Log(String),
    /// The vote log lost something that was durable.
    #[error(
        "vote log: {0}; the disk has lost what a vote may rely on. Move the data directory away and \
         start again: the node rejoins without voting until that is safe"
    )]
    Damaged(String),
    /// The block store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The signer failed.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// Another vote than the recorded one was to be signed.
    #[error("the signer refuses a vote in {0:?}: another one was signed there")]
    Conflict(Slot),
    /// The evidence could not be written.
    #[error("evidence: {0}")]
    Evidence(std::io::Error),
    /// The core stopped.
    #[error(transparent)]
    Halted(Halt),
    /// A vote with the own key that this disk knows nothing of.
    #[error(
        "a vote of the consensus key {key} at height {} was seen that this disk never made: the \
         key is in use elsewhere, or the disk is an old copy. If it is an old copy, move the data \
         directory away and start again: the node rejoins without voting until that is safe",
        .slot.height.get()
    )]
    KeyElsewhere {
        /// The own consensus key, in hex.
        key: String,
        /// Where the vote was.
        slot: Slot,
    },
    /// Machines with more than a third of the power, so a correct one among them, have said that
    /// another machine has connected to them with the own network key.
    #[error(
        "another machine has connected to {told_by} with this machine's network key {network_key}: \
         the keys of {name} (consensus key {key}) are in use on two machines. Find the other one \
         before this one is started again"
    )]
    SecondMachine {
        /// This machine.
        name: String,
        /// The own consensus key, in hex.
        key: String,
        /// The own network key.
        network_key: NetworkKey,
        /// Who said so.
        told_by: String,
    },
    /// Documents, application and stored blocks do not fit each other.
    #[error("{0}")]
    Start(String),
}

impl Stop {
    /// Whether it shows somebody faulty or a key abused, and not merely a machine in trouble.
    pub fn is_incident(&self) -> bool {
        let abuse = matches!(
            self,
            Self::KeyElsewhere { .. } | Self::SecondMachine { .. } | Self::Conflict(_)
        );
        abuse || matches!(self, Self::Halted(_))
    }
}

impl From<GenesisError> for Stop {
    fn from(error: GenesisError) -> Self {
        Self::Start(error.to_string())
    }
}

impl<E: std::error::Error + 'static> From<LogError<E>> for Stop {
    fn from(error: LogError<E>) -> Self {
        match error {
            LogError::Device(error) => Self::Log(error.to_string()),
            error => Self::Damaged(error.to_string()),
        }
    }
}
