//! One damaged blob: the behaviour of scrub, restore and a later backup, for every kind of damage.

use super::{BAD, BLOCK, Damage, Store, for_every_damage, image};

#[test]
fn scrub_marks_the_block_and_all_versions_that_share_it() {
    for_every_damage(|store, damage, encryption| {
        let said = store.install.fails(20, &["scrub", &store.a]);
        let reports = said.lines().filter(|line| line.contains("is bad")).count();
        assert_eq!(reports, 1, "{encryption} {damage:?}: {said}");
        assert!(said.contains(&format!("Block {BAD} ")), "{encryption} {damage:?}: {said}");
        assert_eq!(store.install.invalid_blocks(&store.a), [BAD as u64], "{encryption} {damage:?}");
        assert_eq!(store.install.invalid_blocks(&store.other), [0u64; 0], "{encryption} {damage:?}");
        assert_eq!(store.valid(), [false, false, true], "{encryption} {damage:?}");
        store.install.fails(20, &["scrub", &store.sharing]);
        store.install.ok(&["scrub", &store.other]);
    });
}

#[test]
fn restore_writes_the_readable_data_and_marks_the_rest() {
    for_every_damage(|store, damage, encryption| {
        let (data, said) = store.damaged_restore();
        let mut wanted = image();
        wanted[BAD * BLOCK..(BAD + 1) * BLOCK].copy_from_slice(&damage.salvage(encryption));
        assert!(data == wanted, "{encryption} {damage:?}");
        let ranges: Vec<&str> = said.lines().filter(|line| line.contains("  offset ")).collect();
        assert_eq!(ranges.len(), 1, "{encryption} {damage:?}: {said}");
        assert!(ranges[0].contains("offset 4096 length 4096"), "{said}");
        assert_eq!(store.install.invalid_blocks(&store.a), [BAD as u64], "{encryption} {damage:?}");
        assert_eq!(store.valid(), [false, false, true], "{encryption} {damage:?}");
        let again = store.damaged_restore();
        assert!(again.0 == wanted && again.1.contains("offset 4096 length 4096"), "{encryption} {damage:?}");
    });
}

#[test]
fn the_next_backup_stores_the_block_anew() {
    for_every_damage(|store, damage, encryption| {
        let before = store.uid();
        store.install.fails(20, &["scrub", &store.a]);
        let new = store.install.backup(&[&store.install.url("a.img"), "a"]);
        let written = format!("SELECT blocks_written FROM stats WHERE version_uid = '{new}'");
        assert_eq!(store.install.count(&written), 1, "{encryption} {damage:?}");
        assert_ne!(store.install.blob_uid(&new, BAD as u64), before, "{encryption} {damage:?}");
        assert!(store.install.restored(&new, "new") == image(), "{encryption} {damage:?}");
        store.install.ok(&["scrub", "-s", &store.install.url("a.img"), &new]);
        assert_eq!(store.valid(), [false, false, true], "{encryption} {damage:?}");
    });
}

#[test]
fn an_incremental_backup_does_not_take_over_the_bad_block() {
    for encryption in [0, 1] {
        let store = Store::new(encryption);
        Damage::Missing.inflict(&store);
        store.install.fails(20, &["scrub", &store.a]);
        // A state that 2.13 permits: a valid version with an invalid block.
        store.install.change(&format!("UPDATE versions SET valid = 1 WHERE uid = '{}'", store.a));
        std::fs::write(store.install.path("none.json"), "[]").expect("write");
        let source = store.install.url("a.img");
        let new = store.install.backup(&["-r", "none.json", "-f", &store.a, &source, "a"]);
        let read = format!("SELECT blocks_read FROM stats WHERE version_uid = '{new}'");
        let carried = "SELECT count(*) FROM block_map m JOIN versions v ON v.id = m.version_id JOIN blobs b ON b.id = m.blob_id";
        let carried = format!("{carried} WHERE v.uid = '{}' AND b.valid = 1", store.a);
        let compared = store.install.count(&carried).min(10);
        assert_eq!(store.install.count(&read), 1 + compared, "the bad block, and those that are compared");
        assert!(store.install.restored(&new, "new") == image());
    }
}

#[test]
fn many_damaged_blocks_are_listed_as_ranges() {
    for encryption in [0, 1] {
        let store = Store::new(encryption);
        for id in [0, 1, 2, 5] {
            std::fs::remove_file(store.install.blob(&store.install.blob_uid(&store.a, id))).expect("removed");
        }
        let (data, said) = store.damaged_restore();
        let mut wanted = image();
        wanted[..3 * BLOCK].fill(0);
        wanted[5 * BLOCK..].fill(0);
        assert!(data == wanted);
        let ranges: Vec<&str> = said.lines().filter(|line| line.contains("  offset ")).collect();
        assert_eq!(ranges.len(), 2, "{said}");
        assert!(
            ranges[0].contains("offset 0 length 12288") && ranges[1].contains("offset 20480 length 1000")
        );
        assert_eq!(store.install.invalid_blocks(&store.a), [0, 1, 2, 5]);
        assert_eq!(store.valid(), [false, false, false], "block 0 is in all of them");
    }
}

#[test]
fn a_blob_that_occurs_often_is_reported_for_each_block_and_marked_once() {
    let store = Store::new(1);
    let source = store.install.image("same.img", &[9; 5 * BLOCK]);
    let same = store.install.backup(&[&source, "same"]);
    std::fs::remove_file(store.install.blob(&store.install.blob_uid(&same, 0))).expect("removed");
    let run = store.install.run(&["scrub", &same]);
    assert_eq!(run.code, 20, "{run:?}");
    assert_eq!(run.stderr.matches("is bad").count(), 5, "{run:?}");
    assert_eq!(run.stdout.matches("Marked block invalid").count(), 1, "{run:?}");
    assert_eq!(store.install.invalid_blocks(&same), [0, 1, 2, 3, 4]);
    assert_eq!(store.valid(), [true; 3]);
}

#[test]
fn a_blob_that_is_gone_or_has_an_impossible_size_is_not_reused() {
    for encryption in [0, 1] {
        let whole = Store::new(encryption);
        for damage in [Damage::Missing, Damage::Empty, Damage::Fifo] {
            let store = whole.duplicate();
            let before = store.uid();
            damage.inflict(&store);
            // No scrub has found the damage, so the blob counts as good.
            let run = store.install.run(&["backup", &store.install.url("a.img"), "again"]);
            assert_eq!(run.code, 0, "{encryption} {damage:?}: {run:?}");
            assert!(run.stderr.contains(&format!("(UID {before})")), "{encryption} {damage:?}: {run:?}");
            let new = store.install.uids(&["again"]).remove(0);
            assert!(store.install.restored(&new, "new") == image(), "{encryption} {damage:?}");
            assert_ne!(store.install.blob_uid(&new, BAD as u64), before);
            assert_eq!(store.valid(), [false, false, true], "{encryption} {damage:?}");
            assert!(run.stderr.contains(&store.sharing), "it says which versions are bad: {run:?}");
        }
    }
}

#[test]
fn a_good_version_is_not_looked_at_twice_and_all_of_it_is_reused() {
    let store = Store::new(0);
    let source = store.install.image("same.img", &[9; 7 * BLOCK]);
    let blobs = store.install.blobs().len();
    store.install.backup(&[&source, "same"]);
    let run = store.install.run(&["backup", &source, "same"]);
    assert_eq!((run.code, &run.stderr[..]), (0, ""), "{run:?}");
    assert_eq!(store.install.blobs().len(), blobs + 1);
    let found = "SELECT blocks_found_dedup FROM stats ORDER BY id";
    assert_eq!(store.install.numbers(found).split_off(3), [6, 7]);
}
