//! What goes wrong, as RFC 9457 says it: a stable type, and words for people.

use serde_json::{Map, Value, json};
use warp::http::{StatusCode, header};
use warp::reply::{Reply, Response};

/// An error answer. Nothing of the machine, of signers or of power stands in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// What it is, for programs: `urn:quorate:problem:<kind>`.
    pub kind: &'static str,
    /// What it is in this case, for people.
    pub detail: String,
    /// More members, such as the height that is meant.
    pub members: Map<String, Value>,
    /// More headers.
    pub headers: Vec<(header::HeaderName, String)>,
}

/// Every kind of problem with its title: programs may rely on these words.
pub const KINDS: &[(&str, &str)] = &[
    ("bad-request", "The request is not what the route takes"),
    (
        "bad-token",
        "The bearer token is unknown, revoked or has ended",
    ),
    (
        "before-start",
        "The height is below where this service starts",
    ),
    ("body-too-large", "The body is longer than the route takes"),
    ("conflict", "Two final blocks are known at one height"),
    (
        "covered-not-proved",
        "The height is final by a later one's proof and has none of its own",
    ),
    ("forbidden", "The token's role does not allow this"),
    (
        "lease-lost",
        "The job was given to another worker, or is finished",
    ),
    ("method-not-allowed", "The route does not take this method"),
    ("no-such-route", "There is no such route"),
    ("not-found", "There is no such thing"),
    (
        "pending",
        "The block is signed, and its proof is still to come",
    ),
    ("refused", "What was sent does not hold"),
    ("timeout", "The body did not come in time"),
    ("token-needed", "A bearer token is needed"),
    (
        "too-many-requests",
        "Too many such requests wait or are under way",
    ),
    ("unavailable", "The service cannot answer now"),
    ("unknown-block", "The block was not seen so far"),
];

impl Problem {
    /// A problem of one of [`KINDS`].
    pub fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        debug_assert!(KINDS.iter().any(|(known, _)| *known == kind), "{kind}");
        Self {
            status,
            kind,
            detail: detail.into(),
            members: Map::new(),
            headers: Vec::new(),
        }
    }

    /// 400.
    pub fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// 503; what happened is logged, not told.
    pub fn unavailable(what: &str, error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "{what}");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            format!("{what}; the operator's log says more"),
        )
    }

    /// The same with one more member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.into(), value.into());
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// As an HTTP answer.
    pub fn response(self) -> Response {
        let title = KINDS.iter().find(|(kind, _)| *kind == self.kind);
        let mut body = json!({
            "type": format!("urn:quorate:problem:{}", self.kind),
            "title": title.map_or("", |(_, title)| title),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Value::Object(members) = &mut body {
            members.extend(self.members);
        }
        let mut response = warp::reply::with_status(body.to_string(), self.status).into_response();
        let headers = response.headers_mut();
        let json = header::HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        headers.insert(
            header::CACHE_CONTROL,
            header::HeaderValue::from_static("no-store"),
        );
        for (name, value) in self.headers {
            if let Ok(value) = header::HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        response
    }
}
