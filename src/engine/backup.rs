//! Making a version of a source.

use super::{Site, tags};
use crate::flow::coordinator::Tally;
use crate::flow::plan::{Base, Plan};
use crate::hash::is_zero;
use crate::io::{self, Changes, Source};
use crate::locks::Guard;
use crate::meta::{Rows, StatisticsRow};
use crate::store::BlobStore;
use crate::types::block::Geometry;
use crate::types::error::{Error, Result};
use crate::types::hints::{Hints, count, subtract};
use crate::types::time::Timestamp;
use crate::types::version::Version;
use std::time::Instant;

pub(in crate::engine) mod job;

pub use job::Naming;
use job::{Job, begin};

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
            let (name, expire) = (options.name, options.expire);
            let tags = match options.tags.is_empty() {
                true => tags::automatic(site, name, Timestamp::now())?,
                false => options.tags,
            };
            let naming = Naming { name, snapshot_name, tags: tags.clone(), expire, origin };
            let (version, lock) = begin(site, geometry, naming)?;
            (version, lock, tags)
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
    let tags = new.tags.clone();
    let (version, _lock) = begin(site, geometry, new)?;
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
pub(super) fn check_settings(site: &mut Site<'_>, store: &dyn BlobStore) -> Result<()> {
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
