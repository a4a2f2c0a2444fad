//! Censor: as primary it leaves the first client's requests out, and passes none of them on.

use std::sync::Arc;

use quorate_verifier::primitives::TimeMs;

use super::{Hand, Liar, Said};
use crate::app::App;
use crate::block::Block;
use crate::message::Message;
use crate::request::{Payload, Request};
use crate::sim::keys::{Crypto, client_key};

pub(super) struct Censor;

impl<C: Crypto, A: App> Liar<C, A> for Censor {
    fn say(&mut self, hand: &mut Hand<'_, C, A>, to: usize, message: Message) -> Vec<Said> {
        match &message {
            Message::Requests(requests) if requests.iter().any(is_first_client) => {
                let others = requests.iter().filter(|request| !is_first_client(request));
                let others: Vec<_> = others.cloned().collect();
                if others.is_empty() {
                    vec![Said::silence(to, message)]
                } else {
                    vec![Said::lie(to, Message::Requests(others))]
                }
            }
            Message::PrePrepare(proposal) if proposal.block.height() == hand.height => {
                let carried = proposal.opening.as_ref().is_some_and(|o| o.proof.is_some());
                match without_first_client(hand, &proposal.block) {
                    Some(block) if !carried => {
                        let lie = hand.proposal(proposal.view, block, proposal.opening.clone());
                        vec![Said::lie(to, lie)]
                    }
                    _ => vec![Said::truth(to, message)],
                }
            }
            _ => vec![Said::truth(to, message)],
        }
    }
}

fn is_first_client(request: &Arc<Request>) -> bool {
    request.client == client_key(0)
}

fn without_first_client<C: Crypto, A: App>(
    hand: &Hand<'_, C, A>,
    block: &Block,
) -> Option<Arc<Block>> {
    let payload = block.payload();
    if !payload.requests.iter().any(is_first_client) {
        return None;
    }
    let others = payload.requests.iter().filter(|r| !is_first_client(r));
    let kept = others.cloned();
    let payload = Payload {
        salt: payload.salt,
        requests: kept.collect(),
    };
    let time: TimeMs = block.header().time;
    Block::new(hand.chain.next_header(time, payload.root()), payload)
}
