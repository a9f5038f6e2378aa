//! Removes the versions that have expired, and those that no retention rule keeps.

pub(crate) mod policy;

use super::{Site, copies, future, remove};
use crate::config::Config;
use crate::meta::VersionFilter;
use crate::types::error::{Error, Result};
use crate::types::retention::KeepRules;
use crate::types::time::Timestamp;
use crate::types::version::Version;
use chrono::Local;
use policy::{Cause, Decision, Judge};
use std::collections::HashSet;

/// The parameters of [`run`].
pub(crate) struct Options<'a> {
    /// The names to look at; all names if there are none.
    pub names: &'a [String],
    /// The rules for these names, instead of the configured ones.
    pub rules: Option<KeepRules>,
    /// Removes nothing.
    pub dry_run: bool,
    /// The current time.
    pub now: Timestamp,
}

/// A version, and what happens to it.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    /// The version.
    pub version: Version,
    /// The decision. If the version could not be removed, it stays.
    pub decision: Decision,
    /// Why the removal failed.
    pub failure: Option<String>,
}

/// Decides about the versions of some names or all names, and removes those that must go, the oldest of each name first.
/// Returns all versions, sorted by name, then date. A version that cannot be removed does not stop the others.
///
/// # Errors
/// A name has no version; the database fails; the command was interrupted.
pub(crate) fn run(site: &mut Site<'_>, options: &Options<'_>) -> Result<Vec<Judged>> {
    let mut judged = judge(site, options)?;
    if !options.dry_run {
        let done = remove_all(site, &mut judged, options.now);
        copies::follow(site);
        done?;
    }
    Ok(judged)
}

/// Decides about the versions, and removes nothing.
fn judge(site: &mut Site<'_>, options: &Options<'_>) -> Result<Vec<Judged>> {
    let now = options.now;
    let mut versions = site.versions(&VersionFilter::default())?;
    if !options.names.is_empty() {
        versions.retain(|version| options.names.contains(&version.name));
        for name in options.names {
            if versions.iter().all(|version| version.name != *name) {
                return Err(Error::refused(format!("There is no version with the name {name}.")));
            }
        }
    }
    future::tell(site, &versions, "They stay.");
    let used: HashSet<String> = site.locks.held()?.into_iter().map(|holder| holder.name).collect();
    let limit = site.config.disallow_rm_when_younger_than_days;
    let judge = Judge {
        now,
        zone: &Local,
        is_young: &|version| remove::check_age(version, limit, now).is_err(),
        is_in_use: &|version| used.contains(version.uid.as_str()),
    };
    let mut judged = Vec::with_capacity(versions.len());
    for versions in versions.chunk_by(|a, b| a.name == b.name) {
        let rules = options.rules.unwrap_or_else(|| rules_of(site.config, versions));
        let all: Vec<&Version> = versions.iter().collect();
        let decisions = judge.decide(&all, &rules);
        judged.extend(versions.iter().zip(decisions).map(|(version, decision)| Judged {
            version: version.clone(),
            decision,
            failure: None,
        }));
    }
    Ok(judged)
}

/// The configured rules for the name of these versions.
fn rules_of(config: &Config, versions: &[Version]) -> KeepRules {
    versions.first().map(|version| config.keep_rules(&version.name)).unwrap_or_default()
}

/// Removes the versions that must go, and notes which ones stay nevertheless.
fn remove_all(site: &mut Site<'_>, judged: &mut [Judged], now: Timestamp) -> Result<()> {
    for versions in judged.chunk_by_mut(|a, b| a.version.name == b.version.name) {
        let all = versions.iter().map(|judged| &judged.version);
        let newest = policy::newest_valid(all, now).cloned();
        for judged in versions.iter_mut().filter(|judged| !judged.decision.stays) {
            site.monitor.check()?;
            if !is_unchanged(site, newest.as_ref())? {
                keep(judged, Cause::Changed);
                continue;
            }
            remove_one(site, judged)?;
        }
    }
    Ok(())
}

/// Whether the version that must stay at least is still there and valid. If not, another one may be needed in its place.
fn is_unchanged(site: &mut Site<'_>, newest: Option<&Version>) -> Result<bool> {
    let Some(newest) = newest else { return Ok(true) };
    match site.meta.version(&newest.uid) {
        Ok(version) => Ok(version.valid),
        Err(Error::VersionNotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn remove_one(site: &mut Site<'_>, judged: &mut Judged) -> Result<()> {
    let version = &judged.version;
    match remove::run_judged(site, version) {
        Ok(Some(blocks)) => {
            site.monitor.info(&format!("Removed backup version {} with {blocks} blocks.", version.uid));
        }
        // Another process has removed it.
        Err(Error::VersionNotFound(_)) => {}
        Ok(None) => keep(judged, Cause::Changed),
        Err(Error::Locked(why)) if is_in_use(site, version)? => {
            site.monitor.debug(&why);
            keep(judged, Cause::InUse);
        }
        Err(error @ (Error::Locked(_) | Error::Refused(_))) => {
            site.monitor.error(&error.line());
            judged.failure = Some(error.line());
            judged.decision.stays = true;
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn is_in_use(site: &Site<'_>, version: &Version) -> Result<bool> {
    Ok(site.locks.held()?.iter().any(|holder| version.uid == holder.name[..]))
}

fn keep(judged: &mut Judged, cause: Cause) {
    judged.decision = Decision { stays: true, causes: vec![cause] };
}

#[cfg(test)]
mod tests;
