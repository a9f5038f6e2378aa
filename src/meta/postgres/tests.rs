//! Tests of the PostgreSQL engine itself. The conformance suite tests the behaviour that all engines share.

use super::*;
use crate::meta::sql::rules;
use crate::meta::tests::conformance::CASES;
use crate::meta::tests::lab::postgres::{Database, Server, Stop};
use crate::meta::{
    DumpRow, Fingerprint, Finish, Metadata, NewBlob, NewRow, Rows, StatisticsRow, VersionFilter,
};
use crate::pg::advisory::{CLASS, Lock};
use crate::types::block::{Encryption, Geometry};
use crate::types::time::Timestamp;
use crate::types::uid::BlobUid;
use crate::types::version::{NewVersion, Statistics, Version};
use std::sync::Arc;

fn address(database: &Database) -> Address {
    Address::parse(&database.url()).expect("a URL")
}

fn open(database: &Database) -> Postgres {
    Postgres::open(address(database), Handle::silent(), Fence::default()).expect("opens")
}

fn initialised(server: &Arc<Server>) -> (Database, Metadata) {
    let database = Database::new(server);
    initialise(&address(&database), Handle::silent()).expect("initialises");
    let store = open(&database);
    (database, store.into())
}

/// A connection of a process that holds locks.
fn registered(database: &Database) -> Metadata {
    let register = "INSERT INTO lock_holders (id, host, machine, pid, started, command)
                    VALUES (7, 'h', 'm', 1, 1, 'c')";
    database.client().batch_execute(register).expect("registers");
    let fence = Fence::default();
    fence.set(Some(7));
    Postgres::open(address(database), Handle::silent(), fence).expect("opens").into()
}

fn version(store: &mut Metadata, name: &str, geometry: Geometry) -> Version {
    let new = NewVersion {
        uid: crate::types::uid::VersionUid::generate(),
        date: Timestamp::now(),
        expire: None,
        name: name.into(),
        snapshot_name: String::new(),
        size: geometry.blocks(),
        size_bytes: geometry.size_bytes(),
        tags: Vec::new(),
        origin: None,
    };
    store.begin_version(&new).expect("begins")
}

fn blob(data: u32) -> NewBlob {
    NewBlob {
        uid: BlobUid::generate(),
        fingerprint: Fingerprint { checksum: format!("{data:0128x}").into(), size: 4096, enc_version: 0 },
        encryption: Encryption::default(),
    }
}

#[test]
fn the_engine_keeps_the_contract() {
    let Some(server) = Server::get("the_engine_keeps_the_contract") else { return };
    for (name, case) in CASES {
        println!("{name}");
        let (_database, mut store) = initialised(&server);
        case(&mut store);
    }
}

#[test]
fn an_unusable_database_is_reported_and_left_alone() {
    let Some(server) = Server::get("an_unusable_database_is_reported_and_left_alone") else { return };
    let database = Database::new(&server);
    let error = open(&database).state().expect_err("empty").line();
    assert!(error.contains("initdb"), "{error}");
    initialise(&address(&database), Handle::silent()).expect("initialises");
    assert!(matches!(initialise(&address(&database), Handle::silent()), Err(Error::Refused(_))));
    assert_eq!(open(&database).state().expect("current"), SchemaState::Current);
    let mut sql = database.client();
    sql.batch_execute("UPDATE schema_version SET revision = 2").expect("updates");
    let mut behind = open(&database);
    assert_eq!(behind.state().expect("known"), SchemaState::Behind { revision: 2 });
    behind.add_tables().expect("adds");
    assert_eq!(behind.state().expect("known"), SchemaState::Current);
    sql.batch_execute("UPDATE schema_version SET revision = 99").expect("updates");
    assert!(open(&database).state().expect_err("newer").line().contains("99"));
    let nowhere = Address::parse("postgresql://x@127.0.0.1:1/nowhere").expect("a URL");
    let error = Postgres::open(nowhere.clone(), Handle::silent(), Fence::default()).err().expect("refused");
    assert!(error.line().contains("127.0.0.1:1") && error.line().contains("engine"), "{error}");
    initialise(&nowhere, Handle::silent()).expect_err("refused");
}

#[test]
fn a_large_commit_and_a_large_removal_are_set_based() {
    let Some(server) = Server::get("a_large_commit_and_a_large_removal_are_set_based") else { return };
    let (_database, mut store) = initialised(&server);
    let geometry = Geometry::new(200_000 * 4096, 4096);
    let base = version(&mut store, "a", geometry);
    let ids = (0..200_000).step_by(2).collect();
    store.commit_blocks(&base, &[NewRow::Store { ids, blob: blob(1) }]).expect("commits");
    let missing = store.missing(&base).expect("asks");
    assert_eq!(missing.ranges().len(), 100_000);
    store.set_sparse(&base, geometry, &[1..2, 3..4, 199_999..200_000].into()).expect("records");
    assert_eq!(store.sparse_ranges(&base, 2).expect("asks"), [3..4, 199_999..200_000]);
    let next = version(&mut store, "b", geometry);
    let carried = store.carry(&base, &next, &[0..200_000].into()).expect("carries");
    assert_eq!((carried.blocks, carried.sparse.blocks), (100_003, 3));
    assert_eq!(store.rows(&next, 199_990, 100, Rows::All).expect("reads").len(), 6);
    assert_eq!(store.remove_version(&base, 0).expect("removes"), 100_003);
    assert_eq!(store.carry(&base, &next, &[0..9].into()).expect("nothing is left").blocks, 0);
}

/// If an answer is lost, nothing is done twice; if a transaction is rolled back, nothing is lost.
#[test]
fn a_server_that_crashes_and_comes_back_is_no_failure() {
    let Some(server) = Server::own("a_server_that_crashes_and_comes_back_is_no_failure") else { return };
    let (database, _) = initialised(&server);
    let mut store = registered(&database);
    let geometry = Geometry::new(100 * 4096, 4096);
    let made = version(&mut store, "a", geometry);
    let (stop, stopped) = (Arc::new(std::sync::atomic::AtomicBool::new(false)), Arc::clone(&server));
    let flag = Arc::clone(&stop);
    let crashes = std::thread::spawn(move || {
        let mut times = 0;
        while !flag.load(std::sync::atomic::Ordering::SeqCst) || times < 3 {
            std::thread::sleep(Duration::from_millis(300));
            stopped.restart(Stop::Immediate);
            times += 1;
        }
        times
    });
    for id in 0..100 {
        store
            .commit_blocks(&made, &[NewRow::Store { ids: vec![id], blob: blob(id as u32) }])
            .expect("commits");
        std::thread::sleep(Duration::from_millis(5));
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(crashes.join().expect("no panic") >= 3);
    assert_eq!(store.missing(&made).expect("asks"), []);
    assert_eq!(store.rows(&made, 0, 200, Rows::Stored).expect("reads").len(), 100);
}

#[test]
fn a_process_that_was_declared_dead_commits_nothing() {
    let Some(server) = Server::get("a_process_that_was_declared_dead_commits_nothing") else { return };
    let (database, _) = initialised(&server);
    let mut store = registered(&database);
    let made = version(&mut store, "a", Geometry::new(4096, 4096));
    let mut sql = database.client();
    store.add_tags(&made, &["alive".into()]).expect("as long as it is registered");
    sql.batch_execute("DELETE FROM lock_holders").expect("buries");
    let row = NewRow::Store { ids: vec![0], blob: blob(1) };
    let refused = store.commit_blocks(&made, &[row]).expect_err("buried");
    assert!(matches!(&refused, Error::Locked(text) if text.contains("dead")), "{refused}");
    store.without_row(&["x".into()]).expect_err("nor is anything deleted");
    assert_eq!(store.missing(&made).expect("reads go on"), [0..1]);
}

/// A backup is declared dead after it has stored a blob. Then a full cleanup deletes the blob, because no row names
/// it. Returns the result of the rest of the backup.
fn buried_backup(server: &Arc<Server>) -> Result<Finish> {
    let (database, mut cleanup) = initialised(server);
    let mut backup = registered(&database);
    let made = version(&mut backup, "a", Geometry::new(4096, 4096));
    let stored = blob(1);
    database.client().batch_execute("DELETE FROM lock_holders").expect("buries");
    cleanup.drop_unnamed_blobs().expect("drops");
    let unused = cleanup.without_row(std::slice::from_ref(&stored.uid)).expect("asks");
    assert_eq!(unused.first(), Some(&stored.uid), "its data is deleted");
    backup.commit_blocks(&made, &[NewRow::Store { ids: vec![0], blob: stored }])?;
    let statistics = StatisticsRow {
        date: Timestamp::now(),
        version_uid: made.uid.clone(),
        name: made.name.clone(),
        geometry: Geometry::new(4096, 4096),
        statistics: Statistics::default(),
        duration: 0,
    };
    backup.finish_version(&made, &statistics, None)
}

#[test]
fn rule_8_without_the_fence_a_buried_backup_becomes_valid_without_its_data() {
    let Some(server) = Server::get("rule_8_without_the_fence") else { return };
    assert!(matches!(buried_backup(&server), Err(Error::Locked(_))));
    // This statement has the same number of parameters, and its row always exists.
    let anything = "UPDATE schema_version SET revision = revision WHERE ?1::bigint <> 0 AND ?2::bigint <> 0";
    rules::tests::replace("UPDATE writers SET token = ?1 WHERE id = ?2", anything);
    let without = buried_backup(&server);
    assert!(rules::tests::restore().is_empty(), "the statement has changed");
    assert_eq!(without.expect("commits"), Finish::Valid, "the fence is what keeps it out");
}

#[test]
fn an_import_is_all_or_nothing() {
    let Some(server) = Server::get("an_import_is_all_or_nothing") else { return };
    let (database, mut store) = initialised(&server);
    let row = |id: u64, uid: Option<&str>, valid: bool| DumpRow {
        id,
        uid: uid.map(BlobUid::from),
        date: Timestamp::now(),
        checksum: uid.map(|_| "c0ffee".into()),
        size: 4096,
        valid,
        encryption: Encryption::default(),
    };
    let mut a = version(&mut store, "other", Geometry::new(3 * 4096, 4096));
    a.uid = "imported".into();
    a.valid = true;
    let good = [row(0, Some("x"), true), row(1, None, true), row(2, Some("x"), true)];
    let mut import = |version: &Version, rows: &[DumpRow]| {
        store.import(version, &mut rows.iter().cloned().map(Ok)).map_err(|e| e.line())
    };
    import(&a, &good).expect("imports");
    assert!(import(&a, &good).expect_err("again").contains("already exists"));
    let b = Version { uid: "b".into(), ..a.clone() };
    let twice = [row(0, Some("x"), true), row(0, Some("x"), true)];
    assert!(import(&b, &twice).expect_err("twice").contains("block 0 occurs twice"));
    database
        .client()
        .batch_execute("INSERT INTO deleted_blocks (uid, delete_candidate, time) VALUES ('d', 1, 0)")
        .expect("dooms");
    let doomed = [row(0, Some("d"), true)];
    assert!(import(&b, &doomed).expect_err("doomed").contains("which a cleanup is deleting"));
    assert_eq!(
        store.versions(&VersionFilter::default()).expect("lists").versions.len(),
        2,
        "nothing is half there"
    );
    // If rows disagree about a blob, bad wins, for all versions that use it.
    let bad = [row(0, Some("x"), false)];
    store.import(&b, &mut bad.iter().cloned().map(Ok)).expect("imports");
    assert!(
        !store.version(&"imported".into()).expect("there").valid
            && !store.version(&"b".into()).expect("there").valid
    );
    let imported = store.version(&"imported".into()).expect("there");
    let rows = store.dump_rows(&imported, 0, 9);
    assert_eq!(rows.expect("reads").iter().filter(|row| row.uid.is_some() && !row.valid).count(), 2);
}

#[test]
fn the_schema_takes_the_same_advisory_locks_as_the_program() {
    let naming = format!("pg_advisory_xact_lock_shared({CLASS}, {})", Lock::Naming.number());
    assert_eq!(schema::DDL.matches(&naming).count(), 1);
    assert_eq!(schema::DDL.matches("pg_advisory").count(), 1, "it takes no other");
}
