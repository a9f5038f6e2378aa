//! Removes a version.

use super::{Site, copies, names};
use crate::types::error::{Error, Result};
use crate::types::reason::Reason;
use crate::types::remedy::Remedy;
use crate::types::time::Timestamp;
use crate::types::uid::VersionUid;
use crate::types::version::Version;

/// Whether a version may be removed before it has the age that `disallow_rm_when_younger_than_days` sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgeLimit {
    /// A version that is too young is refused.
    Respect,
    /// A version of any age is removed.
    Ignore,
}

/// Removes a version, unless it is protected. Its data stays until `cleanup`. Returns the uid of the version and the
/// number of its blocks.
///
/// # Errors
/// There is no such version, or it is protected, too young, or in use.
pub fn run(site: &mut Site<'_>, version: &str, age_limit: AgeLimit) -> Result<(VersionUid, u64)> {
    let (version, _lock) = site.own(version)?;
    check(site, &version, age_limit)?;
    let blocks = with_lock(site, &version)?;
    copies::follow(site);
    Ok((version.uid, blocks))
}

/// Fails if the version is protected or too young.
fn check(site: &Site<'_>, version: &Version, age_limit: AgeLimit) -> Result<()> {
    let uid = &version.uid;
    if version.protected {
        return Err(Error::refused(format!(
            "Version {uid} is protected. Will not delete. `backy2 unprotect {uid}` ends the protection."
        )));
    }
    match age_limit {
        AgeLimit::Respect => {
            check_age(version, site.config.disallow_rm_when_younger_than_days, Timestamp::now())
        }
        AgeLimit::Ignore => Ok(()),
    }
}

/// The versions that `texts` mean, each of them once. Nothing is removed yet.
///
/// # Errors
/// One of the texts means no version, or is a bare name; one of the versions is protected or too young.
pub fn chosen(site: &mut Site<'_>, texts: &[String], age_limit: AgeLimit) -> Result<Vec<Version>> {
    let mut chosen: Vec<Version> = Vec::new();
    for text in texts {
        let version = names::find_exactly(site, text)?;
        check(site, &version, age_limit)?;
        if chosen.iter().all(|other| other.uid != version.uid) {
            chosen.push(version);
        }
    }
    Ok(chosen)
}

/// Removes `version` if it still is as it was when it was judged. Returns the number of its blocks, or `None` if it has
/// changed. The caller brings the copies of the metadata up to date.
///
/// # Errors
/// The version is gone, or in use.
pub(super) fn run_judged(site: &mut Site<'_>, version: &Version) -> Result<Option<u64>> {
    let _lock = site.locks.own(&version.uid)?;
    if site.meta.version(&version.uid)? != *version {
        return Ok(None);
    }
    with_lock(site, version).map(Some)
}

/// Makes sure that a version is at least `limit` whole days old.
///
/// # Errors
/// It is younger, or its date is in the future and there is a limit.
pub(super) fn check_age(version: &Version, limit: u64, now: Timestamp) -> Result<()> {
    let uid = &version.uid;
    let age = now.since(version.date).num_days().max(0);
    if version.date.is_future(now) && limit > 0 {
        let text = format!(
            "Version {uid} is dated {}, and the clock says {now} (UTC): its age is unknown. Will not delete, as \
             disallow_rm_when_younger_than_days is {limit}",
            version.date
        );
        return Err(Error::refused(Reason::from(text).remedy(Remedy::IgnoreAge)));
    }
    if age < i64::try_from(limit).unwrap_or(i64::MAX) {
        let text = format!(
            "Version {uid} is too young. Will not delete. It is {age} days old, and \
             disallow_rm_when_younger_than_days is {limit}"
        );
        return Err(Error::refused(Reason::from(text).remedy(Remedy::IgnoreAge)));
    }
    Ok(())
}

/// Removes a version whose lock is held. Returns the number of its blocks.
fn with_lock(site: &mut Site<'_>, version: &Version) -> Result<u64> {
    let now = Timestamp::now();
    site.locks.no_old_beginning(&site.config.process_name)?;
    // From here on the removal cannot be interrupted.
    site.monitor.check()?;
    match site.meta.remove_version(version, now.unix()) {
        Err(Error::Full { .. }) => in_pieces(site, version, now.unix()),
        blocks => blocks,
    }
}

/// Number of blocks removed per transaction on a full disk: at first, and at least.
const PIECES: (usize, usize) = (8192, 8);

/// Removes a version in many small transactions, which need little disk space. An interruption leaves an invalid
/// version, which can be removed again.
fn in_pieces(site: &mut Site<'_>, version: &Version, now: i64) -> Result<u64> {
    site.monitor.notice("The disk is full. The version is removed in small steps, which need less space.");
    site.meta.mark_version_invalid(version)?;
    let (mut piece, least) = PIECES;
    let mut removed = 0;
    loop {
        site.monitor.check()?;
        match site.meta.remove_blocks(version, piece, now) {
            Ok(0) => break,
            Ok(blocks) => removed += blocks,
            Err(Error::Full { .. }) if piece > least => piece /= 4,
            Err(Error::Full { database, reason }) if removed > 0 => {
                let alternate = Remedy::Alternate { removed, version: version.uid.clone() };
                return Err(Error::Full { database, reason: reason.remedy(alternate) });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(removed + site.meta.remove_version(version, now)?)
}
