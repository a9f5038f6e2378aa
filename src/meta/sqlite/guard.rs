//! Protects against prepared database files: checks who can write the file and what code it contains.

use super::schema::DDL;
use crate::meta::revision::OLD_TABLES;
use crate::types::error::{Error, Result};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rustix::process::geteuid;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Disables the ways in which the content of a file could do harm: functions with side effects in views and triggers,
/// SQL that changes the schema itself, and cells that extend beyond their page.
pub(super) fn harden(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.execute_batch("PRAGMA cell_size_check = ON")
}

/// Refuses a file that everybody can write to. For root it also refuses a file of another user. The content of the
/// database decides what a restore writes.
///
/// # Errors
/// [`Error::Database`].
pub(super) fn check_owner(path: &Path, file: &Metadata, location: &str) -> Result<()> {
    let (mode, owner, shown) = (file.mode() & 0o7777, file.uid(), path.display());
    if mode & 0o002 != 0 {
        return Err(Error::database(format!(
            "Everybody can write the database {location} (mode {mode:04o}), so it is not used. Make sure \
             that nobody has changed it, then run `chmod o-w {shown}`."
        )));
    }
    if geteuid().is_root() && owner != 0 {
        return Err(Error::database(format!(
            "The database {location} belongs to another user (number {owner}), who could make root overwrite files with \
             it. Run this command as that user, or `chown root {shown}`."
        )));
    }
    // SQLite trusts these files and would roll back or replay their content.
    for end in ["-journal", "-wal"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(end);
        let Ok(found) = std::fs::symlink_metadata(&beside) else { continue };
        let trusted = [0, geteuid().as_raw(), owner].contains(&found.uid());
        if !found.is_file() || !trusted {
            return Err(Error::database(format!(
                "{} does not belong to the database's owner, and would change the database {location}. Find \
                 out who put it there, and move it away.",
                Path::new(&beside).display()
            )));
        }
    }
    Ok(())
}

/// Refuses a database with foreign triggers, views or virtual tables that take effect when the program uses its
/// tables.
///
/// # Errors
/// [`Error::Database`], with their names, or because the database cannot be read.
pub(super) fn check_schema(connection: &Connection, location: &str) -> Result<()> {
    let strangers = strangers(connection).map_err(|e| super::error(location, "reading the schema", e))?;
    if strangers.is_empty() {
        return Ok(());
    }
    Err(Error::database(format!(
        "The database {location} is not used: {} not made by backy2, and would run with each command. Look \
         at it with `sqlite3 FILE .schema`; if you do not need it, drop it there.",
        match &strangers[..] {
            [one] => format!("{one} was"),
            many => format!("{} were", many.join(", ")),
        }
    )))
}

/// Lists triggers on our tables, and views and virtual tables with names that we use, unless our schema contains them
/// word for word. Objects of unknown tables are ignored. Release 2.13 has none of these.
fn strangers(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master
               WHERE type IN ('trigger', 'view') OR (type = 'table' AND sql LIKE 'CREATE VIRTUAL%') ORDER BY name";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut strangers = Vec::new();
    while let Some(row) = rows.next()? {
        let (kind, name): (String, String) = (row.get(0)?, row.get(1)?);
        let (table, text): (String, String) = (row.get(2)?, row.get(3)?);
        let ours = kind != "table" && DDL.contains(&text);
        if is_used(&table) && !ours {
            strangers.push(match &kind[..] {
                "trigger" => format!("the trigger {name} of {table}"),
                "view" => format!("the view {name}"),
                _ => format!("the virtual table {name}"),
            });
        }
    }
    Ok(strangers)
}

/// Whether this program or release 2.13 uses a table or view with that name. Case is ignored.
fn is_used(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let made = |kind: &str| DDL.contains(&format!("CREATE {kind} {name} "));
    made("TABLE") || made("VIEW") || OLD_TABLES.contains(&&name[..]) || name.starts_with("sqlite_")
}

#[cfg(test)]
mod tests {
    use super::super::{Sqlite, initialise};
    use super::*;
    use crate::types::settings::FileMode;
    use std::os::unix::fs::PermissionsExt;

    fn database() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("backy.sqlite");
        initialise(&path, FileMode::PRIVATE).expect("initialised");
        (folder, path)
    }

    fn refusal(path: &Path) -> String {
        match Sqlite::open(path) {
            Err(Error::Database(text)) => text.line(),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it was opened"),
        }
    }

    #[test]
    fn foreign_triggers_and_views_of_our_tables_are_named_and_nothing_is_done() {
        for (sql, name) in [
            (
                "CREATE TRIGGER gotcha AFTER INSERT ON versions BEGIN DELETE FROM tags; END",
                "the trigger gotcha of versions",
            ),
            (
                "CREATE TRIGGER g2 INSTEAD OF DELETE ON blocks BEGIN DELETE FROM tags; END",
                "the trigger g2 of blocks",
            ),
            (
                "DROP TRIGGER blocks_delete; CREATE TRIGGER blocks_delete INSTEAD OF DELETE ON blocks BEGIN SELECT 1; END",
                "the trigger blocks_delete of blocks",
            ),
            ("DROP TABLE stats; CREATE VIEW stats AS SELECT 1", "the view stats"),
            ("DROP VIEW blocks; CREATE VIEW Blocks AS SELECT * FROM block_map", "the view Blocks"),
        ] {
            let (_folder, path) = database();
            Connection::open(&path).expect("opened").execute_batch(sql).expect(sql);
            let error = refusal(&path);
            assert!(error.contains(name) && error.contains("not made by backy2"), "{sql}: {error}");
        }
        let (_folder, path) = database();
        let own = "CREATE TABLE notes (x); CREATE VIEW report AS SELECT name FROM versions;
                   CREATE TRIGGER mine AFTER INSERT ON notes BEGIN SELECT 1; END";
        Connection::open(&path).expect("opened").execute_batch(own).expect("made");
        Sqlite::open(&path).expect("objects beside our tables do no harm");
    }

    #[test]
    fn the_content_of_a_file_cannot_do_harm() {
        let (_folder, path) = database();
        let database = Sqlite::open(&path).expect("opened");
        let connection = &database.connection;
        let on =
            |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
        assert_eq!((on("trusted_schema"), on("cell_size_check")), (Ok(0), Ok(1)));
        assert_eq!(connection.db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE), Ok(true));
        let forged = "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = '' WHERE name = 'blocks'";
        assert!(connection.execute_batch(forged).is_err());
    }

    #[test]
    fn a_file_that_everybody_can_write_is_refused_and_one_of_a_group_is_not() {
        let (_folder, path) = database();
        for (mode, refused) in [(0o666, true), (0o602, true), (0o660, false), (0o644, false), (0o600, false)]
        {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("changed");
            if refused {
                assert!(refusal(&path).contains("chmod o-w"), "{mode:o}")
            } else {
                drop(Sqlite::open(&path).expect("opened"))
            }
        }
    }

    #[test]
    fn root_uses_no_file_of_another_user_nor_a_journal_that_one_has_put_there() {
        if !geteuid().is_root() {
            crate::skip::skip(
                "root_uses_no_file_of_another_user_nor_a_journal_that_one_has_put_there",
                "needs root",
            );
            return;
        }
        let (folder, path) = database();
        let wal = folder.path().join("backy.sqlite-wal");
        std::fs::write(&wal, "").expect("written");
        std::os::unix::fs::chown(&wal, Some(65534), None).expect("given away");
        assert!(refusal(&path).contains("backy.sqlite-wal"));
        std::fs::remove_file(&wal).expect("removed");
        std::os::unix::fs::symlink("/etc/hostname", &wal).expect("linked");
        assert!(refusal(&path).contains("backy.sqlite-wal"));
        std::fs::remove_file(&wal).expect("removed");
        std::os::unix::fs::chown(&path, Some(65534), None).expect("given away");
        assert!(refusal(&path).contains("belongs to another user (number 65534)"));
    }
}
