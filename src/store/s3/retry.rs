//! Repeats requests after temporary failures: how often, how long, and when to give up.

use super::failure::{Failure, FailureKind};
use crate::monitor::Monitor;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The limit for a server that has never answered. Some setting is probably wrong, so a long wait is useless.
const FIRST_CONTACT: Duration = Duration::from_secs(10);
/// The pause after the first failure. It doubles with each further one.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a pause may continue after a signal.
const SLICE: Duration = Duration::from_millis(50);
/// Less time than this is too short for another attempt.
const TOO_SHORT: Duration = Duration::from_millis(20);
/// The shortest time limit of an attempt, for connecting and for each answer.
const SHORTEST_TRY: Duration = Duration::from_secs(1);
/// The time after which the user is informed.
const WORTH_TELLING: Duration = Duration::from_secs(3);

/// How long requests are repeated. All threads that use a store share it.
pub(super) struct Patience<'a> {
    /// How long a connection may be silent.
    timeout: Duration,
    /// How long a request is repeated.
    retry_time: Duration,
    monitor: &'a dyn Monitor,
    /// Whether the server has ever answered.
    reached: AtomicBool,
    /// Whether a request has waited in vain, and none has succeeded since. Other requests need not wait as long again.
    gone: AtomicBool,
    /// Whether the user has been informed that requests fail.
    reported: AtomicBool,
}

impl<'a> Patience<'a> {
    /// Uses the configured times. A signal that `monitor` reports ends every pause.
    pub(super) fn new(timeout: Duration, retry_time: Duration, monitor: &'a dyn Monitor) -> Self {
        Patience {
            timeout,
            retry_time,
            monitor,
            reached: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            reported: AtomicBool::new(false),
        }
    }

    /// Calls `attempt` until it succeeds, fails for good, or the time is over. Passes it the time for which the
    /// connection may be silent.
    pub(super) fn run<T>(
        &self,
        what: &str,
        mut attempt: impl FnMut(Duration) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let started = Instant::now();
        let mut tries = 0;
        loop {
            let limit = self.limit(tries, started.elapsed());
            let failure = match attempt(limit) {
                Ok(value) => {
                    self.succeeded();
                    return Ok(value);
                }
                Err(failure) => failure,
            };
            tries += 1;
            if failure.status.is_some() {
                self.reached.store(true, Ordering::Relaxed);
            }
            if ![FailureKind::Network, FailureKind::Busy].contains(&failure.kind) {
                return Err(failure);
            }
            // The signal has ended the request in progress.
            if let Some(signal) = self.monitor.interrupted() {
                return Err(Failure::new(FailureKind::Interrupted(signal), "interrupted"));
            }
            let spent = started.elapsed();
            let left = self.patience().saturating_sub(spent);
            if left < TOO_SHORT {
                if failure.kind == FailureKind::Network {
                    self.gone.store(true, Ordering::Relaxed);
                }
                return Err(given_up(failure, tries, spent));
            }
            self.tell(what, &failure, spent, left);
            self.pause(pause(tries).min(left))?;
        }
    }

    /// How long requests are repeated in the present state.
    fn patience(&self) -> Duration {
        match (self.gone.load(Ordering::Relaxed), self.reached.load(Ordering::Relaxed)) {
            (true, _) => Duration::ZERO,
            (false, true) => self.retry_time,
            (false, false) => self.retry_time.min(FIRST_CONTACT),
        }
    }

    /// How long the connection of the next attempt may be silent, so that all attempts end in time.
    fn limit(&self, tries: u32, spent: Duration) -> Duration {
        let left = self.patience().saturating_sub(spent).max(SHORTEST_TRY);
        match tries {
            0 if self.reached.load(Ordering::Relaxed) => self.timeout,
            0 => self.timeout.min(FIRST_CONTACT),
            _ => self.timeout.min(left),
        }
    }

    fn succeeded(&self) {
        self.reached.store(true, Ordering::Relaxed);
        self.gone.store(false, Ordering::Relaxed);
        if self.reported.load(Ordering::Relaxed) && self.reported.swap(false, Ordering::Relaxed) {
            self.monitor.info("The data store answers again.");
        }
    }

    fn tell(&self, what: &str, failure: &Failure, spent: Duration, left: Duration) {
        let text = failure.reason.line();
        self.monitor.debug(&format!("{what}: {text}. Trying again."));
        if spent >= WORTH_TELLING && !self.reported.swap(true, Ordering::Relaxed) {
            self.monitor
                .warning(&format!("The data store fails: {text}. Trying again for {} s.", left.as_secs()));
        }
    }

    /// Sleeps, but ends early on a signal.
    fn pause(&self, pause: Duration) -> Result<(), Failure> {
        let end = Instant::now() + pause;
        loop {
            if let Some(signal) = self.monitor.interrupted() {
                return Err(Failure::new(FailureKind::Interrupted(signal), "interrupted"));
            }
            match end.saturating_duration_since(Instant::now()) {
                Duration::ZERO => return Ok(()),
                left => std::thread::sleep(left.min(SLICE)),
            }
        }
    }
}

/// The pause doubles from attempt to attempt. A random half keeps many threads, and many hosts, from returning all at
/// once.
fn pause(tries: u32) -> Duration {
    let full = PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
    full.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// The final error.
fn given_up(mut failure: Failure, tries: u32, spent: Duration) -> Failure {
    if tries > 1 {
        let so_long = format!("given up after {tries} tries in {} s", spent.as_secs());
        failure.reason = failure.reason.during(&so_long);
    }
    failure
}

#[cfg(test)]
mod tests;
