//! `quorate bundle open`.

use quorate_verifier::bundle::Bundle;

use super::founding;
use crate::args::BundleOpenArgs;
use crate::failure::{Failure, Role};
use crate::files::NewDirectory;
use crate::keys;
use crate::output::{Report, Verdict};
use crate::seal::{self, OpenError};

pub(super) fn open(args: &BundleOpenArgs) -> Result<Report, Failure> {
    let dir = NewDirectory::begin(&args.out)?;
    let bundle: Bundle = args.bundle.document(Role::Judged)?;
    let (key, warning) = keys::load_secret(&args.key, args.passphrase_file.as_ref())?;
    let founding = seal::open(&bundle, &key).map_err(|error| match error {
        OpenError::Recipient => Failure::Unknown(error.to_string()),
        OpenError::Decode(ref inner) if inner.is_unsupported() => {
            Failure::Unknown(error.to_string())
        }
        _ => Failure::Invalid(error.to_string()),
    })?;
    founding::write(&dir, &founding)?;
    dir.finish()?;

    let summary = format!("opened the bundle into {}", args.out.display());
    let mut report = Report::new(Verdict::Verified, summary);
    founding::describe(&mut report, &founding);
    let machine = founding
        .roster
        .index_of_machine(&keys::public(&key))
        .and_then(|index| founding.roster.entries().get(usize::from(index)))
        .expect("opening found this machine in the roster");
    report
        .fact("machine", machine.name.as_str())
        .fact("address", machine.address.as_str())
        .fact("power", machine.power.get().to_string())
        .fact("consensus key", keys::hex(&machine.consensus_key));
    report.warnings.extend(warning);
    founding::warn(&mut report, &founding.set, &founding.anchor.keys);
    if founding.policy.development_keys {
        report.warn("the policy accepts verifying keys that a single party made");
    }
    report
        .not_checked("who sealed the bundle: compare the bundle number with the other members")
        .not_checked("that you hold the consensus key: `quorate genesis check` does")
        .next(format!(
            "quorate genesis check --set {dir}/private/validator-set.json --anchor \
             {dir}/public/trust-anchor.json --genesis {dir}/public/genesis.json --key MINE",
            dir = args.out.display(),
        ));
    Ok(report)
}
