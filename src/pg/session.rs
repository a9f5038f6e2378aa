//! A connection that is made anew when it was lost.

use super::address::{Address, Verify};
use super::{describe, tls};
use crate::types::error::{Error, Result};
use crate::types::time::check_clock;
use postgres::config::SslMode;
use postgres::{Client, Config, NoTls, Statement};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// After so long without traffic the kernel asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long sent data may stay without an answer of the other side's kernel.
const UNANSWERED: Duration = Duration::from_secs(60);

/// For every session: names and numbers mean the same whatever the server's configuration; nothing waits for a lock
/// without end.
const SETTINGS: &str =
    "SET TIME ZONE 'UTC'; SET lock_timeout = '60s'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;
     SET client_min_messages = warning; SET default_transaction_isolation = 'read committed'; SET jit = off";

/// A connection, with the statements that were prepared on it.
pub struct Session {
    address: Address,
    client: Option<Client>,
    /// By their text.
    pub statements: HashMap<String, Statement>,
}

impl Session {
    /// Takes note of the address; the connection is made when it is needed.
    pub fn new(address: Address) -> Self {
        Session { address, client: None, statements: HashMap::new() }
    }

    /// The connection, made now if there is none.
    ///
    /// # Errors
    /// What the server or the network says; [`super::is_lost`] tells whether trying again makes sense.
    pub fn client(&mut self) -> std::result::Result<(&mut Client, &mut HashMap<String, Statement>), Failure> {
        if self.client.as_ref().is_none_or(Client::is_closed) {
            self.close();
            self.client = Some(connect(&self.address)?);
        }
        let client = self.client.as_mut().ok_or_else(|| Failure::Settings("no connection".into()))?;
        Ok((client, &mut self.statements))
    }

    /// Drops the connection.
    pub fn close(&mut self) {
        self.client = None;
        self.statements.clear();
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub enum Failure {
    /// The server or the network.
    Postgres(postgres::Error),
    /// A file that the URL names.
    Settings(String),
}

impl From<postgres::Error> for Failure {
    fn from(error: postgres::Error) -> Self {
        Failure::Postgres(error)
    }
}

fn connect(address: &Address) -> std::result::Result<Client, Failure> {
    let mut config = Config::new();
    config
        .user(&address.user)
        .dbname(&address.database)
        .port(address.port)
        .application_name(&address.application_name)
        .connect_timeout(address.connect_timeout)
        .keepalives_idle(KEEPALIVE)
        .tcp_user_timeout(UNANSWERED)
        .notice_callback(|_| {});
    match address.is_local() {
        true => config.host_path(&address.host),
        false => config.host(&address.host),
    };
    if let Some(password) = &address.password {
        config.password(password);
    }
    if let Some(options) = &address.options {
        config.options(options);
    }
    let mut client = if address.is_local() || address.verify == Verify::NoTls {
        config.ssl_mode(SslMode::Disable).connect(NoTls)?
    } else {
        check_clock().map_err(|error| Failure::Settings(error.to_string()))?;
        let optional = address.verify == Verify::Optional;
        config.ssl_mode(if optional { SslMode::Prefer } else { SslMode::Require });
        config.connect(tls::connector(address).map_err(Failure::Settings)?)?
    };
    client.batch_execute(SETTINGS)?;
    Ok(client)
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
