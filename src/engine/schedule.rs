//! Tags, expiry, and the schedules built on them: which backups are due, and which agreements are breached.

mod rhythm;
mod sla;

use super::remove::check_age;
use super::{Site, copies, future, names};
use crate::config::{Cadence, Scheduler};
use crate::meta::VersionFilter;
use crate::types::error::{Error, Result};
use crate::types::time::Timestamp;
use crate::types::version::Version;
use chrono::TimeDelta;
use sla::Machine;
use std::collections::BTreeSet;

pub(crate) use rhythm::{rhythm, shortest};
pub(crate) use sla::{Breach, Severity};

/// Adds tags to a version.
///
/// # Errors
/// There is no such version, or no tag was given.
pub(crate) fn add_tags(site: &mut Site<'_>, version: &str, tags: &[String]) -> Result<()> {
    let version = names::find(site, version)?;
    site.meta.add_tags(&version, some(tags)?)?;
    copies::follow(site);
    Ok(())
}

/// Removes tags from a version. Tags that it does not have are ignored.
///
/// # Errors
/// There is no such version, or no tag was given.
pub(crate) fn remove_tags(site: &mut Site<'_>, version: &str, tags: &[String]) -> Result<()> {
    let version = names::find(site, version)?;
    site.meta.remove_tags(&version, some(tags)?)?;
    copies::follow(site);
    Ok(())
}

fn some(tags: &[String]) -> Result<&[String]> {
    if tags.is_empty() || tags.iter().any(String::is_empty) {
        Err(Error::refused("No tag given: an empty text is no tag."))
    } else {
        Ok(tags)
    }
}

/// Sets or clears the expiry of a version.
///
/// # Errors
/// There is no such version.
pub(crate) fn expire(site: &mut Site<'_>, version: &str, date: Option<Timestamp>) -> Result<()> {
    let version = names::find(site, version)?;
    site.meta.set_expire(&version, date)?;
    copies::follow(site);
    Ok(())
}

/// A backup that should be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// Name of the image to back up.
    pub name: String,
    /// The schedulers that ask for it, in the order given.
    pub schedulers: Vec<String>,
    /// The expiry date for the new version.
    pub expire_date: Timestamp,
    /// Since when the backup is due; the beginning of time if there is no version yet.
    pub due_since: Timestamp,
}

/// The schedulers by which names are judged.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked<'a> {
    /// These, which the user has named.
    For(&'a [String]),
    /// Those of the job that makes the name, or the rhythm of its retention rules; for all other names these.
    OfJobsOr(&'a [String]),
}

impl Asked<'_> {
    /// The schedulers for `name`. Only a job that follows retention rules has one that is not configured.
    fn of(self, site: &Site<'_>, name: &str) -> Result<Vec<Scheduler>> {
        let others = match self {
            Asked::For(names) => return configured(site, names),
            Asked::OfJobsOr(names) => names,
        };
        let config = site.config;
        let job = config.run.of(name);
        match job.map(|job| job.cadence(name, &config.retention, &config.schedulers)) {
            Some(Cadence::Schedulers(names)) => configured(site, &names),
            Some(Cadence::Rules(keep)) => Ok(rhythm(&keep).into_iter().collect()),
            None => configured(site, others),
        }
    }
}

/// The names that need a backup at `now`, the longest due first. If `name` is given, only that name is checked, even
/// if it has no version yet. Versions dated in the future do not count, and cause a warning.
///
/// # Errors
/// A scheduler is not configured; the database fails.
pub(crate) fn due(
    site: &mut Site<'_>,
    name: Option<&str>,
    asked: Asked<'_>,
    now: Timestamp,
) -> Result<Vec<Due>> {
    let mut all = Vec::new();
    let names = judged(site, name, asked)?;
    for Judged { name, versions, schedulers } in names {
        // Rules ask for a backup in each period of the calendar, and `run` makes it.
        let is_configured = |scheduler: &&Scheduler| site.config.schedulers.contains(*scheduler);
        let known: Vec<Scheduler> = schedulers.iter().filter(is_configured).cloned().collect();
        all.extend(due_of(&name, &versions, &known, now));
    }
    all.sort_by(|a, b| (a.due_since, &a.name).cmp(&(b.due_since, &b.name)));
    Ok(all)
}

/// As [`due`], for one name with these versions, oldest first.
///
/// # Errors
/// A scheduler is not configured.
pub(crate) fn due_among(
    site: &Site<'_>,
    name: &str,
    versions: &[Version],
    schedulers: &[String],
    now: Timestamp,
) -> Result<Option<Due>> {
    future::tell(site, versions, IGNORED);
    Ok(due_of(name, versions, &configured(site, schedulers)?, now))
}

/// The breaches of every name, or of one name, at `now`, sorted by name. Versions dated in the future do not count, and
/// cause a warning.
///
/// # Errors
/// As [`due`].
pub(crate) fn breaches(
    site: &mut Site<'_>,
    name: Option<&str>,
    asked: Asked<'_>,
    now: Timestamp,
) -> Result<Sla> {
    let names = judged(site, name, asked)?;
    let limit = site.config.disallow_rm_when_younger_than_days;
    let mut breaches = Vec::new();
    for Judged { name, versions, schedulers } in &names {
        let machine = Machine {
            versions,
            all_schedulers: &site.config.schedulers,
            rules: site.config.keep_rules(name),
            is_young: &|version| check_age(version, limit, now).is_err(),
            now,
        };
        breaches.extend(machine.breaches(schedulers).into_iter().map(|breach| (name.clone(), breach)));
    }
    Ok(Sla { names: names.len(), breaches })
}

/// The result of [`breaches`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sla {
    /// The number of names that were looked at.
    pub names: usize,
    /// Each breach with the name of its versions.
    pub breaches: Vec<(String, Breach)>,
}

/// Looks up the schedulers with these names.
fn configured(site: &Site<'_>, wanted: &[String]) -> Result<Vec<Scheduler>> {
    let all = &site.config.schedulers;
    let find = |name: &String| {
        all.iter().find(|scheduler| scheduler.name == *name).cloned().ok_or_else(|| {
            let known: Vec<&str> = all.iter().map(|scheduler| &scheduler.name[..]).collect();
            Error::refused(format!(
                "Unknown scheduler '{name}': the configuration has no section [{name}]. There are: {}",
                known.join(", ")
            ))
        })
    };
    wanted.iter().map(find).collect()
}

/// A name, its versions, oldest first, and the schedulers by which they are judged.
struct Judged {
    name: String,
    versions: Vec<Version>,
    schedulers: Vec<Scheduler>,
}

/// All names, or one name, even if it has no version. Versions of the future cause a warning.
fn judged(site: &mut Site<'_>, name: Option<&str>, asked: Asked<'_>) -> Result<Vec<Judged>> {
    if let Asked::For(schedulers) = asked {
        // They must exist, even if there are no versions.
        configured(site, schedulers)?;
    } else if site.config.run.jobs.is_empty() {
        asked.of(site, "")?;
    }
    let names = by_name(site, name)?;
    tell_of_future(site, &names);
    let with = |(name, versions): (String, Vec<Version>)| {
        let schedulers = asked.of(site, &name)?;
        Ok(Judged { name, versions, schedulers })
    };
    names.into_iter().map(with).collect()
}

/// All names with their versions, oldest first. If `name` is given, only that name, even if it has no version.
fn by_name(site: &mut Site<'_>, name: Option<&str>) -> Result<Vec<(String, Vec<Version>)>> {
    let filter = VersionFilter { name: name.map(str::to_owned), ..VersionFilter::default() };
    let versions = site.versions(&filter)?;
    let mut names: BTreeSet<&str> = versions.iter().map(|version| &version.name[..]).collect();
    names.extend(name);
    let of = |name: &str| versions.iter().filter(|version| version.name == name).cloned().collect();
    Ok(names.into_iter().map(|name| (name.to_owned(), of(name))).collect())
}

/// The valid versions with that tag, oldest first, without those dated in the future.
fn tagged<'v>(versions: &'v [Version], tag: &str, now: Timestamp) -> Vec<&'v Version> {
    let counts = |version: &&Version| {
        version.valid && !version.date.is_future(now) && version.tags.iter().any(|t| t == tag)
    };
    versions.iter().filter(counts).collect()
}

/// What becomes of versions dated in the future.
const IGNORED: &str = "They are ignored here.";

fn tell_of_future(site: &Site<'_>, names: &[(String, Vec<Version>)]) {
    future::tell(site, names.iter().flat_map(|(_, versions)| versions), IGNORED);
}

/// A duration longer than the distance of any two dates. It is short enough that a few of them can be added without
/// overflow.
const LONGEST: TimeDelta = TimeDelta::days(4_000_000);

fn delta(duration: std::time::Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(LONGEST).min(LONGEST)
}

fn times(interval: TimeDelta, count: u64) -> TimeDelta {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    interval.checked_mul(count).unwrap_or(LONGEST).min(LONGEST)
}

fn due_of(name: &str, versions: &[Version], schedulers: &[Scheduler], now: Timestamp) -> Option<Due> {
    let mut due: Option<Due> = None;
    for scheduler in schedulers {
        let (interval, sla) = (delta(scheduler.interval), delta(scheduler.sla));
        let since = match tagged(versions, &scheduler.name, now).last() {
            None if scheduler.keep == 0 => continue,
            None => Timestamp::from_naive(Default::default()),
            Some(newest) => {
                let since = newest.date.after(interval).after(-sla);
                if now <= since {
                    continue;
                }
                since
            }
        };
        let expire_date = now.after(times(interval, scheduler.keep.saturating_add(1)));
        let entry = due.get_or_insert_with(|| Due {
            name: name.to_owned(),
            schedulers: Vec::new(),
            expire_date,
            due_since: since,
        });
        entry.schedulers.push(scheduler.name.clone());
        entry.expire_date = entry.expire_date.max(expire_date);
        entry.due_since = entry.due_since.min(since);
    }
    due
}

#[cfg(test)]
mod tests;
