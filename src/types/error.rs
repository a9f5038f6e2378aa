//! The errors of the program. Each error says what it is about and what the user can do.

use super::uid::VersionUid;
use std::path::PathBuf;

/// The result type of everything below the command line.
pub type Result<T> = std::result::Result<T, Error>;

/// A signal that asked the program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: the terminal was closed.
    Hangup,
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Signal {
    /// All signals that end the program.
    pub const ALL: [Signal; 3] = [Signal::Hangup, Signal::Interrupt, Signal::Terminate];

    /// The number of the signal, which is the same on all systems.
    pub fn number(self) -> u8 {
        match self {
            Signal::Hangup => 1,
            Signal::Interrupt => 2,
            Signal::Terminate => 15,
        }
    }

    /// The name of the signal, such as `SIGTERM`.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Hangup => "SIGHUP",
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
        }
    }

    /// The signal with this number, if it is one of these three.
    pub fn from_number(number: usize) -> Option<Signal> {
        Self::ALL.into_iter().find(|signal| usize::from(signal.number()) == number)
    }
}

/// Every error of the engine and of the layers below it.
///
/// `cli::exit` maps each kind to an exit code.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is missing, unreadable or holds a bad value. The text names the file, the section and the
    /// key. It never contains key material.
    #[error("{0}")]
    Config(String),

    /// The database has no tables, or the file is not a database.
    #[error("{0}")]
    Database(String),

    /// The database returned an error during use.
    #[error("database {database}: {message}")]
    Metadata {
        /// The engine's URL with its password masked.
        database: String,
        /// The database's message, and the operation that failed.
        message: String,
    },

    /// The file system that holds the database is full.
    #[error("database {database}: {message}")]
    Full {
        /// The engine's URL with its password masked.
        database: String,
        /// The operation that failed, and what the user can do.
        message: String,
    },

    /// There is no such version.
    #[error("Version {0} not found. `backy2 ls` lists them.")]
    VersionNotFound(String),

    /// There is no such version. The text lists similar ones, one per line. Code that builds such a text must pass
    /// each part from outside through [`super::text::line`].
    #[error("{0}")]
    Similar(String),

    /// Another process holds a lock.
    #[error("{0}")]
    Locked(String),

    /// The command refuses to do this, for example because the version is protected or too young.
    #[error("{0}")]
    Refused(String),

    /// The file is not a hints file, or its hints do not fit the source.
    #[error("{0}")]
    Hints(String),

    /// The source differs from the base version in a place that the hints call unchanged.
    #[error(
        "Source and base version {base} differ outside of the hints, at block {block} (offset {offset}). \
         The hints are of another image or of another snapshot. Nothing was kept of this backup."
    )]
    BaseMismatch {
        /// The base version.
        base: VersionUid,
        /// The block that differs.
        block: u64,
        /// The start of that block, in bytes.
        offset: u64,
    },

    /// The source differs from the version that the user wants to continue.
    #[error(
        "Source and version {version}, which was to be continued, differ at block {block} (offset \
         {offset}). The source is not the same as before, or it was written to since then. Nothing was \
         done: start a new backup, which reuses the stored data."
    )]
    ContinueMismatch {
        /// The version that was to be continued.
        version: VersionUid,
        /// The block that differs.
        block: u64,
        /// The start of that block, in bytes.
        offset: u64,
    },

    /// A source cannot be opened or read.
    #[error("{url}: {message}")]
    Source {
        /// The URL as the user gave it.
        url: String,
        /// What went wrong, and where.
        message: String,
    },

    /// A Ceph pool, image or snapshot in the URL does not exist.
    #[error("{url}: {message}")]
    NoSuchImage {
        /// The URL as the user gave it.
        url: String,
        /// What does not exist.
        message: String,
    },

    /// A restore target exists and the user did not force its use, or it is too small. The text has two lines, as in
    /// 2.13. Parts from outside have passed [`super::text::line`].
    #[error("{0}")]
    TargetRefused(String),

    /// A target cannot be created or written.
    #[error("{url}: {message}")]
    Target {
        /// The URL as the user gave it.
        url: String,
        /// What went wrong, and where.
        message: String,
    },

    /// The data store cannot be reached, read or written.
    #[error("data store {store}: {message}")]
    Store {
        /// The location of the store.
        store: String,
        /// What went wrong, and with which blob.
        message: String,
    },

    /// The master key cannot decrypt the blobs.
    #[error("{0}")]
    WrongKey(String),

    /// A lock file cannot be created.
    #[error("cannot use lock_dir {path}: {message}", path = path.display())]
    LockDir {
        /// The configured folder.
        path: PathBuf,
        /// What went wrong.
        message: String,
    },

    /// A signal ended the command. Data that was safely stored is kept.
    #[error("interrupted")]
    Interrupted(Signal),

    /// Import: the version exists already.
    #[error("{0}")]
    VersionExists(String),

    /// Import: the file is not a dump.
    #[error("{0}")]
    DumpFormat(String),

    /// The system refused to start a thread or to provide memory.
    #[error("{0}")]
    Resources(String),

    /// A worker thread ended without a result. This is a bug, reported as an error instead of a panic.
    #[error("internal error: {0}")]
    Internal(String),
}
