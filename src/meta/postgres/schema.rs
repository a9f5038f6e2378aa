//! Detects the schema of a database, and creates the tables of new databases.

use crate::meta::revision::{Found, Ours};
use crate::meta::sql::{Db, Fallible, values};
use crate::monitor::Handle;
use crate::pg::{self, Address, Failure, Session};
use crate::types::error::{Error, Result};
use crate::types::reason::Reason;

/// The SQL that creates the tables of a new database.
pub(super) const DDL: &str = concat!(
    include_str!("schema.sql"),
    include_str!("later.sql"),
    include_str!("stores.sql"),
    include_str!("copies.sql"),
    include_str!("verifications.sql")
);
/// The SQL that each revision added to the previous one. The first revision on PostgreSQL was 2.
const ADDITIONS: [(i64, &str); 4] = [
    (3, include_str!("later.sql")),
    (4, include_str!("stores.sql")),
    (5, include_str!("copies.sql")),
    (6, include_str!("verifications.sql")),
];

/// Adds the tables that a database of revision `revision` lacks.
pub(super) fn add(db: &mut dyn Db, revision: i64) -> Fallible<()> {
    ADDITIONS.iter().filter(|(added, _)| *added > revision).try_for_each(|(_, sql)| db.batch(sql))
}

/// Whether the first existing schema in the search path has a table or view with that name, even one that we have no
/// permissions for.
fn has(db: &mut dyn Db, name: &str) -> Fallible<bool> {
    let sql = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = current_schema() AND c.relname = CAST(?1 AS TEXT) AND c.relkind IN ('r', 'p', 'v')";
    Ok(db.number(sql, values![name])? > 0)
}

/// All schemas in the search path that have tables of backy2, including schemas that the user may not use.
const TAKEN: &str = "SELECT DISTINCT n.nspname::text
    FROM regexp_split_to_table(current_setting('search_path'), '\\s*,\\s*') AS s (name)
    JOIN pg_namespace n
        ON n.nspname = CASE trim('\"' FROM s.name) WHEN '$user' THEN current_user ELSE trim('\"' FROM s.name) END
    JOIN pg_class c ON c.relnamespace = n.oid
    WHERE c.relname IN ('versions', 'blocks') AND c.relkind IN ('r', 'p', 'v')
    ORDER BY 1";

/// Detects which schema the database has.
pub(super) fn found(db: &mut dyn Db) -> Fallible<Found> {
    let mut found = Found::default();
    if has(db, "schema_version")? {
        let newest = db.first("SELECT max(revision) FROM schema_version", &[], |row| row.opt_int(0))?;
        found.ours = Ours::newest(newest.flatten());
        return Ok(found);
    }
    for table in ["blocks", "versions"] {
        if !has(db, table)? {
            found.lacks = Some(table);
        }
    }
    if has(db, "alembic_version")? {
        found.theirs = db.first("SELECT version_num FROM alembic_version", &[], |row| row.text(0))?;
    }
    Ok(found)
}

/// Creates the tables of the current schema in an existing, empty database.
///
/// # Errors
/// [`Error::Refused`] if any schema in the search path has tables already. Nothing is changed then.
pub(crate) fn initialise(address: &Address, monitor: Handle) -> Result<()> {
    let failed = |reason: Reason| {
        let what = format!("Cannot make the tables in the database {address}");
        let advice = "Create the database itself and its user with createdb and createuser.";
        Error::database(reason.during(&what).advise(advice))
    };
    let mut session = Session::new(address.clone(), monitor);
    let (client, _) = session.client().map_err(|failure| match failure {
        Failure::Because(error) => error,
        failure => failed(failure.reason(address)),
    })?;
    let mut taken = Vec::new();
    let mut make = || -> std::result::Result<bool, postgres::Error> {
        let mut transaction = client.transaction()?;
        for row in transaction.query(TAKEN, &[])? {
            taken.push(row.try_get::<_, String>(0)?);
        }
        if !taken.is_empty() {
            return Ok(false);
        }
        let sql = "SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema()";
        if transaction.query_one(sql, &[])?.try_get::<_, i64>(0)? > 0 {
            return Ok(false);
        }
        transaction.batch_execute(DDL)?;
        transaction.commit()?;
        Ok(true)
    };
    match make() {
        Ok(true) => Ok(()),
        Ok(false) if !taken.is_empty() => Err(Error::refused(format!(
            "The database {address} already has tables of backy2, in the schema {}. Nothing was changed. To \
             use them, call the other commands; if they do not find them, the user lacks rights to that \
             schema. To start over, name another database, or another schema in the URL \
             (?options=-csearch_path%3DSCHEMA).",
            taken.join(" and ")
        ))),
        Ok(false) => Err(Error::refused(format!(
            "The database {address} has tables already. Nothing was changed. To use it, call the other commands; to \
             start anew, name another database."
        ))),
        Err(e) => Err(failed(pg::reason(e))),
    }
}
