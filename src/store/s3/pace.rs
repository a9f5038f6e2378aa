//! The lowest rate of a transfer.

use std::time::{Duration, Instant};

/// The average number of bytes per second that a transfer must reach. A line of 256 kbit/s is fast enough for twenty
/// requests at a time.
pub(super) const LEAST_RATE: u64 = 1024;

/// The longest time that a transfer of `bytes` may take.
pub(super) fn longest(limit: Duration, bytes: u64) -> Duration {
    limit + Duration::from_secs(bytes / LEAST_RATE)
}

/// Watches a transfer, which must make progress in each period.
pub(super) struct Pace {
    limit: Duration,
    since: Instant,
    moved: u64,
}

impl Pace {
    /// Starts now. `limit` is the length of a period.
    pub(super) fn new(limit: Duration) -> Self {
        Pace { limit, since: Instant::now(), moved: 0 }
    }

    /// Records transferred bytes.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.moved += bytes as u64;
    }

    /// The rest of the period. `None` if it is over and too little was transferred.
    pub(super) fn left(&mut self) -> Option<Duration> {
        self.left_at(Instant::now())
    }

    fn left_at(&mut self, now: Instant) -> Option<Duration> {
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed < self.limit {
            return Some(self.limit - elapsed);
        }
        let least = self.limit.as_secs_f64() * LEAST_RATE as f64;
        let enough = self.moved as f64 >= least;
        (self.since, self.moved) = (now, 0);
        enough.then_some(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_fast_start_does_not_excuse_a_slow_rest() {
        let mut pace = Pace::new(10 * SECOND);
        let start = pace.since;
        pace.moved(1 << 20);
        assert_eq!(pace.left_at(start + 4 * SECOND), Some(6 * SECOND));
        assert_eq!(pace.left_at(start + 11 * SECOND), Some(10 * SECOND), "a new stretch");
        pace.moved(10);
        assert_eq!(pace.left_at(start + 20 * SECOND), Some(SECOND));
        assert_eq!(pace.left_at(start + 21 * SECOND), None, "ten bytes in ten seconds");
    }

    #[test]
    fn every_transfer_has_an_end() {
        assert_eq!(longest(60 * SECOND, 4 << 20), (60 + 4096) * SECOND);
        assert_eq!(longest(SECOND, 0), SECOND);
    }
}
