//! Bad state-transfer peer: it claims to be far ahead and then serves gaps, old blocks, blocks
//! of another height, other sets, or nothing.

use std::sync::Arc;

use quorate_verifier::primitives::Height;

use super::{Hand, Liar, Said};
use crate::app::App;
use crate::block::FinalBlock;
use crate::message::{Fetch, Message, SetOpening};
use crate::sim::keys::{Crypto, set_of};

#[derive(Default)]
pub(super) struct BadPeer {
    served: Vec<Arc<FinalBlock>>,
    turn: u64,
}

const SERVED: usize = 32;

impl<C: Crypto, A: App> Liar<C, A> for BadPeer {
    fn say(&mut self, hand: &mut Hand<'_, C, A>, to: usize, message: Message) -> Vec<Said> {
        match message {
            Message::Blocks(blocks) => {
                self.keep(&blocks);
                self.turn += 1;
                let mut blocks = blocks;
                match self.turn % 5 {
                    0 => return Vec::new(),                          // never serves
                    1 => blocks = self.served.clone(),               // whatever it has
                    2 if blocks.len() > 1 => drop(blocks.remove(0)), // a gap
                    3 => blocks.reverse(),
                    _ => {
                        // One block's certificate on another block.
                        if let [first, .., last] = &blocks[..] {
                            let (block, certificate) =
                                (first.block.clone(), last.certificate.clone());
                            blocks = vec![Arc::new(FinalBlock { block, certificate })];
                        }
                    }
                }
                blocks.truncate(crate::limits::BLOCKS_PER_ANSWER);
                vec![Said::lie(to, Message::Blocks(blocks))]
            }
            Message::Status(height, header) => {
                let far = Height::new(height.get() + 1 + hand.rng.below(50));
                vec![Said::lie(to, Message::Status(far, header))]
            }
            Message::Set(_) => {
                vec![Said::lie(
                    to,
                    Message::Set(SetOpening::of(set_of(&[9, 9, 9, 9]))),
                )]
            }
            message => vec![Said::truth(to, message)],
        }
    }

    fn hear(&mut self, hand: &mut Hand<'_, C, A>, from: usize, message: &Message) -> Vec<Said> {
        match message {
            Message::Blocks(blocks) => {
                self.keep(blocks);
                Vec::new()
            }
            Message::Fetch(Fetch::Block(..)) => {
                let block = hand.empty_block(hand.now.wall.get());
                block
                    .map(|b| Said::lie(from, Message::Block(b)))
                    .into_iter()
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}

impl BadPeer {
    fn keep(&mut self, blocks: &[Arc<FinalBlock>]) {
        self.served.extend(blocks.iter().cloned());
        let extra = self.served.len().saturating_sub(SERVED);
        self.served.drain(..extra);
    }
}
