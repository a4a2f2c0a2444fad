//! Arguments of the commands that judge proofs.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use quorate_verifier::primitives::TimeMs;
use quorate_verifier::rule::QuorumRule;

use super::parse::{parse_key, parse_rule, parse_time};
use super::{KeyArg, StoreArgs};
use crate::files::Source;

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
    /// Key of the finality log, in which evidence must be entered: a key file (its .pub is
    /// enough), or 64 hex digits
    #[arg(long, value_name = "KEY")]
    pub(crate) log_key: Option<std::ffi::OsString>,
    /// Key of a cosigner of that log, in the same form; repeat for more
    #[arg(long = "cosigner", value_name = "KEY", requires = "log_key")]
    pub(crate) cosigners: Vec<std::ffi::OsString>,
    /// How many of the cosigners must have signed a checkpoint [default: all]
    #[arg(long, value_name = "N", requires = "cosigners")]
    pub(crate) cosigner_threshold: Option<u16>,
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
    pub(super) const fn name(&self) -> &'static str {
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
