//! The frozen chain as a node would send it: certificates made again from their seeds, and the
//! stored proofs of these very statements, which every check takes or refuses as it does others.

use std::path::Path;
use std::sync::LazyLock;

use ed25519_dalek::SigningKey;
use quorate_fixtures::frozen;
use quorate_fixtures::rolling::Rolling;
use quorate_node::attest::service::{Service, Setup};
use quorate_verifier::attestation::Attestation;
use quorate_verifier::certificate::SignedHeader;
use quorate_verifier::header::Header;
use quorate_verifier::primitives::Height;
use quorate_verifier::proof::VerifyingKey;
use quorate_verifier::set::ValidatorSet;

pub(crate) static CHAIN: LazyLock<Rolling> = LazyLock::new(|| {
    let policy = frozen::policy();
    Rolling::new(50, policy.keys[0], &frozen::CHANGES)
});

static HEADERS: LazyLock<Vec<Header>> = LazyLock::new(|| CHAIN.headers(300));

/// A final block, as the stored proof of its height speaks of.
pub(crate) fn block(height: u64) -> SignedHeader {
    CHAIN.finalize(&HEADERS[usize::try_from(height).unwrap()])
}

/// The set that signs a height.
pub(crate) fn set(height: u64) -> &'static ValidatorSet {
    &CHAIN.at(Height::new(height)).set
}

/// The stored proof of a height.
pub(crate) fn proof(height: u64) -> Attestation {
    frozen::attestation(height)
}

/// Another block that a quorum signed at a height, and the height: 13.
pub(crate) fn fork() -> (SignedHeader, u64) {
    let mut other = block(13).header;
    other.payload_root = block(1).header.payload_root;
    let view = quorate_verifier::primitives::View::new(5);
    let network = CHAIN.at(Height::new(13));
    (network.finalize(other, view, &[0, 1]), 13)
}

/// A service over the frozen chain.
pub(crate) fn setup(data: &Path) -> Setup {
    let key: VerifyingKey = frozen::read(&frozen::dir().join("key.vk"));
    Setup {
        data: data.into(),
        policy: frozen::policy(),
        keys: vec![key],
        finality_key: SigningKey::from_bytes(&[11; 32]),
        access_key: SigningKey::from_bytes(&[12; 32]),
        cosigners: Vec::new(),
        cosigned: Vec::new(),
        parameters: Vec::new(),
        retention: Default::default(),
    }
}

pub(crate) fn open(data: &Path) -> Service {
    Service::open(setup(data)).unwrap()
}

/// Takes blocks in, from one height to another.
pub(crate) fn ingest(service: &Service, from: u64, to: u64) {
    for height in from..=to {
        assert!(service.ingest(&block(height), set(height)).unwrap());
    }
}

#[test]
fn stored_proofs_are_of_these_very_blocks() {
    for height in 1..=frozen::TIP {
        let (block, proof) = (block(height), proof(height));
        assert_eq!(block.header, proof.header);
        assert_eq!(block.certificate.view(), proof.view);
    }
}
