//! Agreement with the native twin, strictness of the split, and what must change the weights.

use ark_ff::{AdditiveGroup, Field};
use proptest::prelude::*;

use super::*;
use crate::testing::{Built, Forge, Trial};

/// Weights of given signatures, compared with claimed ones.
fn build(slots: &[SlotBytes], claimed: &[u128], trial: Trial) -> Built {
    let mut statement = vec![Fr::from(11_u64), Fr::from(12_u64), Fr::from(13_u64)];
    for slot in slots {
        statement.extend(
            [slot.r, slot.a, slot.s]
                .map(|bytes| key_halves(&bytes))
                .concat(),
        );
        statement.push(Fr::from(slot.flag));
    }
    let claims = statement.len();
    statement.extend(claimed.iter().map(|z| Fr::from(*z)));
    trial.statement(&statement).build(|g| {
        let lins: Vec<SlotLins> = (0..)
            .zip(slots)
            .map(|(i, slot)| {
                let at = |k: usize| Lin::from(g.statement(3 + 7 * i + k));
                let (r, a, s) = ([at(0), at(1)], [at(2), at(3)], [at(4), at(5)]);
                let flag = g.bit("flag", slot.flag);
                g.equal("flagged", flag, g.statement(3 + 7 * i + 6));
                SlotLins { r, a, s, flag }
            })
            .collect();
        let message = [g.statement(1).into(), g.statement(2).into()];
        let h = absorb(g, g.statement(0), message, &lins);
        for i in 0..claimed.len() {
            let z = weight(g, h, i);
            assert_eq!(z.bits(), 128);
            g.equal(format_args!("claimed[{i}]"), &z, g.statement(claims + i));
        }
    })
}

fn native(slots: &[SlotBytes]) -> Vec<u128> {
    let h = native_transcript(
        Fr::from(11_u64),
        [Fr::from(12_u64), Fr::from(13_u64)],
        slots,
    );
    (0..slots.len()).map(|i| native_weight(h, i)).collect()
}

fn arb_slot() -> impl Strategy<Value = SlotBytes> {
    let bytes = || prop_oneof![any::<[u8; 32]>(), Just([0; 32]), Just([0xff; 32])];
    (bytes(), bytes(), bytes(), any::<bool>()).prop_map(|(r, a, mut s, flag)| {
        s[31] &= 0x1f;
        SlotBytes { r, a, s, flag }
    })
}

fn example() -> Vec<SlotBytes> {
    let bytes = |n: u8| [17_u8.wrapping_mul(n).wrapping_add(5); 32];
    (0..2_u8)
        .map(|i| {
            let mut s = bytes(3 * i + 2);
            s[31] = 0x0f;
            SlotBytes {
                r: bytes(3 * i),
                a: bytes(3 * i + 1),
                s,
                flag: i == 0,
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn agrees_with_native(slots in prop::collection::vec(arb_slot(), 1..4), off in 0_u128..2) {
        let mut claimed = native(&slots);
        claimed[0] = claimed[0].wrapping_add(off);
        let built = build(&slots, &claimed, Trial::new());
        prop_assert_eq!(built.first_broken(), (off > 0).then_some("claimed[0]"));
    }
}

/// Every part of every slot changes every weight, and so do message, set and number of slots.
#[test]
fn everything_is_absorbed() {
    let honest = example();
    let transcript = |slots: &[SlotBytes]| {
        native_transcript(
            Fr::from(11_u64),
            [Fr::from(12_u64), Fr::from(13_u64)],
            slots,
        )
    };
    let h = transcript(&honest);
    let mut seen = vec![h];
    for slot in 0..2 {
        for edit in 0..7 {
            let mut slots = honest.clone();
            let s = &mut slots[slot];
            match edit {
                0 => s.r[0] ^= 1,
                1 => s.r[31] ^= 0x80,
                2 => s.a[15] ^= 1,
                3 => s.a[16] ^= 1,
                4 => s.s[0] ^= 1,
                5 => s.s[31] ^= 0x10,
                _ => s.flag ^= true,
            }
            let edited = transcript(&slots);
            assert!(!seen.contains(&edited), "slot {slot}, edit {edit}");
            seen.push(edited);
            // and the circuit follows the edit, not the honest weights
            let built = build(&slots, &native(&honest), Trial::new());
            assert_eq!(
                built.broken().collect::<Vec<_>>(),
                ["claimed[0]", "claimed[1]"]
            );
        }
    }
    let swapped: Vec<_> = honest.iter().rev().copied().collect();
    let one = Fr::ONE;
    for other in [
        transcript(&swapped),
        transcript(&honest[..1]),
        native_transcript(one, [Fr::from(12_u64), Fr::from(13_u64)], &honest),
        native_transcript(Fr::from(11_u64), [one, Fr::from(13_u64)], &honest),
        native_transcript(Fr::from(11_u64), [Fr::from(12_u64), one], &honest),
    ] {
        assert!(!seen.contains(&other));
        seen.push(other);
    }
}

/// A digest of this value, split.
fn split(digest: Fr, trial: Trial) -> Built {
    trial.statement(&[digest]).build(|g| {
        let _ = low_half(g, g.statement(0));
    })
}

#[test]
fn digests_are_split_up_to_the_bound() {
    let bound = top() * pow2(128);
    for digest in [Fr::ZERO, Fr::ONE, pow2(128), pow2(253), bound - Fr::ONE] {
        assert_eq!(split(digest, Trial::new()).first_broken(), None, "{digest}");
    }
    // from here on a digest, one of 2^128, cannot be proved
    for digest in [bound, -Fr::ONE] {
        let built = split(digest, Trial::new());
        assert_eq!(built.broken().collect::<Vec<_>>(), ["lookup/sum"]);
        assert_eq!(built.strays().next(), Some("weight/below/chunk[15]/range"));
    }
}

/// The low half of `digest + N`, where that is below 2^254: every range holds but the strict one.
#[test]
fn an_aliased_weight_is_refused() {
    use ark_ff::BigInteger;
    for digest in [0_u64, 1, 1 << 60].map(Fr::from) {
        let mut alias = digest.into_bigint();
        assert!(!alias.add_with_carry(&Fr::MODULUS));
        assert!(alias.num_bits() <= 254);
        let [a, b, c, d] = alias.0;
        let trial = Trial::new()
            .lie(Forge::value(
                "weight/low",
                0,
                Fr::from(BigInt::new([a, b, 0, 0])),
            ))
            .lie(Forge::value(
                "weight/high",
                0,
                Fr::from(BigInt::new([c, d, 0, 0])),
            ));
        let built = split(digest, trial);
        assert_eq!(built.broken().collect::<Vec<_>>(), ["lookup/sum"]);
        assert!(
            built.strays().all(|name| name.starts_with("weight/below/")),
            "only the strict one"
        );
        assert_eq!(built.strays().next(), Some("weight/below/chunk[15]/range"));
    }
}

/// A weight of the prover's choice; the high part then is what makes the split's row hold.
#[test]
fn forged_halves_are_refused() {
    let digest = Fr::from(5_u64) + pow2(200);
    for low in [Fr::ZERO, Fr::ONE, pow2(128) - Fr::ONE] {
        let built = split(digest, Trial::new().lie(Forge::value("weight/low", 0, low)));
        assert_eq!(built.broken().collect::<Vec<_>>(), ["weight/split"]);
        let high = (digest - low) / pow2(128);
        let trial = Trial::new()
            .lie(Forge::value("weight/low", 0, low))
            .lie(Forge::value("weight/high", 0, high));
        let built = split(digest, trial);
        assert_eq!(built.broken().collect::<Vec<_>>(), ["lookup/sum"]);
        assert_eq!(built.strays().next(), Some("weight/high/chunk[15]/range"));
    }
    // one more than 128 bits, taken from the high part
    let trial = Trial::new()
        .lie(Forge::plus("weight/low", 0, pow2(128)))
        .lie(Forge::plus("weight/high", 0, -Fr::ONE));
    let built = split(digest, trial);
    assert_eq!(built.broken().collect::<Vec<_>>(), ["lookup/sum"]);
    assert_eq!(
        built.strays().collect::<Vec<_>>(),
        ["weight/low/chunk[15]/range"]
    );
    let lie = Forge::value("weight/high", 0, 0);
    assert_eq!(
        split(digest, Trial::new().lie(lie)).first_broken(),
        Some("weight/split")
    );
}

#[test]
fn every_cell_is_pinned() {
    let slots = example();
    let built = build(&slots, &native(&slots), Trial::new());
    assert_eq!(built.first_broken(), None);
    assert!(built.unpinned().is_empty(), "{:?}", built.unpinned());
    built.assert_hints_tested(&["flag", "weight/low", "weight/high"]);
}

#[test]
fn cost() {
    for (chunk_bits, per_slot) in [(13, 629), (16, 622)] {
        let slots = example();
        let rows = |n: usize| {
            let slots = &slots[..n];
            let built = build(slots, &native(slots), Trial::new().chunk_bits(chunk_bits));
            built.rows_under("transcript/") + built.rows_under("weight/")
        };
        assert_eq!(rows(2) - rows(1), per_slot);
        assert_eq!(rows(1) - per_slot, 321);
    }
}
