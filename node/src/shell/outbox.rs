//! What waits to be sent to one peer, bounded: when a lane is full its oldest frames go.
//!
//! Nothing is lost for good by that: a replica sends its own messages again at growing intervals
//! (`docs/consensus.md#retransmission`). Votes and proposals have a lane of their own, so that
//! they never wait behind blocks for a peer that catches up.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use quorate_pbft::limits::MESSAGE_BYTES_MAX;
use quorate_pbft::message::Message;
use tokio::sync::Notify;

/// Most bytes in each lane: two of the largest messages.
pub const LANE_BYTES: usize = 2 * MESSAGE_BYTES_MAX;
/// Most frames in each lane.
pub const LANE_FRAMES: usize = 8192;

/// An encoded message, shared by all whom it is for.
pub type Frame = Bytes;

/// Which frames go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Votes, proposals, view changes, questions.
    Urgent,
    /// Requests and whatever a peer that is behind asked for.
    Bulk,
}

impl Lane {
    /// Of a message.
    pub const fn of(message: &Message) -> Self {
        match message {
            Message::Requests(_)
            | Message::Blocks(_)
            | Message::Block(_)
            | Message::Set(_)
            | Message::Offer(_)
            | Message::Chunk(..) => Self::Bulk,
            _ => Self::Urgent,
        }
    }
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Frame>,
    bytes: usize,
}

impl Queue {
    fn push(&mut self, frame: Frame) -> u64 {
        self.bytes += frame.len();
        self.frames.push_back(frame);
        let mut dropped = 0;
        while (self.bytes > LANE_BYTES || self.frames.len() > LANE_FRAMES) && self.frames.len() > 1
        {
            self.pop();
            dropped += 1;
        }
        dropped
    }

    fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(frame)
    }
}

#[derive(Debug, Default)]
struct Lanes {
    urgent: Queue,
    bulk: Queue,
    /// The last vote that this peer was seen to cast: it is told so whenever a link comes up, and
    /// stops if it knows nothing of that vote.
    echo: Option<Frame>,
    /// The own status, likewise.
    status: Option<Frame>,
}

impl Lanes {
    fn pop(&mut self) -> Option<Frame> {
        self.urgent.pop().or_else(|| self.bulk.pop())
    }
}

/// Counters and state of one peer's links.
#[derive(Debug, Default)]
pub struct Outbox {
    lanes: Mutex<Lanes>,
    wake: Notify,
    /// The peer has dialled: it is worth trying to reach it at once.
    pub redial: Notify,
    /// The link that was dialled is up.
    pub dialled: AtomicBool,
    /// The peer's own links that are up: one, and for a moment two when one replaces another.
    pub accepted: AtomicUsize,
    /// Frames that were sent.
    pub sent: AtomicU64,
    /// Frames that were received.
    pub received: AtomicU64,
    /// Frames that were dropped because the lane was full or the link down.
    pub dropped: AtomicU64,
    /// Lots of requests from the peer that were not looked at, since too many waited.
    pub overlooked: AtomicU64,
    /// Rules that the peer broke.
    pub faults: AtomicU64,
}

impl Outbox {
    /// Queues a frame; without a link it is dropped at once.
    pub fn push(&self, lane: Lane, frame: Frame) {
        if !self.dialled.load(Ordering::Relaxed) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut lanes = self.lanes();
        let queue = match lane {
            Lane::Urgent => &mut lanes.urgent,
            Lane::Bulk => &mut lanes.bulk,
        };
        let dropped = queue.push(frame);
        drop(lanes);
        self.dropped.fetch_add(dropped, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Remembers the peer's last vote.
    pub fn remember_vote(&self, frame: Frame) {
        self.lanes().echo = Some(frame);
    }

    /// Remembers the own status.
    pub fn remember_status(&self, frame: Frame) {
        self.lanes().status = Some(frame);
    }

    /// A link is up: frames are taken from now on, these first.
    pub fn connect(&self) -> Vec<Frame> {
        let mut lanes = self.lanes();
        lanes.urgent = Queue::default();
        lanes.bulk = Queue::default();
        self.dialled.store(true, Ordering::Relaxed);
        let greeting = [lanes.echo.clone(), lanes.status.clone()];
        greeting.into_iter().flatten().collect()
    }

    /// The link is down.
    pub fn disconnect(&self) {
        self.dialled.store(false, Ordering::Relaxed);
        let mut lanes = self.lanes();
        lanes.urgent = Queue::default();
        lanes.bulk = Queue::default();
    }

    /// The next frame, urgent ones first.
    pub async fn next(&self) -> Frame {
        loop {
            if let Some(frame) = self.lanes().pop() {
                return frame;
            }
            self.wake.notified().await;
        }
    }

    /// The next frames, urgent ones first: all that wait, until they have so many bytes together.
    pub async fn next_few(&self, bytes: usize) -> Vec<Frame> {
        let first = self.next().await;
        let mut length = first.len();
        let mut few = vec![first];
        let mut lanes = self.lanes();
        while length < bytes
            && let Some(frame) = lanes.pop()
        {
            length += frame.len();
            few.push(frame);
        }
        few
    }

    /// Frames that wait.
    pub fn waiting(&self) -> usize {
        let lanes = self.lanes();
        lanes.urgent.frames.len() + lanes.bulk.frames.len()
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(size: usize, first: u8) -> Frame {
        let mut bytes = vec![0; size];
        bytes[0] = first;
        bytes.into()
    }

    fn drain(outbox: &Outbox) -> Vec<u8> {
        let mut lanes = outbox.lanes();
        let mut taken = Vec::new();
        while let Some(frame) = lanes.pop() {
            taken.push(frame[0]);
        }
        taken
    }

    #[test]
    fn the_oldest_frames_go_first_when_a_lane_is_full() {
        let outbox = Outbox::default();
        outbox.connect();
        for first in 0..4 {
            outbox.push(Lane::Bulk, frame(MESSAGE_BYTES_MAX, first));
        }
        assert_eq!(outbox.dropped.load(Ordering::Relaxed), 2);
        outbox.push(Lane::Urgent, frame(100, 9));
        assert_eq!(drain(&outbox), [9, 2, 3], "votes overtake blocks");
        for _ in 0..LANE_FRAMES + 5 {
            outbox.push(Lane::Urgent, frame(1, 1));
        }
        assert_eq!(outbox.waiting(), LANE_FRAMES);
    }

    #[tokio::test]
    async fn frames_are_taken_together_up_to_a_number_of_bytes() {
        let outbox = Outbox::default();
        outbox.connect();
        for first in 0..4 {
            outbox.push(Lane::Bulk, frame(100, first));
        }
        outbox.push(Lane::Urgent, frame(1, 9));
        let firsts = |few: Vec<Frame>| few.iter().map(|f| f[0]).collect::<Vec<_>>();
        assert_eq!(firsts(outbox.next_few(150).await), [9, 0, 1]);
        assert_eq!(firsts(outbox.next_few(1).await), [2], "at least one");
        assert_eq!(firsts(outbox.next_few(1000).await), [3]);
    }

    #[test]
    fn nothing_waits_for_a_link_that_is_down() {
        let outbox = Outbox::default();
        outbox.push(Lane::Urgent, frame(10, 1));
        assert_eq!(outbox.waiting(), 0);
        outbox.remember_status(frame(1, 2));
        outbox.remember_vote(frame(1, 3));
        let greeting: Vec<_> = outbox.connect().iter().map(|f| f[0]).collect();
        assert_eq!(greeting, [3, 2], "the vote comes before the status");
        outbox.push(Lane::Urgent, frame(10, 1));
        outbox.disconnect();
        assert_eq!(outbox.waiting(), 0);
    }
}
