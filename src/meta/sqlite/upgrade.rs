//! Bringing the database of an older release to the current schema, in place.
//!
//! All revisions go the same way: every old table is set aside, the current schema is made, and what the old
//! tables have is copied by the names of their columns. So the order of columns does not matter, nor what a
//! migration of 2.13 left half done.

use super::open::{Obstacle, use_wal};
use super::schema::{self, DDL, has};
use super::{Sqlite, error};
use crate::failpoint;
use crate::meta::State;
use crate::meta::revision::{ASIDE, OLD_TABLES, STATISTICS};
use crate::sys::private;
use crate::types::error::{Error, Result};
use crate::types::settings::FileMode;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, backup};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Upgrades `database`. A copy of the file is put beside it first. `say` is told what happens.
///
/// The caller makes sure that nobody else uses the database. Whether there is anything to do is looked at
/// again inside the transaction.
///
/// # Errors
/// Too little space, or what the database says; nothing is changed then.
pub fn upgrade(database: &mut Sqlite, say: &mut dyn FnMut(&str)) -> Result<()> {
    if !matches!(database.state()?, State::Old { .. }) {
        return Ok(());
    }
    check_space(&database.path, &database.location)?;
    let copy = copy_aside(database)?;
    say(&format!(
        "The database {} was made by an older release and is being upgraded. A copy of it is in {}.",
        database.location,
        copy.display()
    ));
    let location = database.location.clone();
    migrate(&mut database.connection, &location, say).inspect_err(|_| {
        // Nothing was changed. A nightly run that fails must not leave one more copy every time.
        let _ = std::fs::remove_file(&copy);
    })?;
    say("Upgrade 3/3: giving unused space back");
    // The old tables leave most of the file empty. That it cannot be made smaller would be no harm.
    let _ = database.connection.execute_batch("VACUUM");
    use_wal(&database.connection);
    say("The database is upgraded. backy2 2.13 can go on using it, except for rekey.");
    Ok(())
}

/// A temporary upgraded copy of a database that cannot be written: what is read is right, what is written is
/// gone with the process.
///
/// # Errors
/// What the database says.
pub fn upgraded_copy(database: &Sqlite, folder: &Path) -> Result<Sqlite> {
    let location = database.location.clone();
    let failed = |e: rusqlite::Error| error(&location, "copying the database", &e);
    let unusable = |e: std::io::Error| {
        let folder = folder.display();
        Error::Database(format!("A copy of the database {location} cannot be made in cachedir {folder}: {e}"))
    };
    let folder = std::fs::canonicalize(folder).map_err(unusable)?;
    let (_, path) = private::temporary(&folder, "backy2-", FileMode::PRIVATE).map_err(unusable)?;
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
    // The copy first has the journal mode of the original.
    const ALONE: &str = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY";
    let copied = connection
        .execute_batch(ALONE)
        .and_then(|()| copy_into(&database.connection, &mut connection))
        .and_then(|()| connection.execute_batch(ALONE));
    // The name goes at once; the open file stays until the process ends.
    let _ = std::fs::remove_file(&path);
    copied.map_err(failed)?;
    migrate(&mut connection, &location, &mut |_| {})?;
    Ok(Sqlite::on(connection, &database.path, location, Some(Obstacle::Rights)))
}

/// The copy, the old tables and the new ones exist at the same time.
fn check_space(path: &Path, location: &str) -> Result<()> {
    let size = std::fs::metadata(path).map_or(0, |m| m.len());
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(fs) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let (free, needed) = (fs.f_bavail * fs.f_frsize, size * 5 / 2);
    if free < needed {
        return Err(Error::Database(format!(
            "The database {location} must be upgraded, which needs {} MiB beside it; {} MiB are free. Nothing was \
             changed.",
            needed >> 20,
            free >> 20
        )));
    }
    Ok(())
}

fn copy_into(from: &Connection, to: &mut Connection) -> rusqlite::Result<()> {
    backup::Backup::new(from, to)?.run_to_completion(4096, Duration::ZERO, None)
}

/// Copies the database to `<file>.before-upgrade`; never over an earlier copy.
fn copy_aside(database: &Sqlite) -> Result<PathBuf> {
    let name = |n: u32| {
        let mut name = database.path.clone().into_os_string();
        name.push(if n == 0 { ".before-upgrade".into() } else { format!(".before-upgrade.{n}") });
        PathBuf::from(name)
    };
    let target = (0..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0));
    let mut partial = target.clone().into_os_string();
    partial.push(".part");
    let partial = PathBuf::from(partial);
    let failed = |message: String| {
        let _ = std::fs::remove_file(&partial);
        Error::Database(format!(
            "The database {} must be upgraded, and a copy of it could not be made in {}: {message}. Nothing was \
             changed.",
            database.location,
            target.display()
        ))
    };
    let _ = std::fs::remove_file(&partial);
    private::create(&partial, FileMode::PRIVATE).map_err(|e| failed(e.to_string()))?;
    let mut copy = Connection::open(&partial).map_err(|e| failed(e.to_string()))?;
    copy_into(&database.connection, &mut copy).map_err(|e| failed(e.to_string()))?;
    drop(copy);
    let mode = std::fs::metadata(&database.path).map(|m| m.permissions());
    mode.and_then(|mode| std::fs::set_permissions(&partial, mode))
        .and_then(|()| std::fs::File::open(&partial)?.sync_all())
        .and_then(|()| std::fs::rename(&partial, &target))
        .map_err(|e| failed(e.to_string()))?;
    Ok(target)
}

/// The upgrade itself, in one transaction.
fn migrate(connection: &mut Connection, location: &str, say: &mut dyn FnMut(&str)) -> Result<()> {
    let failed = |e: rusqlite::Error| error(location, "upgrading the database", &e);
    // Setting tables aside must not redirect references, and they are checked at the end.
    connection.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON").map_err(failed)?;
    let result = (|| {
        let t = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        if !matches!(schema::state(&t, location)?, State::Old { .. }) {
            return Ok(());
        }
        set_aside(&t).map_err(failed)?;
        t.execute_batch(DDL).map_err(failed)?;
        copy_catalogue(&t).map_err(failed)?;
        copy_blocks(&t, say).map_err(failed)?;
        let blocks = old_blocks(&t).map_err(failed)?;
        // Their references are checked, too, as long as they are there, and nothing has ever enforced them.
        for table in OLD_TABLES {
            t.execute_batch(&format!("DROP TABLE IF EXISTS {ASIDE}{table}")).map_err(failed)?;
        }
        check(&t, location, blocks)?;
        failpoint::pass("upgrade-middle");
        t.commit().map_err(failed)
    })();
    connection.execute_batch("PRAGMA legacy_alter_table = OFF; PRAGMA foreign_keys = ON").map_err(failed)?;
    result
}

fn set_aside(t: &Transaction) -> rusqlite::Result<()> {
    let indexes: Vec<String> = t
        .prepare("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for index in indexes {
        t.execute_batch(&format!("DROP INDEX \"{}\"", index.replace('"', "\"\"")))?;
    }
    for table in OLD_TABLES {
        if has(t, table)? {
            t.execute_batch(&format!("ALTER TABLE {table} RENAME TO {ASIDE}{table}"))?;
        }
    }
    Ok(())
}

/// The columns of an old table; none if there is no such table.
fn columns(t: &Transaction, table: &str) -> rusqlite::Result<BTreeSet<String>> {
    let mut statement = t.prepare(&format!("PRAGMA table_info({ASIDE}{table})"))?;
    statement.query_map([], |row| row.get(1))?.collect()
}

/// An expression for `column` of an old table, or for `default` where that release had none. Never a bare
/// number: behind GROUP BY that would mean a column of the result.
fn column(columns: &BTreeSet<String>, column: &str, default: &str) -> String {
    match columns.contains(column) {
        true => format!("coalesce(o.{column}, {default})"),
        false => format!("coalesce(NULL, {default})"),
    }
}

fn copy_catalogue(t: &Transaction) -> rusqlite::Result<()> {
    let have = columns(t, "versions")?;
    // Expiries were dates for a while, and 2.13 reads only full timestamps.
    let expire = match have.contains("expire") {
        true => {
            "CASE WHEN length(o.expire) = 10 THEN o.expire || ' 00:00:00.000000' ELSE nullif(o.expire, '') END"
        }
        false => "NULL",
    };
    t.execute_batch(&format!(
        "INSERT INTO versions (uid, date, expire, name, snapshot_name, size, size_bytes, valid, protected)
         SELECT o.uid, o.date, {expire}, o.name, {}, o.size, o.size_bytes, o.valid, {}
         FROM {ASIDE}versions o ORDER BY o.date, o.rowid",
        column(&have, "snapshot_name", "''"),
        column(&have, "protected", "0"),
    ))?;
    if !columns(t, "tags")?.is_empty() {
        t.execute_batch(&format!(
            "INSERT OR IGNORE INTO tags (version_uid, name)
             SELECT o.version_uid, o.name FROM {ASIDE}tags o JOIN versions v ON v.uid = o.version_uid"
        ))?;
    }
    if !columns(t, "deleted_blocks")?.is_empty() {
        t.execute_batch(&format!(
            "INSERT INTO deleted_blocks (id, uid, size, delete_candidate, time)
             SELECT o.id, o.uid, o.size, 0, o.time FROM {ASIDE}deleted_blocks o"
        ))?;
    }
    copy_statistics(t)
}

/// `stats_old` is what `stats` was called between two steps of 2.13's migrations.
fn copy_statistics(t: &Transaction) -> rusqlite::Result<()> {
    for table in ["stats_old", "stats"] {
        if columns(t, table)?.is_empty() {
            continue;
        }
        t.execute_batch(&format!(
            "INSERT INTO stats ({STATISTICS}) SELECT {STATISTICS} FROM {ASIDE}{table} o
             WHERE NOT EXISTS (SELECT 1 FROM stats s WHERE s.version_uid = o.version_uid AND s.date = o.date)
             ORDER BY o.date, o.rowid"
        ))?;
    }
    Ok(())
}

fn copy_blocks(t: &Transaction, say: &mut dyn FnMut(&str)) -> rusqlite::Result<()> {
    let have = columns(t, "blocks")?;
    let checksum = "nullif(o.checksum, '')";
    let size = "coalesce(o.size, 0)";
    let enc_version = column(&have, "enc_version", "0");
    let envkey = format!("nullif({}, '')", column(&have, "enc_envkey", "''"));
    let nonce = format!("nullif({}, '')", column(&have, "enc_nonce", "''"));
    let rows: i64 = t.query_row(&format!("SELECT count(*) FROM {ASIDE}blocks"), [], |row| row.get(0))?;
    say(&format!("Upgrade 1/3: finding the blobs of {rows} blocks"));
    t.execute_batch(&format!(
        "INSERT INTO blobs (id, size, valid, enc_version, date)
         SELECT -{size}, {size}, 1, 0, min(o.date) FROM {ASIDE}blocks o WHERE coalesce(o.uid, '') = '' GROUP BY {size};
         INSERT INTO blobs (uid, checksum, size, valid, enc_version, enc_envkey, enc_nonce, date)
         SELECT o.uid, {checksum}, {size}, min(o.valid), {enc_version}, {envkey}, {nonce}, min(o.date)
         FROM {ASIDE}blocks o JOIN versions v ON v.uid = o.version_uid WHERE o.uid <> ''
         GROUP BY o.uid, coalesce({checksum}, ''), {size}, {enc_version}, coalesce({envkey}, '')
         ORDER BY min(o.date), min(o.rowid);"
    ))?;
    say("Upgrade 2/3: mapping the blocks");
    t.execute_batch(&format!(
        "INSERT INTO block_map (version_id, block_id, blob_id)
         SELECT v.id, o.id, CASE WHEN coalesce(o.uid, '') = '' THEN -{size} ELSE
             (SELECT b.id FROM blobs b WHERE b.id > 0 AND b.uid = o.uid
                AND coalesce(b.checksum, '') = coalesce({checksum}, '') AND b.size = {size}
                AND b.enc_version = {enc_version} AND coalesce(b.enc_envkey, '') = coalesce({envkey}, '')) END
         FROM versions v CROSS JOIN {ASIDE}blocks o ON o.version_uid = v.uid ORDER BY v.id, o.id;"
    ))
}

/// How many blocks the versions of the old database have. What belongs to no version is left behind.
fn old_blocks(t: &Transaction) -> rusqlite::Result<i64> {
    let sql = format!("SELECT count(*) FROM {ASIDE}blocks WHERE version_uid IN (SELECT uid FROM versions)");
    t.query_row(&sql, [], |row| row.get(0))
}

/// Every one of the `before` rows must have arrived, and every reference must hold.
fn check(t: &Transaction, location: &str, before: i64) -> Result<()> {
    let failed = |e: rusqlite::Error| error(location, "checking the upgrade", &e);
    let count = |sql: &str| t.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(failed);
    let after = count("SELECT count(*) FROM blocks")?;
    let broken = count("SELECT count(*) FROM pragma_foreign_key_check")?;
    if before != after || broken != 0 {
        return Err(Error::Database(format!(
            "The database {location} cannot be upgraded: of {before} blocks {after} were mapped, and {broken} \
             references are broken. Nothing was changed."
        )));
    }
    Ok(())
}
