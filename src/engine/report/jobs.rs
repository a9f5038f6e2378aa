//! The time that the backups of each name take.

use crate::meta::PastRun;
use crate::types::time::Timestamp;
use crate::types::uid::VersionUid;
use std::collections::HashMap;

/// Number of backups of which the median is taken.
const RECENT: usize = 30;

/// The work of one backup, in all runs that it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backup {
    /// When its last run ended.
    pub ended: Timestamp,
    /// Seconds.
    pub seconds: u64,
    /// Bytes read from the source.
    pub read: u64,
    /// Bytes newly stored, before compression.
    pub new: u64,
}

/// The backups of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// The name.
    pub name: String,
    /// The last backup.
    pub last: Backup,
    /// The median of the seconds that the last backups took.
    pub median: u64,
    /// Number of backups that the median is taken of.
    pub backups: usize,
}

/// The backups of these names. The longest last backup comes first.
pub(super) fn of(names: &[&str], runs: &[PastRun]) -> Vec<Job> {
    let mut by_name: HashMap<&str, Vec<(&VersionUid, Backup)>> =
        names.iter().map(|name| (*name, Vec::new())).collect();
    let mut places: HashMap<(&str, &VersionUid), usize> = HashMap::new();
    for run in runs {
        let Some(backups) = by_name.get_mut(run.name.as_str()) else { continue };
        let place = *places.entry((&run.name, &run.version_uid)).or_insert(backups.len());
        if place == backups.len() {
            backups.push((&run.version_uid, Backup::default()));
        }
        let Some((_, backup)) = backups.get_mut(place) else { continue };
        backup.ended = backup.ended.max(run.date);
        backup.seconds = backup.seconds.saturating_add(run.duration);
        backup.read = backup.read.saturating_add(run.statistics.read.bytes);
        backup.new = backup.new.saturating_add(run.statistics.written.bytes);
    }
    let mut jobs: Vec<Job> = by_name.into_iter().filter_map(|(name, backups)| job(name, backups)).collect();
    jobs.sort_by(|a, b| b.last.seconds.cmp(&a.last.seconds).then_with(|| a.name.cmp(&b.name)));
    jobs
}

fn job(name: &str, backups: Vec<(&VersionUid, Backup)>) -> Option<Job> {
    let mut backups: Vec<Backup> = backups.into_iter().map(|(_, backup)| backup).collect();
    backups.sort_by_key(|backup| backup.ended);
    let last = *backups.last()?;
    let mut seconds: Vec<u64> = backups.iter().rev().take(RECENT).map(|backup| backup.seconds).collect();
    seconds.sort_unstable();
    let median = seconds.get(seconds.len() / 2).copied().unwrap_or_default();
    Some(Job { name: name.to_owned(), last, median, backups: seconds.len() })
}
