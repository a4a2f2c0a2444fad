//! Named bounds on everything that a peer or client can make this replica hold or compute.

use quorate_verifier::primitives::VALIDATORS_MAX;

/// A header's time may be ahead of the clock of a replica that prepares it by this much, in ms.
pub const CLOCK_DRIFT_MS: u64 = 500;

/// Votes are kept for this many views below the present one (a commit may still finish there).
pub const VIEWS_BEHIND: u64 = 4;
/// Votes are kept for this many views above the present one.
pub const VIEWS_AHEAD: u64 = 4;
/// Commit votes of one validator in one view for blocks that this replica has not seen.
pub const UNSEEN_COMMITS: usize = 2;
/// Blocks of the height in flight that are held at once.
pub const BLOCKS_HELD: usize = 6;

/// Votes that are kept of one peer for the next height.
pub const NEXT_VOTES_PER_PEER: usize = 8;
/// Pre-prepares, and view changes, that are kept of one peer for the next height.
pub const NEXT_LARGE_PER_PEER: usize = 1;

/// Pending requests of one client: sequences from its next one on.
pub const REQUESTS_PER_CLIENT: u64 = 256;
/// Bytes of pending requests in all.
pub const POOL_BYTES: usize = 64 << 20;
/// Pending requests in all.
pub const POOL_REQUESTS: usize = 1 << 16;
/// Requests in one message, at most ...
pub const REQUESTS_PER_MESSAGE: usize = 256;
/// ... and their bytes, unless a single one has more.
pub const REQUESTS_BYTES: usize = 1 << 20;
/// Signatures of requests that are checked at once: with more, each costs hardly less, and a bad
/// one hurts more (`cargo bench -p quorate-verifier --bench signature`).
pub const SIGNATURES_TOGETHER: usize = 64;
/// Requests of a source that sent a badly signed one are checked one by one for so long, in ms.
pub const DOUBT_MS: u64 = 1_000;
/// Requests of local clients that are passed on again with a retransmission.
pub const REQUESTS_PER_RESEND: usize = 16;

/// Blocks in one answer of state transfer.
pub const BLOCKS_PER_ANSWER: usize = 16;
/// Payload bytes in one answer of state transfer, unless a single block has more.
pub const ANSWER_BYTES: usize = 4 << 20;
/// Bytes of a state in one chunk of a snapshot.
pub const CHUNK_BYTES: usize = 256 << 10;
/// Largest state that is taken from a peer, in bytes.
pub const SNAPSHOT_BYTES_MAX: u64 = 256 << 20;
/// Headers that prove a snapshot: one for each change of the set, and one.
pub const LINKS_MAX: usize = 256;
/// A peer is sent chunks of a snapshot at most this often, in ms, ...
pub const CHUNK_SERVE_MS: u64 = 5;
/// ... and asks for them at most this often.
pub const CHUNK_MS: u64 = 10;
/// A chunk of a snapshot is asked for again after this long, in ms, ...
pub const CHUNK_AGAIN_MS: u64 = 500;
/// ... and so often in all; then the peer is given up.
pub const CHUNK_TRIES: u32 = 3;
/// Whose snapshot was none, or never came, is not asked for another one so soon, in ms.
pub const SNAPSHOT_PENALTY_MS: u64 = 10_000;
/// A prepare that comes so soon after its height has ended is late, and no sign of a peer that is
/// behind, in ms.
pub const LATE_MS: u64 = 50;
/// The same peer is not served from the same height again sooner, in ms.
pub const SERVE_AGAIN_MS: u64 = 50;
/// The same peer is not served at all sooner, in ms.
pub const SERVE_MS: u64 = 10;
/// A question of state transfer is put to another peer after this long, in ms.
pub const ASK_AGAIN_MS: u64 = 100;
/// Digests of recent headers that are remembered to see a fork.
pub const RECENT_HEADERS: usize = 64;

/// Headers of one height that are kept for evidence.
pub const HEADERS_HELD: usize = 16;
/// Largest opening of a validator set.
pub const SET_BYTES_MAX: usize = 16 << 10;
/// Opened validator sets that are kept for changes to come.
pub const SETS_HELD: usize = 16;
/// Proofs of double votes that are kept.
pub const EVIDENCE_HELD: usize = 256;

/// Marks after which a peer is not listened to for [`PENALTY_MS`].
pub const MARKS_MAX: u32 = 64;
/// How long a peer with too many marks is ignored, in ms.
pub const PENALTY_MS: u64 = 1_000;

/// Largest request body that the codec reads, whatever the chain's parameters say.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Most requests in a payload that the codec reads.
pub const PAYLOAD_REQUESTS_MAX: usize = 1 << 16;
/// Largest payload that the codec reads.
pub const PAYLOAD_BYTES_MAX: usize = 8 << 20;
/// Votes in a certificate.
pub const VOTES_MAX: usize = VALIDATORS_MAX;
/// Largest frame that a shell should take from a peer.
pub const MESSAGE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + (1 << 20);
