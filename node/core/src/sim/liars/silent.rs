//! Silent: for a while it says nothing at all, then nothing to some, then nothing in one step.
//! A lie here is a message that was due, would have arrived, and is withheld.

use super::{Hand, Liar, Said};
use crate::app::App;
use crate::ballot::Step;
use crate::message::Message;
use crate::sim::keys::Crypto;

pub(super) struct Silent;

impl<C: Crypto, A: App> Liar<C, A> for Silent {
    fn say(&mut self, hand: &mut Hand<'_, C, A>, to: usize, message: Message) -> Vec<Said> {
        let withheld = match hand.height.get() / 4 % 4 {
            0 => true,
            1 => to.is_multiple_of(2),
            2 => matches!(&message, Message::PrePrepare(_)),
            _ => matches!(&message, Message::Vote(vote) if vote.step == Step::Commit),
        };
        vec![if withheld {
            Said::silence(to, message)
        } else {
            Said::truth(to, message)
        }]
    }
}
