//! Requests for proofs, and what operators and workers say to each other about them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use quorate_verifier::attestation::Attestation;
use quorate_verifier::file::FileType;
use quorate_verifier::json as verifier_json;
use quorate_verifier::primitives::Height;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use warp::http::{StatusCode, header};
use warp::reply::Reply;

use super::Context;
use super::finality::store;
use super::problem::Problem;
use super::route::{Answer, Cache, Call, Verb, entry, time};
use crate::attest::service::AcceptError;
use crate::attest::store::{Failure, Job, JobId, JobState, LeaseError, LeaseToken, Submitted};

/// A worker is heard from within this time, or its job goes to another.
pub const LEASE_MS: u64 = 20_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProofRequest {
    height: String,
}

fn body<T: DeserializeOwned>(call: &Call) -> Result<T, Problem> {
    serde_json::from_slice(&call.body).map_err(|error| Problem::bad(format!("JSON: {error}")))
}

/// `POST /v1/proofs`: `{"height": "7"}`. The rule is the policy's: whoever could choose it would
/// learn how much power signed.
pub(super) fn request(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    let request: ProofRequest = body(call)?;
    let height = verifier_json::parse_decimal(&request.height)
        .map_err(|rule| Problem::bad(format!("height: {rule}")))?;
    match context
        .service
        .request(Height::new(height))
        .map_err(store)?
    {
        Submitted::Job(job) => {
            let done = job.state == JobState::Done;
            let answer = Answer::json(&described(&job), Cache::Private);
            let place = format!("/v1/jobs/{}", job.id);
            Ok(if done {
                answer.header(
                    header::CONTENT_LOCATION,
                    format!("/v1/attestations/{height}"),
                )
            } else {
                answer
                    .status(StatusCode::ACCEPTED)
                    .header(header::LOCATION, place)
                    .header(header::RETRY_AFTER, "5")
            })
        }
        Submitted::Full => {
            let detail = "ask again when some of them are proved";
            let status = StatusCode::TOO_MANY_REQUESTS;
            Err(Problem::new(status, "too-many-requests", detail).header(header::RETRY_AFTER, "60"))
        }
        Submitted::Unknown => {
            let detail = format!("no provable block of height {height} was seen");
            Err(Problem::new(StatusCode::NOT_FOUND, "unknown-block", detail))
        }
    }
}

/// What auditors and regulators see of a job: no times, no attempts, no reasons.
fn described(job: &Job) -> Value {
    let state = match job.state {
        JobState::Queued { .. } => "queued",
        JobState::Leased { .. } => "proving",
        JobState::Done => "done",
        JobState::Covered => "covered",
        JobState::Failed { .. } => "failed",
    };
    let done = job.state == JobState::Done;
    let attestation = done.then(|| format!("/v1/attestations/{}", job.height));
    json!({
        "type": "quorate/job/v1",
        "id": job.id.to_string(),
        "height": job.height.to_string(),
        "state": state,
        "attestation": attestation,
    })
}

fn find(context: &Context, call: &Call) -> Result<Job, Problem> {
    let text = call.params.first().map_or("", String::as_str);
    let id: JobId = text
        .parse()
        .map_err(|_| Problem::bad("a job is named by 64 hex digits"))?;
    let job = context.service.job(&id).map_err(store)?;
    job.ok_or_else(|| Problem::not_found("there is no such job"))
}

/// `GET /v1/jobs/{id}`.
pub(super) fn job(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    Ok(Answer::json(
        &described(&find(context, call)?),
        Cache::Private,
    ))
}

/// All of a job, for operators.
fn in_full(context: &Context, job: &Job) -> Value {
    let phase = context.service.phase(&job.id);
    json!({
        "type": "quorate/operator-job/v1",
        "job": job,
        "created": time(job.created_at),
        "phase": phase.as_ref().map(|phase| phase.name.clone()),
        "phaseSince": phase.as_ref().map(|phase| time(phase.at)),
    })
}

/// `GET /v1/operator/jobs/{id}`.
pub(super) fn operator_job(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    let job = find(context, call)?;
    Ok(Answer::json(&in_full(context, &job), Cache::Private))
}

/// `GET /v1/operator/jobs/{id}/events`: server-sent events until the job ends.
pub(super) fn events(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    let job = find(context, call)?;
    let state = (Arc::clone(context), job.id, None::<Value>, false);
    let stream = futures_util::stream::unfold(state, |(context, id, last, over)| async move {
        if over {
            return None;
        }
        loop {
            let Ok(Some(job)) = context.service.job(&id) else {
                return None;
            };
            let over = job.state.is_final();
            let now = in_full(&context, &job);
            if last.as_ref() != Some(&now) {
                let event = warp::sse::Event::default()
                    .event("job")
                    .data(now.to_string());
                return Some((Ok::<_, Infallible>(event), (context, id, Some(now), over)));
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    });
    let keep = warp::sse::keep_alive().interval(Duration::from_secs(15));
    let reply = warp::sse::reply(keep.stream(stream)).into_response();
    Ok(Answer {
        stream: Some(reply),
        ..Answer::new("text/event-stream", "", Cache::Private)
    })
}

/// `GET /v1/operator/queue`.
pub(super) fn queue(context: &Arc<Context>, _: &Call) -> Result<Answer, Problem> {
    let counts = context.service.counts().map_err(store)?;
    let body = json!({
        "type": "quorate/queue/v1",
        "queued": counts.queued.to_string(),
        "leased": counts.leased.to_string(),
        "failed": counts.failed.to_string(),
    });
    Ok(Answer::json(&body, Cache::Private))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    worker: String,
}

/// `POST /v1/worker/claim`: a job with block and set. **They name the signers.** 204 when there is
/// nothing to do.
pub(super) fn claim(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    let Claim { worker } = body(call)?;
    if worker.is_empty() || worker.len() > 100 {
        return Err(Problem::bad("a worker's name has 1 to 100 bytes"));
    }
    let lease = context.service.claim(&worker, LEASE_MS).map_err(store)?;
    let Some(lease) = lease else {
        let nothing = Answer::new("application/json", "", Cache::Private);
        return Ok(nothing.status(StatusCode::NO_CONTENT));
    };
    // Only a job that is handed out tells anything: it is an entry before it is.
    if let Some(caller) = &call.caller {
        let mut entry = entry(caller, Verb::Post, "/v1/worker/claim");
        entry["height"] = lease.job.height.to_string().into();
        if let Err(error) = context.service.record(&context.tokens, &entry) {
            // Nothing was told; another may have the job at once.
            context
                .service
                .release(&lease.token)
                .map_err(lease_problem)?;
            let what = "the access log cannot be written";
            return Err(Problem::unavailable(what, &error));
        }
    }
    let body = json!({
        "type": "quorate/lease/v1",
        "lease": lease.token,
        "leaseMs": LEASE_MS,
        "height": lease.job.height.to_string(),
        "key": lease.job.key.to_string(),
        "rule": {"num": context.service.policy().rule.num(), "den": context.service.policy().rule.den()},
        "block": hex::encode(lease.block.to_file()),
        "set": hex::encode(lease.set.to_file()),
    });
    Ok(Answer::json(&body, Cache::Private))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Renew {
    lease: LeaseToken,
    phase: Option<String>,
}

fn nothing() -> Answer {
    Answer::new("application/json", "", Cache::Private).status(StatusCode::NO_CONTENT)
}

fn lease_problem(error: LeaseError) -> Problem {
    match error {
        LeaseError::Lost => {
            let detail = "give up this proof: it is not yours to finish";
            Problem::new(StatusCode::CONFLICT, "lease-lost", detail)
        }
        LeaseError::Store(error) => store(error),
    }
}

/// `POST /v1/worker/renew`.
pub(super) fn renew(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    let Renew { lease, phase } = body(call)?;
    if phase.as_ref().is_some_and(|phase| phase.len() > 100) {
        return Err(Problem::bad("a phase has at most 100 bytes"));
    }
    let renewed = context.service.renew(&lease, LEASE_MS, phase.as_deref());
    renewed.map_err(lease_problem)?;
    Ok(nothing())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Finish {
    lease: LeaseToken,
    attestation: String,
}

/// `POST /v1/worker/finish`: a proof, which is verified before anything is kept of it.
pub(super) fn finish(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    let Finish { lease, attestation } = body(call)?;
    let bytes = hex::decode(&attestation).map_err(|_| Problem::bad("attestation is not hex"))?;
    let proof = Attestation::from_file(&bytes)
        .map_err(|error| Problem::bad(format!("not an attestation: {error}")))?;
    match context.service.accept(&lease, &proof) {
        Ok(()) => Ok(nothing()),
        Err(AcceptError::Lease(error)) => Err(lease_problem(error)),
        Err(error @ (AcceptError::Refused(_) | AcceptError::Attestation(_))) => {
            tracing::warn!(%error, height = proof.header.height.get(), "a worker's proof");
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Err(Problem::new(status, "refused", error.to_string()))
        }
        Err(AcceptError::Log(error)) => Err(Problem::unavailable(
            "the proof is kept, the log is not written",
            &error,
        )),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fail {
    lease: LeaseToken,
    failure: Failure,
}

/// `POST /v1/worker/fail`.
pub(super) fn fail(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    let Fail { lease, mut failure } = body(call)?;
    if failure.reason.len() > 1000 {
        failure.reason = failure.reason.chars().take(200).collect();
    }
    tracing::warn!(job = %lease.job, reason = failure.reason, "an attempt failed");
    context
        .service
        .fail(&lease, &failure)
        .map_err(lease_problem)?;
    Ok(nothing())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    lease: LeaseToken,
}

/// `POST /v1/worker/release`.
pub(super) fn release(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    let Release { lease } = body(call)?;
    context.service.release(&lease).map_err(lease_problem)?;
    Ok(nothing())
}
