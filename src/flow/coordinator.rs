//! The owner of the database connection in a run that stores blocks. It decides for each block whether it is zero,
//! known, under way or new, and commits rows in batches, after their blobs are durable.

mod messages;

pub(crate) use messages::{Channels, Done, Fresh, StoreJob, Stored};

use super::ingest::Ingest;
use super::reuse;
use crate::meta::{Fingerprint, Known, Metadata, NewBlob, NewRow};
use crate::monitor::{Activity, Progress};
use crate::pool::Latch;
use crate::types::block::Blob;
use crate::types::block_set::BlockSet;
use crate::types::checksum::Digest;
use crate::types::error::Error;
use crate::types::keys::BlobId;
use crate::types::version::Statistics;
use crossbeam_channel::{Sender, never, select};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// The work done so far, over all passes of a backup.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// The counts for the table `stats`.
    pub statistics: Statistics,
    /// Blocks that need nothing more.
    pub done: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Bytes put into the store: compressed and encrypted.
    pub stored: u64,
}

/// Number of new blobs that are made durable and committed together. After [`PAUSE`], fewer are enough. The batches are
/// small, because a run that continues after a kill stores all uncommitted data again.
const BATCH: usize = 32;
/// Plain bytes that may wait while another batch is made durable: as many as in a batch of blocks of the default size.
const MOST_UNSYNCED: u64 = 128 << 20;
/// Number of rows to commit together. Rows that name no new blob are cheap, so they wait for each other.
const ROWS: usize = 1000;
/// The longest time that rows wait for a commit, or blobs for a flush.
const PAUSE: Duration = Duration::from_secs(1);
/// Number of blocks that are looked up at once.
const LOOK_UPS: usize = 64;

/// Number of checked blobs that are remembered. Checking a blob again costs little, and memory must not grow with the
/// image.
const MOST_LOOKED_AT: usize = 1 << 18;

/// A block that is being stored, and the other blocks of this run with the same data.
struct UnderWay {
    ids: Vec<u64>,
    digest: Digest,
}

/// The state of a run.
pub(crate) struct Coordinator<'a> {
    run: &'a Ingest<'a>,
    /// Number of buffers, to which the fill of the queues relates.
    buffers: usize,
    /// Stops the run.
    latch: &'a Latch,
    meta: &'a mut Metadata,
    tally: &'a mut Tally,
    under_way: HashMap<u64, UnderWay>,
    /// The jobs by the digests of their data. Empty without deduplication.
    by_digest: HashMap<Digest, u64>,
    /// Blobs that were checked in this run.
    looked: HashSet<BlobId>,
    unsynced: Vec<Stored>,
    unsynced_bytes: u64,
    syncing: bool,
    sparse: BlockSet,
    rows: Vec<NewRow>,
    committed: Instant,
    synced: Instant,
    again: Vec<u64>,
}

impl<'a> Coordinator<'a> {
    /// Starts with nothing under way.
    pub(crate) fn new(
        run: &'a Ingest<'a>,
        buffers: usize,
        latch: &'a Latch,
        meta: &'a mut Metadata,
        tally: &'a mut Tally,
    ) -> Self {
        let now = Instant::now();
        Coordinator {
            run,
            buffers,
            latch,
            meta,
            tally,
            under_way: HashMap::new(),
            by_digest: HashMap::new(),
            looked: HashSet::new(),
            unsynced: Vec::new(),
            unsynced_bytes: 0,
            syncing: false,
            sparse: BlockSet::default(),
            rows: Vec::new(),
            committed: now,
            synced: now,
            again: Vec::new(),
        }
    }

    /// Runs until the readers have ended and everything that they read is committed or given up. Returns the blocks
    /// that must be stored again, because the blob that they reused no longer exists.
    pub(crate) fn run(mut self, channels: Channels) -> Vec<u64> {
        let Channels { mut fresh, jobs, mut stored, unsynced, mut synced } = channels;
        let mut jobs = Some(jobs);
        let mut writing = true;
        let idle = never();
        // The readers end first, which closes `fresh`; then `jobs` is closed and the writers end, which closes
        // `stored`; then the last batch is made durable.
        loop {
            select! {
                recv(fresh) -> message => match message {
                    Ok(message) => {
                        let more = fresh.try_iter().take(LOOK_UPS - 1);
                        let batch: Vec<Fresh> = std::iter::once(message).chain(more).collect();
                        self.take_fresh(batch, jobs.as_ref());
                    }
                    Err(_) => {
                        fresh = never();
                        jobs = None;
                    }
                },
                recv(if self.is_full() { &idle } else { &stored }) -> message => match message {
                    Ok(message) => self.take_done(message),
                    Err(_) => {
                        stored = never();
                        writing = false;
                    }
                },
                recv(synced) -> message => match message {
                    Ok(batch) => self.take_synced(batch),
                    Err(_) => {
                        synced = never();
                        self.give_up_syncing();
                    }
                },
                default(Duration::from_millis(100)) => {}
            }
            self.sync_if_due(!writing, &unsynced);
            self.commit_if_due();
            self.progress(fresh.len());
            if !writing && !self.syncing && self.unsynced.is_empty() {
                break;
            }
        }
        self.commit();
        self.again
    }

    /// Whether the writers must wait for a slow flush, because a kill would lose too much data that is not committed.
    fn is_full(&self) -> bool {
        self.syncing && self.unsynced_bytes >= MOST_UNSYNCED
    }

    /// Gives up the current batch, because the thread that makes batches durable has ended. It is unknown whether the
    /// batch is safe.
    fn give_up_syncing(&mut self) {
        self.syncing = false;
        self.unsynced.clear();
        self.latch.fail(Error::internal("the flushing thread ended early"));
    }

    fn take_fresh(&mut self, batch: Vec<Fresh>, jobs: Option<&Sender<StoreJob>>) {
        let mut hashed = Vec::new();
        for fresh in batch {
            match fresh {
                Fresh::Holes(range) => {
                    let statistics = &mut self.tally.statistics.sparse;
                    statistics.blocks += range.end - range.start;
                    statistics.bytes += self.run.geometry.bytes(&range);
                    self.tally.done += range.end - range.start;
                    self.sparse.insert(range);
                }
                Fresh::Zero { id } => {
                    let size = self.count_read(id);
                    self.tally.done += 1;
                    self.rows.push(NewRow::Sparse { id, size });
                }
                Fresh::Hashed { id, digest, data } => {
                    self.count_read(id);
                    hashed.push(StoreJob { id, digest, data, known: None });
                }
            }
        }
        if self.run.deduplication {
            self.reuse_known(hashed, jobs);
        } else {
            hashed.into_iter().for_each(|job| self.store(job, jobs));
        }
    }

    fn count_read(&mut self, id: u64) -> u64 {
        let size = self.run.geometry.length(id) as u64;
        self.tally.statistics.read.add(size);
        self.tally.bytes += size;
        size
    }

    fn reuse_known(&mut self, hashed: Vec<StoreJob>, jobs: Option<&Sender<StoreJob>>) {
        let wanted: Vec<Fingerprint> =
            hashed.iter().map(|job| self.run.fingerprint(job.id, job.digest)).collect();
        if wanted.is_empty() || self.latch.is_closed() {
            return;
        }
        let known = match self.meta.find_known(&wanted) {
            Ok(known) => known,
            Err(error) => return self.latch.fail(error),
        };
        for (mut job, mut known) in hashed.into_iter().zip(known) {
            let size = job.data.len() as u64;
            let same = self.by_digest.get(&job.digest).and_then(|first| self.under_way.get_mut(first));
            if let Some(same) = same {
                same.ids.push(job.id);
            } else if let Some(known) = known.take_if(|known| self.is_looked_at(known)) {
                self.rows.push(NewRow::Reuse { id: job.id, known });
            } else {
                job.known = known;
                self.by_digest.insert(job.digest, job.id);
                self.store(job, jobs);
                continue;
            }
            self.tally.statistics.dedup.add(size);
            self.tally.done += 1;
        }
    }

    /// Whether the blob can be reused without another check.
    fn is_looked_at(&self, known: &Known) -> bool {
        !self.run.store.tells_presence() || self.looked.contains(&known.id)
    }

    fn store(&mut self, job: StoreJob, jobs: Option<&Sender<StoreJob>>) {
        if self.latch.is_closed() {
            return;
        }
        self.under_way.insert(job.id, UnderWay { ids: vec![job.id], digest: job.digest });
        // The channel has room for all buffers, so this never waits.
        if jobs.is_none_or(|jobs| jobs.send(job).is_err()) {
            self.latch.fail(Error::internal("the write pool ended early"));
        }
    }

    fn take_done(&mut self, done: Done) {
        match done {
            Done::Known { id, known } => self.take_known(id, &known),
            Done::Stored { stored, instead } => {
                if let Some((known, flaw)) = instead {
                    self.mark(&stored, known, &flaw);
                }
                self.take_stored(stored);
            }
        }
    }

    /// Lets all blocks with that data name the blob.
    fn take_known(&mut self, id: u64, known: &Known) {
        if self.looked.len() >= MOST_LOOKED_AT {
            self.looked.clear();
        }
        self.looked.insert(known.id);
        let Some(done) = self.under_way.remove(&id) else { return };
        self.by_digest.remove(&done.digest);
        self.tally.statistics.dedup.add(self.run.geometry.length(id) as u64);
        self.tally.done += 1;
        self.rows.extend(done.ids.into_iter().map(|id| NewRow::Reuse { id, known: known.clone() }));
    }

    /// Marks a known blob as bad, and all versions that name it as invalid.
    fn mark(&mut self, stored: &Stored, known: Known, flaw: &str) {
        self.run.monitor.error(&reuse::message(stored.id, &known.uid, flaw));
        let NewBlob { fingerprint, encryption, .. } = stored.blob.clone();
        let blob = Blob {
            id: known.id,
            uid: known.uid,
            checksum: Some(fingerprint.checksum),
            size: i64::try_from(fingerprint.size).unwrap_or(i64::MAX),
            valid: false,
            encryption,
        };
        match self.meta.mark_blobs_invalid(&[blob]) {
            Ok(versions) => {
                for uid in versions.iter().filter(|uid| **uid != self.run.version.uid) {
                    self.run.monitor.error(&format!("Marked version invalid because it has errors: {uid}"));
                }
            }
            Err(error) => self.latch.fail(error),
        }
    }

    fn take_stored(&mut self, stored: Stored) {
        self.tally.statistics.written.add(stored.blob.fingerprint.size);
        self.tally.stored += stored.length;
        self.tally.done += 1;
        self.unsynced_bytes += stored.blob.fingerprint.size;
        self.unsynced.push(stored);
    }

    /// Sends the stored blobs to be made durable, one batch at a time.
    fn sync_if_due(&mut self, last: bool, unsynced: &Sender<Vec<Stored>>) {
        let due = self.unsynced.len() >= BATCH || self.synced.elapsed() >= PAUSE || last;
        if self.syncing || !due || self.unsynced.is_empty() {
            return;
        }
        self.syncing = true;
        self.unsynced_bytes = 0;
        if unsynced.send(std::mem::take(&mut self.unsynced)).is_err() {
            self.give_up_syncing();
        }
    }

    /// Commits the rows of a durable batch. It forgets their digests only after that, so that a block with the same
    /// data is found either here or in the database.
    fn take_synced(&mut self, batch: Vec<Stored>) {
        self.syncing = false;
        self.synced = Instant::now();
        let mut digests = Vec::with_capacity(batch.len());
        for stored in batch {
            if let Some(done) = self.under_way.remove(&stored.id) {
                digests.push(done.digest);
                self.rows.push(NewRow::Store { ids: done.ids, blob: stored.blob });
            }
        }
        self.commit();
        for digest in digests {
            self.by_digest.remove(&digest);
        }
    }

    /// How many statements wait to be committed.
    fn waiting(&self) -> usize {
        self.rows.len() + self.sparse.ranges().len()
    }

    fn commit_if_due(&mut self) {
        if self.waiting() >= ROWS || self.committed.elapsed() >= PAUSE {
            self.commit();
        }
    }

    /// Commits the rows that wait, if there are any.
    fn commit(&mut self) {
        if self.waiting() == 0 {
            return;
        }
        self.committed = Instant::now();
        let (rows, sparse) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.sparse));
        let (version, geometry) = (self.run.version, self.run.geometry);
        let committed = self
            .meta
            .set_sparse(version, geometry, &sparse)
            .and_then(|()| self.meta.commit_blocks(version, &rows));
        match committed {
            Ok(rejected) => {
                for id in rejected {
                    // The block was counted as found. It will be read and counted again.
                    let size = self.run.geometry.length(id) as u64;
                    self.tally.statistics.dedup.blocks -= 1;
                    self.tally.statistics.dedup.bytes -= size;
                    self.tally.done -= 1;
                    self.again.push(id);
                }
            }
            Err(error) => self.latch.fail(error),
        }
    }

    fn progress(&self, waiting: usize) {
        let fill = |blocks: usize| (blocks as f64 / self.buffers as f64).min(1.0);
        let activity = Activity::BackupData { source: self.run.source.url() };
        let progress = Progress::new(activity, self.tally.done, self.run.version.size, self.tally.bytes);
        let written = self.under_way.len().saturating_sub(self.unsynced.len());
        self.run.monitor.progress(&Progress {
            read_queue: fill(waiting),
            write_queue: fill(written),
            ..progress
        });
    }
}
