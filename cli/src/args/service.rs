//! Arguments of the attestation service's commands.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use quorate_node::attest::tokens::Role;
use quorate_verifier::primitives::ChainId;

use super::StoreArgs;
use super::parse::parse_chain;
use crate::files::Source;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The configuration, TOML; paths in it are relative to its directory
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Serve /bench/N too, a body of N bytes that costs nothing: what `bench serve` compares with
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

/// Whom to believe at an https address.
#[derive(Debug, Args)]
pub(crate) struct CaArgs {
    /// For https: the certificate to believe, or those of its signers (PEM); such as
    /// /etc/ssl/certs/ca-certificates.crt
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<Source>,
}

#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    /// The service's operator listener, http://HOST:PORT or https://
    #[arg(long, value_name = "URL", required_unless_present = "child")]
    pub(crate) url: Option<String>,
    /// A file that holds an operator's token; - is stdin
    #[arg(long, value_name = "FILE", required_unless_present = "child")]
    pub(crate) token_file: Option<Source>,
    /// What the service calls this worker [default: worker and the process id]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Added to the prover's niceness: 19 gives way to everything else
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=19))]
    pub(crate) nice: u8,
    /// Prove what stdin orders, a line of JSON each: what a worker starts
    #[arg(long, hide = true, conflicts_with_all = ["url", "token_file", "name"])]
    pub(crate) child: bool,
    /// End when stdin does: with the service that started this worker
    #[arg(long, hide = true)]
    pub(crate) tied: bool,
    #[command(flatten)]
    pub(crate) ca: CaArgs,
    /// For https: this very certificate, whatever names it bears: what a service gives its own
    #[arg(long, hide = true, value_name = "FILE", conflicts_with = "ca")]
    pub(crate) pin: Option<Source>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Read what is new in a log, and compare its past with what was read before
    Monitor(MonitorArgs),
    /// Sign a log's checkpoint, if it extends the one that was signed before
    Cosign(CosignArgs),
    /// Print the public key of a log or cosigner as verifier-key text
    Vkey(VkeyArgs),
    /// Hand a log over to another key, while the service is stopped
    RotateKey(RotateKeyArgs),
}

impl LogCommand {
    /// The words that were typed, for the answer.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Monitor(_) => "log monitor",
            Self::Cosign(_) => "log cosign",
            Self::Vkey(_) => "log vkey",
            Self::RotateKey(_) => "log rotate-key",
        }
    }
}

/// Which log.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// The log: a directory, or http://HOST:PORT/log/finality, or https://
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) log: String,
    #[command(flatten)]
    pub(crate) ca: CaArgs,
    /// The log's key as verifier-key text
    #[arg(long, value_name = "VKEY")]
    pub(crate) vkey: String,
    /// Where the last checkpoint is remembered: a directory of your own
    #[arg(long, value_name = "DIR")]
    pub(crate) state: PathBuf,
    /// Go on, and look again after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) every: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct MonitorArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CosignArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// The cosigner's key, a PKCS#8 file; - is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Source,
    /// Passphrase of the key, on one line
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<Source>,
    /// The cosigner's name on signature lines, such as cosigner.example.com
    #[arg(long)]
    pub(crate) name: String,
    /// Hand the signature to the log, which must be an address
    #[arg(long)]
    pub(crate) hand_in: bool,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("whose").required(true).args(["chain", "cosigner"]))]
pub(crate) struct VkeyArgs {
    /// A key file; its .pub is enough
    #[arg(long, value_name = "FILE")]
    pub(crate) key: std::ffi::OsString,
    /// It signs the finality log of this chain
    #[arg(long, value_name = "ID", value_parser = parse_chain)]
    pub(crate) chain: Option<ChainId>,
    /// It is a cosigner's, of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) cosigner: Option<String>,
}

/// One of the service's two logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum WhichLog {
    /// The public one
    Finality,
    /// That of privileged reads and acts
    Access,
}

#[derive(Debug, Args)]
pub(crate) struct RotateKeyArgs {
    /// The service's configuration, which names the key that signs now
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Which log
    #[arg(long)]
    pub(crate) log: WhichLog,
    /// The key that signs from now on, a PKCS#8 file
    #[arg(long, value_name = "FILE")]
    pub(crate) new_key: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and write it to a file, the only time that it is seen
    Create(TokenCreateArgs),
    /// List tokens with their end and last use
    List(TokenListArgs),
    /// End a token at once
    Revoke(TokenRevokeArgs),
}

impl TokenCommand {
    /// The words that were typed, for the answer.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "token create",
            Self::List(_) => "token list",
            Self::Revoke(_) => "token revoke",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct TokenCreateArgs {
    /// The service's directory: `data` of its configuration
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// What its bearer may do
    #[arg(long, value_parser = parse_role)]
    pub(crate) role: Role,
    /// Whom it is for, in your words
    #[arg(long)]
    pub(crate) label: String,
    /// Days after which it ends
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) days: u32,
    /// Where the token goes, mode 0600; it may not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct TokenListArgs {
    /// The service's directory
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct TokenRevokeArgs {
    /// The service's directory
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The token's id, as the list shows it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The service's public listener, http://HOST:PORT or https://
    #[arg(long, value_name = "URL", required_unless_present = "verify_html")]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) ca: CaArgs,
    /// The first height
    #[arg(long, value_name = "HEIGHT", required_unless_present = "verify_html")]
    pub(crate) from: Option<u64>,
    /// The last height
    #[arg(long, value_name = "HEIGHT", required_unless_present = "verify_html")]
    pub(crate) to: Option<u64>,
    /// Wait as long for the last height to be proved
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub(crate) wait: u64,
    /// Where the pack goes
    #[arg(long, value_name = "FILE", required_unless_present = "verify_html")]
    pub(crate) out: Option<PathBuf>,
    /// Write the page that checks packs in a browser, offline, and nothing else
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "from", "to", "out"])]
    pub(crate) verify_html: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
}

fn parse_role(text: &str) -> Result<Role, String> {
    [Role::Auditor, Role::Regulator, Role::Operator]
        .into_iter()
        .find(|role| role.word() == text)
        .ok_or_else(|| "a role is auditor, regulator or operator".into())
}
