use super::names::{Facts, of};
use super::*;
use crate::config::{Job, RunConfig, Scheduler, Source};
use crate::types::keys::VersionKey;
use crate::types::retention::{KeepRules, Retention, Rule};
use std::time::Duration;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect(text)
}

/// A version. Its date is also its uid.
fn version(key: i64, date: &str, valid: bool, tags: &str) -> Version {
    Version {
        key: VersionKey(key),
        uid: date.into(),
        date: at(date),
        expire: None,
        name: "vm".into(),
        snapshot_name: String::new(),
        size: 1,
        size_bytes: 4096,
        valid,
        protected: false,
        tags: tags.split_whitespace().map(str::to_owned).collect(),
    }
}

fn scheduler(name: &str, interval: u64, sla: u64) -> Scheduler {
    let second = Duration::from_secs;
    Scheduler { name: name.into(), interval: second(interval), keep: 7, sla: second(sla) }
}

/// The state at `now`, with two schedulers.
fn status(versions: Vec<Version>, held: &[&str], bad: &[i64], now: &str) -> NameStatus {
    let schedulers = [scheduler("weekly", 7 * DAY, DAY), scheduler("daily", DAY, 6 * HOUR)];
    let held = held.iter().map(|uid| (*uid).into()).collect();
    let bad = bad.iter().map(|key| VersionKey(*key)).collect();
    let verified = &HashMap::from([("2026-03-01".into(), at("2026-03-04"))]);
    let run = &RunConfig::default();
    let facts = Facts {
        held: &held,
        bad: &bad,
        verified,
        schedulers: &schedulers,
        run,
        retention: &Retention::default(),
        now: at(now),
    };
    of("vm".into(), versions, &facts)
}

#[test]
fn a_version_is_late_from_the_second_after_its_tolerance() {
    let daily = || vec![version(1, "2026-03-01 02:00:00", true, "daily weekly")];
    for (now, state, severity) in [
        ("2026-03-01 02:00:00", State::Ok, Severity::Ok),
        ("2026-03-02 08:00:00", State::Ok, Severity::Ok),
        ("2026-03-02 08:00:01", State::Late, Severity::Warning),
        ("2026-03-03 02:00:00", State::Late, Severity::Warning),
        ("2026-03-03 02:00:01", State::Late, Severity::Critical),
        ("2027-03-03", State::Late, Severity::Critical),
    ] {
        let found = status(daily(), &[], &[], now);
        assert_eq!((found.state, found.severity), (state, severity), "{now}");
        assert_eq!(found.scheduler.map(|it| it.name).as_deref(), Some("daily"), "the shortest interval");
    }
    let weekly = vec![version(1, "2026-03-01", true, "weekly")];
    assert_eq!(status(weekly, &[], &[], "2026-03-09").state, State::Ok);
    // Without a scheduler nothing is late. Tags of invalid versions do not count.
    let untagged = vec![version(1, "2026-03-01", true, "x"), version(2, "2025-01-01", false, "daily")];
    let found = status(untagged, &[], &[], "2036-03-09");
    assert_eq!((found.state, found.scheduler), (State::Ok, None));
}

#[test]
fn a_tolerance_longer_than_the_interval_counts() {
    let schedulers = [scheduler("hourly", HOUR, 5 * HOUR)];
    let (held, bad, verified) = Default::default();
    let judged = |now| {
        let versions = vec![version(1, "2026-03-01 00:00:00", true, "hourly")];
        let (held, bad, verified, schedulers) = (&held, &bad, &verified, &schedulers);
        of(
            "vm".into(),
            versions,
            &Facts {
                held,
                bad,
                verified,
                schedulers,
                run: &RunConfig::default(),
                retention: &Retention::default(),
                now: at(now),
            },
        )
    };
    assert_eq!(judged("2026-03-01 06:00:00").severity, Severity::Ok);
    assert_eq!(judged("2026-03-01 06:00:01").severity, Severity::Critical, "older than two intervals");
}

#[test]
fn the_rules_of_a_job_say_when_a_version_is_late() {
    let job = Job {
        job: "all".into(),
        source: Source::Each { pattern: "/dev/vg/*".into(), source: None },
        name: "lv-{}".into(),
        schedulers: None,
        keep: KeepRules::default().with(Rule::Daily, 8).with(Rule::Weekly, 5),
        incremental: false,
        before: None,
        after: None,
        timeout: None,
    };
    let run = RunConfig { jobs: vec![job], ..RunConfig::default() };
    let (held, bad, verified) = (BTreeSet::new(), BTreeSet::new(), HashMap::new());
    let judged = |name: &str, now| {
        let versions = vec![version(1, "2026-03-01 00:00:00", true, "")];
        let facts = Facts {
            held: &held,
            bad: &bad,
            verified: &verified,
            schedulers: &[],
            run: &run,
            retention: &Retention::default(),
            now: at(now),
        };
        of(name.into(), versions, &facts).state
    };
    assert_eq!(judged("lv-vm1", "2026-03-02 12:00:00"), State::Ok);
    assert_eq!(judged("lv-vm1", "2026-03-02 12:00:01"), State::Late);
    for name in ["lv-", "vm1"] {
        assert_eq!(judged(name, "2027-03-01 00:00:00"), State::Ok, "{name} is of no job");
    }
}

#[test]
fn an_attempt_after_the_newest_version_fails_the_name_unless_it_is_running() {
    let versions = || {
        vec![
            version(1, "2026-03-01", false, ""),
            version(2, "2026-03-02", true, "daily"),
            version(3, "2026-03-02 01:00:00", false, "daily"),
            version(4, "2026-03-02 02:00:00", false, "daily"),
        ]
    };
    let now = "2026-03-02 03:00:00";
    let found = status(versions(), &[], &[], now);
    assert_eq!((found.state, found.severity, found.running), (State::Failed, Severity::Warning, false));
    let uids: Vec<&str> = found.attempts.iter().map(|attempt| attempt.uid.as_str()).collect();
    assert_eq!(
        uids,
        ["2026-03-02 02:00:00", "2026-03-02 01:00:00"],
        "the newest first, none before the valid one"
    );
    assert_eq!((found.valid, found.all), (1, 4));
    assert_eq!(found.newest.map(|version| version.key), Some(VersionKey(2)));
    assert_eq!(found.age, Some(Duration::from_secs(3 * HOUR)));
    // Both are being written.
    let held = ["2026-03-02 02:00:00", "2026-03-02 01:00:00", "cleanup"];
    let found = status(versions(), &held, &[], now);
    assert_eq!((found.state, found.severity, found.running), (State::Ok, Severity::Ok, true));
    assert!(found.attempts.is_empty());
    // An earlier attempt failed, and the last one has bad blobs.
    assert_eq!(status(versions(), &held[..1], &[], now).state, State::Failed);
    let found = status(versions(), &[], &[4], now);
    assert_eq!((found.state, found.attempts[0].flaw), (State::Invalid, Flaw::BadBlobs));
    // Late counts more.
    assert_eq!(status(versions(), &[], &[], "2026-03-03 12:00:00").state, State::Late);
}

#[test]
fn without_a_valid_version_a_name_is_critical_unless_its_first_backup_is_running() {
    let found = status(Vec::new(), &[], &[], "2026-03-01");
    assert_eq!((found.state, found.severity, found.age), (State::None, Severity::Critical, None));
    let failed = || vec![version(1, "2026-03-01", false, "daily")];
    let found = status(failed(), &[], &[], "2026-03-01");
    assert_eq!((found.state, found.severity), (State::Invalid, Severity::Critical));
    let found = status(failed(), &["2026-03-01"], &[], "2026-03-01");
    assert_eq!((found.state, found.severity, found.running), (State::None, Severity::Ok, true));
}

#[test]
fn a_version_dated_in_the_future_is_no_recent_backup() {
    let versions = || vec![version(1, "2026-03-01", true, "daily"), version(2, "2026-05-01", true, "daily")];
    let found = status(versions(), &[], &[], "2026-03-05");
    assert_eq!((found.state, found.age), (State::Late, Some(Duration::from_secs(4 * DAY))));
    assert_eq!(found.newest.map(|version| version.key), Some(VersionKey(2)), "it was made last");
    // With nothing else, its age is unknown.
    let found = status(vec![version(2, "2026-05-01", true, "daily")], &[], &[], "2026-03-05");
    assert_eq!((found.state, found.age), (State::Ok, None));
}

#[test]
fn the_last_verification_of_any_valid_version_counts() {
    let status = |valid| {
        let versions = vec![version(1, "2026-03-01", valid, ""), version(2, "2026-03-02", true, "")];
        status(versions, &[], &[], "2026-03-05").verified
    };
    assert_eq!((status(true), status(false)), (Some(at("2026-03-04")), None));
}

#[test]
fn the_worst_name_counts_and_bad_blobs_are_critical() {
    let one = |now| status(vec![version(1, "2026-03-01", true, "daily")], &[], &[], now);
    let whole =
        |names: Vec<NameStatus>, bad_blobs| Status { at: at("2026-03-01"), names, bad_blobs, totals: None };
    let (good, late) = (one("2026-03-01"), one("2026-03-02 12:00:00"));
    assert_eq!(whole(vec![good.clone()], 0).severity(), Severity::Ok);
    assert_eq!(whole(vec![good.clone(), late], 0).severity(), Severity::Warning);
    assert_eq!(whole(vec![good], 1).severity(), Severity::Critical);
    assert_eq!(whole(Vec::new(), 0).severity(), Severity::Critical, "there is no backup");
}
