//! Several processes on one installation work side by side, and exclude each other where they must.

use crate::common::checks::{ended, wait_until};
use crate::common::install::{Install, noise};
use std::process::Child;
use std::time::{Duration, Instant};

const BLOCK: usize = 64 << 10;
const BLOCKS: usize = 100;
const SOON: Duration = Duration::from_secs(2);
/// Bytes per second at which a backup or restore of `BLOCKS` blocks takes two seconds.
const SLOW: u64 = 3_300_000;

/// An installation with a file `a` of noise, and one version of it.
fn with_version() -> (Install, String, Vec<u8>) {
    let install = Install::new(BLOCK as u32);
    let image = noise(1, BLOCKS * BLOCK);
    std::fs::write(install.path("a"), &image).expect("written");
    let uid = install.backup(&[&install.url("a"), "a"]);
    (install, uid, image)
}

/// Starts a throttled backup of new noise in file `name`, and waits until its version exists.
fn slow_backup(install: &Install, name: &str, bytes_per_second: u64) -> (Child, String, Vec<u8>) {
    let image = noise(name.bytes().map(u64::from).sum(), BLOCKS * BLOCK);
    std::fs::write(install.path(name), &image).expect("written");
    install.bandwidth(bytes_per_second, 0);
    let child = install.start(&["backup", &install.url(name), name]);
    wait_until("its version exists", SOON, || install.newest(name).is_some());
    install.bandwidth(0, 0);
    let uid = install.newest(name).expect("there").0;
    (child, uid, image)
}

/// Starts a throttled command that reads the version, and waits until it has locked it.
fn slow_reader(install: &Install, args: &[&str]) -> Child {
    install.bandwidth(0, SLOW);
    let child = install.start(args);
    wait_until("it has a lock", SOON, || !install.held_locks().is_empty());
    // Wait until the program has started; at its start it holds other locks for a moment.
    std::thread::sleep(Duration::from_millis(200));
    install.bandwidth(0, 0);
    child
}

fn runs(child: &mut Child) -> bool {
    child.try_wait().expect("asked").is_none()
}

#[test]
fn nobody_waits_for_anothers_whole_run() {
    let (install, uid, image) = with_version();
    let (mut slow, slow_uid, slow_image) = slow_backup(&install, "slow", SLOW / 2);
    let scrub = install.start(&["scrub", &uid]);
    let restore = install.start(&["restore", &uid, &install.url("out.img")]);
    let second_image = noise(77, BLOCKS * BLOCK);
    std::fs::write(install.path("second"), &second_image).expect("written");
    let second = install.backup(&[&install.url("second"), "second"]);
    let mut lists = 0;
    while lists < 10 {
        let start = Instant::now();
        assert_eq!(install.uids(&[]).len(), 3);
        assert!(start.elapsed() < SOON, "ls took {:?}", start.elapsed());
        lists += 1;
    }
    for child in [scrub, restore] {
        let run = ended(child);
        assert_eq!(run.code, 0, "{run:?}");
    }
    assert!(runs(&mut slow), "the throttled backup is still at it: all others were faster");
    assert!(std::fs::read(install.path("out.img")).expect("read") == image);
    let run = ended(slow);
    assert_eq!(run.code, 0, "{run:?}");
    for (uid, image) in [(second, second_image), (slow_uid, slow_image)] {
        assert!(install.restored(&uid, "out2.img") == image);
    }
    install.assert_sound();
}

#[test]
fn commands_that_only_read_do_not_wait_for_a_writing_transaction() {
    let (install, uid, image) = with_version();
    let writer = install.writer();
    let start = Instant::now();
    assert_eq!(install.uids(&[]).concat(), uid);
    assert!(start.elapsed() < SOON, "ls waited {:?}", start.elapsed());
    assert!(install.restored(&uid, "out.img") == image);
    install.ok(&["scrub", "-p", "50", &uid]);
    assert!(start.elapsed() < SOON * 2, "restore or scrub waited {:?}", start.elapsed());
    writer.commit();
}

#[test]
fn a_backup_waits_for_a_writing_transaction_and_then_goes_on() {
    let (install, _, image) = with_version();
    let writer = install.writer();
    let child = install.start(&["-m", "backup", &install.url("a"), "b"]);
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(install.count("SELECT count(*) FROM versions"), 1);
    writer.commit();
    let run = ended(child);
    assert_eq!(run.code, 0, "{run:?}");
    let uid = install.newest("b").expect("there").0;
    assert!(install.restored(&uid, "out.img") == image);
}

/// The command fails soon, and says that the version is locked.
fn assert_locked(install: &Install, args: &[&str], uid: &str) {
    let start = Instant::now();
    let error = install.fails(100, args);
    assert!(error.contains(&format!("Version {uid} is locked")), "{args:?}: {error}");
    assert!(error.contains("Try again when that has ended"), "{args:?}: {error}");
    assert!(start.elapsed() < SOON, "{args:?} waited {:?}", start.elapsed());
}

#[test]
fn a_version_that_is_written_is_locked() {
    let (install, _, _) = with_version();
    let (mut slow, uid, image) = slow_backup(&install, "slow", SLOW / 3);
    assert_locked(&install, &["rm", &uid], &uid);
    assert_locked(&install, &["restore", &uid, &install.url("out.img")], &uid);
    assert_locked(&install, &["scrub", &uid], &uid);
    assert_locked(&install, &["backup", "-c", &uid, &install.url("slow"), "slow"], &uid);
    assert_locked(&install, &["backup", "-f", &uid, &install.url("slow"), "slow"], &uid);
    assert!(!install.path("out.img").exists(), "refused before any write");
    assert!(runs(&mut slow));
    assert_eq!(ended(slow).code, 0);
    assert!(install.restored(&uid, "out.img") == image);
    install.ok(&["rm", &uid]);
    install.assert_sound();
}

#[test]
fn the_base_of_a_running_backup_cannot_be_removed() {
    let (install, base, _) = with_version();
    let hints = format!(r#"[{{"offset": 0, "length": {}, "exists": true}}]"#, 50 * BLOCK);
    std::fs::write(install.path("hints"), hints).expect("written");
    let mut image = noise(9, BLOCKS * BLOCK);
    image[50 * BLOCK..].copy_from_slice(&noise(1, BLOCKS * BLOCK)[50 * BLOCK..]);
    std::fs::write(install.path("b"), &image).expect("written");
    install.bandwidth(SLOW, 0);
    let mut child = install.start(&["backup", "-r", "hints", "-f", &base, &install.url("b"), "b"]);
    wait_until("its version exists", SOON, || install.newest("b").is_some());
    install.bandwidth(0, 0);
    assert_locked(&install, &["rm", &base], &base);
    // Other commands may read the base at the same time.
    install.backup(&["-r", "hints", "-f", &base, &install.url("b"), "c"]);
    install.ok(&["scrub", &base]);
    assert!(runs(&mut child));
    assert_eq!(ended(child).code, 0);
    install.ok(&["rm", &base]);
    install.ok(&["cleanup", "--dangerous-force"]);
    let uid = install.newest("b").expect("there").0;
    assert!(install.restored(&uid, "out.img") == image);
    install.assert_sound();
}

#[test]
fn a_version_that_is_read_cannot_be_removed() {
    let (install, uid, image) = with_version();
    let target = install.url("out.img");
    for args in [&["restore", &uid, &target][..], &["scrub", &uid]] {
        let mut child = slow_reader(&install, args);
        assert_locked(&install, &["rm", &uid], &uid);
        install.ok(&["cleanup", "--dangerous-force"]);
        assert!(runs(&mut child), "{args:?}");
        let run = ended(child);
        assert_eq!(run.code, 0, "{run:?}");
    }
    assert!(std::fs::read(install.path("out.img")).expect("read") == image);
    install.ok(&["rm", &uid]);
    install.ok(&["cleanup", "--dangerous-force"]);
    assert_eq!(install.blobs().len(), 0);
}

#[test]
fn one_cleanup_at_a_time() {
    let (install, uid, _) = with_version();
    install.ok(&["rm", &uid]);
    // A cleanup that waits for the database keeps its lock.
    let writer = install.writer();
    let mut first = install.start(&["cleanup", "--dangerous-force"]);
    wait_until("the cleanup begins", SOON, || {
        install.held_locks().iter().any(|lock| lock.contains("backy-cleanup-fast"))
    });
    for args in [&["cleanup"][..], &["cleanup", "--dangerous-force"], &["cleanup", "--full"]] {
        let error = install.fails(100, args);
        assert!(error.contains("Another backy cleanup is running"), "{error}");
    }
    assert!(runs(&mut first));
    writer.commit();
    assert_eq!(ended(first).code, 0);
    assert_eq!(install.blobs().len(), 0);
    install.ok(&["cleanup"]);
    install.ok(&["cleanup", "--full"]);
}

#[test]
fn a_full_cleanup_needs_to_be_alone() {
    let (install, uid, _) = with_version();
    let (mut backup, slow_uid, image) = slow_backup(&install, "slow", SLOW);
    let error = install.fails(100, &["cleanup", "--full"]);
    assert!(error.contains(&format!("process {}", backup.id())), "{error}");
    assert!(runs(&mut backup));
    assert_eq!(ended(backup).code, 0);
    let target = install.url("out.img");
    let mut restore = slow_reader(&install, &["restore", &uid, &target]);
    let error = install.fails(100, &["cleanup", "--full"]);
    assert!(error.contains(&format!("process {}", restore.id())), "{error}");
    assert!(runs(&mut restore));
    assert_eq!(ended(restore).code, 0);
    install.ok(&["cleanup", "--full"]);
    assert!(install.restored(&slow_uid, "out2.img") == image);
    install.assert_no_waste();
}

/// A backup finds blocks as known, and before it commits them, their only other version is removed and its data
/// deleted. Returns whether the timing was right, which shows in blocks that were read twice.
fn race_with_removal(install: &Install, seed: u64) -> bool {
    const KNOWN: usize = 20;
    let old = noise(seed, KNOWN * BLOCK);
    std::fs::write(install.path("old"), &old).expect("written");
    let old_uid = install.backup(&[&install.url("old"), "old"]);
    let mut image = old.clone();
    image.extend(noise(seed + 1, 40 * BLOCK));
    std::fs::write(install.path("new"), &image).expect("written");
    // So slow that no batch of new blobs fills up in the first second. Its commit would include the known blocks.
    install.bandwidth(20 * BLOCK as u64, 0);
    let child = install.start(&["backup", &install.url("new"), "new"]);
    wait_until("its version exists", SOON, || install.newest("new").is_some());
    install.bandwidth(0, 0);
    std::thread::sleep(Duration::from_millis(100));
    install.ok(&["rm", &old_uid]);
    install.ok(&["cleanup", "--dangerous-force"]);
    let run = ended(child);
    assert_eq!(run.code, 0, "{run:?}");
    let (uid, valid) = install.newest("new").expect("there");
    assert!(valid);
    install.assert_sound();
    install.ok(&["scrub", &uid]);
    assert!(install.restored(&uid, "out.img") == image);
    let read = install.count(&format!("SELECT blocks_read FROM stats WHERE version_uid = '{uid}'"));
    let written = install.count(&format!("SELECT blocks_written FROM stats WHERE version_uid = '{uid}'"));
    install.ok(&["rm", &uid]);
    install.ok(&["cleanup", "--dangerous-force"]);
    assert_eq!(install.blobs().len(), 0);
    println!("{read} blocks were read, {written} written, of {}", KNOWN + 40);
    read > KNOWN as i64 + 40 && written == KNOWN as i64 + 40
}

#[test]
fn a_known_block_that_vanishes_before_its_commit_is_stored_anew() {
    let install = Install::new(BLOCK as u32);
    let met = (0..5).any(|n| race_with_removal(&install, 100 + 10 * n));
    assert!(met, "in five tries the removal never came between the look-up and the commit");
}
