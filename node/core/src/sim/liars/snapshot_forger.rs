//! Snapshot forger: it says that it is far ahead, offers states whose headers only corrupt keys
//! have signed, and garbles, cuts, inflates or withholds those that it could serve.

use std::sync::Arc;

use quorate_verifier::certificate::{CommitCertificate, CommitVote};
use quorate_verifier::primitives::{Height, TimeMs, View};

use super::{Hand, Liar, Said};
use crate::app::App;
use crate::ballot::{Ballot, Step};
use crate::limits::SNAPSHOT_BYTES_MAX;
use crate::message::{Fetch, Message};
use crate::sim::keys::Crypto;
use crate::snapshot::{Link, Offer};

#[derive(Default)]
pub(super) struct SnapshotForger {
    /// The state that it offers at a height that it has invented.
    state: Option<(Height, Vec<u8>)>,
}

impl<C: Crypto, A: App> Liar<C, A> for SnapshotForger {
    fn say(&mut self, hand: &mut Hand<'_, C, A>, to: usize, message: Message) -> Vec<Said> {
        match message {
            Message::Status(height, header) => {
                let far = Height::new(height.get() + 20 + hand.rng.below(50));
                vec![Said::lie(to, Message::Status(far, header))]
            }
            Message::Offer(offer) => twist(hand, &offer, to),
            Message::Chunk(height, chunk, bytes) => {
                let mut bytes = bytes.to_vec();
                match hand.rng.below(4) {
                    0 => {
                        return vec![Said::silence(
                            to,
                            Message::Chunk(height, chunk, bytes.into()),
                        )];
                    }
                    1 => drop(bytes.pop()),
                    _ => {
                        if let Some(byte) = bytes.last_mut() {
                            *byte ^= 1;
                        }
                    }
                }
                vec![Said::lie(to, Message::Chunk(height, chunk, bytes.into()))]
            }
            message => vec![Said::truth(to, message)],
        }
    }

    fn hear(&mut self, hand: &mut Hand<'_, C, A>, from: usize, message: &Message) -> Vec<Said> {
        match message {
            // At other times the honest core's offer is twisted.
            Message::Fetch(Fetch::Snapshot(height)) if hand.rng.chance(300) => {
                let offer = self.invent(hand, *height);
                let lie = offer.map(|offer| Said::lie(from, Message::Offer(Arc::new(offer))));
                lie.into_iter().collect()
            }
            Message::Fetch(Fetch::Chunk(height, 0)) => match &self.state {
                Some((invented, state)) if invented == height => {
                    let chunk = Message::Chunk(*height, 0, state.as_slice().into());
                    vec![Said::lie(from, chunk)]
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}

/// An honest offer with one thing wrong, or served honestly but for its chunks.
fn twist<C: Crypto, A: App>(hand: &mut Hand<'_, C, A>, offer: &Offer, to: usize) -> Vec<Said> {
    let mut lie = offer.clone();
    match hand.rng.below(8) {
        0 => return vec![Said::silence(to, Message::Offer(Arc::new(lie)))],
        1 => lie.size = SNAPSHOT_BYTES_MAX,
        2 => lie.size = u64::MAX,
        3 => lie.parameters.block_interval_ms ^= 1,
        4 => drop(lie.links.remove(0)),
        _ => return vec![Said::truth(to, Message::Offer(Arc::new(lie)))],
    }
    vec![Said::lie(to, Message::Offer(Arc::new(lie)))]
}

impl SnapshotForger {
    /// Its own state, under headers of a height that is not reached, which corrupt keys sign.
    fn invent<C: Crypto, A: App>(
        &mut self,
        hand: &mut Hand<'_, C, A>,
        asked: Height,
    ) -> Option<Offer> {
        let tip = hand.chain.tip();
        let state = hand.chain.app().snapshot();
        let height = Height::new(asked.get().max(tip.header.height.get()) + 1);
        let later = |ms| TimeMs::new(tip.header.time.get() + ms);
        let mut header = tip.header.clone();
        (header.height, header.time) = (height, later(1)?);
        let mut above = header.clone();
        (above.height, above.time) = (height.next()?, later(2)?);
        above.state_root = tip.state_root;
        (header.validators, above.validators) = (tip.set.commitment(), tip.set.commitment());
        above.parent = header.digest();
        let view = View::FIRST;
        let ballot = Ballot::block(Step::Commit, above.height, view, above.digest());
        let votes = hand.keys.iter().filter_map(|key| {
            Some(CommitVote {
                index: hand.place_of(*key)?,
                signature: hand.sign_as(*key, &ballot),
            })
        });
        let mut votes: Vec<_> = votes.collect();
        votes.sort_by_key(|vote| vote.index);
        votes.dedup_by_key(|vote| vote.index);
        let certificate = CommitCertificate::new(above.digest(), view, votes).ok()?;
        let size = state.len() as u64;
        self.state = Some((height, state));
        Some(Offer {
            header,
            links: vec![Link {
                header: above,
                certificate,
            }],
            parameters: tip.parameters.clone(),
            next_parameters: tip.parameters.clone(),
            size,
        })
    }
}
