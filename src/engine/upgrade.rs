//! `upgrade`: what every other command does when it first meets an old database, by itself.

use super::{Access, Site};
use crate::config::Config;
use crate::meta::url::DatabaseUrl;
use crate::meta::{Metadata, State};
use crate::monitor::Monitor;
use crate::types::error::Result;

/// Brings the database to the current schema. Returns whether there was anything to do.
///
/// # Errors
/// It is in use, or cannot be written; a signal; what the database says. Nothing is changed then.
pub fn run(config: &Config, monitor: &dyn Monitor) -> Result<bool> {
    let url = DatabaseUrl::parse(&config.meta.engine)?;
    let state = Metadata::open(&url, monitor.handle())?.state()?;
    // Whether or not there is something to do, it must be possible to use the database.
    Site::open(config, monitor, Access::Write)?;
    Ok(state != State::Current)
}
