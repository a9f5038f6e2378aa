//! Which schema a database has, and making a new one.

use crate::meta::revision::Found;
use crate::meta::sql::{Db, Fallible, values};
use crate::pg::{Address, Failure, Session, describe};
use crate::types::error::{Error, Result};

/// The DDL of a new database.
pub(super) const DDL: &str = concat!(include_str!("schema.sql"), include_str!("later.sql"));
/// What each revision has and the one before has not. The first one that PostgreSQL had is 2.
const ADDITIONS: [(i64, &str); 1] = [(3, include_str!("later.sql"))];

/// Adds what a database of revision `revision` of the schema lacks.
pub(super) fn add(db: &mut dyn Db, revision: i64) -> Fallible<()> {
    ADDITIONS.iter().filter(|(added, _)| *added > revision).try_for_each(|(_, sql)| db.batch(sql))
}

/// Whether there is a table or view of that name where names are looked for first.
fn has(db: &mut dyn Db, name: &str) -> Fallible<bool> {
    let sql = "SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema() AND table_name::text = ?1";
    Ok(db.number(sql, values![name])? > 0)
}

/// What there is in the database.
pub(super) fn found(db: &mut dyn Db) -> Fallible<Found> {
    let mut found = Found::default();
    if has(db, "schema_version")? {
        found.ours = db.first("SELECT max(revision) FROM schema_version", &[], |row| row.opt_int(0))?;
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

/// Makes the tables of the current schema in an existing, empty database.
///
/// # Errors
/// [`Error::Refused`] if it has tables already; nothing is changed then.
pub fn initialise(address: &Address) -> Result<()> {
    let failed = |why: String| {
        Error::Database(format!(
            "Cannot make the tables in the database {address}: {why}. The database itself and its user are made with \
             createdb and createuser."
        ))
    };
    let mut session = Session::new(address.clone());
    let (client, _) = session.client().map_err(|failure| match failure {
        Failure::Postgres(e) => failed(describe(&e)),
        Failure::Settings(text) => failed(text),
    })?;
    let mut make = || -> std::result::Result<bool, postgres::Error> {
        let mut transaction = client.transaction()?;
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
        Ok(false) => Err(Error::Refused(format!(
            "The database {address} has tables already. Nothing was changed. To use it, call the other commands; to \
             start anew, name another database."
        ))),
        Err(e) => Err(failed(describe(&e))),
    }
}
