//! Remedies: kinds of options and commands that help the user after an error.
//!
//! The layers below `cli` do not know the options of the command line. They name a kind, and `cli::remedy` says which
//! option or command it is.

use super::uid::VersionUid;
use std::path::PathBuf;

/// A kind of option or command that helps the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Name an existing configuration, or let the program look for one.
    NameExistingConfig,
    /// Write a configuration where the program looks for one, or name one.
    WriteConfig,
    /// Run the command in another folder, or name a configuration.
    LeaveFolder,
    /// Make the database anew from what the store holds.
    RebuildDatabase,
    /// Put the database aside, and make it anew from what the store holds.
    RebuildInstead,
    /// Make a new installation in this folder.
    MakeInstallation(PathBuf),
    /// Back up a source although it is empty.
    AllowEmptySource,
    /// Serve versions so that nobody can write to them.
    ServeReadOnly,
    /// Remove a version although it is young.
    IgnoreAge,
    /// Let a full cleanup delete most of a store.
    DeleteMost,
    /// Remove the blocks of a version in several turns, with a cleanup that forces space free in between.
    Alternate {
        /// The number of blocks that are removed already.
        removed: u64,
        /// The version.
        version: VersionUid,
    },
    /// Restore to a target although it exists.
    OverwriteTarget,
    /// Base the backup on another version, or on none.
    OtherBase,
    /// Let the backup make the snapshot itself, or back up this snapshot in the ordinary way.
    LeaveSnapshotOut(String),
    /// Serve with certificates, to this host alone, or to everybody.
    SecureServer,
    /// Listen on another address or port.
    ListenElsewhere,
    /// Name an unused path for the socket.
    OtherSocket,
    /// Ask the clients of a server for certificates.
    AskForCertificates,
    /// Let the clients of all users of this host connect to a server.
    AdmitAllUsers,
    /// Run the command that continues the work.
    Continue(Continuation),
    /// Remove this incomplete version.
    RemoveIncomplete(VersionUid),
    /// Start again. The data of this incomplete version is reused, and then the version can be removed.
    StartAgain(VersionUid),
    /// Delete blobs that nothing names. They have this many bytes; 0 if that is not known.
    DeleteUnknown(u64),
    /// Check whether the installation is sound.
    CheckInstallation,
    /// Write the copies of the metadata in the store that are missing or not up to date.
    WriteCopies,
    /// Delete the copies of metadata that the database does not know.
    DeleteForeignCopies,
    /// Delete the files that killed backups have left in the store.
    DeleteUnfinished,
    /// Continue the backups that left incomplete versions, or remove these.
    ContinueVersion,
}

/// Work that failed, and that a command can continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Continuation {
    /// A backup.
    Backup {
        /// The incomplete version.
        version: VersionUid,
        /// URL of the source.
        source: String,
        /// Name of the version.
        name: String,
    },
    /// A restore.
    Restore {
        /// The version.
        version: VersionUid,
        /// URL of the target.
        target: String,
        /// The block to continue from.
        from: u64,
        /// Leave sparse blocks out.
        sparse: bool,
        /// Write to an existing target.
        force: bool,
    },
}
