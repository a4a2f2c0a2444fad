//! The verifying key in its light form: what a verifier needs, and what it must not be fooled about.

use alloc::string::String;
use alloc::vec::Vec;

use ark_bn254::{Bn254, G1Affine, G2Affine};
use ark_ec::bn::G2Prepared;
use ark_ec::pairing::{Pairing, PairingOutput};
use serde::{Deserialize, Serialize};

use super::encoding::{Element, G1_BYTES, G2_BYTES, decode_point, encode_point};
use super::inputs::InputTables;
use crate::encoding::{Canonical, DecodeError, Kind, Reader};
use crate::file::FileType;
use crate::message::Tag;
use crate::primitives::{CircuitSize, Digest, TREE_DEPTH};

/// Most values that a statement has, whatever the circuit.
pub const STATEMENT_MAX: usize = 16;
/// The largest look-up table has `2^20` entries.
pub const CHUNK_BITS_MAX: usize = 20;

/// Which circuit a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CircuitId {
    /// Digest of the circuit's rows.
    pub digest: Digest,
    /// Signers that it holds.
    pub slots: CircuitSize,
    /// Depth of the validator tree, at most 8.
    pub depth: u8,
    /// The look-up table has `2^chunk_bits` entries.
    pub chunk_bits: u8,
}

/// Who made a key, and so who could prove false statements under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// One party made it alone and may have kept the trapdoor: for development.
    Development,
    /// A ceremony of several parties, one of whom suffices to be honest.
    Ceremony,
}

/// A verifying key without the bases of committed cells. About 600 bytes.
///
/// Points are in their subgroups and not zero; [`prepare`](Self::prepare) refuses a degenerate key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "KeyJson", into = "KeyJson")]
pub struct VerifyingKey {
    /// Which circuit it is for.
    pub circuit: CircuitId,
    /// Who made it.
    pub origin: Origin,
    /// Digest of the bases of the committed cells and of their knowledge bases.
    pub committed_bases: Digest,
    /// `alpha` in G1.
    pub alpha: G1Affine,
    /// `beta` in G2.
    pub beta: G2Affine,
    /// `gamma` in G2.
    pub gamma: G2Affine,
    /// `delta` in G2.
    pub delta: G2Affine,
    /// `sigma * gamma` in G2, for the knowledge equation.
    pub sigma_gamma: G2Affine,
    /// Bases of 1, the statement, the tuple challenge and the sum challenge, in this order.
    pub bases: Vec<G1Affine>,
}

/// Why a key is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Two points that must be independent are equal or opposite.
    #[error("the key is degenerate: {0} and {1} are the same point or opposite")]
    Degenerate(&'static str, &'static str),
    /// A field outside its range; the decoder refuses such a key already.
    #[error("the key's {0} is out of range")]
    Range(&'static str),
}

impl VerifyingKey {
    /// Bases that stand for neither statement nor commitment: that of 1 and of two challenges.
    const OTHER_BASES: usize = 3;

    /// Number of values that a statement has.
    pub fn statement_len(&self) -> usize {
        self.bases.len() - Self::OTHER_BASES
    }

    /// SHA-256 over the whole light key as a file: points, circuit, table, size, format version,
    /// development mark and the hash of the committed bases. This is what a verifier pins.
    pub fn digest(&self) -> Digest {
        Tag::VERIFYING_KEY.digest(&self.to_file())
    }

    /// Makes the key ready for many verifications. Takes about as long as one of them.
    ///
    /// # Errors
    /// [`KeyError`] for a key under which false statements could be proved by looking at it.
    pub fn prepare(self) -> Result<PreparedKey, KeyError> {
        let Self { circuit, bases, .. } = &self;
        for (holds, what) in [
            (
                (1..=CHUNK_BITS_MAX).contains(&usize::from(circuit.chunk_bits)),
                "chunk width",
            ),
            (
                (1..=TREE_DEPTH).contains(&usize::from(circuit.depth)),
                "tree depth",
            ),
            (
                (Self::OTHER_BASES..=STATEMENT_MAX + Self::OTHER_BASES).contains(&bases.len()),
                "number of bases",
            ),
        ] {
            if !holds {
                return Err(KeyError::Range(what));
            }
        }
        let points = [
            ("beta", self.beta),
            ("gamma", self.gamma),
            ("delta", self.delta),
            ("sigma gamma", self.sigma_gamma),
        ];
        for (i, (name, point)) in points.iter().enumerate() {
            for (other_name, other) in &points[i + 1..] {
                if point == other || *point == -*other {
                    return Err(KeyError::Degenerate(name, other_name));
                }
            }
        }
        Ok(PreparedKey {
            digest: self.digest(),
            inputs: InputTables::new(&self.bases),
            alpha_beta: Bn254::pairing(self.alpha, self.beta),
            beta: self.beta.into(),
            minus_gamma: (-self.gamma).into(),
            minus_delta: (-self.delta).into(),
            sigma_gamma: self.sigma_gamma.into(),
            key: self,
        })
    }
}

/// A [`VerifyingKey`] with its digest and with the work done that depends on the key only.
#[derive(Clone, Debug)]
pub struct PreparedKey {
    pub(super) key: VerifyingKey,
    pub(super) digest: Digest,
    pub(super) inputs: InputTables,
    pub(super) alpha_beta: PairingOutput<Bn254>,
    pub(super) beta: G2Prepared<ark_bn254::Config>,
    pub(super) minus_gamma: G2Prepared<ark_bn254::Config>,
    pub(super) minus_delta: G2Prepared<ark_bn254::Config>,
    pub(super) sigma_gamma: G2Prepared<ark_bn254::Config>,
}

impl PreparedKey {
    /// The key.
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// The key's digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl Canonical for VerifyingKey {
    fn write(&self, out: &mut Vec<u8>) {
        write_head(out, &self.circuit, self.origin, &self.committed_bases);
        write_g1(out, &self.alpha);
        for point in [&self.beta, &self.gamma, &self.delta, &self.sigma_gamma] {
            let mut bytes = [0; G2_BYTES];
            encode_point(point, &mut bytes);
            out.extend_from_slice(&bytes);
        }
        out.push(u8::try_from(self.statement_len()).expect("a statement has at most 16 values"));
        for base in &self.bases {
            write_g1(out, base);
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let circuit = CircuitId {
            digest: Digest::read(input)?,
            slots: CircuitSize::read(input)?,
            depth: bounded(input, "tree depth", 1, TREE_DEPTH)?,
            chunk_bits: bounded(input, "chunk width", 1, CHUNK_BITS_MAX)?,
        };
        let origin = match input.u8("origin")? {
            0 => Origin::Development,
            1 => Origin::Ceremony,
            byte => {
                let rule = alloc::format!("a key's origin is 0 or 1, not {byte}");
                return Err(DecodeError::rule("origin", rule));
            }
        };
        let committed_bases = Digest::read(input)?;
        let alpha = read_g1(input, "alpha")?;
        let [beta, gamma, delta, sigma_gamma] =
            ["beta", "gamma", "delta", "sigma gamma"].map(|name| read_g2(input, name));
        let count = usize::from(bounded(input, "statement", 0, STATEMENT_MAX)?) + Self::OTHER_BASES;
        let bases = (0..count)
            .map(|_| read_g1(input, "a base"))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            circuit,
            origin,
            committed_bases,
            alpha,
            beta: beta?,
            gamma: gamma?,
            delta: delta?,
            sigma_gamma: sigma_gamma?,
            bases,
        })
    }
}

impl FileType for VerifyingKey {
    const KIND: Kind = Kind::VerifyingKey;
    const MAX_BYTES: usize = 2048;
}

fn bounded(
    input: &mut Reader<'_>,
    field: &'static str,
    least: u8,
    most: usize,
) -> Result<u8, DecodeError> {
    let byte = input.u8(field)?;
    if byte < least || usize::from(byte) > most {
        let rule = alloc::format!("between {least} and {most}, not {byte}");
        return Err(DecodeError::rule(field, rule));
    }
    Ok(byte)
}

fn write_g1(out: &mut Vec<u8>, point: &G1Affine) {
    let mut bytes = [0; G1_BYTES];
    encode_point(point, &mut bytes);
    out.extend_from_slice(&bytes);
}

fn read_g1(input: &mut Reader<'_>, name: &'static str) -> Result<G1Affine, DecodeError> {
    let bytes = input.take(name, G1_BYTES)?;
    decode_point(bytes, Element::Key(name)).map_err(|e| DecodeError::rule(name, e))
}

fn read_g2(input: &mut Reader<'_>, name: &'static str) -> Result<G2Affine, DecodeError> {
    let bytes = input.take(name, G2_BYTES)?;
    decode_point(bytes, Element::Key(name)).map_err(|e| DecodeError::rule(name, e))
}

/// In JSON the points are one hex string: the canonical bytes from `alpha` on.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyJson {
    circuit: CircuitId,
    origin: Origin,
    committed_bases: Digest,
    points: String,
}

/// Canonical bytes before `alpha`.
fn write_head(out: &mut Vec<u8>, circuit: &CircuitId, origin: Origin, bases: &Digest) {
    circuit.digest.write(out);
    circuit.slots.write(out);
    out.extend_from_slice(&[circuit.depth, circuit.chunk_bits]);
    out.push(match origin {
        Origin::Development => 0,
        Origin::Ceremony => 1,
    });
    bases.write(out);
}

impl From<VerifyingKey> for KeyJson {
    fn from(key: VerifyingKey) -> Self {
        let mut head = Vec::new();
        write_head(&mut head, &key.circuit, key.origin, &key.committed_bases);
        Self {
            circuit: key.circuit,
            origin: key.origin,
            committed_bases: key.committed_bases,
            points: hex::encode(&key.to_bytes()[head.len()..]),
        }
    }
}

impl TryFrom<KeyJson> for VerifyingKey {
    type Error = DecodeError;
    fn try_from(json: KeyJson) -> Result<Self, DecodeError> {
        let mut bytes = Vec::new();
        write_head(
            &mut bytes,
            &json.circuit,
            json.origin,
            &json.committed_bases,
        );
        if json.points.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(DecodeError::rule("points", "hex is lower-case"));
        }
        let points = hex::decode(&json.points).map_err(|e| DecodeError::rule("points", e))?;
        bytes.extend_from_slice(&points);
        Self::from_bytes(&bytes)
    }
}
