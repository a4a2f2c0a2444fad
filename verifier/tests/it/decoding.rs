//! Decoders against hostile bytes: no panic, and what decodes encodes to the same bytes.

use bolero::check;
use quorate_fixtures::fuzz::{Draw, Target, assert_canonical};
use quorate_fixtures::vectors::{
    example, example_anchor, example_block, example_policy, example_roster,
};
use quorate_verifier::bundle::Bundle;
use quorate_verifier::certificate::{CommitCertificate, SignedHeader};
use quorate_verifier::encoding::DecodeError;
use quorate_verifier::file::FileType;
use quorate_verifier::genesis::{Genesis, Parameters};
use quorate_verifier::header::{HEADER_FIELDS, Header, HeaderField};
use quorate_verifier::primitives::View;
use quorate_verifier::roster::Roster;
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::ValidatorSet;
use quorate_verifier::statement::Statement;
use quorate_verifier::trust::{Policy, TrustAnchor};

fn fuzz<T: FileType>(good: &T, iterations: usize) {
    let target = Target::new(good);
    check!()
        .with_type::<Draw>()
        .with_iterations(iterations)
        .for_each(|draw| assert_canonical::<T>(&target.bend(draw)));
}

#[test]
fn header_decoder_holds() {
    fuzz::<Header>(&example_block().header, 20_000);
}

#[test]
fn set_decoder_holds() {
    // Each good key costs a check of its order.
    fuzz::<ValidatorSet>(&example().set, 2_000);
}

#[test]
fn certificate_decoder_holds() {
    fuzz::<CommitCertificate>(&example_block().certificate, 10_000);
    fuzz::<SignedHeader>(&example_block(), 10_000);
}

#[test]
fn statement_decoder_holds() {
    let block = example_block();
    let statement = Statement::of(&block.header, View::FIRST, QuorumRule::COMMIT);
    fuzz::<Statement>(&statement, 20_000);
}

#[test]
fn genesis_and_parameters_decoders_hold() {
    let genesis = example().genesis;
    fuzz::<Parameters>(&genesis.parameters, 10_000);
    fuzz::<Genesis>(&genesis, 10_000);
}

#[test]
fn anchor_and_policy_decoders_hold() {
    fuzz::<TrustAnchor>(&example_anchor(), 10_000);
    fuzz::<Policy>(&example_policy(), 10_000);
}

#[test]
fn roster_and_bundle_decoders_hold() {
    fuzz::<Roster>(&example_roster(), 2_000);
    let bundle = Bundle {
        chain_id: example_block().header.chain_id,
        recipient: example_block().header.digest(),
        encapsulated: [9; 32],
        sealed: vec![7; 64],
    };
    fuzz::<Bundle>(&bundle, 10_000);
}

#[test]
fn a_file_beyond_its_limit_is_not_read() {
    let mut file = example_block().header.to_file();
    file.resize(10_000_000, 0);
    assert!(matches!(
        Header::from_file(&file),
        Err(DecodeError::TooLong { field: "file", .. })
    ));
    let blanks = vec![b' '; 10_000_000];
    assert!(matches!(
        Header::from_file(&blanks),
        Err(DecodeError::TooLong { field: "JSON", .. })
    ));
}

#[test]
fn both_forms_say_the_same() {
    let block = example_block();
    let json = SignedHeader::from_file(block.to_json().as_bytes());
    assert_eq!(json, Ok(block.clone()));
    assert_eq!(SignedHeader::from_file(&block.to_file()), Ok(block));
}

#[test]
fn one_field_of_a_header_can_be_shown_alone() {
    let header = example_block().header;
    let digest = header.digest();
    assert_eq!(HeaderField::ALL.len(), HEADER_FIELDS);
    for field in HeaderField::ALL {
        let proof = header.prove_field(field);
        assert!(proof.shows(&digest), "{field:?}");
        for other in HeaderField::ALL.into_iter().filter(|o| *o != field) {
            let mut moved = proof.clone();
            moved.field = other;
            assert!(!moved.shows(&digest), "{field:?} passed off as {other:?}");
        }
        let mut edited = proof.clone();
        edited.encoding[0] ^= 1;
        assert!(!edited.shows(&digest), "{field:?} edited");
    }
}
