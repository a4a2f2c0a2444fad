//! Certificates: every error distinct, the boundary strict, no byte that could be another.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use quorate_fixtures::Network;
use quorate_verifier::certificate::{
    CertificateError, CommitCertificate, CommitVote, SignedHeader,
};
use quorate_verifier::encoding::Canonical;
use quorate_verifier::file::FileType;
use quorate_verifier::primitives::{ChainId, POWER_LIMIT, View};
use quorate_verifier::rule::QuorumRule;

const VIEW: View = View::new(2);
const RULE: QuorumRule = QuorumRule::COMMIT;

fn block(network: &Network, signers: &[u16]) -> SignedHeader {
    network.finalize(network.child(&network.genesis_header()), VIEW, signers)
}

fn chain(network: &Network) -> ChainId {
    network.genesis.chain_id().expect("a good name")
}

fn with_votes(block: &SignedHeader, edit: impl FnOnce(&mut Vec<CommitVote>)) -> CommitCertificate {
    let mut votes = block.certificate.votes().to_vec();
    edit(&mut votes);
    CommitCertificate::new(block.certificate.block(), VIEW, votes).expect("still ordered")
}

#[test]
fn a_quorum_is_accepted_and_its_power_told() {
    let network = Network::new(5, &[10, 20, 30, 40], 3);
    let block = block(&network, &[1, 2, 3]);
    let signed = block.verify(&chain(&network), &network.set, RULE);
    assert_eq!(signed.map(|p| p.get()), Ok(90));
}

#[test]
fn order_is_checked_when_a_certificate_is_made() {
    let network = Network::equal(5, 4, 3);
    let block = block(&network, &[0, 1, 2]);
    let make = |places: &[usize]| {
        let votes = places
            .iter()
            .map(|i| block.certificate.votes()[*i])
            .collect();
        CommitCertificate::new(block.certificate.block(), VIEW, votes).map(|_| ())
    };
    assert_eq!(make(&[0, 0, 1]), Err(CertificateError::Duplicate(0)));
    let wrong = CertificateError::WrongOrder {
        first: 2,
        second: 1,
    };
    assert_eq!(make(&[0, 2, 1]), Err(wrong));
    let wrong = CertificateError::WrongOrder {
        first: 1,
        second: 0,
    };
    assert_eq!(
        make(&[0, 1, 0]),
        Err(wrong),
        "twice, with another between: also out of order"
    );
    let vote = block.certificate.votes()[0];
    let many = (0..257).map(|index| CommitVote { index, ..vote }).collect();
    assert_eq!(
        CommitCertificate::new(block.certificate.block(), VIEW, many),
        Err(CertificateError::TooMany(257))
    );
}

#[test]
fn unknown_signers_are_named() {
    let network = Network::equal(5, 4, 3);
    let block = block(&network, &[0, 1, 2]);
    let certificate = with_votes(&block, |votes| votes[2].index = 4);
    let unknown = CertificateError::UnknownSigner { index: 4, count: 4 };
    assert_eq!(certificate.verify(&network.set, RULE), Err(unknown));
}

#[test]
fn every_bad_signature_is_named_with_its_signer() {
    let network = Network::equal(5, 7, 5);
    let block = block(&network, &[0, 2, 3, 5, 6]);
    let other = network.vote(2, &block.certificate.block(), View::new(9));
    let stranger = Network::equal(6, 7, 5).vote(6, &block.certificate.block(), VIEW);
    let certificate = with_votes(&block, |votes| {
        votes[1].signature = other.signature; // of another view
        votes[4].signature = stranger.signature;
    });
    match certificate.verify(&network.set, RULE) {
        Err(CertificateError::BadSignatures(bad)) => {
            let signers: Vec<_> = bad.iter().map(|b| b.signer).collect();
            assert_eq!(signers, [2, 6]);
        }
        other => panic!("{other:?}"),
    }
    // A vote under another signer's place is a bad signature of that signer.
    let certificate = with_votes(&block, |votes| votes[4].signature = votes[3].signature);
    let error = certificate
        .verify(&network.set, RULE)
        .expect_err("replayed");
    assert!(error.to_string().contains("validator 6"), "{error}");
}

#[test]
fn too_little_power_is_told_with_both_numbers() {
    let network = Network::new(5, &[10, 20, 30, 30], 3);
    let block = block(&network, &[2, 3]);
    let error = CertificateError::NotEnoughPower {
        signed: 60,
        total: 90,
        rule: RULE,
    };
    assert_eq!(
        block.certificate.verify(&network.set, RULE),
        Err(error),
        "exactly two thirds"
    );
    let none = with_votes(&block, Vec::clear);
    assert!(matches!(
        none.verify(&network.set, RULE),
        Err(CertificateError::NotEnoughPower { signed: 0, .. })
    ));
}

#[test]
fn another_chain_set_or_block_is_told_apart() {
    let network = Network::equal(5, 4, 3);
    let other = Network::equal(6, 4, 3);
    let good = block(&network, &[0, 1, 2]);
    assert!(matches!(
        good.verify(&chain(&other), &network.set, RULE),
        Err(CertificateError::WrongChain { .. })
    ));
    assert!(matches!(
        good.verify(&chain(&network), &other.set, RULE),
        Err(CertificateError::WrongSet { .. })
    ));
    let mut edited = good.clone();
    edited.header.height = edited.header.height.next().expect("small");
    assert!(matches!(
        edited.verify(&chain(&network), &network.set, RULE),
        Err(CertificateError::WrongBlock { .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Two signers of three hold exactly `2·third + extra` of `3·third + …`, up to 2^60.
    #[test]
    fn exactly_two_thirds_is_refused_and_one_unit_more_accepted(
        third in prop_oneof![1u64..100, (POWER_LIMIT / 3 - 100)..(POWER_LIMIT - 1) / 3],
        split in any::<u64>(),
    ) {
        let signed = 2 * third;
        let first = 1 + split % (signed - 1);
        let exact = Network::new(7, &[first, signed - first, third], 2);
        let refused = block(&exact, &[0, 1]).certificate.verify(&exact.set, RULE);
        let total = 3 * third;
        prop_assert_eq!(refused, Err(CertificateError::NotEnoughPower { signed, total, rule: RULE }));
        if third > 1 {
            // The same total, one unit moved to the signers.
            let more = Network::new(7, &[first, signed - first + 1, third - 1], 2);
            let accepted = block(&more, &[0, 1]).certificate.verify(&more.set, RULE);
            prop_assert_eq!(accepted.map(|p| p.get()), Ok(signed + 1));
        }
    }
}

/// Judges `file` with the byte at `at` set to `value`; whether it is accepted.
fn accepts(network: &Network, file: &[u8], at: usize, value: u8) -> bool {
    let mut edited = file.to_vec();
    edited[at] = value;
    SignedHeader::from_file(&edited)
        .is_ok_and(|block| block.verify(&chain(network), &network.set, RULE).is_ok())
}

/// Runs `check` over `0..count` on both cores.
fn in_parallel(count: usize, check: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(i) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < count)
                {
                    check(i);
                }
            });
        }
    });
}

#[test]
fn every_byte_of_a_small_certificate_set_to_every_value_is_refused() {
    let network = Network::equal(8, 4, 3);
    let file = block(&network, &[0, 1, 3]).to_file();
    assert!(accepts(&network, &file, 0, file[0]), "unchanged");
    in_parallel(file.len(), |at| {
        for value in (0..=255).filter(|value| *value != file[at]) {
            assert!(
                !accepts(&network, &file, at, value),
                "byte {at} set to {value}"
            );
        }
    });
}

#[test]
fn every_byte_of_a_large_certificate_changed_once_is_refused() {
    let network = Network::equal(9, 100, 67);
    let signers: Vec<u16> = (0..100).filter(|i| i % 3 != 1).collect();
    assert_eq!(signers.len(), 67);
    let file = block(&network, &signers).to_file();
    assert!(accepts(&network, &file, 0, file[0]), "unchanged");
    in_parallel(file.len(), |at| {
        let value = file[at].wrapping_add(1 + u8::try_from(at % 255).expect("below 255"));
        assert!(
            !accepts(&network, &file, at, value),
            "byte {at} set to {value}"
        );
    });
}

#[test]
fn certificates_are_small() {
    let network = Network::equal(9, 100, 67);
    let signers: Vec<u16> = (0..67).collect();
    let certificate = block(&network, &signers).certificate;
    assert_eq!(certificate.to_bytes().len(), 42 + 67 * 66);
}
