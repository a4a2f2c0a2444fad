//! Stale replier: it keeps what everybody said and says it again much later, to others, and with
//! a new height on votes that do not sign theirs.

use super::{Hand, Liar, Said};
use crate::app::App;
use crate::ballot::Step;
use crate::message::{Message, Vote};
use crate::sim::keys::Crypto;

#[derive(Default)]
pub(super) struct StaleReplier {
    heard: Vec<Message>,
}

const HEARD: usize = 256;

impl<C: Crypto, A: App> Liar<C, A> for StaleReplier {
    fn say(&mut self, _hand: &mut Hand<'_, C, A>, to: usize, message: Message) -> Vec<Said> {
        vec![Said::truth(to, message)]
    }

    fn hear(&mut self, hand: &mut Hand<'_, C, A>, _from: usize, message: &Message) -> Vec<Said> {
        if self.heard.len() < HEARD {
            self.heard.push(message.clone());
        } else {
            let place = hand.rng.place(HEARD);
            self.heard[place] = message.clone();
        }
        Vec::new()
    }

    fn act(&mut self, hand: &mut Hand<'_, C, A>) -> Vec<Said> {
        if self.heard.is_empty() {
            return Vec::new();
        }
        let mut said = Vec::new();
        for _ in 0..4 {
            let place = hand.rng.place(self.heard.len());
            let to = hand.rng.place(hand.nodes);
            let message = match self.heard[place].clone() {
                Message::Vote(vote) if vote.step == Step::Commit => Message::Vote(Vote {
                    height: hand.height,
                    ..vote
                }),
                Message::Status(height, header) => {
                    let lower = height.get().saturating_sub(hand.rng.below(4));
                    Message::Status(quorate_verifier::primitives::Height::new(lower), header)
                }
                other => other,
            };
            said.push(Said::lie(to, message));
        }
        said
    }
}
