//! Reports a panic, which is a bug, in one line like any other error.

use super::log::{clean, console_line};
use crate::monitor::Level;
use crate::pool::threads::{is_shortage, is_stillborn};
use crate::sys::memory;
use std::io::Write;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

/// Installs the hook, unless `RUST_BACKTRACE` asks for the standard one.
pub(super) fn install() {
    let wanted = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    if !wanted {
        std::panic::set_hook(Box::new(|info| {
            let text = text(info);
            if is_stillborn(&text) {
                memory::end();
            }
            let line = console_line(Level::Error, &text);
            let _ = std::io::stderr().write_all(line.as_bytes());
        }));
    }
}

/// Runs `work`. Returns `None` if it has panicked; the hook has reported the panic by then.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    // The program ends after a panic, so a half-finished state does no harm.
    catch_unwind(AssertUnwindSafe(work)).ok()
}

fn text(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("unknown");
    let place = info.location().map(|place| format!(" at {place}")).unwrap_or_default();
    let message = clean(message);
    if is_shortage(&message) {
        return format!("The system gives no more threads or memory: {message}.");
    }
    format!("internal error{place}: {message}. This is a bug, please report it.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_leaves_no_result() {
        assert_eq!(guarded(|| 7), Some(7));
        // resume_unwind does not run the hook, which would print into the tests' output.
        assert_eq!(guarded(|| -> u8 { std::panic::resume_unwind(Box::new("x")) }), None);
    }
}
