//! The whole hash: known answers, agreement, cost, shape, attacks. And what the parts' tests share.

use ark_bn254::Fr;
use ark_ff::{AdditiveGroup, Field};
use proptest::prelude::*;
use sha2::{Digest, Sha512};

use super::native::KNOWN_ANSWERS;
use super::*;
use crate::ground::{Circuit, Matrices};
use crate::testing::{Built, Forge, Trial};

/// A word with the bits of `known` constant and the others cells.
pub(super) fn masked_word(g: &mut Builder, value: u64, known: u64) -> Word {
    Word::new(core::array::from_fn(|i| {
        let bit = value >> i & 1 == 1;
        if known >> i & 1 == 1 {
            Bool::Constant(bit)
        } else {
            g.bit("input", bit).into()
        }
    }))
}

/// Row `row`, `A B - C`, as a polynomial in the cell of this column, the lowest coefficient first.
pub(super) fn polynomial(built: &Built, row: &str, column: usize) -> [Fr; 3] {
    let i = built.row_names().position(|name| name == row);
    let i = i.expect("there is such a row");
    let m = &built.matrices;
    let mut z = built.z.clone();
    let mut at = |value: Fr| {
        z[column] = value;
        [&m.a, &m.b, &m.c].map(|side| m.dot(side, i, &z))
    };
    let ([a, b, c], [a1, b1, c1]) = (at(Fr::ZERO), at(Fr::ONE));
    let (a1, b1, c1) = (a1 - a, b1 - b, c1 - c);
    [a * b - c, a * b1 + a1 * b - c1, a1 * b1]
}

/// A signer's hash: 64 bytes of its own, a tag that the circuit knows, 32 bytes that all share.
struct Signers {
    own: Vec<[u8; 64]>,
    shared: [u8; 32],
}

impl Signers {
    const TAG: &[u8] = b"quorate-commit1";

    fn example(count: u8) -> Self {
        let byte = |seed: u8, i: usize| {
            let i = u8::try_from(i).expect("messages are short");
            i.wrapping_mul(151).wrapping_add(seed).wrapping_mul(i | 1)
        };
        Self {
            own: (0..count)
                .map(|n| core::array::from_fn(|i| byte(n, i)))
                .collect(),
            shared: core::array::from_fn(|i| byte(77, i)),
        }
    }

    fn expected(&self) -> Vec<[u8; 64]> {
        let message = [Self::TAG, &self.shared].concat();
        let digest = |own: &[u8; 64]| Sha512::digest([&own[..], &message].concat()).into();
        self.own.iter().map(digest).collect()
    }
}

impl Circuit for Signers {
    fn chunk_bits(&self) -> u32 {
        8
    }

    fn statement(&self) -> Vec<Fr> {
        Vec::new()
    }

    fn build(&self, g: &mut Builder) {
        let shared = cells(g, &self.shared);
        let tag = Self::TAG.iter().map(|byte| Byte::constant(*byte));
        let message: Vec<Byte> = tag.chain(shared).collect();
        let ending = Ending::new(g, 64, &message);
        for (n, own) in self.own.iter().enumerate() {
            g.scope(format_args!("signer[{n}]"), |g| {
                let own = cells(g, own);
                let _ = sha512(g, &own, &ending);
            });
        }
    }
}

fn cells(g: &mut Builder, bytes: &[u8]) -> Vec<Byte> {
    let bit = |i: usize| bytes[i / 8] >> (i % 8) & 1 == 1;
    let bits: Vec<Bit> = (0..8 * bytes.len())
        .map(|i| g.bit("message", bit(i)))
        .collect();
    Byte::all(&bits)
}

/// A message all of whose bytes are cells.
fn hashed(message: &[u8], lies: &[Forge]) -> Built {
    let trial = lies.iter().fold(Trial::new(), |trial, lie| trial.lie(*lie));
    trial.build(|g| {
        let bytes = cells(g, message);
        let ending = Ending::new(g, 0, &bytes);
        let digest = sha512(g, &[], &ending);
        if lies.is_empty() {
            assert_eq!(digest.value(), <[u8; 64]>::from(Sha512::digest(message)));
            let bits = digest.bits();
            for (i, byte) in digest.value().into_iter().enumerate() {
                let read = (0..8)
                    .map(|j| u8::from(bits[8 * i + j].value()) << j)
                    .sum::<u8>();
                assert_eq!(read, byte);
            }
        }
    })
}

#[test]
fn known_answers() {
    for (message, digest) in KNOWN_ANSWERS {
        let built = Trial::new().build(|g| {
            let bytes = cells(g, message);
            let ending = Ending::new(g, 0, &bytes);
            let value = sha512(g, &[], &ending).value();
            let hex: String = value.iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(hex, digest);
        });
        assert_eq!(built.first_broken(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// One and two blocks, cut anywhere a word begins, with some bits known to the circuit.
    #[test]
    fn agrees_with_sha2(
        message in prop::collection::vec(any::<u8>(), 0..=239),
        known in prop::collection::vec(prop_oneof![Just(0_u8), Just(0xff), any::<u8>()], 239),
        cut in 0_usize..30,
    ) {
        let cut = 8 * cut.min(message.len() / 8);
        let built = Trial::new().build(|g| {
            let bytes: Vec<Byte> = message
                .iter()
                .zip(&known)
                .map(|(byte, known)| {
                    let word = masked_word(g, u64::from(*byte), u64::from(*known) | !0xff);
                    Byte(core::array::from_fn(|i| word.bit(i)))
                })
                .collect();
            let ending = Ending::new(g, cut, &bytes[cut..]);
            let digest = sha512(g, &bytes[..cut], &ending);
            assert_eq!(digest.value(), sha512_native(&message));
            assert_eq!(digest.value(), <[u8; 64]>::from(Sha512::digest(&message)));
        });
        prop_assert_eq!(built.first_broken(), None);
    }
}

#[test]
fn signers_agree_with_sha2() {
    let signers = Signers::example(2);
    let built = Trial::new().build(|g| {
        let ending: Vec<Byte> = [Signers::TAG, &signers.shared]
            .concat()
            .into_iter()
            .map(Byte::constant)
            .collect();
        let ending = Ending::new(g, 64, &ending);
        for (own, expected) in signers.own.iter().zip(signers.expected()) {
            let own = cells(g, own);
            assert_eq!(sha512(g, &own, &ending).value(), expected);
        }
    });
    assert!(built.holds());
    assert!(Trial::new().build_circuit(&signers).holds());
}

/// Pinned: the figures of docs/circuit/sha512.md.
#[test]
fn cost() {
    let [one, two] = [1, 2].map(|n| Trial::new().build_circuit(&Signers::example(n)));
    let per_signer = two.matrices.rows() - one.matrices.rows();
    assert_eq!(per_signer, 512 + 35_058);
    assert_eq!(one.rows_under("sha512/ending"), 231);
    let report = one.report(5);
    for (part, rows) in [
        ("schedule/xor", 5_654),
        ("schedule/star", 1_184),
        ("schedule/bind", 62),
        ("schedule/word_w", 3_968),
        ("schedule/carry_w", 124),
        ("rounds/Sigma1", 4_977),
        ("rounds/Ch", 1_248),
        ("rounds/e", 5_399),
        ("rounds/Sigma0", 5_016),
        ("rounds/Maj", 1_716),
        ("rounds/a", 5_320),
        ("state/word_state", 384),
        ("state/bind", 6),
    ] {
        let path = format!("signer/sha512/block/{part}");
        assert_eq!(report.get(&path), Some(&rows), "{path}");
    }
    let parts = report
        .iter()
        .filter(|(path, _)| path.starts_with("signer/sha512"));
    assert_eq!(parts.map(|(_, rows)| rows).sum::<usize>(), 35_058);

    // A block of which the circuit knows only the padding, and one behind another.
    let longest = |bytes: usize| hashed(&vec![0x5a; bytes], &[]).rows_under("sha512");
    assert_eq!([longest(111), longest(239)], [35_406, 71_259]);
}

/// Entries of the three matrices, per row: sums are long, their rows are few.
#[test]
fn density() {
    let [one, two] = [1, 2].map(|n| Trial::new().build_circuit(&Signers::example(n)).matrices);
    let entries = |m: &Matrices| [&m.a, &m.b, &m.c].map(|side| side.entries.len());
    let per_signer: Vec<usize> = entries(&two)
        .iter()
        .zip(entries(&one))
        .map(|(n, o)| n - o)
        .collect();
    assert_eq!(per_signer, [124_301, 84_629, 97_645]);
    let longest = [&one.a, &one.b, &one.c].map(|side| {
        let row = |i: usize| side.row(i).len();
        (0..one.rows()).map(row).max()
    });
    assert_eq!(longest, [Some(604), Some(129), Some(1_139)]);
}

#[test]
fn the_shape_does_not_depend_on_the_message() {
    let zeros = Signers {
        own: vec![[0; 64]],
        shared: [0; 32],
    };
    let ones = Signers {
        own: vec![[0xff; 64]],
        shared: [0xff; 32],
    };
    let shape = Signers::example(1).record();
    assert_eq!(zeros.record(), shape);
    assert_eq!(ones.record(), shape);
}

#[test]
fn every_cell_is_pinned() {
    for built in [
        Trial::new().build_circuit(&Signers::example(1)),
        hashed(&[0; 150], &[]),
        hashed(&[0xff; 20], &[]),
    ] {
        assert!(built.holds());
        assert_eq!(built.unpinned(), [""; 0]);
        let free: Vec<_> = built.free().map(|(name, _)| name).collect();
        assert_eq!(free, ["blinder"]);
    }
}

/// Each kind of hint, first, middle and last: every lie is refused by the row that defines the cell,
/// or, where the lie is a bit, by the sum that binds it; and by no other row, as all that follows is
/// computed from the lie.
#[test]
fn every_kind_of_hint_is_forged() {
    let message: Vec<u8> = (0..100).collect();
    let honest = hashed(&message, &[]);
    let kinds = [
        "word_w",
        "carry_w",
        "word_e",
        "carry_e",
        "word_a",
        "carry_a",
        "word_state",
        "xor_bit",
        "xor_pair",
        "star",
        "ch_pair",
        "maj_pair",
    ];
    let inputs = ["message"];
    honest.assert_hints_tested(&[&kinds[..], &inputs].concat());
    for kind in kinds {
        let cells: Vec<usize> = honest
            .advised_columns()
            .filter(|i| honest.name(*i).rsplit('/').next() == Some(kind))
            .collect();
        assert_eq!(cells.len(), honest.hints()[kind].len());
        for occurrence in [0, cells.len() / 2, cells.len() - 1] {
            let column = cells[occurrence];
            let scope = honest
                .name(column)
                .strip_suffix(kind)
                .expect("the cell's scope");
            let forged = |lie: Fr| hashed(&message, &[Forge::value(kind, occurrence, lie)]);
            for lie in others(kind) {
                let built = forged(lie);
                let broken: Vec<_> = built.broken().collect();
                match (lie == honest.z[column], kind) {
                    (true, _) => assert_eq!(broken, [""; 0]),
                    (false, "xor_bit" | "xor_pair") => {
                        assert_eq!(broken.len(), 1);
                        assert!(broken[0].starts_with(&format!("{scope}xor[")), "{broken:?}");
                    }
                    (false, "star") => assert_eq!(broken, [format!("{scope}star")]),
                    (false, "ch_pair" | "maj_pair") => {
                        let name = kind.strip_suffix("_pair").expect("a pair");
                        assert!(
                            broken[0].starts_with(&format!("{scope}{name}[")),
                            "{broken:?}"
                        );
                    }
                    (false, _) => assert_eq!(broken, [format!("{scope}bind")]),
                }
            }
            let built = forged(-Fr::ONE);
            let refusal = built.first_broken().expect("-1 is nowhere a value");
            let expected = match kind {
                "xor_bit" | "xor_pair" => format!("{scope}xor["),
                "star" => format!("{scope}star"),
                "ch_pair" => format!("{scope}ch["),
                "maj_pair" => format!("{scope}maj["),
                _ => format!("{scope}{kind}/boolean"),
            };
            assert!(refusal.starts_with(&expected), "{kind}: {refusal}");
        }
    }
}

/// What a cell of this kind holds in one case or another.
fn others(kind: &str) -> Vec<Fr> {
    let second = register::second();
    match kind {
        "ch_pair" | "maj_pair" => vec![Fr::ZERO, Fr::ONE, second, second + Fr::ONE],
        "xor_pair" | "star" => (0..4_u64).map(Fr::from).collect(),
        _ => vec![Fr::ZERO, Fr::ONE],
    }
}

/// A message's bit is a bit by its own row only; the hash relies on it.
#[test]
fn a_message_of_other_than_bits_is_refused_where_it_is_made() {
    for occurrence in [0, 255, 511] {
        let lie = Forge::value("message", occurrence, 2);
        let built = Trial::new().lie(lie).build_circuit(&Signers::example(1));
        let row = if occurrence < 256 {
            "message/boolean"
        } else {
            "signer[0]/message/boolean"
        };
        assert_eq!(built.first_broken(), Some(row));
    }
}
