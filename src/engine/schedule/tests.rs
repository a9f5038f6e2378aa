//! Tests with a fixed clock. The expected values were computed by hand.

use super::*;
use crate::types::keys::VersionKey;
use crate::types::retention::KeepRules;
use std::time::Duration;

mod nights;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect(text)
}

/// The time `seconds` after `text`; before it if negative.
fn near(text: &str, seconds: i64) -> Timestamp {
    Timestamp::from_naive(at(text).naive() + TimeDelta::seconds(seconds))
}

fn version(date: Timestamp, tags: &[&str]) -> Version {
    Version {
        key: VersionKey(0),
        uid: format!("uid-{}", date.unix()).into(),
        date,
        expire: None,
        name: "vm".into(),
        snapshot_name: String::new(),
        size: 1,
        size_bytes: 1,
        valid: true,
        protected: false,
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
    }
}

fn scheduler(name: &str, interval: u64, keep: u64, sla: u64) -> Scheduler {
    let (interval, sla) = (Duration::from_secs(interval), Duration::from_secs(sla));
    Scheduler { name: name.into(), interval, keep, sla }
}

fn daily() -> Scheduler {
    scheduler("daily", DAY, 8, 6 * HOUR)
}

/// `count` daily versions, oldest first. The newest one has the date `newest`.
fn days(newest: &str, count: u64) -> Vec<Version> {
    let date = |ago: u64| near(newest, -((ago * DAY) as i64));
    (0..count).rev().map(|ago| version(date(ago), &["daily"])).collect()
}

fn due_daily(versions: &[Version], now: Timestamp) -> Option<Due> {
    due_of("vm", versions, &[daily()], now)
}

fn breaches(versions: &[Version], now: Timestamp) -> Vec<String> {
    breaches_of(versions, &[daily()], now)
}

/// The breaches without retention rules.
fn breaches_of(versions: &[Version], schedulers: &[Scheduler], now: Timestamp) -> Vec<String> {
    breaches_with(versions, schedulers, KeepRules::default(), now)
}

fn breaches_with(
    versions: &[Version],
    schedulers: &[Scheduler],
    rules: KeepRules,
    now: Timestamp,
) -> Vec<String> {
    let machine = Machine { versions, all_schedulers: schedulers, rules, is_young: &|_| false, now };
    machine.breaches(schedulers).into_iter().map(|breach| breach.text).collect()
}

#[test]
fn due_begins_one_moment_after_the_interval_less_the_sla() {
    let versions = [version(at("2026-03-01 12:00:00"), &["daily"])];
    // One day minus six hours later.
    let since = "2026-03-02 06:00:00";
    assert_eq!(due_daily(&versions, near(since, -1)), None);
    assert_eq!(due_daily(&versions, at(since)), None, "not yet at that very moment");
    let wanted = Due {
        name: "vm".into(),
        schedulers: vec!["daily".into()],
        // Nine days after now.
        expire_date: at("2026-03-11 06:00:01"),
        due_since: at(since),
    };
    assert_eq!(due_daily(&versions, near(since, 1)), Some(wanted));
    let micro = at("2026-03-02 06:00:00.000001");
    assert_eq!(due_daily(&versions, micro).map(|due| due.due_since), Some(at(since)));
}

#[test]
fn without_a_version_it_is_due_since_the_beginning_of_time_unless_none_is_to_be_kept() {
    let now = at("2026-03-01 12:00:00");
    let due = due_daily(&[], now).expect("due");
    assert_eq!((due.due_since, due.expire_date), (at("1970-01-01"), at("2026-03-10 12:00:00")));
    let keeps_none = [scheduler("daily", DAY, 0, 0)];
    assert_eq!(due_of("vm", &[], &keeps_none, now), None);
    let old = [version(at("2026-02-01"), &["daily"])];
    let due = due_of("vm", &old, &keeps_none, now).expect("due");
    assert_eq!((due.due_since, due.expire_date), (at("2026-02-02"), at("2026-03-02 12:00:00")));
}

#[test]
fn only_valid_versions_with_the_tag_count() {
    let now = at("2026-03-01 12:00:00");
    let mut invalid = version(at("2026-03-01 11:00:00"), &["daily"]);
    invalid.valid = false;
    let others = [invalid, version(at("2026-03-01 11:30:00"), &["weekly", "daily2", "Daily"])];
    assert_eq!(due_daily(&others, now).map(|due| due.due_since), Some(at("1970-01-01")));
    let all = [&others[..], &[version(at("2026-03-01 10:00:00"), &["a", "daily"])]].concat();
    assert_eq!(due_daily(&all, now), None);
    assert_eq!(breaches(&others, now), Vec::<String>::new(), "the first backup was just now");
    let later = at("2026-03-02 17:30:01");
    assert_eq!(breaches(&others, later), ["daily: Too few backups. Found 0, should be 8."]);
    assert_eq!(breaches(&[], now), ["daily: Too few backups. Found 0, should be 8."]);
}

#[test]
fn of_several_schedulers_the_earliest_since_and_the_latest_expiry_count() {
    let schedulers = [
        scheduler("monthly", 30 * DAY, 3, 3 * DAY),
        daily(),
        scheduler("hourly", HOUR, 2, 0),
        scheduler("weekly", 7 * DAY, 5, 12 * HOUR),
    ];
    let now = at("2026-03-10 00:00:00");
    let versions = [
        version(at("2026-02-20 00:00:00"), &["monthly", "weekly", "daily"]),
        version(at("2026-03-05 00:00:00"), &["daily"]),
        version(at("2026-03-09 23:30:00"), &["hourly"]),
    ];
    let due = due_of("vm", &versions, &schedulers, now).expect("due");
    // Monthly: due 27 days after 20 February, which is in the future. Hourly: due in half an hour. Daily: due since 5
    // March 18:00. Weekly: due since 26 February 12:00.
    assert_eq!(due.schedulers, ["daily", "weekly"], "in the order given");
    assert_eq!(due.due_since, at("2026-02-26 12:00:00"));
    // Weekly: six times seven days.
    assert_eq!(due.expire_date, at("2026-04-21 00:00:00"));
}

#[test]
fn changes_of_summer_time_and_ends_of_months_are_nothing_special() {
    // Summer time changes on 2026-03-29 and 2026-10-25 in Europe, and on 2026-03-08 in North America. 2028 is a leap
    // year.
    for day in
        ["2026-03-07", "2026-03-28", "2026-10-24", "2026-01-31", "2027-02-28", "2028-02-28", "2026-12-31"]
    {
        let newest = format!("{day} 02:30:00");
        let versions = days(&newest, 8);
        let since = near(&newest, 18 * HOUR as i64);
        assert_eq!(due_daily(&versions, since), None, "{day}");
        let later = near(&newest, 18 * HOUR as i64 + 1);
        let due = due_daily(&versions, later).expect("due");
        assert_eq!(due.due_since, since);
        assert_eq!(due.expire_date.naive() - later.naive(), TimeDelta::days(9));
        assert_eq!(breaches(&versions, near(&newest, 60)), Vec::<String>::new(), "{day}");
    }
    let monthly = scheduler("m", 30 * DAY, 1, 0);
    let versions = [version(at("2026-01-31"), &["m"])];
    let due = due_of("vm", &versions, &[monthly], at("2026-03-03")).expect("due");
    assert_eq!((due.due_since, due.expire_date), (at("2026-03-02"), at("2026-05-02")));
}

#[test]
fn as_many_as_are_kept_and_two_more_are_no_breach() {
    let newest = "2026-03-01 12:00:00";
    let now = near(newest, HOUR as i64);
    let of = |count| -> Vec<String> {
        let mut texts = breaches(&days(newest, count), now);
        texts.retain(|text| text.contains("backups. Found"));
        texts
    };
    assert_eq!((of(7), of(8), of(9), of(10)), (vec![], vec![], vec![], vec![]));
    assert_eq!(of(11), ["daily: Too many backups. Found 11, should be 8."]);
    let none = scheduler("daily", DAY, 0, 0);
    assert_eq!(breaches_of(&[], &[none], now), Vec::<String>::new());
}

#[test]
fn a_machine_has_too_few_once_it_is_old_enough() {
    let newest = "2026-03-01 12:00:00";
    let now = near(newest, HOUR as i64);
    let schedulers = [daily(), scheduler("monthly", 30 * DAY, 2, 3 * DAY)];
    let of = |begin: &str, count| {
        let mut versions = vec![version(at(begin), &["monthly"])];
        versions.extend(days(newest, count));
        breaches_of(&versions, &schedulers, now)
    };
    let too_few = |count| vec![format!("daily: Too few backups. Found {count}, should be 8.")];
    assert_eq!(of("2026-02-01", 7), too_few(7), "one was removed too early");
    assert_eq!((of("2026-02-01", 8), of("2026-02-22 12:00:00", 7)), (vec![], vec![]));
    assert_eq!(of("2026-02-01", 0), too_few(0));
    assert_eq!(of("2026-02-28 07:00:00", 0), Vec::<String>::new(), "it is 30 hours old");
}

#[test]
fn versions_with_another_reason_to_stay_are_not_too_many() {
    let newest = "2026-03-01 12:00:00";
    let now = near(newest, HOUR as i64);
    let too_many = "daily: Too many backups. Found 11, should be 8.";
    assert_eq!(breaches(&days(newest, 11), now)[0], too_many);
    let changed = |change: &dyn Fn(&mut Version)| {
        let mut versions = days(newest, 11);
        change(&mut versions[0]);
        breaches_of(&versions, &[daily(), scheduler("weekly", 7 * DAY, 2, DAY)], now)
    };
    let weekly = "weekly: Too few backups. Found 0, should be 2.".to_owned();
    for change in [&(|version: &mut Version| version.protected = true) as &dyn Fn(&mut Version), &|version| {
        version.expire = Some(at("2026-03-02"))
    }] {
        assert_eq!(changed(change), std::slice::from_ref(&weekly));
    }
    let kept = changed(&|version| version.tags.push("weekly".into()));
    assert!(kept.iter().all(|text| !text.contains("Too many")), "{kept:?}");
    let expired = changed(&|version| version.expire = Some(at("2026-02-27")));
    assert_eq!(expired[0], too_many);
}

#[test]
fn the_second_backup_of_a_new_machine_may_be_a_day_late() {
    let first = version(at("2026-03-01 12:00:00"), &["daily"]);
    // It was made at noon, and is not due in the next night.
    let night = at("2026-03-03 02:15:00");
    assert_eq!(breaches(std::slice::from_ref(&first), night), Vec::<String>::new());
    let two = [first, version(night, &["daily"])];
    assert_eq!(breaches(&two, near("2026-03-03 02:15:00", HOUR as i64)), Vec::<String>::new());
    assert_eq!(breaches(&two, at("2026-03-04 08:15:01")).len(), 1, "later ones may not");
}

#[test]
fn the_newest_may_be_as_old_as_the_interval_and_the_sla() {
    let versions = days("2026-03-01 12:00:00", 8);
    let end = "2026-03-02 18:00:00";
    assert_eq!(breaches(&versions, at(end)), Vec::<String>::new());
    let uid = &versions[7].uid;
    let wanted = format!(
        "daily: Latest backup is too old. Version {uid} has date 2026-03-01 12:00:00, new backup due since 2026-03-02 18:00:00."
    );
    assert_eq!(breaches(&versions, near(end, 1)), [wanted]);
}

#[test]
fn gaps_may_be_as_much_wider_or_narrower_as_the_sla() {
    let second = "2026-03-08 12:00:00";
    for (gap, good) in
        [(30 * HOUR, true), (30 * HOUR + 1, false), (18 * HOUR, true), (18 * HOUR - 1, false), (0, false)]
    {
        let mut versions = days(second, 7);
        versions.push(version(near(second, gap as i64), &["daily"]));
        let texts = breaches(&versions, near(second, gap as i64 + 1));
        if good {
            assert_eq!(texts, Vec::<String>::new(), "{gap}");
            continue;
        }
        let b = &versions[7];
        let wanted = format!(
            "daily: Version {} is not in SLA range. It was created at {} and should be between 2026-03-09 06:00:00 and \
             2026-03-09 18:00:00.",
            b.uid, b.date
        );
        assert_eq!(texts, [wanted], "{gap}");
    }
}

#[test]
fn the_oldest_may_be_a_day_older_than_the_kept_time_and_the_sla() {
    // Eight days, plus six hours, plus one day.
    let now = "2026-03-10 12:00:00";
    let allowed = "2026-03-01 06:00:00";
    let mut versions = days("2026-03-10 06:00:00", 10);
    assert_eq!(versions[0].date, at(allowed));
    assert_eq!(breaches(&versions, at(now)), Vec::<String>::new());
    versions[0] = version(near(allowed, -1), &["daily"]);
    let wanted = format!(
        "daily: Backup too old. Found version_uid {} with backup date 2026-03-01 05:59:59. Oldest allowed date is {allowed}.",
        versions[0].uid
    );
    assert_eq!(breaches(&versions, at(now)), [wanted]);
}

#[test]
fn the_longest_times_that_can_be_configured_end_at_the_last_day() {
    let longest = scheduler("daily", 36_500 * DAY, 100_000, 36_500 * DAY);
    let now = at("2026-03-10 12:00:00");
    let due = due_of("vm", &[], std::slice::from_ref(&longest), now).expect("due");
    assert_eq!(due.expire_date, at("9999-12-31"), "not now");
    let versions = [version(at("2026-03-01"), &["daily"])];
    assert_eq!(breaches_of(&versions, &[longest], now), Vec::<String>::new(), "nothing is too old");
}

#[test]
fn no_date_is_too_early_or_too_late() {
    let dates = [
        "0001-01-01",
        "1582-10-04 23:59:59",
        "1900-02-28",
        "1969-12-31 23:59:59.999999",
        "1970-01-01",
        "2026-03-29 01:59:59",
        "2026-10-25 00:59:59",
        "2028-02-29 12:00:00",
        "9999-12-31",
        "9999-12-31 23:59:59.999999",
    ];
    let most = u64::MAX;
    let schedulers = [
        scheduler("t", 1, 0, 0),
        scheduler("t", HOUR, 1, DAY),
        scheduler("t", 36_500 * DAY, 100_000, 36_500 * DAY),
        scheduler("t", most, most, most),
    ];
    for now in dates.map(at) {
        for (early, late) in dates.iter().zip(&dates[1..]) {
            let versions = [version(at(early), &["t"]), version(at(late), &["t"])];
            for scheduler in &schedulers {
                let due = due_of("vm", &versions, std::slice::from_ref(scheduler), now);
                if let Some(due) = due {
                    let last = at("9999-12-31");
                    assert!(
                        due.expire_date >= now.min(last) && due.expire_date <= last,
                        "{now} {early} {due:?}"
                    );
                    assert!(
                        due.due_since < now || due.due_since == at("1970-01-01"),
                        "{now} {early} {due:?}"
                    );
                }
                let counted = tagged(&versions, "t", now);
                assert!(counted.iter().all(|version| version.date <= now.latest_plausible()));
                let texts = breaches_of(&versions, std::slice::from_ref(scheduler), now);
                let too_few = texts.iter().any(|text| text.contains("Too few"));
                assert!(!too_few || (counted.len() as u64) < scheduler.keep, "{texts:?}");
            }
        }
    }
}

#[test]
fn versions_of_the_future_neither_put_a_backup_off_nor_count() {
    let now = at("2026-03-01 12:00:00");
    let old = version(at("2026-02-01"), &["daily"]);
    let future = version(at("2026-04-30"), &["daily"]);
    let both = [old.clone(), future];
    assert_eq!(due_daily(&both, now), due_daily(std::slice::from_ref(&old), now));
    assert!(due_daily(&both, now).is_some());
    assert_eq!(breaches(&both, now), breaches(std::slice::from_ref(&old), now));
    // The clocks of hosts differ a little.
    assert_eq!(due_daily(&[version(at("2026-03-01 12:04:00"), &["daily"])], now), None);
}
