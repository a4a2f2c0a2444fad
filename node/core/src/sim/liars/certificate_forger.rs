//! Certificate forger: final blocks with too few votes, with invented votes, with another block's
//! votes, with strangers; prepared certificates with one signer many times.

use std::sync::Arc;

use quorate_verifier::certificate::{CommitCertificate, CommitVote};
use quorate_verifier::primitives::View;
use quorate_verifier::signature::Signature;

use super::{Hand, Liar, Said};
use crate::app::App;
use crate::ballot::{Ballot, Step};
use crate::block::FinalBlock;
use crate::message::{Message, Prepared};
use crate::sim::keys::{Crypto, KeyId};

#[derive(Default)]
pub(super) struct CertificateForger {
    /// Genuine certificates, to take votes from.
    genuine: Option<Arc<FinalBlock>>,
    turn: u64,
}

impl<C: Crypto, A: App> Liar<C, A> for CertificateForger {
    fn say(&mut self, hand: &mut Hand<'_, C, A>, to: usize, message: Message) -> Vec<Said> {
        match message {
            Message::ViewChange(change) => {
                // A claim "shown" by the own prepare, many times over.
                let Some(block) = hand.empty_block(hand.now.wall.get()) else {
                    return Vec::new();
                };
                let Some(below) = change.view.get().checked_sub(1).map(View::new) else {
                    return Vec::new();
                };
                let proof = duplicated(hand, below, block.digest());
                let lie = hand.view_change(change.view, Some((below, block.digest())), Some(proof));
                lie.map(|m| Said::lie(to, m)).into_iter().collect()
            }
            message => vec![Said::truth(to, message)],
        }
    }

    fn hear(&mut self, hand: &mut Hand<'_, C, A>, from: usize, message: &Message) -> Vec<Said> {
        if let Message::Blocks(blocks) = message {
            self.genuine = blocks.last().cloned().or(self.genuine.take());
        }
        let asked = matches!(message, Message::Status(..) | Message::Fetch(_));
        if asked {
            self.forge(hand)
                .map(|m| Said::lie(from, m))
                .into_iter()
                .collect()
        } else {
            Vec::new()
        }
    }

    fn act(&mut self, hand: &mut Hand<'_, C, A>) -> Vec<Said> {
        let to = hand.rng.place(hand.nodes);
        self.forge(hand)
            .map(|m| Said::lie(to, m))
            .into_iter()
            .collect()
    }
}

impl CertificateForger {
    fn forge<C: Crypto, A: App>(&mut self, hand: &mut Hand<'_, C, A>) -> Option<Message> {
        self.turn += 1;
        let block = hand.empty_block(hand.chain.tip().header.time.get() + 1)?;
        let view = View::new(self.turn % 2);
        let ballot = Ballot::block(Step::Commit, block.height(), view, block.digest());
        let own = |hand: &Hand<'_, C, A>, key: KeyId| {
            Some(CommitVote {
                index: hand.place_of(key)?,
                signature: hand.sign_as(key, &ballot),
            })
        };
        let mut votes: Vec<_> = hand.keys.iter().filter_map(|key| own(hand, *key)).collect();
        let count = u16::try_from(hand.set().count()).ok()?;
        match self.turn % 4 {
            0 => {} // the corrupt votes alone: too few
            1 => {
                for index in 0..count {
                    let invented = hand.garbage_signature();
                    votes.push(CommitVote {
                        index,
                        signature: invented,
                    });
                }
            }
            2 => {
                // Genuine votes of another block.
                let genuine = self.genuine.as_ref()?.certificate.votes().to_vec();
                votes.extend(genuine);
            }
            _ => {
                // The own signature under every name, and under strangers' names.
                let signature: Signature = votes.first()?.signature;
                votes.extend((0..count + 3).map(|index| CommitVote { index, signature }));
            }
        }
        votes.sort_by_key(|v| v.index);
        votes.dedup_by_key(|v| v.index);
        let certificate = CommitCertificate::new(block.digest(), view, votes).ok()?;
        Some(Message::Blocks(vec![Arc::new(FinalBlock {
            block,
            certificate,
        })]))
    }
}

/// One prepare of the own key, three times for each member of the set.
fn duplicated<C: Crypto, A: App>(
    hand: &Hand<'_, C, A>,
    view: View,
    block: quorate_verifier::primitives::Digest,
) -> Arc<Prepared> {
    let ballot = Ballot::block(Step::Prepare, hand.height, view, block);
    let vote = (hand.place_of(hand.own).unwrap_or(0), hand.sign(&ballot));
    Arc::new(Prepared {
        view,
        block,
        votes: vec![vote; hand.set().count()],
    })
}
