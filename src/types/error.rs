//! What can go wrong, as types: each error says what it was about and what to do.

use super::uid::VersionUid;
use std::path::PathBuf;

/// The result of everything below the command line.
pub type Result<T> = std::result::Result<T, Error>;

/// How a signal asked the program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: the terminal is gone.
    Hangup,
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Signal {
    /// All of them.
    pub const ALL: [Signal; 3] = [Signal::Hangup, Signal::Interrupt, Signal::Terminate];

    /// Its number, which is the same on all systems.
    pub fn number(self) -> u8 {
        match self {
            Signal::Hangup => 1,
            Signal::Interrupt => 2,
            Signal::Terminate => 15,
        }
    }

    /// Its name, `SIGTERM`.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Hangup => "SIGHUP",
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
        }
    }

    /// The signal of that number.
    pub fn from_number(number: usize) -> Option<Signal> {
        Self::ALL.into_iter().find(|signal| usize::from(signal.number()) == number)
    }
}

/// Every error of the engine and of what is below it.
///
/// `cli::exit` maps the kinds to exit codes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is missing, unreadable or holds a bad value. The text names file, section and
    /// key; it never holds key material.
    #[error("{0}")]
    Config(String),

    /// The database has no tables, or is no database.
    #[error("{0}")]
    Database(String),

    /// The database gave an error while it was used.
    #[error("database {database}: {message}")]
    Metadata {
        /// The engine's URL with its password masked.
        database: String,
        /// What the database said, and what was being done.
        message: String,
    },

    /// The disk that the database is on is full.
    #[error("database {database}: {message}")]
    Full {
        /// The engine's URL with its password masked.
        database: String,
        /// What was being done, and what to do.
        message: String,
    },

    /// There is no such version.
    #[error("Version {0} not found. `backy2 ls` lists them.")]
    VersionNotFound(String),

    /// There is no such version, but similar ones are listed below, one a line. Whoever makes such a text passes each
    /// part from outside through [`super::text::line`].
    #[error("{0}")]
    Similar(String),

    /// Another process holds a lock.
    #[error("{0}")]
    Locked(String),

    /// The command cannot be done as asked: protected, too young, already so, and the like.
    #[error("{0}")]
    Refused(String),

    /// The hints file is not one, or does not fit the source.
    #[error("{0}")]
    Hints(String),

    /// The source differs from the base version where the hints say that nothing changed.
    #[error(
        "Source and base version {base} differ outside of the hints, at block {block} (offset {offset}). \
         The hints are of another image or of another snapshot. Nothing was kept of this backup."
    )]
    BaseMismatch {
        /// The base version.
        base: VersionUid,
        /// Block that differs.
        block: u64,
        /// Where it starts, in bytes.
        offset: u64,
    },

    /// The source differs from the version that is continued.
    #[error(
        "Source and version {version}, which was to be continued, differ at block {block} (offset \
         {offset}). The source is not the same as before, or it was written to since then. Nothing was \
         done: start a new backup, which reuses the stored data."
    )]
    ContinueMismatch {
        /// The version.
        version: VersionUid,
        /// Block that differs.
        block: u64,
        /// Where it starts, in bytes.
        offset: u64,
    },

    /// A source cannot be opened or read.
    #[error("{url}: {message}")]
    Source {
        /// The URL as given.
        url: String,
        /// What went wrong, where.
        message: String,
    },

    /// A pool, image or snapshot of Ceph that is named does not exist.
    #[error("{url}: {message}")]
    NoSuchImage {
        /// The URL as given.
        url: String,
        /// What there is not.
        message: String,
    },

    /// A restore target is there already and was not forced, or is too small. The text has two lines, as in 2.13; parts
    /// from outside have passed [`super::text::line`].
    #[error("{0}")]
    TargetRefused(String),

    /// A target cannot be created or written.
    #[error("{url}: {message}")]
    Target {
        /// The URL as given.
        url: String,
        /// What went wrong, where.
        message: String,
    },

    /// The data store cannot be reached, read or written.
    #[error("data store {store}: {message}")]
    Store {
        /// Where the store is.
        store: String,
        /// What went wrong, with which blob.
        message: String,
    },

    /// The master key does not open the blobs.
    #[error("{0}")]
    WrongKey(String),

    /// A lock file cannot be made.
    #[error("cannot use lock_dir {path}: {message}", path = path.display())]
    LockDir {
        /// The configured folder.
        path: PathBuf,
        /// What went wrong.
        message: String,
    },

    /// A signal ended it; what was safe is kept.
    #[error("interrupted")]
    Interrupted(Signal),

    /// Import: the version is there already.
    #[error("{0}")]
    VersionExists(String),

    /// Import: the file is not a dump.
    #[error("{0}")]
    DumpFormat(String),

    /// The system gave no thread or no memory.
    #[error("{0}")]
    Resources(String),

    /// A worker thread ended without a result: a bug, told as an error and never as a panic.
    #[error("internal error: {0}")]
    Internal(String),
}
