//! View-change forger: it asks for views without need, claims to have prepared nothing, claims
//! what it cannot show, and as a new primary proposes its own block whatever the claims say.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_verifier::primitives::{Height, View};

use super::{Hand, Liar, Said};
use crate::app::App;
use crate::message::{Claim, Message, Opening, Prepared, ViewChange};
use crate::sim::keys::Crypto;

#[derive(Default)]
pub(super) struct ViewChangeForger {
    /// View changes of others at the present height, by view and signer.
    heard: BTreeMap<(Height, View), BTreeMap<u16, Arc<ViewChange>>>,
    turn: u64,
}

impl<C: Crypto, A: App> Liar<C, A> for ViewChangeForger {
    fn say(&mut self, hand: &mut Hand<'_, C, A>, to: usize, message: Message) -> Vec<Said> {
        match &message {
            Message::ViewChange(change) if change.claim.prepared.is_some() => {
                // Hides what it has prepared.
                let lie = hand.view_change(change.view, None, None);
                lie.map(|m| Said::lie(to, m)).into_iter().collect()
            }
            Message::PrePrepare(proposal) if proposal.view > View::FIRST => {
                let time = hand.chain.tip().header.time.get() + 1 + to as u64;
                let block = hand
                    .empty_block(time)
                    .filter(|_| proposal.block.height() == hand.height);
                let Some(block) = block else {
                    return vec![Said::truth(to, message)];
                };
                self.turn += 1;
                let opening = match self.turn % 3 {
                    // The honest claims, ignored.
                    0 => proposal.opening.clone(),
                    // The honest claims without the proof.
                    1 => proposal.opening.as_ref().map(|o| {
                        Arc::new(Opening {
                            claims: o.claims.clone(),
                            proof: None,
                        })
                    }),
                    // Those claims only that claim nothing, the own one many times.
                    _ => self.chosen(hand, proposal.view).map(Arc::new),
                };
                vec![Said::lie(to, hand.proposal(proposal.view, block, opening))]
            }
            _ => vec![Said::truth(to, message)],
        }
    }

    fn hear(&mut self, hand: &mut Hand<'_, C, A>, _from: usize, message: &Message) -> Vec<Said> {
        let Message::ViewChange(change) = message else {
            return Vec::new();
        };
        let (height, view) = (change.height, change.view);
        self.heard.retain(|(h, _), _| *h == hand.height);
        self.heard
            .entry((height, view))
            .or_default()
            .insert(change.claim.signer, change.clone());
        if !hand.is_primary(view) || height != hand.height {
            return Vec::new();
        }
        // As the new primary it does not wait for its honest half.
        let Some(opening) = self.chosen(hand, view).map(Arc::new) else {
            return Vec::new();
        };
        let time = hand.chain.tip().header.time.get() + 1;
        let Some(block) = hand.empty_block(time) else {
            return Vec::new();
        };
        let lie = hand.proposal(view, block, Some(opening));
        (0..hand.nodes)
            .map(|to| Said::lie(to, lie.clone()))
            .collect()
    }

    fn act(&mut self, hand: &mut Hand<'_, C, A>) -> Vec<Said> {
        self.turn += 1;
        let to = hand.rng.place(hand.nodes);
        let view = View::new(hand.view.get() + 1 + self.turn % 5);
        let message = match self.turn % 4 {
            0 => hand.view_change(view, None, None),
            1 => {
                // A claim without a proof, and one with an invented proof.
                let block = hand.garbage_digest();
                hand.view_change(view, Some((View::FIRST, block)), None)
            }
            2 => {
                let block = hand.garbage_digest();
                let count = u16::try_from(hand.set().count()).unwrap_or(0);
                let votes = (0..count).map(|i| (i, hand.garbage_signature())).collect();
                let proof = Arc::new(Prepared {
                    view: View::FIRST,
                    block,
                    votes,
                });
                hand.view_change(view, Some((View::FIRST, block)), Some(proof))
            }
            _ => hand.view_change(View::new(u64::MAX), None, None),
        };
        message.map(|m| Said::lie(to, m)).into_iter().collect()
    }
}

impl ViewChangeForger {
    /// Claims of nothing, filled up with the own one until the number of a quorum is there.
    fn chosen<C: Crypto, A: App>(&self, hand: &Hand<'_, C, A>, view: View) -> Option<Opening> {
        let heard = self.heard.get(&(hand.height, view));
        let changes = heard.into_iter().flat_map(|changes| changes.values());
        let mut claims: Vec<Claim> = changes
            .map(|c| c.claim)
            .filter(|c| c.prepared.is_none())
            .collect();
        let own = match hand.view_change(view, None, None)? {
            Message::ViewChange(change) => change.claim,
            _ => return None,
        };
        claims.retain(|c| c.signer != own.signer);
        claims.push(own);
        while claims.len() < hand.set().count() * 2 / 3 + 1 {
            claims.push(own);
        }
        claims.sort_by_key(|c| c.signer);
        Some(Opening {
            claims,
            proof: None,
        })
    }
}
