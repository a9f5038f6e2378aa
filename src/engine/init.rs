//! Creates an installation.

use super::lock_dir;
use crate::config::Config;
use crate::meta::{self, url::DatabaseUrl};
use crate::monitor::Monitor;
use crate::types::error::Result;

mod folder;

pub use folder::{Made, folder};

/// Creates the tables of the configured database. A signal reported by `monitor` ends the wait for a server.
///
/// # Errors
/// The database has tables already. In that case nothing is changed.
pub fn database(config: &Config, monitor: &dyn Monitor) -> Result<()> {
    lock_dir::locks(config)?.startup_check()?;
    let url = DatabaseUrl::parse(&config.meta.engine)?;
    meta::create(&url, config.file_mode, monitor.handle())
}
