//! The bases that a proof sums over: in memory, or on disk and read in runs.
//!
//! A sum over runs is the sum of the runs' sums, so a proof needs room for one run at a time, and
//! its memory hardly depends on how large the key is.

use ark_bn254::{Fr, G1Affine, G1Projective, g1, g2};
use ark_ec::CurveGroup;
use ark_ec::short_weierstrass::{Affine, Projective, SWCurveConfig};
use zeroize::{Zeroize, Zeroizing};

use crate::key::ProvingKey;
use crate::msm::msm;
use crate::store::{Point, Section, StoreError, StoredKey};

/// Bases in memory that are summed at once, so that a sum needs no more room than this takes.
const MEMORY_RUN: usize = 1 << 20;

/// Where the bases are.
#[derive(Debug)]
pub(crate) enum Bases {
    /// A whole key.
    Memory(Box<ProvingKey>),
    /// A key in the store, with the bit for each column that has a base.
    Stored {
        /// The key.
        key: Box<StoredKey>,
        /// Of the first factors.
        a_cells: Vec<u8>,
        /// Of the second factors.
        b_cells: Vec<u8>,
    },
}

impl Bases {
    /// Of a key in the store; its bit lists are read and checked.
    pub(crate) fn stored(key: StoredKey) -> Result<Self, StoreError> {
        Ok(Self::Stored {
            a_cells: key.cells(Section::ACells, Section::A)?,
            b_cells: key.cells(Section::BCells, Section::B1)?,
            key: Box::new(key),
        })
    }

    /// `beta` and `delta` in G1.
    pub(crate) fn beta_delta(&self) -> [G1Affine; 2] {
        match self {
            Self::Memory(key) => [key.groth.beta_g1, key.groth.delta_g1],
            Self::Stored { key, .. } => key.beta_delta(),
        }
    }

    /// Commitment and knowledge of the committed cells.
    pub(crate) fn commit(&self, committed: &[Fr]) -> Result<(G1Affine, G1Affine), StoreError> {
        let sums = match self {
            Self::Memory(key) => {
                let first = key.verifying.statement_len() + 1;
                let bases = &key.groth.vk.gamma_abc_g1[first..first + committed.len()];
                (sum(bases, committed), sum(&key.knowledge, committed))
            }
            Self::Stored { key, .. } => (
                sum_stored::<g1::Config>(key, Section::Committed, None, committed)?,
                sum_stored::<g1::Config>(key, Section::Knowledge, None, committed)?,
            ),
        };
        let (commitment, knowledge): (G1Projective, G1Projective) = sums;
        Ok((commitment.into_affine(), knowledge.into_affine()))
    }

    /// The sum of a query in G1.
    pub(crate) fn sum_g1(
        &self,
        query: Section,
        scalars: &[Fr],
    ) -> Result<G1Projective, StoreError> {
        match self {
            Self::Memory(key) => {
                let bases = match query {
                    Section::A => &key.groth.a_query,
                    Section::B1 => &key.groth.b_g1_query,
                    Section::H => &key.groth.h_query,
                    Section::L => &key.groth.l_query,
                    other => panic!("{other:?} is no query in G1"),
                };
                Ok(sum(bases, scalars))
            }
            Self::Stored { key, .. } => {
                sum_stored::<g1::Config>(key, query, self.cells(query), scalars)
            }
        }
    }

    /// The sum of the second factors in G2.
    pub(crate) fn sum_b2(&self, scalars: &[Fr]) -> Result<ark_bn254::G2Projective, StoreError> {
        match self {
            Self::Memory(key) => Ok(sum(&key.groth.b_g2_query, scalars)),
            Self::Stored { key, b_cells, .. } => {
                sum_stored::<g2::Config>(key, Section::B2, Some(b_cells), scalars)
            }
        }
    }

    fn cells(&self, query: Section) -> Option<&[u8]> {
        match (self, query) {
            (Self::Stored { a_cells, .. }, Section::A) => Some(a_cells),
            (Self::Stored { b_cells, .. }, Section::B1) => Some(b_cells),
            _ => None,
        }
    }
}

fn sum<C>(bases: &[Affine<C>], scalars: &[Fr]) -> Projective<C>
where
    C: SWCurveConfig<ScalarField = Fr>,
{
    let runs = bases.chunks(MEMORY_RUN).zip(scalars.chunks(MEMORY_RUN));
    runs.map(|(bases, scalars)| msm(bases, scalars)).sum()
}

/// Of a section of a stored key; `cells` are the bits of the scalars that have a base.
fn sum_stored<C>(
    key: &StoredKey,
    section: Section,
    cells: Option<&[u8]>,
    scalars: &[Fr],
) -> Result<Projective<C>, StoreError>
where
    C: SWCurveConfig<ScalarField = Fr>,
    Affine<C>: Point,
{
    let mut total = Projective::<C>::default();
    let mut next = 0;
    let mut chosen = Zeroizing::new(Vec::new());
    key.file().runs(section, |points: &[Affine<C>]| {
        let scalars = match cells {
            None => {
                let first = next;
                next += points.len();
                &scalars[first..next]
            }
            Some(cells) => {
                chosen.zeroize();
                chosen.reserve(points.len());
                while chosen.len() < points.len() {
                    if cells[next / 8] >> (next % 8) & 1 == 1 {
                        chosen.push(scalars[next]);
                    }
                    next += 1;
                }
                &chosen
            }
        };
        total += msm(points, scalars);
        Ok(())
    })?;
    Ok(total)
}
