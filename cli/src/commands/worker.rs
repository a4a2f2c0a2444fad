//! `quorate worker`: proves what a service orders, in a child process at low priority.

use std::io::{BufRead, Write};
use std::ops::ControlFlow;
use std::process::Command as StdCommand;
use std::sync::mpsc::{Receiver, channel};

use quorate_node::attest::client::Client;
use quorate_node::attest::store::Failure as JobFailure;
use quorate_node::attest::worker::{Order, ProverProcess, Said, line, work};
use quorate_prover::{AttestError, Prover, attest, open_prover};
use quorate_verifier::certificate::SignedHeader;
use quorate_verifier::file::FileType;
use quorate_verifier::json::parse_hex;
use quorate_verifier::primitives::Digest;
use quorate_verifier::set::ValidatorSet;
use tokio::sync::watch;

use super::{serve, tls, work as shared};
use crate::args::WorkerArgs;
use crate::failure::Failure;
use crate::output::{Report, Verdict};

/// Longest order: a block and its set, in hex.
const ORDER_MAX_BYTES: u64 = 1 << 20;

pub(super) fn run(args: &WorkerArgs) -> Result<Report, Failure> {
    if args.child {
        return prove_orders(args);
    }
    if args.tied {
        end_with_stdin();
    }
    let (Some(url), Some(file)) = (&args.url, &args.token_file) else {
        return Err(Failure::usage("--url and --token-file are needed"));
    };
    let token = file.read(1024)?;
    let token = std::str::from_utf8(&token)
        .map_err(|_| Failure::usage(format!("{}: not a token", file.name())))?;
    let trust = match &args.pin {
        Some(pin) => Some(tls::pinned(pin)?),
        None => tls::trust(&args.ca)?,
    };
    let client = Client::trusting(url, Some(token.trim().to_owned()), trust.as_ref())
        .map_err(|error| Failure::usage(error.to_string()))?;
    let store = shared::store(&args.store)?;
    let name = args
        .name
        .clone()
        .unwrap_or_else(|| format!("worker-{}", std::process::id()));
    let program = std::env::current_exe()
        .map_err(|error| Failure::Machine(format!("this program's own path: {error}")))?;
    let (nice, keys) = (args.nice.to_string(), store.dir().to_path_buf());
    let mut prover = ProverProcess::new(move || {
        let mut command = StdCommand::new(&program);
        command.args(["worker", "--child", "--nice", &nice, "--keys"]);
        command.arg(&keys);
        // A terminal's interrupt is for the worker, which ends its child itself.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.into()
    });
    serve::log_to_stderr();
    let (stop, stopped) = watch::channel(false);
    let runtime = serve::runtime()?;
    let worked = runtime.block_on(async {
        serve::on_stop(move || {
            let _ = stop.send(true);
        });
        work(&client, &name, &mut prover, stopped).await
    });
    worked.map_err(|error| Failure::Refused(error.to_string()))?;
    Ok(Report::new(
        Verdict::Done,
        format!("{name} stopped as asked"),
    ))
}

/// The child: an order a line on stdin, what is said of it a line each on stdout.
fn prove_orders(args: &WorkerArgs) -> Result<Report, Failure> {
    lower_priority(args.nice);
    let store = shared::store(&args.store)?;
    let mut open: Option<(Digest, Prover)> = None;
    for text in orders() {
        let said = match prove(&store, &mut open, &text) {
            Ok(file) => Said::Attestation(file),
            Err(failure) => Said::Failure(failure),
        };
        say(&said)?;
    }
    Ok(Report::new(Verdict::Done, "no more orders"))
}

/// Orders as they come. Stdin is read all the time: once it ends, nobody waits for the proof that
/// is under way, and the process ends with it, however its worker did.
fn orders() -> Receiver<String> {
    let (send, orders) = channel();
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut text = String::new();
            let mut limited = std::io::Read::take(&mut input, ORDER_MAX_BYTES);
            match limited.read_line(&mut text) {
                Ok(count) if count > 0 && send.send(text).is_ok() => {}
                _ => std::process::exit(0),
            }
        }
    });
    orders
}

/// Ends this process once whoever started it is gone and their end of stdin with them. The prover
/// ends in the same way.
fn end_with_stdin() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(0);
    });
}

fn say(said: &Said) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(line(said).as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::Machine(format!("stdout: {error}")))
}

fn prove(
    store: &quorate_prover::Store,
    open: &mut Option<(Digest, Prover)>,
    text: &str,
) -> Result<String, JobFailure> {
    let permanent = |reason: String| JobFailure {
        permanent: true,
        reason,
    };
    let passing = |reason: String| JobFailure {
        permanent: false,
        reason,
    };
    let order: Order = serde_json::from_str(text).map_err(|e| permanent(e.to_string()))?;
    let file = |text: &str| hex::decode(text).map_err(|error| permanent(error.to_string()));
    let block = SignedHeader::from_file(&file(&order.block)?);
    let block = block.map_err(|error| permanent(error.to_string()))?;
    let set = ValidatorSet::from_file(&file(&order.set)?);
    let set = set.map_err(|error| permanent(error.to_string()))?;
    let key = Digest::from_bytes(parse_hex(&order.key).map_err(permanent)?);
    if open.as_ref().is_none_or(|(digest, _)| *digest != key) {
        // The old one goes first: two keys may not fit into memory.
        *open = None;
        // A key that is not here yet may come: the job is tried again.
        let stored = store.open(&key).map_err(|e| passing(e.to_string()))?;
        let prover = open_prover(stored).map_err(|e| passing(e.to_string()))?;
        *open = Some((key, prover));
    }
    let Some((_, prover)) = open else {
        return Err(passing("no prover".into()));
    };
    let chain = block.header.chain_id.clone();
    let watch = |phase: quorate_prover::Phase| {
        let said = Said::Phase(format!("{phase:?}").to_lowercase());
        match say(&said) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()), // nobody listens any more
        }
    };
    match attest(prover, &block, &chain, &set, order.rule, watch) {
        Ok(attestation) => Ok(hex::encode(attestation.to_file())),
        Err(error @ AttestError::Prove(_)) => Err(passing(error.to_string())),
        Err(error) => Err(permanent(error.to_string())),
    }
}

#[cfg(unix)]
fn lower_priority(by: u8) {
    // A system that does not let us be polite still gets its proof.
    if let Err(error) = rustix::process::nice(by.into()) {
        tracing::warn!(%error, "the priority stays as it is");
    }
}

#[cfg(not(unix))]
fn lower_priority(_: u8) {}
