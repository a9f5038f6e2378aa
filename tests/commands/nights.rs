//! Twenty nights of `run` under a clock that moves on: silence, and the versions that are left.

use crate::common::clock::Clock;
use crate::common::install::{Install, noise};
use crate::common::skip;
use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};
use std::collections::BTreeSet;

const BLOCK: usize = 4096;
const NIGHTS: usize = 20;
/// The night in which nothing runs.
const MISSED: usize = 10;

/// The clock so many nights and hours from now.
fn clock(night: usize, hours: usize) -> Option<Clock> {
    Clock::new(&format!("+{}h", 24 * night + hours))
}

/// An installation with three jobs: two with schedulers, one with rules.
fn installation() -> Install {
    let install = Install::new(BLOCK as u32);
    let config = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    let jobs = "\n[daily]\ninterval: 1d\nkeep: 5\nsla: 5h\n\n[weekly]\ninterval: 7d\nkeep: 2\nsla: 12h\n
[job:web]\nsource: DIR/web.img\n
[job:mail]\nsource: DIR/mail.img\nschedulers: daily\n
[job:files]\nsource: DIR/files.img\nkeep_daily: 3\nkeep_weekly: 2\n";
    let jobs = jobs.replace("DIR", install.path("").to_str().expect("text"));
    std::fs::write(install.path("backy.cfg"), config + &jobs).expect("written");
    install
}

/// The nights whose versions of this name are left, the oldest first. `dates` has the moments at which they began.
fn left(install: &Install, dates: &[String], name: &str) -> Vec<usize> {
    let listed = install.ok(&["-ms", "ls", "-f", "date", name]);
    let night = |date: &str| dates.iter().rposition(|began| &began[..] <= date).expect("one of the nights");
    let mut nights: Vec<usize> = listed.lines().map(night).collect();
    nights.sort_unstable();
    nights
}

/// The nights whose versions should be left after the last one.
fn wanted(begins: &[DateTime<Utc>], lives: impl Fn(usize) -> bool) -> Vec<usize> {
    (0..begins.len()).filter(|night| *night != MISSED && lives(*night)).collect()
}

#[test]
fn twenty_nights_are_silent_but_for_the_one_that_was_missed() {
    let name = "twenty_nights_are_silent_but_for_the_one_that_was_missed";
    // Two o'clock in the morning, so that no day ends during a night.
    let first = 26 - Utc::now().hour() as usize;
    if clock(0, first).is_none() {
        return skip(name, "faketime is not installed");
    }
    let install = installation();
    let begin = Utc::now() + TimeDelta::hours(first as i64);
    let begins: Vec<DateTime<Utc>> = (0..NIGHTS).map(|night| begin + TimeDelta::days(night as i64)).collect();
    for night in 0..NIGHTS {
        let (Some(at_night), Some(morning)) = (clock(night, first), clock(night, first + 6)) else { return };
        if night != MISSED {
            for image in ["web.img", "mail.img", "files.img"] {
                install.image(image, &noise(night as u64, 8 * BLOCK));
            }
            let run = at_night.run(&install, &["run"]);
            assert_eq!((run.code, &run.stdout[..], &run.stderr[..]), (0, "", ""), "night {night}");
        }
        let status = morning.run(&install, &["status", "--check"]);
        let sla = morning.ok(&install, &["-ms", "sla"]);
        // The gap is reported while the versions around it should be kept, unless the older one is the first of all. By
        // the rules, a night may be half a day late, and three days do not reach back to the version before the gap.
        let named: BTreeSet<&str> = sla.lines().filter_map(|line| line.split('|').next()).collect();
        let wanted: &[&str] = match night.checked_sub(MISSED) {
            Some(0..4) => &["mail", "web"],
            Some(4) => &["web"],
            _ => &[],
        };
        let wanted: BTreeSet<&str> = wanted.iter().copied().collect();
        assert_eq!(named, wanted, "night {night}: {sla}");
        let (code, word) = if night == MISSED {
            (1, "WARNING: mail is late (30 h old, daily), web is late (30 h old, daily) |")
        } else {
            (0, "OK: ")
        };
        assert!(status.code == code && status.stdout.starts_with(word), "night {night}: {status:?}");
    }
    let dates: Vec<String> =
        begins.iter().map(|begin| begin.format("%Y-%m-%d %H:%M:%S").to_string()).collect();
    // A version lives for one interval more than `keep` says, as in 2.13.
    let is_young = |night: usize| night + 6 >= NIGHTS;
    assert_eq!(
        left(&install, &dates, "web"),
        wanted(&begins, |night| night.is_multiple_of(7) || is_young(night))
    );
    assert_eq!(left(&install, &dates, "mail"), wanted(&begins, is_young));
    let week = |night: usize| begins[night].iso_week();
    let last_of_week = |night: usize| night + 1 == NIGHTS || week(night) != week(night + 1);
    let last_two = |night: usize| (night..NIGHTS).filter(|night| last_of_week(*night)).count() <= 2;
    let by_rules = wanted(&begins, |night| night + 3 >= NIGHTS || (last_of_week(night) && last_two(night)));
    assert_eq!(left(&install, &dates, "files"), by_rules);
}
