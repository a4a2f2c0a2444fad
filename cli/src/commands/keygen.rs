//! `quorate keygen`.

use super::tls;
use crate::args::KeygenArgs;
use crate::failure::Failure;
use crate::files::{self, Access, Existing};
use crate::keys::{self, Passphrase};
use crate::output::{Report, Verdict};

pub(super) fn run(args: &KeygenArgs) -> Result<Report, Failure> {
    if args.out.as_os_str() == "-" {
        return Err(Failure::usage(
            "a secret key goes to a file, never to stdout",
        ));
    }
    if !args.tls.is_empty() {
        return tls::keygen(&args.out, &args.tls, args.days);
    }
    let public_path = keys::public_path(&args.out);
    for path in [&args.out, &public_path] {
        if path.symlink_metadata().is_ok() {
            return Err(Failure::Exists(path.clone()));
        }
    }
    let passphrase = args
        .passphrase_file
        .as_ref()
        .map(Passphrase::read)
        .transpose()?;
    let (key, warning) = match &args.pkcs8 {
        Some(source) => keys::load_secret(source, args.pkcs8_passphrase_file.as_ref())?,
        None => (keys::generate()?, None),
    };
    let public = keys::public(&key);
    let pem = keys::secret_pem(&key, passphrase.as_ref())?;
    files::write(&args.out, pem.as_bytes(), Access::Private, Existing::Keep)?;
    let public_pem = keys::public_pem(&public);
    files::write(
        &public_path,
        public_pem.as_bytes(),
        Access::Public,
        Existing::Keep,
    )?;

    let what = if args.pkcs8.is_some() {
        "imported the key"
    } else {
        "made a key"
    };
    let mut report = Report::new(Verdict::Done, what);
    report
        .fact("public key", keys::hex(&public))
        .fact("secret file", args.out.display().to_string())
        .fact("public file", public_path.display().to_string())
        .fact("encrypted", passphrase.is_some());
    report.warnings.extend(warning);
    if passphrase.is_none() {
        report.warn("the secret key is not encrypted: whoever reads the file can sign with it");
    }
    Ok(report)
}
