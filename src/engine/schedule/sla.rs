//! Finds where the versions of a name do not match the schedulers.
//!
//! A scheduler is judged by the versions that it should keep: the newest `keep` versions with its tag. Older versions may
//! be there for other reasons, such as another scheduler, an expiry in the future or protection. Only versions without
//! such a reason are too many.
//!
//! If the name has retention rules, these decide what is kept, whatever the tags are. Then a scheduler is judged by all
//! versions, as far back as the rules keep one for each of its intervals.

use super::{delta, tagged, times};
use crate::config::Scheduler;
use crate::engine::prune::policy::Judge;
use crate::types::retention::{KeepRules, Rule};
use crate::types::time::Timestamp;
use crate::types::version::Version;
use chrono::{Local, TimeDelta};

/// How bad a breach is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// Something was missed or is left over, and cannot be mended, or does no harm.
    Warning,
    /// There is no new backup.
    Critical,
}

/// A breach of an agreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Breach {
    /// How bad it is.
    pub severity: Severity,
    /// Its description, which begins with the name of the scheduler.
    pub text: String,
}

/// Versions that may not have been removed yet although they are no longer needed.
const LEFT_OVER: usize = 2;
/// Versions that have not been needed for this long should have been removed.
const REMOVAL: TimeDelta = TimeDelta::days(2);
/// The lengths of the periods of rules. A rule counts only for schedulers with at least this interval.
const PERIODS: [(Rule, TimeDelta); 5] = [
    (Rule::Hourly, TimeDelta::hours(1)),
    (Rule::Daily, TimeDelta::days(1)),
    (Rule::Weekly, TimeDelta::days(7)),
    (Rule::Monthly, TimeDelta::days(28)),
    (Rule::Yearly, TimeDelta::days(365)),
];

/// The versions of one name, and everything that decides which of them should be there.
pub(super) struct Machine<'a> {
    /// The versions, oldest first.
    pub versions: &'a [Version],
    /// All schedulers of the configuration, which may need a version.
    pub all_schedulers: &'a [Scheduler],
    /// The retention rules for the name.
    pub rules: KeepRules,
    /// Whether a version is too young to be removed.
    pub is_young: &'a dyn Fn(&Version) -> bool,
    /// The current time.
    pub now: Timestamp,
}

impl Machine<'_> {
    /// The breaches of these schedulers.
    pub(super) fn breaches(&self, schedulers: &[Scheduler]) -> Vec<Breach> {
        let begin = self.begin(schedulers);
        let of = |scheduler| Agreement::new(self, scheduler, begin).breaches();
        let mut all: Vec<Breach> = schedulers.iter().flat_map(of).collect();
        all.extend(self.unpruned());
        all
    }

    /// The valid versions, oldest first, without those dated in the future.
    fn good(&self) -> Vec<&Version> {
        self.versions.iter().filter(|version| version.valid && !version.date.is_future(self.now)).collect()
    }

    /// The date of the first version that belongs to any of the schedulers, or else of the first version at all: since
    /// then there should be backups. `None` if there is no version.
    fn begin(&self, schedulers: &[Scheduler]) -> Option<Timestamp> {
        let good = self.good();
        let belongs = |version: &&&Version| schedulers.iter().any(|s| version.tags.contains(&s.name));
        let first = good.iter().find(belongs).or(good.first());
        first.map(|version| version.date)
    }

    /// Whether a version has a reason to be there still, other than being one of the newest of `scheduler`.
    fn is_needed(&self, version: &Version, scheduler: &Scheduler) -> bool {
        let keeps = |other: &Scheduler| {
            let versions = tagged(self.versions, &other.name, self.now);
            newest(&versions, other.keep).iter().any(|kept| kept.uid == version.uid)
        };
        version.protected
            || version.expire.is_some_and(|date| date >= self.now.after(-REMOVAL))
            || self.all_schedulers.iter().any(|other| other.name != scheduler.name && keeps(other))
    }

    /// A breach if versions are there that the rules have not kept for some time.
    fn unpruned(&self) -> Option<Breach> {
        let then = self.now.after(-REMOVAL);
        let old: Vec<&Version> = self.versions.iter().filter(|version| version.date <= then).collect();
        if self.rules.is_empty() || old.is_empty() {
            return None;
        }
        let judge = Judge { now: then, zone: &Local, is_young: self.is_young, is_in_use: &|_| false };
        let left = judge.decide(&old, &self.rules).iter().filter(|decision| !decision.stays).count();
        let (found, should_be) = (self.versions.len(), self.versions.len() - left);
        let text = format!("retention: Too many backups. Found {found}, should be {should_be}.");
        (left > LEFT_OVER).then_some(Breach { severity: Severity::Warning, text })
    }

    /// How far back the rules keep at least one version for each `interval`.
    fn coverage(&self, interval: TimeDelta) -> TimeDelta {
        let good = self.good();
        let periods = PERIODS.iter().filter(|(_, period)| *period <= interval);
        let by_periods =
            periods.map(|(rule, period)| times(*period, self.rules.count(*rule).saturating_sub(1)));
        let last = newest(&good, self.rules.count(Rule::Last)).first().map(|version| version.date);
        let within = self.rules.within.zip(good.last());
        let within = within.map(|(span, newest)| span.before(newest.date, &Local));
        let since = last.into_iter().chain(within).map(|date| self.now.since(date));
        by_periods.chain(since).max().unwrap_or_default()
    }
}

/// The last `count` of the versions.
fn newest<'s, 'v>(versions: &'s [&'v Version], count: u64) -> &'s [&'v Version] {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    &versions[versions.len().saturating_sub(count)..]
}

/// A scheduler, and the versions by which it is judged.
struct Agreement<'a> {
    machine: &'a Machine<'a>,
    scheduler: &'a Scheduler,
    interval: TimeDelta,
    sla: TimeDelta,
    /// Since when there should be backups.
    begin: Option<Timestamp>,
    /// All versions that belong to the scheduler, oldest first.
    all: Vec<&'a Version>,
    /// Those that it should keep.
    kept: Vec<&'a Version>,
}

impl<'a> Agreement<'a> {
    fn new(machine: &'a Machine<'a>, scheduler: &'a Scheduler, begin: Option<Timestamp>) -> Self {
        let (interval, sla) = (delta(scheduler.interval), delta(scheduler.sla));
        let (all, kept) = if machine.rules.is_empty() {
            let all = tagged(machine.versions, &scheduler.name, machine.now);
            let kept = newest(&all, scheduler.keep).to_vec();
            (all, kept)
        } else {
            let all = machine.good();
            let back = times(interval, scheduler.keep).min(machine.coverage(interval));
            let since = machine.now.after(-back);
            let mut kept = all.clone();
            kept.retain(|version| version.date >= since);
            (all, kept)
        };
        Agreement { machine, scheduler, interval, sla, begin, all, kept }
    }

    fn breaches(&self) -> Vec<Breach> {
        let mut texts = Vec::new();
        texts.extend(self.too_few());
        let left = self.left_over();
        texts.extend(self.too_many(&left));
        texts.extend(self.latest());
        texts.extend(self.kept.windows(2).filter_map(|pair| self.gap(pair[0], pair[1])));
        texts.extend(self.too_old(&left));
        let name = &self.scheduler.name;
        let breach = |(severity, text)| Breach { severity, text: format!("{name}: {text}") };
        texts.into_iter().map(breach).collect()
    }

    /// The time that a new machine gets until its second backup: its first one may be made at any time of the day, and the
    /// next one is not due before the day after.
    fn grace(&self, version: &Version) -> TimeDelta {
        if self.begin == Some(version.date) {
            self.interval.min(TimeDelta::days(1))
        } else {
            TimeDelta::zero()
        }
    }

    fn too_few(&self) -> Option<(Severity, String)> {
        let Scheduler { keep, .. } = self.scheduler;
        let found = self.all.len();
        if found as u64 >= *keep {
            return None;
        }
        // The history of the scheduler must begin by then.
        let kept_since = self.machine.now.after(-times(self.interval, *keep));
        let latest_begin = |begin: Timestamp| begin.max(kept_since).after(self.interval).after(self.sla);
        let is_breach = match (self.begin, self.all.first()) {
            (None, _) => true,
            (Some(begin), None) => latest_begin(begin) < self.machine.now,
            (Some(begin), Some(first)) => self.machine.rules.is_empty() && latest_begin(begin) < first.date,
        };
        let severity = if found == 0 { Severity::Critical } else { Severity::Warning };
        is_breach.then(|| (severity, format!("Too few backups. Found {found}, should be {keep}.")))
    }

    /// The versions that nothing needs any more, oldest first. With rules, [`Machine::unpruned`] looks for them.
    fn left_over(&self) -> Vec<&'a Version> {
        if !self.machine.rules.is_empty() {
            return Vec::new();
        }
        let older = &self.all[..self.all.len() - self.kept.len()];
        older.iter().copied().filter(|version| !self.machine.is_needed(version, self.scheduler)).collect()
    }

    fn too_many(&self, left: &[&Version]) -> Option<(Severity, String)> {
        let found = self.kept.len() + left.len();
        let text = format!("Too many backups. Found {found}, should be {}.", self.scheduler.keep);
        (left.len() > LEFT_OVER).then_some((Severity::Warning, text))
    }

    fn latest(&self) -> Option<(Severity, String)> {
        let newest = self.all.last()?;
        let since = newest.date.after(self.interval).after(self.sla);
        let text = format!(
            "Latest backup is too old. Version {} has date {}, new backup due since {since}.",
            newest.uid, newest.date
        );
        (since.after(self.grace(newest)) < self.machine.now).then_some((Severity::Critical, text))
    }

    fn gap(&self, before: &Version, version: &Version) -> Option<(Severity, String)> {
        let earliest = before.date.after(self.interval).after(-self.sla);
        let latest = before.date.after(self.interval).after(self.sla);
        // With rules, versions of all tags count, so some of them may be close together.
        let ruled = !self.machine.rules.is_empty();
        let early = !ruled && version.date < earliest;
        // If the night at the end of a week or month is missed, the version of the night before stands for it.
        let day = TimeDelta::days(1);
        let slack = if ruled && self.interval > day { day } else { self.grace(before) };
        let late = version.date > latest.after(slack);
        // Scripts look for this text of 2.13.
        let text = format!(
            "Version {} is not in SLA range. It was created at {} and should be between {earliest} and {latest}.",
            version.uid, version.date
        );
        (early || late).then_some((Severity::Warning, text))
    }

    fn too_old(&self, left: &[&Version]) -> Option<(Severity, String)> {
        let oldest = left.first()?;
        let kept = times(self.interval, self.scheduler.keep);
        let allowed = self.machine.now.after(-kept).after(-self.sla).after(-TimeDelta::days(1));
        let text = format!(
            "Backup too old. Found version_uid {} with backup date {}. Oldest allowed date is {allowed}.",
            oldest.uid, oldest.date
        );
        (oldest.date < allowed).then_some((Severity::Warning, text))
    }
}
