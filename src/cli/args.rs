//! Definitions of all arguments, with their help texts.
//!
//! Scripts written for backy2 2.13 must still work, so arguments are parsed as Python's argparse did: long options may
//! be shortened if they stay unambiguous, the last one of a repeated option counts, options may follow positional
//! arguments, and `-5` is a value. Numbers and dates stay text here: the command reports a bad one, with its own exit
//! code instead of that for wrong usage.

use super::help;
use clap::{ArgAction, Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use std::ffi::OsString;
use std::path::PathBuf;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "backy2",
    version,
    about = "Block-level backup of images and block devices",
    after_help = help::EXIT_CODES,
    disable_version_flag = true,
    disable_help_subcommand = true,
    infer_long_args = true,
    args_override_self = true
)]
pub(crate) struct Cli {
    /// Options of all commands. They stand before the command, or behind it where it has none of the same name.
    #[command(flatten)]
    pub global: Global,
    /// The command. Without one the usage is shown.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of all commands. They stand before the command, or behind it where it has none of the same name.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Global {
    /// Show debug messages on the console
    #[arg(short, long)]
    pub verbose: bool,
    /// Like --verbose, and also show the causes of errors
    #[arg(short, long)]
    pub debug: bool,
    /// Print output for scripts: columns separated by "|", and no messages except errors
    #[arg(short, long)]
    pub machine_output: bool,
    /// Print tables without a header line
    #[arg(short, long)]
    pub skip_header: bool,
    /// Print sizes for people, such as "524 MiB"
    #[arg(short = 'r', long)]
    pub human_readable: bool,
    /// Print the result as one JSON document
    #[arg(long)]
    pub json: bool,
    /// Print the version and exit
    #[arg(short = 'V', long, action = ArgAction::Version)]
    pub version: Option<bool>,
    /// Read only this configuration file
    /// [default: /etc/backy.cfg, /etc/backy/backy.cfg, /etc/backy/conf.d/*, ~/.backy.cfg, ./backy.cfg]
    #[arg(short, long, value_name = "FILE", conflicts_with = "backupdir", verbatim_doc_comment)]
    pub configfile: Option<OsString>,
    /// Use the self-contained installation in this folder (see init)
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub backupdir: Option<OsString>,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Create the tables of the metadata database
    Initdb,
    /// Make a self-contained installation: backy2 -b DIR init
    ///
    /// The folder must be empty or absent. It gets a configuration with a new random key, a database and a data
    /// folder. Keep a copy of the key elsewhere: without it the backups cannot be read. To use the installation, give
    /// the same -b DIR with other commands.
    #[command(override_usage = "backy2 -b DIR init")]
    Init,
    /// Back up an image or a block device
    Backup(BackupArgs),
    /// Carry out the jobs of the configuration: back up what is due, prune, clean up, verify
    ///
    /// A job is a section [job:NAME]. If nothing is due, the command prints nothing. Backups of one job follow its
    /// schedulers or its retention rules. The failure of one job touches no other.
    Run(RunArgs),
    /// Write a version to a file or a block device
    Restore(RestoreArgs),
    /// Protect a version from being removed
    Protect(VersionArgs),
    /// Allow a protected version to be removed
    Unprotect(VersionArgs),
    /// Remove versions (their data goes with the next cleanup)
    Rm(RmArgs),
    /// Verify the stored data of a version
    Scrub(ScrubArgs),
    /// Write the metadata of a version to a file
    ///
    /// The dump has no data and no tags. The version can be recovered from the dump, the data store and the key.
    Export(ExportArgs),
    /// Read the metadata of a version from a file written by export
    Import(ImportArgs),
    /// Delete data that no version needs any more
    ///
    /// Data is kept for an hour after the last version that used it was removed.
    Cleanup(CleanupArgs),
    /// Show for each name how old its newest version is, and sums over all versions
    ///
    /// A name is late if its newest valid version is older than the shortest interval of its schedulers and their sla. The
    /// command changes nothing, and works beside all others. Names are cut to the width of a terminal, but not in a pipe.
    Status(StatusArgs),
    /// Write a report as one page of HTML: states, growth, a calendar of the versions, the slowest backups
    ///
    /// The page has no scripts and loads nothing from elsewhere, so that a browser can open it as a file and any web server
    /// can publish it. The file is replaced as a whole. A new file can be read by everybody (mode 0644), and an existing one
    /// keeps its mode. The command changes nothing else, and works beside all others.
    Report(ReportArgs),
    /// List versions
    Ls(LsArgs),
    /// List statistics of past backups
    Stats(StatsArgs),
    /// Compare two versions block by block, by their metadata
    DiffMeta(DiffMetaArgs),
    /// List the space that versions use
    Du(DuArgs),
    /// Mount all versions, to copy single files or to test a backup
    ///
    /// The command stays in the foreground until Ctrl-C, SIGTERM or umount. In MOUNT, by_version_uid/UID/data is the image
    /// of a version, and small files beside it describe the version. by_name/NAME/UID and by_name/NAME/latest are links to
    /// the folders of versions. Images can be written: changes are kept in a temporary file in cachedir and are lost when
    /// the mount ends. Versions never change.
    Fuse(FuseArgs),
    /// Serve versions as network block devices (NBD)
    ///
    /// The command stays in the foreground until Ctrl-C or SIGTERM. Each version is an export. Clients name it as other
    /// commands do: by its uid, NAME, NAME:latest or NAME:N. Exports can be written unless --read-only is given: when the
    /// client disconnects, its changes become a new version with the name "copy on write". The original never changes.
    ///
    /// Only root and the user who runs the server may connect, and only from this host; --any-user and --insecure change
    /// that. With --tls-certs the server uses TLS, and with --tls-verify it accepts only clients with a certificate.
    Nbd(NbdArgs),
    /// Change the master key: encrypt the keys of all blobs with the configured one
    ///
    /// Put the new key into the configuration first. No other command may run at the same time. Either all keys are
    /// changed, or none. The stored data does not change. Dumps that were exported earlier still need the old key.
    ///
    /// If the old key is given on the command line, other users of this host can see it, and the shell's history keeps
    /// it.
    Rekey(RekeyArgs),
    /// Copy a version, with the copy in the configured encryption version
    ///
    /// The new version gets the tag migrated-encryption-to-N. The old version stays until it is removed with rm.
    MigrateEncryption(VersionArgs),
    /// Copy the metadata into another database: SQLite or PostgreSQL
    ///
    /// A SQLite target is created if it does not exist; a PostgreSQL database and its user must exist. The target must be
    /// empty. No other command may run at the same time. The copy is compared with the original. The configured database
    /// does not change, and stays in use until [MetaBackend] engine is changed.
    MigrateDb(MigrateDbArgs),
    /// Make a lost database anew from the copies of the metadata in the data store
    ///
    /// Backups keep such copies beside the blobs. The configuration must name the data store, and have the encryption_key
    /// of the installation. The configured database must be empty, or not exist yet. No other command may run at the same
    /// time. A rebuild that is interrupted leaves no rows behind, and can be run again. Damaged copies are named and left
    /// out; the exit code is 20 then, and also if versions are not valid any more.
    Rebuild(RebuildArgs),
    /// Upgrade the database of an older release to the current schema
    ///
    /// The first command that reads or changes blocks does this as well. The old SQLite database is kept beside the new
    /// one as NAME.before-upgrade.
    Upgrade,
    /// List the steps that are needed to go back to release 2.13 and the old database
    ///
    /// The command changes nothing. Steps marked "before" are done with this program before the old database is put back.
    /// Steps marked "after" are done with 2.13 right after that, in this order. "lost" marks losses that cannot be
    /// avoided. The exit code is 20 if there is anything to do, and 0 otherwise.
    DowngradeCheck(DowngradeCheckArgs),
    /// Check whether the installation is sound: configuration, database, data store, keys, versions
    ///
    /// The command changes nothing, and works beside running backups. It compares the names and sizes of all blobs with the
    /// database, and reads their data only with --read. With --write-metadata it writes the copies of the metadata that
    /// the data store lacks, from which `rebuild` could make a lost database anew. The exit code is 20 if anything is
    /// wrong, and 0 otherwise: warnings need no action. `scrub` verifies all data of one version, and marks what is bad.
    Check(CheckArgs),
    /// List locks: versions in use, cleanups, and commands that must run alone
    Locks(LocksArgs),
    /// Add tags to a version
    AddTag(TagArgs),
    /// Remove tags from a version
    RemoveTag(TagArgs),
    /// Set the date at which a version expires
    Expire(ExpireArgs),
    /// List the backups that are due
    Due(ScheduleArgs),
    /// List where the backups do not match the schedulers
    ///
    /// Nothing is listed if all is well. A scheduler is judged by the newest versions with its tag, as many as it keeps.
    Sla(SlaArgs),
    /// Remove the versions that have expired, and those that no rule keeps
    ///
    /// The rules are those of the configuration ([retention]), unless --keep-... options are given, which replace all of
    /// them. Without rules for a name, only its expired versions go. Protected versions, young ones
    /// (disallow_rm_when_younger_than_days), those in use and the last valid version of each name always stay. The table
    /// says for each version why it stays or goes. The data goes with the next cleanup.
    Prune(PruneArgs),
    /// Print the completions for a shell
    #[command(after_help = "Example:\n  backy2 completion bash > /etc/bash_completion.d/backy2")]
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Write the completions and manual pages into a folder (for packages)
    #[command(hide = true)]
    GenerateDocs {
        /// The folder. It is created if it does not exist
        dir: PathBuf,
    },
}

/// Kinds of commands that differ in the exit codes of their errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandKind {
    /// `backup`.
    Backup,
    /// `restore`.
    Restore,
    /// `sla --check` and `status --check`, which a monitoring system runs.
    Monitoring,
    /// Any other.
    Other,
}

impl Command {
    /// The kind, which decides the exit codes of errors.
    pub(crate) fn kind(&self) -> CommandKind {
        match self {
            Command::Backup(_) => CommandKind::Backup,
            Command::Restore(_) => CommandKind::Restore,
            Command::Sla(args) if args.check => CommandKind::Monitoring,
            Command::Status(args) if args.check => CommandKind::Monitoring,
            _ => CommandKind::Other,
        }
    }

    /// Whether the command handles signals itself and ends in good order. The others have nothing to clean up and end
    /// at once.
    pub(crate) fn minds_signals(&self) -> bool {
        // A write to a pipe may have to wait for the reader, and there is nothing to clean up.
        if self.prints_data() {
            return false;
        }
        matches!(
            self,
            Command::Backup(_)
                | Command::Run(_)
                | Command::Restore(_)
                | Command::Rm(_)
                | Command::Prune(_)
                | Command::Scrub(_)
                | Command::Cleanup(_)
                | Command::Export(_)
                | Command::Report(_)
                | Command::MigrateEncryption(_)
                | Command::Rebuild(_)
                | Command::Upgrade
                | Command::Fuse(_)
                | Command::Nbd(_)
        )
    }

    /// Whether a signal also ends waits for other processes. A server first stores what its clients have written.
    pub(crate) fn gives_up_waiting(&self) -> bool {
        !matches!(self, Command::Nbd(_))
    }

    /// Whether stdout is used for data, so that messages must not go there.
    pub(crate) fn prints_data(&self) -> bool {
        match self {
            Command::Export(args) => args.filename == "-",
            Command::Report(args) => args.file == "-",
            _ => false,
        }
    }

    /// The argument that must not appear in a log.
    pub(crate) fn secret(&self) -> Option<&str> {
        match self {
            Command::Rekey(args) => args.oldkey.as_deref().filter(|key| *key != "-"),
            // It may contain a password.
            Command::MigrateDb(args) => Some(&args.target_engine),
            _ => None,
        }
    }
}

/// Arguments of `restore`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Example:\n  backy2 restore --sparse UID file:///var/lib/images/vm1.img")]
pub(crate) struct RestoreArgs {
    /// Do not write zeros for sparse blocks. On an existing device old data may remain there
    #[arg(short, long)]
    pub sparse: bool,
    /// Overwrite an existing target
    #[arg(short, long)]
    pub force: bool,
    /// Continue an interrupted restore at this block, its "Last ID" [default: 0]
    #[arg(short, long, value_name = "BLOCK_ID")]
    pub continue_from: Option<String>,
    /// The version.
    #[arg(help = help::VERSION)]
    pub version_uid: String,
    /// The target: file://PATH, rbd://POOL/IMAGE, null://, or a path that starts with /, ./ or ../
    pub target: String,
}

/// Arguments of commands that name a version and nothing else.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct VersionArgs {
    /// The version.
    #[arg(help = help::VERSION)]
    pub version_uid: String,
}

/// Arguments of `rm`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RmArgs {
    /// Remove versions even if they are young. A protected version is never removed
    #[arg(short, long)]
    pub force: bool,
    /// Remove nothing, and show what would be removed (with -m: the uids)
    #[arg(long)]
    pub dry_run: bool,
    /// The versions, by uid, the first 6 or more characters of it, NAME:latest, or NAME:N (0 is the newest). A name alone
    /// is not enough
    #[arg(required = true)]
    pub version_uid: Vec<String>,
}

/// Arguments of `scrub`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ScrubArgs {
    /// Also compare the version with this source, byte for byte
    #[arg(short, long, value_name = "URL")]
    pub source: Option<String>,
    /// Verify about N percent of the blocks, chosen at random (0 to 100)
    #[arg(short, long, value_name = "N", default_value = "100")]
    pub percentile: String,
    /// The version.
    #[arg(help = help::VERSION)]
    pub version_uid: String,
}

/// Arguments of `cleanup`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CleanupArgs {
    /// Compare the whole store with the database. No other command may run at the same time
    #[arg(short, long)]
    pub full: bool,
    /// With --full: consider only blobs whose names begin with PREFIX
    #[arg(short, long, value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// Do not wait for an hour. This is dangerous while backups run! With --full: delete even more than half of the blobs
    #[arg(long)]
    pub dangerous_force: bool,
    /// Delete nothing, and show what would be deleted (with -m: the names of the blobs)
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `add-tag` and `remove-tag`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct TagArgs {
    /// The version.
    #[arg(help = help::VERSION)]
    pub version_uid: String,
    /// Tags, comma-separated
    pub tags: String,
}

/// Arguments of `expire`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ExpireArgs {
    /// The version.
    #[arg(help = help::VERSION)]
    pub version_uid: String,
    /// The date in UTC: YYYY-MM-DD, optionally followed by " HH:MM:SS" or "THH:MM:SS"; or a time from now on, such as 30d. An
    /// empty date ('') removes it
    pub expire: String,
}

mod backup;
mod database;
mod listings;
mod report;
mod run;
mod schedules;
mod servers;
mod status;
pub(crate) use backup::BackupArgs;
pub(crate) use database::{
    CheckArgs, DowngradeCheckArgs, ExportArgs, ImportArgs, LocksArgs, MigrateDbArgs, RebuildArgs, RekeyArgs,
};
pub(crate) use listings::{DiffMetaArgs, DuArgs, LsArgs, StatsArgs};
pub(crate) use report::ReportArgs;
pub(crate) use run::RunArgs;
pub(crate) use schedules::{PruneArgs, ScheduleArgs, SlaArgs};
pub(crate) use servers::{FuseArgs, NbdArgs};
pub(crate) use status::StatusArgs;

#[cfg(test)]
mod tests;
