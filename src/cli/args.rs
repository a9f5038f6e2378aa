//! The arguments: what may be given, what it is called, and what the help says about it.
//!
//! Scripts written for backy2 2.13 call these, so they are read as Python's argparse read them: long
//! options may be shortened while unambiguous, a repeated option counts once (the last), options may follow
//! positionals, `-5` is a value. Numbers and dates stay text here: a bad one is told by the command
//! and not as wrong usage.

use super::help;
use clap::{ArgAction, Args, Parser, Subcommand, ValueHint};
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
pub struct Cli {
    /// Options that stand before the command.
    #[command(flatten)]
    pub global: Global,
    /// What to do; none shows the usage.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options that stand before the command.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// Show debug messages on the console
    #[arg(short, long)]
    pub verbose: bool,
    /// As --verbose, and show the causes of errors
    #[arg(short, long)]
    pub debug: bool,
    /// For scripts: columns separated by "|", no messages but errors
    #[arg(short, long)]
    pub machine_output: bool,
    /// Print tables without their header
    #[arg(short, long)]
    pub skip_header: bool,
    /// Print sizes as "524 MiB"
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

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Create the tables of the metadata database
    Initdb,
    /// Make a self-contained installation: backy2 -b DIR init
    ///
    /// The folder must be empty or absent. It gets a configuration with a fresh random key, a database and a
    /// data folder. Keep a copy of the key elsewhere: without it the backups cannot be read. All other commands
    /// use the installation with the same -b DIR before them.
    #[command(override_usage = "backy2 -b DIR init")]
    Init,
    /// Back up an image or a block device
    Backup(BackupArgs),
    /// Write a version to a file or a block device
    Restore(RestoreArgs),
    /// Protect a version from being removed
    Protect(VersionArgs),
    /// Allow a protected version to be removed
    Unprotect(VersionArgs),
    /// Remove a version (its data goes with the next cleanup)
    Rm(RmArgs),
    /// Verify the stored data of a version
    Scrub(ScrubArgs),
    /// Write the metadata of a version to a file
    ///
    /// The dump holds no data and no tags: with it, the data store and the key, the version can be had again.
    Export(ExportArgs),
    /// Read the metadata of a version from a file that export wrote
    Import(ImportArgs),
    /// Delete data that no version needs any more
    ///
    /// Data stays for an hour after the last version that used it was removed.
    Cleanup(CleanupArgs),
    /// List versions
    Ls(LsArgs),
    /// List what past backups did
    Stats(StatsArgs),
    /// Compare two versions block by block, by their metadata
    DiffMeta(DiffMetaArgs),
    /// List the space that versions take
    Du(DuArgs),
    /// Mount all versions, to get at single files or to try a backup out
    ///
    /// Stays in the foreground until Ctrl-C, SIGTERM or umount. Below MOUNT there are by_version_uid/UID/data, the
    /// image, with small files beside it, and by_name/NAME/UID and by_name/NAME/latest, which lead there. What is
    /// written to an image is kept in a temporary file in cachedir, and is gone when the mount ends: no version ever
    /// changes.
    Fuse(FuseArgs),
    /// Serve versions as network block devices (NBD)
    ///
    /// Stays in the foreground until Ctrl-C or SIGTERM. Each version is an export, named by its uid, or as versions are
    /// named everywhere: NAME, NAME:latest, NAME:N. Unless --read-only is given, exports can be written: what a client
    /// writes becomes a version of its own, called "copy on write", when the client has left. The original never
    /// changes.
    ///
    /// Only root and the user that runs the server may connect, from this host; --any-user and --insecure change that.
    /// With --tls-certs it speaks TLS, and with --tls-verify only to clients with a certificate.
    Nbd(NbdArgs),
    /// Wrap all keys anew with the configured master key
    ///
    /// Put the new key into the configuration first; nothing else may run meanwhile. All keys are changed, or
    /// none. The data is not touched. Dumps that were exported before still need the old key.
    ///
    /// On the command line the old key would be seen by other users of this host, and stay in the shell's history.
    Rekey(RekeyArgs),
    /// Store a version anew in the configured encryption version
    ///
    /// Makes a new version with the tag migrated-encryption-to-N. The old one stays until rm.
    MigrateEncryption(VersionArgs),
    /// Copy the metadata into another database: SQLite or PostgreSQL
    ///
    /// The target is made, or must be empty; a PostgreSQL database and its user must be there. Nothing else may run
    /// meanwhile. What has arrived is compared with what was sent. The configured database stays as it is, and is
    /// used until [MetaBackend] engine is changed.
    MigrateDb(MigrateDbArgs),
    /// Bring the database of an older release to the current schema
    ///
    /// The first command that reads or changes blocks does it as well. The database from before stays beside the new one
    /// as NAME.before-upgrade.
    Upgrade,
    /// List what is to be done before release 2.13 uses the database from before the upgrade again
    ///
    /// Changes nothing. "before": with this program, before the old database is put back. "after": with 2.13, right
    /// after that, in this order. "lost": cannot be helped. Exit code 20 if there is anything to do, 0 if not.
    DowngradeCheck(DowngradeCheckArgs),
    /// List who holds what: versions in use, cleanups, commands that must be alone
    Locks(LocksArgs),
    /// Add tags to a version
    AddTag(TagArgs),
    /// Remove tags from a version
    RemoveTag(TagArgs),
    /// Set the date at which a version expires
    Expire(ExpireArgs),
    /// List the backups that should be made
    Due(ScheduleArgs),
    /// List where backups are not as the schedulers want them
    Sla(ScheduleArgs),
    /// Write the completions and manual pages into a folder (for packages)
    #[command(hide = true)]
    GenerateDocs {
        /// The folder; it is made if it is absent
        dir: PathBuf,
    },
}

/// Commands whose errors have exit codes of their own, and those whose errors have not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `backup`.
    Backup,
    /// `restore`.
    Restore,
    /// Any other.
    Other,
}

impl Command {
    /// How its errors map to exit codes.
    pub fn kind(&self) -> Kind {
        match self {
            Command::Backup(_) => Kind::Backup,
            Command::Restore(_) => Kind::Restore,
            _ => Kind::Other,
        }
    }

    /// Whether it looks for signals itself and ends in good order. The others have nothing to put in order,
    /// and end at once.
    pub fn minds_signals(&self) -> bool {
        // What goes to a pipe may have to wait for its reader, and there is nothing to put in order.
        if self.prints_data() {
            return false;
        }
        matches!(
            self,
            Command::Backup(_)
                | Command::Restore(_)
                | Command::Rm(_)
                | Command::Scrub(_)
                | Command::Cleanup(_)
                | Command::Export(_)
                | Command::MigrateEncryption(_)
                | Command::Upgrade
                | Command::Fuse(_)
                | Command::Nbd(_)
        )
    }

    /// Whether a signal also ends waits for other processes. A server has to store what its clients wrote.
    pub fn gives_up_waiting(&self) -> bool {
        !matches!(self, Command::Nbd(_))
    }

    /// Whether stdout gets data that no message may be mixed into.
    pub fn prints_data(&self) -> bool {
        matches!(self, Command::Export(args) if args.filename == "-")
    }

    /// The argument that must not show in a log.
    pub fn secret(&self) -> Option<&str> {
        match self {
            Command::Rekey(args) => args.oldkey.as_deref().filter(|key| *key != "-"),
            // It may hold a password.
            Command::MigrateDb(args) => Some(&args.target_engine),
            _ => None,
        }
    }
}

/// Arguments of `restore`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Example:\n  backy2 restore --sparse UID file:///var/lib/images/vm1.img")]
pub struct RestoreArgs {
    /// Write no zeros for sparse blocks: on an existing device old data may show there
    #[arg(short, long)]
    pub sparse: bool,
    /// Overwrite an existing target
    #[arg(short, long)]
    pub force: bool,
    /// Go on with an interrupted restore at this block, its "Last ID" [default: 0]
    #[arg(short, long, value_name = "BLOCK_ID")]
    pub continue_from: Option<String>,
    /// The version.
    #[arg(help = help::VERSION)]
    pub version_uid: String,
    /// Where to write it: file://PATH, rbd://POOL/IMAGE, null://, or a path that starts with /, ./ or ../
    pub target: String,
}

/// Arguments of commands that name a version and nothing else.
#[derive(Args, Clone, Debug, Default)]
pub struct VersionArgs {
    /// The version.
    #[arg(help = help::VERSION)]
    pub version_uid: String,
}

/// Arguments of `rm`.
#[derive(Args, Clone, Debug, Default)]
pub struct RmArgs {
    /// Remove it however young it is; a protected version stays
    #[arg(short, long)]
    pub force: bool,
    /// The version.
    #[arg(help = help::VERSION)]
    pub version_uid: String,
}

/// Arguments of `scrub`.
#[derive(Args, Clone, Debug, Default)]
pub struct ScrubArgs {
    /// Also compare with this source, byte for byte
    #[arg(short, long, value_name = "URL")]
    pub source: Option<String>,
    /// Verify only about this percentage of the blocks, 0 to 100
    #[arg(short, long, value_name = "N", default_value = "100")]
    pub percentile: String,
    /// The version.
    #[arg(help = help::VERSION)]
    pub version_uid: String,
}

/// Arguments of `cleanup`.
#[derive(Args, Clone, Debug, Default)]
pub struct CleanupArgs {
    /// Compare the whole store with the database; nothing else may run meanwhile
    #[arg(short, long)]
    pub full: bool,
    /// With --full: only data whose name begins so
    #[arg(short, long, value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// Do not wait for that hour. Dangerous while backups run!
    #[arg(long)]
    pub dangerous_force: bool,
    /// Delete nothing: tell what would be deleted (with -m: the names of the blobs)
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `stats`.
#[derive(Args, Clone, Debug, Default)]
pub struct StatsArgs {
    /// Columns, comma-separated [default: all]
    #[arg(short, long, value_name = "LIST")]
    pub fields: Option<String>,
    /// Only the newest N
    #[arg(short, long, value_name = "N")]
    pub limit: Option<String>,
    /// Only backups that made this version, which may have been removed: then its uid is needed
    pub version_uid: Option<String>,
}

/// Arguments of `diff-meta`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = help::DIFFERENCES)]
pub struct DiffMetaArgs {
    /// The one version, "left": named by uid, NAME or NAME:N as everywhere
    pub version_uid1: String,
    /// The other version, "right"
    pub version_uid2: String,
}

/// Arguments of `du`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = help::SPACE)]
pub struct DuArgs {
    /// Columns, comma-separated
    /// [default: Real,Null,Dedup Own,Dedup Others,Individual,Est. Space,Est. Space freed]
    #[arg(short, long, value_name = "LIST", verbatim_doc_comment)]
    pub fields: Option<String>,
    /// Only this version
    pub version_uid: Option<String>,
}

/// Arguments of `add-tag` and `remove-tag`.
#[derive(Args, Clone, Debug, Default)]
pub struct TagArgs {
    /// The version.
    #[arg(help = help::VERSION)]
    pub version_uid: String,
    /// Tags, comma-separated
    pub tags: String,
}

/// Arguments of `expire`.
#[derive(Args, Clone, Debug, Default)]
pub struct ExpireArgs {
    /// The version.
    #[arg(help = help::VERSION)]
    pub version_uid: String,
    /// The date in UTC: YYYY-MM-DD, or that with " HH:MM:SS" or "THH:MM:SS"; '' clears it
    pub expire: String,
}

/// Arguments of `due` and `sla`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = help::SCHEDULERS)]
pub struct ScheduleArgs {
    /// Sections of the configuration to go by, comma-separated
    #[arg(short, long, value_name = "LIST", default_value = "daily,weekly,monthly")]
    pub schedulers: String,
    /// Columns, comma-separated [default: all]
    #[arg(short, long, value_name = "LIST")]
    pub fields: Option<String>,
    /// Only this name, also if there is no version of it
    pub name: Option<String>,
}

/// Arguments of `ls`.
#[derive(Args, Clone, Debug, Default)]
pub struct LsArgs {
    /// Only versions of this snapshot
    #[arg(short, long, value_name = "NAME")]
    pub snapshot_name: Option<String>,
    /// Only versions with this tag
    #[arg(short, long)]
    pub tag: Option<String>,
    /// Only versions that are past their expiry
    #[arg(short, long)]
    pub expired: bool,
    /// Columns, comma-separated
    /// [default: date,name,snapshot_name,size,size_bytes,uid,valid,protected,tags,expire]
    #[arg(short, long, value_name = "LIST", verbatim_doc_comment)]
    pub fields: Option<String>,
    /// Only versions of this name
    pub name: Option<String>,
}

mod backup;
mod database;
mod servers;
pub use backup::BackupArgs;
pub use database::{DowngradeCheckArgs, ExportArgs, ImportArgs, LocksArgs, MigrateDbArgs, RekeyArgs};
pub use servers::{FuseArgs, NbdArgs};

#[cfg(test)]
mod tests;
