//! Wrong clocks: ahead, set back, before 1970.

use crate::common::clock::Clock;
use crate::common::install::{Install, Run, noise};
use crate::common::skip;

const BLOCK: usize = 4096;

/// An installation with a daily schedule, and its image.
fn scheduled() -> (Install, String) {
    let install = Install::new(BLOCK as u32);
    let config = install.path("backy.cfg");
    let text = std::fs::read_to_string(&config).expect("read");
    std::fs::write(&config, text + "\n[daily]\ninterval: 1d\nkeep: 2\nsla: 6h\n").expect("written");
    let image = install.image("x.img", &noise(1, 3 * BLOCK));
    (install, image)
}

/// A command warns on stderr, and not on stdout, of a version whose date lies in the future.
fn warned(run: &Run, uid: &str) {
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("WARNING: The clock says") && run.stderr.contains(uid), "{run:?}");
    assert!(run.stderr.contains("\n  ") && !run.stderr.contains("\\n"), "one line for each version: {run:?}");
    assert!(!run.stdout.contains("WARNING"), "{run:?}");
}

#[test]
fn a_version_made_while_the_clock_was_ahead_is_reported_and_hides_nothing() {
    let name = "a_version_made_while_the_clock_was_ahead_is_reported_and_hides_nothing";
    let Some(ahead) = Clock::new("+60d") else { return skip(name, "faketime is not installed") };
    let (install, image) = scheduled();
    let (sla, due) = (["sla", "-s", "daily"], ["due", "-s", "daily"]);
    let old = install.backup(&["-t", "daily", &image, "vm"]);
    install.change("UPDATE versions SET date = '2020-01-01 00:00:00.000000'");
    let future = ahead.backup(&install, &["-t", "daily,b_daily", "-e", "2040-01-01", &image, "vm"]);
    // Until another version is made, it is the newest one, and commands warn of its date.
    let latest = install.run(&["-m", "stats", "-f", "uid", "vm:latest"]);
    assert_eq!((latest.stdout.lines().last(), &latest.stderr[..]), (Some(&future[..]), ""), "{latest:?}");
    warned(&install.run(&["stats", "vm:latest"]), &format!("means {future}"));
    for command in [&due[..], &sla, &["ls"]] {
        warned(&install.run(command), &future);
        let quiet = install.run(&[&["-m"], command].concat());
        assert_eq!((quiet.stderr.as_str(), quiet.stdout.contains("clock")), ("", false), "{quiet:?}");
    }
    let log = std::fs::read_to_string(install.path("backy.log")).expect("a log");
    assert!(log.matches(" WARNING: The clock says").count() >= 8, "scripts leave it in the log: {log}");
    assert!(install.ok(&["-ms", "due", "-s", "daily"]).starts_with("vm|daily|"), "due nonetheless");
    let breaches = install.ok(&["-ms", "sla", "-s", "daily"]);
    assert!(breaches.contains("Latest backup is too old") && breaches.lines().count() == 1, "{breaches}");
    let run = install.run(&["backup", &image, "vm"]);
    warned(&run, &future);
    warned(&run, "(expires 2040-01-01 00:00:00");
    assert!(run.stdout.contains("b_daily"), "its tag does not count: {run:?}");
    let newest = install.uids(&["vm"]).into_iter().find(|uid| ![&old, &future].contains(&uid)).expect("new");
    for (text, uid) in [("vm", &newest), ("vm:latest", &newest), ("vm:1", &future), ("vm:2", &old)] {
        let shown = install.ok(&["-m", "stats", "-f", "uid", text]);
        assert_eq!(shown.lines().last(), Some(&uid[..]), "{text}");
    }
    install.set("disallow_rm_when_younger_than_days", "3");
    install.refuses(100, &["rm", &future], &[&future, "is dated", "-f ignores that"]);
    install.ok(&["rm", "-f", &future]);
    assert_eq!(install.run(&["ls"]).stderr, "");
}

#[test]
fn a_backup_after_the_clock_was_set_back_is_the_latest() {
    let name = "a_backup_after_the_clock_was_set_back_is_the_latest";
    let Some(ahead) = Clock::new("+3h") else { return skip(name, "faketime is not installed") };
    let later = Clock::new("+4h").expect("installed");
    let (install, image) = scheduled();
    let first = ahead.backup(&install, &[&image, "vm"]);
    let second = install.backup(&[&image, "vm"]);
    let latest = |clock: &Clock, text: &str| {
        let shown = clock.ok(&install, &["-m", "stats", "-f", "uid", text]);
        shown.lines().last().expect("a line").to_owned()
    };
    for clock in [&Clock::new("+0").expect("installed"), &later] {
        assert_eq!((latest(clock, "vm"), latest(clock, "vm:1")), (second.clone(), first.clone()));
    }
    let third = later.backup(&install, &[&image, "vm"]);
    assert_eq!(latest(&later, "vm"), third);
    // No limit of age is set here, so it can be removed, even with a date in the future.
    install.ok(&["rm", &third]);
}

#[test]
fn data_removed_while_the_clock_was_ahead_waits_for_only_an_hour() {
    let name = "data_removed_while_the_clock_was_ahead_waits_for_only_an_hour";
    let Some(ahead) = Clock::new("+60d") else { return skip(name, "faketime is not installed") };
    let (install, image) = scheduled();
    let uid = install.backup(&[&image, "vm"]);
    ahead.ok(&install, &["rm", &uid]);
    let run = install.run(&["cleanup"]);
    assert!(run.stderr.contains("3 blobs were listed for deletion at a time in the future"), "{run:?}");
    assert!(run.stdout.contains("3 blobs (12 KiB before compression) wait until "), "{run:?}");
    assert_eq!(install.blobs().len(), 3);
    let soon = Clock::new("+30m").expect("installed").run(&install, &["cleanup"]);
    assert!(soon.stderr.is_empty() && soon.stdout.contains("3 blobs"), "{soon:?}");
    Clock::new("+61m").expect("installed").ok(&install, &["cleanup"]);
    assert_eq!(install.blobs().len(), 0);
}

#[test]
fn every_command_works_whatever_the_clock_says() {
    let name = "every_command_works_whatever_the_clock_says";
    let moments = [
        ("1969-06-01 10:00:00", "UTC"),
        ("1969-12-31 23:59:58", "America/New_York"),
        ("1903-03-03 03:03:03", "Asia/Kathmandu"),
        ("2026-03-29 01:30:00", "Europe/Berlin"),
        ("2026-10-25 01:30:00", "Europe/Berlin"),
        ("4321-05-06 07:08:09", "Pacific/Kiritimati"),
    ];
    for (moment, zone) in moments {
        let Some(clock) = Clock::new(moment) else { return skip(name, "faketime is not installed") };
        let (install, image) = scheduled();
        let ok = |args: &[&str]| {
            let run = clock.run_in(zone, &install, args);
            assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{moment} {args:?}: {run:?}");
            run.stdout
        };
        let tags = ok(&["backup", &image, "vm"]);
        assert!(tags.contains("b_daily,b_weekly,b_monthly"), "{tags}");
        let again = ok(&["backup", "-f", "vm", &image, "vm"]);
        assert!(!again.contains("b_daily"), "{again}");
        for args in [
            &["ls", "-e"][..],
            &["due", "-s", "daily"],
            &["sla", "-s", "daily"],
            &["stats"],
            &["du"],
            &["scrub", "vm"],
            &["restore", "vm:latest", &install.url("out.img")],
            &["export", "vm", &install.text("dump")],
            &["expire", "vm", "2030-01-01"],
            &["rm", "vm:latest"],
            &["cleanup"],
            &["cleanup", "--full"],
        ] {
            ok(args);
        }
        assert!(std::fs::read(install.path("out.img")).expect("read") == noise(1, 3 * BLOCK), "{moment}");
    }
}

/// A script that backs up what is due, prunes, and looks at the agreements, with a clock that moves from night to night.
#[test]
fn nights_are_silent_but_for_the_missed_one() {
    let name = "nights_are_silent_but_for_the_missed_one";
    let (install, image) = scheduled();
    let config = install.path("backy.cfg");
    let text = std::fs::read_to_string(&config).expect("read").replace("keep: 2", "keep: 3");
    std::fs::write(&config, text + "\n[weekly]\ninterval: 7d\nkeep: 2\nsla: 12h\n").expect("written");
    for night in 1..20 {
        if night == 13 {
            continue;
        }
        let minute = night * 7 % 60;
        let time = format!("2026-03-{night:02} 02:{minute:02}:00");
        let Some(clock) = Clock::new(&time) else { return skip(name, "faketime is not installed") };
        let due =
            clock.ok(&install, &["-ms", "due", "-s", "daily,weekly", "-f", "schedulers,expire_date", "vm"]);
        let (tags, expire) = due.trim().split_once('|').expect("a backup is due each night");
        clock.backup(&install, &["-t", tags, "-e", expire, &image, "vm"]);
        clock.ok(&install, &["-m", "prune"]);
        let breaches = clock.ok(&install, &["-ms", "sla", "-s", "daily,weekly"]);
        let is_near = (14..16).contains(&night);
        assert_eq!(breaches.lines().count(), usize::from(is_near), "night {night}: {breaches}");
        assert!(
            !is_near || breaches.contains("It was created at 2026-03-14 02:"),
            "night {night}: {breaches}"
        );
        let state = clock.run(&install, &["sla", "--check", "-s", "daily,weekly"]);
        assert_eq!(state.code, i32::from(is_near), "night {night}: {state:?}");
    }
    let noon = Clock::new("2026-03-20 12:00:00").expect("installed");
    let state = noon.run(&install, &["sla", "--check", "-s", "daily"]);
    assert!(
        state.code == 2 && state.stdout.starts_with("CRITICAL: vm: daily: Latest backup is"),
        "{state:?}"
    );
    // A daily version expires a day after it is not needed any more. The weekly ones have not expired yet.
    let left = noon.ok(&install, &["-ms", "ls", "-f", "tags"]);
    assert_eq!(left.lines().filter(|tags| *tags == "daily").count(), 4, "{left}");
    assert_eq!(left.lines().filter(|tags| tags.contains("weekly")).count(), 3, "{left}");
}
