//! What the nightly jobs have to do: the sources that their patterns find, and which backups are due.

use super::Site;
use super::schedule;
use crate::config::jobs::PLACEHOLDER;
use crate::config::{Cadence, Job, Source};
use crate::io::{self, Entry};
use crate::meta::VersionFilter;
use crate::types::error::{Error, Result};
use crate::types::retention::Rule;
use crate::types::time::Timestamp;
use crate::types::version::Version;
use chrono::{Local, TimeZone};
use std::collections::BTreeMap;

/// A backup that a job may have to make.
#[derive(Clone, Debug)]
pub(crate) struct Task<'c> {
    /// The job.
    pub job: &'c Job,
    /// The source; empty if the pattern of the job finds none.
    pub source: String,
    /// The name of the versions.
    pub name: String,
    /// The name of the file or image that the pattern of the job has found; empty without a pattern.
    pub item: String,
    /// Whether there are versions of that name.
    pub is_known: bool,
    /// What is to be done.
    pub need: Need,
}

/// Whether a task has to make a backup now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A backup is due.
    Due {
        /// The schedulers that ask for it.
        tags: Vec<String>,
        /// The expiry of the new version; `None` if it does not expire.
        expire: Option<Timestamp>,
        /// Why, in a few words.
        why: String,
    },
    /// Nothing is due.
    Nothing,
    /// No backup can be made. The text says why.
    Impossible(String),
}

/// The tasks of the jobs with the names `wanted`, or of all jobs.
///
/// The failure of a pattern, or of a name that it finds, touches no other task.
///
/// # Errors
/// There is no such job, or no job at all; the database fails.
pub(crate) fn plan<'c>(
    site: &mut Site<'_>,
    jobs: &'c [Job],
    wanted: &[String],
    now: Timestamp,
) -> Result<Vec<Task<'c>>> {
    let mut tasks = Vec::new();
    for job in chosen(jobs, wanted)? {
        let found = match sources(site, job) {
            Ok(found) => found,
            Err(error @ (Error::Interrupted(_) | Error::Internal(_))) => return Err(error),
            Err(error) => {
                let (source, item, name) = (String::new(), String::new(), job.job.clone());
                let need = Need::Impossible(error.line());
                tasks.push(Task { job, source, name, item, is_known: false, need });
                continue;
            }
        };
        for (item, source, problem) in found {
            let name = job.name.replace(PLACEHOLDER, &item);
            let task = |is_known, need| Task { job, source, name: name.clone(), item, is_known, need };
            tasks.push(match problem {
                Some(problem) => task(false, Need::Impossible(problem)),
                None => {
                    let versions = versions_of(site, &name)?;
                    let need = need(site, job, &name, &versions, now)?;
                    task(!versions.is_empty(), need)
                }
            });
        }
    }
    settle(&mut tasks);
    Ok(tasks)
}

/// Makes tasks impossible that would make versions of the same name from different sources. At least one of these has been
/// found by a pattern: the configuration may not have two jobs of one name.
fn settle(tasks: &mut [Task<'_>]) {
    let mut same: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (n, task) in tasks.iter().enumerate().filter(|(_, task)| !task.source.is_empty()) {
        same.entry(&task.name).or_default().push(n);
    }
    let mut impossible = Vec::new();
    for (name, all) in same.into_iter().filter(|(_, all)| all.len() > 1) {
        let sources: Vec<String> =
            all.iter().map(|n| format!("{} of [job:{}]", tasks[*n].source, tasks[*n].job.job)).collect();
        let why = format!(
            "versions of the name {name} would come from {}. Change a pattern or a name.",
            sources.join(" and ")
        );
        impossible.extend(all.into_iter().map(|n| (n, why.clone())));
    }
    for (n, why) in impossible {
        tasks[n].need = Need::Impossible(why);
    }
}

/// The task as it is at `now`, after another run may have made the backup.
///
/// # Errors
/// The database fails.
pub(crate) fn renewed<'c>(site: &mut Site<'_>, task: &Task<'c>, now: Timestamp) -> Result<Task<'c>> {
    let versions = versions_of(site, &task.name)?;
    let need = need(site, task.job, &task.name, &versions, now)?;
    Ok(Task { is_known: !versions.is_empty(), need, ..task.clone() })
}

fn versions_of(site: &mut Site<'_>, name: &str) -> Result<Vec<Version>> {
    site.versions(&VersionFilter { name: Some(name.to_owned()), ..VersionFilter::default() })
}

fn chosen<'c>(jobs: &'c [Job], wanted: &[String]) -> Result<Vec<&'c Job>> {
    if jobs.is_empty() {
        return Err(Error::config(
            "There are no jobs in the configuration. A job is a section [job:NAME] with at least a source, such as \
             \"source: /dev/vg/web\".",
        ));
    }
    for name in wanted {
        if jobs.iter().all(|job| job.job != *name) {
            let known: Vec<&str> = jobs.iter().map(|job| &job.job[..]).collect();
            return Err(Error::refused(format!("There is no job {name}. There are: {}", known.join(", "))));
        }
    }
    Ok(jobs.iter().filter(|job| wanted.is_empty() || wanted.contains(&job.job)).collect())
}

/// The sources of a job, each with the name that stands for the placeholder, and why it cannot be used.
fn sources(site: &Site<'_>, job: &Job) -> Result<Vec<(String, String, Option<String>)>> {
    let (pattern, source) = match &job.source {
        Source::One(source) => return Ok(vec![(String::new(), source.clone(), None)]),
        Source::Each { pattern, source } => (pattern, source),
    };
    let found = io::find(pattern, &site.config.io)?;
    if found.is_empty() {
        return Err(Error::config(format!(
            "[job:{}] finds nothing to back up: nothing matches {pattern}. Is it mounted, or is the volume group active?",
            job.job
        )));
    }
    let source_of = |Entry { name, url, problem }: Entry| {
        let source = source.as_ref().map_or(url, |source| source.replace(PLACEHOLDER, &name));
        (name, source, problem)
    };
    Ok(found.into_iter().map(source_of).collect())
}

/// Whether a backup of `name` is due at `now`. It has `versions`.
fn need(site: &Site<'_>, job: &Job, name: &str, versions: &[Version], now: Timestamp) -> Result<Need> {
    let keep = match job.cadence(name, &site.config.retention, &site.config.schedulers) {
        Cadence::Rules(keep) => keep,
        Cadence::Schedulers(schedulers) => {
            let due = schedule::due_among(site, name, versions, &schedulers, now)?;
            return Ok(due.map_or(Need::Nothing, |due| Need::Due {
                why: due.schedulers.join(", "),
                tags: due.schedulers,
                expire: Some(due.expire_date),
            }));
        }
    };
    let due = |why: &str| Need::Due { tags: Vec::new(), expire: None, why: why.to_owned() };
    let Some(period) = schedule::shortest(&keep) else { return Ok(due("each run")) };
    let newest = versions.iter().filter(|v| v.valid && !v.date.is_future(now)).map(|v| v.date).max();
    let begun = |date: Timestamp| begin_of(period, date, &Local);
    Ok(match newest {
        Some(newest) if begun(newest) == begun(now) => Need::Nothing,
        _ => due(period.name()),
    })
}

/// A text that is the same for all moments in one period.
fn begin_of<Z: TimeZone>(period: Rule, date: Timestamp, zone: &Z) -> String
where
    Z::Offset: std::fmt::Display,
{
    let format = match period {
        Rule::Last | Rule::Hourly => "%Y-%m-%d %H",
        Rule::Daily => "%Y-%m-%d",
        Rule::Weekly => "%G-%V",
        Rule::Monthly => "%Y-%m",
        Rule::Yearly => "%Y",
    };
    zone.from_utc_datetime(&date.naive()).format(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::FixedOffset;

    #[test]
    fn periods_begin_by_the_local_calendar() {
        let east = FixedOffset::east_opt(3600).expect("a zone");
        let begin = |period, text| begin_of(period, Timestamp::parse(text).expect(text), &east);
        // 2026-12-31 is a Thursday.
        for (period, same, other) in [
            (Rule::Hourly, ["2026-12-31 22:00:00", "2026-12-31 22:59:59"], "2026-12-31 23:00:00"),
            (Rule::Daily, ["2026-12-30 23:00:00", "2026-12-31 22:59:59"], "2026-12-31 23:00:00"),
            (Rule::Weekly, ["2026-12-27 23:00:00", "2027-01-03 22:59:59"], "2027-01-03 23:00:00"),
            (Rule::Monthly, ["2026-11-30 23:00:00", "2026-12-31 22:59:59"], "2026-12-31 23:00:00"),
            (Rule::Yearly, ["2025-12-31 23:00:00", "2026-12-31 22:59:59"], "2026-12-31 23:00:00"),
        ] {
            assert_eq!(begin(period, same[0]), begin(period, same[1]), "{period:?}");
            assert_ne!(begin(period, same[1]), begin(period, other), "{period:?}");
        }
    }
}
