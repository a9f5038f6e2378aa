//! Makes sessions: a guarded connection, settings, the schema with the tables, and a check for mixed-up sessions.

use super::address::{Address, ENCODE, Verify};
use super::guard::Connector;
use super::messages::Seen;
use super::pooler::{self, Place};
use crate::monitor::{Handle, Monitor};
use crate::pool::threads;
use crate::types::error::Error;
use crate::types::reason::{Reason, because};
use crate::types::time::check_clock;
use postgres::config::{SslMode, SslNegotiation};
use postgres::{CancelToken, Client, Config, NoTls, SimpleQueryMessage};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// After this time without traffic the kernel asks the other side whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long sent data may stay unacknowledged.
const UNANSWERED: Duration = Duration::from_secs(60);
/// How often a wait checks for a signal.
const SLICE: Duration = Duration::from_millis(50);

/// Run in every session. The settings make names and numbers mean the same whatever the server's configuration is, and
/// limit waits for locks. The queries ask which process of the server this is, and which schemas in the search path
/// have tables of backy2, of any release.
const SETTINGS: &str =
    "SET TIME ZONE 'UTC'; SET lock_timeout = '60s'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;
     SET client_min_messages = warning; SET default_transaction_isolation = 'read committed'; SET jit = off;
     SELECT pg_backend_pid()::text, (SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid());
     SELECT s.name FROM unnest(current_schemas(false)) WITH ORDINALITY AS s (name, place)
     WHERE (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = s.name AND c.relname IN ('versions', 'blocks') AND c.relkind IN ('r', 'p', 'v')) = 2
     ORDER BY s.place";

/// The reason why a connection could not be made.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server or the network.
    Postgres(postgres::Error),
    /// Something must be changed first: a file that the URL names, the database, or a pooler.
    Settings(Reason),
    /// A signal has ended the wait, or no thread could be started.
    Because(Error),
}

impl From<postgres::Error> for Failure {
    fn from(error: postgres::Error) -> Self {
        Failure::Postgres(error)
    }
}

impl Failure {
    /// The failure as a reason, with advice if the URL is doubtful.
    pub(crate) fn reason(self, address: &Address) -> Reason {
        let reason = match self {
            Failure::Postgres(error) => super::reason(error),
            Failure::Settings(reason) => reason,
            Failure::Because(error) => because("", error),
        };
        if address.is_doubtful {
            reason.advise(format!("The URL has several @, of which the last one ends the password. {ENCODE}"))
        } else {
            reason
        }
    }
}

/// A new session.
pub(super) struct Made {
    pub client: Client,
    /// The schema with the tables, if there is one.
    pub schema: Option<String>,
    /// The entry in the list of sessions, removed when the session is dropped.
    pub place: Place,
}

/// Connects in a separate thread, so that a signal seen by `monitor` ends the wait at any point. If `schema` is given,
/// names are looked up in that one.
pub(super) fn connect(address: &Address, schema: Option<&str>, monitor: &Handle) -> Result<Made, Failure> {
    let (send, receive) = channel();
    let (address_there, schema) = (address.clone(), schema.map(str::to_owned));
    let connecting = move || {
        // The receiver may have given up.
        let _ = send.send(make(&address_there, schema));
    };
    threads::start_alone("connecting", connecting).map_err(Failure::Because)?;
    // The limit covers name resolution, the connection and the first messages.
    let (start, limit) = (Instant::now(), 3 * address.connect_timeout);
    loop {
        match receive.recv_timeout(SLICE) {
            Ok(made) => return made,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::Settings("the thread for the connection has ended".into()));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        monitor.check().map_err(Failure::Because)?;
        if start.elapsed() > limit {
            let text = format!("no answer within {} seconds (see connect_timeout)", limit.as_secs());
            return Err(Failure::Settings(text.into()));
        }
    }
}

fn make(address: &Address, schema: Option<String>) -> Result<Made, Failure> {
    let (mut client, seen) = open(address)?;
    let (process, schemas) = settle(&mut client)?;
    let is_pooled = ![0, process.number].contains(&seen.process.load(Ordering::Relaxed));
    if is_pooled {
        pooler::probe(address, &mut client, &process)?;
    }
    let place = pooler::listed(address, process).map_err(|why| Failure::Settings(why.into()))?;
    let schema = pinned(&mut client, schema, schemas)?;
    seen.settled.store(true, Ordering::Relaxed);
    Ok(Made { client, schema, place })
}

/// Opens a connection, without any settings.
pub(super) fn open(address: &Address) -> Result<(Client, Arc<Seen>), Failure> {
    let seen = Arc::new(Seen::default());
    let mut config = Config::new();
    config
        .user(&address.user)
        .dbname(&address.database)
        .port(address.port)
        .application_name(&address.application_name)
        .connect_timeout(address.connect_timeout)
        .keepalives_idle(KEEPALIVE)
        .tcp_user_timeout(UNANSWERED)
        .channel_binding(address.binding)
        .notice_callback(|_| {});
    if let Some(password) = &address.password {
        config.password(password);
    }
    if let Some(options) = &address.options {
        config.options(options);
    }
    if address.is_local() {
        // The library has no connectors for sockets, and a server behind a socket runs on this host.
        let client = config.host_path(&address.host).ssl_mode(SslMode::Disable).connect(NoTls)?;
        return Ok((client, seen));
    }
    if address.verify != Verify::NoTls {
        check_clock().map_err(Failure::Because)?;
    }
    config.host(&address.host).ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
    let connector = Connector::new(address, Arc::clone(&seen)).map_err(Failure::Settings)?;
    Ok((config.connect(connector)?, seen))
}

/// Asks the server to cancel the statement that the session of `token` is running.
pub(super) fn cancel(address: &Address, token: &CancelToken) -> Result<(), Failure> {
    if address.is_local() {
        return Ok(token.cancel_query(NoTls)?);
    }
    let connector = Connector::new(address, Arc::default()).map_err(Failure::Settings)?;
    Ok(token.cancel_query(connector)?)
}

/// The server process of a session, and when it was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub number: i32,
    pub since: String,
}

/// Runs [`SETTINGS`]. Returns the server process and the schemas with tables of backy2.
fn settle(client: &mut Client) -> Result<(Process, Vec<String>), postgres::Error> {
    let mut process = Process { number: 0, since: String::new() };
    let mut schemas = Vec::new();
    for message in client.simple_query(SETTINGS)? {
        match message {
            SimpleQueryMessage::Row(row) if row.len() == 2 => {
                process.number = row.get(0).and_then(|number| number.parse().ok()).unwrap_or_default();
                process.since = row.get(1).unwrap_or_default().to_owned();
            }
            SimpleQueryMessage::Row(row) => schemas.extend(row.get(0).map(str::to_owned)),
            _ => {}
        }
    }
    Ok((process, schemas))
}

/// Restricts the search path to one schema: `before`, if an earlier connection has found the tables there, or else the
/// one that has them.
fn pinned(
    client: &mut Client,
    before: Option<String>,
    schemas: Vec<String>,
) -> Result<Option<String>, Failure> {
    if let [first, second, ..] = &schemas[..] {
        return Err(Failure::Settings(
            format!(
                "the schemas {first} and {second} of the database both have tables of backy2. Name the right \
             one in the URL (?options=-csearch_path%3D{first}), or remove the other"
            )
            .into(),
        ));
    }
    let Some(schema) = before.or_else(|| schemas.into_iter().next()) else { return Ok(None) };
    client.execute("SELECT set_config('search_path', quote_ident($1), false)", &[&schema])?;
    Ok(Some(schema))
}
