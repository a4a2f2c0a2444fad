//! The interface: every route, what it answers, to whom, and what it never tells.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ed25519_dalek::Signer;
use quorate_fixtures::frozen;
use quorate_node::attest::http::{
    BODY_MAX_BYTES, CONNECTIONS_MAX, Context, HEADER_TIME, Listener, PROBLEM_KINDS, ROUTES,
    openapi, router, serve,
};
use quorate_node::attest::service::{Service, Setup};
use quorate_node::attest::tokens::Role;
use quorate_verifier::attestation::Attestation;
use quorate_verifier::encoding::Canonical;
use quorate_verifier::file::FileType;
use quorate_verifier::light_client::{ClientState, Options, Update};
use quorate_verifier::primitives::Height;
use quorate_verifier::tlog::{FinalityEntry, LogProof, NoteAlgorithm, NoteKey, NoteSignature};
use quorate_verifier::trust::{Cosigners, LogKey};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use warp::filters::BoxedFilter;
use warp::http::{Response, StatusCode};

use super::chain::{CHAIN, block, ingest, open, proof, set};

type Router = BoxedFilter<(warp::reply::Response,)>;

pub(crate) struct Served {
    pub(crate) context: Arc<Context>,
    pub(crate) public: Router,
    operator: Router,
    metrics: Router,
    tokens: BTreeMap<&'static str, String>,
}

impl Served {
    pub(crate) fn new(data: &Path) -> Self {
        let context = Arc::new(Context::new(Arc::new(open(data)), 60_000));
        let on = |listener| router(&context, ROUTES, listener);
        let roles = [Role::Auditor, Role::Regulator, Role::Operator];
        let now = quorate_node::attest::service::now_ms();
        let token = |role: Role| {
            let made = context.tokens.create(role, "a test", now, 1_000_000);
            (role.word(), made.unwrap().1)
        };
        Self {
            public: on(Listener::Public),
            operator: on(Listener::Operator),
            metrics: on(Listener::Metrics),
            tokens: roles.map(token).into(),
            context,
        }
    }

    /// With blocks up to a height above 8, that height proved, and 8, the last of the first set.
    pub(crate) async fn covering(data: &Path, height: u64) -> Self {
        let served = Self::new(data);
        ingest(&served.context.service, 1, height);
        let proved = [served.work().await, served.work().await];
        assert_eq!(proved, [height, 8]);
        served
    }

    fn router(&self, listener: Listener) -> &Router {
        match listener {
            Listener::Public => &self.public,
            Listener::Operator => &self.operator,
            Listener::Metrics => &self.metrics,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Response<bytes::Bytes> {
        warp::test::request().path(path).reply(&self.public).await
    }

    async fn json(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status(), 200, "{path}: {:?}", reply.body());
        serde_json::from_slice(reply.body()).unwrap()
    }

    async fn ask(
        &self,
        role: &str,
        listener: Listener,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Response<bytes::Bytes> {
        let bearer = format!("Bearer {}", self.tokens[role]);
        let request = warp::test::request().method(method).path(path);
        let request = request.header("authorization", bearer);
        let request = if method == "POST" {
            request.body(body.to_string())
        } else {
            request
        };
        request.reply(self.router(listener)).await
    }

    /// Proves the next job over HTTP, as a worker does.
    async fn work(&self) -> u64 {
        let (operator, post) = (Listener::Operator, "POST");
        let claim = json!({"worker": "w"});
        let claimed = self
            .ask("operator", operator, post, "/v1/worker/claim", &claim)
            .await;
        assert_eq!(claimed.status(), 200);
        let lease: Value = serde_json::from_slice(claimed.body()).unwrap();
        let height: u64 = lease["height"].as_str().unwrap().parse().unwrap();
        let renew = json!({"lease": lease["lease"], "phase": "commitment"});
        let renewed = self
            .ask("operator", operator, post, "/v1/worker/renew", &renew)
            .await;
        assert_eq!(renewed.status(), 204);
        let file = hex::encode(proof(height).to_file());
        let finish = json!({"lease": lease["lease"], "attestation": file});
        let done = self
            .ask("operator", operator, post, "/v1/worker/finish", &finish)
            .await;
        assert_eq!(done.status(), 204, "{:?}", done.body());
        let again = self
            .ask("operator", operator, post, "/v1/worker/finish", &finish)
            .await;
        assert_eq!(problem(&again), "lease-lost");
        height
    }
}

pub(crate) fn problem(reply: &Response<bytes::Bytes>) -> String {
    let media = &reply.headers()["content-type"];
    assert_eq!(media, "application/problem+json", "{:?}", reply.body());
    let body: Value = serde_json::from_slice(reply.body()).unwrap();
    assert_eq!(body["status"], json!(reply.status().as_u16()));
    let kind = body["type"]
        .as_str()
        .unwrap()
        .strip_prefix("urn:quorate:problem:")
        .unwrap();
    assert!(PROBLEM_KINDS.iter().any(|(known, _)| *known == kind));
    kind.to_owned()
}

fn concrete(path: &str) -> String {
    path.replace("{block}", "1")
        .replace("{index}", "0")
        .replace("{digest}", &"00".repeat(32))
        .replace("{id}", &"00".repeat(32))
        .replace("{place}", "0")
        .replace("{path...}", "0/000.p/1")
        .replace("{path}", "0/000.p/1")
}

#[tokio::test]
async fn routes_and_openapi_say_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::new(dir.path());
    let document = openapi();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let mut documented = 0;
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            documented += 1;
            let listener = match operation["tags"][0].as_str().unwrap() {
                "public" => Listener::Public,
                "operator" => Listener::Operator,
                _ => Listener::Metrics,
            };
            let role = operation
                .get("x-role")
                .map_or("operator", |r| r.as_str().unwrap());
            let method = method.to_uppercase();
            let path = concrete(path);
            let reply = served.ask(role, listener, &method, &path, &json!({})).await;
            if reply.status().is_success() {
                continue;
            }
            let kind = problem(&reply);
            let unrouted = [
                "no-such-route",
                "method-not-allowed",
                "forbidden",
                "token-needed",
            ];
            assert!(
                !unrouted.contains(&kind.as_str()),
                "{method} {path}: {kind}"
            );
            // A route for a role is closed without a token, and to a lower role.
            if operation.get("x-role").is_some() {
                let request = warp::test::request().method(&method).path(&path);
                let reply = request.reply(served.router(listener)).await;
                assert_eq!(problem(&reply), "token-needed");
                assert!(reply.headers().contains_key("www-authenticate"));
            }
            if role == "operator" && operation.get("x-role").is_some() {
                let reply = served
                    .ask("regulator", listener, &method, &path, &json!({}))
                    .await;
                assert_eq!(problem(&reply), "forbidden");
            }
        }
    }
    assert_eq!(documented, ROUTES.len());
    for route in ROUTES {
        let path = route.path.replace("...}", "}");
        let method = route.method.as_str().to_lowercase();
        assert!(paths[&path][&method]["summary"].is_string(), "{path}");
        // No route is on another listener too.
        for other in [Listener::Public, Listener::Operator, Listener::Metrics] {
            if other != route.listener {
                let reply = served
                    .ask(
                        "operator",
                        other,
                        route.method.as_str(),
                        &concrete(route.path),
                        &json!({}),
                    )
                    .await;
                assert_eq!(problem(&reply), "no-such-route", "{}", route.path);
            }
        }
    }
    assert_eq!(problem(&served.get("/v1/nothing").await), "no-such-route");
}

#[tokio::test]
async fn is_block_h_final() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::new(dir.path());
    assert_eq!(
        problem(&served.get("/v1/finality/latest").await),
        "unknown-block"
    );
    ingest(&served.context.service, 1, 10);
    assert_eq!(served.json("/v1/finality/7").await["status"], "pending");
    assert_eq!(problem(&served.get("/v1/attestations/7").await), "pending");
    assert_eq!(served.work().await, 10);
    ingest(&served.context.service, 11, 12);
    let found = served.json("/v1/finality/7").await;
    assert_eq!(found["status"], "final");
    assert_eq!(found["provedBy"], "10");
    assert_eq!(found["logIndex"], "6");
    assert_eq!(found["developmentKey"], true);
    let digest = block(7).header.digest().to_string();
    assert_eq!(found["block"], digest.as_str());
    assert_eq!(served.json(&format!("/v1/finality/{digest}")).await, found);
    assert_eq!(served.json("/v1/finality/latest").await["height"], "10");
    assert_eq!(served.json("/v1/finality/11").await["status"], "pending");
    for (path, kind) in [
        ("/v1/finality/13", "unknown-block"),
        ("/v1/finality/0", "before-start"),
        ("/v1/finality/07", "bad-request"),
        ("/v1/finality/-1", "bad-request"),
        ("/v1/finality/7?x=1", "bad-request"),
        ("/v1/attestations/7", "covered-not-proved"),
        ("/v1/attestations/13", "unknown-block"),
    ] {
        assert_eq!(problem(&served.get(path).await), kind, "{path}");
    }
    let status = served.json("/v1/status").await;
    assert_eq!(
        (&status["behind"], &status["behindMs"]),
        (&json!("2"), &json!("2000"))
    );
    // What was answered can be checked by somebody who trusts nothing of it.
    let links = &found["links"];
    let reply = served.get("/v1/attestations/10/binary").await;
    assert_eq!(Attestation::from_file(reply.body()).unwrap(), proof(10));
    let text = served.get(links["attestation"].as_str().unwrap()).await;
    assert_eq!(Attestation::from_file(text.body()).unwrap(), proof(10));
    let log: NoteKey = served.context.service.log_keys()[0].vkey.parse().unwrap();
    let entry = FinalityEntry::of(&block(7).header, served.context.service.policy().rule);
    let path = served.get(links["logProof"].as_str().unwrap()).await;
    let path: LogProof = std::str::from_utf8(path.body()).unwrap().parse().unwrap();
    path.verify(&entry.to_bytes(), &log, &Cosigners::NONE)
        .unwrap();
    let headers = served.json(links["headers"].as_str().unwrap()).await;
    assert_eq!(headers["headers"].as_array().unwrap().len(), 4);
    // A fork is said, and nothing after it is called final.
    let mut other = block(9).header;
    other.payload_root = block(1).header.payload_root;
    let view = quorate_verifier::primitives::View::new(5);
    let other = CHAIN.at(Height::new(9)).finalize(other, view, &[0, 1]);
    served.context.service.ingest(&other, set(9)).unwrap_err();
    assert_eq!(served.json("/v1/finality/10").await["status"], "conflict");
    assert_eq!(served.json("/v1/finality/8").await["status"], "final");
    let page = served.get("/?block=9").await;
    assert!(
        std::str::from_utf8(page.body())
            .unwrap()
            .contains("CONFLICT")
    );
    let ready = warp::test::request()
        .path("/readyz")
        .reply(&served.metrics)
        .await;
    assert_eq!(ready.status(), 503);
}

#[tokio::test]
async fn answers_are_cached_as_long_as_they_are_true() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::new(dir.path());
    ingest(&served.context.service, 1, 10);
    served.work().await;
    let immutable = "public, max-age=31536000, immutable";
    for (path, cache) in [
        ("/v1/attestations/10", immutable),
        ("/v1/attestations/10/binary", immutable),
        ("/v1/attestations/latest", "no-cache"),
        ("/v1/finality/10", "no-cache"),
        ("/log/finality/checkpoint", "no-cache"),
        ("/log/finality/tile/0/000.p/10", immutable),
        ("/log/finality/tile/entries/000.p/10", immutable),
    ] {
        let reply = served.get(path).await;
        assert_eq!(reply.headers()["cache-control"], cache, "{path}");
        assert_eq!(reply.headers()["access-control-allow-origin"], "*");
        let tag = reply.headers()["etag"].clone();
        let again = warp::test::request()
            .path(path)
            .header("if-none-match", &tag);
        let again = again.reply(&served.public).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert!(again.body().is_empty());
        assert_eq!(again.headers()["etag"], tag);
        let head = warp::test::request().method("HEAD").path(path);
        let head = head.reply(&served.public).await;
        assert_eq!(head.status(), 200);
        assert_eq!(head.headers()["etag"], tag);
    }
    let reply = warp::test::request().method("PUT").path("/v1/proofs");
    let reply = reply.reply(&served.public).await;
    assert_eq!(problem(&reply), "method-not-allowed");
    assert_eq!(reply.headers()["allow"], "OPTIONS, POST");
    assert_eq!(reply.headers()["access-control-allow-origin"], "*");
    let reply = warp::test::request().method("OPTIONS").path("/v1/status");
    let reply = reply.reply(&served.public).await;
    assert_eq!(reply.status(), 204);
    assert_eq!(reply.headers()["allow"], "OPTIONS, GET, HEAD");
    for path in ["0/000.p/11", "0/001", "1/000.p/1", "9/000", "entries/000"] {
        let reply = served.get(&format!("/log/finality/tile/{path}")).await;
        assert_eq!(problem(&reply), "not-found", "{path}");
    }
}

#[tokio::test]
async fn a_light_client_follows_from_the_anchor() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::new(dir.path());
    let mut from = 1;
    for height in [5, 8, 12, 16, 25, 32, 41, 50] {
        ingest(&served.context.service, from, height);
        while served.work().await != height {}
        from = height + 1;
    }
    let bootstrap = served.json("/v1/light-client/bootstrap").await;
    let policy = frozen::policy();
    assert_eq!(
        bootstrap["anchorDigest"],
        policy.anchor.digest().to_string()
    );
    let key = bootstrap["verifyingKeys"][0]["digest"].as_str().unwrap();
    let file = served.get(&format!("/v1/keys/{key}")).await;
    let key = quorate_verifier::proof::VerifyingKey::from_file(file.body()).unwrap();
    let mut ring = quorate_verifier::attestation::KeyRing::new();
    ring.insert(key.prepare().unwrap());
    let options = Options {
        allow_skip: false,
        development_keys: true,
    };
    let mut state = ClientState::new(&policy).unwrap();
    let mut path = "/v1/light-client/updates?count=2".to_owned();
    let mut steps = Vec::new();
    loop {
        let page = served.json(&path).await;
        for update in page["updates"].as_array().unwrap() {
            let attestation = Attestation::from_file(update.to_string().as_bytes()).unwrap();
            steps.push(attestation.header.height.get());
            let update = Update::step(attestation);
            state = state
                .update(&update, &ring, options, frozen::now())
                .unwrap()
                .state;
        }
        match page["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(steps, [8, 16, 25, 32, 41, 50]);
    assert_eq!(state.header(), &block(50).header);
    for bad in ["count=0", "count=101", "from=x", "from=60", "from=1&from=2"] {
        let reply = served.get(&format!("/v1/light-client/updates?{bad}")).await;
        assert!(reply.status().is_client_error(), "{bad}");
        problem(&reply);
    }
}

#[tokio::test]
async fn long_answers_have_a_next_page() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::new(dir.path());
    ingest(&served.context.service, 1, 250);
    let mut path = "/v1/headers?from=1&to=250".to_owned();
    let mut heights = Vec::new();
    loop {
        let reply = served.get(&path).await;
        let page: Value = serde_json::from_slice(reply.body()).unwrap();
        for header in page["headers"].as_array().unwrap() {
            heights.push(header["height"].as_str().unwrap().parse::<u64>().unwrap());
        }
        let link = reply
            .headers()
            .get("link")
            .map(|link| link.to_str().unwrap().to_owned());
        match page["next"].as_str() {
            Some(next) => {
                assert_eq!(link, Some(format!("<{next}>; rel=\"next\"")));
                path = next.to_owned();
            }
            None => {
                assert_eq!(link, None);
                break;
            }
        }
    }
    assert_eq!(heights, (1..=250).collect::<Vec<_>>());
    for bad in ["from=1", "from=2&to=1", "from=1&to=99999999999999999999"] {
        let reply = served.get(&format!("/v1/headers?{bad}")).await;
        assert_eq!(problem(&reply), "bad-request", "{bad}");
    }
    assert_eq!(
        problem(&served.get("/v1/headers?from=240&to=260").await),
        "unknown-block"
    );
}

#[tokio::test]
async fn privileged_reads_are_entries_of_the_access_log() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::new(dir.path());
    ingest(&served.context.service, 1, 7);
    served.work().await;
    let log = served.context.service.access_log();
    let entry = |index: u64| -> Value {
        serde_json::from_slice(&log.entry(index).unwrap().unwrap()).unwrap()
    };
    // Tokens first, then what a worker was told and what it did; that it asked and went on, not.
    let acts: Vec<_> = (0..log.size())
        .map(|index| {
            let entry = entry(index);
            let what = if entry["act"].is_string() {
                "act"
            } else {
                "path"
            };
            entry[what].as_str().unwrap().to_owned()
        })
        .collect();
    let done = ["/v1/worker/claim", "/v1/worker/finish", "/v1/worker/finish"];
    assert_eq!(acts[..3], ["token-create"; 3]);
    assert_eq!(acts[3..], done);
    assert_eq!(entry(3)["height"], "7");
    // To the hour: how long a proof took is not the auditor's.
    let at = entry(3)["at"].as_str().unwrap().to_owned();
    assert!(at.contains(":00:00"), "{at}");
    let before = log.size();
    let idle = json!({"worker": "w"});
    let operator = Listener::Operator;
    let reply = served
        .ask("operator", operator, "POST", "/v1/worker/claim", &idle)
        .await;
    assert_eq!(reply.status(), 204);
    assert_eq!(log.size(), before, "nothing was told");
    let body = json!({"height": "5"});
    let reply = served
        .ask("auditor", Listener::Public, "POST", "/v1/proofs", &body)
        .await;
    assert_eq!(reply.status(), 202);
    let place = reply.headers()["location"].to_str().unwrap().to_owned();
    let reply = served
        .ask("regulator", Listener::Public, "GET", &place, &json!({}))
        .await;
    let job: Value = serde_json::from_slice(reply.body()).unwrap();
    assert_eq!(job["state"], "queued");
    assert_eq!(served.work().await, 5);
    let reply = served
        .ask("regulator", Listener::Public, "GET", &place, &json!({}))
        .await;
    let job: Value = serde_json::from_slice(reply.body()).unwrap();
    assert_eq!(job["state"], "done");
    assert_eq!(job["attestation"], "/v1/attestations/5");
    let reply = served
        .ask("auditor", Listener::Public, "POST", "/v1/proofs", &body)
        .await;
    assert_eq!(reply.status(), 200, "proved already");
    assert_eq!(
        log.size(),
        before + 7,
        "four by readers, three by the worker"
    );
    let entry = entry(before + 1);
    assert_eq!(entry["role"], "regulator");
    assert_eq!(entry["path"], place.as_str());
    let token = &served.tokens["regulator"];
    assert!(
        token.contains(entry["token"].as_str().unwrap()),
        "named by its public part"
    );
    assert!(
        !entry
            .to_string()
            .contains(token.rsplit('_').next().unwrap())
    );
    // The log itself is read under the same rule, and proves its entries.
    let path = &format!("/log/access/proof/{}", before + 1);
    let size = log.size();
    let reply = served
        .ask("auditor", Listener::Public, "GET", path, &json!({}))
        .await;
    let found: LogProof = std::str::from_utf8(reply.body()).unwrap().parse().unwrap();
    assert_eq!(found.checkpoint.head().size, size + 1);
    assert_eq!(reply.headers()["cache-control"], "no-store");
    for bad in [
        "",
        "x",
        "Bearer",
        "Bearer ",
        "Bearer qrt_00_00",
        "Basic eDp5",
    ] {
        let request = warp::test::request()
            .path(path)
            .header("authorization", bad);
        let reply = request.reply(&served.public).await;
        assert!(
            ["bad-token", "token-needed"].contains(&problem(&reply).as_str()),
            "{bad}"
        );
    }
    let nothing = json!({});
    let reply = served.ask(
        "auditor",
        Listener::Operator,
        "GET",
        "/v1/operator/queue",
        &nothing,
    );
    assert_eq!(problem(&reply.await), "forbidden");
    assert_eq!(log.size(), size + 1, "what was refused read nothing");
    // A token that was revoked by a command leaves a trace though nobody uses it; each act once.
    let revoked = entry["token"].as_str().unwrap();
    served.context.tokens.revoke(revoked, 1).unwrap();
    let (service, tokens) = (&served.context.service, &served.context.tokens);
    assert_eq!(service.record_token_acts(tokens).unwrap(), 1);
    assert_eq!(service.record_token_acts(tokens).unwrap(), 0);
    let last: Value = serde_json::from_slice(&log.entry(size + 1).unwrap().unwrap()).unwrap();
    assert_eq!(
        (&last["act"], &last["token"]),
        (&json!("token-revoke"), &json!(revoked))
    );
}

/// The service is killed between noting which acts it writes down, writing them, and forgetting
/// them.
#[test]
fn acts_on_tokens_are_written_down_once_whenever_the_power_goes() {
    use quorate_node::attest::tokens::Tokens;
    let dir = tempfile::tempdir().unwrap();
    let tokens = Tokens::at(dir.path());
    let file = dir.path().join("tokens.json");
    for name in ["a", "b"] {
        tokens.create(Role::Auditor, name, 1, 1000).unwrap();
    }
    let before = std::fs::read(&file).unwrap();
    let service = open(dir.path());
    assert_eq!(service.record_token_acts(&tokens).unwrap(), 2);
    drop(service);
    // Killed before the acts were forgotten: they are in the log already.
    std::fs::write(&file, &before).unwrap();
    let tokens = Tokens::at(dir.path());
    let service = open(dir.path());
    assert_eq!(service.record_token_acts(&tokens).unwrap(), 0);
    assert_eq!(service.access_log().size(), 2);
    // Killed after the mark, before the log: the acts are still to be written.
    tokens.create(Role::Auditor, "c", 1, 1000).unwrap();
    let mark = json!({"logged": 2, "batch": 3, "size": 3}).to_string();
    service
        .store()
        .set_value("access/token-acts", mark.as_bytes())
        .unwrap();
    drop(service);
    let service = open(dir.path());
    assert_eq!(service.record_token_acts(&tokens).unwrap(), 1);
    assert_eq!(service.access_log().size(), 3);
    assert_eq!(service.record_token_acts(&tokens).unwrap(), 0);
}

/// Every answer to the public, auditors and regulators is searched for what only operators know.
#[tokio::test]
async fn nothing_of_signers_leaves_the_operators_role() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::new(dir.path());
    ingest(&served.context.service, 1, 12);
    served.work().await;
    ingest(&served.context.service, 13, 14);
    let mut secrets: Vec<(String, String)> = Vec::new();
    for height in 1..=14 {
        for vote in block(height).certificate.votes() {
            let signature = hex::encode(vote.signature.as_bytes());
            secrets.push((format!("a signature at {height}"), signature));
        }
    }
    for network in &CHAIN.networks {
        for key in &network.keys {
            let key = hex::encode(key.verifying_key().as_bytes());
            secrets.push(("a validator's key".into(), key));
        }
        let set = hex::encode(network.set.to_file());
        secrets.push(("a salt".into(), set[set.len() - 64..].to_owned()));
    }
    for word in [
        "\"votes\"",
        "\"signers\"",
        "\"worker\"",
        "\"attempts\"",
        "\"phase",
        "\"created",
        "\"until\"",
        "\"power\"",
        "\"total",
    ] {
        secrets.push((format!("the word {word}"), word.to_owned()));
    }
    let job = match served.context.service.request(Height::new(3)).unwrap() {
        quorate_node::attest::store::Submitted::Job(job) => job.id.to_string(),
        other => panic!("{other:?}"),
    };
    // With an attempt under way and its phase known to the service.
    let claim = json!({"worker": "w"});
    let lease = served
        .ask(
            "operator",
            Listener::Operator,
            "POST",
            "/v1/worker/claim",
            &claim,
        )
        .await;
    let text = std::str::from_utf8(lease.body()).unwrap().to_owned();
    let told = |text: &str| {
        secrets
            .iter()
            .filter(|(_, secret)| text.contains(secret.as_str()))
            .count()
    };
    assert!(told(&text) > 4, "the search finds what a worker is told");
    let mut searched = 0;
    for route in ROUTES
        .iter()
        .filter(|route| route.listener != Listener::Operator)
    {
        for name in ["1", "12", "13", "99", "latest"] {
            let path = concrete(route.path)
                .replace(&"00".repeat(32), &job)
                .replace("/finality/1", &format!("/finality/{name}"))
                .replace("/attestations/1", &format!("/attestations/{name}"))
                .replace("0/000.p/1", "entries/000.p/12");
            let path = match route.path {
                "/v1/headers" | "/v1/packs" => format!("{path}?from=1&to=12"),
                "/" => format!("/?block={name}"),
                _ => path,
            };
            let body = match route.path {
                "/v1/verify" => serde_json::from_str(&proof(12).to_json()).unwrap(),
                _ => json!({"height": "4"}),
            };
            let method = route.method.as_str();
            let reply = served
                .ask("regulator", route.listener, method, &path, &body)
                .await;
            let text = String::from_utf8_lossy(reply.body()).into_owned();
            let hexed = hex::encode(reply.body());
            for (what, secret) in &secrets {
                if route.path == "/openapi.json" && what.starts_with("the word") {
                    continue; // which names the operators' routes
                }
                assert!(!text.contains(secret), "{path} tells {what}: {text}");
                assert!(!hexed.contains(secret), "{path} tells {what}");
            }
            searched += 1;
        }
    }
    assert!(searched > 100);
}

#[tokio::test]
async fn a_posted_attestation_is_judged() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::new(dir.path());
    ingest(&served.context.service, 1, 26);
    let judge = async |bytes: Vec<u8>| {
        let request = warp::test::request()
            .method("POST")
            .path("/v1/verify")
            .body(bytes);
        let reply = request.reply(&served.public).await;
        serde_json::from_slice::<Value>(reply.body()).unwrap()
    };
    let verdict = judge(proof(20).to_file()).await;
    assert_eq!(
        (&verdict["verdict"], &verdict["isThisChainsBlock"]),
        (&json!("final"), &json!(true))
    );
    let verdict = judge(proof(20).to_json().into_bytes()).await;
    assert_eq!(verdict["verdict"], "final");
    let mut lie = proof(20);
    lie.header.payload_root = lie.header.parent;
    assert_eq!(judge(lie.to_file()).await["verdict"], "invalid");
    // Proved, and not this chain's block: said as it is.
    let forked: Attestation = frozen::read(&frozen::hostile(frozen::FORKED));
    let verdict = judge(forked.to_file()).await;
    assert_eq!(verdict["isThisChainsBlock"], false);
    let strangers: Attestation = frozen::read(&frozen::hostile(frozen::WRONG_SET));
    assert_eq!(judge(strangers.to_file()).await["verdict"], "policy-failed");
    for junk in [
        vec![],
        vec![0; 100],
        b"{}".to_vec(),
        b"QUORATE\x0c\x01".to_vec(),
    ] {
        assert_eq!(judge(junk).await["status"], 400);
    }
    let exact = judge(vec![b' '; BODY_MAX_BYTES]).await;
    assert_eq!(exact["status"], 400);
    let over = judge(vec![b' '; BODY_MAX_BYTES + 1]).await;
    assert_eq!(over["type"], "urn:quorate:problem:body-too-large");
}

#[tokio::test]
async fn operators_see_progress_as_it_happens() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::new(dir.path());
    ingest(&served.context.service, 1, 3);
    let lease = served.context.service.claim("w", 60_000).unwrap().unwrap();
    served
        .context
        .service
        .renew(&lease.token, 60_000, Some("witness"))
        .unwrap();
    let path = format!("/v1/operator/jobs/{}/events", lease.job.id);
    let work = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let service = &served.context.service;
        service.renew(&lease.token, 60_000, Some("proof")).unwrap();
        tokio::time::sleep(Duration::from_millis(600)).await;
        service.accept(&lease.token, &proof(3)).unwrap();
    };
    let nothing = json!({});
    let watch = served.ask("operator", Listener::Operator, "GET", &path, &nothing);
    let (reply, ()) = tokio::join!(watch, work);
    assert_eq!(reply.headers()["content-type"], "text/event-stream");
    let text = std::str::from_utf8(reply.body()).unwrap();
    let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
    assert!(place("witness") < place("\"phase\":\"proof\""));
    assert!(place("\"phase\":\"proof\"") < place("\"done\""));
}

#[tokio::test]
async fn the_page_answers_in_a_sentence_without_script() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::new(dir.path());
    ingest(&served.context.service, 1, 10);
    served.work().await;
    ingest(&served.context.service, 11, 11);
    for (query, sentence) in [
        ("/", "is final: a proof of its own shows it"),
        ("/?block=10", "Block 10 of"),
        (
            "/?block=4",
            "is final: the proof of block 10, its descendant, shows it",
        ),
        ("/?block=11", "Block 11 is pending"),
        ("/?block=12", "Unknown: block 12 has not been seen"),
        ("/?block=0", "Unknown: this service starts at block 1"),
        ("/?block=zzz", "Unknown: a block is named by its height"),
    ] {
        let reply = served.get(query).await;
        assert_eq!(reply.status(), 200, "{query}");
        let text = std::str::from_utf8(reply.body()).unwrap();
        assert!(text.contains(sentence), "{query}: {text}");
        let main = text.split("<main>").nth(1).unwrap().trim_start();
        assert!(
            main.starts_with("<p id=\"development\">Development key"),
            "the first line"
        );
        let scripts = text.replace("<script src=\"/page.js\" defer></script>", "");
        assert!(
            !scripts.contains("<script") && !text.contains("http:") && !text.contains("https:")
        );
        // What was proved, what waits, and how the log stands, are there for whoever has no script.
        for words in [
            "Blocks 1 to 11: 1 of 11 have a proof of their own, 9 are shown final by a later \
             block&#39;s proof. One waits for its proof.",
            "<p id=\"backlog\">Behind: 1 blocks, 1 seconds",
            "<dd id=\"log-size\">10",
            "<dd id=\"consistent\" class=\"final\">Yes, held against its own tiles",
            "<dd id=\"cosigners\">None",
        ] {
            let plain = text.replace("block's", "block&#39;s");
            assert!(plain.contains(words), "{words}: {text}");
        }
        let policy = reply.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
    }
    let reply = served.get("/?block=%3Cscript%3E").await;
    assert_eq!(problem(&reply), "bad-request");
    // A log whose files were bent under it is not called consistent.
    let memory = dir.path().join("memory/finality");
    let text = std::fs::read_to_string(&memory).unwrap();
    let root = text.lines().nth(2).unwrap();
    std::fs::write(&memory, text.replace(root, &format!("{}=", "A".repeat(43)))).unwrap();
    let reply = served.get("/").await;
    let text = std::str::from_utf8(reply.body()).unwrap();
    assert!(
        text.contains("class=\"conflict\">NO: it contradicts what this service remembers"),
        "{text}"
    );
}

#[tokio::test]
async fn the_page_tells_who_cosigned() {
    let dir = tempfile::tempdir().unwrap();
    let key = |seed| ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
    let named = |name: &str, seed| {
        let key = LogKey(key(seed).verifying_key().to_bytes());
        NoteKey::new(name, NoteAlgorithm::Cosigner, key).unwrap()
    };
    let setup = Setup {
        cosigners: vec![named("c.example", 51), named("d.example", 52)],
        ..super::chain::setup(dir.path())
    };
    let service = Arc::new(Service::open(setup).unwrap());
    ingest(&service, 1, 3);
    let lease = service.claim("w", 60_000).unwrap().unwrap();
    service.accept(&lease.token, &proof(3)).unwrap();
    let checkpoint = service.finality_log().checkpoint();
    let time = 1_767_225_700_u64;
    let signature = key(51).sign(&checkpoint.head().cosigned(time));
    let line = NoteSignature {
        name: "c.example".into(),
        id: named("c.example", 51).id(),
        bytes: [time.to_be_bytes().as_slice(), &signature.to_bytes()].concat(),
    };
    service
        .add_cosigned(&(*checkpoint).clone().with_signature(line))
        .unwrap();
    let context = Arc::new(Context::new(service, 60_000));
    let public = router(&context, ROUTES, Listener::Public);
    let reply = warp::test::request().path("/").reply(&public).await;
    let text = std::str::from_utf8(reply.body()).unwrap();
    for words in [
        "<li><code>c.example</code> signed 3 entries at 2026-01-01T00:01:40Z, by its own clock",
        "<li><code>d.example</code> has not signed the newest cosigned checkpoint",
        "the last cosigned checkpoint (3 entries), when this page was made.",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

/// The accept loop, over real sockets.
#[tokio::test]
async fn connections_are_bounded_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::new(dir.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, served.public.clone(), async {
        let _ = stopped.await;
    }));
    // Half a header is cut off.
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        .await
        .unwrap();
    let mut idle = Vec::new();
    for _ in 0..many_connections() {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let started = Instant::now();
    let answer = ask(
        address,
        b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(started.elapsed() < HEADER_TIME, "others do not wait");
    let head = ask(
        address,
        b"HEAD /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(
        head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    assert!(head.contains("content-length: ") && !head.contains("content-length: 0"));
    let chunked = b"POST /v1/verify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\
        Connection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let answer = ask(address, chunked).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    // A body that is too long: announced, and sent without a word of its length.
    let announced = b"POST /v1/verify HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\
        Connection: close\r\n\r\n";
    let mut endless = b"POST /v1/verify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\
        Connection: close\r\n\r\n"
        .to_vec();
    for _ in 0..BODY_MAX_BYTES / 1000 + 1 {
        endless.extend_from_slice(b"3e8\r\n");
        endless.extend_from_slice(&[b' '; 1000]);
        endless.extend_from_slice(b"\r\n");
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(announced).await.unwrap();
    for _ in 0..=BODY_MAX_BYTES / 1000 {
        // The answer may come, and the connection end, before all is sent.
        if stream.write_all(&[b' '; 1000]).await.is_err() {
            break;
        }
    }
    for mut stream in [stream, {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(&endless).await;
        stream
    }] {
        let mut start = [0; 12];
        let read = tokio::time::timeout(2 * HEADER_TIME, stream.read_exact(&mut start)).await;
        if matches!(read, Ok(Ok(_))) {
            assert_eq!(&start, b"HTTP/1.1 413");
        } else {
            assert!(read.is_ok(), "neither an answer nor an end");
        }
    }
    // Tokens that are none, many of them: refused each time, and nothing is written down of them.
    for number in 0..300 {
        let bad = format!("qrt_{number:016x}_{}", "0".repeat(64));
        let request = format!(
            "GET /log/access/checkpoint HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bad}\r\n\
             Connection: close\r\n\r\n"
        );
        let answer = ask(address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
    assert_eq!(served.context.service.access_log().size(), 0);
    let mut rest = Vec::new();
    let cut = tokio::time::timeout(2 * HEADER_TIME, slow.read_to_end(&mut rest)).await;
    cut.expect("the connection ends").ok();
    assert!(!String::from_utf8_lossy(&rest).starts_with("HTTP/1.1 200"));
    for mut one in idle {
        let mut nothing = [0; 1];
        let read = tokio::time::timeout(2 * HEADER_TIME, one.read(&mut nothing)).await;
        assert!(read.is_ok(), "idle connections end");
    }
    // More than there are places for: the last ones wait until idle ones have ended.
    let mut crowd = Vec::new();
    if many_connections() == IDLE {
        for _ in 0..CONNECTIONS_MAX + 50 {
            crowd.push(TcpStream::connect(address).await.unwrap());
        }
    }
    let request = b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = tokio::time::timeout(4 * HEADER_TIME, ask(address, request)).await;
    assert!(answer.expect("its turn comes").starts_with("HTTP/1.1 200"));
    drop(crowd);
    stop.send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(8), server).await;
    ended.expect("shutting down has a deadline").unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

const IDLE: usize = 1000;

/// A thousand, if this process may have the files: both ends of each connection are its own.
fn many_connections() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let needed = 2 * (CONNECTIONS_MAX as u64 + 50) + 200;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return IDLE;
    }
    let current = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = Rlimit {
        current: Some(current),
        ..limit
    };
    if current == needed && setrlimit(Resource::Nofile, raised).is_ok() {
        return IDLE;
    }
    let few = usize::try_from(limit.current.unwrap_or(needed)).unwrap() / 4;
    eprintln!(
        "a thousand connections take {needed} open files, {limit:?} are allowed: {few} tried"
    );
    few.min(IDLE)
}

async fn ask(address: std::net::SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}
