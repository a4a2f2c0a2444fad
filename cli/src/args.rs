//! The command line.

mod service;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use quorate_pbft::sim::LiarKind;
use quorate_verifier::genesis::AcceptedKey;
use quorate_verifier::json;
use quorate_verifier::primitives::{ChainId, CircuitSize, Digest, TimeMs};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::sizes::{NAMED_SIZES, NamedSize};

use crate::commands::simulate;
use crate::files::{Sink, Source};
use crate::output::EXIT_CODES;
use crate::progress;

pub(crate) use service::{
    CosignArgs, ExportArgs, LogArgs, LogCommand, MonitorArgs, ServeArgs, TokenCommand,
    TokenCreateArgs, TokenListArgs, TokenRevokeArgs, VkeyArgs, WorkerArgs,
};

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
        long = "verifying-key", value_name = "FILE|DIGEST:SLOTS", value_parser = parse_key,
        requires = "certificates"
    )]
    pub(crate) verifying_keys: Vec<KeyArg>,
}

#[derive(Debug, Args)]
pub(crate) struct KeygenArgs {
    /// Where the secret key goes (PKCS#8 PEM, mode 0600); the public key goes to FILE.pub. Neither
    /// may exist
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
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
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("circuit").required(true).args(["size", "slots"]))]
pub(crate) struct BenchProveArgs {
    /// A named size, by the rows that its circuit fills: 2^18 to 2^23
    #[arg(long, value_name = "2^N", value_parser = parse_named)]
    pub(crate) size: Option<NamedSize>,
    /// Any other size, by the signers that its circuit holds: 1 to 256
    #[arg(long, value_parser = parse_slots)]
    pub(crate) slots: Option<CircuitSize>,
    /// How many proofs
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: u16,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

impl BenchProveArgs {
    /// Slots of the circuit.
    pub(crate) fn size(&self) -> CircuitSize {
        one_of(self.size, self.slots)
    }
}

/// Of two options of which clap asks for one.
fn one_of(named: Option<NamedSize>, slots: Option<CircuitSize>) -> CircuitSize {
    let size = named.map(|named| named.size).or(slots);
    size.expect("clap asks for one of them")
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("circuit").required(true).args(["size", "slots"]))]
pub(crate) struct SetupArgs {
    /// A named size, by the rows that its circuit fills: 2^18 to 2^23
    #[arg(long, value_name = "2^N", value_parser = parse_named)]
    pub(crate) size: Option<NamedSize>,
    /// Any other size, by the signers that its circuit holds: 1 to 256
    #[arg(long, value_parser = parse_slots)]
    pub(crate) slots: Option<CircuitSize>,
    /// Refuse to make a key that a single party could forge proofs with. That is every key, until
    /// there is a set-up ceremony
    #[arg(long)]
    pub(crate) production: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) work: WorkArgs,
}

impl SetupArgs {
    /// Slots of the circuit.
    pub(crate) fn size(&self) -> CircuitSize {
        one_of(self.size, self.slots)
    }
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

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Files of any kind that can be verified; - is stdin
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<Source>,
    /// What you demand: anchor, rule, accepted verifying keys
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Source,
    #[command(flatten)]
    pub(crate) keys: KeyRingArgs,
    /// The validator set, for what cannot be judged without it: certificates, a salted roster
    #[arg(long, value_name = "FILE")]
    pub(crate) set: Option<Source>,
    /// Take this as the time, RFC 3339 UTC [default: the machine's clock]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) now: Option<TimeMs>,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    /// The trust anchor
    #[arg(long, value_name = "FILE")]
    pub(crate) anchor: Source,
    /// Where the policy goes
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// What the signers must hold more than, as a fraction of the power
    #[arg(long, value_name = "NUM/DEN", default_value = "2/3", value_parser = parse_rule)]
    pub(crate) rule: QuorumRule,
    /// Verifying key that is accepted: its file, or its digest and the slots of its circuit;
    /// repeat for more [default: those of the anchor]
    #[arg(long = "verifying-key", value_name = "FILE|DIGEST:SLOTS", value_parser = parse_key)]
    pub(crate) verifying_keys: Vec<KeyArg>,
    /// Accept verifying keys that a single party made
    #[arg(long)]
    pub(crate) development_keys: bool,
}

/// Where verifying keys are, and which are refused whatever a policy says. A key counts only if
/// its digest is accepted.
#[derive(Debug, Args)]
pub(crate) struct KeyRingArgs {
    /// A light verifying key; repeat for more. Of use only if its digest is accepted. Accepted keys
    /// that are not given are looked for among the keys on this machine
    #[arg(long = "key", value_name = "FILE")]
    pub(crate) key_files: Vec<Source>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Refuse keys that a single party made, whatever the policy says: every key, until there has
    /// been a ceremony
    #[arg(long)]
    pub(crate) production: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LightClientCommand {
    /// Start from a policy's anchor
    Init(LightClientInitArgs),
    /// Go on by attestations and updates
    Update(LightClientUpdateArgs),
    /// Say what the client trusts, and until when
    Status(LightClientStatusArgs),
    /// Start again from another anchor: after trust has ended, or after a fork
    Reset(LightClientResetArgs),
}

impl LightClientCommand {
    const fn name(&self) -> &'static str {
        match self {
            Self::Init(_) => "light-client init",
            Self::Update(_) => "light-client update",
            Self::Status(_) => "light-client status",
            Self::Reset(_) => "light-client reset",
        }
    }
}

/// The client's state, and the time.
#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    /// The client's state, a file of its own
    #[arg(long, value_name = "FILE")]
    pub(crate) state: PathBuf,
    /// Take this as the time, RFC 3339 UTC [default: the machine's clock]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) now: Option<TimeMs>,
}

#[derive(Debug, Args)]
pub(crate) struct LightClientInitArgs {
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// What you demand: the anchor is trusted, its keys and rule are kept in the state
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Source,
}

#[derive(Debug, Args)]
pub(crate) struct LightClientUpdateArgs {
    /// Attestations and updates, or directories of them; - is stdin
    #[arg(value_name = "FILE|DIR", required = true)]
    pub(crate) updates: Vec<Source>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) keys: KeyRingArgs,
    /// Let an update pass over a change of the set by an overlap of more than a third: to cheat
    /// then takes no more than that
    #[arg(long)]
    pub(crate) allow_skip: bool,
    /// Go straight to the highest header, and halve the distance where a set is unknown
    #[arg(long)]
    pub(crate) bisect: bool,
    /// Where evidence of a fork goes [default: beside the state, named by height and block]
    #[arg(long, value_name = "FILE")]
    pub(crate) evidence: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct LightClientStatusArgs {
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LightClientResetArgs {
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// What you demand from now on, with an anchor that you have reason to trust
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Source,
    /// The height of the fork that you have looked into: needed when the client is frozen by one
    #[arg(long, value_name = "HEIGHT")]
    pub(crate) acknowledge_fork: Option<u64>,
}

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
pub(crate) struct InspectArgs {
    /// Any file that Quorate makes, or a key; - is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: Source,
}

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
    const fn name(&self) -> &'static str {
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

fn parse_slots(text: &str) -> Result<CircuitSize, String> {
    let number: u16 = text
        .parse()
        .map_err(|_| "a circuit has 1 to 256 slots".to_string())?;
    CircuitSize::from_slots(number).map_err(|error| error.to_string())
}

fn parse_named(text: &str) -> Result<NamedSize, String> {
    let wrong = || {
        let names: Vec<_> = NAMED_SIZES
            .iter()
            .map(|named| format!("2^{} ({} slots)", named.domain_log2, named.size.slots()))
            .collect();
        format!("the sizes are {}", names.join(", "))
    };
    let log2 = text.strip_prefix("2^").ok_or_else(wrong)?;
    NAMED_SIZES
        .into_iter()
        .find(|named| named.domain_log2.to_string() == log2)
        .ok_or_else(wrong)
}

/// Bytes, with one of the usual letters for powers of 1024 behind them.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no number of bytes, such as 500M or 8G");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(wrong()),
    };
    let number = json::parse_decimal(digits).map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

fn parse_digest(text: &str) -> Result<Digest, String> {
    json::parse_hex(text).map(Digest::from_bytes)
}

fn parse_key(text: &str) -> Result<KeyArg, String> {
    match text.split_once(':') {
        Some((digest, slots)) if digest.len() == 64 => Ok(KeyArg::Named(AcceptedKey {
            digest: parse_digest(digest)?,
            slots: parse_slots(slots)?,
        })),
        _ => Ok(KeyArg::File(std::ffi::OsString::from(text).into())),
    }
}

fn parse_time(text: &str) -> Result<TimeMs, String> {
    json::parse_time(text)
}

fn parse_chain(text: &str) -> Result<ChainId, String> {
    ChainId::new(text).map_err(|error| error.to_string())
}

fn parse_rule(text: &str) -> Result<QuorumRule, String> {
    let numbers = text.split_once('/').and_then(|(num, den)| {
        Some((
            json::parse_decimal(num).ok()?,
            json::parse_decimal(den).ok()?,
        ))
    });
    let wrong = || "a rule is given as NUM/DEN, such as 2/3".to_string();
    let (num, den) = numbers.ok_or_else(wrong)?;
    let narrow = |n: u64| u32::try_from(n).map_err(|_| wrong());
    QuorumRule::new(narrow(num)?, narrow(den)?).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_and_bytes_are_read_in_full() {
        for named in NAMED_SIZES {
            assert_eq!(parse_named(&format!("2^{}", named.domain_log2)), Ok(named));
        }
        for bad in ["2^17", "2^018", "18", "2^", "2^18 "] {
            assert!(parse_named(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_bytes("16G"), Ok(16 << 30));
        assert_eq!(parse_bytes("7"), Ok(7));
        for bad in ["", "G", "1.5G", "-1", "1GB", "18446744073709551615K"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rules_are_fractions_in_lowest_terms() {
        assert_eq!(parse_rule("2/3"), Ok(QuorumRule::COMMIT));
        for bad in [
            "",
            "2",
            "2/3/4",
            "4/6",
            "0/1",
            "3/2",
            "-1/2",
            "02/3",
            "1/4294967297",
        ] {
            assert!(parse_rule(bad).is_err(), "{bad}");
        }
    }
}
