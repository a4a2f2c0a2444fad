//! `quorate log`: watching over a transparency log from outside.

use std::path::Path;
use std::time::Duration;

use quorate_node::attest::client::HttpReader;
use quorate_node::attest::log::{
    CosignError, CosignKey, Cosigner, DirReader, LogReader, Monitor, MonitorError, ReadError,
};
use quorate_node::attest::service::now_ms;
use quorate_verifier::tlog::{LogError, NoteAlgorithm, NoteKey, finality_log};
use quorate_verifier::trust::LogKey;

use super::{serve, tls};
use crate::args::{CosignArgs, LogArgs, LogCommand, MonitorArgs, VkeyArgs};
use crate::failure::Failure;
use crate::keys;
use crate::output::{Report, Verdict};

pub(super) fn run(command: &LogCommand) -> Result<Report, Failure> {
    match command {
        LogCommand::Monitor(args) => monitor(args),
        LogCommand::Cosign(args) => cosign(args),
        LogCommand::Vkey(args) => vkey(args),
        LogCommand::RotateKey(args) => serve::rotate_key(args),
    }
}

/// Where a log is read.
enum Reader {
    Dir(DirReader),
    Http(HttpReader),
}

impl Reader {
    fn new(args: &LogArgs) -> Result<Self, Failure> {
        let log = &args.log;
        if log.starts_with("http://") || log.starts_with("https://") {
            let trust = tls::trust(&args.ca)?;
            let reader = HttpReader::trusting(log, None, trust.as_ref());
            return reader
                .map(Self::Http)
                .map_err(|error| Failure::usage(error.to_string()));
        }
        Ok(Self::Dir(DirReader::new(log)))
    }
}

/// Looks once, or again and again until something is found.
fn repeat<T>(args: &LogArgs, mut look: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    loop {
        let seen = look();
        let Some(seconds) = args.every else {
            return seen;
        };
        match seen {
            Err(error @ (Failure::Invalid(_) | Failure::Usage(_))) => return Err(error),
            // Unreachable for a while is no verdict: look again.
            Err(error) => eprintln!("warning: {error}"),
            Ok(_) => {}
        }
        std::thread::sleep(Duration::from_secs(seconds.into()));
    }
}

fn log_key(args: &LogArgs) -> Result<NoteKey, Failure> {
    let key: NoteKey = args
        .vkey
        .parse()
        .map_err(|error: LogError| Failure::usage(error.to_string()))?;
    if key.algorithm() != NoteAlgorithm::Log {
        return Err(Failure::usage("--vkey is a cosigner's key, not a log's"));
    }
    Ok(key)
}

fn monitor(args: &MonitorArgs) -> Result<Report, Failure> {
    let log = &args.log;
    let reader = Reader::new(log)?;
    let mut monitor = Monitor::open(&log.state, log_key(log)?)?;
    let seen = repeat(log, || {
        Ok(match &reader {
            Reader::Dir(reader) => monitor.look(reader)?,
            Reader::Http(reader) => monitor.look(reader)?,
        })
    })?;
    let mut report = Report::new(
        Verdict::Verified,
        format!(
            "the log of {} entries extends the {} known before",
            seen.size, seen.before
        ),
    );
    report
        .fact("before", seen.before.to_string())
        .fact("size", seen.size.to_string())
        .fact(
            "first height",
            seen.heights.map(|(first, _)| first.to_string()),
        )
        .fact(
            "last height",
            seen.heights.map(|(_, last)| last.to_string()),
        );
    warn_of_new_key(&mut report, log, monitor.key());
    report.check::<String>(
        "signature",
        Ok("the checkpoint is signed by the log".into()),
    );
    report.check::<String>(
        "history",
        Ok("every entry that was read before is still there".into()),
    );
    report.check::<String>(
        "entries",
        Ok("the new entries give the root that is signed".into()),
    );
    report.not_checked("that what the entries say is true: verify attestations for that");
    report.not_checked("that others are shown the same log: compare checkpoints with them");
    Ok(report)
}

/// The log was handed over: to be known, though nothing is wrong with it.
fn warn_of_new_key(report: &mut Report, args: &LogArgs, now: &NoteKey) {
    if now.to_string() != args.vkey {
        report.warn(format!(
            "the log signs with another key, to which the old one handed it over: {now}"
        ));
    }
}

fn cosign(args: &CosignArgs) -> Result<Report, Failure> {
    let log = &args.log;
    let reader = Reader::new(log)?;
    if args.hand_in && matches!(reader, Reader::Dir(_)) {
        return Err(Failure::usage("--hand-in needs a log at an address"));
    }
    let (secret, warning) = keys::load_secret(&args.key, args.passphrase_file.as_ref())?;
    let key = CosignKey::new(&args.name, secret).map_err(|e| Failure::usage(e.to_string()))?;
    let mut cosigner = Cosigner::open(&log.state, log_key(log)?, key)?;
    let cosigned = repeat(log, || {
        let follow = |cosigner: &mut Cosigner, reader: &dyn Follow| reader.follow(cosigner);
        let cosigned = match &reader {
            Reader::Dir(reader) => follow(&mut cosigner, reader)?,
            Reader::Http(reader) => follow(&mut cosigner, reader)?,
        };
        if let (true, Reader::Http(reader)) = (args.hand_in, &reader) {
            reader
                .hand_in(&cosigned)
                .map_err(|error| Failure::Machine(format!("{}: {error}", log.log)))?;
        }
        Ok(cosigned)
    })?;
    let mut report = Report::new(
        Verdict::Done,
        format!(
            "cosigned the log's checkpoint of {} entries",
            cosigned.head().size
        ),
    );
    report
        .fact("size", cosigned.head().size.to_string())
        .fact("root", cosigned.head().root.to_string())
        .fact("vkey", cosigner.public().to_string())
        .fact("file", log.state.join("cosigned").display().to_string());
    warn_of_new_key(&mut report, log, cosigner.log_key());
    report.check::<String>(
        "consistency",
        Ok("it extends the one that was cosigned before".into()),
    );
    report.not_checked("the entries: a cosigner sees the tree, a monitor reads it");
    warning.into_iter().for_each(|warning| {
        report.warn(warning);
    });
    Ok(report)
}

/// Cosigning from either kind of reader.
trait Follow {
    fn follow(
        &self,
        cosigner: &mut Cosigner,
    ) -> Result<quorate_verifier::tlog::Checkpoint, CosignError>;
}

impl<R: LogReader> Follow for R {
    fn follow(
        &self,
        cosigner: &mut Cosigner,
    ) -> Result<quorate_verifier::tlog::Checkpoint, CosignError> {
        cosigner.follow(self, now_ms() / 1000)
    }
}

fn vkey(args: &VkeyArgs) -> Result<Report, Failure> {
    let key = keys::load_public(&args.key)?;
    let key = LogKey(*key.as_bytes());
    let named = match (&args.chain, &args.cosigner) {
        (Some(chain), _) => finality_log(chain, key),
        (None, Some(name)) => NoteKey::new(name, NoteAlgorithm::Cosigner, key)
            .map_err(|error| Failure::usage(error.to_string()))?,
        (None, None) => return Err(Failure::usage("--chain or --cosigner is needed")),
    };
    let mut report = Report::new(Verdict::Done, named.to_string());
    report
        .fact("vkey", named.to_string())
        .fact("key", hex::encode(key.0));
    Ok(report)
}

fn at(path: String, error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::WouldBlock => Failure::Busy(Path::new(&path).into()),
        _ => Failure::Read { name: path, error },
    }
}

fn unread(error: ReadError) -> Failure {
    match error {
        ReadError::NoLog => Failure::Unknown(error.to_string()),
        error => Failure::Machine(error.to_string()),
    }
}

impl From<MonitorError> for Failure {
    fn from(error: MonitorError) -> Self {
        match error {
            MonitorError::Read(error) => unread(error),
            MonitorError::Store { path, error } => at(path, error),
            error => Self::Invalid(error.to_string()),
        }
    }
}

impl From<CosignError> for Failure {
    fn from(error: CosignError) -> Self {
        match error {
            CosignError::Read(error) => unread(error),
            CosignError::Store { path, error } => at(path, error),
            error => Self::Invalid(error.to_string()),
        }
    }
}
