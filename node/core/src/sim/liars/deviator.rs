//! Deviator: honest but for one step of the protocol, in which it deviates in one way.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_verifier::primitives::View;

use super::{Deviation, Hand, Liar, Said};
use crate::app::App;
use crate::ballot::{Ballot, Step};
use crate::block::Block;
use crate::message::{Message, PrePrepare, ViewChange, Vote};
use crate::request::{Payload, Request};
use crate::sim::keys::Crypto;

pub(super) struct Deviator {
    step: Step,
    how: Deviation,
    /// Its last message of the step, by listener.
    last: BTreeMap<usize, Message>,
    /// A request that was executed.
    executed: Option<Arc<Request>>,
}

impl Deviator {
    pub(super) fn new(step: Step, how: Deviation) -> Self {
        Self {
            step,
            how,
            last: BTreeMap::new(),
            executed: None,
        }
    }
}

fn step_of(message: &Message) -> Option<Step> {
    match message {
        Message::Vote(vote) => Some(vote.step),
        Message::PrePrepare(_) => Some(Step::PrePrepare),
        Message::ViewChange(_) => Some(Step::ViewChange),
        _ => None,
    }
}

impl<C: Crypto, A: App> Liar<C, A> for Deviator {
    fn say(&mut self, hand: &mut Hand<'_, C, A>, to: usize, message: Message) -> Vec<Said> {
        if step_of(&message) != Some(self.step) {
            return vec![Said::truth(to, message)];
        }
        let lie = match self.how {
            Deviation::Omits => return vec![Said::silence(to, message)],
            Deviation::Equivocates if to.is_multiple_of(2) => None,
            Deviation::Equivocates => other_choice(hand, &message),
            Deviation::Garbles => Some(garbled(hand, &message)),
            Deviation::Misplaces => Some(misplaced(&message)),
            Deviation::Repeats => match self.repeated(hand, &message) {
                Some(lie) => Some(lie),
                None => self
                    .last
                    .insert(to, message.clone())
                    .filter(|last| *last != message),
            },
        };
        vec![lie.map_or_else(|| Said::truth(to, message), |lie| Said::lie(to, lie))]
    }

    fn hear(&mut self, _hand: &mut Hand<'_, C, A>, _from: usize, message: &Message) -> Vec<Said> {
        if let Message::PrePrepare(proposal) = message {
            let first = proposal.block.payload().requests.first();
            self.executed = self.executed.take().or(first.cloned());
        }
        Vec::new()
    }
}

impl Deviator {
    /// A proposal with a request in it that was executed before.
    fn repeated<C: Crypto, A: App>(
        &self,
        hand: &Hand<'_, C, A>,
        message: &Message,
    ) -> Option<Message> {
        let (Message::PrePrepare(proposal), Some(executed)) = (message, &self.executed) else {
            return None;
        };
        let last = hand.chain.app().client(&executed.client)?.sequence;
        if proposal.block.height() != hand.height || executed.sequence > last {
            return None;
        }
        let payload = proposal.block.payload();
        let mut requests = payload.requests.clone();
        requests.push(executed.clone());
        let payload = Payload {
            salt: payload.salt,
            requests,
        };
        let header = hand
            .chain
            .next_header(proposal.block.header().time, payload.root());
        let block = Block::new(header, payload)?;
        Some(hand.proposal(proposal.view, block, proposal.opening.clone()))
    }
}

/// The same message with another choice in it, signed.
fn other_choice<C: Crypto, A: App>(
    hand: &mut Hand<'_, C, A>,
    message: &Message,
) -> Option<Message> {
    match message {
        Message::Vote(vote) => {
            let other = hand.garbage_digest();
            hand.vote(&Ballot::block(vote.step, vote.height, vote.view, other))
        }
        Message::PrePrepare(proposal) => {
            let time = proposal.block.header().time.get() + 1;
            let block = hand.block_like(&proposal.block, time)?;
            Some(hand.proposal(proposal.view, block, proposal.opening.clone()))
        }
        Message::ViewChange(change) => match change.claim.prepared {
            Some(_) => hand.view_change(change.view, None, None),
            None => {
                let block = hand.garbage_digest();
                hand.view_change(change.view, Some((View::FIRST, block)), None)
            }
        },
        _ => None,
    }
}

fn garbled<C: Crypto, A: App>(hand: &mut Hand<'_, C, A>, message: &Message) -> Message {
    let signature = hand.garbage_signature();
    match message {
        Message::Vote(vote) => Message::Vote(Vote { signature, ..*vote }),
        Message::PrePrepare(proposal) => Message::PrePrepare(Arc::new(PrePrepare {
            signature,
            ..PrePrepare::clone(proposal)
        })),
        Message::ViewChange(change) => {
            let mut change = ViewChange::clone(change);
            change.claim.signature = signature;
            Message::ViewChange(Arc::new(change))
        }
        other => other.clone(),
    }
}

fn misplaced(message: &Message) -> Message {
    let next = |view: View| view.next().unwrap_or(view);
    match message {
        Message::Vote(vote) => Message::Vote(Vote {
            view: next(vote.view),
            ..*vote
        }),
        Message::PrePrepare(proposal) => {
            let view = next(proposal.view);
            Message::PrePrepare(Arc::new(PrePrepare {
                view,
                ..PrePrepare::clone(proposal)
            }))
        }
        Message::ViewChange(change) => {
            let view = next(change.view);
            Message::ViewChange(Arc::new(ViewChange {
                view,
                ..ViewChange::clone(change)
            }))
        }
        other => other.clone(),
    }
}
