//! Damage that looks like a wrong setting.

use super::Damage::KeyGarbage;
use super::{BLOCK, KEYS, Store, flipped, image};
use crate::common::install::noise;

#[test]
fn damage_of_all_plain_blobs_is_not_taken_for_a_wrong_hash_function() {
    let store = Store::new(0);
    for file in store.install.blobs() {
        let data = std::fs::read(&file).expect("read");
        std::fs::write(&file, flipped(&data)).expect("write");
    }
    store.install.fails(20, &["scrub", &store.a]);
    let (data, _) = store.damaged_restore();
    let mut wanted: Vec<u8> = image().chunks(BLOCK).flat_map(flipped).collect();
    wanted[3 * BLOCK..4 * BLOCK].fill(0);
    assert!(data == wanted);
    let new = store.install.backup(&[&store.install.url("a.img"), "a"]);
    assert!(store.install.restored(&new, "new") == image());
}

#[test]
fn damage_of_all_encrypted_blobs_is_damage() {
    let store = Store::new(1);
    for file in store.install.blobs() {
        let data = std::fs::read(&file).expect("read");
        std::fs::write(&file, flipped(&data)).expect("write");
    }
    store.install.fails(20, &["scrub", &store.a]);
    assert!(store.damaged_restore().0 == vec![0; image().len()]);
    let new = store.install.backup(&[&store.install.url("a.img"), "a"]);
    assert!(store.install.restored(&new, "new") == image());
}

#[test]
fn the_damaged_key_of_the_only_blob_of_a_version_is_not_taken_for_a_wrong_key() {
    for damage in KEYS {
        // A version of a single block, and one that repeats the same block.
        for data in [noise(50, 100), noise(51, BLOCK).repeat(12)] {
            let mut store = Store::new(1);
            store.a = store.install.backup(&[&store.install.image("one.img", &data), "one"]);
            let uid = store.install.blob_uid(&store.a, 0);
            let broken = if damage == KeyGarbage {
                "'garbage'"
            } else {
                "substr(enc_envkey, 1, 79) || CASE WHEN enc_envkey LIKE '%0' THEN '1' ELSE '0' END"
            };
            store.install.change(&format!("UPDATE blobs SET enc_envkey = {broken} WHERE uid = '{uid}'"));
            store.install.fails(20, &["scrub", &store.a]);
            assert!(store.damaged_restore().0 == vec![0; data.len()]);
            let new = store.install.backup(&[&store.install.url("one.img"), "one"]);
            assert!(store.install.restored(&new, "new") == data);
        }
    }
}

#[test]
fn the_shortened_checksums_of_all_blobs_are_damage() {
    for encryption in [0, 1] {
        let store = Store::new(encryption);
        store.install.change("UPDATE blobs SET checksum = substr(checksum, 1, 100)");
        store.install.fails(20, &["scrub", &store.a]);
        let new = store.install.backup(&[&store.install.url("a.img"), "a"]);
        assert!(store.install.restored(&new, "new") == image());
    }
}
