//! Arguments of the settlement ledger's commands.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::files::Source;

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Name the chain, the client and the sequences of requests, before anybody signs
    Prepare(LedgerPrepareArgs),
    /// Consent, as another side, to operations that a client's requests carry
    Consent(LedgerConsentArgs),
    /// Sign requests as the client who sends them, when all consents are there
    Sign(LedgerSignArgs),
    /// Show requests, a ledger's first state, or what a proof of the ledger shows
    Show(LedgerShowArgs),
    /// Write plausible traffic from a seed: a first state, or requests to it
    Scenario(LedgerScenarioArgs),
}

impl LedgerCommand {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Prepare(_) => "ledger prepare",
            Self::Consent(_) => "ledger consent",
            Self::Sign(_) => "ledger sign",
            Self::Show(_) => "ledger show",
            Self::Scenario(_) => "ledger scenario",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct LedgerPrepareArgs {
    /// Requests, as operations at least; - is stdin
    #[arg(value_name = "REQUESTS")]
    pub(crate) requests: Source,
    /// The trust anchor of the chain's genesis: signatures are bound to it
    #[arg(long, value_name = "FILE")]
    pub(crate) anchor: Source,
    /// The client's public key: a key file (its .pub is enough), or 64 hex digits
    #[arg(long, value_name = "KEY")]
    pub(crate) client: std::ffi::OsString,
    /// Sequence of the first request: one above the client's last executed one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) sequence: u64,
    /// Where the prepared requests go; it may not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LedgerConsentArgs {
    /// Prepared requests; - is stdin
    #[arg(value_name = "REQUESTS")]
    pub(crate) requests: Source,
    /// The key of the account that consents, a PKCS#8 file
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Source,
    /// Passphrase of the key, on one line; - is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<Source>,
    /// Consent to this request only, counted from 0; repeat for more [default: every request that
    /// is another client's and not signed yet]
    #[arg(long = "request", value_name = "N")]
    pub(crate) places: Vec<usize>,
    /// Where the requests with the consents go; it may not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LedgerSignArgs {
    /// Prepared requests; - is stdin
    #[arg(value_name = "REQUESTS")]
    pub(crate) requests: Source,
    /// The client's key, a PKCS#8 file
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Source,
    /// Passphrase of the key, on one line; - is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<Source>,
    /// Where the signed requests go; it may not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LedgerShowArgs {
    /// Requests, a ledger's first state, or a submission, settlement or state proof; - is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: Source,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["genesis", "requests"]))]
pub(crate) struct LedgerScenarioArgs {
    /// The seed from which everything follows, keys included
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Traders
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..=10_000))]
    pub(crate) traders: u16,
    /// Write the first state to this file, for `init --ledger`
    #[arg(long, value_name = "FILE")]
    pub(crate) genesis: Option<PathBuf>,
    /// Write signed requests to this file
    #[arg(long, value_name = "FILE", requires = "anchor")]
    pub(crate) requests: Option<PathBuf>,
    /// How many requests
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) count: u16,
    /// The trust anchor of the chain that started from that first state
    #[arg(long, value_name = "FILE")]
    pub(crate) anchor: Option<Source>,
}
