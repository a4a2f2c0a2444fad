//! One trade out of a block, shown to an authority: its outcome, its paths, and nobody else's.

use std::path::Path;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use quorate_fixtures::Network;
use quorate_node::app::{Body, Executed, Outcome};
use quorate_node::attest::http::{Context, Listener, ROUTES, router};
use quorate_node::attest::service::{IngestError, Service, Setup, now_ms};
use quorate_node::attest::tokens::Role;
use quorate_node::shell::stream::Contents;
use quorate_pbft::request::Request;
use quorate_verifier::certificate::SignedHeader;
use quorate_verifier::encoding::Canonical;
use quorate_verifier::file::FileType;
use quorate_verifier::header::Header;
use quorate_verifier::inclusion::{InclusionError, SettlementProof};
use quorate_verifier::merkle;
use quorate_verifier::primitives::{Height, TimeMs, View};
use quorate_verifier::proof::VerifyingKey;
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::trust::{Cosigners, Policy, TrustAnchor};
use serde_json::Value;
use warp::filters::BoxedFilter;

use super::toy;
use crate::ledger::bench::{Asked, Bench, client, trade, transfer};

const SIGNERS: [u16; 3] = [0, 1, 2];

/// A network whose blocks carry what a ledger has executed.
pub(crate) struct Chain {
    pub(crate) network: Network,
    pub(crate) key: VerifyingKey,
    pub(crate) headers: Vec<Header>,
}

impl Chain {
    pub(crate) fn new() -> Self {
        let key = toy::key(1, 3);
        let mut network = Network::new(77, &[1, 1, 1, 1], 3);
        network.genesis.parameters.keys = vec![toy::accepted(&key)];
        let headers = vec![network.genesis_header()];
        Self {
            network,
            key,
            headers,
        }
    }

    /// A block on top, changed before it is signed.
    pub(crate) fn grow(&mut self, change: impl FnOnce(&mut Header)) -> SignedHeader {
        let mut header = self.network.child(self.headers.last().unwrap());
        change(&mut header);
        self.headers.push(header.clone());
        self.network.finalize(header, View::FIRST, &SIGNERS)
    }

    pub(crate) fn setup(&self, data: &Path, keys: &[VerifyingKey]) -> Setup {
        let accepted: Vec<_> = keys.iter().map(toy::accepted).collect();
        let mut sorted = accepted;
        sorted.sort_by_key(|key| *key.digest.as_bytes());
        Setup {
            data: data.into(),
            policy: Policy {
                anchor: TrustAnchor {
                    header: self.headers[0].clone(),
                    keys: vec![toy::accepted(&self.key)],
                    trusting_period_ms: 30 * 24 * 3600 * 1000,
                    clock_drift_ms: 10_000,
                    made_at: TimeMs::new(1_700_000_000_000).unwrap(),
                },
                rule: QuorumRule::COMMIT,
                keys: sorted,
                log_key: None,
                cosigners: Cosigners::NONE,
                development_keys: true,
            },
            keys: keys.to_vec(),
            finality_key: SigningKey::from_bytes(&[11; 32]),
            access_key: SigningKey::from_bytes(&[12; 32]),
            cosigners: Vec::new(),
            cosigned: Vec::new(),
            parameters: Vec::new(),
            retention: Default::default(),
        }
    }
}

/// Proves what the service wants proved next, and answers height and key.
pub(crate) fn work(service: &Service, keys: &[VerifyingKey]) -> Option<(u64, VerifyingKey)> {
    let lease = service.claim("w", 60_000).unwrap()?;
    let key = keys
        .iter()
        .find(|key| key.digest() == lease.job.key)
        .unwrap();
    service
        .accept(&lease.token, &toy::prove(&lease.block, key))
        .unwrap();
    Some((lease.job.height, key.clone()))
}

/// Three requests in block 1, the second a trade that settles, the third one that does not; block 2
/// names their outcomes.
fn traded() -> (Chain, [(SignedHeader, Contents); 2]) {
    let mut bench = Bench::new();
    let asked = |carrier, operation, consents| Asked {
        carrier,
        operation,
        consents,
    };
    let requests = vec![
        bench.request(&asked("bank", transfer("EUR", "bank", "bob", 1), &[]), 1),
        bench.request(
            &asked("alice", trade("ACME", 5, "alice", "bob", 50), &["bob"]),
            1,
        ),
        bench.request(
            &asked("alice", trade("ACME", 99_999, "alice", "bob", 1), &["bob"]),
            2,
        ),
    ];
    let (_, payload, applied) = bench.block(requests);
    let (_, empty, _) = bench.block(vec![]);
    let mut chain = Chain::new();
    let first = chain.grow(|header| header.payload_root = payload.root());
    let second = chain.grow(|header| {
        header.payload_root = empty.root();
        header.outcomes_root = merkle::root_of(&applied.outcomes);
    });
    let outcomes = applied.outcomes;
    let blocks = [
        (first, Contents { payload, outcomes }),
        (
            second,
            Contents {
                payload: empty,
                outcomes: Vec::new(),
            },
        ),
    ];
    (chain, blocks)
}

struct Served {
    context: Arc<Context>,
    public: BoxedFilter<(warp::reply::Response,)>,
}

impl Served {
    fn new(service: Service) -> Self {
        let context = Arc::new(Context::new(Arc::new(service), 60_000));
        Self {
            public: router(&context, ROUTES, Listener::Public),
            context,
        }
    }

    async fn ask(&self, role: Option<Role>, path: &str) -> (u16, bytes::Bytes) {
        let mut request = warp::test::request().path(path);
        if let Some(role) = role {
            let made = self
                .context
                .tokens
                .create(role, "a test", now_ms(), 1_000_000);
            request = request.header("authorization", format!("Bearer {}", made.unwrap().1));
        }
        let reply = request.reply(&self.public).await;
        (reply.status().as_u16(), reply.body().clone())
    }

    async fn json(&self, path: &str) -> Value {
        let (status, body) = self.ask(Some(Role::Regulator), path).await;
        let text = String::from_utf8_lossy(&body);
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}

#[tokio::test]
async fn a_settled_trade_is_shown_with_both_paths() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, [first, second]) = traded();
    let keys = [chain.key.clone()];
    let service = Service::open(chain.setup(dir.path(), &keys)).unwrap();
    let set = &chain.network.set;
    service.ingest_with(&first.0, set, Some(&first.1)).unwrap();
    let served = Served::new(service);
    let service = &served.context.service;
    // The outcome is named by the next header: not yet.
    let (status, body) = served
        .ask(Some(Role::Regulator), "/v1/settlements/1/1")
        .await;
    assert_eq!(status, 404);
    assert!(String::from_utf8_lossy(&body).contains("problem:pending"));
    service
        .ingest_with(&second.0, set, Some(&second.1))
        .unwrap();
    let pending = served.json("/v1/settlements/1/1").await;
    assert_eq!(pending["status"], "pending");
    assert_eq!(work(service, &keys).unwrap().0, 2);
    let shown = served.json("/v1/settlements/1/1").await;
    assert_eq!(
        (&shown["status"], &shown["settled"]),
        (&"final".into(), &true.into())
    );
    assert_eq!(shown["finalBy"]["provedBy"], "2");
    assert_eq!(shown["client"], hex::encode(client("alice").0));
    let words = shown["operation"].to_string();
    assert!(words.contains("ACME") && words.contains("bob"), "{words}");
    let digest = chain.headers[1].digest();
    assert_eq!(
        served.json(&format!("/v1/settlements/{digest}/1")).await,
        shown
    );

    // Whoever trusts nothing of it: the proof's header is final, and the paths lead to it.
    let (_, file) = served
        .ask(Some(Role::Regulator), "/v1/settlements/1/1/binary")
        .await;
    let proof = SettlementProof::from_file(&file).unwrap();
    let attestation = service
        .store()
        .attestation(Height::new(2))
        .unwrap()
        .unwrap();
    service.verify_of_chain(&attestation).unwrap();
    let (request, outcome) = proof.check(&attestation.header.digest()).unwrap();
    let request = Request::from_bytes(request).unwrap();
    assert_eq!(request, *first.1.payload.requests[1]);
    Body::from_bytes(&request.body).unwrap();
    let outcome = Outcome::from_bytes(outcome).unwrap();
    assert!(matches!(outcome.result, Executed::Done(_)));
    // Nothing of its neighbours is in it.
    for other in [0, 2] {
        let leaf = first.1.payload.leaf(other).unwrap();
        let body = &first.1.payload.requests[other].body;
        for hidden in [&leaf[..16], body, &first.1.outcomes[other][..16]] {
            assert!(!file.windows(hidden.len()).any(|part| part == hidden));
        }
    }
    // A proof of another outcome or of another block is refused.
    let mut lie = proof.clone();
    lie.outcome.leaf[20] ^= 1;
    let refused = lie.check(&attestation.header.digest());
    assert_eq!(refused.unwrap_err(), InclusionError::Outcome);
    assert!(proof.check(&digest).is_err());

    // One that was refused says so, and is as final.
    let shown = served.json("/v1/settlements/1/2").await;
    assert_eq!(
        (&shown["status"], &shown["settled"]),
        (&"final".into(), &false.into())
    );
    assert!(shown["outcome"].to_string().contains("short"), "{shown}");
    // By client and sequence.
    let alice = hex::encode(client("alice").0);
    let found = served
        .json(&format!("/v1/settlements?client={alice}&sequence=2"))
        .await;
    assert_eq!(found["requests"][0]["settlement"], "/v1/settlements/1/2");
    assert_eq!(found["requests"].as_array().unwrap().len(), 1);
    let none = served
        .json(&format!("/v1/settlements?client={alice}&sequence=3"))
        .await;
    assert_eq!(none["requests"], serde_json::json!([]));
    for (path, status) in [
        ("/v1/settlements/1/3", 404),
        ("/v1/settlements/9/0", 404),
        ("/v1/settlements/latest/0", 400),
        ("/v1/settlements/1/x", 400),
        ("/v1/settlements?client=00&sequence=1", 400),
        ("/v1/settlements", 400),
    ] {
        let found = served.ask(Some(Role::Regulator), path).await;
        assert_eq!(found.0, status, "{path}");
    }
}

#[tokio::test]
async fn who_traded_what_is_for_regulators_and_each_look_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, [first, second]) = traded();
    let service = Service::open(chain.setup(dir.path(), std::slice::from_ref(&chain.key))).unwrap();
    for (block, contents) in [&first, &second] {
        let set = &chain.network.set;
        service.ingest_with(block, set, Some(contents)).unwrap();
    }
    let served = Served::new(service);
    let alice = hex::encode(client("alice").0);
    let by_client = format!("/v1/settlements?client={alice}&sequence=1");
    for path in [
        "/v1/settlements/1/1",
        "/v1/settlements/1/1/binary",
        &by_client,
    ] {
        assert_eq!(served.ask(None, path).await.0, 401, "{path}");
        assert_eq!(served.ask(Some(Role::Auditor), path).await.0, 403, "{path}");
    }
    let log = served.context.service.access_log();
    assert_eq!(log.size(), 0, "what was refused read nothing");
    let last = || {
        let bytes = log.entry(log.size() - 1).unwrap().unwrap();
        serde_json::from_slice::<Value>(&bytes).unwrap()
    };
    served.json("/v1/settlements/1/1").await;
    assert_eq!(last()["path"], "/v1/settlements/1/1");
    served.json(&by_client).await;
    assert_eq!(last()["query"]["client"], alice.as_str());
    assert_eq!(last()["role"], "regulator");
}

#[test]
fn a_node_that_lies_about_requests_or_outcomes_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, [first, second]) = traded();
    let service = Service::open(chain.setup(dir.path(), std::slice::from_ref(&chain.key))).unwrap();
    let set = &chain.network.set;
    let mut lie = first.1.clone();
    lie.payload.requests.swap(0, 1);
    let refused = service.ingest_with(&first.0, set, Some(&lie)).unwrap_err();
    assert!(
        matches!(refused, IngestError::DoesNotFollow { height: 1, .. }),
        "{refused}"
    );
    assert_eq!(
        service.store().tip().unwrap(),
        None,
        "nothing of it is kept"
    );
    assert_eq!(service.store().contents(Height::new(1)).unwrap(), None);
    // Outcomes are named by the next header only: kept, and shown to nobody.
    let mut lie = first.1.clone();
    lie.outcomes.swap(1, 2);
    service.ingest_with(&first.0, set, Some(&lie)).unwrap();
    service.ingest_with(&second.0, set, None).unwrap();
    let refused = service.settlement(Height::new(1), 1).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("not those that the chain names"),
        "{refused}"
    );
    // A source that sends none leaves nothing to show.
    let refused = service.settlement(Height::new(2), 0).unwrap_err();
    assert!(refused.to_string().contains("not kept"), "{refused}");
}

#[tokio::test]
async fn a_request_that_came_often_is_listed_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, [first, _]) = traded();
    let keys = std::slice::from_ref(&chain.key);
    let service = Service::open(chain.setup(dir.path(), keys)).unwrap();
    let mut contents = first.1.clone();
    contents.payload.requests = vec![Arc::clone(&first.1.payload.requests[1]); 3];
    contents.outcomes = vec![vec![0; 30]; 3];
    for height in 1..=70 {
        let height = Height::new(height);
        service.store().keep_contents(height, &contents).unwrap();
    }
    let served = Served::new(service);
    let alice = hex::encode(client("alice").0);
    let mut next = Some(format!("/v1/settlements?client={alice}&sequence=1"));
    let (mut found, mut pages) = (Vec::new(), 0);
    while let Some(path) = next {
        let page = served.json(&path).await;
        for request in page["requests"].as_array().unwrap() {
            let number = |name: &str| request[name].as_str().unwrap().parse::<u64>().unwrap();
            found.push((number("height"), number("place")));
        }
        next = page["next"].as_str().map(str::to_owned);
        pages += 1;
    }
    let all = (1..=70).flat_map(|height| (0..3).map(move |place| (height, place)));
    assert_eq!(found, all.collect::<Vec<_>>());
    assert_eq!(pages, 3);
}
