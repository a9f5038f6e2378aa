//! Backs up a source: makes a version of it.

use super::copies::{self, Copies};
use super::site::Key;
use super::{Site, Use, tags};
use crate::flow::coordinator::Tally;
use crate::flow::plan::Plan;
use crate::io::{self, Source};
use crate::locks::Guard;
use crate::meta::StatisticsRow;
use crate::monitor::{Level, Monitor};
use crate::store::BlobStore;
use crate::types::block::Geometry;
use crate::types::block_set::BlockSet;
use crate::types::error::{Error, Result};
use crate::types::hints::Hints;
use crate::types::remedy::{Continuation, Remedy};
use crate::types::time::Timestamp;
use crate::types::uid::VersionUid;
use crate::types::version::Version;
use std::time::Instant;

pub(in crate::engine) mod backup_run;
mod compare;
mod opening;

pub use backup_run::Naming;
use backup_run::{BackupRun, Completed, Ends, begin};
use opening::{Base, Changed, Unfinished, changes, check_size, open_base, open_unfinished, tell_of_others};

/// Options of a backup.
pub struct Options<'o> {
    /// URL of the source.
    pub source: &'o str,
    /// Name of the version.
    pub name: &'o str,
    /// Name of the snapshot, or empty.
    pub snapshot_name: &'o str,
    /// A hints file, and its name for messages.
    pub hints: Option<(Box<dyn std::io::Read + 'o>, &'o str)>,
    /// Uid of the base version.
    pub base: Option<&'o str>,
    /// Uid of the incomplete version to continue.
    pub resume: Option<&'o str>,
    /// Tags for the version. Without any, a new version gets automatic tags.
    pub tags: Vec<String>,
    /// When the version expires, if the user gave a date.
    pub expire: Option<Timestamp>,
    /// Whether the source still exists after a failed backup, so that the backup can be continued.
    pub source_stays: bool,
    /// Accept an empty source even if the newest version of that name has data.
    pub allow_empty: bool,
}

/// The result of a backup.
#[derive(Clone, Debug)]
pub struct Made {
    /// The new version.
    pub version: Version,
    /// Statistics of the run, as `stats` lists them.
    pub run: StatisticsRow,
    /// Size of the new blobs in the store, in bytes.
    pub stored: u64,
    /// The tags that this run gave the version.
    pub tags: Vec<String>,
}

/// Backs up a source.
///
/// # Errors
/// Before the version exists: wrong settings, source, hints or base. After that, the version stays invalid. It keeps
/// the data that was safely stored, and can be continued.
pub fn run(site: &mut Site<'_>, mut options: Options<'_>) -> Result<Made> {
    let started = Instant::now();
    let store = site.open_store(Use::Write)?;
    let copies = Copies::open(site, &*store)?;
    let source = io::open_source(options.source, &site.config.io, site.config.block_size)?;
    check_settings(site, &*store)?;
    check_size(site, &*source, options.name, options.allow_empty)?;
    let Prepared { plan, base, unfinished, tally } = prepare(site, &*source, &mut options)?;
    let begun = match unfinished {
        Some(unfinished) => {
            copies::unseal(site, &*store, copies.as_ref(), &unfinished.version)?;
            go_on(site, unfinished, options.tags)?
        }
        None => begin_for(site, &*source, &options)?,
    };
    let version = &begun.version;
    tell_of_others(site, version);
    let reads = site.parallel(options.source)?.reads;
    let ends = Ends { source: &*source, reads, store: &*store, copies: copies.as_ref(), version };
    let base = base.as_ref().map(|base| &base.version);
    let run = BackupRun::new(site, ends, tally, started).complete(&plan, base, options.name);
    let Completed { row: run, stored } = run.inspect_err(|_| {
        let again = options.source_stays.then_some((options.source, options.name));
        tell_way_on(site.monitor, &version.uid, again);
    })?;
    if let Some(copies) = &copies {
        copies.catch_up(site);
    }
    Ok(Made { version: site.meta.version(&version.uid)?, run, stored, tags: begun.tags })
}

/// The findings of a backup before it makes a version.
struct Prepared {
    plan: Plan,
    base: Option<Base>,
    /// The version to continue, if there is one.
    unfinished: Option<Unfinished>,
    tally: Tally,
}

/// Finds the base, the changes since then, and the version to continue. Makes the plan, and compares some of its blocks
/// with the source.
fn prepare(site: &mut Site<'_>, source: &dyn Source, options: &mut Options<'_>) -> Result<Prepared> {
    let geometry = Geometry::new(source.size(), site.config.block_size);
    let base = match options.base {
        Some(text) => Some(open_base(site, text)?),
        None => None,
    };
    let changed = match (options.hints.take(), &base) {
        (Some((input, what)), _) => Changed::Hinted(Hints::from_json(input, what, geometry)?),
        (None, Some(base)) => changes(site, source, &base.version, geometry)?,
        (None, None) => Changed::Unknown,
    };
    let mut tally = Tally::default();
    let unfinished = match options.resume {
        Some(text) => Some(open_unfinished(site, text, options.name, source, &mut tally)?),
        None => None,
    };
    let nothing = BlockSet::default();
    let present = unfinished.as_ref().map_or(&nothing, |unfinished| &unfinished.present);
    tally.done = present.count();
    let plan = Plan::new(geometry, changed.hints(), base.as_ref().map(|base| &base.blocks), present);
    compare::check(site, source, base.as_ref(), &changed, &plan, &mut tally)?;
    Ok(Prepared { plan, base, unfinished, tally })
}

/// A version that this run fills with blocks.
struct Begun {
    version: Version,
    /// The tags that this run gave the version.
    tags: Vec<String>,
    _lock: Guard,
}

fn go_on(site: &mut Site<'_>, unfinished: Unfinished, tags: Vec<String>) -> Result<Begun> {
    let Unfinished { version, lock, .. } = unfinished;
    site.meta.add_tags(&version, &tags)?;
    Ok(Begun { version, tags, _lock: lock })
}

fn begin_for(site: &mut Site<'_>, source: &dyn Source, options: &Options<'_>) -> Result<Begun> {
    let geometry = Geometry::new(source.size(), site.config.block_size);
    let (name, expire) = (options.name, options.expire);
    let snapshot_name = match options.snapshot_name {
        "" => source.snapshot_name(),
        asked => asked,
    };
    let tags = if options.tags.is_empty() {
        tags::automatic(site, name, Timestamp::now())?
    } else {
        options.tags.clone()
    };
    let origin = source.origin().cloned();
    let naming = Naming { name, snapshot_name, tags: tags.clone(), expire, origin };
    let (version, lock) = begin(site, geometry, naming)?;
    Ok(Begun { version, tags, _lock: lock })
}

/// Says how to go on with the incomplete version `uid`. `again` has the source and the name if the version can be
/// continued from them.
fn tell_way_on(monitor: &dyn Monitor, uid: &VersionUid, again: Option<(&str, &str)>) {
    let remedy = match again {
        Some((source, name)) => {
            let (version, source, name) = (uid.clone(), source.to_owned(), name.to_owned());
            let how = Continuation::Backup { version, source, name };
            monitor.can_continue(&how);
            Remedy::Continue(how)
        }
        None => Remedy::StartAgain(uid.clone()),
    };
    monitor.advise(Level::Error, &format!("Version {uid} is incomplete."), &[remedy]);
}

/// Stores `source`, which is not one that the user named, as a new version.
///
/// # Errors
/// Those of [`run`].
pub fn copy(
    site: &mut Site<'_>,
    store: &dyn BlobStore,
    source: &dyn Source,
    new: Naming<'_>,
) -> Result<Made> {
    let started = Instant::now();
    let copies = Copies::open(site, store)?;
    check_settings(site, store)?;
    let geometry = Geometry::new(source.size(), site.config.block_size);
    let plan = Plan::new(geometry, None, None, &BlockSet::default());
    let name = new.name;
    let tags = new.tags.clone();
    let (version, _lock) = begin(site, geometry, new)?;
    let reads = site.config.data.simultaneous_reads;
    let ends = Ends { source, reads, store, copies: copies.as_ref(), version: &version };
    let run = BackupRun::new(site, ends, Tally::default(), started).complete(&plan, None, name);
    let Completed { row: run, stored } = run.inspect_err(|_| {
        tell_way_on(site.monitor, &version.uid, None);
    })?;
    if let Some(copies) = &copies {
        copies.catch_up(site);
    }
    Ok(Made { version: site.meta.version(&version.uid)?, run, stored, tags })
}

/// Refuses wrong settings, and a store that cannot be written to, before a version is made.
pub(super) fn check_settings(site: &mut Site<'_>, store: &dyn BlobStore) -> Result<()> {
    if site.config.encryption_version == 1 && !site.keys.has_key() {
        return Err(Error::config(
            "[DEFAULTS] encryption_key is missing: new blobs are to be encrypted (encryption_version 1, the \
             default). Set it to 64 hex digits (`openssl rand -hex 32`) and keep a copy of it elsewhere, or set \
             encryption_version: 0. Nothing was written.",
        ));
    }
    // Check this here, because a run that stores nothing new would not notice it.
    store.check_writable()?;
    // Without encryption, new data does not depend on the key.
    let key = if site.config.encryption_version == 1 { Key::Needed } else { Key::Unneeded };
    site.probe(store, None, key)
}
