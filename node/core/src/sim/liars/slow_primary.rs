//! Slow primary: its proposals leave just before the time of the view is up.

use super::{Hand, Liar, Said};
use crate::app::App;
use crate::message::Message;
use crate::sim::keys::Crypto;

pub(super) struct SlowPrimary;

impl<C: Crypto, A: App> Liar<C, A> for SlowPrimary {
    fn say(&mut self, hand: &mut Hand<'_, C, A>, to: usize, message: Message) -> Vec<Said> {
        let delay_ms = match &message {
            Message::PrePrepare(_) => hand.view_ms * 8 / 10,
            _ => 0,
        };
        vec![Said {
            lie: delay_ms > 0,
            delay_ms,
            ..Said::truth(to, message)
        }]
    }
}
