//! The command line.

mod founding;
mod judging;
mod ledger;
mod network;
mod parse;
mod proving;
mod service;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::files::Source;
use crate::output::EXIT_CODES;

pub(crate) use founding::*;
pub(crate) use judging::*;
pub(crate) use ledger::*;
pub(crate) use network::*;
pub(crate) use proving::*;
pub(crate) use service::*;

/// Proof that a quorum finalised it, without the roll call.
#[derive(Debug, Parser)]
#[command(name = "quorate", version, max_term_width = 100, after_long_help = EXIT_CODES)]
#[command(
    after_help = "Exit codes: 0 holds, 1 invalid, 2 policy-failed, 3 cannot-evaluate, \
    4 usage, 5 unavailable, 130 interrupted; --help says more."
)]
pub(crate) struct Cli {
    /// Answer with one JSON document on stdout, whatever happens
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a network in a temporary directory, finalise a block, and check its certificate
    Demo(DemoArgs),
    /// Make or import an Ed25519 key
    Keygen(KeygenArgs),
    /// Make a whole network for one host: keys, documents, one configuration per node
    Init(InitArgs),
    /// Make the documents that a chain starts from, or check them
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Genesis(GenesisArgs),
    /// Open the bundle that one machine received
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// Check commit certificates in the clear
    #[command(subcommand)]
    Certificate(CertificateCommand),
    /// Say what the quorum circuit costs, by gadget, or export its rows
    Circuit(CircuitArgs),
    /// Say whether files hold, by what a policy demands and nothing that they say themselves
    Verify(VerifyArgs),
    /// Write what a verifier demands, from a trust anchor
    Policy(PolicyArgs),
    /// Follow a chain from a trust anchor, by headers and proofs alone
    #[command(subcommand)]
    LightClient(LightClientCommand),
    /// Prove that a block is final, without naming who signed
    Prove(ProveArgs),
    /// Measure this machine
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Make a proving key and its verifying key, for development
    Setup(SetupArgs),
    /// The keys on this machine
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Run seeded worlds of validators, or every split of four and a twin, and hold them to every
    /// promise
    Simulate(SimulateArgs),
    /// Run the attestation service: proofs, transparency log, HTTP
    Serve(ServeArgs),
    /// Prove what an attestation service orders
    Worker(WorkerArgs),
    /// Watch over a transparency log from outside
    #[command(subcommand)]
    Log(LogCommand),
    /// Fetch what shows a range of heights to be final, as one file for offline checks
    Export(ExportArgs),
    /// Who may read what is not public of an attestation service
    #[command(subcommand)]
    Token(TokenCommand),
    /// Show what a file is and holds; says nothing of whether to trust it
    Inspect(InspectArgs),
    /// Write, consent to and sign requests to the settlement ledger, and read what it shows
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Say whether this machine, and what is configured on it, is fit to run
    Doctor(DoctorArgs),
    /// Approve, as a validator, the changes of validators or parameters in a file of requests
    Approve(ApproveArgs),
    /// Run a validator
    Node(NodeArgs),
    /// Ask a running node how things are
    Status(StatusArgs),
    /// Send signed requests to a node, and wait until each is final
    Submit(SubmitArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the man page, or write one per command into a directory
    Man(ManArgs),
}

impl Command {
    /// The words that were typed, for the answer.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Demo(_) => "demo",
            Self::Keygen(_) => "keygen",
            Self::Init(_) => "init",
            Self::Genesis(GenesisArgs {
                command: Some(GenesisCommand::Check(_)),
                ..
            }) => "genesis check",
            Self::Genesis(_) => "genesis",
            Self::Bundle(BundleCommand::Open(_)) => "bundle open",
            Self::Certificate(CertificateCommand::Check(_)) => "certificate check",
            Self::Circuit(_) => "circuit",
            Self::Verify(_) => "verify",
            Self::Policy(_) => "policy",
            Self::LightClient(command) => command.name(),
            Self::Prove(_) => "prove",
            Self::Bench(BenchCommand::Prove(_)) => "bench prove",
            Self::Bench(BenchCommand::Serve(_)) => "bench serve",
            Self::Setup(_) => "setup",
            Self::Keys(KeysCommand::List(_)) => "keys list",
            Self::Keys(KeysCommand::Check(_)) => "keys check",
            Self::Keys(KeysCommand::Remove(_)) => "keys remove",
            Self::Keys(KeysCommand::ExportLight(_)) => "keys export-light",
            Self::Simulate(_) => "simulate",
            Self::Serve(_) => "serve",
            Self::Worker(_) => "worker",
            Self::Log(command) => command.name(),
            Self::Export(_) => "export",
            Self::Token(command) => command.name(),
            Self::Inspect(_) => "inspect",
            Self::Ledger(command) => command.name(),
            Self::Doctor(_) => "doctor",
            Self::Approve(_) => "approve",
            Self::Node(_) => "node",
            Self::Status(_) => "status",
            Self::Submit(_) => "submit",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Stop after a few proved heights; otherwise run until interrupted
    #[arg(long)]
    pub(crate) exit: bool,
    /// How many proved heights are a few
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) proofs: u16,
    /// Keep everything in this directory; it may not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// No network, no proofs: sign one block in this process, and judge certificates of it
    #[arg(long, conflicts_with_all = ["exit", "proofs"])]
    pub(crate) certificates: bool,
    /// Verifying key that proofs of that block may be made under: its file, or its digest and the
    /// slots of its circuit; repeat for more
    #[arg(
        long = "verifying-key", value_name = "FILE|DIGEST:SLOTS", value_parser = parse::parse_key,
        requires = "certificates"
    )]
    pub(crate) verifying_keys: Vec<KeyArg>,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Configurations of nodes and of services on this machine, running or not
    #[arg(value_name = "CONFIG")]
    pub(crate) configs: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Any file that Quorate makes, or a key; - is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: Source,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write a page for every command into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Replace pages that are there
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
