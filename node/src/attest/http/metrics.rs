//! Counters and gauges in Prometheus' text form. For operators: the listener is theirs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use warp::http::StatusCode;

use super::Context;
use super::problem::Problem;
use super::route::{Answer, Cache, Call};

/// Counted requests.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
}

impl Metrics {
    /// Counts a request of a route, by its template, and the status of its answer.
    pub fn count(&self, route: &'static str, status: u16) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((route, status)).or_default() += 1;
    }
}

/// `GET /metrics`.
pub(super) fn metrics(context: &Arc<Context>, _: &Call) -> Result<Answer, Problem> {
    let failed = |error| Problem::unavailable("the store cannot be read", &error);
    let service = &context.service;
    let progress = service.progress().map_err(failed)?;
    let counts = service.counts().map_err(failed)?;
    let mut out = String::new();
    let mut gauge = |name: &str, help: &str, value: u64| {
        let _ = write!(
            out,
            "# HELP quorate_{name} {help}\n# TYPE quorate_{name} gauge\nquorate_{name} {value}\n"
        );
    };
    let height = |at: Option<quorate_verifier::primitives::Height>| at.map_or(0, |h| h.get());
    gauge(
        "final_height",
        "Last final height that the service knows.",
        height(progress.tip.map(|(height, _)| height)),
    );
    gauge(
        "proved_height",
        "Last height with a proof of its own.",
        height(progress.proved),
    );
    gauge(
        "covered_height",
        "Last height that a proof covers.",
        height(progress.covered.map(|(height, _)| height)),
    );
    gauge(
        "behind_blocks",
        "Final heights not covered yet.",
        progress.behind,
    );
    gauge(
        "behind_seconds",
        "Time of the last final height less that of the last covered one.",
        progress.behind_ms / 1000,
    );
    gauge("jobs_queued", "Proofs waiting for a worker.", counts.queued);
    gauge("jobs_leased", "Proofs that a worker has.", counts.leased);
    gauge("jobs_failed", "Proofs that were given up.", counts.failed);
    gauge(
        "proofs_kept",
        "Heights with a proof of their own.",
        counts.proofs,
    );
    gauge(
        "finality_log_entries",
        "Entries of the finality log.",
        service.finality_log().size(),
    );
    gauge(
        "finality_log_cosigned_entries",
        "Entries under the newest cosigned checkpoint.",
        service
            .finality_log()
            .cosigned()
            .map_or(0, |c| c.head().size),
    );
    gauge(
        "access_log_entries",
        "Entries of the access log.",
        service.access_log().size(),
    );
    gauge(
        "forked",
        "1 when two final blocks are known at one height.",
        u64::from(service.store().first_fork().map_err(failed)?.is_some()),
    );
    let name = "quorate_http_requests_total";
    let _ = write!(
        out,
        "# HELP {name} Answers, by route and status.\n# TYPE {name} counter\n"
    );
    let requests = context.metrics.requests.lock();
    for ((route, status), count) in requests.unwrap_or_else(PoisonError::into_inner).iter() {
        let _ = writeln!(
            out,
            "{name}{{route=\"{route}\",status=\"{status}\"}} {count}"
        );
    }
    let content = "text/plain; version=0.0.4; charset=utf-8";
    Ok(Answer::new(content, out, Cache::Private))
}

/// `GET /healthz`: the process answers.
pub(super) fn health(_: &Arc<Context>, _: &Call) -> Result<Answer, Problem> {
    Ok(Answer::new(
        "text/plain; charset=utf-8",
        "alive\n",
        Cache::Private,
    ))
}

/// `GET /readyz`: what is asked for can be answered, and is not too old.
pub(super) fn ready(context: &Arc<Context>, _: &Call) -> Result<Answer, Problem> {
    let failed = |error| Problem::unavailable("the store cannot be read", &error);
    let progress = context.service.progress().map_err(failed)?;
    let unready = |detail: String| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            .with("behind", progress.behind.to_string())
            .with("behindMs", progress.behind_ms.to_string())
    };
    if let Some(fork) = context.service.store().first_fork().map_err(failed)? {
        return Err(unready(format!("a fork at height {}", fork.get())));
    }
    if progress.tip.is_none() {
        return Err(unready("no final block has come in yet".into()));
    }
    if progress.behind_ms > context.ready_behind_ms {
        let detail = format!(
            "{} final heights are not covered, {} ms behind",
            progress.behind, progress.behind_ms
        );
        return Err(unready(detail));
    }
    Ok(Answer::new(
        "text/plain; charset=utf-8",
        "ready\n",
        Cache::Private,
    ))
}
