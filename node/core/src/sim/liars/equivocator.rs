//! Equivocator: as primary it proposes one block to some and another to the rest, and it votes
//! for whatever the listener seems to hold, prepared or not.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_verifier::primitives::{Height, View};

use super::{Hand, Liar, Said};
use crate::app::App;
use crate::ballot::{Ballot, Step};
use crate::block::Block;
use crate::message::Message;
use crate::sim::keys::Crypto;

#[derive(Default)]
pub(super) struct Equivocator {
    /// The second block of each view of the present height.
    second: BTreeMap<(Height, View), Arc<Block>>,
}

impl<C: Crypto, A: App> Liar<C, A> for Equivocator {
    fn say(&mut self, hand: &mut Hand<'_, C, A>, to: usize, message: Message) -> Vec<Said> {
        let other_half = (to + usize::try_from(hand.height.get() % 2).unwrap_or(0)) % 2 == 1;
        match &message {
            Message::PrePrepare(proposal)
                if other_half && proposal.block.height() == hand.height =>
            {
                let key = (hand.height, proposal.view);
                let time = proposal.block.header().time.get() + 1;
                let made = hand.block_like(&proposal.block, time);
                let Some(second) = self.second.get(&key).cloned().or(made) else {
                    return vec![Said::truth(to, message)];
                };
                self.second.retain(|(height, _), _| *height == hand.height);
                self.second.insert(key, second.clone());
                let lie = hand.proposal(proposal.view, second, proposal.opening.clone());
                vec![Said::lie(to, lie)]
            }
            Message::Vote(vote) if other_half => {
                let Some(second) = self.second.get(&(vote.height, vote.view)) else {
                    return vec![Said::truth(to, message)];
                };
                let digest = second.digest();
                let steps = [Step::Prepare, Step::Commit];
                let ballots = steps.map(|s| Ballot::block(s, vote.height, vote.view, digest));
                ballots
                    .iter()
                    .filter_map(|b| hand.vote(b))
                    .map(|m| Said::lie(to, m))
                    .collect()
            }
            _ => vec![Said::truth(to, message)],
        }
    }

    fn hear(&mut self, hand: &mut Hand<'_, C, A>, from: usize, message: &Message) -> Vec<Said> {
        // Commits at once to whatever a correct node prepares.
        let Message::Vote(vote) = message else {
            return Vec::new();
        };
        if vote.step != Step::Prepare || vote.height != hand.height {
            return Vec::new();
        }
        let steps = [Step::Prepare, Step::Commit];
        let ballots = steps.map(|s| Ballot::block(s, vote.height, vote.view, vote.block));
        ballots
            .iter()
            .filter_map(|b| hand.vote(b))
            .map(|m| Said::lie(from, m))
            .collect()
    }
}
