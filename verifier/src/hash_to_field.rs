//! RFC 9380 `expand_message_xmd` and `hash_to_field` with SHA-256, into the BN254 scalar field.
//!
//! Written out here because `ark-ff`'s `DefaultFieldHasher` pads with the wrong block size for this
//! field. 48 bytes per element leave a bias of 2^-130.
//!
//! A domain separation tag says what the hash is for; it goes in with its length, so no tag is a
//! prefix of another one's input.

use alloc::vec;
use alloc::vec::Vec;

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, PrimeField};
use sha2::{Digest, Sha256};

/// Hashes `message` to `N` field elements under the tag `dst`.
///
/// Each element is 48 uniform bytes, big-endian, reduced modulo the order. `N` is 1 to 170 (the
/// RFC allows 255 blocks of output); other numbers do not compile.
pub fn hash_to_field<const N: usize>(dst: &[u8], message: &[u8]) -> [Fr; N] {
    let mut hasher = FieldHasher::new(dst);
    hasher.update(message);
    hasher.finish()
}

/// [`hash_to_field`] for a message that comes in parts, none of which has to be kept.
///
/// Parts are simply joined: the caller makes them prefix-free or of fixed length.
pub struct FieldHasher {
    /// Has taken the zero block and the message so far.
    message: Sha256,
    /// The tag with its length, as the RFC's `DST_prime`.
    dst_prime: Vec<u8>,
}

impl FieldHasher {
    /// An empty message under the tag `dst`.
    pub fn new(dst: &[u8]) -> Self {
        Self {
            message: Sha256::new_with_prefix([0; BLOCK_BYTES]),
            dst_prime: dst_prime(dst),
        }
    }

    /// Appends to the message.
    pub fn update(&mut self, part: &[u8]) {
        self.message.update(part);
    }

    /// The field elements of the whole message.
    pub fn finish<const N: usize>(self) -> [Fr; N] {
        const {
            assert!(
                1 <= N && N * ELEMENT_BYTES <= MAX_EXPANDED_BYTES,
                "1 to 170 elements"
            );
        }
        let mut bytes = vec![0; N * ELEMENT_BYTES];
        self.expand(&mut bytes);
        let mut elements = [Fr::ZERO; N];
        for (element, chunk) in elements.iter_mut().zip(bytes.chunks_exact(ELEMENT_BYTES)) {
            *element = Fr::from_be_bytes_mod_order(chunk);
        }
        elements
    }

    /// RFC 9380 section 5.3.1, from the message block on.
    fn expand(self, out: &mut [u8]) {
        assert!(
            out.len() <= MAX_EXPANDED_BYTES,
            "the RFC allows 255 blocks of output"
        );
        let length = u16::try_from(out.len()).expect("255 blocks are below 2^16 bytes");
        let b_0 = self
            .message
            .chain_update(length.to_be_bytes())
            .chain_update([0])
            .chain_update(&self.dst_prime)
            .finalize();
        let mut previous = [0; DIGEST_BYTES]; // b_1 hashes b_0 itself
        for (index, chunk) in (1u8..=255).zip(out.chunks_mut(DIGEST_BYTES)) {
            for (byte, first) in previous.iter_mut().zip(&b_0) {
                *byte ^= first;
            }
            previous = Sha256::new_with_prefix(previous)
                .chain_update([index])
                .chain_update(&self.dst_prime)
                .finalize()
                .into();
            chunk.copy_from_slice(&previous[..chunk.len()]);
        }
    }
}

/// RFC 9380 `expand_message_xmd` with SHA-256: fills `out` with uniform bytes.
///
/// The length of `out` is part of what is hashed: a longer output does not start with a shorter.
///
/// # Panics
/// If `out` is longer than 255 digests (8160 bytes), the RFC's own limit. The length is a property
/// of the calling code, never of its input.
pub fn expand_message_xmd(dst: &[u8], message: &[u8], out: &mut [u8]) {
    let mut hasher = FieldHasher::new(dst);
    hasher.update(message);
    hasher.expand(out);
}

/// The tag followed by its length; a tag above 255 bytes is hashed first (section 5.3.3).
fn dst_prime(dst: &[u8]) -> Vec<u8> {
    let mut prime = match u8::try_from(dst.len()) {
        Ok(_) => dst.to_vec(),
        Err(_) => Sha256::new_with_prefix(OVERSIZE_PREFIX)
            .chain_update(dst)
            .finalize()
            .to_vec(),
    };
    prime.push(u8::try_from(prime.len()).expect("short, or a digest"));
    prime
}

/// Bytes drawn for one element: `ceil((254 + 128) / 8)`.
const ELEMENT_BYTES: usize = 48;
/// SHA-256's input block, the `s_in_bytes` of the RFC.
const BLOCK_BYTES: usize = 64;
/// SHA-256's output, the `b_in_bytes` of the RFC.
const DIGEST_BYTES: usize = 32;
/// A block index is one byte.
const MAX_EXPANDED_BYTES: usize = 255 * DIGEST_BYTES;
/// Section 5.3.3.
const OVERSIZE_PREFIX: &[u8] = b"H2C-OVERSIZE-DST-";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail loudly")]
    use alloc::string::String;

    use super::*;

    /// RFC 9380 appendix K.1: the messages, each with 32 and with 128 bytes of output.
    #[test]
    fn expands_as_appendix_k1_says() {
        let q128 = String::from("q128_") + &"q".repeat(128);
        let a512 = String::from("a512_") + &"a".repeat(512);
        let cases = [
            (
                "",
                "68a985b87eb6b46952128911f2a4412bbc302a9d759667f87f7a21d803f07235",
                "af84c27ccfd45d41914fdff5df25293e221afc53d8ad2ac06d5e3e29485dadbe\
                 e0d121587713a3e0dd4d5e69e93eb7cd4f5df4cd103e188cf60cb02edc3edf18\
                 eda8576c412b18ffb658e3dd6ec849469b979d444cf7b26911a08e63cf31f9dc\
                 c541708d3491184472c2c29bb749d4286b004ceb5ee6b9a7fa5b646c993f0ced",
            ),
            (
                "abc",
                "d8ccab23b5985ccea865c6c97b6e5b8350e794e603b4b97902f53a8a0d605615",
                "abba86a6129e366fc877aab32fc4ffc70120d8996c88aee2fe4b32d6c7b6437a\
                 647e6c3163d40b76a73cf6a5674ef1d890f95b664ee0afa5359a5c4e07985635\
                 bbecbac65d747d3d2da7ec2b8221b17b0ca9dc8a1ac1c07ea6a1e60583e2cb00\
                 058e77b7b72a298425cd1b941ad4ec65e8afc50303a22c0f99b0509b4c895f40",
            ),
            (
                "abcdef0123456789",
                "eff31487c770a893cfb36f912fbfcbff40d5661771ca4b2cb4eafe524333f5c1",
                "ef904a29bffc4cf9ee82832451c946ac3c8f8058ae97d8d629831a74c6572bd9\
                 ebd0df635cd1f208e2038e760c4994984ce73f0d55ea9f22af83ba4734569d4b\
                 c95e18350f740c07eef653cbb9f87910d833751825f0ebefa1abe5420bb52be1\
                 4cf489b37fe1a72f7de2d10be453b2c9d9eb20c7e3f6edc5a60629178d9478df",
            ),
            (
                q128.as_str(),
                "b23a1d2b4d97b2ef7785562a7e8bac7eed54ed6e97e29aa51bfe3f12ddad1ff9",
                "80be107d0884f0d881bb460322f0443d38bd222db8bd0b0a5312a6fedb49c1bb\
                 d88fd75d8b9a09486c60123dfa1d73c1cc3169761b17476d3c6b7cbbd727acd0\
                 e2c942f4dd96ae3da5de368d26b32286e32de7e5a8cb2949f866a0b80c58116b\
                 29fa7fabb3ea7d520ee603e0c25bcaf0b9a5e92ec6a1fe4e0391d1cdbce8c68a",
            ),
            (
                a512.as_str(),
                "4623227bcc01293b8c130bf771da8c298dede7383243dc0993d2d94823958c4c",
                "546aff5444b5b79aa6148bd81728704c32decb73a3ba76e9e75885cad9def1d0\
                 6d6792f8a7d12794e90efed817d96920d728896a4510864370c207f99bd4a608\
                 ea121700ef01ed879745ee3e4ceef777eda6d9e5e38b90c86ea6fb0b36504ba4\
                 a45d22e86f6db5dd43d98a294bebb9125d5b794e9d2a81181066eb954966a487",
            ),
        ];
        for (message, short, long) in cases {
            let mut out = [0; 32];
            expand_message_xmd(K1_DST, message.as_bytes(), &mut out);
            assert_eq!(hex::encode(out), short, "{message}");
            let mut out = [0; 128];
            expand_message_xmd(K1_DST, message.as_bytes(), &mut out);
            assert_eq!(hex::encode(out), long, "{message}");
        }
    }

    /// RFC 9380 appendix K.2, first vector: a tag of 256 bytes is hashed first.
    #[test]
    fn a_long_tag_is_hashed_first() {
        let dst =
            String::from("QUUX-V01-CS02-with-expander-SHA256-128-long-DST-") + &"1".repeat(208);
        assert_eq!(dst.len(), 256);
        let mut out = [0; 32];
        expand_message_xmd(dst.as_bytes(), b"", &mut out);
        assert_eq!(
            hex::encode(out),
            "e8dc0c8b686b7ef2074086fbdd2f30e3f8bfbd3bdf177f73f04b97ce618a3ed3"
        );
    }

    #[test]
    fn an_element_is_48_big_endian_bytes_reduced() {
        let mut bytes = [0; 144];
        expand_message_xmd(b"tag", b"message", &mut bytes);
        let elements = hash_to_field::<3>(b"tag", b"message");
        for (chunk, element) in bytes.chunks(48).zip(elements) {
            let byte = |sum: Fr, byte: &u8| sum * Fr::from(256) + Fr::from(*byte);
            assert_eq!(chunk.iter().fold(Fr::ZERO, byte), element);
        }
        // the number of elements is hashed: none of three is the only one of one
        assert!(!elements.contains(&hash_to_field::<1>(b"tag", b"message")[0]));
    }

    #[test]
    fn parts_are_joined() {
        let mut hasher = FieldHasher::new(b"tag");
        for part in [b"mes".as_slice(), b"", b"sage"] {
            hasher.update(part);
        }
        assert_eq!(hasher.finish::<2>(), hash_to_field::<2>(b"tag", b"message"));
    }

    #[test]
    fn the_largest_output_is_255_digests() {
        let mut out = vec![0; MAX_EXPANDED_BYTES];
        expand_message_xmd(K1_DST, b"", &mut out);
        let last: [u8; 32] = out[254 * 32..].try_into().unwrap();
        assert_ne!(last, [0; 32]);
        let elements = hash_to_field::<170>(K1_DST, b"");
        assert_ne!(elements[169], Fr::ZERO);
    }

    #[test]
    #[should_panic(expected = "255 blocks")]
    fn one_byte_more_is_refused() {
        expand_message_xmd(K1_DST, b"", &mut vec![0; MAX_EXPANDED_BYTES + 1]);
    }

    const K1_DST: &[u8] = b"QUUX-V01-CS02-with-expander-SHA256-128";
}
