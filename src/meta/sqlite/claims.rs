//! Claims: locks as rows of the database. They back up the lock files, which anybody may have removed.
//!
//! Claims use their own connection, because they can be released at any moment, even outside the main connection's
//! transactions.

use super::open;
use super::{Sqlite, error};
use crate::types::error::Result;
use crate::types::lock::{GLOBAL, Hold, Identity, Wish};
use crate::types::time::Timestamp;
use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A lock that a process holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Name of the lock.
    pub name: String,
    /// Whether the lock is exclusive.
    pub exclusive: bool,
    /// The process that holds it.
    pub by: Identity,
    /// When it was taken, in seconds since 1970.
    pub since: i64,
    /// When the holder last wrote something, in seconds since 1970.
    pub heard: i64,
}

/// Whether a claim must have a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// It waits for other writers, up to a minute.
    Required,
    /// It waits briefly. If that is not enough, only the lock file protects it.
    Optional,
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The lock was granted, with this row.
    Granted(i64),
    /// Nobody else has the lock, but the row could not be written. Only the lock file protects it.
    Unwritten,
    /// Another process has it.
    Refused(Claim),
}

/// Returns whether a claim is void because its holder is gone.
pub type Gone<'g> = &'g dyn Fn(&Claim) -> bool;

/// The claims of a database.
#[derive(Debug)]
pub struct Claims {
    path: PathBuf,
    location: String,
    /// Opened at its first use.
    connection: Mutex<Option<Connection>>,
    /// Rows that still have to be deleted.
    late: Mutex<Vec<i64>>,
}

impl Sqlite {
    /// The claims of this database, which has the current schema.
    pub fn claims(&self) -> Claims {
        Claims {
            path: self.path.clone(),
            location: self.location.clone(),
            connection: Mutex::default(),
            late: Mutex::default(),
        }
    }
}

const COLUMNS: &str = "name, exclusive, host, machine, pid, started, command, since, heard";

impl Claims {
    /// Takes a lock. Conflicting claims are always found, even if the own row cannot be written.
    ///
    /// # Errors
    /// The database fails.
    pub fn take(&self, wish: &Wish<'_>, record: Record, gone: Gone<'_>) -> Result<Answer> {
        let mut guard = self.connection();
        let Some(connection) = self.opened(&mut guard) else { return Ok(Answer::Unwritten) };
        if let Some(claim) = conflict(connection, wish, gone).map_err(|e| self.error(e))? {
            return Ok(Answer::Refused(claim));
        }
        let late = std::mem::take(&mut *self.late());
        match write(connection, wish, record, gone, &late) {
            Ok(taken) => Ok(taken),
            Err(e) => {
                self.late().extend(late);
                match e.sqlite_error_code() {
                    Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
                        if record == Record::Required =>
                    {
                        Err(self.error(e))
                    }
                    // The disk is full or the database is read-only. If that matters, the next operation will report
                    // it.
                    _ => Ok(Answer::Unwritten),
                }
            }
        }
    }

    /// Releases a lock. If the row cannot be deleted now, it is deleted together with the next one.
    pub fn release(&self, row: i64) {
        let mut guard = self.connection();
        let mut late = self.late();
        late.push(row);
        let Some(connection) = self.opened(&mut guard) else { return };
        let _ = connection.busy_timeout(PATIENCE);
        late.retain(|row| connection.execute("DELETE FROM claims WHERE id = ?", [row]).is_err());
    }

    /// The claim that holds the named lock exclusively.
    ///
    /// # Errors
    /// The database fails.
    pub fn holder_of(&self, name: &str, gone: Gone<'_>) -> Result<Option<Claim>> {
        let claims = self.list(gone)?;
        Ok(claims.into_iter().find(|claim| claim.exclusive && claim.name == name))
    }

    /// All claims whose holders are alive.
    ///
    /// # Errors
    /// The database fails.
    pub fn list(&self, gone: Gone<'_>) -> Result<Vec<Claim>> {
        let mut guard = self.connection();
        let Some(connection) = self.opened(&mut guard) else { return Ok(Vec::new()) };
        let mut claims = all(connection).map_err(|e| self.error(e))?;
        claims.retain(|(_, claim)| !gone(claim));
        Ok(claims.into_iter().map(|(_, claim)| claim).collect())
    }

    fn connection(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn late(&self) -> MutexGuard<'_, Vec<i64>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection. `None` if a second one cannot be opened, for example on a full disk. Then the lock files must
    /// be enough.
    fn opened<'c>(&self, guard: &'c mut MutexGuard<'_, Option<Connection>>) -> Option<&'c mut Connection> {
        if guard.is_none() {
            let (connection, _) = open::connect(&self.path, open::wait).ok()?;
            // A power cut may lose these rows, but it also ends the processes that hold the locks.
            connection.pragma_update(None, "synchronous", "NORMAL").ok()?;
            **guard = Some(connection);
        }
        guard.as_mut()
    }

    fn error(&self, e: rusqlite::Error) -> crate::types::error::Error {
        error(&self.location, "looking at claims", e)
    }
}

/// How long a release waits for transactions of other processes. A row that remains counts until the process ends at
/// most.
const PATIENCE: Duration = Duration::from_millis(500);

fn write(
    connection: &mut Connection,
    wish: &Wish<'_>,
    record: Record,
    gone: Gone<'_>,
    late: &[i64],
) -> rusqlite::Result<Answer> {
    match record {
        Record::Required => connection.busy_handler(Some(open::wait))?,
        Record::Optional => connection.busy_timeout(open::BRIEFLY)?,
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let dead = all(&transaction)?.into_iter().filter(|(_, claim)| gone(claim)).map(|(row, _)| row);
    for row in dead.chain(late.iter().copied()) {
        transaction.execute("DELETE FROM claims WHERE id = ?", [row])?;
    }
    // Another process may have been faster.
    if let Some(claim) = conflict(&transaction, wish, gone)? {
        return Ok(Answer::Refused(claim));
    }
    let now = Timestamp::now().unix();
    let Identity { host, machine, pid, started, command } = wish.by;
    let row = fastrand::i64(1..=i64::MAX);
    transaction.execute(
        &format!("INSERT INTO claims (id, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
        params![
            row,
            wish.name,
            wish.hold.is_exclusive(),
            host,
            machine,
            pid,
            *started as i64,
            command,
            now,
            now
        ],
    )?;
    transaction.commit()?;
    Ok(Answer::Granted(row))
}

/// A claim of another holder that conflicts with `wish`.
fn conflict(connection: &Connection, wish: &Wish<'_>, gone: Gone<'_>) -> rusqlite::Result<Option<Claim>> {
    let me = wish.by;
    let in_the_way = |claim: &Claim| {
        let by = &claim.by;
        let mine = (&by.machine, by.pid, by.started) == (&me.machine, me.pid, me.started);
        let same = claim.name == wish.name && (claim.exclusive || wish.hold.is_exclusive());
        same || (!mine && (wish.hold == Hold::Sole || (claim.exclusive && claim.name == GLOBAL)))
    };
    Ok(all(connection)?.into_iter().map(|(_, claim)| claim).find(|claim| in_the_way(claim) && !gone(claim)))
}

/// All rows, of which there is one per lock.
fn all(connection: &Connection) -> rusqlite::Result<Vec<(i64, Claim)>> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT id, {COLUMNS} FROM claims ORDER BY since, id"))?;
    let rows = statement.query_map([], |row| {
        let by = Identity {
            host: row.get(3)?,
            machine: row.get(4)?,
            pid: row.get::<_, i64>(5)?.try_into().unwrap_or_default(),
            started: row.get::<_, i64>(6)? as u64,
            command: row.get(7)?,
        };
        let (name, exclusive) = (row.get(1)?, row.get(2)?);
        Ok((row.get(0)?, Claim { name, exclusive, by, since: row.get(8)?, heard: row.get(9)? }))
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests;
