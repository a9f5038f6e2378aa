//! Making a version of a source.

use super::{Site, tags};
use crate::flow::coordinator::Tally;
use crate::flow::plan::Plan;
use crate::io::{self, Source};
use crate::meta::StatisticsRow;
use crate::monitor::Monitor;
use crate::store::BlobStore;
use crate::types::block::Geometry;
use crate::types::block_set::BlockSet;
use crate::types::error::{Error, Result};
use crate::types::hints::Hints;
use crate::types::text::quoted;
use crate::types::time::Timestamp;
use crate::types::uid::VersionUid;
use crate::types::version::Version;
use std::time::Instant;

mod compare;
pub(in crate::engine) mod job;
mod opening;

pub use job::Naming;
use job::{Job, begin};
use opening::{Unfinished, changes, check_size, open_base, open_unfinished, tell_of_others};

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
    /// Whether an empty source is right though there is a version with data.
    pub allow_empty: bool,
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
    check_size(site, &*source, options.name, options.allow_empty)?;
    let base = match options.base {
        Some(uid) => Some(open_base(site, uid)?),
        None => None,
    };
    let told = options.hints.is_some();
    let hints = match (options.hints, &base) {
        (Some((input, what)), _) => Some(Hints::from_json(input, what, geometry)?),
        (None, Some((base, _, _))) => changes(site, &*source, base, geometry)?,
        (None, None) => None,
    };
    let mut tally = Tally::default();
    let resumed = match options.resume {
        Some(uid) => Some(open_unfinished(site, uid, options.name, &*source, &mut tally)?),
        None => None,
    };
    let present = resumed.as_ref().map(|resumed| resumed.present.clone()).unwrap_or_default();
    tally.done = present.count();
    let plan_base = base.as_ref().map(|(_, base, _)| base);
    let plan = Plan::new(geometry, hints.as_ref(), plan_base, &present);
    match &base {
        // What the source itself has proved to be of the same image, and unchanged, needs no look.
        Some(_) if !told && hints.as_ref().is_some_and(Hints::is_empty) => {}
        Some((base, _, _)) => compare::with_base(site, &*source, base, &plan, &mut tally)?,
        None => {}
    }
    tell_of_data(site, &*source, &plan, base.is_some(), &mut tally)?;
    let snapshot_name = match options.snapshot_name {
        "" => source.snapshot_name(),
        given => given,
    };
    let (version, _lock, given) = match resumed {
        Some(Unfinished { version, lock, .. }) => {
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
    tell_of_others(site, &version);
    let reads = site.parallel(options.source)?.reads;
    let base = base.as_ref().map(|(version, _, _)| version);
    let job =
        Job { site, store: &*store, source: &*source, geometry, version: &version, tally, reads, started };
    let run = job.complete(&plan, base, options.name).inspect_err(|_| {
        let again = options.source_stays.then_some((options.source, options.name));
        site.monitor.error(&way_on(site.monitor, &version.uid, again));
    })?;
    Ok(Made { version: site.meta.version(&version.uid)?, run, tags: given })
}

/// What the hints call empty, or without a base do not touch, counts as zeros. That is asked for, and still worth a word
/// where there is data.
fn tell_of_data(
    site: &mut Site<'_>,
    source: &dyn Source,
    plan: &Plan,
    has_base: bool,
    tally: &mut Tally,
) -> Result<()> {
    if let Some(block) = compare::first_data(site, source, &plan.sparse, tally)? {
        let why = match has_base {
            true => "The hints call it empty",
            false => "The hints do not touch it, or call it empty",
        };
        site.monitor.warning(&format!(
            "Block {block} has data in {}. {why}, so that it counts as zeros.",
            source.url()
        ));
    }
    Ok(())
}

/// How to go on with the incomplete version `uid`: from the same source and by the same name, if they stay.
fn way_on(monitor: &dyn Monitor, uid: &VersionUid, again: Option<(&str, &str)>) -> String {
    match again {
        Some((source, name)) => {
            monitor.can_continue_with(&["backup", "-c", uid.as_str(), source, name]);
            let (source, name) = (quoted(source), quoted(name));
            format!("Version {uid} is incomplete; continue it with `backy2 backup -c {uid} {source} {name}`.")
        }
        None => format!(
            "Version {uid} is incomplete. Start a new backup, which reuses its data. Then run `backy2 rm -f \
             {uid}`."
        ),
    }
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
    let plan = Plan::new(geometry, None, None, &BlockSet::default());
    let name = new.name;
    let tags = new.tags.clone();
    let (version, _lock) = begin(site, geometry, new)?;
    let reads = site.config.data.simultaneous_reads;
    let tally = Tally::default();
    let job = Job { site, store, source, geometry, version: &version, tally, reads, started };
    let run = job.complete(&plan, None, name).inspect_err(|_| {
        site.monitor.error(&format!(
            "The new version {0} is incomplete. Start again: its data is reused. Then run `backy2 rm -f \
             {0}`.",
            version.uid
        ));
    })?;
    Ok(Made { version: site.meta.version(&version.uid)?, run, tags })
}

/// Refuses wrong settings, and a store that cannot be written to, before there is a version.
pub(super) fn check_settings(site: &mut Site<'_>, store: &dyn BlobStore) -> Result<()> {
    if site.config.encryption_version == 1 && !site.keys.has_key() {
        return Err(Error::config(
            "[DEFAULTS] encryption_key is missing: new blobs are to be encrypted (encryption_version 1, the \
             default). Set it to 64 hex digits (`openssl rand -hex 32`) and keep a copy of it elsewhere, or set \
             encryption_version: 0. Nothing was written.",
        ));
    }
    // Also for a run that will store nothing new, and would not notice.
    store.check_writable()?;
    // Without encryption the key matters to nothing that is written.
    let with_key = site.config.encryption_version == 1;
    site.probe(store, None, with_key)
}

#[cfg(test)]
mod tests;
