//! `quorate node`: a validator, until it is asked to stop or has to.

use std::io::IsTerminal;

use quorate_node::shell::config::Level;
use quorate_node::shell::driver::{Event, Stop};
use quorate_node::shell::node::{self, Node, StartError};
use tracing_subscriber::filter::LevelFilter;

use super::link;
use crate::args::NodeArgs;
use crate::failure::Failure;
use crate::output::{self, Report, Verdict};

/// Threads for links; the core has one of its own.
const THREADS: usize = 2;

pub(super) fn run(args: &NodeArgs) -> Result<Report, Failure> {
    let config = link::config(&args.config)?;
    let level = config.log.level;
    let setup = link::setup(config, args.new)?;
    let name = setup.config.name.to_string();
    let runtime = link::runtime(THREADS)?;
    if args.check {
        let found = runtime.block_on(node::dry_run(setup))?;
        let mut report = Report::new(Verdict::Verified, format!("{name} can start"));
        for (name, detail) in found {
            report.check::<String>(name, Ok(detail));
        }
        report.not_checked("whether the other machines can be reached");
        return Ok(report);
    }
    log_to_stderr(level);
    runtime.block_on(async {
        let node = Node::start(setup).await?;
        let stopper = node.stopper();
        let by_interrupt = stopper.clone();
        output::stop_by(move || {
            // If the queue is full, the next interrupt ends the process.
            let _ = by_interrupt.try_send(Event::Stop);
        });
        let by_signal = tokio::spawn(async move {
            let kind = tokio::signal::unix::SignalKind::terminate();
            if let Ok(mut terminate) = tokio::signal::unix::signal(kind) {
                terminate.recv().await;
                let _ = stopper.send(Event::Stop).await; // it may have stopped by itself
            }
        });
        let why = node.stopped().await;
        by_signal.abort();
        match why {
            Stop::Asked => Ok(Report::new(
                Verdict::Done,
                format!("{name} stopped as asked"),
            )),
            why => Err(why.into()),
        }
    })
}

fn log_to_stderr(level: Level) {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_writer(std::io::stderr)
        .init();
}

impl From<Stop> for Failure {
    fn from(why: Stop) -> Self {
        match why {
            why if why.is_incident() => Self::Invalid(why.to_string()),
            Stop::Start(why) => Self::Usage(why),
            why => Self::Machine(why.to_string()),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Refused(_) | StartError::Parties(_) | StartError::NotNew(_) => {
                Self::Usage(error.to_string())
            }
            StartError::RunsElsewhere { .. } => Self::Invalid(error.to_string()),
            StartError::Device { path, error } => Self::Write { path, error },
            StartError::Stop(why) => why.into(),
            error => Self::Machine(error.to_string()),
        }
    }
}
