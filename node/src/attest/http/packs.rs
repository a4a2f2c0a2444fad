//! Evidence packs to be downloaded: what `quorate export` writes, for a range that is not too long.

use std::sync::Arc;

use quorate_verifier::primitives::Height;
use warp::http::{StatusCode, header};

use super::Context;
use super::finality::{before_start, next_update, store, unknown};
use super::problem::Problem;
use super::route::{Answer, Cache, Call};
use crate::attest::log::Tree;
use crate::attest::pack::Parts;
use crate::attest::service::Finality;

/// Most heights in one download, and most headers up to the proof that covers them.
pub(super) const DOWNLOAD_MAX: u64 = 1000;

/// Packs that are made at once: others are asked to come again.
pub(super) const AT_ONCE: usize = 2;

/// `GET /v1/packs?from&to`.
pub(super) fn pack(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    call.allow(&["from", "to"])?;
    let (Some(from), Some(to)) = (call.number("from")?, call.number("to")?) else {
        return Err(Problem::bad("from and to are needed"));
    };
    if from > to {
        return Err(Problem::bad("from is above to"));
    }
    let Ok(_permit) = context.packs.try_acquire() else {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let detail = format!("{AT_ONCE} packs are being made: ask again in a second");
        return Err(
            Problem::new(status, "too-many-requests", detail).header(header::RETRY_AFTER, "1")
        );
    };
    let parts = parts(context, from, to)?;
    let bytes = parts
        .archive()
        .map_err(|error| Problem::unavailable("the pack was not made", &error))?;
    let name = format!("attachment; filename=\"heights-{from}-{to}.tar\"");
    // A longer log gives another checkpoint, and so another pack.
    Ok(Answer::new("application/x-tar", bytes, Cache::Revalidate)
        .header(header::CONTENT_DISPOSITION, name))
}

fn parts(context: &Context, from: u64, to: u64) -> Result<Parts, Problem> {
    let service = &context.service;
    let final_at = |height: u64| match service.finality(Height::new(height)).map_err(store)? {
        Finality::Final { proved, index, .. } => Ok((proved.get(), index)),
        other => Err(not_final(height, other)),
    };
    let (first_index, (proved, _)) = (final_at(from)?.1, final_at(to)?);
    if proved - from >= DOWNLOAD_MAX {
        let detail = format!(
            "heights {from} to {to} take headers up to height {proved}: at most {DOWNLOAD_MAX} are \
             handed out at once. Ask for fewer, or use quorate export"
        );
        return Err(Problem::bad(detail));
    }
    let mut headers = Vec::new();
    for height in from..=proved {
        let header = service.store().header(Height::new(height)).map_err(store)?;
        headers.push(header.ok_or_else(|| unknown(&format!("height {height}")))?);
    }
    let mut proofs = Vec::new();
    let mut trusted = service.policy().anchor.header.height;
    while let Some(next) = next_update(context, trusted)? {
        trusted = next.attestation.header.height;
        if trusted.get() >= proved {
            break;
        }
        proofs.push(next.attestation);
    }
    let proof = service.store().attestation(Height::new(proved));
    let proof = proof.map_err(store)?;
    proofs.push(proof.ok_or_else(|| unknown("the proof"))?);
    let log = service.finality_log();
    let last = first_index + (to - from);
    let cosigned = log.cosigned().filter(|one| one.head().size > last);
    let checkpoint = cosigned.unwrap_or_else(|| log.checkpoint());
    let tree = Tree::new(log.files(), checkpoint.head().size);
    let failed = |error: std::io::Error| Problem::unavailable("the log cannot be read", &error);
    let mut ways = Vec::new();
    for index in first_index..=last {
        let path = tree.inclusion(index).map_err(failed)?;
        let path = path.ok_or_else(|| Problem::not_found("the log does not reach so far"))?;
        ways.push(quorate_verifier::tlog::LogProof {
            index,
            path,
            checkpoint: (*checkpoint).clone(),
        });
    }
    Ok(Parts {
        chain: service.chain().clone(),
        from,
        to,
        headers,
        proofs,
        keys: service.light_keys().to_vec(),
        log: ways,
    })
}

/// Why there is no evidence for a height.
fn not_final(height: u64, finality: Finality) -> Problem {
    match finality {
        Finality::BeforeStart { first } => before_start(first),
        Finality::Conflict { fork } => {
            let detail = format!("two final blocks are known at height {}", fork.get());
            Problem::new(StatusCode::CONFLICT, "conflict", detail)
        }
        Finality::Pending { .. } => {
            let detail = "the block is signed, and its proof is still to come";
            Problem::new(StatusCode::NOT_FOUND, "pending", detail).header(header::RETRY_AFTER, "5")
        }
        Finality::Unknown | Finality::Final { .. } => unknown(&format!("height {height}")),
    }
}
