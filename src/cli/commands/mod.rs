//! The commands: each file turns arguments into one call of the engine, and its result into text.

mod backup;
mod catalogue;
mod cleanup;
mod init;
pub mod ls;
mod restore;
mod scrub;

use super::Context;
use super::args::Command;
use super::exit::Outcome;
use crate::types::error::Result;

pub use init::init;

/// Runs a command other than `init`.
///
/// # Errors
/// Those of the command.
pub fn run(context: &Context, command: &Command) -> Result<Outcome> {
    match command {
        Command::Initdb | Command::Init => init::initdb(context),
        Command::Backup(args) => backup::run(context, args),
        Command::Restore(args) => restore::run(context, args),
        Command::Protect(args) => catalogue::protect(context, args, true),
        Command::Unprotect(args) => catalogue::protect(context, args, false),
        Command::Rm(args) => catalogue::rm(context, args),
        Command::Scrub(args) => scrub::run(context, args),
        Command::Cleanup(args) => cleanup::run(context, args),
        Command::Ls(args) => ls::run(context, args),
    }
}
