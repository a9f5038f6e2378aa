//! The way of data into the store: readers, hash stage, coordinator, write pool, flusher.
//!
//! Every channel has room for all buffers, so no stage ever waits to hand on a block. Only the pool of buffers limits
//! the number of blocks under way.

use super::coordinator::{Channels, Coordinator, Done, Fresh, StoreJob, Stored, Tally};
use super::cursor::{Cursor, Work};
use super::reuse;
use crate::crypt::{Encoder, Keyring};
use crate::hash::{Hasher, is_zero};
use crate::io::Source;
use crate::meta::{Fingerprint, Known, Metadata, NewBlob};
use crate::monitor::Monitor;
use crate::pool::threads::Crew;
use crate::pool::{BUFFERS, Buffer, BufferPool, Gatherer, Latch, Permits, cores};
use crate::store::BlobStore;
use crate::throttle::Throttle;
use crate::types::block::Geometry;
use crate::types::block_set::BlockSet;
use crate::types::checksum::Digest;
use crate::types::error::{Error, Result};
use crate::types::reason::because;
use crate::types::uid::BlobUid;
use crate::types::version::Version;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io::ErrorKind;

/// The inputs of a run that stores blocks. They do not change during the run.
pub(crate) struct Ingest<'a> {
    /// The source to read.
    pub source: &'a dyn Source,
    /// The data store for new blobs.
    pub store: &'a dyn BlobStore,
    /// The version that gets the blocks.
    pub version: &'a Version,
    /// Shape of the image.
    pub geometry: Geometry,
    /// Receives the progress, and may stop the run.
    pub monitor: &'a dyn Monitor,
    /// Wraps the keys of new blobs.
    pub keys: Keyring,
    /// Computes the checksums.
    pub hasher: Hasher,
    /// Encryption version of new blobs, and of those that are reused.
    pub enc_version: u32,
    /// Whether known blobs are reused.
    pub deduplication: bool,
    /// Blocks read at the same time.
    pub reads: usize,
    /// Blobs written at the same time.
    pub writes: usize,
    /// The bandwidth limit for writes to the store.
    pub throttle: Throttle,
}

/// A block that was read and is not all zeros.
struct Raw {
    id: u64,
    data: Buffer,
}

impl Ingest<'_> {
    /// Reads `blocks` and adds them to the version. Returns the blocks that must be stored again, because a blob that
    /// they reused no longer exists.
    ///
    /// # Errors
    /// The first error of any stage. Blobs that were safely stored before it are committed. The version is incomplete.
    pub(crate) fn run(&self, meta: &mut Metadata, blocks: &BlockSet, tally: &mut Tally) -> Result<BlockSet> {
        let count = BUFFERS.max(self.reads + self.writes + 8);
        let buffers = BufferPool::new(count, self.geometry.block_size() as usize);
        let latch = Latch::default();
        let cursor = Cursor::new(self.source, self.geometry, blocks);
        let permits = Permits::new(self.writes);
        let (raw_in, raw) = bounded::<Raw>(count);
        let ready = Gatherer::new(&raw, self.hasher.lanes());
        let again = std::thread::scope(|scope| {
            let crew = Crew::new(scope, &latch);
            // Dropped with the closure, so that the hash stage ends after the last reader.
            let raw_in = raw_in;
            let (fresh_in, fresh) = bounded::<Fresh>(count);
            let (jobs_in, jobs) = bounded::<StoreJob>(count);
            let (stored_in, stored) = bounded::<Done>(count);
            let (unsynced_in, unsynced) = bounded::<Vec<Stored>>(1);
            let (synced_in, synced) = bounded::<Vec<Stored>>(1);
            for _ in 0..self.reads {
                let (raw, fresh) = (raw_in.clone(), fresh_in.clone());
                crew.start(|| self.read(&cursor, &buffers, raw, fresh, &latch))?;
            }
            for _ in 0..cores() {
                let fresh = fresh_in.clone();
                crew.start(|| self.hash(&ready, fresh))?;
            }
            // There may be more threads than writes, because compression and encryption keep the cores busy.
            for _ in 0..self.writes.max(cores()) {
                let (jobs, stored) = (jobs.clone(), stored_in.clone());
                crew.start(|| self.write(jobs, stored, &permits, &latch))?;
            }
            crew.start(|| self.flush(unsynced, synced_in, &latch))?;
            drop((raw_in, fresh_in, jobs, stored_in));
            let channels = Channels { fresh, jobs: jobs_in, stored, unsynced: unsynced_in, synced };
            Some(Coordinator::new(self, count, &latch, meta, tally).run(channels))
        });
        latch.into_result()?;
        self.monitor.check()?;
        Ok(again.into_iter().flatten().collect())
    }

    /// A reader thread.
    fn read(
        &self,
        cursor: &Cursor,
        buffers: &BufferPool,
        raw: Sender<Raw>,
        fresh: Sender<Fresh>,
        latch: &Latch,
    ) {
        while !latch.is_closed() && self.monitor.interrupted().is_none() {
            let sent = match cursor.next() {
                None => return,
                Some(Work::Holes(range)) => fresh.send(Fresh::Holes(range)).is_ok(),
                Some(Work::Read(id)) => {
                    let Some(mut data) = buffers.take(self.geometry.length(id), latch) else { return };
                    if let Err(error) = self.source.read_at(self.geometry.offset(id), &mut data) {
                        return latch.fail(error);
                    }
                    if is_zero(&data) {
                        fresh.send(Fresh::Zero { id }).is_ok()
                    } else {
                        raw.send(Raw { id, data }).is_ok()
                    }
                }
            };
            if !sent {
                return latch.fail(Error::internal("a stage behind the readers ended early"));
            }
        }
    }

    /// A thread of the hash stage.
    fn hash(&self, ready: &Gatherer<Raw>, fresh: Sender<Fresh>) {
        while let Some(blocks) = ready.next() {
            let digests = self.hasher.digest_all(blocks.iter().map(|block| &block.data[..]));
            for (Raw { id, data }, digest) in blocks.into_iter().zip(digests) {
                if fresh.send(Fresh::Hashed { id, digest, data }).is_err() {
                    return;
                }
            }
        }
    }

    /// A thread of the write pool.
    fn write(&self, jobs: Receiver<StoreJob>, done: Sender<Done>, permits: &Permits, latch: &Latch) {
        let mut encoder = match Encoder::new(self.enc_version, &self.keys) {
            Ok(encoder) => encoder,
            Err(error) => return latch.fail(Error::internal(because("cannot set up the encoder", error))),
        };
        for mut job in jobs {
            if latch.is_closed() {
                continue;
            }
            let known = job.known.take();
            match self.reuse_or_put(&job, known, &mut encoder, permits, latch) {
                Ok(message) => {
                    if done.send(message).is_err() {
                        return;
                    }
                }
                Err(error) => latch.fail(error),
            }
        }
    }

    /// Checks the known blob, if there is one, and stores the data unless that blob is good.
    fn reuse_or_put(
        &self,
        job: &StoreJob,
        known: Option<Known>,
        encoder: &mut Encoder,
        permits: &Permits,
        latch: &Latch,
    ) -> Result<Done> {
        let instead = match known {
            None => None,
            Some(known) => {
                let size = job.data.len() as u64;
                match reuse::flaw(self.store, &known.uid, job.id, size, self.enc_version)? {
                    None => return Ok(Done::Known { id: job.id, known }),
                    Some(flaw) => Some((known, flaw)),
                }
            }
        };
        Ok(Done::Stored { stored: self.put(job, encoder, permits, latch)?, instead })
    }

    fn put(&self, job: &StoreJob, encoder: &mut Encoder, permits: &Permits, latch: &Latch) -> Result<Stored> {
        let uid = BlobUid::generate();
        let (bytes, encryption) = encoder.encode(&job.data).map_err(|e| match e.kind() {
            ErrorKind::OutOfMemory => Error::resources(e),
            _ => Error::internal(because(format!("block {} cannot be encoded", job.id), e)),
        })?;
        permits.with(|| {
            self.throttle.take(bytes.len(), || latch.is_closed() || self.monitor.interrupted().is_some());
            self.store.put(&uid, bytes)
        })?;
        let blob = NewBlob { uid, fingerprint: self.fingerprint(job.id, job.digest), encryption };
        Ok(Stored { id: job.id, blob, length: bytes.len() as u64 })
    }

    /// The fingerprint of a blob with the data of block `id`, which has this digest.
    pub(super) fn fingerprint(&self, id: u64, digest: Digest) -> Fingerprint {
        Fingerprint {
            checksum: digest.into(),
            size: self.geometry.length(id) as u64,
            enc_version: self.enc_version,
        }
    }

    /// The thread that makes batches durable, so that the coordinator need not wait for the disk.
    fn flush(&self, unsynced: Receiver<Vec<Stored>>, synced: Sender<Vec<Stored>>, latch: &Latch) {
        // A store reports a loss only once, and later batches may also contain blobs that were stored before it.
        let mut failed = false;
        for batch in unsynced {
            let flushed = (!failed).then(|| self.store.sync());
            let safe = match flushed {
                Some(Ok(())) => batch,
                Some(Err(error)) => {
                    failed = true;
                    latch.fail(error);
                    Vec::new()
                }
                None => Vec::new(),
            };
            if synced.send(safe).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
