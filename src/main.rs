//! The `backy2` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    backy2::cli::main()
}
