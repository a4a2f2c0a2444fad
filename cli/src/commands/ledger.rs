//! `quorate ledger`: request files on their way to a signature, and what a ledger's files say.

use std::path::Path;

use quorate_node::app::{
    Body, Entry, Executed, Genesis, KeyBytes, Operation, Outcome, RequestError, Requests, Scenario,
};
use quorate_pbft::app::App;
use quorate_pbft::request::Request;
use quorate_verifier::encoding::{Canonical, DecodeError, Kind};
use quorate_verifier::file::FileType;
use quorate_verifier::inclusion::{InclusionError, SettlementProof, StateProof, SubmissionProof};
use quorate_verifier::primitives::{Digest, TimeMs};
use quorate_verifier::trust::TrustAnchor;
use serde::Serialize;

use super::{founding, inspect};
use crate::args::{
    LedgerCommand, LedgerConsentArgs, LedgerPrepareArgs, LedgerScenarioArgs, LedgerShowArgs,
    LedgerSignArgs,
};
use crate::failure::{Failure, Role};
use crate::files::{self, Access, Existing, Source};
use crate::keys;
use crate::output::{Report, Verdict};
use crate::value::Value;

pub(super) fn run(command: &LedgerCommand) -> Result<Report, Failure> {
    match command {
        LedgerCommand::Prepare(args) => prepare(args),
        LedgerCommand::Consent(args) => consent(args),
        LedgerCommand::Sign(args) => sign(args),
        LedgerCommand::Show(args) => show(args),
        LedgerCommand::Scenario(args) => scenario(args),
    }
}

fn prepare(args: &LedgerPrepareArgs) -> Result<Report, Failure> {
    let client = keys::load_public(&args.client)?;
    let mut requests: Requests = args.requests.document(Role::Given)?;
    let chain = chain_of(&args.anchor)?;
    let refuse = |error: RequestError| refusal(&args.requests, &error);
    requests.bind(chain).map_err(refuse)?;
    let assigned = requests.assign(&client, args.sequence).map_err(refuse)?;
    if assigned == 0 {
        return Err(Failure::Refused(format!(
            "{}: every request has its client already",
            args.requests.name()
        )));
    }
    write(&args.out, &requests)?;
    let mut report = Report::new(
        Verdict::Done,
        format!("{assigned} requests are this client's"),
    );
    report
        .fact("client", keys::hex(&client))
        .fact("chain", chain.to_string())
        .fact("requests", args.out.display().to_string())
        .next("quorate ledger consent, by the other sides, then quorate ledger sign");
    Ok(report)
}

/// The digest of the genesis header, from an anchor that starts at genesis.
fn chain_of(anchor: &Source) -> Result<Digest, Failure> {
    let anchor_file: TrustAnchor = anchor.document(Role::Given)?;
    let header = &anchor_file.header;
    if header.height.get() == 0 {
        return Ok(header.digest());
    }
    Err(Failure::usage(format!(
        "{}: starts at height {}; signatures are bound to the genesis header, so the anchor of \
         height 0 is needed",
        anchor.name(),
        header.height.get()
    )))
}

fn consent(args: &LedgerConsentArgs) -> Result<Report, Failure> {
    let (key, warning) = keys::load_secret(&args.key, args.passphrase_file.as_ref())?;
    let mut requests: Requests = args.requests.document(Role::Given)?;
    let count = requests.requests.len();
    if let Some(place) = args.places.iter().find(|place| **place >= count) {
        return Err(Failure::usage(format!(
            "--request {place}: the file has {count} requests, counted from 0"
        )));
    }
    let own = KeyBytes(*keys::public(&key).as_bytes());
    let chosen: Vec<usize> = requests
        .requests
        .iter()
        .enumerate()
        .filter(|(place, draft)| match args.places.as_slice() {
            [] => draft.client != Some(own) && draft.signature.is_none(),
            places => places.contains(place),
        })
        .map(|(place, _)| place)
        .collect();
    let consented = requests
        .consent(&key, |place, _| chosen.binary_search(&place).is_ok())
        .map_err(|error| refusal(&args.requests, &error))?;
    write(&args.out, &requests)?;
    let mut report = Report::new(Verdict::Done, format!("consented to {consented} requests"));
    report.fact("key", hex::encode(own.0)).fact(
        "consented to",
        chosen
            .iter()
            .filter_map(|place| Some(row(*place, requests.requests.get(*place)?)))
            .collect::<Value>(),
    );
    report.fact("requests", args.out.display().to_string());
    report.warnings.extend(warning);
    report.next("send the file back to the client who sends the requests, to be signed");
    Ok(report)
}

fn sign(args: &LedgerSignArgs) -> Result<Report, Failure> {
    let (key, warning) = keys::load_secret(&args.key, args.passphrase_file.as_ref())?;
    let mut requests: Requests = args.requests.document(Role::Given)?;
    let refuse = |error: RequestError| refusal(&args.requests, &error);
    let signed = requests.sign(&key).map_err(refuse)?;
    if signed == 0 {
        return Err(Failure::Refused(format!(
            "{}: nothing in it is this key's to sign",
            args.requests.name()
        )));
    }
    write(&args.out, &requests)?;
    let mut report = Report::new(Verdict::Done, format!("signed {signed} requests"));
    report
        .fact("client", keys::hex(&keys::public(&key)))
        .fact("requests", args.out.display().to_string());
    report.warnings.extend(warning);
    let chain = requests.chain.unwrap_or(Digest::ZERO);
    match requests.signed(&chain) {
        Ok(_) => report.next(format!("quorate submit {}", args.out.display())),
        Err(error) => report.next(format!("not ready to be submitted: {error}")),
    };
    Ok(report)
}

fn refusal(source: &Source, error: &RequestError) -> Failure {
    let text = format!("{}: {error}", source.name());
    match error {
        RequestError::Signature { .. } => Failure::Invalid(text),
        RequestError::Operation { .. } => Failure::usage(text),
        _ => Failure::Refused(text),
    }
}

fn write(path: &Path, requests: &Requests) -> Result<(), Failure> {
    let json = requests.to_json() + "\n";
    files::write(path, json.as_bytes(), Access::Private, Existing::Keep)
}

fn scenario(args: &LedgerScenarioArgs) -> Result<Report, Failure> {
    let far = TimeMs::new(SCENARIO_EXPIRY_MS).expect("before the year 10000");
    let scenario = Scenario::new(args.seed, usize::from(args.traders), far);
    let mut report = Report::new(
        Verdict::Done,
        format!(
            "made traffic of seed {} for {} traders",
            args.seed, args.traders
        ),
    );
    if let Some(path) = &args.genesis {
        let json = scenario.genesis().to_json() + "\n";
        files::write(path, json.as_bytes(), Access::Private, Existing::Keep)?;
        report.fact("ledger", path.display().to_string());
        report.next("quorate init --ledger FILE, then again with --anchor and --requests");
    }
    if let (Some(path), Some(anchor)) = (&args.requests, &args.anchor) {
        let chain = chain_of(anchor)?;
        let requests = scenario.requests(chain, founding::now()?, usize::from(args.count));
        write(path, &requests)?;
        report.fact("requests", path.display().to_string());
        report.next(format!("quorate submit {}", path.display()));
    }
    report.warn("the keys in it follow from the seed: anybody can sign with them");
    Ok(report)
}

/// 2100-01-01, so that the lasting series of a scenario do not depend on when it is made.
const SCENARIO_EXPIRY_MS: u64 = 4_102_444_800_000;
/// No file that `show` reads is longer.
const SHOW_MAX_BYTES: usize = Requests::MAX_BYTES * 8;

fn show(args: &LedgerShowArgs) -> Result<Report, Failure> {
    let bytes = args.file.read(SHOW_MAX_BYTES)?;
    let decode = |error| args.file.decode_failure(error, Role::Judged);
    match inspect::kind_of(&args.file, &bytes)? {
        Kind::Requests => show_requests(&Requests::from_file(&bytes).map_err(decode)?),
        Kind::LedgerGenesis => {
            show_genesis(&args.file, &Genesis::from_file(&bytes).map_err(decode)?)
        }
        Kind::SubmissionProof => {
            let proof = SubmissionProof::from_file(&bytes).map_err(decode)?;
            let header = proof.header.digest();
            let shown = proof
                .check(&header)
                .map(|request| vec![("request", request)]);
            show_proof(&args.file, "the request was submitted", header, shown)
        }
        Kind::SettlementProof => {
            let proof = SettlementProof::from_file(&bytes).map_err(decode)?;
            let header = proof.next.digest();
            let shown = proof.check(&header);
            let shown =
                shown.map(|(request, outcome)| vec![("request", request), ("outcome", outcome)]);
            show_proof(&args.file, "the request was executed", header, shown)
        }
        Kind::StateProof => {
            let proof = StateProof::from_file(&bytes).map_err(decode)?;
            let header = proof.header.digest();
            let shown = proof.check(&header).map(|entry| vec![("entry", entry)]);
            show_proof(&args.file, "the entry is in the state", header, shown)
        }
        other => Err(Failure::usage(format!(
            "{}: a {other} file; `quorate inspect` shows it",
            args.file.name()
        ))),
    }
}

fn row(place: usize, draft: &quorate_node::app::Draft) -> Value {
    let client = draft.client.map(|key| hex::encode(key.0));
    Value::members([
        ("request", place.into()),
        ("client", client.into()),
        ("sequence", draft.sequence.map(|n| n.to_string()).into()),
        ("consents", draft.consents.len().into()),
        ("signed", draft.signature.is_some().into()),
        ("operation", value(&draft.operation)),
    ])
}

fn show_requests(requests: &Requests) -> Result<Report, Failure> {
    let count = requests.requests.len();
    let mut report = Report::new(Verdict::Done, format!("a file of {count} requests"));
    report.fact("chain", requests.chain.map(|chain| chain.to_string()));
    let rows = requests.requests.iter().enumerate();
    report.fact(
        "requests",
        rows.map(|(place, draft)| row(place, draft))
            .collect::<Value>(),
    );
    let chain = requests.chain.unwrap_or(Digest::ZERO);
    match requests.signed(&chain) {
        Ok(_) => report.check("signatures", Ok::<_, String>("all hold".into())),
        Err(error @ RequestError::Signature { .. }) => {
            report.verdict = Verdict::Invalid;
            report.summary = error.to_string();
            report.check("signatures", Err::<String, _>(error))
        }
        Err(error) => {
            report.skip("signatures", &error.to_string());
            false
        }
    };
    report.not_checked("what the ledger will make of them: that depends on its state");
    Ok(report)
}

fn show_genesis(source: &Source, genesis: &Genesis) -> Result<Report, Failure> {
    let wrong = |error| Failure::Invalid(format!("{}: {error}", source.name()));
    let ledger = genesis.ledger().map_err(wrong)?;
    let mut report = Report::new(Verdict::Done, "the first state of a ledger");
    report
        .fact("state root", ledger.root().to_string())
        .fact("salted", genesis.salt.is_some())
        .fact("operator", genesis.operator.as_str())
        .fact("accounts", genesis.accounts.len())
        .fact("holdings", genesis.holdings.len());
    let instruments = genesis.instruments.iter().map(value);
    report.fact("instruments", instruments.collect::<Value>());
    Ok(report)
}

fn show_proof(
    source: &Source,
    summary: &str,
    header: Digest,
    shown: Result<Vec<(&'static str, &[u8])>, InclusionError>,
) -> Result<Report, Failure> {
    let mut report = Report::new(Verdict::Verified, summary);
    report.fact("header", header.to_string());
    let shown = match shown {
        Ok(shown) => shown,
        Err(error) => {
            report.check("paths", Err::<String, _>(&error));
            (report.verdict, report.summary) = (Verdict::Invalid, error.to_string());
            return Ok(report);
        }
    };
    report.check("paths", Ok::<_, String>("lead to the header".into()));
    for (what, bytes) in shown {
        let decoded = match what {
            "request" => request(bytes),
            "outcome" => outcome(bytes, &mut report),
            _ => Entry::from_bytes(bytes).map(|entry| value(&entry)),
        };
        let decoded = decoded.map_err(|error| source.decode_failure(error, Role::Judged))?;
        report.fact(what, decoded);
    }
    report
        .not_checked("that the header is final: `quorate verify` says so, by an attestation of it")
        .next("quorate verify --policy POLICY an attestation of this header, or of a later one");
    Ok(report)
}

/// A request in a payload, its body decoded.
fn request(bytes: &[u8]) -> Result<Value, DecodeError> {
    let request = Request::from_bytes(bytes)?;
    let body = Body::from_bytes(&request.body)?;
    let consents = body.consents.iter().map(|c| hex::encode(c.key.0));
    Ok(Value::members([
        ("client", hex::encode(request.client.0).into()),
        ("sequence", request.sequence.to_string().into()),
        ("consents", consents.collect()),
        ("operation", value::<Operation>(&body.operation)),
    ]))
}

/// An outcome; one that was refused says so in the summary too.
fn outcome(bytes: &[u8], report: &mut Report) -> Result<Value, DecodeError> {
    let outcome = Outcome::from_bytes(bytes)?;
    if let Executed::Refused(rejection) = &outcome.result {
        report.summary = format!("the request was refused: {rejection}");
    }
    Ok(value(&outcome))
}

/// Anything of ours, by its JSON.
fn value<T: Serialize>(thing: &T) -> Value {
    let text = serde_json::to_string(thing).expect("our own types are JSON");
    serde_json::from_str(&text).expect("our own JSON has no negative or broken numbers")
}
