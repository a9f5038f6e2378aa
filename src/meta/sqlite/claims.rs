//! Claims: locks as rows of the database, beside the lock files, which anybody may have removed.
//!
//! They have a connection of their own, as they are given back at any moment, and not within the verbs' transactions.

use super::open;
use super::{Sqlite, error};
use crate::types::error::Result;
use crate::types::time::Timestamp;
use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Who claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimant {
    /// Name of the host.
    pub host: String,
    /// One boot of one kernel, and a space of process numbers.
    pub machine: String,
    /// Number of the process there.
    pub pid: u32,
    /// When it was started, in ticks since the boot.
    pub started: u64,
    /// The title of the process.
    pub command: String,
}

/// A lock that somebody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Name of the lock.
    pub name: String,
    /// Whether nobody else can have it.
    pub exclusive: bool,
    /// Who has it.
    pub by: Claimant,
    /// Since when, in unix seconds.
    pub since: i64,
    /// When its holder last wrote something, in unix seconds.
    pub heard: i64,
}

/// A wish for a lock.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'w> {
    /// Name of the lock.
    pub name: &'w str,
    /// Whether nobody else may have it.
    pub exclusive: bool,
    /// Whether no other process may have any.
    pub alone: bool,
    /// The name of the lock that keeps all others out while a process has it alone.
    pub global: &'w str,
    /// Who wishes.
    pub by: &'w Claimant,
    /// Whether to wait for others who write, up to a minute. Else a wish that would have to wait is not written down.
    pub wait: bool,
}

/// What has become of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It has this row.
    Granted(i64),
    /// Nobody else has it, and it could not be written down: the lock file alone holds.
    Unwritten,
    /// Somebody has it.
    Refused(Claim),
}

/// Whether a claim counts for nothing, as its holder is gone.
pub type Gone<'g> = &'g dyn Fn(&Claim) -> bool;

/// The claims of a database.
#[derive(Debug)]
pub struct Claims {
    path: PathBuf,
    location: String,
    /// Opened by the first who needs it.
    connection: Mutex<Option<Connection>>,
    /// Rows that could not be given back yet.
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
    /// Takes a lock. Whether somebody else has it is seen in any case.
    ///
    /// # Errors
    /// What the database says.
    pub fn take(&self, wish: &Wish<'_>, gone: Gone<'_>) -> Result<Taken> {
        let mut guard = self.connection();
        let Some(connection) = self.opened(&mut guard) else { return Ok(Taken::Unwritten) };
        if let Some(claim) = conflict(connection, wish, gone).map_err(|e| self.error(e))? {
            return Ok(Taken::Refused(claim));
        }
        let late = std::mem::take(&mut *self.late());
        match write(connection, wish, gone, &late) {
            Ok(taken) => Ok(taken),
            Err(e) => {
                self.late().extend(late);
                match e.sqlite_error_code() {
                    Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) if wish.wait => {
                        Err(self.error(e))
                    }
                    // A full disk, or a database that only can be read. What is to be done next tells of it, if it
                    // matters to that.
                    _ => Ok(Taken::Unwritten),
                }
            }
        }
    }

    /// Gives a lock back. If that cannot be done at once, it is done with the next one.
    pub fn release(&self, row: i64) {
        let mut guard = self.connection();
        let mut late = self.late();
        late.push(row);
        let Some(connection) = self.opened(&mut guard) else { return };
        let _ = connection.busy_timeout(PATIENCE);
        late.retain(|row| connection.execute("DELETE FROM claims WHERE id = ?", [row]).is_err());
    }

    /// Who has the lock of that name alone.
    ///
    /// # Errors
    /// What the database says.
    pub fn holder_of(&self, name: &str, gone: Gone<'_>) -> Result<Option<Claim>> {
        let claims = self.list(gone)?;
        Ok(claims.into_iter().find(|claim| claim.exclusive && claim.name == name))
    }

    /// All claims that count.
    ///
    /// # Errors
    /// What the database says.
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

    /// The connection. `None` where a second one cannot be had, of a full disk say: lock files must do then.
    fn opened<'c>(&self, guard: &'c mut MutexGuard<'_, Option<Connection>>) -> Option<&'c mut Connection> {
        if guard.is_none() {
            let (connection, _) = open::connect(&self.path, open::wait).ok()?;
            // What a power cut takes from here belonged to processes that it has ended.
            connection.pragma_update(None, "synchronous", "NORMAL").ok()?;
            **guard = Some(connection);
        }
        guard.as_mut()
    }

    fn error(&self, e: rusqlite::Error) -> crate::types::error::Error {
        error(&self.location, "looking at claims", e)
    }
}

/// How long giving back waits for somebody else's transaction. What is not given back goes with the process at the latest.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long who need not write a claim down waits for somebody else's transaction. Most are over by then.
const BRIEFLY: Duration = Duration::from_millis(200);

fn write(
    connection: &mut Connection,
    wish: &Wish<'_>,
    gone: Gone<'_>,
    late: &[i64],
) -> rusqlite::Result<Taken> {
    match wish.wait {
        true => connection.busy_handler(Some(open::wait))?,
        false => connection.busy_timeout(BRIEFLY)?,
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let dead = all(&transaction)?.into_iter().filter(|(_, claim)| gone(claim)).map(|(row, _)| row);
    for row in dead.chain(late.iter().copied()) {
        transaction.execute("DELETE FROM claims WHERE id = ?", [row])?;
    }
    // Somebody may have been faster.
    if let Some(claim) = conflict(&transaction, wish, gone)? {
        return Ok(Taken::Refused(claim));
    }
    let now = Timestamp::now().unix();
    let Claimant { host, machine, pid, started, command } = wish.by;
    let row = fastrand::i64(1..=i64::MAX);
    transaction.execute(
        &format!("INSERT INTO claims (id, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
        params![row, wish.name, wish.exclusive, host, machine, pid, *started as i64, command, now, now],
    )?;
    transaction.commit()?;
    Ok(Taken::Granted(row))
}

/// A claim of somebody else that is in the way.
fn conflict(connection: &Connection, wish: &Wish<'_>, gone: Gone<'_>) -> rusqlite::Result<Option<Claim>> {
    let me = wish.by;
    let in_the_way = |claim: &Claim| {
        let by = &claim.by;
        let mine = (&by.machine, by.pid, by.started) == (&me.machine, me.pid, me.started);
        let same = claim.name == wish.name && (claim.exclusive || wish.exclusive);
        same || (!mine && (wish.alone || (claim.exclusive && claim.name == wish.global)))
    };
    Ok(all(connection)?.into_iter().map(|(_, claim)| claim).find(|claim| in_the_way(claim) && !gone(claim)))
}

/// All rows: there are as many as there are locks.
fn all(connection: &Connection) -> rusqlite::Result<Vec<(i64, Claim)>> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT id, {COLUMNS} FROM claims ORDER BY since, id"))?;
    let rows = statement.query_map([], |row| {
        let by = Claimant {
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
