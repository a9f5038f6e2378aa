//! Blocks on demand: threads that fetch and verify blocks for servers, in any order and from any version.
//!
//! The steps are those of a walk: get, decrypt, decompress, then compute the digests of several blocks at once. The
//! difference is that requests decide the order. Requests ahead of need have lower priority than requests that
//! somebody waits for.

use super::fetch::{Damage, Fetch, Fetcher, Verifier};
use crate::monitor::{Level, Monitor};
use crate::pool::threads::Crew;
use crate::pool::{Latch, cores};
use crate::store::BlobStore;
use crate::types::block::Blob;
use crate::types::error::{Error, Result};
use crate::types::keys::BlobId;
use crate::types::remedy::Remedy;
use crate::types::uid::VersionUid;
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, select, unbounded};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The receiver of a block's data. A taker that is dropped without [`Taker::take`] must count as failed. That happens
/// to requests in progress when the servers end.
pub(crate) trait Taker: Send {
    /// Takes the data, or the reason why there is none.
    fn take(self, data: std::result::Result<Vec<u8>, String>);
}

/// A request for a block.
pub(crate) struct Request<T> {
    /// The version, for messages.
    pub version: VersionUid,
    /// Number of the block in the version.
    pub id: u64,
    /// The blob of the block.
    pub blob: Blob,
    /// Length of the block in bytes.
    pub length: usize,
    /// A buffer for reuse. Its content is ignored.
    pub buffer: Vec<u8>,
    /// The receiver of the data.
    pub taker: T,
}

/// Something to do with the store.
type Call = Box<dyn FnOnce(&dyn BlobStore) + Send>;

enum Task<T> {
    /// A block to load.
    Load {
        request: Request<T>,
        /// Somebody waits for the block.
        urgent: bool,
    },
    /// A message for the monitor.
    Say(Level, String, Vec<Remedy>),
    /// Something else to do with the store.
    Call(Call),
}

/// Sends requests to the threads of [`run`]. After `run` has ended, all requests fail.
pub(crate) struct Loader<T> {
    urgent: Sender<Task<T>>,
    ahead: Sender<Task<T>>,
}

impl<T: Taker> Loader<T> {
    /// Requests a block that somebody waits for.
    pub(crate) fn load(&self, request: Request<T>) {
        // After the threads have ended, the request is dropped, which tells its taker.
        let _ = self.urgent.send(Task::Load { request, urgent: true });
    }

    /// Requests a block that will probably be needed.
    pub(crate) fn load_ahead(&self, request: Request<T>) {
        let _ = self.ahead.send(Task::Load { request, urgent: false });
    }

    /// Lets a thread that has the store do something with it, and waits for the result. `None` after the threads have ended.
    pub(crate) fn with_store<R: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn BlobStore) -> R + Send + 'static,
    ) -> Option<R> {
        let (result_in, result) = bounded(1);
        let call: Call = Box::new(move |store| drop(result_in.send(work(store))));
        let _ = self.urgent.send(Task::Call(call));
        result.recv().ok()
    }

    /// Sends a text to the monitor of the run, with what the user can do about it. May be called from any thread.
    pub(crate) fn advise(&self, level: Level, text: String, remedies: &[Remedy]) {
        let _ = self.urgent.send(Task::Say(level, text, remedies.to_vec()));
    }
}

/// A loaded block whose checksum must be verified.
struct Loaded<T> {
    version: VersionUid,
    id: u64,
    blob: Blob,
    data: Vec<u8>,
    taker: T,
    urgent: bool,
}

/// How long a block that nobody waits for may be held back until others are loaded, so that their digests are
/// computed together. Loading one block takes a fraction of this time.
const GATHERING: Duration = Duration::from_millis(10);

/// What the threads of the loader share.
struct LoaderThreads<'a> {
    fetch: &'a Fetch<'a>,
    monitor: &'a dyn Monitor,
    /// Blobs whose damage was reported already. Servers request them again and again.
    reported: Mutex<BTreeSet<BlobId>>,
    /// Blocks that are being loaded.
    loading: AtomicUsize,
    /// Held by the thread that gathers blocks. Two such threads would each get only half of them.
    gathering: Mutex<()>,
}

/// Runs the threads while `serve` runs.
///
/// # Errors
/// Those of `serve`, or a thread cannot be started.
pub(crate) fn run<T: Taker, R>(
    fetch: &Fetch<'_>,
    monitor: &dyn Monitor,
    serve: impl FnOnce(Loader<T>) -> Result<R>,
) -> Result<R> {
    let latch = Latch::default();
    let threads = LoaderThreads {
        fetch,
        monitor,
        reported: Mutex::default(),
        loading: AtomicUsize::new(0),
        gathering: Mutex::default(),
    };
    let (urgent_in, urgent) = unbounded();
    let (ahead_in, ahead) = unbounded();
    // Closing this channel ends the readers, even if handles to the loader still exist.
    let (going_on, stop) = bounded::<()>(0);
    let served = std::thread::scope(|scope| {
        // Dropped with the closure, even if a thread cannot be started.
        let _going_on = going_on;
        let crew = Crew::new(scope, &latch);
        let (loaded_in, loaded) = unbounded();
        for _ in 0..fetch.reads().max(cores()) {
            let (urgent, ahead, stop, out) = (urgent.clone(), ahead.clone(), stop.clone(), loaded_in.clone());
            crew.start(|| threads.load(urgent, ahead, stop, out))?;
        }
        for _ in 0..cores() {
            let loaded = loaded.clone();
            crew.start(|| threads.verify(loaded))?;
        }
        // The last reader that ends drops all requests that were not started.
        drop((urgent, ahead, stop, loaded_in, loaded));
        Some(serve(Loader { urgent: urgent_in, ahead: ahead_in }))
    });
    fetch.tell_doubts(monitor);
    match served {
        Some(served) => served,
        None => Err(latch.into_result().err().unwrap_or_else(|| Error::internal("no threads"))),
    }
}

impl LoaderThreads<'_> {
    fn load<T: Taker>(
        &self,
        urgent: Receiver<Task<T>>,
        ahead: Receiver<Task<T>>,
        stop: Receiver<()>,
        out: Sender<Loaded<T>>,
    ) {
        let mut fetcher = Fetcher::new(self.fetch);
        loop {
            // Continuous requests must not keep the reader from ending.
            if stop.try_recv() == Err(TryRecvError::Disconnected) {
                return;
            }
            // Take urgent requests first. A random choice would let them wait behind requests ahead of need.
            let job = match urgent.try_recv() {
                Ok(job) => Ok(job),
                Err(_) => select! {
                    recv(urgent) -> job => job,
                    recv(ahead) -> job => job,
                    recv(stop) -> _ => return,
                },
            };
            match (job, &mut fetcher) {
                (Ok(Task::Say(level, text, remedies)), _) => self.monitor.advise(level, &text, &remedies),
                (Ok(Task::Call(call)), _) => call(self.fetch.store),
                (Ok(Task::Load { request, urgent }), Ok(fetcher)) => {
                    self.loading.fetch_add(1, Ordering::Relaxed);
                    self.load_one(request, urgent, fetcher, &out);
                    self.loading.fetch_sub(1, Ordering::Relaxed);
                }
                (Ok(Task::Load { request, .. }), Err(error)) => request.taker.take(Err(error.line())),
                (Err(_), _) => return,
            }
        }
    }

    fn load_one<T: Taker>(
        &self,
        request: Request<T>,
        urgent: bool,
        fetcher: &mut Fetcher,
        out: &Sender<Loaded<T>>,
    ) {
        let Request { version, id, blob, length, buffer: mut data, taker } = request;
        data.clear();
        match fetcher.load(id, &blob, length, &mut data, || self.monitor.interrupted().is_some()) {
            Ok(None) => drop(out.send(Loaded { version, id, blob, data, taker, urgent })),
            Ok(Some(damage)) => taker.take(Err(self.bad(&version, id, &blob, &damage))),
            Err(error) => taker.take(Err(self.failed(&error))),
        }
    }

    /// Verifies the checksums of loaded blocks.
    fn verify<T: Taker>(&self, loaded: Receiver<Loaded<T>>) {
        let mut verifier = Verifier::new(self.fetch);
        let stop = || self.monitor.interrupted().is_some();
        while let Some(blocks) = self.gather(&loaded) {
            let digests = self.fetch.hasher.digest_all(blocks.iter().map(|block| &block.data[..]));
            for (Loaded { version, id, blob, mut data, taker, .. }, digest) in blocks.into_iter().zip(digests)
            {
                taker.take(match verifier.verify(id, &blob, &digest, &mut data, stop) {
                    Ok(None) => Ok(data),
                    Ok(Some(damage)) => Err(self.bad(&version, id, &blob, &damage)),
                    Err(error) => Err(self.failed(&error)),
                });
            }
        }
    }

    /// Waits for as many blocks as can be hashed at once. Returns fewer if somebody waits for one of them, or if no
    /// more are being loaded. Returns `None` at the end.
    fn gather<T>(&self, loaded: &Receiver<Loaded<T>>) -> Option<Vec<Loaded<T>>> {
        let _gathering = self.gathering.lock().unwrap_or_else(|e| e.into_inner());
        let mut blocks = vec![loaded.recv().ok()?];
        while blocks.len() < self.fetch.hasher.lanes() {
            let waits = blocks.iter().any(|block| block.urgent) || self.loading.load(Ordering::Relaxed) == 0;
            let next = if waits { loaded.try_recv().ok() } else { loaded.recv_timeout(GATHERING).ok() };
            match next {
                Some(block) => blocks.push(block),
                None => break,
            }
        }
        Some(blocks)
    }

    /// Reports a failure of the store.
    fn failed(&self, error: &Error) -> String {
        self.monitor.advise(Level::Error, &error.line(), error.remedies());
        error.line()
    }

    /// Reports a bad blob, once.
    fn bad(&self, version: &VersionUid, id: u64, blob: &Blob, damage: &Damage) -> String {
        let text = format!("Version {version}: block {id} (UID {}) is bad: {damage}", blob.uid);
        if self.reported.lock().unwrap_or_else(|e| e.into_inner()).insert(blob.id) {
            self.monitor.error(&format!("{text}. Scrub the version to mark the block invalid."));
        }
        text
    }
}
