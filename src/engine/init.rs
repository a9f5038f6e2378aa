//! Creates an installation.

use super::lock_dir;
use super::site::store;
use crate::config::Config;
use crate::meta::{self, url::DatabaseUrl};
use crate::monitor::Monitor;
use crate::types::error::Result;

mod folder;

pub use folder::{Made, folder};

/// Creates the tables of the configured database. A signal reported by `monitor` ends the wait for a server. Returns
/// whether the data store is in use already, by an installation whose database is another one.
///
/// # Errors
/// The database has tables already. In that case nothing is changed.
pub fn database(config: &Config, monitor: &dyn Monitor) -> Result<bool> {
    lock_dir::locks(config)?.startup_check()?;
    let url = DatabaseUrl::parse(&config.meta.engine)?;
    meta::create(&url, config.file_mode, monitor.handle())?;
    Ok(store::is_used(config, monitor))
}
