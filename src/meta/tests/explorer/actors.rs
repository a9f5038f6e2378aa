//! The commands, as scripts of steps. Each step is one verb of the metadata or one action on the data store. Other
//! commands run between the steps, and a command may be killed after any step.

mod backup;
mod cleanup;
pub mod copies;
mod health;
mod old;
mod remove;

pub use backup::Backup;
pub use cleanup::{Cleanup, Full};
pub use copies::Mark;
pub use health::{Import, Restore, Rot, Scrub};
pub use old::{OldBackup, OldCleanup, OldRemove};
pub use remove::Remove;

use super::ground::Ground;
use super::model::Model;
use crate::failpoint;
use crate::types::error::Error;
use crate::types::keys::VersionKey;
use crate::types::lock::Hold;
use crate::types::time::Timestamp;
use crate::types::version::Version;
use std::sync::{Mutex, MutexGuard};

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is more to do.
    More,
    /// The command has ended, with success or with an expected refusal.
    End,
}

/// The result of a step, or a fault.
pub type Stepped = Result<Next, String>;

/// Errors that are built into commands, for rules that are about an order and not about SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Rows are committed before their data is stored.
    RowsBeforeData,
    /// The row of a new blob comes in a transaction of its own.
    BlobApart,
    /// The data is deleted before its uid is doomed.
    DataBeforeDoom,
    /// The entries are forgotten before the data is deleted.
    ForgetBeforeData,
    /// Commands do not pin versions.
    NoPin,
    /// Commands do not own versions.
    NoOwn,
    /// A cleanup ignores backups of 2.13.
    BesideOld,
    /// A full cleanup does not take exclusive use.
    NotAlone,
    /// A version becomes valid before its copy is written.
    ValidBeforeCopy,
    /// A cleanup deletes data while copies of removed versions are there.
    DataBeforeCopy,
    /// Copies are written without a lock.
    CopiesUnlocked,
}

/// The context of a step.
pub struct Shop<'a> {
    pub ground: &'a mut dyn Ground,
    pub model: &'a Mutex<Model>,
    /// Number of the actor.
    pub me: usize,
    pub broken: Option<Break>,
    /// Whether each rule is checked by itself, and not only its consequences.
    pub strict: bool,
}

impl Shop<'_> {
    /// Never hold this while a verb runs, because others may run at the same time.
    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().expect("nobody has panicked")
    }

    fn is(&self, how: Break) -> bool {
        self.broken == Some(how)
    }

    fn start(&mut self) -> Stepped {
        Ok(more_if(self.model().start(self.me)))
    }

    fn own(&mut self, uid: &str) -> bool {
        self.is(Break::NoOwn) || self.lock("owning a version", uid, Hold::Exclusive)
    }

    fn pin(&mut self, uid: &str) -> bool {
        self.is(Break::NoPin) || self.lock("pinning a version", uid, Hold::Shared)
    }

    fn alone(&mut self) -> bool {
        failpoint::note("being alone");
        self.is(Break::NotAlone) || self.model().alone(self.me)
    }

    /// Takes a lock. `step` is what the verb of [`crate::locks::Locks`] notes.
    fn lock(&mut self, step: &str, name: &str, hold: Hold) -> bool {
        failpoint::note(step);
        self.model().lock(self.me, name, hold)
    }

    /// Finds a version after it was locked. `None`: it is gone.
    fn version(&mut self, uid: &str) -> Result<Option<Version>, String> {
        match self.ground.meta().version(&uid.into()) {
            Ok(version) => Ok(Some(version)),
            Err(Error::VersionNotFound(_)) => Ok(None),
            Err(error) => Err(failed("looking for a version", error)),
        }
    }
}

fn more_if(more: bool) -> Next {
    if more { Next::More } else { Next::End }
}

fn failed(what: &str, error: crate::types::Error) -> String {
    format!("{what} failed: {}", error.line())
}

const BLOCK: u32 = 4096;

/// A version that is not in the database yet, or not any more.
fn version_of(uid: &str, blocks: usize) -> Version {
    Version {
        key: VersionKey(0),
        uid: uid.into(),
        date: time_of(0),
        expire: None,
        name: "vm".to_owned(),
        snapshot_name: String::new(),
        size: blocks as u64,
        size_bytes: blocks as u64 * u64::from(BLOCK),
        valid: false,
        protected: false,
        tags: Vec::new(),
    }
}

fn time_of(clock: i64) -> Timestamp {
    let time = chrono::DateTime::from_timestamp(clock, 0).expect("a time");
    Timestamp::from_naive(time.naive_utc())
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Script {
    Backup(Backup),
    Remove(Remove),
    Cleanup(Cleanup),
    Full(Full),
    Import(Import),
    Scrub(Scrub),
    Restore(Restore),
    Rot(Rot),
    Mark(Mark),
    Hour,
    OldBackup(OldBackup),
    OldRemove(OldRemove),
    OldCleanup(OldCleanup),
}

impl Script {
    /// The command and its next step, for messages.
    pub fn label(&self) -> String {
        match self {
            Script::Backup(s) => s.label(),
            Script::Remove(s) => s.label(),
            Script::Cleanup(s) => s.label(),
            Script::Full(s) => s.label(),
            Script::Import(s) => s.label(),
            Script::Scrub(s) => s.label(),
            Script::Restore(s) => s.label(),
            Script::Rot(s) => s.label(),
            Script::Mark(s) => s.label(),
            Script::Hour => "an hour passes".to_owned(),
            Script::OldBackup(s) => s.label(),
            Script::OldRemove(s) => s.label(),
            Script::OldCleanup(s) => s.label(),
        }
    }

    /// Whether the command can go on now.
    pub fn is_ready(&self, model: &Model) -> bool {
        let waits = match self {
            Script::Backup(s) => s.waits(),
            Script::Remove(s) => s.waits(),
            Script::Cleanup(s) => s.waits(),
            Script::Mark(s) => s.waits(),
            _ => false,
        };
        // The hour of grace presumes that this takes less than an hour.
        (*self != Script::Hour || model.hits.is_empty()) && !(waits && model.is_held(copies::LOCK))
    }

    /// Does the next step.
    pub fn step(&mut self, shop: &mut Shop<'_>) -> Stepped {
        match self {
            Script::Backup(s) => s.step(shop),
            Script::Remove(s) => s.step(shop),
            Script::Cleanup(s) => s.step(shop),
            Script::Full(s) => s.step(shop),
            Script::Import(s) => s.step(shop),
            Script::Scrub(s) => s.step(shop),
            Script::Restore(s) => s.step(shop),
            Script::Rot(s) => s.step(shop),
            Script::Mark(s) => s.step(shop),
            Script::Hour => {
                shop.model().clock += 3601;
                Ok(Next::End)
            }
            Script::OldBackup(s) => s.step(shop),
            Script::OldRemove(s) => s.step(shop),
            Script::OldCleanup(s) => s.step(shop),
        }
    }
}
