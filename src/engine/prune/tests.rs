//! A year of nights with twenty names: backups that are due, `prune`, `sla`, `status`.

use super::*;
use crate::config::{self, Config, Origin, Places};
use crate::engine::schedule::{self, Asked, Due};
use crate::engine::status::{self, Severity, Status};
use crate::engine::{Access, catalogue, init, usage};
use crate::meta::StatisticsRow;
use crate::monitor::Silent;
use crate::types::block::Geometry;
use crate::types::retention::Rule;
use crate::types::uid::VersionUid;
use crate::types::version::{NewVersion, Statistics};
use chrono::{Datelike, NaiveDateTime, TimeDelta};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const SCHEDULERS: [&str; 3] = ["daily", "weekly", "monthly"];
const NIGHTS: i64 = 365;

/// Every version that was ever made of a name: its date, and its expiry if it has one.
type History = Vec<(Timestamp, Option<Timestamp>)>;

/// Makes an empty version, as a backup would.
fn back_up(site: &mut Site<'_>, due: &Due, now: Timestamp, expires: bool) -> (Timestamp, Option<Timestamp>) {
    let expire = expires.then_some(due.expire_date);
    let version = NewVersion {
        uid: VersionUid::generate(),
        date: now,
        expire,
        name: due.name.clone(),
        snapshot_name: String::new(),
        size: 0,
        size_bytes: 0,
        tags: due.schedulers.clone(),
        origin: None,
    };
    let made = site.meta.begin_version(&version).expect("begun");
    let run = StatisticsRow {
        date: now,
        version_uid: made.uid.clone(),
        name: made.name.clone(),
        geometry: Geometry::new(0, 4096),
        statistics: Statistics::default(),
        duration: 0,
    };
    site.meta.finish_version(&made, &run, None).expect("finished");
    (now, expire)
}

/// The dates that stay under the rules `daily: 8, weekly: 5, monthly: 6, yearly: 1`, found in the whole history without
/// regard to earlier removals.
fn by_rules(history: &History) -> BTreeSet<Timestamp> {
    let key = |date: &Timestamp, rule: usize| {
        let local: NaiveDateTime = date.local().naive_local();
        match rule {
            0 => local.date().num_days_from_ce(),
            // Day 1 was a Monday.
            1 => (local.date().num_days_from_ce() - 1) / 7,
            2 => local.year() * 12 + local.month0() as i32,
            _ => local.year(),
        }
    };
    let mut stays = BTreeSet::new();
    for (rule, count) in [8, 5, 6, 1].into_iter().enumerate() {
        let mut newest: BTreeMap<i32, Timestamp> = BTreeMap::new();
        for (date, _) in history {
            let entry = newest.entry(key(date, rule)).or_insert(*date);
            *entry = (*entry).max(*date);
        }
        stays.extend(newest.values().rev().take(count));
        if newest.len() < count {
            stays.extend(history.iter().map(|(date, _)| *date).min());
        }
    }
    stays
}

fn by_expiry(history: &History, now: Timestamp) -> BTreeSet<Timestamp> {
    let last = history.iter().map(|(date, _)| *date).max();
    let lives = history.iter().filter(|(_, expire)| expire.is_none_or(|expire| expire >= now));
    lives.map(|(date, _)| *date).chain(last).collect()
}

fn config(folder: &std::path::Path) -> Config {
    let home = folder.join("b");
    init::folder(&home).expect("made");
    let mut config = config::load(&Origin::Folder(home), &Places::of_system()).expect("loaded");
    config.process_name = format!("b2p{}", fastrand::u32(..));
    let counts = [(Rule::Daily, 8), (Rule::Weekly, 5), (Rule::Monthly, 6), (Rule::Yearly, 1)];
    let rules = counts.iter().fold(KeepRules::default(), |rules, (rule, count)| rules.with(*rule, *count));
    config.retention.patterns.push(("ruled-*".to_owned(), rules));
    config
}

fn status(site: &mut Site<'_>, now: Timestamp) -> Result<Status> {
    status::run(site, status::Options { names: &[], sizes: true }, now)
}

/// Runs `work`, which must take less than a second.
fn quickly<T>(what: &str, work: impl FnOnce() -> Result<T>) -> T {
    let start = Instant::now();
    let done = work().expect(what);
    assert!(start.elapsed() < Duration::from_secs(1), "{what} took {:?}", start.elapsed());
    done
}

#[test]
fn in_a_year_prune_keeps_what_the_rules_and_dates_say_and_sla_is_silent() {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
    let config = config(folder.path());
    let mut site = Site::open(&config, &Silent, Access::Write).expect("opened");
    let schedulers = SCHEDULERS.map(str::to_owned);
    let names: Vec<String> =
        (0..20).map(|n| format!("{}-{n:02}", if n % 2 == 0 { "ruled" } else { "dated" })).collect();
    let mut histories: BTreeMap<&str, History> = BTreeMap::new();
    let mut random = fastrand::Rng::with_seed(3);
    let start = Timestamp::parse("2024-01-01 01:00:00").expect("a date");
    let mut now = start;
    for night in 0..NIGHTS {
        now = start.after(TimeDelta::days(night));
        for (number, name) in names.iter().enumerate() {
            // A new machine every ten days.
            if night < 10 * number as i64 {
                continue;
            }
            now = now.after(TimeDelta::seconds(random.i64(1..120)));
            for due in schedule::due(&mut site, Some(name), Asked::For(&schedulers), now).expect("due") {
                let made = back_up(&mut site, &due, now, name.starts_with("dated"));
                histories.entry(name).or_default().push(made);
            }
        }
        let options = Options { names: &[], rules: None, dry_run: false, now };
        let judged = run(&mut site, &options).expect("pruned");
        assert!(judged.iter().all(|judged| judged.failure.is_none()));
        let mut left: BTreeMap<String, BTreeSet<Timestamp>> = BTreeMap::new();
        for version in site.versions(&VersionFilter::default()).expect("listed") {
            left.entry(version.name).or_default().insert(version.date);
        }
        for (name, history) in &histories {
            let wanted = if name.starts_with("ruled") { by_rules(history) } else { by_expiry(history, now) };
            assert_eq!(left.get(*name), Some(&wanted), "{name} in night {night}");
        }
        for later in [now.after(TimeDelta::minutes(5)), now.after(TimeDelta::hours(11))] {
            let sla = schedule::breaches(&mut site, None, Asked::For(&schedulers), later).expect("checked");
            assert_eq!(sla.breaches, [], "night {night}");
            let status = status(&mut site, later).expect("looked at");
            let newest: Vec<_> =
                status.names.iter().map(|n| (&n.name[..], n.newest.as_ref().map(|v| v.date))).collect();
            let wanted: Vec<_> =
                histories.iter().map(|(name, all)| (*name, all.last().map(|(date, _)| *date))).collect();
            assert_eq!((status.severity(), newest), (Severity::Ok, wanted), "night {night}");
        }
    }
    assert_eq!(histories.values().map(Vec::len).sum::<usize>(), 20 * 365 - 10 * 190);
    quickly("ls", || catalogue::list(&mut site, &VersionFilter::default()));
    quickly("due", || schedule::due(&mut site, None, Asked::For(&schedulers), now));
    quickly("sla", || schedule::breaches(&mut site, None, Asked::For(&schedulers), now));
    quickly("du", || usage::space(&mut site, None));
    quickly("status", || status(&mut site, now));
    quickly("prune", || run(&mut site, &Options { names: &[], rules: None, dry_run: true, now }));
    // In the next night nothing is backed up, and only that is reported.
    let late = now.after(TimeDelta::hours(31));
    let status = status(&mut site, late).expect("looked at");
    assert_eq!(status.severity(), Severity::Warning);
    assert!(status.names.iter().all(|name| name.severity == Severity::Warning));
    let sla = schedule::breaches(&mut site, None, Asked::For(&schedulers), late).expect("checked");
    assert_eq!(sla.breaches.len(), 20, "{sla:?}");
    assert!(
        sla.breaches.iter().all(|(_, breach)| breach.text.starts_with("daily: Latest backup is too old"))
    );
}
