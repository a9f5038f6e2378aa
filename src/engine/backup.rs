//! Making a version of a source.

use super::{Site, tags};
use crate::flow::coordinator::Tally;
use crate::flow::ingest::Ingest;
use crate::flow::plan::{Base, Plan};
use crate::hash::is_zero;
use crate::io::{self, Changes, Source};
use crate::locks::Guard;
use crate::meta::{Finish, Rows, StatisticsRow};
use crate::monitor::{Activity, Progress};
use crate::store::BlobStore;
use crate::throttle::Throttle;
use crate::types::block::Geometry;
use crate::types::error::{Error, Result};
use crate::types::hints::{Hints, count, subtract};
use crate::types::time::Timestamp;
use crate::types::uid::VersionUid;
use crate::types::version::{Count, NewVersion, Origin, Version};
use std::time::Instant;

/// What a user asks for.
pub struct Options<'o> {
    /// URL of the source.
    pub source: &'o str,
    /// Name of the version.
    pub name: &'o str,
    /// Name of the snapshot, or empty.
    pub snapshot_name: &'o str,
    /// A hints file and what to call it.
    pub hints: Option<(Box<dyn std::io::Read + 'o>, &'o str)>,
    /// Uid of the base version.
    pub base: Option<&'o str>,
    /// Uid of the version to be continued.
    pub resume: Option<&'o str>,
    /// Tags; empty: automatic ones.
    pub tags: Vec<String>,
    /// When the user wants it gone.
    pub expire: Option<Timestamp>,
    /// Whether the source will still be there if the backup fails, so that it can be continued.
    pub source_stays: bool,
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// The new version.
    pub version: Version,
    /// What was done, as `stats` lists it.
    pub run: StatisticsRow,
    /// The tags that this run gave it.
    pub tags: Vec<String>,
}

/// After so many rounds of blobs going bad under our hands something else is wrong.
const ROUNDS: usize = 10;

/// Backs up a source.
///
/// # Errors
/// Before the version exists: wrong settings, source, hints, base. After: the version stays invalid, with
/// all that was safely stored, and can be continued.
pub fn run(site: &mut Site<'_>, options: Options<'_>) -> Result<Made> {
    let started = Instant::now();
    let store = site.open_store()?;
    let source = io::open_source(options.source, &site.config.io, site.config.block_size)?;
    let geometry = Geometry::new(source.size(), site.config.block_size);
    check_settings(site, &*store)?;
    let base = match options.base {
        Some(uid) => Some(open_base(site, uid)?),
        None => None,
    };
    let hints = match (options.hints, &base) {
        (Some((input, what)), _) => Some(Hints::from_json(input, what, geometry)?),
        (None, Some((base, _, _))) => changes(site, &*source, base, geometry)?,
        (None, None) => None,
    };
    let resumed = match options.resume {
        Some(uid) => Some(open_unfinished(site, uid, &*source, geometry)?),
        None => None,
    };
    let present = match &resumed {
        Some((version, _)) => present(site, version)?,
        None => Vec::new(),
    };
    let plan_base = base.as_ref().map(|(_, base, _)| base);
    let plan = Plan::new(geometry, hints.as_ref(), plan_base, &present);
    let mut tally = Tally { done: count(&present), ..Tally::default() };
    if let Some((base, _, _)) = base.as_ref().filter(|_| hints.as_ref().is_some_and(|h| !h.is_empty())) {
        compare_with_base(site, &*source, geometry, base, &plan, &mut tally)?;
    }
    let snapshot_name = match options.snapshot_name {
        "" => source.snapshot_name(),
        given => given,
    };
    let (version, _lock, given) = match resumed {
        Some((version, lock)) => {
            site.meta.add_tags(&version, &options.tags)?;
            (version, lock, options.tags)
        }
        None => {
            let origin = source.origin().cloned();
            let (name, tags, expire) = (options.name, options.tags, options.expire);
            begin(site, geometry, Naming { name, snapshot_name, tags, expire, origin })?
        }
    };
    let reads = site.parallel(options.source)?.reads;
    let base = base.as_ref().map(|(version, _, _)| version);
    let job =
        Job { site, store: &*store, source: &*source, geometry, version: &version, tally, reads, started };
    let run = job.complete(&plan, base, options.name).inspect_err(|_| {
        let text = match options.source_stays {
            true => format!(
                "Version {0} is incomplete; continue it with `backy2 backup -c {0} {1} {2}`.",
                version.uid, options.source, options.name
            ),
            false => format!(
                "Version {0} is incomplete. Back up again: what it has is used again. Then `backy2 rm -f {0}`.",
                version.uid
            ),
        };
        site.monitor.error(&text);
    })?;
    Ok(Made { version: site.meta.version(&version.uid)?, run, tags: given })
}

/// What a new version is called.
pub struct Naming<'o> {
    /// Name of the version.
    pub name: &'o str,
    /// Name of the snapshot, or empty.
    pub snapshot_name: &'o str,
    /// All of its tags; none: automatic ones.
    pub tags: Vec<String>,
    /// When the user wants it gone.
    pub expire: Option<Timestamp>,
    /// Which snapshot it is of, where that is certain.
    pub origin: Option<Origin>,
}

/// Stores `source`, which is no source of the user's, as a new version.
///
/// # Errors
/// As [`run`].
pub fn copy(
    site: &mut Site<'_>,
    store: &dyn BlobStore,
    source: &dyn Source,
    new: Naming<'_>,
) -> Result<Made> {
    let started = Instant::now();
    check_settings(site, store)?;
    let geometry = Geometry::new(source.size(), site.config.block_size);
    let plan = Plan::new(geometry, None, None, &[]);
    let name = new.name;
    let (version, _lock, tags) = begin(site, geometry, new)?;
    let reads = site.config.data.simultaneous_reads;
    let tally = Tally::default();
    let job = Job { site, store, source, geometry, version: &version, tally, reads, started };
    let run = job.complete(&plan, None, name).inspect_err(|_| {
        site.monitor.error(&format!(
            "The new version {0} is incomplete. Begin again: what it has is used again. Then `backy2 rm -f {0}`.",
            version.uid
        ));
    })?;
    Ok(Made { version: site.meta.version(&version.uid)?, run, tags })
}

/// Refuses wrong settings before anything is written.
fn check_settings(site: &mut Site<'_>, store: &dyn BlobStore) -> Result<()> {
    if site.config.encryption_version == 1 && !site.keys.has_key() {
        return Err(Error::Config(
            "[DEFAULTS] encryption_key is missing: new blobs are to be encrypted (encryption_version 1, the \
             default). Set it to 64 hex digits (`openssl rand -hex 32`) and keep a copy of it elsewhere, or set \
             encryption_version: 0. Nothing was written."
                .into(),
        ));
    }
    // Without encryption the key matters to nothing that is written.
    let with_key = site.config.encryption_version == 1;
    site.probe(store, None, with_key)
}

/// The base version, pinned, and what the plan needs of it.
fn open_base(site: &mut Site<'_>, uid: &str) -> Result<(Version, Base, Guard)> {
    let (version, guard) = site.pin(uid)?;
    if !version.valid {
        return Err(Error::Refused(format!(
            "You cannot base on an invalid version: {uid}. `backy2 ls` shows which are valid."
        )));
    }
    let base = Base {
        geometry: Geometry::new(version.size_bytes, site.config.block_size),
        unusable: site.meta.unusable(&version)?,
    };
    Ok((version, base, guard))
}

/// What has changed since `base`, where the source can tell.
fn changes(
    site: &mut Site<'_>,
    source: &dyn Source,
    base: &Version,
    geometry: Geometry,
) -> Result<Option<Hints>> {
    if source.origin().is_none() {
        return Ok(None);
    }
    let monitor = site.monitor;
    let changes = match site.meta.origin(base)? {
        Some(origin) => source.changes_since(&origin, &base.snapshot_name, &|| monitor.check())?,
        None => Changes::Unknown("no snapshot of an image was recorded with it".to_owned()),
    };
    match changes {
        Changes::Known(hints) => Hints::new(&hints, source.url(), geometry).map(Some),
        Changes::Unknown(why) => {
            monitor.info(&format!(
                "What has changed since version {} is not known: {why}. All is read; what is stored already is not \
                 stored again.",
                base.uid
            ));
            Ok(None)
        }
    }
}

/// The version to be continued, locked.
fn open_unfinished(
    site: &mut Site<'_>,
    uid: &str,
    source: &dyn Source,
    geometry: Geometry,
) -> Result<(Version, Guard)> {
    let (version, guard) = site.own(uid)?;
    if version.valid {
        return Err(Error::Refused(format!("You cannot continue a valid version: {uid} is complete.")));
    }
    if version.size_bytes != geometry.size_bytes() {
        return Err(Error::Refused(format!(
            "Version {uid} has a different size than the source ({} and {} bytes). Cannot continue: start a new \
             backup.",
            version.size_bytes,
            geometry.size_bytes()
        )));
    }
    let begun = site.meta.origin(&version)?;
    if begun.is_some() && begun.as_ref() != source.origin() {
        return Err(Error::Refused(format!(
            "Version {uid} was begun from snapshot {} of an RBD image, and {} is not that. Cannot continue: give that \
             snapshot, or start a new backup.",
            version.snapshot_name,
            source.url()
        )));
    }
    Ok((version, guard))
}

/// Blocks of an unfinished version that are there already.
fn present(site: &mut Site<'_>, version: &Version) -> Result<Vec<std::ops::Range<u64>>> {
    let missing = site.meta.missing(version)?;
    Ok(subtract(&[0..version.size], &missing))
}

/// Makes the version, locked before anybody can see it.
fn begin(site: &mut Site<'_>, geometry: Geometry, new: Naming<'_>) -> Result<(Version, Guard, Vec<String>)> {
    let now = Timestamp::now();
    let given = if new.tags.is_empty() { tags::automatic(site, new.name, now)? } else { new.tags };
    let uid = VersionUid::generate();
    let lock = site.locks.own(&uid)?;
    let version = site.meta.begin_version(&NewVersion {
        uid,
        date: now,
        expire: new.expire,
        name: new.name.to_owned(),
        snapshot_name: new.snapshot_name.to_owned(),
        size: geometry.blocks(),
        size_bytes: geometry.size_bytes(),
        tags: given.clone(),
        origin: new.origin,
    })?;
    Ok((version, lock, given))
}

/// Reads a few blocks that the hints call unchanged, and compares them with the base: hints of another image
/// or of another snapshot would make a version that is silently wrong.
fn compare_with_base(
    site: &mut Site<'_>,
    source: &dyn Source,
    geometry: Geometry,
    base: &Version,
    plan: &Plan,
    tally: &mut Tally,
) -> Result<()> {
    let mut data = Vec::new();
    for id in plan.blocks_to_check(&mut fastrand::Rng::new()) {
        site.monitor.check()?;
        data.resize(geometry.length(id), 0);
        source.read_at(geometry.offset(id), &mut data)?;
        tally.statistics.read.add(data.len() as u64);
        let row = site.meta.rows(base, id, 1, Rows::All)?.into_iter().find(|row| row.id == id);
        let same = match row.map(|row| row.blob) {
            Some(Some(blob)) => blob.checksum == Some(site.hasher.digest(&data).hex()),
            Some(None) => is_zero(&data),
            None => false,
        };
        if !same {
            return Err(Error::BaseMismatch {
                base: base.uid.clone(),
                block: id,
                offset: geometry.offset(id),
            });
        }
    }
    Ok(())
}

/// A backup whose version exists.
struct Job<'j, 's> {
    site: &'j mut Site<'s>,
    store: &'j dyn BlobStore,
    source: &'j dyn Source,
    geometry: Geometry,
    version: &'j Version,
    tally: Tally,
    reads: usize,
    started: Instant,
}

impl Job<'_, '_> {
    /// Makes the version valid, or leaves it so that it can be continued.
    fn complete(mut self, plan: &Plan, base: Option<&Version>, name: &str) -> Result<StatisticsRow> {
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
        // A run that stores nothing new would not notice.
        self.store.check()?;
        let mut read = match self.prepare(plan, base)? == count(&plan.carry) {
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
            let row = self.statistics_row(name);
            match self.site.meta.finish_version(self.version, &row)? {
                Finish::Valid => return Ok(()),
                Finish::Missing(ranges) => {
                    self.tally.done = self.tally.done.saturating_sub(count(&ranges));
                    read = ranges;
                }
            }
        }
        Err(Error::Internal(format!(
            "blobs of version {} keep going bad while it is written",
            self.version.uid
        )))
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
            let bytes: u64 = plan.carry.iter().map(|range| self.geometry.bytes(range)).sum();
            let stored = carried.blocks - carried.sparse.blocks;
            statistics.dedup += Count { blocks: stored, bytes: bytes.saturating_sub(carried.sparse.bytes) };
            statistics.sparse += carried.sparse;
            self.tally.done += carried.blocks;
            blocks = carried.blocks;
        }
        site.meta.set_sparse(self.version, self.geometry, &plan.sparse)?;
        let bytes = plan.sparse.iter().map(|range| self.geometry.bytes(range)).sum();
        statistics.sparse += Count { blocks: count(&plan.sparse), bytes };
        self.tally.done += count(&plan.sparse);
        Ok(blocks)
    }

    fn progress(&self, activity: Activity<'_>) {
        if self.version.size == 0 {
            return;
        }
        self.site.monitor.progress(&Progress {
            activity,
            done: self.tally.done,
            total: self.version.size,
            bytes: 0,
            read_queue: 0.0,
            write_queue: 0.0,
        });
    }

    fn ingest(&mut self, read: &[std::ops::Range<u64>]) -> Result<Vec<std::ops::Range<u64>>> {
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
        ingest.run(&mut *site.meta, self.version, read, &mut self.tally)
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
