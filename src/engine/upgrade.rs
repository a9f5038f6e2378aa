//! `upgrade`: what every other command does when it first meets an old database, by itself.

use super::{Access, Site};
use crate::config::Config;
use crate::meta::State;
use crate::meta::postgres::Postgres;
use crate::meta::sqlite::Sqlite;
use crate::meta::url::{self, Engine};
use crate::monitor::Monitor;
use crate::pg::Fence;
use crate::types::error::Result;

/// Brings the database to the current schema. Returns whether there was anything to do.
///
/// # Errors
/// It is in use, or cannot be written; a signal; what the database says. Nothing is changed then.
pub fn run(config: &Config, monitor: &dyn Monitor) -> Result<bool> {
    let state = match url::parse(&config.meta.engine)? {
        Engine::Sqlite(path) => Sqlite::open(&path)?.state()?,
        Engine::Postgres(address) => Postgres::open(*address, monitor.handle(), Fence::default())?.state()?,
    };
    // Whether or not there is something to do, it must be possible to use the database.
    Site::open(config, monitor, Access::Write)?;
    Ok(state != State::Current)
}
