//! The rule alone, then whole slots: set, membership, order and quorum together.

use proptest::prelude::*;
use quorate_verifier::primitives::{CircuitSize, Power, TREE_DEPTH};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::{Salt, ValidatorSet, key_halves};

use super::*;
use crate::membership::example::ExampleSet;
use crate::membership::{
    Opening, SetOpening, enforce_member, enforce_rising, is_member, is_rising, open_set,
};
use crate::testing::{Built, Forge, Sweep, Trial, assert_found};

/// The rule on given powers.
#[derive(Clone, Debug)]
struct Case {
    slots: Vec<(bool, u64)>,
    total: u64,
    num: u32,
    den: u32,
}

impl Case {
    /// All flagged.
    fn of(powers: &[u64], total: u64, [num, den]: [u32; 2]) -> Self {
        let slots = powers.iter().map(|power| (true, *power)).collect();
        Self {
            slots,
            total,
            num,
            den,
        }
    }

    fn signed(&self) -> u128 {
        self.slots
            .iter()
            .filter(|(flag, _)| *flag)
            .map(|(_, power)| u128::from(*power))
            .sum()
    }

    fn is_true(&self) -> bool {
        is_quorum(self.signed(), self.total, self.num, self.den)
    }

    fn build(&self, trial: Trial) -> Built {
        let mut statement = vec![pack(self.num, self.den), Fr::from(self.total)];
        for (flag, power) in &self.slots {
            statement.extend([Fr::from(*flag), Fr::from(*power)]);
        }
        trial.statement(&statement).build(|g| {
            let total = g.range("total", g.statement(1), 60);
            let slots: Vec<_> = (1..)
                .zip(&self.slots)
                .map(|(i, (flag, _))| {
                    let flag = g.bit("flag", *flag);
                    g.equal("flagged", flag, g.statement(2 * i));
                    (flag, g.range("power", g.statement(2 * i + 1), 60))
                })
                .collect();
            let slots: Vec<_> = slots.iter().map(|(flag, power)| (*flag, power)).collect();
            enforce_quorum(g, g.statement(0), &slots, &total);
        })
    }
}

fn pack(num: u32, den: u32) -> Fr {
    Fr::from(u64::from(num) | u64::from(den) << 32)
}

fn arb_case() -> impl Strategy<Value = Case> {
    let power = prop_oneof![0_u64..4, Just((1 << 60) - 1), 0_u64..1 << 60];
    let part = prop_oneof![0_u32..4, Just(u32::MAX), any::<u32>()];
    let slots = prop::collection::vec((any::<bool>(), power.clone()), 0..4);
    (slots, power, part.clone(), part, any::<bool>()).prop_map(|(slots, total, num, den, close)| {
        let mut case = Case {
            slots,
            total,
            num,
            den,
        };
        if close && case.num > 0 {
            // the largest total that is exceeded, or one more
            let bound = case.signed() * u128::from(case.den) / u128::from(case.num);
            case.total = u64::try_from(bound.min((1 << 60) - 1)).expect("below 2^60");
        }
        case
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn agrees_with_native(case in arb_case()) {
        prop_assert_eq!(case.build(Trial::new()).holds(), case.is_true(), "{:?}", case);
    }
}

#[test]
fn the_twin_is_the_verifiers_rule() {
    for (num, den) in [(2, 3), (1, 3), (1, 2), (99, 100)] {
        let rule = QuorumRule::new(num, den).expect("lowest terms");
        for total in [1, 2, 3, 99, 100, (1 << 60) - 1] {
            let least = rule.least(Power::new(total).expect("below 2^60")).get();
            for signed in [0, least - 1, least, total] {
                let [signed_power, total_power] =
                    [signed, total].map(|p| Power::new(p).expect("below 2^60"));
                assert_eq!(
                    is_quorum(signed.into(), total, num, den),
                    rule.holds(signed_power, total_power)
                );
            }
        }
    }
}

#[test]
fn the_boundary_is_strict() {
    const MOST: u64 = (1 << 60) - 1;
    assert_eq!(MOST % 3, 0);
    for (powers, total, rule, holds) in [
        (vec![1, 1], 3, [2, 3], false),
        (vec![1, 1, 1], 4, [2, 3], true),
        (vec![2, 2], 6, [2, 3], false),
        (vec![2, 3], 7, [2, 3], true),
        (vec![MOST / 3, MOST / 3], MOST, [2, 3], false),
        (vec![MOST / 3, MOST / 3 + 1], MOST, [2, 3], true),
        (vec![MOST / 3], MOST, [1, 3], false),
        (vec![MOST / 3 + 1], MOST, [1, 3], true),
        (vec![MOST; 4], MOST, [u32::MAX, u32::MAX], true),
        (vec![MOST], MOST, [u32::MAX, u32::MAX], false),
        (vec![], MOST, [0, 1], false),
        (vec![0], 0, [0, 1], false),
        (vec![1], 0, [0, 1], true),
        (vec![MOST], 1, [0, 0], false),
        (vec![MOST], 1, [1, 0], false),
        (vec![], 0, [0, 0], false),
    ] {
        let case = Case::of(&powers, total, rule);
        assert_eq!(case.is_true(), holds, "{case:?}");
        let built = case.build(Trial::new());
        assert_eq!(
            built.first_broken(),
            (!holds).then_some("lookup/sum"),
            "{case:?}"
        );
        assert!(built.strays().all(|name| name.starts_with("quorum/slack/")));
    }
}

/// The slack of a false statement forged to what would pass its range.
#[test]
fn forged_slack_is_refused() {
    let case = Case::of(&[1, 1], 3, [2, 3]); // the slack would be -1
    for lie in [Fr::from(0_u64), Fr::ONE, pow2(96) - Fr::ONE] {
        let built = case.build(Trial::new().lie(Forge::value("quorum/slack", 0, lie)));
        assert_eq!(built.broken().collect::<Vec<_>>(), ["quorum/bind"]);
    }
    // and a negative one told as it is, or split so that its chunks sum to it
    for lie in [-Fr::ONE, pow2(200), pow2(96)] {
        let built = case.build(Trial::new().lie(Forge::value("quorum/slack", 0, lie)));
        assert!(built.broken().any(|row| row == "lookup/sum"));
        assert_eq!(built.strays().next(), Some("quorum/slack/chunk[11]/range"));
    }
}

/// Another rule: the halves are borrowed from each other, or from beyond the modulus.
#[test]
fn a_forged_rule_is_refused() {
    let case = Case::of(&[1, 1], 3, [2, 3]);
    let forge = |num: Fr, den: Fr| {
        let trial = Trial::new()
            .lie(Forge::value("quorum/num", 0, num))
            .lie(Forge::value("quorum/den", 0, den));
        let built = case.build(trial);
        let strays = built.strays().map(String::from).collect::<Vec<_>>();
        (built.broken().map(String::from).collect::<Vec<_>>(), strays)
    };
    // 1/3 is true but not what the verifier asked
    assert_eq!(forge(Fr::ONE, Fr::from(3_u64)).0, ["quorum/rule"]);
    // sums to the packed rule: num + 2^32 (den - 1), with a numerator of 33 bits
    let (broken, strays) = forge(Fr::from(2 + (1_u64 << 32)), Fr::from(2_u64));
    assert_eq!(broken, ["lookup/sum"]);
    assert_eq!(strays[0], "quorum/num/chunk[3]/range");
    // a negative numerator with a larger denominator would make the rule easy
    let (broken, strays) = forge(Fr::from(2_u64) - pow2(32), Fr::from(4_u64));
    assert_eq!(broken, ["lookup/sum"]);
    assert_eq!(strays, ["quorum/num/chunk[3]/range"]);
    // and an enormous denominator with a numerator of zero
    let (broken, strays) = forge(
        Fr::from(0_u64),
        Fr::from(3_u64) + Fr::from(2_u64) / pow2(32),
    );
    assert_eq!(broken, ["lookup/sum"]);
    assert!(
        strays
            .iter()
            .any(|name| name == "quorum/den/chunk[3]/range")
    );
}

#[test]
fn unflagged_power_does_not_count() {
    let mut case = Case::of(&[1, 1, 5], 3, [2, 3]);
    assert!(case.build(Trial::new()).holds());
    case.slots[2].0 = false;
    let built = case.build(Trial::new());
    assert_eq!(built.broken().collect::<Vec<_>>(), ["lookup/sum"]);
    // nor when its gated cell says so
    let mut built = case.build(Trial::new());
    let cell = built.column("quorum/gated[2]").expect("present");
    built.z[cell] = Fr::from(5_u64);
    assert_eq!(built.first_broken(), Some("quorum/gated[2]"));
}

#[test]
fn a_flag_that_is_no_bit_is_refused() {
    let case = Case::of(&[1, 1], 3, [2, 3]);
    let built = case.build(Trial::new().lie(Forge::value("flag", 0, 2)));
    assert_eq!(built.first_broken(), Some("flag/boolean"));
}

#[test]
fn every_cell_is_pinned() {
    let case = Case::of(&[1, 2, 3], 8, [2, 3]);
    let built = case.build(Trial::new());
    assert_eq!(built.first_broken(), None);
    assert!(built.unpinned().is_empty(), "{:?}", built.unpinned());
    built.assert_hints_tested(&["flag", "quorum/num", "quorum/den", "quorum/slack"]);
}

/// The inequality of "no wrap", for every size and chunk in use.
#[test]
fn the_slack_holds_every_honest_value_and_does_not_wrap() {
    for slots in [1, 2, 3, 8, 67, 256, 1 << 16] {
        for chunk_bits in 1..=20 {
            let width = slack_bits(slots, chunk_bits);
            assert_eq!(width % chunk_bits, 0);
            let signed = (slots as u128) << POWER_BITS;
            assert!(signed << RULE_BITS <= 1 << width);
            assert!(width + 1 < Fr::MODULUS_BIT_SIZE - 1);
        }
    }
}

#[test]
fn cost() {
    for (slots, chunk_bits, rows) in [(3, 13, 22), (3, 16, 16), (67, 16, 81)] {
        let case = Case::of(&vec![1; slots], 3, [2, 3]);
        let built = case.build(Trial::new().chunk_bits(chunk_bits));
        assert_eq!(built.rows_under("quorum/"), rows, "{:?}", built.report(2));
    }
}

/// Slots of a set with rule 2/3: what the circuit says apart from the signatures.
#[derive(Clone, Debug)]
struct Ballot {
    set: ExampleSet,
    /// Key, opening, flag.
    slots: Vec<([Fr; 2], Opening, bool)>,
}

impl Ballot {
    /// Slots at these indices of an example set; those without a validator are dummies.
    fn of(set: ExampleSet, slots: &[(usize, bool)]) -> Self {
        let slots = slots
            .iter()
            .map(|(i, flag)| {
                let key = set.keys.get(*i).copied().unwrap_or([Fr::ONE; 2]);
                (key, set.member(*i), *flag)
            })
            .collect();
        Self { set, slots }
    }

    fn is_true(&self) -> bool {
        let opening = self.set.opening();
        let indices: Vec<u32> = self
            .slots
            .iter()
            .map(|(_, opening, _)| opening.index)
            .collect();
        let flagged = self.slots.iter().filter(|(.., flag)| *flag);
        let signed = flagged
            .clone()
            .map(|(_, opening, _)| u128::from(opening.power))
            .sum();
        is_rising(&indices)
            && is_quorum(signed, opening.total, 2, 3)
            && flagged
                .clone()
                .all(|(key, member, _)| is_member(opening.root, *key, member, self.set.depth))
    }

    fn build(&self, trial: Trial) -> Built {
        let depth = self.set.depth;
        let opening = self.set.opening();
        let keys = self.slots.iter().flat_map(|(key, ..)| *key);
        let statement: Vec<Fr> = [opening.commitment(), pack(2, 3)]
            .into_iter()
            .chain(keys)
            .collect();
        trial.statement(&statement).build(|g| {
            let set = open_set(g, g.statement(0), &opening);
            let mut flags = Vec::new();
            let mut members = Vec::new();
            for (i, (_, opening, flag)) in self.slots.iter().enumerate() {
                let key = [2 * i + 2, 2 * i + 3].map(|k| Lin::from(g.statement(k)));
                let flag = g.bit("flag", *flag);
                flags.push(flag);
                let member = g.scope(format_args!("slot[{i}]"), |g| {
                    enforce_member(g, set.root, key, flag, opening, depth)
                });
                members.push(member);
            }
            let indices: Vec<Lin> = members.iter().map(|m| m.index.clone()).collect();
            enforce_rising(g, &indices, depth);
            let powers = flags.iter().copied().zip(members.iter().map(|m| &m.power));
            enforce_quorum(g, g.statement(1), &powers.collect::<Vec<_>>(), &set.total);
        })
    }

    fn broken(&self) -> Vec<String> {
        assert!(!self.is_true());
        self.build(Trial::new())
            .broken()
            .map(String::from)
            .collect()
    }
}

/// Five validators; 0, 1 and 3 together hold 21 of 30.
fn set() -> ExampleSet {
    ExampleSet::new(7, 3, &[10, 1, 2, 10, 7])
}

#[test]
fn honest_ballots_hold() {
    for slots in [
        [(0, true), (1, true), (3, true)],
        [(0, true), (3, true), (4, true)],
        [(0, true), (2, false), (3, true)], // 20 of 30: not enough
        [(0, false), (3, true), (4, true)],
    ] {
        let ballot = Ballot::of(set(), &slots);
        assert_eq!(
            ballot.build(Trial::new()).holds(),
            ballot.is_true(),
            "{slots:?}"
        );
    }
    // unused slots on leaves without a validator, before, between and after
    for slots in [
        [(0, true), (3, true), (4, true), (5, false), (7, false)],
        [(0, true), (1, false), (3, true), (4, true), (6, false)],
    ] {
        let ballot = Ballot::of(set(), &slots);
        assert!(ballot.is_true());
        assert_eq!(ballot.build(Trial::new()).first_broken(), None);
    }
}

/// The same signer twice, next to itself, with an unused slot between, and out of order.
#[test]
fn a_signer_counts_once() {
    for (slots, stray) in [
        (
            [(0, true), (0, true), (3, true)],
            "order/gap[0]/chunk[0]/range",
        ),
        (
            [(0, true), (7, false), (0, true)],
            "order/gap[1]/chunk[0]/range",
        ),
        (
            [(0, true), (3, true), (0, true)],
            "order/gap[1]/chunk[0]/range",
        ),
        (
            [(3, true), (0, true), (4, true)],
            "order/gap[0]/chunk[0]/range",
        ),
    ] {
        let mut set = set();
        set.powers = vec![11, 1, 2, 10, 7]; // 0 twice has 22 of 31
        let ballot = Ballot::of(set, &slots);
        assert_eq!(ballot.broken(), ["lookup/sum"]);
        assert_eq!(
            ballot.build(Trial::new()).strays().collect::<Vec<_>>(),
            [stray]
        );
    }
    // the second use under another index has no path
    let mut ballot = Ballot::of(set(), &[(0, true), (3, true), (4, true)]);
    ballot.slots[2] = (
        ballot.slots[0].0,
        Opening {
            index: 4,
            ..ballot.slots[0].1.clone()
        },
        true,
    );
    assert_eq!(ballot.broken(), ["slot[2]/member/root"]);
}

#[test]
fn power_comes_from_the_committed_leaf() {
    // an unflagged slot with power
    let unflagged = Ballot::of(set(), &[(0, true), (3, true), (4, false)]);
    assert_eq!(unflagged.broken(), ["lookup/sum"]);
    // a flagged one with more than its own
    let mut edited = Ballot::of(set(), &[(0, true), (2, true)]);
    edited.slots[1].1.power = 20;
    assert_eq!(edited.broken(), ["slot[1]/member/root"]);
    // a stranger's
    let mut stranger = Ballot::of(set(), &[(0, true), (3, true), (4, true)]);
    let other = Ballot::of(ExampleSet::new(8, 3, &[100; 5]), &[(4, true)]);
    stranger.slots[2] = other.slots[0].clone();
    assert_eq!(stranger.broken(), ["slot[2]/member/root"]);
    // another set's root or total does not open the commitment
    let honest = Ballot::of(set(), &[(0, true), (3, true)]);
    let lies = [
        (
            Forge::value("set/root", 0, other.set.root()),
            "slot[0]/member/root",
        ),
        (Forge::value("set/total", 0, 3), "set/commitment"),
        (Forge::plus("set/count", 0, 1), "set/commitment"),
    ];
    for (lie, also) in lies {
        let broken: Vec<String> = honest
            .build(Trial::new().lie(lie))
            .broken()
            .map(String::from)
            .collect();
        assert!(broken.contains(&"set/commitment".into()), "{broken:?}");
        assert!(broken.iter().any(|row| row == also), "{broken:?}");
    }
    // a total of minus one, which every signed power would exceed, is out of range
    let built = honest.build(Trial::new().lie(Forge::value("set/total", 0, -Fr::ONE)));
    assert!(
        built
            .strays()
            .any(|name| name == "set/total/chunk[7]/range")
    );
    assert!(built.broken().any(|row| row == "set/commitment"));
}

/// A set of three with equal powers: two are exactly two thirds.
#[test]
fn exactly_two_thirds_is_refused() {
    let set = ExampleSet::new(9, 2, &[5, 5, 5]);
    let two = Ballot::of(set.clone(), &[(0, true), (2, true), (3, false)]);
    assert_eq!(two.broken(), ["lookup/sum"]);
    assert!(
        two.build(Trial::new())
            .strays()
            .all(|name| name.starts_with("quorum/slack/"))
    );
    let three = Ballot::of(set, &[(0, true), (1, true), (2, true)]);
    assert!(three.is_true() && three.build(Trial::new()).holds());
}

#[test]
fn every_cell_of_a_ballot_is_pinned() {
    let ballot = Ballot::of(set(), &[(0, true), (2, false), (3, true), (4, true)]);
    let built = ballot.build(Trial::new());
    assert_eq!(built.first_broken(), None);
    assert!(built.unpinned().is_empty(), "{:?}", built.unpinned());
    let shape = built.matrices.digest();
    let other = Ballot::of(set(), &[(0, true), (1, true), (3, true), (6, false)]);
    assert!(
        other.build(Trial::new()).matrices.digest() == shape,
        "the shape is the size's"
    );
}

/// What refuses the lies about each kind of hint; see [`Sweep`].
const REFUSED: &[(&str, &[&str])] = &[
    ("chunk", &["./chunk/range", "./sum"]),
    ("flag", &["flag/boolean", "quorum/slack/chunk/range"]),
    (
        "lookup/inverse",
        &[
            "order/gap/chunk/range",
            "quorum/den/chunk/range",
            "quorum/num/chunk/range",
            "quorum/slack/chunk/range",
            "set/total/chunk/range",
            "set/total/chunk/shifted",
            "slot/member/power/chunk/range",
            "slot/member/power/chunk/shifted",
        ],
    ),
    ("lookup/multiplicity", &["./sum"]),
    ("lookup/share", &["./entry"]),
    ("member/blinding", &["./member/root"]),
    (
        "member/index",
        &[
            "./member/index/boolean",
            "./member/root",
            "order/gap/chunk/range",
        ],
    ),
    ("member/left", &["./member/root", "./member/side"]),
    (
        "member/power",
        &[
            "./member/power/chunk/range",
            "./member/root",
            "quorum/slack/chunk/range",
        ],
    ),
    ("member/right", &["./member/root", "./member/side"]),
    (
        "quorum/den",
        &[
            "quorum/den/chunk/range",
            "quorum/rule",
            "quorum/slack/chunk/range",
        ],
    ),
    (
        "quorum/num",
        &[
            "quorum/num/chunk/range",
            "quorum/rule",
            "quorum/slack/chunk/range",
        ],
    ),
    ("quorum/slack", &["quorum/bind", "quorum/slack/chunk/range"]),
    ("set/count", &["set/commitment"]),
    ("set/root", &["set/commitment"]),
    ("set/total", &["set/commitment", "set/total/chunk/range"]),
];

/// Each hint of set, slots and rule forged to zero, one, minus one and its neighbour's value, with
/// everything after it recomputed honestly.
#[test]
fn every_forged_hint_is_refused() {
    let ballot = Ballot::of(set(), &[(0, true), (3, true), (4, true)]);
    let honest = ballot.build(Trial::new());
    let other = Ballot::of(set(), &[(0, true), (1, true), (3, true)]).build(Trial::new());
    let sweep = Sweep {
        choose: |hints| (0..hints.len()).step_by(hints.len().div_ceil(40)).collect(),
        ..Sweep::new(&honest, &other)
    };
    let found = sweep.run_on(|trial| ballot.build(trial));
    assert_found(&found, REFUSED);
}

/// A set as the verifier makes it, of full depth, whose commitment is the public one.
#[test]
fn the_verifiers_set_is_opened() {
    let text = include_str!("../../../fixtures/vectors/poseidon/set_commitment.json");
    let vectors: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let vector = &vectors["sets"][0];
    let field = |value: &serde_json::Value| value.as_str().expect("a string").to_owned();
    let bytes = |value: &serde_json::Value| -> [u8; 32] {
        let hex = field(value);
        core::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex"))
    };
    let entries: Vec<([u8; 32], u64)> = vector["validators"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|v| {
            (
                bytes(&v["key"]),
                field(&v["power"]).parse().expect("a number"),
            )
        })
        .collect();
    let salt = Salt::from_bytes(bytes(&vector["salt"]));
    let size = CircuitSize::from_slots(3).expect("a size");
    let set = ValidatorSet::from_unchecked(&entries, Some(salt), size).expect("a set");
    let opening = SetOpening::of(&set);
    assert_eq!(opening.commitment(), set.commitment().scalar());
    // the last validator has nearly all power; an empty leaf fills the third slot
    let slots = [(1, true), (4, true), (200, false)];
    let statement = [set.commitment().scalar(), pack(2, 3)];
    let built = Trial::new().statement(&statement).build(|g| {
        let opened = open_set(g, g.statement(0), &opening);
        let members: Vec<_> = slots
            .iter()
            .map(|(index, flag)| {
                let key = set.get(*index).map(|v| key_halves(v.key.as_bytes()));
                let key = key
                    .unwrap_or_default()
                    .map(|half| Lin::from(g.witness("key", half)));
                let flag = g.bit("flag", *flag);
                let member = Opening::of(&set, *index).expect("below 256");
                (
                    flag,
                    enforce_member(g, opened.root, key, flag, &member, TREE_DEPTH),
                )
            })
            .collect();
        let indices: Vec<Lin> = members.iter().map(|(_, m)| m.index.clone()).collect();
        enforce_rising(g, &indices, TREE_DEPTH);
        let powers: Vec<_> = members.iter().map(|(flag, m)| (*flag, &m.power)).collect();
        enforce_quorum(g, g.statement(1), &powers, &opened.total);
    });
    assert_eq!(built.first_broken(), None);
}
