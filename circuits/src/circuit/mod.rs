//! The quorum circuit: a quorum of this committed set signed this 47-byte message.
//!
//! Statement  Set commitment; message digest as two 128-bit halves; rule `num + 2^32 den`. There are
//!            keys with pairwise different places in the committed set, whose powers together are more
//!            than `num / den` of its total, each with a signature of the message by the
//!            predicate of docs/signatures.md
//! Witness    For each slot a flag, a key with its opening, a signature. A slot that does not count holds
//!            the dummy key's signature: a valid one, so that no row and no second is saved by it
//! Argument   docs/circuit/README.md
//! Cost       48,593 rows a slot with the 2^13 table, 41,640 once; pinned in the tests
//! Source     docs/circuit/README.md#parts
//!
//! One flag for each slot gates two things and nothing else: the equality of its Merkle root with
//! the set's, and its power. Everything else holds for all slots alike.

mod witness;

#[cfg(test)]
mod tests;

use ark_bn254::Fr;
use quorate_verifier::message::Tag;
use quorate_verifier::primitives::{CircuitSize, TREE_DEPTH};

use crate::edwards::{self, enforce_batch};
use crate::field25519::Field;
use crate::ground::{Bit, Builder, Circuit, Lin, Wire};
use crate::lookup::Limb;
use crate::membership::{MemberVar, SetVar, enforce_member, enforce_rising, open_set};
use crate::quorum::enforce_quorum;
use crate::scalar::Scalar;
use crate::sha512::{Byte, Ending, sha512};
use crate::transcript::{SlotLins, absorb, weight};

pub use witness::{QuorumWitness, SlotWitness, WitnessError};

/// Look-up table of circuits of few slots: 2^13 entries.
pub const SMALL_CHUNK_BITS: u32 = 13;
/// Look-up table of circuits of many slots: 2^16 entries.
pub const LARGE_CHUNK_BITS: u32 = 16;

/// The quorum circuit with a witness. Its shape depends on the number of slots, the depth and the
/// table, never on a value.
#[derive(Clone, Debug)]
pub struct QuorumCircuit {
    /// What the slots are filled with; as many as the circuit has.
    pub witness: QuorumWitness,
    /// Depth of the validator tree.
    pub depth: usize,
    /// Look-ups use a table of `2^chunk_bits` entries.
    pub chunk_bits: u32,
}

impl QuorumCircuit {
    /// At the depth of every validator set, with the table that suits the number of slots.
    #[must_use]
    pub fn new(witness: QuorumWitness) -> Self {
        let chunk_bits = chunk_bits_for(witness.slots.len());
        Self {
            witness,
            depth: TREE_DEPTH,
            chunk_bits,
        }
    }
}

impl QuorumCircuit {
    /// The circuit of a size, filled with nothing that holds: for its rows only.
    #[must_use]
    pub fn of_size(size: CircuitSize) -> Self {
        Self::new(QuorumWitness::placeholder(size))
    }
}

/// The table that makes a circuit of so many slots cheapest.
#[must_use]
pub fn chunk_bits_for(slots: usize) -> u32 {
    if slots < LARGE_TABLE_FROM {
        SMALL_CHUNK_BITS
    } else {
        LARGE_CHUNK_BITS
    }
}

/// From here on the rows that a wider chunk saves (1,543 a slot) outweigh the larger table's 52,539.
const LARGE_TABLE_FROM: usize = 35;

/// A slot whose own rows are made.
struct Slot {
    flag: Bit,
    member: MemberVar,
    r: Vec<Bit>,
    a: Vec<Bit>,
    k: Vec<Bit>,
    s: Scalar,
}

impl Circuit for QuorumCircuit {
    fn chunk_bits(&self) -> u32 {
        self.chunk_bits
    }

    fn statement(&self) -> Vec<Fr> {
        self.witness.statement.inputs().to_vec()
    }

    fn build(&self, g: &mut Builder) {
        let field = Field::new(self.chunk_bits);
        let [commitment, first, last, rule] = [0, 1, 2, 3].map(|i| g.statement(i));
        let set = open_set(g, commitment, &self.witness.set);
        let message = g.scope("message", |g| message_ending(g, first, last));
        let slots: Vec<Slot> = (self.witness.slots.iter().enumerate())
            .map(|(i, slot)| {
                g.scope(format_args!("slot[{i}]"), |g| {
                    self.build_slot(g, &set, &message, slot)
                })
            })
            .collect();

        let indices: Vec<Lin> = slots.iter().map(|slot| slot.member.index.clone()).collect();
        enforce_rising(g, &indices, self.depth);
        let powers: Vec<(Bit, &Limb)> = slots
            .iter()
            .map(|slot| (slot.flag, &slot.member.power))
            .collect();
        enforce_quorum(g, rule, &powers, &set.total);

        let lins: Vec<SlotLins> = slots.iter().map(Slot::lins).collect();
        let transcript = absorb(g, commitment, [first.into(), last.into()], &lins);
        let weights: Vec<Limb> = (0..slots.len()).map(|i| weight(g, transcript, i)).collect();
        let signatures: Vec<edwards::Signature<'_>> = slots
            .iter()
            .zip(&weights)
            .map(|(slot, z)| edwards::Signature {
                r: &slot.r,
                a: &slot.a,
                s: &slot.s,
                k: &slot.k,
                z,
            })
            .collect();
        g.scope("batch", |g| enforce_batch(g, &field, &signatures));
    }
}

impl QuorumCircuit {
    /// Flag, encodings, membership, hash and scalar of one slot.
    fn build_slot(
        &self,
        g: &mut Builder,
        set: &SetVar,
        message: &Ending,
        slot: &SlotWitness,
    ) -> Slot {
        let flag = g.bit("flag", slot.flag);
        let r = bits_of(g, "R", &slot.signature.r_bytes());
        let a = bits_of(g, "A", &slot.key);
        let member = enforce_member(g, set.root, halves(&a), flag, &slot.opening, self.depth);
        let encodings: Vec<Bit> = r.iter().chain(&a).copied().collect();
        let k = sha512(g, &Byte::all(&encodings), message).bits();
        let s = Scalar::advise(g, &slot.signature.s_bytes());
        Slot {
            flag,
            member,
            r,
            a,
            k,
            s,
        }
    }
}

impl Slot {
    /// What the transcript takes of a slot. The scalar is below 2^253 and stands in the first half.
    fn lins(&self) -> SlotLins {
        SlotLins {
            r: halves(&self.r),
            a: halves(&self.a),
            s: [self.s.lin().clone(), Lin::zero()],
            flag: self.flag,
        }
    }
}

/// The 47 bytes behind R and A: a constant tag, and the statement's digest in bits.
///
/// The bits of each half are those of the integer below 2^128 that the verifier supplies, and there
/// is only one such list.
fn message_ending(g: &mut Builder, first: Wire, last: Wire) -> Ending {
    let mut bytes: Vec<Byte> = Tag::COMMIT
        .as_bytes()
        .iter()
        .map(|byte| Byte::constant(*byte))
        .collect();
    for (kind, half) in [("first", first), ("last", last)] {
        let bits = g.bits(kind, half, 128);
        bytes.extend(Byte::all(&bits).iter().rev()); // big-endian
    }
    Ending::new(g, 64, &bytes)
}

/// 32 bytes as 256 advised bits, least significant first.
fn bits_of(g: &mut Builder, kind: &'static str, bytes: &[u8; 32]) -> Vec<Bit> {
    (0..256)
        .map(|i| g.bit(kind, bytes[i / 8] >> (i % 8) & 1 == 1))
        .collect()
}

/// Bytes 0-15 and bytes 16-31, little-endian.
fn halves(bits: &[Bit]) -> [Lin; 2] {
    let (low, high) = bits.split_at(128);
    [Lin::pack(low), Lin::pack(high)]
}
