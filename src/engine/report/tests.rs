use super::*;
use crate::meta::PastRun;
use crate::types::keys::VersionKey;
use crate::types::uid::VersionUid;
use crate::types::version::{Count, Statistics, Version};
use chrono::{FixedOffset, Utc};
use std::collections::BTreeSet;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect(text)
}

fn date(text: &str) -> NaiveDate {
    text.parse().expect(text)
}

fn version(uid: &str, name: &str, date: &str, valid: bool) -> Version {
    Version {
        key: VersionKey(1),
        uid: uid.into(),
        date: at(date),
        expire: None,
        name: name.into(),
        snapshot_name: String::new(),
        size: 1,
        size_bytes: 4096,
        valid,
        protected: false,
        tags: Vec::new(),
    }
}

fn run(uid: &str, name: &str, ended: &str, duration: u64, new: u64) -> PastRun {
    let count = |bytes| Count { blocks: 1, bytes };
    let statistics = Statistics { read: count(10 * new), written: count(new), ..Statistics::default() };
    PastRun {
        date: at(ended),
        version_uid: uid.into(),
        name: name.into(),
        size: count(4096),
        statistics,
        duration,
    }
}

#[test]
fn a_backup_belongs_to_the_day_on_which_it_began() {
    let versions = [version("a", "vm", "2026-03-01 23:50:00", true)];
    let runs = [
        run("a", "vm", "2026-03-02 00:20:00", 1800, 5),
        run("gone", "vm", "2026-03-02 01:00:00", 60, 7),
        run("a", "vm", "2026-03-02 02:00:00", u64::MAX, 1),
    ];
    let found = nights::of(&versions, &runs, &Utc);
    let night = |day, runs, new, kept| Night { day: date(day), runs, read: 10 * new, new, kept };
    assert_eq!(found[1..], [night("2026-03-01", 1, 5, 5), night("2026-03-02", 1, 7, 0)]);
    assert_eq!(found.len(), 3, "the first one began in the year 1");
    let east = FixedOffset::east_opt(3600).expect("a zone");
    assert_eq!(nights::of(&versions, &runs[..2], &east), [night("2026-03-02", 2, 12, 5)]);
    assert!(nights::of(&versions, &[], &Utc).is_empty());
}

#[test]
fn the_runs_of_one_version_are_one_backup_and_the_median_is_that_of_the_last_ones() {
    let mut runs: Vec<PastRun> = (1..=31)
        .map(|n| {
            run(&format!("v{n}"), "vm", &format!("2026-03-{n:02} 02:00:00"), if n == 1 { 9999 } else { n }, 1)
        })
        .collect();
    runs.push(run("v31", "vm", "2026-03-31 05:00:00", 500, 2));
    runs.push(run("w", "other", "2026-03-31 05:00:00", 600, 2));
    runs.push(run("x", "removed", "2026-03-31 05:00:00", 700, 2));
    let found = jobs::of(&["other", "vm", "new"], &runs);
    let names: Vec<&str> = found.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(names, ["other", "vm"], "the longest first, and only names with versions and statistics");
    let job = &found[1];
    assert_eq!((job.last.seconds, job.last.new, job.last.read), (531, 3, 30));
    assert_eq!((job.last.ended, job.backups, job.median), (at("2026-03-31 05:00:00"), 30, 17));
}

/// The calendar of two names on 10 March.
fn calendar(versions: &[Version], runs: &[PastRun], held: &[&str]) -> Calendar {
    let held: BTreeSet<VersionUid> = held.iter().map(|uid| (*uid).into()).collect();
    calendar::of(&["a", "b"], versions, runs, &held, date("2026-03-10"), &Utc)
}

#[test]
fn cells_are_marked_by_their_best_version() {
    let protected = Version { protected: true, ..version("5", "b", "2026-03-09 03:00:00", true) };
    let versions = [
        version("2", "a", "2026-03-10 02:00:00", false),
        version("1", "a", "2026-03-10 01:00:00", true),
        version("3", "a", "2026-03-09 01:00:00", false),
        version("4", "b", "2026-03-09 02:00:00", true),
        protected,
        version("6", "b", "2026-03-10 02:00:00", false),
        version("7", "other", "2026-03-10 02:00:00", true),
        version("8", "a", "2025-03-10 02:00:00", true),
        version("9", "a", "2027-03-10 02:00:00", true),
    ];
    let runs = [run("gone", "b", "2026-03-08 02:00:00", 1, 1), run("1", "a", "2026-03-08 02:00:00", 1, 1)];
    let found = calendar(&versions, &runs, &["6", "1"]);
    assert_eq!(
        (found.days.len(), found.days[59], found.days[0]),
        (60, date("2026-03-10"), date("2026-01-10"))
    );
    let marks = |row: usize| found.rows[row][56..].iter().map(Cell::mark).collect::<Vec<_>>();
    assert_eq!(marks(0), [Mark::None, Mark::None, Mark::Invalid, Mark::Valid]);
    assert_eq!(marks(1), [Mark::None, Mark::Removed, Mark::Protected, Mark::Running]);
    let uids: Vec<&str> = found.rows[0][59].versions.iter().map(|version| version.uid.as_str()).collect();
    assert_eq!(uids, ["1", "2"], "oldest first");
}

#[test]
fn many_names_have_fewer_days() {
    let days = |names: usize| {
        let names: Vec<String> = (0..names).map(|n| n.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        calendar::of(&names, &[], &[], &BTreeSet::new(), date("2026-03-10"), &Utc).days.len()
    };
    assert_eq!((days(0), days(500), days(1000), days(100_000)), (60, 60, 30, 14));
}
