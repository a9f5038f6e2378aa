//! What is beside the database: the data store, the locks and the clock; and what the explorer knows of the past.

use crate::types::checksum::Checksum;
use crate::types::uid::{BlobUid, VersionUid};
use std::collections::{BTreeMap, BTreeSet};

/// What a block holds, for the model. 0 is a hole.
pub type Data = u32;
/// What has become of damaged data.
pub const ROTTEN: Data = Data::MAX;

/// The checksum of data.
pub fn digest(data: Data) -> Checksum {
    format!("{data:08x}").into()
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    actor: usize,
    name: String,
    exclusive: bool,
}

/// What is beside the database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Model {
    /// The data store: what is in each blob.
    pub store: BTreeMap<BlobUid, Data>,
    /// Unix seconds.
    pub clock: i64,
    locks: Vec<Held>,
    running: BTreeSet<usize>,
    /// Who has found a blob in 2.13's way and not named it yet. The hour of grace is for them: it does not pass
    /// before they have.
    pub hits: BTreeSet<usize>,
    /// Who is of release 2.13, and writes a version.
    pub old: BTreeSet<usize>,
    /// Blobs whose data was gone already when a dump that names them was imported: nobody promised to have it.
    pub lost: BTreeSet<BlobUid>,
    /// Blobs that were found to be bad.
    pub found_bad: BTreeSet<BlobUid>,
    /// Blobs that had a row at some time.
    pub had_row: BTreeSet<BlobUid>,
    /// What each id of a blob has meant.
    pub ids: BTreeMap<i64, BlobUid>,
    /// What was backed up.
    pub versions: BTreeMap<VersionUid, Vec<Data>>,
}

/// What a command locks that has to be alone.
const GLOBAL: &str = "backy";

impl Model {
    /// A command starts: others see its process from now on. Refused while somebody is alone.
    pub fn start(&mut self, actor: usize) -> bool {
        let free = self.is_free(actor, GLOBAL, false);
        if free {
            self.running.insert(actor);
        }
        free
    }

    /// Takes a lock, or is refused.
    pub fn lock(&mut self, actor: usize, name: &str, exclusive: bool) -> bool {
        let free = self.is_free(actor, name, exclusive);
        if free {
            self.locks.push(Held { actor, name: name.to_owned(), exclusive });
            self.locks.sort_by(|a, b| (a.actor, &a.name).cmp(&(b.actor, &b.name)));
        }
        free
    }

    fn is_free(&self, actor: usize, name: &str, exclusive: bool) -> bool {
        let mut others = self.locks.iter().filter(|held| held.name == name && held.actor != actor);
        !others.any(|held| exclusive || held.exclusive)
    }

    /// Makes sure that nobody else runs and none starts, or is refused.
    pub fn alone(&mut self, actor: usize) -> bool {
        self.running.iter().all(|other| *other == actor)
            && self.locks.iter().all(|held| held.actor == actor)
            && self.lock(actor, GLOBAL, true)
    }

    /// The command has ended, one way or the other.
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

    /// Two commands, one after the other, with every pair of locks: the model refuses what the lock files refuse.
    #[test]
    fn the_model_refuses_what_lock_files_refuse() {
        // A refusal takes a second: all pairs at once.
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
            // A process that is there is looked for by its name, which none has: only locks count.
            _ => who.exclusive("no process is called so").ok(),
        }
    }

    fn modelled(model: &mut Model, actor: usize, what: &str) -> bool {
        match what {
            "pin" => model.lock(actor, "v", false),
            "own" => model.lock(actor, "v", true),
            "cleanup" => model.lock(actor, "cleanup", true),
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
