//! Settings with which every blob would look damaged are refused before anything is marked or written.

use super::{BLOCK, Store, changed, image};

const WRONG: &str = "0000000000000000000000000000000000000000000000000000000000000000";

#[test]
fn a_wrong_key_is_no_damage() {
    let store = Store::new(1);
    let source = store.install.image("new.img", &changed(2));
    store.install.set("encryption_key", WRONG);
    let (install, target) = (&store.install, store.install.url("out"));
    install.refuses(6, &["restore", &store.a, &target], &["encryption_key"]);
    install.refuses(6, &["restore", "-s", &store.other, &target], &["encryption_key"]);
    for args in [
        &["scrub", &store.a][..],
        &["scrub", "-p", "50", &store.a],
        &["scrub", "-s", &source, &store.a],
        &["backup", &source, "new"],
        &["backup", "-f", &store.a, &source, "new"],
    ] {
        install.refuses(100, args, &["encryption_key", "Nothing was changed"]);
    }
    assert_eq!(store.valid(), [true; 3]);
}

#[test]
fn a_wrong_hash_function_is_no_damage() {
    for encryption in [0, 1] {
        let store = Store::new(encryption);
        let source = store.install.image("new.img", &changed(2));
        // Functions with digests of another length, and of the same length.
        for function in ["sha256", "md5", "blake2b", "sha3_512"] {
            store.install.set("hash_function", function);
            let target = store.install.url("out");
            for args in
                [&["restore", &store.a, &target][..], &["scrub", &store.a], &["backup", &source, "new"]]
            {
                store.install.refuses(1, args, &["hash_function", function]);
            }
        }
        store.install.set("hash_function", "sha512");
        store.install.ok(&["scrub", &store.a]);
    }
}

#[test]
fn a_wrong_block_size_is_no_damage() {
    for encryption in [0, 1] {
        let store = Store::new(encryption);
        let source = store.install.image("new.img", &changed(2));
        for size in ["8192", "2048", "4194304"] {
            store.install.set("block_size", size);
            let target = store.install.url("out");
            for args in [
                &["restore", &store.a, &target][..],
                &["restore", "-f", &store.a, &source],
                &["scrub", &store.a],
                &["backup", &source, "new"],
            ] {
                store.install.refuses(1, args, &["block_size", size, &BLOCK.to_string()]);
            }
            assert!(std::fs::read(store.install.path("new.img")).expect("read") == changed(2));
        }
    }
}

#[test]
fn plain_blobs_need_no_key() {
    let store = Store::new(0);
    let config = std::fs::read_to_string(store.install.path("backy.cfg")).expect("read");
    let without: String =
        config.split_inclusive('\n').filter(|line| !line.starts_with("encryption_")).collect();
    std::fs::write(store.install.path("backy.cfg"), &without).expect("write");
    // The default is version 1, which needs a key only for writing.
    assert!(store.install.restored(&store.a, "out") == image());
    store.install.ok(&["scrub", &store.a]);
    let source = store.install.image("new.img", &changed(2));
    store.install.refuses(1, &["backup", &source, "new"], &["encryption_key is missing"]);
    store.install.set("encryption_version", "0");
    store.install.backup(&[&source, "new"]);
}

#[test]
fn plain_versions_beside_encrypted_ones_need_no_key() {
    let store = Store::new(0);
    store.install.set("encryption_version", "1");
    let encrypted = store.install.backup(&[&store.install.image("new.img", &changed(2)), "encrypted"]);
    let config = std::fs::read_to_string(store.install.path("backy.cfg")).expect("read");
    for key in [format!("encryption_key: {WRONG}"), String::new()] {
        let line =
            |line: &str| if line.starts_with("encryption_key") { key.clone() } else { line.to_owned() };
        let lines: Vec<String> = config.lines().map(line).collect();
        std::fs::write(store.install.path("backy.cfg"), lines.join("\n")).expect("write");
        assert!(store.install.restored(&store.a, "out") == image());
        store.install.ok(&["scrub", &store.a]);
        let code = if key.is_empty() { 1 } else { 6 };
        let target = store.install.url("never");
        store.install.refuses(code, &["restore", &encrypted, &target], &["encryption_key"]);
    }
}

#[test]
fn plain_blobs_do_not_care_for_the_key() {
    let store = Store::new(0);
    store.install.set("encryption_key", WRONG);
    assert!(store.install.restored(&store.a, "out") == image());
    store.install.ok(&["scrub", &store.a]);
    store.install.backup(&[&store.install.image("new.img", &changed(2)), "new"]);
}
