//! A connection that is made anew when it was lost.

use super::address::Address;
use super::connect::{Failure, cancel, connect};
use super::describe;
use super::pooler::Place;
use crate::monitor::Handle;
use crate::types::error::{Error, Result};
use postgres::{Client, Statement};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// A connection, with the statements that were prepared on it.
pub struct Session {
    address: Address,
    monitor: Handle,
    /// The place in the list goes with the connection.
    made: Option<(Client, Place)>,
    /// Where the tables are, once they were found.
    schema: Option<String>,
    reached: bool,
    /// By their text.
    pub statements: HashMap<String, Statement>,
}

impl Session {
    /// Takes note of the address; the connection is made when it is needed. A signal that `monitor` knows of ends the
    /// wait for one.
    pub fn new(address: Address, monitor: Handle) -> Self {
        Session { address, monitor, made: None, schema: None, reached: false, statements: HashMap::new() }
    }

    /// The connection, made now if there is none.
    ///
    /// # Errors
    /// What the server or the network says; [`super::is_lost`] tells whether trying again makes sense.
    pub fn client(&mut self) -> std::result::Result<(&mut Client, &mut HashMap<String, Statement>), Failure> {
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

    /// Whether there has been a connection: one that never came is not waited for.
    pub fn was_reached(&self) -> bool {
        self.reached
    }

    /// In one line why there is none.
    pub fn describe(&self, failure: &Failure) -> String {
        failure.describe(&self.address)
    }

    /// What ends the statement that the present connection runs. Called when none runs, it does nothing.
    ///
    /// # Errors
    /// There is no connection.
    pub fn canceller(&mut self) -> std::result::Result<impl Fn() + Send + use<>, Failure> {
        let token = self.client()?.0.cancel_token();
        let address = self.address.clone();
        Ok(move || {
            // Who asks does so again.
            let _ = cancel(&address, &token);
        })
    }

    /// Drops the connection.
    pub fn close(&mut self) {
        self.made = None;
        self.statements.clear();
    }
}

/// How long something is tried again.
pub struct Patience {
    /// `None` before the first failure.
    since: Option<Instant>,
    limit: Duration,
    pause: Duration,
}

/// The first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
/// A wait is cut into pieces of this length, to see signals.
const SLICE: Duration = Duration::from_millis(50);

impl Patience {
    /// Tries for `limit` from the first failure on.
    pub fn new(limit: Duration) -> Self {
        Patience { since: None, limit, pause: PAUSES.0 }
    }

    /// Waits before the next attempt, and calls `check` again and again meanwhile. Tells `warn` the first time.
    /// `Ok(false)`: it has been tried for long enough.
    ///
    /// # Errors
    /// Those of `check`.
    pub fn wait(
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

/// The registration of this process among the holders of locks, if it has one. Whoever writes makes sure in the same
/// transaction that it is still there: else others took this process for dead and did what its locks kept them from.
#[derive(Clone, Debug, Default)]
pub struct Fence(Arc<AtomicI64>);

impl Fence {
    /// The number of the registration.
    pub fn holder(&self) -> Option<i64> {
        Some(self.0.load(Ordering::SeqCst)).filter(|id| *id != 0)
    }

    /// Notes a registration, never 0, or that there is none any more.
    pub fn set(&self, holder: Option<i64>) {
        self.0.store(holder.unwrap_or(0), Ordering::SeqCst);
    }

    /// The error of one that was taken for dead.
    pub fn lost(place: &str) -> Error {
        Error::Locked(format!(
            "This process had no connection to {place} for so long that others took it for dead and removed its \
             locks. Nothing more was written. Run the command again; an incomplete version can be continued."
        ))
    }
}

/// A positive number that nobody else has: from the system's source of randomness, as hosts do not know of each other.
pub fn unique() -> i64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => (i64::from_le_bytes(bytes) & i64::MAX).max(1),
        Err(_) => fastrand::i64(1..i64::MAX),
    }
}
