//! Files of attestations, client states and forks: one encoding each, and hostile bytes.

use bolero::check;
use quorate_fixtures::fuzz::{Draw, Target, assert_canonical};
use quorate_verifier::attestation::Attestation;
use quorate_verifier::encoding::Canonical;
use quorate_verifier::file::{self, FileType};
use quorate_verifier::genesis::{AcceptedKey, KEYS_MAX};
use quorate_verifier::light_client::{ClientState, Fork, Trusted, Update};
use quorate_verifier::primitives::{ChainId, CircuitSize, Digest, Height, TimeMs, View};
use quorate_verifier::proof::VerifyingKey;

use crate::chain::*;

/// The largest state there is: longest chain id, most keys, largest numbers, evidence of a fork.
fn largest() -> ClientState {
    let big = |height| {
        let name = "a".repeat(33);
        let mut header = header(height);
        header.chain_id = ChainId::from_genesis(&name, &Digest::ZERO).unwrap();
        header.height = Height::new(u64::MAX);
        header.time = TimeMs::new(TimeMs::LIMIT - 1).unwrap();
        attest_with(&FIRST, header, u64::MAX)
    };
    let (one, mut other) = (big(3), big(3).header);
    other.payload_root = Digest::ZERO;
    let mut conflicting = attest(other);
    conflicting.view = View::new(u64::MAX);
    let key = |i: u8| AcceptedKey {
        digest: Digest::from_bytes([i; 32]),
        slots: CircuitSize::from_slots(256).unwrap(),
    };
    let trusted = Trusted::Proved(one);
    ClientState {
        fork: Some(Box::new(Fork::new(trusted.clone(), conflicting).unwrap())),
        trusted,
        keys: (0..16).map(key).collect(),
        trusting_period_ms: u64::MAX,
        clock_drift_ms: u32::MAX,
        development_keys: true,
        anchor: Digest::from_bytes([0xff; 32]),
    }
}

/// The largest update there is: a skip that opens parameters of sixteen keys.
fn largest_update() -> Update {
    let Trusted::Proved(attestation) = largest().trusted else {
        panic!("proved")
    };
    Update {
        overlap: Some(overlap(set(0), &header(5), 0)),
        parameters: Some(parameters(largest().keys)),
        attestation,
    }
}

fn round_trips<T: FileType + PartialEq + core::fmt::Debug>(value: &T) {
    assert_eq!(T::from_file(&value.to_file()).as_ref(), Ok(value));
    let json = value.to_json();
    assert_eq!(T::from_file(json.as_bytes()).as_ref(), Ok(value), "{json}");
    assert_eq!(file::kind_of(json.as_bytes()), Ok(T::KIND));
    let bytes = value.to_file();
    for length in 0..bytes.len() {
        assert!(T::from_file(&bytes[..length]).is_err(), "cut at {length}");
    }
    assert!(T::from_file(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn files_round_trip() {
    round_trips(&attest(header(3)));
    round_trips(&ClientState::new(&policy(0)).unwrap());
    let largest = largest();
    assert_eq!(largest.keys.len(), KEYS_MAX);
    assert!(largest.to_bytes().len() <= ClientState::MAX_BYTES);
    round_trips(&largest);
    round_trips(largest.fork.as_deref().unwrap());
    let update = largest_update();
    assert!(update.to_bytes().len() <= Update::MAX_BYTES);
    round_trips(&update);
    round_trips(&Update::step(attest(header(3))));
    let unproved = Fork::new(
        Trusted::Anchor(header(3)),
        attest(bent(3, |h| h.time = time(1))),
    );
    round_trips(&unproved.unwrap());
}

#[test]
fn a_fork_that_is_none_is_refused_in_both_forms() {
    let fork = largest().fork.unwrap();
    let view_only = fork.trusted().clone();
    let Trusted::Proved(same) = &view_only else {
        panic!("proved")
    };
    let mut bytes = fork.to_file();
    let at = bytes.len() - same.to_bytes().len();
    bytes.splice(at.., same.to_bytes());
    let error = Fork::from_file(&bytes)
        .expect_err("the same twice")
        .to_string();
    assert!(error.contains("are the same"), "{error}");
    let json = fork.to_json().replace(
        &fork.conflicting().header.payload_root.to_string(),
        &same.header.payload_root.to_string(),
    );
    let error = Fork::from_file(json.as_bytes())
        .expect_err("the same twice")
        .to_string();
    assert!(error.contains("are the same"), "{error}");
}

fn fuzz<T: FileType>(good: &T, iterations: usize) {
    let target = Target::new(good);
    check!()
        .with_type::<Draw>()
        .with_iterations(iterations)
        .for_each(|draw| assert_canonical::<T>(&target.bend(draw)));
}

#[test]
fn hostile_bytes_do_no_harm() {
    fuzz::<Attestation>(&attest(header(3)), 2_000);
    fuzz::<ClientState>(&ClientState::new(&policy(0)).unwrap(), 2_000);
    let largest = largest();
    fuzz::<Fork>(largest.fork.as_deref().unwrap(), 2_000);
    fuzz::<ClientState>(&largest, 2_000);
    fuzz::<Update>(&largest_update(), 2_000);
    fuzz::<VerifyingKey>(FIRST.verifier().key(), 2_000);
}

#[test]
fn every_byte_of_an_attestation_means_something() {
    let good = attest(header(3));
    let file = good.to_file();
    for at in 0..file.len() {
        let mut bent = file.clone();
        bent[at] ^= 1;
        if let Ok(other) = Attestation::from_binary(&bent) {
            assert_ne!(other, good, "byte {at}");
        }
    }
}
