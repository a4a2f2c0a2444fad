//! A bundle: what one machine needs to start, sealed to its network key.
//!
//! This module knows the file only. Sealing and opening take randomness and secret keys and are
//! done by the programs that hold them: HPKE (RFC 9180), base mode, with
//! DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305, where the X25519 key is the
//! Montgomery form of the Ed25519 network key. What is sealed is the canonical encoding of a
//! [`Founding`]; `info` and associated data are [`Bundle::info`] and [`Bundle::associated_data`].

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::encoding::{Canonical, DecodeError, Kind, Reader};
use crate::file::FileType;
use crate::founding::Founding;
use crate::json;
use crate::message::Tag;
use crate::primitives::{ChainId, Digest};
use crate::signature::VoteKey;

/// Bytes that the cipher adds to what it seals.
pub const SEAL_OVERHEAD_BYTES: usize = 16;

/// A sealed [`Founding`].
///
/// Nothing in it says who sealed it: whoever opens a bundle compares the anchor's digest with
/// the other members before relying on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// The chain that the machine is to join.
    pub chain_id: ChainId,
    /// [`Bundle::recipient_of`] the network key that opens it: recognised by its owner, and by
    /// nobody who does not know the key.
    pub recipient: Digest,
    /// The sealer's one-time X25519 key.
    #[serde(with = "json::hex_bytes")]
    pub encapsulated: [u8; 32],
    /// Ciphertext and tag.
    #[serde(with = "sealed_json")]
    pub sealed: Vec<u8>,
}

impl Bundle {
    /// How a bundle names the network key that opens it.
    pub fn recipient_of(network_key: &VoteKey) -> Digest {
        Tag::BUNDLE.digest(network_key.as_bytes())
    }

    /// HPKE's `info`: what the derived key is for.
    pub const fn info() -> &'static [u8] {
        Tag::BUNDLE.as_bytes()
    }

    /// Everything in the file that is not sealed is bound to what is: the canonical chain id, then
    /// the recipient.
    pub fn associated_data(chain_id: &ChainId, recipient: &Digest) -> Vec<u8> {
        let mut data = chain_id.to_bytes();
        recipient.write(&mut data);
        data
    }
}

impl Canonical for Bundle {
    fn write(&self, out: &mut Vec<u8>) {
        self.chain_id.write(out);
        self.recipient.write(out);
        out.extend_from_slice(&self.encapsulated);
        out.extend_from_slice(&self.sealed);
    }
    /// Takes all that is left: a bundle ends its file.
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let chain_id = ChainId::read(input)?;
        let recipient = input.array("recipient").map(Digest::from_bytes)?;
        let encapsulated = input.array("encapsulated key")?;
        let length = input.left();
        check_length(length).map_err(|rule| DecodeError::rule("sealed", rule))?;
        let sealed = input.take("sealed", length)?.to_vec();
        Ok(Self {
            chain_id,
            recipient,
            encapsulated,
            sealed,
        })
    }
}

impl FileType for Bundle {
    const KIND: Kind = Kind::Bundle;
    const MAX_BYTES: usize = 52 + 64 + Founding::MAX_BYTES + SEAL_OVERHEAD_BYTES;
}

fn check_length(length: usize) -> Result<(), String> {
    const MOST: usize = Founding::MAX_BYTES + SEAL_OVERHEAD_BYTES;
    if (SEAL_OVERHEAD_BYTES..=MOST).contains(&length) {
        return Ok(());
    }
    Err(alloc::format!(
        "{SEAL_OVERHEAD_BYTES} to {MOST} bytes are sealed, not {length}"
    ))
}

mod sealed_json {
    use super::{Deserialize, String, Vec, check_length};
    use serde::de::Error as _;

    pub(super) fn serialize<S: serde::Serializer>(
        bytes: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(D::Error::custom("bytes are written in lower-case hex"));
        }
        let bytes = hex::decode(&text).map_err(D::Error::custom)?;
        check_length(bytes.len()).map_err(D::Error::custom)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Bundle {
        Bundle {
            chain_id: ChainId::new("a-0123456789abcdef").expect("a good id"),
            recipient: Digest::from_bytes([1; 32]),
            encapsulated: [2; 32],
            sealed: alloc::vec![3; 20],
        }
    }

    #[test]
    fn both_forms_round_trip() {
        assert_eq!(Bundle::from_file(&bundle().to_file()), Ok(bundle()));
        assert_eq!(
            Bundle::from_file(bundle().to_json().as_bytes()),
            Ok(bundle())
        );
    }

    #[test]
    fn what_is_sealed_has_a_length() {
        for length in [
            0,
            SEAL_OVERHEAD_BYTES - 1,
            Founding::MAX_BYTES + SEAL_OVERHEAD_BYTES + 1,
        ] {
            let bad = Bundle {
                sealed: alloc::vec![0; length],
                ..bundle()
            };
            assert!(Bundle::from_file(&bad.to_file()).is_err(), "{length}");
            assert!(
                Bundle::from_file(bad.to_json().as_bytes()).is_err(),
                "{length}"
            );
        }
        let most = alloc::vec![0; Founding::MAX_BYTES + SEAL_OVERHEAD_BYTES];
        let most = Bundle {
            sealed: most,
            ..bundle()
        };
        assert_eq!(Bundle::from_file(&most.to_file()), Ok(most.clone()));
        assert_eq!(Bundle::from_file(most.to_json().as_bytes()), Ok(most));
    }
}
