//! Runs that cannot go on must end, and say why.

mod common;

use common::install::{Install, Run, noise};
use std::os::unix::fs::symlink;
use std::process::Child;
use std::time::{Duration, Instant};

const BLOCK: usize = 4096;
/// More blocks than are under way at any time.
const BLOCKS: usize = 2000;

fn backed_up() -> (Install, String) {
    let install = Install::new(BLOCK as u32);
    std::fs::write(install.path("image"), noise(3, BLOCKS * BLOCK)).expect("write");
    let uid = install.backup(&[&format!("file://{}", install.text("image")), "vm"]);
    (install, uid)
}

/// The end of `child`, which must come within a minute.
fn ends(mut child: Child) -> Run {
    let start = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().expect("killed");
            panic!("it hangs");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Run::from(child.wait_with_output().expect("its output"))
}

#[test]
fn a_store_that_fails_at_every_read_ends_restore_and_scrub() {
    let (install, uid) = backed_up();
    for blob in install.blobs() {
        // Opening it fails, and not because it is missing.
        std::fs::remove_file(&blob).expect("removed");
        symlink(blob.file_name().expect("a name"), &blob).expect("a link to itself");
    }
    let target = format!("file://{}", install.text("out"));
    let run = ends(install.start(&["restore", &uid, &target]));
    assert!(run.code == 6 && run.stderr.contains("data store"), "{run:?}");
    let run = ends(install.start(&["scrub", &uid]));
    assert!(run.code == 100 && run.stderr.contains("data store"), "{run:?}");
    assert_eq!(install.count("SELECT count(*) FROM blobs WHERE valid = 0"), 0, "no blob is to blame");
    assert_eq!(install.count("SELECT count(*) FROM versions WHERE valid = 0"), 0);
}
