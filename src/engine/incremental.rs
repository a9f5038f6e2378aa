//! The incremental backup in one command: makes a snapshot, finds the base, backs up the changes, and removes the
//! snapshots that no later backup needs.
//!
//! Every snapshot is noted in the database before it is made, and locked as long as it is in use. A snapshot is
//! removed if it is noted, not locked, and not the base of the next backup of any name. So the next run removes a
//! snapshot that a killed run left behind, and never removes snapshots of other programs.

use super::backup::{self, Made, Options};
use super::{Site, Use, future};
use crate::failpoint;
use crate::io::rbd::{Removal, Snapshots};
use crate::io::{self, UrlKind};
use crate::locks::Guard;
use crate::meta::VersionFilter;
use crate::monitor::Level;
use crate::types::error::{Error, Result};
use crate::types::reason::one_line;
use crate::types::time::Timestamp;
use crate::types::uid::VersionUid;
use crate::types::version::{ImageId, SnapshotOrigin, Version};
use std::collections::BTreeMap;

/// Number of names tried for a new snapshot, one for each second starting now.
const NAMES: i64 = 10;

/// Backs up a source and takes unchanged blocks from the newest valid version of the same name. `options` must not
/// contain hints, a base, or a version to continue.
///
/// # Errors
/// As [`backup::run`]. On an error the snapshot made for the backup is removed, if possible.
pub(crate) fn run(site: &mut Site<'_>, options: Options<'_>) -> Result<Made> {
    match io::kind(options.source)? {
        UrlKind::Rbd => of_image(site, &options),
        UrlKind::File | UrlKind::Null => of_file(site, options),
    }
}

/// A file gives no list of changes. Everything but holes is read, and known data is not stored again.
fn of_file(site: &mut Site<'_>, options: Options<'_>) -> Result<Made> {
    let _alone = match io::file_identity(options.source) {
        Some(image) => Some(site.locks.own_image(&image, options.source)?),
        None => None,
    };
    let filter = VersionFilter { name: Some(options.name.to_owned()), ..VersionFilter::default() };
    let mut versions = site.versions(&filter)?;
    future::by_making(&mut versions, |version| version, Timestamp::now());
    let newest = versions.into_iter().rfind(|version| version.valid);
    let base = newest.map(|version| version.uid);
    site.monitor.info(&match &base {
        Some(uid) => {
            format!("The base is version {uid}. All blocks are read; stored data is not stored again.")
        }
        None => format!("There is no valid version of {}: this is a full backup.", options.name),
    });
    backup::run(site, Options { base: base.as_ref().map(VersionUid::as_str), ..options })
}

/// A locked snapshot. Nobody removes it as long as this lives.
struct Held {
    name: String,
    _guard: Guard,
}

fn of_image(site: &mut Site<'_>, options: &Options<'_>) -> Result<Made> {
    let snapshots = Snapshots::open(options.source, &site.config.io.rbd)?;
    let ImageId { cluster, pool, image, .. } = snapshots.image();
    let _alone = site.locks.own_image(&format!("{cluster}-{pool}-{image}"), options.source)?;
    // Check the store first, so that no snapshot is made in vain.
    site.open_store(Use::Write)?.check_writable()?;
    let base = find_base(site, &snapshots, options.name)?;
    site.monitor.info(&match &base {
        Some((version, snapshot)) => format!(
            "The base is version {}, made from snapshot {}: only later changes are backed up.",
            version.uid, snapshot.name
        ),
        None => format!(
            "No valid version of {} has its snapshot on the image: this is a full backup.",
            options.name
        ),
    });
    let new = make(site, &snapshots)?;
    site.monitor.info(&format!("Made snapshot {}.", new.name));
    let url = snapshots.url_of(&new.name);
    let mut made = backup::run(
        site,
        of_snapshot(options, &url, &new.name, base.as_ref().map(|(version, _)| version.uid.as_str())),
    );
    if let Err(Error::BaseMismatch { base, block, .. }) = &made {
        site.monitor.warning(&format!(
            "Block {block} of version {base} differs from its snapshot, so that version cannot be the base: \
             this is a full backup."
        ));
        made = backup::run(site, of_snapshot(options, &url, &new.name, None));
    }
    drop(base);
    match &made {
        Ok(_) => {
            failpoint::pass("incremental-valid");
            tidy(site, &snapshots, &new.name);
        }
        Err(_) => discard(site, &snapshots, &new.name),
    }
    made
}

/// The options for the backup of a snapshot, based on those of the user.
fn of_snapshot<'a>(
    asked: &Options<'a>,
    url: &'a str,
    snapshot: &'a str,
    base: Option<&'a str>,
) -> Options<'a> {
    Options {
        source: url,
        name: asked.name,
        snapshot_name: snapshot,
        hints: None,
        base,
        resume: None,
        tags: asked.tags.clone(),
        expire: asked.expire,
        // After a failed run the snapshot can go: the next run finds the stored data by its checksum.
        source_stays: false,
        allow_empty: asked.allow_empty,
    }
}

/// The name of a snapshot's lock.
fn lock_name(image: &ImageId, snapshot: &str) -> String {
    format!("{}-{}-{snapshot}", image.pool, image.image)
}

/// Finds the newest valid version of `name` whose snapshot still exists on the image, and locks that snapshot. The
/// identity of the snapshot is checked, not only its name.
fn find_base(site: &mut Site<'_>, snapshots: &Snapshots, name: &str) -> Result<Option<(Version, Held)>> {
    for (version, origin) in by_making(site, snapshots.image())?.into_iter().rev() {
        if version.name != name || !version.valid {
            continue;
        }
        let Some(snapshot) = snapshots.name_of(&origin)? else { continue };
        let Some(guard) = site.locks.use_snapshot(&lock_name(snapshots.image(), &snapshot))? else {
            continue;
        };
        // The snapshot may have been removed before it was locked.
        if snapshots.name_of(&origin)?.as_ref() == Some(&snapshot) {
            return Ok(Some((version, Held { name: snapshot, _guard: guard })));
        }
    }
    Ok(None)
}

/// The versions of an image with their origins, sorted by name and then oldest first.
fn by_making(site: &mut Site<'_>, image: &ImageId) -> Result<Vec<(Version, SnapshotOrigin)>> {
    let mut versions = site.meta.versions_of(image)?;
    future::by_making(&mut versions, |(version, _)| version, Timestamp::now());
    Ok(versions)
}

/// Makes a snapshot, and notes and locks it.
fn make(site: &mut Site<'_>, snapshots: &Snapshots) -> Result<Held> {
    let image = snapshots.image();
    let now = Timestamp::now();
    let noted = site.meta.noted_snapshots(image)?;
    for seconds in 0..NAMES {
        let name = format!("backy2-{}", now.compact(seconds));
        if noted.contains(&name) {
            continue;
        }
        let Some(guard) = site.locks.own_snapshot(&lock_name(image, &name))? else { continue };
        site.meta.note_snapshot(image, &name)?;
        failpoint::pass("incremental-noted");
        if snapshots.create(&name)? {
            failpoint::pass("incremental-made");
            return Ok(Held { name, _guard: guard });
        }
        // This snapshot was made by another program.
        site.meta.forget_snapshot(image, &name)?;
    }
    Err(Error::refused(format!(
        "No snapshot could be made: snapshots with the names of the next {NAMES} seconds already exist. Is \
         the clock right?"
    )))
}

/// Removes the snapshot of a failed backup. If that fails too, the next run does it.
fn discard(site: &mut Site<'_>, snapshots: &Snapshots, name: &str) {
    let removed = snapshots.remove(name).and_then(|removal| match removal {
        Removal::Gone => site.meta.forget_snapshot(snapshots.image(), name).map(|()| true),
        Removal::InUse => Ok(false),
    });
    match removed {
        Ok(true) => site.monitor.info(&format!("Removed snapshot {name}.")),
        Ok(false) => {
            site.monitor.warning(&format!("Snapshot {name} is protected or in use, and was not removed."))
        }
        Err(error) => {
            let text = one_line(&error.line(), &[], "The next incremental backup removes it.");
            site.monitor.advise(Level::Warning, &text, error.remedies());
        }
    }
}

/// Removes the snapshots that no name needs for its next backup. Errors only cause a warning, because the next run
/// tries again.
fn tidy(site: &mut Site<'_>, snapshots: &Snapshots, new: &str) {
    if let Err(error) = remove_unneeded(site, snapshots, new) {
        let text = format!("Older snapshots were not removed: {}", error.line());
        site.monitor.advise(Level::Warning, &text, error.remedies());
    }
}

fn remove_unneeded(site: &mut Site<'_>, snapshots: &Snapshots, new: &str) -> Result<()> {
    let image = snapshots.image();
    let there: BTreeMap<String, u64> = snapshots.list()?.into_iter().collect();
    let noted = site.meta.noted_snapshots(image)?;
    for name in noted.iter().filter(|name| *name != new) {
        let Some(id) = there.get(name) else {
            // The run was killed before it made the snapshot, or another program has removed it.
            if let Some(_guard) = site.locks.own_snapshot(&lock_name(image, name))? {
                site.meta.forget_snapshot(image, name)?;
            }
            continue;
        };
        // A run locks its snapshot before it makes it, and keeps the lock until the version is valid or given up. So
        // check under the lock whether the snapshot is needed.
        let Some(_guard) = site.locks.own_snapshot(&lock_name(image, name))? else { continue };
        if is_needed(site, image, &there, *id)? {
            continue;
        }
        match snapshots.remove(name)? {
            Removal::Gone => {
                site.meta.forget_snapshot(image, name)?;
                site.monitor.info(&format!("Removed snapshot {name}."));
            }
            Removal::InUse => {
                site.monitor.info(&format!("Snapshot {name} is protected or in use, and was not removed."));
            }
        }
    }
    Ok(())
}

/// Whether the snapshot is the next base of some name: the snapshot of the newest valid version of that name that
/// still has its snapshot.
fn is_needed(site: &mut Site<'_>, image: &ImageId, there: &BTreeMap<String, u64>, id: u64) -> Result<bool> {
    let mut bases = BTreeMap::new();
    for (version, origin) in by_making(site, image)? {
        if version.valid && there.values().any(|there| *there == origin.snapshot) {
            bases.insert(version.name, origin.snapshot);
        }
    }
    Ok(bases.values().any(|base| *base == id))
}
