//! Versions that are dated in the future, because a clock was or is wrong. Their dates are neither trusted nor
//! changed.

use super::Site;
use crate::meta::VersionFilter;
use crate::types::error::Result;
use crate::types::keys::VersionKey;
use crate::types::time::Timestamp;
use crate::types::version::Version;
use chrono::TimeDelta;
use std::collections::HashMap;

/// Number of versions that a warning lists.
const LISTED: usize = 10;
/// If the newest version is ahead of the clock by less than this, the clock is assumed to have been set back, and a
/// new version gets a date just after the newest one. Versions further ahead are ignored for this.
const SET_BACK: TimeDelta = TimeDelta::days(1);

/// Sorts versions by name, and within each name in the order in which they were made, oldest first. Dates give the
/// order. A version dated in the future is placed after the newest version that was in the database before it.
pub(crate) fn by_making<T>(items: &mut [T], version: impl Fn(&T) -> &Version, now: Timestamp) {
    let mut by_key: Vec<&Version> = items.iter().map(&version).collect();
    by_key.sort_by_key(|version| version.key);
    let mut newest: HashMap<&str, Timestamp> = HashMap::new();
    let mut places: HashMap<VersionKey, (Timestamp, bool)> = HashMap::new();
    let beginning = Timestamp::beginning();
    for Version { name, date, key, .. } in by_key {
        let before = newest.entry(name).or_insert(beginning);
        if date.is_future(now) {
            places.insert(*key, (*before, true));
        } else {
            *before = (*before).max(*date);
            places.insert(*key, (*date, false));
        }
    }
    items.sort_by_cached_key(|item| {
        let Version { name, date, key, .. } = version(item);
        let place = places.get(key).copied().unwrap_or((*date, false));
        (name.clone(), place, *date, *key)
    });
}

/// Warns on stderr and in the log about those versions that are dated in the future. `what` explains the consequence
/// for the command. Does nothing if there are none.
pub(crate) fn tell<'v>(site: &Site<'_>, versions: impl IntoIterator<Item = &'v Version>, what: &str) {
    if let Some(lines) = warning(versions, what) {
        site.monitor.notice_lines(&lines);
    }
}

/// The lines of the warning in [`tell`], or `None` if no version is dated in the future.
pub(crate) fn warning<'v>(
    versions: impl IntoIterator<Item = &'v Version>,
    what: &str,
) -> Option<Vec<String>> {
    let now = Timestamp::now();
    let found: Vec<&Version> = versions.into_iter().filter(|version| version.date.is_future(now)).collect();
    if found.is_empty() {
        return None;
    }
    let mut text = String::from(
        "these versions have later dates. The clock was wrong when they were made, or it is wrong now.",
    );
    if !what.is_empty() {
        text += &format!(" {what}");
    }
    let mut lines = vec![format!("The clock says {now} (UTC), but {text}")];
    for version in found.iter().take(LISTED) {
        let expires = version.expire.map(|expire| format!(" (expires {expire}: see `backy2 expire`)"));
        let expires = expires.unwrap_or_default();
        lines.push(format!("  {} {} {}{expires}", version.uid, version.date, version.name));
    }
    if found.len() > LISTED {
        lines.push(format!("  and {} more", found.len() - LISTED));
    }
    Some(lines)
}

/// The date for a new version of `name`: now, or just after the newest version if the clock was set back a little
/// since then, so that the new version is the latest. Warns about versions that are dated in the future.
///
/// # Errors
/// The database fails.
pub(crate) fn date_of_new(site: &mut Site<'_>, name: &str) -> Result<Timestamp> {
    let filter = VersionFilter { name: Some(name.to_owned()), ..VersionFilter::default() };
    let versions = site.versions(&filter)?;
    tell(site, &versions, "Automatic tags, `due` and `sla` ignore them.");
    let now = Timestamp::now();
    Ok(behind(versions.iter().map(|version| version.date), now))
}

fn behind(dates: impl Iterator<Item = Timestamp>, now: Timestamp) -> Timestamp {
    let newest = dates.filter(|date| date.since(now) < SET_BACK).max();
    newest.map_or(now, |newest| now.max(newest.after(TimeDelta::microseconds(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect(text)
    }

    /// Versions of one name, in the order in which they were made.
    fn versions(dates: &[&str]) -> Vec<Version> {
        let version = |(key, date): (usize, &&str)| Version {
            key: VersionKey(key as i64),
            uid: (*date).into(),
            date: at(date),
            expire: None,
            name: "vm".into(),
            snapshot_name: String::new(),
            size: 0,
            size_bytes: 0,
            valid: true,
            protected: false,
            tags: Vec::new(),
        };
        dates.iter().enumerate().map(version).collect()
    }

    fn ordered(dates: &[&str], now: &str) -> Vec<String> {
        let mut versions = versions(dates);
        by_making(&mut versions, |version| version, at(now));
        versions.into_iter().map(|version| version.uid.to_string()).collect()
    }

    #[test]
    fn a_date_in_the_future_does_not_make_a_version_the_newest() {
        let now = "2026-03-05 12:00:00";
        // The second version was made while the clock was far ahead. The last one was imported from an old dump.
        let made = ["2026-03-01", "2026-05-01", "2026-03-03", "2026-03-04", "2026-02-01"];
        let order = ["2026-02-01", "2026-03-01", "2026-05-01", "2026-03-03", "2026-03-04"];
        assert_eq!(ordered(&made, now), order);
        // Without a later version, it is the newest.
        assert_eq!(ordered(&made[..2], now), made[..2]);
        // If the clock is behind, all older versions are in the future. They are sorted by date, and the new version
        // comes last.
        let made = ["2026-03-01", "2026-03-02", "2026-02-20", "1970-01-02"];
        let order = ["2026-02-20", "2026-03-01", "2026-03-02", "1970-01-02"];
        assert_eq!(ordered(&made, "1970-01-02 01:00:00"), order);
        assert_eq!(ordered(&made[..3], "1969-12-31"), order[..3]);
        // Without versions in the future, only dates count.
        assert_eq!(ordered(&["2026-03-02", "2026-03-01"], now), ["2026-03-01", "2026-03-02"]);
    }

    #[test]
    fn a_version_is_dated_behind_those_before_it_if_the_clock_was_set_back_a_little() {
        let now = at("2026-03-05 12:00:00");
        let new = |dates: &[&str]| behind(dates.iter().map(|date| at(date)), now).to_database();
        assert_eq!(new(&[]), "2026-03-05 12:00:00.000000");
        assert_eq!(new(&["0001-01-01", "2026-03-05 11:59:59"]), "2026-03-05 12:00:00.000000");
        assert_eq!(new(&["2026-03-05 12:00:00"]), "2026-03-05 12:00:00.000001");
        assert_eq!(new(&["2026-03-05 13:00:00", "2026-03-04"]), "2026-03-05 13:00:00.000001");
        assert_eq!(new(&["2026-03-06 12:00:00", "9999-12-31"]), "2026-03-05 12:00:00.000000");
    }
}
