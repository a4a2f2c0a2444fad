//! The service over HTTP: three listeners, loopback unless told otherwise.

mod finality;
mod fixed;
mod jobs;
mod logs;
mod metrics;
mod openapi;
mod packs;
mod page;
mod problem;
mod route;
mod server;
mod settlements;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use warp::http::HeaderValue;

use super::service::Service;
use super::tokens::Tokens;

pub use fixed::with_fixed_bodies;
pub use jobs::LEASE_MS;
pub use metrics::Metrics;
pub use openapi::document as openapi;
pub use page::verify_html;
pub use problem::{KINDS as PROBLEM_KINDS, Problem};
pub(super) use route::time;
pub use route::{
    Answer, BODY_MAX_BYTES, Cache, Call, Handler, Listener, Parameter, Route, Verb, router,
};
pub use server::{CONNECTIONS_MAX, HEADER_TIME, serve, serve_tls};
pub use table::ROUTES;

/// What handlers work with.
#[derive(Debug)]
pub struct Context {
    /// The service.
    pub service: Arc<Service>,
    /// Who may do what.
    pub tokens: Tokens,
    /// Counters.
    pub metrics: Metrics,
    /// A covered height may be at most this far behind, in milliseconds, for readiness.
    pub ready_behind_ms: u64,
    /// Answers that never change, made once.
    rendered: Mutex<BTreeMap<u64, Rendered>>,
    /// Evidence packs that may be made at once.
    packs: tokio::sync::Semaphore,
}

/// An attestation, ready to be sent: each body with its tag.
#[derive(Clone, Debug)]
struct Rendered {
    json: (HeaderValue, Bytes),
    binary: (HeaderValue, Bytes),
}

impl Context {
    /// For a service, with the tokens of its directory.
    pub fn new(service: Arc<Service>, ready_behind_ms: u64) -> Self {
        let data: PathBuf = service.data().into();
        Self {
            tokens: Tokens::at(&data),
            service,
            metrics: Metrics::default(),
            ready_behind_ms,
            rendered: Mutex::default(),
            packs: tokio::sync::Semaphore::new(packs::AT_ONCE),
        }
    }
}
