//! Messages on their way: through the liar's mouth, the filter and the links.

use super::{Node, What, World};
use crate::core::{Input, Peer, Recipients};
use crate::defect::Build;
use crate::message::Message;
use crate::sim::keys::Crypto;
use crate::sim::liars::{Hand, Liar, Said};
use crate::sim::oracle::Violation;
use crate::sim::trace::survives_the_wire;
use crate::sim::workload::Workload;

/// What speaks for a corrupt node of a world.
type Speaker<C, W> = Box<dyn Liar<C, <W as Workload>::App>>;

impl<C: Crypto, B: Build + Clone, W: Workload> World<C, B, W> {
    pub(super) fn send(&mut self, from: usize, to: Recipients, message: Message) {
        if self.setup.wire && !survives_the_wire(&message) {
            self.oracle.report(Violation::Wire);
        }
        match to {
            Recipients::One(peer) => self.say(from, usize::from(peer.0), message),
            Recipients::All => {
                for to in 0..self.nodes.len() {
                    if to != from {
                        self.say(from, to, message.clone());
                    }
                }
            }
        }
    }

    /// One message to one node, through the liar's mouth if the sender is corrupt.
    pub(super) fn say(&mut self, from: usize, to: usize, message: Message) {
        if self.nodes[from].liar.is_none() {
            return self.transmit(from, Said::truth(to, message));
        }
        let said = self.with_liar(from, |liar, hand| liar.say(hand, to, message));
        said.into_iter().for_each(|said| self.transmit(from, said));
    }

    pub(super) fn act(&mut self, node: usize) {
        let said = self.with_liar(node, |liar, hand| liar.act(hand));
        said.into_iter().for_each(|said| self.transmit(node, said));
    }

    pub(super) fn with_liar(
        &mut self,
        node: usize,
        speak: impl FnOnce(&mut Speaker<C, W>, &mut Hand<'_, C, W::App>) -> Vec<Said>,
    ) -> Vec<Said> {
        let now = self.clock(node);
        let nodes = self.nodes.len();
        let Node { machine, liar, .. } = &mut self.nodes[node];
        let (Some(liar), Some(core)) = (liar, machine.core()) else {
            return Vec::new();
        };
        let mut hand = Hand {
            crypto: &self.crypto,
            keys: &self.corrupt_keys,
            own: machine.key,
            nodes,
            chain: core.chain(),
            height: core.height(),
            view: core.view(),
            view_ms: self.setup.timing.view_ms,
            now,
            rng: &mut self.liar_rng,
        };
        speak(liar, &mut hand)
    }

    pub(super) fn transmit(&mut self, from: usize, said: Said) {
        let Said {
            to,
            message,
            lie,
            delay_ms,
            withheld,
        } = said;
        if from == to {
            return;
        }
        if let Some(filter) = &mut self.filter
            && !filter(from, to, &message)
        {
            self.counts.lost += 1;
            return;
        }
        let arrivals = self.network.arrivals(from, to, &mut self.network_rng);
        if withheld {
            let heard = self.nodes[to].liar.is_none() && self.nodes[to].machine.is_up();
            self.counts.lies += u64::from(heard && arrivals[0].is_some());
            return;
        }
        let [first, second] = arrivals;
        self.counts.lost += u64::from(first.is_none());
        if let Some(ms) = second {
            let what = What::Deliver {
                from,
                to,
                message: message.clone(),
                lie,
            };
            self.schedule(ms + delay_ms, what);
        }
        if let Some(ms) = first {
            self.schedule(
                ms + delay_ms,
                What::Deliver {
                    from,
                    to,
                    message,
                    lie,
                },
            );
        }
    }

    pub(super) fn arrive(&mut self, from: usize, to: usize, message: Message, lie: bool) {
        if !self.nodes[to].machine.is_up() {
            self.counts.lost += 1;
            return;
        }
        self.counts.delivered += 1;
        self.counts.lies += u64::from(lie && self.nodes[to].liar.is_none());
        self.trace.number(self.now << 16 | (from << 8 | to) as u64);
        self.trace.message(&message);
        // Liars answer correct nodes only: two that answer each other would never end.
        let said = match (&self.nodes[to].liar, &self.nodes[from].liar) {
            (Some(_), None) => self.with_liar(to, |liar, hand| liar.hear(hand, from, &message)),
            _ => Vec::new(),
        };
        said.into_iter().for_each(|said| self.transmit(to, said));
        let peer = Peer(u16::try_from(from).expect("a few nodes"));
        self.input(
            to,
            Input::Message {
                from: peer,
                message,
            },
        );
    }

    /// A message arrives at a node as if from another, now.
    pub fn inject(&mut self, from: usize, to: usize, message: Message) {
        self.arrive(from, to, message, true);
    }
}
