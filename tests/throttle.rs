//! The limits of bandwidth hold for all threads together, and 0 means no limit.

mod common;

use common::install::{Install, noise};
use std::time::{Duration, Instant};

const BLOCK: usize = 64 << 10;
const BLOCKS: usize = 64;
/// Bytes per second: four mebibytes take two seconds.
const LIMIT: u64 = 2 << 20;

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// `took` is the time for `BLOCKS` blocks at `LIMIT`, within a quarter.
fn assert_kept(what: &str, took: Duration) {
    let expected = (BLOCKS * BLOCK) as f64 / LIMIT as f64;
    let ratio = took.as_secs_f64() / expected;
    assert!((0.75..=1.25).contains(&ratio), "{what}: {took:?} instead of {expected} s");
}

fn with_version(encryption: &str) -> (Install, String) {
    let install = Install::new(BLOCK as u32);
    install.set("encryption_version", encryption);
    install.set("deduplication", "0");
    std::fs::write(install.path("image"), noise(1, BLOCKS * BLOCK)).expect("written");
    let uid = install.backup(&[&install.url("image"), "vm"]);
    (install, uid)
}

#[test]
fn a_backup_writes_no_faster_than_it_may() {
    for encryption in ["0", "1"] {
        let (install, _) = with_version(encryption);
        install.bandwidth(LIMIT, 0);
        let took = timed(|| drop(install.backup(&[&install.url("image"), "vm"])));
        assert_kept("backup", took);
    }
}

#[test]
fn restore_and_scrub_read_no_faster_than_they_may() {
    let (install, uid) = with_version("1");
    install.bandwidth(0, LIMIT);
    assert_kept("restore", timed(|| drop(install.restored(&uid, "out.img"))));
    assert_kept("scrub", timed(|| drop(install.ok(&["scrub", &uid]))));
}

#[test]
fn each_limit_is_for_its_direction_and_0_is_none() {
    let (install, uid) = with_version("1");
    // With either limit on the other direction, the command would take minutes.
    install.bandwidth(0, 10_000);
    assert!(timed(|| drop(install.backup(&[&install.url("image"), "vm"]))) < Duration::from_secs(1));
    install.bandwidth(10_000, 0);
    assert!(timed(|| drop(install.restored(&uid, "out.img"))) < Duration::from_secs(1));
    assert!(timed(|| drop(install.ok(&["scrub", &uid]))) < Duration::from_secs(1));
    install.bandwidth(0, 0);
    assert!(timed(|| drop(install.backup(&[&install.url("image"), "vm"]))) < Duration::from_secs(1));
}

#[test]
fn known_and_sparse_blocks_cost_no_bandwidth() {
    let (install, _) = with_version("1");
    install.set("deduplication", "1");
    install.bandwidth(10_000, 0);
    let mut image = noise(1, BLOCKS * BLOCK);
    image[..20 * BLOCK].fill(0);
    std::fs::write(install.path("image"), image).expect("written");
    assert!(timed(|| drop(install.backup(&[&install.url("image"), "vm"]))) < Duration::from_secs(1));
}
