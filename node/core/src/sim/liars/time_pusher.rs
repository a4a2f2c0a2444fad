//! Time pusher: its headers are from the future, as far as allowed and further, or from the past.

use super::{Hand, Liar, Said};
use crate::app::App;
use crate::limits::CLOCK_DRIFT_MS;
use crate::message::Message;
use crate::sim::keys::Crypto;

pub(super) struct TimePusher;

impl<C: Crypto, A: App> Liar<C, A> for TimePusher {
    fn say(&mut self, hand: &mut Hand<'_, C, A>, to: usize, message: Message) -> Vec<Said> {
        let Message::PrePrepare(proposal) = &message else {
            return vec![Said::truth(to, message)];
        };
        let carried = proposal.opening.as_ref().is_some_and(|o| o.proof.is_some());
        if proposal.block.height() != hand.height || carried {
            return vec![Said::truth(to, message)];
        }
        let (wall, parent) = (hand.now.wall.get(), hand.chain.tip().header.time.get());
        let time = match (hand.height.get() + proposal.view.get()) % 4 {
            0 => wall + CLOCK_DRIFT_MS,
            1 => wall + CLOCK_DRIFT_MS + 3_600_000,
            2 => parent,
            _ => parent.saturating_sub(3_600_000),
        };
        match hand.block_like(&proposal.block, time) {
            Some(block) => {
                let lie = hand.proposal(proposal.view, block, proposal.opening.clone());
                vec![Said::lie(to, lie)]
            }
            None => vec![Said::truth(to, message)],
        }
    }
}
