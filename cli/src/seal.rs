//! Sealing a bundle to a machine's network key, and opening it.
//!
//! HPKE (RFC 9180) in base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. The
//! machine's Ed25519 key serves as an X25519 key by the usual map between the two forms of the
//! curve. `docs/decisions/0005-sealed-bundles.md` says why.

use ed25519_dalek::SigningKey;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use quorate_verifier::bundle::Bundle;
use quorate_verifier::encoding::{Canonical, DecodeError};
use quorate_verifier::founding::{Founding, FoundingError};
use quorate_verifier::primitives::ChainId;
use quorate_verifier::signature::VoteKey;
use zeroize::Zeroizing;

use crate::keys;

/// Why a bundle does not open, or not to what it should.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    /// Made for another machine.
    #[error("the bundle is sealed to another network key")]
    Recipient,
    /// Damaged, or changed on its way.
    #[error("the bundle is damaged: it does not open with the key that it is sealed to")]
    Seal,
    /// What was sealed is no set of founding documents.
    #[error("in the bundle: {0}")]
    Decode(#[from] DecodeError),
    /// Documents that do not agree.
    #[error("in the bundle: {0}")]
    Founding(#[from] FoundingError),
    /// Addressed to one chain, with the documents of another.
    #[error("the bundle is addressed to chain {outside} and holds the documents of {inside}")]
    Chain { outside: ChainId, inside: ChainId },
    /// The machine is not in the roster.
    #[error("in the bundle: the roster does not have this machine's network key")]
    Stranger,
}

/// Seals the documents for the machine with this network key.
pub(crate) fn seal(founding: &Founding, network_key: &VoteKey) -> Bundle {
    let chain_id = founding.anchor.header.chain_id.clone();
    let recipient = Bundle::recipient_of(network_key);
    let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(
        network_key.point().to_montgomery().as_bytes(),
    )
    .expect("any 32 bytes are an X25519 key");
    let plain = Zeroizing::new(founding.to_bytes());
    let (encapsulated, sealed) =
        hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &public,
            Bundle::info(),
            &plain,
            &Bundle::associated_data(&chain_id, &recipient),
        )
        .expect("a point of prime order has no zero multiple, and a bundle is short");
    let encapsulated = encapsulated.to_bytes().into();
    Bundle {
        chain_id,
        recipient,
        encapsulated,
        sealed,
    }
}

/// Opens a bundle and checks that its documents agree and know this machine.
pub(crate) fn open(bundle: &Bundle, key: &SigningKey) -> Result<Founding, OpenError> {
    let network_key = keys::public(key);
    if bundle.recipient != Bundle::recipient_of(&network_key) {
        return Err(OpenError::Recipient);
    }
    let scalar = Zeroizing::new(key.to_scalar_bytes());
    let secret = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(scalar.as_slice())
        .expect("any 32 bytes are an X25519 secret");
    let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&bundle.encapsulated)
        .map_err(|_| OpenError::Seal)?;
    let plain = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &secret,
        &encapsulated,
        Bundle::info(),
        &bundle.sealed,
        &Bundle::associated_data(&bundle.chain_id, &bundle.recipient),
    )
    .map(Zeroizing::new)
    .map_err(|_| OpenError::Seal)?;
    let founding = Founding::from_bytes(&plain)?;
    founding.check()?;
    let inside = &founding.anchor.header.chain_id;
    if *inside != bundle.chain_id {
        let (outside, inside) = (bundle.chain_id.clone(), inside.clone());
        return Err(OpenError::Chain { outside, inside });
    }
    if founding.roster.index_of_machine(&network_key).is_none() {
        return Err(OpenError::Stranger);
    }
    Ok(founding)
}
