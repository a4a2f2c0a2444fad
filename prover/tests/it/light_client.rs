//! The light client's rules, one by one, with real proofs.

use quorate_verifier::attestation::{AttestationError, KeyRing, Verdict};
use quorate_verifier::file::FileType;
use quorate_verifier::light_client::{
    Accepted, Bisection, ClientError, ClientState, Options, Reached, Trusted, Update,
};
use quorate_verifier::primitives::{ChainId, CircuitSize, Digest, Height, TimeMs};
use quorate_verifier::proof::ProofError;
use quorate_verifier::rule::QuorumRule;

use crate::chain::*;

/// Half a minute after the tip.
fn now() -> TimeMs {
    time(1000 * TIP + 30_000)
}

fn client(height: u64) -> ClientState {
    ClientState::new(&policy(height)).unwrap()
}

fn take(state: &ClientState, update: &Update) -> Result<Accepted, ClientError> {
    state.update(update, &ring(), OPTIONS, now())
}

/// An honest update to a height, with everything that may be needed.
fn update(height: u64) -> Update {
    Update {
        parameters: Some(parameters_at(height)),
        ..Update::step(attest(header(height)))
    }
}

/// A client at `from` refuses this header, honestly proved, for a reason.
fn refuses(from: u64, lie: quorate_verifier::header::Header) -> ClientError {
    take(&client(from), &Update::step(attest(lie))).expect_err("refused")
}

#[test]
fn one_step_after_another() {
    let mut state = client(0);
    for height in 1..=TIP {
        let accepted = take(&state, &update(height)).unwrap();
        assert_eq!(accepted.by, Reached::Step);
        state = accepted.state;
        assert_eq!(state.header(), &header(height));
        assert_eq!(state.anchor, anchor(0).digest());
        assert_eq!(state.keys, parameters_at(height).keys);
    }
}

#[test]
fn only_the_headers_that_change_the_set() {
    let mut state = client(0);
    // Each is the last that the old set signs, and names the next set.
    for height in CHANGES.map(|c| c - 1).into_iter().chain([TIP]) {
        let accepted = take(&state, &update(height)).unwrap();
        assert_eq!(accepted.by, Reached::Step);
        state = accepted.state;
    }
    assert_eq!(state.header(), &header(TIP));
}

#[test]
fn a_wrong_next_set_is_refused() {
    // The header that follows an honest one, but by a set that the honest one did not name.
    let lie = bent(1, |h| h.validators = set(9));
    let unknown = ClientError::UnknownSet {
        trusted: set(0),
        found: set(9),
    };
    assert_eq!(refuses(0, lie), unknown);
    // An honest header with its next set edited: the proof is of another header.
    let mut update = update(3);
    update.attestation.header.next_validators = set(9);
    let refused = AttestationError::Proof(ProofError::Refused);
    assert_eq!(take(&client(0), &update), Err(refused.into()));
    // The old set has nothing to say after a change.
    let lie = bent(4, |h| h.validators = set(0));
    assert!(matches!(refuses(3, lie), ClientError::UnknownSet { .. }));
}

#[test]
fn a_wrong_parent_is_refused() {
    let error = refuses(2, bent(3, |h| h.parent = header(1).digest()));
    let wrong = ClientError::WrongParent {
        height: Height::new(3),
        trusted: header(2).digest(),
        found: header(1).digest(),
    };
    assert_eq!(error, wrong);
    assert_eq!(error.verdict(), Verdict::PolicyFailed);
}

#[test]
fn trust_ends_with_its_period() {
    let state = client(0);
    let (update, ring) = (update(3), ring());
    let end = time(3_600_000);
    assert_eq!(state.trusted_until(), Some(end));
    let before = TimeMs::new(end.get() - 1).unwrap();
    assert!(state.update(&update, &ring, OPTIONS, before).is_ok());
    for late in [end, time(9_999_999)] {
        let error = state
            .update(&update, &ring, OPTIONS, late)
            .expect_err("late");
        assert!(matches!(error, ClientError::TrustExpired { .. }), "{error}");
        assert_eq!(error.verdict(), Verdict::PolicyFailed);
    }
    // A step renews it.
    let state = state.update(&update, &ring, OPTIONS, before).unwrap().state;
    let next = crate::light_client::update(5);
    assert!(state.update(&next, &ring, OPTIONS, end).is_ok());
}

#[test]
fn evidence_after_the_period_does_not_freeze() {
    let state = take(&client(0), &update(3)).unwrap().state;
    let forked = Update::step(attest(bent(3, |h| h.payload_root = Digest::ZERO)));
    let late = time(3_603_000);
    let error = state.update(&forked, &ring(), OPTIONS, late);
    assert!(matches!(error, Err(ClientError::TrustExpired { .. })));
}

#[test]
fn time_and_height_do_not_go_back() {
    for ms in [0, 1999, 2000] {
        let lie = bent(3, |h| h.time = time(ms));
        assert_eq!(refuses(2, lie), ClientError::TimeNotAbove);
    }
    let lower = ClientError::HeightNotAbove {
        trusted: Height::new(3),
        found: Height::new(2),
    };
    assert_eq!(refuses(3, header(2)), lower);
    // Of another set's making, it is no evidence of anything.
    let strange = bent(2, |h| {
        h.time = time(9000);
        h.validators = set(9);
    });
    assert_eq!(refuses(3, strange), lower);
    assert_eq!(
        refuses(3, header(3)),
        ClientError::AlreadyTrusted(Height::new(3))
    );
}

#[test]
fn a_header_ahead_of_the_clock_is_refused() {
    let (state, update, ring) = (client(0), update(3), ring());
    let at = |ms| state.update(&update, &ring, OPTIONS, time(ms));
    assert!(at(3000).is_ok());
    assert!(at(0).is_ok() && client(0).clock_drift_ms == 5000);
    let mut strict = client(0);
    strict.clock_drift_ms = 500;
    assert!(strict.update(&update, &ring, OPTIONS, time(2500)).is_ok());
    let error = strict.update(&update, &ring, OPTIONS, time(2499));
    assert!(matches!(error, Err(ClientError::FromTheFuture { .. })));
}

#[test]
fn another_chain_is_refused() {
    let other = ChainId::from_genesis("toy", &Digest::from_bytes([1; 32])).unwrap();
    let error = refuses(0, bent(1, |h| h.chain_id = other.clone()));
    assert!(matches!(error, ClientError::WrongChain { .. }));
    // Also as evidence of a fork.
    let error = refuses(3, bent(3, |h| h.chain_id = other));
    assert!(matches!(error, ClientError::WrongChain { .. }));
}

#[test]
fn another_rule_is_refused_even_with_a_proof_of_it() {
    for rule in [QuorumRule::OVERLAP, QuorumRule::new(3, 4).unwrap()] {
        let mut update = update(3);
        update.attestation.rule = rule;
        update.attestation.proof = prove(&FIRST, &update.attestation.statement());
        let error = take(&client(0), &update);
        assert_eq!(error, Err(ClientError::WrongRule(rule)));
    }
}

#[test]
fn a_fork_is_kept_as_evidence_and_freezes() {
    for (trusted, state) in [
        (false, client(3)),
        (true, take(&client(0), &update(3)).unwrap().state),
    ] {
        let other = attest(bent(3, |h| h.payload_root = Digest::ZERO));
        let error = take(&state, &Update::step(other.clone())).expect_err("a fork");
        assert_eq!(error.verdict(), Verdict::Invalid);
        assert!(error.to_string().contains("FORK at height 3"), "{error}");
        let ClientError::Fork(frozen) = error else {
            panic!("{error}")
        };
        let fork = frozen.fork.clone().unwrap();
        assert_eq!(fork.trusted(), &state.trusted);
        assert_eq!(fork.conflicting(), &other);
        assert_eq!(matches!(fork.trusted(), Trusted::Proved(_)), trusted);
        // The evidence convinces whoever trusts the set, and outlives a file.
        let policy = policy(if trusted { 0 } else { 3 });
        assert_eq!(fork.verify(&policy, &ring()), Ok(()));
        let frozen = ClientState::from_file(&frozen.to_file()).unwrap();
        // Nothing more is taken, not even good headers.
        let update = update(4);
        let stuck = take(&frozen, &update);
        assert_eq!(stuck, Err(ClientError::Frozen(Height::new(3))));
        // A reset is a new anchor, and goes on.
        let reset = client(3);
        assert!(reset.fork.is_none() && take(&reset, &update).is_ok());
    }
}

/// Below the trusted height too, where the trusted header itself shows that there was another.
#[test]
fn a_header_that_cannot_be_an_ancestor_is_a_fork() {
    let state = take(&client(0), &update(3)).unwrap().state;
    let lies = [
        (bent(2, |h| h.payload_root = Digest::ZERO), 2), // not the parent
        (bent(1, |h| h.time = time(3000)), 1),           // not earlier
    ];
    for (lie, height) in lies {
        let lie = attest(lie);
        let Err(ClientError::Fork(frozen)) = take(&state, &Update::step(lie.clone())) else {
            panic!("a fork is not taken for anything else")
        };
        let fork = frozen.fork.clone().unwrap();
        assert_eq!((fork.conflicting(), fork.height().get()), (&lie, height));
        assert_eq!(fork.verify(&policy(0), &ring()), Ok(()));
        let text = ClientError::Fork(frozen.clone()).to_string();
        assert!(text.contains(&format!("FORK at height {height}")), "{text}");
        let frozen = ClientState::from_file(&frozen.to_file()).unwrap();
        let stuck = take(&frozen, &update(4));
        assert_eq!(stuck, Err(ClientError::Frozen(Height::new(height))));
        // Without its proof it is noise.
        let mut noise = Update::step(lie);
        noise.attestation.proof.c = -noise.attestation.proof.c;
        let refused = AttestationError::Proof(ProofError::Refused);
        assert_eq!(take(&state, &noise), Err(refused.into()));
    }
    // Further down the trusted header says nothing, and an honest ancestor is no news.
    let far = bent(1, |h| h.payload_root = Digest::ZERO);
    for old in [attest(far), attest(header(2)), attest(header(1))] {
        let error = take(&state, &Update::step(old));
        assert!(
            matches!(error, Err(ClientError::HeightNotAbove { .. })),
            "{error:?}"
        );
    }
}

#[test]
fn evidence_without_a_proof_does_not_freeze() {
    let state = client(3);
    let mut lie = update(3);
    lie.attestation.header.payload_root = Digest::ZERO;
    let refused = AttestationError::Proof(ProofError::Refused);
    assert_eq!(take(&state, &lie), Err(refused.into()));
    // Nor does a header of a set that did not sign at this height.
    let lie = bent(3, |h| h.validators = set(1));
    assert!(matches!(refuses(3, lie), ClientError::UnknownSet { .. }));
}

#[test]
fn one_header_in_two_views_is_no_fork() {
    let state = take(&client(0), &update(3)).unwrap().state;
    let again = Update::step(attest_with(&FIRST, header(3), 5));
    let error = take(&state, &again);
    assert_eq!(error, Err(ClientError::AlreadyTrusted(Height::new(3))));
}

const SKIPPING: Options = Options {
    allow_skip: true,
    ..OPTIONS
};

/// A skip from height 0 to height 5, which another set signs.
fn skip() -> Update {
    Update {
        overlap: Some(overlap(set(0), &header(5), 0)),
        ..Update::step(attest(header(5)))
    }
}

#[test]
fn a_skip_is_off_unless_asked_for() {
    assert_eq!(take(&client(0), &skip()), Err(ClientError::SkipNotAllowed));
    let accepted = client(0).update(&skip(), &ring(), SKIPPING, now()).unwrap();
    assert_eq!(accepted.by, Reached::Skip);
    assert_eq!(accepted.state.header(), &header(5));
    // Asked for, but without a proof of overlap.
    let bare = Update::step(attest(header(5)));
    let error = client(0).update(&bare, &ring(), SKIPPING, now());
    assert!(matches!(error, Err(ClientError::UnknownSet { .. })));
}

#[test]
fn a_skip_takes_both_proofs_over_one_message() {
    let refused = |update: &Update| {
        let error = client(0).update(update, &ring(), SKIPPING, now());
        let refused = AttestationError::Proof(ProofError::Refused);
        assert_eq!(error, Err(refused.into()));
    };
    for wrong in [
        overlap(set(0), &header(6), 0), // another header
        overlap(set(0), &header(5), 1), // another view
        overlap(set(1), &header(5), 0), // the new set, which proves nothing
    ] {
        refused(&Update {
            overlap: Some(wrong),
            ..skip()
        });
    }
    // The quorum of the new set is needed as well.
    let mut update = skip();
    update.attestation.proof.c = -update.attestation.proof.c;
    refused(&update);
    // Proofs in each other's place.
    let mut update = skip();
    let overlap = update.overlap.as_mut().unwrap();
    core::mem::swap(&mut overlap.proof, &mut update.attestation.proof);
    refused(&update);
    // A key of the prover's choosing.
    let mut update = skip();
    update.overlap.as_mut().unwrap().key = *SECOND.verifier().digest();
    let error = client(0).update(&update, &ring(), SKIPPING, now());
    let key = AttestationError::KeyNotAccepted(*SECOND.verifier().digest());
    assert_eq!(error, Err(key.into()));
}

#[test]
fn no_skip_leads_to_the_next_height() {
    let lie = bent(1, |h| h.validators = set(9));
    let update = Update {
        overlap: Some(overlap(set(0), &lie, 0)),
        ..Update::step(attest(lie))
    };
    let error = client(0).update(&update, &ring(), SKIPPING, now());
    assert!(matches!(error, Err(ClientError::UnknownSet { .. })));
}

#[test]
fn keys_are_the_clients_choice() {
    let first = *FIRST.verifier().digest();
    let (second, good) = (*SECOND.verifier().digest(), update(3));
    let with = |state: &ClientState, ring: &KeyRing, options| match state.update(
        &good,
        ring,
        options,
        now(),
    ) {
        Err(ClientError::Attestation(error)) => error,
        other => panic!("{other:?}"),
    };
    let mut state = client(0);
    assert_eq!(
        with(&state, &KeyRing::new(), OPTIONS),
        AttestationError::KeyMissing(first)
    );
    let production = Options {
        development_keys: false,
        ..OPTIONS
    };
    assert_eq!(
        with(&state, &ring(), production),
        AttestationError::DevelopmentKey(first)
    );
    // What the policy refused at the start is not brought back by an option.
    state.development_keys = false;
    assert_eq!(
        with(&state, &ring(), OPTIONS),
        AttestationError::DevelopmentKey(first)
    );
    state.development_keys = true;
    state.keys[0].slots = CircuitSize::from_slots(64).unwrap();
    let size = AttestationError::WrongSize {
        key: first,
        listed: 64,
        found: 1,
    };
    assert_eq!(with(&state, &ring(), OPTIONS), size);
    // The second key is at hand but not accepted, whatever the update says of it.
    let by_second = Update {
        parameters: Some(parameters(list(&[&FIRST, &SECOND]))),
        ..Update::step(attest_with(&SECOND, header(3), 0))
    };
    let error = take(&client(0), &by_second);
    let key = AttestationError::KeyNotAccepted(second);
    assert_eq!(error, Err(key.into()));
}

#[test]
fn a_client_starts_from_a_policy_of_the_commit_rule() {
    let mut policy = policy(0);
    policy.keys = list(&[&SECOND]);
    let state = ClientState::new(&policy).unwrap();
    assert_eq!(
        state.keys, policy.keys,
        "the policy's keys, not the anchor's"
    );
    policy.rule = QuorumRule::OVERLAP;
    let error = ClientState::new(&policy);
    assert_eq!(error, Err(ClientError::WrongRule(QuorumRule::OVERLAP)));
}

#[test]
fn a_new_key_enters_by_a_header_under_the_old_ones() {
    let state = client(8);
    let by_second = |height| Update::step(attest_with(&SECOND, header(height), 0));
    let refused = AttestationError::KeyNotAccepted(*SECOND.verifier().digest());
    // Not before, not by the header that brings it.
    let early = Update {
        parameters: Some(parameters_at(10)),
        ..by_second(10)
    };
    assert_eq!(take(&state, &early), Err(refused.into()));
    // The change must be opened: nobody keeps an old key in force by withholding it.
    let silent = Update::step(attest(header(10)));
    let digest = parameters_at(10).digest();
    let error = take(&state, &silent).expect_err("withheld");
    assert_eq!(error, ClientError::ParametersNeeded(digest));
    assert_eq!(error.verdict(), Verdict::CannotEvaluate);
    // And opened as it is.
    let mut forged = update(10);
    forged.parameters = Some(parameters(list(&[&SHORT, &SECOND])));
    let error = take(&state, &forged).expect_err("another opening");
    assert!(matches!(error, ClientError::WrongParameters { .. }));
    assert_eq!(error.verdict(), Verdict::Invalid);
    // Then it is good, also where the mark of development is refused.
    let state = take(&state, &update(10)).unwrap().state;
    assert_eq!(state.keys, list(&[&FIRST, &SECOND]));
    let production = Options {
        development_keys: false,
        ..OPTIONS
    };
    let accepted = state.update(&by_second(12), &ring(), production, now());
    assert_eq!(accepted.unwrap().state.header(), &header(12));
}

#[test]
fn opening_unchanged_parameters_brings_no_key_back() {
    // An anchor may list fewer keys than the chain.
    let mut strict = client(10);
    strict.keys = list(&[&FIRST]);
    let state = take(&strict, &update(12)).unwrap().state;
    assert_eq!(state.keys, list(&[&FIRST]));
}

#[test]
fn bisection_finds_its_way_over_several_changes() {
    for start in 0..TIP {
        let mut state = client(start);
        let mut search = Bisection::new(Height::new(TIP));
        let mut asked = 0;
        while let Some(wanted) = search.wanted() {
            asked += 1;
            let result = take(&state, &update(wanted.get()));
            let outcome = match &result {
                Ok(accepted) => {
                    state = accepted.state.clone();
                    Ok(())
                }
                Err(error) => Err(error),
            };
            assert!(search.record(state.header().height, outcome), "{result:?}");
        }
        assert_eq!(state.header(), &header(TIP));
        assert!(asked < 20, "{asked} updates");
    }
}

#[test]
fn any_bit_of_a_proof_counts() {
    let good = update(3);
    let bytes = good.attestation.proof.encode();
    for at in (0..bytes.len()).step_by(7) {
        let mut bent = bytes;
        bent[at] ^= 2;
        let Ok(proof) = quorate_verifier::proof::Proof::decode(&bent) else {
            continue;
        };
        let mut lie = good.clone();
        lie.attestation.proof = proof;
        let refused = AttestationError::Proof(ProofError::Refused);
        assert_eq!(take(&client(0), &lie), Err(refused.into()), "byte {at}");
    }
}
