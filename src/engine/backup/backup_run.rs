//! Carries out the plan of a backup: begins the version, carries unchanged blocks over, and reads the others.

use crate::engine::copies::{Copies, Work};
use crate::engine::{Site, future};
use crate::flow::coordinator::Tally;
use crate::flow::ingest::Ingest;
use crate::flow::plan::Plan;
use crate::io::Source;
use crate::locks::Guard;
use crate::meta::{Finish, StatisticsRow};
use crate::monitor::{Activity, Progress};
use crate::store::BlobStore;
use crate::throttle::Throttle;
use crate::types::block::Geometry;
use crate::types::block_set::BlockSet;
use crate::types::error::{Error, Result};
use crate::types::keys::BlobId;
use crate::types::time::Timestamp;
use crate::types::uid::VersionUid;
use crate::types::version::{Count, NewVersion, SnapshotOrigin, Version};
use std::time::Instant;

/// Number of attempts to complete the version. If blobs go bad in each of them, something else is wrong.
const ROUNDS: usize = 10;

/// Names, tags, expiry and origin of a new version.
pub struct Naming<'o> {
    /// Name of the version.
    pub name: &'o str,
    /// Name of the snapshot, or empty.
    pub snapshot_name: &'o str,
    /// All of its tags.
    pub tags: Vec<String>,
    /// When the version expires, if the user gave a date.
    pub expire: Option<Timestamp>,
    /// The snapshot that the version is made of, if that is certain.
    pub origin: Option<SnapshotOrigin>,
}

/// Makes the version. Locks it first, so that no other process sees it unlocked.
pub(in crate::engine) fn begin(
    site: &mut Site<'_>,
    geometry: Geometry,
    new: Naming<'_>,
) -> Result<(Version, Guard)> {
    let date = future::date_of_new(site, new.name)?;
    let uid = VersionUid::generate();
    let lock = site.locks.own(&uid)?;
    let version = site.meta.begin_version(&NewVersion {
        uid,
        date,
        expire: new.expire,
        name: new.name.to_owned(),
        snapshot_name: new.snapshot_name.to_owned(),
        size: geometry.blocks(),
        size_bytes: geometry.size_bytes(),
        tags: new.tags,
        origin: new.origin,
    })?;
    Ok((version, lock))
}

/// A backup whose version exists.
pub(in crate::engine) struct BackupRun<'r, 's> {
    site: &'r mut Site<'s>,
    ingest: Ingest<'r>,
    copies: Option<&'r Copies<'r>>,
    tally: Tally,
    started: Instant,
}

/// The source and the destination of the blocks.
pub(in crate::engine) struct Ends<'r> {
    /// The source to back up.
    pub source: &'r dyn Source,
    /// Number of its blocks read at the same time.
    pub reads: usize,
    /// The store for new blobs.
    pub store: &'r dyn BlobStore,
    /// The copies of the metadata in the store, if there are any.
    pub copies: Option<&'r Copies<'r>>,
    /// The version. It exists and has the size of the source.
    pub version: &'r Version,
}

/// The result of a run that made its version valid.
pub(crate) struct Completed {
    /// Statistics of the run.
    pub row: StatisticsRow,
    /// Size of the new blobs in the store, in bytes.
    pub stored: u64,
}

impl<'r, 's: 'r> BackupRun<'r, 's> {
    /// A run that began at `started`. `tally` counts the work done so far.
    pub(crate) fn new(site: &'r mut Site<'s>, ends: Ends<'r>, tally: Tally, started: Instant) -> Self {
        let config = site.config;
        let ingest = Ingest {
            source: ends.source,
            store: ends.store,
            version: ends.version,
            geometry: Geometry::new(ends.source.size(), config.block_size),
            monitor: site.monitor,
            keys: site.keys.clone(),
            hasher: site.hasher,
            enc_version: config.encryption_version,
            deduplication: config.deduplication,
            reads: ends.reads,
            writes: config.data.simultaneous_writes,
            throttle: Throttle::new(config.data.bandwidth_write),
        };
        BackupRun { site, ingest, copies: ends.copies, tally, started }
    }

    /// Fills the version and makes it valid. After an error it can be continued.
    pub(crate) fn complete(mut self, plan: &Plan, base: Option<&Version>, name: &str) -> Result<Completed> {
        self.site.monitor.version_created(&self.ingest.version.uid);
        let result = self.run(plan, base, name);
        let row = self.statistics_row(name);
        if result.is_err() {
            // Ignore errors here: the user needs to see the error that ended the run.
            let _ = self.site.meta.add_statistics(&row);
        }
        result.map(|()| Completed { row, stored: self.tally.stored })
    }

    fn run(&mut self, plan: &Plan, base: Option<&Version>, name: &str) -> Result<()> {
        let since = self.site.meta.last_blob()?;
        let mut read = if self.prepare(plan, base)? == plan.carry.count() {
            plan.read.clone()
        } else {
            // Some blob of the base has gone bad since the plan was made.
            self.site.meta.missing(self.ingest.version)?
        };
        let carried = if base.is_some() { plan.carry.subtract(&read) } else { BlockSet::default() };
        let mut work = Work { base, carried };
        // Report this even if there is nothing to read.
        self.progress(Activity::BackupData { source: self.ingest.source.url() });
        for _ in 0..ROUNDS {
            while !read.is_empty() {
                read = self.ingest.run(&mut self.site.meta, &read, &mut self.tally)?;
            }
            self.ingest.source.verify()?;
            // If the store's folder was replaced meanwhile, readers would not find the blobs.
            self.ingest.store.check()?;
            self.tell_of_growth();
            match self.finish(&work, since, name)? {
                Finish::Valid => return Ok(()),
                Finish::Missing(blocks) => {
                    self.tally.done = self.tally.done.saturating_sub(blocks.count());
                    work.carried = work.carried.subtract(&blocks);
                    read = blocks;
                }
            }
        }
        Err(Error::internal(format!(
            "blobs of version {} keep going bad while it is written",
            self.ingest.version.uid
        )))
    }

    /// Makes the version valid if it is complete. Its copy is written before. `since` is the newest blob from before this
    /// run.
    fn finish(&mut self, work: &Work<'_>, since: BlobId, name: &str) -> Result<Finish> {
        if let Some(copies) = self.copies {
            copies.cover_needed(self.site, since)?;
            let row = self.statistics_row(name);
            return copies.finish(self.site, self.ingest.version, work, &row);
        }
        let row = self.statistics_row(name);
        self.site.meta.finish_version(self.ingest.version, &row, None)
    }

    fn tell_of_growth(&self) {
        let Some(now) = self.ingest.source.size_now().filter(|now| *now > self.ingest.source.size()) else {
            return;
        };
        self.site.monitor.warning(&format!(
            "{} has grown to {now} bytes during the backup. The version has the first {}.",
            self.ingest.source.url(),
            self.ingest.source.size()
        ));
    }

    /// Carries the unchanged blocks over and records the sparse ones. Both take only SQL statements and read no data.
    /// Returns the number of carried blocks.
    fn prepare(&mut self, plan: &Plan, base: Option<&Version>) -> Result<u64> {
        let source = self.ingest.source;
        self.progress(Activity::BackupPrep { source: source.url() });
        let mut blocks = 0;
        let site = &mut *self.site;
        let statistics = &mut self.tally.statistics;
        if let Some(base) = base.filter(|_| !plan.carry.is_empty()) {
            let carried = site.meta.carry(base, self.ingest.version, &plan.carry)?;
            let bytes = plan.carry.bytes(self.ingest.geometry);
            let stored = carried.blocks - carried.sparse.blocks;
            statistics.dedup += Count { blocks: stored, bytes: bytes.saturating_sub(carried.sparse.bytes) };
            statistics.sparse += carried.sparse;
            self.tally.done += carried.blocks;
            blocks = carried.blocks;
        }
        site.meta.set_sparse(self.ingest.version, self.ingest.geometry, &plan.sparse)?;
        statistics.sparse +=
            Count { blocks: plan.sparse.count(), bytes: plan.sparse.bytes(self.ingest.geometry) };
        self.tally.done += plan.sparse.count();
        Ok(blocks)
    }

    fn progress(&self, activity: Activity<'_>) {
        if self.ingest.version.size == 0 {
            return;
        }
        let progress = Progress::new(activity, self.tally.done, self.ingest.version.size, 0);
        self.site.monitor.progress(&progress);
    }

    fn statistics_row(&self, name: &str) -> StatisticsRow {
        StatisticsRow {
            date: Timestamp::now(),
            version_uid: self.ingest.version.uid.clone(),
            name: name.to_owned(),
            geometry: self.ingest.geometry,
            statistics: self.tally.statistics,
            duration: self.started.elapsed().as_secs(),
        }
    }
}
