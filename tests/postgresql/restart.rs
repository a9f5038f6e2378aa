//! The server crashes, or stays down, while a command runs.

use crate::common::checks::{ended, wait_until};
use crate::common::install::{Install, Run, noise};
use crate::common::postgres::{Database, Server, Stop};
use rustix::process::{Pid, Signal, kill_process};
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BLOCK: usize = 64 << 10;
const BLOCKS: usize = 200;
/// Bytes per second at which the image takes five seconds.
const SLOW: u64 = (BLOCKS * BLOCK / 5) as u64;
/// A command waits two minutes for a server that it has reached before; the rest is for a busy machine.
const LIMIT: Duration = Duration::from_secs(150);

/// An installation with an image, on a separate server.
fn with_image(test: &str) -> Option<(Arc<Server>, Install, Vec<u8>)> {
    let server = Server::own(test)?;
    let install = Install::on_server(BLOCK as u32, Database::new(&server));
    let image = noise(11, BLOCKS * BLOCK);
    std::fs::write(install.path("image"), &image).expect("written");
    Some((server, install, image))
}

/// Starts a backup with a limit of bandwidth, and returns when it has stored something.
fn slow_backup(install: &Install, args: &[&str]) -> Child {
    install.bandwidth(SLOW, 0);
    let before = install.blobs().len();
    let child = install.start(args);
    wait_until("blobs are stored", Duration::from_secs(20), || install.blobs().len() > before + 10);
    install.bandwidth(0, 0);
    child
}

fn runs(child: &mut Child) -> bool {
    child.try_wait().expect("asked").is_none()
}

#[test]
fn a_backup_outlives_crashes_of_the_server() {
    let Some((server, install, image)) = with_image("a_backup_outlives_crashes_of_the_server") else {
        return;
    };
    let mut child = slow_backup(&install, &["-m", "backup", &install.url("image"), "vm"]);
    let mut crashes = 0;
    while crashes < 4 && runs(&mut child) {
        server.restart(Stop::Immediate);
        crashes += 1;
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(crashes >= 3, "it ended after {crashes} crashes");
    let run = ended(child);
    assert_eq!(run.code, 0, "{run:?}");
    let (uid, valid) = install.newest("vm").expect("there");
    assert!(valid && run.stdout.contains(&uid), "{run:?}");
    install.assert_sound();
    assert_eq!(install.rows(&uid), BLOCKS as i64);
    assert!(install.restored(&uid, "out.img") == image);
    install.ok(&["scrub", &uid]);
    install.ok(&["cleanup", "--full"]);
    install.assert_no_waste();
}

#[test]
fn reading_goes_on_after_a_crash_of_the_server() {
    let Some((server, install, image)) = with_image("reading_goes_on_after_a_crash_of_the_server") else {
        return;
    };
    let uid = install.backup(&[&install.url("image"), "vm"]);
    let target = install.url("out.img");
    for args in [&["restore", "-f", &uid, &target][..], &["scrub", &uid]] {
        install.bandwidth(0, SLOW);
        let mut child = install.start(args);
        std::thread::sleep(Duration::from_millis(1500));
        install.bandwidth(0, 0);
        server.restart(Stop::Immediate);
        assert!(runs(&mut child), "{args:?}: it goes on");
        let run = ended(child);
        assert_eq!(run.code, 0, "{args:?}: {run:?}");
    }
    assert!(std::fs::read(install.path("out.img")).expect("read") == image);
    install.assert_sound();
}

/// The error of a command that has lost its server.
fn assert_told(server: &Server, code: i32, run: &Run) {
    assert_eq!(run.code, code, "{run:?}");
    let error = run.stderr.lines().rfind(|line| line.contains("ERROR: ") && !line.contains("Backy failed"));
    let error = error.unwrap_or_else(|| panic!("no error: {run:?}"));
    assert!(error.contains(&server.port().to_string()), "it says where: {error}");
    assert!(!run.stderr.contains("panicked"), "{run:?}");
}

/// Stops the server during a backup. `end` decides how the backup ends; then it is continued.
fn stopped_and_continued(test: &str, end: impl FnOnce(&Server, Child)) {
    let Some((server, install, image)) = with_image(test) else { return };
    let source = install.url("image");
    let child = slow_backup(&install, &["-m", "backup", &source, "vm"]);
    wait_until("rows are committed", Duration::from_secs(20), || {
        install.newest("vm").is_some_and(|(uid, _)| install.rows(&uid) > 0)
    });
    server.stop(Stop::Immediate);
    end(&server, child);
    server.start_again();

    let (uid, valid) = install.newest("vm").expect("the version stays");
    let rows = install.rows(&uid);
    assert!(!valid && rows > 0 && rows < BLOCKS as i64, "{valid} {rows}");
    install.assert_sound();
    assert_eq!(install.backup(&["-c", &uid, &source, "vm"]), uid);
    let read = "SELECT blocks_read FROM stats ORDER BY id DESC LIMIT 1";
    let wanted = BLOCKS as i64 - rows + rows.min(10);
    assert_eq!(install.count(read), wanted, "only what was missing, and ten to compare");
    assert!(install.restored(&uid, "out.img") == image);
    install.ok(&["cleanup", "--full"]);
    install.assert_no_waste();
}

#[test]
fn a_backup_that_waits_for_its_server_can_be_interrupted_and_continued() {
    const NAME: &str = "a_backup_that_waits_for_its_server_can_be_interrupted_and_continued";
    stopped_and_continued(NAME, |_, mut child| {
        std::thread::sleep(Duration::from_secs(4));
        assert!(runs(&mut child), "it waits");
        let start = Instant::now();
        kill_process(Pid::from_child(&child), Signal::TERM).expect("signalled");
        let run = ended(child);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert_eq!(run.code, 143, "{run:?}");
    });
}

/// Takes as long as a command waits for the server.
#[test]
fn a_backup_whose_server_stays_away_ends_and_is_continued() {
    const NAME: &str = "a_backup_whose_server_stays_away_ends_and_is_continued";
    stopped_and_continued(NAME, |server, child| {
        let start = Instant::now();
        let run = ended(child);
        println!("it gave up after {:?}", start.elapsed());
        assert!(start.elapsed() < LIMIT, "{:?}: {run:?}", start.elapsed());
        assert_told(server, 100, &run);
    });
}

#[test]
fn without_a_server_no_command_begins_and_nothing_is_written() {
    const NAME: &str = "without_a_server_no_command_begins_and_nothing_is_written";
    let Some((server, install, _)) = with_image(NAME) else { return };
    let uid = install.backup(&[&install.url("image"), "vm"]);
    let blobs = install.blobs();
    server.stop(Stop::Fast);
    let (source, target) = (install.url("image"), install.url("out.img"));
    for args in [
        &["ls"][..],
        &["backup", &source, "vm"],
        &["restore", &uid, &target],
        &["scrub", &uid],
        &["rm", &uid],
        &["cleanup", "--full"],
        &["initdb"],
    ] {
        let start = Instant::now();
        assert_told(&server, 1, &install.run(args));
        assert!(start.elapsed() < LIMIT, "{args:?}: {:?}", start.elapsed());
    }
    assert!(!install.path("out.img").exists());
    assert_eq!(install.blobs(), blobs);
    server.start_again();
    install.ok(&["scrub", &uid]);
}

#[test]
fn a_unix_socket_is_as_good_as_a_port() {
    let Some(server) = Server::get("a_unix_socket_is_as_good_as_a_port") else { return };
    let database = Database::new(&server);
    let url = database.socket_url();
    let install = Install::on_server(BLOCK as u32, database);
    let image = noise(12, 20 * BLOCK);
    let uid = install.backup(&[&install.image("image", &image), "vm"]);
    install.set("engine", &url);
    assert!(install.restored(&uid, "out.img") == image);
    install.backup(&[&install.url("image"), "vm"]);
    assert_eq!(install.uids(&[]).len(), 2);
}
