//! Backups of all kinds.

use super::image::{Image, data};
use super::world::{Expected, Seen, World, number};
use crate::common::database::Row;
use backy2::engine::backup::{self, Made, Options};
use backy2::types::error::{Error, Result};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// Source and options of a backup.
struct Plan {
    name: String,
    image: Image,
    hints: Option<String>,
    base: Option<String>,
    resume: Option<String>,
}

/// Runs the backup; after `patience` blocks it is interrupted.
fn run(world: &World, plan: &Plan, holes: bool, patience: i64) -> Result<Made> {
    let path = world.install.path("source.img");
    plan.image.write(&path, holes);
    *world.monitor.created.lock().expect("not poisoned") = None;
    let mut site = world.site();
    world.monitor.patience.store(patience, Ordering::Relaxed);
    let source = world.install.url("source.img");
    let hints = plan
        .hints
        .as_ref()
        .map(|text| -> (Box<dyn std::io::Read + '_>, &str) { (Box::new(text.as_bytes()), "hints") });
    let made = backup::run(
        &mut site,
        Options {
            source: &source,
            name: &plan.name,
            snapshot_name: "",
            hints,
            base: plan.base.as_deref(),
            resume: plan.resume.as_deref(),
            tags: vec!["t".into()],
            expire: None,
            source_stays: true,
            allow_empty: true,
        },
    );
    world.monitor.patience.store(-1, Ordering::Relaxed);
    made
}

/// Checksum and size of a blob, from a row.
fn content(row: Row) -> (String, usize) {
    (row[0].clone().expect("a checksum"), number(&row[1]))
}

/// Checksum and size of all valid blobs that blocks name, in the configured encryption version. Data of damaged blobs
/// is left out: a backup may notice the damage before it reuses a blob, and store the data again.
fn known(world: &World) -> BTreeSet<(String, usize)> {
    let sql = format!(
        "SELECT DISTINCT b.checksum, b.size, b.uid FROM blobs b JOIN block_map m ON m.blob_id = b.id
         WHERE b.id > 0 AND b.valid = 1 AND b.enc_version = {}",
        world.config.encryption_version
    );
    let rows = world.install.table(&sql);
    let damaged = |row: &Row| row[2].as_ref().is_some_and(|uid| world.damaged.contains(uid));
    let doubtful: BTreeSet<_> = rows.iter().filter(|row| damaged(row)).cloned().map(content).collect();
    rows.into_iter().map(content).filter(|data| !doubtful.contains(data)).collect()
}

/// Notes damaged blobs that a backup has found before it reused them.
fn note_what_was_found(world: &mut World) {
    let marked = world.install.texts("SELECT uid FROM blobs WHERE id > 0 AND valid = 0");
    let found: Vec<String> = marked.into_iter().filter(|uid| world.damaged.contains(uid)).collect();
    world.found_bad.extend(found);
}

/// No new blob has the same content as a known blob or another new one.
fn nothing_is_stored_twice(world: &World, known: &BTreeSet<(String, usize)>, new: &[String]) {
    let mut all = known.clone();
    for uid in new {
        let found = world.install.table(&format!("SELECT checksum, size FROM blobs WHERE uid = '{uid}'"));
        let found = found.into_iter().next().expect("a new blob has a row");
        assert!(all.insert(content(found)), "{uid} was known already");
    }
}

/// Runs a backup, which may be interrupted.
fn back_up(world: &mut World, seen: &mut Seen, plan: Plan) {
    let known = known(world);
    let holes = world.random.bool();
    let patience = if world.random.u8(0..6) == 0 { world.random.i64(1..8) } else { -1 };
    println!(
        "backup {:?} {:?} base {:?} resume {:?} patience {patience}",
        plan.image, plan.hints, plan.base, plan.resume
    );
    let made = run(world, &plan, holes, patience);
    let created = world.monitor.created.lock().expect("not poisoned").clone();
    let new = world.take_stock();
    note_what_was_found(world);
    let expected = |finished| Expected { name: plan.name.clone(), image: plan.image.clone(), finished };
    match made {
        Ok(made) => {
            nothing_is_stored_twice(world, &known, &new);
            let statistics = made.run.statistics;
            assert_eq!(statistics.written.blocks, new.len() as u64);
            assert_eq!(made.version.size_bytes, plan.image.size() as u64);
            let uid = made.version.uid.to_string();
            world.versions.insert(uid.clone(), expected(true));
            assert!(made.version.valid);
            assert_checksums(world, &uid);
            seen.backups += 1;
            seen.dedup_hits += statistics.dedup.blocks;
            seen.holes += statistics.sparse.blocks;
            seen.bases += u64::from(plan.base.is_some() && statistics.dedup.blocks > 0);
            seen.hints += u64::from(plan.hints.is_some());
            seen.continued += u64::from(plan.resume.is_some());
            match world.config.encryption_version {
                0 => seen.plain += new.len() as u64,
                _ => seen.encrypted += new.len() as u64,
            }
        }
        Err(Error::Interrupted(_)) => {
            seen.interruptions += 1;
            if let Some(uid) = created {
                world.versions.insert(uid.clone(), expected(false));
                assert!(!world.is_valid(&uid));
                assert_checksums(world, &uid);
            }
        }
        Err(error) => panic!("{error}"),
    }
}

/// Every row of the version names a blob with the right data.
fn assert_checksums(world: &World, uid: &str) {
    let image = &world.versions[uid].image;
    let hasher = backy2::hash::Hasher::new(world.config.hash_function);
    let sql = format!("SELECT id, checksum, size FROM blocks WHERE version_uid = '{uid}'");
    for row in world.install.table(&sql) {
        let (id, checksum, size) = (number(&row[0]), row[1].clone(), number(&row[2]));
        let content = image.blocks[id];
        let wanted = (content > 0).then(|| hasher.digest(&data(content, image.length(id))).hex());
        assert_eq!((checksum, size), (wanted, image.length(id)), "block {id} of {uid}");
    }
}

fn name(world: &mut World) -> String {
    ["vm1", "vm2"][world.random.usize(0..2)].to_owned()
}

/// Makes a backup without a base. The hints, if there are any, name all blocks but those of zeros.
pub fn full(world: &mut World, seen: &mut Seen) {
    let image = Image::random(&mut world.random);
    let hints = (world.random.u8(0..4) == 0).then(|| {
        let some: Vec<usize> = (0..image.blocks.len()).filter(|id| image.blocks[*id] > 0).collect();
        image.hints(&some, &mut world.random)
    });
    let plan = Plan { name: name(world), image, hints, base: None, resume: None };
    back_up(world, seen, plan);
}

/// Makes a backup on a base, with or without hints.
pub fn incremental(world: &mut World, seen: &mut Seen) {
    let Some(base) = world.some(|world, uid, version| version.finished && world.is_valid(uid)) else {
        return;
    };
    let old = world.versions[&base].clone();
    let (image, changed) = old.image.changed(&mut world.random);
    let hints = (world.random.u8(0..4) > 0).then(|| image.hints(&changed, &mut world.random));
    back_up(world, seen, Plan { name: old.name, image, hints, base: Some(base), resume: None });
}

/// Wrong hints that omit a change are detected: the images are so small that all blocks outside the hints are compared.
pub fn wrong_hints(world: &mut World, seen: &mut Seen) {
    let fits = |world: &World, uid: &str, version: &Expected| {
        version.finished && (2..=10).contains(&version.image.blocks.len()) && world.is_valid(uid)
    };
    let Some(base) = world.some(fits) else { return };
    let old = world.versions[&base].clone();
    let mut image = old.image.clone();
    let id = world.random.usize(1..image.blocks.len());
    image.blocks[id] = (image.blocks[id] + 1) % super::image::CONTENTS;
    let hints = format!(r#"[{{"offset": 0, "length": {}, "exists": true}}]"#, image.length(0));
    let plan = Plan { name: old.name, image, hints: Some(hints), base: Some(base), resume: None };
    match run(world, &plan, false, -1) {
        Err(Error::BaseMismatch { block, .. }) => assert_eq!(block, id as u64),
        other => panic!("{other:?}"),
    }
    seen.mismatches += 1;
}

/// Continues an unfinished version.
pub fn resume(world: &mut World, seen: &mut Seen) {
    let Some(uid) = world.some(|_, _, version| !version.finished) else { return };
    let Expected { name, image, .. } = world.versions[&uid].clone();
    back_up(world, seen, Plan { name, image, hints: None, base: None, resume: Some(uid) });
}
