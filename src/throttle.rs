//! Limits of bandwidth.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Limits the bytes per second of all threads that share it.
pub(crate) struct Throttle {
    bytes_per_second: u64,
    /// The time from which the bytes taken so far no longer count against the limit.
    paid_until: Mutex<Instant>,
}

/// How long a thread sleeps before it checks again whether to stop.
const SLICE: Duration = Duration::from_millis(50);

impl Throttle {
    /// A limit of `bytes_per_second`. 0 = no limit.
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Throttle { bytes_per_second, paid_until: Mutex::new(Instant::now()) }
    }

    /// Takes `bytes`, and sleeps until the time for all bytes taken before has passed. Returns early if `stop` returns
    /// true, because a limit must not delay the end.
    pub(crate) fn take(&self, bytes: usize, stop: impl Fn() -> bool) {
        if self.bytes_per_second == 0 {
            return;
        }
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let mine = {
            let mut paid = self.paid_until.lock().unwrap_or_else(|e| e.into_inner());
            let start = (*paid).max(Instant::now());
            *paid = start + cost;
            start
        };
        while !stop() {
            match mine.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => std::thread::sleep(left.min(SLICE)),
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_over_threads_and_0_is_no_limit() {
        let throttle = Throttle::new(1_000_000);
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5).for_each(|_| throttle.take(20_000, || false)));
            }
        });
        // 400 kB at 1 MB/s. There is no wait for the last piece.
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(380), "{took:?}");
        let start = Instant::now();
        Throttle::new(0).take(usize::MAX, || false);
        assert!(start.elapsed() < Duration::from_millis(100));
    }

    #[test]
    fn a_stop_is_seen_soon() {
        let throttle = Throttle::new(1);
        throttle.take(1000, || false);
        let start = Instant::now();
        throttle.take(1, || start.elapsed() > Duration::from_millis(100));
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
