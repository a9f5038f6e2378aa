//! Long statements of SQLite: how far they are, and whether they are to stop.

use crate::monitor::{Activity, Handle, Monitor, Progress};
use rusqlite::{Connection, ErrorCode};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// So many instructions of SQLite's machine are run between two looks at the monitor: some milliseconds.
const EVERY: i32 = 20_000;

/// Shows how far an upgrade is, and stops its statements when a signal comes.
pub(super) struct Watch {
    monitor: Handle,
    counting: Arc<Counting>,
}

/// The instructions of a step whose work cannot be counted otherwise.
#[derive(Default)]
struct Counting {
    /// 0: the step is not counted in instructions.
    expected: AtomicU64,
    run: AtomicU64,
    step: Mutex<&'static str>,
    /// Looks until the next report.
    pause: AtomicUsize,
}

impl Watch {
    /// Over `monitor`.
    pub fn new(monitor: Handle) -> Self {
        Watch { monitor, counting: Arc::default() }
    }

    /// From now on all statements of `connection` stop when a signal comes, and tell how far they are where
    /// [`Watch::count`] was called.
    pub fn attach(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let (monitor, counting) = (self.monitor.clone(), Arc::clone(&self.counting));
        connection.progress_handler(
            EVERY,
            Some(move || {
                counting.show(&monitor);
                monitor.interrupted().is_some()
            }),
        )
    }

    /// The statements of `step` run about so many instructions.
    pub fn count(&self, step: &'static str, instructions: u64) {
        *self.counting.step.lock().unwrap_or_else(PoisonError::into_inner) = step;
        self.counting.run.store(0, Ordering::Relaxed);
        self.counting.expected.store(instructions.max(1), Ordering::Relaxed);
        self.report(step, 0, instructions.max(1));
    }

    /// The present step is one of which [`Watch::report`] tells.
    pub fn count_no_more(&self) {
        self.counting.expected.store(0, Ordering::Relaxed);
    }

    /// Shows how far a step is.
    pub fn report(&self, step: &'static str, done: u64, total: u64) {
        show(&self.monitor, step, done, total);
    }

    /// Whether a signal has come.
    pub fn is_over(&self) -> bool {
        self.monitor.interrupted().is_some()
    }

    /// The error behind one of SQLite, if it was interrupted because of a signal.
    pub fn interruption(&self, error: &rusqlite::Error) -> Option<crate::types::error::Error> {
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
            // The number is an estimate: it must not say that all is done while it is not.
            show(monitor, step, run.min(expected - expected / 100), expected);
        }
    }
}

fn show(monitor: &Handle, step: &str, done: u64, total: u64) {
    let activity = Activity::Upgrade { step };
    monitor.progress(&Progress { activity, done, total, bytes: 0, read_queue: 0.0, write_queue: 0.0 });
}
