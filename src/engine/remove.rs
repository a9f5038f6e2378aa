//! Removing a version.

use super::Site;
use crate::types::error::{Error, Result};
use crate::types::time::Timestamp;

/// Removes a version; its data stays until `cleanup`. `force` ignores the age limit, not the protection.
/// Returns its uid and
/// the number of its blocks.
///
/// # Errors
/// There is no such version; it is protected, too young, or in use.
pub fn run(site: &mut Site<'_>, version: &str, force: bool) -> Result<(String, u64)> {
    let (version, _lock) = site.own(version)?;
    let uid = &version.uid;
    if version.protected {
        return Err(Error::Refused(format!(
            "Version {uid} is protected. Will not delete. `backy2 unprotect {uid}` ends the protection."
        )));
    }
    let now = Timestamp::now();
    let limit = site.config.disallow_rm_when_younger_than_days;
    let age = now.naive().signed_duration_since(version.date.naive()).num_days();
    if !force && age < i64::try_from(limit).unwrap_or(i64::MAX) {
        return Err(Error::Refused(format!(
            "Version {uid} is too young. Will not delete. It is {age} days old, and \
             disallow_rm_when_younger_than_days is {limit}; -f ignores that."
        )));
    }
    let blocks = site.meta.remove_version(&version, now.unix())?;
    Ok((version.uid, blocks))
}
