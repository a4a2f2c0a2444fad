//! Arguments of the commands about circuits, keys and proofs.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use quorate_verifier::primitives::{ChainId, CircuitSize};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::sizes::{NAMED_SIZES, NamedSize};

use super::parse::{parse_bytes, parse_chain, parse_named, parse_rule, parse_slots};
use crate::files::{Sink, Source};
use crate::progress;

#[derive(Debug, Args)]
pub(crate) struct CircuitArgs {
    /// Signers that the circuit holds, 1 to 256
    #[arg(long, value_parser = parse_slots)]
    pub(crate) slots: CircuitSize,
    /// Write the rows in circom's binary format, and the names of the wires beside them (.sym)
    #[arg(long, value_name = "FILE.r1cs")]
    pub(crate) export: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long, requires = "export")]
    pub(crate) force: bool,
}

/// Where the keys are.
#[derive(Clone, Debug, Args)]
pub(crate) struct StoreArgs {
    /// Directory of the keys [default: quorate/keys in the user's data directory]
    #[arg(long, value_name = "DIR", env = "QUORATE_KEYS")]
    pub(crate) keys: Option<PathBuf>,
}

/// The circuit of a key, by either of its names.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct SizeArgs {
    /// A named size, by the rows that its circuit fills: 2^18 to 2^23
    #[arg(long, value_name = "2^N", value_parser = parse_named)]
    pub(crate) size: Option<NamedSize>,
    /// Any other size, by the signers that its circuit holds: 1 to 256
    #[arg(long, value_parser = parse_slots)]
    pub(crate) slots: Option<CircuitSize>,
}

impl SizeArgs {
    /// Slots of the circuit.
    pub(crate) fn size(&self) -> CircuitSize {
        let size = self.size.map(|named| named.size).or(self.slots);
        size.expect("clap asks for one of them")
    }
}

/// How long work is done and shown.
#[derive(Clone, Debug, Args)]
pub(crate) struct WorkArgs {
    /// Threads that compute [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Refuse before starting when more memory than this may be needed, such as 8G
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) max_memory: Option<u64>,
    /// How progress is shown on stderr
    #[arg(long, value_name = "STYLE", default_value = "auto")]
    pub(crate) progress: progress::Style,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("trust").required(true).args(["policy", "anchor", "chain"]))]
pub(crate) struct ProveArgs {
    /// A header with its certificate; - is stdin
    #[arg(value_name = "SIGNED_HEADER")]
    pub(crate) signed: Source,
    /// The validator set that signs it
    #[arg(long, value_name = "FILE")]
    pub(crate) set: Source,
    /// What the verifiers demand: names the chain, the rule and the keys that they accept
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<Source>,
    /// The trust anchor: names the chain and the keys that are accepted
    #[arg(long, value_name = "FILE")]
    pub(crate) anchor: Option<Source>,
    /// The chain's id; any key of the set's size is then used, and made if it is small and missing
    #[arg(long, value_name = "ID", value_parser = parse_chain)]
    pub(crate) chain: Option<ChainId>,
    /// What the proof shows that the signers hold more than [default: the policy's, or 2/3]
    #[arg(long, value_name = "NUM/DEN", conflicts_with = "policy", value_parser = parse_rule)]
    pub(crate) rule: Option<QuorumRule>,
    /// Use this key: its digest, or the first eight digits or more
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Where the attestation goes; - is stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Sink,
    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Prove the worst certificate of a size, and say what it took; makes a key if there is none
    Prove(BenchProveArgs),
    /// Load the attestation service while it proves, and say how fast it answered
    Serve(BenchServeArgs),
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("circuit").args(["size", "slots"]))]
pub(crate) struct BenchServeArgs {
    /// A named size, by the rows that its circuit fills: 2^18 to 2^23 [default: 2^18]
    #[arg(long, value_name = "2^N", value_parser = parse_named)]
    pub(crate) size: Option<NamedSize>,
    /// Any other size, by the signers that its circuit holds: 1 to 256
    #[arg(long, value_parser = parse_slots)]
    pub(crate) slots: Option<CircuitSize>,
    /// How long each of the three loads lasts
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=600))]
    pub(crate) seconds: u16,
    /// Connections that ask
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) connections: u16,
    /// Added to the prover's niceness
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=19))]
    pub(crate) nice: u8,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

impl BenchServeArgs {
    /// Slots of the circuit.
    pub(crate) fn size(&self) -> CircuitSize {
        let named = self.size.map(|named| named.size).or(self.slots);
        named.unwrap_or(NAMED_SIZES[0].size)
    }
}

#[derive(Debug, Args)]
pub(crate) struct BenchProveArgs {
    #[command(flatten)]
    pub(crate) circuit: SizeArgs,
    /// How many proofs
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: u16,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SetupArgs {
    #[command(flatten)]
    pub(crate) circuit: SizeArgs,
    /// Refuse to make a key that a single party could forge proofs with. That is every key, until
    /// there is a set-up ceremony
    #[arg(long)]
    pub(crate) production: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// List the keys
    List(KeysListArgs),
    /// Read keys whole and check them against their digests and the circuit of this program
    Check(KeysCheckArgs),
    /// Remove keys, or what interrupted commands left
    Remove(KeysRemoveArgs),
    /// Write the verifying key of a key to a file: all that a verifier needs
    ExportLight(KeysExportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct KeysListArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Args)]
pub(crate) struct KeysCheckArgs {
    /// Digest of a key, or its first eight digits or more [default: every key]
    #[arg(value_name = "KEY")]
    pub(crate) key: Vec<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct KeysRemoveArgs {
    /// Digest of a key, or its first eight digits or more
    #[arg(value_name = "KEY", required_unless_present = "unfinished")]
    pub(crate) key: Vec<String>,
    /// Remove what was begun by commands that were killed
    #[arg(long)]
    pub(crate) unfinished: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Args)]
pub(crate) struct KeysExportArgs {
    /// Digest of the key, or its first eight digits or more [default: the only key there is]
    #[arg(value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Where the verifying key goes; - is stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Sink,
    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}
