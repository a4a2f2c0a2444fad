//! The documents of a chain agree, or the error names the two that do not.

use quorate_fixtures::vectors::{example, example_anchor, example_policy, example_roster};
use quorate_verifier::encoding::Canonical;
use quorate_verifier::founding::{Founding, FoundingError as E};
use quorate_verifier::primitives::{CircuitSize, Digest, Power};
use quorate_verifier::roster::Roster;
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::Salt;

fn founding() -> Founding {
    Founding {
        genesis: example().genesis,
        anchor: example_anchor(),
        policy: example_policy(),
        set: example().set,
        roster: example_roster(),
    }
}

fn refusal(change: impl FnOnce(&mut Founding)) -> E {
    let mut changed = founding();
    change(&mut changed);
    assert_ne!(changed.digest(), founding().digest());
    changed.check().expect_err("documents that disagree")
}

#[test]
fn good_documents_agree_and_round_trip() {
    let good = founding();
    assert_eq!(good.check(), Ok(()));
    assert_eq!(Founding::from_bytes(&good.to_bytes()), Ok(good));
}

#[test]
fn every_disagreement_has_its_error() {
    let other_salt = || {
        let salt = Some(Salt::from_bytes([1; 32]));
        let set = example_roster().validator_set(salt, example().set.size());
        set.expect("good powers")
    };
    let other_size = || {
        let size = CircuitSize::from_slots(4).expect("four slots");
        let set = example_roster().validator_set(example().set.salt().cloned(), size);
        set.expect("good powers")
    };
    assert!(matches!(
        refusal(|f| f.set = other_salt()),
        E::SetNotNamed { .. }
    ));
    assert!(matches!(refusal(|f| f.set = other_size()), E::Slots { .. }));
    let other = other_salt().commitment();
    let refused = refusal(|f| f.anchor.header.next_validators = other);
    assert!(matches!(refused, E::SetNotTrusted { .. }));
    assert!(matches!(
        refusal(|f| f.genesis.name.push('x')),
        E::ChainId { .. }
    ));
    let refused = refusal(|f| f.anchor.header.state_root = Digest::ZERO);
    assert!(matches!(refused, E::Header { .. }));
    assert!(matches!(refusal(|f| f.anchor.keys.clear()), E::Keys { .. }));
    assert_eq!(
        refusal(|f| f.policy.anchor.clock_drift_ms += 1),
        E::Policy("anchor")
    );
    assert_eq!(
        refusal(|f| f.policy.rule = QuorumRule::OVERLAP),
        E::Policy("rule")
    );
    assert_eq!(
        refusal(|f| f.policy.keys.clear()),
        E::Policy("list of keys")
    );
}

#[test]
fn the_roster_is_held_to_the_set() {
    let with = |change: fn(&mut Vec<_>)| {
        let mut entries = example_roster().entries().to_vec();
        change(&mut entries);
        let roster = Roster::new(entries).expect("still a roster");
        refusal(|f| f.roster = roster)
    };
    assert_eq!(with(|e| e.swap(1, 2)), E::Member(1));
    assert_eq!(
        with(|e| e[4].power = Power::new(2).expect("small")),
        E::Member(4)
    );
    assert_eq!(with(|e| drop(e.pop())), E::Count { roster: 4, set: 5 });
}

#[test]
fn names_and_addresses_are_in_the_digest_though_no_rule_ties_them() {
    let mut entries = example_roster().entries().to_vec();
    entries[0].network_key = entries[1].network_key.clone();
    entries[1].network_key = example_roster().entries()[0].network_key.clone();
    let mut swapped = founding();
    swapped.roster = Roster::new(entries).expect("still a roster");
    assert_eq!(swapped.check(), Ok(()));
    assert_ne!(swapped.digest(), founding().digest());
}
