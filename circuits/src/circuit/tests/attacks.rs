//! Attacks on the whole circuit: a false witness, everything else computed honestly by the real
//! builder, and the rows that refuse it, no other.
//!
//! `docs/circuit/attacks.md` shows the list.

use core::ops::Range;

use ark_ff::{BigInteger, Field as _, PrimeField};
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar as Mod;
use quorate_verifier::poseidon;

use super::completeness::{alone, one};
use super::*;
use crate::edwards::{Affine, affine, lift, scale, start};
use crate::field25519::{Fp, Int, canonical, modulus, residue};
use crate::scalar::{odd_representative, order};
use crate::transcript::{SlotBytes, native_transcript};

/// What is tried, and what refuses it.
pub(super) struct Attack {
    pub(super) what: &'static str,
    /// Names, or beginnings of names, of all rows that refuse one of the cases. `look-up` stands before
    /// those of look-ups that `lookup/sum` refuses.
    pub(super) refused_by: &'static [&'static str],
    cases: fn() -> Vec<Verdict>,
}

/// The end of the batch equation, both coordinates.
const EQUATION: &str = "batch/end/";

pub(super) const ATTACKS: &[Attack] = &[
    // who signed
    Attack {
        what: "a stranger's valid signature",
        refused_by: &["slot[0]/member/root"],
        cases: || {
            let mut w = example();
            let other = Network::new(99, &[40, 30, 20, 10], 3);
            w.slots[0].key = *other.set.validators()[0].key.as_bytes();
            w.slots[0].signature = other.vote(0, &header_digest(), VIEW).signature;
            vec![judge(w)]
        },
    },
    Attack {
        what: "a leaf of another set, with its key's signature",
        refused_by: &["slot[0]/member/root"],
        cases: || {
            let mut w = example();
            let other = Network::new(99, &[40, 30, 20, 10], 3);
            w.slots[0].key = *other.set.validators()[0].key.as_bytes();
            w.slots[0].signature = other.vote(0, &header_digest(), VIEW).signature;
            w.slots[0].opening = Opening::of(&other.set, 0).expect("a member");
            vec![judge(w)]
        },
    },
    Attack {
        what: "an inner node passed off as a leaf",
        refused_by: &["slot[0]/member/root"],
        cases: || {
            let mut w = example();
            let opening = &mut w.slots[0].opening;
            opening.siblings.remove(0);
            opening.siblings.push(Fr::from(0));
            vec![judge(w)]
        },
    },
    Attack {
        what: "the same signer twice in a row",
        refused_by: &["look-up order/gap[0]/"],
        cases: || {
            let mut w = example();
            w.slots[1] = w.slots[0].clone();
            vec![judge(w)]
        },
    },
    Attack {
        what: "the same signer twice with an unflagged slot between",
        refused_by: &["look-up order/gap[1]/"],
        cases: || {
            let mut w = example();
            // Of a higher place: ordering only the flagged would miss it.
            w.slots[2].opening.index = 7;
            w.slots = vec![w.slots[0].clone(), w.slots[2].clone(), w.slots[0].clone()];
            vec![judge(w)]
        },
    },
    Attack {
        what: "the same signer under another place",
        refused_by: &["slot[1]/member/root"],
        cases: || {
            let mut w = example();
            w.slots[1] = w.slots[0].clone();
            w.slots[1].opening.index = 1;
            vec![judge(w)]
        },
    },
    // power
    Attack {
        what: "an unused slot's flag raised, for its power to count",
        refused_by: &["slot[2]/member/root"],
        cases: || vec![judge_lies(vec![Forge::value("flag", 2, 1)])],
    },
    Attack {
        what: "power claimed in an unflagged slot; a member's slot left unflagged",
        refused_by: &["look-up quorum/slack/"],
        cases: || {
            let mut claimed = two_thirds(RULE);
            claimed.slots[2].opening.power = 1 << 59;
            vec![judge(claimed), judge_lies(vec![Forge::value("flag", 1, 0)])]
        },
    },
    Attack {
        what: "power edited",
        refused_by: &["slot[0]/member/root"],
        cases: || {
            let mut w = example();
            w.slots[0].opening.power += 1;
            vec![judge(w)]
        },
    },
    Attack {
        what: "the set's total or number of members edited",
        refused_by: &["set/commitment"],
        cases: || {
            let (mut total, mut count) = (example(), example());
            total.set.total -= 1;
            count.set.count += 1;
            vec![judge(total), judge(count)]
        },
    },
    Attack {
        what: "exactly two thirds",
        refused_by: &["look-up quorum/slack/"],
        cases: || {
            let half = QuorumRule::new(1, 2).expect("lowest terms");
            assert_accepted("six of nine are more than half", &judge(two_thirds(half)));
            vec![judge(two_thirds(RULE))]
        },
    },
    Attack {
        what: "another rule than the statement's",
        refused_by: &["quorum/rule"],
        cases: || {
            let (num, den) = (
                Forge::value("quorum/num", 0, 1),
                Forge::value("quorum/den", 0, 3),
            );
            vec![judge_lies(vec![num, den])]
        },
    },
    Attack {
        what: "another set's commitment",
        refused_by: &["set/commitment"],
        cases: || {
            let mut w = example();
            w.statement.set_commitment = Network::equal(99, 4, 3).set.commitment();
            vec![judge(w)]
        },
    },
    // signatures
    Attack {
        what: "another message",
        refused_by: &[EQUATION],
        cases: || {
            let mut w = example();
            let mut digest = *w.statement.message_digest.as_bytes();
            digest[31] ^= 1;
            w.statement.message_digest = Digest::from_bytes(digest);
            vec![judge(w)]
        },
    },
    Attack {
        what: "a message whose bits are not the statement's",
        refused_by: &["message/last/sum", EQUATION],
        cases: || vec![judge_lies(vec![flip("last", 0)])],
    },
    Attack {
        what: "s + L",
        refused_by: &["slot[0]/s/high", "look-up slot[0]/s/margin/"],
        cases: || {
            let mut w = example();
            let old = w.slots[0].signature;
            let s = Int::from_bytes_le(&old.s_bytes()) + order().value();
            w.slots[0].signature = signature(old.r_bytes(), bytes(s));
            vec![judge(w)]
        },
    },
    Attack {
        what: "one bad s among good ones, in each slot; two errors that cancel under equal weights",
        refused_by: &[EQUATION],
        cases: || {
            let moved = |w: &mut QuorumWitness, slot: usize, delta: Mod| {
                let old = w.slots[slot].signature;
                let s = Mod::from_canonical_bytes(old.s_bytes()).expect("canonical") + delta;
                w.slots[slot].signature = signature(old.r_bytes(), *s.as_bytes());
            };
            let mut cases: Vec<_> = (0..3)
                .map(|slot| {
                    let mut w = example();
                    moved(&mut w, slot, Mod::ONE);
                    judge(w)
                })
                .collect();
            let mut w = example();
            moved(&mut w, 0, Mod::ONE);
            moved(&mut w, 1, -Mod::ONE);
            cases.push(judge(w));
            cases
        },
    },
    Attack {
        what: "R + T with the old s, for each torsion T",
        refused_by: &[EQUATION],
        cases: || {
            let moved = |torsion: &EdwardsPoint| {
                let mut w = example();
                let old = w.slots[0].signature;
                let r = decompress(old.r_bytes()) + torsion;
                w.slots[0].signature = signature(*r.compress().as_bytes(), old.s_bytes());
                judge(w)
            };
            EIGHT_TORSION[1..].iter().map(moved).collect()
        },
    },
    // points
    Attack {
        what: "R the identity",
        refused_by: &[
            "batch/slot[0]/R/decode/u of y/",
            "batch/slot[0]/R/table/double/tangent/",
            EQUATION,
        ],
        cases: || vec![judge_r(bytes(Int::ONE))],
    },
    Attack {
        what: "R of order two",
        refused_by: &["batch/slot[0]/R/table/double/tangent/", EQUATION],
        cases: || vec![judge_r(bytes(modulus().value() - Int::ONE))],
    },
    Attack {
        what: "R with y taken as y + p",
        refused_by: &["look-up batch/slot[0]/R/decode/y below p/", EQUATION],
        cases: || vec![judge_r(bytes(modulus().value() + Int::from(3)))],
    },
    Attack {
        what: "a point off the curve, y and x consistent",
        refused_by: &["batch/slot[0]/A/decode/on curve/exact", EQUATION],
        cases: || vec![judge_lies(off_the_curve())],
    },
    Attack {
        what: "x taken as x + p before its parity",
        refused_by: &["look-up batch/slot[0]/R/decode/x below p/", EQUATION],
        cases: || vec![x_and_p()],
    },
    Attack {
        what: "P + P by a chord, with a slope of one's choice",
        refused_by: &["batch/distinct/nonzero", EQUATION],
        cases: || vec![a_chord_through_one_point_twice()],
    },
    Attack {
        what: "T added to an intermediate point, which the cofactor clears again",
        refused_by: &[
            "batch/chain[40]/double/tangent/exact",
            "batch/chain[40]/double/u/exact",
        ],
        cases: || {
            let torsions = [1, 2, 4].map(|i| EIGHT_TORSION[i]);
            torsions.map(|t| judge_lies(torsion_in_the_chain(t))).into()
        },
    },
    Attack {
        what: "another slot's table entry under the same digit",
        refused_by: &["look-up batch/slot[0]/A/select", EQUATION],
        cases: || vec![judge_lies(another_slots_entry())],
    },
    // scalars
    Attack {
        what: "an aliased weight: the low half of digest + N",
        refused_by: &["look-up weight/below/"],
        cases: || vec![an_aliased_weight()],
    },
    Attack {
        what: "a weight of one's choice",
        refused_by: &["weight/split"],
        cases: || vec![judge_lies(vec![Forge::value("weight/low", 0, 1)])],
    },
    Attack {
        what: "a false k mod L, off by N 2^128: right modulo N and modulo 2^128",
        refused_by: &["batch/slot[0]/w k mod L/exact/low", EQUATION],
        cases: || vec![judge_lies(a_false_k_mod_l())],
    },
    // arithmetic
    Attack {
        what: "a carry out of range, for a false result",
        refused_by: &["look-up batch/chain[40]/double/u/carry/", EQUATION],
        cases: || vec![judge_lies(a_false_result(true))],
    },
    Attack {
        what: "a quotient out of range, for a false result",
        refused_by: &[
            "look-up batch/chain[40]/double/u/quotient/",
            "look-up batch/chain[40]/double/u/carry/",
            EQUATION,
        ],
        cases: || vec![judge_lies(a_false_result(false))],
    },
    // look-ups
    Attack {
        what: "a chunk out of range, its neighbours making up for it",
        refused_by: &["look-up slot[0]/member/power/"],
        cases: || {
            let chunk = site("chunk", "slot[0]/member/power/").start;
            vec![judge_lies(vec![Forge::plus("chunk", chunk, 256)])]
        },
    },
    Attack {
        what: "a multiplicity forged",
        refused_by: &["lookup/sum"],
        cases: || {
            let count = three().hints()["lookup/multiplicity"].len();
            let lies = [0, count / 2, count - 1].map(|i| Forge::plus("lookup/multiplicity", i, 1));
            lies.map(|lie| judge_lies(vec![lie])).into()
        },
    },
];

/// Every case of every attack is refused, by rows that the list names; and it names none in vain.
#[test]
fn every_attack_is_refused_by_its_rows() {
    on_all_cores(ATTACKS, |attack| {
        let mut needed: Vec<&str> = attack.refused_by.to_vec();
        for verdict in (attack.cases)() {
            let refusals = refusals(&verdict);
            assert!(!refusals.is_empty(), "{}: accepted", attack.what);
            for name in &refusals {
                let by = attack.refused_by.iter().find(|by| name.starts_with(*by));
                let by = by.unwrap_or_else(|| {
                    panic!("{}: refused by {name}, all: {refusals:?}", attack.what)
                });
                needed.retain(|row| row != by);
            }
        }
        assert!(needed.is_empty(), "{}: never by {needed:?}", attack.what);
    });
}

/// Refusals as the list writes them.
fn refusals(verdict: &Verdict) -> Vec<String> {
    let rows = verdict.refusals();
    let (rows, strays) = rows.split_at(rows.len() - verdict.strays.len());
    let strays = strays.iter().map(|name| format!("look-up {name}"));
    rows.iter().map(ToString::to_string).chain(strays).collect()
}

fn header_digest() -> Digest {
    let network = network();
    network.child(&network.genesis_header()).digest()
}

/// Two signers with exactly two thirds, and a dummy.
fn two_thirds(rule: QuorumRule) -> QuorumWitness {
    let network = Network::new(13, &[4, 2, 3], 3);
    let header = network.child(&network.genesis_header());
    let block = network.finalize(header, VIEW, &[0, 1]);
    let half = QuorumRule::new(1, 2).expect("lowest terms");
    let mut w = QuorumWitness::new(&block.certificate, &network.set, half).expect("six of nine");
    w.statement.rule = rule;
    w
}

/// The numbers of the hints of this kind that are asked for in this scope.
fn site(kind: &str, scope: &str) -> Range<usize> {
    let hints = &three().hints()[kind];
    let here = |i: &usize| &*hints[*i].scope == scope;
    let first = (0..hints.len()).find(here).expect("such a hint is there");
    let count = (first..hints.len()).take_while(here).count();
    first..first + count
}

fn hint(kind: &str, number: usize) -> Fr {
    three().hints()[kind][number].value
}

/// The element whose limbs, of 64 bits, are asked for in this scope.
fn element(kind: &str, scope: &str) -> Int {
    let site = site(kind, scope);
    assert_eq!(site.len(), 4, "one element");
    let limb = |(i, number)| Int::from_native(hint(kind, number)).shift_up(64 * i);
    site.enumerate()
        .map(limb)
        .fold(Int::ZERO, |sum, limb| sum + limb)
}

/// Lies about all limbs of that element.
fn limbs(kind: &'static str, scope: &str, value: Int) -> Vec<Forge> {
    let limb = |(i, number)| Forge::value(kind, number, value.slice(64 * i, 64));
    site(kind, scope).enumerate().map(limb).collect()
}

/// The other bit.
fn flip(kind: &'static str, number: usize) -> Forge {
    Forge::value(kind, number, Fr::from(1) - hint(kind, number))
}

fn bytes(value: Int) -> [u8; 32] {
    core::array::from_fn(|i| u8::try_from(value.slice(8 * i, 8)).expect("a byte"))
}

fn decompress(bytes: [u8; 32]) -> EdwardsPoint {
    CompressedEdwardsY(bytes).decompress().expect("a point")
}

fn affine_of(bytes: [u8; 32]) -> Affine {
    affine(&decompress(bytes)).expect("x is not zero")
}

/// [`example`] with these bytes for the first R.
fn with_r(r: [u8; 32]) -> QuorumWitness {
    let mut w = example();
    let s = w.slots[0].signature.s_bytes();
    w.slots[0].signature = signature(r, s);
    w
}

fn judge_r(r: [u8; 32]) -> Verdict {
    judge(with_r(r))
}

/// Another x of the same parity, and the v that fits it.
fn off_the_curve() -> Vec<Forge> {
    const SCOPE: &str = "batch/slot[0]/A/decode/";
    let honest = affine_of(example().slots[0].key);
    let parity = |x: Fp| canonical(x).slice(0, 1);
    let mut x = honest.x + Fp::from(2);
    while parity(x) != parity(honest.x) {
        x += Fp::from(1);
    }
    let v = scale() * honest.u / x;
    let mut lies = limbs("decoded/v", SCOPE, canonical(v));
    lies.extend(limbs("decoded/x", SCOPE, canonical(x)));
    lies
}

/// The encoding of a point with x below 19 under the other sign, decoded to the very point: x + p
/// has the parity that the sign asks for, and 255 bits.
fn x_and_p() -> Verdict {
    const SCOPE: &str = "batch/slot[0]/R/decode/";
    let d = -Fp::from(121_665) / Fp::from(121_666);
    let point = (1..19_u64).find_map(|x| {
        let xx = Fp::from(x).square();
        let y = ((Fp::from(1) + xx) / (Fp::from(1) - d * xx)).sqrt()?;
        Some((y, lift(y, x & 1 == 1)?))
    });
    let (y, point) = point.expect("about half of all x have a point");
    let x = canonical(point.x);
    let sign = Int::from(i128::from(1 - x.slice(0, 1))).shift_up(255);
    let mut lies = limbs("decoded/v", SCOPE, canonical(point.v));
    lies.extend(limbs("decoded/x", SCOPE, x + modulus().value()));
    let w = with_r(bytes(canonical(y) + sign));
    three().judge(&circuit(w), lies)
}

/// The key is the point at which the chain starts. Nobody can sign with it, but where its highest
/// digit is one the first chord is from that point to itself, and any slope fits.
fn a_chord_through_one_point_twice() -> Verdict {
    let key = *start().compress().as_bytes();
    let message = example().message;
    let slope = {
        let hints = &one().hints()["slope"];
        let first = hints
            .iter()
            .position(|hint| &*hint.scope == "batch/chain[250]/add[2]/");
        let first = first.expect("the key's highest digit is the first to be added");
        (0..4)
            .map(|i| Forge::value("slope", first + i, 7 + i as u64))
            .collect::<Vec<_>>()
    };
    let tries = (1..64_u64).map(|nonce| {
        let r = (ED25519_BASEPOINT_POINT * Mod::from(nonce)).compress();
        let signature = signature(*r.as_bytes(), *Mod::from(nonce).as_bytes());
        let circuit = circuit(alone(key, signature, message.as_bytes()));
        one().judge(&circuit, slope.clone())
    });
    let any_slope =
        |verdict: &Verdict| !verdict.rows.iter().any(|row| row.contains("add[2]/chord"));
    let mut tries = tries;
    tries
        .find(any_slope)
        .expect("one scalar in eight has that digit")
}

/// T of small order added to a point of the chain: slope and u are those that lead to the sum, so
/// that all that follows is right and the last doublings take T away.
fn torsion_in_the_chain(torsion: EdwardsPoint) -> Vec<Forge> {
    const SCOPE: &str = "batch/chain[40]/double/";
    let u = residue(element("u", "batch/chain[40]/add[6]/"));
    let v = residue(element("v", SCOPE));
    let x = scale() * u / v;
    let y = (u - Fp::from(1)) / (u + Fp::from(1));
    let sign = Int::from(i128::from(canonical(x).slice(0, 1))).shift_up(255);
    let point = decompress(bytes(canonical(y) + sign));
    let moved = affine(&(point + point + torsion)).expect("x is not zero");
    // v3 = slope (u - u3) - v
    let slope = (moved.v + v) / (u - moved.u);
    let mut lies = limbs("slope", SCOPE, canonical(slope));
    lies.extend(limbs("u", SCOPE, canonical(moved.u)));
    lies
}

/// The entry that slot 1 has under a digit of slot 0.
fn another_slots_entry() -> Vec<Forge> {
    const WIDTH: usize = 6; // four limbs of u, and v twice
    const DIGITS: usize = 51; // after the 33 of R
    let [own, other] =
        ["batch/slot[0]/", "batch/slot[1]/"].map(|scope| site("select/key", scope).end - DIGITS);
    let digits = (0..DIGITS).flat_map(|i| (0..DIGITS).map(move |j| (i, j)));
    let same =
        |(i, j): &(usize, usize)| hint("select/key", own + i) == hint("select/key", other + j);
    let (i, j) = digits.into_iter().find(same).expect("they share a digit");
    let [own, other] =
        ["batch/slot[0]/A/", "batch/slot[1]/A/"].map(|scope| site("select/value", scope).start);
    (0..WIDTH)
        .map(|n| {
            let value = hint("select/value", other + WIDTH * j + n);
            Forge::value("select/value", own + WIDTH * i + n, value)
        })
        .collect()
}

/// In a view in which the first weight's digest has an alias of 254 bits.
fn an_aliased_weight() -> Verdict {
    let network = network();
    let found = (1..64).find_map(|view| {
        let w = witness_in_view(&network, &[0, 1], View::new(view));
        let [commitment, first, last, _] = w.statement.inputs();
        let slots: Vec<SlotBytes> = w.slots.iter().map(slot_bytes).collect();
        let transcript = native_transcript(commitment, [first, last], &slots);
        let mut alias = poseidon::hash(&[transcript, Fr::from(0)]).into_bigint();
        let carried = alias.add_with_carry(&Fr::MODULUS);
        (!carried && alias.num_bits() <= 254).then_some((w, alias.0))
    });
    let (w, [a, b, c, d]) = found.expect("a third of all digests have one");
    let half = |low: u64, high: u64| Int::from_words(&[low, high]).to_native();
    let lies = vec![
        Forge::value("weight/low", 0, half(a, b)),
        Forge::value("weight/high", 0, half(c, d)),
    ];
    three().judge(&circuit(w), lies)
}

fn slot_bytes(slot: &SlotWitness) -> SlotBytes {
    SlotBytes {
        r: slot.signature.r_bytes(),
        a: slot.key,
        s: slot.signature.s_bytes(),
        flag: slot.flag,
    }
}

/// Digits of a number that is off by N 2^128, with the quotient that then satisfies the row modulo
/// N. With a second modulus of 2^128 it would pass.
fn a_false_k_mod_l() -> Vec<Forge> {
    const WINDOW: usize = 5;
    let shift = Int::native_modulus().shift_up(128);
    let w = Int::from_native(hint("weight/low", 0)) * Int::from(2) + Int::ONE;
    let slot = &example().slots[0];
    let k = challenge(
        &slot.signature.r_bytes(),
        &slot.key,
        example().message.as_bytes(),
    );
    let mut rest = odd_representative(shift - w * Int::from_bytes_le(k.as_bytes()));
    let keys = site("select/key", "batch/slot[0]/");
    let keys = keys.end - 51..keys.end;
    let last = keys.end - 1;
    let mut lies: Vec<Forge> = keys
        .map(|number| {
            let digit = match number == last {
                true => rest,
                false => rest.low_bits(WINDOW + 1) - Int::power_of_two(WINDOW),
            };
            rest = (rest - digit).shift_down(WINDOW);
            Forge::value("select/key", number, digit.to_native())
        })
        .collect();
    let (less, _) = order().div_rem(shift);
    let quotient = site("quotient", "batch/slot[0]/w k mod L/").start;
    lies.push(Forge::plus("quotient", quotient, -less.to_native()));
    lies
}

/// A false result of one reduction, with the quotient and the carry that its two rows then ask
/// for: one of the two is out of range. In the first case the quotient is off by one only.
fn a_false_result(quotient_in_range: bool) -> Vec<Forge> {
    const SCOPE: &str = "batch/chain[40]/double/";
    const INNER: &str = "batch/chain[40]/double/u/";
    let (p, honest) = (modulus().value(), element("u", SCOPE));
    let result = match quotient_in_range {
        false => honest + Int::ONE,
        true => {
            let mut result = honest - p; // one more p goes to the quotient, and the rest round N
            while result.is_negative() {
                result += Int::native_modulus();
            }
            result
        }
    };
    let quotient = (honest - result).to_native() / p.to_native();
    // The low part is that of (1 + 2^64) times the integer, modulo 2^128.
    let unit = Int::ONE + Int::power_of_two(64);
    let low = |x: Int| {
        Int::from(i128::from(x.slice(0, 64))) * unit
            + Int::from(i128::from(x.slice(64, 64))).shift_up(64)
    };
    let low_p = -(unit * Int::from(19));
    let carry = (low(honest) - low(result)).to_native() - quotient * low_p.to_native();
    let carry = carry / Int::power_of_two(128).to_native();
    let mut lies = limbs("u", SCOPE, result);
    for (kind, delta) in [("quotient", quotient), ("carry", carry)] {
        let number = site(kind, INNER).start;
        lies.push(Forge::value(kind, number, hint(kind, number) + delta));
    }
    lies
}
