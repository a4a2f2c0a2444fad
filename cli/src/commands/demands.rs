//! What a verifier brings with it: policy, verifying keys at hand, the time.

use quorate_prover::StoreError;
use quorate_verifier::attestation::{AttestationError, KeyRing, Verdict as Class};
use quorate_verifier::genesis::AcceptedKey;
use quorate_verifier::primitives::TimeMs;
use quorate_verifier::proof::{Origin, PreparedKey, VerifyingKey};

use super::{founding, work};
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
        keys.look_up(accepted, args)?;
        Ok(keys)
    }

    /// Accepted keys that were not given, from the keys on this machine.
    fn look_up(&mut self, accepted: &[AcceptedKey], args: &KeyRingArgs) -> Result<(), Failure> {
        let store = match work::store(&args.store) {
            Ok(store) => store,
            // A machine without a home has no keys of its own, and needs none.
            Err(_) if args.store.keys.is_none() => return Ok(()),
            Err(failure) => return Err(failure),
        };
        for AcceptedKey { digest, .. } in accepted {
            if self.ring.get(digest).is_some() {
                continue;
            }
            match store.open(digest).map(|key| key.verifying().clone()) {
                // The store's word for a digest is not taken.
                Ok(key) if key.digest() == *digest => {
                    match key.prepare() {
                        Ok(key) => self.ring.insert(key),
                        Err(error) => self.warnings.push(format!("key {digest}: {error}")),
                    };
                }
                Ok(_) => self
                    .warnings
                    .push(format!("key {digest}: it has another digest")),
                Err(StoreError::Missing { .. }) => {}
                Err(error) => self.warnings.push(error.to_string()),
            }
        }
        Ok(())
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
        AttestationError::KeyMissing(_) => Some(
            "give the light key of this digest with --key; whoever made it can write it with \
                 `quorate keys export-light`",
        ),
        AttestationError::UntrustedSet { .. } => Some(
            "the set has changed since the anchor: follow the chain with `quorate light-client`",
        ),
        AttestationError::Contradiction(_) => {
            Some("keep both headers: this is evidence of a fork, or of a wrong anchor")
        }
        _ => None,
    }
}
