//! The `backy2` command.

use backy2::sys::memory::Careful;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: Careful = Careful;

fn main() -> ExitCode {
    backy2::cli::main()
}
