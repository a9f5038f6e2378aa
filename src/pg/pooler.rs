//! Detects poolers that mix sessions up. Each of our sessions must have one session of the server for itself. With
//! `pool_mode = transaction` a pooler gives each transaction any connection that is free, so that settings and prepared
//! statements of one session show up in another.

use super::address::Address;
use super::connect::{Failure, Process, open};
use super::describe;
use postgres::Client;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// The sessions of this process: their addresses, and the server process of each.
static LISTED: Mutex<Vec<(String, Process)>> = Mutex::new(Vec::new());
/// How often two sessions are queried in turn.
const ROUNDS: usize = 3;

const WHO: &str = "SELECT pg_backend_pid(), (SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid())";

/// The entry of a session in the list, which is removed with it.
pub(super) struct Place(String, Process);

impl Drop for Place {
    fn drop(&mut self) {
        let mut listed = LISTED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = listed.iter().position(|(place, process)| (place, process) == (&self.0, &self.1)) {
            listed.swap_remove(at);
        }
    }
}

/// Adds a session to the list.
///
/// # Errors
/// Another session has the same server process, so a pooler mixes sessions up.
pub(super) fn listed(address: &Address, process: Process) -> Result<Place, String> {
    let mut listed = LISTED.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = (address.to_string(), process);
    if listed.contains(&entry) {
        return Err(mixed());
    }
    listed.push(entry.clone());
    Ok(Place(entry.0, entry.1))
}

fn mixed() -> String {
    "a pooler in front of the server shares each of its connections between several sessions (transaction \
     pooling), so that settings of one session would affect others. Let it pool whole sessions (PgBouncer: \
     pool_mode = session, which can be set for one database or user), or connect to the server directly"
        .to_owned()
}

/// Opens a second session and checks that each of the two keeps its server process. Called once there is a pooler in
/// front of the server; only the first call of a process checks.
pub(super) fn probe(address: &Address, client: &mut Client, process: &Process) -> Result<(), Failure> {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.load(Ordering::Relaxed) {
        return Ok(());
    }
    let second = || -> Result<(Client, Process), Failure> {
        let (mut second, _) = open(address)?;
        let process = who(&mut second)?;
        Ok((second, process))
    };
    let (mut second, other) = second().map_err(|failure| {
        match failure {
        Failure::Postgres(e) => Failure::Settings(format!(
            "the pooler in front of the server refuses a second connection ({}). Each command needs up to \
             three at a time: see docs/postgresql.md",
            describe(&e)
        ).into()),
        other => other,
    }
    })?;
    for _ in 0..ROUNDS {
        let (first_now, second_now) = (who(client)?, who(&mut second)?);
        if first_now != *process || second_now != other || first_now == second_now {
            return Err(Failure::Settings(mixed().into()));
        }
    }
    DONE.store(true, Ordering::Relaxed);
    Ok(())
}

fn who(client: &mut Client) -> Result<Process, postgres::Error> {
    let messages = client.simple_query(WHO)?;
    let row = messages.iter().find_map(|message| match message {
        postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let value = |column| row.and_then(|row| row.get(column)).unwrap_or_default();
    Ok(Process { number: value(0).parse().unwrap_or_default(), since: value(1).to_owned() })
}
