//! One statement, two quorums: nothing that is left behind tells them apart. And the same proofs, as
//! the first of two steps of a light client, under the circuit as it is now.
//!
//! Whole proofs of the real circuit: three, for all tests of this crate. What the values in the circuit look like is tested where
//! it is built: `full_and_almost_empty_slots_look_alike`.

use std::fmt::{Debug, Write};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use quorate_fixtures::frozen;
use quorate_fixtures::rolling::{QUORUMS, Rolling};
use quorate_prover::attest;
use quorate_verifier::attestation::{self, Attestation, KeyRing};
use quorate_verifier::certificate::SignedHeader;
use quorate_verifier::encoding::Canonical;
use quorate_verifier::file::FileType;
use quorate_verifier::genesis::AcceptedKey;
use quorate_verifier::header::Header;
use quorate_verifier::light_client::{ClientState, Options, Reached, Update};
use quorate_verifier::primitives::View;
use quorate_verifier::rule::QuorumRule;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Metadata, Subscriber};

use crate::finality::PROVER;

/// A chain whose second block is signed by another set than its first.
pub(crate) static CHAIN: LazyLock<Rolling> = LazyLock::new(|| {
    let key = PROVER.verifier();
    let listed = AcceptedKey {
        digest: *key.digest(),
        slots: key.key().circuit.slots,
    };
    Rolling::new(77, listed, &[2])
});

/// Everything that a proof leaves: the attestation and what was logged on the way.
pub(crate) struct Traces {
    signed: SignedHeader,
    pub(crate) attestation: Attestation,
    log: Vec<String>,
}

/// The first block by a quorum of two and by one of three: one statement.
pub(crate) static PAIR: LazyLock<[Traces; 2]> = LazyLock::new(|| {
    let header = CHAIN.headers(1).remove(1);
    [QUORUMS[0], QUORUMS[1]].map(|signers| {
        let network = &CHAIN.networks[0];
        prove(network.finalize(header.clone(), View::new(3), signers))
    })
});

fn prove(signed: SignedHeader) -> Traces {
    let network = CHAIN.at(signed.header.height);
    let chain = &signed.header.chain_id;
    let lines = Lines::default();
    let attestation = lines.capture(|| {
        let watch = |_| ControlFlow::Continue(());
        attest(
            &PROVER,
            &signed,
            chain,
            &network.set,
            QuorumRule::COMMIT,
            watch,
        )
    });
    let mut log = lines.0.lock().unwrap().clone();
    // Threads take turns as they like.
    log.sort();
    Traces {
        attestation: attestation.expect("a quorum"),
        signed,
        log,
    }
}

fn ring() -> KeyRing {
    let mut ring = KeyRing::new();
    ring.insert(PROVER.verifier().clone());
    ring
}

#[test]
fn two_quorums_leave_the_same_traces() {
    let [two, three] = &*PAIR;
    let votes = |traces: &Traces| traces.signed.certificate.votes().len();
    assert_eq!((votes(two), votes(three)), (2, 3));
    let (one, other) = (&two.attestation, &three.attestation);
    assert_eq!(one.statement(), other.statement());
    assert_eq!(one.to_file().len(), other.to_file().len());
    assert_eq!(one.to_json().len(), other.to_json().len());
    // Nothing differs but the proof, and the proof is random.
    assert_ne!(one.proof, other.proof);
    let without_proof = |file: Vec<u8>| file[..file.len() - 192].to_vec();
    assert_eq!(without_proof(one.to_file()), without_proof(other.to_file()));
    assert!(!two.log.is_empty(), "a log that says nothing shows nothing");
    assert_eq!(two.log, three.log);
}

/// Whoever searches what is left for a signer, a signature or a figure of power finds none.
#[test]
fn nothing_names_a_signer_or_a_figure() {
    let set = &CHAIN.networks[0].set;
    for traces in &*PAIR {
        let left = [
            hex::encode(traces.attestation.to_file()),
            traces.attestation.to_json(),
            traces.log.join("\n"),
        ];
        for said in &left {
            for validator in set.validators() {
                let key = hex::encode(validator.key.as_bytes());
                assert!(!said.contains(&key), "{said}");
            }
            for vote in traces.signed.certificate.votes() {
                let signature = hex::encode(vote.signature.as_bytes());
                for half in [&signature[..64], &signature[64..]] {
                    assert!(!said.contains(half), "{said}");
                }
            }
        }
        // No member of the document and no field of the log speaks of signers or power.
        for word in [
            "signer",
            "vote",
            "power",
            "validator:",
            "quorum of",
            "slots_used",
        ] {
            assert!(!left[1].contains(word), "{word}: {}", left[1]);
            assert!(
                !left[2].to_lowercase().contains(word),
                "{word}: {}",
                left[2]
            );
        }
    }
}

#[test]
fn a_light_client_takes_two_fresh_steps() {
    let headers: Vec<Header> = CHAIN.headers(2);
    let second = prove(CHAIN.finalize(&headers[2])).attestation;
    let policy = CHAIN.policy(headers[0].clone());
    let options = Options {
        allow_skip: false,
        development_keys: true,
    };
    let mut state = ClientState::new(&policy).unwrap();
    let steps = [PAIR[0].attestation.clone(), second.clone()].map(Update::step);
    // Not in another order: the second set is known by the first header only.
    let early = state.update(&steps[1], &ring(), options, frozen::now());
    assert!(early.is_err());
    for (step, header) in steps.iter().zip(&headers[1..]) {
        let read = Update::from_file(&step.to_file()).unwrap();
        let accepted = state
            .update(&read, &ring(), options, frozen::now())
            .unwrap();
        assert_eq!(accepted.by, Reached::Step);
        assert_eq!(accepted.state.header(), header);
        state = accepted.state;
    }
    // The other quorum's proof of the first header is no news, and no fork.
    let mut first = ClientState::new(&policy).unwrap();
    first = first
        .update(&steps[0], &ring(), options, frozen::now())
        .unwrap()
        .state;
    let again = Update::step(PAIR[1].attestation.clone());
    let again = first.update(&again, &ring(), options, frozen::now());
    assert!(again.is_err_and(|error| error.to_string().contains("trusted already")));
    let refused = attestation::verify(&second, &policy, &ring());
    assert!(
        refused.is_err(),
        "the anchor does not vouch for the second set"
    );
    assert_eq!(
        steps[0].attestation.to_bytes().len(),
        second.to_bytes().len()
    );
}

/// Everything that is logged, as lines; from the calling thread and from all that compute for it.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn capture<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let dispatch = Dispatch::new(self.clone());
        let threads = dispatch.clone();
        let pool = rayon::ThreadPoolBuilder::new()
            .spawn_handler(move |thread| {
                let dispatch = threads.clone();
                std::thread::Builder::new()
                    .spawn(move || tracing::dispatcher::with_default(&dispatch, || thread.run()))
                    .map(drop)
            })
            .build()
            .unwrap();
        tracing::dispatcher::with_default(&dispatch, || pool.install(work))
    }

    fn line(&self, what: &str, metadata: &Metadata<'_>, fields: impl FnOnce(&mut Fields)) {
        // What the product says; libraries below it have never heard of a signer.
        if metadata.target().starts_with("quorate") {
            let mut line = Fields(format!("{what} {} {}", metadata.target(), metadata.name()));
            fields(&mut line);
            self.0.lock().unwrap().push(line.0);
        }
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        self.line("span", span.metadata(), |fields| span.record(fields));
        Id::from_u64(NEXT.fetch_add(1, Ordering::Relaxed))
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut fields = Fields("record".into());
        values.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        self.line("event", event.metadata(), |fields| event.record(fields));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
