//! The file for Prometheus that commands write.

use crate::common::checks::{ended, wait_until};
use crate::common::history::{self, Night};
use crate::common::install::{Install, noise};
use crate::common::prometheus::{self, Samples};
use crate::common::skip;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

const BLOCK: usize = 4096;
const FILE: &str = "backy2.prom";

/// An installation with metrics, and the image a.img of 20 blocks, 10 of which are a hole.
fn with_metrics() -> Install {
    let install = Install::new(BLOCK as u32);
    install.set("metrics_file", &install.text(FILE));
    install.image("a.img", &noise(1, 10 * BLOCK));
    let image = std::fs::File::options().write(true).open(install.path("a.img")).expect("opened");
    image.set_len(20 * BLOCK as u64).expect("a hole");
    install
}

fn read(install: &Install) -> Samples {
    prometheus::read(&install.path(FILE))
}

/// The counters of a command: those that have ended, and those with an error.
fn counted(samples: &Samples, command: &str) -> (f64, f64) {
    let value = |metric: &str| {
        let key = format!("backy2_command_{metric}{{command=\"{command}\"}}");
        samples.get(&key).copied().unwrap_or_default()
    };
    (value("runs_total"), value("errors_total"))
}

fn of_name(samples: &Samples, metric: &str, name: &str) -> Option<f64> {
    samples.get(&format!("backy2_{metric}{{name=\"{name}\"}}")).copied()
}

/// The current time in seconds since 1970.
fn now() -> f64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    since.as_secs_f64()
}

#[test]
fn the_file_tells_of_names_commands_and_the_installation() {
    let install = with_metrics();
    let begin = now().floor();
    let source = install.url("a.img");
    let uid = install.backup(&[&source, "vm"]);
    install.backup(&[&source, "vm"]);
    install.fails(100, &["backup", &install.url("none.img"), "new"]);
    install.ok(&["scrub", &uid]);
    install.ok(&["rm", "--force", &uid]);
    let samples = read(&install);
    let mode = std::fs::metadata(install.path(FILE)).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "the exporter is another user");
    for (metric, value) in [
        ("versions", 1.0),
        ("valid_versions", 1.0),
        ("last_success_image_bytes", 20.0 * BLOCK as f64),
        ("last_success_read_bytes", 10.0 * BLOCK as f64),
        ("last_success_new_bytes", 0.0),
        ("last_success_deduplicated_bytes", 10.0 * BLOCK as f64),
        ("last_success_hole_bytes", 10.0 * BLOCK as f64),
        ("last_attempt_success", 1.0),
    ] {
        assert_eq!(of_name(&samples, metric, "vm"), Some(value), "{metric}: {samples:?}");
    }
    for (metric, name) in
        [("last_success_timestamp_seconds", "vm"), ("last_attempt_timestamp_seconds", "new")]
    {
        let date = of_name(&samples, metric, name).expect(metric);
        assert!((begin..=now()).contains(&date), "{metric}: {date}");
    }
    assert_eq!(of_name(&samples, "last_attempt_success", "new"), Some(0.0), "it has no version");
    assert_eq!(of_name(&samples, "last_verified_timestamp_seconds", "vm"), None, "that version is gone");
    assert_eq!(counted(&samples, "backup"), (3.0, 1.0));
    assert_eq!((counted(&samples, "scrub"), counted(&samples, "rm")), ((1.0, 0.0), (1.0, 0.0)));
    for (key, value) in [
        ("backy2_command_last_exit_code{command=\"backup\"}", 100.0),
        ("backy2_names", 1.0),
        ("backy2_all_versions", 1.0),
        ("backy2_logical_bytes", 20.0 * BLOCK as f64),
        ("backy2_blobs", 10.0),
        ("backy2_data_bytes", 10.0 * BLOCK as f64),
        ("backy2_bad_blobs", 0.0),
        ("backy2_cleanup_blobs", 0.0),
        (&format!("backy2_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1.0),
    ] {
        assert_eq!(samples.get(key), Some(&value), "{key}: {samples:?}");
    }
    assert!(samples["backy2_store_free_bytes"] <= samples["backy2_store_size_bytes"]);
    install.ok(&["scrub", "vm:latest"]);
    assert!(of_name(&read(&install), "last_verified_timestamp_seconds", "vm").expect("verified") >= begin);
}

#[test]
fn commands_that_only_list_write_nothing() {
    let install = with_metrics();
    install.backup(&[&install.url("a.img"), "vm"]);
    let before = std::fs::read(install.path(FILE)).expect("written");
    for args in [
        &["ls"][..],
        &["status"],
        &["du"],
        &["stats"],
        &["rm", "--dry-run", "-f", "vm:latest"],
        &["prune", "--dry-run"],
        &["cleanup", "--dry-run"],
    ] {
        install.ok(args);
        assert_eq!(std::fs::read(install.path(FILE)).expect("there"), before, "{args:?}");
    }
    for args in [&["prune"][..], &["cleanup"], &["check"], &["restore", "vm:latest", "null://"]] {
        install.ok(args);
    }
    let samples = read(&install);
    for command in ["prune", "cleanup", "check", "restore"] {
        assert_eq!(counted(&samples, command), (1.0, 0.0), "{command}");
    }
}

#[test]
fn a_run_and_its_steps_are_counted() {
    let install = with_metrics();
    let jobs = format!(
        "\n[job:a]\nsource: {0}/a.img\nkeep_last: 1\n\n[job:b]\nsource: {0}/a.img\nkeep_last: 1\nbefore: false\n
[job:c]\neach: {0}/none/*\n",
        install.text("")
    );
    let config = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    std::fs::write(install.path("backy.cfg"), config + &jobs).expect("written");
    assert_eq!(install.run(&["run"]).code, 100);
    let samples = read(&install);
    for (command, counts) in [
        ("run", (1.0, 1.0)),
        ("backup", (1.0, 0.0)),
        ("scrub", (1.0, 0.0)),
        ("prune", (1.0, 0.0)),
        ("cleanup", (1.0, 0.0)),
    ] {
        assert_eq!(counted(&samples, command), counts, "{command}");
    }
    assert_eq!(of_name(&samples, "last_attempt_success", "a"), Some(1.0));
    assert_eq!(of_name(&samples, "last_attempt_success", "b"), Some(0.0), "its command before has failed");
    assert_eq!(of_name(&samples, "last_attempt_success", "c"), None, "a pattern is no name");
    assert_eq!(of_name(&samples, "valid_versions", "b"), Some(0.0), "the job should have made one");
    assert_eq!(samples["backy2_names"], 1.0);
}

#[test]
fn names_of_any_kind_have_one_sample_each() {
    let install = with_metrics();
    let source = install.url("a.img");
    for name in ["a\"b", "c\\d", "e\nf", "\u{1b}[2J", "ü 日本", "{}", "a,b=\"c\"}"] {
        install.ok(&["backup", &source, name]);
    }
    let samples = read(&install);
    for label in ["a\\\"b", "c\\\\d", "e\\\\nf", "\\\\u{1b}[2J", "ü 日本", "{}", "a,b=\\\"c\\\"}"] {
        assert_eq!(of_name(&samples, "versions", label), Some(1.0), "{label}: {samples:?}");
        assert_eq!(of_name(&samples, "last_attempt_success", label), Some(1.0), "{label}");
    }
    assert_eq!(samples["backy2_names"], 7.0);
}

#[test]
fn commands_at_the_same_time_lose_no_count() {
    const PROCESSES: usize = 8;
    const ROUNDS: usize = 4;
    // A slow disk would use up the time that they wait for each other.
    let install = Install::in_memory(BLOCK as u32);
    install.ok(&["initdb"]);
    install.set("metrics_file", &install.text(FILE));
    for round in 1..=ROUNDS {
        let children: Vec<_> = (0..PROCESSES).map(|_| install.start(&["rm", "none"])).collect();
        for child in children {
            let run = ended(child);
            assert_eq!(run.code, 100, "{run:?}");
            assert!(!run.stderr.contains("metrics_file"), "{run:?}");
        }
        let count = (round * PROCESSES) as f64;
        assert_eq!(counted(&read(&install), "rm"), (count, count));
    }
}

#[test]
fn a_killed_command_leaves_the_old_file() {
    let install = with_metrics();
    install.backup(&[&install.url("a.img"), "vm"]);
    let before = std::fs::read(install.path(FILE)).expect("written");
    assert!(install.killed_at("whole-before-rename", &["rm", "none"]));
    assert_eq!(std::fs::read(install.path(FILE)).expect("there"), before);
    install.fails(100, &["rm", "none"]);
    assert_eq!(counted(&read(&install), "rm"), (1.0, 1.0), "it goes on");
    for pause in 0..20 {
        install.killed_after(Duration::from_millis(3 * pause), &["rm", "none"]);
        read(&install);
    }
    // A backup that was killed has no chance to tell.
    install.bandwidth(BLOCK as u64, 0);
    install.image("b.img", &noise(2, 10 * BLOCK));
    let mut child = install.start(&["backup", &install.url("b.img"), "vm"]);
    wait_until("a version", Duration::from_secs(60), || {
        install.newest("vm").is_some_and(|(_, valid)| !valid)
    });
    install.fails(100, &["rm", "none"]);
    assert_eq!(of_name(&read(&install), "last_attempt_success", "vm"), Some(1.0), "it is under way");
    child.kill().expect("killed");
    child.wait().expect("ended");
    install.fails(100, &["rm", "none"]);
    let samples = read(&install);
    assert_eq!(of_name(&samples, "last_attempt_success", "vm"), Some(0.0));
    assert_eq!(
        (of_name(&samples, "versions", "vm"), of_name(&samples, "valid_versions", "vm")),
        (Some(2.0), Some(1.0))
    );
}

#[test]
fn an_interrupted_command_is_counted() {
    let install = with_metrics();
    install.bandwidth(BLOCK as u64, 0);
    let child = install.start(&["backup", &install.url("a.img"), "vm"]);
    wait_until("a version", Duration::from_secs(60), || install.newest("vm").is_some());
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::INT).expect("sent");
    assert_eq!(ended(child).code, 130);
    let samples = read(&install);
    assert_eq!(counted(&samples, "backup"), (1.0, 1.0));
    assert_eq!(samples["backy2_command_last_exit_code{command=\"backup\"}"], 130.0);
    assert_eq!(of_name(&samples, "last_attempt_success", "vm"), Some(0.0));
}

#[test]
fn a_file_that_cannot_be_written_is_a_warning() {
    let install = with_metrics();
    let source = install.url("a.img");
    let warned = |words: &str| {
        let run = install.run(&["backup", &source, "vm"]);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.stderr.contains(" WARNING: The metrics_file ") && run.stderr.contains(words), "{run:?}");
        assert!(run.stdout.contains("Backy complete."), "{run:?}");
        // Only errors are for scripts.
        assert_eq!(install.run(&["-m", "backup", &source, "vm"]).stderr, "");
    };
    std::fs::write(install.path(FILE), "node_load1 0.5\n").expect("written");
    warned("was not written by backy2");
    assert_eq!(std::fs::read_to_string(install.path(FILE)).expect("read"), "node_load1 0.5\n");
    install.set("metrics_file", &install.text("missing/backy2.prom"));
    warned("No such file or directory");
    install.set("metrics_file", "/proc/backy2.prom");
    warned("cannot be used");
    let holder = std::fs::File::create(install.path(".held.prom.lock")).expect("made");
    holder.lock().expect("locked");
    install.set("metrics_file", &install.text("held.prom"));
    let start = Instant::now();
    warned("has held its lock for 2 s");
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_full_disk_is_a_warning() {
    let install = with_metrics();
    let disk = install.path("disk");
    std::fs::create_dir(&disk).expect("made");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(&disk).status();
    if !mounted.is_ok_and(|status| status.success()) {
        skip("a_full_disk_is_a_warning", "mounting is not allowed");
        return;
    }
    install.set("metrics_file", &install.text("disk/backy2.prom"));
    install.backup(&[&install.url("a.img"), "vm"]);
    let before = std::fs::read(disk.join(FILE)).expect("written");
    let mut filling = std::fs::File::create(disk.join("filling")).expect("made");
    while std::io::Write::write_all(&mut filling, &[1; 512]).is_ok() {}
    let run = install.run(&["backup", &install.url("a.img"), "vm"]);
    let after = std::fs::read(disk.join(FILE));
    let _ = Command::new("umount").arg(&disk).status();
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("it cannot be replaced: No space left on device"), "{run:?}");
    assert_eq!(after.expect("there"), before);
}

#[test]
fn a_lost_database_stops_no_counter() {
    let install = with_metrics();
    install.backup(&[&install.url("a.img"), "vm"]);
    let before = read(&install);
    if install.postgres().is_some() {
        install.set("engine", "postgresql://nobody@127.0.0.1:1/none");
    } else {
        std::fs::rename(install.path("backy.sqlite"), install.path("away")).expect("moved");
    }
    install.fails(1, &["backup", &install.url("a.img"), "vm"]);
    let samples = read(&install);
    assert_eq!(counted(&samples, "backup"), (2.0, 1.0));
    assert_eq!(of_name(&samples, "last_attempt_success", "vm"), Some(0.0));
    for key in ["backy2_database_read_timestamp_seconds", "backy2_names", "backy2_versions{name=\"vm\"}"] {
        assert_eq!(samples[key], before[key], "{key}");
    }
}

#[test]
fn names_without_versions_are_forgotten() {
    let install = with_metrics();
    let source = install.url("a.img");
    install.backup(&[&source, "vm"]);
    install.ok(&["rm", "--force", "vm:latest"]);
    assert!(read(&install).keys().all(|key| !key.contains("name=\"vm\"")));
    // The first backup of a machine fails: that is remembered for a week.
    install.fails(100, &["backup", &install.url("none.img"), "new"]);
    assert_eq!(of_name(&read(&install), "last_attempt_success", "new"), Some(0.0));
    let text = std::fs::read_to_string(install.path(FILE)).expect("read");
    let is_date = |line: &&str| line.starts_with("backy2_last_attempt_timestamp_seconds{name=\"new\"}");
    let line = text.lines().find(is_date).expect("there");
    let aged = |days: f64| {
        let old =
            format!("backy2_last_attempt_timestamp_seconds{{name=\"new\"}} {}", now() - days * 86_400.0);
        std::fs::write(install.path(FILE), text.replace(line, &old)).expect("written");
        install.ok(&["cleanup"]);
        of_name(&read(&install), "last_attempt_success", "new")
    };
    assert_eq!((aged(6.9), aged(7.1)), (Some(0.0), None));
}

/// 365 nights with 20 names.
#[test]
fn a_large_catalogue_costs_little() {
    let install = with_metrics();
    let night = |name: i64, night: i64| Night {
        uid: format!("{name:02}-{night:03}"),
        name: format!("vm{name:02}"),
        age: 86_400 * (365 - night),
        new: 7,
    };
    let nights = (0..20).flat_map(|name| (0..365).map(move |n| night(name, n)));
    history::insert(&install, &nights.collect::<Vec<_>>());
    let start = Instant::now();
    install.fails(100, &["rm", "none"]);
    let took = start.elapsed();
    let samples = read(&install);
    assert_eq!((samples["backy2_all_versions"], samples["backy2_names"]), (7300.0, 20.0));
    assert_eq!(of_name(&samples, "last_success_new_bytes", "vm07"), Some(7.0));
    println!("a command on 7300 versions, with metrics: {took:?}");
    // A generous limit, because other tests run at the same time.
    assert!(took < Duration::from_secs(5), "{took:?}");
}
