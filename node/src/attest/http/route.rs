//! Routes as data: one table from which the router, the OpenAPI document and their test are made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt, TryStreamExt};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use warp::filters::BoxedFilter;
use warp::filters::path::FullPath;
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use warp::reply::{Reply, Response};
use warp::{Filter, Rejection};

use super::Context;
use super::problem::Problem;
use crate::attest::access::ENTRY_TYPE;
use crate::attest::service::now_ms;
use crate::attest::tokens::{Role, TokenRecord};

/// What a route is asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `GET`, and `HEAD` with it.
    Get,
    /// `POST`.
    Post,
}

impl Verb {
    /// The word in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }

    fn of(method: &Method) -> Option<Self> {
        match *method {
            Method::GET | Method::HEAD => Some(Self::Get),
            Method::POST => Some(Self::Post),
            _ => None,
        }
    }
}

/// Which listener a route is served on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Everybody's: light clients, regulators, the page.
    Public,
    /// Operators' and workers'.
    Operator,
    /// Probes and metrics.
    Metrics,
}

/// Longest body of any request.
pub const BODY_MAX_BYTES: usize = 64 << 10;
const HOUR_MS: u64 = 3_600_000;
/// Parameters that an entry of the access log tells.
const QUERY_RECORDED_MAX: usize = 10;
/// A body comes within this time.
const BODY_TIME: Duration = Duration::from_secs(10);

/// One call of a route.
#[derive(Debug)]
pub struct Call {
    /// The parts of the path that are in braces, in order.
    pub params: Vec<String>,
    /// The query, decoded; a name that is given twice is refused.
    pub query: BTreeMap<String, String>,
    /// The request's headers.
    pub headers: HeaderMap,
    /// The body, whole; empty for GET.
    pub body: Bytes,
    /// Who calls, where the route asks for a role.
    pub caller: Option<TokenRecord>,
}

impl Call {
    /// A decimal number from the query.
    ///
    /// # Errors
    /// A problem that names the parameter.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.query.get(name) else {
            return Ok(None);
        };
        let number = quorate_verifier::json::parse_decimal(text);
        number
            .map(Some)
            .map_err(|rule| Problem::bad(format!("{name}: {rule}")))
    }

    /// Refuses parameters that the route does not know, rather than passing over a mistyped one.
    ///
    /// # Errors
    /// A problem that names the parameter.
    pub fn allow(&self, names: &[&str]) -> Result<(), Problem> {
        match self
            .query
            .keys()
            .find(|name| !names.contains(&name.as_str()))
        {
            Some(name) => Err(Problem::bad(format!(
                "{name:?} is no parameter of this route"
            ))),
            None => Ok(()),
        }
    }
}

/// How long an answer may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// It will never change.
    Immutable,
    /// It may change: ask again, by its tag.
    Revalidate,
    /// It is nobody else's.
    Private,
}

/// A good answer.
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Media type.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
    /// How long it may be kept.
    pub cache: Cache,
    /// More headers.
    pub headers: Vec<(header::HeaderName, String)>,
    /// A stream in place of the body.
    pub stream: Option<Response>,
    /// The body's tag, where it is known already.
    pub tag: Option<HeaderValue>,
}

/// The tag of a body: what a client shows to be told that it has not changed.
pub(super) fn tag(body: &[u8]) -> HeaderValue {
    let text = format!("\"{}\"", hex::encode(&Sha256::digest(body)[..16]));
    HeaderValue::from_str(&text).expect("hex in quotes")
}

impl Answer {
    /// 200 with a body.
    pub fn new(content_type: &'static str, body: impl Into<Bytes>, cache: Cache) -> Self {
        Self {
            status: StatusCode::OK,
            content_type,
            body: body.into(),
            cache,
            headers: Vec::new(),
            stream: None,
            tag: None,
        }
    }

    /// 200 with JSON.
    pub fn json(body: &serde_json::Value, cache: Cache) -> Self {
        Self::new("application/json", body.to_string(), cache)
    }

    /// The same with another status.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same with a tag that was made before.
    #[must_use]
    pub fn tagged(mut self, tag: HeaderValue) -> Self {
        self.tag = Some(tag);
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn response(self, request: &HeaderMap) -> Response {
        if let Some(stream) = self.stream {
            return stream;
        }
        let tag = match (self.cache, self.tag) {
            (Cache::Private, _) => None,
            (_, Some(tag)) => Some(tag),
            (_, None) => Some(tag(&self.body)),
        };
        let known = request
            .get(header::IF_NONE_MATCH)
            .and_then(|value| value.to_str().ok())
            .zip(tag.as_ref().and_then(|tag| tag.to_str().ok()))
            .is_some_and(|(tags, own)| tags.split(',').any(|t| t.trim() == own || t.trim() == "*"));
        let mut response = if known && self.status == StatusCode::OK {
            warp::reply::with_status("", StatusCode::NOT_MODIFIED).into_response()
        } else {
            let mut response = warp::http::Response::new(self.body).into_response();
            *response.status_mut() = self.status;
            let value = HeaderValue::from_static(self.content_type);
            response.headers_mut().insert(header::CONTENT_TYPE, value);
            response
        };
        let headers = response.headers_mut();
        let cache = match self.cache {
            Cache::Immutable => "public, max-age=31536000, immutable",
            Cache::Revalidate => "no-cache",
            Cache::Private => "no-store",
        };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        if let Some(tag) = tag {
            headers.insert(header::ETAG, tag);
        }
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// What a route does.
pub type Handler = fn(&Arc<Context>, &Call) -> Result<Answer, Problem>;

/// A parameter of a route's query.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it is, in words.
    pub about: &'static str,
    /// What it looks like, a regular expression.
    pub pattern: &'static str,
}

/// One route.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// What it is asked with.
    pub method: Verb,
    /// Segments, parameters in braces; `{name...}` takes the rest of the path.
    pub path: &'static str,
    /// Where it is served.
    pub listener: Listener,
    /// Who may call it; `None` for everybody.
    pub role: Option<Role>,
    /// What it does, in one sentence.
    pub about: &'static str,
    /// Parameters of its query.
    pub query: &'static [Parameter],
    /// Media types that it answers with.
    pub answers: &'static [&'static str],
    /// Statuses that it answers with, apart from those that every route may.
    pub statuses: &'static [u16],
    /// Whether it takes long enough to be kept from the threads that serve others.
    pub slow: bool,
    /// Whether the access log is its own affair: asked often, with nothing told or done mostly.
    pub quiet: bool,
    /// What it does.
    pub handler: Handler,
}

/// Routes of one path.
struct Place {
    pattern: Vec<Segment>,
    routes: Vec<&'static Route>,
}

enum Segment {
    Word(&'static str),
    One,
    Rest,
}

impl Place {
    fn all(routes: &'static [Route], listener: Listener) -> Vec<Self> {
        let mut by_path: BTreeMap<&str, Vec<&'static Route>> = BTreeMap::new();
        for route in routes.iter().filter(|route| route.listener == listener) {
            by_path.entry(route.path).or_default().push(route);
        }
        let segment = |part: &'static str| match part {
            part if part.ends_with("...}") => Segment::Rest,
            part if part.starts_with('{') => Segment::One,
            word => Segment::Word(word),
        };
        let place = |(path, routes): (&'static str, _)| Self {
            pattern: path
                .split('/')
                .skip(1)
                .filter(|p| !p.is_empty())
                .map(segment)
                .collect(),
            routes,
        };
        by_path.into_iter().map(place).collect()
    }

    /// The parts of a path that the pattern leaves open; `None` for another path.
    fn params(&self, path: &str) -> Option<Vec<String>> {
        let mut rest = path.strip_prefix('/')?;
        let mut params = Vec::new();
        for segment in &self.pattern {
            if matches!(segment, Segment::Rest) {
                params.push(rest.to_owned());
                return Some(params);
            }
            let (here, after) = rest.split_once('/').unwrap_or((rest, ""));
            match segment {
                Segment::Word(word) if *word == here => {}
                Segment::One if !here.is_empty() => params.push(here.to_owned()),
                _ => return None,
            }
            rest = after;
        }
        rest.is_empty().then_some(params)
    }
}

/// A filter that serves the routes of one listener, and answers every request.
pub fn router(
    context: &Arc<Context>,
    routes: &'static [Route],
    listener: Listener,
) -> BoxedFilter<(Response,)> {
    let places = Arc::new(Place::all(routes, listener));
    let context = Arc::clone(context);
    // One filter for all: a chain of one for each route costs more than most answers do.
    let all = warp::path::full()
        .and(warp::method())
        .and(query())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(
            move |path: FullPath, method: Method, query: String, headers, body| {
                let (context, places) = (Arc::clone(&context), Arc::clone(&places));
                async move {
                    let found = places
                        .iter()
                        .find_map(|place| Some((&place.routes, place.params(path.as_str())?)));
                    let Some((routes, params)) = found else {
                        let what = "/openapi.json lists the routes";
                        return Problem::new(StatusCode::NOT_FOUND, "no-such-route", what)
                            .response();
                    };
                    let call = Parts {
                        params,
                        query,
                        headers,
                    };
                    let answer = dispatch(&context, routes, &method, call, body).await;
                    answer.unwrap_or_else(Problem::response)
                }
            },
        );
    let public = listener == Listener::Public;
    all.recover(|_: Rejection| async move {
        let problem = Problem::bad("the request cannot be read");
        Ok::<_, std::convert::Infallible>(problem.response())
    })
    .unify()
    .map(move |mut response: Response| {
        let headers = response.headers_mut();
        let nosniff = HeaderValue::from_static("nosniff");
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        if public {
            // Everything here is public or needs a token that no browser sends by itself.
            let any = HeaderValue::from_static("*");
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
            let expose = HeaderValue::from_static("etag, link, location");
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, expose);
        }
        response
    })
    .boxed()
}

fn query() -> impl Filter<Extract = (String,), Error = std::convert::Infallible> + Clone {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

struct Parts {
    params: Vec<String>,
    query: String,
    headers: HeaderMap,
}

async fn dispatch<S, B>(
    context: &Arc<Context>,
    routes: &[&'static Route],
    method: &Method,
    parts: Parts,
    body: S,
) -> Result<Response, Problem>
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
{
    let wanted = Verb::of(method);
    let Some(route) = routes
        .iter()
        .copied()
        .find(|route| Some(route.method) == wanted)
    else {
        return no_such_method(routes, method);
    };
    // Who calls is settled before the body is looked at.
    let caller = match route.role {
        Some(role) => Some(authorize(context, &parts.headers, role)?),
        None => None,
    };
    let body = match route.method {
        Verb::Get => Bytes::new(),
        Verb::Post => collect(body).await?,
    };
    let call = Call {
        query: parse_query(&parts.query)?,
        params: parts.params,
        headers: parts.headers,
        body,
        caller,
    };
    if let Some(caller) = &call.caller
        && !route.quiet
    {
        record(context, caller, route, &call).await?;
    }
    let headers = call.headers.clone();
    let answer = if route.slow {
        let context = Arc::clone(context);
        tokio::task::spawn_blocking(move || (route.handler)(&context, &call))
            .await
            .map_err(|error| Problem::unavailable("the request was not carried out", &error))?
    } else {
        (route.handler)(context, &call)
    };
    let status = answer
        .as_ref()
        .map_or_else(|problem| problem.status, |a| a.status);
    context.metrics.count(route.path, status.as_u16());
    Ok(answer?.response(&headers))
}

fn no_such_method(routes: &[&'static Route], method: &Method) -> Result<Response, Problem> {
    let mut allowed = vec!["OPTIONS"];
    for route in routes {
        allowed.push(route.method.as_str());
        if route.method == Verb::Get {
            allowed.push("HEAD");
        }
    }
    let allowed = allowed.join(", ");
    if *method == Method::OPTIONS {
        let answer = Answer::new("text/plain", "", Cache::Private)
            .status(StatusCode::NO_CONTENT)
            .header(header::ALLOW, allowed.clone())
            .header(header::ACCESS_CONTROL_ALLOW_METHODS, allowed)
            .header(
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "authorization, content-type, if-none-match",
            );
        return Ok(answer.response(&HeaderMap::new()));
    }
    let detail = format!("this route takes {allowed}");
    Err(
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
            .header(header::ALLOW, allowed),
    )
}

/// The bearer's record, if its role suffices.
fn authorize(context: &Context, headers: &HeaderMap, needed: Role) -> Result<TokenRecord, Problem> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let refuse = |kind, detail: &str| {
        Problem::new(StatusCode::UNAUTHORIZED, kind, detail)
            .header(header::WWW_AUTHENTICATE, "Bearer realm=\"quorate\"")
    };
    let Some(token) = bearer else {
        let detail = format!(
            "this route is for a token of role {} or above",
            needed.word()
        );
        return Err(refuse("token-needed", &detail));
    };
    let record = context
        .tokens
        .check(token, now_ms())
        .map_err(|error| Problem::unavailable("tokens cannot be checked", &error))?;
    let record = record.ok_or_else(|| refuse("bad-token", "ask the operator for another one"))?;
    if record.role < needed {
        let detail = format!("this route is for role {} or above", needed.word());
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    Ok(record)
}

/// What the access log says of a call. Of workers' calls it says the hour: auditors learn who was
/// told of signers, not how long proofs take.
pub(super) fn entry(caller: &TokenRecord, method: Verb, path: &str) -> serde_json::Value {
    let now = now_ms();
    let at = match path.starts_with("/v1/worker/") {
        true => now - now % HOUR_MS,
        false => now,
    };
    json!({
        "type": ENTRY_TYPE,
        "at": time(at),
        "token": caller.id,
        "role": caller.role.word(),
        "method": method.as_str(),
        "path": path,
    })
}

/// Every privileged read is an entry of the access log before it is answered, every act before it
/// is carried out.
async fn record(
    context: &Arc<Context>,
    caller: &TokenRecord,
    route: &Route,
    call: &Call,
) -> Result<(), Problem> {
    let mut path = route.path.to_owned();
    for param in &call.params {
        if let (Some(start), Some(end)) = (path.find('{'), path.find('}')) {
            let short: String = param.chars().take(200).collect();
            path.replace_range(start..=end, &short);
        }
    }
    let mut entry = entry(caller, route.method, &path);
    if !call.query.is_empty() {
        let short = |text: &String| text.chars().take(200).collect::<String>();
        let query = call.query.iter().take(QUERY_RECORDED_MAX);
        entry["query"] = query
            .map(|(name, value)| (short(name), short(value)))
            .collect();
    }
    let failed = |error: &dyn std::fmt::Display| {
        Problem::unavailable("the access log cannot be written", error)
    };
    let keeper = Arc::clone(context);
    let recorded =
        tokio::task::spawn_blocking(move || keeper.service.record(&keeper.tokens, &entry)).await;
    let recorded = recorded.map_err(|error| failed(&error))?;
    recorded.map_err(|error| failed(&error))
}

/// A time as RFC 3339 writes it.
pub(in crate::attest) fn time(ms: u64) -> String {
    let time = quorate_verifier::primitives::TimeMs::new(ms);
    time.map_or_else(String::new, quorate_verifier::json::format_time)
}

async fn collect<S, B>(body: S) -> Result<Bytes, Problem>
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
{
    let too_large = || {
        let detail = format!("a body has at most {BODY_MAX_BYTES} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
    };
    let gather = async {
        let mut body = std::pin::pin!(body.into_stream());
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            let mut chunk = chunk.map_err(|_| Problem::bad("the body broke off"))?;
            if bytes.len() + chunk.remaining() > BODY_MAX_BYTES {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk.copy_to_bytes(chunk.remaining()));
        }
        Ok(Bytes::from(bytes))
    };
    match tokio::time::timeout(BODY_TIME, gather).await {
        Ok(body) => body,
        Err(_) => {
            let detail = "a body comes within 10 seconds";
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", detail))
        }
    }
}

fn parse_query(text: &str) -> Result<BTreeMap<String, String>, Problem> {
    let mut query = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // No parameter needs an escape: names, numbers, hex.
        let plain = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if !plain(name) || !plain(value) {
            return Err(Problem::bad(
                "the query has characters that no parameter takes",
            ));
        }
        if query.insert(name.into(), value.into()).is_some() {
            return Err(Problem::bad(format!("{name} is given twice")));
        }
    }
    Ok(query)
}
