//! Rows that no release can have written: each one harms only its version or its block.

use super::{BLOCK, Store, image};

#[test]
fn a_version_that_cannot_be_read_keeps_no_other_from_being_listed() {
    let store = Store::new(1);
    let install = &store.install;
    let list = || install.ok(&["-ms", "ls", "-f", "uid"]).lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(list().len(), 3);
    for (damage, word) in [
        ("size_bytes = -5", "size_bytes is negative: -5"),
        ("size = -4611686018427387905", "size is negative"),
        ("size = 4611686018427387905", "4611686018427387905 blocks"),
        ("size = 0", "size is 0 blocks"),
    ] {
        let rows = "SELECT CAST(size AS TEXT) FROM versions ORDER BY uid";
        let before = install.texts(rows);
        let bytes = "SELECT CAST(size_bytes AS TEXT) FROM versions ORDER BY uid";
        let bytes_before = install.texts(bytes);
        install.change(&format!("UPDATE versions SET {damage} WHERE uid = '{}'", store.other));
        for command in [&["ls"][..], &["du"], &["ls", "other"]] {
            let run = install.run(command);
            assert_eq!(run.code, 0, "{run:?}");
            let told = run.stdout + &run.stderr;
            assert!(told.contains(&format!("the row of version {}: ", store.other)), "{command:?} {told}");
            assert!(told.contains(word), "{command:?} {told}");
        }
        let mut left = list();
        left.sort();
        let mut wanted = [store.a.clone(), store.sharing.clone()];
        wanted.sort();
        assert_eq!(left, wanted);
        install.ok(&["scrub", "a"]);
        assert!(install.restored("sharing", "out")[..BLOCK] == image()[..BLOCK]);
        let error = install.fails(100, &["restore", &store.other, &install.url("none")]);
        assert!(error.contains(&store.other) && error.contains(word), "{error}");
        let at = install.texts("SELECT uid FROM versions ORDER BY uid");
        let at = at.iter().position(|uid| *uid == store.other).expect("there");
        let (size, bytes) = (&before[at], &bytes_before[at]);
        install.change(&format!(
            "UPDATE versions SET size = {size}, size_bytes = {bytes} WHERE uid = '{}'",
            store.other
        ));
    }
    assert_eq!(list().len(), 3);
}

/// Rows beyond the end of a version are reported and ignored, and their blobs are not marked as bad.
#[test]
fn a_row_beyond_the_end_is_reported_and_harms_nothing() {
    let store = Store::new(1);
    let install = &store.install;
    for block in ["4611686018427387905", "9223372036854775807", "6", "-1"] {
        install.change(&format!(
            "INSERT INTO block_map (version_id, block_id, blob_id) SELECT version_id, {block}, blob_id FROM block_map
             WHERE block_id = 0 AND version_id = (SELECT id FROM versions WHERE uid = '{}')",
            store.a
        ));
        for args in [vec!["scrub", &store.a], vec!["restore", "-f", &store.a, &install.url("out")]] {
            let run = install.run(&args);
            assert_eq!(run.code, 0, "{run:?}");
            let told = run.stdout + &run.stderr;
            let words = format!("version {} has 6 blocks, and a row for block {block}", store.a);
            assert!(told.contains(&words), "{told}");
        }
        assert!(std::fs::read(install.path("out")).expect("read") == image());
        install.ok(&["du"]);
        install.ok(&["diff-meta", &store.a, &store.sharing]);
        let dump = install.text("dump");
        install.ok(&["export", &store.a, &dump]);
        assert!(!std::fs::read_to_string(&dump).expect("read").contains(block) || block.len() < 3);
        install.change(&format!("DELETE FROM block_map WHERE block_id = {block}"));
    }
    assert!(install.is_valid(&store.a) && install.is_valid(&store.sharing));
}

#[test]
fn a_blob_of_an_impossible_size_is_damage_of_its_blocks_only() {
    let store = Store::new(1);
    let install = &store.install;
    // Damage also the blob with which block sizes are compared.
    let first = install.blob_uid(&install.backup(&[&install.url("c.img"), "newest"]), 0);
    for blob in [install.blob_uid(&store.a, super::BAD as u64), first] {
        install.change(&format!("UPDATE blobs SET size = -5 WHERE uid = '{blob}'"));
    }
    install.ok(&["du"]);
    let run = install.run(&["restore", &store.a, &install.url("out")]);
    assert_eq!(run.code, 20, "{run:?}");
    assert!(run.stderr.contains("should be -5"), "{run:?}");
    assert!(std::fs::read(install.path("out")).expect("read")[2 * BLOCK..] == image()[2 * BLOCK..]);
    assert_eq!(install.invalid_blocks(&store.a), [0, super::BAD as u64]);
}

#[test]
fn a_hole_of_an_impossible_size_spoils_no_sums() {
    let store = Store::new(1);
    let install = &store.install;
    let sums = || install.ok(&["-ms", "du", "-f", "Real,Null"]);
    let before = sums();
    for size in ["9223372036854775807", "4611686018427387905", "4294967296"] {
        install.change(&format!(
            "INSERT INTO blobs (id, size, valid, enc_version, date) VALUES (-{size}, {size}, 1, 0, '2020-01-01')"
        ));
        install.change(&format!(
            "INSERT INTO block_map (version_id, block_id, blob_id)
             SELECT id, 100, -{size} FROM versions UNION ALL SELECT id, 101, -{size} FROM versions"
        ));
        assert_eq!(sums(), before, "{size}");
        install.change("DELETE FROM block_map WHERE block_id >= 100");
    }
}
