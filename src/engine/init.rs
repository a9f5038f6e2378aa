//! Making an installation.

use crate::config::{self, Config};
use crate::locks::Locks;
use crate::meta::url::{self, Engine};
use crate::meta::{postgres, sqlite};
use crate::types::block::to_hex;
use crate::types::error::{Error, Result};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Makes the tables of the configured database.
///
/// # Errors
/// It has tables already; then nothing is changed.
pub fn database(config: &Config) -> Result<()> {
    Locks::new(&config.lock_dir).startup_check()?;
    tables(&config.meta.engine)
}

/// Makes the tables in the database that `engine` names.
///
/// # Errors
/// It has tables already; then nothing is changed.
pub fn tables(engine: &str) -> Result<()> {
    match url::parse(engine)? {
        Engine::Sqlite(path) => sqlite::initialise(&path),
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
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|e| failed("the folder", e))?;
    let folder = fs::canonicalize(folder).map_err(|e| failed("an installation", e))?;
    let mut entries = fs::read_dir(&folder).map_err(|e| failed("an installation", e))?;
    if entries.next().is_some() {
        return Err(Error::Refused(format!(
            "{} is not empty. `init` makes an installation in a new or empty folder only.",
            folder.display()
        )));
    }
    for part in ["data", "lock", "cache"] {
        fs::DirBuilder::new().mode(0o700).create(folder.join(part)).map_err(|e| failed(part, e))?;
    }
    let mut key = [0u8; 32];
    getrandom::fill(&mut key).map_err(|e| Error::Internal(format!("no random numbers for a key: {e}")))?;
    let text = config::folder_template(&folder, &to_hex(&key));
    // The database first: a folder with a configuration is a complete one.
    sqlite::initialise(&folder.join("backy.sqlite"))?;
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(folder.join("backy.cfg"))
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|e| failed("backy.cfg", e))
}
