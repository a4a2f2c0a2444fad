//! TLS from the command line: whom to believe, and keys with certificates of their own.

use std::path::{Path, PathBuf};

use quorate_node::attest::tls::{PEM_MAX_BYTES, SelfSigned, TlsError, Trust, self_signed};
use quorate_verifier::json::format_time;
use quorate_verifier::primitives::TimeMs;

use super::founding;
use crate::args::CaArgs;
use crate::failure::Failure;
use crate::files::{self, Access, Existing, Source};
use crate::output::{Report, Verdict};

const DAY_MS: u64 = 24 * 3600 * 1000;

/// What `--ca` names.
pub(super) fn trust(args: &CaArgs) -> Result<Option<Trust>, Failure> {
    let read = |source: &Source| {
        let pem = source.read(PEM_MAX_BYTES)?;
        Trust::authorities(&pem).map_err(|error| refusal(&source.name(), &error))
    };
    args.ca.as_ref().map(read).transpose()
}

/// One certificate, whatever names it bears.
pub(super) fn pinned(source: &Source) -> Result<Trust, Failure> {
    let pem = source.read(PEM_MAX_BYTES)?;
    Trust::pinned(&pem).map_err(|error| refusal(&source.name(), &error))
}

pub(super) fn refusal(name: &str, error: &TlsError) -> Failure {
    Failure::usage(format!("{name}: {error}"))
}

/// `quorate keygen --tls NAME`: a key in `out`, its certificate in `out.crt`.
pub(super) fn keygen(out: &Path, names: &[String], days: u32) -> Result<Report, Failure> {
    let certificate = certificate_path(out);
    for path in [out, &certificate] {
        if path.symlink_metadata().is_ok() {
            return Err(Failure::Exists(path.into()));
        }
    }
    let (made, until) = own_certificate(names, days)?;
    files::write(out, made.key.as_bytes(), Access::Private, Existing::Keep)?;
    let pem = made.certificate.as_bytes();
    files::write(&certificate, pem, Access::Public, Existing::Keep)?;
    let mut report = Report::new(Verdict::Done, "made a TLS key with its own certificate");
    report
        .fact("names", names.join(", "))
        .fact("ends", until)
        .fact("secret file", out.display().to_string())
        .fact("certificate file", certificate.display().to_string())
        .next("name both files under [listen.tls], and give the certificate to clients: --ca FILE");
    report.warn("the secret key is not encrypted: whoever reads the file can pass for the service");
    Ok(report)
}

/// A key with a certificate of its own for these names, and the date at which that ends.
pub(super) fn own_certificate(
    names: &[String],
    days: u32,
) -> Result<(SelfSigned, String), Failure> {
    let now = founding::now()?.get();
    // A clock that is a day behind takes it too.
    let (from, until) = (now.saturating_sub(DAY_MS), now + u64::from(days) * DAY_MS);
    let made = self_signed(names, date(from)?, date(until)?).map_err(|error| match error {
        TlsError::Name(_) => Failure::usage(error.to_string()),
        error => Failure::Machine(error.to_string()),
    })?;
    Ok((made, date_text(until)?))
}

/// Where the certificate of a TLS key is written: `FILE.crt`.
pub(super) fn certificate_path(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(".crt");
    name.into()
}

fn date_text(ms: u64) -> Result<String, Failure> {
    let time = TimeMs::new(ms).ok_or_else(|| Failure::usage("the end is too far away"))?;
    Ok(format_time(time)[..10].to_owned())
}

/// Year, month and day of a time.
fn date(ms: u64) -> Result<(i32, u8, u8), Failure> {
    let text = date_text(ms)?;
    let mut parts = text.split('-');
    let mut part = || parts.next().unwrap_or_default();
    let parsed = (part().parse(), part().parse(), part().parse());
    match parsed {
        (Ok(year), Ok(month), Ok(day)) => Ok((year, month, day)),
        _ => Err(Failure::Machine(format!("the date {text}"))),
    }
}
