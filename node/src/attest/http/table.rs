//! Every route of every listener.

use super::route::{Listener, Parameter, Route, Verb};
use super::{finality, jobs, logs, metrics, openapi, packs, page, settlements};
use crate::attest::tokens::Role;

const JSON: &[&str] = &["application/json"];
const BYTES: &[&str] = &["application/octet-stream"];
const TEXT: &[&str] = &["text/plain; charset=utf-8"];
const NOTHING: &[&str] = &[];
const NUMBER: &str = "^(0|[1-9][0-9]*)$";
const RANGE: &[Parameter] = &[
    Parameter {
        name: "from",
        about: "the first, or the earlier size",
        pattern: NUMBER,
    },
    Parameter {
        name: "to",
        about: "the last, or the later size",
        pattern: NUMBER,
    },
];

const fn get(
    path: &'static str,
    about: &'static str,
    answers: &'static [&'static str],
    statuses: &'static [u16],
    handler: super::route::Handler,
) -> Route {
    Route {
        method: Verb::Get,
        path,
        listener: Listener::Public,
        role: None,
        about,
        query: &[],
        answers,
        statuses,
        slow: false,
        quiet: false,
        handler,
    }
}

const fn post(
    path: &'static str,
    about: &'static str,
    answers: &'static [&'static str],
    statuses: &'static [u16],
    handler: super::route::Handler,
) -> Route {
    Route {
        method: Verb::Post,
        slow: true,
        ..get(path, about, answers, statuses, handler)
    }
}

const fn slow(route: Route) -> Route {
    Route {
        slow: true,
        ..route
    }
}

const fn with(route: Route, query: &'static [Parameter]) -> Route {
    Route { query, ..route }
}

const fn role(route: Route, role: Role) -> Route {
    Route {
        role: Some(role),
        ..route
    }
}

const fn on(route: Route, listener: Listener) -> Route {
    Route { listener, ..route }
}

/// What workers ask again and again.
const fn quiet(route: Route) -> Route {
    Route {
        quiet: true,
        ..route
    }
}

const fn operator(route: Route) -> Route {
    on(role(route, Role::Operator), Listener::Operator)
}

/// The whole interface.
pub static ROUTES: &[Route] = &[
    slow(get(
        "/",
        "The page: is a block final, and what shows it",
        &["text/html; charset=utf-8"],
        &[200],
        page::page,
    )),
    get(
        "/page.css",
        "The page's style",
        &["text/css; charset=utf-8"],
        &[200],
        page::style,
    ),
    get(
        "/page.js",
        "The page's verification in the browser, a plain script",
        &["text/javascript; charset=utf-8"],
        &[200],
        page::script,
    ),
    get(
        "/verify.html",
        "A page to keep: it checks evidence packs from a file, offline",
        &["text/html; charset=utf-8"],
        &[200],
        page::verifier,
    ),
    get(
        "/openapi.json",
        "This interface as an OpenAPI 3.1 document",
        JSON,
        &[200],
        openapi::serve,
    ),
    get(
        "/v1/status",
        "How far the service is: last final and last covered height, and the backlog",
        JSON,
        &[200],
        finality::status,
    ),
    get(
        "/v1/finality/{block}",
        "Whether a block is final, pending or in conflict; by height, header digest or 'latest'",
        JSON,
        &[200, 404],
        finality::finality,
    ),
    get(
        "/v1/attestations/{block}",
        "The attestation of a proved block as JSON",
        JSON,
        &[200, 404, 409],
        finality::attestation,
    ),
    get(
        "/v1/attestations/{block}/binary",
        "The attestation of a proved block as a file",
        BYTES,
        &[200, 404, 409],
        finality::attestation_binary,
    ),
    with(
        get(
            "/v1/headers",
            "Headers of a range, at most 100 at a time, with the parent links that a proof covers",
            JSON,
            &[200, 404],
            finality::headers,
        ),
        RANGE,
    ),
    slow(with(
        get(
            "/v1/packs",
            "An evidence pack for a range of heights, at most 1000 up to the proof that covers it",
            &["application/x-tar"],
            &[200, 404, 409, 429],
            packs::pack,
        ),
        RANGE,
    )),
    get(
        "/v1/light-client/bootstrap",
        "Anchor and verifying keys; compare the anchor's digest with one from elsewhere",
        JSON,
        &[200],
        finality::bootstrap,
    ),
    with(
        get(
            "/v1/light-client/updates",
            "Attestations that a light client follows from a trusted height",
            JSON,
            &[200, 404],
            finality::updates,
        ),
        &[
            Parameter {
                name: "from",
                about: "the trusted height",
                pattern: NUMBER,
            },
            Parameter {
                name: "count",
                about: "how many, 1 to 100",
                pattern: NUMBER,
            },
        ],
    ),
    get(
        "/v1/keys/{digest}",
        "A light verifying key as a file",
        BYTES,
        &[200, 404],
        finality::key,
    ),
    post(
        "/v1/verify",
        "Judge an attestation, JSON or file; whoever does not trust this service verifies at home",
        JSON,
        &[200],
        finality::verify,
    ),
    role(
        post(
            "/v1/proofs",
            "Ask for the proof of one height",
            JSON,
            &[200, 202, 404, 429],
            jobs::request,
        ),
        Role::Auditor,
    ),
    role(
        get(
            "/v1/jobs/{id}",
            "Where a requested proof stands",
            JSON,
            &[200, 404],
            jobs::job,
        ),
        Role::Auditor,
    ),
    role(
        with(
            get(
                "/v1/settlements",
                "Where a client's request stands: block and place",
                JSON,
                &[200],
                settlements::settlements,
            ),
            &[
                Parameter {
                    name: "client",
                    about: "the client's key, 64 hex digits",
                    pattern: "^[0-9a-f]{64}$",
                },
                Parameter {
                    name: "sequence",
                    about: "the request's sequence",
                    pattern: NUMBER,
                },
                Parameter {
                    name: "from",
                    about: "the first height that is looked at",
                    pattern: NUMBER,
                },
                Parameter {
                    name: "place",
                    about: "the first place in that block",
                    pattern: NUMBER,
                },
            ],
        ),
        Role::Regulator,
    ),
    role(
        get(
            "/v1/settlements/{block}/{place}",
            "What became of one request: its outcome, both paths, and whether they are final",
            JSON,
            &[200, 404],
            settlements::settlement,
        ),
        Role::Regulator,
    ),
    role(
        get(
            "/v1/settlements/{block}/{place}/binary",
            "The paths of a request and its outcome as a file",
            BYTES,
            &[200, 404],
            settlements::settlement_binary,
        ),
        Role::Regulator,
    ),
    get(
        "/log/finality/checkpoint",
        "The finality log's newest checkpoint, a signed note",
        TEXT,
        &[200],
        logs::checkpoint,
    ),
    get(
        "/log/finality/cosigned",
        "The newest checkpoint that a cosigner signed",
        TEXT,
        &[200, 404],
        logs::cosigned,
    ),
    post(
        "/log/finality/cosigned",
        "A configured cosigner brings a checkpoint with its signature",
        NOTHING,
        &[204, 422],
        logs::add_cosigned,
    ),
    get(
        "/log/finality/tile/{path...}",
        "A tile of hashes, or a bundle of entries, as tlog-tiles names them",
        BYTES,
        &[200, 404],
        logs::tile,
    ),
    get(
        "/log/finality/proof/{index}",
        "A .tlog-proof that an entry is in the log",
        TEXT,
        &[200, 404],
        logs::proof,
    ),
    with(
        get(
            "/log/finality/consistency",
            "Hashes which show that a later tree extends an earlier one",
            TEXT,
            &[200],
            logs::consistency,
        ),
        RANGE,
    ),
    get(
        "/log/finality/keys",
        "Every key that ever signed the finality log, and the cosigners",
        JSON,
        &[200],
        logs::keys,
    ),
    role(
        get(
            "/log/access/checkpoint",
            "The access log's newest checkpoint",
            TEXT,
            &[200],
            logs::access_checkpoint,
        ),
        Role::Auditor,
    ),
    role(
        get(
            "/log/access/tile/{path...}",
            "A tile or bundle of the access log",
            BYTES,
            &[200, 404],
            logs::access_tile,
        ),
        Role::Auditor,
    ),
    role(
        get(
            "/log/access/proof/{index}",
            "A .tlog-proof that an entry is in the access log",
            TEXT,
            &[200, 404],
            logs::access_proof,
        ),
        Role::Auditor,
    ),
    operator(get(
        "/v1/operator/queue",
        "How many proofs wait, are made, were given up",
        JSON,
        &[200],
        jobs::queue,
    )),
    operator(get(
        "/v1/operator/jobs/{id}",
        "All of a job: attempts, worker, phase",
        JSON,
        &[200, 404],
        jobs::operator_job,
    )),
    operator(get(
        "/v1/operator/jobs/{id}/events",
        "A job's progress as server-sent events, until it ends",
        &["text/event-stream"],
        &[200, 404],
        jobs::events,
    )),
    quiet(operator(post(
        "/v1/worker/claim",
        "Take the next job, with its block and set, which name the signers",
        JSON,
        &[200, 204],
        jobs::claim,
    ))),
    quiet(operator(post(
        "/v1/worker/renew",
        "Go on with a job, and say in which phase it is",
        NOTHING,
        &[204, 409],
        jobs::renew,
    ))),
    operator(post(
        "/v1/worker/finish",
        "Hand a proof in; it is verified before it is kept",
        NOTHING,
        &[204, 409, 422],
        jobs::finish,
    )),
    operator(post(
        "/v1/worker/fail",
        "End an attempt without a proof",
        NOTHING,
        &[204, 409],
        jobs::fail,
    )),
    operator(post(
        "/v1/worker/release",
        "Give a job back untried",
        NOTHING,
        &[204, 409],
        jobs::release,
    )),
    on(
        get(
            "/healthz",
            "The process answers",
            TEXT,
            &[200],
            metrics::health,
        ),
        Listener::Metrics,
    ),
    on(
        get(
            "/readyz",
            "The service is not too far behind",
            TEXT,
            &[200, 503],
            metrics::ready,
        ),
        Listener::Metrics,
    ),
    on(
        get(
            "/metrics",
            "Gauges and counters in Prometheus' text form",
            &["text/plain; version=0.0.4; charset=utf-8"],
            &[200],
            metrics::metrics,
        ),
        Listener::Metrics,
    ),
];
