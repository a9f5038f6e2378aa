//! PostgreSQL as the ground of an exploration.

use super::ground::{BlobRow, Content, Entry, Ground, MapRow, VersionRow};
use crate::meta::Metadata;
use crate::meta::postgres::Postgres;
use crate::meta::tests::lab::postgres::Database;
use crate::monitor::Handle;
use crate::pg::{Address, Fence};
use postgres::{Client, Statement};
use std::rc::Rc;

/// A connection for the verbs, and one for looking at what is committed.
pub struct OnServer {
    verbs: Metadata,
    sql: Client,
    looks: Vec<Statement>,
}

/// The queries for [`Content`].
const LOOKS: [&str; 5] = [
    "SELECT id, uid, size, valid FROM versions ORDER BY id",
    "SELECT id, uid, checksum, size, valid, enc_version, enc_envkey FROM blobs ORDER BY id",
    "SELECT version_id, block_id, blob_id FROM block_map ORDER BY 1, 2",
    "SELECT id, uid, size, delete_candidate, time FROM deleted_blocks ORDER BY id",
    "SELECT version_uid FROM invalidated ORDER BY 1",
];

impl OnServer {
    /// Connects. The verbs' session is called `name`.
    pub fn new(database: &Database, name: &str) -> OnServer {
        let separator = if database.url().contains('?') { '&' } else { '?' };
        let url = format!("{}{separator}application_name={name}", database.url());
        let address = Address::parse(&url).expect("a URL");
        let verbs = Postgres::open(address, Handle::silent(), Fence::default()).expect("opens");
        let mut sql = database.client();
        let looks = LOOKS.iter().map(|look| sql.prepare(look).expect(look)).collect();
        OnServer { verbs: verbs.into(), sql, looks }
    }
}

impl Ground for OnServer {
    fn meta(&mut self) -> &mut Metadata {
        &mut self.verbs
    }

    fn content(&mut self) -> Rc<Content> {
        // No command has its turn now, so nothing is committed in the meantime.
        let OnServer { sql, looks, .. } = self;
        let mut looks = looks.iter();
        let mut rows = || sql.query(looks.next().expect("five"), &[]).expect("looks");
        let flag = |row: &postgres::Row, n: usize| row.get::<_, i32>(n) != 0;
        let (versions, blobs, map, entries, invalidated) = (rows(), rows(), rows(), rows(), rows());
        let version =
            |r: &postgres::Row| VersionRow { id: r.get(0), uid: r.get(1), size: r.get(2), valid: flag(r, 3) };
        let blob = |r: &postgres::Row| BlobRow {
            id: r.get(0),
            uid: r.get(1),
            checksum: r.get(2),
            size: r.get(3),
            valid: flag(r, 4),
            enc_version: r.get::<_, i32>(5).into(),
            envkey: r.get(6),
        };
        let entry = |r: &postgres::Row| Entry {
            id: r.get(0),
            uid: r.get(1),
            size: r.get(2),
            doomed: flag(r, 3),
            time: r.get(4),
        };
        Rc::new(Content {
            versions: versions.iter().map(version).collect(),
            blobs: blobs.iter().map(blob).collect(),
            map: map.iter().map(|r| MapRow { version: r.get(0), block: r.get(1), blob: r.get(2) }).collect(),
            entries: entries.iter().map(entry).collect(),
            invalidated: invalidated.iter().map(|r| r.get(0)).collect(),
            due: Vec::new(),
            sequences: Vec::new(),
        })
    }

    /// The next ids are always the same.
    fn set(&mut self, content: &Rc<Content>) {
        let text =
            |text: &Option<String>| text.as_ref().map_or("NULL".to_owned(), |text| format!("'{text}'"));
        let mut sql = "BEGIN; DELETE FROM block_map; DELETE FROM blobs; DELETE FROM versions; DELETE FROM deleted_blocks;
             DELETE FROM invalidated; DELETE FROM stats; SELECT setval(pg_get_serial_sequence(t, 'id'), 1000)
                 FROM unnest(ARRAY['versions', 'blobs', 'deleted_blocks']) AS t;"
            .to_owned();
        for VersionRow { id, uid, size, valid } in &content.versions {
            sql += &format!(
                "INSERT INTO versions (id, uid, date, name, size, size_bytes, valid, protected)
                 VALUES ({id}, '{uid}', '2026-01-02', 'vm', {size}, {size} * 4096, {}, 0);",
                i32::from(*valid)
            );
        }
        for blob in &content.blobs {
            sql += &format!(
                "INSERT INTO blobs (id, uid, checksum, size, valid, enc_version, enc_envkey, date)
                 VALUES ({}, {}, {}, {}, {}, {}, {}, '2026-01-02');",
                blob.id,
                text(&blob.uid),
                text(&blob.checksum),
                blob.size,
                i32::from(blob.valid),
                blob.enc_version,
                text(&blob.envkey)
            );
        }
        for MapRow { version, block, blob } in &content.map {
            sql += &format!("INSERT INTO block_map VALUES ({version}, {block}, {blob});");
        }
        for Entry { id, uid, size, doomed, time } in &content.entries {
            sql += &format!(
                "INSERT INTO deleted_blocks (id, uid, size, delete_candidate, time)
                 VALUES ({id}, '{uid}', {size}, {}, {time});",
                i32::from(*doomed)
            );
        }
        for uid in &content.invalidated {
            sql += &format!("INSERT INTO invalidated (version_uid) VALUES ('{uid}');");
        }
        self.sql.batch_execute(&(sql + "COMMIT")).expect("sets");
    }

    fn old_change(&mut self, sql: &str) -> Result<(), String> {
        self.sql.batch_execute(sql).map_err(|e| e.to_string())
    }

    fn old_read(&mut self, sql: &str) -> Result<Vec<String>, String> {
        let rows = self.sql.query(sql, &[]).map_err(|e| e.to_string())?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

impl OnServer {
    /// Whether the verbs of runner `who` wait for a lock.
    pub fn waits(&mut self, who: usize) -> bool {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = $1 AND wait_event_type = 'Lock'";
        let row = self.sql.query_one(sql, &[&format!("runner {who}")]).expect("asks");
        row.get::<_, i64>(0) > 0
    }
}
