//! Making an installation.

use crate::config::{self, Config};
use crate::locks::Locks;
use crate::meta::url::{self, Engine};
use crate::meta::{postgres, sqlite};
use crate::sys::private;
use crate::sys::whole::Whole;
use crate::types::block::to_hex;
use crate::types::error::{Error, Result};
use crate::types::settings::FileMode;
use std::fs;
use std::io::Write;
use std::path::Path;

/// Makes the tables of the configured database.
///
/// # Errors
/// It has tables already; then nothing is changed.
pub fn database(config: &Config) -> Result<()> {
    Locks::new(&config.lock_dir, config.file_mode).startup_check()?;
    tables(&config.meta.engine, config.file_mode)
}

/// Makes the tables in the database that `engine` names; a file is made with `mode`.
///
/// # Errors
/// It has tables already; then nothing is changed.
pub fn tables(engine: &str, mode: FileMode) -> Result<()> {
    match url::parse(engine)? {
        Engine::Sqlite(path) => sqlite::initialise(&path, mode),
        Engine::Postgres(address) => postgres::initialise(&address),
    }
}

/// Makes a self-contained installation in `folder`: configuration with a fresh key, database, data.
///
/// # Errors
/// The folder is not empty, or cannot be made; what was made of it stays.
pub fn folder(folder: &Path) -> Result<()> {
    let failed = |what: &str, e: std::io::Error| {
        Error::Refused(format!("cannot make {what} in {}: {e}", folder.display()))
    };
    private::make_folders(folder, FileMode::PRIVATE).map_err(|e| failed("the folder", e))?;
    let folder = fs::canonicalize(folder).map_err(|e| failed("an installation", e))?;
    let mut entries = fs::read_dir(&folder).map_err(|e| failed("an installation", e))?;
    if entries.next().is_some() {
        return Err(Error::Refused(format!(
            "{} is not empty. `init` makes an installation in a new or empty folder only.",
            folder.display()
        )));
    }
    for part in ["data", "lock", "cache"] {
        private::make_folder(&folder.join(part), FileMode::PRIVATE).map_err(|e| failed(part, e))?;
    }
    let mut key = [0u8; 32];
    getrandom::fill(&mut key).map_err(|e| Error::Internal(format!("no random numbers for a key: {e}")))?;
    let text = config::folder_template(&folder, &to_hex(&key));
    // The database first: a folder with a configuration is a complete one.
    sqlite::initialise(&folder.join("backy.sqlite"), FileMode::PRIVATE)?;
    Whole::begin(&folder.join("backy.cfg"), FileMode::PRIVATE)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.finish()))
        .map_err(|e| failed("backy.cfg", e))
}
