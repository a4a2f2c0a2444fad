//! Messages between replicas, and their only encoding.
//!
//! A frame is one kind byte and the body. Every length is checked against a named limit and
//! against the bytes at hand before anything is allocated, and nothing follows the end.

use std::sync::Arc;

use quorate_verifier::encoding::{Canonical, DecodeError, Reader, write_bytes, write_length};
use quorate_verifier::primitives::{Digest, Height, View};
use quorate_verifier::set::{SetCommitment, ValidatorSet};
use quorate_verifier::signature::Signature;

use crate::ballot::{Ballot, PreparedClaim, ReportBody, Step, read_claim, write_claim};
use crate::block::{Block, FinalBlock};
use crate::limits::{
    BLOCKS_PER_ANSWER, CHUNK_BYTES, REQUEST_BYTES_MAX, REQUESTS_BYTES, REQUESTS_PER_MESSAGE,
    SET_BYTES_MAX, VOTES_MAX,
};
use crate::request::{Request, read_long, read_requests, write_count};
use crate::snapshot::Offer;

/// A prepare or a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Prepare or commit.
    pub step: Step,
    /// The height in flight.
    pub height: Height,
    /// The view.
    pub view: View,
    /// The block.
    pub block: Digest,
    /// The signer's place in the set of that height.
    pub signer: u16,
    /// Of the ballot.
    pub signature: Signature,
}

impl Vote {
    /// What was signed.
    pub const fn ballot(&self) -> Ballot {
        Ballot::block(self.step, self.height, self.view, self.block)
    }
}

/// Prepares of one view and block by a quorum, by strictly increasing signer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The view in which the block was prepared.
    pub view: View,
    /// The block.
    pub block: Digest,
    /// Who prepared it.
    pub votes: Vec<(u16, Signature)>,
}

/// The signed part of a view change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What it claims to have prepared.
    pub prepared: PreparedClaim,
    /// The signer's place in the set.
    pub signer: u16,
    /// Of the view-change ballot.
    pub signature: Signature,
}

/// Asks for a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewChange {
    /// The height in flight.
    pub height: Height,
    /// The view that is asked for.
    pub view: View,
    /// What is signed.
    pub claim: Claim,
    /// Shows the claim, if it claims anything.
    pub proof: Option<Arc<Prepared>>,
}

impl ViewChange {
    /// What was signed.
    pub const fn ballot(&self) -> Ballot {
        Ballot::claim(self.height, self.view, self.claim.prepared)
    }
}

/// Why a primary of a later view may propose this block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Claims of a quorum, by strictly increasing signer.
    pub claims: Vec<Claim>,
    /// Shows the highest claim, if there is one.
    pub proof: Option<Arc<Prepared>>,
}

/// A primary's proposal; in views above 0 it is PBFT's new-view too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrePrepare {
    /// The view.
    pub view: View,
    /// The block.
    pub block: Arc<Block>,
    /// In views above 0, why this block.
    pub opening: Option<Arc<Opening>>,
    /// By the primary of height and view.
    pub signature: Signature,
}

impl PrePrepare {
    /// What was signed.
    pub fn ballot(&self) -> Ballot {
        Ballot::block(
            Step::PrePrepare,
            self.block.height(),
            self.view,
            self.block.digest(),
        )
    }
}

/// Something that a replica lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// Final blocks from this height on.
    Blocks(Height),
    /// A block of the height in flight.
    Block(Height, Digest),
    /// The opening of a set commitment.
    Set(SetCommitment),
    /// The proof of a state at this height or above.
    Snapshot(Height),
    /// A chunk of the state at this height, by its place.
    Chunk(Height, u32),
}

/// The opening of a set commitment. What came over a link is kept as bytes until it is wanted:
/// checking the keys of a set costs a scalar multiplication each.
#[derive(Clone, Debug)]
pub enum SetOpening {
    /// Checked.
    Open(Arc<ValidatorSet>),
    /// As it came.
    Bytes(Arc<[u8]>),
}

impl SetOpening {
    /// Of a checked set.
    pub const fn of(set: Arc<ValidatorSet>) -> Self {
        Self::Open(set)
    }

    /// The checked set.
    ///
    /// # Errors
    /// [`DecodeError`] names the rule of sets that is broken.
    pub fn open(&self) -> Result<Arc<ValidatorSet>, DecodeError> {
        match self {
            Self::Open(set) => Ok(set.clone()),
            Self::Bytes(bytes) => ValidatorSet::from_bytes(bytes).map(Arc::new),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Open(set) => set.to_bytes(),
            Self::Bytes(bytes) => bytes.to_vec(),
        }
    }
}

impl PartialEq for SetOpening {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for SetOpening {}

/// A signed status report, for a replica that rejoins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What is signed.
    pub body: ReportBody,
    /// The reporter's place in the set of the height above the reported one.
    pub signer: u16,
    /// Of the body.
    pub signature: Signature,
}

/// Everything that replicas say to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Clients' requests.
    Requests(Vec<Arc<Request>>),
    /// A proposal.
    PrePrepare(Arc<PrePrepare>),
    /// A prepare or commit.
    Vote(Vote),
    /// A view change.
    ViewChange(Arc<ViewChange>),
    /// The height that the sender works on, and its last final header.
    Status(Height, Digest),
    /// A question.
    Fetch(Fetch),
    /// Final blocks, in order.
    Blocks(Vec<Arc<FinalBlock>>),
    /// A block that was asked for.
    Block(Arc<Block>),
    /// A set that was asked for: over authenticated links only, never in a payload.
    Set(SetOpening),
    /// Asks for a report under this nonce.
    Probe(u64),
    /// A report.
    Report(Report),
    /// The proof of a state that the sender has.
    Offer(Arc<Offer>),
    /// A chunk of the state at a height, by its place.
    Chunk(Height, u32, Arc<[u8]>),
}

macro_rules! kind_bytes {
    ($($name:ident = $byte:literal;)*) => { $(const $name: u8 = $byte;)* };
}

kind_bytes! {
    REQUESTS = 1; PRE_PREPARE = 2; PREPARE = 3; COMMIT = 4; VIEW_CHANGE = 5; STATUS = 6;
    FETCH_BLOCKS = 7; FETCH_BLOCK = 8; FETCH_SET = 9; BLOCKS = 10; BLOCK = 11; SET = 12;
    PROBE = 13; REPORT = 14; FETCH_SNAPSHOT = 15; FETCH_CHUNK = 16; OFFER = 17; CHUNK = 18;
}

impl Canonical for Message {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Requests(requests) => {
                out.push(REQUESTS);
                write_count(out, requests.len());
                requests.iter().for_each(|request| request.write(out));
            }
            Self::PrePrepare(proposal) => tagged(out, PRE_PREPARE, &**proposal),
            Self::Vote(vote) => {
                out.push(if vote.step == Step::Commit {
                    COMMIT
                } else {
                    PREPARE
                });
                vote.height.write(out);
                vote.view.write(out);
                vote.block.write(out);
                write_signed(out, vote.signer, &vote.signature);
            }
            Self::ViewChange(change) => tagged(out, VIEW_CHANGE, &**change),
            Self::Status(height, header) => {
                tagged(out, STATUS, height);
                header.write(out);
            }
            Self::Fetch(Fetch::Blocks(from)) => tagged(out, FETCH_BLOCKS, from),
            Self::Fetch(Fetch::Block(height, block)) => {
                tagged(out, FETCH_BLOCK, height);
                block.write(out);
            }
            Self::Fetch(Fetch::Set(set)) => tagged(out, FETCH_SET, set),
            Self::Fetch(Fetch::Snapshot(from)) => tagged(out, FETCH_SNAPSHOT, from),
            Self::Fetch(Fetch::Chunk(height, chunk)) => {
                tagged(out, FETCH_CHUNK, height);
                out.extend_from_slice(&chunk.to_le_bytes());
            }
            Self::Blocks(blocks) => {
                out.push(BLOCKS);
                write_length(out, blocks.len());
                blocks.iter().for_each(|block| block.write(out));
            }
            Self::Block(block) => tagged(out, BLOCK, &**block),
            Self::Set(set) => {
                out.push(SET);
                write_bytes(out, &set.bytes());
            }
            Self::Probe(nonce) => {
                out.push(PROBE);
                out.extend_from_slice(&nonce.to_le_bytes());
            }
            Self::Report(report) => {
                out.push(REPORT);
                out.extend_from_slice(&report.body.nonce.to_le_bytes());
                report.body.height.write(out);
                report.body.header.write(out);
                write_signed(out, report.signer, &report.signature);
            }
            Self::Offer(offer) => tagged(out, OFFER, &**offer),
            Self::Chunk(height, chunk, bytes) => {
                tagged(out, CHUNK, height);
                out.extend_from_slice(&chunk.to_le_bytes());
                write_count(out, bytes.len());
                out.extend_from_slice(bytes);
            }
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match input.u8("message kind")? {
            REQUESTS => Self::Requests(read_requests(
                input,
                REQUESTS_PER_MESSAGE,
                REQUESTS_BYTES + REQUEST_BYTES_MAX,
            )?),
            PRE_PREPARE => Self::PrePrepare(PrePrepare::read(input).map(Arc::new)?),
            PREPARE => Self::Vote(read_vote(input, Step::Prepare)?),
            COMMIT => Self::Vote(read_vote(input, Step::Commit)?),
            VIEW_CHANGE => Self::ViewChange(ViewChange::read(input).map(Arc::new)?),
            STATUS => Self::Status(Height::read(input)?, Digest::read(input)?),
            FETCH_BLOCKS => Self::Fetch(Fetch::Blocks(Height::read(input)?)),
            FETCH_BLOCK => Self::Fetch(Fetch::Block(Height::read(input)?, Digest::read(input)?)),
            FETCH_SET => Self::Fetch(Fetch::Set(SetCommitment::read(input)?)),
            BLOCKS => Self::Blocks(input.list("blocks", BLOCKS_PER_ANSWER, |r| {
                FinalBlock::read(r).map(Arc::new)
            })?),
            BLOCK => Self::Block(Block::read(input).map(Arc::new)?),
            SET => Self::Set(SetOpening::Bytes(
                input.bytes("set opening", SET_BYTES_MAX)?.into(),
            )),
            PROBE => Self::Probe(input.u64("nonce")?),
            REPORT => {
                let body = ReportBody {
                    nonce: input.u64("nonce")?,
                    height: Height::read(input)?,
                    header: Digest::read(input)?,
                };
                let (signer, signature) = read_signed(input)?;
                Self::Report(Report {
                    body,
                    signer,
                    signature,
                })
            }
            FETCH_SNAPSHOT => Self::Fetch(Fetch::Snapshot(Height::read(input)?)),
            FETCH_CHUNK => Self::Fetch(Fetch::Chunk(Height::read(input)?, input.u32("chunk")?)),
            OFFER => Self::Offer(Offer::read(input).map(Arc::new)?),
            CHUNK => {
                let (height, chunk) = (Height::read(input)?, input.u32("chunk")?);
                let bytes = read_long(input, "bytes of a chunk", CHUNK_BYTES)?;
                Self::Chunk(height, chunk, bytes.into())
            }
            byte => {
                return Err(DecodeError::rule(
                    "message kind",
                    format!("1 to 18, not {byte}"),
                ));
            }
        })
    }
}

fn tagged(out: &mut Vec<u8>, kind: u8, body: &impl Canonical) {
    out.push(kind);
    body.write(out);
}

fn write_signed(out: &mut Vec<u8>, signer: u16, signature: &Signature) {
    out.extend_from_slice(&signer.to_le_bytes());
    out.extend_from_slice(signature.as_bytes());
}

fn read_signed(input: &mut Reader<'_>) -> Result<(u16, Signature), DecodeError> {
    Ok((
        input.u16("signer")?,
        input.array("signature").map(Signature::from_bytes)?,
    ))
}

fn read_vote(input: &mut Reader<'_>, step: Step) -> Result<Vote, DecodeError> {
    let (height, view) = (Height::read(input)?, View::read(input)?);
    let block = Digest::read(input)?;
    let (signer, signature) = read_signed(input)?;
    Ok(Vote {
        step,
        height,
        view,
        block,
        signer,
        signature,
    })
}

fn write_option<T: Canonical>(out: &mut Vec<u8>, value: Option<&T>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        value.write(out);
    }
}

fn read_option<T: Canonical>(
    input: &mut Reader<'_>,
    field: &'static str,
) -> Result<Option<Arc<T>>, DecodeError> {
    if input.flag(field)? {
        T::read(input).map(Arc::new).map(Some)
    } else {
        Ok(None)
    }
}

/// Refuses signers that do not strictly increase.
fn ordered(signers: impl Iterator<Item = u16>, field: &'static str) -> Result<(), DecodeError> {
    let mut last = None;
    for signer in signers {
        if last.is_some_and(|last| last >= signer) {
            return Err(DecodeError::rule(field, "signers strictly increase"));
        }
        last = Some(signer);
    }
    Ok(())
}

impl Canonical for Prepared {
    fn write(&self, out: &mut Vec<u8>) {
        self.view.write(out);
        self.block.write(out);
        write_length(out, self.votes.len());
        for (signer, signature) in &self.votes {
            write_signed(out, *signer, signature);
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (view, block) = (View::read(input)?, Digest::read(input)?);
        let votes = input.list("prepares", VOTES_MAX, read_signed)?;
        ordered(votes.iter().map(|v| v.0), "prepares")?;
        Ok(Self { view, block, votes })
    }
}

impl Canonical for Claim {
    fn write(&self, out: &mut Vec<u8>) {
        write_claim(out, &self.prepared);
        write_signed(out, self.signer, &self.signature);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let prepared = read_claim(input)?;
        let (signer, signature) = read_signed(input)?;
        Ok(Self {
            prepared,
            signer,
            signature,
        })
    }
}

impl Canonical for ViewChange {
    fn write(&self, out: &mut Vec<u8>) {
        self.height.write(out);
        self.view.write(out);
        self.claim.write(out);
        write_option(out, self.proof.as_deref());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            height: Height::read(input)?,
            view: View::read(input)?,
            claim: Claim::read(input)?,
            proof: read_option(input, "view change proof")?,
        })
    }
}

impl Canonical for Opening {
    fn write(&self, out: &mut Vec<u8>) {
        write_length(out, self.claims.len());
        self.claims.iter().for_each(|claim| claim.write(out));
        write_option(out, self.proof.as_deref());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let claims = input.list("claims", VOTES_MAX, Claim::read)?;
        ordered(claims.iter().map(|c| c.signer), "claims")?;
        Ok(Self {
            claims,
            proof: read_option(input, "opening proof")?,
        })
    }
}

impl Canonical for PrePrepare {
    fn write(&self, out: &mut Vec<u8>) {
        self.view.write(out);
        self.block.write(out);
        write_option(out, self.opening.as_deref());
        out.extend_from_slice(self.signature.as_bytes());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            view: View::read(input)?,
            block: Block::read(input).map(Arc::new)?,
            opening: read_option(input, "opening")?,
            signature: input.array("signature").map(Signature::from_bytes)?,
        })
    }
}
