//! Transcript: the weights of the batch equation, drawn from a hash of all that they weigh.
//!
//! Statement  `h` is the end of a Poseidon chain over tag, number of slots, set commitment, message
//!            digest and every slot's R, A, flag and s; `z[i]` is `Poseidon(h, i) mod 2^128`
//! Witness    the weights; the high part of each digest
//! Assumes    The halves of R, A and s are integers below 2^128, the high half of s below 2^125;
//!            the flag is a bit; the numbers of slots and inputs are the circuit's. What else stands in
//!            the batch equation (k, the points) follows from these by rows
//! Argument   A chain's element packs only what cannot run into each other: `A_hi + 2^128 flag` and
//!            `s_lo + 2^128 s_hi < 2^253 < N`, so different slots are different inputs.
//!            The split of a digest is strict: with N = top * 2^128 + bottom, `high <= top - 1`
//!            and `low < 2^128` give `low + 2^128 high < N`, so the row that says so in the
//!            field says so over the integers, and low is the one remainder. Ranges alone would leave
//!            low and high of `digest + N` where that is below 2^254: another weight for the same
//!            transcript. Digests from `top * 2^128` up, 2^-128 of all, have no proof
//! No wrap    See the argument
//! Cost       321 once; per slot 354 for the chain, 240 for the digest, and for the split
//!            chunks of 128, 126 and 126 bits (one row more for each shortened last one) and 2 rows: 622
//!            in all with chunks of 16 bits, 629 with 13
//! Source     The weights of `quorate_verifier::signature`, by a hash that is cheap here

use ark_bn254::Fr;
use ark_ff::{BigInt, PrimeField};
use quorate_verifier::message::Tag;
use quorate_verifier::poseidon;
use quorate_verifier::set::key_halves;

use crate::ground::{Bit, Builder, Lin, Wire, pow2};
use crate::lookup::Limb;
use crate::poseidon::hash;

/// A slot as the transcript takes it. Each 32 bytes are two integers below 2^128, bytes 0-15 and
/// bytes 16-31, little-endian.
#[derive(Clone, Debug)]
pub struct SlotLins {
    /// Encoding of the point R.
    pub r: [Lin; 2],
    /// Encoding of the key.
    pub a: [Lin; 2],
    /// The scalar, below 2^253.
    pub s: [Lin; 2],
    /// Whether the slot counts.
    pub flag: Bit,
}

/// A slot, natively.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotBytes {
    /// Encoding of the point R.
    pub r: [u8; 32],
    /// Encoding of the key.
    pub a: [u8; 32],
    /// The scalar, little-endian, below 2^253.
    pub s: [u8; 32],
    /// Whether the slot counts.
    pub flag: bool,
}

/// The end of the chain: the native twin of [`absorb`].
#[must_use]
pub fn native_transcript(commitment: Fr, message: [Fr; 2], slots: &[SlotBytes]) -> Fr {
    let start = [
        tag(),
        Fr::from(slots.len() as u64),
        commitment,
        message[0],
        message[1],
    ];
    slots.iter().fold(poseidon::hash(&start), |h, slot| {
        let [[r0, r1], [a0, a1], [s0, s1]] =
            [slot.r, slot.a, slot.s].map(|bytes| key_halves(&bytes));
        let flag = pow2(HALF_BITS) * Fr::from(slot.flag);
        poseidon::hash(&[h, r0, r1, a0, a1 + flag, s0 + s1 * pow2(HALF_BITS)])
    })
}

/// Weight `i`: the native twin of [`weight`].
#[must_use]
pub fn native_weight(transcript: Fr, i: usize) -> u128 {
    let [a, b, ..] = poseidon::hash(&[transcript, Fr::from(i as u64)])
        .into_bigint()
        .0;
    u128::from(a) | u128::from(b) << 64
}

/// The end of the chain over all slots.
pub fn absorb(
    g: &mut Builder,
    commitment: impl Into<Lin>,
    message: [Lin; 2],
    slots: &[SlotLins],
) -> Wire {
    let [first, last] = message;
    let slots_lin = Lin::from(slots.len() as u64);
    let start = [tag().into(), slots_lin, commitment.into(), first, last];
    let start = g.scope("transcript/start", |g| hash(g, start));
    slots.iter().enumerate().fold(start, |h, (i, slot)| {
        let [r0, r1] = slot.r.clone();
        let [a0, a1] = slot.a.clone();
        let [s0, s1] = &slot.s;
        let flagged = a1.plus(pow2(HALF_BITS), slot.flag);
        let scalar = s0.clone().plus(pow2(HALF_BITS), s1);
        let inputs = [h.into(), r0, r1, a0, flagged, scalar];
        g.scope(format_args!("transcript/slot[{i}]"), |g| hash(g, inputs))
    })
}

/// Weight `i`, an integer below 2^128.
pub fn weight(g: &mut Builder, transcript: Wire, i: usize) -> Limb {
    let inputs = [transcript.into(), Lin::from(i as u64)];
    let digest = g.scope(format_args!("weight/digest[{i}]"), |g| hash(g, inputs));
    low_half(g, digest)
}

/// `digest mod 2^128`, the digest being an integer below the modulus.
fn low_half(g: &mut Builder, digest: impl Into<Lin>) -> Limb {
    let digest = digest.into();
    let [a, b, c, d] = digest.value().into_bigint().0;
    let low = g.limb("weight/low", BigInt::new([a, b, 0, 0]), HALF_BITS);
    let high = g.limb("weight/high", BigInt::new([c, d, 0, 0]), HIGH_BITS);
    let joined = low.lin().plus(pow2(HALF_BITS), high.lin());
    g.equal("weight/split", joined, digest); // bind: low, high
    let below = Lin::from(top()) - 1 - high.lin();
    let _ = g.range("weight/below", below, HIGH_BITS); // strict: high <= top - 1
    low
}

/// The tag's 15 bytes as a big-endian integer. No other hash of five inputs starts with it.
fn tag() -> Fr {
    Fr::from_be_bytes_mod_order(Tag::WEIGHTS.as_bytes())
}

/// The modulus divided by 2^128, rounded down.
fn top() -> Fr {
    let [.., c, d] = Fr::MODULUS.0;
    Fr::from(BigInt::new([c, d, 0, 0]))
}

/// Bits of a weight, and of half an encoding.
const HALF_BITS: u32 = 128;
/// Bits of the modulus above a weight.
const HIGH_BITS: u32 = Fr::MODULUS_BIT_SIZE - HALF_BITS;

#[cfg(test)]
mod tests;
