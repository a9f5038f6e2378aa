//! Simulated nights: a backup of what is due, the removal of what has expired, and a look at the agreements.

use super::*;
use crate::engine::prune::policy::Judge;
use crate::types::retention::Rule;
use chrono::Local;

/// The schedulers of the example configuration.
fn usual() -> [Scheduler; 3] {
    [daily(), scheduler("weekly", 7 * DAY, 5, 12 * HOUR), scheduler("monthly", 30 * DAY, 3, 3 * DAY)]
}

/// A machine that is backed up every night.
struct Machine {
    versions: Vec<Version>,
    rules: KeepRules,
    random: fastrand::Rng,
}

impl Machine {
    fn new(rules: KeepRules) -> Self {
        Machine { versions: Vec::new(), rules, random: fastrand::Rng::with_seed(7) }
    }

    /// The moment at which the backup begins: between two and three o'clock.
    fn begin(&mut self, night: i64) -> Timestamp {
        near("2026-01-05 02:00:00", night * DAY as i64 + self.random.i64(0..HOUR as i64))
    }

    fn back_up(&mut self, now: Timestamp) {
        let Some(due) = due_of("vm", &self.versions, &usual(), now) else { return };
        let tags: Vec<&str> = due.schedulers.iter().map(String::as_str).collect();
        let mut new = version(now.after(TimeDelta::seconds(1)), &tags);
        // With rules, versions need no expiry.
        new.expire = self.rules.is_empty().then_some(due.expire_date);
        self.versions.push(new);
    }

    fn prune(&mut self, now: Timestamp) {
        let judge = Judge { now, zone: &Local, is_young: &|_| false, is_in_use: &|_| false };
        let all: Vec<&Version> = self.versions.iter().collect();
        let mut stays = judge.decide(&all, &self.rules).into_iter().map(|decision| decision.stays);
        self.versions.retain(|_| stays.next().unwrap_or(true));
    }

    fn breaches(&self, now: Timestamp) -> Vec<String> {
        breaches_with(&self.versions, &usual(), self.rules, now)
    }
}

/// Runs a hundred nights without the night `missed`. Returns each night with the breaches right after it, and at noon.
fn hundred(rules: KeepRules, missed: Option<i64>) -> Vec<(i64, Vec<String>, Vec<String>)> {
    let mut machine = Machine::new(rules);
    let mut told = Vec::new();
    for night in 0..100 {
        let now = machine.begin(night);
        if missed != Some(night) {
            machine.back_up(now);
            machine.prune(now.after(TimeDelta::minutes(10)));
        }
        let after = machine.breaches(now.after(TimeDelta::minutes(20)));
        told.push((night, after, machine.breaches(now.after(TimeDelta::hours(10)))));
    }
    told
}

fn rules() -> KeepRules {
    KeepRules::default().with(Rule::Daily, 8).with(Rule::Weekly, 5).with(Rule::Monthly, 3)
}

#[test]
fn a_hundred_good_nights_are_silent() {
    for rules in [KeepRules::default(), rules(), KeepRules::default().with(Rule::Last, 3)] {
        for (night, after, noon) in hundred(rules, None) {
            assert_eq!((after, noon), (vec![], vec![]), "night {night} with {rules:?}");
        }
    }
}

#[test]
fn of_a_hundred_nights_only_the_missed_one_is_reported() {
    for rules in [KeepRules::default(), rules()] {
        for missed in [1, 7, 28, 35, 50, 51, 52, 53, 54, 55, 56, 57] {
            let day =
                |night: i64| near("2026-01-05 02:00:00", night * DAY as i64).to_string()[..10].to_owned();
            let created = format!("It was created at {} 02", day(missed + 1));
            let late = "Latest backup is too old. Version uid-";
            let mut reported = 0;
            for (night, after, noon) in hundred(rules, Some(missed)) {
                let context = format!("night {night}, missed {missed}, {rules:?}: {after:?} {noon:?}");
                assert!(night > missed || after.is_empty(), "{context}");
                if night == missed {
                    let wanted = if missed == 1 { 0 } else { 1 };
                    assert_eq!(noon.len(), wanted, "{context}");
                    assert!(noon.iter().all(|text| text.contains(late)), "{context}");
                    continue;
                }
                // Until it is too long ago, the gap is there.
                for text in after.iter().chain(&noon) {
                    assert!(night > missed && text.contains(&created), "{text} in {context}");
                }
                reported += after.len();
            }
            // The first gap of a new machine is allowed.
            assert!(missed == 1 || reported > 0, "{missed} with {rules:?}");
        }
    }
}
