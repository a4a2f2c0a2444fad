//! Twins: the world runs two honest cores with this node's key, and the network keeps them
//! apart. Nothing is altered here; everything that the second twin says is counted as a lie.
//!
//! Source: Bano, Sonnino, Chursin, Perelman, Li, Ching and Malkhi, Twins: BFT systems made
//! robust, OPODIS 2021.

use super::{Hand, Liar, Said};
use crate::app::App;
use crate::message::Message;
use crate::sim::keys::Crypto;

pub(super) struct Twin;

impl<C: Crypto, A: App> Liar<C, A> for Twin {
    fn say(&mut self, _hand: &mut Hand<'_, C, A>, to: usize, message: Message) -> Vec<Said> {
        let vote = matches!(
            message,
            Message::Vote(_) | Message::PrePrepare(_) | Message::ViewChange(_)
        );
        vec![if vote {
            Said::lie(to, message)
        } else {
            Said::truth(to, message)
        }]
    }
}
