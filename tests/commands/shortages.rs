//! The system gives no thread or no memory: an ordinary error, and nobody waits, nothing is marked, no lock stays.

use crate::common::install::{Install, Run, noise};
use rustix::process::{Pid, Signal, kill_process};
use std::process::Stdio;
use std::time::{Duration, Instant};

const BLOCK: usize = 4096;
/// A command that waits for a thread that there is not would wait for ever.
const SOON: Duration = Duration::from_secs(10);

fn with_version() -> (Install, String) {
    let install = Install::new(BLOCK as u32);
    let uid = install.backup(&[&install.image("a.img", &noise(1, 40 * BLOCK)), "a"]);
    (install, uid)
}

/// Runs it with the N-th start of a thread failing. Servers are ended once they are ready.
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

/// Lets each start of a thread fail in turn, until the command needs no more of them. Returns how many it needs.
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
