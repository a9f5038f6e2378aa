//! A server that goes down, for a while or for good.

use crate::common::checks::{ended, wait_until};
use crate::common::install::{Install, noise};
use crate::common::proxy::Fault;
use crate::common::s3_server::S3Server;
use crate::setup::{assert_no_strays, installed, rclone, through};
use rustix::process::{Pid, Signal, kill_process};
use std::process::Child;
use std::time::{Duration, Instant};

const BLOCK: usize = 64 << 10;
const BLOCKS: usize = 300;
const SOON: Duration = Duration::from_secs(20);

/// Starts a backup that takes some seconds, and waits until it has stored some blobs.
fn begun(server: &S3Server) -> (Install, String, Vec<u8>, Child) {
    let install = installed(server, BLOCK as u32);
    let image = noise(7, BLOCKS * BLOCK);
    let source = install.image("image", &image);
    install.bandwidth(4_000_000, 0);
    let child = install.start(&["backup", &source, "a"]);
    wait_until("rows are committed", SOON, || {
        install.newest("a").is_some_and(|(uid, _)| install.rows(&uid) > 40)
    });
    (install, source, image, child)
}

#[test]
fn a_backup_survives_a_restart_of_the_server() {
    let Some(mut server) = rclone("a_backup_survives_a_restart_of_the_server") else { return };
    let (install, _, image, child) = begun(&server);
    server.kill();
    std::thread::sleep(Duration::from_secs(7));
    server.restart().expect("it is back");
    let run = ended(child);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("WARNING: The data store fails: "), "{run:?}");
    assert!(run.stdout.contains("The data store answers again."), "{run:?}");
    assert_no_strays(&install, &server);
    assert!(install.restored("a", "out") == image);
}

#[test]
fn a_server_that_is_gone_for_good_ends_a_backup_in_time_and_it_can_be_continued() {
    let name = "a_server_that_is_gone_for_good_ends_a_backup_in_time_and_it_can_be_continued";
    let Some(mut server) = rclone(name) else { return };
    let install = installed(&server, BLOCK as u32);
    let image = noise(8, BLOCKS * BLOCK);
    let source = install.image("image", &image);
    install.bandwidth(4_000_000, 0);
    install.set_in("DataBackend", "retry_time", "3");
    let child = install.start(&["backup", &source, "a"]);
    wait_until("rows are committed", SOON, || {
        install.newest("a").is_some_and(|(uid, _)| install.rows(&uid) > 40)
    });
    server.kill();
    let started = Instant::now();
    let run = ended(child);
    let took = started.elapsed();
    assert_eq!(run.code, 6, "{run:?}");
    assert!((Duration::from_millis(2500)..Duration::from_secs(6)).contains(&took), "{took:?}");
    assert!(run.stderr.contains("given up after") && run.stderr.contains("endpoint_url"), "{run:?}");
    assert_eq!(run.stderr.matches("ERROR: data store").count(), 1, "one line: {run:?}");
    let (uid, valid) = install.newest("a").expect("it stays");
    assert!(!valid);

    server.restart().expect("it is back");
    install.bandwidth(0, 0);
    let before = install.rows(&uid);
    assert_eq!(install.backup(&["-c", &uid, &source, "a"]), uid);
    assert!(before > 40 && install.rows(&uid) == BLOCKS as i64);
    assert!(install.restored(&uid, "out") == image);
    install.ok(&["cleanup", "--full"]);
    assert_no_strays(&install, &server);
}

#[test]
fn a_server_that_does_not_answer_any_more_ends_it_in_time_too() {
    let Some(server) = rclone("a_server_that_does_not_answer_any_more_ends_it_in_time_too") else { return };
    let install = installed(&server, BLOCK as u32);
    let source = install.image("image", &noise(9, 20 * BLOCK));
    install.set_in("DataBackend", "timeout", "1");
    install.set_in("DataBackend", "retry_time", "2");
    let _proxy = through(&install, &server, |_, line| {
        if line.starts_with("PUT") { Fault::Silence(60_000) } else { Fault::None }
    });
    let started = Instant::now();
    let error = install.fails(6, &["backup", &source, "a"]);
    assert!(error.contains("no answer in time"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[test]
fn a_signal_ends_the_wait_for_a_server() {
    let Some(mut server) = rclone("a_signal_ends_the_wait_for_a_server") else { return };
    let (install, source, _, child) = begun(&server);
    server.kill();
    std::thread::sleep(Duration::from_secs(2));
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::TERM).expect("sent");
    let started = Instant::now();
    let run = ended(child);
    assert_eq!(run.code, 143, "{run:?}");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    server.restart().expect("it is back");
    install.bandwidth(0, 0);
    let (uid, _) = install.newest("a").expect("it stays");
    install.ok(&["backup", "-c", &uid, &source, "a"]);
}
