//! The state beside the database: the data store, the locks, the clock, and the explorer's knowledge of the past.

use crate::types::checksum::Checksum;
use crate::types::lock::{GLOBAL, Hold};
use crate::types::uid::{BlobUid, VersionUid};
use std::collections::{BTreeMap, BTreeSet};

/// The data of a block in the model. 0 is a hole.
pub type Data = u32;
/// Damaged data.
pub const ROTTEN: Data = Data::MAX;

/// The checksum of data.
pub fn digest(data: Data) -> Checksum {
    format!("{data:08x}").into()
}

/// A lock, and the actor that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    actor: usize,
    name: String,
    /// Whether nobody else may hold it.
    exclusive: bool,
}

/// The copy of a version's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// Whether it says that the version is valid.
    pub valid: bool,
    /// Whether it says that no blob is bad.
    pub is_whole: bool,
    /// The blobs that it names.
    pub blobs: BTreeSet<BlobUid>,
}

/// The state beside the database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Model {
    /// The data store: the data of each blob.
    pub store: BTreeMap<BlobUid, Data>,
    /// The copies of versions in the data store.
    pub objects: BTreeMap<String, Object>,
    /// The blobs in lists in the data store.
    pub listed: BTreeSet<BlobUid>,
    /// The time in Unix seconds.
    pub clock: i64,
    locks: Vec<Held>,
    running: BTreeSet<usize>,
    /// Actors that have found a blob as 2.13 does, and have not named it yet. The hour of grace does not pass before
    /// they have.
    pub hits: BTreeSet<usize>,
    /// Actors of release 2.13 that write a version.
    pub old: BTreeSet<usize>,
    /// Blobs whose data was already gone when a dump that names them was imported. Nothing promises their data.
    pub lost: BTreeSet<BlobUid>,
    /// Blobs that were found to be bad.
    pub found_bad: BTreeSet<BlobUid>,
    /// Blobs that had a row at some time.
    pub had_row: BTreeSet<BlobUid>,
    /// The uid that each id of a blob has had.
    pub ids: BTreeMap<i64, BlobUid>,
    /// The data that was backed up.
    pub versions: BTreeMap<VersionUid, Vec<Data>>,
}

impl Model {
    /// Starts a command: from now on, others see its process. Refuses while another command has exclusive use.
    pub fn start(&mut self, actor: usize) -> bool {
        let free = self.is_free(actor, GLOBAL, Hold::Shared);
        if free {
            self.running.insert(actor);
        }
        free
    }

    /// Takes a lock. Returns whether it was granted.
    pub fn lock(&mut self, actor: usize, name: &str, hold: Hold) -> bool {
        let free = self.is_free(actor, name, hold);
        if free {
            self.locks.push(Held { actor, name: name.to_owned(), exclusive: hold.is_exclusive() });
            self.locks.sort_by(|a, b| (a.actor, &a.name).cmp(&(b.actor, &b.name)));
        }
        free
    }

    /// Gives a lock back, if the command has it.
    pub fn unlock(&mut self, actor: usize, name: &str) {
        self.locks.retain(|held| held.actor != actor || held.name != name);
    }

    /// Whether any command has the lock.
    pub fn is_held(&self, name: &str) -> bool {
        self.locks.iter().any(|held| held.name == name)
    }

    fn is_free(&self, actor: usize, name: &str, hold: Hold) -> bool {
        let mut others = self.locks.iter().filter(|held| held.name == name && held.actor != actor);
        !others.any(|held| hold.is_exclusive() || held.exclusive)
    }

    /// Takes exclusive use if no other command runs. Returns whether it was granted.
    pub fn alone(&mut self, actor: usize) -> bool {
        self.running.iter().all(|other| *other == actor)
            && self.locks.iter().all(|held| held.actor == actor)
            && self.lock(actor, GLOBAL, Hold::Exclusive)
    }

    /// Ends a command that has finished or was killed.
    pub fn end(&mut self, actor: usize) {
        self.locks.retain(|held| held.actor != actor);
        self.running.remove(&actor);
        self.hits.remove(&actor);
        self.old.remove(&actor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locks::{Guard, Locks};

    const LOCKS: [&str; 4] = ["pin", "own", "cleanup", "alone"];

    /// Tries every pair of locks, with one command after the other. The model must refuse what the lock files refuse.
    #[test]
    fn the_model_refuses_the_same_locks_as_lock_files() {
        // A refusal takes a second, so all pairs run at once.
        std::thread::scope(|scope| {
            for (first, second) in LOCKS.iter().flat_map(|a| LOCKS.iter().map(move |b| (a, b))) {
                scope.spawn(move || the_same(first, second));
            }
        });
    }

    fn real(who: &Locks, what: &str) -> Option<Guard> {
        match what {
            "pin" => who.pin(&"v".into()).ok(),
            "own" => who.own(&"v".into()).ok(),
            "cleanup" => who.cleanup().ok(),
            // Running processes are found by their name. No process has this name, so only locks count.
            _ => who.exclusive("no process is called so").ok(),
        }
    }

    fn modelled(model: &mut Model, actor: usize, what: &str) -> bool {
        match what {
            "pin" => model.lock(actor, "v", Hold::Shared),
            "own" => model.lock(actor, "v", Hold::Exclusive),
            "cleanup" => model.lock(actor, "cleanup", Hold::Exclusive),
            _ => model.alone(actor),
        }
    }

    fn the_same(first: &str, second: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        use crate::types::settings::FileMode;
        let (a, b) =
            (Locks::new(folder.path(), FileMode::PRIVATE), Locks::new(folder.path(), FileMode::PRIVATE));
        let mut model = Model::default();
        let held = real(&a, first);
        assert_eq!(held.is_some(), modelled(&mut model, 0, first), "{first}");
        assert_eq!(real(&b, second).is_some(), modelled(&mut model, 1, second), "{first}, {second}");
        model.end(1);
        assert_eq!(b.startup_check().is_ok(), model.start(1), "starting beside {first}");
        drop(held);
        model.end(0);
        assert_eq!(real(&b, second).is_some(), modelled(&mut model, 1, second), "{second} after {first}");
    }
}
