//! Time as it is told to the core.

use quorate_verifier::primitives::TimeMs;

/// Milliseconds on a clock that never goes back, from an origin of the shell's choice: for timers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// So many milliseconds after the origin.
    pub const fn new(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the origin.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// This moment and so many milliseconds; the end of time when that is later.
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; 0 when that is not earlier.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The two clocks at the moment of a step.
///
/// Timers run on `tick`, header times are judged by `wall`: a wall clock that jumps disturbs no
/// timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic.
    pub tick: Tick,
    /// The time of day, which may jump.
    pub wall: TimeMs,
}

/// How patient a replica is. Local: replicas need not agree, and safety does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Length of view 0, in ms; each later view has twice as long, up to `view_max_ms`.
    pub view_ms: u64,
    /// The longest view, in ms.
    pub view_max_ms: u64,
    /// Time without requests after which an empty block is proposed, in ms.
    pub idle_ms: u64,
    /// First interval after which own messages are sent again, in ms; it doubles.
    pub resend_ms: u64,
    /// The longest such interval, in ms.
    pub resend_max_ms: u64,
}

impl Timing {
    /// For validators in different data centres.
    pub const WIDE: Self = Self {
        view_ms: 1_000,
        view_max_ms: 60_000,
        idle_ms: 5_000,
        resend_ms: 250,
        resend_max_ms: 4_000,
    };

    /// Length of a view, in ms: `view_ms · 2^view`, at most `view_max_ms`.
    pub fn view_length(&self, view: u64) -> u64 {
        let doublings = u32::try_from(view.min(30)).expect("at most 30");
        self.view_ms
            .saturating_mul(1 << doublings)
            .min(self.view_max_ms.max(self.view_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_double_up_to_their_limit() {
        let timing = Timing {
            view_ms: 10,
            view_max_ms: 75,
            ..Timing::WIDE
        };
        let lengths: Vec<_> = (0..5).map(|v| timing.view_length(v)).collect();
        assert_eq!(lengths, [10, 20, 40, 75, 75]);
        assert_eq!(timing.view_length(u64::MAX), 75);
    }
}
