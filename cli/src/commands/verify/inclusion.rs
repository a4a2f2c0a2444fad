//! What is in a block: a request, its outcome, an entry of the state.

use quorate_verifier::encoding::Kind;
use quorate_verifier::file::FileType;
use quorate_verifier::header::Header;
use quorate_verifier::inclusion::{InclusionError, SettlementProof, StateProof, SubmissionProof};

use crate::output::{Report, Verdict};

/// Something in a block, with its path.
pub(super) enum Inclusion {
    Submission(Box<SubmissionProof>),
    Settlement(Box<SettlementProof>),
    State(Box<StateProof>),
}

/// The longest of them, as JSON.
pub(super) const FILE_MAX_BYTES: usize = 8 * SettlementProof::MAX_BYTES;

impl Inclusion {
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Submission(_) => SubmissionProof::KIND,
            Self::Settlement(_) => SettlementProof::KIND,
            Self::State(_) => StateProof::KIND,
        }
    }

    /// The header at which the path ends, which must be final.
    pub(super) fn trusted(&self) -> &Header {
        match self {
            Self::Submission(proof) => &proof.header,
            Self::Settlement(proof) => &proof.next,
            Self::State(proof) => &proof.header,
        }
    }

    /// What is said of it, given whether the header at its end is known to be final.
    pub(super) fn judge(&self, is_final: bool) -> Report {
        let header = self.trusted();
        let (digest, height) = (header.digest(), header.height.get());
        let words = match self {
            Self::Submission(_) => "the request is in the block: submitted, whatever became of it",
            Self::Settlement(_) => "the request is in the parent block, and this is its outcome",
            Self::State(_) => "the entry is in the state before the block",
        };
        let outcome = self.check();
        let mut report = Report::new(Verdict::Verified, words);
        report
            .fact("chain", header.chain_id.as_str())
            .fact("height", height.to_string())
            .fact("block", digest.to_string());
        if let Ok(values) = &outcome {
            for (name, value) in values {
                report.fact(name, hex::encode(value));
            }
        }
        let holds = report.check("path", outcome.map(|_| words.to_string()));
        if !holds {
            report.verdict = Verdict::Invalid;
            report.summary = "the paths do not lead to the header".into();
        } else if is_final {
            report.check("block", Ok::<_, String>("shown to be final".into()));
        } else {
            report.skip("block", "no file here shows it to be final");
            report.verdict = Verdict::CannotEvaluate;
            report.summary = format!("{words}; nothing here shows block {digest} to be final");
            report.next(format!("give an attestation of height {height} beside it"));
        }
        report
    }

    /// Whether the paths hold, and what they lead to.
    fn check(&self) -> Result<Vec<(&'static str, &[u8])>, InclusionError> {
        let trusted = self.trusted().digest();
        Ok(match self {
            Self::Submission(proof) => vec![("request", proof.check(&trusted)?)],
            Self::Settlement(proof) => {
                let (request, outcome) = proof.check(&trusted)?;
                vec![("request", request), ("outcome", outcome)]
            }
            Self::State(proof) => vec![("entry", proof.check(&trusted)?)],
        })
    }
}
