//! The only place that starts threads. The system may refuse to start one because of a limit on processes or memory.
//! Threads that already run must not wait for it then.

use super::Latch;
use crate::failpoint;
use crate::sys::memory;
use crate::types::error::{Error, Result};
use crate::types::reason::because;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

/// Starts the threads of one run, all in the same scope and with the same latch.
pub(crate) struct Crew<'scope, 'env: 'scope> {
    scope: &'scope Scope<'scope, 'env>,
    latch: &'env Latch,
}

impl<'scope, 'env> Crew<'scope, 'env> {
    /// A crew that has no threads yet. An error in one of them closes `latch`.
    pub(crate) fn new(scope: &'scope Scope<'scope, 'env>, latch: &'env Latch) -> Self {
        Crew { scope, latch }
    }

    /// Starts a thread. A panic in it closes the latch, as any other error of a run does.
    ///
    /// Returns `None` if the thread cannot be started. The latch then holds the reason. The caller has to drop all its
    /// ends of channels, so that the running threads end.
    #[must_use = "threads that run wait for those that could not be started"]
    pub(crate) fn start(&self, work: impl FnOnce() + Send + 'scope) -> Option<()> {
        let latch = self.latch;
        let guarded = move || {
            // The run is given up, so a state left half-done by the panic does not matter.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(work)) {
                let text = payload.downcast_ref::<String>().map(String::as_str);
                match text.or_else(|| payload.downcast_ref::<&str>().copied()) {
                    Some(text) if is_shortage(text) => latch.fail(Error::resources(text.to_owned())),
                    _ => latch.fail(Error::internal("a thread has panicked")),
                }
            }
        };
        start_scoped(self.scope, guarded).map(drop).map_err(|error| latch.fail(error)).ok()
    }
}

impl Drop for Crew<'_, '_> {
    fn drop(&mut self) {
        // The threads must not wait for their leader if it has panicked.
        if std::thread::panicking() {
            self.latch.fail(Error::internal("the thread that leads the others has panicked"));
        }
    }
}

/// Starts a thread of `scope` that the caller can wait for.
///
/// # Errors
/// [`Error::Resources`].
pub(crate) fn start_scoped<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    check()?;
    Builder::new().spawn_scoped(scope, work).map_err(refused)
}

/// Starts a thread with the name `name`, which may outlive the caller.
///
/// # Errors
/// [`Error::Resources`].
pub(crate) fn start_alone(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    check()?;
    Builder::new().name(name.to_owned()).spawn(work).map_err(refused)
}

/// Checks that `count` more threads can be started, for a library that starts threads itself and does not report
/// failures.
///
/// # Errors
/// [`Error::Resources`].
pub(crate) fn can_start(count: usize) -> Result<()> {
    let latch = Latch::default();
    let (hold, held) = crossbeam_channel::bounded::<()>(0);
    let held = &held;
    std::thread::scope(|scope| {
        let _hold = hold;
        let crew = Crew::new(scope, &latch);
        (0..count).try_for_each(|_| crew.start(move || _ = held.recv()))
    });
    latch.into_result()
}

/// The error for a thread that did not start, with advice.
pub(crate) fn refused(error: io::Error) -> Error {
    let advice = "A limit on processes (`ulimit -u`, TasksMax= of a systemd unit, pids.max of a cgroup) or on memory \
                  (`ulimit -v`) is reached. Raise it, or lower the simultaneous_* settings.";
    Error::resources(because("cannot start a thread", error).advise(advice))
}

/// Whether the text of a panic means that a library or the thread itself could not start: a shortage, not a bug.
pub(crate) fn is_shortage(panic: &str) -> bool {
    const WORDS: [&str; 3] =
        ["failed to spawn thread", "OS can't spawn worker thread", "zstd returned null pointer"];
    WORDS.iter().any(|words| panic.contains(words)) || is_stillborn(panic)
}

/// Whether the text is that of a new thread which found no memory for its own start. Nothing can catch that panic.
pub(crate) fn is_stillborn(panic: &str) -> bool {
    panic.contains("failed to") && panic.contains("alternative stack")
}

/// Bytes that a new thread needs: its stack, and the allocations of Rust and the C library before its own work begins.
/// A shortage there ends the process (glibc: "failed to register TLS destructor"), so it has to be detected before.
const ROOM: u64 = (2 << 20) + (16 << 20);

/// Whether a thread may be started. Tests can make this fail.
fn check() -> Result<()> {
    if failpoint::fails("thread-start") {
        return Err(refused(rustix::io::Errno::AGAIN.into()));
    }
    if !memory::has_room(ROOM) {
        return Err(refused(rustix::io::Errno::NOMEM.into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_thread_closes_the_latch_and_no_one_waits() {
        let latch = Latch::default();
        std::thread::scope(|scope| {
            // `resume_unwind` does not run the panic hook, which keeps the output of the tests clean.
            Crew::new(scope, &latch).start(|| std::panic::resume_unwind(Box::new("x"))).expect("started");
        });
        assert!(matches!(latch.into_result(), Err(Error::Internal(_))));
    }

    #[test]
    fn threads_can_be_tried_out() {
        can_start(3).expect("the machine has threads");
        let handle = start_alone("name", || assert_eq!(std::thread::current().name(), Some("name")));
        handle.expect("started").join().expect("as named");
    }

    #[test]
    fn shortages_and_bugs_are_distinguished() {
        assert!(is_shortage("failed to spawn thread: Os { code: 11, kind: WouldBlock }"));
        assert!(is_shortage("failed to allocate an alternative stack: Cannot allocate memory (os error 12)"));
        assert!(!is_shortage("index out of bounds"));
    }
}
