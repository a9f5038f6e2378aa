//! Decides which versions of a name stay, and why.
//!
//! The rules have the meaning that they have in restic: each rule looks at all versions, and a version stays if any rule
//! keeps it. Only periods that have a version count. If a rule has not used up its number, it also keeps the oldest
//! version, so that the history becomes as long as it can.
//!
//! The rules look at valid versions only. Protected versions, versions with an expiry of their own and versions dated in
//! the future neither need the rules nor count for them.

use crate::types::retention::{KeepRules, Rule, Span};
use crate::types::time::Timestamp;
use crate::types::version::Version;
use chrono::{Datelike, NaiveDateTime, TimeZone, Timelike};
use std::cmp::Reverse;
use std::fmt;

/// A reason for which a version stays or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A rule keeps it.
    Rule(Rule),
    /// It is the oldest version, and this rule could keep more.
    Oldest(Rule),
    /// It is at most this much older than the newest version.
    Within(Span),
    /// It is protected.
    Protected,
    /// Its date is in the future, so its age is unknown.
    Future,
    /// It has an expiry that has not come yet.
    Unexpired(Timestamp),
    /// There is no rule for its name.
    NoRules,
    /// It is not valid, so it may have to be continued or repaired.
    Invalid,
    /// It would go, but it is the newest valid version of its name.
    LastValid,
    /// It would go, but it is younger than versions that may be removed.
    Young,
    /// It would go, but a process uses it.
    InUse,
    /// It would go, but it changed after the decision.
    Changed,
    /// It goes because its expiry has passed.
    Expired(Timestamp),
    /// It goes because no rule keeps it.
    Unneeded,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Rule(rule) => f.write_str(rule.name()),
            Cause::Oldest(rule) => write!(f, "oldest {}", rule.name()),
            Cause::Within(span) => write!(f, "within {span}"),
            Cause::Protected => f.write_str("protected"),
            Cause::Future => f.write_str("dated in the future"),
            Cause::Unexpired(date) => write!(f, "expires {date}"),
            Cause::NoRules => f.write_str("no rules"),
            Cause::Invalid => f.write_str("not valid"),
            Cause::LastValid => f.write_str("last valid version"),
            Cause::Young => f.write_str("too young"),
            Cause::InUse => f.write_str("in use"),
            Cause::Changed => f.write_str("changed meanwhile"),
            Cause::Expired(date) => write!(f, "expired {date}"),
            Cause::Unneeded => f.write_str("no rule keeps it"),
        }
    }
}

/// The decision about one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Whether the version stays.
    pub stays: bool,
    /// Why it stays or goes; never empty.
    pub causes: Vec<Cause>,
}

/// The circumstances of a decision.
pub(crate) struct Judge<'a, Z> {
    /// The current time.
    pub now: Timestamp,
    /// The time zone in which days, weeks and so on begin.
    pub zone: &'a Z,
    /// Whether a version is too young to be removed.
    pub is_young: &'a dyn Fn(&Version) -> bool,
    /// Whether a process uses a version.
    pub is_in_use: &'a dyn Fn(&Version) -> bool,
}

impl<Z: TimeZone> Judge<'_, Z> {
    /// Decides about all versions of one name. The decisions have the order of `versions`, which may be any.
    pub(crate) fn decide(&self, versions: &[&Version], rules: &KeepRules) -> Vec<Decision> {
        let newest = newest_valid(versions.iter().copied(), self.now);
        let kept = versions.iter().zip(self.by_rules(versions, rules));
        kept.map(|(version, causes)| self.decide_one(version, causes, rules, newest)).collect()
    }

    /// Decides about a version that the rules keep for `causes`.
    fn decide_one(
        &self,
        version: &Version,
        mut causes: Vec<Cause>,
        rules: &KeepRules,
        newest: Option<&Version>,
    ) -> Decision {
        if version.protected {
            causes.push(Cause::Protected);
        }
        if version.date.is_future(self.now) {
            causes.push(Cause::Future);
        }
        let mut end = Cause::Unneeded;
        match version.expire {
            Some(date) if date < self.now => end = Cause::Expired(date),
            Some(date) => causes.push(Cause::Unexpired(date)),
            None if !version.valid => causes.push(Cause::Invalid),
            None if rules.is_empty() => causes.push(Cause::NoRules),
            None => {}
        }
        if causes.is_empty() {
            causes = self.obstacles(version, newest);
        }
        let stays = !causes.is_empty();
        Decision { stays, causes: if stays { causes } else { vec![end] } }
    }

    /// The reasons for which a version stays that would go otherwise.
    fn obstacles(&self, version: &Version, newest: Option<&Version>) -> Vec<Cause> {
        let is_newest = newest.is_some_and(|newest| newest.uid == version.uid);
        [
            (is_newest, Cause::LastValid),
            ((self.is_young)(version), Cause::Young),
            ((self.is_in_use)(version), Cause::InUse),
        ]
        .into_iter()
        .filter_map(|(applies, cause)| applies.then_some(cause))
        .collect()
    }

    /// The rules that keep each version.
    fn by_rules(&self, versions: &[&Version], rules: &KeepRules) -> Vec<Vec<Cause>> {
        let counts = |version: &Version| {
            version.valid
                && !version.protected
                && version.expire.is_none()
                && !version.date.is_future(self.now)
        };
        let mut causes = vec![Vec::new(); versions.len()];
        let mut order: Vec<usize> = (0..versions.len()).filter(|index| counts(versions[*index])).collect();
        order.sort_by_key(|index| Reverse((versions[*index].date, versions[*index].key)));
        for rule in Rule::ALL {
            self.apply(rule, rules.count(rule), versions, &order, &mut causes);
        }
        if let (Some(span), Some(newest)) = (rules.within, order.first()) {
            let begin = span.before(versions[*newest].date, self.zone);
            for index in order.iter().filter(|index| versions[**index].date > begin) {
                causes[*index].push(Cause::Within(span));
            }
        }
        causes
    }

    /// Lets one rule keep up to `count` of the versions. `order` has their places from the newest to the oldest.
    fn apply(
        &self,
        rule: Rule,
        mut count: u64,
        versions: &[&Version],
        order: &[usize],
        causes: &mut [Vec<Cause>],
    ) {
        let mut last = None;
        for (number, index) in order.iter().enumerate() {
            if count == 0 {
                return;
            }
            let local = self.zone.from_utc_datetime(&versions[*index].date.naive()).naive_local();
            let period = Some(period(rule, local, number));
            if period != last {
                causes[*index].push(Cause::Rule(rule));
            } else if number + 1 == order.len() {
                causes[*index].push(Cause::Oldest(rule));
            } else {
                continue;
            }
            last = period;
            count -= u64::from(count != u64::MAX);
        }
    }
}

/// A value that is the same for all moments of one period of the rule. `number` is the place of the version.
fn period(rule: Rule, local: NaiveDateTime, number: usize) -> (i32, u32, u32, usize) {
    let (year, month, day) = (local.year(), local.month(), local.day());
    match rule {
        Rule::Last => (0, 0, 0, number),
        Rule::Hourly => (year, month, day, local.hour() as usize),
        Rule::Daily => (year, month, day, 0),
        Rule::Weekly => (local.iso_week().year(), local.iso_week().week(), 0, 0),
        Rule::Monthly => (year, month, 0, 0),
        Rule::Yearly => (year, 0, 0, 0),
    }
}

/// The newest valid version that is not dated in the future.
pub(super) fn newest_valid<'v>(
    versions: impl Iterator<Item = &'v Version>,
    now: Timestamp,
) -> Option<&'v Version> {
    let counts = |version: &&Version| version.valid && !version.date.is_future(now);
    versions.filter(counts).max_by_key(|version| (version.date, version.key))
}

#[cfg(test)]
mod tests;
