//! Finds what a backup starts from: the base, the changes since then, the version to continue. Also checks the source's
//! size and warns of other backups of the same name.

use super::compare;
use crate::engine::Site;
use crate::flow::coordinator::Tally;
use crate::flow::plan::BaseBlocks;
use crate::io::{Changes, Source};
use crate::locks::Guard;
use crate::meta::VersionFilter;
use crate::types::block::Geometry;
use crate::types::block_set::BlockSet;
use crate::types::error::{Error, Result};
use crate::types::hints::Hints;
use crate::types::reason::Reason;
use crate::types::remedy::Remedy;
use crate::types::version::Version;

/// The version that unchanged blocks are taken from. It cannot be removed as long as this lives.
pub(super) struct Base {
    pub version: Version,
    pub blocks: BaseBlocks,
    _pin: Guard,
}

/// Finds the base that `uid` means, and pins it.
pub(super) fn open_base(site: &mut Site<'_>, uid: &str) -> Result<Base> {
    let (version, pin) = site.pin(uid)?;
    if !version.valid {
        return Err(Error::refused(format!(
            "You cannot base on an invalid version: {uid}. `backy2 ls` shows which are valid."
        )));
    }
    let geometry = Geometry::new(version.size_bytes, site.config.block_size);
    let unusable = site.meta.unusable(&version)?;
    Ok(Base { version, blocks: BaseBlocks { geometry, unusable }, _pin: pin })
}

/// The changes since the base, and where they are known from.
pub(super) enum Changed {
    /// From a hints file, which may be for another image or snapshot.
    Hinted(Hints),
    /// From the source, which has proved that the base is a snapshot of the same image.
    Proved(Hints),
    /// The changes are unknown, so everything is read.
    Unknown,
}

impl Changed {
    pub(super) fn hints(&self) -> Option<&Hints> {
        match self {
            Changed::Hinted(hints) | Changed::Proved(hints) => Some(hints),
            Changed::Unknown => None,
        }
    }
}

/// Asks the source for the changes since `base`.
pub(super) fn changes(
    site: &mut Site<'_>,
    source: &dyn Source,
    base: &Version,
    geometry: Geometry,
) -> Result<Changed> {
    if source.origin().is_none() {
        return Ok(Changed::Unknown);
    }
    let monitor = site.monitor;
    let changes = match site.meta.origin(base)? {
        Some(origin) => source.changes_since(&origin, &base.snapshot_name, &|| monitor.check())?,
        None => Changes::Unknown("no snapshot of an image was recorded with it".to_owned()),
    };
    match changes {
        Changes::Known(hints) => Hints::new(&hints, source.url(), geometry).map(Changed::Proved),
        Changes::Unknown(why) => {
            monitor.info(&format!(
                "The changes since version {} are not known: {why}. All blocks are read; stored data is not \
                 stored again.",
                base.uid
            ));
            Ok(Changed::Unknown)
        }
    }
}

/// An incomplete version to continue.
pub(super) struct Unfinished {
    pub version: Version,
    pub lock: Guard,
    /// The blocks that the version already has.
    pub present: BlockSet,
}

/// Finds and locks the version to continue. Compares some of its blocks with the source, because the source may be
/// another one now. Accepts a version that was complete before a scrub marked it as invalid.
pub(super) fn open_unfinished(
    site: &mut Site<'_>,
    uid: &str,
    name: &str,
    source: &dyn Source,
    tally: &mut Tally,
) -> Result<Unfinished> {
    let geometry = Geometry::new(source.size(), site.config.block_size);
    let (version, lock) = site.own(uid)?;
    if version.valid {
        return Err(Error::refused(format!("You cannot continue a valid version: {uid} is complete.")));
    }
    if version.name != name {
        return Err(Error::refused(format!(
            "Version {uid} is called {}, not {name}. Cannot continue: give that name and its source, or start a new \
             backup.",
            version.name
        )));
    }
    if version.size_bytes != geometry.size_bytes() {
        return Err(Error::refused(format!(
            "Version {uid} has a different size than the source ({} and {} bytes). Cannot continue: start a new \
             backup.",
            version.size_bytes,
            geometry.size_bytes()
        )));
    }
    let begun = site.meta.origin(&version)?;
    if begun.is_some() && begun.as_ref() != source.origin() {
        return Err(Error::refused(format!(
            "Version {uid} was started from snapshot {} of an RBD image, and {} is another source. Cannot \
             continue: give that snapshot, or start a new backup.",
            version.snapshot_name,
            source.url()
        )));
    }
    let missing = site.meta.missing(&version)?;
    let present = BlockSet::from(0..version.size).subtract(&missing);
    if let Some(block) = compare::with_version(site, source, &version, &present, tally)? {
        return Err(Error::ContinueMismatch {
            version: version.uid.clone(),
            block,
            offset: geometry.offset(block),
        });
    }
    Ok(Unfinished { version, lock, present })
}

/// Refuses an empty source if the newest version of `name` has data. Usually it is a mistake, such as a detached device
/// or a truncated file, and its version would become the newest one.
pub(super) fn check_size(
    site: &mut Site<'_>,
    source: &dyn Source,
    name: &str,
    allow_empty: bool,
) -> Result<()> {
    if source.size() > 0 {
        return Ok(());
    }
    let url = source.url();
    let filter = VersionFilter { name: Some(name.to_owned()), ..VersionFilter::default() };
    let newest = site.versions(&filter)?.pop();
    if let Some(newest) = newest.filter(|newest| newest.size_bytes > 0 && !allow_empty) {
        return Err(Error::Source {
            url: url.to_owned(),
            reason: Reason::from(format!(
                "it has 0 bytes, but the newest version of {name} ({}) has {}: was it truncated? Nothing was done.",
                newest.uid, newest.size_bytes
            ))
            .remedy(Remedy::AllowEmptySource),
        });
    }
    site.monitor.warning(&format!("{url} has 0 bytes: the version will be empty."));
    Ok(())
}

/// Warns if another backup of the same name is running. Call it when the new version exists: if two backups begin at
/// the same time, at least one of them then sees the other.
pub(super) fn tell_of_others(site: &mut Site<'_>, version: &Version) {
    let filter = VersionFilter { name: Some(version.name.clone()), ..VersionFilter::default() };
    // This is only a warning, so errors are ignored.
    let Ok(versions) = site.versions(&filter) else { return };
    let others: Vec<Version> = versions.into_iter().filter(|v| !v.valid && v.uid != version.uid).collect();
    if others.is_empty() {
        return;
    }
    let Ok(holders) = site.locks.list() else { return };
    let own = (std::process::id(), rustix::system::uname().nodename().to_string_lossy().into_owned());
    for other in others {
        let by = holders.iter().find(|holder| holder.exclusive && other.uid == holder.name[..]);
        if let Some(by) = by.filter(|by| (by.pid, &by.host) != (own.0, &own.1)) {
            site.monitor.warning(&format!(
                "Another backup of {} is running: version {}, by process {} on {} ({}). Data that both of \
                 them store is stored twice.",
                version.name, other.uid, by.pid, by.host, by.command
            ));
        }
    }
}
