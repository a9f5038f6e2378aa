//! Reads sealed objects of the store: the copies of the metadata.

use crate::crypt::{ObjectError, Sealer};
use crate::monitor::Monitor;
use crate::pool::Latch;
use crate::pool::threads::Crew;
use crate::store::{BlobStore, GetError};
use crate::types::error::{Error, Result};
use crate::types::object::ObjectName;
use crate::types::reason::because;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use std::collections::BTreeMap;
use std::time::Duration;
use zeroize::Zeroizing;

/// The most bytes of a sealed object, and of its data. The list of a million blobs has 140 MB.
const MOST_OBJECT: u64 = 1 << 30;
const MOST_DATA: usize = 1 << 30;
/// Time between two looks for a signal while no object comes.
const LOOK: Duration = Duration::from_millis(100);

/// What was read from an object, or why the object cannot be used, as the end of a sentence that begins with its name.
pub(crate) type Usable<T> = std::result::Result<T, String>;

/// Makes a value of the data of an object, in any thread.
pub(crate) type Decode<'d, T> = &'d (dyn Fn(&[u8]) -> Usable<T> + Sync);

/// A function that is called with each object.
pub(crate) type Visit<'v, T, E> = &'v mut dyn FnMut(&ObjectName, Usable<T>) -> std::result::Result<(), E>;

/// Reads and opens one object. `None` if there is none.
///
/// # Errors
/// [`Error::Store`], [`Error::Resources`].
pub(crate) fn load(
    store: &dyn BlobStore,
    sealer: &Sealer,
    name: &ObjectName,
) -> Result<Option<Usable<Zeroizing<Vec<u8>>>>> {
    let sealed = match store.get_object(name, MOST_OBJECT) {
        Ok(Some(data)) => data,
        Ok(None) => return Ok(None),
        Err(GetError::Unreadable(why)) => return Ok(Some(Err(why))),
        Err(GetError::Store(error)) => return Err(error),
    };
    match sealer.open(name, sealed, MOST_DATA) {
        Ok(data) => Ok(Some(Ok(data))),
        Err(error @ ObjectError::Memory(_)) => {
            Err(Error::resources(because(format!("{name} cannot be opened"), error)))
        }
        Err(error) => Ok(Some(Err(format!("cannot be used: {error}")))),
    }
}

/// Reads objects of one store.
pub(crate) struct ObjectReader<'r> {
    /// The store.
    pub store: &'r dyn BlobStore,
    /// Opens the objects.
    pub sealer: &'r Sealer,
    /// The most objects that are read at the same time, at least 1.
    pub threads: usize,
    /// Knows of signals.
    pub monitor: &'r dyn Monitor,
}

/// An object that was read, with its place in the order.
type Read<T> = (usize, Result<Usable<T>>);

impl ObjectReader<'_> {
    /// Reads one object and decodes it.
    ///
    /// # Errors
    /// As [`load`].
    pub(crate) fn one<T>(&self, name: &ObjectName, decode: Decode<'_, T>) -> Result<Usable<T>> {
        let data = load(self.store, self.sealer, name)?.unwrap_or_else(|| Err("is gone".into()));
        Ok(data.and_then(|data| decode(&data)))
    }

    /// Reads objects, several at the same time, and calls `visit` with each in the order of `names`. The next ones are
    /// read in the meantime.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Resources`], a signal, and the errors of `visit`.
    pub(crate) fn each<T: Send, E: From<Error>>(
        &self,
        names: &[ObjectName],
        decode: Decode<'_, T>,
        visit: Visit<'_, T, E>,
    ) -> std::result::Result<(), E> {
        let latch = Latch::default();
        let mut visited = Ok(());
        std::thread::scope(|scope| {
            let crew = Crew::new(scope, &latch);
            let (tasks_in, tasks) = unbounded::<usize>();
            let (results_in, results) = unbounded::<Read<T>>();
            for _ in 0..self.threads.min(names.len()) {
                let (tasks, results) = (tasks.clone(), results_in.clone());
                crew.start(move || {
                    for at in tasks {
                        if results.send((at, self.one(&names[at], decode))).is_err() {
                            break;
                        }
                    }
                })?;
            }
            drop((tasks, results_in));
            visited = self.conduct(names, &latch, tasks_in, &results, visit);
            Some(())
        });
        latch.into_result()?;
        visited
    }

    /// Hands out names and takes results. The results that came too early wait for their turn.
    fn conduct<T, E: From<Error>>(
        &self,
        names: &[ObjectName],
        latch: &Latch,
        tasks: Sender<usize>,
        results: &Receiver<Read<T>>,
        visit: Visit<'_, T, E>,
    ) -> std::result::Result<(), E> {
        let mut early = BTreeMap::new();
        let mut asked = 0;
        for (next, name) in names.iter().enumerate() {
            // One more than there are threads, so that no thread waits for `visit`.
            while asked < names.len() && asked <= next + self.threads {
                // If no thread is left, the latch has the reason.
                let _ = tasks.send(asked);
                asked += 1;
            }
            let read = loop {
                self.monitor.check()?;
                if let Some(read) = early.remove(&next) {
                    break read;
                }
                match results.recv_timeout(LOOK) {
                    Ok((at, read)) => drop(early.insert(at, read)),
                    Err(RecvTimeoutError::Timeout) if !latch.is_closed() => {}
                    Err(_) => return Ok(()),
                }
            };
            visit(name, read?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Silent;
    use crate::store::Objects;
    use crate::store::file::FileStore;
    use crate::types::keys::BlobId;
    use crate::types::settings::{Durability, FileMode};
    use uuid::Uuid;

    const COUNT: usize = 50;

    /// A store with objects whose data are their places in the order.
    fn with_objects(check: impl FnOnce(&ObjectReader<'_>, &[ObjectName])) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = FileStore::new(folder.path(), Durability::None, FileMode::PRIVATE);
        let sealer = Sealer::new(Uuid::new_v4(), None).expect("a sealer");
        let names: Vec<ObjectName> = (0..COUNT).map(|n| ObjectName::new_index(BlobId(n as i64))).collect();
        for (n, name) in names.iter().enumerate() {
            store.put_object(name, &sealer.seal(name, &[n as u8]).expect("sealed")).expect("put");
        }
        check(&ObjectReader { store: &store, sealer: &sealer, threads: 4, monitor: &Silent }, &names);
    }

    /// Data come after a while that differs.
    fn slowly(data: &[u8]) -> Usable<usize> {
        std::thread::sleep(Duration::from_millis(u64::from(data[0] % 3)));
        Ok(usize::from(data[0]))
    }

    #[test]
    fn objects_come_in_order_and_unusable_ones_are_named() {
        with_objects(|reader, names| {
            reader.store.delete_object(&names[7]).expect("deleted");
            reader.store.put_object(&names[9], b"something else").expect("put");
            let mut seen = Vec::new();
            let visit = &mut |name: &ObjectName, read: Usable<usize>| {
                assert_eq!(*name, names[seen.len()]);
                seen.push(read);
                Ok::<(), Error>(())
            };
            reader.each(names, &slowly, visit).expect("read");
            assert_eq!(seen.len(), COUNT);
            for (n, read) in seen.into_iter().enumerate() {
                match n {
                    7 => assert_eq!(read, Err("is gone".into())),
                    9 => assert!(read.expect_err("unusable").starts_with("cannot be used: ")),
                    n => assert_eq!(read, Ok(n)),
                }
            }
        });
    }

    #[test]
    fn the_first_error_of_the_caller_ends_the_reading() {
        with_objects(|reader, names| {
            let mut visited = 0;
            let ended = reader.each(names, &slowly, &mut |_, _| {
                visited += 1;
                (visited < 5).then_some(()).ok_or(Error::internal("enough"))
            });
            assert!(ended.expect_err("ended").line().contains("enough"));
            assert_eq!(visited, 5);
        });
    }

    #[test]
    fn a_panic_in_a_thread_ends_the_reading() {
        with_objects(|reader, names| {
            let reader = ObjectReader { threads: 1, ..*reader };
            let decode = |data: &[u8]| if data[0] == 3 { panic!("as intended") } else { slowly(data) };
            let ended = reader.each(names, &decode, &mut |_, _| Ok::<(), Error>(()));
            assert!(ended.expect_err("ended").line().contains("panicked"));
        });
    }
}
