//! `[hooks]`: the commands around other commands.

use crate::common::checks::{ended, wait_until};
use crate::common::install::{Install, noise};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const BLOCK: usize = 4096;
/// Everything must happen within this time.
const LIMIT: Duration = Duration::from_secs(60);
/// Appends the facts to the file `facts`, with a line of dashes.
const FACTS: &str = "(env | grep ^BACKY2_ | sort; echo ---) >> facts";

/// An installation with the image a.img and these sections, in which DIR stands for the folder, and FACTS for a command
/// that writes down the facts.
fn with(sections: &str) -> Install {
    let install = Install::new(BLOCK as u32);
    install.image("a.img", &noise(1, 10 * BLOCK));
    let path = install.path("backy.cfg");
    let config = std::fs::read_to_string(&path).expect("read");
    let sections = sections.replace("FACTS", FACTS).replace("DIR/", &install.text(""));
    std::fs::write(path, format!("{config}\n{sections}\n")).expect("written");
    install
}

/// The facts that hooks have written down, without the marker and the installation, which all of them have.
fn facts(install: &Install) -> Vec<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(install.path("facts")).unwrap_or_default();
    let _ = std::fs::remove_file(install.path("facts"));
    let block = |text: &str| {
        let lines = text.lines().map(|line| line.split_once('=').expect("set"));
        // Variables of the tests are there, too.
        let own = lines.filter(|(key, _)| std::env::var_os(key).is_none());
        let pairs = own.map(|(key, value)| (key.strip_prefix("BACKY2_").expect("ours"), value));
        let mut facts: BTreeMap<String, String> = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        assert_eq!(facts.remove("NESTED").as_deref(), Some("1"));
        assert_eq!(facts.remove("CONFIG"), Some(install.text("backy.cfg")));
        facts
    };
    text.split_terminator("---\n").map(block).collect()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, signal).expect("sent");
}

#[test]
fn hooks_have_the_facts_of_a_backup() {
    let install = with("[hooks]\nbefore: FACTS\nafter: FACTS\non_failure: FACTS\n");
    let source = install.url("a.img");
    let uid = install.backup(&[&source, "vm"]);
    let begin = [("COMMAND", "backup"), ("NAME", "vm"), ("SOURCE", &source[..])];
    let bytes = (10 * BLOCK).to_string();
    let found = facts(&install);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0], map(&[&begin[..], &[("HOOK", "before")]].concat()));
    let mut after = found[1].clone();
    assert!(after.remove("DURATION").is_some_and(|text| text.parse::<u64>().is_ok()));
    let end = [
        ("HOOK", "after"),
        ("RESULT", "done"),
        ("EXIT_CODE", "0"),
        ("VERSION", &uid),
        ("BYTES_READ", &bytes),
        ("BYTES_NEW", &bytes),
    ];
    assert_eq!(after, map(&[&begin[..], &end[..]].concat()));
    // Variables without a value are not there, even if the caller has set them.
    let mut command = install.command(&["backup", &install.url("none.img"), "vm"]);
    let output = command.env("BACKY2_VERSION", "x").env("BACKY2_JOB", "x").stdin(Stdio::null()).output();
    assert_eq!(output.expect("runs").status.code(), Some(100));
    let found = facts(&install);
    let hooks: Vec<&str> = found.iter().map(|facts| &facts["HOOK"][..]).collect();
    assert_eq!(hooks, ["before", "on_failure", "after"]);
    for late in &found[1..] {
        assert_eq!((&late["RESULT"][..], &late["EXIT_CODE"][..]), ("failed", "100"), "{late:?}");
        assert!(late["ERROR"].contains("none.img") && !late["ERROR"].starts_with("Backy"), "{late:?}");
    }
    assert!(
        found.iter().all(|facts| !facts.contains_key("VERSION") && !facts.contains_key("JOB")),
        "{found:?}"
    );
}

#[test]
fn hooks_are_run_around_commands_that_work() {
    let install = with("[hooks]\nafter: FACTS\n");
    let uid = install.backup(&[&install.url("a.img"), "vm"]);
    facts(&install);
    let target = install.url("out.img");
    for (args, command, name) in [
        (&["restore", "vm:latest", &target][..], "restore", Some("vm")),
        (&["scrub", &uid], "scrub", Some("vm")),
        (&["check"], "check", None),
        (&["prune", "vm"], "prune", Some("vm")),
        (&["prune"], "prune", None),
        (&["rm", "-f", &uid], "rm", Some("vm")),
        (&["cleanup"], "cleanup", None),
    ] {
        install.ok(args);
        let found = facts(&install);
        assert_eq!((found.len(), &found[0]["COMMAND"][..]), (1, command), "{args:?}");
        assert_eq!(found[0].get("NAME").map(String::as_str), name, "{args:?}");
        let has_version = ["restore", "scrub", "rm"].contains(&command);
        assert_eq!(found[0].get("VERSION").cloned(), has_version.then(|| uid.clone()), "{args:?}");
        assert_eq!(found[0].get("TARGET").cloned(), (command == "restore").then(|| target.clone()));
    }
    install.backup(&[&install.url("a.img"), "vm"]);
    facts(&install);
    for args in [
        &["ls"][..],
        &["status"],
        &["du"],
        &["locks"],
        &["prune", "--dry-run"],
        &["rm", "-f", "--dry-run", "vm:latest"],
    ] {
        install.ok(args);
        assert_eq!(facts(&install), [], "{args:?}");
    }
}

#[test]
fn a_failing_before_prevents_the_command() {
    let install = with("[hooks]\nbefore: echo no disk >&2; exit 3\nafter: FACTS\non_failure: FACTS\n");
    let run = install.run(&["-m", "backup", &install.url("a.img"), "vm"]);
    assert_eq!((run.code, &run.stdout[..]), (100, ""));
    let error = "Nothing was done: the command `before` ended with exit code 3.";
    assert!(run.stderr.contains(&format!("   ERROR: {error}\n   ERROR: Backy failed.")), "{run:?}");
    assert!(run.stderr.contains("   ERROR: before: no disk\n"), "{run:?}");
    assert_eq!(install.newest("vm"), None);
    let found = facts(&install);
    assert_eq!(found.iter().map(|facts| &facts["HOOK"][..]).collect::<Vec<_>>(), ["on_failure", "after"]);
    assert_eq!((&found[0]["ERROR"][..], &found[0]["EXIT_CODE"][..]), (error, "100"));
}

#[test]
fn failures_afterwards_are_warnings() {
    let install = with("[hooks]\nafter: echo too bad; exit 4\non_failure: kill -9 $$\n");
    let run = install.run(&["backup", &install.url("a.img"), "vm"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.stderr, " WARNING: [hooks]: the command `after` ended with exit code 4.\n");
    assert!(
        run.stdout.contains(" WARNING: after: too bad\n") && run.stdout.contains("Backy complete."),
        "{run:?}"
    );
    let run = install.run(&["backup", &install.url("none.img"), "vm"]);
    assert_eq!(run.code, 100, "{run:?}");
    assert!(run.stderr.contains("the command `on_failure` was killed by signal 9."), "{run:?}");
    let run = install.run(&["-m", "backup", &install.url("a.img"), "vm"]);
    assert_eq!((run.code, &run.stderr[..]), (0, ""), "only errors are for scripts");
    let log = std::fs::read_to_string(install.path("backy.log")).expect("a logfile");
    assert_eq!(log.matches("after: too bad").count(), 3, "{log}");
}

#[test]
fn a_hook_that_takes_too_long_is_ended() {
    let install = with("[hooks]\nafter: sleep 600 & echo $! > pid; wait\ntimeout: 1s\n");
    let start = Instant::now();
    let run = install.run(&["backup", &install.url("a.img"), "vm"]);
    assert!(start.elapsed() < LIMIT && run.code == 0, "{run:?}");
    assert!(
        run.stderr.contains("the command `after` took longer than the timeout, and was ended."),
        "{run:?}"
    );
    let pid = std::fs::read_to_string(install.path("pid")).expect("written");
    let words = std::fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
    assert!(words.is_empty(), "it was ended with all that it had started");
}

#[test]
fn hooks_are_run_after_a_signal_and_a_second_one_ends_them() {
    let install = with("[hooks]\nbefore: touch begun\non_failure: touch failing; sleep 600\nafter: FACTS\n");
    install.bandwidth(BLOCK as u64, 0);
    let child = install.start(&["backup", &install.url("a.img"), "vm"]);
    wait_until("a version", LIMIT, || install.newest("vm").is_some());
    signal(&child, Signal::TERM);
    wait_until("the hook", LIMIT, || install.path("failing").exists());
    signal(&child, Signal::TERM);
    let run = ended(child);
    assert_eq!(run.code, 143, "{run:?}");
    assert!(run.stderr.contains("The command `on_failure` of [hooks] was ended by SIGTERM."), "{run:?}");
    let found = facts(&install);
    assert_eq!((&found[0]["RESULT"][..], &found[0]["EXIT_CODE"][..]), ("interrupted", "143"));
    assert_eq!(found[0]["ERROR"], "Interrupted by SIGTERM.");
    assert!(!found[0].contains_key("VERSION"), "it is not complete");
}

#[test]
fn a_signal_before_the_command_prevents_it() {
    let install = with("[hooks]\nbefore: touch begun; sleep 600\nafter: FACTS\n");
    for args in [&["backup", &install.url("a.img"), "vm"][..], &["check"]] {
        let child = install.start(args);
        wait_until("the hook", LIMIT, || install.path("begun").exists());
        signal(&child, Signal::INT);
        assert_eq!(ended(child).code, 130, "{args:?}");
        std::fs::remove_file(install.path("begun")).expect("removed");
        assert_eq!(facts(&install)[0]["RESULT"], "interrupted", "{args:?}");
    }
    assert_eq!(install.newest("vm"), None);
}

#[test]
fn a_hook_may_call_the_program() {
    let backy2 = crate::common::program();
    let install =
        with(&format!("[hooks]\nafter: {backy2} -ms ls -f name > list && {backy2} cleanup; FACTS\n"));
    install.backup(&[&install.url("a.img"), "vm"]);
    assert_eq!(
        std::fs::read_to_string(install.path("list")).expect("written"),
        "vm\n",
        "the same installation"
    );
    assert_eq!(facts(&install).len(), 1, "the hook has no hooks");
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("b");
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(&backy2);
        command.args(["-b", "b"]).args(args).current_dir(folder.path()).env("BACKY2_CONFIG", "x");
        let output = command.output().expect("runs");
        assert!(output.status.success(), "{args:?}: {output:?}");
    };
    run(&["init"]);
    let config = std::fs::read_to_string(dir.join("backy.cfg")).expect("read");
    // Installations on one host that have the same name see each other.
    let config = config.replace("process_name: backy2", &format!("process_name: hk{}", std::process::id()));
    let hook = "\n[hooks]\nafter: cd / && echo \"$BACKY2_DIR ${BACKY2_CONFIG-unset}\" > $BACKY2_DIR/out\n";
    std::fs::write(dir.join("backy.cfg"), config + hook).expect("written");
    run(&["cleanup"]);
    let out = std::fs::read_to_string(dir.join("out")).expect("written");
    assert_eq!(out, format!("{} unset\n", dir.display()));
}

const JOBS: &str = "[hooks]\nbefore: FACTS\nafter: FACTS\non_failure: FACTS\n
[job:good]\nsource: DIR/a.img\nkeep_last: 1\n
[job:bad]\nsource: DIR/none.img\nname: gone\nkeep_last: 1\n
[job:untidy]\nsource: DIR/a.img\nkeep_last: 1\nafter: exit 4\n
[job:lost]\neach: DIR/none/*\n";

#[test]
fn a_run_has_hooks_and_its_steps_have_none() {
    let install = with(JOBS);
    install.set("metrics_file", &install.text("backy2.prom"));
    let run = install.run(&["run", "good"]);
    assert_eq!((run.code, &run.stdout[..], &run.stderr[..]), (0, "", ""), "cron sends no mail");
    assert!(install.path("backy2.prom").exists());
    let found = facts(&install);
    let hooks = |found: &[BTreeMap<String, String>]| -> Vec<String> {
        found.iter().map(|facts| format!("{} {}", facts["HOOK"], facts["COMMAND"])).collect()
    };
    assert_eq!(hooks(&found), ["before run", "after run"]);
    assert_eq!(found[1]["BYTES_READ"], (10 * BLOCK).to_string());
    assert_eq!(install.run(&["run"]).code, 100);
    let found = facts(&install);
    assert_eq!(
        hooks(&found),
        ["before run", "on_failure run", "on_failure run", "on_failure run", "after run"]
    );
    let told: Vec<[Option<&str>; 4]> = found[1..4]
        .iter()
        .map(|facts| ["JOB", "NAME", "SOURCE", "EXIT_CODE"].map(|key| facts.get(key).map(String::as_str)))
        .collect();
    let (none, image) = (install.text("none.img"), install.text("a.img"));
    assert_eq!(
        told,
        [
            [Some("bad"), Some("gone"), Some(&none), Some("100")],
            [Some("untidy"), Some("untidy"), Some(&image), Some("100")],
            [Some("lost"), None, None, Some("100")],
        ]
    );
    for (facts, words) in
        found[1..4].iter().zip(["none.img", "the command `after` ended with exit code 4", "cannot be read"])
    {
        assert!(facts["ERROR"].contains(words), "{facts:?}");
    }
    assert!(found[4]["ERROR"].starts_with("lost: no backup was made: "), "{found:?}");
    // Without a failed job there is one call.
    assert_eq!(install.run(&["run", "unknown"]).code, 100);
    let found = facts(&install);
    assert_eq!(hooks(&found), ["before run", "on_failure run", "after run"]);
    assert!(
        found[1]["ERROR"].contains("There is no job unknown") && !found[1].contains_key("JOB"),
        "{found:?}"
    );
}

#[test]
fn a_run_that_is_interrupted_calls_hooks_once() {
    let install =
        with("[hooks]\nafter: FACTS\non_failure: FACTS\n\n[job:a]\nsource: DIR/a.img\nkeep_last: 1\n");
    install.bandwidth(BLOCK as u64, 0);
    let child = install.start(&["run"]);
    wait_until("a version", LIMIT, || install.newest("a").is_some());
    signal(&child, Signal::TERM);
    assert_eq!(ended(child).code, 143);
    let results: Vec<(String, String)> =
        facts(&install).iter().map(|facts| (facts["HOOK"].clone(), facts["RESULT"].clone())).collect();
    let pair = |hook: &str| (hook.to_owned(), "interrupted".to_owned());
    assert_eq!(results, [pair("on_failure"), pair("after")]);
}
