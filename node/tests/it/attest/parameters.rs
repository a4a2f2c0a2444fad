//! A chain that changes its verifying keys, and light clients that follow it over the change.

use std::sync::Arc;

use quorate_node::app::{Body, Operation};
use quorate_node::attest::http::{Context, Listener, ROUTES, router};
use quorate_node::attest::service::Service;
use quorate_node::shell::stream::Contents;
use quorate_pbft::request::{ClientKey, Payload, Request};
use quorate_verifier::attestation::{Attestation, KeyRing};
use quorate_verifier::encoding::Canonical;
use quorate_verifier::file::FileType;
use quorate_verifier::genesis::Parameters;
use quorate_verifier::light_client::{ClientError, ClientState, Options, Update};
use quorate_verifier::primitives::TimeMs;
use quorate_verifier::proof::VerifyingKey;
use quorate_verifier::signature::Signature;
use quorate_verifier::trust::Policy;
use serde_json::Value;

use super::settlement::{Chain, work};
use super::toy;

/// The height whose header names the new keys; the block below carries the change.
const CHANGE: u64 = 5;
const TIP: u64 = 8;

/// The chain's new parameters, and a payload that carries them.
fn change(chain: &Chain, new: &VerifyingKey) -> (Parameters, Payload) {
    let parameters = Parameters {
        keys: vec![toy::accepted(new)],
        ..chain.network.genesis.parameters.clone()
    };
    let body = Body {
        operation: Operation::Change {
            validators: None,
            parameters: Some(parameters.clone()),
            approvals: Vec::new(),
        },
        consents: Vec::new(),
    };
    let request = Request {
        client: ClientKey([7; 32]),
        sequence: 1,
        body: body.to_bytes(),
        signature: Signature::from_bytes([9; 64]),
    };
    let payload = Payload {
        salt: [3; 32],
        requests: vec![Arc::new(request)],
    };
    (parameters, payload)
}

/// Takes the chain in; `opened`: with the requests of its blocks.
fn ingest(service: &Service, chain: &mut Chain, new: &VerifyingKey, opened: bool) {
    let (parameters, payload) = change(chain, new);
    for height in 1..=TIP {
        let block = chain.grow(|header| {
            if height == CHANGE - 1 {
                header.payload_root = payload.root();
            }
            if height >= CHANGE {
                header.parameters = parameters.digest();
            }
        });
        let contents = Contents {
            payload: payload.clone(),
            outcomes: vec![vec![0; 30]],
        };
        let contents = (opened && height == CHANGE - 1).then_some(contents);
        let set = &chain.network.set;
        service.ingest_with(&block, set, contents.as_ref()).unwrap();
    }
}

async fn updates(service: Arc<Service>, path: &str) -> Vec<Update> {
    let context = Arc::new(Context::new(service, 60_000));
    let public = router(&context, ROUTES, Listener::Public);
    let mut found = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let reply = warp::test::request().path(&path).reply(&public).await;
        let page: Value = serde_json::from_slice(reply.body()).unwrap();
        for item in page["updates"].as_array().unwrap() {
            let text = item.to_string();
            found.push(match item["type"].as_str().unwrap() {
                "quorate/attestation/v1" => {
                    Update::step(Attestation::from_file(text.as_bytes()).unwrap())
                }
                _ => Update::from_file(text.as_bytes()).unwrap(),
            });
        }
        next = page["next"].as_str().map(str::to_owned);
    }
    found
}

const OPTIONS: Options = Options {
    allow_skip: false,
    development_keys: true,
};

/// A client that knows the first key only, and takes others as the chain names them.
fn client(policy: &Policy) -> ClientState {
    let policy = Policy {
        keys: policy.anchor.keys.clone(),
        ..policy.clone()
    };
    ClientState::new(&policy).unwrap()
}

fn ring(keys: &[VerifyingKey]) -> KeyRing {
    let mut ring = KeyRing::new();
    for key in keys {
        ring.insert(key.clone().prepare().unwrap());
    }
    ring
}

#[tokio::test]
async fn a_client_follows_over_a_change_of_keys() {
    for count in ["1", "10"] {
        let dir = tempfile::tempdir().unwrap();
        let mut chain = Chain::new();
        let new = toy::key(2, 3);
        let keys = [chain.key.clone(), new.clone()];
        let service = Arc::new(Service::open(chain.setup(dir.path(), &keys)).unwrap());
        ingest(&service, &mut chain, &new, true);
        let mut proved = Vec::new();
        while let Some((height, key)) = work(&service, &keys) {
            proved.push((height, key.circuit.digest));
        }
        // The newest under the new key, and the first that names it under the old one.
        let by = |key: &VerifyingKey| key.circuit.digest;
        assert_eq!(proved, [(TIP, by(&new)), (CHANGE, by(&chain.key))]);
        let policy = service.policy().clone();
        let path = format!("/v1/light-client/updates?count={count}");
        let updates = updates(Arc::clone(&service), &path).await;
        let heights = updates.iter().map(|u| u.attestation.header.height.get());
        assert_eq!(heights.collect::<Vec<_>>(), [CHANGE, TIP]);
        let (ring, now) = (ring(&keys), now(&chain));
        let mut state = client(&policy);
        for update in &updates {
            let accepted = state.update(update, &ring, OPTIONS, now).unwrap();
            state = accepted.state;
        }
        assert_eq!(
            state.header(),
            &chain.headers[usize::try_from(TIP).unwrap()]
        );
        assert_eq!(state.keys, [toy::accepted(&new)]);

        // What the opening is for: without it the client stops, with another it refuses.
        let bare = Update::step(updates[0].attestation.clone());
        let stopped = client(&policy).update(&bare, &ring, OPTIONS, now);
        assert!(matches!(stopped, Err(ClientError::ParametersNeeded(_))));
        let mut lie = updates[0].clone();
        lie.parameters.as_mut().unwrap().block_interval_ms += 1;
        let refused = client(&policy).update(&lie, &ring, OPTIONS, now);
        assert!(matches!(refused, Err(ClientError::WrongParameters { .. })));
        // The old key is not taken any more.
        let block = chain.grow(|header| header.parameters = chain_parameters(&updates));
        let old = Update::step(toy::prove(&block, &chain.key));
        assert!(state.update(&old, &ring, OPTIONS, now).is_err());
        let good = Update::step(toy::prove(&block, &new));
        state.update(&good, &ring, OPTIONS, now).unwrap();
    }
}

fn chain_parameters(updates: &[Update]) -> quorate_verifier::primitives::Digest {
    updates[0].attestation.header.parameters
}

fn now(chain: &Chain) -> TimeMs {
    let last = chain.headers.last().unwrap().time;
    last.checked_add_ms(10_000).unwrap()
}

#[tokio::test]
async fn what_nobody_opened_is_not_offered_until_a_file_opens_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = Chain::new();
    let new = toy::key(2, 3);
    let keys = [chain.key.clone(), new.clone()];
    let setup = |chain: &Chain| chain.setup(dir.path(), &keys);
    let service = Arc::new(Service::open(setup(&chain)).unwrap());
    ingest(&service, &mut chain, &new, false);
    while work(&service, &keys).is_some() {}
    let path = "/v1/light-client/updates";
    let found = updates(Arc::clone(&service), path).await;
    assert!(
        found
            .iter()
            .all(|u| u.attestation.header.height.get() < CHANGE)
    );
    drop(service);
    let (parameters, _) = change(&chain, &new);
    let mut with = setup(&chain);
    with.policy.anchor.header = chain.headers[0].clone();
    with.parameters = vec![parameters.clone()];
    let service = Arc::new(Service::open(with).unwrap());
    let found = updates(service, path).await;
    assert_eq!(found[0].attestation.header.height.get(), CHANGE);
    assert_eq!(found[0].parameters, Some(parameters));
}
