//! Progress and interruption of long statements in SQLite.

use crate::monitor::{Activity, Handle, Monitor, Progress};
use rusqlite::{Connection, ErrorCode};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Number of SQLite VM instructions between two checks of the monitor. They run for a few milliseconds.
const EVERY: i32 = 20_000;

/// Shows the progress of an upgrade, and stops its statements when a signal arrives.
pub(super) struct UpgradeWatch {
    monitor: Handle,
    counting: Arc<Counting>,
}

/// Counts instructions, for steps whose progress cannot be measured in another way.
#[derive(Default)]
struct Counting {
    /// 0 if the step is not measured in instructions.
    expected: AtomicU64,
    run: AtomicU64,
    step: Mutex<&'static str>,
    /// Number of checks, to report only at some of them.
    pause: AtomicUsize,
}

impl UpgradeWatch {
    /// A watch that reports to `monitor`.
    pub(super) fn new(monitor: Handle) -> Self {
        UpgradeWatch { monitor, counting: Arc::default() }
    }

    /// From now on all statements of `connection` stop when a signal arrives. They also report progress after
    /// [`UpgradeWatch::count`] was called.
    pub(super) fn attach(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let (monitor, counting) = (self.monitor.clone(), Arc::clone(&self.counting));
        connection.progress_handler(
            EVERY,
            Some(move || {
                counting.show(&monitor);
                monitor.interrupted().is_some()
            }),
        )
    }

    /// Starts a step whose statements run about `instructions` instructions.
    pub(super) fn count(&self, step: &'static str, instructions: u64) {
        *self.counting.step.lock().unwrap_or_else(PoisonError::into_inner) = step;
        self.counting.run.store(0, Ordering::Relaxed);
        self.counting.expected.store(instructions.max(1), Ordering::Relaxed);
        self.report(step, 0, instructions.max(1));
    }

    /// Stops counting instructions. The current step reports its progress with [`UpgradeWatch::report`].
    pub(super) fn count_no_more(&self) {
        self.counting.expected.store(0, Ordering::Relaxed);
    }

    /// Shows the progress of a step.
    pub(super) fn report(&self, step: &'static str, done: u64, total: u64) {
        show(&self.monitor, step, done, total);
    }

    /// Whether a signal has arrived.
    pub(super) fn is_over(&self) -> bool {
        self.monitor.interrupted().is_some()
    }

    /// The error to report instead of SQLite's, if a signal interrupted the statement.
    pub(super) fn interruption(&self, error: &rusqlite::Error) -> Option<crate::types::error::Error> {
        let interrupted = error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted);
        interrupted.then(|| self.monitor.check().err()).flatten()
    }
}

impl Counting {
    fn show(&self, monitor: &Handle) {
        let expected = self.expected.load(Ordering::Relaxed);
        if expected == 0 {
            return;
        }
        let run = self.run.fetch_add(EVERY.unsigned_abs().into(), Ordering::Relaxed);
        if self.pause.fetch_add(1, Ordering::Relaxed).is_multiple_of(8) {
            let step = *self.step.lock().unwrap_or_else(PoisonError::into_inner);
            // The total is an estimate, so stop below 100 % until the step is really done.
            show(monitor, step, run.min(expected - expected / 100), expected);
        }
    }
}

fn show(monitor: &Handle, step: &str, done: u64, total: u64) {
    let activity = Activity::Upgrade { step };
    monitor.progress(&Progress::new(activity, done, total, 0));
}
