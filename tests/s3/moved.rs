//! A store that moves from a folder to a bucket, as docs/s3.md describes.

use crate::common::install::{Install, noise};
use crate::setup::{servers, use_bucket};
use std::fs;

const BLOCK: usize = 4096;

#[test]
fn a_store_moves_from_a_folder_to_a_bucket() {
    for server in servers("a_store_moves_from_a_folder_to_a_bucket") {
        let install = Install::new(BLOCK as u32);
        let image = noise(5, 12 * BLOCK);
        let uid = install.backup(&["-t", "daily", &install.image("a.img", &image), "a"]);
        for path in install.blobs() {
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
            if path.extension().is_some_and(|end| end == "blob") {
                server.put(name, &fs::read(&path).expect("read"));
            }
        }
        server.put("backy2.store", &fs::read(install.path("data/backy2.store")).expect("read"));
        for folder in ["index", "versions"] {
            let entries = fs::read_dir(install.path("data").join(folder)).expect("there");
            for path in entries.map(|entry| entry.expect("an entry").path()) {
                let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
                server.put(&format!("{folder}/{name}"), &fs::read(&path).expect("read"));
            }
        }
        fs::remove_dir_all(install.path("data")).expect("removed");
        use_bucket(&install, &server);
        install.ok(&["check", "--read", "100"]);
        install.ok(&["rebuild", "--check"]);
        assert!(install.restored(&uid, "out") == image);
        let new = install.backup(&[&install.image("b.img", &noise(6, 5 * BLOCK)), "b"]);
        install.lose_database();
        install.ok(&["rebuild"]);
        assert!(install.restored(&uid, "out") == image);
        assert!(install.restored(&new, "out") == noise(6, 5 * BLOCK));
    }
}
