//! SIGHUP, SIGINT and SIGTERM during a command: it ends soon, releases its locks, and can be continued.

use crate::common::checks::{ended, wait_until};
use crate::common::database::Engine;
use crate::common::install::{Install, Run, noise};
use crate::common::skip;
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const BLOCK: usize = 64 << 10;
const BLOCKS: usize = 200;
/// A process must end within this time after a signal, however low the bandwidth limit is.
const SOON: Duration = Duration::from_secs(2);
const ALL: [(Signal, i32); 3] = [(Signal::HUP, 129), (Signal::INT, 130), (Signal::TERM, 143)];

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, signal).expect("sent");
}

/// Sends a signal and returns the result of the process, which must end soon.
fn interrupt(child: Child, signal: Signal) -> Run {
    let start = Instant::now();
    send(&child, signal);
    let run = ended(child);
    assert!(start.elapsed() < SOON, "{signal:?}: it took {:?}", start.elapsed());
    assert!(!run.stderr.contains("panicked"), "{run:?}");
    run
}

/// An installation with an image of noise.
fn with_image() -> (Install, Vec<u8>) {
    let install = Install::new(BLOCK as u32);
    let image = noise(5, BLOCKS * BLOCK);
    std::fs::write(install.path("image"), &image).expect("written");
    (install, image)
}

#[test]
fn an_interrupted_backup_ends_soon_and_is_continued() {
    let (install, image) = with_image();
    let source = install.url("image");
    // Without deduplication nothing is known, although the image is the same.
    install.set("deduplication", "0");
    for (signal, code) in ALL {
        // First at a crawl; then so fast that some batches are committed before the signal comes.
        for (bytes_per_second, pause) in [(1, 300), (4_000_000, 1300)] {
            let name = format!("vm-{code}-{bytes_per_second}");
            install.bandwidth(bytes_per_second, 0);
            let child = install.start(&["backup", &source, &name]);
            wait_until("the version begins", SOON, || install.newest(&name).is_some());
            std::thread::sleep(Duration::from_millis(pause));
            let run = interrupt(child, signal);

            assert_eq!(run.code, code, "{run:?}");
            let (uid, valid) = install.newest(&name).expect("the version stays");
            let rows = install.rows(&uid);
            assert!(!valid && rows > 0 && rows < BLOCKS as i64, "{valid} {rows}");
            assert_eq!(install.stored_uids().len(), install.named_uids().len(), "nothing stored was lost");
            let how = format!("Version {uid} is incomplete. Continue it with `backy2 backup -c {uid} ");
            assert!(run.stderr.contains(&how), "{run:?}");
            install.assert_sound();
            let stats = format!("FROM stats WHERE version_uid = '{uid}'");
            assert_eq!(install.count(&format!("SELECT count(*) {stats}")), 1);
            assert_eq!(install.count(&format!("SELECT blocks_written {stats}")), rows);

            install.bandwidth(0, 0);
            assert_eq!(install.backup(&["-c", &uid, &source, &name]), uid);
            let written = install.count(&format!("SELECT sum(blocks_written) {stats}"));
            assert_eq!(written, BLOCKS as i64, "no block was stored twice");
            assert!(install.restored(&uid, "out.img") == image);
        }
    }
}

#[test]
fn a_script_also_sees_how_to_go_on() {
    let (install, _) = with_image();
    install.bandwidth(1, 0);
    let child = install.start(&["-m", "backup", &install.url("image"), "vm"]);
    wait_until("the version begins", SOON, || install.newest("vm").is_some());
    let run = interrupt(child, Signal::TERM);
    let (uid, _) = install.newest("vm").expect("the version stays");
    assert_eq!(run.stdout, format!("{uid}\n"), "once, as it was not completed");
    assert!(run.stderr.contains(&format!("backy2 backup -c {uid}")), "{run:?}");
}

#[test]
fn a_backup_that_fails_before_its_version_exists_names_none() {
    let (install, _) = with_image();
    let error = install.fails(100, &["backup", "-c", "nosuchuid", &install.url("image"), "vm"]);
    assert!(!error.contains("is incomplete"), "{error}");
    let error = install.fails(100, &["backup", &install.url("absent"), "vm"]);
    assert!(!error.contains("is incomplete"), "{error}");
}

#[test]
fn a_backup_whose_store_fails_says_how_to_go_on() {
    let (install, image) = with_image();
    // While it runs, the folder of blobs is moved away, and a file takes its place.
    install.bandwidth(4_000_000, 0);
    let child = install.start(&["backup", &install.url("image"), "vm"]);
    wait_until("the version begins", SOON, || install.newest("vm").is_some());
    std::fs::rename(install.path("data"), install.path("away")).expect("moved");
    std::fs::write(install.path("data"), "").expect("written");
    let run = ended(child);
    let error = run.stderr;
    assert_eq!(run.code, 6, "{error}");
    let (uid, valid) = install.newest("vm").expect("the version stays");
    assert!(!valid && error.contains(&format!("backup -c {uid} ")), "{error}");
    install.bandwidth(0, 0);
    assert_eq!(install.held_locks(), Vec::<String>::new());
    std::fs::remove_file(install.path("data")).expect("removed");
    std::fs::rename(install.path("away"), install.path("data")).expect("moved");
    install.backup(&["-c", &uid, &install.url("image"), "vm"]);
    assert!(install.restored(&uid, "out.img") == image);
}

#[test]
fn an_interrupted_restore_ends_soon_and_goes_on() {
    let (install, image) = with_image();
    let uid = install.backup(&[&install.url("image"), "vm"]);
    let target = install.url("out.img");
    for (signal, code) in ALL {
        for bytes_per_second in [1, 4_000_000] {
            let _ = std::fs::remove_file(install.path("out.img"));
            install.bandwidth(0, bytes_per_second);
            let child = install.start(&["restore", &uid, &target]);
            wait_until("the restore begins", SOON, || install.path("out.img").exists());
            std::thread::sleep(Duration::from_millis(1300));
            let run = interrupt(child, signal);
            assert_eq!(run.code, code, "{run:?}");
            install.assert_sound();
            assert_eq!(install.newest("vm"), Some((uid.clone(), true)), "the version is as it was");

            install.bandwidth(0, 0);
            let last = run.stdout.lines().rev().find_map(|line| line.split("Last ID: ").nth(1));
            let last: u64 = last.and_then(|id| id.trim().parse().ok()).unwrap_or(0);
            assert!(last < BLOCKS as u64 - 1, "it was not at its end: {last}");
            install.ok(&["restore", "-c", &last.to_string(), &uid, &target]);
            assert!(std::fs::read(install.path("out.img")).expect("read") == image, "from {last}");
        }
    }
}

#[test]
fn scrubs_and_waiting_commands_end_soon() {
    let (install, _) = with_image();
    let uid = install.backup(&[&install.url("image"), "vm"]);
    install.bandwidth(0, 1);
    for (signal, code) in ALL {
        let child = install.start(&["scrub", &uid]);
        wait_until("the scrub begins", SOON, || !install.held_locks().is_empty());
        std::thread::sleep(Duration::from_millis(200));
        let run = interrupt(child, signal);
        assert_eq!(run.code, code, "{run:?}");
        assert_eq!(install.newest("vm"), Some((uid.clone(), true)));
        install.assert_sound();
    }
}

#[test]
fn a_second_signal_ends_it_at_once_and_leaves_nothing_locked() {
    let (install, image) = with_image();
    let source = install.url("image");
    install.bandwidth(1, 0);
    let child = install.start(&["backup", &source, "vm"]);
    wait_until("the version begins", SOON, || install.newest("vm").is_some());
    send(&child, Signal::INT);
    send(&child, Signal::INT);
    let run = interrupt(child, Signal::INT);
    assert_eq!(run.code, 130, "{run:?}");
    install.assert_sound();
    install.bandwidth(0, 0);
    let (uid, _) = install.newest("vm").expect("the version stays");
    install.backup(&["-c", &uid, &source, "vm"]);
    assert!(install.restored(&uid, "out.img") == image);
}

#[test]
fn a_signal_ends_the_wait_for_another_writer_of_the_database() {
    let (install, _) = with_image();
    if install.engine() != Engine::Sqlite {
        // Waits for a PostgreSQL server have tests of their own.
        return;
    }
    let uid = install.backup(&[&install.url("image"), "vm"]);
    let writer = rusqlite::Connection::open(install.path("backy.sqlite")).expect("opened");
    writer.execute_batch("BEGIN IMMEDIATE").expect("alone");
    for (signal, code) in ALL {
        let child = install.start(&["rm", "-f", &uid]);
        wait_until("it waits", SOON, || {
            std::fs::read_to_string(install.path("backy.log")).is_ok_and(|l| l.contains("rm -f"))
        });
        std::thread::sleep(Duration::from_millis(300));
        let run = interrupt(child, signal);
        assert_eq!(run.code, code, "{run:?}");
    }
    drop(writer);
    assert!(install.is_valid(&uid));
}

#[test]
fn two_hangups_of_a_lost_terminal_end_a_backup_in_good_order() {
    let (install, image) = with_image();
    let source = install.url("image");
    install.bandwidth(4_000_000, 0);
    let child = install.start(&["backup", &source, "vm"]);
    wait_until("the version begins", SOON, || install.newest("vm").is_some());
    send(&child, Signal::HUP);
    let run = interrupt(child, Signal::HUP);
    assert_eq!(run.code, 129, "{run:?}");
    assert!(run.stderr.contains("Interrupted by SIGHUP."), "{run:?}");
    install.assert_sound();
    let (uid, _) = install.newest("vm").expect("the version stays");

    // With nohup the backup continues without its terminal.
    install.bandwidth(0, 0);
    let mut command = std::process::Command::new("nohup");
    command.arg(crate::common::program()).arg("-c").arg(install.path("backy.cfg"));
    command.args(["-m", "backup", "-c", &uid, &source, "vm"]).stdin(Stdio::null());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("nohup");
    let log = || std::fs::read_to_string(install.path("backy.log")).unwrap_or_default();
    wait_until("nohup has started it", SOON, || log().matches(&format!("-m backup -c {uid}")).count() > 0);
    send(&child, Signal::HUP);
    assert_eq!(ended(child).code, 0);
    assert!(install.restored(&uid, "out.img") == image);
}

#[test]
fn servers_end_in_good_order_when_their_terminal_is_gone() {
    let (install, _) = with_image();
    install.backup(&[&install.url("image"), "vm"]);
    let socket = install.text("nbd.sock");
    let log = || std::fs::read_to_string(install.path("backy.log")).unwrap_or_default();
    let child = install.start(&["nbd", "--socket", &socket]);
    wait_until("it serves", 5 * SOON, || log().contains("Serving NBD"));
    assert_eq!(interrupt(child, Signal::HUP).code, 0);
    assert!(!install.path("nbd.sock").exists(), "its socket is gone");
    if !std::path::Path::new("/dev/fuse").exists() {
        return skip("servers_end_in_good_order_when_their_terminal_is_gone", "there is no /dev/fuse");
    }
    std::fs::create_dir(install.path("mount")).expect("made");
    let child = install.start(&["fuse", &install.text("mount")]);
    wait_until("it is mounted", 5 * SOON, || log().contains("Mounted on"));
    assert_eq!(interrupt(child, Signal::HUP).code, 0);
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("read");
    assert!(!mounts.contains(&install.text("mount")), "a dead mount is left");
}

/// Runs the command in the last line of the output, like a user who has copied it.
fn go_on(install: &Install, run: &Run) -> Run {
    let line = run.stderr.lines().last().expect("a last line");
    assert!(run.stderr.contains("To go on:\n") && line.starts_with("backy2 -c "), "{run:?}");
    let line = line.replacen("backy2", &crate::common::program(), 1);
    let mut command = std::process::Command::new("bash");
    Run::from(command.args(["-c", &line]).current_dir(install.path("")).output().expect("bash"))
}

#[test]
fn the_last_line_is_the_command_that_goes_on() {
    let (install, image) = with_image();
    std::fs::rename(install.path("image"), install.path("it's an $image")).expect("renamed");
    let source = install.url("it's an $image");
    install.bandwidth(4_000_000, 0);
    let child = install.start(&["-m", "backup", &source, "the `vm`"]);
    wait_until("the version begins", SOON, || install.newest("the `vm`").is_some());
    let run = interrupt(child, Signal::INT);
    install.bandwidth(0, 4_000_000);
    let went_on = go_on(&install, &run);
    assert_eq!(went_on.code, 0, "{run:?} {went_on:?}");
    let (uid, valid) = install.newest("the `vm`").expect("there");
    assert!(valid && install.uids(&[]).len() == 1);

    let target = install.url("out $image");
    let child = install.start(&["restore", "-s", "the `vm`:latest", &target]);
    wait_until("the restore begins", SOON, || install.path("out $image").exists());
    std::thread::sleep(Duration::from_millis(700));
    let run = interrupt(child, Signal::TERM);
    assert!(run.stderr.contains(" restore -s -c ") && run.stderr.contains(&uid), "{run:?}");
    install.bandwidth(0, 0);
    assert_eq!(go_on(&install, &run).code, 0);
    assert!(std::fs::read(install.path("out $image")).expect("read") == image);

    // Failures show the command, too, but not if nothing was begun.
    install.set("encryption_version", "0");
    install.bandwidth(1, 0);
    let child = install.start(&["migrate-encryption", &uid]);
    wait_until("the new version begins", SOON, || install.uids(&[]).len() == 2);
    let run = interrupt(child, Signal::HUP);
    install.bandwidth(0, 0);
    assert_eq!(go_on(&install, &run).code, 0, "{run:?}");
    assert!(!install.fails(100, &["restore", "nosuch", &target]).contains("To go on"));
}

#[test]
fn a_signal_ends_the_wait_for_hints_that_never_come() {
    let (install, _) = with_image();
    let fifo = install.path("hints");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
    let log = || std::fs::read_to_string(install.path("backy.log")).unwrap_or_default();
    for (hints, (signal, code)) in [(fifo.to_str().expect("utf-8"), ALL[0]), ("-", ALL[1])] {
        let mut command = install.command(&["backup", "-r", hints, &install.url("image"), "vm"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let stdin = child.stdin.take();
        wait_until("it waits", SOON, || log().contains(&format!("-r {hints}")));
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(interrupt(child, signal).code, code);
        drop(stdin);
    }
    // Hints that arrive late are still read.
    let child = install.start(&["backup", "-r", fifo.to_str().expect("utf-8"), &install.url("image"), "vm"]);
    std::thread::sleep(Duration::from_millis(300));
    let hints = format!("[{{\"offset\":0,\"length\":{},\"exists\":\"true\"}}]", BLOCKS * BLOCK);
    std::fs::write(&fifo, hints).expect("written");
    let run = ended(child);
    assert_eq!(run.code, 0, "{run:?}");
}
