//! Conditions that must hold after every step.

use super::world::World;
use std::collections::BTreeSet;

fn set(world: &World, sql: &str) -> BTreeSet<String> {
    world.install.texts(sql).into_iter().collect()
}

pub fn check(world: &World) {
    // An interrupted backup leaves the copy of its version due.
    if world.install.count("SELECT count(*) FROM copies_due") == 0 {
        world.install.assert_copies_if_any();
    }
    let versions: BTreeSet<String> = world.versions.keys().cloned().collect();
    assert_eq!(set(world, "SELECT uid FROM versions"), versions, "the versions");
    let doubtful = "SELECT DISTINCT v.uid FROM versions v LEFT JOIN block_map m ON m.version_id = v.id
        LEFT JOIN blobs b ON b.id = m.blob_id WHERE v.valid = 1
        GROUP BY v.id HAVING count(m.block_id) <> v.size OR coalesce(sum(b.valid), 0) <> v.size";
    assert_eq!(set(world, doubtful), BTreeSet::new(), "valid versions that lack blocks or have bad ones");
    let bad = set(world, "SELECT uid FROM blobs WHERE id > 0 AND valid = 0");
    assert!(bad.is_subset(&world.found_bad), "marked without a reason: {bad:?}");
    let named = world.install.named_uids();
    let lost: Vec<&String> = named
        .iter()
        .filter(|uid| !world.damaged.contains(*uid) && !world.install.blob(uid).exists())
        .collect();
    assert!(lost.is_empty(), "named and not stored: {lost:?}");
    for (uid, expected) in &world.versions {
        if expected.finished {
            let blobs = world.blobs_of(uid);
            let holes = |id: usize| blobs[id].as_deref() == Some("");
            for (id, content) in expected.image.blocks.iter().enumerate() {
                assert!(blobs[id].is_some(), "{uid} lacks block {id}");
                assert_eq!(holes(id), *content == 0, "zeros, and only they, are holes: {uid} {id}");
            }
        }
    }
}
