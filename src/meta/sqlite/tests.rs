//! Tests of the SQLite engine itself. The conformance suite tests the behaviour that all engines share.

use super::*;
use crate::meta::tests::conformance::CASES;
use crate::meta::{Carried, Fingerprint, Metadata, NewBlob, Rows, VersionFilter};
use crate::monitor::Silent;
use crate::types::block::{Encryption, Geometry};
use crate::types::keys::EntryId;
use crate::types::settings::FileMode;
use crate::types::time::Timestamp;
use crate::types::version::{NewVersion, Version};
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use std::time::Duration;

fn database() -> (tempfile::TempDir, Metadata) {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("backy.sqlite");
    initialise(&path, FileMode::PRIVATE).expect("initialises");
    let database = Sqlite::open(&path).expect("opens");
    (folder, database.into())
}

#[test]
fn the_engine_keeps_the_contract() {
    for (name, case) in CASES {
        println!("{name}");
        let (_folder, mut database) = database();
        case(&mut database);
    }
}

#[test]
fn a_second_initialisation_is_refused() {
    let (_folder, database) = database();
    assert!(matches!(initialise(&database.sqlite().path, FileMode::PRIVATE), Err(Error::Refused(_))));
    assert_eq!(database.sqlite().state().expect("state"), SchemaState::Current);
}

#[test]
fn unusable_databases_are_reported() {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("x");
    let open = || Sqlite::open(&path).and_then(|opened| opened.state()).expect_err("unusable").line();
    assert!(open().contains("does not exist"), "{}", open());
    assert!(!path.exists(), "opening does not create it");
    std::fs::write(&path, "").expect("write");
    assert!(open().contains("initdb"), "{}", open());
    std::fs::write(&path, "this is no database, whatever it is".repeat(99)).expect("write");
    assert!(open().contains("not a database"), "{}", open());
    std::fs::remove_file(&path).expect("remove");
    Connection::open(&path).expect("open").execute_batch("CREATE TABLE other (x)").expect("create");
    assert!(open().contains("no table versions"), "{}", open());
}

#[test]
fn a_newer_or_foreign_schema_is_refused_and_left_alone() {
    let (_folder, database) = database();
    database.sqlite().connection.execute_batch("UPDATE schema_version SET revision = 99").expect("update");
    assert!(database.sqlite().state().expect_err("newer").line().contains("99"));
    database
        .sqlite()
        .connection
        .execute_batch("DROP TABLE schema_version; UPDATE alembic_version SET version_num = 'abc'")
        .expect("update");
    assert!(database.sqlite().state().expect_err("foreign").line().contains("abc"));
}

/// The SQL of all tables, indexes and triggers.
fn schema_of(database: &Metadata) -> Vec<String> {
    let sql = "SELECT type || ' ' || name || ': ' || coalesce(sql, '') FROM sqlite_master ORDER BY 1";
    let mut statement = database.sqlite().connection.prepare(sql).expect("prepares");
    statement.query_map([], |row| row.get(0)).expect("reads").collect::<rusqlite::Result<_>>().expect("text")
}

#[test]
fn earlier_revisions_get_the_missing_tables() {
    let (_kept, new) = database();
    let without_verifications = "DROP TRIGGER verifications_go; DROP TABLE verifications;";
    let without_copies = "DROP TABLE copies_due; DROP TABLE index_objects; DROP TABLE index_runs;
        DROP TRIGGER copies_due_new_version; DROP TRIGGER copies_due_version; DROP TRIGGER copies_due_old_version;
        DROP TRIGGER copies_due_new_tag; DROP TRIGGER copies_due_tag; DROP TRIGGER copies_due_old_tag;
        DROP TRIGGER copies_due_statistics; DROP TRIGGER copies_due_blob; DROP TRIGGER index_objects_live;";
    let without_stores = "DROP TABLE stores;";
    let without_claims = "DROP TABLE claims; DROP TABLE invalidated;";
    let without_snapshots =
        "DROP TRIGGER version_origins_go; DROP TABLE version_origins; DROP TABLE made_snapshots;";
    for (revision, lacks) in [
        (5, vec![without_verifications]),
        (4, vec![without_verifications, without_copies]),
        (3, vec![without_verifications, without_copies, without_stores]),
        (2, vec![without_verifications, without_copies, without_stores, without_claims]),
        (1, vec![without_verifications, without_copies, without_stores, without_claims, without_snapshots]),
    ] {
        let (_folder, mut database) = database();
        database.sqlite().connection.execute_batch(&lacks.concat()).expect("drops");
        database
            .sqlite()
            .connection
            .execute("UPDATE schema_version SET revision = ?", [revision])
            .expect("updates");
        assert_eq!(database.sqlite().state().expect("known"), SchemaState::Behind { revision });
        database.sqlite_mut().add_tables().expect("adds");
        assert_eq!(database.sqlite().state().expect("known"), SchemaState::Current);
        assert_eq!(schema_of(&database), schema_of(&new));
        database.sqlite_mut().add_tables().expect("nothing to do");
    }
}

/// The schema of the first releases: no snapshots, protection, tags, expiries or encryption.
const FIRST_SCHEMA: &str = "
    CREATE TABLE versions (uid VARCHAR(36) PRIMARY KEY, date DATETIME NOT NULL, name VARCHAR NOT NULL,
        size BIGINT NOT NULL, size_bytes BIGINT NOT NULL, valid INTEGER NOT NULL);
    CREATE TABLE blocks (uid VARCHAR(32), version_uid VARCHAR(36) NOT NULL, id INTEGER NOT NULL,
        date DATETIME NOT NULL, checksum VARCHAR(128), size BIGINT, valid INTEGER NOT NULL,
        PRIMARY KEY (version_uid, id));
    INSERT INTO versions VALUES ('v1', '2019-01-02 03:04:05.000006', 'vm', 4, 13, 1);
    INSERT INTO blocks VALUES ('u1', 'v1', 0, '2019-01-02 03:04:05.1', 'c1', 4, 1),
        ('u1', 'v1', 1, '2019-01-02 03:04:05.2', 'c1', 4, 1), (NULL, 'v1', 2, '2019-01-02 03:04:05.3', NULL, 4, 1),
        ('u2', 'v1', 3, '2019-01-02 03:04:05.4', 'c2', 1, 1);";

#[test]
fn indexes_are_sorted_in_the_given_folder() {
    let folder = tempfile::tempdir().expect("tempdir");
    let connection = Connection::open(folder.path().join("x")).expect("opens");
    upgrade::sorting_in(&connection, Some(folder.path()));
    let set: String =
        connection.query_row("PRAGMA temp_store_directory", [], |row| row.get(0)).expect("it is known");
    upgrade::sorting_in(&connection, None);
    assert_eq!(set, folder.path().to_str().expect("text"));
}

#[test]
fn databases_from_before_encryption_are_upgraded() {
    for later in [
        "",
        "ALTER TABLE versions ADD COLUMN snapshot_name VARCHAR DEFAULT '' NOT NULL;
         ALTER TABLE versions ADD COLUMN protected INTEGER DEFAULT 0 NOT NULL;
         CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);
         INSERT INTO alembic_version VALUES ('29c655b78818');
         CREATE TABLE tags (version_uid VARCHAR(36) NOT NULL, name VARCHAR NOT NULL);
         INSERT INTO tags VALUES ('v1', 'b_daily');",
    ] {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("old");
        let old = Connection::open(&path).expect("open");
        old.execute_batch(&format!("{FIRST_SCHEMA}{later}")).expect("the old schema");
        let mut database = Sqlite::open(&path).expect("opens");
        assert!(matches!(database.state().expect("state"), SchemaState::Old { .. }));
        let copy = upgrade::upgraded_copy(&database, folder.path(), &Silent).expect("a copy");
        let mut copy = Metadata::from(copy);
        assert_eq!((copy.state().expect("state"), copy.is_writable()), (SchemaState::Current, false));
        let version = copy.version(&"v1".into()).expect("there");
        assert_eq!(copy.missing(&version).expect("asked"), []);
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1, "the copy has no name");
        assert!(upgrade::upgrade(&mut database, &Silent).expect("upgraded"));
        assert_eq!(database.state().expect("state"), SchemaState::Current);
        let mut database = Metadata::from(database);
        let version = database.version(&"v1".into()).expect("there");
        assert_eq!((version.size_bytes, version.protected), (13, false));
        assert_eq!(version.tags.len(), usize::from(!later.is_empty()));
        let rows = database.rows(&version, 0, 9, Rows::All).expect("rows");
        let uids: Vec<_> = rows.iter().map(|row| row.blob.as_ref().map(|blob| blob.uid.as_str())).collect();
        assert_eq!(uids, [Some("u1"), Some("u1"), None, Some("u2")]);
        let last = rows[3].blob.as_ref().expect("a blob");
        assert_eq!((last.size, &last.encryption), (1, &Encryption::default()));
        assert!(folder.path().join("old.before-upgrade").exists());
    }
}

fn insert_through_view(
    database: &Metadata,
    version: &str,
    id: u64,
    uid: &str,
    envkey: &str,
) -> rusqlite::Result<usize> {
    database.sqlite().connection.execute(
        "INSERT INTO blocks (uid, version_uid, id, date, checksum, size, valid, enc_version, enc_envkey, enc_nonce)
         VALUES (?, ?, ?, '2026-01-02 03:04:05.000006', 'c0ffee', 4096, 1, 1, ?, '')",
        rusqlite::params![uid, version, id, envkey],
    )
}

/// Does what 2.13 does with its table: inserts, reads, marks and deletes rows.
#[test]
fn the_view_behaves_like_the_table_of_2_13() {
    let (_folder, database) = database();
    let sql = |sql: &str| database.sqlite().connection.execute_batch(sql).expect(sql);
    sql("INSERT INTO versions (uid, date, name, snapshot_name, size, size_bytes, valid, protected)
         VALUES ('v', '2026-01-02 03:04:05.000006', 'n', '', 3, 12288, 0, 0)");
    insert_through_view(&database, "v", 0, "abcd", "k1").expect("inserts");
    insert_through_view(&database, "v", 1, "abcd", "k1").expect("inserts");
    insert_through_view(&database, "v", 2, "", "").expect("inserts a hole");
    let count =
        |sql: &str| database.sqlite().connection.query_row(sql, [], |r| r.get::<_, i64>(0)).expect(sql);
    assert_eq!(count("SELECT count(*) FROM blobs WHERE id > 0"), 1);
    assert_eq!(count("SELECT count(*) FROM blocks WHERE uid = 'abcd' AND enc_envkey = 'k1'"), 2);
    assert_eq!(
        count("SELECT count(*) FROM blocks WHERE uid IS NULL AND checksum IS NULL AND size = 4096"),
        1
    );
    // The same uid with another key is another blob.
    sql("INSERT INTO versions (uid, date, name, snapshot_name, size, size_bytes, valid, protected)
         VALUES ('w', '2026-01-02 03:04:05.000006', 'n', '', 1, 4096, 0, 0)");
    insert_through_view(&database, "w", 0, "abcd", "k2").expect("inserts");
    assert_eq!(count("SELECT count(*) FROM blobs WHERE id > 0"), 2);
    sql("UPDATE blocks SET valid = 0 WHERE uid = 'abcd' AND checksum = 'c0ffee'");
    assert_eq!(count("SELECT count(*) FROM blocks WHERE valid = 0"), 3);
    sql("UPDATE blocks SET enc_envkey = 'k3' WHERE version_uid = 'w'");
    assert_eq!(count("SELECT count(*) FROM blocks WHERE enc_envkey = 'k3'"), 1);
    assert!(database.sqlite().connection.execute_batch("UPDATE blocks SET size = 1").is_err());
    sql("DELETE FROM blocks WHERE version_uid = 'v'");
    assert_eq!(count("SELECT count(*) FROM blocks"), 1);
}

#[test]
fn rule_6_a_doomed_blob_cannot_come_back() {
    let (_folder, database) = database();
    let sql = |sql: &str| database.sqlite().connection.execute_batch(sql).expect(sql);
    sql("INSERT INTO versions (uid, date, name, snapshot_name, size, size_bytes, valid, protected)
         VALUES ('v', '2026-01-02', 'n', '', 2, 8192, 0, 0);
         INSERT INTO deleted_blocks (uid, size, delete_candidate, time) VALUES ('doomed', 1, 1, 0), ('listed', 1, 0, 0)");
    let error = insert_through_view(&database, "v", 0, "doomed", "k").expect_err("refused").to_string();
    assert!(error.contains("being deleted"), "{error}");
    insert_through_view(&database, "v", 0, "listed", "k").expect("a listed one may");
    let rows: i64 = database
        .sqlite()
        .connection
        .query_row("SELECT count(*) FROM blobs", [], |r| r.get(0))
        .expect("count");
    assert_eq!(rows, 1);
}

/// Rule 4 counts by uid, not by row. Importing an old export after a rekey adds a second row for the same data.
#[test]
fn rule_4_data_that_two_rows_share_is_listed_only_with_the_last() {
    let (_folder, mut database) = database();
    for version in ["v", "w"] {
        let sql = "INSERT INTO versions (uid, date, name, snapshot_name, size, size_bytes, valid, protected)
                   VALUES (?, '2026-01-02', 'n', '', 1, 4096, 1, 0)";
        database.sqlite().connection.execute(sql, [version]).expect("inserts");
        insert_through_view(&database, version, 0, "abcd", version).expect("inserts");
    }
    let listed = |database: &Metadata| -> i64 {
        database
            .sqlite()
            .connection
            .query_row("SELECT count(*) FROM deleted_blocks", [], |r| r.get(0))
            .expect("count")
    };
    let (v, w) = (database.version(&"v".into()).expect("v"), database.version(&"w".into()).expect("w"));
    database.remove_version(&v, 0).expect("removes");
    assert_eq!(listed(&database), 0);
    database.remove_version(&w, 0).expect("removes");
    assert_eq!(listed(&database), 1);
}

#[test]
fn readers_and_a_writer_do_not_wait_for_each_other() {
    let (_folder, mut writer) = database();
    let mut reader = Metadata::from(Sqlite::open(&writer.sqlite().path).expect("opens"));
    let transaction = writer
        .sqlite_mut()
        .connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .expect("begins");
    transaction
        .execute_batch(
            "INSERT INTO versions (uid, date, name, snapshot_name, size, size_bytes, valid, protected)
             VALUES ('v', '2026-01-02', 'n', '', 0, 0, 1, 0)",
        )
        .expect("inserts");
    let started = std::time::Instant::now();
    assert!(reader.versions(&VersionFilter::default()).expect("reads").versions.is_empty());
    assert!(started.elapsed() < Duration::from_secs(5));
    transaction.commit().expect("commits");
    assert_eq!(reader.versions(&VersionFilter::default()).expect("reads").versions.len(), 1);
}

/// These statements must use an index, regardless of the size of the database.
#[test]
fn look_ups_use_indexes() {
    let (_folder, database) = database();
    for sql in [
        "SELECT id FROM blobs WHERE checksum = 'x' AND EXISTS (SELECT 1 FROM block_map WHERE blob_id = blobs.id)",
        "SELECT * FROM blocks WHERE version_uid = 'x' ORDER BY id",
        "SELECT * FROM blocks WHERE uid = 'x'",
        "SELECT * FROM blocks WHERE checksum = 'x'",
        "SELECT m.block_id FROM blobs b CROSS JOIN block_map m ON m.blob_id = b.id WHERE b.valid = 0 AND m.version_id = 1",
    ] {
        let mut statement =
            database.sqlite().connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect(sql);
        let plan: Vec<String> =
            statement.query_map([], |row| row.get(3)).and_then(Iterator::collect).expect(sql);
        let scans = plan.iter().filter(|step| step.starts_with("SCAN") && !step.contains("INDEX")).count();
        assert_eq!(scans, 0, "{sql}: {plan:?}");
    }
}

#[test]
fn a_large_commit_and_a_large_removal_are_set_based() {
    let (_folder, mut database) = database();
    let geometry = Geometry::new(200_000 * 4096, 4096);
    let base = version(&mut database, "a", geometry);
    let blob = NewBlob {
        uid: "b".repeat(32).into(),
        fingerprint: Fingerprint { checksum: "00".into(), size: 4096, enc_version: 0 },
        encryption: Encryption::default(),
    };
    let ids = (0..200_000).step_by(2).collect();
    database.commit_blocks(&base, &[crate::meta::NewRow::Store { ids, blob }]).expect("commits");
    let missing = database.missing(&base).expect("asks");
    assert_eq!(missing.ranges().len(), 100_000);
    database.set_sparse(&base, geometry, &missing).expect("records");
    let next = version(&mut database, "b", geometry);
    let started = std::time::Instant::now();
    let carried = database.carry(&base, &next, &[0..200_000].into()).expect("carries");
    let took = started.elapsed();
    assert_eq!((carried.blocks, carried.sparse.blocks), (200_000, 100_000));
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(database.rows(&next, 199_990, 100, Rows::All).expect("reads").len(), 10);
    assert_eq!(database.remove_version(&base, 0).expect("removes"), 200_000);
}

#[test]
fn rule_4_rm_refreshes_an_entry_that_exists() {
    let (_folder, mut database) = database();
    let sql = |database: &Metadata, sql: &str| database.sqlite().connection.execute_batch(sql).expect("runs");
    sql(
        &database,
        "INSERT INTO versions (uid, date, name, snapshot_name, size, size_bytes, valid, protected)
         VALUES ('v', '2026-01-02', 'n', '', 1, 4096, 1, 0);
         INSERT INTO deleted_blocks (uid, size, delete_candidate, time) VALUES ('abcd', 1, 0, 100), ('abcd', 1, 0, 50)",
    );
    insert_through_view(&database, "v", 0, "abcd", "k").expect("inserts");
    let version = database.version(&"v".into()).expect("v");
    database.remove_version(&version, 200).expect("removes");
    let young = database.take_delete_candidates(EntryId::START, 150, 10).expect("takes");
    assert!(young.doomed.is_empty(), "the hour begins anew");
    assert_eq!(database.take_delete_candidates(EntryId::START, 201, 10).expect("takes").doomed, ["abcd"]);
}

/// If a uid has several entries, the newest counts, even if 2.13 has written them.
#[test]
fn rule_4_the_newest_entry_counts() {
    let (_folder, mut database) = database();
    database
        .sqlite()
        .connection
        .execute_batch(
            "INSERT INTO deleted_blocks (uid, size, delete_candidate, time)
             VALUES ('abcd', 1, 0, 10), ('abcd', 1, 0, 100), ('efgh', 1, 0, 10), (NULL, 1, 0, 1), ('', 1, 0, 1)",
        )
        .expect("inserts");
    assert_eq!(database.take_delete_candidates(EntryId::START, 50, 10).expect("takes").doomed, ["efgh"]);
    assert_eq!(database.take_delete_candidates(EntryId::START, 101, 10).expect("takes").doomed, ["abcd"]);
}

#[test]
fn rule_5_a_listed_blob_that_is_in_use_stays() {
    let (_folder, mut database) = database();
    database
        .sqlite()
        .connection
        .execute_batch(
            "INSERT INTO versions (uid, date, name, snapshot_name, size, size_bytes, valid, protected)
             VALUES ('v', '2026-01-02', 'n', '', 1, 4096, 1, 0);
             INSERT INTO deleted_blocks (uid, size, delete_candidate, time) VALUES ('abcd', 1, 0, 0)",
        )
        .expect("inserts");
    insert_through_view(&database, "v", 0, "abcd", "k").expect("inserts");
    let taken = database.take_delete_candidates(EntryId::START, i64::MAX, 10).expect("takes");
    assert_eq!((taken.in_use, taken.doomed.len()), (1, 0));
    let version = database.version(&"v".into()).expect("v");
    assert_eq!(database.rows(&version, 0, 9, Rows::Stored).expect("reads").len(), 1);
    let entries: i64 = database
        .sqlite()
        .connection
        .query_row("SELECT count(*) FROM deleted_blocks", [], |r| r.get(0))
        .expect("count");
    assert_eq!(entries, 0, "the entry is forgotten");
}

#[test]
fn work_in_bulk_leaves_the_check_of_references_on_and_breaks_none() {
    let (_folder, mut database) = database();
    let geometry = Geometry::new(3 * 4096, 4096);
    let base = version(&mut database, "a", geometry);
    database.set_sparse(&base, geometry, &[0..3].into()).expect("records");
    let gone = version(&mut database, "b", geometry);
    assert_eq!(database.remove_version(&gone, 0).expect("removes"), 0);
    let carried = database.carry(&base, &gone, &[0..3].into()).expect("carries");
    assert_eq!(carried, Carried::default(), "nothing into a version that is gone");
    assert_eq!(database.write("failing", Work::Bulk, |db| db.batch("nonsense")).ok(), None);
    let checked =
        database.sqlite().connection.query_row("PRAGMA foreign_keys", [], |row| row.get::<_, bool>(0));
    assert!(checked.expect("asks"), "also after an error");
    let row = "INSERT INTO block_map VALUES (1, 7, 12345)";
    assert!(database.sqlite().connection.execute(row, []).is_err(), "there is no such blob");
    database.remove_version(&base, 0).expect("removes");
    let broken = "SELECT count(*) FROM pragma_foreign_key_check";
    let broken = database.sqlite().connection.query_row(broken, [], |row| row.get::<_, i64>(0));
    assert_eq!(broken.expect("asks"), 0);
}

#[test]
fn work_in_bulk_counts_as_done_if_the_check_of_references_stays_off_and_other_work_needs_it_on() {
    let (_folder, mut database) = database();
    let geometry = Geometry::new(3 * 4096, 4096);
    let gone = version(&mut database, "gone", geometry);
    let stays = version(&mut database, "stays", geometry);
    // SQLite may switch the check off but not on.
    let refuse_on = |context: AuthContext<'_>| match context.action {
        AuthAction::Pragma { pragma_name: "foreign_keys", pragma_value: Some(value) } if value != "0" => {
            Authorization::Deny
        }
        _ => Authorization::Allow,
    };
    database.sqlite_mut().connection.authorizer(Some(refuse_on)).expect("set");
    database.remove_version(&gone, 0).expect("the version is gone");
    assert!(database.version(&gone.uid).is_err());
    let error = database.set_expire(&stays, None).expect_err("unchecked").line();
    assert!(error.contains("switching the check of references"), "{error}");
    database.set_sparse(&stays, geometry, &[0..3].into()).expect_err("still unchecked");

    let allow = None::<fn(AuthContext<'_>) -> Authorization>;
    database.sqlite_mut().connection.authorizer(allow).expect("reset");
    database.set_expire(&stays, None).expect("checked again");
    let row = "INSERT INTO block_map VALUES (1, 7, 12345)";
    assert!(database.sqlite().connection.execute(row, []).is_err(), "there is no such blob");
}

fn version(database: &mut Metadata, uid: &str, geometry: Geometry) -> Version {
    let new = NewVersion {
        uid: uid.into(),
        date: Timestamp::now(),
        expire: None,
        name: "vm".into(),
        snapshot_name: String::new(),
        size: geometry.blocks(),
        size_bytes: geometry.size_bytes(),
        tags: Vec::new(),
        origin: None,
    };
    database.begin_version(&new).expect("begins")
}
