//! What the process makes of the limits that the system sets it.

use crate::sys::memory;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::SIGXFSZ;
use std::sync::Arc;

/// To be called at the start, before keys are in memory.
///
/// A write beyond `ulimit -f` becomes an error of that write. There are no core dumps, which would hold keys: of a limit
/// of 1 byte no file can be made, and it is the one that the kernel minds also where a program collects the dumps.
pub(super) fn prepare() {
    // Both cannot fail in a way that should keep the program from its work.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    let current = Some(maximum.map_or(1, |maximum| maximum.min(1)));
    let _ = setrlimit(Resource::Core, Rlimit { current, maximum });
}

/// What readers of JSON get where there is no memory to make a document.
pub(super) fn answer_in_json() {
    memory::set_answer("{\"error\":\"There is not enough memory.\",\"exit_code\":100}\n");
}
