//! The system refuses a thread or memory: the command fails with an ordinary error, does not hang, marks nothing as
//! bad, and leaves no lock.

use crate::common::install::{Install, Run, noise};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const BLOCK: usize = 4096;
/// A command that waits for a thread that was never started would wait for ever.
const SOON: Duration = Duration::from_secs(10);

fn with_version() -> (Install, String) {
    let install = Install::new(BLOCK as u32);
    let uid = install.backup(&[&install.image("a.img", &noise(1, 40 * BLOCK)), "a"]);
    (install, uid)
}

/// Runs a command in which the N-th start of a thread fails. Servers are stopped once they are ready.
fn with_failing_start(install: &Install, nth: u64, args: &[&str], ready: Option<&str>) -> Run {
    let _ = std::fs::remove_file(install.path("backy.log"));
    let mut command = install.command(args);
    command.env("BACKY2_FAILPOINT", format!("thread-start:{nth}")).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let start = Instant::now();
    let mut asked_to_end = false;
    while child.try_wait().expect("asked").is_none() {
        if start.elapsed() > SOON {
            child.kill().expect("killed");
            panic!("{args:?} waits for ever without its thread {nth}");
        }
        let log = std::fs::read_to_string(install.path("backy.log")).unwrap_or_default();
        if !asked_to_end && ready.is_some_and(|word| log.contains(word)) {
            asked_to_end = true;
            kill_process(Pid::from_child(&child), Signal::TERM).expect("sent");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Run::from(child.wait_with_output().expect("ended"))
}

/// Makes each start of a thread fail in turn, until the command needs no more threads. Returns how many it needs.
fn every_start_fails(install: &Install, args: &[&str], ready: Option<&str>) -> u64 {
    for nth in 1.. {
        let run = with_failing_start(install, nth, args, ready);
        assert_eq!(install.held_locks(), Vec::<String>::new(), "{args:?} {nth}: locks stay");
        if run.code == 0 {
            return nth - 1;
        }
        assert_eq!(run.code, 100, "{args:?} {nth}: {run:?}");
        let wanted = "cannot start a thread: Resource temporarily unavailable";
        assert!(run.stderr.contains(wanted), "{args:?} {nth}: {run:?}");
        assert!(run.stderr.contains("ulimit -u") && !run.stderr.contains("bug"), "{args:?} {nth}: {run:?}");
    }
    0
}

#[test]
fn every_thread_that_cannot_be_started_is_an_error_and_nobody_waits() {
    let (install, uid) = with_version();
    let other = install.image("b.img", &noise(2, 40 * BLOCK));
    assert!(every_start_fails(&install, &["backup", &other, "b"], None) >= 6);
    let b = install.uids(&["b"]);
    assert_eq!(b.iter().filter(|uid| install.is_valid(uid)).count(), 1, "those that failed are incomplete");
    assert!(every_start_fails(&install, &["restore", "-f", &uid, &install.url("out")], None) >= 5);
    assert!(every_start_fails(&install, &["scrub", &uid], None) >= 5);
    assert!(install.is_valid(&uid), "a scrub that could not begin marks nothing");
    install.set("encryption_version", "0");
    assert!(every_start_fails(&install, &["migrate-encryption", &uid], None) >= 6);
    install.assert_sound();
}

#[test]
fn servers_without_their_threads_do_not_begin() {
    let (install, _) = with_version();
    std::fs::create_dir(install.path("mount")).expect("made");
    let mount = install.text("mount");
    if std::path::Path::new("/dev/fuse").exists() {
        assert!(every_start_fails(&install, &["fuse", &mount], Some("Mounted on")) >= 8);
        let mounts = std::fs::read_to_string("/proc/self/mounts").expect("read");
        assert!(!mounts.contains(&mount), "no mount is left");
    } else {
        crate::common::skip("servers_without_their_threads_do_not_begin", "there is no /dev/fuse");
    }
    let socket = install.text("nbd.sock");
    let args = ["nbd", "--read-only", "--socket", &socket];
    assert!(every_start_fails(&install, &args, Some("Serving NBD")) >= 2);
}

/// Runs the program under limits set by `prlimit`.
fn limited(install: &Install, limits: &[&str], args: &[&str]) -> Run {
    let mut command = Command::new("prlimit");
    command.args(limits).arg(crate::common::program()).arg("-c").arg(install.path("backy.cfg")).args(args);
    command.env_remove("RUST_BACKTRACE").current_dir(install.path("")).stdin(Stdio::null());
    Run::from(command.output().expect("prlimit of util-linux"))
}

#[test]
fn however_little_memory_there_is_nothing_wrong_is_done() {
    let (install, uid) = with_version();
    let image = std::fs::read(install.path("a.img")).expect("read");
    let before = install.dump();
    let mut failed = 0;
    // From too little memory for the program itself to enough for its work.
    for mib in (8..200).step_by(if crate::common::all() { 1 } else { 8 }) {
        let limit = format!("--as={}", mib << 20);
        if limited(&install, &[&limit], &["--version"]).code != 0 {
            // Too little memory for the program itself.
            continue;
        }
        for args in [&["scrub", &uid][..], &["restore", "-f", &uid, &install.url("out")]] {
            let run = limited(&install, &[&limit], args);
            assert!([0, 1, 6, 100].contains(&run.code), "{mib} MiB, {args:?}: {run:?}");
            assert!(!run.stderr.contains("backtrace") && !run.stderr.contains("bug"), "{mib} MiB: {run:?}");
            failed += u32::from(run.code != 0);
            if run.code != 0 {
                assert!(!run.stderr.is_empty(), "{mib} MiB, {args:?}: without a word");
            } else if args[0] == "restore" {
                assert!(std::fs::read(install.path("out")).expect("read") == image, "{mib} MiB");
            }
        }
    }
    assert!(failed > 0, "no limit was tight");
    install.change("DELETE FROM verifications");
    assert!(install.dump() == before, "something was marked");
    let run = limited(&install, &["--as=4294967296"], &["scrub", &uid]);
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn a_thousand_threads_in_little_memory_are_one_line() {
    let (install, uid) = with_version();
    install.set("simultaneous_reads", "1000");
    for mib in [150, 400, 900] {
        let run = limited(&install, &[&format!("--as={}", mib << 20)], &["scrub", &uid]);
        assert_eq!(run.code, 100, "{mib} MiB: {run:?}");
        let lines: Vec<&str> = run.stderr.lines().filter(|line| line.contains("ERROR: ")).collect();
        assert!(lines.len() <= 2, "{mib} MiB: {run:?}");
        assert!(lines[0].contains("ulimit -v") && !run.stderr.contains("backtrace"), "{mib} MiB: {run:?}");
    }
    assert!(install.is_valid(&uid));
    assert_eq!(install.held_locks(), Vec::<String>::new());
}

#[test]
fn a_limit_of_file_sizes_is_named() {
    let (install, uid) = with_version();
    let run = limited(&install, &["--fsize=65536"], &["restore", &uid, &install.url("out")]);
    assert_eq!(run.code, 100, "{run:?}");
    assert!(run.stderr.contains("ulimit -f"), "{run:?}");
}

#[test]
fn a_cgroup_that_gives_no_more_processes_is_an_error() {
    let (install, uid) = with_version();
    let group = std::path::PathBuf::from(format!("/sys/fs/cgroup/pids/backy2-test-{}", std::process::id()));
    let made = std::fs::create_dir(&group).and_then(|()| std::fs::write(group.join("pids.max"), "4"));
    if let Err(error) = made {
        let _ = std::fs::remove_dir(&group);
        let why = format!("no cgroup of processes can be made: {error}");
        return crate::common::skip("a_cgroup_that_gives_no_more_processes_is_an_error", &why);
    }
    let script = format!("echo $$ > {}/cgroup.procs; exec \"$@\"", group.display());
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh"]).arg(crate::common::program());
    let run = command.arg("-c").arg(install.path("backy.cfg")).args(["scrub", &uid]).output().expect("runs");
    let run = Run::from(run);
    let gone = || std::fs::remove_dir(&group).is_ok();
    crate::common::checks::wait_until("the cgroup is empty", SOON, gone);
    assert_eq!(run.code, 100, "{run:?}");
    assert!(run.stderr.contains("cannot start a thread") && run.stderr.contains("pids.max"), "{run:?}");
    assert!(install.is_valid(&uid));
}
