//! `run`, when jobs hang, are killed, or cannot be carried out: the others go on, and the report says what happened.

use super::run::{BLOCK, LIMIT, tasks, with_jobs};
use crate::common::checks::{ended, wait_until};
use crate::common::install::{Install, Run, noise};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::process::Child;

/// Makes an empty file, for which a hook waits.
fn touch(install: &Install, name: &str) {
    fs::write(install.path(name), "").expect("written");
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, signal).expect("sent");
}

/// The columns `name` and `result`.
fn results(run: &Run) -> Vec<String> {
    let text = |task: &serde_json::Value, key: &str| task[key].as_str().expect("text").to_owned();
    tasks(run).iter().map(|task| format!("{} {}", text(task, "name"), text(task, "result"))).collect()
}

#[test]
fn a_job_that_hangs_keeps_no_other_from_the_next_run() {
    let install = with_jobs(
        "[job:first]\nsource: DIR/b.img\nkeep_last: 1\n
[job:hung]\nsource: DIR/a.img\nkeep_daily: 2\nbefore: touch begun; until test -e go; do sleep 0.1; done\n
[job:last]\nsource: DIR/b.img\nkeep_daily: 2\n",
    );
    install.backup(&[&install.url("b.img"), "first"]);
    let child = install.start(&["--json", "run"]);
    wait_until("the hook", LIMIT, || install.path("begun").exists());
    assert_eq!(install.uids(&["first"]).len(), 1, "the job before it has ended with its removals");
    let other = install.run(&["--json", "run"]);
    assert_eq!(other.code, 0, "{other:?}");
    assert_eq!(results(&other), ["first done", "hung busy", "last done"]);
    touch(&install, "go");
    let run = ended(child);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(results(&run), ["first done", "hung done", "last not due"], "the other run has made it");
    assert_eq!(install.ok(&["-ms", "ls", "-f", "name,valid"]), "first|1\nhung|1\nlast|1\n");
    assert_eq!(install.held_locks(), Vec::<String>::new());
}

#[test]
fn a_job_stays_busy_until_its_processes_have_ended_even_if_the_run_is_killed() {
    let install = with_jobs(
        "[job:hook]\nsource: DIR/b.img\nkeep_daily: 2\nbefore: echo $$ >> pids; test -e go || exec sleep 600\n",
    );
    let pids = || fs::read_to_string(install.path("pids")).unwrap_or_default();
    let child = install.start(&["run"]);
    wait_until("the hook", LIMIT, || pids().ends_with('\n'));
    send(&child, Signal::KILL);
    ended(child);
    assert_eq!(results(&install.run(&["--json", "run"])), ["hook busy"]);
    let pid = Pid::from_raw(pids().trim().parse().expect("one number")).expect("a pid");
    kill_process(pid, Signal::KILL).expect("sent");
    touch(&install, "go");
    wait_until("the lock", LIMIT, || install.held_locks().is_empty());
    assert_eq!(results(&install.run(&["--json", "run"])), ["hook done"]);
    assert_eq!(install.held_locks(), Vec::<String>::new());
}

#[test]
fn a_backup_goes_on_alone_when_the_run_is_killed() {
    let install = with_jobs("[job:a]\nsource: DIR/c.img\nkeep_daily: 2\nbefore: echo x >> begun\n");
    install.image("c.img", &noise(3, 4 * BLOCK));
    install.bandwidth(BLOCK as u64, 0);
    let child = install.start(&["run"]);
    wait_until("a version", LIMIT, || !install.ok(&["-ms", "ls"]).is_empty());
    send(&child, Signal::KILL);
    ended(child);
    assert_eq!(results(&install.run(&["--json", "run"])), ["a busy"]);
    wait_until("the backup", LIMIT, || install.ok(&["-ms", "ls", "-f", "valid"]) == "1\n");
    wait_until("the lock", LIMIT, || install.held_locks().is_empty());
    assert_eq!(results(&install.run(&["--json", "run"])), ["a not due"]);
    assert_eq!(fs::read_to_string(install.path("begun")).expect("a hook"), "x\n", "it ran once");
}

#[test]
fn a_name_that_two_patterns_find_fails_and_the_others_are_backed_up() {
    let install = with_jobs(
        "[job:one]\neach: DIR/*.img\nname: {}\nkeep_last: 1\n
[job:two]\neach: DIR/a.*\nname: {}\nkeep_last: 1\n
[job:three]\nsource: DIR/b.img\nkeep_last: 1\n",
    );
    let run = install.run(&["run"]);
    assert_eq!(run.code, 100, "{run:?}");
    for words in [
        "2 of 4 backups failed: a.img, a.img.",
        "the name a.img",
        "/a.img of [job:one] and ",
        "/a.img of [job:two]",
    ] {
        assert!(run.stderr.contains(words), "{words}: {run:?}");
    }
    assert_eq!(install.ok(&["-ms", "ls", "-f", "name"]), "b.img\nthree\n");
}

#[test]
fn a_file_whose_name_cannot_be_used_fails_alone() {
    let install = with_jobs("[job:images]\neach: DIR/*.img\nname: {}\nkeep_last: 1\n");
    install.image("my disk.img", &noise(3, BLOCK));
    let run = install.run(&["--json", "run"]);
    assert_eq!(run.code, 100, "{run:?}");
    assert_eq!(results(&run), ["a.img done", "b.img done", "my disk.img failed"]);
    assert!(
        run.stderr.contains("my disk.img: no backup was made: The name \"my disk.img\" cannot be used"),
        "{run:?}"
    );
    assert_eq!(install.ok(&["-ms", "ls", "-f", "name"]), "a.img\nb.img\n");
}

#[test]
fn a_job_that_finds_nothing_fails_as_any_other() {
    let install = with_jobs("[job:images]\neach: DIR/x*.img\n");
    let run = install.run(&["-ms", "run"]);
    assert_eq!(run.code, 100, "{run:?}");
    assert!(run.stdout.starts_with("images|images|failed|") && run.stdout.lines().count() == 1, "{run:?}");
    assert!(run.stderr.contains("1 of 1 backups failed: images."), "{run:?}");
    let log = fs::read_to_string(install.path("backy.log")).expect("a logfile");
    assert!(log.contains(" cleanup"), "the cleanup follows: {log}");
}

#[test]
fn a_cleanup_that_is_running_already_is_no_problem() {
    let install = with_jobs("[job:a]\nsource: DIR/a.img\nkeep_last: 1\n");
    let held = File::create(install.path("lock/backy_backy-cleanup-fast.lock")).expect("made");
    flock(&held, FlockOperation::NonBlockingLockExclusive).expect("locked");
    let run = install.run(&["run"]);
    assert_eq!((run.code, &run.stdout[..], &run.stderr[..]), (0, "", ""));
    let log = fs::read_to_string(install.path("backy.log")).expect("a logfile");
    assert!(
        log.contains("INFO: Another backy cleanup is running, and deletes what no version uses."),
        "{log}"
    );
}

#[test]
fn a_backup_that_takes_too_long_is_reported_so() {
    let install = with_jobs("[job:a]\nsource: DIR/a.img\nkeep_last: 1\ntimeout: 2s\n");
    install.bandwidth(BLOCK as u64, 0);
    let run = install.run(&["run"]);
    assert_eq!(run.code, 100, "{run:?}");
    assert!(run.stderr.contains("a: no backup was made: the backup took longer than the timeout"), "{run:?}");
    assert!(!run.stderr.contains("SIGTERM") && !run.stderr.contains("To go on"), "{run:?}");
}

#[test]
fn a_signal_leaves_a_summary() {
    let install = with_jobs(
        "[job:a]\nsource: DIR/a.img\nbefore: touch begun; sleep 600\nafter: echo cannot; exit 3\n
[job:b]\nsource: DIR/b.img\n",
    );
    let child = install.start(&["run"]);
    wait_until("the hook", LIMIT, || install.path("begun").exists());
    send(&child, Signal::TERM);
    let run = ended(child);
    assert_eq!(run.code, 143, "{run:?}");
    for words in [
        "2 of 2 backups failed: a, b.",
        "a: after: cannot",
        "a: the command `after` ended with exit code 3",
        "b: no backup was made: the run was interrupted before",
        "Interrupted by SIGTERM.",
    ] {
        assert!(run.stderr.contains(words), "{words}: {run:?}");
    }
    let lines: Vec<Vec<&str>> = run.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines, [["a", "failed"], ["b", "failed"]]);
}

#[test]
fn each_error_is_shown_once() {
    let install = with_jobs("[job:a]\nsource: DIR/none.img\n\n[job:b]\nsource: DIR/b.img\n");
    let run = install.run(&["run"]);
    assert_eq!(run.code, 100, "{run:?}");
    for words in ["none.img", "Backy failed."] {
        assert_eq!(run.stderr.matches(words).count(), 1, "{words}: {run:?}");
    }
    let log = fs::read_to_string(install.path("backy.log")).expect("a logfile");
    assert!(log.matches("none.img").count() > 1, "the logfile has both: {log}");
}

#[test]
fn a_hook_may_say_more_than_fits() {
    let install =
        with_jobs("[job:a]\nsource: DIR/a.img\nbefore: seq 100000 | sed s/^/line-/; echo the end; exit 1\n");
    let run = install.run(&["run"]);
    assert_eq!(run.code, 100, "{run:?}");
    assert!(run.stderr.contains("bytes left out") && run.stderr.contains("a: before: the end"));
    assert!(!run.stderr.contains("line-50000\n") && run.stderr.contains("line-100000\n"));
}
