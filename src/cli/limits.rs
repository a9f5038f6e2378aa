//! Resource limits of the process.

use crate::sys::memory;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::SIGXFSZ;
use std::sync::Arc;

/// Call this at the start, before keys are in memory.
///
/// It makes a write beyond `ulimit -f` fail with an error instead of killing the process. And it prevents core dumps,
/// which would hold keys: a limit of 1 byte leaves no room for a dump file, and the kernel also respects it if a
/// program collects the dumps.
pub(super) fn prepare() {
    // If one of these fails, the program can still do its work.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    let current = Some(maximum.map_or(1, |maximum| maximum.min(1)));
    let _ = setrlimit(Resource::Core, Rlimit { current, maximum });
}

/// Sets the JSON document that is printed if memory runs out.
pub(super) fn answer_in_json() {
    memory::set_answer("{\"error\":\"There is not enough memory.\",\"exit_code\":100}\n");
}
