//! What became of one request, for an authority: it names a client and what was traded.

use std::sync::Arc;

use quorate_pbft::request::Request;
use quorate_verifier::encoding::{Canonical, DecodeError};
use quorate_verifier::file::FileType;
use quorate_verifier::json as verifier_json;
use quorate_verifier::primitives::Height;
use serde::Serialize;
use serde_json::{Value, json};
use warp::http::{StatusCode, header};

use super::Context;
use super::finality::{Block, PAGE_MAX, block, document, paged, store};
use super::problem::Problem;
use super::route::{Answer, Cache, Call};
use crate::app::{Body, Executed, Outcome};
use crate::attest::service::Finality;
use crate::attest::settlement::{Settlement, SettlementError};

fn problem(error: SettlementError) -> Problem {
    let not_found = |error: &SettlementError| Problem::not_found(error.to_string());
    match error {
        SettlementError::NotKept(_) | SettlementError::NoRequest { .. } => not_found(&error),
        SettlementError::NotYet(_) => {
            Problem::new(StatusCode::NOT_FOUND, "pending", error.to_string())
                .header(header::RETRY_AFTER, "5")
        }
        SettlementError::Contradicted(..) => {
            tracing::error!(%error, "a settlement");
            Problem::unavailable("the paths do not lead to the chain's headers", &error)
        }
        SettlementError::Store(error) => store(error),
    }
}

fn find(context: &Context, call: &Call) -> Result<(Height, u64, Settlement), Problem> {
    call.allow(&[])?;
    let part = |place: usize| call.params.get(place).map_or("", String::as_str);
    let Block::At(height) = block(context, part(0))? else {
        return Err(Problem::bad(
            "a settlement's block is named by height or digest",
        ));
    };
    let place = verifier_json::parse_decimal(part(1))
        .map_err(|_| Problem::bad("a request is named by its place in the block, from 0"))?;
    let settlement = context.service.settlement(height, place);
    Ok((height, place, settlement.map_err(problem)?))
}

/// `GET /v1/settlements/{block}/{place}`: request, outcome, their paths, and whether they are final.
pub(super) fn settlement(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    let (height, place, Settlement { proof, finality }) = find(context, call)?;
    let (status, proved) = match finality {
        Finality::Final { proved, .. } => ("final", Some(proved.get().to_string())),
        Finality::Conflict { .. } => ("conflict", None),
        _ => ("pending", None),
    };
    let damaged = |error: DecodeError| Problem::unavailable("the request cannot be read", &error);
    let request = Request::from_bytes(proof.request.value()).map_err(damaged)?;
    let body = Body::from_bytes(&request.body).map_err(damaged)?;
    let outcome = Outcome::from_bytes(proof.outcome.value()).map_err(damaged)?;
    let next = proof.next.height.get();
    let body = json!({
        "type": "quorate/settlement/v1",
        "status": status,
        "chain": context.service.chain().as_str(),
        "height": height.get().to_string(),
        "place": place.to_string(),
        "settled": matches!(outcome.result, Executed::Done(_)),
        "client": hex::encode(request.client.0),
        "sequence": request.sequence.to_string(),
        "operation": value(&body.operation),
        "outcome": value(&outcome),
        "proof": document(&proof.to_json()),
        "finalBy": {
            "height": next.to_string(),
            "block": proof.next.digest().to_string(),
            "provedBy": proved,
        },
        "links": {
            "proof": format!("/v1/settlements/{}/{place}/binary", height.get()),
            "finality": format!("/v1/finality/{next}"),
        },
    });
    Ok(Answer::json(&body, Cache::Private))
}

/// `GET /v1/settlements/{block}/{place}/binary`: the two paths as a file.
pub(super) fn settlement_binary(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    let (height, place, Settlement { proof, .. }) = find(context, call)?;
    let name = format!(
        "attachment; filename=\"{}-{place}.settlement-proof\"",
        height.get()
    );
    let answer = Answer::new("application/octet-stream", proof.to_file(), Cache::Private);
    Ok(answer.header(header::CONTENT_DISPOSITION, name))
}

/// `GET /v1/settlements?client&sequence`: where a client's request stands.
pub(super) fn settlements(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    call.allow(&["client", "sequence", "from", "place"])?;
    let client = call
        .query
        .get("client")
        .map(|text| verifier_json::parse_hex::<32>(text));
    let (Some(Ok(client)), Some(sequence)) = (client, call.number("sequence")?) else {
        return Err(Problem::bad(
            "client, in 64 hex digits, and sequence are needed",
        ));
    };
    let height = Height::new(call.number("from")?.unwrap_or_default());
    let from = (height, call.number("place")?.unwrap_or_default());
    let limit = usize::try_from(PAGE_MAX).unwrap_or(usize::MAX);
    let asked = context.service.store();
    let mut found = asked
        .requests(&client, sequence, from, limit + 1)
        .map_err(store)?;
    let next = (found.len() > limit).then(|| {
        let (height, place) = found.split_off(limit)[0];
        format!(
            "/v1/settlements?client={}&sequence={sequence}&from={}&place={place}",
            hex::encode(client),
            height.get()
        )
    });
    let places: Vec<Value> = found
        .iter()
        .map(|(height, place)| {
            json!({
                "height": height.get().to_string(),
                "place": place.to_string(),
                "settlement": format!("/v1/settlements/{}/{place}", height.get()),
            })
        })
        .collect();
    let body = json!({"type": "quorate/settlements/v1", "requests": places, "next": next});
    Ok(paged(Answer::json(&body, Cache::Private), next))
}

fn value(thing: &impl Serialize) -> Value {
    serde_json::to_value(thing).unwrap_or_default()
}
