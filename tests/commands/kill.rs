//! `kill -9` at random moments: valid versions stay valid, and interrupted work can be completed. The seed is printed;
//! `BACKY2_SEED` repeats a run as far as the machine's speed allows.

use crate::common::checks::seed;
use crate::common::install::{Install, noise};
use backy2::types::uid::BlobUid;
use std::time::{Duration, Instant};

const BLOCK: usize = 64 << 10;
const BLOCKS: usize = 200;
/// The most blobs without a row: 24 buffers, one batch of 32 that is being flushed, and one of 32 that fills up
/// meanwhile (with `sync: none` no flush takes long).
const IN_FLIGHT: usize = 24 + 2 * 32;
/// How often a backup is killed.
const MOMENTS: u64 = 20;

/// Changes some blocks of `image` to new noise, some to zeros, some to a copy of another block.
fn change(image: &mut [u8], random: &mut fastrand::Rng, how_many: usize) {
    for _ in 0..how_many {
        let at = random.usize(0..BLOCKS) * BLOCK;
        match random.u8(0..10) {
            0 => image[at..at + BLOCK].fill(0),
            1 => image.copy_within(0..BLOCK, at),
            _ => random.fill(&mut image[at..at + BLOCK]),
        }
    }
}

fn random_pause(random: &mut fastrand::Rng, at_most: Duration) -> Duration {
    at_most.mul_f64(random.f64())
}

#[test]
fn backups_killed_at_twenty_random_moments_are_continued() {
    let mut random = fastrand::Rng::with_seed(seed("backups_killed_at_twenty_random_moments"));
    let install = Install::new(BLOCK as u32);
    let mut image = noise(random.u64(..), BLOCKS * BLOCK);
    let source = install.url("image");
    std::fs::write(install.path("image"), &image).expect("written");
    let mut before = install.backup(&[&source, "first"]);
    let (mut incomplete, mut in_vain) = (0, 0);
    for moment in 0..MOMENTS {
        change(&mut image, &mut random, 160);
        std::fs::write(install.path("image"), &image).expect("written");
        let name = format!("vm{moment}");
        // A whole backup takes about 400 ms at this speed.
        install.bandwidth(25_000_000, 0);
        let pause = random_pause(&mut random, Duration::from_millis(450));
        let killed = install.killed_after(pause, &["-m", "backup", &source, &name]);
        install.bandwidth(0, 0);

        install.assert_sound();
        install.ok(&["scrub", &before]);
        let unnamed = install.unnamed_blobs();
        assert!(unnamed <= in_vain + IN_FLIGHT, "{pause:?}: {unnamed} blobs, {in_vain} of them before");
        let uid = match install.newest(&name) {
            // Killed before there was a version, so nothing may have been stored.
            None => {
                assert_eq!(unnamed, in_vain, "{pause:?}");
                install.backup(&[&source, &name])
            }
            Some((uid, false)) => {
                incomplete += 1;
                install.backup(&["-c", &uid, &source, &name])
            }
            Some((uid, true)) => {
                assert!(killed.stdout.contains(&uid));
                uid
            }
        };
        assert_eq!(install.unnamed_blobs(), unnamed, "{pause:?}: committed blobs were stored again");
        assert!(install.restored(&uid, "out.img") == image, "{pause:?}");
        in_vain = unnamed;
        before = uid;
    }
    println!("{incomplete} of {MOMENTS} backups were killed with their version begun");
    assert!(incomplete >= MOMENTS / 5, "the moments were badly chosen: {incomplete}");
    install.ok(&["cleanup", "--full"]);
    install.assert_no_waste();
    install.assert_sound();
    install.assert_copies();
    for uid in install.uids(&[]) {
        install.ok(&["scrub", &uid]);
    }
}

#[test]
fn rm_and_cleanups_killed_at_random_moments_delete_nothing_in_use() {
    let mut random = fastrand::Rng::with_seed(seed("rm_and_cleanups_killed_at_random_moments"));
    let install = Install::new(1024);
    let shared = noise(random.u64(..), 400 << 10);
    std::fs::write(install.path("shared"), &shared).expect("written");
    let kept = install.backup(&[&install.url("shared"), "kept"]);
    for _ in 0..4 {
        let mut image = noise(random.u64(..), 800 << 10);
        image[..shared.len()].copy_from_slice(&shared);
        std::fs::write(install.path("image"), &image).expect("written");
        let uid = install.backup(&[&install.url("image"), "gone"]);
        for _ in 0..3 {
            install.killed_after(random_pause(&mut random, Duration::from_millis(30)), &["rm", &uid]);
            install.assert_sound();
            if install.newest("gone").is_some() {
                install.ok(&["scrub", &uid]);
            }
        }
        if install.newest("gone").is_some() {
            install.ok(&["rm", &uid]);
        }
        // A blob that only the full cleanup finds.
        let orphan = BlobUid::generate();
        let folder = install.path("data").join(&orphan.as_str()[..2]).join(&orphan.as_str()[2..4]);
        std::fs::create_dir_all(&folder).expect("made");
        std::fs::write(folder.join(format!("{orphan}.blob")), "x").expect("written");
        for options in [&["cleanup", "--dangerous-force"], &["cleanup", "--full"]] {
            for _ in 0..3 {
                install.killed_after(random_pause(&mut random, Duration::from_millis(40)), options);
                install.assert_sound();
            }
            install.ok(&["scrub", &kept]);
        }
        install.ok(&["cleanup", "--dangerous-force"]);
        install.ok(&["cleanup", "--full"]);
        install.assert_no_waste();
        install.assert_copies();
        assert_eq!(install.count("SELECT count(*) FROM blobs WHERE id > 0"), 400);
        assert_eq!(install.count("SELECT count(*) FROM deleted_blocks"), 0);
        assert!(install.restored(&kept, "out.img") == shared);
    }
}

#[test]
fn scrubs_killed_at_random_moments_leave_the_version_as_it_was() {
    let mut random = fastrand::Rng::with_seed(seed("scrubs_killed_at_random_moments"));
    let install = Install::new(BLOCK as u32);
    std::fs::write(install.path("image"), noise(random.u64(..), 100 * BLOCK)).expect("written");
    let source = install.url("image");
    let uid = install.backup(&[&source, "vm"]);
    install.bandwidth(0, 30_000_000);
    for _ in 0..5 {
        let pause = random_pause(&mut random, Duration::from_millis(200));
        install.killed_after(pause, &["scrub", "-s", &source, &uid]);
        install.assert_sound();
        assert_eq!(install.newest("vm"), Some((uid.clone(), true)));
    }
    // One blob is bad. A killed scrub may have marked it or not, but must not call the version good.
    let bad = install.blobs().pop().expect("a blob");
    std::fs::write(&bad, "rubbish").expect("written");
    for _ in 0..5 {
        let pause = random_pause(&mut random, Duration::from_millis(200));
        install.killed_after(pause, &["scrub", &uid]);
        install.assert_sound();
        let marked = install.count("SELECT count(*) FROM blobs WHERE valid = 0");
        assert!(marked <= 1, "{marked} blobs are marked, one is bad");
        assert_eq!(install.newest("vm"), Some((uid.clone(), marked == 0)));
    }
    install.fails(20, &["scrub", &uid]);
    assert_eq!(install.count("SELECT count(*) FROM blobs WHERE valid = 0"), 1);
}

/// The last `Last ID` in the log of a restore.
fn last_id(stdout: &str) -> Option<u64> {
    stdout.lines().rev().find_map(|line| line.split("Last ID: ").nth(1))?.trim().parse().ok()
}

#[test]
fn a_killed_restore_goes_on_from_its_last_id() {
    let mut random = fastrand::Rng::with_seed(seed("a_killed_restore_goes_on_from_its_last_id"));
    let install = Install::new(BLOCK as u32);
    let mut image = noise(random.u64(..), BLOCKS * BLOCK);
    change(&mut image, &mut random, 40);
    image[..3 * BLOCK].fill(0);
    std::fs::write(install.path("image"), &image).expect("written");
    let uid = install.backup(&[&install.url("image"), "vm"]);
    let target = install.url("out.img");
    let mut continued = 0;
    for options in [&["restore"][..], &["restore", "-s"]] {
        // Restore over old garbage, so that blocks which the killed run has not written show.
        std::fs::write(install.path("out.img"), vec![0xaa; image.len()]).expect("written");
        install.bandwidth(0, 3_000_000);
        let pause = Duration::from_millis(2000) + random_pause(&mut random, Duration::from_millis(1200));
        let start = Instant::now();
        let killed = install.killed_after(pause, &[options, &["-f", &uid, &target]].concat());
        assert_eq!(killed.code, -1, "it had not ended after {:?}: {killed:?}", start.elapsed());
        install.bandwidth(0, 0);
        install.assert_sound();
        let last = last_id(&killed.stdout).expect("a line of progress with a block");
        assert!((1..BLOCKS as u64).contains(&last), "{last}");
        let partly = std::fs::read(install.path("out.img")).expect("read");
        assert!(partly != image, "killed before its end");
        let done = (last as usize + 1) * BLOCK;
        assert!(partly[..done] == image[..done], "all blocks up to {last} are written");
        install.ok(&[options, &["-c", &last.to_string(), &uid, &target]].concat());
        assert!(std::fs::read(install.path("out.img")).expect("read") == image, "from {last}");
        continued += 1;
    }
    assert_eq!(continued, 2);
}
