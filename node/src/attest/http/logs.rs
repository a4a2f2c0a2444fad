//! The logs over HTTP, at the paths that C2SP gives them, and proofs made on request.

use std::sync::Arc;

use base64ct::{Base64, Encoding};
use quorate_verifier::tlog::Checkpoint;
use serde_json::json;
use warp::http::{StatusCode, header};

use super::Context;
use super::problem::Problem;
use super::route::{Answer, Cache, Call};
use crate::attest::log::{LogView, parse_tile_path, tile_width};

const TEXT: &str = "text/plain; charset=utf-8";

fn failed(error: std::io::Error) -> Problem {
    Problem::unavailable("the log cannot be read", &error)
}

fn index(call: &Call) -> Result<u64, Problem> {
    let text = call.params.first().map_or("", String::as_str);
    quorate_verifier::json::parse_decimal(text)
        .map_err(|_| Problem::bad("an entry is named by its index, a decimal number"))
}

fn checkpoint_of(log: &LogView) -> Answer {
    Answer::new(TEXT, log.checkpoint().to_string(), Cache::Revalidate)
}

/// A tile or bundle, as `tile/<level>/<index>[.p/<width>]` names it.
fn tile_of(log: &LogView, call: &Call, cache: Cache) -> Result<Answer, Problem> {
    let missing = || Problem::not_found("the log has no such tile");
    let path = call.params.first().map_or("", String::as_str);
    let (level, index, width) = parse_tile_path(path).ok_or_else(missing)?;
    // What an interrupted batch wrote is not served: only what a checkpoint covers.
    if width > tile_width(log.size(), level.unwrap_or(0), index) {
        return Err(missing());
    }
    let bytes = match level {
        Some(level) => log.files().tile_bytes(level, index, width),
        None => log.files().bundle_bytes(index, width),
    };
    let bytes = bytes.map_err(failed)?.ok_or_else(missing)?;
    Ok(Answer::new("application/octet-stream", bytes, cache))
}

fn proof_of(log: &LogView, call: &Call) -> Result<Answer, Problem> {
    let proof = log.prove(index(call)?).map_err(failed)?;
    let proof = proof.ok_or_else(|| Problem::not_found("the log has no such entry"))?;
    Ok(Answer::new(TEXT, proof.to_string(), Cache::Revalidate))
}

fn consistency_of(log: &LogView, call: &Call) -> Result<Answer, Problem> {
    call.allow(&["from", "to"])?;
    let (Some(from), Some(to)) = (call.number("from")?, call.number("to")?) else {
        return Err(Problem::bad("from and to are needed"));
    };
    let proof = log.prove_consistency(from, to).map_err(failed)?;
    let proof = proof.ok_or_else(|| Problem::bad("from is at most to, to at most the size"))?;
    let lines: String = proof
        .iter()
        .map(|hash| Base64::encode_string(hash.as_bytes()) + "\n")
        .collect();
    Ok(Answer::new(TEXT, lines, Cache::Immutable))
}

/// `GET /log/finality/checkpoint`.
pub(super) fn checkpoint(context: &Arc<Context>, _: &Call) -> Result<Answer, Problem> {
    Ok(checkpoint_of(context.service.finality_log()))
}

/// `GET /log/finality/cosigned`.
pub(super) fn cosigned(context: &Arc<Context>, _: &Call) -> Result<Answer, Problem> {
    let cosigned = context.service.finality_log().cosigned();
    let cosigned = cosigned.ok_or_else(|| Problem::not_found("no cosigner signed so far"))?;
    Ok(Answer::new(TEXT, cosigned.to_string(), Cache::Revalidate))
}

/// `POST /log/finality/cosigned`: a cosigner brings its signature. It proves itself by it.
pub(super) fn add_cosigned(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    let text = std::str::from_utf8(&call.body).map_err(|_| Problem::bad("not UTF-8"))?;
    let checkpoint: Checkpoint = text
        .parse()
        .map_err(|error| Problem::bad(format!("{error}")))?;
    use crate::attest::log::LogStoreError;
    match context.service.add_cosigned(&checkpoint) {
        Ok(()) => Ok(Answer::new(TEXT, "", Cache::Private).status(StatusCode::NO_CONTENT)),
        Err(LogStoreError::Io(error)) => Err(failed(error)),
        Err(error) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Err(Problem::new(status, "refused", error.to_string()))
        }
    }
}

/// `GET /log/finality/tile/…`.
pub(super) fn tile(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    tile_of(context.service.finality_log(), call, Cache::Immutable)
}

/// `GET /log/finality/proof/{index}`: a `.tlog-proof`.
pub(super) fn proof(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    let answer = proof_of(context.service.finality_log(), call)?;
    let name = "attachment; filename=\"entry.tlog-proof\"";
    Ok(answer.header(header::CONTENT_DISPOSITION, name))
}

/// `GET /log/finality/consistency?from&to`.
pub(super) fn consistency(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    consistency_of(context.service.finality_log(), call)
}

/// `GET /log/finality/keys`: every key that ever signed, never shortened.
pub(super) fn keys(context: &Arc<Context>, _: &Call) -> Result<Answer, Problem> {
    let service = &context.service;
    let body = json!({
        "type": "quorate/log-keys/v1",
        "keys": service.log_keys(),
        "cosigners": service.cosigners().iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    Ok(Answer::json(&body, Cache::Revalidate))
}

/// `GET /log/access/checkpoint`.
pub(super) fn access_checkpoint(context: &Arc<Context>, _: &Call) -> Result<Answer, Problem> {
    let answer = checkpoint_of(context.service.access_log());
    Ok(Answer {
        cache: Cache::Private,
        ..answer
    })
}

/// `GET /log/access/tile/…`.
pub(super) fn access_tile(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    tile_of(context.service.access_log(), call, Cache::Private)
}

/// `GET /log/access/proof/{index}`.
pub(super) fn access_proof(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    let answer = proof_of(context.service.access_log(), call)?;
    Ok(Answer {
        cache: Cache::Private,
        ..answer
    })
}
