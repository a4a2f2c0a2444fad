//! Is a block final, and what shows it.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use quorate_verifier::attestation::{Attestation, Verdict};
use quorate_verifier::file::FileType;
use quorate_verifier::genesis::AcceptedKey;
use quorate_verifier::header::Header;
use quorate_verifier::json;
use quorate_verifier::light_client::Update;
use quorate_verifier::primitives::{Digest, Height};
use quorate_verifier::proof::VerifyingKey;
use serde_json::{Value, json};
use warp::http::{StatusCode, header};

use super::problem::Problem;
use super::route::{Answer, Cache, Call, tag};
use super::{Context, Rendered};
use crate::attest::service::{AcceptError, Finality};
use crate::attest::store::{StoreError, attestation_name};

/// Answers that are kept ready.
const RENDERED_MAX: usize = 2048;
/// Headers or updates in one answer.
pub(super) const PAGE_MAX: u64 = 100;

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// The last covered height.
    Latest,
    /// A height, given as itself or by the header's digest.
    At(Height),
}

/// Reads `latest`, a decimal height, or 64 hex digits of a header's digest.
pub(super) fn block(context: &Context, text: &str) -> Result<Block, Problem> {
    if text == "latest" {
        return Ok(Block::Latest);
    }
    if let Ok(bytes) = json::parse_hex::<32>(text) {
        let digest = Digest::from_bytes(bytes);
        let found = context.service.store().height_of(&digest).map_err(store)?;
        return found.map(Block::At).ok_or_else(|| unknown("this digest"));
    }
    let height = json::parse_decimal(text).map_err(|_| {
        Problem::bad("a block is named by its height, its digest in 64 hex digits, or 'latest'")
    })?;
    Ok(Block::At(Height::new(height)))
}

/// The height that is meant, and how long an answer about it may be kept once it is final.
pub(super) fn height(context: &Context, text: &str) -> Result<(Height, Cache), Problem> {
    match block(context, text)? {
        Block::At(height) => Ok((height, Cache::Immutable)),
        Block::Latest => {
            let covered = context.service.covered();
            let covered = covered.ok_or_else(|| unknown("any height so far"))?;
            Ok((covered, Cache::Revalidate))
        }
    }
}

pub(super) fn unknown(what: &str) -> Problem {
    let detail = format!("no block of {what} was seen; ask again later");
    Problem::new(StatusCode::NOT_FOUND, "unknown-block", detail)
}

pub(super) fn store(error: StoreError) -> Problem {
    Problem::unavailable("the store cannot be read", &error)
}

fn parameter(call: &Call, place: usize) -> &str {
    call.params.get(place).map_or("", String::as_str)
}

/// `GET /v1/finality/{block}`.
pub(super) fn finality(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    call.allow(&[])?;
    let (height, cache) = height(context, parameter(call, 0))?;
    let service = &context.service;
    let base = |status: &str, header: &Header| {
        json!({
            "type": "quorate/finality/v1",
            "status": status,
            "chain": service.chain().as_str(),
            "height": height.get().to_string(),
            "block": header.digest().to_string(),
            "time": json::format_time(header.time),
            "developmentKey": service.has_development_key(),
        })
    };
    match service.finality(height).map_err(store)? {
        Finality::Final {
            header,
            proved,
            index,
        } => {
            let mut body = base("final", &header);
            let more = json!({
                "rule": service.policy().rule.to_string(),
                "provedBy": proved.get().to_string(),
                "attestationName": attestation_name(&header).to_string(),
                "logIndex": index.to_string(),
                "links": {
                    "attestation": format!("/v1/attestations/{}", proved.get()),
                    "headers": format!("/v1/headers?from={}&to={}", height.get(), proved.get()),
                    "logProof": format!("/log/finality/proof/{index}"),
                },
            });
            merge(&mut body, more);
            // A later fork changes the answer, so it is asked again.
            Ok(Answer::json(&body, Cache::Revalidate))
        }
        Finality::Pending { header } => {
            let mut body = base("pending", &header);
            let progress = service.progress().map_err(store)?;
            merge(&mut body, json!({"behind": progress.behind.to_string()}));
            let _ = cache;
            Ok(Answer::json(&body, Cache::Revalidate).header(header::RETRY_AFTER, "5"))
        }
        Finality::Conflict { fork } => {
            let body = json!({
                "type": "quorate/finality/v1",
                "status": "conflict",
                "chain": service.chain().as_str(),
                "height": height.get().to_string(),
                "fork": fork.get().to_string(),
                "developmentKey": service.has_development_key(),
            });
            Ok(Answer::json(&body, Cache::Revalidate))
        }
        Finality::Unknown => Err(unknown(&format!("height {}", height.get()))),
        Finality::BeforeStart { first } => Err(before_start(first)),
    }
}

pub(super) fn before_start(first: Height) -> Problem {
    let detail = format!("this service starts at height {}", first.get());
    Problem::new(StatusCode::NOT_FOUND, "before-start", detail)
        .with("first", first.get().to_string())
}

pub(super) fn merge(body: &mut Value, more: Value) {
    if let (Value::Object(body), Value::Object(more)) = (body, more) {
        body.extend(more);
    }
}

/// The attestation of a proved height, ready to be sent.
fn rendered(context: &Context, height: Height) -> Result<Rendered, Problem> {
    let lock = || {
        let rendered = context.rendered.lock();
        rendered.unwrap_or_else(PoisonError::into_inner)
    };
    if let Some(ready) = lock().get(&height.get()) {
        return Ok(ready.clone());
    }
    let found = context.service.store().attestation(height).map_err(store)?;
    let Some(found) = found else {
        return Err(not_proved(context, height)?);
    };
    let whole = |bytes: Vec<u8>| (tag(&bytes), Bytes::from(bytes));
    let ready = Rendered {
        json: whole((found.to_json() + "\n").into_bytes()),
        binary: whole(found.to_file()),
    };
    let mut rendered = lock();
    if rendered.len() >= RENDERED_MAX {
        // The lowest go: newer ones are asked for more.
        rendered.pop_first();
    }
    rendered.insert(height.get(), ready.clone());
    Ok(ready)
}

/// Why a height has no attestation of its own: never, not yet, or another one's serves.
fn not_proved(context: &Context, height: Height) -> Result<Problem, Problem> {
    let service = &context.service;
    Ok(match service.finality(height).map_err(store)? {
        Finality::Final { proved, .. } => {
            let proved = proved.get();
            let detail = format!(
                "height {} is final by the proof of height {proved}, of which it is an ancestor",
                height.get()
            );
            Problem::new(StatusCode::NOT_FOUND, "covered-not-proved", detail)
                .with("provedBy", proved.to_string())
                .with("attestation", format!("/v1/attestations/{proved}"))
                .with(
                    "headers",
                    format!("/v1/headers?from={}&to={proved}", height.get()),
                )
        }
        Finality::Pending { .. } => {
            let detail = "the block is signed, and its proof is still to come";
            Problem::new(StatusCode::NOT_FOUND, "pending", detail).header(header::RETRY_AFTER, "5")
        }
        Finality::Conflict { fork } => {
            let detail = format!("two final blocks are known at height {}", fork.get());
            Problem::new(StatusCode::CONFLICT, "conflict", detail)
        }
        Finality::Unknown => unknown(&format!("height {}", height.get())),
        Finality::BeforeStart { first } => before_start(first),
    })
}

/// `GET /v1/attestations/{block}`.
pub(super) fn attestation(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    let (height, cache) = attested(context, call)?;
    let (tag, body) = rendered(context, height)?.json;
    Ok(Answer::new("application/json", body, cache).tagged(tag))
}

/// `GET /v1/attestations/{block}/binary`.
pub(super) fn attestation_binary(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    let (height, cache) = attested(context, call)?;
    let (tag, body) = rendered(context, height)?.binary;
    let name = format!("attachment; filename=\"{}.attestation\"", height.get());
    Ok(Answer::new("application/octet-stream", body, cache)
        .tagged(tag)
        .header(header::CONTENT_DISPOSITION, name))
}

/// `latest` is the last that was proved.
fn attested(context: &Context, call: &Call) -> Result<(Height, Cache), Problem> {
    call.allow(&[])?;
    match block(context, parameter(call, 0))? {
        Block::At(height) => Ok((height, Cache::Immutable)),
        Block::Latest => {
            let proved = context.service.store().last_proved().map_err(store)?;
            let proved = proved.ok_or_else(|| unknown("any proved height so far"))?;
            Ok((proved, Cache::Revalidate))
        }
    }
}

/// `GET /v1/headers?from&to`: the parent links that lead from a proof to what it covers.
pub(super) fn headers(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    call.allow(&["from", "to"])?;
    let (Some(from), Some(to)) = (call.number("from")?, call.number("to")?) else {
        return Err(Problem::bad("from and to are needed"));
    };
    if from > to {
        return Err(Problem::bad("from is above to"));
    }
    let last = to.min(from.saturating_add(PAGE_MAX - 1));
    let mut found = Vec::new();
    for height in from..=last {
        let header = context
            .service
            .store()
            .header(Height::new(height))
            .map_err(store)?;
        let header = header.ok_or_else(|| unknown(&format!("height {height}")))?;
        found.push(document(&header.to_json()));
    }
    let next = (last < to).then(|| format!("/v1/headers?from={}&to={to}", last + 1));
    let body = json!({"type": "quorate/headers/v1", "headers": found, "next": next});
    Ok(paged(Answer::json(&body, Cache::Immutable), next))
}

pub(super) fn paged(answer: Answer, next: Option<String>) -> Answer {
    match next {
        Some(next) => answer.header(header::LINK, format!("<{next}>; rel=\"next\"")),
        None => answer,
    }
}

pub(super) fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// `GET /v1/light-client/bootstrap`: everything that a client starts with. It must compare the
/// anchor's digest with one that it has from elsewhere.
pub(super) fn bootstrap(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    call.allow(&[])?;
    let service = &context.service;
    let policy = service.policy();
    let keys = service.light_keys().iter();
    let keys: Vec<_> = keys
        .map(|key| {
            json!({
                "digest": key.digest().to_string(),
                "document": document(&key.to_json()),
                "file": hex::encode(key.to_file()),
            })
        })
        .collect();
    let body = json!({
        "type": "quorate/bootstrap/v1",
        "chain": service.chain().as_str(),
        "anchorDigest": policy.anchor.digest().to_string(),
        "anchor": document(&policy.anchor.to_json()),
        "rule": {"num": policy.rule.num(), "den": policy.rule.den()},
        "verifyingKeys": keys,
        "developmentKey": service.has_development_key(),
        "logKey": service.log_keys().last().map(|period| period.vkey.clone()),
        "updates": "/v1/light-client/updates",
    });
    Ok(Answer::json(&body, Cache::Revalidate))
}

/// `GET /v1/light-client/updates?from`: proved headers to follow from a trusted height, each the
/// last proved one before the set changes, and the newest.
pub(super) fn updates(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    call.allow(&["from", "count"])?;
    let service = &context.service;
    let start = service.policy().anchor.header.height.get();
    let from = call.number("from")?.unwrap_or(start);
    let count = call.number("count")?.unwrap_or(10);
    if !(1..=PAGE_MAX).contains(&count) {
        return Err(Problem::bad(format!("count is 1 to {PAGE_MAX}")));
    }
    let mut trusted = Height::new(from);
    let mut found = Vec::new();
    let last = service.store().last_proved().map_err(store)?;
    while let Some(next) = next_update(context, trusted)? {
        trusted = next.attestation.header.height;
        // A client that only steps reads attestations; there is more to say where the keys change.
        found.push(match &next.parameters {
            None => document(&next.attestation.to_json()),
            Some(_) => document(&next.to_json()),
        });
        if found.len() as u64 == count {
            break;
        }
    }
    let more = last.is_some_and(|last| last > trusted) && found.len() as u64 == count;
    let next = more.then(|| {
        format!(
            "/v1/light-client/updates?from={}&count={count}",
            trusted.get()
        )
    });
    let body = json!({
        "type": "quorate/updates/v1",
        "from": from.to_string(),
        "updates": found,
        "next": next,
    });
    Ok(paged(Answer::json(&body, Cache::Revalidate), next))
}

/// The highest proved header that the set trusted after `trusted` signs, up to the first that names
/// other parameters: those are taken under the keys from before, with their opening.
pub(super) fn next_update(context: &Context, trusted: Height) -> Result<Option<Update>, Problem> {
    let service = &context.service;
    let header = service.trusted_header(trusted).map_err(store)?;
    let Some(header) = header else {
        return Err(unknown(&format!("height {}", trusted.get())));
    };
    let accepted = service.accepted_keys(&header.parameters).map_err(store)?;
    let mut above = trusted.next();
    let mut best = None;
    while let Some(from) = above {
        let proof = service.store().proved_from(from).map_err(store)?;
        let Some(proof) = proof.filter(|proof| proof.header.validators == header.next_validators)
        else {
            break;
        };
        if proof.header.parameters != header.parameters {
            let is_accepted = |keys: &Vec<AcceptedKey>| keys.iter().any(|k| k.digest == proof.key);
            let opened = service.opened_for(&proof.header, &header).map_err(store)?;
            if accepted.as_ref().is_some_and(is_accepted) && opened.is_some() {
                let parameters = opened;
                return Ok(Some(Update {
                    parameters,
                    ..Update::step(proof)
                }));
            }
            break;
        }
        above = proof.header.height.next();
        best = Some(proof);
    }
    Ok(best.map(Update::step))
}

/// `GET /v1/keys/{digest}`: a light verifying key as a file.
pub(super) fn key(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    call.allow(&[])?;
    let wanted = parameter(call, 0);
    let keys = context.service.light_keys();
    let found = keys
        .iter()
        .find(|key: &&VerifyingKey| key.digest().to_string() == wanted);
    let found = found.ok_or_else(|| Problem::not_found("no key of this digest is accepted"))?;
    let media = "application/octet-stream";
    Ok(Answer::new(media, found.to_file(), Cache::Immutable))
}

/// `GET /v1/status`: how far the service is. No jobs, no times of proofs.
pub(super) fn status(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    call.allow(&[])?;
    let service = &context.service;
    let progress = service.progress().map_err(store)?;
    let at = |found: Option<(Height, quorate_verifier::primitives::TimeMs)>| {
        found.map(|(height, time)| {
            json!({"height": height.get().to_string(), "time": json::format_time(time)})
        })
    };
    let body = json!({
        "type": "quorate/status/v1",
        "chain": service.chain().as_str(),
        "first": service.first_height().get().to_string(),
        "final": at(progress.tip),
        "covered": at(progress.covered),
        "behind": progress.behind.to_string(),
        "behindMs": progress.behind_ms.to_string(),
        "fork": service.store().first_fork().map_err(store)?.map(|h| h.get().to_string()),
        "developmentKey": service.has_development_key(),
        "finalityLog": {
            "size": service.finality_log().size().to_string(),
            "cosigned": service.finality_log().cosigned().map(|c| c.head().size.to_string()),
        },
    });
    Ok(Answer::json(&body, Cache::Revalidate))
}

/// `POST /v1/verify`: judges an attestation that somebody holds. Whoever does not trust this
/// service verifies at home.
pub(super) fn verify(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    call.allow(&[])?;
    let attestation = Attestation::from_file(&call.body)
        .map_err(|error| Problem::bad(format!("not an attestation: {error}")))?;
    let service = &context.service;
    let outcome = service.verify_of_chain(&attestation);
    let (verdict, detail) = match &outcome {
        Ok(()) => ("final", "the proof shows this block to be final".to_owned()),
        Err(AcceptError::Attestation(error)) => {
            let word = match error.verdict() {
                Verdict::Invalid => "invalid",
                Verdict::PolicyFailed => "policy-failed",
                Verdict::CannotEvaluate => "cannot-evaluate",
            };
            (word, error.to_string())
        }
        Err(error) => return Err(Problem::unavailable("the proof was not judged", error)),
    };
    let height = attestation.header.height;
    let known = service.store().header(height).map_err(store)?;
    let same = known.map(|known| known == attestation.header);
    let body = json!({
        "type": "quorate/verdict/v1",
        "verdict": verdict,
        "detail": detail,
        "height": height.get().to_string(),
        "block": attestation.header.digest().to_string(),
        "isThisChainsBlock": same,
        "notChecked": [
            "that it is the newest block",
            "what its roots stand for: payload, outcomes and state",
            "anything at your side: this is the service's word",
        ],
    });
    Ok(Answer::json(&body, Cache::Private))
}
