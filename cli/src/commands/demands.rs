//! What a verifier brings with it: policy, verifying keys at hand, the time.

use quorate_verifier::attestation::{AttestationError, KeyRing, Verdict as Class};
use quorate_verifier::genesis::AcceptedKey;
use quorate_verifier::primitives::TimeMs;
use quorate_verifier::proof::{Origin, PreparedKey, VerifyingKey};

use super::founding;
use crate::args::KeyRingArgs;
use crate::failure::{Failure, Role};
use crate::files::Source;
use crate::output::{Report, Verdict};

/// Verifying keys at hand, and what was odd about those that were given.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) ring: KeyRing,
    pub(super) warnings: Vec<String>,
}

impl Keys {
    /// Reads keys and keeps those whose digest is accepted: no other is ever used.
    pub(super) fn load(accepted: &[AcceptedKey], args: &KeyRingArgs) -> Result<Self, Failure> {
        let mut keys = Self::default();
        for source in &args.key_files {
            let key: VerifyingKey = source.document(Role::Given)?;
            let digest = key.digest();
            if accepted.iter().any(|listed| listed.digest == digest) {
                keys.ring.insert(prepare(source, key)?);
            } else {
                keys.warnings.push(format!(
                    "{}: verifying key {digest} is not among the accepted ones and was not used",
                    source.name()
                ));
            }
        }
        Ok(keys)
    }
}

fn prepare(source: &Source, key: VerifyingKey) -> Result<PreparedKey, Failure> {
    key.prepare().map_err(|error| Failure::Key {
        name: source.name(),
        rule: error.to_string(),
    })
}

/// The caller's time, or the machine's.
pub(super) fn time(given: Option<TimeMs>) -> Result<TimeMs, Failure> {
    given.map_or_else(founding::now, Ok)
}

/// The word and exit code for what the library says of a file.
pub(super) const fn verdict_of(class: Class) -> Verdict {
    match class {
        Class::Invalid => Verdict::Invalid,
        Class::PolicyFailed => Verdict::PolicyFailed,
        Class::CannotEvaluate => Verdict::CannotEvaluate,
    }
}

/// What is worth knowing of the key that a proof was judged by.
pub(super) fn describe_key(report: &mut Report, key: &VerifyingKey) {
    let origin = match key.origin {
        Origin::Development => "DEVELOPMENT: made by one party, who can forge proofs",
        Origin::Ceremony => "ceremony",
    };
    report
        .fact("verifying key", key.digest().to_string())
        .fact("circuit", key.circuit.digest.to_string())
        .fact("slots", key.circuit.slots.slots())
        .fact("key origin", origin);
}

/// What to do about an error, where that can be said in a line.
pub(super) fn remedy(error: &AttestationError) -> Option<&'static str> {
    match error {
        AttestationError::KeyMissing(_) => {
            Some("give the light key of this digest with --key; who made the key can export it")
        }
        AttestationError::UntrustedSet { .. } => Some(
            "the set has changed since the anchor: follow the chain with `quorate light-client`",
        ),
        AttestationError::Contradiction(_) => {
            Some("keep both headers: this is evidence of a fork, or of a wrong anchor")
        }
        _ => None,
    }
}
