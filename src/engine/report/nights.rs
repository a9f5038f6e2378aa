//! The data that backups have stored, day by day.

use super::day;
use crate::meta::PastRun;
use crate::types::time::Timestamp;
use crate::types::uid::VersionUid;
use crate::types::version::Version;
use chrono::{NaiveDate, TimeDelta, TimeZone};
use std::collections::{BTreeMap, HashSet};

/// The backups that began on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Night {
    /// The day.
    pub day: NaiveDate,
    /// Number of backups, also of those that did not finish.
    pub runs: u64,
    /// Bytes read from the sources.
    pub read: u64,
    /// Bytes newly stored, before compression.
    pub new: u64,
    /// The part of `new` that belongs to versions which still exist.
    pub kept: u64,
}

/// When a run began.
pub(super) fn beginning(run: &PastRun) -> Timestamp {
    let seconds = i64::try_from(run.duration).unwrap_or(i64::MAX);
    run.date.after(TimeDelta::try_seconds(seconds).map_or(TimeDelta::MIN, |duration| -duration))
}

/// The days on which these runs began, oldest first.
pub(super) fn of(versions: &[Version], runs: &[PastRun], zone: &impl TimeZone) -> Vec<Night> {
    let existing: HashSet<&VersionUid> = versions.iter().map(|version| &version.uid).collect();
    let mut nights: BTreeMap<NaiveDate, Night> = BTreeMap::new();
    for run in runs {
        let day = day(beginning(run), zone);
        let night = nights.entry(day).or_insert(Night { day, runs: 0, read: 0, new: 0, kept: 0 });
        let new = run.statistics.written.bytes;
        night.runs += 1;
        night.read = night.read.saturating_add(run.statistics.read.bytes);
        night.new = night.new.saturating_add(new);
        if existing.contains(&run.version_uid) {
            night.kept = night.kept.saturating_add(new);
        }
    }
    nights.into_values().collect()
}
