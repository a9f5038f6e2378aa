//! Several hosts with one database and one store: only the database keeps them apart.

use crate::common::checks::{ended, wait_until};
use crate::common::install::{Install, noise};
use std::process::Child;
use std::time::{Duration, Instant};

const BLOCK: usize = 64 << 10;
const BLOCKS: usize = 100;
const SOON: Duration = Duration::from_secs(5);
/// Bytes per second at which the image takes five seconds.
const SLOW: u64 = (BLOCKS * BLOCK / 5) as u64;

/// An installation that two hosts share.
struct Hosts {
    install: Install,
    configs: [String; 2],
}

impl Hosts {
    /// An installation with a file `a` of noise, and a version of it that the first host has made.
    fn new() -> (Hosts, String, Vec<u8>) {
        let install = Install::new(BLOCK as u32);
        let configs = ["one", "two"].map(|name| install.another_host(name));
        let image = noise(1, BLOCKS * BLOCK);
        install.image("a", &image);
        let hosts = Hosts { install, configs };
        let uid = hosts.backup(0, &[&hosts.install.url("a"), "a"]);
        (hosts, uid, image)
    }

    /// The arguments for the host with that number.
    fn on<'a>(&'a self, host: usize, args: &[&'a str]) -> Vec<&'a str> {
        [&["-c", self.configs[host].as_str()], args].concat()
    }

    fn ok(&self, host: usize, args: &[&str]) -> String {
        self.install.ok(&self.on(host, args))
    }

    fn backup(&self, host: usize, args: &[&str]) -> String {
        let out = self.ok(host, &[&["-m", "backup"], args].concat());
        out.lines().last().expect("a uid").to_owned()
    }

    /// Starts a backup of new noise on the first host, slow enough for the rest of the test.
    fn slow_backup(&self, name: &str, args: &[&str]) -> (Child, String, Vec<u8>) {
        let image = noise(name.bytes().map(u64::from).sum(), BLOCKS * BLOCK);
        let source = self.install.image(name, &image);
        let text = std::fs::read_to_string(&self.configs[0]).expect("read");
        let slow = text.replace("[DataBackend]\n", &format!("[DataBackend]\nbandwidth_write: {SLOW}\n"));
        std::fs::write(&self.configs[0], slow).expect("written");
        let blobs = self.install.blobs().len();
        let child = self.install.start(&self.on(0, &[&["backup"], args, &[&source, name]].concat()));
        wait_until("it stores blobs", SOON, || self.install.blobs().len() > blobs);
        std::fs::write(&self.configs[0], text).expect("written");
        let uid = self.install.newest(name).expect("there").0;
        (child, uid, image)
    }

    /// The second host refuses the command soon, for a reason that contains `word`.
    fn refused(&self, args: &[&str], word: &str) {
        let start = Instant::now();
        let error = self.install.fails(100, &self.on(1, args));
        assert!(error.contains(word), "{args:?} must say {word:?}: {error}");
        assert!(start.elapsed() < SOON, "{args:?} waited {:?}", start.elapsed());
    }
}

fn runs(child: &mut Child) -> bool {
    child.try_wait().expect("asked").is_none()
}

#[test]
fn a_version_that_one_host_writes_is_locked_on_another() {
    let (hosts, _, _) = Hosts::new();
    let (mut child, uid, image) = hosts.slow_backup("slow", &[]);
    let (source, target) = (hosts.install.url("slow"), hosts.install.url("out.img"));
    for args in [
        &["rm", &uid][..],
        &["restore", &uid, &target],
        &["scrub", &uid],
        &["backup", "-c", &uid, &source, "slow"],
        &["backup", "-f", &uid, &source, "slow"],
    ] {
        hosts.refused(args, &format!("Version {uid} is locked"));
    }
    hosts.refused(&["cleanup", "--full"], "");
    assert!(runs(&mut child));
    assert_eq!(ended(child).code, 0);
    assert!(hosts.install.restored(&uid, "out.img") == image);
    hosts.ok(1, &["cleanup", "--full"]);
    hosts.ok(1, &["rm", &uid]);
    hosts.ok(0, &["cleanup", "--dangerous-force"]);
    hosts.install.assert_no_waste();
}

#[test]
fn the_base_on_one_host_is_not_removed_by_another() {
    let (hosts, base, _) = Hosts::new();
    let hints = format!(r#"[{{"offset": 0, "length": {}, "exists": true}}]"#, BLOCKS * BLOCK);
    std::fs::write(hosts.install.path("hints"), hints).expect("written");
    let (mut child, uid, image) = hosts.slow_backup("slow", &["-r", "hints", "-f", &base]);
    hosts.refused(&["rm", &base], &format!("Version {base} is locked"));
    hosts.ok(1, &["scrub", &base]);
    hosts.ok(1, &["cleanup", "--dangerous-force"]);
    assert!(runs(&mut child));
    assert_eq!(ended(child).code, 0);
    hosts.ok(1, &["rm", &base]);
    hosts.ok(1, &["cleanup", "--dangerous-force"]);
    assert!(hosts.install.restored(&uid, "out.img") == image);
    hosts.install.assert_sound();
}

#[test]
fn locks_of_a_killed_process_are_free_at_once() {
    let (hosts, _, _) = Hosts::new();
    let (mut child, uid, image) = hosts.slow_backup("slow", &[]);
    child.kill().and_then(|()| child.wait()).expect("killed");
    let start = Instant::now();
    assert_eq!(hosts.backup(1, &["-c", &uid, &hosts.install.url("slow"), "slow"]), uid);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert!(hosts.install.restored(&uid, "out.img") == image);
    let (mut child, uid, _) = hosts.slow_backup("again", &[]);
    child.kill().and_then(|()| child.wait()).expect("killed");
    hosts.ok(1, &["cleanup", "--full"]);
    hosts.install.assert_no_waste();
    hosts.ok(1, &["rm", &uid]);
    hosts.ok(1, &["cleanup", "--dangerous-force"]);
    hosts.install.assert_no_waste();
    hosts.install.assert_sound();
}

#[test]
fn two_hosts_back_up_the_same_data_at_the_same_time() {
    let (hosts, _, _) = Hosts::new();
    let image = noise(5, BLOCKS * BLOCK);
    let source = hosts.install.image("same", &image);
    let children: Vec<Child> =
        (0..8).map(|n| hosts.install.start(&hosts.on(n % 2, &["-m", "backup", &source, "same"]))).collect();
    for child in children {
        let run = ended(child);
        assert_eq!(run.code, 0, "{run:?}");
        let uid = run.stdout.lines().last().expect("a uid").to_owned();
        assert!(hosts.install.restored(&uid, "out.img") == image);
    }
    hosts.install.assert_sound();
    hosts.install.assert_no_waste();
}

#[test]
fn one_cleanup_at_a_time_on_all_hosts() {
    let (hosts, uid, _) = Hosts::new();
    hosts.ok(0, &["rm", &uid]);
    let writer = hosts.install.writer();
    let mut first = hosts.install.start(&hosts.on(0, &["cleanup", "--dangerous-force"]));
    // It waits for the database.
    std::thread::sleep(Duration::from_millis(1500));
    assert!(runs(&mut first));
    for args in [&["cleanup"][..], &["cleanup", "--dangerous-force"]] {
        hosts.refused(args, "Another backy cleanup is running");
    }
    writer.commit();
    assert_eq!(ended(first).code, 0);
    assert_eq!(hosts.install.blobs().len(), 0);
    hosts.ok(1, &["cleanup"]);
}

#[test]
fn copies_of_metadata_are_right_whatever_host_writes_them() {
    let (hosts, first, _) = Hosts::new();
    let (child, slow, _) = hosts.slow_backup("slow", &[]);
    let image = noise(77, 10 * BLOCK);
    let source = hosts.install.image("b", &image);
    let second = hosts.backup(1, &[&source, "b"]);
    hosts.ok(1, &["protect", &second]);
    hosts.ok(1, &["add-tag", &slow, "late"]);
    assert_eq!(ended(child).code, 0);
    hosts.install.assert_copies();

    // Both hosts change and make versions at the same time.
    let images: Vec<String> =
        (0..4).map(|n| hosts.install.image(&format!("i{n}"), &noise(n, 5 * BLOCK))).collect();
    let children: Vec<Child> = (0..16)
        .map(|n| {
            let (host, name) = (n % 2, format!("v{n}"));
            let args = match n {
                0..8 => vec!["backup", &images[n % 4], &name],
                8..12 => vec!["add-tag", &first, &name],
                12 => vec!["rm", &second, "-f"],
                13 => vec!["unprotect", &second],
                _ => vec!["cleanup", "--dangerous-force"],
            };
            hosts.install.start(&hosts.on(host, &args))
        })
        .collect();
    for child in children {
        ended(child);
    }
    hosts.ok(0, &["cleanup", "--dangerous-force"]);
    hosts.install.assert_copies();
}

#[test]
fn the_copies_of_a_host_that_was_killed_are_completed_by_another() {
    let (hosts, first, _) = Hosts::new();
    let source = hosts.install.image("b", &noise(77, 10 * BLOCK));
    for failpoint in ["copies-list-written", "copies-version-written", "copies-version-renewed"] {
        let args = match failpoint {
            "copies-version-renewed" => vec!["add-tag", &first, "x"],
            _ => vec!["backup", &source, "b"],
        };
        assert!(hosts.install.killed_at(failpoint, &hosts.on(0, &args)), "{failpoint}");
        // The lock of the dead process is not waited for.
        let start = Instant::now();
        hosts.backup(1, &[&source, "c"]);
        assert!(start.elapsed() < 12 * SOON, "it waited {:?}", start.elapsed());
        hosts.ok(1, &["cleanup"]);
        hosts.install.assert_copies();
    }
}
