//! An evidence pack: one archive, judged by a policy of its reader's.

use std::fs::File;
use std::io::Read;

use quorate_node::attest::pack::{self, BYTES_MAX, Judgement, Outcome, is_archive};
use quorate_verifier::trust::Policy;
use zeroize::Zeroizing;

use super::super::demands::{Keys, verdict_of};
use crate::failure::Failure;
use crate::files::Source;
use crate::output::{Report, Verdict};

/// The one file that is to be judged, if it is a tar archive.
pub(super) fn read(files: &[Source]) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    let [source @ Source::File(path)] = files else {
        return Ok(None);
    };
    let mut head = [0; 512];
    let is_pack = File::open(path)
        .and_then(|mut file| file.read_exact(&mut head))
        .is_ok_and(|()| is_archive(&head));
    is_pack.then(|| source.read(BYTES_MAX)).transpose()
}

/// Judges a pack.
pub(super) fn judge(bytes: &[u8], policy: &Policy, keys: Keys) -> Report {
    let Judgement {
        range,
        steps,
        refusal,
        development_key,
    } = pack::check(bytes, policy, keys.ring);
    let mut report = Report::new(Verdict::Final, "");
    if let Some((chain, from, to, _)) = &range {
        report.summary = format!("heights {from} to {to} of {chain} are final");
        report
            .fact("chain", chain.as_str())
            .fact("from", from.to_string())
            .fact("to", to.to_string());
    }
    for step in steps {
        match step.outcome {
            Outcome::Holds(what) => {
                report.check::<String>(step.name, Ok(what));
            }
            Outcome::NotChecked(why) => {
                if step.name == "words" {
                    report.warn(why.as_str());
                }
                report.skip(step.name, &why);
            }
        }
    }
    if let Some(refusal) = refusal {
        report.check::<String>(refusal.check, Err(refusal.what.clone()));
        report.verdict = verdict_of(refusal.class);
        report.summary = refusal.what;
    }
    if development_key {
        report.warn("the verifying key is a development key: whoever made it can forge proofs");
    }
    report.warnings.extend(keys.warnings);
    report.not_checked("that the sets on the way are to be trusted today: each was judged as of the next block's time");
    report.not_checked("what the headers' roots stand for: payload, outcomes and state");
    report.not_checked("that these are the newest heights");
    report
}
