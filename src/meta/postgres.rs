//! Metadata in a PostgreSQL database, which several hosts may share.
//!
//! Each verb is one transaction at READ COMMITTED, so each of its statements sees the latest commits. It is run again
//! after a deadlock, a similar conflict, or a lost connection. If a commit got no answer, a token in the database
//! shows whether it has happened (see `writer`).

pub(super) mod access;
mod blocks;
mod candidates;
mod db;
mod import;
pub(super) mod pause;
mod rows;
mod schema;
mod tables;
mod upgrade;
mod writer;

use super::SchemaState;
use super::sql::{Db, Fallible, Fault, Work};
use crate::monitor::{Handle, Monitor};
use crate::pg::{self, Address, Failure, Fence, Patience, Session, is_lost, may_pass};
use crate::types::error::{Error, Result};
use crate::types::reason::{Reason, because};
use db::Statements;
use postgres::error::SqlState;
use postgres::{Client, IsolationLevel};
use std::time::Duration;
use writer::{Signed, Writer};

pub(super) use schema::initialise;

/// How long to wait for a server that is away. A restart with recovery takes less.
const AWAY: Duration = Duration::from_secs(120);
/// Number of times that a transaction is run again after conflicts with others.
const TRIES: u32 = 20;
/// The longest pause before a repetition, in milliseconds.
const LONGEST_PAUSE: u64 = 200;

/// An open database.
pub struct Postgres {
    session: Session,
    location: String,
    writable: bool,
    monitor: Handle,
    writer: Writer,
    /// Waiting for the server has failed once. Later operations only try once.
    given_up: bool,
    /// The tables are those of an older release.
    old: bool,
}

/// How far a transaction came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its work was not begun.
    Before,
    /// Its work was begun, and may have used up its input.
    Begun,
}

/// The result of an attempt to run a transaction.
enum Attempt<T> {
    Done(T),
    /// An earlier attempt, whose commit got no answer, was in fact committed.
    Happened,
    /// The connection was lost before the commit.
    Lost(postgres::Error, Stage),
    /// The connection was lost during the commit of the transaction with this token.
    Unclear(postgres::Error, i64, T),
    Failed(Fault),
}

impl Postgres {
    /// Connects to the database. Verbs that write check `fence`. `monitor` gets messages about lost connections, and
    /// decides whether to continue.
    ///
    /// # Errors
    /// [`Error::Database`]: the database cannot be reached.
    pub fn open(address: Address, monitor: Handle, fence: Fence) -> Result<Self> {
        let location = address.to_string();
        let mut database = Postgres {
            session: Session::new(address, monitor.clone()),
            location,
            writable: true,
            monitor,
            writer: Writer::new(fence),
            given_up: false,
            old: false,
        };
        let read_only = "SELECT current_setting('transaction_read_only') = 'on' OR pg_is_in_recovery()";
        let asked = match database.session.client() {
            Ok((client, _)) => client.query_one(read_only, &[]).and_then(|row| row.try_get::<_, bool>(0)),
            Err(failure) => return Err(database.unreachable(failure)),
        };
        database.writable = !asked.map_err(|e| database.unreachable(Failure::Postgres(e)))?;
        Ok(database)
    }

    fn unreachable(&self, failure: Failure) -> Error {
        match failure {
            Failure::Because(error) => error,
            failure => Error::database(
                self.session
                    .reason(failure)
                    .during(&format!("Cannot use the database {}", self.location))
                    .advise("Check [MetaBackend] engine, and whether the server runs."),
            ),
        }
    }

    /// The state of the database: whether it is current or must be upgraded first.
    ///
    /// # Errors
    /// [`Error::Database`]: the database is not initialised, or was made by an unknown release.
    pub fn state(&mut self) -> Result<SchemaState> {
        let location = self.location.clone();
        let found = self.read("reading the schema", schema::found)?;
        let state = super::revision::state(&location, found)?;
        self.old = matches!(state, SchemaState::Old { .. });
        Ok(state)
    }

    /// Updates a database in [`SchemaState::Behind`] to the current schema.
    ///
    /// # Errors
    /// The database fails. Nothing is changed then.
    pub fn add_tables(&mut self) -> Result<()> {
        let location = self.location.clone();
        self.write("adding tables", Work::Small, |db| {
            // Take the lock for upgrades. The first process adds the tables, and the others find them.
            db.batch(&pg::advisory::Lock::Upgrading.statement())?;
            let found = schema::found(db)?;
            match super::revision::state(&location, found).map_err(Fault::Because)? {
                SchemaState::Behind { revision } => schema::add(db, revision),
                _ => Ok(()),
            }
        })
    }

    fn error(&self, what: &str, reason: impl Into<Reason>) -> Error {
        Error::Metadata { database: self.location.clone(), reason: reason.into().during(what) }
    }

    fn fault(&self, what: &str, fault: Fault) -> Error {
        match fault.into_driver::<postgres::Error>() {
            Ok(e) if e.code() == Some(&SqlState::DISK_FULL) => Error::Full {
                database: self.location.clone(),
                reason: pg::reason(e).during(what).advise("Free some space on the server"),
            },
            Ok(e) => self.error(what, pg::reason(e)),
            Err(Fault::Because(error)) => error,
            Err(Fault::Value(reason)) => self.error(what, reason),
            Err(Fault::Driver(error)) => self.error(what, because("", error)),
        }
    }

    /// The error after all attempts to reconnect have failed.
    fn away(&self, what: &str, error: postgres::Error) -> Error {
        let so_long = format!("the server could not be reached for {} seconds", AWAY.as_secs());
        let advice = "An incomplete version can be continued when it is back";
        self.error(what, pg::reason(error).during(&so_long).advise(advice))
    }

    /// Runs `work` once, in a transaction, and commits it. Does not run it if the transaction with the token
    /// `doubtful` was committed.
    fn attempt<T>(
        &mut self,
        doubtful: Option<i64>,
        work: &mut impl FnMut(&mut dyn Db) -> Fallible<T>,
    ) -> Attempt<T> {
        let old = self.old;
        let (client, prepared) = match self.session.client() {
            Ok(parts) => parts,
            Err(Failure::Postgres(e)) if is_lost(&e) => return Attempt::Lost(e, Stage::Before),
            Err(failure) => return Attempt::Failed(Fault::Because(self.unreachable(failure))),
        };
        if let Err(e) = self.writer.enrol(client) {
            return Self::failed(e.into(), Stage::Before);
        }
        let begin = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start();
        let mut transaction = match begin {
            Ok(transaction) => transaction,
            Err(e) => return Self::failed(e.into(), Stage::Before),
        };
        let mut statements = Statements { client: &mut transaction, prepared, old };
        let token = match self.writer.sign(&mut statements, doubtful) {
            Ok(Signed::With(token)) => token,
            Ok(Signed::Before) => return Attempt::Happened,
            Ok(Signed::Buried) => return Attempt::Failed(Fault::Because(Fence::lost(&self.location))),
            Err(fault) => return Self::failed(fault, Stage::Before),
        };
        let done = match work(&mut statements) {
            Ok(done) => done,
            Err(fault) => return Self::failed(fault, Stage::Begun),
        };
        pause::point("COMMIT");
        match transaction.commit() {
            Ok(()) => Attempt::Done(done),
            Err(e) if is_lost(&e) => Attempt::Unclear(e, token, done),
            Err(e) => Attempt::Failed(e.into()),
        }
    }

    fn failed<T>(fault: Fault, stage: Stage) -> Attempt<T> {
        match fault.into_driver() {
            Ok(e) if is_lost(&e) => Attempt::Lost(e, stage),
            Ok(e) => Attempt::Failed(e.into()),
            Err(fault) => Attempt::Failed(fault),
        }
    }

    /// Waits a little before the next attempt to connect.
    fn wait(&mut self, what: &str, error: postgres::Error, patience: &mut Patience) -> Result<()> {
        self.session.close();
        let monitor = &self.monitor;
        if patience.wait(&self.location, &error, || monitor.check(), |text| monitor.warning(text))? {
            Ok(())
        } else {
            self.given_up = true;
            Err(self.away(what, error))
        }
    }

    fn patience(&self) -> Patience {
        Patience::new(if self.given_up { Duration::ZERO } else { AWAY })
    }
}

/// Sleeps for a random time before a transaction is run again after a conflict.
fn stand_back(tries: u32) {
    let longest = (1u64 << tries.min(10)).min(LONGEST_PAUSE);
    std::thread::sleep(Duration::from_millis(fastrand::u64(0..=longest)));
}

/// The operations that [`crate::meta::Metadata`] needs from each engine.
impl Postgres {
    pub(super) fn location(&self) -> &str {
        &self.location
    }

    pub(super) fn check_writable(&self) -> Result<()> {
        if self.writable {
            Ok(())
        } else {
            Err(Error::database(format!(
                "The database {} cannot be written: the server is a standby, or makes transactions read-only. See its \
                 default_transaction_read_only.",
                self.location
            )))
        }
    }

    pub(super) fn read<T>(
        &mut self,
        what: &str,
        mut work: impl FnMut(&mut dyn Db) -> Fallible<T>,
    ) -> Result<T> {
        let mut patience = self.patience();
        let old = self.old;
        loop {
            let failure = match self.session.client() {
                Ok((client, prepared)) => match work(&mut Statements::<Client> { client, prepared, old }) {
                    Ok(done) => {
                        self.given_up = false;
                        return Ok(done);
                    }
                    Err(fault) => match fault.into_driver() {
                        Ok(e) => e,
                        Err(fault) => return Err(self.fault(what, fault)),
                    },
                },
                Err(Failure::Postgres(e)) => e,
                Err(failure) => return Err(self.unreachable(failure)),
            };
            if is_lost(&failure) {
                self.wait(what, failure, &mut patience)?
            } else {
                return Err(self.fault(what, failure.into()));
            }
        }
    }

    pub(super) fn write<T>(
        &mut self,
        what: &str,
        kind: Work,
        mut work: impl FnMut(&mut dyn Db) -> Fallible<T>,
    ) -> Result<T> {
        let mut patience = self.patience();
        let mut tries = 0;
        // The token and the result of the last commit that got no answer.
        let mut doubtful: Option<(i64, T)> = None;
        loop {
            match self.attempt(doubtful.as_ref().map(|(token, _)| *token), &mut work) {
                Attempt::Done(done) => {
                    self.given_up = false;
                    return Ok(done);
                }
                Attempt::Happened => {
                    if let Some((_, done)) = doubtful.take() {
                        return Ok(done);
                    }
                }
                Attempt::Lost(e, Stage::Begun) if kind == Work::Once => {
                    return Err(self.fault(what, e.into()));
                }
                Attempt::Lost(e, _) => self.wait(what, e, &mut patience)?,
                Attempt::Unclear(e, token, done) => {
                    doubtful = Some((token, done));
                    self.wait(what, e, &mut patience)?;
                }
                Attempt::Failed(fault)
                    if fault.driver().is_some_and(may_pass) && kind != Work::Once && tries < TRIES =>
                {
                    tries += 1;
                    stand_back(tries);
                }
                Attempt::Failed(fault) => return Err(self.fault(what, fault)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
