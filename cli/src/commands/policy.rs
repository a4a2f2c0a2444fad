//! `quorate policy`: what a verifier demands, from an anchor that it trusts.

use std::ffi::OsStr;

use quorate_verifier::file::FileType;
use quorate_verifier::trust::{Cosigners, LogKey, Policy, TrustAnchor};

use super::certificate::is_commit;
use super::founding::{self, DevelopmentKeys};
use crate::args::PolicyArgs;
use crate::failure::{Failure, Role};
use crate::files::{self, Access, Existing};
use crate::keys;
use crate::output::{Report, Verdict};
use crate::spoken::comparison_number;
use crate::value::Value;

pub(super) fn run(args: &PolicyArgs) -> Result<Report, Failure> {
    let anchor: TrustAnchor = args.anchor.document(Role::Given)?;
    let development = match args.development_keys {
        true => DevelopmentKeys::Accepted,
        false => DevelopmentKeys::Refused,
    };
    let keys = match args.verifying_keys.is_empty() {
        true => anchor.keys.clone(),
        false => founding::accepted_keys(&args.verifying_keys, development)?,
    };
    let policy = Policy {
        rule: args.rule,
        keys,
        anchor,
        log_key: args.log_key.as_deref().map(log_key).transpose()?,
        cosigners: cosigners(args)?,
        development_keys: args.development_keys,
    };
    let json = policy.to_json() + "\n";
    files::write(&args.out, json.as_bytes(), Access::Public, Existing::Keep)?;

    let digest = policy.anchor.digest();
    let out = args.out.display();
    let mut report = Report::new(Verdict::Done, format!("wrote the policy to {out}"));
    report
        .fact("chain", policy.anchor.header.chain_id.as_str())
        .fact("height", policy.anchor.header.height.get().to_string())
        .fact("rule", policy.rule.to_string())
        .fact("accepted keys", policy.keys.len())
        .fact("development keys", policy.development_keys)
        .fact(
            "log key",
            policy
                .log_key
                .map_or(Value::Null, |key| hex::encode(key.0).into()),
        )
        .fact(
            "cosigners",
            format!(
                "{} of {}",
                policy.cosigners.threshold(),
                args.cosigners.len()
            ),
        )
        .fact("anchor digest", digest.to_string())
        .fact("comparison number", comparison_number(&digest))
        .not_checked("who made the anchor: compare the number by telephone");
    if policy.keys.is_empty() {
        report.warn("no verifying key is accepted: no proof can be checked by this policy");
    }
    for key in &policy.keys {
        if !policy.anchor.keys.contains(key) {
            report.warn(format!(
                "verifying key {} is not among the anchor's",
                key.digest
            ));
        }
    }
    if policy.log_key.is_none() {
        report.not_checked("whether evidence is in a log: the policy names no log key");
    }
    if policy.development_keys {
        report.warn("the policy accepts verifying keys that a single party made");
    }
    if !is_commit(policy.rule) {
        report.warn(format!(
            "{}: what holds by this rule need not be final",
            policy.rule
        ));
    }
    report.next(format!("quorate verify FILE --policy {out} --key KEY.vk"));
    Ok(report)
}

fn log_key(given: &OsStr) -> Result<LogKey, Failure> {
    keys::load_public(given).map(|key| LogKey(*key.as_bytes()))
}

fn cosigners(args: &PolicyArgs) -> Result<Cosigners, Failure> {
    let keys = args.cosigners.iter().map(|given| log_key(given));
    let mut keys = keys.collect::<Result<Vec<_>, _>>()?;
    keys.sort_unstable();
    let all = u16::try_from(keys.len()).unwrap_or(u16::MAX);
    Cosigners::new(args.cosigner_threshold.unwrap_or(all), keys)
        .map_err(|error| Failure::usage(format!("--cosigner: {error}")))
}
