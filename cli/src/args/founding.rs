//! Arguments of the commands that found a chain, and of what reads its documents.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use quorate_verifier::genesis::AcceptedKey;
use quorate_verifier::primitives::{ChainId, CircuitSize, Digest, TimeMs};
use quorate_verifier::rule::QuorumRule;

use super::StoreArgs;
use super::parse::{parse_chain, parse_digest, parse_key, parse_rule, parse_slots, parse_time};
use crate::files::Source;

#[derive(Debug, Args)]
pub(crate) struct KeygenArgs {
    /// Where the secret key goes (PKCS#8 PEM, mode 0600); the public key goes to FILE.pub, a
    /// certificate to FILE.crt. None may exist
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Make a P-256 key for TLS, with a certificate that it signs itself, for this host name or
    /// address; repeat for more
    #[arg(long, value_name = "NAME", conflicts_with_all = ["pkcs8", "passphrase_file"])]
    pub(crate) tls: Vec<String>,
    /// Days after which the certificate ends
    #[arg(long, requires = "tls", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) days: u32,
    /// Import this PKCS#8 key (PEM or DER, version 1 or 2) instead of making one; - is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) pkcs8: Option<Source>,
    /// Passphrase of the key that is imported, on one line; - is stdin
    #[arg(long, value_name = "FILE", requires = "pkcs8")]
    pub(crate) pkcs8_passphrase_file: Option<Source>,
    /// Encrypt the key that is written under this passphrase, on one line; - is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<Source>,
}

/// A verifying key, by name or in a file.
#[derive(Clone, Debug)]
pub(crate) enum KeyArg {
    Named(AcceptedKey),
    File(Source),
}

/// What `init` and `genesis` ask about the chain.
#[derive(Clone, Debug, Args)]
pub(crate) struct ChainArgs {
    /// Slots of the circuit that proves the set's quorums [default: the smallest named size that
    /// holds the worst quorum]
    #[arg(long, value_parser = parse_slots)]
    pub(crate) slots: Option<CircuitSize>,
    /// Accept that some final blocks can never be proved, because a quorum may have more signers
    /// than the circuit has slots
    #[arg(long)]
    pub(crate) accept_unprovable: bool,
    /// Verifying key that proofs may be made under: its file, or its digest and the slots of its
    /// circuit; repeat for more
    #[arg(long = "verifying-key", value_name = "FILE|DIGEST:SLOTS", value_parser = parse_key)]
    pub(crate) verifying_keys: Vec<KeyArg>,
    /// Publish who the validators are: a set without a salt
    #[arg(long)]
    pub(crate) public_set: bool,
    /// Time of the genesis header, RFC 3339 UTC [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) time: Option<TimeMs>,
    /// Milliseconds between blocks
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) block_interval_ms: u32,
    /// Days after which a light client no longer trusts a set
    #[arg(long, value_name = "DAYS", default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub(crate) trusting_period_days: u32,
    /// Milliseconds by which a header may be ahead of a light client's clock
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    pub(crate) clock_drift_ms: u32,
    /// The ledger's first state: accounts, instruments, holdings [default: none; `init` makes a
    /// small one, with keys]
    #[arg(long, value_name = "FILE")]
    pub(crate) ledger: Option<Source>,
    /// Root of the state before the first block, 64 hex digits, for another application than the
    /// ledger [default: the ledger's, or the root of nothing]
    #[arg(long, value_name = "DIGEST", conflicts_with = "ledger", value_parser = parse_digest)]
    pub(crate) state_root: Option<Digest>,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Number of validators, each with power 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) validators: u16,
    /// The directory to make; it may not exist
    #[arg(long, value_name = "NET")]
    pub(crate) dir: PathBuf,
    /// Name of the chain: 1 to 33 of a-z, 0-9 and '-'
    #[arg(long, default_value = "local")]
    pub(crate) name: String,
    /// Node i listens on 127.0.0.1 at this port plus i
    #[arg(long, value_name = "PORT", default_value_t = 26600, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) base_port: u16,
    /// Also make an attestation service, in NET/service, which proves under a key of this machine
    /// (quorate setup makes one)
    #[arg(long, conflicts_with = "verifying_keys")]
    pub(crate) service: bool,
    /// The service listens on 127.0.0.1: for everybody at this port, for its operator and for
    /// metrics at the next two; 0 takes any that are free
    #[arg(long, value_name = "PORT", default_value_t = 8440, value_parser = clap::value_parser!(u16).range(..=65_533), requires = "service")]
    pub(crate) service_port: u16,
    /// The service speaks TLS, with a certificate of its own for this machine
    #[arg(long, requires = "service")]
    pub(crate) service_tls: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) chain: ChainArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GenesisArgs {
    #[command(subcommand)]
    pub(crate) command: Option<GenesisCommand>,
    #[command(flatten)]
    pub(crate) make: MakeArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GenesisCommand {
    /// Recompute everything that the documents claim, for one member
    Check(GenesisCheckArgs),
}

/// The options that must be there are `Option` all the same, because `check` goes without them.
#[derive(Debug, Args)]
pub(crate) struct MakeArgs {
    /// The validators: a roster, JSON or binary; - is stdin
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) roster: Option<Source>,
    /// The directory to make; it may not exist
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) out: Option<PathBuf>,
    /// Name of the chain: 1 to 33 of a-z, 0-9 and '-'
    #[arg(long, required = true)]
    pub(crate) name: Option<String>,
    /// Let the policy accept verifying keys that a single party made
    #[arg(long)]
    pub(crate) development_keys: bool,
    #[command(flatten)]
    pub(crate) chain: ChainArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GenesisCheckArgs {
    /// The validator set
    #[arg(long, value_name = "FILE")]
    pub(crate) set: Source,
    /// The trust anchor
    #[arg(long, value_name = "FILE")]
    pub(crate) anchor: Source,
    /// Your consensus key: a key file (its .pub is enough), or 64 hex digits
    #[arg(long, value_name = "MINE")]
    pub(crate) key: std::ffi::OsString,
    /// The genesis document; without it the chain id cannot be recomputed
    #[arg(long, value_name = "FILE")]
    pub(crate) genesis: Option<Source>,
    /// The ledger's first state; without it the state root is taken on trust
    #[arg(long, value_name = "FILE", requires = "genesis")]
    pub(crate) ledger: Option<Source>,
    /// Accept that some final blocks can never be proved
    #[arg(long)]
    pub(crate) accept_unprovable: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BundleCommand {
    /// Open a bundle with the machine's network key, check its documents, and write them out
    Open(BundleOpenArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BundleOpenArgs {
    /// The bundle; - is stdin
    #[arg(value_name = "BUNDLE")]
    pub(crate) bundle: Source,
    /// The machine's network key, a PKCS#8 file
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Source,
    /// Passphrase of the key, on one line; - is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<Source>,
    /// The directory to make; it may not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CertificateCommand {
    /// Say whether a header is final by its certificate, which names the signers
    Check(CertificateCheckArgs),
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("trust").required(true).args(["anchor", "chain"]))]
pub(crate) struct CertificateCheckArgs {
    /// A header with its certificate; - is stdin
    #[arg(value_name = "SIGNED_HEADER")]
    pub(crate) signed: Source,
    /// The validator set that signs it
    #[arg(long, value_name = "FILE")]
    pub(crate) set: Source,
    /// The trust anchor: names the chain, and the set that may sign
    #[arg(long, value_name = "FILE")]
    pub(crate) anchor: Option<Source>,
    /// The chain's id; the set is then trusted on your word
    #[arg(long, value_name = "ID", value_parser = parse_chain)]
    pub(crate) chain: Option<ChainId>,
    /// What the signers must hold more than, as a fraction of the power
    #[arg(long, value_name = "NUM/DEN", default_value = "2/3", value_parser = parse_rule)]
    pub(crate) rule: QuorumRule,
}
