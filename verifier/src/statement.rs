//! The statement: the public inputs of a proof, and how they are packed into scalars.

use alloc::vec::Vec;

use ark_bn254::Fr;
use serde::{Deserialize, Serialize};

use crate::encoding::{Canonical, DecodeError, Kind, Reader};
use crate::file::FileType;
use crate::header::Header;
use crate::message::CommitMessage;
use crate::primitives::{Digest, View};
use crate::rule::QuorumRule;
use crate::set::SetCommitment;

/// Number of public inputs.
pub const STATEMENT_INPUTS: usize = 4;

/// "Members of this set, holding more than this fraction of its power, signed this message."
///
/// It says something of a chain only after the verifier has made it itself, from the header and
/// view at hand and the set and rule that it demands: [`Statement::of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The set.
    pub set_commitment: SetCommitment,
    /// The last 32 bytes of the commit message.
    pub message_digest: Digest,
    /// The rule.
    pub rule: QuorumRule,
}

impl Statement {
    /// The statement that the set named by `header` finalised it in `view`.
    pub fn of(header: &Header, view: View, rule: QuorumRule) -> Self {
        Self::over(header.validators, header, view, rule)
    }

    /// The statement that members of another set signed `header`: an overlap proof.
    pub fn over(set: SetCommitment, header: &Header, view: View, rule: QuorumRule) -> Self {
        let message_digest = CommitMessage::new(&header.digest(), view).digest();
        Self {
            set_commitment: set,
            message_digest,
            rule,
        }
    }

    /// The public inputs, in order: set commitment; message digest as two 128-bit halves (first
    /// 16 bytes, last 16 bytes, each big-endian); `num + 2^32 · den`.
    pub fn inputs(&self) -> [Fr; STATEMENT_INPUTS] {
        let (first, last) = self.message_digest.as_bytes().split_at(16);
        let half = |bytes: &[u8]| {
            Fr::from(u128::from_be_bytes(
                bytes.try_into().expect("half of 32 bytes"),
            ))
        };
        let rule = u64::from(self.rule.num()) | u64::from(self.rule.den()) << 32;
        [
            self.set_commitment.scalar(),
            half(first),
            half(last),
            Fr::from(rule),
        ]
    }
}

impl Canonical for Statement {
    fn write(&self, out: &mut Vec<u8>) {
        self.set_commitment.write(out);
        self.message_digest.write(out);
        self.rule.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            set_commitment: SetCommitment::read(input)?,
            message_digest: input.array("message digest").map(Digest::from_bytes)?,
            rule: QuorumRule::read(input)?,
        })
    }
}

impl FileType for Statement {
    const KIND: Kind = Kind::Statement;
    const MAX_BYTES: usize = 72;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::scalar_to_bytes;

    #[test]
    fn inputs_are_packed_as_written() {
        let mut commitment = [0; 32];
        commitment[0] = 5;
        let statement = Statement {
            set_commitment: SetCommitment::from_bytes(commitment).expect("below the modulus"),
            message_digest: Digest::from_bytes(crate::primitives::counting_bytes()),
            rule: QuorumRule::COMMIT,
        };
        let [set, first, last, rule] = statement.inputs();
        assert_eq!(set, Fr::from(5u8));
        assert_eq!(
            first,
            Fr::from(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0fu128)
        );
        assert_eq!(
            last,
            Fr::from(0x1011_1213_1415_1617_1819_1a1b_1c1d_1e1fu128)
        );
        assert_eq!(rule, Fr::from(2u64 + (3 << 32)));
        assert_eq!(scalar_to_bytes(&last)[16..], [0; 16]);
    }
}
