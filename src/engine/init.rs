//! Making an installation.

use super::lock_dir;
use crate::config::Config;
use crate::meta::url::{self, Engine};
use crate::meta::{postgres, sqlite};
use crate::monitor::Monitor;
use crate::types::error::Result;
use crate::types::settings::FileMode;

mod folder;

pub use folder::{Made, folder};

/// Makes the tables of the configured database. A signal that `monitor` knows of ends the wait for a server.
///
/// # Errors
/// It has tables already; then nothing is changed.
pub fn database(config: &Config, monitor: &dyn Monitor) -> Result<()> {
    lock_dir::locks(config)?.startup_check()?;
    tables(&config.meta.engine, config.file_mode, monitor)
}

/// Makes the tables in the database that `engine` names; a file is made with `mode`. `monitor` as above.
///
/// # Errors
/// It has tables already; then nothing is changed.
pub fn tables(engine: &str, mode: FileMode, monitor: &dyn Monitor) -> Result<()> {
    match url::parse(engine)? {
        Engine::Sqlite(path) => sqlite::initialise(&path, mode),
        Engine::Postgres(address) => postgres::initialise(&address, monitor.handle()),
    }
}
