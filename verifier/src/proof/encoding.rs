//! The 192 bytes of a proof, and the only points they may hold.

use ark_bn254::{G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_ec::short_weierstrass::{Affine, SWCurveConfig, SWFlags};
use ark_serialize::{CanonicalDeserializeWithFlags, CanonicalSerialize};

/// A proof whose points are on their curves, in their subgroups and not at infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Groth16's first element.
    pub a: G1Affine,
    /// Groth16's second element.
    pub b: G2Affine,
    /// Groth16's third element.
    pub c: G1Affine,
    /// The commitment to the committed cells.
    pub commitment: G1Affine,
    /// The knowledge of what is committed.
    pub knowledge: G1Affine,
}

/// A part of a proof or key, for errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// Groth16's first element.
    A,
    /// Groth16's second element.
    B,
    /// Groth16's third element.
    C,
    /// The commitment.
    Commitment,
    /// The knowledge of what is committed.
    Knowledge,
    /// A point of a verifying key.
    Key(&'static str),
}

impl core::fmt::Display for Element {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::Commitment => "the commitment",
            Self::Knowledge => "the knowledge element",
            Self::Key(name) => name,
        })
    }
}

/// Why bytes are not a proof, or not a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofDecodeError {
    /// A proof has 192 bytes.
    #[error("a proof has {expected} bytes, not {0}", expected = Proof::BYTES)]
    Length(usize),
    /// The point at infinity, whatever its other bits: no honest proof has it.
    #[error("{0} is the point at infinity")]
    Infinity(Element),
    /// A coordinate is not below the field's modulus, or both flags are set.
    #[error("{0} has a coordinate that is not a canonical field element")]
    Coordinate(Element),
    /// No point of the curve has this coordinate.
    #[error("{0} is not on its curve")]
    OffCurve(Element),
    /// A point of the curve outside the subgroup of prime order.
    #[error("{0} is not in the subgroup of prime order")]
    Subgroup(Element),
    /// The bytes decode, but the point encodes to others.
    #[error("{0} is not encoded canonically")]
    NotCanonical(Element),
}

impl Proof {
    /// Length of a proof: four compressed points of G1 and one of G2.
    pub const BYTES: usize = 192;

    /// Decodes a proof; see [`ProofDecodeError`] for all that is refused.
    ///
    /// # Errors
    /// Names the first element at fault and the rule that it breaks.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProofDecodeError> {
        let bytes: &[u8; Self::BYTES] = bytes
            .try_into()
            .map_err(|_| ProofDecodeError::Length(bytes.len()))?;
        let (a, rest) = bytes.split_at(G1_BYTES);
        let (b, rest) = rest.split_at(G2_BYTES);
        let (c, rest) = rest.split_at(G1_BYTES);
        let (commitment, knowledge) = rest.split_at(G1_BYTES);
        Ok(Self {
            a: decode_point(a, Element::A)?,
            b: decode_point(b, Element::B)?,
            c: decode_point(c, Element::C)?,
            commitment: decode_point(commitment, Element::Commitment)?,
            knowledge: decode_point(knowledge, Element::Knowledge)?,
        })
    }

    /// The only encoding: `A ‖ B ‖ C ‖ commitment ‖ knowledge`, compressed.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        let (a, rest) = out.split_at_mut(G1_BYTES);
        let (b, rest) = rest.split_at_mut(G2_BYTES);
        let (c, rest) = rest.split_at_mut(G1_BYTES);
        let (commitment, knowledge) = rest.split_at_mut(G1_BYTES);
        encode_point(&self.a, a);
        encode_point(&self.b, b);
        encode_point(&self.c, c);
        encode_point(&self.commitment, commitment);
        encode_point(&self.knowledge, knowledge);
        out
    }
}

/// Bytes of a compressed point of G1.
pub(super) const G1_BYTES: usize = 32;
/// Bytes of a compressed point of G2.
pub(super) const G2_BYTES: usize = 64;

/// A compressed point: x little-endian, the top bit for the larger y. Nothing but the one encoding
/// of a point of the prime-order subgroup other than zero is accepted.
pub(super) fn decode_point<C: SWCurveConfig>(
    bytes: &[u8],
    element: Element,
) -> Result<Affine<C>, ProofDecodeError> {
    let flags = bytes.last().copied().unwrap_or_default();
    if flags & INFINITY != 0 && flags & LARGER_Y == 0 {
        return Err(ProofDecodeError::Infinity(element));
    }
    let (x, flags): (C::BaseField, SWFlags) =
        CanonicalDeserializeWithFlags::deserialize_with_flags(bytes)
            .map_err(|_| ProofDecodeError::Coordinate(element))?;
    let (smaller, larger) =
        Affine::<C>::get_ys_from_x_unchecked(x).ok_or(ProofDecodeError::OffCurve(element))?;
    let y = if flags.is_positive() == Some(true) {
        smaller
    } else {
        larger
    };
    let point = Affine::<C>::new_unchecked(x, y);
    if !point.is_in_correct_subgroup_assuming_on_curve() {
        return Err(ProofDecodeError::Subgroup(element));
    }
    let mut again = [0; G2_BYTES];
    let again = &mut again[..bytes.len()];
    encode_point(&point, again);
    if again != bytes || point.is_zero() {
        return Err(ProofDecodeError::NotCanonical(element));
    }
    Ok(point)
}

/// The inverse of [`decode_point`]; `out` has the length of the encoding.
pub(super) fn encode_point<C: SWCurveConfig>(point: &Affine<C>, out: &mut [u8]) {
    point
        .serialize_compressed(out)
        .expect("a compressed point has the length of the buffer");
}

/// Top bits of the last byte of a compressed point.
const INFINITY: u8 = 0x40;
const LARGER_Y: u8 = 0x80;
