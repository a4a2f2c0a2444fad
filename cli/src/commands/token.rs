//! `quorate token`: who may read what is not public.

use std::io;

use quorate_node::attest::service::now_ms;
use quorate_node::attest::tokens::{TokenError, Tokens};
use quorate_verifier::json::format_time;
use quorate_verifier::primitives::TimeMs;

use crate::args::{TokenCommand, TokenCreateArgs, TokenListArgs, TokenRevokeArgs};
use crate::failure::Failure;
use crate::files::{self, Access, Existing};
use crate::output::{Report, Verdict};
use crate::value::Value;

const DAY_MS: u64 = 24 * 3600 * 1000;

pub(super) fn run(command: &TokenCommand) -> Result<Report, Failure> {
    match command {
        TokenCommand::Create(args) => create(args),
        TokenCommand::List(args) => list(args),
        TokenCommand::Revoke(args) => revoke(args),
    }
}

fn create(args: &TokenCreateArgs) -> Result<Report, Failure> {
    is_service(&args.data)?;
    // Nothing is made that could not be told.
    if args.out.symlink_metadata().is_ok() {
        return Err(Failure::Exists(args.out.clone()));
    }
    let lifetime = u64::from(args.days) * DAY_MS;
    let tokens = Tokens::at(&args.data);
    let (record, token) = tokens.create(args.role, &args.label, now_ms(), lifetime)?;
    let line = token + "\n";
    if let Err(error) = files::write(&args.out, line.as_bytes(), Access::Private, Existing::Keep) {
        tokens.revoke(&record.id, now_ms())?;
        return Err(error);
    }
    let mut report = Report::new(
        Verdict::Done,
        format!("token {} of role {}", record.id, record.role.word()),
    );
    report
        .fact("id", record.id.as_str())
        .fact("role", record.role.word())
        .fact("ends", time(record.expires_at))
        .fact("file", args.out.display().to_string())
        .next("give the file to its bearer over a private channel; only its hash is kept here");
    Ok(report)
}

fn list(args: &TokenListArgs) -> Result<Report, Failure> {
    is_service(&args.data)?;
    let tokens = Tokens::at(&args.data).list()?;
    let now = now_ms();
    let rows: Value = tokens
        .iter()
        .map(|(token, used)| {
            Value::members([
                ("id", token.id.as_str().into()),
                ("role", token.role.word().into()),
                ("label", token.label.as_str().into()),
                ("ends", time(token.expires_at).into()),
                ("ended", (token.expires_at <= now).into()),
                ("lastUse", used.map(time).into()),
            ])
        })
        .collect();
    let mut report = Report::new(Verdict::Done, format!("{} tokens", tokens.len()));
    report.fact("tokens", rows);
    Ok(report)
}

fn revoke(args: &TokenRevokeArgs) -> Result<Report, Failure> {
    is_service(&args.data)?;
    let gone = Tokens::at(&args.data).revoke(&args.id, now_ms())?;
    let mut report = Report::new(Verdict::Done, format!("token {} is revoked", gone.id));
    report
        .fact("id", gone.id.as_str())
        .fact("role", gone.role.word())
        .fact("label", gone.label.as_str());
    Ok(report)
}

fn time(ms: u64) -> String {
    TimeMs::new(ms).map_or_else(|| "never".into(), format_time)
}

fn is_service(data: &std::path::Path) -> Result<(), Failure> {
    if data.is_dir() {
        return Ok(());
    }
    Err(Failure::Read {
        name: data.display().to_string(),
        error: io::Error::from(io::ErrorKind::NotFound),
    })
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Randomness(error) => Self::Randomness(error),
            TokenError::Io { path, error } => Self::Read { name: path, error },
            error @ (TokenError::Unknown(_) | TokenError::Full) => Self::Usage(error.to_string()),
        }
    }
}
