//! What stands where in the file of a proving key: its head, and the sections that follow.
//!
//! The head gives the length of every section and a digest of every block, so that a reader knows
//! the size of the whole before it reserves room, and checks each block before it uses it.
//! docs/keys.md has the layout in bytes.

use ark_bn254::G1Affine;
use quorate_verifier::encoding::{FILE_HEADER_BYTES, FORMAT_VERSION, Kind, MAGIC};
use quorate_verifier::file::file_header;
use quorate_verifier::primitives::Digest;
use sha2::{Digest as _, Sha256};

use super::points::{G1_BYTES, G2_BYTES, Point};

/// Bytes of a block; the last one of a section may be shorter.
pub(crate) const BLOCK_BYTES: usize = 1 << 22;
/// No domain is larger: the field has no more roots of unity.
const DOMAIN_LOG2_MAX: u8 = 28;

/// The parts of a key's file, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Section {
    /// Which columns have a base in `A`: a bit each, lowest bit of the first byte first.
    ACells,
    /// Which columns have a base in `B1` and `B2`.
    BCells,
    /// Bases of the committed cells, the blinder's first.
    Committed,
    /// Bases of their knowledge.
    Knowledge,
    /// First factors, of the columns in `ACells`.
    A,
    /// Second factors in G1, of the columns in `BCells`.
    B1,
    /// Second factors in G2, of the columns in `BCells`.
    B2,
    /// Powers of the point of evaluation, for the quotient.
    H,
    /// The cells that are private to the prover.
    L,
}

impl Section {
    pub(crate) const ALL: [Self; 9] = [
        Self::ACells,
        Self::BCells,
        Self::Committed,
        Self::Knowledge,
        Self::A,
        Self::B1,
        Self::B2,
        Self::H,
        Self::L,
    ];

    /// Bytes of one element.
    pub(crate) const fn width(self) -> usize {
        match self {
            Self::ACells | Self::BCells => 1,
            Self::B2 => G2_BYTES,
            _ => G1_BYTES,
        }
    }

    /// For messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ACells => "the columns of A",
            Self::BCells => "the columns of B",
            Self::Committed => "the committed bases",
            Self::Knowledge => "the knowledge bases",
            Self::A => "the A query",
            Self::B1 => "the B query in G1",
            Self::B2 => "the B query in G2",
            Self::H => "the H query",
            Self::L => "the L query",
        }
    }
}

/// The head of a proving key's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Digest of the light verifying key that belongs to it.
    pub(crate) verifying: Digest,
    /// Columns of the circuit.
    pub(crate) columns: u64,
    /// Base-two logarithm of the rows' domain.
    pub(crate) domain_log2: u8,
    /// `beta` and `delta` in G1.
    pub(crate) beta_delta: [G1Affine; 2],
    /// Elements of each section.
    pub(crate) counts: [u64; 9],
    /// SHA-256 of every block, section by section.
    pub(crate) blocks: Vec<[u8; 32]>,
}

/// Why the bytes are no head; in words, with the figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeadError {
    Damaged(String),
    Unsupported(String),
}

impl Head {
    /// Bytes before the digests of the blocks.
    pub(crate) const FIXED_BYTES: usize = FILE_HEADER_BYTES + 32 + 8 + 1 + 2 * G1_BYTES + 9 * 8;

    /// Reads what stands before the digests of the blocks, and holds every length against the
    /// length of the file.
    pub(crate) fn read_fixed(bytes: &[u8], file_bytes: u64) -> Result<Self, HeadError> {
        let damaged = |what: String| HeadError::Damaged(what);
        let (header, rest) = bytes
            .split_at_checked(FILE_HEADER_BYTES)
            .filter(|_| bytes.len() == Self::FIXED_BYTES)
            .ok_or_else(|| {
                damaged(format!(
                    "it has {} bytes, the head alone has {}",
                    bytes.len(),
                    Self::FIXED_BYTES
                ))
            })?;
        if !header.starts_with(&MAGIC) || header[7] != Kind::ProvingKey as u8 {
            return Err(damaged("it does not start as a proving key does".into()));
        }
        if header[8] != FORMAT_VERSION {
            return Err(HeadError::Unsupported(format!(
                "format version {} of a proving key is unknown; this program knows version \
                 {FORMAT_VERSION}",
                header[8]
            )));
        }
        let (verifying, rest) = rest.split_at(32);
        let (columns, rest) = rest.split_at(8);
        let (domain, rest) = rest.split_at(1);
        let (points, counts) = rest.split_at(2 * G1_BYTES);
        let point = |bytes: &[u8]| {
            G1Affine::decode(bytes).ok_or_else(|| damaged("beta or delta is no point".into()))
        };
        let mut sections = [0; 9];
        for (count, bytes) in sections.iter_mut().zip(counts.chunks_exact(8)) {
            *count = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        }
        let head = Self {
            verifying: Digest::from_bytes(verifying.try_into().expect("32 bytes")),
            columns: u64::from_le_bytes(columns.try_into().expect("eight bytes")),
            domain_log2: domain[0],
            beta_delta: [point(&points[..G1_BYTES])?, point(&points[G1_BYTES..])?],
            counts: sections,
            blocks: Vec::new(),
        };
        head.check_lengths(file_bytes).map_err(damaged)?;
        Ok(head)
    }

    /// Every length follows from two numbers or is bounded by the file's own.
    fn check_lengths(&self, file_bytes: u64) -> Result<(), String> {
        if self.domain_log2 > DOMAIN_LOG2_MAX {
            return Err(format!(
                "a domain of 2^{} rows is too large",
                self.domain_log2
            ));
        }
        let expected = self.checked_file_bytes();
        if expected != Some(file_bytes) {
            let expected =
                expected.map_or_else(|| "more than 2^64".into(), |bytes| bytes.to_string());
            return Err(format!(
                "its sections take {expected} bytes, the file has {file_bytes}"
            ));
        }
        let count = |section: Section| self.counts[section as usize];
        let bitmap = self.columns.div_ceil(8);
        for (holds, what) in [
            (
                count(Section::ACells) == bitmap && count(Section::BCells) == bitmap,
                "the columns of A or B",
            ),
            (
                count(Section::Committed) == count(Section::Knowledge),
                "the knowledge bases",
            ),
            (
                count(Section::B1) == count(Section::B2),
                "the B query in G2",
            ),
            (
                count(Section::H) == (1 << self.domain_log2) - 1,
                "the H query",
            ),
        ] {
            if !holds {
                return Err(format!("{what}: a length that fits no circuit"));
            }
        }
        Ok(())
    }

    fn checked_file_bytes(&self) -> Option<u64> {
        let (mut bytes, mut blocks) = (Self::FIXED_BYTES as u64, 0_u64);
        for section in Section::ALL {
            let length = self.counts[section as usize].checked_mul(section.width() as u64)?;
            bytes = bytes.checked_add(length)?;
            blocks = blocks.checked_add(length.div_ceil(BLOCK_BYTES as u64))?;
        }
        bytes.checked_add(blocks.checked_mul(32)?)
    }

    /// Bytes of the whole file.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.checked_file_bytes()
            .expect("checked when it was read, or made from what is in memory")
    }

    /// Bytes of the section.
    pub(crate) fn section_bytes(&self, section: Section) -> u64 {
        self.counts[section as usize] * section.width() as u64
    }

    /// Blocks of the section.
    pub(crate) fn section_blocks(&self, section: Section) -> usize {
        let blocks = self.section_bytes(section).div_ceil(BLOCK_BYTES as u64);
        usize::try_from(blocks).expect("each has a digest in memory")
    }

    /// Blocks of all sections.
    pub(crate) fn all_blocks(&self) -> usize {
        Section::ALL.iter().map(|s| self.section_blocks(*s)).sum()
    }

    /// The section's first block, and where in the file it starts.
    pub(crate) fn start_of(&self, section: Section) -> (usize, u64) {
        let before = &Section::ALL[..section as usize];
        let blocks = before.iter().map(|s| self.section_blocks(*s)).sum();
        let bytes: u64 = before.iter().map(|s| self.section_bytes(*s)).sum();
        (blocks, self.head_bytes() as u64 + bytes)
    }

    /// Bytes before the first section.
    pub(crate) fn head_bytes(&self) -> usize {
        Self::FIXED_BYTES + 32 * self.all_blocks()
    }

    /// The head's bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = file_header(Kind::ProvingKey);
        out.extend_from_slice(self.verifying.as_bytes());
        out.extend_from_slice(&self.columns.to_le_bytes());
        out.push(self.domain_log2);
        for point in &self.beta_delta {
            let at = out.len();
            out.resize(at + G1_BYTES, 0);
            point.encode(&mut out[at..]);
        }
        for count in self.counts {
            out.extend_from_slice(&count.to_le_bytes());
        }
        for block in &self.blocks {
            out.extend_from_slice(block);
        }
        out
    }

    /// SHA-256 of the head, which stands for the whole file.
    pub(crate) fn digest(&self) -> Digest {
        Digest::from_bytes(Sha256::digest(self.to_bytes()).into())
    }
}
