//! Whether a version is young enough, and how bad a state is.

use super::names::State;
use crate::config::Scheduler;
use crate::types::version::Version;
use chrono::TimeDelta;
use std::time::Duration;

/// How bad something is, in the order of monitoring systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// All is well.
    Ok,
    /// A backup is late, or the last attempt failed.
    Warning,
    /// There is nothing valid, a backup is very late, or data is bad.
    Critical,
}

/// Whether a version was made in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Punctuality {
    /// The next one is not late yet.
    InTime,
    /// It is older than the interval and the tolerance.
    Late,
    /// It is also older than two intervals.
    VeryLate,
}

/// The scheduler with the shortest interval among those that have a valid version in `versions`. The valid versions that
/// are tagged with its name belong to a scheduler.
pub(super) fn scheduler<'s>(versions: &[Version], schedulers: &'s [Scheduler]) -> Option<&'s Scheduler> {
    let has = |scheduler: &&Scheduler| {
        versions.iter().any(|version| version.valid && version.tags.contains(&scheduler.name))
    };
    schedulers.iter().filter(has).min_by_key(|scheduler| scheduler.interval)
}

/// Judges a version of this age by its scheduler. Without one it is never late.
pub(super) fn punctuality(age: TimeDelta, scheduler: Option<&Scheduler>) -> Punctuality {
    let Some(Scheduler { interval, sla, .. }) = scheduler else { return Punctuality::InTime };
    // A version of the future has no age.
    let age = age.to_std().unwrap_or(Duration::ZERO);
    if age <= interval.saturating_add(*sla) {
        Punctuality::InTime
    } else if age <= interval.saturating_mul(2) {
        Punctuality::Late
    } else {
        Punctuality::VeryLate
    }
}

/// How bad the state of a name is.
pub(super) fn severity(state: State, punctuality: Punctuality, has_valid: bool, running: bool) -> Severity {
    match state {
        State::Ok => Severity::Ok,
        // The first backup of a name is under way.
        State::None if running => Severity::Ok,
        State::None => Severity::Critical,
        State::Invalid if !has_valid => Severity::Critical,
        _ if punctuality == Punctuality::VeryLate => Severity::Critical,
        State::Late | State::Failed | State::Invalid => Severity::Warning,
    }
}
