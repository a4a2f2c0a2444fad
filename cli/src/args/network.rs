//! Arguments of the commands about validators.

use std::path::PathBuf;

use clap::Args;
use quorate_pbft::sim::LiarKind;

use crate::commands::simulate;
use crate::files::Source;

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// The first world's seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
    /// How many worlds to run, of this seed and those that follow
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) runs: u64,
    /// Put this liar into every world; otherwise the seed chooses one, or none
    #[arg(long, value_name = "NAME", value_parser = simulate::parse_liar)]
    pub(crate) liar: Option<LiarKind>,
    /// Sign with Ed25519 and not with symbols: the same decisions, more slowly
    #[arg(long)]
    pub(crate) ed25519: bool,
    /// Run every case of four validators and a twin over so many views instead
    #[arg(long, value_name = "VIEWS", conflicts_with_all = ["seed", "runs", "liar", "ed25519"],
        value_parser = clap::value_parser!(u32).range(1..=6))]
    pub(crate) twins: Option<u32>,
    /// In so many of these views, try every choice of who hears commits
    #[arg(long, value_name = "VIEWS", default_value_t = 1, requires = "twins")]
    pub(crate) commits: u32,
    /// Threads to run on [default: the machine's]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<std::num::NonZero<usize>>,
}

#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// The node's configuration: its consensus key signs
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Requests with a change, whose sender and sequence are settled; - is stdin
    #[arg(value_name = "REQUESTS")]
    pub(crate) requests: Source,
    /// The set that is in force [default: the founding set that the configuration names]
    #[arg(long, value_name = "FILE")]
    pub(crate) set: Option<Source>,
    /// Where the file with the approval goes
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// The node's configuration, node.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Check configuration, keys, documents and ports, and stop
    #[arg(long)]
    pub(crate) check: bool,
    /// This key has never voted on this chain: the first start of a new network. Without it a node
    /// that knows nothing of its past asks the others before it votes
    #[arg(long)]
    pub(crate) new: bool,
}

/// Which node is asked, and as whom.
#[derive(Clone, Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["config", "node"]))]
pub(crate) struct LinkArgs {
    /// A node of this machine, by its configuration: the link uses the node's own network key
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A node elsewhere, which lists your key among its clients: host:port
    #[arg(long, value_name = "ADDRESS", requires_all = ["node_key", "link_key", "anchor"])]
    pub(crate) node: Option<String>,
    /// Network key of that node, 64 hex digits or a file
    #[arg(long, value_name = "KEY")]
    pub(crate) node_key: Option<std::ffi::OsString>,
    /// Your own network key, a PKCS#8 file
    #[arg(long, value_name = "FILE")]
    pub(crate) link_key: Option<Source>,
    /// The chain's trust anchor
    #[arg(long, value_name = "FILE")]
    pub(crate) anchor: Option<Source>,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) link: LinkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    /// Requests, JSON or binary; - is stdin
    #[arg(value_name = "REQUESTS")]
    pub(crate) requests: Source,
    /// Sign, as the client with this key (a PKCS#8 file), what nobody has signed yet
    #[arg(long, value_name = "FILE", requires = "signed")]
    pub(crate) key: Option<Source>,
    /// Give the requests their sender and sequences, write them to --signed, and stop: for others
    /// to consent to or approve before anything is signed
    #[arg(long, requires = "key")]
    pub(crate) draft: bool,
    /// Passphrase of that key, on one line; - is stdin
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) passphrase_file: Option<Source>,
    /// Write the signed requests here before the first is sent. To go on after an interruption,
    /// submit this file: whatever was executed is not executed again
    #[arg(long, value_name = "FILE")]
    pub(crate) signed: Option<PathBuf>,
    /// Write every outcome here, one JSON document on each line
    #[arg(long, value_name = "FILE")]
    pub(crate) outcomes: Option<PathBuf>,
    /// Give up after so many seconds without any progress
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) patience: u64,
}
