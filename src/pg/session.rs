//! A connection that is made again after it was lost.

use super::address::Address;
use super::connect::{Failure, cancel, connect};
use super::describe;
use super::pooler::Place;
use crate::monitor::Handle;
use crate::types::error::{Error, Result};
use crate::types::reason::Reason;
use postgres::{Client, Statement};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// A connection, with its prepared statements.
pub(crate) struct Session {
    address: Address,
    monitor: Handle,
    /// The entry in the list of sessions is dropped with the connection.
    made: Option<(Client, Place)>,
    /// The schema with the tables, once it was found.
    schema: Option<String>,
    reached: bool,
    /// Prepared statements by their SQL text.
    pub statements: HashMap<String, Statement>,
}

impl Session {
    /// Notes the address; the connection is made when it is needed. A signal seen by `monitor` ends the wait for it.
    pub(crate) fn new(address: Address, monitor: Handle) -> Self {
        Session { address, monitor, made: None, schema: None, reached: false, statements: HashMap::new() }
    }

    /// The connection, made now if there is none.
    ///
    /// # Errors
    /// Those of the server or the network; [`super::is_lost`] says whether trying again makes sense.
    pub(crate) fn client(
        &mut self,
    ) -> std::result::Result<(&mut Client, &mut HashMap<String, Statement>), Failure> {
        if self.made.as_ref().is_none_or(|(client, _)| client.is_closed()) {
            self.close();
            let made = connect(&self.address, self.schema.as_deref(), &self.monitor)?;
            self.schema = made.schema;
            self.reached = true;
            self.made = Some((made.client, made.place));
        }
        let made = self.made.as_mut().ok_or_else(|| Failure::Settings("no connection".into()))?;
        Ok((&mut made.0, &mut self.statements))
    }

    /// Whether there has ever been a connection. Callers do not wait for a server that was never reached.
    pub(crate) fn was_reached(&self) -> bool {
        self.reached
    }

    /// The reason why there is no connection.
    pub(crate) fn reason(&self, failure: Failure) -> Reason {
        failure.reason(&self.address)
    }

    /// A function that cancels the statement that the connection is running. It does nothing if none is running.
    ///
    /// # Errors
    /// There is no connection.
    pub(crate) fn canceller(&mut self) -> std::result::Result<impl Fn() + Send + use<>, Failure> {
        let token = self.client()?.0.cancel_token();
        let address = self.address.clone();
        Ok(move || {
            // The caller tries again if this fails.
            let _ = cancel(&address, &token);
        })
    }

    /// Drops the connection and its statements.
    pub(crate) fn close(&mut self) {
        self.made = None;
        self.statements.clear();
    }
}

/// How long a failing operation is tried again.
pub(crate) struct Patience {
    /// Time of the first failure.
    since: Option<Instant>,
    limit: Duration,
    pause: Duration,
}

/// The first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
/// A wait checks for signals this often.
const SLICE: Duration = Duration::from_millis(50);

impl Patience {
    /// Allows attempts for `limit` after the first failure.
    pub(crate) fn new(limit: Duration) -> Self {
        Patience { since: None, limit, pause: PAUSES.0 }
    }

    /// Waits before the next attempt, calling `check` repeatedly. Calls `warn` the first time. `Ok(false)`: the time
    /// for attempts is over.
    ///
    /// # Errors
    /// Those of `check`.
    pub(crate) fn wait(
        &mut self,
        place: &str,
        failure: &postgres::Error,
        check: impl Fn() -> Result<()>,
        warn: impl Fn(&str),
    ) -> Result<bool> {
        if self.limit.is_zero() {
            return Ok(false);
        }
        let now = Instant::now();
        let since = *self.since.get_or_insert_with(|| {
            warn(&format!(
                "Lost the connection to {place} ({}). Trying again for {} seconds.",
                describe(failure),
                self.limit.as_secs()
            ));
            now
        });
        if since.elapsed() >= self.limit {
            return Ok(false);
        }
        while now.elapsed() < self.pause {
            check()?;
            std::thread::sleep(SLICE);
        }
        self.pause = (self.pause * 2).min(PAUSES.1);
        Ok(true)
    }
}

/// The registration of this process among the holders of locks, if it has one. Every writing transaction checks that
/// the registration still exists. If it does not, other processes took this one for dead and may have done things that
/// its locks had prevented.
#[derive(Clone, Debug, Default)]
pub struct Fence(Arc<AtomicI64>);

impl Fence {
    /// The number of the registration.
    pub fn holder(&self) -> Option<i64> {
        Some(self.0.load(Ordering::SeqCst)).filter(|id| *id != 0)
    }

    /// Stores the number of a registration, which is never 0; `None` removes it.
    pub fn set(&self, holder: Option<i64>) {
        self.0.store(holder.unwrap_or(0), Ordering::SeqCst);
    }

    /// The error for a process that others took for dead.
    pub fn lost(place: &str) -> Error {
        Error::Locked(format!(
            "This process had no connection to {place} for so long that other processes considered it dead \
             and removed its locks. Nothing more was written. Run the command again; an incomplete version \
             can be continued."
        ))
    }
}

/// A positive number that no other process has; random, since hosts do not know of each other.
pub(crate) fn unique() -> i64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => (i64::from_le_bytes(bytes) & i64::MAX).max(1),
        Err(_) => fastrand::i64(1..i64::MAX),
    }
}
