//! The errors of the program. Each error says what it is about and what the user can do.

use super::reason::{self, Reason};
use super::remedy::Remedy;
use super::uid::VersionUid;
use std::fmt;
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
/// The text of an error says what failed. The cause is its source, and not a part of the text: [`Error::line`] puts
/// both together for people. `cli::exit` maps each kind to an exit code.
#[derive(Debug)]
pub enum Error {
    /// The configuration is missing, unreadable or holds a bad value. The text names the file, the section and the
    /// key. It never contains key material.
    Config(Reason),

    /// The database has no tables, or the file is not a database.
    Database(Reason),

    /// The database returned an error during use.
    Metadata {
        /// The engine's URL with its password masked.
        database: String,
        /// The database's message, and the operation that failed.
        reason: Reason,
    },

    /// The file system that holds the database is full.
    Full {
        /// The engine's URL with its password masked.
        database: String,
        /// The operation that failed, and what the user can do.
        reason: Reason,
    },

    /// There is no such version.
    VersionNotFound(String),

    /// There is no such version. The text lists similar ones, one per line. Code that builds such a text must pass
    /// each part from outside through [`super::text::line`].
    Similar(String),

    /// Another process holds a lock.
    Locked(String),

    /// The command refuses to do this, for example because the version is protected or too young.
    Refused(Reason),

    /// The file is not a hints file, or its hints do not fit the source.
    Hints(Reason),

    /// The source differs from the base version in a place that the hints call unchanged.
    BaseMismatch {
        /// The base version.
        base: VersionUid,
        /// The block that differs.
        block: u64,
        /// The start of that block, in bytes.
        offset: u64,
    },

    /// The source differs from the version that the user wants to continue.
    ContinueMismatch {
        /// The version that was to be continued.
        version: VersionUid,
        /// The block that differs.
        block: u64,
        /// The start of that block, in bytes.
        offset: u64,
    },

    /// A source cannot be opened or read.
    Source {
        /// The URL as the user gave it.
        url: String,
        /// The failure, and its place.
        reason: Reason,
    },

    /// A Ceph pool, image or snapshot in the URL does not exist.
    NoSuchImage {
        /// The URL as the user gave it.
        url: String,
        /// The missing pool, image or snapshot.
        message: String,
    },

    /// A restore target exists and the user did not force its use, or it is too small. The text has two lines, as in
    /// 2.13. Parts from outside have passed [`super::text::line`].
    TargetRefused(Reason),

    /// A target cannot be created or written.
    Target {
        /// The URL as the user gave it.
        url: String,
        /// The failure, and its place.
        reason: Reason,
    },

    /// The data store cannot be reached, read or written.
    Store {
        /// The location of the store.
        store: String,
        /// The failure, and the blob that it concerns.
        reason: Reason,
    },

    /// The store is not the one that belongs to the database, or it cannot be known whether it is.
    WrongStore {
        /// The location of the store.
        store: String,
        /// How this was noticed, and what the causes may be.
        reason: Reason,
    },

    /// The master key cannot decrypt the blobs.
    WrongKey(String),

    /// A lock file cannot be created.
    LockDir {
        /// The configured folder.
        path: PathBuf,
        /// The failure.
        reason: Reason,
    },

    /// A signal ended the command. Data that was safely stored is kept.
    Interrupted(Signal),

    /// Import: the version exists already.
    VersionExists(String),

    /// Import: the file is not a dump.
    DumpFormat(String),

    /// The system refused to start a thread or to provide memory.
    Resources(Reason),

    /// A worker thread ended without a result. This is a bug, reported as an error instead of a panic.
    Internal(Reason),
}

impl Error {
    /// [`Error::Config`].
    pub fn config(reason: impl Into<Reason>) -> Self {
        Error::Config(reason.into())
    }
    /// [`Error::Database`].
    pub fn database(reason: impl Into<Reason>) -> Self {
        Error::Database(reason.into())
    }
    /// [`Error::Refused`].
    pub fn refused(reason: impl Into<Reason>) -> Self {
        Error::Refused(reason.into())
    }
    /// [`Error::Hints`].
    pub fn hints(reason: impl Into<Reason>) -> Self {
        Error::Hints(reason.into())
    }
    /// [`Error::Resources`].
    pub fn resources(reason: impl Into<Reason>) -> Self {
        Error::Resources(reason.into())
    }
    /// [`Error::Internal`].
    pub fn internal(reason: impl Into<Reason>) -> Self {
        Error::Internal(reason.into())
    }

    /// The error in one line for people: the text, each cause once, and the advice.
    pub fn line(&self) -> String {
        reason::one_line(&self.to_string(), &self.causes(), self.advice())
    }

    /// The text and the advice, without the causes.
    pub fn summary(&self) -> String {
        reason::one_line(&self.to_string(), &[], self.advice())
    }

    /// The texts of the causes, the nearest first.
    pub fn causes(&self) -> Vec<String> {
        reason::causes(&self.to_string(), std::error::Error::source(self))
    }

    /// The remedies: options or other commands that help. Neither [`Error::line`] nor [`Error::summary`] contains them,
    /// because only `cli` knows their names.
    pub fn remedies(&self) -> &[Remedy] {
        self.reason().map_or(&[], Reason::remedies)
    }

    fn advice(&self) -> &str {
        self.reason().map_or("", Reason::advice)
    }

    fn reason(&self) -> Option<&Reason> {
        match self {
            Error::Config(reason)
            | Error::Database(reason)
            | Error::Refused(reason)
            | Error::Hints(reason)
            | Error::TargetRefused(reason)
            | Error::Resources(reason)
            | Error::Internal(reason)
            | Error::Metadata { reason, .. }
            | Error::Full { reason, .. }
            | Error::Source { reason, .. }
            | Error::Target { reason, .. }
            | Error::Store { reason, .. }
            | Error::WrongStore { reason, .. }
            | Error::LockDir { reason, .. } => Some(reason),
            _ => None,
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.reason().and_then(Reason::cause)
    }
}

/// The text without the causes.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Config(reason)
            | Error::Database(reason)
            | Error::Refused(reason)
            | Error::Hints(reason)
            | Error::TargetRefused(reason)
            | Error::Resources(reason) => write!(f, "{reason}"),
            Error::Internal(reason) => subject(f, "internal error", reason),
            Error::Metadata { database, reason } | Error::Full { database, reason } => {
                subject(f, format_args!("database {database}"), reason)
            }
            Error::Source { url, reason } | Error::Target { url, reason } => subject(f, url, reason),
            Error::Store { store, reason } | Error::WrongStore { store, reason } => {
                subject(f, format_args!("data store {store}"), reason)
            }
            Error::LockDir { path, reason } => {
                subject(f, format_args!("cannot use lock_dir {}", path.display()), reason)
            }
            Error::NoSuchImage { url, message } => write!(f, "{url}: {message}"),
            Error::VersionNotFound(version) => {
                write!(f, "Version {version} not found. `backy2 ls` lists them.")
            }
            Error::Similar(text)
            | Error::Locked(text)
            | Error::WrongKey(text)
            | Error::VersionExists(text)
            | Error::DumpFormat(text) => f.write_str(text),
            Error::BaseMismatch { base, block, offset } => write!(
                f,
                "Source and base version {base} differ outside of the hints, at block {block} (offset {offset}). \
                 The hints are of another image or of another snapshot. Nothing was kept of this backup."
            ),
            Error::ContinueMismatch { version, block, offset } => write!(
                f,
                "Source and version {version}, which was to be continued, differ at block {block} (offset {offset}). The \
                 source is not the same as before, or it was written to since then. Nothing was done: start a new \
                 backup, which reuses the stored data."
            ),
            Error::Interrupted(_) => f.write_str("interrupted"),
        }
    }
}

/// `of: text`, or `of` alone if there is a cause only.
fn subject(f: &mut fmt::Formatter<'_>, of: impl fmt::Display, reason: &Reason) -> fmt::Result {
    match reason.text() {
        "" => write!(f, "{of}"),
        text => write!(f, "{of}: {text}"),
    }
}
