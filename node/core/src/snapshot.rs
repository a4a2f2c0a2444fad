//! The state at a height, with what proves it: `docs/consensus.md#snapshot`.

use std::sync::Arc;

use quorate_verifier::certificate::CommitCertificate;
use quorate_verifier::encoding::{Canonical, DecodeError, Reader, write_length};
use quorate_verifier::genesis::Parameters;
use quorate_verifier::header::Header;
use quorate_verifier::primitives::{ChainId, Height};
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::{SetCommitment, ValidatorSet};

use crate::app::check_parameters;
use crate::chain::check_votes;
use crate::defect::{Build, Defect};
use crate::limits::{CHUNK_BYTES, LINKS_MAX, SNAPSHOT_BYTES_MAX};
use crate::request::read_count;
use crate::scheme::Scheme;

/// A final header with its certificate, without the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The header.
    pub header: Header,
    /// Commit votes of a quorum.
    pub certificate: CommitCertificate,
}

/// Everything that proves a state, but the state itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The last header whose payload is in the state.
    pub header: Header,
    /// Every later header than the asker's that announces another set, and last the header above
    /// `header`, which names the state's root.
    pub links: Vec<Link>,
    /// The parameters that `header` names: those in force above it.
    pub parameters: Parameters,
    /// The parameters that the last link's header names.
    pub next_parameters: Parameters,
    /// Bytes of the state.
    pub size: u64,
}

/// A state with its proof, as a replica keeps it in place of the blocks below. Its links begin at
/// genesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What proves the state.
    pub offer: Offer,
    /// [`crate::app::App::snapshot`] after the offer's header.
    pub state: Arc<[u8]>,
}

/// Why a snapshot proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The parts of the offer are not of one chain and height.
    #[error("the offer's {0} does not fit")]
    Unfit(&'static str),
    /// Not above what the replica has.
    #[error("height {} is not above the replica's", .0.get())]
    NotAhead(Height),
    /// A header that another set signs than the one announced below it.
    #[error("the header at height {} is not signed by the set that was announced", .0.get())]
    WrongSet(Height),
    /// A certificate that is none.
    #[error("the certificate at height {} does not hold", .0.get())]
    Certificate(Height),
    /// A set on the way that was not opened here.
    #[error("the set {0} was not opened")]
    SetUnopened(SetCommitment),
    /// Larger than any that is taken.
    #[error("a state of {0} bytes is not taken")]
    TooLarge(u64),
    /// The application cannot read the state.
    #[error("the state does not decode: {0}")]
    State(String),
    /// The state is not the certified one.
    #[error("the state's root is not the certified one")]
    Root,
}

impl Offer {
    /// The height of the state.
    pub fn height(&self) -> Height {
        self.header.height
    }

    /// Chunks in which the state is sent.
    pub fn chunks(&self) -> u32 {
        let chunks = self.size.div_ceil(CHUNK_BYTES as u64);
        u32::try_from(chunks).unwrap_or(u32::MAX)
    }

    /// Bytes of one chunk; 0 for one that there is not.
    pub(crate) fn chunk_length(&self, chunk: u32) -> usize {
        let start = u64::from(chunk).saturating_mul(CHUNK_BYTES as u64);
        let left = self.size.saturating_sub(start).min(CHUNK_BYTES as u64);
        usize::try_from(left).unwrap_or(CHUNK_BYTES)
    }

    /// The header above, which names the state's root.
    pub(crate) fn above(&self) -> Option<&Link> {
        self.links.last()
    }

    /// Whether the parts fit each other, for a replica on this chain that works on this height.
    ///
    /// # Errors
    /// What does not fit.
    pub(crate) fn check(&self, chain: &ChainId, height: Height) -> Result<(), SnapshotError> {
        if self.header.height < height {
            return Err(SnapshotError::NotAhead(self.header.height));
        }
        if self.size > SNAPSHOT_BYTES_MAX {
            return Err(SnapshotError::TooLarge(self.size));
        }
        let above = &self
            .above()
            .ok_or(SnapshotError::Unfit("list of links"))?
            .header;
        let grows = self.links.windows(2);
        let grows = grows
            .into_iter()
            .all(|pair| pair[0].header.height < pair[1].header.height);
        let fits = [
            (
                self.links.iter().all(|link| link.header.chain_id == *chain),
                "chain",
            ),
            (grows, "order of links"),
            (self.links[0].header.height >= height, "first link"),
            (Some(above.height) == self.header.height.next(), "last link"),
            (above.parent == self.header.digest(), "header"),
            (
                self.parameters.digest() == self.header.parameters,
                "parameters",
            ),
            (
                self.next_parameters.digest() == above.parameters,
                "next parameters",
            ),
            (check_parameters(&self.parameters).is_ok(), "rule or limit"),
        ];
        match fits.iter().find(|(fits, _)| !fits) {
            Some((_, what)) => Err(SnapshotError::Unfit(what)),
            None => Ok(()),
        }
    }
}

/// The way from a set that is trusted to the last link of an offer, one link at a time.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    /// The set that signs until another is announced.
    signing: Arc<ValidatorSet>,
    /// Links that were checked.
    checked: usize,
}

impl Path {
    pub(crate) fn from(signing: Arc<ValidatorSet>) -> Self {
        Self {
            signing,
            checked: 0,
        }
    }

    /// Checks links until the last, or until a set is lacked. Answers the set that signs the last.
    ///
    /// # Errors
    /// [`SnapshotError::SetUnopened`] when the way goes on once that set is open, and otherwise
    /// what is wrong with a link.
    pub(crate) fn walk<S: Scheme, B: Build>(
        &mut self,
        scheme: &S,
        build: &B,
        offer: &Offer,
        opened: impl Fn(&SetCommitment) -> Option<Arc<ValidatorSet>>,
    ) -> Result<Arc<ValidatorSet>, SnapshotError> {
        while let Some(link) = offer.links.get(self.checked) {
            let header = &link.header;
            if header.validators != self.signing.commitment() {
                return Err(SnapshotError::WrongSet(header.height));
            }
            // At least two thirds under any parameters, so that two quorums share somebody; the
            // last link by the rule in force.
            let last = self.checked + 1 == offer.links.len();
            let rule = if last {
                offer.parameters.rule
            } else {
                QuorumRule::COMMIT
            };
            if !link.is_certified(scheme, build, &self.signing, rule) {
                return Err(SnapshotError::Certificate(header.height));
            }
            if !last {
                let next = header.next_validators;
                self.signing = opened(&next).ok_or(SnapshotError::SetUnopened(next))?;
            }
            self.checked += 1;
        }
        Ok(self.signing.clone())
    }
}

impl Link {
    /// Whether the header announces another set than the one that signs it.
    pub(crate) fn announces(&self) -> bool {
        self.header.validators != self.header.next_validators
    }

    fn is_certified<S: Scheme, B: Build>(
        &self,
        scheme: &S,
        build: &B,
        set: &ValidatorSet,
        rule: QuorumRule,
    ) -> bool {
        let named = self.certificate.block() == self.header.digest();
        named
            && (build.lacks(Defect::LinksUnchecked)
                || check_votes(scheme, build, &self.certificate, set, rule).is_ok())
    }
}

impl Canonical for Link {
    fn write(&self, out: &mut Vec<u8>) {
        self.header.write(out);
        self.certificate.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            header: Header::read(input)?,
            certificate: CommitCertificate::read(input)?,
        })
    }
}

impl Canonical for Offer {
    fn write(&self, out: &mut Vec<u8>) {
        self.header.write(out);
        write_length(out, self.links.len());
        self.links.iter().for_each(|link| link.write(out));
        self.parameters.write(out);
        self.next_parameters.write(out);
        out.extend_from_slice(&self.size.to_le_bytes());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            header: Header::read(input)?,
            links: input.list("links", LINKS_MAX, Link::read)?,
            parameters: Parameters::read(input)?,
            next_parameters: Parameters::read(input)?,
            size: input.u64("size of the state")?,
        })
    }
}

impl Canonical for Snapshot {
    fn write(&self, out: &mut Vec<u8>) {
        self.offer.write(out);
        crate::request::write_count(out, self.state.len());
        out.extend_from_slice(&self.state);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offer = Offer::read(input)?;
        let most = usize::try_from(SNAPSHOT_BYTES_MAX).unwrap_or(usize::MAX);
        let length = read_count(input, "state", most)?;
        Ok(Self {
            offer,
            state: input.take("state", length)?.into(),
        })
    }
}
