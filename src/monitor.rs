//! What the engine tells the people who watch: progress, messages, and whether they want it to stop.

use crate::types::error::{Error, Signal};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

static LAST_SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// Where the terminal notes the number of the signal that asks the program to end, for waits that know no monitor.
/// It notes none for a server that stores what its clients wrote before it ends.
pub fn signal_cell() -> &'static Arc<AtomicUsize> {
    &LAST_SIGNAL
}

/// The signal that ends waits for others, as for another process's transaction or lock. Work asks its
/// [`Monitor::interrupted`] instead.
pub fn signalled() -> Option<Signal> {
    Signal::from_number(LAST_SIGNAL.load(Ordering::Relaxed))
}

/// How loud a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For those who look for a fault.
    Debug,
    /// The ordinary course.
    Info,
    /// Something is not as it should be, and the work goes on.
    Warning,
    /// Something is lost or failed.
    Error,
}

/// What long work is at.
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
        /// The highest block such that all up to it are written.
        last_id: Option<u64>,
    },
    /// Bringing the database of an older release to the current schema.
    Upgrade {
        /// What is under way: `2/4: mapping the blocks`.
        step: &'a str,
    },
    /// Verifying blobs.
    Scrub {
        /// Name of the version.
        name: &'a str,
        /// Its uid.
        uid: &'a str,
    },
}

/// How far long work has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// What is being done.
    pub activity: Activity<'a>,
    /// Blocks done; of an upgrade, whatever its step counts.
    pub done: u64,
    /// Blocks in all, or what is counted.
    pub total: u64,
    /// Bytes moved so far in this activity, for the rate.
    pub bytes: u64,
    /// How full the queue of read blocks is, 0 to 1.
    pub read_queue: f64,
    /// How full the queue of blocks to be written is, 0 to 1.
    pub write_queue: f64,
}

/// The engine's view of the terminal. All methods may be called from any thread.
pub trait Monitor: Sync {
    /// Tells how far the work has come. Cheap: call it for every block; the monitor decides what to show.
    fn progress(&self, progress: &Progress<'_>);

    /// Says something.
    fn say(&self, level: Level, text: &str);

    /// Says before something that takes long what it is. Scripts see it, too, where they look for errors.
    fn announce(&self, text: &str) {
        self.info(text);
    }

    /// A version exists from now on, though it is not valid yet.
    fn version_created(&self, _uid: &str) {}

    /// Takes the words of a command that goes on with the work should it fail from now on: without the program and its
    /// configuration.
    fn can_continue_with(&self, _words: &[&str]) {}

    /// The signal that asked the program to end, if one came.
    fn interrupted(&self) -> Option<Signal>;

    /// [`Level::Debug`].
    fn debug(&self, text: &str) {
        self.say(Level::Debug, text);
    }
    /// [`Level::Info`].
    fn info(&self, text: &str) {
        self.say(Level::Info, text);
    }
    /// [`Level::Warning`].
    fn warning(&self, text: &str) {
        self.say(Level::Warning, text);
    }
    /// [`Level::Error`].
    fn error(&self, text: &str) {
        self.say(Level::Error, text);
    }

    /// A warning that 2.13 does not have: where stdout is for data or for scripts, it stays out of there.
    fn notice(&self, text: &str) {
        self.say(Level::Warning, text);
    }

    /// The same to keep, for what outlives the work.
    fn handle(&self) -> Handle {
        Handle::silent()
    }

    /// An error if a signal came.
    fn check(&self) -> Result<(), Error> {
        match self.interrupted() {
            Some(signal) => Err(Error::Interrupted(signal)),
            None => Ok(()),
        }
    }
}

type Say = dyn Fn(Level, &str) + Send + Sync;
type Interrupted = dyn Fn() -> Option<Signal> + Send + Sync;
type Show = dyn Fn(&Progress<'_>) + Send + Sync;

/// Says, shows and asks what a [`Monitor`] does, and can be kept.
#[derive(Clone)]
pub struct Handle {
    say: Arc<Say>,
    interrupted: Arc<Interrupted>,
    show: Arc<Show>,
}

impl Handle {
    /// Of two functions.
    pub fn new(
        say: impl Fn(Level, &str) + Send + Sync + 'static,
        interrupted: impl Fn() -> Option<Signal> + Send + Sync + 'static,
    ) -> Self {
        Handle { say: Arc::new(say), interrupted: Arc::new(interrupted), show: Arc::new(|_| ()) }
    }

    /// The same, and shows progress by a third one.
    pub fn showing(self, show: impl Fn(&Progress<'_>) + Send + Sync + 'static) -> Self {
        Handle { show: Arc::new(show), ..self }
    }

    /// Says nothing, and is never interrupted.
    pub fn silent() -> Self {
        Handle::new(|_, _| (), || None)
    }
}

impl Monitor for Handle {
    fn progress(&self, progress: &Progress<'_>) {
        (self.show)(progress);
    }

    fn say(&self, level: Level, text: &str) {
        (self.say)(level, text);
    }

    fn interrupted(&self) -> Option<Signal> {
        (self.interrupted)()
    }

    fn handle(&self) -> Handle {
        self.clone()
    }
}

/// Says what is to be said to another monitor, shows no progress, and never stops the work: for what must be
/// brought to its end although the program was told to end.
pub struct Steadfast<'a>(pub &'a dyn Monitor);

impl Monitor for Steadfast<'_> {
    fn progress(&self, _: &Progress<'_>) {}

    fn say(&self, level: Level, text: &str) {
        self.0.say(level, text);
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
    fn say(&self, _: Level, _: &str) {}
    fn interrupted(&self) -> Option<Signal> {
        None
    }
}
