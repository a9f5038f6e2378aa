//! A data store on a file system that fails as remote ones do: it is full, cannot be reached, or has errors.

use super::{BLOCK, Store, image};
use crate::common::faulty_fs::{FaultyFs, Full};
use crate::common::install::{Install, noise};
use crate::common::skip;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// An installation whose data folder is on such a file system; `None` if there is no FUSE.
fn remote(test: &str, sync: &str) -> Option<(FaultyFs, Install)> {
    let install = Install::new(BLOCK as u32);
    install.set("sync", sync);
    match FaultyFs::mount(&install.path("data")) {
        Ok(fs) => Some((fs, install)),
        Err(reason) => {
            skip(test, &reason);
            None
        }
    }
}

#[test]
fn a_full_disk_behind_fuse_makes_no_valid_version_and_the_backup_can_be_continued() {
    let name = "a_full_disk_behind_fuse_makes_no_valid_version_and_the_backup_can_be_continued";
    for (how, sync) in
        [(Full::Close(EIO), "filesystem"), (Full::Close(EIO), "none"), (Full::Write(ENOSPC), "filesystem")]
    {
        let Some((fs, install)) = remote(name, sync) else { return };
        let data = noise(3, 40 * BLOCK);
        let source = install.image("a.img", &data);
        fs.faults().full = Some((20 * BLOCK, how));
        let error = install.fails(6, &["backup", &source, "a"]);
        assert_eq!(error.contains("The data store is full"), how == Full::Write(ENOSPC), "{error}");
        let version = install.uids(&["a"]).remove(0);
        assert!(!install.is_valid(&version));
        fs.faults().full = None;
        install.backup(&["-c", &version, &source, "a"]);
        assert!(install.is_valid(&version));
        assert!(install.restored(&version, "out") == data);
        assert!(install.blobs().iter().all(|blob| blob.metadata().expect("there").len() > 0));
    }
}

#[test]
fn failures_of_this_machine_or_the_connection_are_no_damage() {
    let name = "failures_of_this_machine_or_the_connection_are_no_damage";
    let Some((fs, install)) = remote(name, "none") else { return };
    let version = install.backup(&[&install.image("a.img", &image()), "a"]);
    // ENOMEM, EACCES, EMFILE, ENOTCONN, ESTALE.
    for errno in [12, 13, 24, 107, 116] {
        fs.faults().read = Some((usize::MAX, errno));
        install.fails(100, &["scrub", &version]);
        install.fails(6, &["restore", "-f", &version, &install.url("out")]);
        assert!(install.is_valid(&version), "{errno}");
        assert_eq!(install.invalid_blocks(&version), [0u64; 0]);
    }
    fs.faults().read = None;
    install.ok(&["scrub", &version]);
}

#[test]
fn a_block_that_cannot_be_read_once_is_read_again_with_a_message() {
    let name = "a_block_that_cannot_be_read_once_is_read_again_with_a_message";
    let Some((fs, install)) = remote(name, "none") else { return };
    let version = install.backup(&[&install.image("a.img", &image()), "a"]);
    install.set_in("DataBackend", "simultaneous_reads", "1");
    // The first reads are those of the store's identity and of the copy of the version. Reading goes on without them.
    fs.faults().read = Some((3, EIO));
    let run = install.run(&["scrub", &version]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("backy2.store cannot be read: Input/output error"), "{run:?}");
    assert!(run.stdout.contains("One blob was bad when it was read"), "{run:?}");
    assert!(install.is_valid(&version));
    fs.faults().read = Some((usize::MAX, EIO));
    install.fails(20, &["scrub", &version]);
    assert!(!install.is_valid(&version));
}

#[test]
fn a_restore_to_a_remote_disk_that_is_full_says_so() {
    let name = "a_restore_to_a_remote_disk_that_is_full_says_so";
    let Some((fs, install)) = remote(name, "none") else { return };
    let version = install.backup(&[&install.image("a.img", &image()), "a"]);
    let there = format!("file://{}/out", install.text("data"));
    let room = fs.faults().stored + 2 * BLOCK;
    fs.faults().full = Some((room, Full::Close(ENOSPC)));
    let error = install.fails(100, &["restore", &version, &there]);
    assert!(error.contains("cannot flush it to disk"), "{error}");
}

#[test]
fn a_subfolder_that_leads_elsewhere_is_an_error_and_no_damage() {
    let store = Store::new(1);
    let uid = store.uid();
    let inside = store.install.path("data").join(&uid[..2]);
    std::fs::rename(&inside, store.install.path("elsewhere")).expect("moved");
    std::os::unix::fs::symlink(store.install.path("elsewhere"), &inside).expect("linked");
    for (code, args) in [
        (100, &["scrub", &store.a][..]),
        (6, &["restore", "-f", &store.a, &store.install.url("out")]),
        (100, &["cleanup", "-f"]),
    ] {
        let error = store.install.fails(code, args);
        assert!(error.contains("symbolic link") && error.contains("mount --bind"), "{args:?}: {error}");
    }
    assert_eq!(store.valid(), [true; 3]);
    std::fs::remove_file(&inside).expect("removed");
    std::fs::rename(store.install.path("elsewhere"), &inside).expect("moved back");
    store.install.ok(&["scrub", &store.a]);
}
