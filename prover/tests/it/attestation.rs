//! An attestation is accepted for what the caller holds, never for what it says of itself.

use quorate_verifier::attestation::{
    Attestation, AttestationError, KeyRing, Verdict, verify, verify_all,
};
use quorate_verifier::file::FileType;
use quorate_verifier::light_client::{Fork, ForkError, Trusted};
use quorate_verifier::primitives::{ChainId, CircuitSize, Digest, TimeMs, View};
use quorate_verifier::proof::ProofError;
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::statement::Statement;
use quorate_verifier::trust::Policy;

use crate::chain::*;

/// What a policy bent by `bend` says of a good attestation at height 3, and the class of it.
fn refused(bend: impl FnOnce(&mut Policy)) -> (AttestationError, Verdict) {
    let mut policy = policy(1);
    bend(&mut policy);
    let error = verify(&attest(header(3)), &policy, &ring()).expect_err("refused");
    let verdict = error.verdict();
    (error, verdict)
}

#[test]
fn a_good_attestation_is_accepted() {
    let (policy, ring) = (policy(1), ring());
    for height in 1..=3 {
        for view in [0, 7, u64::MAX] {
            let attestation = attest_with(&FIRST, header(height), view);
            assert_eq!(verify(&attestation, &policy, &ring), Ok(()));
        }
    }
}

#[test]
fn what_the_policy_does_not_accept_is_refused() {
    let first = *FIRST.verifier().digest();
    let other = ChainId::from_genesis("toy", &Digest::from_bytes([1; 32])).unwrap();
    let (error, verdict) = refused(|p| p.anchor.header.chain_id = other);
    assert!(matches!(error, AttestationError::WrongChain { .. }));
    assert_eq!(verdict, Verdict::PolicyFailed);
    let (error, verdict) = refused(|p| p.rule = QuorumRule::new(3, 4).unwrap());
    assert!(matches!(error, AttestationError::WrongRule { .. }));
    assert_eq!(verdict, Verdict::PolicyFailed);
    let (error, verdict) = refused(|p| p.anchor.header.next_validators = set(77));
    let untrusted = AttestationError::UntrustedSet {
        trusted: set(77),
        found: set(0),
    };
    assert_eq!((error, verdict), (untrusted, Verdict::PolicyFailed));
    let (error, verdict) = refused(|p| p.keys = list(&[&SECOND]));
    assert_eq!(error, AttestationError::KeyNotAccepted(first));
    assert_eq!(verdict, Verdict::PolicyFailed);
    let (error, verdict) = refused(|p| p.keys[0].slots = CircuitSize::from_slots(3).unwrap());
    let size = AttestationError::WrongSize {
        key: first,
        listed: 3,
        found: 1,
    };
    assert_eq!((error, verdict), (size, Verdict::PolicyFailed));
    let (error, verdict) = refused(|p| p.development_keys = false);
    assert_eq!(error, AttestationError::DevelopmentKey(first));
    assert_eq!(verdict, Verdict::PolicyFailed);
}

#[test]
fn many_get_the_verdict_of_each_alone() {
    let mut policy = policy(1);
    policy.keys = list(&[&FIRST, &SECOND]);
    let good: Vec<Attestation> = (1..=3)
        .flat_map(|height| [&*FIRST, &*SECOND].map(|key| attest_with(key, header(height), 2)))
        .collect();
    let judge = |many: &[Attestation], ring: &KeyRing| {
        let many: Vec<&Attestation> = many.iter().collect();
        let verdicts = verify_all(&many, &policy, ring);
        let alone = many.iter().map(|one| verify(one, &policy, ring));
        assert_eq!(verdicts, alone.collect::<Vec<_>>());
        verdicts
    };
    assert_eq!(judge(&[], &ring()), []);
    assert_eq!(judge(&good, &ring()), vec![Ok(()); good.len()]);
    // Whatever is wrong with one changes nothing for the others.
    let mut mixed = good.clone();
    mixed[1].proof.c = -mixed[1].proof.c;
    mixed[2].key = *SHORT.verifier().digest();
    mixed[3].header.validators = set(77);
    mixed[4] = attest(bent(1, |h| h.state_root = set_digest()));
    let refused: Vec<bool> = judge(&mixed, &ring()).iter().map(Result::is_err).collect();
    assert_eq!(refused, [false, true, true, true, true, false]);
    assert!(judge(&good, &KeyRing::new()).iter().all(Result::is_err));
    // Two errors that would cancel if the proofs had one weight.
    let mut cancelling = vec![good[0].clone(), good[2].clone()];
    let (one, two) = (cancelling[0].proof.c, cancelling[1].proof.c);
    (cancelling[0].proof.c, cancelling[1].proof.c) = (two, one);
    assert!(judge(&cancelling, &ring()).iter().all(Result::is_err));
}

#[test]
fn an_accepted_key_that_is_not_at_hand_judges_nothing() {
    let error = verify(&attest(header(3)), &policy(1), &KeyRing::new()).expect_err("no key");
    let first = *FIRST.verifier().digest();
    assert_eq!(error, AttestationError::KeyMissing(first));
    assert_eq!(error.verdict(), Verdict::CannotEvaluate);
}

#[test]
fn a_key_for_other_statements_judges_nothing() {
    let mut policy = policy(1);
    policy.keys = list(&[&SHORT]);
    let mut attestation = attest(header(3));
    attestation.key = *SHORT.verifier().digest();
    let error = verify(&attestation, &policy, &ring()).expect_err("another length");
    let count = ProofError::InputCount {
        expected: 3,
        found: 4,
    };
    assert_eq!(error, AttestationError::Proof(count));
    assert_eq!(error.verdict(), Verdict::CannotEvaluate);
}

#[test]
fn a_key_that_the_file_names_is_a_hint_only() {
    // Both keys are accepted: the name moves the proof under another one, where it does not hold.
    let mut policy = policy(1);
    policy.keys = list(&[&FIRST, &SECOND]);
    let mut attestation = attest(header(3));
    assert_eq!(verify(&attestation, &policy, &ring()), Ok(()));
    attestation.key = *SECOND.verifier().digest();
    let error = verify(&attestation, &policy, &ring()).expect_err("another key");
    assert_eq!(error, AttestationError::Proof(ProofError::Refused));
    assert_eq!(error.verdict(), Verdict::Invalid);
}

#[test]
fn every_field_of_the_header_and_the_view_count() {
    let (good, policy, ring) = (attest(header(3)), policy(1), ring());
    let bends: [fn(&mut quorate_verifier::header::Header); 8] = [
        |h| h.height = h.height.next().unwrap(),
        |h| h.time = TimeMs::new(h.time.get() + 1).unwrap(),
        |h| h.parent = Digest::ZERO,
        |h| h.payload_root = Digest::ZERO,
        |h| h.outcomes_root = Digest::ZERO,
        |h| h.state_root = Digest::from_bytes([1; 32]),
        |h| h.parameters = Digest::ZERO,
        |h| h.next_validators = set(9),
    ];
    let refused = Err(AttestationError::Proof(ProofError::Refused));
    for bend in bends {
        let mut lie = good.clone();
        bend(&mut lie.header);
        assert_eq!(verify(&lie, &policy, &ring), refused);
    }
    let mut lie = good.clone();
    lie.view = View::new(1);
    assert_eq!(verify(&lie, &policy, &ring), refused);
}

#[test]
fn a_proof_of_a_weaker_rule_does_not_pass_for_the_policys() {
    let header = header(3);
    let weak = Statement::of(&header, View::FIRST, QuorumRule::OVERLAP);
    let mut lie = attest(header);
    lie.proof = prove(&FIRST, &weak);
    let error = verify(&lie, &policy(1), &ring()).expect_err("one third only");
    assert_eq!(error, AttestationError::Proof(ProofError::Refused));
}

#[test]
fn a_proved_header_that_contradicts_the_anchor_is_an_incident() {
    for (anchor, lie, word) in [
        (1, bent(1, |h| h.state_root = set_digest()), "same height"),
        (1, bent(2, |h| h.parent = Digest::ZERO), "parent and child"),
        (
            2,
            bent(1, |h| h.state_root = set_digest()),
            "parent and child",
        ),
        (1, bent(3, |h| h.time = time(1000)), "later time"),
    ] {
        let error = verify(&attest(lie), &policy(anchor), &ring()).expect_err(word);
        assert!(matches!(error, AttestationError::Contradiction(_)));
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(error.verdict(), Verdict::Invalid);
    }
    // Without a proof it is nothing but noise.
    let mut noise = attest(header(1));
    noise.header.state_root = set_digest();
    let error = verify(&noise, &policy(1), &ring()).expect_err("not proved");
    assert_eq!(error, AttestationError::Proof(ProofError::Refused));
}

fn set_digest() -> Digest {
    Digest::from_bytes([5; 32])
}

#[test]
fn a_fork_convinces_who_trusts_the_set() {
    let proved = |height| Trusted::Proved(attest(header(height)));
    let other = attest(bent(3, |h| h.state_root = set_digest()));
    let fork = Fork::new(proved(3), other.clone()).unwrap();
    assert_eq!(fork.verify(&policy(1), &ring()), Ok(()));
    assert_eq!(Fork::from_file(&fork.to_file()).as_ref(), Ok(&fork));
    assert_eq!(
        Fork::from_file(fork.to_json().as_bytes()).as_ref(),
        Ok(&fork)
    );
    // Somebody with another anchor, rule or keys is not convinced.
    assert!(matches!(
        fork.verify(&policy(8), &ring()),
        Err(ForkError::Attestation(
            AttestationError::UntrustedSet { .. }
        ))
    ));
    let mut weak = policy(1);
    weak.rule = QuorumRule::OVERLAP;
    assert_eq!(
        fork.verify(&weak, &ring()),
        Err(ForkError::Rule(QuorumRule::OVERLAP))
    );
    // Either proof broken.
    for broken in [0, 1] {
        let (mut first, mut second) = (attest(header(3)), other.clone());
        let lie = if broken == 0 { &mut first } else { &mut second };
        lie.proof.c = -lie.proof.c;
        let fork = Fork::new(Trusted::Proved(first), second).unwrap();
        let refused = AttestationError::Proof(ProofError::Refused);
        assert_eq!(fork.verify(&policy(1), &ring()), Err(refused.into()));
    }
    // Two views of one header, its parent, another set: no fork.
    let twice = attest_with(&FIRST, header(3), 4);
    let stranger = attest(bent(3, |h| h.validators = set(9)));
    for (second, word) in [
        (twice, "same"),
        (attest(header(2)), "one chain"),
        (stranger, "sets"),
    ] {
        let error = Fork::new(proved(3), second).expect_err(word);
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn a_fork_of_the_anchor_itself_convinces_who_holds_that_anchor() {
    let other = attest(bent(3, |h| h.state_root = set_digest()));
    let fork = Fork::new(Trusted::Anchor(header(3)), other).unwrap();
    assert_eq!(fork.verify(&policy(3), &ring()), Ok(()));
    assert_eq!(
        fork.verify(&policy(1), &ring()),
        Err(ForkError::OtherAnchor)
    );
}
