//! Quorate's validators and `hotstuff_rs` under the same load, on loopback, one process a replica.
//!
//! `versus run` does everything and prints a table; `docs/performance.md` says what is fair and
//! what is not.

mod app;
mod cluster;
mod founding;
mod hotstuff;
mod load;
mod plan;
mod report;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use quorate_node::shell::driver::Stop;
use quorate_node::shell::node::{Node, Setup};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

use crate::app::Appender;
use crate::founding::{Shape, consensus_key, network_key};

/// Whatever went wrong, in words: this is a tool for its developers.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Threads for links in each replica: there are more replicas than processors, and either system
/// has other threads of its own.
const THREADS: usize = 1;

#[derive(Parser)]
#[command(about = "Quorate's validators and hotstuff_rs under the same load")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Finds the best settings of both systems, measures them in turn, prints a table
    Run(plan::RunArgs),
    /// One measurement, for a closer look
    One(plan::OneArgs),
    /// One replica, until its input ends
    #[command(hide = true)]
    Replica(ReplicaArgs),
}

/// Which consensus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum System {
    /// The node of this repository.
    Quorate,
    /// The peer.
    Hotstuff,
}

impl System {
    pub(crate) const BOTH: [Self; 2] = [Self::Quorate, Self::Hotstuff];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Quorate => "quorate",
            Self::Hotstuff => "hotstuff",
        }
    }
}

#[derive(Args)]
struct ReplicaArgs {
    #[arg(long)]
    system: System,
    #[arg(long)]
    index: usize,
    #[arg(long, value_delimiter = ',')]
    ports: Vec<u16>,
    #[arg(long)]
    dir: PathBuf,
    #[arg(long)]
    batch: u32,
    #[arg(long)]
    block_ms: u32,
}

fn main() -> Result<(), Failure> {
    let command = Cli::parse().command;
    let threads = match &command {
        Command::Replica(_) => THREADS,
        Command::Run(_) | Command::One(_) => 1,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?;
    match command {
        Command::Run(args) => plan::run(&runtime, &args),
        Command::One(args) => plan::one(&runtime, &args),
        Command::Replica(args) => runtime.block_on(replica(args)),
    }
}

async fn replica(args: ReplicaArgs) -> Result<(), Failure> {
    let shape = Shape {
        ports: args.ports,
        batch: args.batch,
        block_ms: args.block_ms,
    };
    match args.system {
        System::Quorate => {
            let setup = Setup {
                config: shape.config(args.index, &args.dir)?,
                founding: shape.founding()?,
                sets: Vec::new(),
                consensus: consensus_key(args.index),
                network: network_key(args.index),
                app: Appender::default(),
                fresh: true,
            };
            let node = Node::start(setup).await?;
            let stopper = node.stopper();
            tokio::spawn(async move {
                until_input_ends().await;
                let _ = stopper.send(quorate_node::shell::driver::Event::Stop).await;
            });
            match node.stopped().await {
                Stop::Asked => Ok(()),
                why => Err(why.to_string().into()),
            }
        }
        System::Hotstuff => {
            let _replica = hotstuff::start(&shape, args.index, &args.dir).await?;
            until_input_ends().await;
            // Its threads end with the process.
            std::process::exit(0);
        }
    }
}

/// The parent holds the other end: a replica never outlives it.
async fn until_input_ends() {
    let mut byte = [0];
    while matches!(tokio::io::stdin().read(&mut byte).await, Ok(count) if count > 0) {}
}
