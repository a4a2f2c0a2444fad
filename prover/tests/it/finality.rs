//! The product, end to end: a certificate of real signatures, the whole quorum circuit, a real
//! proof, and a verifier that holds nothing but a policy and the light key.
//!
//! The whole proofs of the real circuit are those of `privacy`.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Instant;

use quorate_fixtures::Network;
use quorate_prover::testing::{INSECURE_TEST_SIZE, insecure_test_key};
use quorate_prover::{AttestError, Phase, ProveError, Prover, attest, open_prover};
use quorate_verifier::attestation::{self, Attestation, AttestationError, KeyRing};
use quorate_verifier::certificate::{CertificateError, SignedHeader};
use quorate_verifier::encoding::Canonical;
use quorate_verifier::file::FileType;
use quorate_verifier::genesis::AcceptedKey;
use quorate_verifier::primitives::{TimeMs, View};
use quorate_verifier::proof::VerifyingKey;
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::trust::{Cosigners, Policy, TrustAnchor};

use crate::privacy::{CHAIN, PAIR};

const RULE: QuorumRule = QuorumRule::COMMIT;
const SLOTS: u16 = INSECURE_TEST_SIZE.slots();

/// The key that all tests share, read from disk in runs as it is in use.
pub(crate) static PROVER: LazyLock<Prover> = LazyLock::new(|| {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let start = Instant::now();
    let (_, key) = insecure_test_key(target);
    println!("shared key: {:.1} s", start.elapsed().as_secs_f64());
    open_prover(key).expect("a good key")
});

fn network() -> Network {
    Network::new(21, &[40, 30, 20, 10], SLOTS)
}

fn block(network: &Network, signers: &[u16]) -> SignedHeader {
    network.finalize(
        network.child(&network.genesis_header()),
        View::new(3),
        signers,
    )
}

fn prove(network: &Network, block: &SignedHeader) -> Result<Attestation, AttestError> {
    let chain = network.genesis.chain_id().expect("a good name");
    attest(&PROVER, block, &chain, &network.set, RULE, |_| {
        ControlFlow::Continue(())
    })
}

/// Policy and keys of a verifier, who has read the light key from a file.
fn verifier(network: &Network) -> (Policy, KeyRing) {
    let file = PROVER.verifier().key().to_file();
    assert!(file.len() <= 2048, "{} bytes", file.len());
    let key = VerifyingKey::from_file(&file).expect("our own file");
    let keys = vec![AcceptedKey {
        digest: key.digest(),
        slots: key.circuit.slots,
    }];
    let anchor = TrustAnchor {
        header: network.genesis_header(),
        keys: keys.clone(),
        trusting_period_ms: 1_000_000,
        clock_drift_ms: 1000,
        made_at: TimeMs::new(quorate_fixtures::GENESIS_TIME_MS).expect("a time"),
    };
    let policy = Policy {
        anchor,
        rule: RULE,
        keys,
        log_key: None,
        cosigners: Cosigners::NONE,
        development_keys: true,
    };
    let mut ring = KeyRing::new();
    ring.insert(key.prepare().expect("a good key"));
    (policy, ring)
}

#[test]
fn a_certificate_becomes_a_proof_that_hides_its_signers() {
    let (policy, ring) = verifier(&CHAIN.networks[0]);
    let [few, other] = PAIR.each_ref().map(|traces| traces.attestation.clone());

    // One statement, two quorums: nothing but the proofs' random bytes differs.
    assert_eq!(few.statement(), other.statement());
    assert_eq!(few.to_bytes().len(), other.to_bytes().len());
    assert_ne!(few.proof, other.proof);
    for attestation in [&few, &other] {
        let read = Attestation::from_file(&attestation.to_file()).expect("our own file");
        let start = Instant::now();
        assert_eq!(attestation::verify(&read, &policy, &ring), Ok(()));
        println!(
            "verified in {:.2} ms",
            start.elapsed().as_secs_f64() * 1000.0
        );
    }

    // What the proof does not say is refused.
    let mut edited = few.clone();
    edited.view = View::new(4);
    let error = attestation::verify(&edited, &policy, &ring).expect_err("another view");
    assert!(matches!(error, AttestationError::Proof(_)));
    let mut edited = few.clone();
    edited.header.height = edited.header.height.next().expect("small");
    let error = attestation::verify(&edited, &policy, &ring).expect_err("another height");
    assert!(matches!(error, AttestationError::Proof(_)));
    let mut strict = policy.clone();
    strict.development_keys = false;
    let error = attestation::verify(&few, &strict, &ring).expect_err("a development key");
    assert!(matches!(error, AttestationError::DevelopmentKey(_)));
}

#[test]
fn what_is_not_final_is_not_proved() {
    let network = network();
    let error = prove(&network, &block(&network, &[1, 2])).expect_err("half of the power");
    let power = CertificateError::NotEnoughPower {
        signed: 50,
        total: 100,
        rule: RULE,
    };
    assert_eq!(error, AttestError::Certificate(power));

    let other = Network::new(22, &[40, 30, 20, 10], SLOTS);
    let error = prove(&network, &block(&other, &[0, 1])).expect_err("another chain");
    let error = matches!(
        error,
        AttestError::Certificate(CertificateError::WrongChain { .. })
    );
    assert!(error);

    let larger = Network::new(21, &[40, 30, 20, 10], SLOTS + 1);
    let error = prove(&larger, &block(&larger, &[0, 1])).expect_err("another size");
    let wrong = AttestError::WrongSize {
        set: SLOTS + 1,
        key: SLOTS,
    };
    assert_eq!(error, wrong);
}

#[test]
fn a_proof_can_be_stopped_at_any_phase() {
    let network = network();
    let chain = network.genesis.chain_id().expect("a good name");
    let block = block(&network, &[0, 1]);
    for stop in [Phase::Witness, Phase::Commitment, Phase::Quotient] {
        let error = attest(&PROVER, &block, &chain, &network.set, RULE, |phase| {
            if phase == stop {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!(error, Err(AttestError::Prove(ProveError::Cancelled(stop))));
    }
}
