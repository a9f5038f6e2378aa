//! All steps of a sequence but backups.

use super::backups;
use super::image::{BLOCK, data};
use super::world::{Expected, Seen, World};
use backy2::engine::cleanup::{self, Grace};
use backy2::engine::{rebuild, remove, restore, scrub, transfer};
use backy2::types::error::Error;
use std::collections::BTreeSet;

/// Does one random step.
pub fn step(world: &mut World, seen: &mut Seen) {
    seen.steps += 1;
    match world.random.u8(0..41) {
        0..=5 => backups::full(world, seen),
        6..=11 => backups::incremental(world, seen),
        12 => backups::wrong_hints(world, seen),
        13..=15 => backups::resume(world, seen),
        16..=18 => remove(world, seen),
        19..=20 => clean_up_fast(world, seen),
        21 => clean_up_fully(world, seen),
        22..=23 => damage(world, seen),
        24..=25 => repair(world, seen),
        26..=27 => scrub_one(world, seen),
        28..=29 => restore_one(world, seen),
        30..=31 => export(world, seen),
        32..=35 => there_and_back(world, seen),
        36..=38 => lose_database(world, seen),
        _ => import(world, seen),
    }
}

/// Scrubs and restores all versions once more, and checks that a full cleanup leaves only named blobs.
pub fn end(world: &mut World, seen: &mut Seen) {
    for uid in world.versions.keys().cloned().collect::<Vec<_>>() {
        restore(world, seen, &uid);
        scrub(world, seen, &uid);
    }
    clean_up_fully(world, seen);
    super::invariants::check(world);
    world.install.assert_database_of_imports();
    world.install.assert_copies_if_any();
}

fn remove(world: &mut World, seen: &mut Seen) {
    if let Some(uid) = world.some(|_, _, _| true) {
        remove_one(world, seen, uid);
    }
}

fn remove_one(world: &mut World, seen: &mut Seen, uid: String) {
    println!("rm {uid}");
    let rows = world.install.rows(&uid) as u64;
    assert_eq!(
        remove::run(&mut world.site(), &uid, remove::AgeLimit::Ignore).expect("removed"),
        (uid.as_str().into(), rows)
    );
    world.versions.remove(&uid);
    seen.removed += 1;
}

fn after_cleanup(world: &mut World, seen: &mut Seen, before: BTreeSet<String>) -> BTreeSet<String> {
    let after = world.install.stored_uids();
    let gone: Vec<String> = before.difference(&after).cloned().collect();
    let named = world.install.named_uids();
    assert!(!gone.iter().any(|uid| named.contains(uid)), "a cleanup has deleted what versions name");
    seen.blobs_cleaned += gone.len() as u64;
    // If a dump brings one of them back, it counts as damaged from the beginning.
    world.damaged.extend(gone);
    after
}

fn clean_up_fast(world: &mut World, seen: &mut Seen) {
    println!("cleanup");
    let before = world.install.stored_uids();
    cleanup::fast(&mut world.site(), Grace::Respected).expect("cleaned");
    assert_eq!(world.install.stored_uids(), before, "nothing is an hour old");
    cleanup::fast(&mut world.site(), Grace::Waived).expect("cleaned");
    let after = after_cleanup(world, seen, before);
    let named = world.install.named_uids();
    let left: Vec<&String> = after.difference(&named).filter(|uid| world.named_once.contains(*uid)).collect();
    assert!(left.is_empty(), "no version names them any more: {left:?}");
    seen.fast_cleanups += 1;
}

fn clean_up_fully(world: &mut World, seen: &mut Seen) {
    println!("cleanup --full");
    let before = world.install.stored_uids();
    cleanup::full(&mut world.site(), "", true).expect("cleaned");
    let after = after_cleanup(world, seen, before);
    assert!(after.is_subset(&world.install.named_uids()), "only what is named is left");
    seen.full_cleanups += 1;
}

/// Deletes or changes a blob.
fn damage(world: &mut World, seen: &mut Seen) {
    let good: Vec<String> =
        world.install.stored_uids().into_iter().filter(|uid| !world.damaged.contains(uid)).collect();
    let Some(uid) = world.random.choice(good) else { return };
    let path = world.install.blob(&uid);
    // Several unencrypted blobs with wrong checksums look like a wrong hash function, which is refused.
    if world.config.encryption_version == 0 || world.random.bool() {
        std::fs::remove_file(path).expect("removed");
    } else {
        let mut data = std::fs::read(&path).expect("read");
        let at = world.random.usize(0..data.len());
        data[at] ^= 1 << world.random.u8(0..8);
        std::fs::write(path, data).expect("written");
    }
    println!("damage {uid}");
    world.damaged.insert(uid);
    seen.damaged += 1;
}

/// Restores a damaged blob.
fn repair(world: &mut World, seen: &mut Seen) {
    let named = world.install.named_uids();
    let bad: Vec<String> = world.damaged.iter().filter(|uid| named.contains(*uid)).cloned().collect();
    let Some(uid) = world.random.choice(bad) else { return };
    println!("repair {uid}");
    let path = world.install.blob(&uid);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, &world.stored[&uid]).expect("written");
    world.damaged.remove(&uid);
    seen.repaired += 1;
}

/// Loses the database and rebuilds it.
fn lose_database(world: &mut World, seen: &mut Seen) {
    // As long as no version is complete, nothing has a copy, and a store with nothing but blobs is refused.
    if ["versions", "index"].into_iter().all(|folder| world.install.objects(folder).is_empty()) {
        return;
    }
    println!("rebuild");
    let before: Vec<_> =
        world.versions.keys().map(|uid| (uid.clone(), world.blobs_of(uid), world.is_valid(uid))).collect();
    world.install.lose_database();
    let rebuilt = rebuild::run(&world.config, &world.monitor).expect("rebuilt");
    assert_eq!(rebuilt.skipped, []);
    let there = world.install.texts("SELECT uid FROM versions");
    // A version that was interrupted may have no copy yet.
    let all_finished =
        world.versions.iter().filter(|(_, expected)| expected.finished).all(|(uid, _)| there.contains(uid));
    assert!(all_finished, "{there:?}");
    world.versions.retain(|uid, _| there.contains(uid));
    let lost: Vec<String> =
        world.damaged.iter().filter(|uid| !world.install.blob(uid).exists()).cloned().collect();
    let named = world.install.named_uids();
    world.found_bad.extend(lost.iter().filter(|uid| named.contains(*uid)).cloned());
    for (uid, blobs, was_valid) in before {
        let Some(expected) = world.versions.get(&uid) else {
            assert!(!there.contains(&uid), "{uid} is there");
            continue;
        };
        if expected.finished {
            assert_eq!(world.blobs_of(&uid), blobs, "{uid}");
            let lacks = blobs.iter().flatten().any(|blob| lost.contains(blob));
            // A version that an earlier rebuild found incomplete is valid again if its blobs have come back.
            let is_whole = blobs.iter().flatten().all(|blob| !world.damaged.contains(blob));
            match world.is_valid(&uid) {
                valid if was_valid || lacks => assert_eq!(valid, !lacks, "{uid}"),
                valid => assert!(!valid || is_whole, "{uid}"),
            }
        }
    }
    // Of blobs without a copy nothing is known, and they stay until a full cleanup.
    world.named_once = world
        .install
        .texts("SELECT uid FROM blobs WHERE uid <> '' UNION SELECT uid FROM deleted_blocks")
        .into_iter()
        .collect();
    seen.rebuilt += 1;
}

fn scrub_one(world: &mut World, seen: &mut Seen) {
    if let Some(uid) = world.some(|_, _, _| true) {
        scrub(world, seen, &uid);
    }
}

fn scrub(world: &mut World, seen: &mut Seen, uid: &str) {
    println!("scrub {uid}");
    let bad = world.bad_blocks(uid);
    let blobs = world.blobs_of(uid);
    let options = scrub::Options { version: uid, source: None, percentile: 100 };
    let verdict = scrub::run(&mut world.site(), &options).expect("scrubbed");
    assert_eq!(matches!(verdict, scrub::Verdict::Good { .. }), bad.is_empty(), "{verdict:?} {bad:?}");
    assert_eq!(world.is_valid(uid), bad.is_empty());
    if bad.is_empty() {
        // An unfinished version may have all its blocks, and then it becomes valid.
        world.versions.get_mut(uid).expect("there").finished = true;
        world.found_bad.retain(|bad| !blobs.iter().flatten().any(|blob| blob == bad));
    } else {
        found(world, &blobs);
        seen.bad_scrubs += 1;
    }
    seen.scrubs += 1;
}

/// Notes the damaged ones of these blobs as found.
fn found(world: &mut World, blobs: &[Option<String>]) {
    let bad = blobs.iter().flatten().filter(|blob| world.damaged.contains(*blob));
    let bad: Vec<String> = bad.cloned().collect();
    world.found_bad.extend(bad);
}

fn restore_one(world: &mut World, seen: &mut Seen) {
    if let Some(uid) = world.some(|_, _, _| true) {
        restore(world, seen, &uid);
    }
}

fn restore(world: &mut World, seen: &mut Seen, uid: &str) {
    println!("restore {uid}");
    let (bad, blobs) = (world.bad_blocks(uid), world.blobs_of(uid));
    let was_valid = world.is_valid(uid);
    let image = world.versions[uid].image.clone();
    let target = world.install.url("target.img");
    // Old data, which must not show.
    std::fs::write(world.install.path("target.img"), data(5, BLOCK).repeat(12)).expect("written");
    let options = restore::Options {
        version: uid,
        target: &target,
        sparse: world.random.bool(),
        force: true,
        continue_from: None,
    };
    let target_is_large_enough = image.size() <= 12 * BLOCK;
    if !target_is_large_enough {
        std::fs::remove_file(world.install.path("target.img")).expect("removed");
    }
    let restored = restore::run(&mut world.site(), &options).expect("restored");
    let mut told = BTreeSet::new();
    for range in &restored.bad {
        told.extend(range.start as usize / BLOCK..(range.end as usize).div_ceil(BLOCK));
    }
    assert_eq!((told, restored.was_valid), (bad.clone(), was_valid));
    let mut wanted = image.bytes();
    for id in &bad {
        // Missing blobs, and blobs that cannot be decrypted, are restored as zeros.
        wanted[id * BLOCK..][..image.length(*id)].fill(0);
    }
    let data = std::fs::read(world.install.path("target.img")).expect("read");
    assert!(data[..wanted.len()] == wanted, "{uid}");
    found(world, &blobs);
    seen.restores += 1;
    seen.bad_restores += u64::from(!bad.is_empty());
}

fn export(world: &mut World, seen: &mut Seen) {
    if let Some(uid) = world.some(|_, _, version| version.finished) {
        export_one(world, seen, uid);
    }
}

fn export_one(world: &mut World, seen: &mut Seen, uid: String) {
    println!("export {uid}");
    let mut dump = Vec::new();
    transfer::export(&mut world.site(), &uid, || Ok(&mut dump)).expect("exported");
    let expected = world.versions[&uid].clone();
    world.dumps.push((uid, String::from_utf8(dump).expect("text"), expected));
    seen.exports += 1;
}

fn import(world: &mut World, seen: &mut Seen) {
    let mut dumps = world.dumps.clone();
    if world.random.u8(0..4) > 0 {
        dumps.retain(|(uid, ..)| !world.versions.contains_key(uid));
    }
    if let Some(dump) = world.random.choice(dumps) {
        import_one(world, seen, dump);
    }
}

/// Removes a version and imports it again: cleanup must notice that blobs marked for deletion are needed again.
fn there_and_back(world: &mut World, seen: &mut Seen) {
    let Some(uid) = world.some(|_, _, version| version.finished) else { return };
    export_one(world, seen, uid.clone());
    remove_one(world, seen, uid);
    let dump = world.dumps.last().cloned().expect("just exported");
    import_one(world, seen, dump);
    clean_up_fast(world, seen);
}

fn import_one(world: &mut World, seen: &mut Seen, (uid, dump, expected): (String, String, Expected)) {
    println!("import {uid}");
    let imported = transfer::import(&mut world.site(), dump.as_bytes(), "dump");
    match (imported, world.versions.contains_key(&uid)) {
        (Ok(imported), false) => {
            assert_eq!(imported, uid[..]);
            world.versions.insert(uid.clone(), expected);
            // The dump may mark blobs as bad that were found before it was written.
            let told: Vec<&str> =
                dump.lines().skip(2).filter(|line| line.split(',').nth(6) == Some("0")).collect();
            world.found_bad.extend(told.iter().filter_map(|line| line.split(',').next()).map(str::to_owned));
            seen.imports += 1;
        }
        (Err(Error::VersionExists(_)), true) => seen.imports_refused += 1,
        (other, there) => panic!("{other:?}, and it {} there", if there { "was" } else { "was not" }),
    }
}
