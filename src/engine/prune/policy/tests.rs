//! The documented examples of restic and Proxmox, what always stays, and a comparison with a model.

use super::*;
use crate::types::keys::VersionKey;
use chrono::{FixedOffset, TimeDelta, Utc};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect(text)
}

fn version(date: Timestamp, key: i64) -> Version {
    Version {
        key: VersionKey(key),
        uid: format!("uid-{key}").into(),
        date,
        expire: None,
        name: "vm".into(),
        snapshot_name: String::new(),
        size: 1,
        size_bytes: 1,
        valid: true,
        protected: false,
        tags: Vec::new(),
    }
}

fn versions(dates: &[&str]) -> Vec<Version> {
    dates.iter().zip(1..).map(|(date, key)| version(at(date), key)).collect()
}

const NOW: &str = "2026-11-01 00:00:00";

fn decide(versions: &[Version], rules: &KeepRules) -> Vec<Decision> {
    let all: Vec<&Version> = versions.iter().collect();
    Judge { now: at(NOW), zone: &Utc, is_young: &|_| false, is_in_use: &|_| false }.decide(&all, rules)
}

fn rules(counts: &[(Rule, u64)]) -> KeepRules {
    counts.iter().fold(KeepRules::default(), |rules, (rule, count)| rules.with(*rule, *count))
}

/// The dates of the versions that the rules keep.
fn kept<'d>(dates: &[&'d str], counts: &[(Rule, u64)]) -> Vec<&'d str> {
    let decisions = decide(&versions(dates), &rules(counts));
    dates.iter().zip(decisions).filter(|(_, decision)| decision.stays).map(|(date, _)| *date).collect()
}

/// The causes of each decision, as texts. A `-` in front means that the version goes.
fn shown(decisions: &[Decision]) -> Vec<String> {
    let text = |decision: &Decision| {
        let causes: Vec<String> = decision.causes.iter().map(Cause::to_string).collect();
        format!("{}{}", if decision.stays { "" } else { "-" }, causes.join(", "))
    };
    decisions.iter().map(text).collect()
}

#[test]
fn restics_example_of_twelve_sundays_holds() {
    let first = at("2019-09-01 11:00:00");
    let dates: Vec<String> = (0..12).map(|week| first.after(TimeDelta::days(7 * week)).to_string()).collect();
    let dates: Vec<&str> = dates.iter().map(String::as_str).collect();
    let four = ["2019-10-27 11:00:00", "2019-11-03 11:00:00", "2019-11-10 11:00:00", "2019-11-17 11:00:00"];
    assert_eq!(kept(&dates, &[(Rule::Daily, 4)]), four, "days without a version do not count");
}

#[test]
fn restics_example_of_a_hundred_years_holds() {
    let newest = at("2026-10-20 12:00:00");
    let all: Vec<Version> =
        (0..36_525).map(|day| version(newest.after(-TimeDelta::days(day)), 40_000 - day)).collect();
    let counts = [(Rule::Daily, 7), (Rule::Weekly, 5), (Rule::Monthly, 12), (Rule::Yearly, 75)];
    let decisions = decide(&all, &rules(&counts));
    let kept: BTreeSet<String> = all
        .iter()
        .zip(&decisions)
        .filter(|(_, decision)| decision.stays)
        .map(|(version, _)| version.date.to_string()[..10].to_owned())
        .collect();
    let of = |rule| decisions.iter().filter(|d| d.causes.contains(&Cause::Rule(rule))).count();
    assert_eq!((of(Rule::Daily), of(Rule::Weekly), of(Rule::Monthly), of(Rule::Yearly)), (7, 5, 12, 75));
    // The 20th is a Tuesday, so the newest weekly and the one of the Sunday before it are daily ones. The newest monthly
    // is a daily one, and so is the newest yearly one. The end of 2025 is the end of a month, too.
    assert_eq!(kept.len(), 7 + (5 - 2) + (12 - 1) + (75 - 2));
    for day in
        ["2026-10-20", "2026-10-14", "2026-10-11", "2026-09-27", "2026-09-30", "2025-12-31", "1952-12-31"]
    {
        assert!(kept.contains(day), "{day}: {kept:?}");
    }
    assert!(!kept.contains("1951-12-31") && !kept.contains("2026-10-13"));
}

#[test]
fn the_oldest_version_stays_while_a_rule_could_keep_more_as_in_restic() {
    let dates = ["2026-01-05", "2026-01-06", "2026-01-07", "2026-02-01"];
    let shown = shown(&decide(&versions(&dates), &rules(&[(Rule::Monthly, 3)])));
    assert_eq!(shown, ["oldest monthly", "-no rule keeps it", "monthly", "monthly"]);
    assert_eq!(kept(&dates, &[(Rule::Monthly, 2)]), ["2026-01-07", "2026-02-01"], "the number is used up");
}

#[test]
fn the_examples_of_proxmox_with_one_rule_hold() {
    let hourly = [
        "2019-11-15 09:39:15",
        "2019-11-15 10:49:15",
        "2019-11-15 10:59:15",
        "2019-11-15 11:39:15",
        "2019-11-15 11:49:15",
        "2019-11-15 11:59:15",
    ];
    assert_eq!(kept(&hourly, &[(Rule::Hourly, 3)]), [hourly[0], hourly[2], hourly[5]]);
    assert_eq!(kept(&hourly, &[(Rule::Hourly, 2)]), [hourly[2], hourly[5]]);
    let daily = ["2019-12-02 11:59:15", "2019-12-03 11:59:15", "2019-12-04 11:59:15", "2019-12-04 12:59:15"];
    for (count, from) in [(4, 0), (3, 1), (2, 2), (1, 3)] {
        assert_eq!(kept(&daily, &[(Rule::Last, count)]), daily[from..]);
    }
    assert_eq!(kept(&daily, &[(Rule::Daily, 3)]), [daily[0], daily[1], daily[3]]);
    assert_eq!(kept(&daily, &[(Rule::Daily, 2)]), [daily[1], daily[3]]);
    for rule in [Rule::Weekly, Rule::Monthly, Rule::Yearly] {
        assert_eq!(kept(&daily, &[(rule, 1)]), [daily[3]], "they are of one week, month and year");
    }
}

#[test]
fn a_version_can_fill_several_rules_as_in_restic_and_other_than_in_proxmox() {
    let dates = [
        "2018-11-15 11:59:15",
        "2019-11-22 11:59:15",
        "2019-11-29 11:59:15",
        "2019-12-01 11:59:15",
        "2019-12-03 11:59:15",
        "2019-12-04 11:59:15",
    ];
    // Proxmox would also keep the version of 3 December, because the newest one is taken by the first rule.
    assert_eq!(kept(&dates, &[(Rule::Last, 1), (Rule::Daily, 1)]), [dates[5]]);
    let decisions =
        decide(&versions(&dates), &rules(&[(Rule::Daily, 1), (Rule::Weekly, 2), (Rule::Yearly, 2)]));
    assert_eq!(
        shown(&decisions),
        [
            "yearly",
            "-no rule keeps it",
            "-no rule keeps it",
            "weekly",
            "-no rule keeps it",
            "daily, weekly, yearly"
        ]
    );
}

#[test]
fn protected_versions_do_not_count_as_in_proxmox() {
    let dates = ["2019-11-15 09:39:15", "2019-11-15 10:39:15", "2019-11-15 10:49:15", "2019-11-15 10:59:15"];
    let mut all = versions(&dates);
    all[0].protected = true;
    all[3].protected = true;
    for rule in [Rule::Last, Rule::Hourly] {
        let wanted = ["protected", "-no rule keeps it", rule.name(), "protected"];
        assert_eq!(shown(&decide(&all, &rules(&[(rule, 1)]))), wanted);
    }
}

#[test]
fn within_counts_from_the_newest_version() {
    let all = versions(&["2020-01-01", "2020-01-02", "2020-01-02 00:00:01", "2020-01-09"]);
    let mut within = rules(&[]);
    within.within = Some("7d".parse().expect("a span"));
    let wanted = ["-no rule keeps it", "-no rule keeps it", "within 7d", "within 7d"];
    assert_eq!(shown(&decide(&all, &within)), wanted, "though all of them are old");
}

#[test]
fn days_begin_in_the_time_zone() {
    let east = FixedOffset::east_opt(3 * 3600).expect("a zone");
    let all = versions(&["2026-03-01 20:00:00", "2026-03-01 21:30:00", "2026-03-02 20:30:00"]);
    let all: Vec<&Version> = all.iter().collect();
    let judge = Judge { now: at(NOW), zone: &east, is_young: &|_| false, is_in_use: &|_| false };
    let decisions = judge.decide(&all, &rules(&[(Rule::Daily, 3)]));
    // The second and third version are of one day there, and the first is of the day before.
    assert_eq!(shown(&decisions), ["daily", "-no rule keeps it", "daily"]);
}

#[test]
fn weeks_begin_on_monday_also_around_new_year() {
    let dates = ["2025-12-28", "2025-12-29", "2025-12-31", "2026-01-01", "2026-01-04", "2026-01-05"];
    assert_eq!(kept(&dates, &[(Rule::Weekly, 3)]), ["2025-12-28", "2026-01-04", "2026-01-05"]);
}

#[test]
fn an_expiry_decides_about_its_version() {
    let mut all = versions(&["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04", "2026-01-05"]);
    all[0].expire = Some(at("2030-01-01"));
    all[1].expire = Some(at(NOW).after(-TimeDelta::seconds(1)));
    all[4].expire = Some(at("2030-01-01"));
    let expired = "-expired 2026-10-31 23:59:59";
    let long = "expires 2030-01-01 00:00:00";
    assert_eq!(shown(&decide(&all, &KeepRules::default())), [long, expired, "no rules", "no rules", long]);
    let last = rules(&[(Rule::Last, 1)]);
    assert_eq!(shown(&decide(&all, &last)), [long, expired, "-no rule keeps it", "last", long]);
}

#[test]
fn some_versions_always_stay() {
    let mut all = versions(&["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04", "2026-01-05"]);
    for version in &mut all {
        version.expire = Some(at("2026-02-01"));
    }
    all[0].protected = true;
    all[4].valid = false;
    let judged: Vec<&Version> = all.iter().collect();
    let judge = Judge {
        now: at(NOW),
        zone: &Utc,
        is_young: &|version| version.date == at("2026-01-02"),
        is_in_use: &|version| version.date == at("2026-01-03"),
    };
    let wanted = ["protected", "too young", "in use", "last valid version", "-expired 2026-02-01 00:00:00"];
    assert_eq!(shown(&judge.decide(&judged, &rules(&[(Rule::Last, 1)]))), wanted);
}

#[test]
fn versions_that_are_not_valid_or_dated_in_the_future_do_not_count() {
    let mut all = versions(&["2026-01-01", "2026-01-02", "2026-01-03", "2027-01-01"]);
    all[2].valid = false;
    let wanted = ["-no rule keeps it", "last", "not valid", "dated in the future"];
    assert_eq!(shown(&decide(&all, &rules(&[(Rule::Last, 1)]))), wanted);
    all[3].expire = Some(at("2020-01-01"));
    assert_eq!(shown(&decide(&all, &rules(&[(Rule::Last, 1)]))), wanted, "its expiry is not trusted either");
}

/// The places of the versions that a rule keeps, computed without regard to order: the newest version of each of the
/// last `count` periods, and the oldest version if there are fewer periods.
fn model(dates: &[NaiveDateTime], count: usize, name: impl Fn(&NaiveDateTime) -> String) -> BTreeSet<usize> {
    let periods: BTreeSet<String> = dates.iter().map(&name).collect();
    let newest = |period: &String| {
        (0..dates.len()).filter(|index| name(&dates[*index]) == *period).max_by_key(|index| dates[*index])
    };
    let mut kept: BTreeSet<usize> = periods.iter().rev().take(count).filter_map(newest).collect();
    if periods.len() < count {
        kept.extend((0..dates.len()).min_by_key(|index| dates[*index]));
    }
    kept
}

proptest! {
    /// For distinct dates, the versions that stay are those of the model, and of the newest one at least.
    #[test]
    fn decisions_are_those_of_a_model(
        hours in proptest::collection::btree_set(0i64..20_000, 0..40),
        counts in proptest::collection::vec(0u64..6, 6),
        shuffle: u64,
    ) {
        let mut all: Vec<Version> = hours
            .iter()
            .map(|hour| version(at("2024-01-01 00:20:00").after(TimeDelta::minutes(hour * 37)), *hour))
            .collect();
        fastrand::Rng::with_seed(shuffle).shuffle(&mut all);
        let dates: Vec<NaiveDateTime> = all.iter().map(|version| version.date.naive()).collect();
        let chosen = Rule::ALL.into_iter().zip(counts.iter().copied());
        let rules = chosen.clone().fold(KeepRules::default(), |rules, (rule, count)| rules.with(rule, count));
        let mut wanted = BTreeSet::new();
        for (rule, count) in chosen {
            let format = match rule {
                Rule::Last => "%+",
                Rule::Hourly => "%Y %m %d %H",
                Rule::Daily => "%Y %m %d",
                Rule::Weekly => "%G %V",
                Rule::Monthly => "%Y %m",
                Rule::Yearly => "%Y",
            };
            let name = |date: &NaiveDateTime| date.and_utc().format(format).to_string();
            wanted.extend(model(&dates, count as usize, name));
        }
        if rules.is_empty() {
            wanted.extend(0..all.len());
        }
        wanted.extend((0..all.len()).max_by_key(|index| dates[*index]));
        let decisions = decide(&all, &rules);
        let stays: BTreeSet<usize> = (0..all.len()).filter(|index| decisions[*index].stays).collect();
        prop_assert_eq!(&stays, &wanted);
        prop_assert!(decisions.iter().all(|decision| !decision.causes.is_empty()));
        // The order in which versions are given does not matter, and a second run has nothing left to do.
        let rest: Vec<Version> = stays.iter().map(|index| all[*index].clone()).collect();
        prop_assert!(decide(&rest, &rules).iter().all(|decision| decision.stays));
    }
}
