//! The peer's `Network` over the links that Quorate's own node has: TLS 1.3, pinned keys, the same
//! frames and the same bounded queues.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use borsh::{BorshDeserialize, BorshSerialize};
use dalek2::VerifyingKey;
use hotstuff_rs::block_sync::messages::BlockSyncAdvertiseMessage;
use hotstuff_rs::networking::messages::{Message, ProgressMessage};
use hotstuff_rs::networking::network::Network;
use hotstuff_rs::types::update_sets::ValidatorSetUpdates;
use hotstuff_rs::types::validator_set::ValidatorSet;
use quorate_node::shell::outbox::{Frame, Lane, Outbox};

/// First byte of a frame between replicas.
pub(super) const MESSAGE: u8 = 0;
/// First byte of a frame with a client's request.
pub(super) const REQUEST: u8 = 1;

/// The library's poller calls `recv` without a pause: it sleeps here instead, until something
/// comes, and so takes no processor time that it does not need.
const POLL_TIME: Duration = Duration::from_millis(100);
/// The library's sync server runs without a pause as well; it is told to advertise in every turn,
/// and sleeps here so long each time. Every tenth leaves.
const ADVERTISE_TIME: Duration = Duration::from_millis(20);
const ADVERTISE_EACH: u32 = 10;

type Received = (VerifyingKey, Message);

/// All replicas' queues, and what came from them.
#[derive(Clone)]
pub(super) struct Links {
    me: VerifyingKey,
    peers: Arc<BTreeMap<[u8; 32], Arc<Outbox>>>,
    comes: Sender<Received>,
    inbox: Arc<Mutex<Receiver<Received>>>,
    advertised: u32,
}

impl Links {
    pub(super) fn new(me: VerifyingKey, peers: BTreeMap<[u8; 32], Arc<Outbox>>) -> Self {
        let (comes, inbox) = std::sync::mpsc::channel();
        Self {
            me,
            peers: Arc::new(peers),
            comes,
            inbox: Arc::new(Mutex::new(inbox)),
            advertised: 0,
        }
    }

    /// A message came over the link of this replica.
    pub(super) fn received(&self, from: VerifyingKey, bytes: &[u8]) -> bool {
        let Ok(message) = Message::try_from_slice(bytes) else {
            return false;
        };
        self.comes.send((from, message)).is_ok()
    }

    /// Passes a client's request on to all others.
    pub(super) fn pass_on(&self, request: &[u8]) {
        let frame: Frame = [&[REQUEST], request].concat().into();
        for peer in self.peers.values() {
            peer.push(Lane::Bulk, frame.clone());
        }
    }
}

fn frame_of(message: &Message) -> Frame {
    let mut frame = vec![MESSAGE];
    message
        .serialize(&mut frame)
        .expect("writing to memory does not fail");
    frame.into()
}

impl Network for Links {
    fn init_validator_set(&mut self, _: ValidatorSet) {}

    fn update_validator_set(&mut self, _: ValidatorSetUpdates) {}

    fn broadcast(&mut self, message: Message) {
        if let Message::ProgressMessage(ProgressMessage::BlockSyncAdvertiseMessage(advertised)) =
            &message
        {
            if matches!(advertised, BlockSyncAdvertiseMessage::AdvertiseBlock(_)) {
                self.advertised += 1;
                std::thread::sleep(ADVERTISE_TIME);
            }
            if !self.advertised.is_multiple_of(ADVERTISE_EACH) {
                return;
            }
        }
        let frame = frame_of(&message);
        for peer in self.peers.values() {
            peer.push(Lane::Urgent, frame.clone());
        }
        // The library counts on hearing its own broadcasts.
        let _ = self.comes.send((self.me, message));
    }

    fn send(&mut self, peer: VerifyingKey, message: Message) {
        if peer == self.me {
            let _ = self.comes.send((self.me, message));
        } else if let Some(outbox) = self.peers.get(peer.as_bytes()) {
            outbox.push(Lane::Urgent, frame_of(&message));
        }
    }

    fn recv(&mut self) -> Option<Received> {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.recv_timeout(POLL_TIME).ok()
    }
}
