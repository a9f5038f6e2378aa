//! The engine's connection to its observers: progress, messages, and requests to stop.

use crate::types::error::{Error, Signal};
use crate::types::remedy::{Continuation, Remedy};
use crate::types::uid::VersionUid;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

static LAST_SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// The number of the signal that asks the program to end, for waits that have no monitor. The terminal sets it, but not
/// for a server, which must store its clients' data before it ends.
pub fn signal_cell() -> &'static Arc<AtomicUsize> {
    &LAST_SIGNAL
}

/// The signal that ends waits for others, such as for another process's transaction or lock. Code that does work asks
/// its [`Monitor::interrupted`] instead.
pub fn signalled() -> Option<Signal> {
    Signal::from_number(LAST_SIGNAL.load(Ordering::Relaxed))
}

/// The severity of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Details for finding a fault.
    Debug,
    /// Normal operation.
    Info,
    /// There is a problem, but the work goes on.
    Warning,
    /// Data is lost, or an operation failed.
    Error,
}

/// The current stage of long work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity<'a> {
    /// Carrying unchanged blocks into the new version.
    BackupPrep {
        /// URL of the source.
        source: &'a str,
    },
    /// Reading and storing blocks.
    BackupData {
        /// URL of the source.
        source: &'a str,
    },
    /// Zeroing sparse ranges of the target.
    RestoreSparse {
        /// URL of the target.
        target: &'a str,
    },
    /// Writing data to the target.
    RestoreData {
        /// URL of the target.
        target: &'a str,
        /// The last block of the part that is completely written: all blocks up to it are written.
        last_id: Option<u64>,
    },
    /// Upgrading the database of an older release to the current schema.
    Upgrade {
        /// The current step: `2/4: mapping the blocks`.
        step: &'a str,
    },
    /// Checking the installation.
    Check {
        /// The current step: `reading blobs`.
        step: &'a str,
    },
    /// Making a lost database anew.
    Rebuild {
        /// The current step: `2/4: reading the versions`.
        step: &'a str,
    },
    /// Comparing the database with its copies in the store.
    Compare {
        /// The current step: `1/2: versions`.
        step: &'a str,
    },
    /// Carrying out jobs.
    Run {
        /// What has just ended.
        step: &'a str,
    },
    /// Adding up the sizes of blobs.
    Measure {
        /// What is measured: `the blobs of the data store`.
        step: &'a str,
    },
    /// Verifying blobs.
    Scrub {
        /// Name of the version.
        name: &'a str,
        /// Its uid.
        uid: &'a VersionUid,
    },
}

/// The progress of long work.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The current stage.
    pub activity: Activity<'a>,
    /// Blocks done. For an upgrade or a check, the unit depends on the step.
    pub done: u64,
    /// The total, in the unit of `done`.
    pub total: u64,
    /// Bytes moved so far in this activity, for the rate.
    pub bytes: u64,
    /// How full the queue of read blocks is, 0 to 1.
    pub read_queue: f64,
    /// How full the queue of blocks to write is, 0 to 1.
    pub write_queue: f64,
}

impl<'a> Progress<'a> {
    /// For work that has no queues.
    pub fn new(activity: Activity<'a>, done: u64, total: u64, bytes: u64) -> Self {
        Progress { activity, done, total, bytes, read_queue: 0.0, write_queue: 0.0 }
    }
}

/// The engine's view of the terminal. Any thread may call all methods.
pub trait Monitor: Sync {
    /// Reports progress. It is cheap, so call it for every block. The monitor decides what to show.
    fn progress(&self, progress: &Progress<'_>);

    /// Writes a message with what the user can do about it.
    fn advise(&self, level: Level, text: &str, remedies: &[Remedy]);

    /// Writes a message.
    fn say(&self, level: Level, text: &str) {
        self.advise(level, text, &[]);
    }

    /// Announces work that takes long, before it begins. Scripts that look for errors see this message too.
    fn announce(&self, text: &str) {
        self.info(text);
    }

    /// A version exists from now on, although it is not valid yet.
    fn version_created(&self, _uid: &VersionUid) {}

    /// The work failed, and can be continued in this way.
    fn can_continue(&self, _how: &Continuation) {}

    /// The signal that asked the program to end, if there was one.
    fn interrupted(&self) -> Option<Signal>;

    /// Writes a message of [`Level::Debug`].
    fn debug(&self, text: &str) {
        self.say(Level::Debug, text);
    }
    /// Writes a message of [`Level::Info`].
    fn info(&self, text: &str) {
        self.say(Level::Info, text);
    }
    /// Writes a message of [`Level::Warning`].
    fn warning(&self, text: &str) {
        self.say(Level::Warning, text);
    }
    /// Writes a message of [`Level::Error`].
    fn error(&self, text: &str) {
        self.say(Level::Error, text);
    }

    /// Writes a warning that 2.13 does not have. It does not appear on stdout if stdout is for data or scripts.
    fn notice(&self, text: &str) {
        self.say(Level::Warning, text);
    }

    /// Writes a warning as [`notice`](Self::notice) does, with more lines below the first. Each line is made fit for a
    /// terminal by itself, so that names in it cannot begin new ones.
    fn notice_lines(&self, lines: &[String]) {
        lines.iter().for_each(|line| self.notice(line));
    }

    /// A handle with the same functions that can outlive the work.
    fn handle(&self) -> Handle {
        Handle::silent()
    }

    /// Returns an error if a signal has come.
    fn check(&self) -> Result<(), Error> {
        match self.interrupted() {
            Some(signal) => Err(Error::Interrupted(signal)),
            None => Ok(()),
        }
    }
}

type Say = dyn Fn(Level, &str, &[Remedy]) + Send + Sync;
type Interrupted = dyn Fn() -> Option<Signal> + Send + Sync;
type Show = dyn Fn(&Progress<'_>) + Send + Sync;

/// An owned [`Monitor`], which can be kept.
#[derive(Clone)]
pub struct Handle {
    say: Arc<Say>,
    interrupted: Arc<Interrupted>,
    show: Arc<Show>,
}

impl Handle {
    /// A handle that calls two functions, and shows no progress.
    pub fn new(
        say: impl Fn(Level, &str, &[Remedy]) + Send + Sync + 'static,
        interrupted: impl Fn() -> Option<Signal> + Send + Sync + 'static,
    ) -> Self {
        Handle { say: Arc::new(say), interrupted: Arc::new(interrupted), show: Arc::new(|_| ()) }
    }

    /// The same handle, which calls a third function to show progress.
    pub fn showing(self, show: impl Fn(&Progress<'_>) + Send + Sync + 'static) -> Self {
        Handle { show: Arc::new(show), ..self }
    }

    /// A handle that discards messages and is never interrupted.
    pub fn silent() -> Self {
        Handle::new(|_, _, _| (), || None)
    }
}

impl Monitor for Handle {
    fn progress(&self, progress: &Progress<'_>) {
        (self.show)(progress);
    }

    fn advise(&self, level: Level, text: &str, remedies: &[Remedy]) {
        (self.say)(level, text, remedies);
    }

    fn interrupted(&self) -> Option<Signal> {
        (self.interrupted)()
    }

    fn handle(&self) -> Handle {
        self.clone()
    }
}

/// Passes messages to another monitor, shows no progress, and never stops the work. For work that must be completed
/// although the program was asked to end.
pub struct Steadfast<'a>(pub &'a dyn Monitor);

impl Monitor for Steadfast<'_> {
    fn progress(&self, _: &Progress<'_>) {}

    fn advise(&self, level: Level, text: &str, remedies: &[Remedy]) {
        self.0.advise(level, text, remedies);
    }

    fn interrupted(&self) -> Option<Signal> {
        None
    }

    fn handle(&self) -> Handle {
        Handle { interrupted: Arc::new(|| None), show: Arc::new(|_| ()), ..self.0.handle() }
    }
}

/// A monitor that shows nothing and never stops the work.
pub struct Silent;

impl Monitor for Silent {
    fn progress(&self, _: &Progress<'_>) {}
    fn advise(&self, _: Level, _: &str, _: &[Remedy]) {}
    fn interrupted(&self) -> Option<Signal> {
        None
    }
}
