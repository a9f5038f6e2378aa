//! The nightly jobs: `[run]` and `[job:NAME]`.

use super::raw::{Raw, Section};
use super::retention;
use super::values::Keys;
use super::{Cadence, Config, Job, RunConfig, Scheduler, Source};
use crate::types::pattern;
use crate::types::retention::{KeepRules, Retention};
use crate::types::{Error, Result};
use std::time::Duration;

/// The section with the settings for all jobs.
pub(super) const SECTION: &str = "run";
/// Its keys.
pub(super) const KEYS: &[&str] = &["simultaneous_jobs", "verify"];
/// Precedes the name of a job.
const JOB: &str = "job:";
/// The keys of a job.
pub(super) const JOB_KEYS: &[&str] = &[
    "each",
    "source",
    "name",
    "schedulers",
    "keep_last",
    "keep_hourly",
    "keep_daily",
    "keep_weekly",
    "keep_monthly",
    "keep_yearly",
    "keep_within",
    "incremental",
    "before",
    "after",
    "timeout",
];
/// Stands for the name of the file or image that a pattern has found.
pub(crate) const PLACEHOLDER: &str = "{}";
/// The most jobs at the same time.
const MOST_JOBS: u64 = 64;
/// How much of a new version is read again, in percent.
const VERIFY: u64 = 1;

/// The name of the job that a section with the name `section` describes.
pub(super) fn name(section: &str) -> Option<&str> {
    section.strip_prefix(JOB)
}

/// All jobs, in the order of the files, and the settings for all of them.
pub(super) fn settings(raw: &Raw, schedulers: &[Scheduler]) -> Result<RunConfig> {
    let keys = Keys::new(raw, SECTION);
    let mut jobs = Vec::new();
    for section in &raw.sections {
        if let Some(name) = name(&section.name) {
            let new = job(raw, section, name, schedulers)?;
            let is_same = |job: &&Job| job.makes_one() && new.makes_one() && job.name == new.name;
            if let Some(other) = jobs.iter().find(is_same) {
                return Err(Error::config(format!(
                    "{}: [{}] makes versions of the name {}, and so does [{JOB}{}]. Give them different names.",
                    section.place, section.name, new.name, other.job
                )));
            }
            jobs.push(new);
        }
    }
    Ok(RunConfig {
        simultaneous_jobs: keys.number("simultaneous_jobs", 1..=MOST_JOBS, 1)? as usize,
        verify: keys.number("verify", 0..=100, VERIFY)? as u8,
        jobs,
    })
}

fn job(raw: &Raw, section: &Section, job: &str, configured: &[Scheduler]) -> Result<Job> {
    let wrong = |problem: &str| Error::config(format!("{}: [{}] {problem}", section.place, section.name));
    if job.is_empty() {
        return Err(wrong("has no name after the colon. Name the job after the machine, such as [job:web]."));
    }
    if job.trim() != job {
        return Err(wrong("has a blank at the beginning or the end of its name."));
    }
    let keys = Keys::new(raw, &section.name);
    let text = |key| keys.text(key).map(|found| found.map(|(text, _)| text));
    let (each, source, version) = (text("each")?, text("source")?, text("name")?);
    let has_place = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains(PLACEHOLDER));
    let (source, default_name) = match (each, source) {
        (None, None) => {
            return Err(wrong("has no key source. It says what is backed up, such as /dev/vg/web."));
        }
        (None, Some(source)) => (Source::One(source), job),
        (Some(_), source) if source.is_some() && !has_place(&source) => {
            return Err(wrong(
                "has a pattern (each), but the source is the same for all. Write {} where the name of the file or \
                 image belongs.",
            ));
        }
        (Some(pattern), source) => (Source::Each { pattern, source }, PLACEHOLDER),
    };
    let name = version.unwrap_or_else(|| default_name.to_owned());
    if matches!(source, Source::Each { .. }) && !name.contains(PLACEHOLDER) {
        return Err(wrong("has a pattern (each), but the name is the same for all. Write {} into it."));
    }
    if matches!(source, Source::One(_)) && name.contains(PLACEHOLDER) {
        return Err(wrong(
            "has {} in its name, which stands for what a pattern finds, and no pattern (each).",
        ));
    }
    if name.matches(PLACEHOLDER).count() > 1 {
        return Err(wrong("has {} in its name more than once."));
    }
    let keep = retention::rules(keys)?;
    let schedulers = schedulers(keys, configured)?;
    if schedulers.is_some() && !keep.is_empty() {
        return Err(wrong(
            "has schedulers and retention rules. Schedulers give each version an expiry date, and rules decide without \
             one: remove either of them.",
        ));
    }
    Ok(Job {
        job: job.to_owned(),
        source,
        name,
        schedulers,
        keep,
        incremental: keys.boolean("incremental", false)?,
        before: keys.script("before")?,
        after: keys.script("after")?,
        timeout: keys.time("timeout", Duration::from_secs(1))?,
    })
}

/// The schedulers that a job names.
fn schedulers(keys: Keys, configured: &[Scheduler]) -> Result<Option<Vec<String>>> {
    let Some((list, value)) = keys.text("schedulers")? else { return Ok(None) };
    let names: Vec<String> = list.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err(keys.bad("schedulers", value, "has a comma and no name beside it"));
    }
    if let Some(name) = names.iter().find(|name| configured.iter().all(|s| s.name != **name)) {
        return Err(keys.bad("schedulers", value, format!("names {name}, and there is no section [{name}]")));
    }
    Ok(Some(names))
}

impl RunConfig {
    /// The names of the versions that jobs with one source make.
    pub fn certain_names(&self) -> impl Iterator<Item = &str> {
        let certain = self.jobs.iter().filter(|job| job.makes_one());
        certain.map(|job| &job.name[..])
    }

    /// The job that makes the versions with the name `name`, if it is certain.
    pub fn of(&self, name: &str) -> Option<&Job> {
        match self.makers(name)[..] {
            [job] => Some(job),
            _ => None,
        }
    }

    /// The jobs that may make versions with the name `name`: the one that names it, or those whose patterns match.
    fn makers(&self, name: &str) -> Vec<&Job> {
        let named = self.jobs.iter().find(|job| job.makes_one() && job.name == name);
        named.map_or_else(|| self.jobs.iter().filter(|job| job.may_find(name)).collect(), |job| vec![job])
    }
}

impl Job {
    /// Whether all of its versions have one name.
    fn makes_one(&self) -> bool {
        matches!(self.source, Source::One(_))
    }

    /// How often it makes versions of the name `name`: by the schedulers that it names, its own rules, the rules of
    /// `[retention]` for that name, or all of the schedulers that are configured.
    pub fn cadence(&self, name: &str, retention: &Retention, configured: &[Scheduler]) -> Cadence {
        let common = retention.of(name);
        match &self.schedulers {
            Some(schedulers) => Cadence::Schedulers(schedulers.clone()),
            None if !self.keep.is_empty() => Cadence::Rules(self.keep),
            None if !common.is_empty() || configured.is_empty() => Cadence::Rules(common),
            None => Cadence::Schedulers(configured.iter().map(|scheduler| scheduler.name.clone()).collect()),
        }
    }

    /// Whether the pattern of the job matches what its version with the name `name` is made of.
    fn may_find(&self, name: &str) -> bool {
        let Source::Each { pattern, .. } = &self.source else { return false };
        let last = pattern.rsplit('/').next().unwrap_or(pattern);
        let Some((before, after)) = self.name.split_once(PLACEHOLDER) else { return false };
        let item = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        item.is_some_and(|item| !item.is_empty() && pattern::matches(last, item))
    }
}

impl Config {
    /// The retention rules for the versions with the name `name`: those of its job, or else those of `[retention]`. If
    /// several jobs may make them, a version stays that the rules of any of these keep.
    pub fn keep_rules(&self, name: &str) -> KeepRules {
        let common = self.retention.of(name);
        let of_job = |job: &Job| if job.keep.is_empty() { common } else { job.keep };
        let all: Vec<KeepRules> = self.run.makers(name).into_iter().map(of_job).collect();
        if all.iter().any(KeepRules::is_empty) {
            // Without rules, nothing has to go.
            return KeepRules::default();
        }
        all.into_iter().reduce(KeepRules::or).unwrap_or(common)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::retention::Rule;

    fn job(source: Source, name: &str, daily: u64) -> Job {
        Job {
            job: "x".into(),
            source,
            name: name.into(),
            schedulers: None,
            keep: KeepRules::default().with(Rule::Daily, daily),
            incremental: false,
            before: None,
            after: None,
            timeout: None,
        }
    }

    fn each(pattern: &str, name: &str, daily: u64) -> Job {
        job(Source::Each { pattern: pattern.into(), source: None }, name, daily)
    }

    #[test]
    fn a_version_belongs_to_the_job_that_names_it_or_to_those_whose_patterns_match() {
        let jobs = vec![
            each("/dev/vg0/vm-*", "{}", 2),
            each("/dev/vg1/*", "{}", 30),
            each("rbd://pool/*", "ceph-{}.img", 0),
            job(Source::One("/dev/sda".into()), "vm-boot", 7),
        ];
        let run = RunConfig { jobs, ..RunConfig::default() };
        let makers =
            |name| run.makers(name).iter().map(|job| job.keep.count(Rule::Daily)).collect::<Vec<_>>();
        for (name, daily) in [
            ("vm-boot", &[7][..]),
            ("db", &[30]),
            ("vm-1", &[2, 30]),
            ("ceph-a.img", &[30, 0]),
            ("ceph-.img", &[30]),
        ] {
            assert_eq!(makers(name), daily, "{name}");
            assert_eq!(run.of(name).is_some(), daily.len() == 1, "{name}");
        }
    }
}
