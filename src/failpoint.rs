//! Places where a test can make a call fail, or kill the program as `kill -9` or a power cut would.
//!
//! They exist only in builds with debug assertions. A release build contains none of this code.

#[cfg(test)]
pub(crate) mod recorder;

#[cfg(debug_assertions)]
use std::sync::Mutex;
#[cfg(debug_assertions)]
static ARMED: Mutex<Option<(String, u64)>> = Mutex::new(None);

/// Arms one failpoint: `NAME` or `NAME:N`. It triggers at its N-th passing (1 = the first).
///
/// The command line calls this with the value of `BACKY2_FAILPOINT`.
#[cfg(debug_assertions)]
pub(crate) fn arm(spec: &str) {
    let (name, nth) = match spec.split_once(':') {
        Some((name, nth)) => (name, nth.parse().unwrap_or(1)),
        None => (spec, 1),
    };
    if let Ok(mut armed) = ARMED.lock() {
        *armed = Some((name.to_owned(), nth));
    }
}

/// Does nothing in a release build.
#[cfg(not(debug_assertions))]
pub(crate) fn arm(_spec: &str) {}

/// Whether the call `name` should fail: its failpoint is armed, and this is the chosen passing.
#[cfg(debug_assertions)]
pub(crate) fn fails(name: &str) -> bool {
    let Ok(mut armed) = ARMED.lock() else { return false };
    match armed.as_mut() {
        Some((wanted, left)) if wanted == name && *left > 0 => {
            *left -= 1;
            *left == 0
        }
        _ => false,
    }
}

/// Always false in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn fails(_name: &str) -> bool {
    false
}

/// Ends the process at once if the failpoint `name` is armed and this is the chosen passing.
#[cfg(debug_assertions)]
pub(crate) fn pass(name: &str) {
    if fails(name) {
        let me = rustix::process::getpid();
        let _ = rustix::process::kill_process(me, rustix::process::Signal::KILL);
        // The signal is on its way. Nothing more may happen until it arrives.
        loop {
            std::thread::park();
        }
    }
}

/// Does nothing in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn pass(_name: &str) {}

/// Notes a step of a command, for tests that compare the order of steps. Does nothing in other builds.
pub(crate) fn note(_step: &str) {
    #[cfg(test)]
    recorder::note(_step);
}
