//! The points of a check, and their results.

use super::NAMED;
use crate::types::error::Error;
use crate::types::remedy::Remedy;

/// A point of a check, in the order in which they are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// Warnings about the configuration.
    Configuration,
    /// The folders that the configuration names.
    Folders,
    /// The database can be opened and written.
    Database,
    /// The structure of the database file.
    Structure,
    /// The configured block size.
    BlockSize,
    /// The references between the tables, and the rows of versions.
    References,
    /// The master key.
    MasterKey,
    /// The data store can be reached and written.
    Store,
    /// The configured hash function.
    HashFunction,
    /// The blobs in the store are those of the database.
    Blobs,
    /// The data of some blobs.
    Data,
    /// The copies of the metadata in the store.
    Copies,
    /// Free space.
    Space,
    /// The clocks.
    Clock,
    /// Locks.
    Locks,
    /// Files that killed runs have left.
    Leftovers,
    /// The versions.
    Versions,
}

/// The result of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// All is well.
    Good,
    /// Backups and restores work, but somebody should know this.
    Warning,
    /// Backups or restores fail, or data is lost: somebody has to act.
    Wrong,
    /// It could not be checked, because of another point.
    NotChecked,
}

/// A point with its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The point.
    pub point: Point,
    /// Its result.
    pub state: State,
    /// One sentence about it, without a full stop at its end unless it is several sentences.
    pub text: String,
    /// One line for each thing that is wrong or remarkable.
    pub details: Vec<String>,
    /// What to do; empty if nothing has to be done.
    pub advice: String,
    /// Options or commands that help.
    pub remedies: Vec<Remedy>,
}

impl Finding {
    fn new(state: State, text: impl Into<String>) -> Self {
        Finding {
            // The caller of the point knows which one it is, and sets it.
            point: Point::Configuration,
            state,
            text: text.into(),
            details: Vec::new(),
            advice: String::new(),
            remedies: Vec::new(),
        }
    }

    /// All is well.
    pub(super) fn good(text: impl Into<String>) -> Self {
        Self::new(State::Good, text)
    }

    /// Works, but should be known.
    pub(super) fn warning(text: impl Into<String>) -> Self {
        Self::new(State::Warning, text)
    }

    /// Somebody has to act.
    pub(super) fn wrong(text: impl Into<String>) -> Self {
        Self::new(State::Wrong, text)
    }

    /// Could not be checked for the reason `text`.
    pub(super) fn not_checked(text: impl Into<String>) -> Self {
        Self::new(State::NotChecked, text)
    }

    /// The point ended with this error.
    pub(super) fn of_error(error: &Error) -> Self {
        Finding { remedies: error.remedies().to_vec(), ..Self::wrong(error.line()) }
    }

    /// The same as the result of `point`.
    pub(super) fn of(self, point: Point) -> Self {
        Finding { point, ..self }
    }

    /// With these details.
    pub(super) fn details(self, details: Vec<String>) -> Self {
        Finding { details, ..self }
    }

    /// With this advice.
    pub(super) fn advise(self, advice: impl Into<String>) -> Self {
        Finding { advice: advice.into(), ..self }
    }

    /// With this remedy.
    pub(super) fn remedy(mut self, remedy: Remedy) -> Self {
        self.remedies.push(remedy);
        self
    }
}

/// Things of one kind: how many there are, and the first of them by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kind {
    pub count: u64,
    named: Vec<String>,
}

impl Kind {
    /// Counts one more. `name` is called if it is among the first.
    pub(super) fn add(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(name());
        }
    }

    /// Counts `more` whose names are not known.
    pub(super) fn add_unnamed(&mut self, more: u64) {
        self.count += more;
    }

    /// Whether the next one is named.
    pub(super) fn names_next(&self) -> bool {
        self.named.len() < NAMED
    }

    /// A line for each of the first, and one for the number of the others. `others` is the word for several of them.
    pub(super) fn lines(self, others: &str) -> Vec<String> {
        let more = self.count - self.named.len() as u64;
        let last = (more > 0).then(|| format!("and {more} more {others}"));
        self.named.into_iter().chain(last).collect()
    }
}
