//! Writing and reading the file of a proving key, block by block.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ark_bn254::{G1Affine, G2Affine};
use ark_ec::AffineRepr;
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::StoreError;
use super::layout::{BLOCK_BYTES, Head, HeadError, Section};
use super::points::Point;
use crate::key::ProvingKey;

/// Blocks that are held in memory at once.
const RUN_BLOCKS: usize = 16;

/// The sections of a key that is in memory.
struct Sections<'a> {
    key: &'a ProvingKey,
    a_cells: Vec<u8>,
    b_cells: Vec<u8>,
    a: Vec<G1Affine>,
    b1: Vec<G1Affine>,
    b2: Vec<G2Affine>,
}

/// Writes a key; answers its head. `step` hears of the share of bytes that are written and may stop.
pub(crate) fn write(
    path: &Path,
    key: &ProvingKey,
    mut step: impl FnMut(f64) -> ControlFlow<()>,
) -> Result<Head, StoreError> {
    let failed = |error| StoreError::write(path, error);
    let sections = Sections::of(key);
    let mut head = sections.head();
    let total = head.file_bytes();
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(failed)?;
    file.seek(SeekFrom::Start(head.head_bytes() as u64))
        .map_err(failed)?;
    let mut written = head.head_bytes() as u64;
    for section in Section::ALL {
        let mut put = |run: Vec<(Vec<u8>, [u8; 32])>| -> Result<(), StoreError> {
            for (bytes, digest) in run {
                file.write_all(&bytes).map_err(failed)?;
                written += bytes.len() as u64;
                head.blocks.push(digest);
            }
            #[allow(
                clippy::cast_precision_loss,
                reason = "a share of the work, for people"
            )]
            match step(written as f64 / total as f64) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(StoreError::Cancelled),
            }
        };
        match section {
            Section::ACells => put(bytes_of(&sections.a_cells))?,
            Section::BCells => put(bytes_of(&sections.b_cells))?,
            Section::Committed => put_points(sections.committed(), put)?,
            Section::Knowledge => put_points(&key.knowledge, put)?,
            Section::A => put_points(&sections.a, put)?,
            Section::B1 => put_points(&sections.b1, put)?,
            Section::B2 => put_points(&sections.b2, put)?,
            Section::H => put_points(&key.groth.h_query, put)?,
            Section::L => put_points(&key.groth.l_query, put)?,
        }
    }
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    file.write_all(&head.to_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    Ok(head)
}

impl<'a> Sections<'a> {
    fn of(key: &'a ProvingKey) -> Self {
        let groth = &key.groth;
        let (b_cells, b1) = sparse(&groth.b_g1_query);
        let (b2_cells, b2) = sparse(&groth.b_g2_query);
        assert_eq!(b_cells, b2_cells, "both B queries have the same scalars");
        let (a_cells, a) = sparse(&groth.a_query);
        Self {
            key,
            a_cells,
            b_cells,
            a,
            b1,
            b2,
        }
    }

    fn committed(&self) -> &'a [G1Affine] {
        let first = self.key.verifying.statement_len() + 1;
        &self.key.groth.vk.gamma_abc_g1[first..first + self.key.knowledge.len()]
    }

    fn head(&self) -> Head {
        let groth = &self.key.groth;
        let counts = [
            self.a_cells.len(),
            self.b_cells.len(),
            self.key.knowledge.len(),
            self.key.knowledge.len(),
            self.a.len(),
            self.b1.len(),
            self.b2.len(),
            groth.h_query.len(),
            groth.l_query.len(),
        ];
        let domain = groth.h_query.len() + 1;
        assert!(
            domain.is_power_of_two(),
            "the H query is one short of a domain"
        );
        Head {
            verifying: self.key.verifying.digest(),
            columns: groth.a_query.len() as u64,
            domain_log2: u8::try_from(domain.ilog2()).expect("at most 28"),
            beta_delta: [groth.beta_g1, groth.delta_g1],
            counts: counts.map(|count| count as u64),
            blocks: Vec::new(),
        }
    }
}

/// Bytes that the file of a key takes.
pub(crate) fn file_bytes(key: &ProvingKey) -> u64 {
    let groth = &key.groth;
    let g1 = groth.a_query.len()
        + groth.b_g1_query.len()
        + groth.h_query.len()
        + groth.l_query.len()
        + 2 * key.knowledge.len();
    (G1Affine::BYTES * g1 + G2Affine::BYTES * groth.b_g2_query.len()) as u64
}

/// Which points are not zero, a bit each, and those points.
fn sparse<P: AffineRepr>(points: &[P]) -> (Vec<u8>, Vec<P>) {
    let mut cells = vec![0; points.len().div_ceil(8)];
    let mut kept = Vec::with_capacity(points.iter().filter(|p| !p.is_zero()).count());
    for (i, point) in points.iter().enumerate() {
        if !point.is_zero() {
            cells[i / 8] |= 1 << (i % 8);
            kept.push(*point);
        }
    }
    (cells, kept)
}

fn bytes_of(bytes: &[u8]) -> Vec<(Vec<u8>, [u8; 32])> {
    let block = |block: &[u8]| (block.to_vec(), Sha256::digest(block).into());
    bytes.par_chunks(BLOCK_BYTES).map(block).collect()
}

fn put_points<P: Point>(
    points: &[P],
    mut put: impl FnMut(Vec<(Vec<u8>, [u8; 32])>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let per_block = BLOCK_BYTES / P::BYTES;
    for run in points.chunks(per_block * RUN_BLOCKS) {
        let blocks = run.par_chunks(per_block).map(|block| {
            let mut bytes = vec![0; block.len() * P::BYTES];
            for (point, bytes) in block.iter().zip(bytes.chunks_exact_mut(P::BYTES)) {
                point.encode(bytes);
            }
            let digest = Sha256::digest(&bytes).into();
            (bytes, digest)
        });
        put(blocks.collect())?;
    }
    Ok(())
}

/// The file of a proving key, open for reading. Bytes are used only after their block's digest was
/// compared with the one in the head.
#[derive(Debug)]
pub(crate) struct KeyFile {
    path: PathBuf,
    /// Read in one place at a time.
    file: Mutex<File>,
    head: Head,
}

impl KeyFile {
    /// Reads the head. Nothing is reserved before the lengths in it were held against the file's.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |error| StoreError::read(path, error);
        let damaged = |error| match error {
            HeadError::Damaged(what) => StoreError::damaged(path, what),
            HeadError::Unsupported(what) => StoreError::Unsupported {
                path: path.into(),
                what,
            },
        };
        let mut file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::damaged(path, "the file is missing"),
            _ => failed(error),
        })?;
        let length = file.metadata().map_err(failed)?.len();
        let mut fixed = Vec::with_capacity(Head::FIXED_BYTES);
        (&mut file)
            .take(Head::FIXED_BYTES as u64)
            .read_to_end(&mut fixed)
            .map_err(failed)?;
        let mut head = Head::read_fixed(&fixed, length).map_err(damaged)?;
        let mut digest = [0; 32];
        for _ in 0..head.all_blocks() {
            file.read_exact(&mut digest).map_err(failed)?;
            head.blocks.push(digest);
        }
        Ok(Self {
            path: path.into(),
            file: Mutex::new(file),
            head,
        })
    }

    pub(crate) const fn head(&self) -> &Head {
        &self.head
    }

    /// A section of plain bytes.
    pub(crate) fn bytes(&self, section: Section) -> Result<Vec<u8>, StoreError> {
        let mut all = Vec::with_capacity(usize_of(self.head.section_bytes(section)));
        self.blocks(section, |run| {
            all.extend_from_slice(run);
            Ok(())
        })?;
        Ok(all)
    }

    /// A whole section of points.
    pub(crate) fn points<P: Point>(&self, section: Section) -> Result<Vec<P>, StoreError> {
        let mut all = Vec::with_capacity(usize_of(self.head.counts[section as usize]));
        self.runs(section, |run: &[P]| {
            all.extend_from_slice(run);
            Ok(())
        })?;
        Ok(all)
    }

    /// Runs of a section of points, in order.
    pub(crate) fn runs<P: Point>(
        &self,
        section: Section,
        mut each: impl FnMut(&[P]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        assert_eq!(section.width(), P::BYTES, "points of the section's group");
        let mut points: Vec<P> = Vec::new();
        self.blocks(section, |bytes| {
            points.resize(bytes.len() / P::BYTES, P::zero());
            let good = points
                .par_iter_mut()
                .zip(bytes.par_chunks_exact(P::BYTES))
                .with_min_len(1024)
                .all(|(point, bytes)| P::decode(bytes).map(|p| *point = p).is_some());
            if !good {
                let what = format!("{}: a coordinate above the modulus", section.name());
                return Err(StoreError::damaged(&self.path, what));
            }
            each(&points)
        })
    }

    /// Bytes of a section in runs of whole blocks, checked.
    pub(crate) fn blocks(
        &self,
        section: Section,
        mut each: impl FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let (mut block, start) = self.head.start_of(section);
        let mut left = self.head.section_bytes(section);
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => StoreError::damaged(
                &self.path,
                format!("{}: the file ends inside it", section.name()),
            ),
            _ => StoreError::read(&self.path, error),
        };
        let mut at = start;
        let run = (RUN_BLOCKS * BLOCK_BYTES) as u64;
        let mut buffer = vec![0; usize_of(left.min(run))];
        while left > 0 {
            let bytes = &mut buffer[..usize_of(left.min(run))];
            self.read_at(at, bytes).map_err(failed)?;
            let bad = bytes
                .par_chunks(BLOCK_BYTES)
                .zip(&self.head.blocks[block..])
                .any(|(bytes, digest)| Sha256::digest(bytes)[..] != digest[..]);
            if bad {
                let what = format!("{}: bytes that are not those written", section.name());
                return Err(StoreError::damaged(&self.path, what));
            }
            each(bytes)?;
            block += bytes.len().div_ceil(BLOCK_BYTES);
            at += bytes.len() as u64;
            left -= bytes.len() as u64;
        }
        Ok(())
    }
}

impl KeyFile {
    fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(bytes)
    }
}

/// Lengths were held against the file's own, and a file that is mapped to memory in parts has
/// parts that fit it.
fn usize_of(length: u64) -> usize {
    usize::try_from(length).expect("a length that was checked against memory")
}
