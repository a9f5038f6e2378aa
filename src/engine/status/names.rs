//! The state of one name.

use super::Site;
use super::judge::{self, Punctuality, Severity};
use crate::config::{Cadence, RunConfig, Scheduler};
use crate::engine::{future, schedule};
use crate::types::error::Result;
use crate::types::keys::VersionKey;
use crate::types::retention::Retention;
use crate::types::time::Timestamp;
use crate::types::uid::VersionUid;
use crate::types::version::{Statistics, Version};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// The state of a name in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The newest version is valid and, as far as a scheduler says, young enough.
    Ok,
    /// The newest valid version is too old for the scheduler with the shortest interval.
    Late,
    /// The newest version is incomplete, and no process writes it.
    Failed,
    /// The newest version has bad blobs, or no version is valid.
    Invalid,
    /// There is no version, or only one that is being written.
    None,
}

/// Why a version that is newer than all valid ones is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Blobs of it are marked as bad.
    BadBlobs,
    /// It is incomplete, or was found bad as a whole.
    Incomplete,
}

/// A version that is newer than all valid ones, and that no process writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Its uid.
    pub uid: VersionUid,
    /// When it began.
    pub date: Timestamp,
    /// Why it is invalid.
    pub flaw: Flaw,
}

/// The work that was done for a version, in all runs that made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// The work, as the `stats` table records it.
    pub statistics: Statistics,
    /// Seconds.
    pub seconds: u64,
}

/// The state of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameStatus {
    /// The name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// How bad the state is.
    pub severity: Severity,
    /// The newest valid version, in the order in which they were made.
    pub newest: Option<Version>,
    /// The age of the newest valid version that is not dated in the future.
    pub age: Option<Duration>,
    /// The scheduler with the shortest interval among those that the valid versions belong to.
    pub scheduler: Option<Scheduler>,
    /// The invalid versions newer than that one, the newest first.
    pub attempts: Vec<Attempt>,
    /// Whether a process is writing a version now.
    pub running: bool,
    /// Number of valid versions.
    pub valid: u64,
    /// Number of all versions.
    pub all: u64,
    /// When a valid version was last read as a whole and found good; `None` if none ever was, as far as is known.
    pub verified: Option<Timestamp>,
    /// The work for the newest valid version; `None` if there are no statistics of it.
    pub work: Option<Work>,
}

/// Facts about the whole installation.
pub(super) struct Facts<'f> {
    /// Versions that a process uses alone.
    pub held: &'f BTreeSet<VersionUid>,
    /// Versions with bad blobs.
    pub bad: &'f BTreeSet<VersionKey>,
    /// When versions were last verified.
    pub verified: &'f HashMap<VersionUid, Timestamp>,
    /// The configured schedulers.
    pub schedulers: &'f [Scheduler],
    /// The configured jobs.
    pub run: &'f RunConfig,
    /// The configured rules.
    pub retention: &'f Retention,
    /// The current time.
    pub now: Timestamp,
}

/// The state of the name with these versions.
pub(super) fn of(name: String, mut versions: Vec<Version>, facts: &Facts<'_>) -> NameStatus {
    let now = facts.now;
    future::by_making(&mut versions, |version| version, now);
    let newest = versions.iter().rposition(|version| version.valid);
    let newer = &versions[newest.map_or(0, |index| index + 1)..];
    let (held, left): (Vec<&Version>, Vec<&Version>) =
        newer.iter().partition(|version| facts.held.contains(&version.uid));
    let attempts: Vec<Attempt> = left.into_iter().rev().map(|version| attempt(version, facts)).collect();
    let dates = versions.iter().filter(|version| version.valid).map(|version| version.date);
    let age = dates.filter(|date| !date.is_future(now)).max().map(|date| now.since(date));
    let job = facts.run.of(&name);
    let rhythm = job.and_then(|job| match job.cadence(&name, facts.retention, facts.schedulers) {
        Cadence::Rules(keep) => schedule::rhythm(&keep),
        Cadence::Schedulers(_) => None,
    });
    let scheduler = judge::scheduler(&versions, facts.schedulers).or(rhythm.as_ref());
    let punctuality = age.map_or(Punctuality::InTime, |age| judge::punctuality(age, scheduler));
    let state = match (newest, attempts.first()) {
        (None, None) => State::None,
        (None, Some(_)) => State::Invalid,
        _ if punctuality > Punctuality::InTime => State::Late,
        (Some(_), None) => State::Ok,
        (Some(_), Some(Attempt { flaw: Flaw::BadBlobs, .. })) => State::Invalid,
        (Some(_), Some(Attempt { flaw: Flaw::Incomplete, .. })) => State::Failed,
    };
    let running = !held.is_empty();
    let valid = versions.iter().filter(|version| version.valid);
    let verified = valid.filter_map(|version| facts.verified.get(&version.uid)).max().copied();
    NameStatus {
        name,
        state,
        severity: judge::severity(state, punctuality, newest.is_some(), running),
        age: age.map(|age| age.to_std().unwrap_or(Duration::ZERO)),
        scheduler: scheduler.cloned(),
        attempts,
        running,
        valid: versions.iter().filter(|version| version.valid).count() as u64,
        all: versions.len() as u64,
        newest: newest.map(|index| versions.swap_remove(index)),
        verified,
        work: None,
    }
}

fn attempt(version: &Version, facts: &Facts<'_>) -> Attempt {
    let flaw = if facts.bad.contains(&version.key) { Flaw::BadBlobs } else { Flaw::Incomplete };
    Attempt { uid: version.uid.clone(), date: version.date, flaw }
}

/// Adds the work for the newest versions.
///
/// # Errors
/// The database fails.
pub(super) fn add_work(site: &mut Site<'_>, names: &mut [NameStatus]) -> Result<()> {
    let newest = names.iter().filter_map(|name| name.newest.as_ref());
    let uids: Vec<&VersionUid> = newest.map(|version| &version.uid).collect();
    let mut work: HashMap<VersionUid, Work> = HashMap::new();
    for run in site.meta.runs_of(&uids)? {
        let work = work.entry(run.version_uid).or_default();
        work.statistics += run.statistics;
        work.seconds = work.seconds.saturating_add(run.duration);
    }
    for name in names {
        name.work = name.newest.as_ref().and_then(|version| work.get(&version.uid)).copied();
    }
    Ok(())
}
