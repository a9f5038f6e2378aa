//! A backup whose plan is made: the version, what it carries, and what is read for it.

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
use crate::types::time::Timestamp;
use crate::types::uid::VersionUid;
use crate::types::version::{Count, NewVersion, Origin, Version};
use std::time::Instant;

/// After so many rounds of blobs going bad under our hands something else is wrong.
const ROUNDS: usize = 10;

/// What a new version is called.
pub struct Naming<'o> {
    /// Name of the version.
    pub name: &'o str,
    /// Name of the snapshot, or empty.
    pub snapshot_name: &'o str,
    /// All of its tags.
    pub tags: Vec<String>,
    /// When the user wants it gone.
    pub expire: Option<Timestamp>,
    /// Which snapshot it is of, where that is certain.
    pub origin: Option<Origin>,
}

/// Makes the version, locked before anybody can see it.
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
pub(in crate::engine) struct Job<'j, 's> {
    pub site: &'j mut Site<'s>,
    pub store: &'j dyn BlobStore,
    pub source: &'j dyn Source,
    pub geometry: Geometry,
    pub version: &'j Version,
    pub tally: Tally,
    pub reads: usize,
    pub started: Instant,
}

impl Job<'_, '_> {
    /// Makes the version valid, or leaves it so that it can be continued.
    pub fn complete(mut self, plan: &Plan, base: Option<&Version>, name: &str) -> Result<StatisticsRow> {
        self.site.monitor.version_created(&self.version.uid);
        let result = self.run(plan, base, name);
        let row = self.statistics_row(name);
        if result.is_err() {
            // Best effort: the error that ended the run is the one to tell.
            let _ = self.site.meta.add_statistics(&row);
        }
        result.map(|()| row)
    }

    fn run(&mut self, plan: &Plan, base: Option<&Version>, name: &str) -> Result<()> {
        let mut read = match self.prepare(plan, base)? == plan.carry.count() {
            true => plan.read.clone(),
            // Some blob of the base went bad since the plan was made.
            false => self.site.meta.missing(self.version)?,
        };
        // Also where there is nothing to read.
        self.progress(Activity::BackupData { source: self.source.url() });
        for _ in 0..ROUNDS {
            while !read.is_empty() {
                read = self.ingest(&read)?;
            }
            self.source.verify()?;
            // What was written to a folder that was exchanged meanwhile is not where it will be looked for.
            self.store.check()?;
            self.tell_of_growth();
            let row = self.statistics_row(name);
            match self.site.meta.finish_version(self.version, &row)? {
                Finish::Valid => return Ok(()),
                Finish::Missing(blocks) => {
                    self.tally.done = self.tally.done.saturating_sub(blocks.count());
                    read = blocks;
                }
            }
        }
        Err(Error::internal(format!(
            "blobs of version {} keep going bad while it is written",
            self.version.uid
        )))
    }

    fn tell_of_growth(&self) {
        let Some(now) = self.source.size_now().filter(|now| *now > self.source.size()) else { return };
        self.site.monitor.warning(&format!(
            "{} has grown to {now} bytes during the backup. The version has the first {}.",
            self.source.url(),
            self.source.size()
        ));
    }

    /// Carries the unchanged blocks over and records the sparse ones: statements, no data. Returns how many
    /// were carried.
    fn prepare(&mut self, plan: &Plan, base: Option<&Version>) -> Result<u64> {
        let source = self.source;
        self.progress(Activity::BackupPrep { source: source.url() });
        let mut blocks = 0;
        let site = &mut *self.site;
        let statistics = &mut self.tally.statistics;
        if let Some(base) = base.filter(|_| !plan.carry.is_empty()) {
            let carried = site.meta.carry(base, self.version, &plan.carry)?;
            let bytes = plan.carry.bytes(self.geometry);
            let stored = carried.blocks - carried.sparse.blocks;
            statistics.dedup += Count { blocks: stored, bytes: bytes.saturating_sub(carried.sparse.bytes) };
            statistics.sparse += carried.sparse;
            self.tally.done += carried.blocks;
            blocks = carried.blocks;
        }
        site.meta.set_sparse(self.version, self.geometry, &plan.sparse)?;
        statistics.sparse += Count { blocks: plan.sparse.count(), bytes: plan.sparse.bytes(self.geometry) };
        self.tally.done += plan.sparse.count();
        Ok(blocks)
    }

    fn progress(&self, activity: Activity<'_>) {
        if self.version.size == 0 {
            return;
        }
        let progress = Progress::new(activity, self.tally.done, self.version.size, 0);
        self.site.monitor.progress(&progress);
    }

    fn ingest(&mut self, read: &BlockSet) -> Result<BlockSet> {
        let (config, site) = (self.site.config, &mut *self.site);
        let throttle = Throttle::new(config.data.bandwidth_write);
        let ingest = Ingest {
            source: self.source,
            store: self.store,
            monitor: site.monitor,
            keys: &site.keys,
            hasher: site.hasher,
            geometry: self.geometry,
            enc_version: config.encryption_version,
            deduplication: config.deduplication,
            reads: self.reads,
            writes: config.data.simultaneous_writes,
            throttle: &throttle,
        };
        ingest.run(&mut site.meta, self.version, read, &mut self.tally)
    }

    fn statistics_row(&self, name: &str) -> StatisticsRow {
        StatisticsRow {
            date: Timestamp::now(),
            version_uid: self.version.uid.clone(),
            name: name.to_owned(),
            geometry: self.geometry,
            statistics: self.tally.statistics,
            duration: self.started.elapsed().as_secs(),
        }
    }
}
