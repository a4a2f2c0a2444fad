//! `quorate inspect`: what a file is and holds, without a hint and without a word on trust.
//!
//! Secrets are never printed: of a secret key only its public half, of a set's salt only that
//! there is one.

use quorate_node::app::{Genesis as LedgerGenesis, Requests};
use quorate_pbft::ballot::Choice;
use quorate_pbft::evidence::DoubleVote;
use quorate_verifier::attestation::Attestation;
use quorate_verifier::bundle::Bundle;
use quorate_verifier::certificate::{CommitCertificate, SignedHeader};
use quorate_verifier::encoding::{DecodeError, Kind, MAGIC, scalar_to_bytes};
use quorate_verifier::file::{self, FileType};
use quorate_verifier::genesis::{Genesis, Parameters};
use quorate_verifier::header::Header;
use quorate_verifier::inclusion::{SettlementProof, StateProof, SubmissionProof};
use quorate_verifier::json;
use quorate_verifier::light_client::{ClientState, Fork, Update};
use quorate_verifier::proof::VerifyingKey;
use quorate_verifier::roster::Roster;
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::ValidatorSet;
use quorate_verifier::signature::VoteKey;
use quorate_verifier::statement::Statement;
use quorate_verifier::trust::{Policy, TrustAnchor};

use zeroize::{Zeroize, Zeroizing};

use crate::args::InspectArgs;
use crate::failure::{Failure, Role};
use crate::files::Source;
use crate::keys::{self, KeyFile};
use crate::output::{Report, Verdict};
use crate::spoken::comparison_number;
use crate::value::{Members, Value};

/// Who may see a file.
#[derive(Clone, Copy)]
enum Privacy {
    Public,
    Private(&'static str),
    Secret,
}

impl Privacy {
    fn words(self) -> String {
        match self {
            Self::Public => "public".into(),
            Self::Private(why) => format!("PRIVATE: {why}"),
            Self::Secret => "SECRET: whoever has it signs in its owner's name".into(),
        }
    }
}

/// What there is to say about a good file: facts that are computed, then its members.
struct Look {
    facts: Vec<(&'static str, Value)>,
    members: Members,
}

/// How a kind of file is looked at. A new kind is a line in [`KINDS`].
struct Inspector {
    kind: Kind,
    privacy: Privacy,
    max_bytes: usize,
    look: fn(&[u8]) -> Result<Look, DecodeError>,
}

const fn inspector<T: FileType>(
    privacy: Privacy,
    look: fn(&[u8]) -> Result<Look, DecodeError>,
) -> Inspector {
    Inspector {
        kind: T::KIND,
        privacy,
        max_bytes: T::MAX_BYTES,
        look,
    }
}

const KINDS: &[Inspector] = &[
    inspector::<Header>(Privacy::Public, |bytes| {
        see::<Header>(bytes, |h| vec![("digest", h.digest().to_string().into())])
    }),
    inspector::<ValidatorSet>(
        Privacy::Private("names the validators by key"),
        validator_set,
    ),
    inspector::<SignedHeader>(Privacy::Private("names the signers"), |bytes| {
        see::<SignedHeader>(bytes, |s| {
            vec![
                ("digest", s.header.digest().to_string().into()),
                ("signers", s.certificate.votes().len().into()),
            ]
        })
    }),
    inspector::<Statement>(Privacy::Public, |bytes| {
        see::<Statement>(bytes, |s| {
            let inputs = s.inputs();
            let hex = |input| Value::from(hex::encode(scalar_to_bytes(input)));
            vec![("public inputs", inputs.iter().map(hex).collect())]
        })
    }),
    inspector::<TrustAnchor>(Privacy::Public, |bytes| {
        see::<TrustAnchor>(bytes, |a| {
            vec![
                ("digest", a.digest().to_string().into()),
                ("comparison number", comparison_number(&a.digest()).into()),
                ("header digest", a.header.digest().to_string().into()),
            ]
        })
    }),
    inspector::<Policy>(Privacy::Public, |bytes| {
        see::<Policy>(bytes, |p| {
            vec![
                ("anchor digest", p.anchor.digest().to_string().into()),
                (
                    "comparison number",
                    comparison_number(&p.anchor.digest()).into(),
                ),
            ]
        })
    }),
    inspector::<Genesis>(Privacy::Public, |bytes| {
        see::<Genesis>(bytes, |g| {
            let mut facts = vec![("digest", Value::from(g.digest().to_string()))];
            facts.extend(
                g.chain_id()
                    .ok()
                    .map(|id| ("chain", Value::from(id.as_str()))),
            );
            facts
        })
    }),
    inspector::<Roster>(Privacy::Private("names the validators"), |bytes| {
        see::<Roster>(bytes, |r| vec![("count", r.entries().len().into())])
    }),
    inspector::<Bundle>(
        Privacy::Private("for one machine; sealed to its network key"),
        |bytes| {
            see::<Bundle>(bytes, |b| vec![("sealed bytes", b.sealed.len().into())]).map(
                |mut look| {
                    drop_member(&mut look.members, "sealed");
                    look
                },
            )
        },
    ),
    inspector::<Parameters>(Privacy::Public, |bytes| {
        see::<Parameters>(bytes, |p| vec![("digest", p.digest().to_string().into())])
    }),
    inspector::<Attestation>(Privacy::Public, |bytes| {
        see::<Attestation>(bytes, |a| {
            vec![("digest", a.header.digest().to_string().into())]
        })
    }),
    inspector::<VerifyingKey>(Privacy::Public, |bytes| {
        see::<VerifyingKey>(bytes, |k| vec![("digest", k.digest().to_string().into())])
    }),
    inspector::<ClientState>(Privacy::Public, |bytes| {
        see::<ClientState>(bytes, |s| {
            let header = s.trusted.header();
            vec![
                ("chain", header.chain_id.as_str().into()),
                ("height", header.height.get().to_string().into()),
                ("header digest", header.digest().to_string().into()),
                ("frozen by a fork", s.fork.is_some().into()),
            ]
        })
    }),
    inspector::<Fork>(Privacy::Public, |bytes| {
        see::<Fork>(bytes, |f| {
            vec![
                ("height", f.height().get().to_string().into()),
                (
                    "trusted block",
                    f.trusted().header().digest().to_string().into(),
                ),
                (
                    "conflicting block",
                    f.conflicting().header.digest().to_string().into(),
                ),
            ]
        })
    }),
    inspector::<DoubleVote>(
        Privacy::Private("names a validator, and shows that it is faulty"),
        |bytes| see::<DoubleVote>(bytes, double_vote),
    ),
    inspector::<Update>(Privacy::Public, |bytes| {
        see::<Update>(bytes, |u| {
            let header = &u.attestation.header;
            vec![
                ("height", header.height.get().to_string().into()),
                ("digest", header.digest().to_string().into()),
                ("skip", u.overlap.is_some().into()),
            ]
        })
    }),
    inspector::<CommitCertificate>(Privacy::Private("names the signers"), |bytes| {
        see::<CommitCertificate>(bytes, |c| vec![("signers", c.votes().len().into())])
    }),
    inspector::<Requests>(
        Privacy::Private("what is asked, before it is asked"),
        |bytes| see::<Requests>(bytes, |r| vec![("count", r.requests.len().into())]),
    ),
    inspector::<LedgerGenesis>(
        Privacy::Private("balances, and the salt that hides them"),
        ledger_genesis,
    ),
    inspector::<SubmissionProof>(Privacy::Private("shows a request"), |bytes| {
        see::<SubmissionProof>(bytes, |p| {
            vec![("header digest", p.header.digest().to_string().into())]
        })
    }),
    inspector::<SettlementProof>(
        Privacy::Private("shows a request and its outcome"),
        |bytes| {
            see::<SettlementProof>(bytes, |p| {
                vec![("header digest", p.next.digest().to_string().into())]
            })
        },
    ),
    inspector::<StateProof>(Privacy::Private("shows an entry of the state"), |bytes| {
        see::<StateProof>(bytes, |p| {
            vec![("header digest", p.header.digest().to_string().into())]
        })
    }),
];

/// No file that this program knows is longer; JSON may take eight times as much as binary.
pub(super) const FILE_MAX_BYTES: usize = {
    let (mut most, mut at) = (keys::KEY_FILE_MAX_BYTES, 0);
    while at < KINDS.len() {
        let bytes = 8 * KINDS[at].max_bytes;
        most = if bytes > most { bytes } else { most };
        at += 1;
    }
    most
};

pub(super) fn run(args: &InspectArgs) -> Result<Report, Failure> {
    let bytes = args.file.read(FILE_MAX_BYTES)?;
    let mut report = match form_of(&bytes) {
        Form::Document => document(&args.file, &bytes)?,
        Form::Key => key(&args.file, &bytes)?,
    };
    report.not_checked("whether to trust it: this command only reads");
    Ok(report)
}

enum Form {
    Document,
    Key,
}

/// JSON starts with a brace, our binary files with their magic; all else can only be a key.
fn form_of(bytes: &[u8]) -> Form {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if bytes.starts_with(&MAGIC) || matches!(first, Some(b'{') | None) {
        Form::Document
    } else {
        Form::Key
    }
}

fn document(source: &Source, bytes: &[u8]) -> Result<Report, Failure> {
    let kind = kind_of(source, bytes)?;
    let Some(inspector) = KINDS.iter().find(|inspector| inspector.kind == kind) else {
        return Err(Failure::Unknown(format!(
            "{}: a {kind} file; this version of the program cannot read that kind yet",
            source.name()
        )));
    };
    let look =
        (inspector.look)(bytes).map_err(|error| source.decode_failure(error, Role::Judged))?;
    let form = match bytes.starts_with(&MAGIC) {
        true => "binary",
        false => "JSON",
    };
    let mut report = Report::new(Verdict::Done, format!("a {kind} file, {form}, well formed"));
    report
        .fact("kind", kind.word())
        .fact("privacy", inspector.privacy.words());
    for (label, value) in look.facts {
        report.fact(label, value);
    }
    report.fact("content", Value::Members(look.members));
    Ok(report)
}

/// What a file says it is, in either form.
pub(super) fn kind_of(source: &Source, bytes: &[u8]) -> Result<Kind, Failure> {
    if !bytes.starts_with(&MAGIC) {
        refuse_unknown_type(source, bytes)?;
    }
    file::kind_of(bytes).map_err(|error| source.decode_failure(error, Role::Judged))
}

/// A JSON document of another type than ours is unknown, not damaged.
fn refuse_unknown_type(source: &Source, bytes: &[u8]) -> Result<(), Failure> {
    let refuse = |error| source.decode_failure(error, Role::Given);
    let text = std::str::from_utf8(bytes).map_err(|_| refuse(DecodeError::Magic))?;
    let name = json::json_type(text).map_err(refuse)?;
    let known = Kind::ALL.iter().any(|kind| json::type_name(*kind) == name);
    match known {
        true => Ok(()),
        false if name.is_empty() => Err(Failure::usage(format!(
            "{}: a JSON document without a type",
            source.name()
        ))),
        false => Err(Failure::Unknown(format!(
            "{}: of unknown type {name:?}",
            source.name()
        ))),
    }
}

fn see<T: FileType>(
    bytes: &[u8],
    facts: impl FnOnce(&T) -> Vec<(&'static str, Value)>,
) -> Result<Look, DecodeError> {
    let value = T::from_file(bytes)?;
    let json = Zeroizing::new(value.to_json());
    let Ok(Value::Members(mut members)) = serde_json::from_str(&json) else {
        unreachable!("our own JSON is an object without negative or broken numbers");
    };
    drop_member(&mut members, "type");
    Ok(Look {
        facts: facts(&value),
        members,
    })
}

/// Removes a member and wipes what it said.
fn drop_member(members: &mut Members, name: &str) {
    members.retain_mut(|(member, value)| {
        if let (true, Value::Text(text)) = (member == name, value) {
            text.zeroize();
        }
        member != name
    });
}

/// A salt stays where it is; whether there is one is told.
fn ledger_genesis(bytes: &[u8]) -> Result<Look, DecodeError> {
    let mut look = see::<LedgerGenesis>(bytes, |genesis| {
        let root = genesis.state_root().ok().map(|root| root.to_string());
        vec![
            ("state root", root.into()),
            ("accounts", genesis.accounts.len().into()),
            ("salted", genesis.salt.is_some().into()),
        ]
    })?;
    drop_member(&mut look.members, "salt");
    Ok(look)
}

fn validator_set(bytes: &[u8]) -> Result<Look, DecodeError> {
    let mut look = see::<ValidatorSet>(bytes, |set| {
        let commit = QuorumRule::COMMIT;
        vec![
            ("count", set.count().into()),
            ("total power", set.total().get().to_string().into()),
            ("salted", set.salt().is_some().into()),
            ("worst quorum", set.worst_quorum(commit).into()),
            ("coverage", set.coverage(commit).to_string().into()),
        ]
    })?;
    drop_member(&mut look.members, "salt");
    Ok(look)
}

/// Who signed what twice, in words; the signatures stand in the content.
fn double_vote(proof: &DoubleVote) -> Vec<(&'static str, Value)> {
    let choice = |choice: &Choice| match choice {
        Choice::Block(block) => format!("block {block}"),
        Choice::Claim(None) => "nothing was prepared".into(),
        Choice::Claim(Some((view, block))) => format!("prepared in view {}: {block}", view.get()),
    };
    let slot = proof.slot;
    vec![
        ("validator", Value::from(keys::hex(&proof.key))),
        ("height", slot.height.get().to_string().into()),
        ("view", slot.view.get().into()),
        ("step", format!("{:?}", slot.step).into()),
        ("first", choice(&proof.first.0).into()),
        ("second", choice(&proof.second.0).into()),
    ]
}

fn key(source: &Source, bytes: &[u8]) -> Result<Report, Failure> {
    let parsed = KeyFile::parse(bytes).map_err(|rule| Failure::Key {
        name: source.name(),
        rule,
    })?;
    let (what, privacy, public) = match &parsed {
        KeyFile::Secret(key) => (
            "an Ed25519 secret key, not encrypted",
            Privacy::Secret,
            Some(keys::public(key)),
        ),
        KeyFile::Encrypted(_) => ("a secret key, encrypted", Privacy::Secret, None),
        KeyFile::Public(key) => ("an Ed25519 public key", Privacy::Public, Some(key.clone())),
    };
    let mut report = Report::new(Verdict::Done, what);
    report.fact("kind", "key").fact("privacy", privacy.words());
    if let KeyFile::Encrypted(key) = &parsed {
        report.fact("encryption", key.scheme.as_str());
    }
    report.fact(
        "public key",
        public.as_ref().map(|key: &VoteKey| keys::hex(key)),
    );
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_looked_at_in_one_way() {
        for inspector in KINDS {
            let same = KINDS.iter().filter(|other| other.kind == inspector.kind);
            assert_eq!(same.count(), 1, "{}", inspector.kind);
        }
    }
}
