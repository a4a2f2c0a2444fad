//! What keys and proofs of a size cost, before any is made: room on disk, memory, seconds.
//!
//! Every figure is a measured one for each row of the domain (docs/performance.md), so it is an
//! upper bound where rows do not fill the domain, and an estimate everywhere else. Seconds are of
//! two cores that do nothing else.

use quorate_verifier::primitives::CircuitSize;
use quorate_verifier::sizes;

/// What a size costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Base-two logarithm of the domain that the rows fill.
    pub domain_log2: u8,
    /// Bytes that a key takes on disk.
    pub key_bytes: u64,
    /// Most memory that making the circuit's rows takes.
    pub record_peak_bytes: u64,
    /// Most memory that making a key takes.
    pub setup_peak_bytes: u64,
    /// Seconds that making a key takes.
    pub setup_seconds: f64,
    /// Most memory that a proof takes.
    pub prove_peak_bytes: u64,
    /// Seconds that a proof takes, without those that the circuit's rows take once.
    pub prove_seconds: f64,
}

/// What a program takes that does nothing.
const BASE_BYTES: u64 = 32 << 20;
/// For each row of the domain.
const KEY_BYTES: u64 = 330;
const RECORD_BYTES: u64 = 350;
const SETUP_BYTES: u64 = 1200;
const PROVE_BYTES: u64 = 400;
/// For the run of the key that is at hand, at most.
const RUN_BYTES: u64 = 320 << 20;
const SETUP_SECONDS: f64 = 45e-6;
const PROVE_SECONDS: f64 = 9e-6;
/// Beyond the largest named size: up to 256 slots.
const LARGEST_DOMAIN_LOG2: u8 = 24;

impl Cost {
    /// Of keys and proofs for circuits with so many slots.
    #[must_use]
    pub fn of(size: CircuitSize) -> Self {
        let named = sizes::smallest_for(size.slots().into());
        let domain_log2 = named.map_or(LARGEST_DOMAIN_LOG2, |named| named.domain_log2);
        let rows = 1_u64 << domain_log2;
        #[allow(clippy::cast_precision_loss, reason = "an estimate")]
        let seconds = |each: f64| rows as f64 * each;
        Self {
            domain_log2,
            key_bytes: rows * KEY_BYTES,
            record_peak_bytes: BASE_BYTES + rows * RECORD_BYTES,
            setup_peak_bytes: BASE_BYTES + rows * SETUP_BYTES,
            setup_seconds: seconds(SETUP_SECONDS),
            prove_peak_bytes: BASE_BYTES + rows * PROVE_BYTES + RUN_BYTES.min(rows * PROVE_BYTES),
            prove_seconds: seconds(PROVE_SECONDS),
        }
    }
}
