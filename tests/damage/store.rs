//! The whole store is missing, empty, or somewhere else.

use super::{BLOCK, Store, changed, image};
use crate::common::install::noise;

/// Moves the store's folder away.
fn gone(store: &Store) {
    std::fs::rename(store.install.path("data"), store.install.path("elsewhere")).expect("renamed");
}

/// Replaces the store by one that has the same identity and no blobs.
fn emptied(store: &Store) {
    gone(store);
    std::fs::create_dir(store.install.path("data")).expect("mkdir");
    let identity = |folder: &str| store.install.path(folder).join("backy2.store");
    std::fs::copy(identity("elsewhere"), identity("data")).expect("copied");
}

fn back(store: &Store) {
    std::fs::rename(store.install.path("elsewhere"), store.install.path("data")).expect("renamed");
}

/// Like [`Install::refuses`](crate::common::install::Install::refuses), for a store that cannot be listed.
fn nothing_is_marked(store: &Store, code: i32, args: &[&str]) {
    let error = store.install.fails(code, args);
    assert!(error.contains(&store.install.text("data")), "{error}");
    assert_eq!(store.valid(), [true; 3]);
    assert_eq!(store.install.count("SELECT count(*) FROM blobs WHERE valid = 0"), 0);
    assert!(!store.install.path("out").exists());
}

#[test]
fn a_store_that_is_gone_is_no_damage() {
    for encryption in [0, 1] {
        let store = Store::new(encryption);
        gone(&store);
        nothing_is_marked(&store, 6, &["restore", &store.a, &store.install.url("out")]);
        nothing_is_marked(&store, 100, &["scrub", &store.a]);
        nothing_is_marked(&store, 100, &["cleanup", "-f"]);
        back(&store);
        store.install.ok(&["scrub", &store.a]);
    }
}

#[test]
fn a_store_that_is_a_file_is_no_damage() {
    let store = Store::new(1);
    gone(&store);
    std::fs::write(store.install.path("data"), "what?").expect("write");
    nothing_is_marked(&store, 6, &["restore", &store.a, &store.install.url("out")]);
    nothing_is_marked(&store, 100, &["scrub", &store.a]);
}

#[test]
fn a_backup_without_a_store_leaves_no_version() {
    for encryption in [0, 1] {
        let store = Store::new(encryption);
        let data = noise(77, 20 * BLOCK);
        let source = store.install.image("new.img", &data);
        let unfinished = store.install.backup(&[&source, "begun"]);
        store.install.change(&format!("UPDATE versions SET valid = 0 WHERE uid = '{unfinished}'"));
        gone(&store);
        let before = store.install.dump();
        let resume = ["backup", "-c", &unfinished, &source, "begun"];
        for args in [&["backup", &source, "new"][..], &resume, &["backup", "--incremental", &source, "new"]] {
            let error = store.install.fails(6, args);
            assert!(error.contains(&store.install.text("data")), "{error}");
            assert!(store.install.dump() == before, "{args:?}");
        }
        back(&store);
        store.install.backup(&["-c", &unfinished, &source, "begun"]);
        assert!(store.install.restored(&unfinished, "out") == data);
    }
}

#[test]
fn a_store_that_cannot_be_written_to_is_found_out_before_there_is_a_version() {
    let store = Store::new(1);
    let data = store.install.path("data");
    // Not even root can create files in it.
    let immutable = |flag: &str| std::process::Command::new("chattr").arg(flag).arg(&data).status();
    if !immutable("+i").is_ok_and(|status| status.success()) {
        return crate::common::skip(
            "a_store_that_cannot_be_written_to_is_found_out_before_there_is_a_version",
            "chattr +i does not work here",
        );
    }
    let run = store.install.run(&["backup", &store.install.url("a.img"), "a"]);
    immutable("-i").expect("runs");
    assert!(run.code == 6 && run.stderr.contains("cannot be written to"), "{run:?}");
    assert_eq!(store.valid(), [true; 3], "no version more");
    store.install.backup(&[&store.install.url("a.img"), "a"]);
    let left = std::fs::read_dir(&data)
        .expect("listed")
        .filter(|e| e.as_ref().expect("entry").file_name().to_string_lossy().contains("probe"));
    assert_eq!(left.count(), 0, "what it was tried with");
}

#[test]
fn a_backup_of_known_data_needs_the_store_too() {
    let store = Store::new(1);
    gone(&store);
    store.install.fails(6, &["backup", &store.install.url("a.img"), "a"]);
    assert_eq!(store.valid(), [true; 3]);
}

#[test]
fn of_an_empty_store_everything_is_missing() {
    for encryption in [0, 1] {
        let store = Store::new(encryption);
        emptied(&store);
        let (data, said) = store.damaged_restore();
        assert!(data == vec![0; image().len()]);
        assert!(
            said.contains("offset 0 length 12288") && said.contains("offset 16384 length 5096"),
            "{said}"
        );
        store.install.fails(20, &["scrub", &store.other]);
        assert_eq!(store.valid(), [false; 3]);
        let new = store.install.backup(&[&store.install.url("a.img"), "a"]);
        assert!(store.install.restored(&new, "new") == image());
        assert_eq!(store.install.blobs().len(), 5, "all of it was stored anew");
    }
}

#[test]
fn an_empty_store_can_be_mended_by_bringing_the_blobs_back() {
    let store = Store::new(1);
    emptied(&store);
    for version in [&store.a, &store.sharing, &store.other] {
        store.install.fails(20, &["scrub", version]);
    }
    std::fs::remove_dir_all(store.install.path("data")).expect("removed");
    back(&store);
    for version in [&store.a, &store.sharing, &store.other] {
        store.install.ok(&["scrub", version]);
    }
    assert_eq!(store.valid(), [true; 3]);
    assert_eq!(store.install.count("SELECT count(*) FROM blobs WHERE valid = 0"), 0);
    assert!(store.install.restored(&store.sharing, "new") == changed(4));
}
