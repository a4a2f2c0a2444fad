//! A light client over the frozen chain: real proofs of the whole quorum circuit, under the key
//! that was frozen with them. Nothing here stands in for a check.

use quorate_fixtures::frozen::{self, CHANGES, FORK, TIP};
use quorate_verifier::attestation::{Attestation, AttestationError, verify, verify_all};
use quorate_verifier::file::FileType;
use quorate_verifier::light_client::{
    Accepted, Bisection, ClientError, ClientState, Options, Reached, Trusted, Update,
};
use quorate_verifier::primitives::{Height, TimeMs};
use quorate_verifier::proof::ProofError;

const OPTIONS: Options = Options {
    allow_skip: false,
    development_keys: true,
};

fn start() -> ClientState {
    ClientState::new(&frozen::policy()).expect("the commit rule")
}

fn take(state: &ClientState, update: &Update) -> Result<Accepted, ClientError> {
    state.update(update, &frozen::ring(), OPTIONS, frozen::now())
}

/// A client that has followed the headers that change the set, and then went to a height.
fn at(height: u64) -> ClientState {
    let changes = CHANGES.iter().map(|change| change - 1);
    let before = changes.filter(|last| *last < height);
    let way: Vec<u64> = before.chain([height]).collect();
    way.iter().fold(start(), |state, height| {
        take(&state, &frozen::update(*height))
            .expect("an honest chain")
            .state
    })
}

fn hostile(name: &str) -> Update {
    Update::step(frozen::read(&frozen::hostile(name)))
}

#[test]
fn fifty_headers_are_followed() {
    let (mut state, mut sets) = (start(), 0);
    for height in 1..=TIP {
        let accepted = take(&state, &frozen::update(height)).expect("an honest chain");
        assert_eq!(accepted.by, Reached::Step);
        let (before, after) = (state.header().next_validators, accepted.state.header());
        sets += usize::from(after.next_validators != before);
        assert_eq!(after.height, Height::new(height));
        state = accepted.state;
    }
    assert_eq!(sets, CHANGES.len());
    // What was written of it is the same client.
    assert_eq!(ClientState::from_file(&state.to_file()), Ok(state.clone()));
    assert_eq!(
        at(TIP).header(),
        state.header(),
        "six steps lead there as well"
    );
}

#[test]
fn bisection_finds_the_changes() {
    let (mut state, mut asked) = (start(), 0);
    let mut search = Bisection::new(Height::new(TIP));
    while let Some(wanted) = search.wanted() {
        asked += 1;
        let result = take(&state, &frozen::update(wanted.get()));
        let outcome = result
            .as_ref()
            .map(|accepted| state = accepted.state.clone());
        assert!(search.record(state.header().height, outcome));
    }
    assert_eq!(state.header().height, Height::new(TIP));
    assert!(asked < 40, "{asked}");
}

#[test]
fn a_wrong_next_set_is_refused() {
    let error = take(&at(25), &hostile(frozen::WRONG_SET));
    assert!(
        matches!(error, Err(ClientError::UnknownSet { .. })),
        "{error:?}"
    );
    // The honest header with another next set: the proof is of another header.
    let mut edited = frozen::update(31);
    edited.attestation.header.next_validators = start().header().validators;
    let refused = AttestationError::Proof(ProofError::Refused);
    assert_eq!(take(&at(30), &edited), Err(refused.into()));
    // Its own proof under a header that names the trusted set in its place.
    let mut usurped = hostile(frozen::WRONG_SET);
    usurped.attestation.header.validators = frozen::attestation(26).header.validators;
    let refused = AttestationError::Proof(ProofError::Refused);
    assert_eq!(take(&at(25), &usurped), Err(refused.into()));
}

#[test]
fn a_wrong_parent_is_refused_though_proved() {
    let error = take(&at(30), &hostile(frozen::WRONG_PARENT));
    assert!(
        matches!(error, Err(ClientError::WrongParent { .. })),
        "{error:?}"
    );
}

#[test]
fn time_and_height_do_not_go_back() {
    let error = take(&at(30), &hostile(frozen::TIME_BACK));
    assert_eq!(error, Err(ClientError::TimeNotAbove));
    let error = take(&at(30), &frozen::update(29));
    assert!(
        matches!(error, Err(ClientError::HeightNotAbove { .. })),
        "{error:?}"
    );
    let error = take(&at(30), &frozen::update(30));
    assert_eq!(error, Err(ClientError::AlreadyTrusted(Height::new(30))));
}

#[test]
fn trust_expires() {
    let state = at(30);
    let end = state.trusted_until().expect("before the year 10000");
    let ring = frozen::ring();
    let before = TimeMs::new(end.get() - 1).expect("a time");
    assert!(
        state
            .update(&frozen::update(31), &ring, OPTIONS, before)
            .is_ok()
    );
    let error = state.update(&frozen::update(31), &ring, OPTIONS, end);
    assert!(
        matches!(error, Err(ClientError::TrustExpired { .. })),
        "{error:?}"
    );
}

#[test]
fn a_forked_header_is_kept_as_evidence_and_freezes() {
    let state = at(FORK);
    let forked = hostile(frozen::FORKED);
    let Err(ClientError::Fork(stuck)) = take(&state, &forked) else {
        panic!("a fork is not taken for anything else")
    };
    let fork = stuck.fork.as_deref().expect("evidence");
    assert_eq!(fork.conflicting(), &forked.attestation);
    assert_eq!(fork.trusted(), &state.trusted);
    let error = take(&stuck, &frozen::update(26));
    assert_eq!(error, Err(ClientError::Frozen(Height::new(FORK))));
    // The evidence convinces whoever trusts the set that signed both.
    let mut policy = frozen::policy();
    policy.anchor.header = frozen::attestation(FORK - 1).header;
    assert_eq!(fork.verify(&policy, &frozen::ring()), Ok(()));
    assert!(matches!(fork.trusted(), Trusted::Proved(_)));
    // Without its proof it is noise.
    let mut noise = forked;
    noise.attestation.proof.c = -noise.attestation.proof.c;
    let refused = AttestationError::Proof(ProofError::Refused);
    assert_eq!(take(&state, &noise), Err(refused.into()));
}

/// A header one below the trusted one that is not its parent: the histories parted there.
#[test]
fn a_forked_parent_is_found_from_its_child() {
    let state = at(32);
    for name in [frozen::WRONG_PARENT, frozen::TIME_BACK] {
        let Err(ClientError::Fork(stuck)) = take(&state, &hostile(name)) else {
            panic!("{name}")
        };
        let fork = stuck.fork.as_deref().expect("evidence");
        assert_eq!(fork.height(), Height::new(31));
        let mut policy = frozen::policy();
        policy.anchor.header = frozen::attestation(30).header;
        assert_eq!(fork.verify(&policy, &frozen::ring()), Ok(()));
    }
}

#[test]
fn a_skip_passes_over_a_change_where_it_is_allowed() {
    let skip: Update = frozen::read(&frozen::hostile(frozen::SKIP));
    let state = at(3);
    assert_eq!(take(&state, &skip), Err(ClientError::SkipNotAllowed));
    let allowed = Options {
        allow_skip: true,
        ..OPTIONS
    };
    let update = |update: &Update| state.update(update, &frozen::ring(), allowed, frozen::now());
    let accepted = update(&skip).expect("an overlap of more than a third");
    assert_eq!(accepted.by, Reached::Skip);
    assert_eq!(accepted.state.header().height, Height::new(12));
    // Neither proof alone, and none in the other's place.
    let refused = AttestationError::Proof(ProofError::Refused);
    let mut swapped = skip.clone();
    let overlap = swapped.overlap.as_mut().expect("a skip");
    core::mem::swap(&mut overlap.proof, &mut swapped.attestation.proof);
    assert_eq!(update(&swapped), Err(refused.into()));
    let bare = Update::step(skip.attestation);
    assert!(matches!(update(&bare), Err(ClientError::UnknownSet { .. })));
}

/// A re-randomised proof is another file, and the same statement: nothing new, and no fork.
#[test]
fn a_rerandomised_proof_says_the_same() {
    let good = frozen::attestation(3);
    let mut again = good.clone();
    (again.proof.a, again.proof.b) = (-again.proof.a, -again.proof.b);
    assert_ne!(again.to_file(), good.to_file());
    assert_eq!(again.statement(), good.statement());
    let (policy, ring) = (frozen::policy(), frozen::ring());
    assert_eq!(verify(&again, &policy, &ring), Ok(()));
    let nothing_new = take(&at(3), &Update::step(again));
    assert_eq!(
        nothing_new,
        Err(ClientError::AlreadyTrusted(Height::new(3)))
    );
}

/// "Anyone signed" is no rule: a file that says so is none, in either form.
#[test]
fn a_rule_of_nothing_is_no_rule() {
    let good = frozen::attestation(3);
    let file = good.to_file();
    let rule = [2_u32.to_le_bytes(), 3_u32.to_le_bytes()].concat();
    let places: Vec<_> = (0..file.len() - 8)
        .filter(|at| file[*at..*at + 8] == rule)
        .collect();
    let [at] = places[..] else {
        panic!("{places:?}")
    };
    for (num, den) in [(0_u32, 1_u32), (0, 3), (1, 1), (3, 2), (4, 6), (2, 0)] {
        let mut bent = file.clone();
        bent[at..at + 8].copy_from_slice(&[num.to_le_bytes(), den.to_le_bytes()].concat());
        assert!(Attestation::from_file(&bent).is_err(), "{num}/{den}");
        let json = good
            .to_json()
            .replacen("\"num\": 2", &format!("\"num\": {num}"), 1);
        let json = json.replacen("\"den\": 3", &format!("\"den\": {den}"), 1);
        assert!(
            Attestation::from_file(json.as_bytes()).is_err(),
            "{num}/{den}"
        );
    }
}

/// Everything that a proof is not, under a policy that would take it.
#[test]
fn the_frozen_proofs_are_bound_to_all_that_they_say() {
    let (policy, ring) = (frozen::policy(), frozen::ring());
    let good = frozen::attestation(3);
    assert_eq!(verify(&good, &policy, &ring), Ok(()));
    let refused = Err(AttestationError::Proof(ProofError::Refused));
    let file = good.to_file();
    for at in 9..file.len() {
        let mut bent = file.clone();
        bent[at] ^= 1 << (at % 8);
        if let Ok(bent) = Attestation::from_file(&bent) {
            let verdict = verify(&bent, &policy, &ring);
            assert!(verdict.is_err(), "byte {at}");
        }
    }
    let mut other_view = good.clone();
    other_view.view = frozen::attestation(4).view;
    assert_ne!(other_view.view, good.view);
    assert_eq!(verify(&other_view, &policy, &ring), refused);
    let all: Vec<Attestation> = (1..CHANGES[0]).map(frozen::attestation).collect();
    let all: Vec<&Attestation> = all.iter().collect();
    assert_eq!(verify_all(&all, &policy, &ring), vec![Ok(()); all.len()]);
}
