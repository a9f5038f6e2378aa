//! The whole store is gone, empty, or somewhere else.

use super::{BLOCK, Store, changed, image};
use crate::common::install::noise;

/// Moves the store's folder away.
fn gone(store: &Store) {
    std::fs::rename(store.install.path("data"), store.install.path("elsewhere")).expect("renamed");
}

fn back(store: &Store) {
    std::fs::rename(store.install.path("elsewhere"), store.install.path("data")).expect("renamed");
}

/// As [`Install::refuses`](crate::common::install::Install::refuses), for a store that cannot be listed.
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
fn a_backup_without_a_store_is_kept_and_can_be_continued() {
    for encryption in [0, 1] {
        let store = Store::new(encryption);
        gone(&store);
        let data = noise(77, 20 * BLOCK);
        let source = store.install.image("new.img", &data);
        let error = store.install.fails(6, &["backup", &source, "new"]);
        assert!(error.contains(&store.install.text("data")), "{error}");
        let version = store.install.uids(&["new"]).remove(0);
        assert!(!store.install.is_valid(&version));
        store.install.fails(6, &["backup", "-c", &version, &source, "new"]);
        back(&store);
        store.install.backup(&["-c", &version, &source, "new"]);
        assert!(store.install.is_valid(&version));
        assert!(store.install.restored(&version, "out") == data);
        let rows = format!("SELECT count(*) FROM stats WHERE version_uid = '{version}'");
        assert_eq!(store.install.count(&rows), 3, "one for each run");
    }
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
        gone(&store);
        std::fs::create_dir(store.install.path("data")).expect("mkdir");
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
    gone(&store);
    std::fs::create_dir(store.install.path("data")).expect("mkdir");
    for version in [&store.a, &store.sharing, &store.other] {
        store.install.fails(20, &["scrub", version]);
    }
    std::fs::remove_dir(store.install.path("data")).expect("removed");
    back(&store);
    for version in [&store.a, &store.sharing, &store.other] {
        store.install.ok(&["scrub", version]);
    }
    assert_eq!(store.valid(), [true; 3]);
    assert_eq!(store.install.count("SELECT count(*) FROM blobs WHERE valid = 0"), 0);
    assert!(store.install.restored(&store.sharing, "new") == changed(4));
}
