//! To peers: messages, and stored blocks for those that are behind.

use std::sync::Arc;

use quorate_pbft::app::App;
use quorate_pbft::limits::{ANSWER_BYTES, BLOCKS_PER_ANSWER};
use quorate_pbft::log::Storage;
use quorate_pbft::message::Message;
use quorate_pbft::{Peer, Recipients};
use quorate_verifier::encoding::Canonical;
use quorate_verifier::primitives::Height;
use tracing::error;

use super::Driver;
use crate::shell::outbox::{Frame, Lane};

impl<A: App, D: Storage> Driver<A, D> {
    pub(super) fn send(&self, to: Recipients, message: &Message) {
        let frame: Frame = message.to_bytes().into();
        let lane = Lane::of(message);
        match to {
            Recipients::One(peer) => {
                if let Some(outbox) = self.links.outbox(peer) {
                    outbox.push(lane, frame);
                }
            }
            Recipients::All => {
                let is_status = matches!(message, Message::Status(..));
                for (peer, _) in self.links.parties().others() {
                    let Some(outbox) = self.links.outbox(peer) else {
                        continue;
                    };
                    if is_status {
                        outbox.remember_status(frame.clone());
                    }
                    outbox.push(lane, frame.clone());
                }
            }
        }
    }

    /// Reads stored blocks on another thread: a peer that catches up must not slow the votes.
    pub(super) fn serve(&self, to: Peer, from: Height) {
        let (store, links) = (self.store.clone(), self.links.clone());
        self.handle.spawn_blocking(move || {
            let mut blocks = Vec::new();
            let (mut bytes, mut height) = (0, from);
            while blocks.len() < BLOCKS_PER_ANSWER {
                let block = match store.block(height) {
                    Ok(Some(block)) => block,
                    Ok(None) => break,
                    Err(error) => {
                        // The driver finds out for itself when it writes.
                        error!("cannot serve blocks: {error}");
                        break;
                    }
                };
                bytes += block.block.payload().size().max(1);
                if bytes > ANSWER_BYTES && !blocks.is_empty() {
                    break;
                }
                blocks.push(Arc::new(block));
                let Some(next) = height.next() else { break };
                height = next;
            }
            if let (false, Some(outbox)) = (blocks.is_empty(), links.outbox(to)) {
                outbox.push(Lane::Bulk, Message::Blocks(blocks).to_bytes().into());
            }
        });
    }
}
