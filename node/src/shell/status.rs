//! What an operator asks a running node.

use quorate_verifier::primitives::Height;
use serde::{Deserialize, Serialize};

/// One moment of a node's life. JSON, for its own operator's eyes: it names machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The node's name.
    pub name: String,
    /// The chain.
    pub chain: String,
    /// The last final height.
    pub height: u64,
    /// Digest of its header.
    pub header: String,
    /// Time of that header, RFC 3339.
    pub time: String,
    /// The view of the height in flight.
    pub view: u64,
    /// The machine that leads that view.
    pub primary: String,
    /// Whether this node has asked for that view and waits for its primary.
    pub changing_view: bool,
    /// Requests that wait for a block.
    pub waiting_requests: usize,
    /// Whether its votes are signed; if not, why.
    pub voting: String,
    /// Proofs of double votes that it has seen.
    pub evidence: usize,
    /// The certificate of the last final height, as far as this node has it.
    pub certificate: Option<CertificateStatus>,
    /// The other machines.
    pub peers: Vec<PeerStatus>,
    /// Since its start, in seconds.
    pub uptime_s: u64,
}

/// A certificate in figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// In which view the block was committed.
    pub view: u64,
    /// Votes that it holds.
    pub votes: usize,
    /// Those of them that came when the height was final already, since this node's start.
    pub late: usize,
}

/// Another machine, as this one sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerStatus {
    /// Its name.
    pub name: String,
    /// Whether the link that was dialled to it is up.
    pub reached: bool,
    /// Whether its own link is up.
    pub heard: bool,
    /// Frames sent to it.
    pub sent: u64,
    /// Frames received from it.
    pub received: u64,
    /// Frames for it that were dropped.
    pub dropped: u64,
    /// Frames that wait for it.
    pub queued: usize,
    /// Lots of requests from it that were not looked at, since too many waited.
    #[serde(default)]
    pub overlooked: u64,
    /// Rules that it broke.
    pub faults: u64,
}

/// What the driver tells after every batch.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The last final height.
    pub height: Height,
    /// Everything else that it knows; the rest is filled in where the links are known.
    pub status: Status,
}
