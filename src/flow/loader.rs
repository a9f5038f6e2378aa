//! Blocks on demand: threads that fetch and verify what servers ask for, in any order and of any version.
//!
//! The way is that of a walk (get, decrypt, decompress, then digests of several blocks at once); what differs is
//! who decides what comes next. What is asked for ahead of need waits behind what somebody waits for.

use super::fetch::{Damage, Fetch, Fetcher, Verifier};
use crate::monitor::{Level, Monitor};
use crate::pool::threads::Crew;
use crate::pool::{Latch, cores};
use crate::types::block::Blob;
use crate::types::error::{Error, Result};
use crate::types::keys::BlobId;
use crate::types::uid::VersionUid;
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, select, unbounded};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Who gets a block's data. One that is dropped without [`Taker::take`] must count as failed: that is what becomes
/// of requests that are under way when the servers end.
pub trait Taker: Send {
    /// Takes the data, or why there is none.
    fn take(self, data: std::result::Result<Vec<u8>, String>);
}

/// A block that is asked for.
pub struct Request<T> {
    /// The version, for messages.
    pub version: VersionUid,
    /// Block of the version.
    pub id: u64,
    /// Its blob.
    pub blob: Blob,
    /// Length of the block in bytes.
    pub length: usize,
    /// Memory to be used again; its content does not matter.
    pub buffer: Vec<u8>,
    /// Who gets it.
    pub taker: T,
}

enum Job<T> {
    /// `true`: somebody waits for it.
    Load(Request<T>, bool),
    Say(Level, String),
}

/// Asks the threads of [`run`] for blocks. After `run` has ended all requests fail.
pub struct Loader<T> {
    urgent: Sender<Job<T>>,
    ahead: Sender<Job<T>>,
}

impl<T: Taker> Loader<T> {
    /// Asks for a block that somebody waits for.
    pub fn load(&self, request: Request<T>) {
        // Where nobody listens any more the request is dropped, and its taker knows.
        let _ = self.urgent.send(Job::Load(request, true));
    }

    /// Asks for a block that will probably be needed.
    pub fn load_ahead(&self, request: Request<T>) {
        let _ = self.ahead.send(Job::Load(request, false));
    }

    /// Tells the monitor of the run something, from whatever thread.
    pub fn say(&self, level: Level, text: String) {
        let _ = self.urgent.send(Job::Say(level, text));
    }
}

/// A block whose checksum is to be compared.
struct Loaded<T> {
    version: VersionUid,
    id: u64,
    blob: Blob,
    data: Vec<u8>,
    taker: T,
    urgent: bool,
}

/// How long a block that nobody waits for may wait for others that are being loaded, so that their digests are
/// computed together: some times what loading a block takes.
const GATHERING: Duration = Duration::from_millis(10);

struct Stages<'a> {
    fetch: &'a Fetch<'a>,
    monitor: &'a dyn Monitor,
    /// Blobs whose damage was told: a server is asked for them again and again.
    told: Mutex<BTreeSet<BlobId>>,
    /// Blocks that are being loaded.
    loading: AtomicUsize,
    /// Held by who gathers blocks: two at a time would each get half of them.
    gathering: Mutex<()>,
}

/// Runs the threads as long as `serve` runs.
///
/// # Errors
/// Those of `serve`; a thread cannot be started.
pub fn run<T: Taker, R>(
    fetch: &Fetch<'_>,
    monitor: &dyn Monitor,
    serve: impl FnOnce(Loader<T>) -> Result<R>,
) -> Result<R> {
    let latch = Latch::default();
    let stages = Stages {
        fetch,
        monitor,
        told: Mutex::default(),
        loading: AtomicUsize::new(0),
        gathering: Mutex::default(),
    };
    let (urgent_in, urgent) = unbounded();
    let (ahead_in, ahead) = unbounded();
    // Closing it ends the readers, however many handles there still are.
    let (going_on, stop) = bounded::<()>(0);
    let served = std::thread::scope(|scope| {
        // Goes with the closure, also if a thread cannot be started.
        let _going_on = going_on;
        let crew = Crew::new(scope, &latch);
        let (loaded_in, loaded) = unbounded();
        for _ in 0..fetch.reads().max(cores()) {
            let (urgent, ahead, stop, out) = (urgent.clone(), ahead.clone(), stop.clone(), loaded_in.clone());
            crew.start(|| stages.load(urgent, ahead, stop, out))?;
        }
        for _ in 0..cores() {
            let loaded = loaded.clone();
            crew.start(|| stages.verify(loaded))?;
        }
        // The last reader to end takes along what was asked for and not begun.
        drop((urgent, ahead, stop, loaded_in, loaded));
        Some(serve(Loader { urgent: urgent_in, ahead: ahead_in }))
    });
    fetch.tell_doubts(monitor);
    match served {
        Some(served) => served,
        None => Err(latch.into_result().err().unwrap_or_else(|| Error::internal("no threads"))),
    }
}

impl Stages<'_> {
    fn load<T: Taker>(
        &self,
        urgent: Receiver<Job<T>>,
        ahead: Receiver<Job<T>>,
        stop: Receiver<()>,
        out: Sender<Loaded<T>>,
    ) {
        let mut fetcher = Fetcher::new(self.fetch);
        loop {
            // Whoever goes on asking must not keep the servers from their end.
            if stop.try_recv() == Err(TryRecvError::Disconnected) {
                return;
            }
            // Choosing at random between the two would let people wait for what nobody needs yet.
            let job = match urgent.try_recv() {
                Ok(job) => Ok(job),
                Err(_) => select! {
                    recv(urgent) -> job => job,
                    recv(ahead) -> job => job,
                    recv(stop) -> _ => return,
                },
            };
            match (job, &mut fetcher) {
                (Ok(Job::Say(level, text)), _) => self.monitor.say(level, &text),
                (Ok(Job::Load(request, urgent)), Ok(fetcher)) => {
                    self.loading.fetch_add(1, Ordering::Relaxed);
                    self.load_one(request, urgent, fetcher, &out);
                    self.loading.fetch_sub(1, Ordering::Relaxed);
                }
                (Ok(Job::Load(request, _)), Err(error)) => request.taker.take(Err(error.line())),
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

    /// Compares checksums.
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

    /// As many blocks as are hashed at once, or those that are ready if somebody waits for one of them or no more
    /// are being loaded. `None` at the end.
    fn gather<T>(&self, loaded: &Receiver<Loaded<T>>) -> Option<Vec<Loaded<T>>> {
        let _gathering = self.gathering.lock().unwrap_or_else(|e| e.into_inner());
        let mut blocks = vec![loaded.recv().ok()?];
        while blocks.len() < self.fetch.hasher.lanes() {
            let waits = blocks.iter().any(|block| block.urgent) || self.loading.load(Ordering::Relaxed) == 0;
            let next = match waits {
                true => loaded.try_recv().ok(),
                false => loaded.recv_timeout(GATHERING).ok(),
            };
            match next {
                Some(block) => blocks.push(block),
                None => break,
            }
        }
        Some(blocks)
    }

    /// Tells that the store fails.
    fn failed(&self, error: &Error) -> String {
        self.monitor.error(&error.line());
        error.line()
    }

    /// Tells of a bad blob, once.
    fn bad(&self, version: &VersionUid, id: u64, blob: &Blob, damage: &Damage) -> String {
        let text = format!("Version {version}: block {id} (UID {}) is bad: {damage}", blob.uid);
        if self.told.lock().unwrap_or_else(|e| e.into_inner()).insert(blob.id) {
            self.monitor.error(&format!("{text}. Scrub the version to mark the block invalid."));
        }
        text
    }
}
