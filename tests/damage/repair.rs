//! Versions become valid again when their damage is repaired, and not before.

use super::{BAD, BLOCK, Damage, Store, image};

/// A store with a missing blob that is marked as bad, and the blob's data.
fn marked(encryption: u8) -> (Store, Vec<u8>) {
    let store = Store::new(encryption);
    let data = std::fs::read(store.install.blob(&store.uid())).expect("read");
    Damage::Missing.inflict(&store);
    store.install.fails(20, &["scrub", &store.a]);
    (store, data)
}

#[test]
fn a_full_scrub_makes_a_mended_version_valid_and_its_blocks() {
    for encryption in [0, 1] {
        let (store, data) = marked(encryption);
        std::fs::write(store.install.blob(&store.uid()), data).expect("write");
        let out = store.install.ok(&["scrub", &store.a]);
        assert!(out.contains(&format!("Marked version valid: {}", store.a)), "{out}");
        assert_eq!(store.install.invalid_blocks(&store.a), [0u64; 0]);
        assert!(out.contains(&format!("Marked version valid: {} (", store.sharing)), "{out}");
        assert_eq!(store.valid(), [true; 3], "a good blob is good for all");
        let blobs = store.install.blobs();
        store.install.backup(&[&store.install.url("a.img"), "a"]);
        assert_eq!(store.install.blobs(), blobs, "the blob is known again");
    }
}

#[test]
fn a_scrub_of_a_part_never_makes_a_version_valid() {
    for encryption in [0, 1] {
        let (store, data) = marked(encryption);
        store.install.ok(&["scrub", "-p", "0", &store.a]);
        assert!(!store.install.is_valid(&store.a));
        std::fs::write(store.install.blob(&store.uid()), data).expect("write");
        for percentile in ["0", "1", "50", "99"] {
            store.install.ok(&["scrub", "-p", percentile, &store.a]);
            assert_eq!(store.valid(), [false, false, true], "-p {percentile}");
            assert_eq!(store.install.invalid_blocks(&store.a), [BAD as u64], "-p {percentile}");
        }
        store.install.ok(&["scrub", "-p", "100", &store.a]);
        assert!(store.install.is_valid(&store.a));
    }
}

#[test]
fn a_partial_scrub_marks_the_damage_that_it_finds() {
    let store = Store::new(1);
    for id in 0..3 {
        std::fs::remove_file(store.install.blob(&store.install.blob_uid(&store.a, id))).expect("removed");
    }
    let found = (0..60).any(|_| store.install.run(&["scrub", "-p", "50", &store.a]).code == 20);
    assert!(found, "with a chance of a half for each of three blocks");
    assert!(!store.install.is_valid(&store.a));
}

#[test]
fn a_restore_that_finds_all_good_leaves_the_mark_to_scrub() {
    let (store, data) = marked(1);
    std::fs::write(store.install.blob(&store.uid()), data).expect("write");
    let (restored, said) = store.damaged_restore();
    assert!(restored == image());
    assert!(said.contains("scrub"), "{said}");
    assert_eq!(store.valid(), [false, false, true]);
}

#[test]
fn blocks_that_were_never_stored_are_named_and_make_the_version_invalid() {
    for encryption in [0, 1] {
        let store = Store::new(encryption);
        // Delete the row of the sparse block 3, too, so that nothing is known of it.
        store.install.change(&format!(
            "DELETE FROM block_map WHERE block_id IN (3, 4) AND version_id =
               (SELECT id FROM versions WHERE uid = '{}')",
            store.a
        ));
        for sparse in [&[][..], &["-s"]] {
            let _ = std::fs::remove_file(store.install.path("out"));
            let target = store.install.url("out");
            let said = store.install.fails(20, &[&["restore"], sparse, &[&store.a, &target]].concat());
            assert!(said.contains("Blocks 3 to 4 were never stored"), "{said}");
            assert!(said.contains("offset 12288 length 8192"), "{said}");
            let mut wanted = image();
            wanted[3 * BLOCK..5 * BLOCK].fill(0);
            assert!(std::fs::read(store.install.path("out")).expect("read") == wanted);
        }
        let said = store.install.fails(20, &["scrub", &store.a]);
        assert!(said.contains("Version is incomplete."), "{said}");
        assert_eq!(store.valid(), [false, true, true]);
        store.install.backup(&["-c", &store.a, &store.install.url("a.img"), "a"]);
        assert!(store.install.is_valid(&store.a));
        assert!(store.install.restored(&store.a, "whole") == image());
    }
}

#[test]
fn a_version_without_any_row_restores_to_zeros() {
    let store = Store::new(1);
    store.install.change(&format!(
        "DELETE FROM block_map WHERE version_id = (SELECT id FROM versions WHERE uid = '{}')",
        store.a
    ));
    let (data, said) = store.damaged_restore();
    assert!(data == vec![0; image().len()]);
    assert!(said.contains("offset 0 length 21480"), "{said}");
}
