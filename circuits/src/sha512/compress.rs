//! The compression function: 80 rounds and the addition of the state.
//!
//! The registers a, b, c, d are the last four words of one sequence, e, f, g, h of another:
//!
//! Statement  `E_t = A_{t-4} + E_{t-4} + S1(E_{t-1}) + Ch(E_{t-1}, E_{t-2}, E_{t-3}) + K_t + W_t mod 2^64`
//!            `A_t = E_t - A_{t-4} + S0(A_{t-1}) + Maj(A_{t-1}, A_{t-2}, A_{t-3}) mod 2^64`
//! Witness    Bits of both words, bits of both quotients, cells of the lanes
//! Bind       Two rounds' E in one equality, the second 2^72 times the first, in the place of lane 63
//!            of Ch; two rounds' A likewise in the place of lane 63 of the first S0. See `register`
//! Assumes    State and schedule are words
//! Cost       597 rows for two rounds: 4 * 64 bits, 2 * 63 and 2 * 64 for S1 and S0, whose stars carry
//!            Ch in 31 lanes and Maj in 20; 33 and 44 for the other lanes of Ch and Maj; 2 * 3 and
//!            2 * 2 bits of quotients. From the standard's initial state, 390 for the first two:
//!            their Ch and Maj choose among constants. The last two make the first and the fifth
//!            word of the new state; each of the others is 65 rows
//! Source     FIPS 180-4, section 6.4.2, steps 2 to 4

use ark_bn254::Fr;
use ark_ff::Field;

use super::bits::Word;
use super::native::{K, Sigma, choice, majority};
use super::register::{
    Packed, bind_choice, choice_of_known, choices, majorities, majority_of_known, second,
};
use super::schedule::{Input, Schedule};
use super::sum::{Kind, Reduced, Sum};
use super::xor::{Company, Top, Xor};
use crate::ground::{Builder, Lin};

/// The state after a block.
pub(super) fn compress(g: &mut Builder, state: &[Word; 8], block: [Input; 16]) -> [Word; 8] {
    let schedule = Schedule::new(g, block);
    let back = |words: &[Word]| words.iter().rev().cloned().collect();
    let mut registers = Registers {
        a: back(&state[..4]),
        e: back(&state[4..]),
    };
    let known = state.iter().all(|word| word.known().is_some());
    for t in (0..80).step_by(2) {
        g.scope(format_args!("rounds[{t}]"), |g| {
            if known && t == 0 {
                registers.first_round(g, 0, &schedule);
                registers.first_round(g, 1, &schedule);
            } else {
                registers.two_rounds(g, t, &schedule, (t == 78).then_some(state));
            }
        });
    }
    let Registers { mut a, mut e } = registers;
    core::array::from_fn(|i| {
        let words = if i < 4 { &mut a } else { &mut e };
        let word = words.pop().expect("eighty rounds leave eighty words");
        match i {
            0 | 4 => word, // the last round has added the state
            _ => g.scope(format_args!("state[{i}]"), |g| {
                Sum::new().plus(&state[i]).plus(&word).finish(g, STATE)
            }),
        }
    })
}

/// The two sequences: before round t, `t + 4` words each.
struct Registers {
    a: Vec<Word>,
    e: Vec<Word>,
}

impl Registers {
    /// Rounds t and t + 1. The last two get the `state`, whose first and fifth words are added.
    fn two_rounds(
        &mut self,
        g: &mut Builder,
        t: usize,
        schedule: &Schedule,
        state: Option<&[Word; 8]>,
    ) {
        let e = self.two_of_e(g, t, schedule, state.map(|state| &state[4]));
        let a = self.two_of_a(g, [&e[0], &e[1]], state);
        self.e.extend(e);
        self.a.extend(a);
    }

    fn two_of_e(
        &self,
        g: &mut Builder,
        t: usize,
        schedule: &Schedule,
        added: Option<&Word>,
    ) -> [Word; 2] {
        let [d, c, ..] = last_four(&self.a);
        let [i, h, f, e] = last_four(&self.e);
        let sigma = |g: &mut Builder, word: &Word, company: [&Word; 2]| {
            let xor = Xor {
                operands: &[(Sigma::Big1, word)],
                top: Top::Open,
                company: Company::Choice(company).if_cells(e),
            };
            g.scope("Sigma1", |g| xor.all(g))
        };
        let first = sigma(g, e, [f, h]);
        let sum = Sum::new().constant(K[t]).plus(d).plus(i);
        let sum = schedule.add(t, sum.pieces(&first.pieces));
        let now = choice(e.value(), f.value(), h.value());
        let sum = sum.elsewhere(now, !first.with);
        let new = g.scope("e", |g| sum.reduce(g, E));

        let second = sigma(g, &new.word, [e, f]);
        assert_eq!(first.with, second.with, "{SAME_LANES}");
        let ch = g.scope("Ch", |g| choices(g, [e, f, h], &new.word, !first.with));
        let sum_next = Sum::new().constant(K[t + 1]).plus(c).plus(h);
        let sum_next = added.into_iter().fold(sum_next, Sum::plus);
        let sum_next = schedule.add(t + 1, sum_next.pieces(&second.pieces));
        let sum_next = sum_next.elsewhere(ch.next(), !first.with);
        let next = g.scope("e", |g| sum_next.reduce(g, E));
        g.scope("e", |g| {
            bind_choice(g, [e, f, h], &new.word, || {
                missing([(&sum, &new), (&sum_next, &next)], &ch)
            });
        });
        [new.word, next.word]
    }

    fn two_of_a(
        &self,
        g: &mut Builder,
        [e, e_next]: [&Word; 2],
        added: Option<&[Word; 8]>,
    ) -> [Word; 2] {
        let [d, c, b, a] = last_four(&self.a);
        let operands = [(Sigma::Big0, a)];
        let xor = Xor {
            operands: &operands,
            top: Top::Closed,
            company: Company::Majority([b, c]).if_cells(a),
        };
        let first = g.scope("Sigma0", |g| xor.but_last(g));
        let sum = Sum::new().plus(e).minus(d).pieces(&first.pieces);
        let now = majority(a.value(), b.value(), c.value());
        let sum = sum.elsewhere(now, !first.with);
        let new = g.scope("a", |g| sum.reduce(g, A));

        let operands = [(Sigma::Big0, &new.word)];
        let xor = Xor {
            operands: &operands,
            company: Company::Majority([a, b]).if_cells(a),
            ..xor
        };
        let second = g.scope("Sigma0", |g| xor.all(g));
        assert_eq!(first.with, second.with, "{SAME_LANES}");
        let maj = g.scope("Maj", |g| majorities(g, [a, b, c], &new.word, !first.with));
        let mut sum_next = Sum::new().plus(e_next).minus(c).pieces(&second.pieces);
        if let Some(state) = added {
            // The fifth word was added to e_next, and does not belong here.
            sum_next = sum_next.plus(&state[0]).minus(&state[4]);
        }
        let sum_next = sum_next.elsewhere(maj.next(), !first.with);
        let next = g.scope("a", |g| sum_next.reduce(g, A));
        g.scope("a", |g| {
            first.bind(g, || missing([(&sum, &new), (&sum_next, &next)], &maj));
        });
        [new.word, next.word]
    }

    /// Round 0 or 1 from a state that the circuit fixes: Ch and Maj choose among constants.
    fn first_round(&mut self, g: &mut Builder, t: usize, schedule: &Schedule) {
        let [d, c, b, a] = last_four(&self.a);
        let [i, h, f, e] = last_four(&self.e);
        let known = |words: [&Word; 2]| words.map(|w| w.known().expect("a word of the state"));

        let ch = choice_of_known(g, e, known([f, h]));
        let held = g.scope("Sigma1", |g| Xor::of(&[(Sigma::Big1, e)]).but_last(g));
        let sum = Sum::new().constant(K[t]).plus(d).plus(i).pieces(&ch);
        let sum = schedule.add(t, sum);
        let e_new = g.scope("e", |g| held.finish(g, sum, E));

        let maj = majority_of_known(g, a, known([b, c]));
        let held = g.scope("Sigma0", |g| Xor::of(&[(Sigma::Big0, a)]).but_last(g));
        let sum = Sum::new().plus(&e_new).minus(d).pieces(&maj);
        let a_new = g.scope("a", |g| held.finish(g, sum, A));
        self.e.push(e_new);
        self.a.push(a_new);
    }
}

/// What the two rounds' results and quotients exceed their sums by, without the one cell that is
/// not there, and which this therefore is.
fn missing([(sum, new), (next_sum, next)]: [(&Sum<'_>, &Reduced); 2], packed: &Packed) -> Lin {
    let mut missing = sum.missing(new).plus(second(), next_sum.missing(next));
    packed.add_scaled(&mut missing, -Fr::ONE);
    missing
}

const SAME_LANES: &str = "the same lanes of Ch, and of Maj, are in stars in both rounds";

fn last_four(words: &[Word]) -> [&Word; 4] {
    match words {
        [.., d, c, b, a] => [d, c, b, a],
        _ => unreachable!("the registers hold at least four words"),
    }
}

const E: Kind = Kind {
    word: "word_e",
    carry: "carry_e",
};

const A: Kind = Kind {
    word: "word_a",
    carry: "carry_a",
};

const STATE: Kind = Kind {
    word: "word_state",
    carry: "carry_state",
};

#[cfg(test)]
mod tests {
    use ark_bn254::Fr;
    use ark_ff::{AdditiveGroup, Field};
    use proptest::prelude::*;

    use super::super::native::INITIAL;
    use super::super::tests::{masked_word, polynomial};
    use super::*;
    use crate::ground::pow2;
    use crate::testing::{Built, Forge, Trial};

    /// The registers before a round, oldest first: d, c, b, a and h, g, f, e.
    type Registers4 = [[u64; 4]; 2];

    /// Two rounds of a schedule of zeros; the results of the two rounds must agree.
    fn two_rounds(from: Registers4, t: usize, state: Option<[u64; 8]>, lies: &[Forge]) -> Built {
        let trial = lies.iter().fold(Trial::new(), |trial, lie| trial.lie(*lie));
        trial.build(|g| {
            let zeros = core::array::from_fn(|_| Input::new(Word::constant(0)));
            let schedule = Schedule::new(g, zeros);
            let [a, e] = from.map(|words| words.map(|word| masked_word(g, word, 0)).to_vec());
            let mut registers = Registers { a, e };
            let state = state.map(|state| state.map(Word::constant));
            g.scope("rounds", |g| {
                registers.two_rounds(g, t, &schedule, state.as_ref());
            });
            if lies.is_empty() {
                let results = [registers.a, registers.e].map(|w| [w[4].value(), w[5].value()]);
                let state = state.map(|state| state.map(|word| word.value()));
                assert_eq!(results, native(from, t, state));
            }
        })
    }

    fn native([mut a, mut e]: Registers4, t: usize, state: Option<[u64; 8]>) -> [[u64; 2]; 2] {
        for round in [t, t + 1] {
            let first = e[0]
                .wrapping_add(Sigma::Big1.of(e[3]))
                .wrapping_add(choice(e[3], e[2], e[1]))
                .wrapping_add(K[round]);
            let second = Sigma::Big0
                .of(a[3])
                .wrapping_add(majority(a[3], a[2], a[1]));
            e = [e[1], e[2], e[3], a[0].wrapping_add(first)];
            a = [a[1], a[2], a[3], first.wrapping_add(second)];
        }
        let [a0, e0] = state.map_or([0, 0], |state| [state[0], state[4]]);
        [[a[2], a[3].wrapping_add(a0)], [e[2], e[3].wrapping_add(e0)]]
    }

    const EXAMPLE: Registers4 = [
        [
            0x0123_4567_89ab_cdef,
            u64::MAX,
            0x5555_5555_5555_5555,
            0xdead_beef_0bad_cafe,
        ],
        [
            0x8000_0000_0000_0001,
            0x00ff_00ff_00ff_00ff,
            0xaaaa_0000_ffff_5555,
            0x7fff_ffff_0000_1234,
        ],
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn agrees_with_native(from: Registers4, t in 0_usize..39, state: [u64; 8]) {
            prop_assert!(two_rounds(from, 2 * t, None, &[]).holds());
            prop_assert!(two_rounds(from, 78, Some(state), &[]).holds());
        }
    }

    /// Words of zeros and ones drive sums and quotients to both ends.
    #[test]
    fn agrees_with_native_at_the_ends() {
        let word = |bit: usize| if bit % 2 == 1 { u64::MAX } else { 0 };
        for mask in 0..256 {
            let from = [0, 4].map(|at| core::array::from_fn(|i| word(mask >> (at + i))));
            let built = two_rounds(from, 2, None, &[]);
            assert_eq!(built.first_broken(), None, "{mask:08b}");
        }
    }

    #[test]
    fn every_cell_is_pinned() {
        for state in [None, Some([u64::MAX; 8])] {
            let built = two_rounds(EXAMPLE, 78, state, &[]);
            // The results do not depend on every input bit: Maj(a, b, c) not on b if a = c.
            let unpinned = built.unpinned().into_iter().filter(|name| *name != "input");
            assert_eq!(unpinned.collect::<Vec<_>>(), [""; 0]);
        }
    }

    #[test]
    fn costs() {
        let rows = |t, state| two_rounds(EXAMPLE, t, state, &[]).rows_under("rounds");
        assert_eq!(rows(2, None), 597);
        // A further word in the sum of the last a: one more bit of its quotient.
        assert_eq!(rows(78, Some(INITIAL)), 598);
    }

    /// In every lane a prover may take Maj's wrong root: its row holds. The sum refuses, though all
    /// that follows is computed from it.
    #[test]
    fn the_wrong_majority_is_refused_by_the_sum() {
        let honest = two_rounds(EXAMPLE, 2, None, &[]);
        let wrong: Vec<Forge> = wrong_roots(&honest)
            .into_iter()
            .enumerate()
            .map(|(n, root)| Forge::value("maj_pair", n, root))
            .collect();
        assert_eq!(wrong.len(), 44);
        let refused = |lies: &[Forge]| {
            let built = two_rounds(EXAMPLE, 2, None, lies);
            assert_eq!(built.broken().collect::<Vec<_>>(), ["rounds/a/bind"]);
        };
        refused(&wrong);
        for n in 0..wrong.len() {
            refused(&wrong[n..=n]);
            refused(&wrong[n..(n + 2).min(wrong.len())]);
        }
    }

    /// What is too much in one round's sum does not pass as 2^-72 of the other's, nor a wrong root
    /// as anything: these cells would have to hold what no bit holds.
    #[test]
    fn sums_cannot_make_up_for_each_other() {
        let honest = two_rounds(EXAMPLE, 2, None, &[]);
        for (kind, scope) in [("word_e", "rounds/e"), ("word_a", "rounds/a")] {
            let bind = format!("{scope}/bind");
            for i in [0, 1, 31, 63, 64, 65, 127] {
                for lie in [0, 1] {
                    let built = two_rounds(EXAMPLE, 2, None, &[Forge::value(kind, i, lie)]);
                    let broken: Vec<_> = built.broken().collect();
                    assert!(
                        broken == [&*bind] || broken.is_empty(),
                        "{kind} {i}: {broken:?}"
                    );
                }
            }
            // One unit of the second round for 2^72 of the first.
            let first = honest.column(&format!("{scope}/{kind}"));
            let first = first.expect("the word has cells");
            let lie = honest.z[first] - pow2(72);
            let lies = [Forge::value(kind, 0, lie), Forge::plus(kind, 64, 1)];
            let built = two_rounds(EXAMPLE, 2, None, &lies);
            let refused = format!("{scope}/{kind}/boolean");
            assert_eq!(built.first_broken(), Some(&*refused));
        }
    }

    /// The other roots of Maj's rows: both roots sum to minus the linear coefficient.
    fn wrong_roots(honest: &Built) -> Vec<Fr> {
        let first = honest.column("rounds/Maj/maj_pair");
        let first = first.expect("Maj has cells");
        let rows = honest
            .row_names()
            .filter(|name| name.starts_with("rounds/Maj/"));
        rows.zip(first..)
            .map(|(row, column)| {
                let [constant, slope, square] = polynomial(honest, row, column);
                let z = honest.z[column];
                assert_eq!(square, Fr::ONE);
                assert_eq!(constant + z * (slope + z), Fr::ZERO);
                -slope - z
            })
            .collect()
    }
}
