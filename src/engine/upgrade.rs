//! `upgrade`: upgrades the database explicitly. Every other command does the same when it finds an old database.

use super::{Access, Site};
use crate::config::Config;
use crate::meta::url::DatabaseUrl;
use crate::meta::{Metadata, SchemaState};
use crate::monitor::Monitor;
use crate::types::error::Result;

/// Upgrades the database to the current schema. Returns whether an upgrade was necessary.
///
/// # Errors
/// The database is in use, cannot be written, or fails; or a signal arrives. In these cases nothing is changed.
pub(crate) fn run(config: &Config, monitor: &dyn Monitor) -> Result<bool> {
    let url = DatabaseUrl::parse(&config.meta.engine)?;
    let state = Metadata::open(&url, monitor.handle())?.state()?;
    // Open it even if no upgrade is necessary, to check that the database can be used.
    Site::open(config, monitor, Access::Write)?;
    Ok(state != SchemaState::Current)
}
