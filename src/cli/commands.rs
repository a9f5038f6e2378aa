//! The commands. Each file turns arguments into one call of the engine, and the result into text.

mod backup;
mod catalogue;
mod check;
mod cleanup;
mod du;
mod fuse;
mod generate;
mod init;
mod keys;
mod locks;
pub(crate) mod ls;
mod nbd;
mod prune;
mod rebuild;
mod report;
mod restore;
mod run;
mod schedule;
mod scrub;
pub(crate) mod stats;
mod status;
mod transfer;
mod upgrade;

use super::Context;
use super::args::Command;
use super::exit::Outcome;
use super::facts::Facts;
use crate::monitor::Monitor;
use crate::types::error::Result;

pub(crate) use generate::{completion, generate};
pub(crate) use init::init;

/// Runs a command other than `init`, which adds what it learns to `facts`.
///
/// # Errors
/// Those of the command.
pub(crate) fn run(context: &Context, command: &Command, facts: &mut Facts) -> Result<Outcome> {
    warn_of_weak_checksums(context, command);
    match command {
        Command::Initdb | Command::Init => init::initdb(context),
        Command::Backup(args) => backup::run(context, args, facts),
        Command::Restore(args) => restore::run(context, args, facts),
        Command::Run(args) => run::run(context, args, facts),
        Command::Protect(args) => catalogue::set_protected(context, args, true),
        Command::Unprotect(args) => catalogue::set_protected(context, args, false),
        Command::Rm(args) => catalogue::rm(context, args, facts),
        Command::Prune(args) => prune::run(context, args),
        Command::Scrub(args) => scrub::run(context, args, facts),
        Command::Cleanup(args) => cleanup::run(context, args),
        Command::Status(args) => status::run(context, args),
        Command::Report(args) => report::run(context, args),
        Command::Ls(args) => ls::run(context, args),
        Command::Stats(args) => stats::run(context, args),
        Command::Du(args) => du::run(context, args),
        Command::DiffMeta(args) => transfer::diff_meta(context, args),
        Command::Export(args) => transfer::export(context, args),
        Command::Import(args) => transfer::import(context, args),
        Command::Rekey(args) => keys::rekey(context, args),
        Command::MigrateEncryption(args) => keys::migrate(context, args),
        Command::MigrateDb(args) => init::migrate_db(context, args),
        Command::Rebuild(args) => rebuild::run(context, args),
        Command::Upgrade => upgrade::upgrade(context),
        Command::DowngradeCheck(args) => upgrade::downgrade_check(context, args),
        Command::Check(args) => check::run(context, args),
        Command::Locks(args) => locks::run(context, args),
        Command::AddTag(args) => schedule::add_tag(context, args),
        Command::RemoveTag(args) => schedule::remove_tag(context, args),
        Command::Expire(args) => schedule::expire(context, args),
        Command::Fuse(args) => fuse::run(context, args),
        Command::Nbd(args) => nbd::run(context, args),
        Command::Due(args) => schedule::due(context, args),
        Command::Sla(args) => schedule::sla(context, args),
        Command::GenerateDocs { dir } => generate(dir),
        Command::Completion { shell } => context.terminal.print(&completion(*shell)?).map(|()| Outcome::Done),
    }
}

/// Warns if the configured checksum is weak. Existing installations may go on using it.
fn warn_of_weak_checksums(context: &Context, command: &Command) {
    let stores = matches!(command, Command::Backup(_) | Command::MigrateEncryption(_) | Command::Initdb)
        || matches!(command, Command::Nbd(args) if !args.read_only);
    let function = context.config.hash_function;
    if stores && function.is_weak() {
        context.terminal.notice(&format!(
            "hash_function {function}: somebody can make two different blocks with the same checksum on \
             purpose, and one is then restored in place of the other. If others decide what is backed up, \
             make a new installation with sha512."
        ));
    }
}
