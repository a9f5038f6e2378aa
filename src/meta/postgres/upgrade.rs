//! Upgrades the database of an older release to the current schema in one transaction: it renames all old tables,
//! creates the current schema, and copies the rows of the old tables by column name.

use super::Postgres;
use super::schema::{self, DDL};
use crate::failpoint;
use crate::meta::SchemaState;
use crate::meta::revision::{self, ASIDE, OLD_TABLES, STATISTICS};
use crate::meta::sql::{Db, Fallible, Fault, Work, values};
use crate::monitor::{Activity, Handle, Monitor, Progress};
use crate::pg::advisory::{CLASS, Lock};
use crate::pool::threads::start_alone;
use crate::types::error::{Error, Result};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Number of the advisory lock that an upgrade holds.
const UPGRADING: i32 = Lock::Upgrading as i32;
/// Maximum number of attempts while another process upgrades, and the pause between them.
const TRIES: u32 = 120;
const PAUSE: Duration = Duration::from_millis(500);
/// Pause between two checks for a signal.
const LOOK: Duration = Duration::from_millis(50);
/// Approximate number of statements in which the blocks are mapped.
const PIECES: u64 = 20;

/// Upgrades `database`. It waits for transactions that use the old tables, and later ones wait for it. Returns
/// whether an upgrade was necessary.
///
/// # Errors
/// [`Error::Locked`]: another process is upgrading the database; a signal; a failure of the database. Nothing is
/// changed then.
pub(super) fn upgrade(database: &mut Postgres, monitor: &dyn Monitor) -> Result<bool> {
    let location = database.location.clone();
    let watch = SignalWatch::start(database, monitor.handle())?;
    let mut tries = 0;
    let done = loop {
        let attempt =
            database.write("upgrading the database", Work::Small, |db| once(db, &location, monitor));
        tries += 1;
        match attempt {
            Err(Error::Locked(text)) if tries < TRIES && monitor.interrupted().is_none() => {
                if tries == 1 {
                    monitor.announce(&text);
                }
                std::thread::sleep(PAUSE);
            }
            Err(_) if monitor.interrupted().is_some() => break monitor.check().map(|()| false),
            other => break other,
        }
    };
    watch.stop();
    let done = done?;
    database.old = false;
    if done {
        database.write("collecting statistics", Work::Small, |db| db.batch("ANALYZE"))?;
        monitor.info("The database is upgraded. backy2 2.13 can go on using it.");
    }
    Ok(done)
}

/// The whole upgrade, in the transaction of `db`.
fn once(db: &mut dyn Db, location: &str, monitor: &dyn Monitor) -> Fallible<bool> {
    alone(db, location)?;
    let found = schema::found(db)?;
    if !matches!(revision::state(location, found).map_err(Fault::Because)?, SchemaState::Old { .. }) {
        return Ok(false);
    }
    monitor.announce(&format!(
        "The database {location} was made by an older release and is being upgraded, in one transaction."
    ));
    set_aside(db)?;
    db.batch(DDL)?;
    copy_catalogue(db)?;
    copy_blocks(db, monitor)?;
    check(db, location)?;
    for table in OLD_TABLES {
        db.batch(&format!("DROP TABLE IF EXISTS {ASIDE}{table} CASCADE"))?;
    }
    // A signal may have arrived between two statements.
    monitor.check().map_err(Fault::Because)?;
    failpoint::pass("upgrade-middle");
    Ok(true)
}

/// Takes the lock for upgrades. If another process holds it, the error names that process.
fn alone(db: &mut dyn Db, location: &str) -> Fallible<()> {
    let taken =
        format!("SELECT CAST(CAST(pg_try_advisory_xact_lock({CLASS}, {UPGRADING}) AS INTEGER) AS BIGINT)");
    if db.number(&taken, &[])? != 0 {
        return Ok(());
    }
    let holder = format!(
        "SELECT coalesce(a.application_name, '') || ' on ' || coalesce(host(a.client_addr), 'the server itself')
                || coalesce(' since ' || to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC', '')
         FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
         WHERE l.locktype = 'advisory' AND l.granted AND l.classid = {CLASS} AND l.objid = {UPGRADING}
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    );
    let holder = db.first(&holder, &[], |row| row.opt_text(0))?.flatten();
    Err(Fault::Because(Error::Locked(format!(
        "The database {location} is being upgraded by {}. Try again when that has ended.",
        holder.as_deref().unwrap_or("another process")
    ))))
}

/// Cancels the running statement when a signal arrives.
struct SignalWatch {
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl SignalWatch {
    fn start(database: &mut Postgres, monitor: Handle) -> Result<Self> {
        let cancel = match database.session.canceller() {
            Ok(cancel) => cancel,
            Err(failure) => return Err(database.unreachable(failure)),
        };
        let over = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&over);
        let thread = start_alone("cancel", move || {
            while !watched.load(Ordering::Relaxed) {
                if monitor.interrupted().is_some() {
                    cancel();
                }
                std::thread::sleep(LOOK);
            }
        })?;
        Ok(SignalWatch { over, thread })
    }

    fn stop(self) {
        self.over.store(true, Ordering::Relaxed);
        // The thread only sleeps, so this does not take long.
        let _ = self.thread.join();
    }
}

fn set_aside(db: &mut dyn Db) -> Fallible<()> {
    for table in OLD_TABLES {
        if columns_of(db, table)?.is_empty() {
            continue;
        }
        db.batch(&format!("ALTER TABLE {table} RENAME TO {ASIDE}{table}"))?;
        // The new tables need the names of the old indexes, and of the sequences behind columns.
        let indexes = "SELECT i.relname::text,
                 EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.oid AND c.contype IN ('p', 'u', 'x'))
             FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = to_regclass(?1)";
        let aside = format!("{ASIDE}{table}");
        for (index, constraint) in db.all(indexes, values![&aside], |row| Ok((row.text(0)?, row.flag(1)?)))? {
            let quoted = index.replace('"', "\"\"");
            db.batch(&if constraint {
                format!("ALTER INDEX \"{quoted}\" RENAME TO \"{ASIDE}{quoted}\"")
            } else {
                format!("DROP INDEX \"{quoted}\"")
            })?;
        }
        let owned =
            "SELECT s.relname::text FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
             WHERE d.refobjid = to_regclass(?1)";
        for sequence in db.all(owned, values![&aside], |row| row.text(0))? {
            let quoted = sequence.replace('"', "\"\"");
            db.batch(&format!("ALTER SEQUENCE \"{quoted}\" RENAME TO \"{ASIDE}{quoted}\""))?;
        }
    }
    Ok(())
}

/// The columns of a table; empty if there is no such table.
fn columns_of(db: &mut dyn Db, table: &str) -> Fallible<BTreeSet<String>> {
    let sql = "SELECT column_name::text FROM information_schema.columns
               WHERE table_schema = current_schema() AND table_name::text = ?1";
    Ok(db.all(sql, values![table], |row| row.text(0))?.into_iter().collect())
}

fn columns(db: &mut dyn Db, table: &str) -> Fallible<BTreeSet<String>> {
    columns_of(db, &format!("{ASIDE}{table}"))
}

/// An SQL expression for `column` of an old table, or for `default` if that release did not have the column.
fn column(columns: &BTreeSet<String>, column: &str, default: &str) -> String {
    if columns.contains(column) { format!("coalesce(o.{column}, {default})") } else { default.to_owned() }
}

fn copy_catalogue(db: &mut dyn Db) -> Fallible<()> {
    let have = columns(db, "versions")?;
    // For some time expiries were dates without a time.
    let expire = if have.contains("expire") { "o.expire::timestamp" } else { "NULL::timestamp" };
    db.batch(&format!(
        "INSERT INTO versions (uid, date, expire, name, snapshot_name, size, size_bytes, valid, protected)
         SELECT rtrim(o.uid), o.date, {expire}, o.name, {}, o.size, o.size_bytes, o.valid, {}
         FROM {ASIDE}versions o ORDER BY o.date, o.uid",
        column(&have, "snapshot_name", "''"),
        column(&have, "protected", "0"),
    ))?;
    if !columns(db, "tags")?.is_empty() {
        db.batch(&format!(
            "INSERT INTO tags (version_uid, name)
             SELECT v.uid, o.name FROM {ASIDE}tags o JOIN versions v ON v.uid = rtrim(o.version_uid)
             ON CONFLICT DO NOTHING"
        ))?;
    }
    if !columns(db, "deleted_blocks")?.is_empty() {
        db.batch(&format!(
            "INSERT INTO deleted_blocks (uid, size, delete_candidate, time)
             SELECT rtrim(o.uid), o.size, 0, o.time FROM {ASIDE}deleted_blocks o ORDER BY o.id"
        ))?;
    }
    // The migrations of 2.13 rename `stats` to `stats_old` between two steps.
    for table in ["stats_old", "stats"] {
        if columns(db, table)?.is_empty() {
            continue;
        }
        db.batch(&format!(
            "INSERT INTO stats ({STATISTICS}) SELECT {STATISTICS} FROM {ASIDE}{table} o
             WHERE NOT EXISTS (SELECT 1 FROM stats s WHERE s.version_uid = o.version_uid AND s.date = o.date)
             ORDER BY o.date"
        ))?;
    }
    Ok(())
}

fn copy_blocks(db: &mut dyn Db, monitor: &dyn Monitor) -> Fallible<()> {
    let have = columns(db, "blocks")?;
    let text = |name: &str| {
        if have.contains(name) {
            // Columns of fixed width are padded, so trim the text.
            format!("coalesce(rtrim(o.{name}), '')")
        } else {
            "''::text".to_owned()
        }
    };
    let old = format!(
        "SELECT v.id AS version, o.id, {} AS uid, {} AS checksum, coalesce(o.size, 0) AS size, o.valid, o.date,
             {} AS enc_version, {} AS enc_envkey, {} AS enc_nonce
         FROM {ASIDE}blocks o JOIN versions v ON v.uid = rtrim(o.version_uid)",
        text("uid"),
        text("checksum"),
        column(&have, "enc_version", "0"),
        text("enc_envkey"),
        text("enc_nonce")
    );
    show(monitor, "1/2: finding the blobs", 0, 1);
    db.batch(&format!(
        "INSERT INTO blobs (id, size, valid, enc_version, date)
         SELECT -size, size, 1, 0, min(date) FROM ({old}) AS o WHERE uid = '' GROUP BY size;
         INSERT INTO blobs (uid, checksum, size, valid, enc_version, enc_envkey, enc_nonce, date)
         SELECT uid, nullif(checksum, ''), size, min(valid), enc_version, nullif(enc_envkey, ''),
                nullif(min(enc_nonce), ''), min(date)
         FROM ({old}) AS o WHERE uid <> '' GROUP BY uid, checksum, size, enc_version, enc_envkey
         ORDER BY min(date), uid;
         ANALYZE blobs"
    ))?;
    let versions =
        db.all("SELECT uid, size FROM versions ORDER BY id", &[], |row| Ok((row.text(0)?, row.size(1)?)))?;
    let total: u64 = versions.iter().map(|(_, size)| size + 1).sum();
    let mut done = 0;
    for piece in pieces(&versions, total / PIECES) {
        const STEP: &str = "2/2: mapping the blocks";
        show(monitor, STEP, done, total);
        // Use literals, so that the server uses the old index whatever type its column has.
        let uids: Vec<String> =
            piece.iter().map(|(uid, _)| format!("'{}'", uid.replace('\'', "''"))).collect();
        db.batch(&format!(
            "INSERT INTO block_map (version_id, block_id, blob_id)
             SELECT o.version, o.id, CASE WHEN o.uid = '' THEN -o.size ELSE b.id END
             FROM ({old} WHERE o.version_uid IN ({})) AS o
             LEFT JOIN blobs b ON b.id > 0 AND b.uid = o.uid AND coalesce(b.checksum, '') = o.checksum
                 AND b.size = o.size AND b.enc_version = o.enc_version AND coalesce(b.enc_envkey, '') = o.enc_envkey
             ORDER BY o.version, o.id",
            uids.join(", ")
        ))?;
        done += piece.iter().map(|(_, size)| size + 1).sum::<u64>();
    }
    Ok(())
}

/// Groups neighbouring versions until a group has more than `size` blocks.
fn pieces(mut versions: &[(String, u64)], size: u64) -> Vec<&[(String, u64)]> {
    let mut pieces = Vec::new();
    while !versions.is_empty() {
        let mut sum = 0;
        let enough = versions.iter().position(|(_, blocks)| {
            sum += blocks + 1;
            sum > size
        });
        let (piece, rest) = versions.split_at(enough.map_or(versions.len(), |last| last + 1));
        pieces.push(piece);
        versions = rest;
    }
    pieces
}

fn show(monitor: &dyn Monitor, step: &str, done: u64, total: u64) {
    let activity = Activity::Upgrade { step };
    monitor.progress(&Progress::new(activity, done, total, 0));
}

/// Checks that every block of a version was mapped. Blocks without a version are dropped.
fn check(db: &mut dyn Db, location: &str) -> Fallible<()> {
    let before = db.number(
        &format!("SELECT count(*) FROM {ASIDE}blocks WHERE rtrim(version_uid) IN (SELECT uid FROM versions)"),
        &[],
    )?;
    let after = db.number("SELECT count(*) FROM blocks", &[])?;
    if before == after {
        return Ok(());
    }
    Err(Fault::Because(Error::database(format!(
        "The database {location} cannot be upgraded: of {before} blocks {after} were mapped. Nothing was changed."
    ))))
}
