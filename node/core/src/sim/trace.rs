//! A running hash of everything that happens in a world.

use quorate_verifier::encoding::Canonical;

use crate::ballot::{Ballot, Choice, Slot};
use crate::message::{Fetch, Message};

/// Two replays of one seed have the same trace hash, or something hidden has a say. Signatures
/// are left out, so worlds that differ only in their scheme have the same hash too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace(u64, u64);

/// 2^128 times the golden ratio, made odd.
const FACTOR: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

impl Trace {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed, !seed)
    }

    pub(crate) fn number(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number).wrapping_mul(FACTOR);
        let bytes = product.to_le_bytes();
        let word = |at: usize| {
            let part: [u8; 8] = std::array::from_fn(|i| bytes[at + i]);
            u64::from_le_bytes(part)
        };
        self.0 = word(8).wrapping_add(self.1);
        self.1 = self.1.rotate_left(29) ^ word(0) ^ number;
    }

    fn slot(&mut self, slot: &Slot) {
        self.number(slot.height.get());
        self.number(slot.view.get() << 2 | slot.step as u64);
    }

    pub(crate) fn ballot(&mut self, ballot: &Ballot) {
        self.slot(&ballot.slot);
        match ballot.choice {
            Choice::Block(_) => self.number(1),
            Choice::Claim(claim) => self.number(claim.map_or(2, |(view, _)| 3 + view.get())),
        }
    }

    /// What a message says, without digests of blocks: those depend on the signatures of
    /// requests, and so on the scheme.
    pub(crate) fn message(&mut self, message: &Message) {
        match message {
            Message::Requests(requests) => {
                self.number((requests.len() as u64) << 8 | 10);
                requests
                    .iter()
                    .for_each(|request| self.number(request.sequence));
            }
            Message::PrePrepare(proposal) => {
                self.ballot(&proposal.ballot());
                self.number(proposal.block.header().time.get());
                self.number(proposal.block.payload().requests.len() as u64);
            }
            Message::Vote(vote) => {
                self.ballot(&vote.ballot());
                self.number(u64::from(vote.signer));
            }
            Message::ViewChange(change) => {
                self.ballot(&change.ballot());
                self.number(u64::from(change.claim.signer));
            }
            Message::Status(height, _) => self.number(height.get() << 8 | 11),
            Message::Fetch(Fetch::Blocks(from)) => self.number(from.get() << 8 | 12),
            Message::Fetch(Fetch::Block(height, _)) => self.number(height.get() << 8 | 13),
            Message::Fetch(Fetch::Set(_)) => self.number(14),
            Message::Fetch(Fetch::Snapshot(from)) => self.number(from.get() << 8 | 20),
            Message::Fetch(Fetch::Chunk(height, chunk)) => {
                self.number(height.get() << 8 | 21);
                self.number(u64::from(*chunk));
            }
            Message::Offer(offer) => self.number(offer.height().get() << 8 | 22),
            Message::Chunk(height, chunk, bytes) => {
                self.number(height.get() << 8 | 23);
                self.number(u64::from(*chunk) << 32 | bytes.len() as u64);
            }
            Message::Blocks(blocks) => self.number((blocks.len() as u64) << 8 | 15),
            Message::Block(block) => self.number(block.height().get() << 8 | 16),
            Message::Set(_) => self.number(17),
            Message::Probe(nonce) => self.number(nonce ^ 18),
            Message::Report(report) => {
                self.number(report.body.height.get() << 8 | 19);
                self.number(u64::from(report.signer));
            }
        }
    }
}

impl std::fmt::Display for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}{:016x}", self.0, self.1)
    }
}

/// Whether a message survives its own encoding; tests of the codec in every world.
pub(crate) fn survives_the_wire(message: &Message) -> bool {
    Message::from_bytes(&message.to_bytes()).as_ref() == Ok(message)
}
