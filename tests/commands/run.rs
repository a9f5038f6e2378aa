//! `run`: the nightly jobs of the configuration.

use crate::common::checks::{ended, wait_until};
use crate::common::documented;
use crate::common::install::{Install, Run, noise};
use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};

pub(super) const BLOCK: usize = 4096;
/// Everything must happen within this time.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// An installation with the images a.img and b.img, and with these sections at the end of the configuration.
pub(super) fn with_jobs(sections: &str) -> Install {
    let install = Install::new(BLOCK as u32);
    install.image("a.img", &noise(1, 20 * BLOCK));
    install.image("b.img", &noise(2, 10 * BLOCK));
    add(&install, sections);
    install
}

/// Adds sections, in which DIR stands for the folder of the installation.
fn add(install: &Install, sections: &str) {
    let path = install.path("backy.cfg");
    let config = std::fs::read_to_string(&path).expect("read");
    let sections = sections.replace("DIR", install.path("").to_str().expect("text"));
    std::fs::write(path, format!("{config}\n{sections}\n")).expect("written");
}

/// The document of `run --json`: the tasks.
pub(super) fn tasks(run: &Run) -> Vec<serde_json::Value> {
    let document: serde_json::Value =
        serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {run:?}"));
    document["jobs"].as_array().expect("jobs").clone()
}

const SCHEDULED: &str = "[daily]\ninterval: 1d\nkeep: 8\nsla: 6h\n
[job:a]\nsource: DIR/a.img\n
[job:b]\nsource: file://DIR/b.img\nname: second\nschedulers: daily\n";

#[test]
fn what_is_due_is_backed_up_and_then_nothing_is() {
    let install = with_jobs(SCHEDULED);
    let planned = install.ok(&["-ms", "run", "--dry-run"]);
    let lines: Vec<Vec<&str>> = planned.lines().map(|line| line.split('|').collect()).collect();
    assert_eq!((lines[0][0], lines[0][1], lines[0][3]), ("a", "a", "daily"));
    assert_eq!((lines[1][0], lines[1][1], lines[1][3]), ("b", "second", "daily"));
    assert_eq!(install.ok(&["-ms", "ls"]), "", "a dry run does nothing");
    let early = install.run(&["status", "--check"]);
    assert!(
        early.code == 1 && early.stdout.starts_with("WARNING: a has no version, second has no version |")
    );
    // Not to a terminal: cron mails what is printed.
    let first = install.run(&["run"]);
    assert_eq!((first.code, &first.stdout[..], &first.stderr[..]), (0, "", ""));
    let listed = install.ok(&["-ms", "ls", "-f", "name,valid,tags"]);
    assert_eq!(listed, "a|1|daily\nsecond|1|daily\n");
    assert!(install.ok(&["-ms", "ls", "-f", "expire"]).lines().all(|date| !date.is_empty()));
    let again = install.run(&["run"]);
    assert_eq!((again.code, &again.stdout[..], &again.stderr[..]), (0, "", ""));
    assert_eq!(install.ok(&["-ms", "ls"]).lines().count(), 2, "nothing was due");
    assert_eq!(install.run(&["status", "--check"]).code, 0);
    let log = std::fs::read_to_string(install.path("backy.log")).expect("a logfile");
    assert!(log.contains("a  done") && log.contains("80 KiB read") && log.contains("verified"), "{log}");
    let none = install.run(&["--json", "run", "a"]);
    assert_eq!((tasks(&none).len(), tasks(&none)[0]["result"].as_str()), (1, Some("not due")));
}

#[test]
fn retention_rules_say_how_often_and_what_stays() {
    let install = with_jobs(
        "[job:each]\nsource: DIR/a.img\nkeep_last: 2\n\n[job:daily]\nsource: DIR/b.img\nkeep_daily: 3\n",
    );
    for n in 1..=4 {
        let run = install.run(&["--json", "run"]);
        assert_eq!(run.code, 0, "{run:?}");
        let tasks = tasks(&run);
        assert_eq!(tasks[0]["result"], "done", "without a period each run makes a backup");
        assert_eq!(tasks[1]["result"], if n == 1 { "done" } else { "not due" });
        assert_eq!(tasks[0]["removed"], u64::from(n > 2));
        let numbers = ["bytes_read", "bytes_new"].map(|key| tasks[0][key].as_u64().expect("a number"));
        assert_eq!(numbers, [20 * BLOCK as u64, if n == 1 { 20 * BLOCK as u64 } else { 0 }]);
        assert_eq!(tasks[0]["verified"], true);
    }
    assert_eq!(install.ok(&["-ms", "ls", "-f", "name"]), "daily\neach\neach\n");
    // The rules of a job are those of its versions for other commands, too.
    install.ok(&["backup", &install.url("a.img"), "each"]);
    let judged = install.ok(&["-ms", "prune", "--dry-run", "-f", "name,action"]);
    assert_eq!(judged, "daily|keep\neach|remove\neach|keep\neach|keep\n");
    let status: serde_json::Value = serde_json::from_str(&install.ok(&["--json", "status"])).expect("JSON");
    assert_eq!(
        (&status["names"][0]["scheduler"], &status["names"][1]["scheduler"]),
        (&"daily".into(), &().into())
    );
}

#[test]
fn hooks_have_the_facts_and_after_always_runs() {
    let install = with_jobs(
        "[job:good]\nsource: DIR/snap\nkeep_last: 1\n\
         before: cp a.img \"$BACKY2_SOURCE\" && echo \"before $BACKY2_JOB $BACKY2_NAME\" >> hooks\n\
         after: rm -f snap; echo \"after $BACKY2_RESULT $BACKY2_VERSION\" >> hooks\n
[job:refused]\nsource: DIR/b.img\nbefore: echo too bad >&2; exit 3\nafter: echo \"after $BACKY2_RESULT\" >> hooks2\n
[job:missing]\nsource: DIR/none.img\nafter: echo \"$BACKY2_JOB $BACKY2_RESULT\" >> hooks3\n
[job:untidy]\nsource: DIR/b.img\nafter: exit 4\n",
    );
    let run = install.run(&["run"]);
    assert_eq!(run.code, 100, "{run:?}");
    let uid = install.uids(&["good"]).remove(0);
    let read = |name: &str| std::fs::read_to_string(install.path(name)).expect("written by a hook");
    assert_eq!(read("hooks"), format!("before good good\nafter done {uid}\n"));
    assert_eq!((&read("hooks2")[..], &read("hooks3")[..]), ("after failed\n", "missing failed\n"));
    assert!(!install.path("snap").exists());
    for words in [
        "refused: no backup was made: the command `before` ended with exit code 3",
        "refused: before: too bad",
        "missing: no backup was made: ",
        "none.img",
        "untidy: the command `after` ended with exit code 4",
        "2 of 4 backups failed: refused, missing.",
    ] {
        assert!(run.stderr.contains(words), "{words}: {run:?}");
    }
    // Something went wrong, so the whole summary is printed.
    assert_eq!(run.stdout.lines().count(), 4, "{run:?}");
    assert_eq!(install.ok(&["-ms", "ls", "-f", "name"]), "good\nuntidy\n");
}

#[test]
fn a_pattern_finds_the_sources() {
    let install = with_jobs(
        "[job:images]\neach: DIR/*.img\nname: vm-{}\nkeep_last: 1\n\
         after: echo \"$BACKY2_ITEM\" >> items\n",
    );
    assert_eq!(install.run(&["run"]).code, 0);
    assert_eq!(install.ok(&["-ms", "ls", "-f", "name"]), "vm-a.img\nvm-b.img\n");
    assert_eq!(std::fs::read_to_string(install.path("items")).expect("items"), "a.img\nb.img\n");
    let install = with_jobs("[job:images]\neach: DIR/x*.img\n");
    assert!(install.fails(100, &["run"]).contains("finds nothing to back up"));
}

#[test]
fn the_recipe_for_image_files_backs_up_each_of_a_folder() {
    let install = with_jobs("");
    let recipe = documented::job("images").replace("/var/lib/libvirt/images", &install.text(""));
    documented::add(&install, &recipe);
    let run = install.run(&["run"]);
    assert_eq!((run.code, &run.stdout[..], &run.stderr[..]), (0, "", ""));
    assert_eq!(install.ok(&["-ms", "ls", "-f", "name"]), "a.img\nb.img\n");
}

#[test]
fn a_pattern_that_finds_nothing_stops_no_other_job() {
    let install = with_jobs(
        "[job:gone]\neach: DIR/gone/*\n\n[job:none]\neach: DIR/x*.img\n\n[job:a]\nsource: DIR/a.img\nkeep_last: 1\n",
    );
    let planned = install.ok(&["-ms", "run", "--dry-run"]);
    let due: Vec<&str> = planned.lines().map(|line| line.split('|').nth(3).expect("a column")).collect();
    assert!(due[0].contains("cannot be read") && due[1].contains("nothing matches"), "{planned}");
    assert_eq!(due[2..], ["each run"]);
    for _ in 0..2 {
        let run = install.run(&["run"]);
        assert_eq!(run.code, 100, "{run:?}");
        for words in
            ["gone: no backup was made: ", "none: no backup was made: ", "2 of 3 backups failed: gone, none."]
        {
            assert!(run.stderr.contains(words), "{words}: {run:?}");
        }
    }
    assert_eq!(install.ok(&["-ms", "ls", "-f", "name,valid"]), "a|1\n", "it was made, and pruned");
}

#[test]
fn a_timeout_ends_the_backup_and_what_hooks_have_started() {
    let install = with_jobs(
        "[job:slow]\nsource: DIR/a.img\nbefore: sleep 600 & echo $! > pid; wait\nafter: echo \"$BACKY2_RESULT\" > after\n\
         timeout: 1s\n\n[job:quick]\nsource: DIR/b.img\n",
    );
    let start = Instant::now();
    let run = install.run(&["run"]);
    assert!(start.elapsed() < Duration::from_secs(60), "{run:?}");
    assert_eq!(run.code, 100);
    assert!(run.stderr.contains("slow: no backup was made: the command `before` took longer"), "{run:?}");
    let read = |name: &str| std::fs::read_to_string(install.path(name)).expect("written by a hook");
    assert_eq!(read("after"), "failed\n");
    // It may wait for somebody to take notice.
    let words = std::fs::read(format!("/proc/{}/cmdline", read("pid").trim())).unwrap_or_default();
    assert!(words.is_empty(), "it was ended");
    assert_eq!(install.ok(&["-ms", "ls", "-f", "name,valid"]), "quick|1\n");
}

#[test]
fn a_signal_ends_the_run_and_the_hook_still_runs() {
    let install = with_jobs(
        "[job:a]\nsource: DIR/a.img\nbefore: touch begun\nafter: echo \"$BACKY2_RESULT\" > after\n
[job:b]\nsource: DIR/b.img\n",
    );
    install.bandwidth(BLOCK as u64, 0);
    let child = install.start(&["run"]);
    wait_until("the hook", LIMIT, || install.path("begun").exists());
    wait_until("a version", LIMIT, || !install.ok(&["-ms", "ls"]).is_empty());
    // Meanwhile another run has nothing to do there, and does the rest.
    let other = install.run(&["--json", "run", "a"]);
    assert_eq!((other.code, tasks(&other)[0]["result"].as_str()), (0, Some("busy")), "{other:?}");
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::TERM).expect("sent");
    let run = ended(child);
    assert_eq!(run.code, 143, "{run:?}");
    assert_eq!(std::fs::read_to_string(install.path("after")).expect("the hook"), "interrupted\n");
    assert_eq!(install.ok(&["-ms", "ls", "-f", "name,valid"]), "a|0\n");
}

#[test]
fn several_jobs_work_at_the_same_time() {
    let meet = |me: &str, other: &str| {
        format!("touch {me}; for i in $(seq 600); do test -e {other} && exit 0; sleep 0.1; done; exit 1")
    };
    let jobs = format!(
        "[run]\nsimultaneous_jobs: 2\nverify: 0\n
[job:a]\nsource: DIR/a.img\nbefore: {}\n
[job:b]\nsource: DIR/b.img\nbefore: {}\n",
        meet("x", "y"),
        meet("y", "x")
    );
    let install = with_jobs(&jobs);
    let run = install.run(&["--json", "run"]);
    assert_eq!(run.code, 0, "each waits for the other: {run:?}");
    assert!(tasks(&run).iter().all(|task| task["result"] == "done" && task["verified"].is_null()));
}

#[test]
fn bad_data_is_found_and_the_exit_code_tells() {
    let install =
        with_jobs("[run]\nverify: 100\n\n[job:a]\nsource: DIR/a.img\nkeep_last: 5\nafter: sh spoil\n");
    std::fs::write(
        install.path("spoil"),
        "for f in $(find data -name '*.blob' | head -n 1); do echo x > $f; done\n",
    )
    .expect("written");
    let run = install.run(&["run"]);
    assert_eq!(run.code, 20, "{run:?}");
    assert!(run.stdout.contains("bad data") && run.stderr.contains("has bad data"), "{run:?}");
}

#[test]
fn mistakes_in_the_configuration_are_explained() {
    for (sections, args, words) in [
        ("", &["run"][..], "There are no jobs in the configuration"),
        ("[job:a]\nname: x\n", &["run"], "has no key source"),
        ("[job:]\nsource: x\n", &["run"], "has no name after the colon"),
        ("[job:a]\nsource: DIR/a.img\nschedulers: dayly\n", &["run"], "no section [dayly]"),
        ("[job:a]\neach: DIR/*\nsource: DIR/a.img\n", &["run"], "the source is the same for all"),
        ("[job:a]\neach: DIR/*\nname: x\n", &["run"], "the name is the same for all"),
        ("[job:a]\neach: DIR/*\nname: {}-{}\n", &["run"], "more than once"),
        ("[job:a]\nsource: DIR/a.img\ntimeout: soon\n", &["run"], "is not a time"),
        (
            "[job:a]\nsource: x\nname: v\n\n[job:b]\nsource: y\nname: v\n",
            &["run"],
            "[job:b] makes versions of the name v, and so does [job:a]",
        ),
        ("[job:web{}]\nsource: DIR/a.img\n", &["run"], "and no pattern (each)"),
        ("[job:a]\nsource: DIR/a.img\nname: db-{}\n", &["ls"], "and no pattern (each)"),
        ("[job: a]\nsource: DIR/a.img\n", &["ls"], "a blank at the beginning or the end"),
        ("[retention: db*]\nkeep_last: 1\n", &["ls"], "a blank at the beginning or the end"),
        (
            "[daily]\ninterval: 1d\nkeep: 3\nsla: 1h\n[job:a]\nsource: x\nschedulers: daily\nkeep_last: 3\n",
            &["run"],
            "either of them",
        ),
        (
            "[daily]\ninterval: 1d\nkeep: 3\nsla: 1h\n[job:a]\nsource: x\nschedulers: daily,\n",
            &["run"],
            "no name beside it",
        ),
        (
            "[job:a]\nsource: x\nkepe_last: 3\n",
            &["prune"],
            "kepe_last is not a known key. There are: each, source",
        ),
        ("[retention]\nkeep_last: 1\nkeep_dayly: 30\n", &["prune"], "keep_dayly is not a known key"),
        ("[run]\nverfiy: 3\n", &["ls"], "verfiy is not a known key"),
        ("[hooks]\non_error: false\n", &["ls"], "on_error is not a known key"),
        ("[run]\nsimultaneous_jobs: 0\n\n[job:a]\nsource: x\n", &["run"], "simultaneous_jobs"),
    ] {
        let install = with_jobs(sections);
        let error = install.fails(1, args);
        assert!(error.contains(words), "{sections}: {error}");
    }
    let install = with_jobs("[job:a]\nsource: DIR/a.img\n");
    assert!(install.fails(100, &["run", "b"]).contains("There is no job b. There are: a"));
}

#[test]
fn common_rules_hold_for_jobs_without_schedulers_and_rules() {
    let install = with_jobs(
        "[daily]\ninterval: 1d\nkeep: 8\nsla: 6h\n\n[retention:a*]\nkeep_daily: 30\n\n[job:a]\nsource: DIR/a.img\n\n\
         [job:b]\nsource: DIR/b.img\n",
    );
    let planned = install.ok(&["-ms", "run", "--dry-run"]);
    let expires: Vec<bool> = planned.lines().map(|line| !line.ends_with('|')).collect();
    assert_eq!(expires, [false, true], "{planned}");
    assert_eq!(install.run(&["run"]).code, 0);
    assert_eq!(install.ok(&["-ms", "sla"]), "");
    assert_eq!(install.ok(&["-ms", "due"]), "");
}

#[test]
fn a_verified_version_was_read_at_least_in_part() {
    let install = with_jobs(
        "[job:a]\nsource: DIR/a.img\nkeep_last: 9\nafter: for f in $(find DIR/data -name '*.blob'); do : > $f; done\n",
    );
    for _ in 0..4 {
        let run = install.run(&["--json", "run"]);
        assert_eq!((run.code, tasks(&run)[0]["verified"].as_bool()), (20, Some(false)), "{run:?}");
    }
}
