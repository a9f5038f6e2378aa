//! The metadata of large versions: operations on all blocks of a version take no statement per block.
//!
//! Each test compares times with the time of one `INSERT … SELECT` of as many rows, which it measures itself on the
//! same machine at the same time.

mod common;

use common::all;
use common::install::Install;
use rusqlite::Connection;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

const BLOCK: u64 = 4 << 20;
/// Of each 1000 blocks, this many at the end are holes.
const SPARSE: u64 = 50;
const CHANGED: u64 = 20;
const BASE: &str = "00000000-0000-1000-8000-000000000001";
const STORE: &str = "0b6f1f0e-3f5c-4e0e-9f55-6d1c6d1f2a3b";

fn blocks() -> u64 {
    if all() { 1_000_000 } else { 50_000 }
}

/// An installation without encryption, with a version of a file of zeros whose blobs are in no store.
fn large() -> Install {
    let install = Install::without_database(u32::try_from(BLOCK).expect("small"));
    install.set("encryption_version", "0");
    install.set("sync", "none");
    // The first backup would write copies of all blobs, which takes as long as there are blobs.
    install.set("metadata_copies", "0");
    install.ok(&["initdb"]);
    let zeros = sha512_of_zeros();
    let database = Connection::open(install.path("backy.sqlite")).expect("opens");
    let sql = format!(
        "CREATE TEMP TABLE large AS SELECT {} AS blocks, 300 AS scattered, {SPARSE} AS sparse, {BLOCK} AS block_size,
         'vm' AS name, '{zeros}' AS checksum",
        blocks()
    );
    database.execute_batch(&sql).expect("parameters");
    database.execute_batch(include_str!("common/large.sql")).expect("built");
    // None of the blobs is there, so only its identity tells that the store is the right one.
    database.execute("INSERT INTO stores (name, uuid) VALUES ('main', ?1)", [STORE]).expect("inserted");
    let identity = format!("{{\"format\":1,\"uuid\":\"{STORE}\"}}\n");
    std::fs::write(install.path("data").join("backy2.store"), identity).expect("written");
    install
}

fn sha512_of_zeros() -> String {
    use sha2::{Digest, Sha512};
    Sha512::digest(vec![0; usize::try_from(BLOCK).expect("small")])
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// The time in which SQLite inserts all rows of the version once more, with indexes and references.
fn plain_insert(install: &Install) -> Duration {
    let copy = install.path("copy.sqlite");
    std::fs::copy(install.path("backy.sqlite"), &copy).expect("copied");
    let database = Connection::open(copy).expect("opens");
    let sql = "PRAGMA foreign_keys = ON; PRAGMA cache_size = -32768; BEGIN;
               INSERT INTO versions SELECT 1000, 'x', date, expire, name, '', size, size_bytes, 0, 0 FROM versions
                   WHERE id = 1;
               INSERT INTO block_map SELECT 1000, block_id, blob_id FROM block_map WHERE version_id = 1;
               COMMIT;";
    let started = Instant::now();
    database.execute_batch(sql).expect("inserted");
    started.elapsed()
}

/// Runs a command, which may take at most `factor` times as long as the plain insertion, plus `extra`.
fn timed(install: &Install, args: &[&str], plain: Duration, factor: u32, extra: Duration) -> String {
    let started = Instant::now();
    let run = install.ok(args);
    let (took, limit) = (started.elapsed(), plain * factor + extra);
    println!("{args:?}: {took:?}, plain insertion {plain:?}");
    assert!(took < limit, "{args:?} took {took:?}, at most {limit:?} was expected");
    run
}

#[test]
fn large_versions_are_carried_removed_and_added_up_as_a_whole() {
    let install = large();
    let plain = plain_insert(&install);
    let (source, hints) = (install.path("source"), install.path("hints"));
    let file = File::create(&source).expect("made");
    file.set_len(blocks() * BLOCK).expect("sparse");
    let mut list = Vec::new();
    for n in 0..CHANGED {
        // In the upper half, since the first unchanged blocks are compared with the base, and never in a hole.
        let offset = (blocks() / 2 + n * 1000) * BLOCK;
        file.write_all_at(&(n + 1).to_le_bytes(), offset).expect("written");
        list.push(format!(r#"{{"offset": {offset}, "length": {BLOCK}, "exists": true}}"#));
    }
    std::fs::write(&hints, format!("[{}]", list.join(","))).expect("written");
    let url = format!("file://{}", source.display());
    let hints = hints.to_str().expect("utf-8");
    let second = Duration::from_secs(1);
    // Debug builds hash slowly, so the changed blocks and the compared ones get some extra seconds.
    timed(&install, &["backup", "-r", hints, "-f", BASE, &url, "vm"], plain, 3, 3 * second);

    let count = |sql: &str| u64::try_from(install.count(sql)).expect("a number");
    let stored = blocks() - blocks() / 1000 * SPARSE;
    assert_eq!(count("SELECT valid FROM versions WHERE id = 2"), 1);
    assert_eq!(count("SELECT count(*) FROM block_map WHERE version_id = 2"), blocks());
    let same = "SELECT count(*) FROM block_map a JOIN block_map b USING (block_id, blob_id)
                WHERE a.version_id = 1 AND b.version_id = 2";
    assert_eq!(count(same), blocks() - CHANGED);
    assert_eq!(count("SELECT blocks_read FROM stats"), CHANGED + 10, "ten are compared");
    assert_eq!(count("SELECT blocks_found_dedup FROM stats"), stored - CHANGED);
    assert_eq!(count("SELECT blocks_sparse FROM stats"), blocks() - stored);

    let text = timed(&install, &["-m", "-s", "du", BASE], plain, 4, second);
    let shared = (stored - CHANGED) * BLOCK;
    let own = CHANGED * BLOCK;
    let holes = (blocks() - stored) * BLOCK;
    let expected = format!("{}|{holes}|0|{shared}|{own}|{}|{own}", stored * BLOCK, shared / 2 + own);
    assert_eq!(text.trim(), expected);
    let both = timed(&install, &["-m", "-s", "du"], plain, 4, second);
    assert_eq!(both.trim(), format!("{expected}\n{expected}"));

    timed(&install, &["rm", "-f", BASE], plain, 4, second);
    assert_eq!(count("SELECT count(*) FROM versions"), 1);
    assert_eq!(count("SELECT count(*) FROM block_map"), blocks());
    assert_eq!(count("SELECT count(*) FROM deleted_blocks"), CHANGED, "only what was changed");
    let uid = install.newest("vm").expect("the second one").0;
    timed(&install, &["rm", "-f", &uid], plain, 8, second);
    assert_eq!(count("SELECT count(*) FROM block_map"), 0);
    assert_eq!(count("SELECT count(DISTINCT uid) FROM deleted_blocks"), stored + CHANGED);
    assert_eq!(
        count("SELECT count(*) FROM blobs WHERE id > 0"),
        stored + CHANGED,
        "rows stay until the cleanup"
    );
    assert_eq!(install.count("SELECT count(*) FROM pragma_foreign_key_check"), 0);
}
