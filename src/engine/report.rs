//! The data of a report: the status, the backups of each day, a calendar of the versions, and the time that backups
//! take.
//!
//! Days are those of a time zone, and a backup belongs to the day on which it began.

mod calendar;
mod jobs;
mod nights;

use super::Site;
use super::status::{self, Options, Status};
use crate::meta::VersionFilter;
use crate::types::error::Result;
use crate::types::time::Timestamp;
use chrono::{NaiveDate, TimeZone};

pub(crate) use calendar::{Calendar, Cell, Mark};
#[cfg(test)]
pub(crate) use jobs::Backup;
pub(crate) use jobs::Job;
pub(crate) use nights::Night;

/// The data of a report.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// The overview of all names, with sums.
    pub status: Status,
    /// The day on which the report was made.
    pub today: NaiveDate,
    /// The days on which backups began, oldest first. Days without a backup are left out.
    pub nights: Vec<Night>,
    /// The versions of the last days.
    pub calendar: Calendar,
    /// The backups of each name that has statistics and a version. The longest last backup comes first.
    pub jobs: Vec<Job>,
}

/// Collects the data for the moment `now`, with the days of `zone`. With `sizes`, the bytes in the store are counted as
/// well, by listing it.
///
/// # Errors
/// The database fails; the store fails, if its sizes are requested.
pub(crate) fn run(site: &mut Site<'_>, sizes: bool, now: Timestamp, zone: &impl TimeZone) -> Result<Report> {
    let versions = site.versions(&VersionFilter::default())?;
    let runs = site.meta.past_runs(None, None)?;
    let held = status::under_way(site)?;
    let status = status::of(site, versions.clone(), Options { sizes, ..Options::default() }, now)?;
    let today = day(now, zone);
    // A date of the future comes from a clock that was wrong.
    let runs: Vec<_> = runs.into_iter().filter(|run| !run.date.is_future(now)).collect();
    let names: Vec<&str> = status.names.iter().map(|name| name.name.as_str()).collect();
    Ok(Report {
        nights: nights::of(&versions, &runs, zone),
        jobs: jobs::of(&names, &runs),
        calendar: calendar::of(&names, &versions, &runs, &held, today, zone),
        today,
        status,
    })
}

/// The day of a moment.
fn day(time: Timestamp, zone: &impl TimeZone) -> NaiveDate {
    zone.from_utc_datetime(&time.naive()).naive_local().date()
}

#[cfg(test)]
mod tests;
